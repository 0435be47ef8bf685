#!/usr/bin/env python3
"""Writes C for Avro record schemas: structs, encode, decode, skip, schema text and fingerprint.

    avrogen.py --out DIR [--ids IDS.txt] SCHEMA.avsc...

The schemas are read in the given order; a later one may name types of an earlier one. For each SCHEMA.avsc two files
appear in DIR: SCHEMA.avro.h and SCHEMA.avro.c; with --ids, schema_set.avro.c with the table of all ids. Types are written once, with the schema that defines them first.
Annotations of a field: "tabiji.raw": true keeps a record encoded (struct str); "tabiji.max": N bounds its size or count.
A record of another schema can only be named as raw, since the functions of nested records are static.
"""
import argparse
import json
import pathlib
import re

import schemaids

BYTES_MAX = 1 << 20  # of a text or bytes without "tabiji.max"
COUNT_MAX = 65536  # items of an array without "tabiji.max"
PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
C_TYPES = {"boolean": "bool", "int": "int32_t", "long": "int64_t", "double": "double", "string": "struct str", "bytes": "struct str"}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Types:
    """Named types by name, with the schema that defined each first."""

    def __init__(self):
        self.named, self.home, self.order, self.open = {}, {}, {}, set()

    def collect(self, schema, home):
        if isinstance(schema, list):
            for branch in schema:
                self.collect(branch, home)
        elif isinstance(schema, dict):
            kind = schema["type"]
            if kind in ("record", "enum", "fixed"):
                name = schema["name"]
                known = self.named.get(name)
                if known is not None:
                    if json.dumps(known, sort_keys=True) != json.dumps(schema, sort_keys=True):
                        raise SystemExit(f"{home}: {name} is defined differently in {self.home[name]}")
                else:
                    self.named[name], self.home[name] = schema, home
                self.open.add(name)
                for field in schema.get("fields", []):
                    self.collect(field["type"], home)
                self.open.remove(name)
                if known is None:
                    self.order.setdefault(home, []).append(name)
            elif kind == "array":
                self.collect(schema["items"], home)
            elif kind == "map":
                self.collect(schema["values"], home)
            elif not isinstance(kind, str) or kind not in PRIMITIVES:
                self.collect(kind, home)
        elif schema in self.open:
            raise SystemExit(f"{home}: {schema} is recursive")
        elif schema not in PRIMITIVES and schema not in self.named:
            raise SystemExit(f"{home}: unknown type {schema}")

    def kind(self, schema):
        resolved = self.resolve(schema)
        return resolved if isinstance(resolved, str) else resolved["type"]

    def resolve(self, schema):
        """A primitive's name or the definition as a dict."""
        while True:
            if isinstance(schema, str):
                if schema in PRIMITIVES:
                    return schema
                schema = self.named[schema]
            elif isinstance(schema, dict) and isinstance(schema["type"], str) and schema["type"] in PRIMITIVES:
                return schema["type"]
            elif isinstance(schema, dict) and not isinstance(schema["type"], str):
                schema = schema["type"]
            else:
                return schema


def full_name(definition, namespace):
    name = definition["name"]
    return name if "." in name or not namespace else f"{namespace}.{name}"


class Texts:
    """The published text of a schema (types of other files inlined once), and its parsing canonical form."""

    def __init__(self, types, namespace):
        self.types, self.namespace = types, namespace

    def inlined(self, schema, seen):
        if isinstance(schema, list):
            return [self.inlined(branch, seen) for branch in schema]
        if isinstance(schema, str):
            if schema in PRIMITIVES or schema in seen:
                return schema
            return self.inlined(self.types.named[schema], seen)
        kind = schema["type"]
        if kind in ("record", "enum", "fixed"):
            if schema["name"] in seen:
                return schema["name"]
            seen.add(schema["name"])
        out = dict(schema)
        if kind == "record":
            out["fields"] = [{**f, "type": self.inlined(f["type"], seen)} for f in schema["fields"]]
        elif kind == "array":
            out["items"] = self.inlined(schema["items"], seen)
        elif not isinstance(kind, str):
            out["type"] = self.inlined(kind, seen)
        return out

    def canonical(self, schema):
        """Source: Avro specification, "Transforming into Parsing Canonical Form"."""
        if isinstance(schema, list):
            return "[" + ",".join(self.canonical(branch) for branch in schema) + "]"
        if isinstance(schema, str):
            return json.dumps(schema if schema in PRIMITIVES else full_name({"name": schema}, self.namespace))
        kind = schema["type"]
        if not isinstance(kind, str) or kind in PRIMITIVES:
            return self.canonical(kind)
        if kind == "array":
            return '{"type":"array","items":' + self.canonical(schema["items"]) + "}"
        head = '{"name":' + json.dumps(full_name(schema, self.namespace)) + f',"type":"{kind}"'
        if kind == "record":
            fields = ",".join('{"name":' + json.dumps(f["name"]) + ',"type":' + self.canonical(f["type"]) + "}"
                              for f in schema["fields"])
            return head + ',"fields":[' + fields + "]}"
        if kind == "enum":
            return head + ',"symbols":' + json.dumps(schema["symbols"], separators=(",", ":")) + "}"
        return head + f',"size":{schema["size"]}' + "}"


