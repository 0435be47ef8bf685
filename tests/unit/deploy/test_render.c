#include "deploy/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static const struct render_column columns[] = {
    {"channel", "Channel", RENDER_LEFT, 12},
    {"count", "Count", RENDER_RIGHT, 0},
    {"revenue", "Revenue", RENDER_RIGHT, 0},
};

static char *write_text(struct render_table *table, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(render_write(table, json, out), 0);
    fclose(out);
    return text;
}

static void assert_written(struct render_table *table, bool json, const char *expected)
{
    char *text = write_text(table, json);
    assert_string_equal(text, expected);
    free(text);
}

static void test_write_wide_characters_stay_aligned(void **state)
{
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, columns, 3), 0);
    render_text(table, STR("Email"));
    render_integer(table, 1234567);
    render_money(table, 12980, STR("JPY"));
    render_text(table, STR("\xe5\xba\x97\xe8\x88\x97")); /* two characters, four cells */
    render_integer(table, -5);
    render_money(table, -2345, STR("USD"));
    assert_written(table, false,
        "Channel      Count  Revenue\n"
        "Email    1,234,567   12,980\n"
        "\xe5\xba\x97\xe8\x88\x97            -5   -23.45\n");
    assert_written(table, true,
        "[\n{\"channel\":\"Email\",\"count\":1234567,\"revenue\":\"12980\"},\n"
        "{\"channel\":\"\xe5\xba\x97\xe8\x88\x97\",\"count\":-5,\"revenue\":\"-23.45\"}\n]\n");
    render_free(&table);
    assert_null(table);
}

static void test_write_long_text_is_cut_at_a_character(void **state)
{
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, columns, 1), 0);
    render_text(table, STR("exactly12345"));
    render_text(table, STR("more than twelve"));
    /* twelve wide characters: five and the ellipsis fit */
    render_text(table, STR("\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97"
                           "\xe5\xba\x97\xe5\xba\x97"));
    assert_written(table, false,
        "Channel\nexactly12345\nmore than t\xe2\x80\xa6\n"
        "\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97\xe5\xba\x97\xe2\x80\xa6\n");
    render_free(&table);
}

static void test_write_empty_cells_leave_no_blanks_at_the_end(void **state)
{
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, columns, 3), 0);
    render_text(table, STR("Email"));
    render_nothing(table);
    render_nothing(table);
    render_nothing(table);
    render_nothing(table);
    render_integer(table, 7);
    assert_written(table, false,
        "Channel  Count  Revenue\n"
        "Email\n"
        "                      7\n");
    assert_written(table, true,
        "[\n{\"channel\":\"Email\",\"count\":null,\"revenue\":null},\n"
        "{\"channel\":null,\"count\":null,\"revenue\":7}\n]\n");
    render_free(&table);
}

static void test_write_no_rows_is_an_empty_array(void **state)
{
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, columns, 3), 0);
    assert_written(table, true, "[]\n");
    assert_written(table, false, "Channel  Count  Revenue\n");
    render_free(&table);
}

static void test_text_hostile_characters_cannot_act(void **state)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct render_table *table = NULL;
    (void)state;
    struct str hostile = STR("a\x1b[31mb\x07\n\t\r\x00z\x7f\xc2\x9b\xe2\x80\xae\xff\xc3(");
    assert_int_equal(render_safe(&out, hostile), 0);
    assert_true(str_equal(
        buf_str(&out), STR("a\\x1b[31mb\\x07\\n\\t\\r\\x00z\\x7f\\u009b\\u202e\\xff\\xc3(")));
    assert_int_equal(render_width(buf_str(&out)), out.size);
    assert_int_equal(render_new(&table, columns, 1), 0);
    render_text(table, STR("x\x1by\xff"));
    assert_written(table, false, "Channel\nx\\x1by\\xff\n");
    assert_written(table, true, "[\n{\"channel\":\"x\\\\x1by\\\\xff\"}\n]\n");
    render_free(&table);
}

static void test_width_follows_east_asian_width(void **state)
{
    (void)state;
    assert_int_equal(render_width(STR("abc")), 3);
    assert_int_equal(render_width(STR("\xe6\x97\x85\xe8\xb7\xaf")), 4); /* 旅路 */
    assert_int_equal(render_width(STR("\xef\xbd\xb1\xef\xbd\xb2")), 2); /* half-width kana */
    assert_int_equal(render_width(STR("\xef\xbc\xa1")), 2);             /* full-width A */
    assert_int_equal(render_width(STR("e\xcc\x81")), 1);                /* combining accent */
}

static void test_time_is_japans_and_json_has_the_offset(void **state)
{
    static const struct render_column one[] = {{"at", "Time", RENDER_LEFT, 0}};
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, one, 1), 0);
    render_time(table, 1780000000123000);
    render_time(table, 0);
    assert_written(table, false, "Time\n2026-05-29 05:26:40\n1970-01-01 09:00:00\n");
    assert_written(table, true,
        "[\n{\"at\":\"2026-05-29T05:26:40.123+09:00\"},\n{\"at\":\"1970-01-01T09:00:00+09:00\"}\n]"
        "\n");
    render_free(&table);
}

static void test_uuid_has_five_groups(void **state)
{
    static const struct render_column one[] = {{"person", NULL, RENDER_LEFT, 0}};
    static const uint8_t key[16] = {
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8};
    struct render_table *table = NULL;
    (void)state;
    assert_int_equal(render_new(&table, one, 1), 0);
    render_uuid(table, key);
    assert_written(table, false, "01234567-89ab-cdef-0102-030405060708\n");
    render_free(&table);
}

static void test_grouped_every_length(void **state)
{
    static const char *const pairs[][2] = {{"1", "1"}, {"123", "123"}, {"1234", "1,234"},
        {"-123", "-123"}, {"-1234567.89", "-1,234,567.89"}, {"0.123456", "0.123456"}, {"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        CLEANUP(buf_free) struct buf out = {0};
        assert_int_equal(render_grouped(&out, str_of(pairs[i][0])), 0);
        assert_true(str_equal(buf_str(&out), str_of(pairs[i][1])));
    }
}

static void test_write_to_full_device_is_io(void **state)
{
    struct render_table *table = NULL;
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        skip();
    assert_int_equal(render_new(&table, columns, 1), 0);
    render_text(table, STR("x"));
    assert_int_equal(render_write(table, false, full), ERR_IO);
    render_free(&table);
    (void)fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_wide_characters_stay_aligned),
        cmocka_unit_test(test_write_long_text_is_cut_at_a_character),
        cmocka_unit_test(test_write_empty_cells_leave_no_blanks_at_the_end),
        cmocka_unit_test(test_write_no_rows_is_an_empty_array),
        cmocka_unit_test(test_text_hostile_characters_cannot_act),
        cmocka_unit_test(test_width_follows_east_asian_width),
        cmocka_unit_test(test_time_is_japans_and_json_has_the_offset),
        cmocka_unit_test(test_uuid_has_five_groups),
        cmocka_unit_test(test_grouped_every_length),
        cmocka_unit_test(test_write_to_full_device_is_io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
