/* Hill curves and budgets: parameters that are known, budgets that brute force finds. */
#include "enrich/attribution/response.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

#define PERIODS 24

static void assert_near(double seen, double wanted, double relative)
{
    if (!(fabs(seen - wanted) <= relative * fmax(fabs(wanted), 1e-12)))
        fail_msg("%.12g, wanted %.12g", seen, wanted);
}

static void make_points(const struct hill *hill, double largest, double *x, double *y)
{
    for (int i = 0; i < PERIODS; i++) {
        x[i] = largest * (i + 1) / PERIODS;
        y[i] = hill_value(hill, x[i]);
    }
}

static void test_hill_fit_generated_data_recovers_parameters(void **state)
{
    static const struct hill truths[] = {
        {1000, 1, 50}, {5e6, 0.6, 2e5}, {80, 2.5, 3}, {12345.6, 1.7, 900}, {1, 4, 0.5}};
    static const double largest[] = {200, 1e6, 10, 3000, 1};
    (void)state;
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        double x[PERIODS], y[PERIODS], rms = -1;
        struct hill seen;
        make_points(&truths[i], largest[i], x, y);
        assert_int_equal(hill_fit(x, y, PERIODS, &seen, &rms), 0);
        assert_near(seen.beta, truths[i].beta, 1e-3);
        assert_near(seen.alpha, truths[i].alpha, 1e-3);
        assert_near(seen.gamma, truths[i].gamma, 1e-3);
        assert_true(rms < 1e-4 * truths[i].beta);
    }
}

static void test_hill_fit_noise_stays_near(void **state)
{
    const struct hill truth = {1000, 1.5, 60};
    double x[PERIODS], y[PERIODS], rms;
    struct hill seen;
    (void)state;
    make_points(&truth, 200, x, y);
    for (int i = 0; i < PERIODS; i++)
        y[i] += i % 2 ? 5 : -5;
    assert_int_equal(hill_fit(x, y, PERIODS, &seen, &rms), 0);
    assert_true(rms <= 5.0);
    for (int i = 0; i < PERIODS; i++)
        assert_true(fabs(hill_value(&seen, x[i]) - hill_value(&truth, x[i])) < 10);
}

static void test_hill_marginal_is_the_derivative(void **state)
{
    static const struct hill hills[] = {{1000, 1, 50}, {10, 0.5, 3}, {700, 3, 20}};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (double x = 0.5; x < 200; x *= 1.7) {
            double h = x * 1e-5;
            double slope = (hill_value(&hills[i], x + h) - hill_value(&hills[i], x - h)) / (2 * h);
            assert_near(hill_marginal(&hills[i], x), slope, 1e-6);
        }
    assert_near(hill_marginal(&hills[0], 0), 20, 1e-12);
    assert_true(isinf(hill_marginal(&hills[1], 0)));
    assert_true(hill_marginal(&hills[2], 0) == 0);
    double turn = hill_inflection(&hills[2]);
    assert_true(hill_marginal(&hills[2], turn) > hill_marginal(&hills[2], turn * 0.99));
    assert_true(hill_marginal(&hills[2], turn) > hill_marginal(&hills[2], turn * 1.01));
}

static void test_hill_fit_bad_input_is_named(void **state)
{
    double x[] = {1, 2, 3, 4}, y[] = {1, 2, 3, 4}, rms = -1;
    struct hill seen = {7, 7, 7};
    (void)state;
    assert_int_equal(hill_fit(x, y, 0, &seen, &rms), ERR_EMPTY);
    assert_int_equal(hill_fit(x, y, 1, &seen, &rms), ERR_TOO_FEW);
    assert_int_equal(hill_fit(x, y, 3, &seen, &rms), ERR_TOO_FEW);
    x[2] = 2;
    x[3] = 1;
    assert_int_equal(hill_fit(x, y, 4, &seen, &rms), ERR_TOO_FEW);
    x[2] = -3;
    assert_int_equal(hill_fit(x, y, 4, &seen, &rms), ERR_VALUE);
    x[2] = 0;
    assert_int_equal(hill_fit(x, y, 4, &seen, &rms), ERR_VALUE);
    x[2] = 3;
    y[0] = NAN;
    assert_int_equal(hill_fit(x, y, 4, &seen, &rms), ERR_VALUE);
    assert_true(seen.beta == 7 && rms == -1);
}

static void test_hill_fit_nothing_earned_gives_nothing(void **state)
{
    const double x[] = {1, 2, 3, 4}, y[] = {0, 0, -1, 0};
    double rms;
    struct hill seen;
    (void)state;
    assert_int_equal(hill_fit(x, y, 4, &seen, &rms), 0);
    assert_true(seen.beta == 0);
}

