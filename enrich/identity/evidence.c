/*
 * Rows node | fe | place (1); no class is fe. Both ends of a pair have one. A place is given anew
 * when what had it is dropped, so that however many words come in a batch, it touches few rows.
 *
 * Invariant: the rows of a node are a function of the set of words about it that have come,
 * retracted ones included. Of each pair the EVIDENCE_PAIR_MAX that are last stay, of these over all
 * pairs the EVIDENCE_MAX. What is above a word in that order, pairs' own limits counted in, never
 * grows less; so what was dropped once would be dropped always, and what stays was never dropped.
 * Hence a retracted word keeps its place.
 */
#include "enrich/identity/evidence.h"

#include "enrich/identity/rotation.h"
#include "ingest/door.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#define EVIDENCE_MARK ROW_EVIDENCE_MARK
#define EVIDENCE_KEY_SIZE (KEY_SIZE + 2)

_Static_assert(EVIDENCE_MAX <= UINT8_MAX, "a place is one byte of a key");

static struct str row_key(uint8_t key[EVIDENCE_KEY_SIZE], const struct owner *owner, size_t place)
{
    memcpy(key, owner->id, KEY_SIZE);
    key[KEY_SIZE] = EVIDENCE_MARK;
    key[KEY_SIZE + 1] = (uint8_t)place;
    return str_make(key, EVIDENCE_KEY_SIZE);
}

static int load(struct owners *owners, const struct owner *owner, struct evidence_set *out)
{
    uint8_t prefix[EVIDENCE_KEY_SIZE];
    struct state_scan *scan;
    struct str key, value;
    (void)row_key(prefix, owner, 0);
    out->count = 0;
    int r =
        state_scan_begin(owners_state(owners), TABLE_EDGE, str_make(prefix, KEY_SIZE + 1), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct evidence_item *item = &out->items[out->count];
        if (key.size != EVIDENCE_KEY_SIZE || out->count == EVIDENCE_MAX) {
            r = ERR_STATE;
            break;
        }
        item->place = (uint8_t)key.data[KEY_SIZE + 1];
        r = identity_evidence_decode(&item->row, value, owners_scratch(owners));
        if (r < 0)
            break;
        out->count++;
    }
    state_scan_end(&scan);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r < 0 ? r : 0;
}

static int save(struct owners *owners, const struct owner *owner, const struct evidence_item *item)
{
    uint8_t key[EVIDENCE_KEY_SIZE];
    struct buf *value = owners_buffer(owners);
    int r = identity_evidence_encode(&item->row, value);
    if (r < 0)
        return r;
    return state_put(
        owners_state(owners), TABLE_EDGE, row_key(key, owner, item->place), buf_str(value));
}

static bool same_pair(const struct identity_evidence *a, const struct identity_evidence *b)
{
    return memcmp(a->other, b->other, KEY_SIZE) == 0;
}

/* The order of which the last stands; between pairs the other end decides where all else is equal.
 */
static bool behind(const struct identity_evidence *a, const struct identity_evidence *b)
{
    if (a->authority != b->authority)
        return a->authority < b->authority;
    if (a->at != b->at)
        return a->at < b->at;
    int order = memcmp(a->event_key, b->event_key, KEY_SIZE);
    return order ? order < 0 : memcmp(a->other, b->other, KEY_SIZE) < 0;
}

void evidence_stands(
    const struct evidence_set *set, const uint8_t other[KEY_SIZE], struct evidence_row *out)
{
    const struct identity_evidence *last = NULL;
    for (size_t i = 0; i < set->count; i++) {
        const struct identity_evidence *row = &set->items[i].row;
        if (memcmp(row->other, other, KEY_SIZE) == 0 && !row->retracted &&
            (!last || behind(last, row)))
            last = row;
    }
    *out = (struct evidence_row){.sign = 0};
    if (last)
        *out = (struct evidence_row){last->links ? 1 : -1, last->value, last->other_value};
}

/* ---- taking one in ---- */

