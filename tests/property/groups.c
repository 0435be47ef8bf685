/* Pure; quadratic. */
#include "tests/property/groups.h"

static size_t find(const struct groups *groups, const uint8_t node[KEY_SIZE])
{
    size_t i = 0;
    while (i < groups->count && memcmp(groups->nodes[i], node, KEY_SIZE) != 0)
        i++;
    return i;
}

static size_t top(const struct groups *groups, size_t i)
{
    while (groups->parent[i] != i)
        i = groups->parent[i];
    return i;
}

static size_t add(struct groups *groups, const uint8_t node[KEY_SIZE])
{
    size_t i = find(groups, node);
    if (i < groups->count)
        return i;
    check(groups->count < PERSONS_MAX);
    memcpy(groups->nodes[i], node, KEY_SIZE);
    groups->parent[i] = i;
    groups->count++;
    return i;
}

static bool same_id(struct world_id a, struct world_id b)
{
    return a.rank == b.rank && a.number == b.number;
}

static bool same_pair(const struct world_event *a, const struct world_event *b)
{
    return (same_id(a->ids[0], b->ids[0]) && same_id(a->ids[1], b->ids[1])) ||
           (same_id(a->ids[0], b->ids[1]) && same_id(a->ids[1], b->ids[0]));
}

static bool said_later(const struct world_event *a, const struct world_event *b)
{
    if (a->authority != b->authority)
        return a->authority > b->authority;
    return a->time != b->time ? a->time > b->time : a->number > b->number;
}

static bool counts(const struct world *world, size_t i, size_t phase, const bool *keeps)
{
    return world->events[i].kind == WORLD_WORD && world->events[i].phase <= phase &&
           (!keeps || keeps[i]);
}

static bool is_generic(const struct identifiers *all, const uint8_t node[KEY_SIZE])
{
    const struct person_of *row = identifiers_find(all, node);
    return row && str_equal(row->why, STR("generic"));
}

void groups_of(const struct world *world, size_t phase, const bool *keeps,
    const struct identifiers *all, struct groups *out)
{
    out->count = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *word = &world->events[i];
        uint8_t a[KEY_SIZE], b[KEY_SIZE];
        bool last = counts(world, i, phase, keeps) && word->sign > 0;
        for (size_t k = 0; last && k < world->count; k++)
            last = !counts(world, k, phase, keeps) || !same_pair(word, &world->events[k]) ||
                   !said_later(&world->events[k], word);
        if (!last || word->ids[0].rank != word->ids[1].rank)
            continue;
        world_node(word->ids[0], a);
        world_node(word->ids[1], b);
        if (is_generic(all, a) || is_generic(all, b))
            continue;
        size_t of_a = top(out, add(out, a)), of_b = top(out, add(out, b));
        out->parent[of_a] = of_b;
    }
}

bool groups_same(const struct groups *groups, const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    size_t i = find(groups, a), k = find(groups, b);
    if (i == groups->count || k == groups->count)
        return memcmp(a, b, KEY_SIZE) == 0;
    return top(groups, i) == top(groups, k);
}

const char *groups_judge(const struct groups *groups, const struct identifiers *all, uint64_t *met)
{
    int login = world_rank("login");
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct person_of *a = &all->rows[i], *b = &all->rows[k];
            bool one = memcmp(a->person, b->person, KEY_SIZE) == 0;
            bool group = groups_same(groups, a->node, b->node);
            *met += group;
            if (group && !one)
                return "what words link within a rank is two persons";
            if (one && !group && a->node[0] / 2 == login && b->node[0] / 2 == login)
                return "two logins are one person, and no words say so";
        }
    }
    return NULL;
}
