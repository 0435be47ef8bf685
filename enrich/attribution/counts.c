/*
 * Invariants: 1. at most half of the slots are used, so that every search ends; 2. an entry of a
 * label and channels exists once.
 */
#include "enrich/attribution/counts.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SLOTS_MIN ((size_t)256)
#define SPARSE 64 /* a table that large for what was in it is given back */
#define ENTRIES_MAX ((size_t)1 << 31)
#define KEY_MAX ((size_t)2 * MARKOV_ORDER_MAX)

void counts_free(struct counts *counts)
{
    arena_free(&counts->arena);
    free(counts->entries);
    free(counts->slots);
    free(counts->distinct);
    *counts = (struct counts){.entries_count = 0};
}

void counts_clear(struct counts *counts)
{
    bool sparse = counts->entries_count * SPARSE < counts->slots_size;
    counts->entries_count = 0;
    arena_reset(&counts->arena);
    if (sparse) {
        free(counts->slots);
        counts->slots = NULL;
        counts->slots_size = 0;
    } else if (counts->slots_size)
        memset(counts->slots, 0, counts->slots_size * sizeof *counts->slots);
}

/* ---- entries ---- */

static struct str bytes_of(const struct counts_entry *entry)
{
    return str_make(
        entry->channels, ((size_t)entry->from_count + entry->to_count) * sizeof *entry->channels);
}

static uint64_t hash_entry(const struct counts_entry *entry)
{
    uint64_t label = (uint64_t)entry->label.model << 32 | entry->label.group;
    uint64_t mixed = (label + 1) * 0x9e3779b97f4a7c15 + entry->from_count;
    return hash64(bytes_of(entry)) ^ (mixed ^ mixed >> 29);
}

static bool is_same(const struct counts_entry *a, const struct counts_entry *b)
{
    return a->hash == b->hash && a->label.model == b->label.model &&
           a->label.group == b->label.group && a->from_count == b->from_count &&
           str_equal(bytes_of(a), bytes_of(b));
}

static int grow_slots(struct counts *counts)
{
    if (counts->entries_count * 2 < counts->slots_size)
        return 0;
    size_t size = counts->slots_size ? counts->slots_size * 2 : SLOTS_MIN;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < counts->entries_count; i++) {
        size_t at = (size_t)counts->entries[i].hash & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(counts->slots);
    counts->slots = slots;
    counts->slots_size = size;
    return 0;
}

static int grow_entries(struct counts *counts)
{
    if (counts->entries_count < counts->entries_room)
        return 0;
    size_t room = counts->entries_room ? counts->entries_room * 2 : SLOTS_MIN / 2;
    struct counts_entry *more =
        room < ENTRIES_MAX ? realloc(counts->entries, room * sizeof *more) : NULL;
    if (!more)
        return room < ENTRIES_MAX ? ERR_NO_MEMORY : ERR_TOO_LARGE;
    counts->entries = more;
    counts->entries_room = room;
    return 0;
}

/* The entry like `wanted`, whose channels are copied where it is new. */
static int entry_of(
    struct counts *counts, const struct counts_entry *wanted, struct counts_entry **out)
{
    int r = grow_slots(counts);
    if (r == 0)
        r = grow_entries(counts);
    if (r < 0)
        return r;
    size_t at = (size_t)wanted->hash & (counts->slots_size - 1);
    for (; counts->slots[at]; at = (at + 1) & (counts->slots_size - 1)) {
        *out = &counts->entries[counts->slots[at] - 1];
        if (is_same(*out, wanted))
            return 0;
    }
    struct str bytes = bytes_of(wanted);
    uint32_t *channels = arena_alloc(&counts->arena, bytes.size + sizeof *channels);
    if (!channels)
        return ERR_NO_MEMORY;
    if (bytes.size)
        memcpy(channels, bytes.data, bytes.size);
    *out = &counts->entries[counts->entries_count++];
    **out = *wanted;
    (*out)->channels = channels;
    counts->slots[at] = (uint32_t)counts->entries_count;
    return 0;
}

