/*
 * The worker of the local driver: one batch, one transaction of {input position, tables, change
 * log}.
 *
 * Invariants:
 *  I1 a batch ends at the end of a segment of the log; `input_next` is the first position of a
 * segment or the log's end. I2 nothing of a batch is visible before its commit; after an error
 * nothing of it remains. I3 all mail of a batch is delivered within it.
 */
#include <stdlib.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/local_private.h"
#include "ingest/stream/meaning.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/rejected.avro.h"

#define MAIL_ARENA_KEEP ((size_t)1 << 22)

struct mail_item {
    struct mail_item *next;
    enum topic topic;
    struct str key;
    struct str value;
};

static int keep_rejected(struct local *local, struct str key, struct str value)
{
    if (key.size == 0)
        return ERR_EMPTY;
    if (key.size > STATE_KEY_SIZE_MAX || value.size > STATE_VALUE_SIZE_MAX)
        return ERR_TOO_LARGE;
    uint32_t sizes[2] = {(uint32_t)key.size, (uint32_t)value.size};
    int r = buf_append(&local->rejected, sizes, sizeof sizes);
    if (r == 0)
        r = buf_append_str(&local->rejected, key);
    return r < 0 ? r : buf_append_str(&local->rejected, value);
}

static int send_mail(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct local *local = (struct local *)(void *)((char *)outbox - offsetof(struct local, outbox));
    if (topic == TOPIC_REJECTED)
        return keep_rejected(local, key, value);
    struct mail_item *item = arena_alloc(&local->mail_arena, sizeof *item);
    if (!item)
        return ERR_NO_MEMORY;
    *item = (struct mail_item){.topic = topic};
    int r = arena_dup(&local->mail_arena, key, &item->key);
    if (r == 0)
        r = arena_dup(&local->mail_arena, value, &item->value);
    if (r < 0)
        return r;
    *local->mail_last = item;
    local->mail_last = &item->next;
    return 0;
}

/* Rows of another meaning are nothing that these stages can go on from. */
static int check_meaning(struct local *local)
{
    int r = state_lmdb_begin(local->store), unlike = 0;
    for (size_t i = 0; r == 0 && i < local->stages_count; i++) {
        r = meaning_check(local->state, local->stages[i].stage, &local->difference);
        local->unlike[i] = r == ERR_MEANING;
        unlike = r == ERR_MEANING ? r : unlike;
        r = r == ERR_MEANING ? 0 : r;
    }
    local_forget(local);
    return r < 0 ? r : unlike;
}

int local_set_stages(struct local *local, const struct stage *stages, size_t count)
{
    check(count <= LOCAL_STAGES_MAX && local->stages_count == 0);
    local->outbox.send = send_mail;
    local->mail_arena.size_max = (size_t)1 << 36;
    for (size_t i = 0; i < count; i++) {
        void *instance;
        int r = stages[i].open(stages[i].config, &instance);
        if (r < 0)
            return r;
        local->stages[local->stages_count++] = (struct local_stage){&stages[i], instance};
    }
    return check_meaning(local);
}

int64_t local_whole_to(const struct local *local)
{
    return local->whole_to;
}

struct str local_difference(const struct local *local)
{
    return buf_str(&local->difference);
}

/* A stage that answers REJECT has a defect, an older build's value that is not what its schema says
 * is damaged; the record is kept, the rest goes on. */
static int reject_record(
    struct local *local, const char *stage, const struct record *record, int error)
{
    struct rejected rejected;
    struct sha256 hash;
    uint8_t digest[32];
    rejected_init(&rejected);
    rejected.stage = str_of(stage);
    rejected.reason = str_of(error_name(error));
    rejected.payload = record->value;
    sha256_init(&hash);
    sha256_update_sized(&hash, rejected.source);
    sha256_update_sized(&hash, rejected.stage);
    sha256_update_sized(&hash, rejected.reason);
    sha256_update_sized(&hash, rejected.pointer);
    sha256_update_sized(&hash, rejected.payload);
    sha256_final(&hash, digest);
    memcpy(rejected.rejected_key, digest, KEY_SIZE);
    CLEANUP(buf_free) struct buf value = {0};
    int r = rejected_encode(&rejected, &value);
    return r < 0 ? r : keep_rejected(local, str_make(digest, KEY_SIZE), buf_str(&value));
}

