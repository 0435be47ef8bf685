#!/usr/bin/env python3
"""Who is whom, why, and by whose word: explain, identity show, erase; old person ids resolve."""
import base64
import hashlib
import http.server
import json
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

from harness import PROGRAM, ROOT, Workspace, stop, wait_until

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"


def run(*arguments, code=0):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode in (code if isinstance(code, tuple) else (code,)), (arguments, found.returncode, found.stdout, found.stderr)
    return found


def event(number, time_of_day, kind="page_viewed", **ids):
    return {"id": f"e{number}", "type": kind, "time": f"2026-11-20T{time_of_day}:00+09:00", "ids": ids}


# Hana: a cookie and an e-mail, then her login. A tablet that two logins share. Someone who never logged in.
EVENTS = [
    event(1, "10:00", cookie="c-hana"),
    event(2, "10:05", cookie="c-hana", email="hana@example.jp"),
    event(3, "10:10", login="u-hana", email="hana@example.jp"),
    event(4, "11:00", cookie="c-tablet", login="u-hana"),
    event(5, "11:30", cookie="c-tablet", login="u-ken"),
    event(6, "12:00", cookie="c-alone"),
    {**event(7, "13:00", kind="order_completed", login="u-hana"), "order": {"order_id": "A1", "revenue": "1200", "currency": "JPY"}},
]


def load(data, events):
    file = data.parent / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    run("import", "--data", data, "--mapping", MAPPING, file)


def rows(data, question, *values):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    found = db.execute(question, values).fetchall()
    db.close()
    return found


def run_sql(data, statement):
    db = sqlite3.connect(f"{data}/tabiji.db")
    db.execute(statement)
    db.commit()
    db.close()


def person_of(data, namespace, value):
    found = rows(data, "SELECT hex(person) FROM identifier WHERE namespace = ? AND value = ?", namespace, value)
    return found[0][0] if found else None


def digest(data):
    return run("state", "dump", "--data", data).stdout


def explains(data):
    out = run("explain", "--data", data, "cookie:c-hana", "login:u-hana").stdout
    assert "one person, by these links" in out and out.index("c-hana") < out.index("email") < out.index("u-hana"), out
    way = json.loads(run("explain", "--json", "--data", data, "cookie:c-hana", "email:HANA@example.jp").stdout)["chain"]
    assert [w["namespace"] for w in way] == ["cookie", "email"] and way[1]["events"] == 1 and way[1]["first_event"] == "e2", way
    out = run("explain", "--data", data, "login:u-hana", "login:u-ken").stdout
    assert "not one person" in out and "c-tablet is shared" in out, out
    assert "no event leads" in run("explain", "--data", data, "cookie:c-alone", "login:u-ken").stdout
    assert "nobody is known" in run("explain", "--data", data, "cookie:c-alone", "login:u-none", code=4).stderr
    assert "blocked" in run("explain", "--data", data, "cookie:null", "login:u-ken", code=4).stdout
    run("explain", "--data", data, "coookie:x", "login:u-ken", code=2)
    out = run("identity", "show", "--data", data, "cookie:c-tablet").stdout
    assert "shared" in out and "u-hana" in out and "u-ken" in out, out
    run("identity", "show", "--data", data, "cookie:never", code=4)
    assert rows(data, "SELECT events, first_at < last_at FROM identity_link WHERE weaker_value = 'c-tablet'") == [(1, 0), (1, 0)]
    assert rows(data, "SELECT first_event_id, last_event_id FROM identity_link WHERE weaker_value = 'c-hana'") == [("e2", "e2")]


def told(data, a, b, code=0):
    """explain --json: one shape, whatever the answer."""
    found = json.loads(run("explain", "--json", "--data", data, a, b, code=code).stdout)
    assert list(found) == ["same_person", "verdict", "a", "b", "chain", "reasons"], found
    for end, spelling in ((found["a"], a), (found["b"], b)):
        assert list(end) == ["spelling", "namespace", "value", "why", "person"] and end["spelling"] == spelling, found
    assert found["same_person"] == (found["verdict"] == "same_person") == (found["a"]["person"] == found["b"]["person"] is not None), found
    return found


