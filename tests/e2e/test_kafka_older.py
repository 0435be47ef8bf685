#!/usr/bin/env python3
"""Events on a topic that an older build framed make the same tables; one of an unknown schema is found among the rejected, whole;
mail of an unknown schema ends the worker, and stays where it is."""
import shutil
import subprocess
import sys

import harness
import kafka_broker
from harness import Workspace, tabiji, wait_until
from test_kafka_pipeline import MODELS, Cluster, digest, dump, touch_credits
from test_older import MAPPING

TOY, OLDER_TABIJI, OLDER_DIRECTORY, OLDER_PRODUCER = sys.argv[1:5]


def check(space, bootstrap):
    events, plain, older = space.path / "events.ndjson", space.path / "plain", space.path / "old"
    events.write_text(tabiji("generate", "--events", 1500, "--seed", 7))
    tabiji("import", "--data", plain, "--mapping", MAPPING, events, *MODELS)
    shutil.copytree(plain, older)
    subprocess.run([OLDER_DIRECTORY, older], check=True)
    cluster = Cluster(space, TOY, bootstrap, "older")

    def send(what, argument):
        subprocess.run([OLDER_PRODUCER, bootstrap, "older", "4", what, str(argument)], check=True)

    cluster.sink()
    worker = cluster.work("0")
    wait_until(lambda: "joined group" in (cluster.path / "2-work.log").read_text(), "the worker")
    send("log", older)
    cluster.check("events of an older build over Kafka", digest(plain), dump(plain), touch_credits(plain))
    send("events", 9999)
    wait_until(lambda: "schema_unknown" in tabiji("rejected", "list", "--data", cluster.database), "the rejected event", 120)
    send("journey", 9999)
    assert worker.wait(120) == 1
    assert cluster.work("0").wait(120) == 1, "the mail is still there"
    for log in ("2-work.log", "3-work.log"):
        said = (cluster.path / log).read_text()
        assert "kafka_newer" in said and "schema id 9999" in said, said[-2000:]


def main():
    harness.PROGRAM = OLDER_TABIJI
    with Workspace() as space, kafka_broker.of(space) as (bootstrap, _):
        check(space, bootstrap)


if __name__ == "__main__":
    main()
