/* Reading older, newer and hostile writers. avro-c writes what other writers would have written. */
#include "schemas/avro_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/schemas/failing_alloc.h"
#include "tests/unit/schemas/record_random.h"
#include "tests/unit/schemas/schema_table.h"

#define RANDOM_ROUNDS 200
#define ENCODED_SIZE_MAX ((size_t)1 << 16)
#define ALLOCATIONS_MAX 64

/* -- a small reader of our own, with what no schema of ours has: doubles, and an enum without
 * default */

enum colour { COLOUR_RED, COLOUR_GREEN };
struct sample {
    double weight;
    double height;
    double length;
    enum colour colour;
    bool has_note;
    struct str note;
    int64_t *numbers;
    size_t numbers_count;
};

static const char *const colours[] = {"red", "green"};
static const struct avro_type type_colour = {.kind = AVRO_KIND_ENUM,
    .name = "Colour",
    .size = sizeof(enum colour),
    .symbols = colours,
    .symbols_count = 2,
    .symbol_default = -1};
static const struct avro_type type_numbers = {
    .kind = AVRO_KIND_ARRAY, .size = sizeof(int64_t), .items = &avro_type_long};
static const struct avro_field sample_fields[] = {
    {.name = "weight", .type = &avro_type_double, .offset = offsetof(struct sample, weight)},
    {.name = "height", .type = &avro_type_double, .offset = offsetof(struct sample, height)},
    {.name = "length", .type = &avro_type_double, .offset = offsetof(struct sample, length)},
    {.name = "colour", .type = &type_colour, .offset = offsetof(struct sample, colour)},
    {.name = "note",
        .type = &avro_type_string,
        .offset = offsetof(struct sample, note),
        .nullable = true,
        .has_offset = offsetof(struct sample, has_note),
        .max = 10,
        .has_default = true},
    {.name = "numbers",
        .type = &type_numbers,
        .offset = offsetof(struct sample, numbers),
        .count_offset = offsetof(struct sample, numbers_count),
        .max = 5,
        .has_default = true},
};

static void sample_init(void *out)
{
    *(struct sample *)out = (struct sample){0};
}

static int sample_decode(void *out, struct str bytes, struct arena *arena)
{
    (void)out;
    (void)bytes;
    (void)arena;
    return ERR_INTERNAL; /* no writer below is plain */
}

static const struct avro_type type_sample = {.kind = AVRO_KIND_RECORD,
    .name = "Sample",
    .size = sizeof(struct sample),
    .fields = sample_fields,
    .fields_count = sizeof(sample_fields) / sizeof(sample_fields[0]),
    .init = sample_init,
    .decode = sample_decode};

#define SAMPLE(fields) "{\"type\":\"record\",\"name\":\"other.Sample\",\"fields\":[" fields "]}"
#define COLOURS(symbols) "{\"type\":\"enum\",\"name\":\"Colour\",\"symbols\":[" symbols "]}"
#define SAMPLE_FIRST                                                                               \
    "{\"name\":\"weight\",\"type\":\"int\"},{\"name\":\"height\",\"type\":\"float\"},"             \
    "{\"name\":\"length\",\"type\":\"long\"}"
#define SAMPLE_OLD                                                                                 \
    SAMPLE(SAMPLE_FIRST ",{\"name\":\"colour\",\"type\":" COLOURS("\"blue\",\"green\",\"red\"") "}")

static struct avro_plan *plan_of(const char *text, const struct avro_type *type)
{
    struct avro_plan *plan = NULL;
    char why[WRITER_WHY_SIZE];
    int r = avro_plan_new(&plan, str_of(text), type, why);
    if (r < 0)
        print_message("%s\n", why);
    assert_int_equal(r, 0);
    return plan;
}

static int decode_once(const char *text, const struct avro_type *type, struct str bytes, void *out,
    struct arena *arena)
{
    CLEANUP(avro_plan_free) struct avro_plan *plan = plan_of(text, type);
    return avro_plan_decode(plan, out, bytes, arena);
}

