#include "enrich/attribution/shapley.h"

#include <math.h>
#include <stdlib.h>

#include "enrich/attribution/transform.h"
#include "schemas/error.h"

static void clear(const struct path_set *set, struct coalition_credit *out)
{
    for (size_t i = 0; i < set->channels_count; i++)
        out[i] = (struct coalition_credit){0};
}

/* Totals of what has a channel at all. */
static void totals(const struct path_set *sets, double *conversions, double *nulls, double *value)
{
    struct sum amount = {0};
    *conversions = *nulls = 0;
    for (size_t i = 0; i < sets->paths_count; i++) {
        const struct path *path = sets->paths[i];
        if (path->length == 0)
            continue;
        *conversions += path->conversions;
        *nulls += path->nulls;
        sum_add_sum(&amount, &path->amount);
    }
    *value = sum_value(&amount);
}

int shapley_additive(struct path_set *set, struct coalition_credit *out)
{
    struct path_set sets = {0};
    size_t count = set->channels_count;
    struct sum *sums = calloc(2 * (count + 1), sizeof *sums), *values = sums + count + 1;
    clear(set, out);
    int r = sums ? transform_paths(set, TRANSFORM_SORTED, &sets) : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < sets.paths_count; i++) {
        const struct path *path = sets.paths[i];
        const struct sum conversions = sum_exact(path->conversions, 0);
        struct sum_part part = sum_part_of(1, (struct sum_part){fmax(path->length, 1), 0});
        for (size_t k = 0; k < path->length; k++) {
            sum_add_part(&sums[path->channels[k]], part, &conversions);
            sum_add_part(&values[path->channels[k]], part, &path->amount);
        }
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        out[i].effect = out[i].conversions = sum_value(&sums[i]);
        out[i].value = sum_value(&values[i]);
    }
    free(sums);
    path_set_free(&sets);
    return r;
}

/* Scales effects, whose sum is `whole`, to the totals. Returns the value that is nobody's: where
 * nothing converts. */
static double scale(
    struct coalition_credit *out, size_t count, double whole, double conversions, double value)
{
    for (size_t i = 0; i < count; i++) {
        double part = whole != 0 ? out[i].effect / whole : 0;
        out[i].conversions = part * conversions;
        out[i].value = part * value;
    }
    return whole != 0 ? 0 : value;
}

/* ---- the rate game ---- */

struct place {
    struct str name;
    uint32_t channel;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    size_t size = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = size ? memcmp(x->name.data, y->name.data, size) : 0;
    if (order == 0)
        order = (x->name.size > y->name.size) - (x->name.size < y->name.size);
    return order ? order : (x->channel > y->channel) - (x->channel < y->channel);
}

/* Channels that occur get places 0, 1, ... in the order of their names, without names of their
 * numbers; others UINT32_MAX. *count of them. */
static int place_channels(const struct path_set *sets, size_t channels, const struct str *names,
    uint32_t *places, size_t *count)
{
    struct place *list = malloc((channels + 1) * sizeof *list);
    if (!list)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < channels; i++)
        places[i] = UINT32_MAX;
    *count = 0;
    for (size_t i = 0; i < sets->paths_count; i++)
        for (size_t k = 0; k < sets->paths[i]->length; k++) {
            uint32_t channel = sets->paths[i]->channels[k];
            if (places[channel] == UINT32_MAX)
                list[(*count)++] =
                    (struct place){names ? names[channel] : (struct str){0}, channel};
            places[channel] = 0;
        }
    if (*count)
        qsort(list, *count, sizeof *list, compare_places);
    for (size_t i = 0; i < *count; i++)
        places[list[i].channel] = (uint32_t)i;
    free(list);
    return 0;
}

static double rate(double conversions, double all)
{
    return all > 0 ? conversions / all : 0;
}

/* How much the rate h / a rises to h1 / a1. Counts are whole and exact, so their products lose no
 * digit here: rates that hardly differ are told apart. */
static long double gain(double h, double a, double h1, double a1)
{
    if (!(a > 0))
        return a1 > 0 ? (long double)h1 / a1 : 0;
    if (!(a1 > 0))
        return -(long double)h / a;
    double product = h * a1;
    double rounded = fma(h, a1, -product);
    long double rise = (long double)fma(h1, a, -product) - rounded;
    return rise / ((long double)a * a1);
}

/* ---- exact games ---- */

/* A number as the sum of two doubles, which do not overlap: 106 bits. Rates near 1 may cancel to
 * one of 1e-12, and the credits follow from what is left. Source: Dekker 1971. */
