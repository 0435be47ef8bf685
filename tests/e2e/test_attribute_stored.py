#!/usr/bin/env python3
"""`tabiji attribute --data`: transforms of stored journeys as of their exported paths; an erased person's solved credits go with the person."""
import csv
import io
import json
import sqlite3

from harness import ROOT, Workspace, tabiji

MAPPING = ROOT / "deploy/mappings/native.ini"
# What a new run does not change.
STANDING = "SELECT person, conversion_id, model, touch_index, touch_event_key, channel, weight_ppb, credited_revenue_minor FROM model_credit"
MODELS = "first,last,last_non_direct,linear,position,markov,shapley"


def table(*arguments, text=None):
    out = tabiji("attribute", "--format", "csv", "--model", MODELS, *arguments, stdin=text and text.encode())
    return {(r["channel"], r["model"]): r for r in csv.DictReader(io.StringIO(out))}


def transformed(space):
    data, file = space.path / "many", space.path / "many.ndjson"
    file.write_text(tabiji("generate", "--events", "8000", "--seed", "3"))
    tabiji("import", "--data", data, "--mapping", MAPPING, file)
    with sqlite3.connect(data / "tabiji.db") as db:
        currency, = db.execute("SELECT currency FROM path WHERE kind = 'converting' GROUP BY 1 ORDER BY count(*) DESC").fetchone()
        paths = db.execute("SELECT channels, sum(conversions), sum(revenue_minor + coalesce((SELECT sum(r.revenue_minor) FROM conversion AS r WHERE "
                           "r.person = path.person AND r.refund_of = path.path_key AND r.kind = 'refund' AND path.kind = 'converting'), 0)), "
                           "sum(kind = 'open') FROM path WHERE kind = 'open' OR currency = ? "
                           "GROUP BY 1 ORDER BY 1", (currency,)).fetchall()
        unit, = db.execute("SELECT minor_per_major FROM currency WHERE currency = ?", (currency,)).fetchone()
    text = "path,total_conversions,total_conversion_value,total_null\n" + "".join(f"{p},{c},{v / unit},{n}\n" for p, c, v, n in paths)
    assert any(len(set(p.split(" > "))) < len(p.split(" > ")) for p, *_ in paths), "repeats"
    seen = []
    for transform in ("none", "exposure", "unique", "first", "frequency"):
        stored, read = table("--data", data, "--currency", currency, "--transform", transform), table("--transform", transform, "-", text=text)
        assert stored.keys() == read.keys(), transform
        for key, row in read.items():
            for column in ("credited_conversions", "credited_value", "removal_effect_conversions"):
                a, b = float(row[column] or 0), float(stored[key][column] or 0)
                assert abs(a - b) <= 1e-12 * max(1, abs(a)), (transform, key, column, a, b)
        seen.append({k: r["credited_conversions"] for k, r in read.items()})
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i]), "transforms that do nothing"
    tabiji("attribute", "--data", data, "--currency", currency, "--model", "markov", "--transform", "first", "--save", expect=2)
    tabiji("attribute", "--data", data, "--transform", "first", "--save", expect=2)


def event(number, day, login, kind, **more):
    return {"id": f"e{number}", "type": kind, "time": f"2026-11-{day:02}T10:00:00Z", "ids": {"login": login}, **more}


def order(name):
    return {"order": {"order_id": name, "revenue": "500", "currency": "JPY"}}


def erased(space):
    data, file = space.path / "erase", space.path / "erase.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in (
        event(1, 1, "u-hana", "message_clicked", message={"kind": "email"}), event(2, 2, "u-hana", "order_completed", **order("A-1")),
        event(3, 3, "u-hana", "order_completed", **order("A-2")), event(4, 1, "u-ken", "message_clicked", message={"kind": "sms"}),
        event(5, 2, "u-ken", "order_completed", **order("B-1")))))
    tabiji("import", "--data", data, "--mapping", MAPPING, file)
    tabiji("attribute", "--data", data, "--model", "markov,shapley", "--save")
    db = sqlite3.connect(data / "tabiji.db")
    orders = "SELECT DISTINCT conversion_id FROM model_credit ORDER BY 1"
    assert db.execute(orders).fetchall() == [("A-1",), ("A-2",), ("B-1",)]
    persons = db.execute("SELECT count(DISTINCT person) FROM model_credit").fetchone()[0]
    kept = db.execute(STANDING + " WHERE conversion_id = 'B-1' ORDER BY model, touch_index").fetchall()
    tabiji("erase", "--confirm", "--data", data, "login:u-hana")
    assert db.execute(orders).fetchall() == [("B-1",)] and persons == 2
    assert db.execute("SELECT count(*) FROM model_credit AS m LEFT JOIN conversion AS c USING (person, conversion_id) WHERE c.person IS NULL").fetchone() == (0,)
    assert db.execute(STANDING + " ORDER BY model, touch_index").fetchall() == kept, "the other person's stand as they were"
    db.close()


def main():
    with Workspace() as space:
        transformed(space)
        erased(space)
    print("attribute, stored: transformed and erased")


if __name__ == "__main__":
    main()
