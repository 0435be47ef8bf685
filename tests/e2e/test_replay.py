#!/usr/bin/env python3
"""Journeys made anew from timelines after a change of their settings: the tables of a fresh import under those settings."""
import signal
import subprocess
import time

from harness import PROGRAM, ROOT, Workspace, same, tabiji

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
OTHER = ["--set", "journey.lookback_days=1", "--set", "journey.journey=reset", "--set", "journey.session_timeout=5 min", "--set",
         "journey.conversion_types=order_completed"]


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def dump(data):
    return tabiji("state", "dump", "--data", data)


def main():
    with Workspace() as space:
        events = space.path / "events.ndjson"
        events.write_text(tabiji("generate", "--events", 20000, "--seed", 3))
        data, other = space.path / "data", space.path / "other"
        run("import", "--data", data, "--mapping", MAPPING, events)
        run("import", "--data", other, "--mapping", MAPPING, *OTHER, events)
        before, wanted = dump(data), dump(other)
        assert before != wanted
        refused = run("import", "--data", data, "--mapping", MAPPING, *OTHER, events, code=2)
        assert "is:  lookback 1 days" in refused.stderr and "replay --from timelines" in refused.stderr, refused.stderr
        assert dump(data) == before
        kills = 0
        for moment in (0.05, 0.1, 0.2, 0.3):
            process = subprocess.Popen([PROGRAM, "replay", "--from", "timelines", "--data", str(data), *OTHER], stdout=subprocess.DEVNULL)
            time.sleep(moment)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert kills, "each kill came too late"
        assert "is as its settings say" in run("replay", "--from", "timelines", "--data", data, *OTHER).stdout
        same(f"made anew, killed {kills} times", dump(data), wanted)
        run("import", "--data", data, "--mapping", MAPPING, *OTHER, events)
        same("the same import again", dump(data), wanted)
        run("replay", "--from", "timelines", "--data", data)
        same("and back", dump(data), before)
        run("replay", "--from", "timelines", "--data", data, "--set", "identity.generic_up=4", code=2)
        run("replay", "--data", data, code=2)
        same("refused, untouched", dump(data), before)


if __name__ == "__main__":
    main()
