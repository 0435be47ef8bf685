#!/usr/bin/env python3
"""`tabiji work` on a real broker: events a second and CPU seconds a million events, with 1 and 2 threads and 2 processes, beside
a bare librdkafka loop and Kafka Streams 3.9 (exactly_once_v2) on the same events in the same run; then latency at half load,
the pause of a rebalance, and how long a lost state takes to come back.

usage: work.py BENCH_BARE KAFKA_TOY [--events N] [--only PART,...]     (parts: work bare streams latency restore)

CPU is that of the processes measured, without the broker's. "warm" of Streams: the second half of the events, when the JVM has compiled.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import harness  # noqa: E402
import kafka_broker  # noqa: E402

PROGRAM = harness.PROGRAM
ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTITIONS = 4
BATCH = 10000
PEER = pathlib.Path(__file__).resolve().parent / "peers" / "streams"
LATENCY_SECONDS = 20


def cpu_of(usage):
    return usage.ru_utime + usage.ru_stime


def cpu_now(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, arguments, directory):
        self.bare_program, self.toy = arguments.bare, arguments.toy
        self.events = arguments.events
        self.path = pathlib.Path(directory)
        self.bootstrap, self.broker_pid = kafka_broker.start(self.path / "broker")
        self.file = self.path / "events.ndjson"
        with open(self.file, "wb") as out:
            subprocess.run([PROGRAM, "generate", "--events", str(self.events)], stdout=out, check=True)
        self.processes = []

    def options(self, prefix, *more):
        values = (f"data.dir={self.path}/{prefix}-data", "stream.driver=kafka", f"kafka.bootstrap.servers={self.bootstrap}",
                  f"stream.prefix={prefix}", f"stream.group={prefix}", f"stream.partitions={PARTITIONS}", *more)
        return [word for value in values for word in ("--set", value)]

    def start(self, prefix, slot, threads=1, *more):
        log = open(self.path / f"{prefix}-{slot}.log", "a")
        process = subprocess.Popen([PROGRAM, "work", "--slot", slot, "--state", self.path / f"{prefix}-state", "--threads", str(threads),
                                    *self.options(prefix, *more)], stderr=log)
        self.processes.append(process)
        return process

    def end(self, process):
        """SIGTERM; returns CPU seconds of its life."""
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"work ended with {process.returncode}: {self.path}")
        return cpu_of(usage)

    def quiet(self, prefix, seconds=600):
        environment = {**os.environ, "TOY_BROKER": self.bootstrap, "TOY_GROUP": prefix, "TOY_PREFIX": prefix}
        subprocess.run([self.toy, "wait", str(seconds)], env=environment, check=True, capture_output=True)

    def load(self, prefix):
        subprocess.run([PROGRAM, "import", "--data", self.path / f"{prefix}-import", "--mapping", ROOT / "deploy/mappings/native.ini", self.file,
                        *self.options(prefix)], check=True, stderr=subprocess.DEVNULL)

    def say(self, name, records, seconds, cpu, note=""):
        rate, cost = records / seconds, cpu / records * 1e6
        print(f"{name:<58} {rate:9,.0f} events/s {cost:7.2f} CPU s/M {note}", flush=True)
        return cost

    def work(self, prefix, processes, threads):
        """All events through so many workers, from their start on, joining the group included."""
        self.load(prefix)
        broker, began = cpu_now(self.broker_pid), time.monotonic()
        workers = [self.start(prefix, f"w{n}", threads) for n in range(processes)]
        self.quiet(prefix)
        seconds = time.monotonic() - began
        cpu = sum(self.end(worker) for worker in workers)
        plural = "" if processes == 1 else "es"
        return self.say(f"work, {processes} process{plural} of {threads} thread{'' if threads == 1 else 's'}", self.events, seconds, cpu,
                        f"(broker {(cpu_now(self.broker_pid) - broker) / self.events * 1e6:.1f})")

    def bare(self, prefix, how):
        run = subprocess.run([self.bare_program, self.bootstrap, prefix, str(BATCH), how], check=True, capture_output=True, text=True)
        _, seconds, cpu, bytes_in, records_out, bytes_out = map(float, run.stdout.split())
        names = {"copy": "bare loop, each event copied", "bytes": "bare loop, all that work reads and writes"}
        return self.say(names[how], self.events, seconds, cpu,
                        f"(in {bytes_in / self.events:.0f}, out {bytes_out / self.events:.0f} bytes and {records_out / self.events:.1f} records an event)")

    def topics(self, names):
        for name in names:
            subprocess.run(kafka_broker.java(kafka_broker.install(), "org.apache.kafka.tools.TopicCommand", "--create", "--bootstrap-server",
                                             self.bootstrap, "--topic", name, "--partitions", str(PARTITIONS)), check=True, capture_output=True)

    def streams(self, prefix, threads):
        libs, classes = peer()
        self.load(prefix)
        self.topics(f"streams.{name}" for name in ("journey", "touchpoints", "conversions", "profiles"))
        command = ["java", "-Xms512m", "-Xmx1g", "-XX:+UseSerialGC", "-cp", f"{classes}:{libs}/*", "Journeys", self.bootstrap, prefix,
                   str(ROOT / "schemas/avro/touchpoint.avsc"), str(self.path / "streams-state"), str(threads), str(self.events)]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows = [list(map(float, line.split())) for line in run.stdout.splitlines()]
        half = next(row for row in rows if row[1] >= self.events / 2)
        done = next(row for row in rows if row[1] >= self.events)
        self.say(f"Kafka Streams 3.9, {threads} threads, with the JVM's start", self.events, done[3], done[2])
        if done[1] == half[1]:
            raise SystemExit("too few events to tell warm from cold")
        return self.say("  the same, warm", done[1] - half[1], done[3] - half[3], done[2] - half[2])


def peer():
    """Jars and classes of the peer, in the cache; fetched and compiled once."""
    harness_cache = kafka_broker.cache().parent / "streams-peer"
    if not shutil.which("javac"):
        script = f". {ROOT}/deploy/packages.sh && install_packages default-jdk-headless maven"
        subprocess.run(["sh", "-c", script], check=True)
    stamp, source = harness_cache / "source", (PEER / "Journeys.java").read_text() + (PEER / "pom.xml").read_text()
    if not stamp.exists() or stamp.read_text() != source:
        shutil.rmtree(harness_cache, ignore_errors=True)
        shutil.copytree(PEER, harness_cache)
        subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={harness_cache}/libs"],
                       cwd=harness_cache, check=True, stdin=subprocess.DEVNULL)
        subprocess.run(["javac", "-d", harness_cache / "classes", "-cp", f"{harness_cache}/libs/*", "Journeys.java"], cwd=harness_cache, check=True)
        stamp.write_text(source)
    return harness_cache / "libs", harness_cache / "classes"


class Arrivals(threading.Thread):
    """Reads the committed touchpoints; of each event that bears its time in its id, when it came first. (It comes again when
    its person changes.)"""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.since = time.time_ns() // 1000
        self.reader = subprocess.Popen(["kcat", "-b", bootstrap, "-q", "-C", "-u", "-t", topic, "-o", "end", "-f", "%s\n",
                                        "-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10"], stdout=subprocess.PIPE)
        self.known = set()
        self.seen = []  # (sent, arrived), microseconds

    def run(self):
        while block := self.reader.stdout.read1(1 << 20):
            now = time.time_ns() // 1000
            for name in re.findall(rb"lat-\d{16}-\d+", block):
                sent = int(name[4:20])
                if sent >= self.since and name not in self.known:
                    self.known.add(name)
                    self.seen.append((sent, now))

    def end(self):
        self.reader.kill()
        self.join()


def post(port, rate, seconds, events):
    """Sends events to the collector at a rate, each with the time of its sending in its id. Returns how many."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(rate * passed) - sent
        if due <= 0:
            time.sleep(0.005)
            continue
        lines = []
        for n in range(sent, sent + min(due, 500)):
            event = events[n % len(events)]
            lines.append(re.sub(rb'^\{"id":"[^"]*"', b'{"id":"lat-%d-%d"' % (time.time_ns() // 1000, n), event))
        connection.request("POST", "/v1/events", b"\n".join(lines), {"Content-Type": "application/x-ndjson"})
        reply = connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise SystemExit(f"the collector said {reply.status}: {text[:200]}")
        sent += len(lines)
    return sent


def percentiles(seen):
    took = sorted((arrived - sent) / 1e6 for sent, arrived in seen)
    return [took[min(int(len(took) * share), len(took) - 1)] for share in (0.5, 0.99, 1)] if took else [0, 0, 0]


def latency(bench, rate):
    """From the sending to the committed touchpoint, at a rate; then the same while a second process joins and leaves."""
    prefix = "latency"
    port = harness.free_port()
    with open(bench.file, "rb") as file:
        events = [line.rstrip(b"\n") for line, _ in zip(file, range(20000))]
    collector = subprocess.Popen([PROGRAM, "collect", "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev",
                                  *bench.options(prefix)], stderr=subprocess.DEVNULL)
    bench.processes.append(collector)
    steady = bench.start(prefix, "steady")
    harness.wait_until(lambda: answers(port), "the collector")
    post(port, rate, 5, events)
    bench.quiet(prefix)
    arrivals = Arrivals(bench.bootstrap, f"{prefix}.touchpoints.v1")
    arrivals.start()
    time.sleep(2)
    sent = post(port, rate, LATENCY_SECONDS, events)
    bench.quiet(prefix)
    p50, p99, worst = percentiles(arrivals.seen)
    print(f"latency at {rate:,.0f} events/s, {len(arrivals.seen)} of {sent} seen: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, "
          f"worst {worst * 1000:.0f} ms (goal: p99 under 1000 ms)", flush=True)
    arrivals.seen.clear()
    arrivals.since = time.time_ns() // 1000
    timer = threading.Timer(LATENCY_SECONDS / 3, lambda: bench.start(prefix, "second"))
    timer.start()
    leaver = threading.Timer(2 * LATENCY_SECONDS / 3, lambda: bench.end(bench.processes[-1]))
    leaver.start()
    post(port, rate, LATENCY_SECONDS, events)
    leaver.join()
    bench.quiet(prefix)
    print(f"while a second process joins and leaves: p50 {percentiles(arrivals.seen)[0] * 1000:.0f} ms, worst "
          f"{percentiles(arrivals.seen)[2] * 1000:.0f} ms; longest silence {silence(arrivals.seen):.2f} s", flush=True)
    arrivals.end()
    bench.end(steady)
    collector.kill()


def silence(seen):
    """Longest time without an arrival, in seconds."""
    arrived = sorted({at for _, at in seen})
    return max((b - a for a, b in zip(arrived, arrived[1:])), default=0) / 1e6


def answers(port):
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    return False


def restore(bench, prefix):
    """A worker that lost its state: how long it reads the changelogs."""
    state = bench.path / f"{prefix}-state"
    size = sum(file.stat().st_blocks * 512 for file in state.rglob("data.mdb"))
    shutil.rmtree(state)
    log = bench.path / f"{prefix}-again.log"
    worker = bench.start(prefix, "again")
    pattern = re.compile(r"(\d+) rows in (\d+) ms")
    restored = None
    while restored is None:
        time.sleep(0.2)
        if worker.poll() is not None:
            raise SystemExit("the worker ended")
        for line in log.read_text().splitlines():
            words = json.loads(line) if line.startswith("{") else {}
            if words.get("what") == "kafka_restored":
                restored = tuple(map(int, pattern.search(words["text"]).groups()))
    cpu = cpu_now(worker.pid)
    again = sum(file.stat().st_blocks * 512 for file in state.rglob("data.mdb"))
    rows, ms = restored
    bench.end(worker)
    print(f"restore of {rows} rows: {ms / 1000:.1f} s, {cpu:.1f} CPU s; state of {size / 1e6:.0f} MB before, {again / 1e6:.0f} MB after: "
          f"{ms / 1000 / (again / 1e9):.0f} s and {cpu / (again / 1e9):.0f} CPU s a GB", flush=True)


def run(bench, parts):
    cost = {}
    rate = 0
    if parts & {"work", "bare", "latency", "restore"}:
        began = time.monotonic()
        cost["one"] = bench.work("one", 1, 1)
        rate = bench.events / (time.monotonic() - began)
    if "bare" in parts:
        bench.bare("one", "copy")  # the broker's compiler has not seen all yet
        cost["copy"] = bench.bare("one", "copy")
        cost["bytes"] = bench.bare("one", "bytes")
    if "work" in parts:
        cost["threads"] = bench.work("threads", 1, 2)
        cost["processes"] = bench.work("processes", 2, 1)
    if "streams" in parts:
        cost["streams"] = bench.streams("streams-in", 2)
    for name, goal in (("copy", "-"), ("bytes", "at most 2.5"), ("streams", "at most 0.33")):
        if name in cost and "one" in cost:
            print(f"CPU of work against {name}: {cost['one'] / cost[name]:.2f} (goal: {goal})", flush=True)
    if "restore" in parts:
        restore(bench, "one")
    if "latency" in parts:
        latency(bench, rate / 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bare")
    parser.add_argument("toy")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--only", default="work,bare,streams,latency,restore")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as directory:
        try:
            bench = Bench(arguments, directory)
        except kafka_broker.Unavailable as reason:
            print(f"skipped: no Kafka broker: {reason}")
            sys.exit(77)
        try:
            print(f"{arguments.events} events of {bench.file.stat().st_size / arguments.events:.0f} bytes JSON, {PARTITIONS} partitions, "
                  f"{os.cpu_count()} cores", flush=True)
            run(bench, set(arguments.only.split(",")))
        finally:
            for process in bench.processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            kafka_broker.stop(bench.path / "broker")


if __name__ == "__main__":
    main()