def verdicts(space):
    """Every verdict that there is, in JSON and in words; a generic one with its counts and limit."""
    data = space.path / "verdicts"
    phone = "090-1234-5678"
    load(data, EVENTS + [event(20 + n, "14:00", login=f"u-{n}", phone=phone) for n in range(7)] + [
        event(30, "14:10", phone=phone, cookie="c-caller"), event(31, "15:00", login="u-1", loyalty="card-1"),
        event(32, "15:10", login="u-1", loyalty="card-2"), event(33, "15:20", cookie="c-cards", loyalty="card-3"),
        event(34, "15:21", cookie="c-cards", loyalty="card-4"), event(35, "15:22", cookie="c-cards", login="u-9")] + [event(40 + n, "16:00", order="o-1", cookie=f"c-{n}") for n in range(3)] + [
        event(50, "17:00", cookie="c-tv", login="u-hana"), event(51, "17:01", cookie="c-tv", login="u-ken"), event(52, "17:02", cookie="c-own", login="u-ken")])
    same = told(data, "cookie:c-hana", "login:u-hana")
    assert same["verdict"] == "same_person" and same["reasons"] == [] and len(same["chain"]) == 3, same
    generic = told(data, "login:u-1", "login:u-2")
    assert generic["verdict"] == "generic" and [step["namespace"] for step in generic["chain"]] == ["login", "phone", "login"], generic
    reason, = generic["reasons"]
    assert reason["namespace"] == "phone" and reason["exceeded"] == [
        {"namespace": "login", "count": 7, "limit": 5, "setting": "identity.generic_up"}], reason
    links = json.loads(run("identity", "show", "--json", "--data", data, f"phone:{phone}").stdout)["links"]
    assert len(links) == 8 and {link["link"] for link in links} == {"dead"}, links
    assert "seen with 7 of login, more than 5 (identity.generic_up)" in run("explain", "--data", data, "login:u-1", "login:u-2").stdout
    order, = told(data, "cookie:c-0", "cookie:c-1")["reasons"]
    assert order["exceeded"] == [{"namespace": "cookie", "count": 3, "limit": 2, "setting": "identity.generic_up"}], order
    # A word shows two identifiers, but is not counted: the eighth login is none of those that made the phone generic.
    run("link", "--data", data, "--reason", "x", "login:u-hana", f"phone:{phone}", code=6)
    assert told(data, "login:u-1", "login:u-2")["reasons"][0]["exceeded"][0]["count"] == 7
    shared = told(data, "login:u-hana", "login:u-ken")  # each identifier that both were seen with, and no other
    assert shared["verdict"] == "shared" and sorted((r["kind"], r["value"]) for r in shared["reasons"]) == [
        ("shared", "c-tablet"), ("shared", "c-tv")], shared
    assert run("explain", "--data", data, "login:u-hana", "login:u-ken").stdout.count("is shared by persons") == 2
    nowhere = told(data, "cookie:c-alone", "login:u-ken")
    assert nowhere["verdict"] == "no_path" and [(r["kind"], r["value"], r["reached"]) for r in nowhere["reasons"]] == [
        ("no_path", "c-alone", 0)], nowhere
    # Of several cards a cookie joins none to the login: it says where it belongs, and with how many of what it was seen.
    for card, values in (("card-3", ["card-3"]), ("card-4", ["card-4"])):
        apart = told(data, f"loyalty:{card}", "login:u-9")
        assert apart["verdict"] == "apart" and [(r["kind"], r["value"], r["other"]["value"], r["seen_with"]) for r in apart["reasons"]] == [
            ("bridge", "c-cards", card, [{"namespace": "loyalty", "count": 2}])], apart
        assert "belongs to login:u-9" in apart["reasons"][0]["text"] and "with 2 of loyalty" in apart["reasons"][0]["text"], apart
    both = told(data, "loyalty:card-3", "loyalty:card-4")
    assert both["verdict"] == "apart" and [r["other"]["value"] for r in both["reasons"]] == ["card-3", "card-4"], both
    card, = [value for value, in rows(data, "SELECT value FROM identifier WHERE namespace = 'loyalty' AND why = 'rejected'")]
    rejected = told(data, f"loyalty:{card}", "login:u-1")
    assert rejected["verdict"] == "rejected" and rejected["reasons"][0]["value"] == card, rejected
    rejected_claim(data, card, *({"card-1", "card-2"} - {card}), rejected["reasons"][0])
    run("unlink", "--data", data, "--reason", "x", "cookie:c-hana", "email:hana@example.jp")
    unlinked = told(data, "cookie:c-hana", "email:hana@example.jp")
    assert unlinked["verdict"] == "unlinked" and unlinked["reasons"][0]["other"]["namespace"] == "email", unlinked
    words_are_told(data)
    unknown = told(data, "cookie:c-alone", "login:u-none", code=4)
    assert unknown["verdict"] == "unknown" and unknown["a"]["person"] and unknown["b"]["person"] is None, unknown
    assert [(r["kind"], r["namespace"], r["value"]) for r in unknown["reasons"]] == [("unknown", "login", "u-none")], unknown
    assert "same identifier" in run("explain", "--data", data, "email:a@example.jp", "email:A@example.jp", code=2).stderr
    limited = run("identity", "show", "--data", data, "--limit", "3", f"phone:{phone}").stdout
    assert limited.count("dead") == 3 and "... and 6 more (--limit 0: all)" in limited, limited
    assert run("identity", "show", "--data", data, "--limit", "0", f"phone:{phone}").stdout.count("dead") == 9
    for value, kind in (("cookie:null", "blocked"), ("phone:0120-444-444", "service_number"), ("email:no address", "malformed")):
        blocked = told(data, value, "login:u-ken", code=4)
        assert blocked["verdict"] == "blocked" and [r["kind"] for r in blocked["reasons"]] == [kind], blocked
        assert blocked["a"]["person"] is None and blocked["b"]["why"] == "self" and blocked["b"]["person"] == shared["b"]["person"], blocked