static struct evidence_item *find(struct evidence_set *set, const struct identity_message *message)
{
    for (size_t i = 0; i < set->count; i++) {
        struct evidence_item *item = &set->items[i];
        if (memcmp(item->row.event_key, message->event_key, KEY_SIZE) == 0 &&
            memcmp(item->row.other, message->other, KEY_SIZE) == 0)
            return item;
    }
    return NULL;
}

/* What is too much: the last in the order, of the newest one's pair, else of all; or NULL. */
static struct evidence_item *find_over(struct evidence_set *set, bool *of_all)
{
    const struct evidence_item *newest = &set->items[set->count - 1];
    struct evidence_item *least = NULL, *least_of_pair = NULL;
    size_t pair = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct evidence_item *item = &set->items[i];
        if (!least || behind(&item->row, &least->row))
            least = item;
        if (!same_pair(&item->row, &newest->row))
            continue;
        pair++;
        if (!least_of_pair || behind(&item->row, &least_of_pair->row))
            least_of_pair = item;
    }
    *of_all = pair <= EVIDENCE_PAIR_MAX && set->count > EVIDENCE_MAX;
    return pair > EVIDENCE_PAIR_MAX ? least_of_pair : *of_all ? least : NULL;
}

static void read_message(const struct identity_message *message, struct identity_evidence *out)
{
    identity_evidence_init(out);
    memcpy(out->other, message->other, KEY_SIZE);
    memcpy(out->event_key, message->event_key, KEY_SIZE);
    out->authority = (int32_t)message->number;
    out->at = message->at;
    out->retracted = message->kind == IDENTITY_KIND_RETRACT;
    if (out->retracted)
        return;
    out->links = message->on;
    out->value = message->value;
    out->other_value = message->links_count ? message->links[0].value : (struct str){0};
}

/* The first place that nobody has: rows come in their order. */
static uint8_t free_place(const struct evidence_set *set)
{
    size_t place = 0;
    while (place < set->count && set->items[place].place == place)
        place++;
    return (uint8_t)place;
}

static int add(struct owners *owners, const struct owner *owner, struct evidence_set *set,
    const struct identity_message *message)
{
    struct evidence_item *item = &set->items[set->count];
    bool of_all;
    *item = (struct evidence_item){.place = free_place(set)};
    read_message(message, &item->row);
    set->count++;
    struct evidence_item *over = find_over(set, &of_all);
    if (over) {
        set->dropped = of_all;
        set->dropped_row = over->row;
        item->place = over->place;
    }
    int r = over == item ? 0 : save(owners, owner, item);
    if (over) /* the newest takes its place, if it is another */
        *over = set->items[--set->count];
    return r;
}

int evidence_take(struct owners *owners, const struct owner *owner,
    const struct identity_message *message, struct evidence_set *out)
{
    out->dropped = false;
    int r = load(owners, owner, out);
    if (r < 0)
        return r;
    struct evidence_item *known = find(out, message);
    if (!known) {
        r = add(owners, owner, out, message);
        return r < 0 ? r : 1;
    }
    if (message->kind != IDENTITY_KIND_RETRACT || known->row.retracted)
        return 0;
    known->row.retracted = true;
    known->row.value = known->row.other_value = (struct str){0};
    r = save(owners, owner, known);
    return r < 0 ? r : 1;
}

int evidence_report(struct outbox *outbox, struct arena *arena, const struct owner *owner)
{
    CLEANUP(buf_free) struct buf payload = {0};
    char node[2 * KEY_SIZE];
    struct append_record record;
    const struct event_problem problem = {.error = ERR_TOO_MANY,
        .pointer = STR("/evidence"),
        .hint = STR("an identifier keeps so many words: of the highest authority, the latest")};
    hex_encode(owner->id, KEY_SIZE, node);
    int r = buf_appendf(
        &payload, "{\"node\":\"%.*s\",\"kept\":%d}", (int)sizeof node, node, EVIDENCE_MAX);
    const struct door_rejection rejection = {
        .stage = STR("identify"), .payload = buf_str(&payload)};
    if (r == 0)
        r = door_reject(&rejection, &problem, 0, arena, &record);
    return r < 0 ? r : outbox_send(outbox, TOPIC_REJECTED, record.key, record.value);
}

