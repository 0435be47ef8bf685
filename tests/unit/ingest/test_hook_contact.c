/* Amazon Connect and Genesys: calls by their notifications, waiting and talking, who it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/hook_fixture.h"

#define CONNECT(id, detail)                                                                        \
    "{\"version\":\"0\",\"id\":\"" id "\",\"detail-type\":\"Amazon Connect Contact Event\","       \
    "\"source\":\"aws.connect\",\"account\":\"111122223333\",\"time\":\"2026-11-20T01:59:59Z\","   \
    "\"region\":\"ap-northeast-1\",\"resources\":[],\"detail\":{" detail "}}"
#define VOICE                                                                                      \
    "\"contactId\":\"c-1\",\"initialContactId\":\"c-1\",\"channel\":\"VOICE\","                    \
    "\"initiationMethod\":\"INBOUND\",\"initiationTimestamp\":\"2026-11-20T01:50:00.000Z\""
#define QUEUED                                                                                     \
    ",\"queueInfo\":{\"queueArn\":\"arn:aws:connect:x:1:instance/i/queue/q-9\",\"queueType\":"     \
    "\"STANDARD\",\"enqueueTimestamp\":\"2026-11-20T01:50:10.000Z\"}"
#define AGENT                                                                                      \
    ",\"AgentInfo\":{\"AgentArn\":\"arn:aws:connect:x:1:instance/i/agent/a-7\","                   \
    "\"connectedToAgentTimestamp\":\"2026-11-20T01:51:40.500Z\"}"
#define OVER ",\"disconnectTimestamp\":\"2026-11-20T01:55:00.000Z\",\"eventType\":\"DISCONNECTED\""

static void test_connect_call_has_its_parts(void **state)
{
    const char *text = hook_stored(*state, "connect/dev",
        CONNECT("e-3", VOICE QUEUED AGENT OVER ",\"customerEndpoint\":{\"type\":"
                                               "\"TELEPHONE_NUMBER\",\"address\":\"+81312345678\"},"
                                               "\"attributes\":{\"customer_id\":\"u-7\",\"menu\":"
                                               "\"3\"}"));
    hook_contains(text,
        "\"call\":{\"agent\":\"a-7\",\"call_id\":\"c-1\",\"direction\":\"inbound\",\"queue\":"
        "\"q-9\",\"talk_ms\":199500,\"wait_ms\":90500}");
    hook_contains(text, "\"id\":\"e-3\",\"ids\":{\"case\":\"c-1\",\"login\":\"u-7\",\"phone\":"
                        "\"k1:");
    hook_contains(text, "\"time\":\"2026-11-20T01:55:00Z\",\"type\":\"call_ended\"");
    assert_null(strstr(text, "312345678"));
}

static void test_connect_types(void **state)
{
    static const struct {
        const char *body, *type, *time;
    } cases[] = {
        {CONNECT("1", VOICE ",\"eventType\":\"INITIATED\""), "call_started", "01:50:00Z"},
        {CONNECT("2", VOICE QUEUED ",\"eventType\":\"QUEUED\""), "call_queued", "01:50:10Z"},
        {CONNECT("3", VOICE QUEUED AGENT ",\"eventType\":\"CONNECTED_TO_AGENT\""), "call_answered",
            "01:51:40.500Z"},
        {CONNECT("4", VOICE QUEUED AGENT OVER), "call_ended", "01:55:00Z"},
        {CONNECT("5", VOICE QUEUED OVER), "call_abandoned", "01:55:00Z"},
        {CONNECT("6", VOICE OVER), "call_ended", "01:55:00Z"}, /* the menu sufficed */
        {CONNECT("7", VOICE ",\"eventType\":\"CONTACT_DATA_UPDATED\""), "call_contact_data_updated",
            "01:59:59Z"},
        {CONNECT("8", "\"contactId\":\"c-2\",\"channel\":\"CHAT\",\"eventType\":\"INITIATED\""),
            "chat_started", "01:59:59Z"},
        {CONNECT("9", "\"contactId\":\"c-2\",\"channel\":\"CHAT\"" OVER), "chat_ended",
            "01:55:00Z"},
        {CONNECT("10", "\"contactId\":\"c-2\",\"channel\":\"TASK\",\"eventType\":\"INITIATED\""),
            "contact_initiated", "01:59:59Z"},
        {CONNECT("11", "\"contactId\":\"c-3\",\"channel\":\"VOICE\",\"initiationMethod\":"
                       "\"OUTBOUND\"" QUEUED OVER),
            "call_ended", "01:55:00Z"},
        {CONNECT("12",
             "\"contactId\":\"c-3\",\"channel\":\"VOICE\",\"initiationMethod\":\"API\"" QUEUED
                 OVER),
            "call_ended", "01:55:00Z"},
        {CONNECT("13", "\"contactId\":\"c-3\",\"channel\":\"VOICE\",\"initiationMethod\":"
                       "\"CALLBACK\"" QUEUED OVER),
            "call_ended", "01:55:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64];
        const char *text = hook_stored(*state, "connect/dev", cases[i].body);
        (void)snprintf(type, sizeof type, "\"type\":\"%s\"", cases[i].type);
        hook_contains(text, type);
        hook_contains(text, cases[i].time);
        hook_contains(text, "\"call_id\":\"c-");
    }
}

