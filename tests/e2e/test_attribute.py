#!/usr/bin/env python3
"""`tabiji attribute` against published results of others, and against the slow oracle on random paths."""
import csv
import io
import json
import math
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
from fractions import Fraction

import attribute_oracle as oracle
from harness import PROGRAM, ROOT, Workspace

DATA = pathlib.Path(os.environ.get("TABIJI_SHARED", "")) / "data"
ATTRIBUTION = DATA / "attribution"
SEED = int(os.environ.get("TABIJI_SEED", "1"))
CASES = int(os.environ.get("TABIJI_CASES", "150"))


def run(*arguments, text=None, code=0):
    found = subprocess.run([PROGRAM, "attribute", *map(str, arguments)], input=text.encode() if text is not None else None,
                           capture_output=True)
    assert found.returncode == code, (arguments, found.returncode, found.stderr.decode(), (text or "")[:2000])
    assert b"nan" not in found.stdout.lower() and b"inf" not in found.stdout.lower(), found.stdout
    return found.stdout.decode(), found.stderr.decode()


def table(*arguments, text=None, code=0):
    """{(channel, model): row}"""
    out = run("--format", "csv", *arguments, text=text, code=code)[0]
    return {(r["channel"], r["model"]): r for r in csv.DictReader(io.StringIO(out))}


def near(found, wanted, what, tolerance=1e-9):
    assert abs(float(found) - float(wanted)) <= tolerance * max(1.0, abs(float(wanted))), (what, found, wanted)


def number(row, column):
    return float(row[column])


# ---- fixtures ----

def channelattribution():
    folder = ATTRIBUTION / "channelattribution"
    data = folder / "Data_python.csv"
    found = table("--model", "first,last", "--model", "linear,position,shapley,shapley_rate,shao_li", data)
    for row in csv.DictReader(open(folder / "expected_heuristic.csv")):
        for model, name in (("first", "first_touch"), ("last", "last_touch"), ("linear", "linear_touch")):
            ours = found[row["channel_name"], model]
            near(ours["credited_conversions"], row[f"{name}_conversions"], (row, model), 1e-12)
            near(ours["credited_value"], row[f"{name}_value"], (row, model), 1e-12)
    for row in csv.DictReader(open(folder / "expected_more_models.csv")):
        for model, name in (("position", "position_40_20_40_conversions"), ("shapley", "linear_unique_eq_simplified_shapley_conversions"),
                            ("shapley_rate", "shapley_zeta_rate_conversions"), ("shao_li", "shao_li_conversions")):
            near(found[row["channel_name"], model]["credited_conversions"], row[name], (row["channel_name"], model), 1e-10)
        near(found[row["channel_name"], "shapley"]["credited_value"], row["linear_unique_eq_simplified_shapley_value"], row, 1e-10)
    for order in (1, 2):
        for null in ("use", "ignore"):
            found = table("--model", "markov", "--order", order, "--null", null, data)
            for row in csv.DictReader(open(folder / f"exact_markov_order{order}_{'null' if null == 'use' else 'nonull'}.csv")):
                ours = found[row["channel_name"], "markov"]
                for column, name in (("credited_conversions", "total_conversions"), ("credited_value", "total_conversion_value"),
                                     ("removal_effect_conversions", "removal_effect_conversion"),
                                     ("removal_effect_value", "removal_effect_value")):
                    near(ours[column], row[name], (order, null, row["channel_name"], column))
    ids = {r["id"]: r["channel_name"] for r in csv.DictReader(open(folder / "expected_channel_ids.csv"))}
    for loops, flag in (((), "false"), (("--loops",), "true")):
        out = run("--transitions", *loops, "--format", "csv", data)[0]
        ours = {(r["channel_from"], r["channel_to"]): float(r["transition_probability"]) for r in csv.DictReader(io.StringIO(out))}
        rows = list(csv.DictReader(open(folder / f"expected_transition_order1_flg_equal_{flag}.csv")))
        for row in rows:
            at = ids.get(row["channel_from"], row["channel_from"]), ids.get(row["channel_to"], row["channel_to"])
            assert float(f"{ours[at]:.15g}") == float(row["transition_probability"]), (row, ours[at])
        assert len(ours) == len(rows), (len(ours), len(rows))
    for flags, model, name in ((("--transform", "unique"), "linear", "linear_unique_eq_simplified_shapley"),
                               (("--transform", "first"), "linear", "linear_unique_eq_simplified_shapley"),
                               (("--transform", "exposure"), "linear", "linear_exposure_collapsed"),
                               (("--direct", "alpha"), "last_non_direct", "last_non_alpha")):
        found = table("--model", model, *flags, data)
        for row in csv.DictReader(open(folder / "expected_more_models.csv")):
            for what in ("conversions", "value"):
                near(found[row["channel_name"], model][f"credited_{what}"], row[f"{name}_{what}"], (row["channel_name"], name), 1e-10)
    said = run("--model", "markov", "--order", "auto", data)[1]
    assert "order 4 (pAUC by order: 1 0.508603, " in said, said
    told, theirs = ([float(piece.split()[1]) for piece in part.split("by order: ", 1)[1].rstrip(")\n").split(", ")]
                    for part in said.split("; "))
    paths = [(r["path"].split(" > "), int(r["total_conversions"]), 0, int(r["total_null"])) for r in csv.DictReader(open(data), delimiter=";")]
    assert len(told) == len(theirs) == 6, said
    rows = list(csv.DictReader(io.StringIO(run("--orders", "--format", "csv", data)[0])))
    listed = json.loads(run("--orders", "--json", data)[0])
    shown = run("--orders", data)[0].splitlines()
    assert shown[0].split()[:3] == ["order", "pauc", "pauc_100"] and "0.516950" in shown[2], shown
    assert len(rows) == len(listed) == 6 and list(rows[0]) == list(listed[0]) == ["order", "pauc", "pauc_100", "chosen"], rows
    for order, ours, points, row in zip(range(1, 7), told, theirs, csv.DictReader(open(folder / "expected_choose_order_auc.csv"))):
        assert f"{points:.6f}" == f"{float(row['pauc']):.6f}", (row, points)
        near(ours, oracle.pauc(paths, order), row, 6e-7)
        for found in (listed, rows):
            assert str(found[order - 1]["order"]) == row["order"] and (found[order - 1]["chosen"] in (True, "1")) == (order == 4), found
            near(float(found[order - 1]["pauc"]), oracle.pauc(paths, order), row, 1e-12)
            near(float(found[order - 1]["pauc_100"]), float(row["pauc"]), row, 1e-12)
        near(oracle.pauc_of_points(paths, order), row["pauc"], (row, "theirs is an area under a hundred points"), 1e-12)
        assert 0 <= ours + 5e-7 - float(row["pauc"]) < 1e-4, (row, "which is a little less")


