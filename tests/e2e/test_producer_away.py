#!/usr/bin/env python3
"""A collector that is killed amid events and stays away: one producer keeps what comes in its spool, another in its queue until that is
full, and blocks. Memory and files stay within what they were given; with the collector back, all is in the tables, once.

usage: test_producer_away.py PRODUCER-FEED            with TABIJI_LONG=1 a million events, away for ten minutes
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from harness import LONG, Workspace, free_port, ready, rows_so_far, stop, wait_until

SPOOLED, QUEUED, AWAY_SECONDS = (1_000_000, 250_000, 600) if LONG else (40_000, 10_000, 2)
FIRST = 1000  # of each, before the collector is killed
PATIENCE = 3000 if LONG else 120
LINE_BYTES = 250  # at most
SPOOL_BYTES = SPOOLED * LINE_BYTES
QUEUE_BYTES = QUEUED * LINE_BYTES // 4  # so that it is filled
REST_KIB = 32 << 10  # beside what waits in memory: the library, its requests, libcurl
START_MS = 1795139999000


def lines(name, begin, end):
    """Views of many customers, and their purchases."""
    for n in range(begin, end):
        more = f'"type":"store_purchase","order":{{"order_id":"{name}-{n}","revenue":"{n % 9000}","currency":"JPY"}}' if n % 50 == 0 else \
            f'"type":"page_viewed","page":{{"url":"https://shop.example.jp/{n % 700}"}}'
        yield f'{{"id":"{name}-{n}","time":{START_MS + 40 * n},"ids":{{"cookie":"{name}{n % 30011}"}},{more}}}\n'.encode()


class Feed:
    """A process with one producer, and what it was seen to use."""

    def __init__(self, space, program, name, count, port, **options):
        self.name, self.count, self.most_kib, self.most_spool = name, count, 0, 0
        self.spool = options.get("spool_dir")
        words = [f"{key}={value}" for key, value in options.items()]
        self.log = space.path / f"{name}.log"
        self.process = subprocess.Popen([program, f"url=http://127.0.0.1:{port}", f"wait_ms={PATIENCE * 1000}", "queue_timeout_ms=-1", *words],
                                        stdin=subprocess.PIPE, stdout=open(self.log, "w"))
        space.processes.append(self.process)

    def feed(self, begin, end):
        for line in lines(self.name, begin, end):
            self.process.stdin.write(line)
        self.process.stdin.flush()

    def rest(self):
        self.feed(FIRST, self.count)
        self.process.stdin.close()

    def look(self):
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except FileNotFoundError:
            return
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        self.most_kib = max(self.most_kib, int(peak[1]) if peak else 0)
        if self.spool:
            self.most_spool = max(self.most_spool, files(self.spool))

    def said(self):
        return self.log.read_text().splitlines()


def files(directory):
    """Bytes of a directory's files, of which any may go meanwhile."""
    total = 0
    for file in pathlib.Path(directory).iterdir():
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            pass
    return total


def start(space, data, port):
    process = space.start("run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=dev")
    wait_until(lambda: ready(port), "the collector")
    return process


def look_until(feeds, condition, what, timeout):
    def looked():
        for feed in feeds:
            feed.look()
        return condition()

    wait_until(looked, what, timeout)


def check_away(data, collector, feeds):
    """Kills it amid events; all that come are taken, or wait for room, until it has been away for so long."""
    for feed in feeds:
        feed.feed(0, FIRST)
    wait_until(lambda: rows_so_far(data, "SELECT 1 FROM event LIMIT 1"), "the first events")
    collector.send_signal(signal.SIGKILL)
    collector.wait()
    gone = time.monotonic()
    threads = [threading.Thread(target=feed.rest, daemon=True) for feed in feeds]
    for thread in threads:
        thread.start()
    spooled, queued = feeds
    look_until(feeds, lambda: any(line.startswith("taken ") for line in spooled.said()), "all events in the spool", PATIENCE)
    took = time.monotonic() - gone
    look_until(feeds, lambda: time.monotonic() - gone > AWAY_SECONDS, "the time to pass", AWAY_SECONDS + 10)
    assert spooled.said()[:1] == [f"taken {SPOOLED}"] and queued.said() == [], (spooled.said(), queued.said())
    print(f"away for {time.monotonic() - gone:.0f} s; {SPOOLED} events spooled within {took:.0f} s", flush=True)
    return threads


def check_back(data, feeds, threads):
    """All that waited arrives, within the limits."""
    begun = time.monotonic()
    look_until(feeds, lambda: all(feed.process.poll() is not None for feed in feeds), "all to be sent", PATIENCE)
    drained = time.monotonic() - begun
    for thread in threads:
        thread.join()
    total = SPOOLED + QUEUED
    wait_until(lambda: rows_so_far(data, "SELECT count(*) FROM event") == [(total,)], f"{total} events", PATIENCE)
    in_tables = time.monotonic() - begun
    assert rows_so_far(data, "SELECT count(DISTINCT event_id), (SELECT count(*) FROM rejected) FROM event") == [(total, 0)]
    for feed in feeds:
        end = json.loads(feed.said()[-1])
        said = [line for line in feed.said()[:-1] if not line.startswith("failing ")]
        assert feed.process.returncode == 0 and said == [f"taken {feed.count}"], (feed.process.returncode, said[-5:])
        assert (end["taken"], end["delivered"], end["rejected"], end["dropped"]) == (feed.count, feed.count, 0, 0) and end["failed"] > 0, end
    print(f"back: sent within {drained:.0f} s, {total} rows within {in_tables:.0f} s", flush=True)


def check_limits(spooled, queued):
    print(f"spooled: {spooled.most_kib} KiB of memory, {spooled.most_spool} bytes of files of {SPOOL_BYTES}; "
          f"queued: {queued.most_kib} KiB of memory with a limit of {QUEUE_BYTES} bytes", flush=True)
    assert SPOOLED * LINE_BYTES // 3 < spooled.most_spool <= SPOOL_BYTES, spooled.most_spool
    assert 0 < spooled.most_kib < REST_KIB, spooled.most_kib  # whatever waits on the disk
    assert QUEUE_BYTES // 1024 < queued.most_kib < REST_KIB + 2 * QUEUE_BYTES // 1024, queued.most_kib
    assert files(spooled.spool) < 1 << 20, "files that stay"


def main():
    program = sys.argv[1]
    with Workspace() as space:
        data, port = space.path / "data", free_port()
        pause = {} if LONG else {"retry_max_ms": 300}
        collector = start(space, data, port)
        feeds = (Feed(space, program, "s", SPOOLED, port, spool_dir=space.path / "spool", spool_bytes_max=SPOOL_BYTES, **pause),
                 Feed(space, program, "q", QUEUED, port, queue_bytes_max=QUEUE_BYTES, queue_events_max=QUEUED, **pause))
        threads = check_away(data, collector, feeds)
        collector = start(space, data, port)
        check_back(data, feeds, threads)
        check_limits(*feeds)
        assert stop(collector) == 0


main()