EMPTY = 0xc15d213aa4d7a795  # CRC-64-AVRO of nothing. Source: Avro specification, "Schema Fingerprints"


def fingerprint(text):
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = (value >> 1) ^ (EMPTY & -(value & 1))
        table.append(value & 0xffffffffffffffff)
    value = EMPTY
    for byte in text.encode():
        value = (value >> 8) ^ table[(value ^ byte) & 0xff]
    return value


class Field:
    """A record's field as C sees it."""

    def __init__(self, types, field):
        self.name = field["name"]
        self.raw = field.get("tabiji.raw", False)
        self.nullable = isinstance(field["type"], list)
        schema = field["type"]
        if self.nullable:
            if len(schema) != 2 or schema[0] != "null":
                raise SystemExit(f"{self.name}: of unions only [null, X] is supported")
            schema = schema[1]
        self.type = types.resolve(schema)
        self.default = field.get("default")
        self.has_default = "default" in field
        if self.kind == "array" and (isinstance(self.type["items"], list) or types.kind(self.type["items"]) == "array"):
            raise SystemExit(f"{self.name}: items of an array must not be optional or arrays")
        if self.kind not in C_TYPES and self.kind not in ("record", "enum", "fixed", "array"):
            raise SystemExit(f"{self.name}: type {self.kind} is not supported")
        self.max = field.get("tabiji.max") or (COUNT_MAX if self.kind == "array" else BYTES_MAX)

    @property
    def kind(self):
        return self.type if isinstance(self.type, str) else self.type["type"]

    @property
    def stem(self):
        return snake(self.type["name"])


