#!/usr/bin/env python3
"""`tabiji run`: events over HTTP into the tables; nothing acknowledged is lost by kill -9; rejected events are found with
their payload and reason; lookup and timeline answer."""
import contextlib
import gzip
import http.client
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
import uuid
import zlib

from harness import PROGRAM, Workspace, free_port, ready, stop, tabiji, wait_until


def post(port, path, body, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body), headers or {})
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, text


def start(space, data, port):
    process = space.start("run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: ready(port), "the collector")
    return process


def rows(data, sql, *values):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def view(n, **more):
    return {"id": f"e-{n}", "type": "page_viewed", "time": f"2026-11-20T10:{n // 60 % 60:02d}:{n % 60:02d}+09:00",
            "ids": {"cookie": f"c-{n % 50}"}, "page": {"url": "https://shop.example.jp/?utm_source=line&utm_medium=social"}, **more}


def native_and_segment(data, port):
    status, text = post(port, "/v1/events", [view(1), {"id": "e-2", "type": "page_viewed", "ids": {"cookie": "c"}, "pagee": {}}])
    reply = json.loads(text)
    assert status == 200 and reply["accepted"] == 1 and reply["rejected"][0]["index"] == 1, reply
    assert reply["rejected"][0]["code"] == "unknown_field" and "page" in reply["rejected"][0]["hint"], reply
    status, text = post(port, "/v1/batch", {"batch": [
        {"type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "u-1", "anonymousId": "c-1",
         "timestamp": "2026-11-20T03:00:00Z", "properties": {"order_id": "W-1", "revenue": 12980, "currency": "JPY"}},
        {"type": "identify", "messageId": "m-2", "userId": "u-1", "anonymousId": "c-1", "traits": {"email": "Hana@example.jp"}}],
        "sentAt": "2026-11-20T03:00:01Z"})
    assert (status, text) == (200, b'{"success":true}'), (status, text)
    wait_until(lambda: rows(data, "SELECT count(*) FROM conversion")[0][0] == 1, "the order")
    person = rows(data, "SELECT person FROM conversion")[0][0]
    wait_until(lambda: rows(data, "SELECT count(*) FROM event WHERE person = ?", person)[0][0] >= 3, "the stitched view")
    assert "hana" not in tabiji("state", "dump", "--data", data).lower(), "an e-mail address was stored"
    found = json.loads(tabiji("lookup", "--data", data, "--json", "email:HANA@example.jp"))
    assert found and {uuid.UUID(row["person"]).bytes for row in found} == {person}, found
    assert "order_completed" in tabiji("timeline", "--data", data, "login:u-1")
    listed = json.loads(tabiji("rejected", "list", "--data", data, "--json"))
    assert len(listed) == 1 and listed[0]["reason"] == "unknown_field", listed
    shown = tabiji("rejected", "show", "--data", data, listed[0]["rejected_key"])
    assert "pagee" in shown and "unknown_field" in shown, shown


def killed_under_load(space, data, port, process):
    """Posts from threads while the process is killed and started again; what was acknowledged must be there."""
    acknowledged, lock, done = set(), threading.Lock(), threading.Event()

    def client(first):
        n = first
        while not done.is_set():
            batch = [view(n + i) for i in range(20)]
            try:
                status, text = post(port, "/v1/events", batch)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status == 200:
                reply = json.loads(text)
                assert not reply["rejected"], reply
                with lock:
                    acknowledged.update(e["id"] for e in batch)
                n += 20

    threads = [threading.Thread(target=client, args=(1000000 * (k + 1),)) for k in range(4)]
    for thread in threads:
        thread.start()
    kills = 0
    for pause in (0.7, 0.4, 0.9):
        time.sleep(pause)
        process.kill()
        process.wait()
        kills += 1
        process = start(space, data, port)
    time.sleep(0.5)
    done.set()
    for thread in threads:
        thread.join()
    assert acknowledged, "nothing was sent"

    def missing():
        return acknowledged - {i for i, in rows(data, "SELECT event_id FROM event")}

    wait_until(lambda: not missing(), f"{len(acknowledged)} acknowledged events after {kills} kills")
    twice = rows(data, "SELECT event_id, count(*) FROM event GROUP BY event_key HAVING count(*) > 1")
    assert not twice, twice
    print(f"{len(acknowledged)} acknowledged events survived {kills} kills")
    return process


def told_to_reload(space):
    """SIGHUP: other write keys and another level from now on, while requests come; what is read at the start only is named; a file
    that is not sound changes nothing."""
    port, log, config = free_port(), space.path / "reload.log", space.path / "reload.ini"

    def write(keys, level="info", more=""):
        digests = ", ".join(hashlib.sha256(key.encode()).hexdigest() for key in keys)
        config.write_text(f"[log]\nlevel = {level}\n[source shop]\nkey_sha256 = {digests}\n{more}")

    def lines(event):
        return [line for line in map(json.loads, (x for x in log.read_text().splitlines() if x.startswith("{"))) if line["event"] == event]

    def reload(event):
        before = len(lines(event))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(lines(event)) > before, event)
        return lines(event)[-1]

    def send(key):
        return post(port, "/v1/events", view(1), {"Authorization": f"Bearer {key}"})[0]

    write(["first"])
    with log.open("wb") as out:
        process = space.start("run", "--data", space.path / "reload", "--config", config, "--set", f"collector.listen=127.0.0.1:{port}",
                              stderr=out)
    wait_until(lambda: ready(port), "the collector")
    assert (send("first"), send("second")) == (200, 401)
    write(["first", "second"])
    line = reload("reloaded")
    assert line["taken"] == "[source shop] key_sha256", line
    assert (send("first"), send("second")) == (200, 200)
    assert reload("reloaded")["changed"] is False

    # Under requests: each is answered by the old keys or the new ones.
    statuses, done = set(), threading.Event()

    def keep_sending():
        while not done.is_set():
            statuses.add(send("first"))
    threads = [threading.Thread(target=keep_sending) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        write(["first", f"other-{n}"])
        reload("reloaded")
    done.set()
    for thread in threads:
        thread.join()
    assert statuses == {200} and send("second") == 401 and send("other-19") == 200, statuses

    write(["third"], more="nonsense = 1\n")
    line = reload("reload_refused")
    assert line["level"] == "error" and f"{config}:5" in line["why"] and "nonsense" in line["why"], line
    assert (send("other-19"), send("third")) == (200, 401), "a bad file was taken"
    write(["third"], "error", "[journey]\nsession_timeout = 10 min\n[source pos]\nrate = 5\n")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: send("third") == 200, "the third key")
    assert send("first") == 401
    write(["third"], "info", "[journey]\nsession_timeout = 10 min\n[agent]\nrules =\n")
    line = reload("reload_needs_restart")
    assert line["keys"] == "[journey] session_timeout, [agent] rules" and "restart" in line["hint"], line
    assert stop(process) == 0, "SIGTERM"
    print("SIGHUP: keys and level taken over, a bad file refused, the rest named")


