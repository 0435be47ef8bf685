/*
 * Who earned a conversion: its credits by rule models, and what a refund takes back from them.
 */
#pragma once

#include "enrich/attribution/rules.h"
#include "enrich/attribution/split.h"

#define CREDIT_WHOLE_PPB INT64_C(1000000000)
#define CREDIT_UNATTRIBUTED (-1) /* touch_index of a credit that no touch earned */

/* Room that credits need; reused. {0} is empty; end with credits_free(). */
struct credits {
    struct credit *items; /* the result: by model as asked for, then by touch_index */
    size_t count;
    size_t items_room;
    struct split split;
    uint64_t *weights;
    int64_t *shares; /* twice room */
    size_t room;
    uint64_t *ties; /* by touch_index: credits_set_keys() */
    size_t ties_count, ties_room;
    uint64_t *own_ties; /* of a refund's credits; as room */
    uint32_t *channels; /* that take part */
    size_t channels_room;
};

/* What tells touches apart where a model shares alike: keys of KEY_SIZE bytes, the touches' each
 * `stride` bytes behind the other. */
struct credit_keys {
    const uint8_t *conversion; /* of the event that converted */
    const uint8_t *touches;
    size_t stride;
    size_t count;
};

/*
 * Of what follows, until the next call: a unit that several touches are as near to goes to the one
 * with the lowest credit_tie(). Touches beyond `count` have none: to the first of them. So neither
 * first nor last touches gain by rounding, and each split is still a function of the events alone.
 * Errors: ERR_NO_MEMORY.
 */
MUST_CHECK int credits_set_keys(struct credits *credits, const struct credit_keys *keys);

/* mix(mix(mix(mix(c0) ^ c1) ^ t0) ^ t1) of the keys' halves, big-endian, where mix(x) is the end of
 * splitmix64 for the state x. Source: S. Vigna, splitmix64.c, 2015. */
uint64_t credit_tie(const uint8_t conversion[16], const uint8_t touch[16]);

/*
 * Credits of a conversion for the path `touches` (may be empty: unattributed), by every model below
 * RULE_MODEL_CONFIGURED. For each the weights sum to CREDIT_WHOLE_PPB and the revenues to
 * `revenue`; touches that weigh nothing have no credit. `weight` is what rule_weights() says, so
 * that sums of many conversions can be told without what each was rounded by (split_rest()); 0
 * where nothing was. The result stands in credits->items until the next call. Errors:
 * ERR_NO_MEMORY, ERR_TOO_MANY over RULE_TOUCHES_MAX. Threads: one a struct credits.
 */
MUST_CHECK int credits_of_conversion(struct credits *credits, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, int64_t revenue);

/* One more model of the configuration. */
struct credit_rule {
    struct str name; /* borrowed by the credits */
    enum rule_model model;
    const struct rule_config *config;
    size_t from; /* it sees no touches before this index */
};

/*
 * Adds its credits to those that stand in credits->items, for the same path and revenue. All of
 * participation: each channel that takes part has the whole conversion, at its first touch, so that
 * they do not sum. Errors: as above.
 */
MUST_CHECK int credits_add_rule(struct credits *credits, const struct credit_rule *rule,
    const struct rule_touch *touches, size_t count, int64_t revenue);

/*
 * The same of one model whose weights are known: not all 0, their sum below 2^64; touches whose
 * shares are 0 have no credit, and `weight` of none is told. count 0: unattributed. Errors:
 * ERR_NO_MEMORY, ERR_TOO_MANY over SPLIT_COUNT_MAX.
 */
MUST_CHECK int credits_of_weights(struct credits *credits, enum rule_model model,
    const uint64_t *weights, size_t count, int64_t revenue);

/*
 * Credits of a refund: of `original` (as credits_of_conversion() made them for `revenue` > 0), what
 * is taken when the refunded sum rises from `before` to `after` (0 <= before <= after <= revenue).
 * Cumulative sums are split and subtracted, so that a whole refund leaves every touch with exactly
 * zero. A single touch may gain a unit now and lose it later. weight_ppb is 0: a refund converts
 * nobody; `weight` is the original's, since its value is shared alike. Errors: ERR_NO_MEMORY,
 * ERR_TOO_MANY; ERR_VALUE when something is to be taken from a negative credit.
 */
MUST_CHECK int credits_of_refund(struct credits *credits, const struct credit *original,
    size_t count, int64_t before, int64_t after);

void credits_free(struct credits *credits);
