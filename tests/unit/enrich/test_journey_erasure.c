/* enrich/journey/erasure: marks of suppressed identifiers, which follow their events. */
#include "tests/unit/enrich/journey_fixture.h"

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_process_mark_meets_an_event_that_came_another_way),
        TEST(test_process_mark_of_a_node_that_is_gone_follows),
        TEST(test_process_mark_of_a_device_leaves_what_came_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
