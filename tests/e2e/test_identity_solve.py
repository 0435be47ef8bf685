#!/usr/bin/env python3
"""`tabiji identity solve` answers a file exactly as the executable specification does, line for line."""
import json
import os
import pathlib
import random
import subprocess
import sys

from harness import PROGRAM, Workspace

SPEC = pathlib.Path(os.environ.get("TABIJI_SHARED", "")) / "spec" / "identity_spec.py"
CASES = int(os.environ.get("TABIJI_CASES", "400"))
SEED = int(os.environ.get("TABIJI_SEED", "1"))
BATCH = 40  # cases in one file, each in a name space of its own


def solve(*arguments, text, code=0):
    run = subprocess.run([PROGRAM, "identity", "solve", *arguments, "-"], input=text.encode(), capture_output=True)
    assert run.returncode == code, (arguments, run.returncode, run.stderr.decode())
    return run.stdout.decode(), run.stderr.decode()


def spec(verb, *arguments, text):
    return subprocess.run([sys.executable, SPEC, verb, *arguments], input=text.encode(), capture_output=True, check=True).stdout.decode()


def same(text, limits=(), where=""):
    for ours, theirs in ((["--places"], "place"), ([], "solve")):
        got, expected = solve(*ours, *limits, text=text)[0], spec(theirs, *limits, text=text)
        assert got == expected, f"{where} {theirs} {limits}:\n{text}\n-- got\n{got}\n-- expected\n{expected}"


