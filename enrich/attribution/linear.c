#include "enrich/attribution/linear.h"

#include <math.h>
#include <stdlib.h>

#include <suitesparse/klu.h>

#include "schemas/error.h"

#define FACTOR_ELEMENTS_MAX                                                                        \
    4e7 /* more than this are relaxed: 320 MB, and seconds for each channel */
#define SWEEPS_MAX 1000000
#define SWEEP_CHANGE_MAX 1e-17 /* of a sweep, against the largest value */

struct linear {
    size_t n;
    /* (I - Q) by columns, as KLU wants it: 64-bit, for large fills. */
    SuiteSparse_long *columns, *rows;
    double *whole;  /* values */
    double *values; /* those of the running solve */
    klu_l_common common;
    klu_l_symbolic *symbolic;
    klu_l_numeric *numeric;
    bool relaxed; /* the factors would not fit */
    /* Q by rows, for relaxation */
    size_t *row_begin;
    uint32_t *row_column;
    double *row_value;
};

void linear_free(struct linear **out)
{
    struct linear *linear = *out;
    if (!linear)
        return;
    klu_l_free_numeric(&linear->numeric, &linear->common);
    klu_l_free_symbolic(&linear->symbolic, &linear->common);
    free(linear->columns);
    free(linear->rows);
    free(linear->whole);
    free(linear->values);
    free(linear->row_begin);
    free(linear->row_column);
    free(linear->row_value);
    free(linear);
    *out = NULL;
}

static int fill_columns(struct linear *linear, const struct chain *chain)
{
    size_t n = linear->n, elements = n + chain->edges_count;
    linear->columns = calloc(n + 2, sizeof *linear->columns);
    linear->rows = malloc((elements + 1) * sizeof *linear->rows);
    linear->whole = malloc((elements + 1) * sizeof *linear->whole);
    linear->values = malloc((elements + 1) * sizeof *linear->values);
    if (!linear->columns || !linear->rows || !linear->whole || !linear->values)
        return ERR_NO_MEMORY;
    SuiteSparse_long *end = linear->columns + 1; /* end[i]: where column i's next element goes */
    for (size_t i = 0; i < chain->edges_count; i++)
        end[chain->edges[i].to + 1]++;
    for (size_t i = 0; i < n; i++)
        end[i + 1] += end[i] + 1; /* the diagonal's */
    for (size_t i = 0; i < n; i++) {
        linear->rows[end[i]] = (SuiteSparse_long)i;
        linear->whole[end[i]++] = 1;
    }
    for (size_t i = 0; i < chain->edges_count; i++) {
        const struct chain_edge *edge = &chain->edges[i];
        SuiteSparse_long at = end[edge->to]++;
        linear->rows[at] = (SuiteSparse_long)edge->from;
        linear->whole[at] = -edge->weight / chain->states[edge->from].out;
    }
    return 0;
}

static int fill_rows(struct linear *linear, const struct chain *chain)
{
    size_t n = linear->n;
    linear->row_begin = calloc(n + 2, sizeof *linear->row_begin);
    linear->row_column = malloc((chain->edges_count + 1) * sizeof *linear->row_column);
    linear->row_value = malloc((chain->edges_count + 1) * sizeof *linear->row_value);
    if (!linear->row_begin || !linear->row_column || !linear->row_value)
        return ERR_NO_MEMORY;
    size_t *end = linear->row_begin + 1;
    for (size_t i = 0; i < chain->edges_count; i++)
        end[chain->edges[i].from + 1]++;
    for (size_t i = 0; i < n; i++)
        end[i + 1] += end[i];
    for (size_t i = 0; i < chain->edges_count; i++) {
        const struct chain_edge *edge = &chain->edges[i];
        size_t at = end[edge->from]++;
        linear->row_column[at] = edge->to;
        linear->row_value[at] = edge->weight / chain->states[edge->from].out;
    }
    return 0;
}

