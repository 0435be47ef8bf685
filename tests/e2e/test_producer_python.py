#!/usr/bin/env python3
"""The Python module over libtabiji, against a server that answers as it is told: structures and names are the header's, events, reports and
callbacks that raise, queues, keys, threads, forks, spools, the interpreter's end, the wheel.

usage: test_producer_python.py SHARED-LIBRARY
"""
import ast
import gzip
import importlib.util
import inspect
import http.server
import json
import logging
import multiprocessing
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from harness import ROOT, free_port, wait_until

PYTHON = ROOT / "ingest/producer/python"
HEADER = ROOT / "ingest/producer/tabiji.h"
sys.path.insert(0, str(PYTHON))
sys.dont_write_bytecode = True
import tabiji  # noqa: E402
from tabiji import _library, errors, event_types, producer as producer_module  # noqa: E402

LIBRARY = str(pathlib.Path(sys.argv[1]).resolve())
PATIENCE = 60
WHO = {"login": "u-1"}


class Collector(http.server.ThreadingHTTPServer):
    """Answers as the collector does; answers[n], for request n, is a status, or the indexes of lines that it rejects."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *answers, port=0):
        self.answers, self.events, self.keys, self.hold = list(answers), [], [], threading.Event()
        self.hold.set()
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __exit__(self, *_):
        self.hold.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A producer that was closed, or killed, does not wait for its answer."""

    def ids(self):
        return Counter(event["id"] for event in self.events)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        server = self.server
        server.keys.append(self.headers.get("Authorization"))
        server.hold.wait()
        answer = server.answers.pop(0) if server.answers else ()
        if isinstance(answer, int):
            return self.answer(answer, b"{}")
        lines = [json.loads(line) for line in body.splitlines()]
        server.events += [line for i, line in enumerate(lines) if i not in answer]
        rejected = [{"index": i, "code": "unknown_field", "pointer": "/tpye", "hint": 'did you mean "type"?'} for i in answer]
        self.answer(200, json.dumps({"accepted": len(lines) - len(answer), "duplicates": 0, "rejected": rejected}).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as why:
        assert type(why) is kind, repr(why)
        return why
    raise AssertionError(f"{call} did not raise {kind.__name__}")


def away():
    return f"http://127.0.0.1:{free_port()}"


# ---- what the header says ----


def constants(pattern):
    return dict(re.findall(pattern, HEADER.read_text(), re.M))


def check_structures(directory):
    """Each structure of the module is that of the header, or a beginning of it."""
    parts = {"problem": _library.CProblem, "options": _library.COptions, "report": _library.CReport, "statistics": _library.CStatistics}
    lines = [f'printf("{name} {field} %zu %zu\\n", offsetof(struct tabiji_{name}, {field}), sizeof ((struct tabiji_{name} *)0)->{field});'
             for name, part in parts.items() for field, _ in part._fields_]
    lines += [f'printf("{name} size_of %zu 0\\n", sizeof(struct tabiji_{name}));' for name in parts]
    source = directory / "sizes.c"
    source.write_text('#include <stdio.h>\n#include "tabiji.h"\nint main(void)\n{\n' + "\n".join(lines) + "\nreturn 0;\n}\n")
    subprocess.run(["cc", f"-I{HEADER.parent}", source, "-o", directory / "sizes"], check=True)
    said = [line.split() for line in subprocess.run([directory / "sizes"], capture_output=True, text=True, check=True).stdout.splitlines()]
    for name, field, offset, size in said:
        if field == "size_of":
            assert _library.ctypes.sizeof(parts[name]) <= int(offset), (name, offset)
            continue
        mine = getattr(parts[name], field)
        assert (mine.offset, mine.size) == (int(offset), int(size)), (name, field, mine, offset, size)
    assert set(tabiji.Statistics._fields) == {name for name, _ in _library.CStatistics._fields_} - {"size"}


def typed_send():
    """The overload of send() that has the keyword arguments of an event, from the source: Python 3.9 keeps none."""
    tree = ast.parse((PYTHON / "tabiji/producer.py").read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "send" and len(node.args.kwonlyargs) > 2]
    names = {}
    found[0].decorator_list = []
    exec("from __future__ import annotations\n" + ast.unparse(found[0]), names)
    return names["send"]


def check_names():
    numbers = {name: int(value) for name, value in constants(r"^    (TABIJI_\w+) = (-?\d+)").items()}
    for code, kind in errors.BY_CODE.items():
        library_name = _library.library().quick.tabiji_error_name(code).decode()
        assert (kind.name, numbers[f"TABIJI_ERROR_{library_name.upper()}"]) == (library_name, code), kind
    assert errors.Discarded.code == numbers["TABIJI_ERROR_DISCARDED"]
    assert {f"TABIJI_POLICY_{name.upper()}": n for name, n in producer_module.POLICIES.items()}.items() <= numbers.items()
    assert {f"TABIJI_SPOOL_SYNC_{name.upper()}": n for name, n in producer_module.SYNCS.items()}.items() <= numbers.items()
    assert {f"TABIJI_REPORT_{name.upper()}": n for n, name in producer_module.KINDS.items()}.items() <= numbers.items()
    flags = {"check": "NO_CHECK", "complete_id": "KEEP_ID", "complete_time": "KEEP_TIME", "trusted": "TRUSTED", "gzip": "NO_GZIP",
             "as_it_is": "AS_IT_IS"}
    assert {f"TABIJI_{flags[name]}": n for name, n in producer_module.FLAGS.items()}.items() <= numbers.items()
    types = constants(r'^#define TABIJI_([A-Z_]+) "([a-z_]+)"$')
    assert types == {name: value for name, value in vars(event_types).items() if name.isupper()}
    unknown = _library.error_of(-999)
    assert type(unknown) is tabiji.TabijiError and (unknown.code, unknown.name) == (-999, "unknown")
    pinned = re.search(r'^version = "(.*)"$', (PYTHON / "pyproject.toml").read_text(), re.M).group(1)
    assert pinned == tabiji.__version__ == tabiji.library_version()
    made, sent = (inspect.signature(call).parameters for call in (tabiji.Event, typed_send()))
    assert {name: str(p.annotation) for name, p in made.items() if name != "type"} == {
        name: str(p.annotation) for name, p in sent.items() if name not in ("self", "event", "context", "durable")}, "what type checkers know of send()"
    for path in PYTHON.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))


