#include "enrich/identity/suppressed.h"

#include "ingest/rotation.h"
#include "schemas/error.h"
#include "tests/unit/enrich/identity_fixture.h"

#define K1 "k1:0123456789abcdef0123456789abcdef"
#define K2 "k2:fedcba9876543210fedcba9876543210"
#define K3 "k3:00001111222233334444555566667777"
#define AT 100 /* of every event */

static void event(struct fixture *fixture, const char *type, const char *namespace, const char *id)
{
    struct identifier ids[] = {{str_of(namespace), str_of(id), 0}, {STR("email"), STR(K1), 0}};
    struct touchpoint touchpoint;
    struct node node;
    CLEANUP(buf_free) struct buf bytes = {0};
    touchpoint_init(&touchpoint);
    touchpoint.event_id = STR("e");
    touchpoint.source = STR("s");
    touchpoint.type = str_of(type);
    touchpoint.occurred_at = AT;
    touchpoint.identifiers = ids;
    touchpoint.identifiers_count = strcmp(type, "page_viewed") == 0 ? 2 : 1;
    put_be64(touchpoint.event_key, (uint64_t)fixture->position);
    assert_int_equal(namespace_strongest(config.namespaces, ids, touchpoint.identifiers_count,
                         &fixture->arena, &node),
        0);
    assert_int_equal(touchpoint_encode(&touchpoint, &bytes), 0);
    process_record(fixture, TOPIC_EVENTS, str_make(node.id, KEY_SIZE), buf_str(&bytes));
}

/* As a door tells it while the newer key, made at `since`, is the next one. */
static void tell(struct fixture *fixture, const char *old, const char *new, int64_t since)
{
    struct identifier_config door = {.namespaces = config.namespaces, .next.since = since};
    const struct identifier_pair pair = {STR("email"), str_of(old), str_of(new)};
    struct rotation_list list = {.count = 0};
    assert_int_equal(rotation_add(&list, &door, &pair, NULL, &fixture->arena), 0);
    process_record(fixture, TOPIC_EVENTS, list.records[0].key, list.records[0].value);
}

static int alone(struct fixture *fixture, int64_t active_since)
{
    const struct suppressed_question question = {config.namespaces, active_since};
    struct state_backend *rows;
    uint64_t count = 99;
    assert_int_equal(solo_rows(fixture->solo, &rows), 0);
    assert_int_equal(suppressed_alone(rows, &question, &count), 0);
    return (int)count;
}

static void test_suppressed_alone_value_not_seen_in_the_rotation_is_counted(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(alone(fixture, SUPPRESSED_ALWAYS), 0);
    event(fixture, "page_viewed", "login", "hana"); /* with the e-mail */
    event(fixture, "page_viewed", "cookie", "c");
    assert_int_equal(alone(fixture, SUPPRESSED_ALWAYS), 0);
    event(fixture, "erasure_requested", "login", "hana");
    assert_int_equal(alone(fixture, SUPPRESSED_ALWAYS), 1); /* nor login nor cookie bears a key */
    tell(fixture, K1, K2, AT);
    assert_int_equal(alone(fixture, SUPPRESSED_ALWAYS), 0);
}

static void test_suppressed_alone_pair_before_the_erasure_is_not_counted(void **state)
{
    struct fixture *fixture = *state;
    event(fixture, "page_viewed", "login", "hana");
    tell(fixture, K1, K2, AT);
    event(fixture, "erasure_requested", "login", "hana");
    assert_int_equal(alone(fixture, SUPPRESSED_ALWAYS), 0);
}

static void test_suppressed_alone_in_a_second_rotation(void **state)
{
    struct fixture *fixture = *state;
    event(fixture, "page_viewed", "login", "hana");
    tell(fixture, K1, K2, AT - 1);
    event(fixture, "erasure_requested", "login", "hana");
    assert_int_equal(alone(fixture, AT - 1), 1); /* k2, made then, would go, and k3 is not known */
    tell(fixture, K2, K3, AT + 1);
    assert_int_equal(alone(fixture, AT - 1), 0);
}

static void test_suppressed_alone_what_an_earlier_retirement_forgot_is_not_counted(void **state)
{
    struct fixture *fixture = *state;
    event(fixture, "page_viewed", "login", "hana");
    event(fixture, "erasure_requested", "login", "hana");
    assert_int_equal(alone(fixture, AT), 1);
    assert_int_equal(alone(fixture, AT + 1), 0); /* erased before the key that would go was made */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_suppressed_alone_value_not_seen_in_the_rotation_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_suppressed_alone_pair_before_the_erasure_is_not_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_suppressed_alone_in_a_second_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_suppressed_alone_what_an_earlier_retirement_forgot_is_not_counted, setup,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
