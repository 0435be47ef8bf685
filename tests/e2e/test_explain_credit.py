#!/usr/bin/env python3
"""Where a conversion's credit went: each model's shares of each touch sum to the conversion, and name the events behind; also of
models that are solved over all journeys, and as `attribute --save` keeps them."""
import collections
import json
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
MODELS = ["first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"]
SOLVED = ["markov", "shapley", "shapley_ordered", "shapley_rate", "shapley_paths", "shapley_paths_ordered", "shao_li"]


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def event(number, hour, kind, **more):
    return {"id": f"e{number}", "type": kind, "time": f"2026-11-2{hour // 24}T{hour % 24:02}:00:00+09:00", "ids": {"login": "u-hana"}, **more}


def order(name, revenue):
    return {"order": {"order_id": name, "revenue": revenue, "currency": "JPY"}}


EVENTS = [
    event(1, 8, "page_viewed", campaign={"source": "google", "medium": "cpc", "name": "brand"}),
    event(2, 12, "message_clicked", message={"kind": "email"}),
    event(3, 20, "call_started", call={"call_id": "C1", "direction": "inbound"}),
    event(4, 30, "order_completed", **order("A-1\u202e", "1001")),
    event(5, 32, "item_returned", **order("A-1\u202e", "500")),
    {**event(6, 33, "order_completed", **order("B-1", "70")), "ids": {"cookie": "c-nobody"}},
]


def credits(data, name):
    return json.loads(run("explain", "credit", name, "--data", data, "--json").stdout)


def sums(rows, member):
    found = collections.Counter()
    for row in rows:
        found[row["model"]] += round(float(row[member]) * 1e9) if member == "weight" else row[member]
    return found


def one_more(where):
    file = where / "more.ndjson"
    file.write_text(json.dumps(event(8, 3, "message_clicked", message={"kind": "sms"})) + "\n")
    return file


def solved(data, both):
    """The additive game shares alike; what is saved is what is explained, and a conversion that changes takes its rows along."""
    shares = [(r["kind"], r["event_id"], r["weight"], r["credited_revenue_minor"]) for r in both if r["model"] == "shapley"]
    assert shares == [("conversion", "e1", "0.333333334", 334), ("conversion", "e2", "0.333333333", 333), ("conversion", "e3", "0.333333333", 334),
                      ("refund", "e1", "0.000000000", -167), ("refund", "e2", "0.000000000", -166), ("refund", "e3", "0.000000000", -167)], shares
    assert shares == [(r["kind"], r["event_id"], r["weight"], r["credited_revenue_minor"]) for r in both if r["model"] == "linear"]
    only = json.loads(run("explain", "credit", "A-1\u202e", "--data", data, "--json", "--model", "shao_li").stdout)
    assert set(sums(only, "weight")) == set(MODELS + ["shao_li"])
    run("explain", "credit", "A-1\u202e", "--data", data, "--model", "linear", code=2)
    assert "markov" in run("explain", "credit", "A-1\u202e", "--data", data, "--model", "markow", code=2).stderr
    run("attribute", "--data", data, "--currency", "JPY", "--model", "first,markov,shapley", "--save")
    db = sqlite3.connect(data / "tabiji.db")
    kept = db.execute("SELECT kind, event_id, printf('%.9f', weight), credited_revenue_minor FROM model_credit AS m JOIN conversion USING (person, "
                      "conversion_id) JOIN event AS e ON e.event_key = m.touch_event_key WHERE model = 'shapley' ORDER BY kind, touch_index").fetchall()
    assert kept == shares, kept
    assert db.execute("SELECT DISTINCT model FROM model_credit ORDER BY 1").fetchall() == [(m,) for m in sorted(SOLVED)]
    late = data.parent / "late.ndjson"
    late.write_text(json.dumps(event(7, 2, "message_clicked", message={"kind": "sms"})) + "\n")
    run("import", "--data", data, "--mapping", MAPPING, late)
    late = db.execute("SELECT count(*) FROM model_credit WHERE model = 'shapley' AND conversion_id LIKE 'A-1%'").fetchone()
    assert late == (8,), "a conversion that changed has its rows again: four touches of it, and of its refund"
    run("import", "--data", data, "--mapping", MAPPING, "--set", "attribution.touch_credit=no", one_more(data.parent))
    left = db.execute("SELECT DISTINCT conversion_id FROM model_credit").fetchall()
    assert left == [("B-1",)], left
    db.close()


