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

enum group { CONVERTING, OPEN };

struct standing {
    uint32_t channels[LENGTH_MAX];
    size_t length;
    struct counts_amount amount;
    enum group group;
    bool there;
};

static struct standing random_path(struct random *random)
{
    struct standing path = {.there = true, .length = random_below(random, LENGTH_MAX + 1)};
    for (size_t i = 0; i < path.length; i++)
        path.channels[i] = (uint32_t)random_below(random, CHANNELS);
    int64_t scale = random_once_in(random, 10) ? 1000000000 : 5;
    path.amount.paths = (1 + (int64_t)random_below(random, 4)) * scale;
    path.group = random_once_in(random, 2) ? OPEN : CONVERTING;
    if (path.group == CONVERTING)
        path.amount.value = path.amount.paths * (int64_t)random_below(random, 1000);
    return path;
}

static struct counts_path path_of(const struct standing *path)
{
    return (struct counts_path){path->channels, path->length};
}

static struct counts_label label_of(const struct standing *path)
{
    return (struct counts_label){7, path->group};
}

static int add(struct counts *counts, const struct counts_shape *shape, const struct standing *path)
{
    return counts_add(counts, shape, label_of(path), path_of(path), 0, path->amount);
}

static int take(
    struct counts *counts, const struct counts_shape *shape, const struct standing *path)
{
    return counts_add(counts, shape, label_of(path), path_of(path), 0,
        (struct counts_amount){-path->amount.paths, -path->amount.value});
}

static const struct counts_entry *find(
    const struct counts *counts, enum group group, const uint32_t *channels, size_t from, size_t to)
{
    for (size_t i = 0; i < counts->entries_count; i++) {
        const struct counts_entry *entry = &counts->entries[i];
        if (entry->label.group == group && entry->from_count == from && entry->to_count == to &&
            (from + to == 0 ||
                memcmp(entry->channels, channels, (from + to) * sizeof *channels) == 0))
            return entry;
    }
    return NULL;
}

/* Entries that stand. */
static size_t standing_in(const struct counts *counts)
{
    size_t count = 0;
    for (size_t i = 0; i < counts->entries_count; i++)
        count += counts->entries[i].paths != 0 || counts->entries[i].value != 0;
    return count;
}

/* ---- transitions against the batch's chain ---- */

static size_t tuple_length(const struct chain *chain, size_t state)
{
    size_t length = 0, order = (size_t)chain->order;
    while (length < order && chain->tuples[state * order + length] != CHAIN_NO_CHANNEL)
        length++;
    return length;
}

static double paths_of(
    const struct counts *counts, enum group group, const uint32_t *channels, size_t from, size_t to)
{
    const struct counts_entry *entry = find(counts, group, channels, from, to);
    return entry ? (double)entry->paths : 0;
}

/* What the batch counts of a group's transitions stands in the counts too; returns how many. */
static size_t compare_chain(
    const struct chain *chain, const struct counts *counts, enum group group)
{
    size_t found = 0, order = (size_t)chain->order;
    for (size_t i = 0; i < chain->states_count; i++) {
        const struct chain_state *s = &chain->states[i];
        const uint32_t *tuple = chain->tuples + i * order;
        size_t length = tuple_length(chain, i);
        double ends = group == OPEN ? s->nulls : s->conversions;
        assert_true(paths_of(counts, group, tuple, 0, length) == s->start);
        assert_true(paths_of(counts, group, tuple, length, 0) == ends);
        const struct counts_entry *entry = find(counts, group, tuple, length, 0);
        assert_true((entry ? (double)entry->value : 0) == s->value);
        found += (size_t)(s->start > 0) + (ends > 0);
    }
    for (size_t i = 0; i < chain->edges_count; i++, found++) {
        uint32_t key[2 * MARKOV_ORDER_MAX];
        const struct chain_edge *edge = &chain->edges[i];
        size_t from = tuple_length(chain, edge->from), to = tuple_length(chain, edge->to);
        memcpy(key, chain->tuples + edge->from * order, from * sizeof *key);
        memcpy(key + from, chain->tuples + edge->to * order, to * sizeof *key);
        assert_true(paths_of(counts, group, key, from, to) == edge->weight);
    }
    return found;
}