# ---- events ----


def whole_event(**more):
    return tabiji.Event(tabiji.STORE_PURCHASE, **{**dict(
        id="e-1", time=datetime(2026, 11, 20, 10, 15, tzinfo=timezone(timedelta(hours=9))), sequence=3,
        ids={"loyalty": "8800-1234", "login": ["u-1", "u-2"]},
        order=tabiji.Order(order_id="R-1", currency="USD", revenue=Decimal("19.90"), tax=1, shipping="0.5", coupon=None, items=(
            tabiji.Item(sku="shoe", category=None, quantity=2, price=Decimal("1E+1")), tabiji.Item(sku="sock"))),
        call=tabiji.Call(call_id="CA1", direction="inbound", wait_ms=12000), store=tabiji.Store(store_id="shibuya"),
        message=tabiji.Message(kind="email", template="t-1"), page=tabiji.Page(url="https://shop.example.jp/a?q=1"),
        campaign=tabiji.Campaign(source="s", medium="m"), device=tabiji.Device(kind="pos"), geo=tabiji.Geo(country="JP"),
        click=tabiji.Click(kind="gclid", value="g-1"), consent=tabiji.Consent(analytics=True, ads=False),
        link=tabiji.Link(a={"login": "u-1"}, b={"loyalty": "8800-1234"}, reason="counter"),
        properties={"satisfaction": 5, "weight": Decimal("1.10"), "旅": ["路"], "at": datetime(2026, 1, 1, tzinfo=timezone.utc)}), **more})


