/*
 * Rows of TABLE_SIGNATURE, while the node is reached by the erasure of a person (OWNER_REACHED):
 *     node | 03 | person            struct reached
 *     node | 04 | person | other    the other, which the node has reached, waits for go
 *
 * Invariants:
 *  I1 of one erasure every node but the root is reached by one other, and the root by none; so the
 *     rows 04 are a tree, and go comes to each node once.
 *  I2 a node waits for as many answers as it sent `reach` without one.
 */
#include "enrich/identity/reach.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/erasure.h"
#include "enrich/identity/rotation.h"
#include "enrich/identity/suppression.h"
#include "schemas/error.h"

#define REACHED_MARK 0x03
#define OTHER_MARK 0x04
#define REACHED_KEY_SIZE (KEY_SIZE + 1 + KEY_SIZE)
#define OTHER_KEY_SIZE (REACHED_KEY_SIZE + KEY_SIZE)
#define REACHED_SIZE (8 + 8 + KEY_SIZE + 1 + 1)

struct reached {
    uint8_t person[KEY_SIZE]; /* that is erased */
    int64_t at;
    int64_t waits;        /* answers that are still to come */
    uint8_t by[KEY_SIZE]; /* the root: itself */
    bool told;            /* all have answered, and whoever is to know was told */
    bool goes;            /* go has come, to the root while it waited once more */
};

static bool same(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) == 0;
}

/* ---- rows ---- */

static struct str row_key(uint8_t key[OTHER_KEY_SIZE], const struct owner *owner, uint8_t mark,
    const uint8_t person[KEY_SIZE])
{
    memcpy(key, owner->id, KEY_SIZE);
    key[KEY_SIZE] = mark;
    memcpy(key + KEY_SIZE + 1, person, KEY_SIZE);
    return str_make(key, REACHED_KEY_SIZE);
}

/* Returns STATE_ABSENT where the erasure has not reached the node, or is over there. */
static int get(struct owners *owners, const struct owner *owner, const uint8_t person[KEY_SIZE],
    struct reached *out)
{
    uint8_t key[OTHER_KEY_SIZE];
    struct str value;
    if (!(owner->flags & OWNER_REACHED))
        return STATE_ABSENT;
    int r = state_get(
        owners_state(owners), TABLE_SIGNATURE, row_key(key, owner, REACHED_MARK, person), &value);
    if (r)
        return r;
    if (value.size != REACHED_SIZE)
        return ERR_STATE;
    const uint8_t *bytes = (const uint8_t *)value.data;
    *out = (struct reached){.at = get_be64_signed(bytes),
        .waits = get_be64_signed(bytes + 8),
        .told = bytes[16 + KEY_SIZE],
        .goes = bytes[16 + KEY_SIZE + 1]};
    memcpy(out->by, bytes + 16, KEY_SIZE);
    memcpy(out->person, person, KEY_SIZE);
    return 0;
}

static int put(struct owners *owners, const struct owner *owner, const struct reached *reached)
{
    uint8_t key[OTHER_KEY_SIZE], value[REACHED_SIZE];
    put_be64_signed(value, reached->at);
    put_be64_signed(value + 8, reached->waits);
    memcpy(value + 16, reached->by, KEY_SIZE);
    value[16 + KEY_SIZE] = reached->told;
    value[16 + KEY_SIZE + 1] = reached->goes;
    return state_put(owners_state(owners), TABLE_SIGNATURE,
        row_key(key, owner, REACHED_MARK, reached->person), str_make(value, sizeof value));
}

static int put_other(struct owners *owners, const struct owner *owner,
    const uint8_t person[KEY_SIZE], const uint8_t other[KEY_SIZE])
{
    uint8_t key[OTHER_KEY_SIZE];
    (void)row_key(key, owner, OTHER_MARK, person);
    memcpy(key + REACHED_KEY_SIZE, other, KEY_SIZE);
    return state_put(
        owners_state(owners), TABLE_SIGNATURE, str_make(key, sizeof key), (struct str){0});
}

/* ---- messages ---- */

static void message_of(
    struct identity_message *out, enum identity_kind kind, const struct reached *reached)
{
    identity_message_init(out);
    out->kind = kind;
    out->has_person = true;
    memcpy(out->person, reached->person, KEY_SIZE);
    out->at = reached->at;
}

