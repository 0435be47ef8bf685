/* Frames whose ids a schema registry gives, in a build that knows older records (tests/older). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/registry/schema_cache.h"
#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"
#include "schemas/identity_message.avro.h"
#include "schemas/identity_node.avro.h"
#include "schemas/json.h"
#include "schemas/touchpoint.avro.h"
#include "tests/older/older.h"
#include "tests/unit/ingest/registry_server.h"

#define KEY STR("0123456789abcdef")
#define WAIT_MS 20000
#define OWN_ID 500 /* of the topic events, at the registry */
#define FOREIGN_ID 77
#define NOT_FOUND "{\"error_code\":40403,\"message\":\"Schema not found\"}"

struct fixture {
    struct registry_server server;
    struct registry_config registry;
    struct schema_cache *cache;
    struct kafka_config config;
    struct kafka_frame frame;
    struct arena arena;
    struct buf body;  /* a reply with the older touchpoint's schema */
    struct buf event; /* a touchpoint as this build writes it */
    struct buf older; /* and as the older one did */
    struct buf whole;
};

static struct fixture *begin(struct registry_reply *replies, size_t count)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct touchpoint event;
    assert_non_null(fixture);
    assert_int_equal(buf_append_str(&fixture->body, STR("{\"schema\":")), 0);
    assert_int_equal(
        json_write_text(&fixture->body, str_of(older_version(TOUCHPOINT_SCHEMA_ID)->text)), 0);
    assert_int_equal(buf_append(&fixture->body, "}", 2), 0); /* with its NUL */
    for (size_t i = 0; i < count; i++)
        if (!replies[i].body)
            replies[i].body = fixture->body.data;
    touchpoint_init(&event);
    event.event_id = STR("e-1");
    event.type = STR("page_viewed");
    event.sequence = 7;
    event.time_quality = TIME_QUALITY_CORRECTED;
    assert_int_equal(touchpoint_encode(&event, &fixture->event), 0);
    older_avro(TOUCHPOINT_SCHEMA_ID, buf_str(&fixture->event), &fixture->older);
    registry_server_start(&fixture->server, replies, count);
    fixture->registry = registry_server_config(&fixture->server);
    const struct schema_cache_config config = {
        .registry = &fixture->registry, .absent_ms = SCHEMA_CACHE_ABSENT_MS};
    assert_int_equal(schema_cache_open(&config, &fixture->cache), 0);
    kafka_config_default(&fixture->config);
    fixture->config.schemas = fixture->cache;
    fixture->config.schema_ids[TOPIC_EVENTS] = OWN_ID;
    fixture->frame.config = &fixture->config;
    return fixture;
}

static void end(struct fixture *fixture)
{
    kafka_frame_fini(&fixture->frame);
    schema_cache_close(&fixture->cache);
    registry_server_stop(&fixture->server);
    arena_free(&fixture->arena);
    buf_free(&fixture->body);
    buf_free(&fixture->event);
    buf_free(&fixture->older);
    buf_free(&fixture->whole);
    free(fixture);
}

static int take_once(struct fixture *fixture, uint32_t id, struct str value, struct str *out)
{
    char frame[KAFKA_FRAME_SIZE];
    kafka_frame_put(id, frame);
    buf_clear(&fixture->whole);
    assert_int_equal(buf_append(&fixture->whole, frame, sizeof frame), 0);
    assert_int_equal(buf_append_str(&fixture->whole, value), 0);
    return kafka_frame_take(
        &fixture->frame, TOPIC_EVENTS, KEY, buf_str(&fixture->whole), &fixture->arena, out);
}

/* With the wait that sinks and restores do. */
static int take(struct fixture *fixture, uint32_t id, struct str value, struct str *out)
{
    int r = take_once(fixture, id, value, out);
    if (r != KAFKA_FRAME_AWAITED)
        return r;
    assert_int_equal(fixture->frame.unknown, id);
    assert_true(kafka_frame_wait(&fixture->frame, WAIT_MS));
    return take_once(fixture, id, value, out);
}

