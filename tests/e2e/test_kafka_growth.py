#!/usr/bin/env python3
"""`[worker] memory` holds: what a worker takes besides pages of its state stays within it while the state grows. With TABIJI_LONG=1 in a
control group of twice that, to ten times the group's limit: the worker lives, and goes on at a rate that does not collapse."""
import argparse
import sys

from harness import LONG, ROOT, Workspace, skip
import kafka_broker

sys.path.insert(0, str(ROOT / "tests" / "bench"))
import growth  # noqa: E402

SLICE_MIB = 80  # 38 is what it takes; without [worker] memory it is 115
SLOWEST = 0.25  # of the rate from 2 to 5 times the limit, that from 5 to 10; 0.65 was seen


def main():
    arguments = argparse.Namespace(toy=sys.argv[1], events=1_200_000 if LONG else 15_000, limit_mib=192)
    with Workspace() as space:
        try:
            if not LONG:
                worker = growth.run(arguments, space.path, None)
                assert worker.most < SLICE_MIB, f"{worker.most} MiB"
                return
            with growth.limited(arguments.limit_mib) as group:
                worker = growth.run(arguments, space.path, group)
        except kafka_broker.Unavailable as reason:
            skip(f"no Kafka broker: {reason}")
        assert growth.state_mib(worker.state) > 8 * worker.limit, "the state has not grown"
        assert worker.rates[-1] > SLOWEST * worker.rates[-2], worker.rates


if __name__ == "__main__":
    main()
