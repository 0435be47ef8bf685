#!/usr/bin/env python3
"""Snowplow's own trackers, unmodified, only their host changed: every kind of event, batches, images, a 503 and a lost reply on the way, a
clock that is wrong, anonymous mode. The events in SQLite are those that were sent, once, with the right person, time, type and money."""
import collections
import contextlib
import functools
import json
import sqlite3
import time

import real_clients
from harness import Workspace, free_port, skip, stop, tabiji, wait_until
from http_proxy import Proxy
from test_clients_segment import HOUR, SKEW_MS, ready, rows, serve_pages

PAST_MS = 1793502000000  # 2026-11-01T03:00:00Z
SERVERS = ("snowplow-node", "snowplow-python")
WEB = "snowplow-web"
# type, revenue and currency of each event, by the name that the client gives it
COMMON = {"page": ("page_viewed", None, None), "ping": ("page_pinged", None, None), "structured": ("size_chosen", None, None),
          "custom": ("wish_listed", None, None), "screen": ("screen_viewed", None, None), "sale": ("order_completed", 1999, "USD"),
          "past": ("remembered", None, None), "got": ("wish_listed", None, None)}
CALLS = {
    "snowplow-node": {**COMMON, "transaction": ("order_completed", 12980, "JPY"), "item": ("transaction_item", 0, "JPY"),
                      "noisy": ("order_completed", 3030, "USD"), "link": ("link_click", None, None), "search": ("searched", None, None),
                      "added": ("product_added", None, None), "removed": ("product_removed", None, None), "form": ("form_submitted", None, None),
                      "impression": ("ad_impression", None, None), "click": ("ad_clicked", None, None), "consent": ("consent_changed", None, None),
                      "refund": ("order_refunded", 2980, "JPY"), "anonymous": ("page_viewed", None, None)},
    "snowplow-python": {**COMMON, "refund": ("order_refunded", 1000, "USD")},
}
# Of the browser: types of the events of each tracker; page pings come by the clock.
WEB_TYPES = {"sp": ["page_viewed", "size_chosen", "wish_listed", "product_list_viewed", "product_viewed", "product_added", "product_removed",
                    "checkout_started", "order_completed", "order_refunded", "kept_for_later", "page_viewed"],
             "image": ["page_viewed"], "hidden": ["page_viewed"], "left": ["left_the_page"]}


def start_collector(space, port, origin):
    config = space.path / "tabiji.ini"
    config.write_text("".join(f"[source {name}]\napp_ids = app-of-{name}\nprotocols = snowplow\n{f'origins = {origin}' if name == WEB else ''}\n"
                              for name in (*SERVERS, WEB)))
    with open(space.path / "run.log", "wb") as log:
        process = space.start("run", "--data", space.path / "data", "--config", config, "--set", f"collector.listen=127.0.0.1:{port}", stderr=log)
    wait_until(lambda: ready(port), "the collector")
    return process


def run_clients(space, proxies, page, chromium):
    starts = {"snowplow-node": functools.partial(real_clients.node, "snowplow_node.cjs"),
              "snowplow-python": functools.partial(real_clients.python, "snowplow_python.py")}
    if chromium:
        starts[WEB] = functools.partial(real_clients.node, "snowplow_browser.cjs")
    clients = {}
    for name, start in starts.items():
        settings = {"NAME": name, "APP_ID": f"app-of-{name}", "TABIJI": proxies[name].url, "SKEW_MS": str(SKEW_MS), "PAST_MS": str(PAST_MS),
                    "PAGE": page, "CHROMIUM": chromium or ""}
        with open(space.path / f"{name}.out", "wb") as out, open(space.path / f"{name}.err", "wb") as errors:
            clients[name] = start(settings, stdout=out, stderr=errors)
    space.processes.extend(clients.values())
    said = {}
    for name, process in clients.items():
        code = process.wait(120)
        assert code == 0, f"{name}: exit {code}\n{(space.path / f'{name}.err').read_text()[-3000:]}"
        said[name] = [json.loads(line) for line in (space.path / f"{name}.out").read_text().splitlines()]
    return said


def check_time(name, row, begun, ended):
    """Clocks are two hours ahead. Python's tracker says in whole seconds when it sent: up to one is lost, and an event that is younger than
    that counts as just received."""
    if row["type"] == "remembered":
        assert (row["occurred_at"], row["time_quality"]) == (PAST_MS * 1000, None), (name, dict(row))
        return
    assert row["time_quality"] in ("corrected", "server"), (name, dict(row))
    assert begun - 1000 <= row["occurred_at"] <= ended + (1000000 if name == "snowplow-python" else 0), (name, dict(row))
    assert SKEW_MS * 1000 == 2 * HOUR


