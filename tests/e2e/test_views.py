#!/usr/bin/env python3
"""Views on paths over the real file, against a plain count in Python: who assisted, how long paths are, what follows what.
The touches come from the credits of the linear model (one a touch), so from other rows than the views read."""
import collections
import contextlib
import json
import sqlite3

from harness import ROOT, SHARED, Workspace, need, tabiji

FILE = need(SHARED / "data" / "journeys" / "attribution_data.csv")
MAPPING = ROOT / "deploy" / "mappings" / "touch-log.ini"
MINOR = 100  # of USD, the mapping's currency


def paths_of(db):
    """[(channels, converts, revenue_minor)]"""
    touches = collections.defaultdict(dict)
    for person, order, index, channel in db.execute(
            "SELECT person, conversion_id, touch_index, channel FROM attribution_credit "
            "WHERE model = 'linear' AND touch_event_key IS NOT NULL"):
        touches[person, order][index] = channel
    found = []
    for person, order, minor in db.execute(
            "SELECT person, conversion_id, revenue_minor FROM conversion WHERE kind = 'conversion'"):
        path = touches[person, order]
        found.append(([path[i] for i in sorted(path)], True, minor))
    for channels, in db.execute("SELECT channels FROM path WHERE kind = 'open'"):
        found.append((channels.split(" > "), False, 0))
    return found


def check_assisted(db, paths):
    wanted = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    for channels, converts, minor in paths:
        if not converts:
            continue
        for channel in set(channels[:-1]):
            wanted[channel][0] += 1
            wanted[channel][1] += minor
        if channels:
            wanted[channels[0]][2] += 1
            wanted[channels[-1]][3] += 1
            wanted[channels[-1]][4] += minor
    seen = {row[0]: row[1:] for row in db.execute(
        "SELECT channel, assisted_conversions, assisted_revenue, first_touch_conversions, last_touch_conversions, "
        "last_touch_revenue, assisted_per_last FROM v_assisted")}
    assert seen.keys() == wanted.keys(), (seen.keys(), wanted.keys())
    for channel, (assisted, assisted_minor, first, last, last_minor) in wanted.items():
        assert seen[channel] == (assisted, assisted_minor / MINOR, first, last, last_minor / MINOR,
                                 assisted / last if last else None), (channel, seen[channel])
    assert sum(row[3] for row in seen.values()) == sum(bool(c) for c, converts, _ in paths if converts)


def check_length(db, paths):
    wanted = collections.defaultdict(lambda: [0, 0])
    of_kind = collections.Counter()
    for channels, converts, minor in paths:
        kind = "converting" if converts else "open"
        wanted[kind, len(channels)][0] += 1
        wanted[kind, len(channels)][1] += minor
        of_kind[kind] += 1
    seen = {(kind, n): (count, minor, share) for kind, n, count, minor, share in db.execute(
        "SELECT kind, touches, paths, revenue_minor, share FROM v_path_length")}
    assert seen.keys() == wanted.keys()
    for key, (count, minor) in wanted.items():
        assert seen[key][:2] == (count, minor), (key, seen[key])
        assert abs(seen[key][2] - count / of_kind[key[0]]) < 1e-12, (key, seen[key])


def check_flow(db, paths):
    wanted, converting, leaving = collections.Counter(), collections.Counter(), collections.Counter()
    for channels, converts, _ in paths:
        stops = ["(start)", *channels, "(conversion)" if converts else "(null)"]
        for step, pair in enumerate(zip(stops, stops[1:]), 1):
            wanted[(step, *pair)] += 1
            converting[(step, *pair)] += converts
            leaving[step, pair[0]] += 1
    rows = list(db.execute(
        "SELECT step, from_channel, to_channel, paths, converting_paths, share FROM v_journey_flow"))
    assert {row[:3] for row in rows} == set(wanted) and len(rows) == len(wanted)
    for row in rows:
        assert row[3:5] == (wanted[row[:3]], converting[row[:3]]), row
        assert abs(row[5] - wanted[row[:3]] / leaving[row[:2]]) < 1e-12, row


