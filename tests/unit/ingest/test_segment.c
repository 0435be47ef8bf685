/* Segment's API: exact replies, the mapping of each call, bad input. */
#include "ingest/collector/protocol/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/collector/protocol/segment_names.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define SUCCESS "{\"success\":true}"
#define WHEN "\"timestamp\":\"2026-11-20T01:59:00Z\""

/* The call succeeds and stores these events. */
static void assert_stored(
    struct exchange_fixture *fixture, const char *call, const char *body, const char *events)
{
    exchange_run(fixture, segment_handle, call, str_of(body));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    assert_int_equal(fixture->exchange.status, 200);
    if (*exchange_rejected_text(fixture))
        fail_msg("rejected: %s", exchange_rejected_text(fixture));
    assert_string_equal(exchange_events_text(fixture), events);
}

/* The call succeeds and the message is found in rejected. */
static void assert_rejected(struct exchange_fixture *fixture, const char *call, const char *body,
    const char *code, const char *pointer)
{
    exchange_run(fixture, segment_handle, call, str_of(body));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    CLEANUP(buf_free) struct buf want = {0};
    assert_int_equal(buf_appendf(&want, "%s %s %s\n", code, pointer, body), 0);
    assert_int_equal(buf_append(&want, "", 1), 0);
    assert_string_equal(exchange_rejected_text(fixture), want.data);
}

static void assert_refused(struct exchange_fixture *fixture, const char *call, struct str body,
    int status, const char *code)
{
    CLEANUP(buf_free) struct buf begin = {0};
    exchange_run(fixture, segment_handle, call, body);
    assert_int_equal(
        buf_appendf(&begin, "{\"success\":false,\"code\":\"%s\",\"message\":\"", code), 0);
    const char *reply = exchange_reply_text(fixture);
    if (strncmp(reply, begin.data, begin.size) != 0)
        fail_msg("%s does not begin with %.*s", reply, (int)begin.size, begin.data);
    assert_int_equal(fixture->exchange.status, status);
}

static void test_segment_page_of_a_browser(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.browser = true;
    fixture->exchange.address = STR("192.0.2.7");
    assert_stored(fixture, "page",
        "{\"messageId\":\"m1\",\"anonymousId\":\"a1\",\"userId\":null,\"name\":\"Item\","
        "\"properties\":{"
        "\"url\":\"https://Shop.example/item/1?utm_source=line#top\",\"path\":\"/item/"
        "1\",\"referrer\":"
        "\"https://search.example/"
        "?q=x\",\"title\":\"コート\",\"search\":\"?utm_source=line\",\"shade\":\"blue\"},"
        "\"context\":{\"userAgent\":\"UA\",\"locale\":\"ja-JP\",\"timezone\":\"Asia/"
        "Tokyo\",\"library\":{\"name\":"
        "\"analytics.js\",\"version\":\"next-1.84.3\"},\"campaign\":{\"source\":\"line\","
        "\"medium\":\"social\"},"
        "\"screen\":{\"width\":390,\"height\":844}}," WHEN "}",
        "{\"campaign\":{\"medium\":\"social\",\"source\":\"line\"},\"client\":{\"address\":\"192.0."
        "2.7\",\"library\":"
        "\"analytics.js/"
        "next-1.84.3\",\"user_agent\":\"UA\"},\"device\":{\"locale\":\"ja-JP\",\"screen\":"
        "\"390x844\"},"
        "\"id\":\"m1\",\"ids\":{\"cookie\":\"a1\"},\"page\":{\"host\":\"shop.example\",\"path\":\"/"
        "item/1\",\"query\":"
        "\"utm_source=line\",\"referrer_host\":\"search.example\",\"referrer_path\":\"/"
        "\",\"title\":\"コート\"},"
        "\"properties\":{\"context\":{\"timezone\":\"Asia/"
        "Tokyo\"},\"name\":\"Item\",\"shade\":\"blue\"},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"page_viewed\"}\n");
}

static void test_segment_order_is_exact_money(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"anonymousId\":\"a1\",\"event\":\"Order "
        "Completed\",\"properties\":{"
        "\"order_id\":50314,\"total\":30.30,\"revenue\":25.00,\"tax\":\"2.10\",\"shipping\":3.2,"
        "\"discount\":0,"
        "\"coupon\":\"AKI\",\"currency\":\"usd\",\"products\":[{\"product_id\":\"p1\",\"price\":12."
        "5,\"quantity\":2},"
        "{\"sku\":\"s2\",\"price\":0.1,\"quantity\":1.0,\"category\":\"x\"}],\"affiliation\":"
        "\"Web\"}," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"cookie\":\"a1\",\"login\":\"u1\",\"order\":\"50314\"},\"order\":"
        "{\"coupon\":\"AKI\","
        "\"currency\":\"USD\",\"facet\":\"placed\",\"items\":[{\"price\":\"12.50\",\"quantity\":2,"
        "\"sku\":\"p1\"},"
        "{\"category\":\"x\",\"price\":\"0.10\",\"sku\":\"s2\"}],\"order_id\":\"50314\","
        "\"revenue\":\"25.00\","
        "\"shipping\":\"3.20\",\"tax\":\"2.10\"},\"properties\":{\"affiliation\":\"Web\",\"total\":"
        "30.3},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"order_completed\"}\n");
}

