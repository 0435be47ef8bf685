#!/usr/bin/env python3
"""Exactly once on a real broker: two toy stages (kafka/toy.c) whose result is worked out here by hand, while workers are
killed at named places and at random, sleep past their transaction, lose their state, get old or damaged state back."""
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import kafka_broker
from harness import LONG, Workspace, same, skip, stop, wait_until

NODES, HOPS = 60, 3
PARTITIONS = 4
SEED = int(os.environ.get("TABIJI_SEED", "20261122"))
# Where a worker dies or fails, in the order of a batch.
POINTS = ("kafka_consumed", "kafka_produced", "kafka_flushed", "kafka_offsets_sent", "kafka_committed",
          "kafka_store_committed")


def expected(events):
    """The rows that each distinct event must leave, as `toy dump` prints them."""
    persons, touchpoints, profiles = collections.Counter(), {}, collections.Counter()
    for event in set(events):
        node = event % NODES
        persons[node] += 1
        for _ in range(HOPS):
            node = (node * 31 + event * 7 + 1) % NODES
            persons[node] += 1
        touchpoints[node, event] = 1
        profiles[node] += 1
    rows = [f"persons {node} {n}" for node, n in sorted(persons.items())]
    rows += [f"touchpoints {node} {event} {n}" for (node, event), n in sorted(touchpoints.items())]
    rows += [f"profiles {node} {n}" for node, n in sorted(profiles.items())]
    return "\n".join(rows) + "\n"


class Toy:
    def __init__(self, program, space, bootstrap):
        self.program, self.space = program, space
        self.environment = {**os.environ, "TOY_BROKER": bootstrap, "TOY_NODES": str(NODES), "TOY_BATCH": "40",
                            "TOY_PARTITIONS": str(PARTITIONS), "TOY_STATE": str(space.path / "state")}
        self.events = []
        self.started = 0

    def run(self, *arguments):
        run = subprocess.run([self.program, *map(str, arguments)], env=self.environment, capture_output=True, text=True,
                             timeout=180)
        if run.returncode != 0:
            raise AssertionError(f"toy {arguments}: exit {run.returncode}\n{run.stderr[-3000:]}")
        return run.stdout

    def append(self, first, count):
        self.run("append", first, count, NODES, HOPS)
        self.events += range(first, first + count)

    def work(self, slot, fault=None):
        """Starts a worker; its lines go to files, named in what a failure prints."""
        self.started += 1
        name = self.space.path / f"worker-{self.started}-{slot}"
        environment = {**self.environment, "TOY_SLOT": slot}
        if fault:
            environment["TABIJI_FAULT"] = fault
        process = subprocess.Popen([self.program, "work"], env=environment, stdout=open(f"{name}.out", "w"),
                                   stderr=open(f"{name}.err", "w"))
        process.log = name
        self.space.processes.append(process)
        return process

    def check(self, what):
        self.run("wait", 90)
        rows = self.run("dump").split("\n")
        same(what, "\n".join(row for row in rows if not row.startswith("rejected")), expected(self.events))


def lines(process):
    return pathlib.Path(f"{process.log}.out").read_text().splitlines()


def counts(process):
    """The last line that the worker printed, as a dictionary."""
    words = (lines(process) or [""])[-1].split()
    return collections.defaultdict(int, {k: int(v) for k, v in zip(words[::2], words[1::2])})


def has_worked(process):
    return process.poll() is not None or counts(process)["records"] > 0


def strike(toy, first, faults):
    """Workers beside each other, each until its fault has fired; as long as one has not, there is more to do."""
    toy.append(first, 150)
    workers = {fault: toy.work(f"faulty-{number}", fault) for number, fault in enumerate(faults)}
    more = 0
    while waiting := [f for f, worker in workers.items() if worker.poll() is None and (f.endswith("kill") or "rolled_back" not in errors(worker))]:
        assert more < 60, f"{waiting} did not fire"
        time.sleep(0.3)
        more += 1
        toy.append(first + 150 + 20 * more, 20)
    return workers.values()


