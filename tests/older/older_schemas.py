#!/usr/bin/env python3
"""Writes the table of schemas of a build that knows an older version of every record, made up here.

    older_schemas.py CODEGEN_DIR IDS.txt OUT.c SCHEMA.avsc...

The older version of id N has id N + 100. It lacks `traceparent` of Touchpoint, has numbers that are narrower, enums in another
order, fields in another order, and one field more in every record that is a schema. Made through ids.txt as it says itself: old/<name>.<id>.avsc, and a line with its fingerprint.
"""
import json
import pathlib
import shutil
import sys
import tempfile

OLDER = 100
SEAT = {"name": "seat", "type": ["null", "string"], "default": None}


def older(schema, top=True):
    """The text of an older version, of the present one's (all types written in)."""
    if isinstance(schema, list):
        return [older(branch, False) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    if schema["type"] == "enum":
        out["symbols"] = schema["symbols"][:1] + schema["symbols"][:0:-1]
    elif schema["type"] == "array":
        out["items"] = older(schema["items"], False)
    elif schema["type"] == "record":
        fields = [{**field, "type": older(field["type"], False)} for field in schema["fields"] if field["name"] != "traceparent"]
        for field in fields:
            if field["name"] == "sequence" and field["type"] == "long":
                field["type"] = "int"
        # The types of an array's items must stay before their later uses by name: only the first two change places.
        if isinstance(fields[0]["type"], str) and isinstance(fields[1]["type"], str):
            fields[:2] = fields[1::-1]
        out["fields"] = [SEAT, *fields] if top else fields
    elif not isinstance(schema["type"], str):
        out["type"] = older(schema["type"], False)
    return out


def main():
    codegen, ids_path, out, *paths = map(pathlib.Path, sys.argv[1:])
    sys.path.insert(0, str(codegen))
    import avrogen
    import schemaids
    types = avrogen.Types()
    for path in paths:
        types.collect(json.loads(path.read_text()), str(path))
    present = [row for row in schemaids.read(ids_path) if not row.old]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "old").mkdir()
        lines = [f"{row.id} {row.name}" for row in present]
        for row in present:
            path = next(path for path in paths if path.stem == row.name)
            text, _ = avrogen.described(types, json.loads(path.read_text()))
            schema = older(json.loads(text))
            file = f"old/{row.name}.{row.id + OLDER}.avsc"
            (folder / file).write_text(json.dumps(schema))
            _, fingerprint = avrogen.described_alone(schema)
            lines.append(f"{row.id + OLDER} {row.name} {fingerprint:016x} {file}")
        (folder / "ids.txt").write_text("\n".join(lines) + "\n")
        avrogen.run(paths, folder, folder / "ids.txt")
        shutil.copyfile(folder / "schema_set.avro.c", out)


if __name__ == "__main__":
    main()
