#!/usr/bin/env python3
"""Starts and stops one real Kafka broker (KRaft, one node, loopback) for tests.

usage: kafka_broker.py install          fetch the broker's jars by Maven, once, into the user's cache
       kafka_broker.py start DIR        format DIR, start, wait until ready; prints "<bootstrap address> <pid>"
       kafka_broker.py stop DIR         end the broker of DIR by its process id

KAFKA_TEST_VERSION chooses another version than the usual one.
The jars are kept in $XDG_CACHE_HOME/tabiji/kafka-<version> (~/.cache), outside the source tree.
"""
import argparse
import base64
import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import xml.etree.ElementTree

import harness

HERE = pathlib.Path(__file__).resolve().parent
POM = HERE / "kafka" / "pom.xml"
READY_SECONDS = 90
STOP_SECONDS = 30
# A small broker: the compiler's second stage does not pay off within a test.
JVM = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Unavailable(Exception):
    """No broker can be had here; a test that needs one says so and is skipped."""


def version():
    """Of the broker: KAFKA_TEST_VERSION, else that of pom.xml."""
    return os.environ.get("KAFKA_TEST_VERSION") or xml.etree.ElementTree.parse(POM).findtext(".//{*}kafka.version")


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "tabiji" / f"kafka-{version()}"


