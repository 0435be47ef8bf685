/*
 * One connection, one transaction at a time.
 *
 * Invariants:
 * 1. Rows and positions reach the file in the same transaction, or neither does.
 * 2. After an error nothing is open: the file stands where the last commit left it.
 * 3. While it is loaded, all that was committed is one transaction of a file that nobody sees;
 * after an error nothing of it remains, and what follows is written in the ordinary way.
 */
#include "sinks/sqlite/sqlite_sink.h"

#include <stdlib.h>
#include <time.h>

#include "schemas/error.h"
#include "sinks/sqlite/loading.h"
#include "sinks/sqlite/model_credits.h"
#include "sinks/sqlite/model_list.h"
#include "sinks/sqlite/model_table.h"
#include "sinks/sqlite/writer.h"

#define SETTLED_WAL_PAGES_MAX 256 /* a log longer than this is moved when nobody waits */
#define POSITIONS_MAX 4096        /* topics times partitions of one reader */
#define LOADING_SYNCS_MAX 120 /* a load that never comes to rest is published then (10 minutes) */

struct sqlite_sink {
    struct sink base;
    sqlite3 *db;
    struct writer writer;
    struct database_options options;
    struct loading loading;
    bool is_loading;
    int loading_syncs;
    bool open;                      /* a transaction is */
    bool indexed;                   /* settle() has made its index */
    bool counts_changed;            /* of models, since solve() */
    int wal_pages;                  /* in the log after the last commit */
    int wal_pages_max;              /* then it is moved at once */
    struct result_position *stored; /* what positions() returned */
    size_t pending_count;
    struct result_position *pending; /* to be written by commit() */
};

static struct sqlite_sink *self(struct sink *sink)
{
    return (struct sqlite_sink *)(void *)sink;
}

/* Called with each commit, instead of what wal_autocheckpoint does: the same, but it counts. */
static int note_wal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_sink *sqlite = context;
    sqlite->wal_pages = pages;
    if (pages < sqlite->wal_pages_max)
        return SQLITE_OK;
    sqlite->wal_pages = 0;
    int code = sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return (code & 0xff) == SQLITE_BUSY ? SQLITE_OK : code;
}

/* Opens the file at `path`, or its forerunner. */
static int open_database(struct sqlite_sink *sqlite, const char *path, bool unlogged)
{
    struct database_options options = sqlite->options;
    options.unlogged = unlogged;
    int r = database_open(&sqlite->db, path, &options);
    if (r < 0)
        return r;
    sqlite->writer.db = sqlite->db;
    sqlite3_wal_hook(sqlite->db, note_wal, sqlite);
    return 0;
}

static void forget_noted(struct sqlite_sink *sqlite)
{
    sqlite->open = false;
    sqlite->pending_count = 0;
    writer_forget(&sqlite->writer);
    sqlite->writer.currencies_count = 0;
    sqlite->writer.credit_next = 0;
    sqlite->writer.links_indexed = false;
}

static void close_database(struct sqlite_sink *sqlite)
{
    writer_fini(&sqlite->writer);
    database_close(&sqlite->db);
    sqlite->writer.db = NULL;
}

/* Ends a load; what it wrote is dropped unless it was published. The ordinary file is open then,
 * or, after an error, none. */
static int end_loading(struct sqlite_sink *sqlite)
{
    char *path = sqlite->loading.path;
    close_database(sqlite);
    int r = open_database(sqlite, path, false);
    loading_end(&sqlite->loading);
    sqlite->is_loading = false;
    forget_noted(sqlite);
    return r;
}

static int roll_back(struct sqlite_sink *sqlite, int error)
{
    if (sqlite->is_loading) {
        int r = end_loading(sqlite);
        return r < 0 ? r : error;
    }
    if (sqlite->open && !sqlite3_get_autocommit(sqlite->db))
        sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
    forget_noted(sqlite); /* what was noted is gone */
    return error;
}

static int read_positions(sqlite3_stmt *select, struct result_position *out, size_t *count)
{
    int code;
    size_t found = 0;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        struct str topic = column_text(select, 0);
        if (found == POSITIONS_MAX || topic.size >= sizeof(out->topic))
            return ERR_STATE;
        out[found] = (struct result_position){
            .partition = sqlite3_column_int(select, 1), .next = sqlite3_column_int64(select, 2)};
        memcpy(out[found].topic, topic.data, topic.size);
        found++;
    }
    if (code == SQLITE_DONE)
        *count = found;
    return database_error(code);
}

static int positions(struct sink *sink, const struct result_position **out, size_t *count)
{
    struct sqlite_sink *sqlite = self(sink);
    sqlite3_stmt *select = NULL;
    check(!sqlite->open || sqlite->is_loading);
    int r = database_prepare(sqlite->db,
        "SELECT topic, partition, next FROM sink_position ORDER BY topic, partition", &select);
    if (r == 0)
        r = read_positions(select, sqlite->stored, count);
    sqlite3_finalize(select);
    if (r == 0)
        *out = sqlite->stored;
    return r;
}

