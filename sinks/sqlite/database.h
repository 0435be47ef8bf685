/*
 * tabiji.db as a file: opening it to write or to read, its tables and views, its version, and what
 * SQLite's codes mean here.
 */
#pragma once

#include <sqlite3.h>

#include "ingest/normalise/namespace.h"
#include "schemas/bytes.h"

/* PRAGMA application_id ("tabi") and user_version: what tells this file from others. The version
 * rises with every change of a table that an older program could not read. */
#define DATABASE_APPLICATION_ID 0x74616269
#define DATABASE_VERSION 7

/* SQL for a sum of money that cannot fail: see views.sql. Exact wherever it fits an integer. */
#define DATABASE_SUM_MINOR(minor)                                                                  \
    "(sum(" minor " >> 32) * 4294967296 + sum(" minor " & 4294967295))"

#define DATABASE_WAL_PAGES_DEFAULT 16000

struct model;

struct database_options {
    int cache_kib;       /* page cache; 0: 128 MiB */
    int wal_pages;       /* checkpoint when the WAL has so many pages; 0: the default */
    int page_size;       /* of a new file; 0: 16 KiB */
    int busy_timeout_ms; /* wait for other connections; 0: 5 s */
    bool first_load;     /* sqlite_sink_open(): a file that is absent is loaded as loading.h says */
    /* Of event_link's keys, as the reducers have it; outlives the sink. NULL: the default. */
    const struct namespace_table *namespaces;
    /* sqlite_sink_open(): the models of the configuration, which outlive the sink; and whether
     * their credits of touches are kept too. NULL: none are known, table model is left alone. */
    const struct model *models;
    size_t models_count;
    bool touch_credit;
    bool solve_load; /* sqlite_sink_open(): a first load is seen with its models solved */
    bool unlogged;   /* database_open(): no WAL, no sync: a file that nobody has seen yet */
};

/*
 * Opens to write; creates the file, its tables, views and dictionary in one transaction when it is
 * absent or empty; views of another build of the version are made anew. WAL, synchronous = NORMAL:
 * a killed process loses no commit, a loss of power may lose the last ones but never tears one.
 * Errors: ERR_STATE (another program's file, an older or newer version, damaged), ERR_IO, ERR_AGAIN
 * (locked), ERR_NO_MEMORY. Threads: the connection is used by one thread.
 */
MUST_CHECK int database_open(
    sqlite3 **out, const char *path, const struct database_options *options);

/* Opens to read, also while another process writes. Errors: ERR_NOT_FOUND (no such file), and as
 * database_open(). */
MUST_CHECK int database_open_reader(sqlite3 **out, const char *path);

/* Closes; accepts NULL inside, leaves NULL. Statements must have been finalised. */
void database_close(sqlite3 **db);

/* The ERR_* for a SQLite result code (extended codes too); 0 for SQLITE_OK, _ROW and _DONE. */
int database_error(int code);

/* Runs statements without results. Errors as database_error(). */
MUST_CHECK int database_run(sqlite3 *db, const char *sql);

/* Prepares a statement that lives long. Errors as database_error(). */
MUST_CHECK int database_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out);

/* Makes data_dictionary describe a table or view anew as it is. Errors as database_error(),
 * ERR_INTERNAL (nothing describes a column). */
MUST_CHECK int database_describe(sqlite3 *db, const char *table);

/* Binds without copying: bytes must stay until the statement is stepped or bound anew. Text and
 * blobs without bytes are bound as NULL by the _or_null forms. Indexes count from 1. */
static inline void bind_text(sqlite3_stmt *statement, int index, struct str text)
{
    sqlite3_bind_text64(
        statement, index, text.data ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8);
}

static inline void bind_text_or_null(sqlite3_stmt *statement, int index, struct str text)
{
    if (text.size)
        sqlite3_bind_text64(statement, index, text.data, text.size, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(statement, index);
}

static inline void bind_blob(sqlite3_stmt *statement, int index, struct str bytes)
{
    sqlite3_bind_blob64(statement, index, bytes.data ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

static inline struct str column_text(sqlite3_stmt *statement, int index)
{
    const void *data = sqlite3_column_blob(statement, index);
    return str_make(data, (size_t)sqlite3_column_bytes(statement, index));
}
