/* Ranks, nodes and event keys. Invariant: a node's members are distinct and in ascending id order.
 */
#include "ingest/normalise/namespace.h"

#include "schemas/error.h"

#define SEPARATOR "\x1f"
#define RANKS_ALL (-1)

/* An identifier with its place in the order of nodes. */
struct ranked {
    uint8_t id[KEY_SIZE];
    const struct identifier *identifier;
};

/* Source: IDENTITY, "Meaning"; one upward limit a namespace, the smallest that the page names. */
static const struct namespace_table default_table = {
    .rules =
        {
            {STR_INIT("login"), 0, 0, 1000},
            {STR_INIT("loyalty"), 1, 3, 1000},
            {STR_INIT("email"), 0, 3, 1000},
            {STR_INIT("phone"), 0, 5, 1000},
            {STR_INIT("install"), 0, 5, 1000},
            {STR_INIT("device"), 0, 5, 1000},
            {STR_INIT("cookie"), 0, 5, 1000},
            {STR_INIT("order"), 0, 2, 1000},
            {STR_INIT("receipt"), 0, 2, 1000},
            {STR_INIT("case"), 0, 2, 1000},
        },
    .count = 10,
};

const struct namespace_table *namespace_table_default(void)
{
    return &default_table;
}

int namespace_rank(const struct namespace_table *table, struct str name)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_equal(table->rules[i].name, name))
            return (int)i;
    return ERR_NAMESPACE;
}

void namespace_node_id(
    const struct namespace_table *table, int rank, struct str value, uint8_t id[KEY_SIZE])
{
    uint8_t digest[32];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, table->rules[rank].name);
    sha256_update(&hash, STR(SEPARATOR));
    sha256_update(&hash, value);
    sha256_final(&hash, digest);
    id[0] = (uint8_t)(rank * 2);
    memcpy(id + 1, digest, KEY_SIZE - 1);
}

/* Puts an identifier at its place; an identical one is left out. */
static size_t insert(struct ranked *sorted, size_t count, const struct ranked *new)
{
    size_t at = count;
    while (at > 0 && memcmp(sorted[at - 1].id, new->id, KEY_SIZE) > 0)
        at--;
    if (at > 0 && memcmp(sorted[at - 1].id, new->id, KEY_SIZE) == 0)
        return count;
    memmove(sorted + at + 1, sorted + at, (count - at) * sizeof *sorted);
    sorted[at] = *new;
    return count + 1;
}

/* The strongest rank among the identifiers. Errors: ERR_NAMESPACE, ERR_NO_IDENTIFIER. */
static int strongest_rank(
    const struct namespace_table *table, const struct identifier *identifiers, size_t count)
{
    int best = ERR_NO_IDENTIFIER;
    for (size_t i = 0; i < count; i++) {
        int rank = namespace_rank(table, identifiers[i].namespace);
        if (rank < 0)
            return rank;
        if (best < 0 || rank < best)
            best = rank;
    }
    return best;
}

/* Distinct identifiers of one rank, or of all, in id order. Errors: ERR_NAMESPACE. */
static int rank_and_sort(const struct namespace_table *table, const struct identifier *identifiers,
    size_t count, int only_rank, struct ranked *sorted)
{
    size_t sorted_count = 0;
    for (size_t i = 0; i < count; i++) {
        int rank = namespace_rank(table, identifiers[i].namespace);
        if (rank < 0)
            return rank;
        if (only_rank != RANKS_ALL && rank != only_rank)
            continue;
        struct ranked new = {.identifier = &identifiers[i]};
        namespace_node_id(table, rank, identifiers[i].value, new.id);
        sorted_count = insert(sorted, sorted_count, &new);
    }
    return (int)sorted_count;
}

/* Makes the node of sorted[0..count), all of one rank. */
static int make_node(
    const struct ranked *sorted, size_t count, struct arena *arena, struct node *out)
{
    const struct identifier **members = arena_alloc(arena, count * sizeof *members);
    if (!members)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        members[i] = sorted[i].identifier;
    memcpy(out->id, sorted[0].id, KEY_SIZE);
    if (count > 1) {
        uint8_t digest[32];
        struct sha256 hash;
        sha256_init(&hash);
        for (size_t i = 0; i < count; i++)
            sha256_update(&hash, str_make(sorted[i].id, KEY_SIZE));
        sha256_final(&hash, digest);
        out->id[0] = (uint8_t)(sorted[0].id[0] + 1);
        memcpy(out->id + 1, digest, KEY_SIZE - 1);
    }
    out->members = members;
    out->members_count = count;
    return 0;
}

int namespace_chain(const struct namespace_table *table, const struct identifier *identifiers,
    size_t count, struct arena *arena, struct node *chain, size_t *chain_count)
{
    if (count == 0)
        return ERR_NO_IDENTIFIER;
    if (count > EVENT_IDENTIFIERS_MAX)
        return ERR_TOO_MANY;
    struct ranked sorted[EVENT_IDENTIFIERS_MAX];
    int sorted_count = rank_and_sort(table, identifiers, count, RANKS_ALL, sorted);
    if (sorted_count < 0)
        return sorted_count;
    size_t nodes = 0;
    size_t begin = 0;
    for (size_t i = 1; i <= (size_t)sorted_count; i++) {
        if (i < (size_t)sorted_count && sorted[i].id[0] == sorted[begin].id[0])
            continue;
        int r = make_node(sorted + begin, i - begin, arena, &chain[nodes]);
        if (r < 0)
            return r;
        nodes++;
        begin = i;
    }
    *chain_count = nodes;
    return 0;
}

int namespace_strongest(const struct namespace_table *table, const struct identifier *identifiers,
    size_t count, struct arena *arena, struct node *out)
{
    if (count > EVENT_IDENTIFIERS_MAX)
        return ERR_TOO_MANY;
    int rank = strongest_rank(table, identifiers, count);
    if (rank < 0)
        return rank;
    struct ranked sorted[EVENT_IDENTIFIERS_MAX];
    int sorted_count = rank_and_sort(table, identifiers, count, rank, sorted);
    if (sorted_count < 0)
        return sorted_count;
    return make_node(sorted, (size_t)sorted_count, arena, out);
}

void namespace_event_key(const struct node *strongest, struct touchpoint *event)
{
    uint8_t digest[32];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, event->source);
    sha256_update_sized(&hash, event->event_id);
    for (size_t i = 0; i < strongest->members_count; i++) {
        sha256_update_sized(&hash, strongest->members[i]->namespace);
        sha256_update_sized(&hash, strongest->members[i]->value);
    }
    sha256_final(&hash, digest);
    memcpy(event->event_key, digest, KEY_SIZE);
}
