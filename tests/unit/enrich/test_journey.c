/* The stage over one partition: what puts and gones leave, and what it refuses. */
#include "enrich/journey/journey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/identity/message.h"
#include "enrich/journey/row.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "tests/sim/solo.h"
#include "tests/unit/schemas/failing_alloc.h"

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

static int setup(void **state)
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

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    solo_free(&fixture->solo);
    arena_free(&fixture->arena);
    return 0;
}

/* ---- messages ---- */

/* An event of all three identifiers. */
static struct touchpoint event_of(uint8_t key, const char *type, int64_t at)
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

static struct str encode_event(struct fixture *fixture, const struct touchpoint *event)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    assert_int_equal(touchpoint_encode(event, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &out), 0);
    return out;
}

static struct journey_message message_of(
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

static int send_bytes(struct fixture *fixture, const char *key, struct str value)
{
    const struct record record = {
        .topic = TOPIC_JOURNEY, .key = str_make(key, KEY_SIZE), .value = value};
    return solo_process(fixture->solo, &record);
}

static int send(struct fixture *fixture, const struct journey_message *message)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(journey_message_encode(message, &bytes), 0);
    return send_bytes(fixture, (const char *)message->person, buf_str(&bytes));
}

/* A put of one event at the node of that index in its chain. */
static struct journey_message put_of(struct fixture *fixture, const char *person, size_t index,
    int64_t epoch, struct placed_event *placed)
{
    struct journey_message message =
        message_of(JOURNEY_KIND_PUT, person, fixture->nodes[index], epoch);
    placed->chain_index = (int32_t)index;
    placed->channel = STR("Rule");
    message.events = placed;
    message.events_count = 1;
    return message;
}

static void put(struct fixture *fixture, const char *person, size_t index, int64_t position,
    const struct touchpoint *event)
{
    struct placed_event placed = {.position = position, .event = encode_event(fixture, event)};
    const struct journey_message message = put_of(fixture, person, index, 0, &placed);
    assert_int_equal(send(fixture, &message), 0);
}

static void gone(
    struct fixture *fixture, const char *person, size_t index, int64_t epoch, const char *to)
{
    struct journey_message message =
        message_of(JOURNEY_KIND_GONE, person, fixture->nodes[index], epoch);
    message.has_to = to != NULL;
    if (to)
        memcpy(message.to, to, KEY_SIZE);
    assert_int_equal(send(fixture, &message), 0);
}

static void commit(struct fixture *fixture)
{
    assert_int_equal(solo_commit(fixture->solo), 0);
}

/* ---- what stands ---- */

static bool row_of(struct fixture *fixture, const char *person, const struct touchpoint *event,
    struct stitched *out)
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

static size_t rows_in(struct fixture *fixture, enum table table)
{
    size_t rows, bytes;
    assert_int_equal(solo_table_size(fixture->solo, table, &rows, &bytes), 0);
    return rows;
}

static bool profile_of(struct fixture *fixture, const char *person, struct profile *out)
{
    struct str value;
    int r = solo_row(fixture->solo, TABLE_PROFILE, str_make(person, KEY_SIZE), &value);
    if (r == STATE_ABSENT)
        return false;
    assert_int_equal(r, 0);
    assert_int_equal(profile_decode(out, value, &fixture->arena), 0);
    return true;
}

static size_t rejected(struct fixture *fixture, struct rejected *last)
{
    size_t count;
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_REJECTED, &count);
    if (count)
        assert_int_equal(rejected_decode(last, sent[count - 1].value, &fixture->arena), 0);
    return count;
}

static void assert_rejected(struct fixture *fixture, int error)
{
    struct rejected last;
    assert_int_equal(rejected(fixture, &last), 1);
    if (!str_equal(last.reason, str_of(error_name(error))))
        fail_msg("%.*s, wanted %s", (int)last.reason.size, last.reason.data, error_name(error));
    assert_true(last.payload.size > 0);
}

/* ---- put ---- */

static void test_process_put_leaves_event_session_profile(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    struct profile profile;
    put(fixture, A, 0, 5, &event);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.touch, TOUCH_KIND_VISIT);
    assert_int_equal(row.position, 5);
    assert_true(row.has_session_key);
    assert_true(str_equal(row.channel, STR("Rule")));
    assert_true(profile_of(fixture, A, &profile));
    assert_int_equal(profile.events, 1);
    assert_int_equal(profile.open_path_count, 1);
    assert_int_equal(rows_in(fixture, TABLE_SESSION), 1);
}

