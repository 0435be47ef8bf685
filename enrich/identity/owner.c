/*
 * A hash table of owners over an arena, and the list of those whose rows are older.
 *
 * Invariants:
 *  I1 an owner in the table is the truth of the running batch; its row is that of the batch before
 *     until flush. Rows of neighbours, claims and signatures are written at once.
 *  I2 `root` is a function of the row: the claim where it needs no accepting or is accepted. Of one
 *     that follows, the claim is what it was told of the root of whom it follows.
 *  I3 an owner that does not exist is never dirty.
 */
#include "enrich/identity/owner.h"

#include <stdlib.h>

#include "enrich/identity/edge.h"
#include "enrich/identity/person.h"
#include "enrich/identity/rotation.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"

#define SLOTS_MIN ((size_t)4096)
#define SLOTS_SPARSE 16 /* a table that used less than 1/16 is halved */
#define BLOCK_BYTES_MIN ((size_t)64 << 10)
#define INLINE_EDGES_MAX (EDGES_ABOVE_MAX + EDGES_BELOW_MAX)
#define SIGNATURE_KEY_SIZE (KEY_SIZE + SIGNATURE_SIZE)

struct owners {
    const struct namespace_table *namespaces;
    struct hmac_key tenant_key;
    struct state *state;
    struct arena *scratch;
    struct owner **slots; /* power of two, at most half full */
    size_t size;
    size_t count;
    struct owner *dirty;
    struct arena arena;
    size_t cache_bytes_max;
    struct buf value; /* reused for rows */
    struct inline_edge edges[INLINE_EDGES_MAX];
};

int owners_new(
    const struct namespace_table *namespaces, const uint8_t tenant_key[32], struct owners **out)
{
    struct owners *owners = calloc(1, sizeof *owners);
    if (!owners)
        return ERR_NO_MEMORY;
    owners->namespaces = namespaces;
    hmac_key_init(&owners->tenant_key, str_make(tenant_key, 32));
    owners->slots = calloc(SLOTS_MIN, sizeof *owners->slots);
    owners->size = SLOTS_MIN;
    owners->cache_bytes_max = OWNERS_SIZE_MAX;
    if (!owners->slots) {
        owners_free(&owners);
        return ERR_NO_MEMORY;
    }
    *out = owners;
    return 0;
}

