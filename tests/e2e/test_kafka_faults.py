#!/usr/bin/env python3
"""Faults strike a running pipeline on a real broker, one after the other: each is seen to have fired, and after each all that was
acknowledged is in the sink, once. At the end the tables are those of the embedded program.

The numbers are those of the list of faults. With TABIJI_LONG=1 more of each kind, and a rotation of an hour.
TABIJI_FAULTS="NAME ..." runs those alone (functions of this file, coordinators_move and rotation among them)."""
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import kafka_broker
from harness import LONG, Workspace, skip, stop, wait_until
from kafka_ledger import check_sets, memory_kib, read_sink, reset_peak
from kafka_pipeline import Pipeline, numbered
from kafka_proxy import END_TXN, Proxy
from test_http import post
from test_kafka_driver import asleep

SEED = int(os.environ.get("TABIJI_SEED", "20261127"))
EVENTS = 60000 if LONG else 12000
AWAY_EVENTS = 20000 if LONG else 1000
CHOSEN = os.environ.get("TABIJI_FAULTS", "").split()
MEMORY_KIB = 24 << 10  # more than before, while Kafka is away


def collector_killed(p, proxy, broker):
    """1: killed before it appends, after, before it replies."""
    for point in ("collector_parsed", "collector_appended", "collector_reply"):
        stop(p.collector)
        p.collect(fault=f"{point}:{p.rng.randint(2, 6)}:kill")
        p.feed_until(lambda: p.collector.poll() is not None, point)
        assert p.collector.returncode == -signal.SIGKILL, p.collector.returncode
        p.durable()
        p.collect()
    p.settle("1 collector killed")


def brokers_away(p, proxy, broker):
    """9: events go to the spool, memory stays flat; killed, it starts without Kafka and goes on; then full: 503."""
    p.feed(100)
    proxy.cut()
    reset_peak(p.collector)
    before = memory_kib(p.collector)
    assert set(p.feed(AWAY_EVENTS)) == {200}, p.ledger.statuses
    assert proxy.fired["cut"] > 0 and p.metric("tabiji_spool_state") == 1
    status, text = p.page("/readyz")
    assert status == 200 and "spool" in text, text
    grown = memory_kib(p.collector) - before
    assert grown < MEMORY_KIB, f"I7: {grown} KiB more while Kafka is away"
    kept = p.metric("tabiji_spool_records")
    assert kept >= AWAY_EVENTS, kept
    p.end(p.collector)
    p.durable()
    p.collect()
    assert "spool_found" in p.said(p.collector)
    assert set(p.feed(200)) == {200} and p.metric("tabiji_spool_records") == kept + 200
    assert stop(p.collector) == 0
    p.collect("--set", f"spool.size_max={int(sum(f.stat().st_size for f in p.spool.glob('*.spool'))) + 20000}")
    refused = p.ledger.statuses[503]
    p.feed_until(lambda: p.ledger.statuses[503] > refused, "a full spool")
    assert p.metric("tabiji_spool_state") == 2 and p.page("/readyz")[0] == 503 and "spool_full" in p.said(p.collector)
    proxy.heal()
    p.settle("9 brokers away, spool full")
    assert not list(p.spool.glob("*.spool")) and p.page("/readyz") == (200, "ok\n")
    stop(p.collector)
    p.collect()


@contextlib.contextmanager
def small_disk(path, size):
    """A tmpfs; None where none can be had."""
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tabiji-test", path], capture_output=True)
    if mounted.returncode != 0:
        print(f"without a full disk: {mounted.stderr.decode().strip()}")
        yield None
        return
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def grow(disk):
    subprocess.run(["mount", "-o", "remount,size=2g", disk], check=True)  # a rotation of an hour makes a state of 100 MiB and more


def bad_row(p, proxy, broker):
    """20: among results one that cannot be read: it alone is set aside, by each sink."""
    topic = "faults.rejected.v1"
    p.ledger.send(p.port, [json.dumps({"id": "f-6000000", "type": "page_viewed", "pagee": {}})])  # one that can be read
    assert "f-6000000" in p.ledger.refused
    p.settle("a rejection")
    frame = subprocess.run(["kcat", "-b", p.bootstrap, "-q", "-C", "-e", "-c", "1", "-t", topic, "-f", "%s"], capture_output=True,
                           check=True).stdout[:5]
    assert len(frame) == 5 and frame[:1] == b"\0", frame
    p.feed(50)
    subprocess.run(["kcat", "-b", p.bootstrap, "-P", "-t", topic, "-k", "bad"], input=frame + b"\xff\xff no Avro", check=True)
    p.feed(50)

    def set_aside():
        db = sqlite3.connect(f"file:{p.database}?mode=ro", uri=True)
        try:
            return db.execute("SELECT key, reason FROM sink_rejected").fetchall()
        finally:
            db.close()
    wait_until(lambda: set_aside() == [(b"bad", "bad_avro")], "the bad row to be set aside")
    p.settle("20 bad row")


