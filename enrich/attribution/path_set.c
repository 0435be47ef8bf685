#include "enrich/attribution/path_set.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SLOTS_MIN ((size_t)64)

void path_set_free(struct path_set *set)
{
    arena_free(&set->arena);
    free(set->channels);
    free(set->channel_slots);
    free(set->paths);
    free(set->slots);
    *set = (struct path_set){0};
}

/* ---- channels ---- */

static int grow_channels(struct path_set *set)
{
    if (set->channels_count == set->channels_room) {
        size_t room = set->channels_room ? set->channels_room * 2 : SLOTS_MIN;
        struct str *more = realloc(set->channels, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        set->channels = more;
        set->channels_room = room;
    }
    if (set->channels_count * 2 < set->channel_slots_size)
        return 0;
    size_t size = set->channel_slots_size ? set->channel_slots_size * 2 : 2 * SLOTS_MIN;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < set->channels_count; i++) {
        size_t at = (size_t)hash64(set->channels[i]) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(set->channel_slots);
    set->channel_slots = slots;
    set->channel_slots_size = size;
    return 0;
}

int path_set_channel(struct path_set *set, struct str name, uint32_t *out)
{
    int r = grow_channels(set);
    if (r < 0)
        return r;
    size_t at = (size_t)hash64(name) & (set->channel_slots_size - 1);
    for (; set->channel_slots[at]; at = (at + 1) & (set->channel_slots_size - 1)) {
        uint32_t number = set->channel_slots[at] - 1;
        if (str_equal(set->channels[number], name)) {
            *out = number;
            return 0;
        }
    }
    set->arena.size_max = (size_t)1 << 40;
    r = arena_dup(&set->arena, name, &set->channels[set->channels_count]);
    if (r < 0)
        return r;
    *out = (uint32_t)set->channels_count++;
    set->channel_slots[at] = *out + 1;
    return 0;
}

/* ---- paths ---- */

static struct path **slot_of(
    struct path **slots, size_t size, const uint32_t *channels, size_t length)
{
    uint64_t hash = hash64(str_make(channels, length * sizeof *channels));
    return &slots[(size_t)hash & (size - 1)];
}

static int grow_paths(struct path_set *set)
{
    if (set->paths_count < set->paths_room)
        return 0;
    size_t room = set->paths_room ? set->paths_room * 2 : SLOTS_MIN;
    struct path **more = realloc(set->paths, room * sizeof *more);
    if (!more)
        return ERR_NO_MEMORY;
    set->paths = more;
    struct path **slots = calloc(room, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < set->paths_count; i++) {
        struct path *path = set->paths[i];
        struct path **slot = slot_of(slots, room, path->channels, path->length);
        path->next = *slot;
        *slot = path;
    }
    free(set->slots);
    set->slots = slots;
    set->slots_size = set->paths_room = room;
    return 0;
}

static int new_path(
    struct path_set *set, const uint32_t *channels, size_t length, struct path **out)
{
    set->arena.size_max = (size_t)1 << 40;
    struct path *path = arena_alloc(&set->arena, sizeof *path);
    uint32_t *copy = arena_alloc(&set->arena, (length + 1) * sizeof *copy);
    if (!path || !copy)
        return ERR_NO_MEMORY;
    if (length)
        memcpy(copy, channels, length * sizeof *copy);
    struct path **slot = slot_of(set->slots, set->slots_size, channels, length);
    *path = (struct path){.next = *slot, .channels = copy, .length = (uint32_t)length};
    *slot = path;
    set->paths[set->paths_count++] = path;
    set->longest = length > set->longest ? length : set->longest;
    *out = path;
    return 0;
}

static struct path *find(const struct path_set *set, const uint32_t *channels, size_t length)
{
    struct path *path =
        set->slots_size ? *slot_of(set->slots, set->slots_size, channels, length) : NULL;
    while (path && (path->length != length ||
                       (length && memcmp(path->channels, channels, length * sizeof *channels))))
        path = path->next;
    return path;
}

const struct path *path_set_find(
    const struct path_set *set, const uint32_t *channels, size_t length)
{
    return find(set, channels, length);
}

static bool countable(double count)
{
    return count >= 0 && count <= PATH_SET_TOTAL_MAX; /* false for NaN */
}

static double size_of(const struct path_count *count)
{
    return fmax(count->value_size, fabs(count->value));
}

struct sum path_count_amount(const struct path_count *count)
{
    double size = size_of(count);
    return (struct sum){count->value, count->value_rest, size,
        count->value_noise > 0 ? count->value_noise : SUM_NOISE * size};
}

int path_set_add(
    struct path_set *set, const uint32_t *channels, size_t length, const struct path_count *count)
{
    if (!countable(count->conversions) || !countable(count->nulls) || !isfinite(count->value))
        return ERR_VALUE;
    if (length > PATH_LENGTH_MAX || !isfinite(set->amount.size + size_of(count)) ||
        set->conversions + count->conversions + set->nulls + count->nulls > PATH_SET_TOTAL_MAX)
        return ERR_TOO_LARGE;
    int r = grow_paths(set);
    if (r < 0)
        return r;
    struct path *path = find(set, channels, length);
    r = path ? 0 : new_path(set, channels, length, &path);
    if (r < 0)
        return r;
    path->conversions += count->conversions;
    path->nulls += count->nulls;
    const struct sum amount = path_count_amount(count);
    sum_add_sum(&path->amount, &amount);
    path->value = sum_value(&path->amount);
    set->conversions += count->conversions;
    sum_add_sum(&set->amount, &amount);
    set->value = sum_value(&set->amount);
    set->nulls += count->nulls;
    return 0;
}
