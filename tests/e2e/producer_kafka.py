"""libtabiji directly to a real broker: topics that are not there yet, an event that the topic does not take, the broker killed amid sending;
what comes of it is what the collector makes of the same events: keys, partitions, tables."""
import collections
import json
import random
import re
import signal
import string
import subprocess

import kafka_broker
import producer_events
from harness import LONG, same, stop, tabiji, wait_until
from producer_events import EVENTS, SOURCE
from test_kafka_pipeline import MODELS, Cluster, digest, dump, emit

TOO_LARGE, BATCH = 25_000, 50  # bytes; events
ID = re.compile(rb"\be-\d+\b")
PATIENCE_MS = 900_000 if LONG else 120_000


def configure(space, bootstrap, prefix):
    """The collector's configuration file. A broker that is away for a minute is waited for by librdkafka, which sends nothing twice."""
    path = space.path / f"{prefix}.ini"
    path.write_text(f"[stream]\ndriver = kafka\nprefix = {prefix}\npartitions = 4\n[kafka]\nbootstrap.servers = {bootstrap}\n"
                    f"message.timeout.ms = 60000\n[source {SOURCE}]\n")
    return path


def feeding(space, feed, config, name, *more):
    """A producer whose lines come over its standard input."""
    log = space.path / f"{name}.log"
    process = subprocess.Popen([feed, f"kafka_config={config}", f"kafka_source={SOURCE}", "retry_max_ms=300", f"wait_ms={PATIENCE_MS}", *map(str, more)],
                               stdin=subprocess.PIPE, stdout=open(log, "w"))
    space.processes.append(process)
    process.log = log
    return process


def write(process, lines):
    process.stdin.write("".join(line + "\n" for line in lines).encode())
    process.stdin.flush()


def ended(process, lines=(), code=0):
    """What it said, line by line, and its statistics."""
    if not process.stdin.closed:
        write(process, lines)
        process.stdin.close()
    assert process.wait(PATIENCE_MS / 1000 + 60) == code, (process.returncode, process.log.read_text()[-2000:])
    said = process.log.read_text().splitlines()
    statistics, = (line for line in said if line.startswith("{"))
    return [line for line in said if line != statistics], json.loads(statistics)


def records(bootstrap, topic):
    """(id, partition, key) of each event in its topic, in order within partitions."""
    run = subprocess.run(["kcat", "-b", bootstrap, "-q", "-C", "-e", "-t", topic, "-f", "%p %K %S\n%k%s"], capture_output=True, check=True, timeout=300)
    data, at, out = run.stdout, 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        partition, key_size, size = map(int, data[at:end].split())
        key, value = data[end + 1:end + 1 + key_size], data[end + 1 + key_size:end + 1 + key_size + size]
        at = end + 1 + key_size + size
        out.append((ID.search(value)[0].decode(), partition, key))
    return out


def short(n, more=""):
    return json.dumps({"id": f"e-{n}", "type": "page_viewed", "time": 1795139999000 + n, "ids": {"cookie": f"c-{n % 7}"},
                       "properties": {"more": more}})


def check_missing(space, feed, bootstrap):
    """No topics: said by name; what was sent goes when they are there."""
    config = configure(space, bootstrap, "absent")
    process = feeding(space, feed, config, "absent")
    write(process, [short(n) for n in range(5)])
    process.stdin.close()
    wait_until(lambda: "failing config: topic absent." in process.log.read_text(), "the missing topic to be named")
    assert "is missing" in process.log.read_text()
    tabiji("topics", "create", "--config", config)
    _, end = ended(process)
    assert end["delivered"] == 5, end
    assert sorted(name for name, _, _ in records(bootstrap, "absent.events.v1")) == [f"e-{n}" for n in range(5)]
    print("libtabiji to Kafka: missing topics are named, and waited for", flush=True)


