#!/usr/bin/env python3
"""Webhooks as Twilio's and Shopify's own libraries sign them, in any order, each twice, through a proxy that refuses one and loses the reply of
another. The events in SQLite are those that were sent, once, with the call, the person, the type and the money."""
import contextlib
import json
import random
import sqlite3
import subprocess
import time

import real_clients
from harness import Workspace, free_port, skip, stop, tabiji, wait_until
from http_proxy import Proxy
from test_clients_segment import ready, rows

TOKEN, SHOP_SECRET = "a Twilio auth token", "hush of the shop ✓"
CONFIG = """[source cc-twilio]
secret_file = twilio.secret
public_url = https://t.example.jp
[source shop]
secret_file = shopify.secret
currency = JPY
"""


def mail_date(seconds):
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(seconds))


def call(sid, status, sequence, now, **more):
    return {"how": "twilio", "secret": TOKEN, "wanted": 200, "id": f"{sid}-{sequence if status in ('initiated', 'ringing', 'in-progress') else 'ended'}", "call": {
        "AccountSid": "AC1", "ApiVersion": "2010-04-01", "CallSid": sid, "CallStatus": status, "SequenceNumber": str(sequence),
        "Direction": "inbound", "From": "+81312345678", "To": "+815012345678", "Timestamp": mail_date(now + 10 * sequence),
        "FromCity": "東京 & more=1", **more}}


def shopify(topic, identity, body):
    return {"how": "shopify", "secret": SHOP_SECRET, "wanted": 200, "topic": topic, "id": identity, "body": json.dumps(body, ensure_ascii=False)}


def order(number, currency, total, items, when):
    return {"id": number, "name": f"#{number}", "created_at": when, "updated_at": when, "currency": currency, "total_price": total,
            "email": "Hana@Example.jp", "customer": {"id": 77, "first_name": "花"}, "source_name": "web",
            "note_attributes": [{"name": "_tabiji_cookie", "value": "c-1"}],
            "line_items": [{"sku": sku, "price": price, "quantity": quantity} for sku, price, quantity in items]}


def notifications(now):
    when = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now))
    calls = [call("CA1", "initiated", 0, now), call("CA1", "in-progress", 1, now), call("CA1", "completed", 2, now, CallDuration="183"),
             call("CA2", "ringing", 0, now), call("CA2", "no-answer", 1, now)]
    outgoing = call("CA3", "completed", 3, now, Direction="outbound-api", From="+815012345678", To="03-1234-5678", CallDuration="7")
    json_call = {**call("CA4", "completed", 5, now, CallDuration="1"), "how": "twilio_json"}
    sms = {"how": "twilio", "secret": TOKEN, "wanted": 200, "id": "SM1-received",
           "call": {"MessageSid": "SM1", "SmsSid": "SM1", "SmsStatus": "received", "From": "+81312345678", "To": "+815012345678",
                    "Body": "いつ届きますか?", "NumMedia": "0", "NumSegments": "1"}}
    orders = [
        shopify("orders/create", "e-1", order(9007199254740993, "JPY", "12980", [("S1", "6215", 2), ("S2", "550", 1)], when)),
        shopify("orders/create", "e-2", order(2002, "USD", "59.97", [("S3", "19.99", 3)], when)),
        shopify("refunds/create", "e-3", {
            "id": 5, "order_id": 2002, "created_at": when, "refund_line_items": [
                {"quantity": 1, "restock_type": "return", "line_item": {"sku": "S3", "price": "19.99"}}],
            "transactions": [{"kind": "refund", "status": "success", "amount": "19.99", "currency": "USD"}]}),
        shopify("refunds/create", "e-4", {"id": 6, "order_id": 9007199254740993, "created_at": when, "refund_line_items": [],
                                          "transactions": [{"kind": "refund", "status": "success", "amount": "980", "currency": "JPY"}]})]
    return [*calls, outgoing, json_call, sms, *orders]


WANTED = {  # event id: type, call, revenue, currency
    "CA1-0": ("call_started", "CA1", None, None), "CA1-1": ("call_answered", "CA1", None, None), "CA1-ended": ("call_ended", "CA1", None, None),
    "CA2-0": ("call_started", "CA2", None, None), "CA2-ended": ("call_abandoned", "CA2", None, None), "CA3-ended": ("call_ended", "CA3", None, None),
    "CA4-ended": ("call_ended", "CA4", None, None), "SM1-received": ("message_received", None, None, None),
    "e-1-orders/create": ("order_completed", None, 12980, "JPY"), "e-2-orders/create": ("order_completed", None, 5997, "USD"),
    "e-3-refunds/create": ("item_returned", None, 1999, "USD"), "e-4-refunds/create": ("order_refunded", None, 980, "JPY")}


