/*
 * The event that a caller builds (tabiji.h, "events"), as the producer sees it.
 */
#pragma once

#include "ingest/producer/memory.h"
#include "schemas/event_json.h"

/* The event as one line of native JSON, valid until the event changes. "id" is left out while it
 * has none. Errors: the first that a setter met, with *problem set; ERR_NO_MEMORY. */
MUST_CHECK int producer_event_line(
    struct tabiji_event *event, struct str *line, struct event_problem *problem);

/* Whether the collector accepts the event without a word, as its setters know (proof.h). False: it
 * is to be judged. Only behind producer_event_line(). */
bool producer_event_proven(const struct tabiji_event *event);

/* JSON of several lines as one: in a text of JSON a line's end is white space. */
void producer_line_join(char *json, size_t json_size);
