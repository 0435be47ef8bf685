"""Fetches the real clients that tests run: by npm and pip, as clients/package-lock.json and clients/requirements.txt pin them.

usage: real_clients.py install     fetch them, once, into the user's cache

They are kept in $XDG_CACHE_HOME/tabiji/clients-<what the lock files say> (~/.cache), outside the source tree.
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent / "clients"
PINS = ("package.json", "package-lock.json", "requirements.txt")
BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell")


class Unavailable(Exception):
    """The clients cannot be had here; a test that needs them says so and is skipped."""


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    digest = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in PINS)).hexdigest()[:12]
    return pathlib.Path(base) / "tabiji" / f"clients-{digest}"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} could not fetch the clients:\n{done.stdout[-1000:]}")


def make(home, name, fetch):
    """home/name by fetch(), unless a fetch of before came to its end."""
    if not (home / f"{name}.made").exists():
        print(f"fetching clients ({name}) into {home}", file=sys.stderr)
        shutil.rmtree(home / name, ignore_errors=True)
        fetch()
        (home / f"{name}.made").touch()


def install():
    """Directory with node_modules and venv; fetches them when absent."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed")
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in PINS:
            shutil.copy(HERE / name, home)
        make(home, "node_modules", lambda: run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=home))
        make(home, "venv", lambda: (run(sys.executable, "-m", "venv", home / "venv"),
                                    run(home / "venv/bin/python", "-m", "pip", "install", "-q", "-r", home / "requirements.txt")))
    return home


def browser():
    """Path of Debian's Chromium."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise Unavailable("chromium is not installed")


def node(script, environment, **options):
    """Starts clients/SCRIPT in node, where it finds the clients."""
    return subprocess.Popen(["node", HERE / script], env={**os.environ, "NODE_PATH": str(install() / "node_modules"), **environment},
                            stdin=subprocess.DEVNULL, **options)


def python(script, environment, **options):
    """Starts clients/SCRIPT in the Python that has the clients."""
    return subprocess.Popen([install() / "venv/bin/python", HERE / script], env={**os.environ, **environment},
                            stdin=subprocess.DEVNULL, **options)


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    try:
        install()
    except Unavailable as why:
        sys.exit(f"not to be had: {why}")
