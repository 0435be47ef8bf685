/* What Segment's and Rudder's clients read: images that carry a message, settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/collector/protocol/segment.h"
#include "ingest/collector/protocol/segment_pixel.h"
#include "ingest/collector/protocol/segment_settings.h"
#include "ingest/collector/route.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define UUID "00112233-4455-4677-8899-aabbccddeeff" /* of the fixture's randomness */
#define PARAMETERS_MAX 16

/* Asks an image: parameters as name, value, ..., NULL. */
static void ask(struct exchange_fixture *fixture, const char *call, const char *const *parameters)
{
    static struct exchange_pair query[PARAMETERS_MAX];
    size_t count = 0;
    for (; parameters[2 * count]; count++)
        query[count] = (struct exchange_pair){
            str_of(parameters[2 * count]), str_of(parameters[2 * count + 1])};
    fixture->exchange.query = query;
    fixture->exchange.query_count = count;
    fixture->exchange.rest = str_of(call);
    fixture->exchange.get = true;
    exchange_run(fixture, segment_pixel_handle, "", STR(""));
}

#define ASK(fixture, call, ...) ask(fixture, call, (const char *const[]){__VA_ARGS__, NULL})

static void assert_image(struct exchange_fixture *fixture)
{
    if (fixture->exchange.status != 200)
        fail_msg("%s", exchange_reply_text(fixture));
    assert_string_equal(fixture->exchange.media_type, "image/gif");
    assert_int_equal(fixture->exchange.reply.size, 43);
}

static void assert_pixel_text(
    struct exchange_fixture *fixture, const char *const *parameters, const char *wanted)
{
    struct str text;
    ask(fixture, "page", parameters);
    assert_int_equal(segment_pixel_text(&fixture->exchange, STR("id"), &text), 0);
    if (!str_equal(text, str_of(wanted)))
        fail_msg("%.*s", (int)text.size, text.data);
}

static void test_segment_pixel_names_lead_into_objects(void **state)
{
    struct exchange_fixture *fixture = *state;
#define TEXT(wanted, ...)                                                                          \
    assert_pixel_text(fixture, (const char *const[]){__VA_ARGS__, NULL}, wanted)
    TEXT("{\"messageId\":\"id\",\"type\":\"page\"}", "writeKey", "secret");
    TEXT("{\"messageId\":\"m\",\"type\":\"track\"}", "type", "track", "messageId", "m");
    TEXT("{\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"},\"a-b\":\"4\",\"messageId\":\"id\","
         "\"type\":\"page\"}",
        "a-b", "4", "a.e", "3", "a.b.d", "2", "a.b.c", "1");
    TEXT("{\"messageId\":\"id\",\"type\":\"page\",\"x\":{\"y\":{\"z\":\"\\\"\"}}}", "x.y.z", "\"");
    TEXT("{\"\":{\"\":\"1\",\"a\":\"2\"},\"messageId\":\"id\",\"type\":\"page\"}", ".", "1", ".a",
        "2");
    TEXT("{\"a\":\"1\",\"a\":{\"b\":\"2\"},\"messageId\":\"id\",\"type\":\"page\"}", "a.b", "2",
        "a", "1");
}

static void test_segment_pixel_of_parameters(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.address = STR("192.0.2.7");
    fixture->exchange.user_agent = STR("UA");
    ASK(fixture, "track", "event", "Order Completed", "userId", "u1", "properties.order_id", "o1",
        "properties.revenue", "12980", "properties.currency", "JPY", "channel", "web", "timestamp",
        "2026-11-20T01:59:00Z");
    assert_image(fixture);
    assert_string_equal(exchange_events_text(fixture),
        "{\"client\":{\"address\":\"192.0.2.7\",\"user_agent\":\"UA\"},\"id\":\"" UUID
        "\",\"ids\":{\"login\":\"u1\",\"order\":\"o1\"},\"order\":{\"currency\":\"JPY\",\"facet\":"
        "\"placed\",\"order_id\":\"o1\",\"revenue\":\"12980\"},\"time\":\"2026-11-20T01:59:00Z\","
        "\"type\":\"order_completed\"}\n");
}

