/* Frames of this build and of one whose records were others (tests/older). */
#include "ingest/stream/kafka_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ingest/stream/row_schema.h"
#include "tests/older/older.h"
#include "schemas/identity_claim.avro.h"
#include "schemas/identity_edge.avro.h"
#include "schemas/identity_evidence.avro.h"
#include "schemas/identity_node.avro.h"
#include "schemas/journey_message.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/stitched.avro.h"
#include "schemas/touchpoint.avro.h"

#define GROUP "0123456789abcdef"

static struct str framed(uint32_t id, struct str value, struct buf *out)
{
    char frame[KAFKA_FRAME_SIZE];
    buf_clear(out);
    kafka_frame_put(id, frame);
    assert_int_equal(buf_append(out, frame, kafka_frame_size(id)), 0);
    assert_int_equal(buf_append_str(out, value), 0);
    return buf_str(out);
}

/* A touchpoint with what the older version has otherwise: an enum, a number, and no traceparent. */
static void fill_event(struct touchpoint *event, const char *id)
{
    touchpoint_init(event);
    event->event_id = str_of(id);
    event->source = STR("ec-web");
    event->protocol = PROTOCOL_SEGMENT;
    event->time_quality = TIME_QUALITY_CORRECTED;
    event->type = STR("page_viewed");
    event->sequence = 7;
    event->properties = STR("{\"a\":1}");
    event->has_campaign = true;
    event->campaign.source = STR("mail");
}

/* What is framed as the older version wrote it comes as this build would have written it. */
static void assert_translated(enum topic topic, struct str key, uint32_t id, struct str value)
{
    CLEANUP(buf_free) struct buf older = {0}, bytes = {0};
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(kafka_frame_fini) struct kafka_frame frame = {.unknown = 0};
    struct str got;
    older_avro(id, value, &older);
    assert_false(str_equal(buf_str(&older), value));
    struct str whole = framed(id + OLDER_ID, buf_str(&older), &bytes);
    assert_int_equal(kafka_frame_take(&frame, topic, key, whole, &arena, &got), 0);
    assert_true(str_equal(got, value));
    assert_int_equal(frame.translator.translated, 1);
    for (size_t size = 0; size < whole.size; size++) {
        int r = kafka_frame_take(&frame, topic, key, str_make(whole.data, size), &arena, &got);
        assert_true(r == ERR_AVRO);
    }
}

static void test_take_own_schema_is_not_copied(void **state)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(kafka_frame_fini) struct kafka_frame frame = {.unknown = 0};
    for (int i = 0; i < TOPIC_COUNT; i++) {
        struct str value, key = STR("k");
        uint32_t id = kafka_frame_id(NULL, (enum topic)i, key, 1);
        struct str whole = framed(id, STR("x"), &bytes);
        assert_int_equal(kafka_frame_take(&frame, (enum topic)i, key, whole, &arena, &value), 0);
        assert_ptr_equal(value.data, whole.data + kafka_frame_size(id));
        assert_int_equal(value.size, 1);
    }
    assert_null(frame.translator.translations);
    assert_null(arena.block);
}

static void test_take_damaged_or_unknown_is_refused(void **state)
{
    char bytes[KAFKA_FRAME_SIZE];
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(kafka_frame_fini) struct kafka_frame frame = {.unknown = 0};
    struct str value, key = STR("k"), whole = str_make(bytes, sizeof bytes);
    kafka_frame_put(TOUCHPOINT_SCHEMA_ID, bytes);
    for (size_t size = 0; size < KAFKA_FRAME_SIZE; size++)
        assert_int_equal(
            kafka_frame_take(&frame, TOPIC_EVENTS, key, str_make(bytes, size), &arena, &value),
            ERR_AVRO);
    assert_int_equal(
        kafka_frame_take(&frame, TOPIC_PROFILES, key, whole, &arena, &value), ERR_SCHEMA_UNKNOWN);
    assert_int_equal(frame.unknown, TOUCHPOINT_SCHEMA_ID);
    kafka_frame_put(REJECTED_SCHEMA_ID + OLDER_ID, bytes);
    assert_int_equal(
        kafka_frame_take(&frame, TOPIC_EVENTS, key, whole, &arena, &value), ERR_SCHEMA_UNKNOWN);
    kafka_frame_put(9999, bytes);
    assert_int_equal(
        kafka_frame_take(&frame, TOPIC_EVENTS, key, whole, &arena, &value), ERR_SCHEMA_UNKNOWN);
    assert_int_equal(frame.unknown, 9999);
    bytes[0] = 1;
    assert_int_equal(kafka_frame_take(&frame, TOPIC_EVENTS, key, whole, &arena, &value), ERR_AVRO);
}

