/* Two pseudonyms of one value, over a driver that counts look-ups and mail. */
#include "enrich/identity/rotation.h"

#include "ingest/rotation.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "schemas/person_of.avro.h"
#include "tests/unit/enrich/identity_fixture.h"

#define OLD "k1:0123456789abcdef0123456789abcdef"
#define NEW "k2:fedcba9876543210fedcba9876543210"
#define NEWEST "k3:00001111222233334444555566667777"
#define AT 100

static int process(struct fixture *fixture, const struct append_record *record)
{
    const struct record in = {.topic = TOPIC_EVENTS,
        .position = fixture->position++,
        .key = record->key,
        .value = record->value};
    int r = solo_process(fixture->solo, &in);
    return r < 0 ? r : solo_commit(fixture->solo);
}

/* An event of an e-mail, perhaps with a login. Returns the mail that it caused. */
static struct solo_counts event(
    struct fixture *fixture, const char *type, const char *email, const char *login)
{
    struct identifier ids[] = {{STR("email"), str_of(email), 0}, {STR("login"), str_of(login), 0}};
    struct append_record record;
    struct touchpoint touchpoint;
    struct node node;
    CLEANUP(buf_free) struct buf bytes = {0};
    touchpoint_init(&touchpoint);
    touchpoint.event_id = STR("e");
    touchpoint.source = STR("s");
    touchpoint.type = str_of(type);
    touchpoint.occurred_at = AT;
    touchpoint.identifiers = ids;
    touchpoint.identifiers_count = login ? 2 : 1;
    put_be64(touchpoint.event_key, (uint64_t)fixture->position);
    assert_int_equal(namespace_strongest(config.namespaces, ids, touchpoint.identifiers_count,
                         &fixture->arena, &node),
        0);
    assert_int_equal(touchpoint_encode(&touchpoint, &bytes), 0);
    record.key = str_make(node.id, KEY_SIZE);
    record.value = buf_str(&bytes);
    solo_abort(fixture->solo); /* no caches */
    struct solo_counts before = *solo_counts(fixture->solo), after;
    assert_int_equal(process(fixture, &record), 0);
    after = *solo_counts(fixture->solo);
    after.gets -= before.gets;
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        after.mails[i] -= before.mails[i];
    return after;
}

/* As a door tells it. */
static struct solo_counts tell(struct fixture *fixture, const char *old, const char *new)
{
    struct identifier_config door = {.namespaces = config.namespaces, .next.since = AT};
    const struct identifier_pair pair = {STR("email"), str_of(old), str_of(new)};
    struct rotation_list list = {.count = 0};
    struct solo_counts before = *solo_counts(fixture->solo), after;
    assert_int_equal(rotation_add(&list, &door, &pair, NULL, &fixture->arena), 0);
    assert_int_equal(process(fixture, &list.records[0]), 0);
    after = *solo_counts(fixture->solo);
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        after.mails[i] -= before.mails[i];
    return after;
}

/* Returns false where the pseudonym has no row. */
static bool row_of(struct fixture *fixture, const char *email, struct person_of *out)
{
    uint8_t node[KEY_SIZE];
    struct str value;
    namespace_node_id(
        config.namespaces, namespace_rank(config.namespaces, STR("email")), str_of(email), node);
    int r = solo_row(fixture->solo, TABLE_PERSON_OF, str_make(node, KEY_SIZE), &value);
    if (r == STATE_ABSENT)
        return false;
    assert_int_equal(r, 0);
    assert_int_equal(arena_dup(&fixture->arena, value, &value), 0);
    assert_int_equal(person_of_decode(out, value, &fixture->arena), 0);
    return true;
}

static void assert_one(struct fixture *fixture, const char *old, const char *new)
{
    struct person_of a, b;
    assert_true(row_of(fixture, old, &a));
    assert_true(row_of(fixture, new, &b));
    assert_memory_equal(a.person, b.person, KEY_SIZE);
    assert_true(str_equal(b.why, STR("rotated")));
    assert_true(b.has_older);
    assert_memory_equal(b.older, a.node, KEY_SIZE);
    assert_int_equal(b.rotated_at, AT);
    assert_false(a.has_older);
}

static void test_pair_before_events_is_one_person(void **state)
{
    struct fixture *fixture = *state;
    (void)event(fixture, "page_viewed", OLD, "u-1");
    (void)tell(fixture, OLD, NEW);
    assert_one(fixture, OLD, NEW); /* known at once, so that it can be looked up */
    (void)event(fixture, "page_viewed", NEW, NULL);
    (void)event(fixture, "page_viewed", NEW, "u-1");
    assert_one(fixture, OLD, NEW);
}

static void test_pair_after_events_is_one_person(void **state)
{
    struct fixture *fixture = *state;
    struct person_of before;
    (void)event(fixture, "page_viewed", NEW, NULL);
    assert_true(row_of(fixture, NEW, &before));
    assert_true(str_equal(before.why, STR("self")));
    (void)event(fixture, "page_viewed", NEW, "u-1");
    (void)event(fixture, "page_viewed", OLD, NULL);
    (void)tell(fixture, OLD, NEW);
    assert_one(fixture, OLD, NEW);
}

