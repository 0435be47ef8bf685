#!/usr/bin/env python3
"""Rules of [model NAME], milestones, resets and refunds: credits of the pipeline equal those of `tabiji attribute` on the exported
touches, whatever the order of events; every model stands in the views and sums to the net revenue; settings that change are refused."""
import collections
import csv
import datetime
import io
import json
import random
import sqlite3
import subprocess

import model_check
from harness import PROGRAM, ROOT, Workspace, same, tabiji

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
DAY = 86_400_000_000
CONFIG = """
[journey]
lead_types = signed_up, product_added
opportunity_types = store_visited, call_started
[attribution]
models = markov, shapley, shapley_ordered, full_path
[model recent]
kind = time_decay
half_life_days = 2
lookback_days = 30
journey = reset
[model ends]
kind = custom
weights = 45:10:45
[model w_shape]
kind = w_shape
[model part]
kind = participation
[model shop-linear]
kind = linear
conversion_types = store_purchase
[model fresh]
kind = markov
order = 2
journey = reset
lookback_days = 14
conversion_types = order_completed
"""
RULES = {"recent": ["time_decay", "--half-life", "2"], "ends": ["custom", "--weights", "45:10:45"], "w_shape": ["w_shape"],
         "full_path": ["full_path"], "part": ["participation"], "shop-linear": ["linear"]}
SOLVED = ["markov", "shapley", "shapley_ordered", "fresh"]
ALWAYS = ["first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"]


def run(*arguments, code=0, text=None):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=text)
    assert found.returncode == code, (arguments, found.returncode, found.stdout[-500:], found.stderr[-2000:])
    return found


def connect(data):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    return db


def journeys(db):
    """Conversions with their net revenue, and their touches with times and what was reached through them."""
    found = {}
    for row in db.execute("SELECT c.*, p.lead_index, p.opportunity_index FROM conversion AS c JOIN path AS p ON p.person = c.person "
                          "AND p.path_key = c.conversion_id AND p.kind = 'converting' WHERE c.kind = 'conversion'"):
        found[row["person"], row["conversion_id"]] = {**dict(row), "touches": [], "net": row["revenue_minor"]}
    for person, of, minor in db.execute("SELECT person, refund_of, revenue_minor FROM conversion WHERE kind = 'refund'"):
        found[person, of]["net"] += minor
    for person, name, index, channel, at in db.execute(
            "SELECT a.person, a.conversion_id, a.touch_index, a.channel, t.touched_at FROM attribution_credit AS a JOIN touch AS t "
            "ON t.event_key = a.touch_event_key WHERE a.model = 'linear' ORDER BY a.person, a.conversion_id, a.touch_index"):
        if (person, name) in found:
            assert len(found[person, name]["touches"]) == index
            found[person, name]["touches"].append((at, channel))
    return list(found.values())


def seen_by(model, sale):
    """The touches that the model sees of a conversion, or None."""
    if model == "shop-linear" and sale["type"] != "store_purchase" or model == "fresh" and sale["type"] != "order_completed":
        return None
    days = {"recent": 30, "fresh": 14}.get(model)
    begin = sale["reset_from"] if days else 0
    return [(i, at, channel) for i, (at, channel) in enumerate(sale["touches"])
            if i >= begin and (not days or sale["occurred_at"] - at <= days * DAY)]


def instant(micros):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (epoch + datetime.timedelta(microseconds=micros)).isoformat(timespec="microseconds")


