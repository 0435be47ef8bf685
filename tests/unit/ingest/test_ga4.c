/* GA4's Measurement Protocol: 204 whatever comes, the mapping, what debug tells. */
#include "ingest/collector/protocol/ga4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/route.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define WHEN "\"timestamp_micros\":\"1795139940000000\""
#define TIME "\"time\":\"2026-11-20T01:59:00Z\""
#define BODY(events) "{\"client_id\":\"1.2\"," WHEN ",\"events\":[" events "]}"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void collect(struct exchange_fixture *fixture, const char *body)
{
    exchange_run(fixture, ga4_handle, "collect", str_of(body));
    if (fixture->exchange.status != 204)
        fail_msg("%d %s", fixture->exchange.status, exchange_reply_text(fixture));
    assert_int_equal(fixture->exchange.reply.size, 0);
}

static const char *stored(struct exchange_fixture *fixture, const char *body)
{
    collect(fixture, body);
    if (*exchange_rejected_text(fixture))
        fail_msg("rejected: %s", exchange_rejected_text(fixture));
    return exchange_events_text(fixture);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s\nis not in\n%s", part, text);
}

static void test_ga4_purchase(void **state)
{
    const char *text = stored(*state,
        "{\"client_id\":\"1.2\",\"user_id\":\"u1\"," WHEN
        ",\"user_properties\":{\"plan\":{\"value\":\"gold\"}},\"events\":[{\"name\":\"purchase\","
        "\"params\":{\"transaction_id\":\"T-1\",\"value\":30.300000000000001,\"currency\":\"usd\","
        "\"tax\":2.1,\"shipping\":3,\"coupon\":\"AKI\",\"session_id\":\"s\",\"items\":["
        "{\"item_id\":\"S1\",\"item_name\":\"coat\",\"item_category\":\"coats\",\"price\":12.5,"
        "\"quantity\":2},{\"item_name\":\"hat\",\"price\":5.3}],"
        "\"page_location\":\"https://Shop.example/a?b=1\",\"page_title\":\"t\"}}]}");
    const char *id = strstr(text, "\"id\":\"");
    assert_non_null(id);
    assert_int_equal(id[6 + 14], '8');
    assert_contains(text, "\"ids\":{\"cookie\":\"1.2\",\"login\":\"u1\",\"order\":\"T-1\"}");
    assert_contains(text,
        "\"order\":{\"coupon\":\"AKI\",\"currency\":\"USD\",\"facet\":\"placed\",\"items\":["
        "{\"category\":\"coats\",\"price\":\"12.50\",\"quantity\":2,\"sku\":\"S1\"},"
        "{\"price\":\"5.30\",\"sku\":\"hat\"}],\"order_id\":\"T-1\",\"revenue\":\"30.30\","
        "\"shipping\":\"3.00\",\"tax\":\"2.10\"}");
    assert_contains(
        text, "\"page\":{\"host\":\"shop.example\",\"path\":\"/a\",\"query\":\"b=1\",\"title\"");
    assert_contains(text, "\"session_id\":\"s\",\"user_properties\":{\"plan\":{\"value\":\"gold\"}"
                          "}}," TIME ",\"type\":\"order_completed\"");
    assert_null(strstr(text, "page_location"));
}

static void test_ga4_value_of_the_items_and_refund(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_contains(stored(fixture, BODY("{\"name\":\"purchase\",\"params\":{\"transaction_id\":"
                                         "\"T\",\"items\":[{\"item_id\":\"a\",\"price\":100,"
                                         "\"quantity\":3},{\"item_id\":\"b\",\"price\":50}]}}")),
        "\"revenue\":\"350\"");
    const char *text = stored(fixture, BODY("{\"name\":\"refund\",\"params\":{\"transaction_id\":"
                                            "\"T\",\"value\":50,\"currency\":\"JPY\"}}"));
    assert_contains(text, "\"order\":{\"currency\":\"JPY\",\"order_id\":\"T\",\"revenue\":\"50\"}");
    assert_contains(text, "\"type\":\"order_refunded\"");
}

