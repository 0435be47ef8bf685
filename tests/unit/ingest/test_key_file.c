/* The tenant key file: golden text, everything else refused, what changes it. */
#include "ingest/normalise/key_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

#define MAY_5 INT64_C(1777939200000000)       /* 2026-05-05T00:00:00Z */
#define NOVEMBER_27 INT64_C(1795762123000000) /* 2026-11-27T06:48:43Z */

static const char golden[] =
    "tabiji keys 1\n"
    "persons 0707070707070707070707070707070707070707070707070707070707070707\n"
    "issued k2\n"
    "k1 active 2026-05-05T00:00:00Z "
    "0101010101010101010101010101010101010101010101010101010101010101\n"
    "k2 next 2026-11-27T06:48:43Z "
    "0202020202020202020202020202020202020202020202020202020202020202\n"
    "sum 1ec6f124525db071\n";

static void fill(uint8_t secret[TENANT_KEY_SIZE], int byte)
{
    memset(secret, byte, TENANT_KEY_SIZE);
}

static struct key_file two_keys(void)
{
    struct key_file file;
    uint8_t persons[TENANT_KEY_SIZE], one[TENANT_KEY_SIZE], two[TENANT_KEY_SIZE];
    fill(persons, 7);
    fill(one, 1);
    fill(two, 2);
    key_file_new(&file, persons, one, MAY_5);
    assert_int_equal(key_file_rotate(&file, two, NOVEMBER_27), 0);
    return file;
}

static void test_key_file_write_two_keys_is_golden(void **state)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct key_file file = two_keys();
    assert_int_equal(key_file_write(&file, &text), 0);
    assert_int_equal(text.size, sizeof golden - 1);
    assert_memory_equal(text.data, golden, text.size);
}

static void test_key_file_read_golden_gives_the_keys(void **state)
{
    struct key_file file;
    assert_int_equal(key_file_read(STR(golden), STR("k9"), &file), 0);
    assert_int_equal(file.keys_count, 2);
    assert_int_equal(file.issued, 2);
    assert_string_equal(file.keys[0].id, "k1");
    assert_string_equal(file.keys[1].id, "k2");
    assert_int_equal(file.keys[0].created_at, MAY_5);
    assert_int_equal(file.keys[1].created_at, NOVEMBER_27);
    assert_int_equal(file.person_key[31], 7);
    assert_int_equal(file.keys[0].secret[0], 1);
    assert_int_equal(file.keys[1].secret[31], 2);
}

/* All but the last line end is needed. */
static void test_key_file_read_cut_at_every_length_is_refused(void **state)
{
    for (size_t size = 0; size < sizeof golden - 2; size++) {
        struct key_file file = {.keys_count = 77};
        assert_int_equal(key_file_read(str_make(golden, size), STR("k1"), &file), ERR_CONFIG);
        assert_int_equal(file.keys_count, 77);
    }
    struct key_file file;
    assert_int_equal(key_file_read(str_make(golden, sizeof golden - 2), STR("k1"), &file), 0);
}

static void test_key_file_read_any_byte_changed_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof golden - 1; i++) {
        char text[sizeof golden];
        struct key_file file;
        memcpy(text, golden, sizeof golden);
        text[i] ^= 1;
        assert_int_equal(
            key_file_read(str_make(text, sizeof golden - 1), STR("k1"), &file), ERR_CONFIG);
    }
}