static size_t compare_group(
    const struct standing *paths, const struct counts *counts, int order, enum group group)
{
    struct path_set set = {0};
    struct chain chain = {0};
    double empty = 0;
    uint32_t longest[MARKOV_ORDER_MAX] = {0}; /* so that every order is within the data */
    const struct path_count none = {0, 0, 0};
    assert_int_equal(path_set_add(&set, longest, MARKOV_ORDER_MAX, &none), 0);
    for (size_t i = 0; i < PATHS; i++) {
        double count = (double)paths[i].amount.paths;
        if (!paths[i].there || paths[i].group != group)
            continue;
        empty += paths[i].length ? 0 : count;
        struct path_count counted = {.nulls = count};
        if (group == CONVERTING)
            counted = (struct path_count){count, (double)paths[i].amount.value, 0};
        assert_int_equal(path_set_add(&set, paths[i].channels, paths[i].length, &counted), 0);
    }
    const struct markov_options options = {.order = order};
    assert_int_equal(chain_build(&set, &options, &chain), 0);
    size_t found = compare_chain(&chain, counts, group);
    assert_true(paths_of(counts, group, longest, 0, 0) == empty);
    chain_free(&chain);
    path_set_free(&set);
    return found + (empty > 0);
}

static void run_history(struct random *random, const struct counts_shape *shape)
{
    struct standing paths[PATHS] = {0};
    struct counts counts = {0};
    for (size_t i = 0; i < CHANGES; i++) {
        struct standing *path = &paths[random_below(random, PATHS)];
        if (path->there)
            assert_int_equal(take(&counts, shape, path), 0);
        path->there = false;
        if (!random_once_in(random, 3)) {
            *path = random_path(random);
            assert_int_equal(add(&counts, shape, path), 0);
        }
        if (i % COMPARE_EVERY == 0)
            assert_int_equal(
                standing_in(&counts), compare_group(paths, &counts, shape->order, OPEN) +
                                          compare_group(paths, &counts, shape->order, CONVERTING));
    }
    for (size_t i = 0; i < PATHS; i++)
        if (paths[i].there)
            assert_int_equal(take(&counts, shape, &paths[i]), 0);
    assert_int_equal(standing_in(&counts), 0);
    counts_free(&counts);
}

static void test_counts_add_of_any_history_equals_the_batch(void **state)
{
    struct random random = random_begin();
    for (int order = 1; order <= MARKOV_ORDER_MAX; order++)
        run_history(&random, &(struct counts_shape){COUNTS_TRANSITIONS, order});
}

/* ---- one path in another's place ---- */

static void test_counts_add_without_the_shared_part_leaves_the_same(void **state)
{
    struct random random = random_begin();
    size_t shared = 0;
    for (size_t i = 0; i < 3000; i++) {
        const struct counts_shape shape = {COUNTS_TRANSITIONS, 1 + (int)(i % MARKOV_ORDER_MAX)};
        struct standing old = random_path(&random), new = random_path(&random);
        size_t same = random_below(&random, old.length + 1);
        memcpy(new.channels, old.channels, same * sizeof *new.channels);
        new.length = new.length < same ? same : new.length;
        new.group = old.group;
        new.amount = old.amount = (struct counts_amount){1, 0};
        struct counts whole = {0}, part = {0};
        assert_int_equal(take(&whole, &shape, &old), 0);
        assert_int_equal(add(&whole, &shape, &new), 0);
        size_t skip = counts_shared(&shape, path_of(&old), path_of(&new));
        shared += skip;
        assert_int_equal(counts_add(&part, &shape, label_of(&old), path_of(&old), skip,
                             (struct counts_amount){-1, 0}),
            0);
        assert_int_equal(
            counts_add(&part, &shape, label_of(&new), path_of(&new), skip, new.amount), 0);
        assert_int_equal(standing_in(&whole), standing_in(&part));
        for (size_t k = 0; k < part.entries_count; k++) {
            const struct counts_entry *entry = &part.entries[k];
            assert_true(paths_of(&whole, entry->label.group, entry->channels, entry->from_count,
                            entry->to_count) == (double)entry->paths);
        }
        counts_free(&whole);
        counts_free(&part);
    }
    assert_true(shared > 1000);
}

