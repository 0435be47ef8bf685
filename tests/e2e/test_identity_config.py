#!/usr/bin/env python3
"""[identity] of the configuration: limits are honoured, wrong ones are refused at the start, and state that was built with others
is neither touched nor gone on from."""
import json
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def event(number, **ids):
    return {"id": f"e{number}", "type": "page_viewed", "time": f"2026-11-20T10:{number:02}:00+09:00", "ids": ids}


# A phone that three logins gave, and one who calls from it.
EVENTS = [event(n, login=f"u-{n}", phone="090-1234-5678") for n in range(3)] + [event(9, phone="090-1234-5678")]


def load(data, *options, events=EVENTS, code=0):
    file = data.parent / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    return run("import", "--data", data, "--mapping", MAPPING, *options, file, code=code)


def why(data):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = db.execute("SELECT why FROM identifier WHERE namespace = 'phone'").fetchall()
    db.close()
    return [row[0] for row in found]


def limits_are_honoured(space):
    load(space.path / "five")
    assert why(space.path / "five") == ["shared"]
    load(space.path / "two", "--set", "identity.generic_up=5, phone 2")
    assert why(space.path / "two") == ["generic"], why(space.path / "two")
    load(space.path / "named", "--set", "identity.generic_up=phone 2")  # the others as they are by default: the same settings
    load(space.path / "named", "--set", "identity.generic_up=5, loyalty 3, email 3, phone 2, order 2, receipt 2, case 2")
    assert why(space.path / "named") == ["generic"], why(space.path / "named")
    two = ("--set", "identity.protected=loyalty 2", "--data", space.path / "cards")
    load(*two[3:], *two[:2], events=[event(n, login="u-1", loyalty=f"card-{n}") for n in range(3)])
    told = [json.loads(run("explain", "--json", *two, f"loyalty:card-{n}", "login:u-1").stdout) for n in range(3)]
    reason, = (reason for answer in told for reason in answer["reasons"])
    holders = {holder["value"] for holder in reason["holders"]}
    assert reason["kind"] == "rejected" and reason["most"] == 2 and len(holders | {reason["value"]}) == 3, reason
    assert "as many of loyalty as it may, 2" in reason["text"], reason
    file = space.path / "own.ini"
    file.write_text("[identity]\nnamespaces = member, phone, terminal\nprotected =\ngeneric_up = 3\ngeneric_down = 50\n")
    own = space.path / "own"
    load(own, "--config", file, events=[event(1, member="m1", terminal="t1"), event(2, terminal="t1", phone="03-1234-5678")])
    found = json.loads(run("lookup", "--json", "--data", own, "--config", file, "terminal:t1").stdout)
    assert [row["namespace"] for row in found] == ["member", "phone", "terminal"] and len({row["person"] for row in found}) == 1, found
    explained = run("explain", "--data", own, "--config", file, "phone:03-1234-5678", "member:m1").stdout
    assert "one person" in explained and "t1" in explained, explained
    rejected = load(own, "--config", file, events=[event(3, login="u")], code=6)
    assert "unknown_namespace" in run("rejected", "list", "--data", own, "--config", file).stdout, rejected.stderr


def wrong_lists_are_refused(space):
    for option, told in (("identity.generic_up=0", "from 1 to 10000"), ("identity.protected=loyalti 1", 'did you mean "loyalty"'),
                         ("identity.protected=login 2", "a person has 1"),
                         ("identity.namespaces=login, login", "stands twice"), ("identity.generic_down=emial 4", 'did you mean "email"')):
        found = load(space.path / "wrong", "--set", option, code=2)
        assert told in found.stderr, (option, found.stderr)
    assert not (space.path / "wrong" / "state").exists()
    assert "generic_up" in run("config", "dump").stdout


