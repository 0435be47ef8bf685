/*
 * Functions of a node call themselves for its children: a stack frame a level is plainer than a
 * stack of our own, and levels are bounded (JSON_DEPTH_MAX while parsing, WRITER_SCHEMA_DEPTH_MAX
 * afterwards).
 *
 * Invariants of a parsed schema: 1. no node reaches itself; 2. items of arrays and maps take at
 * least a byte, so that a count is bounded by the bytes that are left; 3. nodes and depth of the
 * root are within their maxima, hence those of every node are.
 */
#include "schemas/writer_schema.h"

#include <stdio.h>

#include "schemas/error.h"
#include "schemas/json.h"

#define NAMED_MAX 1024

struct named {
    struct str name;
    struct writer_node *node; /* NULL while its definition is being read */
};

struct parser {
    struct arena *arena;
    char *why;
    struct named named[NAMED_MAX];
    size_t named_count;
};

static const struct {
    struct str name;
    enum avro_kind kind;
    size_t size_min;
} primitives[] = {
    {STR_INIT("null"), AVRO_KIND_NULL, 0},
    {STR_INIT("boolean"), AVRO_KIND_BOOLEAN, 1},
    {STR_INIT("int"), AVRO_KIND_INT, 1},
    {STR_INIT("long"), AVRO_KIND_LONG, 1},
    {STR_INIT("float"), AVRO_KIND_FLOAT, 4},
    {STR_INIT("double"), AVRO_KIND_DOUBLE, 8},
    {STR_INIT("bytes"), AVRO_KIND_BYTES, 1},
    {STR_INIT("string"), AVRO_KIND_STRING, 1},
};

static int refuse(struct parser *parser, const char *reason, struct str name)
{
    if (parser->why)
        (void)snprintf(parser->why, WRITER_WHY_SIZE, "%s: %.*s", reason,
            (int)(name.size > 80 ? 80 : name.size), name.data ? name.data : "");
    return ERR_SCHEMA_VIOLATION;
}

struct str writer_short_name(struct str full_name)
{
    size_t at = full_name.size;
    while (at > 0 && full_name.data[at - 1] != '.')
        at--;
    return str_make(full_name.data + at, full_name.size - at);
}

static bool has_point(struct str name)
{
    return name.size && memchr(name.data, '.', name.size);
}

/* Namespace and name as one; a name with a point is whole. */
static int full_name(struct parser *parser, struct str space, struct str name, struct str *out)
{
    if (has_point(name) || space.size == 0)
        return arena_dup(parser->arena, name, out);
    char *data = arena_alloc(parser->arena, space.size + 1 + name.size);
    if (!data)
        return ERR_NO_MEMORY;
    memcpy(data, space.data, space.size);
    data[space.size] = '.';
    if (name.size)
        memcpy(data + space.size + 1, name.data, name.size);
    *out = str_make(data, space.size + 1 + name.size);
    return 0;
}

static int new_node(struct parser *parser, enum avro_kind kind, struct writer_node **out)
{
    struct writer_node *node = arena_alloc(parser->arena, sizeof *node);
    if (!node)
        return ERR_NO_MEMORY;
    *node = (struct writer_node){.kind = kind, .size_min = 1, .depth = 1, .nodes = 1};
    *out = node;
    return 0;
}

static int new_lists(struct parser *parser, struct writer_node *node, size_t count)
{
    node->count = count;
    node->names = arena_alloc(parser->arena, (count + 1) * sizeof *node->names);
    node->children = arena_alloc(parser->arena, (count + 1) * sizeof *node->children);
    return node->names && node->children ? 0 : ERR_NO_MEMORY;
}

/* Counts a child into its parent; invariants 2 and 3. */
static int add_child(struct parser *parser, struct writer_node *node, struct writer_node *child)
{
    node->nodes += child->nodes;
    if (child->depth >= node->depth)
        node->depth = child->depth + 1;
    if (node->nodes > WRITER_SCHEMA_NODES_MAX)
        return refuse(parser, "too many types", child->name);
    if (node->depth > WRITER_SCHEMA_DEPTH_MAX)
        return refuse(parser, "types are nested too deep", child->name);
    return 0;
}

