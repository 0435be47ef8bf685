#!/usr/bin/env python3
"""A state that is cut short, overwritten, lost or put back from an old copy: noticed with what to do, and made anew from the log."""
import shutil
import subprocess

from harness import PROGRAM, ROOT, Workspace, same, tabiji

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"


def bring(data, events):
    return subprocess.run([PROGRAM, "import", "--data", str(data), "--mapping", str(MAPPING), str(events)], capture_output=True, text=True)


def cut_short(data, _):
    with open(data / "state" / "data.mdb", "r+b") as file:
        file.truncate(100000)


def overwrite(data, _):
    with open(data / "state" / "data.mdb", "r+b") as file:
        file.write(b"\x5a" * 8192)


def lose(data, _):
    shutil.rmtree(data / "state")


def put_back(data, old):
    shutil.rmtree(data / "state")
    shutil.copytree(old / "state", data / "state")


def forget_tables(data):
    for name in ("tabiji.db", "tabiji.db-wal", "tabiji.db-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.rmtree(data / "state", ignore_errors=True)


def main():
    with Workspace() as space:
        events, first = space.path / "events.ndjson", space.path / "first.ndjson"
        lines = tabiji("generate", "--events", 3000, "--seed", 5).splitlines(keepends=True)
        events.write_text("".join(lines))
        first.write_text("".join(lines[:1000]))
        old, whole = space.path / "old", space.path / "whole"
        assert bring(old, first).returncode == 0
        shutil.copytree(old, whole)
        assert bring(whole, events).returncode == 0
        wanted = tabiji("state", "dump", "--data", whole)
        for damage in (cut_short, overwrite, lose, put_back):
            data = space.path / damage.__name__
            shutil.copytree(whole, data)
            damage(data, old)
            found = bring(data, events)
            assert found.returncode == 1, (damage.__name__, found.returncode, found.stderr)
            assert "made anew" in found.stderr and "state" in found.stderr, (damage.__name__, found.stderr)
            forget_tables(data)
            found = bring(data, events)
            assert found.returncode == 0, (damage.__name__, found.returncode, found.stderr)
            same(damage.__name__, tabiji("state", "dump", "--data", data), wanted)


if __name__ == "__main__":
    main()
