/* The native protocol: golden replies, and each row of RELIABILITY's "Bad input" that concerns it.
 */
#include "ingest/collector/protocol/native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ingest/plan/plan.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

#define GOOD(id)                                                                                   \
    "{\"id\":\"" id "\",\"type\":\"page_viewed\",\"time\":1795139999000,\"ids\":{\"cookie\":"      \
    "\"c\"}}"
#define STORED(id)                                                                                 \
    "{\"id\":\"" id "\",\"ids\":{\"cookie\":\"c\"},\"time\":\"2026-11-20T01:59:59Z\","             \
    "\"type\":\"page_viewed\"}\n"
#define ACCEPTED(n) "{\"accepted\":" n ",\"duplicates\":0,\"rejected\":[]}"

static void assert_answer(
    struct exchange_fixture *fixture, struct str body, int status, const char *reply)
{
    exchange_run(fixture, native_handle, "events", body);
    assert_string_equal(exchange_reply_text(fixture), reply);
    assert_int_equal(fixture->exchange.status, status);
}

/* The request as a whole is answered with this status and code, and leaves nothing. */
static void assert_refused(
    struct exchange_fixture *fixture, struct str body, int status, const char *code)
{
    char begin[64];
    exchange_run(fixture, native_handle, "events", body);
    (void)snprintf(begin, sizeof begin, "{\"code\":\"%s\",\"message\":\"", code);
    const char *reply = exchange_reply_text(fixture);
    if (strncmp(reply, begin, strlen(begin)) != 0)
        fail_msg("%s does not begin with %s", reply, begin);
    assert_int_equal(fixture->exchange.status, status);
    assert_int_equal(fixture->exchange.intake.records_count, 0);
}

/* A single event is answered 200 with this verdict, and is found in rejected as it came. */
static void assert_rejected(
    struct exchange_fixture *fixture, const char *event, const char *code, const char *pointer)
{
    char begin[256];
    exchange_run(fixture, native_handle, "events", str_of(event));
    (void)snprintf(begin, sizeof begin,
        "{\"accepted\":0,\"duplicates\":0,\"rejected\":[{\"index\":0,\"code\":\"%s\",\"pointer\":"
        "\"%s\",",
        code, pointer);
    const char *reply = exchange_reply_text(fixture);
    if (strncmp(reply, begin, strlen(begin)) != 0)
        fail_msg("%s does not begin with %s", reply, begin);
    assert_int_equal(fixture->exchange.status, 200);
    char *want = NULL;
    assert_true(asprintf(&want, "%s %s %s\n", code, pointer, event) > 0);
    assert_string_equal(exchange_rejected_text(fixture), want);
    free(want);
}

static void test_native_object_array_and_lines_are_accepted(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    assert_string_equal(exchange_events_text(fixture), STORED("1"));
    assert_answer(fixture, STR("[" GOOD("1") "," GOOD("2") "]"), 200, ACCEPTED("2"));
    assert_string_equal(exchange_events_text(fixture), STORED("1") STORED("2"));
    assert_answer(fixture, STR("\n" GOOD("1") "\r\n\r\n" GOOD("2") "\n\n"), 200, ACCEPTED("2"));
    assert_string_equal(exchange_events_text(fixture), STORED("1") STORED("2"));
    assert_answer(fixture, STR(" [ ] "), 200, ACCEPTED("0"));
    assert_answer(fixture,
        STR("{\n\"id\":\"1\",\n\"type\":\"page_viewed\",\n\"ids\":{\"login\":\"u\"}\n}"), 200,
        ACCEPTED("1"));
}