static void test_plan_numbers_promoted(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct sample sample;
    /* weight -2 (int), height 1.5 (float), length 3 (long), colour red (the writer's third) */
    struct str bytes = STR("\x03\x00\x00\xc0\x3f\x06\x04");
    assert_int_equal(decode_once(SAMPLE_OLD, &type_sample, bytes, &sample, &arena), 0);
    assert_true(sample.weight == -2.0 && sample.height == 1.5 && sample.length == 3.0);
    assert_int_equal(sample.colour, COLOUR_RED);
    assert_false(sample.has_note);
    assert_int_equal(sample.numbers_count, 0);
    arena_free(&arena);
}

static void test_plan_unknown_symbol_without_default_violates(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct sample sample;
    struct str bytes = STR("\x03\x00\x00\xc0\x3f\x06\x00"); /* blue */
    assert_int_equal(
        decode_once(SAMPLE_OLD, &type_sample, bytes, &sample, &arena), ERR_SCHEMA_VIOLATION);
    bytes = STR("\x03\x00\x00\xc0\x3f\x06\x06"); /* the fourth of three */
    assert_int_equal(decode_once(SAMPLE_OLD, &type_sample, bytes, &sample, &arena), ERR_AVRO);
    arena_free(&arena);
}

#define SAMPLE_WITH(more)                                                                          \
    SAMPLE(SAMPLE_FIRST ",{\"name\":\"colour\",\"type\":" COLOURS("\"green\"") "}," more)

static void test_plan_union_branches_resolved(void **state)
{
    (void)state;
    const char *text =
        SAMPLE_WITH("{\"name\":\"note\",\"type\":[\"long\",\"bytes\",\"null\",\"string\"]}");
    struct arena arena = {0};
    struct sample sample;
#define HEAD "\x02\x00\x00\x00\x00\x02\x00"
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD "\x06\x04hi"), &sample, &arena), 0);
    assert_true(sample.has_note && str_equal(sample.note, STR("hi")));
    assert_int_equal(sample.colour, COLOUR_GREEN);
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD "\x02\x04yo"), &sample, &arena), 0);
    assert_true(sample.has_note && str_equal(sample.note, STR("yo")));
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD "\x04"), &sample, &arena), 0);
    assert_false(sample.has_note);
    /* A long is no text; branch 4 does not exist; 11 bytes are over the reader's maximum of 10. */
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD "\x00\x02"), &sample, &arena),
        ERR_SCHEMA_VIOLATION);
    assert_int_equal(
        decode_once(text, &type_sample, STR(HEAD "\x08\x02"), &sample, &arena), ERR_AVRO);
    assert_int_equal(
        decode_once(text, &type_sample, STR(HEAD "\x06\x16hello world"), &sample, &arena),
        ERR_TOO_LARGE);
    /* A writer that always has one. */
    text = SAMPLE_WITH("{\"name\":\"note\",\"type\":\"string\"}");
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD "\x04hi"), &sample, &arena), 0);
    assert_true(sample.has_note && str_equal(sample.note, STR("hi")));
    text = SAMPLE_WITH("{\"name\":\"note\",\"type\":\"null\"}");
    assert_int_equal(decode_once(text, &type_sample, STR(HEAD), &sample, &arena), 0);
    assert_false(sample.has_note);
    arena_free(&arena);
}

static void test_plan_array_items_promoted_and_bounded(void **state)
{
    (void)state;
    const char *text =
        SAMPLE_WITH("{\"name\":\"numbers\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}");
    struct arena arena = {0};
    struct sample sample;
    struct str bytes = STR(HEAD "\x04\x02\x04\x01\x02\x06\x00");
    assert_int_equal(decode_once(text, &type_sample, bytes, &sample, &arena), 0);
    assert_int_equal(sample.numbers_count, 4 - 1);
    assert_int_equal(sample.numbers[0], 1);
    assert_int_equal(sample.numbers[2], 3);
    bytes = STR(HEAD "\x0c\x02\x02\x02\x02\x02\x02\x00");
    assert_int_equal(decode_once(text, &type_sample, bytes, &sample, &arena), ERR_TOO_MANY);
    arena_free(&arena);
}

