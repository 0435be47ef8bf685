/* What the live view shows of events and requests: JSON, and a command for a shell within it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/collector/protocol/ga4.h"
#include "ingest/collector/protocol/native.h"
#include "ingest/collector/protocol/segment.h"
#include "ingest/collector/tail_item.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

/* Runs a call and keeps notes of it. */
static void run(struct exchange_fixture *fixture, struct notes *notes, exchange_fn handle,
    const char *call, const char *target, const char *body)
{
    *notes = (struct notes){.arena = &fixture->arena};
    fixture->exchange.notes = notes;
    fixture->exchange.target = str_of(target);
    exchange_run(fixture, handle, call, str_of(body));
}

/* The item of the note, NUL-terminated; checked to be an event of one line of JSON. */
static const char *item(struct exchange_fixture *fixture, const struct note *note, bool failed)
{
    struct tail_facts facts;
    struct json value;
    struct str lead = STR("event: event\ndata: ");
    buf_clear(&fixture->text);
    tail_item_facts(&fixture->exchange, note, failed, &facts);
    assert_int_equal(tail_item_write(&fixture->exchange, note, &facts, &fixture->text), 0);
    struct str text = buf_str(&fixture->text);
    assert_true(str_starts_with(text, lead));
    text = str_make(text.data + lead.size, text.size - lead.size);
    assert_null(memchr(text.data, '\n', text.size));
    char copy[16384];
    assert_true(text.size < sizeof copy);
    for (size_t i = 0; i <= text.size; i++) /* the mark is no JSON, the address will be */
        copy[i] = i == text.size ? '\0' : text.data[i] == '\x01' ? '@' : text.data[i];
    assert_int_equal(json_parse(fixture->parser, str_of(copy), &value), 0);
    buf_clear(&fixture->text);
    assert_int_equal(buf_append(&fixture->text, copy, text.size + 1), 0);
    return fixture->text.data;
}

#define SAY(text, part)                                                                            \
    do {                                                                                           \
        if (!strstr(text, part))                                                                   \
            fail_msg("no %s in %s", part, text);                                                   \
    } while (0)

static void test_tail_item_of_native_events(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    run(fixture, &notes, native_handle, "events", "/v1/events?writeKey=key%20of%20ec-web&x=1",
        "[{\"id\":\"e1\",\"type\":\"page_viewed\",\"ids\":{\"email\":\"hana@example.jp\"},"
        "\"properties\":{\"a\":\"it's key of ec-web\"}},"
        "{\"id\":\"e2\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"},\"pge\":{}}]");
    assert_int_equal(notes.count, 2);
    const char *text = item(fixture, &notes.list[0], false);
    SAY(text, "{\"at\":\"2026-11-20T02:00:00Z\",\"source\":\"ec-web\",\"protocol\":\"native\","
              "\"type\":\"page_viewed\",\"event_id\":\"e1\",\"event_key\":\"");
    SAY(text, "\"identifiers\":[{\"namespace\":\"email\",\"value\":\"k1:");
    SAY(text, "\"fate\":\"accepted\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"accepted\"},"
              "{\"stage\":\"log\",\"fate\":\"durable\"}],\"index\":0");
    SAY(text, "\"curl\":\"curl -sS '@/v1/events?writeKey='\\\"$WRITE_KEY\\\"'&x=1' -H "
              "'Content-Type: application/json' --data-binary '{\\\"id\\\":\\\"e1\\\"");
    SAY(text, "it'\\\\''s '\\\"$WRITE_KEY\\\"'\\\"}}'\"}");
    assert_null(strstr(text, FIXTURE_KEY));
    text = item(fixture, &notes.list[0], true);
    SAY(text, "\"fate\":\"failed\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"accepted\"},"
              "{\"stage\":\"log\",\"fate\":\"failed\"}]");
    text = item(fixture, &notes.list[1], false);
    SAY(text, "\"type\":\"page_viewed\",\"event_id\":\"e2\",\"identifiers\":[],"
              "\"fate\":\"rejected\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"rejected\"}");
    SAY(text, "\"reason\":\"unknown_field\",\"message\":\"no such field\",\"pointer\":\"/pge\","
              "\"hint\":\"did you mean \\\"page\\\"?\",\"index\":1,\"curl\":");
}

static void test_tail_item_of_lines_and_broken_ones(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    fixture->exchange.body_lines = true;
    run(fixture, &notes, native_handle, "events", "/v1/events",
        "{\"id\":\"e1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"}}\n{\"id\":\n{\"id\":\"\xff\"}\n");
    assert_int_equal(notes.count, 3);
    SAY(item(fixture, &notes.list[0], false), "--data-binary '{\\\"id\\\":\\\"e1\\\",\\\"type");
    SAY(item(fixture, &notes.list[1], false), "\"reason\":\"bad_json\"");
    const char *text = item(fixture, &notes.list[2], false); /* no text: no command */
    SAY(text, "\"reason\":\"bad_utf8\"");
    assert_null(strstr(text, "curl"));
}