def exported(model, sales):
    """Rows of touches; each conversion is a customer of its own, of whom all that the model sees is told."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["customer_id", "time", "interaction", "conversion", "conversion_value", "channel"])
    for number, sale in enumerate(sales):
        touches = seen_by(model, sale)
        for i, at, channel in touches or []:
            kind = "lead" if i == sale["lead_index"] else "opportunity" if i == sale["opportunity_index"] else "touch"
            writer.writerow([number, instant(at), kind, 0, 0, channel])
        if touches is not None:
            writer.writerow([number, instant(sale["occurred_at"]), "sale", 1, sale["net"], ""])
    return out.getvalue()


def same_as_file(db):
    """The pipeline credits in whole parts and units of each touch; the file's figures are sums of fractions."""
    compared = 0
    both = lambda s: s["lead_index"] is not None and s["lead_index"] == s["opportunity_index"]
    sales = journeys(db)
    for model, flags in RULES.items():
        own = [s for s in sales if not (model in ("w_shape", "full_path") and both(s))]  # a row of a file has one type
        out = run("attribute", "--format", "csv", "--lookback", "none", "--lead", "lead", "--opportunity", "opportunity", "--model", *flags,
                  "-", text=exported(model, own)).stdout
        wanted = {r["channel"]: (float(r["credited_conversions"]), float(r["credited_value"])) for r in csv.DictReader(io.StringIO(out))}
        names = {(s["person"], s["conversion_id"]) for s in own}
        found, rows = collections.defaultdict(lambda: [0, 0]), collections.Counter()
        for person, name, channel, ppb, minor in db.execute(
                "SELECT a.person, coalesce(c.refund_of, c.conversion_id), a.channel, a.weight_ppb, a.credited_revenue_minor "
                "FROM attribution_credit AS a JOIN conversion AS c USING (person, conversion_id) WHERE a.model = ?", (model,)):
            if (person, name) in names:
                found[channel][0] += ppb / 1e9
                found[channel][1] += minor
                rows[channel] += 1
        assert {c for c, (n, _) in wanted.items() if n} == set(found), (model, set(wanted) ^ set(found))
        for channel, (conversions, minor) in found.items():
            assert abs(conversions - wanted[channel][0]) < 1e-8 * (rows[channel] + 1), (model, channel, conversions, wanted[channel])
            assert abs(minor - wanted[channel][1]) <= rows[channel] + 1e-6, (model, channel, minor, wanted[channel])
            compared += 1
        assert model not in ("w_shape", "full_path") or any(s["lead_index"] or s["opportunity_index"] for s in own)
    print(f"{compared} figures of {len(RULES)} rules equal those of tabiji attribute on {len(sales)} exported conversions")


EXPORTED = {"recent": ["time_decay", "--half-life", "2"], "ends": ["custom", "--weights", "45:10:45"], "w_shape": ["w_shape"],
            "full_path": ["full_path"], "part": ["participation"], "shop-linear": ["linear"], "markov": ["markov"], "shapley": ["shapley"],
            "shapley_ordered": ["shapley_ordered"], "fresh": ["markov", "--order", "2"], "time_decay": ["time_decay"], "first": ["first"]}


def same_as_exported(db, view, model, flags):
    """Returns how many figures were compared, and touches that are milestones."""
    lines, compared = model_check.view(db, view, "JPY", *([model] if "model" in view else [])), 0
    wanted = {row["channel"]: row for row in model_check.run(lines, "--lookback", "none", "--model", *flags)}
    for row in db.execute("SELECT channel, credited_conversions, credited_revenue FROM v_model_comparison_long WHERE model = ? AND "
                          "currency = 'JPY'", (model,)):
        theirs = wanted.pop(row["channel"])
        for ours, column in zip(tuple(row)[1:], model_check.COLUMNS):
            other = float(theirs[column])
            assert abs(ours - other) <= 1e-12 * max(1.0, abs(other)), (model, row["channel"], column, ours, other)
            compared += 1
    assert not any(float(row["credited_conversions"]) for row in wanted.values()), (model, wanted)
    rows = list(csv.DictReader(io.StringIO(lines)))
    return compared, sum(row["is_lead"] == "1" for row in rows), sum(row["is_opportunity"] == "1" for row in rows)


def as_exported(db):
    """Every model that the pipeline holds, with milestones, windows, resets and types, has the figures that `tabiji attribute` gives to the
    touches that the view exports of it; those that see all, to the touches of all."""
    for model, flags in EXPORTED.items():
        for view in ("v_export_model_touches",) if model in ("recent", "shop-linear", "fresh") else ("v_export_model_touches", "v_export_touches"):
            figures, leads, opportunities = same_as_exported(db, view, model, flags)
            assert figures > 10 and leads > 10 and opportunities > 10, (model, figures, leads, opportunities)


