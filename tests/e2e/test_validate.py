#!/usr/bin/env python3
"""`tabiji validate`: says of a file what the collector would: the same fates, reasons, pointers and ids as a running one gives."""
import json
import sqlite3
import subprocess
import time
import urllib.parse

from harness import PROGRAM, Workspace, free_port, stop, tabiji, wait_until
from test_source import ask

NATIVE = [
    {"id": "e-1", "type": "page_viewed", "time": "2026-11-20T10:15:00+09:00", "ids": {"cookie": "c-1", "login": "u-1"}},
    {"id": "e-2", "type": "page_viewed", "ids": {"cookie": "c-1"}, "pagee": {}},
    {"id": "e-1", "type": "page_viewed", "time": "2026-11-20T10:15:00+09:00", "ids": {"cookie": "c-1", "login": "u-1"}},
    {"id": "e-3", "type": "searched", "ids": {"cookie": "c-1"}, "consent": {"analytics": False}},
    {"id": "e-4", "type": "signed_in", "time": "2026-11-20T10:16:00+09:00", "ids": {"cookie": "c-1", "email": "nobody"}},
    {"id": "e-1", "type": "searched", "ids": {"cookie": "c-2", "login": "u-1"}},
    {"id": "e-5", "type": "signed_in", "time": "2026-11-20T10:16:00+09:00", "ids": {"email": "hana@example.jp"}},
    {"id": "e-6", "type": "plan_bought", "ids": {"login": "u-1"}, "properties": {"plann": 1}},
]
SEGMENT = {"context": {"library": {"name": "x"}}, "batch": [
    {"type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "u-2", "timestamp": "2026-11-20T03:00:00Z",
     "properties": {"order_id": "W-1", "revenue": 12980, "currency": "JPY"}},
    {"type": "trakc", "messageId": "m-2", "userId": "u-2"},
    {"type": "track", "event": "Order Completed", "messageId": "m-3", "userId": "u-2", "properties": {"order_id": "W-2", "revenue": 0.5, "currency": "JPY"}},
    {"type": "identify", "messageId": "m-4", "context": {"consent": {"categoryPreferences": {"analytics": False}}}, "userId": "u-2"},
    {"type": "page", "messageId": "m-5", "anonymousId": "c-9"},
    {"type": "page", "messageId": "m-5", "anonymousId": "c-9"}]}
SNOWPLOW = {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": [
    {"e": "pv", "p": "web", "tv": "x", "uid": "u-3", "eid": "0192f3c1-0000-4000-8000-000000000001", "ttm": "1795139940000"},
    {"e": "zz", "p": "web", "tv": "x", "uid": "u-3", "eid": "0192f3c1-0000-4000-8000-000000000002"}]}
GA4 = {"client_id": "1.2", "user_id": "u-4", "timestamp_micros": 1795139940000000, "events": [
    {"name": "purchase", "params": {"transaction_id": "T-1", "value": 100, "currency": "JPY"}}, {"name": "", "params": {}}]}
CALL = {"CallSid": "CA1", "CallStatus": "completed", "SequenceNumber": "9", "Direction": "inbound", "From": "+81312345678", "CallDuration": "12",
        "Timestamp": "Fri, 20 Nov 2026 01:00:00 +0000"}
CONTACT = {"id": "e-9", "time": "2026-11-20T01:00:00Z", "detail": {"contactId": "c-1", "channel": "VOICE", "eventType": "DISCONNECTED"}}
CONVERSATION = {"topicName": "v2.detail.events.conversation.1.customer.start",
                "eventBody": {"conversationId": "1", "eventTime": 1795139940000, "mediaType": "VOICE", "ani": "tel:+81312345678"}}
ORDER = {"id": 1001, "updated_at": "2026-11-20T10:00:00+09:00", "created_at": "2026-11-20T10:00:00+09:00", "currency": "JPY", "total_price": "100",
         "customer": {"id": 5}}
