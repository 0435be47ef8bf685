/* Open addressing, at most three quarters full. Invariant: count of a free slot is 0. */
#include "ingest/import/occurrence.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define CAPACITY_MIN ((size_t)4096)

/* 96 bits of a row's hash: among 10^9 rows two meet with a chance of 10^-11. */
struct slot {
    uint64_t hash;
    uint32_t more;
    uint32_t count;
};

struct occurrences {
    struct slot *slots;
    size_t capacity; /* a power of two */
    size_t used;
};

int occurrences_new(struct occurrences **out)
{
    struct occurrences *occurrences = malloc(sizeof(*occurrences));
    struct slot *slots = calloc(CAPACITY_MIN, sizeof(*slots));
    if (!occurrences || !slots) {
        free(occurrences);
        free(slots);
        return ERR_NO_MEMORY;
    }
    *occurrences = (struct occurrences){.slots = slots, .capacity = CAPACITY_MIN};
    *out = occurrences;
    return 0;
}

void occurrences_free(struct occurrences **occurrences)
{
    if (!*occurrences)
        return;
    free((*occurrences)->slots);
    free(*occurrences);
    *occurrences = NULL;
}

static struct slot *find(struct slot *slots, size_t capacity, const struct slot *wanted)
{
    size_t i = wanted->hash & (capacity - 1);
    while (slots[i].count && (slots[i].hash != wanted->hash || slots[i].more != wanted->more))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static int grow(struct occurrences *occurrences)
{
    size_t capacity = occurrences->capacity * 2;
    struct slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < occurrences->capacity; i++) {
        const struct slot *old = &occurrences->slots[i];
        if (old->count)
            *find(slots, capacity, old) = *old;
    }
    free(occurrences->slots);
    occurrences->slots = slots;
    occurrences->capacity = capacity;
    return 0;
}

int occurrences_count(struct occurrences *occurrences, struct str row, uint64_t *nth)
{
    uint64_t hash[2];
    hash128(row, hash);
    const struct slot wanted = {.hash = hash[0], .more = (uint32_t)hash[1]};
    struct slot *slot = find(occurrences->slots, occurrences->capacity, &wanted);
    if (slot->count == UINT32_MAX)
        return ERR_TOO_MANY;
    if (!slot->count && occurrences->used + 1 > occurrences->capacity / 4 * 3) {
        int r = grow(occurrences);
        if (r < 0)
            return r;
        slot = find(occurrences->slots, occurrences->capacity, &wanted);
    }
    if (!slot->count) {
        occurrences->used++;
        *slot = wanted;
    }
    *nth = ++slot->count;
    return 0;
}
