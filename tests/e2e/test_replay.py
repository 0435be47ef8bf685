#!/usr/bin/env python3
"""Journeys made anew from timelines after a change of their settings: the tables of a fresh import under those settings; and who reads
meanwhile sees the old ones or the new ones, never some of each, solved models and their credits of touches included."""
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from harness import PROGRAM, ROOT, Workspace, same, tabiji

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
OTHER = ["--set", "journey.lookback_days=1", "--set", "journey.journey=reset", "--set", "journey.session_timeout=5 min", "--set",
         "journey.conversion_types=order_completed"]


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def dump(data):
    return tabiji("state", "dump", "--data", data)


def digest(data):
    return tabiji("state", "digest", "--data", data)


SIGN = """SELECT (SELECT count(*) || ' ' || sum(started_at % 1000003) FROM session), (SELECT count(*) FROM touch),
(SELECT count(*) || ' ' || sum(path_length) || ' ' || sum(content_hash % 1000003) FROM conversion),
(SELECT count(*) || ' ' || sum(weight_ppb * (touch_index + 2)) FROM attribution_credit), (SELECT count(*) || ' ' || sum(touches) FROM path),
(SELECT sum(touches) || ' ' || sum(sessions) || ' ' || sum(conversions) FROM person),
(SELECT group_concat(line, ',') FROM (SELECT model || ' ' || channel || ' ' || credited_revenue_minor AS line FROM v_model_comparison_long
    WHERE model IN ('markov', 'shapley') ORDER BY 1)),
(SELECT count(*) || ' ' || sum(weight_ppb % 1000003 * (touch_index + 2)) || ' ' || count(DISTINCT model_version) FROM model_credit)"""


def sign(data):
    """What tells the tables of two meanings apart, in one reading."""
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True, timeout=30)
    try:
        return db.execute(SIGN).fetchone()
    finally:
        db.close()


class Watch:
    """Reads again and again beside what happens, by a connection that stays and by new ones."""

    def __init__(self, data):
        self.data, self.seen, self.reads, self.ends = data, [], 0, False

    def look(self):
        kept = sqlite3.connect(f"file:{self.data}/tabiji.db?mode=ro", uri=True, timeout=30)
        while not self.ends:
            found = kept.execute(SIGN).fetchone() if self.reads % 2 else sign(self.data)
            self.reads += 1
            if not self.seen or self.seen[-1] != found:
                self.seen.append(found)
        kept.close()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


# So many rows change that, as ordinary ones, they would be seen by and by.
FAR = ["--set", "journey.lookback_days=1", "--set", "journey.session_timeout=1 s", "--set", "journey.conversion_types=page_viewed"]
SMALL = ["--set", "sink.sqlite.batch=1000"]


def replaying(data, growth, *settings):
    """Replays until one is not killed, after longer and longer; yields after each kill."""
    moment = 0.08
    while True:
        process = subprocess.Popen([PROGRAM, "replay", "--from", "timelines", "--data", str(data), *settings], stdout=subprocess.DEVNULL)
        try:
            assert process.wait(moment) == 0
            return
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moment *= growth
            yield


def watched(space, data, one, wanted):
    """Old or new, with kills at many moments; also where another verb brings what a replay left to be brought."""
    old, kept = sign(data), space.path / "old.db"
    shutil.copy(data / "tabiji.db", kept)
    with Watch(data) as watch:
        kills = sum(1 for _ in replaying(data, 1.6, *FAR, *SMALL))
        time.sleep(0.2)
    new = sign(data)
    assert new != old and watch.seen == [old, new], (kills, old, new, watch.seen)
    assert kills > 3 and watch.reads > 10, (kills, watch.reads)
    same(f"made anew, killed {kills} times and read {watch.reads} times", digest(data), wanted)
    for name in ("tabiji.db", "tabiji.db-wal", "tabiji.db-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.copy(kept, data / "tabiji.db")
    assert sign(data) == old
    with Watch(data) as watch:
        run("import", "--data", data, "--mapping", MAPPING, *FAR, *SMALL, one)
        time.sleep(0.2)
    assert watch.seen == [old, new], (watch.reads, watch.seen)
    same("brought by another verb", digest(data), wanted)


def cut_off(data, one, old, new):
    """On the way back a directory is of neither meaning: whatever lets another verb go on has its own tables, whole."""
    refused = 0
    for _ in replaying(data, 1.25):
        both = 0
        for settings, wanted in ((FAR, new), ([], old)):
            found = subprocess.run([PROGRAM, "import", "--data", data, "--mapping", MAPPING, *settings, one], capture_output=True, text=True)
            assert found.returncode in (0, 2), found.stderr
            both += found.returncode == 2
            assert found.returncode == 2 or digest(data) == wanted, (settings, "mixed")
        refused += both == 2
    assert refused, "never cut off on the way"
    same(f"and back, cut off {refused} times on the way", digest(data), old)


def killed_and_read(space):
    data, events, one, other = (space.path / name for name in ("large", "large.ndjson", "one.ndjson", "large-other"))
    events.write_text(tabiji("generate", "--events", 100000, "--seed", 4))
    one.write_text(events.read_text().split("\n", 1)[0] + "\n")
    run("import", "--data", data, "--mapping", MAPPING, events)
    run("import", "--data", other, "--mapping", MAPPING, *FAR, events)
    old, new = digest(data), digest(other)
    watched(space, data, one, new)
    cut_off(data, one, old, new)


def main():
    with Workspace() as space:
        events = space.path / "events.ndjson"
        events.write_text(tabiji("generate", "--events", 20000, "--seed", 3))
        data, other = space.path / "data", space.path / "other"
        run("import", "--data", data, "--mapping", MAPPING, events)
        run("import", "--data", other, "--mapping", MAPPING, *OTHER, events)
        before, wanted = dump(data), dump(other)
        assert before != wanted
        refused = run("import", "--data", data, "--mapping", MAPPING, *OTHER, events, code=2)
        assert "is:  lookback 1 days" in refused.stderr and "replay --from timelines" in refused.stderr, refused.stderr
        assert dump(data) == before
        assert "is as its settings say" in run("replay", "--from", "timelines", "--data", data, *OTHER).stdout
        same("nothing left to do", dump(data), wanted)
        killed_and_read(space)
        run("import", "--data", data, "--mapping", MAPPING, *OTHER, events)
        same("the same import again", dump(data), wanted)
        run("replay", "--from", "timelines", "--data", data)
        same("and back", dump(data), before)
        run("replay", "--from", "timelines", "--data", data, "--set", "identity.generic_up=4", code=2)
        run("replay", "--data", data, code=2)
        same("refused, untouched", dump(data), before)


if __name__ == "__main__":
    main()
