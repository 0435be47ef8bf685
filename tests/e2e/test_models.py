#!/usr/bin/env python3
"""Algorithmic models beside the stream: counts equal those from scratch over the final paths, solutions those of `tabiji attribute` on
the exported paths; by schedule and on demand; after merges, refunds, erasures and kills; and after their configuration changed."""
import csv
import io
import json
import random
import signal
import subprocess
import time

import model_check
from harness import PROGRAM, ROOT, SHARED, Workspace, free_port, same, stop, tabiji, wait_until
from test_http import post, ready, rows

MAPPING = ROOT / "deploy" / "mappings" / "native.ini"
MODELS = [
    {"name": "markov", "kind": "markov", "order": 1, "ignore": 0, "types": []},
    {"name": "second", "kind": "markov", "order": 2, "ignore": 0, "types": []},
    {"name": "bold", "kind": "markov", "order": 3, "ignore": 1, "types": []},
    {"name": "store", "kind": "markov", "order": 1, "ignore": 0, "types": ["store_purchase"]},
    {"name": "shapley", "kind": "shapley", "order": 1, "ignore": 0, "types": []},
    {"name": "web", "kind": "shapley_ordered", "order": 1, "ignore": 0, "types": ["order_completed"]},
    {"name": "rate", "kind": "shapley_rate", "order": 1, "ignore": 0, "types": []},
    {"name": "own", "kind": "shapley_paths", "order": 1, "ignore": 0, "types": []},
    {"name": "own_ordered", "kind": "shapley_paths_ordered", "order": 1, "ignore": 0, "types": []},
    {"name": "shao", "kind": "shao_li", "order": 1, "ignore": 0, "types": []},
]
for model in MODELS:
    model["lookback_h"] = model["reset"] = 0


def configuration(models):
    lines = ["[attribution]", "models ="]
    for model in models:
        lines += [f"[model {model['name']}]", f"kind = {model['kind']}"]
        if model["kind"] == "markov":
            lines += [f"order = {model['order']}", f"null = {'ignore' if model['ignore'] else 'use'}"]
        if model["types"]:
            lines.append(f"conversion_types = {', '.join(model['types'])}")
    return "\n".join(lines) + "\n"


def run(*arguments, code=0, text=None):
    found = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=text)
    assert found.returncode == code, (arguments, found.returncode, found.stdout[-500:], found.stderr[-2000:])
    return found


def dump(data, *arguments):
    return tabiji("state", "dump", "--data", data, *arguments)


def runs(data):
    return rows(data, "SELECT count(DISTINCT run_id), coalesce(max(run_id), 0), count(*) FROM model_channel")[0]


def histories(space, config):
    """The same events in another order, twice, in parts, killed: the same counts, and those of the final paths."""
    lines = tabiji("generate", "--events", 6000, "--seed", 9).splitlines()
    events = space.path / "events.ndjson"
    events.write_text("\n".join(lines) + "\n")
    once = space.path / "once"
    run("import", "--data", once, "--config", config, "--mapping", MAPPING, events)
    counts, figures = model_check.check(once, MODELS)
    refunds = rows(once, "SELECT count(*) FROM conversion WHERE kind = 'refund'")[0][0]
    assert counts > 300 and figures > 400 and refunds > 20, (counts, figures, refunds)
    returns(once)
    print(f"{counts} counts and {figures} figures of {len(MODELS)} models compared")
    rough, rng = space.path / "rough", random.Random(4)
    shuffled = lines + rng.sample(lines, 2000)
    rng.shuffle(shuffled)
    for part in range(4):
        piece = space.path / f"part-{part}.ndjson"
        piece.write_text("\n".join(shuffled[part::4]) + "\n")
        arguments = ["import", "--data", rough, "--config", config, "--mapping", MAPPING, "--set", "worker.batch_records=200", piece]
        process = space.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.random() / 4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run(*arguments)
    model_check.check(rough, MODELS)
    for table in ("model_transition", "path"):
        same(f"{table}: shuffled, a third twice, in parts, killed", dump(rough, table), dump(once, table))
    return once


