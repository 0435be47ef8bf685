/*
 * Rows of TABLE_EDGE, where a node's marks are no classes of neighbours:
 *     older | fc | newer    what the newer one hears at first: at, its value, the older one's
 *     newer | fd            passages, at, the older node, its value
 *     newer | fb | hash     a passage that was remembered: how often, the message
 * and of TABLE_SIGNATURE:
 *     first | 02 | signature    the indexes of newer pseudonyms among its members
 *
 * Invariants:
 *  I1 a node with OWNER_NEWER has the row fd and none of fb; others may have rows fb.
 *  I2 what a node sent on is a function of the passages that came to it and of its row fd: each
 *     stands remembered, or was sent on with the older node in its stead.
 */
#include "enrich/identity/rotation.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/settle.h"
#include "enrich/identity/suppression.h"
#include "ingest/normalise/identifier.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#define PASSAGE_MARK ROW_PASSAGE_MARK
#define NEWER_MARK ROW_NEWER_MARK
#define OLDER_MARK ROW_OLDER_MARK
#define SIGNATURE_MARK 0x02
#define ROW_KEY_SIZE (KEY_SIZE + 1 + KEY_SIZE)
#define SIGNATURE_ROW_KEY_SIZE (KEY_SIZE + 1 + SIGNATURE_SIZE)
#define OLDER_ROW_SIZE (8 + 8 + KEY_SIZE) /* and the value */

static bool same(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) == 0;
}

bool rotation_newer(struct str namespace, struct str value)
{
    return identifier_key_number(namespace, value) > 1;
}

static bool newer(const struct actor *actor, const struct link_end *end)
{
    return rotation_newer(actor->namespaces->rules[node_rank(end->node)].name, end->value);
}

/* ---- rows ---- */

static struct str row_key(uint8_t key[ROW_KEY_SIZE], const uint8_t node[KEY_SIZE], uint8_t mark,
    const uint8_t rest[KEY_SIZE])
{
    memcpy(key, node, KEY_SIZE);
    key[KEY_SIZE] = mark;
    if (!rest)
        return str_make(key, KEY_SIZE + 1);
    memcpy(key + KEY_SIZE + 1, rest, KEY_SIZE);
    return str_make(key, ROW_KEY_SIZE);
}

int rotation_older(struct owners *owners, const struct owner *owner, struct rotation_older *out)
{
    uint8_t key[ROW_KEY_SIZE];
    struct str value;
    int r = state_get(
        owners_state(owners), TABLE_EDGE, row_key(key, owner->id, OLDER_MARK, NULL), &value);
    if (r != 0 || value.size < OLDER_ROW_SIZE)
        return r < 0 ? r : ERR_STATE;
    const uint8_t *bytes = (const uint8_t *)value.data;
    out->passages = get_be64_signed(bytes);
    out->at = get_be64_signed(bytes + 8);
    memcpy(out->node, bytes + 16, KEY_SIZE);
    return arena_dup(owners_scratch(owners),
        str_make(value.data + OLDER_ROW_SIZE, value.size - OLDER_ROW_SIZE), &out->value);
}

static int put_older(
    struct owners *owners, const struct owner *owner, const struct rotation_older *older)
{
    uint8_t key[ROW_KEY_SIZE], head[OLDER_ROW_SIZE];
    struct buf *row = owners_buffer(owners);
    put_be64_signed(head, older->passages);
    put_be64_signed(head + 8, older->at);
    memcpy(head + 16, older->node, KEY_SIZE);
    int r = buf_append(row, head, sizeof head);
    if (r == 0)
        r = buf_append_str(row, older->value);
    if (r < 0)
        return r;
    return state_put(
        owners_state(owners), TABLE_EDGE, row_key(key, owner->id, OLDER_MARK, NULL), buf_str(row));
}

/* Rows of a mark, copied, so that others may be written while they are gone through. */
struct rows {
    struct str *keys;
    struct str *values;
    size_t count;
};

