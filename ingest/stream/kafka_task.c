/* See the header. Invariant: the overlay lives exactly while `begun`, the snapshot below it too,
 * but for the commit: rows to be written are all in the overlay. */
#include "ingest/stream/kafka_task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "ingest/door.h"
#include "ingest/stream/fault.h"
#include "ingest/stream/kafka_relay.h"
#include "ingest/stream/meaning.h"
#include "ingest/stream/writers.h"
#include "schemas/error.h"

#define FORMAT "tabiji-kafka-3"
#define MAP_BYTES ((size_t)64 << 30) /* of one task; hundreds fit into an address space */
#define PATH_SIZE KAFKA_TASK_DIR_SIZE
#define KEY_CLUSTER "cluster"
#define KEY_SEEN "seen"
#define KEY_BOOT "boot"
#define KEY_WRITERS "writers"
#define PARTITIONS_LINE "partitions "
#define WRITE_SHARE 16 /* of a batch's bytes: what one write transaction makes dirty */
#define WRITE_BYTES_MIN ((size_t)256 << 10)
#define SYNC_EVERY_MS 5000 /* so late at most is an error of the disk noticed */

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- which tables ---- */

bool kafka_task_owns(const struct stage *stage, enum table table)
{
    bool of_identity = kafka_topic_of_identity(table_topic(table));
    for (size_t i = 0; i < stage->inputs_count; i++)
        if (kafka_topic_of_identity(stage->inputs[i]) == of_identity)
            return true;
    return false;
}

int kafka_task_check_stages(
    const struct stage *stages, size_t count, const struct kafka_layout *layout)
{
    for (size_t s = 0; s < count; s++) {
        const struct stage *stage = &stages[s];
        for (size_t i = 0; i < stage->inputs_count; i++)
            if (layout->partitions[stage->inputs[i]] != layout->partitions[stage->inputs[0]])
                return ERR_CONFIG;
    }
    for (int t = 0; t < TABLE_COUNT; t++) {
        size_t owners = 0;
        for (size_t s = 0; s < count; s++)
            owners += kafka_task_owns(&stages[s], (enum table)t);
        if (owners > 1)
            return ERR_CONFIG;
    }
    return 0;
}

/* ---- meta ---- */

static MDB_val val_of(const void *data, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}

