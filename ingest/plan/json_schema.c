/*
 * Reading a schema into nodes. Every keyword has a row in one table, which says how its value is
 * read and where it goes; a keyword without a row is refused.
 *
 * Reading follows the file's nesting by recursion, as judging does: both are trees of schemas, and
 * json_parse() lets no file nest deeper than JSON_DEPTH_MAX.
 */
#include "ingest/plan/json_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/plan/json_schema_private.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define KEYWORDS_MAX 80
#define HINT_SIZE_MAX 400

enum value_kind {
    VALUE_ANNOTATION,
    VALUE_DRAFT, /* $schema */
    VALUE_ID,    /* of the whole file alone */
    VALUE_TYPES,
    VALUE_ANY,    /* struct json */
    VALUE_ENUM,   /* struct json: an array that is not empty */
    VALUE_NUMBER, /* struct json */
    VALUE_ABOVE_ZERO,
    VALUE_COUNT, /* int64_t */
    VALUE_BOOL,
    VALUE_PATTERN,
    VALUE_FORMAT,
    VALUE_NAMES,       /* struct name_list */
    VALUE_NAMES_LISTS, /* struct name_lists */
    VALUE_SCHEMA,      /* struct node * */
    VALUE_SCHEMAS,     /* struct node_list */
    VALUE_MAP,         /* struct node_map */
    VALUE_PATTERN_MAP,
    VALUE_REF,
};

struct keyword {
    const char *name;
    enum value_kind kind;
    size_t offset; /* in struct node */
};

#define AT(field) offsetof(struct node, field)
static const struct keyword keywords[] = {
    {"title", VALUE_ANNOTATION, 0},
    {"description", VALUE_ANNOTATION, 0},
    {"default", VALUE_ANNOTATION, 0},
    {"examples", VALUE_ANNOTATION, 0},
    {"deprecated", VALUE_ANNOTATION, 0},
    {"readOnly", VALUE_ANNOTATION, 0},
    {"writeOnly", VALUE_ANNOTATION, 0},
    {"$comment", VALUE_ANNOTATION, 0},
    {"$schema", VALUE_DRAFT, 0},
    {"$id", VALUE_ID, 0},
    {"type", VALUE_TYPES, AT(types)},
    {"enum", VALUE_ENUM, AT(enumeration)},
    {"const", VALUE_ANY, AT(constant)},
    {"minimum", VALUE_NUMBER, AT(minimum)},
    {"maximum", VALUE_NUMBER, AT(maximum)},
    {"exclusiveMinimum", VALUE_NUMBER, AT(exclusive_minimum)},
    {"exclusiveMaximum", VALUE_NUMBER, AT(exclusive_maximum)},
    {"multipleOf", VALUE_ABOVE_ZERO, AT(multiple_of)},
    {"minLength", VALUE_COUNT, AT(min_length)},
    {"maxLength", VALUE_COUNT, AT(max_length)},
    {"minItems", VALUE_COUNT, AT(min_items)},
    {"maxItems", VALUE_COUNT, AT(max_items)},
    {"minContains", VALUE_COUNT, AT(min_contains)},
    {"maxContains", VALUE_COUNT, AT(max_contains)},
    {"minProperties", VALUE_COUNT, AT(min_properties)},
    {"maxProperties", VALUE_COUNT, AT(max_properties)},
    {"uniqueItems", VALUE_BOOL, AT(unique_items)},
    {"pattern", VALUE_PATTERN, 0},
    {"format", VALUE_FORMAT, 0},
    {"required", VALUE_NAMES, AT(required)},
    {"dependentRequired", VALUE_NAMES_LISTS, AT(dependent_required)},
    {"additionalProperties", VALUE_SCHEMA, AT(additional_properties)},
    {"propertyNames", VALUE_SCHEMA, AT(property_names)},
    {"items", VALUE_SCHEMA, AT(items)},
    {"contains", VALUE_SCHEMA, AT(contains)},
    {"not", VALUE_SCHEMA, AT(not_)},
    {"if", VALUE_SCHEMA, AT(if_)},
    {"then", VALUE_SCHEMA, AT(then_)},
    {"else", VALUE_SCHEMA, AT(else_)},
    {"prefixItems", VALUE_SCHEMAS, AT(prefix_items)},
    {"allOf", VALUE_SCHEMAS, AT(all_of)},
    {"anyOf", VALUE_SCHEMAS, AT(any_of)},
    {"oneOf", VALUE_SCHEMAS, AT(one_of)},
    {"properties", VALUE_MAP, AT(properties)},
    {"dependentSchemas", VALUE_MAP, AT(dependent_schemas)},
    {"$defs", VALUE_MAP, AT(definitions[0])},
    {"definitions", VALUE_MAP, AT(definitions[1])},
    {"patternProperties", VALUE_PATTERN_MAP, AT(pattern_properties)},
    {"$ref", VALUE_REF, 0},
};
#define KEYWORDS_COUNT (sizeof keywords / sizeof *keywords)
_Static_assert(KEYWORDS_COUNT <= KEYWORDS_MAX, "names for hints have room");

