#!/usr/bin/env python3
"""`tabiji work` while its state grows to many times the memory it has: events a second and CPU seconds a million events on the way to
0.5, 1, 2, 5 and 10 times the limit, which is twice [worker] memory, and the anonymous memory, which is to stay below that. A rate that falls slowly is what a tree on a disk costs; one that collapses is a defect, and so is a worker that the kernel ends.

usage: growth.py KAFKA_TOY [--events N] [--limit-mib N] [--partitions N] [--text BYTES]

The limit is a control group's (version 2 or 1, where this user may make one): it counts page cache too, so that LMDB must read
from the disk. Where there is none the script is skipped.
"""
import argparse
import base64
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import harness  # noqa: E402
import kafka_broker  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = (0.5, 1, 2, 5, 10)


def make_group(mib):
    """A control group with a limit of memory: its directory."""
    for base, name in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = pathlib.Path(base) / f"tabiji-growth-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:  # the kernel made the file; a mere directory has none
                with open(group / name, "r+") as limit:
                    limit.write(str(mib << 20))
                return group
            except OSError:
                group.rmdir()
    harness.skip("no control group of memory can be made here")


@contextlib.contextmanager
def limited(mib):
    group = make_group(mib)
    try:
        yield group
    finally:
        end = time.monotonic() + 10
        while group.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                group.rmdir()


def enter(group):
    if group:
        (group / "cgroup.procs").write_text(str(os.getpid()))


def numbers(group):
    """Peak use of the group, and how often it ran into its limit."""
    if not group:
        return 0, "?"
    for peak, hits in (("memory.peak", "memory.events"), ("memory.max_usage_in_bytes", "memory.failcnt")):
        if (group / peak).exists():
            return int((group / peak).read_text()) >> 20, " ".join((group / hits).read_text().split())
    return 0, "?"