def check_events():
    event = whole_event()
    assert event.check() == ("", "", "", ""), event.check()
    assert json.loads(event.json) == {
        "type": "store_purchase", "id": "e-1", "time": "2026-11-20T10:15:00+09:00", "sequence": 3,
        "ids": {"loyalty": "8800-1234", "login": ["u-1", "u-2"]},
        "order": {"order_id": "R-1", "currency": "USD", "revenue": "19.90", "tax": 1, "shipping": "0.5",
                  "items": [{"sku": "shoe", "quantity": 2, "price": "10"}, {"sku": "sock"}]},
        "call": {"call_id": "CA1", "direction": "inbound", "wait_ms": 12000}, "store": {"store_id": "shibuya"},
        "message": {"kind": "email", "template": "t-1"}, "page": {"url": "https://shop.example.jp/a?q=1"},
        "campaign": {"source": "s", "medium": "m"}, "device": {"kind": "pos"}, "geo": {"country": "JP"},
        "click": {"kind": "gclid", "value": "g-1"}, "consent": {"analytics": True, "ads": False},
        "evidence": {"a": {"login": "u-1"}, "b": {"loyalty": "8800-1234"}, "reason": "counter"},
        "properties": {"satisfaction": 5, "weight": "1.10", "旅": ["路"], "at": "2026-01-01T00:00:00+00:00"}}
    order = tabiji.Order(revenue=Decimal("1.5"), items=[tabiji.Item(price=Decimal(2))])
    tabiji.Event("x", ids=WHO, order=order)
    assert order == {"revenue": Decimal("1.5"), "items": [{"price": Decimal(2)}]}, "the caller's order is as it was"
    assert '"sign":-1' in tabiji.Event("x", ids=WHO, link=tabiji.Link(a={"login": "1"}, b={"login": "2"}, apart=True)).json
    ids = [tabiji.Event("x", ids=WHO).id for _ in range(1000)]
    assert len(set(ids)) == 1000 and all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)
    assert abs(int(ids[0].replace("-", "")[:12], 16) / 1000 - time.time()) < PATIENCE


def check_wrong_events():
    """Each is told by its pointer, before anything is queued."""
    itself = {}
    itself["itself"] = itself
    for more, reason, pointer, nearest in [
        ({"order": {"curency": "JPY"}}, "unknown_field", "/order/curency", "currency"),
        ({"ids": {"lgoin": "u-1"}}, "unknown_namespace", "/ids/lgoin", "login"),
        ({"order": {"currency": "JPY", "revenue": "1.5"}}, "money_precision", "/order/revenue", None),
        ({"order": {"currency": "JPY", "revenue": Decimal("NaN")}}, "bad_money", "/order/revenue", None),
        ({"properties": {"a/b": [1, float("inf")]}}, "num_range", "/properties/a~1b/1", None),
        ({"properties": {"a": {"b": "\ud800"}}}, "bad_utf8", "/properties/a/b", None),
        ({"properties": itself}, "too_deep", "", None),
        ({"ids": {}}, "no_identifier", "/ids", None),
        ({"id": ""}, "bad_id", "/id", None),
    ]:
        why = raises(tabiji.InvalidEvent, lambda more=more: tabiji.Event("x", **{"ids": WHO, **more}).check())
        assert (why.reason, why.pointer, why.nearest) == (reason, pointer, nearest), (more, why, why.problem)
        assert isinstance(why, ValueError) and why.reason in str(why)
    for order in ({"revenue": 19.9}, {"tax": True}, {"items": [{"price": "1"}, {"price": 1.0}]}):
        assert "money" in str(raises(TypeError, tabiji.Event, "x", ids=WHO, order=order))
    raises(TypeError, tabiji.Event, "x", ids=WHO, properties={"a": object()})
    raises(TypeError, tabiji.Event, "x", ids=WHO, time=1.5)
    raises(ValueError, tabiji.Event, "x", ids=WHO, time=datetime(2026, 1, 1))
    with tabiji.Producer(away(), close_timeout=0) as producer:
        for bad in ('{"type":"x"', b"\xff", "[]", "", {"type": "x", "ids": WHO, "order": {"revenue": 1.5, "currency": "USD"}}, "\ud800"):
            raises(tabiji.InvalidEvent, producer.send_json, bad)
        raises(TypeError, producer.send_json, 5)
        raises(TypeError, producer.send, whole_event(), ids=WHO)
        said = producer.statistics()
        assert (said.events_taken, said.events_invalid) == (0, 5), said


