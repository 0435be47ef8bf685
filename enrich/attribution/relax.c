/* Values only rise from sweep to sweep, since all that is added is positive; each is at rest when
 * it rises by no more than its rounding. */
#include "enrich/attribution/relax.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"

#define LANES 8
#define AT_REST 0x1p-51      /* of a worth: a sweep's rise */
#define COUNT_EACH 4         /* sweeps: between looks whether they rest */
#define LOSS_AT_REST 0x1p-50 /* of a loss: what all visits that a sweep adds may be worth */

/* Edges of each state: those that leave it, or those that come. */
struct relax_edges {
    size_t *begin; /* n + 1 */
    uint32_t *other;
    double *part; /* of what leaves the edge's origin */
};

struct relax {
    const struct chain *chain;
    struct relax_edges leaving, coming;
};

static void edges_free(struct relax_edges *edges)
{
    free(edges->begin);
    free(edges->other);
    free(edges->part);
}

static int edges_make(const struct chain *chain, bool coming, struct relax_edges *out)
{
    size_t n = chain->states_count;
    out->begin = calloc(n + 2, sizeof *out->begin);
    out->other = malloc((chain->edges_count + 1) * sizeof *out->other);
    out->part = malloc((chain->edges_count + 1) * sizeof *out->part);
    if (!out->begin || !out->other || !out->part)
        return ERR_NO_MEMORY;
    size_t *end = out->begin + 1;
    for (size_t i = 0; i < chain->edges_count; i++)
        end[(coming ? chain->edges[i].to : chain->edges[i].from) + 1]++;
    for (size_t i = 0; i < n; i++)
        end[i + 1] += end[i];
    for (size_t i = 0; i < chain->edges_count; i++) {
        const struct chain_edge *edge = &chain->edges[i];
        size_t at = end[coming ? edge->to : edge->from]++;
        out->other[at] = coming ? edge->from : edge->to;
        out->part[at] = edge->weight / chain->states[edge->from].out;
    }
    return 0;
}

int relax_new(const struct chain *chain, struct relax **out)
{
    struct relax *relax = calloc(1, sizeof *relax);
    if (!relax)
        return ERR_NO_MEMORY;
    relax->chain = chain;
    int r = edges_make(chain, false, &relax->leaving);
    if (r == 0)
        r = edges_make(chain, true, &relax->coming);
    if (r < 0) {
        relax_free(&relax);
        return r;
    }
    *out = relax;
    return 0;
}

void relax_free(struct relax **out)
{
    struct relax *relax = *out;
    if (!relax)
        return;
    edges_free(&relax->leaving);
    edges_free(&relax->coming);
    free(relax);
    *out = NULL;
}

/* ---- worth ---- */

/* One state: its chance, value, and the sum of the values' sizes, which tells when they rest. */
struct worth {
    double chance, value, size;
};

static bool sweep_worth(const struct relax *relax, struct worth *worth)
{
    const struct relax_edges *edges = &relax->leaving;
    bool rests = true;
    for (size_t i = relax->chain->states_count; i > 0; i--) {
        const struct chain_state *state = &relax->chain->states[i - 1];
        struct worth sum = {state->conversions / state->out, state->value / state->out,
            state->value_size / state->out};
        for (size_t k = edges->begin[i - 1]; k < edges->begin[i]; k++) {
            const struct worth *other = &worth[edges->other[k]];
            sum.chance += edges->part[k] * other->chance;
            sum.value += edges->part[k] * other->value;
            sum.size += edges->part[k] * other->size;
        }
        rests = rests && sum.chance - worth[i - 1].chance <= AT_REST * sum.chance &&
                sum.size - worth[i - 1].size <= AT_REST * sum.size &&
                fabs(sum.value - worth[i - 1].value) <= AT_REST * sum.size;
        worth[i - 1] = sum;
    }
    return rests;
}

