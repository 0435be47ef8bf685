/*
 * A plan is a tree of steps along the writer's schema, since that is the order of the bytes. Steps
 * call themselves for their children: no deeper than WRITER_SCHEMA_DEPTH_MAX, which the parser has
 * checked.
 *
 * Invariant: a record is set to its defaults before its steps run, so what the writer lacks is
 * there.
 */
#include "schemas/avro_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"

enum op {
    OP_FAIL, /* a branch that the reader cannot hold */
    OP_SKIP,
    OP_NULL,
    OP_BOOLEAN,
    OP_INT,
    OP_LONG,
    OP_LONG_TO_DOUBLE,
    OP_FLOAT_TO_DOUBLE,
    OP_DOUBLE,
    OP_TEXT,
    OP_FIXED,
    OP_ENUM,
    OP_ARRAY,
    OP_UNION,
    OP_RECORD,
    OP_RAW_PLAIN,  /* an encoded part that is ours already */
    OP_RAW_REWRITE /* one of another version: decoded, then encoded again */
};

struct step {
    enum op op;
    const struct writer_node *writer;
    const struct avro_type *type;
    const struct avro_field *field; /* of a record's child: where it goes; NULL: nowhere */
    size_t max;                     /* OP_TEXT, OP_ARRAY */
    struct step *children;          /* as many as the writer's; OP_ARRAY, OP_RAW_REWRITE: one */
    int32_t *symbols;               /* OP_ENUM: ours by the writer's, -1: none */
};

struct avro_plan {
    struct arena arena;
    const struct avro_type *type;
    struct step root;
    bool plain;
};

/* Where a value goes. */
struct target {
    void *value;
    bool *has;     /* of a nullable field, else NULL */
    size_t *count; /* of an array, else NULL */
};

/* What the reader wants in a place. */
struct want {
    const struct avro_type *type;
    size_t max;
    bool nullable;
    bool raw;
};

struct maker {
    struct arena *arena;
    char *why;
};

#define MAX_OF_ITEM                                                                                \
    ((size_t)1 << 20) /* bytes of a text within an array of texts: the generator's */

static int refuse(struct maker *maker, const char *reason, struct str where)
{
    if (maker->why)
        (void)snprintf(maker->why, WRITER_WHY_SIZE, "%s: %.*s", reason,
            (int)(where.size > 80 ? 80 : where.size), where.data ? where.data : "");
    return ERR_SCHEMA_VIOLATION;
}

static bool is_text(enum avro_kind kind)
{
    return kind == AVRO_KIND_STRING || kind == AVRO_KIND_BYTES;
}

static bool same_name(const struct writer_node *writer, const struct avro_type *type)
{
    return str_equal(writer_short_name(writer->name), str_of(type->name));
}

/* -- is it exactly what the generated decoder reads? ----------------------------------------------
 */

static bool plain(const struct writer_node *writer, const struct want *want);

static bool plain_record(const struct writer_node *writer, const struct avro_type *type)
{
    if (!same_name(writer, type) || writer->count != type->fields_count)
        return false;
    for (size_t i = 0; i < writer->count; i++) {
        const struct avro_field *field = &type->fields[i];
        struct want want = {field->type, field->max, field->nullable, field->raw};
        if (!str_equal(writer->names[i], str_of(field->name)) || !plain(writer->children[i], &want))
            return false;
    }
    return true;
}

static bool plain_enum(const struct writer_node *writer, const struct avro_type *type)
{
    if (!same_name(writer, type) || writer->count > type->symbols_count)
        return false;
    for (size_t i = 0; i < writer->count; i++)
        if (!str_equal(writer->names[i], str_of(type->symbols[i])))
            return false;
    return true;
}

/* An int is read as a long, a string as bytes: their encodings are the same. */
static bool plain(const struct writer_node *writer, const struct want *want)
{
    const struct avro_type *type = want->type;
    if (want->nullable) {
        struct want inner = {type, want->max, false, want->raw};
        return writer->kind == AVRO_KIND_UNION && writer->count == 2 &&
               writer->children[0]->kind == AVRO_KIND_NULL && plain(writer->children[1], &inner);
    }
    if (is_text(type->kind))
        return is_text(writer->kind);
    if (type->kind == AVRO_KIND_LONG)
        return writer->kind == AVRO_KIND_LONG || writer->kind == AVRO_KIND_INT;
    if (writer->kind != type->kind)
        return false;
    if (type->kind == AVRO_KIND_RECORD)
        return plain_record(writer, type);
    if (type->kind == AVRO_KIND_ENUM)
        return plain_enum(writer, type);
    if (type->kind == AVRO_KIND_FIXED)
        return same_name(writer, type) && writer->size == type->size;
    if (type->kind == AVRO_KIND_ARRAY) {
        struct want item = {.type = type->items};
        return plain(writer->children[0], &item);
    }
    return true;
}

