#!/usr/bin/env python3
"""The same 1,000 events by the Python module, by `tabiji emit` and by `tabiji import`: the same tables, to the digest. By Python they go
twice, from four threads, and the collector is killed amid them.

usage: test_producer_python_tables.py SHARED-LIBRARY
"""
import random
import signal
import sqlite3
import sys
import threading
from decimal import Decimal

from harness import ROOT, Workspace, free_port, ready, stop, tabiji as program, wait_until

sys.path.insert(0, str(ROOT / "ingest/producer/python"))
sys.dont_write_bytecode = True
import tabiji  # noqa: E402

EVENTS, THREADS, PATIENCE = 1000, 4, 60
START_MS = 1795139999000


def make_event(n, draw):
    """Orders, calls, messages, consent and properties of sixty customers, of whom some have two identifiers."""
    customer = draw.randrange(60)
    ids = {"cookie": f"c-{customer}", "login": [f"u-{customer}"]} if draw.random() < 0.3 else {"cookie": f"c-{customer}"}
    more = draw.choice([
        lambda: {"type": tabiji.PAGE_VIEWED, "page": tabiji.Page(url=f"https://shop.example.jp/{n % 9}?utm_source=mail&utm_medium=email")},
        lambda: {"type": tabiji.ORDER_COMPLETED, "order": tabiji.Order(
            order_id=f"R-{n}", currency="USD", revenue=Decimal(n) / 100, tax=str(n % 7), items=[
                tabiji.Item(sku=f"s-{n % 5}", quantity=1 + n % 3, price=Decimal("1.10")), tabiji.Item(sku="靴", price=n)])},
        lambda: {"type": tabiji.CALL_ENDED, "call": tabiji.Call(call_id=f"CA{n}", direction="inbound", queue="returns", talk_ms=n)},
        lambda: {"type": tabiji.MESSAGE_OPENED, "message": tabiji.Message(kind="email", message_id=f"m-{n}", template="t")},
        lambda: {"type": tabiji.STORE_VISITED, "store": tabiji.Store(store_id=f"st-{n % 4}", area="Shibuya")},
        lambda: {"type": tabiji.CONSENT_CHANGED, "consent": tabiji.Consent(analytics=True, ads=n % 2 == 0)},
        lambda: {"type": "sized_up", "properties": {"n": n, "名": ["あ", None, 1.5], "deep": {"b": True}}},
    ])()
    return tabiji.Event(more.pop("type"), id=f"e-{n}", time=START_MS + 60000 * n, sequence=n % 3, ids=ids, **more)


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
    wait_until(lambda: count(data, "event") >= EVENTS, "the events")
    assert stop(collector) == 0
    return digest(data)


def by_emit(space, lines):
    data, port = space.path / "emit", free_port()
    collector = start(space, data, port)
    assert program("emit", "--url", f"http://127.0.0.1:{port}", stdin=lines) == f"{EVENTS} lines: {EVENTS} accepted, 0 duplicates, 0 rejected\n"
    wait_until(lambda: count(data, "event") >= EVENTS, "the events")
    assert stop(collector) == 0
    return digest(data)


def by_import(space, lines):
    data, mapping, file = space.path / "import", space.path / "native.ini", space.path / "events.ndjson"
    mapping.write_text("[file]\nname = shop\nformat = native\nsource = shop\n")
    file.write_bytes(lines)
    program("import", "--data", data, "--mapping", mapping, file)
    return digest(data)


def main():
    tabiji.load(sys.argv[1])
    draw = random.Random(8)
    events = [make_event(n, draw) for n in range(EVENTS)]
    lines = "".join(event.json + "\n" for event in events).encode()
    with Workspace() as space:
        wanted = by_import(space, lines)
        for name, got in (("emit", by_emit(space, lines)), ("Python", by_python(space, events))):
            assert got == wanted, f"{name}:\n{got}\nimport:\n{wanted}"
    print(f"{EVENTS} events by Python, emit and import: {wanted.splitlines()[-1]}")


main()
