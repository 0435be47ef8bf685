/*
 * The log of the local driver: appenders queue, one thread commits all that wait with one fsync.
 *
 * Invariants:
 *  I1 append() returns 0 only after the transaction with its records was committed with fsync.
 *  I2 after a commit failed for another reason than space, no append succeeds any more: what the
 * disk holds is then unknown. I3 log_end rises only by committed records; positions have no gaps.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/local_private.h"
#include "schemas/error.h"

#define RECORD_HEAD_SIZE 7
#define LOG_READERS_MAX 64

static size_t record_size(const struct append_record *record)
{
    return RECORD_HEAD_SIZE + record->key.size + record->value.size;
}

static void put_record(const struct append_record *record, uint8_t **p)
{
    uint16_t key_size = (uint16_t)record->key.size;
    uint32_t value_size = (uint32_t)record->value.size;
    uint8_t *at = *p;
    *at = (uint8_t)record->topic;
    memcpy(at + 1, &key_size, sizeof key_size);
    memcpy(at + 3, &value_size, sizeof value_size);
    at += RECORD_HEAD_SIZE;
    if (key_size)
        memcpy(at, record->key.data, key_size);
    at += key_size;
    if (value_size)
        memcpy(at, record->value.data, value_size);
    *p = at + value_size;
}

bool local_log_record(struct str *segment, struct record *record, int *error)
{
    uint16_t key_size;
    uint32_t value_size;
    *error = 0;
    if (segment->size == 0)
        return false;
    *error = ERR_STATE;
    if (segment->size < RECORD_HEAD_SIZE)
        return false;
    memcpy(&key_size, segment->data + 1, sizeof key_size);
    memcpy(&value_size, segment->data + 3, sizeof value_size);
    size_t size = RECORD_HEAD_SIZE + (size_t)key_size + value_size;
    uint8_t topic = (uint8_t)segment->data[0];
    if (size > segment->size || topic >= TOPIC_COUNT)
        return false;
    record->topic = (enum topic)topic;
    record->key = str_make(segment->data + RECORD_HEAD_SIZE, key_size);
    record->value = str_make(segment->data + RECORD_HEAD_SIZE + key_size, value_size);
    *segment = str_make(segment->data + size, segment->size - size);
    *error = 0;
    return true;
}

/* Where the writer stands among the records of the requests that it took. */
struct take {
    const struct append_request *request;
    size_t index;
};

static const struct append_record *take_peek(struct take *take)
{
    while (take->request && take->index == take->request->count) {
        take->request = take->request->next;
        take->index = 0;
    }
    return take->request ? &take->request->records[take->index] : NULL;
}

/* Writes the next segment. Returns how many records it holds, or an ERR_*. */
static int64_t write_segment(struct local *local, MDB_txn *txn, int64_t position, struct take *take)
{
    struct take end = *take;
    const struct append_record *record;
    size_t size = 0;
    int64_t count = 0;
    while ((record = take_peek(&end)) &&
           (count == 0 || size + record_size(record) <= LOCAL_SEGMENT_SIZE)) {
        size += record_size(record);
        count++;
        end.index++;
    }
    uint8_t key_bytes[8];
    put_be64(key_bytes, (uint64_t)position);
    MDB_val key = local_val(key_bytes, sizeof key_bytes), value = {.mv_size = size};
    int r = mdb_put(txn, local->log_records, &key, &value, MDB_RESERVE | MDB_APPEND);
    if (r)
        return state_lmdb_error(r);
    uint8_t *p = value.mv_data;
    for (int64_t i = 0; i < count; i++) {
        put_record(take_peek(take), &p);
        take->index++;
    }
    return count;
}