static void test_process_event_that_came_again_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    struct rejected last;
    put(fixture, A, 0, 5, &event);
    event.received_at = 78;
    put(fixture, A, 0, 6, &event); /* in the same batch */
    commit(fixture);
    put(fixture, A, 0, 7, &event);
    assert_int_equal(rejected(fixture, &last), 0);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 5);
    assert_int_equal(rows_in(fixture, TABLE_TIMELINE), 1);
}

static void test_process_other_facts_under_one_key_are_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY), other = event;
    struct stitched row;
    struct rejected last;
    other.type = STR("searched");
    put(fixture, A, 0, 5, &event);
    commit(fixture);
    put(fixture, A, 0, 6, &other);
    assert_rejected(fixture, ERR_ID_CONFLICT);
    assert_int_equal(rejected(fixture, &last), 1);
    assert_true(str_equal(last.source, STR("web")));
    assert_true(str_equal(last.event_id, STR("id")));
    assert_int_equal(last.received_at, 77);
    assert_non_null(memmem(last.payload.data, last.payload.size, "\"searched\"", 10));
    assert_null(memmem(last.payload.data, last.payload.size, "received_at", 11));
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 5);
}

/* A resend is another request: what tells of it must not make another row of the same conflict. */
static void test_process_resent_conflict_is_rejected_with_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY), other = event;
    struct rejected first, second;
    char payload[512];
    event.time_quality = other.time_quality = TIME_QUALITY_SERVER;
    other.type = STR("searched");
    put(fixture, A, 0, 5, &event);
    commit(fixture);
    put(fixture, A, 0, 6, &other);
    assert_int_equal(rejected(fixture, &first), 1);
    assert_true(first.payload.size < sizeof payload);
    memcpy(payload, first.payload.data, first.payload.size);
    struct str before = str_make(payload, first.payload.size);
    commit(fixture);
    other.occurred_at += 5;
    other.traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    other.adapter_version++;
    put(fixture, A, 0, 7, &other);
    assert_int_equal(rejected(fixture, &second), 1);
    assert_true(str_equal(second.payload, before));
    commit(fixture);
}

static void test_process_lower_position_takes_the_place(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY), first = event;
    struct stitched row;
    first.type = STR("searched");
    put(fixture, A, 0, 6, &event);
    commit(fixture);
    put(fixture, A, 0, 5, &first);
    assert_rejected(fixture, ERR_ID_CONFLICT);
    commit(fixture);
    struct touchpoint found;
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 5);
    assert_int_equal(touchpoint_decode(&found, row.event, &fixture->arena), 0);
    assert_true(str_equal(found.type, STR("searched")));
}

/* A door's time is no fact: the first accepted stands, also in its place. */
static void test_process_lower_position_with_another_time_moves_the_row(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint late = event_of(1, "page_viewed", 2 * DAY), early = late;
    struct stitched row;
    struct rejected last;
    late.time_quality = early.time_quality = TIME_QUALITY_SERVER;
    early.occurred_at = DAY;
    put(fixture, A, 0, 6, &late);
    commit(fixture);
    put(fixture, A, 0, 5, &early);
    assert_int_equal(rejected(fixture, &last), 0);
    commit(fixture);
    assert_false(row_of(fixture, A, &late, &row));
    assert_true(row_of(fixture, A, &early, &row));
    assert_int_equal(rows_in(fixture, TABLE_SESSION), 1);
}

static void test_settle_late_event_corrects_only_what_it_changes(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint first = event_of(1, "page_viewed", DAY);
    struct touchpoint last = event_of(2, "page_viewed", DAY + 40 * 60 * 1000000LL);
    struct touchpoint between = event_of(3, "page_viewed", DAY + 20 * 60 * 1000000LL);
    struct stitched row;
    put(fixture, A, 0, 1, &first);
    put(fixture, A, 0, 2, &last);
    commit(fixture);
    assert_int_equal(rows_in(fixture, TABLE_SESSION), 2);
    put(fixture, A, 0, 3, &between);
    commit(fixture);
    assert_int_equal(rows_in(fixture, TABLE_SESSION), 1);
    assert_true(row_of(fixture, A, &last, &row));
    assert_int_equal(row.touch, TOUCH_KIND_NONE);
    assert_int_equal(row.session_key[0], 1);
}

/* ---- gone ---- */

