"""Attribution models the slow way, in rational numbers: removal by solving again, Shapley over all orders."""
from fractions import Fraction as F
from itertools import combinations, permutations
from math import comb, factorial, fsum, inf, log

START, CONVERSION, NULL = "(start)", "(conversion)", "(null)"


def solve(matrix, right):
    """Gauss-Jordan over fractions."""
    n = len(matrix)
    rows = [list(matrix[i]) + [right[i]] for i in range(n)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        inverse = 1 / rows[i][i]
        rows[i] = [v * inverse for v in rows[i]]
        for k in range(n):
            if k != i and rows[k][i] != 0:
                factor = rows[k][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i])]
    return [row[n] for row in rows]


def states_of(path, order):
    found = [tuple(path)] if len(path) <= order else [tuple(path[i:i + order]) for i in range(len(path) - order + 1)]
    kept = []
    for state in found:
        if not kept or kept[-1] != state:
            kept.append(state)
    return kept


def markov(paths, order, ignore_nulls=False):
    """{channel: (effect, value effect, conversions, value)}; paths: [(channels, conversions, value, nulls)]."""
    flow, start, ends, values = {}, {}, {}, {}
    channels = list(dict.fromkeys(c for path, *_ in paths for c in path))
    for path, conversions, value, nulls in paths:
        nulls = 0 if ignore_nulls else nulls
        weight = conversions + nulls
        if not path or weight == 0:
            continue
        states = states_of(path, order)
        start[states[0]] = start.get(states[0], 0) + weight
        for a, b in zip(states, states[1:]):
            flow.setdefault(a, {})[b] = flow.get(a, {}).get(b, 0) + weight
        ends.setdefault(states[-1], [0, 0])[0] += conversions
        ends[states[-1]][1] += nulls
        values[states[-1]] = values.get(states[-1], 0) + F(value)
    states = list(dict.fromkeys([*start, *flow, *(b for f in flow.values() for b in f), *ends]))
    out = {s: sum(flow.get(s, {}).values()) + sum(ends.get(s, [0, 0])) for s in states}
    total = sum(start.values())

    def chance(removed, what):
        left = [s for s in states if removed not in s]
        index = {s: i for i, s in enumerate(left)}
        matrix = [[F(int(i == k)) for k in range(len(left))] for i in range(len(left))]
        for a in left:
            for b, weight in flow.get(a, {}).items():
                if b in index:
                    matrix[index[a]][index[b]] -= F(weight) / out[a]
        solved = solve(matrix, [F(what(s)) / out[s] for s in left])
        return sum(F(w) / total * solved[index[s]] for s, w in start.items() if s in index)

    conversions = sum(p[1] for p in paths if p[0])
    value = sum(F(p[2]) for p in paths if p[0] and p[1] + (0 if ignore_nulls else p[3]))
    if not total:
        return {c: (F(0),) * 4 for c in channels}
    whole = chance(None, lambda s: ends.get(s, [0])[0])
    whole_value = chance(None, lambda s: values.get(s, 0))
    assert whole == F(conversions) / total and whole_value == value / total
    effects = {c: 1 - chance(c, lambda s: ends.get(s, [0])[0]) / whole if whole else F(0) for c in channels}
    value_effects = {c: 1 - chance(c, lambda s: values.get(s, 0)) / whole_value if whole_value else F(0) for c in channels}
    parts, value_parts = sum(effects.values()), sum(value_effects.values())
    share = {c: e / parts if parts else F(0) for c, e in effects.items()}
    return {c: (effects[c], value_effects[c], share[c] * conversions,
                (value_effects[c] / value_parts if value_parts else share[c]) * value) for c in channels}


