/*
 * The statements and scratch memory that turn results into rows; what sqlite_sink.c hands to the
 * rows of each kind. Used by one thread, within a transaction that the sink opens and ends.
 */
#pragma once

#include <sqlite3.h>

#include "ingest/stream/stream.h"
#include "schemas/arena.h"
#include "schemas/event.h"
#include "sinks/sqlite/bulk.h"

/* X(symbol, SQL): prepared when first used. */
enum statement {
#define X(symbol, sql) STATEMENT_##symbol,
#include "sinks/sqlite/statement.def"
#undef X
    STATEMENT_COUNT,
};

/* X(symbol, columns, SQL): opened when first used. */
enum writer_bulk {
#define X(symbol, columns, sql) BULK_##symbol,
#include "sinks/sqlite/bulk.def"
#undef X
    BULK_COUNT,
};

struct writer {
    sqlite3 *db;
    const struct namespace_table *namespaces;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct bulk *bulks[BULK_COUNT];
    struct arena arena;     /* one decoded record */
    struct buf text;        /* JSON and channel lists of one row */
    struct buf scratch;     /* order of a batch */
    struct buf links;       /* pairs of a batch that are not written yet */
    char currencies[16][4]; /* known to be in the table already */
    size_t currencies_count;
    int64_t credit_next;      /* row that the next credit gets; 0: to be asked for */
    uint64_t *rejected_count; /* of the sink */
    uint64_t *refused_count;  /* likewise */
    bool any_aside;           /* sink_rejected may hold rows */
    bool links_indexed;       /* WRITER_LINK_INDEX is there */
};

/* Touchpoints of a batch are written in the order of so many first bytes of their event keys. */
#define KEY_ORDER_SIZE 8

/* Made when nobody waits, or when the first event loses its links. */
#define WRITER_LINK_INDEX "CREATE INDEX IF NOT EXISTS event_link_event ON event_link (event_key)"

/* Finalises all statements and frees the scratch memory. The connection stays open. */
void writer_fini(struct writer *writer);

/* A statement ready to be bound: reset, all parameters NULL. Errors as database_error(). */
MUST_CHECK int writer_statement(struct writer *writer, enum statement which, sqlite3_stmt **out);

/* What gathers rows of a table. Errors: ERR_NO_MEMORY. */
MUST_CHECK int writer_bulk(struct writer *writer, enum writer_bulk which, struct bulk **out);

/* Writes what was gathered; nothing, where nothing was. Errors as database_error(). */
MUST_CHECK int writer_bulk_flush(struct writer *writer, enum writer_bulk which);

/* Forgets what was gathered but not written: the transaction was rolled back. */
void writer_forget(struct writer *writer);

/* Steps a statement that returns no rows, then resets it. Errors as database_error(). */
MUST_CHECK int writer_step(struct writer *writer, sqlite3_stmt *statement);

/* Notes a currency in its table, so that views know its minor units. Unknown codes are taken as
 * without minor units, as money_format() does. Empty: nothing. Errors as database_error(). */
MUST_CHECK int writer_currency(struct writer *writer, struct str currency);

/* Removes what was set aside under a result's key, as the result was read now. */
MUST_CHECK int writer_take_back(struct writer *writer, const struct result *result);

/* Keeps a result that cannot be read in sink_rejected. Errors as database_error(). */
MUST_CHECK int writer_set_aside(struct writer *writer, const struct result *result, int error);

/* All results of TOPIC_TOUCHPOINTS in a batch: event, touch, timeline. A result that cannot be
 * read is set aside. Errors as database_error(), ERR_NO_MEMORY. */
MUST_CHECK int writer_touchpoints(
    struct writer *writer, const struct result *results, size_t count);

/* Pairs of identifiers that an event shows, gathered until they are flushed; taking them back, for
 * which those of the event, if it is the last that showed any, are flushed first. Errors as
 * database_error(), ERR_NO_MEMORY. */
MUST_CHECK int writer_links(struct writer *writer, const struct touchpoint *event);
MUST_CHECK int writer_links_flush(struct writer *writer);
MUST_CHECK int writer_links_delete(struct writer *writer, struct str event_key);

/* One result of another topic. Errors: REJECT class when it cannot be read (nothing is then
 * written); as database_error(), ERR_NO_MEMORY. */
MUST_CHECK int writer_session(struct writer *writer, const struct result *result);
MUST_CHECK int writer_conversion(struct writer *writer, const struct result *result);
MUST_CHECK int writer_profile(struct writer *writer, const struct result *result);
MUST_CHECK int writer_identifier(struct writer *writer, const struct result *result);
MUST_CHECK int writer_model_count(struct writer *writer, const struct result *result);
MUST_CHECK int writer_rejected(struct writer *writer, const struct result *result);
