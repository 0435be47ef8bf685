/*
 * Opens tabiji.db and makes it what schema.sql, views.sql and dictionary.def say.
 *
 * Invariants:
 * 1. A file has either all tables, views and the dictionary with its version, or nothing: they are
 *    made in one transaction.
 * 2. Nothing is changed in a file that is not ours or has another version.
 * 3. Views hold nothing: those that another build of the version has made otherwise, or not yet,
 *    are made anew by the first writer. Views of others stay.
 */
#include "sinks/sqlite/database.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "schemas/error.h"
#include "sinks/sqlite/bulk.h"
#include "sinks/sqlite/model_list.h"

#define CACHE_KIB_DEFAULT (128 << 10)
#define LOAD_CACHE_KIB_DEFAULT (384 << 10) /* what a million events keep coming back to */
#define PAGE_SIZE_DEFAULT 16384
#define BUSY_TIMEOUT_MS_DEFAULT 5000
#define PRAGMA_SIZE_MAX 512
#define TEXT_SIZE_MAX 512 /* of a description that is made here */

/* Generated from schema.sql and views.sql. */
extern const char sinks_sqlite_schema[];
extern const char sinks_sqlite_views[];

struct description {
    const char *table;
    const char *column;
    int arrival_only;
    const char *english;
    const char *japanese;
};

static const struct description descriptions[] = {
#define X(table, column, arrival_only, english, japanese)                                          \
    {table, column, arrival_only, english, japanese},
#include "sinks/sqlite/dictionary.def"
#undef X
};

int database_error(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_AGAIN;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
        return ERR_STATE;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    default:
        return ERR_DATABASE;
    }
}

int database_run(sqlite3 *db, const char *sql)
{
    return database_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int database_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return database_error(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL));
}

void database_close(sqlite3 **db)
{
    if (!*db)
        return;
    check(sqlite3_close(*db) == SQLITE_OK);
    *db = NULL;
}

static int read_integer(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int r = database_error(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? ERR_STATE : database_error(code);
}

/* The row of dictionary.def for a column, or for a table where column is empty. */
static const struct description *describe(const char *table, const char *column)
{
    const struct description *general = NULL;
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]); i++) {
        if (strcmp(descriptions[i].column, column) != 0)
            continue;
        if (strcmp(descriptions[i].table, table) == 0)
            return &descriptions[i];
        if (strcmp(descriptions[i].table, "*") == 0 && *column)
            general = &descriptions[i];
    }
    return general;
}

/* "NAME_revenue" of a model that only the configuration knows; "NAME_revenue_minor" of all. */
static bool describe_model(const char *column, char english[TEXT_SIZE_MAX],
    char japanese[TEXT_SIZE_MAX], struct description *out)
{
    static const char *const figures[][3] = {{"_conversions", "Conversions", "コンバージョン数"},
        {"_revenue", "Revenue net of refunds, unrounded,", "売上(返金控除後、丸めなし)"},
        {"_revenue_minor", "Revenue net of refunds in whole minor units, which sum,",
            "売上(返金控除後、最小単位、合計が一致)"}};
    size_t size = strlen(column);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        size_t tail = strlen(figures[i][0]);
        if (size <= tail || strcmp(column + size - tail, figures[i][0]) != 0)
            continue;
        int name = (int)(size - tail);
        (void)snprintf(english, TEXT_SIZE_MAX,
            "%s by the model %.*s of the configuration (table model).", figures[i][1], name,
            column);
        (void)snprintf(japanese, TEXT_SIZE_MAX, "設定のモデル%.*s(表model)による%s。", name, column,
            figures[i][2]);
        *out = (struct description){"v_model_comparison", column, 1, english, japanese};
        return true;
    }
    return false;
}

static int insert_description(sqlite3_stmt *insert, const char *table, const char *column)
{
    char english[TEXT_SIZE_MAX], japanese[TEXT_SIZE_MAX];
    struct description made;
    const struct description *found = describe(table, column);
    if (!found && strcmp(table, "v_model_comparison") == 0 &&
        describe_model(column, english, japanese, &made))
        found = &made;
    if (!found)
        return ERR_INTERNAL; /* a column without a row in dictionary.def: the tests hold it */
    sqlite3_bind_text(insert, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, column, -1, SQLITE_STATIC);
    sqlite3_bind_int(insert, 3, found->arrival_only);
    sqlite3_bind_text(insert, 4, found->english, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 5, found->japanese, -1, SQLITE_STATIC);
    int r = database_error(sqlite3_step(insert));
    sqlite3_reset(insert);
    return r;
}

