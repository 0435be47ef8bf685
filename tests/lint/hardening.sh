#!/bin/sh
# Checks the linked program for the hardening that meson.build asks for. usage: hardening.sh PROGRAM
set -eu
program=$1
if [ "${TABIJI_SANITIZE:-0}" = 1 ]; then
    echo "skipped: a sanitizer build is not hardened"
    exit 77
fi
headers=$(readelf -Wl "$program")
dynamic=$(readelf -Wd "$program")
bad=0
expect() {
    if ! printf '%s\n' "$2" | grep -Eq "$3"; then
        echo "missing: $1"
        bad=1
    fi
}
expect 'position independent executable' "$(readelf -Wh "$program")" 'Type: +DYN'
expect 'RELRO segment' "$headers" 'GNU_RELRO'
expect 'immediate binding' "$dynamic" 'BIND_NOW|FLAGS_1.*NOW'
expect 'stack protector' "$(readelf -Ws "$program")" '__stack_chk_fail'
# Debian's start files have no IBT note, so the linked program has none: look at the code itself.
expect 'control-flow protection' "$(objdump -d --disassemble=main "$program")" 'endbr64'
if printf '%s\n' "$headers" | grep -E 'GNU_STACK' | grep -q 'RWE'; then
    echo 'executable stack'
    bad=1
fi
[ $bad = 0 ] && echo 'hardening: all there'
exit $bad
