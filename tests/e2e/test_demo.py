#!/usr/bin/env python3
"""`tabiji demo` as a new user runs it."""
import json
import sqlite3

from harness import Workspace, tabiji


def main():
    with Workspace() as space:
        text = tabiji("demo", "--data", space.path / "demo", "--events", "3000")
        print(text)
        for word in ("Store", "LINE", "Email", "Call Center", "last", "linear", "tabiji.db"):
            assert word in text, word
        db = sqlite3.connect(f"file:{space.path}/demo/tabiji.db?mode=ro", uri=True)
        events, channels = db.execute("SELECT count(*), count(DISTINCT channel) FROM event").fetchone()
        assert events == 3000 and channels > 5, (events, channels)
        credited = db.execute("SELECT model, sum(credited_revenue_minor) FROM attribution_credit GROUP BY model").fetchall()
        total = db.execute("SELECT sum(revenue_minor) FROM conversion").fetchone()[0]
        assert total > 0 and credited and all(minor == total for _, minor in credited), (credited, total)
        again = tabiji("demo", "--data", space.path / "demo", "--events", "3000")
        assert again.count("\n") == text.count("\n"), "a second run shows something else"
        shown = json.loads(tabiji("demo", "--data", space.path / "demo", "--events", "3000", "--json"))
        assert shown["events"] == {"sent": 3000, "accepted": 3000, "rejected": 0}, shown["events"]
        assert shown["database"].endswith("tabiji.db") and shown["timeline"], shown
        assert {row["channel"] for row in shown["channels"]} > {"Store", "LINE", "Email"}, shown["channels"]


if __name__ == "__main__":
    main()
