/* See the header. */
#include "sinks/sqlite/receipt.h"

#include <stdio.h>

#include "schemas/error.h"
#include "schemas/hash.h"
#include "sinks/sqlite/database.h"

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

static int put(sqlite3 *db, const struct receipt *receipt)
{
    sqlite3_stmt *insert = NULL;
    int r = database_prepare(db,
        "INSERT INTO erasure_receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
        "ON CONFLICT (receipt_id) DO UPDATE SET left_over = excluded.left_over",
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
    r = database_error(sqlite3_step(insert));
    sqlite3_finalize(insert);
    return r;
}

int receipt_put(const char *path, const struct receipt *receipt)
{
    sqlite3 *db = NULL;
    int r = database_open(&db, path, NULL);
    if (r == 0)
        r = put(db, receipt);
    database_close(&db);
    return r;
}

static int find(sqlite3 *db, const char *subject, struct receipt *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT receipt_id, requested_at, left_over, events, touches, sessions, conversions, "
        "credits, paths, identifiers FROM erasure_receipt WHERE identifier = ?1 AND left_over > 0 "
        "ORDER BY requested_at LIMIT 1",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(subject));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        *out = (struct receipt){.requested_at = sqlite3_column_int64(select, 1),
            .left_over = sqlite3_column_int64(select, 2)};
        snprintf(out->id, sizeof out->id, "%s", (const char *)sqlite3_column_text(select, 0));
        snprintf(out->subject, sizeof out->subject, "%s", subject);
        for (int i = 0; i < READER_COUNTS; i++)
            out->before.counts[i] = sqlite3_column_int64(select, 3 + i);
    }
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? READER_ABSENT : database_error(code);
}

int receipt_unfinished(
    const char *path, const char subject[RECEIPT_SUBJECT_SIZE], struct receipt *out)
{
    sqlite3 *db = NULL;
    int r = database_open_reader(&db, path);
    if (r == 0)
        r = find(db, subject, out);
    database_close(&db);
    return r;
}
