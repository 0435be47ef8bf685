#!/usr/bin/env python3
"""All tables derived anew in another directory from the log: those of the first, to the byte, also after kill -9 and beside a collector that
goes on; with other settings those of an import by them; and what is said to differ is what differs."""
import json
import signal
import subprocess

from harness import PROGRAM, ROOT, Workspace, free_port, same, stop, tabiji, wait_until
from test_http import post, ready, rows

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
OTHER = ["--set", "identity.generic_up=1", "--set", "journey.lookback_days=2"]


def dump(data):
    return tabiji("state", "dump", "--data", data)


def differing(before, after):
    """Rows of two dumps that differ, by table."""
    found = {}
    for row in set(before.splitlines()) ^ set(after.splitlines()):
        table = json.loads(row)["table"]
        found[table] = found.get(table, 0) + 1
    return found


def killed(data, shadow, wanted):
    kills = 0
    for least in (200, 700):
        process = subprocess.Popen([PROGRAM, "replay", "--data", data, "--into", shadow, "--rate", "1000"], stdout=subprocess.DEVNULL)
        wait_until(lambda: (shadow / "log" / "data.mdb").exists() and records(shadow) > least, "some records")
        assert process.poll() is None, "killed too late"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += records(shadow) < records(data)
    before = records(shadow)
    said = json.loads(tabiji("replay", "--json", "--data", data, "--into", shadow))
    assert kills == 2 and said["records"] == records(data) - before, (kills, said, before)
    same(f"resumed after {kills} kills, the last after {before} records", dump(shadow), wanted)


def records(data):
    """Length of a log: what a replay from its beginning would copy."""
    found = subprocess.run([PROGRAM, "replay", "--json", "--data", data, "--into-prefix", "x", "--dry-run", "--set",
                            "kafka.bootstrap.servers=127.0.0.1:1", "--set", f"stream.state_dir={data.parent}/x"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)["records"]


def beside_a_collector(space, data, shadow):
    port = free_port()
    process = space.start("run", "--data", data, "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: ready(port), "the collector")
    late = [{"id": f"late-{n}", "type": "page_viewed", "time": "2026-11-20T10:00:00Z", "ids": {"cookie": f"late-{n % 7}"}} for n in range(50)]
    late += [{"id": f"bad-{n}", "type": "page_viewed", "ids": {"cookie": "c"}, "pagee": n} for n in range(5)]
    assert post(port, "/v1/events", late)[0] == 200
    said = json.loads(tabiji("replay", "--json", "--data", data, "--into", shadow))
    assert said["records"] == len(late), said
    assert stop(process) == 0
    tabiji("rejected", "replay", "--data", data, "--reason", "none")  # all that was taken stands in the tables
    same("with what came in since, beside a collector", dump(shadow), dump(data))
    assert rows(shadow, "SELECT count(*) FROM rejected") == [(5,)]


def main():
    with Workspace() as space:
        data, shadow, other, wanted = (space.path / name for name in ("data", "shadow", "other", "wanted"))
        file = space.path / "events.ndjson"
        file.write_text(tabiji("generate", "--events", 3000, "--seed", 6))
        tabiji("import", "--data", data, "--mapping", MAPPING, file)
        tabiji("import", "--data", wanted, "--mapping", MAPPING, *OTHER, file)
        before, after = dump(data), dump(wanted)
        assert before != after
        killed(data, shadow, before)
        beside_a_collector(space, data, shadow)
        before = dump(data)

        # By other settings: the tables of an import by them, and differences as they are.
        tabiji("replay", "--data", wanted, "--into", other, *OTHER)
        same("by other settings", dump(other), after)
        said = json.loads(tabiji("replay", "--json", "--samples", 2, "--data", other, "--diff", wanted))
        assert said["rows"] == 0 and said["samples"] == [], said
        said = json.loads(tabiji("replay", "--json", "--samples", 2, "--data", other, "--diff", data))
        counted = {t["table"]: t["gone"] + t["come"] + 2 * t["changed"] for t in said["tables"]}
        assert {name: count for name, count in counted.items() if count} == {**differing(before, after), **{
            name: count for name, count in counted.items() if name == "attribution_credit"}}, (counted, differing(before, after))
        assert all(len([s for s in said["samples"] if s["table"] == t["table"]]) == min(2, t["gone"] + t["come"] + t["changed"])
                   for t in said["tables"]), said["samples"]
        assert said["tables"][0]["table"] == "attribution_credit" and counted["attribution_credit"] > 0

        # A rehearsal leaves nothing behind and says the same.
        listed = sorted(path.name for path in space.path.iterdir())
        rehearsed = tabiji("replay", "--dry-run", "--data", data, *OTHER).splitlines()
        assert sorted(path.name for path in space.path.iterdir()) == listed
        assert dump(data) == before and int(rehearsed[-1].split()[0]) > 0, rehearsed[-3:]

        # From an offset, and from a time at which nothing had come yet.
        tabiji("replay", "--data", data, "--into", space.path / "tail", "--from", 3000)
        assert rows(space.path / "tail", "SELECT count(*), min(event_id) LIKE 'late-%' FROM event") == [(50, 1)]
        tabiji("replay", "--data", data, "--into", space.path / "none", "--from", "2200-01-01")
        assert rows(space.path / "none", "SELECT count(*) FROM event") == [(0,)]
        tabiji("replay", "--data", data, "--into", data, expect=2)
        tabiji("replay", "--data", space.path / "absent", "--into", space.path / "nothing", expect=4)
        assert not (space.path / "nothing").exists()


if __name__ == "__main__":
    main()