static int copy_row(struct arena *arena, struct str key, struct str value, struct rows *rows)
{
    size_t i = rows->count;
    if ((i & (i - 1)) == 0) { /* full at each power of two */
        size_t room = i ? 2 * i : 1;
        struct str *keys = arena_alloc(arena, 2 * room * sizeof *keys);
        if (!keys)
            return ERR_NO_MEMORY;
        if (i) {
            memcpy(keys, rows->keys, i * sizeof *keys);
            memcpy(keys + room, rows->values, i * sizeof *keys);
        }
        rows->keys = keys;
        rows->values = keys + room;
    }
    int r = arena_dup(arena, key, &rows->keys[i]);
    if (r == 0)
        r = arena_dup(arena, value, &rows->values[i]);
    rows->count += r == 0;
    return r;
}

static int read_rows(
    struct owners *owners, const struct owner *owner, uint8_t mark, struct rows *out)
{
    uint8_t prefix[ROW_KEY_SIZE];
    struct state_scan *scan;
    struct str key, value;
    *out = (struct rows){.count = 0};
    int r = state_scan_begin(
        owners_state(owners), TABLE_EDGE, row_key(prefix, owner->id, mark, NULL), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        r = key.size == ROW_KEY_SIZE ? copy_row(owners_scratch(owners), key, value, out)
                                     : ERR_STATE;
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

/* ---- what passes ---- */

static bool takes_back(const struct identity_message *message)
{
    return message->kind == IDENTITY_KIND_PASS_UNLINK ||
           message->kind == IDENTITY_KIND_PASS_RETRACT;
}

static bool of_evidence(const struct identity_message *message)
{
    return message->kind == IDENTITY_KIND_PASS_EVIDENCE ||
           message->kind == IDENTITY_KIND_PASS_RETRACT;
}

/* Distinct ends in id order: after newer pseudonyms have given way, some may be one. */
static size_t sort_ends(const struct identity_message *message, struct link_end *out)
{
    size_t count = 0;
    for (size_t i = 0; i < message->links_count; i++) {
        const struct link_end *end = &message->links[i];
        size_t at = count;
        while (at > 0 && memcmp(out[at - 1].node, end->node, KEY_SIZE) > 0)
            at--;
        if (at > 0 && same(out[at - 1].node, end->node))
            continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof *out);
        out[at] = *end;
        count++;
    }
    return count;
}

/* Each weaker one hears of all stronger ones. */
static int issue_links(
    struct actor *actor, const struct owner *owner, const struct identity_message *passed)
{
    struct link_end weak[EVENT_IDENTIFIERS_MAX], strong[EVENT_IDENTIFIERS_MAX];
    struct identity_message message;
    size_t count = sort_ends(passed, weak), stronger = 0;
    identity_message_init(&message);
    message.kind = takes_back(passed) ? IDENTITY_KIND_UNLINK : IDENTITY_KIND_LINK;
    message.links = strong;
    for (size_t i = 0; i < count; i++) {
        strong[i] = weak[i];
        strong[i].value = (struct str){0};
        if (i && node_class(weak[i].node) != node_class(weak[i - 1].node))
            stronger = i;
        if (stronger == 0)
            continue;
        message.links_count = stronger;
        message.value = takes_back(passed) ? (struct str){0} : weak[i].value;
        int r = actor_send(actor, owner, weak[i].node, &message);
        if (r < 0)
            return r;
    }
    return 0;
}

static int issue_evidence(
    struct actor *actor, const struct owner *owner, const struct identity_message *passed)
{
    struct link_end ends[EVENT_IDENTIFIERS_MAX];
    struct identity_message message, counted;
    if (sort_ends(passed, ends) < 2)
        return 0; /* of a value and itself */
    identity_message_init(&message);
    message.kind = takes_back(passed) ? IDENTITY_KIND_RETRACT : IDENTITY_KIND_EVIDENCE;
    message.has_other = message.has_event_key = true;
    memcpy(message.other, ends[0].node, KEY_SIZE);
    memcpy(message.to, ends[1].node, KEY_SIZE);
    memcpy(message.event_key, passed->event_key, KEY_SIZE);
    message.number = passed->number;
    message.at = passed->at;
    if (takes_back(passed))
        return actor_send(actor, owner, message.to, &message);
    message.value = ends[1].value;
    message.links = ends;
    message.links_count = 1;
    message.on = passed->on;
    int r = actor_send(actor, owner, message.to, &message);
    if (r < 0)
        return r;
    evidence_to_stronger(&message, &counted);
    return actor_send(actor, owner, counted.to, &counted);
}

/* At the oldest pseudonym of the value that was come to. */
static int answer(
    struct actor *actor, const struct owner *owner, const struct identity_message *passed)
{
    struct identity_message message;
    int r = edges_spared(actor->owners, owner, passed->links, passed->links_count - 1);
    if (r < 0)
        return r;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_EVENT;
    message.number = r == 1 ? ROTATION_OTHERS : ROTATION_NOT_OTHERS;
    message.chain_index = (int32_t)passed->number;
    message.position = passed->position;
    message.channel = passed->channel;
    message.event = passed->event;
    message.lifted_at = passed->lifted_at;
    return actor_send(actor, owner, passed->other, &message);
}

static bool of_event(const struct identity_message *message)
{
    return message->kind == IDENTITY_KIND_PASS_EVENT;
}

/* On to the newer pseudonym at the position, or behind the last to the ends. */
static int send_on(struct actor *actor, const struct owner *owner, struct identity_message *message,
    size_t position)
{
    if (position < message->newer.size) {
        size_t index = (uint8_t)message->newer.data[position];
        message->chain_index = (int32_t)position;
        return actor_send(actor, owner, message->links[index].node, message);
    }
    if (of_event(message)) {
        message->chain_index = (int32_t)position;
        return actor_send(actor, owner, message->links[message->links_count - 1].node, message);
    }
    return of_evidence(message) ? issue_evidence(actor, owner, message)
                                : issue_links(actor, owner, message);
}

/* Puts the older node in this one's stead and sends the message on; the older one may be a newer
 * one itself. `links` may be written. */
static int send_on_older(struct actor *actor, const struct owner *owner,
    const struct rotation_older *older, struct identity_message *message)
{
    size_t position = (size_t)message->chain_index;
    struct link_end *end = &message->links[(uint8_t)message->newer.data[position]];
    memcpy(end->node, older->node, KEY_SIZE);
    end->value = older->value;
    return send_on(actor, owner, message, newer(actor, end) ? position : position + 1);
}

/* ---- what a node without an older one remembers: be64 how often | message ---- */

static void passage_hash(const struct identity_message *message, uint8_t out[KEY_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, message->newer);
    sha256_update_sized(&hash, str_make(&message->chain_index, sizeof message->chain_index));
    if (of_evidence(message))
        sha256_update_sized(&hash, str_make(message->event_key, KEY_SIZE));
    for (size_t i = 0; i < message->links_count; i++)
        sha256_update(&hash, str_make(message->links[i].node, KEY_SIZE));
    sha256_final(&hash, digest);
    memcpy(out, digest, KEY_SIZE);
}

/* How often it stands after the message: of evidence once, or, retracted, never. */
static int64_t count_after(const struct identity_message *message, bool known, int64_t count)
{
    if (!of_evidence(message))
        return takes_back(message) ? count - 1 : count + 1;
    return takes_back(message) ? 0 : known ? count : 1;
}

static int remember(
    struct actor *actor, const struct owner *owner, const struct identity_message *message)
{
    uint8_t hash[KEY_SIZE], key_bytes[ROW_KEY_SIZE], head[8];
    struct state *state = owners_state(actor->owners);
    passage_hash(message, hash);
    struct str key = row_key(key_bytes, owner->id, PASSAGE_MARK, hash), value;
    int r = state_get(state, TABLE_EDGE, key, &value);
    if (r < 0)
        return r;
    bool known = r == 0;
    int64_t before = known && value.size > 8 ? get_be64_signed((const uint8_t *)value.data) : 0;
    int64_t count = count_after(message, known, before);
    if (count < 0)
        return ERR_VALUE; /* taken back, and never came */
    if (count == 0 && !of_evidence(message))
        return state_delete(state, TABLE_EDGE, key);
    struct buf *row = owners_buffer(actor->owners);
    put_be64_signed(head, count);
    r = buf_append(row, head, sizeof head);
    if (r == 0)
        r = identity_message_encode(message, row);
    return r < 0 ? r : state_put(state, TABLE_EDGE, key, buf_str(row));
}

/* What was sent on with this node goes back, and anew with the older one. */
static int send_anew(struct actor *actor, const struct owner *owner,
    const struct rotation_older *older, struct str row)
{
    struct identity_message message;
    if (row.size < 8)
        return ERR_STATE;
    int64_t count = get_be64_signed((const uint8_t *)row.data);
    int r = identity_message_decode(
        &message, str_make(row.data + 8, row.size - 8), owners_scratch(actor->owners));
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    bool evidence = of_evidence(&message);
    struct identity_message back = message;
    back.kind = evidence ? IDENTITY_KIND_PASS_RETRACT : IDENTITY_KIND_PASS_UNLINK;
    for (int64_t i = 0; r == 0 && i < (evidence ? 1 : count); i++)
        r = send_on(actor, owner, &back, (size_t)message.chain_index + 1);
    if (evidence)
        message.kind = count ? IDENTITY_KIND_PASS_EVIDENCE : IDENTITY_KIND_PASS_RETRACT;
    int32_t position = message.chain_index;
    for (int64_t i = 0; r == 0 && i < (evidence ? 1 : count); i++) {
        message.chain_index = position;
        r = send_on_older(actor, owner, older, &message);
    }
    return r;
}

static int send_all_anew(
    struct actor *actor, const struct owner *owner, struct rotation_older *older)
{
    struct rows rows;
    int r = read_rows(actor->owners, owner, PASSAGE_MARK, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        r = state_delete(owners_state(actor->owners), TABLE_EDGE, rows.keys[i]);
        if (r == 0)
            r = send_anew(actor, owner, older, rows.values[i]);
        if (r == 0)
            older->passages += get_be64_signed((const uint8_t *)rows.values[i].data);
    }
    return r;
}

/* ---- passages ---- */

/* The newer pseudonym is shown by one signature or word more, or less. */
static int count_passage(struct actor *actor, struct owner *owner, struct rotation_older *older,
    const struct identity_message *message)
{
    bool before = older->passages > 0;
    if (of_evidence(message))
        return 0; /* a word comes as often as its event */
    older->passages += takes_back(message) ? -1 : 1;
    if (before != (older->passages > 0)) {
        owner->person_due = true;
        owner_changed(actor->owners, owner);
    }
    return put_older(actor->owners, owner, older);
}

int rotation_on_pass(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct link_end links[EVENT_IDENTIFIERS_MAX];
    struct identity_message passed = *message;
    struct rotation_older older;
    size_t position = (size_t)message->chain_index;
    if (of_event(message) && position == message->newer.size)
        return answer(actor, owner, message);
    struct str own = message->links[(uint8_t)message->newer.data[position]].value;
    memcpy(links, message->links, message->links_count * sizeof *links);
    passed.links = links;
    if (!(owner->flags & OWNER_NEWER)) {
        int r = of_event(message) ? 0 : remember(actor, owner, message);
        return r < 0 ? r : send_on(actor, owner, &passed, position + 1);
    }
    int r = rotation_older(actor->owners, owner, &older);
    if (r == 0 && of_event(message))
        return send_on_older(actor, owner, &older, &passed);
    if (r == 0)
        r = count_passage(actor, owner, &older, message);
    if (r == 0 && !takes_back(message))
        r = owner_name(actor->owners, owner, own);
    return r < 0 ? r : send_on_older(actor, owner, &older, &passed);
}

int rotation_ask(
    struct actor *actor, const struct owner *owner, const struct rotation_question *question)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_PASS_EVENT;
    message.links = question->ends;
    message.links_count = question->ends_count;
    message.newer = str_make(question->newer, question->newer_count);
    message.has_other = true;
    memcpy(message.other, owner->id, KEY_SIZE);
    message.number = question->event.chain_index;
    for (size_t i = 0; i < question->ends_count; i++)
        question->ends[i].value = (struct str){0}; /* the event has them */
    message.position = question->event.position;
    message.channel = question->event.channel;
    message.event = question->event.event;
    message.lifted_at = question->event.lifted_at;
    return send_on(actor, owner, &message, 0);
}

