/* Budgets: what brute force and a fine plan find, and what must hold of any best share. */
#include "enrich/attribution/budget_share.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

#define LINES_MAX 8
#define FINE_STEPS 1000

static void assert_near(double seen, double wanted, double relative)
{
    if (!(fabs(seen - wanted) <= relative * fmax(fabs(wanted), 1e-12)))
        fail_msg("%.12g, wanted %.12g", seen, wanted);
}

/* ---- what holds of a best share ---- */

/* No unit of money would earn more elsewhere; bounds and total are met exactly. */
static void check_share(const struct budget_line *lines, size_t count, double total, int number)
{
    double sum = 0, value = 0;
    int rising = 0;
    for (size_t i = 0; i < count; i++)
        value += hill_value(&lines[i].hill, lines[i].spend);
    for (size_t i = 0; i < count; i++) {
        const struct budget_line *giver = &lines[i];
        if (!(giver->spend >= giver->low && giver->spend <= giver->high))
            fail_msg("case %d: line %zu has %.17g", number, i, giver->spend);
        sum += giver->spend;
        rising += giver->spend > giver->low && giver->spend < giver->high &&
                  giver->spend < hill_inflection(&giver->hill) * (1 - 1e-9);
        for (size_t k = 0; k < count; k++) {
            double lost = hill_marginal(&giver->hill, giver->spend);
            double won = hill_marginal(&lines[k].hill, lines[k].spend + 1e-12 * total);
            bool can = giver->spend > giver->low && lines[k].spend < lines[k].high;
            bool seen = won * total > 1e-15 * value; /* else rounding hides it */
            if (k != i && can && seen && won > lost * (1 + 1e-6))
                fail_msg("case %d: of %zu lines, %zu with %.9g earns %.12g more, %zu with %.9g "
                         "%.12g",
                    number, count, i, giver->spend, lost, k, lines[k].spend, won);
        }
    }
    if (rising > 1)
        fail_msg("case %d: %d lines on their rising side", number, rising);
    if (!(fabs(sum - total) <= 4e-16 * (double)count * total))
        fail_msg("case %d: %.17g of %.17g", number, sum, total);
}

/* The best of a grid of FINE_STEPS, by a plan of its own. */
static double fine_plan(const struct budget_line *lines, size_t count, double total)
{
    static double best[FINE_STEPS + 1], next[FINE_STEPS + 1], value[FINE_STEPS + 1];
    double low = 0;
    for (size_t i = 0; i < count; i++)
        low += lines[i].low;
    double step = (total - low) / FINE_STEPS;
    for (int s = 0; s <= FINE_STEPS; s++)
        best[s] = 0;
    for (size_t i = 0; i < count; i++) {
        int most = 0;
        for (int k = 0; k <= FINE_STEPS && lines[i].low + k * step <= lines[i].high; k++) {
            value[k] = hill_value(&lines[i].hill, lines[i].low + k * step);
            most = k;
        }
        for (int s = 0; s <= FINE_STEPS; s++) {
            next[s] = -INFINITY;
            for (int k = 0; k <= s && k <= most; k++)
                next[s] = fmax(next[s], best[s - k] + value[k]);
        }
        for (int s = 0; s <= FINE_STEPS; s++)
            best[s] = next[s];
    }
    return best[FINE_STEPS];
}

/* ---- random lines ---- */

static uint64_t random_state;

