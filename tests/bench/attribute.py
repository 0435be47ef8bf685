#!/usr/bin/env python3
"""`tabiji attribute` on published and generated paths, beside ChannelAttribution (PyPI) where it installs.

    attribute.py [--scale N] [BENCH]      N: distinct paths of the large file (1,000,000); BENCH: bench_attribute, which solves in its process
"""
import argparse
import csv
import io
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ.get("TABIJI_PROGRAM", "build-release/deploy/tabiji")
DATA = pathlib.Path(os.environ.get("TABIJI_SHARED", "../shared")) / "data/attribution/channelattribution"

PEER_SECONDS_MAX = 150
HEAD_SIZE = 1 << 20

# file, separator, then "linear" or orders
PEER = r"""
import io, sys, time, contextlib
import pandas as pd
import ChannelAttribution as ca
file, separator, *tasks = sys.argv[1:]
data = pd.read_csv(file, sep=separator)
names = dict(var_path="path", var_conv="total_conversions", var_value="total_conversion_value")
for task in tasks:
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        if task == "linear":
            found = ca.heuristic_models(data, names["var_path"], names["var_conv"], var_value=names["var_value"])
        else:
            found = ca.markov_model(data, **names, var_null="total_null", order=int(task))
    seconds = time.process_time() - started
    found = found["result"] if isinstance(found, dict) else found
    column = "linear_touch_conversions" if task == "linear" else found.columns[1]
    print("\nTIMED", task, seconds, " ".join(f"{n}={v}" for n, v in zip(found.iloc[:, 0], found[column])), flush=True)
"""

# The same game over all coalitions of the file's channels, by whole arrays.
GAME = r"""
import sys, time
import numpy as np, pandas as pd
data = pd.read_csv(sys.argv[1])
started = time.process_time()
paths = [p.split(" > ") for p in data["path"]]
channels = sorted({c for p in paths for c in p})
n, bit = len(channels), {c: 1 << i for i, c in enumerate(channels)}
hits, every = np.zeros(1 << n), np.zeros(1 << n)
for path, conversions, nulls in zip(paths, data["total_conversions"], data["total_null"]):
    mask = 0
    for c in path:
        mask |= bit[c]
    hits[mask] += conversions
    every[mask] += conversions + nulls
for i in range(n):
    for of in (hits, every):
        pairs = of.reshape(-1, 2, 1 << i)
        pairs[:, 1] += pairs[:, 0]
rate = np.divide(hits, every, out=np.zeros_like(hits), where=every > 0)
size = np.zeros(1, dtype=np.uint8)
for i in range(n):
    size = np.concatenate((size, size + np.uint8(1)))
weight = np.ones(n) / n
for k in range(1, n):
    weight[k] = weight[k - 1] * k / (n - k)
value = []
for i in range(n):
    pairs = rate.reshape(-1, 2, 1 << i)
    value.append(float(np.sum((pairs[:, 1] - pairs[:, 0]) * weight[size.reshape(-1, 2, 1 << i)[:, 0]])))
scale = data["total_conversions"].sum() / sum(value)
print("\nTIMED game", time.process_time() - started, " ".join(f"{c}={v * scale}" for c, v in zip(channels, value)))
"""


