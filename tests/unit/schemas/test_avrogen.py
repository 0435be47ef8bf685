#!/usr/bin/env python3
"""The generator: canonical forms and fingerprints, and what it refuses.

Source of the vectors: Avro, share/test/data/schema-tests.txt (fingerprints as signed 64-bit integers).
"""
import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("TABIJI_SOURCE_ROOT", pathlib.Path(__file__).parents[3]))
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "schemas/codegen"))
import avrogen  # noqa: E402: after its path

VECTORS = [
    ('"null"', '"null"', 7195948357588979594),
    ('{"type":"boolean"}', '"boolean"', -6970731678124411036),
    ('"int"', '"int"', 8247732601305521295),
    ('"long"', '"long"', -3434872931120570953),
    ('"double"', '"double"', -8181574048448539266),
    ('"bytes"', '"bytes"', 5746618253357095269),
    ('"string"', '"string"', -8142146995180207161),
    ('[ "int" , {"type":"boolean"} ]', '["int","boolean"]', 5392556393470105090),
    ('{"fields":[], "type":"record", "name":"foo", "doc":"Useful info"}',
     '{"name":"foo","type":"record","fields":[]}', -4824392279771201922),
    ('{"fields":[], "type":"record", "name":"foo", "namespace":"x.y"}',
     '{"name":"x.y.foo","type":"record","fields":[]}', 5916914534497305771),
    ('{"fields":[{"type":{"type":"boolean"}, "name":"f1"}], "type":"record", "name":"foo"}',
     '{"name":"foo","type":"record","fields":[{"name":"f1","type":"boolean"}]}', 7843277075252814651),
    ('{"fields":[{"type":"boolean","aliases":[],"name":"f1","default":"true"},'
     '{"order":"descending","name":"f2","doc":"Hello","type":"int"}],"type":"record","name":"foo"}',
     '{"name":"foo","type":"record","fields":[{"name":"f1","type":"boolean"},{"name":"f2","type":"int"}]}',
     -4860222112080293046),
    ('{"namespace":"x.y.z", "type":"enum", "name":"foo", "doc":"foo bar", "symbols":["A1", "A2"]}',
     '{"name":"x.y.z.foo","type":"enum","symbols":["A1","A2"]}', -4448647247586288245),
    ('{"namespace":"x.y.z", "type":"fixed", "name":"foo", "doc":"foo bar", "size":32}',
     '{"name":"x.y.z.foo","type":"fixed","size":32}', -3064184465700546786),
    ('{ "items":{"type":"null"}, "type":"array"}', '{"type":"array","items":"null"}', -589620603366471059),
]


def record(*fields, name="R"):
    return {"type": "record", "name": name, "namespace": "t", "fields": [dict(f) for f in fields]}


