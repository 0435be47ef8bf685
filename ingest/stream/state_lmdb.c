/*
 * Invariants:
 *  1. `snapshot` is live exactly between begin() and end().
 *  2. `filter` has every key that was put since the environment was opened, and of each table every
 *     key up to where its reading stands: (learn_table, learn_key). It is asked once that is the
 *     end.
 */
#include "ingest/stream/state_lmdb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ingest/stream/key_filter.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define READERS_MAX 64
#define PAGE_BYTES ((size_t)4096)
#define FORMAT_KEY "format"
/* Keys that an apply() reads for the filter: so many, and so many more for each that it writes. */
#define LEARN_KEYS_MIN ((size_t)1000)
#define LEARN_KEYS_A_CHANGE ((size_t)4)
#define FULL_DISK_BYTES ((uint64_t)1 << 20) /* less is left: a write failed for want of room */

/* A row of a table with large values begins with one of these. */
enum {
    ROW_INLINE,  /* then the value */
    ROW_IN_HEAP, /* then struct heap_place, as this machine has it */
};
#define ROW_PLACE_SIZE (1 + sizeof(struct heap_place))

static const bool large[TABLE_COUNT] = {[TABLE_TIMELINE] = true, [TABLE_CONVERSION] = true};

struct state_lmdb {
    struct state_backend backend; /* first: the backend's functions cast back */
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    MDB_dbi meta;
    MDB_dbi extra[STATE_LMDB_EXTRA_MAX];
    struct heap heap;
    struct buf row; /* being written */
    MDB_txn *snapshot;
    struct key_filter filter;
    int learn_table; /* TABLE_COUNT: all is learnt */
    struct buf learn_key;
    int last_table; /* of the group that was learnt last; TABLE_COUNT: none yet */
    uint8_t last_group[GROUP_SIZE];
};

