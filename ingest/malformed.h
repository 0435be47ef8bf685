/*
 * The mark of an event of which a malformed identifier was left out: no value is kept, but that
 * there was one is a fact of the event, as analysts of a form or a till want to know. It stands in
 * the properties, {"$malformed":["phone"]}, so that it reaches every table with the event.
 */
#pragma once

#include "ingest/normalise/identifier.h"

#define MALFORMED_KEY "$malformed"

/* Adds the mark to *properties (canonical JSON of an object, or empty), which stay canonical: the
 * namespaces of the malformed drops, sorted, each once. Without such drops, and where the client
 * has a property of this name, nothing changes. The new text lives in the arena. Errors:
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int malformed_mark(struct str *properties, const struct identifier_drop *drops,
    size_t drops_count, struct arena *arena);
