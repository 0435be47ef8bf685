#!/usr/bin/env python3
"""Erasures: cut off anywhere, whoever comes next finishes them; receipts tell the truth; totals may remain."""
import datetime
import http.server
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from harness import LONG, PROGRAM, ROOT, Workspace, stop

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, (arguments, found.returncode, found.stdout, found.stderr)
    return found


def event(number, day, kind="page_viewed", **ids):
    return {"id": f"e{number}", "type": kind, "time": f"2026-{day}T10:{number % 60:02}:00+09:00", "ids": ids}


def order(number, day, order_id, revenue, currency="JPY", kind="order_completed", **ids):
    return {**event(number, day, kind, **ids), "order": {"order_id": order_id, "revenue": revenue, "currency": currency}}


# Hana over two months, by two currencies, with a return; Ken, who stays.
HANA = [event(1, "09-20", cookie="c-hana"), event(2, "09-20", cookie="c-hana", email="hana@example.jp"),
        event(3, "10-01", login="u-hana", email="hana@example.jp"), order(4, "10-01", "A1", "1200", login="u-hana"),
        {**event(5, "10-02", "message_clicked", login="u-hana"), "message": {"kind": "email", "message_id": "m1"}},
        order(6, "10-03", "A2", "19.90", "USD", login="u-hana"), order(7, "10-09", "A1", "300", kind="order_refunded", login="u-hana")]
KEN = [event(11, "10-01", cookie="c-ken"), event(12, "10-01", login="u-ken", cookie="c-ken"), order(13, "10-02", "B1", "700", login="u-ken")]
MORE = [event(21, "11-01", cookie="c-new")]


def load(data, events, *options):
    file = data.parent / f"{data.name}.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    return run("import", "--data", data, "--mapping", MAPPING, *options, file)


def rows(data, question, *values):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = db.execute(question, values).fetchall()
    db.close()
    return found


def run_sql(data, statement, *values):
    db = sqlite3.connect(f"{data}/tabiji.db")
    db.execute(statement, values)
    db.commit()
    db.close()


def dump(data):
    return run("state", "dump", "--data", data).stdout


def doctor(data, code):
    found = json.loads(run("doctor", "--json", "--data", data, code=code).stdout)
    return [check for check in found if check["check"] == "erasures"][0]


def finished(data):
    """No receipt is open, and what they name is gone."""
    assert rows(data, "SELECT count(*), max(left_over), min(asked) FROM erasure_receipt") == [(1, 0, 1)], rows(data, "SELECT * FROM erasure_receipt")
    assert "hana" not in dump(data)


def timed(space, base, identifier="login:u-hana"):
    """Seconds that an erasure takes."""
    spans = []
    for n in range(3):
        shutil.rmtree(space.path / "timed", ignore_errors=True)
        shutil.copytree(base, space.path / "timed")
        begun = time.monotonic()
        run("erase", "--confirm", "--data", space.path / "timed", identifier)
        spans.append(time.monotonic() - begun)
    return min(spans)


def kill(asked, data, span, part):
    """SIGKILL after a part (0 .. 1) of the span; every other time that is counted from when the receipt stands."""
    kill.turn += 1
    while kill.turn % 2 and asked.poll() is None and not rows(data, "SELECT 1 FROM erasure_receipt"):
        pass
    time.sleep(span * part * (0.6 if kill.turn % 2 else 1.2))
    asked.send_signal(signal.SIGKILL)
    asked.wait()


kill.turn = 0


