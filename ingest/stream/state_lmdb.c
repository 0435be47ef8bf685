/* See the header. Invariant: `snapshot` is live exactly between begin() and end(). */
#include "ingest/stream/state_lmdb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "schemas/error.h"

#define READERS_MAX 64
#define FORMAT_KEY "format"

struct state_lmdb {
    struct state_backend backend; /* first: the backend's functions cast back */
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    MDB_dbi meta;
    MDB_dbi extra[STATE_LMDB_EXTRA_MAX];
    MDB_txn *snapshot;
};

int state_lmdb_error(int code)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return ERR_FULL;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_PANIC:
        return ERR_STATE;
    default:
        return ERR_IO;
    }
}

static MDB_val to_val(struct str bytes)
{
    return (MDB_val){.mv_size = bytes.size, .mv_data = (void *)(uintptr_t)bytes.data};
}

static int backend_get(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    struct state_lmdb *store = (struct state_lmdb *)backend;
    MDB_val k = to_val(key), v;
    int r = mdb_get(store->snapshot, store->tables[table], &k, &v);
    if (r == MDB_NOTFOUND)
        return STATE_ABSENT;
    if (r)
        return state_lmdb_error(r);
    *value = str_make(v.mv_data, v.mv_size);
    return 0;
}

struct cursor {
    MDB_cursor *cursor;
    MDB_val from;
    bool begun;
};

static int backend_scan_begin(
    struct state_backend *backend, enum table table, struct str from, void **out)
{
    struct state_lmdb *store = (struct state_lmdb *)backend;
    struct cursor *cursor = malloc(sizeof *cursor);
    if (!cursor)
        return ERR_NO_MEMORY;
    *cursor = (struct cursor){.from = to_val(from)};
    int r = mdb_cursor_open(store->snapshot, store->tables[table], &cursor->cursor);
    if (r) {
        free(cursor);
        return state_lmdb_error(r);
    }
    *out = cursor;
    return 0;
}

static int backend_scan_next(void *opaque, struct str *key, struct str *value)
{
    struct cursor *cursor = opaque;
    MDB_val k = cursor->from, v;
    int r = mdb_cursor_get(cursor->cursor, &k, &v, cursor->begun ? MDB_NEXT : MDB_SET_RANGE);
    cursor->begun = true;
    if (r == MDB_NOTFOUND)
        return STATE_ABSENT;
    if (r)
        return state_lmdb_error(r);
    *key = str_make(k.mv_data, k.mv_size);
    *value = str_make(v.mv_data, v.mv_size);
    return 0;
}

static void backend_scan_end(void *opaque)
{
    struct cursor *cursor = opaque;
    mdb_cursor_close(cursor->cursor);
    free(cursor);
}

/* Reads or writes the format mark. */
static int check_format(struct state_lmdb *store, MDB_txn *txn, const char *format)
{
    MDB_val key = to_val(STR(FORMAT_KEY)), value;
    int r = mdb_get(txn, store->meta, &key, &value);
    if (r == 0)
        return str_equal(str_make(value.mv_data, value.mv_size), str_of(format)) ? 0 : ERR_STATE;
    if (r != MDB_NOTFOUND)
        return state_lmdb_error(r);
    value = to_val(str_of(format));
    r = mdb_put(txn, store->meta, &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

static int open_databases(struct state_lmdb *store, const struct state_lmdb_options *options)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    r = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
    for (int t = 0; r == 0 && t < TABLE_COUNT; t++)
        r = mdb_dbi_open(txn, table_name((enum table)t), MDB_CREATE, &store->tables[t]);
    for (size_t i = 0; r == 0 && i < options->extra_count; i++)
        r = mdb_dbi_open(txn, options->extra[i], MDB_CREATE, &store->extra[i]);
    int error = r ? state_lmdb_error(r) : check_format(store, txn, options->format);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    r = mdb_txn_commit(txn);
    return r ? state_lmdb_error(r) : 0;
}

static int open_environment(
    struct state_lmdb *store, const char *dir, const struct state_lmdb_options *options)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return state_lmdb_error(errno);
    int r = mdb_env_create(&store->env);
    if (r)
        return state_lmdb_error(r);
    size_t map = options->map_bytes ? options->map_bytes : STATE_LMDB_MAP_BYTES_DEFAULT;
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options->fsync_off ? MDB_NOSYNC : 0u);
    r = mdb_env_set_mapsize(store->env, map);
    if (r == 0)
        r = mdb_env_set_maxdbs(store->env, TABLE_COUNT + 1 + STATE_LMDB_EXTRA_MAX);
    if (r == 0)
        r = mdb_env_set_maxreaders(store->env, READERS_MAX);
    if (r == 0)
        r = mdb_env_open(store->env, dir, flags, 0600);
    if (r)
        return state_lmdb_error(r);
    int dead = 0;
    (void)mdb_reader_check(store->env, &dead);
    return open_databases(store, options);
}