static int note_positions(struct sqlite_sink *sqlite, const struct result_batch *batch)
{
    for (size_t i = 0; i < batch->positions_count; i++) {
        const struct result_position *position = &batch->positions[i];
        size_t at = 0;
        while (at < sqlite->pending_count &&
               (sqlite->pending[at].partition != position->partition ||
                   strcmp(sqlite->pending[at].topic, position->topic) != 0))
            at++;
        if (at == POSITIONS_MAX)
            return ERR_FULL;
        sqlite->pending[at] = *position;
        if (at == sqlite->pending_count)
            sqlite->pending_count++;
    }
    return 0;
}

static int apply_result(struct writer *writer, const struct result *result)
{
    switch (result->topic) {
    case TOPIC_SESSIONS:
        return writer_session(writer, result);
    case TOPIC_CONVERSIONS:
        return writer_conversion(writer, result);
    case TOPIC_PROFILES:
        return writer_profile(writer, result);
    case TOPIC_PERSONS:
        return writer_identifier(writer, result);
    case TOPIC_REJECTED:
        return writer_rejected(writer, result);
    case TOPIC_MODELS:
        return writer_model_count(writer, result);
    default:
        return ERR_UNSUPPORTED;
    }
}

static int apply_results(struct writer *writer, const struct result_batch *batch)
{
    int r = writer_touchpoints(writer, batch->results, batch->results_count);
    for (size_t i = 0; r == 0 && i < batch->results_count; i++) {
        const struct result *result = &batch->results[i];
        if (result->topic == TOPIC_TOUCHPOINTS)
            continue;
        arena_reset(&writer->arena);
        r = apply_result(writer, result);
        if (r == 0)
            r = writer_take_back(writer, result);
        else if (error_class(r) == ERROR_CLASS_REJECT)
            r = writer_set_aside(writer, result, r);
    }
    return r;
}

/* Makes table model say what the configuration does. only_new: where it says nothing yet. */
static int list_models(struct sqlite_sink *sqlite, bool only_new)
{
    const struct database_options *options = &sqlite->options;
    bool is = false, empty = false;
    if (!options->models)
        return 0;
    int r = model_list_is(sqlite->db, options->models, options->models_count, &is, &empty);
    if (r < 0 || is || (only_new && !empty))
        return r;
    bool alone = sqlite3_get_autocommit(sqlite->db);
    r = alone ? database_run(sqlite->db, "BEGIN IMMEDIATE") : 0;
    if (r == 0)
        r = model_list_save(sqlite->db, options->models, options->models_count);
    if (r == 0 && alone)
        r = database_run(sqlite->db, "COMMIT");
    if (r < 0 && alone && !sqlite3_get_autocommit(sqlite->db))
        sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* Everything that results made. Other connections see it go with the first commit of the new. */
static int clear(struct sqlite_sink *sqlite)
{
    sqlite->writer.currencies_count = 0;
    sqlite->writer.credit_next = 0;
    sqlite->writer.any_aside = false;
    return database_run(sqlite->db,
        "DELETE FROM event; DELETE FROM event_link; DELETE FROM timeline; DELETE FROM touch; "
        "DELETE FROM person;"
        "DELETE FROM identifier; DELETE FROM session; DELETE FROM conversion;"
        "DELETE FROM attribution_credit; DELETE FROM path; DELETE FROM rejected;"
        "DELETE FROM sink_rejection; DELETE FROM erasure_refused; "
        "DELETE FROM erasure_suppressed;"
        "DELETE FROM model_transition; DELETE FROM currency; DELETE FROM sink_position; DELETE "
        "FROM sink_rejected;");
}

/* Whether a result may change what solve() keeps: a count, a conversion whose credits went with it,
 * or the time of a touch, where a model asks for that. */
static bool changes_models(const struct sqlite_sink *sqlite, enum topic topic)
{
    const struct database_options *options = &sqlite->options;
    bool times = false;
    if (topic == TOPIC_MODELS || !options->touch_credit)
        return topic == TOPIC_MODELS;
    for (size_t i = 0; topic == TOPIC_TOUCHPOINTS && i < options->models_count; i++)
        times |= !model_is_rule(&options->models[i]) && options->models[i].lookback_micros;
    return topic == TOPIC_CONVERSIONS || times;
}

static int apply(struct sink *sink, const struct result_batch *batch)
{
    struct sqlite_sink *sqlite = self(sink);
    if (!sqlite->open) {
        int r = database_run(sqlite->db, "BEGIN IMMEDIATE");
        if (r < 0)
            return r;
        sqlite->open = true;
    }
    int r = batch->begins_anew ? clear(sqlite) : 0;
    if (r == 0 && batch->begins_anew) /* readers see their columns with their rows */
        r = list_models(sqlite, false);
    sqlite->counts_changed |= batch->begins_anew;
    for (size_t i = 0; i < batch->results_count; i++)
        sqlite->counts_changed |= changes_models(sqlite, batch->results[i].topic);
    if (r == 0)
        r = apply_results(&sqlite->writer, batch);
    if (r == 0)
        r = note_positions(sqlite, batch);
    return r < 0 ? roll_back(sqlite, r) : 0;
}

static int write_position(struct writer *writer, const struct result_position *position)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_SET_POSITION, &put);
    if (r < 0)
        return r;
    bind_text(put, 1, str_of(position->topic));
    sqlite3_bind_int(put, 2, position->partition);
    sqlite3_bind_int64(put, 3, position->next);
    return writer_step(writer, put);
}