def dp6():
    folder = ATTRIBUTION / "dp6"
    found = table("--model", "first,last,linear,position,shapley_paths,shapley_paths_ordered", folder / "input_9paths_all_converting.csv")
    for row in csv.DictReader(open(folder / "expected_9paths_all_converting.csv")):
        for model, name in (("first", "attribution_first_click_heuristic"), ("last", "attribution_last_click_heuristic"),
                            ("linear", "attribution_linear_heuristic"), ("position", "attribution_position_based_0.4_0.2_0.4_heuristic"),
                            ("shapley_paths", "attribution_shapley_size4_conv_rate_algorithmic"),
                            ("shapley_paths_ordered", "attribution_shapley_size4_conv_rate_order_algorithmic")):
            near(found[row["channels"], model]["credited_value"], row[name], (row, model))
    found = table("--model", "last_non_direct", "--direct", "A", folder / "input_9paths_all_converting.csv")
    for row in csv.DictReader(open(folder / "expected_9paths_all_converting.csv")):
        near(found[row["channels"], "last_non_direct"]["credited_value"], row["attribution_last_click_non_A_heuristic"], row)
    found = table("--model", "markov", folder / "input_14paths_with_null.csv")
    for row in csv.DictReader(open(folder / "expected_14paths_removal_effects.csv")):
        near(found[row[""], "markov"]["removal_effect_conversions"], row["removal_effect"], row)
    # Its Shapley values share out the value of all journeys, also of those that did not convert, which is 1 here too
    found = table("--model", "shapley_paths,markov", "--value", "all", folder / "input_14paths_with_null.csv")
    only = table("--model", "markov", folder / "input_14paths_with_null.csv")
    for row in csv.DictReader(open(folder / "expected_14paths_with_null.csv")):
        near(found[row["channels"], "shapley_paths"]["credited_value"], row["attribution_shapley_size4_conv_rate_algorithmic"], row, 1e-15)
        near(only[row["channels"], "markov"]["credited_value"], row["attribution_markov_algorithmic"], row, 1e-15)
    near(found["(unattributed)", "shapley_paths"]["credited_value"], 1, "B > C never converts")
    found = table("--model", "markov", folder / "input_9paths_all_converting.csv")
    for row in csv.DictReader(open(folder / "expected_9paths_all_converting.csv")):
        near(found[row["channels"], "markov"]["credited_value"], row["attribution_markov_algorithmic"], row, 1e-15)
    for channel, wanted in (("A", 2 / 3), ("B", 8 / 15), ("C", 28 / 57)):
        near(found[channel, "markov"]["removal_effect_conversions"], wanted, channel, 1e-6)


def playbook():
    """Sessions and conversions of two files as rows of touches: a session is a touch where it starts."""
    folder = ATTRIBUTION / "dbt-labs-attribution-playbook"
    rows = ["customer_id,time,channel,conversion,conversion_value"]
    for s in csv.DictReader(open(folder / "sessions.csv")):
        rows.append(f"{s['customer_id']},{s['started_at']},{s['utm_source']},0,0")
    for c in csv.DictReader(open(folder / "customer_conversions.csv")):
        rows.append(f"{c['customer_id']},{c['converted_at']},,1,{c['revenue']}")
    found = table("--model", "first,last,linear,position,time_decay", "--lookback", "30", "-", text="\n".join(rows) + "\n")
    for row in csv.DictReader(open(folder / "expected_by_utm_source.csv")):
        for model, name in (("first", "first"), ("last", "last"), ("linear", "linear"), ("position", "u"), ("time_decay", "td")):
            ours = found[row["utm_source"], model]
            near(ours["credited_conversions"], row[name], (row["utm_source"], model))
            near(ours["credited_value"], row[name + "_rev"], (row["utm_source"], model))


