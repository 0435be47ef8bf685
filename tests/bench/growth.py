#!/usr/bin/env python3
"""`tabiji work` while its state grows to many times the memory it has: events a second, CPU seconds a million events and state size
for each tenth of the events. A rate that falls slowly is what a tree on a disk costs; one that collapses is a defect, and so is a worker that the kernel ends.

usage: growth.py KAFKA_TOY [--events N] [--limit-mib N]

The limit is a control group's (version 2 or 1, where this user may make one): it counts page cache too, so that LMDB must read
from the disk. Where there is none the script is skipped.
"""
import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import harness  # noqa: E402
import kafka_broker  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTITIONS = 4
TENTHS = 10
# A worker that is to be small: what it holds besides the map of its state.
SMALL = ("worker.batch_bytes=8 MiB", "worker.cache_bytes=1 MiB", "kafka.producer.queue.buffering.max.kbytes=8192",
         "kafka.producer.queue.buffering.max.messages=10000", "kafka.consumer.queued.max.messages.kbytes=1024",
         "kafka.consumer.fetch.max.bytes=2097152", "kafka.consumer.fetch.message.max.bytes=262144")
ARENAS = {"MALLOC_ARENA_MAX": "2"}  # memory that one thread takes and another gives back lies about in each of them


@contextlib.contextmanager
def limited(mib):
    """A control group with a limit of memory; yields its directory."""
    for base, name in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = pathlib.Path(base) / f"tabiji-growth-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:  # the kernel made the file; a mere directory has none
                with open(group / name, "r+") as limit:
                    limit.write(str(mib << 20))
            except OSError:
                group.rmdir()
                continue
            try:
                yield group
            finally:
                end = time.monotonic() + 10
                while group.exists() and time.monotonic() < end:
                    with contextlib.suppress(OSError):
                        group.rmdir()
            return
    harness.skip("no control group of memory can be made here")


def numbers(group):
    """Peak use of the group, and how often it ran into its limit."""
    for peak, hits in (("memory.peak", "memory.events"), ("memory.max_usage_in_bytes", "memory.failcnt")):
        if (group / peak).exists():
            return int((group / peak).read_text()) >> 20, " ".join((group / hits).read_text().split())
    return 0, "?"


def fields(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def parts(path, events):
    """The events in the order of their time, in ten files."""
    names = []
    generate = subprocess.Popen([harness.PROGRAM, "generate", "--events", str(events)], stdout=subprocess.PIPE)
    for number in range(TENTHS):
        name = path / f"events-{number}.ndjson"
        with open(name, "wb") as out:
            for _ in range(events // TENTHS):
                out.write(generate.stdout.readline())
        names.append(name)
    generate.stdout.close()
    generate.wait()
    return names


def run(arguments, path, group):
    bootstrap, _ = kafka_broker.start(path / "broker")
    options = [word for value in (f"data.dir={path}/data", "stream.driver=kafka", f"kafka.bootstrap.servers={bootstrap}", "stream.prefix=growth",
                                  "stream.group=growth", f"stream.partitions={PARTITIONS}", *SMALL) for word in ("--set", value)]
    files = parts(path, arguments.events)
    state = path / "state"
    worker = subprocess.Popen([harness.PROGRAM, "work", "--slot", "grown", "--state", state, *options], stderr=open(path / "work.log", "w"), env={**os.environ, **ARENAS},
                              preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
    environment = {**os.environ, "TOY_BROKER": bootstrap, "TOY_GROUP": "growth", "TOY_PREFIX": "growth"}
    rates = []
    try:
        for number, file in enumerate(files):
            began, cpu = time.monotonic(), fields(worker.pid)
            subprocess.run([harness.PROGRAM, "import", "--data", path / f"import-{number}", "--mapping", ROOT / "deploy/mappings/native.ini", file,
                            *options], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            while subprocess.run([arguments.toy, "wait", "10"], env=environment, capture_output=True).returncode != 0:
                if worker.poll() is not None:
                    print(f"tenth {number + 1:2}: the worker ended with {worker.returncode}, -9 being the kernel's for want of memory", flush=True)
                    return
            seconds = time.monotonic() - began
            size = sum(copy.stat().st_blocks * 512 for copy in state.rglob("data.mdb")) / (1 << 20)
            rates.append(arguments.events / TENTHS / seconds)
            print(f"tenth {number + 1:2}: {rates[-1]:8,.0f} events/s {(fields(worker.pid) - cpu) / arguments.events * TENTHS * 1e6:7.1f} CPU s/M   "
                  f"state {size:6.0f} MiB = {size / arguments.limit_mib:4.1f} times the limit", flush=True)
        worker.send_signal(signal.SIGTERM)
        if worker.wait(60) != 0:
            raise SystemExit(f"the worker ended with {worker.returncode}")
        peak, hits = numbers(group)
        print(f"last tenth against the first: {rates[-1] / rates[0]:.2f}; peak {peak} MiB, ran into the limit: {hits}")
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
        kafka_broker.stop(path / "broker")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toy")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--limit-mib", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabiji-growth-") as directory, limited(arguments.limit_mib) as group:
        print(f"{arguments.events} events, {arguments.limit_mib} MiB for the worker with its page cache", flush=True)
        run(arguments, pathlib.Path(directory), group)


if __name__ == "__main__":
    main()
