/*
 * The sink that writes tabiji.db. Tables, keys and what a tombstone takes away: schema.sql,
 * statement.def; what a column means: dictionary.def.
 */
#pragma once

#include "sinks/sink.h"
#include "sinks/sqlite/database.h"

/* Opens or creates the file. options may be NULL. Errors: as database_open(). Threads: the sink is
 * used by one thread, from here on. */
MUST_CHECK int sqlite_sink_open(
    struct sink **out, const char *path, const struct database_options *options);