def check_faults(toy):
    """Workers die, two at a time, or one fails, at each place of a batch, while another goes on."""
    steady = toy.work("steady")
    kills = (1, 4, 9) if LONG else (1, 4)
    number = 0
    for point in POINTS:
        for worker in strike(toy, 10000 * (number := number + 1), [f"{point}:{hit}:kill" for hit in kills]):
            assert worker.wait(30) == -signal.SIGKILL, worker.returncode
    for point in POINTS:
        worker, = strike(toy, 10000 * (number := number + 1), [f"{point}:2:error"])
        # An outcome that nobody told: the same worker finds out and goes on.
        code, wanted = (stop(worker), 0) if point == "kafka_committed" else (worker.wait(30), 1)
        assert code == wanted, (point, code)
    count = len(POINTS) * (len(kills) + 1)
    toy.check(f"after {count} faults at {len(POINTS)} places")
    assert stop(steady) == 0
    assert counts(steady)["aborts"] <= count * 3


def check_random_kills(toy, rng):
    """Two workers; at random times one is killed and started again."""
    workers = {slot: toy.work(slot) for slot in ("a", "b")}
    for turn in range(12 if LONG else 5):
        toy.append(1000000 + 1000 * turn, 400)
        slot = rng.choice("ab")
        wait_until(lambda: has_worked(workers[slot]), f"worker {slot} to work")
        time.sleep(rng.random())
        workers[slot].kill()
        workers[slot].wait()
        workers[slot] = toy.work(slot)
    toy.check("after random kills")
    assert [stop(worker) for worker in workers.values()] == [0, 0]


def asleep(process):
    return pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def errors(process):
    return pathlib.Path(f"{process.log}.err").read_text()


def put_to_sleep(toy, point, first):
    """A worker that sleeps at a place of its sixth batch, its transaction open."""
    sleepy = toy.work("sleepy", f"{point}:6:stop")
    more = 0
    while not asleep(sleepy):
        assert sleepy.poll() is None and more < 60, "the worker did not go to sleep"
        toy.append(first + 40 * more, 40)
        more += 1
        time.sleep(0.2)
    return sleepy


def check_late_commit(toy):
    """A worker sleeps past its session, with its offsets in the transaction; its partitions are another's when it wakes in
    time to commit. That commit stands, so the other must have waited for it."""
    steady = toy.work("steady")
    wait_until(lambda: "12 partitions" in errors(steady), "the first worker to have all partitions")
    sleepy = put_to_sleep(toy, "kafka_offsets_sent", 1900000)
    all_back = errors(steady).count("12 partitions") + 1
    wait_until(lambda: errors(steady).count("12 partitions") == all_back, "the partitions to be taken over")
    time.sleep(0.5)
    sleepy.send_signal(signal.SIGTERM)  # the commit is the last that it does: it does not come back for its partitions
    sleepy.send_signal(signal.SIGCONT)
    assert sleepy.wait(30) == 0
    toy.append(1950000, 300)
    toy.check("a commit that came after its partitions were taken over")
    assert stop(steady) == 0
    assert counts(sleepy)["commits"] >= 6 and counts(sleepy)["aborts"] == 0, counts(sleepy)


def check_zombie(toy):
    """A worker sleeps in its transaction, past its session and its transaction's time; when it wakes it must not write
    what others have done meanwhile."""
    steady = toy.work("steady")
    for number, point in enumerate(("kafka_produced", "kafka_offsets_sent")):
        first = 2000000 + 100000 * number
        sleepy = put_to_sleep(toy, point, first)
        toy.append(first + 10000, 300)
        toy.check(f"while a worker sleeps at {point}")
        sleepy.send_signal(signal.SIGCONT)
        toy.append(first + 20000, 300)
        toy.check("after it woke up")
        assert stop(sleepy) == 0
        assert counts(sleepy)["aborts"] > 0, counts(sleepy)
    assert stop(steady) == 0


def check_broker_gone(toy, broker):
    """The broker is killed under two workers and a door, stays away, and comes back."""
    workers = [toy.work(slot) for slot in ("a", "b")]
    toy.append(2500000, 300)
    for process in workers:
        wait_until(lambda: has_worked(process), "both workers to work")
    kafka_broker.stop(broker, signal.SIGKILL)
    door = subprocess.Popen([toy.program, "append", "2501000", "300", str(NODES), str(HOPS)], env=toy.environment,
                            stderr=subprocess.DEVNULL)
    toy.space.processes.append(door)
    time.sleep(40 if LONG else 4)
    assert door.poll() is None, "the door said that records are durable without a broker"
    kafka_broker.launch(broker)
    assert door.wait(120) == 0
    toy.events += range(2501000, 2501300)
    toy.check("the broker was away")
    assert [stop(process) for process in workers] == [0, 0]


