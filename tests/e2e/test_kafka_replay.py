#!/usr/bin/env python3
"""On a real broker: rejections put through the door again while workers go on; all tables derived anew from the topics into a directory;
and a new generation of topics with more partitions, kill -9 in its midst, collectors moved over while they take events: each time the
tables of the embedded program, to the byte."""
import json
import signal
import subprocess
import sys
import time

import kafka_broker
from harness import PROGRAM, Workspace, free_port, same, stop, tabiji, wait_until
from test_http import post, ready, rows
from test_kafka_pipeline import Cluster, emit
from test_rejected_replay import event

EVENTS = 3000


def dump(data):
    return tabiji("state", "dump", "--data", data)


def refused_words():
    return [event(n, "identity_linked", ids={"login": f"w-{2 * n}"}, evidence={
        "a": {"login": f"w-{2 * n}"}, "b": {"login": f"w-{2 * n + 1}"}, "sign": 1, "reason": "same"}) for n in range(20)]


def batches(lines):
    return [[json.loads(line) for line in lines[at:at + 500]] for at in range(0, len(lines), 500)]


def embedded(space, config, name, sent):
    """Tables of the embedded program."""
    data, port = space.path / name, free_port()
    process = space.start("run", "--config", config, "--data", data, "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: ready(port), "the collector")
    for batch in sent:
        assert post(port, "/v1/events", batch)[0] == 200
    assert stop(process) == 0
    tabiji("rejected", "replay", "--config", config, "--data", data, "--reason", "none")
    return dump(data)


class Generation(Cluster):
    """The programs of one generation of topics, on a broker and a directory that several share."""

    def __init__(self, space, toy, bootstrap, name, partitions, config):
        super().__init__(space, toy, bootstrap, name)
        self.options = ["--config", config, "--set", f"data.dir={self.path}/data", "--set", "stream.driver=kafka", "--set",
                        f"kafka.bootstrap.servers={bootstrap}", "--set", f"stream.prefix={name}", "--set", f"stream.group={name}",
                        "--set", f"stream.partitions={partitions}", "--set", "kafka.consumer.session.timeout.ms=2000",
                        "--set", "kafka.consumer.heartbeat.interval.ms=500"]

    def collect(self):
        self.port = free_port()
        process = self.start("collect", "--listen", f"127.0.0.1:{self.port}", "--set", "collector.open_source=dev")
        wait_until(lambda: ready(self.port), "the collector")
        return process

    def run(self, *arguments, code=0):
        found = subprocess.run([PROGRAM, *map(str, arguments), *self.options], capture_output=True, text=True, timeout=120)
        assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr[-2000:])
        return found

    def settled(self, what, wanted):
        assert self.quiet(120), "the workers do not come to the end"
        end = time.monotonic() + 60
        while dump(self.database) != wanted and time.monotonic() < end:
            time.sleep(0.3)
        same(what, dump(self.database), wanted)


def rejected_again(old, wanted):
    assert old.quiet(120)
    wait_until(lambda: rows(old.database, "SELECT count(*) FROM rejected") == [(21,)], "the rejections")
    said = json.loads(old.run("rejected", "replay", "--json", "--dry-run", "--database", f"{old.database}/tabiji.db", code=6).stdout)
    assert (said["accepted"], said["refused"], said["left"]) == (20, 1, 0), said
    for turn in range(2):  # twice is as once, also before the sink has followed
        said = json.loads(old.run("rejected", "replay", "--json", "--database", f"{old.database}/tabiji.db", code=6).stdout)
        assert turn or said["accepted"] == 20, said
    old.settled("rejections put in again", wanted)


def copied(generation, into, *arguments):
    return json.loads(generation.run("repartition", "--json", "--partitions", 3, "--into", into, *arguments).stdout)["records"]


def killed(old, into):
    """kill -9 in the midst of a copy."""
    total = copied(old, into, "--dry-run")
    process = subprocess.Popen([PROGRAM, "repartition", "--partitions", "3", "--into", into, "--rate", "1000", *old.options],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cursor = old.path / "data" / "state"
    wait_until(lambda: list(cursor.glob("cursor-*")), "the first records")
    time.sleep(0.7)
    assert process.poll() is None, "killed too late"
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = copied(old, into)
    assert 0 < rest < total, (rest, total)
    print(f"killed after {total - rest} of {total} records")


def check(space, toy, bootstrap):
    plain, fixed = space.path / "plain.ini", space.path / "fixed.ini"
    plain.write_text("[source dev]\n")
    fixed.write_text("[source dev]\noperator = yes\n")
    lines = tabiji("generate", "--events", EVENTS, "--seed", "8").splitlines()
    bad = refused_words() + [event(900, "page_viewed", ids={"login": "w-1"}, pagee={})]
    some = embedded(space, fixed, "some", [*batches(lines[:2000]), bad])
    every = embedded(space, fixed, "every", [*batches(lines), bad])

    old = Generation(space, toy, bootstrap, "old", 2, plain)
    collect, work, sink = old.collect(), old.work("a"), old.sink()
    emit(old.port, lines[:2000])
    assert post(old.port, "/v1/events", bad)[0] == 200
    old.options[1] = fixed  # the fix, though the collector still has the old door
    second = subprocess.run([PROGRAM, "work", "--slot", "a", "--state", old.path / "state", *old.options], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "slot a in" in second.stderr and "another process owns" in second.stderr, second
    rejected_again(old, some)
    old.run("replay", "--into", space.path / "shadow")
    same("derived anew from the topics", dump(space.path / "shadow"), some)

    killed(old, "new")
    for dry in ((), ("--dry-run",)):
        said = old.run("repartition", "--partitions", 4, "--into", "new", *dry, code=2).stderr
        assert "new.events.v1 is there with 3 partitions, not 4" in said and "--into" in said and "--drop new --confirm" in said, said
    emit(old.port, lines[2000:2500])  # the collector has not been told yet
    new = Generation(space, toy, bootstrap, "new", 3, fixed)
    work_new, sink_new, collect_new = new.work("b"), new.sink(), new.collect()
    emit(new.port, lines[2500:])
    emit(old.port, lines[2400:2600])  # both run for a while
    assert stop(collect) == 0
    assert copied(old, "new") == 700 and copied(old, "new") == 0
    new.settled("the new generation", every)
    assert rows(new.database, "SELECT count(*) FROM event") == [(EVENTS + 20,)]
    for process in (work, sink, work_new, sink_new, collect_new):
        assert stop(process) == 0, process.args
    new.run("repartition", "--drop", "old", code=2)
    new.run("repartition", "--drop", "new", "--confirm", code=2)
    assert "12 topics" in new.run("repartition", "--drop", "old", "--confirm").stdout
    new.run("repartition", "--drop", "old", "--confirm", code=4)


def main():
    toy = sys.argv[1]
    with Workspace() as space:
        with kafka_broker.of(space) as (bootstrap, _):
            check(space, toy, bootstrap)


if __name__ == "__main__":
    main()