/* A record, whose keys begin with capitals, when all is over; a contact that was handed on. */
static void test_connect_records_and_transfers(void **state)
{
    struct hook_fixture *fixture = *state;
    const char *text = hook_stored(fixture, "connect/dev",
        CONNECT("e-4", "\"ContactId\":\"c-5\",\"InitialContactId\":\"c-1\",\"Channel\":\"VOICE\","
                       "\"InitiationMethod\":\"TRANSFER\",\"DisconnectTimestamp\":"
                       "\"2026-11-20T01:55:00Z\",\"DisconnectReason\":\"CUSTOMER_DISCONNECT\","
                       "\"Queue\":{\"Name\":\"Returns\",\"ARN\":\"a/q-9\",\"EnqueueTimestamp\":"
                       "\"2026-11-20T01:50:10Z\"},\"Agent\":{\"ARN\":\"a/a-7\","
                       "\"ConnectedToAgentTimestamp\":\"2026-11-20T01:51:00Z\"},"
                       "\"CustomerEndpoint\":{\"Address\":\"+81312345678\"},\"Attributes\":{"
                       "\"tabiji_loyalty\":\"L-1\"}"));
    hook_contains(text, "\"call\":{\"agent\":\"a-7\",\"call_id\":\"c-5\",\"direction\":"
                        "\"inbound\",\"outcome\":\"CUSTOMER_DISCONNECT\",\"parent_id\":\"c-1\","
                        "\"queue\":\"Returns\",\"talk_ms\":240000,\"wait_ms\":50000}");
    hook_contains(text, "\"ids\":{\"case\":[\"c-1\",\"c-5\"],\"loyalty\":\"L-1\",\"phone\":\"k1:");
    hook_contains(text, "\"type\":\"call_ended\"");
}

static void test_connect_bad_notifications(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *rejected;
    } cases[] = {
        {"{\"detail\":{\"contactId\":\"c\"}}", 400, "bad_id /id "},
        {"{\"id\":\"e\",\"detail\":{}}", 200, "missing_field /detail/contactId "},
        {"[7]", 200, "bad_type  7\n"},
        {"7", 400, ""},
        {"", 400, ""},
    };
    struct hook_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(hook_send(fixture, "connect/dev", cases[i].body), cases[i].status);
        hook_contains(exchange_rejected_text(&fixture->base), cases[i].rejected);
    }
}

static void test_connect_secret(void **state)
{
    struct hook_fixture *fixture = *state;
    const char *body = CONNECT("e", VOICE OVER);
    hook_use_signed(fixture, NULL, NULL);
    hook_header(fixture, "X-Api-Key", HOOK_NEW_SECRET);
    assert_int_equal(hook_send(fixture, "connect/shop", body), 200);
    hook_header(fixture, "X-Api-Key", HOOK_OLD_SECRET);
    assert_int_equal(hook_send(fixture, "connect/shop", body), 200);
    hook_header(fixture, "X-Api-Key", "123456");
    assert_int_equal(hook_send(fixture, "connect/shop", body), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_SIGNATURE + 1);
    hook_header(fixture, "X-Api-Key", NULL);
    assert_int_equal(hook_send(fixture, "connect/shop", body), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_UNSIGNED + 1);
    assert_int_equal(hook_send(fixture, "connect/bare", body), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_NO_SECRET + 1);
    /* A write key does, that of the very source. */
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    assert_int_equal(hook_send(fixture, "connect/keyed", body), 200);
    assert_int_equal(hook_send(fixture, "connect/shop", body), 401);
    assert_int_equal(hook_send(fixture, "connect/bare", body), 401);
}

static void test_connect_secret_in_another_header(void **state)
{
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, "X-Our-Secret");
    hook_header(fixture, "X-Our-Secret", HOOK_NEW_SECRET);
    assert_int_equal(hook_send(fixture, "connect/shop", CONNECT("e", VOICE OVER)), 200);
    hook_header(fixture, "X-Our-Secret", NULL);
    hook_header(fixture, "X-Api-Key", HOOK_NEW_SECRET);
    assert_int_equal(hook_send(fixture, "connect/shop", CONNECT("e", VOICE OVER)), 401);
}

