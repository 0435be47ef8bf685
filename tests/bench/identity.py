#!/usr/bin/env python3
"""Identity, all figures by one command: cost of the reducers and their rows beside a union-find in C, scipy's connected components on
the same pairs, and how well persons are found.

    identity.py BENCH_IDENTITY [--events N] [--persons N] [--town PERSONS]

--events: of the generator of bench_identity.c (default 1,000,000; persons: a fifth). --town: persons of identity_quality.py, which
judges precision and recall (default 20,000).
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile

import identity_quality

SCIPY = """
import json, sys, time
import numpy, scipy, scipy.sparse.csgraph
pairs = numpy.fromfile(sys.argv[1], dtype=numpy.uint32).reshape(-1, 2)
identifiers = int(sys.argv[2])
times = []
for turn in range(3):
    begin = time.process_time()
    graph = scipy.sparse.coo_matrix((numpy.ones(len(pairs), dtype=numpy.int8), (pairs[:, 0], pairs[:, 1])), shape=(identifiers, identifiers)).tocsr()
    middle = time.process_time()
    count, _ = scipy.sparse.csgraph.connected_components(graph, directed=False)
    times.append((time.process_time() - begin, time.process_time() - middle))
print(json.dumps([int(count), *min(times), scipy.__version__]))
"""


def cost(program, persons, events):
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as place:
        pairs = pathlib.Path(place) / "pairs"
        said = subprocess.run([program, str(persons), str(events), pairs], stdout=subprocess.PIPE, text=True, check=True).stdout
        print(said, end="", flush=True)
        identifiers, components, ours = re.search(r"(\d+) identifiers, (\d+) components, union-find in C ([\d.]+) ms", said).groups()
        try:
            run = subprocess.run([identity_quality.scipy_python(), "-c", SCIPY, pairs, identifiers], text=True, capture_output=True, check=True)
        except (subprocess.CalledProcessError, OSError) as reason:
            print(f"without scipy: {reason}")
            return
    count, whole, solve, version = json.loads(run.stdout)
    assert count == int(components), (count, components)
    print(f"  the same by scipy {version} connected_components, CPU: {whole * 1e3:.1f} ms with the matrix, {solve * 1e3:.1f} ms without; "
          f"{whole * 1e3 / max(float(ours), .1):.1f} x the union-find in C, the same components", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--persons", type=int, default=0)
    parser.add_argument("--town", type=int, default=20000)
    options = parser.parse_args()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    identity_quality.judge_rules(options.town, 1)
    cost(options.program, options.persons or max(1, options.events // 5), options.events)


if __name__ == "__main__":
    main()
