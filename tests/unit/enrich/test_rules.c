#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "enrich/attribution/rules.h"

#define DAY ((int64_t)86400 * 1000000)

static void weights_of(
    enum rule_model model, const struct rule_touch *touches, size_t count, double *out)
{
    const struct rule_config config = rule_config_default();
    uint64_t weights[16];
    double sum = 0;
    rule_weights(model, &config, touches, count, weights);
    for (size_t i = 0; i < count; i++)
        sum += (double)weights[i];
    for (size_t i = 0; i < count; i++)
        out[i] = (double)weights[i] / sum;
}

static void expect(
    enum rule_model model, const struct rule_touch *touches, size_t count, const double *wanted)
{
    double found[16];
    weights_of(model, touches, count, found);
    for (size_t i = 0; i < count; i++)
        if (fabs(found[i] - wanted[i]) > 1e-9)
            fail_msg("%s of %zu touches: weight %zu is %.12f, wanted %.12f", rule_model_name(model),
                count, i, found[i], wanted[i]);
}

#define EXPECT(model, touches, ...)                                                                \
    expect(model, touches, sizeof(touches) / sizeof(touches)[0], (const double[]){__VA_ARGS__})

static const struct rule_touch four[] = {
    {0, false}, {DAY, true}, {2 * DAY, false}, {3 * DAY, true}};
static const struct rule_touch two[] = {{0, false}, {DAY, true}};
static const struct rule_touch only[] = {{0, true}};
static const struct rule_touch all_direct[] = {{0, true}, {DAY, true}};

static void test_rule_weights_first_and_last_take_all(void **state)
{
    EXPECT(RULE_MODEL_FIRST, four, 1, 0, 0, 0);
    EXPECT(RULE_MODEL_LAST, four, 0, 0, 0, 1);
    EXPECT(RULE_MODEL_FIRST, only, 1);
    EXPECT(RULE_MODEL_LAST, only, 1);
}

static void test_rule_weights_last_non_direct_passes_over_direct(void **state)
{
    EXPECT(RULE_MODEL_LAST_NON_DIRECT, four, 0, 0, 1, 0);
    EXPECT(RULE_MODEL_LAST_NON_DIRECT, two, 1, 0);
}

static void test_rule_weights_last_non_direct_of_direct_only_is_the_last(void **state)
{
    EXPECT(RULE_MODEL_LAST_NON_DIRECT, all_direct, 0, 1);
    EXPECT(RULE_MODEL_LAST_NON_DIRECT, only, 1);
}

#define LEAD RULE_TOUCH_LEAD
#define OPPORTUNITY RULE_TOUCH_OPPORTUNITY

static const struct rule_touch reached[] = {{0, false, 0, 0}, {DAY, true, 0, 0},
    {2 * DAY, false, LEAD, 0}, {3 * DAY, true, OPPORTUNITY, 0}, {4 * DAY, false, LEAD, 0}};
static const struct rule_touch at_once[] = {
    {0, false, LEAD | OPPORTUNITY, 0}, {DAY, true, 0, 0}, {2 * DAY, true, 0, 0}};

/* Source: ATTRIBUTION, "Rule models". */
static void test_rule_weights_milestones_have_their_parts(void **state)
{
    EXPECT(RULE_MODEL_W_SHAPE, reached, .3, .05, .3, .3, .05);
    EXPECT(RULE_MODEL_FULL_PATH, reached, .225, .1, .225, .225, .225);
    EXPECT(RULE_MODEL_W_SHAPE, at_once, .9, .05, .05);
    EXPECT(RULE_MODEL_FULL_PATH, at_once, .675, .1, .225);
}

static void test_rule_weights_milestones_that_are_absent_are_dropped(void **state)
{
    EXPECT(RULE_MODEL_W_SHAPE, only, 1);
    EXPECT(RULE_MODEL_FULL_PATH, only, 1);
    EXPECT(RULE_MODEL_W_SHAPE, two, .75, .25);
    EXPECT(RULE_MODEL_FULL_PATH, two, .5, .5);
}

static void test_rule_weights_custom_is_thirds_where_nothing_is_said(void **state)
{
    EXPECT(RULE_MODEL_CUSTOM, four, 1. / 3, 1. / 6, 1. / 6, 1. / 3);
    EXPECT(RULE_MODEL_CUSTOM, two, .5, .5);
}

