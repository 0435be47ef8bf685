/* Lines: one each, valid JSON, nothing that a terminal acts on. */
#include "ingest/log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/json.h"

#define NOW INT64_C(1790000000123000)

static struct json_parser *parser;

static struct json parse(const char *line, size_t size)
{
    assert_true(size > 0 && line[size - 1] == '\n');
    struct json value;
    assert_int_equal(json_parse(parser, str_make(line, size - 1), &value), 0);
    return value;
}

static struct str member(struct json object, const char *key)
{
    struct json value;
    assert_true(json_get(object, str_of(key), &value));
    return json_text(value);
}

static void test_log_format_kinds_of_values(void **state)
{
    char line[LOG_LINE_SIZE_MAX];
    const struct log_field fields[] = {
        LOG_TEXT("a", "x\"y"), LOG_INT("n", INT64_MIN), LOG_BOOL("b", true), LOG_ERROR(ERR_FULL)};
    size_t size = log_format(line, NOW, LOG_LEVEL_WARNING, "test_event", fields, 5);
    static const char expected[] =
        "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"warning\",\"event\":\"test_event\","
        "\"a\":\"x\\u0022y\",\"n\":-9223372036854775808,\"b\":true,\"error\":\"full\","
        "\"error_text\":\"a queue or the disk is full\"}\n";
    assert_int_equal(size, sizeof expected - 1);
    assert_memory_equal(line, expected, size);
}

static void test_log_format_hostile_text_is_escaped(void **state)
{
    char line[LOG_LINE_SIZE_MAX];
    const struct str hostile =
        STR("\r\n{\"fake\":1}\x1b[31m\x7f\xc2\x9b\xe2\x80\xae\xff\xc0\x80 日本 \0 end");
    const struct log_field fields[] = {LOG_STR("a", hostile)};
    size_t size = log_format(line, NOW, LOG_LEVEL_INFO, "e", fields, 1);
    for (size_t i = 0; i + 1 < size; i++)
        assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    assert_null(memmem(line, size, "\xc2\x9b", 2));
    assert_null(memmem(line, size, "\xe2\x80\xae", 3));
    struct str text = member(parse(line, size), "a");
    assert_non_null(memmem(text.data, text.size, "日本", 6));
    assert_non_null(memmem(text.data, text.size, "\0 end", 5));
}

static void test_log_format_long_field_is_left_out_and_told(void **state)
{
    char line[LOG_LINE_SIZE_MAX];
    static char text[LOG_LINE_SIZE_MAX];
    memset(text, 'x', sizeof text);
    for (size_t size = LOG_LINE_SIZE_MAX - 200; size <= LOG_LINE_SIZE_MAX; size++) {
        const struct log_field fields[] = {
            LOG_INT("kept", 1), LOG_STR("long", str_make(text, size))};
        size_t line_size = log_format(line, NOW, LOG_LEVEL_INFO, "e", fields, 2);
        assert_true(line_size <= LOG_LINE_SIZE_MAX);
        struct json object = parse(line, line_size);
        struct json value;
        assert_true(json_get(object, STR("kept"), &value));
        assert_true(json_get(object, STR("long"), &value) != json_get(object, STR("cut"), &value));
    }
}

static void test_log_write_level_decides(void **state)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const struct log log = {.fd = ends[1], .level = LOG_LEVEL_WARNING};
    const struct log nowhere = {0};
    log_write(&log, LOG_LEVEL_INFO, "quiet");
    log_write(&nowhere, LOG_LEVEL_ERROR, "quiet");
    log_write(&log, LOG_LEVEL_ERROR, "loud");
    char line[LOG_LINE_SIZE_MAX];
    ssize_t size = read(ends[0], line, sizeof line);
    assert_true(size > 0);
    assert_true(str_equal(member(parse(line, (size_t)size), "event"), STR("loud")));
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void test_log_level_of_names(void **state)
{
    assert_int_equal(log_level_of(STR("debug")), LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_of(STR("error")), LOG_LEVEL_ERROR);
    assert_int_equal(log_level_of(STR("Error")), -1);
}

static int setup(void **state)
{
    return json_parser_new(&parser);
}

static int teardown(void **state)
{
    json_parser_free(&parser);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_format_kinds_of_values),
        cmocka_unit_test(test_log_format_hostile_text_is_escaped),
        cmocka_unit_test(test_log_format_long_field_is_left_out_and_told),
        cmocka_unit_test(test_log_write_level_decides),
        cmocka_unit_test(test_log_level_of_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
