/* The generated codec against avro-c, against damaged bytes, and without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/schemas/failing_alloc.h"
#include "tests/unit/schemas/record_random.h"
#include "tests/unit/schemas/schema_table.h"

#define ORACLE_ROUNDS 1200 /* of every schema */
#define ORACLE_SIZE_MAX ((size_t)1 << 20)
#define DAMAGE_SIZE_MAX 900 /* every byte takes every value: keep the record small */
#define ALLOCATIONS_MAX 64
#define BYTES_MAX ((size_t)1 << 20) /* the generator's, of a text */
#define COUNT_MAX 65536             /* the generator's, of an array */

static void assert_bytes(struct str got, struct str want)
{
    assert_int_equal(got.size, want.size);
    assert_memory_equal(got.data, want.data, want.size);
}

static struct str hex_to(struct arena *arena, const char *hex)
{
    size_t size = strlen(hex) / 2;
    char *out = arena_alloc(arena, size);
    assert_non_null(out);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return str_make(out, size);
}

/* Golden bytes are written by hand from the specification: lengths are zig-zag varints (3 = 06). */
static void test_encode_person_of_golden_bytes(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct str want = hex_to(&arena, "000102030405060708090a0b0c0d0e0f" /* node */
                                     "06746167"                         /* namespace tag */
                                     "047537"                           /* value u7 */
                                     "101112131415161718191a1b1c1d1e1f" /* person */
                                     "8101"                             /* epoch -65 */
                                     "00"                               /* why */
                                     "00"                               /* no root */
                                     "00"                               /* no own */
                                     "00"                               /* no older */
                                     "00"                               /* rotated_at */
                                     "0000");                           /* not erased, nor lifted */
    struct person_of record, back;
    person_of_init(&record);
    for (uint8_t i = 0; i < 16; i++) {
        record.node[i] = i;
        record.person[i] = (uint8_t)(16 + i);
    }
    record.namespace = STR("tag");
    record.value = STR("u7");
    record.epoch = -65;
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(person_of_encode(&record, &out), 0);
    assert_bytes(buf_str(&out), want);
    assert_int_equal(person_of_decode(&back, want, &arena), 0);
    assert_true(record_equal(&avro_type_person_of, &record, &back));
    arena_free(&arena);
}

static const char touchpoint_hex[] = "abababababababababababababababab" /* event_key */
                                     "046531"                           /* event_id */
                                     "0c65632d776562"                   /* source */
                                     "02"                               /* protocol */
                                     "02"                               /* adapter_version */
                                     "1463616c6c5f656e646564"           /* type */
                                     "80bdc691dfaab006"                 /* occurred_at */
                                     "ffffffffffffffffff01"             /* received_at */
                                     "02"                               /* time_quality */
                                     "00"                               /* sequence */
                                     "04"                               /* two identifiers: */
                                     "0a70686f6e650a6b313a30308001"     /* phone, k1:00, 64 */
                                     "0863617365024301"                 /* case, C, -1; */
                                     "00"                               /* no more */
                                     "020400"                           /* consent */
                                     "00"                               /* channel */
                                     "00"                               /* no campaign */
                                     "020a67636c69640278"               /* click */
                                     "0000000000000000" /* page to evidence: absent */
                                     "00"               /* properties */
                                     "01"               /* bot */
                                     "00"               /* traceparent */
                                     "00";              /* no client */

