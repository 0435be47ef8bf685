/* See the header. */
#include "sinks/sqlite/receipt.h"

#include <stdio.h>

#include "enrich/identity/erasure.h"
#include "schemas/error.h"
#include "sinks/sqlite/read_private.h"

#define FIRST_COUNT 5 /* parameter of the first count */

void receipt_subject(const struct identifier *identifier, char out[RECEIPT_SUBJECT_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, identifier->namespace);
    sha256_update_sized(&hash, identifier->value);
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, out);
    out[2 * sizeof digest] = 0;
}

/* ---- writing ---- */

/* Returns 1 when the id is there already. */
static int put(sqlite3 *db, const struct receipt *receipt, const uint8_t person[KEY_SIZE])
{
    sqlite3_stmt *insert = NULL;
    int r = database_prepare(db,
        "INSERT INTO erasure_receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12, "
        "0, ?13, NULL) "
        "ON CONFLICT (receipt_id) DO NOTHING",
        &insert);
    if (r < 0)
        return r;
    bind_text(insert, 1, str_of(receipt->id));
    sqlite3_bind_int64(insert, 2, receipt->requested_at);
    bind_text(insert, 3, str_of(receipt->subject));
    bind_text(insert, 4, receipt->reason);
    for (int i = 0; i < READER_COUNTS; i++)
        sqlite3_bind_int64(insert, FIRST_COUNT + i, receipt->before.counts[i]);
    sqlite3_bind_int64(insert, FIRST_COUNT + READER_COUNTS, receipt->left_over);
    bind_blob(insert, FIRST_COUNT + READER_COUNTS + 1, str_make(person, KEY_SIZE));
    r = database_error(sqlite3_step(insert));
    sqlite3_finalize(insert);
    return r < 0 ? r : sqlite3_changes(db) == 0;
}

/* Touches have no currency; a conversion's channel is that of its event. */
#define MONTH(micros)                                                                              \
    "coalesce(strftime('%Y-%m', (" micros " - (" micros                                            \
    " % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch'), '')"
#define REMAINDER_SQL                                                                              \
    "INSERT INTO erasure_remainder SELECT ?1, month, channel, currency, sum(touches), "            \
    "sum(conversions), CAST(" DATABASE_SUM_MINOR(                                                  \
        "minor") " AS INTEGER) FROM ("                                                             \
                 "SELECT " MONTH(                                                                  \
                     "t.touched_at") " AS month, t.channel AS channel, '' AS currency, "           \
                                     "1 AS touches, 0 AS conversions, 0 AS minor FROM touch AS t " \
                                     "JOIN event AS e ON e.event_key = t.event_key "               \
                                     "JOIN timeline AS l ON l.event_row = e.event_row WHERE "      \
                                     "l.person = ?2 UNION ALL "                                    \
                                     "SELECT " MONTH(                                              \
                                         "c.occurred_at") ", coalesce(e.channel, ''), "            \
                                                          "coalesce(c.currency, ''), 0, "          \
                                                          "c.kind = 'conversion', "                \
                                                          "c.revenue_minor FROM conversion AS c "  \
                                                          "LEFT JOIN event AS e ON e.event_key = " \
                                                          "c.event_key WHERE c.person = ?2) "      \
                                                          "GROUP BY month, channel, currency"

#define IDENTIFIERS_SQL                                                                            \
    "INSERT INTO erasure_identifier SELECT ?1, node FROM identifier WHERE person = ?2"

/* Notes of the person, by the receipt's id. */
static int put_of_person(
    sqlite3 *db, const char *sql, const char *id, const uint8_t person[KEY_SIZE])
{
    sqlite3_stmt *insert = NULL;
    int r = database_prepare(db, sql, &insert);
    if (r < 0)
        return r;
    bind_text(insert, 1, str_of(id));
    bind_blob(insert, 2, str_make(person, KEY_SIZE));
    r = database_error(sqlite3_step(insert));
    sqlite3_finalize(insert);
    return r;
}

int receipt_begin(
    const char *path, const struct receipt *receipt, const uint8_t person[KEY_SIZE], bool totals)
{
    sqlite3 *db = NULL;
    int r = database_open(&db, path, NULL);
    if (r == 0)
        r = database_run(db, "BEGIN IMMEDIATE");
    if (r == 0)
        r = put(db, receipt, person);
    if (r == 0)
        r = put_of_person(db, IDENTIFIERS_SQL, receipt->id, person);
    if (r == 0 && totals)
        r = put_of_person(db, REMAINDER_SQL, receipt->id, person);
    if (r >= 0)
        r = database_run(db, "COMMIT");
    database_close(&db); /* what was not committed goes */
    return r;
}

