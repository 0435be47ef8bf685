#!/usr/bin/env python3
"""Webhooks at the wire: the page's own lines, every bad input with its answer, kill -9 after a reply, secrets changed while it runs."""
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import time

from harness import PROGRAM, ROOT, Workspace, free_port, stop, tabiji, wait_until
from test_http import Tail, ready
from test_segment_wire import HOSTILE, exchange, rows

SECRETS = {"cc-twilio": "token", "shop": "hush", "cc-connect": "connect's", "cc-genesys": "genesys'", "pbx": "pbx's", "slow": "slow's",
           "off": "off's", "other": "other's"}
# Beside the sources of the page.
MORE = """
[source slow]
secret_file = slow.secret
rate = 1
[source off]
secret_file = off.secret
enabled = no
[source other]
secret_file = other.secret
protocols = native
[source unpriced]
secret_file = slow.secret
[source bare]
[source calls]
secret_file = slow.secret
[source ops]
key_sha256 = %s
operator = yes
""" % hashlib.sha256(b"operator's key").hexdigest()


def page():
    """The collector's page on webhooks: configuration, mapping, lines for a shell."""
    text = (ROOT / "ingest/collector/README.md").read_text().partition("\n## Webhooks\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(ini|sh)\n(.*?)```", text, re.S)
    config = "".join(block for kind, block in blocks if kind == "ini" and block.startswith("[source"))
    mapping = next(block for kind, block in blocks if kind == "ini" and block.startswith("[file]"))
    shells = {re.search(r"/hooks/\w+/([\w-]+)", block)[1]: block for kind, block in blocks if kind == "sh"}
    assert set(shells) == {"cc-connect", "cc-genesys", "pbx"}, shells.keys()
    return config, mapping, shells


def signature(secret, body, algorithm=hashlib.sha256):
    return base64.b64encode(hmac.new(secret.encode(), body, algorithm).digest()).decode()


def headers_of(kind, source, body, secret):
    if kind == "shopify":
        return f"X-Shopify-Topic: orders/create\r\nX-Shopify-Hmac-Sha256: {signature(secret, body)}\r\n"
    if kind == "connect":
        return f"X-Api-Key: {secret}\r\n"
    return f"X-Hub-Signature-256: sha256={signature(secret, body)}\r\n"