/* Describes what the file really has, so that no table or column can be forgotten. table: of all,
 * or "%". */
static int fill_dictionary(sqlite3 *db, const char *table)
{
    sqlite3_stmt *list = NULL;
    sqlite3_stmt *insert = NULL;
    int r = database_prepare(db,
        "SELECT s.name, '' FROM sqlite_schema AS s WHERE s.type IN ('table', 'view') "
        "AND s.name NOT LIKE 'sqlite_%' AND s.name LIKE ?1 UNION ALL "
        "SELECT s.name, c.name FROM sqlite_schema AS s JOIN pragma_table_xinfo(s.name) AS c "
        "WHERE s.type IN ('table', 'view') AND s.name NOT LIKE 'sqlite_%' AND s.name LIKE ?1",
        &list);
    if (r == 0)
        r = database_prepare(
            db, "INSERT OR REPLACE INTO data_dictionary VALUES (?1, ?2, ?3, ?4, ?5)", &insert);
    int code = SQLITE_ROW;
    if (r == 0)
        bind_text(list, 1, str_of(table));
    while (r == 0 && (code = sqlite3_step(list)) == SQLITE_ROW)
        r = insert_description(insert, (const char *)sqlite3_column_text(list, 0),
            (const char *)sqlite3_column_text(list, 1));
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(list);
    sqlite3_finalize(insert);
    return r;
}

int database_describe(sqlite3 *db, const char *table)
{
    sqlite3_stmt *forget = NULL;
    int r = database_prepare(db, "DELETE FROM data_dictionary WHERE table_name = ?1", &forget);
    if (r < 0)
        return r;
    bind_text(forget, 1, str_of(table));
    r = database_error(sqlite3_step(forget));
    sqlite3_finalize(forget);
    return r < 0 ? r : fill_dictionary(db, table);
}