def returns(data):
    """v_roas gives each channel what its model gives it, rules and solved ones, in whole units exactly; so all channels have the revenue."""
    columns = "model, channel, currency, sum(credited_revenue_minor), sum(credited_conversions)"
    found = {r[:3]: r[3:] for r in rows(data, f"SELECT {columns} FROM v_roas GROUP BY 1, 2, 3")}
    wanted = {r[:3]: r[3:] for r in rows(data, f"SELECT {columns} FROM v_model_comparison_long GROUP BY 1, 2, 3")}
    fitted = {r[:3]: r[3] for r in rows(data, "SELECT model, channel, currency, sum(credited_revenue_minor) FROM model_credit GROUP BY 1, 2, 3")}
    assert found.keys() == wanted.keys() and len({m for m, _, _ in found}) == 8 + len(MODELS), found.keys() ^ wanted.keys()
    for key, (minor, conversions) in wanted.items():
        assert found[key][0] == minor and abs(found[key][1] - conversions) < 1e-9 * max(1, conversions), (key, found[key], minor, conversions)
    assert len({r[1] for r in found}) > 5 and len(rows(data, "SELECT DISTINCT period FROM v_roas")) > 0
    assert any(fitted.get(key, minor) != minor for key, (minor, _) in wanted.items()), "credits of touches alone would do"


def erased(data, config):
    """A person's paths go from the counts."""
    login, paths = rows(data, "SELECT i.value, count(*) FROM identifier AS i JOIN path AS p USING (person) WHERE i.namespace = 'login' "
                              "GROUP BY 1 ORDER BY 2 DESC LIMIT 1")[0]
    before = dump(data, "model_transition")
    run("erase", "--data", data, "--config", config, "--confirm", f"login:{login}")
    assert paths > 1 and dump(data, "model_transition") != before
    model_check.check(data, MODELS)


def on_demand(data, config):
    """--save solves what was counted, again, and prints what it keeps."""
    before = runs(data)
    out = run("attribute", "--data", data, "--config", config, "--save", "--format", "csv").stdout
    printed = {(r["model"], r["channel"]): float(r["credited_conversions"]) for r in csv.DictReader(io.StringIO(out))}
    kept = {(m, c): n for m, c, n in rows(data, "SELECT model, channel, credited_conversions FROM v_model_channel")}
    assert printed == kept and {m for m, _ in kept} == {m["name"] for m in MODELS}
    assert runs(data)[:2] == (before[0] + 1, before[1] + 1)
    assert len(rows(data, "SELECT DISTINCT model_version FROM v_model_channel")) == len(MODELS)
    assert "--order goes with --model" in run("attribute", "--data", data, "--save", "--order", "2", code=2).stderr
    own_names(data)
    for channel, markov, shapley in rows(data, "SELECT channel, markov_conversions, shapley_conversions FROM v_model_comparison"):
        assert markov == kept["markov", channel] and shapley == kept.get(("shapley", channel)), (channel, markov, shapley)


def figures(data, table="v_model_channel", where="1"):
    return rows(data, f"SELECT model, currency, channel, credited_conversions, credited_value, model_version FROM {table} WHERE {where} ORDER BY 1, 2, 3")


def own_names(data):
    """A run with parameters of its own stands beside the configured model, under a name that tells them; by its name a model is what is
    configured."""
    before = figures(data)
    out = run("attribute", "--data", data, "--save", "--format", "csv", "--model", "markov,shapley", "--order", "3").stdout
    assert {r["model"] for r in csv.DictReader(io.StringIO(out))} == {"markov:order=3", "shapley"}
    names = {m["name"] for m in MODELS}
    assert figures(data, where="model_version <> ''") == before and {r[0] for r in figures(data)} == names | {"markov:order=3"}
    assert {r[0] for r in rows(data, "SELECT DISTINCT model FROM model_credit")} == names | {"markov:order=3"}
    run("attribute", "--data", data, "--save", "--model", "bold,second,markov")
    assert figures(data, where="model_version <> ''") == before
    shown = {(r["model"], r["channel"]): r for r in csv.DictReader(io.StringIO(
        run("attribute", "--data", data, "--format", "csv", "--model", "bold").stdout))}
    for model, _, channel, conversions, value, _ in before:
        if model == "bold":
            row = shown.pop((model, channel))
            assert (float(row["credited_conversions"]), float(row["credited_value"])) == (conversions, value), row
    assert not shown, shown
    said = run("attribute", "--data", data, "--model", "bald", code=2).stderr
    assert 'did you mean "bold"?' in said, said
    third = "SELECT DISTINCT model, sums FROM v_model_comparison_long WHERE model LIKE 'markov%'"
    assert sorted(rows(data, third)) == [("markov", 1), ("markov:order=3", 1)]