/* A login for each pseudonym: the value is shared, as if it had one. */
static void test_pair_of_two_logins_is_shared(void **state)
{
    struct fixture *fixture = *state;
    struct person_of old;
    (void)event(fixture, "page_viewed", OLD, "u-1");
    (void)event(fixture, "page_viewed", NEW, "u-2");
    (void)tell(fixture, OLD, NEW);
    assert_true(row_of(fixture, OLD, &old));
    assert_true(str_equal(old.why, STR("shared")));
    assert_one(fixture, OLD, NEW);
}

static void test_pair_told_again_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(tell(fixture, OLD, NEW).mails[TOPIC_IDENTITY], 1);
    struct solo_counts again = tell(fixture, OLD, NEW);
    assert_int_equal(again.mails[TOPIC_IDENTITY], 0);
    assert_int_equal(again.mails[TOPIC_JOURNEY], 0);
    assert_int_equal(again.mails[TOPIC_REJECTED], 0);
}

/* Costs: a new signature one message more, a known one none. */
static void test_event_of_newer_pseudonym_costs_one_message_once(void **state)
{
    struct fixture *fixture = *state;
    uint64_t old = event(fixture, "page_viewed", OLD, "u-1").mails[TOPIC_IDENTITY];
    (void)tell(fixture, OLD, NEW);
    struct solo_counts first = event(fixture, "page_viewed", NEW, "u-1");
    assert_true(first.mails[TOPIC_IDENTITY] <= old + 1);
    struct solo_counts known = event(fixture, "page_viewed", NEW, "u-1");
    assert_int_equal(known.mails[TOPIC_IDENTITY], 0);
    assert_int_equal(known.gets, 1);
    assert_int_equal(known.mails[TOPIC_JOURNEY], 1);
}

static void test_pair_of_three_keys_is_one_person(void **state)
{
    struct fixture *fixture = *state;
    struct person_of first, last;
    (void)event(fixture, "page_viewed", NEWEST, "u-1");
    (void)tell(fixture, NEW, NEWEST);
    (void)event(fixture, "page_viewed", NEWEST, NULL);
    (void)tell(fixture, OLD, NEW);
    (void)event(fixture, "page_viewed", OLD, NULL);
    assert_true(row_of(fixture, OLD, &first));
    assert_true(row_of(fixture, NEWEST, &last));
    assert_memory_equal(first.person, last.person, KEY_SIZE);
    assert_true(str_equal(first.why, STR("claim"))); /* of the login */
}

static void test_erased_value_is_suppressed_under_both_whatever_came_first(void **state)
{
    for (int pair_first = 0; pair_first < 2; pair_first++) {
        struct fixture *fixture = *state;
        struct person_of row;
        (void)event(fixture, "page_viewed", OLD, NULL);
        if (pair_first)
            (void)tell(fixture, OLD, NEW);
        (void)event(fixture, "erasure_requested", OLD, NULL);
        if (!pair_first)
            (void)tell(fixture, OLD, NEW);
        assert_int_equal(event(fixture, "page_viewed", NEW, NULL).mails[TOPIC_JOURNEY], 0);
        assert_int_equal(event(fixture, "page_viewed", OLD, NULL).mails[TOPIC_JOURNEY], 0);
        assert_false(row_of(fixture, NEW, &row));
        (void)teardown(state);
        (void)setup_keep_sent(state);
    }
}

/* What was erased and became generic after that is so under a key of later, too: the one made the
 * other neither more nor less. */
static void test_erased_value_that_became_generic_is_suppressed_under_the_newer(void **state)
{
    struct fixture *fixture = *state;
    (void)event(fixture, "page_viewed", OLD, NULL);
    (void)event(fixture, "erasure_requested", OLD, NULL);
    (void)event(fixture, "page_viewed", OLD, "u-1");
    (void)event(fixture, "page_viewed", OLD, "u-2");
    (void)event(fixture, "page_viewed", OLD, "u-3");
    (void)event(fixture, "page_viewed", OLD, "u-4");
    (void)tell(fixture, OLD, NEW);
    assert_int_equal(event(fixture, "page_viewed", OLD, NULL).mails[TOPIC_JOURNEY], 0);
    assert_int_equal(event(fixture, "page_viewed", NEW, NULL).mails[TOPIC_JOURNEY], 0);
}

static void test_pair_that_is_none_is_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct person_of row;
    assert_int_equal(tell(fixture, NEW, OLD).mails[TOPIC_REJECTED], 1); /* the wrong way round */
    assert_int_equal(tell(fixture, OLD, OLD).mails[TOPIC_REJECTED], 1);
    assert_int_equal(tell(fixture, "x@example.jp", NEW).mails[TOPIC_REJECTED], 1);
    assert_int_equal(
        event(fixture, ROTATION_EVENT_TYPE, OLD, NULL).mails[TOPIC_REJECTED], 1); /* no pair */
    assert_false(row_of(fixture, NEW, &row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_pair_before_events_is_one_person, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_pair_after_events_is_one_person, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_pair_of_two_logins_is_shared, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_pair_told_again_says_nothing, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_event_of_newer_pseudonym_costs_one_message_once, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_pair_of_three_keys_is_one_person, setup_keep_sent, teardown),
        cmocka_unit_test_setup_teardown(
            test_erased_value_is_suppressed_under_both_whatever_came_first, setup_keep_sent,
            teardown),
        cmocka_unit_test_setup_teardown(
            test_erased_value_that_became_generic_is_suppressed_under_the_newer, setup_keep_sent,
            teardown),
        cmocka_unit_test_setup_teardown(
            test_pair_that_is_none_is_rejected, setup_keep_sent, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