/* Decides how to solve. */
static int analyse(struct linear *linear, const struct chain *chain)
{
    klu_l_defaults(&linear->common);
    linear->symbolic =
        klu_l_analyze((SuiteSparse_long)linear->n, linear->columns, linear->rows, &linear->common);
    if (!linear->symbolic && linear->common.status == KLU_OUT_OF_MEMORY)
        return ERR_NO_MEMORY;
    double elements =
        linear->symbolic ? linear->symbolic->lnz + linear->symbolic->unz : FACTOR_ELEMENTS_MAX;
    linear->relaxed = !linear->symbolic || elements >= FACTOR_ELEMENTS_MAX;
    return fill_rows(linear, chain);
}

int linear_new(const struct chain *chain, struct linear **out)
{
    struct linear *linear = calloc(1, sizeof *linear);
    if (!linear)
        return ERR_NO_MEMORY;
    linear->n = chain->states_count;
    klu_l_defaults(&linear->common);
    int r = fill_columns(linear, chain);
    if (r == 0 && linear->n)
        r = analyse(linear, chain);
    if (r < 0) {
        linear_free(&linear);
        return r;
    }
    *out = linear;
    return 0;
}

/* ---- relaxation: Gauss-Seidel, there and back ---- */

static double relax_row(const struct linear *linear, size_t i, const double *r, double *x)
{
    double sum = r[i];
    for (size_t k = linear->row_begin[i]; k < linear->row_begin[i + 1]; k++)
        sum += linear->row_value[k] * x[linear->row_column[k]];
    double change = fabs(sum - x[i]);
    x[i] = sum;
    return change;
}

/* All that is summed is of one sign where r is, so nothing cancels. */
static int relax(const struct linear *linear, const bool *out, double *x)
{
    size_t n = linear->n;
    double *r = malloc((n + 1) * sizeof *r);
    if (!r)
        return ERR_NO_MEMORY;
    memcpy(r, x, n * sizeof *r);
    double change = 1, largest = 0;
    for (int sweep = 0; sweep < SWEEPS_MAX && change > SWEEP_CHANGE_MAX * largest; sweep++) {
        change = largest = 0;
        for (size_t k = 0; k < n; k++) {
            size_t i = sweep % 2 ? n - 1 - k : k;
            double moved = out && out[i] ? 0 : relax_row(linear, i, r, x);
            change = moved > change ? moved : change;
            largest = fabs(x[i]) > largest ? fabs(x[i]) : largest;
        }
    }
    free(r);
    return 0;
}

/* ---- */

int linear_solve(struct linear *linear, const bool *out, double *x)
{
    size_t n = linear->n;
    if (n == 0)
        return 0;
    if (linear->relaxed) {
        int r = relax(linear, out, x);
        return r < 0 ? r : relax(linear, out, x + n);
    }
    for (SuiteSparse_long k = 0; k < linear->columns[n]; k++) {
        bool alone = out && out[linear->rows[k]] && linear->whole[k] < 0;
        linear->values[k] = alone ? 0 : linear->whole[k];
    }
    klu_l_free_numeric(&linear->numeric, &linear->common);
    linear->numeric = klu_l_factor(
        linear->columns, linear->rows, linear->values, linear->symbolic, &linear->common);
    if (!linear->numeric)
        return linear->common.status == KLU_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL;
    return klu_l_solve(
               linear->symbolic, linear->numeric, (SuiteSparse_long)n, 2, x, &linear->common)
               ? 0
               : ERR_INTERNAL;
}

bool linear_solve_left(struct linear *linear, double *y)
{
    return linear->n && !linear->relaxed &&
           klu_l_tsolve(linear->symbolic, linear->numeric, (SuiteSparse_long)linear->n, 1, y,
               &linear->common);
}

bool linear_diagonal(struct linear *linear, size_t i, double *work, double *element)
{
    if (linear->relaxed)
        return false;
    memset(work, 0, linear->n * sizeof *work);
    work[i] = 1;
    if (!klu_l_solve(linear->symbolic, linear->numeric, (SuiteSparse_long)linear->n, 1, work,
            &linear->common))
        return false;
    *element = work[i];
    return true;
}
