#!/usr/bin/env python3
"""The published tables of random event sets equal a plain batch computation (oracle.py, model_oracle.py), however the events come: shuffled,
twice, on 1, 3 or 7 partitions, with crashes, in small and large batches.

    test_journey.py PROGRAM [--seed N] [--cases N] [--verbose]

PROGRAM is journey_case. Prints the seed; `--seed S --cases 1` runs one case again.
"""
import argparse
import collections
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys

sys.dont_write_bytecode = True
import model_oracle  # noqa: E402
import oracle  # noqa: E402

SKIP = 77
RUNS = 5
DECAY_OFF_MAX = 1  # units by which a time_decay share may be off: our weights are exact to 2^-50 only


def load_spec():
    path = pathlib.Path(os.environ.get("TABIJI_SHARED", "absent")) / "spec" / "identity_spec.py"
    if not path.exists():
        print(f"skipped: no executable specification at {path}")
        sys.exit(SKIP)
    found = importlib.util.spec_from_file_location("identity_spec", path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


# ---- random event sets --------------------------------------------------------------------------------------------------------

POOL = {"login": 3, "loyalty": 3, "email": 3, "phone": 2, "cookie": 4, "device": 2}
TYPES = (["page_viewed"] * 6 + ["product_viewed", "screen_viewed", "app_opened", "signed_in"] * 2 + ["order_completed"] * 4 +
         ["store_purchase", "store_visited", "order_refunded", "order_cancelled", "item_returned"] * 2 +
         ["ad_clicked", "ad_impression", "ad_impression", "message_opened", "message_clicked", "message_sent", "call_started",
          "call_answered", "call_ended", "chat_started", "chat_ended", "qr_scanned", "staff_consulted", "coupon_redeemed", "order_shipped",
          "identified", "touch", "touch", "ticket_opened"])
MINUTE = 60_000


def random_ids(rng, few):
    """few: hardly more than one person, who then has a long timeline."""
    pool = {name: 1 for name in POOL} if few else POOL
    names = rng.sample(sorted(pool), rng.choice([1, 1, 2, 2, 3]))
    if few and rng.random() < .6:
        names = ["login", "cookie"]
    ids = {name: [f"{name}{rng.randint(1, pool[name])}"] for name in names}
    if "cookie" in names and rng.random() < .3:
        ids["cookie"] = sorted({*ids["cookie"], f"cookie{rng.randint(1, POOL['cookie'])}"})
    return ids


def random_money(rng, currency):
    return str(rng.choice([0, 1, 7, 100, 999, -50, rng.randint(1, 100000)])) if currency == "JPY" else f"{rng.randint(0, 20000) / 100:.2f}"


def add_order(rng, event):
    currency = rng.choice(["JPY", "JPY", "JPY", "USD"])
    order = {"currency": currency}
    if rng.random() < .85:
        order["order_id"] = rng.choice(["A", "B", "C", "D", "E", "e3", "x" * 300])
        if len(order["order_id"]) < 256 and rng.random() < .7:
            event["ids"]["order"] = [order["order_id"]]
    if rng.random() < .7:
        order["revenue"] = random_money(rng, currency)
    if event["type"] in oracle.REFUNDS and rng.random() < .5:
        order["items"] = [{"sku": "s", "quantity": rng.randint(1, 3), "price": random_money(rng, currency)} for _ in range(rng.randint(1, 2))]
    event["order"] = order


def random_event(rng, number, clock, few):
    event = {"id": f"e{number}", "source": rng.choice(["web", "pos"]), "type": rng.choice(TYPES), "time": clock, "ids": random_ids(rng, few),
             "time_quality": "client"}
    kind = event["type"]
    if rng.random() < .2:
        event["sequence"] = rng.randint(-2, 2)
    if kind in oracle.CONVERSIONS | oracle.REFUNDS | {"order_shipped"}:
        add_order(rng, event)
    if kind in oracle.CALLS | oracle.CHATS or kind == "order_completed" and rng.random() < .3:
        call = {"call_id": rng.choice(["", "K1", "K2"]), "direction": rng.choice(["inbound", "inbound", "outbound", "unknown"])}
        if rng.random() < .2:
            call["parent_id"] = "K1"
        event["call"] = call
    if kind in ("store_purchase", "store_visited", "staff_consulted") and rng.random() < .8:
        event["store"] = {"store_id": rng.choice(["S1", "S2"])}
    if kind.startswith(("message", "qr", "coupon")):
        event["message"] = {"kind": rng.choice(["email", "line", "direct_mail"])}
    if kind in oracle.WEB | {"ad_clicked", "message_clicked"} and rng.random() < .4:
        event["campaign"] = {"source": rng.choice(["google", "yahoo"]), "medium": rng.choice(["cpc", "email", ""]),
                             "name": rng.choice(["", "sale"]), "message": rng.choice(["", "hot"])}
    if kind in oracle.WEB:
        if rng.random() < .2:
            event["click"] = {"kind": "gclid", "value": rng.choice(["g1", "g2"])}
        event["page"] = {"host": "shop.example", "path": rng.choice(["/", "/p"])}
        event["device"] = {"kind": rng.choice(["desktop", "mobile"])}
    if kind == "touch" and rng.random() < .9 or rng.random() < .08:
        event["channel"] = rng.choice(["Direct", "Search", "Display", "旅路"])
    if rng.random() < .1:
        event["properties"] = {"n": number}
    return event


def random_events(rng, spec):
    """No two with one key: what variants() makes is meant, anything else of that kind is not judged the same in every order (where
    the first node of their chain is generic and they differ in weaker identifiers, they never meet)."""
    clock, few = 1_700_000_000_000, rng.random() < .5
    events = []
    for n in range(rng.choice([5, 15, 30, 60])):
        clock += rng.choice([0, 0, MINUTE, 10 * MINUTE, 29 * MINUTE, 30 * MINUTE, 31 * MINUTE, 240 * MINUTE, 26 * 60 * MINUTE, 1])
        events.append(random_event(rng, n if rng.random() < .95 else 3, clock, few))
    if rng.random() < .15:  # far from our days
        events.append(random_event(rng, 1000, rng.choice([-60_000_000_000_000, 250_000_000_000_000]), few))
    return list({oracle.event_key(spec, e): e for e in events}.values())


def variants(rng, events):
    """Other events under the key of an earlier one: other facts, or another time of the door."""
    found = {}
    for index in range(len(events)):
        if rng.random() < .04:
            other = json.loads(json.dumps(events[index]))
            if rng.random() < .5:
                other["properties"] = {"other": 1}
            else:
                events[index]["time_quality"] = other["time_quality"] = "server"
                other["time"] += rng.choice([1, 5 * MINUTE])
            found[index] = len(events) + len(found)
            events.append(other)
    return found


def random_models(rng):
    """What an operator may configure; counts of all partitions together must be those of the final paths."""
    kinds = ["markov"] * 4 + ["shapley"] * 2 + ["shapley_ordered", "shapley_rate", "shapley_paths", "shapley_paths_ordered", "shao_li"]
    kinds += ["w_shape", "full_path", "custom", "participation"] * 2 + ["linear", "time_decay", "position", "last_non_direct"]
    return [{"name": f"m{n}", "kind": rng.choice(kinds), "order": rng.choice([1, 1, 2, 3, 6]), "ignore": int(rng.random() < .3),
             "types": rng.choice([[], [], ["order_completed"], ["store_purchase", "order_completed"]]),
             "lookback_h": rng.choice([0, 0, 0, 4]), "reset": int(rng.random() < .3), "half_life_h": rng.choice([24, 168]),
             "weights": rng.choice([[1, 1, 1], [40, 20, 40], [0, 1, 0], [1000, 0, 3]])} for n in range(rng.randint(0, 6))]


# ---- schedules ------------------------------------------------------------------------------------------------------------------

def random_run(rng, count, pairs, number):
    once = set(pairs) | set(pairs.values())
    order = list(range(count))
    order += [i for i in rng.choices(range(count), k=count // 3 if rng.random() < .7 else 0) if i not in once]
    if number > 0 or rng.random() < .5:
        rng.shuffle(order)
    received = rng.sample(range(1_800_000_000_000_000, 1_800_000_100_000_000), len(order))
    log = []
    for index, at in zip(order, received):
        log.append([index, at])
        if rng.random() < .15:
            log.append([-1, rng.randint(1, 30)])
    return {"seed": rng.randrange(1 << 62), "partitions": [1, 3, 7][number % 3], "crash": rng.choice([0, 10, 30]),
            "batch": rng.choice([1, 3, 20, 1000]), "slow": rng.choice([0, 10, 30, 60]), "order": log}


def random_case(seed, spec):
    rng = random.Random(seed)
    events = random_events(rng, spec)
    pairs = variants(rng, events)
    config = {"session_s": 1800, "lookback_h": rng.choice([2160, 24]), "lookback_impression_h": rng.choice([24, 4]),
              "reset": int(rng.random() < .3), "impressions": int(rng.random() < .3), "path_max": rng.choice([1000, 1000, 2, 5]),
              "events_max": rng.choice([100000, 100000, 30, 12, 3]), "cache": rng.choice([1 << 28, 0, 5000])}
    config["leads"] = rng.sample(["signed_in", "ticket_opened", "store_visited", "chat_started", "order_shipped"], rng.randint(0, 2))
    config["opportunities"] = rng.sample(["product_viewed", "staff_consulted", "store_visited", "touch", "order_completed"], rng.randint(0, 2))
    config["models"] = [dict(m, ignore=int(m["ignore"] and m["kind"] == "markov")) for m in random_models(rng)]
    return {"case": seed, "up": rng.choice([1, 2, 5]), "down": rng.choice([2, 3, 1000]), "config": config, "events": events,
            "runs": [random_run(rng, len(events), pairs, n) for n in range(RUNS)]}


# ---- comparison -----------------------------------------------------------------------------------------------------------------

def near(found, wanted):
    """Equal, but for single units of time_decay; its sums are exact."""
    if found == wanted or found["table"] != "conversion":
        return found == wanted
    if {k: v for k, v in found.items() if k != "credits"} != {k: v for k, v in wanted.items() if k != "credits"}:
        return False

    def rest(row):
        return [c for c in row["credits"] if c["model"] != "time_decay"]

    def decay(row, name):
        shares = collections.Counter()
        for c in row["credits"]:
            if c["model"] == "time_decay":
                shares[c["name"], c["touch"]] += c[name]
        return shares

    for name in ("ppb", "minor"):
        ours, theirs = decay(found, name), decay(wanted, name)
        if any(sum(s for (model, _), s in ours.items() if model == of) != sum(s for (model, _), s in theirs.items() if model == of)
               for of, _ in ours | theirs):
            return False
        if any(abs(ours[i] - theirs[i]) > DECAY_OFF_MAX for i in ours | theirs):
            return False
    return rest(found) == rest(wanted)


def count_differences(case, rows, wanted):
    """Counts of all partitions add up to those of the final paths, exactly."""
    found = collections.defaultdict(lambda: [0, 0])
    bad = []
    for row in rows:
        if row["table"] != "count":
            continue
        cell = found[row["model"], row["outcome"], row["currency"], tuple(row["from"]), tuple(row["to"])]
        cell[0] += row["paths"]
        cell[1] += row["minor"]
        if row["paths"] <= 0:
            bad.append(f"a count that stands at {row['paths']}")
    scratch = model_oracle.counts(wanted, case["config"]["models"])
    bad += [f"count {key}: wanted {scratch.get(key)}, found {found.get(key)}" for key in sorted({*scratch, *found})
            if scratch.get(key) != found.get(key)]
    return bad


def differences(spec, case, run, rows):
    log = [case["events"][i] for i, _ in run["order"] if i >= 0]
    wanted, rejected = oracle.tables(spec, log, {"up_limit": case["up"], "down_limit": case["down"]}, case["config"])
    bad = []
    ours = [r for r in rows if r["table"] not in ("rejected", "count")]
    found = {(r["table"], r["key"]): r for r in ours}
    if len(found) != len(ours):
        bad.append("a row stands in two partitions")
    for row in wanted:
        other = found.pop((row["table"], row["key"]), None)
        if other is None or not near(other, row):
            bad.append(f"wanted {json.dumps(row, sort_keys=True)}\n found {json.dumps(other, sort_keys=True)}")
    bad += [f"too much: {json.dumps(row)}" for row in found.values()]
    bad += count_differences(case, rows, wanted)
    said = {(json.loads(r.get("payload", "{}")).get("event_key"), r["id"], r["reason"], r["stage"]) for r in rows
            if r["table"] == "rejected"}
    if said != {(key.hex(), e["id"], "id_conflict", "journey") for key, e in rejected}:
        bad.append(f"rejected {said}, wanted {[(k.hex(), e['id']) for k, e in rejected]}")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--cases", type=int, default=4000 if os.environ.get("TABIJI_LONG") == "1" else 400)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    spec = load_spec()
    print(f"seeds {options.seed}..{options.seed + options.cases - 1}, {RUNS} schedules each")
    process = subprocess.Popen([options.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts, bad = collections.Counter(), 0
    for seed in range(options.seed, options.seed + options.cases):
        case = random_case(seed, spec)
        process.stdin.write(json.dumps(case, ensure_ascii=False) + "\n")
        process.stdin.flush()
        dumps = []
        for number, run in enumerate(case["runs"]):
            line = process.stdout.readline()
            if not line:
                print(f"seed {seed} run {number}: the program ended with {process.wait()}")
                return 1
            answer = json.loads(line)
            dumps.append(answer["rows"] if "rows" in answer else dumps[answer["same_as"]])
            found = differences(spec, case, run, dumps[-1])
            if "sink" in answer:
                found.append("a sink that read the changes has other rows of events than the tables")
            counts["runs"] += 1
            counts.update(r["table"] + (" " + r["kind"] if "kind" in r else "") for r in dumps[-1])
            if found:
                bad += 1
                print(f"seed {seed} run {number} ({run['partitions']} partitions): {len(found)} differences")
                print("\n".join(found if options.verbose else found[:1]))
    process.stdin.close()
    print(f"{counts.pop('runs')} runs, {bad} differ; rows compared: {dict(counts)}")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
