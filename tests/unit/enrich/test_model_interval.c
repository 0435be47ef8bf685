#include "enrich/attribution/model_interval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CHANNELS 3

/* Three channels that convert alike, so that what tells their intervals apart is chance. */
static void fill(struct path_set *set, double times)
{
    static const struct {
        const char *names[2];
        size_t length;
        double conversions, nulls;
    } paths[] = {
        {{"a"}, 1, 20, 80}, {{"b"}, 1, 20, 80}, {{"a", "b"}, 2, 30, 60}, {{"c", "a"}, 2, 30, 60}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        uint32_t channels[2];
        for (size_t k = 0; k < paths[i].length; k++)
            assert_int_equal(path_set_channel(set, str_of(paths[i].names[k]), &channels[k]), 0);
        const struct path_count count = {
            .conversions = paths[i].conversions * times, .nulls = paths[i].nulls * times};
        assert_int_equal(path_set_add(set, channels, paths[i].length, &count), 0);
    }
}

static void solve(double times, uint64_t seed, struct model_credit out[CHANNELS])
{
    struct path_set set = {0};
    struct model_credit rest;
    const struct model_options options = {.kind = MODEL_KIND_MARKOV, .order = 1, .seed = seed};
    fill(&set, times);
    assert_int_equal(set.channels_count, CHANNELS);
    assert_int_equal(model_solve_paths(&options, &set, out, &rest), 0);
    assert_int_equal(model_solve_intervals(&options, &set, 200, out), 0);
    path_set_free(&set);
}

static void test_intervals_hold_the_figure_and_shrink_with_the_data(void **state)
{
    (void)state;
    struct model_credit few[CHANNELS], many[CHANNELS];
    solve(1, 3, few);
    solve(100, 3, many);
    for (size_t i = 0; i < CHANNELS; i++) {
        assert_true(few[i].low < few[i].conversions && few[i].conversions < few[i].high);
        assert_true(many[i].low < many[i].conversions && many[i].conversions < many[i].high);
        double part = (many[i].high - many[i].low) / (100 * (few[i].high - few[i].low));
        assert_true(part > 0.05 && part < 0.2); /* a tenth, by the root of 100 */
    }
}

static void test_intervals_follow_from_the_seed(void **state)
{
    (void)state;
    struct model_credit one[CHANNELS], again[CHANNELS], other[CHANNELS];
    solve(1, 3, one);
    solve(1, 3, again);
    solve(1, 4, other);
    for (size_t i = 0; i < CHANNELS; i++) {
        assert_true(one[i].low == again[i].low && one[i].high == again[i].high);
        assert_true(one[i].low != other[i].low && one[i].conversions == other[i].conversions);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_hold_the_figure_and_shrink_with_the_data),
        cmocka_unit_test(test_intervals_follow_from_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