bool relax_worth(struct relax *relax, double *x)
{
    size_t n = relax->chain->states_count;
    struct worth *worth = calloc(n + 1, sizeof *worth);
    bool rests = false;
    for (int sweep = 0; worth && !rests && sweep < RELAX_SWEEPS_MAX; sweep++)
        rests = sweep_worth(relax, worth);
    for (size_t i = 0; rests && i < n; i++) {
        x[i] = worth[i].chance;
        x[n + i] = worth[i].value;
        x[2 * n + i] = worth[i].size;
    }
    free(worth);
    return rests;
}

/* ---- losses ---- */

typedef double four __attribute__((vector_size(4 * sizeof(double))));
typedef int64_t four_bits __attribute__((vector_size(4 * sizeof(int64_t))));

/* Channels that are swept together. */
struct lanes {
    four of[LANES / 4];
};
struct lane_bits {
    four_bits of[LANES / 4];
};

struct sweeping {
    const struct relax *relax;
    const double *worth;
    double dearest; /* the largest size of a value */
    size_t first;
    double *start;                     /* parts of all journeys, by state */
    struct lanes *visits;              /* of states that are not taken out; of others 0 */
    uint8_t *out;                      /* of a state: bits of the lanes whose channel it has */
    struct lane_bits keep[1 << LANES]; /* by such bits: all ones in the other lanes */
    struct lanes chance; /* lost in a sweep, by whoever comes to a state that is taken out */
    struct lanes value;
    struct lanes size;
    struct lanes moved; /* all visits that the sweep added */
};

static void sweeping_free(struct sweeping *sweeping)
{
    free(sweeping->start);
    free(sweeping->visits);
    free(sweeping->out);
}

static int sweeping_begin(struct sweeping *sweeping)
{
    const struct chain *chain = sweeping->relax->chain;
    size_t n = chain->states_count;
    sweeping->start = malloc((n + 1) * sizeof *sweeping->start);
    sweeping->visits = aligned_alloc(sizeof(four), (n + 1) * sizeof(struct lanes));
    sweeping->out = malloc(n + 1);
    if (!sweeping->start || !sweeping->visits || !sweeping->out)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        sweeping->start[i] = chain->states[i].start / chain->start;
    for (size_t bits = 0; bits < 1 << LANES; bits++)
        for (size_t l = 0; l < LANES; l++)
            sweeping->keep[bits].of[l / 4][l % 4] = bits >> l & 1 ? 0 : -1;
    return 0;
}

/* Says which states each lane's channel takes out; nobody has been anywhere. */
static void aim(struct sweeping *sweeping, size_t first)
{
    const struct chain *chain = sweeping->relax->chain;
    size_t order = (size_t)chain->order, n = chain->states_count;
    sweeping->first = first;
    memset(sweeping->visits, 0, n * sizeof *sweeping->visits);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *tuple = chain->tuples + i * order;
        unsigned bits = 0;
        for (size_t k = 0; k < order; k++)
            if (tuple[k] >= first && tuple[k] - first < LANES)
                bits |= 1U << (tuple[k] - first);
        sweeping->out[i] = (uint8_t)bits;
    }
}

