/* What every verb that reads the tables begins with. */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"
#include "sinks/sqlite/read.h"

/* Opens the database of the settings. Returns 0; or an exit_code after saying what is wrong: where
 * there is no database, its place and what makes one. */
int tables_open(struct verb_call *call, struct settings *settings, struct reader **out);
