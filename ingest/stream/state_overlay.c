/*
 * A hash table of touched rows in an arena, and a list of them for each group so that scans find
 * them.
 *
 * Invariants:
 *  I1 an entry's `committed` is what the backend says of its key; it never changes within a batch.
 *  I2 a value slice handed out is never overwritten: a new put allocates anew.
 *  I3 every entry that was ever written hangs in exactly one group's list, that of (table, first
 *     GROUP_SIZE bytes of its key); one that was only read, in none.
 */
#include "ingest/stream/state_overlay.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SLOTS_MIN ((size_t)64)
#define DIGITS 256
#define RADIX_MIN ((size_t)512) /* fewer are compared with each other sooner */
#define AHEAD 8                 /* rows: so early is one asked for that is not in the cache */
#define SLOTS_SPARSE 16 /* a table that used less than 1/16 is halved: clearing it costs, too */

struct entry {
    struct entry *group_next;
    struct str key;
    struct str value;
    struct str committed;
    uint8_t table;
    bool deleted;
    bool was_absent;
    bool grouped;
};

struct group {
    struct entry *entries;
    uint8_t table;
    uint8_t id[GROUP_SIZE];
};

struct slot {
    uint64_t hash;
    void *element; /* NULL: free */
};

/* Open addressing, power of two, at most half full. The hash stands beside the element: of a large
 * batch neither is in the processor's cache, and most probes end with the hash. */
struct slots {
    struct slot *slots;
    size_t size;
    size_t count;
};

/* A row to sort. */
struct ranked {
    uint64_t rank; /* table, then the first 7 bytes of the key */
    const struct entry *entry;
};

struct state {
    struct state_backend *backend;
    struct arena arena;
    struct slots entries;
    struct slots groups;
    struct state_change *changes;
    struct ranked *ranked; /* as large, and as much again to sort them with */
    size_t changes_room;
};

static uint64_t hash_key(enum table table, struct str key)
{
    return hash64(key) ^ (uint64_t)(table + 1) * 0x9e3779b97f4a7c15;
}

static int slots_init(struct slots *slots, size_t size)
{
    struct slot *fresh = calloc(size, sizeof *fresh);
    if (!fresh)
        return ERR_NO_MEMORY;
    memory_expect_use(fresh, size * sizeof *fresh);
    *slots = (struct slots){.slots = fresh, .size = size};
    return 0;
}

static void slots_add(struct slots *slots, void *element, uint64_t hash)
{
    size_t at = (size_t)hash & (slots->size - 1);
    while (slots->slots[at].element)
        at = (at + 1) & (slots->size - 1);
    slots->slots[at] = (struct slot){hash, element};
    slots->count++;
}

static int slots_grow(struct slots *slots)
{
    if (slots->count * 2 < slots->size)
        return 0;
    struct slots larger;
    int r = slots_init(&larger, slots->size * 2);
    if (r < 0)
        return r;
    for (size_t i = 0; i < slots->size; i++)
        if (slots->slots[i].element)
            slots_add(&larger, slots->slots[i].element, slots->slots[i].hash);
    free(slots->slots);
    *slots = larger;
    return 0;
}

/* The first slot from *at on that has an element of the hash, or NULL; *at is then behind it. */
static void *slots_next(const struct slots *slots, uint64_t hash, size_t *at)
{
    const struct slot *slot;
    while ((slot = &slots->slots[*at & (slots->size - 1)])->element) {
        ++*at;
        if (slot->hash == hash)
            return slot->element;
    }
    return NULL;
}

static struct entry *find_entry(
    const struct state *state, enum table table, struct str key, uint64_t hash)
{
    size_t at = (size_t)hash;
    struct entry *entry;
    while ((entry = slots_next(&state->entries, hash, &at)))
        if (entry->table == table && str_equal(entry->key, key))
            return entry;
    return NULL;
}

static struct group *find_group(
    const struct state *state, enum table table, const char *id, uint64_t hash)
{
    size_t at = (size_t)hash;
    struct group *group;
    while ((group = slots_next(&state->groups, hash, &at)))
        if (group->table == table && memcmp(group->id, id, GROUP_SIZE) == 0)
            return group;
    return NULL;
}