def install():
    """Directory of the jars; fetches them when absent. A half-fetched directory never gets the final name."""
    libs = cache() / "libs"
    if libs.is_dir():
        return libs
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed")
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if libs.is_dir():
            return libs
        print(f"fetching Kafka {version()} by Maven into {cache()}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=cache()) as work:
            shutil.copy(POM, work)
            run = subprocess.run(["mvn", "-q", "-B", f"-Dkafka.version={version()}", "dependency:copy-dependencies", "-DincludeScope=runtime",
                                  f"-DoutputDirectory={work}/libs"], cwd=work, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if run.returncode != 0:
                raise Unavailable(f"Maven could not fetch the jars:\n{run.stdout[-2000:]}")
            os.rename(f"{work}/libs", libs)
    return libs


def free_ports(count):
    return [harness.free_port() for _ in range(count)]


def write_properties(directory, port, voters, node=1, proxied=None):
    """voters: the controllers' ports by node. proxied: (port, advertised port) of a second listener, which is reached through a
    proxy alone: who bootstraps there is told the advertised address."""
    replicas = min(3, len(voters))
    second, told, kind = "", "", ""
    if proxied:
        second, told, kind = f",PROXIED://127.0.0.1:{proxied[0]}", f",PROXIED://127.0.0.1:{proxied[1]}", ",PROXIED:PLAINTEXT"
    text = f"""process.roles=broker,controller
node.id={node}
controller.quorum.voters={",".join(f"{n}@127.0.0.1:{p}" for n, p in voters.items())}
listeners=PLAINTEXT://127.0.0.1:{port}{second},CONTROLLER://127.0.0.1:{voters[node]}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{told}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{kind}
log.dirs={directory}/log
num.partitions=4
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={(replicas + 1) // 2}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={(replicas + 1) // 2}
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""
    (directory / "server.properties").write_text(text)


def answers(port, process):
    """The broker takes connections and knows itself: an ApiVersions request (v0) gets a reply without error."""
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x02ok"
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
                s.sendall(len(request).to_bytes(4, "big") + request)
                reply = s.recv(10)
                if len(reply) == 10 and reply[8:10] == b"\x00\x00":
                    return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def java(libs, *arguments):
    return ["java", *JVM, "-cp", f"{libs}/*", *arguments]


def launch(directory):
    """Starts the broker of a formatted directory (again); returns (bootstrap address, pid)."""
    directory = pathlib.Path(directory).resolve()
    properties = directory / "server.properties"
    port = int(re.search(r"advertised.listeners=PLAINTEXT://127.0.0.1:(\d+)", properties.read_text())[1])
    with open(directory / "broker.log", "ab") as log:
        process = subprocess.Popen(java(install(), "kafka.Kafka", str(properties)), stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, cwd=directory, start_new_session=True)
    if not answers(port, process):
        process.kill()
        process.wait()
        raise RuntimeError(f"the broker did not come up:\n{(directory / 'broker.log').read_text()[-2000:]}")
    (directory / "pid").write_text(f"{process.pid}\n")
    return f"127.0.0.1:{port}", process.pid


def prepare(directory, cluster, port, voters, **listing):
    """Formats an empty directory for a broker."""
    libs = install()
    if not shutil.which("java"):
        raise Unavailable("java is not installed")
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "server.properties").exists():
        raise RuntimeError(f"{directory} holds a broker already")
    write_properties(directory, port, voters, **listing)
    run = subprocess.run(java(libs, "kafka.tools.StorageTool", "format", "-t", cluster, "-c",
                              str(directory / "server.properties")), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory)
    if run.returncode != 0:
        raise RuntimeError(f"format failed:\n{run.stdout[-2000:]}")


def new_cluster():
    cluster = "-"
    while cluster.startswith("-"):  # Kafka's tool would take it for an option
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster


def start(directory, advertised=None):
    """Formats an empty directory and starts a broker on free ports; returns (bootstrap address, pid). advertised: the port of a
    proxy that goes before it; proxied_port() is where that leads."""
    directory = pathlib.Path(directory).resolve()
    port, controller, behind = free_ports(3)
    prepare(directory, new_cluster(), port, {1: controller}, proxied=(behind, advertised) if advertised else None)
    return launch(directory)


def start_three(directory):
    """Three brokers, replicas of all topics on each, two of them in sync at least; returns their addresses, comma-separated, and
    their directories."""
    ports = free_ports(6)
    voters = {node: ports[2 + node] for node in (1, 2, 3)}
    cluster = new_cluster()
    directories = [pathlib.Path(directory).resolve() / str(node) for node in voters]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(prepare, d, cluster, ports[n], voters, node=n + 1) for n, d in enumerate(directories)]:
            done.result()
        addresses = [done.result()[0] for done in [pool.submit(launch, d) for d in directories]]
    return ",".join(addresses), directories


def proxied_port(directory):
    return int(re.search(r"listeners=.*,PROXIED://127.0.0.1:(\d+),CONTROLLER", (pathlib.Path(directory) / "server.properties").read_text())[1])


def stop(directory, sig=signal.SIGTERM):
    """Ends the broker of a directory by its process id, and waits for its end; no broker is no error."""
    pid_file = pathlib.Path(directory) / "pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    if not ours(pid, pathlib.Path(directory).resolve()):
        pid_file.unlink()
        return
    end = time.monotonic() + STOP_SECONDS
    try:
        os.kill(pid, sig)
        while running(pid):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                end += STOP_SECONDS
            time.sleep(0.05)
    except ProcessLookupError:
        pass
    pid_file.unlink()


def ours(pid, directory):
    """The process is this directory's broker, not another one that got the number since."""
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(directory / "server.properties") in command


def running(pid):
    try:
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            return True
        return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def of(space):
    """A broker in the workspace: yields its bootstrap address and directory; at the end the workspace's processes are killed,
    then the broker ends. Where none can be had the test is skipped."""
    directory = space.path / "broker"
    try:
        bootstrap, _ = start(directory)
    except Unavailable as reason:
        harness.skip(f"no Kafka broker: {reason}")
    try:
        yield bootstrap, directory
    finally:
        for process in space.processes:
            if process.poll() is None:
                process.kill()
        stop(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("install", "start", "stop"))
    parser.add_argument("directory", nargs="?")
    arguments = parser.parse_args()
    if arguments.verb != "install" and not arguments.directory:
        parser.error("which directory?")
    try:
        if arguments.verb == "install":
            print(install())
        elif arguments.verb == "start":
            print(*start(arguments.directory))
        else:
            stop(arguments.directory)
    except Unavailable as reason:
        print(f"skipped: no Kafka broker: {reason}")
        sys.exit(77)


if __name__ == "__main__":
    main()