/* on: see IdentityMessage.on. */
static int tell(struct actor *actor, const struct owner *owner, const uint8_t to[KEY_SIZE],
    enum identity_kind kind, const struct reached *reached, bool on)
{
    struct identity_message message;
    message_of(&message, kind, reached);
    message.on = on;
    return actor_send(actor, owner, to, &message);
}

/* All that the node reached have answered. */
static int all_answered(struct actor *actor, const struct owner *owner, struct reached *reached)
{
    bool root = same(reached->by, owner->id);
    reached->told = true;
    int r = put(actor->owners, owner, reached);
    if (r < 0)
        return r;
    return root ? erasure_erase_person(actor, owner, reached->person, reached->at)
                : tell(actor, owner, reached->by, IDENTITY_KIND_REACHED, reached, true);
}

/* ---- reaching ---- */

/* To all below, and to those that are one with it: its group, its value's other pseudonyms. */
static int reach_on(struct actor *actor, const struct owner *owner, struct reached *reached)
{
    struct edge_list below, kin;
    struct identity_message forced;
    int r = edges_below(actor->owners, owner, &below);
    for (size_t i = 0; r == 0 && i < below.count; i++) {
        if (node_is_set(below.edges[i].node))
            continue;
        reached->waits++;
        r = tell(actor, owner, below.edges[i].node, IDENTITY_KIND_REACH, reached, false);
    }
    if (r == 0)
        r = edges_kin(actor->owners, owner, true, &kin);
    for (size_t i = 0; r == 0 && i < kin.count; i++, reached->waits++)
        r = tell(actor, owner, kin.edges[i].node, IDENTITY_KIND_REACH, reached, false);
    if (r < 0)
        return r;
    message_of(&forced, IDENTITY_KIND_REACH, reached);
    forced.on = true;
    return rotation_reach(actor, owner, &forced, &reached->waits);
}

/* asked: the identifier that was asked for, to be reached whatever its person is now; or NULL. */
static int take_in(
    struct actor *actor, struct owner *owner, struct reached *reached, const uint8_t *asked)
{
    int r = owner_suppress(actor->owners, owner, reached->person, reached->at);
    if (r < 0)
        return r;
    owner->flags |= OWNER_REACHED;
    owner_changed(actor->owners, owner);
    r = reach_on(actor, owner, reached);
    if (r == 0 && asked) {
        r = tell(actor, owner, asked, IDENTITY_KIND_REACH, reached, true);
        reached->waits++;
    }
    if (r < 0)
        return r;
    return reached->waits ? put(actor->owners, owner, reached)
                          : all_answered(actor, owner, reached);
}

/* Again, perhaps with a later time. */
static int know_again(struct actor *actor, struct owner *owner, struct reached *reached, int64_t at)
{
    reached->at = at > reached->at ? at : reached->at;
    int r = owner_suppress(actor->owners, owner, reached->person, reached->at);
    return r < 0 ? r : put(actor->owners, owner, reached);
}

int reach_on_reach(struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct reached reached;
    int r = get(actor->owners, owner, message->person, &reached);
    if (r < 0)
        return r;
    bool known = r == 0;
    bool its = !(owner->flags & OWNER_DEAD) && same(owner->person, message->person);
    if (known)
        r = know_again(actor, owner, &reached, message->at);
    reached = (struct reached){.at = message->at};
    memcpy(reached.person, message->person, KEY_SIZE);
    memcpy(reached.by, message->from, KEY_SIZE);
    if (r < 0)
        return r;
    if (!known && (its || message->on))
        return take_in(actor, owner, &reached, NULL);
    return tell(actor, owner, message->from, IDENTITY_KIND_REACHED, &reached, false);
}

/* ---- go ---- */

