/* ingest/malformed: the mark is there, once, and properties stay canonical. */
#include "ingest/malformed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/json.h"

static const struct identifier_drop drops[] = {{STR_INIT("phone"), IDENTIFIER_MALFORMED},
    {STR_INIT("cookie"), IDENTIFIER_BLOCKED}, {STR_INIT("email"), IDENTIFIER_MALFORMED},
    {STR_INIT("phone"), IDENTIFIER_MALFORMED}, {STR_INIT("phone"), IDENTIFIER_SHARED}};
#define DROPS (sizeof drops / sizeof *drops)

static void assert_marked(const char *before, const char *after)
{
    struct arena arena = {0};
    struct str properties = str_of(before);
    assert_int_equal(malformed_mark(&properties, drops, DROPS, &arena), 0);
    assert_int_equal(properties.size, strlen(after));
    assert_memory_equal(properties.data, after, properties.size);
    arena_free(&arena);
}

static void test_mark_any_properties_stay_sorted(void **state)
{
    (void)state;
#define MARK "\"$malformed\":[\"email\",\"phone\"]"
    assert_marked("", "{" MARK "}");
    assert_marked("{}", "{" MARK "}");
    assert_marked("{\"a\":1}", "{" MARK ",\"a\":1}");
    assert_marked("{\"#\":{\"x\":\"},\\\"\"}}", "{\"#\":{\"x\":\"},\\\"\"}," MARK "}");
    assert_marked("{\"\":[],\"$a\":[1,{\"z\":2}],\"$n\":3}",
        "{\"\":[],\"$a\":[1,{\"z\":2}]," MARK ",\"$n\":3}");
    assert_marked(
        "{\"$malforme\":1,\"$malformedx\":2}", "{\"$malforme\":1," MARK ",\"$malformedx\":2}");
    assert_marked("{\"\\\"\":1,\"\\\\\":2}", "{\"\\\"\":1," MARK ",\"\\\\\":2}");
}

static void test_mark_own_property_of_that_name_is_left(void **state)
{
    (void)state;
    assert_marked("{\"$malformed\":true,\"a\":1}", "{\"$malformed\":true,\"a\":1}");
    assert_marked("{\"!\":0,\"$malformed\":[]}", "{\"!\":0,\"$malformed\":[]}");
}

static void test_mark_nothing_malformed_nothing_changes(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct str properties = STR("{\"a\":1}");
    const struct str given = properties;
    assert_int_equal(malformed_mark(&properties, &drops[1], 1, &arena), 0);
    assert_int_equal(malformed_mark(&properties, NULL, 0, &arena), 0);
    assert_ptr_equal(properties.data, given.data);
    arena_free(&arena);
}

/* Canonical text is the same when it is parsed and written again. */
static void assert_canonical(struct json_parser *parser, struct str text)
{
    CLEANUP(buf_free) struct buf again = {0};
    struct json value;
    assert_int_equal(json_parse(parser, text, &value), 0);
    assert_int_equal(json_write_canonical(value, &again), 0);
    assert_int_equal(again.size, text.size);
    assert_memory_equal(again.data, text.data, text.size);
}

static void test_mark_random_properties_stay_canonical(void **state)
{
    (void)state;
    static const char *const keys[] = {"\\\"", "\\\\", "\\u0001", " ", "!", "#", "$", "$m",
        "$malformec", "$malformed ", "%", "a", "z", "\xe3\x81\x82"};
    static const char *const values[] = {
        "1", "\"}\"", "{\"k\":[\"]\",{}]}", "[]", "null", "-1.5", "\"\\\\\""};
    struct json_parser *parser;
    struct arena arena = {0};
    uint32_t seed = 1;
    assert_int_equal(json_parser_new(&parser), 0);
    for (int n = 0; n < 5000; n++) {
        CLEANUP(buf_free) struct buf given = {0};
        CLEANUP(buf_free) struct buf sorted = {0};
        struct json value;
        assert_int_equal(buf_append(&given, "{", 1), 0);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            seed = seed * 1664525 + 1013904223;
            if (seed >> 30)
                continue;
            assert_int_equal(buf_appendf(&given, "%s\"%s\":%s", given.size > 1 ? "," : "", keys[i],
                                 values[(seed >> 10) % (sizeof values / sizeof *values)]),
                0);
        }
        assert_int_equal(buf_append(&given, "}", 1), 0);
        assert_int_equal(json_parse(parser, buf_str(&given), &value), 0);
        assert_int_equal(json_write_canonical(value, &sorted), 0);
        struct str properties = buf_str(&sorted);
        assert_int_equal(malformed_mark(&properties, drops, DROPS, &arena), 0);
        assert_true(properties.size > sorted.size);
        assert_canonical(parser, properties);
        arena_reset(&arena);
    }
    json_parser_free(&parser);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mark_any_properties_stay_sorted),
        cmocka_unit_test(test_mark_own_property_of_that_name_is_left),
        cmocka_unit_test(test_mark_nothing_malformed_nothing_changes),
        cmocka_unit_test(test_mark_random_properties_stay_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