const char *const json_schema_types[TYPES] = {
    "null", "boolean", "integer", "number", "string", "array", "object"};

/* A schema on its way in. */
struct compiler {
    struct json_schema *schema;
    struct node **nodes; /* all of them */
    size_t count;
    size_t capacity;
    bool draft_7;
    struct str pointer;  /* of the node or keyword that is read */
    struct arena *arena; /* of *why */
    struct str *why;
};

static int complain(struct compiler *compiler, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int complain(struct compiler *compiler, const char *format, ...)
{
    char text[HINT_SIZE_MAX];
    CLEANUP(buf_free) struct buf out = {0};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int r = buf_append_str(&out, compiler->pointer);
    if (r == 0)
        r = buf_append_str(&out, STR(": "));
    if (r == 0)
        r = buf_append_str(&out, str_of(text));
    if (r == 0)
        r = arena_dup(compiler->arena, buf_str(&out), compiler->why);
    return r < 0 ? r : ERR_CONFIG;
}

/* The pointer of a member or element, escaped. Errors: ERR_NO_MEMORY. */
static int point(struct compiler *compiler, struct str outer, struct str key, struct str *out)
{
    char *text = arena_alloc(&compiler->schema->arena, outer.size + 1 + 2 * key.size);
    size_t size = outer.size;
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(text, outer.data, outer.size);
    text[size++] = '/';
    for (size_t i = 0; i < key.size; i++) {
        bool escaped = key.data[i] == '~' || key.data[i] == '/';
        if (escaped)
            text[size++] = '~';
        text[size++] = escaped ? (key.data[i] == '~' ? '0' : '1') : key.data[i];
    }
    *out = str_make(text, size);
    return 0;
}

static int point_index(struct compiler *compiler, struct str outer, size_t index, struct str *out)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%zu", index);
    return point(compiler, outer, str_make(text, (size_t)size), out);
}

static void *place_of(struct node *node, const struct keyword *keyword)
{
    return (char *)node + keyword->offset;
}

static int read_node(
    struct compiler *compiler, struct json value, struct str pointer, struct node **out);

/* ---- values of keywords ---- */

static int read_types(struct compiler *compiler, struct json value, unsigned *out)
{
    struct json_iterator iterator;
    struct str key;
    struct json item = value;
    bool single = json_kind(value) == JSON_TEXT;
    json_iterate(value, &iterator);
    while (single || json_next(&iterator, &key, &item)) {
        size_t bit = 0;
        while (bit < TYPES && !(json_kind(item) == JSON_TEXT &&
                                  str_equal(json_text(item), str_of(json_schema_types[bit]))))
            bit++;
        if (bit == TYPES)
            return complain(compiler, "a type is null, boolean, integer, number, string, array or "
                                      "object");
        *out |= 1u << bit;
        if (single)
            return 0;
    }
    return *out && json_kind(value) == JSON_ARRAY ? 0 : complain(compiler, "names no type");
}

static int read_number(
    struct compiler *compiler, struct json value, bool above_zero, struct json *out)
{
    bool integer = json_kind(value) == JSON_INT;
    if (!integer && json_kind(value) != JSON_DOUBLE)
        return complain(compiler, "is not a number");
    if (above_zero && (integer ? json_int(value) <= 0 : json_double(value) <= 0))
        return complain(compiler, "is not above zero");
    *out = value;
    return 0;
}

