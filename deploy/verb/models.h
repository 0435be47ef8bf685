/*
 * Names of models on the command line, and other names of a list.
 */
#pragma once

#include "deploy/attribute/attribute.h"
#include "deploy/verb/verb.h"

/* Takes the next piece of a list in commas; false at its end. */
bool models_piece(struct str *rest, struct str *out);

/* Says that a name is unknown, and the nearest of those that are; returns EXIT_USAGE. */
int models_unknown(const struct verb_call *call, const char *what, struct str name,
    const struct str *known, size_t count);

/* Adds the models of --model, else the usual ones. Returns 0, or EXIT_USAGE after saying what is
 * wrong. */
MUST_CHECK int models_read(const struct verb_call *call, struct attribute_options *options,
    const int *usual, size_t usual_count);
