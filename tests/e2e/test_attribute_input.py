#!/usr/bin/env python3
"""What `tabiji attribute` reads: headers as others write them, names of models, packed files, text that no spreadsheet spares one."""
import gzip
import io
import csv
import json
import os
import subprocess

from harness import PROGRAM, Workspace

CUSTOMER = ("customer_id", "Customer ID", "customerId", "uid", "user_id", "contact_id", "cookie_id", "visitor_id", "client_id", "user_pseudo_id",
            "fullVisitorId", "domain_userid", "anonymous_id", "mcvisid", "id")
TIME = ("time", "timestamp", "ts", "time_stamp", "event_timestamp", "event_time", "visit_start_tstamp", "visitStartTime", "derived_tstamp",
        "collector_tstamp", "original_timestamp", "received_at", "date_time", "hit_time_gmt", "session_start", "date")
CHANNEL = ("channel", "channel_grouping", "sessionDefaultChannelGroup", "marketing_channel", "va_closer_id", "touchpoint", "source", "utm_source",
           "mkt_source", "traffic_source.source", "context_campaign_source", "medium", "mkt_medium")
PATHS = "path,total_conversions,total_conversion_value,total_null\n"


def run(*arguments, text, code=0):
    """Rows and messages."""
    found = subprocess.run([PROGRAM, "attribute", "--format", "csv", *map(str, arguments), "-"],
                           input=text if isinstance(text, bytes) else text.encode(), capture_output=True)
    assert found.returncode == code, (arguments, found.returncode, found.stderr.decode(), text[:500])
    rows = {(r["channel"], r["model"]): r for r in csv.DictReader(io.StringIO(found.stdout.decode()))}
    return rows, found.stderr.decode()


def headers():
    """Any usual name of each role leads to the same credits."""
    def check(customer="customer_id", time="time", channel="channel", converted="conversion", value="conversion_value"):
        text = f"{customer},{channel},{time},{converted},{value}\n7,A,2026-01-01,0,\n8,C,2026-01-01,1,2\n7,B,2026-01-02,1,40\n"
        rows, _ = run("--model", "first", text=text)
        assert rows["A", "first"]["credited_value"] == "40.0" and rows["C", "first"]["credited_value"] == "2.0", (text, rows)
    for name in CUSTOMER:
        check(customer=name)
    for name in TIME:
        check(time=name)
    for name in CHANNEL:
        check(channel=name)
    for name in ("converted", "is_conversion", "Has Converted", "has_transaction"):
        check(converted=name)
    for name in ("value", "revenue", "amount", "purchase_revenue", "order_total"):
        check(value=name)
    for header in ("path,total_conversions,total_conversion_value,total_null", "channels_agg;conversions;revenue;nulls",
                   "Conversion Path\tConversions\tConversion Value\tNon-Conversions", "transformed_path,conversion_count,value,non_conversions"):
        delimiter = next(d for d in ",;\t" if d in header)
        rows, _ = run("--model", "last", text=header + "\n" + delimiter.join(["A > B", "2", "7", "5"]) + "\n")
        assert rows["B", "last"]["credited_value"] == "7.0", (header, rows)


def ranks():
    """A better name wins; two as good are a question, which --column answers."""
    row = "1,9,2026-01-01,A,1\n"
    run("--model", "first", text="customer_id,user_id,time,channel,conversion\n" + row)
    for header, role, a, b in (("user_id,anonymous_id,ts,channel,conversion", "customer", "user_id", "anonymous_id"),
                               ("cookie_id,session,event_timestamp,channel,conversion", None, None, None),
                               ("uid,channel,ts,channel,conversion", "channel", 'column 2 "channel"', 'column 4 "channel"')):
        messages = run("--model", "first", text=f"{header}\n{row}", code=2 if role else 0)[1]
        assert role is None or (f"-:1: {role} may be" in messages and a in messages and b in messages and f"--column {role}=NAME" in messages), messages
    rows, _ = run("--model", "first", "--column", "customer=user_id", text="user_id,anonymous_id,ts,channel,conversion\n" + row)
    assert rows["A", "first"]["credited_conversions"] == "1.0"
    assert "revenue" in run("--model", "first", text="path,conversions,revenue,value\nA,1,2,3\n", code=2)[1]
    # what the models do not ask for may be ambiguous
    run("--model", "first", text="uid,ts,channel,conversion,event_type,event_name\n1,1,A,1,x,y\n")
    assert "event_name" in run("--model", "w_shape", "--lead", "x", text="uid,ts,channel,conversion,event_type,event_name\n1,1,A,1,x,y\n", code=2)[1]
    both = "path,customer_id,time,channel,conversion\n/shoes,1,2026-01-01,A,1\n"
    assert "may be a path" in run("--model", "first", text=both, code=2)[1]
    assert ("A", "first") in run("--model", "first", "--column", "channel=channel", text=both)[0]
    assert ("/shoes", "first") in run("--model", "first", "--column", "path=path", text=both)[0]
    assert 'did you mean "chanel"' in run("--model", "first", text="uid,ts,chanel\n1,2,A\n", code=2)[1]