static int read_count(struct compiler *compiler, struct json value, int64_t *out)
{
    bool whole = json_kind(value) == JSON_DOUBLE &&
                 json_double(value) == (double)(int32_t)json_double(value);
    if (json_kind(value) != JSON_INT && !whole)
        return complain(compiler, "is not a whole number");
    *out = whole ? (int64_t)json_double(value) : json_int(value);
    return *out >= 0 ? 0 : complain(compiler, "is below zero");
}

/* Patterns see text as UTF-8, and $ its very end, as in ECMA 262; \u0041 is a character. */
static int compile_pattern(struct compiler *compiler, struct str text, pcre2_code **out)
{
    struct json_schema *schema = compiler->schema;
    int error = 0;
    PCRE2_SIZE at = 0;
    if (schema->codes_count == schema->codes_capacity) {
        size_t capacity = schema->codes_capacity ? 2 * schema->codes_capacity : 8;
        pcre2_code **codes = realloc(schema->codes, capacity * sizeof *codes);
        if (!codes)
            return ERR_NO_MEMORY;
        schema->codes = codes;
        schema->codes_capacity = capacity;
    }
    uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text.data, text.size, options, &error, &at, NULL);
    if (!code && error == PCRE2_ERROR_HEAPLIMIT)
        return ERR_NO_MEMORY;
    if (!code) {
        PCRE2_UCHAR message[128];
        (void)pcre2_get_error_message(error, message, sizeof message);
        return complain(compiler, "bad expression at %zu: %s", at, (const char *)message);
    }
    schema->codes[schema->codes_count++] = code;
    *out = code;
    return 0;
}

static int read_format(struct compiler *compiler, struct json value, enum format *out)
{
    struct str known[FORMAT_COUNT];
    if (json_kind(value) != JSON_TEXT)
        return complain(compiler, "is not text");
    for (size_t i = 1; i < FORMAT_COUNT; i++) {
        known[i - 1] = str_of(json_schema_formats[i]);
        if (str_equal(json_text(value), known[i - 1])) {
            *out = (enum format)i;
            return 0;
        }
    }
    return complain(compiler,
        "unsupported format \"%.*s\": date-time, date, email, uuid, ipv4, "
        "ipv6 or uri",
        (int)json_text(value).size, json_text(value).data);
}

static int read_names(struct compiler *compiler, struct json value, struct name_list *out)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    if (json_kind(value) != JSON_ARRAY)
        return complain(compiler, "is not an array of names");
    out->names =
        arena_alloc(&compiler->schema->arena, (json_count(value) + 1) * sizeof(struct str));
    if (!out->names)
        return ERR_NO_MEMORY;
    json_iterate(value, &iterator);
    while (json_next(&iterator, &key, &item)) {
        if (json_kind(item) != JSON_TEXT)
            return complain(compiler, "is not an array of names");
        out->names[out->count++] = json_text(item);
    }
    return 0;
}

static int read_names_lists(struct compiler *compiler, struct json value, struct name_lists *out)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    struct arena *arena = &compiler->schema->arena;
    if (json_kind(value) != JSON_OBJECT)
        return complain(compiler, "is not an object");
    out->names = arena_alloc(arena, (json_count(value) + 1) * sizeof *out->names);
    out->lists = arena_alloc(arena, (json_count(value) + 1) * sizeof *out->lists);
    if (!out->names || !out->lists)
        return ERR_NO_MEMORY;
    int r = 0;
    json_iterate(value, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item)) {
        out->names[out->count] = key;
        out->lists[out->count] = (struct name_list){0};
        r = read_names(compiler, item, &out->lists[out->count++]);
    }
    return r;
}

static int read_schemas(struct compiler *compiler, struct json value, struct node_list *out)
{
    struct str outer = compiler->pointer, key, pointer;
    struct json_iterator iterator;
    struct json item;
    if (json_kind(value) != JSON_ARRAY || json_is_empty(value))
        return complain(compiler, "is not an array of schemas");
    out->list = arena_alloc(&compiler->schema->arena, json_count(value) * sizeof(struct node *));
    if (!out->list)
        return ERR_NO_MEMORY;
    int r = 0;
    json_iterate(value, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item)) {
        r = point_index(compiler, outer, out->count, &pointer);
        if (r == 0)
            r = read_node(compiler, item, pointer, &out->list[out->count]);
        out->count++;
    }
    return r;
}

