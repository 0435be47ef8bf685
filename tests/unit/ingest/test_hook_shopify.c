/* Shopify: signature, orders, refunds, exact amounts, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/protocol/hook.h"
#include "schemas/error.h"
#include "tests/unit/ingest/hook_fixture.h"

#define ORDER ORDER_WITH("")
#define ORDER_WITH(more)                                                                           \
    "{" more                                                                                       \
    "\"id\":9007199254740993,\"name\":\"#1001\",\"email\":\"Hana@Example.jp\",\"phone\":null,"     \
    "\"created_at\":\"2026-11-20T10:59:00+09:00\",\"updated_at\":\"2026-11-20T10:59:01+09:00\","   \
    "\"currency\":\"JPY\",\"total_price\":\"12980\",\"total_tax\":\"1180\",\"total_discounts\":"   \
    "\"500.00\",\"total_shipping_price_set\":{\"shop_money\":{\"amount\":\"550\","                 \
    "\"currency_code\":\"JPY\"}},\"discount_codes\":[{\"code\":\"AKI\"}],\"source_name\":"         \
    "\"web\",\"browser_ip\":\"192.0.2.7\",\"billing_address\":{\"name\":\"Hana\"},\"customer\":{"  \
    "\"id\":77,\"phone\":\"+818012345678\"},\"note_attributes\":[{\"name\":\"_tabiji_cookie\","    \
    "\"value\":\"c-1\"},{\"name\":\"email\",\"value\":\"gift@example.jp\"},{\"name\":"             \
    "\"anonymous_id\",\"value\":\"c-2\"}],\"line_items\":[{\"id\":1,\"sku\":\"S1\",\"price\":"     \
    "\"6215\",\"quantity\":2},{\"id\":2,\"sku\":\"\",\"variant_id\":42,\"price\":\"0\"}]}"

static void topic(struct hook_fixture *fixture, const char *name)
{
    hook_header(fixture, "X-Shopify-Topic", name);
}

static void test_shopify_order_has_its_parts(void **state)
{
    struct hook_fixture *fixture = *state;
    topic(fixture, "orders/create");
    hook_header(fixture, "X-Shopify-Event-Id", "e-1");
    hook_header(fixture, "X-Shopify-Webhook-Id", "w-1");
    const char *text = hook_stored(fixture, "shopify/dev", ORDER);
    hook_contains(text, "\"id\":\"e-1-orders/create\"");
    hook_contains(text, "\"cookie\":[\"c-1\",\"c-2\"],\"email\":\"k1:");
    hook_contains(text, "\"login\":\"77\",\"order\":\"9007199254740993\",\"phone\":\"k1:");
    hook_contains(text,
        "\"order\":{\"coupon\":\"AKI\",\"currency\":\"JPY\",\"discount\":\"500\",\"facet\":"
        "\"placed\",\"items\":[{\"price\":\"6215\",\"quantity\":2,\"sku\":\"S1\"},{\"sku\":\"42\""
        "}],\"order_id\":\"9007199254740993\",\"revenue\":\"12980\",\"shipping\":\"550\",\"tax\":"
        "\"1180\"}");
    hook_contains(text,
        "\"properties\":{\"order_name\":\"#1001\",\"source_name\":\"web\"},\"time\":"
        "\"2026-11-20T01:59:00Z\",\"type\":\"order_completed\"");
    /* Nothing is kept that names a person, of whatever field. */
    assert_null(strstr(text, "xample.jp"));
    assert_null(strstr(text, "192.0.2.7"));
    assert_null(strstr(text, "Hana"));
    assert_string_equal(
        exchange_reply_text(&fixture->base), "{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}");
}

#define CANCELLED ORDER_WITH("\"cancelled_at\":\"2026-11-20T10:59:00+09:00\",")