/* ---- at a signature's first node ---- */

static struct str signature_row_key(
    uint8_t key[SIGNATURE_ROW_KEY_SIZE], const struct owner *first, const uint8_t *digest)
{
    memcpy(key, first->id, KEY_SIZE);
    key[KEY_SIZE] = SIGNATURE_MARK;
    memcpy(key + KEY_SIZE + 1, digest, SIGNATURE_SIZE);
    return str_make(key, SIGNATURE_ROW_KEY_SIZE);
}

int rotation_link(struct actor *actor, struct owner *first, const struct rotation_passage *passage)
{
    uint8_t key[SIGNATURE_ROW_KEY_SIZE];
    struct str indexes = str_make(passage->newer, passage->newer_count);
    struct identity_message message;
    first->flags |= OWNER_PASSES;
    owner_changed(actor->owners, first);
    int r = state_put(owners_state(actor->owners), TABLE_SIGNATURE,
        signature_row_key(key, first, passage->digest), indexes);
    if (r < 0)
        return r;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_PASS_LINK;
    message.links = passage->members;
    message.links_count = passage->members_count;
    message.newer = indexes;
    return send_on(actor, first, &message, 0);
}

int rotation_unlink(struct actor *actor, struct owner *first, const struct signature *signature)
{
    uint8_t key_bytes[SIGNATURE_ROW_KEY_SIZE], digest[SHA256_SIZE];
    struct link_end links[EVENT_IDENTIFIERS_MAX];
    struct identity_message message;
    struct state *state = owners_state(actor->owners);
    struct str indexes;
    if (!(first->flags & OWNER_PASSES))
        return 0;
    signature_digest(signature, digest);
    struct str key = signature_row_key(key_bytes, first, digest);
    int r = state_get(state, TABLE_SIGNATURE, key, &indexes);
    if (r != 0)
        return r < 0 ? r : 0;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_PASS_UNLINK;
    message.links = links;
    message.links_count = signature->count;
    for (size_t i = 0; i < signature->count; i++) {
        links[i] = (struct link_end){.value = {0}};
        memcpy(links[i].node, signature->members[i], KEY_SIZE);
    }
    r = arena_dup(owners_scratch(actor->owners), indexes, &message.newer);
    if (r == 0)
        r = state_delete(state, TABLE_SIGNATURE, key);
    if (r == 0)
        r = send_on(actor, first, &message, 0);
    return r < 0 ? r : 1;
}