static void test_process_gone_ships_all_events(void **state)
{
    struct fixture *fixture = *state;
    struct profile profile;
    for (int i = 0; i < 150; i++) {
        struct touchpoint event = event_of((uint8_t)(i + 1), "page_viewed", DAY + i);
        put(fixture, A, 0, i, &event);
    }
    commit(fixture);
    gone(fixture, A, 0, 1, B);
    assert_int_equal(solo_counts(fixture->solo)->mails[TOPIC_JOURNEY], 3); /* chunks */
    commit(fixture);
    assert_false(profile_of(fixture, A, &profile));
    assert_true(profile_of(fixture, B, &profile));
    assert_int_equal(profile.events, 150);
    assert_int_equal(rows_in(fixture, TABLE_TIMELINE), 150);
    assert_int_equal(rows_in(fixture, TABLE_SESSION), 1);
    struct touchpoint late = event_of(200, "page_viewed", DAY + 500);
    put(fixture, A, 0, 900, &late); /* of epoch 0: passed on */
    commit(fixture);
    assert_true(profile_of(fixture, B, &profile));
    assert_int_equal(profile.events, 151);
}

static void test_process_node_that_came_back_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct profile profile;
    struct placed_event placed = {.event = encode_event(fixture, &event)};
    struct journey_message back = put_of(fixture, A, 0, 2, &placed);
    gone(fixture, A, 0, 1, B);
    assert_int_equal(send(fixture, &back), 0);
    commit(fixture);
    assert_true(profile_of(fixture, A, &profile));
    assert_int_equal(rows_in(fixture, TABLE_GONE), 0);
}

static void test_process_dead_node_scatters_to_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct identity_message mail;
    size_t count;
    put(fixture, A, 0, 9, &event);
    commit(fixture);
    gone(fixture, A, 0, 1, NULL);
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_IDENTITY, &count);
    assert_int_equal(count, 1);
    assert_int_equal(identity_message_decode(&mail, sent[0].value, &fixture->arena), 0);
    assert_int_equal(mail.kind, IDENTITY_KIND_EVENT);
    assert_int_equal(mail.chain_index, 1);
    assert_int_equal(mail.position, 9);
    assert_memory_equal(mail.to, fixture->nodes[1], KEY_SIZE);
    assert_true(str_equal(mail.channel, STR("Rule")));
    commit(fixture);
    assert_int_equal(rows_in(fixture, TABLE_TIMELINE), 0);
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 0);
}

static void test_process_event_that_stays_is_never_gone(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    struct placed_event placed = {
        .chain_index = CHAIN_INDEX_STAY, .event = encode_event(fixture, &event)};
    struct journey_message message = message_of(JOURNEY_KIND_PUT, A, fixture->nodes[0], 0);
    message.stay = true;
    message.events = &placed;
    message.events_count = 1;
    gone(fixture, A, 0, 1, NULL);
    assert_int_equal(send(fixture, &message), 0);
    gone(fixture, A, 0, 2, NULL);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.placement, (int64_t)CHAIN_INDEX_STAY << 48);
}

/* ---- the mark of a suppressed node ---- */

static void mark(
    struct fixture *fixture, const char *person, size_t index, int64_t epoch, int64_t at)
{
    struct journey_message message =
        message_of(JOURNEY_KIND_SUPPRESS, person, fixture->nodes[index], epoch);
    message.has_to = true;
    memcpy(message.to, "person-erased...", KEY_SIZE);
    message.at = at;
    assert_int_equal(send(fixture, &message), 0);
}

/* What was sent to owners since the last commit, of one kind. */
static size_t mails_of(struct fixture *fixture, enum identity_kind kind)
{
    struct identity_message mail;
    size_t count, found = 0;
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_IDENTITY, &count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(identity_message_decode(&mail, sent[i].value, &fixture->arena), 0);
        found += mail.kind == kind;
    }
    return found;
}

/* The event was on a way that did not lead past the erased person: it left B, where the node had
 * been, for A, and A's events were gone again when it came. */
