/* The builder of libtabiji: golden lines, errors that stay, the collector's own verdicts, and every
 * allocation that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/protocol/native.h"
#include "ingest/producer/room.h"
#include "schemas/event.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* An allocator that counts, and fails the nth time. */
struct ledger {
    long live;
    long nth; /* 0: never */
};

static void *ledger_allocate(void *context, size_t size)
{
    struct ledger *ledger = context;
    if (ledger->nth && --ledger->nth == 0)
        return NULL;
    ledger->live++;
    return malloc(size);
}

static void *ledger_resize(void *context, void *memory, size_t size)
{
    struct ledger *ledger = context;
    if (ledger->nth && --ledger->nth == 0)
        return NULL;
    return realloc(memory, size);
}

static void ledger_release(void *context, void *memory)
{
    struct ledger *ledger = context;
    ledger->live--;
    free(memory);
}

static struct tabiji_event *begin(const char *type)
{
    struct tabiji_event *event = NULL;
    assert_int_equal(tabiji_event_new(type, NULL, &event), TABIJI_OK);
    assert_int_equal(tabiji_event_set_time_ms(event, 1795139999000), TABIJI_OK);
    return event;
}

static void assert_line(struct tabiji_event *event, const char *want)
{
    const char *json = NULL;
    size_t size = 0;
    assert_int_equal(tabiji_event_json(event, &json, &size), TABIJI_OK);
    assert_string_equal(json, want);
    assert_int_equal(size, strlen(want));
}

static void add_receipt(struct tabiji_event *event)
{
    const struct tabiji_order order = {.size = sizeof order,
        .order_id = "R-1",
        .currency = "JPY",
        .revenue = "1200",
        .tax = "109",
        .shipping = "0",
        .discount = "100",
        .coupon = "秋",
        .facet = "paid"};
    const struct tabiji_item tea = {
        .size = sizeof tea, .sku = "tea", .category = "drink", .price = "400", .quantity = 2};
    const struct tabiji_item cup = {.size = sizeof cup, .sku = "cup", .price = "500"};
    const struct tabiji_store store = {
        .size = sizeof store, .store_id = "shibuya", .terminal = "3", .area = "B1", .staff = "s-9"};
    (void)tabiji_event_set_order(event, &order);
    (void)tabiji_event_add_item(event, &tea);
    (void)tabiji_event_add_item(event, &cup);
    (void)tabiji_event_set_store(event, &store);
}

static void test_event_with_receipt_is_one_line(void **state)
{
    struct tabiji_event *event = begin(TABIJI_STORE_PURCHASE);
    add_receipt(event);
    (void)tabiji_event_set_id(event, "r-1");
    (void)tabiji_event_add_identifier(event, "loyalty", "8800");
    (void)tabiji_event_add_identifier(event, "phone", "03-1234-5678");
    (void)tabiji_event_add_identifier(event, "loyalty", "88\"01");
    (void)tabiji_event_set_sequence(event, -4);
    assert_line(event,
        "{\"type\":\"store_purchase\",\"id\":\"r-1\",\"time\":1795139999000,\"sequence\":-4,"
        "\"ids\":{\"loyalty\":[\"8800\",\"88\\\"01\"],\"phone\":[\"03-1234-5678\"]},"
        "\"order\":{\"order_id\":\"R-1\",\"currency\":\"JPY\",\"revenue\":\"1200\",\"tax\":\"109\","
        "\"shipping\":\"0\",\"discount\":\"100\",\"coupon\":\"秋\",\"facet\":\"paid\",\"items\":["
        "{\"sku\":\"tea\",\"category\":\"drink\",\"price\":\"400\",\"quantity\":2},"
        "{\"sku\":\"cup\",\"price\":\"500\"}]},"
        "\"store\":{\"store_id\":\"shibuya\",\"terminal\":\"3\",\"area\":\"B1\",\"staff\":\"s-9\"}"
        "}");
    assert_int_equal(tabiji_event_check(event, NULL), TABIJI_OK);
    tabiji_event_free(&event);
    assert_null(event);
}

