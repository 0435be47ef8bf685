#!/usr/bin/env python3
"""`tabiji attribute` against the rational oracle on random paths: model x order x null x lookback x journey x transform, values that
cancel, values without conversions, the order by pAUC, files as others write them, games of many channels. TABIJI_SEED and TABIJI_CASES
choose others."""
import csv
import datetime
import gzip
import io
import itertools
import math
import os
import random
import subprocess
from fractions import Fraction as F

import attribute_oracle as oracle
from harness import PROGRAM

SEED = int(os.environ.get("TABIJI_SEED", "1"))
CASES = int(os.environ.get("TABIJI_CASES", "120"))
RULES = ("first", "last", "linear", "position", "j_shape", "inverse_j", "participation")
GAMES = {"shapley": oracle.shapley, "shapley_ordered": oracle.shapley, "shapley_rate": oracle.shapley_rate,
         "shapley_paths": lambda p: oracle.shapley_paths(p, False), "shapley_paths_ordered": lambda p: oracle.shapley_paths(p, True),
         "shao_li": oracle.shao_li}
TRANSFORMS = ("none", "exposure", "unique", "first", "frequency")
NOBODY = "(unattributed)"


def run(*arguments, text, code=0):
    found = subprocess.run([PROGRAM, "attribute", *map(str, arguments), "-"], input=text if isinstance(text, bytes) else text.encode(),
                           capture_output=True)
    assert found.returncode == code, (arguments, found.returncode, found.stderr.decode(), text[:2000])
    assert b"nan" not in found.stdout.lower() and b"inf" not in found.stdout.lower(), found.stdout
    return found.stdout.decode(), found.stderr.decode()


def table(*arguments, text, code=0):
    """{(channel, model): {column: number}}; what does not apply is left out."""
    rows = csv.DictReader(io.StringIO(run("--format", "csv", *arguments, text=text, code=code)[0]))
    return {(r["channel"], r["model"]): {k: float(v) for k, v in r.items() if k not in ("channel", "model") and v} for r in rows}


def near(found, wanted, where, size=1.0, tolerance=1e-9):
    assert abs(found - float(wanted)) <= tolerance * max(1.0, float(size), abs(float(wanted))), (where, found, float(wanted))


def merged(paths):
    """One row a path, in the order in which they come."""
    found = {}
    for path, *counts in paths:
        sums = found.setdefault(tuple(path), [0, F(0), 0])
        for i, count in enumerate(counts):
            sums[i] += F(count)
    return [(list(p), int(c), v, int(n)) for p, (c, v, n) in found.items()]


def as_csv(paths, rng):
    """With what writers of CSV do: delimiters, quotes, a mark of the encoding, line ends, gzip."""
    delimiter, end = rng.choice(",;\t"), rng.choice(["\n", "\r\n"])
    quote = (lambda t: '"' + t.replace('"', '""') + '"') if rng.random() < .3 else lambda t: t
    lines = [delimiter.join(["path", "total_conversions", "total_conversion_value", "total_null"])]
    lines += [delimiter.join([quote(" > ".join(p)), str(c), str(v), str(n)]) for p, c, v, n in paths]
    text = (rng.choice(["", "\ufeff"]) + end.join(lines) + rng.choice(["", end])).encode()
    return gzip.compress(text) if rng.random() < .2 else text


def names_of(paths):
    return list(dict.fromkeys(c for p, *_ in paths for c in p))


