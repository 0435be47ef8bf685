/*
 * Sparse systems (I - Q) x = r of absorbing chains: by KLU, whose block triangular form suits
 * journeys, which hardly ever come back; where its factors would not fit, by relaxation. Private to
 * the Markov models.
 */
#pragma once

#include "enrich/attribution/chain.h"

struct linear;

/* Takes the chain's shape, which must not change. Errors: ERR_NO_MEMORY, ERR_TOO_LARGE. */
MUST_CHECK int linear_new(const struct chain *chain, struct linear **out);
void linear_free(struct linear **linear);

/* Solves for two right sides, x[0 .. n) and x[n .. 2n), which become the solutions. Rows whose
 * `out` is true stand alone (x = r there). out may be NULL. Errors: ERR_INTERNAL (the system is
 * singular: it cannot be), ERR_NO_MEMORY. */
MUST_CHECK int linear_solve(struct linear *linear, const bool *out, double *x);

/* y (I - Q) = s, with the factors of the last linear_solve() without `out`; false where there are
 * none. */
bool linear_solve_left(struct linear *linear, double *y);
/* The diagonal element of the inverse, likewise; work: n doubles. */
bool linear_diagonal(struct linear *linear, size_t i, double *work, double *element);