def check_too_large(space, feed, bootstrap):
    """A topic that takes less than the library: of a batch that it refuses, the event at fault is found; the others arrive."""
    config = configure(space, bootstrap, "small")
    subprocess.run(kafka_broker.java(kafka_broker.install(), "org.apache.kafka.tools.TopicCommand", "--create", "--bootstrap-server", bootstrap,
                                     "--topic", "small.events.v1", "--partitions", "4", "--config", "max.message.bytes=8000"),
                   check=True, capture_output=True, timeout=60)
    tabiji("topics", "create", "--config", config, expect=(0, 1))  # it finds the one that is there otherwise
    draw = random.Random(9)
    noise = "".join(draw.choices(string.ascii_letters + string.digits, k=TOO_LARGE))  # which no compression makes small
    lines = [short(n, noise if n == 30 else "") for n in range(BATCH)]
    said, end = ended(feeding(space, feed, config, "small", "linger_ms=10000"), lines)
    assert (end["delivered"], end["rejected"]) == (BATCH - 1, 1), end
    assert [line.split()[:3] for line in said if line.startswith("rejected")] == [["rejected", "e-30", "too_large"]], said
    there = collections.Counter(name for name, _, _ in records(bootstrap, "small.events.v1"))
    assert set(there) == {f"e-{n}" for n in range(BATCH) if n != 30}, there
    print("libtabiji to Kafka: what is too large is found and told", flush=True)


def broken_off(space, feed, config, bootstrap, directory, lines):
    """Sends all; the broker is killed amid them, and started again when the library has noticed."""
    process = feeding(space, feed, config, "direct", "batch_events_max=100")
    half = len(lines) // 2
    write(process, lines[:half])
    wait_until(lambda: len(records(bootstrap, "direct.events.v1")) > 0, "the first records")
    kafka_broker.stop(directory, signal.SIGKILL)
    write(process, lines[half:])  # they find room in its queue
    assert kafka_broker.launch(directory)[0] == bootstrap
    return ended(process)


def check_same(space, toy, feed, bootstrap, directory):
    """The same events directly, amid which the broker is killed, and by the collector: the same keys in the same partitions, once; the
    tables of an import."""
    lines = [event.json for event in producer_events.events()]
    wanted = space.path / "import"
    producer_events.imported(space, wanted, lines)
    direct = Cluster(space, toy, bootstrap, "direct")
    direct.options = direct.options[:-len(MODELS)]
    config = configure(space, bootstrap, "direct")
    worker, sink = direct.work("a"), direct.sink()
    wait_until(lambda: "joined group" in worker.log.read_text(), "the worker")
    said, end = broken_off(space, feed, config, bootstrap, directory, lines)
    assert [line for line in said if not line.startswith("failing ")] == [f"taken {EVENTS}"] and (end["delivered"], end["rejected"]) == (EVENTS, 0), (said, end)

    posted = Cluster(space, toy, bootstrap, "posted")
    tabiji("topics", "create", *posted.options)
    posted.port = kafka_broker.free_ports(1)[0]
    collector = posted.start("collect", "--listen", f"127.0.0.1:{posted.port}", "--set", f"collector.open_source={SOURCE}")
    wait_until(lambda: kafka_broker.harness.ready(posted.port), "the collector")
    emit(posted.port, lines)
    assert stop(collector) == 0
    mine, theirs = records(bootstrap, "direct.events.v1"), records(bootstrap, "posted.events.v1")
    assert len(mine) == len(set(mine)) == EVENTS, f"{len(mine)} records of {len(set(mine))}"
    assert sorted(mine) == sorted(theirs) and len({partition for _, partition, _ in mine}) == 4
    print(f"libtabiji to Kafka: {EVENTS} records, once, under the collector's keys in its partitions; the broker killed amid them",
          flush=True)

    assert direct.quiet(300), "the worker does not come to the end"
    wait_until(lambda: digest(direct.database) == digest(wanted), "the tables", 300)
    same("directly to Kafka, and imported", dump(direct.database), dump(wanted))
    print(f"{EVENTS} events directly to Kafka and imported: {digest(wanted).splitlines()[-1]}", flush=True)
    for process in (worker, sink):
        assert stop(process) == 0, process.args


def check(space, toy, feed, bootstrap, directory):
    check_missing(space, feed, bootstrap)
    check_too_large(space, feed, bootstrap)
    check_same(space, toy, feed, bootstrap, directory)
