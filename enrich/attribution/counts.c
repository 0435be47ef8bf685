/*
 * Invariants: 1. at most half of the places are used, so that every search ends; 2. between the
 * start of a search and the first free place stands every key of that hash: a place that gets free
 * is filled from behind; 3. places with nothing in them exist as used ones only within a call.
 */
#include "enrich/attribution/counts.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SIZE_FIRST ((size_t)64)
#define KEY_MAX ((size_t)2 * MARKOV_ORDER_MAX)

/* One transition of a path. */
struct step {
    uint32_t key[KEY_MAX];
    struct counts_cell add;
};

void counts_free(struct counts *counts)
{
    free(counts->cells);
    free(counts->keys);
    *counts = (struct counts){.order = counts->order};
}

static size_t key_length(const struct counts *counts)
{
    return 2 * (size_t)counts->order;
}

static struct str key_bytes(const struct counts *counts, const uint32_t *key)
{
    return str_make(key, key_length(counts) * sizeof *key);
}

static uint32_t *key_at(const struct counts *counts, size_t place)
{
    return counts->keys + place * key_length(counts);
}

static size_t home_of(const struct counts *counts, const uint32_t *key)
{
    return (size_t)hash64(key_bytes(counts, key)) & (counts->size - 1);
}

/* A used place names a state that is gone to: no such tuple begins with COUNTS_NONE. */
static bool used(const struct counts *counts, size_t place)
{
    return key_at(counts, place)[counts->order] != COUNTS_NONE;
}

static size_t place_of(const struct counts *counts, const uint32_t *key)
{
    size_t at = home_of(counts, key);
    while (used(counts, at) &&
           !str_equal(key_bytes(counts, key_at(counts, at)), key_bytes(counts, key)))
        at = (at + 1) & (counts->size - 1);
    return at;
}

static int grow(struct counts *counts)
{
    if (counts->used * 2 < counts->size)
        return 0;
    struct counts more = {.order = counts->order, .used = counts->used};
    more.size = counts->size ? counts->size * 2 : SIZE_FIRST;
    size_t key_size = key_length(counts) * sizeof *more.keys;
    more.cells = calloc(more.size, sizeof *more.cells);
    more.keys = calloc(more.size, key_size);
    if (!more.cells || !more.keys) {
        counts_free(&more);
        return ERR_NO_MEMORY;
    }
    memset(more.keys, 0xff, more.size * key_size); /* COUNTS_NONE */
    for (size_t i = 0; i < counts->size; i++) {
        if (!used(counts, i))
            continue;
        size_t at = place_of(&more, key_at(counts, i));
        memcpy(key_at(&more, at), key_at(counts, i), key_size);
        more.cells[at] = counts->cells[i];
    }
    counts_free(counts);
    *counts = more;
    return 0;
}

static void release(struct counts *counts, size_t hole)
{
    size_t mask = counts->size - 1;
    size_t key_size = key_length(counts) * sizeof *counts->keys;
    for (size_t at = (hole + 1) & mask; used(counts, at); at = (at + 1) & mask) {
        size_t home = home_of(counts, key_at(counts, at));
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its search does not come by the hole */
        memcpy(key_at(counts, hole), key_at(counts, at), key_size);
        counts->cells[hole] = counts->cells[at];
        hole = at;
    }
    memset(key_at(counts, hole), 0xff, key_size);
    counts->cells[hole] = (struct counts_cell){0};
    counts->used--;
}

/* ---- steps of a path ---- */

/* Start, states, conversion, null. */
static size_t steps_of(const struct counts *counts, size_t length)
{
    size_t order = (size_t)counts->order;
    return (length > order ? length - order : 0) + 3;
}

static void put_state(const struct counts *counts, struct str path, size_t number, uint32_t *tuple)
{
    size_t length = path.size / sizeof *tuple;
    size_t order = (size_t)counts->order;
    size_t known = length < order ? length : order;
    memcpy(tuple, path.data + number * sizeof *tuple, known * sizeof *tuple);
}