static void test_segment_order_without_currency_takes_the_sources(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"order "
        "refunded\",\"properties\":{\"order_id\":\"o\","
        "\"total\":1980,\"products\":[{\"product_id\":\"p\",\"name\":\"帽子\"}]}," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\",\"order\":\"o\"},\"order\":{\"currency\":\"JPY\","
        "\"items\":[{\"sku\":"
        "\"p\"}],\"order_id\":\"o\",\"revenue\":\"1980\"},\"properties\":{\"products\":[{\"name\":"
        "\"帽子\","
        "\"product_id\":\"p\"}]},\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"order_refunded\"}\n");
}

static void test_segment_money_noise_is_put_right_and_surplus_digits_refused(void **state)
{
    struct exchange_fixture *fixture = *state;
#define ORDER(revenue)                                                                             \
    "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"Order "                                   \
    "Completed\",\"properties\":{\"order_id\":\"o\","                                              \
    "\"currency\":\"USD\",\"revenue\":" revenue "}," WHEN "}"
    static const struct {
        const char *body;
        const char *stored;
    } noisy[] = {
        {ORDER("0.30000000000000004"), "\"revenue\":\"0.30\""},
        {ORDER("59.699999999999996"), "\"revenue\":\"59.70\""},
        {ORDER("1e3"), "\"revenue\":\"1000.00\""},
        {ORDER("-12.34"), "\"revenue\":\"-12.34\""},
        {ORDER("\"12.340\""), "\"revenue\":\"12.34\""},
    };
    for (size_t i = 0; i < sizeof noisy / sizeof *noisy; i++) {
        exchange_run(fixture, segment_handle, "track", str_of(noisy[i].body));
        if (!strstr(exchange_events_text(fixture), noisy[i].stored))
            fail_msg("%s: %s", noisy[i].body, exchange_events_text(fixture));
    }
    static const struct {
        const char *body;
        const char *code;
    } refused[] = {{ORDER("12.345"), "money_precision"}, {ORDER("0.001"), "money_precision"},
        {ORDER("\"a\""), "bad_money"}, {ORDER("[1]"), "bad_type"},
        {ORDER("1e300"), "money_precision"}, {ORDER("9223372036854775807"), "num_range"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_rejected(fixture, "track", refused[i].body, refused[i].code, "/properties/revenue");
    assert_rejected(fixture, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"Order "
        "Completed\",\"properties\":{\"order_id\":\"o\","
        "\"currency\":\"yen\",\"revenue\":1}}",
        "bad_currency", "/properties/currency");
}

static void test_segment_product_that_is_wrong_is_named(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *product;
        const char *code;
        const char *pointer;
    } products[] = {{"{\"price\":\"free\"}", "bad_money", "/properties/products/1/price"},
        {"{\"quantity\":1.5}", "money_precision", "/properties/products/1/quantity"},
        {"{\"sku\":[1]}", "bad_type", "/properties/products/1/sku"},
        {"{\"product_id\":{}}", "bad_type", "/properties/products/1/product_id"},
        {"\"x\"", "bad_type", "/properties/products/1"}};
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        char body[256];
        (void)snprintf(body, sizeof body,
            "{\"messageId\":\"m\",\"event\":\"Order Completed\",\"userId\":\"u\","
            "\"properties\":{\"order_id\":\"o\",\"products\":[{\"price\":1},%s]}}",
            products[i].product);
        assert_rejected(fixture, "track", body, products[i].code, products[i].pointer);
    }
}

static void test_segment_identify_keeps_no_raw_mail_or_phone(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "identify",
        "{\"messageId\":\"m1\",\"userId\":97980,\"anonymousId\":\"a1\",\"traits\":{\"email\":"
        "\"Taro@Example.jp\","
        "\"phone\":\"03-1234-5678\",\"loyalty_id\":\"L-1\",\"plan\":\"gold\"},\"context\":{"
        "\"traits\":{\"email\":"
        "\"taro@example.jp\"},\"library\":{\"name\":\"analytics-swift\"},\"device\":{\"id\":\"D-"
        "1\","
        "\"advertisingId\":\"00000000-0000-0000-0000-000000000000\",\"model\":\"iPhone\"}}," WHEN
        "}",
        "{\"client\":{\"library\":\"analytics-swift\"},\"device\":{\"kind\":\"app\"},\"id\":\"m1\","
        "\"ids\":{\"device\":"
        "\"D-1\",\"email\":\"k1:6aa67952346a3ae2083b3e65b129da4e\",\"install\":\"a1\",\"login\":"
        "\"97980\",\"loyalty\":"
        "\"L-1\",\"phone\":\"k1:c547e7aa38dcb3021ba944641c2932bc\"},\"properties\":{\"context\":{"
        "\"device\":{\"model\":"
        "\"iPhone\"}},\"plan\":\"gold\"},\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"identified\"}"
        "\n");
}

