#!/usr/bin/env python3
"""The main job on the real file: touches, conversions and revenue, credits that reconcile; and the same dump of every
table when the file comes twice, shuffled, in ten parts, or is killed in the midst and resumed."""
import random
import sqlite3
import time

from harness import ROOT, SHARED, Workspace, need, same, tabiji

FILE = need(SHARED / "data" / "journeys" / "attribution_data.csv")
MAPPING = ROOT / "deploy" / "mappings" / "touch-log.ini"
TOUCHES, CONVERSIONS, REVENUE_MINOR = 62483, 1838, 1142350
MODELS = {"first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"}


def load(data, *files):
    tabiji("import", "--data", data, "--mapping", MAPPING, *files)


def dump(data):
    return tabiji("state", "dump", "--data", data)


def check_figures(data):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    one = lambda sql: db.execute(sql).fetchone()
    assert one("SELECT count(*) FROM touch") == (TOUCHES,), one("SELECT count(*) FROM touch")
    assert one("SELECT count(*), sum(revenue_minor) FROM conversion") == (CONVERSIONS, REVENUE_MINOR)
    assert {m for m, in db.execute("SELECT DISTINCT model FROM attribution_credit")} == MODELS
    bad = one("""SELECT count(*) FROM (
        SELECT person, conversion_id, model, sum(weight) AS share, sum(credited_revenue_minor) AS credited
        FROM attribution_credit GROUP BY person, conversion_id, model) AS a
        JOIN conversion AS c USING (person, conversion_id) WHERE abs(share - 1) > 1e-9 OR credited <> c.revenue_minor""")
    assert bad == (0,), f"{bad} conversions and models do not reconcile"
    pairs = one("SELECT count(*) FROM (SELECT DISTINCT person, conversion_id, model FROM attribution_credit)")
    assert pairs == (CONVERSIONS * len(MODELS),), pairs
    for model, minor in db.execute("SELECT model, sum(credited_revenue_minor) FROM attribution_credit GROUP BY model"):
        assert minor == REVENUE_MINOR, (model, minor)
    persons = one("SELECT count(*) FROM person")
    assert persons == (7896,), persons
    print(f"figures: {TOUCHES} touches, {CONVERSIONS} conversions, {REVENUE_MINOR} minor units, {len(MODELS)} models reconcile")


def main():
    rng = random.Random(20260101)
    with Workspace() as space:
        started = time.monotonic()
        load(space.path / "once", FILE)
        print(f"import took {time.monotonic() - started:.2f} s")
        check_figures(space.path / "once")
        wanted = dump(space.path / "once")

        load(space.path / "once", FILE)
        same("imported twice", dump(space.path / "once"), wanted)

        header, *rows = FILE.read_text().splitlines()
        rng.shuffle(rows)
        shuffled = space.path / "shuffled.csv"
        shuffled.write_text("\n".join([header, *rows]) + "\n")
        load(space.path / "shuffled", shuffled)
        same("shuffled", dump(space.path / "shuffled"), wanted)

        parts = []
        for n in range(10):
            parts.append(space.path / f"part-{n}.csv")
            parts[-1].write_text("\n".join([header, *rows[n::10]]) + "\n")
        load(space.path / "parts", *parts[:4])
        for part in reversed(parts[4:]):
            load(space.path / "parts", part)
        same("ten parts", dump(space.path / "parts"), wanted)

        for turn, seconds in enumerate((0.05, 0.15, 0.3, 0.45, 0.6)):
            data = space.path / f"killed-{turn}"
            for again in range(3):
                process = space.start("import", "--data", data, "--mapping", MAPPING, FILE)
                time.sleep(seconds * (again + 1))
                process.kill()
                process.wait()
            load(data, FILE)
            same(f"killed after {seconds} s, thrice", dump(data), wanted)


if __name__ == "__main__":
    main()
