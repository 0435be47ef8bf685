#!/usr/bin/env python3
"""The examples of libtabiji against the collector: what they send is in the tables, once, also when a till sends it again.

usage: test_producer_examples.py DIRECTORY-OF-THE-EXAMPLES
"""
import subprocess
import sys

from harness import Workspace, free_port, ready, rows_so_far, stop, wait_until

CALLS = """2026-11-20T10:15:00+09:00 CA1 started 03-1234-5678 returns - 0 0
2026-11-20T10:15:12+09:00 CA1 answered 03-1234-5678 returns a-7 12000 0
2026-11-20T10:18:15+09:00 CA1 ended 03-1234-5678 returns a-7 12000 183000
2026-11-20T10:18:15+09:00 CA1 ended 03-1234-5678 returns a-7 12000 183000
2026-11-20T10:20:00+09:00 CA2 started - orders - 0 0
2026-11-20T10:20:30+09:00 CA2 abandoned - orders - 30000 0
"""


def check_offline_day(directory, port, spool):
    """Nobody is there: the till is content, and its receipts are on the disk."""
    done = subprocess.run([f"{directory}/pos_receipt", f"http://127.0.0.1:{port}", "", spool], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.startswith("3 receipts: kept: "), done
    assert b"R-1002" in b"".join(file.read_bytes() for file in spool.glob("*.spool"))


def run(directory, name, port, stdin="", *more):
    done = subprocess.run([f"{directory}/{name}", f"http://127.0.0.1:{port}", *more], input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, (name, done)
    return done.stdout


def main():
    directory = sys.argv[1]
    with Workspace() as space:
        data, port = space.path / "data", free_port()
        check_offline_day(directory, port, space.path / "spool")
        collector = space.start("run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=dev")
        wait_until(lambda: ready(port), "the collector")
        run(directory, "pos_receipt", port, "", "", space.path / "spool")
        assert not list((space.path / "spool").glob("*.spool"))  # all of it was sent
        run(directory, "pos_receipt", port)
        run(directory, "call_center", port, CALLS)
        said = run(directory, "app_server", port)
        assert said.startswith("220 taken, 220 delivered, 0 rejected, "), said
        wanted = {"store_purchase": 2, "item_returned": 1, "call_started": 2, "call_answered": 1, "call_ended": 1, "call_abandoned": 1,
                  "page_viewed": 200, "order_completed": 20}
        wait_until(lambda: dict(rows_so_far(data, "SELECT type, count(*) FROM event GROUP BY type")) == wanted, f"{wanted}")
        assert stop(collector) == 0
        assert rows_so_far(data, "SELECT reason, pointer FROM rejected") == []
    print("examples of libtabiji: all in the tables, once")


main()