static int parse_type(
    struct parser *parser, struct json schema, struct str space, struct writer_node **out);

static int parse_reference(
    struct parser *parser, struct str name, struct str space, struct writer_node **out)
{
    for (size_t i = 0; i < sizeof(primitives) / sizeof(primitives[0]); i++)
        if (str_equal(name, primitives[i].name)) {
            int r = new_node(parser, primitives[i].kind, out);
            if (r == 0)
                (*out)->size_min = primitives[i].size_min;
            return r;
        }
    struct str full;
    int r = full_name(parser, space, name, &full);
    if (r < 0)
        return r;
    for (size_t i = 0; i < parser->named_count; i++)
        if (str_equal(parser->named[i].name, full)) {
            if (!parser->named[i].node)
                return refuse(parser, "recursive type", full);
            *out = parser->named[i].node;
            return 0;
        }
    return refuse(parser, "unknown type", full);
}

static int parse_union(
    struct parser *parser, struct json schema, struct str space, struct writer_node **out)
{
    struct writer_node *node;
    int r = new_node(parser, AVRO_KIND_UNION, &node);
    if (r == 0)
        r = new_lists(parser, node, json_count(schema));
    if (r < 0)
        return r;
    if (node->count == 0)
        return refuse(parser, "empty union", space);
    size_t at = 0, size_min = SIZE_MAX;
    struct json_iterator iterator;
    struct str key;
    struct json branch;
    json_iterate(schema, &iterator);
    while (json_next(&iterator, &key, &branch)) {
        struct writer_node *child;
        r = parse_type(parser, branch, space, &child);
        if (r == 0 && child->kind == AVRO_KIND_UNION)
            r = refuse(parser, "union within a union", space);
        if (r == 0)
            r = add_child(parser, node, child);
        if (r < 0)
            return r;
        node->children[at++] = child;
        if (child->size_min < size_min)
            size_min = child->size_min;
    }
    node->size_min = 1 + size_min;
    *out = node;
    return 0;
}

/* Array or map: key names the member that holds the type of the items. */
static int parse_items(struct parser *parser, struct json schema, struct str space,
    enum avro_kind kind, struct writer_node **out)
{
    struct writer_node *node;
    struct json items;
    if (!json_get(schema, kind == AVRO_KIND_MAP ? STR("values") : STR("items"), &items))
        return refuse(parser, "array or map without a type of its items", space);
    int r = new_node(parser, kind, &node);
    if (r == 0)
        r = new_lists(parser, node, 1);
    if (r == 0)
        r = parse_type(parser, items, space, &node->children[0]);
    if (r == 0)
        r = add_child(parser, node, node->children[0]);
    if (r < 0)
        return r;
    if (kind == AVRO_KIND_ARRAY && node->children[0]->size_min == 0)
        return refuse(parser, "array of items that take no bytes", space);
    *out = node;
    return 0;
}

static int parse_symbols(struct parser *parser, struct json schema, struct writer_node *node)
{
    struct json symbols, symbol;
    if (!json_get(schema, STR("symbols"), &symbols) || json_kind(symbols) != JSON_ARRAY)
        return refuse(parser, "enum without symbols", node->name);
    int r = new_lists(parser, node, json_count(symbols));
    struct json_iterator iterator;
    struct str key;
    size_t at = 0;
    json_iterate(symbols, &iterator);
    while (r == 0 && json_next(&iterator, &key, &symbol)) {
        if (json_kind(symbol) != JSON_TEXT)
            return refuse(parser, "symbol is no text in enum", node->name);
        r = arena_dup(parser->arena, json_text(symbol), &node->names[at++]);
    }
    return r;
}

