/*
 * A hash table of nodes, emptied after each batch.
 *
 * Invariant: a node in the table is the truth of the running batch; its row is that of the batch
 * before until flush.
 */
#include "enrich/identity/owner.h"

#include <stdlib.h>

#include "schemas/error.h"

#define SLOTS_MIN ((size_t)4096)
#define EDGE_KEY_SIZE (2 * KEY_SIZE)
#define EDGE_VALUE_SIZE (5 * 4 + 1 + KEY_SIZE)

enum edge_flag {
    EDGE_DOWN = 1,
    EDGE_GENERIC = 2,
    EDGE_HAS_ROOT = 4,
    EDGE_CLAIMANT = 8,
    EDGE_TOLD_ACCEPTED = 16,
};

struct owners {
    struct owner **slots;
    size_t size;
    size_t count;
    struct arena arena;
    struct buf value; /* reused for rows */
};

int owners_new(struct owners **out)
{
    struct owners *owners = calloc(1, sizeof *owners);
    if (!owners)
        return ERR_NO_MEMORY;
    owners->slots = calloc(SLOTS_MIN, sizeof *owners->slots);
    owners->size = SLOTS_MIN;
    owners->arena.size_max = (size_t)1 << 36;
    if (!owners->slots) {
        owners_free(&owners);
        return ERR_NO_MEMORY;
    }
    *out = owners;
    return 0;
}

void owners_free(struct owners **owners)
{
    if (*owners) {
        free((*owners)->slots);
        arena_free(&(*owners)->arena);
        buf_free(&(*owners)->value);
    }
    free(*owners);
    *owners = NULL;
}

struct arena *owners_arena(struct owners *owners)
{
    return &owners->arena;
}

/* Ids are hashes already, but for their first byte. */
static size_t slot_of(const struct owners *owners, const uint8_t id[KEY_SIZE])
{
    uint64_t bits;
    memcpy(&bits, id + KEY_SIZE - sizeof bits, sizeof bits);
    size_t at = (size_t)bits & (owners->size - 1);
    while (owners->slots[at] && memcmp(owners->slots[at]->id, id, KEY_SIZE) != 0)
        at = (at + 1) & (owners->size - 1);
    return at;
}

static int grow(struct owners *owners)
{
    if (owners->count * 2 < owners->size)
        return 0;
    struct owners larger = *owners;
    larger.size = owners->size * 2;
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < owners->size; i++)
        if (owners->slots[i])
            larger.slots[slot_of(&larger, owners->slots[i]->id)] = owners->slots[i];
    free(owners->slots);
    owners->slots = larger.slots;
    owners->size = larger.size;
    return 0;
}

static int load(struct owners *owners, struct state *state, struct owner *owner)
{
    struct str value;
    identity_node_init(&owner->node);
    int r = state_get(state, TABLE_NODE, str_make(owner->id, KEY_SIZE), &value);
    if (r == STATE_ABSENT)
        return 0;
    if (r == 0)
        r = identity_node_decode(&owner->node, value, &owners->arena);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    const struct identity_node *node = &owner->node;
    if (node->up_counts_count > NAMESPACES_MAX || node->down_counts_count > NAMESPACES_MAX ||
        node->members.size % KEY_SIZE || node->bridging.size % KEY_SIZE)
        return ERR_STATE;
    for (size_t i = 0; i < node->up_counts_count; i++)
        owner->up_counts[i] = node->up_counts[i];
    for (size_t i = 0; i < node->down_counts_count; i++)
        owner->down_counts[i] = node->down_counts[i];
    owner->exists = true;
    return 0;
}

int owners_get(
    struct owners *owners, struct state *state, const uint8_t id[KEY_SIZE], struct owner **out)
{
    struct owner *owner = owners->slots[slot_of(owners, id)];
    if (owner) {
        *out = owner;
        return 0;
    }
    int r = grow(owners);
    if (r < 0)
        return r;
    owner = arena_alloc(&owners->arena, sizeof *owner);
    if (!owner)
        return ERR_NO_MEMORY;
    *owner = (struct owner){.exists = false};
    memcpy(owner->id, id, KEY_SIZE);
    r = load(owners, state, owner);
    if (r < 0)
        return r;
    owners->slots[slot_of(owners, id)] = owner;
    owners->count++;
    *out = owner;
    return 0;
}

static size_t count_used(const int32_t counts[NAMESPACES_MAX])
{
    size_t used = NAMESPACES_MAX;
    while (used && counts[used - 1] == 0)
        used--;
    return used;
}

static int save(struct owners *owners, struct state *state, struct owner *owner)
{
    owner->node.up_counts = owner->up_counts;
    owner->node.up_counts_count = count_used(owner->up_counts);
    owner->node.down_counts = owner->down_counts;
    owner->node.down_counts_count = count_used(owner->down_counts);
    buf_clear(&owners->value);
    int r = identity_node_encode(&owner->node, &owners->value);
    if (r == 0)
        r = state_put(state, TABLE_NODE, str_make(owner->id, KEY_SIZE), buf_str(&owners->value));
    owner->dirty = false;
    return r;
}

int owners_flush(struct owners *owners, struct state *state)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < owners->size; i++)
        if (owners->slots[i] && owners->slots[i]->dirty)
            r = save(owners, state, owners->slots[i]);
    return r;
}