struct by_name {
    struct str name;
    struct node *node;
};

static int compare_names(const void *a, const void *b)
{
    return str_compare(((const struct by_name *)a)->name, ((const struct by_name *)b)->name);
}

/* Sorts the members of properties, which are searched by name. Errors: ERR_NO_MEMORY. */
static int sort_map(struct node_map *map)
{
    struct by_name *pairs = calloc(map->count + 1, sizeof *pairs);
    if (!pairs)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < map->count; i++)
        pairs[i] = (struct by_name){map->names[i], map->nodes[i]};
    qsort(pairs, map->count, sizeof *pairs, compare_names);
    for (size_t i = 0; i < map->count; i++) {
        map->names[i] = pairs[i].name;
        map->nodes[i] = pairs[i].node;
    }
    free(pairs);
    return 0;
}

static int read_map(
    struct compiler *compiler, struct json value, bool patterns, struct node_map *out)
{
    struct str outer = compiler->pointer, key, pointer;
    struct json_iterator iterator;
    struct json item;
    struct arena *arena = &compiler->schema->arena;
    if (json_kind(value) != JSON_OBJECT)
        return complain(compiler, "is not an object of schemas");
    size_t room = json_count(value) + 1;
    out->names = arena_alloc(arena, room * sizeof *out->names);
    out->nodes = arena_alloc(arena, room * sizeof *out->nodes);
    out->patterns = patterns ? arena_alloc(arena, room * sizeof(pcre2_code *)) : NULL;
    if (!out->names || !out->nodes || (patterns && !out->patterns))
        return ERR_NO_MEMORY;
    int r = 0;
    json_iterate(value, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item)) {
        size_t at = out->count++;
        out->names[at] = key;
        r = point(compiler, outer, key, &pointer);
        compiler->pointer = pointer;
        if (r == 0 && patterns)
            r = compile_pattern(compiler, key, &out->patterns[at]);
        if (r == 0)
            r = read_node(compiler, item, pointer, &out->nodes[at]);
    }
    return r < 0 || patterns ? r : sort_map(out);
}

static int read_draft(struct compiler *compiler, struct json value)
{
    static const struct str drafts[] = {STR_INIT("https://json-schema.org/draft/2020-12/schema"),
        STR_INIT("https://json-schema.org/draft/2019-09/schema"),
        STR_INIT("http://json-schema.org/draft-07/schema")};
    struct str text = json_kind(value) == JSON_TEXT ? json_text(value) : STR("");
    if (text.size && text.data[text.size - 1] == '#')
        text.size--;
    for (size_t i = 0; i < sizeof drafts / sizeof *drafts; i++) {
        if (!str_equal(text, drafts[i]))
            continue;
        compiler->draft_7 = i == 2;
        return 0;
    }
    return complain(compiler, "is none of the drafts 2020-12, 2019-09 and 07");
}

static int read_keyword(
    struct compiler *compiler, struct node *node, const struct keyword *keyword, struct json value)
{
    void *place = place_of(node, keyword);
    struct str pointer = compiler->pointer;
    switch (keyword->kind) {
    case VALUE_ANNOTATION:
        return 0;
    case VALUE_DRAFT:
        return read_draft(compiler, value);
    case VALUE_ID:
        return str_equal(node->pointer, STR("#"))
                   ? 0
                   : complain(compiler, "only the whole file may have an $id");
    case VALUE_TYPES:
        return read_types(compiler, value, place);
    case VALUE_ENUM:
        if (json_kind(value) != JSON_ARRAY || json_is_empty(value))
            return complain(compiler, "is not an array of values");
        __attribute__((fallthrough));
    case VALUE_ANY:
        *(struct json *)place = value;
        return 0;
    case VALUE_NUMBER:
    case VALUE_ABOVE_ZERO:
        return read_number(compiler, value, keyword->kind == VALUE_ABOVE_ZERO, place);
    case VALUE_COUNT:
        return read_count(compiler, value, place);
    case VALUE_BOOL:
        if (json_kind(value) != JSON_BOOL)
            return complain(compiler, "is neither true nor false");
        *(bool *)place = json_bool(value);
        return 0;
    case VALUE_PATTERN:
        if (json_kind(value) != JSON_TEXT)
            return complain(compiler, "is not text");
        node->pattern_text = json_text(value);
        return compile_pattern(compiler, node->pattern_text, &node->pattern);
    case VALUE_FORMAT:
        return read_format(compiler, value, &node->format);
    case VALUE_NAMES:
        return read_names(compiler, value, place);
    case VALUE_NAMES_LISTS:
        return read_names_lists(compiler, value, place);
    case VALUE_SCHEMA:
        return read_node(compiler, value, pointer, place);
    case VALUE_SCHEMAS:
        return read_schemas(compiler, value, place);
    case VALUE_MAP:
    case VALUE_PATTERN_MAP:
        return read_map(compiler, value, keyword->kind == VALUE_PATTERN_MAP, place);
    case VALUE_REF:
        if (json_kind(value) != JSON_TEXT || !str_starts_with(json_text(value), STR("#")))
            return complain(compiler, "a $ref stays within its file: \"#/$defs/NAME\"");
        node->ref_text = json_text(value);
        return 0;
    }
    return 0;
}