/* Fields that only the writer has, of every kind. */
#define GONE(name, type) "{\"name\":\"" name "\",\"type\":" type "},"
static const char writer_of_everything[] = SAMPLE(
    GONE("a", "\"null\"") GONE("b", "\"boolean\"") GONE("c", "\"bytes\"") GONE("d", "\"double\"")
        GONE("e", "{\"type\":\"fixed\",\"name\":\"x.Four\",\"size\":4}") GONE("f", "\"x.Four\"")
            GONE("g", "{\"type\":\"map\",\"values\":[\"null\",\"float\"]}")
                GONE("h", "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"In\","
                          "\"fields\":[{\"name\":\"i\",\"type\":\"int\"}]}}")
                    GONE("k", "{\"type\":\"enum\",\"name\":\"K\",\"symbols\":[\"p\",\"q\"]}")
                        GONE("l", "\"other.In\"") SAMPLE_FIRST
    ",{\"name\":\"colour\",\"type\":" COLOURS("\"green\"") "}");

static void test_plan_removed_fields_of_every_kind_skipped(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct sample sample;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str gone = STR("\x01"                        /* b */
                          "\x04xy"                      /* c */
                          "\0\0\0\0\0\0\xf0\x3f"        /* d */
                          "EEEE"                        /* e */
                          "FFFF"                        /* f */
                          "\x02\x02k\x00\x01\x14\x04kk" /* g: a block of 1; one of 10 bytes */
                          "\x02\0\0\0\0\x00"
                          "\x04\x0e\x10\x00" /* h: 7, 8 */
                          "\x02"             /* k */
                          "\x12");           /* l */
    int r = buf_append_str(&bytes, gone);
    if (r == 0)
        r = buf_append_str(&bytes, STR(HEAD));
    assert_int_equal(r, 0);
    assert_int_equal(
        decode_once(writer_of_everything, &type_sample, buf_str(&bytes), &sample, &arena), 0);
    assert_true(sample.weight == 1.0 && sample.length == 1.0);
    assert_int_equal(sample.colour, COLOUR_GREEN);
    for (size_t size = 0; size < bytes.size; size++) {
        char *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, bytes.data, size);
        assert_int_equal(
            decode_once(writer_of_everything, &type_sample, str_make(copy, size), &sample, &arena),
            ERR_AVRO);
        free(copy);
    }
    arena_free(&arena);
}

/* -- our own schemas ------------------------------------------------------------------------------
 */

/* The text with `old` (which must be there) replaced by `new`, once. Free with free(). */
static char *text_with(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    assert_non_null(at);
    size_t size = strlen(text) + strlen(new) + 1;
    char *out = malloc(size);
    assert_non_null(out);
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return out;
}

static void test_plan_of_own_schemas_is_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMA_ROWS; i++) {
        struct avro_plan *plan = plan_of(schema_rows[i].text, schema_rows[i].type);
        assert_true(avro_plan_is_plain(plan));
        avro_plan_free(&plan);
        assert_null(plan);
    }
}

/* With one field more in front no plan is plain, so every step runs on random records. */
static void test_plan_random_records_equal_plain_decode(void **state)
{
    (void)state;
    struct random random = random_seeded();
    struct arena arena = {0};
    for (size_t i = 0; i < SCHEMA_ROWS; i++) {
        const struct avro_type *type = schema_rows[i].type;
        char *text = text_with(schema_rows[i].text, "\"fields\":[",
            "\"fields\":[{\"name\":\"new\",\"type\":[\"null\",\"int\"]},");
        struct avro_plan *plan = plan_of(text, type);
        assert_false(avro_plan_is_plain(plan));
        for (int round = 0; round < RANDOM_ROUNDS; round++) {
            CLEANUP(buf_free) struct buf bytes = {0};
            arena_reset(&arena);
            void *record = arena_alloc(&arena, type->size);
            void *back = arena_alloc(&arena, type->size);
            assert_true(record && back);
            record_random(type, record, &random, &arena);
            int r = buf_append(&bytes, "\x02\x08", 2);
            if (r == 0)
                r = type->encode(record, &bytes);
            assert_int_equal(r, 0);
            assert_int_equal(avro_plan_decode(plan, back, buf_str(&bytes), &arena), 0);
            assert_true(record_equal(type, record, back));
        }
        avro_plan_free(&plan);
        free(text);
    }
    arena_free(&arena);
}