static void test_shopify_topics(void **state)
{
    static const struct {
        const char *topic, *type, *facet;
    } cases[] = {
        {"orders/create", "\"type\":\"order_completed\"", "\"facet\":\"placed\""},
        {"orders/paid", "\"type\":\"order_paid\"", "\"facet\":\"paid\""},
        {"orders/fulfilled", "\"type\":\"order_shipped\"", "\"facet\":\"shipped\""},
        {"orders/cancelled", "\"type\":\"order_cancelled\"", "\"facet\":\"cancelled\""},
        {"orders/updated", "\"type\":\"order_updated\"", "\"order_id\":\"9007199254740993\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        topic(*state, cases[i].topic);
        const char *text = hook_stored(*state, "shopify/dev", CANCELLED);
        hook_contains(text, cases[i].type);
        hook_contains(text, cases[i].facet);
    }
    /* What a cancelled order takes back is all that is left of it: no amount says less. */
    topic(*state, "orders/cancelled");
    assert_null(strstr(hook_stored(*state, "shopify/dev", CANCELLED), "\"revenue\""));
}

/* Shopify's id of the event, else of the delivery, else what it is of and when it changed. */
static void test_shopify_ids_stay_when_it_is_sent_again(void **state)
{
    struct hook_fixture *fixture = *state;
    topic(fixture, "orders/create");
    hook_contains(hook_stored(fixture, "shopify/dev", ORDER),
        "\"id\":\"9007199254740993-orders/create-2026-11-20T10:59:01+09:00\"");
    hook_header(fixture, "X-Shopify-Webhook-Id", "w-1");
    hook_contains(hook_stored(fixture, "shopify/dev", ORDER), "\"id\":\"w-1-orders/create\"");
    hook_header(fixture, "X-Shopify-Event-Id", "e-1");
    hook_contains(hook_stored(fixture, "shopify/dev", ORDER), "\"id\":\"e-1-orders/create\"");
    hook_header(fixture, "X-Shopify-Event-Id", NULL);
    hook_header(fixture, "X-Shopify-Webhook-Id", NULL);
    assert_int_equal(hook_send(fixture, "shopify/dev", "{\"total_price\":\"1\"}"), 400);
    hook_contains(exchange_reply_text(&fixture->base), "\"code\":\"bad_id\"");
}

#define REFUND(more)                                                                               \
    "{\"id\":5,\"order_id\":9007199254740993,\"created_at\":\"2026-11-20T10:59:00+09:00\"," more "}"
#define LINE(restock)                                                                              \
    "\"refund_line_items\":[{\"quantity\":1,\"restock_type\":\"" restock                           \
    "\",\"subtotal\":\"19.99\",\"total_tax\":\"1.60\",\"line_item\":{\"sku\":\"S1\",\"price\":"    \
    "\"19.99\",\"quantity\":3}}]"

static void test_shopify_refunds(void **state)
{
    static const struct {
        const char *body, *type, *order;
    } cases[] = {
        /* money and goods; what failed gave nothing back */
        {REFUND(LINE("return") ",\"transactions\":[{\"kind\":\"refund\",\"status\":\"success\","
                               "\"amount\":\"21.59\",\"currency\":\"USD\"},{\"kind\":\"refund\","
                               "\"status\":\"failure\",\"amount\":\"9.99\",\"currency\":\"USD\"},{"
                               "\"kind\":\"refund\",\"status\":\"pending\",\"amount\":\"7\","
                               "\"currency\":\"JPY\"},{"
                               "\"kind\":\"refund\",\"status\":\"error\",\"amount\":\"8\"}]"),
            "item_returned",
            "\"order\":{\"currency\":\"USD\",\"facet\":\"returned\",\"items\":[{\"price\":"
            "\"19.99\",\"sku\":\"S1\"}],\"order_id\":\"9007199254740993\",\"revenue\":\"21.59\"}"},
        /* money alone, in two parts; yen have no sen */
        {REFUND("\"refund_line_items\":[],\"transactions\":[{\"kind\":\"refund\",\"status\":"
                "\"success\",\"amount\":\"1000\",\"currency\":\"JPY\"},{\"kind\":\"refund\","
                "\"status\":\"success\",\"amount\":\"280.00\",\"currency\":\"JPY\"}]"),
            "order_refunded",
            "\"order\":{\"currency\":\"JPY\",\"order_id\":\"9007199254740993\",\"revenue\":"
            "\"1280\"}"},
        {REFUND(LINE("no_restock") ",\"currency\":\"USD\""), "order_refunded",
            "\"revenue\":\"21.59\"}"},
        /* goods without money: nothing is taken from the order's revenue */
        {REFUND("\"currency\":\"USD\"," LINE("return") ",\"transactions\":[]"), "item_returned",
            "\"items\":[{\"sku\":\"S1\"}],\"order_id\":\"9007199254740993\"}"},
        /* which needs no currency, and gets none made up: it would not be the order's */
        {REFUND(LINE("return") ",\"transactions\":[]"), "item_returned",
            "\"order\":{\"facet\":\"returned\",\"items\":[{\"sku\":\"S1\"}],\"order_id\":"
            "\"9007199254740993\"}"},
        /* so with money that waits */
        {REFUND(LINE("no_restock") ",\"transactions\":[{\"kind\":\"refund\",\"status\":"
                                   "\"pending\",\"amount\":\"5\",\"currency\":\"JPY\"}]"),
            "item_returned",
            "\"order\":{\"facet\":\"returned\",\"items\":[{\"sku\":\"S1\"}],\"order_id\":"
            "\"9007199254740993\"}"},
        /* what a test gave back */
        {REFUND("\"transactions\":[{\"kind\":\"refund\",\"status\":\"success\",\"test\":true,"
                "\"amount\":\"5\",\"currency\":\"JPY\"},{\"kind\":\"refund\",\"status\":"
                "\"success\",\"test\":false,\"amount\":\"7\",\"currency\":\"JPY\"}]"),
            "order_refunded", "\"revenue\":\"7\""},
        /* a line says it as the shop's money */
        {REFUND("\"refund_line_items\":[{\"subtotal\":\"980\",\"subtotal_set\":{\"shop_money\":"
                "{\"amount\":\"980\",\"currency_code\":\"JPY\"},\"presentment_money\":{"
                "\"amount\":\"6.5\",\"currency_code\":\"USD\"}}}]"),
            "order_refunded", "\"currency\":\"JPY\""},
    };
    struct hook_fixture *fixture = *state;
    topic(fixture, "refunds/create");
    hook_header(fixture, "X-Shopify-Event-Id", "e-2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64];
        const char *text = hook_stored(fixture, "shopify/dev", cases[i].body);
        (void)snprintf(type, sizeof type, "\"type\":\"%s\"", cases[i].type);
        hook_contains(text, type);
        hook_contains(text, cases[i].order);
        hook_contains(text, "\"id\":\"e-2-refunds/create\",\"ids\":{\"order\":"
                            "\"9007199254740993\"}");
    }
}

#define MONEY(shop, visitor)                                                                       \
    "{\"shop_money\":{\"amount\":\"" shop                                                          \
    "\",\"currency_code\":\"JPY\"},\"presentment_money\":{\"amount\":\"" visitor                   \
    "\",\"currency_code\":\"USD\"}}"
#define PAID_BACK(amount, more)                                                                    \
    "\"transactions\":[{\"kind\":\"refund\",\"status\":\"success\",\"amount\":\"" amount           \
    "\",\"currency\":\"USD\"" more "}]"
#define EXCHANGED                                                                                  \
    ",\"currency_exchange_adjustment\":{\"adjustment\":\"-20\",\"original_amount\":\"-3000\","     \
    "\"final_amount\":\"-3020\",\"currency\":\"JPY\"}"
#define PARTS                                                                                      \
    "\"refund_line_items\":[{\"quantity\":1,\"restock_type\":\"no_restock\",\"subtotal\":"         \
    "\"2500\","                                                                                    \
    "\"subtotal_set\":" MONEY("2500", "16.50") ",\"total_tax\":\"250\",\"total_tax_set\":" MONEY(  \
        "250",                                                                                     \
        "1.65") ",\"line_item\":{\"sku\":\"S1\",\"price\":\"2500\",\"price_set\":" MONEY("2500",   \
        "16.50") "}}],\"order_adjustments\":[{\"kind\":\"shipping_refund\",\"amount\":"            \
                 "\"-300\",\"amount_set\":" MONEY("-300", "-2.00") ",\"tax_amount_set\":" MONEY(   \
                     "0", "0.00") "}],"

/* A visitor pays, and gets back, in his currency; the shop's books and the order are in the shop's,
 * and so is its refund, wherever the notification says what that is. */
static void test_shopify_money_of_the_shop_not_of_the_visitor(void **state)
{
    static const struct {
        const char *topic, *body, *order;
    } cases[] = {
        /* the order, also where all that is plain is the visitor's */
        {"orders/create",
            "{\"id\":1,\"currency\":\"USD\",\"total_price\":\"20.15\",\"total_price_"
            "set\":" MONEY("3050", "20.15") ",\"total_tax\":\"1.65\",\"total_tax_set\":" MONEY(
                "250", "1.65") ",\"line_items\":[{\"sku\":\"S1\",\"price\":\"16.50\",\"price_"
                               "set\":" MONEY("2500", "16.50") "}]}",
            "\"order\":{\"currency\":\"JPY\",\"facet\":\"placed\",\"items\":[{\"price\":"
            "\"2500\",\"sku\":"
            "\"S1\"}],\"order_id\":\"1\",\"revenue\":\"3050\",\"tax\":\"250\"}"},
        /* its parts are what went back: at the order's rate */
        {"refunds/create", REFUND(PARTS PAID_BACK("20.15", EXCHANGED)),
            "\"order\":{\"currency\":\"JPY\",\"items\":[{\"price\":\"2500\",\"sku\":\"S1\"}],"
            "\"order_id\":\"9007199254740993\",\"revenue\":\"3050\"}"},
        /* another sum than they are: at the refund's */
        {"refunds/create", REFUND(PARTS PAID_BACK("20.00", EXCHANGED)),
            "\"currency\":\"JPY\",\"items\":[{\"price\":\"2500\",\"sku\":\"S1\"}],\"order_id\":"
            "\"9007199254740993\",\"revenue\":\"3020\"}"},
        {"refunds/create", REFUND(PAID_BACK("20.15", EXCHANGED)),
            "\"currency\":\"JPY\",\"order_id\":\"9007199254740993\",\"revenue\":\"3020\"}"},
        {"refunds/create", REFUND(PAID_BACK("20.15", ",\"amount_set\":" MONEY("3050", "20.15"))),
            "\"currency\":\"JPY\",\"order_id\":\"9007199254740993\",\"revenue\":\"3050\"}"},
        /* nothing says what it is worth: it stays what it is, and waits */
        {"refunds/create", REFUND(PARTS PAID_BACK("20.00", "")),
            "\"currency\":\"USD\",\"items\":[{\"price\":\"16.50\",\"sku\":\"S1\"}],\"order_"
            "id\":"
            "\"9007199254740993\",\"revenue\":\"20.00\"}"},
        {"refunds/create", REFUND(PAID_BACK("20.15", "")), "\"revenue\":\"20.15\"}"},
    };
    struct hook_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        topic(fixture, cases[i].topic);
        hook_contains(hook_stored(fixture, "shopify/dev", cases[i].body), cases[i].order);
    }
}

