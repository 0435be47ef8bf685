/* The bytes of a spool: golden, cut at every length, changed at every byte. */
#include "ingest/spool/spool_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static const struct spool_record sample = {
    TOPIC_REJECTED, 0x01020304, STR_INIT("key"), STR_INIT("value")};
/* CRC-32 of 11 00 00 00 and the body, as Python's zlib.crc32 gives it. */
static const uint8_t golden[] = {17, 0, 0, 0, 0x13, 0x5a, 0xc1, 0x3f, 1, 4, 3, 2, 1, 3, 0, 0, 0,
    'k', 'e', 'y', 'v', 'a', 'l', 'u', 'e'};

static void assert_record(const struct spool_record *got, const struct spool_record *wanted)
{
    assert_int_equal(got->topic, wanted->topic);
    assert_int_equal(got->schema, wanted->schema);
    assert_true(str_equal(got->key, wanted->key));
    assert_true(str_equal(got->value, wanted->value));
}

static void test_frame_put_is_golden(void **state)
{
    (void)state;
    uint8_t bytes[sizeof golden];
    size_t size;
    assert_int_equal(spool_frame_size(&sample, &size), 0);
    assert_int_equal(size, sizeof golden);
    spool_frame_put(&sample, bytes);
    assert_memory_equal(bytes, golden, sizeof golden);
}

static void test_frame_take_gives_back_what_was_put(void **state)
{
    (void)state;
    const struct spool_record records[] = {sample, {TOPIC_EVENTS, 0, STR_INIT(""), STR_INIT("")},
        {TOPIC_EVENTS, UINT32_MAX, STR_INIT("k"), STR_INIT("")}};
    uint8_t bytes[128];
    size_t end = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        assert_int_equal(spool_frame_size(&records[i], &size), 0);
        spool_frame_put(&records[i], bytes + end);
        end += size;
    }
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        struct spool_record got;
        size_t size;
        assert_int_equal(spool_frame_take(str_make(bytes + at, end - at), &got, &size), 0);
        assert_record(&got, &records[i]);
        at += size;
    }
    assert_int_equal(at, end);
}

static void test_frame_take_cut_anywhere_is_cut(void **state)
{
    (void)state;
    struct spool_record record;
    size_t frame;
    for (size_t size = 0; size < sizeof golden; size++) {
        uint8_t *copy = malloc(size + !size); /* exactly sized, for ASan */
        assert_non_null(copy);
        memcpy(copy, golden, size);
        assert_int_equal(spool_frame_take(str_make(copy, size), &record, &frame), SPOOL_CUT);
        free(copy);
    }
}

static void test_frame_take_any_other_bit_is_damage(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof golden; bit++) {
        uint8_t bytes[sizeof golden];
        struct spool_record record;
        size_t frame;
        memcpy(bytes, golden, sizeof golden);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = spool_frame_take(str_make(bytes, sizeof bytes), &record, &frame);
        /* A larger size is one that the bytes end before. */
        assert_true(r == ERR_STATE || (r == SPOOL_CUT && bit < 32));
    }
}

static void test_frame_take_zeros_are_damage(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    struct spool_record record;
    size_t frame;
    assert_int_equal(spool_frame_take(str_make(zeros, sizeof zeros), &record, &frame), ERR_STATE);
}

static void test_frame_size_over_the_limit_is_too_large(void **state)
{
    (void)state;
    size_t most = SPOOL_BODY_SIZE_MAX - SPOOL_BODY_HEAD_SIZE, size;
    struct spool_record record = {TOPIC_EVENTS, 1, STR_INIT(""), {"", most}};
    assert_int_equal(spool_frame_size(&record, &size), 0);
    record.value.size++;
    assert_int_equal(spool_frame_size(&record, &size), ERR_TOO_LARGE);
    record.value.size = SIZE_MAX;
    assert_int_equal(spool_frame_size(&record, &size), ERR_TOO_LARGE);
}

static void test_head_and_mark_are_read_back_whole_only(void **state)
{
    (void)state;
    uint8_t head[SPOOL_HEAD_SIZE], bytes[SPOOL_MARK_SIZE];
    struct spool_mark mark = {UINT64_C(0x1122334455667788), 99}, got;
    spool_head_put(head);
    assert_int_equal(spool_head_take(str_make(head, sizeof head)), 0);
    assert_int_equal(spool_head_take(str_make(head, sizeof head - 1)), SPOOL_CUT);
    head[8] ^= 1;
    assert_int_equal(spool_head_take(str_make(head, sizeof head)), ERR_STATE);
    spool_mark_put(&mark, bytes);
    assert_int_equal(spool_mark_take(str_make(bytes, sizeof bytes), &got), 0);
    assert_int_equal(got.segment, mark.segment);
    assert_int_equal(got.offset, mark.offset);
    assert_int_equal(spool_mark_take(str_make(bytes, sizeof bytes - 1), &got), ERR_STATE);
    bytes[3] ^= 1;
    assert_int_equal(spool_mark_take(str_make(bytes, sizeof bytes), &got), ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_put_is_golden),
        cmocka_unit_test(test_frame_take_gives_back_what_was_put),
        cmocka_unit_test(test_frame_take_cut_anywhere_is_cut),
        cmocka_unit_test(test_frame_take_any_other_bit_is_damage),
        cmocka_unit_test(test_frame_take_zeros_are_damage),
        cmocka_unit_test(test_frame_size_over_the_limit_is_too_large),
        cmocka_unit_test(test_head_and_mark_are_read_back_whole_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
