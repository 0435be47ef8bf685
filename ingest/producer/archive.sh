#!/bin/sh
# Makes libtabiji.a: what the first archive has and needs of the others, as one object whose only names are tabiji_*.
# usage: archive.sh OUTPUT SCRATCH-DIR ARCHIVE...
set -eu
output=$1
scratch=$2
first=$3
shift 3
mkdir -p "$scratch"
object=$scratch/libtabiji.o
ld -r --force-group-allocation -o "$object" --whole-archive "$first" --no-whole-archive "$@"
objcopy --wildcard --keep-global-symbol='tabiji_*' "$object"
rm -f "$output"
ar rcsD "$output" "$object"
rm -f "$object"