static void test_segment_alias_is_evidence(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "alias",
        "{\"messageId\":\"m1\",\"previousId\":\"a1\",\"anonymousId\":\"a1\",\"userId\":\"u1\"," WHEN
        "}",
        "{\"evidence\":{\"a\":{\"cookie\":\"a1\"},\"b\":{\"login\":\"u1\"},\"reason\":\"alias\"},"
        "\"id\":\"m1\",\"ids\":{"
        "\"cookie\":\"a1\",\"login\":\"u1\"},\"time\":\"2026-11-20T01:59:00Z\",\"type\":"
        "\"aliased\"}\n");
    exchange_run(fixture, segment_handle, "alias",
        STR("{\"messageId\":\"m1\",\"previousId\":\"u0\",\"userId\":\"u1\"}"));
    assert_non_null(
        strstr(exchange_events_text(fixture), "\"a\":{\"login\":\"u0\"},\"b\":{\"login\":\"u1\"}"));
    assert_rejected(fixture, "alias", "{\"messageId\":\"m1\",\"userId\":\"u1\"}", "missing_field",
        "/previousId");
    assert_rejected(fixture, "alias", "{\"messageId\":\"m1\",\"previousId\":\"u1\"}",
        "missing_field", "/userId");
}

/* Which analytics-next makes of an alias that it sends again. */
static void test_segment_alias_to_itself_says_nothing(void **state)
{
    assert_stored(*state, "alias",
        "{\"messageId\":\"m1\",\"previousId\":\"u1\",\"userId\":\"u1\"," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"time\":\"2026-11-20T01:59:00Z\","
        "\"type\":\"aliased\"}\n");
}

#define MERGE "{\"messageId\":\"m1\",\"userId\":\"u1\",\"mergeProperties\":"

static void test_segment_merge_is_evidence(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "merge",
        MERGE "[{\"type\":\"loyalty_id\",\"value\":\"L-1\"},{\"type\":\"anonymousId\","
              "\"value\":\"a1\"}]," WHEN "}",
        "{\"evidence\":{\"a\":{\"loyalty\":\"L-1\"},\"b\":{\"cookie\":\"a1\"},\"reason\":\"merge\"}"
        ","
        "\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"time\":\"2026-11-20T01:59:00Z\",\"type\":"
        "\"aliased\"}\n");
    exchange_run(fixture, segment_handle, "merge",
        STR(MERGE "[{\"type\":\"email\",\"value\":\" Hana@Example.jp\"},"
                  "{\"type\":\"mobile\",\"value\":\"090-1234-5678\"}]}"));
    const char *text = exchange_events_text(fixture);
    assert_non_null(strstr(text, "\"a\":{\"email\":\"k1:"));
    assert_non_null(strstr(text, "\"b\":{\"phone\":\"k1:"));
    assert_null(strstr(text, "Hana"));
    assert_null(strstr(text, "1234"));
}

