"""What the end-to-end tests share: the program, temporary directories, processes ended by their id, ports chosen free."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ.get("TABIJI_PROGRAM", "build/deploy/tabiji")
ROOT = pathlib.Path(os.environ.get("TABIJI_SOURCE_ROOT", "."))
SHARED = pathlib.Path(os.environ.get("TABIJI_SHARED", ROOT / ".." / "shared"))
LONG = os.environ.get("TABIJI_LONG") == "1"
SKIP = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def need(path):
    if not path.exists():
        skip(f"{path} is absent")
    return path


class Workspace:
    """A temporary directory; kept, and named, when the test fails."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="tabiji-e2e-"))
        self.processes = []
        return self

    def __exit__(self, kind, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if kind is None or kind is SystemExit:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            print(f"kept for a look: {self.path}", file=sys.stderr)

    def start(self, *arguments, **options):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], **options)
        self.processes.append(process)
        return process


def tabiji(*arguments, expect=0, stdin=None, env=None):
    """Runs the program to its end; returns standard output. expect: an exit code or a tuple of them."""
    run = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True,
                         env={**os.environ, **(env or {})}, timeout=900)
    wanted = expect if isinstance(expect, tuple) else (expect,)
    if run.returncode not in wanted:
        raise AssertionError(f"tabiji {' '.join(map(str, arguments))}: exit {run.returncode}, wanted {expect}\n"
                             f"{run.stderr.decode(errors='replace')[-4000:]}")
    return run.stdout.decode()


def stop(process, sig=signal.SIGTERM, timeout=60):
    process.send_signal(sig)
    return process.wait(timeout)


PORTS = range(20000, 30000)  # below those that the system gives to whoever asks for none
held = []


def free_port():
    """A port of 127.0.0.1 that no other test gets while this one runs: a name that only one process can have stands for it."""
    for port in random.sample(PORTS, len(PORTS)):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0tabiji-test-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            name.close()
            continue
        held.append(name)
        return port
    raise AssertionError(f"no free port in {PORTS}")


def wait_until(condition, what, timeout=60):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.05)


def ready(port):
    """Whether the collector there takes events."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(100)
    except OSError:
        return False


def rows_so_far(data, sql):
    """Of a data directory whose database may not be there yet, and then has none."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


def same(name, got, wanted):
    if got != wanted:
        for a, b in zip(got.splitlines(), wanted.splitlines()):
            if a != b:
                raise AssertionError(f"{name}: first difference\n  got    {a[:400]}\n  wanted {b[:400]}")
        raise AssertionError(f"{name}: {len(got.splitlines())} rows, wanted {len(wanted.splitlines())}")
    print(f"same: {name} ({len(got.splitlines())} rows)")
