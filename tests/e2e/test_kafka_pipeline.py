#!/usr/bin/env python3
"""The same events through `collect`, two of `work`, and `sink` on a real broker leave the same tables as the embedded
program, to the byte; also when workers and the sink are killed in the midst, and when events come twice and in another
order."""
import json
import os
import random
import sqlite3
import subprocess
import sys
import time

import kafka_broker
import model_check
from harness import LONG, PROGRAM, ROOT, SHARED, Workspace, free_port, same, stop, tabiji, wait_until
from test_http import ready

SEED = int(os.environ.get("TABIJI_SEED", "20261122"))
EVENTS = 60000 if LONG else 6000
SOURCE = ["--set", "collector.open_source=dev"]  # and the file of an operator
SETTLED_SECONDS = 240


MODELS = [word for option in ("journey.lead_types=signed_up", "journey.opportunity_types=store_visited", "model.w_shape.kind=w_shape",
                              "model.week.kind=time_decay", "model.week.half_life_days=2", "model.week.journey=reset",
                              "model.part.kind=participation") for word in ("--set", option)]


def dump(data):
    return tabiji("state", "dump", "--data", data)


def digest(data):
    try:
        return tabiji("state", "digest", "--data", data)
    except AssertionError:
        return ""  # the database is not there yet


def emit(port, lines):
    run = subprocess.run([PROGRAM, "emit", "--url", f"http://127.0.0.1:{port}"], input="\n".join(lines) + "\n", text=True,
                         capture_output=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]


def touch_credits(data):
    """Credits of touches by models that are solved: those of one run."""
    return sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True).execute(
        "SELECT person, conversion_id, model, touch_index, weight_ppb, credited_revenue_minor, model_version FROM model_credit "
        "ORDER BY 1, 2, 3, 4").fetchall()


