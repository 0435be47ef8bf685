#include "schemas/event_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

struct fixture {
    struct json_parser *parser;
    struct arena arena;
    struct event_problem problem;
};

static int open_fixture(void **state)
{
    static struct fixture fixture;
    *state = &fixture;
    return json_parser_new(&fixture.parser);
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    json_parser_free(&fixture->parser);
    arena_free(&fixture->arena);
    return 0;
}

/* Reads text that must be JSON. */
static int read_text(void **state, struct str text, bool trusted, struct touchpoint *out)
{
    struct fixture *fixture = *state;
    struct json root;
    arena_reset(&fixture->arena);
    fixture->problem = (struct event_problem){0};
    assert_int_equal(json_parse(fixture->parser, text, &root), 0);
    return event_json_read(root, trusted, &fixture->arena, out, &fixture->problem);
}

static void read_good(void **state, const char *text, bool trusted, struct touchpoint *out)
{
    struct fixture *fixture = *state;
    int r = read_text(state, str_of(text), trusted, out);
    if (r < 0)
        fail_msg("%s: %s at %.*s", text, error_name(r), (int)fixture->problem.pointer.size,
            fixture->problem.pointer.data);
}

/* Reading, writing gives `want`, which reads to the same Avro bytes. */
static void assert_written(void **state, const char *text, const char *want)
{
    struct touchpoint event;
    CLEANUP(buf_free) struct buf json = {0};
    CLEANUP(buf_free) struct buf avro = {0};
    CLEANUP(buf_free) struct buf avro_again = {0};
    read_good(state, text, true, &event);
    assert_int_equal(event_json_write(&event, &json), 0);
    assert_int_equal(touchpoint_encode(&event, &avro), 0);
    if (!str_equal(buf_str(&json), str_of(want)))
        fail_msg("%.*s, want %s", (int)json.size, json.data, want);
    read_good(state, want, true, &event);
    assert_int_equal(touchpoint_encode(&event, &avro_again), 0);
    assert_true(str_equal(buf_str(&avro), buf_str(&avro_again)));
}

static void test_event_json_read_example_of_the_document(void **state)
{
    struct touchpoint event;
    read_good(state,
        "{\"id\":\"0192f3c1-a\",\"type\":\"call_ended\",\"time\":\"2026-11-20T10:15:00.123+09:00\","
        "\"ids\":{\"phone\":\"03-1234-5678\",\"case\":\"CA123\",\"login\":[\"u-77\"]},"
        "\"call\":{\"direction\":\"inbound\",\"queue\":\"returns\",\"talk_ms\":183000,"
        "\"outcome\":\"resolved\"},\"consent\":{\"analytics\":true,\"ads\":false},"
        "\"properties\":{\"satisfaction\":5}}",
        false, &event);
    assert_true(str_equal(event.event_id, STR("0192f3c1-a")));
    assert_true(str_equal(event.type, STR("call_ended")));
    assert_int_equal(event.occurred_at, 1795137300123000);
    assert_int_equal(event.time_quality, TIME_QUALITY_CLIENT);
    assert_int_equal(event.identifiers_count, 3);
    assert_true(str_equal(event.identifiers[0].namespace, STR("case")));
    assert_true(str_equal(event.identifiers[1].value, STR("u-77")));
    assert_true(str_equal(event.identifiers[2].value, STR("03-1234-5678")));
    assert_true(event.has_call);
    assert_int_equal(event.call.direction, CALL_DIRECTION_INBOUND);
    assert_int_equal(event.call.talk_ms, 183000);
    assert_int_equal(event.consent.analytics, CHOICE_GRANTED);
    assert_int_equal(event.consent.ads, CHOICE_DENIED);
    assert_int_equal(event.consent.personalisation, CHOICE_UNKNOWN);
    assert_true(str_equal(event.properties, STR("{\"satisfaction\":5}")));
    assert_false(event.has_order);
    assert_int_equal(event.protocol, PROTOCOL_UNKNOWN);
}

