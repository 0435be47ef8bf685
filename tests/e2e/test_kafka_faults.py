#!/usr/bin/env python3
"""Faults strike a running pipeline on a real broker, one after the other: each is seen to have fired, and after each all that was
acknowledged is in the sink, once. At the end the tables are those of the embedded program.

The numbers are those of the list of faults. With TABIJI_LONG=1 more of each kind."""
import os
import pathlib
import signal
import sys
import time

import kafka_broker
from harness import LONG, Workspace, skip, stop, wait_until
from kafka_ledger import memory_kib, reset_peak
from kafka_pipeline import Pipeline, numbered
from kafka_proxy import END_TXN, Proxy

SEED = int(os.environ.get("TABIJI_SEED", "20261127"))
EVENTS = 60000 if LONG else 12000
MEMORY_KIB = 24 << 10  # more than before, while Kafka is away


def collector_killed(p, proxy, broker):
    """1: killed before it appends, after, before it replies."""
    for point in ("collector_parsed", "collector_appended", "collector_reply"):
        stop(p.collector)
        p.collect(fault=f"{point}:{p.rng.randint(2, 6)}:kill")
        p.feed_until(lambda: p.collector.poll() is not None, point)
        assert p.collector.returncode == -signal.SIGKILL, p.collector.returncode
        p.durable()
        p.collect()
    p.settle("1 collector killed")


def brokers_away(p, proxy, broker):
    """9: events go to the spool, memory stays flat; killed, it starts without Kafka and goes on; then full: 503."""
    p.feed(100)
    proxy.cut()
    reset_peak(p.collector)
    before = memory_kib(p.collector)
    assert set(p.feed(2000)) == {200}, p.ledger.statuses
    assert proxy.fired["cut"] > 0 and p.metric("tabiji_spool_state") == 1
    status, text = p.page("/readyz")
    assert status == 200 and "spool" in text, text
    grown = memory_kib(p.collector) - before
    assert grown < MEMORY_KIB, f"I7: {grown} KiB more while Kafka is away"
    kept = p.metric("tabiji_spool_records")
    assert kept >= 2000, kept
    p.end(p.collector)
    p.durable()
    p.collect()
    assert "spool_found" in p.said(p.collector)
    assert set(p.feed(200)) == {200} and p.metric("tabiji_spool_records") == kept + 200
    assert stop(p.collector) == 0
    p.collect("--set", f"spool.size_max={int(sum(f.stat().st_size for f in p.spool.glob('*.spool'))) + 20000}")
    p.feed_until(lambda: p.ledger.statuses[503] > 0, "a full spool")
    assert p.metric("tabiji_spool_state") == 2 and p.page("/readyz")[0] == 503 and "spool_full" in p.said(p.collector)
    proxy.heal()
    p.settle("9 brokers away, spool full")
    assert not list(p.spool.glob("*.spool")) and p.page("/readyz") == (200, "ok\n")
    stop(p.collector)
    p.collect()


FAULTS = [collector_killed, brokers_away]


def run(space, toy, faulty, broker, bootstrap, proxy):
    p = Pipeline(space, toy, faulty, bootstrap, f"127.0.0.1:{proxy.port}", numbered(EVENTS, 5), SEED)
    p.collect()
    for slot in ("a", "b"):
        p.work(slot, through=slot == "a")
    sink = p.sink()
    wait_until(p.database.exists, "the tables")
    p.feed(300)
    p.settle("before any fault")
    for fault in FAULTS:
        begun = time.monotonic()
        fault(p, proxy, broker)
        print(f"{fault.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
    p.equal()
    for process in (p.collector, *p.workers.values(), sink):
        assert stop(process) == 0, process.args


def main():
    toy, faulty = sys.argv[1:3]
    print(f"seed {SEED}")
    with Workspace() as space:
        proxy = Proxy()
        broker = space.path / "broker"
        try:
            bootstrap, _ = kafka_broker.start(broker, advertised=proxy.port)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            run(space, toy, faulty, broker, bootstrap, proxy.start(kafka_broker.proxied_port(broker)))
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            kafka_broker.stop(broker)


if __name__ == "__main__":
    main()
