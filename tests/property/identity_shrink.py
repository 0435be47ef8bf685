#!/usr/bin/env python3
"""Makes a failing case of property_identity smaller, as long as it fails, and prints what is left.

    identity_shrink.py SPEC_DIR COMMAND...     < one line of `identity_spec.py cases`

COMMAND reads one such line on its standard input and exits 0 where the case holds. The answers of each smaller case
are those of identity_spec.py. The same case is run several times, since COMMAND draws the schedule from its seed: each
run has a seed of its own.
"""
import json
import subprocess
import sys

SCHEDULES = 20
RUNS_MAX = 4000


class Shrinking:
    def __init__(self, spec, command, case):
        self.spec, self.command = spec, command
        self.limits = {"up_limit": case["up"], "down_limit": case["down"]}
        self.seed, self.runs = case["seed"], 0

    def case(self, events, seed):
        spec = self.spec
        return {"seed": seed, "up": self.limits["up_limit"], "down": self.limits["down_limit"], "events": events,
                "roots": spec.rows(spec.solve(events, **self.limits)),
                "places": {e: list(r) for e, r in spec.places(events, self.limits).items()}}

    def fails(self, events):
        """Whether it does under one of some schedules; that one is tried first from then on."""
        for seed in range(self.seed, self.seed + SCHEDULES):
            if self.runs >= RUNS_MAX:
                return False
            self.runs += 1
            line = json.dumps(self.case(events, seed)) + "\n"
            if subprocess.run(self.command, input=line.encode(), capture_output=True).returncode != 0:
                self.seed = seed
                return True
        return False

    def without_events(self, events):
        size = (len(events) + 1) // 2
        while size:
            at = 0
            while at < len(events):
                left = events[:at] + events[at + size:]
                if left and self.fails(left):
                    events = left
                else:
                    at += size
            size //= 2
        return events

    def without_identifiers(self, events):
        for n in range(len(events)):
            for identifier in list(events[n]["ids"]):
                ids = [i for i in events[n]["ids"] if i != identifier]
                left = events[:n] + [{**events[n], "ids": ids}] + events[n + 1:]
                if ids and self.fails(left):
                    events = left
        return events

    def least(self, events):
        size = None
        while size != (size := sum(len(e["ids"]) for e in events)):
            events = self.without_identifiers(self.without_events(events))
        return events


def main(spec_dir, *command):
    sys.path.insert(0, spec_dir)
    sys.dont_write_bytecode = True
    import identity_spec as spec
    case = json.loads(sys.stdin.readline())
    shrinking = Shrinking(spec, command, case)
    if not shrinking.fails(case["events"]):
        print("the case holds when it is run again", file=sys.stderr)
        return 1
    events = shrinking.least(case["events"])
    print(f"least case, after {shrinking.runs} runs:")
    print(json.dumps(shrinking.case(events, shrinking.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
