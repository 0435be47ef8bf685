#!/usr/bin/env python3
"""The same events by the Python module, by `tabiji emit` and by `tabiji import`: the same tables, to the digest. By Python they go
twice, from four threads, and the collector is killed amid them. (Directly to Kafka: producer_kafka.py.) With TABIJI_LONG=1, 100,000.

usage: test_producer_python_tables.py SHARED-LIBRARY
"""
import signal
import sqlite3
import sys
import threading

import producer_events
from harness import LONG, Workspace, free_port, ready, stop, tabiji as program, wait_until
from producer_events import EVENTS, tabiji

THREADS, PATIENCE = 4, 1200 if LONG else 60


def start(space, data, port):
    process = space.start("run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=shop")
    wait_until(lambda: ready(port), "the collector")
    return process


def count(data, table):
    try:
        db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
        try:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            db.close()
    except sqlite3.OperationalError:
        return -1  # it is not there yet


def digest(data):
    assert (count(data, "event"), count(data, "rejected")) == (EVENTS, 0), (count(data, "event"), count(data, "rejected"))
    return program("state", "digest", "--data", data)


def by_python(space, events):
    data, port, told, halfway = space.path / "python", free_port(), {}, threading.Event()
    collector = start(space, data, port)

    def on_report(report):
        told[report.context] = report.kind
        if len(told) >= EVENTS // 4:
            halfway.set()

    with tabiji.Producer(f"http://127.0.0.1:{port}", on_report=on_report, retry_max=0.2, batch_events_max=50, requests_max=2,
                         close_timeout=PATIENCE) as producer:
        def send(turn):
            for n, event in enumerate(events[turn % 2::2]):
                producer.send(event, context=(turn, n))

        threads = [threading.Thread(target=send, args=(turn,)) for turn in range(THREADS)]
        for thread in threads:
            thread.start()
        assert halfway.wait(PATIENCE)
        collector.send_signal(signal.SIGKILL)
        collector.wait()
        collector = start(space, data, port)
        for thread in threads:
            thread.join()
        assert producer.flush(PATIENCE), producer.statistics()
        assert len(told) == 2 * EVENTS and set(told.values()) == {"delivered"}, len(told)
    said = producer.statistics()
    assert said.events_delivered == said.events_taken == 2 * EVENTS and said.requests_failed > 0, said
    wait_until(lambda: count(data, "event") >= EVENTS, "the events", PATIENCE)
    assert stop(collector) == 0
    return digest(data)


def by_emit(space, lines):
    data, port = space.path / "emit", free_port()
    collector = start(space, data, port)
    assert program("emit", "--url", f"http://127.0.0.1:{port}", stdin="\n".join(lines).encode()) == f"{EVENTS} lines: {EVENTS} accepted, 0 duplicates, 0 rejected\n"
    wait_until(lambda: count(data, "event") >= EVENTS, "the events", PATIENCE)
    assert stop(collector) == 0
    return digest(data)


def main():
    tabiji.load(sys.argv[1])
    events = producer_events.events()
    lines = [event.json for event in events]
    with Workspace() as space:
        producer_events.imported(space, space.path / "import", lines)
        wanted = digest(space.path / "import")
        for name, got in (("emit", by_emit(space, lines)), ("Python", by_python(space, events))):
            assert got == wanted, f"{name}:\n{got}\nimport:\n{wanted}"
    print(f"{EVENTS} events by Python, emit and import: {wanted.splitlines()[-1]}")


main()
