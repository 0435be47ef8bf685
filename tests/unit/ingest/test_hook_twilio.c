/* Twilio: signatures by their published vectors, calls in any order, messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/hook_fixture.h"

/* Source: Twilio's own tests; PROTOCOLS. */
#define VECTOR_TARGET "/myapp.php?foo=1&bar=2"
#define VECTOR_FORM                                                                                \
    "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To="          \
    "%2B18005551212"
#define VECTOR_SIGNATURE "RSOYDt4T1cUTdK1PDd93/VVr8B8="
#define VECTOR_JSON "{\"property\": \"value\", \"boolean\": true}"
#define VECTOR_HASH "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
#define VECTOR_JSON_SIGNATURE "a9nBmqA0ju/hNViExpshrM61xv4="

#define RINGING                                                                                    \
    "CallSid=CA1&CallStatus=ringing&Direction=inbound&From=%2B81312345678&To=%2B815012345678"
#define COMPLETED                                                                                  \
    "CallSid=CA1&CallStatus=completed&Direction=inbound&From=%2B81312345678&To=%2B815012345678&"   \
    "CallDuration=183&Duration=4&SequenceNumber=2&Timestamp=Fri%2C%2020%20Nov%202026%2001%3A59%"   \
    "3A00%20%2B0000&CallbackSource=call-progress-events"

static void sign_vector(struct hook_fixture *fixture, const char *signature)
{
    hook_use_signed(fixture, NULL, NULL);
    fixture->base.exchange.target = STR(VECTOR_TARGET);
    hook_header(fixture, "Host", "mycompany.com");
    hook_header(fixture, "X-Forwarded-Proto", "https");
    hook_header(fixture, "X-Twilio-Signature", signature);
}

static void test_twilio_published_form_is_believed(void **state)
{
    struct hook_fixture *fixture = *state;
    sign_vector(fixture, VECTOR_SIGNATURE);
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM), 200);
    hook_contains(exchange_rejected_text(&fixture->base), "missing_field /CallStatus {\"CallSid\"");
    /* A field more, a field less, another address. */
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM "&x=1"), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_SIGNATURE + 1);
    assert_int_equal(fixture->base.exchange.intake.records_count, 0);
    assert_int_equal(hook_send(fixture, "twilio/shop", "CallSid=CA1234567890ABCDE"), 401);
    fixture->base.exchange.target = STR("/myapp.php?foo=1&bar=3");
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM), 401);
}

static void test_twilio_address_as_proxies_and_ports_have_it(void **state)
{
    static const struct {
        const char *proto, *forwarded, *host;
        int status;
    } cases[] = {
        {"https", NULL, "mycompany.com", 200},
        {NULL, NULL, "mycompany.com", 200},
        {"https, http", "mycompany.com, inner:8080", "inner:8080", 200},
        {"https", NULL, "mycompany.com:8443", 200}, /* which Twilio leaves out */
        {"http", NULL, "mycompany.com", 401},
        {"https", "elsewhere.example", "mycompany.com", 401},
        {"https", NULL, "", 401},
    };
    struct hook_fixture *fixture = *state;
    sign_vector(fixture, VECTOR_SIGNATURE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hook_header(fixture, "X-Forwarded-Proto", cases[i].proto);
        hook_header(fixture, "X-Forwarded-Host", cases[i].forwarded);
        hook_header(fixture, "Host", cases[i].host);
        if (hook_send(fixture, "twilio/shop", VECTOR_FORM) != cases[i].status)
            fail_msg("case %zu: %d", i, fixture->base.exchange.status);
    }
}

static void test_twilio_public_url_is_what_counts(void **state)
{
    struct hook_fixture *fixture = *state;
    sign_vector(fixture, VECTOR_SIGNATURE);
    struct source *shop =
        (struct source *)(uintptr_t)sources_find_name(fixture->signed_sources, STR("shop"));
    hook_header(fixture, "X-Forwarded-Proto", "http");
    hook_header(fixture, "Host", "inner");
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM), 401);
    shop->config.public_url = STR("https://mycompany.com");
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM), 200);
    shop->config.public_url = STR("https://mycompany.com/myapp.php");
    fixture->base.exchange.target = STR("?foo=1&bar=2");
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_FORM), 200);
}