/* ---- pairs, at the older node ---- */

/* row: at | size of the newer value | it | the older value */
static int send_rotate(
    struct actor *actor, const struct owner *owner, struct str key, struct str row)
{
    struct link_end self = {.value = {0}};
    struct identity_message message;
    if (row.size < 8 + 2)
        return ERR_STATE;
    size_t size = (size_t)(uint8_t)row.data[8] << 8 | (uint8_t)row.data[9];
    if (row.size < 8 + 2 + size)
        return ERR_STATE;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ROTATE;
    message.value = str_make(row.data + 10, size);
    message.at = get_be64_signed((const uint8_t *)row.data);
    message.has_other = true;
    memcpy(message.other, owner->root, KEY_SIZE);
    message.on = owner->flags & OWNER_GENERIC;
    message.links = &self;
    message.links_count = 1;
    memcpy(self.node, owner->id, KEY_SIZE);
    self.value = str_make(row.data + 10 + size, row.size - 10 - size);
    return actor_send(actor, owner, (const uint8_t *)key.data + KEY_SIZE + 1, &message);
}

static int send_suppress(struct actor *actor, const struct owner *owner, const uint8_t to[KEY_SIZE],
    const uint8_t person[KEY_SIZE], int64_t at)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_SUPPRESS;
    message.has_person = message.on = true;
    message.number = ROTATION_SUPPRESSES;
    memcpy(message.person, person, KEY_SIZE);
    message.at = at;
    return actor_send(actor, owner, to, &message);
}