def run_signer(space, url, list_of):
    (space.path / "notifications.json").write_text(json.dumps(list_of))
    with open(space.path / "signer.err", "wb") as errors:
        process = real_clients.node("webhook_signer.cjs", {"TABIJI": url, "NOTIFICATIONS": str(space.path / "notifications.json")},
                                    stdout=subprocess.PIPE, stderr=errors)
        space.processes.append(process)
        out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, (space.path / "signer.err").read_text()[-3000:]
    return [json.loads(line) for line in out.splitlines()]


def main():
    try:
        real_clients.install()
    except real_clients.Unavailable as why:
        skip(str(why))
    with Workspace() as space:
        port, data, config = free_port(), space.path / "data", space.path / "tabiji.ini"
        config.write_text(CONFIG)
        for name, secret in (("twilio", TOKEN), ("shopify", SHOP_SECRET)):
            (space.path / f"{name}.secret").write_text(f"{secret}\n")
            (space.path / f"{name}.secret").chmod(0o600)
        with open(space.path / "run.log", "wb") as log:
            process = space.start("run", "--data", data, "--config", config, "--set", f"collector.listen=127.0.0.1:{port}",
                                  cwd=space.path, stderr=log)
        wait_until(lambda: ready(port), "the collector")
        proxy = Proxy(free_port(), port, ["503", "drop"])
        once, rng = notifications(int(time.time())), random.Random(7)
        sent = [*once, *once]
        rng.shuffle(sent)
        stranger = [{**each, "secret": "another", "wanted": 401} for each in (once[0], once[6], once[-1])]
        replies = run_signer(space, proxy.url, sent + stranger)
        for each, reply in zip(sent, replies):
            xml = each["how"] != "shopify"
            assert reply["type"].startswith("text/xml" if xml else "application/json"), reply
            assert ("<Response/>" if xml else '"rejected":[]') in reply["text"], reply
        for reply in replies[len(sent):]:
            assert json.loads(reply["text"])["code"] == "signature", reply
        assert proxy.fired == {"503": 1, "drop": 1}, proxy.fired
        with contextlib.suppress(AssertionError):  # what is missing is told below
            wait_until(lambda: rows(data, "SELECT count(*) FROM event")[0][0] >= len(WANTED), "the events", timeout=20)
        check(data)
        refused = [json.loads(line) for line in (space.path / "run.log").read_text().splitlines() if '"hook_refused"' in line]
        assert [(line["source"], line["reason"]) for line in refused] == [("cc-twilio", "signature")] * 2 + [("shop", "signature")], refused
        assert stop(process) == 0, "SIGTERM"
        for secret in (TOKEN, SHOP_SECRET):
            assert secret not in (space.path / "run.log").read_text(), "a secret is in the log"
        print(f"{len(WANTED)} events of {len(sent)} signed webhooks, each once; {len(stranger)} of a stranger refused")


def check(data):
    assert not json.loads(tabiji("rejected", "list", "--data", data, "--json")), tabiji("rejected", "list", "--data", data)
    with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        found = db.execute("SELECT * FROM event").fetchall()
    got = {row["event_id"]: (row["type"], row["call_id"], row["revenue_minor"], row["currency"]) for row in found}
    assert got == WANTED and len(found) == len(WANTED), sorted(set(got.items()) ^ set(WANTED.items()))
    persons = {row["event_id"]: row["person"] for row in found}
    callers = {persons[key] for key in persons if key.startswith(("CA", "SM"))}
    buyers = {persons[key] for key in persons if key.startswith("e-")}
    assert len(callers) == len(buyers) == 1 and callers != buyers, "who calls is one person, by phone; refunds are of whose order it was"
    talked = {row["event_id"]: json.loads(row["detail"])["call"]["talk_ms"] for row in found if row["type"] == "call_ended"}
    assert talked == {"CA1-ended": 183000, "CA3-ended": 7000, "CA4-ended": 1000}, talked
    # Money that went back is taken from its order.

    def left():
        return dict(rows(data, "SELECT order_id, sum(revenue_minor) FROM conversion GROUP BY order_id"))

    with contextlib.suppress(AssertionError):
        wait_until(lambda: left() == {"9007199254740993": 12000, "2002": 3998}, "the refunds", timeout=10)
    assert left() == {"9007199254740993": 12000, "2002": 3998}, left()
    state = tabiji("state", "dump", "--data", data)
    for part in ("31234567", "815012345678", "Hana@", "hana@", "花", "いつ届き", "東京"):
        assert part not in state, f"{part} is kept"


if __name__ == "__main__":
    main()
