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
    """Two orders that no sum can hold are two rows, not the end of the views."""
    order = {"type": "order_completed", "time": "2026-11-20T00:00:00Z", "ids": {"login": "u-1"}}
    most = {"revenue": "92233720368547758.07", "currency": "USD"}
    lines = [json.dumps({"id": f"e-{n}", **order, "order": {"order_id": f"W-{n}", **most}}) for n in (1, 2)]
    with Workspace() as space:
        tabiji("import", "--data", space.path / "data", "--mapping", ROOT / "deploy" / "mappings" / "native.ini", "-",
               stdin="\n".join(lines).encode())
        with contextlib.closing(sqlite3.connect(f"file:{space.path}/data/tabiji.db?mode=ro", uri=True)) as db:
            views = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
            assert len(views) > 15, views
            for view in views:
                db.execute(f"SELECT * FROM {view}").fetchall()
            revenue, = db.execute("SELECT credited_revenue FROM v_channel_attribution WHERE model = 'first'").fetchone()
            assert abs(revenue / 184467440737095516.14 - 1) < 1e-9, revenue


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


if __name__ == "__main__":
    main()
