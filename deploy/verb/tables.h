/* What every verb that reads the tables begins with. */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"
#include "sinks/sqlite/read.h"

/* Opens the database of the settings. Returns 0; or an exit_code after saying what is wrong: where
 * there is no database, its place and what makes one. */
int tables_open(struct verb_call *call, struct settings *settings, struct reader **out);

/* Tells that an identifier which is to be linked is one that nobody was seen with yet. */
void tables_tell_new(const struct verb_call *call, const char *spelling);

/* Says that the data directory, which the verb does not make, is not there. Returns
 * EXIT_NOT_FOUND. */
int tables_no_data(struct verb_call *call, const struct settings *settings);

/* Whether the tables were built with these settings, as far as they show it: 0; EXIT_USAGE after
 * saying that their tenant key or namespaces are others; or the exit_code of an error. */
int tables_fit(struct verb_call *call, struct settings *settings, struct reader *reader);

/* Nobody is known by the spelling: says so, or, where it would be another identifier under the
 * settings that the tables were built with, that. Returns an exit_code. */
int tables_nobody(
    struct verb_call *call, struct settings *settings, struct reader *reader, const char *spelling);