/* Programs that were built with an older header have structures with fewer members. */
static void test_problem_of_an_older_header_is_filled_as_far_as_it_goes(void **state)
{
    struct tabiji_event *event = begin(TABIJI_STORE_PURCHASE);
    struct tabiji_problem problem = {
        .size = offsetof(struct tabiji_problem, hint), .hint = "untouched"};
    (void)tabiji_event_add_int(event, "", 1);
    (void)tabiji_event_set_time(event, "yesterday");
    assert_true(tabiji_event_check(event, &problem) < 0);
    assert_true(problem.error < 0 && problem.code[0] && problem.pointer[0] == '/');
    assert_int_equal(problem.size, offsetof(struct tabiji_problem, hint));
    assert_string_equal(problem.hint, "untouched");
    tabiji_event_free(&event);
}

static void add_everything(struct tabiji_event *event)
{
    const struct tabiji_call call = {.size = sizeof call,
        .call_id = "CA1",
        .parent_id = "CA0",
        .direction = "inbound",
        .queue = "returns",
        .reason = "size",
        .outcome = "resolved",
        .agent = "a-1",
        .wait_ms = 12000,
        .talk_ms = 183000};
    const struct tabiji_message message = {.size = sizeof message,
        .kind = "line",
        .message_id = "m",
        .template_name = "t",
        .link = "l"};
    const struct tabiji_page page = {.size = sizeof page,
        .url = "https://shop.example/a?utm_source=x",
        .referrer = "https://r.example/",
        .title = "A"};
    const struct tabiji_campaign campaign = {.size = sizeof campaign,
        .source = "a",
        .medium = "b",
        .name = "c",
        .content = "d",
        .term = "e",
        .id = "f",
        .message = "001"};
    const struct tabiji_device device = {.size = sizeof device,
        .kind = "pos",
        .os = "o",
        .browser = "b",
        .app = "a",
        .app_version = "1",
        .locale = "ja",
        .screen = "1x1"};
    const struct tabiji_geo geo = {
        .size = sizeof geo, .country = "JP", .region = "13", .city = "Tokyo"};
    const struct tabiji_consent consent = {
        .size = sizeof consent, .analytics = TABIJI_CHOICE_GRANTED, .ads = TABIJI_CHOICE_DENIED};
    const struct tabiji_link link = {.size = sizeof link,
        .a_name = "login",
        .a_value = "u",
        .b_name = "cookie",
        .b_value = "c",
        .reason = "counter"};
    (void)tabiji_event_set_call(event, &call);
    (void)tabiji_event_set_message(event, &message);
    (void)tabiji_event_set_page(event, &page);
    (void)tabiji_event_set_campaign(event, &campaign);
    (void)tabiji_event_set_device(event, &device);
    (void)tabiji_event_set_geo(event, &geo);
    (void)tabiji_event_set_consent(event, &consent);
    (void)tabiji_event_set_link(event, &link);
    (void)tabiji_event_set_click(event, "gclid", "g");
    (void)tabiji_event_add_text(event, "text", "a\nb");
    (void)tabiji_event_add_int(event, "int", INT64_MIN);
    (void)tabiji_event_add_double(event, "double", 0.1);
    (void)tabiji_event_add_bool(event, "bool", 7);
    (void)tabiji_event_add_json(event, "json", "{\"a\":\n[1,2]}");
    (void)tabiji_event_set_time(event, "2026-11-20T10:15:00.123+09:00");
    (void)tabiji_event_add_identifier(event, "login", "u");
}

