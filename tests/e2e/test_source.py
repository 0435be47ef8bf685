#!/usr/bin/env python3
"""`tabiji source`: who may send. Keys are shown once and kept as hashes; a change leaves the rest of the file as it is, is whole when it is
killed, and is taken over by a running collector; rates answer 429 in each protocol's own words."""
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

from harness import PROGRAM, Workspace, free_port, stop, tabiji, wait_until

FILE = """# Sources of the shop; the platform team keeps them.
[source pos]
; tills: no browser
key_sha256 = 0000000000000000000000000000000000000000000000000000000000000000
origins = https://a.example.jp
    https://b.example.jp
rate = 0

# the end
"""


def ask(port, path, body, headers=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
    reply = connection.getresponse()
    text = reply.read().decode(errors="replace")
    connection.close()
    return reply.status, reply.getheader("Retry-After"), text


def fails(code, text, *arguments):
    run = subprocess.run([PROGRAM, "source", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == code and text in run.stderr, (arguments, run)
    return run


def listed(sources):
    return {row["source"]: row for row in json.loads(tabiji("source", "list", "--json", "--sources", sources))}


def edits(space):
    """Bad input changes nothing; good input what it names."""
    sources = space.path / "edits.ini"
    sources.write_text(FILE)
    sources.chmod(0o640)
    key = tabiji("source", "add", "web", "protocols=segment, ga4", "origins=https://*.example.jp", "--sources", sources).strip()
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert key.startswith("tabiji_") and len(key) == 71 and key not in sources.read_text()
    assert sources.read_text() == FILE + f"\n[source web]\nkey_sha256 = {digest}\nprotocols = segment, ga4\norigins = https://*.example.jp\n"
    assert sources.stat().st_mode & 0o777 == 0o640
    before = sources.read_text()
    for code, text, *arguments in (
            (2, "has a source web already", "add", "web"),
            (2, "is no name of a source", "add", "Web"), (2, "is no name of a source", "add", "a]\n[log"), (2, "is no name of a source", "add", "x" * 300),
            (2, 'did you mean "rate"', "add", "app", "rat=5"), (2, "is not a whole number", "add", "app", "rate=many"),
            (2, "is not a web origin", "set", "web", "origins=https://a.jp/shop"), (2, "is not KEY=VALUE", "set", "web", "rate"),
            (2, "a value is one line", "set", "web", "rate=1\n[log]"), (2, "set needs KEY=VALUE", "set", "web"),
            (2, "is not 64 hex digits", "set", "web", "key_sha256=zz"),
            (4, 'did you mean "web"', "disable", "wed"), (4, "there is no source", "rotate", "none"),
            (2, "finds no old key", "retire", "web"), (2, "--keep", "rotate", "web", "--keep", "soon"), (2, "takes a name alone", "enable", "web", "x=1"),
            (2, "needs the name", "add"), (2, "knows add", "remove", "web")):
        fails(code, text, *arguments, "--sources", sources)
        assert sources.read_text() == before, arguments
    tabiji("source", "set", "pos", "origins=https://c.example.jp", "--sources", sources)
    tabiji("source", "disable", "pos", "--sources", sources)
    assert sources.read_text() == before.replace("https://a.example.jp\n    https://b.example.jp", "https://c.example.jp").replace(
        "rate = 0\n", "rate = 0\nenabled = no\n")
    assert listed(sources)["pos"]["state"] == "disabled" and listed(sources)["web"]["keys"] == digest[:8]

    # A link to the file stays one; what nobody may write is named.
    link = space.path / "link.ini"
    link.symlink_to(sources)
    tabiji("source", "enable", "pos", "--sources", link)
    assert link.is_symlink() and listed(sources)["pos"]["state"] == "enabled"
    fails(2, "has no file to write to", "add", "new")

    # A misspelt file has no sources to list; what is no file is not waited for.
    none, pipe = space.path / "none.ini", space.path / "pipe.ini"
    fails(4, f"{none}: No such file", "list", "--sources", none)
    os.mkfifo(pipe)
    for path in (pipe, space.path):
        for verb in (("list",), ("add", "new")):
            fails(2, f"{path}: is no regular file", *verb, "--sources", path)
    fails(1, "No such file", "add", "new", "--sources", space.path / "none" / "s.ini")

    # In the configuration file itself, where no other is named.
    config = space.path / "edits-tabiji.ini"
    config.write_text("[log]\nlevel = info\n")
    given = json.loads(tabiji("source", "add", "app", "--config", config, "--json", "key_sha256=" + digest))
    assert given == {"source": "app", "did": "add", "file": str(config), "reload": "SIGHUP"}, given
    assert config.read_text() == f"[log]\nlevel = info\n\n[source app]\nkey_sha256 = {digest}\n"
    error = json.loads(subprocess.run([PROGRAM, "source", "rotate", "no", "--json"], capture_output=True).stdout)["error"]
    assert error["code"] == "not_found", error
    # A source stands in one file.
    run = subprocess.run([PROGRAM, "config", "dump", "--config", config, "--sources", sources], capture_output=True, text=True)
    assert run.returncode == 2
    sources.write_text(config.read_text()[len("[log]\nlevel = info\n"):])
    run = subprocess.run([PROGRAM, "config", "dump", "--config", config, "--set", f"collector.sources_file={sources}"], capture_output=True, text=True)
    assert run.returncode == 2 and "stands in another file already" in run.stderr, run
    print("edits: the rest of the file stays, what is wrong is not written")


def killed(space):
    """kill -9 at any moment: the file is the old one or the new one, and the next change works. Changes at once do not lose each other."""
    sources = space.path / "killed.ini"
    sources.write_text("# many\n" + "".join(f"[source s{i}]\nkey_sha256 = {hashlib.sha256(str(i).encode()).hexdigest()}\n" for i in range(900)))
    begun = time.monotonic()
    tabiji("source", "set", "s7", "rate=1000", "--sources", sources)
    whole, cut = time.monotonic() - begun, 0
    for n in range(24):
        before = sources.read_text()
        process = subprocess.Popen([PROGRAM, "source", "set", "s7", f"rate={n + 1}", "--sources", str(sources)], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, 1.5 * whole))
        process.kill()
        cut += process.wait() == -signal.SIGKILL
        after = sources.read_text()
        assert after == before or (f"\nrate = {n + 1}\n" in after and after.count("[source s") == 900), n
    tabiji("source", "set", "s7", "rate=77", "--sources", sources)
    assert "rate = 77\n" in sources.read_text() and not (space.path / "killed.ini.new").exists()
    assert cut, "nothing was killed in time"
    few = space.path / "few.ini"
    processes = [subprocess.Popen([PROGRAM, "source", "add", f"new-{i}", "--sources", few], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) for i in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert sorted(listed(few)) == [f"new-{i}" for i in range(8)]
    print(f"killed: {cut} of 24 changes cut off, the file whole each time; eight at once are all there")


def running(space):
    """A collector takes over what a verb has written, at SIGHUP; a missing or bad file changes nothing."""
    port, sources, log = free_port(), space.path / "sources.ini", space.path / "run.log"
    options = ("--sources", sources)
    keys = {}
    for name, *values in (("web", "protocols=segment"), ("slow", "rate=1", "burst=2", "app_ids=slow-app"), ("watch", "operator=yes")):
        keys[name] = tabiji("source", "add", name, *values, *options).strip()

    def lines(event):
        return [line for line in map(json.loads, (x for x in log.read_text().splitlines() if x.startswith("{"))) if line["event"] == event]

    def reload(event="reloaded"):
        before = len(lines(event))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(lines(event)) > before, event)
        return lines(event)[-1]

    def track(key):
        return ask(port, "/v1/track", {"messageId": "m", "userId": "u", "event": "x", "writeKey": key})[0]

    def native(key, n=1):
        return ask(port, "/v1/events", [{"id": f"e{i}", "type": "page_viewed", "ids": {"cookie": "c"}} for i in range(n)],
                   {"Authorization": f"Bearer {key}"})

    with log.open("wb") as out:
        process = space.start("run", "--data", space.path / "data", *options, "--set", f"collector.listen=127.0.0.1:{port}", stderr=out)
    wait_until(lambda: "listening on port" in log.read_text(), "the collector")
    assert (track(keys["web"]), track("no"), native(keys["web"])[0]) == (200, 401, 403)

    first = keys["web"]
    second = tabiji("source", "rotate", "web", "--keep", "1h", *options).strip()
    assert (track(first), track(second)) == (200, 401)
    assert "[source web] key_sha256" in reload()["taken"]
    assert (track(first), track(second)) == (200, 200), "both are good for an hour"
    tabiji("source", "retire", "web", *options)
    reload()
    assert (track(first), track(second)) == (401, 200)
    third = tabiji("source", "rotate", "web", "--keep", "2s", *options).strip()
    end = time.time() + 2
    reload()
    assert track(third) == 200
    wait_until(lambda: track(second) == 401, "the end of the old key without a reload", 10)
    assert time.time() > end - 1
    leaked = third
    third = tabiji("source", "rotate", "web", "--keep", "0s", *options).strip()
    reload()
    assert (track(leaked), track(third)) == (401, 200), "a leaked key ends at once"
    tabiji("source", "disable", "web", *options)
    reload()
    assert track(third) == 403
    tabiji("source", "enable", "web", *options)
    reload()
    assert track(third) == 200

    # Too much, in each protocol's own words: two are saved up, one a second comes.
    slow = {"Authorization": f"Bearer {keys['slow']}"}
    event = {"messageId": "m", "userId": "u", "event": "x"}
    snowplow = {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",
                "data": [{"e": "pv", "p": "web", "tv": "x", "aid": "slow-app", "uid": "u", "eid": "0192f3c1-0000-4000-8000-000000000001"}]}
    clients = {
        "native": (lambda: native(keys["slow"]), '{"code":"rate","message":'),
        "segment": (lambda: ask(port, "/v1/track", event, slow), '{"success":false,"code":"rate"'),
        "snowplow": (lambda: ask(port, "/com.snowplowanalytics.snowplow/tp2", snowplow), '{"code":"rate"'),
        "ga4": (lambda: ask(port, f"/mp/collect?api_secret={keys['slow']}", {"client_id": "c", "events": [{"name": "x"}]}), '{"code":"rate"'),
        "pixel": (lambda: ask(port, "/i?e=pv&p=web&tv=x&aid=slow-app&uid=u", None, method="GET"), '{"code":"rate"'),
    }
    for name, (send, words) in clients.items():
        answers = []
        for _ in range(6):
            answers.append(send())
            if answers[-1][0] == 429:
                break
        status, retry, text = answers[-1]
        assert status == 429 and 1 <= int(retry) <= 2 and text.startswith(words), (name, answers)
        time.sleep(int(retry))
        assert send()[0] in (200, 204), name
    metrics = ask(port, "/metrics", None, method="GET")[2]
    counted = [line for line in metrics.splitlines() if line.startswith("tabiji_collector_rate_limited_events_total{")]
    assert counted and counted[0].startswith('tabiji_collector_rate_limited_events_total{source="slow"} ') and float(counted[0].split()[1]) >= 5, counted

    # Origins: of browsers alone.
    tabiji("source", "set", "slow", "origins=https://*.example.jp", "rate=0", "burst=0", *options)
    reload()
    for origin, status in (("https://www.example.jp", 200), ("https://example.jp", 403), ("https://badexample.jp", 403), (None, 200)):
        assert ask(port, "/v1/track", event, {**slow, **({"Origin": origin} if origin else {})})[0] == status, origin

    # A file that is gone, or cut, changes nothing.
    text = sources.read_text()
    sources.unlink()
    assert str(sources) in reload("reload_refused")["why"] and track(third) == 200
    sources.write_text(text[:len(text) // 2] + "\n[log]\nlevel = error\n")
    assert "[source NAME] sections alone" in reload("reload_refused")["why"] and track(third) == 200
    sources.write_text(text)
    reload()
    assert stop(process) == 0
    fails_start = subprocess.run([PROGRAM, "run", "--data", space.path / "data", "--sources", space.path / "absent.ini"], capture_output=True, text=True)
    assert fails_start.returncode == 2 and "tabiji source add makes it" in fails_start.stderr, fails_start
    print("running: keys, ends of keys, rates and origins taken over; a bad file changes nothing")


def main():
    with Workspace() as space:
        edits(space)
        killed(space)
        running(space)


if __name__ == "__main__":
    main()