void owners_cache_max(struct owners *owners, size_t bytes)
{
    if (bytes == 0 || bytes >= OWNERS_SIZE_MAX)
        return;
    owners->cache_bytes_max = bytes;
    owners->arena.block_size_max = bytes / 2 < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : bytes / 2;
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

void owners_enter(struct owners *owners, struct task *task)
{
    owners->state = task->state;
    owners->scratch = task->scratch;
}

struct state *owners_state(struct owners *owners)
{
    return owners->state;
}

struct arena *owners_scratch(struct owners *owners)
{
    return owners->scratch;
}

struct arena *owners_arena(struct owners *owners)
{
    return &owners->arena;
}

struct buf *owners_buffer(struct owners *owners)
{
    buf_clear(&owners->value);
    return &owners->value;
}

const struct namespace_table *owners_namespaces(const struct owners *owners)
{
    return owners->namespaces;
}

/* ---- the table ---- */

/* Ids are hashes but for their first byte. */
static size_t slot_of(const struct owners *owners, const uint8_t id[KEY_SIZE])
{
    uint64_t bits;
    memcpy(&bits, id + KEY_SIZE - sizeof bits, sizeof bits);
    size_t at = (size_t)bits & (owners->size - 1);
    while (owners->slots[at] && memcmp(owners->slots[at]->id, id, KEY_SIZE) != 0)
        at = (at + 1) & (owners->size - 1);
    return at;
}

/* Hashed once while the owner is in memory. */
static const uint8_t *own_person(const struct owners *owners, struct owner *owner)
{
    if (!owner->has_own)
        person_id(&owners->tenant_key, owner->id, owner->own);
    owner->has_own = true;
    return owner->own;
}

void owners_person(
    const struct owners *owners, const uint8_t root[KEY_SIZE], uint8_t person[KEY_SIZE])
{
    struct owner *owner = owners->slots[slot_of(owners, root)];
    if (owner)
        memcpy(person, own_person(owners, owner), KEY_SIZE);
    else
        person_id(&owners->tenant_key, root, person);
}

void owner_stay_person(const struct owners *owners, const struct owner *owner,
    const uint8_t member[KEY_SIZE], uint8_t person[KEY_SIZE])
{
    owners_person(owners, owner->flags & OWNER_NEWER ? owner->root : member, person);
}

static int grow(struct owners *owners)
{
    if (owners->count * 2 < owners->size)
        return 0;
    struct owners larger = {.size = owners->size * 2};
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return ERR_NO_MEMORY;
    memory_expect_use(larger.slots, larger.size * sizeof *larger.slots);
    for (size_t i = 0; i < owners->size; i++)
        if (owners->slots[i])
            larger.slots[slot_of(&larger, owners->slots[i]->id)] = owners->slots[i];
    free(owners->slots);
    owners->slots = larger.slots;
    owners->size = larger.size;
    return 0;
}

static void set_root(const struct owners *owners, struct owner *owner)
{
    bool protected = owners->namespaces->rules[node_rank(owner->id)].protected_max > 0;
    bool claims = !protected || (owner->flags & (OWNER_ACCEPTED | OWNER_FOLLOWS));
    memcpy(owner->root, claims ? owner->claim : owner->id, KEY_SIZE);
}

/* Counts that a scan may rely on. */
static bool rows_valid(const struct identity_node *node)
{
    for (size_t i = 0; i < node->rows_count; i++) {
        const struct edge_rows *rows = &node->rows[i];
        if (rows->class < 0 || rows->class > UINT8_MAX || rows->count <= 0 || rows->linked < 0 ||
            rows->linked > rows->count)
            return false;
    }
    return true;
}

/* What a row says of neighbours, to arrays in the cache's arena. */
static int load_edges(struct owners *owners, struct owner *owner, const struct identity_node *node)
{
    size_t count = node->edges_count;
    struct edge *edges = arena_alloc(&owners->arena, (count + 1) * sizeof *edges);
    if (!edges)
        return ERR_NO_MEMORY;
    size_t above = 0;
    for (size_t i = 0; i < count; i++) {
        const struct inline_edge *from = &node->edges[i];
        edges[i] = (struct edge){
            .links = from->links, .bridges = from->bridges, .flags = (unsigned)from->flags};
        memcpy(edges[i].node, from->node, KEY_SIZE);
        memcpy(edges[i].root, from->has_root ? from->root : from->node, KEY_SIZE);
        bool is_above = memcmp(from->node, owner->id, KEY_SIZE) < 0;
        above += is_above;
        if (above != i + 1 && is_above)
            return ERR_STATE; /* those above come first */
    }
    if (above > EDGES_ABOVE_MAX || count - above > EDGES_BELOW_MAX || !rows_valid(node))
        return ERR_STATE;
    owner->above = (struct edge_array){edges, above, above};
    owner->below = (struct edge_array){edges + above, count - above, count - above};
    owner->rows = node->rows;
    owner->rows_count = owner->rows_room = node->rows_count;
    return 0;
}

static int load_signatures(struct owners *owners, struct owner *owner, struct str signatures)
{
    if (signatures.size % SIGNATURE_SIZE || signatures.size > OWNER_SIGNATURES_MAX * SIGNATURE_SIZE)
        return ERR_STATE;
    if (signatures.size == 0)
        return 0;
    owner->signatures = arena_alloc(&owners->arena, (size_t)OWNER_SIGNATURES_MAX * SIGNATURE_SIZE);
    if (!owner->signatures)
        return ERR_NO_MEMORY;
    memcpy(owner->signatures, signatures.data, signatures.size);
    owner->signatures_count = signatures.size / SIGNATURE_SIZE;
    return 0;
}

static int load(struct owners *owners, struct owner *owner)
{
    struct str value;
    struct identity_node node;
    int r = state_get(owners->state, TABLE_NODE, str_make(owner->id, KEY_SIZE), &value);
    if (r)
        return r;
    r = identity_node_decode(&node, value, &owners->arena);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    r = load_edges(owners, owner, &node);
    if (r == 0)
        r = load_signatures(owners, owner, node.signatures);
    if (r < 0)
        return r;
    memcpy(owner->person, node.person, KEY_SIZE);
    if (node.has_claim)
        memcpy(owner->claim, node.claim, KEY_SIZE);
    if (node.has_candidate)
        memcpy(owner->candidate, node.candidate, KEY_SIZE);
    owner->epoch = node.epoch;
    owner->claim_number = node.claim_number;
    owner->signature_rows = node.signature_rows;
    owner->flags = (unsigned)node.flags;
    owner->exists = true;
    set_root(owners, owner);
    return 0;
}

int owners_get(struct owners *owners, const uint8_t id[KEY_SIZE], struct owner **out)
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
    memcpy(owner->claim, id, KEY_SIZE);
    memcpy(owner->root, id, KEY_SIZE);
    memcpy(owner->candidate, id, KEY_SIZE);
    r = load(owners, owner);
    if (r < 0)
        return r;
    if (r == STATE_ABSENT && !node_is_set(id)) {
        memcpy(owner->person, own_person(owners, owner), KEY_SIZE);
        owner->exists = true;
    }
    owners->slots[slot_of(owners, id)] = owner;
    owners->count++;
    *out = owner;
    return 0;
}