static void test_process_mark_meets_an_event_that_came_another_way(void **state)
{
    struct fixture *fixture = *state;
    struct stitched row;
    struct touchpoint first = event_of(1, "page_viewed", DAY),
                      late = event_of(2, "page_viewed", DAY),
                      other = event_of(3, "page_viewed", DAY);
    put(fixture, A, 0, 1, &first);
    put(fixture, A, 1, 2, &other); /* another node's */
    commit(fixture);
    mark(fixture, A, 0, 3, DAY);
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_FORGET), 1);
    commit(fixture);
    assert_false(row_of(fixture, A, &first, &row));
    gone(fixture, A, 0, 4, B);
    put(fixture, A, 0, 3, &late); /* of epoch 0: passed on */
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_FORGET), 1);
    commit(fixture);
    assert_false(row_of(fixture, A, &late, &row));
    assert_false(row_of(fixture, B, &late, &row));
    assert_true(row_of(fixture, A, &other, &row));
}

/* A mark that comes after `gone` follows; where the node died, it waits for the last events. */
static void test_process_mark_of_a_node_that_is_gone_follows(void **state)
{
    struct fixture *fixture = *state;
    struct stitched row;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    gone(fixture, A, 0, 1, B);
    gone(fixture, B, 0, 2, NULL);
    mark(fixture, A, 0, 0, DAY);
    put(fixture, A, 0, 1, &event);
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_FORGET), 1);
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_EVENT), 0);
    commit(fixture);
    assert_false(row_of(fixture, B, &event, &row));
    assert_int_equal(rows_in(fixture, TABLE_GONE), 3);
}

static void test_process_mark_of_a_device_leaves_what_came_after_it(void **state)
{
    struct fixture *fixture = *state;
    struct stitched row;
    struct touchpoint before = event_of(1, "page_viewed", DAY - 1),
                      after = event_of(2, "page_viewed", DAY),
                      later = event_of(3, "page_viewed", DAY + 1),
                      weaker = event_of(4, "page_viewed", DAY - 1);
    struct touchpoint *alone[] = {&before, &after, &later};
    mark(fixture, A, 2, 0, DAY);
    for (size_t i = 0; i < 3; i++) {
        alone[i]->identifiers = (struct identifier *)(uintptr_t)&all_ids[2];
        alone[i]->identifiers_count = 1;
        struct placed_event placed = {.event = encode_event(fixture, alone[i])};
        struct journey_message message = put_of(fixture, A, 2, 0, &placed);
        placed.chain_index = 0;
        assert_int_equal(send(fixture, &message), 0);
    }
    put(fixture, A, 2, 4, &weaker);                              /* not its first node */
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_ALONE), 1); /* the node needs it once */
    assert_int_equal(mails_of(fixture, IDENTITY_KIND_FORGET), 1);
    commit(fixture);
    assert_false(row_of(fixture, A, &before, &row));
    assert_true(row_of(fixture, A, &after, &row));
    assert_true(row_of(fixture, A, &later, &row));
    assert_true(row_of(fixture, A, &weaker, &row));
}

/* ---- one event in two seats ---- */

/* The second seat's copy came first in the log, so it shows; when the first seat is left, and its
 * copy travels, the other stands as before. */
static void test_process_second_seat_with_lower_position_shows(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    put(fixture, A, 0, 6, &event);
    commit(fixture);
    put(fixture, A, 1, 5, &event);
    commit(fixture);
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 2);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 5);
    gone(fixture, A, 0, 1, NULL);
    commit(fixture);
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 1);
    assert_true(row_of(fixture, A, &event, &row));
    assert_memory_equal(row.node, fixture->nodes[1], KEY_SIZE);
}

/* The first seat's copy came first in the log: it shows until it is left, then the other does. */
static void test_process_hidden_seat_shows_when_the_other_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    struct profile profile;
    size_t count;
    put(fixture, A, 0, 5, &event);
    commit(fixture);
    put(fixture, A, 1, 6, &event);
    put(fixture, A, 2, 7, &event);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_memory_equal(row.node, fixture->nodes[0], KEY_SIZE);
    gone(fixture, A, 0, 1, NULL);
    (void)solo_sent(fixture->solo, TOPIC_IDENTITY, &count);
    assert_int_equal(count, 1);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 6);
    assert_true(profile_of(fixture, A, &profile));
    assert_int_equal(profile.events, 1);
    gone(fixture, A, 2, 1, NULL); /* a hidden one leaves */
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    gone(fixture, A, 1, 1, NULL);
    commit(fixture);
    assert_false(row_of(fixture, A, &event, &row));
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 0);
}

static void test_process_two_seats_with_other_facts_reject_the_later(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY), other = event;
    other.type = STR("searched");
    put(fixture, A, 0, 5, &event);
    put(fixture, A, 1, 6, &other);
    assert_rejected(fixture, ERR_ID_CONFLICT);
    commit(fixture);
    put(fixture, A, 1, 6, &other); /* the same message again */
    struct rejected last;
    assert_int_equal(rejected(fixture, &last), 0);
}

