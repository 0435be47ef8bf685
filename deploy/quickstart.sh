#!/bin/sh
# From a fresh Debian 12 to a running pipeline: installs what is missing, builds, runs `tabiji demo`.
# usage: sh deploy/quickstart.sh [arguments of tabiji demo]
set -eu
cd "$(dirname "$0")/.."
. deploy/packages.sh

install_packages $PACKAGES_BUILD
if [ ! -f build/build.ninja ]; then
    echo "== configuring build/"
    meson setup build --native-file tests/release.ini -Dtests=false >build-setup.log 2>&1 || {
        tail -n 20 build-setup.log >&2
        exit 1
    }
    mv build-setup.log build/setup.log
fi
echo "== building build/deploy/tabiji"
ninja -C build deploy/tabiji >build/build.log 2>&1 || {
    tail -n 40 build/build.log >&2
    echo "build failed, log: build/build.log" >&2
    exit 1
}
echo "== running: build/deploy/tabiji demo $*"
exec build/deploy/tabiji demo "$@"
