/* Nothing is taken from what stands in any pipeline: only from what was said to it. */
#include "tests/property/departed.h"

#include "enrich/identity/erasure.h"

static bool same(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) == 0;
}

static struct departed_mark *mark_of(struct departed *departed, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < departed->marks_count; i++)
        if (same(departed->marks[i].node, node))
            return &departed->marks[i];
    return NULL;
}

static bool is_generic(const struct departed *departed, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < departed->generic_count; i++)
        if (same(departed->generic[i], node))
            return true;
    return false;
}

static bool same_signature(const struct signature *a, const struct signature *b)
{
    return str_equal(signature_bytes(a), signature_bytes(b));
}

/* ---- the meaning of what stands ---- */

static void add_generic(struct departed *departed, const uint8_t node[KEY_SIZE])
{
    size_t at = departed->generic_count;
    if (is_generic(departed, node))
        return;
    check(departed->generic_count < CASE_NODES_MAX);
    while (at > 0 && memcmp(departed->generic[at - 1], node, KEY_SIZE) > 0)
        at--;
    memmove(departed->generic[at + 1], departed->generic[at],
        (departed->generic_count - at) * KEY_SIZE);
    memcpy(departed->generic[at], node, KEY_SIZE);
    departed->generic_count++;
}

static void solve(struct departed *departed, const struct identity_case *given)
{
    meaning_solve(&departed->meaning, given, departed->stands,
        (const uint8_t(*)[KEY_SIZE])departed->generic, departed->generic_count);
    for (size_t i = 0; i < departed->meaning.count; i++)
        if (departed->meaning.generic[i])
            add_generic(departed, departed->meaning.nodes[i]);
}

/* The root of an identifier: itself where no event shows it. */
static void root_of(
    const struct departed *departed, const uint8_t node[KEY_SIZE], uint8_t root[KEY_SIZE])
{
    size_t i = meaning_find(&departed->meaning, node);
    const struct meaning *m = &departed->meaning;
    memcpy(root, i == SIZE_MAX ? node : m->nodes[m->root[i]], KEY_SIZE);
}

/* ---- what is others' beside a suppressed identifier ---- */

static bool event_shows(const struct case_event *event, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < event->signature.count; i++)
        if (same(event->signature.members[i], node))
            return true;
    return false;
}

static bool is_pair(const struct departed *departed, size_t mark, const uint8_t other[KEY_SIZE])
{
    for (size_t i = 0; i < departed->pairs_count; i++)
        if (departed->pairs[i].mark == mark && same(departed->pairs[i].other, other))
            return true;
    return false;
}

/* Those that nothing which stands shows any more are none. */
static void end_pairs(struct departed *departed, const struct identity_case *given)
{
    size_t kept = 0;
    for (size_t i = 0; i < departed->pairs_count; i++) {
        const struct departed_pair *pair = &departed->pairs[i];
        bool shown = false;
        for (size_t k = 0; k < given->events_count && !shown; k++)
            shown = departed->stands[k] && event_shows(&given->events[k], pair->other) &&
                    event_shows(&given->events[k], departed->marks[pair->mark].node);
        if (shown)
            departed->pairs[kept++] = *pair;
    }
    departed->pairs_count = kept;
}

/* Of marks that were made just now: what stands beside them is not the erased person's. */
static void begin_pairs(struct departed *departed, const struct identity_case *given)
{
    for (size_t mark = 0; mark < departed->marks_count; mark++) {
        const uint8_t *node = departed->marks[mark].node;
        for (size_t i = 0; i < given->events_count && departed->marks[mark].renewed; i++) {
            const struct signature *signature = &given->events[i].signature;
            if (!departed->stands[i] || !event_shows(&given->events[i], node))
                continue;
            for (size_t k = 0; k < signature->count; k++) {
                if (is_pair(departed, mark, signature->members[k]))
                    continue;
                check(departed->pairs_count < DEPARTED_PAIRS_MAX);
                struct departed_pair *pair = &departed->pairs[departed->pairs_count++];
                pair->mark = mark;
                memcpy(pair->other, signature->members[k], KEY_SIZE);
            }
        }
        departed->marks[mark].renewed = false;
    }
}