def reconciled(space):
    """Of generated journeys with refunds: each conversion's solved credits sum to it, and whole refunds leave nothing."""
    data, file = space.path / "many", space.path / "many.ndjson"
    file.write_text(run("generate", "--events", "20000", "--seed", "5").stdout)
    run("import", "--data", data, "--mapping", MAPPING, file)
    run("attribute", "--data", data, "--model", "markov,shapley,shapley_rate,shao_li", "--save")
    db = sqlite3.connect(data / "tabiji.db")
    models = len(SOLVED)
    wrong = db.execute("SELECT c.conversion_id, c.kind, m.model, sum(m.weight_ppb), sum(m.credited_revenue_minor), c.revenue_minor FROM conversion AS c "
                       "LEFT JOIN model_credit AS m USING (person, conversion_id) GROUP BY c.person, c.conversion_id, m.model HAVING m.model IS NULL "
                       "OR sum(m.weight_ppb) <> (c.kind = 'conversion') * 1000000000 OR sum(m.credited_revenue_minor) <> c.revenue_minor").fetchall()
    assert not wrong, wrong[:3]
    counts = db.execute("SELECT count(*), count(*) FILTER (WHERE kind = 'refund'), (SELECT count(DISTINCT hex(person) || conversion_id || model) "
                        "FROM model_credit) FROM conversion").fetchone()
    assert counts[1] > 20 and counts[2] == models * counts[0], counts
    rest = db.execute("""WITH net AS (SELECT person, coalesce(refund_of, c.conversion_id) AS sale, sum(c.revenue_minor) AS minor FROM conversion AS c
        GROUP BY 1, 2 HAVING minor = 0 AND count(*) > 1) SELECT n.sale, m.model, m.touch_index, sum(m.credited_revenue_minor) AS left FROM net AS n
        JOIN conversion AS c ON c.person = n.person AND coalesce(c.refund_of, c.conversion_id) = n.sale
        JOIN model_credit AS m ON m.person = c.person AND m.conversion_id = c.conversion_id GROUP BY n.person, 1, 2, 3""").fetchall()
    assert rest and all(left == 0 for *_, left in rest), rest[:3]
    fitted = dict(db.execute("SELECT channel, sum(weight_ppb) / 1e9 FROM model_credit WHERE model = 'shapley' GROUP BY 1"))
    for channel, credit in db.execute("SELECT channel, credited_conversions FROM model_channel WHERE model = 'shapley'"):
        assert abs(fitted[channel] - credit) < 1e-5, (channel, fitted[channel], credit)
    db.close()


def main():
    with Workspace() as space:
        data, file = space.path / "data", space.path / "events.ndjson"
        file.write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
        run("import", "--data", data, "--mapping", MAPPING, file)
        both = credits(data, "A-1\u202e")
        sold = [r for r in both if r["kind"] == "conversion"]
        back = [r for r in both if r["kind"] == "refund"]
        assert set(sums(sold, "weight")) == set(MODELS + SOLVED) and set(sums(sold, "weight").values()) == {10 ** 9}, sums(sold, "weight")
        assert set(sums(sold, "credited_revenue_minor").values()) == {1001}
        assert set(sums(back, "credited_revenue_minor").values()) == {-500}
        events = [[r["event_id"] for r in sold if r["model"] == "linear"], [r["event_id"] for r in sold if r["model"] == "first"]]
        assert events == [["e1", "e2", "e3"], ["e1"]], events
        assert [r["channel"] for r in sold if r["model"] == "linear"] == ["Paid Search", "Email", "Call Center"]
        assert credits(data, "e4") == sold, "by the id of its event"
        text = run("explain", "credit", "A-1\u202e", "--data", data).stdout
        assert "\u202e" not in text and "refund" in text and "33.3% 334" in text and "brand" in text, text
        alone = credits(data, "B-1")
        assert {r["channel"] for r in alone} == {"(unattributed)"} and set(sums(alone, "credited_revenue_minor").values()) == {70}, alone
        assert "no conversion" in run("explain", "credit", "A-2", "--data", data, code=4).stderr
        run("explain", "credit", "--data", data, code=2)
        solved(data, both)
        reconciled(space)
    print("credit explained: shares of each model sum to the conversion")


if __name__ == "__main__":
    main()
