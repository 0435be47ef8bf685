/* Snowplow's tracker protocol: exact replies, the mapping of each event, bad input. */
#include "ingest/collector/protocol/snowplow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define ID "6f2f6c9e-52fb-4d5c-9d7c-0c0a0b0c0d0e"
#define HEAD "\"eid\":\"" ID "\",\"tv\":\"js-4.10.1\",\"p\":\"web\",\"duid\":\"d1\""
#define PAYLOAD "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
#define BATCH(events) "{\"schema\":\"" PAYLOAD "\",\"data\":[" events "]}"
#define IGLU(name) "iglu:com.snowplowanalytics.snowplow/" name
#define ECOMMERCE(name) "iglu:com.snowplowanalytics.snowplow.ecommerce/" name "/jsonschema/1-0-0"
#define TIMED ",\"ttm\":\"1795139940000\""
#define WHEN "\"time\":\"2026-11-20T01:59:00Z\""
#define PARAMETERS_MAX 32

/* Request headers that exchange_header() finds. */
static const char *cookie_header;
static const char *anonymous_header;

static struct str header_of(const void *context, const char *name)
{
    (void)context;
    if (strcmp(name, "Cookie") == 0)
        return str_of(cookie_header);
    return strcmp(name, "SP-Anonymous") == 0 ? str_of(anonymous_header) : STR("");
}

static int hear(void **state)
{
    struct exchange_fixture *fixture = *state;
    cookie_header = NULL;
    anonymous_header = NULL;
    fixture->exchange.header = header_of;
    return 0;
}

static int setup_hearing(void **state)
{
    int r = setup(state);
    return r == 0 ? hear(state) : r;
}

static int setup_open_hearing(void **state)
{
    int r = setup_open(state);
    return r == 0 ? hear(state) : r;
}

static void post(struct exchange_fixture *fixture, const char *body)
{
    fixture->exchange.headers_count = 0;
    fixture->exchange.media_type = NULL;
    fixture->exchange.get = false;
    exchange_run(fixture, snowplow_post_handle, "", str_of(body));
}

/* Asks the image: parameters as name, value, ..., NULL. */
static void ask(struct exchange_fixture *fixture, const char *const *parameters)
{
    static struct exchange_pair query[PARAMETERS_MAX];
    size_t count = 0;
    for (; parameters[2 * count]; count++)
        query[count] = (struct exchange_pair){
            str_of(parameters[2 * count]), str_of(parameters[2 * count + 1])};
    fixture->exchange.query = query;
    fixture->exchange.query_count = count;
    fixture->exchange.get = true;
    fixture->exchange.headers_count = 0;
    exchange_run(fixture, snowplow_pixel_handle, "", STR(""));
}

#define ASK(fixture, ...) ask(fixture, (const char *const[]){__VA_ARGS__, NULL})

static void assert_ok(struct exchange_fixture *fixture)
{
    assert_string_equal(exchange_reply_text(fixture), "ok");
    assert_int_equal(fixture->exchange.status, 200);
    assert_string_equal(fixture->exchange.media_type, "text/plain; charset=utf-8");
}

static void assert_image(struct exchange_fixture *fixture)
{
    if (fixture->exchange.status != 200)
        fail_msg("%s", exchange_reply_text(fixture));
    assert_string_equal(fixture->exchange.media_type, "image/gif");
    assert_int_equal(fixture->exchange.reply.size, 43);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s\nis not in\n%s", part, text);
}

/* A batch of one event with these members succeeds; its text is returned. */
static const char *stored(struct exchange_fixture *fixture, const char *members)
{
    CLEANUP(buf_free) struct buf body = {0};
    assert_int_equal(buf_appendf(&body, BATCH("{" HEAD TIMED ",%s}"), members), 0);
    assert_int_equal(buf_append(&body, "", 1), 0);
    post(fixture, body.data);
    assert_ok(fixture);
    if (*exchange_rejected_text(fixture))
        fail_msg("rejected: %s", exchange_rejected_text(fixture));
    return exchange_events_text(fixture);
}

/* The batch succeeds, and its event is found in rejected. */
static void assert_rejected(
    struct exchange_fixture *fixture, const char *event, const char *code, const char *pointer)
{
    CLEANUP(buf_free) struct buf body = {0};
    CLEANUP(buf_free) struct buf want = {0};
    assert_int_equal(buf_appendf(&body, BATCH("%s"), event), 0);
    assert_int_equal(buf_append(&body, "", 1), 0);
    post(fixture, body.data);
    assert_ok(fixture);
    assert_int_equal(buf_appendf(&want, "%s %s %s\n", code, pointer, event), 0);
    assert_int_equal(buf_append(&want, "", 1), 0);
    const char *kept = exchange_rejected_text(fixture);
    bool inner = strstr(event, "\"ue_p") || strstr(event, "\"co\"") || strstr(event, "\"cx\"");
    if (inner) /* its fields are written anew */
        assert_memory_equal(kept, want.data, strlen(code) + strlen(pointer) + 2);
    else
        assert_string_equal(kept, want.data);
    assert_string_equal(exchange_events_text(fixture), "");
}

static void assert_refused(
    struct exchange_fixture *fixture, const char *body, int status, const char *code)
{
    CLEANUP(buf_free) struct buf begin = {0};
    post(fixture, body);
    assert_int_equal(buf_appendf(&begin, "{\"code\":\"%s\",", code), 0);
    const char *reply = exchange_reply_text(fixture);
    if (strncmp(reply, begin.data, begin.size) != 0 || fixture->exchange.status != status)
        fail_msg("%d %s does not begin with %.*s", fixture->exchange.status, reply, (int)begin.size,
            begin.data);
}