def window_behind_a_milestone(space):
    """Of the touches in a window another is the first through which a lead was reached."""
    config, data = space.path / "late.ini", space.path / "late"
    config.write_text("[journey]\nlead_types = product_viewed\nopportunity_types = page_viewed\n[attribution]\nmodels =\n"
                      "[model late]\nkind = full_path\nlookback_days = 2\njourney = reset\n")
    run("import", "--data", data, "--config", config, "--mapping", MAPPING, space.path / "once.ndjson")
    db = connect(data)
    figures, leads, opportunities = same_as_exported(db, "v_export_model_touches", "late", ["full_path"])
    missed = db.execute("SELECT count(*) FROM path AS p JOIN conversion AS c ON c.person = p.person AND c.conversion_id = p.path_key "
                        "WHERE p.lead_index < c.reset_from AND replace(substr(p.milestones, c.reset_from + 1), 'B', 'L') LIKE '%L%'").fetchone()[0]
    assert figures > 10 and leads > 10 and opportunities > 10 and missed > 10, (figures, leads, opportunities, missed)
    db.close()


def solved_as_file(db):
    """A solved model with a window and a reset of its own: counts are those of the paths that it sees."""
    model = {"name": "fresh", "kind": "markov", "order": 2, "ignore": 0}
    paths = collections.Counter()
    value = collections.Counter()
    for sale in journeys(db):
        touches = seen_by("fresh", sale)
        if touches is not None:
            path = " > ".join(channel for _, _, channel in touches)
            paths[path, 1] += 1
            value[path] += sale["net"]
    for channels, in db.execute("SELECT channels FROM path WHERE kind = 'open'"):
        paths[channels, 0] += 1
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["path", "total_conversions", "total_conversion_value", "total_null"])
    for (path, converts), count in paths.items():
        writer.writerow([path, count, value[path], 0] if converts else [path, 0, 0, count])
    wanted = model_check.attribute(out.getvalue(), model)
    rows = db.execute("SELECT * FROM v_model_channel WHERE model = 'fresh'").fetchall()
    assert len(rows) > 5
    for row in rows:
        for column in model_check.COLUMNS:
            other = wanted[row["channel"]][column]
            assert (row[column] is None) == (other == ""), (row["channel"], column)
            assert not other or abs(row[column] - float(other)) <= 1e-12 * max(1.0, abs(float(other))), (row["channel"], column, row[column], other)


def side_by_side(db):
    """Every model has its columns, described in both languages; each that sums reconciles to the last unit, also by touch."""
    names = ALWAYS + SOLVED + list(RULES)
    net = db.execute("SELECT sum(revenue_minor) FROM conversion").fetchone()[0]
    of_type = {t: db.execute("SELECT sum(c.revenue_minor) FROM conversion AS c LEFT JOIN conversion AS o ON o.person = c.person AND "
                             "o.conversion_id = c.refund_of WHERE coalesce(o.type, c.type) = ?", (t,)).fetchone()[0]
               for t in ("store_purchase", "order_completed")}
    wanted = {name: net for name in names} | {"shop-linear": of_type["store_purchase"], "fresh": of_type["order_completed"]}
    long = dict(db.execute("SELECT model, sum(credited_revenue_minor) FROM v_model_comparison_long WHERE sums GROUP BY 1").fetchall())
    assert {m: v for m, v in wanted.items() if m != "part"} == long, (wanted, long)
    columns = [row["name"] for row in db.execute("SELECT name FROM pragma_table_info('v_model_comparison')")]
    assert len(columns) == len(set(columns)) and {f"{m}_{what}" for m in names for what in ("conversions", "revenue", "revenue_minor")} <= set(columns), columns
    undescribed = db.execute("SELECT name FROM pragma_table_info('v_model_comparison') EXCEPT SELECT column_name FROM data_dictionary "
                             "WHERE table_name = 'v_model_comparison' AND length(description_en) > 3 AND length(description_ja) > 3").fetchall()
    assert not undescribed, undescribed
    row = db.execute('SELECT sum("shop-linear_revenue"), sum(fresh_revenue), sum(w_shape_revenue), sum(shapley_ordered_revenue) '
                     "FROM v_model_comparison").fetchone()
    for found, model in zip(row, ("shop-linear", "fresh", "w_shape", "shapley_ordered")):
        assert abs(found - wanted[model]) < 1e-6 * net, (model, found, wanted[model])
    by_touch = dict(db.execute("SELECT model, sum(credited_revenue_minor) FROM model_credit GROUP BY 1").fetchall())
    assert by_touch == {m: wanted[m] for m in SOLVED}, by_touch
    versions = db.execute("SELECT count(*) FROM (SELECT model, model_version, run_id FROM model_credit EXCEPT SELECT model, model_version, run_id "
                          "FROM v_model_channel)").fetchone()[0]
    assert versions == 0, "credits of touches are of the run that v_model_channel shows"
    assert [r["model"] for r in db.execute("SELECT model FROM model ORDER BY place")][8:] == [
        "markov", "shapley", "shapley_ordered", "full_path", "recent", "ends", "w_shape", "part", "shop-linear", "fresh"]