/* A touchpoint written before `client` was added, within a Stitched: read, and encoded anew. */
static void test_plan_encoded_part_of_older_writer_rewritten(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event, back;
    CLEANUP(buf_free) struct buf inner = {0};
    CLEANUP(buf_free) struct buf outer = {0};
    touchpoint_init(&event);
    event.event_id = STR("e1");
    event.type = STR("page_viewed");
    event.has_device = true;
    event.device.kind = DEVICE_KIND_TABLET;
    assert_int_equal(touchpoint_encode(&event, &inner), 0);
    struct stitched row;
    stitched_init(&row);
    row.placement = 77;
    row.event = str_make(inner.data, inner.size - 1); /* an absent client is its last byte */
    assert_int_equal(stitched_encode(&row, &outer), 0);

    char *text = text_with(stitched_schema, "{\"name\":\"client\",", "{\"name\":\"zz\",");
    char *cut = strstr(text, ",{\"name\":\"zz\"");
    assert_non_null(cut);
    const char *end = strstr(cut, "\"default\":null}]}");
    assert_non_null(end);
    end += strlen("\"default\":null}");
    memmove(cut, end, strlen(end) + 1);
    struct stitched got;
    assert_int_equal(decode_once(text, &avro_type_stitched, buf_str(&outer), &got, &arena), 0);
    assert_int_equal(got.placement, 77);
    assert_int_equal(touchpoint_decode(&back, got.event, &arena), 0);
    assert_true(record_equal(&avro_type_touchpoint, &event, &back));
    assert_true(str_equal(got.event, buf_str(&inner)));
    free(text);
    arena_free(&arena);
}

/* A newer writer has a symbol that we do not know: our default. */
static void test_plan_unknown_symbol_gets_default(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event, back;
    touchpoint_init(&event);
    event.protocol = PROTOCOL_GA4;
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    char *text =
        text_with(touchpoint_schema, "\"snowplow\",\"ga4\"", "\"snowplow\",\"carrier_pigeon\"");
    assert_int_equal(decode_once(text, &avro_type_touchpoint, buf_str(&bytes), &back, &arena), 0);
    assert_int_equal(back.protocol, PROTOCOL_UNKNOWN);
    free(text);
    arena_free(&arena);
}

/* -- refusals -------------------------------------------------------------------------------------
 */

static void assert_refused(const char *text, int error, const char *reason)
{
    struct avro_plan *plan = NULL;
    char why[WRITER_WHY_SIZE] = "?";
    int r = avro_plan_new(&plan, str_of(text), &type_sample, why);
    if (r != error || !strstr(why, reason))
        print_message("%.100s\n%d %s\n", text, r, why);
    assert_int_equal(r, error);
    assert_non_null(strstr(why, reason));
    assert_null(plan);
}

static void test_plan_new_incompatible_violates_with_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"\"string\"", "not a record, but wanted: Sample"},
        {"{\"type\":\"record\",\"name\":\"X\",\"fields\":[]}", "another name: X"},
        {SAMPLE(SAMPLE_FIRST), "lacks a field without default: colour"},
        {SAMPLE(SAMPLE_FIRST ",{\"name\":\"colour\",\"type\":\"int\"}"),
            "do not fit in field: colour"},
        {SAMPLE(SAMPLE_FIRST ",{\"name\":\"colour\",\"type\":{\"type\":\"enum\",\"name\":\"Tint\","
                             "\"symbols\":[\"red\"]}}"),
            "another name: other.Tint"},
        {SAMPLE_WITH("{\"name\":\"note\",\"type\":\"int\"}"), "do not fit in field: note"},
        {SAMPLE_WITH("{\"name\":\"numbers\",\"type\":{\"type\":\"array\",\"items\":\"double\"}}"),
            "do not fit in field: numbers"},
        {SAMPLE_WITH("{\"name\":\"weight\",\"type\":\"int\"}"), "field twice: weight"},
        {SAMPLE("{\"name\":\"weight\",\"type\":\"boolean\"},{\"name\":\"height\",\"type\":\"int\"},"
                "{\"name\":\"length\",\"type\":\"int\"},{\"name\":\"colour\",\"type\":" COLOURS(
                    "\"red\"") "}"),
            "do not fit in field: weight"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i].text, ERR_SCHEMA_VIOLATION, rows[i].reason);
}

