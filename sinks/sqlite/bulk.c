/*
 * A table-valued function over the rows in memory. It is known to its connection only and named in
 * no schema; the rows come by a pointer that is bound, so SQL from outside cannot reach them.
 */
#include "sinks/sqlite/bulk.h"

#include <stdlib.h>

#include "schemas/arena.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"

#define POINTER_TYPE "tabiji_bulk"

struct bulk {
    sqlite3 *db;
    const char *sql;
    sqlite3_stmt *insert; /* prepared when first used */
    size_t columns;
    size_t count;
    struct bulk_cell *cells; /* BULK_ROWS_MAX rows of them */
    struct arena arena;      /* what bulk_keep() copied */
};

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    const struct bulk *bulk;
    size_t at;
};

static int connect_table(sqlite3 *db, void *context, int count, const char *const *arguments,
    sqlite3_vtab **out, char **error)
{
    (void)context, (void)count, (void)arguments, (void)error;
    int code = sqlite3_declare_vtab(
        db, "CREATE TABLE x(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, rows HIDDEN)");
    if (code != SQLITE_OK)
        return code;
    *out = sqlite3_malloc(sizeof **out);
    if (!*out)
        return SQLITE_NOMEM;
    memset(*out, 0, sizeof **out);
    (void)sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}

/* Only with the pointer is there anything to read. */
static int choose(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != BULK_COLUMNS_MAX || !info->aConstraint[i].usable ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedCost = BULK_ROWS_MAX;
        info->estimatedRows = BULK_ROWS_MAX;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    (void)table;
    struct cursor *cursor = sqlite3_malloc(sizeof *cursor);
    if (!cursor)
        return SQLITE_NOMEM;
    *cursor = (struct cursor){0};
    *out = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

static int begin_rows(
    sqlite3_vtab_cursor *base, int number, const char *text, int count, sqlite3_value **arguments)
{
    struct cursor *cursor = (struct cursor *)base;
    (void)number, (void)text;
    cursor->bulk = count == 1 ? sqlite3_value_pointer(arguments[0], POINTER_TYPE) : NULL;
    cursor->at = 0;
    return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *base)
{
    ((struct cursor *)base)->at++;
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
    const struct cursor *cursor = (const struct cursor *)base;
    return !cursor->bulk || cursor->at >= cursor->bulk->count;
}

static int show_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    const struct cursor *cursor = (const struct cursor *)base;
    const struct bulk *bulk = cursor->bulk;
    if (index < 0 || (size_t)index >= bulk->columns)
        return SQLITE_OK;
    const struct bulk_cell *cell = &bulk->cells[cursor->at * bulk->columns + (size_t)index];
    const char *data = cell->type >= BULK_TEXT && cell->data ? cell->data : "";
    switch (cell->type) {
    case BULK_NULL:
        break;
    case BULK_INTEGER:
        sqlite3_result_int64(context, cell->integer);
        break;
    case BULK_REAL:
        sqlite3_result_double(context, cell->real);
        break;
    case BULK_TEXT:
        sqlite3_result_text64(context, data, cell->size, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case BULK_BLOB:
        sqlite3_result_blob64(context, data, cell->size, SQLITE_STATIC);
        break;
    }
    return SQLITE_OK;
}

static int show_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)((const struct cursor *)base)->at;
    return SQLITE_OK;
}

/* Without xCreate it is no table that SQL could make. */
static const sqlite3_module module = {
    .xConnect = connect_table,
    .xBestIndex = choose,
    .xDisconnect = disconnect_table,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = begin_rows,
    .xNext = next_row,
    .xEof = at_end,
    .xColumn = show_column,
    .xRowid = show_rowid,
};

int bulk_register(sqlite3 *db)
{
    return database_error(sqlite3_create_module_v2(db, "bulk_rows", &module, NULL, NULL));
}

int bulk_open(struct bulk **out, sqlite3 *db, const char *sql, size_t columns)
{
    check(columns <= BULK_COLUMNS_MAX);
    struct bulk *bulk = calloc(1, sizeof *bulk);
    if (!bulk)
        return ERR_NO_MEMORY;
    *bulk = (struct bulk){.db = db, .sql = sql, .columns = columns};
    bulk->cells = malloc(BULK_ROWS_MAX * columns * sizeof *bulk->cells);
    if (!bulk->cells) {
        free(bulk);
        return ERR_NO_MEMORY;
    }
    *out = bulk;
    return 0;
}

void bulk_close(struct bulk **out)
{
    struct bulk *bulk = *out;
    if (!bulk)
        return;
    sqlite3_finalize(bulk->insert);
    arena_free(&bulk->arena);
    free(bulk->cells);
    free(bulk);
    *out = NULL;
}

int bulk_row(struct bulk *bulk, struct bulk_cell **row)
{
    int r = bulk->count == BULK_ROWS_MAX ? bulk_flush(bulk) : 0;
    if (r < 0)
        return r;
    *row = &bulk->cells[bulk->count++ * bulk->columns];
    memset(*row, 0, bulk->columns * sizeof **row);
    return 0;
}

int bulk_keep(struct bulk *bulk, struct str bytes, struct str *out)
{
    return arena_dup(&bulk->arena, bytes, out);
}

const struct bulk_cell *bulk_last(const struct bulk *bulk)
{
    return bulk->count ? &bulk->cells[(bulk->count - 1) * bulk->columns] : NULL;
}

void bulk_forget(struct bulk *bulk)
{
    bulk->count = 0;
    arena_reset(&bulk->arena);
}

static int prepare(struct bulk *bulk)
{
    int r = database_prepare(bulk->db, bulk->sql, &bulk->insert);
    return r < 0 ? r
                 : database_error(sqlite3_bind_pointer(bulk->insert, 1, bulk, POINTER_TYPE, NULL));
}

int bulk_flush(struct bulk *bulk)
{
    if (!bulk->count)
        return 0;
    int r = bulk->insert ? 0 : prepare(bulk);
    if (r == 0) {
        int code = sqlite3_step(bulk->insert);
        int reset = sqlite3_reset(bulk->insert);
        r = database_error(code == SQLITE_DONE ? reset : code);
    }
    bulk_forget(bulk);
    return r;
}