static int meta_put(struct kafka_task *task, MDB_txn *txn, const char *name, struct str bytes)
{
    MDB_val key = val_of(name, strlen(name));
    MDB_val value = val_of(bytes.data, bytes.size);
    int r = mdb_put(txn, state_lmdb_meta(task->store), &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

static int meta_put_number(struct kafka_task *task, MDB_txn *txn, const char *name, int64_t number)
{
    uint8_t bytes[8];
    put_be64_signed(bytes, number);
    return meta_put(task, txn, name, str_make(bytes, sizeof bytes));
}

/* The bytes of a row of meta, or the empty slice. Valid while txn is. */
static int meta_get(struct kafka_task *task, MDB_txn *txn, const char *name, struct str *out)
{
    MDB_val key = val_of(name, strlen(name));
    MDB_val value;
    int r = mdb_get(txn, state_lmdb_meta(task->store), &key, &value);
    if (r && r != MDB_NOTFOUND)
        return state_lmdb_error(r);
    *out = r ? (struct str){NULL, 0} : str_make(value.mv_data, value.mv_size);
    return 0;
}

static int meta_get_number(struct kafka_task *task, MDB_txn *txn, const char *name, int64_t *out)
{
    struct str bytes;
    int r = meta_get(task, txn, name, &bytes);
    if (r < 0)
        return r;
    if (bytes.size != 0 && bytes.size != 8)
        return ERR_STATE;
    *out = bytes.size ? get_be64_signed((const uint8_t *)bytes.data) : 0;
    return 0;
}

static void next_name(enum topic topic, char out[KAFKA_TOPIC_SIZE_MAX])
{
    snprintf(out, KAFKA_TOPIC_SIZE_MAX, "next:%s", topic_name(topic));
}

/* ---- the local copy ---- */

static void task_dir(const struct kafka_task_origin *origin, const struct stage *stage,
    int32_t partition, char out[KAFKA_TASK_DIR_SIZE])
{
    snprintf(out, KAFKA_TASK_DIR_SIZE, "%s/%s-%d", origin->slot->dir, stage->name, partition);
}

/* LMDB's two files and nothing else: a wrong path deletes nothing. */
static int remove_store(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[PATH_SIZE + 16];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return ERR_IO;
    }
    return 0;
}

/* Puts a copy aside that somebody may want to look at; there is one a task. */
static int put_aside(const char *dir)
{
    char aside[PATH_SIZE + 16];
    int size = snprintf(aside, sizeof aside, "%s%s", dir, KAFKA_COPY_ASIDE);
    if (size < 0 || (size_t)size >= PATH_SIZE)
        return ERR_CONFIG;
    int r = remove_store(aside);
    if (r < 0 || (rmdir(aside) != 0 && errno != ENOENT))
        return ERR_IO;
    return rename(dir, aside) == 0 || errno == ENOENT ? 0 : ERR_IO;
}

static int open_store(struct kafka_task *task, const char *dir)
{
    const struct state_lmdb_options options = {.map_bytes = MAP_BYTES,
        .format = FORMAT,
        .whole_only = true,
        .filter_bytes_max = task->config->filter_bytes_max,
        .fsync_off = task->boot[0] != '\0'};
    return state_lmdb_open(&task->store, dir, &options);
}

/* Whether the copy's rows are of this build's schemas. Those of an older one are had anew,
 * translated, from the changelog; those of a newer one stay, for it alone can read the changelog.
 */
static int check_writers(struct kafka_task *task, MDB_txn *txn, bool *own)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct writers writers;
    struct str stored;
    char why[WRITERS_WHY_SIZE];
    int r = writers_text(&text);
    if (r == 0)
        r = meta_get(task, txn, KEY_WRITERS, &stored);
    if (r < 0)
        return r;
    *own = str_equal(stored, buf_str(&text));
    if (!*own && (r = writers_read(stored, &writers, why)) == ERR_NEWER)
        kafka_log(task->config, LOG_ERR, "kafka_newer",
            "%s is a newer build's: it has %s; it stays as it is (where that build has sent "
            "nothing, delete it: it is made anew from the changelog)",
            task->dir, why);
    return r;
}

static int put_writers(struct kafka_task *task, MDB_txn *txn)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = writers_text(&text);
    return r < 0 ? r : meta_put(task, txn, KEY_WRITERS, buf_str(&text));
}

/* What is wrong with a copy that can be read. */
enum copy_fault {
    COPY_SOUND,
    COPY_ABSENT,
    COPY_FOREIGN,
    COPY_OLDER_BUILD,
    COPY_UNSYNCED,
    COPY_OLD,
    COPY_DAMAGED,
};
static const char *const copy_faults[] = {
    [COPY_SOUND] = "sound",
    [COPY_ABSENT] = "there is no local copy",
    [COPY_FOREIGN] = "the local copy is of another cluster or of topics of another prefix",
    [COPY_OLDER_BUILD] = "the local copy is of another build's schemas",
    [COPY_UNSYNCED] = "the machine went down before the local copy was on the disk",
    [COPY_OLD] = "the local copy is older than tombstones are kept",
    [COPY_DAMAGED] = "the local copy is damaged",
};

/* Reads meta. *fault says whether the copy is to be trusted. */
static int read_meta(
    struct kafka_task *task, MDB_txn *txn, const char *cluster, enum copy_fault *fault)
{
    bool own = false;
    struct str whose;
    struct str boot;
    int64_t seen;
    int r = meta_get(task, txn, KEY_CLUSTER, &whose);
    if (r == 0)
        r = meta_get(task, txn, KEY_BOOT, &boot);
    if (r == 0)
        r = meta_get_number(task, txn, KEY_SEEN, &seen);
    if (r == 0 && str_equal(whose, str_of(cluster)))
        r = check_writers(task, txn, &own);
    for (int i = 0; i < TOPIC_COUNT && r == 0; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        struct kafka_changelog *changelog = &task->changelogs[i];
        next_name((enum topic)i, name);
        if (changelog->used)
            r = meta_get_number(task, txn, name, &changelog->next);
        changelog->now.next = changelog->next;
    }
    if (r < 0)
        return r;
    int64_t age = wall_ms() - seen;
    bool synced = boot.size == 0 || str_equal(boot, str_of(task->boot));
    bool young = age < KAFKA_COPY_AGE_MS_MAX && age > -KAFKA_COPY_AGE_MS_MAX;
    *fault = whose.size == 0                      ? COPY_ABSENT
             : !str_equal(whose, str_of(cluster)) ? COPY_FOREIGN
             : !own                               ? COPY_OLDER_BUILD
             : !synced                            ? COPY_UNSYNCED
             : !young                             ? COPY_OLD
                                                  : COPY_SOUND;
    return 0;
}

