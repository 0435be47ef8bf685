/*
 * Absorbing chains of journeys, solved by sweeps: a journey hardly ever comes back to a state, so
 * some sixty sweeps bring all digits. Nothing is subtracted, so small results keep theirs. For
 * many channels at once. Private to the Markov models; chains that come to rest too slowly are for
 * linear.h.
 */
#pragma once

#include "enrich/attribution/chain.h"

#define RELAX_SWEEPS_MAX 400

/* What the removal of a channel takes. */
struct relax_loss {
    double chance, value;
};

struct relax;

/* The chain must outlive it and keep its shape. Errors: ERR_NO_MEMORY. */
MUST_CHECK int relax_new(const struct chain *chain, struct relax **out);
void relax_free(struct relax **relax);

/* What a journey in each state is worth: x = r + Q x. x: 3 n doubles, the chances to convert, then
 * values, then the sizes of the terms that these are sums of. Returns true when it came to rest,
 * else x is of no use. */
bool relax_worth(struct relax *relax, double *x);

/* What journeys lose when the states with a channel are taken out, for each of so many channels:
 * those that come there first are worth that no more. worth: as relax_worth() made it. Returns 1
 * when all came to rest, else 0. Errors: ERR_NO_MEMORY. */
MUST_CHECK int relax_losses(
    struct relax *relax, const double *worth, size_t channels, struct relax_loss *losses);
