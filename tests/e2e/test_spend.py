#!/usr/bin/env python3
"""Spend by file: once however often it comes, corrected by a later row or a higher revision, bad rows refused by line, the
same rows when the tables are made anew; v_roas against a plain count in Python."""
import collections
import datetime
import json
import random
import sqlite3

from harness import ROOT, Workspace, tabiji

MAPPINGS = ROOT / "deploy" / "mappings"
HEADER = "channel,campaign,day,cost,currency\n"
GOOD = ['LINE,summer,2026-05-01,"1,000",JPY', "LINE,,2026-05-01,500,JPY", "Paid Search,brand,2026-05-02,20.50,USD",
        "Paid Search,brand,2026-06-30,30,USD"]
BAD = [("Paid Search,brand,2026-05-03,-3,USD", "bad_value"), ("Paid Search,brand,2026-05-04,,USD", "missing_field"),
       (",brand,2026-05-04,1,USD", "missing_field"), ("Paid Search,brand,,1,USD", "missing_field"),
       ("Paid Search,brand,2026-05-04,1.234,USD", "money_precision"),
       ("Paid Search,brand,2026-05-04,1,usd", "bad_currency"), ("Paid Search,brand,yesterday,1,USD", "bad_time"),
       ("Paid Search,brand,2026-05-04,1,", "missing_field")]
SALES = """customer_id,time,interaction,conversion,conversion_value,channel
a,2026-05-01T00:00:00Z,impression,0,0,LINE
a,2026-05-02T00:00:00Z,impression,1,120.50,Paid Search
b,2026-05-31T14:59:59Z,impression,1,10,Paid Search
c,2026-05-31T15:00:00Z,impression,1,7,Paid Search
"""


class Shop:
    def __init__(self, path):
        self.path = path
        self.data = path / "data"

    def take(self, name, text, mapping=MAPPINGS / "spend.ini", expect=0):
        (self.path / name).write_text(text)
        return json.loads(tabiji("import", "--json", "--data", self.data, "--mapping", mapping, self.path / name,
                                 expect=expect))

    def ask(self, sql):
        db = sqlite3.connect(f"file:{self.data / 'tabiji.db'}?mode=ro", uri=True)
        rows = db.execute(sql).fetchall()
        db.close()
        return rows

    def spend(self):
        return self.ask("SELECT channel, campaign, day, cost_minor, currency FROM spend ORDER BY 1, 2, 3")


WANTED = [("LINE", "", "2026-05-01", 500, "JPY"), ("LINE", "summer", "2026-05-01", 1000, "JPY"),
          ("Paid Search", "brand", "2026-05-02", 2050, "USD"), ("Paid Search", "brand", "2026-06-30", 3000, "USD")]


def check_import(shop):
    done = shop.take("spend.csv", HEADER + "\n".join(GOOD + [row for row, _ in BAD]) + "\n", expect=6)
    assert done["rejected"] == len(BAD) and done["events"] == len(GOOD), done
    assert shop.spend() == WANTED, shop.spend()
    refused = shop.ask("SELECT line, reason, file FROM rejected ORDER BY line")
    assert [row[:2] for row in refused] == [(i, why) for i, (_, why) in enumerate(BAD, 2 + len(GOOD))], refused
    assert all(row[2].endswith("spend.csv") for row in refused), refused
    shop.take("again.csv", HEADER + "\n".join(reversed(GOOD)) + "\n")
    assert shop.spend() == WANTED
    assert shop.ask("SELECT count(*), max(reports) FROM spend") == [(4, 1)]


def check_correction(shop):
    shop.take("fix.csv", HEADER + "LINE,summer,2026-05-01,1200,JPY\n")
    wanted = [WANTED[0], ("LINE", "summer", "2026-05-01", 1200, "JPY"), *WANTED[2:]]
    assert shop.spend() == wanted, shop.spend()
    assert shop.ask("SELECT reports FROM spend WHERE campaign = 'summer'") == [(2,)]
    # With revisions the highest stands, though it comes first.
    mapping = shop.path / "revised.ini"
    mapping.write_text((MAPPINGS / "spend.ini").read_text().replace("channel = channel", "channel = channel\nsequence = revision"))
    header = "channel,campaign,day,cost,currency,revision\n"
    shop.take("third.csv", header + "Email,,2026-05-01,300,JPY,3\n", mapping)
    shop.take("second.csv", header + "Email,,2026-05-01,200,JPY,2\n", mapping)
    wanted = [("Email", "", "2026-05-01", 300, "JPY"), *wanted]
    assert shop.spend() == wanted, shop.spend()
    for name in ("tabiji.db", "tabiji.db-wal", "tabiji.db-shm"):
        (shop.data / name).unlink(missing_ok=True)
    shop.take("second.csv", header + "Email,,2026-05-01,200,JPY,2\n", mapping)
    assert shop.spend() == wanted, "made anew"