def snowplow():
    """Its sessions and conversions made into paths as it makes them, and their last touch; its paths read back."""
    folder = ATTRIBUTION / "snowplow-fractribution"
    published = lambda name: list(csv.DictReader(open(folder / f"snowplow_fractribution_{name}_expected.csv")))
    text = "customer_id,time,conversion,conversion_value,channel\n" + "".join(
        [f"{r['customer_id']},{r['visit_start_tstamp']},0,,{r['channel']}\n" for r in published("sessions_by_customer_id")] +
        [f"{r['customer_id']},{r['conversion_tstamp']},1,{r['revenue']},\n" for r in published("conversions_by_customer_id")])
    flags = ["--model", "last", "--lookback", "30", "--transform", "exposure", "--format", "csv"]
    paths, last = {}, {}
    for row in csv.DictReader(io.StringIO(run(*flags, "--paths", "-", text=text)[0])):
        sums = paths.setdefault(row["path"], [0.0, 0.0])
        sums[0] += float(row["credited_conversions"])
        sums[1] += float(row["credited_value"])
    converting = {r["transformed_path"]: r for r in published("path_summary") if int(r["conversions"])}
    converted = {path: sums for path, sums in paths.items() if sums[0]}
    assert len(converted) == 4 and converted.keys() == converting.keys(), (converted, converting.keys())
    for path, sums in converted.items():
        near(sums[0], float(converting[path]["conversions"]), path)
        near(sums[1], float(converting[path]["revenue"]), path)
        for k in (0, 1):
            last.setdefault(path.split(" > ")[-1], [0.0, 0.0])[k] += sums[k]
    direct = {r["channel"]: r for r in csv.DictReader(io.StringIO(run(*flags, "-", text=text)[0]))}
    for channel, row in direct.items():
        near(float(row["credited_conversions"]), last.get(channel, [0.0, 0.0])[0], channel)
        near(float(row["credited_value"]), last.get(channel, [0.0, 0.0])[1], channel)
    assert last.keys() <= direct.keys(), (last, direct.keys())
    found = table("--model", "last", folder / "snowplow_fractribution_path_summary_expected.csv", "--column", "path=transformed_path",
                  "--column", "null=non_conversions")
    wanted = {}
    for row in csv.DictReader(open(folder / "snowplow_fractribution_path_summary_expected.csv")):
        last = row["transformed_path"].split(" > ")[-1]
        sums = wanted.setdefault(last, [0.0, 0.0])
        sums[0] += float(row["conversions"] or 0)
        sums[1] += float(row["revenue"] or 0)
    for channel, (conversions, value) in wanted.items():
        near(found[channel, "last"]["credited_conversions"], conversions, channel)
        near(found[channel, "last"]["credited_value"], value, channel)


def real_file():
    """The main job's input, whole: every model reconciles."""
    for journey in ("reuse", "reset"):
        rows = table("--journey", journey, "--lookback", "none", "--model",
                     "first,last,last_non_direct,linear,time_decay,position,j_shape,inverse_j,w_shape,full_path,custom,markov,shapley,"
                     "shapley_ordered,shapley_rate,shapley_paths,shao_li", DATA / "journeys" / "attribution_data.csv")
        for model in {m for _, m in rows}:
            near(math.fsum(number(r, "credited_conversions") for (_, m), r in rows.items() if m == model), 1838, model, 1e-9)
            near(math.fsum(number(r, "credited_value") for (_, m), r in rows.items() if m == model), 11423.5, model, 1e-9)


