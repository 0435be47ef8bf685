/* Opening and closing of the embedded driver's directory. */
#include "ingest/stream/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest/stream/local_private.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096

/* DIR/name, or ERR_TOO_LARGE. */
static int join(const char *dir, const char *name, char out[PATH_SIZE_MAX])
{
    int size = snprintf(out, PATH_SIZE_MAX, "%s/%s", dir, name);
    return size > 0 && size < PATH_SIZE_MAX ? 0 : ERR_TOO_LARGE;
}

/* Makes the directory and those above it. */
static int make_directories(const char *dir)
{
    char path[PATH_SIZE_MAX];
    int size = snprintf(path, sizeof path, "%s", dir);
    if (size <= 0 || size >= PATH_SIZE_MAX)
        return ERR_TOO_LARGE;
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return state_lmdb_error(errno);
        *p = '/';
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? state_lmdb_error(errno) : 0;
}

static int take_lock(struct local *local, const char *dir)
{
    char path[PATH_SIZE_MAX];
    int r = join(dir, "lock", path);
    if (r < 0)
        return r;
    local->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (local->lock_fd < 0)
        return state_lmdb_error(errno);
    if (flock(local->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? ERR_LOCKED : ERR_IO;
    return 0;
}

static int read_number(MDB_txn *txn, MDB_dbi dbi, const char *name, int64_t *value)
{
    MDB_val key = local_val(name, strlen(name)), found;
    int r = mdb_get(txn, dbi, &key, &found);
    if (r == MDB_NOTFOUND)
        return 0;
    if (r)
        return state_lmdb_error(r);
    if (found.mv_size != 8)
        return ERR_STATE;
    *value = (int64_t)get_be64(found.mv_data);
    return 0;
}

/* The directory's own name, so that a sink notices when its positions are of another one. */
static int read_directory_id(struct local *local, MDB_txn *txn)
{
    MDB_val key = local_val("directory", 9), value;
    MDB_dbi meta = state_lmdb_meta(local->store);
    int r = mdb_get(txn, meta, &key, &value);
    if (r == 0 && value.mv_size == LOCAL_DIRECTORY_ID_SIZE) {
        memcpy(local->directory_id, value.mv_data, LOCAL_DIRECTORY_ID_SIZE);
        return 0;
    }
    if (r != MDB_NOTFOUND)
        return r ? state_lmdb_error(r) : ERR_STATE;
    if (getrandom(local->directory_id, LOCAL_DIRECTORY_ID_SIZE, 0) != LOCAL_DIRECTORY_ID_SIZE)
        return ERR_IO;
    value = local_val(local->directory_id, LOCAL_DIRECTORY_ID_SIZE);
    r = mdb_put(txn, meta, &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

static int read_readers(struct local *local, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_cursor_open(txn, state_lmdb_extra(local->store, LOCAL_EXTRA_READERS), &cursor);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    while (error == 0 && (r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t at = local->readers_count;
        if (at == LOCAL_READERS_MAX || key.mv_size >= sizeof local->reader_names[0] ||
            value.mv_size != 8) {
            error = ERR_STATE;
            continue;
        }
        memcpy(local->reader_names[at], key.mv_data, key.mv_size);
        local->reader_names[at][key.mv_size] = 0;
        atomic_store(&local->acked[at], (int64_t)get_be64(value.mv_data));
        local->readers_count++;
    }
    mdb_cursor_close(cursor);
    if (error == 0 && r != MDB_NOTFOUND)
        error = state_lmdb_error(r);
    return error;
}

static int read_positions(struct local *local)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    MDB_dbi meta = state_lmdb_meta(local->store);
    int error = read_number(txn, meta, "input", &local->input_next);
    if (error == 0)
        error = read_number(txn, meta, "change", &local->change_next);
    if (error == 0)
        error = read_number(txn, meta, "whole", &local->whole_to);
    if (error == 0)
        error = read_directory_id(local, txn);
    if (error == 0)
        error = read_readers(local, txn);
    /* State ahead of its log: somebody put an old copy of one of them back. */
    if (error == 0 && local->input_next > local->log_end)
        error = ERR_STATE;
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    local->results_end = local->change_next;
    return state_lmdb_commit(txn);
}

int local_state_open(struct local *local, const char *path, bool read_only)
{
    static const char *const extra[LOCAL_EXTRA_COUNT] = {"changes", "rejected", "readers"};
    const struct state_lmdb_options options = {
        .map_bytes = local->options.map_bytes,
        .fsync_off = local->options.fsync_off,
        .read_only = read_only,
        .extra = extra,
        .extra_count = LOCAL_EXTRA_COUNT,
        .format = LOCAL_FORMAT,
    };
    int r = state_lmdb_open(&local->store, path, &options);
    if (r == 0)
        r = read_only || local->options.keep ? local_check_writers(local) : local_upgrade(local);
    return r < 0 ? r : state_new(state_lmdb_backend(local->store), &local->state);
}

static void init_threads(struct local *local)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&local->mutex, NULL);
    (void)pthread_mutex_init(&local->results_mutex, NULL);
    (void)pthread_cond_init(&local->queued, &monotonic);
    (void)pthread_cond_init(&local->committed, &monotonic);
    (void)pthread_cond_init(&local->results_ready, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

int local_make(const struct local_options *options, struct local **out)
{
    struct local *local = calloc(1, sizeof *local);
    if (!local)
        return ERR_NO_MEMORY;
    local->lock_fd = -1;
    local->appender = (struct appender){.append = local_append, .cursor_get = local_cursor_get};
    if (options)
        local->options = *options;
    if (!local->options.map_bytes)
        local->options.map_bytes = STATE_LMDB_MAP_BYTES_DEFAULT;
    if (!local->options.batch_records_max)
        local->options.batch_records_max = LOCAL_BATCH_RECORDS_DEFAULT;
    if (!local->options.batch_bytes_max)
        local->options.batch_bytes_max = LOCAL_BATCH_BYTES_DEFAULT;
    local->queue_last = &local->queue_first;
    local->mail_last = &local->mail_first;
    init_threads(local);
    *out = local;
    return 0;
}

int local_open(struct local **out, const char *dir, const struct local_options *options)
{
    struct local *local;
    char path[PATH_SIZE_MAX];
    int r = local_make(options, &local);
    if (r < 0)
        return r;
    r = make_directories(dir);
    if (r == 0)
        r = take_lock(local, dir);
    if (r == 0)
        r = join(dir, "log", path);
    if (r == 0)
        r = local_log_open(local, path);
    if (r == 0)
        r = join(dir, "state", path);
    if (r == 0)
        r = local_state_open(local, path, false);
    if (r == 0)
        r = read_positions(local);
    if (r < 0) {
        int reason = errno;
        local_close(&local);
        errno = reason;
        return r;
    }
    *out = local;
    return 0;
}

void local_close(struct local **out)
{
    struct local *local = *out;
    if (!local)
        return;
    local_log_close(local);
    for (size_t i = 0; i < local->stages_count; i++)
        local->stages[i].stage->close(local->stages[i].instance);
    state_free(&local->state);
    state_lmdb_close(&local->store);
    arena_free(&local->mail_arena);
    arena_free(&local->scratch);
    arena_free(&local->translated);
    translator_fini(&local->translator);
    free(local->eras);
    buf_free(&local->rejected);
    buf_free(&local->difference);
    (void)pthread_mutex_destroy(&local->mutex);
    (void)pthread_mutex_destroy(&local->results_mutex);
    (void)pthread_cond_destroy(&local->queued);
    (void)pthread_cond_destroy(&local->committed);
    (void)pthread_cond_destroy(&local->results_ready);
    if (local->lock_fd >= 0)
        (void)close(local->lock_fd);
    free(local);
    *out = NULL;
}

struct appender *local_appender(struct local *local)
{
    return &local->appender;
}

int64_t local_log_end(struct local *local)
{
    (void)pthread_mutex_lock(&local->mutex);
    int64_t end = local->log_end;
    (void)pthread_mutex_unlock(&local->mutex);
    return end;
}