/* The value of the cookie that the reply sets, with its attributes. */
static struct str cookie_of(const struct exchange_fixture *fixture)
{
    assert_int_equal(fixture->exchange.headers_count, 1);
    assert_string_equal(fixture->exchange.headers[0].name.data, "Set-Cookie");
    return fixture->exchange.headers[0].value;
}

/* ---- events ---- */

static void test_snowplow_page_view_of_a_browser(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.browser = true;
    fixture->exchange.user_agent = STR("UA");
    fixture->exchange.address = STR("192.0.2.7");
    cookie_header = "a=b; sp=n1";
    assert_string_equal(
        stored(fixture,
            "\"e\":\"pv\",\"uid\":\"u1\",\"url\":\"https://Shop.example/a?utm_source=line#x\","
            "\"page\":\"コート\",\"refr\":\"https://search.example/?q=x\",\"lang\":\"ja-JP\","
            "\"res\":\"390x844\",\"tna\":\"sp\",\"aid\":\"shop\",\"tz\":\"Asia/Tokyo\","
            "\"sid\":\"s1\",\"vid\":3,\"cookie\":\"1\",\"cd\":\"24\",\"cs\":\"UTF-8\","
            "\"vp\":\"1x2\",\"ds\":\"3x4\",\"f_new\":\"?\""),
        "{\"client\":{\"address\":\"192.0.2.7\",\"library\":\"js-4.10.1\",\"user_agent\":\"UA\"},"
        "\"device\":{\"locale\":\"ja-JP\",\"screen\":\"390x844\"},\"id\":\"" ID "\",\"ids\":{"
        "\"cookie\":[\"d1\",\"n1\"],\"login\":\"u1\"},\"page\":{\"host\":\"shop.example\","
        "\"path\":\"/a\",\"query\":\"utm_source=line\",\"referrer_host\":\"search.example\","
        "\"referrer_path\":\"/\",\"title\":\"コート\"},\"properties\":{\"tracker\":{"
        "\"aid\":\"shop\",\"cd\":\"24\",\"cookie\":\"1\",\"cs\":\"UTF-8\",\"ds\":\"3x4\","
        "\"f_new\":\"?\",\"p\":\"web\",\"sid\":\"s1\",\"tna\":\"sp\",\"tz\":\"Asia/Tokyo\","
        "\"vid\":\"3\",\"vp\":\"1x2\"}}," WHEN ",\"type\":\"page_viewed\"}\n");
}

static void test_snowplow_kinds_of_event(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text = stored(fixture,
        "\"e\":\"pp\",\"pp_mix\":\"0\",\"pp_max\":\"1\",\"pp_miy\":\"2\",\"pp_may\":\"3\"");
    assert_contains(text, "\"type\":\"page_pinged\"");
    assert_contains(text, "\"pp_max\":\"1\",\"pp_may\":\"3\",\"pp_mix\":\"0\",\"pp_miy\":\"2\"");
    text = stored(fixture, "\"e\":\"se\",\"se_ca\":\"Shop\",\"se_ac\":\"Size Chosen\","
                           "\"se_la\":\"l\",\"se_pr\":\"p\",\"se_va\":1.5");
    assert_contains(text, "\"type\":\"size_chosen\"");
    assert_contains(text, "\"se_ac\":\"Size Chosen\",\"se_ca\":\"Shop\",\"se_la\":\"l\","
                          "\"se_pr\":\"p\",\"se_va\":\"1.5\"");
    text = stored(fixture,
        "\"e\":\"tr\",\"tr_id\":\"W-1\",\"tr_af\":\"web\",\"tr_tt\":\"12980\",\"tr_tx\":1180,"
        "\"tr_sh\":\"0\",\"tr_ci\":\"c\",\"tr_st\":\"s\",\"tr_co\":\"JP\",\"tr_cu\":\"jpy\"");
    assert_contains(text, "\"cookie\":[");
    assert_contains(text, "\"order\":{\"currency\":\"JPY\",\"facet\":\"placed\","
                          "\"order_id\":\"W-1\",\"revenue\":\"12980\",\"tax\":\"1180\"}");
    assert_contains(text, "\"tr_af\":\"web\",\"tr_ci\":\"c\",\"tr_co\":\"JP\",\"tr_st\":\"s\"");
    assert_contains(text, "\"type\":\"order_completed\"");
    text = stored(fixture,
        "\"e\":\"ti\",\"ti_id\":\"W-1\",\"ti_sk\":\"S\",\"ti_nm\":\"n\",\"ti_ca\":\"c\","
        "\"ti_pr\":\"0.30000000000000004\",\"ti_qu\":\"2\",\"ti_cu\":\"USD\"");
    assert_contains(text, "\"order\":{\"currency\":\"USD\",\"items\":[{\"category\":\"c\","
                          "\"price\":\"0.30\",\"quantity\":2,\"sku\":\"S\"}],"
                          "\"order_id\":\"W-1\"}");
    assert_contains(text, "\"type\":\"transaction_item\"");
}