/* Whether the event comes to the marked node beside identifiers that are others' there, all. */
static bool is_of_others(const struct departed *departed, const struct departed_mark *mark,
    const struct signature *signature, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (!is_pair(departed, (size_t)(mark - departed->marks), signature->members[i]))
            return false;
    return true;
}

/* ---- events that come ---- */

static bool node_is_generic(const struct departed *departed, const struct signature *signature,
    const struct signature_node *node)
{
    for (size_t i = 0; i < node->count; i++)
        if (!is_generic(departed, signature->members[node->first + i]))
            return false;
    return true;
}

static bool keeps_away(const struct identity_case *given, const struct departed_mark *mark,
    const struct case_event *event, bool is_first)
{
    return erasure_keeps_away(&given->namespaces, mark->node, is_first, event->time < mark->at);
}

static void forget(
    struct departed *departed, const struct identity_case *given, size_t event, int64_t at)
{
    const struct signature *signature = &given->events[event].signature;
    departed->stands[event] = false;
    for (size_t i = 0; signature->count > 1 && i < given->events_count; i++)
        if (same_signature(&given->events[i].signature, signature)) {
            if (!departed->forgotten[i] || at > departed->forgotten_at[i])
                departed->forgotten_at[i] = at;
            departed->forgotten[i] = true;
        }
}

/* The last lift of the marked node that is no later than the event and no earlier than the mark. */
static int64_t lift_of(const struct departed *departed, const struct departed_mark *mark,
    const struct case_event *event)
{
    int64_t last = 0;
    for (size_t i = 0; mark && i < departed->lifts_count; i++) {
        const struct departed_lift *lift = &departed->lifts[i];
        if (same(lift->node, mark->node) && lift->at <= event->time && lift->at >= mark->at &&
            lift->at > last)
            last = lift->at;
    }
    return last;
}

/* What a lift let in is not taken by erasures up to then. */
static bool is_spared(int64_t lifted_at, int64_t at)
{
    return lifted_at > 0 && lifted_at >= at;
}

static bool is_forgotten(const struct departed *departed, size_t event)
{
    return departed->forgotten[event] &&
           !is_spared(departed->lifted_at[event], departed->forgotten_at[event]);
}

/* At the first node: before it says anything. */
static bool is_refused(struct departed *departed, const struct identity_case *given, size_t index)
{
    const struct case_event *event = &given->events[index];
    struct signature_node chain[NODES_MAX];
    (void)signature_chain(&event->signature, chain);
    const struct departed_mark *mark = mark_of(departed, chain[0].id);
    return is_forgotten(departed, index) ||
           (mark && !mark->was_generic && !is_spared(departed->lifted_at[index], mark->at) &&
               keeps_away(given, mark, event, true));
}

/* Down its chain, from where it is, as far as nodes are generic. Returns whether a suppressed one
 * is met. */
static bool is_stopped(struct departed *departed, const struct identity_case *given, size_t index)
{
    const struct case_event *event = &given->events[index];
    struct signature_node chain[NODES_MAX];
    size_t count = signature_chain(&event->signature, chain), *seat = &departed->seat[index];
    const struct departed_mark *mark;
    while (*seat < count && node_is_generic(departed, &event->signature, &chain[*seat])) {
        ++*seat;
        mark = *seat < count ? mark_of(departed, chain[*seat].id) : NULL;
        if (mark && !mark->was_generic && keeps_away(given, mark, event, false) &&
            !lift_of(departed, mark, event) &&
            !is_of_others(departed, mark, &event->signature, chain[*seat].first))
            return true;
        mark = *seat == count ? mark_of(departed, chain[0].id) : NULL;
        if (mark && keeps_away(given, mark, event, true) &&
            !is_spared(departed->lifted_at[index], mark->at))
            return true;
    }
    return false;
}

static void arrive(struct departed *departed, const struct identity_case *given, size_t index)
{
    const struct case_event *event = &given->events[index];
    struct signature_node chain[NODES_MAX];
    (void)signature_chain(&event->signature, chain);
    departed->lifted_at[index] = lift_of(departed, mark_of(departed, chain[0].id), event);
    departed->stands[index] = !is_refused(departed, given, index);
}