static void test_event_json_read_absent_time_is_left_to_the_door(void **state)
{
    struct touchpoint event;
    read_good(
        state, "{\"type\":\"touch\",\"time\":null,\"order\":null,\"id\":null}", false, &event);
    assert_int_equal(event.occurred_at, 0);
    assert_int_equal(event.time_quality, TIME_QUALITY_UNKNOWN);
    assert_int_equal(event.event_id.size, 0);
    assert_int_equal(event.identifiers_count, 0);
    assert_false(event.has_order);
    read_good(state, "{\"type\":\"touch\",\"time\":-1}", false, &event);
    assert_int_equal(event.occurred_at, -1000);
    assert_int_equal(event.time_quality, TIME_QUALITY_CLIENT);
}

static void test_event_json_read_money_is_exact(void **state)
{
    struct touchpoint event;
    read_good(state,
        "{\"type\":\"order_completed\",\"order\":{\"revenue\":\"129.80\",\"items\":[{\"price\":\"0."
        "1\"},"
        "{\"price\":7,\"quantity\":-2}],\"tax\":-3,\"currency\":\"USD\"}}",
        false, &event);
    assert_int_equal(event.order.revenue_minor, 12980);
    assert_int_equal(event.order.tax_minor, -300);
    assert_int_equal(event.order.items_count, 2);
    assert_int_equal(event.order.items[0].price_minor, 10);
    assert_int_equal(event.order.items[0].quantity, 1);
    assert_int_equal(event.order.items[1].price_minor, 700);
    assert_int_equal(event.order.items[1].quantity, -2);
    read_good(state,
        "{\"type\":\"order_completed\",\"order\":{\"revenue\":\"12980\",\"currency\":\"JPY\"}}",
        false, &event);
    assert_int_equal(event.order.revenue_minor, 12980);
    read_good(state, "{\"type\":\"order_shipped\",\"order\":{\"order_id\":\"A\"}}", false, &event);
    assert_int_equal(event.order.revenue_minor, 0);
}

static void test_event_json_read_page_url_is_split(void **state)
{
    struct touchpoint event;
    read_good(state,
        "{\"type\":\"page_viewed\",\"page\":{\"path\":\"/kept\",\"url\":\"https://Shop.example/"
        "x?q=1#f\","
        "\"referrer\":\"https://www.google.co.jp/search?q=a\",\"title\":\"t\"}}",
        false, &event);
    assert_true(str_equal(event.page.host, STR("shop.example")));
    assert_true(str_equal(event.page.path, STR("/kept")));
    assert_true(str_equal(event.page.query, STR("q=1")));
    assert_true(str_equal(event.page.referrer_host, STR("www.google.co.jp")));
    assert_true(str_equal(event.page.referrer_path, STR("/search")));
    read_good(state,
        "{\"type\":\"page_viewed\",\"page\":{\"url\":\"https://a.example/"
        "x\",\"host\":\"b.example\"}}",
        false, &event);
    assert_true(str_equal(event.page.host, STR("b.example")));
    assert_true(str_equal(event.page.path, STR("/x")));
}