static void test_native_mixed_batch_has_a_verdict_for_each(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture,
        STR("[" GOOD("1") ", {\"id\":\"2\",\"tpye\":\"x\" } ,7," GOOD(
            "1") ",{\"id\":\"1\",\"type\":\"searched\","
                 "\"ids\":{\"cookie\":\"c\"}}]"),
        200,
        "{\"accepted\":1,\"duplicates\":1,\"rejected\":["
        "{\"index\":1,\"code\":\"unknown_field\",\"pointer\":\"/tpye\",\"hint\":\"did you mean "
        "\\\"type\\\"?\"},"
        "{\"index\":2,\"code\":\"bad_type\",\"pointer\":\"\",\"hint\":\"an event is an object\"},"
        "{\"index\":4,\"code\":\"id_conflict\",\"pointer\":\"/id\",\"hint\":\"\"}]}");
    assert_string_equal(exchange_events_text(fixture), STORED("1"));
    assert_string_equal(exchange_rejected_text(fixture),
        "unknown_field /tpye {\"id\":\"2\",\"tpye\":\"x\" }\n"
        "bad_type  7\n"
        "id_conflict /id {\"id\":\"1\",\"type\":\"searched\",\"ids\":{\"cookie\":\"c\"}}\n");
}

static void test_native_bad_line_is_one_verdict(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture, STR(GOOD("1") "\n{\"id\":\n" GOOD("2")), 200,
        "{\"accepted\":2,\"duplicates\":0,\"rejected\":[{\"index\":1,\"code\":\"bad_json\","
        "\"pointer\":\"\","
        "\"hint\":\"\"}]}");
    assert_string_equal(exchange_rejected_text(fixture), "bad_json  {\"id\":\n");
    fixture->exchange.body_lines = true;
    assert_answer(fixture, STR("{\"id\":"), 200,
        "{\"accepted\":0,\"duplicates\":0,\"rejected\":[{\"index\":0,\"code\":\"bad_json\","
        "\"pointer\":\"\","
        "\"hint\":\"\"}]}");
}

static void test_native_body_that_is_no_json_is_400(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_refused(fixture, STR(""), 400, "empty");
    assert_refused(fixture, STR(" \r\n\t"), 400, "empty");
    assert_refused(fixture, STR("{"), 400, "bad_json");
    assert_refused(fixture, STR(GOOD("1") "x"), 400, "bad_json");
    assert_refused(fixture, STR(GOOD("1") GOOD("2")), 400, "bad_json");
    assert_refused(fixture, STR("[" GOOD("1") ",]"), 400, "bad_json");
    assert_refused(fixture, STR("{\"id\":\"1\",\"id\":\"1\"}"), 400, "bad_json");
    assert_refused(fixture, STR("{\"id\":\"\xff\"}"), 400, "bad_utf8");
    assert_refused(fixture, STR("{\"id\":\"\\ud800\"}"), 400, "bad_utf8");
    assert_refused(fixture, STR("{\"properties\":{\"n\":1e400}}"), 400, "num_range");
    assert_refused(fixture, STR("{\"properties\":{\"n\":18446744073709551616}}"), 400, "num_range");
    assert_refused(fixture, STR("{\"properties\":{\"n\":9223372036854775808}}"), 400, "num_range");
    assert_refused(fixture, STR("{\"properties\":{\"n\":9007199254740993.0}}"), 400, "num_range");
    assert_refused(fixture, STR("{\"properties\":{\"n\":0.1e-400}}"), 400, "num_range");
    assert_refused(fixture, STR("{\"properties\":{\"n\":NaN}}"), 400, "num_range");
    assert_refused(fixture, STR("7"), 400, "bad_type");
    assert_refused(fixture, STR("\"text\""), 400, "bad_type");
}

static void test_native_depth_and_keys_over_the_limit_are_400(void **state)
{
    struct exchange_fixture *fixture = *state;
    char *deep = calloc(1, 2 * 100 + 1);
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_refused(fixture, str_of(deep), 400, "too_deep");
    free(deep);
    CLEANUP(buf_free) struct buf keys = {0};
    assert_int_equal(buf_appendf(&keys, "{\"a\":0"), 0);
    for (int i = 0; i < JSON_KEYS_MAX; i++)
        assert_int_equal(buf_appendf(&keys, ",\"k%d\":0", i), 0);
    assert_int_equal(buf_appendf(&keys, "}"), 0);
    assert_refused(fixture, buf_str(&keys), 400, "too_many_keys");
}