def transformed(path, how):
    """exposure: runs are one; first, unique: each channel once, where it comes first or last; frequency: so, with how often."""
    if how == "exposure":
        return [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
    once = list(dict.fromkeys(path))
    if how == "unique":
        return list(reversed(list(dict.fromkeys(reversed(path)))))
    return [f"{c}({path.count(c)})" for c in once] if how == "frequency" else once if how == "first" else path


def rates_of_ends(paths, order):
    """(rate, conversions, nulls) of each state that journeys end in."""
    ends = {}
    for path, conversions, _, nulls in paths:
        if path and conversions + nulls:
            found = ends.setdefault(states_of(path, order)[-1], [0, 0])
            found[0] += conversions
            found[1] += nulls
    return [(F(c, c + n), c, n) for c, n in ends.values()]


def corrected(area, paths, order, conversions, nulls):
    channels = len({c for path, *_ in paths for c in path})
    left = conversions + nulls - comb(channels + order - 1, order) - 1
    return max(F(0), 1 - (1 - area) * (conversions + nulls - 1) / left) if left > 0 else F(0)


def pauc(paths, order):
    """The corrected area under the curve, every converting journey against every other one, in fractions."""
    rates = rates_of_ends(paths, order)
    conversions, nulls = sum(c for _, c, _ in rates), sum(n for *_, n in rates)
    wins = worse = 0
    by_rate = {}
    for rate, hits, misses in rates:
        found = by_rate.setdefault(rate, [0, 0])
        found[0] += hits
        found[1] += misses
    for _, (hits, misses) in sorted(by_rate.items()):
        wins += hits * (2 * worse + misses)
        worse += misses
    area = F(wins, 2 * conversions * nulls) if conversions and nulls else F(1, 2)
    return corrected(area, paths, order, conversions, nulls)


def pauc_of_points(paths, order, points=100):
    """The same as ChannelAttribution has it: straight lines between so many points of the curve, at rates as far from each other."""
    rates = rates_of_ends(paths, order)
    conversions, nulls = sum(c for _, c, _ in rates), sum(n for *_, n in rates)
    low, high = float(min(r for r, *_ in rates)), float(max(r for r, *_ in rates))
    marks = [low + i * (high - low) / (points - 1) for i in range(points)]
    curve = [(F(0), F(0))]
    ordered = sorted(((float(r), c, n) for r, c, n in rates), reverse=True)
    at = hits = misses = 0
    for mark in reversed(marks):
        while at < len(ordered) and ordered[at][0] >= mark:
            hits, misses, at = hits + ordered[at][1], misses + ordered[at][2], at + 1
        curve.append((F(misses, nulls), F(hits, conversions)))
    curve.append((F(1), F(1)))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(curve, curve[1:]))
    return corrected(area, paths, order, conversions, nulls)


def best_order(paths, most=6):
    """The first of the best."""
    longest = max([1, *(len(p[0]) for p in paths)])
    scores = {k: pauc(paths, k) for k in range(1, min(most, longest) + 1)}
    return max(scores, key=lambda k: (scores[k], -k)), scores


def shao_li(paths):
    """Channels' and pairs' rates of conversion, summed over conversions and scaled to them."""
    sets = [(frozenset(p), c, n) for p, c, _, n in paths if p]

    def rate(*some):
        inside = [(c, n) for s, c, n in sets if s.issuperset(some)]
        hits, journeys = sum(c for c, _ in inside), sum(c + n for c, n in inside)
        return F(hits, journeys) if journeys else F(0)
    found = {c: F(0) for s, *_ in sets for c in s}
    for channels, conversions, _ in sets:
        for c in channels if conversions else ():
            others = [o for o in channels if o != c]
            gained = sum(rate(c, o) - rate(c) - rate(o) for o in others)
            found[c] += conversions * (rate(c) + (gained / (2 * len(others)) if others else 0))
    whole, total = sum(found.values()), sum(c for _, c, _ in sets)
    return {c: v / whole * total if whole else F(0) for c, v in found.items()}


