#!/usr/bin/env python3
"""What libtabiji takes on a small device, as it is and built without librdkafka: stripped size, the libraries that it asks for, threads,
memory of a process that holds a client at rest.

    footprint.py LIBRARY BUILD-DIRECTORY
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import producer_small  # noqa: E402

STATES = {"none": "library loaded, no producer", "idle": "one producer", "event": "after an event was judged", "phone": "after a telephone number"}
SETTLE_SECONDS = 0.5  # for the connection that nobody takes


def memory(pid):
    """(resident, proportional, private) in kB, and threads."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    kb = {name: int(found) for name, found in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    return kb["Rss"], kb["Pss"], kb["Private_Clean"] + kb["Private_Dirty"], len(os.listdir(f"/proc/{pid}/task"))


def at_rest(program, library, *arguments):
    process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "LD_LIBRARY_PATH": str(pathlib.Path(library).parent)})
    assert process.stdout.readline().strip(), "it did not start"
    time.sleep(SETTLE_SECONDS)
    found = memory(process.pid)
    process.stdin.close()
    process.wait()
    return found


def show(name, library, directory):
    stripped = f"{directory}/stripped"
    producer_small.run("strip", "-o", stripped, library)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", producer_small.run("readelf", "-d", library))
    loaded = [path for path in re.findall(r"=> (/\S+)", producer_small.run("ldd", library))]
    size = sum(os.stat(path).st_size for path in set(map(os.path.realpath, loaded)))
    print(f"{name}: {os.stat(stripped).st_size:,} bytes stripped; asks for {', '.join(needed)}; "
          f"with theirs {len(loaded)} libraries, {size / 1e6:.1f} MB of files")
    program = f"{directory}/idle"
    producer_small.run("cc", "-O2", "-I", producer_small.ROOT, HERE / "producer_idle.c", "-o", program, library)
    for state, what in [*STATES.items(), ("idle", "one producer with a spool")]:
        more = [f"{directory}/spool-{name.split()[0]}"] if "spool" in what else []
        rss, pss, private, threads = at_rest(program, library, state, *more)
        print(f"  {what:28} {rss / 1024:5.1f} MiB resident, {pss / 1024:5.1f} proportional, {private / 1024:5.1f} its own; {threads} threads")


def main():
    library, outer = sys.argv[1:3]
    small, _, _ = producer_small.build(outer)
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as directory:
        show("with Kafka", library, directory)
        show("without Kafka", small, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