/* An adversary's list: refused whole, with a reason; the events beside it stand. */
static void test_native_event_of_a_thousand_identifiers_is_refused(void **state)
{
    struct exchange_fixture *fixture = *state;
    CLEANUP(buf_free) struct buf body = {0};
    assert_int_equal(buf_appendf(&body, "[" GOOD("1") ",{\"id\":\"2\",\"type\":\"page_viewed\","
                                                      "\"ids\":{\"cookie\":[\"c\""),
        0);
    for (int i = 1; i < 1000; i++)
        assert_int_equal(buf_appendf(&body, ",\"c%d\"", i), 0);
    assert_int_equal(buf_appendf(&body, "]}}]"), 0);
    assert_answer(fixture, buf_str(&body), 200,
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[{\"index\":1,\"code\":\"too_many\","
        "\"pointer\":\"/ids\",\"hint\":\"an event has at most 64 identifiers\"}]}");
    assert_string_equal(exchange_events_text(fixture), STORED("1"));
}

static void test_native_single_event_without_usable_id_is_400(void **state)
{
    struct exchange_fixture *fixture = *state;
    static const char *const events[] = {
        "{\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":\"01234567890123456789012345678901234567890123456789"
        "012345678901234567890123456789012345678901234567890\",\"type\":\"page_viewed\",\"ids\":{"
        "\"cookie\":\"c\"}}",
        "{\"id\":5,\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
        "{\"type\":\"page_viewed\",\"id\":{\"a\":1},\"ids\":{\"cookie\":\"c\"}}",
        "{\"id\":null,\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}",
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        exchange_run(fixture, native_handle, "events", str_of(events[i]));
        assert_int_equal(fixture->exchange.status, 400);
        assert_non_null(strstr(exchange_reply_text(fixture), "{\"code\":\"bad_id\","));
        assert_non_null(strstr(exchange_rejected_text(fixture), "bad_id /id {"));
    }
    exchange_run(fixture, native_handle, "events",
        STR("[{\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}]"));
    assert_int_equal(fixture->exchange.status, 200); /* a batch: a verdict */
    assert_non_null(strstr(exchange_reply_text(fixture), "\"code\":\"bad_id\""));
}

static void test_native_event_that_is_not_acceptable_is_rejected_with_payload(void **state)
{
    struct exchange_fixture *fixture = *state;
#define EVENT(more) "{\"id\":\"1\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}," more "}"
    assert_rejected(fixture, "{\"id\":\"1\",\"ids\":{\"cookie\":\"c\"}}", "missing_field", "/type");
    assert_rejected(fixture, "{\"id\":\"1\",\"type\":\"x\"}", "no_identifier", "/ids");
    assert_rejected(fixture, "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"login\":\"null\"}}",
        "no_identifier", "/ids/login");
    assert_rejected(fixture, "{\"id\":\"1\",\"type\":\"x\",\"ids\":{\"logim\":\"u\"}}",
        "unknown_namespace", "/ids/logim");
    assert_rejected(fixture, "{\"id\":\"1\",\"type\":\"Page Viewed\",\"ids\":{\"login\":\"u\"}}",
        "bad_event_type", "/type");
    assert_rejected(fixture, EVENT("\"time\":\"yesterday\""), "bad_time", "/time");
    assert_rejected(
        fixture, EVENT("\"page\":{\"title\":\"a\\u0000b\"}"), "nul_in_text", "/page/title");
    assert_rejected(
        fixture, EVENT("\"properties\":{\"a\":\"\\u0000\"}"), "nul_in_text", "/properties");
    assert_rejected(fixture,
        EVENT("\"order\":{\"order_id\":\"o\",\"revenue\":12.5,\"currency\":\"USD\"}"), "bad_money",
        "/order/revenue");
    assert_rejected(fixture,
        EVENT("\"order\":{\"order_id\":\"o\",\"revenue\":\"12.5\",\"currency\":\"JPY\"}"),
        "money_precision", "/order/revenue");
    assert_rejected(fixture,
        EVENT("\"order\":{\"order_id\":\"o\",\"revenue\":\"1\",\"currency\":\"XXQ\"}"),
        "bad_currency", "/order/currency");
    assert_rejected(fixture, EVENT("\"channel\":\"Store\""), "unknown_field", "/channel");
    assert_rejected(fixture, EVENT("\"event_key\":\"00\""), "unknown_field", "/event_key");
}

static void test_native_hostile_text_is_stored_as_it_is(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture,
        STR(EVENT("\"time\":1795139999000,\"page\":{\"title\":\"';DROP TABLE x; =cmd() "
                  "<script>\\r\\n\\u001b[31m\"}")),
        200, ACCEPTED("1"));
    assert_non_null(strstr(exchange_events_text(fixture),
        "\"title\":\"';DROP TABLE x; =cmd() <script>\\r\\n\\u001b[31m\""));
}

static void test_native_absurd_time_is_accepted_as_suspect(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture, STR(EVENT("\"time\":\"2126-01-01T00:00:00Z\"")), 200, ACCEPTED("1"));
    assert_non_null(strstr(exchange_events_text(fixture), "\"time_quality\":\"suspect\""));
}