def other_state_is_refused(space):
    data = space.path / "five"
    before = run("state", "digest", "--data", data).stdout
    more = [event(20, login="u-new", cookie="c-new")]
    for option, was, now in (("identity.generic_up=5, phone 2", "phone: protected 0, generic up 5", "phone: protected 0, generic up 2"),
                             ("identity.protected=loyalty 2", "loyalty: protected 1", "loyalty: protected 2"),
                             ("identity.namespaces=loyalty, login, email, phone, install, device, cookie, order, receipt, case",
                              "namespace 0 login", "namespace 0 loyalty")):
        option = [option] if "namespaces" not in option else [option, "identity.protected=", "identity.generic_up=5, email 3"]
        flags = [part for one in option for part in ("--set", one)]
        found = load(data, *flags, events=more, code=2)
        assert was in found.stderr and now in found.stderr and "Put the old settings back" in found.stderr, found.stderr
        assert run("state", "digest", "--data", data).stdout == before
    # A line that comes in between leaves those behind it as they are.
    found = load(data, "--set", "journey.lead_types=signed_up", events=more, code=2)
    lines = [line for line in found.stderr.splitlines() if line.startswith(("  was:", "  is:"))]
    assert lines == ["  was: (nothing)", "  is:  leads are signed_up"], found.stderr
    found = load(data, "--set", "identity.key_id=k2", events=more, code=2)
    assert "tenant key" in found.stderr and "as k2" in found.stderr and "tabiji keys rotate" in found.stderr, found.stderr
    assert run("state", "digest", "--data", data).stdout == before
    key = space.path / "tenant.key"
    run("keys", "new", key)
    found = load(data, "--set", f"identity.key_file={key}", events=more, code=2)
    assert "tenant key" in found.stderr, found.stderr
    assert run("state", "digest", "--data", data).stdout == before
    load(data, events=more)
    assert run("state", "digest", "--data", data).stdout != before


def solve(space, *options, code=0, events=()):
    """identity solve --configured: the roots of a file's identifiers."""
    file = space.path / "solve.ndjson"
    file.write_text("".join(json.dumps({"id": f"e{n}", "time": n, "ids": ids}) + "\n" for n, ids in enumerate(events)))
    found = run("identity", "solve", "--configured", *options, file, code=code)
    return {":".join(row["id"]): ":".join(row["root"]) for row in map(json.loads, found.stdout.splitlines())} if code == 0 else found


def solve_is_configured(space):
    """What would identity say about my data: with the pipeline's own namespaces, ranks, protected counts and limits."""
    three = [[["login", f"u{n}"], ["phone", "p"]] for n in range(3)] + [[["phone", "p"], ["cookie", "c"]]]
    assert solve(space, events=three)["cookie:c"] == "phone:p"
    assert solve(space, "--set", "identity.generic_up=phone 2", events=three)["cookie:c"] == "cookie:c"
    cards = [[["login", "u"], ["loyalty", "A"]], [["login", "u"], ["loyalty", "B"]]]
    one, two = (sum(root == "login:u" for root in solve(space, *options, events=cards).values())
                for options in ((), ("--set", "identity.protected=loyalty 2")))
    assert (one, two) == (2, 3), (one, two)
    own = space.path / "solve.ini"
    own.write_text("[identity]\nnamespaces = member, terminal\nprotected =\ngeneric_up = 3\ngeneric_down = 50\n")
    members = [[["member", "m1"], ["terminal", "t1"]]]
    assert solve(space, "--config", own, events=members) == {"member:m1": "member:m1", "terminal:t1": "member:m1"}
    assert "unknown_namespace" in solve(space, events=members, code=6).stderr
    for options, told in ((("--set", "identity.generic_up=nonsense"), "generic_up"), (("--up", "7"), "--configured"),
                          (("--down", "7"), "--configured"), (("--set", "identity.protected=loyalti 1"), 'did you mean "loyalty"')):
        assert told in solve(space, *options, events=three, code=2).stderr, options


def main():
    with Workspace() as space:
        solve_is_configured(space)
        limits_are_honoured(space)
        wrong_lists_are_refused(space)
        other_state_is_refused(space)
    print("[identity]: honoured, checked, refused on state of other settings")


if __name__ == "__main__":
    main()