static void test_id_is_the_registrys_but_for_unpublished_tables(void **state)
{
    struct registry_reply replies[] = {{500, "", 0, 0, false}};
    struct fixture *fixture = begin(replies, 1);
    struct str got;
    const char node[] = {TABLE_NODE, 'k'};
    struct str key = str_make(node, sizeof node);
    assert_int_equal(kafka_frame_id(&fixture->config, TOPIC_EVENTS, KEY, 1), OWN_ID);
    assert_int_equal(
        kafka_frame_id(&fixture->config, TOPIC_IDENTITY_STATE, key, 1), IDENTITY_NODE_SCHEMA_ID);
    assert_int_equal(take(fixture, OWN_ID, STR("x"), &got), 0);
    assert_true(str_equal(got, STR("x")));
    kafka_frame_put(IDENTITY_NODE_SCHEMA_ID, fixture->whole.data);
    assert_int_equal(kafka_frame_take(&fixture->frame, TOPIC_IDENTITY_STATE, key,
                         buf_str(&fixture->whole), &fixture->arena, &got),
        0);
    assert_int_equal(registry_server_asked(&fixture->server), 0);
    end(fixture);
}

static void test_take_awaits_the_reply_then_translates(void **state)
{
    struct registry_reply replies[] = {{200, NULL, 0, 0, true}};
    struct fixture *fixture = begin(replies, 1);
    struct str got, older = buf_str(&fixture->older);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take_once(fixture, FOREIGN_ID, older, &got), KAFKA_FRAME_AWAITED);
    assert_false(kafka_frame_wait(&fixture->frame, 0));
    registry_server_release(&fixture->server);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(take(fixture, FOREIGN_ID, older, &got), 0);
        assert_true(str_equal(got, buf_str(&fixture->event)));
        arena_reset(&fixture->arena);
    }
    assert_int_equal(fixture->frame.translator.translated, 1000);
    assert_int_equal(registry_server_asked(&fixture->server), 1);
    for (size_t size = 0; size < older.size; size++)
        assert_int_equal(take(fixture, FOREIGN_ID, str_make(older.data, size), &got), ERR_AVRO);
    end(fixture);
}

static void test_take_unknown_or_incompatible_is_told(void **state)
{
    struct registry_reply replies[] = {
        {404, NOT_FOUND, 1, 0, false}, {200, "{\"schema\":\"\\\"int\\\"\"}", 1, 0, false}};
    struct fixture *fixture = begin(replies, 2);
    struct str got;
    assert_int_equal(take(fixture, FOREIGN_ID, buf_str(&fixture->event), &got), ERR_SCHEMA_UNKNOWN);
    assert_int_equal(fixture->frame.unknown, FOREIGN_ID);
    assert_int_equal(
        take(fixture, FOREIGN_ID + 1, buf_str(&fixture->event), &got), ERR_SCHEMA_INCOMPATIBLE);
    end(fixture);
}

/* Topics from before there was a registry: its ids 1 and 101 are none, or of something else. */
static void test_take_ids_of_the_file_stay_readable(void **state)
{
    struct registry_reply replies[] = {
        {404, NOT_FOUND, 1, 0, false}, {200, "{\"schema\":\"\\\"int\\\"\"}", 0, 0, false}};
    struct fixture *fixture = begin(replies, 2);
    struct str got, event = buf_str(&fixture->event), older = buf_str(&fixture->older);
    assert_int_equal(take(fixture, TOUCHPOINT_SCHEMA_ID, event, &got), 0);
    assert_true(str_equal(got, event));
    assert_int_equal(take(fixture, TOUCHPOINT_SCHEMA_ID + OLDER_ID, older, &got), 0);
    assert_true(str_equal(got, event));
    /* Values of that other schema are not taken for ours. */
    assert_int_equal(take(fixture, TOUCHPOINT_SCHEMA_ID, STR("\x02"), &got), ERR_SCHEMA_UNKNOWN);
    assert_int_equal(
        take(fixture, TOUCHPOINT_SCHEMA_ID + OLDER_ID, STR("\x02"), &got), ERR_SCHEMA_INCOMPATIBLE);
    end(fixture);
}