static void test_segment_pixel_of_data(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.header_key = STR("");
    /* {"writeKey":"key of ec-web","userId":"u1","event":"Email Opened"}, and with an id */
    ASK(fixture, "track", "data",
        "eyJ3cml0ZUtleSI6ImtleSBvZiBlYy13ZWIiLCJ1c2VySWQiOiJ1MSIsImV2ZW50IjoiRW1haWwgT3BlbmVkIn0=");
    assert_image(fixture);
    assert_string_equal(exchange_events_text(fixture),
        "{\"id\":\"" UUID "\",\"ids\":{\"login\":\"u1\"},\"message\":{\"kind\":\"email\"},"
        "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\",\"type\":\"message_opened\"}"
        "\n");
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    ASK(fixture, "page", "data", "eyJtZXNzYWdlSWQiOiJtMSIsImFub255bW91c0lkIjoiYTEifQ");
    assert_image(fixture);
    assert_non_null(strstr(exchange_events_text(fixture), "{\"id\":\"m1\""));
}

static void test_segment_pixel_refusals(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *call;
        const char *name;
        const char *value;
        int status;
        const char *code;
    } samples[] = {
        {"tracks", "userId", "u", 404, "not_found"},
        {"", "userId", "u", 404, "not_found"},
        {"track", "data", "%", 400, "bad_value"},
        {"track", "data", "eyJh", 400, "bad_json"},
        {"track", "data", "W10", 400, "bad_type"},
        {"track", "messageId",
            "01234567890123456789012345678901234567890123456789"
            "012345678901234567890123456789012345678901234567890",
            400, "bad_id"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        ASK(fixture, samples[i].call, samples[i].name, samples[i].value);
        const char *reply = exchange_reply_text(fixture);
        if (fixture->exchange.status != samples[i].status || !strstr(reply, samples[i].code))
            fail_msg("%zu: %d %s", i, fixture->exchange.status, reply);
        assert_null(fixture->exchange.media_type);
        assert_non_null(strstr(reply, "{\"success\":false,\"code\":"));
    }
    ASK(fixture, "track", "userId", "u1", "userId", "u2", "event", "x");
    assert_int_equal(fixture->exchange.status, 400);
    fixture->exchange.header_key = STR("");
    ASK(fixture, "track", "userId", "u1", "event", "x");
    assert_int_equal(fixture->exchange.status, 401);
}

static void test_segment_pixel_of_nobody_is_rejected_so_that_it_can_be_replayed(void **state)
{
    struct exchange_fixture *fixture = *state;
    ASK(fixture, "page", "name", "Home");
    assert_image(fixture);
    assert_string_equal(exchange_rejected_text(fixture),
        "no_identifier /ids {\"messageId\":\"" UUID "\",\"name\":\"Home\",\"type\":\"page\"}\n");
}

static struct str headers_of(const void *context, const char *name)
{
    const char *const *pairs = context;
    for (; *pairs; pairs += 2)
        if (strcmp(*pairs, name) == 0)
            return str_of(pairs[1]);
    return STR("");
}

static void ask_settings(
    struct exchange_fixture *fixture, const char *rest, const char *const *headers)
{
    fixture->exchange.rest = str_of(rest);
    fixture->exchange.header = headers_of;
    fixture->exchange.header_context = headers;
    fixture->exchange.header_key = STR("");
    exchange_run(fixture, segment_settings_handle, "", STR(""));
}