static int create(sqlite3 *db)
{
    char identify[PRAGMA_SIZE_MAX];
    snprintf(identify, sizeof(identify),
        "PRAGMA application_id = %d; PRAGMA user_version = %d;"
        "INSERT INTO meta VALUES ('schema_version', '%d'), ('synced', '0');",
        DATABASE_APPLICATION_ID, DATABASE_VERSION, DATABASE_VERSION);
    int r = database_run(db, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    r = database_run(db, sinks_sqlite_schema);
    if (r == 0)
        r = database_run(db, sinks_sqlite_views);
    if (r == 0)
        r = model_list_save(db, NULL, 0);
    if (r == 0)
        r = fill_dictionary(db, "%");
    if (r == 0)
        r = database_run(db, identify);
    if (r == 0)
        r = database_run(db, "COMMIT");
    if (r < 0)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* 0: ours, of this version; 1: an empty file. */
static int inspect(sqlite3 *db)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;
    int r = read_integer(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = read_integer(db, "PRAGMA user_version", &version);
    if (r == 0)
        r = read_integer(db, "SELECT count(*) FROM sqlite_schema", &objects);
    if (r < 0)
        return r;
    if (application == DATABASE_APPLICATION_ID && version == DATABASE_VERSION)
        return 0;
    return application == 0 && version == 0 && objects == 0 ? 1 : ERR_STATE;
}

static int configure_writer(sqlite3 *db, const struct database_options *options)
{
    char pragmas[PRAGMA_SIZE_MAX];
    int cache_kib = options->cache_kib ? options->cache_kib : CACHE_KIB_DEFAULT;
    if (options->unlogged) {
        snprintf(pragmas, sizeof(pragmas),
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY;"
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY;",
            options->cache_kib ? options->cache_kib : LOAD_CACHE_KIB_DEFAULT);
        return database_run(db, pragmas);
    }
    int wal_pages = options->wal_pages ? options->wal_pages : DATABASE_WAL_PAGES_DEFAULT;
    snprintf(pragmas, sizeof(pragmas),
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -%d;"
        "PRAGMA wal_autocheckpoint = %d; PRAGMA temp_store = MEMORY;"
        "PRAGMA journal_size_limit = %lld;",
        cache_kib, wal_pages, (long long)wal_pages * PAGE_SIZE_DEFAULT);
    return database_run(db, pragmas);
}

/* Counting its memory costs SQLite a lock for each allocation, and nobody asks for the count. */
static void configure_library(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_with(sqlite3 **out, const char *path, int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sqlite3 *db = NULL;
    (void)pthread_once(&once, configure_library);
    int code =
        sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        sqlite3_close(db);
        return db ? database_error(code) : ERR_NO_MEMORY;
    }
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    *out = db;
    return 0;
}

/* ---- views of another build ---- */

/* Whether the file has the view, made by these words: 1 or 0. */
static int has_view(sqlite3_stmt *find, struct str name, struct str wanted)
{
    bind_text(find, 1, name);
    bind_text(find, 2, wanted);
    int code = sqlite3_step(find);
    sqlite3_reset(find);
    return code == SQLITE_ROW ? 1 : database_error(code);
}

static int make_view(sqlite3 *db, const char *name, const char *sql)
{
    char drop[PRAGMA_SIZE_MAX];
    (void)snprintf(drop, sizeof drop, "DROP VIEW IF EXISTS %s", name);
    int r = database_run(db, drop);
    if (r == 0)
        r = database_run(db, sql);
    return r < 0 ? r : database_describe(db, name);
}

/* list: name, sql of each view as this build has it. Returns how many the file had not so; with
 * `make` they are made. */
static int compare_views(sqlite3 *db, sqlite3_stmt *list, bool make)
{
    sqlite3_stmt *find = NULL;
    int stale = 0;
    int code = SQLITE_ROW;
    int r = database_prepare(
        db, "SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = ?1 AND sql = ?2", &find);
    while (r == 0 && (code = sqlite3_step(list)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(list, 0);
        const char *sql = (const char *)sqlite3_column_text(list, 1);
        r = has_view(find, str_of(name), str_of(sql));
        stale += r == 0;
        if (r == 0 && make)
            r = make_view(db, name, sql);
        else if (r > 0)
            r = 0;
    }
    sqlite3_finalize(find);
    sqlite3_reset(list);
    if (r == 0)
        r = database_error(code);
    return r < 0 ? r : stale;
}

static int renew(sqlite3 *db, sqlite3_stmt *list)
{
    int r = compare_views(db, list, false);
    if (r <= 0)
        return r;
    r = database_run(db, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    r = compare_views(db, list, true);
    if (r >= 0)
        r = database_run(db, "COMMIT");
    if (r < 0)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* Invariant 3. A database in memory tells how SQLite keeps the text of each view. */
static int renew_views(sqlite3 *db)
{
    sqlite3 *model = NULL;
    sqlite3_stmt *list = NULL;
    int r = open_with(&model, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (r == 0)
        r = database_run(model, sinks_sqlite_schema);
    if (r == 0)
        r = database_run(model, sinks_sqlite_views);
    if (r == 0)
        r = database_prepare(
            model, "SELECT name, sql FROM sqlite_schema WHERE type = 'view'", &list);
    if (r == 0)
        r = renew(db, list);
    sqlite3_finalize(list);
    database_close(&model);
    return r;
}

/* Writer's set-up of an open connection. The page size must be said before anything is written. */
static int prepare_writer(sqlite3 *db, const struct database_options *options)
{
    char page_size[PRAGMA_SIZE_MAX];
    snprintf(page_size, sizeof(page_size), "PRAGMA page_size = %d",
        options->page_size ? options->page_size : PAGE_SIZE_DEFAULT);
    sqlite3_busy_timeout(
        db, options->busy_timeout_ms ? options->busy_timeout_ms : BUSY_TIMEOUT_MS_DEFAULT);
    int empty = inspect(db);
    if (empty < 0)
        return empty;
    int r = empty ? database_run(db, page_size) : 0;
    if (r == 0)
        r = configure_writer(db, options);
    if (r == 0)
        r = bulk_register(db);
    if (r < 0)
        return r;
    return empty ? create(db) : renew_views(db);
}

int database_open(sqlite3 **out, const char *path, const struct database_options *options)
{
    static const struct database_options defaults = {0};
    sqlite3 *db = NULL;
    int r = open_with(&db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (r == 0)
        r = prepare_writer(db, options ? options : &defaults);
    if (r < 0) {
        database_close(&db);
        return r;
    }
    *out = db;
    return 0;
}

int database_open_reader(sqlite3 **out, const char *path)
{
    sqlite3 *db = NULL;
    if (access(path, F_OK) != 0)
        return ERR_NOT_FOUND;
    int r = open_with(&db, path, SQLITE_OPEN_READONLY);
    if (r < 0)
        return r;
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS_DEFAULT);
    r = inspect(db);
    if (r == 0)
        r = database_run(db, "PRAGMA query_only = ON");
    if (r != 0) {
        database_close(&db);
        return r < 0 ? r : ERR_STATE;
    }
    *out = db;
    return 0;
}
