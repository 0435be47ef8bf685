#!/usr/bin/env python3
"""`tabiji budget` over files of spend and sales made from known curves: the curves come back, the shares beat every split on
a grid, experiments calibrate, --save shows in v_budget, and what cannot be computed is named."""
import contextlib
import datetime
import itertools
import json
import sqlite3
import subprocess

from harness import PROGRAM, ROOT, Workspace, tabiji

MAPPINGS = ROOT / "deploy" / "mappings"
CURVES = {"LINE": (90000, 1.0, 4000), "Paid Search": (150000, 1.8, 6000), "Display": (30000, 0.8, 2000)}
START = datetime.date(2026, 3, 2)  # a Monday
DAYS = 28


def earned(curve, x):
    beta, alpha, gamma = curve
    return beta * x ** alpha / (x ** alpha + gamma ** alpha) if x > 0 else 0


def spent(k, day):
    """A ramp that is another for each channel."""
    return 500 + 431 * ((day * (5, 11, 17)[k] + k) % DAYS)


def write_files(path):
    spend = ["channel,campaign,day,cost,currency"]
    sales = ["customer_id,time,interaction,conversion,conversion_value,channel"]
    for day in range(DAYS):
        date = START + datetime.timedelta(days=day)
        for k, (channel, curve) in enumerate(CURVES.items()):
            x = spent(k, day)
            spend.append(f"{channel},,{date},{x},USD")
            sales.append(f"{channel}-{day},{date}T03:00:00Z,click,1,{earned(curve, x):.2f},{channel}")
    spend += [f"Flyer,,{START},700,USD"]
    (path / "spend.csv").write_text("\n".join(spend) + "\n")
    (path / "sales.csv").write_text("\n".join(sales) + "\n")
    (path / "yen.csv").write_text("channel,campaign,day,cost,currency\nLINE,,2026-03-02,100,JPY\n")


def load(data, *pairs):
    for mapping, file in pairs:
        tabiji("import", "--data", data, "--mapping", MAPPINGS / mapping, file)


def ask(data, *flags):
    return json.loads(tabiji("budget", "--data", data, "--period", "day", "--json", *flags))


def refuse(data, wanted, *flags, code=2):
    run = subprocess.run([PROGRAM, "budget", "--data", str(data), *flags], capture_output=True, text=True, timeout=60)
    assert run.returncode == code and wanted in run.stderr, (flags, run.returncode, run.stderr)
    assert "nan" not in run.stdout.lower()
    lines = [line for line in run.stderr.splitlines() if not line.startswith("try: ")]
    assert len(lines) == 1 and lines[0].startswith("tabiji budget: "), ("one line says it", run.stderr)


def check_curves(answer):
    rows = {row["channel"]: row for row in answer["channels"]}
    for k, (channel, curve) in enumerate(CURVES.items()):
        row = rows[channel]
        assert row["periods"] == DAYS and row["fitted"], row
        seen = (row["beta"], row["alpha"], row["gamma"])
        assert all(abs(a / b - 1) < 1e-3 for a, b in zip(seen, curve)), (seen, curve)
        mean = sum(spent(k, day) for day in range(DAYS)) / DAYS
        assert abs(row["spend"] - mean) < 1e-6, row
        assert row["largest_spend"] == max(spent(k, day) for day in range(DAYS)), row
        value = sum(round(earned(curve, spent(k, day)), 2) for day in range(DAYS)) / DAYS
        assert abs(row["attributed"] - value) < 0.01 and abs(row["roas"] - value / mean) < 1e-5, row
    # Too few periods: no curve, and it keeps what it has.
    flyer = rows["Flyer"]
    assert not flyer["fitted"] and flyer["budget"] == flyer["spend"] == 700 and flyer["beta"] is None
    assert abs(sum(row["budget"] for row in rows.values()) - answer["total"]) < 1e-6
    marginals = [row["budget_marginal_roas"] for row in rows.values() if row["fitted"] and row["budget"] > 1]
    assert max(marginals) / min(marginals) < 1 + 1e-6, marginals


def check_shares(data, total, low, high):
    flags = [f for c, n in low.items() for f in ("--min", f"{c}={n}")] + [f for c, n in high.items() for f in ("--max", f"{c}={n}")]
    rows = {row["channel"]: row for row in ask(data, "--total", str(total + 700), *flags)["channels"]}
    curves = {c: (rows[c]["beta"], rows[c]["alpha"], rows[c]["gamma"]) for c in CURVES}
    names = list(CURVES)
    for c in names:
        assert low.get(c, 0) - 1e-6 <= rows[c]["budget"] <= high.get(c, 1e18) + 1e-6, rows[c]
    reached = sum(earned(curves[c], rows[c]["budget"]) for c in names)
    steps, best = 200, 0
    for i, k in itertools.product(range(steps + 1), repeat=2):
        split = (total * i / steps, total * k / steps, total * (steps - i - k) / steps)
        if split[2] >= 0 and all(low.get(c, 0) <= x <= high.get(c, 1e18) for c, x in zip(names, split)):
            best = max(best, sum(earned(curves[c], x) for c, x in zip(names, split)))
    assert reached >= best * (1 - 1e-9) > 0, (total, reached, best)