static void test_event_json_write_everything_is_canonical(void **state)
{
    assert_written(state,
        "{\"type\":\"touch\",\"source\":\"s\",\"event_key\":\"000102030405060708090A0B0C0D0E0F\","
        "\"protocol\":\"import\",\"adapter_version\":2,\"time_quality\":\"suspect\","
        "\"received_at\":\"2026-11-20T01:15:01Z\",\"time\":1795137300000,\"sequence\":-3,\"bot\":"
        "true,"
        "\"channel\":\"Paid Search\",\"traceparent\":\"00\",\"id\":\"e\","
        "\"ids\":{\"login\":[\"b\",\"a\",{\"value\":\"c\",\"authority\":4}],\"cookie\":\"z\"},"
        "\"evidence\":{\"b\":{\"cookie\":\"z\"},\"a\":{\"login\":\"a\"},\"sign\":-1,\"authority\":"
        "3,"
        "\"reason\":\"r\"},\"click\":{\"value\":\"\",\"kind\":\"gclid\"},\"campaign\":{},"
        "\"device\":{\"kind\":\"tablet\"},\"geo\":{\"country\":\"JP\"},\"store\":{\"store_id\":"
        "\"S\"},"
        "\"message\":{\"kind\":\"line\"},\"client\":{\"user_agent\":\"UA\"},"
        "\"order\":{\"items\":[{},{\"sku\":\"s\",\"price\":\"1.5\"}],\"currency\":\"USD\","
        "\"revenue\":3,\"facet\":\"placed\",\"coupon\":\"\"},"
        "\"consent\":{\"ads\":\"granted\",\"analytics\":\"unknown\",\"personalisation\":\"denied\"}"
        ","
        "\"properties\":{\"b\":[1,2.0],\"a\":{\"y\":1,\"x\":\"\\u65c5\"}}}",
        "{\"adapter_version\":2,\"bot\":true,\"campaign\":{},\"channel\":\"Paid Search\","
        "\"click\":{\"kind\":\"gclid\",\"value\":\"\"},\"client\":{\"user_agent\":\"UA\"},"
        "\"consent\":{\"ads\":true,\"personalisation\":false},\"device\":{\"kind\":\"tablet\"},"
        "\"event_key\":\"000102030405060708090a0b0c0d0e0f\","
        "\"evidence\":{\"a\":{\"login\":\"a\"},\"authority\":3,\"b\":{\"cookie\":\"z\"},\"reason\":"
        "\"r\","
        "\"sign\":-1},\"geo\":{\"country\":\"JP\"},\"id\":\"e\","
        "\"ids\":{\"cookie\":\"z\",\"login\":[\"b\",\"a\",{\"authority\":4,\"value\":\"c\"}]},"
        "\"message\":{\"kind\":\"line\"},"
        "\"order\":{\"currency\":\"USD\",\"facet\":\"placed\",\"items\":[{},{\"price\":\"1.50\","
        "\"sku\":\"s\"}],\"revenue\":\"3.00\"},\"properties\":{\"a\":{\"x\":\"旅\",\"y\":1},\"b\":["
        "1,2.0]},"
        "\"protocol\":\"import\",\"received_at\":\"2026-11-20T01:15:01Z\",\"sequence\":-3,"
        "\"source\":\"s\",\"store\":{\"store_id\":\"S\"},\"time\":\"2026-11-20T01:15:00Z\","
        "\"time_quality\":\"suspect\",\"traceparent\":\"00\",\"type\":\"touch\"}");
}

static void test_event_json_write_time_and_quality_are_invertible(void **state)
{
    assert_written(state, "{\"type\":\"t\"}", "{\"type\":\"t\"}");
    assert_written(
        state, "{\"type\":\"t\",\"time\":0}", "{\"time\":\"1970-01-01T00:00:00Z\",\"type\":\"t\"}");
    assert_written(state, "{\"type\":\"t\",\"time_quality\":\"server\"}",
        "{\"time\":\"1970-01-01T00:00:00Z\",\"time_quality\":\"server\",\"type\":\"t\"}");
    assert_written(state, "{\"type\":\"t\",\"time\":5,\"time_quality\":\"unknown\"}",
        "{\"time\":\"1970-01-01T00:00:00.005Z\",\"time_quality\":\"unknown\",\"type\":\"t\"}");
    assert_written(state, "{\"type\":\"t\",\"time\":9223372036854775}",
        "{\"time\":\"+294247-01-10T04:00:54.775Z\",\"type\":\"t\"}");
    assert_written(state, "{\"type\":\"t\",\"properties\":{}}", "{\"type\":\"t\"}");
    assert_written(
        state, "{\"type\":\"t\",\"ids\":{\"login\":[]},\"consent\":{}}", "{\"type\":\"t\"}");
}

static void test_event_json_properties_numbers_survive(void **state)
{
    assert_written(state,
        "{\"type\":\"t\",\"properties\":{\"n\":[9007199254740993,-9223372036854775808,"
        "9223372036854775807,0.1,1e-7,5e-324]}}",
        "{\"properties\":{\"n\":[9007199254740993,-9223372036854775808,9223372036854775807,0.1,1e-"
        "07,"
        "5e-324]},\"type\":\"t\"}");
}

