#include "schemas/schema_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/stitched.avro.h"
#include "schemas/touchpoint.avro.h"

static void test_schema_set_find_known_ids_gives_texts(void **state)
{
    (void)state;
    const struct schema_entry *entry = schema_set_find(TOUCHPOINT_SCHEMA_ID);
    assert_non_null(entry);
    assert_string_equal(entry->name, "touchpoint");
    assert_string_equal(entry->text, touchpoint_schema);
    assert_true(entry->fingerprint == touchpoint_fingerprint);
    assert_ptr_equal(entry->type, &avro_type_touchpoint);
    assert_string_equal(schema_set_find(STITCHED_SCHEMA_ID)->text, stitched_schema);
    assert_null(schema_set_find(0));
    assert_null(schema_set_find(UINT32_MAX));
}

static void test_schema_set_ids_rise(void **state)
{
    (void)state;
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    assert_true(count >= 10);
    for (size_t i = 1; i < count; i++)
        assert_true(entries[i - 1].id < entries[i].id);
}

/* Ids that were given once: a change here would make stored values unreadable. */
static void test_schema_set_ids_stay(void **state)
{
    (void)state;
    assert_int_equal(TOUCHPOINT_SCHEMA_ID, 1);
    assert_int_equal(STITCHED_SCHEMA_ID, 8);
}

static void test_schema_frame_round_trip(void **state)
{
    (void)state;
    uint8_t framed[SCHEMA_FRAME_SIZE + 2] = {[5] = 'h', [6] = 'i'};
    uint32_t id;
    struct str body;
    schema_frame_put(0x01020304, framed);
    assert_memory_equal(framed, "\0\1\2\3\4hi", sizeof(framed));
    assert_int_equal(schema_frame_take(str_make(framed, sizeof(framed)), &id, &body), 0);
    assert_int_equal(id, 0x01020304);
    assert_true(str_equal(body, STR("hi")));
    assert_int_equal(schema_frame_take(str_make(framed, SCHEMA_FRAME_SIZE), &id, &body), 0);
    assert_int_equal(body.size, 0);
}

static void test_schema_frame_take_without_frame_fails(void **state)
{
    (void)state;
    uint32_t id = 7;
    struct str body = STR("old");
    assert_int_equal(schema_frame_take(str_make(NULL, 0), &id, &body), ERR_EMPTY);
    for (size_t size = 1; size < SCHEMA_FRAME_SIZE; size++)
        assert_int_equal(schema_frame_take(str_make("\0\0\0\0", size), &id, &body), ERR_AVRO);
    assert_int_equal(schema_frame_take(STR("{\"json\":1}"), &id, &body), ERR_AVRO);
    assert_int_equal(id, 7);
    assert_true(str_equal(body, STR("old")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_set_find_known_ids_gives_texts),
        cmocka_unit_test(test_schema_set_ids_rise),
        cmocka_unit_test(test_schema_set_ids_stay),
        cmocka_unit_test(test_schema_frame_round_trip),
        cmocka_unit_test(test_schema_frame_take_without_frame_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