static int add_to_group(struct state *state, struct entry *entry)
{
    uint64_t hash = hash_key((enum table)entry->table, str_make(entry->key.data, GROUP_SIZE));
    struct group *group = find_group(state, (enum table)entry->table, entry->key.data, hash);
    if (!group) {
        int r = slots_grow(&state->groups);
        if (r < 0)
            return r;
        group = arena_alloc(&state->arena, sizeof *group);
        if (!group)
            return ERR_NO_MEMORY;
        *group = (struct group){.table = entry->table};
        memcpy(group->id, entry->key.data, GROUP_SIZE);
        slots_add(&state->groups, group, hash);
    }
    entry->group_next = group->entries;
    entry->grouped = true;
    group->entries = entry;
    return 0;
}

/* What is committed of a row, unless the caller knows that there is none. */
static int get_committed(
    struct state *state, enum table table, struct str key, bool absent, struct str *value)
{
#ifdef TABIJI_FAULT_POINTS
    int r = state->backend->get(state->backend, table, key, value);
    check(!absent || r != 0);
    return r;
#else
    return absent ? STATE_ABSENT : state->backend->get(state->backend, table, key, value);
#endif
}

/* Finds or makes the entry of a row: who reads one mostly writes it then. */
static int meet(
    struct state *state, enum table table, struct str key, bool absent, struct entry **out)
{
    uint64_t hash = hash_key(table, key);
    struct entry *entry = find_entry(state, table, key, hash);
    if (entry) {
        *out = entry;
        return 0;
    }
    int r = slots_grow(&state->entries);
    if (r < 0)
        return r;
    entry = arena_alloc(&state->arena, sizeof *entry);
    if (!entry)
        return ERR_NO_MEMORY;
    *entry = (struct entry){.table = (uint8_t)table};
    r = arena_dup(&state->arena, key, &entry->key);
    if (r == 0)
        r = get_committed(state, table, key, absent, &entry->committed);
    if (r < 0)
        return r;
    entry->was_absent = entry->deleted = r == STATE_ABSENT;
    entry->value = entry->committed;
    slots_add(&state->entries, entry, hash);
    *out = entry;
    return 0;
}

/* The entry of a row that is about to be written. */
static int touch(
    struct state *state, enum table table, struct str key, bool absent, struct entry **out)
{
    int r = meet(state, table, key, absent, out);
    return r < 0 || (*out)->grouped ? r : add_to_group(state, *out);
}

int state_new(struct state_backend *backend, struct state **out)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return ERR_NO_MEMORY;
    state->backend = backend;
    state->arena.size_max = (size_t)1 << 36;
    int r = slots_init(&state->entries, SLOTS_MIN);
    if (r == 0)
        r = slots_init(&state->groups, SLOTS_MIN);
    if (r < 0) {
        state_free(&state);
        return r;
    }
    *out = state;
    return 0;
}

void state_free(struct state **state)
{
    if (*state) {
        arena_free(&(*state)->arena);
        free((*state)->entries.slots);
        free((*state)->groups.slots);
        free((*state)->changes);
        free((*state)->ranked);
    }
    free(*state);
    *state = NULL;
}

void state_block_max(struct state *state, size_t bytes)
{
    state->arena.block_size_max = bytes;
}

int state_get(struct state *state, enum table table, struct str key, struct str *value)
{
    check(key.size >= GROUP_SIZE);
    struct entry *entry;
    int r = meet(state, table, key, false, &entry);
    if (r < 0)
        return r;
    if (entry->deleted)
        return STATE_ABSENT;
    *value = entry->value;
    return 0;
}

static int put(struct state *state, enum table table, struct str key, struct str value, bool absent)
{
    check(key.size >= GROUP_SIZE);
    if (key.size > STATE_KEY_SIZE_MAX || value.size > STATE_VALUE_SIZE_MAX)
        return ERR_TOO_LARGE;
    struct entry *entry;
    int r = touch(state, table, key, absent, &entry);
    if (r < 0 || (!entry->deleted && str_equal(entry->value, value)))
        return r;
    if (!entry->was_absent && str_equal(entry->committed, value))
        entry->value = entry->committed;
    else
        r = arena_dup(&state->arena, value, &entry->value);
    if (r == 0)
        entry->deleted = false;
    return r;
}

int state_put(struct state *state, enum table table, struct str key, struct str value)
{
    return put(state, table, key, value, false);
}

int state_put_new(struct state *state, enum table table, struct str key, struct str value)
{
    return put(state, table, key, value, true);
}

int state_delete(struct state *state, enum table table, struct str key)
{
    check(key.size >= GROUP_SIZE);
    struct entry *entry;
    int r = touch(state, table, key, false, &entry);
    if (r < 0)
        return r;
    entry->deleted = true;
    entry->value = (struct str){0};
    return 0;
}

