#!/usr/bin/env python3
"""libtabiji as a dependency: the header in three languages, the names that it shows, both ways to link; the same built without librdkafka.

usage: test_producer_library.py SHARED-LIBRARY ARCHIVE PKG-CONFIG-FILE
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import producer_small

ROOT = pathlib.Path(os.environ["TABIJI_SOURCE_ROOT"])
HEADER = ROOT / "ingest/producer"
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Wstrict-prototypes", "-Wundef", "-Werror"]
PROGRAM = """#include <stdio.h>
#include "tabiji.h"
int main(void)
{
    struct tabiji_event *event = NULL;
    struct tabiji_problem problem = {0};
    int r;
    problem.size = sizeof problem;
    if (tabiji_event_new(TABIJI_CALL_ENDED, NULL, &event) != TABIJI_OK)
        return 1;
    (void)tabiji_event_add_identifier(event, "phone", "03-1234-5678");
    (void)tabiji_event_add_identifier(event, "lgoin", "u");
    r = tabiji_event_check(event, &problem);
    printf("%s %s %s %s\\n", tabiji_error_name(r), problem.code, problem.pointer, problem.hint);
    tabiji_event_free(&event);
    return 0;
}
"""
SAID = 'invalid unknown_namespace /ids/lgoin login\n'
# Asks for Kafka.
KAFKA = """#include <stdio.h>
#include "tabiji.h"
int main(void)
{
    struct tabiji_options options = {0};
    struct tabiji_problem problem = {0};
    struct tabiji_producer *producer = NULL;
    int r;
    options.size = sizeof options;
    options.kafka_config = "/etc/tabiji/tabiji.ini";
    options.kafka_source = "till";
    problem.size = sizeof problem;
    r = tabiji_producer_new(&options, &producer, &problem);
    printf("%s %s %s: %s\\n", tabiji_error_name(r), problem.code, problem.pointer, problem.hint);
    return producer != NULL;
}
"""
KAFKA_SAID = "argument argument kafka_config: this library was built without Kafka\n"
# Loads, uses and unloads it twice; nothing stays that no pointer leads to.
LOADER = """#include <dlfcn.h>
#include <stddef.h>
#include "tabiji.h"
int main(int argc, char **argv)
{
    int i;
    for (i = 0; i < 2; i++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        int (*open)(const struct tabiji_options *, struct tabiji_producer **, struct tabiji_problem *);
        int (*send)(struct tabiji_producer *, const char *, size_t, void *, struct tabiji_problem *);
        int (*close)(struct tabiji_producer **, int);
        const char json[] = "{\\"type\\":\\"x\\",\\"ids\\":{\\"phone\\":\\"03-1234-5678\\"}}";
        struct tabiji_options options = {sizeof options};
        struct tabiji_producer *producer = NULL;
        if (!library || argc != 2)
            return 2;
        *(void **)&open = dlsym(library, "tabiji_producer_new");
        *(void **)&send = dlsym(library, "tabiji_send_json");
        *(void **)&close = dlsym(library, "tabiji_producer_close");
        options.url = "http://127.0.0.1:1"; /* nobody is there */
        if (!open || !send || !close || open(&options, &producer, NULL) != TABIJI_OK)
            return 3;
        if (send(producer, json, sizeof json - 1, NULL, NULL) != TABIJI_OK)
            return 4;
        if (close(&producer, 100) != TABIJI_ERROR_TIMEOUT || dlclose(library) != 0)
            return 5;
    }
    return 0;
}
"""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def declared():
    """Names of the functions that the header has."""
    text = (HEADER / "tabiji.h").read_text()
    return set(re.findall(r"^TABIJI_API [^;(]*?\*?(tabiji_\w+)\(", text, re.M))


def check_header(directory):
    for compiler, language, standard in [("cc", "c", "c99"), ("cc", "c", "c11"), ("c++", "c++", "c++17")]:
        source = directory / f"header.{'c' if language == 'c' else 'cc'}"
        source.write_text('#include "tabiji.h"\n')
        run(compiler, f"-std={standard}", *[w for w in WARNINGS if language == "c" or w != "-Wstrict-prototypes"],
            "-fsyntax-only", f"-I{HEADER}", source)


def check_names(shared, archive):
    names = declared()
    assert len(names) > 40, names
    shown = {line.split()[2].split("@")[0] for line in run("nm", "-D", "--defined-only", shared).splitlines()} - {"TABIJI_0"}
    assert shown == names, f"shared library: {shown ^ names}"
    versions = run("nm", "-D", "--defined-only", "--with-symbol-versions", shared)
    assert all("@@TABIJI_0" in line for line in versions.splitlines() if " T " in line), versions
    found = [line.split() for line in run("nm", "-g", "--defined-only", archive).splitlines() if len(line.split()) == 3]
    # "u": objects of the C++ library of which a process has one, whoever brings them.
    others = [name for _, kind, name in found if not name.startswith("tabiji_") and kind != "u"]
    assert not others, others[:10]
    assert {name for _, kind, name in found if name.startswith("tabiji_")} == names
    assert "SONAME" in run("readelf", "-d", shared) and "[libtabiji.so.0]" in run("readelf", "-d", shared)


def private_libraries(pc):
    """What a program that links the archive alone needs besides, as the .pc file names it; these as shared libraries."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pathlib.Path(pc).parent)}
    needed = run("pkg-config", "--print-requires-private", pathlib.Path(pc).stem, env=environment).split()
    own = re.search(r"^Libs.private: (.*)$", pathlib.Path(pc).read_text(), re.M).group(1).split()
    return run("pkg-config", "--libs", *needed).split() + own


