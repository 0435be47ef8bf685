/*
 * What a database says, whatever the order in which it came to say it: tables without the columns
 * that data_dictionary marks arrival_only, rows sorted by their keys.
 *
 * Two databases made from the same set of events have the same digest and the same dump.
 */
#pragma once

#include <sqlite3.h>
#include <stdio.h>

#include "schemas/bytes.h"

#define DIGEST_SIZE 32
#define DIGEST_TABLES_MAX 16

struct digest_table {
    const char *name; /* static */
    int64_t rows;
    uint8_t sha256[DIGEST_SIZE];
};

struct digest {
    struct digest_table tables[DIGEST_TABLES_MAX]; /* by name */
    size_t tables_count;
    uint8_t sha256[DIGEST_SIZE]; /* of the tables' names and digests */
};

/* Digests all tables as of one moment. Memory: one row. Errors: as database_error(); ERR_STATE for
 * a database without its dictionary. Threads: the connection's. */
MUST_CHECK int digest_make(sqlite3 *db, struct digest *out);

/* ---- for who compares row by row ---- */

/* The tables by index, in the order of their names. Threads: any. */
size_t digest_tables(void);
const char *digest_table_name(size_t table);
/* Rows by their keys, ascending as SQLite compares: *key_columns columns of the key, then those
 * that the digest is of. The caller finalizes. Errors: as digest_make(). */
MUST_CHECK int digest_select(sqlite3 *db, size_t table, sqlite3_stmt **out, int *key_columns);
/* A column of the row as digest_dump() writes it; null. Errors: ERR_NO_MEMORY. */
MUST_CHECK int digest_value_text(struct buf *out, sqlite3_stmt *row, int column);

/* Writes the rows as JSON lines, {"table":"event","event_key":"ab..",...}: keys and other blobs as
 * hex, text that is not UTF-8 as {"hex":".."}, NULLs left out. table NULL: all. Memory: one row.
 * Errors: as digest_make(); ERR_NOT_FOUND (no such table), ERR_IO (writing). */
MUST_CHECK int digest_dump(sqlite3 *db, const char *table, FILE *out);
