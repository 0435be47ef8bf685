#!/usr/bin/env python3
"""Durable events a second over HTTP: wrk sends batches of 20 events of about 1 kB to a collector before a real log.

    collector.py SERVER [SECONDS] [CONNECTIONS]
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def main():
    server, seconds, connections = sys.argv[1], int((sys.argv + ["", "10"])[2] or 10), int((sys.argv + ["", "", "64"])[3] or 64)
    if not shutil.which("wrk"):
        print("skipped: wrk is not installed")
        return 77
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-", dir=os.environ.get("TABIJI_BENCH_DIR")) as directory:
        process = subprocess.Popen([server, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = int(process.stdout.readline())
        run = subprocess.run(["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", HERE / "collector.lua",
                              f"http://127.0.0.1:{port}/v1/events"], capture_output=True, text=True)
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            peak = int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
            cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        process.stdin.close()
        records = int(process.stdout.readline())
        process.wait()
    requests = int(re.search(r"(\d+) requests in", run.stdout).group(1))
    took = float(re.search(r"requests in ([\d.]+)", run.stdout).group(1))
    p99 = re.search(r"99%\s+(\S+)", run.stdout).group(1)
    print(f"cores {os.cpu_count()}, {connections} connections, {took:.1f} s")
    print(f"durable events/s {requests * 20 / took:,.0f}; p99 {p99}; peak memory {peak:.0f} MiB; "
          f"server CPU {cpu * 1e6 / (requests * 20):.1f} s a million events")
    if run.stderr.strip() or "Non-2xx" in run.stdout or records < requests * 20:
        print(f"wrong: {records} records in the log for {requests} answered requests\n{run.stdout}{run.stderr}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