static void test_segment_merge_of_what_is_no_pair_is_rejected(void **state)
{
    static const struct {
        const char *body;
        const char *code;
        const char *pointer;
    } cases[] = {
        {"{\"messageId\":\"m1\",\"userId\":\"u1\"}", "missing_field", "/mergeProperties"},
        {MERGE "{}}", "bad_type", "/mergeProperties"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"}]}", "missing_field", "/mergeProperties"},
        {MERGE "[1,2,3]}", "too_many", "/mergeProperties"},
        {MERGE "[1,2]}", "bad_type", "/mergeProperties/0"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"},{\"type\":\"email\"}]}", "missing_field",
            "/mergeProperties/1"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"},{\"type\":\"email\",\"value\":{}}]}",
            "bad_type", "/mergeProperties/1"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"},{\"type\":\"email\",\"value\":\"A@B."
               "jp\"}]}",
            "bad_value", "/evidence"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"},{\"type\":\"phone\",\"value\":\"0120-"
               "444-444\"}]}",
            "bad_value", "/evidence"},
        {MERGE "[{\"type\":\"email\",\"value\":\"a@b.jp\"},{\"type\":\"shoe\",\"value\":\"42\"}]}",
            "unknown_namespace", "/evidence"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_rejected(*state, "merge", cases[i].body, cases[i].code, cases[i].pointer);
}

static void test_segment_screen_and_group(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "screen",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"name\":\"Home\",\"properties\":{\"a\":1}," WHEN
        "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"properties\":{\"a\":1,\"name\":\"Home\"},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"screen_viewed\"}\n");
    assert_stored(fixture, "group",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"groupId\":\"g\",\"traits\":{\"email\":\"info@x."
        "jp\",\"size\":3}," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"properties\":{\"groupId\":\"g\",\"size\":3},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"group_joined\"}\n");
}

static void test_segment_batch_merges_its_envelope(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.header_key = STR("");
    assert_stored(fixture, "batch",
        "{\"writeKey\":\"" FIXTURE_KEY
        "\",\"sentAt\":\"2026-11-20T09:00:10Z\",\"context\":{\"locale\":\"ja-JP\","
        "\"ip\":\"192.0.2.1\"},\"integrations\":{},\"batch\":[{\"type\":\"track\",\"messageId\":"
        "\"m1\",\"userId\":\"u1\","
        "\"event\":\"Signed "
        "Up\",\"originalTimestamp\":\"2026-11-20T09:00:00Z\",\"timestamp\":\"x\"},{\"type\":"
        "\"page\","
        "\"messageId\":\"m2\",\"userId\":\"u1\",\"context\":{\"locale\":\"en-US\"}}]}",
        "{\"client\":{\"address\":\"192.0.2.1\"},\"device\":{\"locale\":\"ja-JP\"},\"id\":\"m1\","
        "\"ids\":{\"login\":"
        "\"u1\"},\"time\":\"2026-11-20T01:59:50Z\",\"time_quality\":\"corrected\",\"type\":"
        "\"signed_up\"}\n"
        "{\"client\":{\"address\":\"192.0.2.1\"},\"device\":{\"locale\":\"en-US\"},\"id\":\"m2\","
        "\"ids\":{\"login\":"
        "\"u1\"},\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\",\"type\":\"page_"
        "viewed\"}\n");
}

/* analytics-next gives what it sends again the login of by then. */
static void test_segment_event_that_comes_again_with_a_login_is_a_duplicate(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
#define AGAIN(id, cookie, login)                                                                   \
    STR("{\"messageId\":\"" id "\",\"anonymousId\":\"" cookie "\",\"userId\":" login               \
        ",\"event\":\"x\"}")
    assert_int_equal(recent_new(&exchange->recent), 0);
    exchange_run(fixture, segment_handle, "track", AGAIN("m1", "a1", "null"));
    assert_int_equal(exchange->marks_count, 1);
    /* Not yet durable: it may not be there when it comes again. */
    exchange_run(fixture, segment_handle, "track", AGAIN("m1", "a1", "\"u1\""));
    assert_int_equal(exchange->intake.accepted, 1);
    assert_int_equal(exchange->marks_count, 0); /* has a login: known by it */
    exchange_run(fixture, segment_handle, "track", AGAIN("m1", "a1", "null"));
    recent_add(exchange->recent, exchange->marks, exchange->marks_count);
    const struct {
        struct str body;
        size_t accepted;
    } samples[] = {
        {AGAIN("m1", "a1", "\"u1\""), 0}, {AGAIN("m1", "a2", "\"u1\""), 1}, /* another browser */
        {AGAIN("m2", "a1", "\"u1\""), 1}, {AGAIN("m1", "a1", "null"), 1},   /* the log tells */
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        exchange_run(fixture, segment_handle, "track", samples[i].body);
        assert_string_equal(exchange_reply_text(fixture), SUCCESS);
        assert_int_equal(exchange->intake.accepted, samples[i].accepted);
        assert_int_equal(exchange->intake.duplicates, 1 - samples[i].accepted);
    }
#define ALIAS(previous)                                                                            \
    STR("{\"messageId\":\"m4\",\"anonymousId\":\"a1\",\"userId\":\"u1\",\"previousId\":"           \
        "\"" previous "\"}")
    exchange_run(fixture, segment_handle, "alias", ALIAS("a1"));
    recent_add(exchange->recent, exchange->marks, exchange->marks_count);
    exchange_run(fixture, segment_handle, "alias", ALIAS("u1"));
    assert_int_equal(exchange->intake.duplicates, 1);
    exchange_run(fixture, segment_handle, "alias", ALIAS("a3")); /* the log tells */
    assert_int_equal(exchange->intake.accepted, 1);
    exchange->header_key = STR(FIXTURE_TRUSTED_KEY); /* another source */
    exchange_run(fixture, segment_handle, "track", AGAIN("m1", "a1", "\"u1\""));
    assert_int_equal(exchange->intake.accepted, 1);
    exchange->header_key = STR(FIXTURE_KEY);
    /* What was not accepted is not remembered. */
    exchange_run(fixture, segment_handle, "track",
        STR("{\"messageId\":\"m3\",\"anonymousId\":\"a1\",\"event\":\"x\",\"context\":{"
            "\"consent\":{\"categoryPreferences\":{}}}}"));
    assert_int_equal(exchange->marks_count, 0);
    recent_free(&exchange->recent);
}

/* Nothing that an envelope says of all its messages is lost. */
static void test_segment_context_of_the_envelope_is_kept(void **state)
{
    assert_stored(*state, "batch",
        "{\"context\":{\"timezone\":\"Asia/"
        "Tokyo\",\"network\":{\"wifi\":true},\"locale\":\"ja-JP\"},"
        "\"batch\":[{\"type\":\"page\",\"messageId\":\"m1\",\"userId\":\"u1\",\"context\":{"
        "\"timezone\":\"UTC\",\"theme\":\"dark\"}," WHEN "}]}",
        "{\"device\":{\"locale\":\"ja-JP\"},\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},"
        "\"properties\":"
        "{\"context\":{\"network\":{\"wifi\":true},\"theme\":\"dark\",\"timezone\":\"UTC\"}},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"page_viewed\"}\n");
}

/* Names of a message's own members mean nothing in a context, nor those of a context in a message;
 * more properties than are sorted by insertion. */
static void test_segment_members_are_those_of_their_object(void **state)
{
    CLEANUP(buf_free) struct buf body = {0};
    CLEANUP(buf_free) struct buf want = {0};
    const char *context = "\"anonymousId\":\"x\",\"event\":\"x\",\"messageId\":\"x\",\"name\":"
                          "\"n\",\"previousId\":7,\"sentAt\":\"x\",\"timestamp\":\"x\","
                          "\"userId\":\"x\"";
    assert_int_equal(buf_appendf(&body,
                         "{\"messageId\":\"m1\",\"event\":\"Tried\",\"userId\":\"u1\",\"ip\":1,"
                         "\"locale\":\"de\",\"page\":{\"title\":\"x\"},\"context\":{%s,"
                         "\"locale\":\"ja\"}," WHEN ",\"properties\":{",
                         context),
        0);
    assert_int_equal(buf_appendf(&want,
                         "{\"device\":{\"locale\":\"ja\"},\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},"
                         "\"properties\":{\"context\":{%s}",
                         context),
        0);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(buf_appendf(&body, "%s\"p%02d\":%d", i ? "," : "", 29 - i, 29 - i), 0);
        assert_int_equal(buf_appendf(&want, ",\"p%02d\":%d", i, i), 0);
    }
    assert_int_equal(buf_append(&body, "}}", 3), 0);
    assert_int_equal(
        buf_appendf(&want, "},\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"tried\"}\n"), 0);
    assert_int_equal(buf_append(&want, "", 1), 0);
    assert_stored(*state, "track", body.data, want.data);
}

