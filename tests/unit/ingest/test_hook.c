/* Webhooks in general: paths, sources, bodies; and those that a mapping file reads. */
#include "ingest/collector/protocol/hook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/protocol/form.h"
#include "ingest/collector/route.h"
#include "ingest/import/mapping.h"
#include "schemas/error.h"
#include "tests/unit/ingest/hook_fixture.h"

static void test_hook_route(void **state)
{
    struct str rest;
    const struct route *route = route_find(STR("/hooks/twilio/cc"), &rest);
    assert_int_equal(route->methods, ROUTE_POST);
    assert_int_equal(route->protocol, METRIC_PROTOCOL_WEBHOOK);
    assert_true(str_equal(rest, STR("twilio/cc")));
    assert_null(route_find(STR("/hooks"), &rest));
}

static void test_hook_path_says_kind_and_source(void **state)
{
    static const struct {
        const char *path;
        int status;
    } cases[] = {{"twilio", 404}, {"twilo/shop", 404}, {"/shop", 404}, {"twilio/", 401},
        {"twilio/none", 401}, {"twilio/shop/x", 401}, {"twilio/off", 403}, {"twilio/native", 403}};
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (hook_send(fixture, cases[i].path, "{}") != cases[i].status)
            fail_msg("%s: %d", cases[i].path, fixture->base.exchange.status);
        assert_int_equal(fixture->base.exchange.intake.records_count, 0);
    }
}

/* The open source of a laptop needs no signature; a named one does, whatever is open. */
static void test_hook_open_source_needs_no_signature(void **state)
{
    struct hook_fixture *fixture = *state;
    assert_int_equal(
        hook_send(fixture, "shopify/dev", "{\"id\":1,\"order_id\":2,\"updated_at\":\"x\"}"), 200);
    assert_int_equal(hook_send(fixture, "shopify/ec-web", "{\"id\":1}"), 401);
    fixture->base.exchange.header_key = STR(FIXTURE_KEY);
    assert_int_equal(hook_send(fixture, "shopify/ec-web", "{\"id\":1}"), 401);
}

static void test_hook_bad_bodies_are_400(void **state)
{
    static const struct {
        const char *body, *code;
    } cases[] = {{"", "empty"}, {"{", "bad_json"}, {"{}x", "bad_json"},
        {"{\"a\":1e400}", "num_range"}, {"{\"a\":\"\\ud800\"}", "bad_utf8"}, {"\"x\"", "bad_type"},
        {"{\"a\":1,\"a\":2}", "bad_json"}};
    static const char *const kinds[] = {"connect/dev", "genesys/dev", "shopify/dev", "generic/dev"};
    struct hook_fixture *fixture = *state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char code[64];
            assert_int_equal(hook_send(fixture, kinds[k], cases[i].body), 400);
            (void)snprintf(code, sizeof code, "\"code\":\"%s\"", cases[i].code);
            hook_contains(exchange_reply_text(&fixture->base), code);
            assert_int_equal(fixture->base.exchange.intake.records_count, 0);
        }
}

static void test_hook_too_many_are_413(void **state)
{
    struct hook_fixture *fixture = *state;
    fixture->base.exchange.events_max = 2;
    assert_int_equal(hook_send(fixture, "genesys/dev", "[{},{},{}]"), 413);
    assert_int_equal(hook_send(fixture, "genesys/dev", "[]"), 200);
    assert_string_equal(
        exchange_reply_text(&fixture->base), "{\"accepted\":0,\"duplicates\":0,\"rejected\":[]}");
}

/* ---- forms ---- */