def topic_vanishes(p, proxy, broker):
    """14: the events' topic is in no metadata for a while, then it is back: nobody ends for it."""
    p.feed(50)
    proxy.hide("faults.events.v1")
    p.feed_until(lambda: proxy.fired["hidden"] > 2 and "from 4 to 0" in p.said(p.workers["a"]), "a vanished topic")
    time.sleep(60 if LONG else 1)
    p.feed(50)
    assert p.collector.poll() is None, p.said(p.collector)
    proxy.heal()
    p.settle("14 topic vanishes")
    for worker in p.workers.values():
        assert worker.poll() is None, p.said(worker)


def disk_full(p, proxy, broker):
    """22: the disk of the spool, in the long run then of a worker's state, has no room: 503 and waiting, no end; then it has."""
    with small_disk(p.path / "small-spool", "300k") as disk:
        if not disk:
            return
        stop(p.collector)
        p.collect("--set", f"spool.dir={disk}")
        proxy.cut()
        full = p.ledger.statuses[503]
        p.feed_until(lambda: p.ledger.statuses[503] > full, "a full disk", count=50, pause=0)
        assert p.collector.poll() is None and "the disk has no room" in p.said(p.collector)
        grow(disk)
        assert set(p.feed(100)) == {200} and p.page("/readyz")[0] == 200
        proxy.heal()
        p.settle("22 disk of the spool full")
        stop(p.collector)
    p.collect()
    if LONG:
        state_disk_full(p)


def state_disk_full(p):
    for slot in list(p.workers):
        assert stop(p.workers[slot]) == 0
    with small_disk(p.path / "small-state", "1400k") as disk:
        state, p.state = p.state, disk
        worker = p.work("small")
        p.feed_until(lambda: '"full"' in p.said(worker), "a full disk", count=50)
        assert worker.poll() is None, p.said(worker)
        grow(disk)
        p.settle("22 disk of the state full")
        assert stop(worker) == 0
        p.state = state
    del p.workers["small"]
    for slot in p.workers:
        p.work(slot, through=slot == "a")


def sync_fails(p, proxy, broker):
    """23: fsync of the spool fails: the collector ends, without asking again; what it had acknowledged stays."""
    trigger = p.path / "fail-sync"
    stop(p.collector)
    p.collect(environment={"LD_PRELOAD": p.fail_sync, "TABIJI_FAIL_SYNC": str(trigger)})
    proxy.cut()
    assert set(p.feed(100)) == {200}
    trigger.touch()
    p.feed_until(lambda: trigger.stat().st_size > 0, "a failing fsync")
    assert p.collector.wait(30) == 1 and "spool_failed" in p.said(p.collector), p.said(p.collector)
    assert trigger.stat().st_size == 1, "fsync was asked again"
    p.durable()
    trigger.unlink()
    p.collect()
    proxy.heal()
    p.settle("23 fsync fails")


def worker_killed(p, proxy, broker):
    """2: killed at places of a batch, the commit's among them."""
    for point in POINTS if LONG else p.rng.sample(POINTS, 1):
        for hit in (1, 2, 7) if LONG else (p.rng.randint(1, 3),):
            assert stop(p.workers["b"]) == 0
            worker = p.work("b", fault=f"{point}:{hit}:kill")
            p.feed_until(lambda: worker.poll() is not None, point)
            assert worker.returncode == -signal.SIGKILL, worker.returncode
            p.work("b")
    p.settle("2 worker killed")


def broker_restart(p, proxy, broker):
    """8: the broker is killed and comes back."""
    p.feed(200)
    kafka_broker.stop(broker, signal.SIGKILL)
    spooled = p.metric("tabiji_spool_spooled_total")
    assert set(p.feed(200)) == {200}
    assert p.metric("tabiji_spool_spooled_total") > spooled, "the broker was not missed"
    kafka_broker.launch(broker)
    p.settle("8 broker restart")