static void test_event_with_every_part_is_taken_by_the_collector(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct tabiji_event *event = begin(TABIJI_CALL_ENDED);
    const char *json = NULL;
    size_t size = 0;
    add_everything(event);
    add_receipt(event);
    (void)tabiji_event_set_id(event, "1");
    assert_int_equal(tabiji_event_json(event, &json, &size), TABIJI_OK);
    exchange_run(fixture, native_handle, "events", str_make(json, size));
    assert_string_equal(
        exchange_reply_text(fixture), "{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}");
    assert_string_equal(exchange_events_text(fixture),
        "{\"call\":{\"agent\":\"a-1\",\"call_id\":\"CA1\",\"direction\":\"inbound\",\"outcome\":"
        "\"resolved\",\"parent_id\":\"CA0\",\"queue\":\"returns\",\"reason\":\"size\",\"talk_ms\":"
        "183000,\"wait_ms\":12000},\"campaign\":{\"content\":\"d\",\"id\":\"f\",\"medium\":\"b\","
        "\"message\":\"001\",\"name\":\"c\",\"source\":\"a\",\"term\":\"e\"},\"click\":{\"kind\":"
        "\"gclid\",\"value\":\"g\"},\"consent\":{\"ads\":false,\"analytics\":true},\"device\":{"
        "\"app\":\"a\",\"app_version\":\"1\",\"browser\":\"b\",\"kind\":\"pos\",\"locale\":\"ja\","
        "\"os\":\"o\",\"screen\":\"1x1\"},\"evidence\":{\"a\":{\"login\":\"u\"},\"b\":{\"cookie\":"
        "\"c\"},\"reason\":\"counter\"},\"geo\":{\"city\":\"Tokyo\",\"country\":\"JP\",\"region\":"
        "\"13\"},\"id\":\"1\",\"ids\":{\"case\":\"CA1\",\"login\":\"u\",\"order\":\"R-1\"},"
        "\"message\":{\"kind\":\"line\",\"link\":\"l\",\"message_id\":\"m\",\"template\":\"t\"},"
        "\"order\":{\"coupon\":\"秋\",\"currency\":\"JPY\",\"discount\":\"100\",\"facet\":\"paid\","
        "\"items\":[{\"category\":\"drink\",\"price\":\"400\",\"quantity\":2,\"sku\":\"tea\"},{"
        "\"price\":\"500\",\"sku\":\"cup\"}],\"order_id\":\"R-1\",\"revenue\":\"1200\",\"tax\":"
        "\"109\"},\"page\":{\"host\":\"shop.example\",\"path\":\"/a\",\"query\":\"utm_source=x\","
        "\"referrer_host\":\"r.example\",\"referrer_path\":\"/\",\"title\":\"A\"},\"properties\":{"
        "\"bool\":true,\"double\":0.1,\"int\":-9223372036854775808,\"json\":{\"a\":[1,2]},\"text\":"
        "\"a\\nb\"},\"store\":{\"area\":\"B1\",\"staff\":\"s-9\",\"store_id\":\"shibuya\","
        "\"terminal\":\"3\"},\"time\":\"2026-11-20T01:15:00.123Z\",\"type\":\"call_ended\"}\n");
    assert_int_equal(tabiji_event_check(event, NULL), TABIJI_OK);
    tabiji_event_free(&event);
}

/* Every canonical type has a name in the header. */
static void test_event_types_are_all_named(void **state)
{
    static const char *const named[] = {TABIJI_AD_CLICKED, TABIJI_AD_IMPRESSION, TABIJI_ALIASED,
        TABIJI_APP_INSTALLED, TABIJI_APP_OPENED, TABIJI_CALL_ABANDONED, TABIJI_CALL_ANSWERED,
        TABIJI_CALL_ENDED, TABIJI_CALL_STARTED, TABIJI_CART_VIEWED, TABIJI_CHAT_ENDED,
        TABIJI_CHAT_STARTED, TABIJI_CHECKOUT_STARTED, TABIJI_CONSENT_CHANGED,
        TABIJI_COUPON_REDEEMED, TABIJI_ERASURE_LIFTED, TABIJI_ERASURE_REQUESTED,
        TABIJI_FORM_SUBMITTED, TABIJI_IDENTIFIED, TABIJI_IDENTITY_LINKED, TABIJI_IDENTITY_UNLINKED,
        TABIJI_ITEM_RETURNED, TABIJI_MESSAGE_CLICKED, TABIJI_MESSAGE_DELIVERED,
        TABIJI_MESSAGE_OPENED, TABIJI_MESSAGE_SENT, TABIJI_MESSAGE_UNSUBSCRIBED,
        TABIJI_ORDER_CANCELLED, TABIJI_ORDER_COMPLETED, TABIJI_ORDER_PAID, TABIJI_ORDER_PICKED_UP,
        TABIJI_ORDER_REFUNDED, TABIJI_ORDER_SHIPPED, TABIJI_PAGE_VIEWED, TABIJI_PRODUCT_ADDED,
        TABIJI_PRODUCT_LIST_VIEWED, TABIJI_PRODUCT_REMOVED, TABIJI_PRODUCT_VIEWED,
        TABIJI_QR_SCANNED, TABIJI_REVIEW_POSTED, TABIJI_SCREEN_VIEWED, TABIJI_SEARCHED,
        TABIJI_SIGNED_IN, TABIJI_SIGNED_UP, TABIJI_SPEND_REPORTED, TABIJI_STAFF_CONSULTED,
        TABIJI_STOCK_CHECKED, TABIJI_STORE_PURCHASE, TABIJI_STORE_VISITED, TABIJI_TICKET_CLOSED,
        TABIJI_TICKET_OPENED};
    size_t count = 0;
    const struct str *types = event_types(&count);
    assert_int_equal(count, COUNT(named));
    for (size_t i = 0; i < count; i++)
        assert_true(str_equal(types[i], str_of(named[i])));
}

