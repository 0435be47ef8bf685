#!/usr/bin/env python3
"""Segment's and Rudder's own clients, unmodified, only their host changed: every call, batches, a 503 and a lost reply on the way, clocks
that are wrong. The events in SQLite are those that were sent, once, with the right person, time, type and money."""
import collections
import contextlib
import functools
import hashlib
import http.server
import json
import re
import sqlite3
import subprocess
import textwrap
import threading
import time

import real_clients
from harness import ROOT, Workspace, free_port, ready, skip, stop, tabiji, wait_until
from http_proxy import Proxy, Server

SKEW_MS = 2 * 3600 * 1000
HOUR = 3600 * 1000000
PAST = 1793502000000000  # 2026-11-01T03:00:00Z
SERVERS = ("segment-node", "rudder-node", "segment-python", "rudder-python")
BROWSERS = ("segment-web", "rudder-web")
# What happens to the first requests. analytics-next sends its first page again, which was taken, when the customer has signed in.
FAULTS = {name: ["503", "drop"] for name in SERVERS + BROWSERS} | {"segment-web": ["504", "503", None, "drop"]}
# type, revenue and currency of calls.json; in minor units
CALLS = {
    "1": ("identified", None, None), "2": ("page_viewed", None, None), "3": ("screen_viewed", None, None), "4": ("product_viewed", None, None),
    "5": ("order_completed", 12980, "JPY"), "6": ("order_completed", 1999, "USD"), "7": ("group_joined", None, None),
    "8": ("order_refunded", 2980, "JPY"), "9": ("aliased", None, None), "10": ("clicked", None, None)}
WEB = {"segment-web": ["page_viewed", "product_viewed", "aliased", "identified", "group_joined", "screen_viewed", "order_completed",
                       "kept_for_later", "compared_prices", "left_the_page", "message_opened"],
       "rudder-web": ["page_viewed", "identified", "order_completed", "group_joined", "aliased", "left_rudder"]}


def rows(data, sql, *values):
    with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