/* -- making a plan --------------------------------------------------------------------------------
 */

static int resolve(struct maker *maker, const struct writer_node *writer, const struct want *want,
    struct step *out);

static struct step *new_steps(struct maker *maker, size_t count)
{
    struct step *steps = arena_alloc(maker->arena, (count + 1) * sizeof *steps);
    if (steps)
        memset(steps, 0, (count + 1) * sizeof *steps);
    return steps;
}

static bool finds(const struct writer_node *writer, const char *name)
{
    for (size_t i = 0; i < writer->count; i++)
        if (str_equal(writer->names[i], str_of(name)))
            return true;
    return false;
}

static const struct avro_field *field_of(const struct avro_type *type, struct str name)
{
    for (size_t i = 0; i < type->fields_count; i++)
        if (str_equal(name, str_of(type->fields[i].name)))
            return &type->fields[i];
    return NULL;
}

static int resolve_record(struct maker *maker, const struct writer_node *writer,
    const struct avro_type *type, struct step *out)
{
    if (!same_name(writer, type))
        return refuse(maker, "record has another name", writer->name);
    for (size_t i = 0; i < type->fields_count; i++)
        if (!type->fields[i].has_default && !finds(writer, type->fields[i].name))
            return refuse(
                maker, "writer lacks a field without default", str_of(type->fields[i].name));
    out->op = OP_RECORD;
    out->children = new_steps(maker, writer->count);
    if (!out->children)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < writer->count; i++) {
        struct step *child = &out->children[i];
        child->field = field_of(type, writer->names[i]);
        if (!child->field) {
            *child = (struct step){.op = OP_SKIP, .writer = writer->children[i]};
            continue;
        }
        for (size_t k = 0; k < i; k++)
            if (out->children[k].field == child->field)
                return refuse(maker, "writer has a field twice", writer->names[i]);
        struct want want = {
            child->field->type, child->field->max, child->field->nullable, child->field->raw};
        int r = resolve(maker, writer->children[i], &want, child);
        if (r < 0) {
            if (r == ERR_SCHEMA_VIOLATION && maker->why && !*maker->why)
                return refuse(maker, "types do not fit in field", writer->names[i]);
            return r;
        }
    }
    return 0;
}

static int resolve_enum(struct maker *maker, const struct writer_node *writer,
    const struct avro_type *type, struct step *out)
{
    if (!same_name(writer, type))
        return refuse(maker, "enum has another name", writer->name);
    out->op = OP_ENUM;
    out->symbols = arena_alloc(maker->arena, (writer->count + 1) * sizeof *out->symbols);
    if (!out->symbols)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < writer->count; i++) {
        out->symbols[i] = (int32_t)type->symbol_default;
        for (size_t k = 0; k < type->symbols_count; k++)
            if (str_equal(writer->names[i], str_of(type->symbols[k])))
                out->symbols[i] = (int32_t)k;
    }
    return 0;
}

static int resolve_union(struct maker *maker, const struct writer_node *writer,
    const struct want *want, struct step *out)
{
    size_t good = 0;
    out->op = OP_UNION;
    out->children = new_steps(maker, writer->count);
    if (!out->children)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < writer->count; i++) {
        struct maker quiet = {maker->arena, NULL};
        int r = resolve(&quiet, writer->children[i], want, &out->children[i]);
        if (r < 0 && r != ERR_SCHEMA_VIOLATION)
            return r;
        if (r == 0 && writer->children[i]->kind != AVRO_KIND_NULL)
            good++;
        if (r < 0)
            out->children[i] = (struct step){.op = OP_FAIL};
    }
    return good || want->nullable ? 0 : ERR_SCHEMA_VIOLATION;
}

static int resolve_array(struct maker *maker, const struct writer_node *writer,
    const struct avro_type *type, struct step *out)
{
    struct want item = {.type = type->items, .max = MAX_OF_ITEM};
    out->op = OP_ARRAY;
    out->children = new_steps(maker, 1);
    return out->children ? resolve(maker, writer->children[0], &item, out->children)
                         : ERR_NO_MEMORY;
}

static int resolve_raw(struct maker *maker, const struct writer_node *writer,
    const struct avro_type *type, struct step *out)
{
    if (plain_record(writer, type)) {
        out->op = OP_RAW_PLAIN;
        return 0;
    }
    out->op = OP_RAW_REWRITE;
    out->children = new_steps(maker, 1);
    if (!out->children)
        return ERR_NO_MEMORY;
    *out->children = (struct step){.writer = writer, .type = type};
    return resolve_record(maker, writer, type, out->children);
}