#define DESCRIBED(schema, data)                                                                    \
    "\"e\":\"ue\",\"ue_pr\":\"{\\\"schema\\\":\\\"" IGLU(                                          \
        "unstruct_event/jsonschema/1-0-0") "\\\",\\\"data\\\":{\\\"schema\\\":\\\"" schema         \
                                           "\\\",\\\"data\\\":" data "}}\""

static void test_snowplow_self_describing(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text = stored(fixture,
        DESCRIBED("iglu:com.acme/wish-listed/jsonschema/2-1-0", "{\\\"a\\\":[1,{\\\"b\\\":2}]}"));
    assert_contains(text, "\"properties\":{\"a\":[1,{\"b\":2}],"
                          "\"schema\":\"iglu:com.acme/wish-listed/jsonschema/2-1-0\",\"tracker\"");
    assert_contains(text, "\"type\":\"wish_listed\"");
    static const struct {
        const char *event;
        const char *part;
    } known[] = {
        {DESCRIBED(IGLU("site_search/jsonschema/1-0-0"), "{\\\"terms\\\":[\\\"x\\\"]}"),
            "\"type\":\"searched\""},
        {DESCRIBED("iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", "{}"),
            "\"type\":\"screen_viewed\""},
        {DESCRIBED(IGLU("add_to_cart/jsonschema/1-0-0"), "{\\\"sku\\\":\\\"s\\\"}"),
            "\"type\":\"product_added\""},
        {DESCRIBED(IGLU("link_click/jsonschema/1-0-1"), "{\\\"targetUrl\\\":\\\"x\\\"}"),
            "\"type\":\"link_click\""},
        {DESCRIBED(IGLU("consent_preferences/jsonschema/1-0-0"),
             "{\\\"eventType\\\":\\\"allow_selected\\\",\\\"consentScopes\\\":[\\\"analytics\\\","
             "\\\"functional\\\"]}"),
            "\"consent\":{\"ads\":false,\"analytics\":true,\"personalisation\":true}"},
        {DESCRIBED(IGLU("consent_preferences/jsonschema/1-0-0"),
             "{\\\"eventType\\\":\\\"deny_all\\\",\\\"consentScopes\\\":[\\\"analytics\\\"]}"),
            "\"consent\":{\"ads\":false,\"analytics\":false,\"personalisation\":false}"},
        {DESCRIBED(
             IGLU("consent_preferences/jsonschema/1-0-0"), "{\\\"eventType\\\":\\\"allow_all\\\"}"),
            "\"type\":\"consent_changed\""},
        {DESCRIBED(IGLU("consent_withdrawn/jsonschema/1-0-0"), "{\\\"all\\\":true}"),
            "\"consent\":{\"ads\":false,"},
        /* Another number of the same name is another thing. */
        {DESCRIBED(IGLU("site_search/jsonschema/2-0-0"), "{}"), "\"type\":\"site_search\""},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_contains(stored(fixture, known[i].event), known[i].part);
}

static void test_snowplow_call_of_callrail(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text = stored(fixture,
        DESCRIBED("iglu:com.callrail/call_complete/jsonschema/1-0-2",
            "{\\\"id\\\":\\\"CAL1\\\",\\\"answered\\\":true,\\\"duration\\\":83.5,"
            "\\\"callernum\\\":\\\"03-1234-5678\\\",\\\"gclid\\\":\\\"g\\\",\\\"utm_source\\\":"
            "\\\"google\\\",\\\"datetime\\\":\\\"2026-11-20T01:00:00Z\\\"}"));
    assert_contains(text, "\"call\":{\"call_id\":\"CAL1\",\"direction\":\"inbound\","
                          "\"outcome\":\"answered\",\"talk_ms\":83500}");
    assert_contains(text, "\"campaign\":{\"source\":\"google\"}");
    assert_contains(text, "\"click\":{\"kind\":\"gclid\",\"value\":\"g\"}");
    assert_contains(text, "\"phone\":\"k1:");
    assert_contains(text, "\"type\":\"call_ended\"");
    assert_null(strstr(text, "1234"));
    text = stored(fixture, DESCRIBED("iglu:com.callrail/call_complete/jsonschema/1-0-0",
                               "{\\\"id\\\":\\\"CAL2\\\",\\\"answered\\\":false}"));
    assert_contains(text, "\"type\":\"call_abandoned\"");
}

#define ENTITY(schema, data) "{\\\"schema\\\":\\\"" schema "\\\",\\\"data\\\":" data "}"
#define ENTITIES(list)                                                                             \
    ",\"co\":\"{\\\"schema\\\":\\\"" IGLU("contexts/jsonschema/1-0-1") "\\\",\\\"data\\\":[" list  \
                                                                       "]}\""
#define ACTION(type)                                                                               \
    DESCRIBED("iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/"           \
              "jsonschema/1-0-2",                                                                  \
        "{\\\"type\\\":\\\"" type "\\\"}")

static void test_snowplow_transaction_with_its_entities(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text =
        stored(fixture, ACTION("transaction") ENTITIES(ENTITY(ECOMMERCE("product"),
                            "{\\\"id\\\":\\\"S1\\\","
                            "\\\"category\\\":\\\"coats\\\","
                            "\\\"price\\\":12.5,"
                            "\\\"quantity\\\":2,\\\"currency\\\":"
                            "\\\"usd\\\"}") "," ENTITY(ECOMMERCE("transaction"),
                            "{\\\"transaction_id\\\":\\\"T-1\\\",\\\"revenue\\\":25.1,"
                            "\\\"currency\\\":"
                            "\\\"USD\\\",\\\"tax\\\":0.30000000000000004,"
                            "\\\"shipping\\\":5,"
                            "\\\"discount_code\\\":\\\"AKI\\\",\\\"discount_amount\\\":"
                            "1}") "," ENTITY(ECOMMERCE("product"),
                            "{\\\"id\\\":\\\"S2\\\",\\\"price\\\":900,\\\"currency\\\":"
                            "\\\"JPY\\\"}") "," ENTITY(ECOMMERCE("user"),
                            "{\\\"id\\\":\\\"u-9\\\",\\\"email\\\":\\\"Hana@Example."
                            "jp\\\","
                            "\\\"is_guest\\\":false}") "," ENTITY(IGLU("client_session/"
                                                                       "jsonschema/"
                                                                       "1-0-2"),
                            "{\\\"userId\\\":\\\"d1\\\",\\\"sessionId\\\":\\\"s\\\","
                            "\\\"eventIndex\\\":7}")));
    assert_contains(text,
        "\"order\":{\"coupon\":\"AKI\",\"currency\":\"USD\",\"discount\":\"1.00\","
        "\"facet\":\"placed\",\"items\":[{\"category\":\"coats\",\"price\":\"12.50\","
        "\"quantity\":2,\"sku\":\"S1\"},{\"sku\":\"S2\"}],\"order_id\":\"T-1\","
        "\"revenue\":\"25.10\",\"shipping\":\"5.00\",\"tax\":\"0.30\"}");
    assert_contains(text, "\"login\":\"u-9\"");
    assert_contains(text, "\"email\":\"k1:");
    assert_null(strstr(text, "Hana"));
    assert_contains(text, "\"sequence\":7");
    assert_contains(text, "{\"data\":{\"is_guest\":false},\"schema\":\"" ECOMMERCE("user") "\"}");
    assert_contains(text, "\"type\":\"order_completed\"");
}

/* Products belong to the order of an e-commerce action alone. */
static void test_snowplow_item_beside_products_stays_one(void **state)
{
    const char *text = stored(*state, "\"e\":\"ti\",\"ti_id\":\"W-1\",\"ti_sk\":\"S\"" ENTITIES(
                                          ENTITY(ECOMMERCE("product"), "{\\\"id\\\":\\\"P\\\"}")));
    assert_contains(text, "\"items\":[{\"sku\":\"S\"}]");
}

static void test_snowplow_refund_and_other_actions(void **state)
{
    struct exchange_fixture *fixture = *state;
    const char *text =
        stored(fixture, ACTION("refund") ENTITIES(ENTITY(ECOMMERCE("refund"),
                            "{\\\"transaction_id\\\":\\\"T-1\\\",\\\"currency\\\":\\\"JPY\\\","
                            "\\\"refund_amount\\\":900}")));
    assert_contains(text, "\"order\":{\"currency\":\"JPY\",\"order_id\":\"T-1\","
                          "\"revenue\":\"900\"}");
    assert_contains(text, "\"type\":\"order_refunded\"");
    static const struct {
        const char *event;
        const char *type;
    } actions[] = {
        {ACTION("add_to_cart"), "\"type\":\"product_added\"}\n"},
        {ACTION("remove_from_cart"), "\"type\":\"product_removed\"}\n"},
        {ACTION("product_view"), "\"type\":\"product_viewed\"}\n"},
        {ACTION("list_view"), "\"type\":\"product_list_viewed\"}\n"},
        {ACTION("list_click"), "\"type\":\"product_clicked\"}\n"},
        {ACTION("checkout_step") ENTITIES(ENTITY(ECOMMERCE("checkout_step"), "{\\\"step\\\":1}")),
            "\"type\":\"checkout_started\"}\n"},
        {ACTION("checkout_step") ENTITIES(ENTITY(ECOMMERCE("checkout_step"), "{\\\"step\\\":2}")),
            "\"type\":\"checkout_step\"}\n"},
        {ACTION("promo_view"), "\"type\":\"promotion_viewed\"}\n"},
        {ACTION("promo_click"), "\"type\":\"promotion_clicked\"}\n"},
        {ACTION("trns_error"), "\"type\":\"transaction_error\"}\n"},
    };
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        assert_contains(stored(fixture, actions[i].event), actions[i].type);
}

/* Both alphabets, padding or not: {"schema":"iglu:...unstruct_event...","data":{"schema":
 * "iglu:a/b/jsonschema/1-0-0","data":{"t": as below}}}. */
static void test_snowplow_base64_of_both_alphabets(void **state)
{
    struct exchange_fixture *fixture = *state;
#define BEGIN                                                                                      \
    "eyJzY2hlbWEiOiJpZ2x1OmNvbS5zbm93cGxvd2FuYWx5dGljcy5zbm93cGxvdy91bnN0cnVjdF9ldmVudC9qc29uc2No" \
    "ZW1hLzEtMC0wIiwiZGF0YSI6eyJzY2hlbWEiOiJpZ2x1OmEvYi9qc29uc2NoZW1hLzEtMC0wIiwiZGF0YSI6eyJ0Ijoi"
    static const char *const texts[] = {
        BEGIN "PDw/Pz8+PiJ9fX0=", BEGIN "PDw_Pz8-PiJ9fX0=", BEGIN "PDw_Pz8-PiJ9fX0",
        BEGIN "PDw/Pz8+PiJ9fX0", BEGIN "PDw/Pz8 PiJ9fX0" /* a + that was unescaped */};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CLEANUP(buf_free) struct buf members = {0};
        assert_int_equal(buf_appendf(&members, "\"e\":\"ue\",\"ue_px\":\"%s\"", texts[i]), 0);
        assert_int_equal(buf_append(&members, "", 1), 0);
        const char *text = stored(fixture, members.data);
        assert_contains(text, "\"t\":\"<<??"
                              "?>>\"");
        assert_contains(text, "\"type\":\"b\"");
    }
}

