#!/usr/bin/env python3
"""What programs that link libtabiji were built against: its symbols, and the types that they see in tabiji.h, against tests/abi/libtabiji.abi.

usage: abi.py check LIBRARY      fails on any difference, and shows it
       abi.py update LIBRARY     writes what the library has now: for what was added. A change of what was there is another soname.

By abidw and abidiff (Debian: abigail-tools); without them the test is skipped. LIBRARY is built with -g.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DUMP = HERE / "libtabiji.abi"
HEADER = HERE.parents[1] / "ingest" / "producer" / "tabiji.h"
SKIPPED = 77


def dump(library, headers):
    options = ("--headers-dir", headers, "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs")
    return subprocess.run(["abidw", *options, library], check=True, capture_output=True, text=True).stdout


def main():
    verb, library = sys.argv[1:]
    if not shutil.which("abidw") or not shutil.which("abidiff"):
        print("skipped: no abidw or abidiff (Debian: abigail-tools)")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(HEADER, directory)  # alone: its types are the public ones
        now = pathlib.Path(directory) / "now.abi"
        now.write_text(dump(library, directory))
        if verb == "update":
            shutil.copy(now, DUMP)
            return
        found = subprocess.run(["abidiff", DUMP, now], capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"{found.stdout}{found.stderr}\nwhat was added: python3 tests/abi/abi.py update LIBRARY; all else breaks programs that are linked")
    print("symbols and types as in libtabiji.abi")


if __name__ == "__main__":
    main()
