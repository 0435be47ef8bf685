/*
 * Statements on demand, and the rows that are no kind of result.
 */
#include "sinks/sqlite/writer.h"

#include "schemas/error.h"
#include "schemas/money.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/spend.h"

#define CURRENCY_SIZE 3
#define CURRENCIES_KNOWN_MAX 16

static const char event_insert_sql[] = "INSERT INTO event (event_row"
#define X(symbol, column) ", " #column
#include "sinks/sqlite/event_column.def"
#undef X
                                       ") VALUES (NULL"
#define X(symbol, column) ", ?"
#include "sinks/sqlite/event_column.def"
#undef X
                                       ") ON CONFLICT (event_key) DO NOTHING";

static const char event_update_sql[] = "UPDATE event SET event_row = event_row"
#define X(symbol, column) ", " #column " = ?"
#include "sinks/sqlite/event_column.def"
#undef X
                                       " WHERE event_row = ?";

static const char *const statement_sql[STATEMENT_COUNT] = {
#define X(symbol, sql) [STATEMENT_##symbol] = sql,
#include "sinks/sqlite/statement.def"
#undef X
};

static const struct {
    size_t columns;
    const char *sql;
} bulk_sql[BULK_COUNT] = {
#define X(symbol, columns, sql) [BULK_##symbol] = {columns, sql},
#include "sinks/sqlite/bulk.def"
#undef X
};

void writer_fini(struct writer *writer)
{
    for (size_t i = 0; i < BULK_COUNT; i++)
        bulk_close(&writer->bulks[i]);
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(writer->statements[i]);
        writer->statements[i] = NULL;
    }
    arena_free(&writer->arena);
    buf_free(&writer->text);
    buf_free(&writer->scratch);
    buf_free(&writer->links);
}

int writer_bulk(struct writer *writer, enum writer_bulk which, struct bulk **out)
{
    int r = writer->bulks[which] ? 0
                                 : bulk_open(&writer->bulks[which], writer->db, bulk_sql[which].sql,
                                       bulk_sql[which].columns);
    if (r == 0)
        *out = writer->bulks[which];
    return r;
}

int writer_bulk_flush(struct writer *writer, enum writer_bulk which)
{
    return writer->bulks[which] ? bulk_flush(writer->bulks[which]) : 0;
}

void writer_forget(struct writer *writer)
{
    for (size_t i = 0; i < BULK_COUNT; i++)
        if (writer->bulks[i])
            bulk_forget(writer->bulks[i]);
    buf_clear(&writer->links);
}

int writer_statement(struct writer *writer, enum statement which, sqlite3_stmt **out)
{
    if (!writer->statements[which]) {
        int r = database_prepare(writer->db, statement_sql[which], &writer->statements[which]);
        if (r < 0)
            return r;
    }
    sqlite3_clear_bindings(writer->statements[which]);
    *out = writer->statements[which];
    return 0;
}

int writer_step(struct writer *writer, sqlite3_stmt *statement)
{
    (void)writer;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) /* RETURNING is not used here: a row is no error, but never comes */
        code = SQLITE_DONE;
    int reset = sqlite3_reset(statement);
    return database_error(code == SQLITE_DONE ? reset : code);
}

int writer_currency(struct writer *writer, struct str currency)
{
    if (!currency.size)
        return 0;
    for (size_t i = 0; currency.size == CURRENCY_SIZE && i < writer->currencies_count; i++)
        if (memcmp(writer->currencies[i], currency.data, CURRENCY_SIZE) == 0)
            return 0;
    int64_t minor_per_major = 1;
    int exponent = money_exponent(currency);
    for (int i = 0; i < exponent; i++)
        minor_per_major *= 10;
    sqlite3_stmt *insert;
    int r = writer_statement(writer, STATEMENT_CURRENCY, &insert);
    if (r < 0)
        return r;
    bind_text(insert, 1, currency);
    sqlite3_bind_int64(insert, 2, minor_per_major);
    r = writer_step(writer, insert);
    if (r == 0 && currency.size == CURRENCY_SIZE && writer->currencies_count < CURRENCIES_KNOWN_MAX)
        memcpy(writer->currencies[writer->currencies_count++], currency.data, CURRENCY_SIZE);
    return r;
}

int writer_set_aside(struct writer *writer, const struct result *result, int error)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_SET_ASIDE, &put);
    if (r < 0)
        return r;
    bind_text(put, 1, str_of(topic_name(result->topic)));
    bind_blob(put, 2, result->key);
    bind_text(put, 3, str_of(error_name(error)));
    bind_blob(put, 4, result->value);
    r = writer_step(writer, put);
    if (r < 0)
        return r;
    writer->any_aside = true;
    ++*writer->rejected_count;
    return 0;
}

int writer_take_back(struct writer *writer, const struct result *result)
{
    sqlite3_stmt *take;
    if (!writer->any_aside)
        return 0;
    int r = writer_statement(writer, STATEMENT_TAKE_BACK, &take);
    if (r < 0)
        return r;
    bind_text(take, 1, str_of(topic_name(result->topic)));
    bind_blob(take, 2, result->key);
    return writer_step(writer, take);
}
