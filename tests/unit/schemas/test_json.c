#include "schemas/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static int open_parser(void **state)
{
    return json_parser_new((struct json_parser **)state);
}

static int close_parser(void **state)
{
    json_parser_free((struct json_parser **)state);
    json_parser_free((struct json_parser **)state);
    return 0;
}

static void assert_canonical(void **state, struct str text, struct str want)
{
    struct json root;
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(json_parse(*state, text, &root), 0);
    assert_int_equal(json_write_canonical(root, &out), 0);
    if (!str_equal(buf_str(&out), want))
        fail_msg("%.*s, want %.*s", (int)out.size, out.data, (int)want.size, want.data);
    /* Canonical text is a fixed point. */
    CLEANUP(buf_free) struct buf again = {0};
    assert_int_equal(json_parse(*state, want, &root), 0);
    assert_int_equal(json_write_canonical(root, &again), 0);
    assert_true(str_equal(buf_str(&again), want));
}

static void assert_error(void **state, struct str text, int error)
{
    struct json root = {NULL, 99};
    int r = json_parse(*state, text, &root);
    if (r != error)
        fail_msg("%.*s: %s, want %s", (int)text.size, text.data, error_name(r), error_name(error));
    assert_int_equal(root.at, 99);
}

static void test_json_parse_every_kind_is_read(void **state)
{
    struct json root = {0}, value = {0};
    assert_int_equal(json_parse(*state,
                         STR(" {\"n\":null,\"t\":true,\"f\":false,\"i\":-5,"
                             "\"d\":1.5,\"s\":\"x\\u0041\\n\",\"a\":[1,[2],{}],\"o\":{\"k\":1}}\n"),
                         &root),
        0);
    assert_int_equal(json_kind(root), JSON_OBJECT);
    assert_int_equal(json_count(root), 8);
    assert_true(json_get(root, STR("n"), &value) && json_kind(value) == JSON_NULL);
    assert_true(
        json_get(root, STR("t"), &value) && json_kind(value) == JSON_BOOL && json_bool(value));
    assert_true(
        json_get(root, STR("f"), &value) && json_kind(value) == JSON_BOOL && !json_bool(value));
    assert_true(json_get(root, STR("i"), &value) && json_kind(value) == JSON_INT);
    assert_int_equal(json_int(value), -5);
    assert_true(json_get(root, STR("d"), &value) && json_kind(value) == JSON_DOUBLE);
    assert_true(json_double(value) > 1.4 && json_double(value) < 1.6);
    assert_true(json_get(root, STR("s"), &value) && json_kind(value) == JSON_TEXT);
    assert_true(str_equal(json_text(value), STR("xA\n")));
    assert_int_equal(json_count(value), 0);
    assert_true(json_get(root, STR("a"), &value) && json_kind(value) == JSON_ARRAY);
    assert_int_equal(json_count(value), 3);
    assert_false(json_get(value, STR("k"), &value));
    assert_true(json_get(root, STR("o"), &value) && json_kind(value) == JSON_OBJECT);
    assert_false(json_get(root, STR("z"), &value));
}

static void test_json_get_tells_names_apart_by_every_byte(void **state)
{
    static const char *const names[] = {"", "a", "b", "ab", "abc", "abcdefg", "abcdefgh",
        "abcdefgi", "abcdefghi", "abcdefghj", "abcdefghijklmnopq", "abcdefghijklmnopr", "a\\u0000",
        "\xe6\x97\x85\xe8\xb7\xaf"};
    static const char *const absent[] = {
        "c", "ba", "abd", "abcdefgj", "abcdefghk", "abcdefghijklmnoqq", "ABCDEFGH"};
    CLEANUP(buf_free) struct buf text = {0};
    struct json root, value;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(buf_appendf(&text, "%c\"%s\":%zu", i ? ',' : '{', names[i], i), 0);
    assert_int_equal(buf_append(&text, "}", 1), 0);
    assert_int_equal(json_parse(*state, buf_str(&text), &root), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str name = strchr(names[i], '\\') ? str_make("a", 2) : str_of(names[i]);
        assert_true(json_get(root, name, &value));
        assert_int_equal(json_int(value), i);
    }
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_false(json_get(root, str_of(absent[i]), &value));
    assert_false(json_get(root, str_make("b", 2), &value));
}

