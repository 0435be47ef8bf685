"""What models count of the paths of published tables, from scratch: of transitions, or of a path's channels (ATTRIBUTION.md,
"Algorithmic models", "Streaming"). Rows are those of oracle.py. Shares no code with the program."""
import collections

ALL_NULLS = {"shapley_rate", "shapley_paths", "shapley_paths_ordered", "shao_li"}


def transitions(channels, order):
    """(from, to) of one path: () is the start on the left and the end on the right."""
    states = [tuple(channels[i:i + order]) for i in range(max(1, len(channels) - order + 1))] if channels else []
    way = [(), *states, ()]
    return [(a, b) for a, b in zip(way, way[1:]) if a != b or not a]


def coalition(channels, kind):
    distinct = tuple(dict.fromkeys(channels))
    return ((), distinct if kind == "shapley_paths_ordered" else tuple(sorted(distinct, key=lambda c: c.encode())))


def paths(rows, model):
    """(outcome, currency, channels, minor) of what the model looks at; money is net of refunds."""
    back = collections.Counter()
    for row in rows:
        if row["table"] == "conversion" and row["kind"] == "refund":
            back[row["person"], row["refund_of"]] += row["minor"]
    for row in rows:
        if row["table"] == "conversion" and row["kind"] == "conversion" and (not model["types"] or row["type"] in model["types"]):
            seen = [t["channel"] for t in row["touches"][row["reset_from"] if model["reset"] else 0:]
                    if not model["lookback_h"] or row["at"] - t["at"] <= model["lookback_h"] * 3_600_000_000]
            yield "converting", row["currency"], seen, row["minor"] + back[row["person"], row["id"]]
        elif row["table"] == "profile" and row["open_path"]:
            if model["kind"] == "markov" and not model["ignore"] or model["kind"] in ALL_NULLS:
                yield "open", "", [t["channel"] for t in row["open_path"]], 0


def counts(rows, models):
    found = collections.defaultdict(lambda: [0, 0])
    for model in models:
        if model["kind"] != "markov" and not model["kind"].startswith("sha"):
            continue  # a rule
        for outcome, currency, channels, minor in paths(rows, model):
            markov = model["kind"] == "markov"
            for left, entered in transitions(channels, model["order"]) if markov else [coalition(channels, model["kind"])]:
                cell = found[model["name"], outcome, currency, left, entered]
                cell[0] += 1
                cell[1] += minor if not markov or not entered else 0
    return dict(found)
