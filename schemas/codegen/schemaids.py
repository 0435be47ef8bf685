"""Schema ids: reads avro/ids.txt, checks it against the schemas, writes the generated table."""
import json


class Id:
    """A line of ids.txt."""

    def __init__(self, number, words, where):
        if len(words) not in (2, 3, 4) or not words[0].isdigit() or not 0 < int(words[0]) < 1 << 31:
            raise SystemExit(f"{where}:{number}: want: id name [fingerprint [old/file]]")
        self.id, self.name = int(words[0]), words[1]
        self.fingerprint = words[2] if len(words) > 2 else None
        self.old = words[3] if len(words) > 3 else None


def read(path):
    ids = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if words:
            ids.append(Id(number, words, path.name))
            if [row.id for row in ids].count(ids[-1].id) > 1:
                raise SystemExit(f"{path.name}:{number}: id {ids[-1].id} stands twice")
            if not ids[-1].old and [row.name for row in ids if not row.old].count(ids[-1].name) > 1:
                raise SystemExit(f"{path.name}:{number}: {ids[-1].name} stands twice; the older needs its old/file")
    return sorted(ids, key=lambda row: row.id)


def of_schema(ids, name, fingerprint):
    """The id of the present version of a schema."""
    for row in ids:
        if row.name == name and not row.old:
            if row.fingerprint not in (None, f"{fingerprint:016x}"):
                raise SystemExit(f"{name}: has changed since it was released with id {row.id} (ids.txt says what to do)")
            return row.id
    raise SystemExit(f"{name}: has no id in ids.txt")


def table(ids, folder, fingerprints, describe, c_string):
    """C of the set. fingerprints: of present versions by name; describe(schema): text and fingerprint of an old one."""
    names = sorted(fingerprints)
    for row in ids:
        if not row.old and row.name not in fingerprints:
            raise SystemExit(f"{row.name}: ids.txt names it, but there is no such schema")
    out = ["/* Generated from ids.txt by avrogen.py. */", '#include "schemas/schema_set.h"', "",
           *(f'#include "schemas/{name}.avro.h"' for name in names), "", "static const struct schema_entry entries[] = {"]
    for row in ids:
        if not row.old:
            out.append(f'    {{{row.id}, "{row.name}", {row.name}_schema, 0x{fingerprints[row.name]:016x}, &avro_type_{row.name}}},')
            continue
        text, fingerprint = describe(json.loads((folder / row.old).read_text()))
        if row.fingerprint != f"{fingerprint:016x}":
            raise SystemExit(f"{row.old}: has fingerprint {fingerprint:016x}, ids.txt says {row.fingerprint}")
        out += [f'    {{{row.id}, "{row.name}",', c_string(text) + ",", f"    0x{fingerprint:016x}, NULL}},"]
    return out + ["};", "", "const struct schema_entry *schema_set(size_t *count)", "{",
                  "    *count = sizeof(entries) / sizeof(entries[0]);", "    return entries;", "}"]