def half_open(p, proxy, broker):
    """15, 33: connections stand, nothing comes through; the worker's transaction outlives it or is begun anew."""
    proxy.silence()
    held = proxy.fired["held"]
    spooled = p.metric("tabiji_spool_spooled_total")
    p.feed(200)
    assert proxy.fired["held"] > held and p.metric("tabiji_spool_spooled_total") > spooled
    time.sleep(30 if LONG else 1)
    proxy.heal()
    p.settle("15, 33 half-open")


def slow_network(p, proxy, broker):
    """17: everything takes longer."""
    proxy.delay, proxy.bytes_per_second = 0.05, 200000
    p.feed(1000 if LONG else 200)
    assert proxy.fired["slowed"] > 0
    proxy.heal()
    p.settle("17 slow network")


def leader_not_ready(p, proxy, broker):
    """10: a leader refuses the first request of a new producer and takes what is behind it: were it in flight, too, the first would
    be taken for a duplicate, and be lost."""
    stop(p.collector)
    p.collect("--set", "collector.body_size_max=8 MiB", "--set", "kafka.batch.num.messages=1")
    proxy.refusing = 1
    lines = [json.dumps({"id": f"f-{8000000 + n}", "type": "page_viewed", "time": "2026-11-20T10:00:00Z", "sequence": n, "ids": {"cookie": "one"}})
             for n in range(40)]
    p.ledger.send(p.port, lines)
    assert proxy.fired["not leader"] > 0
    p.settle("10 leader not ready")
    stop(p.collector)
    p.collect()


def end_unknown(p, proxy, broker):
    """11: the reply to EndTxn is lost; the transaction has ended all the same."""
    name = f"swallowed {END_TXN}"
    for count in (1, 2, 60) if LONG else (2,):
        wanted = proxy.fired[name] + min(count, 3)
        proxy.swallow(END_TXN, count)
        p.feed_until(lambda: proxy.fired[name] >= wanted, "a lost reply to EndTxn")
        if count > 3:
            time.sleep(20)  # longer than one commit is waited for
        proxy.heal()
        p.settle(f"11 EndTxn unknown, {count} replies lost")


def zombie(p, proxy, broker):
    """12: asleep past its session and its transaction; others have its partitions when it wakes."""
    asleep = p.workers["a"]
    assigned, had = (p.said(p.workers[slot]).count("kafka_assigned") for slot in ("b", "a"))
    p.feed(200)
    asleep.send_signal(signal.SIGSTOP)
    p.feed_until(lambda: p.said(p.workers["b"]).count("kafka_assigned") > assigned, "the take-over")
    time.sleep(6 if LONG else 3.5)
    p.feed(200)
    asleep.send_signal(signal.SIGCONT)
    p.feed(200)
    p.settle("12 zombie")
    if asleep.poll() is not None:
        p.work("a", through=True)
    else:  # a zombie that has no partitions yet when it sleeps again would be missed by nobody
        p.feed_until(lambda: p.said(asleep).count("kafka_assigned") > had, "its return to the group")


def rebalance_storm(p, proxy, broker):
    """13: a third worker comes and goes."""
    assigned = p.said(p.workers["b"]).count("kafka_assigned")
    turns = 20 if LONG else 1
    for turn in range(turns):
        guest = p.work(f"guest-{turn % 2}")
        p.feed_until(lambda: "kafka_assigned" in p.said(guest), "the join")
        if turn % 2:
            p.end(guest)
        else:
            assert stop(guest) == 0
        del p.workers[f"guest-{turn % 2}"]
    assert p.said(p.workers["b"]).count("kafka_assigned") >= assigned + turns
    p.settle("13 rebalance storm")


def slow_sink(p, proxy, broker):
    """18, 19: one sink asleep, then killed: another is not held up; it follows when it is back."""
    slow, database = p.sink("slow"), p.path / "slow" / "tabiji.db"
    wait_until(database.exists, "the second sink")
    p.arrived(database)
    slow.send_signal(signal.SIGSTOP)
    p.feed(2000 if LONG else 200)
    p.settle("18 slow sink, the other")
    p.end(slow)  # it may have gone to sleep in a transaction
    stored = read_sink(database)[0]
    assert len(set(stored) | p.ledger.refused) < len(p.ledger.acknowledged), "the sink was not slow"
    p.feed(2000 if LONG else 200)
    p.slow = p.sink("slow")
    p.arrived(database)
    check_sets(p.ledger, *read_sink(database), settled=True)


