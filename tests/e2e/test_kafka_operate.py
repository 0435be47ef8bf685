#!/usr/bin/env python3
"""What an operator does with the Kafka mode, on a real broker: topics made and checked, a start against wrong counts refused."""
import base64
import json
import subprocess
import uuid

import kafka_broker
from harness import PROGRAM, Workspace, skip, tabiji

PARTITIONS = 3


def start_broker(directory):
    """One broker; returns its bootstrap address."""
    libs = kafka_broker.install()
    directory.mkdir()
    kafka_broker.write_properties(directory, *kafka_broker.free_ports(2))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    subprocess.run(kafka_broker.java(libs, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(directory / "server.properties")),
                   check=True, capture_output=True, cwd=directory)
    return kafka_broker.launch(directory)[0]


def java_tool(bootstrap, *arguments):
    run = subprocess.run(kafka_broker.java(kafka_broker.install(), arguments[0], "--bootstrap-server", bootstrap, *arguments[1:]),
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def configure(space, bootstrap, prefix):
    path = space.path / f"{prefix}.ini"
    path.write_text(f"[data]\ndir = {space.path}/{prefix}\n[stream]\ndriver = kafka\nprefix = {prefix}\ngroup = {prefix}\n"
                    f"partitions = {PARTITIONS}\n[kafka]\nbootstrap.servers = {bootstrap}\n")
    return ["--config", path]


def refused(*arguments, code, timeout=20):
    """Standard error of a program that must end by itself, soon, with that code."""
    run = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    assert run.returncode == code, (run.returncode, run.stderr[-2000:])
    return run.stderr


def states(config, *arguments, expect):
    rows = json.loads(tabiji("topics", *arguments, *config, "--json", expect=expect))
    return {row["topic"].split(".")[1]: row for row in rows}


def check_topics(space, bootstrap):
    config = configure(space, bootstrap, "made")
    rows = states(config, "check", expect=4)
    assert len(rows) == 12 and all(row["state"] == "missing" and row["mend"] == "tabiji topics create" for row in rows.values())
    assert "topic made.events.v1 is missing" in refused("work", *config, "--set", "stream.create_topics=no", code=2)
    assert {row["state"] for row in states(config, "create", "--dry-run", expect=0).values()} == {"missing"}
    assert {row["state"] for row in states(config, "check", expect=4).values()} == {"missing"}, "a dry run made something"
    rows = states(config, "create", "--journey-partitions", 5, expect=0)
    assert {row["state"] for row in rows.values()} == {"created"}
    assert {name for name, row in rows.items() if row["partitions"] == PARTITIONS} == {"events", "rejected", "identity", "identity-state", "persons"}
    assert {row["partitions"] for row in rows.values()} == {PARTITIONS, 5}
    assert rows["events"]["cleanup.policy"] == "delete" and rows["events"]["retention.ms"] == str(7 * 86400 * 1000)
    assert rows["persons"]["cleanup.policy"] == "compact" and rows["persons"]["retention.ms"] == "-1"
    assert {row["state"] for row in states(config, "create", "--journey-partitions", 5, expect=0).values()} == {"ok"}, "made twice"

    # Somebody has meddled: a retention too short, one longer than asked for, a setting that is none of ours, partitions added.
    alter = ("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name")
    java_tool(bootstrap, *alter, "made.events.v1", "--add-config", "retention.ms=3600000,segment.bytes=1048576")
    java_tool(bootstrap, *alter, "made.rejected.v1", "--add-config", "retention.ms=9999999999")
    java_tool(bootstrap, "org.apache.kafka.tools.TopicCommand", "--alter", "--topic", "made.touchpoints.v1", "--partitions", "7")
    rows = states(config, "check", "--journey-partitions", 5, expect=1)
    assert rows["events"]["mend"] == "tabiji topics create --alter" and rows["rejected"]["state"] == "ok"
    assert rows["touchpoints"]["partitions"] == 7 and "tabiji repartition" in rows["touchpoints"]["mend"]
    assert sum(row["state"] == "ok" for row in rows.values()) == 10
    rows = states(config, "create", "--alter", "--journey-partitions", 5, expect=1)
    assert rows["events"]["state"] == "set" and rows["events"]["retention.ms"] == str(7 * 86400 * 1000)
    said = tabiji("topics", "check", *config, "--journey-partitions", 5, expect=1)
    assert "7, not 5" in said and "7 d" in said and "for ever" in said, said
    for verb in ("collect", "work", "sink"):
        said = refused(verb, *config, "--set", "collector.listen=127.0.0.1:0", code=2)
        assert "made.touchpoints.v1 has 7 partitions" in said and "tabiji repartition" in said, said
    refused("topics", "check", "--set", "kafka.bootstrap.servers=127.0.0.1:1", code=7)
    print("topics: made, checked, altered, wrong counts refused")


def main():
    with Workspace() as space:
        directory = space.path / "broker"
        try:
            bootstrap = start_broker(directory)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            check_topics(space, bootstrap)
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            kafka_broker.stop(directory)


if __name__ == "__main__":
    main()
