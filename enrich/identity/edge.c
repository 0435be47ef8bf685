/*
 * Neighbours in two short arrays, the rest as rows node | neighbour; claims as rows node | ff |
 * claimant. No class is ff, so the two do not meet.
 *
 * Invariants:
 *  I1 a neighbour stands once: in its array or in a row.
 *  I2 owner->rows counts the rows of each class, and those of them with links; none counts zero.
 *  I3 members of a set stand in id order: made at once, the first in the array, the rest in rows.
 */
#include "enrich/identity/edge.h"

#include "ingest/stream/row_schema.h"
#include "schemas/error.h"
#include "schemas/identity_claim.avro.h"
#include "schemas/identity_edge.avro.h"

#define EDGE_KEY_SIZE (2 * KEY_SIZE)
#define CLAIM_MARK ROW_CLAIM_MARK
#define CLAIM_KEY_SIZE (KEY_SIZE + 1 + KEY_SIZE)
#define EDGES_ROOM_MIN 4
#define ROWS_ROOM_MIN 4

static bool is_above(const struct owner *owner, const uint8_t other[KEY_SIZE])
{
    return memcmp(other, owner->id, KEY_SIZE) < 0;
}

static bool says_nothing(const struct edge *edge)
{
    return edge->links == 0 && edge->bridges == 0 && edge->flags == 0 &&
           memcmp(edge->root, edge->node, KEY_SIZE) == 0;
}

static struct edge *find(const struct edge_array *array, const uint8_t other[KEY_SIZE])
{
    for (size_t i = 0; i < array->count; i++)
        if (memcmp(array->edges[i].node, other, KEY_SIZE) == 0)
            return &array->edges[i];
    return NULL;
}

static struct edge_rows *find_rows(const struct owner *owner, int class)
{
    for (size_t i = 0; i < owner->rows_count; i++)
        if (owner->rows[i].class == class)
            return &owner->rows[i];
    return NULL;
}

static struct str edge_key(
    uint8_t key[EDGE_KEY_SIZE], const uint8_t node[KEY_SIZE], const uint8_t other[KEY_SIZE])
{
    memcpy(key, node, KEY_SIZE);
    memcpy(key + KEY_SIZE, other, KEY_SIZE);
    return str_make(key, EDGE_KEY_SIZE);
}

