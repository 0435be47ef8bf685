#!/usr/bin/env python3
"""What was rejected, put through the door again after a fix: the tables are those of a directory that was fixed from the start, whether
it is done once, twice, after kill -9, or with the same events sent again; what is refused again stays with the reason of now."""
import json
import shutil
import signal
import subprocess

from harness import PROGRAM, ROOT, Workspace, free_port, same, stop, tabiji, wait_until
from test_http import post, ready, rows

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
PLAIN, FIXED = "[source dev]\n", "[source dev]\noperator = yes\ncurrency = JPY\n"
WORDS = 300


def event(number, kind, **more):
    return {"id": f"e-{number}", "type": kind, "time": f"2026-11-20T10:{number // 60 % 60:02d}:{number % 60:02d}+09:00", **more}


def events():
    """Views of logins; words of an operator that link two of them, one of them twice the same login; one whose fields nobody knows."""
    views = [event(n, "page_viewed", ids={"login": f"u-{n}"}) for n in range(2 * WORDS)]
    words = [event(1000 + n, "identity_linked", ids={"login": f"u-{2 * n}"},
                   evidence={"a": {"login": f"u-{2 * n}"}, "b": {"login": f"u-{2 * n + 1}"}, "sign": 1, "reason": "same"}) for n in range(WORDS)]
    nobody = event(2000, "identity_linked", ids={"login": "u-1"},
                   evidence={"a": {"login": "u-1"}, "b": {"login": "u-1"}, "sign": 1, "reason": "odd"})
    unknown = event(2001, "page_viewed", ids={"login": "u-1"}, pagee={})
    timeless = {"id": "e-2002", "type": "identity_linked", "ids": {"login": "u-5"},
                "evidence": {"a": {"login": "u-5"}, "b": {"login": "u-9"}, "sign": 1, "reason": "no time"}}
    return views + words + [nobody, unknown, timeless]


