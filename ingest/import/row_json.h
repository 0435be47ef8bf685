/*
 * What the columns of a mapping are in a JSON object: paths into it.
 */
#pragma once

#include "ingest/import/mapping.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

/* Fills values, one a column: texts as they are, null and what is absent as nothing, all else as
 * canonical JSON. A column is a path with dots ("order.lines.0.sku"), or a JSON pointer
 * ("/order/lines/0/sku", RFC 6901). Slices live in the parser or the arena. Errors: REJECT class
 * with *problem set; ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int row_json_values(const struct mapping *mapping, struct json root, struct arena *arena,
    struct str *values, struct event_problem *problem);