static void test_json_next_goes_in_source_order(void **state)
{
    struct json root = {0}, value = {0};
    assert_int_equal(json_parse(*state, STR("{\"b\":[{},[[]]],\"a\":2.5,\"c\":\"\"}"), &root), 0);
    struct json_iterator iterator;
    json_iterate(root, &iterator);
    struct str key;
    assert_true(json_next(&iterator, &key, &value) && str_equal(key, STR("b")));
    assert_true(json_next(&iterator, &key, &value) && str_equal(key, STR("a")));
    assert_true(json_next(&iterator, &key, &value) && str_equal(key, STR("c")));
    assert_int_equal(json_kind(value), JSON_TEXT);
    assert_false(json_next(&iterator, &key, &value));
}

static void test_json_write_canonical_sorts_and_escapes(void **state)
{
    assert_canonical(state, STR("{ \"b\" : 1 , \"a\" : [ true , null , { \"z\":1, \"y\":{} } ] }"),
        STR("{\"a\":[true,null,{\"y\":{},\"z\":1}],\"b\":1}"));
    assert_canonical(state,
        STR("\"\\/\\u0008\\f\\n\\r\\t\\u001f\\u007f\\\"\\\\ \\u65c5\\uD83D\\uDE00\""),
        STR("\"/\\b\\f\\n\\r\\t\\u001f\x7f\\\"\\\\ 旅😀\""));
    assert_canonical(state, STR("\"\\u0000\""), STR("\"\\u0000\""));
    assert_canonical(state, STR("\xEF\xBB\xBF{}"), STR("{}"));
    assert_canonical(state, STR("[]"), STR("[]"));
    assert_canonical(state, STR("{\"あ\":1,\"aa\":2,\"a\":3,\"\":4}"),
        STR("{\"\":4,\"a\":3,\"aa\":2,\"あ\":1}"));
}

static void test_json_write_canonical_numbers_survive(void **state)
{
    assert_canonical(state, STR("[9007199254740993,-9223372036854775808,9223372036854775807]"),
        STR("[9007199254740993,-9223372036854775808,9223372036854775807]"));
    assert_canonical(state,
        STR("[0.1,1.0,-0.0,100000.0,1E20,5e-324,1.7976931348623157e308,0.0e-400]"),
        STR("[0.1,1.0,-0.0,100000.0,1e+20,5e-324,1.7976931348623157e+308,0.0]"));
}

static void test_json_write_canonical_many_keys_are_sorted(void **state)
{
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(buf_free) struct buf want = {0};
    assert_int_equal(buf_append(&text, "{", 1), 0);
    assert_int_equal(buf_append(&want, "{", 1), 0);
    for (int i = 0; i < JSON_KEYS_MAX; i++) {
        const char *comma = i ? "," : "";
        assert_int_equal(
            buf_appendf(&text, "%s\"%04d\":{\"x\":%d}", comma, i * 37 % 1024, i * 37 % 1024), 0);
        assert_int_equal(buf_appendf(&want, "%s\"%04d\":{\"x\":%d}", comma, i, i), 0);
    }
    assert_int_equal(buf_append(&text, "}", 1), 0);
    assert_int_equal(buf_append(&want, "}", 1), 0);
    assert_canonical(state, buf_str(&text), buf_str(&want));
}