static void test_form_read(void **state)
{
    static const struct {
        const char *body, *json;
    } cases[] = {
        {"", "{}"},
        {"a", "{\"a\":\"\"}"},
        {"a=", "{\"a\":\"\"}"},
        {"=b", "{\"\":\"b\"}"},
        {"a=b=c&&d", "{\"a\":\"b=c\",\"d\":\"\"}"},
        {"a=1&a=2", "{\"a\":\"1\"}"},
        {"%E6%97%85+x=%e6%97%85%2B%", "{\"旅 x\":\"旅+%\"}"},
        {"a=%zz%4", "{\"a\":\"%zz%4\"}"},
        {"a=\"\\\n", "{\"a\":\"\\\"\\\\\\n\"}"},
    };
    CLEANUP(arena_free) struct arena arena = {0};
    const struct exchange_pair *pairs;
    size_t count;
    struct str json;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(form_read(str_of(cases[i].body), &arena, &pairs, &count), 0);
        assert_int_equal(form_write_json(pairs, count, &arena, &json), 0);
        if (!str_equal(json, str_of(cases[i].json)))
            fail_msg("%s: %.*s", cases[i].body, (int)json.size, json.data);
    }
    assert_int_equal(form_read(STR("a=%ff"), &arena, &pairs, &count), ERR_UTF8);
    CLEANUP(buf_free) struct buf many = {0};
    for (size_t i = 0; i <= FORM_PAIRS_MAX; i++)
        assert_int_equal(buf_append(&many, "a&", 2), 0);
    assert_int_equal(form_read(buf_str(&many), &arena, &pairs, &count), ERR_KEYS);
    assert_int_equal(form_read(STR("Ab=1"), &arena, &pairs, &count), 0);
    assert_true(str_equal(form_value(pairs, count, STR("aB")), STR("1")));
    assert_int_equal(form_value(pairs, count, STR("b")).size, 0);
}

/* ---- generic ---- */

#define MAPPING                                                                                    \
    "[file]\nname = pbx\nformat = ndjson\ntime_format = epoch_s\n"                                 \
    "[event call_started]\nwhen = /kind = ring\ntime = at\nids.phone = /from/number\n"             \
    "call.call_id = call.0.id\ncall.direction = \"inbound\"\n"                                     \
    "[event call_ended]\nwhen = kind = end\nid = {call.0.id}.end\ntime = at\n"                     \
    "call.call_id = /call/0/id\ncall.talk_ms = /a~1b/m~0s\nproperties.note = note\n"               \
    "[event note_taken]\nwhen = kind = end\nwhen = note notempty\ntime = at\n"                     \
    "call.call_id = call.0.id\n"