def generate(*schemas, ids=None, old=None):
    """Returns {file name: text}. ids: text of ids.txt; old: a schema that it may name as old/s0.1.avsc."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, schema in enumerate(schemas):
            paths.append(pathlib.Path(folder, f"s{i}.avsc"))
            paths[-1].write_text(json.dumps(schema))
        out = pathlib.Path(folder, "out")
        out.mkdir()
        ids_path = None
        if ids is not None:
            ids_path = pathlib.Path(folder, "ids.txt")
            ids_path.write_text(ids)
        if old is not None:
            pathlib.Path(folder, "old").mkdir()
            pathlib.Path(folder, "old/s0.1.avsc").write_text(json.dumps(old))
        avrogen.run(paths, out, ids_path)
        return {p.name: p.read_text() for p in out.iterdir()}


class Canonical(unittest.TestCase):
    def test_canonical_form_and_fingerprint_as_published(self):
        for text, canonical, fingerprint in VECTORS:
            schema = json.loads(text)
            namespace = schema.get("namespace", "") if isinstance(schema, dict) else ""
            types = avrogen.Types()
            types.collect(schema, "vector")
            self.assertEqual(avrogen.Texts(types, namespace).canonical(schema), canonical)
            self.assertEqual(avrogen.fingerprint(canonical), fingerprint % (1 << 64))

    def test_text_inlines_types_of_other_files_once(self):
        key = {"type": "fixed", "name": "Key", "size": 4}
        files = generate(record({"name": "a", "type": key}, name="A"),
                         record({"name": "x", "type": "Key"}, {"name": "y", "type": "Key"}, name="B"))
        self.assertIn('\\"x\\",\\"type\\":{\\"type\\":\\"fixed\\"', files["s1.avro.c"])
        self.assertIn('\\"y\\",\\"type\\":\\"Key\\"', files["s1.avro.c"])
        self.assertIn('#include "schemas/s0.avro.h"', files["s1.avro.h"])


class Refused(unittest.TestCase):
    def refused(self, text, *schemas, **more):
        with self.assertRaises(SystemExit) as caught:
            generate(*schemas, **more)
        self.assertIn(text, str(caught.exception))

    def test_unknown_type(self):
        self.refused("unknown type Nothing", record({"name": "a", "type": "Nothing"}))

    def test_wide_union(self):
        self.refused("only [null, X]", record({"name": "a", "type": ["null", "int", "string"]}))

    def test_unsupported_kinds(self):
        self.refused("float is not supported", record({"name": "a", "type": "float"}))
        self.refused("map is not supported", record({"name": "a", "type": {"type": "map", "values": "int"}}))

    def test_two_definitions_of_a_name(self):
        self.refused("is defined differently", record({"name": "a", "type": {"type": "fixed", "name": "K", "size": 4}}, name="A"),
                     record({"name": "a", "type": {"type": "fixed", "name": "K", "size": 5}}, name="B"))

    def test_record_of_another_file_that_is_not_raw(self):
        self.refused("must be tabiji.raw", record({"name": "a", "type": "int"}, name="A"), record({"name": "b", "type": "A"}, name="B"))

    def test_default_that_c_cannot_hold(self):
        self.refused("default 2.5 is not supported", record({"name": "a", "type": "double", "default": 2.5}))

    def test_recursive_record(self):
        self.refused("recursive", record({"name": "a", "type": ["null", "R"]}))

    def test_array_of_arrays_or_of_optional_items(self):
        ints = {"type": "array", "items": "int"}
        self.refused("items of an array", record({"name": "a", "type": {"type": "array", "items": ints}}))
        self.refused("items of an array", record({"name": "a", "type": {"type": "array", "items": ["null", "int"]}}))


OLD = record({"name": "a", "type": "int"})
NEW = record({"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0})
OLD_PRINT, NEW_PRINT = (f"{avrogen.described_alone(schema)[1]:016x}" for schema in (OLD, NEW))


class Ids(unittest.TestCase):
    refused = Refused.refused

    def test_id_stands_in_header_and_table(self):
        files = generate(OLD, ids="# a comment\n7 s0\n")
        self.assertIn("#define R_SCHEMA_ID 7\n", files["s0.avro.h"])
        self.assertIn('{7, "s0", s0_schema, 0x' + OLD_PRINT, files["schema_set.avro.c"])

    def test_older_version_keeps_its_id_and_text(self):
        files = generate(NEW, ids=f"1 s0 {OLD_PRINT} old/s0.1.avsc\n2 s0 {NEW_PRINT}\n", old=OLD)
        self.assertIn("#define R_SCHEMA_ID 2\n", files["s0.avro.h"])
        self.assertIn("0x" + OLD_PRINT + ", NULL}", files["schema_set.avro.c"])

    def test_refusals(self):
        self.refused("s0: has no id", OLD, ids="1 other\n")
        self.refused("ids.txt:2: id 1 stands twice", OLD, ids="1 s0\n1 other\n")
        self.refused("ids.txt:2: s0 stands twice", OLD, ids="1 s0\n2 s0\n")
        self.refused("ids.txt:1: want:", OLD, ids="0 s0\n")
        self.refused("ids.txt:1: want:", OLD, ids="one s0\n")
        self.refused("has changed since it was released with id 1", NEW, ids=f"1 s0 {OLD_PRINT}\n")
        self.refused("other: ids.txt names it", OLD, ids="1 s0\n2 other\n")
        self.refused("old/s0.1.avsc: has fingerprint", NEW, ids=f"1 s0 {NEW_PRINT} old/s0.1.avsc\n2 s0\n", old=OLD)


if __name__ == "__main__":
    unittest.main()
