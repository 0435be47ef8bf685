/*
 * Adjacency in matrices. Links go from the later node in id order to the earlier: order of rank.
 * What evidence links within a rank is one set, which claims as one: rules 3 and 4 count sets.
 */
#include "tests/property/meaning.h"

#include "enrich/identity/edge.h"

#define NONE SIZE_MAX

static bool up[MEANING_NODES_MAX][MEANING_NODES_MAX];   /* weak, strong */
static bool said[MEANING_NODES_MAX][MEANING_NODES_MAX]; /* weak, strong */
static bool cut[MEANING_NODES_MAX][MEANING_NODES_MAX];  /* weak, strong */
static bool live[MEANING_NODES_MAX][MEANING_NODES_MAX];
static bool derived[MEANING_NODES_MAX][MEANING_NODES_MAX];
static size_t first_of[MEANING_NODES_MAX]; /* of the set, in id order */

size_t meaning_find(const struct meaning *meaning, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < meaning->count; i++)
        if (memcmp(meaning->nodes[i], node, KEY_SIZE) == 0)
            return i;
    return NONE;
}

static void add_node(struct meaning *meaning, const uint8_t node[KEY_SIZE])
{
    size_t at = meaning->count;
    if (meaning_find(meaning, node) != NONE)
        return;
    check(meaning->count < MEANING_NODES_MAX);
    while (at > 0 && memcmp(meaning->nodes[at - 1], node, KEY_SIZE) > 0)
        at--;
    memmove(meaning->nodes[at + 1], meaning->nodes[at], (meaning->count - at) * KEY_SIZE);
    memcpy(meaning->nodes[at], node, KEY_SIZE);
    meaning->count++;
}

static int rank(const struct meaning *meaning, size_t node)
{
    return node_rank(meaning->nodes[node]);
}

/* ---- links ---- */

static void add_links(const struct meaning *meaning, const struct signature *signature)
{
    for (size_t i = 0; i < signature->count; i++)
        for (size_t k = 0; k < i; k++)
            if (signature->members[i][0] != signature->members[k][0])
                up[meaning_find(meaning, signature->members[i])]
                  [meaning_find(meaning, signature->members[k])] = true;
}

/* Whether evidence a is behind b in the order of which the last stands. */
static bool behind(const struct case_event *a, const struct case_event *b)
{
    if (a->authority != b->authority)
        return a->authority < b->authority;
    if (a->time != b->time)
        return a->time < b->time;
    return memcmp(a->key, b->key, KEY_SIZE) < 0;
}

static bool same_pair(const struct case_event *a, const struct case_event *b)
{
    return memcmp(a->weak, b->weak, KEY_SIZE) == 0 && memcmp(a->strong, b->strong, KEY_SIZE) == 0;
}

static void add_evidence(
    struct meaning *meaning, const struct identity_case *given, const bool *kept)
{
    for (size_t i = 0; i < given->events_count; i++) {
        const struct case_event *event = &given->events[i];
        bool last = kept[i] && event->kind == CASE_EVIDENCE;
        for (size_t k = 0; last && k < given->events_count; k++) {
            const struct case_event *other = &given->events[k];
            if (kept[k] && other->kind == CASE_EVIDENCE && same_pair(event, other) &&
                behind(event, other))
                last = false;
        }
        if (!last)
            continue;
        size_t weak = meaning_find(meaning, event->weak),
               strong = meaning_find(meaning, event->strong);
        said[weak][strong] = event->sign > 0;
        meaning->shown[weak] = true;
        meaning->shown[strong] = true;
        cut[weak][strong] = event->sign < 0;
    }
}

/* ---- rules ---- */

static int32_t limit_of(
    const struct identity_case *given, const struct meaning *m, size_t node, bool above)
{
    const struct namespace_rule *rule = &given->namespaces.rules[rank(m, node)];
    return above ? rule->generic_up_max : rule->generic_down_max;
}

static bool over_limit(const struct identity_case *given, const struct meaning *m, size_t node)
{
    int above[NAMESPACES_MAX] = {0}, below[NAMESPACES_MAX] = {0};
    for (size_t i = 0; i < m->count; i++) {
        above[rank(m, i)] += up[node][i];
        below[rank(m, i)] += up[i][node];
    }
    for (size_t i = 0; i < NAMESPACES_MAX; i++)
        if (above[i] > limit_of(given, m, node, true) || below[i] > limit_of(given, m, node, false))
            return true;
    return false;
}

/* Sets: what live evidence connects within a rank. */
static void join(const struct meaning *m)
{
    for (size_t x = 0; x < m->count; x++)
        first_of[x] = x;
    for (size_t x = 0; x < m->count; x++)
        for (size_t y = 0; y < x; y++) {
            size_t a = first_of[x], b = first_of[y], low = a < b ? a : b;
            for (size_t i = 0; i < m->count && live[x][y] && rank(m, x) == rank(m, y); i++)
                if (first_of[i] == a || first_of[i] == b)
                    first_of[i] = low;
        }
}

static bool live_above(const struct meaning *m, size_t node, size_t other)
{
    return live[node][other] && rank(m, other) != rank(m, node);
}

