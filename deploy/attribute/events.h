/*
 * Touches of customers, a row each, into paths.
 */
#pragma once

#include "deploy/attribute/spill.h"

#define EVENT_NO_CHANNEL UINT32_MAX

/* Rows as they come, of whichever customers; memory does not grow with them (spill.h). Errors are
 * those of spill.h. */
struct touch_rows {
    struct spill spill;
};

/* options outlive it; end with touch_rows_free(). */
void touch_rows_init(struct touch_rows *rows, const struct attribute_options *options);
void touch_rows_free(struct touch_rows *rows);

/* row->customer is set to what the name tells. */
MUST_CHECK int touch_rows_add(
    struct touch_rows *rows, struct str customer, const struct touch_row *row);

/*
 * Credits all, customers in the order of their first rows: of each customer's rows in time order, a
 * path for each conversion (the row's own channel is its last touch), of touches within the
 * lookback and, with reset, behind the conversion before; and one path that did not convert, of the
 * touches behind the last conversion. Memory grows with one customer's touches that may still
 * count. Errors: as attribute_path(), ERR_NO_MEMORY, and those of spill.h.
 */
MUST_CHECK int touch_rows_credit(struct touch_rows *rows, struct attribute_input *input);