/* ---- Genesys ---- */

#define GENESYS(moment, more)                                                                      \
    "{\"topicName\":\"v2.detail.events.conversation.{id}." moment "\",\"version\":\"2\","          \
    "\"eventBody\":{\"eventTime\":1795139940000,\"conversationId\":\"conv-1\",\"participantId\":"  \
    "\"p-1\",\"mediaType\":\"VOICE\",\"direction\":\"INBOUND\",\"ani\":\"tel:+81312345678\","      \
    "\"dnis\":\"tel:+815012345678\"" more "}}"

#define GENESYS_OUT(moment, more)                                                                  \
    "{\"topicName\":\"v2.detail.events.conversation.{id}." moment                                  \
    "\",\"eventBody\":{\"eventTime\":"                                                             \
    "1795139940000,\"conversationId\":\"conv-1\",\"mediaType\":\"VOICE\",\"direction\":"           \
    "\"OUTBOUND\"" more "}}"

static void test_genesys_call_has_its_parts(void **state)
{
    const char *text = hook_stored(*state, "genesys/dev",
        GENESYS("customer.end", ",\"disconnectType\":\"PEER\",\"queueId\":\"q-1\",\"userId\":"
                                "\"u-9\",\"interactingDurationMs\":61000,\"attributes\":{"
                                "\"loyalty\":\"L-1\"}"));
    hook_contains(text,
        "\"call\":{\"agent\":\"u-9\",\"call_id\":\"conv-1\",\"direction\":\"inbound\","
        "\"outcome\":\"PEER\",\"queue\":\"q-1\",\"talk_ms\":61000}");
    hook_contains(text,
        "\"id\":\"conv-1-1795139940000-customer.end-4b5bd16fbd12e566\",\"ids\":{\"case\":"
        "\"conv-1\",\"loyalty\":\"L-1\",\"phone\":\"k1:");
    hook_contains(text, "\"time\":\"2026-11-20T01:59:00Z\",\"type\":\"call_ended\"");
    assert_null(strstr(text, "312345678"));
}

static void test_genesys_types(void **state)
{
    static const struct {
        const char *body, *type;
    } cases[] = {
        {GENESYS("customer.start", ""), "call_started"},
        {GENESYS("acd.start", ""), "call_acd_start"},
        {GENESYS("user.start", ""), "call_answered"},
        {GENESYS("acd.end", ",\"acdOutcome\":\"ABANDON\",\"connectedDurationMs\":9000"),
            "call_abandoned"},
        {GENESYS("acd.end", ",\"acdOutcome\":\"ANSWERED\""), "call_acd_end"},
        {GENESYS("customer.end", ",\"interactingDurationMs\":1"), "call_ended"},
        /* nobody spoke, as acd.end has told if it was given up: that is one end, not two */
        {GENESYS("customer.end", ""), "call_customer_end"},
        {GENESYS("customer.end", ",\"interactingDurationMs\":0"), "call_customer_end"},
        {GENESYS("customer.end", ",\"acdOutcome\":\"ABANDON\",\"interactingDurationMs\":9"),
            "call_customer_end"},
        /* nobody whom we called can give up: that is a call without an answer, and its end */
        {GENESYS_OUT("user.start", ",\"userId\":\"u-9\""), "call_user_start"},
        {GENESYS_OUT("acd.end", ",\"acdOutcome\":\"ABANDON\""), "call_acd_end"},
        {GENESYS_OUT("customer.end", ",\"disconnectType\":\"PEER\""), "call_ended"},
        {GENESYS_OUT("customer.end", ",\"interactingDurationMs\":1"), "call_ended"},
        /* EventBridge's envelope; another medium; a plain body. */
        {"{\"id\":\"x\",\"detail-type\":\"v2.detail.events.conversation.{id}.customer.start\","
         "\"detail\":{\"topicName\":\"t\",\"eventBody\":{\"eventTime\":\"2026-11-20T01:59:00Z\","
         "\"conversationId\":\"conv-1\",\"mediaType\":\"WEBCHAT\"}}}",
            "chat_started"},
        {"{\"eventType\":\"customer.start\",\"eventTime\":1795139940000,\"conversationId\":"
         "\"conv-1\",\"mediaType\":\"EMAIL\"}",
            "conversation_customer_start"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64];
        const char *text = hook_stored(*state, "genesys/dev", cases[i].body);
        (void)snprintf(type, sizeof type, "\"type\":\"%s\"", cases[i].type);
        hook_contains(text, type);
        hook_contains(text, "\"id\":\"conv-1-");
    }
}