static void test_process_hidden_copy_is_replaced_by_a_lower_position(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    put(fixture, A, 0, 5, &event);
    put(fixture, A, 1, 9, &event);
    put(fixture, A, 1, 7, &event); /* still hidden */
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 5);
    put(fixture, A, 1, 3, &event); /* shows now */
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.position, 3);
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 2);
}

/* A shared device: every event may have another seat, also among those of the same batch. */
static void test_process_many_events_of_a_mixed_person_in_one_batch(void **state)
{
    struct fixture *fixture = *state;
    struct stitched row;
    struct profile profile;
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 120; i++) {
            struct touchpoint event =
                event_of((uint8_t)(turn * 120 + i + 1), "page_viewed", DAY + turn * 120 + i);
            put(fixture, A, 1, 10 * i + 10, &event);
        }
        struct touchpoint again =
            event_of((uint8_t)(turn * 120 + 50), "page_viewed", DAY + turn * 120 + 49);
        put(fixture, A, 2, 1, &again);
        commit(fixture);
        assert_true(row_of(fixture, A, &again, &row));
        assert_int_equal(row.position, 1);
    }
    assert_true(profile_of(fixture, A, &profile));
    assert_int_equal(profile.events, 240);
    assert_int_equal(rows_in(fixture, TABLE_RECORD), 242);
}

/* ---- bad input ---- */

static void test_process_bytes_that_are_no_message_are_rejected(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(send_bytes(fixture, A, STR("\x02garbage")), 0);
    assert_rejected(fixture, ERR_AVRO);
}

static void test_process_truncated_message_is_rejected_at_every_length(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct placed_event placed = {.event = encode_event(fixture, &event)};
    const struct journey_message message = put_of(fixture, A, 0, 0, &placed);
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(journey_message_encode(&message, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        solo_abort(fixture->solo);
        assert_int_equal(send_bytes(fixture, A, str_make(bytes.data, size)), 0);
        struct rejected last;
        assert_int_equal(rejected(fixture, &last), 1);
    }
}

static void test_process_message_that_nobody_sends_is_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct journey_message bad[9];
    for (size_t i = 0; i < 9; i++)
        bad[i] = message_of(i < 4 ? JOURNEY_KIND_PUT : JOURNEY_KIND_GONE, A, fixture->nodes[0], 1);
    bad[0].kind = JOURNEY_KIND_UNKNOWN;
    bad[1].epoch = -1;
    bad[2].epoch = (int64_t)1 << 48;
    bad[3].has_to = true;
    bad[4].epoch = -1;
    bad[5].stay = true;
    bad[6].has_to = true; /* to the same person */
    memcpy(bad[6].to, A, KEY_SIZE);
    bad[7].kind = bad[8].kind = JOURNEY_KIND_SUPPRESS; /* of nothing; of a node and a signature */
    bad[8].has_to = true;
    bad[8].members = str_make(fixture->nodes[0], KEY_SIZE);
    for (size_t i = 0; i < 9; i++) {
        solo_abort(fixture->solo);
        assert_int_equal(send(fixture, &bad[i]), 0);
        assert_rejected(fixture, ERR_VALUE);
    }
    solo_abort(fixture->solo);
    CLEANUP(buf_free) struct buf bytes = {0};
    const struct journey_message good = message_of(JOURNEY_KIND_PUT, A, fixture->nodes[0], 0);
    assert_int_equal(journey_message_encode(&good, &bytes), 0);
    assert_int_equal(send_bytes(fixture, B, buf_str(&bytes)), 0); /* another person's key */
    assert_rejected(fixture, ERR_VALUE);
}

static void test_process_bad_events_are_rejected_and_the_others_stay(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY);
    struct stitched row;
    struct rejected last;
    struct placed_event placed[4];
    struct journey_message message = put_of(fixture, A, 0, 0, &placed[0]);
    placed[0].position = 1;
    placed[0].event = encode_event(fixture, &event);
    for (size_t i = 1; i < 4; i++)
        placed[i] = placed[0];
    placed[0].chain_index = 256;
    placed[1].chain_index = CHAIN_INDEX_STAY; /* in a message that does not stay */
    placed[2].channel = str_make(calloc(1, 2000), 2000);
    message.events = placed;
    message.events_count = 4;
    assert_int_equal(send(fixture, &message), 0);
    free((char *)(uintptr_t)placed[2].channel.data);
    assert_int_equal(rejected(fixture, &last), 3);
    assert_true(str_equal(last.reason, STR("too_large")));
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
}

