/*
 * Makes a closed data directory that of an older build: older_directory DIR. Every value of the log
 * and of the state is written anew with the older schemas, and both say so.
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/stream/local_private.h"
#include "ingest/stream/row_schema.h"
#include "tests/older/older.h"
#include "schemas/arena.h"

#define RECORD_HEAD_SIZE 7

static struct arena arena;

static void must(int code, const char *what)
{
    if (code == 0)
        return;
    (void)fprintf(stderr, "older_directory: %s: %d\n", what, code);
    exit(1);
}

static MDB_val val(struct str bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

/* Into the arena. */
static struct str older_value(uint32_t id, struct str value, size_t begin)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str kept;
    check(buf_append(&bytes, value.data, begin) == 0);
    older_avro(id, str_make(value.data + begin, value.size - begin), &bytes);
    check(arena_dup(&arena, buf_str(&bytes), &kept) == 0);
    return kept;
}

/* ---- state ---- */

struct rows {
    struct state_change *changes;
    size_t count;
    size_t room;
};

static void add(struct rows *rows, enum table table, struct str key, struct str value)
{
    if (rows->count == rows->room) {
        rows->room = rows->room ? 2 * rows->room : 1024;
        rows->changes = realloc(rows->changes, rows->room * sizeof *rows->changes);
        check(rows->changes);
    }
    struct state_change *change = &rows->changes[rows->count++];
    *change = (struct state_change){.table = table, .value = value};
    check(arena_dup(&arena, key, &change->key) == 0);
}

/* part: a table, or TABLE_COUNT for the rejected. */
static void read_part(struct state_lmdb *store, MDB_txn *txn, int part, struct rows *rows)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    bool table = part < TABLE_COUNT;
    must(mdb_cursor_open(txn,
             table ? state_lmdb_table(store, (enum table)part)
                   : state_lmdb_extra(store, LOCAL_EXTRA_REJECTED),
             &cursor),
        "cursor");
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
        struct str key = str_make(k.mv_data, k.mv_size), value = str_make(v.mv_data, v.mv_size);
        struct row_schema row = {.id = row_schema_of_topic(TOPIC_REJECTED)};
        if (table) {
            must(state_lmdb_value(store, txn, (enum table)part, &v, &value), "value");
            row = row_schema((enum table)part, key, value.size);
        }
        if (row.id)
            add(rows, (enum table)part, key, older_value(row.id, value, row.begin));
    }
    mdb_cursor_close(cursor);
}

static void put_text(MDB_txn *txn, MDB_dbi dbi, struct str key)
{
    CLEANUP(buf_free) struct buf text = {0};
    older_text(&text);
    MDB_val k = val(key), v = val(buf_str(&text));
    must(mdb_put(txn, dbi, &k, &v, 0), "writers");
}

static void convert_state(const char *path)
{
    static const char *const extra[LOCAL_EXTRA_COUNT] = {"changes", "rejected", "readers"};
    const struct state_lmdb_options options = {
        .extra = extra, .extra_count = LOCAL_EXTRA_COUNT, .format = LOCAL_FORMAT};
    struct state_lmdb *store;
    struct rows rows = {0}, rejected = {0};
    MDB_txn *txn;
    must(state_lmdb_open(&store, path, &options), path);
    must(mdb_txn_begin(state_lmdb_env(store), NULL, 0, &txn), "begin");
    for (int t = 0; t < TABLE_COUNT; t++)
        read_part(store, txn, t, &rows);
    read_part(store, txn, TABLE_COUNT, &rejected);
    must(state_lmdb_apply(store, txn, rows.changes, rows.count), "apply");
    for (size_t i = 0; i < rejected.count; i++) {
        MDB_val k = val(rejected.changes[i].key), v = val(rejected.changes[i].value);
        must(mdb_put(txn, state_lmdb_extra(store, LOCAL_EXTRA_REJECTED), &k, &v, 0), "rejected");
    }
    put_text(txn, state_lmdb_meta(store), STR("writers"));
    must(mdb_txn_commit(txn), "commit");
    state_lmdb_close(&store);
    (void)printf("%zu rows, %zu rejected\n", rows.count, rejected.count);
    free(rows.changes);
    free(rejected.changes);
}

/* ---- log ---- */

static struct str older_segment(struct str segment)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct record record;
    struct str kept;
    int error;
    while (local_log_record(&segment, &record, &error)) {
        struct str value = older_value(row_schema_of_topic(record.topic), record.value, 0);
        uint8_t head[RECORD_HEAD_SIZE] = {(uint8_t)record.topic};
        uint16_t key_size = (uint16_t)record.key.size;
        uint32_t value_size = (uint32_t)value.size;
        memcpy(head + 1, &key_size, sizeof key_size);
        memcpy(head + 3, &value_size, sizeof value_size);
        check(buf_append(&bytes, head, sizeof head) == 0);
        check(buf_append_str(&bytes, record.key) == 0);
        check(buf_append_str(&bytes, value) == 0);
    }
    must(error, "segment");
    check(arena_dup(&arena, buf_str(&bytes), &kept) == 0);
    return kept;
}

static void convert_log(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi records, writers;
    MDB_cursor *cursor;
    MDB_val key, value;
    struct rows segments = {0};
    must(mdb_env_create(&env), "log");
    must(mdb_env_set_maxdbs(env, 3), "log");
    must(mdb_env_set_mapsize(env, (size_t)1 << 34), "log");
    must(mdb_env_open(env, path, 0, 0600), path);
    must(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, "records", 0, &records), "records");
    must(mdb_dbi_open(txn, "writers", 0, &writers), "writers");
    must(mdb_cursor_open(txn, records, &cursor), "cursor");
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        add(&segments, TABLE_NODE, str_make(key.mv_data, key.mv_size),
            older_segment(str_make(value.mv_data, value.mv_size)));
    mdb_cursor_close(cursor);
    for (size_t i = 0; i < segments.count; i++) {
        MDB_val k = val(segments.changes[i].key), v = val(segments.changes[i].value);
        must(mdb_put(txn, records, &k, &v, 0), "segment");
    }
    put_text(txn, writers, str_make("\0\0\0\0\0\0\0\0", 8));
    must(mdb_txn_commit(txn), "commit");
    mdb_env_close(env);
    (void)printf("%zu segments\n", segments.count);
    free(segments.changes);
}

int main(int argc, char **argv)
{
    char path[4096];
    check(argc == 2);
    (void)snprintf(path, sizeof path, "%s/state", argv[1]);
    convert_state(path);
    (void)snprintf(path, sizeof path, "%s/log", argv[1]);
    convert_log(path);
    arena_free(&arena);
    return 0;
}