static void test_take_older_event_is_translated(void **state)
{
    CLEANUP(buf_free) struct buf value = {0};
    struct touchpoint event;
    fill_event(&event, "e-1");
    assert_int_equal(touchpoint_encode(&event, &value), 0);
    assert_translated(TOPIC_EVENTS, STR("k"), TOUCHPOINT_SCHEMA_ID, buf_str(&value));
}

static void test_take_older_row_with_an_event_is_translated(void **state)
{
    CLEANUP(buf_free) struct buf value = {0}, inner = {0};
    struct touchpoint event;
    struct stitched row;
    fill_event(&event, "e-2");
    assert_int_equal(touchpoint_encode(&event, &inner), 0);
    stitched_init(&row);
    row.event = buf_str(&inner);
    row.channel = STR("Email");
    row.touch = TOUCH_KIND_CLICK;
    assert_int_equal(stitched_encode(&row, &value), 0);
    assert_translated(TOPIC_TOUCHPOINTS, STR("k"), STITCHED_SCHEMA_ID, buf_str(&value));
}

static void test_take_older_mail_with_events_is_translated(void **state)
{
    CLEANUP(buf_free) struct buf value = {0}, first = {0}, second = {0};
    struct touchpoint event;
    struct journey_message message;
    struct placed_event events[2];
    fill_event(&event, "e-3");
    assert_int_equal(touchpoint_encode(&event, &first), 0);
    fill_event(&event, "e-4");
    assert_int_equal(touchpoint_encode(&event, &second), 0);
    memset(events, 0, sizeof events);
    events[0] = (struct placed_event){.position = 3, .event = buf_str(&first)};
    events[1] = (struct placed_event){.position = 9, .chain_index = 1, .event = buf_str(&second)};
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_GONE;
    message.events = events;
    message.events_count = 2;
    assert_int_equal(journey_message_encode(&message, &value), 0);
    assert_translated(TOPIC_JOURNEY, STR("k"), JOURNEY_MESSAGE_SCHEMA_ID, buf_str(&value));
}

