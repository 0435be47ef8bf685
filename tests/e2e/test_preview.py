#!/usr/bin/env python3
"""What an operator's word would change, as the preview says it, against what it does when it is spoken."""
import json
import signal
import socket
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace, free_port, wait_until

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
PHONE = "090-1234-5678"


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def event(number, time_of_day, kind="page_viewed", **ids):
    return {"id": f"e{number}", "type": kind, "time": f"2026-11-20T{time_of_day}:00+09:00", "ids": ids}


# A family's phone: the mother's and the son's accounts; a call of which only the number is known. A tablet in a shop.
EVENTS = [
    event(1, "10:00", login="u-mother", phone=PHONE),
    event(2, "10:30", login="u-mother", phone=PHONE),
    event(3, "11:00", login="u-son", phone=PHONE),
    event(4, "12:00", kind="call_started", phone="+81 90 1234 5678"),
    event(5, "13:00", login="u-son", cookie="c-son"),
    event(6, "13:05", cookie="c-son"),
    event(7, "14:00", login="u-alone", phone="03-1234-5678"),
    event(8, "14:30", cookie="c-unsure", login="u-alone"),
    event(9, "14:40", cookie="c-unsure", login="u-mother"),
    event(10, "14:50", cookie="c-unsure"),
]


def load(data, events):
    file = data.parent / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    run("import", "--data", data, "--mapping", MAPPING, file)


def query(data, question, *values):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = db.execute(question, values).fetchall()
    db.close()
    return found


def placed(data):
    events = dict(query(data, "SELECT event_id, hex(person) FROM event"))
    identifiers = {(n, v): p for n, v, p in query(data, "SELECT namespace, value, hex(person) FROM identifier")}
    return events, identifiers


def preview(data, word, a, b):
    """What the preview says; and that it leaves no trace."""
    files = [*(data / "state").iterdir(), *(data / "log").iterdir(), data / "tabiji.db"]
    before = {f: f.read_bytes() for f in files if f.name != "lock.mdb"}
    found = json.loads(run("identity", f"preview-{word}", "--json", "--data", data, a, b).stdout)
    assert before == {f: f.read_bytes() for f in before}, "nothing is written"
    assert found["preview"] == word and found["moved_events"] == len(found["events"])
    return found


def said(data, word, a, b):
    """The word is spoken: what the tables then say is what the preview said."""
    would = preview(data, word, a, b)
    events, identifiers = placed(data)
    run(word, "--data", data, "--reason", "test", a, b)
    now_events, now_identifiers = placed(data)
    hexed = lambda text: text.replace("-", "").upper()
    moved = {i: (events[i], now_events[i]) for i in events if events[i] != now_events[i]}
    assert moved == {e["event_id"]: (hexed(e["from"]), hexed(e["to"])) for e in would["events"]}, (word, a, b, moved, would)
    turned = {i: (identifiers[i], now_identifiers[i]) for i in identifiers if identifiers[i] != now_identifiers[i]}
    assert turned == {(i["namespace"], i["value"]): (hexed(i["from"]), hexed(i["to"])) for i in would["identifiers"]}, (turned, would)
    return len(moved), len(turned)


def words(space):
    data = space.path / "words"
    load(data, EVENTS)
    total = [said(data, "unlink", "cookie:c-unsure", "login:u-mother"), said(data, "unlink", "login:u-son", "cookie:c-son"),
             said(data, "link", "cookie:c-son", "login:u-son"), said(data, "link", "login:u-mother", "login:u-son"),
             said(data, "unlink", "login:u-mother", "login:u-son")]
    print("moved (events, identifiers):", total)
    assert all(events and identifiers for events, identifiers in total), total


def bad_previews(data):
    def refused(code, *arguments):
        return run("identity", *arguments, "--data", data, code=code).stderr
    assert "nothing ever linked" in refused(4, "preview-unlink", "login:u-alone", "login:u-son")
    assert "nobody is known" in refused(4, "preview-unlink", "login:u-none", "login:u-son")
    assert "same identifier" in refused(2, "preview-unlink", "login:u-son", "login:u-son")
    assert "namespace" in refused(2, "preview-unlink", "logn:u-son", "login:u-son")
    assert "needs A and B" in refused(2, "preview-unlink", "login:u-son")
    assert "preview-unlink" in refused(2, "preview-unlnk", "login:u-son", "cookie:c-son")
    run("identity", "preview-unlink", "--data", data / "absent", "login:a", "login:b", code=4)
    assert not (data / "absent").exists()
    # As `tabiji link` would take it.
    new = run("identity", "preview-link", "--data", data, "login:u-son", "login:u-later")
    assert 'nobody was seen with "login:u-later" yet' in new.stderr and "would move" in new.stdout, new
    other = run("identity", "preview-link", "--data", data, "--set", "identity.generic_up=5, phone 2", "login:u-son", "login:u-mother", code=2)
    assert "was: namespace 3 phone" in other.stderr and "is:  namespace 3 phone" in other.stderr, other.stderr


def beside_a_running_process(data):
    """A preview asks for no lock: the agent's question must not wait for the shop to close."""
    with socket.socket() as taken:
        port = free_port()
        taken.close()
    running = subprocess.Popen([PROGRAM, "run", "--data", str(data), "--set", f"collector.listen=127.0.0.1:{port}"],
                               stderr=subprocess.DEVNULL)
    try:
        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, "the listener")
        out = run("identity", "preview-unlink", "--data", data, "login:u-son", "cookie:c-son").stdout
        assert out.startswith("unlinking login:u-son and cookie:c-son would "), out
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def explained(space):
    """A link that a word has parted is no reason any more, though events show it; and it is told what parts two."""
    data = space.path / "explained"
    load(data, [event(1, "10:00", cookie="c-1", login="u-1"), event(2, "10:01", cookie="c-1", email="a@example.jp"),
                event(3, "10:02", login="u-1", email="a@example.jp"), event(4, "10:03", cookie="c-2", login="u-2")])

    def way(a, b):
        return [step["namespace"] for step in json.loads(run("explain", "--json", "--data", data, a, b).stdout)["chain"]]
    assert way("cookie:c-1", "login:u-1") == ["cookie", "login"]
    run("unlink", "--data", data, "--reason", "a shared tablet", "login:u-1", "cookie:c-1")
    assert way("cookie:c-1", "login:u-1") == ["cookie", "email", "login"], "still one, by another way"
    run("unlink", "--data", data, "--reason", "not hers", "cookie:c-2", "login:u-2")
    out = run("explain", "--data", data, "cookie:c-2", "login:u-2").stdout
    assert "not one person" in out and "cookie:c-2 and login:u-2 were unlinked by an operator" in out, out
    run("link", "--data", data, "--reason", "hers after all", "login:u-2", "cookie:c-2")
    out = run("explain", "--data", data, "cookie:c-2", "login:u-2").stdout
    assert "one person, by these links" in out and "unlinked" not in out, out


def main():
    with Workspace() as space:
        data = space.path / "data"
        load(data, EVENTS)
        bad_previews(data)
        beside_a_running_process(data)
        words(space)
        explained(space)
    print("preview: as it says, so it comes")


if __name__ == "__main__":
    main()