static void bridge(const struct meaning *m, size_t node)
{
    int classes[NAMESPACES_MAX] = {0};
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        count += live_above(m, node, i);
        if (live_above(m, node, i) && classes[rank(m, i)]++)
            return;
    }
    for (size_t a = 0; count > 1 && a < m->count; a++)
        for (size_t b = 0; b < a; b++)
            if (live_above(m, node, a) && live_above(m, node, b) && !cut[a][b])
                derived[a][b] = true;
}

/* The only root of the strongest rank, or NONE. */
struct best {
    size_t root;
    bool several;
};

static void consider(const struct meaning *m, struct best *best, size_t root)
{
    if (best->root == NONE || rank(m, root) < rank(m, best->root))
        *best = (struct best){root, false};
    else if (rank(m, root) == rank(m, best->root) && root != best->root)
        best->several = true;
}

/* What the members of a set have above them. */
static void consider_set(const struct meaning *m, struct best *best, size_t first)
{
    for (size_t x = first; x < m->count; x++)
        for (size_t y = 0; y < first && first_of[x] == first; y++)
            if (live_above(m, x, y) || (derived[x][y] && !m->generic[x]))
                consider(m, best, m->root[y]);
}

static void claim(const struct identity_case *given, struct meaning *m)
{
    int accepted[MEANING_NODES_MAX][NAMESPACES_MAX] = {{0}};
    for (size_t x = 0; x < m->count; x++) {
        struct best best = {NONE, false};
        int limit = given->namespaces.rules[rank(m, x)].protected_max;
        if (first_of[x] != x) {
            m->root[x] = m->root[first_of[x]];
            continue;
        }
        consider_set(m, &best, x);
        m->root[x] = best.root == NONE || best.several ? x : best.root;
        if (limit > 0 && m->root[x] != x && ++accepted[m->root[x]][rank(m, x)] > limit)
            m->root[x] = x;
    }
}

void meaning_solve(struct meaning *out, const struct identity_case *given, const bool *kept,
    const uint8_t (*known_generic)[KEY_SIZE], size_t known_count)
{
    out->count = 0;
    memset(up, 0, sizeof up);
    memset(said, 0, sizeof said);
    memset(cut, 0, sizeof cut);
    memset(live, 0, sizeof live);
    memset(derived, 0, sizeof derived);
    for (size_t i = 0; i < given->events_count; i++) {
        const struct case_event *event = &given->events[i];
        for (size_t k = 0; kept[i] && k < event->signature.count; k++)
            add_node(out, event->signature.members[k]);
        if (kept[i] && event->kind == CASE_EVIDENCE) {
            add_node(out, event->weak);
            add_node(out, event->strong);
        }
    }
    for (size_t i = 0; i < given->events_count; i++)
        if (kept[i] && given->events[i].kind == CASE_EVENT)
            add_links(out, &given->events[i].signature);
    memset(out->shown, 0, sizeof out->shown);
    for (size_t i = 0; i < given->events_count; i++)
        for (size_t k = 0; kept[i] && k < given->events[i].signature.count; k++)
            out->shown[meaning_find(out, given->events[i].signature.members[k])] = true;
    add_evidence(out, given, kept);
    for (size_t x = 0; x < out->count; x++) {
        out->generic[x] = over_limit(given, out, x);
        for (size_t k = 0; k < known_count; k++)
            out->generic[x] |= memcmp(known_generic[k], out->nodes[x], KEY_SIZE) == 0;
    }
    for (size_t x = 0; x < out->count; x++)
        for (size_t y = 0; y < x; y++)
            live[x][y] =
                (up[x][y] || said[x][y]) && !cut[x][y] && !out->generic[x] && !out->generic[y];
    join(out);
    for (size_t x = 0; x < out->count; x++)
        bridge(out, x);
    claim(given, out);
}

size_t meaning_place(const struct meaning *m, const struct signature *signature)
{
    struct best best = {NONE, false};
    size_t first = NONE;
    bool any = false;
    for (size_t i = 0; i < signature->count; i++)
        any |= !m->generic[meaning_find(m, signature->members[i])];
    for (size_t i = 0; i < signature->count; i++) {
        size_t node = meaning_find(m, signature->members[i]);
        if (any && m->generic[node])
            continue;
        if (first != NONE && rank(m, node) != rank(m, first))
            break;
        first = first == NONE ? node : first;
        consider(m, &best, m->root[node]);
    }
    return best.several ? m->root[first] : best.root;
}

bool meaning_agrees(struct meaning *meaning, const struct identity_case *given)
{
    static bool kept[CASE_EVENTS_MAX];
    memset(kept, true, sizeof kept);
    meaning_solve(meaning, given, kept, NULL, 0);
    bool agrees = meaning->count == given->roots_count;
    for (size_t i = 0; agrees && i < given->roots_count; i++) {
        size_t node = meaning_find(meaning, given->roots[i].node);
        agrees = memcmp(meaning->nodes[meaning->root[node]], given->roots[i].root, KEY_SIZE) == 0;
    }
    for (size_t i = 0; agrees && i < given->events_count; i++)
        agrees = memcmp(meaning->nodes[meaning_place(meaning, &given->events[i].signature)],
                     given->events[i].place, KEY_SIZE) == 0;
    return agrees;
}