def known_by_name(data, db):
    """attribute --data and explain credit know all of them, without the configuration."""
    out = run("attribute", "--data", data, "--format", "csv", "--model", "recent,w_shape,fresh,part").stdout
    found = {(r["model"], r["channel"]): float(r["credited_value"]) for r in csv.DictReader(io.StringIO(out))}
    kept = {(m, c): v for m, c, v in db.execute("SELECT model, channel, credited_revenue FROM v_model_comparison_long "
                                                "WHERE model IN ('recent', 'w_shape', 'fresh', 'part')")}
    assert found == kept
    # A model by milestones of other journeys, as the path table has them.
    shown = {r["channel"]: float(r["credited_conversions"]) for r in csv.DictReader(io.StringIO(
        run("attribute", "--data", data, "--format", "csv", "--model", "w_shape,custom", "--weights", "1:0:1").stdout)) if r["model"] == "w_shape"}
    own = dict(db.execute("SELECT channel, credited_conversions FROM v_channel_attribution WHERE model = 'w_shape'").fetchall())
    assert shown.keys() == own.keys() and all(abs(shown[c] - own[c]) < 1e-12 * max(1, own[c]) for c in own), (shown, own)
    name, lead = db.execute("SELECT path_key, lead_index FROM path WHERE lead_index > 0 AND touches > lead_index + 1 AND opportunity_index IS NOT "
                            "lead_index AND currency IS NOT NULL LIMIT 1").fetchone()
    shares = json.loads(run("explain", "credit", name, "--data", data, "--json").stdout)
    kinds = {r["conversion_id"]: r["kind"] for r in shares}
    sale = [r for r in shares if r["kind"] == "conversion"]
    assert set(ALWAYS + ["markov", "shapley", "shapley_ordered", "w_shape", "full_path", "ends", "part", "recent"]) <= {r["model"] for r in sale}
    assert [r["touch_index"] for r in sale if r["milestone"] == "lead" and r["model"] == "linear"] == [lead], (kinds, lead)
    share = {r["touch_index"]: float(r["weight"]) for r in sale if r["model"] == "w_shape"}
    assert share[lead] >= .3 and abs(sum(share.values()) - 1) < 1e-9, share
    text = run("explain", "credit", name, "--data", data).stdout
    assert "reached" in text and "shapley_ordered" in text and "ends" in text, text


def changed(data, config, fewer):
    """Milestones and rules are settings like others: refused until a replay, after which their columns have gone."""
    events = json.dumps({"id": "late", "type": "page_viewed", "time": "2026-11-20T10:00:00+09:00", "ids": {"cookie": "c-late"}})
    other = config.read_text().replace("lead_types = signed_up, product_added", "lead_types = signed_up").replace("45:10:45", "40:20:40")
    fewer.write_text(other[:other.index("[model part]")])
    said = run("import", "--data", data, "--config", fewer, "--mapping", MAPPING, "-", code=2, text=events).stderr
    assert "leads are signed_up\n" in said and "model ends: custom of weights 40:20:40" in said and "replay --from timelines" in said, said
    run("replay", "--from", "timelines", "--data", data, "--config", fewer)
    db = connect(data)
    columns = {row["name"] for row in db.execute("SELECT name FROM pragma_table_info('v_model_comparison')")}
    assert "shop-linear_revenue" not in columns and "ends_revenue" in columns
    assert not db.execute("SELECT 1 FROM attribution_credit WHERE model IN ('part', 'shop-linear')").fetchall()
    assert {m for m, in db.execute("SELECT DISTINCT model FROM model_credit")} == {"markov", "shapley", "shapley_ordered"}
    db.close()
    run("replay", "--from", "timelines", "--data", data, "--config", config)