def changed(space, data, config):
    """Another configuration is refused until tabiji replay, which may be killed; half made anew it fits no settings."""
    fewer = space.path / "fewer.ini"
    models = [dict(MODELS[1], order=4), MODELS[4], dict(MODELS[2], name="new")]
    fewer.write_text(configuration(models))
    events = space.path / "events.ndjson"
    fresh = space.path / "fresh"
    run("import", "--data", fresh, "--config", fewer, "--mapping", MAPPING, events)
    wanted = dump(fresh)
    said = run("import", "--data", data, "--config", fewer, "--mapping", MAPPING, events, code=2).stderr
    assert "is:  model second: markov of order 4, null use" in said and "replay --from timelines" in said, said
    changes = [tuple(line.split(":  " if i % 2 else ": ", 1)[1].split(":")[0] for i, line in enumerate(pair)) for pair in zip(*[iter(
        line for line in said.splitlines() if line.startswith(("  was: ", "  is:  ")))] * 2)]
    assert {pair for pair in changes} == {("model second",) * 2, ("(nothing)", "model new")} | {
        (f"model {m['name']}", "(nothing)") for m in MODELS if m["name"] not in ("second", "shapley")}, changes
    for arguments in (["--save"], ["--model", "second"]):
        said = run("attribute", "--data", data, "--config", fewer, *arguments, code=2).stderr
        assert "other models than the configuration: second" in said and "replay --from timelines" in said, said
    kills = 0
    for moment in (0.02, 0.05, 0.1, 0.15, 0.2):
        process = space.start("replay", "--from", "timelines", "--data", data, "--config", fewer, stdout=subprocess.DEVNULL)
        time.sleep(moment)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills, "each kill came too late"
    run("replay", "--from", "timelines", "--data", data, "--config", fewer)
    same(f"counts after another configuration, killed {kills} times", dump(data), wanted)
    model_check.check(data, models)
    assert {m for m, in rows(data, "SELECT DISTINCT model FROM v_model_channel")} == {m["name"] for m in models}, "old models have gone"
    run("replay", "--from", "timelines", "--data", data, "--config", config)
    model_check.check(data, MODELS)


def by_schedule(space):
    """`tabiji run` solves when it comes to rest (intervals: tests/unit/sinks/test_runner.c), where counts have changed; 0 s: never. Views say
    of which data."""
    data, port = space.path / "live", free_port()
    start = ["run", "--data", data, "--set", f"collector.listen=127.0.0.1:{port}", "--set", "collector.open_source=dev"]
    process = space.start(*start, "--set", "attribution.solve_rest=500 ms")
    wait_until(lambda: ready(port), "the collector")

    def sell(number):
        ids = {"cookie": f"c-{number}"}
        page = {"url": "https://shop.example.jp/?utm_source=line&utm_medium=social"}
        order = {"order_id": f"W-{number}", "revenue": "1200", "currency": "JPY"}
        post(port, "/v1/events", [
            {"id": f"v-{number}", "type": "page_viewed", "time": "2026-11-20T10:00:00+09:00", "ids": ids, "page": page},
            {"id": f"o-{number}", "type": "order_completed", "time": "2026-11-20T10:05:00+09:00", "ids": ids, "order": order}])

    def behind():
        """Events that solved models do not know, in all views that show them, and the time of the last that they know."""
        long = rows(data, "SELECT DISTINCT events_since, solved_until_jst FROM v_model_comparison_long WHERE model IN ('markov', 'shapley')")
        wide = rows(data, "SELECT DISTINCT events_since, solved_until_jst FROM v_model_comparison")
        assert long == wide == rows(data, "SELECT DISTINCT events_since, solved_until_jst FROM v_model_channel") and len(long) == 1, (long, wide)
        return long[0]

    def sold(count):
        found = rows(data, "SELECT sum(credited_conversions) FROM v_model_channel WHERE model = 'markov'")
        return found and found[0][0] is not None and abs(found[0][0] - count) < 1e-9

    sell(1)
    wait_until(lambda: sold(1), "a first run")
    for number in range(2, 5):
        sell(number)
    wait_until(lambda: sold(4), "a later run")
    seen = runs(data)
    assert seen[0] >= 2 and behind() == (0, "2026-11-20 10:05:00"), behind()
    time.sleep(2.5)
    assert runs(data) == seen, "nothing changed, nothing to solve"
    assert stop(process) == 0
    model_check.check(data)
    process = space.start(*start, "--set", "attribution.solve_interval=0 s")
    wait_until(lambda: ready(port), "the collector")
    sell(5)
    wait_until(lambda: rows(data, "SELECT count(*) FROM conversion") == [(5,)], "the order")
    time.sleep(1.5)
    assert runs(data) == seen and stop(process) == 0 and behind()[0] == 2
    run("attribute", "--data", data, "--save")
    assert sold(5) and behind()[0] == 0


