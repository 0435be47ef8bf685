/* The functions of a value call themselves through records and arrays: as deep as the schema nests.
 */
#include "tests/unit/schemas/record_random.h"

#include <stdio.h>
#include <stdlib.h>

#define SEED_DEFAULT 20261120
#define TEXT_SIZE_SHORT 48
#define TEXT_SIZE_LONG 400 /* its length takes two bytes */
#define ITEMS_FEW 4
#define ITEMS_MANY 80

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

size_t random_below(struct random *random, size_t count)
{
    return (size_t)(random_next(random) % count);
}

struct random random_seeded(void)
{
    const char *text = getenv("TABIJI_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : SEED_DEFAULT;
    (void)fprintf(stderr, "TABIJI_SEED=%llu\n", (unsigned long long)seed);
    return (struct random){seed};
}

/* All widths are equally likely, so that every length of a varint occurs. */
static int64_t random_integer(struct random *random, unsigned bits)
{
    uint64_t value = random_next(random) >> (64 - bits + random_below(random, bits));
    return random_below(random, 2) ? (int64_t)~value : (int64_t)value;
}

static struct str random_text(struct random *random, struct arena *arena)
{
    size_t size = random_below(random, random_below(random, 16) ? TEXT_SIZE_SHORT : TEXT_SIZE_LONG);
    char *data = arena_alloc(arena, size);
    check(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)random_next(random);
    return str_make(data, size);
}

static void random_value(
    const struct avro_type *type, void *out, struct random *random, struct arena *arena)
{
    struct str *text = out;
    switch (type->kind) {
    case AVRO_KIND_BOOLEAN:
        *(bool *)out = random_below(random, 2);
        break;
    case AVRO_KIND_INT:
        *(int32_t *)out = (int32_t)random_integer(random, 31);
        break;
    case AVRO_KIND_LONG:
        *(int64_t *)out = random_integer(random, 63);
        break;
    case AVRO_KIND_DOUBLE:
        *(double *)out = (double)random_integer(random, 63) / 1024;
        break;
    case AVRO_KIND_STRING:
    case AVRO_KIND_BYTES:
        *text = random_text(random, arena);
        break;
    case AVRO_KIND_FIXED:
        for (size_t i = 0; i < type->size; i++)
            ((uint8_t *)out)[i] = (uint8_t)random_next(random);
        break;
    case AVRO_KIND_ENUM:
        *(unsigned *)out = (unsigned)random_below(random, type->symbols_count);
        break;
    default:
        check(type->kind == AVRO_KIND_RECORD);
        record_random(type, out, random, arena);
    }
}

static struct str random_encoded(
    const struct avro_type *type, struct random *random, struct arena *arena)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    void *record = arena_alloc(arena, type->size);
    check(record);
    record_random(type, record, random, arena);
    int r = type->encode(record, &bytes);
    if (r == 0)
        r = arena_dup(arena, buf_str(&bytes), &out);
    check(r == 0);
    return out;
}

static void random_array(
    const struct avro_field *field, void *record, struct random *random, struct arena *arena)
{
    const struct avro_type *type = field->type;
    size_t count = random_below(random, random_below(random, 16) ? ITEMS_FEW : ITEMS_MANY);
    count = count < field->max ? count : field->max;
    char *items = count ? arena_alloc(arena, count * type->size) : NULL;
    for (size_t i = 0; i < count; i++)
        random_value(type->items, items + i * type->size, random, arena);
    memcpy((char *)record + field->offset, &items, sizeof(items));
    memcpy((char *)record + field->count_offset, &count, sizeof(count));
}

void record_random(
    const struct avro_type *type, void *out, struct random *random, struct arena *arena)
{
    type->init(out);
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct avro_field *field = &type->fields[i];
        char *value = (char *)out + field->offset;
        if (field->nullable) {
            bool has = random_below(random, 2);
            *((bool *)out + field->has_offset) = has;
            if (!has)
                continue;
        }
        if (field->raw)
            *(struct str *)value = random_encoded(field->type, random, arena);
        else if (field->type->kind == AVRO_KIND_ARRAY)
            random_array(field, out, random, arena);
        else
            random_value(field->type, value, random, arena);
        bool text = field->type->kind == AVRO_KIND_STRING || field->type->kind == AVRO_KIND_BYTES;
        if (text && ((struct str *)value)->size > field->max)
            ((struct str *)value)->size = field->max;
    }
}

static bool value_equal(const struct avro_type *type, const void *a, const void *b)
{
    if (type->kind == AVRO_KIND_STRING || type->kind == AVRO_KIND_BYTES)
        return str_equal(*(const struct str *)a, *(const struct str *)b);
    if (type->kind == AVRO_KIND_RECORD)
        return record_equal(type, a, b);
    return memcmp(a, b, type->size) == 0;
}