/* ---- what follows from all rows together ---- */

static int keep_credits(
    struct sqlite_sink *sqlite, const struct model_answers *answers, int64_t run_id, int64_t as_of)
{
    const struct database_options *options = &sqlite->options;
    CLEANUP(model_credits_close) struct model_credits *credits = NULL;
    if (!options->touch_credit)
        return 0;
    int r =
        model_credits_open(&credits, sqlite->db, options->models, options->models_count, answers);
    return r < 0 ? r : model_credits_save(credits, run_id, as_of);
}

/* In the transaction that is open. */
static int keep_answers(struct sqlite_sink *sqlite, const struct model_answers *answers)
{
    struct timespec now;
    int64_t run_id = 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t as_of = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    int r = model_table_save(sqlite->db, answers, as_of, &run_id);
    if (r == 0)
        r = keep_credits(sqlite, answers, run_id, as_of);
    if (r == 0)
        sqlite->counts_changed = answers->failures_count > 0;
    return r;
}

static int solve_and_keep(struct sqlite_sink *sqlite)
{
    struct model_answers answers = {.count = 0};
    int r = model_table_solve(sqlite->db, &answers);
    if (r == 0)
        r = keep_answers(sqlite, &answers);
    model_answers_free(&answers);
    return r;
}

/* Rows go on whatever the counts are: what cannot be solved is tried again by solve(). */
static int complete(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    if (!sqlite->open)
        return 0;
    int r = list_models(sqlite, false);
    if (r == 0)
        r = database_run(sqlite->db, "SAVEPOINT solved");
    if (r < 0)
        return roll_back(sqlite, r);
    if (sqlite->counts_changed)
        r = solve_and_keep(sqlite);
    if (r < 0 && error_class(r) == ERROR_CLASS_RETRY)
        return roll_back(sqlite, r);
    r = database_run(sqlite->db, r < 0 ? "ROLLBACK TO solved; RELEASE solved" : "RELEASE solved");
    return r < 0 ? roll_back(sqlite, r) : 0;
}

static int commit(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    int r = 0;
    if (!sqlite->open)
        return 0;
    for (size_t i = 0; r == 0 && i < sqlite->pending_count; i++)
        r = write_position(&sqlite->writer, &sqlite->pending[i]);
    if (r == 0 && !sqlite->is_loading)
        r = database_run(sqlite->db, "COMMIT");
    if (r < 0)
        return roll_back(sqlite, r);
    sqlite->open = sqlite->is_loading;
    sqlite->pending_count = 0;
    return 0;
}

static int make_index(struct sqlite_sink *sqlite)
{
    if (sqlite->indexed)
        return 0;
    int r = database_run(sqlite->db,
        "CREATE INDEX IF NOT EXISTS identifier_person ON identifier (person);"
        "CREATE INDEX IF NOT EXISTS event_link_stronger ON event_link "
        "(stronger);" WRITER_LINK_INDEX);
    sqlite->indexed = r == 0;
    return r;
}

/* The load has come to its end: the file becomes the database. */
static int publish(struct sqlite_sink *sqlite)
{
    int r = make_index(sqlite);
    if (r == 0 && sqlite->options.solve_load)
        r = complete(&sqlite->base);
    if (r == 0 && sqlite->open)
        r = database_run(sqlite->db, "COMMIT");
    if (r < 0)
        return roll_back(sqlite, r);
    close_database(sqlite);
    int published = loading_publish(&sqlite->loading);
    r = end_loading(sqlite);
    return r < 0 ? r : published;
}

/* With synchronous = NORMAL commits are not yet on the disk. A commit with FULL puts the whole log
 * before it there, whatever readers hold a checkpoint back. */