def killed_anywhere(space, base, wanted):
    """Killed at many moments; then an import comes, which asked for nothing."""
    span = timed(space, base)
    moments, seen = 200 if LONG else 40, {"before": 0, "receipt": 0, "done": 0}
    for n in range(moments):
        data = space.path / "killed"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(base, data)
        asked = subprocess.Popen([PROGRAM, "erase", "--confirm", "--data", str(data), "login:u-hana"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        kill(asked, data, span, n / moments)
        open_receipts = rows(data, "SELECT left_over FROM erasure_receipt")
        load(data, MORE)
        if not open_receipts:
            seen["before"] += 1
            assert rows(data, "SELECT count(*) FROM erasure_receipt") == [(0,)] and "u-hana" in dump(data)
            run("erase", "--confirm", "--data", data, "login:u-hana")
        else:
            seen["receipt" if open_receipts[0][0] else "done"] += 1
        finished(data)
        assert rows(data, "SELECT events, conversions FROM erasure_receipt") == [(7, 3)]
        assert dump(data) == wanted, f"moment {n}"
    print(f"erasures killed: {moments}: {seen['before']} before the receipt, {seen['receipt']} after it, {seen['done']} at their end")


def shared(space):
    """What others' events show as well stays theirs, and that is an end; nobody asks again for whoever it belongs to later."""
    data = space.path / "shared"
    events = [{"id": f"s{n}", "type": kind, "time": f"2026-11-20T1{n}:00:00Z", "ids": ids, **more} for n, (kind, ids, more) in enumerate((
        ("page_viewed", {"phone": "090-1234-5678", "login": "u-1"}, {}),
        ("order_completed", {"phone": "090-1234-5678", "login": "u-2"}, {"order": {"order_id": "O-2", "revenue": "500", "currency": "JPY"}}),
        ("page_viewed", {"phone": "090-1234-5678"}, {})))]
    load(data, events)
    told = json.loads(run("erase", "--json", "--confirm", "--data", data, "phone:090-1234-5678").stdout)
    assert told["erased"] and (told["events"], told["of_others"], told["left_over"]) == (1, 1, 0), told
    assert rows(data, "SELECT of_others, identifiers_gone, left_over, asked FROM erasure_receipt") == [(1, 0, 0, 1)]
    without = space.path / "shared-without"
    load(without, events[:2])
    assert dump(data) == dump(without), "as if what it said by itself had never come"
    assert doctor(data, 0)["verdict"] == "ok"
    run("unlink", "--data", data, "--reason", "not his", "login:u-1", "phone:090-1234-5678")
    load(data, MORE)
    assert rows(data, "SELECT count(*) FROM conversion WHERE order_id = 'O-2'") == [(1,)], "the other's order"
    assert rows(data, "SELECT value FROM identifier WHERE namespace = 'login' ORDER BY 1") >= [("u-1",), ("u-2",)]
    kiosk_and_word(space)


def kiosk_and_word(space):
    """A generic identifier, and one that a word about another's names: others' events stay, the receipt ends."""
    data, without = space.path / "kiosk", space.path / "kiosk-without"
    logins = [order(n, "11-01", f"K{n}", "100", login=f"u-{n}", device="kiosk") for n in range(7)]
    load(data, [*logins, event(7, "11-01", device="kiosk"), event(8, "11-01", cookie="c-word")])
    load(without, logins)
    told = json.loads(run("erase", "--json", "--confirm", "--data", data, "device:kiosk").stdout)
    assert (told["events"], told["of_others"], told["left_over"]) == (1, 1, 0), told
    assert told["generic"] and told["events_beside"] == 7, told
    generic_login(space)
    generic_of_one(space)
    assert "there is no namespace \"logn\"" in run("erase", "--data", data, "logn:u-1", code=2).stderr
    for n in ("link", "unlink"):
        run(n, "--data", data, "--reason", "a test", "login:u-1", "cookie:c-word")
    told = json.loads(run("erase", "--json", "--confirm", "--data", data, "cookie:c-word").stdout)
    assert (told["events"], told["of_others"], told["left_over"]) == (1, 1, 0), told
    query = "SELECT event_id FROM event WHERE type <> 'identity_linked' AND type <> 'identity_unlinked' ORDER BY 1"
    assert rows(data, query) == rows(without, query)
    load(data, [event(9, "11-02", login="u-1", device="kiosk"), event(10, "11-01", device="kiosk")])
    assert [row for row, in rows(data, query)] == [*(f"e{n}" for n in range(7)), "e9"], "late: the kiosk's own yields nothing, others' stay"
    run("erase", "--confirm", "--data", data, "login:u-1")
    assert "was erased on" in run("erase", "--confirm", "--data", data, "device:kiosk", code=2).stderr
    assert "of others" in run("erase", "--confirm", "--again", "--data", data, "device:kiosk", code=6).stdout
    assert doctor(data, 0)["verdict"] == "ok"


def generic_login(space):
    """A login of so many cookies that it names nobody: said, before and after, never a success that did nothing."""
    data = space.path / "generic-login"
    load(data, [event(n, "11-01", login="bot", cookie=f"c-{n}") for n in range(1001)])
    said = "is generic (it was seen with 1001 of cookie, more than 1000 (identity.generic_down)) and names nobody: 1001 events"
    assert said in run("erase", "--data", data, "login:bot", code=2).stdout
    found = run("erase", "--confirm", "--data", data, "login:bot", code=6)
    assert said in found.stdout and "nothing was erased" in found.stdout and "one by one" in found.stderr, found
    assert found.stdout.count("  cookie:c-") == 100 and "and 901 more" in found.stdout, found.stdout
    assert rows(data, "SELECT count(*) FROM event") == [(1001,)]
    generic_person(space)


def generic_person(space):
    """Who has a generic login is erased by the identifiers beside it, which the answer lists, one by one."""
    data, limit = space.path / "generic-person", ("--set", "identity.generic_down=3")
    load(data, [*(event(n, "11-01", login="big", cookie=f"c-{n}") for n in range(4)), event(9, "11-02", login="big", email="big@example.jp"),
                *KEN], *limit)
    told = json.loads(run("erase", "--json", "--confirm", "--data", data, *limit, "login:big", code=6).stdout)
    assert (told["erased"], told["reason"], told["events"], told["identifiers_gone"], told["left_over"]) == (False, "generic", 0, 0, 0), told
    persons = told["persons_beside"]
    assert len(persons) == 5 and sum(p["events"] for p in persons) == 5 == told["events_beside"], told
    for person in persons:
        one = json.loads(run("erase", "--json", "--confirm", "--data", data, *limit, f"{person['namespace']}:{person['value']}").stdout)
        assert one["erased"] and one["events"] == 1 and "reason" not in one, one
    assert rows(data, "SELECT count(*) FROM event WHERE detail LIKE '%big%' OR identifiers LIKE '%big%'") == [(0,)]
    assert rows(data, "SELECT count(*) FROM event") == [(len(KEN),)]
    load(data, [event(1, "11-01", login="big", cookie="c-1"), event(30, "11-09", login="big", email="big@example.jp")], *limit)
    load(data, [event(31, "11-10", login="big")], *limit)
    assert rows(data, "SELECT count(*) FROM event") == [(len(KEN),)], "late events of the subject yield nothing"


def generic_of_one(space):
    """Generic identifiers that only the erased person showed go with that person; one that another shows as well stays."""
    data = space.path / "generic-of-one"
    load(data, [order(1, "03-01", "W-1", "900", cookie="c1", login="a"),
                *(event(1 + n, "03-01", cookie=f"c{1 + n}", login="a", order="W-1") for n in (1, 2)),
                *(event(10 + n, "03-02", cookie="CK", loyalty=f"card-{n}", login="a") for n in range(6)),
                *(event(20 + n, "03-02", phone="090-1234-5678", email=f"m{n}@example.jp", login="a" if n < 5 else "b") for n in range(6))])
    generic = "SELECT namespace FROM identifier WHERE why = 'generic' ORDER BY 1"
    assert rows(data, generic) == [("cookie",), ("order",), ("phone",)]
    run("erase", "--confirm", "--data", data, "login:a")
    assert rows(data, generic) == [("phone",)] and rows(data, "SELECT event_id FROM event") == [("e25",)]
    assert "nobody is known" in run("erase", "--confirm", "--data", data, "order:W-1", code=4).stderr
    run("erase", "--confirm", "--data", data, "login:b")
    assert rows(data, generic) == [] and doctor(data, 0)["verdict"] == "ok"


def others_stay(space):
    """What is another's, and comes to the erased person only while its links go one after the other, stays."""
    both = [event(1, "11-01", device="d", login="a"), event(2, "11-01", device="d", email="m1@example.jp"),
            event(3, "11-01", cookie="c", email="m1@example.jp"), event(4, "11-01", cookie="c", login="a")]
    other = order(5, "11-01", "B1", "900", device="d", email="m2@example.jp")
    wanted = space.path / "others-alone"
    load(wanted, [other])
    for n, events in enumerate(([*both, other], [other, *reversed(both)])):
        data = space.path / f"others-{n}"
        load(data, events)
        told = json.loads(run("explain", "--json", "--data", data, "login:a", "email:m2@example.jp").stdout)
        assert not told["same_person"], told
        receipt = json.loads(run("erase", "--json", "--confirm", "--data", data, "login:a").stdout)
        assert receipt["events"] == 4 and receipt["conversions"] == 0 and receipt["left_over"] == 0, receipt
        assert rows(data, "SELECT order_id, revenue_minor FROM conversion") == [("B1", 900)]
        assert dump(data) == dump(wanted), "as if the erased person had never been"
        load(data, both)  # late, and known: the subject's
        assert dump(data) == dump(wanted)


def moved_later(space):
    """Another's order moves on to the erased phone, as its e-mail becomes generic: it stands as if the erased had never been. What
    comes to the phone beside an e-mail that no other's event showed with it is the erased person's, however generic that is."""
    phone, email = "090-1234-5678", "w@example.jp"
    erased = event(1, "03-01", phone=phone, login="a")
    others = [order(2, "03-01", "O1", "6300", email=email, phone=phone), event(3, "03-01", email="v@example.jp", phone=phone)]
    shared_by = [event(10 + n, "04-01", email=mail, login=f"k{n}") for mail in (email, "x@example.jp") for n in range(4)]
    for n, e in enumerate(shared_by):
        e["id"] = f"k{n}"
    late = [order(4, "03-02", "O2", "100", email="x@example.jp", phone=phone), event(5, "03-02", email=email, phone=phone)]
    data, wanted = space.path / "moved", space.path / "moved-without"
    load(data, [erased, *others])
    assert json.loads(run("erase", "--json", "--confirm", "--data", data, "login:a").stdout)["events"] == 1
    for events in ([], shared_by, late):
        load(data, [*events, *MORE])
        load(data, events[::-1])  # once more: what is refused is counted once
        assert rows(data, "SELECT order_id FROM conversion") == [("O1",)]
    assert rows(data, "SELECT namespace, events FROM erasure_refused") == [("email", 1)], "O2, of which else nobody would know"
    assert doctor(data, 0)["text"].endswith("were refused: 1")
    load(data, [event(20 + n, "04-02", login="a") for n in range(3)] + [erased])
    assert "4 events that came to it since were refused" in run("erase", "--data", data, "login:a", code=4).stderr
    load(wanted, [*others, *shared_by, late[1], *MORE])
    query = "SELECT event_id, hex(person) FROM event ORDER BY 1"
    assert rows(data, query) == rows(wanted, query)


def repeated(space):
    """The same command again does not take who the identifier belongs to now."""
    data = space.path / "repeated"
    load(data, [event(1, "11-01", loyalty="card-a", login="a"), event(2, "11-01", email="family@example.jp", login="a"),
                order(3, "11-01", "O1", "6300", email="family@example.jp", loyalty="card-b")])
    ask = ["erase", "--json", "--confirm", "--data", data, "email:family@example.jp"]
    assert json.loads(run(*ask).stdout)["events"] == 2
    stands = dump(data)
    again = run(*ask, code=2)
    assert json.loads(again.stdout)["error"]["code"] == "erased" and "--again" in again.stderr, again
    assert dump(data) == stands and rows(data, "SELECT order_id FROM conversion") == [("O1",)]
    assert json.loads(run(*ask, "--again").stdout)["conversions"] == 1
    assert rows(data, "SELECT order_id FROM conversion") == []


def at(number, moment, **ids):
    return {"id": f"e{number}", "type": "page_viewed", "time": moment.isoformat(), "ids": ids}


def lifted(space, base):
    """An erased identifier is taken again: what occurs from then on, and of that name alone."""
    data = space.path / "lifted"
    shutil.copytree(base, data)
    ask, lift = ["erase", "--confirm", "--data", data], ["erase", "--lift", "--reason", "a customer again", "--data", data]
    run(*lift, "login:u-hana", code=4), run(*lift, "login:u-nobody", code=4), run("erase", "--lift", "--data", data, "login:u-hana", code=2)
    run(*ask, "login:u-hana")
    now = datetime.datetime.now(datetime.timezone.utc)
    load(data, [at(31, now, login="u-hana", email="hana@example.jp"), at(32, now, email="hana@example.jp")])
    assert rows(data, "SELECT namespace, events FROM erasure_refused ORDER BY 1") == [("email", 1), ("login", 1)]
    assert rows(data, "SELECT count(*) FROM erasure_suppressed WHERE lifted_at IS NULL") == [(5,)], "its orders too"
    for verb in (["lookup"], ["identity", "show"], ["erase"]):
        told = run(*verb, "--data", data, "email:hana@example.jp", code=4).stderr
        assert "was erased on" in told and "1 events" in told, told  # suppressed with the person, named by nobody
    run("link", "--reason", "r", "--data", data, "login:u-hana", "login:u-ken", code=2)
    # Killed anywhere, and told again.
    span = timed(space, base)
    for n in range(4):
        asked = subprocess.Popen([PROGRAM, *map(str, lift), "login:u-hana"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(span * n / 4)
        asked.send_signal(signal.SIGKILL)
        asked.wait()
    again = subprocess.run([PROGRAM, *map(str, lift), "--json", "login:u-hana"], capture_output=True, text=True)
    assert again.returncode in (0, 4) and '"lifted":true' in again.stdout or "lifted on" in again.stderr, again
    assert rows(data, "SELECT namespace FROM erasure_suppressed WHERE lifted_at IS NOT NULL") == [("login",)]
    assert "lifted on" in run("lookup", "--data", data, "login:u-hana", code=4).stderr
    then = datetime.datetime.now(datetime.timezone.utc)
    load(data, [at(33, then, login="u-hana", email="hana@example.jp"), at(34, now, login="u-hana", email="hana@example.jp"),
                at(35, now, login="u-hana"), at(36, then, email="hana@example.jp"), at(37, then, login="u-hana")])
    events = rows(data, "SELECT e.event_id FROM event AS e ORDER BY 1")
    assert ("e33",) in events and ("e37",) in events and not {("e34",), ("e35",), ("e36",)} & set(events), events
    assert not {(f"e{n}",) for n in (1, 2, 3, 4, 5, 6, 7)} & set(events), "what was erased does not come back"
    assert json.loads(run("lookup", "--json", "--data", data, "login:u-hana").stdout)
    run("link", "--reason", "r", "--data", data, "login:u-hana", "login:u-ken")
    run(*lift, "login:u-hana", code=4)
    # A later erasure closes it again.
    run(*ask, "--again", "login:u-hana")
    load(data, [at(38, datetime.datetime.now(datetime.timezone.utc), login="u-hana")])
    run("lookup", "--data", data, "login:u-hana", code=4)
    stands = dump(data)
    shutil.rmtree(data / "state")
    (data / "tabiji.db").unlink()
    load(data, MORE[:0])
    assert dump(data) == stands, "a rebuild lifts again"


FAMILY = [event(1, "03-01", loyalty="card-a", login="a"), event(2, "03-01", email="family@example.jp", login="a", device="d"),
          order(3, "03-01", "O1", "6300", email="family@example.jp", loyalty="card-b"),
          event(4, "03-01", device="d", phone="090-1234-5678")]


def moved_midway(space):
    """Killed midway, an identifier that is another's by then: the receipt is of the person that was asked for, and ends."""
    base = space.path / "family"
    load(base, FAMILY)
    for identifier in ("email:family@example.jp", "device:d"):
        wanted, span, seen = None, timed(space, base, identifier), {0: 0, 1: 0}
        for n in range(60 if LONG else 8):
            data = space.path / "family-cut"
            shutil.rmtree(data, ignore_errors=True)
            shutil.copytree(base, data)
            command = ["erase", "--confirm", "--data", data, identifier]
            asked = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            kill.turn = 0
            kill(asked, data, span, n / (60 if LONG else 8))
            stands = rows(data, "SELECT left_over > 0 FROM erasure_receipt")
            seen[stands[0][0]] += 1
            if n % 2:
                load(data, MORE)
                assert doctor(data, 0)["verdict"] == "ok"
            elif stands[0][0]:
                run(*command)
                load(data, MORE)
            else:
                load(data, MORE)
            assert rows(data, "SELECT left_over, identifiers, identifiers_gone, of_others FROM erasure_receipt") == [(0, 6, 4, 2)], n
            assert rows(data, "SELECT order_id FROM conversion") == [("O1",)], "nobody else's order went"
            wanted = wanted or dump(data)
            assert dump(data) == wanted, n
        assert seen[1], seen
        # By then the tables have the identifier as another's, and the receipt does not know its end.
        run_sql(data, "UPDATE erasure_receipt SET left_over = 9, asked = 0")
        assert doctor(data, 0)["verdict"] == "ok"
        run_sql(data, "UPDATE erasure_receipt SET left_over = 9, asked = 0")
        run(*command)
        assert dump(data) == wanted


def receipt_alone(space, base, wanted):
    """A receipt whose request never reached the log: doctor says so, and who opens the directory next finishes it."""
    done, data = space.path / "done", space.path / "alone"
    shutil.copytree(base, done)
    run("erase", "--confirm", "--reason", "asked, in April", "--data", done, "login:u-hana")
    receipt = rows(done, "SELECT * FROM erasure_receipt")[0]
    shutil.copytree(base, data)
    run_sql(data, f"INSERT INTO erasure_receipt VALUES ({', '.join('?' * len(receipt))})", *receipt[:12], 99, 0, *receipt[14:])
    shutil.copytree(data, space.path / "asked")
    told = doctor(data, 1)
    assert told["verdict"] == "failure" and receipt[0] in told["text"] and "tabiji import" in told["advice"], told
    assert "u-hana" in dump(data), "looking erases nobody"
    load(data, MORE)
    finished(data)
    assert dump(data) == wanted
    assert doctor(data, 0)["verdict"] == "ok"
    # The same command, with other words: one receipt, one request.
    again = run("erase", "--json", "--confirm", "--reason", "again", "--data", space.path / "asked", "login:u-hana")
    assert json.loads(again.stdout)["receipt_id"] == receipt[0]
    finished(space.path / "asked")
    assert rows(space.path / "asked", "SELECT count(*) FROM rejected") == [(0,)]
    assert rows(space.path / "asked", "SELECT reason FROM erasure_receipt") == [("asked, in April",)]
    # A receipt that was left behind by an erasure that others finished.
    for look in (lambda: doctor(done, 0), lambda: load(done, MORE), lambda: run("erase", "--confirm", "--data", done, "login:u-hana")):
        run_sql(done, "UPDATE erasure_receipt SET left_over = 9, asked = 0")
        look()
        finished(done)


def by_a_running_process(space, base):
    """`run` finishes what was cut off, too."""
    data = space.path / "running"
    shutil.copytree(base, data)
    receipt = rows(space.path / "done", "SELECT * FROM erasure_receipt")[0]
    run_sql(data, f"INSERT INTO erasure_receipt VALUES ({', '.join('?' * len(receipt))})", *receipt[:12], 99, 0, *receipt[14:])
    process = space.start("run", "--data", data, "--listen", "127.0.0.1:0", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while rows(data, "SELECT 1 FROM identifier WHERE value = 'u-hana'") and time.monotonic() < end:
        time.sleep(0.05)
    assert stop(process) == 0
    finished(data)


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        text = b'{"code":"operator","hint":"only operators"}'
        self.send_response(403)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def refused(space, base):
    """What surely was not asked for leaves no receipt behind."""
    data = space.path / "refused"
    shutil.copytree(base, data)
    process = space.start("run", "--data", data, "--listen", "127.0.0.1:0", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while b'"port":' not in process.stderr.readline():
        pass
    told = run("erase", "--confirm", "--data", data, "login:u-hana", code=1)
    assert "--url" in told.stderr, told.stderr
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run("erase", "--confirm", "--data", data, "--url", f"http://127.0.0.1:{server.server_port}", "login:u-hana", code=5)
        server.shutdown()
    process.stderr.close()
    stop(process)
    assert rows(data, "SELECT count(*) FROM erasure_receipt") == [(0,)]
    load(data, MORE)
    assert "u-hana" in dump(data)


def without_confirm(base):
    """What would go, in JSON too; nothing goes."""
    told = json.loads(run("erase", "--json", "--data", base, "login:u-hana", code=2).stdout)
    assert told == {"erased": False, "events": 7, "touches": told["touches"], "sessions": told["sessions"], "conversions": 3,
                    "credits": told["credits"], "paths": told["paths"], "identifiers": told["identifiers"]}, told
    assert told["identifiers"] >= 3
    assert "would erase:" in run("erase", "--data", base, "login:u-hana", code=2).stdout
    assert rows(base, "SELECT count(*) FROM erasure_receipt") == [(0,)]


TOTALS = """SELECT month, channel, currency, sum(touches), sum(conversions), sum(minor) FROM (
SELECT strftime('%Y-%m', touched_at / 1000000, 'unixepoch') AS month, channel, '' AS currency, 1 AS touches, 0 AS conversions, 0 AS minor
FROM touch UNION ALL
SELECT strftime('%Y-%m', c.occurred_at / 1000000, 'unixepoch'), coalesce(e.channel, ''), coalesce(c.currency, ''), 0, c.kind = 'conversion',
c.revenue_minor FROM conversion AS c JOIN event AS e USING (event_key)
{}) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
REMAINDER = "UNION ALL SELECT month, channel, currency, touches, conversions, net_revenue_minor FROM erasure_remainder"


def totals_remain(space, base):
    """What stands and what remains make what was; once, whatever happens on the way; no identifier in it."""
    data = space.path / "totals"
    shutil.copytree(base, data)
    before = rows(data, TOTALS.format(""))
    assert len({month for month, *_ in before}) == 2 and {currency for _, _, currency, *_ in before} == {"", "JPY", "USD"}, before
    keep = ("--set", "erase.remainder=totals")
    assert "erase.remainder" in run("erase", "--confirm", "--data", data, "--set", "erase.remainder=all", "login:u-hana", code=2).stderr
    run("erase", "--confirm", *keep, "--data", data, "login:u-hana")
    finished(data)
    after, with_remainder = rows(data, TOTALS.format("")), rows(data, TOTALS.format(REMAINDER))
    assert after != before == with_remainder, (before, with_remainder)
    kept = rows(data, "SELECT * FROM erasure_remainder ORDER BY 2, 3, 4")
    revenue = {row[3]: 0 for row in kept}
    for row in kept:
        revenue[row[3]] += row[6]
    assert revenue == {"": 0, "JPY": 900, "USD": 1990} and len(kept[0]) == 7, kept
    assert sum(row[4] for row in kept) > 0 and sum(row[5] for row in kept) == 2, kept
    assert {row[0] for row in kept} == {rows(data, "SELECT receipt_id FROM erasure_receipt")[0][0]}
    assert "hana" not in str(kept)
    run_sql(data, "UPDATE erasure_receipt SET left_over = 9")  # asked again, finished again: not saved again
    run("erase", "--confirm", *keep, "--data", data, "login:u-hana")
    assert rows(data, "SELECT * FROM erasure_remainder ORDER BY 2, 3, 4") == kept
    none = space.path / "no-totals"
    shutil.copytree(base, none)
    run("erase", "--confirm", "--data", none, "login:u-hana")
    assert rows(none, "SELECT count(*) FROM erasure_remainder") == [(0,)]
    assert dump(none) == dump(data), "the remainder is no part of the tables that follow from the events"
    killed, span = 0, timed(space, base)
    for n in range(12):
        cut = space.path / "cut"
        shutil.rmtree(cut, ignore_errors=True)
        shutil.copytree(base, cut)
        asked = subprocess.Popen([PROGRAM, "erase", "--confirm", *keep, "--data", str(cut), "login:u-hana"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        kill(asked, cut, span, n / 12)
        killed += bool(rows(cut, "SELECT 1 FROM erasure_receipt WHERE left_over > 0"))
        run("erase", "--confirm", *keep, "--data", cut, "login:u-hana", code=4 if rows(
            cut, "SELECT 1 FROM erasure_receipt WHERE left_over = 0") else 0)
        assert rows(cut, "SELECT month, channel, currency, touches, conversions, net_revenue_minor FROM erasure_remainder ORDER BY 1, 2, 3") == [
            row[1:] for row in kept]
    print(f"totals remain: {len(kept)} rows; killed 12, {killed} in the midst")


def main():
    with Workspace() as space:
        base = space.path / "base"
        load(base, HANA + KEN)
        without_confirm(base)
        done = space.path / "wanted"
        shutil.copytree(base, done)
        run("erase", "--confirm", "--data", done, "login:u-hana")
        load(done, MORE)
        wanted = dump(done)
        others_stay(space)
        moved_later(space)
        repeated(space)
        lifted(space, base)
        shared(space)
        moved_midway(space)
        receipt_alone(space, base, wanted)
        by_a_running_process(space, base)
        refused(space, base)
        totals_remain(space, base)
        killed_anywhere(space, base, wanted)
    print("erasures: finished by whoever comes, told truly")


if __name__ == "__main__":
    main()