static void test_event_json_hostile_text_is_kept_byte_for_byte(void **state)
{
    assert_written(state,
        "{\"type\":\"t\",\"ids\":{\"login\":\"';DROP TABLE "
        "x;--\"},\"page\":{\"title\":\"<script>\\r\\n"
        "\\u001b[31m\"},\"properties\":{\"=cmd()\":\"\\\"\\\\\"}}",
        "{\"ids\":{\"login\":\"';DROP TABLE "
        "x;--\"},\"page\":{\"title\":\"<script>\\r\\n\\u001b[31m\"},"
        "\"properties\":{\"=cmd()\":\"\\\"\\\\\"},\"type\":\"t\"}");
}

struct bad {
    const char *text; /* members beside the type */
    int error;
    const char *pointer;
    const char *hint; /* a part of it */
};

static void assert_bad(void **state, struct str text, bool trusted, const struct bad *bad)
{
    struct fixture *fixture = *state;
    struct touchpoint event;
    int r = read_text(state, text, trusted, &event);
    if (r != bad->error)
        fail_msg("%s: %s, want %s", bad->text, error_name(r), error_name(bad->error));
    assert_int_equal(fixture->problem.error, bad->error);
    if (!str_equal(fixture->problem.pointer, str_of(bad->pointer)))
        fail_msg("%s: at %.*s", bad->text, (int)fixture->problem.pointer.size,
            fixture->problem.pointer.data);
    if (bad->hint && !memmem(fixture->problem.hint.data, fixture->problem.hint.size, bad->hint,
                         strlen(bad->hint)))
        fail_msg("%s: hint %.*s", bad->text, (int)fixture->problem.hint.size,
            fixture->problem.hint.data);
}