static int write_meta(struct kafka_task *task, MDB_txn *txn, const char *boot)
{
    int r = meta_put_number(task, txn, KEY_SEEN, wall_ms());
    if (r == 0)
        r = meta_put(task, txn, KEY_BOOT, str_of(boot));
    for (int i = 0; i < TOPIC_COUNT && r == 0; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        struct kafka_changelog *changelog = &task->changelogs[i];
        next_name((enum topic)i, name);
        if (changelog->used)
            r = meta_put_number(task, txn, name, changelog->now.next);
    }
    return r;
}

/* One write transaction: rows, offsets when they are the last, and the cluster when given. */
static int write_rows(struct kafka_task *task, const struct state_change *changes, size_t count,
    bool last, const char *cluster)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(task->store), NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    r = state_lmdb_apply(task->store, txn, changes, count);
    if (r == 0 && last)
        r = write_meta(task, txn, task->boot);
    if (r == 0 && cluster)
        r = meta_put(task, txn, KEY_CLUSTER, str_of(cluster));
    if (r == 0 && cluster)
        r = put_writers(task, txn);
    if (r < 0) {
        mdb_txn_abort(txn);
        return r;
    }
    return state_lmdb_commit(txn);
}

/* Rows in as many transactions as their pages need, and where the changelogs go on with the last:
 * rows that stand without it are of a committed transaction, and come again, the same. */
static int write_store(
    struct kafka_task *task, const struct state_change *changes, size_t count, const char *cluster)
{
    size_t most = task->config->batch_bytes_max / WRITE_SHARE;
    bool last = false;
    int r = 0;
    while (r == 0 && !last) {
        size_t share =
            state_lmdb_share(changes, count, most < WRITE_BYTES_MIN ? WRITE_BYTES_MIN : most);
        last = share == count;
        r = write_rows(task, changes, share, last, cluster);
        changes += share;
        count -= share;
    }
    for (int i = 0; r == 0 && i < TOPIC_COUNT; i++)
        task->changelogs[i].next = task->changelogs[i].now.next;
    return r;
}

static int sync_store(struct kafka_task *task)
{
    int r = mdb_env_sync(state_lmdb_env(task->store), 1);
    task->synced_ms = wall_ms();
    return r ? state_lmdb_error(r) : 0;
}

/* Brings all to the disk, then says so. */
static int close_copy(struct kafka_task *task)
{
    int r = sync_store(task);
    if (r < 0)
        return r;
    task->boot = "";
    r = write_store(task, NULL, 0, NULL);
    return r < 0 ? r : sync_store(task);
}

static int read_store(struct kafka_task *task, const char *cluster, enum copy_fault *fault)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(task->store), NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    r = read_meta(task, txn, cluster, fault);
    mdb_txn_abort(txn);
    return r;
}

static void changelogs_restart(struct kafka_task *task)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        task->changelogs[i].next = task->changelogs[i].now.next = 0;
}

/* Another build's, or one that is only old, is nothing that anybody has to look at. */
static bool worth_a_look(enum copy_fault fault)
{
    return fault == COPY_DAMAGED || fault == COPY_FOREIGN;
}