static int parse_fixed(struct parser *parser, struct json schema, struct writer_node *node)
{
    struct json size;
    if (!json_get(schema, STR("size"), &size) || json_kind(size) != JSON_INT ||
        json_int(size) < 0 || (uint64_t)json_int(size) > WRITER_FIXED_SIZE_MAX)
        return refuse(parser, "size of fixed is missing or too large", node->name);
    node->size = (size_t)json_int(size);
    node->size_min = node->size;
    return 0;
}

static int parse_fields(
    struct parser *parser, struct json schema, struct str space, struct writer_node *node)
{
    struct json fields, field, name, type;
    if (!json_get(schema, STR("fields"), &fields) || json_kind(fields) != JSON_ARRAY)
        return refuse(parser, "record without fields", node->name);
    int r = new_lists(parser, node, json_count(fields));
    struct json_iterator iterator;
    struct str key;
    size_t at = 0;
    node->size_min = 0;
    json_iterate(fields, &iterator);
    while (r == 0 && json_next(&iterator, &key, &field)) {
        if (!json_get(field, STR("name"), &name) || json_kind(name) != JSON_TEXT ||
            !json_get(field, STR("type"), &type))
            return refuse(parser, "field without name or type in record", node->name);
        r = arena_dup(parser->arena, json_text(name), &node->names[at]);
        if (r == 0)
            r = parse_type(parser, type, space, &node->children[at]);
        if (r == 0)
            r = add_child(parser, node, node->children[at]);
        if (r == 0)
            node->size_min += node->children[at++]->size_min;
    }
    return r;
}

static int parse_named(struct parser *parser, struct json schema, struct str space,
    enum avro_kind kind, struct writer_node **out)
{
    struct json name, own_space;
    struct writer_node *node;
    if (!json_get(schema, STR("name"), &name) || json_kind(name) != JSON_TEXT)
        return refuse(parser, "type without a name in", space);
    if (json_get(schema, STR("namespace"), &own_space) && json_kind(own_space) == JSON_TEXT)
        space = json_text(own_space);
    int r = new_node(parser, kind, &node);
    if (r == 0)
        r = full_name(parser, space, json_text(name), &node->name);
    if (r < 0)
        return r;
    for (size_t i = 0; i < parser->named_count; i++)
        if (str_equal(parser->named[i].name, node->name))
            return refuse(parser, "type is defined twice", node->name);
    if (parser->named_count == NAMED_MAX)
        return refuse(parser, "too many named types", node->name);
    size_t own = parser->named_count++;
    parser->named[own] = (struct named){node->name, NULL};
    if (has_point(node->name)) /* the namespace of what is inside */
        space = str_make(node->name.data, node->name.size - writer_short_name(node->name).size - 1);
    if (kind == AVRO_KIND_RECORD)
        r = parse_fields(parser, schema, space, node);
    else if (kind == AVRO_KIND_ENUM)
        r = parse_symbols(parser, schema, node);
    else
        r = parse_fixed(parser, schema, node);
    if (r < 0)
        return r;
    parser->named[own].node = node;
    *out = node;
    return 0;
}

static int parse_type(
    struct parser *parser, struct json schema, struct str space, struct writer_node **out)
{
    struct json type;
    if (json_kind(schema) == JSON_TEXT)
        return parse_reference(parser, json_text(schema), space, out);
    if (json_kind(schema) == JSON_ARRAY)
        return parse_union(parser, schema, space, out);
    if (json_kind(schema) != JSON_OBJECT || !json_get(schema, STR("type"), &type))
        return refuse(parser, "type is missing in", space);
    if (json_kind(type) != JSON_TEXT)
        return parse_type(parser, type, space, out);
    struct str name = json_text(type);
    if (str_equal(name, STR("record")) || str_equal(name, STR("error")))
        return parse_named(parser, schema, space, AVRO_KIND_RECORD, out);
    if (str_equal(name, STR("enum")))
        return parse_named(parser, schema, space, AVRO_KIND_ENUM, out);
    if (str_equal(name, STR("fixed")))
        return parse_named(parser, schema, space, AVRO_KIND_FIXED, out);
    if (str_equal(name, STR("array")))
        return parse_items(parser, schema, space, AVRO_KIND_ARRAY, out);
    if (str_equal(name, STR("map")))
        return parse_items(parser, schema, space, AVRO_KIND_MAP, out);
    return parse_reference(parser, name, space, out);
}