def check_lost_state(toy):
    """State wiped, of an old copy, damaged: all is restored from the changelog, duplicates stay known."""
    state = toy.space.path / "state"
    old = toy.space.path / "old"
    shutil.copytree(state, old)
    shutil.rmtree(state)
    worker = toy.work("a")
    toy.append(0, 200)
    toy.append(1000000, 400)  # a second time: known only to restored state
    toy.check("state wiped, events resent")
    assert stop(worker) == 0
    assert counts(worker)["restored"] > 1000 and counts(worker)["rebuilt"] == 2 * PARTITIONS, counts(worker)

    shutil.rmtree(state)
    shutil.copytree(old, state)
    copies = sorted((state / "a").glob("*/data.mdb"))
    copies[0].write_bytes(b"damaged " * 4096)
    worker = toy.work("a")
    toy.append(0, 400)
    toy.append(3000000, 200)
    toy.check("an old copy of the state put back, a part of it damaged")
    assert stop(worker) == 0
    absent = 2 * PARTITIONS - len(copies)
    assert counts(worker)["restored"] > 0 and counts(worker)["rebuilt"] == absent + 1, (counts(worker), absent)
    aside = copies[0].parent.with_name(copies[0].parent.name + ".aside") / "data.mdb"
    assert aside.read_bytes() == b"damaged " * 4096 and "is damaged; it is kept aside" in errors(worker), errors(worker)


def check_few_commits(program, space, bootstrap):
    """Events that trickle into many partitions are gathered: transactions are as many as there is time for, not as many as
    there are partitions that something came to."""
    toy = Toy(program, space, bootstrap)
    toy.environment |= {"TOY_PREFIX": "trickle", "TOY_GROUP": "trickle", "TOY_PARTITIONS": "16", "TOY_BATCH": "100000"}
    toy.run("topics")
    toy.append(0, 100)
    worker = toy.work("trickle")
    toy.check("before a trickle")
    for turn in range(20):
        toy.append(1000 + 20 * turn, 20)
    toy.check("after a trickle")
    assert stop(worker) == 0
    done = counts(worker)
    print(f"a trickle: {done['records']} records in {done['commits']} transactions")
    assert done["commits"] < done["records"] / 30, done


def check_bad_input(toy, bootstrap):
    """What is no event goes to `rejected`, and the work goes on; one slot has one process."""
    toy.environment |= {"TOY_BATCH": "100000", "TOY_BYTES": "1"}  # so each batch ends with the first record that touches a row
    worker = toy.work("a")
    subprocess.run(["kcat", "-b", bootstrap, "-q", "-P", "-t", "tabiji.events.v1"], input=b"not a frame\n", check=True)
    toy.append(4000000, 100)
    wait_until(lambda: has_worked(worker), "worker a to work")
    second = toy.work("a")
    assert second.wait(30) == 1
    assert "open: locked" in errors(second)
    toy.check("beside a record that is no event")
    assert sum(row.startswith("rejected") for row in toy.run("dump").splitlines()) == 1
    rejected = subprocess.run(["kcat", "-b", bootstrap, "-q", "-C", "-e", "-t", "tabiji.rejected.v1"], check=True,
                              capture_output=True).stdout
    assert b"not a frame" in rejected and b"bad_avro" in rejected, rejected
    assert stop(worker) == 0
    assert counts(worker)["refused"] == 1, counts(worker)
    assert counts(worker)["commits"] > counts(worker)["records"] / 2 > 100, counts(worker)


def check_poison(toy, bootstrap):
    """An event that ends the worker goes to rejected after three ends, the others go on; so does one of which only a batch is known."""
    refused = 1  # of check_bad_input()
    small = toy.environment.pop("TOY_BYTES")  # mail stays within the worker; refused by itself, its number would be missed
    for name, first, most in (("TOY_POISON", 5000000, 3), ("TOY_POISON_SETTLE", 6000000, 6))[:2 if LONG else 1]:
        bad = first + 17
        toy.append(first, 60)
        toy.events.remove(bad)  # also where its person ends the worker: it came there within the same worker
        toy.environment[name] = str(bad)
        begun, ends = time.monotonic(), 0
        worker = toy.work("a")
        while not (worker.poll() is None and subprocess.run([toy.program, "wait", "2"], env=toy.environment, capture_output=True).returncode == 0):
            if worker.poll() is not None:
                assert worker.returncode == -signal.SIGSEGV, errors(worker)
                ends += 1
                worker = toy.work("a")
            assert ends <= most, f"{name}: {ends} ends"
        assert 3 <= ends <= most and time.monotonic() - begun < 60, (name, ends, time.monotonic() - begun)
        del toy.environment[name]
        toy.append(first + 100, 20)
        toy.check(f"{name}: after {ends} ends, {time.monotonic() - begun:.0f} s")
        refused += 1
        rejected = subprocess.run(["kcat", "-b", bootstrap, "-q", "-C", "-e", "-t", "tabiji.rejected.v1"], check=True, capture_output=True).stdout
        assert rejected.count(b"crashes") == refused - 1 and bad.to_bytes(8, "big") in rejected, rejected
        assert stop(worker) == 0
    toy.environment["TOY_BYTES"] = small