struct exact {
    double high, low;
};

static struct exact exact_sum(double a, double b)
{
    double sum = a + b, part = sum - a;
    return (struct exact){sum, (a - (sum - part)) + (b - part)};
}

static void exact_add(struct exact *to, double high, double low)
{
    struct exact sum = exact_sum(to->high, high);
    *to = exact_sum(sum.high, sum.low + to->low + low);
}

/* (high + low) / by; by is exact. */
static struct exact exact_over(struct exact number, double by)
{
    double high = number.high / by;
    return (struct exact){high, (fma(-high, by, number.high) + number.low) / by};
}

/* Shapley values of a game of n channels from the worths of its 2^n coalitions, by bits: 1 / (n
 * C(n - 1, k)) times what a channel adds to each coalition of k others. */
static void solve_game(const struct exact *worths, size_t n, double *values)
{
    struct exact sums[SHAPLEY_EXACT_CHANNELS_MAX][SHAPLEY_EXACT_CHANNELS_MAX] = {{{0, 0}}};
    for (size_t m = 0; m + 1 < (size_t)1 << n; m++) {
        struct exact *own = sums[__builtin_popcountll(m)];
        for (size_t left = ~m & (((size_t)1 << n) - 1); left; left &= left - 1) {
            const struct exact *with = &worths[m | (left & -left)];
            struct exact gain = exact_sum(with->high, -worths[m].high);
            exact_add(
                &own[__builtin_ctzll(left)], gain.high, gain.low + (with->low - worths[m].low));
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct exact value = {0, 0};
        double ways = (double)n;
        for (size_t k = 0; k < n; k++) {
            struct exact part = exact_over(sums[k][i], ways);
            exact_add(&value, part.high, part.low);
            ways = ways * (double)(n - 1 - k) / (double)(k + 1);
        }
        values[i] = value.high + value.low;
    }
}

/* In place: from conversions and journeys of a coalition to their rate. */
static void take_rates(struct exact *coalitions, size_t size)
{
    for (size_t m = 0; m < size; m++) {
        double hits = coalitions[m].high, all = coalitions[m].low;
        coalitions[m] = all > 0 ? exact_over((struct exact){hits, 0}, all) : (struct exact){0, 0};
    }
}

/* Adds to each set what its subsets have. */
static void zeta(struct exact *of, size_t n)
{
    for (size_t bit = 0; bit < n; bit++)
        for (size_t m = 0; m < (size_t)1 << n; m++)
            if (m >> bit & 1) {
                of[m].high += of[m ^ (size_t)1 << bit].high;
                of[m].low += of[m ^ (size_t)1 << bit].low;
            }
}

static int rate_exact(const struct path_set *sets, const uint32_t *places, size_t n, double *worth)
{
    struct exact *coalitions = calloc((size_t)1 << n, sizeof *coalitions);
    if (!coalitions)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < sets->paths_count; i++) {
        const struct path *path = sets->paths[i];
        size_t mask = 0;
        for (size_t k = 0; k < path->length; k++)
            mask |= (size_t)1 << places[path->channels[k]];
        if (mask) {
            coalitions[mask].high += path->conversions;
            coalitions[mask].low += path->conversions + path->nulls;
        }
    }
    zeta(coalitions, n);
    take_rates(coalitions, (size_t)1 << n);
    solve_game(coalitions, n, worth);
    free(coalitions);
    return 0;
}

/* What sampling keeps, by place. */
struct sampling {
    size_t n;
    uint32_t *at;    /* place -> turn */
    uint32_t *order; /* turn -> place */
    double *hits;    /* by turn */
    double *all;
    double *sum;
    double *squares;
};

static void sampling_free(struct sampling *s)
{
    free(s->at);
    free(s->order);
    free(s->hits);
    free(s->all);
    free(s->sum);
    free(s->squares);
}

static int sampling_new(struct sampling *s, size_t n)
{
    *s = (struct sampling){.n = n};
    s->at = calloc(n + 1, sizeof *s->at);
    s->order = calloc(n + 1, sizeof *s->order);
    s->hits = calloc(n + 1, sizeof *s->hits);
    s->all = calloc(n + 1, sizeof *s->all);
    s->sum = calloc(n + 1, sizeof *s->sum);
    s->squares = calloc(n + 1, sizeof *s->squares);
    bool whole = s->at && s->order && s->hits && s->all && s->sum && s->squares;
    return whole ? 0 : ERR_NO_MEMORY;
}

