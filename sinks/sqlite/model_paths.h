/*
 * The paths of a database as a model of table model sees them.
 */
#pragma once

#include <sqlite3.h>

#include "enrich/attribution/path_set.h"

/* Those of conversions in the currency ("": without one), net of refunds, by the model's types,
 * window and reset; and open paths, which did not convert. In one order, whatever the database's
 * is. *out is {0} before, freed by path_set_free() also after an error, and empty where table model
 * has no such model. Errors: as path_set_add() and database_error(). */
MUST_CHECK int model_paths_read(
    sqlite3 *db, struct str model, struct str currency, struct path_set *out);
