/*
 * Readers of results: the change log says which rows changed, the tables say what they are now.
 *
 * A reader whose position was trimmed away first reads all rows of all published tables, in chunks,
 * then the changes from where the log stood when it began: every row is then shown at least once,
 * and its last state last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ingest/stream/local_private.h"
#include "schemas/error.h"
#include "schemas/hash.h"

/* Large: a row that changed again within a batch is shown once, and sinks meet their keys sorted in
 * long runs. */
#define BATCH_RESULTS_MAX 100000
#define SEEN_SLOTS 262144 /* power of two, over twice BATCH_RESULTS_MAX */

/* What a full reading goes through, in this order. */
static const enum topic published[] = {TOPIC_PERSONS, TOPIC_TOUCHPOINTS, TOPIC_SESSIONS,
    TOPIC_CONVERSIONS, TOPIC_PROFILES, TOPIC_MODELS, TOPIC_REJECTED};
#define PUBLISHED_COUNT (sizeof published / sizeof *published)

struct local_source {
    struct result_source source; /* first */
    struct local *local;
    size_t reader;
    int64_t next;        /* position in the change log */
    uint64_t wakes;      /* local's results_wakes that this one has answered */
    size_t full_at;      /* index into published; PUBLISHED_COUNT: no full reading (any more) */
    bool begins_anew;    /* the next batch is the first of a full reading */
    struct buf full_key; /* last row seen of that table; empty: none */
    MDB_txn *txn;
    struct result *results;
    size_t results_count;
    uint32_t *seen; /* index + 1 into results */
    struct result_position position;
};

static MDB_dbi topic_dbi(const struct local *local, enum topic topic)
{
    return topic == TOPIC_REJECTED ? state_lmdb_extra(local->store, LOCAL_EXTRA_REJECTED)
                                   : state_lmdb_table(local->store, (enum table)topic_table(topic));
}

/* Returns whether (topic, key) already is in the batch; else remembers it. */
static bool seen_before(struct local_source *source, enum topic topic, struct str key)
{
    uint64_t hash = hash64(key) + (uint64_t)topic * 0x9e3779b97f4a7c15;
    size_t at = (size_t)hash & (SEEN_SLOTS - 1);
    for (; source->seen[at]; at = (at + 1) & (SEEN_SLOTS - 1)) {
        const struct result *other = &source->results[source->seen[at] - 1];
        if (other->topic == topic && str_equal(other->key, key))
            return true;
    }
    source->seen[at] = (uint32_t)source->results_count + 1;
    return false;
}

/* stored: the row's bytes; NULL for a tombstone. */
static int add_result(struct local_source *source, struct result result, const MDB_val *stored)
{
    if (stored && result.topic == TOPIC_REJECTED) {
        result.value = str_make(stored->mv_data, stored->mv_size);
    } else if (stored) {
        int r = state_lmdb_value(source->local->store, source->txn,
            (enum table)topic_table(result.topic), stored, &result.value);
        if (r < 0)
            return r;
    }
    source->results[source->results_count++] = result;
    return 0;
}

static int add_change(struct local_source *source, struct str change)
{
    struct local *local = source->local;
    if (change.size < 1 || (uint8_t)change.data[0] >= TOPIC_COUNT)
        return ERR_STATE;
    enum topic topic = (enum topic)change.data[0];
    struct str key = str_make(change.data + 1, change.size - 1);
    if (topic != TOPIC_REJECTED && topic_table(topic) < 0)
        return ERR_STATE;
    if (seen_before(source, topic, key))
        return 0;
    MDB_val k = local_val(key.data, key.size), value;
    int r = mdb_get(source->txn, topic_dbi(local, topic), &k, &value);
    if (r && r != MDB_NOTFOUND)
        return state_lmdb_error(r);
    return add_result(source,
        (struct result){.topic = topic, .tombstone = r == MDB_NOTFOUND, .key = key},
        r ? NULL : &value);
}

/* Whether the change log has lost what comes next. A commit that runs while its first reader
 * registers does not know of it yet. Positions have no gaps, so a later first one tells. */
static bool trimmed(const struct local_source *source, int r, const MDB_val *key, int64_t committed)
{
    if (r == MDB_NOTFOUND)
        return source->next < committed;
    return r == 0 && (int64_t)get_be64(key->mv_data) > source->next;
}