def check_options():
    for named, pointer in [({"url": "collect.example.jp"}, "url"), ({"key": "a b"}, "key"), ({"queue_policy": "drop"}, "queue_policy"),
                           ({"batch_events_max": 0}, "batch_events_max"), ({"requests_max": 17}, "requests_max"),
                           ({"spool_sync": "never"}, "spool_sync"), ({"spool_dir": ""}, "spool_dir"), ({"spool_age_max": 0}, "spool_age_max"),
                           ({"spool_dir": "/nowhere/spool"}, "spool_dir"), ({"spool_dir": "x", "spool_bytes_max": 9}, "spool_bytes_max"),
                           ({"linger": -1}, "linger"), ({"key": "a\0b"}, "key"), ({"namespaces": ("Card",)}, "namespaces")]:
        why = raises(tabiji.ArgumentError, tabiji.Producer, **{"url": "http://127.0.0.1:1", **named})
        assert why.pointer == pointer and isinstance(why, ValueError), (named, why, why.problem)
    raises(TypeError, tabiji.Producer, "http://127.0.0.1:1", key=b"bytes")
    raises(TypeError, tabiji.Producer, "http://127.0.0.1:1", queue_events_max="many")
    raises(tabiji.FileOrThreadError, tabiji.Producer, "http://127.0.0.1:1", key_file="/nowhere/key")
    with tabiji.Producer(away(), reports_max=1) as producer:
        for _ in range(2):
            assert raises(tabiji.ArgumentError, producer.send, "x", ids=WHO, durable=True).pointer == "spool_dir"
        assert producer.statistics().events_taken == 0


# ---- sending, reports ----


def check_reports():
    """503 first; the second of three is rejected then. Each with what was given to send()."""
    told = []
    with Collector(503, (1,)) as collector:
        with tabiji.Producer(collector.url, key="k-1", on_report=told.append, retry_min=0.01, retry_max=0.02, linger=0.2) as producer:
            sent = [producer.send("page_viewed", ids=WHO, context=n) for n in range(2)]
            producer.send_json({"type": "x", "ids": WHO}, context="raw")
            assert producer.flush(PATIENCE), "and on_report was told of all"
            assert [(r.kind, r.context) for r in told] == [("delivered", 0), ("rejected", 1), ("delivered", "raw")], told
            assert [r.event_id for r in told] == [*sent, collector.events[1]["id"]]
            assert told[1].problem == ("rejected", "unknown_field", "/tpye", 'did you mean "type"?') and told[1].problem.nearest == "type"
            event = whole_event()
            assert producer.send(event) == producer.send(event) == "e-1"
        assert collector.ids()["e-1"] == 2 and set(collector.keys) == {"Bearer k-1"}
        assert producer.statistics()[:5] == (5, 4, 0, 0, 1), producer.statistics()
    assert raises(tabiji.Closed, producer.send, "x", ids=WHO).name == "closed"
    raises(tabiji.Closed, producer.flush, 0)
    raises(tabiji.Closed, producer.resume)
    assert producer.close(), "a second time it says the same"


def check_callbacks_that_raise(caplog):
    told, inside = [], []

    def on_report(report):
        told.append(report.context)
        if report.context == "again":
            return
        for call in (producer.flush, producer.close):
            inside.append(raises(tabiji.InCallback, call, 0).name)
        producer.send("x", ids=WHO, context="again")
        raise KeyError(report.context)

    with Collector() as collector:
        producer = tabiji.Producer(collector.url, on_report=on_report)
        for n in range(3):
            producer.send("x", ids=WHO, context=n)
        why = raises(tabiji.CallbackFailed, producer.flush, PATIENCE)
        assert why.count == 3 and type(why.__cause__) is KeyError and why.__cause__.args == (0,), (why, why.count)
        assert producer.flush(PATIENCE), "it is told once"
        assert sorted(map(str, told)) == sorted(["0", "1", "2"] + ["again"] * 3) and inside == ["callback"] * 6, (told, inside)
        assert len(caplog) == 3 and "KeyError" in caplog[0], caplog
        producer.send("x", ids=WHO, context=3)
        raises(tabiji.CallbackFailed, producer.close, PATIENCE)
        assert len(collector.events) == 7 or producer.statistics().events_discarded == 0, "all but what the callback sent when it was closed"


def check_polling():
    """Reports of a producer without a callback: in order, also when it is closed; what was not sent is discarded."""
    with Collector((0,)) as collector:
        with tabiji.Producer(collector.url, reports_max=10, failures_only=True, linger=0.2) as producer:
            assert producer.next_report(0) is None
            for n in range(3):
                producer.send("x", ids=WHO, context=n)
            assert [(r.kind, r.context) for r in producer.reports(1)] == [("rejected", 0)]
    producer = tabiji.Producer(away(), reports_max=2, queue_timeout=0.05)
    sent = [producer.send("x", ids=WHO, context=n) for n in range(2)]
    assert "reported" in raises(tabiji.QueueFull, producer.send, "x", ids=WHO).hint
    assert not producer.flush(0.01) and not producer.close(0)
    assert [(r.kind, r.event_id, r.context, r.problem.code) for r in producer.reports()] == [
        ("dropped", sent[n], n, "discarded") for n in range(2)]
    said = producer.statistics()
    assert (said.events_taken, said.events_discarded, said.events_dropped, said.queue_events) == (2, 2, 1, 0), said
    with tabiji.Producer(away()) as producer:
        raises(tabiji.ArgumentError, producer.next_report, 0)