def peer_python():
    """A Python with ChannelAttribution, in the cache; None, and why, where it does not install."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tabiji" / "channelattribution"
    python = home / "bin" / "python"
    if not python.exists():
        print("== installing ChannelAttribution into the cache directory", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    wanted = [python, "-c", "import ChannelAttribution, pandas"]
    if subprocess.run(wanted, capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "-U", "setuptools>=77", "wheel", "Cython", "pandas", "numpy", "matplotlib"], capture_output=True)
        said = subprocess.run([python, "-m", "pip", "install", "-q", "--no-build-isolation", "ChannelAttribution"], capture_output=True, text=True)
        found = subprocess.run(wanted, capture_output=True, text=True)
        if found.returncode:
            why = [line for line in (said.stderr + found.stderr).splitlines() if "rror" in line]
            print(f"no ChannelAttribution: {why[-1].strip() if why else 'it does not install here'}")
            return None
    return python


def measured(*arguments):
    """Seconds, MiB and {channel: conversions}. The peak of a child is never below our own size: what it writes is not kept."""
    started = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "attribute", "--format", "csv", *map(str, arguments)], stdout=subprocess.PIPE)
    head = process.stdout.read(HEAD_SIZE)
    while process.stdout.read(HEAD_SIZE):
        pass
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert status == 0, arguments
    seconds = time.perf_counter() - started
    rows = {}
    if "--paths" not in arguments:
        assert len(head) < HEAD_SIZE, arguments
        rows = {r["channel"]: float(r["credited_conversions"]) for r in csv.DictReader(io.StringIO(head.decode()))}
    return seconds, usage.ru_maxrss / 1024, rows


def generate(file, paths, channels, longest, seed, distinct=0):
    """Returns all conversions. distinct: so many channels of a path tell it from all others."""
    rng = random.Random(seed)
    names = [f"c{i}" for i in range(channels)]
    total = 0
    with open(file, "w") as out:
        out.write("path,total_conversions,total_conversion_value,total_null\n")
        for i in range(paths):
            begin = [names[i // channels ** k % channels] for k in range(distinct)]
            path = " > ".join(begin + [rng.choice(names) for _ in range(rng.randint(0 if distinct else 1, longest - distinct))])
            conversions = rng.randint(0, 2)
            total += conversions
            out.write(f"{path},{conversions},{rng.randint(0, 900)},{rng.randint(0, 9)}\n")
    return total


def generate_touches(file, rows, channels, seed):
    """Returns all conversions."""
    rng = random.Random(seed)
    total = 0
    with open(file, "w") as out:
        out.write("customer_id,time,channel,conversion,conversion_value\n")
        for i in range(rows):
            converts = rng.random() < .1
            total += converts
            out.write(f"u{rng.randrange(rows // 8)},{1767225600 + i},c{rng.randrange(channels)},{int(converts)},{rng.randint(1, 900) if converts else 0}\n")
    return total


def solved_alone(bench, file):
    """{order: (milliseconds, states)} of the solving alone, paths read already, and {model: (microseconds an event, milliseconds anew)} of
    counts that follow journeys."""
    if not bench:
        return {}, {}
    lines = [line.split() for line in subprocess.run([bench, str(file)], capture_output=True, text=True, check=True).stdout.splitlines()]
    return ({int(line[0]): (float(line[1]), int(line[2])) for line in lines if line[0] != "correction"},
            {line[1]: (float(line[2]), float(line[3])) for line in lines if line[0] == "correction"})


def peer(python, script, *arguments):
    """{task: (CPU seconds, {channel: conversions})}; what does not end in time is not there."""
    found = {}
    if not python:
        return found
    process = subprocess.Popen([python, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = process.communicate(timeout=PEER_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        errors += f"not done after {PEER_SECONDS_MAX} s"
    for line in out.splitlines():
        if line.startswith("TIMED "):  # it talks
            _, task, seconds, *pairs = line.split(" ")
            found[task] = float(seconds), dict((n, float(v)) for n, v in (p.rsplit("=", 1) for p in pairs))
    if not found and errors.strip():
        print(f"no figures of the peer: {errors.strip().splitlines()[-1]}")
    return found


def deviation(found, rows):
    """The largest of any channel, in parts of a hundred."""
    return max((abs(found[c] / v - 1) for c, v in rows.items() if v and c in found), default=0) * 100


def beside_peer(bench, python):
    if not (DATA / "Data_python.csv").exists():
        print("no PathData (TABIJI_SHARED): left out")
        return
    file = DATA / "Data_python.csv"
    alone, corrections = solved_alone(bench, file)
    ours = {order: min(measured("--model", "markov", "--order", order, file) for _ in range(5)) for order in (1, 2, 3, 4)}
    theirs = peer(python, PEER, file, ";", 1, 2, 3, 4)
    for order, (seconds, memory, rows) in ours.items():
        text = f"PathData order {order}: {seconds * 1000:6.1f} ms, process and reading included, {memory:.0f} MiB"
        if order in alone:
            text += f"; the solving {alone[order][0]:.2f} ms CPU (goal: under 10), {alone[order][1]} states"
        if str(order) in theirs:
            took, found = theirs[str(order)]
            text += f"; ChannelAttribution {took * 1000:.1f} ms CPU, its solving alone; it deviates by up to {deviation(found, rows):.2f} %"
            if order in alone:
                text += f": {took * 1000 / alone[order][0]:,.0f} times ours"
        print(text, flush=True)
    for model, (us, ms) in corrections.items():
        print(f"PathData, streaming correction of {model}: {us:.2f} us CPU an event (a journey's path taken back, the longer one added); counting "
              f"all paths anew {ms:.2f} ms: {ms * 1000 / us:,.0f} times that. Of the whole journey stage: the benchmark models", flush=True)


def told(what, seconds, memory, rows, total, other=None, whose="ChannelAttribution"):
    """One line: our figure, how far the sum is off, and the peer's."""
    text = f"{what}: {seconds:.2f} s, peak {memory:.0f} MiB, process and reading included"
    if rows:
        text += f"; sums to all but {abs(sum(rows.values()) / total - 1):.0e} of it"
    if other:
        took, found = other
        text += f"; {whose} {took:.2f} s CPU, reading not counted: {took / seconds:.1f} times ours, deviates by up to {deviation(found, rows):.2g} %"
    print(text, flush=True)