/* The best of all splits of `total` among three lines on a grid. */
static double brute_force(const struct budget_line *lines, double total, int steps)
{
    double best = -1;
    for (int i = 0; i <= steps; i++)
        for (int k = 0; k <= steps - i; k++) {
            const double spend[] = {
                total * i / steps, total * k / steps, total * (steps - i - k) / steps};
            double value = 0;
            bool fits = true;
            for (int c = 0; c < 3; c++) {
                fits &= spend[c] >= lines[c].low - 1e-9 && spend[c] <= lines[c].high + 1e-9;
                value += hill_value(&lines[c].hill, spend[c]);
            }
            if (fits && value > best)
                best = value;
        }
    return best;
}

static void check_against_brute_force(struct budget_line *lines, double total)
{
    assert_int_equal(budget_share(lines, 3, total), 0);
    double value = 0, sum = 0;
    for (int c = 0; c < 3; c++) {
        assert_true(lines[c].spend >= lines[c].low - 1e-9 * total);
        assert_true(lines[c].spend <= lines[c].high + 1e-9 * total);
        value += hill_value(&lines[c].hill, lines[c].spend);
        sum += lines[c].spend;
    }
    assert_near(sum, total, 1e-9);
    double wanted = brute_force(lines, total, 600);
    if (value < wanted * (1 - 1e-6))
        fail_msg("value %.9g of %.9g at total %g", value, wanted, total);
}

static void test_budget_share_concave_has_equal_marginals(void **state)
{
    struct budget_line lines[] = {{{1000, 1, 50}, 0, INFINITY, 0}, {{400, 0.7, 20}, 0, INFINITY, 0},
        {{2000, 0.9, 300}, 0, INFINITY, 0}};
    (void)state;
    for (double total = 10; total < 5000; total *= 3) {
        check_against_brute_force(lines, total);
        double first = hill_marginal(&lines[0].hill, lines[0].spend);
        for (int c = 1; c < 3; c++)
            if (lines[c].spend > 1e-6 && lines[0].spend > 1e-6)
                assert_near(hill_marginal(&lines[c].hill, lines[c].spend), first, 1e-6);
    }
}

static void test_budget_share_s_shaped_equals_brute_force(void **state)
{
    (void)state;
    for (double total = 5; total < 3000; total *= 2.3) {
        struct budget_line lines[] = {{{1000, 2.5, 80}, 0, INFINITY, 0},
            {{900, 3, 120}, 0, INFINITY, 0}, {{300, 1, 40}, 0, INFINITY, 0}};
        check_against_brute_force(lines, total);
    }
}

static void test_budget_share_bounds_hold(void **state)
{
    struct budget_line lines[] = {
        {{1000, 1, 50}, 0, 30, 0}, {{10, 1, 50}, 60, INFINITY, 0}, {{900, 2, 90}, 15, 150, 0}};
    (void)state;
    for (double total = 75; total <= 300; total += 25)
        check_against_brute_force(lines, total);
    assert_near(lines[0].spend, 30, 1e-9);
    struct budget_line fixed[] = {{{5, 1, 5}, 10, 10, 0}, {{5, 1, 5}, 20, 20, 0}};
    assert_int_equal(budget_share(fixed, 2, 30), 0);
    assert_near(fixed[0].spend, 10, 1e-12);
    assert_near(fixed[1].spend, 20, 1e-12);
}

static void test_budget_share_bad_input_is_named(void **state)
{
    struct budget_line lines[] = {{{5, 1, 5}, 10, 20, 7}, {{5, 1, 5}, 0, 30, 7}};
    (void)state;
    assert_int_equal(budget_share(lines, 0, 30), ERR_EMPTY);
    assert_int_equal(budget_share(lines, BUDGET_CHANNELS_MAX + 1, 30), ERR_TOO_MANY);
    assert_int_equal(budget_share(lines, 2, 9), ERR_NUMBER_RANGE);
    assert_int_equal(budget_share(lines, 2, 51), ERR_NUMBER_RANGE);
    assert_int_equal(budget_share(lines, 2, -1), ERR_VALUE);
    assert_int_equal(budget_share(lines, 2, NAN), ERR_VALUE);
    lines[1].low = 31;
    assert_int_equal(budget_share(lines, 2, 45), ERR_VALUE);
    lines[1].low = -1;
    assert_int_equal(budget_share(lines, 2, 45), ERR_VALUE);
    assert_true(lines[0].spend == 7 && lines[1].spend == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hill_fit_generated_data_recovers_parameters),
        cmocka_unit_test(test_hill_fit_noise_stays_near),
        cmocka_unit_test(test_hill_marginal_is_the_derivative),
        cmocka_unit_test(test_hill_fit_bad_input_is_named),
        cmocka_unit_test(test_hill_fit_nothing_earned_gives_nothing),
        cmocka_unit_test(test_budget_share_concave_has_equal_marginals),
        cmocka_unit_test(test_budget_share_s_shaped_equals_brute_force),
        cmocka_unit_test(test_budget_share_bounds_hold),
        cmocka_unit_test(test_budget_share_bad_input_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