static int sync_to_disk(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    if (sqlite->is_loading)
        return ++sqlite->loading_syncs < LOADING_SYNCS_MAX ? 0 : publish(sqlite);
    check(!sqlite->open);
    int r = database_run(sqlite->db, "PRAGMA synchronous = FULL");
    if (r < 0)
        return r;
    r = database_run(
        sqlite->db, "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'synced'");
    int back = database_run(sqlite->db, "PRAGMA synchronous = NORMAL");
    return r < 0 ? r : back;
}

/* Nobody waits: makes the index that only questions need (a first import is faster without), then
 * moves the log into the file, as far as readers let it. */
static int settle(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    if (sqlite->is_loading)
        return publish(sqlite);
    int r = make_index(sqlite);
    if (r == 0)
        r = list_models(sqlite, false);
    if (r < 0)
        return r;
    if (sqlite->wal_pages <= SETTLED_WAL_PAGES_MAX)
        return 0;
    sqlite->wal_pages = 0;
    int code = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return (code & 0xff) == SQLITE_BUSY ? 0 : database_error(code);
}

static int keep_in_transaction(struct sqlite_sink *sqlite, const struct model_answers *answers)
{
    int r = database_run(sqlite->db, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    sqlite->open = true;
    r = keep_answers(sqlite, answers);
    if (r == 0)
        r = database_run(sqlite->db, "COMMIT");
    if (r < 0)
        return roll_back(sqlite, r);
    sqlite->open = false;
    return 0;
}

/* Counts of which only half of a change is there are tried again: the other half is on its way. */
static int solve(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    struct model_answers answers = {.count = 0};
    if (!sqlite->counts_changed || sqlite->open || sqlite->is_loading)
        return 0;
    int r = model_table_solve(sqlite->db, &answers);
    if (r < 0 && error_class(r) != ERROR_CLASS_RETRY) {
        model_answers_free(&answers);
        return 1; /* rows go on, whatever the counts are */
    }
    if (r == 0)
        r = keep_in_transaction(sqlite, &answers);
    size_t unsolved = answers.failures_count;
    model_answers_free(&answers);
    return r < 0 ? r : (int)unsolved;
}

static void close_sink(struct sink *sink)
{
    struct sqlite_sink *sqlite = self(sink);
    if (!sqlite->is_loading)
        (void)roll_back(sqlite, 0);
    close_database(sqlite);
    if (sqlite->is_loading)
        loading_end(&sqlite->loading);
    free(sqlite->stored);
    free(sqlite->pending);
    free(sqlite);
}

/* Whether sink_rejected has rows that a good result may take back. */
static int look_aside(struct sqlite_sink *sqlite)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(sqlite->db, "SELECT 1 FROM sink_rejected LIMIT 1", &select);
    if (r < 0)
        return r;
    int code = sqlite3_step(select);
    sqlite->writer.any_aside = code == SQLITE_ROW;
    sqlite3_finalize(select);
    return database_error(code);
}

int sqlite_sink_open(struct sink **out, const char *path, const struct database_options *options)
{
    struct sqlite_sink *sqlite = calloc(1, sizeof(*sqlite));
    if (!sqlite)
        return ERR_NO_MEMORY;
    sqlite->base = (struct sink){.name = "sqlite",
        .positions = positions,
        .apply = apply,
        .complete = complete,
        .commit = commit,
        .sync = sync_to_disk,
        .settle = settle,
        .solve = solve,
        .close = close_sink};
    sqlite->stored = calloc(POSITIONS_MAX, sizeof(*sqlite->stored));
    sqlite->pending = calloc(POSITIONS_MAX, sizeof(*sqlite->pending));
    int r = sqlite->stored && sqlite->pending ? 0 : ERR_NO_MEMORY;
    if (options)
        sqlite->options = *options;
    int wal_pages = sqlite->options.wal_pages;
    sqlite->wal_pages_max = wal_pages ? wal_pages : DATABASE_WAL_PAGES_DEFAULT;
    sqlite->counts_changed = true;
    sqlite->writer.rejected_count = &sqlite->base.rejected_count;
    sqlite->writer.refused_count = &sqlite->base.refused_count;
    sqlite->writer.namespaces =
        sqlite->options.namespaces ? sqlite->options.namespaces : namespace_table_default();
    if (r == 0 && sqlite->options.first_load && loading_possible(path)) {
        r = loading_begin(&sqlite->loading, path);
        sqlite->is_loading = r == 0;
    }
    if (r == 0)
        r = open_database(
            sqlite, sqlite->is_loading ? sqlite->loading.temporary : path, sqlite->is_loading);
    if (r == 0)
        r = list_models(sqlite, true);
    if (r == 0)
        r = look_aside(sqlite);
    if (r < 0) {
        close_sink(&sqlite->base);
        return r;
    }
    *out = &sqlite->base;
    return 0;
}