def check_absurd_amounts():
    """Two amounts that no sum can hold are two rows, not the end of the views. The door takes none such any more, but a
    database may hold them from before, and many that it takes add up to as much: they are written here by hand."""
    most = 2**63 - 1
    order = {"type": "order_completed", "time": "2026-11-20T00:00:00Z", "ids": {"login": "u-1"}}
    lines = [json.dumps({"id": f"e-{n}", **order, "order": {"order_id": f"W-{n}", "revenue": "5", "currency": "USD"}})
             for n in (1, 2)]
    with Workspace() as space:
        tabiji("import", "--data", space.path / "data", "--mapping", ROOT / "deploy" / "mappings" / "native.ini", "-",
               stdin="\n".join(lines).encode())
        with contextlib.closing(sqlite3.connect(space.path / "data" / "tabiji.db")) as db:
            for table, column in (("event", "revenue_minor"), ("conversion", "revenue_minor"), ("path", "revenue_minor"),
                                  ("attribution_credit", "credited_revenue_minor")):
                assert db.execute(f"UPDATE {table} SET {column} = {most} WHERE {column} > 0").rowcount > 1, table
            views = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
            assert len(views) > 15, views
            for view in views:
                db.execute(f"SELECT * FROM {view}").fetchall()
            revenue, = db.execute("SELECT credited_revenue FROM v_channel_attribution WHERE model = 'first'").fetchone()
            assert abs(revenue / 184467440737095516.14 - 1) < 1e-9, revenue


def check_refunds():
    """A refund that takes nothing, or less than it says, is told of with its reason, in whatever order events come."""
    def event(n, kind, order, **more):
        return json.dumps({"id": f"e-{n}", "type": kind, "time": f"2026-11-20T00:00:{n:02}Z", "ids": {"login": "u-1"},
                           "order": {**({"order_id": order} if order else {}), **more}})
    lines = [event(1, "order_completed", "A", revenue="1000", currency="JPY"),
             event(2, "order_refunded", "A", revenue="1", currency="USD"),
             event(3, "order_refunded", "A", revenue="100", currency="JPY"),
             event(4, "order_refunded", "B", revenue="7", currency="JPY"),
             event(5, "item_returned", None, revenue="7", currency="JPY"),
             event(6, "order_cancelled", "C", revenue="5", currency="EUR"),
             event(7, "order_completed", "C", revenue="5", currency="EUR"),
             event(8, "order_refunded", "A", revenue="950", currency="JPY"),
             # Cancelled and refunded is one loss, in whatever order; more than the order had is told.
             event(10, "order_completed", "D", revenue="500", currency="USD"), event(11, "order_cancelled", "D", currency="USD"),
             event(12, "order_refunded", "D", revenue="200", currency="USD"), event(13, "order_refunded", "D", revenue="300", currency="USD"),
             event(14, "order_completed", "E", revenue="500", currency="USD"), event(15, "order_refunded", "E", revenue="200", currency="USD"),
             event(16, "order_cancelled", "E", revenue="500", currency="USD"),
             event(17, "order_completed", "F", revenue="500", currency="USD"), event(18, "order_cancelled", "F", currency="USD"),
             event(19, "order_refunded", "F", revenue="501", currency="USD"),
             event(20, "order_completed", "G", revenue="500", currency="USD"), event(21, "order_cancelled", "G", revenue="501", currency="USD")]
    wanted = [("e-19", "F", 50100, 501.0, "USD", "USD", "over_order", 0), ("e-2", "A", 100, 1.0, "USD", "JPY", "other_currency", 0),
              ("e-21", "G", 50100, 501.0, "USD", "USD", "over_order", 50000), ("e-4", "B", 7, 7.0, "JPY", None, "no_order", 0),
              ("e-5", None, 7, 7.0, "JPY", None, "no_order_id", 0), ("e-8", "A", 950, 950.0, "JPY", "JPY", "over_order", 900)]
    for order in (lines, lines[::-1], lines[3:] + lines + lines[:3]):
        with Workspace() as space:
            load = ["import", "--data", space.path / "data", "--mapping", ROOT / "deploy" / "mappings" / "native.ini", "-"]
            for part in (order[:4], order[4:10], order[10:]):
                tabiji(*load, stdin="\n".join(part).encode())
            with contextlib.closing(sqlite3.connect(f"file:{space.path}/data/tabiji.db?mode=ro", uri=True)) as db:
                seen = list(db.execute("SELECT event_id, order_id, revenue_minor, revenue, currency, order_currency, why, taken_minor "
                                       "FROM v_refund_waiting ORDER BY 1"))
                assert seen == wanted, seen
                assert db.execute("SELECT sum(revenue_minor) FROM conversion WHERE currency IN ('JPY', 'USD')").fetchone() == (0,)


