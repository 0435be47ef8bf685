#include "enrich/attribution/markov.h"

#include <math.h>
#include <stdlib.h>

#include "enrich/attribution/chain.h"
#include "enrich/attribution/linear.h"
#include "enrich/attribution/relax.h"
#include "schemas/error.h"

/* Part of the terms' size below which what they leave is rounding: of a system solved in doubles.
 */
#define EFFECT_NOISE 1e-12
/* Terms whose sum is this part of their size hide nothing behind each other. */
#define ONE_SIGN (1 - 1e-9)

/* One solving. */
struct solving {
    struct chain chain;
    struct linear *linear;
    double *x;     /* chances, then values of the states */
    double *whole; /* those with all channels */
    double *left;  /* visits of the states from the start; NULL where it is not known */
    double *work;
    bool *out;
    double chance, value; /* with all channels */
};

void markov_free(struct markov *markov)
{
    free(markov->credits);
    *markov = (struct markov){0};
}

/* Frees all but the chain. */
static void solving_end(struct solving *solving)
{
    linear_free(&solving->linear);
    free(solving->x);
    free(solving->whole);
    free(solving->left);
    free(solving->work);
    free(solving->out);
    *solving = (struct solving){.chain = solving->chain};
}

static void solving_free(struct solving *solving)
{
    solving_end(solving);
    chain_free(&solving->chain);
}

/* Room for a chain that stands. */
static int solving_begin(struct solving *solving)
{
    size_t n = solving->chain.states_count + 1;
    int r = linear_new(&solving->chain, &solving->linear);
    if (r < 0)
        return r;
    solving->x = malloc(2 * n * sizeof(double));
    solving->whole = malloc(2 * n * sizeof(double));
    solving->left = malloc(n * sizeof(double));
    solving->work = malloc(n * sizeof(double));
    solving->out = calloc(n, sizeof(bool));
    bool all = solving->x && solving->whole && solving->left && solving->work && solving->out;
    return all ? 0 : ERR_NO_MEMORY;
}

/* What a journey meets of x, which holds the states' chances, then their values. */
static void from_start(const struct solving *solving, double *chance, double *value)
{
    const struct chain *chain = &solving->chain;
    size_t n = chain->states_count;
    *chance = *value = 0;
    for (size_t i = 0; i < n; i++) {
        *chance += chain->states[i].start / chain->start * solving->x[i];
        *value += chain->states[i].start / chain->start * solving->x[n + i];
    }
}

static int solve_whole(struct solving *solving)
{
    const struct chain *chain = &solving->chain;
    size_t n = chain->states_count;
    for (size_t i = 0; i < n; i++) {
        solving->x[i] = chain->states[i].conversions / chain->states[i].out;
        solving->x[n + i] = chain->states[i].value / chain->states[i].out;
    }
    int r = linear_solve(solving->linear, NULL, solving->x);
    if (r < 0)
        return r;
    from_start(solving, &solving->chance, &solving->value);
    solving->value = chain->value / chain->start; /* the same but for rounding: it may be 0 */
    memcpy(solving->whole, solving->x, 2 * n * sizeof(double));
    for (size_t i = 0; i < n; i++)
        solving->left[i] = chain->states[i].start / chain->start;
    if (!linear_solve_left(solving->linear, solving->left)) {
        free(solving->left);
        solving->left = NULL;
    }
    return 0;
}

static double effect_of(double loss, double whole)
{
    double effect = whole != 0 ? loss / whole : 0;
    return isfinite(effect) ? effect : 0;
}

/* Of order 1 a channel is one state c, and what its removal takes is y_c b_c / N_cc. */
static bool effect_of_state(struct solving *solving, size_t state, struct markov_credit *credit)
{
    double element;
    size_t n = solving->chain.states_count;
    if (!solving->left || !linear_diagonal(solving->linear, state, solving->work, &element))
        return false;
    double taken = solving->left[state] / element;
    credit->effect = effect_of(taken * solving->whole[state], solving->chance);
    credit->value_effect = effect_of(taken * solving->whole[n + state], solving->value);
    return true;
}

/* What is lost is solved for itself, b - b': the states' own chance in those that are out, nothing
 * new elsewhere. (1 - P' / P would lose the digits of channels that hardly matter.) */
