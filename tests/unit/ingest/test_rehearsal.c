/* What a request would come to: the fate of each event, also of bodies that are none. */
#include "ingest/collector/rehearsal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

#define NOW INT64_C(1795140000000000)
#define CASES(list) sizeof(list) / sizeof *(list)
#define TIME ",\"time\":\"2026-11-20T10:15:00+09:00\""
#define NATIVE_GOOD "{\"id\":\"a\",\"type\":\"searched\",\"ids\":{\"login\":\"u\"}" TIME "}"
#define NATIVE_REFUSED                                                                             \
    "{\"id\":\"b\",\"type\":\"searched\",\"ids\":{\"login\":\"u\"},\"consent\":{\"analytics\":"    \
    "false}}"
#define NATIVE_BAD "{\"id\":\"c\",\"type\":\"searched\",\"ids\":{}}"
#define MESSAGE(id, more)                                                                          \
    "{\"type\":\"track\",\"event\":\"x\",\"messageId\":\"" id "\",\"userId\":\"u\"" more "}"
#define PAYLOAD(events)                                                                            \
    "{\"schema\":\"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/"                   \
    "1-0-4\",\"data\":[" events "]}"
#define VIEW                                                                                       \
    "{\"e\":\"pv\",\"p\":\"web\",\"tv\":\"x\",\"uid\":\"u\",\"eid\":\"0192f3c1-0000-4000-8000-"    \
    "000000000001\"}"

struct fixture {
    struct arena arena;
    struct door_config door;
    struct config_source source;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){
        .source = {.name = STR("web"), .protocols = SOURCE_PROTOCOL_ALL, .currency = STR("JPY")}};
    door_config_default(&fixture.door);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    arena_free(&fixture->arena);
    return 0;
}

static struct rehearsal run(
    struct fixture *fixture, enum rehearsal_protocol protocol, struct str body)
{
    const struct rehearsal_config config = {.protocol = protocol,
        .source = &fixture->source,
        .door = &fixture->door,
        .events_max = 10,
        .now_micros = NOW};
    struct rehearsal rehearsal;
    assert_int_equal(rehearse(&config, body, &fixture->arena, &rehearsal), 0);
    return rehearsal;
}

/* "adnr" by event: accepted, duplicate, refused by the customer, rejected. */
static void assert_fates(
    struct fixture *fixture, enum rehearsal_protocol protocol, const char *body, const char *fates)
{
    struct rehearsal rehearsal = run(fixture, protocol, str_of(body));
    char got[20] = "";
    for (size_t i = 0; i < rehearsal.count && i < sizeof got - 1; i++)
        got[i] = "adnr"[rehearsal.list[i].fate];
    if (strcmp(got, fates) != 0)
        fail_msg("%s: %s, wanted %s", body, got, fates);
}

static void test_rehearse_tells_the_fate_of_each_event(void **state)
{
    static const struct {
        enum rehearsal_protocol protocol;
        const char *body, *fates;
    } cases[] = {
        {REHEARSAL_NATIVE, NATIVE_GOOD, "a"},
        {REHEARSAL_NATIVE, NATIVE_REFUSED, "n"},
        {REHEARSAL_NATIVE, NATIVE_BAD, "r"},
        {REHEARSAL_NATIVE, "[]", ""},
        {REHEARSAL_NATIVE,
            " [" NATIVE_BAD ", " NATIVE_GOOD "," NATIVE_REFUSED "," NATIVE_GOOD ",7]", "randr"},
        {REHEARSAL_NATIVE,
            "\n" NATIVE_GOOD "\n \n" NATIVE_GOOD "\r\n" NATIVE_REFUSED "\n" NATIVE_BAD, "adnr"},
        {REHEARSAL_SEGMENT, MESSAGE("1", ""), "a"},
        {REHEARSAL_SEGMENT,
            "{\"batch\": [" MESSAGE("1", "") "," MESSAGE("1", "") "," MESSAGE(
                "", "") ",{}],"
                        "\"context\":{\"locale\":\"ja\"}}",
            "adrr"},
        {REHEARSAL_SEGMENT,
            "{\"context\":{\"consent\":{\"categoryPreferences\":{\"analytics\":false}}},"
            "\"batch\":[" MESSAGE("1", "") "," MESSAGE("2", "") "]}",
            "nn"},
        {REHEARSAL_SNOWPLOW, VIEW, "a"},
        {REHEARSAL_SNOWPLOW, PAYLOAD(VIEW "," VIEW ",{\"e\":\"zz\"}"), "adr"},
        {REHEARSAL_GA4,
            "{\"client_id\":\"c\",\"events\":[{\"name\":\"a\"},{\"name\":\"\"},{\"name\":\"b\"}]}",
            "ara"},
        {REHEARSAL_GA4,
            "{\"client_id\":\"c\",\"consent\":{\"analytics_storage\":\"DENIED\"},\"events\":["
            "{\"name\":\"a\"}]}",
            "n"},
    };
    for (size_t i = 0; i < CASES(cases); i++)
        assert_fates(*state, cases[i].protocol, cases[i].body, cases[i].fates);
}

