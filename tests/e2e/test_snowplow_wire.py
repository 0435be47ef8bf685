#!/usr/bin/env python3
"""Snowplow's tracker protocol and GA4's Measurement Protocol at the wire: routes, methods, cookies, CORS, sizes, and every bad input with its
answer, which to a tracker is never one that it would send again for ever."""
import gzip
import json
import os
import re
import socket
import subprocess

from harness import ROOT, Workspace, free_port, stop, tabiji, wait_until
from test_http import ready
from test_segment_wire import exchange, rows

TP2 = "/com.snowplowanalytics.snowplow/tp2"
PAYLOAD = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
GIF_SIZE = 43


def batch(*events):
    return json.dumps({"schema": PAYLOAD, "data": events}).encode()


def event(identity, **more):
    return {"eid": identity, "tv": "js-4.10.1", "p": "web", "e": "pv", "duid": "d", **more}


def ask(port, method, path, body=None, headers=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
    if body is not None and "chunked" in headers:
        return exchange(port, head.encode() + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n"
    if method == "HEAD":
        return ask_head(port, f"{head}Connection: close\r\n\r\n".encode())
    return exchange(port, f"{head}\r\n".encode() + (body or b""))


def ask_head(port, request):
    """A reply that says how long its body would be, and has none."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        got = b""
        while piece := connection.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}, body


def is_image(reply):
    status, headers, body = reply
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "image/gif", "no-store"), reply
    assert int(headers["content-length"]) == GIF_SIZE, headers
    return body


def routes(port):
    status, headers, body = ask(port, "POST", TP2, batch(event("post-1"), event("post-2", e="pp")))
    assert (status, headers["content-type"], body) == (200, "text/plain; charset=utf-8", b"ok"), (status, headers, body)
    cookie = headers["set-cookie"]
    assert cookie.startswith("sp=") and cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=31536000"), cookie
    # What the browser keeps comes back, and is said again.
    again = ask(port, "POST", TP2, batch(event("post-1")), f"Cookie: x=1; {cookie.split(';')[0]}\r\n")[1]["set-cookie"]
    assert again == cookie, (again, cookie)
    query = "?e=pv&p=web&tv=no-js-0.1.0&duid=d&page=%E6%97%85&eid="
    assert is_image(ask(port, "GET", f"/i{query}get-1")).startswith(b"GIF89a")
    assert is_image(ask(port, "GET", f"/ice.png{query}get-2"))
    assert is_image(ask(port, "HEAD", f"/i{query}head-1")) == b""
    anonymous = ask(port, "POST", TP2, batch(event("anonymous-1")), "SP-Anonymous: *\r\nCookie: sp=abc\r\n")[1]["set-cookie"]
    assert anonymous.startswith("sp=; ") and anonymous.endswith("Max-Age=0"), anonymous
    assert ask(port, "POST", TP2, gzip.compress(batch(event("gzip-1"))), "Content-Encoding: gzip\r\n")[0] == 200
    assert ask(port, "POST", TP2, batch(event("text-1")), "Content-Type: text/plain\r\n")[0] == 200
    for path in ("/health", "/sink-health"):
        assert ask(port, "GET", path)[::2] == (200, b"ok\n"), path
    assert b"Disallow: /" in ask(port, "GET", "/robots.txt")[2]
    assert ask(port, "GET", "/r/tp2?u=https%3A%2F%2Fevil.example")[0] == 404, "redirects are off"
    for path in (TP2, "/i", "/com.snowplowanalytics.snowplow/other", "/anything"):
        status, headers, _ = ask(port, "OPTIONS", path, headers="Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n"
                                                                "Access-Control-Request-Headers: sp-anonymous,content-type\r\n")
        assert status == 204 and headers["access-control-allow-origin"] == "https://shop.example", (path, headers)
        assert headers["access-control-allow-credentials"] == "true" and headers["access-control-allow-headers"] == "sp-anonymous,content-type"
        assert headers["access-control-max-age"] == "3600", headers
    return {"post-1", "post-2", "get-1", "get-2", "head-1", "anonymous-1", "gzip-1", "text-1"}


def bad_input(port):
    large = batch(event("large", page="x" * (1 << 20)))
    bomb = gzip.compress(b" " * (8 << 20))
    for what, wanted, reply in (
            ("empty", (400, "empty"), ask(port, "POST", TP2, b"")),
            ("bad JSON", (400, "bad_json"), ask(port, "POST", TP2, b"{")),
            ("bytes behind", (400, "bad_json"), ask(port, "POST", TP2, batch() + b"x")),
            ("no UTF-8", (400, "bad_utf8"), ask(port, "POST", TP2, b'{"schema":"\xff"}')),
            ("a lone surrogate", (400, "bad_utf8"), ask(port, "POST", TP2, b'{"schema":"\\ud800"}')),
            ("too deep", (400, "too_deep"), ask(port, "POST", TP2, b"[" * 100 + b"]" * 100)),
            ("a number", (400, "num_range"), ask(port, "POST", TP2, b'{"a":1e400}')),
            ("another schema", (400, "schema_unknown"), ask(port, "POST", TP2, b'{"schema":"iglu:a/b/jsonschema/1-0-0","data":[]}')),
            ("no id", (400, "bad_id"), ask(port, "POST", TP2, batch({"e": "pv", "p": "web", "tv": "x"}))),
            ("too large", (422, "too_large"), ask(port, "POST", TP2, large)),
            ("too large, chunked", (422, "too_large"), ask(port, "POST", TP2, large, "Transfer-Encoding: chunked\r\n")),
            ("a bomb", (422, "too_large"), ask(port, "POST", TP2, bomb, "Content-Encoding: gzip\r\n")),
            ("torn gzip", (400, "bad_gzip"), ask(port, "POST", TP2, gzip.compress(batch())[:-9], "Content-Encoding: gzip\r\n")),
            ("an encoding", (422, "bad_encoding"), ask(port, "POST", TP2, batch(), "Content-Encoding: br\r\n")),
            ("a media type", (422, "media_type"), ask(port, "POST", TP2, batch(), "Content-Type: image/png\r\n")),
            ("a method", (422, "method"), ask(port, "PUT", TP2, batch())),
            ("POST of an image", (422, "method"), ask(port, "POST", "/i", batch())),
            ("another path", (422, "not_found"), ask(port, "POST", "/com.snowplowanalytics.snowplow/tp3", batch())),
            ("a path of one's own, as the page says", (404, "not_found"), ask(port, "POST", "/com.acme/track", batch())),
            ("too many", (422, "too_many"), ask(port, "POST", TP2, batch(*[1] * 2501))),
            ("a wrong key", (401, "unauthorized"), ask(port, "POST", f"{TP2}/key", batch())),
            ("a wrong key in the query", (401, "unauthorized"), ask(port, "POST", f"{TP2}?writeKey=key", batch()))):
        assert (reply[0], json.loads(reply[2])["code"]) == wanted, (what, reply)
    mixed = batch(event("mixed-1"), event("mixed-2", url={}), {"e": "pv"}, event("mixed-3", e="zz"), event("mixed-4", page="a\0b"), 7)
    assert ask(port, "POST", TP2, mixed)[::2] == (200, b"ok")
    is_image(ask(port, "GET", "/i?e=tr&p=web&tv=no-js-0.1.0&duid=d&eid=paid-1&tr_id=W-8&tr_tt=1.50"))  # yen have no sen
    raw = "';DROP TABLE event; =cmd() <script> \r\n \x1b[31m"
    assert ask(port, "POST", TP2, batch(event("raw-1", se_la=raw)))[0] == 200
    return {"mixed-1", "raw-1"}, raw


def measurement_protocol(port):
    body = json.dumps({"client_id": "1.2", "user_id": "u", "timestamp_micros": "1795139940000000", "events": [
        {"name": "purchase", "params": {"transaction_id": "W-9", "value": 12980, "currency": "JPY"}}, {"name": "_bad"}]}).encode()
    for _ in range(2):
        status, headers, text = ask(port, "POST", "/mp/collect?measurement_id=G-1&api_secret=any", body)
        assert (status, text) == (204, b"") and "content-type" not in headers, (status, headers, text)
    assert ask(port, "POST", "/mp/collect?api_secret=any", b"{")[0] == 204
    large, bomb = b" " * (1 << 20) + body, gzip.compress(b" " * (8 << 20))
    for what, wanted, reply in (  # nothing is kept of these; the page names them
            ("torn gzip", (400, "bad_gzip"), ask(port, "POST", "/mp/collect?api_secret=any", gzip.compress(body)[:-9], "Content-Encoding: gzip\r\n")),
            ("a method", (405, "method"), ask(port, "PUT", "/mp/collect?api_secret=any", body)),
            ("too large", (413, "too_large"), ask(port, "POST", "/mp/collect?api_secret=any", large)),
            ("a bomb", (413, "too_large"), ask(port, "POST", "/mp/collect?api_secret=any", bomb, "Content-Encoding: gzip\r\n")),
            ("an encoding", (415, "bad_encoding"), ask(port, "POST", "/mp/collect?api_secret=any", body, "Content-Encoding: br\r\n")),
            ("a media type", (415, "media_type"), ask(port, "POST", "/mp/collect?api_secret=any", body, "Content-Type: image/png\r\n"))):
        assert (reply[0], json.loads(reply[2])["code"]) == wanted, (what, reply)
    page = (ROOT / "ingest/collector/README.md").read_text()
    shown = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.S) if "/mp/collect" in block)
    done = subprocess.run(["sh", "-c", shown.replace("curl ", "curl -sf ")], env={**os.environ, "TABIJI": f"http://127.0.0.1:{port}", "KEY": "any"})
    assert done.returncode == 0, shown
    status, _, text = ask(port, "POST", "/debug/mp/collect?api_secret=any", body)
    told = json.loads(text)["validationMessages"]
    assert status == 200 and [(each["fieldPath"], each["validationCode"]) for each in told] == [("events.name", "NAME_INVALID")], (status, text)


def main():
    with Workspace() as space:
        port, data, config = free_port(), space.path / "data", space.path / "tabiji.ini"
        config.write_text("[source dev]\ncurrency = JPY\n")
        process = space.start("run", "--config", config, "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=dev")
        wait_until(lambda: ready(port), "the collector")
        wanted = routes(port)
        more, raw = bad_input(port)
        measurement_protocol(port)
        wanted |= more
        wait_until(lambda: rows(data, "SELECT count(*) FROM event")[0][0] >= len(wanted) + 2, "the events")
        found = [row[0] for row in rows(data, "SELECT event_id FROM event WHERE order_id IS NULL")]
        assert sorted(found) == sorted(wanted), (sorted(found), sorted(wanted))
        assert json.loads(rows(data, "SELECT properties FROM event WHERE event_id = 'raw-1'")[0][0])["se_la"] == raw
        for order in ("W-9", "W-1"):
            assert rows(data, "SELECT type, revenue_minor, currency FROM event WHERE order_id = ?", order) == [("order_completed", 12980, "JPY")]
        reasons = sorted((each["stage"], each["reason"]) for each in json.loads(tabiji("rejected", "list", "--data", data, "--json")))
        assert reasons == [("ga4", "bad_event_type"), ("ga4", "bad_json"), ("snowplow", "bad_event_type"), ("snowplow", "bad_id"),
                           ("snowplow", "bad_id"), ("snowplow", "bad_type"), ("snowplow", "bad_type"), ("snowplow", "money_precision"),
                           ("snowplow", "nul_in_text"), ("snowplow_batch", "schema_unknown")], reasons
        text = ask(port, "GET", "/metrics")[2].decode()
        for protocol in ("snowplow", "ga4"):
            assert f'tabiji_collector_requests_total{{protocol="{protocol}",status="2' in text, text
        assert stop(process) == 0, "SIGTERM"
        # The shop takes dollars after all; what came in an address is read again like the rest.
        config.write_text("[source dev]\ncurrency = USD\n")
        said = json.loads(tabiji("rejected", "replay", "--json", "--config", config, "--data", data, expect=6))
        assert (said["accepted"], said["refused"]) == (1, len(reasons) - 1 - 3), said  # of whole bodies and of GA4 there is nothing to read again
        assert rows(data, "SELECT event_id, type, revenue_minor, currency FROM event WHERE order_id = 'W-8'") == [
            ("paid-1", "order_completed", 150, "USD")]
        print(f"{len(found) + 2} events, {len(reasons)} refused")


if __name__ == "__main__":
    main()