static void test_segment_settings_say_where_to_send(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *origin;
        const char *const headers[5];
        const char *wanted;
    } samples[] = {
        {"", {"Host", "t.example", NULL}, "\"apiHost\":\"t.example/v1\",\"protocol\":\"http\""},
        {"", {"Host", "t.example:81", "X-Forwarded-Proto", "https", NULL},
            "\"apiHost\":\"t.example:81/v1\",\"protocol\":\"https\""},
        {"https://shop.example", {"Host", "t.example", NULL}, "\"protocol\":\"https\""},
        {"https://shop.example", {"Host", "localhost:8080", NULL}, "\"protocol\":\"http\""},
        {"https://shop.example", {"Host", "t.example", "X-Forwarded-Proto", "http", NULL},
            "\"protocol\":\"http\""},
        {"", {"Host", "\"x", NULL}, "\"apiHost\":\"\\\"x/v1\""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        fixture->exchange.origin = str_of(samples[i].origin);
        ask_settings(fixture, FIXTURE_SEGMENT_KEY "/settings", samples[i].headers);
        assert_int_equal(fixture->exchange.status, 200);
        const char *text = exchange_reply_text(fixture);
        assert_non_null(
            strstr(text, "{\"integrations\":{\"Segment.io\":{\"apiKey\":\"" FIXTURE_SEGMENT_KEY));
        if (!strstr(text, samples[i].wanted))
            fail_msg("%zu: %s", i, text);
        struct json json;
        assert_int_equal(json_parse(fixture->parser, str_of(text), &json), 0);
    }
}

static void test_segment_settings_refusals(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *rest;
        int status;
    } samples[] = {{"no/settings", 401}, {FIXTURE_DISABLED_KEY "/settings", 403},
        {"/settings", 404}, {"settings", 404}, {FIXTURE_KEY, 404}, {FIXTURE_KEY "/settings/", 404},
        {"a/" FIXTURE_KEY "/settings", 404}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        ask_settings(fixture, samples[i].rest, (const char *const[]){NULL});
        if (fixture->exchange.status != samples[i].status)
            fail_msg("%s: %d", samples[i].rest, fixture->exchange.status);
    }
}

static void test_segment_source_config(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct json json, source;
    exchange_run(fixture, segment_source_config_handle, "", STR(""));
    assert_int_equal(fixture->exchange.status, 200);
    const char *text = exchange_reply_text(fixture);
    assert_int_equal(json_parse(fixture->parser, str_of(text), &json), 0);
    assert_true(json_get(json, STR("source"), &source));
    assert_non_null(strstr(text, "\"writeKey\":\"" FIXTURE_KEY "\""));
    assert_non_null(strstr(text, "\"destinations\":[]"));
    fixture->exchange.header_key = STR("");
    exchange_run(fixture, segment_source_config_handle, "", STR(""));
    assert_int_equal(fixture->exchange.status, 401);
}

static void test_route_find_prefers_the_whole_path(void **state)
{
    static const struct {
        const char *path;
        const char *rest; /* NULL: no route */
        unsigned methods;
    } samples[] = {
        {"/v1/batch", "", ROUTE_POST},
        {"/pixel/v1/track", "track", ROUTE_GET},
        {"/v1/pixel/page", "page", ROUTE_GET},
        {"/v1/projects/key/settings", "key/settings", ROUTE_GET},
        {"/healthz", "", ROUTE_GET},
        {"/pixel/v1/", NULL, 0},
        {"/pixel/v1", NULL, 0},
        {"/v1/batch/", NULL, 0},
        {"", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct str rest;
        const struct route *route = route_find(str_of(samples[i].path), &rest);
        if (!route != !samples[i].rest)
            fail_msg("%s", samples[i].path);
        if (!route)
            continue;
        assert_true(str_equal(rest, str_of(samples[i].rest)));
        assert_int_equal(route->methods, samples[i].methods);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_segment_pixel_names_lead_into_objects),
        CASE(test_segment_pixel_of_parameters),
        CASE(test_segment_pixel_of_data),
        CASE(test_segment_pixel_refusals),
        CASE(test_segment_pixel_of_nobody_is_rejected_so_that_it_can_be_replayed),
        CASE(test_segment_settings_say_where_to_send),
        CASE(test_segment_settings_refusals),
        CASE(test_segment_source_config),
        cmocka_unit_test(test_route_find_prefers_the_whole_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