def times():
    """One moment, as others write it; and dates."""
    hour = 1767229200  # 2026-01-01T01:00:00Z
    for text in (str(hour), f"{hour}.0", f"{hour}000", f"{hour}000000", f"{hour}000000000", "2026-01-01T01:00:00Z", "2026-01-01 01:00:00 UTC",
                 "2026-01-01 10:00:00 +0900", "2026-01-01T01:00:00.000", "2026/01/01 1:00:00"):
        for half, order in ((hour - 1, "AB"), (hour + 1, "BA")):
            rows, _ = run("--model", "first", "--journey", "reset", "--lookback", "none",
                          text=f"uid,ts,channel,conversion\n1,{text},B,0\n1,{half},A,0\n1,{hour + 99},,1\n")
            assert float(rows[order[0], "first"]["credited_conversions"]) == 1, (text, half, rows)
    rows, _ = run("--model", "first", text="uid,event_date,channel,conversion\n1,20260102,B,1\n1,20260101,A,0\n1,19691231,C,0\n")
    assert float(rows["A", "first"]["credited_conversions"]) == 1, "C is beyond 90 days"
    for bad in ("20261301", "1.2.3", "100000000000.5", "1e9"):
        assert "-:2: bad_time" in run("--model", "first", text=f"uid,event_date,channel,conversion\n1,{bad},A,1\n", code=6)[1]
    # as far apart as time goes
    run("--model", "time_decay", text="uid,time,channel,conversion\n1,-290000-01-01T00:00:00Z,A,0\n1,+290000-01-01T00:00:00Z,B,1\n")


def models():
    """Short forms and others' names; the answer has ours."""
    text = "customer_id,time,channel,conversion\n1,1,A,0\n1,2,B,0\n1,3,Direct,1\n"
    for name, ours in (("U", "position"), ("u_shape", "position"), ("U-shaped", "position"), ("Position-Based", "position"), ("J", "j_shape"),
                       ("inverse_j", "inverse_j"), ("inverse-j", "inverse_j"), ("Inverse J", "inverse_j"), ("W", "w_shape"), ("w-shaped", "w_shape"),
                       ("full-path", "full_path"), ("first_click", "first"), ("last-touch", "last"), ("last_non_direct_click", "last_non_direct"),
                       ("Time Decay", "time_decay"), ("shao-li", "shao_li"), ("shao_li", "shao_li"), ("ShaoLi", "shao_li"), ("MARKOV", "markov"),
                       ("shapley-ordered", "shapley_ordered"), ("Linear", "linear")):
        assert {m for _, m in run("--model", name, text=text)[0]} == {ours}, name
    for name, nearest in (("markof", "markov"), ("shapely", "shapley"), ("inverse_k", "inverse_j"), ("positon", "position"), ("shao_ly", "shao_li"),
                          ("tme-decay", "time_decay")):
        assert f'did you mean "{nearest}"' in run("--model", name, text=text, code=2)[1], name


def once():
    """A model that is named twice answers once."""
    for flags in (["--model", "first,first"], ["--model", "first", "--model", "first-click"]):
        found = subprocess.run([PROGRAM, "attribute", *flags, "--format", "csv", "-"], input=PATHS + "A,1,1,0\n", capture_output=True, text=True, check=True)
        assert found.stdout.splitlines()[1:] == ["A,first,1.0,1.0,,,,"], found