class Cluster:
    """The programs of the Kafka mode, with one data directory each."""

    def __init__(self, space, toy, bootstrap, name):
        self.space, self.toy, self.bootstrap, self.name = space, toy, bootstrap, name
        self.path = space.path / name
        self.path.mkdir()
        self.options = ["--set", f"data.dir={self.path}/data", "--set", "stream.driver=kafka", "--set", f"kafka.bootstrap.servers={bootstrap}",
                        "--set", f"stream.prefix={name}", "--set", f"stream.group={name}",
                        "--set", "stream.partitions=4", "--set", "worker.batch_records=1000", "--set", "attribution.solve_interval=1 s", "--set", "kafka.consumer.session.timeout.ms=2000",
                        "--set", "kafka.consumer.heartbeat.interval.ms=500"]
        self.options += MODELS
        self.database = self.path / "sink"
        self.started = 0
        self.kills_in_work = 0
        self.threads = {}  # by slot, where they are more than one

    def start(self, *arguments):
        self.started += 1
        log = self.path / f"{self.started}-{arguments[0]}.log"
        process = self.space.start(*map(str, arguments), *self.options, stderr=open(log, "w"))
        process.log = log
        return process

    def collect(self):
        self.port = free_port()
        process = self.start("collect", "--listen", f"127.0.0.1:{self.port}", *SOURCE)
        wait_until(lambda: ready(self.port), "the collector")
        return process

    def work(self, slot, state="state"):
        threads = ("--threads", self.threads[slot]) if slot in self.threads else ()
        return self.start("work", "--slot", slot, "--state", self.path / state, *threads)

    def sink(self):
        return self.start("sink", "--data", self.database)

    def quiet(self, seconds):
        """Whether all that was appended has been worked through, within the seconds given."""
        environment = {**os.environ, "TOY_BROKER": self.bootstrap, "TOY_GROUP": self.name, "TOY_PREFIX": self.name}
        run = subprocess.run([self.toy, "wait", str(seconds)], env=environment, timeout=seconds + 60, capture_output=True)
        return run.returncode == 0

    def kill(self, worker, slot):
        """Kills a worker, starts it again; counts whether there was work left to do."""
        self.kills_in_work += not self.quiet(0)
        worker.kill()
        worker.wait()
        return self.work(slot)

    def check(self, what, wanted_digest, wanted_dump, wanted_credits):
        assert self.quiet(120), "the workers do not come to the end"
        end = time.monotonic() + SETTLED_SECONDS
        while digest(self.database) != wanted_digest and time.monotonic() < end:
            time.sleep(0.5)
        same(what, dump(self.database), wanted_dump)
        self.check_models()
        assert len({row[2] for row in wanted_credits}) > 1, "no credits of solved models"
        wait_until(lambda: touch_credits(self.database) == wanted_credits, "the same credits of touches")

    def check_models(self):
        """Counts of all partitions add up to those of the paths; the sink solves them at its next interval."""
        partitions = len({p for p, in sqlite3.connect(self.database / "tabiji.db").execute("SELECT partition FROM model_transition")})
        assert partitions > 1, "all persons in one partition"
        end, solved = time.monotonic() + 60, None
        while not solved:
            try:
                solved = model_check.check(self.database)
            except (AssertionError, KeyError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        print(f"models: {solved[0]} counts of {partitions} partitions, {solved[1]} figures")


def embedded(space, lines):
    """What the embedded program makes of the events."""
    data, port = space.path / "embedded", free_port()
    process = space.start("run", "--data", data, "--listen", f"127.0.0.1:{port}", *SOURCE, *MODELS)
    wait_until(lambda: ready(port), "the collector")
    emit(port, lines)
    assert stop(process) == 0
    # Started again, it has nothing to do but what was left.
    process = space.start("run", "--data", data, "--listen", f"127.0.0.1:{port}", *SOURCE, *MODELS)
    wait_until(lambda: ready(port), "the collector")
    seen = None
    while digest(data) != seen:
        seen = digest(data)
        time.sleep(2)
    assert stop(process) == 0
    tabiji("attribute", "--data", data, "--save", *MODELS)
    return digest(data), dump(data), touch_credits(data)


def words(lines):
    """What an operator says of them: logins linked, one of them taken back, a login and its cookie parted."""
    ids = [json.loads(line)["ids"] for line in lines]
    logins = sorted({i["login"] for i in ids if isinstance(i.get("login"), str)})[:40]
    pairs = [({"login": a}, {"login": b}) for a, b in zip(logins[::2], logins[1::2])]
    parted = next(({"login": i["login"]}, {"cookie": i["cookie"]}) for i in ids
                  if isinstance(i.get("login"), str) and isinstance(i.get("cookie"), str) and i["login"] not in logins)
    said = [(a, b, 1, "2026-11-21T10:00:00Z") for a, b in pairs] + [(*pairs[0], -1, "2026-11-21T11:00:00Z"), (*parted, -1, "2026-11-21T12:00:00Z")]
    return [json.dumps({"id": f"word-{n}", "type": "identity_linked" if sign > 0 else "identity_unlinked", "time": at, "ids": a,
                        "evidence": {"a": a, "b": b, "sign": sign, "reason": "test"}}) for n, (a, b, sign, at) in enumerate(said)]


def long_away(cluster, sink, wanted):
    """A sink that stopped so long ago that tombstones may have gone since reads all anew, and what it had is gone."""
    assert stop(sink) == 0
    db = sqlite3.connect(cluster.database / "tabiji.db")
    db.execute("UPDATE sink_position SET next = next - 3 * 86400 * 1000 WHERE topic LIKE '%.seen'")
    assert db.execute("UPDATE session SET session_key = zeroblob(16) WHERE session_key = (SELECT min(session_key) FROM session)").rowcount == 1
    db.commit()
    db.close()
    sink = cluster.sink()
    cluster.check("a sink that was away for three days", *wanted)
    return sink


def erase(space, cluster, lines):
    """A person erased through the collector: a receipt with nothing left over, the tables as after the same on the embedded ones."""
    data = space.path / "embedded"
    login = max(json.loads(line)["ids"].get("login", "") for line in lines)
    said = [json.loads(tabiji("erase", "--json", "--confirm", *where, f"login:{login}")) for where in (
        ["--data", data, *MODELS], ["--database", cluster.database / "tabiji.db", "--url", f"http://127.0.0.1:{cluster.port}", "--wait", 60])]
    for receipt in said:
        receipt.pop("receipt_id")
    assert said[0] == said[1] and said[1]["events"] > 0 and said[1]["left_over"] == 0, said
    assert login not in dump(cluster.database)
    tabiji("attribute", "--data", data, "--save", *MODELS)
    cluster.check("a person erased", digest(data), dump(data), touch_credits(data))


def check_generated(space, toy, bootstrap, rng):
    lines = tabiji("generate", "--events", EVENTS, "--seed", "5").splitlines()
    lines += words(lines)
    wanted = embedded(space, lines)
    cluster = Cluster(space, toy, bootstrap, "plain")
    collect = cluster.collect()
    workers = [cluster.work(slot) for slot in ("a", "b")]
    sink = cluster.sink()
    emit(cluster.port, lines)
    cluster.check("collect, two of work, sink", *wanted)
    sink = long_away(cluster, sink, wanted)
    erase(space, cluster, lines)
    for process in (*workers, sink, collect):
        assert stop(process) == 0, process.args
    refused = cluster.start("work", "--slot", "c", "--state", cluster.path / "state", "--set", "identity.generic_up=4")
    assert refused.wait(60) == 2, "a worker with other settings than those the changelog was written with"
    said = (cluster.path / f"{cluster.started}-work.log").read_text()
    assert "kafka_meaning" in said and "generic up 5" in said and "generic up 4" in said, said

    cluster = Cluster(space, toy, bootstrap, "rough")
    cluster.threads = {"a": 2}
    collect = cluster.collect()
    workers = {slot: cluster.work(slot) for slot in ("a", "b")}
    sink = cluster.sink()
    shuffled = lines + rng.sample(lines, len(lines) // 10)
    rng.shuffle(shuffled)
    step = len(shuffled) // 6
    for at in range(0, len(shuffled), step):
        emit(cluster.port, shuffled[at:at + step])
        slot = rng.choice("ab")
        time.sleep(rng.random() * 2)
        workers[slot] = cluster.kill(workers[slot], slot)
        if rng.random() < 0.5:
            sink.kill()
            sink.wait()
            sink = cluster.sink()
    # Its other thread is in the midst of something, too.
    emit(cluster.port, shuffled)
    workers["a"] = cluster.kill(workers["a"], "a")
    assert cluster.kills_in_work > 0, "each kill came too late"
    cluster.check("shuffled, a tenth twice, workers and sink killed", *wanted)
    for thread in (0, 1):
        assert f"thread {thread}: " in workers["a"].log.read_text(), "two threads"
    fence_thread(cluster, workers, lines)
    for process in (*workers.values(), sink, collect):
        assert stop(process) == 0, process.args


def fence_thread(cluster, workers, lines):
    """A process that takes over the name of one of two threads: that one's error ends its process, the other thread leaves as
    it should."""
    cluster.threads = {}
    taker = cluster.work("a", "elsewhere")
    end = time.monotonic() + 60
    while workers["a"].poll() is None and time.monotonic() < end:
        emit(cluster.port, lines[:500])
    assert workers["a"].wait(30) == 1, workers["a"].returncode
    said = workers["a"].log.read_text()
    failed = [json.loads(line) for line in said.splitlines() if '"event":"worker_failed"' in line]
    assert [(line["thread"], line["error"]) for line in failed] == [(0, "fenced")], said[-2000:]
    assert workers["b"].poll() is None and taker.poll() is None
    workers["a"] = taker


def check_real_file(space, toy, bootstrap):
    source = SHARED / "data" / "journeys" / "attribution_data.csv"
    mapping = ROOT / "deploy" / "mappings" / "touch-log.ini"
    if not source.exists():
        print(f"without the real file: {source} is absent")
        return
    once = space.path / "file-embedded"
    tabiji("import", "--data", once, "--mapping", mapping, source, *MODELS)
    cluster = Cluster(space, toy, bootstrap, "file")
    workers = {slot: cluster.work(slot) for slot in ("a", "b")}
    sink = cluster.sink()
    cluster.quiet(20)  # both have their partitions
    importing = cluster.start("import", "--data", cluster.path / "import", "--mapping", mapping, source)
    for slot in ("a", "b", "a"):
        time.sleep(0.7)
        workers[slot] = cluster.kill(workers[slot], slot)
    assert cluster.kills_in_work > 1, "the kills came too late"
    assert importing.wait(300) == 0
    cluster.check("the real file, workers killed in the midst", digest(once), dump(once), touch_credits(once))
    for process in (*workers.values(), sink):
        assert stop(process) == 0, process.args


def main():
    toy = sys.argv[1]
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    with Workspace() as space:
        operator = space.path / "operator.ini"
        operator.write_text("[source dev]\noperator = yes\n")
        SOURCE.extend(["--config", operator])
        with kafka_broker.of(space) as (bootstrap, _):
            check_generated(space, toy, bootstrap, rng)
            check_real_file(space, toy, bootstrap)


if __name__ == "__main__":
    main()
