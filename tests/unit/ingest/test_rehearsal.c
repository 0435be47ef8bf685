/* What a request would come to: the fate of each event, also of bodies that are none. */
#include "ingest/collector/rehearsal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/import/mapping.h"
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

#define CALL "CallSid=CA1&CallStatus=ringing&Direction=inbound&From=%2B81312345678"
#define CALL_JSON                                                                                  \
    "{\"CallSid\":\"CA1\",\"CallStatus\":\"ringing\",\"Direction\":\"inbound\",\"From\":\"+"       \
    "81312345678\"}"
#define CONTACT(id)                                                                                \
    "{\"id\":\"" id "\",\"time\":\"2026-11-20T01:00:00Z\",\"detail\":{\"contactId\":\"c-1\","      \
    "\"channel\":\"VOICE\",\"eventType\":\"QUEUED\"}}"
#define CONVERSATION                                                                               \
    "{\"topicName\":\"v2.detail.events.conversation.1.customer.start\",\"eventBody\":{"            \
    "\"conversationId\":\"1\",\"eventTime\":1795139940000,\"mediaType\":\"VOICE\"}}"
#define ORDER(id)                                                                                  \
    "{" id "\"created_at\":\"2026-11-20T10:00:00+09:00\",\"currency\":\"JPY\",\"total_price\":"    \
    "\"100\",\"customer\":{\"id\":5}}"
#define MAPPING                                                                                    \
    "[file]\nname = pbx\nformat = ndjson\ntime_format = epoch_s\n"                                 \
    "[event call_started]\nwhen = kind = ring\ntime = at\ncall.call_id = call\n"                   \
    "[event call_ended]\nwhen = kind != ring\nwhen = kind != none\ntime = at\n"                    \
    "call.call_id = call\n"                                                                        \
    "[event note_taken]\nwhen = kind = end\ntime = at\ncall.call_id = call\nids.email = mail\n"
#define RING "{\"kind\":\"ring\",\"at\":1795139940,\"call\":\"C1\"}"
#define END "{\"kind\":\"end\",\"at\":1795139999,\"call\":\"C1\",\"mail\":\"nobody\"}"
#define NONE "{\"kind\":\"none\"}"