def events():
    """Where no column tells conversions, names of events do: those of purchases, as GA4, Segment and others call them."""
    rows = [("1", "page_view", "A", ""), ("1", "add_to_cart", "B", "99"), ("2", "session_start", "C", "")]
    for column in ("event", "event_name", "Event Type"):
        for name in ("purchase", "Order Completed", "order_completed", "transaction", "in_app_purchase", "checkout_completed", "store_purchase"):
            text = f"user_pseudo_id,event_timestamp,{column},source,value\n" + "".join(
                f"{user},{i},{kind},{channel},{value}\n" for i, (user, kind, channel, value) in enumerate([*rows, ("1", name, "D", "40"), ("2", name, "", "2")]))
            found, said = run("--model", "first,last", text=text)
            assert found["A", "first"]["credited_value"] == "40.0" and found["D", "last"]["credited_value"] == "40.0", (text, found)
            assert found["C", "first"]["credited_value"] == "2.0" and found["B", "last"]["credited_conversions"] == "0.0", (text, found)
            assert f'-:1: no column "conversion": rows convert whose "{column}" is a purchase' in said, said
    segment = "anonymous_id,original_timestamp,type,event,context_campaign_source,revenue\n1,2026-01-01,track,Product Viewed,A,\n1,2026-01-02,track,Order Completed,B,7\n"
    assert run("--model", "first", text=segment)[0]["A", "first"]["credited_value"] == "7.0"
    # a column of conversions is asked first, and the user's before all
    both = "user_id,ts,event_name,channel,conversion,goal\n1,1,purchase,A,0,x\n1,2,page_view,B,1,order completed\n"
    assert run("--model", "last", text=both)[0]["B", "last"]["credited_conversions"] == "1.0"
    goals = both.replace(",conversion,", ",other,")
    assert run("--model", "first", text=goals)[0]["A", "first"]["credited_conversions"] == "1.0"
    assert run("--model", "last", "--column", "type=goal", text=goals)[0]["B", "last"]["credited_conversions"] == "1.0"
    assert "no row converts" in run("--model", "last", text="user_id,ts,event_name,channel\n1,1,page_view,A\n")[1]
    assert 'no column "conversion"' in run("--model", "last", text="user_id,ts,kind,channel\n1,1,purchase,A\n", code=2)[1]