def check_server(name, said, found, begun, ended):
    assert sorted(each["name"] for each in said) == sorted(CALLS[name]), (name, said)
    names = {each["eid"]: each["name"] for each in said}
    assert collections.Counter(row["event_id"] for row in found) == collections.Counter([*names]), (name, names, [dict(row) for row in found])
    for row in found:
        wanted = CALLS[name][names[row["event_id"]]]
        assert (row["type"], row["revenue_minor"], row["currency"]) == wanted, (name, dict(row))
        check_time(name, row, begun, ended)
        if names[row["event_id"]] in ("custom", "got"):
            assert json.loads(row["properties"])["text"] == "<<???>> 購入", dict(row)
    persons = {names[row["event_id"]]: row["person"] for row in found}
    hidden = persons.pop("anonymous", None)
    assert len(set(persons.values())) == 1 and hidden not in persons.values(), (name, "one person, by login; who is anonymous is another")
    return len(found), 2 if hidden else 1


def check_web(said, found, begun, ended):
    sent = {each["eid"]: each["name"] for each in said if "eid" in each}
    assert collections.Counter(row["event_id"] for row in found) == collections.Counter([*sent]), (sent, [dict(row) for row in found])
    types, persons = collections.defaultdict(list), collections.defaultdict(set)
    for row in found:
        tracker, kind = sent[row["event_id"]].split("-")
        if kind == "pp":
            assert row["type"] == "page_pinged", dict(row)
        else:
            types[tracker].append(row["type"])
        persons[tracker].add(row["person"])
        check_time(WEB, row, begun, ended)
        wanted = {"order_completed": 12980, "order_refunded": 2980}.get(row["type"])
        assert row["revenue_minor"] == wanted, dict(row)
        assert row["device_kind"] == "desktop", dict(row)
    assert {tracker: sorted(each) for tracker, each in types.items()} == {tracker: sorted(each) for tracker, each in WEB_TYPES.items()}, types
    assert "sp-pp" in sent.values(), "a page ping"
    hidden = persons.pop("hidden")
    assert len(set.union(*persons.values())) == 1 and not hidden & set.union(*persons.values()), persons
    known, gone = next((each["known"], each["hidden"]) for each in said if "known" in each)
    assert [(each["httpOnly"], each["secure"], each["sameSite"]) for each in known] == [(True, True, "None")] and not gone, (known, gone)
    assert all(known[0]["value"] in row["identifiers"] for row in found if sent[row["event_id"]].startswith(("sp", "image"))), known
    return len(found), 2


def main():
    try:
        real_clients.install()
    except real_clients.Unavailable as why:
        skip(str(why))
    try:
        chromium = real_clients.browser()
    except real_clients.Unavailable as why:
        chromium = None
        print(f"browsers are left out: {why}")
    with Workspace() as space:
        port, page = free_port(), serve_pages()
        proxies = {name: Proxy(free_port(), port, ["503", "drop"]) for name in (*SERVERS, WEB)}
        process = start_collector(space, port, page)
        begun = time.time_ns() // 1000
        said = run_clients(space, proxies, page, chromium)
        ended = time.time_ns() // 1000
        data = space.path / "data"
        wanted = sum("eid" in each for lines in said.values() for each in lines)
        with contextlib.suppress(AssertionError):  # what is missing is told below
            wait_until(lambda: rows(data, "SELECT count(*) FROM event")[0][0] >= wanted, "the events", timeout=20)
        for name in said:
            assert proxies[name].fired == {"503": 1, "drop": 1}, (name, proxies[name].fired)
            assert proxies[name].seen["GET", "/i"], (name, proxies[name].seen)
        assert not json.loads(tabiji("rejected", "list", "--data", data, "--json")), tabiji("rejected", "list", "--data", data)
        with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            found = db.execute("SELECT * FROM event").fetchall()
        persons = 0
        for name, lines in said.items():
            own = [row for row in found if row["source"] == name]
            persons += (check_web(lines, own, begun, ended) if name == WEB else check_server(name, lines, own, begun, ended))[1]
        assert len(found) == wanted and len({row["person"] for row in found}) == persons, "each client's customer is another person"
        assert stop(process) == 0, "SIGTERM"
        print(f"{len(found)} events of {len(said)} clients, each once, {sum(sum(proxy.fired.values()) for proxy in proxies.values())} faults")


if __name__ == "__main__":
    main()