void owner_changed(struct owners *owners, struct owner *owner)
{
    if (owner->dirty)
        return;
    owner->dirty = true;
    owner->next_dirty = owners->dirty;
    owners->dirty = owner;
}

void owner_lost(struct owners *owners, struct owner *owner)
{
    owner->flags |= OWNER_LOST;
    owner->person_due = true;
    owner_changed(owners, owner);
}

int owner_make_set(
    struct owners *owners, struct owner *owner, const uint8_t (*members)[KEY_SIZE], size_t count)
{
    if (owner->exists)
        return 0;
    for (size_t i = 0; i < count; i++) {
        struct edge edge = {.flags = EDGE_MEMBER};
        memcpy(edge.node, members[i], KEY_SIZE);
        memcpy(edge.root, members[i], KEY_SIZE);
        int r = edge_put(owners, owner, &edge);
        if (r < 0)
            return r;
    }
    owners_person(owners, members[0], owner->person);
    owner->exists = true;
    owner_changed(owners, owner);
    return 0;
}

int owner_name(struct owners *owners, struct owner *owner, struct str value)
{
    if ((owner->flags & OWNER_NAMED) || value.size == 0 || node_is_set(owner->id))
        return 0;
    int r = arena_dup(&owners->arena, value, &owner->value);
    if (r < 0)
        return r;
    owner->flags |= OWNER_NAMED;
    owner->person_due = true;
    owner_changed(owners, owner);
    return 0;
}

/* ---- signatures: rows node | hash -> nothing, f | at (8) or k | at (8) | lifted_at (8) ---- */

/* A row; at: of the last erasure that forgot it, or NEVER. One that was forgotten and that a lift
 * let in again is known, for what comes under a lift of that time or later. */
struct signature_row {
    bool known;
    int64_t at;
    int64_t lifted_at; /* the latest lift that let an event of it in; 0 for none */
};
#define NEVER INT64_MIN
#define ROW_FORGOTTEN_SIZE (1u + 8)
#define ROW_KNOWN_SIZE (1u + 8 + 8)