def check_queue():
    with Collector() as collector:
        collector.hold.clear()
        with tabiji.Producer(collector.url, queue_events_max=2, queue_policy="drop_newest") as producer:
            for _ in range(2):
                producer.send("x", ids=WHO)
            assert raises(tabiji.QueueFull, producer.send, "x", ids=WHO).name == "queue_full"
            assert producer.statistics().events_dropped == 1
            collector.hold.set()
        assert len(collector.events) == 2
    told = []
    with raising(tabiji.Discarded) as why:
        with tabiji.Producer(away(), queue_events_max=2, batch_events_max=1, queue_policy="drop_oldest", on_report=told.append,
                             close_timeout=0) as producer:
            for n in range(5):
                producer.send("x", ids=WHO, context=n)
    assert why[0].count <= 2 and sorted(r.context for r in told) == [0, 1, 2, 3, 4] and {r.kind for r in told} == {"dropped"}, told
    with raising(ZeroDivisionError):  # what the block raises is not hidden
        with tabiji.Producer(away(), close_timeout=0) as producer:
            producer.send("x", ids=WHO)
            1 / 0


class raising:
    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        self.found = []
        return self.found

    def __exit__(self, kind, value, _):
        assert kind is self.kind, (kind, value)
        self.found.append(value)
        return True


def check_key():
    told = []
    with Collector(401) as collector:
        with tabiji.Producer(collector.url, key="old", on_report=told.append) as producer:
            producer.send("x", ids=WHO)
            raises(tabiji.Unauthorised, producer.flush, PATIENCE)
            wait_until(lambda: told, "the report")
            assert [(r.kind, r.event_id, r.problem.error) for r in told] == [("stopped", "", "unauthorised")], told
            assert producer.statistics().unauthorised
            producer.resume("new")
            assert producer.flush(PATIENCE) and len(collector.events) == 1
        assert collector.keys == ["Bearer old", "Bearer new"]


# ---- threads, processes, ends ----


def flush_on(producer):
    while True:
        producer.flush()


def check_threads():
    """Eight senders, one that reckons, one that looks on; then a close amid them."""
    told, stop, ends = Counter(), threading.Event(), []
    with Collector() as collector:
        producer = tabiji.Producer(collector.url, on_report=lambda report: told.update([report.event_id]), requests_max=4)

        def send(name):
            for n in range(250):
                producer.send_json({"id": f"{name}-{n}", "type": "x", "ids": WHO})

        def reckon():
            while not stop.is_set():
                sum(range(1000))
                producer.statistics()

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        other = threading.Thread(target=reckon)
        for thread in (*threads, other):
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(PATIENCE)
        stop.set()
        other.join()
        assert set(collector.ids().values()) == {1} and told == collector.ids() and len(told) == 2000

        def send_on():
            while True:
                try:
                    producer.send("x", ids=WHO)
                except tabiji.Closed:
                    return ends.append(1)

        threads = [threading.Thread(target=send_on) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: producer.statistics().events_taken > 2100, "more events")
        waiting = threading.Thread(target=lambda: ends.append(raises(tabiji.Closed, flush_on, producer)))
        waiting.start()
        closed = producer.close(PATIENCE)
        for thread in (*threads, waiting):
            thread.join(PATIENCE)
        said = producer.statistics()
        assert closed and len(ends) == 9 and said.events_taken == len(collector.events) == sum(told.values()), (closed, ends, said)


def in_child(producer, url, answers):
    said = []
    for call in (lambda: producer.send("x", ids=WHO), lambda: producer.flush(0), producer.statistics, producer.close, producer.resume):
        try:
            call()
            said.append("nothing")
        except tabiji.TabijiError as why:
            said.append(why.name)
    with producer:
        pass
    with tabiji.Producer(url) as own:
        own.send_json({"id": f"child-{len(said)}", "type": "x", "ids": WHO})
    answers.put(said)


