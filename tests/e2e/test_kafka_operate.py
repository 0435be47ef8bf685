#!/usr/bin/env python3
"""What an operator does with the Kafka mode, on a real broker: topics made and checked, a start against wrong counts refused, lag
and metrics of running programs, top, doctor, SIGHUP, SIGTERM under load, SASL over TLS, also of libtabiji.

usage: test_kafka_operate.py [PRODUCER-FEED SHARED-LIBRARY]
"""
import base64
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import urllib.error
import urllib.request
import uuid

import kafka_broker
import prometheus_text
from harness import LONG, PROGRAM, Workspace, free_port, same, skip, stop, tabiji, wait_until
from kafka_ledger import read_sink
from test_schema_tls import certificates

PARTITIONS = 3
EVENTS = 3000
PASSWORD, NEXT_PASSWORD = "canary-of-the-broker", "canary-that-follows"


def start_broker(directory):
    """One broker, with a second listener for SASL over TLS; returns both bootstrap addresses."""
    libs = kafka_broker.install()
    directory.mkdir()
    certificates(directory)
    (directory / "keystore.pem").write_text((directory / "server.key").read_text() + (directory / "server.pem").read_text())
    port, controller, secure = kafka_broker.free_ports(3)
    kafka_broker.write_properties(directory, port, {1: controller})
    properties = directory / "server.properties"
    text = properties.read_text().replace(",CONTROLLER://", f",SASL_SSL://127.0.0.1:{secure},CONTROLLER://", 1)
    text = text.replace(f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}", f"advertised.listeners=PLAINTEXT://127.0.0.1:{port} ,SASL_SSL://127.0.0.1:{secure}")
    text = text.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL")
    properties.write_text(text + f"""sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={directory}/keystore.pem
""")
    cluster = kafka_broker.new_cluster()
    subprocess.run(kafka_broker.java(libs, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), "--add-scram",
                                     f"SCRAM-SHA-512=[name=shop,password={PASSWORD}]"), check=True, capture_output=True, cwd=directory)
    kafka_broker.launch(directory)
    return f"127.0.0.1:{port}", f"127.0.0.1:{secure}"