static struct str signature_key(
    uint8_t key[SIGNATURE_KEY_SIZE], const struct owner *owner, const uint8_t *signature)
{
    memcpy(key, owner->id, KEY_SIZE);
    memcpy(key + KEY_SIZE, signature, SIGNATURE_SIZE);
    return str_make(key, SIGNATURE_KEY_SIZE);
}

static size_t find_signature(const struct owner *owner, const uint8_t *signature)
{
    size_t i = 0;
    while (i < owner->signatures_count &&
           memcmp(owner->signatures + i * SIGNATURE_SIZE, signature, SIGNATURE_SIZE) != 0)
        i++;
    return i;
}

/* A row of an older build does not say when it was forgotten. */
static int signature_row_decode(struct signature_row *out, struct str value)
{
    const uint8_t *bytes = (const uint8_t *)value.data;
    *out = (struct signature_row){.known = true, .at = NEVER};
    if (value.size == 0)
        return 0;
    out->known = value.data[0] == 'k';
    if (!out->known && value.size == 1) {
        out->at = 0;
        return 0;
    }
    if (value.size != (out->known ? ROW_KNOWN_SIZE : ROW_FORGOTTEN_SIZE))
        return ERR_STATE;
    out->at = get_be64_signed(bytes + 1);
    out->lifted_at = out->known ? get_be64_signed(bytes + 1 + 8) : 0;
    return 0;
}

static int signature_row_put(struct owners *owners, const struct owner *owner,
    const uint8_t *signature, const struct signature_row *row)
{
    uint8_t key[SIGNATURE_KEY_SIZE], value[ROW_KNOWN_SIZE];
    bool plain = row->known && row->at == NEVER && row->lifted_at == 0;
    value[0] = row->known ? 'k' : 'f';
    put_be64_signed(value + 1, row->at);
    put_be64_signed(value + 9, row->lifted_at);
    return state_put(owners->state, TABLE_SIGNATURE, signature_key(key, owner, signature),
        str_make(value, plain        ? 0
                        : row->known ? ROW_KNOWN_SIZE
                                     : ROW_FORGOTTEN_SIZE));
}

/* What is known of it. Returns STATE_ABSENT for nothing; *in_row: not in the node's own row. */
static int signature_find(struct owners *owners, const struct owner *owner,
    const uint8_t *signature, struct signature_row *out, bool *in_row)
{
    uint8_t key[SIGNATURE_KEY_SIZE];
    struct str found;
    *out = (struct signature_row){.known = true, .at = NEVER};
    *in_row = false;
    if (find_signature(owner, signature) < owner->signatures_count)
        return 0;
    out->known = false;
    if (!(owner->flags & (OWNER_SIGNATURE_ROWS | OWNER_FORGETS)))
        return STATE_ABSENT;
    int r = state_get(owners->state, TABLE_SIGNATURE, signature_key(key, owner, signature), &found);
    if (r)
        return r;
    *in_row = true;
    return signature_row_decode(out, found);
}

/* Out of the node's own row, or of the number of rows. */
static void signature_leave(struct owner *owner, const uint8_t *signature)
{
    size_t at = find_signature(owner, signature);
    if (at < owner->signatures_count)
        memmove(owner->signatures + at * SIGNATURE_SIZE,
            owner->signatures + --owner->signatures_count * SIGNATURE_SIZE, SIGNATURE_SIZE);
    else
        owner->signature_rows--;
}

static int know_in_rows(struct owners *owners, struct owner *owner, const uint8_t *signature,
    const struct signature_row *row)
{
    owner->flags |= OWNER_SIGNATURE_ROWS;
    owner->signature_rows++;
    owner_changed(owners, owner);
    return signature_row_put(owners, owner, signature, row);
}