static void test_twilio_published_json_is_believed(void **state)
{
    static const struct exchange_pair query[] = {{STR_INIT("foo"), STR_INIT("1")},
        {STR_INIT("bar"), STR_INIT("2")}, {STR_INIT("bodySHA256"), STR_INIT(VECTOR_HASH)}};
    struct hook_fixture *fixture = *state;
    sign_vector(fixture, VECTOR_JSON_SIGNATURE);
    fixture->base.exchange.target = STR(VECTOR_TARGET "&bodySHA256=" VECTOR_HASH);
    fixture->base.exchange.query = query;
    fixture->base.exchange.query_count = 3;
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_JSON), 400);
    hook_contains(exchange_reply_text(&fixture->base), "\"code\":\"bad_id\"");
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_JSON " "), 401);
    assert_int_equal(hook_send(fixture, "twilio/shop", "CallSid=CA1"), 401);
    /* Without the hash in the address nothing says that the body is the sender's. */
    fixture->base.exchange.query_count = 2;
    assert_int_equal(hook_send(fixture, "twilio/shop", VECTOR_JSON), 401);
}

static void test_twilio_signature_of_the_old_secret_and_none(void **state)
{
    struct hook_fixture *fixture = *state;
    hook_use_signed(fixture, NULL, NULL);
    fixture->base.exchange.target = STR("/hooks/twilio/shop");
    hook_header(fixture, "Host", "t.example.jp");
    /* HMAC-SHA-1("the old one", "https://t.example.jp/hooks/twilio/shopCallSidCA1CallStatus" ...)
     */
    hook_header(fixture, "X-Twilio-Signature", "GRPHDTSVMoNmR+MHVhhB8RNVtw0=");
    assert_int_equal(
        hook_send(fixture, "twilio/shop", "CallStatus=ringing&CallSid=CA1&CallSid=CA1"), 200);
    hook_header(fixture, "X-Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_int_equal(hook_send(fixture, "twilio/shop", RINGING), 401);
    hook_header(fixture, "X-Twilio-Signature", "not base64!");
    assert_int_equal(hook_send(fixture, "twilio/shop", RINGING), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_SIGNATURE + 1);
    hook_header(fixture, "X-Twilio-Signature", NULL);
    assert_int_equal(hook_send(fixture, "twilio/shop", RINGING), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_UNSIGNED + 1);
    assert_int_equal(hook_send(fixture, "twilio/bare", RINGING), 401);
    assert_int_equal(fixture->base.exchange.refusal, REFUSAL_NO_SECRET + 1);
    /* A write key is no signature. */
    fixture->base.exchange.header_key = STR(HOOK_KEY);
    assert_int_equal(hook_send(fixture, "twilio/keyed", RINGING), 401);
}

static void test_twilio_call_has_its_parts(void **state)
{
    struct hook_fixture *fixture = *state;
    const char *text = hook_stored(fixture, "twilio/dev", COMPLETED);
    hook_contains(text, "\"call\":{\"call_id\":\"CA1\",\"direction\":\"inbound\",\"outcome\":"
                        "\"completed\",\"talk_ms\":183000}");
    hook_contains(text, "\"id\":\"CA1-ended\",\"ids\":{\"case\":\"CA1\",\"phone\":\"k1:");
    hook_contains(text, "\"sequence\":100,\"time\":\"2026-11-20T01:59:00Z\"");
    hook_contains(text, "\"type\":\"call_ended\"");
    assert_null(strstr(text, "312345678")); /* no number is kept as it is */
    assert_string_equal(exchange_reply_text(&fixture->base),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>");
    assert_string_equal(fixture->base.exchange.media_type, "text/xml; charset=utf-8");
}

/* The same person and call, whatever comes first; the same notification is the same event. */
static void test_twilio_notifications_of_a_call_share_it(void **state)
{
    struct hook_fixture *fixture = *state;
    char *ended = strdup(hook_stored(fixture, "twilio/dev", COMPLETED));
    char *rung = strdup(hook_stored(fixture, "twilio/dev", RINGING));
    const char *ids = strstr(ended, "\"ids\":");
    assert_non_null(ids);
    char *same = strndup(ids, (size_t)(strchr(ids, '}') - ids));
    hook_contains(rung, same);
    hook_contains(rung, "\"type\":\"call_started\"");
    fixture->base.exchange.now_micros += 1000000;
    assert_string_equal(hook_stored(fixture, "twilio/dev", COMPLETED), ended);
    free(same);
    free(ended);
    free(rung);
}

static void test_twilio_call_types(void **state)
{
    static const struct {
        const char *body, *type, *id;
    } cases[] = {
        {"CallSid=C&CallStatus=queued&To=%2B81312345678&Direction=outbound-api", "call_started",
            "C-queued"},
        {"CallSid=C&CallStatus=initiated&SequenceNumber=0", "call_started", "C-0"},
        {"CallSid=C&CallStatus=ringing&SequenceNumber=0", "call_started", "C-0"},
        {"CallSid=C&CallStatus=ringing&SequenceNumber=1", "call_ringing", "C-1"},
        {"CallSid=C&CallStatus=in-progress&SequenceNumber=2", "call_answered", "C-2"},
        {"CallSid=C&CallStatus=completed&SequenceNumber=3", "call_ended", "C-ended"},
        {"CallSid=C&CallStatus=completed", "call_ended", "C-ended"},
        {"CallSid=C&CallStatus=no-answer&SequenceNumber=3", "call_abandoned", "C-ended"},
        {"CallSid=C&CallStatus=busy&Direction=inbound", "call_abandoned", "C-ended"},
        {"CallSid=C&CallStatus=canceled", "call_abandoned", "C-ended"},
        {"CallSid=C&CallStatus=failed", "call_abandoned", "C-ended"},
        /* nobody took it: that is no customer who gave up */
        {"CallSid=C&CallStatus=busy&Direction=outbound-api", "call_ended", "C-ended"},
        {"CallSid=C&CallStatus=no-answer&Direction=outbound-dial&ParentCallSid=P", "call_ended",
            "C-ended"},
        {"CallSid=C&CallStatus=canceled&Direction=outbound-api", "call_ended", "C-ended"},
        {"CallSid=C&CallStatus=failed&Direction=outbound", "call_ended", "C-ended"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64], id[64];
        const char *text = hook_stored(*state, "twilio/dev", cases[i].body);
        (void)snprintf(type, sizeof type, "\"type\":\"%s\"", cases[i].type);
        (void)snprintf(id, sizeof id, "\"id\":\"%s\"", cases[i].id);
        hook_contains(text, type);
        hook_contains(text, id);
    }
}

/* One call has one end, whether who tells of it numbers what he tells or not: the second is a
 * duplicate, or where it says something else, told as such. */
static void test_twilio_call_ends_once(void **state)
{
#define SAID(more)                                                                                 \
    "{\"CallSid\":\"CA1\",\"CallStatus\":\"completed\",\"Direction\":\"inbound\",\"From\":"        \
    "\"+81312345678\"" more "}"
    struct hook_fixture *fixture = *state;
    static const char body[] = "[" SAID("") "," SAID(",\"SequenceNumber\":3") "," SAID(
        ",\"SequenceNumber\":0") "," SAID(",\"CallDuration\":7") "]";
    assert_int_equal(hook_send(fixture, "twilio/dev", body), 200);
    assert_int_equal(fixture->base.exchange.intake.accepted, 1);
    assert_int_equal(fixture->base.exchange.intake.duplicates, 2);
    assert_string_equal(exchange_rejected_text(&fixture->base),
        "id_conflict /id " SAID(",\"CallDuration\":7") "\n");
#undef SAID
}

/* The customer of an outgoing call is who is called; of a leg that is dialled on, whoever the call
 * before it is of; a SIP address or a client is no number. */
static void test_twilio_who_the_customer_is(void **state)
{
    struct hook_fixture *fixture = *state;
    char *out = strdup(hook_stored(fixture, "twilio/dev",
        "CallSid=C1&CallStatus=queued&Direction=outbound-api&From=%2B815012345678&To="
        "%2B81312345678"));
    char *in = strdup(hook_stored(fixture, "twilio/dev",
        "CallSid=C1&CallStatus=ringing&Direction=inbound&To=%2B815012345678&From=0312345678"));
    hook_contains(in, "\"phone\":\"k1:");
    const char *phone = strstr(out, "\"phone\":");
    assert_non_null(phone);
    char *same = strndup(phone, 40);
    hook_contains(in, same);
    const char *leg = hook_stored(fixture, "twilio/dev",
        "CallSid=C2&ParentCallSid=C1&CallStatus=ringing&Direction=outbound-dial&From="
        "%2B81312345678&To=%2B815099999999");
    hook_contains(leg, "\"ids\":{\"case\":[\"C1\",\"C2\"]}");
    hook_contains(leg, "\"parent_id\":\"C1\"");
    const char *sip = hook_stored(fixture, "twilio/dev",
        "CallSid=C3&CallStatus=ringing&Direction=inbound&From=sip%3Aa%40example.jp");
    hook_contains(sip, "\"ids\":{\"case\":\"C3\"}");
    /* Who withholds the number: the call alone tells. */
    hook_contains(hook_stored(fixture, "twilio/dev",
                      "CallSid=C4&CallStatus=ringing&Direction=inbound&From=anonymous"),
        "\"ids\":{\"case\":\"C4\"}");
    free(same);
    free(out);
    free(in);
}

static void test_twilio_messages(void **state)
{
    static const struct {
        const char *body, *type, *id;
    } cases[] = {
        {"MessageSid=SM1&SmsSid=SM1&SmsStatus=received&From=%2B818012345678&To=%2B1&Body=hello",
            "message_received", "SM1-received"},
        {"MessageSid=SM1&SmsStatus=received&From=%2B818012345678&Body=stop+it", "message_received",
            "SM1-received"},
        {"MessageSid=SM1&SmsStatus=received&From=%2B818012345678&Body=+Stop%0A",
            "message_unsubscribed", "SM1-received"},
        {"MessageSid=SM1&NumMedia=0&From=%2B818012345678&Body=x&OptOutType=STOP",
            "message_unsubscribed", "SM1-received"},
        {"MessageSid=SM2&MessageStatus=sent&To=%2B818012345678&From=%2B1", "message_sent",
            "SM2-sent"},
        {"MessageSid=SM2&MessageStatus=delivered&To=%2B818012345678", "message_delivered",
            "SM2-delivered"},
        {"MessageSid=SM2&MessageStatus=read&To=whatsapp%3A%2B818012345678", "message_opened",
            "SM2-read"},
        {"SmsSid=SM2&SmsStatus=undelivered&ErrorCode=30003&To=%2B818012345678", "message_failed",
            "SM2-undelivered"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64], id[64];
        const char *text = hook_stored(*state, "twilio/dev", cases[i].body);
        (void)snprintf(type, sizeof type, "\"type\":\"%s\"", cases[i].type);
        (void)snprintf(id, sizeof id, "\"id\":\"%s\"", cases[i].id);
        hook_contains(text, type);
        hook_contains(text, id);
        hook_contains(text, "\"phone\":\"k1:");
        assert_null(strstr(text, "hello"));
        hook_contains(text, "\"message_id\":\"SM");
    }
}

static void test_twilio_json_is_read_as_the_form(void **state)
{
    struct hook_fixture *fixture = *state;
    char *form = strdup(hook_stored(fixture, "twilio/dev", COMPLETED));
    const char *json = hook_stored(fixture, "twilio/dev",
        "{\"CallSid\":\"CA1\",\"CallStatus\":\"completed\",\"Direction\":\"inbound\",\"From\":"
        "\"+81312345678\",\"CallDuration\":183,\"SequenceNumber\":2,\"Timestamp\":"
        "\"Fri, 20 Nov 2026 01:59:00 +0000\"}");
    assert_string_equal(json, form);
    const char *stream = hook_stored(fixture, "twilio/dev",
        "[{\"specversion\":\"1.0\",\"type\":\"com.twilio.voice.status-callback.call.completed\","
        "\"id\":\"EZ1\",\"data\":{\"sid\":\"CA1\",\"timestamp\":\"2026-11-20T01:59:30Z\","
        "\"request\":{\"method\":\"POST\",\"parameters\":{\"CallSid\":\"CA1\",\"CallStatus\":"
        "\"completed\",\"Direction\":\"inbound\",\"From\":\"+81312345678\",\"CallDuration\":"
        "\"183\",\"SequenceNumber\":\"2\",\"Timestamp\":\"Fri, 20 Nov 2026 01:59:00 +0000\"}}}}]");
    assert_string_equal(stream, form);
    hook_contains(hook_stored(fixture, "twilio/dev",
                      "[{\"specversion\":\"1.0\",\"id\":\"EZ2\",\"data\":{\"messageSid\":\"SM1\","
                      "\"messageStatus\":\"delivered\",\"to\":\"+818012345678\",\"timestamp\":"
                      "\"2026-11-20T01:59:30Z\"}}]"),
        "\"type\":\"message_delivered\"");
    free(form);
}

/* Event Streams write statuses in capitals; what a callback has told is the same event. */
static void test_twilio_streams_of_messages(void **state)
{
    static const struct {
        const char *end, *data, *type, *id;
    } cases[] = {
        {"queued", ",\"messageStatus\":\"QUEUED\"", "message_queued", "SM1-queued"},
        {"sent", ",\"messageStatus\":\"SENT\"", "message_sent", "SM1-sent"},
        {"delivered", ",\"messageStatus\":\"DELIVERED\"", "message_delivered", "SM1-delivered"},
        {"undelivered", ",\"messageStatus\":\"UNDELIVERED\"", "message_failed", "SM1-undelivered"},
        {"read", ",\"messageStatus\":\"READ\"", "message_opened", "SM1-read"},
        {"failed", ",\"messageStatus\":\"FAILED\"", "message_failed", "SM1-failed"},
        {"delivered", "", "message_delivered", "SM1-delivered"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512], part[64];
        (void)snprintf(body, sizeof body,
            "[{\"specversion\":\"1.0\",\"type\":\"com.twilio.messaging.message.%s\",\"id\":\"EZ3\","
            "\"data\":{\"messageSid\":\"SM1\",\"to\":\"+818012345678\",\"timestamp\":"
            "\"2026-11-20T01:59:30.563495225Z\"%s}}]",
            cases[i].end, cases[i].data);
        const char *text = hook_stored(*state, "twilio/dev", body);
        (void)snprintf(part, sizeof part, "\"type\":\"%s\"", cases[i].type);
        hook_contains(text, part);
        (void)snprintf(part, sizeof part, "\"id\":\"%s\"", cases[i].id);
        hook_contains(text, part);
        hook_contains(text, "\"time\":\"2026-11-20T01:59:30.563495Z\"");
    }
}

static void test_twilio_bad_notifications(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *rejected;
    } cases[] = {
        {"", 400, ""},
        {"&&", 400, ""},
        {"a=%FF", 400, ""},
        {"AccountSid=AC1", 400, "bad_id /CallSid {\"AccountSid\":\"AC1\"}\n"},
        {"CallSid=C", 200, "missing_field /CallStatus {\"CallSid\":\"C\"}\n"},
        {"CallSid=C&CallStatus=odd", 200,
            "bad_value /CallStatus {\"CallSid\":\"C\",\"CallStatus\":\"odd\"}\n"},
        {"MessageSid=M&MessageStatus=odd", 200,
            "bad_value /MessageStatus {\"MessageSid\":\"M\",\"MessageStatus\":\"odd\"}\n"},
        {"CallSid=C%00&CallStatus=queued", 200,
            "nul_in_text /call/call_id {\"CallSid\":\"C\\u0000\",\"CallStatus\":\"queued\"}\n"},
        {"[7]", 200, "bad_type  7\n"},
        {"[", 400, ""},
    };
    struct hook_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(hook_send(fixture, "twilio/dev", cases[i].body), cases[i].status);
        if (strstr(cases[i].rejected, "nul_in_text"))
            hook_contains(exchange_rejected_text(&fixture->base), "nul_in_text");
        else
            assert_string_equal(exchange_rejected_text(&fixture->base), cases[i].rejected);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, hook_setup, hook_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_twilio_published_form_is_believed),
        WITH(test_twilio_address_as_proxies_and_ports_have_it),
        WITH(test_twilio_public_url_is_what_counts),
        WITH(test_twilio_published_json_is_believed),
        WITH(test_twilio_signature_of_the_old_secret_and_none),
        WITH(test_twilio_call_has_its_parts),
        WITH(test_twilio_notifications_of_a_call_share_it),
        WITH(test_twilio_call_types),
        WITH(test_twilio_call_ends_once),
        WITH(test_twilio_who_the_customer_is),
        WITH(test_twilio_messages),
        WITH(test_twilio_json_is_read_as_the_form),
        WITH(test_twilio_streams_of_messages),
        WITH(test_twilio_bad_notifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