RING = {"kind": "ring", "at": 1795139940, "call": "C1", "from": "+81312345678"}
MAPPING = """[file]
name = pbx
format = ndjson
time_format = epoch_s
[event call_started]
time = at
call.call_id = call
ids.phone = from
[event call_ended]
when = kind = end
time = at
call.call_id = call
"""
# Kind, good and bad notifications, type, and reason and pointer of the bad one.
HOOKS = [
    ("twilio", CALL, {**CALL, "CallStatus": "compleated"}, "call_ended", "bad_value", "/CallStatus"),
    ("connect", CONTACT, {**CONTACT, "detail": {}}, "call_ended", "missing_field", "/detail/contactId"),
    ("genesys", CONVERSATION, {"eventBody": {"conversationId": "1"}}, "call_started", "bad_id", "/eventBody"),
    ("shopify", ORDER, {**ORDER, "id": 1002, "total_price": "0.5"}, "order_completed", "money_precision", "/total_price"),
    ("generic", RING, {**RING, "at": "soon"}, "call_started", "bad_time", "at")]


def validate(path, *arguments, code=0):
    run = subprocess.run([PROGRAM, "validate", str(path), "--json", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == code, run
    return json.loads(run.stdout)


def write(space, name, body):
    path = space.path / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def said(space, config):
    """Fates by event, as JSON and as text."""
    native = validate(write(space, "native.json", NATIVE), "--source", "web", "--config", config, code=6)
    assert [e["fate"] for e in native["events"]] == [
        "accepted", "rejected", "duplicate", "no_consent", "accepted", "rejected", "accepted", "rejected"], native
    assert {k: native[k] for k in ("accepted", "duplicates", "no_consent", "rejected", "refused")} == {
        "accepted": 3, "duplicates": 1, "no_consent": 1, "rejected": 3, "refused": 0}
    assert native["events"][5]["reason"] == "id_conflict"
    first, second, plan = native["events"][0], native["events"][1], native["events"][7]
    assert {k: first[k] for k in ("type", "time", "who", "id")} == {
        "type": "page_viewed", "time": "2026-11-20T01:15:00Z", "who": "login:u-1", "id": "e-1"}, first
    assert (second["reason"], second["pointer"], second["hint"]) == ("unknown_field", "/pagee", 'did you mean "page"?'), second
    assert (plan["reason"], plan["pointer"]) == ("schema_violation", "/properties/plann") and '"plan"' in plan["hint"], plan
    assert native["events"][4]["warning"]["pointer"] == "/ids/email" and native["events"][6]["who"].startswith("email:k1:"), native
    text = subprocess.run([PROGRAM, "validate", space.path / "native.json", "--source", "web", "--config", config], capture_output=True, text=True)
    assert text.returncode == 6 and text.stdout.splitlines()[1] == 'event 1: rejected: unknown_field at /pagee: did you mean "page"?', text.stdout
    assert text.stdout.splitlines()[0].startswith("event 0: accepted page_viewed at 2026-11-20T01:15:00Z of login:u-1, person ")
    lines = write(space, "native.ndjson", "\n" + "\n".join(map(json.dumps, NATIVE)) + "\n")
    assert validate(lines, "--source", "web", "--config", config, code=6) == native, "lines are as an array"

    segment = validate(write(space, "segment.json", SEGMENT), "--protocol", "segment", code=6)
    assert [e["fate"] for e in segment["events"]] == ["accepted", "rejected", "rejected", "no_consent", "accepted", "duplicate"], segment
    assert [e.get("reason") for e in segment["events"][1:3]] == ["bad_event_type", "money_precision"], segment
    each = write(space, "segment.ndjson", "".join(json.dumps(m) + "\n" for m in SEGMENT["batch"][:3]))
    events = validate(each, "--protocol", "rudder", code=6)["events"]
    assert [(e["line"], e["fate"]) for e in events] == [(1, "accepted"), (2, "refused"), (3, "rejected")], events

    snowplow = validate(write(space, "snowplow.json", SNOWPLOW), "--protocol", "snowplow", code=6)
    assert [e["fate"] for e in snowplow["events"]] == ["accepted", "rejected"] and snowplow["events"][0]["who"] == "login:u-3", snowplow
    one = validate(write(space, "one.json", SNOWPLOW["data"][0]), "--protocol", "snowplow")
    assert one["events"] == snowplow["events"][:1], one
    ga4 = validate(write(space, "ga4.json", GA4), "--protocol", "ga4", code=6)
    assert [e["fate"] for e in ga4["events"]] == ["accepted", "rejected"] and ga4["events"][0]["type"] == "order_completed", ga4


def notifications(space, config):
    """Of each kind of webhooks: neither signed nor new, one alone, in an array, a line each, and what is wrong with the other."""
    for kind, good, bad, event, reason, pointer in HOOKS:
        arguments = ["--protocol", kind, "--source", "hooks", "--config", config, *(["--topic", "orders/create"] if kind == "shopify" else [])]
        one = validate(write(space, f"{kind}.json", good), *arguments)["events"]
        assert [(e["fate"], e["type"]) for e in one] == [("accepted", event)] and len(one[0]["person"]) == 36 and one[0]["who"], one
        got = validate(write(space, f"{kind}-all.json", [good, bad, good]), *arguments, code=6)["events"]
        assert [e["fate"] for e in got] == ["accepted", "rejected", "duplicate"] and got[0] == one[0], got
        assert (got[1]["reason"], got[1]["pointer"]) == (reason, pointer), got
        lines = validate(write(space, f"{kind}.ndjson", f"{json.dumps(good)}\n{json.dumps(bad)}\n"), *arguments, code=6)["events"]
        assert [(e["line"], e["fate"]) for e in lines] == [(1, "accepted"), (2, "rejected")], lines
    form = urllib.parse.urlencode(CALL)
    forms = validate(write(space, "forms.txt", f"{form}\n{form}&x=1\n"), "--protocol", "twilio")
    assert [(e["line"], e["id"], e["time"]) for e in forms["events"]] == [(n, "CA1-ended", "2026-11-20T01:00:00Z") for n in (1, 2)], forms
    both = validate(write(space, "end.json", {**RING, "kind": "end"}), "--protocol", "generic", "--source", "hooks", "--config", config)
    assert [e["type"] for e in both["events"]] == ["call_started", "call_ended"], both
    generic = ("--protocol", "generic", "--source", "no-ring", "--config", config)
    other = write(space, "other.json", [RING, {**RING, "kind": "end"}, RING])
    got = validate(other, *generic)
    assert (got["ignored"], got["accepted"], both["ignored"]) == (2, 1, 0), got
    assert "2 ignored: no `when` matches" in subprocess.run([PROGRAM, "validate", other, *generic], capture_output=True, text=True).stdout
    topic = validate(space.path / "shopify.json", "--protocol", "shopify", "--topic", "orders/creat", code=6)["events"][0]
    assert (topic["reason"], topic["pointer"]) == ("bad_value", "X-Shopify-Topic") and "orders/create" in topic["hint"], topic
    for kind, words, *arguments in (("shopify", "give --topic orders/create"), ("shopify", "give --topic", "--topic", ""), ("generic", "give --source"),
                                    ("twilio", "--topic is of", "--topic", "orders/create")):
        run = subprocess.run([PROGRAM, "validate", space.path / f"{kind}.json", "--protocol", kind, *arguments], capture_output=True, text=True)
        assert run.returncode == 2 and words in run.stderr, run


def wrong(space, config):
    """What is no request, or not one of this source's. (Each length that a body can be cut to: test_rehearsal.c.)"""
    cut = validate(write(space, "cut.json", json.dumps(SEGMENT)[:-1]), "--protocol", "segment", code=6)
    assert cut["refused"] == 1 and cut["events"][0]["reply"]["code"] == "bad_json", cut
    (space.path / "odd.json").write_bytes(b"\xff\xfe{")
    validate(space.path / "odd.json", code=6)
    many = validate(write(space, "many.json", [NATIVE[0]] * 3), "--set", "collector.batch_events_max=2", code=6)
    assert many["refused"] == 1 and many["events"][0]["status"] == 413 and many["events"][0]["reply"]["code"] == "too_many", many
    tabiji("source", "add", "of-a-file", "protocols=rudder", "--sources", space.path / "sources.ini")
    own = ("--source", "of-a-file", "--sources", space.path / "sources.ini")
    validate(write(space, "page.json", SEGMENT["batch"][4]), "--protocol", "rudder", *own)
    assert validate(space.path / "native.json", *own, code=6)["events"][0]["status"] == 403
    refused = validate(space.path / "native.json", "--source", "segment-only", "--config", config, code=6)
    assert refused["events"][0]["status"] == 403 and refused["events"][0]["reply"]["code"] == "protocol", refused
    for code, words, *arguments in ((4, "No such file", space.path / "none.json"), (2, "knows native", space.path / "native.json", "--protocol", "amplitude"),
                                    (4, "there is no source", space.path / "native.json", "--source", "none"), (2, "needs", ), (1, "directory", space.path)):
        run = subprocess.run([PROGRAM, "validate", *map(str, arguments)], capture_output=True, text=True)
        assert run.returncode == code and words in run.stderr, (arguments, run)


def as_the_collector(space, config, port):
    """The same bodies to a running collector: the same events, persons, reasons and pointers."""
    with (space.path / "run.log").open("wb") as out:
        process = space.start("run", "--data", space.path / "data", "--config", config, stderr=out)
    wait_until(lambda: b"listening on port" in (space.path / "run.log").read_bytes(), "the collector")
    key = {"Authorization": f"Bearer {KEY}"}
    accepted, rejected = set(), []
    end = {**RING, "kind": "end", "at": int(time.time())}  # an old one is refused here
    assert ask(port, "/hooks/generic/hooks", RING, {"Authorization": f"Bearer {HOOKS_KEY}"})[0] == 403
    assert ask(port, "/hooks/generic/hooks", end, {"Authorization": f"Bearer {HOOKS_KEY}"})[0] == 200
    missed = ask(port, "/hooks/generic/no-ring", {**end, "kind": "other"}, {"Authorization": f"Bearer {OTHER_KEY}"})
    assert missed[0] == 200 and json.loads(missed[2])["ignored"] == 1, missed
    assert 'tabiji_collector_hooks_ignored_total{source="no-ring"} 1\n' in ask(port, "/metrics", None, method="GET")[2]
    hook = ["--protocol", "generic", "--source", "hooks", "--config", config]
    accepted |= {(e["id"], e["type"]) for e in validate(write(space, "end.json", end), *hook)["events"]}
    for name, path, protocol in (("native", "/v1/events", "native"), ("segment", "/v1/batch", "segment"),
                                 ("snowplow", "/com.snowplowanalytics.snowplow/tp2", "snowplow"), ("ga4", "/mp/collect", "ga4")):
        body = json.loads((space.path / f"{name}.json").read_text())
        assert ask(port, path, body, key)[0] in (200, 204)
        got = validate(space.path / f"{name}.json", "--protocol", protocol, "--source", "web", "--config", config, code=6)
        accepted |= {(e["id"], e["type"]) for e in got["events"] if e["fate"] == "accepted"}
        rejected += [(name, e["reason"], e.get("pointer") or None, e.get("hint")) for e in got["events"] if e["fate"] == "rejected"]
    assert stop(process) == 0
    database = sqlite3.connect(f"file:{space.path}/data/tabiji.db?mode=ro", uri=True)
    rows = database.execute("SELECT stage, reason, pointer, hint FROM rejected ORDER BY 1, 2, 3, 4").fetchall()
    assert rows == sorted(rejected, key=str), (rows, rejected)
    stored = set(database.execute("SELECT event_id, type FROM event"))
    assert stored == accepted, (stored, accepted)


KEY = HOOKS_KEY = OTHER_KEY = ""


def main():
    global KEY, HOOKS_KEY, OTHER_KEY
    with Workspace() as space:
        port, config, plan = free_port(), space.path / "tabiji.ini", space.path / "plan" / "web"
        plan.mkdir(parents=True)
        (plan / "plan_bought.json").write_text(json.dumps({"properties": {"properties": {"properties": {"plan": {}}, "additionalProperties": False}}}))
        config.write_text(f"[collector]\nlisten = 127.0.0.1:{port}\n[plan]\ndir = {plan.parent}\n")
        KEY = tabiji("source", "add", "web", "--config", config).strip()
        tabiji("source", "add", "segment-only", "protocols=segment", "--config", config)
        (space.path / "pbx.ini").write_text(MAPPING)
        (space.path / "hooks.secret").write_text("hush\n")
        (space.path / "hooks.secret").chmod(0o600)
        HOOKS_KEY = tabiji("source", "add", "hooks", f"mapping={space.path}/pbx.ini", f"secret_file={space.path}/hooks.secret",
                           "--config", config).strip()
        (space.path / "end.ini").write_text(MAPPING.replace("[event call_started]", "[event call_started]\nwhen = kind = none"))
        OTHER_KEY = tabiji("source", "add", "no-ring", f"mapping={space.path}/end.ini", "--config", config).strip()
        said(space, config)
        notifications(space, config)
        wrong(space, config)
        as_the_collector(space, config, port)
        assert not (space.path / "tabiji-data").exists()
    print("validate: what the collector says, kept nowhere")


if __name__ == "__main__":
    main()