/* The body's, the shop's money, the source's where somebody has said it; never one made up. */
static void test_shopify_currency(void **state)
{
    static const struct {
        const char *path, *body, *says;
    } cases[] = {
        {"shopify/dev", "{\"id\":1,\"total_price\":\"980\"}", NULL},
        {"shopify/dev", "{\"id\":1,\"total_price\":\"980\",\"presentment_currency\":\"JPY\"}",
            NULL},
        {"shopify/dev", "{\"id\":1,\"line_items\":[{\"sku\":\"S\",\"price\":\"980\"}]}", NULL},
        {"shopify/dev",
            "{\"id\":1,\"total_price\":\"980\",\"total_price_set\":{\"shop_money\":{\"amount\":"
            "\"980\",\"currency_code\":\"JPY\"}}}",
            "\"currency\":\"JPY\",\"facet\":\"placed\",\"order_id\":\"1\",\"revenue\":\"980\""},
        {"shopify/shop", "{\"id\":1,\"total_price\":\"980\"}",
            "\"currency\":\"JPY\",\"facet\":\"placed\",\"order_id\":\"1\",\"revenue\":\"980\""},
    };
    struct hook_fixture *fixture = *state;
    topic(fixture, "orders/create");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].path, "shopify/shop") == 0) {
            hook_use_signed(fixture, NULL, NULL);
            hook_header(
                fixture, "X-Shopify-Hmac-Sha256", "w6gXv+jaRLhaJX30sMXiVkb6ItU7o4COt6J8EHzzqdM=");
        }
        assert_int_equal(hook_send(fixture, cases[i].path, cases[i].body), 200);
        hook_contains(cases[i].says ? exchange_events_text(&fixture->base)
                                    : exchange_rejected_text(&fixture->base),
            cases[i].says ? cases[i].says : "bad_currency /currency ");
    }
}