static int effect_of_channel(
    struct solving *solving, uint32_t channel, struct markov_credit *credit)
{
    const struct chain *chain = &solving->chain;
    size_t found = 0, last = 0;
    for (size_t i = 0; i < chain->states_count; i++) {
        solving->out[i] = chain_state_has(chain, i, channel);
        found += solving->out[i];
        last = solving->out[i] ? i : last;
    }
    if (found == 0)
        return 0;
    if (chain->order == 1 && effect_of_state(solving, last, credit))
        return 0;
    size_t n = chain->states_count;
    for (size_t i = 0; i < n; i++) {
        solving->x[i] = solving->out[i] ? solving->whole[i] : 0;
        solving->x[n + i] = solving->out[i] ? solving->whole[n + i] : 0;
    }
    double chance, value;
    int r = linear_solve(solving->linear, solving->out, solving->x);
    if (r < 0)
        return r;
    from_start(solving, &chance, &value);
    credit->effect = effect_of(chance, solving->chance);
    credit->value_effect = effect_of(value, solving->value);
    return 0;
}

/* Value effects that are but what rounding leaves of terms that cancel become 0. sizes: the effects
 * on the terms' sizes. */
static void quiet(
    struct markov *markov, const struct chain *chain, const struct markov_credit *sizes)
{
    for (size_t i = 0; i < markov->credits_count; i++) {
        struct markov_credit *credit = &markov->credits[i];
        double size = sizes[i].value_effect * chain->amount.size;
        if (fabs(credit->value_effect * chain->value) <= EFFECT_NOISE * size)
            credit->value_effect = 0;
    }
}

/* Sum of the value effects; 0 where they cancel. */
static double value_effects(
    const struct markov *markov, const struct chain *chain, const struct markov_credit *sizes)
{
    double sum = 0, size = 0;
    for (size_t i = 0; i < markov->credits_count; i++) {
        sum += markov->credits[i].value_effect;
        size += sizes ? sizes[i].value_effect * chain->amount.size : 0;
    }
    return fabs(sum * chain->value) > EFFECT_NOISE * size ? sum : 0;
}

/* Shares by effect. Where the effects on value cancel out, it follows the conversions. */
static void share(
    struct markov *markov, const struct chain *chain, const struct markov_credit *sizes)
{
    double sum = 0, value_sum = value_effects(markov, chain, sizes);
    for (size_t i = 0; i < markov->credits_count; i++)
        sum += markov->credits[i].effect;
    for (size_t i = 0; i < markov->credits_count; i++) {
        struct markov_credit *credit = &markov->credits[i];
        double part = sum > 0 ? credit->effect / sum : 0;
        credit->conversions = part * chain->conversions;
        credit->value = (value_sum != 0 ? credit->value_effect / value_sum : part) * chain->value;
    }
    markov->value_follows = value_sum == 0 && sum > 0 && chain->value != 0;
    struct sum unattributed = chain->adrift;
    if (value_sum == 0 && !(sum > 0))
        sum_add(&unattributed, chain->value, chain->amount.size);
    markov->unattributed = sum_value(&unattributed);
}

/* Directly: small systems, and journeys that come back again and again. */
static int solve_directly(struct solving *solving, struct markov *out)
{
    int r = solving_begin(solving);
    if (r == 0)
        r = solve_whole(solving);
    for (uint32_t i = 0; r == 0 && i < out->credits_count; i++)
        r = effect_of_channel(solving, i, &out->credits[i]);
    out->chance = solving->chance;
    return r;
}

static int take_losses(const struct chain *chain, struct relax *relax, struct markov *out)
{
    size_t n = chain->states_count;
    double *worth = malloc(3 * (n + 1) * sizeof *worth), chance = 0;
    struct relax_loss *losses = calloc(out->credits_count + 1, sizeof *losses);
    int r = worth && losses ? 0 : ERR_NO_MEMORY;
    if (r == 0 && relax_worth(relax, worth))
        r = relax_losses(relax, worth, out->credits_count, losses);
    for (size_t i = 0; r > 0 && i < n; i++) {
        double part = chain->states[i].start / chain->start;
        chance += part * worth[i];
    }
    double value = chain->value / chain->start;
    for (size_t i = 0; r > 0 && i < out->credits_count; i++) {
        out->credits[i].effect = effect_of(losses[i].chance, chance);
        out->credits[i].value_effect = effect_of(losses[i].value, value);
    }
    out->chance = chance;
    free(worth);
    free(losses);
    return r;
}

/* By sweeps. Returns 1 when that came to rest, else 0. */
static int solve_by_sweeps(const struct chain *chain, struct markov *out)
{
    struct relax *relax;
    int r = relax_new(chain, &relax);
    if (r < 0)
        return r;
    r = take_losses(chain, relax, out);
    relax_free(&relax);
    return r;
}

