#!/bin/sh
# Installs what the tests need, builds twice (ASan+UBSan, release), runs every test. Last line: N passed, N failed.
# usage: sh tests/run.sh [--long] [--only SUITE]
set -eu
cd "$(dirname "$0")/.."
. deploy/packages.sh

long=0
only=
while [ $# -gt 0 ]; do
    case $1 in
    --long) long=1 ;;
    --only)
        only=$2
        shift
        ;;
    *)
        echo "usage: sh tests/run.sh [--long] [--only SUITE]" >&2
        exit 2
        ;;
    esac
    shift
done
export TABIJI_LONG=$long
# Tests that run beside each other: one more than there are cores, for some mostly wait (for brokers and their timeouts).
export MESON_TESTTHREADS="${MESON_TESTTHREADS:-$(($(nproc) + 1))}"
patience=$((long ? 15 : 3))

install_packages $PACKAGES_BUILD $PACKAGES_TEST
install_packages $PACKAGES_CLIENTS || echo "== without Node.js or Chromium tests of real clients are skipped"
python3 tests/e2e/real_clients.py install || echo "== without them tests of real clients are skipped"
logs=build-test-logs
mkdir -p "$logs"

# build DIR NATIVE-FILE: configures once, then builds; a failure ends the run with the log's end.
build() {
    if [ ! -f "$1/build.ninja" ]; then
        echo "== configuring $1 ($2)"
        meson setup "$1" --native-file "$2" >"$logs/$1-setup.log" 2>&1 || {
            tail -n 20 "$logs/$1-setup.log"
            echo "0 passed, 1 failed"
            exit 1
        }
    fi
    echo "== building $1"
    ninja -C "$1" >"$logs/$1-build.log" 2>&1 || {
        tail -n 40 "$logs/$1-build.log"
        echo "build failed, log: $logs/$1-build.log"
        echo "0 passed, 1 failed"
        exit 1
    }
}

passed=0
failed=0
skipped=0
# run DIR NAME SUITE...: runs suites in DIR and adds up what Meson counts.
run() {
    dir=$1
    name=$2
    shift 2
    suites=
    for suite in "$@"; do
        [ -z "$only" ] || [ "$only" = "$suite" ] || continue
        suites="$suites --suite $suite"
    done
    [ -n "$suites" ] || return 0
    echo "== testing $name:$suites"
    status=0
    meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier "$patience" --logbase "$name" $suites \
        >"$logs/$name.log" 2>&1 || status=$?
    grep -E '^ *[0-9]+/[0-9]+ ' "$logs/$name.log" | grep -E 'FAIL|ERROR|TIMEOUT|SKIP' || true
    ok=$(count 'Ok' "$logs/$name.log")
    bad=$(($(count 'Fail' "$logs/$name.log") + $(count 'Timeout' "$logs/$name.log") + $(count 'Unexpected Pass' "$logs/$name.log")))
    skip=$(count 'Skipped' "$logs/$name.log")
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        bad=1
    fi
    if [ "$bad" != 0 ]; then
        tail -n 60 "$logs/$name.log"
        echo "logs: $logs/$name.log, $dir/meson-logs/$name.txt"
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
}
count() {
    found=$(sed -n "s/^$1: *\([0-9][0-9]*\) *$/\1/p" "$2" | tail -n 1)
    echo "${found:-0}"
}

build build-asan tests/dev.ini
build build-release tests/release.ini
run build-asan asan unit golden property sim fuzz lint
run build-release release unit golden property sim fuzz lint e2e
if [ "$long" = 1 ]; then
    echo "== benchmarks"
    sh tests/bench/run.sh
fi

if [ "$skipped" != 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ]