def send(port, path, body, headers=None, secret=None, kind_header="Content-Type: application/json\r\n", method="POST"):
    """Signed by the source's secret unless headers says otherwise."""
    kind, source = path.split("/")
    if headers is None:
        headers = headers_of(kind, source, body, secret or SECRETS[source])
    head = f"{method} /hooks/{path} HTTP/1.1\r\nHost: t.example.jp\r\n{kind_header}{headers}"
    if "chunked" in headers:
        return exchange(port, head.encode() + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    return exchange(port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def order(number, **more):
    return json.dumps({"id": number, "updated_at": "2026-11-20T10:00:00+09:00", "created_at": "2026-11-20T10:00:00+09:00", "currency": "JPY",
                       "total_price": "100", "customer": {"id": 5}, **more}, ensure_ascii=False).encode()


def twilio(**more):
    return "&".join(f"{key}={value}" for key, value in {"CallSid": "CA1", "CallStatus": "completed", "SequenceNumber": "9", **more}.items()).encode()


def twilio_headers(body, secret="token", url="https://t.example.jp/hooks/twilio/cc-twilio"):
    pairs = sorted(pair.split("=") for pair in body.decode().split("&") if pair)
    return f"X-Twilio-Signature: {signature(secret, (url + ''.join(name + value for name, value in pairs)).encode(), hashlib.sha1)}\r\n"


def shown(port, shells):
    for source, block in shells.items():
        done = subprocess.run(["sh", "-ec", block.replace("curl ", "curl -sf ")], capture_output=True,
                              env={**os.environ, "TABIJI": f"http://127.0.0.1:{port}", "SECRET": SECRETS[source]})
        assert done.returncode == 0 and json.loads(done.stdout) == {"accepted": 1, "duplicates": 0, "rejected": []}, (source, done)


def strangers(port):
    body, form = order(1), twilio()
    json_type = "Content-Type: application/x-www-form-urlencoded\r\n"
    cases = [  # what, reply, status, code, reason that is logged
        ("no signature", send(port, "shopify/shop", body, ""), 401, "unsigned", "unsigned"),
        ("another's secret", send(port, "shopify/shop", body, secret="pbx's"), 401, "signature", "signature"),
        ("another body", send(port, "shopify/shop", body + b" ", headers_of("shopify", "shop", body, "hush")), 401, "signature", "signature"),
        ("a signature cut short", send(port, "genesys/cc-genesys", b"{}", "X-Hub-Signature-256: sha256=AAAA\r\n"), 401, "signature", "signature"),
        ("no secret is known", send(port, "shopify/bare", body, headers_of("shopify", "bare", body, "")), 401, "no_secret", "no_secret"),
        ("Twilio's, unsigned", send(port, "twilio/cc-twilio", form, "", kind_header=json_type), 401, "unsigned", "unsigned"),
        ("Twilio's, by another", send(port, "twilio/cc-twilio", form, twilio_headers(form, "x"), kind_header=json_type), 401, "signature", "signature"),
        ("Twilio's, for another address", send(port, "twilio/cc-twilio", form, twilio_headers(form, url="https://t.example.jp/hooks/twilio/x"),
                                               kind_header=json_type), 401, "signature", "signature"),
        ("a wrong secret", send(port, "connect/cc-connect", b"{}", "X-Api-Key: connect\r\n"), 401, "signature", "signature"),
        ("no source", send(port, "shopify/nobody", body, ""), 401, "unauthorized", None),
        ("a disabled source", send(port, "shopify/off", body), 403, "disabled", None),
        ("another protocol", send(port, "shopify/other", body), 403, "protocol", None),
        ("no kind", send(port, "shopfy/shop", body, ""), 404, "not_found", None),
        ("a replay", send(port, "shopify/shop", body, headers_of("shopify", "shop", body, "hush") + "X-Shopify-Triggered-At: 2026-01-01T00:00:00Z\r\n"),
         403, "stale", "stale")]
    for what, (status, _, text), wanted, code, _ in cases:
        assert (status, json.loads(text)["code"]) == (wanted, code), (what, status, text)
    return [reason for *_, reason in cases if reason]


def bad_input(port):
    large, bomb = order(1, note="x" * (1 << 20)), gzip.compress(b" " * (64 << 20))
    packed = gzip.compress(order(30))
    for kind in ("shopify/shop", "connect/cc-connect", "genesys/cc-genesys", "generic/pbx"):
        cases = [  # what, body, more headers, status, code
            ("empty", b"", "", 400, "empty"), ("half", b'{"id":', "", 400, "bad_json"), ("more", b"{}x", "", 400, "bad_json"),
            ("no UTF-8", b'{"id":"\xff"}', "", 400, "bad_utf8"), ("half a pair", b'{"id":"\\ud800"}', "", 400, "bad_utf8"),
            ("deep", b'{"id":' + b"[" * 100 + b"]" * 100 + b"}", "", 400, "too_deep"),
            ("wide", json.dumps({f"k{n}": n for n in range(1100)}).encode(), "", 400, "too_many_keys"),
            ("1e400", b'{"id":1e400}', "", 400, "num_range"), ("2^63", b'{"id":9223372036854775808}', "", 400, "num_range"),
            ("NaN", b'{"id":NaN}', "", 400, "num_range"), ("a text", b'"x"', "", 400, "bad_type"),
            ("too many", b"[" + b"{}," * 2500 + b"{}]", "", 413, "too_many"),
            ("too large", large, "", 413, "too_large"), ("too large in chunks", large, "Transfer-Encoding: chunked\r\n", 413, "too_large"),
            ("a bomb", bomb, "Content-Encoding: gzip\r\n", 413, "too_large"),
            ("half a gzip", packed[:-9], "Content-Encoding: gzip\r\n", 400, "bad_gzip"),
            ("brotli", b"{}", "Content-Encoding: br\r\n", 415, "bad_encoding")]
        name, source = kind.split("/")
        for what, body, more, wanted, code in cases:
            status, _, text = send(port, kind, body, headers_of(name, source, body, SECRETS[source]) + more)
            assert (status, json.loads(text)["code"]) == (wanted, code), (kind, what, status, text)
    reply = send(port, "shopify/shop", order(1), kind_header="Content-Type: image/png\r\n")
    assert (reply[0], json.loads(reply[2])["code"]) == (415, "media_type"), reply
    status, headers, _ = send(port, "shopify/shop", b"", method="PUT")
    assert (status, headers["allow"]) == (405, "POST, OPTIONS"), (status, headers)
    for body, wanted in ((b"", "empty"), (b"a=%FF", "bad_utf8"), (b"a&" * 1100, "too_many_keys"), (b"AccountSid=AC1", "bad_id")):
        status, _, text = send(port, "twilio/cc-twilio", body, twilio_headers(body.replace(b"a&", b"")) if b"%" not in body and b"a&" not in body else "",
                               kind_header="Content-Type: application/x-www-form-urlencoded\r\n")
        assert (status, json.loads(text)["code"]) == (400, wanted), (body[:20], status, text)
    burst = b"[%s]" % b",".join(order(100 + n) for n in range(10))  # of ten seconds: nobody is so slow that it would be full again
    assert send(port, "shopify/slow", burst)[0] == 200
    status, headers, text = send(port, "shopify/slow", burst)
    assert status == 429 and int(headers["retry-after"]) > 0 and json.loads(text)["code"] == "rate", (status, headers, text)


def events(port):
    """What is kept, and what is rejected why."""
    assert send(port, "shopify/shop", packed := gzip.compress(order(1)),
                headers_of("shopify", "shop", packed, "hush") + "Content-Encoding: gzip\r\n")[0] == 200  # signed as it was sent
    assert send(port, "shopify/shop", order(1))[0] == 200  # the same again
    assert send(port, "shopify/shop", order(1, total_price="101"))[0] == 200  # the same id, another body
    status, _, text = send(port, "shopify/shop", b"[%s,7,%s,%s]" % (order(2), order(3, currency="yen"), order(4, name="a\0b")))
    assert status == 200 and [each["code"] for each in json.loads(text)["rejected"]] == ["bad_type", "bad_currency", "nul_in_text"], text
    assert send(port, "shopify/shop", b'{"order_id":1}')[0] == 400
    for n, text in enumerate(HOSTILE):
        assert send(port, "shopify/shop", order(10 + n, name=text))[0] == 200
    assert send(port, "shopify/unpriced", order(400, currency=None), secret=SECRETS["slow"])[0] == 200
    late = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())  # the mapping wants seconds
    assert send(port, "generic/pbx", json.dumps({"event": "ring", "at": late, "call": {"id": "p-2"}}).encode())[0] == 200
    form = twilio()
    for more in ("", "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n"):  # the source's public_url is what counts
        status, headers, text = send(port, "twilio/cc-twilio", form, twilio_headers(form) + more,
                                     kind_header="Content-Type: application/x-www-form-urlencoded\r\n")
        assert (status, headers["content-type"]) == (200, "text/xml; charset=utf-8") and b"<Response/>" in text, (status, headers, text)
    wanted = {1, 2, *range(10, 10 + len(HOSTILE)), *range(100, 110)}
    return {f"{n}-orders/create-2026-11-20T10:00:00+09:00" for n in wanted} | {"CA1-ended"}, {
        "bad_type": 1, "bad_currency": 2, "nul_in_text": 1, "bad_id": 2, "id_conflict": 1, "bad_time": 1}


def watched(space, port):
    """The live view shows what is ignored, and of each webhook a command for a shell, signed by a secret's file, that is believed as it is pasted."""
    (space.path / "ops.key").write_text("operator's key\n")
    tail = Tail(space, port)
    wait_until(lambda: b"tabiji_collector_viewers 1" in exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2], "the viewer")
    assert json.loads(send(port, "generic/pbx", b'{"event": "none"}')[2])["ignored"] == 1
    ignored = tail.wait(fate="ignored")
    assert (ignored["source"], ignored["protocol"], ignored["reason"]) == ("pbx", "webhook", "ignored") and "when" in ignored["message"], ignored
    form = b"MessageSid=SM9&SmsStatus=received&From=%2B81312345678&Body=it%27s+%5C%0A%22%24x%60+%E3%81%82%F0%9F%98%80+%25s"
    contact = {"contactId": "c-9", "eventType": "INITIATED", "customerEndpoint": {"address": "+81312345678"}}
    event = {"eventTime": int(time.time() * 1000), "conversationId": "g-9", "mediaType": "VOICE", "ani": "tel:+81312345678", "note": "it's \\ \"$x`"}
    cases = [
        ("shopify/shop", order(1), "hush", headers_of("shopify", "shop", order(1), "hush") + "X-Shopify-Event-Id: 9\r\n"),
        ("connect/cc-connect", json.dumps({"id": "c-9", "detail": contact}).encode(), "connect's", None),
        ("genesys/cc-genesys", json.dumps({"topicName": "v2.x.customer.start", "eventBody": event}, indent=1).encode(), "genesys'", None),
        ("generic/pbx", b'[{"event": "none"},\n\t{"event": "none", "at": "it\'s \\\\"}]', "pbx's", None),
        ("twilio/cc-twilio", twilio(), "token", twilio_headers(twilio())),
        ("twilio/calls", form, "wrong", "")]  # refused, told how it would be taken
    for n, (path, body, secret, headers) in enumerate(cases):
        before, source = len(tail.lines), path.split("/")[1]
        twilio_type = "Content-Type: application/x-www-form-urlencoded\r\n"
        status, _, text = send(port, path, body, headers, kind_header=twilio_type if "twilio" in path else "Content-Type: application/json\r\n")
        assert status == (401 if secret == "wrong" else 200), (path, status, text)
        wait_until(lambda: any(line.get("source") == source and "curl" in line for line in tail.lines[before:]), path)
        command = next(line["curl"] for line in tail.lines[before:] if line.get("source") == source)
        file = space.path / ("slow.secret" if source == "calls" else f"pasted-{n}.secret")
        if secret != "wrong":
            file.write_text(f"{secret}\n")
        for shell in ("sh", "bash"):
            done = subprocess.run([shell, "-c", command], env={**os.environ, "SECRET_FILE": str(file)}, capture_output=True)
            assert b'"rejected":[]' in done.stdout or done.stdout.endswith(b"<Response/>"), (path, done, command)
        again = subprocess.run(["sh", "-c", command], env={**os.environ, "SECRET_FILE": str(space.path / "off.secret")}, capture_output=True)
        assert b'"code":"signature"' in again.stdout, (path, again)
    tail.process.kill()
    return {"SM9-received", "9-orders/create"}


