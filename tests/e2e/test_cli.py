#!/usr/bin/env python3
"""The command line as a user meets it: help, exit codes, nearest names, the same configuration everywhere."""
import json
import os
import pathlib
import signal
import subprocess

from harness import PROGRAM, ROOT, Workspace, stop, tabiji, wait_until

VERBS = ["demo", "run", "import", "emit", "generate", "attribute", "lookup", "timeline", "identity", "explain", "erase", "keys", "rejected", "source", "state", "test", "validate", "collect", "work", "sink",
         "doctor", "config", "version"]


def fails(code, text, *arguments, **options):
    run = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, **options)
    assert run.returncode == code, (arguments, run.returncode, run.stderr)
    assert text in run.stderr, (arguments, run.stderr)


def blocks(pid, sig):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return int(line.split()[1], 16) >> (sig - 1) & 1
    return False


def ends_without_broker(space):
    """SIGTERM while no broker answers at the start: its end, and no failure, long before the 30 s that it would wait."""
    for verb in ("collect", "work", "sink"):
        with open(space.path / f"{verb}.log", "w") as log:
            process = space.start(verb, "--set", "stream.driver=kafka", "--set", "kafka.bootstrap.servers=127.0.0.1:1",
                                  "--set", f"data.dir={space.path}/{verb}", stderr=log)
        wait_until(lambda: blocks(process.pid, signal.SIGTERM), f"{verb} to wait for signals")
        assert stop(process, timeout=10) == 0, (verb, process.returncode)


def closed_pipe():
    """Who reads has enough: that is no error; a full disk is."""
    for arguments in (["generate", "--events", "20000"], ["help", "--man"], ["config", "dump", "--doc"]):
        process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        told = process.stderr.read().decode()
        assert (process.wait(60), told) == (0, ""), (arguments, process.returncode, told)
        with open("/dev/full", "w") as full:
            assert subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.DEVNULL).returncode == 1, arguments


def ends_with_json():
    """Under --json a program finds JSON, however the command line is wrong."""
    for arguments in (["erase"], ["lookup"], ["explain", "cookie:c1"], ["identity"], ["improt"], ["erase", "--no-such-flag"], ["erase", "a:1", "b:2"],
                      ["lookup", "--data"]):
        run = subprocess.run([PROGRAM, *arguments[:1], "--json", *arguments[1:]], capture_output=True, text=True)
        error = json.loads(run.stdout)["error"]
        assert run.returncode == 2 and error["code"] == "usage" and error["message"] in run.stderr, (arguments, run)
        assert not error["message"].startswith("tabiji"), error
        assert subprocess.run([PROGRAM, *arguments], capture_output=True, text=True).stdout == "", arguments


def key_files(space):
    """A key that cannot be read: why, and which."""
    key = space.path / "unreadable.key"
    load = ("import", "--data", str(space.path / "unread"), "--mapping", str(ROOT / "deploy/mappings/native.ini"), "/dev/null", "--set")
    fails(2, f"{space.path}: Is a directory", *load, f"identity.key_file={space.path}")
    fails(2, f"{key}: ", *load, f"identity.key_file={key}")
    key.write_text("0" * 64)
    key.chmod(0)
    nobody = {"user": 65534} if os.getuid() == 0 else {}  # root may read all
    try:
        fails(2, f"{key}: Permission denied", *load, f"identity.key_file={key}", **nobody)
    except PermissionError:
        print("not tried: the program is out of nobody's reach")