static void test_segment_times(void **state)
{
    struct exchange_fixture *fixture = *state;
#define TIMED(times) "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"x\"" times "}"
    static const struct {
        const char *body;
        const char *stored;
    } samples[] = {
        {TIMED(""), "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\""},
        {TIMED(",\"timestamp\":\"2026-11-19T00:00:00\""),
            "\"time\":\"2026-11-19T00:00:00Z\",\"type\""},
        {TIMED(",\"timestamp\":1795139999000"), "\"time\":\"2026-11-20T01:59:59Z\",\"type\""},
        {TIMED(",\"timestamp\":\"2026-11-20T10:00:00+09:00\",\"sentAt\":\"2026-11-20T10:30:00+09:"
               "00\""),
            "\"time\":\"2026-11-20T01:30:00Z\",\"time_quality\":\"corrected\""},
        {TIMED(",\"timestamp\":\"2026-11-20T10:00:00Z\",\"sentAt\":\"soon\""),
            "\"time\":\"2026-11-20T10:00:00Z\",\"type\""},
        {TIMED(",\"timestamp\":\"1926-11-20T10:00:00Z\",\"sentAt\":\"2026-11-20T10:00:00Z\""),
            "\"time\":\"2000-01-01T00:00:00Z\",\"time_quality\":\"clamped\""},
        {TIMED(",\"timestamp\":\"2126-11-20T10:00:00Z\",\"sentAt\":\"2026-11-20T10:00:00Z\""),
            "\"time\":\"2026-11-21T02:00:00Z\",\"time_quality\":\"clamped\""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        exchange_run(fixture, segment_handle, "track", str_of(samples[i].body));
        if (!strstr(exchange_events_text(fixture), samples[i].stored))
            fail_msg("%s: %s", samples[i].body, exchange_events_text(fixture));
    }
    assert_rejected(fixture, "track", TIMED(",\"timestamp\":\"never\""), "bad_time", "/timestamp");
    assert_rejected(fixture, "track", TIMED(",\"originalTimestamp\":9223372036854775807"),
        "bad_time", "/originalTimestamp");
}

static void run_with_time(struct exchange_fixture *fixture, enum config_event_time way,
    const char *body, const char *stored)
{
    struct config_source config = {.name = STR("ec-web"),
        .protocols = SOURCE_PROTOCOL_SEGMENT,
        .currency = STR("JPY"),
        .enabled = true,
        .event_time = way};
    struct sources *sources;
    assert_int_equal(sources_new(&config, 1, config.name, fixture->metrics, &sources), 0);
    fixture->exchange.sources = sources;
    fixture->exchange.header_key = STR("");
    exchange_run(fixture, segment_handle, "track", str_of(body));
    if (!strstr(exchange_events_text(fixture), stored))
        fail_msg("%s: %s", body, exchange_events_text(fixture));
    fixture->exchange.sources = fixture->sources;
    sources_free(&sources);
}

/* Rudder's servers take `timestamp` as it is. Its libraries for servers are told by the channel. */
static void test_segment_time_of_rudder_and_of_sources(void **state)
{
    struct exchange_fixture *fixture = *state;
#define SKEWED(more) TIMED(",\"sentAt\":\"2026-11-20T03:00:00Z\"" more)
#define ORIGINAL ",\"originalTimestamp\":\"2026-11-20T02:59:00Z\""
#define GIVEN ",\"timestamp\":\"2026-11-01T00:00:00Z\""
#define RUDDER ",\"channel\":\"server\",\"context\":{\"library\":{\"name\":\"analytics-node\"}}"
    static const char corrected[] =
        "\"time\":\"2026-11-20T01:59:00Z\",\"time_quality\":\"corrected\"";
    static const char given_corrected[] =
        "\"time\":\"2026-10-31T23:00:00Z\",\"time_quality\":\"corrected\"";
    static const char given[] = "\"time\":\"2026-11-01T00:00:00Z\",\"type\"";
    static const struct {
        enum config_event_time way;
        const char *body;
        const char *stored;
    } samples[] = {
        {EVENT_TIME_USUAL, SKEWED(ORIGINAL GIVEN), corrected},
        {EVENT_TIME_USUAL, SKEWED(GIVEN), given_corrected},
        {EVENT_TIME_USUAL, SKEWED(ORIGINAL GIVEN RUDDER), given},
        {EVENT_TIME_USUAL, SKEWED(GIVEN RUDDER), given},
        {EVENT_TIME_USUAL, SKEWED(ORIGINAL RUDDER), corrected},
        {EVENT_TIME_USUAL,
            SKEWED(GIVEN ",\"context\":{\"library\":{\"name\":\"RudderLabs JavaScript SDK\"}}"),
            given},
        {EVENT_TIME_CORRECTED, SKEWED(ORIGINAL GIVEN RUDDER), corrected},
        {EVENT_TIME_CORRECTED, SKEWED(GIVEN RUDDER), given_corrected},
        {EVENT_TIME_VERBATIM, SKEWED(ORIGINAL GIVEN), given},
        {EVENT_TIME_VERBATIM, SKEWED(ORIGINAL), corrected},
        {EVENT_TIME_VERBATIM, SKEWED(",\"timestamp\":\"2126-01-01T00:00:00Z\""),
            "\"time\":\"2026-11-21T02:00:00Z\",\"time_quality\":\"clamped\""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        run_with_time(fixture, samples[i].way, samples[i].body, samples[i].stored);
}

static void test_segment_rudder_on_devices(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *library;
        const char *channel;
        const char *stored;
    } samples[] = {
        {"RudderLabs JavaScript SDK", "web", "\"cookie\":\"a1\""},
        {"rudder-ios-library", "mobile", "\"install\":\"a1\""},
        {"com.rudderstack.android.sdk.core", "mobile", "\"install\":\"a1\""},
        {"analytics-python", "server", "\"cookie\":\"a1\""},
    };
    fixture->exchange.address = STR("192.0.2.7");
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        CLEANUP(buf_free) struct buf body = {0};
        assert_int_equal(buf_appendf(&body,
                             "{\"messageId\":\"m1\",\"anonymousId\":\"a1\",\"event\":\"x\","
                             "\"channel\":\"%s\",\"context\":{\"library\":{\"name\":\"%s\"}}}",
                             samples[i].channel, samples[i].library),
            0);
        exchange_run(fixture, segment_handle, "track", buf_str(&body));
        const char *text = exchange_events_text(fixture);
        bool server = strcmp(samples[i].channel, "server") == 0;
        if (!strstr(text, samples[i].stored) || server == (strstr(text, "192.0.2.7") != NULL))
            fail_msg("%s: %s", samples[i].library, text);
    }
}

static void test_segment_consent_absent_category_is_no(void **state)
{
    struct exchange_fixture *fixture = *state;
#define CONSENTED(event, categories)                                                               \
    "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"" event                                   \
    "\",\"context\":{\"consent\":{\"categoryPreferences\":{" categories "}}}}"
    exchange_run(fixture, segment_handle, "track",
        STR(CONSENTED("x", "\"Analytics\":true,\"Advertising\":false")));
    assert_non_null(strstr(exchange_events_text(fixture),
        "\"consent\":{\"ads\":false,\"analytics\":true,\"personalisation\":false}"));
    exchange_run(fixture, segment_handle, "track", STR(CONSENTED("x", "\"Advertising\":true")));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    assert_int_equal(fixture->exchange.intake.no_consent, 1);
    assert_int_equal(fixture->exchange.intake.records_count, 0);
    exchange_run(fixture, segment_handle, "track",
        STR(CONSENTED("Segment Consent Preference Updated", "\"Advertising\":true")));
    assert_non_null(strstr(exchange_events_text(fixture), "\"type\":\"consent_changed\""));
}

static void test_segment_names_of_events(void **state)
{
    static const struct {
        const char *name;
        const char *type;
        bool exact;
    } samples[] = {
        {"Order Completed", "order_completed", true},
        {"order_completed", "order_completed", true},
        {"Product Viewed", "product_viewed", true},
        {"Products Searched", "searched", true},
        {"Order Canceled", "order_cancelled", true},
        {"Application Opened", "app_opened", true},
        {"Email Link Clicked", "message_clicked", true},
        {"Clicked CTA!", "clicked_cta", false},
        {"  a  b  ", "a_b", true},
        {"購入完了", "custom", false},
        {"3 Days Later", "custom", false},
        {"A123456789012345678901234567890123456789012345678901234567890123456789",
            "a123456789012345678901234567890123456789012345678901234567890123", false},
    };
    CLEANUP(arena_free) struct arena arena = {0};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct segment_name name;
        assert_int_equal(segment_name_read(str_of(samples[i].name), &arena, &name), 0);
        assert_true(str_equal(name.type, str_of(samples[i].type)));
        assert_int_equal(name.exact, samples[i].exact);
    }
}