def check_guess(data):
    """Money beyond what any curve has seen is shared out, and said to be a guess, in what is kept too; what is held is none."""
    flags = ["--period", "day", "--total", "90000", "--max", "Display=3000"]
    run = subprocess.run([PROGRAM, "budget", "--data", str(data), *flags], capture_output=True, text=True, timeout=60, check=True)
    assert "beyond the largest spend seen" in run.stderr, run.stderr
    rows = {row["channel"]: row for row in ask(data, *flags, "--save")["channels"]}
    wanted = {"LINE": True, "Paid Search": True, "Display": False, "Flyer": False}
    assert {c: row["beyond_seen"] for c, row in rows.items()} == wanted, rows
    with contextlib.closing(sqlite3.connect(f"file:{data / 'tabiji.db'}?mode=ro", uri=True)) as db:
        for table in ("budget", "v_budget"):
            kept = db.execute(f"SELECT channel, beyond_seen, largest_spend FROM {table} WHERE model = 'linear'").fetchall()
            assert kept and {c: (bool(b), x) for c, b, x in kept} == {c: (wanted[c], rows[c]["largest_spend"]) for c in wanted}, kept


def check_experiment(data):
    last = START + datetime.timedelta(days=6)
    attributed = sum(round(earned(CURVES["LINE"], spent(0, day)), 2) for day in range(7))
    rows = {row["channel"]: row for row in
            ask(data, "--experiment", f"LINE={attributed / 4:.2f}:{START}:{last}", "--save")["channels"]}
    assert abs(rows["LINE"]["factor"] - 0.25) < 1e-6 and rows["Display"]["factor"] == 1
    assert abs(rows["LINE"]["baseline"] / (rows["LINE"]["attributed"] * 0.75) - 1) < 1e-6
    assert abs(rows["LINE"]["beta"] / (CURVES["LINE"][0] / 4) - 1) < 1e-3, rows["LINE"]
    db = sqlite3.connect(f"file:{data / 'tabiji.db'}?mode=ro", uri=True)
    seen = {row[0]: row[1:] for row in db.execute(
        "SELECT channel, factor, budget, budget_change, marginal_roas, caused FROM v_budget WHERE model = 'linear' AND currency = 'USD'")}
    assert seen.keys() == rows.keys()
    for channel, row in rows.items():
        wanted = (row["factor"], row["budget"], row["budget"] - row["spend"], row["marginal_roas"], row["attributed"] * row["factor"])
        assert seen[channel] == wanted, (seen[channel], wanted)
    again = ask(data, "--save")
    assert db.execute("SELECT count(*), max(factor) FROM v_budget").fetchone() == (len(again["channels"]), 1.0)


def check_refusals(space, data):
    refuse(data, "no such model", "--model", "best")
    refuse(data, 'did you mean "LINE"', "--min", "LIME=3", "--period", "day")
    refuse(data, "--min needs CHANNEL=N", "--min", "LINE=-3")
    refuse(data, "--min needs CHANNEL=N", "--min", "LINE=nan")
    refuse(data, "--total must be an amount", "--total", "-5")
    refuse(data, "--period is day", "--period", "year")
    refuse(data, "does not fit the bounds", "--period", "day", "--total", "1000", "--min", "LINE=2000")
    refuse(data, "does not fit the bounds", "--period", "day", "--min", "LINE=20", "--max", "LINE=10")
    refuse(data, "periods enough", "--period", "month")
    refuse(data, "nothing is attributed", "--period", "day", "--experiment", "LINE=5:2025-01-01:2025-01-31")
    refuse(data, "--experiment needs", "--experiment", "LINE=5:2026-03-09:2026-03-02")
    refuse(data, "no spend in that currency", "--currency", "EUR")
    none = space.path / "none"
    load(none, ("touch-log.ini", space.path / "sales.csv"))
    refuse(none, "there is no spend")
    load(none, ("spend.ini", space.path / "yen.csv"))
    refuse(none, "only in: USD")
    load(data, ("spend.ini", space.path / "yen.csv"))
    refuse(data, "say by --currency")
    assert ask(data, "--currency", "USD")["currency"] == "USD"
    refuse(space.path / "absent", "absent", code=4)


