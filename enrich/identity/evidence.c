/* Rows node | fe | other | event_key; no class is fe. */
#include "enrich/identity/evidence.h"

#include "enrich/identity/rotation.h"
#include "schemas/error.h"
#include "schemas/identity_evidence.avro.h"

#define EVIDENCE_MARK 0xfe
#define EVIDENCE_PREFIX_SIZE (KEY_SIZE + 1 + KEY_SIZE)
#define EVIDENCE_KEY_SIZE (EVIDENCE_PREFIX_SIZE + KEY_SIZE)

static int read_row(struct owners *owners, struct str value, struct identity_evidence *out)
{
    int r = identity_evidence_decode(out, value, owners_scratch(owners));
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

/* Whether `a` is behind `b` in the order of which the last stands; equal ones differ by event. */
static bool behind(const struct identity_evidence *a, const struct identity_evidence *b)
{
    return a->authority != b->authority ? a->authority < b->authority : a->at < b->at;
}

/* Rows come in the order of event_key: of equal ones the last stands. */
static int find_last(struct owners *owners, struct str prefix, struct evidence_row *out)
{
    struct identity_evidence last = {.authority = 0}, row;
    struct state_scan *scan;
    struct str key, value;
    int r = state_scan_begin(owners_state(owners), TABLE_EDGE, prefix, &scan);
    *out = (struct evidence_row){.sign = 0};
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        r = read_row(owners, value, &row);
        if (r < 0)
            break;
        if (row.retracted || (out->sign && behind(&row, &last)))
            continue;
        last = row;
        *out = (struct evidence_row){row.links ? 1 : -1, row.value, row.other_value};
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

int evidence_take(struct owners *owners, const struct owner *owner,
    const struct identity_message *message, struct evidence_row *stands)
{
    uint8_t bytes[EVIDENCE_KEY_SIZE];
    struct identity_evidence row;
    struct str key = str_make(bytes, sizeof bytes), value;
    memcpy(bytes, owner->id, KEY_SIZE);
    bytes[KEY_SIZE] = EVIDENCE_MARK;
    memcpy(bytes + KEY_SIZE + 1, message->other, KEY_SIZE);
    memcpy(bytes + EVIDENCE_PREFIX_SIZE, message->event_key, KEY_SIZE);
    bool retract = message->kind == IDENTITY_KIND_RETRACT;
    int r = state_get(owners_state(owners), TABLE_EDGE, key, &value);
    if (r < 0 || (r == 0 && !retract))
        return r;
    identity_evidence_init(&row);
    row.retracted = retract;
    if (!retract) {
        row.authority = (int32_t)message->number;
        row.at = message->at;
        row.links = message->on;
        row.value = message->value;
        row.other_value = message->links_count ? message->links[0].value : (struct str){0};
    }
    struct buf *out = owners_buffer(owners);
    r = identity_evidence_encode(&row, out);
    if (r == 0)
        r = state_put(owners_state(owners), TABLE_EDGE, key, buf_str(out));
    if (r == 0)
        r = find_last(owners, str_make(bytes, EVIDENCE_PREFIX_SIZE), stands);
    return r < 0 ? r : 1;
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
    message->number = evidence->authority;
    message->at = event->occurred_at;
    pass(evidence, a, b, out);
    return 0;
}