/* As PHP writes an object without members. */
static void test_segment_empty_array_is_an_object_without_members(void **state)
{
    assert_stored(*state, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"x\",\"properties\":[],\"traits\":[],"
        "\"context\":[]," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"time\":\"2026-11-20T01:59:00Z\",\"type\":"
        "\"x\"}"
        "\n");
    assert_rejected(*state, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"x\",\"properties\":[1]}", "bad_type",
        "/properties");
}

static void test_segment_name_that_does_not_fit_is_kept(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_stored(fixture, "track",
        "{\"messageId\":\"m1\",\"userId\":\"u1\",\"event\":\"購入 完了\"," WHEN "}",
        "{\"id\":\"m1\",\"ids\":{\"login\":\"u1\"},\"properties\":{\"event_name\":\"購入 完了\"},"
        "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"custom\"}\n");
}

static void test_segment_bad_body_is_400(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_refused(fixture, "track", STR(""), 400, "empty");
    assert_refused(fixture, "track", STR("{\"a\":}"), 400, "bad_json");
    assert_refused(fixture, "track", STR("{} x"), 400, "bad_json");
    assert_refused(fixture, "track", STR("{\"event\":\"\xff\"}"), 400, "bad_utf8");
    assert_refused(fixture, "track", STR("{\"event\":1e999}"), 400, "num_range");
    assert_refused(fixture, "track", STR("{\"userId\":18446744073709551615}"), 400, "num_range");
    assert_refused(fixture, "track", STR("[]"), 400, "bad_type");
    assert_refused(fixture, "batch", STR("{}"), 400, "bad_type");
    assert_refused(fixture, "batch", STR("{\"batch\":{}}"), 400, "bad_type");
    fixture->exchange.events_max = 1;
    assert_refused(fixture, "batch", STR("{\"batch\":[1,2]}"), 413, "too_many");
}