CALLS = [  # id, type, second, call, more of the event
    ("a-1", "call_started", 0, {"call_id": "A", "direction": "inbound", "queue": "main"}, {}),
    ("a-2", "call_queued", 5, {"call_id": "A", "queue": "returns"}, {}),
    ("a-3", "call_answered", 65, {"call_id": "A", "agent": "ag-1"}, {"store": {"store_id": "S1"}}),
    ("a-4", "call_ended", 125, {"call_id": "A", "outcome": "resolved", "reason": "size"}, {}),
    # what the sender says counts, and the last word of it; a leg of another call
    ("b-1", "call_started", 10, {"call_id": "B", "direction": "inbound", "parent_id": "A"}, {}),
    ("b-2", "call_answered", 10, {"call_id": "B", "agent": "ag-2", "queue": "x"}, {"sequence": 2}),
    ("b-3", "call_answered", 10, {"call_id": "B", "agent": "ag-3", "queue": "y"}, {"sequence": 1}),
    ("b-4", "call_ended", 90, {"call_id": "B", "wait_ms": 700, "talk_ms": 61000}, {}),
    # given up; a call out that nobody took, which no customer gave up, however it was sent; one that goes on; an end alone
    ("c-1", "call_started", 20, {"call_id": "C", "direction": "inbound"}, {}), ("c-2", "call_abandoned", 50, {"call_id": "C"}, {}),
    ("d-1", "call_started", 30, {"call_id": "D", "direction": "outbound"}, {}),
    ("d-2", "call_abandoned", 40, {"call_id": "D", "direction": "outbound", "outcome": "busy"}, {}),
    ("e-1", "call_started", 60, {"call_id": "E", "direction": "inbound"}, {}),
    ("f-1", "call_ended", 70, {"call_id": "F", "talk_ms": 5000}, {}), ("g-1", "chat_started", 80, {"call_id": "G"}, {}),
    # who says only when it began and ended does not say that nobody spoke; who says why nobody answered does
    ("h-1", "call_started", 90, {"call_id": "H", "direction": "inbound"}, {}), ("h-2", "call_ended", 95, {"call_id": "H", "outcome": "resolved"}, {}),
    ("i-1", "call_started", 100, {"call_id": "I", "direction": "outbound"}, {}),
    ("i-2", "call_ended", 105, {"call_id": "I", "direction": "outbound", "outcome": "no-answer"}, {}),
    # of a start that nobody told of the earliest that is known stands; an answer alone says nothing of waiting, an end nothing of a start
    ("j-1", "call_ringing", 110, {"call_id": "J"}, {}), ("j-2", "call_answered", 112, {"call_id": "J"}, {}),
    ("j-3", "call_ended", 118, {"call_id": "J"}, {}),
    ("k-1", "call_answered", 120, {"call_id": "K"}, {}), ("k-2", "call_held", 122, {"call_id": "K"}, {}), ("k-3", "call_ended", 125, {"call_id": "K"}, {}),
    ("l-1", "call_customer_end", 130, {"call_id": "L"}, {}), ("l-2", "call_abandoned", 131, {"call_id": "L"}, {})]