static void test_native_no_consent_is_counted_and_dropped(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture, STR("[" EVENT("\"consent\":{\"analytics\":false}") "," GOOD("2") "]"),
        200, "{\"accepted\":1,\"duplicates\":0,\"rejected\":[],\"no_consent\":1}");
    assert_string_equal(exchange_events_text(fixture), STORED("2"));
    assert_string_equal(exchange_rejected_text(fixture), "");
    assert_answer(fixture,
        STR("{\"id\":\"3\",\"type\":\"consent_changed\",\"ids\":{\"cookie\":\"c\"},\"consent\":{"
            "\"analytics\":false}}"),
        200, ACCEPTED("1")); /* the withdrawal itself is kept */
}

static void test_native_dropped_identifier_is_a_warning(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture,
        STR("{\"id\":\"1\",\"type\":\"call_ended\",\"ids\":{\"case\":\"CA1\",\"phone\":\"0120-444-"
            "444\"}}"),
        200,
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[],\"warnings\":[{\"index\":0,\"code\":"
        "\"identifier_dropped\","
        "\"pointer\":\"/ids/phone\",\"hint\":\"dropped: a service number, shared by many\"}]}");
}

static void test_native_too_many_events_is_413(void **state)
{
    struct exchange_fixture *fixture = *state;
    CLEANUP(buf_free) struct buf body = {0};
    fixture->exchange.events_max = 3;
    assert_int_equal(buf_appendf(&body, "[{},{},{}]"), 0);
    exchange_run(fixture, native_handle, "events", buf_str(&body));
    assert_int_equal(fixture->exchange.status, 200);
    assert_refused(fixture, STR("[{},{},{},{}]"), 413, "too_many");
    assert_refused(fixture, STR("{}\n{}\n{}\n{}"), 413, "too_many");
}

static void test_native_event_size_at_and_over_the_limit(void **state)
{
    struct exchange_fixture *fixture = *state;
    static char filler[EVENT_SIZE_MAX + 1];
    memset(filler, 'x', EVENT_SIZE_MAX);
    CLEANUP(buf_free) struct buf body = {0};
    assert_int_equal(
        buf_appendf(&body, EVENT("\"properties\":{\"a\":\"%.*s\"}"), 32000, filler), 0);
    assert_answer(fixture, buf_str(&body), 200, ACCEPTED("1"));
    buf_clear(&body);
    assert_int_equal(buf_appendf(&body, EVENT("\"properties\":{\"a\":\"%s\"}"), filler), 0);
    exchange_run(fixture, native_handle, "events", buf_str(&body));
    assert_non_null(strstr(exchange_reply_text(fixture), "\"code\":\"too_large\""));
    assert_int_equal(fixture->exchange.intake.records_count, 1);
}