static void test_tail_item_of_batches_and_whole_requests(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    run(fixture, &notes, segment_handle, "batch", "/v1/batch?a=b",
        "{\"writeKey\":\"" FIXTURE_KEY "\",\"batch\":[{\"type\":\"track\",\"event\":\"Hi\","
        "\"messageId\":\"m1\",\"userId\":\"u\"},{\"type\":\"trak\",\"event\":\"Ho\","
        "\"messageId\":\"m2\",\"userId\":\"u\"}]}");
    assert_int_equal(notes.count, 2);
    SAY(item(fixture, &notes.list[0], false),
        "curl -sS '@/v1/batch' -u \\\"$WRITE_KEY:\\\" -H 'Content-Type: application/json' "
        "--data-binary '{\\\"batch\\\":[{\\\"type\\\":\\\"track\\\"");
    SAY(item(fixture, &notes.list[1], false), "\"type\":\"Ho\"");
    const struct exchange_pair query[] = {{STR("api_secret"), STR(FIXTURE_KEY)}};
    fixture->exchange.query = query;
    fixture->exchange.query_count = 1;
    run(fixture, &notes, ga4_handle, "collect", "/mp/collect?api_secret=key%20of+ec-web&m=G-1",
        "{\"client_id\":\"1.2\",\"events\":[{\"name\":\"page_view\"}]}");
    assert_int_equal(notes.count, 1);
    const char *text = item(fixture, &notes.list[0], false);
    SAY(text, "'@/mp/collect?api_secret='\\\"$WRITE_KEY\\\"'&m=G-1'");
    SAY(text, "--data-binary '{\\\"client_id\\\":\\\"1.2\\\"");
}

/* Rudder speaks Segment's: whose a message is it says itself, also one that is refused. */
static void test_tail_item_of_refused_messages_names_whose_they_are(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    run(fixture, &notes, segment_handle, "batch", "/v1/batch",
        "{\"batch\":[{\"type\":\"merge\",\"messageId\":\"m1\"},"
        "{\"type\":\"trak\",\"messageId\":\"m2\",\"userId\":\"u\"},"
        "{\"type\":\"trak\",\"channel\":\"server\",\"messageId\":\"m3\",\"userId\":\"u\"},"
        "{\"type\":\"track\",\"event\":\"Hi\",\"messageId\":7,\"userId\":\"u\",\"context\":"
        "{\"library\":{\"name\":\"rudder-sdk-python\"}},\"properties\":1},[]]}");
    static const char *const protocols[] = {"rudder", "segment", "rudder", "rudder", "segment"};
    assert_int_equal(notes.count, 5);
    for (size_t i = 0; i < 5; i++) {
        CLEANUP(buf_free) struct buf part = {0};
        assert_int_equal(buf_appendf(&part, "\"protocol\":\"%s\"%c", protocols[i], 0), 0);
        assert_int_equal(notes.list[i].fate, NOTE_REJECTED);
        SAY(item(fixture, &notes.list[i], false), part.data);
    }
}

static void test_tail_item_shows_nothing_of_whom_consent_hides(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    run(fixture, &notes, native_handle, "events", "/v1/events",
        "{\"id\":\"e1\",\"type\":\"x\",\"ids\":{\"cookie\":\"who\"},"
        "\"consent\":{\"analytics\":false}}");
    assert_int_equal(notes.count, 1);
    const char *text = item(fixture, &notes.list[0], false);
    SAY(text, "\"fate\":\"no_consent\",\"stages\":[{\"stage\":\"collector\","
              "\"fate\":\"no_consent\"}],\"index\":0}");
    assert_null(strstr(text, "who"));
}

static void test_tail_item_says_why_it_is_ignored(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    run(fixture, &notes, native_handle, "events", "/v1/events",
        "{\"id\":\"e1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"}}");
    notes.list[0].fate = NOTE_IGNORED;
    const char *text = item(fixture, &notes.list[0], false);
    SAY(text, "\"fate\":\"ignored\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"ignored\"}],"
              "\"reason\":\"ignored\",\"message\":\"no \\\"when\\\" of its source's mapping holds");
}

static void test_tail_item_leaves_out_what_is_too_long(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes = {.arena = &fixture->arena};
    static char body[TAIL_CURL_SIZE_MAX];
    memset(body, '\'', sizeof body - 1);
    fixture->exchange.header_key = STR(FIXTURE_KEY);
    run(fixture, &notes, native_handle, "events", "/v1/events",
        "{\"id\":\"e1\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"}}");
    notes.list[0].payload = str_of(body);
    assert_null(strstr(item(fixture, &notes.list[0], false), "curl"));
}

static void test_tail_item_of_a_refused_request(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct notes notes;
    CLEANUP(buf_free) struct buf text = {0};
    fixture->exchange.header_key = STR("wrong key");
    run(fixture, &notes, native_handle, "events", "/v1/events", "{\"k\":\"wrong key\x1b\"}");
    assert_int_equal(fixture->exchange.status, 401);
    assert_int_equal(tail_item_refused(&fixture->exchange, "native", FIXTURE_NOW, &text), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    SAY(text.data, "\"protocol\":\"native\",\"fate\":\"refused\"");
    SAY(text.data, "\"status\":401,\"reason\":\"unauthorized\",\"message\":\"no source has this");
    SAY(text.data, "{\\\"k\\\":\\\"'\\\"$WRITE_KEY\\\"' \\\"}'\"}");
    assert_null(strstr(text.data, "wrong key"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_tail_item_of_native_events),
        CASE(test_tail_item_of_lines_and_broken_ones),
        CASE(test_tail_item_of_batches_and_whole_requests),
        CASE(test_tail_item_of_refused_messages_names_whose_they_are),
        CASE(test_tail_item_shows_nothing_of_whom_consent_hides),
        CASE(test_tail_item_says_why_it_is_ignored),
        CASE(test_tail_item_leaves_out_what_is_too_long),
        CASE(test_tail_item_of_a_refused_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
