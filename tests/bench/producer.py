#!/usr/bin/env python3
"""libtabiji: what an event costs its caller, events a second to a collector and to Kafka, CPU of the process, memory while a million wait.
Beside it, in the same run, segment-analytics-python and @segment/analytics-node send the same to the same collector, and librdkafka
alone the same bytes to the same broker. Each in a process of its own, in turns.

    producer.py BENCH_PRODUCER SERVER LIBRARY [EVENTS [ROUNDS]]

Of a machine that is not quiet compare CPU, and ratios of the run.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import collector  # noqa: E402
import kafka_broker  # noqa: E402
import real_clients  # noqa: E402

WAITING = 1000000
PEER_SHARE = 5  # peers are slower: a fifth of the events is enough
CONFIG = """[stream]
driver = kafka
prefix = {prefix}
[kafka]
bootstrap.servers = {brokers}
[source till]
"""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def middle(found):
    return {name: statistics.median(one[name] for one in found) for name in ("enqueue_us", "caller_us", "events_s", "cpu_us") if name in found[0]}


def show(name, got):
    caller = f" (CPU of the caller {got['caller_us']:.2f})" if "caller_us" in got else ""
    print(f"{name:38} queued in {got['enqueue_us']:6.2f} µs an event{caller}; {got['events_s']:9,.0f} events/s; "
          f"CPU {got['cpu_us']:6.2f} µs an event", flush=True)


def in_turns(ways, rounds):
    """ways: {name: (command, options)}; the middle of each."""
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (command, options) in ways.items():
            found[name].append(json.loads(run(*command, **options)))
    got = {name: middle(each) for name, each in found.items()}
    for name, each in got.items():
        show(name, each)
    return got


def peers(url, count, library):
    """Commands of Segment's clients, where they can be had."""
    try:
        home = real_clients.install()
    except real_clients.Unavailable as why:
        print(f"without Segment's clients: {why}")
        return {}
    return {
        "segment-analytics-python": ([home / "venv/bin/python", HERE / "producer_python.py", "--run", "segment", url, count, library], {}),
        "@segment/analytics-node": (["node", HERE / "peers/segment/sender.cjs", url, count],
                                    {"env": {**os.environ, "NODE_PATH": str(home / "node_modules")}}),
    }


def to_collector(program, server, library, directory, events, rounds):
    process = subprocess.Popen([server, f"{directory}/log"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    few = events // PEER_SHARE
    others = peers(url, few, library)
    ways = {"libtabiji": ([program, "http", url, events], {}), "libtabiji, through a spool": ([program, "http", url, events, f"{directory}/spool"], {})}
    got = in_turns({**ways, **others}, rounds)
    process.stdin.close()
    records = int(process.stdout.readline())
    process.wait()
    wanted = (events * len(ways) + few * len(others)) * rounds
    if records != wanted:
        raise RuntimeError(f"{records} records in the log, {wanted} sent")
    for name in others:
        print(f"libtabiji / {name}: time to queue {got['libtabiji']['enqueue_us'] / got[name]['enqueue_us']:.3f}, "
              f"events/s {got['libtabiji']['events_s'] / got[name]['events_s']:.1f}, CPU {got['libtabiji']['cpu_us'] / got[name]['cpu_us']:.3f}")


def make_topics(brokers, directory, prefix):
    """As a collector makes them; returns a configuration file."""
    config = pathlib.Path(directory) / f"{prefix}.ini"
    config.write_text(CONFIG.format(prefix=prefix, brokers=brokers))
    (pathlib.Path(directory) / prefix).mkdir()
    once = collector.Collect(brokers, f"{directory}/{prefix}", f"stream.prefix={prefix}")
    once.stop()
    return config


def to_kafka(program, directory, events, rounds):
    try:
        brokers, _ = kafka_broker.start(f"{directory}/broker")
    except kafka_broker.Unavailable as reason:
        print(f"no Kafka here: {reason}")
        return
    try:
        config = make_topics(brokers, directory, "bench")
        make_topics(brokers, directory, "plain")
        got = in_turns({"libtabiji, to Kafka": ([program, "kafka", config, "till", events], {}),
                        "libtabiji, to Kafka, JSON as it is": ([program, "json", config, "till", events], {}),
                        "rd_kafka_produce() of the same bytes": ([program, "plain", brokers, "bench.events.v1", "plain.events.v1", events], {})}, rounds)
    finally:
        kafka_broker.stop(f"{directory}/broker")
    *ours, plain = got.items()
    for name, each in ours:
        print(f"{name} / rd_kafka_produce(), which builds, judges and encodes nothing: time until all are delivered "
              f"{plain[1]['events_s'] / each['events_s']:.2f} (the goal's figure: 1.3), CPU of the process {each['cpu_us'] / plain[1]['cpu_us']:.2f}, "
              f"CPU of the caller {each['caller_us'] / plain[1]['caller_us']:.2f}")


def in_memory(program, directory):
    for name, more in (("in memory", []), ("in a spool", [f"{directory}/waiting"])):
        got = json.loads(run(program, "memory", WAITING, *more))
        print(f"{WAITING:,} that wait {name}: {got['resident_mb']:.0f} MB resident, {got['bytes_each']:.0f} bytes an event, {got['disk_mb']:.0f} MB of the disk")


def main():
    program, server, library = sys.argv[1:4]
    events, rounds = int((sys.argv + [""])[4] or 100000), int((sys.argv + ["", ""])[5] or 3)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-", dir=os.environ.get("TABIJI_BENCH_DIR")) as directory:
        print(run(program, "enqueue", directory), end="", flush=True)
        in_memory(program, directory)
        to_collector(program, server, library, directory, events, rounds)
        to_kafka(program, directory, events, rounds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
