/*
 * One row to records of the log: mapping, ids, door, rejection. Belongs to the import's reading
 * thread.
 */
#pragma once

#include <iconv.h>

#include "ingest/import/csv.h"
#include "ingest/import/import.h"
#include "ingest/import/mapper.h"
#include "ingest/import/occurrence.h"

/* Identifiers of one namespace that were left out for one reason. */
struct row_drops {
    uint64_t count;
    int64_t line; /* of the first */
};

/* What a chunk of rows has become. Slices of records live in the arena. */
struct row_output {
    struct arena arena;
    struct append_record *records;
    size_t records_count;
    size_t records_capacity;
    struct rotation_list pairs;   /* those of a rotation, among the records */
    struct import_progress count; /* of this chunk; bytes unused */
    struct row_drops drops[NAMESPACES_MAX][IDENTIFIER_FATES]; /* by rank */
};

/* Frees what the output holds. */
void row_output_free(struct row_output *output);
/* Empties it, keeps memory. */
void row_output_reset(struct row_output *output);

struct row_mapper {
    const struct import_options *options;
    const char *path; /* of the data file */
    struct json_parser *parser;
    struct occurrences *occurrences;
    iconv_t converter;    /* (iconv_t)-1: none is needed */
    struct arena scratch; /* of one row */
    /* CSV: where the mapping's columns stand, once the header is known. */
    const struct str *header;
    size_t header_count;
    struct arena header_arena;
    size_t places[MAPPING_COLUMNS_MAX];
    struct str values[MAPPING_COLUMNS_MAX];
};

/* Errors: ERR_UNSUPPORTED, ERR_NO_MEMORY; row_mapper_close() then too. */
MUST_CHECK int row_mapper_open(struct row_mapper *mapper, const struct import_options *options);
void row_mapper_close(struct row_mapper *mapper);

/* Takes the row that names the columns; NULL: the mapping's own. Errors: ERR_CONFIG with *message;
 * ERR_NO_MEMORY. */
MUST_CHECK int row_mapper_bind(
    struct row_mapper *mapper, const struct csv_row *header, struct buf *message);

/* Maps a row, or rejects it (error: what csv_read() said of it). line: of its start, 1-based.
 * count_only: the row was done by an earlier import. JSON_INPUT_PADDING bytes behind the row must
 * be readable: it is parsed where it stands. Errors: ERR_NO_MEMORY. */
MUST_CHECK int row_mapper_take(struct row_mapper *mapper, const struct csv_row *row, int error,
    int64_t line, bool count_only, struct row_output *output);