class Tail:
    """`tabiji tail --json` beside a collector: its lines as they come."""

    def __init__(self, space, port, *more):
        self.lines = []
        self.errors = (space.path / f"tail-{len(more)}.err").open("w+")
        self.process = space.start("tail", "--url", f"http://127.0.0.1:{port}", "--key-file", space.path / "ops.key", "--json", *more,
                                   stdout=subprocess.PIPE, stderr=self.errors, text=True)
        threading.Thread(target=lambda: self.lines.extend(map(json.loads, self.process.stdout)), daemon=True).start()

    def find(self, **wanted):
        return [line for line in list(self.lines) if all(line.get(name) == value for name, value in wanted.items())]

    def wait(self, times=1, **wanted):
        wait_until(lambda: len(self.find(**wanted)) >= times, f"{times} times {wanted} in {self.lines}", 30)
        return self.find(**wanted)[-1]


def live_view(space):
    """`tabiji tail`: what came, what became of it, how to send it again; over a kill -9 of the collector."""
    port, config, log = free_port(), space.path / "tail.ini", space.path / "tail.log"
    ops, web = (hashlib.sha256(key.encode()).hexdigest() for key in ("operator's key", "web's key"))
    config.write_text(f"[source ops]\nkey_sha256 = {ops}\noperator = yes\n"
                      f"[source web]\nkey_sha256 = {web}\n")
    (space.path / "ops.key").write_text("operator's key\n")
    (space.path / "web.key").write_text("web's key\n")

    def begin():
        process = space.start("run", "--data", space.path / "tail", "--config", config, "--set", f"collector.listen=127.0.0.1:{port}",
                              stderr=log.open("ab"))
        wait_until(lambda: ready(port), "the collector")
        return process

    def send(events):
        return post(port, "/v1/events", events, {"Authorization": "Bearer web's key"})[0]

    process = begin()
    tabiji("tail", "--url", f"http://127.0.0.1:{port}", "--key-file", space.path / "web.key", expect=5)
    tabiji("tail", "--url", f"http://127.0.0.1:{port}", "--key-file", space.path / "ops.key", "--fate", "lost", expect=2)
    tabiji("tail", "--url", f"http://127.0.0.1:{free_port()}", expect=7)
    every, hana = Tail(space, port), Tail(space, port, "--person", "email:HANA@example.jp", "--source", "web")
    viewers = "tabiji_collector_viewers 2"
    wait_until(lambda: viewers in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode(), viewers)
    begun = time.monotonic()
    assert send([view(1, ids={"email": "hana@example.jp", "cookie": "c-1"}), view(2, idz={"cookie": "c-2"})]) == 200
    every.wait(event_id="e-1", fate="accepted")
    print(f"shown after {(time.monotonic() - begun) * 1000:.0f} ms")
    refused = every.wait(event_id="e-2", fate="rejected")
    assert (refused["pointer"], refused["source"], refused["protocol"]) == ("/idz", "web", "native"), refused
    assert "ids" in refused["hint"], refused
    stitched = every.wait(kind="fate", event_id="e-1", fate="stitched")
    person = rows(space.path / "tail", "SELECT person FROM event WHERE event_id = 'e-1'")[0][0]
    assert uuid.UUID(stitched["person"]).bytes == person, stitched
    shown = hana.wait(event_id="e-1", kind="event")
    assert shown["identifiers"][1]["value"].startswith("k1:") and not hana.find(event_id="e-2"), hana.lines

    # The command sends it again: the same event, which was there before.
    run = subprocess.run(["sh", "-c", shown["curl"]], env={**os.environ, "WRITE_KEY": "web's key"}, capture_output=True, text=True)
    assert json.loads(run.stdout)["accepted"] == 1, run
    again = every.wait(kind="fate", event_id="e-1", fate="duplicate")
    assert again["event_key"] == stitched["event_key"], again
    assert send(view(1, type="searched", ids={"email": "hana@example.jp", "cookie": "c-1"})) == 200
    assert every.wait(kind="fate", event_id="e-1", fate="rejected")["reason"] == "id_conflict"
    assert post(port, "/v1/events", "{", {"Authorization": "Bearer web's key"})[0] == 400
    assert every.wait(fate="refused")["status"] == 400

    process.kill()
    process.wait()
    process = begin()
    every.wait(kind="missed", at_least=True)
    assert send(view(3)) == 200
    every.wait(event_id="e-3", fate="accepted")
    every.errors.seek(0)
    assert "lost" in every.errors.read(), "who watches was not told"

    # A misspelt source is told. Who finds all places taken waits, and comes in soon after others have left, though nothing flows.
    tabiji("tail", "--url", f"http://127.0.0.1:{port}", "--key-file", space.path / "ops.key", "--source", "wed", expect=4)
    slip = subprocess.run([PROGRAM, "tail", "--url", f"http://127.0.0.1:{port}", "--key-file", space.path / "ops.key", "--type", "page_viewd"],
                          capture_output=True, text=True, timeout=60)
    assert slip.returncode == 4 and 'did you mean "page_viewed"' in slip.stderr, slip
    others = []
    for _ in range(14):
        others.append(socket.create_connection(("127.0.0.1", port), timeout=30))
        others[-1].sendall(b"GET /v1/debug/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator's key\r\n\r\n")
        assert others[-1].recv(100).startswith(b"HTTP/1.1 200"), others
    more = Tail(space, port, "--type", "searched")

    def told(words):
        more.errors.seek(0)
        return words in more.errors.read()
    wait_until(lambda: told("too many watch already"), "a word about the viewers")
    for other in others:
        other.close()
    left = time.monotonic()
    wait_until(lambda: send(view(4, type="searched")) == 200 and more.find(event_id="e-4"), "a place for who waits", 30)
    assert time.monotonic() - left < 15, "dead viewers kept their places"

    # Viewers that are stopped or gone: the collector goes on, and ends at once though they are there.
    every.process.send_signal(signal.SIGSTOP)
    hana.process.kill()
    assert all(send([view(n * 500 + k, ids={"cookie": "x" * 400}) for k in range(500)]) == 200 for n in range(1, 9))
    assert stop(process) == 0, "SIGTERM"
    every.process.send_signal(signal.SIGCONT)
    every.process.kill()
    assert "hana" not in log.read_text().lower(), "personal data in the log"
    print("live view: fates, commands, a kill -9, stopped and dead viewers")


