/*
 * Rows of one table, gathered, then written by one statement that reads them as a table:
 *
 *     INSERT INTO timeline SELECT c0, c1, c2, c3 FROM bulk_rows(?1)
 *
 * What SQLite does once a statement (locks, cursors, the way down from the root of a tree whose
 * last row was just written) is so done once for many rows. Used by one thread, within a
 * transaction that the caller opens and ends; after an error it must be rolled back.
 */
#pragma once

#include <sqlite3.h>

#include "schemas/bytes.h"

#define BULK_COLUMNS_MAX 12
#define BULK_ROWS_MAX 1024 /* then they are written without being asked */

/* A value; {0} is NULL. Its bytes stay the caller's until the row is written, see bulk_keep(). */
struct bulk_cell {
    enum bulk_type { BULK_NULL, BULK_INTEGER, BULK_REAL, BULK_TEXT, BULK_BLOB } type;
    uint32_t size;
    union {
        int64_t integer;
        double real;
        const char *data;
    };
};

struct bulk;

/* Makes bulk_rows known to a connection, once. Errors: as database_error(). */
MUST_CHECK int bulk_register(sqlite3 *db);

/* sql: as above, with `columns` of c0, c1, ...; outlives the bulk. Errors: ERR_NO_MEMORY. */
MUST_CHECK int bulk_open(struct bulk **out, sqlite3 *db, const char *sql, size_t columns);

/* Forgets what was not written, frees. Accepts NULL inside, leaves NULL. */
void bulk_close(struct bulk **bulk);

/* A row more, all NULL, to be filled before the next call. Errors: as bulk_flush(). */
MUST_CHECK int bulk_row(struct bulk *bulk, struct bulk_cell **row);

/* Copies bytes, for a cell of the row that bulk_row() gave last. Errors: ERR_NO_MEMORY. */
MUST_CHECK int bulk_keep(struct bulk *bulk, struct str bytes, struct str *out);

/* The newest row that is not written yet; NULL: none. */
const struct bulk_cell *bulk_last(const struct bulk *bulk);

/* Writes what was gathered, in its order. Errors: as database_error(). */
MUST_CHECK int bulk_flush(struct bulk *bulk);

/* Forgets what was not written. */
void bulk_forget(struct bulk *bulk);

static inline struct bulk_cell bulk_integer(int64_t value)
{
    return (struct bulk_cell){.type = BULK_INTEGER, .integer = value};
}

static inline struct bulk_cell bulk_real(double value)
{
    return (struct bulk_cell){.type = BULK_REAL, .real = value};
}

static inline struct bulk_cell bulk_text(struct str text)
{
    return (struct bulk_cell){.type = BULK_TEXT, .size = (uint32_t)text.size, .data = text.data};
}

static inline struct bulk_cell bulk_text_or_null(struct str text)
{
    return text.size ? bulk_text(text) : (struct bulk_cell){0};
}

static inline struct bulk_cell bulk_blob(struct str bytes)
{
    return (struct bulk_cell){.type = BULK_BLOB, .size = (uint32_t)bytes.size, .data = bytes.data};
}