def stored_journeys():
    """The journeys of a database: the same figures as its exported paths, and as the pipeline's own rule models."""
    with Workspace() as space:
        data = space.path / "data"
        subprocess.run([PROGRAM, "import", "--data", str(data), "--mapping", str(ROOT / "deploy/mappings/touch-log.ini"),
                        str(DATA / "journeys" / "attribution_data.csv")], check=True, capture_output=True)
        db = sqlite3.connect(data / "tabiji.db")
        text = "path,total_conversions,total_conversion_value,total_null\n"
        for channels, conversions, minor, nulls in db.execute(
                "SELECT channels, sum(conversions), sum(revenue_minor), sum(kind = 'open') FROM path GROUP BY 1"):
            text += f"{channels},{conversions},{minor / 100},{nulls}\n"
        stored = table("--data", data, "--model", "first,linear,position,markov,shapley", "--save")
        for key, row in table("--model", "first,linear,position,markov,shapley", "-", text=text).items():
            for column in ("credited_conversions", "credited_value", "removal_effect_conversions"):
                if row[column]:
                    near(stored[key][column], row[column], (key, column), 1e-12)
        for channel, first, linear, position in db.execute(
                "SELECT channel, first_conversions, linear_conversions, position_conversions FROM v_model_comparison"):
            for model, wanted in (("first", first), ("linear", linear), ("position", position)):
                near(stored[channel, model]["credited_conversions"], wanted, (channel, model), 1e-12)
        for channel, *solved in db.execute("SELECT channel, markov_conversions, markov_revenue, shapley_conversions, shapley_revenue, "
                                           "shao_li_revenue FROM v_model_comparison"):
            wanted = [stored[channel, m][f"credited_{what}"] for m in ("markov", "shapley") for what in ("conversions", "value")]
            assert solved[4] is not None and all(abs(a - float(b)) < 1e-9 * abs(a) for a, b in zip(solved, wanted)), (channel, solved, wanted)
        kept = dict(db.execute("SELECT model, sum(credited_conversions) FROM model_channel WHERE model_version = '' GROUP BY 1"))
        assert set(kept) == {"first", "linear", "position"}, "those of the configuration are what they are there"
        table("--data", data, "--model", "markov", "--order", "2", "--save")
        again = "SELECT model, count(*), sum(credited_conversions) FROM model_channel WHERE model_version = '' AND model LIKE 'markov%'"
        once = db.execute(again).fetchone()
        assert once[0] == "markov:order=2" and abs(once[2] - 1838) < 1e-6, once
        table("--data", data, "--model", "markov", "--order", "2", "--save")
        assert db.execute(again).fetchone() == once, "saving again replaces"
        run("--data", data, "paths.csv", code=2)
        run("--save", "-", text="path,total_conversions\nA,1\n", code=2)
        decay = table("--data", data, "--model", "time_decay,linear,markov")
        for channel, *wanted in db.execute("SELECT channel, time_decay_conversions, time_decay_revenue, linear_conversions, linear_revenue, "
                                           "markov_conversions, markov_revenue FROM v_model_comparison"):
            found = [decay[channel, m][f"credited_{what}"] for m in ("time_decay", "linear", "markov") for what in ("conversions", "value")]
            for ours, theirs in zip(found, wanted):
                near(ours, theirs, (channel, found, wanted), 1e-12)
        day = table("--data", data, "--model", "time_decay", "--half-life", "1")
        assert {m for _, m in day} == {"time_decay:half-life=1"} and abs(sum(float(r["credited_conversions"]) for r in day.values()) - 1838) < 1e-9
        assert all(day[c, "time_decay:half-life=1"]["credited_conversions"] != decay[c, "time_decay"]["credited_conversions"] for c, _ in day)
        db.execute("UPDATE path SET currency = 'JPY' WHERE path_key = (SELECT max(path_key) FROM path WHERE kind = 'converting')")
        db.commit()
        assert "--currency" in run("--data", data, code=2)[1]
        assert table("--data", data, "--currency", "JPY", "--model", "first")
        for flags in (["--model", "first"], ["--save"], ["--model", "markov", "--transitions"]):
            said = run("--data", data, "--currency", "EUR", *flags, code=2)[1]
            assert "no conversion is in EUR, only in: " in said and "JPY" in said, said
        db.close()
        run("--data", space.path / "none", code=4)


# ---- random paths against the oracle ----

def draw(rng):
    channels = [chr(65 + i) for i in range(rng.choice([1, 2, 3, 4, 5]))]
    paths = []
    for _ in range(rng.choice([1, 2, 5, 12])):
        path = [rng.choice(channels) for _ in range(rng.choice([0, 1, 1, 2, 3, 4, 7]))]
        big = rng.random() < .1
        conversions = rng.choice([0, 0, 1, 2, 5, 10 ** 9 if big else 3])
        nulls = rng.choice([0, 1, 4, 10 ** 9 if big else 7])
        paths.append((path, conversions, rng.choice([0, 0, 1, 12, 250]) if conversions else 0, nulls))
    return paths


def as_csv(paths, rng):
    delimiter = rng.choice(",;\t")
    lines = [delimiter.join(["path", "total_conversions", "total_conversion_value", "total_null"])]
    lines += [delimiter.join([" > ".join(p), str(c), str(v), str(n)]) for p, c, v, n in paths]
    return "\n".join(lines) + "\n"


def random_paths():
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        paths = draw(rng)
        order = rng.choice([1, 1, 2, 3])
        longest = max((len(p[0]) for p in paths), default=0)
        if order > max(longest, 1):
            order = 1
        ignore = rng.random() < .3
        text = as_csv(paths, rng)
        found = table("--model", "first,last,linear,position,j_shape,inverse_j,participation,markov,shapley,shapley_rate,shapley_paths,"
                      "shapley_paths_ordered", "--order", order, "--null", "ignore" if ignore else "use", "-", text=text)
        where = f"seed {seed}:\n{text}"
        for model, wanted in oracle.rules(paths).items():
            for channel, conversions in wanted.items():
                near(found[channel, model]["credited_conversions"], conversions, (where, channel, model), 1e-12)
        for channel, (effect, value_effect, conversions, value) in oracle.markov(paths, order, ignore).items():
            row = found[channel, "markov"]
            for column, wanted in (("removal_effect_conversions", effect), ("removal_effect_value", value_effect),
                                   ("credited_conversions", conversions), ("credited_value", value)):
                near(row[column], wanted, (where, order, ignore, channel, column))
        for model, wanted in (("shapley", oracle.shapley(paths)), ("shapley_rate", oracle.shapley_rate(paths)),
                              ("shapley_paths", oracle.shapley_paths(paths, False)),
                              ("shapley_paths_ordered", oracle.shapley_paths(paths, True))):
            for channel, conversions in wanted.items():
                near(found[channel, model]["credited_conversions"], conversions, (where, channel, model))
        whole = sum(p[1] for p in paths)
        for model in ("first", "linear", "position", "shapley", "shapley_paths"):
            credits = [number(r, "credited_conversions") for (_, m), r in found.items() if m == model]
            near(math.fsum(credits), whole, (where, model), 1e-9 * max([1, *map(abs, credits)]))