static void test_native_keys(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    exchange->header_key = STR("");
    assert_refused(fixture, STR(GOOD("1")), 401, "unauthorized");
    exchange->header_key = STR("wrong");
    assert_refused(fixture, STR(GOOD("1")), 401, "unauthorized");
    exchange->header_key = STR(FIXTURE_DISABLED_KEY);
    assert_refused(fixture, STR(GOOD("1")), 403, "disabled");
    exchange->header_key = STR(FIXTURE_SEGMENT_KEY);
    assert_refused(fixture, STR(GOOD("1")), 403, "protocol");
    exchange->header_key = STR(FIXTURE_TRUSTED_KEY);
    exchange->origin = STR("https://elsewhere.example");
    assert_answer(fixture, STR(EVENT("\"channel\":\"Store\"")), 200, ACCEPTED("1"));
    assert_non_null(strstr(exchange_events_text(fixture), "\"channel\":\"Store\""));
}

static void test_native_trusted_source_cannot_forge_the_pipelines_fields(void **state)
{
    struct exchange_fixture *fixture = *state;
    fixture->exchange.header_key = STR(FIXTURE_TRUSTED_KEY);
    assert_answer(fixture,
        STR(EVENT("\"source\":\"ec-web\",\"event_key\":\"00000000000000000000000000000000\","
                  "\"received_at\":1")),
        200, ACCEPTED("1"));
    struct touchpoint event;
    assert_int_equal(
        touchpoint_decode(&event, fixture->exchange.intake.records[0].value, &fixture->arena), 0);
    assert_true(str_equal(event.source, STR("pos")));
    assert_true(event.received_at == FIXTURE_NOW);
    const uint8_t zero[KEY_SIZE] = {0};
    assert_memory_not_equal(event.event_key, zero, KEY_SIZE);
}

static void test_native_rate_over_the_limit_is_429(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    exchange->header_key = STR(FIXTURE_SLOW_KEY);
    exchange->monotonic_micros = 1;
    for (int i = 0; i < SOURCE_BURST_SECONDS; i++)
        assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    assert_refused(fixture, STR(GOOD("1")), 429, "rate");
    assert_int_equal(exchange->retry_after_seconds, 1);
    assert_refused(fixture, STR("[" GOOD("1") "," GOOD("2") "," GOOD("3") "]"), 429, "rate");
    assert_int_equal(exchange->retry_after_seconds, 3);
    exchange_run(fixture, native_handle, "validate", STR(GOOD("1"))); /* a dry run costs nothing */
    assert_int_equal(exchange->status, 200);
    exchange->monotonic_micros += 1000000;
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
}

/* A tracking plan of one file in a directory of its own, for the fixture's door. */
static void open_plan(struct exchange_fixture *fixture, const char *schema)
{
    CLEANUP(buf_free) struct buf message = {0};
    struct plan_files *files = NULL;
    char dir[] = "/tmp/test_native_plan_XXXXXX", source[60], path[90];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(source, sizeof source, "%s/ec-web", dir);
    (void)snprintf(path, sizeof path, "%s/page_viewed.json", source);
    assert_int_equal(mkdir(source, 0700), 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(schema, file) >= 0);
    assert_int_equal(fclose(file), 0);
    if (plan_files_load(dir, &files, &message) < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    assert_int_equal(plan_new(&files, &fixture->door.plan), 0);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(source), 0);
    assert_int_equal(remove(dir), 0);
}

