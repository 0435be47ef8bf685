/*
 * Invariants:
 *  I1 a suppressed signature stands once for each node of its chain that its events passed, where
 *     events of that node would stand;
 *  I2 the mark of a suppressed node stands once, there too: an event that went from person to
 * person by any way comes to where its node is in the end, and so does the mark.
 */
#include "enrich/journey/erasure.h"

#include "enrich/identity/erasure.h"
#include "enrich/identity/message.h"
#include "schemas/error.h"

#define STAY_SIZE 1
#define MARK_SIZE (8 + KEY_SIZE + 1)
#define RECENT_MAX 64 /* signatures just taken back; more come again, and change nothing */

/* Of a suppressed node: at (8) | erased person | told (1). */
struct node_mark {
    int64_t at;
    uint8_t person[KEY_SIZE];
    bool told; /* the node knows that an event stands of it alone */
};

static int send(struct timeline *timeline, const struct journey_message *message)
{
    buf_clear(timeline->value);
    int r = journey_message_encode(message, timeline->value);
    if (r < 0)
        return r;
    return outbox_send(timeline->task->outbox, TOPIC_JOURNEY, str_make(message->person, KEY_SIZE),
        buf_str(timeline->value));
}

/* Signatures told of just now need not be told again. */
struct recent {
    uint64_t hashes[RECENT_MAX];
    size_t count;
};

static bool told(struct recent *recent, const struct signature *signature)
{
    uint8_t digest[SHA256_SIZE];
    signature_digest(signature, digest);
    uint64_t hash = get_be64(digest);
    for (size_t i = 0; i < recent->count && i < RECENT_MAX; i++)
        if (recent->hashes[i] == hash)
            return true;
    recent->hashes[recent->count++ % RECENT_MAX] = hash;
    return false;
}

/* Whether a lift has let the event in since an erasure of that time. */
static bool lifted_since(int64_t lifted_at, int64_t at)
{
    return lifted_at > 0 && lifted_at >= at;
}

/* ---- erased persons ---- */

struct erasing {
    struct timeline *timeline;
    const struct journey_message *erase;
    struct recent recent;
};

static int drop_erased(
    void *context, const uint8_t node[KEY_SIZE], const struct seated_event *seated)
{
    struct erasing *erasing = context;
    const struct touchpoint *event = &seated->event;
    const struct journey_message *erase = erasing->erase;
    struct task *task = erasing->timeline->task;
    const struct namespace_table *namespaces = erasing->timeline->config->namespaces;
    struct signature signature;
    int r = signature_of_event(namespaces, event, task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    if (signature.count == 1 && !erasure_for_good(namespaces, signature.members[0]) &&
        event->occurred_at >= erase->at)
        return 0;
    if (lifted_since(seated->lifted_at, erase->at))
        return 0;
    if (!event->has_evidence && told(&erasing->recent, &signature))
        return 1;
    const struct erased erased = {namespaces, erase->person, erase->at, node, false};
    r = erasure_take_back(&erased, event, task->scratch, task->outbox);
    return r < 0 ? r : 1;
}

/* All at once, before anything is taken back: so what a person loses no other can gain meanwhile,
 * and nobody else's events are here by a link that goes with the person. */
int erasure_erase(struct timeline *timeline, const struct journey_message *message)
{
    struct erasing erasing = {.timeline = timeline, .erase = message};
    struct person *person;
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = timeline_drop(timeline, person, NULL, drop_erased, &erasing);
    return r < 0 ? r : erasure_go(message->node, message->person, timeline->task->outbox);
}

/* ---- marks of suppressed nodes ---- */

static void mark_key(
    uint8_t key[SUPPRESSED_KEY_SIZE], const struct person *person, const uint8_t node[KEY_SIZE])
{
    gone_key(key, person->id, node);
    memset(key + GONE_KEY_SIZE, 0, KEY_SIZE);
}

static bool is_mark(struct str key)
{
    static const uint8_t none[KEY_SIZE];
    return memcmp(key.data + GONE_KEY_SIZE, none, KEY_SIZE) == 0;
}

static int mark_decode(struct node_mark *out, struct str value)
{
    if (value.size != MARK_SIZE)
        return ERR_STATE;
    out->at = get_be64_signed((const uint8_t *)value.data);
    memcpy(out->person, value.data + 8, KEY_SIZE);
    out->told = value.data[8 + KEY_SIZE];
    return 0;
}

/* Returns STATE_ABSENT where the node has none here. */
static int get_mark(struct timeline *timeline, const struct person *person,
    const uint8_t node[KEY_SIZE], struct node_mark *out)
{
    uint8_t key[SUPPRESSED_KEY_SIZE];
    struct str value;
    mark_key(key, person, node);
    int r = state_get(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), &value);
    return r ? r : mark_decode(out, value);
}