/* Step `number`; false where it counts for nothing. */
static bool step_of(const struct counts *counts, struct str path, size_t number,
    const struct counts_amount *amount, struct step *out)
{
    size_t order = (size_t)counts->order;
    size_t last = steps_of(counts, path.size / sizeof(uint32_t)) - 3;
    memset(out->key, 0xff, sizeof out->key);
    out->add = (struct counts_cell){.count = amount->conversions + amount->nulls};
    if (number > 0)
        put_state(counts, path, number > last ? last : number - 1, out->key);
    if (number <= last)
        put_state(counts, path, number, out->key + order);
    else if (number == last + 1) {
        out->key[order] = COUNTS_CONVERSION;
        out->add = (struct counts_cell){amount->conversions, amount->value};
    } else {
        out->key[order] = COUNTS_NULL;
        out->add.count = amount->nulls;
    }
    bool stays = number > 0 && number <= last &&
                 memcmp(out->key, out->key + order, order * sizeof *out->key) == 0;
    return !stays && (out->add.count || out->add.value);
}

/* Adds; leaves places with nothing in them. */
static int apply(struct counts *counts, const struct step *step)
{
    int r = grow(counts);
    if (r < 0)
        return r;
    size_t at = place_of(counts, step->key);
    struct counts_cell sum;
    if (__builtin_add_overflow(counts->cells[at].count, step->add.count, &sum.count) ||
        __builtin_add_overflow(counts->cells[at].value, step->add.value, &sum.value))
        return ERR_TOO_LARGE;
    if (sum.count < 0)
        return ERR_VALUE;
    if (!used(counts, at)) {
        memcpy(key_at(counts, at), step->key, key_length(counts) * sizeof *step->key);
        counts->used++;
    }
    counts->cells[at] = sum;
    return 0;
}

static void sweep(
    struct counts *counts, struct str path, size_t steps, const struct counts_amount *amount)
{
    struct step step;
    for (size_t i = 0; i < steps; i++) {
        if (!step_of(counts, path, i, amount, &step))
            continue;
        size_t at = place_of(counts, step.key);
        if (used(counts, at) && !counts->cells[at].count && !counts->cells[at].value)
            release(counts, at);
    }
}

static int change(struct counts *counts, struct str path, const struct counts_amount *amount)
{
    size_t steps = steps_of(counts, path.size / sizeof(uint32_t));
    size_t done = 0;
    struct step step;
    int r = 0;
    for (; r == 0 && done < steps; done++)
        if (step_of(counts, path, done, amount, &step))
            r = apply(counts, &step);
    /* The step that failed did nothing; those before it are there, and go back whence they came. */
    for (size_t i = 0; r < 0 && i + 1 < done; i++) {
        if (!step_of(counts, path, i, amount, &step))
            continue;
        struct counts_cell *cell = &counts->cells[place_of(counts, step.key)];
        cell->count -= step.add.count;
        cell->value -= step.add.value;
    }
    if (counts->size)
        sweep(counts, path, done, amount);
    return r;
}

static bool countable(int64_t count)
{
    return count >= 0 && count <= (int64_t)PATH_SET_TOTAL_MAX;
}

static int usable(const struct counts *counts, const uint32_t *channels, size_t length,
    const struct counts_amount *amount)
{
    if (counts->order < 1 || counts->order > MARKOV_ORDER_MAX || !countable(amount->conversions) ||
        !countable(amount->nulls) || amount->value == INT64_MIN)
        return ERR_VALUE;
    if (length > PATH_LENGTH_MAX)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < length; i++)
        if (channels[i] >= COUNTS_CHANNELS_MAX)
            return ERR_VALUE;
    return 0;
}

int counts_add(struct counts *counts, const uint32_t *channels, size_t length,
    const struct counts_amount *amount)
{
    int r = usable(counts, channels, length, amount);
    if (r < 0 || length == 0)
        return r;
    return change(counts, str_make(channels, length * sizeof *channels), amount);
}

int counts_remove(struct counts *counts, const uint32_t *channels, size_t length,
    const struct counts_amount *amount)
{
    int r = usable(counts, channels, length, amount);
    if (r < 0 || length == 0)
        return r;
    struct counts_amount taken = {-amount->conversions, -amount->nulls, -amount->value};
    return change(counts, str_make(channels, length * sizeof *channels), &taken);
}

struct counts_cell counts_of(const struct counts *counts, const uint32_t *key)
{
    return counts->size ? counts->cells[place_of(counts, key)] : (struct counts_cell){0};
}