/* ---- events ---- */

static int end_of(const struct namespace_table *namespaces, struct str namespace, struct str value,
    uint8_t node[KEY_SIZE])
{
    int rank = namespace_rank(namespaces, namespace);
    if (rank < 0)
        return rank;
    if (value.size == 0 || value.size > IDENTIFIER_VALUE_SIZE_MAX)
        return ERR_VALUE;
    namespace_node_id(namespaces, rank, value, node);
    return 0;
}

/* Makes the message one that goes by way of newer pseudonyms, if there are any. */
static void pass(const struct evidence *evidence, const uint8_t a[KEY_SIZE],
    const uint8_t b[KEY_SIZE], struct evidence_message *out)
{
    struct identity_message *message = &out->message;
    size_t count = 0;
    if (rotation_newer(evidence->a_namespace, evidence->a_value))
        out->newer[count++] = 0;
    if (rotation_newer(evidence->b_namespace, evidence->b_value))
        out->newer[count++] = 1;
    if (count == 0)
        return;
    out->ends[0] = (struct link_end){.value = evidence->a_value};
    out->ends[1] = (struct link_end){.value = evidence->b_value};
    memcpy(out->ends[0].node, a, KEY_SIZE);
    memcpy(out->ends[1].node, b, KEY_SIZE);
    message->kind = message->kind == IDENTITY_KIND_RETRACT ? IDENTITY_KIND_PASS_RETRACT
                                                           : IDENTITY_KIND_PASS_EVIDENCE;
    message->value = (struct str){0};
    message->has_other = false;
    message->links = out->ends;
    message->links_count = 2;
    message->newer = str_make(out->newer, count);
    memcpy(message->to, out->ends[out->newer[0]].node, KEY_SIZE);
}

int evidence_of_event(const struct namespace_table *namespaces, const struct touchpoint *event,
    enum identity_kind kind, struct evidence_message *out)
{
    const struct evidence *evidence = &event->evidence;
    struct identity_message *message = &out->message;
    uint8_t a[KEY_SIZE], b[KEY_SIZE];
    int r = end_of(namespaces, evidence->a_namespace, evidence->a_value, a);
    if (r == 0)
        r = end_of(namespaces, evidence->b_namespace, evidence->b_value, b);
    if (r < 0)
        return r;
    int order = memcmp(a, b, KEY_SIZE);
    if (order == 0)
        return ERR_VALUE;
    identity_message_init(message);
    message->kind = kind;
    memcpy(message->to, order > 0 ? a : b, KEY_SIZE);
    memcpy(message->other, order > 0 ? b : a, KEY_SIZE);
    message->has_other = true;
    message->has_event_key = true;
    memcpy(message->event_key, event->event_key, KEY_SIZE);
    message->number = evidence->authority;
    message->at = event->occurred_at;
    if (kind == IDENTITY_KIND_RETRACT) {
        pass(evidence, a, b, out);
        return 0;
    }
    message->value = order > 0 ? evidence->a_value : evidence->b_value;
    out->other = (struct link_end){.value = order > 0 ? evidence->b_value : evidence->a_value};
    memcpy(out->other.node, message->other, KEY_SIZE);
    message->links = &out->other;
    message->links_count = 1;
    message->on = evidence->sign > 0;
    pass(evidence, a, b, out);
    return 0;
}

void evidence_to_stronger(const struct identity_message *to_weaker, struct identity_message *out)
{
    identity_message_init(out);
    out->kind = IDENTITY_KIND_EVIDENCE;
    memcpy(out->to, to_weaker->other, KEY_SIZE);
    memcpy(out->other, to_weaker->to, KEY_SIZE);
    out->has_other = true;
    out->has_event_key = true;
    memcpy(out->event_key, to_weaker->event_key, KEY_SIZE);
    out->number = to_weaker->number;
    out->at = to_weaker->at;
    out->on = to_weaker->on;
}
