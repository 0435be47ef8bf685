/*
 * A data file in chunks of whole rows, each mapped as it is read. Belongs to the import's reading
 * thread.
 */
#pragma once

#include "ingest/import/row.h"
#include "schemas/hash.h"

#define READER_IDENTITY_BYTES ((size_t)64 << 10) /* of the file's start, by which it is known */
#define READER_CURSOR_SIZE 49

struct chunk {
    struct buf text; /* what is left of the chunk before, then new bytes */
    struct row_output output;
    uint64_t bytes_done; /* of the file, behind the last row */
    bool has_cursor;     /* the next import may go on behind this chunk */
    uint8_t cursor[READER_CURSOR_SIZE];
    int error;  /* that ended the reading behind these rows */
    int reason; /* errno behind it, or 0 */
    bool last;
};

void chunk_free(struct chunk *chunk);

struct reader {
    const struct import_options *options;
    struct row_mapper *mapper;
    int fd;
    bool eof;
    bool discarding;            /* the rest of a row that was too long */
    bool bound;                 /* the header is known */
    uint64_t offset;            /* of the first byte that is not done */
    uint64_t resume;            /* rows that begin before were done by an earlier import */
    int64_t line;               /* of the next row, 1-based */
    struct hash128_pieces hash; /* of the bytes before offset */
    struct csv csv;
    struct buf carry; /* bytes read and not done */
    struct buf *message;
};

/* fd: at the file's start, stays the caller's. Errors: ERR_NO_MEMORY; file_reader_close() then too.
 */
MUST_CHECK int file_reader_open(struct reader *reader, const struct import_options *options,
    struct row_mapper *mapper, int fd, struct buf *message);
void file_reader_close(struct reader *reader);

/* Whether the file begins with what a cursor says was done; then sets reader->resume. Reads by
 * pread(). Errors: ERR_IO. */
MUST_CHECK int reader_resume(struct reader *reader, struct str cursor);

/* Reads and maps the next chunk. An error stands in chunk->error. */
void file_reader_next(struct reader *reader, struct chunk *chunk);