/* Right sums over wrong texts: what the program never writes it does not read. */
static void test_key_file_read_bad_texts_are_refused(void **state)
{
    struct key_file file;
    static const char *const texts[] = {
        "",
        "\n",
        "k1",
        "0011",
        "tabiji keys 2\n",
        "tabiji keys 1\npersons \n",
        "zz02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
        "00 02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(key_file_read(str_of(texts[i]), STR("k1"), &file), ERR_CONFIG);
    CLEANUP(buf_free) struct buf text = {0};
    struct key_file wrong = two_keys();
    memcpy(wrong.keys[1].id, "k1", 3); /* one id twice */
    assert_int_equal(key_file_write(&wrong, &text), 0);
    assert_int_equal(key_file_read(buf_str(&text), STR("k1"), &file), ERR_CONFIG);
    wrong = two_keys();
    wrong.issued = 1; /* a key that was never issued */
    assert_int_equal(key_file_write(&wrong, &text), 0);
    assert_int_equal(key_file_read(buf_str(&text), STR("k1"), &file), ERR_CONFIG);
    wrong = two_keys();
    wrong.keys[1].created_at = KEY_FILE_TIME_UNKNOWN;
    assert_int_equal(key_file_write(&wrong, &text), 0);
    assert_int_equal(key_file_read(buf_str(&text), STR("k1"), &file), ERR_CONFIG);
    wrong = two_keys();
    wrong.keys_count = 0;
    assert_int_equal(key_file_write(&wrong, &text), 0);
    assert_int_equal(key_file_read(buf_str(&text), STR("k1"), &file), ERR_CONFIG);
}

static void test_key_file_read_plain_digits_are_one_key(void **state)
{
    static const char text[] =
        "000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f\r\n";
    struct key_file file;
    assert_int_equal(key_file_read(STR(text), STR("k3"), &file), 0);
    assert_int_equal(file.keys_count, 1);
    assert_string_equal(file.keys[0].id, "k3");
    assert_int_equal(file.keys[0].created_at, KEY_FILE_TIME_UNKNOWN);
    assert_memory_equal(file.person_key, file.keys[0].secret, TENANT_KEY_SIZE);
    uint8_t secret[TENANT_KEY_SIZE];
    fill(secret, 5);
    assert_int_equal(key_file_rotate(&file, secret, NOVEMBER_27), 0);
    assert_string_equal(file.keys[1].id, "k4");
    CLEANUP(buf_free) struct buf out = {0};
    struct key_file again;
    assert_int_equal(key_file_write(&file, &out), 0);
    assert_int_equal(key_file_read(buf_str(&out), STR("k1"), &again), 0);
    assert_int_equal(again.keys[0].created_at, KEY_FILE_TIME_UNKNOWN);
    assert_memory_equal(again.person_key, file.person_key, TENANT_KEY_SIZE);
    assert_int_equal(key_file_read(STR(text), STR("3"), &file), ERR_CONFIG);
}

static void test_key_file_rotate_third_live_key_is_refused(void **state)
{
    struct key_file file = two_keys();
    uint8_t secret[TENANT_KEY_SIZE] = {9};
    assert_int_equal(key_file_rotate(&file, secret, NOVEMBER_27), ERR_TOO_MANY);
    assert_int_equal(file.keys_count, 2);
    assert_int_equal(key_file_retire(&file, STR("k1")), 0);
    file.issued = 9999999;
    assert_int_equal(key_file_rotate(&file, secret, NOVEMBER_27), ERR_NUMBER_RANGE);
}

static void test_key_file_retire_says_what_it_cannot(void **state)
{
    struct key_file file = two_keys();
    assert_int_equal(key_file_retire(&file, STR("k3")), ERR_NOT_FOUND);
    assert_int_equal(key_file_retire(&file, STR("")), ERR_NOT_FOUND);
    assert_int_equal(key_file_retire(&file, STR("k1")), 0);
    assert_int_equal(file.keys_count, 1);
    assert_string_equal(file.keys[0].id, "k2");
    assert_int_equal(file.keys[0].secret[0], 2);
    assert_int_equal(key_file_retire(&file, STR("k1")), ERR_NOT_FOUND);
    assert_int_equal(key_file_retire(&file, STR("k2")), ERR_TOO_FEW);
}

/* The next key is given up: its id is not given again. */
static void test_key_file_retire_next_key_ends_the_rotation(void **state)
{
    struct key_file file = two_keys();
    uint8_t secret[TENANT_KEY_SIZE] = {9};
    assert_int_equal(key_file_retire(&file, STR("k2")), 0);
    assert_string_equal(file.keys[0].id, "k1");
    assert_int_equal(key_file_rotate(&file, secret, NOVEMBER_27), 0);
    assert_string_equal(file.keys[1].id, "k3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_file_write_two_keys_is_golden),
        cmocka_unit_test(test_key_file_read_golden_gives_the_keys),
        cmocka_unit_test(test_key_file_read_cut_at_every_length_is_refused),
        cmocka_unit_test(test_key_file_read_any_byte_changed_is_refused),
        cmocka_unit_test(test_key_file_read_bad_texts_are_refused),
        cmocka_unit_test(test_key_file_read_plain_digits_are_one_key),
        cmocka_unit_test(test_key_file_rotate_third_live_key_is_refused),
        cmocka_unit_test(test_key_file_retire_says_what_it_cannot),
        cmocka_unit_test(test_key_file_retire_next_key_ends_the_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