/* An empty copy in the place of what is there. */
static int begin_copy(struct kafka_task *task, enum copy_fault fault)
{
    const char *dir = task->dir;
    bool aside = worth_a_look(fault);
    kafka_log(task->config, aside ? LOG_ERR : LOG_NOTICE, "kafka_rebuild", "%s %d: %s%s%s",
        task->stage->name, task->partition, copy_faults[fault],
        aside ? "; it is kept aside as " : "", aside ? KAFKA_COPY_ASIDE : "");
    state_lmdb_close(&task->store);
    changelogs_restart(task);
    int r = aside ? put_aside(dir) : remove_store(dir);
    if (r == 0)
        r = open_store(task, dir);
    return r < 0 ? r : write_store(task, NULL, 0, task->cluster);
}

static int new_state(struct kafka_task *task)
{
    size_t block = task->config->batch_bytes_max / WRITE_SHARE;
    int r = state_new(state_lmdb_backend(task->store), &task->state);
    if (r == 0 && block < ARENA_BLOCK_SIZE_MAX_DEFAULT)
        state_block_max(task->state, block < WRITE_BYTES_MIN ? WRITE_BYTES_MIN : block);
    return r;
}

/* Opens the copy that is there, or an empty one in its place. */
static int open_copy(struct kafka_task *task, bool *rebuilt)
{
    enum copy_fault fault = COPY_DAMAGED;
    int r = open_store(task, task->dir);
    if (r == 0)
        r = read_store(task, task->cluster, &fault);
    if (r == 0 && fault == COPY_SOUND)
        return 0;
    if (r < 0 && r != ERR_STATE)
        return r;
    r = begin_copy(task, r < 0 ? COPY_DAMAGED : fault);
    if (r == 0)
        *rebuilt = true;
    return r;
}

static int send_mail(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct kafka_task *task = (struct kafka_task *)outbox;
    check(topic == TOPIC_IDENTITY || topic == TOPIC_JOURNEY || topic == TOPIC_REJECTED);
    int32_t partition = topic_partition(key, task->producer->layout.partitions[topic]);
    struct str bytes = value.data ? value : STR("");
    int r = task->relay ? kafka_relay_put(task->relay, topic, key, bytes)
                        : kafka_producer_send(task->producer, topic, partition, key, bytes, NULL);
    if (r == 0)
        task->mails++;
    return r;
}

/* The stage's settings, then the count of partitions, as a line of its own. */
static int set_meaning(struct kafka_task *task)
{
    if (task->own.meaning.size == 0)
        return 0;
    int r = buf_append_str(&task->meaning, task->own.meaning);
    if (r == 0)
        r = buf_appendf(&task->meaning, PARTITIONS_LINE "%d\n",
            task->producer->layout.partitions[task->own.inputs[0]]);
    task->own.meaning = buf_str(&task->meaning);
    return r;
}

int kafka_task_open(const struct kafka_task_origin *origin, const struct stage *stage,
    int32_t partition, struct kafka_task **out, bool *rebuilt)
{
    struct kafka_task *task = calloc(1, sizeof *task);
    if (!task)
        return ERR_NO_MEMORY;
    *task = (struct kafka_task){.outbox = {.send = send_mail},
        .config = origin->config,
        .stage = &task->own,
        .own = *stage,
        .meaning_given = stage->meaning,
        .partition = partition,
        .producer = origin->producer,
        .relay = origin->relay,
        .suspects = origin->suspects,
        .boot = origin->slot->boot,
        .cluster = origin->cluster,
        .synced_ms = wall_ms()};
    for (int i = 0; i < TABLE_COUNT; i++)
        if (kafka_task_owns(stage, (enum table)i))
            task->changelogs[table_topic((enum table)i)].used = true;
    task_dir(origin, stage, partition, task->dir);
    bool fresh = false;
    int r = kafka_slot_claim(origin->slot, stage->name, partition);
    if (r == 0)
        task->slot = origin->slot;
    if (r == 0)
        r = set_meaning(task);
    if (r == 0)
        r = open_copy(task, &fresh);
    if (r == 0)
        r = new_state(task);
    if (r == 0)
        r = stage->open(stage->config, &task->instance);
    if (r < 0) {
        kafka_task_close(&task);
        return r;
    }
    *rebuilt = fresh;
    *out = task;
    return 0;
}

