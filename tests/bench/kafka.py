#!/usr/bin/env python3
"""Starts a broker and runs bench_kafka on it: the worker's loop against the bare loop.

usage: kafka.py BENCH_KAFKA [RECORDS [BATCH...]]
"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import kafka_broker  # noqa: E402


def main():
    program = sys.argv[1]
    records = sys.argv[2] if len(sys.argv) > 2 else "300000"
    batches = sys.argv[3:] or ["10000"]
    for batch in batches:
        with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as directory:
            try:
                bootstrap, _ = kafka_broker.start(directory)
            except kafka_broker.Unavailable as reason:
                print(f"skipped: no Kafka broker: {reason}")
                sys.exit(77)
            try:
                subprocess.run([program, bootstrap, records, batch], check=True)
            finally:
                kafka_broker.stop(directory)


if __name__ == "__main__":
    main()