/* The effects. */
static int solve_effects(struct solving *solving, struct markov *out)
{
    int r = 0;
    if (solving->chain.order > 1)
        r = solve_by_sweeps(&solving->chain, out);
    if (r == 0)
        r = solve_directly(solving, out);
    solving_end(solving);
    return r < 0 ? r : 0;
}

/* As if all values were positive. */
static int solve_sizes(struct solving *solving, struct markov *out)
{
    struct chain *chain = &solving->chain;
    double value = chain->value;
    for (size_t i = 0; i < chain->states_count; i++)
        chain->states[i].value = chain->states[i].value_size;
    chain->value = chain->amount.size;
    int r = solve_effects(solving, out);
    chain->value = value;
    return r;
}

static int solve_credits(struct solving *solving, struct markov *out)
{
    const struct chain *chain = &solving->chain;
    struct markov sizes = {.credits_count = out->credits_count};
    if (!(chain->conversions > 0) && chain->value == 0)
        return 0;
    int r = solve_effects(solving, out);
    bool mixed = r == 0 && chain->value != 0 && fabs(chain->value) < chain->amount.size * ONE_SIGN;
    if (mixed) {
        sizes.credits = calloc(out->credits_count + 1, sizeof *sizes.credits);
        r = sizes.credits ? solve_sizes(solving, &sizes) : ERR_NO_MEMORY;
    }
    if (r == 0 && mixed)
        quiet(out, chain, sizes.credits);
    if (r == 0)
        share(out, chain, sizes.credits);
    markov_free(&sizes);
    return r;
}

/* Solves and frees the chain. */
static int solve_chain(struct solving *solving, size_t channels_count, struct markov *out)
{
    *out = (struct markov){.credits_count = channels_count};
    out->credits = calloc(channels_count + 1, sizeof *out->credits);
    int r = out->credits ? 0 : ERR_NO_MEMORY;
    out->states = solving->chain.states_count;
    out->unattributed = sum_value(&solving->chain.adrift);
    if (r == 0)
        r = solve_credits(solving, out);
    if (r < 0)
        markov_free(out);
    solving_free(solving);
    return r;
}

int markov_solve(struct path_set *set, const struct markov_options *options, struct markov *out)
{
    struct solving solving = {.linear = NULL};
    const struct markov_options how = {
        .order = options->order, .ignore_nulls = options->ignore_nulls}; /* loops cancel out */
    int r = chain_build(set, &how, &solving.chain);
    return r < 0 ? r : solve_chain(&solving, set->channels_count, out);
}

int markov_solve_counts(const struct markov_count *counts, size_t counts_count, int order,
    size_t channels_count, struct markov *out)
{
    struct solving solving = {.linear = NULL};
    int r = chain_build_counts(counts, counts_count, order, &solving.chain);
    return r < 0 ? r : solve_chain(&solving, channels_count, out);
}

/* ---- transitions ---- */

static int compare_transitions(const void *a, const void *b)
{
    const struct markov_transition *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    int64_t p = x->to < 0 ? INT64_MAX + x->to : x->to, q = y->to < 0 ? INT64_MAX + y->to : y->to;
    /* conversion (-2) before null (-3): both behind the states */
    if (x->to < 0 && y->to < 0)
        return (x->to < y->to) - (x->to > y->to);
    return (p > q) - (p < q);
}

static size_t list_transitions(const struct chain *chain, struct markov_transition *out)
{
    size_t count = 0;
    for (size_t i = 0; i < chain->states_count; i++) {
        const struct chain_state *state = &chain->states[i];
        int64_t number = (int64_t)i;
        if (state->start > 0)
            out[count++] =
                (struct markov_transition){MARKOV_START, number, state->start / chain->start};
        if (state->conversions > 0)
            out[count++] = (struct markov_transition){
                number, MARKOV_CONVERSION, state->conversions / state->out};
        if (state->nulls > 0)
            out[count++] =
                (struct markov_transition){number, MARKOV_NULL, state->nulls / state->out};
    }
    for (size_t i = 0; i < chain->edges_count; i++) {
        const struct chain_edge *edge = &chain->edges[i];
        out[count++] = (struct markov_transition){
            edge->from, edge->to, edge->weight / chain->states[edge->from].out};
    }
    qsort(out, count, sizeof *out, compare_transitions);
    return count;
}

int markov_transitions(struct path_set *set, const struct markov_options *options,
    struct markov_transition **out, size_t *count, uint32_t **channels)
{
    struct chain chain;
    int r = chain_build(set, options, &chain);
    if (r < 0)
        return r;
    struct markov_transition *list =
        malloc((3 * chain.states_count + chain.edges_count + 1) * sizeof *list);
    if (!list) {
        chain_free(&chain);
        return ERR_NO_MEMORY;
    }
    *count = list_transitions(&chain, list);
    *out = list;
    *channels = chain.tuples;
    chain.tuples = NULL;
    chain_free(&chain);
    return 0;
}

