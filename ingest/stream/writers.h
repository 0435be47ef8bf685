/*
 * With which schemas stored values were written: a text of lines `id name fingerprint`, one for
 * each record, that a store keeps beside them. A build that finds its own text there has nothing to
 * do. One that finds an older one reads through a translator; one that does not know a line's
 * version must leave all as it is.
 */
#pragma once

#include "schemas/schema_set.h"

#define WRITERS_MAX 64 /* schemas of the set */
#define WRITERS_WHY_SIZE 160

/* Versions by the index that the reader's has in schema_set(). */
struct writers {
    const struct schema_entry *versions[WRITERS_MAX];
    bool own; /* all are this build's */
};

/* Appends this build's text. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int writers_text(struct buf *out);

/* Reads a text. A record that it does not name had no values. `why` (WRITERS_WHY_SIZE bytes)
 * names the line on an error. Errors: ERR_NEWER for a version that this build does not know,
 * ERR_STATE for what is no such text. Threads: any. */
MUST_CHECK int writers_read(struct str text, struct writers *out, char *why);

/* The version that values of a record of this build's were written with; NULL: this build's own.
 * Threads: any. */
const struct schema_entry *writers_version(const struct writers *writers, uint32_t id);