/* Pairs of types without a name or children. Source: Avro 1.11, "Schema Resolution". */
static enum op resolve_scalar(enum avro_kind writer, enum avro_kind type)
{
    switch (type) {
    case AVRO_KIND_BOOLEAN:
        return writer == AVRO_KIND_BOOLEAN ? OP_BOOLEAN : OP_FAIL;
    case AVRO_KIND_INT:
        return writer == AVRO_KIND_INT ? OP_INT : OP_FAIL;
    case AVRO_KIND_LONG:
        return writer == AVRO_KIND_INT || writer == AVRO_KIND_LONG ? OP_LONG : OP_FAIL;
    case AVRO_KIND_DOUBLE:
        if (writer == AVRO_KIND_INT || writer == AVRO_KIND_LONG)
            return OP_LONG_TO_DOUBLE;
        if (writer == AVRO_KIND_FLOAT)
            return OP_FLOAT_TO_DOUBLE;
        return writer == AVRO_KIND_DOUBLE ? OP_DOUBLE : OP_FAIL;
    case AVRO_KIND_STRING:
    case AVRO_KIND_BYTES:
        return is_text(writer) ? OP_TEXT : OP_FAIL;
    default:
        return OP_FAIL;
    }
}

static int resolve(struct maker *maker, const struct writer_node *writer, const struct want *want,
    struct step *out)
{
    const struct avro_type *type = want->type;
    out->writer = writer;
    out->type = type;
    out->max = want->max;
    if (writer->kind == AVRO_KIND_UNION)
        return resolve_union(maker, writer, want, out);
    if (writer->kind == AVRO_KIND_NULL) {
        out->op = OP_NULL;
        return want->nullable ? 0 : ERR_SCHEMA_VIOLATION;
    }
    enum avro_kind kind = type->kind;
    bool nests = kind == AVRO_KIND_RECORD || kind == AVRO_KIND_ENUM || kind == AVRO_KIND_FIXED ||
                 kind == AVRO_KIND_ARRAY;
    if (nests && writer->kind != kind)
        return ERR_SCHEMA_VIOLATION;
    if (want->raw)
        return resolve_raw(maker, writer, type, out);
    if (kind == AVRO_KIND_RECORD)
        return resolve_record(maker, writer, type, out);
    if (kind == AVRO_KIND_ENUM)
        return resolve_enum(maker, writer, type, out);
    if (kind == AVRO_KIND_ARRAY)
        return resolve_array(maker, writer, type, out);
    if (kind == AVRO_KIND_FIXED) {
        out->op = OP_FIXED;
        return same_name(writer, type) && writer->size == type->size ? 0 : ERR_SCHEMA_VIOLATION;
    }
    out->op = resolve_scalar(writer->kind, kind);
    return out->op == OP_FAIL ? ERR_SCHEMA_VIOLATION : 0;
}

/* -- reading by it --------------------------------------------------------------------------------
 */

struct run {
    struct avro_reader reader;
    struct arena *arena;
};

static int run_step(struct run *run, const struct step *step, struct target target);

static int run_record(struct run *run, const struct step *step, char *out)
{
    step->type->init(out);
    for (size_t i = 0; i < step->writer->count; i++) {
        const struct step *child = &step->children[i];
        const struct avro_field *field = child->field;
        struct target target = {0};
        if (field)
            target.value = out + field->offset;
        if (field && field->nullable)
            target.has = (bool *)(out + field->has_offset);
        if (field && field->type->kind == AVRO_KIND_ARRAY)
            target.count = (size_t *)(void *)(out + field->count_offset);
        int r = run_step(run, child, target);
        if (r < 0)
            return r;
    }
    return 0;
}

static int run_array(struct run *run, const struct step *step, struct target target)
{
    size_t size = step->type->size, count = 0, capacity = 0;
    char *items = NULL;
    for (;;) {
        size_t block;
        int r = avro_get_block(&run->reader, step->max - count, &block);
        if (r < 0)
            return r;
        if (block == 0)
            break;
        if (count + block > capacity) {
            capacity = count + block > 2 * capacity ? count + block : 2 * capacity;
            char *more = arena_alloc(run->arena, capacity * size);
            if (!more)
                return ERR_NO_MEMORY;
            if (count)
                memcpy(more, items, count * size);
            items = more;
        }
        for (size_t end = count + block; count < end; count++) {
            r = run_step(run, step->children, (struct target){.value = items + count * size});
            if (r < 0)
                return r;
        }
    }
    memcpy(target.value, &items, sizeof(items));
    *target.count = count;
    return 0;
}