class Writer:
    """The C of one record. `types` resolves names."""

    def __init__(self, types):
        self.types = types

    def fields(self, record):
        return [Field(self.types, f) for f in record["fields"]]

    def home_only(self, record, own):
        """Functions of nested records are static: another schema may name a record only as raw."""
        for field in self.fields(record) if record["type"] == "record" else []:
            while field.kind == "array" and not field.raw:
                field = self.item(field)
            if field.kind == "record" and not field.raw and field.type["name"] not in own:
                raise SystemExit(f"{record['name']}.{field.name}: a record of another schema must be tabiji.raw")

    def item(self, field):
        return Field(self.types, {"name": field.name, "type": field.type["items"]})

    def declaration(self, field):
        lines = [f"    bool has_{field.name};"] if field.nullable else []
        if field.kind == "array":
            item = self.item(field)
            lines += [f"    {self.c_type(item)} *{field.name};", f"    size_t {field.name}_count;"]
        elif field.kind == "fixed":
            lines.append(f"    uint8_t {field.name}[{field.type['size']}];")
        else:
            lines.append(f"    {self.c_type(field)} {field.name};")
        return lines

    def c_type(self, field):
        if field.raw:
            return "struct str"
        if field.kind == "record":
            return f"struct {field.stem}"
        if field.kind == "enum":
            return f"enum {field.stem}"
        return C_TYPES[field.kind]

    # -- encode: an upper bound of the size, then writing without further checks
    def bound(self, field, value):
        if field.raw:
            return 0, [f"size += {value}.size;"]
        if field.kind in ("int", "enum"):
            return 5, []
        if field.kind == "long":
            return 10, []
        if field.kind == "boolean":
            return 1, []
        if field.kind == "double":
            return 8, []
        if field.kind == "fixed":
            return field.type["size"], []
        if field.kind in ("string", "bytes"):
            return 10, [f"size += {value}.size;"]
        if field.kind == "record":
            return 0, [f"size += bound_{field.stem}(&{value});"]
        item = self.item(field)
        fixed, lines = self.bound(item, f"{value}[i]")
        body = [f"size += {value}_count * {fixed};"] if fixed else []
        if lines:
            body += [f"for (size_t i = 0; i < {value}_count; i++)", *("    " + line for line in lines)]
        return 21, body

    def write(self, field, value):
        if field.raw:
            return [f"p = avro_put_raw(p, {value});"]
        if field.kind in ("int", "enum", "long"):
            return [f"p = avro_put_long(p, (int64_t){value});"]
        if field.kind == "boolean":
            return [f"*p++ = {value};"]
        if field.kind == "double":
            return [f"p = avro_put_double(p, {value});"]
        if field.kind == "fixed":
            return [f"p = avro_put_raw(p, str_make({value}, {field.type['size']}));"]
        if field.kind in ("string", "bytes"):
            return [f"p = avro_put_bytes(p, {value});"]
        if field.kind == "record":
            return [f"p = write_{field.stem}(p, &{value});"]
        item = self.write(self.item(field), f"{value}[i]")
        return [f"if ({value}_count) {{", f"    p = avro_put_long(p, (int64_t){value}_count);",
                f"    for (size_t i = 0; i < {value}_count; i++)", *("        " + line for line in item), "}", "*p++ = 0;"]

    # -- decode
    def read(self, field, target):
        if field.raw:
            return [f"r = avro_get_raw(reader, {field.stem}_skip, &{target});"]
        if field.kind == "int":
            return [f"r = avro_get_int(reader, &{target});"]
        if field.kind == "long":
            return [f"r = avro_get_long(reader, &{target});"]
        if field.kind == "enum":
            return ["int32_t symbol;", f"r = avro_get_enum(reader, {len(field.type['symbols'])}, &symbol);", "if (r == 0)",
                    f"    {target} = (enum {field.stem})symbol;"]
        if field.kind == "boolean":
            return [f"r = avro_get_bool(reader, &{target});"]
        if field.kind == "double":
            return [f"r = avro_get_double(reader, &{target});"]
        if field.kind == "fixed":
            return [f"r = avro_get_fixed(reader, {target}, {field.type['size']});"]
        if field.kind in ("string", "bytes"):
            return [f"r = avro_get_bytes(reader, {field.max}, &{target});"]
        if field.kind == "record":
            return [f"r = read_{field.stem}(reader, arena, &{target});"]
        return [f"r = read_{field.record}_{field.name}(reader, arena, &{target}, &{target}_count);"]

    # -- skip: structure is checked, nothing is kept
    def skip(self, field):
        if field.raw or field.kind == "record":
            return f"{field.stem}_skip(reader)"
        if field.kind in ("int", "long"):
            return f"avro_skip_{field.kind}(reader)"
        if field.kind == "enum":
            return f"avro_skip_enum(reader, {len(field.type['symbols'])})"
        if field.kind == "boolean":
            return "avro_skip_bool(reader)"
        if field.kind == "double":
            return "avro_skip_fixed(reader, 8)"
        if field.kind == "fixed":
            return f"avro_skip_fixed(reader, {field.type['size']})"
        if field.kind in ("string", "bytes"):
            return f"avro_skip_bytes(reader, {field.max})"
        return f"skip_{field.record}_{field.name}(reader)"

    def record_fields(self, record):
        fields = self.fields(record)
        for field in fields:
            field.record = snake(record["name"])
        return fields

    def struct(self, record):
        stem = snake(record["name"])
        lines = [f"struct {stem} {{"]
        for field in self.record_fields(record):
            lines += self.declaration(field)
        return lines + ["};", "/* Sets every field to its default. */", f"void {stem}_init(struct {stem} *out);", ""]

    def enum(self, definition):
        stem = snake(definition["name"])
        upper = stem.upper()
        return [f"enum {stem} {{", *(f"    {upper}_{symbol.upper()}," for symbol in definition["symbols"]), "};",
                f"#define {upper}_COUNT {len(definition['symbols'])}",
                "/* Name of a symbol; \"\" for a number that is none. */", f"const char *{stem}_name(enum {stem} symbol);",
                "/* Number of a symbol, or -1. */", f"int {stem}_from_name(struct str name);", ""]

    def enum_code(self, definition):
        stem = snake(definition["name"])
        count = len(definition["symbols"])
        symbols = ", ".join(json.dumps(symbol) for symbol in definition["symbols"])
        return [f"static const char *const {stem}_names[] = {{{symbols}}};", "", f"const char *{stem}_name(enum {stem} symbol)", "{",
                f'    return (unsigned)symbol < {count} ? {stem}_names[symbol] : "";', "}", "",
                f"int {stem}_from_name(struct str name)", "{", f"    for (int i = 0; i < {count}; i++)",
                f"        if (str_equal(name, str_of({stem}_names[i])))", "            return i;", "    return -1;", "}", ""]

    def record_code(self, record, exported):
        stem = snake(record["name"])
        fields = self.record_fields(record)
        out = []
        for field in fields:
            if field.kind == "array" and not field.raw:
                out += self.array_code(field)
        out += [f"void {stem}_init(struct {stem} *out)", "{", "    avro_clear(out, sizeof(*out));"]
        for field in fields:
            out += self.default(field)
        out += ["}", "", f"static size_t bound_{stem}(const struct {stem} *record)", "{"]
        fixed, dynamic = 0, []
        for field in fields:
            own, lines = self.bound(field, f"record->{field.name}")
            fixed += own + (1 if field.nullable else 0)
            dynamic += self.guarded(field, lines)
        out += ["    (void)record;", f"    size_t size = {max(fixed, 1)};", *("    " + line for line in dynamic), "    return size;", "}", ""]
        out += self.check_code(record)
        out += [f"static uint8_t *write_{stem}(uint8_t *p, const struct {stem} *record)", "{"]
        for field in fields:
            lines = self.write(field, f"record->{field.name}")
            if field.nullable:
                lines = [f"*p++ = record->has_{field.name} ? 2 : 0;", *self.guarded(field, lines)]
            out += ["    " + line for line in lines]
        out += ["    return p;", "}", "", f"{'static' if exported else 'AVRO_INLINE'} int read_{stem}(struct avro_reader *reader, struct arena *arena, struct {stem} *out)", "{",
                "    int r = 0;", "    (void)arena;"]
        for field in fields:
            lines = self.read(field, f"out->{field.name}")
            if field.nullable:
                lines = [f"r = avro_get_branch(reader, &out->has_{field.name});", f"if (r == 0 && out->has_{field.name}) {{",
                         *("    " + line for line in lines), "} else if (r == 0) {", *("    " + line for line in self.clear(field)), "}"]
            elif len(lines) > 1:
                lines = ["{", *("    " + line for line in lines), "}"]
            out += ["    " + line for line in lines] + ["    if (r < 0)", "        return r;"]
        out += ["    return 0;", "}", "", f"{'' if exported else 'static '}int {stem}_skip(struct avro_reader *reader)", "{", "    int r = 0;"]
        for field in fields:
            if field.nullable:
                out += ["    {", "        bool present;"]
                out += ["        r = avro_get_branch(reader, &present);", "        if (r == 0 && present)", f"            r = {self.skip(field)};", "    }"]
            else:
                out += [f"    r = {self.skip(field)};"]
            out += ["    if (r < 0)", "        return r;"]
        return out + ["    return 0;", "}", ""]

    def guarded(self, field, lines):
        if not field.nullable or not lines:
            return lines
        return [f"if (record->has_{field.name}) {{", *("    " + line for line in lines), "}"]

    def default(self, field):
        if field.nullable or field.default in (None, 0, "", [], False):
            return []
        if field.kind == "enum":
            index = field.type["symbols"].index(field.default)
            return [f"    out->{field.name} = (enum {field.stem}){index};"] if index else []
        if field.kind in ("int", "long"):
            return [f"    out->{field.name} = {field.default};"]
        if field.kind == "boolean":
            return [f"    out->{field.name} = true;"]
        raise SystemExit(f"{field.name}: default {field.default} is not supported")

    def clear(self, field):
        """What stands in an absent optional field."""
        target = f"out->{field.name}"
        if field.kind == "record" and not field.raw:
            return [f"{field.stem}_init(&{target});"]
        if field.kind == "fixed":
            return [f"memset({target}, 0, {field.type['size']});"]
        if field.kind == "array":
            return [f"{target} = NULL;", f"{target}_count = 0;"]
        return [f"{target} = ({self.c_type(field)}){{0}};"]

    def array_code(self, field):
        item = self.item(field)
        item.record = field.record
        name = f"{field.record}_{field.name}"
        c_type = self.c_type(item)
        read = self.read(item, "items[count]")
        return [f"static int read_{name}(struct avro_reader *reader, struct arena *arena, {c_type} **out, size_t *out_count)", "{",
                f"    {c_type} *items = NULL;", "    size_t count = 0, capacity = 0;", "    for (;;) {", "        size_t block;",
                f"        int r = avro_get_block(reader, {field.max} - count, &block);", "        if (r < 0)", "            return r;",
                "        if (block == 0)", "            break;", "        if (count + block > capacity) {",
                "            capacity = count + block > 2 * capacity ? count + block : 2 * capacity;",
                f"            {c_type} *more = arena_alloc(arena, capacity * sizeof *more);", "            if (!more)",
                "                return ERR_NO_MEMORY;", "            if (count)", "                memcpy(more, items, count * sizeof *more);",
                "            items = more;", "        }", "        for (size_t end = count + block; count < end; count++) {",
                *("            " + line for line in read), "            if (r < 0)", "                return r;", "        }", "    }",
                "    *out = items;", "    *out_count = count;", "    return 0;", "}", "",
                f"static int skip_{name}(struct avro_reader *reader)", "{", f"    size_t left = {field.max};", "    for (;;) {", "        size_t block;",
                "        int r = avro_get_block(reader, left, &block);", "        if (r < 0)", "            return r;",
                "        if (block == 0)", "            return 0;", "        left -= block;", "        while (block-- > 0) {",
                f"            r = {self.skip(item)};", "            if (r < 0)", "                return r;", "        }", "    }", "}", ""]

    # -- what a decoder would refuse is not encoded either
    def over(self, field, value):
        """Statements that return an error where a value is over its maximum."""
        if field.raw:
            return []
        if field.kind in ("string", "bytes"):
            return [f"if ({value}.size > {field.max})", "    return ERR_TOO_LARGE;"]
        if field.kind == "record":
            if not self.limits(field.type):
                return []
            return ["{", f"    int r = check_{field.stem}(&{value});", "    if (r < 0)", "        return r;", "}"]
        if field.kind == "array":
            lines = [f"if ({value}_count > {field.max})", "    return ERR_TOO_MANY;"]
            inner = self.over(self.item(field), f"{value}[i]")
            if inner:
                lines += [f"for (size_t i = 0; i < {value}_count; i++) {{", *("    " + line for line in inner), "}"]
            return lines
        return []

    def limits(self, record):
        """Every maximum within a record."""
        found = []
        for field in self.fields(record):
            while not field.raw and field.kind == "array":
                found.append(field.max)
                field = self.item(field)
            if not field.raw and field.kind in ("string", "bytes"):
                found.append(field.max)
            elif not field.raw and field.kind == "record":
                found += self.limits(field.type)
        return found

    def check_code(self, record):
        if not self.limits(record):
            return []
        stem = snake(record["name"])
        out = [f"static int check_{stem}(const struct {stem} *record)", "{"]
        for field in self.record_fields(record):
            out += ["    " + line for line in self.guarded(field, self.over(field, f"record->{field.name}"))]
        return out + ["    return 0;", "}", ""]

    # -- descriptors: schemas/avro_type.h
    def type_name(self, field):
        if isinstance(field.type, str):
            return f"avro_type_{field.type}"
        if field.kind == "array":
            return f"type_{field.record}_{field.name}"
        return f"avro_type_{field.stem}"

    def descriptor(self, definition, exported):
        stem = snake(definition["name"])
        kind = definition["type"]
        head = f'    .kind = AVRO_KIND_{kind.upper()}, .name = "{definition["name"]}",'
        if kind == "fixed":
            return [f"const struct avro_type avro_type_{stem} = {{", head, f"    .size = {definition['size']},", "};", ""]
        if kind == "enum":
            default = definition.get("default")
            index = definition["symbols"].index(default) if default is not None else -1
            return [f"const struct avro_type avro_type_{stem} = {{", head, f"    .size = sizeof(enum {stem}),",
                    f"    .symbols = {stem}_names, .symbols_count = {len(definition['symbols'])}, .symbol_default = {index},", "};", ""]
        out, rows = [], []
        for field in self.record_fields(definition):
            if field.kind == "array":
                item = self.item(field)
                item.record = field.record
                size = item.type["size"] if item.kind == "fixed" else f"sizeof({self.c_type(item)})"
                out += [f"static const struct avro_type {self.type_name(field)} = {{", f"    .kind = AVRO_KIND_ARRAY, .size = {size},",
                        f"    .items = &{self.type_name(item)},", "};", ""]
            parts = [f'.name = "{field.name}"', f".type = &{self.type_name(field)}", f".offset = offsetof(struct {stem}, {field.name})"]
            if field.nullable:
                parts += [".nullable = true", f".has_offset = offsetof(struct {stem}, has_{field.name})"]
            if field.kind == "array":
                parts.append(f".count_offset = offsetof(struct {stem}, {field.name}_count)")
            if field.kind in ("array", "string", "bytes"):
                parts.append(f".max = {field.max}")
            parts += [".raw = true"] if field.raw else []
            parts += [".has_default = true"] if field.has_default else []
            rows.append("    {" + ", ".join(parts) + "},")
        out += [f"static const struct avro_field fields_{stem}[] = {{", *rows, "};", "", f"static void init_any_{stem}(void *out)", "{",
                f"    {stem}_init(out);", "}", ""]
        functions = [f".init = init_any_{stem}"]
        if exported:
            out += [f"static int encode_any_{stem}(const void *record, struct buf *out)", "{", f"    return {stem}_encode(record, out);", "}", "",
                    f"static int decode_any_{stem}(void *out, struct str bytes, struct arena *arena)", "{",
                    f"    return {stem}_decode(out, bytes, arena);", "}", ""]
            functions += [f".encode = encode_any_{stem}", f".decode = decode_any_{stem}", f".skip_record = {stem}_skip"]
        return out + [f"const struct avro_type avro_type_{stem} = {{", head,
                      f"    .size = sizeof(struct {stem}), .fields = fields_{stem}, .fields_count = {len(rows)},",
                      f"    {', '.join(functions)},", "};", ""]


