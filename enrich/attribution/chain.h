/*
 * The states of a path set for an order, and what goes from one to another. Private to the Markov
 * models.
 */
#pragma once

#include "enrich/attribution/markov.h"

#define CHAIN_NO_CHANNEL UINT32_MAX

struct chain_state {
    double start;       /* journeys that begin here */
    double out;         /* all that leaves, to states, conversion and null: its visits */
    double conversions; /* of paths that end here */
    double value;
    double value_size; /* of the terms that value is the sum of */
    double nulls;
};

struct chain_edge {
    uint32_t from, to;
    double weight;
};

struct chain {
    int order;
    struct chain_state *states;
    uint32_t *tuples; /* `order` channels a state, shorter ones filled up with CHAIN_NO_CHANNEL */
    size_t states_count, states_room;
    uint32_t *state_slots; /* number + 1 */
    size_t state_slots_size;
    struct chain_edge *edges;
    size_t edges_count, edges_room;
    uint32_t *edge_slots;
    size_t edge_slots_size;
    double start; /* all journeys */
    double conversions;
    double value; /* of amount */
    struct sum amount;
    struct sum adrift; /* value of paths that no journey took: it is no state's */
};

/* Counts; sets last_state of every path that counts. Errors as markov_solve(). */
MUST_CHECK int chain_build(
    struct path_set *set, const struct markov_options *options, struct chain *out);
/* The same from counts. Errors as markov_solve_counts(). */
MUST_CHECK int chain_build_counts(
    const struct markov_count *counts, size_t counts_count, int order, struct chain *out);
void chain_free(struct chain *chain);

bool chain_state_has(const struct chain *chain, size_t state, uint32_t channel);