def needed(file):
    """Shared libraries that a file asks for itself: {"curl", ...}, without those of the compiler."""
    found = re.findall(r"\(NEEDED\).*\[lib(.*?)\.so", run("readelf", "-d", file))
    return set(found) - {"c", "gcc_s", "pthread"}


def check_needs(shared, pc, kafka):
    """The .pc file names what is needed, and nothing else."""
    named = {word[2:] for word in private_libraries(pc) if word.startswith("-l")} - {"pthread"}
    assert named == needed(shared), f"the .pc file and the library differ: {named ^ needed(shared)}"
    assert ("rdkafka" in named) == kafka, named
    asked = {line.split()[-1] for line in run("nm", "-D", "--undefined-only", shared).splitlines()}
    assert any(name.startswith("rd_kafka_") for name in asked) == kafka, sorted(asked)


def check_links(directory, shared, archive, pc):
    source = directory / "program.c"
    source.write_text(PROGRAM)
    run("cc", "-std=c99", *WARNINGS, f"-I{HEADER}", source, "-o", directory / "dynamic", shared)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(pathlib.Path(shared).parent)}
    assert run(directory / "dynamic", env=environment) == SAID
    run("cc", "-std=c99", *WARNINGS, f"-I{HEADER}", source, "-o", directory / "static", archive, *private_libraries(pc))
    assert run(directory / "static") == SAID


def check_without_kafka(directory, outer):
    shared, archive, pc = producer_small.build(outer)
    check_names(shared, archive)
    check_needs(shared, pc, kafka=False)
    check_links(directory, shared, archive, pc)
    assert "rdkafka" not in needed(directory / "static")
    source = directory / "kafka.c"
    source.write_text(KAFKA)
    run("cc", "-std=c99", *WARNINGS, f"-I{HEADER}", source, "-o", directory / "kafka", archive, *private_libraries(pc))
    assert run(directory / "kafka") == KAFKA_SAID


def check_unload(directory, shared):
    source = directory / "loader.c"
    source.write_text(LOADER)
    run("cc", f"-I{HEADER}", source, "-o", directory / "loader", "-ldl")
    if not shutil.which("valgrind"):
        print("without valgrind: leaks of an unloaded library were not looked for")
        run(directory / "loader", shared)
        return
    done = subprocess.run(["valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=9",
                           str(directory / "loader"), shared], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def main():
    shared, archive, pc = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        check_header(directory)
        check_names(shared, archive)
        check_needs(shared, pc, kafka=True)
        check_links(directory, shared, archive, pc)
        check_unload(directory, shared)
        check_without_kafka(directory, pathlib.Path(pc).parents[1])
    print("libtabiji: header, names, links, unloading; without Kafka")


main()