int state_lmdb_open(
    struct state_lmdb **out, const char *dir, const struct state_lmdb_options *options)
{
    check(options->extra_count <= STATE_LMDB_EXTRA_MAX);
    struct state_lmdb *store = calloc(1, sizeof *store);
    if (!store)
        return ERR_NO_MEMORY;
    store->backend = (struct state_backend){
        .get = backend_get,
        .scan_begin = backend_scan_begin,
        .scan_next = backend_scan_next,
        .scan_end = backend_scan_end,
    };
    int r = open_environment(store, dir, options);
    if (r < 0) {
        state_lmdb_close(&store);
        return r;
    }
    *out = store;
    return 0;
}

void state_lmdb_close(struct state_lmdb **store)
{
    if (*store) {
        state_lmdb_end(*store);
        if ((*store)->env)
            mdb_env_close((*store)->env);
    }
    free(*store);
    *store = NULL;
}

struct state_backend *state_lmdb_backend(struct state_lmdb *store)
{
    return &store->backend;
}

int state_lmdb_begin(struct state_lmdb *store)
{
    check(!store->snapshot);
    int r = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->snapshot);
    if (r)
        store->snapshot = NULL;
    return r ? state_lmdb_error(r) : 0;
}

void state_lmdb_end(struct state_lmdb *store)
{
    if (store->snapshot)
        mdb_txn_abort(store->snapshot);
    store->snapshot = NULL;
}

int state_lmdb_apply(
    struct state_lmdb *store, MDB_txn *txn, const struct state_change *changes, size_t count)
{
    MDB_cursor *cursor = NULL;
    enum table open = TABLE_COUNT; /* the cursor's */
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct state_change *change = &changes[i];
        MDB_val key = to_val(change->key), value = to_val(change->value);
        if (change->deleted) {
            r = mdb_del(txn, store->tables[change->table], &key, NULL);
            if (r == MDB_NOTFOUND)
                r = 0;
            continue;
        }
        if (change->table != open) {
            if (cursor)
                mdb_cursor_close(cursor);
            cursor = NULL;
            open = change->table;
            r = mdb_cursor_open(txn, store->tables[change->table], &cursor);
        }
        if (r == 0)
            r = mdb_cursor_put(cursor, &key, &value, 0);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return r ? state_lmdb_error(r) : 0;
}

MDB_env *state_lmdb_env(struct state_lmdb *store)
{
    return store->env;
}

MDB_dbi state_lmdb_meta(struct state_lmdb *store)
{
    return store->meta;
}

MDB_dbi state_lmdb_table(struct state_lmdb *store, enum table table)
{
    return store->tables[table];
}

MDB_dbi state_lmdb_extra(struct state_lmdb *store, size_t index)
{
    check(index < STATE_LMDB_EXTRA_MAX);
    return store->extra[index];
}
