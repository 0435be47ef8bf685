/*
 * Touches of customers, a row each, into paths.
 */
#pragma once

#include "deploy/attribute/attribute.h"

#define EVENT_NO_CHANNEL UINT32_MAX

struct touch_row {
    int64_t at;
    double value, value_rest; /* as in struct path_count */
    uint32_t customer;
    uint32_t channel;
    uint32_t flags; /* of struct path_step */
    bool converted;
    uint64_t number; /* of the row: ties in time keep the file's order */
};

struct touch_rows {
    struct touch_row *items;
    size_t count, room;
};

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int touch_rows_add(struct touch_rows *rows, const struct touch_row *row);

/*
 * Credits all: of each customer's rows in time order, a path for each conversion (the row's own
 * channel is its last touch), of touches within the lookback and, with reset, behind the conversion
 * before; and one path that did not convert, of the touches behind the last conversion.
 * Errors: as attribute_path(), ERR_NO_MEMORY.
 */
MUST_CHECK int touch_rows_credit(struct touch_rows *rows, struct attribute_input *input);