/* Sends it on and forgets the erasure; the flag stays while another one lasts. */
static int leave(struct actor *actor, struct owner *owner, const struct reached *reached)
{
    uint8_t key[OTHER_KEY_SIZE];
    struct state *state = owners_state(actor->owners);
    struct state_scan *scan;
    struct str found, value;
    int r = state_scan_begin(
        state, TABLE_SIGNATURE, row_key(key, owner, OTHER_MARK, reached->person), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &found, &value)) == 0) {
        r = found.size == OTHER_KEY_SIZE ? 0 : ERR_STATE;
        if (r == 0)
            r = tell(actor, owner, (const uint8_t *)found.data + REACHED_KEY_SIZE, IDENTITY_KIND_GO,
                reached, false);
        if (r == 0)
            r = state_delete(state, TABLE_SIGNATURE, found);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    if (r < 0)
        return r;
    r = state_delete(state, TABLE_SIGNATURE, row_key(key, owner, REACHED_MARK, reached->person));
    if (r == 0)
        r = state_scan_begin(state, TABLE_SIGNATURE, str_make(key, KEY_SIZE + 1), &scan);
    if (r < 0)
        return r;
    bool another = false;
    while (!another && (r = state_scan_next(scan, &found, &value)) == 0)
        another = found.size == REACHED_KEY_SIZE;
    state_scan_end(&scan);
    if (r >= 0 && !another) {
        owner->flags &= ~(unsigned)OWNER_REACHED;
        owner_changed(actor->owners, owner);
    }
    return r < 0 ? r : 0;
}

static int go(struct actor *actor, struct owner *owner, const struct reached *reached)
{
    int r = leave(actor, owner, reached);
    return r < 0 ? r : erasure_mark(actor, owner);
}

/* ---- answers ---- */

int reach_on_reached(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct reached reached;
    int r = get(actor->owners, owner, message->person, &reached);
    if (r < 0)
        return r;
    if (r == STATE_ABSENT || reached.waits == 0)
        return ERR_VALUE;
    reached.waits--;
    if (message->on)
        r = put_other(actor->owners, owner, message->person, message->from);
    if (r < 0)
        return r;
    if (reached.waits == 0 && reached.goes)
        return go(actor, owner, &reached);
    return reached.waits || reached.told ? put(actor->owners, owner, &reached)
                                         : all_answered(actor, owner, &reached);
}

/* ---- the request ---- */

/* At the root: asked, whose person is to be erased, may be itself. */
static int begin(struct actor *actor, struct owner *root, const uint8_t asked[KEY_SIZE], int64_t at)
{
    struct reached reached = {.at = at};
    struct suppression since;
    bool itself = same(asked, root->id);
    uint8_t person[KEY_SIZE];
    owners_person(actor->owners, root->id, person);
    memcpy(reached.person, person, KEY_SIZE);
    memcpy(reached.by, root->id, KEY_SIZE);
    int r = get(actor->owners, root, person, &reached);
    if (r < 0)
        return r;
    if (r == 0) {
        reached.at = at > reached.at ? at : reached.at;
        if (!itself)
            r = tell(actor, root, asked, IDENTITY_KIND_REACH, &reached, true);
        reached.waits += !itself;
        return r < 0 ? r : know_again(actor, root, &reached, at);
    }
    r = r < 0 ? r : owner_suppression(actor->owners, root, &since);
    if (r < 0)
        return r;
    if (r == STATE_ABSENT || since.at < at || !same(since.person, reached.person))
        return take_in(actor, root, &reached, itself ? NULL : asked);
    return itself ? 0 : tell(actor, root, asked, IDENTITY_KIND_SUPPRESS, &reached, true);
}

int reach_on_erase(struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct identity_message erase = *message;
    struct suppression since;
    const uint8_t *asked = message->has_person ? message->other : owner->id;
    bool itself = (owner->flags & OWNER_DEAD) && !(owner->flags & OWNER_NEWER);
    int r = message->has_person ? STATE_ABSENT : owner_suppression(actor->owners, owner, &since);
    if (r < 0)
        return r;
    if (r == 0 && since.at >= message->at)
        return 0;
    if (itself || same(owner->root, owner->id))
        return begin(actor, owner, asked, message->at);
    erase.has_person = erase.has_other = true; /* on to the root, or where that has gone since */
    owners_person(actor->owners, owner->root, erase.person);
    memcpy(erase.other, asked, KEY_SIZE);
    return actor_send(actor, owner, owner->root, &erase);
}

int reach_on_go(struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct reached reached;
    int r = get(actor->owners, owner, message->person, &reached);
    if (r)
        return r < 0 ? r : ERR_VALUE;
    reached.goes = true;
    return reached.waits ? put(actor->owners, owner, &reached) : go(actor, owner, &reached);
}