def damaged_state(p, proxy, broker):
    """24, 25, 26: local state cut short, overwritten, or of long ago; and a second process on it."""
    second = p.start("work", "--slot", "b", "--state", p.state)
    assert second.wait(30) == 1 and "another process owns" in p.said(second), p.said(second)
    second = p.start("collect", "--listen", "127.0.0.1:0", "--set", f"spool.dir={p.spool}")
    assert second.wait(30) == 1 and "another process has it" in p.said(second), p.said(second)
    stores = p.state / "b"
    for how in ("overwritten", "cut", "old") if LONG else ("cut",):
        assert stop(p.workers["b"]) == 0
        files = sorted(stores.glob("*/data.mdb"))
        assert len(files) > 3, files
        if how == "old":
            shutil.rmtree(stores)
            shutil.copytree(p.path / "old-state", stores)
        for file in files if how != "old" else ():
            if how == "cut":
                os.truncate(file, 8192 + 100)
            else:
                file.write_bytes(b"damaged " * 4096)
        p.feed(100)
        p.work("b")
        p.settle(f"24, 25 state {how}")
        found = p.said(p.workers["b"])
        fired = re.search(r'kafka_restored","text":"[1-9]', found) if how == "old" else "kafka_rebuild" in found
        assert fired, (how, found)