/* A member that the caller's structure is too short for is not read. */
static void test_event_set_order_of_an_older_caller_says_less(void **state)
{
    struct tabiji_event *event = begin(TABIJI_ORDER_PAID);
    const struct tabiji_order order = {.size = offsetof(struct tabiji_order, tax),
        .order_id = "o",
        .revenue = "1",
        .currency = "JPY",
        .tax = "9"};
    (void)tabiji_event_set_order(event, &order);
    assert_line(event, "{\"type\":\"order_paid\",\"time\":1795139999000,\"ids\":{},\"order\":{"
                       "\"order_id\":\"o\",\"currency\":\"JPY\",\"revenue\":\"1\"}}");
    tabiji_event_free(&event);
}

static void test_event_set_link_of_an_older_caller_says_less(void **state)
{
    struct tabiji_event *event = begin(TABIJI_ALIASED);
    struct tabiji_link link = {.size = offsetof(struct tabiji_link, reason),
        .a_name = "login",
        .a_value = "u-1",
        .b_name = "cookie",
        .b_value = "c-1",
        .reason = "typed",
        .apart = 1};
    assert_int_equal(tabiji_event_set_link(event, &link), TABIJI_OK);
    assert_line(event, "{\"type\":\"aliased\",\"time\":1795139999000,\"ids\":{},\"evidence\":{"
                       "\"a\":{\"login\":\"u-1\"},\"b\":{\"cookie\":\"c-1\"}}}");
    link.size = offsetof(struct tabiji_link, apart);
    assert_int_equal(tabiji_event_set_link(event, &link), TABIJI_OK);
    assert_line(event, "{\"type\":\"aliased\",\"time\":1795139999000,\"ids\":{},\"evidence\":{"
                       "\"a\":{\"login\":\"u-1\"},\"b\":{\"cookie\":\"c-1\"},\"reason\":"
                       "\"typed\"}}");
    /* Without its second identifier it is no link, whatever lies behind. */
    link.size = offsetof(struct tabiji_link, b_value);
    assert_int_equal(tabiji_event_set_link(event, &link), TABIJI_ERROR_ARGUMENT);
    tabiji_event_free(&event);
}

static void assert_problem(struct tabiji_event *event, const char *code, const char *pointer)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    assert_int_equal(tabiji_event_check(event, &problem), TABIJI_ERROR_INVALID);
    assert_int_equal(problem.error, TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, code);
    assert_string_equal(problem.pointer, pointer);
    tabiji_event_free(&event);
}