def check_forks():
    """Amid senders that hold locks: the child is refused, and may have a producer of its own."""
    stop = threading.Event()
    with Collector() as collector:
        with tabiji.Producer(collector.url, on_report=lambda report: None) as producer:
            def send():
                while not stop.is_set():
                    producer.send("x", ids=WHO)

            threads = [threading.Thread(target=send) for _ in range(2)]
            for thread in threads:
                thread.start()
            try:
                context = multiprocessing.get_context("fork")
                for _ in range(3):
                    answers = context.SimpleQueue()
                    child = context.Process(target=in_child, args=(producer, collector.url, answers))
                    child.start()
                    child.join(PATIENCE)
                    assert child.exitcode == 0, child.exitcode
                    said = answers.get()
                    assert said == ["forked"] * 5, said
            finally:
                stop.set()
            for thread in threads:
                thread.join()
            raises(TypeError, pickle.dumps, producer)
        assert producer.statistics().events_delivered == len(collector.events) - 3 == sum(collector.ids().values()) - 3


def script(text, *arguments, path=PYTHON, **options):
    """Another interpreter, in which libtabiji is found by its name."""
    environment = {**os.environ, "PYTHONPATH": str(path), "LD_LIBRARY_PATH": os.path.dirname(LIBRARY), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(text), *arguments], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def ended(process):
    out, error = process.communicate(timeout=PATIENCE)
    return process.returncode, out, error


def check_ends():
    """The interpreter ends: what is queued goes, within close_timeout; nothing hangs, whatever threads and callbacks do."""
    begin = "import sys, tabiji, threading, time\n"
    send = 'producer.send("x", ids={"login": "u-1"})\n'
    with Collector() as collector:
        gone = away()
        scripts = {
            "sent": script(begin + "producer = tabiji.Producer(sys.argv[1])\n" + send, collector.url),
            "away": script(begin + "producer = tabiji.Producer(sys.argv[1], on_report=print, close_timeout=0.1)\n" + send, gone),
            "many": script(begin + "producer = tabiji.Producer(sys.argv[1], close_timeout=0.1)\ndef go():\n  try:\n    while True: " + send +
                           "  except tabiji.Closed: pass\nfor _ in range(4): threading.Thread(target=go, daemon=True).start()\ntime.sleep(0.1)\n", gone),
            "stuck": script(begin + "producer = tabiji.Producer(sys.argv[1], on_report=lambda r: time.sleep(10000), close_timeout=0.1)\n" + send,
                            collector.url),
            "stuck away": script(begin + "producer = tabiji.Producer(sys.argv[1], on_report=lambda r: time.sleep(10000), close_timeout=0.1)\n" +
                                 send * 3, gone),
            "raised": script(begin + "producer = tabiji.Producer(sys.argv[1], on_report=lambda r: 1 / 0)\n" + send + "raise SystemExit(3)",
                             collector.url),
            "interrupted": script(begin + "producer = tabiji.Producer(sys.argv[1], close_timeout=0.1)\n" + send +
                                  "print('waits', flush=True)\nproducer.flush()\n", gone),
        }
        assert scripts["interrupted"].stdout.readline() == "waits\n"
        time.sleep(0.2)  # in flush(), or before it
        scripts["interrupted"].send_signal(signal.SIGINT)
        got = {name: ended(process) for name, process in scripts.items()}
        assert got["sent"] == (0, "", "") and len(collector.events) == 3, (got, collector.events)
    assert got["away"][0] == 0 and "Report(kind='dropped'" in got["away"][1] and "1 events were discarded" in got["away"][2], got["away"]
    assert got["many"][0] == 0 and "events were discarded" in got["many"][2] and "Traceback" not in got["many"][2], got["many"]
    for name in ("stuck", "stuck away"):
        assert got[name][0] == 0 and "on_report did not come back" in got[name][2], got[name]
    assert "3 reports were not told" in got["stuck away"][2], got["stuck away"]
    assert got["raised"][0] == 3 and "ZeroDivisionError" in got["raised"][2], got["raised"]
    assert got["interrupted"][0] == -signal.SIGINT and "KeyboardInterrupt" in got["interrupted"][2], got["interrupted"]


# ---- spools ----


