#!/usr/bin/env python3
"""The shrinking of property_identity, given a program whose defect is known: it fails where one event has login 1, and
another one cookie 2. Two events with one identifier each must be left."""
import json
import os
import pathlib
import subprocess
import sys

SKIPPED = 77
DEFECT = """
import json, sys
events = [{tuple(i) for i in e['ids']} for e in json.loads(sys.stdin.readline())['events']]
a, b = ('login', '1'), ('cookie', '2')
sys.exit(any(a in x and b in y for i, x in enumerate(events) for j, y in enumerate(events) if i != j))
"""


def main():
    shared = os.environ.get("TABIJI_SHARED", "")
    spec = pathlib.Path(shared) / "spec"
    if not (spec / "identity_spec.py").exists():
        print("skipped: no specification to compare with (TABIJI_SHARED)")
        return SKIPPED
    cases = subprocess.run([sys.executable, spec / "identity_spec.py", "cases", "0", "40"], capture_output=True, check=True)
    shrink = [sys.executable, pathlib.Path(__file__).with_name("identity_shrink.py"), spec, sys.executable, "-c", DEFECT]
    failing = 0
    for line in cases.stdout.splitlines():
        if subprocess.run([sys.executable, "-c", DEFECT], input=line).returncode == 0:
            continue
        failing += 1
        found = subprocess.run(shrink, input=line, capture_output=True, check=True).stdout.decode()
        ids = sorted(e["ids"] for e in json.loads(found.splitlines()[-1])["events"])
        assert ids == [[["cookie", "2"]], [["login", "1"]]], ids
        if failing == 3:
            break
    assert failing == 3, failing
    holds = json.dumps({**json.loads(line), "events": []}).encode()
    assert subprocess.run(shrink, input=holds, capture_output=True).returncode == 1
    print("least cases found for three failing ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