def main():
    overview = tabiji("--help")
    manual = tabiji("help", "--man")
    for verb in VERBS:
        assert verb in overview, verb
        text = tabiji(verb, "--help")
        assert text.startswith(f"usage: tabiji {verb}") and "examples:" in text, text
        assert f".SS {verb} " in manual, verb
    assert json.loads(tabiji("version", "--json"))["tabiji"]

    closed_pipe()
    ends_with_json()
    fails(2, 'did you mean "import"', "improt")
    fails(2, 'did you mean "--mapping"', "import", "--maping", "x", "y")
    fails(2, "needs", "import", "--mapping", "x")
    fails(2, "integer", "generate", "--events", "many")
    fails(2, "did you mean", "config", "dump", "--set", "collector.lisen=1")

    with Workspace() as space:
        bad = space.path / "bad.ini"
        bad.write_text("[collector]\nlisten = 127.0.0.1:0\nlissten = 1\n")
        fails(2, "bad.ini:3", "config", "dump", "--config", str(bad))
        good = space.path / "good.ini"
        good.write_text("[journey]\nlookback_days = 30\n")
        shown = {(e["section"], e["key"]): e for e in json.loads(tabiji(
            "config", "dump", "--json", "--config", good, "--set", "journey.half_life_days=3",
            env={"TABIJI_WORKER_BATCH_RECORDS": "77"}))}
        assert shown["journey", "lookback_days"]["value"] == "30"
        assert "good.ini" in shown["journey", "lookback_days"]["origin"]
        assert shown["journey", "half_life_days"]["origin"] == "--set"
        assert shown["worker", "batch_records"]["value"] == "77"
        again = space.path / "again.ini"
        again.write_text(tabiji("config", "dump", "--config", good))
        tabiji("config", "dump", "--config", again)

        none = str(space.path / "none")
        for words in (["lookup", "login:u-1"], ["timeline", "login:u-1"], ["identity", "show", "login:u-1"], ["rejected", "list"],
                      ["identity", "preview-link", "login:a", "login:b"], ["explain", "login:a", "login:b"], ["explain", "credit", "c"],
                      ["unlink", "login:a", "login:b", "--reason", "r"], ["erase", "login:u-1", "--reason", "r"]):
            fails(4, f"there is no database {none}/tabiji.db; `tabiji run`", *words, "--data", none)
        fails(1, "data directory /proc/none: No such file or directory", "run", "--data", "/proc/none")
        fails(1, "data directory /proc/none: No such file or directory", "import", "--data", "/proc/none", "--mapping",
              str(ROOT / "deploy/mappings/native.ini"), str(good))
        fails(2, "", "import", "--data", str(space.path / "d"), "--mapping", str(space.path / "absent.ini"), str(good))

    with Workspace() as space:
        key_files(space)
        key = space.path / "tenant.key"
        tabiji("keys", "new", str(key))
        first = key.read_text()
        assert key.stat().st_mode & 0o777 == 0o600 and first.startswith("tabiji keys 1\n") and "\nk1 active " in first, first
        fails(2, "exists", "keys", "new", str(key))
        assert key.read_text() == first
        fails(2, "knows", "keys", "nwe")
        fails(1, "No such file", "keys", "new", str(space.path / "none" / "k"))
        event = space.path / "e.ndjson"
        event.write_text('{"id":"1","type":"signed_in","time":"2026-11-20T10:00:00Z","ids":{"email":"a@example.jp"}}\n')
        load = ["import", "--mapping", str(ROOT / "deploy/mappings/native.ini"), "--set", f"identity.key_file={key}", str(event), "--data"]
        tabiji(*load, str(space.path / "keyed"))
        tabiji("import", "--mapping", str(ROOT / "deploy/mappings/native.ini"), str(event), "--data", str(space.path / "public"))
        find = ["lookup", "--json", "email:a@example.jp", "--data"]
        keyed = json.loads(tabiji(*find, str(space.path / "keyed"), "--set", f"identity.key_file={key}"))
        public = json.loads(tabiji(*find, str(space.path / "public")))
        assert keyed[0]["value"] != public[0]["value"] and keyed[0]["person"] != public[0]["person"]
        key.chmod(0o644)
        fails(2, "may be read by others", *load, str(space.path / "keyed"))

    with Workspace() as space:
        ends_without_broker(space)

    one, two = tabiji("generate", "--events", "500"), tabiji("generate", "--events", "500")
    assert one == two and one.count("\n") == 500
    assert tabiji("generate", "--events", "500", "--seed", "2") != one
    print("command line: all as said")


if __name__ == "__main__":
    main()