/* Optional parts, an array, enums, longs of 8 and 10 bytes. */
static void test_encode_touchpoint_golden_bytes(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct str want = hex_to(&arena, touchpoint_hex);
    struct touchpoint event, back;
    touchpoint_init(&event);
    memset(event.event_key, 0xab, sizeof(event.event_key));
    event.event_id = STR("e1");
    event.source = STR("ec-web");
    event.protocol = PROTOCOL_NATIVE;
    event.adapter_version = 1;
    event.type = STR("call_ended");
    event.occurred_at = 1795137300123456;
    event.received_at = INT64_MIN;
    event.time_quality = TIME_QUALITY_CLIENT;
    struct identifier ids[] = {{STR("phone"), STR("k1:00"), 64}, {STR("case"), STR("C"), -1}};
    event.identifiers = ids;
    event.identifiers_count = 2;
    event.consent = (struct consent){CHOICE_GRANTED, CHOICE_DENIED, CHOICE_UNKNOWN};
    event.has_click = true;
    event.click = (struct click){STR("gclid"), STR("x")};
    event.bot = true;
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(touchpoint_encode(&event, &out), 0);
    assert_bytes(buf_str(&out), want);
    assert_int_equal(touchpoint_decode(&back, want, &arena), 0);
    assert_true(record_equal(&avro_type_touchpoint, &event, &back));
    arena_free(&arena);
}

/* One random record: ours and avro-c's bytes are the same, and each reads what the other wrote. */
static void compare_once(const struct schema_row *row, avro_value_iface_t *iface,
    struct random *random, struct arena *arena)
{
    static char theirs[ORACLE_SIZE_MAX];
    const struct avro_type *type = row->type;
    void *record = arena_alloc(arena, type->size), *back = arena_alloc(arena, type->size);
    assert_true(record && back);
    record_random(type, record, random, arena);
    CLEANUP(buf_free) struct buf ours = {0};
    CLEANUP(buf_free) struct buf again = {0};
    assert_int_equal(type->encode(record, &ours), 0);

    avro_value_t value, read;
    assert_int_equal(avro_generic_value_new(iface, &value), 0);
    assert_int_equal(avro_generic_value_new(iface, &read), 0);
    assert_int_equal(record_to_avro(type, record, &value), 0);
    avro_writer_t writer = avro_writer_memory(theirs, sizeof(theirs));
    assert_int_equal(avro_value_write(writer, &value), 0);
    struct str bytes = str_make(theirs, (size_t)avro_writer_tell(writer));
    assert_bytes(buf_str(&ours), bytes);

    avro_reader_t reader = avro_reader_memory(ours.data, (int64_t)ours.size);
    assert_int_equal(avro_value_read(reader, &read), 0);
    assert_true(avro_value_equal(&value, &read));

    assert_int_equal(type->decode(back, bytes, arena), 0);
    assert_true(record_equal(type, record, back));
    struct avro_reader at = avro_reader_of(bytes);
    assert_int_equal(type->skip_record(&at), 0);
    assert_ptr_equal(at.at, at.end);
    assert_int_equal(type->encode(back, &again), 0);
    assert_bytes(buf_str(&again), bytes);
    avro_reader_free(reader);
    avro_writer_free(writer);
    avro_value_decref(&value);
    avro_value_decref(&read);
}

static void test_codec_random_records_equal_avro_c(void **state)
{
    (void)state;
    struct random random = random_seeded();
    struct arena arena = {0};
    for (size_t i = 0; i < SCHEMA_ROWS; i++) {
        const struct schema_row *row = &schema_rows[i];
        avro_schema_t schema;
        assert_int_equal(avro_schema_from_json_length(row->text, strlen(row->text), &schema), 0);
        avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
        assert_non_null(iface);
        for (int round = 0; round < ORACLE_ROUNDS; round++) {
            arena_reset(&arena);
            compare_once(row, iface, &random, &arena);
        }
        avro_value_iface_decref(iface);
        avro_schema_decref(schema);
    }
    arena_free(&arena);
}

/* Decodes a heap copy of exactly these bytes, so that ASan sees a read beyond. skip() must judge
 * the same. What decodes must be encodable. */
static int decode_copy(const struct avro_type *type, struct str bytes, struct arena *arena)
{
    char *copy = malloc(bytes.size ? bytes.size : 1);
    void *out = arena_alloc(arena, type->size);
    assert_true(copy && out);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    struct str exact = str_make(copy, bytes.size);
    int r = type->decode(out, exact, arena);
    struct avro_reader reader = avro_reader_of(exact);
    int skipped = type->skip_record(&reader);
    if (skipped == 0 && reader.at != reader.end)
        skipped = ERR_AVRO;
    assert_int_equal(skipped, r);
    if (r == 0) {
        CLEANUP(buf_free) struct buf again = {0};
        assert_int_equal(type->encode(out, &again), 0);
    }
    free(copy);
    return r;
}

