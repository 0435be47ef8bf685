/*
 * Which models there are: table model, one row each, and the columns of v_model_comparison, which
 * stand in the order of that table. So whoever reads the file needs no configuration.
 */
#pragma once

#include <sqlite3.h>

#include "enrich/attribution/model.h"
#include "schemas/arena.h"

/* Makes the table, the view and the view's words in data_dictionary say these models besides the
 * rules that are always credited by; in the transaction that is open. Nothing is written where they
 * say so already. Errors: as database_error(), ERR_NO_MEMORY. */
MUST_CHECK int model_list_save(sqlite3 *db, const struct model *models, size_t count);

/* Whether the table says these. Errors: as above. */
MUST_CHECK int model_list_is(
    sqlite3 *db, const struct model *models, size_t count, bool *is, bool *empty);

/* Those of the configuration that the file is of, in `arena`. Errors: ERR_STATE (a row that is
 * none), as above. */
MUST_CHECK int model_list_read(sqlite3 *db, struct arena *arena, struct model **out, size_t *count);
