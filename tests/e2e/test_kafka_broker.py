#!/usr/bin/env python3
"""The broker that the Kafka tests rest on: it starts, carries records, keeps them over a restart, and ends."""
import shutil
import subprocess

import kafka_broker
from harness import Workspace, skip

RECORDS = 1000


def kcat(bootstrap, *arguments, stdin=None):
    return subprocess.run(["kcat", "-b", bootstrap, "-q", *arguments], input=stdin, capture_output=True, text=True,
                          check=True, timeout=60).stdout


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
        finally:
            kafka_broker.stop(directory)
    print(f"{RECORDS} records carried, and kept over a restart")


if __name__ == "__main__":
    main()
