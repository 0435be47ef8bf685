#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/attribution/model_solve.h"
#include "schemas/error.h"
#include "tests/property/random.h"

#define CHANNELS 7
#define CASES 60
#define PATHS_MAX 60
#define LENGTH_MAX 12
#define COUNTS_MAX 4096
#define CONVERTING 0
#define OPEN 1

struct journeys {
    struct path_set set;
    struct counts counts;
    double unattributed, unattributed_value;
};

/* A path into the set and into the counts. */
static void add_path(struct journeys *journeys, const struct model *model, struct counts_path path,
    bool converts, int64_t value)
{
    const struct counts_shape shape = model_shape(model->kind, model->order);
    const struct path_count count = {converts, converts ? (double)value : 0, !converts};
    assert_int_equal(path_set_add(&journeys->set, path.channels, path.length, &count), 0);
    if (path.length == 0 && converts) {
        journeys->unattributed++;
        journeys->unattributed_value += (double)value;
    }
    if (!converts && (path.length == 0 || !model_counts_open(model)))
        return;
    assert_int_equal(counts_add(&journeys->counts, &shape,
                         (struct counts_label){0, converts ? CONVERTING : OPEN}, path, 0,
                         (struct counts_amount){1, converts ? value : 0}),
        0);
}

static void draw(struct random *random, const struct model *model, struct journeys *out)
{
    size_t paths = 1 + random_below(random, PATHS_MAX);
    bool values = !random_once_in(random, 4);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char name[2] = {(char)('A' + i), 0};
        uint32_t number;
        assert_int_equal(path_set_channel(&out->set, str_make(name, 1), &number), 0);
    }
    for (size_t i = 0; i < paths; i++) {
        uint32_t channels[LENGTH_MAX];
        size_t length = random_below(random, LENGTH_MAX + 1);
        for (size_t k = 0; k < length; k++)
            channels[k] = (uint32_t)random_below(random, CHANNELS);
        add_path(out, model, (struct counts_path){channels, length}, !random_once_in(random, 3),
            values ? (int64_t)random_below(random, 10000) : 0);
    }
}

static size_t list_counts(const struct counts *counts, struct markov_count *out)
{
    assert_true(counts->entries_count <= COUNTS_MAX);
    for (size_t i = 0; i < counts->entries_count; i++) {
        const struct counts_entry *entry = &counts->entries[i];
        out[i] = (struct markov_count){entry->channels, entry->from_count, entry->to_count,
            entry->label.group == CONVERTING, (double)entry->paths, (double)entry->value};
    }
    return counts->entries_count;
}

static void assert_near(double found, double wanted)
{
    if (isnan(wanted))
        assert_true(isnan(found));
    else
        assert_true(fabs(found - wanted) <= 1e-12 * fmax(1, fabs(wanted)));
}

static void compare(const struct model *model, struct journeys *journeys)
{
    static struct markov_count list[COUNTS_MAX];
    struct model_credit wanted[CHANNELS], found[CHANNELS], rest;
    const struct model_options options = {.kind = model->kind,
        .order = model->order,
        .ignore_nulls = model->ignore_nulls,
        .samples = 10};
    size_t count = list_counts(&journeys->counts, list);
    int r = model_solve_paths(&options, &journeys->set, wanted, &rest);
    if (r == ERR_VALUE) /* an order beyond the data, which counts do not know of */
        return;
    assert_int_equal(r, 0);
    assert_true(rest.conversions == journeys->unattributed);
    assert_true(rest.value == journeys->unattributed_value);
    assert_int_equal(model_solve_counts(&options, list, count, CHANNELS, found, &rest), 0);
    assert_true(rest.conversions == journeys->unattributed);
    assert_true(rest.value == journeys->unattributed_value);
    for (size_t i = 0; i < CHANNELS; i++) {
        assert_near(found[i].conversions, wanted[i].conversions);
        assert_near(found[i].effect, wanted[i].effect);
        assert_near(found[i].value_effect, wanted[i].value_effect);
        assert_near(found[i].value, wanted[i].value);
    }
}

static void test_model_solve_counts_equals_solving_the_paths(void **state)
{
    struct random random = random_begin();
    for (int kind = MODEL_KIND_MARKOV; kind < MODEL_KIND_COUNT; kind++) {
        for (int i = 0; i < CASES; i++) {
            struct model model = {.kind = (enum model_kind)kind, .order = 1};
            struct journeys journeys = {.unattributed = 0};
            if (kind == MODEL_KIND_MARKOV) {
                model.order = 1 + i % MARKOV_ORDER_MAX;
                model.ignore_nulls = i % 4 == 0;
            }
            draw(&random, &model, &journeys);
            compare(&model, &journeys);
            counts_free(&journeys.counts);
            path_set_free(&journeys.set);
        }
    }
}

/* A sink may read counts of which only some are new. */
static void test_model_solve_counts_of_half_a_change_is_an_error(void **state)
{
    const uint32_t a = 0, ab[] = {0, 1}, b = 1;
    const struct markov_count counts[] = {
        {&a, 0, 1, true, 5, 0},
        {ab, 1, 1, true, 5, 0},
        {&b, 1, 0, true, 5, 10},
    };
    const struct model_options options = {.kind = MODEL_KIND_MARKOV, .order = 1};
    struct model_credit credits[2], rest;
    assert_int_equal(model_solve_counts(&options, counts, 3, 2, credits, &rest), 0);
    assert_true(credits[0].conversions == 2.5);
    assert_int_equal(model_solve_counts(&options, counts, 2, 2, credits, &rest), ERR_STATE);
    assert_int_equal(model_solve_counts(&options, counts + 1, 2, 2, credits, &rest), ERR_STATE);
    assert_int_equal(model_solve_counts(&options, counts, 0, 2, credits, &rest), 0);
    assert_true(credits[0].conversions == 0);
}

