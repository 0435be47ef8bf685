#!/usr/bin/env python3
"""Who may be calling: every candidate of a shared number, each with what speaks for it."""
import base64
import hashlib
import json
import sqlite3
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid

from harness import PROGRAM, ROOT, Workspace, free_port, stop, wait_until

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
] + [event(20 + n, "15:00", login=f"u-{n}", phone="06-1234-5678") for n in range(8)]


def load(data, events):
    file = data.parent / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    run("import", "--data", data, "--mapping", MAPPING, file)


def query(data, question, *values):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = db.execute(question, values).fetchall()
    db.close()
    return found


def person_of(data, namespace, value):
    return str(uuid.UUID(bytes=query(data, "SELECT person FROM identifier WHERE namespace = ? AND value = ?", namespace, value)[0][0]))


def candidates(data):
    for spelling in (PHONE, "+81-90-1234-5678", "phone:０９０ー１２３４ー５６７８"):
        found = json.loads(run("lookup", "--data", data, "--candidates", "--json", spelling).stdout)
        assert [(c["because"], c["beside"], c["events"]) for c in found] == [
            ("shared", None, 1), ("seen", "login:u-son", 1), ("seen", "login:u-mother", 2)], (spelling, found)
    son, mother = person_of(data, "login", "u-son"), person_of(data, "login", "u-mother")
    assert [c["person"] for c in found[1:]] == [son, mother]
    assert found[2]["first_at"] == "2026-11-20T10:00:00+09:00" and found[2]["last_at"] == "2026-11-20T10:30:00+09:00", found
    text = run("lookup", "--data", data, PHONE).stdout
    assert text.startswith("3 candidates:\n") and "c-son" in text, text
    rows = json.loads(run("lookup", "--data", data, "--json", PHONE).stdout)
    assert {r["person"] for r in rows} == {c["person"] for c in found}
    one = run("lookup", "--data", data, "03-1234-5678").stdout
    assert "candidates" not in one and "u-alone" in one, one
    alone = json.loads(run("lookup", "--data", data, "--candidates", "--json", "03-1234-5678").stdout)
    assert [(c["because"], c["person"]) for c in alone] == [("claim", person_of(data, "login", "u-alone"))], alone
    assert json.loads(run("lookup", "--data", data, "--candidates", "--json", son).stdout)[0]["person"] == son


def bad_lookups(data):
    assert "nobody is known" in run("lookup", "--data", data, "090-0000-0000", code=4).stderr
    assert "nobody is known" in run("lookup", "--data", data, "--candidates", "phone:no number", code=4).stderr
    long = "cookie:" + "x" * 300
    for words in (["lookup", long], ["timeline", long], ["identity", "show", long], ["erase", long], ["explain", long, "login:u-son"],
                  ["link", "--reason", "x", "login:u-son", long], ["identity", "preview-link", long, "login:u-son"]):
        assert "at most 256 bytes" in run(*words, "--data", data, code=2).stderr
        found = subprocess.run([PROGRAM.encode(), *(w.encode() for w in words if w != long), b"--data", str(data).encode(), b"cookie:\xff"],
                               capture_output=True)
        assert found.returncode == 2 and b"no UTF-8" in found.stderr, (words, found)
    assert "no namespace" in run("lookup", "--data", data, "coookie:x", code=4).stderr
    assert "malformed" in run("lookup", "--data", data, "phone:12", code=4).stderr
    run("lookup", "--data", data, code=2)


CONFIG = """[source crm]
key_sha256 = {crm}
operator = yes
[source web]
key_sha256 = {web}
[source slow]
key_sha256 = {slow}
operator = yes
rate = 1
"""


def ask(port, key, query, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/lookup{query}", method=method)
    if key:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{key}:".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def over_http(space, data):
    """The agent's screen asks the running process: the same answer as the verb's, for operators' keys alone."""
    config, port = space.path / "tabiji.ini", free_port()
    config.write_text(CONFIG.format(**{n: hashlib.sha256(n.encode()).hexdigest() for n in ("crm", "web", "slow")}))
    process = space.start("run", "--config", config, "--data", data, "--listen", f"127.0.0.1:{port}", stderr=subprocess.DEVNULL)

    def answers():
        try:
            return ask(port, "crm", "")[0] == 400
        except OSError:
            return False
    wait_until(answers, "the listener")
    id_of = lambda text: "?id=" + urllib.parse.quote(text)
    for spelling in (PHONE, "phone:０９０ー１２３４ー５６７８", "login:u-son", person_of(data, "login", "u-son")):
        status, found = ask(port, "crm", id_of(spelling))
        assert status == 200, (status, found)
        assert found["candidates"] == json.loads(run("lookup", "--data", data, "--candidates", "--json", spelling).stdout)
        assert found["identifiers"] == json.loads(run("lookup", "--data", data, "--json", spelling).stdout)
    assert ask(port, "crm", id_of("login:u-none")) == (404, {"candidates": [], "identifiers": []})
    pair = lambda a, b: id_of(a) + "&with=" + urllib.parse.quote(b)
    assert ask(port, "crm", pair("login:u-mother", f"phone:{PHONE}")) == (200, {"linked": True, "links": [
        {"events": 2, "first_at": "2026-11-20T10:00:00+09:00", "last_at": "2026-11-20T10:30:00+09:00", "link": "stands"}]})
    assert ask(port, "crm", pair("login:u-7", "phone:06-1234-5678"))[1]["links"][0]["link"] == "dead", "as identity show says"
    for other in ("login:u-alone", "cookie:c-son", "login:u-none"):
        assert ask(port, "crm", pair(f"phone:{PHONE}", other)) == (404, {"linked": False, "links": []}), other
    for query, code in ((pair("login:u-son", "zzz:1"), "unknown_namespace"), (pair("login:u-son", "cookie:null"), "no_identifier"),
                        (pair("login:u-son", "u-mother"), "unknown_namespace")):
        got = ask(port, "crm", query)
        assert (got[0], got[1]["code"]) == (400, code), got
    assert ask(port, "web", pair("login:u-mother", f"phone:{PHONE}"))[0] == 403
    for key, query, status, code in [
            ("crm", "", 400, "missing_field"), ("crm", "?id=", 400, "missing_field"), ("crm", id_of("cookie:" + "x" * 300), 400, "bad_value"),
            (None, id_of(PHONE), 401, "unauthorized"), ("wrong", id_of(PHONE), 401, "unauthorized"), ("web", id_of(PHONE), 403, "operator")]:
        got = ask(port, key, query)
        assert (got[0], got[1]["code"]) == (status, code), (key, query, got)
        assert "u-son" not in json.dumps(got), got
    assert ask(port, "crm", id_of(PHONE), method="POST")[0] == 405
    assert 429 in [ask(port, "slow", id_of(PHONE))[0] for _ in range(40)]
    assert stop(process) == 0


def main():
    with Workspace() as space:
        data = space.path / "data"
        load(data, EVENTS)
        candidates(data)
        bad_lookups(data)
        over_http(space, data)
    print("lookup: every candidate, with evidence")


if __name__ == "__main__":
    main()