def send(space, data, config, batches):
    port = free_port()
    process = space.start("run", "--config", config, "--data", data, "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: ready(port), "the collector")
    for batch in batches:
        status, text = post(port, "/v1/events", batch)
        assert status == 200, text
    assert stop(process) == 0
    # Nothing to do but to bring the tables up to what was taken.
    again(data, config, "--reason", "none")


def again(data, config, *flags, code=0):
    found = subprocess.run([PROGRAM, "rejected", "replay", "--json", "--config", str(config), "--data", str(data), *flags],
                           capture_output=True, text=True, timeout=120)
    assert found.returncode == code, (found.returncode, found.stdout, found.stderr)
    return json.loads(found.stdout)


def dump(data):
    return tabiji("state", "dump", "--data", data)


def reasons(data):
    return dict(rows(data, "SELECT reason, count(*) FROM rejected GROUP BY 1"))


def rebuilt(data, state):
    """A copy whose tables, and state if so, are to be made again."""
    other = data.parent / f"rebuilt{state}"
    shutil.copytree(data, other)
    if state:
        shutil.rmtree(other / "state")
    for name in ("tabiji.db", "tabiji.db-wal", "tabiji.db-shm"):
        (other / name).unlink(missing_ok=True)
    return other


def killed(data, config):
    """kill -9 as soon as some have gone, twice; each run goes on with what is left."""
    left = [sum(reasons(data).values())]
    for _ in range(2):
        process = subprocess.Popen([PROGRAM, "rejected", "replay", "--config", config, "--data", data, "--rate", "100"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: sum(reasons(data).values()) < left[-1], "some to go")
        assert process.poll() is None, "killed too late"
        process.send_signal(signal.SIGKILL)
        process.wait()
        left.append(sum(reasons(data).values()))
    assert left[0] > left[1] > left[2] > 2, left
    print(f"killed twice, rejected after each: {left}")


def main():
    with Workspace() as space:
        plain, fixed = space.path / "plain.ini", space.path / "fixed.ini"
        plain.write_text(PLAIN)
        fixed.write_text(FIXED)
        all_events = events()
        timeless = all_events.pop()
        wanted, data, cut = (space.path / name for name in ("wanted", "data", "cut"))
        send(space, wanted, fixed, [all_events])
        assert reasons(wanted) == {"bad_value": 1, "unknown_field": 1}, reasons(wanted)
        send(space, data, plain, [all_events])
        assert reasons(data) == {"bad_value": WORDS + 1, "unknown_field": 1}, reasons(data)
        before = dump(data)
        shutil.copytree(data, cut)

        # A rehearsal, and a door that is as it was, change nothing.
        said = again(data, fixed, "--dry-run", code=6)
        assert (said["accepted"], said["refused"], said["refused_otherwise"]) == (WORDS, 1, 1), said
        assert again(data, plain, code=6)["refused"] == WORDS + 2
        same("nothing changed", dump(data), before)

        # By reason, id, time and key; then all.
        assert again(data, fixed, "--id", "e-1007")["accepted"] == 1
        assert again(data, fixed, "--until", "2020-01-01") == again(data, fixed, "--reason", "none")
        key = rows(data, "SELECT lower(hex(rejected_key)) FROM rejected WHERE event_id = 'e-1008'")[0][0]
        found = subprocess.run([PROGRAM, "rejected", "replay", "--config", fixed, "--data", data, key], capture_output=True, text=True)
        assert found.returncode == 0 and "1 accepted" in found.stdout, found
        assert again(data, fixed, "--reason", "bad_value", code=6)["accepted"] == WORDS - 2
        same("as if it had been right from the start", dump(data), dump(wanted))
        said = again(data, fixed, code=6)
        assert (said["accepted"], said["refused"], said["refused_otherwise"]) == (0, 2, 0), said
        same("twice is as once", dump(data), dump(wanted))

        # The same refused events once more, by a door that still refuses them; and all made anew from the log.
        send(space, data, plain, [all_events])
        same("sent again", dump(data), dump(wanted))
        for state in (False, True):
            other = rebuilt(data, state)
            again(other, fixed, "--reason", "none")
            same("made anew from the log" if state else "read anew from the state", dump(other), dump(wanted))
        # Back to the old door: what is refused otherwise there is so again, and nothing is lost between the two.
        assert again(data, plain, code=6)["refused_otherwise"] == 1
        assert sum(reasons(data).values()) == 2
        assert again(data, fixed, code=6)["refused_otherwise"] == 1
        same("there and back", dump(data), dump(wanted))

        killed(cut, fixed)
        again(cut, fixed, code=6)
        same("after kill -9", dump(cut), dump(wanted))

        # An event without a time keeps that of its first arrival.
        send(space, data, plain, [[timeless]])
        received, = rows(data, "SELECT received_at FROM rejected WHERE event_id = 'e-2002'")[0]
        assert again(data, fixed, "--id", "e-2002")["accepted"] == 1
        assert rows(data, "SELECT occurred_at FROM event_link WHERE occurred_at = ?", received), "occurred when it came"
        rows_of_files(space, fixed)
        forgotten(space, plain)


def rows_of_files(space, config):
    """Rows of an NDJSON file by a mended mapping."""
    data, file = space.path / "rows", space.path / "rows.ndjson"
    broken, mended = space.path / "broken.ini", space.path / "mended.ini"
    text = "[file]\nname = till\nformat = ndjson\nsource = till\n\n[event seen]\ntype = {}\nid = no\ntime = at\nids.login = who\n"
    broken.write_text(text.format('"Seen It"'))
    mended.write_text(text.format('"store_visited"'))
    file.write_text("".join(json.dumps({"no": f"r{n}", "at": "2026-11-20T10:00:00Z", "who": f"u-{n}"}) + "\n" for n in range(5)))
    tabiji("import", "--config", config, "--data", data, "--mapping", broken, file, expect=6)
    assert sum(reasons(data).values()) == 5
    assert again(data, config, code=6)["left"] == 5
    assert again(data, config, "--mapping", str(mended))["accepted"] == 5
    assert reasons(data) == {} and rows(data, "SELECT count(*) FROM event") == [(5,)]


def forget(data, config, *flags, code=0):
    found = subprocess.run([PROGRAM, "rejected", "forget", "--json", "--config", str(config), "--data", str(data), *flags],
                           capture_output=True, text=True, timeout=120)
    assert found.returncode == code, (found.returncode, found.stdout, found.stderr)
    return json.loads(found.stdout)


def forgotten(space, config):
    """Payloads that show who is erased leave the table, whatever they are, stay away from all that is made anew, and do not come back."""
    data, file = space.path / "forget", space.path / "forget.ndjson"
    lines = [json.dumps(event(1, "page_viewed", ids={"email": "Hana@Example.JP"}, pagee={})), '{"email": "hana\\u0040example.jp", broken',
             json.dumps(event(3, "page_viewed", ids={"email": "ken@example.jp"}, pagee={})),
             json.dumps(event(4, "identity_linked", ids={"email": "hana@example.jp"}))]
    load = lambda code: tabiji("import", "--config", config, "--data", data, "--mapping", MAPPING, file, expect=code)
    file.write_text("\n".join(lines) + "\n")
    load(6)
    assert sum(reasons(data).values()) == 4
    before = dump(data)
    assert forget(data, config, "--shows", "email:hana@example.jp", code=2)["error"]["code"] == "unconfirmed"
    assert forget(data, config, "--confirm", code=2)["error"]["code"] == "usage"
    assert forget(data, config, "--shows", "emial:x", "--confirm", code=2)["error"]["code"] == "usage"
    assert forget(data, config, "--shows", "email:hana@example.jp", "--dry-run") == {"dry_run": True, "forgotten": 3}
    same("nothing changed", dump(data), before)
    assert forget(data, config, "--shows", "email:hana@example.jp", "--confirm") == {"dry_run": False, "forgotten": 3}
    left = rows(data, "SELECT CAST(payload AS TEXT) FROM rejected")
    assert left == [(lines[2],)], left
    wanted = dump(data)
    file.write_text("\n".join(reversed(lines)) + "\n")
    load(6)
    same("the same once more", dump(data), wanted)
    for state in (False, True):
        shutil.rmtree(space.path / f"rebuilt{state}", ignore_errors=True)
        other = rebuilt(data, state)
        again(other, config, "--reason", "none")
        same("made anew", dump(other), wanted)
    assert forget(data, config, "--reason", "unknown_field", "--confirm")["forgotten"] == 1 and reasons(data) == {}


if __name__ == "__main__":
    main()