static int know_new(struct owners *owners, struct owner *owner, const uint8_t *signature)
{
    const struct signature_row row = {.known = true, .at = NEVER};
    if (owner->signatures_count == OWNER_SIGNATURES_MAX)
        return know_in_rows(owners, owner, signature, &row);
    if (!owner->signatures)
        owner->signatures =
            arena_alloc(&owners->arena, (size_t)OWNER_SIGNATURES_MAX * SIGNATURE_SIZE);
    if (!owner->signatures)
        return ERR_NO_MEMORY;
    memcpy(owner->signatures + owner->signatures_count * SIGNATURE_SIZE, signature, SIGNATURE_SIZE);
    owner->signatures_count++;
    owner_changed(owners, owner);
    return 0;
}

int owner_know(
    struct owners *owners, struct owner *owner, const uint8_t *signature, int64_t lifted_at)
{
    struct signature_row row;
    bool in_row;
    int r = signature_find(owners, owner, signature, &row, &in_row);
    if (r < 0)
        return r;
    int was = row.known ? SIGNATURE_KNOWN : SIGNATURE_NEW;
    if (row.at != NEVER && (lifted_at == 0 || lifted_at < row.at))
        return SIGNATURE_FORGOTTEN;
    if (lifted_at == 0)
        r = row.known ? 0 : know_new(owners, owner, signature);
    if (lifted_at == 0 || (row.known && row.lifted_at >= lifted_at))
        return r < 0 ? r : was;
    if (row.known)
        signature_leave(owner, signature);
    row.known = true;
    row.lifted_at = lifted_at;
    r = know_in_rows(owners, owner, signature, &row);
    return r < 0 ? r : was;
}

int owner_forget(struct owners *owners, struct owner *owner, const uint8_t *signature, int64_t at)
{
    struct signature_row row;
    bool in_row;
    int r = signature_find(owners, owner, signature, &row, &in_row);
    if (r < 0)
        return r;
    int was = row.known ? SIGNATURE_KNOWN : in_row ? SIGNATURE_FORGOTTEN : SIGNATURE_NEW;
    bool stays = row.known && row.lifted_at > 0 && row.lifted_at >= at;
    if (was == SIGNATURE_FORGOTTEN && row.at >= at)
        return was;
    if (row.known && !stays)
        signature_leave(owner, signature);
    row.at = at > row.at ? at : row.at;
    row.known = stays;
    owner->flags |= OWNER_FORGETS | OWNER_LOST;
    owner->person_due = true;
    owner_changed(owners, owner);
    r = signature_row_put(owners, owner, signature, &row);
    return r < 0 ? r : stays ? SIGNATURE_STAYS : was;
}

/* ---- what shows a generic node: a row node | 06 -> count (8) ---- */

#define COUNT_MARK 0x06
#define COUNT_KEY_SIZE (KEY_SIZE + 1)

static struct str count_key(uint8_t key[COUNT_KEY_SIZE], const struct owner *owner)
{
    memcpy(key, owner->id, KEY_SIZE);
    key[KEY_SIZE] = COUNT_MARK;
    return str_make(key, COUNT_KEY_SIZE);
}

static int get_count(struct owners *owners, const struct owner *owner, int64_t *count)
{
    uint8_t key[COUNT_KEY_SIZE];
    struct str value;
    int r = state_get(owners->state, TABLE_SIGNATURE, count_key(key, owner), &value);
    if (r)
        return r < 0 ? r : ERR_STATE;
    if (value.size != sizeof *count)
        return ERR_STATE;
    *count = get_be64_signed((const uint8_t *)value.data);
    return 0;
}

static int put_count(struct owners *owners, const struct owner *owner, int64_t count)
{
    uint8_t key[COUNT_KEY_SIZE], value[sizeof count];
    put_be64_signed(value, count);
    return state_put(
        owners->state, TABLE_SIGNATURE, count_key(key, owner), str_make(value, sizeof value));
}

int owner_count_begin(struct owners *owners, struct owner *owner, int64_t count)
{
    owner->flags |= OWNER_COUNTS;
    owner_changed(owners, owner);
    return put_count(owners, owner, count);
}

