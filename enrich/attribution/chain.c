#include "enrich/attribution/chain.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SLOTS_MIN ((size_t)256)
#define EDGES_MAX ((size_t)1 << 30)
#define NO_STATE UINT32_MAX

void chain_free(struct chain *chain)
{
    free(chain->states);
    free(chain->tuples);
    free(chain->state_slots);
    free(chain->edges);
    free(chain->edge_slots);
    *chain = (struct chain){0};
}

static int grow(void **items, size_t room, size_t size)
{
    void *more = realloc(*items, room * size);
    if (!more)
        return ERR_NO_MEMORY;
    *items = more;
    return 0;
}

/* ---- states ---- */

static struct str tuple_of(const struct chain *chain, size_t state)
{
    size_t order = (size_t)chain->order;
    return str_make(chain->tuples + state * order, order * sizeof *chain->tuples);
}

static int rehash_states(struct chain *chain)
{
    size_t size = chain->state_slots_size ? chain->state_slots_size * 2 : SLOTS_MIN;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < chain->states_count; i++) {
        size_t at = (size_t)hash64(tuple_of(chain, i)) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(chain->state_slots);
    chain->state_slots = slots;
    chain->state_slots_size = size;
    return 0;
}

static int new_state(struct chain *chain, const uint32_t *tuple)
{
    size_t order = (size_t)chain->order;
    if (chain->states_count == chain->states_room) {
        size_t room = chain->states_room ? chain->states_room * 2 : SLOTS_MIN;
        int r = room > EDGES_MAX ? ERR_TOO_LARGE : 0;
        if (r == 0)
            r = grow((void **)&chain->states, room, sizeof *chain->states);
        if (r == 0)
            r = grow((void **)&chain->tuples, room, order * sizeof *chain->tuples);
        if (r < 0)
            return r;
        chain->states_room = room;
    }
    memcpy(chain->tuples + chain->states_count * order, tuple, order * sizeof *tuple);
    chain->states[chain->states_count++] = (struct chain_state){0};
    return 0;
}

/* The state of a tuple of `order` channels. */
static int state_of(struct chain *chain, const uint32_t *tuple, uint32_t *out)
{
    struct str wanted = str_make(tuple, (size_t)chain->order * sizeof *tuple);
    int r = chain->states_count * 2 < chain->state_slots_size ? 0 : rehash_states(chain);
    if (r < 0)
        return r;
    size_t at = (size_t)hash64(wanted) & (chain->state_slots_size - 1);
    for (; chain->state_slots[at]; at = (at + 1) & (chain->state_slots_size - 1)) {
        *out = chain->state_slots[at] - 1;
        if (str_equal(tuple_of(chain, *out), wanted))
            return 0;
    }
    r = new_state(chain, tuple);
    if (r < 0)
        return r;
    *out = (uint32_t)chain->states_count - 1;
    chain->state_slots[at] = *out + 1;
    return 0;
}

/* ---- edges ---- */

static size_t edge_at(
    const uint32_t *slots, size_t size, const struct chain_edge *edges, uint32_t from, uint32_t to)
{
    uint32_t key[2] = {from, to};
    size_t at = (size_t)hash64(str_make(key, sizeof key)) & (size - 1);
    while (slots[at] && (edges[slots[at] - 1].from != from || edges[slots[at] - 1].to != to))
        at = (at + 1) & (size - 1);
    return at;
}

static int grow_edges(struct chain *chain)
{
    if (chain->edges_count == chain->edges_room) {
        size_t room = chain->edges_room ? chain->edges_room * 2 : SLOTS_MIN;
        int r = room > EDGES_MAX ? ERR_TOO_LARGE : 0;
        if (r == 0)
            r = grow((void **)&chain->edges, room, sizeof *chain->edges);
        if (r < 0)
            return r;
        chain->edges_room = room;
    }
    if (chain->edges_count * 2 < chain->edge_slots_size)
        return 0;
    size_t size = chain->edge_slots_size ? chain->edge_slots_size * 2 : SLOTS_MIN;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < chain->edges_count; i++) {
        const struct chain_edge *edge = &chain->edges[i];
        slots[edge_at(slots, size, chain->edges, edge->from, edge->to)] = (uint32_t)i + 1;
    }
    free(chain->edge_slots);
    chain->edge_slots = slots;
    chain->edge_slots_size = size;
    return 0;
}

static int add_edge(struct chain *chain, uint32_t from, uint32_t to, double weight)
{
    int r = grow_edges(chain);
    if (r < 0)
        return r;
    size_t at = edge_at(chain->edge_slots, chain->edge_slots_size, chain->edges, from, to);
    if (!chain->edge_slots[at]) {
        chain->edges[chain->edges_count++] = (struct chain_edge){from, to, 0};
        chain->edge_slots[at] = (uint32_t)chain->edges_count;
    }
    chain->edges[chain->edge_slots[at] - 1].weight += weight;
    chain->states[from].out += weight;
    return 0;
}

/* ---- paths ---- */

