#!/usr/bin/env python3
"""The disk becomes full under a running collector: no 2xx without durability, 503 and not an end, and it goes on when
there is room again. Needs a small tmpfs, hence root."""
import contextlib
import json
import sqlite3
import subprocess
import urllib.error
import urllib.request

from harness import Workspace, free_port, skip, stop, tabiji, wait_until

EVENTS = 20000
BATCH = 200


def post(port, lines):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/events", data="\n".join(lines).encode(),
                                     headers={"Content-Type": "application/x-ndjson"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            verdict = json.load(reply)
            assert verdict["accepted"] == len(lines), verdict
            return 200
    except urllib.error.HTTPError as error:
        assert error.headers["Retry-After"], error.headers
        return error.code


def events_in(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return {row[0] for row in db.execute("SELECT event_id FROM event")}


def run(space, disk):
    lines = tabiji("generate", "--events", EVENTS).splitlines()
    batches = [lines[i:i + BATCH] for i in range(0, EVENTS, BATCH)]
    port = free_port()
    process = space.start("run", "--data", disk / "data", "--listen", f"127.0.0.1:{port}",
                          "--set", "collector.open_source=dev")
    wait_until(lambda: answers(port), "the listener")
    acknowledged = []
    full = None
    for batch in batches:
        status = post(port, batch)
        if status != 200:
            full = status
            break
        acknowledged += batch
    assert full == 503, f"the disk did not become full: {full}"
    assert process.poll() is None, "a full disk ended the program"
    subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
    for batch in batches:
        wait_until(lambda b=batch: post(port, b) == 200, "room for appends")
    ids = {json.loads(line)["id"] for line in lines}
    assert {json.loads(line)["id"] for line in acknowledged} <= ids
    wait_until(lambda: events_in(disk / "data" / "tabiji.db") == ids, "the tables to follow")
    assert stop(process) == 0


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status == 200
    except OSError:
        return False


def main():
    with Workspace() as space:
        disk = space.path / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tabiji-test", disk], capture_output=True)
        if mounted.returncode != 0:
            skip(f"no tmpfs here: {mounted.stderr.decode().strip()}")
        try:
            run(space, disk)
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            subprocess.run(["umount", disk], check=True)


if __name__ == "__main__":
    main()