/* ---- time ---- */

static void test_snowplow_times(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *times;
        const char *part;
    } samples[] = {
        {"", "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\""},
        {",\"ttm\":\"1795139940000\",\"dtm\":\"1\",\"stm\":\"2\"", WHEN ",\"type\""},
        {",\"dtm\":\"1000000000000\",\"stm\":\"1000000060000\"",
            WHEN ",\"time_quality\":\"corrected\""},
        {",\"dtm\":1000000000000,\"stm\":1000000060000", WHEN ",\"time_quality\":\"corrected\""},
        {",\"dtm\":\"1000000060000\",\"stm\":\"1000000060000\"",
            "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\""},
        {",\"dtm\":\"1000000060001\",\"stm\":\"1000000060000\"",
            "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\""},
        {",\"dtm\":\"1000000060000\"",
            "\"time\":\"2026-11-20T02:00:00Z\",\"time_quality\":\"server\""},
        {",\"dtm\":\"0\",\"stm\":\"1795140000000\"",
            "\"time\":\"2000-01-01T00:00:00Z\",\"time_quality\":\"clamped\""},
        {",\"ttm\":\"4000000000000\"",
            "\"time\":\"2096-10-02T07:06:40Z\",\"time_quality\":\"suspect\""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        CLEANUP(buf_free) struct buf body = {0};
        assert_int_equal(
            buf_appendf(&body, BATCH("{" HEAD ",\"e\":\"pv\"%s}"), samples[i].times), 0);
        assert_int_equal(buf_append(&body, "", 1), 0);
        post(fixture, body.data);
        assert_contains(exchange_events_text(fixture), samples[i].part);
    }
    assert_rejected(fixture, "{" HEAD ",\"e\":\"pv\",\"dtm\":\"now\"}", "bad_time", "/dtm");
    assert_rejected(fixture, "{" HEAD ",\"e\":\"pv\",\"stm\":\"1e3\"}", "bad_time", "/stm");
    assert_rejected(
        fixture, "{" HEAD ",\"e\":\"pv\",\"ttm\":\"9223372036854775807\"}", "bad_time", "/ttm");
}

