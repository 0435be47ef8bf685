#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/attribution/sum.h"
#include "tests/property/random.h"

#define TERMS_MAX 200
#define CASES 2000

static double add_up(const double *terms, size_t count)
{
    struct sum sum = {0};
    for (size_t i = 0; i < count; i++)
        sum_add(&sum, terms[i], 0);
    return sum_value(&sum);
}

static void test_sum_value_of_nothing_is_zero(void **state)
{
    struct sum sum = {0};
    assert_true(sum_value(&sum) == 0);
}

static void test_sum_value_of_decimals_that_cancel_is_zero(void **state)
{
    const double tenths[] = {.1, .2, -.3}, apart[] = {1e12, .01, -1e12, -.01};
    assert_true(add_up(tenths, 3) == 0);
    assert_true(add_up(apart, 4) == 0);
}

static void test_sum_value_of_what_is_left_is_kept(void **state)
{
    const double cent[] = {1e12, .01, -1e12}, large[] = {9007199254740992.0, 1, -1, 1};
    assert_true(fabs(add_up(cent, 3) - .01) < 1e-12);
    assert_true(add_up(large, 4) == 9007199254740992.0); /* 2^53 + 1, rounded */
}

static void test_sum_value_of_a_small_sum_of_large_terms_is_zero(void **state)
{
    struct sum sum = {0};
    sum_add(&sum, 2e-17, .6); /* a sum itself */
    assert_true(sum_value(&sum) == 0);
    sum_add(&sum, 1, 0);
    assert_true(sum_value(&sum) == 1);
}

/* Terms whose rests are known leave what they leave, however large they were; parts of 1 add up. */
static void test_sum_value_of_exact_terms_keeps_the_cent(void **state)
{
    struct sum sum = {0}, thirds = {0};
    const struct sum large[] = {sum_exact(1e15, .01), sum_exact(-1e15, 0), sum_exact(.1, 0)};
    for (int i = 0; i < 3; i++)
        sum_add_sum(&sum, &large[i]);
    assert_true(sum_value(&sum) == .11);
    for (int i = 0; i < 3; i++)
        sum_add_part(&thirds, sum_part_of(1, (struct sum_part){3, 0}), &sum);
    const struct sum back = sum_exact(-.11, 0);
    sum_add_sum(&thirds, &back);
    assert_true(sum_value(&thirds) == 0);
}

/* Cents in any order, of which a part cancels. */
static void test_sum_value_of_random_cents_equals_integers(void **state)
{
    struct random random = random_begin();
    for (int i = 0; i < CASES; i++) {
        int64_t cents = 0;
        struct sum sum = {0};
        for (size_t k = random_below(&random, TERMS_MAX); k > 0; k--) {
            int64_t term = (int64_t)random_below(&random, 2000000001) - 1000000000;
            if (k == 1 && random_once_in(&random, 2))
                term = -cents;
            cents += term;
            sum_add(&sum, (double)term / 100, 0);
        }
        assert_true(fabs(sum_value(&sum) - (double)cents / 100) <= 1e-4 / 100);
        if (cents == 0)
            assert_true(sum_value(&sum) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_value_of_nothing_is_zero),
        cmocka_unit_test(test_sum_value_of_decimals_that_cancel_is_zero),
        cmocka_unit_test(test_sum_value_of_what_is_left_is_kept),
        cmocka_unit_test(test_sum_value_of_a_small_sum_of_large_terms_is_zero),
        cmocka_unit_test(test_sum_value_of_exact_terms_keeps_the_cent),
        cmocka_unit_test(test_sum_value_of_random_cents_equals_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