void kafka_task_close(struct kafka_task **task)
{
    struct kafka_task *gone = *task;
    if (!gone)
        return;
    kafka_task_drop(gone);
    /* Good until now, and on the disk; a failure to note so costs a rebuild at worst. */
    if (gone->current)
        (void)!close_copy(gone);
    if (gone->instance)
        gone->stage->close(gone->instance);
    state_free(&gone->state);
    state_lmdb_close(&gone->store);
    if (gone->slot)
        kafka_slot_yield(gone->slot, gone->stage->name, gone->partition);
    buf_free(&gone->meaning);
    free(gone);
    *task = NULL;
}

int kafka_task_rebuild(struct kafka_task *task)
{
    check(!task->begun);
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(task->store), NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    int error = state_lmdb_clear(task->store, txn);
    changelogs_restart(task);
    if (error == 0)
        error = write_meta(task, txn, task->boot);
    if (error < 0) {
        mdb_txn_abort(txn);
        return error;
    }
    return state_lmdb_commit(txn);
}

int kafka_task_remake(struct kafka_task *task)
{
    check(!task->begun && task->damaged);
    state_free(&task->state);
    int r = begin_copy(task, COPY_DAMAGED);
    if (r == 0)
        r = new_state(task);
    task->damaged = r < 0;
    task->remade = true;
    return r;
}

int kafka_task_replay(struct kafka_task *task, const struct state_change *changes, size_t count)
{
    check(!task->begun);
    return write_store(task, changes, count, NULL);
}

/* ---- within a batch ---- */

/* Once: a copy that turns out to be damaged is had anew from the changelog. Twice is a defect. */
static int judge(struct kafka_task *task, int r)
{
    if (r != ERR_STATE || task->remade)
        return r;
    task->damaged = true;
    task->current = false;
    return ERR_ABORT;
}

static int begin(struct kafka_task *task)
{
    if (task->begun)
        return 0;
    int r = state_lmdb_begin(task->store);
    if (r < 0)
        return r;
    task->begun = true;
    task->mails = 0;
    task->settled = false;
    task->changes = 0;
    return 0;
}

/* Rows of before the count was kept have the meaning without its line. */
static int check_meaning(struct kafka_task *task, struct buf *difference)
{
    struct stage before = task->own;
    before.meaning = task->meaning_given;
    int r = meaning_check(task->state, &before, NULL);
    return r == ERR_MEANING ? meaning_check(task->state, &task->own, difference) : r;
}

int kafka_task_meaning(struct kafka_task *task, struct buf *difference)
{
    check(!task->begun);
    size_t told = difference->size;
    int r = begin(task);
    if (r == 0)
        r = check_meaning(task, difference);
    kafka_task_drop(task);
    const char *line = "was: " PARTITIONS_LINE;
    if (r == ERR_MEANING && difference->size > told &&
        memmem(difference->data + told, difference->size - told, line, strlen(line)))
        (void)!buf_appendf(difference,
            "  partitions were added to topics in use, and keys lie in others now: tabiji "
            "repartition makes topics of another count from the events\n");
    return judge(task, r);
}

/* A stage that answers REJECT has a defect: the record is kept, the rest goes on. */
static int reject_record(
    struct kafka_task *task, const struct record *record, int why, struct arena *scratch)
{
    const struct door_rejection rejection = {
        .stage = str_of(task->stage->name), .payload = record->value};
    const struct event_problem problem = {.error = why};
    struct append_record made;
    int r = door_reject(&rejection, &problem, 0, scratch, &made);
    return r < 0 ? r : outbox_send(&task->outbox, TOPIC_REJECTED, made.key, made.value);
}

int kafka_task_check_meanings(struct kafka_task *const *tasks, size_t count)
{
    CLEANUP(buf_free) struct buf difference = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = kafka_task_meaning(tasks[i], &difference);
    if (r == ERR_MEANING)
        kafka_log(tasks[0]->config, LOG_ERR, "kafka_meaning", "%.*s", (int)difference.size,
            difference.data);
    return r;
}

/* Keeps it also where it stands without the count. */
static int keep_meaning(struct kafka_task *task)
{
    int r = task->own.meaning.size ? meaning_check(task->state, &task->own, NULL) : 0;
    return r == ERR_MEANING ? meaning_put(task->state, &task->own)
           : r < 0          ? r
                            : meaning_keep(task->state, &task->own);
}

