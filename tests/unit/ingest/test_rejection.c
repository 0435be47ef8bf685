#include "ingest/rejection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_key_write_is_read_back(void **state)
{
    (void)state;
    static const uint32_t attempts[] = {0, 1, 255, 256, 65537, REJECTION_ATTEMPT_MAX};
    for (size_t i = 0; i < 2 * sizeof attempts / sizeof *attempts; i++) {
        struct rejection_key key = {.attempt = attempts[i / 2], .settled = i % 2};
        struct rejection_key back;
        uint8_t bytes[REJECTION_KEY_SIZE_MAX];
        memset(key.rejected_key, 0xa5, KEY_SIZE);
        size_t size = rejection_key_write(&key, bytes);
        assert_int_equal(size, key.settled ? 21 : key.attempt ? 20 : 16);
        assert_true(rejection_key_read(str_make(bytes, size), &back));
        assert_memory_equal(back.rejected_key, key.rejected_key, KEY_SIZE);
        assert_int_equal(back.attempt, key.attempt);
        assert_int_equal(back.settled, key.settled);
    }
}

static void test_key_read_of_other_bytes_is_refused(void **state)
{
    (void)state;
    struct rejection_key key;
    uint8_t bytes[REJECTION_KEY_SIZE_MAX + 2] = {0};
    for (size_t size = 0; size <= sizeof bytes; size++) /* without the mark 21 is none either */
        assert_int_equal(
            rejection_key_read(str_make(bytes, size), &key), size == KEY_SIZE || size == 20);
    bytes[20] = 's';
    assert_true(rejection_key_read(str_make(bytes, 21), &key));
    bytes[KEY_SIZE] = 0xff; /* over REJECTION_ATTEMPT_MAX */
    assert_false(rejection_key_read(str_make(bytes, 21), &key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_write_is_read_back),
        cmocka_unit_test(test_key_read_of_other_bytes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