static void test_ga4_types(void **state)
{
    static const struct {
        const char *body;
        const char *type;
    } cases[] = {
        {BODY("{\"name\":\"page_view\"}"), "page_viewed"},
        {BODY("{\"name\":\"login\"}"), "signed_in"},
        {BODY("{\"name\":\"sign_up\"}"), "signed_up"},
        {BODY("{\"name\":\"search\"}"), "searched"},
        {BODY("{\"name\":\"view_item\"}"), "product_viewed"},
        {BODY("{\"name\":\"view_item_list\"}"), "product_list_viewed"},
        {BODY("{\"name\":\"add_to_cart\"}"), "product_added"},
        {BODY("{\"name\":\"remove_from_cart\"}"), "product_removed"},
        {BODY("{\"name\":\"view_cart\"}"), "cart_viewed"},
        {BODY("{\"name\":\"begin_checkout\"}"), "checkout_started"},
        {BODY("{\"name\":\"generate_lead\"}"), "form_submitted"},
        {BODY("{\"name\":\"Tutorial_Begin\"}"), "tutorial_begin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_contains(stored(*state, cases[i].body), cases[i].type);
}

static void test_ga4_consent_time_and_app(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text = stored(fixture,
        "{\"app_instance_id\":\"i1\",\"consent\":{\"ad_user_data\":\"DENIED\","
        "\"ad_personalization\":\"granted\",\"analytics_storage\":\"GRANTED\"},"
        "\"device\":{\"language\":\"ja\",\"operating_system\":\"Android\"},\"events\":["
        "{\"name\":\"screen_view\",\"timestamp_micros\":1795139940000000}]}");
    assert_contains(
        text, "\"consent\":{\"ads\":false,\"analytics\":true,\"personalisation\":true}");
    assert_contains(text, "\"device\":{\"kind\":\"app\",\"locale\":\"ja\",\"os\":\"Android\"}");
    assert_contains(text, "\"ids\":{\"install\":\"i1\"}");
    assert_contains(text, TIME);
    text = stored(fixture, "{\"client_id\":\"c\",\"events\":[{\"name\":\"x\"}]}");
    assert_contains(text, "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\"");
    collect(fixture, "{\"client_id\":\"c\",\"consent\":{\"analytics_storage\":\"DENIED\"},"
                     "\"events\":[{\"name\":\"x\"}]}");
    assert_int_equal(fixture->exchange.intake.no_consent, 1);
}

/* A hash that anybody can make of an address is not kept; the same hash is the same pseudonym. */
static void test_ga4_hashes_become_pseudonyms(void **state)
{
    struct exchange_fixture *fixture = *state;
    char *first = strdup(
        stored(fixture, "{\"client_id\":\"c\",\"user_data\":{\"sha256_email_address\":\"" HASH
                        "\",\"sha256_phone_number\":[\"" HASH "\",\"none\"]}," WHEN
                        ",\"events\":[{\"name\":\"x\"}]}"));
    assert_contains(first, "\"email\":\"k1:");
    assert_contains(first, "\"phone\":\"k1:");
    assert_null(strstr(first, "0123456789abcdef"));
    const char *second = stored(fixture,
        "{\"client_id\":\"c\",\"user_data\":{\"sha256_email_address\":[\"" HASH
        "\"],\"sha256_phone_number\":\"" HASH "\"}," WHEN ",\"events\":[{\"name\":\"x\"}]}");
    assert_string_equal(strstr(second, "\"ids\""), strstr(first, "\"ids\""));
    free(first);
}

static const char *id_of(struct exchange_fixture *fixture, const char *body, char out[37])
{
    const char *id = strstr(stored(fixture, body), "\"id\":\"");
    assert_non_null(id);
    memcpy(out, id + 6, 36);
    out[36] = '\0';
    return out;
}

/* The fixture's randomness is always the same, and of version 4. */
static void test_ga4_ids_are_of_the_body_where_it_tells_events_apart(void **state)
{
    struct exchange_fixture *fixture = *state;
    char a[37], b[37];
    assert_string_equal(
        id_of(fixture, BODY("{\"name\":\"x\"}"), a), id_of(fixture, BODY("{\"name\":\"x\"}"), b));
    assert_string_not_equal(a, id_of(fixture, BODY("{\"name\":\"y\"}"), b));
    assert_int_equal(a[14], '8');
    id_of(fixture, "{\"client_id\":\"c\",\"events\":[{\"name\":\"x\"}]}", a);
    assert_int_equal(a[14], '4');
    id_of(fixture,
        "{\"client_id\":\"c\",\"events\":[{\"name\":\"refund\",\"params\":{"
        "\"transaction_id\":\"T\"}}]}",
        a);
    assert_int_equal(a[14], '8');
    /* Two that are alike in one request are two. */
    collect(fixture, BODY("{\"name\":\"x\"},{\"name\":\"x\"}"));
    assert_int_equal(fixture->exchange.intake.accepted, 2);
}

#define REFUND                                                                                     \
    "{\"name\":\"refund\",\"params\":{\"transaction_id\":\"T\",\"value\":50,\"currency\":\"JPY\"}" \
    "}"
#define REFUNDS_AT(time, events)                                                                   \
    "{\"client_id\":\"c\",\"timestamp_micros\":" time ",\"events\":[" events "]}"

/* Of refunds GA4 has no id: place in the body and the body's time tell two that are alike apart;
 * the same body again is the same two. */
static void test_ga4_refunds_that_are_alike_are_two_and_a_resend_is_none(void **state)
{
    struct exchange_fixture *fixture = *state;
    char a[37], b[37];
    char *both =
        strdup(stored(fixture, "{\"client_id\":\"c\",\"events\":[" REFUND "," REFUND "]}"));
    assert_int_equal(fixture->exchange.intake.accepted, 2);
    const char *first = strstr(both, "\"id\":\"");
    assert_non_null(first);
    const char *second = strstr(first + 1, "\"id\":\"");
    assert_non_null(second);
    assert_memory_not_equal(first, second, 6 + 36);
    fixture->exchange.now_micros += 1000000;
    const char *again = stored(fixture, "{\"client_id\":\"c\",\"events\":[" REFUND "," REFUND "]}");
    assert_memory_equal(strstr(again, "\"id\":\""), first, 6 + 36);
    assert_memory_equal(strstr(strstr(again, "\"id\":\"") + 1, "\"id\":\""), second, 6 + 36);
    assert_string_not_equal(id_of(fixture, REFUNDS_AT("1795139940000000", REFUND), a),
        id_of(fixture, REFUNDS_AT("1795139940000001", REFUND), b));
    assert_string_equal(a, id_of(fixture, REFUNDS_AT("1795139940000000", REFUND), b));
    free(both);
}

static void test_ga4_bad_input_is_204_and_rejected(void **state)
{
    static const struct {
        const char *body;
        const char *rejected;
    } cases[] = {
        {"{", "bad_json  {\n"},
        {"{\"a\":1e400}", "num_range  {\"a\":1e400}\n"},
        {"[]", "bad_type  []\n"},
        {"{\"client_id\":\"c\"}", "missing_field /events {\"client_id\":\"c\"}\n"},
        {"{\"events\":{}}", "bad_type /events {\"events\":{}}\n"},
        {BODY("7"), "bad_type /events 7\n"},
        {BODY("{}"), "missing_field /events/name {}\n"},
        {BODY("{\"name\":\"_x\"}"), "bad_event_type /events/name {\"name\":\"_x\"}\n"},
        {BODY("{\"name\":\"x\",\"params\":[]}"),
            "bad_type /events/params {\"name\":\"x\",\"params\":[]}\n"},
        {"{\"events\":[{\"name\":\"x\"}]}", "no_identifier /client_id {\"name\":\"x\"}\n"},
        {"{\"client_id\":{},\"events\":[{\"name\":\"x\"}]}",
            "bad_type /client_id {\"name\":\"x\"}\n"},
        {"{\"client_id\":\"c\",\"timestamp_micros\":\"soon\",\"events\":[{\"name\":\"x\"}]}",
            "bad_time /timestamp_micros {\"name\":\"x\"}\n"},
        {BODY("{\"name\":\"x\",\"timestamp_micros\":-1}"),
            "bad_time /events/timestamp_micros {\"name\":\"x\",\"timestamp_micros\":-1}\n"},
        {BODY("{\"name\":\"refund\",\"params\":{\"value\":1.5}}"),
            "money_precision /events/params/value {\"name\":\"refund\",\"params\":{\"value\":1.5}}"
            "\n"},
        {BODY("{\"name\":\"refund\",\"params\":{\"currency\":\"yen\"}}"),
            "bad_currency /events/params/currency {\"name\":\"refund\",\"params\":{\"currency\":"
            "\"yen\"}}\n"},
        {BODY("{\"name\":\"refund\",\"params\":{\"items\":[1]}}"),
            "bad_type /events/params/items {\"name\":\"refund\",\"params\":{\"items\":[1]}}\n"},
        {BODY("{\"name\":\"x\",\"params\":{\"a\":\"\\u0000\"}}"),
            "nul_in_text /properties {\"name\":\"x\",\"params\":{\"a\":\"\\u0000\"}}\n"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        collect(*state, cases[i].body);
        assert_string_equal(exchange_rejected_text(*state), cases[i].rejected);
    }
    CLEANUP(buf_free) struct buf many = {0};
    assert_int_equal(buf_appendf(&many, "{\"client_id\":\"c\",\"events\":[{\"name\":\"x\"}"), 0);
    for (int i = 0; i < 25; i++)
        assert_int_equal(buf_appendf(&many, ",{\"name\":\"x\"}"), 0);
    assert_int_equal(buf_append(&many, "]}", 3), 0);
    collect(*state, many.data);
    assert_contains(exchange_rejected_text(*state), "too_many /events ");
    /* One is bad, the others are kept. */
    collect(*state, BODY("{\"name\":\"a\"},{\"name\":\"\"},{\"name\":\"b\"}"));
    struct exchange_fixture *fixture = *state;
    assert_int_equal(fixture->exchange.intake.accepted, 2);
}

static void assert_told(struct exchange_fixture *fixture, const char *body, const char *reply)
{
    exchange_run(fixture, ga4_handle, "debug", str_of(body));
    assert_int_equal(fixture->exchange.status, 200);
    assert_true(fixture->exchange.intake.dry_run);
    assert_string_equal(exchange_reply_text(fixture), reply);
}

static void test_ga4_debug_tells_and_keeps_nothing(void **state)
{
    assert_told(*state, BODY("{\"name\":\"x\"}"), "{\"validationMessages\":[]}");
    assert_string_equal(exchange_rejected_text(*state), "");
    assert_told(*state, BODY("{\"name\":\"x\"},{\"name\":\"_bad\"}"),
        "{\"validationMessages\":[{\"fieldPath\":\"events.name\",\"description\":\"Event at index: "
        "[1] not an event type: a letter, then letters, digits and _\",\"validationCode\":"
        "\"NAME_INVALID\"}]}");
    assert_told(*state, "{\"events\":[{\"name\":\"x\"}]}",
        "{\"validationMessages\":[{\"fieldPath\":\"client_id\",\"description\":\"no usable "
        "identifier: client_id, app_instance_id or user_id\",\"validationCode\":\"VALUE_REQUIRED\"}"
        "]}");
    assert_told(*state, "",
        "{\"validationMessages\":[{\"fieldPath\":\"\",\"description\":\"nothing there: JSON\","
        "\"validationCode\":\"VALUE_REQUIRED\"}]}");
}

static void test_ga4_key_is_the_secret(void **state)
{
    static struct exchange_pair query[] = {{STR_INIT("measurement_id"), STR_INIT("G-1")},
        {STR_INIT("api_secret"), STR_INIT(FIXTURE_TRUSTED_KEY)}};
    struct exchange_fixture *fixture = *state;
    fixture->exchange.header_key = STR("");
    fixture->exchange.query = query;
    fixture->exchange.query_count = 2;
    (void)stored(fixture, BODY("{\"name\":\"x\"}"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("pos")));
    fixture->exchange.header_key = STR("of a proxy"); /* Authorization may be somebody else's */
    (void)stored(fixture, BODY("{\"name\":\"x\"}"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("pos")));
    query[1].value = STR(""); /* who says no secret may say the key there */
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    (void)stored(fixture, BODY("{\"name\":\"x\"}"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("ec-web")));
    static const struct {
        const char *key;
        int status;
    } refused[] = {{"none", 401}, {FIXTURE_DISABLED_KEY, 403}, {FIXTURE_SEGMENT_KEY, 403}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        query[1].value = str_of(refused[i].key);
        exchange_run(fixture, ga4_handle, "collect", STR("{}"));
        assert_int_equal(fixture->exchange.status, refused[i].status);
    }
}

static void test_ga4_rate_over_the_limit_is_429(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    exchange->header_key = STR(FIXTURE_SLOW_KEY);
    exchange->monotonic_micros = 1;
    for (int i = 0; i < SOURCE_BURST_SECONDS / 2; i++)
        collect(fixture, BODY("{\"name\":\"x\"},{\"name\":\"y\"}"));
    assert_int_equal(exchange->status, 204);
    assert_int_equal(exchange->limited, 0);
    exchange_run(fixture, ga4_handle, "collect", STR(BODY("{\"name\":\"x\"},{\"name\":\"y\"}")));
    assert_int_equal(exchange->status, 429);
    assert_int_equal(exchange->retry_after_seconds, 2);
    assert_int_equal(exchange->limited, 2);
    assert_int_equal(exchange->intake.records_count, 0);
    assert_non_null(strstr(exchange_reply_text(fixture), "{\"code\":\"rate\""));
    exchange_run(fixture, ga4_handle, "debug", STR(BODY("{\"name\":\"x\"}"))); /* costs nothing */
    assert_int_equal(exchange->status, 200);
}

static void test_ga4_open_source_takes_any_secret(void **state)
{
    static const struct exchange_pair query[] = {{STR_INIT("api_secret"), STR_INIT("whatever")}};
    struct exchange_fixture *fixture = *state;
    fixture->exchange.query = query;
    fixture->exchange.query_count = 1;
    (void)stored(fixture, BODY("{\"name\":\"x\"}"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("dev")));
}

static void test_ga4_routes(void **state)
{
    struct str rest;
    const struct route *route = route_find(STR("/mp/collect"), &rest);
    assert_int_equal(route->methods, ROUTE_POST);
    assert_int_equal(route->protocol, METRIC_PROTOCOL_GA4);
    assert_true(str_equal(route->call, STR("collect")));
    assert_true(str_equal(route_find(STR("/debug/mp/collect"), &rest)->call, STR("debug")));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_ga4_purchase),
        WITH(test_ga4_value_of_the_items_and_refund),
        WITH(test_ga4_types),
        WITH(test_ga4_consent_time_and_app),
        WITH(test_ga4_hashes_become_pseudonyms),
        WITH(test_ga4_ids_are_of_the_body_where_it_tells_events_apart),
        WITH(test_ga4_refunds_that_are_alike_are_two_and_a_resend_is_none),
        WITH(test_ga4_bad_input_is_204_and_rejected),
        WITH(test_ga4_debug_tells_and_keeps_nothing),
        WITH(test_ga4_key_is_the_secret),
        WITH(test_ga4_rate_over_the_limit_is_429),
        cmocka_unit_test_setup_teardown(
            test_ga4_open_source_takes_any_secret, setup_open, teardown),
        cmocka_unit_test(test_ga4_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
