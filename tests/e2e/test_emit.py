#!/usr/bin/env python3
"""`tabiji emit`: lines to the tables, each once, also where the collector is killed amid them; what is rejected is told by its
line; one event by flags; a spool that outlives a kill; a refused key, an absent collector and what is no collector have exit codes of
their own."""
import gzip
import http.server
import json
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from harness import PROGRAM, Workspace, free_port, ready, rows_so_far, stop, tabiji, wait_until

EVENTS = 20000


def start(space, data, port, *more):
    process = space.start("run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", *more)
    wait_until(lambda: ready(port), "the collector")
    return process


def view(n):
    return json.dumps({"id": f"e-{n}", "type": "page_viewed", "time": 1795139999000 + n, "ids": {"cookie": f"c-{n % 50}"}})


def emit(port, lines, *arguments, expect=0):
    run = subprocess.run([PROGRAM, "emit", "--url", f"http://127.0.0.1:{port}/", *arguments], input="\n".join(lines), text=True,
                         capture_output=True, timeout=120)
    assert run.returncode == expect, (run.returncode, run.stdout, run.stderr[-2000:])
    return run


def check_verdicts(port):
    """Blank lines count as lines, but not as events; what is rejected is told, and the rest is taken."""
    lines = [view(1), "", view(2), '{"id":"x","tpye":"page_viewed"}', "  \r", '{"id":', '{"type":"page_viewed","ids":{"cookie":"c"}}', view(2)]
    run = emit(port, lines, expect=6)
    assert run.stdout == "8 lines: 2 accepted, 1 duplicates, 3 rejected\n", run.stdout
    assert run.stderr == ('line 4: unknown_field /tpye did you mean "type"?\n'
                          "line 6: bad_json  \nline 7: bad_id /id \n"), run.stderr
    assert json.loads(emit(port, [view(1)] * 2, "--json").stdout) == {"lines": 2, "accepted": 1, "duplicates": 1, "rejected": 0}


def check_flags(space, data, port):
    """One event by flags: typed, judged before it is sent, once by its id; standard input is not read."""
    call = ["--type", "call_ended", "--id", "login:u-77", "--id", "login:u-78", "--id", "loyalty:8800", "--time", "2026-11-20T10:15:00+09:00",
            "--event-id", "flags-1", "--field", "call.call_id=CA1", "--field", "call.queue=returns", "--field", "call.talk_ms=183000",
            "--field", "properties.satisfaction:=5", "--field", "properties.note=a,b=c"]
    assert emit(port, ["no line"], *call).stdout == 'event "flags-1": 1 accepted, 0 duplicates, 0 rejected\n'
    assert json.loads(emit(port, [], *call, "--json").stdout) == {"id": "flags-1", "accepted": 1, "duplicates": 0, "rejected": 0}  # twice the same
    till = emit(port, [], "--type", "store_purchase", "--id", "loyalty:8801", "--field", "order.order_id=R-1", "--field", "order.currency=JPY",
                "--field", "order.revenue=12980", "--field", "order.items.0.sku=shoe-9", "--field", "order.items.0.quantity=2", "--json")
    made = json.loads(till.stdout)["id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", made), till.stdout

    # Judged here: nothing is sent, nobody need be there.
    nobody = free_port()
    wrong = emit(nobody, [], "--type", "call_ended", "--id", "login:u-77", "--field", "call.direction=sideways", expect=6)
    assert wrong.stdout == "event: 0 accepted, 0 duplicates, 1 rejected\n" and wrong.stderr.startswith("event: bad_value /call/direction "), wrong
    for flags, why in ((["--field", "call.cal_id=1"], 'did you mean "call_id"?'), (["--field", "call.talk_ms=long"], "an integer is wanted"),
                       (["--id", "u-77"], "--id needs NAMESPACE:VALUE")):
        assert why in emit(nobody, [], "--type", "call_ended", *flags, expect=2).stderr, flags
    assert "it needs --type" in emit(nobody, [view(1)], "--id", "login:u-77", expect=2).stderr
    # What the collector alone can know is left to it.
    assert "event: unknown_namespace" in emit(nobody, [], "--type", "x", "--id", "card:1", expect=6).stderr
    told = emit(port, [], "--type", "x", "--id", "card:1", "--event-id", "flags-2", "--unchecked", expect=6)
    assert told.stdout == 'event "flags-2": 0 accepted, 0 duplicates, 1 rejected\n' and "event: unknown_namespace" in told.stderr, told

    # A spool keeps it while nobody is there.
    spool = space.path / "flags-spool"
    away = emit(nobody, [], "--type", "x", "--id", "login:u-77", "--event-id", "flags-3", "--spool", spool, "--wait", "1", expect=7)
    assert "the event was not accepted" in away.stderr and "spool: kept: 1:" in away.stderr, away.stderr
    assert emit(port, [], "--spool", spool).stdout == "0 lines: 1 accepted, 0 duplicates, 0 rejected\n"
    wait_until(lambda: len(rows_so_far(data, "SELECT 1 FROM event")) == 5, "the events of flags")
    assert rows_so_far(data, "SELECT type, occurred_at, call_id, properties FROM event WHERE event_id = 'flags-1'") == [
        ("call_ended", 1795137300000000, "CA1", '{"note":"a,b=c","satisfaction":5}')]
    assert rows_so_far(data, f"SELECT order_id, revenue_minor FROM event WHERE event_id = '{made}'") == [("R-1", 12980)]