static void test_event_setters_first_error_stays(void **state)
{
    struct tabiji_event *event = begin("custom");
    const struct tabiji_call call = {.size = sizeof call, .queue = "\xff"};
    assert_int_equal(tabiji_event_set_call(event, &call), TABIJI_ERROR_INVALID);
    assert_int_equal(tabiji_event_set_id(event, ""), TABIJI_ERROR_INVALID);
    assert_int_equal(tabiji_event_add_identifier(event, "login", "u"), TABIJI_OK);
    assert_problem(event, "bad_utf8", "/call/queue");

    event = begin("custom");
    assert_int_equal(tabiji_event_set_id(event, ""), TABIJI_ERROR_INVALID);
    assert_problem(event, "bad_id", "/id");

    event = begin("custom");
    assert_int_equal(tabiji_event_add_double(event, "d", 1.0 / 0.0), TABIJI_ERROR_INVALID);
    assert_problem(event, "num_range", "/properties");

    event = begin("custom");
    for (int i = 0; i < EVENT_IDENTIFIERS_MAX; i++)
        assert_int_equal(tabiji_event_add_identifier(event, "login", "u"), TABIJI_OK);
    assert_int_equal(tabiji_event_add_identifier(event, "login", "u"), TABIJI_ERROR_INVALID);
    assert_problem(event, "too_many", "/ids");

    event = begin("custom");
    const struct tabiji_item item = {.size = sizeof item, .sku = "s"};
    for (int i = 0; i < EVENT_ITEMS_MAX; i++)
        assert_int_equal(tabiji_event_add_item(event, &item), TABIJI_OK);
    assert_int_equal(tabiji_event_add_item(event, &item), TABIJI_ERROR_INVALID);
    assert_problem(event, "too_many", "/order/items");

    event = begin("custom");
    const struct tabiji_consent consent = {.size = sizeof consent, .ads = (enum tabiji_choice)9};
    assert_int_equal(tabiji_event_set_consent(event, &consent), TABIJI_ERROR_INVALID);
    assert_problem(event, "bad_value", "/consent/ads");
}

/* JSON of a property could close it, and say parts of the event that its caller never set. */
static void test_event_add_json_takes_one_value_alone(void **state)
{
    static const char *const values[] = {"1", " \"a,b:}]\" ", "\"\\\"},{\"", "null",
        "[1,{\"a\":[2,3]},\"}\"]", "{\"a\":1,\"b\":{}}"};
    static const char *const others[] = {"", " ", "1,\"type\":\"x\"", "1:2", "\"a", "\"a\\",
        "{\"a\":1", "{\"a\":1}}", "]",
        "1},\"order\":{\"order_id\":\"x\"},\"geo\":{\"country\":\"JP\""};
    for (size_t i = 0; i < COUNT(values); i++) {
        struct tabiji_event *event = begin("custom");
        assert_int_equal(tabiji_event_add_identifier(event, "login", "u"), TABIJI_OK);
        assert_int_equal(tabiji_event_add_json(event, "p", values[i]), TABIJI_OK);
        assert_int_equal(tabiji_event_check(event, NULL), TABIJI_OK);
        tabiji_event_free(&event);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        struct tabiji_event *event = begin("custom");
        assert_int_equal(tabiji_event_add_identifier(event, "login", "u"), TABIJI_OK);
        assert_int_equal(tabiji_event_add_json(event, "p", others[i]), TABIJI_ERROR_INVALID);
        assert_problem(event, "bad_json", "/properties/p");
    }
}