static double uniform(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

/* Curves of all shapes, many S-shaped, a third of the lines bounded on each side. */
static double draw_lines(struct budget_line *lines, size_t count, int number)
{
    double low = 0, high = 0;
    random_state = 0x9E3779B97F4A7C15u * (uint64_t)(number + 1);
    for (int i = 0; i < 8; i++)
        (void)uniform(0, 1);
    for (size_t i = 0; i < count; i++) {
        double size = exp(uniform(0, 6));
        lines[i] = (struct budget_line){
            .hill = {exp(uniform(0, 7)), uniform(0.3, 5), size * exp(uniform(-1, 2))},
            .high = INFINITY};
        if (uniform(0, 3) < 1)
            lines[i].low = uniform(0, size);
        if (uniform(0, 3) < 1)
            lines[i].high = lines[i].low + uniform(0, 2 * size);
        low += lines[i].low;
        high += fmin(lines[i].high, lines[i].low + 3 * size);
    }
    return uniform(low, high);
}

static void test_budget_share_random_lines_no_unit_earns_more_elsewhere(void **state)
{
    (void)state;
    for (int number = 0; number < 1500; number++) {
        struct budget_line lines[LINES_MAX];
        size_t count = 1 + (size_t)number % LINES_MAX;
        double total = draw_lines(lines, count, number);
        assert_int_equal(budget_share(lines, count, total), 0);
        check_share(lines, count, total, number);
    }
}

static void test_budget_share_random_lines_beat_a_fine_plan(void **state)
{
    (void)state;
    for (int number = 0; number < 150; number++) {
        struct budget_line lines[LINES_MAX];
        size_t count = 2 + (size_t)number % (LINES_MAX - 1);
        double total = draw_lines(lines, count, number), value = 0;
        assert_int_equal(budget_share(lines, count, total), 0);
        for (size_t i = 0; i < count; i++)
            value += hill_value(&lines[i].hill, lines[i].spend);
        double wanted = fine_plan(lines, count, total);
        if (value < wanted * (1 - 1e-10))
            fail_msg("case %d: %.12g of %.12g", number, value, wanted);
    }
}

/* Between the grid's points a rising line would stop before its bound. */
static void test_budget_share_rising_line_reaches_its_bound(void **state)
{
    struct budget_line lines[] = {{{500, 3, 400}, 0, 50.3, 0}, {{40, 0.8, 30}, 100, INFINITY, 0},
        {{60, 1, 20}, 0, INFINITY, 0}};
    (void)state;
    assert_int_equal(budget_share(lines, 3, 1000), 0);
    assert_true(lines[0].spend == 50.3);
    check_share(lines, 3, 1000, 0);
}

static void test_budget_share_one_rising_line_has_the_common_marginal(void **state)
{
    struct budget_line lines[] = {{{5000, 2, 1000}, 0, INFINITY, 0}, {{60, 1, 20}, 0, INFINITY, 0}};
    (void)state;
    assert_int_equal(budget_share(lines, 2, 300), 0);
    assert_true(lines[0].spend < hill_inflection(&lines[0].hill));
    assert_true(lines[1].spend > 0);
    assert_near(hill_marginal(&lines[0].hill, lines[0].spend),
        hill_marginal(&lines[1].hill, lines[1].spend), 1e-9);
}

static void test_budget_share_many_lines_end(void **state)
{
    static struct budget_line lines[BUDGET_CHANNELS_MAX];
    (void)state;
    double total = draw_lines(lines, BUDGET_CHANNELS_MAX, 1);
    assert_int_equal(budget_share(lines, BUDGET_CHANNELS_MAX, total), 0);
    check_share(lines, BUDGET_CHANNELS_MAX, total, 1);
    for (int i = 0; i < 12; i++)
        lines[i] = (struct budget_line){{100, 4, 70}, 0, 60, 0};
    assert_int_equal(budget_share(lines, 12, 250), 0);
    check_share(lines, 12, 250, 2);
    for (int i = 0; i < 12; i++)
        lines[i] = (struct budget_line){{0, 4, 70}, 0, 60, 0};
    assert_int_equal(budget_share(lines, 12, 250), 0);
    check_share(lines, 12, 250, 3);
}

/* ---- three lines ---- */

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
        cmocka_unit_test(test_budget_share_concave_has_equal_marginals),
        cmocka_unit_test(test_budget_share_s_shaped_equals_brute_force),
        cmocka_unit_test(test_budget_share_bounds_hold),
        cmocka_unit_test(test_budget_share_bad_input_is_named),
        cmocka_unit_test(test_budget_share_random_lines_no_unit_earns_more_elsewhere),
        cmocka_unit_test(test_budget_share_random_lines_beat_a_fine_plan),
        cmocka_unit_test(test_budget_share_rising_line_reaches_its_bound),
        cmocka_unit_test(test_budget_share_one_rising_line_has_the_common_marginal),
        cmocka_unit_test(test_budget_share_many_lines_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