static void test_event_json_read_bad_member_has_its_error(void **state)
{
    static const struct bad bads[] = {
        {"\"oder\":{}", ERR_UNKNOWN_FIELD, "/oder", "\"order\""},
        {"\"zzzzzz\":1", ERR_UNKNOWN_FIELD, "/zzzzzz", "properties"},
        {"\"a/b~c\":1", ERR_UNKNOWN_FIELD, "/a~1b~0c", NULL},
        {"\"\":1", ERR_UNKNOWN_FIELD, "/", NULL},
        {"\"order\":{\"orderId\":\"x\"}", ERR_UNKNOWN_FIELD, "/order/orderId", "\"order_id\""},
        {"\"order\":{\"currency\":\"JPY\",\"items\":[{},{\"skuu\":1}]}", ERR_UNKNOWN_FIELD,
            "/order/items/1/skuu", "\"sku\""},
        {"\"channel\":\"x\"", ERR_UNKNOWN_FIELD, "/channel", "trusted_channel = yes"},
        {"\"chanel\":\"x\"", ERR_UNKNOWN_FIELD, "/chanel", "trusted_channel = yes"},
        {"\"id\":5", ERR_EVENT_ID, "/id", "string"},
        {"\"id\":[\"a\"]", ERR_EVENT_ID, "/id", "string"},
        {"\"event_key\":\"00\"", ERR_UNKNOWN_FIELD, "/event_key", "\"properties\""},
        {"\"event_key\":\"00\"", ERR_UNKNOWN_FIELD, "/event_key", NULL},
        {"\"received_at\":1", ERR_UNKNOWN_FIELD, "/received_at", NULL},
        {"\"id\":\"\"", ERR_EVENT_ID, "/id", NULL},
        {"\"time\":\"yesterday\"", ERR_TIME, "/time", "RFC 3339"},
        {"\"time\":\"2026-11-20T10:15:00\"", ERR_TIME, "/time", NULL},
        {"\"time\":1.5", ERR_TIME, "/time", NULL},
        {"\"time\":9223372036854775807", ERR_TIME, "/time", NULL},
        {"\"ids\":\"u\"", ERR_FIELD_TYPE, "/ids", NULL},
        {"\"ids\":{\"login\":7}", ERR_FIELD_TYPE, "/ids/login", NULL},
        {"\"ids\":{\"login\":[\"a\",null]}", ERR_FIELD_TYPE, "/ids/login/1", NULL},
        {"\"ids\":{\"login\":{\"value\":\"a\",\"authority\":1}}", ERR_FIELD_TYPE, "/ids/login",
            NULL},
        {"\"ids\":{\"login\":\"a\\u0000b\"}", ERR_NUL_IN_TEXT, "/ids/login", NULL},
        {"\"consent\":true", ERR_FIELD_TYPE, "/consent", NULL},
        {"\"consent\":{\"analytics\":1}", ERR_VALUE, "/consent/analytics", "true, false"},
        {"\"consent\":{\"analytic\":true}", ERR_UNKNOWN_FIELD, "/consent/analytic",
            "\"analytics\""},
        {"\"properties\":[]", ERR_FIELD_TYPE, "/properties", NULL},
        {"\"properties\":{\"a\":[\"\\u0000\"]}", ERR_NUL_IN_TEXT, "/properties", NULL},
        {"\"page\":{\"title\":\"\\u0000\"}", ERR_NUL_IN_TEXT, "/page/title", NULL},
        {"\"page\":[]", ERR_FIELD_TYPE, "/page", NULL},
        {"\"sequence\":\"1\"", ERR_FIELD_TYPE, "/sequence", "integer"},
        {"\"sequence\":1.0", ERR_FIELD_TYPE, "/sequence", NULL},
        {"\"bot\":1", ERR_FIELD_TYPE, "/bot", NULL},
        {"\"device\":{\"kind\":\"mobil\"}", ERR_VALUE, "/device/kind", "\"mobile\""},
        {"\"click\":{\"kind\":\"gclid\"}", ERR_MISSING_FIELD, "/click/value", NULL},
        {"\"click\":{\"kind\":null,\"value\":\"x\"}", ERR_MISSING_FIELD, "/click/kind", NULL},
        {"\"evidence\":{\"a\":{\"login\":\"x\"}}", ERR_MISSING_FIELD, "/evidence/b", NULL},
        {"\"evidence\":{\"a\":\"x\",\"b\":{\"login\":\"x\"}}", ERR_FIELD_TYPE, "/evidence/a", NULL},
        {"\"evidence\":{\"a\":{},\"b\":{\"login\":\"x\"}}", ERR_FIELD_TYPE, "/evidence/a", NULL},
        {"\"evidence\":{\"authority\":1}", ERR_UNKNOWN_FIELD, "/evidence/authority", NULL},
        {"\"order\":{\"revenue\":1}", ERR_MISSING_FIELD, "/order/currency", NULL},
        {"\"order\":{\"items\":[{\"price\":1}]}", ERR_MISSING_FIELD, "/order/currency", NULL},
        {"\"order\":{\"currency\":\"usd\"}", ERR_CURRENCY, "/order/currency", "ISO 4217"},
        {"\"order\":{\"currency\":5}", ERR_FIELD_TYPE, "/order/currency", NULL},
        {"\"order\":{\"currency\":\"JPY\",\"revenue\":129.8}", ERR_MONEY, "/order/revenue",
            "decimal string"},
        {"\"order\":{\"currency\":\"JPY\",\"revenue\":\"1,000\"}", ERR_MONEY, "/order/revenue",
            NULL},
        {"\"order\":{\"currency\":\"JPY\",\"revenue\":\"0.5\"}", ERR_MONEY_PRECISION,
            "/order/revenue", NULL},
        {"\"order\":{\"currency\":\"USD\",\"tax\":9223372036854775807}", ERR_NUMBER_RANGE,
            "/order/tax", NULL},
        {"\"order\":{\"items\":{}}", ERR_FIELD_TYPE, "/order/items", NULL},
        {"\"order\":{\"items\":[1]}", ERR_FIELD_TYPE, "/order/items/0", NULL},
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        char text[256];
        int size = snprintf(text, sizeof(text), "{\"type\":\"touch\",%s}", bads[i].text);
        assert_bad(state, str_make(text, (size_t)size), false, &bads[i]);
    }
}