static int put_mark(struct timeline *timeline, const struct person *person,
    const uint8_t node[KEY_SIZE], const struct node_mark *mark)
{
    uint8_t key[SUPPRESSED_KEY_SIZE], value[MARK_SIZE];
    mark_key(key, person, node);
    put_be64_signed(value, mark->at);
    memcpy(value + 8, mark->person, KEY_SIZE);
    value[8 + KEY_SIZE] = mark->told;
    return state_put(timeline->task->state, TABLE_GONE, str_make(key, sizeof key),
        str_make(value, sizeof value));
}

struct marking {
    struct timeline *timeline;
    struct node_mark mark;
    struct recent recent;
};

/* Returns 1 when the event, at the mark's node, must not stand. One that came there behind generic
 * ones was let through by the node's owner, who knows what is others'. The node hears of the first
 * one that does, and that shows it though nothing else may. */
static int drop_marked(
    void *context, const uint8_t node[KEY_SIZE], const struct seated_event *seated)
{
    struct marking *marking = context;
    const struct touchpoint *event = &seated->event;
    const struct node_mark *mark = &marking->mark;
    const struct namespace_table *namespaces = marking->timeline->config->namespaces;
    struct task *task = marking->timeline->task;
    struct signature signature;
    struct signature_node chain[NODES_MAX];
    int r = signature_of_event(namespaces, event, task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    (void)signature_chain(&signature, chain);
    bool is_first = memcmp(chain[0].id, node, KEY_SIZE) == 0;
    struct erased erased = {namespaces, mark->person, mark->at, NULL, false};
    if (is_first && !lifted_since(seated->lifted_at, mark->at) &&
        erasure_keeps_away(namespaces, node, true, event->occurred_at < mark->at)) {
        if (!event->has_evidence && told(&marking->recent, &signature))
            return 1;
        r = erasure_take_back(&erased, event, task->scratch, task->outbox);
        return r < 0 ? r : 1;
    }
    if (!is_first || signature.count > 1 || mark->told)
        return 0;
    marking->mark.told = true;
    erased.seat = node;
    return erasure_keep(&erased, event, task->outbox);
}

static int drop_marked_arrival(struct timeline *timeline, const struct person *person,
    const uint8_t node[KEY_SIZE], const struct seated_event *event)
{
    struct marking marking = {.timeline = timeline};
    int r = get_mark(timeline, person, node, &marking.mark);
    if (r)
        return r < 0 ? r : 0;
    bool before = marking.mark.told;
    int drops = drop_marked(&marking, node, event);
    if (drops < 0 || before == marking.mark.told)
        return drops;
    r = put_mark(timeline, person, node, &marking.mark);
    return r < 0 ? r : drops;
}

/* The mark goes where the node's events went. */
static int pass_mark_on(
    struct timeline *timeline, const struct gone_node *gone, const struct node_mark *mark)
{
    struct journey_message message;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_SUPPRESS;
    memcpy(message.person, gone->to, KEY_SIZE);
    memcpy(message.node, gone->node, KEY_SIZE);
    message.epoch = gone->epoch;
    message.has_to = true;
    memcpy(message.to, mark->person, KEY_SIZE);
    message.at = mark->at;
    return send(timeline, &message);
}

static int take_mark(struct timeline *timeline, struct person *person, const uint8_t node[KEY_SIZE],
    const struct node_mark *mark)
{
    struct marking marking = {.timeline = timeline, .mark = *mark};
    struct node_mark before;
    int r = get_mark(timeline, person, node, &before);
    if (r < 0)
        return r;
    if (r == 0 && before.at > mark->at)
        marking.mark.at = before.at;
    person->suppresses = true;
    r = timeline_drop(timeline, person, node, drop_marked, &marking);
    return r < 0 ? r : put_mark(timeline, person, node, &marking.mark);
}

/* ---- suppressed signatures ---- */

static void suppressed_key(uint8_t key[SUPPRESSED_KEY_SIZE], const struct person *person,
    const uint8_t node[KEY_SIZE], const struct signature *signature)
{
    uint8_t digest[SHA256_SIZE];
    gone_key(key, person->id, node);
    signature_digest(signature, digest);
    memcpy(key + GONE_KEY_SIZE, digest, KEY_SIZE);
}

/* A row's content: stay (1) | identifiers | at (8), which those of an older build lack. */
struct suppressed_row {
    bool stay;
    struct signature signature;
    int64_t at;
};

static int suppressed_decode(struct suppressed_row *out, struct str value)
{
    if (value.size < STAY_SIZE)
        return ERR_STATE;
    size_t at_size = (value.size - STAY_SIZE) % KEY_SIZE;
    struct str members = str_make(value.data + STAY_SIZE, value.size - STAY_SIZE - at_size);
    if ((at_size && at_size != 8) || !signature_of_bytes(members, &out->signature))
        return ERR_STATE;
    out->stay = value.data[0];
    out->at = at_size ? get_be64_signed((const uint8_t *)value.data + value.size - 8) : 0;
    return 0;
}

int erasure_drops(struct timeline *timeline, struct person *person, const uint8_t node[KEY_SIZE],
    const struct touchpoint *event, int64_t lifted_at)
{
    const struct seated_event seated = {*event, lifted_at};
    struct suppressed_row row;
    uint8_t key[SUPPRESSED_KEY_SIZE];
    struct signature signature;
    struct str value;
    int r = person->suppresses ? drop_marked_arrival(timeline, person, node, &seated) : 0;
    if (r || !person->suppresses)
        return r;
    r = signature_of_event(
        timeline->config->namespaces, event, timeline->task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    suppressed_key(key, person, node, &signature);
    r = state_get(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), &value);
    if (r == 0)
        r = suppressed_decode(&row, value);
    if (r || lifted_since(lifted_at, row.at))
        return r < 0 ? r : 0;
    r = erasure_retract(timeline->config->namespaces, event, timeline->task->outbox);
    return r < 0 ? r : 1;
}

/* Onward from a node that is gone: with its events, or down the chain. */
static int pass_on(
    struct timeline *timeline, const struct gone_node *gone, const struct suppressed_row *row)
{
    const struct signature *signature = &row->signature;
    struct signature_node chain[NODES_MAX];
    if (gone->scattered) {
        size_t nodes = signature_chain(signature, chain), at = 0;
        while (at < nodes && memcmp(chain[at].id, gone->node, KEY_SIZE) != 0)
            at++;
        return at == nodes ? ERR_STATE
                           : erasure_pass_on(signature, (int32_t)at, row->at, gone->node,
                                 timeline->task->outbox);
    }
    struct journey_message message;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_SUPPRESS;
    memcpy(message.person, gone->to, KEY_SIZE);
    memcpy(message.node, gone->node, KEY_SIZE);
    message.epoch = gone->epoch;
    message.members = signature_bytes(signature);
    message.at = row->at;
    return send(timeline, &message);
}

int erasure_gone(struct timeline *timeline, struct person *person, const struct gone_node *gone)
{
    uint8_t prefix[GONE_KEY_SIZE];
    struct state_scan *scan;
    struct str key, value;
    if (!person->suppresses)
        return 0;
    gone_key(prefix, person->id, gone->node);
    int r =
        state_scan_begin(timeline->task->state, TABLE_GONE, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct suppressed_row row = {.stay = false};
        struct node_mark mark;
        if (key.size != SUPPRESSED_KEY_SIZE || (is_mark(key) && gone->scattered))
            continue; /* a mark stays where the last of its node's events may still come by */
        if (is_mark(key)) {
            r = mark_decode(&mark, value);
            if (r == 0)
                r = pass_mark_on(timeline, gone, &mark);
        } else {
            r = suppressed_decode(&row, value);
            if (r == 0 && row.stay)
                continue;
            if (r == 0)
                r = pass_on(timeline, gone, &row);
        }
        if (r == 0)
            r = state_delete(timeline->task->state, TABLE_GONE, key);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

struct following {
    struct timeline *timeline;
    const struct suppressed_row *row;
};

static int drop_suppressed(
    void *context, const uint8_t node[KEY_SIZE], const struct seated_event *seated)
{
    const struct following *following = context;
    const struct touchpoint *event = &seated->event;
    (void)node;
    struct signature signature;
    int r = signature_of_event(following->timeline->config->namespaces, event,
        following->timeline->task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    if (!str_equal(signature_bytes(&signature), signature_bytes(&following->row->signature)) ||
        lifted_since(seated->lifted_at, following->row->at))
        return 0;
    r = erasure_retract(
        following->timeline->config->namespaces, event, following->timeline->task->outbox);
    return r < 0 ? r : 1;
}

static int suppress_signature(struct timeline *timeline, const struct journey_message *message)
{
    uint8_t key[SUPPRESSED_KEY_SIZE], at[8];
    struct suppressed_row row = {.at = message->at}, before;
    struct person *person;
    struct gone_node *gone;
    struct str found;
    CLEANUP(buf_free) struct buf value = {0};
    if (!signature_of_bytes(message->members, &row.signature))
        return ERR_VALUE;
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = timeline_admit(timeline, person, message, &gone);
    if (r == 1)
        return pass_on(timeline, gone, &row);
    if (r < 0)
        return r;
    suppressed_key(key, person, message->node, &row.signature);
    r = state_get(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), &found);
    if (r == 0)
        r = suppressed_decode(&before, found);
    if (r == 0 && before.at > row.at)
        row.at = before.at;
    put_be64_signed(at, row.at);
    if (r >= 0)
        r = buf_append(&value, message->stay ? "\1" : "\0", STAY_SIZE);
    if (r == 0)
        r = buf_append_str(&value, message->members);
    if (r == 0)
        r = buf_append(&value, at, sizeof at);
    if (r < 0)
        return r;
    person->suppresses = true;
    r = state_put(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), buf_str(&value));
    struct following following = {timeline, &row};
    return r < 0 ? r : timeline_drop(timeline, person, message->node, drop_suppressed, &following);
}

/* Where the node died, its last events may still come by, and meet the mark. */
static int suppress_node(struct timeline *timeline, const struct journey_message *message)
{
    struct node_mark mark = {.at = message->at};
    struct person *person;
    struct gone_node *gone;
    if (message->stay || message->members.size)
        return ERR_VALUE;
    memcpy(mark.person, message->to, KEY_SIZE);
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = timeline_admit(timeline, person, message, &gone);
    if (r == 1 && !gone->scattered)
        return pass_mark_on(timeline, gone, &mark);
    return r < 0 ? r : take_mark(timeline, person, message->node, &mark);
}

int erasure_suppress(struct timeline *timeline, const struct journey_message *message)
{
    if (!timeline_epoch_valid(message->epoch))
        return ERR_VALUE;
    return message->has_to ? suppress_node(timeline, message)
                           : suppress_signature(timeline, message);
}