static struct str small_record(
    const struct avro_type *type, struct random *random, struct arena *arena, struct buf *out)
{
    do {
        arena_reset(arena);
        buf_clear(out);
        void *record = arena_alloc(arena, type->size);
        assert_non_null(record);
        record_random(type, record, random, arena);
        assert_int_equal(type->encode(record, out), 0);
    } while (out->size > DAMAGE_SIZE_MAX);
    return buf_str(out);
}

static void test_decode_truncated_at_every_length_fails(void **state)
{
    (void)state;
    struct random random = random_seeded();
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf buf = {0};
    for (size_t i = 0; i < SCHEMA_ROWS; i++) {
        const struct avro_type *type = schema_rows[i].type;
        struct str bytes = small_record(type, &random, &arena, &buf);
        for (size_t size = 0; size < bytes.size; size++) {
            arena_reset(&arena);
            assert_int_equal(decode_copy(type, str_make(bytes.data, size), &arena), ERR_AVRO);
        }
        assert_int_equal(decode_copy(type, bytes, &arena), 0);
        assert_int_equal(buf_append(&buf, "", 1), 0);
        assert_int_equal(decode_copy(type, buf_str(&buf), &arena), ERR_AVRO);
    }
    arena_free(&arena);
}

static void test_decode_every_byte_changed_succeeds_or_fails_cleanly(void **state)
{
    (void)state;
    struct random random = random_seeded();
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf buf = {0};
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < SCHEMA_ROWS; i++) {
        const struct avro_type *type = schema_rows[i].type;
        struct str bytes = small_record(type, &random, &arena, &buf);
        for (size_t at = 0; at < bytes.size; at++) {
            char was = buf.data[at];
            for (int change = 1; change < 256; change++) {
                buf.data[at] = (char)(was ^ change);
                arena_reset(&arena);
                int r = decode_copy(type, bytes, &arena);
                assert_true(r == 0 || r == ERR_AVRO || r == ERR_TOO_LARGE || r == ERR_TOO_MANY);
                good += r == 0;
                bad += r < 0;
            }
            buf.data[at] = was;
        }
    }
    assert_true(good > 0 && bad > 0);
    arena_free(&arena);
}

/* A person_of whose epoch is the given bytes. */
static int decode_epoch(struct str epoch, int64_t *out)
{
    struct person_of record;
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf bytes = {0};
    static const char head[16 + 1 + 1 + 16], tail[7];
    int r = buf_append(&bytes, head, sizeof(head));
    if (r == 0)
        r = buf_append_str(&bytes, epoch);
    if (r == 0)
        r = buf_append(&bytes, tail, sizeof(tail));
    assert_int_equal(r, 0);
    r = person_of_decode(&record, buf_str(&bytes), &arena);
    if (r == 0)
        *out = record.epoch;
    arena_free(&arena);
    return r;
}

