/* What protocols are given of a request, and what they say to a reply besides its body. */
#include "ingest/collector/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/collector/base64.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

static struct str only_cookies(const void *context, const char *name)
{
    return strcmp(name, "Cookie") == 0 ? str_of(context) : STR("");
}

static void test_exchange_header_absent_is_empty(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_int_equal(exchange_header(&fixture->exchange, "Cookie").size, 0);
    assert_int_equal(exchange_cookie(&fixture->exchange, STR("sp")).size, 0);
    fixture->exchange.header = only_cookies;
    fixture->exchange.header_context = "sp=1";
    assert_int_equal(exchange_header(&fixture->exchange, "X-Hub-Signature-256").size, 0);
}

static void test_exchange_cookie_is_found_by_its_whole_name(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *header;
        const char *value;
    } samples[] = {
        {"sp=a-1", "a-1"},
        {"x=1; sp=a-1; y=2", "a-1"},
        {"xsp=1;sp=a-1", "a-1"},
        {"sp=first; sp=second", "first"},
        {"sp=\"a-1\"; x=2", "a-1"},
        {" sp = a=1 ;", "a=1"},
        {"spx=1; Sp=2; =sp", ""},
        {"sp", ""},
        {";;;", ""},
        {"sp=\"", "\""},
    };
    fixture->exchange.header = only_cookies;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        fixture->exchange.header_context = samples[i].header;
        struct str found = exchange_cookie(&fixture->exchange, STR("sp"));
        if (!str_equal(found, str_of(samples[i].value)))
            fail_msg("%s: %.*s", samples[i].header, (int)found.size, found.data);
    }
}

static void test_exchange_query_gives_the_first(void **state)
{
    struct exchange_fixture *fixture = *state;
    const struct exchange_pair query[] = {
        {STR("e"), STR("pv")}, {STR("p"), STR("")}, {STR("e"), STR("se")}};
    fixture->exchange.query = query;
    fixture->exchange.query_count = sizeof query / sizeof *query;
    assert_true(str_equal(exchange_query(&fixture->exchange, STR("e")), STR("pv")));
    assert_int_equal(exchange_query(&fixture->exchange, STR("p")).size, 0);
    assert_int_equal(exchange_query(&fixture->exchange, STR("tv")).size, 0);
}

static void test_exchange_uuid_is_of_version_4(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct str text;
    assert_int_equal(exchange_uuid(&fixture->exchange, &text), 0);
    assert_true(str_equal(text, STR("00112233-4455-4677-8899-aabbccddeeff")));
}

static void test_base64_of_either_alphabet(void **state)
{
    static const struct {
        struct str text;
        struct str bytes;
    } samples[] = {
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("Zg=="), STR_INIT("f")},
        {STR_INIT("Zg"), STR_INIT("f")},
        {STR_INIT("Zm8="), STR_INIT("fo")},
        {STR_INIT("Zm9v"), STR_INIT("foo")},
        {STR_INIT("+/+/"), STR_INIT("\xfb\xff\xbf")},
        {STR_INIT("-_ /"), STR_INIT("\xfb\xff\xbf")},
        {STR_INIT("AAAA"), STR_INIT("\0\0\0")},
    };
    static const char *const bad[] = {
        "Z", "Zm9vY", "Zg=", "Zg===", "Zm9v=", "Z=g=", "Zm\n9", "Zm9%"};
    char out[8];
    size_t size = 7;
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_int_equal(base64_decode(samples[i].text, out, sizeof out, &size), 0);
        assert_true(str_equal(str_make(out, size), samples[i].bytes));
        assert_true(size <= BASE64_SIZE_MAX(samples[i].text.size));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (base64_decode(str_of(bad[i]), out, sizeof out, &size) != ERR_VALUE)
            fail_msg("%s is taken", bad[i]);
    assert_int_equal(base64_decode(STR("Zm9v"), out, 2, &size), ERR_TOO_LARGE);
    assert_int_equal(base64_decode(STR("Zm9v"), out, 3, &size), 0);
}

static void test_exchange_headers_of_the_reply(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    char value[] = "sp=1; Secure";
    assert_int_equal(exchange_add_header(exchange, "Set-Cookie", str_of(value)), 0);
    value[3] = '2';
    assert_string_equal(exchange->headers[0].value.data, "sp=1; Secure");
    assert_int_equal(exchange_add_header(exchange, "Set-Cookie", STR("sp=1\r\nX: y")), ERR_VALUE);
    for (size_t i = 1; i < EXCHANGE_HEADERS_MAX; i++)
        assert_int_equal(exchange_add_header(exchange, "X", STR("")), 0);
    assert_int_equal(exchange_add_header(exchange, "X", STR("")), ERR_TOO_MANY);
    assert_int_equal(exchange_fail(exchange, ERR_AGAIN, STR(""), REPLY_NATIVE), EXCHANGE_ANSWERED);
    assert_int_equal(exchange->headers_count, 0);
}

static void test_exchange_pixel_is_a_gif(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    assert_int_equal(exchange_pixel(exchange), 0);
    assert_int_equal(exchange->status, 200);
    assert_string_equal(exchange->media_type, "image/gif");
    assert_int_equal(exchange->reply.size, 43);
    assert_memory_equal(exchange->reply.data, "GIF89a\1\0\1\0", 10);
    assert_int_equal(exchange->reply.data[42], ';');
    assert_int_equal(exchange_fail(exchange, ERR_AGAIN, STR(""), REPLY_NATIVE), EXCHANGE_ANSWERED);
    assert_null(exchange->media_type);
}

static void test_exchange_tracker_is_told_422_for_what_it_would_repeat(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    static const struct {
        int status;
        int told;
    } samples[] = {{400, 400}, {401, 401}, {403, 403}, {404, 422}, {405, 422}, {413, 422},
        {415, 422}, {429, 429}, {503, 503}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_int_equal(exchange_refuse(exchange, samples[i].status, "x", "x", REPLY_TRACKER),
            EXCHANGE_ANSWERED);
        assert_int_equal(exchange->status, samples[i].told);
        assert_int_equal(exchange_refuse(exchange, samples[i].status, "x", "x", REPLY_SEGMENT),
            EXCHANGE_ANSWERED);
        assert_int_equal(exchange->status, samples[i].status);
    }
    assert_int_equal(
        exchange_fail(exchange, ERR_TOO_LARGE, STR(""), REPLY_TRACKER), EXCHANGE_ANSWERED);
    assert_int_equal(exchange->status, 422);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_exchange_header_absent_is_empty),
        CASE(test_exchange_cookie_is_found_by_its_whole_name),
        CASE(test_exchange_query_gives_the_first),
        CASE(test_exchange_uuid_is_of_version_4),
        cmocka_unit_test(test_base64_of_either_alphabet),
        CASE(test_exchange_headers_of_the_reply),
        CASE(test_exchange_pixel_is_a_gif),
        CASE(test_exchange_tracker_is_told_422_for_what_it_would_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