static void test_json_write_canonical_full_buffer_leaves_it(void **state)
{
    struct json root;
    assert_int_equal(json_parse(*state, STR("{\"a\":[1,2,3,\"some text\"]}"), &root), 0);
    for (size_t max = 1; max < 27; max++) {
        CLEANUP(buf_free) struct buf out = {.size_max = max};
        int r = json_write_canonical(root, &out);
        assert_int_equal(r, max < 25 ? ERR_TOO_LARGE : 0);
        assert_int_equal(out.size, max < 25 ? 0 : 25);
    }
    static const char long_text[] = "{\"a key of more than 16 bytes\":\"a text of more than 16\","
                                    "\"b\":{\"\":\"sixteen bytes...\",\"c\":[\"\",\"x\"]}}";
    assert_int_equal(json_parse(*state, str_of(long_text), &root), 0);
    for (size_t max = 1; max < sizeof(long_text) + 64; max++) {
        CLEANUP(buf_free) struct buf out = {.data = malloc(max), .capacity = max, .size_max = max};
        assert_non_null(out.data);
        int r = json_write_canonical(root, &out);
        assert_int_equal(r, max < sizeof(long_text) - 1 ? ERR_TOO_LARGE : 0);
        assert_true(r < 0 ? out.size == 0 : str_equal(buf_str(&out), str_of(long_text)));
    }
}

