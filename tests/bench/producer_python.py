#!/usr/bin/env python3
"""The Python module over libtabiji beside segment-analytics-python, in the same interpreter: what a call costs that queues an event, events a
second until the collector has them all durably, CPU of the sender. Each in a process of its own, in turns; queues have room for all.

    producer_python.py SERVER LIBRARY [EVENTS] [ROUNDS]
"""
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KINDS = {"tabiji": "send()", "tabiji_json": "send_json(dict)", "segment": "segment-analytics-python"}


def tabiji_calls(url, count, library, raw):
    import tabiji
    tabiji.load(library)
    producer = tabiji.Producer(url, queue_events_max=count + 1, queue_bytes_max=1 << 30)

    def send(n):
        producer.send(tabiji.ORDER_COMPLETED, ids={"login": f"u-{n % 1000}"}, order=tabiji.Order(
            order_id=f"R-{n}", currency="JPY", revenue="12980", items=[tabiji.Item(sku="shoe-9", quantity=1, price="12980")]),
            properties={"coupon_given": False, "clerk": "c-7"})

    def send_raw(n):
        producer.send_json({"type": "order_completed", "ids": {"login": f"u-{n % 1000}"}, "order": {
            "order_id": f"R-{n}", "currency": "JPY", "revenue": "12980", "items": [{"sku": "shoe-9", "quantity": 1, "price": "12980"}]},
            "properties": {"coupon_given": False, "clerk": "c-7"}})

    def end():
        assert producer.close(600) and producer.statistics().events_delivered == count, producer.statistics()

    return send_raw if raw else send, end


def segment_calls(url, count):
    from segment.analytics.client import Client
    failed = []
    client = Client("key", host=url, max_queue_size=count + 1, upload_size=1000, on_error=lambda why, _: failed.append(why))

    def send(n):
        queued, _ = client.track(f"u-{n % 1000}", "Order Completed", {
            "order_id": f"R-{n}", "currency": "JPY", "revenue": "12980", "products": [{"sku": "shoe-9", "quantity": 1, "price": "12980"}],
            "coupon_given": False, "clerk": "c-7"})
        assert queued

    def end():
        client.flush()
        client.join()
        assert not failed, failed[:1]

    return send, end


def run(kind, url, count, library):
    send, end = segment_calls(url, count) if kind == "segment" else tabiji_calls(url, count, library, kind == "tabiji_json")
    used, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for n in range(count):
        send(n)
    queued = time.perf_counter() - begun
    end()
    took, now = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"enqueue_us": queued * 1e6 / count, "events_s": count / took, "cpu_us": cpu * 1e6 / count}))


def interpreter():
    """A Python that has Segment's client, where it can be had; else this one."""
    sys.path.insert(0, str(HERE.parent / "e2e"))
    import real_clients
    try:
        return real_clients.install() / "venv/bin/python", list(KINDS)
    except real_clients.Unavailable as why:
        print(f"without segment-analytics-python: {why}")
        return sys.executable, [kind for kind in KINDS if kind != "segment"]


def main():
    if sys.argv[1] == "--run":
        return run(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    server, library = sys.argv[1:3]
    count, rounds = int((sys.argv + [""])[3] or 20000), int((sys.argv + ["", ""])[4] or 3)
    python, kinds = interpreter()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "ingest/producer/python"), "PYTHONDONTWRITEBYTECODE": "1"}
    figures = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-", dir=os.environ.get("TABIJI_BENCH_DIR")) as directory:
        process = subprocess.Popen([server, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        for _ in range(rounds):
            for kind in kinds:
                done = subprocess.run([python, HERE / "producer_python.py", "--run", kind, url, str(count), library], env=environment,
                                      capture_output=True, text=True)
                if done.returncode != 0:
                    print(f"{kind}: {done.stderr[-2000:]}")
                    return 1
                figures[kind].append(json.loads(done.stdout))
        process.stdin.close()
        records = int(process.stdout.readline())
        process.wait()
    middle = {kind: {name: statistics.median(one[name] for one in found) for name in found[0]} for kind, found in figures.items()}
    for kind, got in middle.items():
        print(f"{KINDS[kind]:25} queued in {got['enqueue_us']:6.1f} µs an event; {got['events_s']:9,.0f} events/s; CPU {got['cpu_us']:6.1f} µs an event")
    if "segment" in middle:
        for kind in ("tabiji", "tabiji_json"):
            ratios = {name: middle[kind][name] / middle["segment"][name] for name in middle[kind]}
            print(f"{KINDS[kind]} / segment-analytics-python: time to queue {ratios['enqueue_us']:.2f}, events/s {ratios['events_s']:.1f}, "
                  f"CPU {ratios['cpu_us']:.2f}")
    wanted = count * rounds * len(kinds)
    if records != wanted:
        print(f"wrong: {records} records in the log, {wanted} sent")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
