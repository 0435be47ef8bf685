#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/attribution/split.h"

#define COUNT_MAX 300

static int64_t sum_of(const int64_t *shares, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)shares[i];
    return (int64_t)sum;
}

static void test_split_amount_of_thirds_gives_the_rest_to_the_first(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    const uint64_t weights[3] = {1, 1, 1};
    int64_t shares[3];
    assert_int_equal(split_amount(&split, 100, weights, 3, shares), 0);
    assert_int_equal(shares[0], 34);
    assert_int_equal(shares[1], 33);
    assert_int_equal(shares[2], 33);
}

static void test_split_amount_gives_the_rest_to_the_largest_remainder(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    const uint64_t weights[3] = {47, 16, 37}; /* quotas of 10: 4.7 1.6 3.7 */
    int64_t shares[3];
    assert_int_equal(split_amount(&split, 10, weights, 3, shares), 0);
    assert_int_equal(shares[0], 5);
    assert_int_equal(shares[1], 1);
    assert_int_equal(shares[2], 4);
}

static void test_split_amount_negative_mirrors_the_positive(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    const uint64_t weights[4] = {3, 1, 0, 7};
    int64_t plus[4], minus[4];
    assert_int_equal(split_amount(&split, 12345, weights, 4, plus), 0);
    assert_int_equal(split_amount(&split, -12345, weights, 4, minus), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(plus[i], -minus[i]);
}

static void test_split_amount_of_the_extremes_sums_exactly(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    const uint64_t weights[3] = {UINT64_MAX / 2, 1, UINT64_MAX / 2 - 5};
    const int64_t amounts[] = {INT64_MAX, INT64_MIN, INT64_MIN + 1, 0, 1, -1};
    int64_t shares[3];
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        assert_int_equal(split_amount(&split, amounts[i], weights, 3, shares), 0);
        assert_int_equal(sum_of(shares, 3), amounts[i]);
        assert_int_equal(split_amount(&split, amounts[i], weights, 1, shares), 0);
        assert_int_equal(shares[0], amounts[i]);
    }
}

static void test_split_amount_without_weights_splits_equally(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    const uint64_t weights[3] = {0, 0, 0};
    int64_t shares[3];
    assert_int_equal(split_amount(&split, -5, weights, 3, shares), 0);
    assert_int_equal(shares[0], -2);
    assert_int_equal(shares[1], -2);
    assert_int_equal(shares[2], -1);
}

/* Of equal cut parts the lowest tie; of short and of long paths, and where nothing weighs. */
static void test_split_amount_of_equal_parts_goes_by_ties(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    static uint64_t weights[COUNT_MAX], ties[COUNT_MAX];
    static int64_t shares[COUNT_MAX];
    for (size_t i = 0; i < COUNT_MAX; i++)
        ties[i] = (i * 7 + 3) % COUNT_MAX; /* 7 and the count have no common part */
    split.ties = ties;
    for (int weight = 0; weight < 2; weight++) {
        for (size_t i = 0; i < COUNT_MAX; i++)
            weights[i] = (uint64_t)weight;
        for (size_t count = 3; count <= COUNT_MAX; count += COUNT_MAX - 3) {
            assert_int_equal(split_amount(&split, (int64_t)count + 2, weights, count, shares), 0);
            for (size_t i = 0; i < count; i++) {
                size_t before = 0;
                for (size_t k = 0; k < count; k++)
                    before += ties[k] < ties[i];
                assert_int_equal(shares[i], 1 + (before < 2));
            }
        }
    }
    ties[2] = ties[1]; /* 17, 10, 10 of the first three: then by index */
    ties[0] = 17;
    assert_int_equal(split_amount(&split, 4, weights, 3, shares), 0);
    assert_int_equal(shares[1], 2);
}

/* What a share was rounded by, of the positive and of its mirror; never -0. */
static void test_split_rest_is_quota_less_share(void **state)
{
    (void)state;
    assert_true(split_rest(100, 1, 3, 33) == 1.0 / 3);
    assert_true(split_rest(100, 1, 3, 34) == 1.0 / 3 - 1);
    assert_true(split_rest(-100, 1, 3, -34) == 1 - 1.0 / 3);
    assert_true(split_rest(-100, 1, 3, -32) == -1 - 1.0 / 3);
    assert_true(!signbit(split_rest(-99, 1, 3, -33)));
    assert_true(split_rest(INT64_MIN, 1, 1, INT64_MIN) == 0);
    assert_true(split_rest(INT64_MAX, UINT64_MAX / 2, UINT64_MAX - 1, INT64_MAX / 2) == .5);
}

/* Each share lies within one unit of its quota, all sum to the amount; short and long paths. */
static void test_split_amount_random_stays_within_one_of_the_quota(void **state)
{
    CLEANUP(split_free) struct split split = {0};
    static uint64_t weights[COUNT_MAX];
    static int64_t shares[COUNT_MAX];
    unsigned seed = 20261123;
    for (int turn = 0; turn < 2000; turn++) {
        size_t count = 1 + (size_t)(rand_r(&seed) % (turn % 10 ? 20 : COUNT_MAX));
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += weights[i] = (uint64_t)(rand_r(&seed) % 1000);
        int64_t amount = rand_r(&seed) - (int64_t)(rand_r(&seed) % 1000) * 1000000;
        assert_int_equal(split_amount(&split, amount, weights, count, shares), 0);
        assert_int_equal(sum_of(shares, count), amount);
        for (size_t i = 0; sum && i < count; i++) {
            long double quota = (long double)amount * (long double)weights[i] / (long double)sum;
            long double off = (long double)shares[i] - quota;
            if (off <= -1.0L || off >= 1.0L)
                fail_msg("seed 20261123 turn %d: share %zu is %lld, quota %Lf", turn, i,
                    (long long)shares[i], quota);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_amount_of_thirds_gives_the_rest_to_the_first),
        cmocka_unit_test(test_split_amount_gives_the_rest_to_the_largest_remainder),
        cmocka_unit_test(test_split_amount_negative_mirrors_the_positive),
        cmocka_unit_test(test_split_amount_of_the_extremes_sums_exactly),
        cmocka_unit_test(test_split_amount_without_weights_splits_equally),
        cmocka_unit_test(test_split_amount_of_equal_parts_goes_by_ties),
        cmocka_unit_test(test_split_rest_is_quota_less_share),
        cmocka_unit_test(test_split_amount_random_stays_within_one_of_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
