/*
 * The journey stage alone over a store in memory, and the messages that it gets: what its tests
 * begin with.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/identity/message.h"
#include "enrich/journey/journey.h"
#include "enrich/journey/row.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "tests/sim/solo.h"

#define A "person-a........"
#define B "person-b........"
#define NODES 3
#define DAY ((int64_t)86400 * 1000000)

static struct journey_config config;
static struct stage stage;

struct fixture {
    struct solo *solo;
    struct arena arena;
    uint8_t nodes[NODES][KEY_SIZE]; /* of login l, email e, cookie c */
};

static const struct identifier all_ids[NODES] = {
    {STR_INIT("login"), STR_INIT("l"), 0},
    {STR_INIT("email"), STR_INIT("e"), 0},
    {STR_INIT("cookie"), STR_INIT("c"), 0},
};

static const struct model models[] = {
    {.name = STR_INIT("markov"), .kind = MODEL_KIND_MARKOV, .order = 1},
    {.name = STR_INIT("shapley"), .kind = MODEL_KIND_SHAPLEY, .order = 1},
};

static inline int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.solo = NULL};
    journey_config_default(&config);
    config.models = models;
    config.models_count = sizeof models / sizeof *models;
    journey_stage(&stage, &config);
    assert_int_equal(solo_new(&stage, &fixture.solo), 0);
    solo_keep_sent(fixture.solo, true);
    for (size_t i = 0; i < NODES; i++)
        namespace_node_id(config.namespaces,
            namespace_rank(config.namespaces, all_ids[i].namespace), all_ids[i].value,
            fixture.nodes[i]);
    *state = &fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    solo_free(&fixture->solo);
    arena_free(&fixture->arena);
    return 0;
}

/* ---- messages ---- */

/* An event of all three identifiers. */
static inline struct touchpoint event_of(uint8_t key, const char *type, int64_t at)
{
    struct touchpoint event;
    touchpoint_init(&event);
    event.event_key[0] = key;
    event.event_id = STR("id");
    event.source = STR("web");
    event.type = str_of(type);
    event.occurred_at = at;
    event.received_at = 77;
    event.time_quality = TIME_QUALITY_CLIENT;
    event.identifiers = (struct identifier *)(uintptr_t)all_ids;
    event.identifiers_count = NODES;
    return event;
}

static inline struct str encode_event(struct fixture *fixture, const struct touchpoint *event)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    assert_int_equal(touchpoint_encode(event, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &out), 0);
    return out;
}

static inline struct journey_message message_of(
    enum journey_kind kind, const char *person, const uint8_t node[KEY_SIZE], int64_t epoch)
{
    struct journey_message message;
    journey_message_init(&message);
    message.kind = kind;
    memcpy(message.person, person, KEY_SIZE);
    memcpy(message.node, node, KEY_SIZE);
    message.epoch = epoch;
    return message;
}

static inline int send_bytes(struct fixture *fixture, const char *key, struct str value)
{
    const struct record record = {
        .topic = TOPIC_JOURNEY, .key = str_make(key, KEY_SIZE), .value = value};
    return solo_process(fixture->solo, &record);
}

static inline int send(struct fixture *fixture, const struct journey_message *message)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(journey_message_encode(message, &bytes), 0);
    return send_bytes(fixture, (const char *)message->person, buf_str(&bytes));
}

/* A put of one event at the node of that index in its chain. */
static inline struct journey_message put_of(struct fixture *fixture, const char *person,
    size_t index, int64_t epoch, struct placed_event *placed)
{
    struct journey_message message =
        message_of(JOURNEY_KIND_PUT, person, fixture->nodes[index], epoch);
    placed->chain_index = (int32_t)index;
    placed->channel = STR("Rule");
    message.events = placed;
    message.events_count = 1;
    return message;
}

static inline void put(struct fixture *fixture, const char *person, size_t index, int64_t position,
    const struct touchpoint *event)
{
    struct placed_event placed = {.position = position, .event = encode_event(fixture, event)};
    const struct journey_message message = put_of(fixture, person, index, 0, &placed);
    assert_int_equal(send(fixture, &message), 0);
}

static inline void gone(
    struct fixture *fixture, const char *person, size_t index, int64_t epoch, const char *to)
{
    struct journey_message message =
        message_of(JOURNEY_KIND_GONE, person, fixture->nodes[index], epoch);
    message.has_to = to != NULL;
    if (to)
        memcpy(message.to, to, KEY_SIZE);
    assert_int_equal(send(fixture, &message), 0);
}

static inline void commit(struct fixture *fixture)
{
    assert_int_equal(solo_commit(fixture->solo), 0);
}

/* ---- what stands ---- */

static inline bool row_of(struct fixture *fixture, const char *person,
    const struct touchpoint *event, struct stitched *out)
{
    uint8_t key[TIMELINE_KEY_SIZE];
    struct str value;
    struct moment_place place = {event->occurred_at, event->sequence, {0}};
    memcpy(place.event_key, event->event_key, KEY_SIZE);
    timeline_key(key, (const uint8_t *)person, &place);
    int r = solo_row(fixture->solo, TABLE_TIMELINE, str_make(key, sizeof key), &value);
    if (r == STATE_ABSENT)
        return false;
    assert_int_equal(r, 0);
    assert_int_equal(stitched_decode(out, value, &fixture->arena), 0);
    return true;
}

static inline size_t rows_in(struct fixture *fixture, enum table table)
{
    size_t rows, bytes;
    assert_int_equal(solo_table_size(fixture->solo, table, &rows, &bytes), 0);
    return rows;
}

static inline bool profile_of(struct fixture *fixture, const char *person, struct profile *out)
{
    struct str value;
    int r = solo_row(fixture->solo, TABLE_PROFILE, str_make(person, KEY_SIZE), &value);
    if (r == STATE_ABSENT)
        return false;
    assert_int_equal(r, 0);
    assert_int_equal(profile_decode(out, value, &fixture->arena), 0);
    return true;
}

static inline size_t rejected(struct fixture *fixture, struct rejected *last)
{
    size_t count;
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_REJECTED, &count);
    if (count)
        assert_int_equal(rejected_decode(last, sent[count - 1].value, &fixture->arena), 0);
    return count;
}

static inline void assert_rejected(struct fixture *fixture, int error)
{
    struct rejected last;
    assert_int_equal(rejected(fixture, &last), 1);
    if (!str_equal(last.reason, str_of(error_name(error))))
        fail_msg("%.*s, wanted %s", (int)last.reason.size, last.reason.data, error_name(error));
    assert_true(last.payload.size > 0);
}
