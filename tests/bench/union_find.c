/* See the header. */
#include "tests/bench/union_find.h"

#include <stdlib.h>

#include "schemas/arena.h"
#include "schemas/hash.h"

#define ABSENT UINT32_MAX

struct entry {
    uint64_t hash;
    struct str name; /* namespace 0x1f value */
    uint32_t parent;
};

struct union_find {
    struct entry *entries;
    size_t count, room;
    uint32_t *slots;
    size_t slots_size; /* a power of two */
    struct arena arena;
};

struct union_find *union_find_new(size_t identifiers)
{
    struct union_find *sets = calloc(1, sizeof *sets);
    if (!sets)
        return NULL;
    sets->arena.size_max = (size_t)1 << 40;
    sets->room = identifiers + 16;
    sets->slots_size = 64;
    while (sets->slots_size < 2 * sets->room)
        sets->slots_size *= 2;
    sets->entries = malloc(sets->room * sizeof *sets->entries);
    sets->slots = malloc(sets->slots_size * sizeof *sets->slots);
    if (!sets->entries || !sets->slots) {
        union_find_free(sets);
        return NULL;
    }
    memset(sets->slots, 0xff, sets->slots_size * sizeof *sets->slots);
    return sets;
}

void union_find_free(struct union_find *sets)
{
    if (!sets)
        return;
    free(sets->entries);
    free(sets->slots);
    arena_free(&sets->arena);
    free(sets);
}

static bool grow(struct union_find *sets)
{
    size_t room = sets->room * 2, size = sets->slots_size * 2;
    struct entry *entries = realloc(sets->entries, room * sizeof *entries);
    if (!entries)
        return false;
    sets->entries = entries;
    sets->room = room;
    uint32_t *slots = malloc(size * sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0xff, size * sizeof *slots);
    for (size_t i = 0; i < sets->count; i++) {
        size_t at = entries[i].hash & (size - 1);
        while (slots[at] != ABSENT)
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)i;
    }
    free(sets->slots);
    sets->slots = slots;
    sets->slots_size = size;
    return true;
}

/* Index of an identifier, new or not; ABSENT without memory. */
static uint32_t find_or_add(struct union_find *sets, const struct identifier *identifier)
{
    char text[1024];
    size_t size = identifier->namespace.size + 1 + identifier->value.size;
    if (size > sizeof text || (sets->count == sets->room && !grow(sets)))
        return ABSENT;
    memcpy(text, identifier->namespace.data, identifier->namespace.size);
    text[identifier->namespace.size] = 0x1f;
    memcpy(text + identifier->namespace.size + 1, identifier->value.data, identifier->value.size);
    struct str name = str_make(text, size);
    uint64_t hash = hash64(name);
    size_t at = hash & (sets->slots_size - 1);
    for (; sets->slots[at] != ABSENT; at = (at + 1) & (sets->slots_size - 1)) {
        const struct entry *entry = &sets->entries[sets->slots[at]];
        if (entry->hash == hash && str_equal(entry->name, name))
            return sets->slots[at];
    }
    uint32_t index = (uint32_t)sets->count;
    struct entry *entry = &sets->entries[sets->count++];
    *entry = (struct entry){.hash = hash, .parent = index};
    sets->slots[at] = index;
    return arena_dup(&sets->arena, name, &entry->name) == 0 ? index : ABSENT;
}

static uint32_t root_of(struct union_find *sets, uint32_t index)
{
    struct entry *entries = sets->entries;
    while (entries[index].parent != index) {
        entries[index].parent = entries[entries[index].parent].parent;
        index = entries[index].parent;
    }
    return index;
}

bool union_find_event(struct union_find *sets, const struct identifier *identifiers, size_t count)
{
    uint32_t first = ABSENT;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = find_or_add(sets, &identifiers[i]);
        if (index == ABSENT)
            return false;
        uint32_t root = root_of(sets, index);
        if (first != ABSENT)
            sets->entries[root].parent = root_of(sets, first);
        else
            first = root;
    }
    return true;
}

uint32_t union_find_index(struct union_find *sets, const struct identifier *identifier)
{
    uint32_t index = find_or_add(sets, identifier);
    check(index != ABSENT);
    return index;
}

size_t union_find_identifiers(const struct union_find *sets)
{
    return sets->count;
}

size_t union_find_bytes(const struct union_find *sets)
{
    size_t names = 0;
    for (size_t i = 0; i < sets->count; i++)
        names += sets->entries[i].name.size;
    return sets->room * sizeof *sets->entries + sets->slots_size * sizeof *sets->slots + names;
}