void owners_forget(struct owners *owners)
{
    memset(owners->slots, 0, owners->size * sizeof *owners->slots);
    owners->count = 0;
    arena_reset(&owners->arena);
}

/* ---- edges ---- */

static void edge_key(
    uint8_t key[EDGE_KEY_SIZE], const uint8_t node[KEY_SIZE], const uint8_t other[KEY_SIZE])
{
    memcpy(key, node, KEY_SIZE);
    memcpy(key + KEY_SIZE, other, KEY_SIZE);
}

static int read_edge(struct str value, struct edge *edge)
{
    uint32_t numbers[5];
    if (value.size != EDGE_VALUE_SIZE)
        return ERR_STATE;
    memcpy(numbers, value.data, sizeof numbers);
    uint8_t flags = (uint8_t)value.data[sizeof numbers];
    *edge = (struct edge){
        .up = numbers[0],
        .derived_up = numbers[1],
        .derived_down = numbers[2],
        .claim_number = numbers[3],
        .told_number = numbers[4],
        .down = flags & EDGE_DOWN,
        .generic = flags & EDGE_GENERIC,
        .has_root = flags & EDGE_HAS_ROOT,
        .claimant = flags & EDGE_CLAIMANT,
        .told_accepted = flags & EDGE_TOLD_ACCEPTED,
    };
    memcpy(edge->root, value.data + sizeof numbers + 1, KEY_SIZE);
    return 0;
}

int edge_get(struct state *state, const uint8_t node[KEY_SIZE], const uint8_t other[KEY_SIZE],
    struct edge *out)
{
    uint8_t key[EDGE_KEY_SIZE];
    struct str value;
    edge_key(key, node, other);
    int r = state_get(state, TABLE_EDGE, str_make(key, sizeof key), &value);
    if (r < 0)
        return r;
    if (r == 0)
        return read_edge(value, out);
    *out = (struct edge){.up = 0};
    return 0;
}

int edge_put(struct state *state, const uint8_t node[KEY_SIZE], const uint8_t other[KEY_SIZE],
    const struct edge *edge)
{
    uint8_t key[EDGE_KEY_SIZE], value[EDGE_VALUE_SIZE];
    const uint32_t numbers[5] = {
        edge->up, edge->derived_up, edge->derived_down, edge->claim_number, edge->told_number};
    unsigned flags = (edge->down ? EDGE_DOWN : 0u) | (edge->generic ? EDGE_GENERIC : 0u) |
                     (edge->has_root ? EDGE_HAS_ROOT : 0u) | (edge->claimant ? EDGE_CLAIMANT : 0u) |
                     (edge->told_accepted ? EDGE_TOLD_ACCEPTED : 0u);
    edge_key(key, node, other);
    memcpy(value, numbers, sizeof numbers);
    value[sizeof numbers] = (uint8_t)flags;
    memcpy(value + sizeof numbers + 1, edge->root, KEY_SIZE);
    bool empty = true;
    for (size_t i = 0; empty && i < sizeof value; i++)
        empty = value[i] == 0;
    struct str row = str_make(key, sizeof key);
    return empty ? state_delete(state, TABLE_EDGE, row)
                 : state_put(state, TABLE_EDGE, row, str_make(value, sizeof value));
}

/* A list in the arena that doubles. */
struct list {
    struct arena *arena;
    struct neighbour *items;
    size_t count;
    size_t room;
};

static int list_add(struct list *list, struct str key, struct str value)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 8;
        struct neighbour *more = arena_alloc(list->arena, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (list->count)
            memcpy(more, list->items, list->count * sizeof *more);
        list->items = more;
        list->room = room;
    }
    if (key.size != EDGE_KEY_SIZE)
        return ERR_STATE;
    struct neighbour *item = &list->items[list->count];
    memcpy(item->id, key.data + KEY_SIZE, KEY_SIZE);
    int r = read_edge(value, &item->edge);
    list->count += r == 0;
    return r;
}

static int scan_edges(
    struct state *state, struct str prefix, uint8_t first_byte_end, struct list *list)
{
    struct state_scan *scan;
    struct str key, value;
    int r = state_scan_begin(state, TABLE_EDGE, prefix, &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        if (first_byte_end && (uint8_t)key.data[KEY_SIZE] >= first_byte_end)
            break;
        r = list_add(list, key, value);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

int edges_list(struct state *state, const uint8_t node[KEY_SIZE], struct str prefix,
    struct arena *arena, struct neighbour **out, size_t *count)
{
    uint8_t from[EDGE_KEY_SIZE];
    check(prefix.size <= KEY_SIZE);
    memcpy(from, node, KEY_SIZE);
    if (prefix.size)
        memcpy(from + KEY_SIZE, prefix.data, prefix.size);
    struct list list = {.arena = arena};
    int r = scan_edges(state, str_make(from, KEY_SIZE + prefix.size), 0, &list);
    *out = list.items;
    *count = list.count;
    return r;
}

int edges_above(struct state *state, const uint8_t node[KEY_SIZE], struct arena *arena,
    struct neighbour **out, size_t *count)
{
    struct list list = {.arena = arena};
    int r = node[0] ? scan_edges(state, str_make(node, KEY_SIZE), node[0], &list) : 0;
    *out = list.items;
    *count = list.count;
    return r;
}
