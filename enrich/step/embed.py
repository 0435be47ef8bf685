#!/usr/bin/env python3
"""Writes a text file as a C header: embed.py NAME INPUT OUTPUT"""
import json
import pathlib
import sys

name, source, target = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
lines = [json.dumps(line, ensure_ascii=True) for line in source.read_text().splitlines(keepends=True)]
if any("\\u" in line for line in lines):
    sys.exit(f"{source}: only ASCII")
target.write_text(f"/* Generated from {source.name} by embed.py. */\n#pragma once\n\nstatic const char {name}[] =\n    "
                  + "\n    ".join(lines) + ";\n")