def check_kill(space, data, port, collector):
    """The collector is killed while lines come, and comes back later: nothing is lost, nothing is there twice."""
    sending = subprocess.Popen([PROGRAM, "emit", "--url", f"http://127.0.0.1:{port}"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [view(n) + "\n" for n in range(10, 10 + EVENTS)]
    killed = threading.Event()

    def feed():
        sending.stdin.writelines(lines[:EVENTS // 2])
        sending.stdin.flush()
        killed.wait(60)
        sending.stdin.writelines(lines[EVENTS // 2:])
        sending.stdin.close()

    feeder = threading.Thread(target=feed)
    before = len(rows_so_far(data, "SELECT 1 FROM event"))
    feeder.start()
    wait_until(lambda: len(rows_so_far(data, "SELECT 1 FROM event")) > before, "the first events")
    collector.send_signal(signal.SIGKILL)
    collector.wait()
    there = len(rows_so_far(data, "SELECT 1 FROM event"))
    killed.set()
    collector = start(space, data, port, "--set", "collector.open_source=dev")
    feeder.join(60)
    said, errors = sending.stdout.read(), sending.stderr.read()
    assert sending.wait(60) == 0, (said, errors)
    assert said.startswith(f"{EVENTS} lines: ") and said.endswith(" 0 rejected\n"), said
    total = before + EVENTS
    wait_until(lambda: len(rows_so_far(data, "SELECT 1 FROM event")) >= total, "all events")
    assert rows_so_far(data, "SELECT count(*), count(DISTINCT event_id) FROM event") == [(total, total)]
    print(f"killed after {there} of {EVENTS}: {said.strip()}")
    return collector


def check_spool(space, data, port):
    """Killed while nobody is there, and closed while nobody is there: the next run sends all, each once. Returns the collector."""
    spool, before = space.path / "spool", len(rows_so_far(data, "SELECT 1 FROM event"))
    lines = [view(n) for n in range(100000, 100500)]
    sending = subprocess.Popen([PROGRAM, "emit", "--url", f"http://127.0.0.1:{port}", "--spool", spool], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sending.stdin.write("\n".join(lines) + "\n")
    sending.stdin.flush()
    wait_until(lambda: b'"e-100499"' in b"".join(file.read_bytes() for file in spool.glob("*.spool")), "all lines in the spool")
    run = emit(port, [], "--spool", spool, expect=7)
    assert str(spool) in run.stderr, run.stderr
    sending.kill()
    sending.communicate()
    run = emit(port, [view(100500)], "--spool", spool, "--wait", "1", expect=7)
    assert "spool: kept: 501:" in run.stderr, run.stderr
    collector = start(space, data, port, "--set", "collector.open_source=dev")
    assert emit(port, [], "--spool", spool).stdout == "0 lines: 501 accepted, 0 duplicates, 0 rejected\n"
    assert emit(port, [], "--spool", spool).stdout == "0 lines: 0 accepted, 0 duplicates, 0 rejected\n"
    total = before + 501
    wait_until(lambda: len(rows_so_far(data, "SELECT 1 FROM event")) >= total, "all events")
    assert rows_so_far(data, "SELECT count(*), count(DISTINCT event_id) FROM event") == [(total, total)]
    return collector


class Portal(http.server.BaseHTTPRequestHandler):
    """What is no collector."""

    def do_POST(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def check_ends(space, port):
    """401 ends at once; nobody there, after --wait; another server, at once."""
    data = space.path / "keys"
    start(space, data, port)
    key = space.path / "wrong.key"
    key.write_text("no-such-key\n")
    run = emit(port, [view(1)], "--key-file", key, expect=5)
    assert "the collector answered 401" in run.stderr and "no-such-key" not in run.stderr, run.stderr
    run = emit(free_port(), [view(1), view(2)], "--wait", "1", expect=7)
    assert "lines from 1 were not accepted (unreachable" in run.stderr, run.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = emit(silent.getsockname()[1], [view(1)], "--wait", "1", expect=7)
    assert "lines from 1 were not accepted (no answer yet)" in run.stderr, run.stderr
    emit(port, [], "--key-file", space.path / "absent.key", expect=2)
    tabiji("emit", "--url", "collect.example.jp", stdin=b"", expect=2)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever).start()
        run = emit(portal.server_address[1], [view(1)], expect=1)
        portal.shutdown()
    assert "the collector answered 404" in run.stderr, run.stderr


class Taker(http.server.BaseHTTPRequestHandler):
    """Takes all, and resets the connection once it has answered. Gzip is expected."""
    protocol_version = "HTTP/1.1"
    lines = []

    def do_POST(self):
        assert self.headers["Content-Encoding"] == "gzip", self.headers
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))).decode()
        Taker.lines += body.splitlines()
        reply = json.dumps({"accepted": len(body.splitlines()), "duplicates": 0, "rejected": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
        self.wfile.flush()
        time.sleep(0.05)  # that it has been read
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a handshake that the client ends


def check_tls(space):
    """The server is verified, by the authorities that are given; bodies are compressed; a connection that the server has
    reset is made anew."""
    if not shutil.which("openssl"):
        print("TLS: skipped, openssl is not installed")
        return
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", space.path / "tls.key", "-out", space.path / "tls.pem"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(space.path / "tls.pem", space.path / "tls.key")
    lines = [view(n) for n in range(6000)]
    with Quiet(("127.0.0.1", 0), Taker) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        known = tabiji("emit", "--url", url, "--ca-file", space.path / "tls.pem", stdin="\n".join(lines).encode())
        for wait in ("1", "20"):  # a machine that is busy with others may take longer for the first try
            unknown = subprocess.run([PROGRAM, "emit", "--url", url, "--wait", wait], input=lines[0], capture_output=True, text=True)
            if "no answer yet" not in unknown.stderr:
                break
        server.shutdown()
    assert known == "6000 lines: 6000 accepted, 0 duplicates, 0 rejected\n", known
    assert Taker.lines == lines  # in their order, once
    assert unknown.returncode == 7 and "certificate" in unknown.stderr, unknown


def main():
    with Workspace() as space:
        data, port = space.path / "data", free_port()
        collector = start(space, data, port, "--set", "collector.open_source=dev")
        check_verdicts(port)
        check_flags(space, data, port)
        collector = check_kill(space, data, port, collector)
        assert stop(collector) == 0
        collector = check_spool(space, data, port)
        assert stop(collector) == 0
        check_ends(space, free_port())
        check_tls(space)
    print("emit: verdicts, one by flags, a kill, a spool, ends, TLS")


main()