static void test_rehearse_gives_the_event_as_it_would_be_stored(void **state)
{
    struct fixture *fixture = *state;
    struct rehearsal rehearsal =
        run(fixture, REHEARSAL_NATIVE, STR("[" NATIVE_BAD "," NATIVE_GOOD "]"));
    assert_int_equal(rehearsal.status, 200);
    assert_int_equal(rehearsal.list[0].problem.error, ERR_NO_IDENTIFIER);
    assert_true(str_equal(rehearsal.list[0].problem.pointer, STR("/ids")));
    const struct touchpoint *event = &rehearsal.list[1].event;
    assert_true(str_equal(event->source, STR("web")));
    assert_true(str_equal(event->event_id, STR("a")));
    assert_int_equal(event->protocol, PROTOCOL_NATIVE);
    assert_true(event->received_at == NOW);
    rehearsal = run(fixture, REHEARSAL_NATIVE,
        STR("{\"id\":\"a\",\"type\":\"searched\",\"ids\":{\"login\":\"u\",\"email\":\"x\"}}"));
    assert_true(str_equal(rehearsal.list[0].warning.pointer, STR("/ids/email")));
}

static void test_rehearse_refused_request_has_its_reply(void **state)
{
    struct fixture *fixture = *state;
    fixture->source.protocols = SOURCE_PROTOCOL_SEGMENT;
    struct rehearsal rehearsal = run(fixture, REHEARSAL_NATIVE, STR(NATIVE_GOOD));
    assert_int_equal(rehearsal.status, 403);
    assert_int_equal(rehearsal.count, 0);
    assert_true(str_starts_with(rehearsal.reply, STR("{\"code\":\"protocol\"")));
    rehearsal = run(fixture, REHEARSAL_SEGMENT, STR("{\"batch\":[1,2,3,4,5,6,7,8,9,10,11]}"));
    assert_int_equal(rehearsal.status, 413);
    assert_true(str_starts_with(rehearsal.reply, STR("{\"success\":false,\"code\":\"too_many\"")));
}

/* Nothing of a body that ends early, or is something else, is ever accepted; no fault either. */
static void test_rehearse_takes_nothing_of_what_is_no_request(void **state)
{
    static const char *const whole[REHEARSAL_PROTOCOLS] = {
        [REHEARSAL_NATIVE] = "[" NATIVE_GOOD "," NATIVE_REFUSED "," NATIVE_BAD "]",
        [REHEARSAL_SEGMENT] = "{\"batch\":[" MESSAGE("1", "") "," MESSAGE("1", "") "]}",
        [REHEARSAL_SNOWPLOW] = PAYLOAD(VIEW "," VIEW),
        [REHEARSAL_GA4] = "{\"client_id\":\"c\",\"events\":[{\"name\":\"a\"}]}",
    };
    static const struct str odd[] = {STR_INIT(""), STR_INIT("\0"), STR_INIT("null"), STR_INIT("7"),
        STR_INIT("\"x\""), STR_INIT("[1,null,\"x\",[]]"), STR_INIT("{}"), STR_INIT("{\"batch\":7}"),
        STR_INIT("{\"batch\":[7]}"), STR_INIT("{\"events\":[[]]}"), STR_INIT("{\"data\":{}}"),
        STR_INIT("\xff\xfe{"), STR_INIT("{\"a\":1}{\"a\":1}"), STR_INIT("\n\n\n"),
        STR_INIT("{\"schema\":7,\"data\":[]}"), STR_INIT("{\"type\":\"track\"}")};
    struct fixture *fixture = *state;
    for (int protocol = 0; protocol < REHEARSAL_PROTOCOLS; protocol++) {
        size_t size = strlen(whole[protocol]);
        for (size_t i = 0; i < size + CASES(odd); i++) {
            struct str body = i < size ? str_make(whole[protocol], i) : odd[i - size];
            struct rehearsal rehearsal = run(fixture, (enum rehearsal_protocol)protocol, body);
            for (size_t k = 0; k < rehearsal.count; k++)
                assert_int_equal(rehearsal.list[k].fate, REHEARSAL_REJECTED);
            /* GA4's clients are told nothing: of an empty body there is nothing to keep. */
            bool quiet = protocol == REHEARSAL_GA4 && (body.size == 0 || body.data[0] == '\n');
            if (rehearsal.count == 0 && rehearsal.status < 400 && !quiet)
                fail_msg("%d: %.*s is taken", protocol, (int)body.size, body.data);
        }
        arena_reset(&fixture->arena);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rehearse_tells_the_fate_of_each_event),
        CASE(test_rehearse_gives_the_event_as_it_would_be_stored),
        CASE(test_rehearse_refused_request_has_its_reply),
        CASE(test_rehearse_takes_nothing_of_what_is_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
