#!/usr/bin/env python3
"""`tabiji test MAPPING --samples DIR`: what a mapping gives of sample files, beside what it should; the diff; --update."""
import json
import shutil
import subprocess

from harness import PROGRAM, ROOT, Workspace

MAPPING = """[file]
name = receipts
format = csv
source = pos

[event store_purchase]
id = {no}
time = time
ids.loyalty = card
order.order_id = no
order.revenue = total
order.currency = "JPY"
"""
ROWS = "no,time,card,total\nR-1,2026-11-20T10:15:00+09:00,M-1,1980\nR-2,2026-11-20T11:15:00+09:00,M-2,oops\nR-3,2026-11-20T12:15:00+09:00,M-3,500\n"


def run(*arguments):
    done = subprocess.run([PROGRAM, "test", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def main():
    with Workspace() as space:
        mapping, samples = space.path / "receipts.ini", space.path / "samples"
        samples.mkdir()
        mapping.write_text(MAPPING)
        test = (mapping, "--samples", samples)
        assert run(*test)[0] == 4 and "has no samples" in run(*test)[2]
        (samples / "README.md").write_text("what these are")
        (samples / "day.csv").write_text(ROWS)

        code, text, _ = run(*test)
        assert code == 1 and text.startswith("day.csv: has no .expected beside it; 2 events, 1 rejected\n+{"), text
        assert not (samples / "day.csv.expected").exists()
        code, text, _ = run(*test, "--update")
        assert code == 0 and text.endswith("1 samples: 0 differ, 1 written\n"), text
        lines = [json.loads(line) for line in (samples / "day.csv.expected").read_text().splitlines()]
        assert [line.get("id", line.get("rejected")) for line in lines] == ["R-1", "bad_money", "R-3"], lines
        assert lines[0]["order"] == {"currency": "JPY", "order_id": "R-1", "revenue": "1980"} and lines[0]["source"] == "pos", lines
        assert lines[1]["line"] == 3 and lines[1]["pointer"] == "total", lines
        code, text, _ = run(*test)
        assert (code, text) == (0, "day.csv: as expected; 2 events, 1 rejected\n1 samples: 0 differ, 0 written\n"), text

        # A mapping that has changed, an output that was touched, an expected file that nothing gives.
        mapping.write_text(MAPPING.replace("ids.loyalty = card", "ids.loyalty = card\nproperties.till = card"))
        code, text, _ = run(*test)
        assert code == 1 and text.splitlines()[0] == "day.csv: differs (- expected, + given); 2 events, 1 rejected", text
        assert [line[0] for line in text.splitlines()[1:-1]] == ["-", "+", " ", "-", "+"], text
        code, text, _ = run(*test, "--json")
        told = json.loads(text)
        assert code == 1 and told["differ"] == 1 and told["samples"][0]["verdict"].startswith("differs"), told
        assert [line[0] for line in told["samples"][0]["diff"]] == ["-", "+", " ", "-", "+"] and '"till"' in told["samples"][0]["diff"][1], told
        mapping.write_text(MAPPING)
        (samples / "gone.csv.expected").write_text("{}\n")
        code, text, _ = run(*test)
        assert code == 1 and "gone.csv.expected: has no sample beside it" in text, text
        (samples / "gone.csv.expected").unlink()
        cut = (samples / "day.csv.expected").read_text()[:-20]
        (samples / "day.csv.expected").write_text(cut)
        assert run(*test)[0] == 1 and (samples / "day.csv.expected").read_text() == cut, "only --update writes"

        # The same whatever the tenant key is; other namespaces and a tracking plan count.
        (samples / "day.csv").write_text(ROWS)
        run(*test, "--update")
        subprocess.run([PROGRAM, "keys", "new", space.path / "tenant.key"], check=True, capture_output=True)
        assert run(*test, "--set", f"identity.key_file={space.path}/tenant.key")[0] == 0
        plan = space.path / "plan" / "pos"
        plan.mkdir(parents=True)
        (plan / "store_purchase.json").write_text('{"properties":{"order":{"properties":{"order_id":{"const":"R-1"}}}}}')
        code, text, _ = run(*test, "--set", f"plan.dir={plan.parent}")
        assert code == 1 and '+{"hint":"is not \\"R-1\\"","line":4' in text and '"schema_violation"' in text, text

        # What cannot be tested.
        for code, words, *arguments in (
                (2, "needs --samples", mapping), (4, "No such file", mapping, "--samples", space.path / "none"),
                (2, "receipts.ini:13: ", mapping, "--samples", samples), (1, "Not a directory", mapping, "--samples", samples / "day.csv"),
                (2, "none.ini", space.path / "none.ini", "--samples", samples)):
            mapping.write_text(MAPPING + ("order.revenu = total\n" if ":13" in words else ""))
            got = run(*arguments)
            assert got[0] == code and words in got[2], (arguments, got)
        mapping.write_text(MAPPING)
        (samples / "bad.csv").write_text("no,card,total\n")
        code, text, why = run(*test, "--json")
        assert code == 2 and "time" in json.loads(text)["error"]["message"] and "bad.csv" in why, (text, why)

        # Every mapping that comes with the program, over the samples that the unit tests have.
        for name in ("call-records", "pos-receipts", "shopify-orders", "touch-log", "spend", "segment", "native"):
            shipped = space.path / name
            shipped.mkdir()
            data = next(p for p in (ROOT / "tests/golden/import").glob(f"{name}.*") if p.suffix != ".golden")
            shutil.copy(data, shipped)
            arguments = (ROOT / f"deploy/mappings/{name}.ini", "--samples", shipped)
            assert run(*arguments, "--update")[0] == 0 and run(*arguments)[0] == 0, name
    print("mappings over samples: compared, shown, written")


if __name__ == "__main__":
    main()