/* With the id as ?1. */
static int change(sqlite3 *db, const char *sql, const char *id)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(db, sql, &statement);
    if (r < 0)
        return r;
    bind_text(statement, 1, str_of(id));
    r = database_error(sqlite3_step(statement));
    sqlite3_finalize(statement);
    return r;
}

/* What became of the identifiers that were noted when the receipt was begun, if any were, and it
 * was not finished before: then it stays as it was counted. */
#define NOTED_SQL "FROM erasure_identifier AS n WHERE n.receipt_id = ?1"
#define LEFT_SQL                                                                                   \
    "UPDATE erasure_receipt SET left_over = ?2, asked = ?4, "                                      \
    "identifiers_gone = CASE WHEN EXISTS (SELECT 1 " NOTED_SQL                                     \
    ") THEN (SELECT count(*) " NOTED_SQL                                                           \
    " AND NOT EXISTS (SELECT 1 FROM identifier AS i WHERE i.node = n.node)) "                      \
    "ELSE identifiers_gone END, "                                                                  \
    "of_others = CASE WHEN identifiers_gone IS NULL OR EXISTS (SELECT 1 " NOTED_SQL ") THEN ?3 + " \
    "(SELECT count(*) " NOTED_SQL " AND EXISTS (SELECT 1 FROM identifier AS i WHERE i.node = "     \
    "n.node AND i.person <> erasure_receipt.person)) ELSE max(of_others, ?3) END "                 \
    "WHERE receipt_id = ?1 RETURNING of_others, coalesce(identifiers_gone, 0)"

static int update_left(sqlite3 *db, struct receipt *receipt)
{
    sqlite3_stmt *update = NULL;
    int r = database_prepare(db, LEFT_SQL, &update);
    if (r < 0)
        return r;
    bind_text(update, 1, str_of(receipt->id));
    sqlite3_bind_int64(update, 2, receipt->left_over);
    sqlite3_bind_int64(update, 3, receipt->of_others);
    sqlite3_bind_int(update, 4, receipt->asked);
    int code = sqlite3_step(update);
    if (code == SQLITE_ROW) {
        receipt->of_others = sqlite3_column_int64(update, 0);
        receipt->gone = sqlite3_column_int64(update, 1);
        code = sqlite3_step(update);
    }
    sqlite3_finalize(update);
    return database_error(code);
}

#define FORGET_NOTED_SQL "DELETE FROM erasure_identifier WHERE receipt_id = ?1"

static int write_left(const char *path, struct receipt *receipt)
{
    sqlite3 *db = NULL;
    int r = database_open(&db, path, NULL);
    if (r == 0)
        r = database_run(db, "BEGIN IMMEDIATE");
    if (r == 0)
        r = update_left(db, receipt);
    if (r == 0 && receipt->left_over == 0)
        r = change(db, FORGET_NOTED_SQL, receipt->id);
    if (r == 0)
        r = database_run(db, "COMMIT");
    database_close(&db);
    return r;
}

int receipt_end(const char *path, struct receipt *receipt)
{
    receipt->asked = true;
    return write_left(path, receipt);
}

int receipt_drop(const char *path, const char *id, bool totals)
{
    sqlite3 *db = NULL;
    int r = database_open(&db, path, NULL);
    if (r == 0)
        r = database_run(db, "BEGIN IMMEDIATE");
    if (r == 0 && totals)
        r = change(db, "DELETE FROM erasure_remainder WHERE receipt_id = ?1", id);
    if (r == 0)
        r = change(db, FORGET_NOTED_SQL, id);
    if (r == 0)
        r = change(db, "DELETE FROM erasure_receipt WHERE receipt_id = ?1", id);
    if (r == 0)
        r = database_run(db, "COMMIT");
    database_close(&db);
    return r;
}

/* ---- reading ---- */