def compare(rows_read, paths, found, models, order, ignore, where):
    """All figures of all models, and that each model that sums sums to all."""
    whole, value = sum(p[1] for p in paths), sum(p[2] for p in paths)
    size = sum(abs(F(r[2])) for r in rows_read)  # amounts are as exact as their terms are as doubles
    channels = names_of(paths)
    for model in models:
        rows = {c: r for (c, m), r in found.items() if m == model}
        assert set(rows) - {NOBODY} == set(channels), (where, model, set(rows))
        if model == "markov":
            solved = oracle.markov(paths, order, ignore)
            for c, (effect, value_effect, conversions, amount) in solved.items():
                # effects on value are parts of what may be little that is left of much
                met = abs(sum(p[2] for p in paths if p[0] and p[1] + (0 if ignore else p[3])))
                scale = float(size / met) if met else 1
                near(rows[c]["removal_effect_conversions"], effect, (where, order, ignore, c))
                near(rows[c]["removal_effect_value"], value_effect, (where, order, ignore, c, "value"), scale)
                near(rows[c]["credited_conversions"], conversions, (where, order, ignore, c))
                near(rows[c]["credited_value"], amount, (where, order, ignore, c, "credited value"),
                     max(size, markov_size(solved, amount)))
        elif model in GAMES:
            for c, conversions in GAMES[model](paths).items():
                near(rows[c]["credited_conversions"], conversions, (where, model, c))
        else:
            for column, what in ((1, "conversions"), (2, "value")):
                for c, wanted in oracle.rules(paths, column)[model].items():
                    near(rows[c][f"credited_{what}"], wanted, (where, model, c), size, 1e-12)
        if model in ("shapley", "shapley_ordered"):
            for c, wanted in oracle.shapley(paths, 2).items():
                near(rows[c]["credited_value"], wanted, (where, model, c), size, 1e-12)
        if model != "participation":
            near(sum(r["credited_conversions"] for r in rows.values()), whole, (where, model, "reconciles"),
                 max((abs(r["credited_conversions"]) for r in rows.values()), default=0))
            near(sum(r["credited_value"] for r in rows.values()), value, (where, model, "value reconciles"),
                 max([size, *(abs(r["credited_value"]) for r in rows.values())]))


def markov_size(solved, amount):
    """Shares of effects that nearly cancel are large, and as exact as their sum is."""
    left, size = abs(sum(f[1] for f in solved.values())), sum(abs(f[1]) for f in solved.values())
    return abs(amount) * size / left if left else abs(amount)


def draw(rng, values):
    channels = [chr(65 + i) for i in range(rng.choice([1, 2, 3, 4, 5]))]
    paths = []
    for _ in range(rng.choice([1, 2, 5, 12])):
        path = [rng.choice(channels) for _ in range(rng.choice([0, 1, 1, 2, 3, 4, 7]))]
        big = rng.random() < .1
        conversions = rng.choice([0, 0, 1, 2, 5, 10 ** 9 if big else 3])
        paths.append((path, conversions, values(rng, conversions), rng.choice([0, 1, 4, 10 ** 9 if big else 7])))
    return paths


def of_converting(rng, conversions):
    return rng.choice(["0", "0", "1", "12", "250"]) if conversions else "0"


def of_anyone(rng, _):
    """Corrections, also without a conversion."""
    return rng.choice(["0", "5", "-5", "0.1", "0.2", "-0.3", "19.99", "-19.99", "1e6"])


def with_noise(paths, rng):
    """Rows whose values cancel, in tenths, which no double is."""
    rows = list(paths)
    for path, *_ in rng.sample(paths, min(len(paths), 3)):
        terms = [rng.randrange(-999, 999) for _ in range(rng.choice([1, 2, 4]))]
        rows += [(path, 0, f"{t / 10:.1f}", 0) for t in (*terms, -sum(terms))]
    if rng.random() < .5:  # and all of them together
        left = sum(F(r[2]) for r in rows)
        rows.append((rng.choice(paths)[0], 0, f"{float(-left):.4f}", 0))
    rng.shuffle(rows)
    return rows