/* Rows in a changelog: by the table that their key begins with. */
static void test_take_older_row_of_unpublished_table_is_translated(void **state)
{
    static const struct {
        enum table table;
        const char *rest;
        uint32_t id;
    } rows[] = {
        {TABLE_NODE, "", IDENTITY_NODE_SCHEMA_ID},
        {TABLE_EDGE, GROUP, IDENTITY_EDGE_SCHEMA_ID},
        {TABLE_EDGE, "\xff" GROUP, IDENTITY_CLAIM_SCHEMA_ID},
        {TABLE_EDGE, "\xfe" GROUP GROUP, IDENTITY_EVIDENCE_SCHEMA_ID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP(buf_free) struct buf key = {0}, value = {0};
        CLEANUP(arena_free) struct arena arena = {0};
        const struct avro_type *type = schema_set_find(rows[i].id)->type;
        void *record = arena_alloc(&arena, type->size);
        const char table = (char)rows[i].table;
        type->init(record);
        assert_int_equal(type->encode(record, &value), 0);
        assert_int_equal(buf_append(&key, &table, 1), 0);
        assert_int_equal(buf_append_str(&key, STR(GROUP)), 0);
        assert_int_equal(buf_append_str(&key, str_of(rows[i].rest)), 0);
        assert_int_equal(
            kafka_frame_id(NULL, TOPIC_IDENTITY_STATE, buf_str(&key), value.size), rows[i].id);
        assert_translated(TOPIC_IDENTITY_STATE, buf_str(&key), rows[i].id, buf_str(&value));
    }
}

/* A seat: numbers, then perhaps the event's row. */
static void test_take_older_seat_keeps_what_is_before_the_avro(void **state)
{
    static const char head[ROW_RECORD_HEAD_SIZE] = "numbers of the seat";
    CLEANUP(buf_free) struct buf own = {0}, older = {0}, inner = {0}, row = {0}, bytes = {0};
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(kafka_frame_fini) struct kafka_frame frame = {.unknown = 0};
    const char key_bytes[1 + 48] = {TABLE_RECORD};
    struct str key = str_make(key_bytes, sizeof key_bytes), got;
    struct touchpoint event;
    struct stitched hidden;
    fill_event(&event, "e-5");
    assert_int_equal(touchpoint_encode(&event, &inner), 0);
    stitched_init(&hidden);
    hidden.event = buf_str(&inner);
    assert_int_equal(stitched_encode(&hidden, &row), 0);
    assert_int_equal(buf_append(&own, head, sizeof head), 0);
    assert_int_equal(buf_append(&older, head, sizeof head), 0);
    assert_int_equal(kafka_frame_id(NULL, TOPIC_JOURNEY_STATE, key, own.size), 0);
    assert_int_equal(
        kafka_frame_take(&frame, TOPIC_JOURNEY_STATE, key, buf_str(&own), &arena, &got), 0);
    assert_true(str_equal(got, buf_str(&own)));
    assert_int_equal(buf_append_str(&own, buf_str(&row)), 0);
    older_avro(STITCHED_SCHEMA_ID, buf_str(&row), &older);
    assert_int_equal(kafka_frame_id(NULL, TOPIC_JOURNEY_STATE, key, own.size), STITCHED_SCHEMA_ID);
    struct str whole = framed(STITCHED_SCHEMA_ID + OLDER_ID, buf_str(&older), &bytes);
    assert_int_equal(kafka_frame_take(&frame, TOPIC_JOURNEY_STATE, key, whole, &arena, &got), 0);
    assert_true(str_equal(got, buf_str(&own)));
}

/* One plan serves many values. */
static void test_take_many_older_makes_one_plan_a_writer(void **state)
{
    CLEANUP(buf_free) struct buf value = {0}, older = {0}, bytes = {0};
    CLEANUP(kafka_frame_fini) struct kafka_frame frame = {.unknown = 0};
    CLEANUP(arena_free) struct arena arena = {0};
    struct touchpoint event;
    struct str got;
    fill_event(&event, "e-6");
    assert_int_equal(touchpoint_encode(&event, &value), 0);
    older_avro(TOUCHPOINT_SCHEMA_ID, buf_str(&value), &older);
    struct str whole = framed(TOUCHPOINT_SCHEMA_ID + OLDER_ID, buf_str(&older), &bytes);
    const struct translation *translations = NULL;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(kafka_frame_take(&frame, TOPIC_EVENTS, STR("k"), whole, &arena, &got), 0);
        arena_reset(&arena);
        assert_true(i == 0 || translations == frame.translator.translations);
        translations = frame.translator.translations;
    }
    assert_int_equal(frame.translator.translated, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_own_schema_is_not_copied),
        cmocka_unit_test(test_take_damaged_or_unknown_is_refused),
        cmocka_unit_test(test_take_older_event_is_translated),
        cmocka_unit_test(test_take_older_row_with_an_event_is_translated),
        cmocka_unit_test(test_take_older_mail_with_events_is_translated),
        cmocka_unit_test(test_take_older_row_of_unpublished_table_is_translated),
        cmocka_unit_test(test_take_older_seat_keeps_what_is_before_the_avro),
        cmocka_unit_test(test_take_many_older_makes_one_plan_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