/* In a file of an older build, which is only read, `person` is that of `none`. */
#define RECEIPT_SQL                                                                                \
    "SELECT receipt_id, requested_at, left_over, identifier, reason, events, touches, sessions, "  \
    "conversions, credits, paths, identifiers, asked, (SELECT person FROM erasure_receipt AS own " \
    "WHERE own.receipt_id = r.receipt_id) FROM (SELECT NULL AS person) AS none "                   \
    "CROSS JOIN erasure_receipt AS r "
#define UNFINISHED_SQL RECEIPT_SQL "WHERE left_over > 0 "

static int read_receipt(sqlite3_stmt *row, struct arena *arena, struct receipt *out)
{
    *out = (struct receipt){
        .requested_at = sqlite3_column_int64(row, 1), .left_over = sqlite3_column_int64(row, 2)};
    out->asked = sqlite3_column_int(row, FIRST_COUNT + READER_COUNTS) != 0;
    struct str person = column_text(row, FIRST_COUNT + READER_COUNTS + 1);
    out->has_person = person.size == KEY_SIZE;
    if (out->has_person)
        memcpy(out->person, person.data, KEY_SIZE);
    snprintf(out->id, sizeof out->id, "%s", (const char *)sqlite3_column_text(row, 0));
    snprintf(out->subject, sizeof out->subject, "%s", (const char *)sqlite3_column_text(row, 3));
    for (int i = 0; i < READER_COUNTS; i++)
        out->before.counts[i] = sqlite3_column_int64(row, FIRST_COUNT + i);
    return arena_dup(arena, column_text(row, 4), &out->reason);
}

static int find(
    sqlite3 *db, const char *sql, const char *subject, struct arena *arena, struct receipt *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(subject));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        r = read_receipt(select, arena, out);
    else
        r = code == SQLITE_DONE ? READER_ABSENT : database_error(code);
    sqlite3_finalize(select);
    return r;
}

static int look(const char *path, const char *sql, const char subject[RECEIPT_SUBJECT_SIZE],
    struct arena *arena, struct receipt *out)
{
    sqlite3 *db = NULL;
    int r = database_open_reader(&db, path);
    if (r == 0)
        r = find(db, sql, subject, arena, out);
    database_close(&db);
    return r;
}

int receipt_unfinished(const char *path, const char subject[RECEIPT_SUBJECT_SIZE],
    struct arena *arena, struct receipt *out)
{
    return look(path, UNFINISHED_SQL "AND identifier = ?1 ORDER BY requested_at LIMIT 1", subject,
        arena, out);
}

int receipt_finished(const char *path, const char subject[RECEIPT_SUBJECT_SIZE],
    struct arena *arena, struct receipt *out)
{
    return look(path,
        RECEIPT_SQL "WHERE left_over = 0 AND identifier = ?1 ORDER BY requested_at DESC LIMIT 1",
        subject, arena, out);
}

/* ---- bringing to truth ---- */

/* Receipts that are not finished, and whose subjects the tables still have. */
struct settling {
    struct arena *arena;
    struct receipt_open *open;
    size_t count;
    bool found[RECEIPTS_OPEN_MAX];
    uint8_t persons[RECEIPTS_OPEN_MAX][KEY_SIZE];
};

static int read_unfinished(sqlite3 *db, struct settling *settling)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, UNFINISHED_SQL "ORDER BY requested_at, receipt_id", &select);
    int code = SQLITE_DONE;
    while (r == 0 && settling->count < RECEIPTS_OPEN_MAX &&
           (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct receipt_open *open = &settling->open[settling->count];
        open->identifier = (struct identifier){.authority = 0};
        r = read_receipt(select, settling->arena, &open->receipt);
        settling->found[settling->count] = false;
        settling->count += r == 0;
    }
    sqlite3_finalize(select);
    return r < 0 ? r : code == SQLITE_ROW ? 0 : database_error(code);
}

/* A row of identifier: whether it is the subject of one of them. */
static int match(struct settling *settling, sqlite3_stmt *row)
{
    char subject[RECEIPT_SUBJECT_SIZE];
    struct identifier identifier = {.namespace = column_text(row, 0), .value = column_text(row, 1)};
    struct str person = column_text(row, 2);
    int r = person.size == KEY_SIZE ? 0 : ERR_STATE;
    receipt_subject(&identifier, subject);
    for (size_t i = 0; r == 0 && i < settling->count; i++) {
        struct receipt_open *open = &settling->open[i];
        if (settling->found[i] || strcmp(open->receipt.subject, subject) != 0)
            continue;
        settling->found[i] = true;
        memcpy(settling->persons[i], person.data, KEY_SIZE);
        r = arena_dup(settling->arena, identifier.namespace, &open->identifier.namespace);
        if (r == 0)
            r = arena_dup(settling->arena, identifier.value, &open->identifier.value);
    }
    return r;
}