def markov_iterated(paths, order, only=None):
    """The same in floats, by following journeys step by step until nobody is on the way; only: effects alone, of these channels."""
    flow, start, ends, values = {}, {}, {}, {}
    for path, conversions, value, nulls in paths:
        if not path or not conversions + nulls:
            continue
        weight, states = conversions + nulls, states_of(path, order)
        start[states[0]] = start.get(states[0], 0) + weight
        for a, b in zip(states, states[1:]):
            flow.setdefault(a, {})[b] = flow.get(a, {}).get(b, 0) + weight
        end = ends.setdefault(states[-1], [0, 0])
        end[0] += conversions
        end[1] += nulls
        values[states[-1]] = values.get(states[-1], 0) + value
    total = sum(start.values())
    out = {s: sum(flow.get(s, {}).values()) + sum(ends.get(s, [0, 0])) for s in {*start, *flow, *ends}}

    def met(removed):
        on_the_way, chance, value = {s: w / total for s, w in start.items() if removed not in s}, [], []
        while on_the_way:
            following = {}
            for s, part in on_the_way.items():
                chance.append(part * ends.get(s, [0])[0] / out[s])
                value.append(part * values.get(s, 0) / out[s])
                for b, w in flow.get(s, {}).items():
                    if removed not in b and part * w / out[s] > 1e-25:
                        following[b] = following.get(b, 0) + part * w / out[s]
            on_the_way = following
        return fsum(chance), fsum(value)

    whole, whole_value = met(None)
    channels = dict.fromkeys(c for path, *_ in paths for c in path)
    without = {c: met(c) for c in only or channels}
    effects = {c: (1 - a / whole, 1 - b / whole_value) for c, (a, b) in without.items()}
    if only:
        return effects
    sums = [fsum(e[i] for e in effects.values()) for i in (0, 1)]
    conversions, value = sum(p[1] for p in paths if p[0]), sum(p[2] for p in paths if p[0])
    return {c: (e, v, e / sums[0] * conversions, v / sums[1] * value) for c, (e, v) in effects.items()}


def shapley_by_touch(paths):
    """Ordered: a channel's touch gets 1 / (its touches * the path's channels)."""
    found = {}
    for path, conversions, *_ in paths:
        for c in path:
            found[c] = found.get(c, F(0)) + F(conversions, path.count(c) * len(set(path)))
    return found


def shapley_game(channels, worth):
    """By all orders."""
    found = {c: F(0) for c in channels}
    for order in permutations(channels):
        before, seen = F(0), []
        for c in order:
            seen.append(c)
            now = worth(frozenset(seen))
            found[c] += now - before
            before = now
    return {c: v / factorial(len(channels)) for c, v in found.items()}


def shapley_rate(paths):
    channels = sorted({c for path, *_ in paths for c in path})
    conversions = sum(p[1] for p in paths if p[0])

    def worth(some):
        inside = [p for p in paths if p[0] and set(p[0]) <= some]
        journeys = sum(p[1] + p[3] for p in inside)
        return F(sum(p[1] for p in inside)) / journeys if journeys else F(0)
    found = shapley_game(channels, worth)
    total = sum(found.values())
    return {c: v / total * conversions if total else F(0) for c, v in found.items()}


def shapley_paths(paths, ordered):
    """Each path's own game over exact rates."""
    def key(path):
        once = tuple(dict.fromkeys(path))
        return once if ordered else tuple(sorted(once))
    counts = {}
    for path, conversions, _, nulls in paths:
        if path:
            found = counts.setdefault(key(path), [0, 0])
            found[0] += conversions
            found[1] += nulls
    rate = {k: F(c) / (c + n) if c + n else F(0) for k, (c, n) in counts.items()}
    found = {c: F(0) for path, *_ in paths for c in path}
    for sequence, (conversions, nulls) in counts.items():
        n = len(sequence)
        if not conversions:
            continue
        for c in sequence:
            others = [x for x in sequence if x != c]
            for k in range(n):
                for some in combinations(others, k):
                    with_c = tuple(x for x in sequence if x in some or x == c)
                    gain = rate.get(with_c, F(0)) - rate.get(tuple(some), F(0))
                    found[c] += F(factorial(k) * factorial(n - k - 1), factorial(n)) * gain * (conversions + nulls)
    return found