def killed(space, port, start, process):
    """kill -9 right behind a reply: the event is there, once, also when it is sent again."""
    sent = set()
    for n in range(200, 202):
        assert send(port, "shopify/shop", order(n))[0] == 200
        process.kill()
        process.wait()
        process = start()
        assert send(port, "shopify/shop", order(n))[0] == 200
        sent.add(f"{n}-orders/create-2026-11-20T10:00:00+09:00")
    return process, sent


def secrets_change(space, port, process):
    """Both the old and the new one hold; then the file says another, and after SIGHUP that alone is believed."""
    config, log = space.path / "tabiji.ini", space.path / "run.log"

    def reload():
        before = log.read_text().count('"reloaded"')
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: log.read_text().count('"reloaded"') > before, "the reload")
        return next(json.loads(line) for line in reversed(log.read_text().splitlines()) if '"reloaded"' in line)["taken"]

    def status_of(secret):
        return send(port, "shopify/shop", order(300), secret=secret)[0]

    write_secret(space, "shopify-new", "new hush")
    text = config.read_text()
    config.write_text(text.replace("secret_file = shopify.secret", "secret_file = shopify.secret, shopify-new.secret"))
    assert (status_of("hush"), status_of("new hush")) == (200, 401)
    assert reload() == "[source shop] secret_file"
    assert (status_of("hush"), status_of("new hush")) == (200, 200)
    config.write_text(text.replace("secret_file = shopify.secret", "secret_file = shopify-new.secret"))
    reload()
    assert (status_of("hush"), status_of("new hush")) == (401, 200)
    write_secret(space, "shopify-new", "newest hush")
    assert reload() == "[source shop] secret_file", "what the file says has changed"
    assert (status_of("new hush"), status_of("newest hush")) == (401, 200)
    (space.path / "shopify-new.secret").chmod(0o644)
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "may be read by others" in log.read_text(), "the refusal")
    assert status_of("newest hush") == 200
    return {"300-orders/create-2026-11-20T10:00:00+09:00"}, 3


