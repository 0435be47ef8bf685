/*
 * Items of the live view as `tabiji tail` prints them.
 */
#pragma once

#include <stdio.h>

#include "schemas/json.h"

struct tail_show {
    FILE *out;
    bool json;   /* lines of JSON, for programs */
    bool colour; /* on a terminal alone */
    bool curl;   /* the command of every event, not only of those that were not accepted */
    struct json_parser *parser;
};

/* Prints one server-sent event: its name ("event", "fate", "missed") and its data, of which what
 * control characters could do to a terminal is spelled out. True when it was an event. What is no
 * JSON is not shown. Errors: ERR_NO_MEMORY. */
MUST_CHECK int tail_show_item(
    struct tail_show *show, struct str name, struct str data, bool *was_event);