def names():
    """Names that are no text are refused with their line; a channel that is called as what is unattributed is told from it."""
    bad = PATHS.encode() + b"A\xff > B,1,2,0\nB,1,5,0\n"
    rows, said = run("--model", "first", text=bad, code=6)
    assert "-:2: bad_utf8: path is not UTF-8" in said and list(rows) == [("B", "first")], (rows, said)
    touches = b"uid,ts,channel,conversion\n1,1,\x82\xa0,0\n1,2,B,1\n"
    assert "-:2: bad_utf8: channel is not UTF-8" in run("--model", "first", text=touches, code=6)[1]
    for flags in ([], ["--paths"], ["--transitions"]):
        for text, code in ((bad, 6), ((PATHS + '"a""\\\x01\u3042 > \U0001f600",1,2,0\n').encode(), 0)):
            found = subprocess.run([PROGRAM, "attribute", *flags, "--format", "json", "-"], input=text, capture_output=True)
            assert found.returncode == code and json.loads(found.stdout.decode()), found
    rows, _ = run("--model", "first,markov", text=PATHS + "(unattributed) > A,1,2,0\n,3,5,0\n")
    for model in ("first", "markov"):
        assert rows["\\(unattributed)", model]["credited_conversions"] != "3.0" and rows["(unattributed)", model]["credited_conversions"] == "3.0", rows
    out = subprocess.run([PROGRAM, "attribute", "--paths", "--model", "first", "--format", "csv", "-"], input=PATHS + "(unattributed),1,2,0\n,3,5,0\n",
                         capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[1:] == ["(unattributed),1,\\(unattributed),first,1.000000000,1.0,2.0", ",,(unattributed),first,1.000000000,3.0,5.0"], out


def separators():
    """Paths that are surely split by something else are told of."""
    for path, other in (("A -> B", "->"), ("A | B", "|"), ("A \u2192 B", "\u2192"), ("A=>B", "=>"), ("A/B", "/")):
        said = run("--model", "first", text=f"{PATHS}A,1,0,0\n{path},1,0,0\n")[1]
        assert f"--separator '{other}'" in said, said
        rows, said = run("--model", "first", "--separator", other, text=f"{PATHS}{path},1,0,0\n")
        assert ("A", "first") in rows and ("B", "first") in rows and "--separator" not in said, (rows, said)
    assert "--separator" not in run("--model", "first", text=PATHS + "A > B/C | D,1,0,0\nE/F,1,0,0\n")[1]


def orders():
    """An order that no journey is as long as is an error, for whoever asks for markov."""
    for flags in (["--order", "3"], ["--order", "6", "--model", "first,markov"], ["--order", "3", "--transitions"], ["--order", "2", "--transform", "unique"]):
        assert "is beyond the data: the longest path has" in run(*flags, text=PATHS + "A > A,1,2,3\n", code=2)[1], flags
    for order in ("7", "9", "0", "-1", "2.5", "two", ""):
        assert "--order must be an integer from 1 to 6" in run("--order", order, text=PATHS + "A > B,1,2,3\n", code=2)[1], order


def text():
    """Quotes with delimiters and line ends inside, marks, line ends, empty paths, only nulls."""
    rows, _ = run("--model", "last", text='\ufeffpath;total_conversions;total_conversion_value;total_null\r\n"A;x > ""B""\r\nC";1;2;3\r\n;4;5;6\r\n\r\n')
    assert rows['A;x', "last"]["credited_value"] == "0.0" and rows['"B"\r\nC', "last"]["credited_value"] == "2.0", rows
    assert rows["(unattributed)", "last"]["credited_value"] == "5.0", rows
    messages = run("--model", "last", text='path,total_conversions\n"A\nB",1\nC,x\n', code=6)[1]
    assert "-:4: " in messages, messages  # lines of the file, not rows
    for value in ("12,5", "1.234,50"):
        messages = run("--model", "last", text=f"path;total_conversions;total_conversion_value\nA;1;{value}\n", code=6)[1]
        assert "-:2: " in messages and "a point, not a comma" in messages, messages
    rows, _ = run("--model", "markov,shapley,linear", text=PATHS + "A > B,0,0,9\n,0,0,2\n")
    assert all(float(r["credited_conversions"]) == 0 for r in rows.values()) and len(rows) == 6, rows
    run("--model", "markov", text=PATHS)
    assert "totals" in run("--model", "first", text=PATHS + "A,1,1e308,0\nB,1,-1e308,0\nC,1,1e308,0\n", code=2)[1]
    # FILE may be left out before a pipe, not before a terminal
    found = subprocess.run([PROGRAM, "attribute", "--model", "last", "--format", "csv"], input=PATHS + "A > B,1,2,3\n", capture_output=True, text=True)
    assert found.returncode == 0 and "B,last,1.0,2.0" in found.stdout, found
    master, terminal = os.openpty()
    found = subprocess.run([PROGRAM, "attribute"], stdin=terminal, capture_output=True, text=True)
    os.close(master)
    os.close(terminal)
    assert found.returncode == 2 and "needs FILE" in found.stderr, found
    # a path a journey
    rows, _ = run("--model", "last", text="channels,converted,revenue\nA > B,1,5\nA > B,0,7\n")
    assert rows["B", "last"]["credited_value"] == "5.0"
    rows, _ = run("--model", "last", "--value", "all", text="channels,converted,revenue\nA > B,1,5\nA > B,0,7\n")
    assert rows["B", "last"]["credited_value"] == "12.0"
    assert "of paths" in run("--value", "all", text="uid,ts,channel,conversion\n1,2,A,1\n", code=2)[1]


def exact():
    """What cannot be counted exactly is refused where it stands; what is left of large amounts stays, alike in every model."""
    for count in ("9007199254740992", "9007199254740993", "9007199254740994"):
        rows, said = run("--model", "first", text=f"{PATHS}A,{count},0,0\nB,1,0,0\n", code=6)
        assert f'-:2: num_range: conversions "{count}"' in said and ("B", "first") in rows, said
    most = run("--model", "first", text=PATHS + "A,9007199254740990,0,0\nA,1,0,0\n")[0]["A", "first"]["credited_conversions"]
    assert most == "9007199254740991.0"
    for row in ("A,1,0,0", "A,0,0,1", "B,1,0,0"):
        _, said = run("--model", "first", text=f"{PATHS}A,9007199254740991,0,0\n{row}\n", code=2)
        assert "-:3: too_large" in said, said
    for first, second in (("9e15", "8e12"), ("-9e15", "8e12"), ("1e308", "-1e308")):
        _, said = run("--model", "first", text=f"{PATHS}A,1,{first},0\nB,1,{second},0\n", code=2)
        assert (f"-:{2 if '308' in first else 3}: too_large") in said, said
    touches = "customer_id,time,channel,conversion,conversion_value\n1,1,A,1,9e15\n2,2,B,0,\n2,3,B,1,9e15\n"
    assert "-:4: too_large" in run("--model", "first", text=touches, code=2)[1]
    models = "first,last,linear,position,j_shape,custom,participation,shapley"
    left = PATHS + "A > B > C,1,1000000000000000.01,1\nA > B > C,0,-1000000000000000,0\nC > B > A > B,1,777777777777777.77,0\nC > B > A > B,1,-777777777777777.7,0\n"
    small = PATHS + "A > B > C,1,.01,1\nC > B > A > B,2,.07,0\n"
    rows, wanted = run("--model", models, text=left)[0], run("--model", models, text=small)[0]
    assert rows.keys() == wanted.keys()
    for key in rows:
        a, b = float(rows[key]["credited_value"]), float(wanted[key]["credited_value"])
        assert abs(a - b) < 1e-9, (key, a, b)
    rows, _ = run("--model", "first,linear,markov,shapley", text=left)
    for model in ("first", "linear", "markov", "shapley"):
        assert abs(sum(float(r["credited_value"]) for (_, m), r in rows.items() if m == model) - .08) < 1e-9, (model, rows)
    # across paths: thirds of one take back halves of the other
    rows, _ = run("--model", "linear,shapley", text=PATHS + "A > B > C,1,3000000000000000.3,0\nA > D,1,-2000000000000000.2,0\n")
    for model in ("linear", "shapley"):
        assert rows["A", model]["credited_value"] == "0.0" and rows["B", model]["credited_value"] == "1000000000000000.1", rows


def idle():
    """A flag that nothing asked for has is told of."""
    paths, touches = PATHS + "A > B,3,9,1\nB,1,0,1\n", "customer_id,time,channel,conversion\n1,1,A,0\n1,2,B,1\n"
    for arguments, flag in ((["--null", "ignore", "--model", "shapley_rate,shao_li,shapley_paths"], "--null"), (["--half-life", "3"], "--half-life"),
                            (["--order", "2", "--model", "linear"], "--order"), (["--weights", "1:2:1"], "--weights"),
                            (["--samples", "9"], "--samples"), (["--bootstrap", "9", "--model", "last"], "--bootstrap"), (["--seed", "4"], "--seed"),
                            (["--direct", "A"], "--direct"), (["--lead", "x"], "--lead"), (["--lookback", "3"], "--lookback and --journey"),
                            (["--journey", "reset"], "--lookback and --journey"), (["--value", "all"], "--value all")):
        assert f"{flag} has no effect" in run(*arguments, text=paths)[1] or f"{flag} have no effect" in run(*arguments, text=paths)[1], arguments
    assert "--separator has no effect" in run("--separator", ";", text=touches)[1]
    for arguments, text in ((["--null", "ignore", "--model", "markov,shapley_rate"], paths), (["--seed", "1", "--bootstrap", "9"], paths),
                            (["--weights", "1:1:1", "--half-life", "2", "--model", "custom,time_decay"], touches), (["--separator", ">"], paths),
                            (["--lookback", "none", "--journey", "reset"], touches), (["--lead", "x", "--model", "full_path"], touches + "\n")):
        header, rest = text.split("\n", 1)
        text = header + ",interaction\n" + "".join(f"{row},\n" for row in rest.splitlines() if row) if "--lead" in arguments else text
        assert "effect" not in run(*arguments, text=text)[1], arguments
    for arguments, flag in ((["--transitions", "--model", "shapley"], "--model"), (["--paths", "--model", "markov", "--bootstrap", "9"], "--bootstrap")):
        found = subprocess.run([PROGRAM, "attribute", *arguments, "-"], input=paths, capture_output=True, text=True)
        assert found.returncode == 0 and f"{flag} has no effect" in found.stderr, found


def states():
    """Channels that are named as states or ends are none of them."""
    found = subprocess.run([PROGRAM, "attribute", "--transitions", "--format", "csv", "-"], capture_output=True, text=True,
                           input=PATHS + "(start) > (null) > (conversion) > A,1,0,1\n").stdout
    assert found.splitlines()[1:] == ["(start),\\(start),1.0", "\\(start),\\(null),1.0", "\\(null),\\(conversion),1.0", "\\(conversion),A,1.0",
                                      "A,(conversion),0.5", "A,(null),0.5"], found
    rows, _ = run("--model", "markov", text=PATHS + "(start) > (null),1,0,1\n(conversion),1,0,1\n")
    assert {c: float(r["credited_conversions"]) for (c, _), r in rows.items()} == {"(start)": 2 / 3, "(null)": 2 / 3, "(conversion)": 2 / 3}, rows


def shown():
    """No -0.0000 in a table; what a path's touches get is not of rounded weights."""
    text = PATHS + "A > B > C,3,9,1\nC > D,0,-0.000001,1\n"
    for arguments in ([], ["--paths"]):
        found = subprocess.run([PROGRAM, "attribute", "--model", "linear", *arguments, "-"], input=text, capture_output=True, text=True).stdout
        assert "0.0000" in found and "-0.0" not in found, found
    found = subprocess.run([PROGRAM, "attribute", "--model", "linear,position", "--paths", "--format", "csv", "-"], input=text, capture_output=True, text=True)
    rows = [r for r in csv.DictReader(io.StringIO(found.stdout)) if r["path"] == "A > B > C"]
    assert [(r["credited_conversions"], r["credited_value"]) for r in rows[:3]] == [("1.0", "3.0")] * 3, rows
    assert abs(sum(float(r["credited_conversions"]) for r in rows[3:]) - 3) < 1e-12 and abs(float(rows[3]["credited_conversions"]) - 1.2) < 1e-12, rows


def packed():
    """gzip, of one member or several, from a file or standard input; what is no text is named."""
    plain = PATHS + "".join(f"A > c{i % 97} > B,1,{i},0\n" for i in range(60000))
    wanted, _ = run("--model", "linear,markov", text=plain)
    half = len(plain) // 2
    for data in (gzip.compress(plain.encode()), gzip.compress(plain[:half].encode()) + gzip.compress(plain[half:].encode())):
        assert run("--model", "linear,markov", text=data)[0] == wanted
        with Workspace() as space:
            file = space.path / "paths.csv.gz"
            file.write_bytes(data)
            out = subprocess.run([PROGRAM, "attribute", "--format", "csv", "--model", "linear,markov", file], capture_output=True, check=True).stdout
            assert len(out.splitlines()) == len(wanted) + 1
        assert "cut short" in run("--model", "linear", text=data[:-5], code=2)[1]
        broken = bytearray(data)
        broken[200] ^= 0xff
        assert "gzip" in run("--model", "linear", text=bytes(broken), code=2)[1]
    for data, reason in ((PATHS.encode("utf-16"), "UTF-16"), (b"PK\3\4" + b"x" * 99, "ZIP"), (b"\x28\xb5\x2f\xfd..", "zstd"), (b"PAR1....", "Parquet")):
        assert reason in run("--model", "linear", text=data, code=2)[1], data


def transforms():
    """Of touches: which of them stays tells its time, and milestones stay."""
    text = "customer_id,time,channel,interaction,conversion\n1,2026-01-01,A,,0\n1,2026-01-08,A,form,0\n1,2026-01-08,B,,0\n1,2026-01-15,Direct,,0\n1,2026-01-15,Direct,,1\n"
    for transform, decay in (("none", (.75, .5, 2)), ("exposure", (.5, .5, 1)), ("unique", (.5, .5, 1)), ("first", (.25, .5, 1))):
        rows, _ = run("--model", "time_decay", "--transform", transform, text=text)
        for channel, weight in zip(("A", "B", "Direct"), decay):
            assert abs(float(rows[channel, "time_decay"]["credited_conversions"]) - weight / sum(decay)) < 1e-12, (transform, rows)
    rows, _ = run("--model", "last_non_direct,w_shape", "--transform", "frequency", "--lead", "form", text=text)
    assert float(rows["B(1)", "last_non_direct"]["credited_conversions"]) == 1 and ("Direct(2)", "w_shape") in rows and ("A(2)", "w_shape") in rows
    assert abs(float(rows["A(2)", "w_shape"]["credited_conversions"]) - .6 / .7) < 1e-12, rows  # first and lead; the others share a tenth
    paths = PATHS + "A > A > B > A,3,9,1\nB,1,0,1\n"
    out = subprocess.run([PROGRAM, "attribute", "--paths", "--model", "last_non_direct", "--direct", "A", "--transform", "frequency", "--format", "csv", "-"],
                         input=paths.encode(), capture_output=True, check=True).stdout.decode()
    assert "A(3) > B(1),2,B(1),last_non_direct,1.000000000,3.0,9.0" in out, out
    out = subprocess.run([PROGRAM, "attribute", "--transitions", "--loops", "--transform", "exposure", "--format", "csv", "-"],
                         input=paths.encode(), capture_output=True, check=True).stdout.decode()
    assert "A,A," not in out and "A,B,0.5" in out, out
    for arguments, reason in ((["--transform", "uniqe"], 'did you mean "unique"'), (["--loops"], "--transitions"), (["--value", "none"], "unknown")):
        assert reason in run(*arguments, text=paths, code=2)[1]


def misspelled():
    """What a file may lack is not passed over where it is nearly spelled."""
    for header, row, near in (("path,total_conversions,total_conversion_vaule", "A,1,2", "total_conversion_value"),
                              ("path,total_conversions,total_nul", "A,1,2", "total_null"),
                              ("customer_id,time,channel,converson", "1,2026-01-01,A,1", "conversion"),
                              ("customer_id,time,channel,conversion,conversion_valu", "1,2026-01-01,A,1,2", "conversion_value")):
        _, said = run("--model", "first", text=f"{header}\n{row}\n", code=2)
        assert f'did you mean "{near}"?' in said, said
    for near in ("tme", "timestmp", "event_tme", "ocurred_at"):
        assert f'no column "time" for time (did you mean "{near}"?)' in run("--model", "first", text=f"customer_id,{near},channel\n1,1,A\n", code=2)[1]
    rows, _ = run("--model", "first", text="customer_id,time,channel,conversion,conversion_id,conversion_rate\n1,2026-01-01,A,1,2,3\n")
    assert float(rows["A", "first"]["credited_conversions"]) == 1


def unread():
    """Conversions, values and nulls under names that nobody knows are not left out in silence; yen are not added to dollars."""
    for header, row in (("path,conv_total,total_null", "A,3,1"), ("path,total_null", "A,1"), ("path,sum_of_orders", "A,3")):
        assert 'no column "total_conversions"' in run("--model", "first", text=f"{header}\n{row}\n", code=2)[1], header
    assert 'no column "conversion"' in run("--model", "first", text="user_id,timestamp,channel,revenue\n1,2026-01-01,A,5\n", code=2)[1]
    assert 'not read: "conv_value" "dropped"' in run("--model", "first", text="path,total_conversions,conv_value,dropped\nA,3,7,5\n")[1]
    assert float(run("--model", "first", text="path\nA\nA > B\n")[0]["A", "first"]["credited_conversions"]) == 2
    rows, said = run("--model", "first", text="path,conversions,value,nulls,currency\nA,1,5,0,JPY\nB,0,0,3,\nA,1,4,0,USD\n", code=6)
    assert float(rows["A", "first"]["credited_value"]) == 5 and '-:4: bad_value: currency "USD" beside "JPY"' in said, said


def main():
    headers()
    unread()
    misspelled()
    ranks()
    times()
    models()
    once()
    events()
    names()
    orders()
    separators()
    text()
    exact()
    idle()
    states()
    shown()
    packed()
    transforms()
    print("attribute, input: read")


if __name__ == "__main__":
    main()