static void shuffle(struct sampling *s, uint64_t seed, uint64_t sample)
{
    for (size_t i = 0; i < s->n; i++)
        s->order[i] = (uint32_t)i;
    for (size_t i = s->n; i > 1; i--) {
        size_t k = (size_t)(counter_uniform(seed, sample, i) * (double)i);
        uint32_t swap = s->order[i - 1];
        s->order[i - 1] = s->order[k];
        s->order[k] = swap;
    }
    for (size_t i = 0; i < s->n; i++)
        s->at[s->order[i]] = (uint32_t)i;
}

/* One permutation: channels come one after the other; a path counts when its last has come. */
static void sample(struct sampling *s, const struct path_set *sets, const uint32_t *places)
{
    memset(s->hits, 0, s->n * sizeof *s->hits);
    memset(s->all, 0, s->n * sizeof *s->all);
    for (size_t i = 0; i < sets->paths_count; i++) {
        const struct path *path = sets->paths[i];
        uint32_t turn = 0;
        for (size_t k = 0; k < path->length; k++) {
            uint32_t at = s->at[places[path->channels[k]]];
            turn = at > turn ? at : turn;
        }
        if (path->length) {
            s->hits[turn] += path->conversions;
            s->all[turn] += path->conversions + path->nulls;
        }
    }
    double hits = 0, all = 0;
    for (size_t i = 0; i < s->n; i++) {
        double gained = (double)gain(hits, all, hits + s->hits[i], all + s->all[i]);
        hits += s->hits[i];
        all += s->all[i];
        s->sum[s->order[i]] += gained;
        s->squares[s->order[i]] += gained * gained;
    }
}

static int rate_sampled(const struct path_set *sets, const uint32_t *places, size_t n,
    const struct shapley_options *options, double *worth, double *errors)
{
    struct sampling s;
    double samples = (double)(options->samples ? options->samples : 1);
    int r = sampling_new(&s, n);
    for (uint64_t i = 0; r == 0 && i < (uint64_t)samples; i++) {
        shuffle(&s, options->seed, i);
        sample(&s, sets, places);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        double mean = s.sum[i] / samples, spread = s.squares[i] / samples - mean * mean;
        worth[i] = mean;
        errors[i] = sqrt((spread > 0 ? spread : 0) / samples);
    }
    sampling_free(&s);
    return r;
}

static int rate_game(const struct path_set *sets, size_t channels,
    const struct shapley_options *options, struct coalition_credit *out)
{
    uint32_t *places = malloc((channels + 1) * sizeof *places);
    double *worth = calloc(2 * (channels + 1), sizeof *worth), *errors = worth + channels + 1;
    int r = places && worth ? 0 : ERR_NO_MEMORY;
    size_t n = 0;
    if (r == 0)
        r = place_channels(sets, channels, options->names, places, &n);
    if (r == 0)
        r = n <= SHAPLEY_EXACT_CHANNELS_MAX ? rate_exact(sets, places, n, worth)
                                            : rate_sampled(sets, places, n, options, worth, errors);
    for (size_t i = 0; r == 0 && i < channels; i++) {
        if (places[i] == UINT32_MAX)
            continue;
        out[i].effect = worth[places[i]];
        out[i].error = errors[places[i]];
    }
    free(places);
    free(worth);
    return r;
}

int shapley_rate(struct path_set *set, const struct shapley_options *options,
    struct coalition_credit *out, double *unattributed)
{
    struct path_set sets = {0};
    double conversions, nulls, value;
    clear(set, out);
    int r = transform_paths(set, TRANSFORM_SORTED, &sets);
    if (r == 0)
        r = rate_game(&sets, set->channels_count, options, out);
    if (r == 0) {
        totals(&sets, &conversions, &nulls, &value);
        *unattributed = scale(
            out, set->channels_count, rate(conversions, conversions + nulls), conversions, value);
    }
    path_set_free(&sets);
    return r;
}

/* ---- games of single paths ---- */

/* Counts of all subsets of a path, those of the empty one 0; then its channels' shares. */
static void path_game(
    const struct path_set *sets, const struct path *path, struct exact *coalitions, double *shares)
{
    size_t n = path->length, size = (size_t)1 << n;
    uint32_t some[SHAPLEY_PATH_CHANNELS_MAX];
    for (size_t m = 0; m < size; m++) {
        size_t count = 0;
        for (size_t i = 0; i < n; i++)
            if (m >> i & 1)
                some[count++] = path->channels[i];
        const struct path *found = count ? path_set_find(sets, some, count) : NULL;
        coalitions[m] = (struct exact){0, 0};
        if (found)
            coalitions[m] = (struct exact){found->conversions, found->conversions + found->nulls};
    }
    take_rates(coalitions, size);
    solve_game(coalitions, n, shares);
}