WANTED_CALLS = [  # call, parent, direction, queue, agent, store, started, answered, ended, waited, talked, abandoned, outcome, reason, events
    ("A", None, "inbound", "returns", "ag-1", "S1", "09:00:00", "09:01:05", "09:02:05", 65000, 60000, 0, "resolved", "size", 4),
    ("B", "A", "inbound", "x", "ag-2", None, "09:00:10", "09:00:10", "09:01:30", 700, 61000, 0, None, None, 4),
    ("C", None, "inbound", None, None, None, "09:00:20", None, "09:00:50", 30000, 0, 1, None, None, 2),
    ("D", None, "outbound", None, None, None, "09:00:30", None, "09:00:40", None, 0, 0, "busy", None, 2),
    ("E", None, "inbound", None, None, None, "09:01:00", None, None, None, None, None, None, None, 1),
    ("F", None, None, None, None, None, None, None, "09:01:10", None, 5000, 0, None, None, 1),
    ("H", None, "inbound", None, None, None, "09:01:30", None, "09:01:35", None, None, 0, "resolved", None, 2),
    ("I", None, "outbound", None, None, None, "09:01:40", None, "09:01:45", None, 0, 0, "no-answer", None, 2),
    ("J", None, None, None, None, None, "09:01:50", "09:01:52", "09:01:58", 2000, 6000, 0, None, None, 3),
    ("K", None, None, None, None, None, "09:02:00", "09:02:00", "09:02:05", None, 5000, 0, None, None, 3),
    ("L", None, None, None, None, None, None, None, "09:02:11", None, 0, 1, None, None, 2)]


def check_calls():
    """A row a call: what its events say together, in whatever order and how often they come; and by person in one look."""
    lines = [json.dumps({"id": n, "type": kind, "time": f"2026-11-20T00:{second // 60:02}:{second % 60:02}Z", "call": call,
                         "ids": {"phone": "03-1234-5678"} if n[0] != "f" else {"login": "u-9"}, **more}) for n, kind, second, call, more in CALLS]
    persons = set()
    for order in (lines, lines[::-1], lines[5:] + lines + lines[:5]):
        with Workspace() as space:
            load = ["import", "--data", space.path / "data", "--mapping", ROOT / "deploy" / "mappings" / "native.ini", "-"]
            for part in (order[:6], order[6:]):
                tabiji(*load, stdin="\n".join(part).encode())
            with contextlib.closing(sqlite3.connect(f"file:{space.path}/data/tabiji.db?mode=ro", uri=True)) as db:
                seen = list(db.execute(
                    "SELECT call_id, parent_call_id, direction, queue, agent, store_id, substr(started_at_jst, 12), substr(answered_at_jst, 12), "
                    "substr(ended_at_jst, 12), wait_ms, talk_ms, abandoned, outcome, reason, events FROM v_call ORDER BY call_id"))
                assert seen == WANTED_CALLS, seen
                persons.add(tuple(db.execute("SELECT person_id, source, started_at_utc FROM v_call ORDER BY call_id")))
                plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN SELECT * FROM v_call WHERE person = x'00'")]
                assert "SEARCH t USING PRIMARY KEY (person=?)" in plan and "SCAN t" not in plan, plan
    assert len(persons) == 1, persons


def main():
    with Workspace() as space:
        tabiji("import", "--data", space.path / "data", "--mapping", MAPPING, FILE)
        db = sqlite3.connect(f"file:{space.path / 'data' / 'tabiji.db'}?mode=ro", uri=True)
        paths = paths_of(db)
        assert len(paths) > 7000 and sum(converts for _, converts, _ in paths) == 1838
        check_assisted(db, paths)
        check_length(db, paths)
        check_flow(db, paths)
        print(f"{len(paths)} paths agree with v_assisted, v_path_length, v_journey_flow")
    check_absurd_amounts()
    check_refunds()
    check_calls()


if __name__ == "__main__":
    main()