static int run_raw_rewrite(struct run *run, const struct step *step, struct str *out)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    char *record = arena_alloc(run->arena, step->type->size);
    if (!record)
        return ERR_NO_MEMORY;
    int r = run_record(run, step->children, record);
    if (r == 0)
        r = step->type->encode(record, &bytes);
    if (r == 0)
        r = arena_dup(run->arena, buf_str(&bytes), out);
    return r;
}

static int run_enum(struct run *run, const struct step *step, void *out)
{
    int32_t symbol;
    int r = avro_get_enum(&run->reader, (int32_t)step->writer->count, &symbol);
    if (r < 0)
        return r;
    if (step->symbols[symbol] < 0)
        return ERR_SCHEMA_VIOLATION;
    memcpy(out, &step->symbols[symbol], sizeof(int32_t)); /* enums of the generator are ints */
    return 0;
}

static int run_double(struct run *run, const struct step *step, double *out)
{
    int64_t integer;
    uint8_t bits[sizeof(float)];
    float narrow;
    int r;
    switch (step->op) {
    case OP_LONG_TO_DOUBLE:
        r = avro_get_long(&run->reader, &integer);
        if (r == 0)
            *out = (double)integer;
        return r;
    case OP_FLOAT_TO_DOUBLE:
        r = avro_get_fixed(&run->reader, bits, sizeof(bits));
        if (r == 0) {
            memcpy(&narrow, bits, sizeof(narrow));
            *out = (double)narrow;
        }
        return r;
    default:
        return avro_get_double(&run->reader, out);
    }
}

static int run_value(struct run *run, const struct step *step, struct target target)
{
    struct avro_reader *reader = &run->reader;
    switch (step->op) {
    case OP_BOOLEAN:
        return avro_get_bool(reader, target.value);
    case OP_INT:
        return avro_get_int(reader, target.value);
    case OP_LONG:
        return avro_get_long(reader, target.value);
    case OP_LONG_TO_DOUBLE:
    case OP_FLOAT_TO_DOUBLE:
    case OP_DOUBLE:
        return run_double(run, step, target.value);
    case OP_TEXT:
        return avro_get_bytes(reader, step->max, target.value);
    case OP_FIXED:
        return avro_get_fixed(reader, target.value, step->type->size);
    case OP_ENUM:
        return run_enum(run, step, target.value);
    case OP_ARRAY:
        return run_array(run, step, target);
    case OP_RECORD:
        return run_record(run, step, target.value);
    case OP_RAW_PLAIN:
        return avro_get_raw(reader, step->type->skip_record, target.value);
    case OP_RAW_REWRITE:
        return run_raw_rewrite(run, step, target.value);
    default:
        return ERR_SCHEMA_VIOLATION; /* OP_FAIL */
    }
}

static int run_step(struct run *run, const struct step *step, struct target target)
{
    if (step->op == OP_SKIP)
        return writer_skip(step->writer, &run->reader);
    if (step->op == OP_UNION) {
        int32_t branch;
        int r = avro_get_enum(&run->reader, (int32_t)step->writer->count, &branch);
        return r < 0 ? r : run_step(run, &step->children[branch], target);
    }
    if (step->op == OP_NULL)
        return 0; /* has is false since init() */
    if (target.has)
        *target.has = true;
    return run_value(run, step, target);
}

int avro_plan_new(
    struct avro_plan **out, struct str writer_schema, const struct avro_type *type, char *why)
{
    check(type->kind == AVRO_KIND_RECORD && type->decode);
    CLEANUP(avro_plan_free) struct avro_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return ERR_NO_MEMORY;
    struct writer_node *writer;
    struct maker maker = {&plan->arena, why};
    int r = writer_schema_parse(writer_schema, &plan->arena, &writer, why);
    if (r < 0)
        return r;
    if (writer->kind != AVRO_KIND_RECORD)
        return refuse(&maker, "not a record, but wanted", str_of(type->name));
    plan->type = type;
    plan->plain = plain_record(writer, type);
    plan->root = (struct step){.writer = writer, .type = type};
    if (!plan->plain)
        r = resolve_record(&maker, writer, type, &plan->root);
    if (r < 0)
        return r;
    *out = plan;
    plan = NULL;
    return 0;
}

void avro_plan_free(struct avro_plan **plan)
{
    if (!*plan)
        return;
    arena_free(&(*plan)->arena);
    free(*plan);
    *plan = NULL;
}

bool avro_plan_is_plain(const struct avro_plan *plan)
{
    return plan->plain;
}

int avro_plan_decode(const struct avro_plan *plan, void *out, struct str bytes, struct arena *arena)
{
    if (plan->plain)
        return plan->type->decode(out, bytes, arena);
    struct run run = {avro_reader_of(bytes), arena};
    int r = run_record(&run, &plan->root, out);
    if (r < 0)
        return r;
    return run.reader.at == run.reader.end ? 0 : ERR_AVRO;
}