/* ---- scans: the backend's rows and the group's entries, merged ---- */

struct state_scan {
    struct state *state;
    enum table table;
    struct str prefix;
    void *cursor;
    bool cursor_done;
    struct str cursor_key; /* the backend's next row; valid unless cursor_done */
    struct str cursor_value;
    const struct entry **entries; /* sorted by key */
    size_t entries_count;
    size_t entries_at;
};

static int compare_entries(const void *a, const void *b)
{
    return str_compare(
        (*(const struct entry *const *)a)->key, (*(const struct entry *const *)b)->key);
}

/* Rows that came and went within the batch are nowhere: scans pass them over, or a row that changes
 * its key with each record would make each scan longer than the last. */
static bool is_scanned(const struct state_scan *scan, const struct entry *entry)
{
    return !(entry->deleted && entry->was_absent) && str_starts_with(entry->key, scan->prefix);
}

static int collect_entries(struct state_scan *scan)
{
    uint64_t hash = hash_key(scan->table, str_make(scan->prefix.data, GROUP_SIZE));
    const struct group *group = find_group(scan->state, scan->table, scan->prefix.data, hash);
    size_t count = 0;
    for (const struct entry *e = group ? group->entries : NULL; e; e = e->group_next)
        count += is_scanned(scan, e);
    if (count == 0)
        return 0;
    scan->entries = arena_alloc(&scan->state->arena, count * sizeof *scan->entries);
    if (!scan->entries)
        return ERR_NO_MEMORY;
    for (const struct entry *e = group->entries; e; e = e->group_next)
        if (is_scanned(scan, e))
            scan->entries[scan->entries_count++] = e;
    qsort(scan->entries, count, sizeof *scan->entries, compare_entries);
    return 0;
}

static int advance_cursor(struct state_scan *scan)
{
    int r = scan->state->backend->scan_next(scan->cursor, &scan->cursor_key, &scan->cursor_value);
    if (r < 0)
        return r;
    scan->cursor_done = r == STATE_ABSENT || !str_starts_with(scan->cursor_key, scan->prefix);
    return 0;
}

int state_scan_begin(
    struct state *state, enum table table, struct str prefix, struct state_scan **out)
{
    check(prefix.size >= GROUP_SIZE);
    struct state_scan *scan = arena_alloc(&state->arena, sizeof *scan);
    if (!scan)
        return ERR_NO_MEMORY;
    *scan = (struct state_scan){.state = state, .table = table};
    int r = arena_dup(&state->arena, prefix, &scan->prefix);
    if (r == 0)
        r = collect_entries(scan);
    if (r < 0)
        return r;
    struct str group = str_make(prefix.data, GROUP_SIZE);
    scan->cursor_done =
        state->backend->lacks && state->backend->lacks(state->backend, table, group);
    if (scan->cursor_done) {
        *out = scan;
        return 0;
    }
    r = state->backend->scan_begin(state->backend, table, scan->prefix, &scan->cursor);
    if (r < 0)
        return r;
    r = advance_cursor(scan);
    if (r < 0) {
        state_scan_end(&scan);
        return r;
    }
    *out = scan;
    return 0;
}

int state_scan_next(struct state_scan *scan, struct str *key, struct str *value)
{
    for (;;) {
        const struct entry *entry =
            scan->entries_at < scan->entries_count ? scan->entries[scan->entries_at] : NULL;
        if (!entry && scan->cursor_done)
            return STATE_ABSENT;
        int order = !entry ? 1 : scan->cursor_done ? -1 : str_compare(entry->key, scan->cursor_key);
        struct str row_key = scan->cursor_key, row_value = scan->cursor_value;
        if (order >= 0) {
            int r = advance_cursor(scan);
            if (r < 0)
                return r;
        }
        if (order <= 0) {
            scan->entries_at++;
            if (entry->deleted)
                continue;
            row_key = entry->key;
            row_value = entry->value;
        }
        *key = row_key;
        *value = row_value;
        return 0;
    }
}

void state_scan_end(struct state_scan **scan)
{
    if (*scan && (*scan)->cursor)
        (*scan)->state->backend->scan_end((*scan)->cursor);
    *scan = NULL;
}

/* ---- what the driver takes ---- */

/* Table and first bytes of the key decide nearly always, without looking at the row itself. */
static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return str_compare(x->entry->key, y->entry->key);
}

