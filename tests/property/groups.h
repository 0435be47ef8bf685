/*
 * Which identifiers of one rank the words of a world make one: a union-find over the pairs whose
 * last word links, by nothing but the world and what is generic.
 */
#pragma once

#include "tests/property/judge.h"

struct groups {
    uint8_t nodes[PERSONS_MAX][KEY_SIZE];
    size_t parent[PERSONS_MAX];
    size_t count;
};

/* Of the words of phases up to this one, for which keeps[i] (NULL: all); all: rows of person_of. */
void groups_of(const struct world *world, size_t phase, const bool *keeps,
    const struct identifiers *all, struct groups *out);

/* Whether they are of one group; an identifier that no word links is one by itself. */
bool groups_same(const struct groups *groups, const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE]);

/* The persons are those of the groups: what is of one group is one person, and each login's group
 * is another. Says what is wrong, or NULL; *met counts pairs of a group. */
const char *groups_judge(const struct groups *groups, const struct identifiers *all, uint64_t *met);
