/* ingest/stream/key_filter: never denies what it has, seldom claims what it has not. */
#include "ingest/stream/key_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/hash.h"

#define KEYS 5000000 /* three layers */
#define KEYS_TOO_MANY 60000000

static uint64_t hash_of(uint64_t number)
{
    return hash64(str_make(&number, sizeof number));
}

static void test_may_have_empty_has_nothing(void **state)
{
    (void)state;
    struct key_filter filter = {.layers_count = 0};
    for (uint64_t i = 0; i < 1000; i++)
        assert_false(key_filter_may_have(&filter, hash_of(i)));
    key_filter_clear(&filter);
}

static void test_may_have_many_keys_never_denied_seldom_claimed(void **state)
{
    (void)state;
    struct key_filter filter = {.layers_count = 0};
    size_t claimed = 0;
    for (uint64_t i = 0; i < KEYS; i++)
        key_filter_add(&filter, hash_of(i));
    assert_int_equal(filter.layers_count, 3);
    for (uint64_t i = 0; i < KEYS; i++)
        assert_true(key_filter_may_have(&filter, hash_of(i)));
    for (uint64_t i = KEYS; i < 2 * KEYS; i++)
        claimed += key_filter_may_have(&filter, hash_of(i));
    print_message("%zu of %d keys claimed that were not added\n", claimed, KEYS);
    assert_true(claimed < KEYS / 100);
    key_filter_clear(&filter);
    assert_false(key_filter_may_have(&filter, hash_of(0)));
}

static void test_add_known_key_takes_no_room(void **state)
{
    (void)state;
    struct key_filter filter = {.layers_count = 0};
    key_filter_add(&filter, hash_of(1));
    size_t room = filter.room;
    for (int i = 0; i < 1000; i++)
        key_filter_add(&filter, hash_of(1));
    assert_int_equal(filter.room, room);
    key_filter_clear(&filter);
}

static void test_add_more_than_all_layers_take_gives_up(void **state)
{
    (void)state;
    struct key_filter filter = {.layers_count = 0};
    for (uint64_t i = 0; i < KEYS_TOO_MANY && !filter.given_up; i++)
        key_filter_add(&filter, i * 0x9e3779b97f4a7c15u);
    assert_true(filter.given_up);
    assert_int_equal(filter.layers_count, 0);
    assert_true(key_filter_may_have(&filter, hash_of(KEYS))); /* anything may be there */
    key_filter_clear(&filter);
}

static void test_add_more_bytes_than_allowed_gives_up(void **state)
{
    (void)state;
    struct key_filter filter = {.bytes_max = (size_t)5 << 20}; /* two layers, of 1 and 4 MiB */
    size_t most = 0;
    key_filter_begin(&filter);
    for (uint64_t i = 0; i < KEYS_TOO_MANY && !filter.given_up; i++) {
        key_filter_add(&filter, i * 0x9e3779b97f4a7c15u);
        most = filter.layers_count > most ? filter.layers_count : most;
    }
    assert_int_equal(most, 2);
    assert_true(filter.given_up);
    assert_int_equal(filter.layers_count, 0);
    assert_true(key_filter_may_have(&filter, hash_of(KEYS)));
    key_filter_clear(&filter);
    assert_int_equal(filter.bytes_max, (size_t)5 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_may_have_empty_has_nothing),
        cmocka_unit_test(test_may_have_many_keys_never_denied_seldom_claimed),
        cmocka_unit_test(test_add_known_key_takes_no_room),
        cmocka_unit_test(test_add_more_than_all_layers_take_gives_up),
        cmocka_unit_test(test_add_more_bytes_than_allowed_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