static struct mapping *mapping_of(const char *text)
{
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    int r = mapping_parse("m.ini", str_of(text), &mapping, &message);
    if (r < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    return mapping;
}

#define RING                                                                                       \
    "{\"kind\":\"ring\",\"at\":1795139940,\"from\":{\"number\":\"03-1234-5678\"},\"call\":["       \
    "{\"id\":\"C1\"}]}"
#define END                                                                                        \
    "{\"kind\":\"end\",\"at\":1795139999,\"call\":[{\"id\":\"C1\"}],\"a/b\":{\"m~s\":5000},"       \
    "\"note\":\"n\"}"

static void send_generic(struct hook_fixture *fixture, const char *body, int status)
{
    if (hook_send(fixture, "generic/keyed", body) != status)
        fail_msg("%d %s", fixture->base.exchange.status, exchange_reply_text(&fixture->base));
}

static void test_generic_is_read_by_its_mapping(void **state)
{
    struct hook_fixture *fixture = *state;
    struct mapping *mapping = mapping_of(MAPPING);
    hook_use_signed(fixture, mapping, NULL);
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    send_generic(fixture, RING, 200);
    char *first = strdup(exchange_events_text(&fixture->base));
    hook_contains(first, "\"ids\":{\"case\":\"C1\",\"phone\":\"k1:");
    hook_contains(first, "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"call_started\"");
    send_generic(fixture, " " RING, 200); /* blanks make no other event of it */
    assert_string_equal(exchange_events_text(&fixture->base), first);
    send_generic(fixture, "[" RING "," END ",{\"kind\":\"none\"}]", 200);
    const char *text = exchange_events_text(&fixture->base);
    assert_int_equal(fixture->base.exchange.intake.accepted, 3);
    assert_int_equal(fixture->base.exchange.intake.ignored, 1); /* no `when` matches */
    hook_contains(text, first);
    hook_contains(text, "\"call\":{\"call_id\":\"C1\",\"talk_ms\":5000},\"id\":\"C1.end\"");
    hook_contains(text, "\"properties\":{\"note\":\"n\"}");
    hook_contains(text, "\"type\":\"note_taken\"");
    hook_contains(exchange_reply_text(&fixture->base), "\"ignored\":1");
    /* It is of the source whose key it was, whatever the mapping's own is called. */
    assert_true(str_equal(fixture->base.exchange.intake.source, STR("keyed")));
    free(first);
    mapping_free(&mapping);
}

static void test_generic_tells_who_watches_of_what_it_ignores(void **state)
{
    struct hook_fixture *fixture = *state;
    struct mapping *mapping = mapping_of(MAPPING);
    struct notes notes = {.arena = &fixture->base.arena};
    hook_use_signed(fixture, mapping, NULL);
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    fixture->base.exchange.notes = &notes;
    send_generic(fixture, "[" RING ",{\"kind\":\"none\"}]", 200);
    assert_int_equal(notes.count, 2);
    assert_int_equal(notes.list[0].fate, NOTE_ACCEPTED);
    assert_int_equal(notes.list[1].fate, NOTE_IGNORED);
    assert_int_equal(notes.list[1].index, 1);
    assert_int_equal(notes.list[1].protocol, PROTOCOL_WEBHOOK);
    fixture->base.exchange.notes = NULL;
    mapping_free(&mapping);
}

static void test_generic_bad_notifications(void **state)
{
    struct hook_fixture *fixture = *state;
    struct mapping *mapping = mapping_of(MAPPING);
    hook_use_signed(fixture, mapping, NULL);
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    send_generic(fixture, "{\"kind\":\"ring\",\"at\":\"soon\"}", 200);
    hook_contains(exchange_rejected_text(&fixture->base), "bad_time at {\"kind\"");
    send_generic(fixture, "[7," RING "]", 200);
    hook_contains(exchange_rejected_text(&fixture->base), "bad_type  7\n");
    assert_int_equal(fixture->base.exchange.intake.accepted, 1);
    send_generic(fixture, "{\"kind\":\"ring\",\"at\":1795100000,\"call\":[{\"id\":\"C\"}]}", 403);
    mapping_free(&mapping);
}

#define MAPPING_IDS                                                                                \
    "[file]\nname = tills\nformat = ndjson\n"                                                      \
    "[event store_purchase]\nid = {shop}-{/receipt/no}\ntime = at\nids.loyalty = card\n"           \
    "[event coupon_redeemed]\nwhen = coupon notempty\nwhen = receipt.no notempty\nid = coupon\n"   \
    "time = at\nids.loyalty = card\n"                                                              \
    "[event store_visited]\nwhen = receipt.no empty\ntime = at\nids.loyalty = card\n"

/* What its id is made of is missing, whole or in part: it is told, kept, and no id is made up. A
 * section without `id` has one of the content, whatever is missing. */
static void test_generic_without_what_its_id_is_made_of_is_rejected(void **state)
{
    static const char bare[] = "{\"shop\":\"s1\",\"at\":\"2026-11-20T01:59:00Z\",\"card\":\"L1\"}";
    struct hook_fixture *fixture = *state;
    struct mapping *mapping = mapping_of(MAPPING_IDS);
    hook_use_signed(fixture, mapping, NULL);
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    for (int sent = 0; sent < 2; sent++) { /* again: the same row, the same event */
        char rejected[256];
        send_generic(fixture, bare, 200);
        (void)snprintf(rejected, sizeof rejected, "missing_field /receipt/no %s\n", bare);
        assert_string_equal(exchange_rejected_text(&fixture->base), rejected);
        assert_int_equal(fixture->base.exchange.intake.accepted, 1);
        hook_contains(exchange_events_text(&fixture->base), "\"type\":\"store_visited\"");
        hook_contains(exchange_reply_text(&fixture->base),
            "{\"index\":0,\"code\":\"missing_field\",\"pointer\":\"/receipt/no\"");
    }
    send_generic(fixture,
        "{\"receipt\":{\"no\":7},\"coupon\":\"c9\",\"at\":\"2026-11-20T01:59:00Z\",\"card\":"
        "\"L1\"}",
        200);
    hook_contains(exchange_rejected_text(&fixture->base), "missing_field shop {");
    hook_contains(exchange_events_text(&fixture->base), "\"id\":\"c9\"");
    mapping_free(&mapping);
}

/* One reason at one pointer of one element is one row of what is rejected, and told once, however
 * many sections it concerns; another reason or pointer is another, also of the same element. */
static void test_generic_bad_element_is_told_once(void **state)
{
    struct hook_fixture *fixture = *state;
    struct mapping *mapping = mapping_of(MAPPING_IDS);
    hook_use_signed(fixture, mapping, NULL);
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    send_generic(fixture,
        "[7,8,8,{\"shop\":\"s\",\"receipt\":{\"no\":1},\"coupon\":\"c\",\"card\":\"L1\",\"at\":"
        "\"soon\"},"
        "{\"shop\":\"s\",\"receipt\":{\"no\":1},\"coupon\":\"c\",\"at\":\"2026-11-20T01:59:00Z\"},"
        "{\"at\":\"2026-11-20T01:59:00Z\"},"
        "{\"shop\":\"s\",\"receipt\":{\"no\":2},\"coupon\":\"c\",\"card\":\"L1\",\"at\":"
        "\"2026-11-20T01:59:00Z\"}]",
        200);
    const struct verdicts *rejected = &fixture->base.exchange.intake.rejected;
    static const struct {
        size_t index;
        int error;
        const char *pointer;
    } wanted[] = {{0, ERR_FIELD_TYPE, ""}, {1, ERR_FIELD_TYPE, ""}, {2, ERR_FIELD_TYPE, ""},
        {3, ERR_TIME, "at"}, {4, ERR_NO_IDENTIFIER, "/ids"}, {5, ERR_MISSING_FIELD, "shop"},
        {5, ERR_NO_IDENTIFIER, "/ids"}};
    assert_int_equal(rejected->count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < rejected->count; i++) {
        const struct verdict *verdict = &rejected->list[i];
        if (verdict->index != wanted[i].index || verdict->problem.error != wanted[i].error ||
            !str_equal(verdict->problem.pointer, str_of(wanted[i].pointer)))
            fail_msg("%zu: %zu %d %.*s", i, verdict->index, verdict->problem.error,
                (int)verdict->problem.pointer.size, verdict->problem.pointer.data);
    }
    assert_int_equal(fixture->base.exchange.intake.accepted, 2);
    mapping_free(&mapping);
}

static void test_generic_without_a_mapping_is_rejected(void **state)
{
    struct hook_fixture *fixture = *state;
    assert_int_equal(hook_send(fixture, "generic/dev", RING), 200);
    hook_contains(exchange_rejected_text(&fixture->base), "bad_value  {\"kind\":\"ring\"");
}

static void test_generic_signature(void **state)
{
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, "X-Signature");
    /* HMAC-SHA-256 of {} by the new secret, in hex, in base64. */
    hook_header(
        fixture, "X-Signature", "3fa9f4e5367ddddb8caec007014719f90ce9e902b2640a1985138c5e65b75082");
    assert_int_equal(hook_send(fixture, "generic/shop", "{}"), 200);
    assert_int_equal(hook_send(fixture, "generic/shop", "{ }"), 401);
    hook_header(fixture, "X-Signature", "P6n05TZ93duMrsAHAUcZ+Qzp6QKyZAoZhROMXmW3UII=");
    assert_int_equal(hook_send(fixture, "generic/shop", "{}"), 200);
    hook_header(fixture, "X-Signature", NULL);
    assert_int_equal(hook_send(fixture, "generic/shop", "{}"), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_UNSIGNED + 1);
    assert_int_equal(hook_send(fixture, "generic/keyed", "{}"), 401);
    assert_int_equal(hook_send(fixture, "generic/bare", "{}"), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_NO_SECRET + 1);
    fixture->base.exchange.header_key = STR("another key");
    assert_int_equal(hook_send(fixture, "generic/keyed", "{}"), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_SIGNATURE + 1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, hook_setup, hook_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_route),
        WITH(test_hook_path_says_kind_and_source),
        WITH(test_hook_open_source_needs_no_signature),
        WITH(test_hook_bad_bodies_are_400),
        WITH(test_hook_too_many_are_413),
        cmocka_unit_test(test_form_read),
        WITH(test_generic_is_read_by_its_mapping),
        WITH(test_generic_tells_who_watches_of_what_it_ignores),
        WITH(test_generic_bad_notifications),
        WITH(test_generic_without_what_its_id_is_made_of_is_rejected),
        WITH(test_generic_bad_element_is_told_once),
        WITH(test_generic_without_a_mapping_is_rejected),
        WITH(test_generic_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