def check_poison_elsewhere(toy, bootstrap):
    """The same when each end takes the machine with it: the next worker knows nothing but what is in Kafka."""
    bad, state = 7000017, toy.environment["TOY_STATE"]
    toy.append(7000000, 60)
    toy.events.remove(bad)
    toy.environment["TOY_POISON"] = str(bad)
    begun, ends, worker = time.monotonic(), -1, None
    while not (worker and subprocess.run([toy.program, "wait", "2"], env=toy.environment, capture_output=True).returncode == 0):
        if not worker or worker.poll() is not None:
            assert not worker or worker.returncode == -signal.SIGSEGV, errors(worker)
            ends += 1
            assert ends <= 4, f"{ends} ends"
            toy.environment["TOY_STATE"] = f"{state}-{ends}"
            worker = toy.work(f"machine-{ends}")
    assert ends == 4, ends  # two in something, two in this record
    del toy.environment["TOY_POISON"]
    toy.check(f"poison, each end on another machine: after {ends}, {time.monotonic() - begun:.0f} s")
    rejected = subprocess.run(["kcat", "-b", bootstrap, "-q", "-C", "-e", "-t", "tabiji.rejected.v1"], check=True, capture_output=True).stdout
    assert bad.to_bytes(8, "big") in rejected, rejected
    assert stop(worker) == 0
    toy.environment["TOY_STATE"] = state


def check_static_members(program, space, bootstrap):
    """Workers that leave and come back within their session: nobody else's partitions move, and theirs come back; killed, too."""
    toy = Toy(program, space, bootstrap)
    toy.environment |= {"TOY_PREFIX": "static", "TOY_GROUP": "static", "TOY_STATIC": "1", "TOY_SESSION": "30000"}
    toy.run("topics")
    steady, other = toy.work("steady"), toy.work("other")
    for worker in (steady, other):
        wait_until(lambda: "kafka_assigned: 6 partitions" in errors(worker), "half of the partitions each")
    moves = errors(steady).count("kafka_assigned") + errors(steady).count("kafka_revoked")
    for turn, sig in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)):
        toy.append(1000 * turn, 200)
        wait_until(lambda: has_worked(other), "the other worker to work")
        other.send_signal(sig)
        other.wait(30)
        toy.append(1000 * turn + 500, 100)
        other = toy.work("other")
        wait_until(lambda: "kafka_assigned" in errors(other), "the partitions to come back")
        assert errors(other).count("kafka_assigned: 6 partitions") == 1, errors(other)
        toy.check(f"static members, {sig.name}")
        now = errors(steady).count("kafka_assigned") + errors(steady).count("kafka_revoked")
        assert now == moves, f"{now - moves} moves"
    # The same slot on another machine: one of the two has to go.
    toy.environment["TOY_STATE"] += "-elsewhere"
    twin = toy.work("other")
    assert other.wait(40) == 1 and "another worker has taken over" in errors(other) + str(lines(other)) or "fenced" in errors(other), errors(other)
    toy.append(9000, 100)
    toy.check("static members, the same slot twice")
    assert [stop(worker) for worker in (steady, twin)] == [0, 0]


def main():
    program = sys.argv[1]
    if not shutil.which("kcat"):
        skip("kcat is not installed")
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    with Workspace() as space, kafka_broker.of(space) as (bootstrap, broker):
        toy = Toy(program, space, bootstrap)
        toy.run("topics")
        toy.run("topics")  # again: nothing to do
        toy.append(0, 500)
        toy.append(100, 200)  # resent
        check_faults(toy)
        check_random_kills(toy, rng)
        check_late_commit(toy)
        check_zombie(toy)
        check_broker_gone(toy, broker)
        check_lost_state(toy)
        check_few_commits(program, space, bootstrap)
        check_bad_input(toy, bootstrap)
        check_poison(toy, bootstrap)
        check_poison_elsewhere(toy, bootstrap)
        check_static_members(program, space, bootstrap)


if __name__ == "__main__":
    main()
