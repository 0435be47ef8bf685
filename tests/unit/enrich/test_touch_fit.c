#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "enrich/attribution/credit.h"
#include "enrich/attribution/touch_fit.h"
#include "schemas/error.h"
#include "tests/property/random.h"
#include "tests/unit/schemas/failing_alloc.h"

#define LENGTH_MAX 40
#define CHANNELS_MAX 26

/* A path as letters. */
static size_t read_path(struct path_set *set, const char *text, uint32_t *channels)
{
    size_t count = strlen(text);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(path_set_channel(set, str_make(text + i, 1), &channels[i]), 0);
    return count;
}

static void add(struct path_set *set, const char *text, double conversions, double nulls)
{
    uint32_t channels[LENGTH_MAX];
    size_t count = read_path(set, text, channels);
    const struct path_count counted = {.conversions = conversions, .nulls = nulls};
    assert_int_equal(path_set_add(set, channels, count, &counted), 0);
}

/* Parts of 1 that the touches of a path get. */
static void expect_parts(
    const struct touch_fit *fit, struct path_set *set, const char *text, const double *wanted)
{
    CLEANUP(touch_room_free) struct touch_room room = {0};
    uint32_t channels[LENGTH_MAX];
    uint64_t weights[LENGTH_MAX];
    double sum = 0;
    size_t count = read_path(set, text, channels);
    assert_int_equal(touch_fit_weights(fit, &room, channels, count, weights), 0);
    for (size_t i = 0; i < count; i++)
        sum += (double)weights[i];
    for (size_t i = 0; i < count; i++)
        assert_true(fabs((double)weights[i] / sum - wanted[i]) < 1e-9);
}

static void test_touch_fit_of_the_additive_game_shares_alike(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    const double credits[] = {2.0 / 3 + 1, 2.0 / 3 + 1, 2.0 / 3};
    add(&set, "ABCA", 2, 1);
    add(&set, "AB", 2, 9);
    assert_int_equal(touch_fit_solve(&set, credits, &fit), 0);
    assert_true(fabs(fit.distance - 0) < 1e-12);
    expect_parts(&fit, &set, "ABCA", (const double[]){1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6});
    expect_parts(&fit, &set, "AAB", (const double[]){.25, .25, .5});
}

/* AB alone tells: 1 of its 4 conversions is A's. */
static void test_touch_fit_meets_credits_that_can_be_met(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    add(&set, "A", 2, 0);
    add(&set, "AB", 4, 0);
    add(&set, "B", 1, 0);
    assert_int_equal(touch_fit_solve(&set, (const double[]){3, 4}, &fit), 0);
    assert_true(fabs(fit.distance - 0) < 1e-9);
    expect_parts(&fit, &set, "BA", (const double[]){.75, .25});
    expect_parts(&fit, &set, "A", (const double[]){1});
}

/* Five conversions have A alone, so it cannot have but four; AB is then all B's. */
static void test_touch_fit_goes_as_near_as_can_be_where_credits_cannot_be_met(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    add(&set, "A", 5, 0);
    add(&set, "AB", 5, 0);
    assert_int_equal(touch_fit_solve(&set, (const double[]){4, 6}, &fit), 0);
    assert_true(fabs(fit.distance - .1) < 1e-9);
    expect_parts(&fit, &set, "AB", (const double[]){0, 1});
    expect_parts(&fit, &set, "A", (const double[]){1});
}

static void test_touch_fit_channel_without_credit_gets_only_what_nobody_else_can(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    add(&set, "AB", 3, 0);
    add(&set, "AAC", 1, 0);
    assert_int_equal(touch_fit_solve(&set, (const double[]){0, 4, 0}, &fit), 0);
    expect_parts(&fit, &set, "ABA", (const double[]){0, 1, 0});
    expect_parts(&fit, &set, "AAC", (const double[]){.25, .25, .5});
    assert_true(fabs(fit.distance - .25) < 1e-9);
}

static void test_touch_fit_negative_credit_is_none(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    add(&set, "AB", 3, 0);
    add(&set, "BC", 1, 0);
    assert_int_equal(touch_fit_solve(&set, (const double[]){-1, 4, 1}, &fit), 0);
    expect_parts(&fit, &set, "AB", (const double[]){0, 1});
    assert_true(fit.distance > .1);
}

static void test_touch_fit_without_conversions_shares_alike(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    add(&set, "AB", 0, 3);
    add(&set, "", 4, 0);
    assert_int_equal(touch_fit_solve(&set, (const double[]){0, 0}, &fit), 0);
    assert_true(fit.distance == 0);
    expect_parts(&fit, &set, "AB", (const double[]){.5, .5});
}

static void test_touch_fit_of_an_empty_set_is_empty(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    assert_int_equal(touch_fit_solve(&set, NULL, &fit), 0);
    assert_int_equal(fit.count, 0);
}

/* ---- random sets ---- */

static void draw_path(struct random *random, size_t channels, char *text)
{
    size_t length = 1 + random_below(random, 8);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('A' + random_below(random, channels));
    text[length] = 0;
}

