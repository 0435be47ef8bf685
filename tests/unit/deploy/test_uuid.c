/* Person ids as text: written in one form, read in two. */
#include "deploy/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t key[KEY_SIZE] = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xab, 0xcd, 0xef, 0xfe, 0xff};

static void test_uuid_write_puts_dashes(void **state)
{
    char text[UUID_TEXT_SIZE];
    uuid_write(key, text);
    assert_string_equal(text, "00010203-0405-0607-0809-0aabcdeffeff");
}

static void test_uuid_read_takes_either_form_in_either_case(void **state)
{
    static const char *const forms[] = {"00010203-0405-0607-0809-0aabcdeffeff",
        "000102030405060708090aabcdeffeff", "00010203-0405-0607-0809-0AABCDEFFEFF",
        "000102030405060708090AABCDEFFEFF"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        uint8_t read[KEY_SIZE] = {0};
        assert_true(uuid_read(str_of(forms[i]), read));
        assert_memory_equal(read, key, KEY_SIZE);
    }
}

static void test_uuid_read_of_other_text_is_false(void **state)
{
    static const char *const texts[] = {"", "-", "00010203-0405-0607-0809-0aabcdeffef",
        "00010203-0405-0607-0809-0aabcdeffeffa", "0001020304-05-0607-0809-0aabcdeffeff",
        "000102030405060708090aabcdeffefg", "00010203-0405-0607-0809 0aabcdeffeff",
        "k1:c547e7aa38dcb3021ba944641c2932bc"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t read[KEY_SIZE] = {7};
        assert_false(uuid_read(str_of(texts[i]), read));
        assert_int_equal(read[0], 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid_write_puts_dashes),
        cmocka_unit_test(test_uuid_read_takes_either_form_in_either_case),
        cmocka_unit_test(test_uuid_read_of_other_text_is_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