def mended(space, data):
    """What a mapping could not read is taken when the mapping is mended, and an order when its source says what it sells in."""
    mapping = space.path / "pbx.ini"
    mapping.write_text(mapping.read_text().replace("time_format = epoch_s\n", ""))
    done = subprocess.run([PROGRAM, "rejected", "replay", "--json", "--config", "tabiji.ini", "--data", data, "--reason", "bad_time"],
                          cwd=space.path, capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout)["accepted"] == 1, done
    taken = rows(data, "SELECT type, call_id FROM event WHERE event_id = 'p-2.started'")
    assert taken == [("call_started", "p-2")], taken
    config = space.path / "tabiji.ini"
    config.write_text(config.read_text().replace("[source unpriced]\n", "[source unpriced]\ncurrency = JPY\n"))
    done = subprocess.run([PROGRAM, "rejected", "replay", "--json", "--config", "tabiji.ini", "--data", data, "--source", "unpriced"],
                          cwd=space.path, capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout)["accepted"] == 1, done
    taken = rows(data, "SELECT event_id, type, revenue_minor, currency FROM event WHERE source = 'unpriced'")
    assert taken == [("400-orders/create-2026-11-20T10:00:00+09:00", "order_completed", 100, "JPY")], taken


def write_secret(space, name, secret):
    path = space.path / f"{name}.secret"
    path.write_text(f"{secret}\n")
    path.chmod(0o600)


