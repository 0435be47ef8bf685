/* The stage over one partition: what puts and gones leave, and what it refuses. */
#include "tests/unit/enrich/journey_fixture.h"
#include "tests/unit/schemas/failing_alloc.h"

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

/* The first node's event, for A. */
static void put_at(struct fixture *fixture, int64_t epoch, const struct touchpoint *event)
{
    struct placed_event placed = {.event = encode_event(fixture, event)};
    struct journey_message message = put_of(fixture, A, 0, epoch, &placed);
    assert_int_equal(send(fixture, &message), 0);
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
    assert_int_equal(rows_in(fixture, TABLE_GONE), 1); /* since when it is here */
    gone(fixture, A, 0, 3, B);
    commit(fixture);
    assert_false(profile_of(fixture, A, &profile));
    assert_true(profile_of(fixture, B, &profile));
    assert_int_equal(rows_in(fixture, TABLE_GONE), 1);
}

/* The copy was under way since the node was here before: it comes to a node that is here by a later
 * decision, after A had shown the event by one between the two. */
static void test_process_put_from_before_the_return_takes_its_epoch(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY),
                      other = event_of(2, "page_viewed", DAY),
                      last = event_of(3, "page_viewed", DAY);
    struct stitched row;
    put_at(fixture, 4, &event);
    gone(fixture, A, 0, 5, B);
    commit(fixture);
    assert_true(row_of(fixture, B, &event, &row));
    put_at(fixture, 6, &other);
    commit(fixture);
    put_at(fixture, 2, &event);
    put_at(fixture, 7, &last); /* a higher one keeps its own */
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.placement, 6);
    assert_true(row_of(fixture, A, &last, &row));
    assert_int_equal(row.placement, 7);
    gone(fixture, A, 0, 5, B); /* an older farewell takes none of them */
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.placement, 6);
}

/* The same by another instance, which knows it from the rows. */
static void test_process_return_is_known_to_the_next_instance(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint event = event_of(1, "page_viewed", DAY),
                      other = event_of(2, "page_viewed", DAY);
    struct stitched row;
    gone(fixture, A, 0, 5, B);
    put_at(fixture, 6, &other);
    commit(fixture);
    solo_abort(fixture->solo); /* forgets what it has in memory */
    put_at(fixture, 2, &event);
    commit(fixture);
    assert_true(row_of(fixture, A, &event, &row));
    assert_int_equal(row.placement, 6);
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
        TEST(test_process_put_from_before_the_return_takes_its_epoch),
        TEST(test_process_return_is_known_to_the_next_instance),
        TEST(test_process_dead_node_scatters_to_the_next),
        TEST(test_process_event_that_stays_is_never_gone),
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
