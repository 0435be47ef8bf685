/* What can be told of a head without a connection; the rest is in tests/e2e/collector. */
#include "ingest/collector/http_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_key(const char *authorization, struct str key)
{
    char out[HTTP_KEY_SIZE_MAX];
    size_t size = http_write_key(str_of(authorization), out);
    assert_int_equal(size, key.size);
    if (size)
        assert_memory_equal(out, key.data, size);
}

static void test_http_write_key_of_each_scheme(void **state)
{
    assert_key("Basic YWJj", STR("abc"));
    assert_key("basic   YWJjOg==", STR("abc"));
    assert_key("Basic YWJjOnNlY3JldA==", STR("abc"));
    assert_key("Basic -_-_", STR("\xfb\xff\xbf"));
    assert_key("Basic +/+/", STR("\xfb\xff\xbf"));
    assert_key("Bearer abc.def", STR("abc.def"));
    assert_key("Basic", STR(""));
    assert_key("Basic ", STR(""));
    assert_key("Basic Og==", STR(""));
    assert_key("Basic YW!j", STR(""));
    assert_key("BasicYWJj", STR(""));
    assert_key("Digest YWJj", STR(""));
    assert_key("", STR(""));
}

static void test_http_write_key_at_and_over_the_limit(void **state)
{
    char text[16 + HTTP_KEY_SIZE_MAX + 2] = "Bearer ";
    char out[HTTP_KEY_SIZE_MAX];
    memset(text + 7, 'k', HTTP_KEY_SIZE_MAX + 1);
    assert_int_equal(http_write_key(str_make(text, 7 + HTTP_KEY_SIZE_MAX), out), HTTP_KEY_SIZE_MAX);
    assert_int_equal(http_write_key(str_make(text, 8 + HTTP_KEY_SIZE_MAX), out), 0);
    char basic[6 + 4 * HTTP_KEY_SIZE_MAX];
    memset(basic, 'A', sizeof basic);
    memcpy(basic, "Basic ", 6);
    assert_int_equal(http_write_key(str_make(basic, 6 + HTTP_KEY_SIZE_MAX / 3 * 4), out),
        HTTP_KEY_SIZE_MAX / 3 * 3);
    assert_int_equal(http_write_key(str_make(basic, sizeof basic), out), 0);
}

static void test_http_media_types(void **state)
{
    static const char *const allowed[] = {"", "application/json", "Application/JSON; charset=utf-8",
        "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "application/x-ndjson",
        "application/vnd.x+json", "application/octet-stream", "application/gzip ; a=b"};
    static const char *const refused[] = {
        "image/png", "multipart/form-data; boundary=x", "application/xml", "video/mp4", "x", ";"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        assert_true(http_media_type_allowed(str_of(allowed[i])));
    for (size_t i = 0; i + 1 < sizeof refused / sizeof *refused; i++)
        assert_false(http_media_type_allowed(str_of(refused[i])));
    assert_true(http_media_type_lines(STR("application/x-ndjson; charset=utf-8")));
    assert_true(http_media_type_lines(STR("application/jsonl")));
    assert_false(http_media_type_lines(STR("application/json")));
    assert_false(http_media_type_lines(STR("")));
}

static void test_http_check_uri_control_and_nul(void **state)
{
    assert_null(http_check_uri("/v1/events?writeKey=a%20b"));
    assert_null(http_check_uri("/"));
    assert_non_null(http_check_uri("/v1/events%00x"));
    assert_non_null(http_check_uri("/v1\t/events"));
    assert_non_null(http_check_uri("/v1\x7f"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_write_key_of_each_scheme),
        cmocka_unit_test(test_http_write_key_at_and_over_the_limit),
        cmocka_unit_test(test_http_media_types),
        cmocka_unit_test(test_http_check_uri_control_and_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