static const struct keyword *find_keyword(struct str name)
{
    for (size_t i = 0; i < KEYWORDS_COUNT; i++)
        if (str_equal(name, str_of(keywords[i].name)))
            return &keywords[i];
    return NULL;
}

static int complain_keyword(struct compiler *compiler, struct str name)
{
    struct str known[KEYWORDS_MAX];
    for (size_t i = 0; i < KEYWORDS_COUNT; i++)
        known[i] = str_of(keywords[i].name);
    struct str near = nearest_name(name, known, KEYWORDS_COUNT);
    return complain(compiler, "unsupported keyword \"%.*s\"%s%.*s%s", (int)name.size, name.data,
        near.size ? ": did you mean \"" : "", (int)near.size, near.size ? near.data : "",
        near.size ? "\"?" : "");
}

static int read_members(struct compiler *compiler, struct json value, struct node *node)
{
    struct json_iterator iterator;
    struct str key;
    struct json member;
    int r = 0;
    json_iterate(value, &iterator);
    while (r == 0 && json_next(&iterator, &key, &member)) {
        const struct keyword *keyword = find_keyword(key);
        compiler->pointer = node->pointer;
        if (!keyword && str_starts_with(key, STR("x-")))
            continue;
        if (!keyword)
            return complain_keyword(compiler, key);
        bool says = keyword->kind > VALUE_ID && keyword->kind != VALUE_REF;
        node->says_more |= says && strcmp(keyword->name, "definitions") != 0 &&
                           strcmp(keyword->name, "$defs") != 0;
        r = point(compiler, node->pointer, key, &compiler->pointer);
        if (r == 0)
            r = read_keyword(compiler, node, keyword, member);
    }
    return r;
}

static int keep_node(struct compiler *compiler, struct node *node)
{
    if (compiler->count == JSON_SCHEMA_NODES_MAX)
        return complain(compiler, "the file has too many schemas");
    if (compiler->count == compiler->capacity) {
        size_t capacity = compiler->capacity ? 2 * compiler->capacity : 64;
        struct node **nodes = realloc(compiler->nodes, capacity * sizeof *nodes);
        if (!nodes)
            return ERR_NO_MEMORY;
        compiler->nodes = nodes;
        compiler->capacity = capacity;
    }
    compiler->nodes[compiler->count++] = node;
    return 0;
}

static int read_node(
    struct compiler *compiler, struct json value, struct str pointer, struct node **out)
{
    struct node *node = arena_alloc(&compiler->schema->arena, sizeof *node);
    if (!node)
        return ERR_NO_MEMORY;
    *node = (struct node){.pointer = pointer,
        .min_length = COUNT_ABSENT,
        .max_length = COUNT_ABSENT,
        .min_items = COUNT_ABSENT,
        .max_items = COUNT_ABSENT,
        .min_contains = COUNT_ABSENT,
        .max_contains = COUNT_ABSENT,
        .min_properties = COUNT_ABSENT,
        .max_properties = COUNT_ABSENT};
    *out = node;
    compiler->pointer = pointer;
    int r = keep_node(compiler, node);
    if (r < 0)
        return r;
    if (json_kind(value) == JSON_BOOL) {
        node->nothing = !json_bool(value);
        return 0;
    }
    if (json_kind(value) != JSON_OBJECT)
        return complain(compiler, "a schema is an object, true or false");
    r = read_members(compiler, value, node);
    if (r == 0 && compiler->draft_7 && node->ref_text.size && node->says_more) {
        compiler->pointer = pointer;
        r = complain(compiler, "draft-07 passes over what stands beside $ref: name draft 2020-12, "
                               "or use allOf");
    }
    return r;
}