static int write_cursor(struct local *local, MDB_txn *txn, const struct append_cursor *cursor)
{
    MDB_val key = local_val(cursor->name.data, cursor->name.size);
    MDB_val value = local_val(cursor->value.data, cursor->value.size);
    int r = mdb_put(txn, local->log_cursors, &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

/* One transaction for all taken requests. On success *end is the new end of the log. */
static int commit_requests(struct local *local, const struct append_request *first, int64_t *end)
{
    MDB_txn *txn;
    int64_t position = local->log_end;
    int r = mdb_txn_begin(local->log_env, NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    struct take take = {.request = first};
    while (error == 0 && take_peek(&take)) {
        int64_t count = write_segment(local, txn, position, &take);
        if (count < 0)
            error = (int)count;
        else
            position += count;
    }
    for (const struct append_request *q = first; error == 0 && q; q = q->next)
        if (q->cursor)
            error = write_cursor(local, txn, q->cursor);
    if (error == 0)
        error = FAULT_POINT("log_commit");
    if (error < 0) {
        int reason = errno;
        mdb_txn_abort(txn);
        errno = reason;
        return error;
    }
    error = state_lmdb_commit(txn);
    if (error < 0)
        return error;
    *end = position;
    return FAULT_POINT("log_committed");
}

/* Takes everything that waits; NULL when closing. The mutex is held. */
static struct append_request *take_requests(struct local *local)
{
    while (!local->queue_first && !local->closing)
        (void)pthread_cond_wait(&local->queued, &local->mutex);
    struct append_request *first = local->closing ? NULL : local->queue_first;
    if (first) {
        local->queue_first = NULL;
        local->queue_last = &local->queue_first;
        local->queue_count = 0;
    }
    return first;
}

/* Answers requests. The mutex is held; a request is gone once its caller sees done. */
static void answer_requests(struct append_request *first, int result, int reason)
{
    while (first) {
        struct append_request *next = first->next;
        first->result = result;
        first->reason = reason;
        first->done = true;
        first = next;
    }
}

static void *write_log(void *context)
{
    struct local *local = context;
    struct append_request *first;
    (void)pthread_setname_np(pthread_self(), "log");
    (void)pthread_mutex_lock(&local->mutex);
    while ((first = take_requests(local))) {
        int failed = local->failed;
        errno = local->reason;
        (void)pthread_mutex_unlock(&local->mutex);
        int64_t end = local->log_end;
        int r = failed ? failed : commit_requests(local, first, &end);
        int reason = r < 0 ? errno : 0;
        (void)pthread_mutex_lock(&local->mutex);
        if (r < 0 && r != ERR_FULL && r != ERR_NO_MEMORY) {
            local->failed = r;
            local->reason = reason;
        }
        local->log_end = end;
        answer_requests(first, r, reason);
        (void)pthread_cond_broadcast(&local->committed);
    }
    answer_requests(local->queue_first, ERR_AGAIN, 0);
    local->queue_first = NULL;
    (void)pthread_cond_broadcast(&local->committed);
    (void)pthread_mutex_unlock(&local->mutex);
    return NULL;
}

/* What the worker could not store later is refused now: it would stop there for ever. */
static int check_record(const struct append_record *record)
{
    if (record->key.size == 0)
        return ERR_EMPTY;
    bool fits = (record->topic == TOPIC_EVENTS || record->topic == TOPIC_REJECTED) &&
                record->key.size <= STATE_KEY_SIZE_MAX &&
                record->value.size <= STATE_VALUE_SIZE_MAX;
    return fits ? 0 : ERR_TOO_LARGE;
}

int local_append(struct appender *appender, const struct append_record *records, size_t count,
    const struct append_cursor *cursor)
{
    struct local *local = (struct local *)appender;
    if (count == 0 && !cursor)
        return 0;
    for (size_t i = 0; i < count; i++) {
        int bad = check_record(&records[i]);
        if (bad < 0)
            return bad;
    }
    struct append_request request = {.records = records, .count = count, .cursor = cursor};
    (void)pthread_mutex_lock(&local->mutex);
    int r = local->failed ? local->failed : local->closing ? ERR_AGAIN : 0;
    int reason = local->reason;
    if (r == 0 && local->queue_count == LOCAL_QUEUE_REQUESTS_MAX)
        r = ERR_FULL;
    if (r == 0) {
        *local->queue_last = &request;
        local->queue_last = &request.next;
        local->queue_count++;
        local->appending++;
        (void)pthread_cond_signal(&local->queued);
        while (!request.done)
            (void)pthread_cond_wait(&local->committed, &local->mutex);
        r = request.result;
        reason = request.reason;
        if (--local->appending == 0 && local->closing)
            (void)pthread_cond_broadcast(&local->committed);
    }
    (void)pthread_mutex_unlock(&local->mutex);
    errno = reason;
    return r;
}

int local_cursor_get(struct appender *appender, struct str name, struct buf *out)
{
    struct local *local = (struct local *)appender;
    MDB_txn *txn;
    int r = mdb_txn_begin(local->log_env, NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    MDB_val key = local_val(name.data, name.size), value;
    r = mdb_get(txn, local->log_cursors, &key, &value);
    int error = r == MDB_NOTFOUND ? APPEND_NO_CURSOR : r ? state_lmdb_error(r) : 0;
    if (error == 0)
        error = buf_append(out, value.mv_data, value.mv_size);
    mdb_txn_abort(txn);
    return error;
}

struct timespec local_deadline(int timeout_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

int64_t local_log_wait(struct local *local, int64_t position, int timeout_ms)
{
    struct timespec deadline = local_deadline(timeout_ms);
    (void)pthread_mutex_lock(&local->mutex);
    while (local->log_end <= position && !atomic_load(&local->woken))
        if (pthread_cond_timedwait(&local->committed, &local->mutex, &deadline) != 0)
            break;
    int64_t end = local->log_end;
    (void)pthread_mutex_unlock(&local->mutex);
    return end;
}

/* End of the log: behind the last record of the last segment. */
int local_log_find_end(struct local *local, MDB_txn *txn, int64_t *end)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_cursor_open(txn, local->log_records, &cursor);
    if (r)
        return state_lmdb_error(r);
    r = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    int error = r && r != MDB_NOTFOUND ? state_lmdb_error(r) : 0;
    *end = 0;
    if (r == 0 && key.mv_size != 8)
        error = ERR_STATE;
    if (r == 0 && error == 0) {
        struct str segment = str_make(value.mv_data, value.mv_size);
        struct record record;
        *end = (int64_t)get_be64(key.mv_data);
        while (local_log_record(&segment, &record, &error))
            (*end)++;
    }
    mdb_cursor_close(cursor);
    return error;
}

static int open_log_databases(struct local *local)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(local->log_env, NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    r = mdb_dbi_open(txn, "records", MDB_CREATE, &local->log_records);
    if (r == 0)
        r = mdb_dbi_open(txn, "cursors", MDB_CREATE, &local->log_cursors);
    if (r == 0)
        r = mdb_dbi_open(txn, "writers", MDB_CREATE, &local->log_writers);
    int error = r ? state_lmdb_error(r) : local_log_find_end(local, txn, &local->log_end);
    if (error == 0)
        error = local_eras_open(local, txn);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    return state_lmdb_commit(txn);
}

int local_log_open(struct local *local, const char *dir)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return state_lmdb_error(errno);
    int r = mdb_env_create(&local->log_env);
    if (r)
        return state_lmdb_error(r);
    unsigned flags = MDB_NOTLS | (local->options.fsync_off ? MDB_NOSYNC : 0u);
    r = mdb_env_set_mapsize(local->log_env, local->options.map_bytes);
    if (r == 0)
        r = mdb_env_set_maxdbs(local->log_env, 3);
    if (r == 0)
        r = mdb_env_set_maxreaders(local->log_env, LOG_READERS_MAX);
    if (r == 0)
        r = mdb_env_open(local->log_env, dir, flags, 0600);
    if (r)
        return state_lmdb_error(r);
    int error = open_log_databases(local);
    if (error < 0)
        return error;
    if (pthread_create(&local->writer, NULL, write_log, local) != 0)
        return ERR_NO_MEMORY;
    local->writer_started = true;
    return 0;
}

void local_log_close(struct local *local)
{
    if (local->writer_started) {
        (void)pthread_mutex_lock(&local->mutex);
        local->closing = true;
        (void)pthread_cond_broadcast(&local->queued);
        (void)pthread_mutex_unlock(&local->mutex);
        (void)pthread_join(local->writer, NULL);
        local->writer_started = false;
        (void)pthread_mutex_lock(&local->mutex);
        while (local->appending)
            (void)pthread_cond_wait(&local->committed, &local->mutex);
        (void)pthread_mutex_unlock(&local->mutex);
    }
    if (local->log_env)
        mdb_env_close(local->log_env);
    local->log_env = NULL;
}
