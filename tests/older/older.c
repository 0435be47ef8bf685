/* Field by field, by name, from one generic value to another. */
#include "tests/older/older.h"

#include <avro.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define IDS_MAX 256

struct version {
    avro_schema_t schema;
    avro_value_iface_t *class;
};

static void must(int code, const char *what)
{
    if (code == 0)
        return;
    (void)fprintf(stderr, "older: %s: %s\n", what, avro_strerror());
    abort();
}

static struct version *version_of(const struct schema_entry *entry)
{
    static struct version versions[IDS_MAX];
    check(entry->id < IDS_MAX);
    struct version *version = &versions[entry->id];
    if (version->class)
        return version;
    must(
        avro_schema_from_json_length(entry->text, strlen(entry->text), &version->schema), "schema");
    version->class = avro_generic_class_from_schema(version->schema);
    must(version->class ? 0 : 1, "class");
    return version;
}

static void copy(avro_value_t *to, avro_value_t *from);

static void copy_record(avro_value_t *to, avro_value_t *from)
{
    size_t count = 0;
    must(avro_value_get_size(to, &count), "size");
    for (size_t i = 0; i < count; i++) {
        avro_value_t into, source, branch;
        const char *name;
        must(avro_value_get_by_index(to, i, &into, &name), "field");
        if (avro_value_get_by_name(from, name, &source, NULL) == 0) {
            copy(&into, &source);
            continue;
        }
        must(avro_value_set_branch(&into, 1, &branch), "branch");
        must(avro_value_set_string(&branch, "of no use any more"), "seat");
    }
}

static void copy_array(avro_value_t *to, avro_value_t *from)
{
    size_t count = 0;
    must(avro_value_get_size(from, &count), "size");
    for (size_t i = 0; i < count; i++) {
        avro_value_t into, source;
        must(avro_value_get_by_index(from, i, &source, NULL), "item");
        must(avro_value_append(to, &into, NULL), "append");
        copy(&into, &source);
    }
}

static void copy_union(avro_value_t *to, avro_value_t *from)
{
    int branch;
    avro_value_t into, source;
    must(avro_value_get_discriminant(from, &branch), "discriminant");
    must(avro_value_get_current_branch(from, &source), "branch");
    must(avro_value_set_branch(to, branch, &into), "branch");
    copy(&into, &source);
}

static void copy_enum(avro_value_t *to, avro_value_t *from)
{
    int symbol = 0;
    must(avro_value_get_enum(from, &symbol), "enum");
    const char *name = avro_schema_enum_get(avro_value_get_schema(from), symbol);
    must(avro_value_set_enum(to, avro_schema_enum_get_by_name(avro_value_get_schema(to), name)),
        "symbol");
}

static void copy_bytes(avro_value_t *to, avro_value_t *from)
{
    const void *data;
    const char *text;
    size_t size;
    switch (avro_value_get_type(from)) {
    case AVRO_STRING: /* its size counts the NUL */
        must(avro_value_get_string(from, &text, &size), "string");
        must(avro_value_set_string_len(to, text, size), "string");
        break;
    case AVRO_BYTES:
        must(avro_value_get_bytes(from, &data, &size), "bytes");
        must(avro_value_set_bytes(to, (void *)(uintptr_t)data, size), "bytes");
        break;
    default:
        must(avro_value_get_fixed(from, &data, &size), "fixed");
        must(avro_value_set_fixed(to, (void *)(uintptr_t)data, size), "fixed");
    }
}

static void copy_number(avro_value_t *to, avro_value_t *from)
{
    int64_t integer = 0;
    int32_t narrow = 0;
    int flag;
    double number;
    switch (avro_value_get_type(from)) {
    case AVRO_BOOLEAN:
        must(avro_value_get_boolean(from, &flag), "boolean");
        must(avro_value_set_boolean(to, flag), "boolean");
        return;
    case AVRO_DOUBLE:
        must(avro_value_get_double(from, &number), "double");
        must(avro_value_set_double(to, number), "double");
        return;
    case AVRO_INT32:
        must(avro_value_get_int(from, &narrow), "int");
        integer = narrow;
        break;
    default:
        must(avro_value_get_long(from, &integer), "long");
    }
    if (avro_value_get_type(to) == AVRO_INT32)
        must(avro_value_set_int(to, (int32_t)integer), "int");
    else
        must(avro_value_set_long(to, integer), "long");
}

static void copy(avro_value_t *to, avro_value_t *from)
{
    switch (avro_value_get_type(from)) {
    case AVRO_RECORD:
        copy_record(to, from);
        return;
    case AVRO_ARRAY:
        copy_array(to, from);
        return;
    case AVRO_UNION:
        copy_union(to, from);
        return;
    case AVRO_ENUM:
        copy_enum(to, from);
        return;
    case AVRO_NULL:
        must(avro_value_set_null(to), "null");
        return;
    case AVRO_STRING:
    case AVRO_BYTES:
    case AVRO_FIXED:
        copy_bytes(to, from);
        return;
    default:
        copy_number(to, from);
    }
}

const struct schema_entry *older_version(uint32_t id)
{
    return schema_set_find(id + OLDER_ID);
}

void older_avro(uint32_t id, struct str avro, struct buf *out)
{
    const struct schema_entry *present = schema_set_find(id), *older = older_version(id);
    check(present && older);
    avro_value_t from, to;
    size_t size;
    must(avro_generic_value_new(version_of(present)->class, &from), "value");
    must(avro_generic_value_new(version_of(older)->class, &to), "value");
    avro_reader_t reader = avro_reader_memory(avro.data, (int64_t)avro.size);
    must(avro_value_read(reader, &from), present->name);
    copy(&to, &from);
    must(avro_value_sizeof(&from, &size), "size");
    must(size == avro.size ? 0 : 1, "bytes left over");
    must(avro_value_sizeof(&to, &size), "size");
    check(buf_reserve(out, size) == 0);
    avro_writer_t writer = avro_writer_memory(out->data + out->size, (int64_t)size);
    must(avro_value_write(writer, &to), older->name);
    out->size += size;
    avro_writer_free(writer);
    avro_reader_free(reader);
    avro_value_decref(&from);
    avro_value_decref(&to);
}

void older_text(struct buf *out)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    for (size_t i = 0; i < count; i++)
        if (!entries[i].type)
            check(buf_appendf(out, "%" PRIu32 " %s %016" PRIx64 "\n", entries[i].id,
                      entries[i].name, entries[i].fingerprint) == 0);
}
