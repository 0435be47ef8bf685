#!/usr/bin/env python3
"""The main job on the real file: touches, conversions and revenue, credits that reconcile; and the same dump of every
table when the file comes twice, shuffled, in ten parts, or is killed in the midst and resumed."""
import csv
import io
import random
import sqlite3
import subprocess
import time

from harness import PROGRAM, ROOT, SHARED, Workspace, need, same, tabiji

FILE = need(SHARED / "data" / "journeys" / "attribution_data.csv")
MAPPING = ROOT / "deploy" / "mappings" / "touch-log.ini"
ALL_MODELS = ROOT / "deploy" / "config" / "all-models.ini"
TOUCHES, CONVERSIONS, REVENUE_MINOR = 62483, 1838, 1142350
MODELS = {"first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"}
BESIDES = {"w_shape", "full_path", "custom", "participation"}
SOLVED = {"markov", "shapley", "shapley_ordered", "shapley_rate", "shapley_paths", "shapley_paths_ordered", "shao_li"}


def load(data, *files):
    tabiji("import", "--data", data, "--mapping", MAPPING, *files)


def dump(data):
    return tabiji("state", "dump", "--data", data)


def check_figures(data):
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    one = lambda sql: db.execute(sql).fetchone()
    assert one("SELECT count(*) FROM touch") == (TOUCHES,), one("SELECT count(*) FROM touch")
    assert one("SELECT count(*), sum(revenue_minor) FROM conversion") == (CONVERSIONS, REVENUE_MINOR)
    assert {m for m, in db.execute("SELECT DISTINCT model FROM attribution_credit")} == MODELS
    bad = one("""SELECT count(*) FROM (
        SELECT person, conversion_id, model, sum(weight) AS share, sum(credited_revenue_minor) AS credited
        FROM attribution_credit GROUP BY person, conversion_id, model) AS a
        JOIN conversion AS c USING (person, conversion_id) WHERE abs(share - 1) > 1e-9 OR credited <> c.revenue_minor""")
    assert bad == (0,), f"{bad} conversions and models do not reconcile"
    pairs = one("SELECT count(*) FROM (SELECT DISTINCT person, conversion_id, model FROM attribution_credit)")
    assert pairs == (CONVERSIONS * len(MODELS),), pairs
    for model, minor in db.execute("SELECT model, sum(credited_revenue_minor) FROM attribution_credit GROUP BY model"):
        assert minor == REVENUE_MINOR, (model, minor)
    persons = one("SELECT count(*) FROM person")
    assert persons == (7896,), persons
    print(f"figures: {TOUCHES} touches, {CONVERSIONS} conversions, {REVENUE_MINOR} minor units, {len(MODELS)} models reconcile")


def check_all_models(data):
    """With the README's configuration every model stands in v_model_comparison, no column of NULL, participation flagged; and the rules
    that are not credited by otherwise have the figures of `tabiji attribute` on what was exported."""
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    columns = [name for _, name, *_ in db.execute("PRAGMA table_info(v_model_comparison)")]
    models = {name.removesuffix("_revenue_minor") for name in columns if name.endswith("_revenue_minor")}
    assert models == MODELS | BESIDES | SOLVED, models
    counts = ", ".join(f'count("{name}")' for name in columns)
    found = dict(zip(columns, db.execute(f"SELECT {counts} FROM v_model_comparison").fetchone()))
    assert all(found.values()), found
    assert {m for m, in db.execute("SELECT DISTINCT model FROM v_model_comparison_long WHERE NOT sums")} == {"participation"}
    for model in models - {"participation"}:
        minor, = db.execute(f'SELECT sum("{model}_revenue_minor") FROM v_model_comparison').fetchone()
        assert minor == REVENUE_MINOR, (model, minor)
    for model in sorted(BESIDES):
        rows = db.execute("SELECT * FROM v_export_model_touches WHERE model = ?", (model,))
        out = io.StringIO()
        csv.writer(out).writerows([[c[0] for c in rows.description], *rows])
        said = subprocess.run([PROGRAM, "attribute", "--lookback", "none", "--model", model, "--weights", "40:20:40", "--format", "csv", "-"]
                              if model == "custom" else [PROGRAM, "attribute", "--lookback", "none", "--model", model, "--format", "csv", "-"],
                              input=out.getvalue(), capture_output=True, text=True, check=True, timeout=60).stdout
        wanted = {r["channel"]: (float(r["credited_conversions"]), float(r["credited_value"])) for r in csv.DictReader(io.StringIO(said))}
        kept = {c: (n, v) for c, n, v in db.execute(f"SELECT channel, {model}_conversions, {model}_revenue FROM v_model_comparison")}
        assert kept.keys() == wanted.keys() and len(kept) > 4, (kept, wanted)
        assert all(abs(a - b) <= 1e-12 * max(1, b) for c in kept for a, b in zip(kept[c], wanted[c])), (model, kept, wanted)
    print(f"all: {len(models)} models side by side")


def main():
    rng = random.Random(20260101)
    with Workspace() as space:
        started = time.monotonic()
        load(space.path / "once", FILE)
        print(f"import took {time.monotonic() - started:.2f} s")
        check_figures(space.path / "once")
        wanted = dump(space.path / "once")
        tabiji("import", "--data", space.path / "all", "--config", ALL_MODELS, "--mapping", MAPPING, FILE)
        check_all_models(space.path / "all")

        load(space.path / "once", FILE)
        same("imported twice", dump(space.path / "once"), wanted)

        header, *rows = FILE.read_text().splitlines()
        rng.shuffle(rows)
        shuffled = space.path / "shuffled.csv"
        shuffled.write_text("\n".join([header, *rows]) + "\n")
        load(space.path / "shuffled", shuffled)
        same("shuffled", dump(space.path / "shuffled"), wanted)

        parts = []
        for n in range(10):
            parts.append(space.path / f"part-{n}.csv")
            parts[-1].write_text("\n".join([header, *rows[n::10]]) + "\n")
        load(space.path / "parts", *parts[:4])
        for part in reversed(parts[4:]):
            load(space.path / "parts", part)
        same("ten parts", dump(space.path / "parts"), wanted)

        for turn, seconds in enumerate((0.05, 0.15, 0.3, 0.45, 0.6)):
            data = space.path / f"killed-{turn}"
            for again in range(3):
                process = space.start("import", "--data", data, "--mapping", MAPPING, FILE)
                time.sleep(seconds * (again + 1))
                process.kill()
                process.wait()
            load(data, FILE)
            same(f"killed after {seconds} s, thrice", dump(data), wanted)


if __name__ == "__main__":
    main()