/* Two who answer in one millisecond are two events; the same one sent again is the same. */
static void test_genesys_ids_tell_participants_apart(void **state)
{
#define ANSWERED(whose)                                                                            \
    "{\"eventType\":\"user.start\",\"eventTime\":1795139940000,\"conversationId\":"                \
    "\"6e5b2a0c-0d4f-4a53-9d4e-111111111111\"" whose "}"
    static const char *const bodies[] = {ANSWERED(""),
        ANSWERED(",\"participantId\":\"6e5b2a0c-0d4f-4a53-9d4e-222222222222\""),
        ANSWERED(",\"participantId\":\"6e5b2a0c-0d4f-4a53-9d4e-333333333333\""),
        ANSWERED(",\"userId\":\"6e5b2a0c-0d4f-4a53-9d4e-222222222222\""),
        ANSWERED(",\"participantId\":\"6e5b2a0c-0d4f-4a53-9d4e-222222222222\",\"userId\":"
                 "\"6e5b2a0c-0d4f-4a53-9d4e-444444444444\"")};
    enum { COUNT = sizeof bodies / sizeof *bodies };
    char ids[COUNT][128];
    for (size_t i = 0; i < COUNT; i++) {
        const char *id = strstr(hook_stored(*state, "genesys/dev", bodies[i]), "\"id\":\"");
        assert_non_null(id);
        (void)snprintf(ids[i], sizeof ids[i], "%.*s", (int)strcspn(id + 6, "\""), id + 6);
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(ids[i], ids[other]);
        hook_contains(hook_stored(*state, "genesys/dev", bodies[i]), ids[i]);
    }
    assert_string_equal(ids[0], "6e5b2a0c-0d4f-4a53-9d4e-111111111111-1795139940000-user.start");
#undef ANSWERED
}

static void test_genesys_bad_notifications(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *rejected;
    } cases[] = {
        {"{}", 400, "bad_id /eventBody {}\n"},
        {"{\"conversationId\":\"c\",\"eventTime\":\"soon\"}", 200,
            "bad_time /eventBody/eventTime "},
        {"{\"conversationId\":\"c\",\"eventTime\":1795139940000}", 200,
            "bad_event_type /topicName "},
        {"[[]]", 200, "bad_type  []\n"},
    };
    struct hook_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(hook_send(fixture, "genesys/dev", cases[i].body), cases[i].status);
        hook_contains(exchange_rejected_text(&fixture->base), cases[i].rejected);
    }
}

#define SIGNED "{\"conversationId\":\"c\",\"eventTime\":1795139940000,\"eventType\":\"a.b\"}"
#define SIGNED_LATE "{\"conversationId\":\"c\",\"eventTime\":1795130000000,\"eventType\":\"a.b\"}"

static void test_genesys_signature_and_replay(void **state)
{
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, NULL);
    hook_header(
        fixture, "X-Hub-Signature-256", "sha256=nMJl0oLDe+G5o+1r7T4Tkf4PUieEPb2aI2UKS0RIaXg=");
    assert_int_equal(hook_send(fixture, "genesys/shop", SIGNED), 200);
    assert_int_equal(hook_send(fixture, "genesys/shop", SIGNED " "), 401);
    hook_header(fixture, "X-Hub-Signature-256",
        "sha256=9cc265d282c37be1b9a3ed6bed3e1391fe0f5227843dbd9a23650a4b44486978");
    assert_int_equal(hook_send(fixture, "genesys/shop", SIGNED), 200);
    /* What was right once is not right for ever. */
    hook_header(
        fixture, "X-Hub-Signature-256", "sha256=28ms18KEm1VYFVhd1XfKc3eylFJkldxotT5xQQiGS5w=");
    assert_int_equal(hook_send(fixture, "genesys/shop", SIGNED_LATE), 403);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_STALE + 1);
    assert_int_equal(fixture->base.exchange.intake.records_count, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, hook_setup, hook_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_connect_call_has_its_parts),
        WITH(test_connect_types),
        WITH(test_connect_records_and_transfers),
        WITH(test_connect_bad_notifications),
        WITH(test_connect_secret),
        WITH(test_connect_secret_in_another_header),
        WITH(test_genesys_call_has_its_parts),
        WITH(test_genesys_types),
        WITH(test_genesys_ids_tell_participants_apart),
        WITH(test_genesys_bad_notifications),
        WITH(test_genesys_signature_and_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