def check_nobody(shop):
    """Spend is nobody: no person, session, touch or path comes of it."""
    for table in ("person", "session", "touch", "path", "conversion"):
        assert shop.ask(f"SELECT count(*) FROM {table}") == [(0,)], table


def check_roas(shop):
    shop.take("sales.csv", SALES, MAPPINGS / "touch-log.ini")
    cost = collections.Counter()
    for channel, _, day, minor, currency in shop.spend():
        cost[day[:7], channel, currency] += minor
    # Last touch: 31 May 15:00 UTC is June in Japan.
    earned = {("2026-05", "Paid Search", "USD"): (2, 13050), ("2026-06", "Paid Search", "USD"): (1, 700)}
    wanted = {}
    for key in cost.keys() | earned.keys():
        count, minor = earned.get(key, (0, 0))
        spent = cost.get(key)
        unit = 100 if key[2] == "USD" else 1
        wanted[key] = (spent, minor, minor / spent if spent else None, spent / unit / count if spent and count else None)
    seen = {row[:3]: row[3:] for row in shop.ask(
        "SELECT period, channel, currency, spend_minor, credited_revenue_minor, roas, cpa FROM v_roas WHERE model = 'last'")}
    assert seen == wanted, (seen, wanted)
    # Every model has each row of spend, and credits sum to the revenue.
    assert shop.ask("SELECT count(DISTINCT model), min(s), max(s) FROM (SELECT model, sum(credited_revenue_minor) AS s "
                    "FROM v_roas GROUP BY model)") == [(15, 13750, 13750)], "eight rules, seven that are solved"
    assert shop.ask("SELECT credited_revenue_minor > 0 AND spend_minor IS NULL FROM v_roas WHERE channel = 'LINE' "
                    "AND currency = 'USD' AND model = 'first'") == [(1,)]


def stands(db):
    """What the table must have: of each key's reports the highest sequence, then the latest."""
    found = {}
    for source, channel, campaign, at, minor, currency, key, *rank in db.execute(
            "SELECT source, channel, campaign_name, occurred_at, revenue_minor, currency, event_key, sequence, received_at FROM event "
            "WHERE type = 'spend_reported'"):
        day = datetime.datetime.fromtimestamp(at // 10 ** 6, datetime.timezone.utc).strftime("%Y-%m-%d")
        found.setdefault((source, channel or "", campaign or "", day), []).append((*rank, key, minor, currency))
    best = {k: max(reports) for k, reports in found.items()}
    return sorted((*k, best[k][3], best[k][4], len(found[k]), best[k][2]) for k in found)


def check_table(shop):
    """A table that follows events whatever becomes of them."""
    assert shop.ask("SELECT type FROM sqlite_schema WHERE name = 'spend'") == [("table",)]
    rng = random.Random(7)
    mapping = shop.path / "revised.ini"
    for number in range(3):  # corrections of corrections, by revision and by arrival, days that touch
        rows = [f"{rng.choice(['LINE', 'Email'])},{rng.choice(['', 'brand'])},2026-05-0{rng.randrange(1, 4)},{rng.randrange(900)},JPY,{rng.randrange(3)}" for _ in range(40)]
        shop.take(f"random{number}.csv", "channel,campaign,day,cost,currency,revision\n" + "\n".join(rows) + "\n", mapping)
    db = sqlite3.connect(shop.data / "tabiji.db")
    assert len(stands(db)) > 10 and db.execute("SELECT * FROM spend ORDER BY 1, 2, 3, 4").fetchall() == stands(db)
    db.close()


def main():
    with Workspace() as space:
        shop = Shop(space.path)
        check_import(shop)
        check_correction(shop)
        check_nobody(shop)
        check_roas(shop)
        check_table(shop)


if __name__ == "__main__":
    main()
