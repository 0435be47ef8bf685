#!/bin/sh
# Builds for release and prints every benchmark's figures, with the ratio to a peer of the same run where there is one.
# usage: sh tests/bench/run.sh [NAME...]   (attribute codec event_json import journey local models identity steps sqlite collector kafka footprint producer producer_spool producer_python work growth end_to_end)
set -eu
cd "$(dirname "$0")/../.."
. deploy/packages.sh

install_packages $PACKAGES_BUILD $PACKAGES_TEST
mkdir -p build-test-logs
if [ ! -f build-release/build.ninja ]; then
    echo "== configuring build-release"
    meson setup build-release --native-file tests/release.ini >build-test-logs/build-release-setup.log 2>&1
fi
echo "== building build-release"
ninja -C build-release >build-test-logs/build-release-build.log 2>&1 || {
    tail -n 40 build-test-logs/build-release-build.log
    exit 1
}
echo "== $(nproc) cores, $(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
exec meson test -C build-release --no-rebuild --benchmark --suite bench --verbose --num-processes 1 "$@"