int shapley_paths(
    struct path_set *set, bool ordered, struct coalition_credit *out, double *unattributed)
{
    struct path_set sets = {0};
    struct sum rest = {0};
    double shares[SHAPLEY_PATH_CHANNELS_MAX];
    clear(set, out);
    int r = transform_paths(set, ordered ? TRANSFORM_FIRST : TRANSFORM_SORTED, &sets);
    if (r == 0 && sets.longest > SHAPLEY_PATH_CHANNELS_MAX)
        r = ERR_TOO_LARGE;
    size_t size = r == 0 ? (size_t)1 << sets.longest : 0;
    struct exact *coalitions = malloc(size * sizeof *coalitions + 1);
    if (!coalitions)
        r = ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < sets.paths_count; i++) {
        const struct path *path = sets.paths[i];
        if (path->length == 0)
            continue;
        if (!(path->conversions > 0)) {
            sum_add_sum(&rest, &path->amount);
            continue;
        }
        path_game(&sets, path, coalitions, shares);
        double all = path->conversions + path->nulls, own = path->conversions / all;
        for (size_t k = 0; k < path->length; k++) {
            struct coalition_credit *credit = &out[path->channels[k]];
            credit->conversions += all * shares[k];
            credit->value += path->value * (shares[k] / own);
            credit->effect = credit->conversions;
        }
    }
    *unattributed = sum_value(&rest);
    free(coalitions);
    path_set_free(&sets);
    return r;
}

/* ---- Shao and Li ---- */

struct pairs {
    size_t n;
    double *hits; /* [a * n + b]; a = b: of the channel alone */
    double *all;
};

static double pair_rate(const struct pairs *pairs, uint32_t a, uint32_t b)
{
    size_t at = (size_t)a * pairs->n + b;
    return rate(pairs->hits[at], pairs->all[at]);
}

static void count_pairs(const struct path_set *sets, struct pairs *pairs)
{
    for (size_t i = 0; i < sets->paths_count; i++) {
        const struct path *path = sets->paths[i];
        for (size_t k = 0; k < path->length; k++) {
            for (size_t l = 0; l < path->length; l++) {
                size_t at = (size_t)path->channels[k] * pairs->n + path->channels[l];
                pairs->hits[at] += path->conversions;
                pairs->all[at] += path->conversions + path->nulls;
            }
        }
    }
}

static double shao_li_share(const struct pairs *pairs, const struct path *path, size_t k)
{
    uint32_t self = path->channels[k];
    double alone = pair_rate(pairs, self, self), sum = 0;
    for (size_t l = 0; l < path->length; l++) {
        uint32_t other = path->channels[l];
        if (l != k)
            sum += pair_rate(pairs, self, other) - alone - pair_rate(pairs, other, other);
    }
    return path->length > 1 ? alone + sum / (2 * (double)(path->length - 1)) : alone;
}

int shao_li(struct path_set *set, struct coalition_credit *out, double *unattributed)
{
    struct path_set sets = {0};
    struct pairs pairs = {.n = set->channels_count};
    double conversions, nulls, value;
    clear(set, out);
    if (pairs.n > SHAO_LI_CHANNELS_MAX)
        return ERR_TOO_LARGE;
    int r = transform_paths(set, TRANSFORM_SORTED, &sets);
    pairs.hits = calloc(pairs.n * pairs.n + 1, sizeof(double));
    pairs.all = calloc(pairs.n * pairs.n + 1, sizeof(double));
    if (r == 0 && (!pairs.hits || !pairs.all))
        r = ERR_NO_MEMORY;
    if (r == 0) {
        count_pairs(&sets, &pairs);
        for (size_t i = 0; i < sets.paths_count; i++)
            for (size_t k = 0; k < sets.paths[i]->length; k++)
                out[sets.paths[i]->channels[k]].effect +=
                    sets.paths[i]->conversions * shao_li_share(&pairs, sets.paths[i], k);
        double whole = 0;
        for (size_t i = 0; i < set->channels_count; i++)
            whole += out[i].effect;
        totals(&sets, &conversions, &nulls, &value);
        *unattributed = scale(out, set->channels_count, whole, conversions, value);
    }
    free(pairs.hits);
    free(pairs.all);
    path_set_free(&sets);
    return r;
}