def words_are_told(data):
    """A word with its reason, time and event: where it links, and where it parts."""
    a, b = "login:u-3", "login:u-4"
    for verb, sign in (("link", "linked"), ("unlink", "unlinked")):
        said = json.loads(run(verb, "--json", "--data", data, "--reason", f"why {verb}", a, b).stdout)["event_id"]
        text = run("explain", "--data", data, a, b).stdout
        assert f"{a} and {b} were {sign} by an operator on 20" in text and f"(event {said}): why {verb}" in text, text
        answer = told(data, a, b)
        step = answer["chain"][1]
        assert (step["word"], step["word_authority"], step["word_event"], step["word_reason"]) == (verb, 100, said, f"why {verb}"), step
    word = answer["reasons"][0]["word"]
    assert (word["authority"], word["event"], word["reason"]) == (100, said, "why unlink") and word["time"].startswith("20"), word
    assert told(data, "cookie:c-own", "login:u-ken")["chain"][1]["word"] is None


def rejected_claim(data, card, holder, reason):
    """Who claimed whom, and who holds the place: by hash, which no word changes; the answer to a link says so, and what to do."""
    assert reason["claimed"] == {"namespace": "login", "value": "u-1"} and reason["most"] == 1, reason
    assert reason["holders"] == [{"namespace": "loyalty", "value": holder}], reason
    assert f"loyalty:{card} claimed login:u-1" in reason["text"] and f": loyalty:{holder};" in reason["text"] and "by hash" in reason["text"], reason
    link = ("link", "--data", data, "--reason", "shown at the desk", f"loyalty:{card}", "login:u-1")
    said = run(*link, code=6).stdout
    assert "two persons" in said and f"loyalty:{holder}" in said and "tabiji unlink" in said, said
    answer = json.loads(run(*link, "--json", code=6).stdout)
    assert answer["same_person"] is False and answer["rejected"]["holders"] == reason["holders"] and answer["rejected"]["value"] == card, answer
    run("unlink", "--data", data, "--reason", "an old card", f"loyalty:{holder}", "login:u-1")
    assert json.loads(run(*link, "--json").stdout)["same_person"]