static void test_json_parse_bad_text_has_its_error(void **state)
{
    assert_error(state, STR(""), ERR_EMPTY);
    assert_error(state, STR(" \n"), ERR_EMPTY);
    assert_error(state, STR("\xEF\xBB\xBF"), ERR_EMPTY);
    static const char *const bad[] = {"{", "}", "[1,]", "{\"a\"}", "{\"a\":1,}", "{} x", "{}{}",
        "1 2", "tru", "nul", "'a'", "{a:1}", "\"abc", "\"a\\qb\"", "\"\\u00g0\"", "\"\\u12\"",
        "\"a\nb\"", "01", "1.", "-", "+1", ".5", "1e", "0x10", "{\"a\":1,\"a\":2}",
        "[{\"b\":{\"a\":1},\"a\":2,\"b\":3}]", "{\"\\u0061\":1,\"a\":2}", "[1 2]", "[\"1e400\" 1]",
        "// c\n1", "{\"a\":1}\x01", "[1e400x]", "[-x]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(state, str_of(bad[i]), ERR_JSON);
    assert_error(state, STR("{}\0"), ERR_JSON);
    assert_error(state, STR("\"a\0b\""), ERR_JSON);
}

static void test_json_parse_bad_utf8_has_its_error(void **state)
{
    static const char *const bad[] = {"\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
        "\"\xf5\x80\x80\x80\"", "\"\xe6\x97\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "\"\\uDC00\\uD800\"", "\"\\\\\\ud83d\"", "{\"\\ud83d\":1}", "\"\\ud83d\\ud83d\\ude00\"",
        "\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(state, str_of(bad[i]), ERR_UTF8);
}

static void test_json_parse_number_out_of_range_is_never_rounded(void **state)
{
    static const char *const bad[] = {"1e400", "-1e400", "[1,2,1E+309]", "18446744073709551616",
        "18446744073709551615", "{\"a\":[9223372036854775808]}", "-9223372036854775809",
        "123456789012345678901234567890", "NaN", "{\"a\":NaN}", "-Infinity", "[Infinity]", "nan",
        "[\"1x\",1e999999999999999999999]", "{\"01\":1e400}", "[0.001e400]", "[123.4e307]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(state, str_of(bad[i]), ERR_NUMBER_RANGE);
    assert_error(state, STR("[1e-999999999999999999999,01]"), ERR_JSON);
    assert_error(state, STR("[1e-400,0.0001e-330,0e999,01]"), ERR_JSON);
    CLEANUP(buf_free) struct buf digits = {0};
    for (int i = 0; i < 400; i++)
        assert_int_equal(buf_append(&digits, "1", 1), 0);
    assert_int_equal(buf_append(&digits, ".0", 2), 0);
    assert_error(state, buf_str(&digits), ERR_NUMBER_RANGE);
}

static void test_json_parse_decimal_that_no_double_gives_back_is_refused(void **state)
{
    static const char *const bad[] = {"9007199254740993.0", "{\"a\":[\"x\",9007199254740993e0]}",
        "0.1e-400", "[1.5,1e-400]", "123456789012345678901234567890e-10", "3e-324", "-1e-324",
        "0.100000000000000001", "0.1000000000000000055511151231257827", "0.10000000000000002e-310",
        "9007199254740992.1", "12345678901234567.5", "{\"a\":1,\"b\":{\"c\":-9007199254740993.00}}",
        "1e-999999999999999999999", "900719925474099.31", "17976931348623157e-400"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(state, str_of(bad[i]), ERR_NUMBER_RANGE);
}

static void test_json_parse_decimal_that_a_double_prints_is_kept(void **state)
{
    assert_canonical(state,
        STR("[0.1,1.50,1e3,-1.5E+2,0.10000000000000001,0.30000000000000004,1.0000000000000000,"
            "0.12345678901234560,9007199254740992.0,9007199254740994e0,1234567890.12345,"
            "2.975084811983025e+18,-123456789012345680000.0]"),
        STR("[0.1,1.5,1000.0,-150.0,0.1,0.30000000000000004,1.0,0.1234567890123456,"
            "9007199254740992.0,9007199254740994.0,1234567890.12345,2.975084811983025e+18,"
            "-1.2345678901234568e+20]"));
    assert_canonical(state,
        STR("[4.9406564584124654e-324,5E-324,2.2250738585072014e-308,1.7976931348623157e+308,"
            "0e999999999999999999999,-0.000,10000000000000000000000.0,0.000000000000000000001]"),
        STR("[5e-324,5e-324,2.2250738585072014e-308,1.7976931348623157e+308,0.0,-0.0,1e+22,"
            "1e-21]"));
    /* Whatever looks like a number inside a text is none. */
    assert_canonical(state, STR("[\"9007199254740993.0 1e400\",0.5,{\"1e-400\":\"\\\",2e-400\"}]"),
        STR("[\"9007199254740993.0 1e400\",0.5,{\"1e-400\":\"\\\",2e-400\"}]"));
}

/* `depth` containers, alternating, around `inside`. */
static void nest(struct buf *text, size_t depth, struct str inside)
{
    for (size_t i = 0; i < depth; i++)
        assert_int_equal(buf_append_str(text, i % 2 ? STR("{\"a\":") : STR("[")), 0);
    assert_int_equal(buf_append_str(text, inside), 0);
    for (size_t i = depth; i-- > 0;)
        assert_int_equal(buf_append_str(text, i % 2 ? STR("}") : STR("]")), 0);
}

static void test_json_parse_depth_limit(void **state)
{
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 2; depth++) {
        CLEANUP(buf_free) struct buf scalar = {0};
        CLEANUP(buf_free) struct buf empty = {0};
        nest(&scalar, depth, STR("1"));
        nest(&empty, depth - 1, STR("[]"));
        if (depth > JSON_DEPTH_MAX) {
            assert_error(state, buf_str(&scalar), ERR_DEPTH);
            assert_error(state, buf_str(&empty), ERR_DEPTH);
        } else {
            assert_canonical(state, buf_str(&scalar), buf_str(&scalar));
            assert_canonical(state, buf_str(&empty), buf_str(&empty));
        }
    }
}

static void test_json_parse_key_limit(void **state)
{
    for (int keys = JSON_KEYS_MAX; keys <= JSON_KEYS_MAX + 1; keys++) {
        CLEANUP(buf_free) struct buf text = {0};
        for (int i = 0; i < keys; i++)
            assert_int_equal(buf_appendf(&text, "%s\"k%d\":%d", i ? "," : "[{", i, i), 0);
        assert_int_equal(buf_append(&text, "}]", 2), 0);
        struct json root;
        int r = json_parse(*state, buf_str(&text), &root);
        assert_int_equal(r, keys > JSON_KEYS_MAX ? ERR_KEYS : 0);
    }
}

static void test_json_parse_every_truncation_is_refused(void **state)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,true,null,\"x\\u65c5\\\"\",{\"b\":{}}],\"旅\":\"\\ud83d\\ude00\"}";
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        char *exact = malloc(size + 1);
        assert_non_null(exact);
        memcpy(exact, text, size);
        struct json root;
        assert_true(json_parse(*state, str_make(exact, size), &root) < 0);
        free(exact);
    }
}

/* What stands behind a text is not part of it, and the same answers come as from a copy. */
static void test_json_parse_padded_reads_nothing_behind(void **state)
{
    static const char *const texts[] = {"12", "-1.5", "true", "null", "\"a\"", "[1]",
        "{\"a\":\"x\\u65c5\",\"b\":[1,2.5e3]}", "\xEF\xBB\xBF{}", "\xEF\xBB\xBF", "", " ", "[1",
        "\"a", "tru", "{\"a\":1", "1e400", "\xe6\x97"};
    static const char *const behind[] = {
        "", "0", "]", "\"", "}", "e", "\x85", ",\"b\":2}\n{\"c\":3}\n", "\\\\\\\\"};
    char twice[sizeof("{\"a\":1,\"a\":2}") + JSON_INPUT_PADDING] = "{\"a\":1,\"a\":2}";
    struct json double_key;
    assert_int_equal(json_parse_padded_checked(*state, str_of(twice), &double_key), ERR_JSON);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json root;
        CLEANUP(buf_free) struct buf want = {0};
        int error = json_parse_unchecked(*state, str_of(texts[i]), &root);
        assert_true(error < 0 || json_write_canonical(root, &want) == 0);
        for (size_t k = 0; k < sizeof(behind) / sizeof(behind[0]); k++) {
            size_t size = strlen(texts[i]);
            char *exact = malloc(size + JSON_INPUT_PADDING);
            assert_non_null(exact);
            memcpy(exact, texts[i], size);
            memset(exact + size, '1', JSON_INPUT_PADDING);
            memcpy(exact + size, behind[k], strlen(behind[k]));
            CLEANUP(buf_free) struct buf out = {0};
            int r = json_parse_padded(*state, str_make(exact, size), &root);
            assert_int_equal(r, error);
            assert_true(r < 0 || json_write_canonical(root, &out) == 0);
            assert_true(str_equal(buf_str(&out), buf_str(&want)));
            r = json_parse_padded_checked(*state, str_make(exact, size), &root);
            assert_int_equal(r, error);
            free(exact);
        }
    }
}