def memory(pid, group):
    """MiB of the worker: anonymous memory of the process, and what the group is charged for: anonymous, file pages, dirty ones."""
    rollup = dict(re.findall(r"^(\w+):\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M))
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines()) if group else {}
    charged = [int(stat.get(a, stat.get(b, 0))) >> 20 for a, b in (("anon", "rss"), ("file", "cache"), ("file_dirty", "dirty"))]
    return int(rollup["Anonymous"]) >> 10, charged


def cpu(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def state_mib(state):
    return sum(copy.stat().st_blocks * 512 for copy in state.rglob("data.mdb")) / (1 << 20)


def records(port):
    """Records that the worker has committed: events and the mail that they made."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        found = re.search(r"^tabiji_worker_records_total (\S+)$", connection.getresponse().read().decode(), re.M)
        return float(found[1]) if found else 0
    return 0


class Grown:
    """The worker in the group, and what was seen of it when its state had grown to so many times the limit."""

    def __init__(self, arguments, path, group, options):
        self.limit, self.group, self.state, self.port = arguments.limit_mib, group, path / "state", harness.free_port()
        self.memory, self.events = arguments.limit_mib // 2, arguments.events
        # Meson's MALLOC_PERTURB_ writes to all that is allocated, also to what a worker never touches.
        environment = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
        self.process = subprocess.Popen([harness.PROGRAM, "work", "--slot", "grown", "--state", self.state, "--metrics", f"127.0.0.1:{self.port}",
                                         *options, "--set", f"worker.memory={self.memory} MiB"], stderr=open(path / "work.log", "w"),
                                        env=environment, preexec_fn=lambda: enter(group))
        self.most = 0
        self.seen = []  # (time, records, CPU seconds, MiB of state, anonymous, file pages)
        self.rates = []

    def look(self):
        anonymous, (_, cached, _) = memory(self.process.pid, self.group)
        self.seen.append((time.monotonic(), records(self.port), cpu(self.process.pid), state_mib(self.state), anonymous, cached))
        print(f"{self.seen[-1][1]:,.0f} records, state {self.seen[-1][3]:,.0f} MiB", flush=True)

    def follow(self, done):
        """Until done() says so."""
        steps = list(STEPS)
        harness.wait_until(lambda: self.process.poll() is not None or records(self.port) > 0, "the first records")
        self.look()
        while not done():
            if self.process.poll() is not None:
                raise SystemExit(f"the worker ended with {self.process.returncode}, -9 being the kernel's for want of memory")
            with contextlib.suppress(OSError):  # it ended just now
                self.most = max(self.most, memory(self.process.pid, self.group)[0])
            if steps and state_mib(self.state) >= steps[0] * self.limit:
                self.look()
                steps = [step for step in steps if step * self.limit > state_mib(self.state)]
            time.sleep(0.2)
        self.look()
        self.tell()

    def tell(self):
        """An event counts as done in parts, as its records are. The first steps are mostly events and identity, which take little room,
        the last ones journeys: compare steps behind 2 times the limit."""
        share = self.events / self.seen[-1][1]
        print(f"{1 / share:.1f} records an event", flush=True)
        for before, now in zip(self.seen, self.seen[1:]):
            events = (now[1] - before[1]) * share
            if events > 0 and now[3] > before[3] * 1.05:  # else it only came to rest
                self.rates.append(events / (now[0] - before[0]))
                print(f"to {now[3] / self.limit:4.1f} times the limit: {self.rates[-1]:8,.0f} events/s {(now[2] - before[2]) / events * 1e6:7.1f} CPU s/M   "
                      f"state {now[3]:6.0f} MiB   anonymous {now[4]} MiB, file pages {now[5]} MiB", flush=True)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(120) != 0:
            raise SystemExit(f"the worker ended with {self.process.returncode}")


def send(arguments, path, options):
    """All events, each with so much text that is its own, onto the topic, where they wait for the worker."""
    random_text = random.Random(1)
    generate = subprocess.Popen([harness.PROGRAM, "generate", "--events", str(arguments.events)], stdout=subprocess.PIPE, text=True)
    sending = subprocess.Popen([harness.PROGRAM, "import", "--data", path / "import", "--mapping", ROOT / "deploy/mappings/native.ini", "-", *options],
                               stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
    for line in generate.stdout:
        if arguments.text:
            event = json.loads(line)
            event["properties"] = {"text": base64.b64encode(random_text.randbytes(arguments.text * 3 // 4)).decode()}
            line = json.dumps(event) + "\n"
        sending.stdin.write(line)
    sending.stdin.close()
    if generate.wait() != 0 or sending.wait() != 0:
        raise SystemExit("the events could not be sent")


def run(arguments, path, group):
    """The whole. Without a group nothing limits the worker, and its anonymous memory is looked at all the same."""
    bootstrap, _ = kafka_broker.start(path / "broker")
    options = [word for value in (f"data.dir={path}/data", "stream.driver=kafka", f"kafka.bootstrap.servers={bootstrap}", "stream.prefix=growth",
                                  "stream.group=growth", f"stream.partitions={arguments.partitions}") for word in ("--set", value)]
    try:
        send(arguments, path, options)
        worker = Grown(arguments, path, group, options)
        environment = {**os.environ, "TOY_BROKER": bootstrap, "TOY_GROUP": "growth", "TOY_PREFIX": "growth"}
        quiet = subprocess.Popen([arguments.toy, "wait", "7200"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            worker.follow(lambda: quiet.poll() is not None)
            worker.end()
        finally:
            for process in (worker.process, quiet):
                if process.poll() is None:
                    process.kill()
                    process.wait()
        peak, hits = numbers(group)
        times = state_mib(worker.state) / worker.limit
        print(f"{times:.1f} times the limit: the last rate against the one before {worker.rates[-1] / worker.rates[max(len(worker.rates) - 2, 0)]:.2f}; anonymous memory at most {worker.most} MiB "
              f"of [worker] memory = {worker.memory} MiB; the group's peak {peak} MiB, ran into the limit: {hits}")
        if worker.most > worker.memory:
            raise SystemExit("more memory than [worker] memory says")
        return worker
    finally:
        kafka_broker.stop(path / "broker")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toy")
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument("--limit-mib", type=int, default=192)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--text", type=int, default=0, help="bytes of each event that are its own")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabiji-growth-") as directory, limited(arguments.limit_mib) as group:
        print(f"{arguments.events} events, {arguments.limit_mib} MiB for the worker with its page cache", flush=True)
        run(arguments, pathlib.Path(directory), group)


if __name__ == "__main__":
    main()