static void test_shopify_bad_notifications(void **state)
{
    static const struct {
        const char *topic, *body, *rejected;
    } cases[] = {
        {"orders/create", "{\"id\":1,\"currency\":\"JPY\",\"total_price\":\"1.5\"}",
            "money_precision /total_price "},
        {"orders/create", "{\"id\":1,\"currency\":\"yen!\"}", "bad_currency /currency "},
        {"orders/create", "{\"id\":1,\"line_items\":{}}", "bad_type /line_items "},
        {"orders/create", "{\"id\":1,\"line_items\":[7]}", "bad_type /line_items "},
        {"orders/create", "{\"id\":1,\"line_items\":[{\"quantity\":1.5}]}",
            "money_precision /line_items "},
        {"orders/create", "{\"id\":{},\"updated_at\":\"x\"}", ""},
        {"refunds/create", "{\"id\":1}", "missing_field /order_id "},
        {"refunds/create",
            "{\"id\":1,\"order_id\":2,\"transactions\":[{\"amount\":\"1\",\"currency\":\"JPY\"},"
            "{\"amount\":\"1\",\"currency\":\"USD\"}]}",
            "bad_currency /transactions "},
        {"products/update", "{\"id\":1}", "bad_value X-Shopify-Topic "},
        /* the topic is not signed: what the body says is believed */
        {"orders/cancelled", "{\"id\":1}", "bad_value /cancelled_at "},
        {"orders/cancelled", "{\"id\":1,\"cancelled_at\":null}", "bad_value /cancelled_at "},
        {"orders/paid", "{\"id\":1,\"financial_status\":\"pending\"}",
            "bad_value /financial_status "},
        {"orders/paid", "{\"id\":1,\"financial_status\":null}", "bad_value /financial_status "},
        {"orders/fulfilled", "{\"id\":1,\"fulfillment_status\":null}",
            "bad_value /fulfillment_status "},
        {"orders/create", "{\"id\":1,\"order_id\":2,\"refund_line_items\":[]}",
            "bad_value /refund_line_items "},
        {"refunds/create", "{\"id\":1,\"order_id\":2,\"total_price\":\"9\",\"currency\":\"JPY\"}",
            "bad_value /total_price "},
        {"refunds/create", "{\"id\":1,\"order_id\":2,\"line_items\":[]}", "bad_value /line_items "},
        /* tried, not bought */
        {"orders/create", "{\"id\":1,\"test\":true,\"currency\":\"JPY\",\"total_price\":\"9\"}",
            "bad_value /test "},
        {"orders/updated", "{\"id\":1,\"test\":true}", "bad_value /test "},
        {NULL, "{\"id\":1}", "missing_field X-Shopify-Topic "},
        {"orders/create", "[{\"id\":1},7]", "bad_type  7\n"},
    };
    struct hook_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        topic(fixture, cases[i].topic);
        int status = hook_send(fixture, "shopify/dev", cases[i].body);
        assert_int_equal(status, *cases[i].rejected ? 200 : 400);
        hook_contains(exchange_rejected_text(&fixture->base), cases[i].rejected);
    }
}