def shown(data):
    """identity show: of an identifier its person, root and why; of a person its identifiers, by any form of its id, old ones too."""
    person = str(uuid.UUID(hex=person_of(data, "login", "u-hana")))
    found = json.loads(run("identity", "show", "--json", "--data", data, "cookie:c-hana").stdout)
    assert list(found) == ["identifier", "links"], found
    own = found["identifier"]
    alias = str(uuid.UUID(hex=rows(data, "SELECT hex(alias) FROM person_alias WHERE value = 'c-hana'")[0][0]))
    assert own == {"namespace": "cookie", "value": "c-hana", "why": "claim", "person": person, "own": alias,
                   "root": {"namespace": "login", "value": "u-hana"}, "exceeded": []}, own
    assert [link["namespace"] for link in found["links"]] == ["email"], found
    text = run("identity", "show", "--data", data, "cookie:c-hana").stdout
    assert f"person {person} (claim)" in text and "root login:u-hana" in text and f"by itself {alias}" in text, text
    wanted = json.loads(run("identity", "show", "--json", "--data", data, person).stdout)
    assert wanted["person"] == wanted["asked"] == person
    assert [i["value"] for i in wanted["identifiers"] if i["namespace"] == "login"] == ["u-hana"], wanted
    for form in (person.replace("-", ""), person.upper(), alias):
        again = json.loads(run("identity", "show", "--json", "--data", data, form).stdout)
        assert again["person"] == person and again["identifiers"] == wanted["identifiers"], again
        assert json.loads(run("lookup", "--json", "--data", data, form).stdout)[0]["person"] == person
    assert f"once {alias}" in run("identity", "show", "--data", data, alias).stdout
    run("identity", "show", "--data", data, "0" * 32, code=4)
    told_how = run("explain", "--data", data, person, "login:u-hana", code=2).stderr
    assert "is a person's id" in told_how and "tabiji identity show" in told_how, told_how
    run("identity", "show", "--data", data, "zzz:1", code=2)
    run("identity", "show", "--data", data, "no colon", code=2)
    run("identity", "show", "--data", data, "cookie:null", code=4)


def old_ids_resolve(data):
    alias, person = rows(data, "SELECT hex(alias), hex(person) FROM person_alias WHERE value = 'c-hana'")[0]
    old = str(uuid.UUID(hex=alias))
    found = json.loads(run("lookup", "--json", "--data", data, old).stdout)
    assert found and found[0]["person"] == str(uuid.UUID(hex=person)), (old, found)
    chained = rows(data, "SELECT count(*) FROM person_alias AS a JOIN person_alias AS b ON b.alias = a.person")
    assert chained == [(0,)], "an alias resolves in one step"


def words(data):
    """link and unlink: done, undone, and the same tables again."""
    hana, ken = person_of(data, "login", "u-hana"), person_of(data, "login", "u-ken")
    assert hana != ken
    run("link", "--data", data, "--reason", "called in", "login:u-hana", "login:u-ken")
    assert person_of(data, "login", "u-hana") == person_of(data, "login", "u-ken")
    assert "one person" in run("explain", "--data", data, "login:u-hana", "login:u-ken").stdout
    run("unlink", "--data", data, "--reason", "was wrong", "login:u-hana", "login:u-ken")
    assert (person_of(data, "login", "u-hana"), person_of(data, "login", "u-ken")) == (hana, ken), "a wrong merge is taken back"
    run("unlink", "--data", data, "--reason", "not hers", "email:hana@example.jp", "login:u-hana")
    assert person_of(data, "cookie", "c-hana") != hana
    run("link", "--data", data, "--reason", "hers", "email:hana@example.jp", "login:u-hana")
    assert person_of(data, "cookie", "c-hana") == hana
    said = rows(data, "SELECT word, authority, a_value, b_namespace, reason FROM identity_word WHERE reason LIKE 'was %' OR reason LIKE 'called %' ORDER BY word")
    assert said == [("link", 100, "u-hana", "login", "called in"), ("unlink", 100, "u-hana", "login", "was wrong")], said
    said = json.loads(run("timeline", "--json", "--data", data, "login:u-hana").stdout) + json.loads(
        run("timeline", "--json", "--data", data, "email:hana@example.jp").stdout)
    said = [row for row in said if row["type"].startswith("identity_")]
    assert said and all((row["channel"], row["touch"]) == ("", "") for row in said), said
    assert rows(data, "SELECT count(*) FROM touch AS t JOIN event AS e USING (event_key) WHERE e.type LIKE 'identity%'") == [(0,)]
    assert "nothing ever linked" in run("unlink", "--data", data, "--reason", "x", "cookie:c-alone", "login:u-ken", code=4).stderr
    assert "same identifier" in run("link", "--data", data, "--reason", "x", "email:a@b.jp", "email:A@B.jp", code=2).stderr
    assert "--reason" in run("link", "--data", data, "login:a", "login:b", code=2).stderr
    run("link", "--data", data, "--reason", "x", "login", "login:b", code=2)


