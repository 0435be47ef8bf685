/* What became of events that came just now: for the live view. */
#include "schemas/error.h"
#include "sinks/sqlite/read_private.h"

int reader_event_fate(
    struct reader *reader, const uint8_t event_key[KEY_SIZE], struct reader_fate *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT person, received_at, coalesce(channel, '') FROM event WHERE event_key = ?1",
        &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(event_key, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        struct str person = column_text(select, 0);
        struct str channel = column_text(select, 2);
        size_t size = channel.size < sizeof out->channel ? channel.size : 0;
        *out = (struct reader_fate){.received_at = sqlite3_column_int64(select, 1)};
        if (person.size == KEY_SIZE)
            memcpy(out->person, person.data, KEY_SIZE);
        if (size)
            memcpy(out->channel, channel.data, size);
    }
    sqlite3_finalize(select);
    if (code == SQLITE_DONE)
        return READER_ABSENT;
    return code == SQLITE_ROW ? 0 : database_error(code);
}

int reader_late_rejections(struct reader *reader, int64_t rows,
    int (*found)(void *context, const struct reader_rejection *rejection), void *context)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT source, stage, reason, coalesce(pointer, ''), coalesce(hint, ''), "
        "coalesce(event_id, ''), received_at FROM rejected WHERE rowid > "
        "(SELECT max(rowid) FROM rejected) - ?1 AND stage IN ('identify', 'journey')",
        &select);
    if (r < 0)
        return r;
    sqlite3_bind_int64(select, 1, rows);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct reader_rejection rejection = {
            .source = column_text(select, 0),
            .stage = column_text(select, 1),
            .reason = column_text(select, 2),
            .pointer = column_text(select, 3),
            .hint = column_text(select, 4),
            .event_id = column_text(select, 5),
            .received_at = sqlite3_column_int64(select, 6),
        };
        r = found(context, &rejection);
    }
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}
