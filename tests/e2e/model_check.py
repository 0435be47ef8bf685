"""Whether a database's models are those of its paths: counts from scratch exactly, solutions as `tabiji attribute` gives them for the
exported paths."""
import csv
import io
import json
import pathlib
import sqlite3
import subprocess
import sys

from harness import PROGRAM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "property"))
import model_oracle  # noqa: E402

DEFAULTS = [{"name": kind, "kind": kind, "order": 1, "ignore": 0, "types": [], "lookback_h": 0, "reset": 0}
            for kind in ("markov", "shapley", "shapley_ordered", "shapley_rate", "shapley_paths", "shapley_paths_ordered", "shao_li")]
COLUMNS = ("credited_conversions", "credited_value", "removal_effect_conversions", "removal_effect_value")
RULES = ("first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j")
TOLERANCE = 1e-12


def connect(data):
    return sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)


def path_rows(db):
    """Paths as model_oracle.py wants them; a database's have no times, so models have no lookback here."""
    for person, name, taken in db.execute("SELECT person, refund_of, revenue_minor FROM conversion WHERE kind = 'refund'"):
        yield {"table": "conversion", "kind": "refund", "person": person, "refund_of": name, "minor": taken}
    for person, name, kind, conversion, channels, minor, currency, reset in db.execute(
            "SELECT p.person, p.path_key, p.kind, c.type, p.channels, p.revenue_minor, coalesce(p.currency, ''), c.reset_from FROM path AS p "
            "LEFT JOIN conversion AS c ON c.person = p.person AND c.conversion_id = p.path_key AND p.kind = 'converting'"):
        touches = [{"channel": name, "at": 0} for name in channels.split(" > ")] if channels else []
        if kind == "converting":
            yield {"table": "conversion", "kind": "conversion", "type": conversion, "currency": currency, "touches": touches, "at": 0,
                   "minor": minor, "person": person, "id": name, "reset_from": reset}
        else:
            yield {"table": "profile", "open_path": touches}


def check_counts(db, models):
    found = {(model, outcome, currency, tuple(json.loads(left)), tuple(json.loads(entered))): [paths, minor]
             for model, outcome, currency, left, entered, paths, minor in db.execute(
                 "SELECT model, outcome, currency, from_channels, to_channels, sum(paths), sum(revenue_minor) FROM model_transition "
                 "GROUP BY 1, 2, 3, 4, 5")}
    wanted = model_oracle.counts(list(path_rows(db)), models)
    assert found == wanted, sorted({k: (found.get(k), wanted.get(k)) for k in found.keys() | wanted.keys()
                                    if found.get(k) != wanted.get(k)}.items())[:5]
    return len(found)


def exported(db, model, currency):
    """The paths that the model sees, as a file for tabiji attribute."""
    unit = (db.execute("SELECT minor_per_major FROM currency WHERE currency = ?", (currency,)).fetchone() or [1])[0]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["path", "total_conversions", "total_conversion_value", "total_null"])
    for outcome, of, channels, minor in model_oracle.paths(list(path_rows(db)), dict(model, kind="markov", ignore=0)):
        if outcome == "open":
            writer.writerow([" > ".join(channels), 0, 0, 1])
        elif of == currency:
            writer.writerow([" > ".join(channels), 1, minor / unit, 0])
    return out.getvalue()


def run(text, *arguments):
    found = subprocess.run([PROGRAM, "attribute", "--format", "csv", *arguments, "-"], input=text.encode(), capture_output=True)
    assert found.returncode == 0, found.stderr.decode()
    return csv.DictReader(io.StringIO(found.stdout.decode()))


def attribute(text, model):
    flags = ["--order", str(model["order"]), "--null", "ignore" if model["ignore"] else "use"] if model["kind"] == "markov" else []
    return {row["channel"]: row for row in run(text, "--model", model["kind"], *flags)}


def view(db, name, currency, model=None):
    """An export as an analyst makes it."""
    of = "model = ? AND" if model else ""
    cursor = db.execute(f"SELECT * FROM {name} WHERE {of} (currency = ? OR currency IS NULL)", ([model] if model else []) + [currency])
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column[0] for column in cursor.description])
    writer.writerows(cursor)
    return out.getvalue()


def check_rules(db):
    """What the views say of every rule is what tabiji attribute says of the exported paths, and whole units sum to the net revenue."""
    compared = 0
    for currency, net in db.execute("SELECT currency, sum(revenue_minor) FROM conversion WHERE currency IS NOT NULL GROUP BY 1").fetchall():
        paths, touches = view(db, "v_export_paths", currency), view(db, "v_export_touches", currency)
        wanted = {(row["model"], row["channel"]): row for row in run(touches, "--model", ",".join(RULES), "--lookback", "none")}
        for row in run(paths, "--model", ",".join(m for m in RULES if m != "time_decay")):
            for column in COLUMNS[:2]:
                other = wanted[row["model"], row["channel"]][column]
                assert abs(float(row[column]) - float(other)) <= TOLERANCE * max(1.0, abs(float(other))), (row, other)
        sums = dict.fromkeys(RULES, 0)
        db.row_factory = sqlite3.Row
        for row in db.execute("SELECT * FROM v_model_comparison WHERE currency = ?", (currency,)).fetchall():
            for model in RULES:
                if row[f"{model}_conversions"] is None:
                    continue
                sums[model] += row[f"{model}_revenue_minor"]
                for ours, theirs in zip(("conversions", "revenue"), COLUMNS):
                    other = float(wanted[model, row["channel"]][theirs])
                    assert abs(row[f"{model}_{ours}"] - other) <= TOLERANCE * max(1.0, abs(other)), (currency, model, row["channel"], ours,
                                                                                                    row[f"{model}_{ours}"], other)
                    compared += 1
        db.row_factory = None
        assert set(sums.values()) == {net}, (currency, sums, net)
    return compared


def check_solutions(db, models):
    compared = 0
    for model in models:
        currencies = [c for c, in db.execute("SELECT DISTINCT currency FROM v_model_channel WHERE model = ?", (model["name"],))]
        for currency in currencies:
            wanted = attribute(exported(db, model, currency), model)
            db.row_factory = sqlite3.Row
            for row in db.execute("SELECT * FROM v_model_channel WHERE model = ? AND currency = ?", (model["name"], currency)):
                for column in COLUMNS:
                    other = wanted[row["channel"]][column]
                    assert (row[column] is None) == (other == ""), (model, currency, row["channel"], column, row[column], other)
                    if other:
                        near = abs(row[column] - float(other)) <= TOLERANCE * max(1.0, abs(float(other)))
                        assert near, (model, currency, row["channel"], column, row[column], other)
                        compared += 1
            db.row_factory = None
    return compared


def check_sums(db):
    """Channels of each model and currency sum to the net revenue of its conversions, in whole minor units."""
    solved = db.execute("SELECT model, currency, sum(credited_revenue_minor) FROM v_model_channel WHERE model_version <> '' GROUP BY 1, 2").fetchall()
    for model, currency, minor in solved:
        net = db.execute("SELECT sum(revenue_minor) FROM model_transition WHERE model = ? AND currency = ?", (model, currency)).fetchone()[0]
        assert minor == net, (model, currency, minor, net)
    return len(solved)


def check(data, models=None, solutions=True):
    """Returns how many counts and figures were compared; solutions: those of v_model_channel are of now."""
    models = DEFAULTS if models is None else models
    db = connect(data)
    counts = check_counts(db, models)
    figures = check_rules(db) + (check_solutions(db, models) + check_sums(db) if solutions else 0)
    db.close()
    assert counts or not models, "nothing was counted"
    return counts, figures