/* By one byte of the ranks, stable; returns false, and does nothing, where all have the same. */
static bool sort_by_byte(const struct ranked *from, struct ranked *to, size_t count, unsigned shift)
{
    size_t places[DIGITS] = {0};
    for (size_t i = 0; i < count; i++)
        places[from[i].rank >> shift & (DIGITS - 1)]++;
    if (places[from[0].rank >> shift & (DIGITS - 1)] == count)
        return false;
    for (size_t digit = 0, place = 0; digit < DIGITS; digit++) {
        size_t of_digit = places[digit];
        places[digit] = place;
        place += of_digit;
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].rank >> shift & (DIGITS - 1)]++] = from[i];
    return true;
}

/* By rank, from its last byte to its first; then those of one rank among themselves. Returns where
 * they are, one of the two. */
static struct ranked *sort_ranked(struct ranked *ranked, struct ranked *spare, size_t count)
{
    if (count < RADIX_MIN) {
        if (count)
            qsort(ranked, count, sizeof *ranked, compare_ranked);
        return ranked;
    }
    for (unsigned shift = 0; shift < 64; shift += 8)
        if (sort_by_byte(ranked, spare, count, shift)) {
            struct ranked *sorted = spare;
            spare = ranked;
            ranked = sorted;
        }
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && ranked[end].rank == ranked[begin].rank; end++)
            ;
        if (end - begin > 1)
            qsort(ranked + begin, end - begin, sizeof *ranked, compare_ranked);
    }
    return ranked;
}

static bool changed(const struct entry *entry)
{
    if (entry->deleted || entry->was_absent)
        return entry->deleted != entry->was_absent;
    return !str_equal(entry->value, entry->committed);
}

static int reserve_changes(struct state *state)
{
    size_t count = state->entries.count;
    if (count <= state->changes_room)
        return 0;
    struct state_change *changes = realloc(state->changes, count * sizeof *changes);
    if (!changes)
        return ERR_NO_MEMORY;
    memory_expect_use(changes, count * sizeof *changes);
    state->changes = changes;
    struct ranked *ranked = realloc(state->ranked, 2 * count * sizeof *ranked);
    if (!ranked)
        return ERR_NO_MEMORY;
    memory_expect_use(ranked, 2 * count * sizeof *ranked);
    state->ranked = ranked;
    state->changes_room = count;
    return 0;
}

int state_changes(struct state *state, const struct state_change **changes, size_t *count)
{
    int r = reserve_changes(state);
    if (r < 0)
        return r;
    size_t found = 0;
    for (size_t i = 0; i < state->entries.size; i++) {
        if (i + AHEAD < state->entries.size)
            __builtin_prefetch(state->entries.slots[i + AHEAD].element);
        const struct entry *entry = state->entries.slots[i].element;
        if (!entry || !changed(entry))
            continue;
        uint64_t begin = get_be64((const uint8_t *)entry->key.data);
        state->ranked[found++] = (struct ranked){(uint64_t)entry->table << 56 | begin >> 8, entry};
    }
    const struct ranked *sorted =
        sort_ranked(state->ranked, state->ranked + state->changes_room, found);
    for (size_t i = 0; i < found; i++) {
        if (i + AHEAD < found)
            __builtin_prefetch(sorted[i + AHEAD].entry);
        const struct entry *entry = sorted[i].entry;
        state->changes[i] = (struct state_change){
            .table = (enum table)entry->table,
            .key = entry->key,
            .deleted = entry->deleted,
            .fresh = entry->was_absent,
            .stood = !entry->was_absent,
            .value = entry->value,
        };
    }
    *changes = state->changes;
    *count = found;
    return 0;
}

size_t state_size(const struct state *state)
{
    return state->arena.size;
}

size_t state_used(const struct state *state)
{
    return state->arena.size - (size_t)(state->arena.end - state->arena.next);
}

/* Empties a table; after a large batch small ones get small tables back. */
static void slots_clear(struct slots *slots)
{
    struct slots smaller;
    if (slots->size > SLOTS_MIN && slots->count < slots->size / SLOTS_SPARSE &&
        slots_init(&smaller, slots->size / 2) == 0) {
        free(slots->slots);
        *slots = smaller;
        return;
    }
    memset(slots->slots, 0, slots->size * sizeof *slots->slots);
    slots->count = 0;
}

void state_reset(struct state *state)
{
    slots_clear(&state->entries);
    slots_clear(&state->groups);
    arena_reset(&state->arena);
}
