#!/usr/bin/env python3
"""Embedded end to end: NDJSON of about 1 kB an event to reconciled SQLite tables, beside DuckDB answering the same question
once, in batch, from the same file in the same run.

    end_to_end.py [--events N] [--keep DIR]

DuckDB (PyPI) is looked for in this Python, else installed into a private environment in the cache directory. It keeps
nothing and corrects nothing: it joins identifiers in one pass (login, else loyalty, e-mail, phone, install, cookie, each mapped
to a login seen with it), takes touches of 90 days before each order, and credits them by first, last and linear.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ.get("TABIJI_PROGRAM", "build-release/deploy/tabiji")
ROOT = pathlib.Path(__file__).resolve().parents[2]

QUESTION = """
CREATE TEMP TABLE e AS SELECT id, type, time::TIMESTAMPTZ AS happened, ids, campaign, page, "order", message FROM read_ndjson('{file}',
  columns={{id:'VARCHAR', type:'VARCHAR', time:'VARCHAR', ids:'STRUCT(login VARCHAR, loyalty VARCHAR, email VARCHAR, phone VARCHAR,
  install VARCHAR, cookie VARCHAR, "order" VARCHAR)', campaign:'STRUCT(source VARCHAR, medium VARCHAR)', page:'STRUCT(url VARCHAR, referrer
  VARCHAR)', "order":'STRUCT(order_id VARCHAR, revenue VARCHAR)', message:'STRUCT(kind VARCHAR)'}});
CREATE TEMP TABLE known AS SELECT cookie, min(login) AS login FROM (SELECT ids.cookie AS cookie, ids.login AS login FROM e
  WHERE ids.login IS NOT NULL AND ids.cookie IS NOT NULL) GROUP BY cookie HAVING count(DISTINCT login) = 1;
CREATE TEMP TABLE p AS SELECT e.*, coalesce(ids.login, k.login, ids.loyalty, ids.email, ids.phone, ids.install, ids.cookie,
  ids."order") AS person FROM e LEFT JOIN known k ON k.cookie = ids.cookie;
CREATE TEMP TABLE touch AS SELECT person, happened, id, CASE
  WHEN message.kind IS NOT NULL THEN message.kind
  WHEN type LIKE 'call%' THEN 'Call Center' WHEN type LIKE 'store%' OR type = 'qr_scanned' THEN 'Store'
  WHEN coalesce(campaign.medium, regexp_extract(page.url, 'utm_medium=([a-z_]+)', 1)) = 'cpc' THEN 'Paid Search'
  WHEN coalesce(campaign.medium, regexp_extract(page.url, 'utm_medium=([a-z_]+)', 1)) <> '' THEN 'Paid Other'
  WHEN regexp_matches(page.referrer, 'google|yahoo') THEN 'Organic Search' WHEN page.referrer = '' THEN 'Direct'
  ELSE 'Referral' END AS channel FROM (SELECT *, lag(happened) OVER (PARTITION BY person ORDER BY happened) AS previous FROM p)
  WHERE type NOT LIKE 'page%' AND type NOT LIKE 'product%' AND type NOT IN ('message_sent', 'order_completed')
  OR previous IS NULL OR happened - previous > INTERVAL 30 MINUTE;
CREATE TEMP TABLE path AS SELECT c.id, c.revenue, t.channel, t.happened,
  row_number() OVER (PARTITION BY c.id ORDER BY t.happened) AS n, count(*) OVER (PARTITION BY c.id) AS length FROM
  (SELECT person, happened, id, "order".revenue::BIGINT AS revenue FROM p WHERE type IN ('order_completed', 'store_purchase')) c
  JOIN touch t ON t.person = c.person AND t.happened < c.happened AND t.happened >= c.happened - INTERVAL 90 DAY;
SELECT channel, sum((n = 1)::INT), sum((n = length)::INT), sum(1.0 / length), sum(revenue * 1.0 / length) FROM path GROUP BY channel
ORDER BY channel;
"""


def duckdb_python():
    """A Python that can import duckdb: this one, else one in the cache."""
    if subprocess.run([sys.executable, "-c", "import duckdb"], capture_output=True).returncode == 0:
        return sys.executable
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tabiji" / "duckdb"
    python = home / "bin" / "python"
    if not python.exists():
        print("== installing duckdb into the cache directory", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "duckdb"], check=True)
    return str(python)


def measured(arguments, **options):
    """Runs a command; returns seconds, CPU seconds and peak MiB of it."""
    started = time.monotonic()
    process = subprocess.Popen(arguments, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"{arguments[:3]} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    work = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="tabiji-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"events-{options.events}.ndjson"
    if not file.exists():
        with open(file, "wb") as out:
            subprocess.run([PROGRAM, "generate", "--events", str(options.events)], stdout=out, check=True)
    size = file.stat().st_size
    python = duckdb_python()
    query = QUESTION.format(file=file)
    subprocess.run(["cat", str(file)], stdout=subprocess.DEVNULL, check=True)
    duck = min(measured([python, "-c", "import duckdb,sys; duckdb.connect().execute(sys.argv[1]).fetchall()", query]) for _ in range(3))
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)
    ours = measured([PROGRAM, "import", "--data", str(data), "--mapping", str(ROOT / "deploy/mappings/native.ini"), str(file)],
                    stderr=subprocess.DEVNULL)
    db = sqlite3.connect(f"file:{data}/tabiji.db?mode=ro", uri=True)
    rows = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("event", "touch", "conversion", "attribution_credit", "person")}
    million = options.events / 1e6
    print(f"cores {os.cpu_count()}, events {options.events}, {size / options.events:.0f} bytes each; rows {json.dumps(rows)}")
    print(f"duckdb  {duck[0]:6.2f} s  {duck[1] / million:6.2f} CPU s/M  peak {duck[2]:6.0f} MiB")
    print(f"tabiji  {ours[0]:6.2f} s  {ours[1] / million:6.2f} CPU s/M  peak {ours[2]:6.0f} MiB  "
          f"{options.events / ours[0]:,.0f} events/s  ratio {ours[0] / duck[0]:.1f} (goal at most 5)")
    if not options.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