static void test_plan_new_not_a_schema_violates_with_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"17", "type is missing"},
        {"{}", "type is missing"},
        {"[]", "empty union"},
        {"[[\"null\"]]", "union within a union"},
        {"\"Nowhere\"", "unknown type: Nowhere"},
        {"{\"type\":\"record\",\"name\":\"A\"}", "without fields: A"},
        {"{\"type\":\"record\",\"fields\":[]}", "without a name"},
        {"{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\"}]}",
            "without name or type"},
        {"{\"type\":\"enum\",\"name\":\"E\"}", "without symbols: E"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[1]}", "no text"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "missing or too large: F"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":99999999999}", "missing or too large: F"},
        {"{\"type\":\"array\"}", "without a type of its items"},
        {"{\"type\":\"array\",\"items\":\"null\"}", "take no bytes"},
        {"{\"type\":\"record\",\"name\":\"n.A\",\"fields\":[{\"name\":\"x\",\"type\":[\"null\","
         "\"A\"]}]}",
            "recursive type: n.A"},
        {"[{\"type\":\"fixed\",\"name\":\"F\",\"size\":1},{\"type\":\"fixed\",\"name\":\"F\","
         "\"size\":2}]",
            "defined twice: F"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i].text, ERR_SCHEMA_VIOLATION, rows[i].reason);
    assert_refused("{\"type\":", ERR_JSON, "");
    assert_refused("", ERR_EMPTY, "");
}

/* Each type has two fields of the one before: the work would double with every line. */
static void test_plan_new_doubling_schema_refused(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_appendf(&text, "[{\"type\":\"fixed\",\"name\":\"T0\",\"size\":0}");
    for (int i = 1; i < 30 && r == 0; i++)
        r = buf_appendf(&text,
            ",{\"type\":\"record\",\"name\":\"T%d\",\"fields\":[{\"name\":\"a\",\"type\":\"T%d\"},"
            "{\"name\":\"b\",\"type\":\"T%d\"}]}",
            i, i - 1, i - 1);
    if (r == 0)
        r = buf_append(&text, "]", 2);
    assert_int_equal(r, 0);
    assert_refused(text.data, ERR_SCHEMA_VIOLATION, "too many types");
}

/* A chain of types, each within the next: deeper than JSON could nest them. */
static void test_plan_new_deep_schema_refused(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_appendf(&text, "[\"null\"");
    for (int i = 0; i < 2 * WRITER_SCHEMA_DEPTH_MAX && r == 0; i++)
        r = i ? buf_appendf(&text,
                    ",{\"type\":\"record\",\"name\":\"T%d\",\"fields\":[{\"name\":\"a\",\"type\":"
                    "\"T%d\"}]}",
                    i, i - 1)
              : buf_appendf(&text, ",{\"type\":\"fixed\",\"name\":\"T0\",\"size\":1}");
    if (r == 0)
        r = buf_append(&text, "]", 2);
    assert_int_equal(r, 0);
    assert_refused(text.data, ERR_SCHEMA_VIOLATION, "too deep");
}

static void test_plan_new_huge_text_refused(void **state)
{
    (void)state;
    char *text = malloc(WRITER_SCHEMA_SIZE_MAX + 2);
    assert_non_null(text);
    memset(text, ' ', WRITER_SCHEMA_SIZE_MAX + 1);
    text[WRITER_SCHEMA_SIZE_MAX + 1] = 0;
    assert_refused(text, ERR_TOO_LARGE, "");
    free(text);
}