static void test_native_plan_rejects_or_warns_as_the_source_says(void **state)
{
    struct exchange_fixture *fixture = *state;
    open_plan(fixture, "{\"properties\":{\"properties\":{\"properties\":{\"plan\":{\"type\":"
                       "\"string\"}},\"additionalProperties\":false}}}");
    struct str good = STR(EVENT("\"properties\":{\"plan\":\"gold\"}"));
    struct str bad = STR(EVENT("\"properties\":{\"plann\":\"gold\"}"));
    assert_answer(fixture, good, 200, ACCEPTED("1"));
    exchange_run(fixture, native_handle, "events", bad);
    assert_non_null(strstr(exchange_reply_text(fixture),
        "{\"index\":0,\"code\":\"schema_violation\",\"pointer\":\"/properties/plann\",\"hint\":"
        "\"is not in the schema: did you mean \\\"plan\\\"?\"}"));
    assert_int_equal(fixture->exchange.intake.accepted, 0);
    assert_true(str_starts_with(
        str_of(exchange_rejected_text(fixture)), STR("schema_violation /properties/plann {")));
    fixture->door.plan_mode = PLAN_WARN;
    exchange_run(fixture, native_handle, "events", bad);
    assert_int_equal(fixture->exchange.intake.accepted, 1);
    assert_int_equal(fixture->exchange.intake.planless, 1);
    assert_non_null(
        strstr(exchange_reply_text(fixture), "\"warnings\":[{\"index\":0,\"code\":\"schema_viol"));
    assert_string_equal(exchange_rejected_text(fixture), "");
    fixture->door.plan_mode = PLAN_OFF;
    assert_answer(fixture, bad, 200, ACCEPTED("1"));
    assert_int_equal(fixture->exchange.intake.planless, 0);
    plan_free(&fixture->door.plan);
}

static void test_native_validate_keeps_nothing(void **state)
{
    struct exchange_fixture *fixture = *state;
    exchange_run(fixture, native_handle, "validate", STR("[" GOOD("1") ",{\"id\":\"2\"}]"));
    assert_int_equal(fixture->exchange.status, 200);
    assert_string_equal(exchange_reply_text(fixture),
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[{\"index\":1,\"code\":\"missing_field\","
        "\"pointer\":\"/type\",\"hint\":\"\"}]}");
    assert_true(fixture->exchange.intake.dry_run);
    assert_string_equal(exchange_rejected_text(fixture), "");
}

static void test_native_browser_adds_client_and_trace(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct exchange *exchange = &fixture->exchange;
    exchange->user_agent = STR("UA");
    exchange->address = STR("192.0.2.7");
    exchange->traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    assert_null(strstr(exchange_events_text(fixture), "192.0.2.7")); /* a server's own address */
    exchange->browser = true;
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    const char *text = exchange_events_text(fixture);
    assert_non_null(strstr(text, "\"client\":{\"address\":\"192.0.2.7\",\"user_agent\":\"UA\"}"));
    assert_non_null(strstr(text, "\"traceparent\":\"00-0af7"));
}

static void test_native_open_source_needs_no_key_but_refuses_a_wrong_one(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("dev")));
    fixture->exchange.header_key = STR("wrong");
    assert_refused(fixture, STR(GOOD("1")), 401, "unauthorized");
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    assert_answer(fixture, STR(GOOD("1")), 200, ACCEPTED("1"));
    assert_true(str_equal(fixture->exchange.source->config.name, STR("ec-web")));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_native_object_array_and_lines_are_accepted),
        CASE(test_native_mixed_batch_has_a_verdict_for_each),
        CASE(test_native_bad_line_is_one_verdict),
        CASE(test_native_body_that_is_no_json_is_400),
        CASE(test_native_depth_and_keys_over_the_limit_are_400),
        CASE(test_native_event_of_a_thousand_identifiers_is_refused),
        CASE(test_native_single_event_without_usable_id_is_400),
        CASE(test_native_event_that_is_not_acceptable_is_rejected_with_payload),
        CASE(test_native_hostile_text_is_stored_as_it_is),
        CASE(test_native_absurd_time_is_accepted_as_suspect),
        CASE(test_native_no_consent_is_counted_and_dropped),
        CASE(test_native_dropped_identifier_is_a_warning),
        CASE(test_native_too_many_events_is_413),
        CASE(test_native_event_size_at_and_over_the_limit),
        CASE(test_native_keys),
        CASE(test_native_trusted_source_cannot_forge_the_pipelines_fields),
        CASE(test_native_rate_over_the_limit_is_429),
        CASE(test_native_plan_rejects_or_warns_as_the_source_says),
        CASE(test_native_validate_keeps_nothing),
        CASE(test_native_browser_adds_client_and_trace),
        cmocka_unit_test_setup_teardown(
            test_native_open_source_needs_no_key_but_refuses_a_wrong_one, setup_open, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