def duplicates(p, proxy, broker):
    """28, 29: a tenth comes again, shuffled, some late; and other bodies under known ids."""
    again = p.rng.sample(p.lines[:p.at], p.at // 10)
    late = p.lines[p.at:p.at + 200]
    p.at += 200
    mixed = again + late[::-1]
    p.rng.shuffle(mixed)
    for at in range(0, len(mixed), 50):
        assert p.ledger.send(p.port, mixed[at:at + 50], ordered=False) == 200
    for line in p.rng.sample(again, 5):
        event = json.loads(line)
        p.ledger.send_conflict(p.port, json.dumps({**event, "properties": {"other": "body"}}))
    p.settle("28, 29 duplicates, shuffled, late")


def sigterm(p, proxy, broker):
    """37: all end at once under load, with 0 and no open transaction."""
    stopped, begun, unanswered = threading.Event(), time.monotonic(), p.ledger.statuses[None]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(lambda: [p.feed(5, batch=5) for _ in iter(lambda: stopped.wait(0.02), True)])
        time.sleep(0.5)
        everything = (p.collector, *p.workers.values())
        for process in everything:
            process.send_signal(signal.SIGTERM)
        for process in everything:
            assert process.wait(30) == 0, process.args
        took = time.monotonic() - begun
        stopped.set()
        assert len(feeding.result()) > 10 and p.ledger.statuses[None] > unanswered, "there was no load"
    p.collect()
    for slot in list(p.workers):
        p.work(slot, through=slot == "a")
    assert took < 30
    p.settle(f"37 SIGTERM under load, {took:.1f} s")


def reloaded(p, proxy, broker):
    """38: SIGHUP amid work: a level taken over by all, then a file that is not sound, by none."""
    everything = (p.collector, *p.workers.values(), p.main_sink)
    for text, event in (("[log]\nlevel = debug\n", '"reloaded"'), ("[log]\nlevels = error\n", "reload_refused"), ("", '"reloaded"')):
        p.config.write_text(text)
        before = [p.said(process).count(event) for process in everything]
        p.feed(20)
        for process in everything:
            process.send_signal(signal.SIGHUP)
        p.feed_until(lambda: all(p.said(process).count(event) > n for process, n in zip(everything, before)), event)
        assert all(process.poll() is None for process in everything), text
    p.settle("38 SIGHUP")


def all_killed(p, proxy, broker):
    """40: every worker in the midst of its transaction."""
    for slot in list(p.workers):
        assert stop(p.workers[slot]) == 0
        p.work(slot, fault=f"kafka_offsets_sent:{p.rng.randint(2, 3)}:stop")
    p.feed_until(lambda: all(map(asleep, p.workers.values())), "sleep in a transaction")
    for slot, process in list(p.workers.items()):
        p.end(process)
        p.work(slot, through=slot == "a")
    p.settle("40 all workers killed mid-transaction")


def huge(p, proxy, broker):
    """32: the largest event, one byte less, one more."""
    def event(n, size):
        return json.dumps({"id": f"f-{9000000 + n}", "type": "page_viewed", "time": "2026-11-20T10:00:00Z", "ids": {"cookie": "huge"},
                           "properties": {"text": "x" * size}})
    low, high = 1000, 100000
    while high - low > 1:
        middle = (low + high) // 2
        status, text = post(p.port, "/v1/events/validate", event(0, middle))
        low, high = (middle, high) if status == 200 and json.loads(text)["accepted"] == 1 else (low, middle)
    for n, size in enumerate((low - 1, low, low + 1)):
        p.ledger.send(p.port, [event(n, size), event(n + 10, 10)])
    assert p.ledger.refused == {"f-9000002"}, p.ledger.refused
    p.settle(f"32 huge events, {low} bytes of text at most")


def poison_mail(p, proxy, broker):
    """30: mail between stages that ends the worker, once it came by its topic, once within a worker: after three ends that mail, or the
    event that it came of, is in rejected, and can be put in again."""
    def set_aside():
        db = sqlite3.connect(f"file:{p.database}?mode=ro", uri=True)
        try:
            return [row[0] for row in db.execute("SELECT source FROM rejected WHERE reason = 'crashes' AND stage = 'kafka' ORDER BY source")]
        finally:
            db.close()

    sources = []
    for n, (source, first) in enumerate((("journey", "kafka_relay:1:error,"), ("events", ""))):
        for slot in list(p.workers):
            assert stop(p.workers[slot]) == 0
        assert p.ledger.send(p.port, [json.dumps({"id": f"f-{7000000 + n}", "type": "page_viewed", "time": "2026-11-20T10:00:00Z",
                                                  "ids": {"cookie": f"poison-{n}"}})]) == 200
        sources = sorted([*sources, source])
        ends = 0
        while set_aside() != sources:
            worker = p.work("a", fault=(first if ends == 0 else "") + "kafka_mail:1:kill")
            wait_until(lambda: worker.poll() is not None or set_aside() == sources, f"the worker to end, or {source} to be set aside")
            ends += worker.poll() == -signal.SIGKILL
        assert 2 <= ends <= 3, ends  # two where ends before are remembered, and each record is noted
        p.end(worker)
        for slot in list(p.workers):
            p.work(slot, through=slot == "a")
    again = ("rejected", "replay", "--reason", "crashes", "--json", "--database", p.database)
    said = json.loads(p.run(*again).stdout)
    assert (said["accepted"], said["refused"], said["left"]) == (2, 0, 0), said
    p.settle("30 poisoned mail, put in again")
    assert set_aside() == [] and json.loads(p.run(*again).stdout)["accepted"] == 0


def upgrade(p, proxy, broker):
    """39: worker by worker, then the sink, then the collector and its spool become those of a newer build, whose records the older one
    does not know: whenever that meets one it ends, and leaves it to the newer. Back: refused likewise, and nothing is changed."""
    def refuses(process, what):
        p.feed_until(lambda: process.poll() is not None, what)
        assert process.returncode == 1 and "newer" in p.said(process), (what, process.returncode, p.said(process)[-2000:])

    assert stop(p.workers["b"]) == 0
    p.work("b", program=p.newer)
    refuses(p.workers["a"], "an older worker beside a newer one")
    refuses(p.main_sink, "an older sink")
    if p.slow:
        refuses(p.slow, "another older sink")
        p.slow = p.sink("slow", program=p.newer)
    p.work("a", program=p.newer, through=True)
    p.main_sink = p.sink(program=p.newer)
    assert stop(p.collector) == 0
    p.collect(program=p.newer)
    proxy.cut()
    assert set(p.feed(100)) == {200} and p.metric("tabiji_spool_records") > 0
    assert stop(p.collector) == 0
    proxy.heal()
    older = p.collect(wait=False)
    refuses(older, "an older collector before a newer spool")
    assert stop(p.workers["b"]) == 0
    files = {f: f.read_bytes() for f in (p.state / "b").glob("*/data.mdb")}
    older = p.start("work", "--slot", "b", "--state", p.state)
    assert older.wait(60) == 1 and "newer" in p.said(older), p.said(older)[-2000:]
    assert {f: f.read_bytes() for f in files} == files, "an older worker has changed a newer one's state"
    p.program = p.newer
    p.collect()
    p.work("b")
    p.settle("39 upgraded, an older build in between")


def rotation(p, proxy, broker):
    """42: all of the above in random order, for TABIJI_ROTATION_SECONDS."""
    end = time.monotonic() + int(os.environ.get("TABIJI_ROTATION_SECONDS", "3600"))
    turns = collections.Counter()
    while time.monotonic() < end:
        fault = p.rng.choice([f for f in FAULTS + LONG_FAULTS if f not in ONCE])
        print(f"turn {turns.total() + 1}: {fault.__name__}", flush=True)
        fault(p, proxy, broker)
        turns[fault.__name__] += 1
    print(f"rotation of {turns.total()} faults, seed {SEED}: {dict(turns)}")


FAULTS = [collector_killed, brokers_away, worker_killed, leader_not_ready, end_unknown, topic_vanishes, rebalance_storm, slow_sink, damaged_state, duplicates,
          huge, bad_row, disk_full, sync_fails, poison_mail, reloaded, sigterm, all_killed]
# Of these test_kafka_driver.py has a slice in the normal run, but for the network's.
LONG_FAULTS = [broker_restart, half_open, slow_network, zombie]
LAST = [upgrade]  # after which all programs are of another build
ONCE = [slow_sink, huge, bad_row, leader_not_ready, poison_mail]  # their second sink, ids and row are there for good
POINTS = ("kafka_consumed", "kafka_produced", "kafka_flushed", "kafka_offsets_sent", "kafka_committed", "kafka_store_committed")


def wanted(fault, always=False):
    return fault.__name__ in CHOSEN if CHOSEN else LONG or always


def run(space, programs, broker, bootstrap, proxy):
    toy, faulty, fail_sync, newer = programs
    p = Pipeline(space, toy, faulty, bootstrap, f"127.0.0.1:{proxy.port}", numbered(EVENTS, 5), SEED)
    p.fail_sync, p.newer = (str(pathlib.Path(path).resolve()) for path in (fail_sync, newer))
    p.collect()
    for slot in ("a", "b"):
        p.work(slot, through=slot == "a")
    p.main_sink = p.sink()
    wait_until(p.database.exists, "the tables")
    p.feed(300)
    p.settle("before any fault")
    assert stop(p.workers["b"]) == 0
    shutil.copytree(p.state / "b", p.path / "old-state")
    p.work("b")
    for fault in [*FAULTS, *LONG_FAULTS, rotation, *LAST]:
        if not wanted(fault, fault in FAULTS + LAST):
            continue
        begun = time.monotonic()
        fault(p, proxy, broker)
        print(f"{fault.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
    also = [p.slow] if p.slow else []
    p.equal([p.path / "slow" / "tabiji.db"] if p.slow else [])
    for process in (p.collector, *p.workers.values(), p.main_sink, *also):
        assert stop(process) == 0, process.args


def coordinators_move(toy, faulty):
    """10: of three brokers one after the other is killed and comes back: leaders and coordinators of groups and transactions move."""
    with Workspace() as space:
        try:
            bootstrap, brokers = kafka_broker.start_three(space.path / "brokers")
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            p = Pipeline(space, toy, faulty, bootstrap, bootstrap, numbered(4000, 6), SEED)
            p.options = {"stream.replication": 3}
            p.collect(through=False)
            for slot in ("a", "b"):
                p.work(slot)
            p.main_sink = p.sink()
            p.feed(200)
            p.settle("three brokers, before any fault")
            for turn, broker in enumerate(brokers * (3 if LONG else 1)):
                kafka_broker.stop(broker, signal.SIGKILL if turn % 2 == 0 else signal.SIGTERM)
                p.feed(200)
                p.settle(f"10 broker {turn % 3 + 1} of three gone")
                kafka_broker.launch(broker)
                p.feed(100)
            moved = [word for word in ("Not coordinator", "NOT_COORDINATOR", "Not leader", "Disconnected") if
                     any(word in p.said(w) for w in p.workers.values())]
            assert moved, "no worker has missed its coordinator"
            print(f"workers have seen: {', '.join(moved)}")
            p.settle("10 coordinators moved")
            p.equal()
            for process in (p.collector, *p.workers.values(), p.main_sink):
                assert stop(process) == 0, process.args
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            for broker in brokers:
                kafka_broker.stop(broker)


def main():
    programs = sys.argv[1:5]
    print(f"seed {SEED}")
    if wanted(coordinators_move):
        coordinators_move(*programs[:2])
    if CHOSEN == ["coordinators_move"]:
        return
    with Workspace() as space:
        proxy = Proxy()
        broker = space.path / "broker"
        try:
            bootstrap, _ = kafka_broker.start(broker, advertised=proxy.port)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            run(space, programs, broker, bootstrap, proxy.start(kafka_broker.proxied_port(broker)))
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            kafka_broker.stop(broker)


if __name__ == "__main__":
    main()