/* ---- references ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "#/$defs/a%20b" without its percent signs. Errors: ERR_NO_MEMORY. */
static int unescape(struct compiler *compiler, struct str text, struct str *out)
{
    char *plain = arena_alloc(&compiler->schema->arena, text.size + 1);
    size_t size = 0;
    if (!plain)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < text.size; i++) {
        bool escaped = text.data[i] == '%' && i + 2 < text.size &&
                       hex_value(text.data[i + 1]) >= 0 && hex_value(text.data[i + 2]) >= 0;
        plain[size++] = escaped
                            ? (char)(hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2]))
                            : text.data[i];
        i += escaped ? 2 : 0;
    }
    *out = str_make(plain, size);
    return 0;
}

static int resolve(struct compiler *compiler, struct node *node)
{
    struct str pointer;
    int r = unescape(compiler, node->ref_text, &pointer);
    if (r < 0)
        return r;
    for (size_t i = 0; i < compiler->count; i++)
        if (str_equal(compiler->nodes[i]->pointer, pointer))
            node->ref = compiler->nodes[i];
    compiler->pointer = node->pointer;
    return node->ref ? 0
                     : complain(compiler, "$ref \"%.*s\" refers to no schema of this file",
                           (int)node->ref_text.size, node->ref_text.data);
}

/* A chain of references that never comes to a schema. */
static int check_chain(struct compiler *compiler, const struct node *node)
{
    size_t steps = 0;
    for (const struct node *at = node; at; at = at->ref)
        if (steps++ > compiler->count) {
            compiler->pointer = node->pointer;
            return complain(compiler, "$ref refers to itself");
        }
    return 0;
}

static int resolve_all(struct compiler *compiler)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < compiler->count; i++)
        if (compiler->nodes[i]->ref_text.size)
            r = resolve(compiler, compiler->nodes[i]);
    for (size_t i = 0; r == 0 && i < compiler->count; i++)
        r = check_chain(compiler, compiler->nodes[i]);
    return r;
}

/* ---- publics ---- */

static int read_root(struct compiler *compiler, struct str text)
{
    struct json value, draft;
    compiler->pointer = STR("#");
    int r = json_parse(compiler->schema->parser, text, &value);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return complain(compiler, "%s", error_text(r));
    if (json_get(value, STR("$schema"), &draft))
        r = read_draft(compiler, draft);
    if (r == 0)
        r = read_node(compiler, value, STR("#"), &compiler->schema->root);
    return r < 0 ? r : resolve_all(compiler);
}

int json_schema_new(struct str text, struct arena *arena, struct str *why, struct json_schema **out)
{
    struct json_schema *schema = calloc(1, sizeof *schema);
    struct compiler compiler = {.schema = schema, .arena = arena, .why = why};
    if (!schema)
        return ERR_NO_MEMORY;
    int r = json_parser_new(&schema->parser);
    if (r == 0)
        r = read_root(&compiler, text);
    free(compiler.nodes);
    if (r < 0)
        json_schema_free(&schema);
    else
        *out = schema;
    return r;
}

void json_schema_free(struct json_schema **schema)
{
    struct json_schema *gone = *schema;
    *schema = NULL;
    if (!gone)
        return;
    for (size_t i = 0; i < gone->codes_count; i++)
        pcre2_code_free(gone->codes[i]);
    free(gone->codes);
    json_parser_free(&gone->parser);
    arena_free(&gone->arena);
    free(gone);
}

int json_schema_write_types(unsigned types, struct buf *out)
{
    int r = 0;
    bool begun = false;
    for (unsigned bit = 0; r == 0 && bit < TYPES; bit++) {
        if (!(types & 1u << bit))
            continue;
        r = buf_append_str(out, begun ? STR(" or ") : STR(""));
        if (r == 0)
            r = buf_append_str(out, str_of(json_schema_types[bit]));
        begun = true;
    }
    return r;
}
