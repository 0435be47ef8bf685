#!/usr/bin/env python3
"""Writes a text file as a C string: embed.py NAME INPUT OUTPUT."""
import pathlib
import sys

name, source, target = sys.argv[1:4]
lines = pathlib.Path(source).read_text(encoding="utf-8").splitlines()
quoted = "\n".join('    "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"' for line in lines)
pathlib.Path(target).write_text(
    f"/* Generated from {pathlib.Path(source).name}. */\nextern const char {name}[];\nconst char {name}[] =\n{quoted};\n",
    encoding="utf-8")
