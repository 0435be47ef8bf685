/*
 * The log of a directory, read beside whatever writes it: LMDB's readers wait for nobody. The place
 * is the position of the next record, in decimal digits.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/door.h"
#include "ingest/stream/local_private.h"
#include "ingest/stream/replay_source.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096
#define BYTES_MAX ((size_t)8 << 20) /* of one next() */

struct local_reader {
    struct replay_source source; /* first */
    struct local *local;
    int64_t time_micros;
    int64_t next;
    int64_t end;
    struct append_record *records;
    size_t count;
    size_t room;
    size_t bytes;
    struct arena arena; /* what records point to */
    struct arena scratch;
};

static int add(struct local_reader *reader, const struct append_record *record)
{
    int r = replay_keep(&reader->arena, record, &reader->records[reader->count]);
    reader->count += r == 0;
    reader->bytes += record->key.size + record->value.size;
    return r;
}

/* What an older build wrote and cannot be read is what local_work() makes of it. */
static int add_damaged(struct local_reader *reader, const struct record *record, int error)
{
    const struct door_rejection rejection = {.stage = STR("log"), .payload = record->value};
    const struct event_problem problem = {.error = error};
    struct append_record made;
    int r = door_reject(&rejection, &problem, 0, &reader->scratch, &made);
    if (r == 0)
        r = add(reader, &made);
    arena_reset(&reader->scratch);
    return r;
}

static int take(struct local_reader *reader, const struct writers *older, struct record *record)
{
    const struct record stored = *record;
    int r = older ? local_translate(reader->local, older, record) : 0;
    if (r < 0)
        r = error_class(r) == ERROR_CLASS_REJECT ? add_damaged(reader, &stored, r) : r;
    else if (!replay_received_before(
                 record->topic, record->value, reader->time_micros, &reader->scratch))
        r = add(reader, &(struct append_record){
                            .topic = record->topic, .key = record->key, .value = record->value});
    arena_reset(&reader->local->translated);
    return r;
}

/* Records of one segment from `next` on, while there is room. */
static int take_segment(
    struct local_reader *reader, int64_t first, struct str segment, size_t records_max)
{
    const struct writers *older = local_era(reader->local, first);
    struct record record = {.position = first};
    int error = 0;
    while (reader->count < records_max && reader->bytes < BYTES_MAX && reader->next < reader->end &&
           local_log_record(&segment, &record, &error)) {
        if (record.position++ < reader->next)
            continue;
        int r = take(reader, older, &record);
        if (r < 0)
            return r;
        reader->next++;
    }
    return error;
}

/* The segment that holds `next`: the last one that begins at or before it. */
static int seek(struct local_reader *reader, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
    uint8_t bytes[8];
    put_be64(bytes, (uint64_t)reader->next);
    *key = local_val(bytes, sizeof bytes);
    int r = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (r == 0 && (int64_t)get_be64(key->mv_data) == reader->next)
        return 0;
    if (r && r != MDB_NOTFOUND)
        return r;
    return mdb_cursor_get(cursor, key, value, r ? MDB_LAST : MDB_PREV);
}

static int read_some(struct local_reader *reader, MDB_txn *txn, size_t records_max)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_cursor_open(txn, reader->local->log_records, &cursor);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    r = seek(reader, cursor, &key, &value);
    while (r == 0 && error == 0 && reader->next < reader->end && reader->count < records_max &&
           reader->bytes < BYTES_MAX) {
        error = key.mv_size == 8 ? take_segment(reader, (int64_t)get_be64(key.mv_data),
                                       str_make(value.mv_data, value.mv_size), records_max)
                                 : ERR_STATE;
        if (error == 0)
            r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (error < 0)
        return error;
    return r && r != MDB_NOTFOUND ? state_lmdb_error(r) : 0;
}

