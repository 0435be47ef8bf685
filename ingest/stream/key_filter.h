/*
 * Which keys a store surely does not have: a Bloom filter in blocks of a cache line, so that asking
 * costs a miss or two instead of a walk down a tree. Most rows that stages ask for are new.
 *
 * Keys are given as 64-bit hashes. It grows by layers, each four times the one before, and is given
 * up when the last is full: then every key may be there.
 * Source: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007).
 */
#pragma once

#include "schemas/bytes.h"

#define KEY_FILTER_LAYERS_MAX 4

struct key_filter {
    uint64_t *layers[KEY_FILTER_LAYERS_MAX];
    size_t layers_count;
    size_t room;      /* keys that the last layer still takes */
    bool given_up;    /* too many keys, or no memory */
    size_t bytes_max; /* of all layers; one more gives up. 0: no other limit than their number */
};

/* Makes the first layer now instead of with the first key. */
void key_filter_begin(struct key_filter *filter);

/* Remembers a key; asking for it is true from now on. Never fails: without memory it gives up. */
void key_filter_add(struct key_filter *filter, uint64_t hash);

/* False: no such key was added. True: one was, or (less than one in a hundred) was not. */
bool key_filter_may_have(const struct key_filter *filter, uint64_t hash);

/* Forgets all and frees; then as when it was made (all zero), but for bytes_max. */
void key_filter_clear(struct key_filter *filter);