/* Damage in a row is the state's fault, not that of the running record. */
static int row_error(int r)
{
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

static int read_row(
    struct owners *owners, const uint8_t other[KEY_SIZE], struct str value, struct edge *out)
{
    struct identity_edge row;
    int r = identity_edge_decode(&row, value, owners_scratch(owners));
    if (r < 0)
        return row_error(r);
    *out = (struct edge){
        .links = row.links, .bridges = row.bridges, .flags = (unsigned)row.flags, .in_row = true};
    memcpy(out->node, other, KEY_SIZE);
    memcpy(out->root, row.has_root ? row.root : other, KEY_SIZE);
    return 0;
}

int edge_get(struct owners *owners, const struct owner *owner, const uint8_t other[KEY_SIZE],
    struct edge *out)
{
    const struct edge_array *array = is_above(owner, other) ? &owner->above : &owner->below;
    const struct edge *found = find(array, other);
    uint8_t key[EDGE_KEY_SIZE];
    struct str value;
    int r = STATE_ABSENT;
    if (found) {
        *out = *found;
        return 0;
    }
    if (find_rows(owner, node_class(other)))
        r = state_get(owners_state(owners), TABLE_EDGE, edge_key(key, owner->id, other), &value);
    if (r < 0)
        return r;
    if (r == 0)
        return read_row(owners, other, value, out);
    *out = (struct edge){.links = 0};
    memcpy(out->node, other, KEY_SIZE);
    memcpy(out->root, other, KEY_SIZE);
    return 0;
}

/* ---- writing ---- */

/* Counts a row that appears (+1), goes (-1) or stays (0), and its links likewise. */
static int count_row(struct owners *owners, struct owner *owner, int class, int rows, int linked)
{
    struct edge_rows *counted = find_rows(owner, class);
    if (!counted) {
        if (owner->rows_count == owner->rows_room) {
            size_t room = owner->rows_room ? owner->rows_room * 2 : ROWS_ROOM_MIN;
            struct edge_rows *more = arena_alloc(owners_arena(owners), room * sizeof *more);
            if (!more)
                return ERR_NO_MEMORY;
            if (owner->rows_count)
                memcpy(more, owner->rows, owner->rows_count * sizeof *more);
            owner->rows = more;
            owner->rows_room = room;
        }
        counted = &owner->rows[owner->rows_count++];
        *counted = (struct edge_rows){.class = class};
    }
    counted->count += rows;
    counted->linked += linked;
    if (counted->count == 0)
        *counted = owner->rows[--owner->rows_count];
    owner_changed(owners, owner);
    return 0;
}

static int write_row(struct owners *owners, const struct owner *owner, const struct edge *edge)
{
    uint8_t key[EDGE_KEY_SIZE];
    struct identity_edge row = {
        .links = edge->links,
        .bridges = edge->bridges,
        .flags = (int32_t)edge->flags,
        .has_root = memcmp(edge->root, edge->node, KEY_SIZE) != 0,
    };
    memcpy(row.root, edge->root, KEY_SIZE);
    struct buf *value = owners_buffer(owners);
    int r = identity_edge_encode(&row, value);
    if (r < 0)
        return r;
    return state_put(
        owners_state(owners), TABLE_EDGE, edge_key(key, owner->id, edge->node), buf_str(value));
}

static int put_in_row(struct owners *owners, struct owner *owner, const struct edge *edge)
{
    struct edge old = {.links = 0};
    int class = node_class(edge->node), r = 0;
    if (edge->in_row)
        r = edge_get(owners, owner, edge->node, &old);
    if (r < 0)
        return r;
    int linked = (edge->links > 0) - (old.links > 0);
    if (!says_nothing(edge)) {
        r = write_row(owners, owner, edge);
        bool counts = !edge->in_row || linked;
        return r == 0 && counts ? count_row(owners, owner, class, !edge->in_row, linked) : r;
    }
    if (!edge->in_row)
        return 0;
    uint8_t key[EDGE_KEY_SIZE];
    r = state_delete(owners_state(owners), TABLE_EDGE, edge_key(key, owner->id, edge->node));
    return r == 0 ? count_row(owners, owner, class, -1, linked) : r;
}

/* Returns STATE_ABSENT when the array may not grow. */
static int add_inline(
    struct owners *owners, struct edge_array *array, size_t max, const struct edge *edge)
{
    if (array->count == max)
        return STATE_ABSENT;
    if (array->count == array->room) {
        size_t room = array->room ? array->room * 2 : EDGES_ROOM_MIN;
        struct edge *more = arena_alloc(owners_arena(owners), room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (array->count)
            memcpy(more, array->edges, array->count * sizeof *more);
        array->edges = more;
        array->room = room;
    }
    array->edges[array->count++] = *edge;
    return 0;
}

int edge_put(struct owners *owners, struct owner *owner, const struct edge *edge)
{
    bool above = is_above(owner, edge->node);
    struct edge_array *array = above ? &owner->above : &owner->below;
    struct edge *found = find(array, edge->node);
    if (found) {
        if (says_nothing(edge))
            *found = array->edges[--array->count];
        else
            *found = *edge;
        owner_changed(owners, owner);
        return 0;
    }
    if (edge->in_row || says_nothing(edge))
        return put_in_row(owners, owner, edge);
    int r = add_inline(owners, array, above ? EDGES_ABOVE_MAX : EDGES_BELOW_MAX, edge);
    if (r == STATE_ABSENT)
        return put_in_row(owners, owner, edge);
    owner_changed(owners, owner);
    return r;
}

/* ---- lists ---- */

static int scan_class(struct owners *owners, const struct owner *owner,
    const struct edge_rows *rows, bool above, struct edge_list *list)
{
    uint8_t prefix[KEY_SIZE + 1];
    size_t end = list->count + (size_t)rows->count;
    struct state_scan *scan;
    struct str key, value;
    memcpy(prefix, owner->id, KEY_SIZE);
    prefix[KEY_SIZE] = (uint8_t)rows->class;
    int r =
        state_scan_begin(owners_state(owners), TABLE_EDGE, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        if (key.size == EDGE_KEY_SIZE &&
            is_above(owner, (const uint8_t *)key.data + KEY_SIZE) != above)
            continue; /* evidence links within a rank, both ways */
        if (key.size != EDGE_KEY_SIZE || list->count == end)
            r = ERR_STATE;
        else
            r = read_row(
                owners, (const uint8_t *)key.data + KEY_SIZE, value, &list->edges[list->count++]);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

/* Rows of the class may be on that side; of its own rank, on both. */
static bool on_side(const struct owner *owner, const struct edge_rows *rows, bool above)
{
    int own = node_class(owner->id);
    return rows->class == own || (rows->class < own) == above;
}

/* The array alone where that is all. */
static int list_side(
    struct owners *owners, const struct owner *owner, bool above, struct edge_list *out)
{
    const struct edge_array *array = above ? &owner->above : &owner->below;
    size_t room = array->count;
    int r = 0;
    for (size_t i = 0; i < owner->rows_count; i++)
        if (on_side(owner, &owner->rows[i], above))
            room += (size_t)owner->rows[i].count;
    *out = (struct edge_list){array->edges, array->count};
    if (room == array->count)
        return 0;
    out->edges = arena_alloc(owners_scratch(owners), room * sizeof *out->edges);
    if (!out->edges)
        return ERR_NO_MEMORY;
    if (array->count)
        memcpy(out->edges, array->edges, array->count * sizeof *out->edges);
    for (size_t i = 0; r == 0 && i < owner->rows_count; i++)
        if (on_side(owner, &owner->rows[i], above))
            r = scan_class(owners, owner, &owner->rows[i], above, out);
    return r;
}

int edges_above(struct owners *owners, const struct owner *owner, struct edge_list *out)
{
    return list_side(owners, owner, true, out);
}

int edges_below(struct owners *owners, const struct owner *owner, struct edge_list *out)
{
    return list_side(owners, owner, false, out);
}

int edges_spare(struct owners *owners, struct owner *owner)
{
    struct edge_list above;
    int r = edges_above(owners, owner, &above);
    for (size_t i = 0; r == 0 && i < above.count; i++) {
        struct edge edge = above.edges[i];
        if (edge.links == 0 || (edge.flags & EDGE_OTHERS))
            continue;
        edge.flags |= EDGE_OTHERS;
        r = edge_put(owners, owner, &edge);
    }
    return r;
}

int edges_spared(
    struct owners *owners, const struct owner *owner, const struct link_end *others, size_t count)
{
    struct edge edge;
    for (size_t i = 0; i < count; i++) {
        int r = edge_get(owners, owner, others[i].node, &edge);
        if (r < 0 || !(edge.flags & EDGE_OTHERS))
            return r < 0 ? r : 0;
    }
    return 1;
}

int edges_kin(struct owners *owners, const struct owner *owner, bool above, struct edge_list *out)
{
    const struct edge_array *array = above ? &owner->above : &owner->below;
    int own = node_class(owner->id);
    const struct edge_rows *rows = find_rows(owner, own);
    size_t room = rows ? (size_t)rows->count : 0;
    for (size_t i = 0; i < array->count; i++)
        room += node_class(array->edges[i].node) == own;
    *out = (struct edge_list){.count = 0};
    if (room == 0)
        return 0;
    out->edges = arena_alloc(owners_scratch(owners), room * sizeof *out->edges);
    if (!out->edges)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < array->count; i++)
        if (node_class(array->edges[i].node) == own)
            out->edges[out->count++] = array->edges[i];
    return rows ? scan_class(owners, owner, rows, above, out) : 0;
}

int64_t edges_linked(const struct owner *owner, int class)
{
    const struct edge_array *sides[] = {&owner->above, &owner->below};
    const struct edge_rows *rows = find_rows(owner, class);
    int64_t count = rows ? rows->linked : 0;
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < sides[side]->count; i++)
            count +=
                node_class(sides[side]->edges[i].node) == class && sides[side]->edges[i].links > 0;
    return count;
}

int edges_drop_below(struct owners *owners, struct owner *owner)
{
    struct edge_list list;
    uint8_t key[EDGE_KEY_SIZE];
    int r = edges_below(owners, owner, &list);
    for (size_t i = owner->below.count; r == 0 && i < list.count; i++) {
        const struct edge *edge = &list.edges[i];
        r = state_delete(owners_state(owners), TABLE_EDGE, edge_key(key, owner->id, edge->node));
        if (r == 0)
            r = count_row(owners, owner, node_class(edge->node), -1, -(edge->links > 0));
    }
    owner->below.count = 0;
    owner_changed(owners, owner);
    return r;
}

/* ---- claims ---- */

static struct str claim_key(
    uint8_t key[CLAIM_KEY_SIZE], const struct owner *root, const uint8_t claimant[KEY_SIZE])
{
    memcpy(key, root->id, KEY_SIZE);
    key[KEY_SIZE] = CLAIM_MARK;
    memcpy(key + KEY_SIZE + 1, claimant, KEY_SIZE);
    return str_make(key, CLAIM_KEY_SIZE);
}

static int read_claim(struct owners *owners, struct str key, struct str value, struct claim *out)
{
    struct identity_claim row;
    if (key.size != CLAIM_KEY_SIZE)
        return ERR_STATE;
    int r = identity_claim_decode(&row, value, owners_scratch(owners));
    if (r < 0)
        return row_error(r);
    *out = (struct claim){.number = row.number, .told_number = row.told_number, .told = row.told};
    memcpy(out->claimant, key.data + KEY_SIZE + 1, KEY_SIZE);
    return 0;
}

int claim_get(struct owners *owners, const struct owner *root, const uint8_t claimant[KEY_SIZE],
    struct claim *out)
{
    uint8_t bytes[CLAIM_KEY_SIZE];
    struct str key = claim_key(bytes, root, claimant), value;
    int r = state_get(owners_state(owners), TABLE_EDGE, key, &value);
    return r ? r : read_claim(owners, key, value, out);
}

int claim_put(struct owners *owners, const struct owner *root, const struct claim *claim)
{
    uint8_t key[CLAIM_KEY_SIZE];
    const struct identity_claim row = {
        .number = claim->number, .told_number = claim->told_number, .told = claim->told};
    struct buf *value = owners_buffer(owners);
    int r = identity_claim_encode(&row, value);
    if (r < 0)
        return r;
    return state_put(
        owners_state(owners), TABLE_EDGE, claim_key(key, root, claim->claimant), buf_str(value));
}

int claim_delete(struct owners *owners, const struct owner *root, const uint8_t claimant[KEY_SIZE])
{
    uint8_t key[CLAIM_KEY_SIZE];
    return state_delete(owners_state(owners), TABLE_EDGE, claim_key(key, root, claimant));
}

int claims_first(
    struct owners *owners, const struct owner *root, int class, struct claim *out, size_t *count)
{
    uint8_t prefix[KEY_SIZE + 2];
    struct state_scan *scan;
    struct str key, value;
    size_t room = *count;
    memcpy(prefix, root->id, KEY_SIZE);
    prefix[KEY_SIZE] = CLAIM_MARK;
    prefix[KEY_SIZE + 1] = (uint8_t) class;
    int r =
        state_scan_begin(owners_state(owners), TABLE_EDGE, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    *count = 0;
    while (*count < room && (r = state_scan_next(scan, &key, &value)) == 0) {
        r = read_claim(owners, key, value, &out[*count]);
        if (r < 0)
            break;
        ++*count;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}
