#!/usr/bin/env python3
"""A tracking plan: JSON Schema by source and type is asked whatever protocol an event came by; strict, warn or off; SIGHUP reads it again."""
import json
import signal
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace, free_port, stop, tabiji, wait_until
from test_source import ask

ORDER = json.loads((ROOT / "deploy/config/schemas/ec-web/order_completed.json").read_text())
GOOD = {"order_id": "W-1", "total": 12980, "currency": "JPY", "products": [{"sku": "s1", "price": 6490, "quantity": 2}]}


def write(path, schema):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema))


def segment(n, properties):
    return {"type": "track", "event": "Order Completed", "messageId": f"m-{n}", "userId": "u-1", "timestamp": "2026-11-20T03:00:00Z",
            "properties": properties}


def collected(space):
    port, log, plan = free_port(), space.path / "run.log", space.path / "plan"
    write(plan / "ec-web" / "order_completed.json", ORDER)
    write(plan / "_any" / "page_viewed.json", {"required": ["page"]})
    config = space.path / "tabiji.ini"
    config.write_text(f"[collector]\nlisten = 127.0.0.1:{port}\n[plan]\ndir = {plan}\n")
    keys = {name: tabiji("source", "add", name, *values, "--config", config).strip()
            for name, values in (("ec-web", ()), ("app", ("plan=warn",)), ("pos", ("plan=off",)))}

    def lines(event):
        return [line for line in map(json.loads, (x for x in log.read_text().splitlines() if x.startswith("{"))) if line["event"] == event]

    def reload(event):
        before = len(lines(event))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(lines(event)) > before, event)
        return lines(event)[-1]

    def native(key, *events):
        return json.loads(ask(port, "/v1/events", list(events), {"Authorization": f"Bearer {keys[key]}"})[2])

    def view(n, **more):
        return {"id": f"v-{n}", "type": "page_viewed", "ids": {"cookie": "c"}, **more}

    with log.open("wb") as out:
        process = space.start("run", "--data", space.path / "data", "--config", config, stderr=out)
    wait_until(lambda: "listening on port" in log.read_text(), "the collector")

    # By each protocol the same plan is asked, of the same event.
    basic = {"Authorization": f"Bearer {keys['ec-web']}"}
    assert ask(port, "/v1/batch", {"batch": [segment(1, GOOD), segment(2, {**GOOD, "order_id": "X"}), segment(3, {**GOOD, "coupon": "NATSU"})]}, basic)[0] == 200
    ga4 = {"client_id": "1.2", "user_id": "u-1", "timestamp_micros": 1795139940000000, "events": [{"name": "purchase", "params": {
        "transaction_id": "W-2", "value": 100, "currency": "JPY", "items": [{"item_name": "hat", "price": 100}]}}]}
    assert ask(port, f"/mp/collect?api_secret={keys['ec-web']}", ga4)[0] == 204
    snowplow = {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": [
        {"e": "tr", "p": "web", "tv": "x", "uid": "u-1", "tr_id": "W-3", "tr_tt": "100", "tr_cu": "JPY", "eid": "0192f3c1-0000-4000-8000-000000000001"}]}
    assert ask(port, f"/com.snowplowanalytics.snowplow/tp2/{keys['ec-web']}", snowplow)[0] == 200
    reply = native("ec-web", view(1, page={"host": "a.jp"}), view(2))
    assert reply["accepted"] == 1 and reply["rejected"] == [
        {"index": 1, "code": "schema_violation", "pointer": "/page", "hint": "is required"}], reply

    # warn: accepted, told and counted; off: not looked at.
    reply = native("app", view(3))
    assert reply["accepted"] == 1 and reply["warnings"] == [{"index": 0, "code": "schema_violation", "pointer": "/page", "hint": "is required"}], reply
    assert "warnings" not in native("pos", view(4))
    assert lines("plan_warning")[-1]["source"] == "app" and "page" not in json.dumps(lines("plan_warning"))
    metrics = ask(port, "/metrics", None, method="GET")[2]
    assert '\ntabiji_collector_plan_warnings_total{source="app"} 1\n' in metrics and "tabiji_collector_identifiers_dropped_total{" not in metrics
    assert '\ntabiji_collector_rejected_total{reason="schema_violation"} 5\n' in metrics, metrics

    # Another plan, by SIGHUP; one that is not sound changes nothing.
    write(plan / "_any" / "page_viewed.json", {"properties": {"page": {"requires": ["host"]}}})
    why = reload("reload_refused")["why"]
    assert why == f'{plan}/_any/page_viewed.json: #/properties/page: unsupported keyword "requires": did you mean "required"?', why
    assert native("ec-web", view(5))["rejected"], "the plan of before stands"
    (plan / "_any" / "page_viewed.json").unlink()
    reload("reloaded")
    assert native("ec-web", view(6))["accepted"] == 1
    tabiji("source", "set", "app", "plan=strict", "--config", config)
    write(plan / "app" / "page_viewed.json", False)
    reload("reloaded")
    assert native("app", view(7))["rejected"][0]["hint"] == "nothing may be here"
    assert stop(process) == 0

    database = sqlite3.connect(f"file:{space.path}/data/tabiji.db?mode=ro", uri=True)
    rejected = database.execute("SELECT stage, pointer, hint FROM rejected WHERE reason = 'schema_violation' ORDER BY stage, pointer, hint").fetchall()
    assert rejected == [
        ("ga4", "/properties/items", "is not in the schema"),
        ("native", None, "nothing may be here"), ("native", "/page", "is required"), ("native", "/page", "is required"),
        ("segment", "/order/coupon", 'is none of "AKI", "FUYU"'), ("segment", "/order/order_id", "does not match ^W-[0-9]+$"),
        ("snowplow", "/order/items", "is required")], rejected

    # After a fix of the plan, what was rejected is put through the door again, by the plan of then.
    write(plan / "ec-web" / "order_completed.json", {})
    again = tabiji("rejected", "replay", "--config", config, "--data", space.path / "data", "--stage", "segment", expect=0)
    assert database.execute("SELECT count(*) FROM rejected WHERE stage = 'segment'").fetchone() == (0,), again
    print("collected: four protocols, one plan; strict, warn and off; SIGHUP; put in again after a fix")


