#!/usr/bin/env python3
"""Words within a rank: logins that operators and clients link over whatever pairs are one person, in any order; unlink parts
them where nothing else connects them; explain shows the chain of words, and what keeps two apart."""
import itertools
import json
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace, tabiji

NATIVE, SEGMENT = (ROOT / "deploy" / "mappings" / name for name in ("native.ini", "segment.ini"))
LOGINS = ["u-1", "u-2", "u-3", "u-4"]


def event(number, **ids):
    return {"id": f"e{number}", "type": "page_viewed", "time": f"2026-11-20T10:{number:02d}:00+09:00", "ids": ids}


def load(data, events, mapping=NATIVE):
    data.mkdir(parents=True, exist_ok=True)
    file = data.parent / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    tabiji("import", "--data", data, "--mapping", mapping, file)


def say(data, word, a, b):
    """The word also says what it came to."""
    told = tabiji(word, "--data", data, "--reason", "they said so", a, b)
    assert f"{a} and {b} are {'one person' if word == 'link' else 'two persons'}" in told, told


def persons(data, namespace="login"):
    """Sets of identifiers, one a person."""
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = {}
    for person, value in db.execute("SELECT person, value FROM identifier WHERE namespace = ?", (namespace,)):
        found.setdefault(person, set()).add(value)
    db.close()
    return sorted(map(sorted, found.values()))


def chains(space):
    """Every order of three and four logins as a chain, its words from either end; parted in the middle; closed the other way."""
    tried = 0
    for count in (3, 4):
        for way in itertools.permutations(LOGINS[:count]):
            if count == 4 and way[0] > way[-1]:
                continue  # the same chain from the other end
            data = space.path / f"chain-{'-'.join(way)}"
            load(data, [event(n, login=login, cookie=f"c-{n}") for n, login in enumerate(way)])
            pairs = list(zip(way, way[1:]))
            for a, b in pairs if tried % 2 else reversed(pairs):
                say(data, "link", f"login:{a}", f"login:{b}")
            assert persons(data) == [sorted(way)], (way, persons(data))
            out = tabiji("explain", "--data", data, f"login:{way[0]}", f"login:{way[-1]}")
            lines = [line for line in out.splitlines() if line.startswith("login")]
            assert "one person, by these links" in out and [line.split()[1] for line in lines] == list(way), out
            say(data, "unlink", f"login:{way[1]}", f"login:{way[2]}")
            assert persons(data) == sorted([sorted(way[:2]), sorted(way[2:])]), (way, persons(data))
            out = tabiji("explain", "--data", data, f"login:{way[0]}", f"login:{way[-1]}")
            assert "not one person" in out and "were unlinked by an operator" in out, out
            say(data, "link", f"login:{way[0]}", f"login:{way[-1]}")
            assert persons(data) == [sorted(way)], (way, persons(data))
            say(data, "unlink", f"login:{way[0]}", f"login:{way[1]}")
            assert persons(data) == sorted([[way[1]], sorted([way[0], *way[2:]])]), (way, persons(data))
            tried += 1
    print(f"{tried} chains of logins")


def shown(space):
    """identity show and preview-link of a login that follows; what was seen with any of them is theirs."""
    data = space.path / "shown"
    load(data, [event(n, login=login, cookie=f"c-{n}") for n, login in enumerate(LOGINS)])
    preview = json.loads(tabiji("identity", "preview-link", "--json", "--data", data, "login:u-1", "login:u-2"))
    assert {row["namespace"] for row in preview["identifiers"]} == {"login", "cookie"}, preview
    for a, b in (("u-1", "u-2"), ("u-3", "u-4"), ("u-2", "u-3")):
        say(data, "link", f"login:{a}", f"login:{b}")
    assert persons(data) == [LOGINS] and persons(data, "cookie") == [["c-0", "c-1", "c-2", "c-3"]]
    words = [tabiji("identity", "show", "--data", data, f"login:{login}") for login in LOGINS]
    assert sorted("(linked)" in out for out in words) == [False, True, True, True] and sum("(self)" in out for out in words) == 1
    assert "stands" in words[1] and "u-1" in words[1] and "u-3" in words[1] and "u-4" not in words[1], words[1]
    out = tabiji("explain", "--data", data, "cookie:c-0", "cookie:c-3")
    assert [out.index(text) for text in ("c-0", "u-1", "u-2", "u-3", "u-4", "c-3")] == sorted(
        out.index(text) for text in ("c-0", "u-1", "u-2", "u-3", "u-4", "c-3")), out


