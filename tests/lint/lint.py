#!/usr/bin/env python3
"""House rules that a machine can hold.

    lint.py format|arrows|sizes|headers|words [ROOT] [--compiler CC] [--include DIR]

format   clang-format 14 changes nothing
arrows   includes point one way: schemas <- ingest <- enrich <- sinks <- deploy
sizes    a file within 800 lines, a function within 70
headers  every header compiles alone
words    no tabs, trailing blanks or absolute paths of a machine in the sources
"""
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOMS = ["schemas", "ingest", "enrich", "sinks", "deploy", "tests"]
FILE_LINES_MAX, FUNCTION_LINES_MAX = 800, 70


def sources(root, *endings):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        str(p.relative_to(root)) for room in ROOMS for p in pathlib.Path(root, room).rglob("*")]
    return sorted(n for n in names if n.endswith(endings) and pathlib.Path(root, n).is_file())


def check_format(root, _):
    files = sources(root, ".c", ".h", ".cc")
    run = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], cwd=root, capture_output=True, text=True)
    return [line for line in run.stderr.splitlines() if "error:" in line]


def check_arrows(root, _):
    bad = []
    for name in sources(root, ".c", ".h", ".cc"):
        room = name.split("/")[0]
        if room not in ROOMS:
            continue
        for number, line in enumerate(pathlib.Path(root, name).read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            other = found.group(1).split("/")[0]
            if other not in ROOMS:
                bad.append(f"{name}:{number}: include is not rooted: {found.group(1)}")
            elif ROOMS.index(other) > ROOMS.index(room):
                bad.append(f"{name}:{number}: {room} may not include {other}")
    return bad


def check_sizes(root, _):
    bad = []
    for name in sources(root, ".c", ".h", ".cc", ".py", ".sh"):
        lines = pathlib.Path(root, name).read_text().splitlines()
        if len(lines) > FILE_LINES_MAX:
            bad.append(f"{name}: {len(lines)} lines, at most {FILE_LINES_MAX}")
        if not name.endswith((".c", ".cc")):
            continue
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > FUNCTION_LINES_MAX:
                    bad.append(f"{name}:{start}: function of {number - start - 1} lines, at most {FUNCTION_LINES_MAX}")
                start = None
    return bad


def check_headers(root, options):
    def compile_alone(name):
        run = subprocess.run([options["compiler"], "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter",
                              "-Werror", "-fsyntax-only", f"-I{root}", f"-I{options['include']}", "-x", "c", "-"],
                             input=f'#include "{name}"\n', capture_output=True, text=True)
        return [] if run.returncode == 0 else [f"{name}: does not compile alone:", *run.stderr.splitlines()[:4]]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(compile_alone, sources(root, ".h")) for line in lines]


def check_words(root, _):
    bad = []
    for name in sources(root, ".c", ".h", ".cc", ".py", ".sh", ".build", ".avsc", ".md", ".ini"):
        for number, line in enumerate(pathlib.Path(root, name).read_text().splitlines(), 1):
            if "\t" in line:
                bad.append(f"{name}:{number}: tab")
            if line != line.rstrip() and not name.endswith(".md"):
                bad.append(f"{name}:{number}: blanks at the end")
            if re.search(r"/(home|work|root)/[a-z]", line):
                bad.append(f"{name}:{number}: path of one machine")
    return bad


CHECKS = {"format": check_format, "arrows": check_arrows, "sizes": check_sizes, "headers": check_headers, "words": check_words}


def main(argv):
    options = {"compiler": "cc", "include": "."}
    rest = []
    at = 0
    while at < len(argv):
        if argv[at].startswith("--"):
            options[argv[at][2:]] = argv[at + 1]
            at += 1
        else:
            rest.append(argv[at])
        at += 1
    if not rest or rest[0] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 2
    bad = CHECKS[rest[0]](rest[1] if len(rest) > 1 else ".", options)
    print("\n".join(bad) if bad else f"{rest[0]}: nothing found")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