int state_lmdb_error(int code)
{
    errno = code > 0 ? code : 0;
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

static bool disk_is_full(MDB_env *env)
{
    mdb_filehandle_t file;
    struct statvfs disk;
    return mdb_env_get_fd(env, &file) == 0 && fstatvfs(file, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize < FULL_DISK_BYTES;
}

/* The size that the file says it has, and the one that it has. */
static int file_sizes(MDB_env *env, mdb_filehandle_t *file, off_t *said, off_t *found)
{
    MDB_envinfo info;
    MDB_stat pages;
    struct stat state;
    int r = mdb_env_info(env, &info);
    if (r == 0)
        r = mdb_env_stat(env, &pages);
    if (r == 0)
        r = mdb_env_get_fd(env, file);
    if (r == 0 && fstat(*file, &state) != 0)
        r = errno;
    if (r)
        return r;
    *said = (off_t)(info.me_last_pgno + 1) * pages.ms_psize;
    *found = state.st_size;
    return 0;
}

/* LMDB leaves pages out that it took and gave back in one transaction: at the end of the file it is
 * then shorter than it says. Made up for, so that another short file is one that was cut. */
static void fill_file(MDB_env *env)
{
    mdb_filehandle_t file;
    off_t said, found;
    if (file_sizes(env, &file, &said, &found) == 0 && found < said)
        (void)!ftruncate(file, said);
}

static int check_whole(MDB_env *env)
{
    mdb_filehandle_t file;
    off_t said, found;
    int r = file_sizes(env, &file, &said, &found);
    if (r)
        return state_lmdb_error(r);
    return found < said ? ERR_STATE : 0;
}

int state_lmdb_commit(MDB_txn *txn)
{
    MDB_env *env = mdb_txn_env(txn);
    int r = mdb_txn_commit(txn);
    if (r == 0)
        fill_file(env);
    if (r == EIO && disk_is_full(env))
        return state_lmdb_error(ENOSPC);
    return r ? state_lmdb_error(r) : 0;
}

static MDB_val to_val(struct str bytes)
{
    return (MDB_val){.mv_size = bytes.size, .mv_data = (void *)(uintptr_t)bytes.data};
}

static bool in_heap(enum table table, struct str row)
{
    return large[table] && row.size == ROW_PLACE_SIZE && row.data[0] == ROW_IN_HEAP;
}

static struct heap_place place_of(struct str row)
{
    struct heap_place place;
    memcpy(&place, row.data + 1, sizeof place);
    return place;
}

int state_lmdb_value(const struct state_lmdb *store, MDB_txn *txn, enum table table,
    const MDB_val *stored, struct str *value)
{
    struct str row = str_make(stored->mv_data, stored->mv_size);
    if (!large[table]) {
        *value = row;
        return 0;
    }
    if (in_heap(table, row)) {
        struct heap_place place = place_of(row);
        return heap_get(&store->heap, txn, &place, value);
    }
    if (row.size == 0 || row.data[0] != ROW_INLINE)
        return ERR_STATE;
    *value = str_make(row.data + 1, row.size - 1);
    return 0;
}

/* ---- what is surely not there ---- */

#define KEY_MIX ((uint64_t)0x9e3779b97f4a7c15)
#define GROUP_MIX ((uint64_t)0xc2b2ae3d27d4eb4f)

/* Not the whole hash: the filter wants its bits independent of a table's number. */
static uint64_t filter_hash(enum table table, struct str key)
{
    uint64_t mix = key.size == GROUP_SIZE ? GROUP_MIX : KEY_MIX;
    return hash64(key) ^ (uint64_t)(table + 1) * mix;
}

/* Keys come sorted mostly: many of one group after the other. */
static void learn(struct state_lmdb *store, enum table table, struct str key)
{
    key_filter_add(&store->filter, filter_hash(table, key));
    if (key.size <= GROUP_SIZE ||
        (store->last_table == (int)table && memcmp(store->last_group, key.data, GROUP_SIZE) == 0))
        return;
    key_filter_add(&store->filter, filter_hash(table, str_make(key.data, GROUP_SIZE)));
    store->last_table = (int)table;
    memcpy(store->last_group, key.data, GROUP_SIZE);
}

static bool may_have(const struct state_lmdb *store, enum table table, struct str key)
{
    return store->learn_table < TABLE_COUNT ||
           key_filter_may_have(&store->filter, filter_hash(table, key));
}

/* Reads up to *left keys of the table that is being learnt; at its end goes on to the next. */
static int learn_rows(struct state_lmdb *store, MDB_txn *txn, size_t *left)
{
    enum table table = (enum table)store->learn_table;
    MDB_cursor *cursor;
    MDB_val key = to_val(buf_str(&store->learn_key)), value;
    int r = mdb_cursor_open(txn, store->tables[table], &cursor);
    if (r)
        return state_lmdb_error(r);
    r = mdb_cursor_get(cursor, &key, &value, key.mv_size ? MDB_SET_RANGE : MDB_FIRST);
    for (; r == 0 && *left; --*left) {
        learn(store, table, str_make(key.mv_data, key.mv_size));
        r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    buf_clear(&store->learn_key);
    int error = r == 0 ? buf_append(&store->learn_key, key.mv_data, key.mv_size) : 0;
    mdb_cursor_close(cursor);
    store->learn_table += r == MDB_NOTFOUND;
    return r && r != MDB_NOTFOUND ? state_lmdb_error(r) : error;
}

static int learn_some(struct state_lmdb *store, MDB_txn *txn, size_t keys)
{
    int r = 0;
    while (r == 0 && keys && store->learn_table < TABLE_COUNT && !store->filter.given_up)
        r = learn_rows(store, txn, &keys);
    return r;
}

static bool backend_lacks(struct state_backend *backend, enum table table, struct str group)
{
    return !may_have((struct state_lmdb *)backend, table, group);
}

static int backend_get(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    struct state_lmdb *store = (struct state_lmdb *)backend;
    if (!may_have(store, table, key))
        return STATE_ABSENT;
    MDB_val k = to_val(key), v;
    int r = mdb_get(store->snapshot, store->tables[table], &k, &v);
    if (r == MDB_NOTFOUND)
        return STATE_ABSENT;
    if (r)
        return state_lmdb_error(r);
    return state_lmdb_value(store, store->snapshot, table, &v, value);
}

struct cursor {
    const struct state_lmdb *store;
    enum table table;
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
    *cursor = (struct cursor){.store = store, .table = table, .from = to_val(from)};
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
    return state_lmdb_value(cursor->store, cursor->store->snapshot, cursor->table, &v, value);
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

/* Databases that are there open with MDB_CREATE in a reading transaction too; else it is EACCES. */
static int open_databases(struct state_lmdb *store, const struct state_lmdb_options *options)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(store->env, NULL, options->read_only ? MDB_RDONLY : 0, &txn);
    if (r)
        return state_lmdb_error(r);
    r = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
    for (int t = 0; r == 0 && t < TABLE_COUNT; t++)
        r = mdb_dbi_open(txn, table_name((enum table)t), MDB_CREATE, &store->tables[t]);
    if (r == 0)
        r = heap_open(&store->heap, txn);
    for (size_t i = 0; r == 0 && i < options->extra_count; i++)
        r = mdb_dbi_open(txn, options->extra[i], MDB_CREATE, &store->extra[i]);
    int error = r == EACCES ? ERR_STATE
                : r         ? state_lmdb_error(r)
                            : check_format(store, txn, options->format);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    return state_lmdb_commit(txn);
}

/* Empty tables have been learnt; where another process writes, nothing ever is. */
static int begin_learning(struct state_lmdb *store, const struct state_lmdb_options *options)
{
    MDB_txn *txn;
    store->filter.given_up = options->read_only;
    store->last_table = TABLE_COUNT;
    if (options->read_only)
        return 0;
    store->filter.bytes_max = options->filter_bytes_max;
    key_filter_begin(&store->filter);
    int r = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    r = learn_some(store, txn, LEARN_KEYS_MIN);
    mdb_txn_abort(txn);
    return r;
}

static int open_environment(
    struct state_lmdb *store, const char *dir, const struct state_lmdb_options *options)
{
    if (!options->read_only && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return state_lmdb_error(errno);
    int r = mdb_env_create(&store->env);
    if (r)
        return state_lmdb_error(r);
    size_t map = options->map_bytes ? options->map_bytes : STATE_LMDB_MAP_BYTES_DEFAULT;
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options->fsync_off ? MDB_NOSYNC : 0u) |
                     (options->read_only ? MDB_RDONLY : 0u);
    r = mdb_env_set_mapsize(store->env, map);
    if (r == 0)
        r = mdb_env_set_maxdbs(store->env, TABLE_COUNT + 3 + STATE_LMDB_EXTRA_MAX);
    if (r == 0)
        r = mdb_env_set_maxreaders(store->env, READERS_MAX);
    if (r == 0)
        r = mdb_env_open(store->env, dir, flags, 0600);
    if (r == ENOENT)
        return ERR_NOT_FOUND;
    if (r)
        return state_lmdb_error(r);
    int dead = 0;
    (void)mdb_reader_check(store->env, &dead);
    int error = options->whole_only ? check_whole(store->env) : 0;
    if (error == 0)
        error = open_databases(store, options);
    return error < 0 ? error : begin_learning(store, options);
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
        .lacks = backend_lacks,
        .scan_begin = backend_scan_begin,
        .scan_next = backend_scan_next,
        .scan_end = backend_scan_end,
    };
    int r = open_environment(store, dir, options);
    if (r < 0) {
        int reason = errno;
        state_lmdb_close(&store);
        errno = reason;
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
        heap_fini(&(*store)->heap);
        buf_free(&(*store)->row);
        buf_free(&(*store)->learn_key);
        key_filter_clear(&(*store)->filter);
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

/* ---- writing ---- */

/* A cursor for rows of one table after the other. */
struct pen {
    struct state_lmdb *store;
    MDB_txn *txn;
    MDB_cursor *cursor;
    enum table table;
};

static int pen_turn(struct pen *pen, enum table table)
{
    if (pen->cursor && pen->table == table)
        return 0;
    if (pen->cursor)
        mdb_cursor_close(pen->cursor);
    pen->cursor = NULL;
    pen->table = table;
    int r = mdb_cursor_open(pen->txn, pen->store->tables[table], &pen->cursor);
    return r ? state_lmdb_error(r) : 0;
}

static int pen_put(struct pen *pen, struct str key, struct str row)
{
    MDB_val k = to_val(key), v = to_val(row);
    int r = mdb_cursor_put(pen->cursor, &k, &v, 0);
    return r ? state_lmdb_error(r) : 0;
}

/* The row as it stands: 0 or STATE_ABSENT; the cursor is at it. */
static int pen_find(struct pen *pen, struct str key, struct str *row)
{
    MDB_val k = to_val(key), v;
    int r = mdb_cursor_get(pen->cursor, &k, &v, MDB_SET);
    if (r)
        return r == MDB_NOTFOUND ? STATE_ABSENT : state_lmdb_error(r);
    *row = str_make(v.mv_data, v.mv_size);
    return 0;
}

static int put_place(struct pen *pen, struct str key, const struct heap_place *place)
{
    uint8_t row[ROW_PLACE_SIZE] = {ROW_IN_HEAP};
    memcpy(row + 1, place, sizeof *place);
    return pen_put(pen, key, str_make(row, sizeof row));
}

static int put_large(struct pen *pen, enum table table, struct str key, struct str value)
{
    struct heap_place place;
    if (value.size >= HEAP_VALUE_MIN) {
        int r = heap_put(&pen->store->heap, table, key, value, &place);
        return r < 0 ? r : put_place(pen, key, &place);
    }
    struct buf *row = &pen->store->row;
    const char tag = ROW_INLINE;
    buf_clear(row);
    int r = buf_append(row, &tag, 1);
    if (r == 0)
        r = buf_append_str(row, value);
    return r < 0 ? r : pen_put(pen, key, buf_str(row));
}

/* What the row had in the heap is no more. */
static int drop_value(struct pen *pen, enum table table, struct str key)
{
    struct str row = str_make(NULL, 0);
    int r = pen_find(pen, key, &row);
    if (r || !in_heap(table, row))
        return r < 0 ? r : 0;
    struct heap_place place = place_of(row);
    return heap_drop(&pen->store->heap, key, &place);
}

static int write_change(struct pen *pen, const struct state_change *change)
{
    int r = pen_turn(pen, change->table);
    if (r == 0 && large[change->table] && !change->fresh)
        r = drop_value(pen, change->table, change->key);
    if (r < 0)
        return r;
    if (change->deleted) {
        MDB_val key = to_val(change->key);
        int code = mdb_del(pen->txn, pen->store->tables[change->table], &key, NULL);
        return code && code != MDB_NOTFOUND ? state_lmdb_error(code) : 0;
    }
    return large[change->table] ? put_large(pen, change->table, change->key, change->value)
                                : pen_put(pen, change->key, change->value);
}

/* Puts an entry of a sparse chunk anew, if its row still means it. */
static int move_entry(struct pen *pen, const struct heap_entry *entry)
{
    struct str row = str_make(NULL, 0);
    struct heap_place place;
    int r = pen_turn(pen, entry->table);
    if (r == 0)
        r = pen_find(pen, entry->key, &row);
    if (r || !in_heap(entry->table, row))
        return r < 0 ? r : 0;
    place = place_of(row);
    if (place.chunk != entry->place.chunk || place.offset != entry->place.offset)
        return 0;
    r = heap_put(&pen->store->heap, entry->table, entry->key, entry->value, &place);
    return r < 0 ? r : put_place(pen, entry->key, &place);
}

static int move_chunk(struct pen *pen, uint64_t chunk)
{
    CLEANUP(buf_free) struct buf copy = {0}; /* what is written may move the pages below */
    struct heap *heap = &pen->store->heap;
    struct heap_entry entry = {.place.chunk = chunk};
    struct str entries;
    size_t at = 0;
    int r = heap_chunk(heap, pen->txn, chunk, &entries), damage = 0;
    if (r == 0)
        r = buf_append_str(&copy, entries);
    while (r == 0 && heap_next(buf_str(&copy), &at, &entry, &damage))
        r = move_entry(pen, &entry);
    if (r == 0)
        r = damage;
    return r < 0 ? r : heap_delete(heap, chunk);
}

static int write_changes(struct pen *pen, const struct state_change *changes, size_t count)
{
    struct heap *heap = &pen->store->heap;
    int r = heap_begin(heap, pen->txn);
    for (size_t i = 0; r == 0 && i < count; i++) {
        /* One that stood has been learnt, or is yet to be read. */
        if (!changes[i].deleted && !changes[i].stood)
            learn(pen->store, changes[i].table, changes[i].key);
        r = write_change(pen, &changes[i]);
    }
    if (r == 0)
        r = heap_settle(heap);
    for (size_t at = 0; r == 0 && at < heap->sparse.size; at += sizeof(uint64_t)) {
        uint64_t chunk;
        memcpy(&chunk, heap->sparse.data + at, sizeof chunk);
        r = move_chunk(pen, chunk);
    }
    return r < 0 ? r : heap_end(heap);
}

int state_lmdb_apply(
    struct state_lmdb *store, MDB_txn *txn, const struct state_change *changes, size_t count)
{
    struct pen pen = {.store = store, .txn = txn};
    int r = learn_some(store, txn, LEARN_KEYS_MIN + LEARN_KEYS_A_CHANGE * count);
    if (r == 0)
        r = write_changes(&pen, changes, count);
    if (pen.cursor)
        mdb_cursor_close(pen.cursor);
    return r;
}

size_t state_lmdb_share(const struct state_change *changes, size_t count, size_t bytes_max)
{
    size_t taken = 0, bytes = 0;
    while (taken < count && (taken == 0 || bytes < bytes_max)) {
        bytes += PAGE_BYTES + changes[taken].value.size; /* rows seldom share a page */
        taken++;
    }
    return taken;
}

int state_lmdb_clear(struct state_lmdb *store, MDB_txn *txn)
{
    int r = heap_clear(&store->heap, txn);
    for (int t = 0; r == 0 && t < TABLE_COUNT; t++)
        r = mdb_drop(txn, store->tables[t], 0);
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
