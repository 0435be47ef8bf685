#!/usr/bin/env python3
"""Segment's API at the wire, as clients in PHP, Ruby, Go and Java are known to speak it, and every bad input with its answer.
What the clients do is said in ../shared/design/PROTOCOLS.md and in their sources; each request here has the head that they send."""
import base64
import contextlib
import gzip
import hashlib
import json
import re
import socket
import sqlite3
import zlib

from harness import Workspace, free_port, stop, tabiji, wait_until
from test_http import ready

SUCCESS = b'{"success":true}'
SOURCES = {"shop": "", "off": "enabled = no", "slow": "rate = 1", "native-only": "protocols = native", "web": "origins = https://shop.example"}
NOW = "2026-11-20T10:15:00"


def key_of(source):
    return f"key-of-{source}"


def basic(key):
    return f"Authorization: Basic {base64.b64encode(f'{key}:'.encode()).decode()}\r\n"


def exchange(port, request):
    """Sends bytes; returns status, headers, body, and whether the connection was closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        connection.settimeout(30)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(65536)
            assert piece, got
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        return int(lines[0].split()[1]), headers, body


def post(port, path="/v1/batch", body=b"", headers="", key="shop", agent=""):
    text = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    kind = "" if "content-type" in headers.lower() else "Content-Type: application/json\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{basic(key_of(key)) if key else ''}{kind}{agent}{headers}"
    if "chunked" in headers:
        return exchange(port, head.encode() + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))
    return exchange(port, f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)


def track(identity, **more):
    return {"type": "track", "event": "Product Viewed", "userId": "u", "messageId": identity, "timestamp": f"{NOW}Z", **more}


def rows(data, sql, *values):
    with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def succeeds(reply, what):
    status, headers, body = reply
    # php loops on 201 to 399, python takes 202 and 204 for a failure, ruby and java parse the body.
    assert (status, body) == (200, SUCCESS) and headers["content-type"] == "application/json", (what, reply)


def library(name, **more):
    return {"context": {"library": {"name": name, "version": "1.2.3", **more}}}


def documented_clients(port):
    """Returns what each sent: event id, and seconds since NOW Z that its time has."""
    sent = {}

    # PHP: date('c') has no fraction; a socket that reads the first 2,048 bytes; empty arrays for objects; the head of its own making.
    body = json.dumps({"batch": [track("php-1", timestamp=f"{NOW}+09:00", properties={}, **library("analytics-php", consumer="Socket")),
                                 {"type": "identify", "messageId": "php-2", "userId": "u", "traits": [], "timestamp": f"{NOW}.5+00:00"},
                                 track("php-3", properties=[])],
                       "sentAt": f"{NOW}+00:00"}).encode()
    request = f"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{basic(key_of('shop'))}" \
              "Accept: application/json\r\nUser-Agent: analytics-php/1.2.3\r\n"
    succeeds(exchange(port, f"{request}Content-length: {len(body)}\r\n\r\n".encode() + body), "php socket")
    packed = gzip.compress(body)
    request += f"Content-Encoding: gzip\r\nContent-length: {len(packed)}\r\n\r\n"
    succeeds(exchange(port, request.encode() + packed), "php socket, again, compressed")
    sent |= {"php-1": -9 * 3600, "php-2": 0.5, "php-3": 0}

    # Ruby: /v1/import, Net::HTTP's head, iso8601(3).
    succeeds(post(port, "/v1/import", {"sentAt": f"{NOW}.250Z", "batch": [track("ruby-1", timestamp=f"{NOW}.125Z", **library("analytics-ruby"))]},
                  "Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
                  "Keep-Alive: 30\r\n", agent="User-Agent: analytics-ruby/2.4.0\r\n"), "ruby")
    sent["ruby-1"] = 0.125

    # Go: nanoseconds, an id of the batch itself, the context once for all.
    succeeds(post(port, body={"messageId": "batch-1", "sentAt": f"{NOW}.999999999Z", "batch": [track("go-1", timestamp=f"{NOW}.123456789+00:00")],
                              **library("analytics-go")}, agent="User-Agent: analytics-go (version: 3.0.0)\r\n"), "go")
    sent["go-1"] = 0.123456

    # Java: a slash behind, a charset, a number, and by its interceptor gzip of unknown length.
    body = {"batch": [track("java-1", timestamp=f"{NOW}.001Z")], "sentAt": f"{NOW}.002Z", "sequence": 1, "writeKey": key_of("shop"),
            **library("analytics-java")}
    headers = "Content-Type: application/json; charset=UTF-8\r\nAccept-Encoding: gzip\r\nUser-Agent: analytics-java/3.5.0\r\n"
    succeeds(post(port, "/v1/import/", body, headers), "java")
    succeeds(post(port, "/v1/import/", gzip.compress(json.dumps(body).encode()),
                  f"{headers}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), "java, again, compressed")
    sent["java-1"] = 0.001

    # Bodies are told by what they are.
    for n, headers in enumerate(["Content-Type: text/plain;charset=UTF-8\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
                                 "Content-Type: application/json; charset=utf-8\r\n", "Content-Type: \r\n"]):
        for encoding, pack in (("", bytes), ("Content-Encoding: gzip\r\n", gzip.compress), ("Content-Encoding: deflate\r\n", zlib.compress)):
            name = f"kind-{n}-{encoding[18:].strip()}"
            succeeds(post(port, body=pack(json.dumps({"batch": [track(name)]}).encode()), headers=headers + encoding), name)
            sent[name] = 0
    succeeds(post(port, body=gzip.compress(json.dumps({"batch": [track("untold")]}).encode())), "gzip that no header tells of")
    sent["untold"] = 0
    raw = zlib.compressobj(wbits=-15)
    succeeds(post(port, body=raw.compress(json.dumps({"batch": [track("raw")]}).encode()) + raw.flush(),
                  headers="Content-Encoding: deflate\r\n"), "deflate without its head")
    sent["raw"] = 0

    # Every path, the key in every place.
    for path in ("identify", "track", "page", "screen", "group", "i", "t", "p", "s", "g"):
        succeeds(post(port, f"/v1/{path}", track(f"path-{path}", writeKey=key_of("shop"), groupId="g"), key=None), path)
        sent[f"path-{path}"] = 0
    for path in ("alias", "a"):
        succeeds(post(port, f"/v1/{path}", track(f"path-{path}", previousId="u-0", anonymousId=None)), path)
        sent[f"path-{path}"] = 0
    for path in ("/v1/batch", "/v1/b", "/beacon/v1/batch"):
        succeeds(post(port, f"{path}?writeKey={key_of('shop')}", {"batch": [track(f"path-{path}")]}, key=None), path)
        sent[f"path-{path}"] = 0
    succeeds(post(port, "/v1/merge", {"messageId": "path-merge", "userId": "u", "timestamp": f"{NOW}Z", "mergeProperties": [
        {"type": "email", "value": "a@example.jp"}, {"type": "loyalty_id", "value": "l1"}]}), "merge")
    sent["path-merge"] = 0
    succeeds(post(port, "/v1/m", {"series": []}, key=None), "clients' own metrics")
    return sent


def refusals(port):
    one = json.dumps({"batch": [track("x")]}).encode()
    nested = b'{"batch":' + b"[" * 100 + b"]" * 100 + b"}"
    keys = json.dumps({"batch": [], **{f"k{n}": 1 for n in range(1100)}}).encode()
    packed = gzip.compress(one)
    bomb = gzip.compress(b" " * (64 << 20))
    cases = [  # name, arguments of post(), status, code
        ("no key", {"body": one, "key": None}, 401, "unauthorized"), ("a wrong key", {"body": one, "key": "nobody"}, 401, "unauthorized"),
        ("a disabled source", {"body": one, "key": "off"}, 403, "disabled"), ("another protocol", {"body": one, "key": "native-only"}, 403, "protocol"),
        ("another origin", {"body": one, "key": "web", "headers": "Origin: https://elsewhere.example\r\n"}, 403, "origin"),
        ("a path that is none", {"path": "/v1/trak", "body": one}, 404, "not_found"),
        ("an image", {"body": one, "headers": "Content-Type: image/png\r\n"}, 415, "media_type"),
        ("brotli", {"body": one, "headers": "Content-Encoding: br\r\n"}, 415, "bad_encoding"),
        ("a folded line", {"body": one, "headers": "X-A: a\r\n b\r\nX-B: b\r\n"}, 400, "bad_request"),
        ("nothing", {"body": b""}, 400, "empty"), ("half", {"body": one[:-1]}, 400, "bad_json"), ("more", {"body": one + b"x"}, 400, "bad_json"),
        ("a key twice", {"body": b'{"batch":[],"batch":[]}'}, 400, "bad_json"), ("no object", {"body": b"[]"}, 400, "bad_type"),
        ("no batch", {"body": b"{}"}, 400, "bad_type"), ("no UTF-8", {"body": b'{"batch":["\xff"]}'}, 400, "bad_utf8"),
        ("half a pair", {"body": b'{"batch":["\\ud800"]}'}, 400, "bad_utf8"), ("deep", {"body": nested}, 400, None), ("wide", {"body": keys}, 400, None),
        ("1e400", {"body": b'{"batch":[1e400]}'}, 400, "num_range"), ("2^63", {"body": b'{"batch":[9223372036854775808]}'}, 400, "num_range"),
        ("NaN", {"body": b'{"batch":[NaN]}'}, 400, None),
        ("too large", {"body": one + b" " * (1 << 20)}, 413, "too_large"),
        ("too large in chunks", {"body": one + b" " * (1 << 20), "headers": "Transfer-Encoding: chunked\r\n"}, 413, "too_large"),
        ("too many", {"body": {"batch": [{}] * 2501}}, 413, "too_many"),
        ("a bomb", {"body": bomb, "headers": "Content-Encoding: gzip\r\n"}, 413, "too_large"),
        ("half a gzip", {"body": packed[:-9], "headers": "Content-Encoding: gzip\r\n"}, 400, "bad_gzip"),
        ("a wrong sum", {"body": packed[:-8] + b"\0" * 8, "headers": "Content-Encoding: gzip\r\n"}, 400, "bad_gzip"),
        ("no gzip", {"body": one, "headers": "Content-Encoding: gzip\r\n"}, 400, "bad_gzip"),
        ("no id", {"path": "/v1/track", "body": {"userId": "u", "event": "x"}}, 400, "bad_id"),
        ("an id of 101", {"path": "/v1/track", "body": {"userId": "u", "event": "x", "messageId": "m" * 101}}, 400, "bad_id"),
    ]
    for name, arguments, wanted, code in cases:
        status, headers, body = post(port, **arguments)
        told = json.loads(body)
        assert status == wanted and told.get("success", status == 404) is (status == 404) and (code is None or told["code"] == code), (name, status, body)
        assert name != "a folded line" or "a folded line" in told["message"], told
        # What clients read: python and go code and message, ruby the body as JSON.
        assert isinstance(told["code"], str) and told["message"] and headers["content-type"] == "application/json", (name, body)
        assert "retry-after" not in headers, (name, headers)
    status, headers, body = exchange(port, f"GET /v1/batch HTTP/1.1\r\nHost: x\r\n{basic(key_of('shop'))}\r\n".encode())
    assert status == 405 and headers["allow"] == "POST, OPTIONS" and json.loads(body)["code"] == "method", (status, headers, body)
    burst = {"batch": [track(f"slow-{n}") for n in range(10)]}  # of ten seconds: nobody is so slow that it would be full again
    succeeds(post(port, body=burst, key="slow"), "burst")
    status, headers, body = post(port, body=burst, key="slow", headers="Origin: https://shop.example\r\n")
    assert status == 429 and re.fullmatch("[1-9][0-9]*", headers["retry-after"]) and json.loads(body)["code"] == "rate", (status, headers, body)
    assert headers["access-control-expose-headers"] == "Retry-After" and headers["access-control-allow-origin"] == "https://shop.example", headers
    print(f"{len(cases) + 2} refusals as said")


HOSTILE = ["'; DROP TABLE event; --", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a\r\nSet-Cookie: x", "\x1b[31mred", "‮gnp", "漢字"]


def messages(port):
    """Of one batch: what is stored, what is rejected why, what is dropped."""
    batch = [track("good"), 7, {"type": "tarck", "messageId": "typo"}, track("nul", properties={"t": "a\0b"}), track("", event="No Id"),
             {"type": "track", "event": "x", "messageId": "nobody"}, track("far", timestamp="2126-01-01T00:00:00Z"),
             track("long-ago", timestamp="1926-01-01T00:00:00Z"),
             track("refused", context={"consent": {"categoryPreferences": {"Analytics": False, "Advertising": True}}}),
             track("agreed", context={"consent": {"categoryPreferences": {"Analytics": True}}})]
    succeeds(post(port, body={"batch": batch, "context": {"locale": "ja-JP"}}), "a mixed batch")
    succeeds(post(port, body={"batch": [track("good", event="Another")]}), "the same id, another body")
    succeeds(post(port, body={"batch": [track(f"hostile-{n}", properties={"t": text, text: 1}) for n, text in enumerate(HOSTILE)]}), "hostile")
    rejected = {"bad_type": 1, "bad_event_type": 1, "nul_in_text": 1, "bad_id": 3, "no_identifier": 1, "id_conflict": 1}
    return {"good": 0, "far": None, "long-ago": None, "agreed": 0, **{f"hostile-{n}": 0 for n in range(len(HOSTILE))}}, rejected


def main():
    with Workspace() as space:
        port, data, config = free_port(), space.path / "data", space.path / "tabiji.ini"
        # Times as they are said: the clients' clocks here are of another day.
        config.write_text("".join(f"[source {name}]\nkey_sha256 = {hashlib.sha256(key_of(name).encode()).hexdigest()}\nevent_time = verbatim\n{more}\n"
                                  for name, more in SOURCES.items()))
        process = space.start("run", "--data", data, "--config", config, "--set", f"collector.listen=127.0.0.1:{port}")
        wait_until(lambda: ready(port), "the collector")
        sent = documented_clients(port)
        refusals(port)
        stored, rejected = messages(port)
        sent |= stored | {f"slow-{n}": 0 for n in range(10)}

        def found():
            return dict(rows(data, "SELECT event_id, occurred_at FROM event"))

        def reasons():
            listed = json.loads(tabiji("rejected", "list", "--data", data, "--json"))
            return {reason: sum(row["reason"] == reason for row in listed) for reason in {row["reason"] for row in listed}}

        wait_until(lambda: len(found()) >= len(sent) and reasons() == rejected, "the events and what was rejected", timeout=30)
        base = 1795169700  # NOW Z
        wanted = {name: None if seconds is None else base * 1000000 + round(seconds * 1000000) for name, seconds in sent.items()}
        got = {name: None if wanted.get(name, 0) is None else time for name, time in found().items()}
        assert got == wanted, sorted(set(got.items()) ^ set(wanted.items()), key=str)
        assert rows(data, "SELECT count(*) FROM event")[0][0] == len(sent), "an event is there twice"
        quality = dict(rows(data, "SELECT event_id, time_quality FROM event WHERE event_id IN ('far', 'long-ago')"))
        assert quality == {"far": "clamped", "long-ago": "clamped"}, quality
        for n, text in enumerate(HOSTILE):
            properties = json.loads(rows(data, "SELECT properties FROM event WHERE event_id = ?", f"hostile-{n}")[0][0])
            assert properties == {"t": text, text: 1}, properties
        assert stop(process) == 0, "SIGTERM"
        print(f"{len(sent)} events, each once")


if __name__ == "__main__":
    main()