/* Without undefined overflow: modulo 2^64. */
static int64_t sum_of(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int add(struct counts *counts, struct counts_entry *wanted, struct counts_amount amount)
{
    struct counts_entry *entry = NULL;
    wanted->hash = hash_entry(wanted);
    int r = entry_of(counts, wanted, &entry);
    if (r < 0)
        return r;
    entry->paths = sum_of(entry->paths, amount.paths);
    entry->value = sum_of(entry->value, amount.value);
    return 0;
}

/* ---- transitions ---- */

static size_t states_of(size_t order, size_t length)
{
    return length > order ? length - order + 1 : length > 0;
}

/* Transition `number`: the first enters state 0, the last leaves the last state. False where a
 * state would follow itself. */
static bool transition_of(struct counts_path path, size_t order, size_t number,
    uint32_t room[KEY_MAX], struct counts_entry *out)
{
    size_t states = states_of(order, path.length);
    size_t size = path.length < order ? path.length : order;
    out->from_count = number > 0 ? (uint32_t)size : 0;
    out->to_count = number < states ? (uint32_t)size : 0;
    const uint32_t *from = path.channels + (number > 0 ? number - 1 : 0);
    const uint32_t *to = path.channels + number;
    if (out->from_count && out->to_count && memcmp(from, to, size * sizeof *from) == 0)
        return false;
    if (out->from_count)
        memcpy(room, from, size * sizeof *from);
    if (out->to_count)
        memcpy(room + out->from_count, to, size * sizeof *to);
    out->channels = room;
    return true;
}

static int add_transitions(struct counts *counts, size_t order, struct counts_label label,
    struct counts_path path, size_t skip, struct counts_amount amount)
{
    uint32_t room[KEY_MAX];
    size_t states = states_of(order, path.length);
    int r = 0;
    for (size_t i = skip; r == 0 && i <= states; i++) {
        struct counts_entry wanted = {.label = label};
        if (!transition_of(path, order, i, room, &wanted))
            continue;
        int64_t value = i < states ? 0 : amount.value;
        r = add(counts, &wanted, (struct counts_amount){amount.paths, value});
    }
    return r;
}

size_t counts_shared(const struct counts_shape *shape, struct counts_path a, struct counts_path b)
{
    size_t order = (size_t)shape->order, least = a.length < b.length ? a.length : b.length;
    size_t same = 0;
    while (same < least && a.channels[same] == b.channels[same])
        same++;
    return shape->form == COUNTS_TRANSITIONS && same >= order ? same - order + 1 : 0;
}

/* ---- coalitions ---- */

/* Where `channel` stands, or would, among those that are sorted. */
static size_t place_in(const uint32_t *sorted, size_t count, uint32_t channel)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < channel)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* room: twice the path's length. The distinct channels stand at its beginning, or, in the order in
 * which they first come, in its second half. */
static size_t distinct_of(struct counts_path path, uint32_t *room)
{
    size_t count = 0;
    for (size_t i = 0; i < path.length; i++) {
        size_t at = place_in(room, count, path.channels[i]);
        if (at < count && room[at] == path.channels[i])
            continue;
        memmove(room + at + 1, room + at, (count - at) * sizeof *room);
        room[at] = path.channels[i];
        room[path.length + count++] = path.channels[i];
    }
    return count;
}

static int add_coalition(struct counts *counts, enum counts_form form, struct counts_label label,
    struct counts_path path, struct counts_amount amount)
{
    if (counts->distinct_room < 2 * path.length) {
        uint32_t *more = realloc(counts->distinct, 2 * path.length * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        counts->distinct = more;
        counts->distinct_room = 2 * path.length;
    }
    size_t count = distinct_of(path, counts->distinct);
    struct counts_entry wanted = {
        .label = label,
        .channels = count ? counts->distinct : path.channels,
        .to_count = (uint32_t)count,
    };
    if (form == COUNTS_SEQUENCES && count)
        wanted.channels = counts->distinct + path.length;
    return add(counts, &wanted, amount);
}

int counts_add(struct counts *counts, const struct counts_shape *shape, struct counts_label label,
    struct counts_path path, size_t skip, struct counts_amount amount)
{
    static const uint32_t none[1];
    if (path.length > PATH_LENGTH_MAX)
        return ERR_TOO_LARGE;
    if (path.length == 0)
        path.channels = none;
    if (shape->form != COUNTS_TRANSITIONS)
        return add_coalition(counts, shape->form, label, path, amount);
    if (shape->order < 1 || shape->order > MARKOV_ORDER_MAX)
        return ERR_VALUE;
    return add_transitions(counts, (size_t)shape->order, label, path, skip, amount);
}