static void test_json_parse_is_reusable_after_errors_and_growth(void **state)
{
    CLEANUP(buf_free) struct buf big = {0};
    assert_int_equal(buf_append(&big, "[", 1), 0);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(buf_appendf(&big, "%d,", i), 0);
    assert_int_equal(buf_append(&big, "0]", 2), 0);
    for (int round = 0; round < 3; round++) {
        struct json root;
        assert_error(state, STR("[1,"), ERR_JSON);
        assert_int_equal(json_parse(*state, buf_str(&big), &root), 0);
        assert_int_equal(json_count(root), 200001);
        assert_canonical(state, STR("[ 1 ]"), STR("[1]"));
    }
    struct json root;
    struct str too_large = {big.data, JSON_TEXT_SIZE_MAX + 1};
    assert_int_equal(json_parse(*state, too_large, &root), ERR_TOO_LARGE);
}

static void test_json_holds_nul_only_where_it_is(void **state)
{
    struct json root = {0}, value = {0};
    assert_int_equal(
        json_parse(*state,
            STR("{\"a\":\"x\\u0000\",\"b\":[\"\\\\u0000\",1],\"c\":{\"\\u0000\":0}}"), &root),
        0);
    assert_true(json_holds_nul(root));
    assert_true(json_get(root, STR("a"), &value) && json_holds_nul(value));
    assert_true(json_get(root, STR("b"), &value) && !json_holds_nul(value));
    assert_true(json_get(root, STR("c"), &value) && json_holds_nul(value));
    assert_int_equal(json_parse(*state, STR("\"a\\n\""), &root), 0);
    assert_false(json_holds_nul(root));
}