static void come(struct departed *departed, const struct identity_case *given, size_t phase)
{
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].phase == phase && given->events[i].kind < CASE_ERASURE)
            arrive(departed, given, i);
    solve(departed, given);
    for (size_t i = 0; i < given->events_count; i++)
        if (departed->stands[i] && is_stopped(departed, given, i)) {
            departed->stopped = true;
            forget(departed, given, i, INT64_MAX);
        }
    for (size_t i = 0; i < given->events_count; i++)
        departed->stands[i] &= !is_forgotten(departed, i);
    solve(departed, given);
    end_pairs(departed, given);
}

/* ---- erasures ---- */

static void suppress(struct departed *departed, const uint8_t node[KEY_SIZE],
    const uint8_t root[KEY_SIZE], int64_t at)
{
    struct departed_mark *mark = mark_of(departed, node);
    bool is_new = !mark;
    if (is_new) {
        check(departed->marks_count < CASE_NODES_MAX);
        mark = &departed->marks[departed->marks_count++];
        *mark = (struct departed_mark){.at = at, .was_generic = is_generic(departed, node)};
        memcpy(mark->node, node, KEY_SIZE);
    }
    mark->renewed |=
        !is_generic(departed, node) && (is_new || at > mark->at || !same(mark->root, root));
    mark->at = at > mark->at ? at : mark->at;
    memcpy(mark->root, root, KEY_SIZE);
}

/* A device's own event of the erasure and later lives on. */
static bool is_left(const struct identity_case *given, const struct case_event *event, int64_t at)
{
    return event->signature.count == 1 && event->time >= at &&
           !erasure_for_good(&given->namespaces, event->signature.members[0]);
}

/* When the event's first node was erased last. */
static int64_t at_first(struct departed *departed, const struct identity_case *given, size_t event)
{
    const struct departed_mark *mark = mark_of(departed, given->events[event].signature.members[0]);
    return mark ? mark->at : 0;
}

static void erase(
    struct departed *departed, const struct identity_case *given, const struct case_event *erasure)
{
    const struct meaning *m = &departed->meaning;
    const uint8_t *asked = erasure->signature.members[0];
    const struct departed_mark *mark = mark_of(departed, asked);
    uint8_t root[KEY_SIZE], other[KEY_SIZE];
    if (mark && mark->at >= erasure->time)
        return; /* a copy, or as good as one */
    root_of(departed, asked, root);
    mark = mark_of(departed, root);
    bool again = mark && mark->at >= erasure->time && same(mark->root, root);
    for (size_t i = 0; i < m->count && !again; i++) {
        root_of(departed, m->nodes[i], other);
        if (same(other, root) && !m->generic[i])
            suppress(departed, m->nodes[i], root, erasure->time);
    }
    suppress(departed, root, root, erasure->time);
    suppress(departed, asked, root, erasure->time);
    for (size_t i = 0; i < given->events_count; i++)
        if (departed->stands[i] && !again && !is_left(given, &given->events[i], erasure->time) &&
            !is_spared(departed->lifted_at[i], erasure->time) &&
            same(m->nodes[meaning_place(m, &given->events[i].signature)], root))
            forget(departed, given, i, erasure->time);
    /* Where the person was erased before, what the identifier says itself. */
    for (size_t i = 0; i < given->events_count; i++)
        if (departed->stands[i] && is_refused(departed, given, i))
            forget(departed, given, i, at_first(departed, given, i));
    begin_pairs(departed, given);
    end_pairs(departed, given);
    solve(departed, given);
}

static void lift(struct departed *departed, const struct case_event *event)
{
    struct departed_lift *to = &departed->lifts[departed->lifts_count++];
    to->at = event->time;
    memcpy(to->node, event->signature.members[0], KEY_SIZE);
}

void departed_find(struct departed *out, const struct identity_case *given)
{
    size_t last = 0;
    *out = (struct departed){.marks_count = 0};
    for (size_t i = 0; i < given->events_count; i++)
        last = given->events[i].phase > last ? given->events[i].phase : last;
    for (size_t phase = 0; phase <= last; phase++) {
        come(out, given, phase);
        for (size_t i = 0; i < given->events_count; i++)
            if (given->events[i].phase == phase && given->events[i].kind == CASE_ERASURE)
                erase(out, given, &given->events[i]);
            else if (given->events[i].phase == phase && given->events[i].kind == CASE_LIFT)
                lift(out, &given->events[i]);
    }
}