static void test_event_check_names_the_field_and_the_nearest_word(void **state)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_event *event = begin(TABIJI_ORDER_COMPLETED);
    const struct tabiji_order order = {.size = sizeof order, .facet = "shiped"};
    (void)tabiji_event_set_order(event, &order);
    (void)tabiji_event_add_identifier(event, "login", "u");
    assert_int_equal(tabiji_event_check(event, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.pointer, "/order/facet");
    assert_non_null(strstr(problem.hint, "shipped"));
    tabiji_event_free(&event);

    event = begin(TABIJI_CALL_ENDED);
    (void)tabiji_event_add_identifier(event, "pone", "03-1234-5678");
    assert_int_equal(tabiji_event_check(event, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "unknown_namespace");
    assert_string_equal(problem.pointer, "/ids/pone");
    assert_non_null(strstr(problem.hint, "phone"));
    tabiji_event_free(&event);

    event = begin(TABIJI_CALL_ENDED);
    (void)tabiji_event_add_identifier(event, "phone", "0120-444-444");
    (void)tabiji_event_add_identifier(event, "login", "u");
    assert_int_equal(tabiji_event_check(event, &problem), TABIJI_OK);
    assert_string_equal(problem.code, "identifier_dropped");
    assert_string_equal(problem.pointer, "/ids/phone");
    tabiji_event_free(&event);
}

/* Whatever the collector answers to one event, the check says too. */
static void test_json_check_says_what_the_collector_says(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const char *const events[] = {
        "{\"id\":\"1\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"tpye\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"Page\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"x\"}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"null\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cokie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":7}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"phone\":\"03\",\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"time\":\"today\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"order\":{\"revenue\":1.5}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"order\":{\"revenue\":\"1.5\","
        "\"currency\":\"JPY\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"order\":{\"currency\":\"YEN\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"order\":{\"items\":[{\"skv\":"
        "\"s\"}]}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"properties\":{\"a\":\"\\u0000\"}"
        "}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"page\":{\"url\":"
        "\"https://a.jp/%00?b=%00#%00\",\"title\":\"%00\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"page\":{\"title\":\"\\u0000\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"co\\u0000kie\":\"c\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"properties\":{\"a\":1,\"a\":2}}",
        "{\"id\":\"1\",\"type\":\"x\",\"skv\":1,\"ids\":{\"cookie\":\"c\",\"cookie\":\"d\"}}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"channel\":\"tv\"}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"source\":\"s\"}",
        "{\"id\":\"1\",\"type\":\"x\",\"ids\":{},\"consent\":{\"analytics\":false}}",
        "[]",
        "{\"id\":\"1\"",
        "{\"id\":\"1\",\"id\":\"2\"}",
    };
    fixture->exchange.body_lines = true;
    for (size_t i = 0; i < COUNT(events); i++) {
        struct tabiji_problem problem = {.size = sizeof problem};
        CLEANUP(buf_free) struct buf want = {0};
        int r = tabiji_json_check(events[i], strlen(events[i]), &problem);
        exchange_run(fixture, native_handle, "events", str_of(events[i]));
        const char *reply = exchange_reply_text(fixture);
        const char *list = strstr(reply, r < 0 ? "\"rejected\":[{" : "\"warnings\":[{");
        assert_true((r < 0) == (strstr(reply, "\"rejected\":[]") == NULL));
        assert_true((problem.code[0] != 0) == (list != NULL));
        if (!list)
            continue;
        assert_int_equal(buf_appendf(&want, "\"code\":\"%s\",\"pointer\":\"%s\",\"hint\":",
                             problem.code, problem.pointer),
            0);
        assert_int_equal(json_write_text(&want, str_of(problem.hint)), 0);
        assert_int_equal(buf_append(&want, "", 1), 0);
        if (!strstr(list, want.data))
            fail_msg("%s is not in %s", want.data, list);
    }
}

/* Builds one, whatever its allocations say; one that is full from the beginning, so that each text
 * is an allocation. */
static int build(const struct tabiji_allocator *allocator)
{
    struct tabiji_event *event = NULL;
    const char *json = NULL;
    size_t size = 0;
    int r = tabiji_event_new(TABIJI_CALL_ENDED, allocator, &event);
    if (r == TABIJI_OK) {
        static char many[1000], some[500];
        (void)tabiji_event_add_text(event, "many", memset(many, 'x', sizeof many - 1));
        (void)tabiji_event_set_click(event, "x", memset(some, 'x', sizeof some - 1));
        add_everything(event);
        add_receipt(event);
        r = tabiji_event_json(event, &json, &size);
    }
    tabiji_event_free(&event);
    return r;
}

static void test_event_each_allocation_fails_once_and_nothing_is_lost(void **state)
{
    struct ledger ledger = {0};
    const struct tabiji_allocator allocator = {.allocate = ledger_allocate,
        .resize = ledger_resize,
        .release = ledger_release,
        .context = &ledger};
    long failed = 0;
    int r = TABIJI_ERROR_NO_MEMORY;
    for (long nth = 1; r == TABIJI_ERROR_NO_MEMORY; nth++) {
        ledger.nth = nth;
        r = build(&allocator);
        assert_int_equal(ledger.live, 0);
        failed += r == TABIJI_ERROR_NO_MEMORY;
        assert_true(nth < 200);
    }
    assert_int_equal(r, TABIJI_OK);
    assert_true(failed > 12);
}

/* Each byte of ASCII as the writer of JSON has it. */
static void test_event_text_of_each_byte_is_quoted_as_json(void **state)
{
    for (int byte = 1; byte < 0x80; byte++) {
        struct tabiji_event *event = begin("custom");
        const char value[] = {'a', (char)byte, 'b', (char)byte, '\0'};
        CLEANUP(buf_free) struct buf want = {0};
        (void)tabiji_event_add_text(event, "t", value);
        assert_int_equal(buf_appendf(&want, "{\"type\":\"custom\",\"time\":1795139999000,"
                                            "\"ids\":{},\"properties\":{\"t\":"),
            0);
        assert_int_equal(json_write_text(&want, str_of(value)), 0);
        assert_int_equal(buf_append(&want, "}}", 3), 0);
        assert_line(event, want.data);
        tabiji_event_free(&event);
    }
}

/* What outgrows the event's own memory is as what did not. */
static void test_event_of_any_size_is_the_same_line(void **state)
{
    static char value[2 * PRODUCER_ROOM_SIZE], want[sizeof value + 128];
    for (size_t size = 1; size < sizeof value; size++) {
        struct tabiji_event *event = begin("custom");
        memset(value, 'a', size);
        value[size] = '\0';
        if (size % 7 == 0)
            value[size / 2] = '\n';
        (void)tabiji_event_add_int(event, "n", -1);
        (void)tabiji_event_add_text(event, "t", value);
        (void)tabiji_event_set_sequence(event, INT64_MIN);
        bool escaped = size % 7 == 0;
        (void)snprintf(want, sizeof want,
            "{\"type\":\"custom\",\"time\":1795139999000,\"sequence\":-9223372036854775808,"
            "\"ids\":{},\"properties\":{\"n\":-1,\"t\":\"%.*s%s%s\"}}",
            (int)(size / 2), value, escaped ? "\\n" : "", value + size / 2 + escaped);
        assert_line(event, want);
        tabiji_event_free(&event);
    }
}

static void test_arguments_that_are_missing_are_errors(void **state)
{
    struct tabiji_event *event = NULL;
    const struct tabiji_allocator half = {.allocate = ledger_allocate};
    assert_int_equal(tabiji_event_new(NULL, NULL, &event), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_new("x", NULL, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_new("x", &half, &event), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_check(NULL, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_json_check(NULL, 0, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_set_order(NULL, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_add_text(NULL, "a", "b"), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_event_add_double(NULL, "a", 1), TABIJI_ERROR_ARGUMENT);
    assert_string_equal(tabiji_event_id(NULL), "");
    tabiji_event_free(NULL);
    tabiji_event_free(&event);
}

static void test_error_texts_are_there_for_all(void **state)
{
    for (int error = TABIJI_ERROR_LOCKED; error <= 0; error++) {
        assert_string_not_equal(tabiji_error_name(error), "unknown");
        assert_string_not_equal(tabiji_error_text(error), "no such error");
    }
    assert_string_equal(tabiji_error_name(1), "unknown");
    assert_string_equal(tabiji_error_text(TABIJI_ERROR_LOCKED - 1), "no such error");
    assert_string_equal(tabiji_version(), TABIJI_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_with_receipt_is_one_line),
        cmocka_unit_test(test_problem_of_an_older_header_is_filled_as_far_as_it_goes),
        cmocka_unit_test_setup_teardown(
            test_event_with_every_part_is_taken_by_the_collector, setup_open, teardown),
        cmocka_unit_test(test_event_types_are_all_named),
        cmocka_unit_test(test_event_set_order_of_an_older_caller_says_less),
        cmocka_unit_test(test_event_set_link_of_an_older_caller_says_less),
        cmocka_unit_test(test_event_setters_first_error_stays),
        cmocka_unit_test(test_event_check_names_the_field_and_the_nearest_word),
        cmocka_unit_test_setup_teardown(
            test_json_check_says_what_the_collector_says, setup_open, teardown),
        cmocka_unit_test(test_event_each_allocation_fails_once_and_nothing_is_lost),
        cmocka_unit_test(test_event_text_of_each_byte_is_quoted_as_json),
        cmocka_unit_test(test_event_add_json_takes_one_value_alone),
        cmocka_unit_test(test_event_of_any_size_is_the_same_line),
        cmocka_unit_test(test_arguments_that_are_missing_are_errors),
        cmocka_unit_test(test_error_texts_are_there_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
