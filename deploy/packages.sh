#!/bin/sh
# Debian packages by purpose, and how to get them. Sourced by quickstart.sh and tests/run.sh.

# What the build and the program need.
PACKAGES_BUILD="build-essential meson ninja-build pkg-config python3 ccache
librdkafka-dev libavro-dev libcurl4-openssl-dev zlib1g-dev libsimdjson-dev libmicrohttpd-dev liblmdb-dev
libsqlite3-dev libinih-dev libssl-dev libxxhash-dev libmaxminddb-dev libpcre2-dev libyaml-dev uap-core
libphonenumber-dev libutf8proc-dev libsuitesparse-dev libnlopt-dev"

# What the tests need besides.
PACKAGES_TEST="libcmocka-dev clang-14 clang-format-14 libclang-rt-14-dev wrk sqlite3 curl git
default-jre-headless maven python3-venv kcat binutils abigail-tools valgrind"

# What tests of real clients need; where it is not to be had they are skipped. Node.js from elsewhere does too.
PACKAGES_CLIENTS=chromium
command -v node >/dev/null || PACKAGES_CLIENTS="$PACKAGES_CLIENTS nodejs"
command -v npm >/dev/null || PACKAGES_CLIENTS="$PACKAGES_CLIENTS npm"

# install_packages NAME...: installs those that are missing, as root or by sudo; silent when there is nothing to do.
install_packages() {
    missing=
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "== installing:$missing"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root=sudo
        command -v sudo >/dev/null || {
            echo "need root or sudo to install:$missing" >&2
            return 1
        }
    fi
    log=$(mktemp)
    if ! { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "installation failed, log: $log" >&2
        return 1
    fi
    rm -f "$log"
}
