/*
 * Sets of WAYS entries; a key belongs to the set that its hash names. Invariant: entries compare by
 * their whole key, so an answer is never another text's.
 */
#include "enrich/step/memo.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define WAYS 4

struct entry {
    uint64_t hash;
    char *data; /* key, then value; NULL: empty */
    uint32_t key_size;
    uint32_t value_size;
    uint64_t used; /* when it was asked for last */
};

struct memo {
    size_t mask; /* of sets */
    uint64_t clock;
    struct entry entries[];
};

int memo_new(struct memo **out, size_t entries)
{
    check(entries >= WAYS && (entries & (entries - 1)) == 0);
    struct memo *memo = calloc(1, sizeof *memo + entries * sizeof(struct entry));
    if (!memo)
        return ERR_NO_MEMORY;
    memo->mask = entries / WAYS - 1;
    *out = memo;
    return 0;
}

void memo_free(struct memo **memo)
{
    if (!*memo)
        return;
    for (size_t i = 0; i < ((*memo)->mask + 1) * WAYS; i++)
        free((*memo)->entries[i].data);
    free(*memo);
    *memo = NULL;
}

static struct entry *set_of(struct memo *memo, uint64_t hash)
{
    return &memo->entries[(hash & memo->mask) * WAYS];
}

static bool holds(const struct entry *entry, uint64_t hash, struct str key)
{
    return entry->data && entry->hash == hash &&
           str_equal(str_make(entry->data, entry->key_size), key);
}

bool memo_get(struct memo *memo, struct str key, struct str *value)
{
    if (key.size > MEMO_KEY_SIZE_MAX)
        return false;
    uint64_t hash = hash64(key);
    struct entry *set = set_of(memo, hash);
    for (size_t i = 0; i < WAYS; i++)
        if (holds(&set[i], hash, key)) {
            set[i].used = ++memo->clock;
            *value = str_make(set[i].data + set[i].key_size, set[i].value_size);
            return true;
        }
    return false;
}

void memo_put(struct memo *memo, struct str key, struct str value)
{
    if (key.size > MEMO_KEY_SIZE_MAX || value.size > UINT32_MAX)
        return;
    uint64_t hash = hash64(key);
    struct entry *set = set_of(memo, hash), *target = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (holds(&set[i], hash, key)) {
            target = &set[i];
            break;
        }
        if (set[i].used < target->used)
            target = &set[i];
    }
    char *data = malloc(key.size + value.size + 1);
    if (!data)
        return;
    if (key.size)
        memcpy(data, key.data, key.size);
    if (value.size)
        memcpy(data + key.size, value.data, value.size);
    free(target->data);
    *target = (struct entry){.hash = hash,
        .data = data,
        .key_size = (uint32_t)key.size,
        .value_size = (uint32_t)value.size,
        .used = ++memo->clock};
}
