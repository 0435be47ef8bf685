"""collect, work and sink over a broker that faults strike, fed from one list of events, and held to its ledger."""
import http.client
import json
import os
import random
import signal
import subprocess
import time

from harness import PROGRAM, free_port, same, stop, tabiji, wait_until
from kafka_ledger import Ledger, check_durable, check_order, check_sets, read_sink, read_topic
from test_http import ready

PREFIX = "faults"
BATCH = 20
QUIET_SECONDS = 120  # I6
PATIENCE_SECONDS = 120


def numbered(events, seed, first=0):
    """Invented events, their ids in the order of the list."""
    lines = []
    for n, line in enumerate(tabiji("generate", "--events", events, "--seed", seed).splitlines()[:events]):
        lines.append(json.dumps({**json.loads(line), "id": f"f-{first + n:07d}"}, ensure_ascii=False))
    return lines


class Pipeline:
    def __init__(self, space, toy, faulty, bootstrap, proxied, lines, seed):
        self.space, self.toy, self.faulty, self.bootstrap, self.proxied = space, toy, faulty, bootstrap, proxied
        self.rng = random.Random(seed)
        self.path = space.path / PREFIX
        self.path.mkdir()
        self.lines, self.at = lines, 0
        self.ledger = Ledger(self.path / "acknowledged")
        self.started = 0
        self.logs = {}
        self.port = free_port()
        self.state = self.path / "state"
        self.spool = self.path / "spool"
        self.database = self.path / "sink" / "tabiji.db"
        self.workers = {}
        self.slow = None  # a second sink
        self.program = PROGRAM
        self.config = self.path / "tabiji.ini"
        self.config.touch()
        self.options = {}

    # ---- processes ----

    def settings(self, verb, through=False):
        """As flags. through: over the proxy."""
        options = {"data.dir": self.path / "data", "stream.driver": "kafka", "stream.prefix": PREFIX, "stream.group": PREFIX,
                   "stream.partitions": 4, "kafka.bootstrap.servers": self.proxied if through else self.bootstrap,
                   "worker.batch_records": 200, "kafka.consumer.session.timeout.ms": 1500, "kafka.consumer.heartbeat.interval.ms": 300,
                   "kafka.reconnect.backoff.max.ms": 500, "kafka.topic.metadata.refresh.interval.ms": 2000}
        options |= self.options
        if verb == "work":
            options |= {"kafka.producer.transaction.timeout.ms": 5000, "kafka.producer.message.timeout.ms": 4000}
        return ["--config", str(self.config)] + [word for key, value in options.items() for word in ("--set", f"{key}={value}")]

    def run(self, verb, *arguments):
        """To its end, which is to be good."""
        run = subprocess.run([PROGRAM, verb, *map(str, arguments), *self.settings(verb)], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, (run.returncode, run.stdout, run.stderr)
        return run

    def start(self, verb, *arguments, fault=None, through=False, environment=None, program=None):
        """through: over the proxy. fault: TABIJI_FAULT, of the build that has the points. program: another build."""
        self.started += 1
        log = self.path / f"{self.started}-{verb}.log"
        command = [program or (self.faulty if fault else self.program), verb, *self.settings(verb, through), *map(str, arguments)]
        process = subprocess.Popen(command, stderr=open(log, "w"), env={**os.environ, **(environment or {}), "TABIJI_FAULT": fault or ""})
        self.space.processes.append(process)
        self.logs[process.pid] = log
        return process

    def said(self, process):
        return self.logs[process.pid].read_text()

    def collect(self, *options, wait=True, through=True, environment=None, **more):
        self.collector = self.start("collect", "--listen", f"127.0.0.1:{self.port}", "--set", "collector.open_source=dev", "--set",
                                    f"spool.dir={self.spool}", "--set", "spool.after=1 s", *options, through=through,
                                    environment=environment, **more)
        if wait:
            wait_until(lambda: self.collector.poll() is not None or ready(self.port), "the collector")
        return self.collector

    def work(self, slot, **more):
        self.workers[slot] = self.start("work", "--slot", slot, "--state", self.state, **more)
        wait_until(lambda: self.workers[slot].poll() is not None or "joined group" in self.said(self.workers[slot]), f"worker {slot}")
        return self.workers[slot]

    def sink(self, name="sink", **more):
        return self.start("sink", "--data", self.path / name, **more)

    def end(self, process, sig=signal.SIGKILL):
        process.send_signal(sig)
        process.wait(40)

    def page(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()

    def metric(self, name):
        """0 where nothing of its part has happened yet: that is then not written."""
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0.0

    # ---- events ----

    def feed(self, count, batch=BATCH):
        """Sends the next events, request by request; what gets no 2xx stays unknown. Returns the statuses."""
        end = self.at + count
        if end > len(self.lines):
            self.lines += numbered(len(self.lines), self.rng.randrange(10**6), len(self.lines))
        statuses = []
        while self.at < end:
            lines = self.lines[self.at:min(self.at + batch, end)]
            self.at += len(lines)
            statuses.append(self.ledger.send(self.port, lines))
        return statuses

    def feed_until(self, condition, what, count=5, pause=0.05, most=600):
        """The fault must fire: as long as it has not, there is more to do. A machine that is busy with others is waited for."""
        end = time.monotonic() + PATIENCE_SECONDS
        while most > 0 or time.monotonic() < end:
            most -= 1
            if condition():
                return
            self.feed(count, batch=count)
            time.sleep(pause)
        raise AssertionError(f"{what} did not fire")

    def quiet(self, seconds):
        environment = {**os.environ, "TOY_BROKER": self.bootstrap, "TOY_GROUP": PREFIX, "TOY_PREFIX": PREFIX}
        return subprocess.run([self.toy, "wait", str(seconds)], env=environment, timeout=seconds + 60, capture_output=True).returncode == 0

    def settle(self, what):
        """Everything is sent again that must be, and arrives; S + D = A."""
        begun = time.monotonic()
        wait_until(lambda: self.ledger.resend(self.port), "the collector to take what is sent again")
        wait_until(lambda: self.metric("tabiji_spool_state") == 0, "the spool to be drained")
        assert self.quiet(QUIET_SECONDS), f"I6: {what}: the workers do not come to the end"
        self.arrived(self.database)
        check_sets(self.ledger, *read_sink(self.database), settled=True)
        print(f"settled in {time.monotonic() - begun:.1f} s: {what}; {len(self.ledger.acknowledged)} acknowledged", flush=True)

    def arrived(self, database, seconds=60):
        def whole():
            stored, rejected, conflicts = read_sink(database)
            return set(stored) | set(rejected) == self.ledger.acknowledged and len(conflicts) == len(self.ledger.conflicts)
        wait_until(whole, f"{database} to have all that was acknowledged", seconds)

    def durable(self):
        """I8, while the collector is down or Kafka is away."""
        check_durable(self.ledger, read_topic(self.bootstrap, f"{PREFIX}.events.v1"), [self.spool])

    # ---- the end ----

    def equal(self, also=()):
        """I4 and I5: the tables are those of the embedded program of the same events; order of each key was kept."""
        keys = check_order(self.ledger, read_topic(self.bootstrap, f"{PREFIX}.events.v1"))
        data, port = self.path / "embedded", free_port()
        process = self.start("run", "--data", data, "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev", "--set",
                             "stream.driver=local")
        wait_until(lambda: ready(port), "the embedded collector")
        other = Ledger(self.path / "embedded-acknowledged")
        lines = list(self.ledger.lines.values())
        for at in range(0, len(lines), 500):
            assert other.send(port, lines[at:at + 500]) == 200
        for line in self.ledger.conflicting:
            assert other.send(port, [line]) == 200

        def whole():
            stored, rejected, conflicts = read_sink(data / "tabiji.db")
            return len(set(stored)) + len(set(rejected)) == len(lines) and len(conflicts) == len(self.ledger.conflicts)
        wait_until(whole, "the embedded tables", 60 + len(lines) // 500)
        assert stop(process) == 0
        wanted = tabiji("state", "dump", "--data", data)
        for database in (self.database, *also):
            end = time.monotonic() + 30
            got = tabiji("state", "dump", "--database", database)
            while got != wanted and time.monotonic() < end:
                time.sleep(0.5)
                got = tabiji("state", "dump", "--database", database)
            same(f"dump of {database.parent.name} and of the embedded program", got, wanted)
        print(f"S + D = A: {len(self.ledger.acknowledged)} events, {len(self.ledger.refused)} of them rejected; order of {keys} keys kept; "
              f"answers {dict(self.ledger.statuses)}", flush=True)