/* ---- who ---- */

#define ATTRIBUTES "; Path=/; Secure; HttpOnly; SameSite=None; Max-Age="

static void assert_cookie(struct exchange_fixture *fixture, const char *value)
{
    CLEANUP(buf_free) struct buf want = {0};
    assert_int_equal(buf_appendf(&want, "sp=%s" ATTRIBUTES "31536000", value), 0);
    assert_int_equal(buf_append(&want, "", 1), 0);
    assert_string_equal(cookie_of(fixture).data, want.data);
}

/* Field tnuid, field nuid, query nuid, cookie: in this order. */
static void test_snowplow_network_user_id(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct exchange_pair query[] = {{STR_INIT("nuid"), STR_INIT("query")}};
    cookie_header = "sp=cookie";
    assert_contains(stored(fixture, "\"e\":\"pv\""), "\"cookie\":[\"d1\",\"cookie\"]");
    assert_cookie(fixture, "cookie");
    fixture->exchange.query = query;
    fixture->exchange.query_count = 1;
    assert_contains(stored(fixture, "\"e\":\"pv\""), "\"cookie\":[\"d1\",\"query\"]");
    assert_cookie(fixture, "query");
    assert_contains(
        stored(fixture, "\"e\":\"pv\",\"nuid\":\"field\""), "\"cookie\":[\"d1\",\"field\"]");
    assert_cookie(fixture, "field");
    assert_contains(stored(fixture, "\"e\":\"pv\",\"nuid\":\"field\",\"tnuid\":\"first\""),
        "\"cookie\":[\"d1\",\"first\"]");
    assert_cookie(fixture, "first");
    fixture->exchange.query_count = 0;
    /* Nobody's id, and one that is none, are as if there was none. */
    cookie_header = "sp=00000000-0000-0000-0000-000000000000";
    const char *text = stored(fixture, "\"e\":\"pv\",\"nuid\":\"0000-00\"");
    assert_null(strstr(text, "0000-0000"));
    cookie_header = "sp=\"a b\"";
    assert_null(strstr(stored(fixture, "\"e\":\"pv\""), "a b"));
    (void)stored(fixture, "\"e\":\"pv\",\"nuid\":\"x; Domain=evil.example\"");
    assert_int_equal(fixture->exchange.headers_count, 0);
}

/* What is sent again with the cookie that the first answer has set is the same event. */
static void test_snowplow_new_cookie_leaves_the_event_as_it_is(void **state)
{
    struct exchange_fixture *fixture = *state;
    char *first = strdup(stored(fixture, "\"e\":\"pv\""));
    struct str cookie = cookie_of(fixture);
    char *header = strndup(cookie.data, strcspn(cookie.data, ";"));
    assert_int_equal(strlen(header), 3 + 36);
    assert_int_equal(header[3 + 14], '8');
    cookie_header = header;
    assert_string_equal(stored(fixture, "\"e\":\"pv\""), first);
    assert_contains(first, header + 3);
    free(header);
    free(first);
}

