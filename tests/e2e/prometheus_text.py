"""Reads Prometheus' text format 0.0.4 and refuses what a scraper or promtool would: names, HELP and TYPE once and before their
samples, families in one piece, labels, numbers, no sample twice, histograms cumulative and whole, counters that end with _total."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|\Z)')


def labels_of(text):
    found, at = {}, 0
    while at < len(text or ""):
        label = LABEL.match(text, at)
        assert label and label[1] not in found, f"bad labels: {text}"
        found[label[1]] = label[2]
        at = label.end()
    return found


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        series.setdefault(rest, {"buckets": []})
        if sample == name + "_bucket":
            series[rest]["buckets"].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
        else:
            series[rest][sample[len(name):]] = value
    for one in series.values():
        bounds = [bound for bound, _ in one["buckets"]]
        counts = [count for _, count in one["buckets"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), name
        assert counts == sorted(counts) and counts[-1] == one["_count"] and one["_sum"] >= 0, name


def parse(text):
    """{(sample name, ((label, value), ...)): number}."""
    assert text.endswith("\n") and "\r" not in text
    samples, types, helps, family, family_samples = {}, {}, set(), None, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert re.fullmatch(NAME, name) and name not in helps and len(line.split(" ", 3)) == 4, line
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helps and name not in types and kind in ("counter", "gauge", "histogram"), line
            assert (kind == "counter") == name.endswith("_total"), line
            types[name], family, family_samples[name] = kind, name, {}
        else:
            found = SAMPLE.match(line)
            assert found, f"no sample: {line}"
            name, labels, value = found[1], tuple(labels_of(found[2]).items()), float(found[3])
            base = re.sub(r"_(bucket|sum|count)$", "", name) if types.get(family) == "histogram" else name
            assert base == family, f"outside of its family: {line}"
            assert (name, labels) not in samples, f"twice: {line}"
            samples[name, labels] = family_samples[family][name, labels] = value
    assert helps == set(types)
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, family_samples[name])
    return samples


def total(samples, name, **labels):
    """Sum over the samples of a name that have these labels."""
    return sum(value for (sample, pairs), value in samples.items() if sample == name and labels.items() <= dict(pairs).items())