int owner_count_add(struct owners *owners, struct owner *owner, int64_t add)
{
    int64_t count = 0;
    if (!(owner->flags & OWNER_COUNTS))
        return 0;
    if (add < 0)
        owner_lost(owners, owner);
    int r = get_count(owners, owner, &count);
    return r < 0 ? r : put_count(owners, owner, count + add);
}

/* ---- writing ---- */

static void fill_edges(struct owners *owners, const struct edge_array *edges, size_t *count)
{
    for (size_t i = 0; i < edges->count; i++) {
        const struct edge *edge = &edges->edges[i];
        struct inline_edge *to = &owners->edges[(*count)++];
        *to = (struct inline_edge){
            .links = edge->links,
            .bridges = edge->bridges,
            .flags = (int32_t)edge->flags,
            .has_root = memcmp(edge->root, edge->node, KEY_SIZE) != 0,
        };
        memcpy(to->node, edge->node, KEY_SIZE);
        memcpy(to->root, edge->root, KEY_SIZE);
    }
}

static int save(struct owners *owners, const struct owner *owner)
{
    struct identity_node node = {
        .flags = (int32_t)owner->flags,
        .epoch = owner->epoch,
        .has_claim = memcmp(owner->claim, owner->id, KEY_SIZE) != 0,
        .claim_number = owner->claim_number,
        .has_candidate = memcmp(owner->candidate, owner->id, KEY_SIZE) != 0,
        .signatures = str_make(owner->signatures, owner->signatures_count * SIGNATURE_SIZE),
        .signature_rows = owner->signature_rows,
        .edges = owners->edges,
        .rows = owner->rows,
        .rows_count = owner->rows_count,
    };
    memcpy(node.person, owner->person, KEY_SIZE);
    memcpy(node.claim, owner->claim, KEY_SIZE);
    memcpy(node.candidate, owner->candidate, KEY_SIZE);
    fill_edges(owners, &owner->above, &node.edges_count);
    fill_edges(owners, &owner->below, &node.edges_count);
    struct buf *value = owners_buffer(owners);
    int r = identity_node_encode(&node, value);
    if (r < 0)
        return r;
    return state_put(owners->state, TABLE_NODE, str_make(owner->id, KEY_SIZE), buf_str(value));
}

/* The identifier's text: from memory, else from the row that has it. */
static int text_of(struct owners *owners, const struct owner *owner, struct str *value)
{
    struct str row;
    struct person_of old;
    *value = owner->value;
    if (value->size)
        return 0;
    int r = state_get(owners->state, TABLE_PERSON_OF, str_make(owner->id, KEY_SIZE), &row);
    if (r == 0)
        r = person_of_decode(&old, row, owners->scratch);
    if (r != 0)
        return r < 0 && error_class(r) != ERROR_CLASS_REJECT ? r : ERR_STATE;
    *value = old.value;
    return 0;
}

/* PersonOf.why. */
static struct str why(const struct owner *owner)
{
    if (owner->flags & OWNER_NEWER)
        return STR("rotated");
    if (owner->flags & OWNER_GENERIC)
        return STR("generic");
    if (owner->flags & OWNER_FOLLOWS)
        return STR("linked");
    if (memcmp(owner->root, owner->id, KEY_SIZE) != 0)
        return STR("claim");
    if (memcmp(owner->claim, owner->id, KEY_SIZE) != 0)
        return STR("rejected");
    return owner->flags & OWNER_SHARED ? STR("shared") : STR("self");
}

/* Whether a neighbour shows the identifier. */
static bool shows(const struct edge_list *edges)
{
    bool shown = false;
    for (size_t i = 0; i < edges->count; i++)
        shown |= edges->edges[i].links > 0 || (edges->edges[i].flags & (EDGE_SAID | EDGE_CUT));
    return shown;
}

/* Whether a generic one knows of everything that shows it but the signatures that it has itself,
 * and of nothing that does. */