static int find_subjects(sqlite3 *db, struct settling *settling)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, "SELECT namespace, value, person FROM identifier", &select);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = match(settling, select);
    sqlite3_finalize(select);
    return r < 0 ? r : database_error(code);
}

/* Whether something of the person is older than the request. */
static int has_older(sqlite3 *db, const uint8_t person[KEY_SIZE], int64_t at, bool *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        db, "SELECT 1 FROM timeline WHERE person = ?1 AND occurred_at < ?2 LIMIT 1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(person, KEY_SIZE));
    sqlite3_bind_int64(select, 2, at);
    int code = sqlite3_step(select);
    *out = code == SQLITE_ROW;
    sqlite3_finalize(select);
    return database_error(code);
}

/* Whether the person is a device by itself: one that was asked for by another identifier, which
 * may be gone. */
static int is_device(sqlite3 *db, const uint8_t person[KEY_SIZE], bool *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        db, "SELECT namespace FROM identifier WHERE person = ?1 AND root = node", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(person, KEY_SIZE));
    int code = sqlite3_step(select);
    *out = code == SQLITE_ROW && erasure_is_device(column_text(select, 0));
    sqlite3_finalize(select);
    return database_error(code);
}

int receipt_count_left(
    struct reader *reader, const uint8_t person[KEY_SIZE], int64_t *left_over, int64_t *of_others)
{
    struct reader_counts counts;
    int64_t left = 0, others = 0;
    int r = reader_count(reader, person, &counts);
    for (int i = 0; r == 0 && i < READER_COUNTS; i++)
        left += counts.counts[i];
    if (r == 0 && left)
        r = reader_count_of_others(reader, person, &others);
    if (r < 0)
        return r;
    *left_over = left - others;
    *of_others = others;
    return 0;
}

/* What is left over of the one at the index. Of a device, which lives on, an erasure took what
 * occurred before it. */
static int count_left(
    sqlite3 *db, const struct settling *settling, size_t index, bool followed, struct receipt *out)
{
    struct reader reader = {.db = db};
    const uint8_t *person = out->has_person ? out->person : settling->persons[index];
    bool found = settling->found[index], older = found || out->has_person;
    bool device = found && erasure_is_device(settling->open[index].identifier.namespace);
    int r = device || !out->has_person ? 0 : is_device(db, person, &device);
    out->left_over = out->of_others = 0;
    if (r == 0 && device)
        r = has_older(db, person, out->requested_at, &older);
    if (r < 0 || !older)
        return r;
    r = receipt_count_left(&reader, person, &out->left_over, &out->of_others);
    if (r == 0 && !followed && !out->asked) {
        out->left_over += out->of_others; /* it may not have been asked for at all */
        out->of_others = 0;
    }
    return r;
}

/* Writes what changed; keeps those of which something stands. */
static int settle(const char *path, sqlite3 *db, struct settling *settling, bool followed)
{
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < settling->count; i++) {
        struct receipt *receipt = &settling->open[i].receipt;
        int64_t before = receipt->left_over;
        r = count_left(db, settling, i, followed, receipt);
        receipt->asked |= r == 0 && receipt->left_over == 0; /* whoever followed it to its end */
        if (r == 0 && receipt->left_over != before)
            r = write_left(path, receipt);
        if (r == 0 && receipt->left_over)
            settling->open[kept++] = settling->open[i];
    }
    settling->count = kept;
    return r;
}

int receipts_settle(
    const char *path, bool followed, struct arena *arena, struct receipt_open *open, size_t *count)
{
    struct settling settling = {.arena = arena, .open = open};
    sqlite3 *db = NULL;
    *count = 0;
    int r = database_open_reader(&db, path);
    if (r == ERR_NOT_FOUND)
        return 0;
    if (r == 0)
        r = read_unfinished(db, &settling);
    if (r == 0 && settling.count)
        r = find_subjects(db, &settling);
    if (r == 0)
        r = settle(path, db, &settling, followed);
    database_close(&db);
    if (r == 0)
        *count = settling.count;
    return r;
}