def check_spool_of_the_killed(spool):
    """The collector is away, the process killed: another one that has the directory sends what was left, first, in order, each event once."""
    killed = script("""
        import sys, tabiji, time
        producer = tabiji.Producer(sys.argv[1], spool_dir=sys.argv[2], spool_sync="none", spool_age_max=86400 * 400)
        for n in range(20):
            producer.send("x", id=f"killed-{n}", ids={"login": "u-1"}, durable=n % 2 == 0)
        producer.send_json({"id": "killed-20", "type": "x", "ids": {"login": "u-1"}}, durable=True)
        print("sent", flush=True)
        time.sleep(1000)""", away(), spool)
    try:
        assert killed.stdout.readline() == "sent\n", ended(killed)
        why = raises(tabiji.Locked, tabiji.Producer, away(), spool_dir=spool)
        assert (why.name, why.code, why.pointer) == ("locked", -13, "spool_dir"), why
    finally:
        killed.kill()
    assert ended(killed)[0] == -signal.SIGKILL
    with Collector() as collector:
        code, out, error = ended(script("""
            import json, sys, tabiji
            told = []
            with tabiji.Producer(sys.argv[1], spool_dir=sys.argv[2], spool_sync="every", on_report=told.append) as producer:
                producer.send("x", id="own", ids={"login": "u-1"}, context="mine")
                assert producer.flush(60)
            print(json.dumps([[report.kind, report.event_id, report.context] for report in told]))""", collector.url, spool))
        assert (code, error) == (0, ""), error
        ids = [f"killed-{n}" for n in range(21)]
        assert [event["id"] for event in collector.events] == [*ids, "own"], collector.events
        assert json.loads(out) == [*(["delivered", name, None] for name in ids), ["delivered", "own", "mine"]], out


def check_spool_at_close(spool):
    """What stays there is not discarded; the next producer reports it, without context."""
    told = []
    with tabiji.Producer(away(), spool_dir=spool, on_report=told.append, close_timeout=0) as producer:
        sent = [producer.send("x", ids=WHO, context=n) for n in range(3)]
        assert producer.statistics().spool_events == 3 and producer.statistics().spool_bytes > 0
    assert [(r.kind, r.event_id, r.context, r.problem.code, r.events) for r in told] == [("spool", "", None, "kept", 3)], told
    said = producer.statistics()
    assert not producer.close() and (said.events_taken, said.events_discarded, said.spool_events, said.queue_events) == (3, 0, 3, 0), said
    gone = ended(script("""
        import sys, tabiji
        producer = tabiji.Producer(sys.argv[1], spool_dir=sys.argv[2], reports_max=1, close_timeout=0)
        producer.close(0)
        print([(report.problem.code, report.events) for report in producer.reports()])
        tabiji.Producer(sys.argv[1], spool_dir=sys.argv[2], close_timeout=0)""", away(), spool))
    assert gone == (0, "[('kept', 3)]\n", ""), gone
    with Collector() as collector:
        with tabiji.Producer(collector.url, spool_dir=spool, reports_max=1) as producer:
            own = producer.send("x", ids=WHO, context="own")
            assert producer.flush(PATIENCE)
            assert [(r.kind, r.event_id, r.context, r.events) for r in producer.reports(0.1)] == [
                *(("delivered", name, None, 0) for name in sent), ("delivered", own, "own", 0)]
        assert producer.close() and producer.statistics().spool_events == 0 and set(collector.ids().values()) == {1}


def check_spool_that_drops(aged, full):
    """Events that have no report of their own do not count as unreported for ever."""
    with tabiji.Producer(away(), spool_dir=aged, spool_age_max=0.1, linger=60, reports_max=2, queue_timeout=0.01, close_timeout=0) as producer:
        for n in range(2):
            producer.send("x", ids=WHO, context=n)
        assert "reported" in raises(tabiji.QueueFull, producer.send, "x", ids=WHO, context=2).hint
        producer.send("x", ids=WHO)
        time.sleep(0.2)  # older than spool_age_max
        assert producer.flush(PATIENCE)
        dropped = 0
        while dropped < 3:
            report = producer.next_report(PATIENCE)
            assert (report.kind, report.problem.code, report.context) == ("spool", "spool_age", None), report
            dropped += report.events
        assert producer.next_report(0) is None and producer.statistics().spool_dropped_age == 3
        producer.send("x", ids=WHO, context=3)
    told = []
    with Collector() as collector:
        collector.hold.clear()
        with tabiji.Producer(collector.url, spool_dir=full, spool_bytes_max=65536, queue_policy="drop_oldest", on_report=told.append,
                             reports_max=800) as producer:
            for n in range(800):
                producer.send("x", ids=WHO, context=n, properties={"long": "x" * 200})
            collector.hold.set()
            assert producer.flush(PATIENCE)
            dropped = producer.statistics().spool_dropped_full
            wait_until(lambda: dropped == sum(r.events for r in told if r.kind == "spool" and r.problem.code == "spool_full"), "its reports")
            delivered = [r.context for r in told if r.kind == "delivered"]
            assert dropped > 300 and len(delivered) + dropped >= 800, (dropped, delivered)
            assert delivered == sorted(set(delivered)) and delivered[-1] == 799, delivered
            for n in range(800):
                producer.send("x", ids=WHO, context=n)