def beyond_the_data(space):
    """An order that no path is as long as is solved as the longest path, and said."""
    data, config = space.path / "short", space.path / "deep.ini"
    config.write_text("[attribution]\nmodels = markov\n[model deep]\norder = 5\n[model two]\norder = 2\n")
    touches = [{"id": f"t-{i}", "type": "message_clicked", "time": f"2026-11-20T0{i}:00:00+09:00", "ids": {"login": "u"}, "message": {"kind": kind}}
               for i, kind in enumerate(("email", "line", "sms"))]
    sale = {"id": "s", "type": "order_completed", "time": "2026-11-20T09:00:00+09:00", "ids": {"login": "u"},
            "order": {"order_id": "W-1", "revenue": "900", "currency": "JPY"}}
    events = space.path / "short.ndjson"
    events.write_text("\n".join(map(json.dumps, touches + [sale])) + "\n")
    run("import", "--data", data, "--config", config, "--mapping", MAPPING, events)
    note = "order 5 is beyond the data: the longest path has 3"
    assert rows(data, "SELECT DISTINCT model, solved_order, note FROM v_model_channel ORDER BY 1") == [
        ("deep", 5, note), ("markov", 1, None), ("two", 2, None)]
    assert rows(data, "SELECT DISTINCT note FROM v_model_comparison_long WHERE model = 'deep'") == [(note,)]


def chosen_and_uncertain(space):
    """order = auto and bootstrap of configured models: the order, the figures and the intervals that `tabiji attribute` gives to what the model
    sees; the same whatever the order of events, another seed others; intervals change neither counts nor figures."""
    config, events, found = space.path / "auto.ini", space.path / "events.ndjson", []
    models = ("[attribution]\nmodels = shapley_rate\n[model best]\norder = auto\nbootstrap = 40\nseed = SEED\n[model sure]\nkind = shapley\n"
              "bootstrap = 40\nseed = SEED\n[model near]\norder = auto\nlookback_days = 3\njourney = reset\nnull = ignore\n")
    lines = events.read_text().splitlines()
    for turn, seed in enumerate((5, 5, 6)):
        data = space.path / f"auto-{turn}"
        random.Random(turn).shuffle(lines)
        config.write_text(models.replace("SEED", str(seed)))
        run("import", "--data", data, "--config", config, "--mapping", MAPPING, "-", text="\n".join(lines) + "\n")
        found.append(rows(data, "SELECT model, currency, channel, solved_order, low, high, credited_conversions FROM v_model_channel "
                                "ORDER BY 1, 2, 3"))
        wide = [r for r in found[-1] if r[0] in ("best", "sure") and r[2] != "(unattributed)"]
        assert len(wide) > 20 and all(low <= high for *_, low, high, _ in wide) and sum(low < high for *_, low, high, _ in wide) > 15, wide
        assert all(low is None for m, *_, low, _, _ in found[-1] if m in ("near", "shapley_rate"))
    without = lambda rows: [r[:4] + (round(r[6], 6),) for r in rows]
    assert found[0] == [r[:6] + (a[6],) for r, a in zip(found[1], found[0])] and found[2] != found[0] and without(found[2]) == without(found[0])
    for model, kind in (("best", ["markov", "--order", "auto"]), ("sure", ["shapley"])):
        text = model_check.view(model_check.connect(data), "v_export_model_touches", "JPY", model)
        said = run("attribute", "--format", "csv", "--lookback", "none", "--model", *kind, "--bootstrap", 40, "--seed", 6, "-", text=text)
        wanted = {r["channel"]: (float(r["low"]), float(r["high"])) for r in csv.DictReader(io.StringIO(said.stdout)) if r["low"]}
        kept = {r[2]: r[4:6] for r in found[2] if r[:2] == (model, "JPY") and r[4] is not None}
        assert len(kept) > 5 and kept == wanted, (model, kept, wanted)
    for model, flags in (("best", []), ("near", ["--null", "ignore"])):
        text = model_check.view(model_check.connect(data), "v_export_model_touches", "JPY", model)
        said = run("attribute", "--format", "csv", "--lookback", "none", "--model", "markov", "--order", "auto", *flags, "-", text=text)
        orders = {r[3] for r in found[2] if r[:2] == (model, "JPY")}
        assert len(orders) == 1 and f"order {orders.pop()} (pAUC" in said.stderr, (model, orders, said.stderr)
        wanted = {r["channel"]: float(r["credited_conversions"]) for r in csv.DictReader(io.StringIO(said.stdout))}
        for name, _, channel, *_, conversions in (r for r in found[2] if r[:2] == (model, "JPY")):
            assert abs(conversions - wanted[channel]) <= 1e-12 * max(1, wanted[channel]), (name, channel, conversions, wanted[channel])
    config.write_text(models.replace("SEED", "7").replace("= 40", "= 20"))
    run("import", "--data", data, "--config", config, "--mapping", MAPPING, "-", text=lines[0] + "\n")
    now = rows(data, "SELECT model, currency, channel, solved_order, low, high, credited_conversions FROM v_model_channel ORDER BY 1, 2, 3")
    assert without(now) == without(found[2]) and now != found[2], "other intervals need no replay"


