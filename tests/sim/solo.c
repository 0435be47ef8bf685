/* A driver without a log: the caller is the log. */
#include "tests/sim/solo.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/stream/outbox.h"
#include "ingest/stream/state_lmdb.h"
#include "schemas/error.h"

#define MAIL_SIZE_MAX ((size_t)4 << 30)
#define SENT_ROOM_MIN 16

struct mail {
    struct mail *next;
    enum topic topic;
    struct str key;
    struct str value;
};

struct sent_list {
    struct solo_sent *items;
    size_t count;
    size_t room;
};

struct solo {
    struct state_backend backend; /* first: counts, then asks the store */
    const struct stage *stage;
    void *instance;
    char dir[64];
    struct state_lmdb *store;
    struct state *state;
    struct outbox outbox;
    struct mail *first;
    struct mail **last;
    struct arena mails;
    struct arena scratch;
    struct arena kept;
    bool keep;
    bool open; /* a snapshot is taken */
    struct sent_list sent[TOPIC_COUNT];
    struct solo_counts counts;
};

static int count_get(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    struct solo *solo = (struct solo *)backend;
    struct state_backend *store = state_lmdb_backend(solo->store);
    solo->counts.gets++;
    return store->get(store, table, key, value);
}

static int count_scan(struct state_backend *backend, enum table table, struct str from, void **out)
{
    struct solo *solo = (struct solo *)backend;
    struct state_backend *store = state_lmdb_backend(solo->store);
    solo->counts.scans++;
    return store->scan_begin(store, table, from, out);
}

static int keep_sent(struct solo *solo, enum topic topic, struct str key, struct str value)
{
    struct sent_list *list = &solo->sent[topic];
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : SENT_ROOM_MIN;
        struct solo_sent *more = realloc(list->items, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        list->items = more;
        list->room = room;
    }
    struct solo_sent *item = &list->items[list->count];
    int r = arena_dup(&solo->kept, key, &item->key);
    if (r == 0)
        r = arena_dup(&solo->kept, value, &item->value);
    list->count += r == 0;
    return r;
}

static bool takes(const struct stage *stage, enum topic topic)
{
    for (size_t i = 0; i < stage->inputs_count; i++)
        if (stage->inputs[i] == topic)
            return true;
    return false;
}

static int send_mail(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct solo *solo = (struct solo *)(void *)((char *)outbox - offsetof(struct solo, outbox));
    solo->counts.mails[topic]++;
    solo->counts.bytes[topic] += key.size + value.size;
    if (!takes(solo->stage, topic))
        return solo->keep ? keep_sent(solo, topic, key, value) : 0;
    struct mail *mail = arena_alloc(&solo->mails, sizeof *mail);
    if (!mail)
        return ERR_NO_MEMORY;
    *mail = (struct mail){.topic = topic};
    int r = arena_dup(&solo->mails, key, &mail->key);
    if (r == 0)
        r = arena_dup(&solo->mails, value, &mail->value);
    if (r < 0)
        return r;
    *solo->last = mail;
    solo->last = &mail->next;
    return 0;
}

int solo_new(const struct stage *stage, struct solo **out)
{
    struct solo *solo = calloc(1, sizeof *solo);
    if (!solo)
        return ERR_NO_MEMORY;
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(solo->dir, sizeof solo->dir, "%s/solo-XXXXXX", tmp ? tmp : "/tmp");
    const struct state_lmdb_options options = {.fsync_off = true, .format = "solo"};
    solo->backend = (struct state_backend){.get = count_get, .scan_begin = count_scan};
    solo->stage = stage;
    solo->outbox.send = send_mail;
    solo->last = &solo->first;
    solo->mails.size_max = MAIL_SIZE_MAX;
    int r = mkdtemp(solo->dir) ? 0 : ERR_IO;
    if (r == 0)
        r = state_lmdb_open(&solo->store, solo->dir, &options);
    if (r == 0) {
        struct state_backend *store = state_lmdb_backend(solo->store);
        solo->backend.scan_next = store->scan_next;
        solo->backend.scan_end = store->scan_end;
        r = state_new(&solo->backend, &solo->state);
    }
    if (r == 0)
        r = stage->open(stage->config, &solo->instance);
    if (r < 0)
        solo_free(&solo);
    else
        *out = solo;
    return r;
}