static int walk(struct chain *chain, struct path *path, double weight, bool loops)
{
    size_t order = (size_t)chain->order;
    uint32_t short_tuple[MARKOV_ORDER_MAX];
    uint32_t before = NO_STATE, state = NO_STATE;
    size_t last = path->length > order ? path->length - order : 0;
    for (size_t i = 0; i <= last; i++) {
        const uint32_t *tuple = path->channels + i;
        if (path->length < order) {
            for (size_t k = 0; k < order; k++)
                short_tuple[k] = k < path->length ? path->channels[k] : CHAIN_NO_CHANNEL;
            tuple = short_tuple;
        }
        int r = state_of(chain, tuple, &state);
        if (r == 0 && before == NO_STATE)
            chain->states[state].start += weight;
        else if (r == 0 && (loops || state != before))
            r = add_edge(chain, before, state, weight);
        if (r < 0)
            return r;
        before = state;
    }
    path->last_state = state;
    return 0;
}

static void add_value(struct chain *chain, struct chain_state *last, const struct sum *amount)
{
    last->value += sum_value(amount);
    last->value_size += amount->size;
    sum_add_sum(&chain->amount, amount);
}

static int add_path(struct chain *chain, struct path *path, const struct markov_options *options)
{
    double nulls = options->ignore_nulls ? 0 : path->nulls;
    double weight = path->conversions + nulls;
    if (path->length == 0)
        return 0;
    if (!(weight > 0)) {
        sum_add_sum(&chain->adrift, &path->amount);
        return 0;
    }
    int r = walk(chain, path, weight, options->loops);
    if (r < 0)
        return r;
    struct chain_state *last = &chain->states[path->last_state];
    last->out += weight;
    last->conversions += path->conversions;
    last->nulls += nulls;
    chain->start += weight;
    chain->conversions += path->conversions;
    add_value(chain, last, &path->amount);
    return 0;
}

int chain_build(struct path_set *set, const struct markov_options *options, struct chain *out)
{
    if (options->order < 1 || options->order > MARKOV_ORDER_MAX ||
        (options->order > 1 && (size_t)options->order > set->longest))
        return ERR_VALUE;
    *out = (struct chain){.order = options->order};
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->paths_count; i++)
        r = add_path(out, set->paths[i], options);
    out->value = sum_value(&out->amount);
    if (r < 0)
        chain_free(out);
    return r;
}

/* ---- counts ---- */

static int counted_state(struct chain *chain, const uint32_t *channels, size_t count, uint32_t *out)
{
    uint32_t tuple[MARKOV_ORDER_MAX];
    for (size_t i = 0; i < (size_t)chain->order; i++)
        tuple[i] = i < count ? channels[i] : CHAIN_NO_CHANNEL;
    return state_of(chain, tuple, out);
}

static void add_end(struct chain *chain, uint32_t from, const struct markov_count *count)
{
    struct chain_state *state = &chain->states[from];
    state->out += count->paths;
    if (!count->converts) {
        state->nulls += count->paths;
        return;
    }
    state->conversions += count->paths;
    chain->conversions += count->paths;
    add_value(chain, state,
        &(struct sum){count->value, 0, fabs(count->value), SUM_NOISE * fabs(count->value)});
}

static int add_count(struct chain *chain, const struct markov_count *count)
{
    uint32_t from = 0, to = 0;
    size_t order = (size_t)chain->order;
    if (count->from_count > order || count->to_count > order || !(count->paths >= 0) ||
        !isfinite(count->value))
        return ERR_VALUE;
    if (!count->from_count && !count->to_count)
        return 0;
    if (!(count->paths > 0)) {
        sum_add(&chain->adrift, count->converts ? count->value : 0, 0);
        return 0;
    }
    int r = count->from_count ? counted_state(chain, count->channels, count->from_count, &from) : 0;
    if (r == 0 && count->to_count)
        r = counted_state(chain, count->channels + count->from_count, count->to_count, &to);
    if (r < 0)
        return r;
    if (count->from_count && count->to_count)
        return add_edge(chain, from, to, count->paths);
    if (count->from_count) {
        add_end(chain, from, count);
        return 0;
    }
    chain->states[to].start += count->paths;
    chain->start += count->paths;
    return 0;
}

/* Whole paths leave every state that they enter. Sums of whole numbers are exact here. */
static int check_flow(const struct chain *chain)
{
    double *in = calloc(chain->states_count + 1, sizeof *in);
    if (!in)
        return ERR_NO_MEMORY;
    int r = 0;
    for (size_t i = 0; i < chain->edges_count; i++)
        in[chain->edges[i].to] += chain->edges[i].weight;
    for (size_t i = 0; r == 0 && i < chain->states_count; i++)
        if (in[i] + chain->states[i].start != chain->states[i].out)
            r = ERR_STATE;
    free(in);
    return r;
}

int chain_build_counts(
    const struct markov_count *counts, size_t counts_count, int order, struct chain *out)
{
    if (order < 1 || order > MARKOV_ORDER_MAX)
        return ERR_VALUE;
    *out = (struct chain){.order = order};
    int r = 0;
    for (size_t i = 0; r == 0 && i < counts_count; i++)
        r = add_count(out, &counts[i]);
    out->value = sum_value(&out->amount);
    if (r == 0)
        r = check_flow(out);
    if (r < 0)
        chain_free(out);
    return r;
}

bool chain_state_has(const struct chain *chain, size_t state, uint32_t channel)
{
    const uint32_t *tuple = chain->tuples + state * (size_t)chain->order;
    for (int i = 0; i < chain->order; i++)
        if (tuple[i] == channel)
            return true;
    return false;
}