/* Gives a record to every stage that takes its topic. */
static int deliver(struct local *local, const struct record *record)
{
    struct task task = {
        .state = local->state, .outbox = &local->outbox, .scratch = &local->scratch};
    for (size_t i = 0; i < local->stages_count; i++) {
        const struct stage *stage = local->stages[i].stage;
        for (size_t k = 0; k < stage->inputs_count; k++) {
            if (stage->inputs[k] != record->topic)
                continue;
            int r = stage->process(local->stages[i].instance, &task, record);
            arena_reset(&local->scratch);
            if (r < 0 && error_class(r) == ERROR_CLASS_REJECT)
                r = reject_record(local, stage->name, record, r);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int drain_mail(struct local *local)
{
    struct mail_item *item;
    while ((item = local->mail_first)) {
        const struct record record = {.topic = item->topic, .key = item->key, .value = item->value};
        int r = deliver(local, &record);
        if (r < 0)
            return r;
        local->mail_first = item->next;
        if (!local->mail_first)
            local->mail_last = &local->mail_first;
    }
    /* All delivered: the memory serves the next event. */
    arena_reset(&local->mail_arena);
    return 0;
}

static int settle(struct local *local)
{
    struct task task = {
        .state = local->state, .outbox = &local->outbox, .scratch = &local->scratch};
    do {
        int r = drain_mail(local);
        for (size_t i = 0; r == 0 && i < local->stages_count; i++) {
            r = local->stages[i].stage->settle(local->stages[i].instance, &task);
            arena_reset(&local->scratch);
        }
        if (r < 0)
            return r;
    } while (local->mail_first);
    int r = 0;
    for (size_t i = 0; r == 0 && i < local->stages_count; i++)
        r = meaning_keep(local->state, local->stages[i].stage);
    return r;
}

static int process_record(struct local *local, const struct record *record)
{
    return record->topic == TOPIC_REJECTED ? keep_rejected(local, record->key, record->value)
                                           : deliver(local, record);
}

/* A record of an older build. */
static int process_older(
    struct local *local, const struct writers *writers, const struct record *record)
{
    struct record own = *record;
    int r = local_translate(local, writers, &own);
    if (r == 0)
        r = process_record(local, &own);
    else if (error_class(r) == ERROR_CLASS_REJECT)
        r = reject_record(local, "log", record, r);
    arena_reset(&local->translated);
    return r;
}

static int process_segment(
    struct local *local, int64_t position, struct str segment, size_t *records)
{
    const struct writers *older = local_era(local, position);
    struct record record = {.position = position};
    int error;
    while (local_log_record(&segment, &record, &error)) {
        int r = older ? process_older(local, older, &record) : process_record(local, &record);
        if (r == 0 && local->mail_first)
            r = drain_mail(local);
        if (r < 0)
            return r;
        record.position++;
        (*records)++;
    }
    return error;
}

/* Reads segments from input_next until a limit of the batch. *next is where the following batch
 * begins. */
static int process_log(struct local *local, MDB_txn *txn, int64_t *next)
{
    MDB_cursor *cursor;
    uint8_t from[8];
    put_be64(from, (uint64_t)local->input_next);
    MDB_val key = local_val(from, sizeof from), value;
    int r = mdb_cursor_open(txn, local->log_records, &cursor);
    if (r)
        return state_lmdb_error(r);
    size_t records = 0, bytes = 0;
    int error = 0;
    r = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (r == 0 && error == 0 && records < local->options.batch_records_max &&
           bytes + state_size(local->state) < local->options.batch_bytes_max) {
        size_t before = records;
        int64_t position = (int64_t)get_be64(key.mv_data);
        error = process_segment(local, position, str_make(value.mv_data, value.mv_size), &records);
        bytes += value.mv_size;
        *next = position + (int64_t)(records - before);
        if (error == 0)
            r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (error == 0 && r && r != MDB_NOTFOUND)
        error = state_lmdb_error(r);
    return error < 0 ? error : settle(local);
}

/* ---- the transaction ---- */

static int put_number(MDB_txn *txn, MDB_dbi dbi, const char *name, int64_t number)
{
    uint8_t bytes[8];
    put_be64(bytes, (uint64_t)number);
    MDB_val key = local_val(name, strlen(name)), value = local_val(bytes, sizeof bytes);
    int r = mdb_put(txn, dbi, &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

static int log_change(
    struct local *local, MDB_txn *txn, enum topic topic, struct str row_key, int64_t *next)
{
    uint8_t position[8], value_bytes[1 + STATE_KEY_SIZE_MAX];
    put_be64(position, (uint64_t)*next);
    value_bytes[0] = (uint8_t)topic;
    memcpy(value_bytes + 1, row_key.data, row_key.size);
    MDB_val key = local_val(position, sizeof position);
    MDB_val value = local_val(value_bytes, 1 + row_key.size);
    int r =
        mdb_put(txn, state_lmdb_extra(local->store, LOCAL_EXTRA_CHANGES), &key, &value, MDB_APPEND);
    if (r)
        return state_lmdb_error(r);
    (*next)++;
    return 0;
}

static int log_changes(struct local *local, MDB_txn *txn, const struct state_change *changes,
    size_t count, int64_t *next)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        enum topic topic = table_topic(changes[i].table);
        if (topic_table(topic) >= 0)
            r = log_change(local, txn, topic, changes[i].key, next);
    }
    return r;
}

static int put_rejected(struct local *local, MDB_txn *txn, int64_t *next)
{
    struct str rest = buf_str(&local->rejected);
    MDB_dbi dbi = state_lmdb_extra(local->store, LOCAL_EXTRA_REJECTED);
    while (rest.size) {
        uint32_t sizes[2];
        memcpy(sizes, rest.data, sizeof sizes);
        struct str key = str_make(rest.data + sizeof sizes, sizes[0]);
        MDB_val k = local_val(key.data, key.size);
        MDB_val v = local_val(key.data + sizes[0], sizes[1]);
        rest = str_make(
            key.data + sizes[0] + sizes[1], rest.size - sizeof sizes - sizes[0] - sizes[1]);
        int r = mdb_put(txn, dbi, &k, &v, MDB_NOOVERWRITE);
        if (r == MDB_KEYEXIST)
            continue;
        if (r)
            return state_lmdb_error(r);
        r = log_change(local, txn, TOPIC_REJECTED, key, next);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Takes from the change log what every reader has. */
static int trim_changes(struct local *local, MDB_txn *txn)
{
    int64_t least = INT64_MAX;
    (void)pthread_mutex_lock(&local->results_mutex);
    size_t readers = local->readers_count;
    (void)pthread_mutex_unlock(&local->results_mutex);
    for (size_t i = 0; i < readers; i++) {
        int64_t acked = atomic_load(&local->acked[i]);
        least = acked < least ? acked : least;
        uint8_t bytes[8];
        put_be64(bytes, (uint64_t)acked);
        MDB_val key = local_val(local->reader_names[i], strlen(local->reader_names[i]));
        MDB_val value = local_val(bytes, sizeof bytes);
        int r = mdb_put(txn, state_lmdb_extra(local->store, LOCAL_EXTRA_READERS), &key, &value, 0);
        if (r)
            return state_lmdb_error(r);
    }
    if (readers == 0)
        return 0;
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_cursor_open(txn, state_lmdb_extra(local->store, LOCAL_EXTRA_CHANGES), &cursor);
    if (r)
        return state_lmdb_error(r);
    while ((r = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)) == 0 &&
           (int64_t)get_be64(key.mv_data) < least) {
        r = mdb_cursor_del(cursor, 0);
        if (r)
            break;
    }
    mdb_cursor_close(cursor);
    return r && r != MDB_NOTFOUND ? state_lmdb_error(r) : 0;
}

static int write_batch(struct local *local, MDB_txn *txn, int64_t input, int64_t *change)
{
    const struct state_change *changes;
    size_t count;
    int r = trim_changes(local, txn);
    if (r == 0)
        r = state_changes(local->state, &changes, &count);
    if (r == 0)
        r = state_lmdb_apply(local->store, txn, changes, count);
    if (r == 0)
        r = log_changes(local, txn, changes, count, change);
    if (r == 0)
        r = put_rejected(local, txn, change);
    if (r == 0)
        r = put_number(txn, state_lmdb_meta(local->store), "input", input);
    if (r == 0)
        r = put_number(txn, state_lmdb_meta(local->store), "change", *change);
    if (r == 0 && local->rederiving)
        r = put_number(txn, state_lmdb_meta(local->store), "whole", *change);
    return r < 0 ? r : FAULT_POINT("state_commit");
}

static int commit_batch(struct local *local, int64_t input)
{
    MDB_txn *txn;
    int64_t change = local->change_next;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    int error = write_batch(local, txn, input, &change);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    error = state_lmdb_commit(txn);
    if (error < 0)
        return error;
    local->input_next = input;
    local->change_next = change;
    local->whole_to = local->rederiving ? change : local->whole_to;
    (void)pthread_mutex_lock(&local->results_mutex);
    local->results_end = change;
    (void)pthread_cond_broadcast(&local->results_ready);
    (void)pthread_mutex_unlock(&local->results_mutex);
    return FAULT_POINT("state_committed");
}

void local_forget(struct local *local)
{
    local->mail_first = NULL;
    local->mail_last = &local->mail_first;
    arena_reset(&local->mail_arena);
    arena_reset(&local->scratch);
    buf_clear(&local->rejected);
    state_reset(local->state);
    state_lmdb_end(local->store);
}

int local_try(struct local *local, const struct record *record)
{
    int r = deliver(local, record);
    return r < 0 ? r : settle(local);
}

int local_work(struct local *local, int timeout_ms)
{
    if (local_log_wait(local, local->input_next, timeout_ms) <= local->input_next) {
        atomic_store(&local->woken, false);
        return LOCAL_QUIET;
    }
    MDB_txn *log;
    int r = mdb_txn_begin(local->log_env, NULL, MDB_RDONLY, &log);
    if (r)
        return state_lmdb_error(r);
    int64_t next = local->input_next;
    int error = state_lmdb_begin(local->store);
    if (error == 0)
        error = process_log(local, log, &next);
    if (error == 0)
        error = commit_batch(local, next);
    if (error < 0)
        for (size_t i = 0; i < local->stages_count; i++)
            local->stages[i].stage->reset(local->stages[i].instance);
    local_forget(local);
    mdb_txn_abort(log);
    return error;
}

/* Keys of the stage's table from where the last call ended; *done when none is left. */
static int mark_keys(
    struct local *local, const struct local_stage *one, size_t keys_max, bool *done)
{
    struct state_backend *backend = state_lmdb_backend(local->store);
    struct task task = {
        .state = local->state, .outbox = &local->outbox, .scratch = &local->scratch};
    struct str key, value;
    void *cursor;
    size_t count = 0;
    static const char first[GROUP_SIZE];
    struct str last = str_make((const char *)local->rederived_to, local->rederived_size);
    int r = backend->scan_begin(backend, one->stage->rederive_table,
        last.size ? last : str_make(first, sizeof first), &cursor);
    if (r < 0)
        return r;
    while (count < keys_max && (r = backend->scan_next(cursor, &key, &value)) == 0) {
        if (str_equal(key, last))
            continue; /* that of the call before */
        count++;
        if (key.size > sizeof local->rederived_to) {
            r = ERR_STATE;
            break;
        }
        memcpy(local->rederived_to, key.data, key.size);
        local->rederived_size = key.size;
        last = str_make((const char *)local->rederived_to, key.size);
        r = one->stage->rederive(one->instance, &task, key);
        arena_reset(&local->scratch);
        if (r < 0)
            break;
    }
    backend->scan_end(cursor);
    *done = r == STATE_ABSENT;
    return r < 0 ? r : 0;
}

/* From now on rows of two meanings stand side by side: no settings fit until all are made anew. */
static int rederive_begin(struct local *local, const struct local_stage *one)
{
    struct task task = {
        .state = local->state, .outbox = &local->outbox, .scratch = &local->scratch};
    if (local->rederived_size)
        return 0;
    int r = meaning_leave(local->state, one->stage);
    return r < 0 || !one->stage->rederive_begin ? r
                                                : one->stage->rederive_begin(one->instance, &task);
}

static int rederive(struct local *local, size_t index, size_t keys_max)
{
    const struct local_stage *one = &local->stages[index];
    bool done = false;
    int r = state_lmdb_begin(local->store);
    local->rederiving = true;
    if (r == 0)
        r = rederive_begin(local, one);
    if (r == 0)
        r = mark_keys(local, one, keys_max, &done);
    if (r == 0)
        r = settle(local);
    if (r == 0 && done)
        r = meaning_put(local->state, one->stage);
    if (r == 0)
        r = commit_batch(local, local->input_next);
    if (r < 0)
        one->stage->reset(one->instance);
    local_forget(local);
    local->rederiving = false;
    if (r == 0 && done) {
        local->unlike[index] = false;
        local->rederived_size = 0;
    }
    return r;
}

int local_rederive(struct local *local, size_t keys_max)
{
    size_t index = local->stages_count;
    for (size_t i = 0; i < local->stages_count; i++) {
        if (local->unlike[i] && !local->stages[i].stage->rederive)
            return ERR_MEANING;
        if (local->unlike[i] && index == local->stages_count)
            index = i;
    }
    return index == local->stages_count ? LOCAL_QUIET : rederive(local, index, keys_max);
}

void local_wake(struct local *local)
{
    atomic_store(&local->woken, true);
    /* Under the mutex: else a waiter between its look and its sleep would miss it. */
    (void)pthread_mutex_lock(&local->mutex);
    (void)pthread_cond_broadcast(&local->committed);
    (void)pthread_mutex_unlock(&local->mutex);
}

void local_wake_results(struct local *local)
{
    (void)pthread_mutex_lock(&local->results_mutex);
    local->results_wakes++;
    (void)pthread_cond_broadcast(&local->results_ready);
    (void)pthread_mutex_unlock(&local->results_mutex);
}