static bool array_equal(const struct avro_field *field, const char *a, const char *b)
{
    size_t count_a, count_b;
    const char *items_a, *items_b;
    memcpy(&count_a, a + field->count_offset, sizeof(count_a));
    memcpy(&count_b, b + field->count_offset, sizeof(count_b));
    memcpy(&items_a, a + field->offset, sizeof(items_a));
    memcpy(&items_b, b + field->offset, sizeof(items_b));
    if (count_a != count_b)
        return false;
    for (size_t i = 0; i < count_a; i++) {
        size_t at = i * field->type->size;
        if (!value_equal(field->type->items, items_a + at, items_b + at))
            return false;
    }
    return true;
}

bool record_equal(const struct avro_type *type, const void *a, const void *b)
{
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct avro_field *field = &type->fields[i];
        const char *at_a = (const char *)a + field->offset, *at_b = (const char *)b + field->offset;
        if (field->nullable) {
            bool has = *((const bool *)a + field->has_offset);
            if (has != *((const bool *)b + field->has_offset))
                return false;
            if (!has)
                continue;
        }
        bool equal;
        if (field->raw)
            equal = str_equal(*(const struct str *)at_a, *(const struct str *)at_b);
        else if (field->type->kind == AVRO_KIND_ARRAY)
            equal = array_equal(field, a, b);
        else
            equal = value_equal(field->type, at_a, at_b);
        if (!equal)
            return false;
    }
    return true;
}

/* avro-c counts the NUL into a string's size. */
static int text_to_avro(struct str text, avro_value_t *out)
{
    char *copy = malloc(text.size + 1);
    check(copy);
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    int r = avro_value_set_string_len(out, copy, text.size + 1);
    free(copy);
    return r;
}

static int value_to_avro(const struct avro_type *type, const void *value, avro_value_t *out)
{
    static char nothing[1];
    const struct str *text = value;
    switch (type->kind) {
    case AVRO_KIND_BOOLEAN:
        return avro_value_set_boolean(out, *(const bool *)value);
    case AVRO_KIND_INT:
        return avro_value_set_int(out, *(const int32_t *)value);
    case AVRO_KIND_LONG:
        return avro_value_set_long(out, *(const int64_t *)value);
    case AVRO_KIND_DOUBLE:
        return avro_value_set_double(out, *(const double *)value);
    case AVRO_KIND_STRING:
        return text_to_avro(*text, out);
    case AVRO_KIND_BYTES:
        return avro_value_set_bytes(out, text->size ? (void *)text->data : nothing, text->size);
    case AVRO_KIND_FIXED:
        return avro_value_set_fixed(out, (void *)value, type->size);
    case AVRO_KIND_ENUM:
        return avro_value_set_enum(out, *(const int *)value);
    default:
        check(type->kind == AVRO_KIND_RECORD);
        return record_to_avro(type, value, out);
    }
}

static int array_to_avro(const struct avro_field *field, const char *record, avro_value_t *out)
{
    size_t count;
    const char *items;
    memcpy(&count, record + field->count_offset, sizeof(count));
    memcpy(&items, record + field->offset, sizeof(items));
    for (size_t i = 0; i < count; i++) {
        avro_value_t item;
        int r = avro_value_append(out, &item, NULL);
        if (r == 0)
            r = value_to_avro(field->type->items, items + i * field->type->size, &item);
        if (r)
            return r;
    }
    return 0;
}

static int encoded_to_avro(struct str bytes, avro_value_t *out)
{
    avro_reader_t reader = avro_reader_memory(bytes.data, (int64_t)bytes.size);
    int r = avro_value_read(reader, out);
    avro_reader_free(reader);
    return r;
}

int record_to_avro(const struct avro_type *type, const void *record, avro_value_t *out)
{
    int r = avro_value_reset(out);
    for (size_t i = 0; i < type->fields_count && r == 0; i++) {
        const struct avro_field *field = &type->fields[i];
        const char *value = (const char *)record + field->offset;
        avro_value_t target, branch = {0};
        r = avro_value_get_by_name(out, field->name, &target, NULL);
        if (r == 0 && field->nullable) {
            bool has = *((const bool *)record + field->has_offset);
            r = avro_value_set_branch(&target, has, &branch);
            target = branch;
            if (r == 0 && !has)
                r = avro_value_set_null(&target);
            if (!has)
                continue;
        }
        if (r)
            return r;
        if (field->raw)
            r = encoded_to_avro(*(const struct str *)value, &target);
        else if (field->type->kind == AVRO_KIND_ARRAY)
            r = array_to_avro(field, record, &target);
        else
            r = value_to_avro(field->type, value, &target);
    }
    return r;
}