static void test_segment_message_id(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const char *const bodies[] = {
        "{\"userId\":\"u1\",\"event\":\"x\"}",
        "{\"userId\":\"u1\",\"event\":\"x\",\"messageId\":\"\"}",
        "{\"userId\":\"u1\",\"event\":\"x\",\"messageId\":true}",
        "{\"userId\":\"u1\",\"event\":\"x\",\"messageId\":"
        "\"0123456789012345678901234567890123456789012345678"
        "9012345678901234567890123456789012345678901234567890\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_refused(fixture, "track", str_of(bodies[i]), 400, "bad_id");
        assert_non_null(strstr(exchange_rejected_text(fixture), "bad_id /messageId {"));
    }
}

static void test_segment_bad_messages_of_a_batch_are_rejected_alone(void **state)
{
    struct exchange_fixture *fixture = *state;
    exchange_run(fixture, segment_handle, "batch",
        STR("{\"batch\" : [{\"type\":\"track\",\"messageId\":\"1\",\"event\":\"x\"},\n 5, "
            "{\"type\":\"tarck\"},"
            "{\"type\":\"track\",\"messageId\":\"2\",\"userId\":\"u\"},"
            "{\"type\":\"page\",\"messageId\":\"3\",\"userId\":{}},"
            "{\"type\":\"track\",\"userId\":\"u\",\"event\":\"x\"},"
            "{\"type\":\"track\",\"messageId\":\"4\",\"userId\":\"u\",\"event\":\"x\","
            "\"properties\":7},"
            "{\"type\":\"track\",\"messageId\":\"5\",\"userId\":\"u\",\"event\":\"a\\u0000b\","
            "\"properties\":{"
            "\"t\":\"\\u0000\"}},"
            "{\"type\":\"track\",\"messageId\":\"ok\",\"userId\":\"u\",\"event\":\"x\"}]}"));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    assert_int_equal(fixture->exchange.intake.accepted, 1);
    assert_string_equal(exchange_rejected_text(fixture),
        "no_identifier /ids {\"type\":\"track\",\"messageId\":\"1\",\"event\":\"x\"}\n"
        "bad_type /type 5\n"
        "bad_event_type /type {\"type\":\"tarck\"}\n"
        "missing_field /event {\"type\":\"track\",\"messageId\":\"2\",\"userId\":\"u\"}\n"
        "bad_type /userId {\"type\":\"page\",\"messageId\":\"3\",\"userId\":{}}\n"
        "bad_id /messageId {\"type\":\"track\",\"userId\":\"u\",\"event\":\"x\"}\n"
        "bad_type /properties "
        "{\"type\":\"track\",\"messageId\":\"4\",\"userId\":\"u\",\"event\":\"x\",\"properties\":7}"
        "\n"
        "nul_in_text /properties "
        "{\"type\":\"track\",\"messageId\":\"5\",\"userId\":\"u\",\"event\":\"a\\u0000b\","
        "\"properties\":{\"t\":\"\\u0000\"}}\n");
}