def combinations():
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        rows = draw(rng, rng.choice([of_converting, of_anyone]))
        if rng.random() < .4:
            rows = with_noise(rows, rng)
        transform, ignore = rng.choice(TRANSFORMS), rng.random() < .3
        paths = merged((oracle.transformed(p, transform), *rest) for p, *rest in rows)
        longest = max(len(p[0]) for p in paths)
        order = rng.choice([k for k in range(1, 7) if k == 1 or k <= longest])
        models = [*RULES, "markov", *GAMES]
        if len(names_of(paths)) > 6:
            models.remove("shapley_rate")  # the oracle goes through all orders
        found = table("--model", ",".join(models), "--order", order, "--null", "ignore" if ignore else "use", "--transform", transform,
                      text=as_csv(rows, rng))
        compare(rows, paths, found, models, order, ignore, f"seed {seed}, {transform}: {rows}")


def cancelling():
    """Nothing is left: no model may make something of it."""
    nothing = 0
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        rows = draw(rng, lambda *_: rng.choice(["0.1", "0.7", "3.3", "-1.1", "1e9", "12345.67"]))
        left, parts = -sum(F(r[2]) for r in rows), rng.choice([1, 3])
        for i in range(parts):
            part = left if i == parts - 1 else F(round(left * 100 / 3), 100)
            left -= part
            rows.append((rng.choice(rows)[0], rng.choice([0, 1]), f"{float(part):.2f}", rng.choice([0, 1])))
        if rng.random() < .7:  # journeys of touches, all of them
            rows = [(p or ["A"], c, v, n or 1) for p, c, v, n in rows]
        paths = merged(rows)
        assert sum(p[2] for p in paths) == 0, rows
        order = rng.choice([k for k in (1, 2, 3) if k == 1 or k <= max(len(p[0]) for p in paths)])
        models = [*RULES, "markov", *GAMES]
        found = table("--model", ",".join(models), "--order", order, text=as_csv(rows, rng))
        compare(rows, paths, found, models, order, False, f"seed {seed}, cancels: {rows}")
        if sum(p[2] for p in paths if p[0] and p[1] + p[3]) == 0:
            nothing += 1
            for (channel, model), row in found.items():
                if channel != NOBODY and model in ("markov", "shapley_rate", "shao_li"):
                    assert row["credited_value"] == 0 and row.get("removal_effect_value", 0) == 0, (seed, channel, model, row, rows)
    assert nothing > CASES / 2, nothing


