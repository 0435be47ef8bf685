/* Options of a producer that are refused before anything is started, and those that are taken. */
#include "ingest/producer/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define FLAGS_ALL                                                                                  \
    (TABIJI_NO_CHECK | TABIJI_KEEP_ID | TABIJI_KEEP_TIME | TABIJI_TRUSTED | TABIJI_NO_GZIP |       \
        TABIJI_FAILURES | TABIJI_AS_IT_IS)

static struct tabiji_options good_options(void)
{
    return (struct tabiji_options){
        .size = sizeof(struct tabiji_options), .url = "http://collect.example.jp", .key = "key"};
}

static int init(const struct tabiji_options *options, struct producer_settings *settings,
    struct tabiji_problem *problem)
{
    struct tabiji_allocator memory;
    assert_true(producer_memory_init(&memory, NULL));
    *problem = (struct tabiji_problem){.size = sizeof *problem};
    int r = producer_settings_init(settings, options, &memory, problem);
    if (r == TABIJI_OK)
        producer_settings_fini(settings, &memory);
    return r;
}

static void assert_taken(const struct tabiji_options *options)
{
    struct producer_settings settings;
    struct tabiji_problem problem;
    assert_int_equal(init(options, &settings, &problem), TABIJI_OK);
}

static void assert_refused(const struct tabiji_options *options, const char *option)
{
    struct producer_settings settings;
    struct tabiji_problem problem;
    assert_int_equal(init(options, &settings, &problem), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(problem.error, TABIJI_ERROR_ARGUMENT);
    assert_string_equal(problem.pointer, option);
    assert_true(problem.hint[0] != '\0');
}

static void test_init_flags_that_are_not_known_are_refused(void **state)
{
    struct tabiji_options options = good_options();
    (void)state;
    for (unsigned bit = 1; bit; bit <<= 1) {
        options.flags = bit;
        if (bit & FLAGS_ALL)
            assert_taken(&options);
        else
            assert_refused(&options, "flags");
        options.flags = FLAGS_ALL | bit;
        if (!(bit & FLAGS_ALL))
            assert_refused(&options, "flags");
    }
    options.flags = FLAGS_ALL;
    assert_taken(&options);
}

static void test_init_proxies_that_libcurl_has_are_taken(void **state)
{
    static const char *const proxies[] = {"", "proxy.example.jp", "proxy.example.jp:3128",
        "http://proxy.example.jp:3128", "HTTP://proxy.example.jp", "http://u:p@10.0.0.1:3128/",
        "socks.example.jp", "[::1]:3128", "http://[::1]:3128", "https://proxy", "socks4://10.0.0.1",
        "socks4a://proxy", "socks5://proxy:1080", "socks5h://proxy"};
    struct tabiji_options options = good_options();
    (void)state;
    for (size_t i = 0; i < COUNT(proxies); i++) {
        options.proxy = proxies[i];
        assert_taken(&options);
    }
}

static void test_init_proxies_that_are_none_are_refused(void **state)
{
    static const char *const proxies[] = {"sock5://proxy", "htp://proxy", "ftp://proxy:21",
        "ftp.proxy", "quic://proxy", "://proxy", "http://", "http:///x", "socks5://", "proxy:99999",
        "pro xy", "http://proxy\r\n", "socks5h ://proxy"};
    struct tabiji_options options = good_options();
    (void)state;
    for (size_t i = 0; i < COUNT(proxies); i++) {
        options.proxy = proxies[i];
        assert_refused(&options, "proxy");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_flags_that_are_not_known_are_refused),
        cmocka_unit_test(test_init_proxies_that_libcurl_has_are_taken),
        cmocka_unit_test(test_init_proxies_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