def erased(space):
    """A person vanishes; the rest is as if it had never been; a kill in the midst changes nothing."""
    data, without = space.path / "erase", space.path / "without"
    load(data, EVENTS)
    before = run("erase", "--data", data, "email:hana@example.jp", code=2)
    assert "nothing was erased" in before.stderr and person_of(data, "login", "u-hana")
    found = json.loads(run("erase", "--json", "--confirm", "--reason", "asked", "--data", data, "email:hana@example.jp").stdout)
    assert found["events"] >= 4 and found["conversions"] == 1 and found["left_over"] == 0, found
    assert rows(data, "SELECT events, left_over, reason FROM erasure_receipt") == [(found["events"], 0, "asked")]
    assert person_of(data, "login", "u-hana") is None and person_of(data, "cookie", "c-hana") is None
    dump = digest(data)
    assert "hana" not in dump, dump
    load(data, [event(8, "09:00", login="u-hana"), event(9, "15:00", login="u-hana", cookie="c-new")])
    assert "u-hana" not in digest(data), "late events of the subject yield nothing"
    assert person_of(data, "login", "u-ken") and person_of(data, "cookie", "c-alone")
    run("erase", "--data", data, "--confirm", "login:nobody", code=4)
    load(without, [e for e in EVENTS if "u-hana" not in str(e) and "hana" not in str(e)])
    kept = [r for r in rows(data, "SELECT event_id FROM event ORDER BY 1")]
    assert kept == rows(without, "SELECT event_id FROM event ORDER BY 1"), kept