def merged(space):
    """Rudder's merge and an operator's link are words of one chain; the operator's word parts what the client's linked."""
    data = space.path / "merged"
    load(data, [event(n, login=login) for n, login in enumerate(LOGINS)])
    merge = {"type": "merge", "messageId": "m-1", "userId": "u-2", "timestamp": "2026-11-20T03:00:00Z",
             "mergeProperties": [{"type": "user_id", "value": "u-2"}, {"type": "user_id", "value": "u-4"}]}
    load(data, [merge], SEGMENT)
    assert persons(data) == [["u-1"], ["u-2", "u-4"], ["u-3"]], persons(data)
    say(data, "link", "login:u-4", "login:u-1")
    say(data, "link", "login:u-3", "login:u-2")
    assert persons(data) == [LOGINS], persons(data)
    assert "one person" in tabiji("explain", "--data", data, "login:u-1", "login:u-3")
    say(data, "unlink", "login:u-2", "login:u-4")
    assert persons(data) == [["u-1", "u-4"], ["u-2", "u-3"]], persons(data)


def shared(space):
    """E-mails that are one, of two logins, are neither's, all of them; explain says so of the one on the way."""
    data = space.path / "shared"
    mails = [f"m{n}@example.jp" for n in range(3)]
    load(data, [event(1, login="u-1", email=mails[0]), event(2, login="u-2", email=mails[1]), event(3, email=mails[2], cookie="c-1")])
    say(data, "link", f"email:{mails[0]}", f"email:{mails[2]}")
    out = tabiji("explain", "--data", data, "login:u-1", "cookie:c-1")
    assert "one person" in out and "not one person" not in out, out
    say(data, "link", f"email:{mails[2]}", f"email:{mails[1]}")
    assert len(persons(data, "email")) == 1 and persons(data) == [["u-1"], ["u-2"]]
    for login, mail in (("u-1", mails[0]), ("u-2", mails[1]), ("u-1", mails[1])):
        out = tabiji("explain", "--data", data, f"login:{login}", f"email:{mail}")
        assert "not one person" in out and "is shared by persons of equal strength" in out, out
    say(data, "link", "login:u-1", "login:u-2")
    assert "one person, by" in tabiji("explain", "--data", data, "login:u-2", "cookie:c-1")


def erased(space):
    """A person of several logins is erased whole, whichever of them is named."""
    for login in LOGINS[:3]:
        data = space.path / f"erased-{login}"
        load(data, [event(n, login=name, cookie=f"c-{n}") for n, name in enumerate(LOGINS)])
        say(data, "link", "login:u-1", "login:u-3")
        say(data, "link", "login:u-3", "login:u-2")
        found = json.loads(tabiji("erase", "--json", "--confirm", "--data", data, f"login:{login}"))
        assert found["left_over"] == 0 and persons(data) == [["u-4"]] and persons(data, "cookie") == [["c-3"]], (found, persons(data))


def old_state_is_refused(space):
    """State of before groups says what to do; the log and the tables are left as they are."""
    data = space.path / "old"
    load(data, [event(n, login=login) for n, login in enumerate(LOGINS)])
    file = data / "state" / "data.mdb"
    bytes_now = file.read_bytes()
    assert bytes_now.count(b"tabiji-local-4") >= 1
    file.write_bytes(bytes_now.replace(b"tabiji-local-4", b"tabiji-local-3"))
    refused = subprocess.run([PROGRAM, "link", "--data", data, "--reason", "x", "login:u-1", "login:u-2"], capture_output=True, text=True)
    assert refused.returncode == 1 and "of another version" in refused.stderr and "made anew" in refused.stderr, refused
    (data / "state").rename(space.path / "moved")
    (data / "tabiji.db").rename(space.path / "moved.db")
    say(data, "link", "login:u-1", "login:u-2")
    assert persons(data) == [["u-1", "u-2"], ["u-3"], ["u-4"]]


def main():
    with Workspace() as space:
        chains(space)
        shown(space)
        merged(space)
        shared(space)
        erased(space)
        old_state_is_refused(space)
    print("words within a rank: one person in any order, parted, explained, erased")


if __name__ == "__main__":
    main()