def loops():
    """Channels that come back again and again, counts from one to 10^12, value where hardly anybody comes."""
    for seed in range(SEED, SEED + CASES // 2):
        rng = random.Random(seed)
        channels = "ABCD"[:rng.choice([2, 2, 3, 4])]
        rows = []
        for _ in range(rng.choice([1, 2, 4, 8])):
            length = rng.choice([1, 2, 5, 12, 20])
            path = list((channels * length)[:length]) if rng.random() < .4 else [rng.choice(channels) for _ in range(length)]
            path = [path[0]] * length if rng.random() < .1 else path
            rows.append((path, rng.choice([0, 1, 1, 3, 10 ** 6, 10 ** 9]), rng.choice(["0", "1", "0.07", "-3", "1e9", "250000.55"]),
                         rng.choice([0, 0, 1, 7, 10 ** 6, 10 ** 9, 10 ** 12])))
        paths, ignore = merged(rows), rng.random() < .3
        longest = max(len(p[0]) for p in paths)
        order = rng.choice([k for k in range(1, 5) if k == 1 or k <= longest])
        models = ["markov", "shapley_rate", "shao_li", "shapley_paths_ordered", "linear"]
        found = table("--model", ",".join(models), "--order", order, "--null", "ignore" if ignore else "use", text=as_csv(rows, rng))
        compare(rows, paths, found, models, order, ignore, f"seed {seed}, loops: {rows}")


def wide():
    """A thousand channels, thousands of paths that come back: effects of some, sums of all."""
    rng = random.Random(SEED)
    names = [f"c{i}" for i in range(1000)]
    rows = []
    for i in range(3000):
        path = [rng.choice(names[:30] if rng.random() < .5 else names) for _ in range(rng.choice([1, 2, 4, 7]))]
        rows.append(([names[i], *path] if i < 1000 else path, rng.randrange(3), str(rng.randrange(-20, 900) / 10), rng.randrange(4)))
    paths = merged(rows)
    paths = [(p, c, v if c + n else F(0), n) for p, c, v, n in paths]
    for order in (1, 2, 3):
        found = table("--model", "markov,shapley,shapley_rate", "--samples", 20, "--order", order, text=as_csv(paths_text(paths), rng))
        for channel, (effect, value_effect) in oracle.markov_iterated([(p, c, float(v), n) for p, c, v, n in paths], order,
                                                                      [*rng.sample(names, 12), *names[:3]]).items():
            near(found[channel, "markov"]["removal_effect_conversions"], effect, (order, channel))
            near(found[channel, "markov"]["removal_effect_value"], value_effect, (order, channel, "value"))
        for model in ("markov", "shapley"):
            for column, wanted in (("credited_conversions", sum(p[1] for p in paths)), ("credited_value", sum(p[2] for p in paths))):
                near(sum(r[column] for (_, m), r in found.items() if m == model), wanted, (order, model, column))


def paths_text(paths):
    """Amounts as decimals."""
    return [(p, c, f"{float(v):.1f}", n) for p, c, v, n in paths]


def journeys():
    """Rows of touches: lookback x journey x transform x order x null."""
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        rows = [(f"c{rng.randrange(4)}", rng.randrange(0, 40) * 86400, rng.choice(["A", "B", "C", ""]), rng.random() < .3, rng.randrange(-3, 9))
                for _ in range(rng.choice([1, 5, 20, 60]))]
        rows = [(c, t, ch or ("" if v else "A"), v, w if v else 0) for c, t, ch, v, w in rows]
        reset, days, transform, ignore = rng.random() < .5, rng.choice([None, 3, 7, 90]), rng.choice(TRANSFORMS), rng.random() < .3
        text = "customer_id,time,interaction,conversion,conversion_value,channel\n" + "".join(
            f"{c},{t},x,{int(v)},{w},{ch}\n" for c, t, ch, v, w in rows)
        paths = merged((oracle.transformed(p, transform), *rest) for p, *rest in oracle.journeys(rows, reset, days * 86400 if days else None))
        longest = max([0, *(len(p[0]) for p in paths)])
        order = rng.choice([k for k in range(1, 5) if k == 1 or k <= longest])
        found = table("--journey", "reset" if reset else "reuse", "--lookback", days or "none", "--model", "linear,position,markov,shapley",
                      "--transform", transform, "--order", order, "--null", "ignore" if ignore else "use", text=text)
        listed = {c for c, _ in found}
        paths += [([c], 0, F(0), 0) for c in listed - {NOBODY} - set(names_of(paths))]  # beyond the lookback
        compare(paths, paths, found, ["linear", "position", "markov", "shapley"], order, ignore,
                f"seed {seed}, {'reset' if reset else 'reuse'}, {days} d, {transform}: {rows}")


def chosen_orders():
    """The best pAUC over fractions; where two are as near as rounding, either."""
    chosen = set()
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        sticky = rng.choice([2, 3, 4])  # so many touches tell whether a journey converts
        paths = []
        for _ in range(rng.choice([5, 40, 200])):
            path = [rng.choice("AB" if rng.random() < .8 else "ABC") for _ in range(rng.choice([1, 2, 3, 5, 8]))]
            likely = hash(tuple(map(ord, path[-sticky:]))) % 100 if rng.random() < .9 else 50
            conversions = sum(rng.randrange(100) < likely for _ in range(9))
            paths.append((path, conversions, "0", 9 - conversions))
        paths = merged(paths)
        best, scores = oracle.best_order(paths)
        said = run("--model", "markov", "--order", "auto", text=as_csv(paths, rng))[1]
        ours = int(said.rsplit("order ", 1)[1].split()[0])
        assert abs(float(scores[ours] - scores[best])) < 1e-12 and (ours == best or scores[ours] != scores[best]), (seed, ours, best, scores)
        told, theirs = ({int(k): float(v) for k, v in (piece.split() for piece in part.split(")")[0].split(", "))}
                        for part in (part.split(";")[0] for part in said.split("by order: ")[1:]))
        assert told.keys() == theirs.keys() == scores.keys(), (told, theirs, scores)
        assert all(abs(told[k] - float(v)) < 1e-6 for k, v in scores.items()), (told, scores)
        points = {k: oracle.pauc_of_points(paths, k) for k in scores}
        assert all(abs(theirs[k] - float(v)) < 1e-6 for k, v in points.items()), (theirs, points)
        chosen.add(ours)
    assert len(chosen) > 2, chosen


# ---- as others write it ----

SEPARATORS = (">", "|", "->", " - ", "\u2192", "::", "  ", "/")
STRANGE = ("Paid Search", "\u304a\u5e97", 'say "hi"', "a,b;c", "tab\tin", "line\nbreak", "CR\r\nLF", "=1+1", "O'Neil", "\\", "''", "0", "(start)", "NULL", "A", "a",
           "\u00e9", "e\u0301", "\U0001f600", "x" * 300, "direct", "Search(2)")
COLUMNS = {"path": ("path", "Channels", "transformed_path", "touchpoints"), "conversions": ("total_conversions", "Conversions", "conv"),
           "value": ("total_conversion_value", "conversion_value", "Revenue"), "null": ("total_null", "nulls", "non_conversions"),
           "customer": ("customer_id", "userId", "Client ID", "user_pseudo_id"), "time": ("time", "timestamp", "event_time", "occurredAt"),
           "channel": ("channel", "utm_source", "Marketing Channel", "source / x"), "converted": ("conversion", "is_conversion", "Converted"),
           "event": ("event_name", "event", "Event Type")}


def field(text, delimiter, rng):
    """Quoted where it must be, and now and then where it need not."""
    if any(c in text for c in (delimiter, '"', "\n", "\r")) or rng.random() < .2:
        return '"' + text.replace('"', '""') + '"'
    return text


def sheet(columns, rows, rng):
    """Columns in any order, one that nobody knows among them; what is called otherwise is told by flags. Returns bytes and flags."""
    delimiter, end = rng.choice(",;\t"), rng.choice(["\n", "\r\n"])
    heads = {c: rng.choice(COLUMNS[c]) for c in columns}
    flags = [piece for c, h in heads.items() if h == "source / x" for piece in ("--column", f"{c}={h}")]
    order = [*columns, *(["note"] if rng.random() < .3 else [])]
    rng.shuffle(order)
    lines = [delimiter.join(field(heads.get(c, c), delimiter, rng) for c in order)]
    lines += [delimiter.join(field(str(row.get(c, "no, nothing")), delimiter, rng) for c in order) for row in rows]
    text = (rng.choice(["", "\ufeff"]) + end.join(lines) + rng.choice(["", end])).encode()
    return (gzip.compress(text) if rng.random() < .2 else text), flags


def number(n, rng):
    return rng.choice([str(n), f"{n}.0", f" {n} ", f"+{n}", f"{n}e0"]) if isinstance(n, int) and n >= 0 else str(n)


def written_paths():
    """Separators, quotes with line ends in them, names of columns, ways to write a number: the same figures."""
    for seed in range(SEED, SEED + CASES // 2):
        rng = random.Random(seed)
        separator = rng.choice(SEPARATORS)
        names = [n for n in rng.sample(STRANGE, 8) if separator not in n and separator.strip() not in (n, "")][:rng.choice([1, 3, 5])] or ["A", "B"]
        blank = " " if separator.strip() else ""
        rows = [([names[ord(c) % len(names)] for c in p], *rest) for p, *rest in draw(rng, of_anyone)]
        text, flags = sheet(("path", "conversions", "value", "null"), [
            {"path": f"{blank}{separator}{blank}".join(p), "conversions": number(c, rng), "value": v, "null": number(n, rng) if n else rng.choice(["", "0"])}
            for p, c, v, n in rows], rng)
        paths, ignore = merged(rows), rng.random() < .3
        longest = max(len(p[0]) for p in paths)
        order = rng.choice([k for k in range(1, 7) if k == 1 or k <= longest])
        models = ["first", "linear", "participation", "markov", "shapley_ordered", "shapley_paths", "shao_li"]
        found = table("--model", ",".join(models), "--order", order, "--null", "ignore" if ignore else "use", "--separator", separator, *flags, text=text)
        compare(rows, paths, found, models, order, ignore, f"seed {seed}, written with {separator!r}: {rows}")


def moment(at, how, rng):
    """Microseconds since 1970, as others write them."""
    seconds, micros = divmod(at, 10 ** 6)
    if how == "date":
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    if how == "epoch":
        return f"{seconds}.{micros:06}" if micros else rng.choice([f"{seconds}", f"{seconds}000", f"{seconds}000000", f"{seconds}000000000"])
    minutes = rng.choice([0, 540, -480, 330, 0])
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    text = datetime.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d" + rng.choice("T ") + "%H:%M:%S")
    text += f".{micros:06}".rstrip("0") if micros else rng.choice(["", ".000"])
    sign, off = "-" if minutes < 0 else "+", abs(minutes)
    return text + (f"{sign}{off // 60:02}:{off % 60:02}" if minutes else rng.choice(["Z", "", "+00:00"]))


def decayed(rows, reset, lookback, half_life):
    """time_decay in floats: touches keep their times through the oracle's journeys."""
    found = {}
    timed = [(who, at, (at, channel) if channel else "", converted, (at, value)) for who, at, channel, converted, value in rows]
    for path, conversions, last, _ in oracle.journeys(timed, reset, lookback):
        weights = [2 ** ((at - last[0]) / half_life) for at, _ in path] if conversions else []
        for (_, channel), weight in zip(path, weights):
            sums = found.setdefault(channel, [0, 0])
            for i, whole in enumerate((1, last[1])):
                sums[i] += weight / math.fsum(weights) * whole
    return found


def written_touches():
    """Rows of touches by any clock, with ties, lookbacks that end on a touch, conversions by a flag or by the name of an event."""
    for seed in range(SEED, SEED + CASES):
        rng = random.Random(seed)
        how = rng.choice(["date", "epoch", "iso", "iso"])
        step = {"date": 86400 * 10 ** 6, "epoch": rng.choice([43200 * 10 ** 6, 10 ** 6, 1]), "iso": rng.choice([21600 * 10 ** 6, 1])}[how]
        begin = 1767225600 * 10 ** 6
        channels, people = rng.sample([n for n in STRANGE if n != "direct"], rng.choice([1, 3, 4])), rng.sample(STRANGE, 4)
        rows = []
        for _ in range(rng.choice([1, 6, 30, 80])):
            converted = rng.random() < .25
            rows.append((rng.choice(people), begin + rng.randrange(30) * step, "" if converted and rng.random() < .4 else rng.choice(channels), converted,
                         rng.choice([0, 5, -3, 250]) if converted else 0))
        named = rng.random() < .3
        yes, no = (rng.choice(["purchase", "Order Completed", "order_completed"]), "page_view") if named else rng.choice(
            [("1", "0"), ("true", "FALSE"), ("Yes", "no"), ("1", "")])
        tell = "event" if named else "converted"
        text, flags = sheet(("customer", "time", "channel", tell, "value"), [
            {"customer": who, "time": moment(at, how, rng), "channel": channel, tell: yes if converted else no, "value": value if converted else rng.choice(["", "0"])}
            for who, at, channel, converted, value in rows], rng)
        reset, days, ignore = rng.random() < .5, rng.choice([None, 1, .5, 3.25, 7]), rng.random() < .3
        lookback = days and int(days * 86400 * 10 ** 6)
        paths = merged(oracle.journeys(rows, reset, lookback))
        longest = max([0, *(len(p[0]) for p in paths)])
        order = rng.choice([k for k in range(1, 7) if k == 1 or k <= longest])
        models = ["last", "linear", "position", "markov", "shapley", "shao_li"]
        found = table("--model", ",".join([*models, "time_decay"]), "--journey", "reset" if reset else "reuse", "--lookback", days or "none", "--order", order,
                      "--null", "ignore" if ignore else "use", "--half-life", 2, *flags, text=text)
        where = f"seed {seed}, {how}, {'reset' if reset else 'reuse'}, {days} d: {rows}"
        for channel, (conversions, value) in decayed(rows, reset, lookback, 2 * 86400 * 10 ** 6).items():
            near(found[channel, "time_decay"]["credited_conversions"], conversions, (where, channel))
            near(found[channel, "time_decay"]["credited_value"], value, (where, channel), sum(abs(r[4]) for r in rows))
        listed = {c for c, _ in found}
        paths += [([c], 0, F(0), 0) for c in listed - {NOBODY} - set(names_of(paths))]  # beyond the lookback
        compare(paths, paths, found, models, order, ignore, where)


# ---- games of many channels ----

def alike(sizes, counts):
    """The rate game of classes of channels that are alike, exactly: counts are (conversions, nulls) of each path that has so many channels
    of each class. Returns paths and, by class, a channel's share of all conversions."""
    names = [[f"{chr(97 + k)}{i}" for i in range(size)] for k, size in enumerate(sizes)]
    paths = []
    for takes, (conversions, nulls) in counts.items():
        for some in itertools.product(*(itertools.combinations(n, t) for n, t in zip(names, takes))):
            paths.append(([c for of in some for c in of], conversions, F(0), nulls))

    def worth(have):
        ways = {t: math.prod(math.comb(h, k) for h, k in zip(have, t)) for t in counts}
        hits = sum(w * counts[t][0] for t, w in ways.items())
        every = sum(w * sum(counts[t]) for t, w in ways.items())
        return F(hits, every) if every else F(0)
    total, shares = sum(sizes), []
    for k, size in enumerate(sizes):
        share = F(0)
        for have in itertools.product(*(range(s + (i != k)) for i, s in enumerate(sizes))):
            ways = math.prod(math.comb(s - (i == k), h) for i, (s, h) in enumerate(zip(sizes, have)))
            more = tuple(h + (i == k) for i, h in enumerate(have))
            share += ways * (worth(more) - worth(have)) / (total * math.comb(total - 1, sum(have)))
        shares.append(share if size else F(0))
    whole = sum(share * size for share, size in zip(shares, sizes))
    conversions = sum(p[1] for p in paths)
    return paths, {n: shares[k] / whole * conversions for k, of in enumerate(names) for n in of}


def games():
    """Rate games of up to 24 channels exactly, of more within their standard errors; all coalitions of some."""
    rng = random.Random(SEED)
    for sizes in ((1, 1, 6), (5, 4, 3), (8, 8, 8), (12, 9, 6)):
        counts = {t: (rng.randrange(1, 9), rng.randrange(40)) for t in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1))}
        paths, wanted = alike(sizes, counts)
        rng.shuffle(paths)
        found = table("--model", "shapley_rate", "--samples", 4000, "--seed", SEED, text=as_csv(paths, rng))
        for channel, conversions in wanted.items():
            row = found[channel, "shapley_rate"]
            if sum(sizes) <= 24:
                near(row["credited_conversions"], conversions, (sizes, channel))
            else:
                assert abs(row["credited_conversions"] - float(conversions)) < 2.6 * (row["high"] - row["low"]), (sizes, channel, row, float(conversions))


def main():
    print(f"TABIJI_SEED={SEED}, {CASES} cases", flush=True)
    combinations()
    cancelling()
    loops()
    wide()
    journeys()
    chosen_orders()
    written_paths()
    written_touches()
    games()
    print("attribute, random: as the oracle says")


if __name__ == "__main__":
    main()