class Hostile:
    """A collector with short patience, and what is done to it. Connections are raw sockets."""

    REQUEST_TIMEOUT_S = 5

    def __init__(self, space, name, *more, command=None):
        self.port, self.log = free_port(), space.path / f"{name}.log"
        self.process = space.start("run", "--data", space.path / name, "--set", f"collector.listen=127.0.0.1:{self.port}", "--set",
                                   "collector.open_source=dev", "--set", f"collector.request_timeout={self.REQUEST_TIMEOUT_S} s",
                                   *(x for y in more for x in ("--set", y)), stderr=self.log.open("wb"), **(command or {}))
        wait_until(lambda: ready(self.port), "the collector")

    def connect(self, text=b""):
        """Sends at once what the connection begins with: who says nothing has the time of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(text)
        return connection

    def gauge(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics").read().decode()
        return int(next(line for line in text.splitlines() if line.startswith(f"tabiji_{name} ")).split()[1])

    def memory(self, name):
        """VmRSS or VmHWM, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024

    def healthy(self, n):
        for i in range(n):
            assert post(self.port, "/v1/events", view(i))[0] == 200


def descriptors(count):
    """Raises this process's own limit; returns how many there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    return min(count, hard)


def slow_and_idle_clients(space):
    """5,000 kept connections that are silent, clients that send a byte now and then, in the head and in the body: others are served, and
    the slow ones are told 408 at the end of their time, however much they dripped; memory stays within what the limits say."""
    idle_count = min(5000, descriptors(16384) - 1000)
    hostile = Hostile(space, "slow", "collector.idle_timeout=1 h", f"collector.connections_max={idle_count + 600}")
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
    before = hostile.memory("VmRSS")
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    idle = [hostile.connect(health) for _ in range(idle_count)]
    assert all(connection.recv(4096).startswith(b"HTTP/1.1 200") for connection in idle)
    assert hostile.gauge("collector_connections") >= idle_count
    heads = [hostile.connect(head + b"X: ") for _ in range(200)]
    bodies = [hostile.connect(head + b"Content-Length: 1000\r\n\r\n{") for _ in range(200)]
    stopped = threading.Event()

    def drip():
        while not stopped.wait(0.2):
            for connection in heads + bodies:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    hostile.healthy(300)
    for connection in heads + bodies:
        reply = b""
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(4096):
                reply += chunk
        assert reply == b"" or reply.startswith(b"HTTP/1.1 408"), reply
        connection.close()
    stopped.set()
    thread.join()
    hostile.healthy(50)
    assert hostile.gauge("collector_connections") >= idle_count, "silent ones were closed before their time"

    # Beyond connections_max they wait until one ends; those that are there go on.
    ask = http.client.HTTPConnection("127.0.0.1", hostile.port, timeout=60)
    ask.sock = idle.pop()
    more = [hostile.connect(health) for _ in range(700)]

    def connections():
        ask.request("GET", "/metrics")
        return int(re.search(r"^tabiji_collector_connections (\d+)", ask.getresponse().read().decode(), re.M).group(1))

    wait_until(lambda: connections() == idle_count + 600, "as many connections as there may be")
    for connection in idle[:200]:
        connection.close()
    assert all(connection.recv(4096).startswith(b"HTTP/1.1 200") for connection in more)
    assert connections() <= idle_count + 600
    grown = hostile.memory("VmRSS") - before
    assert grown < (idle_count + 600) * 64 / 1024 + 64, f"{grown} MiB"  # the library's 32 kB a connection, and as much again
    for connection in idle + more:
        connection.close()
    assert stop(hostile.process) == 0, "SIGTERM"
    print(f"{idle_count} silent and 400 slow connections: {grown:.0f} MiB")


def bombs(space):
    """Bodies that inflate a thousandfold, of one member and of a thousand: 413, and memory stays flat."""
    hostile = Hostile(space, "bombs")
    single = gzip.compress(bytes(64 << 20), 9)
    many = gzip.compress(bytes(1 << 20), 9) * 900  # 900 MiB in less than 1 MiB
    lying = zlib.compress(bytes(900 << 10), 9)
    assert max(map(len, (single, many, lying))) < 1 << 20
    hostile.healthy(1)
    pathlib.Path(f"/proc/{hostile.process.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = hostile.memory("VmHWM")
    answers = []

    def throw():
        for body, encoding in ((single, "gzip"), (many, "gzip"), (many, None), (lying, "deflate")):
            answers.append(post(hostile.port, "/v1/events", body, {"Content-Encoding": encoding} if encoding else {})[0])

    for _ in range(3):
        threads = [threading.Thread(target=throw) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [413] * 96, answers
    grown = hostile.memory("VmHWM") - before
    assert grown < 8 * (1 + 2 * 4) + 32, f"{grown} MiB"  # eight bodies with what they may inflate to, which doubles as it grows
    hostile.healthy(1)
    assert stop(hostile.process) == 0, "SIGTERM"
    print(f"96 bombs of 900 MiB: {grown:.0f} MiB more")


def few_descriptors(space):
    """With a low ulimit -n it says so, and takes fewer connections instead of falling over."""
    hostile = Hostile(space, "few", command={"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))})
    line = next(json.loads(x) for x in hostile.log.read_text().splitlines() if "descriptors_short" in x)
    assert line["level"] == "warning" and 0 < line["connections"] < 300 and line["configured"] == 8192, line
    assert "ulimit -n" in line["hint"] and "LimitNOFILE" in line["hint"], line
    crowd = [hostile.connect() for _ in range(400)]
    for connection in crowd:
        connection.close()
    hostile.healthy(20)
    assert stop(hostile.process) == 0, "SIGTERM"


def main():
    with Workspace() as space:
        data, port = space.path / "data", free_port()
        process = start(space, data, port)
        second = space.start("run", "--data", data, "--set", "collector.listen=127.0.0.1:0")
        assert second.wait(30) != 0, "two processes own one data directory"
        native_and_segment(data, port)
        process = killed_under_load(space, data, port, process)
        assert stop(process) == 0, "SIGTERM"
        told_to_reload(space)
        live_view(space)
        few_descriptors(space)
        bombs(space)
        slow_and_idle_clients(space)
        print("http: all as said")


if __name__ == "__main__":
    main()