/* With room behind them, for the parser. */
#define REFUSED_ROOM "                                                                "
#define REFUSED_ORDER                                                                              \
    "{\"id\":1,\"total_price\":\"9\",\"updated_at\":\"2026-11-20T10:59:01+09:00\"}" REFUSED_ROOM
#define REFUSED_REFUND                                                                             \
    "{\"id\":1,\"order_id\":1,\"transactions\":[{\"amount\":\"9\"}]}" REFUSED_ROOM

/* The topic is in the id that was kept, behind what a header or the notification itself said. */
static void test_shopify_is_read_again(void **state)
{
    static const struct {
        const char *id;
        size_t max;
        const char *type;
    } cases[] = {
        {"e-1-orders/create", 1, "order_completed"},
        {"1-orders/create-2026-11-20T10:59:01+09:00", 1, "order_completed"},
        {"w-orders/create-orders/paid", 1, "order_paid"},
        {"e-2-refunds/create", 1, "order_refunded"},
        {"e-1-products/update", 0, NULL},
        {"orders/create", 0, NULL},
        {"e-1-orders/created", 0, NULL},
        {"e-1", 0, NULL},
        {"", 0, NULL},
    };
    struct hook_fixture *fixture = *state;
    struct exchange *exchange = &fixture->base.exchange;
    const struct config_source none = {0};
    struct source source = {.config = {.name = STR("shop"), .currency = STR("JPY")}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str id = str_of(cases[i].id);
        struct touchpoint event;
        struct event_problem problem;
        struct json item;
        assert_int_equal(hook_again_max(STR("shopify"), id, &none), cases[i].max);
        if (!cases[i].max)
            continue;
        bool refund = strcmp(cases[i].type, "order_refunded") == 0;
        assert_int_equal(json_parse(fixture->base.parser,
                             refund ? STR(REFUSED_REFUND) : STR(REFUSED_ORDER), &item),
            0);
        exchange->call = STR("shopify");
        exchange->source = &source;
        assert_int_equal(hook_again(exchange, id, item, 0, &event, &problem), 0);
        assert_true(str_equal(event.event_id, id));
        assert_true(str_equal(event.type, str_of(cases[i].type)));
        assert_true(event.order.revenue_minor == 9);
    }
}