def shapley(paths, column=1):
    """column: 1 of conversions, 2 of value."""
    found = {c: F(0) for path, *_ in paths for c in path}
    for row in paths:
        for c in set(row[0]):
            found[c] += F(row[column]) / len(set(row[0]))
    return found


def rules(paths, column=1):
    """{model: {channel: conversions}} of models that need no times; column 2: of value."""
    parts = {"position": (F(4, 10), F(2, 10), F(4, 10)), "j_shape": (F(2, 10), F(2, 10), F(6, 10)),
             "inverse_j": (F(6, 10), F(2, 10), F(2, 10))}
    found = {m: {} for m in ("first", "last", "linear", "participation", *parts)}

    def add(model, channel, amount):
        found[model][channel] = found[model].get(channel, F(0)) + amount
    for row in paths:
        path = row[0]
        if not path:
            continue
        n, count = len(path), F(row[column])
        add("first", path[0], count)
        add("last", path[-1], count)
        for c in path:
            add("linear", c, count / n)
        for c in set(path):
            add("participation", c, count)
        for model, (first, middle, last) in parts.items():
            weights = [F(1)] if n == 1 else [first, *[middle / max(n - 2, 1)] * (n - 2), last]
            for c, w in zip(path, weights):
                add(model, c, count * w / sum(weights))
    return found


def fit_touches(paths, credits, sweeps):
    """Plain proportional fitting, a cell a path and channel: {path: {channel: share}} of converting paths."""
    cells = {tuple(p): {c: 1.0 / len(set(p)) for c in p} for p, n, *_ in paths if p and n}
    weight = {}
    for path, conversions, *_ in paths:
        if path and conversions:
            weight[tuple(path)] = weight.get(tuple(path), 0) + conversions
    whole, positive = sum(weight.values()), sum(max(v, 0) for v in credits.values())
    wanted = {c: max(v, 0) / positive * whole if positive else 0 for c, v in credits.items()}
    for _ in range(sweeps):
        sums = {}
        for path, shares in cells.items():
            for c, share in shares.items():
                sums[c] = sums.get(c, 0) + weight[path] * share
        for path, shares in cells.items():
            scaled = {c: v * wanted[c] / sums[c] if sums[c] else 0 for c, v in shares.items()}
            total = sum(scaled.values())
            cells[path] = {c: v / total if total else 1 / len(shares) for c, v in scaled.items()}
    return cells, weight, wanted


def divergence(cells, weight, wanted):
    sums = {}
    for path, shares in cells.items():
        for c, share in shares.items():
            sums[c] = sums.get(c, 0) + weight[path] * float(share)
    return sum(w * log(w / sums[c]) if sums.get(c) else inf for c, w in wanted.items() if w > 0)


def journeys(rows, reset, lookback):
    """Paths of touches: rows (customer, seconds, channel, converted, value) in file order; lookback in seconds or None."""
    people = {}
    for row in rows:
        people.setdefault(row[0], []).append(row)
    paths = []
    for touches in people.values():
        touches = sorted(touches, key=lambda r: r[1])  # stable
        so_far, behind = [], 0
        for _, at, channel, converted, value in touches:
            if channel:
                so_far.append((at, channel))
            if converted:
                inside = [c for i, (t, c) in enumerate(so_far)
                          if (i >= behind or not reset) and (lookback is None or at - t <= lookback)]
                paths.append((inside, 1, value, 0))
                behind = len(so_far)
        if behind < len(so_far):
            paths.append(([c for _, c in so_far[behind:]], 0, 0, 1))
    return paths
