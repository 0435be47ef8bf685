#!/usr/bin/env python3
"""How well persons are found: `tabiji identity solve` and the usual rules against generated truth. (Time: identity.py.)

    identity_quality.py [--persons N] [--seed N]

A made-up town: households of one to four share a tablet and a telephone; people change browsers, sign in on some of them, now and
then on a friend's or the shop's kiosk; some never sign in. Truth is who made each event. Of all pairs of events that a rule gives
to one person, precision says how many are one person's; of all pairs that are one person's, recall says how many it finds.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import time

PROGRAM = os.environ.get("TABIJI_PROGRAM", "build-release/deploy/tabiji")
RANKS = ["login", "loyalty", "email", "phone", "install", "device", "cookie"]


def town(persons, rng):
    """Events with who made them: [(person, [(namespace, value), ...])]."""
    events, person, house = [], 0, 0
    while person < persons:
        size = rng.choice([1, 1, 2, 2, 3, 4])
        tablet, phone = ("cookie", f"tablet-{house}"), ("phone", f"phone-{house}")
        for member in range(person, min(person + size, persons)):
            logs_in, mail = rng.random() < .7, rng.random() < .6
            own = [("cookie", f"c-{member}-{n}") for n in range(rng.choice([1, 2, 3]))]
            for _ in range(rng.randint(3, 12)):
                kind, ids = rng.random(), [rng.choice(own)]
                if kind < .12 and size > 1:
                    ids = [tablet]
                elif kind < .17:
                    ids = [phone]
                elif kind < .18:
                    ids = [("cookie", f"kiosk-{rng.randint(0, persons // 500)}")]
                elif kind < .185:
                    ids = [("cookie", f"c-{rng.randrange(persons)}-0")]
                if logs_in and (rng.random() < .4 or "kiosk" in ids[0][1]):
                    ids.append(("login", f"u-{member}"))
                if mail and rng.random() < .1:
                    ids.append(("email", f"m-{member}"))
                events.append((member, ids))
        person, house = person + size, house + 1
    rng.shuffle(events)
    return events


class Sets:
    """Union-find over names."""

    def __init__(self):
        self.parent = {}

    def find(self, name):
        self.parent.setdefault(name, name)
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def join(self, a, b):
        self.parent[self.find(a)] = self.find(b)


def components(events):
    sets = Sets()
    for _, ids in events:
        for other in ids[1:]:
            sets.join(other, ids[0])
    return [sets.find(ids[0]) for _, ids in events]


def login_only(events):
    """Only a login tells who it is; else the strongest identifier stands for itself."""
    return [min(ids, key=lambda i: RANKS.index(i[0])) for _, ids in events]


def of_login(events, last):
    """Each identifier belongs to the first, or the last, login that was seen with it."""
    owner = {}
    for _, ids in events:
        login = next((i for i in ids if i[0] == "login"), None)
        for one in ids if login else []:
            if last or one not in owner:
                owner[one] = login
    strongest = login_only(events)
    return [owner.get(one, one) for one in strongest]


def solved(events):
    lines = "".join(json.dumps({"id": f"{n:09}", "time": n, "ids": ids}) + "\n" for n, (_, ids) in enumerate(events))
    started = time.monotonic()
    run = subprocess.run([PROGRAM, "identity", "solve", "--places", "-"], input=lines, text=True, stdout=subprocess.PIPE, check=True)
    spent = time.monotonic() - started
    return [tuple(json.loads(line)["root"]) for line in run.stdout.splitlines()], spent


def pairs(counts):
    return sum(n * (n - 1) // 2 for n in counts.values())


def judge(events, found):
    both = pairs(collections.Counter(zip((p for p, _ in events), found)))
    return both / pairs(collections.Counter(found)), both / pairs(collections.Counter(p for p, _ in events))


def scipy_python():
    """A Python that can import scipy: this one, else one in the cache."""
    if subprocess.run([sys.executable, "-c", "import scipy.sparse"], capture_output=True).returncode == 0:
        return sys.executable
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tabiji" / "scipy"
    python = home / "bin" / "python"
    if not python.exists():
        print("== installing scipy into the cache directory", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "scipy"], check=True)
    return python


def judge_rules(persons, seed):
    events = town(persons, random.Random(seed))
    print(f"{persons} persons, {len(events)} events, seed {seed}, {os.cpu_count()} cores")
    ours, spent = solved(events)
    print(f"{'rule':34} {'precision':>9} {'recall':>9}")
    for name, found in (("tabiji", ours), ("connected components", components(events)), ("first login of a device stays", of_login(events, False)),
                        ("last login of a device wins", of_login(events, True)), ("login only", login_only(events))):
        precision, recall = judge(events, found)
        print(f"{name:34} {precision:9.4f} {recall:9.4f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"tabiji identity solve: {len(events) / spent:,.0f} events/s with process, JSON and files; peak {peak:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--persons", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    judge_rules(options.persons, options.seed)


if __name__ == "__main__":
    main()
