#!/usr/bin/env python3
"""Schemas at a real registry: `tabiji schema`, ids on topics, and a foreign producer that changes its schema in mid-stream, with
the registry away at the start and in the midst. What the broker acknowledged is in the sink once, or, whole, in rejected: S + D = A; the
tables are the embedded ones."""
import collections
import copy
import hashlib
import json
import os
import random
import sqlite3
import struct
import subprocess
import sys

import kafka_broker
import schema_registry
from harness import PROGRAM, ROOT, Workspace, skip, stop, tabiji, wait_until
from test_kafka_pipeline import MODELS, Cluster, digest, dump, touch_credits

SEED = int(os.environ.get("TABIJI_SEED", "20261128"))
EVENTS = 3000
MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
TOUCHPOINT = json.loads((ROOT / "schemas" / "avro" / "touchpoint.avsc").read_text())
# What any producer may write instead: a field less, and two more.
OLDER = {**TOUCHPOINT, "fields": [f for f in TOUCHPOINT["fields"] if f["name"] != "traceparent"]}
NEWER = {**TOUCHPOINT, "fields": [{"name": "tier", "type": "string", "default": "none"}, *TOUCHPOINT["fields"],
                                  {"name": "weather", "type": ["null", "double"], "default": None}]}
# What cannot be read: the id of the event is a number of another field's name.
OTHER = copy.deepcopy(TOUCHPOINT)
OTHER["fields"] = [{"name": "number", "type": "long", "default": 7} if f["name"] == "event_id" else f for f in OTHER["fields"]]


def schema(*arguments, expect=0):
    answer = json.loads(tabiji("schema", *arguments, "--json", expect=expect))
    if isinstance(answer, dict):
        assert set(answer) == {"error"} and expect != 0, answer
        return {}
    return {row.get("subject", row.get("record")): row for row in answer}