/* The record is poison to nobody, and whose end it would be is said. */
static int process(struct kafka_task *task, const struct record *record, struct arena *scratch)
{
    struct task lent = {.state = task->state,
        .outbox = &task->outbox,
        .scratch = scratch,
        .partition = task->partition};
    int r = record->topic == TOPIC_EVENTS ? 0 : FAULT_POINT("kafka_mail");
    if (r == 0)
        r = task->stage->process(task->instance, &lent, record);
    if (task->suspects)
        kafka_suspects_leave(task->suspects);
    if (r < 0 && error_class(r) == ERROR_CLASS_REJECT)
        r = reject_record(task, record, r, scratch);
    arena_reset(scratch);
    return judge(task, r);
}

int kafka_task_process(struct kafka_task *task, const struct record *record, struct arena *scratch)
{
    if (task->suspects && kafka_suspects_poison(task->suspects, record))
        return ERR_CRASHES;
    int r = begin(task);
    if (r < 0)
        return judge(task, r);
    if (task->suspects)
        kafka_suspects_enter(task->suspects, record);
    return process(task, record, scratch);
}

int kafka_task_receive(struct kafka_task *task, const struct record *record, struct arena *scratch)
{
    int r = begin(task);
    if (r < 0)
        return judge(task, r);
    if (task->suspects)
        kafka_suspects_follow(task->suspects);
    return process(task, record, scratch);
}

/* Sends one changed row to its changelog: the state topics' keys begin with the table's number. */
static int send_change(struct kafka_task *task, const struct state_change *change)
{
    enum topic topic = table_topic(change->table);
    struct kafka_changelog *changelog = &task->changelogs[topic];
    if (!changelog->used)
        return ERR_INTERNAL; /* the stage wrote to a table of another's */
    char long_key[STATE_KEY_SIZE_MAX + 1];
    struct str key = change->key;
    if (topic_table(topic) < 0) {
        check(key.size <= STATE_KEY_SIZE_MAX);
        long_key[0] = (char)change->table;
        memcpy(long_key + 1, key.data, key.size);
        key = str_make(long_key, key.size + 1);
    }
    struct str value = {NULL, 0};
    if (!change->deleted)
        value = change->value.data ? change->value : STR("");
    return kafka_producer_send(task->producer, topic, task->partition, key, value, &changelog->now);
}

int kafka_task_settle(struct kafka_task *task, struct arena *scratch)
{
    check(task->begun);
    struct task lent = {.state = task->state,
        .outbox = &task->outbox,
        .scratch = scratch,
        .partition = task->partition};
    if (task->suspects)
        kafka_suspects_settle(task->suspects);
    int r = task->stage->settle ? task->stage->settle(task->instance, &lent) : 0;
    if (task->suspects)
        kafka_suspects_leave(task->suspects);
    arena_reset(scratch);
    return judge(task, r);
}

int kafka_task_tell(struct kafka_task *task)
{
    check(task->begun);
    int r = keep_meaning(task);
    if (r == 0)
        r = state_changes(task->state, &task->changed, &task->changes);
    if (r < 0)
        return judge(task, r);
    for (size_t i = 0; i < task->changes && r == 0; i++)
        r = send_change(task, &task->changed[i]);
    task->settled = r == 0;
    return r;
}

static void end(struct kafka_task *task)
{
    state_reset(task->state);
    state_lmdb_end(task->store);
    task->begun = false;
}

int kafka_task_commit(struct kafka_task *task)
{
    check(task->begun);
    check(task->settled);
    state_lmdb_end(task->store); /* what was read is no more: its pages are free for the rows */
    int r = task->changes ? write_store(task, task->changed, task->changes, NULL) : 0;
    if (r == 0 && task->boot[0] && wall_ms() - task->synced_ms > SYNC_EVERY_MS)
        r = sync_store(task);
    if (r == 0)
        end(task);
    return judge(task, r);
}

void kafka_task_drop(struct kafka_task *task)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        task->changelogs[i].now.next = task->changelogs[i].next;
    if (!task->begun)
        return;
    if (task->stage->reset)
        task->stage->reset(task->instance);
    end(task);
}
