#!/usr/bin/env python3
"""Larger cases in the form of `identity_spec.py cases`, answered by that specification.

    identity_cases.py SPEC_DIR SEED COUNT

Where the specification's own cases are small enough to meet every rule often, these have hubs: nodes with dozens of
neighbours on both sides, sets of three and more, limits crossed late.
"""
import json
import random
import sys

POOL = {"login": 12, "loyalty": 8, "email": 10, "phone": 6, "install": 5, "device": 8, "cookie": 40, "order": 30, "case": 5}


def events_of(rng):
    events = []
    names = sorted(POOL)
    for n in range(rng.choice([100, 250])):
        ids = {(name, str(rng.randint(1, POOL[name]))) for name in rng.sample(names, rng.choice([1, 2, 2, 3, 4, 6]))}
        for name in rng.sample(["cookie", "device", "login", "order"], 2):
            if rng.random() < .15:
                ids |= {(name, str(rng.randint(1, POOL[name]))) for _ in range(rng.choice([1, 2, 4]))}
        events.append({"id": f"e{n}", "time": rng.randint(0, 8), "ids": [list(i) for i in sorted(ids)]})
    return events


def main(spec_dir, seed, count):
    sys.path.insert(0, spec_dir)
    sys.dont_write_bytecode = True
    import identity_spec as spec
    for s in range(seed, seed + count):
        rng = random.Random(f"large {s}")
        events = events_of(rng)
        limits = {"up_limit": rng.choice([2, 3, 5, 20]), "down_limit": rng.choice([4, 10, 30, 1000])}
        print(json.dumps({"seed": s, "up": limits["up_limit"], "down": limits["down_limit"], "events": events,
                          "roots": spec.rows(spec.solve(events, **limits)),
                          "places": {e: list(r) for e, r in spec.places(events, limits).items()}}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