class Pages(http.server.SimpleHTTPRequestHandler):
    """The shop's web site: another origin than the collector."""
    SCRIPTS = {"/segment.js": "@segment/analytics-next/dist/umd/index.js",
               "/rudder.js": "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"}

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in self.SCRIPTS:
            text, kind = (real_clients.cache() / "node_modules" / self.SCRIPTS[path]).read_bytes(), "text/javascript"
        else:
            script = path.removesuffix(".html") + ".js"
            text = f"<!doctype html><title>Shop</title>{f'<script src={script}></script>' if script in self.SCRIPTS else ''}".encode()
            kind = "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", len(text))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def serve_pages():
    port = free_port()
    server = Server(("127.0.0.1", port), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{port}"


def key_of(name):
    return f"write-key-of-{name}"


def start_collector(space, port, origin):
    config = space.path / "tabiji.ini"
    config.write_text("".join(
        f"[source {name}]\nkey_sha256 = {hashlib.sha256(key_of(name).encode()).hexdigest()}\nprotocols = segment\n"
        f"{f'origins = {origin}' if name in BROWSERS else ''}\n" for name in SERVERS + BROWSERS))
    with open(space.path / "run.log", "wb") as log:
        process = space.start("run", "--data", space.path / "data", "--config", config, "--set", f"collector.listen=127.0.0.1:{port}", stderr=log)
    wait_until(lambda: ready(port), "the collector")
    return process


def start_clients(space, proxies, page, chromium):
    def output(name):
        return open(space.path / f"{name}.out", "wb")

    clients = {}
    for name in SERVERS:
        maker, language = name.split("-")
        settings = {"NAME": name, "CLIENT": maker, "WRITE_KEY": key_of(name), "TABIJI": proxies[name].url, "SKEW_MS": str(SKEW_MS)}
        start = functools.partial(real_clients.python, "python_client.py") if language == "python" else \
            functools.partial(real_clients.node, f"{maker}_node.cjs")
        clients[name] = start(settings, stdout=output(name), stderr=subprocess.STDOUT)
    if chromium:
        clients["browser"] = real_clients.node("browser.cjs", {
            "CHROMIUM": chromium, "PAGE": page, "TABIJI": proxies["segment-web"].url, "TABIJI_RUDDER": proxies["rudder-web"].url,
            "WRITE_KEY": key_of("segment-web"), "WRITE_KEY_RUDDER": key_of("rudder-web"), "SKEW_MS": str(SKEW_MS)},
            stdout=output("browser"), stderr=subprocess.STDOUT)
    return clients


def wait_clients(space, clients):
    for name, process in clients.items():
        space.processes.append(process)
    for name, process in clients.items():
        code = process.wait(120)
        assert code == 0, f"{name}: exit {code}\n{(space.path / f'{name}.out').read_text()[-3000:]}"


def check_time(name, row, begun, ended):
    """Clocks are two hours ahead: what is corrected by sentAt happened now, what is taken as it is two hours later."""
    quality, occurred = row["time_quality"], row["occurred_at"]
    historical = row["event_id"].endswith("-6") and name in SERVERS
    # Rudder's timestamp is taken as it is; its client for Python sends nothing else, others originalTimestamp and at times both.
    verbatim = name == "rudder-python" or (name == "rudder-node" and historical)
    base = (PAST, PAST + ended - begun) if historical else (begun, ended)
    shift = (0 if historical else 2 * HOUR) if verbatim else (-2 * HOUR if historical else 0)
    # Where all is right the table holds no word of it.
    assert quality == (None if verbatim else "corrected"), (name, dict(row))
    assert base[0] + shift - 1000 <= occurred <= base[1] + shift, (name, dict(row), (occurred - base[0] - shift) / 1e6)


def check_server(name, found, begun, ended):
    wanted = {f"{name}-{n}": call for n, call in CALLS.items()}
    got = collections.Counter(row["event_id"] if row["event_id"] in wanted else row["type"] for row in found)
    assert got == collections.Counter([*wanted, "signed_up"]), (name, got)
    for row in found:
        kind, revenue, currency = wanted.get(row["event_id"], ("signed_up", None, None))
        assert (row["type"], row["revenue_minor"], row["currency"]) == (kind, revenue, currency), (name, dict(row))
        check_time(name, row, begun, ended)
    assert len({row["person"] for row in found}) == 1, (name, "one person, by cookie, login, alias")
    last = next(row for row in found if row["event_id"].endswith("-10"))
    properties = json.loads(last["properties"])
    assert properties["event_name"] == "Clicked 購入", properties
    assert properties["depth"] == (9007199254740993 if name.endswith("python") else 9007199254740992), properties


def check_web(name, found, begun, ended):
    got = collections.Counter(row["type"] for row in found)
    assert got == collections.Counter(WEB[name]), (name, got)
    for row in found:
        wanted = {"segment-web": 12980, "rudder-web": 500}[name] if row["type"] == "order_completed" else None
        assert row["revenue_minor"] == wanted, (name, dict(row))
        check_time(name, row, begun, ended)
        # User agent and address are of the request: it came from the customer.
        assert row["device_kind"] == "desktop", (name, dict(row))
    assert len({row["person"] for row in found}) == 1, (name, "one person, by cookie, login, alias")


def check_wire(space, proxies, chromium):
    for name in SERVERS + (BROWSERS if chromium else ()):
        assert proxies[name].fired == collections.Counter(filter(None, FAULTS[name])), (name, proxies[name].fired)
    assert ("application/json", None) in proxies["segment-node"].types
    assert all(encoding == "gzip" for _, encoding in proxies["rudder-node"].types), proxies["rudder-node"].types
    if not chromium:
        return
    seen = proxies["segment-web"].seen
    assert seen["GET", f"/v1/projects/{key_of('segment-web')}/settings"] and seen["OPTIONS", "/v1/t"] and seen["POST", "/v1/b"], seen
    assert all(kind.startswith("text/plain") for kind, _ in proxies["segment-web"].types), proxies["segment-web"].types
    seen = proxies["rudder-web"].seen
    assert seen["GET", "/sourceConfig/"] + seen["GET", "/sourceConfig"] and seen["POST", "/beacon/v1/batch"], seen
    told = [json.loads(line) for line in (space.path / "browser.out").read_text().splitlines()]
    assert next(line for line in told if line["client"] == "segment")["stored"], told


def check_page():
    """ingest/collector/README.md has of each client what is run here."""
    page, count = (ROOT / "ingest/collector/README.md").read_text(), 0
    for script in sorted((ROOT / "tests/e2e/clients").iterdir()):
        for lines in re.findall(r"README begins\n(.*?)\n *(?://|#) README ends", script.read_text(), re.S):
            assert textwrap.dedent(lines) in page, (script.name, lines)
            count += 1
    assert count >= len(SERVERS + BROWSERS), count


def main():
    check_page()
    try:
        real_clients.install()
    except real_clients.Unavailable as why:
        skip(str(why))
    without = None
    try:
        chromium = real_clients.browser()
    except real_clients.Unavailable as why:
        chromium, without = None, why
    with Workspace() as space:
        port, page = free_port(), serve_pages()
        proxies = {name: Proxy(free_port(), port, FAULTS[name]) for name in SERVERS + BROWSERS}
        process = start_collector(space, port, page)
        begun = time.time_ns() // 1000
        wait_clients(space, start_clients(space, proxies, page, chromium))
        ended = time.time_ns() // 1000
        data, names = space.path / "data", SERVERS + (BROWSERS if chromium else ())
        wanted = (len(CALLS) + 1) * len(SERVERS) + (sum(map(len, WEB.values())) if chromium else 0)
        with contextlib.suppress(AssertionError):  # what is missing is told below
            wait_until(lambda: rows(data, "SELECT count(*) FROM event")[0][0] >= wanted, "the events", timeout=20)
        check_wire(space, proxies, chromium)
        assert not json.loads(tabiji("rejected", "list", "--data", data, "--json")), tabiji("rejected", "list", "--data", data)
        with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            found = db.execute("SELECT * FROM event").fetchall()
        for name in names:
            (check_server if name in SERVERS else check_web)(name, [row for row in found if row["source"] == name], begun, ended)
        assert len(found) == wanted and len({row["person"] for row in found}) == len(names), "each client's customer is another person"
        assert stop(process) == 0, "SIGTERM"
        print(f"{len(found)} events of {len(names)} clients, each once, {sum(sum(proxy.fired.values()) for proxy in proxies.values())} faults")
    if without:
        skip(f"browsers alone: {without}")


if __name__ == "__main__":
    main()
