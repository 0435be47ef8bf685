#!/usr/bin/env python3
"""`tabiji emit`: lines to the tables, each once, also where the collector is killed amid them; what is rejected is told by its
line; a spool that outlives a kill; a refused key, an absent collector and what is no collector have exit codes of their own."""
import gzip
import http.server
import json
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
    wait_until(lambda: len(rows_so_far(data, "SELECT 1 FROM event")) >= EVENTS + 2, "all events")
    assert rows_so_far(data, "SELECT count(*), count(DISTINCT event_id) FROM event") == [(EVENTS + 2, EVENTS + 2)]
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
        unknown = subprocess.run([PROGRAM, "emit", "--url", url, "--wait", "1"], input=lines[0], capture_output=True, text=True)
        server.shutdown()
    assert known == "6000 lines: 6000 accepted, 0 duplicates, 0 rejected\n", known
    assert Taker.lines == lines  # in their order, once
    assert unknown.returncode == 7 and "certificate" in unknown.stderr, unknown


def main():
    with Workspace() as space:
        data, port = space.path / "data", free_port()
        collector = start(space, data, port, "--set", "collector.open_source=dev")
        check_verdicts(port)
        collector = check_kill(space, data, port, collector)
        assert stop(collector) == 0
        collector = check_spool(space, data, port)
        assert stop(collector) == 0
        check_ends(space, free_port())
        check_tls(space)
    print("emit: verdicts, a kill, a spool, ends, TLS")


main()
