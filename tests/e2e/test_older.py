#!/usr/bin/env python3
"""A data directory that an older build wrote, and one that a newer build wrote. older_tabiji knows records as they were (tests/older) and
as they are; older_directory makes a directory what a build of then would have left; the program itself knows nothing of them."""
import os
import shutil
import signal
import subprocess
import sys

import harness
from harness import PROGRAM, ROOT, Workspace, ready, same, stop, wait_until

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
OLDER_TABIJI, OLDER_DIRECTORY = sys.argv[1:3] if __name__ == "__main__" else ("", "")


def run(program, *arguments, fault=None):
    env = {**os.environ, **({"TABIJI_FAULT": fault} if fault else {})}
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, env=env, timeout=300)


def bring(program, data, events, fault=None):
    return run(program, "import", "--data", data, "--mapping", MAPPING, events, fault=fault)


def done(name, found, code=0):
    assert found.returncode == code, (name, found.returncode, found.stderr[-2000:])
    return found.stdout


def dump(data):
    return done("dump", run(PROGRAM, "state", "dump", "--data", data))


def make_older(data):
    print(done("older_directory", run(OLDER_DIRECTORY, data)).strip().replace("\n", ", "))


def forget_tables(data):
    for name in ("tabiji.db", "tabiji.db-wal", "tabiji.db-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.rmtree(data / "state", ignore_errors=True)


def copy(data, name):
    shutil.copytree(data, data.parent / name)
    return data.parent / name


def files(data):
    return {part: (data / part / "data.mdb").read_bytes() for part in ("log", "state")}


def check_refused(older, rest):
    """The program knows none of the schemas: whatever it is asked, all stays as it is."""
    before, tables = files(older), dump(older)
    found = bring(PROGRAM, older, rest)
    done("refused", found, 1)
    assert "written by another build" in found.stderr and "schema id 1" in found.stderr, found.stderr
    assert "damaged" not in found.stderr, found.stderr
    found = run(PROGRAM, "doctor", "--data", older)
    assert "does not know" in found.stdout + found.stderr, found.stdout + found.stderr
    assert files(older) == before
    same("tables after a refusal", dump(older), tables)


def check_doctor_changes_nothing(older):
    before = files(older)
    found = run(OLDER_TABIJI, "doctor", "--data", older)
    assert "of an older build" in found.stdout + found.stderr, found.stdout + found.stderr
    assert files(older) == before


def check_killed(older, events, wanted):
    """kill -9 in the midst of the upgrade, before and after a commit, again and again; then to its end."""
    for point in ("upgrade_commit", "upgrade_committed"):
        data = copy(older, point)
        killed = 0
        for hit in (1, 2, 3, 2, 1):
            found = bring(OLDER_TABIJI, data, events, fault=f"{point}:{hit}:kill")
            killed += found.returncode == -signal.SIGKILL
            if found.returncode != -signal.SIGKILL:
                done(point, found)
        assert killed == 5, (point, killed)
        # In the midst, the build of now knows only half of what stands there.
        found = bring(PROGRAM, data, events)
        assert found.returncode == 1 and "written by another build" in found.stderr, found.stderr
        done(point, bring(OLDER_TABIJI, data, events))
        same(f"killed at {point}", dump(data), wanted)


def check_stopped(older, events, wanted):
    """SIGTERM while the rows are brought up to date: ends well, and the next start goes on there."""
    data = copy(older, "stopped")
    port = harness.free_port()
    process = subprocess.Popen([OLDER_TABIJI, "run", "--data", str(data), "--listen", f"127.0.0.1:{port}"],
                               env={**os.environ, "TABIJI_FAULT": "upgrade_committed:2:stop"})
    wait_until(lambda: pathlib_state(process.pid) == "T", "the process to stop at the fault point")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0, process.returncode
    process = subprocess.Popen([OLDER_TABIJI, "run", "--data", str(data), "--listen", f"127.0.0.1:{port}"])
    wait_until(lambda: ready(port), "the collector")
    assert stop(process) == 0, process.returncode
    done("stopped", bring(OLDER_TABIJI, data, events))
    same("stopped in the midst", dump(data), wanted)


def pathlib_state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def main():
    with Workspace() as space:
        events, first = space.path / "events.ndjson", space.path / "first.ndjson"
        lines = done("generate", run(PROGRAM, "generate", "--events", 3000, "--seed", 5)).splitlines(keepends=True)
        events.write_text("".join(lines))
        # Something among the rejected, too.
        first.write_text("".join(lines[:2000]) + '{"type":"page_viewed","time":"2026-11-20T10:15:00Z"}\n')
        plain, older = space.path / "plain", space.path / "older"
        done("plain", bring(PROGRAM, plain, first), 6)
        shutil.copytree(plain, older)
        done("plain", bring(PROGRAM, plain, events))
        wanted = dump(plain)
        make_older(older)
        check_refused(older, events)
        check_doctor_changes_nothing(older)

        data = copy(older, "state")
        done("state", bring(OLDER_TABIJI, data, events))
        same("state of an older build", dump(data), wanted)
        # Now it is of this build: nothing of the older one is left in the state.
        done("again", bring(OLDER_TABIJI, data, events, fault="upgrade_commit:1:kill"))

        data = copy(older, "log")
        forget_tables(data)
        done("log", bring(OLDER_TABIJI, data, events))
        same("tables made anew from the log of an older build", dump(data), wanted)

        check_killed(older, events, wanted)
        check_stopped(older, events, wanted)


if __name__ == "__main__":
    main()