def erased_when_killed(space):
    """Whenever it is killed, the same command ends it: the rows gone, one receipt, which counts all that was there."""
    moments = [0.002, 0.005, 0.01, 0.02, 0.04, 0.08]
    resumed = 0
    for n, moment in enumerate(moments):
        data = space.path / f"killed{n}"
        load(data, EVENTS)
        asked = subprocess.Popen([PROGRAM, "erase", "--confirm", "--data", str(data), "login:u-hana"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(moment)
        asked.send_signal(signal.SIGKILL)
        asked.wait()
        unfinished = rows(data, "SELECT receipt_id FROM erasure_receipt WHERE left_over > 0")
        again = subprocess.run([PROGRAM, "erase", "--confirm", "--data", str(data), "login:u-hana"], capture_output=True)
        assert again.returncode in (0, 4), again
        resumed += bool(unfinished)
        receipts = rows(data, "SELECT receipt_id, events, conversions, left_over FROM erasure_receipt")
        assert len(receipts) == 1 and receipts[0][1:] == (5, 1, 0), (moment, receipts)
        assert not unfinished or unfinished[0][0] == receipts[0][0], "the request that was cut off is the one that is finished"
        assert "hana" not in digest(data)
    # Cut off between the rows and the receipt's end: nobody is known any more, but the receipt is.
    run_sql(data, "UPDATE erasure_receipt SET left_over = 9")
    again = run("erase", "--confirm", "--json", "--data", data, "login:u-hana")
    assert json.loads(again.stdout)["left_over"] == 0 and json.loads(again.stdout)["events"] == 5, again.stdout
    run("erase", "--confirm", "--data", data, "login:u-hana", code=4)
    print(f"erasures killed: {len(moments)}, {resumed} in the midst")


def only_operators(space):
    """A web key must not erase anybody."""
    data = space.path / "doors"
    log = open(space.path / "run.log", "w")
    listener = subprocess.Popen([PROGRAM, "run", "--data", str(data), "--set", "collector.listen=127.0.0.1:0", "--set",
                                 "collector.open_source=dev"], stderr=log, stdout=log)
    try:
        deadline, port = time.time() + 10, None
        while not port and time.time() < deadline:
            for line in open(space.path / "run.log"):
                if '"port":' in line:
                    port = json.loads(line)["port"]
            time.sleep(0.05)
        told = run("link", "--data", data, "--url", f"http://127.0.0.1:{port}", "--reason", "x", "login:a", "login:b", code=1)
        assert "operator = yes" in told.stderr, told.stderr
        locked = run("link", "--data", data, "--reason", "x", "login:a", "login:b", code=1)
        assert "--url" in locked.stderr, locked.stderr
    finally:
        listener.terminate()
        listener.wait()


def listening(space, log, *arguments):
    """Starts a listener; returns it with its address."""
    with open(space.path / log, "w") as out:
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stderr=out, stdout=out)
    space.processes.append(process)
    deadline, port = time.time() + 10, None
    while not port and time.time() < deadline:
        for line in open(space.path / log):
            if '"port":' in line:
                port = json.loads(line)["port"]
        time.sleep(0.05)
    return process, f"http://127.0.0.1:{port}"


def aliases(data, url):
    """A key that web pages show may be refused what makes two logins one person; that of an application says it."""
    def post(path, key, body):
        request = urllib.request.Request(url + path, json.dumps(body).encode(), {
            "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(), "Content-Type": "application/json"})
        try:
            return urllib.request.urlopen(request, timeout=10).read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
    alias = {"messageId": "alias-1", "type": "alias", "previousId": "v-1", "userId": "v-2", "timestamp": "2026-11-20T10:00:00Z"}
    post("/v1/alias", "page", alias)
    post("/v1/identify", "page", {"messageId": "known-1", "type": "identify", "userId": "v-1", "timestamp": "2026-11-20T10:00:00Z"})
    wait_until(lambda: rows(data, "SELECT pointer FROM rejected WHERE source = 'page'") == [("/evidence",)], "the refusal")
    wait_until(lambda: person_of(data, "login", "v-1"), "what is no alias")
    assert person_of(data, "login", "v-2") is None
    post("/v1/alias", "web", alias)
    wait_until(lambda: person_of(data, "login", "v-2") == person_of(data, "login", "v-1"), "the alias")


def unlink_asks_the_collector(space):
    """Of what was never linked exit 4, wherever the tables are; and a plain word where nobody has them."""
    data, config = space.path / "asked", space.path / "asked.ini"
    load(data, EVENTS)
    for name in ("crm", "web"):
        (space.path / f"{name}.key").write_text(name + "\n")
    config.write_text("".join(f"[source {n}]\nkey_sha256 = {hashlib.sha256(n.encode()).hexdigest()}\n{more}" for n, more in
                              (("crm", "operator = yes\nevidence = no\n"), ("web", ""), ("page", "evidence = no\n"))))
    process, url = listening(space, "asked.log", "run", "--config", config, "--data", data, "--listen", "127.0.0.1:0")
    ask = ["unlink", "--data", space.path / "none", "--url", url, "--reason", "x"]
    crm = [*ask, "--key-file", space.path / "crm.key"]
    events = len(rows(data, "SELECT 1 FROM event"))
    never = run(*crm, "cookie:c-alone", "login:u-ken", code=4)
    assert "nothing ever linked cookie:c-alone and login:u-ken" in never.stderr, never.stderr
    assert "operator" in run(*ask, "--key-file", space.path / "web.key", "login:u-hana", "email:hana@example.jp", code=5).stderr
    run(*ask, "login:u-hana", "email:hana@example.jp", code=5)
    time.sleep(0.5)
    assert len(rows(data, "SELECT 1 FROM event")) == events, "nothing was said"
    run(*crm, "login:u-hana", "email:HANA@example.jp")
    wait_until(lambda: len(rows(data, "SELECT 1 FROM event WHERE type = 'identity_unlinked'")) == 1, "the word")
    aliases(data, url)
    stop(process)


def dropped_is_told(space):
    """An import says how many identifiers it dropped, of which field and why, and where the first stands; never a value."""
    events = [event(1, "10:00", phone="not-a-number", login="u-1"), event(2, "10:01", phone="+81 3 secret", login="u-1"),
              event(3, "10:02", email="null", login="u-1"), event(4, "10:03", login="u-2", phone="03-1234-5678")]
    file = space.path / "events.ndjson"
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    told = run("import", "--data", space.path / "dropped", "--mapping", MAPPING, file).stdout
    assert f"2 of ids.phone that are malformed, the first at {file}:1\n" in told, told
    assert f"1 of ids.email that identify nobody, the first at {file}:3\n" in told and "secret" not in told, told
    flagged = dict(rows(space.path / "dropped", "SELECT event_id, properties ->> '$.\"$malformed\"[0]' FROM v_event"))
    assert flagged == {"e1": "phone", "e2": "phone", "e3": None, "e4": None}, flagged
    assert run("timeline", "--data", space.path / "dropped", "login:u-1").stdout.count("malformed: phone") == 2
    assert "$malformed" in rows(space.path / "dropped", "SELECT description_en FROM data_dictionary WHERE column_name = 'properties' LIMIT 1")[0][0]
    told = run("import", "--json", "--data", space.path / "dropped2", "--mapping", MAPPING, file).stdout
    assert json.loads(told)["dropped"] == [
        {"field": "ids.email", "reason": "blocked", "count": 1, "file": str(file), "line": 3},
        {"field": "ids.phone", "reason": "malformed", "count": 2, "file": str(file), "line": 1}], told
    again = json.loads(run("import", "--json", "--data", space.path / "dropped2", "--mapping", MAPPING, file).stdout)
    assert again["dropped"] == [] and again["events"] == 0, again


def alike(space, data):
    """Whatever a verb cannot do, --json says on standard output, in one shape; nothing makes a directory by a name misspelled; and
    under another key nobody is known, which is said to be the key's fault."""
    def error(code, *words):
        found = json.loads(run(*words, "--json", code=code).stdout)
        assert list(found) == ["error"] and list(found["error"]) == ["code", "message"], (words, found)
        return found["error"]["code"]
    asks = [("lookup", "email:no@example.jp"), ("timeline", "email:no@example.jp"), ("identity", "show", "email:no@example.jp"),
            ("erase", "--confirm", "email:no@example.jp"), ("identity", "preview-unlink", "email:no@example.jp", "login:u-ken"),
            ("unlink", "--reason", "x", "email:no@example.jp", "login:u-ken")]
    for words in asks:
        assert error(4, *words, "--data", data) == "not_found", words
    assert told(data, "email:no@example.jp", "login:u-ken", code=4)["verdict"] == "unknown"
    typo = space.path / "typo"
    link = ("link", "--reason", "x", "email:no@example.jp", "login:u-ken")
    for words in (*asks, link, ("explain", "login:a", "login:b"), ("replay", "--from", "timelines"), ("rejected", "list")):
        assert error(4, *words, "--data", typo) == "not_found", words
        assert not typo.exists(), words
    assert error(2, "link", "--data", data, "login:a", "login:b") == "usage"
    key = space.path / "other.key"
    run("keys", "new", key)
    link_known = ("identity", "preview-link", "login:u-ken", "login:u-hana")
    for words in (*(tuple(w.replace("no@", "hana@") for w in words) for words in (*asks, link)), ("explain", "email:hana@example.jp", "login:u-hana"),
                  link_known):
        assert error(2, *words, "--data", data, "--set", f"identity.key_file={key}") == "meaning", words
        said = run(*words, "--data", data, "--set", f"identity.key_file={key}", code=2).stderr
        assert "another tenant key" in said or "tenant key" in said, (words, said)
    assert error(2, "lookup", "email:hana@example.jp", "--data", data, "--set", "identity.key_id=k7") == "meaning"
    order = "identity.namespaces=loyalty, login, email, phone, install, device, cookie, order, receipt, case"
    for words in (("identity", "show", "login:u-hana"), ("explain", "login:u-hana", "login:u-ken")):
        assert error(2, *words, "--data", data, "--set", order, "--set", "identity.protected=") == "meaning", words
    # What does not hang on the key is answered all the same.
    run("lookup", "--data", data, "--set", f"identity.key_file={key}", "cookie:c-alone")


def blocked_later(space):
    """A value that the operator blocks when it is known already: no event brings it again, but who has it is found, and erased."""
    data = space.path / "blocked"
    load(data, [event(1, "10:00", login="u-1", cookie="till-3"), event(2, "10:01", cookie="till-3"), event(3, "10:02", phone="03-1111-2222"),
                event(4, "10:03", login="u-2", cookie="c-2")])
    block = ["--data", data, "--set", "identity.blocked=till-3, 03-1111-2222"]
    file = space.path / "more.ndjson"
    file.write_text(json.dumps(event(5, "11:00", login="u-2", cookie="till-3")) + "\n")
    assert "1 of ids.cookie that identify nobody" in run("import", *block, "--mapping", MAPPING, file).stdout
    for spelling in ("cookie:till-3", "phone:0311112222"):
        assert json.loads(run("lookup", "--json", *block, spelling).stdout), spelling
        run("timeline", *block, spelling)
        assert json.loads(run("identity", "show", "--json", *block, spelling).stdout)["identifier"]["person"]
    assert "one person" in run("explain", *block, "cookie:till-3", "login:u-1").stdout
    assert "blocked" in run("explain", *block, "cookie:null", "login:u-1", code=4).stdout
    assert "is blocked" in run("link", *block, "--reason", "x", "cookie:till-3", "login:u-2", code=2).stderr
    told = [c for c in json.loads(run("doctor", "--json", *block, code=(0, 1)).stdout) if c["check"] == "blocked values"]
    assert told and told[0]["verdict"] == "warning" and "2 " in told[0]["text"], told
    assert json.loads(run("erase", "--json", "--confirm", *block, "phone:03-1111-2222").stdout)["events"] == 1
    assert json.loads(run("erase", "--json", "--confirm", *block, "cookie:till-3").stdout)["erased"]
    assert [row for row in rows(data, "SELECT event_id FROM event ORDER BY 1")] == [("e4",), ("e5",)], rows(data, "SELECT event_id FROM event")
    assert person_of(data, "cookie", "till-3") is None
    run_sql(data, "UPDATE erasure_receipt SET left_over = 9")  # cut off before the receipt's end
    assert json.loads(run("erase", "--json", "--confirm", *block, "cookie:till-3").stdout)["left_over"] == 0
    told = [c for c in json.loads(run("doctor", "--json", *block, code=(0, 1)).stdout) if c["check"] == "blocked values"]
    assert [c["verdict"] for c in told] == ["ok"], told


def linked_to_the_erased(space):
    """A word about an erased person comes to nothing, or makes the identifier known again: it is not said by mistake."""
    data = space.path / "linked"
    load(data, EVENTS)
    run("erase", "--confirm", "--data", data, "login:u-hana")
    before = digest(data)
    link = ["link", "--data", data, "--reason", "x"]
    assert "was erased" in run(*link, "login:u-hana", "login:u-ken", code=2).stderr
    assert "was erased" in run("identity", "preview-link", "--data", data, "login:u-hana", "login:u-ken", code=2).stderr
    told = run("identity", "preview-link", "--data", data, "login:u-ken", "login:u-hana").stdout
    assert "would move 1 event" in told, told
    assert "known again" in run(*link, "login:u-ken", "login:u-hana", code=2).stderr
    assert digest(data) == before
    assert "yet" in run(*link, "cookie:c-alone", "login:u-later").stderr
    run(*link, "--confirm", "login:u-ken", "login:u-hana")
    assert person_of(data, "login", "u-ken") == person_of(data, "login", "u-hana")
    assert len(rows(data, "SELECT 1 FROM event WHERE event_id IN ('e5', 'e6')")) == 2, "nobody's event is lost"


class WithoutTables(http.server.BaseHTTPRequestHandler):
    """A collector beside Kafka: it takes events, and has nothing to look them up in."""
    said = []

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(404, '{"code":"not_found","hint":"there is nothing at this path"}')

    def do_POST(self):
        self.said.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(200, '{"accepted":1}')

    def log_message(self, *_):
        pass


def unlink_without_tables(space):
    """Where the collector has no tables those of --data answer; where there are none, that is said, and nothing else."""
    data = space.path / "asked"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WithoutTables) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask = ["unlink", "--url", f"http://127.0.0.1:{server.server_port}", "--reason", "x"]
        nobody = run(*ask, "--data", space.path / "none", "login:u-hana", "cookie:c-alone", code=1)
        assert "nobody can tell" in nobody.stderr and "--unchecked" in nobody.stderr, nobody.stderr
        run(*ask, "--data", data, "login:u-hana", "cookie:c-alone", code=4)
        assert WithoutTables.said == []
        run(*ask, "--data", data, "login:u-ken", "cookie:c-tablet")
        run(*ask, "--data", space.path / "none", "--unchecked", "login:u-hana", "cookie:c-alone")
        assert ["c-tablet" in said for said in WithoutTables.said] == [True, False], WithoutTables.said
        server.shutdown()


def main():
    with Workspace() as space:
        data = space.path / "data"
        load(data, EVENTS)
        explains(data)
        shown(data)
        verdicts(space)
        old_ids_resolve(data)
        words(data)
        erased(space)
        erased_when_killed(space)
        only_operators(space)
        alike(space, data)
        blocked_later(space)
        linked_to_the_erased(space)
        dropped_is_told(space)
        unlink_asks_the_collector(space)
        unlink_without_tables(space)
    print("identity: explained, linked, unlinked, erased")


if __name__ == "__main__":
    main()
