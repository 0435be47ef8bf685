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

PEER = r"""
import io, sys, time, contextlib
import pandas as pd
import ChannelAttribution as ca
data = pd.read_csv(sys.argv[1], sep=";")
for order in (1, 2, 3, 4):
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = ca.markov_model(data, "path", "total_conversions", var_value="total_conversion_value", var_null="total_null",
                                order=order)
    seconds = time.process_time() - started
    found = found["result"] if isinstance(found, dict) else found
    print("\nTIMED", order, seconds, " ".join(f"{n}={v}" for n, v in zip(found.iloc[:, 0], found.iloc[:, 1])))
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
    started = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "attribute", "--format", "csv", *map(str, arguments)], stdout=subprocess.PIPE)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    seconds = time.perf_counter() - started
    head = out[:1 << 20].decode(errors="ignore") if "--paths" in arguments else out.decode()
    rows = {r["channel"]: float(r["credited_conversions"] or 0) for r in csv.DictReader(io.StringIO(head)) if r["credited_conversions"]}
    return seconds, usage.ru_maxrss / 1024, rows


def generate(file, paths, channels, longest, seed):
    rng = random.Random(seed)
    names = [f"c{i}" for i in range(channels)]
    with open(file, "w") as out:
        out.write("path,total_conversions,total_conversion_value,total_null\n")
        for _ in range(paths):
            path = " > ".join(rng.choice(names) for _ in range(rng.randint(1, longest)))
            out.write(f"{path},{rng.randint(0, 2)},{rng.randint(0, 900)},{rng.randint(0, 9)}\n")


def solved_alone(bench, file):
    """{order: (milliseconds, states)} of the solving alone, paths read already."""
    if not bench:
        return {}
    lines = subprocess.run([bench, str(file)], capture_output=True, text=True, check=True).stdout.splitlines()
    return {int(order): (float(ms), int(states)) for order, ms, states in (line.split() for line in lines)}


def beside_peer(bench):
    if not (DATA / "Data_python.csv").exists():
        print("no PathData (TABIJI_SHARED): left out")
        return
    file = DATA / "Data_python.csv"
    alone = solved_alone(bench, file)
    ours = {order: min(measured("--model", "markov", "--order", order, file) for _ in range(5)) for order in (1, 2, 3, 4)}
    python, theirs = peer_python(), {}
    if python:
        run = subprocess.run([python, "-c", PEER, str(file)], capture_output=True, text=True)
        for line in run.stdout.splitlines():
            if not line.startswith("TIMED "):
                continue  # it talks
            _, order, seconds, *pairs = line.split(" ")
            theirs[int(order)] = float(seconds), dict((n, float(v)) for n, v in (p.rsplit("=", 1) for p in pairs))
    for order, (seconds, memory, rows) in ours.items():
        text = f"PathData order {order}: {seconds * 1000:6.1f} ms, process and reading included, {memory:.0f} MiB"
        if order in alone:
            text += f"; the solving {alone[order][0]:.2f} ms CPU (goal: under 10), {alone[order][1]} states"
        if order in theirs:
            peer, found = theirs[order]
            worst = max(abs(found[c] / v - 1) for c, v in rows.items() if v and c in found)
            text += f"; ChannelAttribution {peer * 1000:.1f} ms CPU, its solving alone; it deviates by up to {worst * 100:.2f} %"
            if order in alone:
                text += f": {peer * 1000 / alone[order][0]:,.0f} times ours"
        print(text, flush=True)
    if python and not theirs:
        print(f"no figures of ChannelAttribution: {run.stderr.strip().splitlines()[-1:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=1_000_000)
    parser.add_argument("bench", nargs="?")
    options = parser.parse_args()
    print(f"cores {os.cpu_count()}")
    beside_peer(options.bench)
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as folder:
        large, wide, game = (pathlib.Path(folder) / name for name in ("large.csv", "wide.csv", "game.csv"))
        generate(large, options.scale, 12, 12, 1)
        generate(wide, 50_000, 100, 8, 2)
        generate(game, 20_000, 24, 8, 3)
        for what, *arguments in (
                (f"{options.scale:,} paths, linear", "--model", "linear", large),
                (f"{options.scale:,} paths, markov order 1", "--model", "markov", large),
                (f"{options.scale:,} paths, markov order 4", "--model", "markov", "--order", 4, large),
                (f"{options.scale:,} paths, markov down to the touch", "--paths", "--model", "markov", large),
                ("100 channels, markov order 2", "--model", "markov", "--order", 2, wide),
                ("24 channels, shapley_rate exact", "--model", "shapley_rate", game)):
            seconds, memory, _ = measured(*arguments)
            print(f"{what}: {seconds:.2f} s, peak {memory:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