static int generic_unseen(struct owners *owners, const struct owner *owner)
{
    int64_t count = 0;
    if (!(owner->flags & OWNER_COUNTS) || (owner->flags & (OWNER_WORDED | OWNER_OLDER)))
        return 0;
    int r = get_count(owners, owner, &count);
    return r < 0 ? r : count == 0;
}

/* Returns 1 when no event that was not erased shows the identifier. */
static int vanished(
    struct owners *owners, const struct owner *owner, const struct rotation_older *older)
{
    struct edge_list above, below;
    if (owner->flags & OWNER_NEWER)
        return (owner->flags & OWNER_SUPPRESSED) && !older->passages;
    if (!(owner->flags & OWNER_LOST) || (owner->flags & OWNER_ALONE) || owner->signatures_count ||
        owner->signature_rows)
        return 0;
    int r = owner->flags & OWNER_GENERIC ? generic_unseen(owners, owner) : 1;
    if (r <= 0)
        return r;
    r = edges_above(owners, owner, &above);
    if (r == 0)
        r = edges_below(owners, owner, &below);
    return r < 0 ? r : !shows(&above) && !shows(&below);
}

static int save_person(struct owners *owners, struct owner *owner)
{
    struct person_of row;
    struct rotation_older older = {.passages = 0};
    int r = owner->flags & OWNER_NEWER ? rotation_older(owners, owner, &older) : 0;
    if (r == 0)
        r = vanished(owners, owner, &older);
    if (r < 0)
        return r;
    if (r == 1) {
        owner->flags &= ~(unsigned)OWNER_NAMED;
        owner->value = (struct str){0};
        return state_delete(owners->state, TABLE_PERSON_OF, str_make(owner->id, KEY_SIZE));
    }
    person_of_init(&row);
    r = text_of(owners, owner, &row.value);
    if (r < 0)
        return r;
    memcpy(row.node, owner->id, KEY_SIZE);
    row.namespace = owners->namespaces->rules[node_rank(owner->id)].name;
    row.epoch = owner->epoch;
    row.why = why(owner);
    if (owner->flags & OWNER_DEAD)
        owners_person(owners, owner->root, row.person);
    else
        memcpy(row.person, owner->person, KEY_SIZE);
    row.has_root = memcmp(owner->root, owner->id, KEY_SIZE) != 0;
    memcpy(row.root, owner->root, KEY_SIZE);
    memcpy(row.own, own_person(owners, owner), KEY_SIZE);
    row.has_own = memcmp(row.own, row.person, KEY_SIZE) != 0;
    row.has_older = owner->flags & OWNER_NEWER;
    memcpy(row.older, older.node, KEY_SIZE);
    row.rotated_at = older.at;
    struct buf *value = owners_buffer(owners);
    r = person_of_encode(&row, value);
    if (r < 0)
        return r;
    return state_put(owners->state, TABLE_PERSON_OF, str_make(owner->id, KEY_SIZE), buf_str(value));
}

int owners_flush(struct owners *owners)
{
    while (owners->dirty) {
        struct owner *owner = owners->dirty;
        int r = 0;
        if (owner->person_due && (owner->flags & OWNER_NAMED))
            r = save_person(owners, owner);
        if (r == 0)
            r = save(owners, owner);
        if (r < 0)
            return r;
        owner->person_due = false;
        owner->dirty = false;
        owners->dirty = owner->next_dirty;
    }
    if (owners->arena.size > owners->cache_bytes_max)
        owners_forget(owners);
    return 0;
}

void owners_forget(struct owners *owners)
{
    size_t half = owners->size / 2;
    struct owner **fewer = half >= SLOTS_MIN && owners->count < owners->size / SLOTS_SPARSE
                               ? calloc(half, sizeof *fewer)
                               : NULL;
    if (fewer) {
        free(owners->slots);
        owners->slots = fewer;
        owners->size = half;
    } else {
        memset(owners->slots, 0, owners->size * sizeof *owners->slots);
    }
    owners->count = 0;
    owners->dirty = NULL;
    arena_reset(&owners->arena);
}
