#include "schemas/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static void assert_url(const char *text, const char *host, const char *path, const char *query)
{
    CLEANUP(arena_free) struct arena arena = {0};
    struct url url;
    size_t size = strlen(text);
    char *exact = malloc(size + 1); /* so that the sanitizer sees a read beyond */
    assert_non_null(exact);
    memcpy(exact, text, size);
    assert_int_equal(url_split(str_make(exact, size), &arena, &url), 0);
    if (!str_equal(url.host, str_of(host)) || !str_equal(url.path, str_of(path)) ||
        !str_equal(url.query, str_of(query)))
        fail_msg("%s: %.*s %.*s %.*s", text, (int)url.host.size, url.host.data, (int)url.path.size,
            url.path.data, (int)url.query.size, url.query.data);
    free(exact);
}

static void test_url_split_absolute(void **state)
{
    (void)state;
    assert_url("https://shop.example/a/b?c=1&d=2#e", "shop.example", "/a/b", "c=1&d=2");
    assert_url("HTTPS://Shop.Example:8443/A", "shop.example", "/A", "");
    assert_url("https://user:p@ss@shop.example/", "shop.example", "/", "");
    assert_url("https://shop.example", "shop.example", "/", "");
    assert_url("https://shop.example?x=/y", "shop.example", "/", "x=/y");
    assert_url("https://shop.example#a?b", "shop.example", "/", "");
    assert_url("//cdn.example/x", "cdn.example", "/x", "");
    assert_url("http://[::1]:80/x", "[::1]", "/x", "");
    assert_url("http://[::1", "[::1", "/", "");
    assert_url("android-app://com.google.android.gm/", "com.google.android.gm", "/", "");
    assert_url(" https://旅路.example/商品?q=靴 ", "旅路.example", "/商品", "q=靴");
    assert_url("https://", "", "/", "");
}

static void test_url_split_relative_and_opaque(void **state)
{
    (void)state;
    assert_url("", "", "", "");
    assert_url("  ", "", "", "");
    assert_url("/a?b", "", "/a", "b");
    assert_url("?b=1", "", "", "b=1");
    assert_url("#top", "", "", "");
    assert_url("a/b", "", "a/b", "");
    assert_url("about:blank", "", "about:blank", "");
    assert_url(":x", "", ":x", "");
    assert_url("1a://b", "", "1a://b", "");
}

static void test_url_split_without_memory_leaves_output(void **state)
{
    (void)state;
    CLEANUP(arena_free) struct arena arena = {.size_max = 1};
    struct url url = {.host = STR("kept")};
    assert_int_equal(url_split(STR("https://A/"), &arena, &url), ERR_NO_MEMORY);
    assert_true(str_equal(url.host, STR("kept")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_split_absolute),
        cmocka_unit_test(test_url_split_relative_and_opaque),
        cmocka_unit_test(test_url_split_without_memory_leaves_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