static void test_snowplow_server_tracker_gets_no_cookie_identifiers(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.user_agent = STR("python-requests/2");
    fixture->exchange.address = STR("192.0.2.9");
    post(fixture, BATCH("{\"eid\":\"" ID "\",\"tv\":\"py-1.1.0\",\"p\":\"pc\",\"uid\":\"u1\","
                        "\"e\":\"pv\",\"ip\":\"198.51.100.1\"}"));
    const char *text = exchange_events_text(fixture);
    assert_contains(text, "\"ids\":{\"login\":\"u1\"}");
    assert_contains(text, "\"client\":{\"address\":\"198.51.100.1\",\"library\":\"py-1.1.0\"}");
}

static void test_snowplow_stranger_is_a_visitor_of_his_own(void **state)
{
    struct exchange_fixture *fixture = *state;
#define STRANGER(id, more) "{\"eid\":\"" id "\",\"tv\":\"js-4\",\"p\":\"web\",\"e\":\"pv\"" more "}"
    char *texts[4];
    static const char *const bodies[] = {BATCH(STRANGER("1", "")), BATCH(STRANGER("1", "")),
        BATCH(STRANGER("2", "")), BATCH(STRANGER("1", ",\"sid\":\"s\""))};
    for (size_t i = 0; i < 4; i++) {
        post(fixture, bodies[i]);
        const char *ids = strstr(exchange_events_text(fixture), "\"ids\":{\"cookie\":\"");
        assert_non_null(ids);
        texts[i] = strndup(ids, 60);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    assert_string_not_equal(texts[0], texts[3]);
    for (size_t i = 0; i < 4; i++)
        free(texts[i]);
}

static void test_snowplow_anonymous_keeps_nothing_of_the_request(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.browser = true;
    fixture->exchange.user_agent = STR("UA");
    fixture->exchange.address = STR("192.0.2.7");
    cookie_header = "sp=n1";
    anonymous_header = "*";
    post(fixture, BATCH("{\"eid\":\"" ID "\",\"tv\":\"js-4\",\"p\":\"web\",\"e\":\"pv\","
                        "\"nuid\":\"n2\",\"ip\":\"192.0.2.8\"}"));
    const char *text = exchange_events_text(fixture);
    assert_contains(text, "\"type\":\"page_viewed\"");
    assert_null(strstr(text, "192.0.2"));
    assert_null(strstr(text, "n1"));
    assert_null(strstr(text, "n2"));
    assert_string_equal(cookie_of(fixture).data, "sp=" ATTRIBUTES "0");
}

static void test_snowplow_mobile(void **state)
{
    struct exchange_fixture *fixture = *state;
    post(fixture, BATCH("{\"eid\":\"" ID "\",\"tv\":\"andr-6.0.0\",\"p\":\"mob\",\"e\":"
                        "\"pv\"" ENTITIES(ENTITY(IGLU("client_session/jsonschema/1-0-2"),
                            "{\\\"userId\\\":\\\"i1\\\"}") "," ENTITY(IGLU("mobile_"
                                                                           "context/"
                                                                           "jsonschem"
                                                                           "a/1-0-3"),
                            "{\\\"osType\\\":\\\"android\\\",\\\"androidIdfa\\\":"
                            "\\\"ad-1\\\"}") "," ENTITY("iglu:com.snowplowanalytics."
                                                        "mobile/application/"
                                                        "jsonschema/1-0-0",
                            "{\\\"version\\\":\\\"2.1\\\"}")) "}"));
    const char *text = exchange_events_text(fixture);
    assert_contains(
        text, "\"device\":{\"app_version\":\"2.1\",\"kind\":\"app\",\"os\":\"android\"}");
    assert_contains(text, "\"ids\":{\"device\":\"ad-1\",\"install\":\"i1\"}");
}

/* ---- images ---- */

static void test_snowplow_image_takes_the_address(void **state)
{
    struct exchange_fixture *fixture = *state;
    ASK(fixture, "e", "pv", "p", "web", "tv", "no-js-0.1.0", "page", "Brief", "writeKey", "x");
    assert_image(fixture);
    const char *text = exchange_events_text(fixture);
    assert_contains(text, "\"id\":\"00112233-4455-4677-8899-aabbccddeeff\"");
    assert_contains(text, "\"title\":\"Brief\"");
    assert_null(strstr(text, "writeKey"));
    /* The visitor has a cookie now, which is what the event is known by. */
    struct str cookie = cookie_of(fixture);
    char *value = strndup(cookie.data + 3, 36);
    assert_contains(text, value);
    free(value);
    ASK(fixture, "e", "pv", "p", "web", "eid", ID, "writeKey", "x");
    assert_image(fixture);
    assert_string_equal(exchange_rejected_text(fixture),
        "missing_field /tv {\"e\":\"pv\",\"eid\":\"" ID "\",\"p\":\"web\"}\n");
}

static void test_snowplow_query_wins_over_the_body(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct exchange_pair query[] = {
        {STR_INIT("uid"), STR_INIT("u2")}, {STR_INIT("url"), STR_INIT("https://q.example/")}};
    fixture->exchange.query = query;
    fixture->exchange.query_count = 2;
    const char *text =
        stored(fixture, "\"e\":\"pv\",\"uid\":\"u1\",\"url\":\"https://b.example/\"");
    assert_contains(text, "\"login\":\"u2\"");
    assert_contains(text, "q.example");
}

/* ---- sources ---- */

static void test_snowplow_source_is_found(void **state)
{
    struct exchange_fixture *fixture = *state;
#define OF_APP(app) "{" HEAD ",\"e\":\"pv\",\"aid\":\"" app "\"}"
    fixture->exchange.header_key = STR("");
    post(fixture, BATCH(OF_APP(FIXTURE_APP_ID)));
    assert_ok(fixture);
    assert_true(str_equal(fixture->exchange.source->config.name, STR("pos")));
    post(fixture, BATCH(OF_APP(FIXTURE_APP_ID) "," OF_APP("other")));
    assert_ok(fixture);
    assert_int_equal(fixture->exchange.intake.accepted, 1);
    assert_string_equal(exchange_rejected_text(fixture), "bad_value /aid " OF_APP("other") "\n");
    assert_refused(fixture, BATCH(OF_APP("other")), 401, "unauthorized");
    fixture->exchange.rest = STR(FIXTURE_KEY); /* behind the path */
    post(fixture, BATCH(OF_APP("other") "," OF_APP(FIXTURE_APP_ID)));
    assert_ok(fixture);
    assert_true(str_equal(fixture->exchange.source->config.name, STR("ec-web")));
    fixture->exchange.rest = STR("none");
    assert_refused(fixture, BATCH(OF_APP(FIXTURE_APP_ID)), 401, "unauthorized");
    fixture->exchange.rest = STR(FIXTURE_DISABLED_KEY);
    assert_refused(fixture, BATCH(OF_APP("a")), 403, "disabled");
    fixture->exchange.rest = STR(FIXTURE_SEGMENT_KEY);
    assert_refused(fixture, BATCH(OF_APP("a")), 403, "protocol");
    fixture->exchange.rest = STR(FIXTURE_SLOW_KEY);
    for (int i = 0; i < 10; i++)
        post(fixture, BATCH(OF_APP("a")));
    assert_refused(fixture, BATCH(OF_APP("a")), 429, "rate");
}

static void test_snowplow_open_source_needs_no_key(void **state)
{
    struct exchange_fixture *fixture = *state;
    post(fixture, BATCH("{" HEAD ",\"e\":\"pv\"}"));
    assert_ok(fixture);
    assert_true(str_equal(fixture->exchange.source->config.name, STR("dev")));
    fixture->exchange.header_key = STR("unknown");
    assert_refused(fixture, BATCH("{" HEAD ",\"e\":\"pv\"}"), 401, "unauthorized");
}

/* ---- bad input ---- */

static void test_snowplow_bad_bodies(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_refused(fixture, "", 400, "empty");
    assert_refused(fixture, "{", 400, "bad_json");
    assert_refused(fixture, BATCH("") "x", 400, "bad_json");
    assert_refused(fixture, "{\"schema\":\"\xff\"}", 400, "bad_utf8");
    assert_refused(fixture, BATCH("{\"tr_tt\":1e400}"), 400, "num_range");
    post(fixture, "[]");
    assert_string_equal(exchange_rejected_text(fixture), "schema_unknown /schema []\n");
    assert_int_equal(fixture->exchange.status, 400);
    assert_refused(
        fixture, "{\"schema\":\"iglu:x/y/jsonschema/1-0-0\",\"data\":[]}", 400, "schema_unknown");
    assert_refused(fixture, "{\"schema\":\"" PAYLOAD "\",\"data\":{}}", 400, "schema_violation");
    post(fixture, "{\"schema\":\"" PAYLOAD "\"}");
    assert_string_equal(
        exchange_rejected_text(fixture), "schema_violation /data {\"schema\":\"" PAYLOAD "\"}\n");
    post(fixture, BATCH(""));
    assert_ok(fixture);
    fixture->exchange.events_max = 1;
    assert_refused(fixture, BATCH("1,2"), 422, "too_many");
}

static void test_snowplow_bad_events_go_to_rejected(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const struct {
        const char *event;
        const char *code;
        const char *pointer;
    } cases[] = {
        {"7", "bad_type", ""},
        {"{\"eid\":\"1\",\"p\":\"web\",\"e\":\"pv\"}", "missing_field", "/tv"},
        {"{\"eid\":\"1\",\"tv\":\"x\",\"e\":\"pv\"}", "missing_field", "/p"},
        {"{" HEAD "}", "missing_field", "/e"},
        {"{" HEAD ",\"e\":\"xx\"}", "bad_event_type", "/e"},
        {"{" HEAD ",\"e\":\"pv\",\"url\":{}}", "bad_type", "/url"},
        {"{" HEAD ",\"e\":\"pv\",\"new\":[]}", "bad_type", ""},
        {"{" HEAD ",\"e\":\"pv\",\"page\":\"a\\u0000b\"}", "nul_in_text", "/page/title"},
        {"{" HEAD ",\"e\":\"se\",\"se_ca\":\"c\"}", "missing_field", "/se_ac"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_tt\":\"1\"}", "missing_field", "/tr_id"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_id\":\"1\"}", "missing_field", "/tr_tt"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_id\":\"1\",\"tr_tt\":\"x\"}", "bad_money", "/tr_tt"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_id\":\"1\",\"tr_tt\":\"nan\"}", "bad_money", "/tr_tt"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_id\":\"1\",\"tr_tt\":\"1.5\"}", "money_precision", "/tr_tt"},
        {"{" HEAD ",\"e\":\"tr\",\"tr_id\":\"1\",\"tr_tt\":\"1\",\"tr_cu\":\"yen\"}",
            "bad_currency", "/tr_cu"},
        {"{" HEAD ",\"e\":\"ti\",\"ti_id\":\"1\"}", "missing_field", "/ti_sk"},
        {"{" HEAD ",\"e\":\"ti\",\"ti_id\":\"1\",\"ti_sk\":\"s\",\"ti_qu\":\"1.5\"}",
            "money_precision", "/ti_qu"},
        {"{" HEAD ",\"e\":\"ue\"}", "missing_field", "/ue_pr"},
        {"{" HEAD ",\"e\":\"ue\",\"ue_px\":\"*\"}", "bad_value", "/ue_px"},
        {"{" HEAD ",\"e\":\"ue\",\"ue_px\":\"e30\"}", "schema_violation", "/ue_pr"},
        {"{" HEAD ",\"e\":\"ue\",\"ue_pr\":\"{\"}", "bad_json", "/ue_pr"},
        {"{" HEAD ",\"e\":\"ue\",\"ue_pr\":\"{\\\"schema\\\":\\\"x\\\",\\\"data\\\":{}}\"}",
            "schema_unknown", "/ue_pr"},
        {"{" HEAD "," DESCRIBED("iglu:a/b/c", "{}") "}", "schema_unknown", "/ue_pr/data"},
        {"{" HEAD "," DESCRIBED("iglu:a/b/jsonschema/1-0-0", "[]") "}", "schema_violation",
            "/ue_pr/data/data"},
        {"{" HEAD "," ACTION("steal") "}", "schema_violation", "/ue_pr/data/data"},
        {"{" HEAD "," ACTION("transaction") "}", "schema_violation", "/co"},
        {"{" HEAD ",\"e\":\"pv\",\"co\":\"[]\"}", "schema_violation", "/co"},
        {"{" HEAD ",\"e\":\"pv\",\"cx\":\"e30=\"}", "schema_violation", "/co"},
        {"{" HEAD ",\"e\":\"pv\"" ENTITIES("1") "}", "schema_violation", "/co/data"},
        {"{" HEAD ",\"e\":\"pv\"" ENTITIES(ENTITY("iglu:x", "{}")) "}", "schema_unknown",
            "/co/data"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_rejected(fixture, cases[i].event, cases[i].code, cases[i].pointer);
}

/* Bad ones among good ones: a verdict an event. */
static void test_snowplow_mixed_batch(void **state)
{
    struct exchange_fixture *fixture = *state;
    post(fixture, BATCH("{" HEAD ",\"e\":\"pv\"},{" HEAD ",\"e\":\"pv\"},{" HEAD
                        ",\"e\":\"pp\"},{\"e\":\"pv\",\"p\":\"web\",\"tv\":\"x\"},4"));
    assert_ok(fixture);
    assert_int_equal(fixture->exchange.intake.accepted, 1);
    assert_int_equal(fixture->exchange.intake.duplicates, 1);
    assert_string_equal(exchange_rejected_text(fixture),
        "id_conflict /id {" HEAD ",\"e\":\"pp\"}\n"
        "bad_id /eid {\"e\":\"pv\",\"p\":\"web\",\"tv\":\"x\"}\n"
        "bad_type  4\n");
}

static void test_snowplow_alone_without_id_is_refused(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_refused(fixture, BATCH("{\"e\":\"pv\",\"p\":\"web\",\"tv\":\"x\"}"), 400, "bad_id");
    char id[EVENT_ID_SIZE_MAX + 2] = {0};
    memset(id, 'x', EVENT_ID_SIZE_MAX + 1);
    ASK(fixture, "e", "pv", "p", "web", "tv", "x", "eid", id);
    assert_int_equal(fixture->exchange.status, 400);
    assert_contains(exchange_reply_text(fixture), "{\"code\":\"bad_id\"");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup_hearing, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_snowplow_page_view_of_a_browser),
        WITH(test_snowplow_kinds_of_event),
        WITH(test_snowplow_self_describing),
        WITH(test_snowplow_call_of_callrail),
        WITH(test_snowplow_transaction_with_its_entities),
        WITH(test_snowplow_item_beside_products_stays_one),
        WITH(test_snowplow_refund_and_other_actions),
        WITH(test_snowplow_base64_of_both_alphabets),
        WITH(test_snowplow_times),
        WITH(test_snowplow_network_user_id),
        WITH(test_snowplow_new_cookie_leaves_the_event_as_it_is),
        WITH(test_snowplow_server_tracker_gets_no_cookie_identifiers),
        WITH(test_snowplow_stranger_is_a_visitor_of_his_own),
        WITH(test_snowplow_anonymous_keeps_nothing_of_the_request),
        WITH(test_snowplow_mobile),
        WITH(test_snowplow_image_takes_the_address),
        WITH(test_snowplow_query_wins_over_the_body),
        WITH(test_snowplow_source_is_found),
        cmocka_unit_test_setup_teardown(
            test_snowplow_open_source_needs_no_key, setup_open_hearing, teardown),
        WITH(test_snowplow_bad_bodies),
        WITH(test_snowplow_bad_events_go_to_rejected),
        WITH(test_snowplow_mixed_batch),
        WITH(test_snowplow_alone_without_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