int rotation_tell(struct actor *actor, const struct owner *owner)
{
    struct rows rows = {.count = 0};
    int r = owner->flags & OWNER_OLDER ? read_rows(actor->owners, owner, NEWER_MARK, &rows) : 0;
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = send_rotate(actor, owner, rows.keys[i], rows.values[i]);
    return r;
}

int rotation_reach(
    struct actor *actor, const struct owner *owner, struct identity_message *message, int64_t *sent)
{
    struct rotation_older older;
    struct rows rows = {.count = 0};
    int r = owner->flags & OWNER_OLDER ? read_rows(actor->owners, owner, NEWER_MARK, &rows) : 0;
    for (size_t i = 0; r == 0 && i < rows.count; i++, ++*sent)
        r = actor_send(actor, owner, (const uint8_t *)rows.keys[i].data + KEY_SIZE + 1, message);
    if (r < 0 || !(owner->flags & OWNER_NEWER))
        return r;
    r = rotation_older(actor->owners, owner, &older);
    ++*sent;
    return r < 0 ? r : actor_send(actor, owner, older.node, message);
}

static int send_lift(
    struct actor *actor, const struct owner *owner, const uint8_t to[KEY_SIZE], int64_t at)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_LIFT;
    message.at = at;
    return actor_send(actor, owner, to, &message);
}