static void test_event_json_read_bad_trusted_member_has_its_error(void **state)
{
    static const struct bad bads[] = {
        {"\"event_key\":\"0001\"", ERR_VALUE, "/event_key", NULL},
        {"\"adapter_version\":2147483648", ERR_NUMBER_RANGE, "/adapter_version", NULL},
        {"\"protocol\":\"segmnt\"", ERR_VALUE, "/protocol", "\"segment\""},
        {"\"chanel\":\"x\"", ERR_UNKNOWN_FIELD, "/chanel", "\"channel\""},
        {"\"ids\":{\"login\":{\"value\":\"x\"}}", ERR_FIELD_TYPE, "/ids/login", NULL},
        {"\"ids\":{\"login\":{\"value\":\"x\",\"authority\":\"y\"}}", ERR_FIELD_TYPE,
            "/ids/login/authority", NULL},
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        char text[256];
        int size = snprintf(text, sizeof(text), "{\"type\":\"touch\",%s}", bads[i].text);
        assert_bad(state, str_make(text, (size_t)size), true, &bads[i]);
    }
}

static void test_event_json_read_bad_event_has_its_error(void **state)
{
    static const struct bad bads[] = {
        {"[]", ERR_FIELD_TYPE, "", NULL},
        {"1", ERR_FIELD_TYPE, "", NULL},
        {"{}", ERR_MISSING_FIELD, "/type", NULL},
        {"{\"type\":null}", ERR_MISSING_FIELD, "/type", NULL},
        {"{\"type\":5}", ERR_FIELD_TYPE, "/type", NULL},
        {"{\"type\":\"\"}", ERR_EVENT_TYPE, "/type", "lower case"},
        {"{\"type\":\"Order Completed\"}", ERR_EVENT_TYPE, "/type", "\"order_completed\""},
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
        assert_bad(state, str_of(bads[i].text), false, &bads[i]);
}

/* What json_parse_unchecked() leaves to the reader. */
static void test_event_json_read_finds_double_keys_itself(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[][2] = {
        {"{\"type\":\"t\",\"type\":\"t\"}", "/type"},
        {"{\"type\":\"t\",\"bot\":null,\"bot\":true}", "/bot"},
        {"{\"type\":\"t\",\"page\":{\"host\":\"a\",\"host\":\"b\"}}", "/page/host"},
        {"{\"type\":\"t\",\"order\":{\"currency\":\"JPY\",\"currency\":\"USD\"}}",
            "/order/currency"},
        {"{\"type\":\"t\",\"order\":{\"items\":[{\"sku\":\"a\",\"sku\":\"a\"}]}}",
            "/order/items/0/sku"},
        {"{\"type\":\"t\",\"ids\":{\"login\":\"a\",\"cookie\":\"b\",\"login\":\"c\"}}",
            "/ids/login"},
        {"{\"type\":\"t\",\"properties\":{\"b\":[{\"a\":1,\"c\":2,\"a\":3}]}}", "/properties"},
        {"{\"type\":\"t\",\"consent\":{\"ads\":true,\"ads\":false}}", "/consent/ads"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json root;
        struct touchpoint event;
        arena_reset(&fixture->arena);
        struct str text = str_of(texts[i][0]);
        assert_int_equal(json_parse(fixture->parser, text, &root), ERR_JSON);
        assert_int_equal(json_parse_unchecked(fixture->parser, text, &root), 0);
        int r = event_json_read(root, false, &fixture->arena, &event, &fixture->problem);
        assert_int_equal(r, ERR_JSON);
        if (!str_equal(fixture->problem.pointer, str_of(texts[i][1])))
            fail_msg("%s: at %.*s", texts[i][0], (int)fixture->problem.pointer.size,
                fixture->problem.pointer.data);
    }
}

static void test_event_json_read_limits(void **state)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct touchpoint event;
    assert_int_equal(buf_appendf(&text, "{\"type\":\"t\",\"id\":\"%0100d\"}", 1), 0);
    assert_int_equal(read_text(state, buf_str(&text), false, &event), 0);
    buf_clear(&text);
    assert_int_equal(buf_appendf(&text, "{\"type\":\"t\",\"id\":\"%0101d\"}", 1), 0);
    assert_int_equal(read_text(state, buf_str(&text), false, &event), ERR_EVENT_ID);
    for (size_t count = EVENT_IDENTIFIERS_MAX; count <= EVENT_IDENTIFIERS_MAX + 1; count++) {
        buf_clear(&text);
        assert_int_equal(buf_appendf(&text, "{\"type\":\"t\",\"ids\":{\"a\":\"x\",\"b\":["), 0);
        for (size_t i = 1; i < count; i++)
            assert_int_equal(buf_appendf(&text, "%s\"%zu\"", i > 1 ? "," : "", i), 0);
        assert_int_equal(buf_appendf(&text, "]}}"), 0);
        assert_int_equal(read_text(state, buf_str(&text), false, &event),
            count > EVENT_IDENTIFIERS_MAX ? ERR_TOO_MANY : 0);
    }
    for (int items = EVENT_ITEMS_MAX; items <= EVENT_ITEMS_MAX + 1; items++) {
        buf_clear(&text);
        assert_int_equal(buf_appendf(&text, "{\"type\":\"t\",\"order\":{\"items\":["), 0);
        for (int i = 0; i < items; i++)
            assert_int_equal(buf_appendf(&text, "%s{}", i ? "," : ""), 0);
        assert_int_equal(buf_appendf(&text, "]}}"), 0);
        assert_int_equal(read_text(state, buf_str(&text), false, &event),
            items > EVENT_ITEMS_MAX ? ERR_TOO_MANY : 0);
    }
    for (int digits = (int)EVENT_SIZE_MAX - 8; digits <= (int)EVENT_SIZE_MAX - 7; digits++) {
        buf_clear(&text);
        assert_int_equal(
            buf_appendf(&text, "{\"type\":\"t\",\"properties\":{\"a\":\"%0*d\"}}", digits, 1), 0);
        assert_int_equal(read_text(state, buf_str(&text), false, &event),
            digits > (int)EVENT_SIZE_MAX - 8 ? ERR_TOO_LARGE : 0);
    }
}

static void test_event_json_read_without_memory_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct json root;
    struct touchpoint event;
    struct event_problem problem = {0};
    CLEANUP(arena_free) struct arena arena = {.size_max = 1};
    static const char *const texts[] = {"{\"type\":\"t\",\"ids\":{\"a\":\"b\"}}",
        "{\"type\":\"t\",\"properties\":{\"a\":1}}", "{\"type\":\"t\",\"order\":{\"items\":[{}]}}",
        "{\"type\":\"t\",\"page\":{\"url\":\"https://A/\"}}", "{\"typo\":\"t\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(json_parse(fixture->parser, str_of(texts[i]), &root), 0);
        assert_int_equal(event_json_read(root, false, &arena, &event, &problem), ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_json_read_example_of_the_document),
        cmocka_unit_test(test_event_json_read_absent_time_is_left_to_the_door),
        cmocka_unit_test(test_event_json_read_money_is_exact),
        cmocka_unit_test(test_event_json_read_page_url_is_split),
        cmocka_unit_test(test_event_json_write_everything_is_canonical),
        cmocka_unit_test(test_event_json_write_time_and_quality_are_invertible),
        cmocka_unit_test(test_event_json_properties_numbers_survive),
        cmocka_unit_test(test_event_json_hostile_text_is_kept_byte_for_byte),
        cmocka_unit_test(test_event_json_read_bad_member_has_its_error),
        cmocka_unit_test(test_event_json_read_bad_trusted_member_has_its_error),
        cmocka_unit_test(test_event_json_read_bad_event_has_its_error),
        cmocka_unit_test(test_event_json_read_finds_double_keys_itself),
        cmocka_unit_test(test_event_json_read_limits),
        cmocka_unit_test(test_event_json_read_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