static void test_decode_long_of_every_shape_checked(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_int_equal(decode_epoch(STR("\x01"), &value), 0);
    assert_int_equal(value, -1);
    assert_int_equal(decode_epoch(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(decode_epoch(STR("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &value), 0);
    assert_true(value == INT64_MAX);
    /* Zero in two bytes is what some writers give: accepted. */
    assert_int_equal(decode_epoch(STR("\x80\x00"), &value), 0);
    assert_int_equal(value, 0);
    /* More than 64 bits, and more than 10 bytes. */
    assert_int_equal(
        decode_epoch(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), &value), ERR_AVRO);
    assert_int_equal(
        decode_epoch(STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), &value), ERR_AVRO);
}

static void test_decode_union_enum_bool_out_of_range_fails(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* in touchpoint_hex, bytes */
        uint8_t bad[2];
    } rows[] = {
        {26, {18, 1}},  /* protocol has 9 symbols; -1 */
        {57, {12, 1}},  /* time_quality has 6 */
        {83, {6, 1}},   /* consent.analytics has 3 */
        {87, {4, 1}},   /* campaign: branch 2; -1 */
        {106, {2, 255}} /* bot */
    };
    struct arena arena = {0};
    struct touchpoint event;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t k = 0; k < 2; k++) {
            struct str bytes = hex_to(&arena, touchpoint_hex);
            ((char *)bytes.data)[rows[i].at] = (char)rows[i].bad[k];
            assert_int_equal(touchpoint_decode(&event, bytes, &arena), ERR_AVRO);
        }
    arena_free(&arena);
}

/* A profile whose revenue array is the given bytes. */
static int decode_revenue(struct str array, struct profile *out, struct arena *arena)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    static const char head[16 + 8]; /* person, longs, truncated */
    int r = buf_append(&bytes, head, sizeof(head));
    if (r == 0)
        r = buf_append_str(&bytes, array);
    if (r == 0)
        r = buf_append(&bytes, "", 1);
    struct str copy = {0};
    if (r == 0)
        r = arena_dup(arena, buf_str(&bytes), &copy);
    assert_int_equal(r, 0);
    return profile_decode(out, copy, arena);
}

static void test_decode_array_in_blocks_with_sizes_accepted(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct profile profile;
    /* One item; then a block of -2 items in 10 bytes; then the end. */
    struct str blocks = STR("\x02\x06JPY\x04"
                            "\x03\x14\x06USD\x06\x06"
                            "EUR\x08"
                            "\x00");
    assert_int_equal(decode_revenue(blocks, &profile, &arena), 0);
    assert_int_equal(profile.revenue_count, 3);
    assert_bytes(profile.revenue[2].currency, STR("EUR"));
    assert_int_equal(profile.revenue[0].net_minor, 2);
    assert_int_equal(profile.revenue[2].net_minor, 4);
    /* A size beyond the input, a negative size, a count beyond the input, the lowest long. */
    assert_int_equal(decode_revenue(STR("\x03\x7e\x06USD\x06\x00"), &profile, &arena), ERR_AVRO);
    assert_int_equal(decode_revenue(STR("\x03\x01\x06USD\x06\x00"), &profile, &arena), ERR_AVRO);
    assert_int_equal(decode_revenue(STR("\x7e\x06USD\x06\x00"), &profile, &arena), ERR_AVRO);
    assert_int_equal(
        decode_revenue(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"), &profile, &arena),
        ERR_AVRO);
    arena_free(&arena);
}

/* Many blocks of one item must not cost more memory than one block of them all, but for growth. */
static void test_decode_array_of_many_blocks_memory_bounded(void **state)
{
    (void)state;
    enum { BLOCKS = 20000, GROWTH = 8 };
    struct arena arena = {0};
    struct profile profile;
    CLEANUP(buf_free) struct buf array = {0};
    for (int i = 0; i < BLOCKS; i++)
        assert_int_equal(buf_append(&array, "\x02\x00\x00", 3), 0);
    assert_int_equal(buf_append(&array, "\x00", 1), 0);
    assert_int_equal(decode_revenue(buf_str(&array), &profile, &arena), 0);
    assert_int_equal(profile.revenue_count, BLOCKS);
    assert_true(arena.size < GROWTH * BLOCKS * sizeof(struct revenue));
    arena_free(&arena);
}

static void test_codec_over_a_maximum_fails_both_ways(void **state)
{
    (void)state;
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf out = {0};
    char *long_text = calloc(1, BYTES_MAX + 1);
    assert_non_null(long_text);
    struct person_of record;
    person_of_init(&record);
    record.value = str_make(long_text, BYTES_MAX);
    assert_int_equal(person_of_encode(&record, &out), 0);
    assert_int_equal(person_of_decode(&record, buf_str(&out), &arena), 0);
    buf_clear(&out);
    record.value = str_make(long_text, BYTES_MAX + 1);
    assert_int_equal(person_of_encode(&record, &out), ERR_TOO_LARGE);
    assert_int_equal(out.size, 0);

    /* The longer one, written by hand: 33 bytes before the length of value. */
    static const char head[16 + 1];
    static const uint8_t size[] = {0x82, 0x80, 0x80, 0x01};
    int r = buf_append(&out, head, sizeof(head));
    if (r == 0)
        r = buf_append(&out, size, sizeof(size));
    if (r == 0)
        r = buf_append(&out, long_text, BYTES_MAX + 1);
    if (r == 0)
        r = buf_append(&out, long_text, 16 + 1 + 1);
    assert_int_equal(r, 0);
    assert_int_equal(person_of_decode(&record, buf_str(&out), &arena), ERR_TOO_LARGE);
    free(long_text);

    struct profile profile;
    profile_init(&profile);
    profile.revenue = calloc(COUNT_MAX + 1, sizeof *profile.revenue);
    assert_non_null(profile.revenue);
    profile.revenue_count = COUNT_MAX + 1;
    buf_clear(&out);
    assert_int_equal(profile_encode(&profile, &out), ERR_TOO_MANY);
    profile.revenue_count = COUNT_MAX;
    assert_int_equal(profile_encode(&profile, &out), 0);
    free(profile.revenue);
    assert_int_equal(profile_decode(&profile, buf_str(&out), &arena), 0);
    assert_int_equal(profile.revenue_count, COUNT_MAX);
    arena_free(&arena);
}

static void test_codec_every_allocation_failing_gives_no_memory(void **state)
{
    (void)state;
    struct random random = random_seeded();
    struct arena source = {0};
    struct journey_message message, back;
    do {
        record_random(&avro_type_journey_message, &message, &random, &source);
    } while (message.events_count == 0);
    size_t failures = 0;
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        struct arena arena = {0};
        CLEANUP(buf_free) struct buf out = {0};
        failing_alloc_at(nth);
        int r = journey_message_encode(&message, &out);
        if (r == 0)
            r = journey_message_decode(&back, buf_str(&out), &arena);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        failures += happened;
        arena_free(&arena);
        if (!happened)
            break;
    }
    assert_int_equal(failures, 2); /* the buffer of encode, the array of decode */
    arena_free(&source);
}