def large_orders():
    """Orders 2 to 6 over thousands of journeys, against removal by plain iteration in floats: a solver that shares nothing with ours."""
    for order in (2, 3, 4, 5, 6):
        rng = random.Random(SEED + order)
        channels = [f"c{i}" for i in range(rng.choice([3, 6, 12]))]
        rows, sticky = [], rng.random() * .7
        for customer in range(2500):
            at, channel = rng.randrange(10 ** 6), rng.choice(channels)
            for _ in range(rng.choice([1, 2, 3, 5, 9])):
                channel = channel if rng.random() < sticky else rng.choice(channels)
                at += rng.randrange(1, 10 ** 6)
                converted = rng.random() < .2
                rows.append((f"u{customer}", at, channel, converted, rng.randrange(1, 500) if converted else 0))
        rng.shuffle(rows)
        text = "customer_id,time,interaction,conversion,conversion_value,channel\n" + "".join(
            f"{c},{t},x,{int(v)},{w},{ch}\n" for c, t, ch, v, w in rows)
        reset = order % 2 == 0
        paths = oracle.journeys(rows, reset, None)
        found = table("--model", "markov,shapley_ordered", "--order", order, "--lookback", "none", "--journey", "reset" if reset else "reuse", "-",
                      text=text)
        for channel, (effect, value_effect, conversions, value) in oracle.markov_iterated(paths, order).items():
            row = found[channel, "markov"]
            for column, wanted in (("removal_effect_conversions", effect), ("removal_effect_value", value_effect),
                                   ("credited_conversions", conversions), ("credited_value", value)):
                near(row[column], wanted, (order, channel, column))
        for channel, conversions in oracle.shapley_by_touch(paths).items():
            near(found[channel, "shapley_ordered"]["credited_conversions"], conversions, (order, channel, "shapley_ordered"))


def path_rows(*arguments, text=None):
    """{(path, model): [row]} of --paths; weights of each sum to 1 with all their digits."""
    out = run("--paths", "--format", "csv", *arguments, text=text)[0]
    found = {}
    for row in csv.DictReader(io.StringIO(out)):
        found.setdefault((row["path"], row["model"]), []).append(row)
    for key, rows in found.items():
        assert sum(Fraction(r["weight"]) for r in rows) == 1, (key, rows)
    return found