int writer_schema_parse(struct str text, struct arena *arena, struct writer_node **out, char *why)
{
    if (why)
        *why = 0;
    if (text.size > WRITER_SCHEMA_SIZE_MAX)
        return ERR_TOO_LARGE;
    CLEANUP(json_parser_free) struct json_parser *json = NULL;
    struct parser *parser = arena_alloc(arena, sizeof *parser);
    if (!parser)
        return ERR_NO_MEMORY;
    *parser = (struct parser){.arena = arena, .why = why};
    struct json schema;
    int r = json_parser_new(&json);
    if (r == 0)
        r = json_parse(json, text, &schema);
    if (r == 0)
        r = parse_type(parser, schema, str_make(NULL, 0), out);
    return r;
}

bool writer_same(const struct writer_node *a, const struct writer_node *b)
{
    bool has_names = a->kind == AVRO_KIND_ENUM || a->kind == AVRO_KIND_RECORD;
    bool has_children = a->kind == AVRO_KIND_RECORD || a->kind == AVRO_KIND_UNION ||
                        a->kind == AVRO_KIND_ARRAY || a->kind == AVRO_KIND_MAP;
    if (a->kind != b->kind || a->count != b->count || a->size != b->size ||
        !str_equal(a->name, b->name))
        return false;
    for (size_t i = 0; i < a->count; i++)
        if ((has_names && !str_equal(a->names[i], b->names[i])) ||
            (has_children && !writer_same(a->children[i], b->children[i])))
            return false;
    return true;
}

static int skip_blocks(const struct writer_node *node, struct avro_reader *reader)
{
    for (;;) {
        size_t block;
        int r = avro_get_block(reader, SIZE_MAX, &block);
        if (r < 0)
            return r;
        if (block == 0)
            return 0;
        while (block-- > 0) {
            if (node->kind == AVRO_KIND_MAP)
                r = avro_skip_bytes(reader, SIZE_MAX);
            if (r == 0)
                r = writer_skip(node->children[0], reader);
            if (r < 0)
                return r;
        }
    }
}

int writer_skip(const struct writer_node *node, struct avro_reader *reader)
{
    int r = 0;
    int32_t branch;
    switch (node->kind) {
    case AVRO_KIND_NULL:
        return 0;
    case AVRO_KIND_BOOLEAN:
        return avro_skip_bool(reader);
    case AVRO_KIND_INT:
        return avro_skip_int(reader);
    case AVRO_KIND_LONG:
        return avro_skip_long(reader);
    case AVRO_KIND_FLOAT:
    case AVRO_KIND_DOUBLE:
        return avro_skip_fixed(reader, node->size_min);
    case AVRO_KIND_BYTES:
    case AVRO_KIND_STRING:
        return avro_skip_bytes(reader, SIZE_MAX);
    case AVRO_KIND_FIXED:
        return avro_skip_fixed(reader, node->size);
    case AVRO_KIND_ENUM:
        return avro_skip_enum(reader, (int32_t)node->count);
    case AVRO_KIND_ARRAY:
    case AVRO_KIND_MAP:
        return skip_blocks(node, reader);
    case AVRO_KIND_UNION:
        r = avro_get_enum(reader, (int32_t)node->count, &branch);
        return r < 0 ? r : writer_skip(node->children[branch], reader);
    case AVRO_KIND_RECORD:
        for (size_t i = 0; i < node->count && r == 0; i++)
            r = writer_skip(node->children[i], reader);
        return r;
    }
    return ERR_INTERNAL;
}