def main():
    config, mapping, shells = page()
    with Workspace() as space:
        port, data, log = free_port(), space.path / "data", space.path / "run.log"
        (space.path / "tabiji.ini").write_text(config + MORE)
        (space.path / "pbx.ini").write_text(mapping)
        for name in re.findall(r"secret_file = ([\w-]+)\.secret", config + MORE):
            source = {"twilio": "cc-twilio", "shopify": "shop", "connect": "cc-connect", "genesys": "cc-genesys"}.get(name, name)
            write_secret(space, name, SECRETS[source])

        def start():
            with open(log, "ab") as out:
                process = space.start("run", "--data", data, "--config", space.path / "tabiji.ini", "--set", f"collector.listen=127.0.0.1:{port}",
                                      "--set", "agent.rules=", cwd=space.path, stderr=out)
            wait_until(lambda: ready(port), "the collector")
            return process

        process = start()
        shown(port, shells)
        reasons = strangers(port)
        bad_input(port)
        wanted, rejected = events(port)
        wanted |= watched(space, port)
        pasted = 7  # of watched(), without the right secret
        metrics = exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2].decode()
        counted = {match[1]: int(match[2]) for match in
                   re.finditer(r'tabiji_collector_hooks_refused_total\{source="shop",reason="(\w+)"\} (\d+)', metrics)}
        assert counted == {"unsigned": 1, "signature": 3, "stale": 1}, counted
        process, survived = killed(space, port, start, process)
        changed, more = secrets_change(space, port, process)
        wanted |= survived | changed

        def found():
            return [identity for identity, in rows(data, "SELECT event_id FROM event WHERE source NOT IN ('cc-connect', 'cc-genesys', 'pbx')")]

        def why():
            listed = json.loads(tabiji("rejected", "list", "--data", data, "--json"))
            return {reason: sum(row["reason"] == reason for row in listed) for reason in {row["reason"] for row in listed}}

        with contextlib.suppress(AssertionError):  # what differs is told below
            wait_until(lambda: len(found()) >= len(wanted) and why() == rejected, "the events", timeout=20)
        assert sorted(found()) == sorted(wanted) and why() == rejected, (sorted(wanted ^ set(found())), why())
        of_page = dict(rows(data, "SELECT source, type FROM event WHERE source IN ('cc-connect', 'cc-genesys', 'pbx')"))
        assert of_page == {source: "call_started" for source in shells}, of_page
        callers = rows(data, "SELECT count(DISTINCT person) FROM event WHERE source IN ('cc-connect', 'cc-genesys')")
        assert callers == [(1,)], "one number is one person, whatever center it calls"
        for n, text in enumerate(HOSTILE):
            kept = rows(data, "SELECT properties FROM event WHERE event_id LIKE ?", f"{10 + n}-orders/%")[0][0]
            assert json.loads(kept)["order_name"] == text, kept
        assert stop(process) == 0, "SIGTERM"
        (space.path / "shopify-new.secret").chmod(0o600)
        mended(space, data)
        lines = [json.loads(line) for line in log.read_text().splitlines() if '"hook_refused"' in line]
        assert [line["reason"] for line in lines][:len(reasons)] == reasons and len(lines) == len(reasons) + pasted + more, lines
        dump = subprocess.run([PROGRAM, "config", "dump", "--config", "tabiji.ini"], cwd=space.path, check=True, capture_output=True).stdout.decode()
        assert "secret_file = shopify-new.secret" in dump, dump
        for secret in (*SECRETS.values(), "newest hush"):
            assert f"{secret}\n" not in dump and (secret == "token" or secret not in log.read_text()), "a secret is shown"
        print(f"{len(wanted) + len(shells)} events of webhooks, each once; {len(lines)} of strangers refused")


if __name__ == "__main__":
    main()