def java_tool(bootstrap, *arguments):
    run = subprocess.run(kafka_broker.java(kafka_broker.install(), arguments[0], "--bootstrap-server", bootstrap, *arguments[1:]),
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def configure(space, bootstrap, prefix):
    path = space.path / f"{prefix}.ini"
    path.write_text(f"[data]\ndir = {space.path}/{prefix}\n[stream]\ndriver = kafka\nprefix = {prefix}\ngroup = {prefix}\n"
                    f"partitions = {PARTITIONS}\n[source dev]\n[kafka]\nbootstrap.servers = {bootstrap}\n")
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


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as reply:
        return reply.code, reply.read().decode()
    except OSError:
        return 0, ""


def scrape(port):
    status, text = get(port, "/metrics")
    assert status == 200, (status, text)
    return prometheus_text.parse(text)


class Programs:
    """collect, work and sink of one prefix, each with a port that is watched."""

    def __init__(self, space, config, name):
        self.space, self.config, self.name = space, config, name
        self.ports, self.processes, self.logs = {}, {}, {}

    def start(self, verb, *arguments):
        self.ports[verb] = free_port()
        listen = "--listen" if verb == "collect" else "--metrics"
        self.logs[verb] = self.space.path / f"{self.name}-{verb}.log"
        with open(self.logs[verb], "a") as log:
            self.processes[verb] = self.space.start(verb, *self.config, listen, f"127.0.0.1:{self.ports[verb]}", *arguments, stderr=log)
        wait_until(lambda: get(self.ports[verb], "/readyz")[0] == 200, f"{verb} to be ready")

    def emit(self, lines):
        said = tabiji("emit", "--url", f"http://127.0.0.1:{self.ports['collect']}", stdin="\n".join(lines).encode())
        assert f"{len(lines)} accepted" in said, said

    def stop(self, verb):
        assert stop(self.processes.pop(verb), timeout=30) == 0, self.logs[verb].read_text()[-2000:]


def lag(config, *arguments, expect=0):
    return json.loads(tabiji("lag", *config, "--json", *arguments, expect=expect))


def of_threads(work, name, **labels):
    return [prometheus_text.total(work, f"tabiji_worker_thread_{name}", thread=str(thread), **labels) for thread in (0, 1)]


def check_threads(work):
    """Two threads add up to their process."""
    def of(name, **labels):
        return of_threads(work, name, **labels)
    assert ("tabiji_worker_thread_tasks", (("thread", "2"),)) not in work
    assert min(of("records_total")) > 0 and sum(of("records_total")) == work["tabiji_worker_records_total", ()]
    assert sorted(of("tasks")) == [2, 2 * PARTITIONS - 2], of("tasks")
    assert sum(of("transactions_total", result="committed")) == prometheus_text.total(work, "tabiji_worker_transactions_total", result="committed")
    assert sum(of("batches_total")) == work["tabiji_worker_transaction_seconds_count", ()]
    for name in ("transaction", "commit"):
        whole = work[f"tabiji_worker_{name}_seconds_sum", ()]
        assert abs(sum(of(f"{name}_seconds_total")) - whole) < 0.001 and min(of(f"{name}_seconds_total")) > 0, (of(f"{name}_seconds_total"), whole)
    assert of("restore_left") == [0, 0]


def check_lag_and_metrics(space, programs, config, lines):
    programs.start("collect", "--set", "collector.open_source=dev", "--set", "source.dev.operator=yes")
    tail = space.start("tail", "--url", f"http://127.0.0.1:{programs.ports['collect']}", "--json", "--count", 3, stdout=subprocess.PIPE)
    wait_until(lambda: scrape(programs.ports["collect"])["tabiji_collector_viewers", ()] == 1, "a viewer")
    programs.emit(lines)
    shown = [json.loads(line) for line in tail.communicate(timeout=30)[0].splitlines()]
    assert [row["fate"] for row in shown] == ["accepted"] * 3 and all(row["stages"][1]["fate"] == "durable" for row in shown), shown
    found = lag(config)
    assert found["lag"] == EVENTS and [group["group"] for group in found["groups"]] == ["run"], found
    rows = found["groups"][0]["partitions"]
    assert len(rows) == 3 * PARTITIONS and {row["committed"] for row in rows} == {None}
    assert 0 <= found["groups"][0]["oldest_seconds"] < 120, found
    assert lag(config, "--max", EVENTS) and lag(config, "--max", EVENTS - 1, expect=1)
    assert "never" in tabiji("lag", *config) and len(tabiji("lag", *config, "--summary").splitlines()) == 5

    programs.start("work", "--threads", 2)
    programs.start("sink")
    wait_until(lambda: scrape(programs.ports["work"])["tabiji_worker_records_total", ()] >= 2 * EVENTS, "the worker to come to the end")
    # The first thread may have done all before the second had a partition: then there is more to do, for both.
    wait_until(lambda: min(of_threads(scrape(programs.ports["work"]), "tasks")) > 0, "both threads to have tasks")
    programs.emit(tabiji("generate", "--events", 500, "--seed", 10).splitlines())
    wait_until(lambda: min(of_threads(scrape(programs.ports["work"]), "records_total")) > 0, "records of both threads")
    # What was committed is told to the group; the sink tells its own within seconds.
    wait_until(lambda: {group["group"].split("-")[0]: group["lag"] for group in lag(config)["groups"]} == {"run": 0}, "no lag")
    wait_until(lambda: len(lag(config)["groups"]) == 2 and lag(config)["lag"] == 0, "the sink at the end")
    rows = lag(config)["groups"][1]["partitions"]
    assert len(rows) == 7 * PARTITIONS and {row["open"] for row in rows} == {0} and max(row["committed"] for row in rows) > 0

    wait_until(lambda: ("tabiji_kafka_broker_up", (("client", "producer"), ("broker", bootstrap_of(config)))) in scrape(programs.ports["work"]),
               "statistics of librdkafka")
    for verb, client in (("work", "consumer"), ("sink", "results"), ("collect", "door")):
        def now(name):
            return prometheus_text.total(scrape(programs.ports[verb]), name, client=client, broker=bootstrap_of(config))
        wait_until(lambda: now("tabiji_kafka_broker_up") == 1 and now("tabiji_kafka_broker_received_bytes_total") > 0, f"a broker of {verb}")
        # Of an interval without requests nothing is said: a collector may have none.
        wait_until(lambda: client == "door" or 0 < now("tabiji_kafka_broker_rtt_seconds") < 10, f"a round trip of {verb}")
    # Each process tells its lag as of its last look.
    for verb in ("work", "sink"):
        wait_until(lambda: prometheus_text.total(scrape(programs.ports[verb]), "tabiji_consumer_lag") == 0, f"no lag by the metrics of {verb}")
    work, sink, collect = (scrape(programs.ports[verb]) for verb in ("work", "sink", "collect"))
    assert min(samples["process_resident_memory_bytes", ()] for samples in (work, sink, collect)) > 1e6
    lags = {dict(labels)["topic"] for name, labels in work if name == "tabiji_consumer_lag"}
    assert lags == {"events", "identity", "journey"}
    assert {dict(labels)["topic"] for name, labels in sink if name == "tabiji_consumer_lag"} >= {"touchpoints", "conversions", "profiles"}
    committed = prometheus_text.total(work, "tabiji_worker_transactions_total", result="committed")
    assert 0 < work["tabiji_worker_transaction_seconds_count", ()] <= committed
    assert work["tabiji_worker_transaction_seconds_sum", ()] >= work["tabiji_worker_commit_seconds_sum", ()] > 0
    assert work["tabiji_worker_batch_records_sum", ()] == work["tabiji_worker_records_total", ()]
    assert work["tabiji_worker_batch_bytes_sum", ()] > EVENTS * 300
    assert work["tabiji_worker_tasks", ()] == 2 * PARTITIONS and work["tabiji_worker_restore_left", ()] == 0
    assert prometheus_text.total(work, "tabiji_worker_rebalances_total", what="assigned") >= 1
    check_threads(work)
    assert sink["tabiji_sink_results_total", ()] > EVENTS and sink["tabiji_sink_commit_seconds_count", ()] > 0
    assert ("tabiji_worker_tasks", ()) not in collect and ("tabiji_sink_results_total", ()) not in work
    assert get(programs.ports["work"], "/healthz") == (200, "ok\n") and get(programs.ports["work"], "/other")[0] == 404
    print(f"lag and metrics: {len(work)}, {len(sink)} and {len(collect)} samples")


def check_top(programs, config):
    ports = ",".join(f"127.0.0.1:{programs.ports[verb]}" for verb in ("work", "sink", "collect"))
    rows = json.loads(tabiji("top", *config, "--url", ports, "--url", "127.0.0.1:1", "--once", "--every", 1, "--json"))
    assert [(row["role"], row["thread"], row["state"]) for row in rows] == [
        ("work", None, "up"), ("work", 0, "up"), ("work", 1, "up"), ("sink", None, "up"), ("collect", None, "up"), (None, None, "down")], rows
    assert rows[0]["lag"] == 0 and rows[0]["memory_mib"] > 1 and rows[0]["wrong"] == 0 == rows[1]["wrong"] + rows[2]["wrong"]
    assert rows[1]["memory_mib"] is None and rows[1]["process"] == rows[0]["process"]

    # On a terminal: pictures until q or ctrl-C, then all as it was.
    for key in (b"q", b"\x03"):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(PROGRAM, [PROGRAM, "top", *map(str, config), "--url", ports, "--every", "1"])
        before, shown = termios.tcgetattr(fd), b""
        while shown.count(b"tabiji top") < 2:
            assert select.select([fd], [], [], 20)[0], shown
            shown += os.read(fd, 65536)
        assert termios.tcgetattr(fd) != before and shown.startswith(b"\x1b[?1049h")
        os.write(fd, key)
        while not shown.endswith(b"\x1b[?1049l"):
            assert select.select([fd], [], [], 20)[0], shown
            shown += os.read(fd, 65536)
        wait_until(lambda: termios.tcgetattr(fd) == before, "the terminal as it was")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)
        assert b"run-results-" in shown and b"collect" in shown
    print("top: rates, and the terminal given back")


