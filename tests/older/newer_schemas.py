#!/usr/bin/env python3
"""Writes what makes a program one of a build to come, in which every record has changed, so that nobody of now knows it.

    newer_schemas.py CODEGEN_DIR IDS.txt ROW_SCHEMA.c SET.c ROW.c SCHEMA.avsc...

The newer version of id N has id N + 200 and another name in its schema; the one of now is known as a version of before. In bytes they are
the same: what is shown is who may read whose values, not how (that is older_schemas.py's). SET.c is the table of schemas,
ROW.c the ids that rows and records are written with.
"""
import json
import pathlib
import re
import sys
import tempfile

NEWER = 200


def main():
    codegen, ids_path, row_schema, set_out, row_out, *paths = map(pathlib.Path, sys.argv[1:])
    sys.path.insert(0, str(codegen))
    import avrogen
    import schemaids
    types = avrogen.Types()
    for path in paths:
        types.collect(json.loads(path.read_text()), str(path))
    present = [row for row in schemaids.read(ids_path) if not row.old]
    with tempfile.TemporaryDirectory() as name:
        folder, lines, fingerprints = pathlib.Path(name), [], {}
        for row in present:
            path = next(path for path in paths if path.stem == row.name)
            text, fingerprint = avrogen.described(types, json.loads(path.read_text()))
            (folder / path.name).write_text(text)
            lines += [f"{row.id} {row.name} {fingerprint:016x} {path.name}", f"{row.id + NEWER} {row.name}"]
            schema = json.loads(text)
            _, fingerprints[row.name] = avrogen.described_alone({**schema, "name": f"{schema['name']}Newer"})
        (folder / "ids.txt").write_text("\n".join(lines) + "\n")
        code = schemaids.table(schemaids.read(folder / "ids.txt"), folder, fingerprints, avrogen.described_alone, avrogen.c_string)
    set_out.write_text("\n".join(code) + "\n")
    row_out.write_text(re.sub(r"\b[A-Z_]+_SCHEMA_ID\b", rf"(\g<0> + {NEWER})", row_schema.read_text()))


if __name__ == "__main__":
    main()