static void begin_full_reading(struct local_source *source, int64_t committed)
{
    source->next = committed;
    source->full_at = 0;
    source->begins_anew = true;
    buf_clear(&source->full_key);
    atomic_store(&source->local->acked[source->reader], committed);
}

/* committed: a change position that the snapshot has everything before. */
static int read_changes(struct local_source *source, int64_t committed)
{
    MDB_cursor *cursor;
    uint8_t from[8];
    put_be64(from, (uint64_t)source->next);
    MDB_val key = local_val(from, sizeof from), value;
    int r = mdb_cursor_open(
        source->txn, state_lmdb_extra(source->local->store, LOCAL_EXTRA_CHANGES), &cursor);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    int64_t next = source->next;
    r = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (trimmed(source, r, &key, committed)) {
        mdb_cursor_close(cursor);
        begin_full_reading(source, committed);
        return 0;
    }
    while (r == 0 && error == 0 && source->results_count < BATCH_RESULTS_MAX) {
        error = add_change(source, str_make(value.mv_data, value.mv_size));
        next = (int64_t)get_be64(key.mv_data) + 1;
        if (error == 0)
            r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (error == 0 && r && r != MDB_NOTFOUND)
        error = state_lmdb_error(r);
    if (error == 0)
        source->next = next;
    return error;
}

/* The next rows of the full reading; moves on to the next table at a table's end. */
static int read_rows(struct local_source *source)
{
    enum topic topic = published[source->full_at];
    MDB_cursor *cursor;
    int r = mdb_cursor_open(source->txn, topic_dbi(source->local, topic), &cursor);
    if (r)
        return state_lmdb_error(r);
    MDB_val key = local_val(source->full_key.data, source->full_key.size), value;
    bool resumed = source->full_key.size > 0;
    struct str last = buf_str(&source->full_key);
    r = mdb_cursor_get(cursor, &key, &value, resumed ? MDB_SET_RANGE : MDB_FIRST);
    if (r == 0 && resumed && str_equal(str_make(key.mv_data, key.mv_size), last))
        r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    int error = 0;
    while (r == 0 && error == 0 && source->results_count < BATCH_RESULTS_MAX) {
        last = str_make(key.mv_data, key.mv_size);
        error = add_result(source, (struct result){.topic = topic, .key = last}, &value);
        r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (error < 0)
        return error;
    if (r && r != MDB_NOTFOUND)
        return state_lmdb_error(r);
    if (r == MDB_NOTFOUND) {
        source->full_at++;
        buf_clear(&source->full_key);
        return 0;
    }
    struct buf kept = {0};
    error = buf_append_str(&kept, last);
    buf_free(&source->full_key);
    source->full_key = kept;
    return error;
}

/* Returns the end of the change log as of the last commit. */
static int64_t wait_for_results(struct local_source *source, int timeout_ms)
{
    struct local *local = source->local;
    struct timespec deadline = local_deadline(timeout_ms);
    (void)pthread_mutex_lock(&local->results_mutex);
    while (local->results_end <= source->next && local->results_wakes == source->wakes)
        if (pthread_cond_timedwait(&local->results_ready, &local->results_mutex, &deadline) != 0)
            break;
    source->wakes = local->results_wakes;
    int64_t committed = local->results_end;
    (void)pthread_mutex_unlock(&local->results_mutex);
    return committed;
}

/* What the next batch holds. A full reading that was just begun goes on with its rows at once. */
static int read_batch(struct local_source *source, int64_t committed)
{
    for (;;) {
        int error = 0;
        while (error == 0 && source->full_at < PUBLISHED_COUNT && source->results_count == 0)
            error = read_rows(source);
        if (error == 0 && source->results_count == 0)
            error = read_changes(source, committed);
        if (error < 0 || source->full_at == PUBLISHED_COUNT || source->results_count)
            return error;
    }
}

static int source_next(struct result_source *base, int timeout_ms, struct result_batch *batch)
{
    struct local_source *source = (struct local_source *)base;
    bool full = source->full_at < PUBLISHED_COUNT;
    if (source->txn)
        mdb_txn_abort(source->txn);
    source->txn = NULL;
    if (source->results_count)
        memset(source->seen, 0, SEEN_SLOTS * sizeof *source->seen);
    source->results_count = 0;
    int64_t committed = wait_for_results(source, full ? 0 : timeout_ms);
    int r = mdb_txn_begin(state_lmdb_env(source->local->store), NULL, MDB_RDONLY, &source->txn);
    if (r) {
        source->txn = NULL;
        return state_lmdb_error(r);
    }
    int error = read_batch(source, committed);
    if (error < 0)
        return error;
    /* Until a full reading has ended, its position is none: it begins anew after a crash. */
    source->position.next = source->full_at < PUBLISHED_COUNT ? -1 : source->next;
    *batch = (struct result_batch){
        .results = source->results,
        .results_count = source->results_count,
        .positions = &source->position,
        .positions_count = 1,
        .begins_anew = source->begins_anew,
    };
    source->begins_anew = false;
    return 0;
}

static int source_ack(struct result_source *base)
{
    struct local_source *source = (struct local_source *)base;
    if (source->full_at == PUBLISHED_COUNT)
        atomic_store(&source->local->acked[source->reader], source->next);
    return 0;
}

static void source_close(struct result_source *base)
{
    struct local_source *source = (struct local_source *)base;
    if (source->txn)
        mdb_txn_abort(source->txn);
    buf_free(&source->full_key);
    free(source->results);
    free(source->seen);
    free(source);
}

/* First position that the change log still has. */
static int first_change(struct local *local, int64_t *first)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    r = mdb_cursor_open(txn, state_lmdb_extra(local->store, LOCAL_EXTRA_CHANGES), &cursor);
    if (r == 0) {
        r = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        mdb_cursor_close(cursor);
    }
    if (r == 0)
        *first = (int64_t)get_be64(key.mv_data);
    mdb_txn_abort(txn);
    return r && r != MDB_NOTFOUND ? state_lmdb_error(r) : 0;
}

/* Registers the reader under its name; the results mutex is held. */
static int register_reader(struct local *local, const char *name, int64_t position, size_t *reader)
{
    size_t at = 0;
    while (at < local->readers_count && strcmp(local->reader_names[at], name) != 0)
        at++;
    if (at == LOCAL_READERS_MAX || strlen(name) >= sizeof local->reader_names[0])
        return ERR_TOO_MANY;
    atomic_store(&local->acked[at], position);
    if (at == local->readers_count) {
        memcpy(local->reader_names[at], name, strlen(name) + 1);
        local->readers_count++;
    }
    *reader = at;
    return 0;
}

/* Decides where the reader begins: its position, or a full reading. */
static int place_source(struct local_source *source, const char *name,
    const struct result_position *positions, size_t count)
{
    struct local *local = source->local;
    char id[2 * LOCAL_DIRECTORY_ID_SIZE + 1] = "";
    hex_encode(local->directory_id, LOCAL_DIRECTORY_ID_SIZE, id);
    (void)snprintf(source->position.topic, sizeof source->position.topic, "local:%s", id);
    if (count > 1 || (count == 1 && strcmp(positions[0].topic, source->position.topic) != 0))
        return ERR_STATE;
    (void)pthread_mutex_lock(&local->results_mutex);
    int64_t end = local->results_end, first = end;
    int r = first_change(local, &first);
    int64_t wanted = count ? positions[0].next : 0;
    if (r == 0 && wanted > end)
        r = ERR_STATE;
    bool full = wanted < first;
    source->next = full ? end : wanted;
    source->full_at = full ? 0 : PUBLISHED_COUNT;
    source->begins_anew = full;
    if (r == 0)
        r = register_reader(local, name, source->next, &source->reader);
    (void)pthread_mutex_unlock(&local->results_mutex);
    return r;
}

int local_results(struct local *local, const char *name, const struct result_position *positions,
    size_t count, struct result_source **out)
{
    struct local_source *source = calloc(1, sizeof *source);
    if (!source)
        return ERR_NO_MEMORY;
    source->source =
        (struct result_source){.next = source_next, .ack = source_ack, .close = source_close};
    source->local = local;
    source->results = calloc(BATCH_RESULTS_MAX, sizeof *source->results);
    source->seen = calloc(SEEN_SLOTS, sizeof *source->seen);
    memory_expect_use(source->results, BATCH_RESULTS_MAX * sizeof *source->results);
    memory_expect_use(source->seen, SEEN_SLOTS * sizeof *source->seen);
    int r = source->results && source->seen ? place_source(source, name, positions, count)
                                            : ERR_NO_MEMORY;
    if (r < 0) {
        source_close(&source->source);
        return r;
    }
    *out = &source->source;
    return 0;
}
