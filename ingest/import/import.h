/*
 * Files of foreign rows into the log, as a mapping says: strict, resumable, and idempotent.
 *
 * Ids. A row without an id of its own gets one from SHA-256(import name, row bytes, n-th occurrence
 * of identical rows in this import): importing a file twice, shuffled or in parts adds nothing.
 * Identical rows of several files are told apart when the files are given to one import.
 *
 * A row is taken whole or goes to `rejected` whole (so a mended row does not come a second time),
 * with file, line, column and reason; the rest goes on.
 *
 * Resuming. With each append a cursor is committed: how many bytes are done, and XXH3-128 of them,
 * under a name from the mapping, the files before and the file's first 64 KiB. A later import of a
 * file that still begins with those bytes goes on behind them; rows before are read again only to
 * count identical ones. Another file, another mapping: from the start, which is harmless.
 */
#pragma once

#include <stdatomic.h>

#include "ingest/door.h"
#include "ingest/import/mapping.h"
#include "ingest/stream/stream.h"

#define IMPORT_CHUNK_BYTES_DEFAULT ((size_t)1 << 20)

struct import_progress {
    uint64_t bytes_total; /* of the files begun so far; 0: unknown (a pipe) */
    uint64_t bytes_done;
    uint64_t bytes_resumed; /* of bytes_done: done by an earlier import */
    uint64_t rows;          /* without those resumed */
    uint64_t events;
    uint64_t rejected; /* rows */
    uint64_t skipped;  /* rows that give no event, as no condition holds */
    uint64_t refused;  /* events whose customer refuses analytics: counted, not kept */
    uint64_t planless; /* of events: taken though the tracking plan forbids them */
};

/* Identifiers of one namespace that the door left out of events for one reason. */
struct import_drop {
    struct str namespace;
    enum identifier_fate why;
    uint64_t count;
    const char *file; /* of the first: as import_file() was given it */
    int64_t line;
};
#define IMPORT_DROPS_MAX (NAMESPACES_MAX * (IDENTIFIER_FATES - 1))

/* Called by the thread that imports, after each durable append. */
typedef void (*import_progress_fn)(void *context, const struct import_progress *progress);

struct import_options {
    const struct mapping *mapping;
    const struct door_config *door;
    struct appender *appender;
    enum config_plan plan;       /* what the mapping's source says of the tracking plan */
    int64_t now_micros;          /* received_at of all rows */
    size_t chunk_bytes;          /* of an append; 0: IMPORT_CHUNK_BYTES_DEFAULT */
    int retries_max;             /* of an append that answers ERR_AGAIN or ERR_FULL, 250 ms apart */
    import_progress_fn progress; /* NULL: none */
    void *context;
    const atomic_bool *stop; /* NULL: never */
};

struct import;

/* Everything that options points to outlives the import. Errors: ERR_CONFIG with what is wrong
 * appended to *message (an unknown namespace, an event without a time or without anybody);
 * ERR_UNSUPPORTED (iconv lacks the encoding); ERR_NO_MEMORY. */
MUST_CHECK int import_open(
    const struct import_options *options, struct import **out, struct buf *message);

/* Imports one file ("-": standard input, which cannot be resumed); files may follow each other.
 * Uses a thread of its own to read and map while this one makes the previous chunk durable. Returns
 * 0, or IMPORT_STOPPED. Errors: ERR_CONFIG (a column of the mapping is not in the file),
 * ERR_NOT_FOUND, ERR_IO, with *message; what append() and cursor_get() answer, with their errno and
 * no message, since the file is not at fault; ERR_NO_MEMORY. What was appended
 * stays, and the next import of the file goes on there. */
#define IMPORT_STOPPED 1
MUST_CHECK int import_file(struct import *import, const char *path, struct buf *message);

/* Of all files so far. */
void import_get_progress(const struct import *import, struct import_progress *out);

/* Likewise, strongest namespace first; out has room for IMPORT_DROPS_MAX. */
void import_get_drops(const struct import *import, struct import_drop *out, size_t *count);

/* Accepts NULL inside, leaves NULL. */
void import_close(struct import **import);