/* HMAC-SHA-256 of {"id":1} by the new secret and by the old one. */
static void test_shopify_signature(void **state)
{
    static const struct {
        const char *signature;
        int status;
    } cases[] = {
        {"t9+RA26NT11F38tUSm5YT4Y7X1CWVrU7nfxaDZQh4vo=", 200},
        {"7/l6BpcDGDR3HI+RUB+FMT26YvxN217uUAqr5kV7QHw=", 200},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 401},
        {"short", 401},
        {NULL, 401},
    };
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, NULL);
    topic(fixture, "orders/create");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hook_header(fixture, "X-Shopify-Hmac-Sha256", cases[i].signature);
        assert_int_equal(hook_send(fixture, "shopify/shop", "{\"id\":1}"), cases[i].status);
        if (cases[i].status == 401)
            assert_int_equal(fixture->base.exchange.intake.records_count, 0);
    }
    hook_header(fixture, "X-Shopify-Hmac-Sha256", cases[0].signature);
    assert_int_equal(hook_send(fixture, "shopify/shop", "{\"id\":2}"), 401);
    assert_int_equal(hook_send(fixture, "shopify/bare", "{\"id\":1}"), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_NO_SECRET + 1);
}

static void test_shopify_replay_window(void **state)
{
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, NULL);
    topic(fixture, "orders/create");
    hook_header(fixture, "X-Shopify-Hmac-Sha256", "t9+RA26NT11F38tUSm5YT4Y7X1CWVrU7nfxaDZQh4vo=");
    hook_header(fixture, "X-Shopify-Triggered-At", "2026-11-20T01:00:01Z");
    assert_int_equal(hook_send(fixture, "shopify/shop", "{\"id\":1}"), 200);
    hook_header(fixture, "X-Shopify-Triggered-At", "2026-11-20T00:59:59Z");
    assert_int_equal(hook_send(fixture, "shopify/shop", "{\"id\":1}"), 403);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_STALE + 1);
    assert_int_equal(fixture->base.exchange.intake.records_count, 0);
    hook_header(fixture, "X-Shopify-Triggered-At", "2026-11-20T03:00:01Z");
    assert_int_equal(hook_send(fixture, "shopify/shop", "{\"id\":1}"), 403);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, hook_setup, hook_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_shopify_order_has_its_parts),
        WITH(test_shopify_topics),
        WITH(test_shopify_ids_stay_when_it_is_sent_again),
        WITH(test_shopify_refunds),
        WITH(test_shopify_money_of_the_shop_not_of_the_visitor),
        WITH(test_shopify_currency),
        WITH(test_shopify_bad_notifications),
        WITH(test_shopify_is_read_again),
        WITH(test_shopify_signature),
        WITH(test_shopify_replay_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
