#!/usr/bin/env python3
"""Where a conversion's credit went: each model's shares of each touch sum to the conversion, and name the events behind."""
import collections
import json
import subprocess

from harness import PROGRAM, ROOT, Workspace

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
MODELS = ["first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"]


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


def main():
    with Workspace() as space:
        data, file = space.path / "data", space.path / "events.ndjson"
        file.write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
        run("import", "--data", data, "--mapping", MAPPING, file)
        both = credits(data, "A-1\u202e")
        sold = [r for r in both if r["kind"] == "conversion"]
        back = [r for r in both if r["kind"] == "refund"]
        assert set(sums(sold, "weight")) == set(MODELS) and set(sums(sold, "weight").values()) == {10 ** 9}, sums(sold, "weight")
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
    print("credit explained: shares of each model sum to the conversion")


if __name__ == "__main__":
    main()
