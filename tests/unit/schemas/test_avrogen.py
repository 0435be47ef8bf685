#!/usr/bin/env python3
"""The generator: canonical forms and fingerprints, and what it refuses.

Source of the vectors: Avro, share/test/data/schema-tests.txt (fingerprints as signed 64-bit integers).
"""
import importlib.util
import json
import os
import pathlib
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("TABIJI_SOURCE_ROOT", pathlib.Path(__file__).parents[3]))
spec = importlib.util.spec_from_file_location("avrogen", ROOT / "schemas/codegen/avrogen.py")
avrogen = importlib.util.module_from_spec(spec)
spec.loader.exec_module(avrogen)

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


def generate(*schemas):
    """Returns {file name: text}."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, schema in enumerate(schemas):
            paths.append(pathlib.Path(folder, f"s{i}.avsc"))
            paths[-1].write_text(json.dumps(schema))
        out = pathlib.Path(folder, "out")
        out.mkdir()
        avrogen.run(paths, out)
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
    def refused(self, text, *schemas):
        with self.assertRaises(SystemExit) as caught:
            generate(*schemas)
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


if __name__ == "__main__":
    unittest.main()