def path_level():
    """Weights of each path's touches: exact sums, shares of one factor a channel, and sums over paths as near to the model's credit as
    plain proportional fitting comes."""
    for seed in range(SEED, SEED + CASES // 2):
        rng = random.Random(seed)
        paths = [(p, min(c, 1000), v, n) for p, c, v, n in draw(rng)]
        text = as_csv(paths, rng)
        found = path_rows("--model", "markov,shapley,linear", "-", text=text)
        where = f"seed {seed}:\n{text}"
        converting = {}
        for path, conversions, *_ in paths:
            if conversions:
                converting.setdefault(" > ".join(path), path)
        assert {p for p, _ in found} >= set(converting), where
        for model in ("markov", "shapley"):
            credits = {c: number(r, "credited_conversions") for (c, _), r in table("--model", model, "-", text=text).items()
                       if c != "(unattributed)"}
            cells, weight, wanted = oracle.fit_touches(paths, credits, 2000)
            ours = {}
            for name, path in converting.items():
                shares = {}
                for row in found[name, model]:
                    if row["touch"]:
                        channel = path[int(row["touch"]) - 1]
                        assert channel == row["channel"], where
                        shares[channel] = shares.get(channel, 0) + Fraction(row["weight"])
                        near(row["weight"], shares[channel] / path[:int(row["touch"])].count(channel), where, 2e-9)
                if path:
                    ours[tuple(path)] = {c: shares.get(c, Fraction(0)) for c in path}
            if model == "shapley":
                for path, shares in ours.items():
                    for share in shares.values():
                        near(share, 1 / len(shares), where, 1e-8)
            least = oracle.divergence(cells, weight, wanted)
            assert oracle.divergence(ours, weight, wanted) <= least + 1e-6 * max(1, sum(weight.values())), (where, model, least)
        for name, path in converting.items():
            for row in found[name, "linear"] if path else []:
                near(row["weight"], 1 / len(path), where, 2e-9)


def path_level_by_hand():
    # A alone converts five times; the removal effects 1, 1/6, 1/6 give it but four and a half of six
    out, messages = run("--paths", "--model", "markov", "--format", "json", "-", text="path,total_conversions,total_null\nA,5,0\nA > B > C,1,0\n")
    rows = json.loads(out)
    assert [(r["path"], r["touch"], r["weight"]) for r in rows if r["path"] == "A"] == [("A", 1, 1)] and "leave no choice" in messages, (rows, messages)
    # a channel without credit: what it shares goes to the other, what it has alone stays
    rows = path_rows("--model", "shao_li", "-", text="path,total_conversions,total_null\nA > B > A,1,0\nA,0,9\n,2,0\n")
    assert rows["", "shao_li"][0]["channel"] == "(unattributed)" and rows["", "shao_li"][0]["credited_conversions"] == "2.0"
    out = run("--paths", "--model", "last_non_direct,position", "-", text="path,total_conversions,total_conversion_value\nA > direct,2,7\n")[0]
    assert out.splitlines()[1].split()[3:] == ["1", "A", "last_non_direct", "1.000000000", "2.0000", "7.0000"], out
    for model, reason in (("time_decay", "needs"), ("participation", "does not sum"), ("w_shape", "needs more")):
        assert reason in run("--paths", "--model", model, "-", text="path,total_conversions\nA,1\n", code=2)[1]
    for flags in (("--orders", "--transitions"), ("--orders", "--paths")):
        assert "ask twice" in run(*flags, "-", text="path,total_conversions\nA,1\n", code=2)[1]
    said = run("--orders", "--order", "2", "--model", "first", "-", text="path,total_conversions\nA > B,1\n")[1]
    assert "--order has no effect" in said and "--model has no effect" in said, said
    assert "ask twice" in run("--paths", "--transitions", "-", text="path,total_conversions\nA,1\n", code=2)[1]
    long = ">".join(["A"] * 70000)
    assert "65536" in run("--paths", "--model", "shapley", "-", text=f"path,total_conversions\n{long},1\n", code=2)[1]
    data = ATTRIBUTION / "channelattribution" / "Data_python.csv"
    for order in (1, 4):
        rows = path_rows("--model", "markov", "--order", order, data)
        whole = math.fsum(float(r["credited_conversions"]) for rs in rows.values() for r in rs)
        near(whole, 19785, "all conversions")
    sums = {}
    for rs in rows.values():
        for r in rs:
            sums[r["channel"]] = sums.get(r["channel"], 0) + float(r["credited_conversions"])
    for (channel, _), row in table("--model", "markov", "--order", 4, data).items():
        near(sums[channel], row["credited_conversions"], (channel, "fitted to order 4"), 1e-6)


def random_journeys():
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        rows = [(f"c{rng.randrange(4)}", rng.randrange(0, 40) * 86400, rng.choice(["A", "B", "C", ""]), rng.random() < .3, rng.randrange(9))
                for _ in range(rng.choice([1, 5, 20]))]
        rows = [(c, t, ch or ("" if v else "A"), v, w if v else 0) for c, t, ch, v, w in rows]
        reset, days = rng.random() < .5, rng.choice([None, 7, 90])
        lines = ["customer_id,time,interaction,conversion,conversion_value,channel"]
        lines += [f"{c},{t},x,{int(v)},{w},{ch}" for c, t, ch, v, w in rows]
        text = "\n".join(lines) + "\n"
        paths = oracle.journeys(rows, reset, days * 86400 if days else None)
        found = table("--journey", "reset" if reset else "reuse", "--lookback", days or "none", "--model", "linear,markov", "-", text=text)
        where = f"seed {seed}:\n{text}"
        for channel, conversions in oracle.rules(paths)["linear"].items():
            near(found[channel, "linear"]["credited_conversions"], conversions, (where, channel), 1e-12)
        for channel, (effect, *_) in oracle.markov(paths, 1).items():
            near(found[channel, "markov"]["removal_effect_conversions"], effect, (where, channel))
        lost = sum(1 for p in paths if p[1] and not p[0])
        near(found[("(unattributed)", "linear")]["credited_conversions"] if lost else 0, lost, where)


# ---- by hand ----

def by_hand():
    def effects(*paths):
        text = "path,total_conversions,total_null\n" + "".join(f"{' > '.join(p)},{c},{n}\n" for p, c, n in paths)
        return {c: number(r, "removal_effect_conversions") for (c, _), r in table("--model", "markov", "-", text=text).items()}
    found = effects(("ABABBA", 1, 0), ("ABBAA", 1, 0), ("AA", 1, 0))
    near(found["A"], 1, "A")
    near(found["B"], .5, "B")
    found = effects((["C1", "C2", "C3"], 1, 0), (["C1"], 0, 1), (["C2", "C3"], 0, 1))
    for channel, wanted in (("C1", .5), ("C2", 1), ("C3", 1)):
        near(found[channel], wanted, channel)
    # search 9 d, social 6 d, e-mail 0 d, display 0 d before 50 dollars
    text = ("customer_id,time,channel,conversion,conversion_value\n"
            "1,2026-01-01,search,0,0\n1,2026-01-04,social,0,0\n1,2026-01-10,email,0,0\n1,2026-01-10,display,1,50\n")
    found = table("--model", "time_decay,j_shape", "-", text=text)
    for channel, decay, j in (("search", 6.92, 10), ("social", 9.32, 5), ("email", 16.88, 5), ("display", 16.88, 30)):
        assert round(number(found[channel, "time_decay"], "credited_value"), 2) == decay, (channel, found)
        near(found[channel, "j_shape"]["credited_value"], j, channel)
    # milestones: first .3, lead .3, opportunity .3, the two others .05 each
    text = ("customer_id,time,channel,interaction,conversion\n" + "".join(
        f"1,2026-01-0{i + 1},{c},{t},{int(i == 4)}\n" for i, (c, t) in enumerate([("A", ""), ("B", ""), ("C", "form"), ("D", "demo"), ("E", "")])))
    found = table("--model", "w_shape,full_path,custom", "--lead", "form", "--opportunity", "demo", "--weights", "5:3:2", "-", text=text)
    for channel, w, full, custom in (("A", .3, .225, .5), ("B", .05, .1, .1), ("C", .3, .225, .1), ("D", .3, .225, .1), ("E", .05, .225, .2)):
        near(found[channel, "w_shape"]["credited_conversions"], w, channel)
        near(found[channel, "full_path"]["credited_conversions"], full, channel)
        near(found[channel, "custom"]["credited_conversions"], custom, channel)


def nasty():
    only_nulls = table("--model", "markov,shapley,shapley_rate,shao_li,linear", "-", text="path,total_conversions,total_null\nA > B,0,5\nB,0,1\n")
    assert all(number(r, "credited_conversions") == 0 for r in only_nulls.values()), only_nulls
    many = "path,total_conversions,total_null\n" + "".join(f"c{i} > c{(i * 7 + 1) % 1000} > c{(i * 3) % 1000},1,{i % 3}\n" for i in range(1000))
    found = table("--model", "markov,shapley_rate", "--samples", "50", "-", text=many)
    near(math.fsum(number(r, "credited_conversions") for (_, m), r in found.items() if m == "markov"), 1000, "1,000 channels")
    assert any(r["low"] for (_, m), r in found.items() if m == "shapley_rate"), "sampled values tell their error"
    loop = "path,total_conversions,total_null\n" + " > ".join("AB" * 5000) + ",1,0\nA,0,1000000000\n"
    found = table("--model", "markov", "--order", "2", "-", text=loop)
    near(number(found["A", "markov"], "credited_conversions") + number(found["B", "markov"], "credited_conversions"), 1, "loop")
    empty = table("--model", "first,markov", "-", text="path,total_conversions,total_null\n,3,1\nA,1,0\n")
    assert number(empty["(unattributed)", "first"], "credited_conversions") == 3 and number(empty["A", "markov"], "credited_conversions") == 1
    negative = table("--model", "markov,linear", "-", text="path,total_conversions,total_conversion_value,total_null\nA > B,1,-5,0\nB,1,5,2\n")
    near(number(negative["A", "linear"], "credited_value"), -2.5, "negative value")
    assert run("-", text="path,total_conversions\n")[0].strip().splitlines()[0].startswith("channel")
    quoted = table("--model", "first", "-", text='path,total_conversions\n"a ""b"", c > =cmd()",2\n')
    assert ('a "b", c', "first") in quoted and ("=cmd()", "first") in quoted, quoted


def intervals():
    data = ATTRIBUTION / "channelattribution" / "Data_python.csv"
    one = run("--model", "markov", "--bootstrap", "40", "--seed", "7", "--format", "csv", data)
    assert one == run("--model", "markov", "--bootstrap", "40", "--seed", "7", "--format", "csv", data)
    assert one != run("--model", "markov", "--bootstrap", "40", "--seed", "8", "--format", "csv", data)
    for row in csv.DictReader(io.StringIO(one[0])):
        low, high, value = float(row["low"]), float(row["high"]), float(row["credited_conversions"])
        assert low <= high and low - 3 * (high - low) - 1 <= value <= high + 3 * (high - low) + 1, row
    head, *rows = open(data).read().splitlines()
    random.Random(3).shuffle(rows)
    again = run("--model", "markov", "--bootstrap", "40", "--seed", "7", "--format", "csv", "-", text="\n".join([head, *rows]) + "\n")
    assert bounds(one[0]) == bounds(again[0]), "the order of rows tells nothing"
    # what is drawn follows the journeys, however rows tell them: sampled permutations of channels, too
    rng = random.Random(4)
    names = [f"c{i}" for i in range(40)]
    rows = [f"{' > '.join(rng.choice(names) for _ in range(rng.randrange(1, 5)))},{rng.randrange(3)},{rng.randrange(4)}" for _ in range(400)]
    split = [piece for row in rows for path, c, n in [row.split(",")] for piece in ([f"{path},{c},0", f"{path},0,{n}"] if rng.random() < .5 else [row])]
    rng.shuffle(split)
    flags = ["--model", "markov,shapley_rate,shapley_paths", "--samples", "60", "--bootstrap", "30", "--format", "csv", "-"]
    found = [run(*flags, text="\n".join(["path,total_conversions,total_null", *some]) + "\n")[0] for some in (rows, split)]
    assert bounds(found[0]) == bounds(found[1]) and len(bounds(found[0])) == 120, "rows that say the same"
    rates = [{r["channel"]: r["credited_conversions"] for r in csv.DictReader(io.StringIO(out)) if r["model"] == "shapley_rate"} for out in found]
    assert rates[0] == rates[1] and len(rates[0]) == 40


def bounds(text):
    return {(r["channel"], r["model"]): (r["low"], r["high"]) for r in csv.DictReader(io.StringIO(text))}


def formats():
    text = "path\ttotal_conversions\nA > B\t2\n"
    rows = json.loads(run("--format", "json", "--model", "first,markov", "-", text=text)[0])
    assert rows == json.loads(run("--json", "--model", "first,markov", "-", text=text)[0])
    assert list(rows[0]) == ["channel", "model", "credited_conversions", "credited_value", "removal_effect_conversions",
                             "removal_effect_value", "low", "high"] and rows[0]["low"] is None, rows
    assert json.loads(run("--transitions", "--json", "-", text=text)[0])[0] == {
        "channel_from": "(start)", "channel_to": "A", "transition_probability": 1.0}
    assert "A" in run("-", text=text)[0]
    assert table("--model", "first", "--separator", "|", "--column", "path=route", "-", text="route;total_conversions\nA|B;1\n").keys() == {
        ("A", "first"), ("B", "first")}


def headers():
    """Names as others write them, and memory that follows distinct paths."""
    assert ("A", "last") in table("--model", "last", "-", text="Customer ID;Event Time;Source;Converted\n7;2026-01-01;A;yes\n")
    assert ("B", "first") in table("--model", "first", "-", text="\ufeffJourney\tConversions\tTotal Nulls\r\nB > A\t1\t4\r\n")
    peaks = []
    for rows in (1000, 300000):
        process = subprocess.Popen([PROGRAM, "attribute", "--model", "markov,linear", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        process.stdin.write(b"path,total_conversions,total_null\n" + b"A > B > C,1,2\nB > A,0,1\nC,3,1\n" * (rows // 3))
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 6 * 1024, f"peaks of {peaks} KiB"


# ---- bad input ----

def bad_input():
    good = "path,total_conversions,total_null\nA > B,1,0\n"
    for row, reason in (("A,-1,0", "negative"), ("A,nan,0", "no number"), ("A,1e999,0", "num_range"), ("A,9007199254740994,0", "num_range"),
                        ("A,0x10,0", "no number"), ("A,1,-2", "negative"), ("A,1", "2 fields, the header has 3"), ('A",1,0', "bad_row"), ("A,1 2,0", "no number")):
        out, messages = run("--format", "csv", "--model", "first", "-", text=good + row + "\n" + "B,1,0\n", code=6)
        assert "-:3: " in messages and reason in messages, (row, messages)
        assert "B,first,1.0" in out, out
    # conversions left empty are not none, with a value beside them; no value and no nulls are
    for row in ("A,,5,0", "A, ,5,0"):
        out, messages = run("--format", "csv", "--model", "first", "-", code=6,
                            text=f"path,total_conversions,total_conversion_value,total_null\nB,1,,\n{row}\n")
        assert "-:3: " in messages and "conversions is empty" in messages, (row, messages)
        assert out.splitlines()[1:] == ["B,first,1.0,0.0,,,,"], out
    for row, reason in ((",2026-01-01,A,0", "customer"), ("1,yesterday,A,0", "bad_time"), ("1,2026-01-01,A,maybe", "neither 1 nor 0"),
                        ("1,2026-01-01,,0", "channel is empty")):
        messages = run("-", text="customer_id,time,channel,conversion\n" + row + "\n", code=6)[1]
        assert "-:2: " in messages and reason in messages, (row, messages)
    for arguments, text, reason in (
            (["--model", "markow"], good, 'did you mean "markov"'), (["--order", "7"], good, "1 to 6"), (["--order", "3"], good, "beyond the data"),
            (["--null", "drop"], good, "unknown"), ([], "pth,total_conversions\nA,1\n", 'did you mean "pth"'),
            ([], "customer_id,tme,channel\n1,2,A\n", 'did you mean "tme"'), (["--column", "path=route"], good, 'no column "route"'),
            (["--column", "paht=x"], good, 'did you mean "path"'), (["--model", "time_decay"], good, "time_decay needs"),
            ([], "", "no header"), ([], "path,total_conversions\nA,9e15\nB,9e15\n", "totals"), (["--lookback", "-1"], good, "--lookback"),
            (["--weights", "1:2"], good, "--weights"), (["--bootstrap", "-3"], good, "--bootstrap"),
            (["--model", "shapley_paths"], "path,total_conversions\n" + " > ".join(f"c{i}" for i in range(21)) + ",1\n", "too many channels")):
        messages = run(*arguments, "-", text=text, code=2)[1]
        assert reason in messages, (arguments, messages)
    run("/nonexistent", code=4)


def main():
    if not ATTRIBUTION.exists():
        print("skipped: no fixtures (TABIJI_SHARED)")
        sys.exit(77)
    channelattribution()
    dp6()
    playbook()
    snowplow()
    real_file()
    stored_journeys()
    by_hand()
    nasty()
    intervals()
    formats()
    headers()
    bad_input()
    print(f"TABIJI_SEED={SEED}, {CASES} cases")
    random_paths()
    large_orders()
    path_level()
    path_level_by_hand()
    random_journeys()
    print("attribute: as published, and as the oracle says")


if __name__ == "__main__":
    main()