def random_cases():
    """Cases of one pair of limits share a file: their identifiers and events bear the case's number."""
    lines = subprocess.run([sys.executable, SPEC, "cases", str(SEED), str(CASES)], capture_output=True, check=True).stdout
    files = {}
    for line in lines.decode().splitlines():
        case = json.loads(line)
        files.setdefault((case["up"], case["down"]), []).append(case)
    rng = random.Random(SEED)
    for (up, down), cases in sorted(files.items()):
        for at in range(0, len(cases), BATCH):
            events = [{"id": f"{c['seed']}-{e['id']}", "time": e["time"], "ids": [[n, f"{c['seed']}-{v}"] for n, v in e["ids"]]}
                      for c in cases[at:at + BATCH] for e in c["events"]]
            rng.shuffle(events)
            events += rng.sample(events, len(events) // 3)
            same("".join(json.dumps(e) + "\n" for e in events), ("--up", str(up), "--down", str(down)),
                 f"seeds {[c['seed'] for c in cases[at:at + BATCH]]}")


def large_input():
    """More than one batch of the driver."""
    rng = random.Random(SEED)
    events = []
    for i in range(120000):
        person = rng.randrange(30000)
        ids = [["cookie", f"{person}-{rng.randrange(3)}"]]
        if rng.random() < .4:
            ids.append(["login", str(person if rng.random() < .98 else rng.randrange(30000))])
        if rng.random() < .2:
            ids.append(["email", str(person // 2)])
        events.append(json.dumps({"id": f"e{i}", "time": i, "ids": ids}) + "\n")
    same("".join(events))


def odd_input():
    same("")
    same("\n  \n")
    texts = ['a"b', "c\\d", "tab\there", "改行\nここ", "\u0001", "é", "💴", "del\x7f", "'; DROP"]
    same("".join(json.dumps({"id": f"e{i}", "time": 0, "ids": [["login", t], ["cookie", t + "x"]]}, ensure_ascii=i % 2 == 0) + "\n"
                 for i, t in enumerate(texts)))
    same('{"id": "twice", "time": 1, "ids": [["login", "1"]]}\n{"id": "twice", "time": 2, "ids": [["login", "2"], ["cookie", "1"]]}\n')
    same('{"id": "e", "time": 1, "ids": [["login", "1"], ["login", "1"], ["cookie", "9"], ["cookie", "10"]]}\n')


def bad_input():
    good = '{"id": "e", "time": 1, "ids": [["login", "1"]]}\n'
    for bad, reason in [
            ("{", "bad_json"), ("[]", "missing_field"), ('{"id": "x", "time": 0, "ids": []}', "no_identifier"),
            ('{"id": "x", "time": 0, "ids": [["logn", "1"]]}', 'did you mean "login"'),
            ('{"id": "x", "time": 0, "ids": [["login", 1]]}', "bad_type"), ('{"id": 1, "time": 0, "ids": [["login", "1"]]}', "bad_type"),
            ('{"id": "x", "time": 0, "ids": [["login", ""]]}', "empty"),
            ('{"id": "x", "time": "y", "ids": [["login", "1"]]}', "bad_type"),
            (json.dumps({"id": "x", "time": 0, "ids": [["login", "v" * 257]]}), "too_large"),
            (json.dumps({"id": "x", "time": 0, "ids": [["login", str(i)] for i in range(1000)]}), "too_many"),
            ('{"id": "\\ud800", "time": 0, "ids": [["login", "1"]]}', "bad_utf8")]:
        out, messages = solve(text=good + bad + "\n" + good, code=6)
        assert out == spec("solve", text=good), out
        assert "-:2: " in messages and reason in messages, (bad, messages)
    fails = subprocess.run([PROGRAM, "identity", "solve", "/nonexistent"], capture_output=True)
    assert fails.returncode == 4, fails
    for arguments in (["solve"], ["sovle", "x"], ["solve", "--up", "0", "-"], ["solve", "--up", "x", "-"]):
        assert subprocess.run([PROGRAM, "identity", *arguments], capture_output=True, input=b"").returncode == 2, arguments


NAMESPACES = ["login", "loyalty", "email", "phone", "install", "device", "cookie", "order", "receipt", "case"]
BAD_LINES = ["{", "[1,2", "nope", '{"id":"x"}', '{"id":"x","ids":[["planet","1"]]}', '{"id":"x","time":0,"ids":[]}',
             '{"id":"x","time":0,"ids":[["login"]]}', '{"id":"x","id":"y","time":0,"ids":[["login","1"]]}']


def random_files(count):
    """Files, empty ones too, in which ids come again and bad lines and blank ones stand between good ones: the answer is that to the good
    ones."""
    for seed in range(SEED, SEED + count):
        rng = random.Random(f"file {seed}")
        lines, good, bad = [], [], 0
        for _ in range(rng.choice([0, 1, 3, 10, 40])):
            ids = [[rng.choice(NAMESPACES), str(rng.randint(1, 3))] for _ in range(rng.choice([1, 1, 2, 3, 5]))]
            line = json.dumps({"id": f"e{rng.randint(0, 20)}", "time": rng.randint(-3, 8), "ids": ids})
            if rng.random() < .05:
                lines.append(rng.choice([*BAD_LINES, line[:len(line) // 2], line + "x"]))
                bad += 1
            if rng.random() < .05:
                lines.append(rng.choice(["", "  ", "\t"]))
            lines.append(line)
            good.append(line)
        limits = ("--up", str(rng.choice([1, 2, 5])), "--down", str(rng.choice([1, 2, 3, 1000])))
        flags, verb = rng.choice([([], "solve"), (["--places"], "place")])
        got, messages = solve(*flags, *limits, text="\n".join(lines) + rng.choice(["", "\n"]), code=6 if bad else 0)
        expected = spec(verb, *limits, text="\n".join(good))
        assert got == expected, f"file {seed} {verb} {limits}:\n-- got\n{got}\n-- expected\n{expected}"
        assert messages.count("-:") == bad, (seed, messages)


def main():
    if not SPEC.exists():
        print("skipped: no specification to compare with (TABIJI_SHARED)")
        sys.exit(77)
    with Workspace() as space:
        os.environ["TMPDIR"] = str(space.path)
        odd_input()
        bad_input()
        print(f"TABIJI_SEED={SEED}, {CASES} cases")
        random_cases()
        random_files(CASES // 4)
        large_input()
        assert not any(space.path.iterdir()), "nothing is left behind"
    print("identity solve: as the specification says")


if __name__ == "__main__":
    main()