static void test_plan_every_allocation_failing_gives_no_memory(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        struct avro_plan *plan = NULL;
        struct arena arena = {0};
        struct sample sample;
        failing_alloc_at(nth);
        int r = avro_plan_new(&plan, STR(SAMPLE_OLD), &type_sample, NULL);
        if (r == 0)
            r = avro_plan_decode(plan, &sample, STR("\x03\x00\x00\xc0\x3f\x06\x04"), &arena);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        avro_plan_free(&plan);
        arena_free(&arena);
        failures += happened;
        if (!happened)
            break;
    }
    assert_true(failures >= 2 && failures < ALLOCATIONS_MAX - 1);
}

static void test_writer_same_is_equality_of_canonical_forms(void **state)
{
#define RECORD(fields)                                                                             \
    "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[" fields "]}"
    static const char first[] = RECORD("{\"name\":\"a\",\"type\":[\"null\",\"int\"]},"
                                       "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\","
                                       "\"symbols\":[\"x\",\"y\"]}}");
    static const struct {
        const char *text;
        bool same;
    } cases[] = {
        {first, true},
        {"{\"doc\":\"d\",\"name\":\"n.R\",\"type\":\"record\",\"fields\":[{\"name\":\"a\","
         "\"default\":"
         "null,\"type\":[\"null\",{\"type\":\"int\",\"logicalType\":\"date\"}]},{\"name\":\"e\","
         "\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"x\",\"y\"],\"default\":\"x\"}}]"
         "}",
            true},
        {RECORD("{\"name\":\"a\",\"type\":[\"int\",\"null\"]},{\"name\":\"e\",\"type\":{\"type\":"
                "\"enum\",\"name\":\"E\",\"symbols\":[\"x\",\"y\"]}}"),
            false},
        {RECORD("{\"name\":\"a\",\"type\":[\"null\",\"int\"]},{\"name\":\"e\",\"type\":{\"type\":"
                "\"enum\",\"name\":\"E\",\"symbols\":[\"y\",\"x\"]}}"),
            false},
        {RECORD("{\"name\":\"b\",\"type\":[\"null\",\"int\"]},{\"name\":\"e\",\"type\":{\"type\":"
                "\"enum\",\"name\":\"E\",\"symbols\":[\"x\",\"y\"]}}"),
            false},
        {RECORD("{\"name\":\"a\",\"type\":[\"null\",\"int\"]}"), false},
        {"{\"type\":\"fixed\",\"name\":\"n.R\",\"size\":2}", false},
    };
#undef RECORD
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(arena_free) struct arena arena = {0};
        struct writer_node *a, *b;
        assert_int_equal(writer_schema_parse(str_of(first), &arena, &a, NULL), 0);
        assert_int_equal(writer_schema_parse(str_of(cases[i].text), &arena, &b, NULL), 0);
        if (writer_same(a, b) != cases[i].same || writer_same(b, a) != cases[i].same)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_numbers_promoted),
        cmocka_unit_test(test_plan_unknown_symbol_without_default_violates),
        cmocka_unit_test(test_plan_union_branches_resolved),
        cmocka_unit_test(test_plan_array_items_promoted_and_bounded),
        cmocka_unit_test(test_plan_removed_fields_of_every_kind_skipped),
        cmocka_unit_test(test_plan_of_own_schemas_is_plain),
        cmocka_unit_test(test_plan_random_records_equal_plain_decode),
        cmocka_unit_test(test_plan_encoded_part_of_older_writer_rewritten),
        cmocka_unit_test(test_plan_unknown_symbol_gets_default),
        cmocka_unit_test(test_plan_new_incompatible_violates_with_reason),
        cmocka_unit_test(test_plan_new_not_a_schema_violates_with_reason),
        cmocka_unit_test(test_plan_new_doubling_schema_refused),
        cmocka_unit_test(test_plan_new_deep_schema_refused),
        cmocka_unit_test(test_plan_new_huge_text_refused),
        cmocka_unit_test(test_plan_every_allocation_failing_gives_no_memory),
        cmocka_unit_test(test_writer_same_is_equality_of_canonical_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