static void test_segment_keys(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    const struct str body = STR("{\"messageId\":\"m\",\"userId\":\"u\",\"event\":\"x\"}");
    exchange->header_key = STR("");
    assert_refused(fixture, "track", body, 401, "unauthorized");
    assert_refused(fixture, "track", STR("{\"writeKey\":\"no\"}"), 401, "unauthorized");
    assert_refused(fixture, "track", STR("{\"writeKey\":"), 401, "unauthorized");
    exchange->header_key = STR(FIXTURE_DISABLED_KEY);
    assert_refused(fixture, "track", body, 403, "disabled");
    exchange->header_key = STR(FIXTURE_SEGMENT_KEY);
    exchange->origin = STR("https://elsewhere.example");
    assert_refused(fixture, "track", body, 403, "origin");
    exchange->origin = STR("https://shop.example");
    exchange_run(fixture, segment_handle, "track", body);
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    exchange->header_key = STR(FIXTURE_SLOW_KEY);
    exchange->origin = STR("");
    for (int i = 0; i < SOURCE_BURST_SECONDS; i++)
        exchange_run(fixture, segment_handle, "track", body);
    assert_refused(fixture, "track", body, 429, "rate");
    assert_int_equal(exchange->retry_after_seconds, 1);
}

static void test_segment_open_source_takes_any_key(void **state)
{
    struct exchange_fixture *fixture = *state;
    exchange_run(fixture, segment_handle, "track",
        STR("{\"messageId\":\"m\",\"userId\":\"u\",\"event\":\"x\",\"writeKey\":\"whatever\"}"));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    assert_true(str_equal(fixture->exchange.source->config.name, STR("dev")));
}

static void test_segment_metrics_of_clients_are_dropped(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.header_key = STR("");
    exchange_run(fixture, segment_handle, "metrics", STR("{\"series\":[]}"));
    assert_string_equal(exchange_reply_text(fixture), SUCCESS);
    assert_int_equal(fixture->exchange.intake.records_count, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_segment_page_of_a_browser),
        CASE(test_segment_order_is_exact_money),
        CASE(test_segment_order_without_currency_takes_the_sources),
        CASE(test_segment_money_noise_is_put_right_and_surplus_digits_refused),
        CASE(test_segment_product_that_is_wrong_is_named),
        CASE(test_segment_identify_keeps_no_raw_mail_or_phone),
        CASE(test_segment_alias_is_evidence),
        CASE(test_segment_alias_to_itself_says_nothing),
        CASE(test_segment_merge_is_evidence),
        CASE(test_segment_merge_of_what_is_no_pair_is_rejected),
        CASE(test_segment_screen_and_group),
        CASE(test_segment_batch_merges_its_envelope),
        CASE(test_segment_event_that_comes_again_with_a_login_is_a_duplicate),
        CASE(test_segment_context_of_the_envelope_is_kept),
        CASE(test_segment_members_are_those_of_their_object),
        CASE(test_segment_times),
        CASE(test_segment_time_of_rudder_and_of_sources),
        CASE(test_segment_rudder_on_devices),
        CASE(test_segment_consent_absent_category_is_no),
        CASE(test_segment_names_of_events),
        CASE(test_segment_empty_array_is_an_object_without_members),
        CASE(test_segment_name_that_does_not_fit_is_kept),
        CASE(test_segment_bad_body_is_400),
        CASE(test_segment_message_id),
        CASE(test_segment_bad_messages_of_a_batch_are_rejected_alone),
        CASE(test_segment_keys),
        cmocka_unit_test_setup_teardown(
            test_segment_open_source_takes_any_key, setup_open, teardown),
        CASE(test_segment_metrics_of_clients_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