def order(number, kind, name, minute, **more):
    return {"id": f"r-{number}", "type": kind, "time": f"2026-11-20T10:{minute:02}:00+09:00", "ids": {"cookie": "c-refund"},
            "order": {"order_id": name, "currency": "JPY", **more}}


REFUNDS = [{"id": "r-0", "type": "message_clicked", "time": "2026-11-20T09:00:00+09:00", "ids": {"cookie": "c-refund"}, "message": {"kind": "line"}},
           {"id": "r-1", "type": "message_clicked", "time": "2026-11-20T09:30:00+09:00", "ids": {"cookie": "c-refund"}, "message": {"kind": "email"}},
           {"id": "r-2", "type": "qr_scanned", "time": "2026-11-20T09:40:00+09:00", "ids": {"cookie": "c-refund"}, "message": {"kind": "email"}},
           order(3, "order_completed", "W-1", 0, revenue="1001"), order(4, "order_refunded", "W-1", 1, revenue="334"),
           order(5, "order_refunded", "W-2", 2, revenue="7"), order(6, "order_completed", "W-2", 3, revenue="500"),
           order(7, "order_completed", "W-3", 4, revenue="99"), order(8, "order_cancelled", "W-3", 5)]


def refunds(space, config):
    """Partial, before its order, whole: every model credits what is left, in each order of arrival and step by step; nothing left is 0."""
    rng = random.Random(3)
    totals = []
    for turn, events in enumerate((REFUNDS, REFUNDS[::-1], rng.sample(REFUNDS, len(REFUNDS)))):
        data = space.path / f"refunds-{turn}"
        for part in (events[:5], events[5:] + events[:2]):
            run("import", "--data", data, "--config", config, "--mapping", MAPPING, "-", text="\n".join(map(json.dumps, part)))
            db = connect(data)
            net = db.execute("SELECT coalesce(sum(revenue_minor), 0) FROM conversion").fetchone()[0]
            sums = dict(db.execute("SELECT model, sum(credited_revenue_minor) FROM v_model_comparison_long WHERE sums GROUP BY 1").fetchall())
            sums.pop("shop-linear", None)
            assert set(sums.values()) <= {net}, (turn, net, sums)
            db.close()
        assert net == 1001 - 334 + 500 - 7, net
        totals.append(tabiji("state", "dump", "--data", data))
        same(f"refunds, order {turn}", totals[-1], totals[0])
    data = space.path / "nothing"
    run("import", "--data", data, "--config", config, "--mapping", MAPPING, "-", text="\n".join(map(json.dumps, REFUNDS[:3] + REFUNDS[7:])))
    db = connect(data)
    left = db.execute("SELECT model, sum(abs(credited_value)), sum(credited_conversions) FROM v_model_channel GROUP BY 1").fetchall()
    assert {m for m, *_ in left} == set(SOLVED) and all(value == 0 and abs(n - 1) < 1e-9 for _, value, n in left), list(map(tuple, left))
    db.close()


def main():
    with Workspace() as space:
        config, fewer = space.path / "rules.ini", space.path / "fewer.ini"
        config.write_text(CONFIG)
        lines = tabiji("generate", "--events", 6000, "--seed", 9).splitlines()
        (space.path / "once.ndjson").write_text("\n".join(lines) + "\n")
        random.Random(5).shuffle(lines)
        data, rough = space.path / "once", space.path / "rough"
        run("import", "--data", data, "--config", config, "--mapping", MAPPING, space.path / "once.ndjson")
        for part in range(3):
            run("import", "--data", rough, "--config", config, "--mapping", MAPPING, "--set", "worker.batch_records=300", "-",
                text="\n".join(lines[part::3] + lines[:200]) + "\n")
        for table in ("attribution_credit", "conversion", "path", "model_transition"):
            same(f"{table}: shuffled, in parts", tabiji("state", "dump", "--data", rough, table), tabiji("state", "dump", "--data", data, table))
        db = connect(data)
        same_as_file(db)
        as_exported(db)
        solved_as_file(db)
        side_by_side(db)
        known_by_name(data, db)
        db.close()
        wanted = tabiji("state", "dump", "--data", data)
        changed(data, config, fewer)
        same("there and back", tabiji("state", "dump", "--data", data), wanted)
        side_by_side(connect(data))
        refunds(space, config)
        window_behind_a_milestone(space)


if __name__ == "__main__":
    main()