static void test_rule_weights_linear_shares_alike(void **state)
{
    EXPECT(RULE_MODEL_LINEAR, four, .25, .25, .25, .25);
}

static void test_rule_weights_positions_of_one_two_and_four(void **state)
{
    EXPECT(RULE_MODEL_POSITION, only, 1);
    EXPECT(RULE_MODEL_POSITION, two, .5, .5);
    EXPECT(RULE_MODEL_POSITION, four, .4, .1, .1, .4);
    EXPECT(RULE_MODEL_J_SHAPE, two, .25, .75);
    EXPECT(RULE_MODEL_J_SHAPE, four, .2, .1, .1, .6);
    EXPECT(RULE_MODEL_INVERSE_J, only, 1);
    EXPECT(RULE_MODEL_INVERSE_J, two, .75, .25);
    EXPECT(RULE_MODEL_INVERSE_J, four, .6, .1, .1, .2);
}

static void test_rule_weights_position_with_empty_ends_still_weighs_two(void **state)
{
    struct rule_config config = rule_config_default();
    uint64_t weights[2];
    config.position = (struct rule_position){0, 1, 0};
    rule_weights(RULE_MODEL_POSITION, &config, two, 2, weights);
    assert_int_equal(weights[0], weights[1]);
    assert_true(weights[0] > 0);
}

/* Source: ATTRIBUTION, "Check": $50.00 over search 9 d, social 6 d, e-mail and display 0 d before.
 */
static void test_rule_weights_time_decay_halves_in_seven_days(void **state)
{
    const struct rule_touch touches[] = {
        {0, false}, {3 * DAY, false}, {9 * DAY, false}, {9 * DAY, false}};
    double found[4];
    weights_of(RULE_MODEL_TIME_DECAY, touches, 4, found);
    assert_int_equal(lround(found[0] * 5000), 692);
    assert_int_equal(lround(found[1] * 5000), 932);
    assert_int_equal(lround(found[2] * 5000), 1688);
    assert_int_equal(lround(found[3] * 5000), 1688);
}

static void test_rule_weights_time_decay_of_far_times_does_not_overflow(void **state)
{
    const struct rule_touch touches[] = {
        {INT64_MIN, false}, {INT64_MAX - 1, false}, {INT64_MAX, false}};
    double found[3];
    weights_of(RULE_MODEL_TIME_DECAY, touches, 3, found);
    assert_true(found[0] == 0.0);
    assert_true(fabs(found[1] - .5) < 1e-9);
}

static void test_rule_decay_agrees_with_exp2(void **state)
{
    const uint64_t half_life = 7 * DAY;
    for (uint64_t age = 0; age < 300 * (uint64_t)DAY; age += (uint64_t)DAY / 7 + 12345) {
        double wanted = exp2(-(double)age / (double)half_life) * (double)RULE_DECAY_ONE;
        if (fabs((double)rule_decay(age, half_life) - wanted) > 1.0)
            fail_msg("age %llu", (unsigned long long)age);
    }
    assert_int_equal(rule_decay(0, half_life), RULE_DECAY_ONE);
    assert_int_equal(rule_decay(half_life, half_life), RULE_DECAY_ONE / 2);
    assert_int_equal(rule_decay(50 * half_life, half_life), 1);
    assert_int_equal(rule_decay(52 * half_life, half_life), 0);
    assert_int_equal(rule_decay(UINT64_MAX, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_weights_first_and_last_take_all),
        cmocka_unit_test(test_rule_weights_last_non_direct_passes_over_direct),
        cmocka_unit_test(test_rule_weights_last_non_direct_of_direct_only_is_the_last),
        cmocka_unit_test(test_rule_weights_milestones_have_their_parts),
        cmocka_unit_test(test_rule_weights_milestones_that_are_absent_are_dropped),
        cmocka_unit_test(test_rule_weights_custom_is_thirds_where_nothing_is_said),
        cmocka_unit_test(test_rule_weights_linear_shares_alike),
        cmocka_unit_test(test_rule_weights_positions_of_one_two_and_four),
        cmocka_unit_test(test_rule_weights_position_with_empty_ends_still_weighs_two),
        cmocka_unit_test(test_rule_weights_time_decay_halves_in_seven_days),
        cmocka_unit_test(test_rule_weights_time_decay_of_far_times_does_not_overflow),
        cmocka_unit_test(test_rule_decay_agrees_with_exp2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