int rotation_lift(struct actor *actor, const struct owner *owner, int64_t at)
{
    struct rotation_older older;
    struct rows rows = {.count = 0};
    int r = owner->flags & OWNER_OLDER ? read_rows(actor->owners, owner, NEWER_MARK, &rows) : 0;
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = send_lift(actor, owner, (const uint8_t *)rows.keys[i].data + KEY_SIZE + 1, at);
    if (r < 0 || !(owner->flags & OWNER_NEWER))
        return r;
    r = rotation_older(actor->owners, owner, &older);
    return r < 0 ? r : send_lift(actor, owner, older.node, at);
}

int rotation_suppress(
    struct actor *actor, const struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at)
{
    struct rotation_older older;
    struct rows rows = {.count = 0};
    int r = owner->flags & OWNER_OLDER ? read_rows(actor->owners, owner, NEWER_MARK, &rows) : 0;
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = send_suppress(
            actor, owner, (const uint8_t *)rows.keys[i].data + KEY_SIZE + 1, person, at);
    if (r < 0 || !(owner->flags & OWNER_NEWER))
        return r;
    r = rotation_older(actor->owners, owner, &older);
    return r < 0 ? r : send_suppress(actor, owner, older.node, person, at);
}

/* Pseudonyms of one value by an older and a newer key, of which the older is this node's. */
static bool pairs(const struct actor *actor, const struct owner *owner,
    const struct touchpoint *event, uint8_t newer_node[KEY_SIZE])
{
    const struct evidence *evidence = &event->evidence;
    int32_t old = identifier_key_number(evidence->a_namespace, evidence->a_value);
    uint8_t node[KEY_SIZE];
    if (!event->has_evidence || old < 1 ||
        !str_equal(evidence->a_namespace, evidence->b_namespace) ||
        identifier_key_number(evidence->b_namespace, evidence->b_value) <= old)
        return false;
    int rank = namespace_rank(actor->namespaces, evidence->a_namespace);
    if (rank < 0)
        return false;
    namespace_node_id(actor->namespaces, rank, evidence->a_value, node);
    namespace_node_id(actor->namespaces, rank, evidence->b_value, newer_node);
    return same(node, owner->id);
}

