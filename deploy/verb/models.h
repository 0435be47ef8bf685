/*
 * Names of models on the command line, and other names of a list.
 */
#pragma once

#include "deploy/attribute/stored.h"
#include "deploy/verb/verb.h"

/* Takes the next piece of a list in commas; false at its end. */
bool models_piece(struct str *rest, struct str *out);

/* Says that a name is unknown, and the nearest of those that are; returns EXIT_USAGE. */
int models_unknown(const struct verb_call *call, const char *what, struct str name,
    const struct str *known, size_t count);

/* Adds the models of --model, each once, else the usual ones. Returns 0, or EXIT_USAGE after saying
 * what is wrong. */
MUST_CHECK int models_read(const struct verb_call *call, struct attribute_options *options,
    const int *usual, size_t usual_count);

/* A flag that only some kinds have, and which. */
struct models_flag {
    const char *flag;
    int first, last; /* numbers of enum attribute_model */
};

/* The same of a database: a name may be one of its configuration, which is wanted as it is
 * configured; a kind that a flag gives other parameters is wanted by kind, under a name that tells
 * them, such as "markov:order=3". flags: those of the verb. usual NULL: all of the configuration
 * that are solved. */
MUST_CHECK int models_read_stored(const struct verb_call *call, struct attribute_options *options,
    struct attribute_stored *stored, const struct models_flag *flags, size_t flags_count,
    const int *usual, size_t usual_count);