def check_spool_of_threads(spool):
    """Each context comes back once, whatever order tokens and the disk have."""
    told = Counter()
    with Collector() as collector:
        with tabiji.Producer(collector.url, spool_dir=spool, linger=0, on_report=lambda report: told.update([report.context])) as producer:
            def send(name):
                for n in range(150):
                    producer.send("x", ids=WHO, context=(name, n), durable=n % 50 == 0)

            threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert producer.flush(PATIENCE)
        assert told == Counter((name, n) for name in range(6) for n in range(150)), told
        assert len(collector.events) == len(collector.ids()) == 900


def check_spools(directory):
    check_spool_of_the_killed(str(directory / "killed"))
    check_spool_at_close(str(directory / "closed"))
    check_spool_that_drops(str(directory / "aged"), str(directory / "full"))
    check_spool_of_threads(str(directory / "threads"))


# ---- the wheel ----


def check_wheel(directory):
    """Packed, built and installed without a network; the lines of the README run with it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    if not importlib.util.find_spec("pip"):
        print("no pip: the wheel is not tested")
        return
    subprocess.run([sys.executable, "-B", "-c", "import sys, backend; backend.build_sdist(sys.argv[1])", directory], cwd=PYTHON, check=True)
    source = directory / f"tabiji-{tabiji.__version__}.tar.gz"
    subprocess.run([*pip, "wheel", "--no-index", "--no-build-isolation", "-w", directory, source], check=True)
    wheel = directory / f"tabiji-{tabiji.__version__}-py3-none-any.whl"
    subprocess.run([*pip, "install", "--no-index", "--no-compile", "--target", directory / "site", wheel], check=True, stderr=subprocess.DEVNULL)
    modules = {path.name for path in (directory / "site/tabiji").iterdir() if path.is_file()}
    assert modules == {path.name for path in (PYTHON / "tabiji").iterdir() if path.is_file()}, modules
    lines = re.search(r"```python\n(.*?)```", (HEADER.parent / "README.md").read_text(), re.S).group(1)
    with Collector() as collector:
        key = directory / "key"
        key.write_text("k-1\n")
        there = lines.replace("https://collect.example.jp", collector.url).replace("/etc/pos/write-key", str(key))
        assert there != lines and len(lines.splitlines()) == 5, lines
        assert ended(script(there, path=directory / "site"))[::2] == (0, ""), there
        assert [event["type"] for event in collector.events] == ["store_purchase"] and collector.keys == ["Bearer k-1"], collector.events
    absent = subprocess.run([sys.executable, "-c", "import tabiji\ntry: tabiji.library_version()\nexcept tabiji.LibraryMissing: print('missing')"],
                            env={**os.environ, "PYTHONPATH": str(directory / "site"), "LD_LIBRARY_PATH": ""}, capture_output=True, text=True)
    assert absent.stdout == "missing\n" or not absent.stderr, absent  # where it is installed, it is found


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def main():
    kept = Kept()
    logging.getLogger("tabiji").addHandler(kept)
    tabiji.load(LIBRARY)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        check_structures(directory)
        check_names()
        check_events()
        check_wrong_events()
        check_options()
        check_reports()
        check_callbacks_that_raise(kept.texts)
        check_polling()
        check_queue()
        check_key()
        check_threads()
        check_forks()
        check_spools(directory)
        check_ends()
        check_wheel(directory)
    print("Python over libtabiji: header, events, reports, queues, keys, threads, forks, spools, ends, wheel")


main()