static void test_json_utf8_valid(void **state)
{
    (void)state;
    assert_true(json_utf8_valid(str_make(NULL, 0)));
    assert_true(json_utf8_valid(STR("a旅\0\xF4\x8F\xBF\xBF")));
    static const char *const bad[] = {"\xff", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80",
        "\xe6\x97", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(json_utf8_valid(str_of(bad[i])));
}

static void test_json_write_canonical_finds_what_was_not_checked(void **state)
{
    struct json root;
    CLEANUP(buf_free) struct buf keys = {0};
    CLEANUP(buf_free) struct buf depth = {0};
    CLEANUP(buf_free) struct buf out = {0};
    for (int i = 0; i <= JSON_KEYS_MAX; i++)
        assert_int_equal(buf_appendf(&keys, "%s\"k%d\":%d", i ? "," : "[{", i, i), 0);
    assert_int_equal(buf_append(&keys, "}]", 2), 0);
    assert_int_equal(json_parse_unchecked(*state, buf_str(&keys), &root), 0);
    assert_int_equal(json_write_canonical(root, &out), ERR_KEYS);
    nest(&depth, JSON_DEPTH_MAX + 1, STR("1"));
    assert_int_equal(json_parse_unchecked(*state, buf_str(&depth), &root), 0);
    assert_int_equal(json_write_canonical(root, &out), ERR_DEPTH);
    static const char *const twice[] = {"{\"a\":1,\"a\":2}", "{\"\":1,\"b\":2,\"\":3}",
        "[{\"longer than a word\":1,\"longer than a wore\":2,\"longer than a word\":3}]",
        "{\"a\\u0000\":1,\"a\":2,\"a\\u0000\":3}"};
    for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++) {
        assert_int_equal(json_parse_unchecked(*state, str_of(twice[i]), &root), 0);
        assert_int_equal(json_write_canonical(root, &out), ERR_JSON);
    }
    assert_int_equal(out.size, 0);
    assert_canonical(
        state, STR("{\"a\\u0000\":1,\"a\":2,\"\":0}"), STR("{\"\":0,\"a\":2,\"a\\u0000\":1}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse_every_kind_is_read),
        cmocka_unit_test(test_json_get_tells_names_apart_by_every_byte),
        cmocka_unit_test(test_json_next_goes_in_source_order),
        cmocka_unit_test(test_json_write_canonical_sorts_and_escapes),
        cmocka_unit_test(test_json_write_canonical_numbers_survive),
        cmocka_unit_test(test_json_write_canonical_many_keys_are_sorted),
        cmocka_unit_test(test_json_write_canonical_full_buffer_leaves_it),
        cmocka_unit_test(test_json_parse_bad_text_has_its_error),
        cmocka_unit_test(test_json_parse_bad_utf8_has_its_error),
        cmocka_unit_test(test_json_parse_number_out_of_range_is_never_rounded),
        cmocka_unit_test(test_json_parse_decimal_that_no_double_gives_back_is_refused),
        cmocka_unit_test(test_json_parse_decimal_that_a_double_prints_is_kept),
        cmocka_unit_test(test_json_parse_depth_limit),
        cmocka_unit_test(test_json_parse_key_limit),
        cmocka_unit_test(test_json_parse_every_truncation_is_refused),
        cmocka_unit_test(test_json_parse_padded_reads_nothing_behind),
        cmocka_unit_test(test_json_parse_is_reusable_after_errors_and_growth),
        cmocka_unit_test(test_json_holds_nul_only_where_it_is),
        cmocka_unit_test(test_json_utf8_valid),
        cmocka_unit_test(test_json_write_canonical_finds_what_was_not_checked),
    };
    return cmocka_run_group_tests(tests, open_parser, close_parser);
}