struct fixture {
    struct mapping *mapping;
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
    CLEANUP(buf_free) struct buf message = {0};
    if (mapping_parse("m.ini", STR(MAPPING), &fixture.mapping, &message) < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    fixture.source.mapping = fixture.mapping;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    arena_free(&fixture->arena);
    mapping_free(&fixture->mapping);
    return 0;
}

static struct rehearsal run(
    struct fixture *fixture, enum rehearsal_protocol protocol, struct str body)
{
    const struct rehearsal_config config = {.protocol = protocol,
        .source = &fixture->source,
        .door = &fixture->door,
        .events_max = 10,
        .now_micros = NOW,
        .topic = STR("orders/create")};
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

/* A notification gives no event, one, or several; nobody signed it, and it may be old. */
static void test_rehearse_reads_notifications(void **state)
{
    static const struct str secrets[] = {STR_INIT("hush")};
    static const struct {
        enum rehearsal_protocol protocol;
        const char *body, *fates;
    } cases[] = {
        {REHEARSAL_TWILIO, CALL, "a"},
        {REHEARSAL_TWILIO, "CallSid=CA1&CallStatus=rining", "r"},
        {REHEARSAL_TWILIO, "From=x", "r"},
        {REHEARSAL_TWILIO, "[" CALL_JSON "," CALL_JSON ",{}]", "adr"},
        {REHEARSAL_CONNECT, CONTACT("e-1"), "a"},
        {REHEARSAL_CONNECT, "[" CONTACT("") "," CONTACT("e-1") "," CONTACT("e-1") ",7]", "radr"},
        {REHEARSAL_GENESYS, " " CONVERSATION, "a"},
        {REHEARSAL_GENESYS, "{\"eventBody\":{\"conversationId\":\"1\"}}", "r"},
        {REHEARSAL_SHOPIFY, ORDER("\"id\":1,"), "a"},
        {REHEARSAL_SHOPIFY, ORDER(""), "r"},
        {REHEARSAL_SHOPIFY, "[" ORDER("\"id\":1,") "," ORDER("\"id\":2,") "]", "aa"},
        {REHEARSAL_GENERIC, RING, "a"},
        {REHEARSAL_GENERIC, NONE, ""},
        {REHEARSAL_GENERIC, "[" END "," NONE "," RING "," END ",{\"kind\":\"ring\"}]", "aaaddr"},
        {REHEARSAL_GENERIC, "[" NONE "," NONE ",{\"kind\":\"ring\",\"at\":\"soon\"}]", "r"},
    };
    struct fixture *fixture = *state;
    fixture->source.secrets = secrets;
    fixture->source.secrets_count = 1;
    fixture->source.replay_window_micros = 1;
    for (size_t i = 0; i < CASES(cases); i++)
        assert_fates(fixture, cases[i].protocol, cases[i].body, cases[i].fates);
    fixture->source.protocols = SOURCE_PROTOCOL_NATIVE;
    assert_int_equal(run(fixture, REHEARSAL_TWILIO, STR(CALL)).status, 403);
}

static void test_rehearse_says_what_is_wrong_with_a_notification(void **state)
{
    struct fixture *fixture = *state;
    /* Shopify names the event in a header: what is missing is the order's. */
    struct rehearsal rehearsal = run(fixture, REHEARSAL_SHOPIFY, STR(ORDER("")));
    assert_int_equal(rehearsal.list[0].problem.error, ERR_MISSING_FIELD);
    assert_true(str_equal(rehearsal.list[0].problem.pointer, STR("/id")));
    rehearsal = run(fixture, REHEARSAL_SHOPIFY, STR(ORDER("\"id\":1,")));
    assert_true(str_equal(rehearsal.list[0].event.event_id, STR("1-orders/create")));
    assert_true(str_equal(rehearsal.list[0].event.type, STR("order_completed")));
    rehearsal = run(fixture, REHEARSAL_TWILIO, STR("From=x"));
    assert_int_equal(rehearsal.status, 400);
    assert_int_equal(rehearsal.list[0].problem.error, ERR_EVENT_ID);
    /* Of two events of one notification the second has an address that is none. */
    rehearsal = run(fixture, REHEARSAL_GENERIC, STR("[" RING "," END "]"));
    assert_int_equal(rehearsal.count, 3);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rehearsal.list[i].warning.hint.size, 0);
    assert_true(str_equal(rehearsal.list[1].event.type, STR("call_ended")));
    assert_true(str_equal(rehearsal.list[2].event.type, STR("note_taken")));
    assert_true(str_equal(rehearsal.list[2].warning.pointer, STR("/ids/email")));
    fixture->source.mapping = NULL;
    rehearsal = run(fixture, REHEARSAL_GENERIC, STR(RING));
    assert_int_equal(rehearsal.list[0].problem.error, ERR_VALUE);
}

/* Two sections lack the same, which is told once; the warning is of the third. */
static void test_rehearse_what_is_told_once_moves_no_warning(void **state)
{
#define IDS(name) "[event " name "]\nid = no\ntime = at\nids.login = who\n"
    struct fixture *fixture = *state;
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    assert_int_equal(mapping_parse("m.ini",
                         STR("[file]\nname = m\nformat = ndjson\n" IDS("signed_in") IDS(
                             "signed_up") "[event searched]\nwhen = no notempty\nids.login = who\n"
                                          "[event stock_checked]\nids.login = who\nids.email = "
                                          "mail\n"),
                         &mapping, &message),
        0);
    fixture->source.mapping = mapping;
    struct rehearsal rehearsal = run(fixture, REHEARSAL_GENERIC,
        STR("[{\"who\":\"u\"},{\"who\":\"u\",\"at\":\"2026-11-20T02:00:00Z\",\"mail\":\"nobody\"}"
            "]"));
    assert_int_equal(rehearsal.count, 4);
    assert_int_equal(rehearsal.list[2].problem.error, ERR_MISSING_FIELD);
    assert_true(str_equal(rehearsal.list[3].event.type, STR("stock_checked")));
    assert_true(str_equal(rehearsal.list[3].warning.pointer, STR("/ids/email")));
    mapping_free(&mapping);
#undef IDS
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
        [REHEARSAL_TWILIO] = "[" CALL_JSON "," CALL_JSON "]",
        [REHEARSAL_CONNECT] = "[" CONTACT("1") "," CONTACT("2") "]",
        [REHEARSAL_GENESYS] = "[" CONVERSATION "]",
        [REHEARSAL_SHOPIFY] = ORDER("\"id\":1,"),
        [REHEARSAL_GENERIC] = "[" END "," NONE "]",
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
        CASE(test_rehearse_reads_notifications),
        CASE(test_rehearse_says_what_is_wrong_with_a_notification),
        CASE(test_rehearse_what_is_told_once_moves_no_warning),
        CASE(test_rehearse_gives_the_event_as_it_would_be_stored),
        CASE(test_rehearse_refused_request_has_its_reply),
        CASE(test_rehearse_takes_nothing_of_what_is_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