def doctor(config, *arguments, expect=0):
    """Findings by name: the worst verdict of each, and all that was said."""
    rows = json.loads(tabiji("doctor", *config, "--json", *arguments, expect=expect))
    found = {}
    for row in rows:
        verdict, text = found.get(row["check"], ("ok", ""))
        found[row["check"]] = (max(verdict, row["verdict"], key=["ok", "warning", "failure"].index), text + row["text"] + row.get("advice", ""))
    return found


def check_doctor(space, programs, config):
    found = doctor(config)
    assert {found[name][0] for name in ("kafka", "kafka topics", "kafka lag", "transactions", "state directory")} == {"ok"}, found
    assert "1 brokers answer, protocol 3.9" in found["kafka"][1] and "librdkafka 2." in found["kafka"][1], found["kafka"]
    assert f"in use by process {programs.processes['work'].pid}" in found["state directory"][1], found["state directory"]
    found = doctor(config, "--set", "stream.prefix=nowhere")
    assert found["kafka topics"][0] == "warning" and "12 of 12 are missing" in found["kafka topics"][1]
    found = doctor(configure(space, bootstrap_of(config), "made"), expect=1)
    assert found["kafka topics"][0] == "failure" and "tabiji topics check" in found["kafka topics"][1]
    found = doctor(config, "--set", "stream.replication=3", expect=1)
    assert "3 replicas are wanted of 1 brokers" in found["kafka replicas"][1]
    found = doctor(config, "--set", "kafka.bootstrap.servers=127.0.0.1:1", expect=1)
    assert found["kafka"][0] == "failure" and "no broker answers" in found["kafka"][1] and "network" in found["kafka"][1]
    print("doctor: well, missing, wrong and unreachable told apart")