/* ---- coalitions ---- */

static void test_counts_add_of_a_coalition_counts_each_channel_once(void **state)
{
    const uint32_t path[] = {5, 2, 5, 9, 2}, other[] = {9, 2, 5}, set[] = {2, 5, 9};
    const uint32_t sequence[] = {5, 2, 9};
    const struct counts_shape sets = {COUNTS_SETS, 1}, sequences = {COUNTS_SEQUENCES, 1};
    const struct counts_label label = {0, CONVERTING};
    struct counts counts = {0};
    assert_int_equal(counts_add(&counts, &sets, label, (struct counts_path){path, 5}, 0,
                         (struct counts_amount){1, 30}),
        0);
    assert_int_equal(counts_add(&counts, &sets, label, (struct counts_path){other, 3}, 0,
                         (struct counts_amount){2, -7}),
        0);
    assert_int_equal(counts_add(&counts, &sets, label, (struct counts_path){NULL, 0}, 0,
                         (struct counts_amount){4, 1}),
        0);
    assert_int_equal(standing_in(&counts), 2);
    assert_int_equal(find(&counts, CONVERTING, set, 0, 3)->paths, 3);
    assert_int_equal(find(&counts, CONVERTING, set, 0, 3)->value, 23);
    assert_int_equal(find(&counts, CONVERTING, NULL, 0, 0)->paths, 4);
    counts_clear(&counts);
    assert_int_equal(standing_in(&counts), 0);
    assert_int_equal(counts_add(&counts, &sequences, label, (struct counts_path){path, 5}, 0,
                         (struct counts_amount){1, 30}),
        0);
    assert_int_equal(counts_add(&counts, &sequences, label, (struct counts_path){other, 3}, 0,
                         (struct counts_amount){2, 0}),
        0);
    assert_int_equal(standing_in(&counts), 2);
    assert_int_equal(find(&counts, CONVERTING, sequence, 0, 3)->paths, 1);
    assert_int_equal(find(&counts, CONVERTING, other, 0, 3)->paths, 2);
    counts_free(&counts);
}

/* ---- limits ---- */

static void test_counts_add_beyond_64_bits_comes_back(void **state)
{
    const struct counts_shape shape = {COUNTS_TRANSITIONS, 1};
    const struct counts_label label = {0, CONVERTING};
    const uint32_t channel = 3;
    const struct counts_path path = {&channel, 1};
    struct counts counts = {0};
    const int64_t values[] = {INT64_MAX, INT64_MAX, 5, -INT64_MAX, -INT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(
            counts_add(&counts, &shape, label, path, 0, (struct counts_amount){1, values[i]}), 0);
    assert_int_equal(find(&counts, CONVERTING, &channel, 1, 0)->value, 5);
    counts_free(&counts);
}

static void test_counts_add_out_of_range_is_refused(void **state)
{
    const uint32_t channel = 3;
    const struct counts_label label = {0, CONVERTING};
    const struct counts_amount one = {1, 0};
    struct counts counts = {0};
    for (int order = 0; order <= MARKOV_ORDER_MAX + 1; order += MARKOV_ORDER_MAX + 1)
        assert_int_equal(counts_add(&counts, &(struct counts_shape){COUNTS_TRANSITIONS, order},
                             label, (struct counts_path){&channel, 1}, 0, one),
            ERR_VALUE);
    assert_int_equal(counts_add(&counts, &(struct counts_shape){COUNTS_TRANSITIONS, 1}, label,
                         (struct counts_path){&channel, PATH_LENGTH_MAX + 1}, 0, one),
        ERR_TOO_LARGE);
    assert_int_equal(counts.entries_count, 0);
    counts_free(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_add_of_any_history_equals_the_batch),
        cmocka_unit_test(test_counts_add_without_the_shared_part_leaves_the_same),
        cmocka_unit_test(test_counts_add_of_a_coalition_counts_each_channel_once),
        cmocka_unit_test(test_counts_add_beyond_64_bits_comes_back),
        cmocka_unit_test(test_counts_add_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