static void reply_with(struct buf *body, struct str schema)
{
    assert_int_equal(buf_append_str(body, STR("{\"schema\":")), 0);
    assert_int_equal(json_write_text(body, schema), 0);
    assert_int_equal(buf_append(body, "}", 2), 0);
}

/* A version with one field more, as a build of tomorrow may have it. */
static void newer_schema(const char *text, struct buf *out)
{
    static const char fields[] = "\"fields\"";
    const char *at = strstr(text, fields);
    assert_non_null(at);
    at = strchr(at, '[') + 1;
    assert_int_equal(buf_append(out, text, (size_t)(at - text)), 0);
    assert_int_equal(
        buf_append_str(out, STR("{\"name\":\"tomorrow\",\"type\":\"int\",\"default\":0},")), 0);
    assert_int_equal(buf_append_str(out, str_of(at)), 0);
}

/* Anybody's events may be newer; mail must be understood whole. */
static void test_take_newer_mail_is_unknown_and_newer_events_are_read(void **state)
{
    CLEANUP(buf_free) struct buf schema = {0}, mail = {0}, event = {0}, older = {0}, bytes = {0};
    newer_schema(identity_message_schema, &schema);
    reply_with(&mail, buf_str(&schema));
    buf_clear(&schema);
    newer_schema(touchpoint_schema, &schema);
    reply_with(&event, buf_str(&schema));
    reply_with(&older, str_of(older_version(IDENTITY_MESSAGE_SCHEMA_ID)->text));
    struct registry_reply replies[] = {{200, event.data, 1, 0, false},
        {200, mail.data, 1, 0, false}, {200, older.data, 1, 0, false}};
    struct fixture *fixture = begin(replies, 3);
    struct identity_message message;
    struct str got;
    fixture->config.schema_ids[TOPIC_IDENTITY] = OWN_ID + 1;
    assert_int_equal(buf_append(&bytes, "\0", 1), 0); /* tomorrow: 0 */
    assert_int_equal(buf_append_str(&bytes, buf_str(&fixture->event)), 0);
    assert_int_equal(take(fixture, FOREIGN_ID, buf_str(&bytes), &got), 0);
    assert_true(str_equal(got, buf_str(&fixture->event)));

    buf_clear(&bytes);
    identity_message_init(&message);
    assert_int_equal(identity_message_encode(&message, &bytes), 0);
    for (uint32_t id = FOREIGN_ID + 1; id <= FOREIGN_ID + 2; id++) {
        char frame[KAFKA_FRAME_SIZE];
        bool newer = id == FOREIGN_ID + 1;
        kafka_frame_put(id, frame);
        buf_clear(&fixture->whole);
        assert_int_equal(buf_append(&fixture->whole, frame, sizeof frame), 0);
        if (newer)
            assert_int_equal(buf_append(&fixture->whole, "\0", 1), 0);
        if (newer)
            assert_int_equal(buf_append_str(&fixture->whole, buf_str(&bytes)), 0);
        else
            older_avro(IDENTITY_MESSAGE_SCHEMA_ID, buf_str(&bytes), &fixture->whole);
        int r = KAFKA_FRAME_AWAITED;
        for (int i = 0; i < 3; i++) { /* asked, answered, and again */
            r = kafka_frame_take(&fixture->frame, TOPIC_IDENTITY, KEY, buf_str(&fixture->whole),
                &fixture->arena, &got);
            if (r == KAFKA_FRAME_AWAITED)
                assert_true(kafka_frame_wait(&fixture->frame, WAIT_MS));
        }
        assert_int_equal(r, newer ? ERR_SCHEMA_UNKNOWN : 0);
        assert_int_equal(fixture->frame.unknown, newer ? id : FOREIGN_ID + 2);
        if (!newer)
            assert_true(str_equal(got, buf_str(&bytes)));
    }
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_is_the_registrys_but_for_unpublished_tables),
        cmocka_unit_test(test_take_awaits_the_reply_then_translates),
        cmocka_unit_test(test_take_unknown_or_incompatible_is_told),
        cmocka_unit_test(test_take_ids_of_the_file_stay_readable),
        cmocka_unit_test(test_take_newer_mail_is_unknown_and_newer_events_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
