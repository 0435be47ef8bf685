#!/usr/bin/env python3
"""The broker that the Kafka tests rest on: it starts, carries records, keeps them over a restart, and ends. While it is there, libtabiji
sends to it (producer_kafka.py). With TABIJI_LONG=1 the tests of the driver and of the pipeline once more on a newer broker, with a newer
librdkafka, and with both.

usage: test_kafka_broker.py KAFKA-TOY [PRODUCER-FEED SHARED-LIBRARY]
"""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

import kafka_broker
from harness import LONG, Workspace, skip

RECORDS = 1000
NEWER_BROKER = "4.3.1"
HERE = pathlib.Path(__file__).resolve().parent


def kcat(bootstrap, *arguments, stdin=None):
    return subprocess.run(["kcat", "-b", bootstrap, "-q", *arguments], input=stdin, capture_output=True, text=True,
                          check=True, timeout=60).stdout


def newer_librdkafka(space):
    """A directory for LD_LIBRARY_PATH with the librdkafka of PyPI's confluent-kafka wheel."""
    home = kafka_broker.cache().parent / "confluent-kafka"
    if not (home / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    subprocess.run([home / "bin" / "pip", "install", "-q", "--upgrade", "confluent-kafka"], check=True)
    library, = home.glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so.1")
    link = space.path / "lib" / "librdkafka.so.1"
    link.parent.mkdir()
    link.symlink_to(library)
    version = ctypes.CDLL(str(library)).rd_kafka_version_str
    version.restype = ctypes.c_char_p
    print(f"newer librdkafka: {version().decode()}", flush=True)
    return link.parent


def check_newer(space, toy):
    library = newer_librdkafka(space)
    usual = kafka_broker.version()
    for broker, path in ((NEWER_BROKER, ""), (usual, library), (NEWER_BROKER, library)):
        for script in ("test_kafka_driver.py", "test_kafka_pipeline.py"):
            print(f"== {script} on broker {broker}, {'newer' if path else 'the usual'} librdkafka", flush=True)
            environment = {**os.environ, "KAFKA_TEST_VERSION": broker, "TABIJI_LONG": "0"}
            if path:
                environment["LD_LIBRARY_PATH"] = str(path)
            subprocess.run([sys.executable, HERE / script, toy], env=environment, check=True, timeout=1800)


def check_producer(space, bootstrap, directory):
    """Where the library is built."""
    if len(sys.argv) > 2:
        import producer_kafka
        producer_kafka.producer_events.tabiji.load(sys.argv[3])
        producer_kafka.check(space, sys.argv[1], sys.argv[2], bootstrap, directory)


def main():
    if not shutil.which("kcat"):
        skip("kcat is not installed")
    with Workspace() as space:
        directory = space.path / "broker"
        try:
            bootstrap, pid = kafka_broker.start(directory)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        try:
            subprocess.run(kafka_broker.java(kafka_broker.install(), "org.apache.kafka.tools.TopicCommand", "--create",
                                             "--bootstrap-server", bootstrap, "--topic", "smoke", "--partitions", "2"),
                           check=True, capture_output=True, timeout=60)
            wanted = [f"record {n}" for n in range(RECORDS)]
            kcat(bootstrap, "-P", "-t", "smoke", "-X", "enable.idempotence=true", stdin="\n".join(wanted) + "\n")
            read = ("-C", "-t", "smoke", "-o", "beginning", "-e")
            assert sorted(kcat(bootstrap, *read).split("\n")[:-1]) == sorted(wanted)

            kafka_broker.stop(directory)
            assert not kafka_broker.running(pid), "the broker still runs"
            again, _ = kafka_broker.launch(directory)
            assert again == bootstrap
            assert sorted(kcat(bootstrap, *read).split("\n")[:-1]) == sorted(wanted)
            print(f"{RECORDS} records carried, and kept over a restart", flush=True)
            check_producer(space, bootstrap, directory)
        finally:
            for process in space.processes:
                if process.poll() is None:
                    process.kill()
            kafka_broker.stop(directory)

    if LONG:
        with Workspace() as space:
            check_newer(space, sys.argv[1])


if __name__ == "__main__":
    main()