def check_absurd_amounts(path):
    """Amounts that no sum can hold do not end the verbs that add them."""
    data = path / "absurd"
    load(data, ("spend.ini", path / "spend.csv"), ("touch-log.ini", path / "sales.csv"))
    early = int(datetime.datetime(2026, 3, 5, tzinfo=datetime.timezone.utc).timestamp()) * 1000000
    with contextlib.closing(sqlite3.connect(data / "tabiji.db")) as db:
        for table, column in (("event", "revenue_minor"), ("conversion", "revenue_minor"), ("path", "revenue_minor"),
                              ("attribution_credit", "credited_revenue_minor")):
            few = f" AND occurred_at < {early}" if table in ("event", "conversion") else ""
            assert db.execute(f"UPDATE {table} SET {column} = {2**63 - 1} WHERE {column} > 0{few}").rowcount > 1, table
        assert db.execute(f"UPDATE spend SET cost_minor = {2**63 - 1} WHERE day < '2026-03-05'").rowcount > 1
        db.commit()
    for row in json.loads(tabiji("budget", "--data", data, "--period", "week", "--json"))["channels"]:
        assert row["spend"] > 1e16 or row["channel"] == "Flyer", row
    assert tabiji("attribute", "--data", data, "--format", "csv").count("\n") > 3


def check_solved(data):
    """Models that are solved earn what they give the channel, shared by days; here in the days with spend."""
    wanted = sqlite3.connect(f"file:{data / 'tabiji.db'}?mode=ro", uri=True).execute("""
        SELECT channel, sum(credited_revenue_minor) / 100.0 FROM v_credit_day
        JOIN (SELECT DISTINCT channel, day FROM spend WHERE cost_minor > 0) USING (channel, day) WHERE model = 'markov'
        GROUP BY 1""").fetchall()
    for row in ask(data, "--model", "markov", "--save")["channels"]:
        earned = dict(wanted).get(row["channel"], 0)
        assert abs(row["attributed"] * row["periods"] - earned) < 1e-6 * max(earned, 1), (row, earned)
    assert wanted and any(minor > 0 for _, minor in wanted)
    shown = sqlite3.connect(f"file:{data / 'tabiji.db'}?mode=ro", uri=True).execute("SELECT DISTINCT model FROM v_budget").fetchall()
    assert ("markov",) in shown, shown


def check_cut_off_weeks(path):
    """Weeks in which the data begins or ends are no whole ones: of the rest the curve comes back. The table says its units, and what the
    curve gives now beside what it would give."""
    data, curve = path / "weeks", (90000, 1.4, 9000)
    spend, sales = ["channel,campaign,day,cost,currency"], ["customer_id,time,interaction,conversion,conversion_value,channel"]
    for day in range(4, 9 * 7 + 3):  # Friday to Wednesday
        date, x = START + datetime.timedelta(days=day), 1400 * (1 + day // 7 * 5 % 9)
        spend.append(f"LINE,,{date},{x / 7:.2f},USD")
        sales.append(f"w-{day},{date}T03:00:00Z,click,1,{earned(curve, x) / 7:.2f},LINE")
    (path / "weeks.csv").write_text("\n".join(spend) + "\n")
    (path / "weekly.csv").write_text("\n".join(sales) + "\n")
    load(data, ("spend.ini", path / "weeks.csv"), ("touch-log.ini", path / "weekly.csv"))
    answer = json.loads(tabiji("budget", "--data", data, "--json", "--total", "30000", "--save"))
    row, = answer["channels"]
    assert (answer["first_day"], answer["last_day"]) == ("2026-03-06", "2026-05-06"), answer
    assert (row["periods"], row["periods_cut"]) == (8, 2), row
    assert all(abs(row[n] / w - 1) < 1e-3 for n, w in zip(("beta", "alpha", "gamma"), curve)), row
    assert abs(row["spend"] - sum(1400 * (1 + w * 5 % 9) for w in range(1, 9)) / 8) < 1e-6, row
    assert abs(row["spend_value"] / earned(curve, row["spend"]) - 1) < 1e-3 and abs(row["budget_value"] / earned(curve, 30000) - 1) < 1e-3, row
    db = sqlite3.connect(f"file:{data / 'tabiji.db'}?mode=ro", uri=True)
    assert db.execute("SELECT periods_cut, spend_value FROM v_budget").fetchall() == [(2, row["spend_value"])]
    shown = tabiji("budget", "--data", data)
    assert "attributed USD/week" in shown and "earns by curve USD/week" in shown and "2026-03-06 to 2026-05-06" in shown, shown
    days, = json.loads(tabiji("budget", "--data", data, "--json", "--period", "day"))["channels"]
    assert (days["periods"], days["periods_cut"]) == (62, 0), days


def main():
    with Workspace() as space:
        data = space.path / "data"
        write_files(space.path)
        load(data, ("spend.ini", space.path / "spend.csv"), ("touch-log.ini", space.path / "sales.csv"))
        check_curves(ask(data))
        check_shares(data, 12000, {}, {})
        check_shares(data, 4000, {}, {})
        check_shares(data, 20000, {"Display": 5000}, {"Paid Search": 7000})
        check_guess(data)
        check_experiment(data)
        tabiji("budget", "--data", data, "--period", "day")
        check_solved(data)
        check_refusals(space, data)
        check_absurd_amounts(space.path)
        check_cut_off_weeks(space.path)


if __name__ == "__main__":
    main()
