/* Hill curves: parameters that are known. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hill_fit_generated_data_recovers_parameters),
        cmocka_unit_test(test_hill_fit_noise_stays_near),
        cmocka_unit_test(test_hill_marginal_is_the_derivative),
        cmocka_unit_test(test_hill_fit_bad_input_is_named),
        cmocka_unit_test(test_hill_fit_nothing_earned_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