def c_string(text):
    """A C string literal of at most 400 bytes a piece."""
    pieces = [text[i:i + 400] for i in range(0, len(text), 400)]
    return "\n".join('    ' + json.dumps(piece, ensure_ascii=True) for piece in pieces)


def described(types, schema):
    """Published text and fingerprint."""
    texts = Texts(types, schema.get("namespace", ""))
    inlined = texts.inlined(schema, set())
    return json.dumps(inlined, separators=(",", ":"), ensure_ascii=True), fingerprint(texts.canonical(inlined))


def described_alone(schema):
    types = Types()
    types.collect(schema, "old version")
    return described(types, schema)


def write_files(types, path, out_dir, ids):
    """Returns the fingerprint."""
    writer = Writer(types)
    schema = json.loads(path.read_text())
    stem = path.stem
    record = snake(schema["name"])
    own = types.order.get(str(path), [])
    for name in own:
        writer.home_only(types.named[name], own)
    text, schema_fingerprint = described(types, schema)
    others = sorted({pathlib.Path(types.home[name]).stem for name in types.used(schema)} - {stem})
    header = [f"/* Generated from {path.name} by avrogen.py. */", "#pragma once", "", '#include "schemas/avro_type.h"', *(f'#include "schemas/{other}.avro.h"' for other in others), ""]
    code = [f"/* Generated from {path.name} by avrogen.py. */", f'#include "schemas/{stem}.avro.h"', "", '#include "schemas/error.h"', ""]
    for name in own:
        header.append(f"extern const struct avro_type avro_type_{snake(name)};")
    header += [""] if own else []
    for name in own:
        definition = types.named[name]
        if definition["type"] == "enum":
            header += writer.enum(definition)
            code += writer.enum_code(definition)
        elif definition["type"] == "record":
            header += writer.struct(definition)
            code += writer.record_code(definition, name == schema["name"])
        code += writer.descriptor(definition, name == schema["name"])
    header += ["/* Appends Avro. Errors: ERR_NO_MEMORY; ERR_TOO_LARGE, ERR_TOO_MANY over a maximum. */",
               f"MUST_CHECK int {record}_encode(const struct {record} *record, struct buf *out);",
               "/* Reads the whole of bytes; slices borrow from it, arrays live in the arena. Text is not checked for UTF-8.",
               " * Errors: ERR_AVRO, ERR_TOO_MANY, ERR_TOO_LARGE, ERR_NO_MEMORY; *out is then unusable. */",
               f"MUST_CHECK int {record}_decode(struct {record} *out, struct str bytes, struct arena *arena);",
               "/* Moves over one record, checking its structure. Errors: ERR_AVRO, ERR_TOO_MANY. */",
               f"MUST_CHECK int {record}_skip(struct avro_reader *reader);",
               "/* The schema as JSON, and CRC-64-AVRO of its parsing canonical form. */",
               f"extern const char {record}_schema[];", f"extern const uint64_t {record}_fingerprint;"]
    if ids is not None:
        header.append(f"#define {record.upper()}_SCHEMA_ID {schemaids.of_schema(ids, stem, schema_fingerprint)}")
    limits = writer.limits(schema)
    checked = [f"    if (size > {min(limits)})", f"        r = check_{record}(record);"] if limits else []
    code += [f"int {record}_encode(const struct {record} *record, struct buf *out)", "{", "    int r = 0;",
             f"    size_t size = bound_{record}(record);", *checked, "    if (r == 0)", "        r = buf_reserve(out, size + AVRO_WRITE_SLACK);", "    if (r < 0)", "        return r;",
             "    uint8_t *begin = (uint8_t *)out->data + out->size;", f"    uint8_t *end = write_{record}(begin, record);",
             "    out->size += (size_t)(end - begin);", "    return 0;", "}", "",
             f"int {record}_decode(struct {record} *out, struct str bytes, struct arena *arena)", "{",
             "    struct avro_reader reader = avro_reader_of(bytes);",
             f"    int r = read_{record}(&reader, arena, out);", "    if (r < 0)", "        return r;",
             "    return reader.at == reader.end ? 0 : ERR_AVRO;", "}", "", f"const char {record}_schema[] =", c_string(text) + ";", "",
             f"const uint64_t {record}_fingerprint = 0x{schema_fingerprint:016x};"]
    (out_dir / f"{stem}.avro.h").write_text("\n".join(header) + "\n")
    (out_dir / f"{stem}.avro.c").write_text("\n".join(code) + "\n")
    return schema_fingerprint


