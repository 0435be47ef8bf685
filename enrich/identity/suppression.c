/*
 * Rows of TABLE_SIGNATURE:
 *     node | 00               at (8) | 0 (8) | person | lifts (8 each); SUPPRESSION_NEVER: no
 *                             erasure yet
 *     node | 05 | event_key   an event that was refused
 * and one of TABLE_PERSON_OF, node | 00, that tells of them.
 */
#include "enrich/identity/suppression.h"

#include "enrich/identity/edge.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"

#define ROW_KEY_SIZE (KEY_SIZE + 1)
#define REFUSED_MARK 0x05
#define REFUSAL_KEY_SIZE (KEY_SIZE + 1 + KEY_SIZE)

static struct str row_key(uint8_t key[ROW_KEY_SIZE], const struct owner *owner)
{
    memcpy(key, owner->id, KEY_SIZE);
    key[KEY_SIZE] = OWNER_SUPPRESSION_MARK;
    return str_make(key, ROW_KEY_SIZE);
}

/* Returns STATE_ABSENT where there is none. */
static int get(struct owners *owners, const struct owner *owner, struct suppression *out)
{
    uint8_t key[ROW_KEY_SIZE];
    struct str value;
    *out = (struct suppression){.at = SUPPRESSION_NEVER};
    int r = state_get(owners_state(owners), TABLE_SIGNATURE, row_key(key, owner), &value);
    if (r)
        return r;
    if (value.size < SUPPRESSION_SIZE || (value.size - SUPPRESSION_SIZE) % 8 ||
        (value.size - SUPPRESSION_SIZE) / 8 > SUPPRESSION_LIFTS_MAX)
        return ERR_STATE;
    const uint8_t *bytes = (const uint8_t *)value.data;
    out->at = get_be64_signed(bytes);
    memcpy(out->person, bytes + 16, KEY_SIZE);
    out->lifts_count = (value.size - SUPPRESSION_SIZE) / 8;
    for (size_t i = 0; i < out->lifts_count; i++)
        out->lifts[i] = get_be64_signed(bytes + SUPPRESSION_SIZE + 8 * i);
    return 0;
}

static int put(
    struct owners *owners, const struct owner *owner, const struct suppression *suppression)
{
    uint8_t key[ROW_KEY_SIZE], value[SUPPRESSION_SIZE + 8 * SUPPRESSION_LIFTS_MAX];
    put_be64_signed(value, suppression->at);
    put_be64_signed(value + 8, 0);
    memcpy(value + 16, suppression->person, KEY_SIZE);
    for (size_t i = 0; i < suppression->lifts_count; i++)
        put_be64_signed(value + SUPPRESSION_SIZE + 8 * i, suppression->lifts[i]);
    return state_put(owners_state(owners), TABLE_SIGNATURE, row_key(key, owner),
        str_make(value, SUPPRESSION_SIZE + 8 * suppression->lifts_count));
}

/* ---- what is told ---- */

/* Adds to the count, and says of which erasure and lift the node now is, where it is suppressed. */
static int tell(struct owners *owners, const struct owner *owner, int64_t add,
    const struct suppression *suppression)
{
    uint8_t key[OWNER_REFUSED_KEY_SIZE] = {0};
    struct person_of row;
    struct str value;
    memcpy(key, owner->id, KEY_SIZE);
    int r = state_get(owners_state(owners), TABLE_PERSON_OF, str_make(key, sizeof key), &value);
    person_of_init(&row);
    if (r == 0)
        r = person_of_decode(&row, value, owners_scratch(owners));
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    memcpy(row.node, owner->id, KEY_SIZE);
    row.namespace = owners_namespaces(owners)->rules[node_rank(owner->id)].name;
    row.why = STR("refused");
    row.epoch += add;
    if (suppression) {
        row.has_erased_at = true;
        row.erased_at = suppression->at;
        row.lifted_at = suppression_lift(suppression, INT64_MAX);
    }
    struct buf *bytes = owners_buffer(owners);
    r = person_of_encode(&row, bytes);
    if (r < 0)
        return r;
    return state_put(
        owners_state(owners), TABLE_PERSON_OF, str_make(key, sizeof key), buf_str(bytes));
}

int owner_refuse(
    struct owners *owners, const struct owner *owner, const uint8_t event_key[KEY_SIZE])
{
    uint8_t key[REFUSAL_KEY_SIZE];
    struct str value;
    memcpy(key, owner->id, KEY_SIZE);
    key[KEY_SIZE] = REFUSED_MARK;
    memcpy(key + KEY_SIZE + 1, event_key, KEY_SIZE);
    struct state *state = owners_state(owners);
    int r = state_get(state, TABLE_SIGNATURE, str_make(key, sizeof key), &value);
    if (r != STATE_ABSENT)
        return r;
    r = state_put(state, TABLE_SIGNATURE, str_make(key, sizeof key), (struct str){0});
    return r < 0 ? r : tell(owners, owner, 1, NULL);
}

/* ---- erasures and lifts ---- */

int64_t suppression_lift(const struct suppression *suppression, int64_t occurred_at)
{
    size_t i = suppression->lifts_count;
    while (i > 0 && suppression->lifts[i - 1] > occurred_at)
        i--;
    return i > 0 && suppression->lifts[i - 1] >= suppression->at ? suppression->lifts[i - 1] : 0;
}

int owner_suppression(struct owners *owners, const struct owner *owner, struct suppression *out)
{
    if (!(owner->flags & OWNER_SUPPRESSED))
        return STATE_ABSENT;
    int r = get(owners, owner, out);
    return r == STATE_ABSENT ? ERR_STATE : r;
}

int owner_lifts(struct owners *owners, const struct owner *owner, struct suppression *out)
{
    int r = get(owners, owner, out);
    return r == STATE_ABSENT ? 0 : r;
}

int owner_suppress(
    struct owners *owners, struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at)
{
    struct suppression now;
    int r = get(owners, owner, &now);
    if (r < 0)
        return r;
    bool before = owner->flags & OWNER_SUPPRESSED;
    if (before && at <= now.at && memcmp(now.person, person, KEY_SIZE) == 0)
        return 0;
    now.at = at > now.at ? at : now.at;
    memcpy(now.person, person, KEY_SIZE);
    if (!before && (owner->flags & OWNER_DEAD))
        owner->flags |= OWNER_ERASED_DEAD;
    owner->flags |= OWNER_SUPPRESSED;
    owner_lost(owners, owner);
    r = put(owners, owner, &now);
    if (r == 0)
        r = tell(owners, owner, 0, &now);
    if (r == 0)
        r = edges_spare(owners, owner);
    return r < 0 ? r : 1;
}

int owner_lift(struct owners *owners, struct owner *owner, int64_t at)
{
    struct suppression now;
    int r = get(owners, owner, &now);
    if (r < 0)
        return r;
    size_t i = now.lifts_count;
    while (i > 0 && now.lifts[i - 1] > at)
        i--;
    bool full = now.lifts_count == SUPPRESSION_LIFTS_MAX;
    if (at <= 0 || (i > 0 && now.lifts[i - 1] == at) || (i == 0 && full))
        return 0;
    if (full) { /* the earliest goes */
        i--;
        memmove(now.lifts, now.lifts + 1, i * sizeof *now.lifts);
    } else {
        memmove(now.lifts + i + 1, now.lifts + i, (now.lifts_count++ - i) * sizeof *now.lifts);
    }
    now.lifts[i] = at;
    r = put(owners, owner, &now);
    if (r == 0 && (owner->flags & OWNER_SUPPRESSED))
        r = tell(owners, owner, 0, &now);
    return r < 0 ? r : 1;
}