def check_verb(registry):
    """register, check, list: exit codes, states, reasons."""
    def at(verb, prefix, expect=0, *more):
        return schema(verb, "--registry", registry.url, "--set", f"stream.prefix={prefix}", *more, expect=expect)

    missing = at("check", "cli", 4)
    assert len(missing) == 10 and {row["state"] for row in missing.values()} == {"missing"}, missing
    done = at("register", "cli")
    assert {row["state"] for row in done.values()} == {"registered"}, done
    assert {row["state"] for row in at("register", "cli").values()} == {"was there"}
    found = at("check", "cli")
    assert {(row["state"], row["compatibility"]) for row in found.values()} == {("registered", "FULL")}, found
    listed = at("list", "cli")
    assert set(listed) == set(registry.ask("GET", "/subjects")), listed
    events = listed["cli.events.v1-value"]
    assert events["newest"] == "this build's" and events["record"] == "touchpoint" and events["id"] == done["cli.events.v1-value"]["id"]
    assert registry.ask("GET", "/config/cli.events.v1-value")["compatibilityLevel"] == "FULL"

    # A newer version of somebody else: ours would still be taken, and is found among the versions.
    registry.register("cli.events.v1-value", NEWER)
    assert at("check", "cli")["cli.events.v1-value"]["state"] == "registered"
    assert at("list", "cli")["cli.events.v1-value"]["newest"] == "another version"

    # Only an older version is there.
    registry.register("new.events.v1-value", OLDER)
    registry.ask("PUT", "/config/new.events.v1-value", {"compatibility": "FULL"})
    one = ("--subject", "new.events.v1-value")
    assert at("check", "new", 0, *one)["new.events.v1-value"]["state"] == "compatible"
    # Its level is lowered: said, and mended by register.
    registry.ask("PUT", "/config/new.events.v1-value", {"compatibility": "NONE"})
    row = at("check", "new", 1, *one)["new.events.v1-value"]
    assert row["compatibility"] == "NONE" and "level" in row["reason"], row
    assert at("register", "new", 0, *one)["new.events.v1-value"]["version"] == 2
    assert at("check", "new", 0, *one)["new.events.v1-value"]["compatibility"] == "FULL"

    # Something else is there: neither taken nor hidden, the others are registered all the same.
    registry.register("bad.events.v1-value", OTHER)
    registry.ask("PUT", "/config/bad.events.v1-value", {"compatibility": "FULL"})
    row = at("check", "bad", 1)["bad.events.v1-value"]
    assert row["state"] == "incompatible" and "event_id" in row["reason"], row
    done = at("register", "bad", 1)
    assert done["bad.events.v1-value"]["state"] == "refused" and "ncompatible" in done["bad.events.v1-value"]["reason"], done
    assert [row["state"] for row in done.values()].count("registered") == 9, done
    assert registry.ask("GET", "/subjects/bad.events.v1-value/versions") == [1]
    refused = subprocess.run([PROGRAM, "work", "--set", "stream.driver=kafka", "--set", "kafka.bootstrap.servers=127.0.0.1:1",
                              "--set", "stream.prefix=bad", "--set", f"registry.url={registry.url}"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "bad.events.v1-value" in refused.stderr, refused

    at("list", "cli", 4, "--subject", "nobody-value")
    at("check", "cli", 2, "--subject", "cli.event.v1-value")
    schema("check", "--registry", registry.url.removesuffix(schema_registry.API), expect=1)  # a server, but none of these
    schema("check", "--registry", "http://127.0.0.1:1", "--set", "registry.attempts=2", expect=7)
    print("tabiji schema: as said")


class Foreign:
    """Sends parts of the source's events to the cluster's topic, and keeps what was acknowledged of them."""

    def __init__(self, registry, bootstrap, source, target):
        self.registry, self.bootstrap, self.topics = registry, bootstrap, (f"{source}.events.v1", f"{target}.events.v1")
        self.events, self.unreadable = collections.Counter(), collections.Counter()  # by id; values by their hash

    def send(self, *items, readable=True):
        run = subprocess.run([schema_registry.python(), ROOT / "tests/e2e/foreign_producer.py", self.bootstrap, self.registry.url,
                              *self.topics], input=json.dumps(items), capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr[-3000:]
        acknowledged = json.loads(run.stdout)
        if readable:
            self.events.update(event for event, _ in acknowledged)
        else:
            self.unreadable.update(value for _, value in acknowledged)
        return len(acknowledged)

    def send_raw(self, partition, value):
        kcat(self.bootstrap, "-P", "-t", self.topics[1], "-p", str(partition), "-k", "0123456789abcdef", "-D", "|", stdin=value)
        self.unreadable[hashlib.sha256(value).hexdigest()] += 1


def part(partitions, begin, end, written, **more):
    return {"partitions": partitions, "from": begin, "to": end, "schema": json.dumps(written) if written else None, **more}


def rows(cluster, query):
    try:
        db = sqlite3.connect(f"file:{cluster.database}/tabiji.db?mode=ro", uri=True)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()
    except sqlite3.OperationalError:
        return []


def events(cluster):
    return (rows(cluster, "SELECT count(*) FROM event") or [(0,)])[0][0]


def kcat(bootstrap, *arguments, stdin=None):
    return subprocess.run(["kcat", "-b", bootstrap, "-q", *arguments], input=stdin, capture_output=True, check=True, timeout=60).stdout


def check_ids(registry, bootstrap, prefix):
    """What we wrote is framed with the registry's ids, row for row; topics of unpublished tables with the file's."""
    ids = {row["subject"]: row["id"] for row in schema("list", "--registry", registry.url).values()}
    for topic in ("events", "identity", "journey", "persons", "touchpoints", "conversions", "profiles"):
        sizes = kcat(bootstrap, "-C", "-t", f"{prefix}.{topic}.v1", "-o", "beginning", "-e", "-f", "%R%s")
        seen, at = set(), 0
        while at < len(sizes):
            size, = struct.unpack(">i", sizes[at:at + 4])
            if size > 0:
                seen.add((sizes[at + 4], struct.unpack(">I", sizes[at + 5:at + 9])[0]))
            at += 4 + max(size, 0)
        if topic in ("identity", "journey") and not seen:
            continue  # all mail was handed over within the worker
        assert seen, topic
        wanted = ids[f"{prefix}.{topic}.v1-value"]
        if topic == "events":  # the fault: each version was there
            others = {(0, registry.register(f"{prefix}.events.v1-value", version)) for version in (OLDER, NEWER)}
            assert len(others) == 2 and others < seen, (others, seen)
        assert (0, wanted) in seen and (topic == "events" or seen == {(0, wanted)}), (topic, seen, wanted)


def log_of(cluster, number):
    return (cluster.path / f"{number}-work.log").read_text()


def check_start(cluster, gate):
    """While the registry is away at the very first start everything waits, and can be ended."""
    worker = cluster.work("a")
    wait_until(lambda: "registry_unreachable" in log_of(cluster, 1), "the worker's first try")
    assert stop(worker, timeout=10) == 0
    worker, sink = cluster.work("a"), cluster.sink()
    wait_until(lambda: "registry_unreachable" in log_of(cluster, 2), "the worker's first try")
    assert worker.poll() is None and sink.poll() is None
    gate.open()
    wait_until(lambda: "joined group" in log_of(cluster, 2), "the worker")
    return worker, sink


def check_rejected(cluster, foreign, registry):
    """Records that nobody can read: in `rejected`, whole, each with its reason; the worker goes on."""
    before = events(cluster)
    other = registry.register("elsewhere-value", OTHER)
    count = foreign.send(part([1], 0.0, 0.02, OTHER, subject="elsewhere-value"), readable=False)
    count += foreign.send(part([2], 0.0, 0.02, TOUCHPOINT, header=True), readable=False)
    foreign.send_raw(3, b"\0" + struct.pack(">I", 999999) + b"of tomorrow")
    foreign.send_raw(0, b"no frame")
    assert cluster.quiet(120), "the worker does not come to the end"
    wait_until(lambda: len(rows(cluster, "SELECT 1 FROM rejected")) == count + 2, f"{count + 2} rejected", 60)
    found = rows(cluster, "SELECT reason, stage, payload FROM rejected")
    reasons = [reason for reason, _, _ in found]
    assert set(reasons) == {"schema_incompatible", "schema_in_header", "schema_unknown", "bad_avro"}, reasons
    payloads = {reason: bytes(payload) if isinstance(payload, bytes) else payload.encode() for reason, _, payload in found}
    assert payloads["schema_unknown"] == b"\0" + struct.pack(">I", 999999) + b"of tomorrow", payloads
    assert payloads["schema_incompatible"].startswith(b"\0" + struct.pack(">I", other)), payloads
    listed = json.loads(tabiji("rejected", "list", "--data", cluster.database, "--json", "--reason", "schema_in_header"))
    assert listed and "__value_schema_id" in listed[0]["hint"], listed
    assert events(cluster) == before
    print(f"rejected, whole: {len(found)} records of {sorted(set(reasons))}")


def check_ledger(cluster, foreign):
    """31: S + D = A, S and D disjoint: each event once, and each value that nobody can read once, as it was."""
    stored = collections.Counter(i for i, in rows(cluster, "SELECT event_id FROM event"))
    found = [payload if isinstance(payload, bytes) else payload.encode() for payload, in rows(cluster, "SELECT payload FROM rejected")]
    rejected = collections.Counter(hashlib.sha256(payload).hexdigest() for payload in found)
    assert max(foreign.events.values()) == 1 and stored == foreign.events, (stored - foreign.events, foreign.events - stored)
    assert rejected == foreign.unreadable, (rejected - foreign.unreadable, foreign.unreadable - rejected)
    print(f"S + D = A: {stored.total()} + {rejected.total()} of {foreign.events.total() + foreign.unreadable.total()}")


def check_pipeline(space, toy, bootstrap, registry):
    cuts = sorted(random.Random(SEED).sample(range(5, 90, 5), 4))
    a, b, c, d = (cut / 100 for cut in cuts)  # where schemas change
    print(f"seed {SEED}: schemas change at {cuts} %")
    lines, plain = space.path / "events.ndjson", space.path / "plain"
    lines.write_text(tabiji("generate", "--events", EVENTS, "--seed", "11"))
    tabiji("import", "--data", plain, "--mapping", MAPPING, lines, *MODELS)

    source = Cluster(space, toy, bootstrap, "source")
    source.options += ["--set", f"registry.url={registry.url}"]
    assert source.start("import", "--data", source.path / "import", "--mapping", MAPPING, lines).wait(120) == 0

    gate = schema_registry.Gate(registry)
    cluster = Cluster(space, toy, bootstrap, "mixed")
    gate.token, token = "first-token", space.path / "token"
    token.write_text(gate.token + "\n")
    cluster.options += ["--set", f"registry.url={gate.url}", "--set", "registry.timeout=2 s", "--set", f"registry.token_file={token}"]
    worker, sink = check_start(cluster, gate)
    foreign = Foreign(registry, bootstrap, "source", "mixed")

    # Compatible versions in mid-stream, each asked for once.
    sent = foreign.send(part([0, 1, 2, 3], 0.0, a, TOUCHPOINT), part([0, 1, 2, 3], a, b, OLDER))
    wait_until(lambda: events(cluster) == sent, f"{sent} events", 120)

    # The registry is away: ids that are known go on, the partition with an unknown one waits, and what is behind it.
    gate.shut()
    waiting = foreign.send(part([0], b, c, NEWER), part([0], c, d, TOUCHPOINT))
    sent += foreign.send(part([1, 2, 3], b, c, OLDER), part([1, 2, 3], c, d, TOUCHPOINT))
    wait_until(lambda: events(cluster) == sent, f"{sent} events without the registry", 120)
    wait_until(lambda: "registry_waits" in log_of(cluster, 2), "the registry to be missed")
    assert "kafka_schema_awaited" in log_of(cluster, 2)
    assert not cluster.quiet(3) and events(cluster) == sent, "the partition did not wait"

    # Ended and killed while it waits, and back with the registry still away: then with it.
    for end in (lambda: stop(worker, timeout=10), lambda: (worker.kill(), worker.wait(), 0)[2]):
        assert end() == 0
        worker = cluster.work("a")
        wait_until(lambda: "joined group" in log_of(cluster, cluster.started), "the worker, by the ids that it remembers")
        assert "ids_remembered" in log_of(cluster, cluster.started)
        wait_until(lambda: "kafka_schema_awaited" in log_of(cluster, cluster.started), "the partition that waits")
    sent += foreign.send(part([1, 2, 3], d, 0.9, None))
    wait_until(lambda: events(cluster) == sent, "events of our own schema while the registry is away", 120)
    # It is back, and wants another token: that of the file, once it is written there.
    gate.token = "second-token"
    gate.open()
    wait_until(lambda: gate.refused > 0, "the old token to be refused")
    token.write_text(gate.token + "\n")
    sent += waiting
    wait_until(lambda: events(cluster) == sent, f"{sent} events with the registry back", 120)
    sent += foreign.send(part([0], d, 1.0, NEWER), part([1, 2, 3], 0.9, 1.0, NEWER))
    cluster.check("three versions in mid-stream, the registry away in between", digest(plain), dump(plain), touch_credits(plain))
    check_ids(registry, bootstrap, "mixed")

    check_rejected(cluster, foreign, registry)
    check_ledger(cluster, foreign)
    for process in (worker, sink):
        assert stop(process) == 0, process.args
    logs = "".join(log.read_text() for log in cluster.path.glob("*.log"))
    assert "registry_credentials" in logs and "-token" not in logs
    print(f"{sent} events of four schemas")


def main():
    toy = sys.argv[1]
    with Workspace() as space:
        broker, registry = space.path / "broker", None
        try:
            registry = schema_registry.Registry(space.path / "registry")
            check_verb(registry)
            bootstrap, _ = kafka_broker.start(broker)
            check_pipeline(space, toy, bootstrap, registry)
        except kafka_broker.Unavailable as reason:
            skip(str(reason))
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            if registry:
                registry.stop()
            kafka_broker.stop(broker)


if __name__ == "__main__":
    main()