/* Of what it is, suppressed and generic, the newer one hears in the order in which it became so. */
int rotation_on_event(struct actor *actor, struct owner *owner, const struct touchpoint *event)
{
    uint8_t node[KEY_SIZE], key_bytes[ROW_KEY_SIZE], head[8 + 2];
    struct suppression since;
    struct str value;
    if (!pairs(actor, owner, event, node))
        return ERR_VALUE;
    struct str key = row_key(key_bytes, owner->id, NEWER_MARK, node);
    int r = state_get(owners_state(actor->owners), TABLE_EDGE, key, &value);
    if (r <= 0)
        return r; /* told before */
    struct str newer_value = event->evidence.b_value;
    put_be64_signed(head, event->occurred_at);
    head[8] = (uint8_t)(newer_value.size >> 8);
    head[9] = (uint8_t)newer_value.size;
    struct buf *row = owners_buffer(actor->owners);
    r = buf_append(row, head, sizeof head);
    if (r == 0)
        r = buf_append_str(row, newer_value);
    if (r == 0)
        r = buf_append_str(row, event->evidence.a_value);
    if (r == 0)
        r = arena_dup(owners_scratch(actor->owners), buf_str(row), &value);
    if (r == 0)
        r = state_put(owners_state(actor->owners), TABLE_EDGE, key, value);
    if (r < 0)
        return r;
    owner->flags |= OWNER_OLDER;
    owner_changed(actor->owners, owner);
    r = owner_lifts(actor->owners, owner, &since);
    bool erased = owner->flags & OWNER_SUPPRESSED, died_first = owner->flags & OWNER_ERASED_DEAD;
    if (r == 0 && erased && !died_first)
        r = send_suppress(actor, owner, node, since.person, since.at);
    if (r == 0)
        r = send_rotate(actor, owner, key, value);
    if (r == 0 && erased && died_first)
        r = send_suppress(actor, owner, node, since.person, since.at);
    for (size_t i = 0; r == 0 && i < since.lifts_count; i++)
        r = send_lift(actor, owner, node, since.lifts[i]);
    return r;
}

/* ---- at the newer node ---- */

/* The node learns that it is another's newer pseudonym. */
static int become_newer(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct rotation_older older = {.at = message->at, .value = message->links[0].value};
    struct identity_message own;
    struct suppression since;
    bool protected = actor->namespaces->rules[node_rank(owner->id)].protected_max > 0;
    int r = 0;
    memcpy(older.node, message->from, KEY_SIZE);
    identity_message_init(&own);
    own.kind = IDENTITY_KIND_UNCLAIM;
    if (protected && !same(owner->claim, owner->id) && !(owner->flags & OWNER_FOLLOWS))
        r = actor_send(actor, owner, owner->claim, &own);
    owner->flags |= OWNER_NEWER | OWNER_ACCEPTED;
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    if (r == 0)
        r = send_all_anew(actor, owner, &older);
    if (r == 0)
        r = put_older(actor->owners, owner, &older);
    if (r == 0)
        r = owner_lifts(actor->owners, owner, &since);
    own.kind = IDENTITY_KIND_ERASE;
    own.at = since.at;
    if (r == 0 && (owner->flags & OWNER_SUPPRESSED))
        r = actor_send(actor, owner, older.node, &own);
    for (size_t i = 0; r == 0 && i < since.lifts_count; i++)
        r = send_lift(actor, owner, older.node, since.lifts[i]);
    return r;
}

int rotation_on_rotate(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct rotation_older older;
    int r = 0;
    if (!(owner->flags & OWNER_NEWER))
        r = become_newer(actor, owner, message);
    if (r == 0)
        r = rotation_older(actor->owners, owner, &older);
    if (r < 0)
        return r;
    if (!same(older.node, message->from))
        return ERR_VALUE; /* no two values have one pseudonym */
    memcpy(owner->claim, message->other, KEY_SIZE);
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    if (message->on && !(owner->flags & OWNER_GENERIC))
        return settle_generic(actor, owner);
    return settle(actor, owner);
}