def check_reload(programs, config):
    """SIGHUP to each: a level taken over, a file that is not sound refused, what waits named."""
    sound = config[1].read_text()
    try:
        for verb, process in programs.processes.items():
            def told(event, more):
                config[1].write_text(sound + more)
                before = programs.logs[verb].read_text().count(f'"{event}"')
                process.send_signal(signal.SIGHUP)
                wait_until(lambda: programs.logs[verb].read_text().count(f'"{event}"') > before, f"{event} of {verb}")
                return programs.logs[verb].read_text().splitlines()
            assert any('"taken":"[log] level"' in line for line in told("reloaded", "[log]\nlevel = debug\n"))
            assert any("reload_refused" in line and "nonsense" in line for line in told("reload_refused", "[log]\nlevel = error\n[worker]\nnonsense = 1\n"))
            assert any('"keys":"[kafka] linger.ms"' in line for line in told("reload_needs_restart", "linger.ms = 6\n"))
            assert process.poll() is None
    finally:
        config[1].write_text(sound)
    print("SIGHUP: collect, work and sink")


def check_stop_under_load(space, programs, config, lines):
    """SIGTERM amid work: exit 0, soon, and no transaction is left open: what readers may see ends where the topics end."""
    with tempfile.TemporaryFile() as events:
        events.write("\n".join(lines).encode())
        events.seek(0)
        sending = subprocess.Popen([PROGRAM, "emit", "--url", f"http://127.0.0.1:{programs.ports['collect']}"], stdin=events,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = scrape(programs.ports["work"])["tabiji_worker_records_total", ()]
    wait_until(lambda: scrape(programs.ports["work"])["tabiji_worker_records_total", ()] > before, "work under load")
    begun = time.monotonic()
    programs.stop("work")
    assert time.monotonic() - begun < 30
    group = lag(config)["groups"][0]
    # But the events': they are appended without transactions, and more come between the two looks at an end.
    assert {row["open"] for row in group["partitions"] if not row["topic"].endswith(".events.v1")} == {0}, group
    assert group["lag"] > 0, "the worker had come to the end before it was stopped"
    # Nor does a broker that is silent keep the sink, which tells it its position at the end.
    broker = int((space.path / "broker" / "pid").read_text())
    os.kill(broker, signal.SIGSTOP)
    begun = time.monotonic()
    programs.stop("sink")
    os.kill(broker, signal.SIGCONT)
    assert time.monotonic() - begun < 20
    programs.stop("collect")
    sending.kill()
    sending.wait()
    print(f"SIGTERM under load: {group['lag']} records left, none in an open transaction")


def check_stop_without_broker(space, programs, lines):
    """SIGTERM amid work while the broker is silent: collect and work leave within 30 s all the same."""
    broker = int((space.path / "broker" / "pid").read_text())
    programs.start("collect", "--set", "collector.open_source=dev")
    programs.start("work")
    programs.emit(lines)
    os.kill(broker, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        for process in programs.processes.values():
            process.send_signal(signal.SIGTERM)
        for verb in list(programs.processes):
            programs.stop(verb)
    finally:
        os.kill(broker, signal.SIGCONT)
    print(f"SIGTERM before a silent broker: {time.monotonic() - begun:.0f} s")
    assert time.monotonic() - begun < 30


def check_other_count(space, config):
    """Partitions added to all topics alike: they fit each other, but not the state."""
    java_tool(bootstrap_of(config), "org.apache.kafka.tools.TopicCommand", "--alter", "--topic", r"run\..*", "--partitions", str(PARTITIONS + 1))
    # New partitions have leaders a moment later.
    wait_until(lambda: {row["state"] for row in states(config, "check", "--partitions", PARTITIONS + 1, expect=(0, 1)).values()} == {"ok"},
               "partitions added to all topics")
    said = refused("work", *config, code=2, timeout=60)
    assert f"was: partitions {PARTITIONS}" in said and "tabiji repartition" in said, said
    print("partitions added under the state: refused")


def check_topic_anew(space, programs, config):
    """A result topic is deleted and made anew under a running sink, and under one that starts: it says so, and what mends it."""
    tool = ("org.apache.kafka.tools.TopicCommand", "--topic", "run.sessions.v1")
    programs.start("sink")
    wait_until(lambda: [group["lag"] for group in lag(config)["groups"] if group["group"] != "run"] == [0], "the sink at the end")
    sink = programs.processes.pop("sink")
    java_tool(bootstrap_of(config), *tool, "--delete")
    wait_until(lambda: "UNKNOWN_TOPIC_OR_PART" in programs.logs["sink"].read_text(), "the sink to miss it")
    assert sink.poll() is None, programs.logs["sink"].read_text()  # it may come back as it was
    java_tool(bootstrap_of(config), *tool, "--create", "--partitions", str(PARTITIONS), "--config", "cleanup.policy=compact")
    assert sink.wait(60) == 1
    for said in (programs.logs["sink"].read_text(), refused("sink", *config, code=1, timeout=60)):
        for words in ("kafka_topic_anew", "run.sessions.v1", "tabiji repartition", "--database FILE", "a topic was deleted and made anew"):
            assert words in said, said[-2000:]
    tabiji("topics", "create", "--alter", *config)  # as the others are again
    print("a topic made anew: noticed by the sink that runs, and by the one that starts")


def bootstrap_of(config):
    return next(line.split(" = ")[1] for line in config[1].read_text().splitlines() if line.startswith("bootstrap.servers"))


def check_running(space, bootstrap):
    config = configure(space, bootstrap, "run")
    programs = Programs(space, config, "run")
    lines = tabiji("generate", "--events", EVENTS, "--seed", 7).splitlines()
    tabiji("topics", "create", *config)
    check_lag_and_metrics(space, programs, config, lines)
    check_top(programs, config)
    check_doctor(space, programs, config)
    check_reload(programs, config)
    check_stop_under_load(space, programs, config, tabiji("generate", "--events", 20 * EVENTS, "--seed", 8).splitlines())
    if LONG:
        check_stop_without_broker(space, programs, lines)
    check_topic_anew(space, programs, config)
    check_other_count(space, config)


def secure_config(space, bootstrap, directory, prefix, **change):
    config = configure(space, bootstrap, prefix)
    options = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "shop",
               "sasl.password_file": space.path / "password", "ssl.ca.location": directory / "authority.pem", **change}
    config[1].write_text(config[1].read_text() + "".join(f"{key} = {value}\n" for key, value in options.items()))
    return config


def anew(programs):
    """How often each program has made its clients anew."""
    return [log.read_text().count("clients are made anew") for log in programs.logs.values()]


def rotate_password(programs, space, plain):
    """The broker is told another password, then the file has it: first so that others may read it, which nobody takes over."""
    java_tool(plain, "kafka.admin.ConfigCommand", "--alter", "--entity-type", "users", "--entity-name", "shop", "--add-config",
              f"SCRAM-SHA-512=[password={NEXT_PASSWORD}]")
    password, before = space.path / "password", anew(programs)
    password.chmod(0o644)
    password.write_text(NEXT_PASSWORD + "\n")
    wait_until(lambda: all("or can be by others" in log.read_text() for log in programs.logs.values()), "an open file to be seen")
    assert anew(programs) == before
    password.chmod(0o600)
    wait_until(lambda: anew(programs) == [count + 1 for count in before], "the new password to be taken over")
    print("password rotated: taken over by collect, work and sink")


def rotate(programs, config, directory, lines):
    """41: first a file that is none, which nobody takes over; then another authority, of which the broker gets a certificate."""
    trusted = directory / "authority.pem"
    first = trusted.read_text()
    (directory / "first.pem").write_text(first)
    trusted.write_text("no certificate")
    wait_until(lambda: all("do not do yet" in log.read_text() for log in programs.logs.values()), "bad files to be seen")
    trusted.write_text(first + (directory / "stranger.pem").read_text())
    wait_until(lambda: min(anew(programs)) > 1, "new files to be taken over")
    subprocess.run(["openssl", "x509", "-req", "-in", directory / "server.csr", "-CA", directory / "stranger.pem", "-CAkey", directory / "stranger.key",
                    "-CAcreateserial", "-days", "2", "-extfile", directory / "san", "-out", directory / "rotated.pem"], check=True, capture_output=True)
    kafka_broker.stop(directory)
    (directory / "keystore.pem").write_text((directory / "server.key").read_text() + (directory / "rotated.pem").read_text())
    kafka_broker.launch(directory)
    programs.emit(lines)
    wait_until(lambda: lag(config)["lag"] == 0 and len(lag(config)["groups"]) == 2, "no lag after the rotation")
    assert all(process.poll() is None for process in programs.processes.values())
    print("certificates rotated: taken over by collect, work and sink")


def check_ledger(space, port, database, lines):
    """S + D = A, and the tables are those of the embedded program."""
    ids = {json.loads(line)["id"] for line in lines}
    stored, rejected, _ = read_sink(database)
    assert set(stored.values()) == {1} and not rejected and set(stored) == ids, (len(stored), len(rejected), len(ids))
    process = space.start("run", "--data", space.path / "embedded", "--listen", f"127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: get(port, "/readyz")[0] == 200, "the embedded collector")
    tabiji("emit", "--url", f"http://127.0.0.1:{port}", stdin="\n".join(lines).encode())
    wait_until(lambda: set(read_sink(space.path / "embedded" / "tabiji.db")[0]) == ids, "the embedded tables")
    assert stop(process) == 0
    same("dump of the sink and of the embedded program", tabiji("state", "dump", "--database", database),
         tabiji("state", "dump", "--data", space.path / "embedded"))


class Feed:
    """A program with libtabiji that sends by a configuration file; nothing where that is not built."""

    def __init__(self, space, config, name):
        self.built = len(sys.argv) > 1
        if not self.built:
            return
        own, self.log = space.path / f"{name}.ini", space.path / f"{name}.log"
        own.write_text(config[1].read_text() + "message.timeout.ms = 2000\n")
        self.process = subprocess.Popen([sys.argv[1], f"kafka_config={own}", "kafka_source=dev", "retry_max_ms=300", "wait_ms=60000"],
                                        stdin=subprocess.PIPE, stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        space.processes.append(self.process)

    def send(self, lines):
        if self.built:
            self.process.stdin.write("".join(line + "\n" for line in lines).encode())
            self.process.stdin.flush()
        return self.built

    def end(self):
        """Its statistics, when all is delivered."""
        if not self.built:
            return {}
        self.process.stdin.close()
        assert self.process.wait(90) == 0, self.log.read_text()
        return json.loads(next(line for line in self.log.read_text().splitlines() if line.startswith("{")))


def check_refused_feed(space, config, why):
    """What libtabiji says of brokers that say no."""
    feed = Feed(space, config, f"refused-{config[1].stem}")
    if not feed.send(['{"id":"no","type":"x","ids":{"login":"u-1"}}']):
        return
    feed.process.stdin.close()
    wait_until(lambda: "failing auth: " in feed.log.read_text(), "brokers to refuse")
    feed.process.kill()
    said = next(line for line in feed.log.read_text().splitlines() if line.startswith("failing auth: "))
    assert why in said and PASSWORD not in feed.log.read_text(), said


def check_secure(space, plain, bootstrap, directory):
    """All three programs over SASL_SSL; who is refused, or does not trust the broker, is told so, and soon."""
    for name, text in {"password": PASSWORD, "guess": "guess"}.items():
        (space.path / name).write_text(text + "\n")
        (space.path / name).chmod(0o600)
    config = secure_config(space, bootstrap, directory, "safe")
    tabiji("topics", "create", *config)
    programs = Programs(space, config, "safe")
    programs.start("collect", "--set", "collector.open_source=dev")
    programs.start("work")
    programs.start("sink")
    lines = tabiji("generate", "--events", 600, "--seed", 11).splitlines()
    programs.emit(lines[:200])
    feed = Feed(space, config, "fed")
    if not feed.send(lines[200:250]):
        programs.emit(lines[200:300])
    wait_until(lambda: scrape(programs.ports["sink"]).get(("tabiji_sink_results_total", ()), 0) > 300, "results over TLS")
    fed = {json.loads(line)["id"] for line in lines[200:250]}
    wait_until(lambda: fed <= set(read_sink(space.path / "safe" / "tabiji.db")[0]), "what libtabiji sent")
    wait_until(lambda: lag(config)["lag"] == 0, "no lag")
    rotate_password(programs, space, plain)
    rotate(programs, config, directory, lines[300:])
    feed.send(lines[250:300])
    assert not feed.built or feed.end()["delivered"] == 100  # by the new password, over what the new authority has signed
    wait_until(lambda: lag(config)["lag"] == 0, "no lag behind libtabiji")
    assert scrape(programs.ports["work"])["tabiji_worker_tasks", ()] == 2 * PARTITIONS  # also of a worker that was opened again
    check_ledger(space, free_port(), space.path / "safe" / "tabiji.db", lines)
    for process in programs.processes.values():
        seen = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes() + pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
        assert PASSWORD.encode() not in seen and NEXT_PASSWORD.encode() not in seen
    for verb in list(programs.processes):
        programs.stop(verb)

    wrong = secure_config(space, bootstrap, directory, "wrong", **{"sasl.password_file": space.path / "guess"})
    stranger = secure_config(space, bootstrap, directory, "stranger", **{"ssl.ca.location": directory / "first.pem"})  # of before the rotation
    for verb in (("topics", "check"), ("lag",), ("collect", "--listen", "127.0.0.1:0"), ("work",), ("sink",)):
        begun = time.monotonic()
        said = refused(*verb, *wrong, code=5)
        assert "Authentication failed" in said and "does not accept who asks" in said, said
        assert time.monotonic() - begun < 10, verb
    for verb in (("topics", "check"), ("work",)):
        said = refused(*verb, *stranger, code=5)
        assert "certificate verify failed" in said and "is not trusted" in said, said

    check_refused_feed(space, wrong, "Authentication failed")
    check_refused_feed(space, stranger, "certificate verify failed")

    found = doctor(wrong, expect=1)
    assert found["kafka"][0] == "failure" and "Authentication failed" in found["kafka"][1] and "sasl.password_file" in found["kafka"][1]

    # What may be seen by others: nothing.
    (space.path / "guess").chmod(0o644)
    assert "may be read by others: chmod 600" in refused("lag", *wrong, code=2)
    said = refused("lag", *config, "--set", f"kafka.sasl.password={PASSWORD}", code=2)
    assert "sasl.password_file" in said and PASSWORD not in said
    dumped = tabiji("config", "dump", *config, "--origin")
    assert f"sasl.password_file = {space.path}/password" in dumped and PASSWORD not in dumped
    logs = "".join(log.read_text() for log in space.path.glob("*.log"))
    assert "safe" in logs and PASSWORD not in logs and NEXT_PASSWORD not in logs
    print("SASL_SSL: collect, work and sink; wrong password and untrusted certificate refused")


def main():
    with Workspace() as space:
        directory = space.path / "broker"
        try:
            bootstrap, secure = start_broker(directory)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            check_topics(space, bootstrap)
            check_running(space, bootstrap)
            check_secure(space, bootstrap, secure, directory)
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            kafka_broker.stop(directory)


if __name__ == "__main__":
    main()