static int next(struct replay_source *source, size_t records_max,
    const struct append_record **records, size_t *count)
{
    struct local_reader *reader = (struct local_reader *)source;
    MDB_txn *txn;
    if (reader->room < records_max) {
        struct append_record *grown =
            realloc(reader->records, records_max * sizeof *reader->records);
        if (!grown)
            return ERR_NO_MEMORY;
        reader->records = grown;
        reader->room = records_max;
    }
    reader->count = reader->bytes = 0;
    arena_reset(&reader->arena);
    int r = mdb_txn_begin(reader->local->log_env, NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    int64_t before = -1;
    /* Passed over are many at a time: what is left comes next. */
    while (
        error == 0 && reader->count == 0 && reader->next < reader->end && before != reader->next) {
        before = reader->next;
        error = read_some(reader, txn, records_max);
    }
    mdb_txn_abort(txn);
    if (error == 0 && reader->count == 0 && reader->next < reader->end)
        error = ERR_STATE; /* a gap */
    *records = reader->records;
    *count = reader->count;
    return error;
}

static int place(struct replay_source *source, struct buf *out)
{
    return buf_appendf(out, "%" PRId64, ((struct local_reader *)source)->next);
}

static void close_reader(struct replay_source *source)
{
    struct local_reader *reader = (struct local_reader *)source;
    if (reader->local && reader->local->log_env) {
        mdb_env_close(reader->local->log_env);
        reader->local->log_env = NULL;
    }
    local_close(&reader->local);
    arena_free(&reader->arena);
    arena_free(&reader->scratch);
    free(reader->records);
    free(reader);
}

static int open_databases(struct local_reader *reader)
{
    struct local *local = reader->local;
    MDB_txn *txn;
    int r = mdb_txn_begin(local->log_env, NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    r = mdb_dbi_open(txn, "records", 0, &local->log_records);
    if (r == 0)
        r = mdb_dbi_open(txn, "writers", 0, &local->log_writers);
    int error = r == MDB_NOTFOUND ? ERR_STATE : r ? state_lmdb_error(r) : 0;
    if (error == 0)
        error = local_eras_read(local, txn);
    if (error == 0)
        error = local_log_find_end(local, txn, &reader->end);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    r = mdb_txn_commit(txn); /* keeps the handles */
    return r ? state_lmdb_error(r) : 0;
}

static int open_environment(struct local_reader *reader, const char *dir)
{
    struct local *local = reader->local;
    char path[PATH_SIZE_MAX];
    int size = snprintf(path, sizeof path, "%s/log", dir);
    if (size <= 0 || size >= PATH_SIZE_MAX)
        return ERR_TOO_LARGE;
    if (access(path, F_OK) != 0)
        return ERR_NOT_FOUND;
    int r = mdb_env_create(&local->log_env);
    if (r)
        return state_lmdb_error(r);
    r = mdb_env_set_mapsize(local->log_env, local->options.map_bytes);
    if (r == 0)
        r = mdb_env_set_maxdbs(local->log_env, 3);
    if (r == 0)
        r = mdb_env_open(local->log_env, path, MDB_NOTLS | MDB_RDONLY, 0600);
    return r ? state_lmdb_error(r) : open_databases(reader);
}

/* Decimal digits and nothing else; empty: `otherwise`. */
static int read_place(struct str text, int64_t otherwise, int64_t *out)
{
    int64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || number > INT64_MAX / 10 - 10)
            return ERR_STATE;
        number = number * 10 + (text.data[i] - '0');
    }
    *out = text.size ? number : otherwise;
    return 0;
}

int local_reader_open(const char *dir, const struct replay_from *from, struct str place_text,
    struct replay_source **out)
{
    struct local_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return ERR_NO_MEMORY;
    reader->source = (struct replay_source){.next = next, .place = place, .close = close_reader};
    reader->time_micros = from->time_micros;
    reader->arena.size_max = reader->scratch.size_max = (size_t)1 << 30;
    int r = local_make(NULL, &reader->local);
    if (r == 0)
        r = open_environment(reader, dir);
    if (r == 0)
        r = read_place(place_text, from->offset, &reader->next);
    if (r == 0 && place_text.size && reader->next > reader->end)
        r = ERR_STATE;
    if (r < 0) {
        close_reader(&reader->source);
        return r;
    }
    reader->source.total = reader->end > reader->next ? reader->end - reader->next : 0;
    *out = &reader->source;
    return 0;
}