static void test_settle_sums_beyond_numbers_are_left_out_and_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct profile profile;
    for (uint8_t i = 1; i <= 3; i++) {
        struct touchpoint event = event_of(i, "order_completed", DAY + i);
        event.has_order = true;
        event.order.revenue_minor = i < 3 ? INT64_MAX : 5;
        event.order.currency = i < 3 ? STR("JPY") : STR("USD");
        put(fixture, A, 0, i, &event);
    }
    commit(fixture);
    assert_int_equal(solo_counts(fixture->solo)->mails[TOPIC_REJECTED], 1);
    assert_true(profile_of(fixture, A, &profile));
    assert_int_equal(profile.conversions, 3);
    assert_int_equal(profile.revenue_count, 1);
    assert_true(str_equal(profile.revenue[0].currency, STR("USD")));
}

/* ---- memory ---- */

/* Every allocation fails once: the batch fails whole, and works when tried again. */
static void test_process_and_settle_without_memory_fail_whole(void **state)
{
    bool happened = true;
    size_t nth;
    for (nth = 1; happened; nth++) {
        struct fixture *fixture = *state;
        struct touchpoint page = event_of(1, "page_viewed", DAY);
        struct touchpoint order = event_of(2, "order_completed", DAY + 1);
        struct placed_event placed[] = {{.event = encode_event(fixture, &page)},
            {.position = 1, .event = encode_event(fixture, &order)}};
        struct journey_message message = put_of(fixture, A, 0, 0, placed);
        message.events_count = 2;
        CLEANUP(buf_free) struct buf bytes = {0};
        assert_int_equal(journey_message_encode(&message, &bytes), 0);
        failing_alloc_at(nth);
        int r = send_bytes(fixture, A, buf_str(&bytes));
        if (r == 0)
            r = solo_commit(fixture->solo);
        happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        assert_int_equal(send_bytes(fixture, A, buf_str(&bytes)), 0);
        commit(fixture);
        assert_int_equal(rows_in(fixture, TABLE_TIMELINE), 2);
        assert_int_equal(rows_in(fixture, TABLE_CONVERSION), 1);
        assert_int_equal(rows_in(fixture, TABLE_MODEL_COUNT), 3); /* in, out, and a coalition */
        gone(fixture, A, 0, 1, NULL);
        commit(fixture);
        assert_int_equal(rows_in(fixture, TABLE_MODEL_COUNT), 0); /* each was counted once */
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
    assert_in_range(nth, 10, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_process_put_leaves_event_session_profile),
        TEST(test_process_event_that_came_again_changes_nothing),
        TEST(test_process_other_facts_under_one_key_are_rejected),
        TEST(test_process_resent_conflict_is_rejected_with_the_same_bytes),
        TEST(test_process_lower_position_takes_the_place),
        TEST(test_process_lower_position_with_another_time_moves_the_row),
        TEST(test_settle_late_event_corrects_only_what_it_changes),
        TEST(test_process_gone_ships_all_events),
        TEST(test_process_node_that_came_back_is_kept),
        TEST(test_process_dead_node_scatters_to_the_next),
        TEST(test_process_event_that_stays_is_never_gone),
        TEST(test_process_mark_meets_an_event_that_came_another_way),
        TEST(test_process_mark_of_a_node_that_is_gone_follows),
        TEST(test_process_mark_of_a_device_leaves_what_came_after_it),
        TEST(test_process_second_seat_with_lower_position_shows),
        TEST(test_process_hidden_seat_shows_when_the_other_is_left),
        TEST(test_process_two_seats_with_other_facts_reject_the_later),
        TEST(test_process_hidden_copy_is_replaced_by_a_lower_position),
        TEST(test_process_many_events_of_a_mixed_person_in_one_batch),
        TEST(test_process_bytes_that_are_no_message_are_rejected),
        TEST(test_process_truncated_message_is_rejected_at_every_length),
        TEST(test_process_message_that_nobody_sends_is_rejected),
        TEST(test_process_bad_events_are_rejected_and_the_others_stay),
        TEST(test_settle_sums_beyond_numbers_are_left_out_and_rejected),
        TEST(test_process_and_settle_without_memory_fail_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