/* Credits that hidden factors give: they can be met, and the factors are found again. */
static void expect_found(struct random *random)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    size_t channels = 1 + random_below(random, CHANNELS_MAX);
    struct touch_fit hidden = {.count = CHANNELS_MAX};
    double factors[CHANNELS_MAX], credits[CHANNELS_MAX] = {0};
    char text[LENGTH_MAX];
    hidden.factors = factors;
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        factors[i] = exp((double)random_below(random, 6));
    for (size_t i = random_below(random, 60); i < 60; i++) {
        draw_path(random, channels, text);
        add(&set, text, (double)random_below(random, 20), (double)random_below(random, 3));
    }
    CLEANUP(touch_room_free) struct touch_room room = {0};
    uint64_t weights[LENGTH_MAX];
    for (size_t i = 0; i < set.paths_count; i++) {
        const struct path *path = set.paths[i];
        double sum = 0;
        assert_int_equal(
            touch_fit_weights(&hidden, &room, path->channels, path->length, weights), 0);
        for (size_t k = 0; k < path->length; k++)
            sum += (double)weights[k];
        for (size_t k = 0; k < path->length; k++)
            credits[path->channels[k]] += path->conversions * (double)weights[k] / sum;
    }
    assert_int_equal(touch_fit_solve(&set, credits, &fit), 0);
    assert_true(fit.distance < 1e-9);
}

/* Whatever the credits: weights of every path sum to the whole, and so does the money. */
static void expect_whole(struct random *random)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    CLEANUP(touch_fit_free) struct touch_fit fit = {0};
    CLEANUP(touch_room_free) struct touch_room room = {0};
    CLEANUP(credits_free) struct credits split = {0};
    size_t channels = 1 + random_below(random, CHANNELS_MAX);
    double credits[CHANNELS_MAX];
    char text[LENGTH_MAX];
    uint64_t weights[LENGTH_MAX];
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        credits[i] = random_once_in(random, 3) ? 0 : (double)random_below(random, 1000) - 100;
    for (size_t i = 0; i < 20; i++) {
        draw_path(random, channels, text);
        add(&set, text, (double)random_below(random, 4), 1);
    }
    assert_int_equal(touch_fit_solve(&set, credits, &fit), 0);
    assert_true(isfinite(fit.distance) && fit.distance >= 0);
    for (size_t i = 0; i < set.paths_count; i++) {
        const struct path *path = set.paths[i];
        int64_t revenue = (int64_t)random_next(random), ppb = 0, minor = 0;
        assert_int_equal(touch_fit_weights(&fit, &room, path->channels, path->length, weights), 0);
        assert_int_equal(
            credits_of_weights(&split, RULE_MODEL_UNKNOWN, weights, path->length, revenue), 0);
        for (size_t k = 0; k < split.count; k++) {
            assert_true(split.items[k].weight_ppb >= 0);
            ppb += split.items[k].weight_ppb;
            minor += split.items[k].revenue_minor;
        }
        assert_int_equal(ppb, CREDIT_WHOLE_PPB);
        assert_int_equal(minor, revenue);
    }
}

static void test_touch_fit_of_random_sets_sums_exactly(void **state)
{
    struct random random = random_begin();
    for (size_t i = 0; i < 300; i++) {
        expect_found(&random);
        expect_whole(&random);
    }
}

static void test_credits_of_weights_without_touches_are_unattributed(void **state)
{
    CLEANUP(credits_free) struct credits credits = {0};
    assert_int_equal(credits_of_weights(&credits, RULE_MODEL_UNKNOWN, NULL, 0, -7), 0);
    assert_int_equal(credits.count, 1);
    assert_int_equal(credits.items[0].touch_index, CREDIT_UNATTRIBUTED);
    assert_int_equal(credits.items[0].weight_ppb, CREDIT_WHOLE_PPB);
    assert_int_equal(credits.items[0].revenue_minor, -7);
    assert_int_equal(credits_of_weights(&credits, RULE_MODEL_UNKNOWN, NULL, SPLIT_COUNT_MAX + 1, 0),
        ERR_TOO_MANY);
}

static void test_touch_fit_every_allocation_failing_survives(void **state)
{
    CLEANUP(path_set_free) struct path_set set = {0};
    bool happened = true;
    add(&set, "ABCA", 2, 1);
    add(&set, "CB", 2, 9);
    for (size_t nth = 1; happened; nth++) {
        CLEANUP(touch_fit_free) struct touch_fit fit = {0};
        failing_alloc_at(nth);
        int r = touch_fit_solve(&set, (const double[]){1, 1, 2}, &fit);
        happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touch_fit_of_the_additive_game_shares_alike),
        cmocka_unit_test(test_touch_fit_meets_credits_that_can_be_met),
        cmocka_unit_test(test_touch_fit_goes_as_near_as_can_be_where_credits_cannot_be_met),
        cmocka_unit_test(test_touch_fit_channel_without_credit_gets_only_what_nobody_else_can),
        cmocka_unit_test(test_touch_fit_negative_credit_is_none),
        cmocka_unit_test(test_touch_fit_without_conversions_shares_alike),
        cmocka_unit_test(test_touch_fit_of_an_empty_set_is_empty),
        cmocka_unit_test(test_touch_fit_of_random_sets_sums_exactly),
        cmocka_unit_test(test_credits_of_weights_without_touches_are_unattributed),
        cmocka_unit_test(test_touch_fit_every_allocation_failing_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
