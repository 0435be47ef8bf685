"""What the fault tests hold the pipeline to: a ledger of what was acknowledged, and the checks I1 to I8.

A: ids answered 2xx. U: ids whose outcome is unknown; they are sent again with the same id. S: the ids in a sink, as often as they
are there. D: the ids that the sink has in `rejected`.
"""
import collections
import http.client
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import threading

ID = re.compile(rb"f-\d{7}")


class Ledger:
    def __init__(self, path):
        self.file = open(path, "w")
        self.lines = {}  # by id, of all that was ever sent
        self.acknowledged = set()
        self.refused = set()  # of those, what the door put to rejected
        self.conflicting = []  # lines
        self.conflicts = set()  # other bodies under an id that had one
        self.unknown = {}
        self.first_try = []  # ids in the order of their acknowledgement, those whose first try was acknowledged
        self.statuses = collections.Counter()
        self.lock = threading.Lock()

    def send(self, port, lines, timeout=40, ordered=True):
        """One request. Returns its status, or None when there was no answer. ordered: I5 looks at them."""
        events = {json.loads(line)["id"]: line for line in lines}
        with self.lock:
            fresh = [i for i in events if i not in self.lines]
            self.lines.update(events)
            self.unknown.update((i, line) for i, line in events.items() if i not in self.acknowledged)
        status, refused = self._post(port, lines, timeout)
        with self.lock:
            self.statuses[status] += 1
            self.refused |= {json.loads(lines[n])["id"] for n in refused}
            if status == 200:
                self.file.writelines(f"{i}\n" for i in events)
                self.file.flush()
                os.fsync(self.file.fileno())
                self.acknowledged |= set(events)
                self.first_try += fresh if ordered else []
                for i in events:
                    self.unknown.pop(i, None)
        return status

    @staticmethod
    def _post(port, lines, timeout):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
            connection.request("POST", "/v1/events", ("\n".join(lines) + "\n").encode(), {"Content-Type": "application/x-ndjson"})
            reply = connection.getresponse()
            text = reply.read()
            connection.close()
        except (OSError, http.client.HTTPException):
            return None, []
        verdict = {}
        if reply.status == 503:
            assert reply.headers["Retry-After"], "503 without Retry-After"
        elif reply.status == 200:
            verdict = json.loads(text)
            assert verdict["accepted"] + verdict.get("duplicates", 0) + len(verdict.get("rejected", [])) == len(lines), verdict
        return reply.status, [entry["index"] for entry in verdict.get("rejected", [])]

    def send_conflict(self, port, line):
        """Another body under an id that was acknowledged: the first stands, this one goes to rejected."""
        assert json.loads(line)["id"] in self.acknowledged
        status, _ = self._post(port, [line], 40)
        assert status == 200, status
        self.conflicting.append(line)
        self.conflicts.add(json.loads(line)["id"])

    def resend(self, port):
        """What is unknown is sent again, once. Returns whether nothing is unknown any more."""
        lines = list(self.unknown.values())
        for at in range(0, len(lines), 100):
            self.send(port, lines[at:at + 100])
        return not self.unknown


def read_sink(database):
    """S and D of one moment; of D the other bodies of ids that are in S by themselves."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        db.execute("BEGIN")
        stored = collections.Counter(i for i, in db.execute("SELECT event_id FROM event"))
        rejected = collections.Counter(i for i, in db.execute("SELECT event_id FROM rejected WHERE reason <> 'id_conflict'"))
        conflicts = collections.Counter(i for i, in db.execute("SELECT event_id FROM rejected WHERE reason = 'id_conflict'"))
    finally:
        db.close()
    return stored, rejected, conflicts


def check_sets(ledger, stored, rejected, conflicts, settled):
    """I1, I2, I3; settled: all that was unknown has been sent again, and the sink has come to rest."""
    both = set(stored) | set(rejected)
    sent = ledger.acknowledged | set(ledger.unknown)
    missing = ledger.acknowledged - both
    assert not missing or not settled, f"I1: {len(missing)} acknowledged ids are nowhere, {sorted(missing)[:3]}"
    twice = [i for i, n in (stored + rejected).items() if n > 1]
    assert not twice, f"I2: {len(twice)} ids are there more than once, {sorted(twice)[:3]}"
    assert both <= sent, f"I3: {len(both - sent)} ids that nobody sent, {sorted(both - sent)[:3]}"
    if settled:
        assert not ledger.unknown and both == ledger.acknowledged, f"I3: S + D = A fails, {len(both)} and {len(ledger.acknowledged)}"
    assert not settled or conflicts == collections.Counter(ledger.conflicts), f"conflicts: {conflicts} and {ledger.conflicts}"


def read_topic(bootstrap, topic):
    """(partition, key, id) of each event in its topic, in order within partitions."""
    run = subprocess.run(["kcat", "-b", bootstrap, "-q", "-C", "-e", "-t", topic, "-f", "%p %K %S\n%k%s"], capture_output=True, check=True,
                         timeout=120)
    data, at, out = run.stdout, 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        partition, key_size, size = map(int, data[at:end].split())
        key = data[end + 1:end + 1 + key_size]
        at = end + 1 + key_size + size
        found = ID.search(data[end + 1 + key_size:at])
        if found:
            out.append((partition, key, found[0].decode()))
    return out


def check_order(ledger, records):
    """I5: of each key, ids that were acknowledged at the first try appear first in the order in which they were acknowledged.
    Returns how many keys had several."""
    place = {i: n for n, i in enumerate(ledger.first_try)}
    seen, keys = set(), collections.defaultdict(list)
    for _, key, i in records:
        if i in place and i not in seen:
            keys[key].append(place[i])
        seen.add(i)
    for key, places in keys.items():
        assert places == sorted(places), f"I5: events of key {key.hex()} have changed places"
    return sum(len(places) > 1 for places in keys.values())


def check_durable(ledger, records, spools):
    """I8: what was acknowledged is in the topic or in a spool's file, before anything is started again."""
    found = {i for _, _, i in records}
    for spool in spools:
        for path in pathlib.Path(spool).glob("*.spool"):
            found |= {i.decode() for i in ID.findall(path.read_bytes())}
    missing = ledger.acknowledged - found - ledger.refused
    assert not missing, f"I8: {len(missing)} acknowledged ids are not durable, {sorted(missing)[:3]}"


def memory_kib(process):
    """Resident memory of a process: the peak since the last reset_peak(), KiB."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1])


def reset_peak(process):
    pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))