/* ---- choice of the order ---- */

#define ROC_POINTS 100 /* ChannelAttribution 2.2's roc_npt */

struct scored {
    double score, conversions, nulls;
};

static int compare_scores(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

/* Area under the curve, best scores first; equal scores are one straight piece. */
static double area(const struct scored *scored, size_t count, double conversions, double nulls)
{
    double hit = 0, sum = 0;
    for (size_t i = 0; i < count;) {
        double hits = 0, misses = 0, score = scored[i].score;
        for (; i < count && scored[i].score == score; i++) {
            hits += scored[i].conversions;
            misses += scored[i].nulls;
        }
        sum += misses * (hit + hits / 2);
        hit += hits;
    }
    return conversions > 0 && nulls > 0 ? sum / (conversions * nulls) : 0.5;
}

/* The same by straight lines between the curve's points at ROC_POINTS scores, which are as far from
 * each other, and its two ends. */
static double area_of_points(
    const struct scored *scored, size_t count, double conversions, double nulls)
{
    if (!(conversions > 0 && nulls > 0))
        return 0.5;
    double low = scored[count - 1].score, high = scored[0].score;
    double hits = 0, misses = 0, sum = 0;
    size_t at = 0;
    for (int point = ROC_POINTS - 1; point >= -1; point--) {
        double mark = low + point * (high - low) / (ROC_POINTS - 1);
        double hits_before = hits, misses_before = misses;
        for (; at < count && (point < 0 || scored[at].score >= mark); at++) {
            hits += scored[at].conversions;
            misses += scored[at].nulls;
        }
        sum += (misses - misses_before) * (hits_before + hits) / 2;
    }
    return sum / (conversions * nulls);
}

static double binomial(double n, int k)
{
    double product = 1;
    for (int i = 1; i <= k; i++)
        product = product * (n - k + i) / i;
    return product;
}

/* What the order's states convert at, best first. Returns how many ends there are. */
static size_t list_scores(const struct chain *chain, struct scored *out)
{
    size_t count = 0;
    for (size_t i = 0; i < chain->states_count; i++) {
        const struct chain_state *state = &chain->states[i];
        double ends = state->conversions + state->nulls;
        if (ends > 0)
            out[count++] =
                (struct scored){state->conversions / ends, state->conversions, state->nulls};
    }
    if (count)
        qsort(out, count, sizeof *out, compare_scores);
    return count;
}

/* For the states that an order of so many channels allows. */
static double corrected(double area, double journeys, double channels, int order)
{
    double left = journeys - binomial(channels + order - 1, order) - 1;
    double score = left > 0 ? 1 - (1 - area) * (journeys - 1) / left : 0;
    return score > 0 ? score : 0;
}

int markov_score(struct path_set *set, int order, struct markov_score *out)
{
    const struct markov_options options = {.order = order};
    struct chain chain;
    int r = chain_build(set, &options, &chain);
    if (r < 0)
        return r;
    struct scored *scored = malloc((chain.states_count + 1) * sizeof *scored);
    if (!scored) {
        chain_free(&chain);
        return ERR_NO_MEMORY;
    }
    size_t count = list_scores(&chain, scored);
    double conversions = 0, nulls = 0, channels = (double)set->channels_count;
    for (size_t i = 0; i < count; i++) {
        conversions += scored[i].conversions;
        nulls += scored[i].nulls;
    }
    double exact = area(scored, count, conversions, nulls);
    double points = area_of_points(scored, count, conversions, nulls);
    *out = (struct markov_score){.pauc = corrected(exact, conversions + nulls, channels, order),
        .pauc_100 = corrected(points, conversions + nulls, channels, order)};
    free(scored);
    chain_free(&chain);
    return 0;
}

int markov_choose_order(
    struct path_set *set, int *order, struct markov_score scores[MARKOV_ORDER_MAX], int *count)
{
    double best = -1;
    *count = 0;
    for (int k = 1; k <= MARKOV_ORDER_MAX && (k == 1 || (size_t)k <= set->longest); k++) {
        struct markov_score *score = &scores[*count];
        int r = markov_score(set, k, score);
        if (r < 0)
            return r;
        (*count)++;
        if (score->pauc > best) {
            best = score->pauc;
            *order = k;
        }
    }
    return 0;
}
