#include "schemas/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static void test_event_type_valid_form(void **state)
{
    (void)state;
    char longest[EVENT_TYPE_SIZE_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(event_type_valid(STR("a")));
    assert_true(event_type_valid(STR("order_2_completed")));
    assert_true(event_type_valid(str_make(longest, EVENT_TYPE_SIZE_MAX)));
    assert_false(event_type_valid(str_make(longest, EVENT_TYPE_SIZE_MAX + 1)));
    static const char *const bad[] = {
        "", "A", "_a", "1a", "a-b", "a b", "aあ", "Order Completed", "a\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(event_type_valid(str_of(bad[i])));
    assert_false(event_type_valid(STR("a\0b")));
}

static void test_event_types_are_sorted_valid_and_classed(void **state)
{
    (void)state;
    size_t count;
    const struct str *types = event_types(&count);
    assert_true(count > 40);
    for (size_t i = 0; i < count; i++) {
        assert_true(event_type_valid(types[i]));
        assert_true(i == 0 || str_compare(types[i - 1], types[i]) < 0);
        assert_int_not_equal(event_type_class(types[i]), EVENT_CLASS_CUSTOM);
    }
    assert_int_equal(event_type_class(STR("page_viewed")), EVENT_CLASS_WEB);
    assert_int_equal(event_type_class(STR("ad_clicked")), EVENT_CLASS_AD);
    assert_int_equal(event_type_class(STR("message_opened")), EVENT_CLASS_MESSAGE);
    assert_int_equal(event_type_class(STR("call_ended")), EVENT_CLASS_CALL);
    assert_int_equal(event_type_class(STR("store_visited")), EVENT_CLASS_STORE);
    assert_int_equal(event_type_class(STR("item_returned")), EVENT_CLASS_ORDER);
    assert_int_equal(event_type_class(STR("identified")), EVENT_CLASS_IDENTITY);
    assert_int_equal(event_type_class(STR("touch")), EVENT_CLASS_CUSTOM);
    assert_int_equal(event_type_class(STR("")), EVENT_CLASS_CUSTOM);
    assert_int_equal(event_type_class(STR("zzz")), EVENT_CLASS_CUSTOM);
}

static uint64_t facts(const struct touchpoint *event)
{
    uint64_t hash = 0;
    assert_int_equal(event_facts_hash(event, &hash), 0);
    return hash;
}

static struct touchpoint sample(void)
{
    struct touchpoint event;
    touchpoint_init(&event);
    event.event_id = STR("e-1");
    event.source = STR("ec-web");
    event.type = STR("page_viewed");
    event.occurred_at = 1795137300000000;
    event.received_at = 1795137301000000;
    event.time_quality = TIME_QUALITY_CLIENT;
    return event;
}

static void test_event_facts_hash_leaves_arrival_out(void **state)
{
    (void)state;
    struct touchpoint event = sample();
    uint64_t before = facts(&event);
    event.event_key[3] = 9;
    event.received_at++;
    event.adapter_version = 7;
    event.traceparent = STR("00-1-2-01");
    event.has_client = true;
    event.client.address = STR("192.0.2.1");
    event.time_quality = TIME_QUALITY_SUSPECT;
    assert_true(facts(&event) == before);
}

static void test_event_facts_hash_sees_facts(void **state)
{
    (void)state;
    struct touchpoint event = sample();
    uint64_t before = facts(&event);
    event.occurred_at++;
    assert_true(facts(&event) != before);
    event = sample();
    event.sequence = 1;
    assert_true(facts(&event) != before);
    event = sample();
    event.has_order = true;
    assert_true(facts(&event) != before);
    event = sample();
    event.source = STR("ec-wec");
    assert_true(facts(&event) != before);
}

static void test_event_facts_hash_corrected_time_does_not_count(void **state)
{
    (void)state;
    struct touchpoint event = sample();
    event.time_quality = TIME_QUALITY_CORRECTED;
    uint64_t before = facts(&event);
    event.occurred_at += 5000000;
    assert_true(facts(&event) == before);
    event.time_quality = TIME_QUALITY_SERVER;
    assert_true(facts(&event) == before);
    event.time_quality = TIME_QUALITY_CLAMPED;
    assert_true(facts(&event) == before);
}

static void test_event_facts_hash_of_larger_event_than_the_limit(void **state)
{
    (void)state;
    struct touchpoint event = sample();
    char *big = malloc(2 * EVENT_SIZE_MAX);
    assert_non_null(big);
    memset(big, 'x', 2 * EVENT_SIZE_MAX);
    event.properties = str_make(big, 2 * EVENT_SIZE_MAX);
    uint64_t before = facts(&event);
    big[EVENT_SIZE_MAX] = 'y';
    assert_true(facts(&event) != before);
    free(big);
}

static void test_event_is_operators_spend_is_no_customers_word(void **state)
{
    struct touchpoint event;
    (void)state;
    touchpoint_init(&event);
    event.type = STR("spend_reported");
    assert_true(event_is_operators(&event));
    assert_int_equal(event_type_class(event.type), EVENT_CLASS_LEDGER);
    event.type = STR("page_viewed");
    assert_false(event_is_operators(&event));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_is_operators_spend_is_no_customers_word),
        cmocka_unit_test(test_event_type_valid_form),
        cmocka_unit_test(test_event_types_are_sorted_valid_and_classed),
        cmocka_unit_test(test_event_facts_hash_leaves_arrival_out),
        cmocka_unit_test(test_event_facts_hash_sees_facts),
        cmocka_unit_test(test_event_facts_hash_corrected_time_does_not_count),
        cmocka_unit_test(test_event_facts_hash_of_larger_event_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