def real_file(space):
    """All models of the default, of the main job's real file."""
    source = SHARED / "data" / "journeys" / "attribution_data.csv"
    if not source.exists():
        print(f"without the real file: {source} is absent")
        return
    data = space.path / "real"
    run("import", "--data", data, "--mapping", ROOT / "deploy" / "mappings" / "touch-log.ini", source)
    model_check.check(data)
    totals = rows(data, "SELECT sum(markov_conversions), sum(markov_revenue), sum(shapley_conversions), sum(shapley_revenue) FROM v_model_comparison")[0]
    assert all(abs(found - wanted) < 1e-6 for found, wanted in zip(totals, (1838, 11423.5, 1838, 11423.5))), totals
    assert {m for m, in rows(data, "SELECT DISTINCT model FROM v_model_comparison_long")} == {*model_check.RULES, *(m["kind"] for m in model_check.DEFAULTS)}


def refused(space):
    bad = space.path / "bad.ini"
    for text, wanted in (("[model a]\nkind = shaply\n", 'did you mean "shapley"?'), ("[attribution]\nmodels = markov, markow\n", 'has "markow", which is none of'),
                         ("[attribution]\nmodels = markow\n", 'did you mean "markov"?'),
                         ("[model a]\nkind = shapley\norder = 2\n", "bad.ini:3: order is of markov"),
                         ("[model a]\nkind = linear\nbootstrap = 5\n", "bad.ini:3: bootstrap is of models that are solved"),
                         ("[model a]\norder = 7\n", "bad.ini:2"),
                         ("[model a]\nconversion_types = order_complete\n", 'did you mean "order_completed"?'),
                         ("[model linear]\nkind = markov\n", "name of a rule model")):
        bad.write_text(text)
        said = run("replay", "--from", "timelines", "--data", space.path / "none", "--config", bad, code=2).stderr
        assert wanted in said, (text, said)


def main():
    with Workspace() as space:
        config = space.path / "models.ini"
        config.write_text(configuration(MODELS))
        refused(space)
        data = histories(space, config)
        erased(data, config)
        on_demand(data, config)
        data = space.path / "rough"
        changed(space, data, config)
        by_schedule(space)
        beyond_the_data(space)
        chosen_and_uncertain(space)
        real_file(space)
        assert json.loads(dump(data, "model_transition").splitlines()[0])["paths"] > 0


if __name__ == "__main__":
    main()