static void test_model_solve_counts_that_are_none_is_an_error(void **state)
{
    const uint32_t abc[] = {0, 1, 2};
    struct markov_count count = {abc, 0, 3, true, 1, 0};
    struct model_options options = {.kind = MODEL_KIND_MARKOV, .order = 2};
    struct model_credit credits[3], rest;
    assert_int_equal(model_solve_counts(&options, &count, 1, 3, credits, &rest), ERR_VALUE);
    count = (struct markov_count){abc, 0, 1, true, NAN, 0};
    assert_int_equal(model_solve_counts(&options, &count, 1, 3, credits, &rest), ERR_VALUE);
    count.paths = PATH_SET_TOTAL_MAX * 2;
    assert_int_equal(model_solve_counts(&options, &count, 1, 3, credits, &rest), ERR_TOO_LARGE);
    options.order = 7;
    count.paths = 1;
    assert_int_equal(model_solve_counts(&options, &count, 1, 3, credits, &rest), ERR_VALUE);
}

/* The values of paths, conversions and nulls into a set of the channels A, B, C. */
struct written {
    const char *path;
    struct path_count count;
};

static void write_set(const struct written *written, size_t count, struct path_set *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t channels[LENGTH_MAX];
        size_t length = strlen(written[i].path);
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(path_set_channel(out, str_make(&"ABC"[k], 1), &channels[0]), 0);
        for (size_t k = 0; k < length; k++)
            channels[k] = (uint32_t)(written[i].path[k] - 'A');
        assert_int_equal(path_set_add(out, channels, length, &written[i].count), 0);
    }
}

static int solve_written(enum model_kind kind, const struct written *written, size_t count,
    struct model_credit credits[3], struct model_credit *rest)
{
    struct path_set set = {0};
    const struct model_options options = {.kind = kind, .order = 1, .samples = 10};
    write_set(written, count, &set);
    int r = model_solve_paths(&options, &set, credits, rest);
    path_set_free(&set);
    return r;
}

static void test_model_solve_values_that_cancel_leave_no_noise(void **state)
{
    /* .1 + .2 - .3 is 2^-54 as doubles: of one path, of paths that end alike, of paths that do not
     */
    static const struct written sets[][3] = {
        {{"AB", {1, .1, 0}}, {"AB", {1, .2, 1}}, {"AB", {1, -.3, 0}}},
        {{"AB", {1, .1, 0}}, {"CB", {1, .2, 1}}, {"B", {1, -.3, 0}}},
        {{"A", {1, .1, 0}}, {"B", {1, .2, 1}}, {"C", {1, -.3, 0}}},
    };
    struct model_credit credits[3], rest;
    for (int kind = MODEL_KIND_MARKOV; kind < MODEL_KIND_COUNT; kind++)
        for (size_t i = 0; i < 3; i++) {
            double sum = 0, conversions = 0;
            assert_int_equal(solve_written((enum model_kind)kind, sets[i], 3, credits, &rest), 0);
            for (size_t k = 0; k < 3; k++) {
                sum += credits[k].value;
                conversions += credits[k].conversions;
                assert_true(fabs(credits[k].value) <= .3);
                assert_false(fabs(credits[k].value_effect) > 1);
            }
            assert_true(fabs(sum) < 1e-15 && rest.value == 0);
            assert_true(fabs(conversions - 3) < 1e-12);
        }
}

static void test_model_solve_effects_that_cancel_are_said(void **state)
{
    /* 4 in all; A takes 3, B 3, C -6 with it */
    static const struct written set[] = {{"A", {1, 5, 0}}, {"AC", {1, -2, 0}}, {"B", {1, 5, 0}},
        {"BC", {1, -2, 0}}, {"C", {1, -2, 0}}};
    struct model_credit credits[3], rest;
    assert_int_equal(solve_written(MODEL_KIND_MARKOV, set, 5, credits, &rest), MODEL_VALUE_FOLLOWS);
    double sum = 0;
    for (size_t k = 0; k < 3; k++) {
        assert_near(credits[k].value / 4, credits[k].conversions / 5);
        sum += credits[k].value;
    }
    assert_near(sum, 4);
}

static void test_model_solve_value_without_conversions_reconciles(void **state)
{
    static const struct written visited = {"AB", {0, 5, 1}}, adrift = {"AB", {0, 5, 0}};
    struct model_credit credits[3], rest;
    for (int kind = MODEL_KIND_MARKOV; kind < MODEL_KIND_COUNT; kind++)
        for (int i = 0; i < 2; i++) {
            const struct written *set = i ? &adrift : &visited;
            assert_int_equal(solve_written((enum model_kind)kind, set, 1, credits, &rest), 0);
            assert_near(credits[0].value, credits[1].value);
            assert_near(credits[0].value + credits[1].value + rest.value, 5);
            assert_true(credits[0].conversions == 0 && rest.conversions == 0);
            /* by value per visit, or shared as they are; who goes by rates cannot tell */
            bool shares = (kind == MODEL_KIND_MARKOV && i == 0) || kind == MODEL_KIND_SHAPLEY ||
                          kind == MODEL_KIND_SHAPLEY_ORDERED;
            assert_near(rest.value, shares ? 0 : 5);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_solve_counts_equals_solving_the_paths),
        cmocka_unit_test(test_model_solve_values_that_cancel_leave_no_noise),
        cmocka_unit_test(test_model_solve_effects_that_cancel_are_said),
        cmocka_unit_test(test_model_solve_value_without_conversions_reconciles),
        cmocka_unit_test(test_model_solve_counts_of_half_a_change_is_an_error),
        cmocka_unit_test(test_model_solve_counts_that_are_none_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