def imported(space):
    plan, events = space.path / "import-plan", space.path / "events.ndjson"
    write(plan / "import" / "signed_in.json", {"properties": {"ids": {"required": ["login"]}}})
    events.write_text("".join(json.dumps({"id": str(n), "type": "signed_in", "time": "2026-11-20T10:00:00Z", "ids": ids}) + "\n"
                              for n, ids in enumerate(({"login": "u"}, {"cookie": "c"}))))
    load = ("import", "--json", "--mapping", ROOT / "deploy/mappings/native.ini", events, "--set", f"plan.dir={plan}", "--data")
    strict = json.loads(tabiji(*load, space.path / "strict", expect=6))
    assert (strict["events"], strict["rejected"], strict["planless"]) == (1, 1, 0), strict
    warn = json.loads(tabiji(*load, space.path / "warn", "--set", "source.import.plan=warn"))
    assert (warn["events"], warn["rejected"], warn["planless"]) == (2, 0, 1), warn
    write(plan / "import" / "signed_in.json", {"propertys": {}})
    run = subprocess.run([PROGRAM, *map(str, load), space.path / "bad"], capture_output=True, text=True)
    assert run.returncode == 2 and 'signed_in.json: #: unsupported keyword "propertys": did you mean "properties"?' in run.stderr, run
    print("imported: rows are judged likewise; a keyword that is not known ends the start")


def main():
    with Workspace() as space:
        collected(space)
        imported(space)


if __name__ == "__main__":
    main()
