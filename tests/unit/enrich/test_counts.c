#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/attribution/chain.h"
#include "enrich/attribution/counts.h"
#include "schemas/error.h"
#include "tests/property/random.h"

#define PATHS 40 /* that stand at once */
#define LENGTH_MAX 9
#define CHANNELS 4
#define CHANGES 1500
#define COMPARE_EVERY 50

struct standing {
    uint32_t channels[LENGTH_MAX];
    size_t length;
    struct counts_amount amount;
    bool there;
};

static struct standing random_path(struct random *random)
{
    struct standing path = {.there = true, .length = random_below(random, LENGTH_MAX + 1)};
    for (size_t i = 0; i < path.length; i++)
        path.channels[i] = (uint32_t)random_below(random, CHANNELS);
    int64_t scale = random_once_in(random, 10) ? 1000000000 : 5;
    path.amount.conversions = (int64_t)random_below(random, 4) * scale;
    path.amount.nulls = (int64_t)random_below(random, 4) * scale;
    path.amount.value = path.amount.conversions * (int64_t)random_below(random, 1000);
    return path;
}

/* What the batch counts of a transition stands in the counts too; returns how many these are. */
static size_t compare_ends(const struct chain *chain, const struct counts *counts, size_t state)
{
    size_t order = (size_t)chain->order, found = 0;
    const struct chain_state *s = &chain->states[state];
    const uint32_t *tuple = chain->tuples + state * order;
    const double wanted[3] = {s->start, s->conversions, s->nulls};
    const uint32_t mark[3] = {COUNTS_NONE, COUNTS_CONVERSION, COUNTS_NULL};
    for (int i = 0; i < 3; i++) {
        uint32_t key[2 * MARKOV_ORDER_MAX];
        memset(key, 0xff, sizeof key);
        memcpy(i == 0 ? key + order : key, tuple, order * sizeof *tuple);
        if (i > 0)
            key[order] = mark[i];
        struct counts_cell cell = counts_of(counts, key);
        assert_true((double)cell.count == wanted[i]);
        assert_true((double)cell.value == (i == 1 ? s->value : 0));
        found += wanted[i] > 0;
    }
    return found;
}

static void compare(const struct standing *paths, const struct counts *counts)
{
    struct path_set set = {0};
    for (size_t i = 0; i < PATHS; i++) {
        struct path_count count = {(double)paths[i].amount.conversions,
            (double)paths[i].amount.value, (double)paths[i].amount.nulls};
        if (paths[i].there)
            assert_int_equal(path_set_add(&set, paths[i].channels, paths[i].length, &count), 0);
    }
    struct chain chain = {0};
    struct markov_options options = {.order = counts->order};
    size_t found = 0, order = (size_t)counts->order;
    if (set.longest >= order) {
        assert_int_equal(chain_build(&set, &options, &chain), 0);
        for (size_t i = 0; i < chain.states_count; i++)
            found += compare_ends(&chain, counts, i);
        for (size_t i = 0; i < chain.edges_count; i++, found++) {
            uint32_t key[2 * MARKOV_ORDER_MAX];
            memcpy(key, chain.tuples + chain.edges[i].from * order, order * sizeof *key);
            memcpy(key + order, chain.tuples + chain.edges[i].to * order, order * sizeof *key);
            assert_true((double)counts_of(counts, key).count == chain.edges[i].weight);
        }
        assert_int_equal(counts->used, found);
    }
    chain_free(&chain);
    path_set_free(&set);
}

static void run_history(struct random *random, int order)
{
    struct standing paths[PATHS] = {0};
    struct counts counts = {.order = order};
    for (size_t i = 0; i < CHANGES; i++) {
        struct standing *path = &paths[random_below(random, PATHS)];
        if (path->there)
            assert_int_equal(
                counts_remove(&counts, path->channels, path->length, &path->amount), 0);
        path->there = false;
        if (!random_once_in(random, 3)) {
            *path = random_path(random);
            assert_int_equal(counts_add(&counts, path->channels, path->length, &path->amount), 0);
        }
        if (i % COMPARE_EVERY == 0)
            compare(paths, &counts);
    }
    compare(paths, &counts);
    for (size_t i = 0; i < PATHS; i++)
        if (paths[i].there)
            assert_int_equal(
                counts_remove(&counts, paths[i].channels, paths[i].length, &paths[i].amount), 0);
    assert_int_equal(counts.used, 0);
    counts_free(&counts);
}

static void test_counts_after_any_history_equal_the_batch(void **state)
{
    struct random random = random_begin();
    for (int order = 1; order <= MARKOV_ORDER_MAX; order++)
        run_history(&random, order);
}

static void test_counts_remove_of_what_is_not_there_changes_nothing(void **state)
{
    struct counts counts = {.order = 1};
    const uint32_t aba[] = {0, 1, 0, 1}, ab[] = {0, 1}, ac[] = {0, 1, 2};
    const uint32_t edge[] = {0, 1};
    struct counts_amount one = {.conversions = 1, .value = 700}, two = {.conversions = 2};
    assert_int_equal(counts_add(&counts, ab, 2, &one), 0);
    size_t used = counts.used;
    assert_int_equal(counts_remove(&counts, aba, 4, &one), ERR_VALUE);
    assert_int_equal(counts_remove(&counts, ac, 3, &one), ERR_VALUE);
    assert_int_equal(counts_remove(&counts, ab, 2, &two), ERR_VALUE);
    assert_int_equal(counts.used, used);
    assert_int_equal(counts_of(&counts, edge).count, 1);
    assert_int_equal(counts_remove(&counts, ab, 2, &one), 0);
    assert_int_equal(counts.used, 0);
    counts_free(&counts);
}

static void test_counts_add_over_the_limits_changes_nothing(void **state)
{
    struct counts counts = {.order = 1};
    enum { TURNS = 2100 };
    uint32_t path[TURNS];
    for (uint32_t i = 0; i < TURNS; i++)
        path[i] = i % 2;
    struct counts_amount most = {.conversions = (int64_t)PATH_SET_TOTAL_MAX};
    assert_int_equal(counts_add(&counts, path, TURNS, &most), ERR_TOO_LARGE);
    assert_int_equal(counts.used, 0);
    struct counts_amount negative = {.nulls = -1}, one = {.nulls = 1};
    assert_int_equal(counts_add(&counts, path, 2, &negative), ERR_VALUE);
    assert_int_equal(counts_add(&counts, path, PATH_LENGTH_MAX + 1, &one), ERR_TOO_LARGE);
    const uint32_t mark = COUNTS_CONVERSION;
    assert_int_equal(counts_add(&counts, &mark, 1, &one), ERR_VALUE);
    counts.order = MARKOV_ORDER_MAX + 1;
    assert_int_equal(counts_add(&counts, path, 2, &one), ERR_VALUE);
    assert_int_equal(counts.used, 0);
    counts_free(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_after_any_history_equal_the_batch),
        cmocka_unit_test(test_counts_remove_of_what_is_not_there_changes_nothing),
        cmocka_unit_test(test_counts_add_over_the_limits_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
