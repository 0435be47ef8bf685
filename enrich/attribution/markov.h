/*
 * Markov chains over paths, solved in closed form: what each channel's removal would cost.
 *
 * Source: ATTRIBUTION, "Markov, order k, closed form". States are k-tuples of channels that slide
 * by one, a shorter path is one shorter state; consecutive identical states are one. From the last
 * state a journey goes to conversion or to null by its counts. With A = I - Q over the states, b
 * the chance of each to convert: A b = r, and P = s b, s being where journeys begin. Removing a
 * channel makes its states null: P' from the same system with their rows taken out; the effect is
 * 1 - P' / P. Values likewise, with the value per visit in place of r.
 */
#pragma once

#include "enrich/attribution/path_set.h"

#define MARKOV_ORDER_MAX 6

struct markov_options {
    int order;         /* 1 to MARKOV_ORDER_MAX */
    bool ignore_nulls; /* journeys that did not convert count for nothing */
    bool loops;        /* of markov_transitions(): a state that follows itself is a transition */
};

/* Of one channel; 0 everywhere where nothing converts and nothing is worth anything. */
struct markov_credit {
    double effect;       /* of its removal on the chance to convert: 0 to 1 */
    double value_effect; /* on the value of a journey */
    double conversions;  /* its part of all conversions of paths that are not empty */
    double value;
};

struct markov {
    struct markov_credit *credits; /* by number of the channel */
    size_t credits_count;
    size_t states;
    double chance; /* P: equals conversions / (conversions + nulls) */
    double
        unattributed;   /* value of paths that no journey took, or that nothing tells whose it is */
    bool value_follows; /* the effects on value cancel out: it is shared as the conversions are */
};

/* Solves. *out is freed by markov_free(). Errors: ERR_VALUE (an order that no path is as long as,
 * or out of range), ERR_TOO_LARGE (over 2^31 transitions), ERR_NO_MEMORY. Threads: any, one a
 * path_set. */
MUST_CHECK int markov_solve(
    struct path_set *set, const struct markov_options *options, struct markov *out);
void markov_free(struct markov *markov);

/* So many paths make a transition: from a state, or (no channels) from the start, to a state, or to
 * the end, a conversion or none. Neither: a path without a touch, which is nothing here. */
struct markov_count {
    const uint32_t *channels; /* of the state that is left, then of the one that is entered */
    uint32_t from_count, to_count;
    bool converts; /* the paths did */
    double paths;
    double value; /* of transitions to a conversion */
};

/* The same from counts; a transition may stand in several. Errors: ERR_VALUE (a state of more
 * channels than the order, a count that is none), ERR_STATE (more enters a state than leaves it),
 * else as markov_solve(). */
MUST_CHECK int markov_solve_counts(const struct markov_count *counts, size_t counts_count,
    int order, size_t channels_count, struct markov *out);

/* The states' transition. from or to: MARKOV_START, MARKOV_CONVERSION, MARKOV_NULL, or a state. */
enum {
    MARKOV_START = -1,
    MARKOV_CONVERSION = -2,
    MARKOV_NULL = -3,
};
struct markov_transition {
    int64_t from, to;
    double chance;
};
/* All transitions that occur, from the start, then from each state, to states in number order, then
 * conversion, then null. channels: `order` channels a state (shorter ones end with UINT32_MAX).
 * Both arrays are freed by the caller with free(). Errors as markov_solve(). */
MUST_CHECK int markov_transitions(struct path_set *set, const struct markov_options *options,
    struct markov_transition **out, size_t *count, uint32_t **channels);

/*
 * How well an order tells converting from other journeys: the score of a path is what its last
 * state converts at; the area under the curve of scores, corrected for the states that the order
 * allows: 1 - (1 - AUC) (n - 1) / (n - C(m + k - 1, k) - 1), at least 0, n journeys, m channels.
 * pauc is by the exact area. pauc_100 is ChannelAttribution 2.2's choose_order(): lines between
 * roc_npt = 100 points of the curve, at rates as far from each other from the least to the most.
 */
struct markov_score {
    double pauc, pauc_100;
};
/* Errors as markov_solve(). Source: ATTRIBUTION, "Order choice". */
MUST_CHECK int markov_score(struct path_set *set, int order, struct markov_score *out);
/* The order with the best pauc, of those that some path is as long as; of equal ones the least.
 * scores: of each order from 1 on; *count of them. */
MUST_CHECK int markov_choose_order(
    struct path_set *set, int *order, struct markov_score scores[MARKOV_ORDER_MAX], int *count);
