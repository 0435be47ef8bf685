/*
 * Credit of conversions by models that were solved, down to the touch (touch_fit.h): for each
 * conversion and model the weights sum to CREDIT_WHOLE_PPB and the amounts to the revenue.
 *
 * Costs: fitting reads the touches of every conversion once, saving once more, and writes a row a
 * conversion, model and touch. Memory grows with the distinct paths.
 */
#pragma once

#include <sqlite3.h>

#include "sinks/sqlite/model_table.h"

struct model_credits;

/* Fits each model of `answers` (as model_table_solve() gives them: a model's of one currency stand
 * together) that is among `models` with the same version. db, models and answers outlive it. What
 * cannot be fitted is left out. Errors: ERR_NO_MEMORY, ERR_STATE (a row that is none), as
 * database_error(). Threads: one. */
MUST_CHECK int model_credits_open(struct model_credits **out, sqlite3 *db,
    const struct model *models, size_t count, const struct model_answers *answers);
void model_credits_close(struct model_credits **credits);

/* What was fitted: a model and currency. */
struct model_fitted {
    const struct model *model;
    struct str currency;
    double distance; /* as of struct touch_fit */
};
size_t model_credits_count(const struct model_credits *credits);
struct model_fitted model_credits_fitted(const struct model_credits *credits, size_t index);

/* A row of table conversion. */
struct model_conversion {
    struct str person; /* KEY_SIZE bytes */
    struct str conversion_id;
    struct str refund_of; /* of a refund; empty: it is a conversion */
    struct str type, currency;
    int64_t occurred_at;
    int64_t revenue_minor;
    int64_t credit_first, credit_count;
    int64_t reset_from;
    struct str event_key; /* KEY_SIZE bytes */
};

struct model_touch_credit {
    const struct model *model;
    int64_t touch_index;
    struct str touch_event_key; /* empty: unattributed */
    struct str channel;
    int64_t weight_ppb;
    int64_t revenue_minor;
};

/* Gives the credits of a conversion, by model, then touch. A refund takes back in proportion of its
 * original, and a whole one leaves exactly zero. found: as in sinks/sqlite/read.h. */
MUST_CHECK int model_credits_of(struct model_credits *credits,
    const struct model_conversion *conversion,
    int (*found)(void *context, const struct model_touch_credit *credit), void *context);

/* Writes the rows of all conversions into model_credit, instead of those of the same models and
 * currencies, and of models that are no more; in the transaction that is open. run_id and as_of:
 * those of model_channel. */
MUST_CHECK int model_credits_save(struct model_credits *credits, int64_t run_id, int64_t as_of);