static void test_enum_names_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        assert_int_equal(protocol_from_name(str_of(protocol_name((enum protocol)i))), i);
    assert_int_equal(protocol_from_name(STR("nativ")), -1);
    assert_int_equal(protocol_from_name(STR("")), -1);
    assert_string_equal(protocol_name((enum protocol)PROTOCOL_COUNT), "");
    assert_string_equal(protocol_name(PROTOCOL_GA4), "ga4");
}

static void test_fingerprints_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMA_ROWS; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(*schema_rows[i].fingerprint != *schema_rows[k].fingerprint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_person_of_golden_bytes),
        cmocka_unit_test(test_encode_touchpoint_golden_bytes),
        cmocka_unit_test(test_codec_random_records_equal_avro_c),
        cmocka_unit_test(test_decode_truncated_at_every_length_fails),
        cmocka_unit_test(test_decode_every_byte_changed_succeeds_or_fails_cleanly),
        cmocka_unit_test(test_decode_long_of_every_shape_checked),
        cmocka_unit_test(test_decode_union_enum_bool_out_of_range_fails),
        cmocka_unit_test(test_decode_array_in_blocks_with_sizes_accepted),
        cmocka_unit_test(test_decode_array_of_many_blocks_memory_bounded),
        cmocka_unit_test(test_codec_over_a_maximum_fails_both_ways),
        cmocka_unit_test(test_codec_every_allocation_failing_gives_no_memory),
        cmocka_unit_test(test_enum_names_round_trip),
        cmocka_unit_test(test_fingerprints_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
