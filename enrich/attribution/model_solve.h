/*
 * What channels earn by an algorithmic model, from paths or from what was counted of them: the same
 * functions over the same sums, so both give the same up to rounding.
 *
 * Source: ATTRIBUTION, "Algorithmic models".
 */
#pragma once

#include "enrich/attribution/model.h"

/* Of one channel. NaN: does not apply. */
struct model_credit {
    double conversions, value;
    double effect, value_effect; /* of its removal */
    double low, high;            /* 95 % of where a sampled value may be */
};

struct model_options {
    enum model_kind kind;
    int order;         /* of markov */
    bool ignore_nulls; /* of markov */
    uint64_t seed;     /* of sampled values */
    size_t samples;
    const struct str
        *names; /* of channels, for shapley.h; NULL: a path set's own, if it has them */
};

/* out: an element a channel of the set; *unattributed gets what paths without a touch earned, and
 * the value that the model gives to no channel: value without a conversion, where there is no
 * telling whose it is. Returns 0, or MODEL_VALUE_FOLLOWS when the effects on value cancel out, so
 * that it was shared as conversions are. Errors: as markov_solve() and those of shapley.h. */
#define MODEL_VALUE_FOLLOWS 1
MUST_CHECK int model_solve_paths(const struct model_options *options, struct path_set *set,
    struct model_credit *out, struct model_credit *unattributed);

/* Of counts of one model and currency, channels below channels_count; *unattributed as above. out:
 * an element a channel. Errors: ERR_STATE (the counts are not those of any paths: more enters a
 * state than leaves it), ERR_TOO_LARGE (totals over PATH_SET_TOTAL_MAX), and as above. */
MUST_CHECK int model_solve_counts(const struct model_options *options,
    const struct markov_count *counts, size_t counts_count, size_t channels_count,
    struct model_credit *out, struct model_credit *unattributed);
