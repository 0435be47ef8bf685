/* What a partition's next owner makes of what its owners left: ends are counted, records convicted,
 * and what ended as it should is not suspected. */
#include "ingest/stream/kafka_attempts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define RANGE 1000
#define NEXT 50

/* An owner begins where `found` was left, at `began`. */
static struct kafka_attempt take_over(
    const struct kafka_attempt *found, uint64_t owner, int64_t next)
{
    char text[KAFKA_ATTEMPT_TEXT_SIZE];
    struct kafka_attempt read;
    kafka_attempt_text(found, text);
    assert_true(kafka_attempt_read(str_of(text), found->began, &read));
    return kafka_attempt_of(&read, false, owner, next, RANGE);
}

static struct kafka_attempt first_owner(void)
{
    return kafka_attempt_of(NULL, false, 1, NEXT, RANGE);
}

static void test_two_ends_in_one_record_that_was_noted_make_it_poison(void **state)
{
    struct kafka_attempt attempt = first_owner();
    assert_int_equal(attempt.careful, 0);
    attempt = take_over(&attempt, 2, NEXT);
    assert_int_equal(attempt.ends, 1);
    assert_int_equal(attempt.careful, 0);
    attempt = take_over(&attempt, 3, NEXT);
    assert_int_equal(attempt.careful, NEXT + RANGE);
    for (uint64_t owner = 4; owner < 4 + KAFKA_ATTEMPTS_POISON; owner++) {
        assert_false(kafka_attempt_poison(&attempt, 70));
        attempt.current = 70;
        attempt = take_over(&attempt, owner, NEXT);
        assert_int_equal(attempt.suspect, 70);
    }
    assert_true(kafka_attempt_poison(&attempt, 70));
    assert_false(kafka_attempt_poison(&attempt, 69));
    assert_false(kafka_attempt_poison(&attempt, -1));
}

static void test_ends_in_different_records_convict_neither(void **state)
{
    struct kafka_attempt attempt = first_owner();
    for (int i = 0; i < 10; i++) {
        attempt.current = 60 + i;
        attempt = take_over(&attempt, (uint64_t)i + 2, NEXT);
        assert_int_equal(attempt.suspect_ends, 1);
        assert_false(kafka_attempt_poison(&attempt, attempt.suspect));
    }
}

static void test_what_was_committed_is_suspected_no_more(void **state)
{
    struct kafka_attempt attempt = first_owner();
    attempt.current = 70;
    attempt = take_over(&attempt, 2, NEXT);
    attempt.ends = KAFKA_ATTEMPTS_CAREFUL;
    attempt = take_over(&attempt, 3, 71);
    assert_int_equal(attempt.suspect, -1);
    assert_int_equal(attempt.ends, 1); /* of the one that did not end as it should, after that */
    assert_int_equal(attempt.careful, 0);
}

static void test_a_clean_end_and_the_same_owner_count_nothing(void **state)
{
    struct kafka_attempt attempt = first_owner();
    for (int i = 0; i < 10; i++) {
        attempt = take_over(&attempt, 1, NEXT);
        assert_int_equal(attempt.ends, 0);
        attempt.owner = 0;
        attempt = take_over(&attempt, (uint64_t)i + 2, NEXT);
        assert_int_equal(attempt.ends, 0);
        attempt.owner = 1;
    }
}

static void test_a_clean_end_keeps_what_was_suspected(void **state)
{
    struct kafka_attempt attempt = first_owner();
    attempt.current = 70;
    attempt = take_over(&attempt, 2, NEXT);
    attempt.owner = 0;
    attempt = take_over(&attempt, 3, NEXT);
    assert_int_equal(attempt.suspect, 70);
    assert_int_equal(attempt.suspect_ends, 1);
    assert_true(attempt.careful > 70);
}

static void test_an_end_in_a_record_of_another_partition_counts_nothing(void **state)
{
    struct kafka_attempt attempt = first_owner();
    struct kafka_attempt other = kafka_attempt_of(&attempt, true, 2, NEXT, RANGE);
    assert_int_equal(other.ends, 0);
    attempt.current = 70; /* its own record, whatever is known elsewhere */
    assert_true(kafka_attempt_told(&attempt, 2, NEXT));
    assert_false(kafka_attempt_told(&attempt, 1, NEXT));
    assert_false(kafka_attempt_told(&attempt, 2, 71));
    other = kafka_attempt_of(&attempt, true, 2, NEXT, RANGE);
    assert_int_equal(other.suspect, 70);
}

static void test_after_an_end_in_derived_rows_batches_have_one_record(void **state)
{
    struct kafka_attempt attempt = first_owner();
    attempt.ends = KAFKA_ATTEMPTS_CAREFUL;
    attempt = take_over(&attempt, 1, NEXT);
    assert_false(attempt.single);
    attempt.current = KAFKA_ATTEMPT_SETTLE;
    struct kafka_attempt after = take_over(&attempt, 2, NEXT + 1);
    assert_false(after.single); /* it got further than that */
    after = take_over(&attempt, 2, NEXT);
    assert_true(after.single);
    assert_int_equal(after.careful, NEXT + RANGE);
    assert_int_equal(after.suspect, -1);
}

static void test_a_suspect_far_on_is_noted_too(void **state)
{
    struct kafka_attempt attempt = first_owner();
    attempt.current = NEXT + 5 * RANGE;
    attempt = take_over(&attempt, 2, NEXT);
    assert_int_equal(attempt.careful, NEXT + 5 * RANGE + 1);
}

static void test_what_is_not_readable_or_of_another_topic_begins_anew(void **state)
{
    static const char *const texts[] = {"", "1", "1 z", "2 1 9 9 9 9", "1 5 9 70 70", "\x01\xff"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct kafka_attempt attempt;
        assert_false(kafka_attempt_read(str_of(texts[i]), NEXT, &attempt));
    }
    struct kafka_attempt attempt = first_owner();
    attempt.current = 70;
    attempt = take_over(&attempt, 2, NEXT - 1); /* the group stands before where it began */
    assert_int_equal(attempt.suspect, -1);
    assert_int_equal(attempt.ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_ends_in_one_record_that_was_noted_make_it_poison),
        cmocka_unit_test(test_ends_in_different_records_convict_neither),
        cmocka_unit_test(test_what_was_committed_is_suspected_no_more),
        cmocka_unit_test(test_a_clean_end_and_the_same_owner_count_nothing),
        cmocka_unit_test(test_a_clean_end_keeps_what_was_suspected),
        cmocka_unit_test(test_an_end_in_a_record_of_another_partition_counts_nothing),
        cmocka_unit_test(test_after_an_end_in_derived_rows_batches_have_one_record),
        cmocka_unit_test(test_a_suspect_far_on_is_noted_too),
        cmocka_unit_test(test_what_is_not_readable_or_of_another_topic_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