def used(types, schema, seen=None):
    """Names of all types that a schema's C mentions."""
    seen = set() if seen is None else seen
    if isinstance(schema, list):
        for branch in schema:
            used(types, branch, seen)
    elif isinstance(schema, str):
        if schema not in PRIMITIVES and schema not in seen:
            seen.add(schema)
            used(types, types.named[schema], seen)
    else:
        if "name" in schema:
            seen.add(schema["name"])
        for part in [f["type"] for f in schema.get("fields", [])] + ([schema["items"]] if "items" in schema else []):
            used(types, part, seen)
        if not isinstance(schema["type"], str):
            used(types, schema["type"], seen)
    return seen


Types.used = used


def run(paths, out_dir, ids_path=None):
    ids = schemaids.read(ids_path) if ids_path else None
    types = Types()
    for path in paths:
        types.collect(json.loads(path.read_text()), str(path))
    fingerprints = {path.stem: write_files(types, path, out_dir, ids) for path in paths}
    if ids is not None:
        code = schemaids.table(ids, ids_path.parent, fingerprints, described_alone, c_string)
        (out_dir / "schema_set.avro.c").write_text("\n".join(code) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--ids", type=pathlib.Path)
    parser.add_argument("schemas", type=pathlib.Path, nargs="+")
    options = parser.parse_args()
    run(options.schemas, options.out, options.ids)


if __name__ == "__main__":
    main()