def large_files(folder, scale, python):
    large, touches = folder / "large.csv", folder / "touches.csv"
    total = generate(large, scale, 12, 12, 1, distinct=6)
    theirs = peer(python, PEER, large, ",", "linear", 1)
    for what, task, *arguments in (("linear", "linear", "--model", "linear"), ("markov order 1", "1", "--model", "markov"),
                                   ("markov order 4", None, "--model", "markov", "--order", 4)):
        found = measured(*arguments, large)
        told(f"{scale:,} distinct paths, {what}", *found, total, theirs.get(task))
        if task == "1":
            channels = found[0]
    seconds, memory, _ = measured("--paths", "--model", "markov", large)
    print(f"{scale:,} distinct paths, markov down to the touch: {seconds:.2f} s, peak {memory:.0f} MiB; {seconds / channels:.1f} times the channels alone", flush=True)
    total = generate_touches(touches, scale, 12, 4)
    seconds, memory, rows = measured("--model", "linear", touches)
    told(f"{scale:,} rows of touches, linear", seconds, memory, rows, total)
    again, memory, rows = measured("--model", "linear", "--transform", "exposure", touches)
    told(f"{scale:,} rows of touches, linear, exposures", again, memory, rows, total)


def repeated(rows, distinct=10_000):
    """Seconds and MiB of so many rows of few paths, through standard input."""
    rng = random.Random(5)
    block = "".join(f"{' > '.join(f'c{rng.randrange(12)}' for _ in range(6))},{rng.randrange(3)},1,{rng.randrange(9)}\n" for _ in range(distinct)).encode()
    started = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "attribute", "--model", "linear,markov", "--format", "csv"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(b"path,total_conversions,total_conversion_value,total_null\n")
    for _ in range(rows // distinct):
        process.stdin.write(block)
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def many_rows(scale):
    """Memory grows with the distinct paths, not with the rows."""
    few, many = repeated(scale), repeated(10 * scale)
    print(f"{scale:,} rows of 10,000 distinct paths from standard input, linear and markov: {few[0]:.2f} s, peak {few[1]:.0f} MiB; ten times the rows: "
          f"{many[0]:.2f} s, peak {many[1]:.0f} MiB", flush=True)


def many_channels(folder, python):
    wide, game = folder / "wide.csv", folder / "game.csv"
    total = generate(wide, 50_000, 100, 8, 2)
    told("100 channels, markov order 2", *measured("--model", "markov", "--order", 2, wide), total, peer(python, PEER, wide, ",", 2).get("2"))
    total = generate(game, 20_000, 24, 8, 3)
    told("24 channels, shapley_rate exact", *measured("--model", "shapley_rate", game), total, peer(python, GAME, game).get("game"), "numpy")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=1_000_000)
    parser.add_argument("bench", nargs="?")
    options = parser.parse_args()
    print(f"cores {os.cpu_count()}")
    python = peer_python()
    beside_peer(options.bench, python)
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as folder:
        many_rows(options.scale)
        many_channels(pathlib.Path(folder), python)
        large_files(pathlib.Path(folder), options.scale, python)


if __name__ == "__main__":
    main()