static void remove_dir(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

void solo_free(struct solo **out)
{
    struct solo *solo = *out;
    *out = NULL;
    if (!solo)
        return;
    solo_abort(solo);
    if (solo->instance)
        solo->stage->close(solo->instance);
    state_free(&solo->state);
    state_lmdb_close(&solo->store);
    arena_free(&solo->mails);
    arena_free(&solo->scratch);
    arena_free(&solo->kept);
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        free(solo->sent[i].items);
    remove_dir(solo->dir);
    free(solo);
}

void solo_keep_sent(struct solo *solo, bool keep)
{
    solo->keep = keep;
}

static int begin(struct solo *solo)
{
    if (solo->open)
        return 0;
    int r = state_lmdb_begin(solo->store);
    solo->open = r == 0;
    return r;
}

static void end(struct solo *solo)
{
    if (solo->state)
        state_reset(solo->state);
    if (solo->open)
        state_lmdb_end(solo->store);
    solo->open = false;
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        solo->sent[i].count = 0;
    solo->first = NULL;
    solo->last = &solo->first;
    arena_reset(&solo->mails);
    arena_reset(&solo->kept);
}

static int drain(struct solo *solo, struct task *task)
{
    int r = 0;
    while (r == 0 && solo->first) {
        const struct mail *mail = solo->first;
        const struct record record = {.topic = mail->topic, .key = mail->key, .value = mail->value};
        r = solo->stage->process(solo->instance, task, &record);
        arena_reset(&solo->scratch);
        solo->first = mail->next;
        if (!solo->first)
            solo->last = &solo->first;
    }
    if (r == 0)
        arena_reset(&solo->mails);
    return r;
}

int solo_process(struct solo *solo, const struct record *record)
{
    struct task task = {solo->state, &solo->outbox, &solo->scratch, 0};
    int r = begin(solo);
    if (r == 0)
        r = solo->stage->process(solo->instance, &task, record);
    arena_reset(&solo->scratch);
    if (r == 0)
        r = drain(solo, &task);
    if (r < 0)
        solo_abort(solo);
    return r;
}

static int apply(struct solo *solo)
{
    const struct state_change *changes;
    size_t count;
    MDB_txn *txn;
    int r = state_changes(solo->state, &changes, &count);
    if (r < 0)
        return r;
    if (mdb_txn_begin(state_lmdb_env(solo->store), NULL, 0, &txn))
        return ERR_IO;
    solo->counts.changes += count;
    r = state_lmdb_apply(solo->store, txn, changes, count);
    if (r < 0)
        mdb_txn_abort(txn);
    else if (mdb_txn_commit(txn))
        r = ERR_IO;
    return r;
}

int solo_commit(struct solo *solo)
{
    struct task task = {solo->state, &solo->outbox, &solo->scratch, 0};
    int r = begin(solo);
    while (r == 0) {
        r = solo->stage->settle(solo->instance, &task);
        arena_reset(&solo->scratch);
        if (r < 0 || !solo->first)
            break;
        r = drain(solo, &task);
    }
    if (r == 0)
        r = apply(solo);
    if (r < 0)
        solo_abort(solo);
    else
        end(solo);
    return r;
}

void solo_abort(struct solo *solo)
{
    if (solo->instance)
        solo->stage->reset(solo->instance);
    end(solo);
}

const struct solo_sent *solo_sent(const struct solo *solo, enum topic topic, size_t *count)
{
    *count = solo->sent[topic].count;
    return solo->sent[topic].items;
}

int solo_row(struct solo *solo, enum table table, struct str key, struct str *value)
{
    struct state_backend *store = state_lmdb_backend(solo->store);
    int r = begin(solo);
    return r < 0 ? r : store->get(store, table, key, value);
}

int solo_rows(struct solo *solo, struct state_backend **out)
{
    int r = begin(solo);
    if (r == 0)
        *out = state_lmdb_backend(solo->store);
    return r;
}

int solo_table_size(struct solo *solo, enum table table, size_t *rows, size_t *bytes)
{
    struct state_backend *store = state_lmdb_backend(solo->store);
    struct str key, value;
    void *cursor;
    int r = begin(solo);
    if (r == 0)
        r = store->scan_begin(store, table, str_make("", 1), &cursor);
    if (r < 0)
        return r;
    *rows = *bytes = 0;
    while ((r = store->scan_next(cursor, &key, &value)) == 0) {
        ++*rows;
        *bytes += key.size + value.size;
    }
    store->scan_end(cursor);
    return r < 0 ? r : 0;
}

const struct solo_counts *solo_counts(const struct solo *solo)
{
    return &solo->counts;
}