/* One sweep; with `counts` what it loses and moves. Every caller's copy is its own. */
static inline __attribute__((always_inline)) void sweep(struct sweeping *sweeping, bool counts)
{
    const struct relax_edges *edges = &sweeping->relax->coming;
    size_t n = sweeping->relax->chain->states_count;
    struct lanes *visits = sweeping->visits;
    four none = {0}, chance[2] = {none, none}, value[2] = {none, none};
    four size[2] = {none, none}, moved[2] = {none, none};
    for (size_t i = 0; i < n; i++) {
        four come0 = none + sweeping->start[i], come1 = come0;
        for (size_t k = edges->begin[i]; k < edges->begin[i + 1]; k++) {
            const struct lanes *from = &visits[edges->other[k]];
            come0 += edges->part[k] * from->of[0];
            come1 += edges->part[k] * from->of[1];
        }
        const struct lane_bits *keep = &sweeping->keep[sweeping->out[i]];
        four stays0 = (four)((four_bits)come0 & keep->of[0]);
        four stays1 = (four)((four_bits)come1 & keep->of[1]);
        if (counts) {
            chance[0] += (come0 - stays0) * sweeping->worth[i];
            chance[1] += (come1 - stays1) * sweeping->worth[i];
            value[0] += (come0 - stays0) * sweeping->worth[n + i];
            value[1] += (come1 - stays1) * sweeping->worth[n + i];
            size[0] += (come0 - stays0) * sweeping->worth[2 * n + i];
            size[1] += (come1 - stays1) * sweeping->worth[2 * n + i];
            moved[0] += stays0 - visits[i].of[0];
            moved[1] += stays1 - visits[i].of[1];
        }
        visits[i].of[0] = stays0;
        visits[i].of[1] = stays1;
    }
    for (size_t k = 0; counts && k < 2; k++) {
        sweeping->chance.of[k] = chance[k];
        sweeping->value.of[k] = value[k];
        sweeping->size.of[k] = size[k];
        sweeping->moved.of[k] = moved[k];
    }
}

static void sweep_anywhere(struct sweeping *sweeping, bool counts)
{
    if (counts)
        sweep(sweeping, true);
    else
        sweep(sweeping, false);
}

#ifdef __x86_64__
/* The same operations, rounded alike (no fused ones), twice as many at once. */
static __attribute__((target("avx2"))) void sweep_avx2(struct sweeping *sweeping, bool counts)
{
    if (counts)
        sweep(sweeping, true);
    else
        sweep(sweeping, false);
}
#endif

static void sweep_once(struct sweeping *sweeping, bool counts)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        sweep_avx2(sweeping, counts);
        return;
    }
#endif
    sweep_anywhere(sweeping, counts);
}

static double lane(const struct lanes *lanes, size_t l)
{
    return lanes->of[l / 4][l % 4];
}

/* Nothing that still moves can add a digit to a loss: of chances, which are 1 at most, or values,
 * which may lie where hardly anybody comes. */
static bool at_rest(const struct sweeping *sweeping, size_t count)
{
    for (size_t l = 0; l < count; l++) {
        double moved = lane(&sweeping->moved, l);
        if (moved > LOSS_AT_REST * lane(&sweeping->chance, l) ||
            moved * sweeping->dearest > LOSS_AT_REST * lane(&sweeping->size, l))
            return false;
    }
    return true;
}

/* So many channels from `first`. Returns whether they came to rest. */
static bool lose(struct sweeping *sweeping, size_t first, size_t count, struct relax_loss *losses)
{
    bool rests = false;
    aim(sweeping, first);
    for (int number = 1; !rests && number <= RELAX_SWEEPS_MAX; number++) {
        bool counts = number % COUNT_EACH == 0;
        sweep_once(sweeping, counts);
        rests = counts && at_rest(sweeping, count);
    }
    for (size_t l = 0; l < count; l++)
        losses[l] = (struct relax_loss){lane(&sweeping->chance, l), lane(&sweeping->value, l)};
    return rests;
}

int relax_losses(
    struct relax *relax, const double *worth, size_t channels, struct relax_loss *losses)
{
    struct sweeping *sweeping = aligned_alloc(sizeof(four), sizeof *sweeping);
    if (!sweeping)
        return ERR_NO_MEMORY;
    *sweeping = (struct sweeping){.relax = relax, .worth = worth};
    for (size_t i = 0, n = relax->chain->states_count; i < n; i++)
        sweeping->dearest = fmax(sweeping->dearest, worth[2 * n + i]);
    int r = sweeping_begin(sweeping);
    bool rests = r == 0;
    for (size_t first = 0; rests && first < channels; first += LANES) {
        size_t left = channels - first;
        rests = lose(sweeping, first, left < LANES ? left : LANES, losses + first);
    }
    sweeping_free(sweeping);
    free(sweeping);
    return r < 0 ? r : rests;
}
