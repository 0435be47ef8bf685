/* A task's local copy: what it keeps over a reopening, and when it is thrown away. */
#include "ingest/stream/kafka_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ingest/kafka_mock.h"

#define CLUSTER "cluster-1"
#define PARTITION 2
#define DAY_MS ((int64_t)86400000)

struct fixture {
    struct kafka_mock mock;
    struct kafka_producer producer;
    struct stage stage;
    struct kafka_slot *slot;
    struct kafka_task *task;
    struct arena scratch;
};

static const char key_bytes[GROUP_SIZE] = "0123456789abcdef";

static struct str group(void)
{
    return str_make(key_bytes, sizeof key_bytes);
}

static int stage_open(const void *config, void **instance)
{
    *instance = calloc(1, 1);
    return *instance ? 0 : ERR_NO_MEMORY;
}

static void stage_close(void *instance)
{
    free(instance);
}

/* The first byte says what to do: put a row, put one of another stage's table, delete, or fail. */
static int stage_process(void *instance, struct task *task, const struct record *record)
{
    switch (record->value.data[0]) {
    case 'p':
        return state_put(task->state, TABLE_NODE, group(), STR("row"));
    case 'o':
        return state_put(task->state, TABLE_PROFILE, group(), STR("row"));
    case 'd':
        return state_delete(task->state, TABLE_NODE, group());
    case 'm':
        return outbox_send(task->outbox, TOPIC_JOURNEY, group(), STR("mail"));
    case 's':
        return ERR_STATE;
    case 'r':
        return ERR_VALUE;
    default:
        return ERR_INTERNAL;
    }
}

static int setup(void **state)
{
    static const enum topic inputs[] = {TOPIC_EVENTS, TOPIC_IDENTITY};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct kafka_layout layout;
    for (int i = 0; i < TOPIC_COUNT; i++)
        layout.partitions[i] = MOCK_PARTITIONS;
    kafka_mock_start(&fixture->mock);
    assert_int_equal(kafka_producer_open(&fixture->producer, &fixture->mock.config, &layout), 0);
    assert_int_equal(kafka_slot_open(&fixture->mock.config, &fixture->slot), 0);
    fixture->stage = (struct stage){.name = "test",
        .inputs = inputs,
        .inputs_count = 2,
        .open = stage_open,
        .process = stage_process,
        .close = stage_close};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    kafka_task_close(&fixture->task);
    kafka_slot_close(&fixture->slot);
    kafka_producer_close(&fixture->producer);
    arena_free(&fixture->scratch);
    kafka_mock_stop(&fixture->mock);
    free(fixture);
    return 0;
}

/* Opens the task (again) after a boot of the machine; returns whether its copy was thrown away. */
static bool open_task_at(struct fixture *fixture, const char *cluster, const char *boot)
{
    const struct kafka_task_origin origin = {.config = &fixture->mock.config,
        .slot = fixture->slot,
        .cluster = cluster,
        .producer = &fixture->producer};
    bool rebuilt = false;
    kafka_task_close(&fixture->task);
    snprintf(fixture->slot->boot, sizeof fixture->slot->boot, "%s", boot);
    assert_int_equal(
        kafka_task_open(&origin, &fixture->stage, PARTITION, &fixture->task, &rebuilt), 0);
    return rebuilt;
}

static bool open_task(struct fixture *fixture, const char *cluster)
{
    return open_task_at(fixture, cluster, "boot-1");
}

/* As a restore does: a row and how far its changelog goes with it. */
static void replay(struct fixture *fixture, int64_t next)
{
    const struct state_change change = {
        .table = TABLE_NODE, .key = group(), .value = STR("restored")};
    fixture->task->changelogs[TOPIC_IDENTITY_STATE].now.next = next;
    assert_int_equal(kafka_task_replay(fixture->task, &change, 1), 0);
    fixture->task->current = true;
}

static int process(struct fixture *fixture, const char *what)
{
    const struct record record = {
        .topic = TOPIC_EVENTS, .partition = PARTITION, .key = group(), .value = str_of(what)};
    return kafka_task_process(fixture->task, &record, &fixture->scratch);
}

/* What the committed copy has in the row. */
static int stored(struct fixture *fixture, struct str *value)
{
    struct state_backend *backend = state_lmdb_backend(fixture->task->store);
    assert_int_equal(state_lmdb_begin(fixture->task->store), 0);
    int r = backend->get(backend, TABLE_NODE, group(), value);
    state_lmdb_end(fixture->task->store);
    return r;
}

static void set_seen(struct fixture *fixture, int64_t shift_ms)
{
    uint8_t bytes[8];
    MDB_txn *txn;
    MDB_val key = {.mv_size = 4, .mv_data = (char[]){"seen"}};
    MDB_val value;
    MDB_env *env = state_lmdb_env(fixture->task->store);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_get(txn, state_lmdb_meta(fixture->task->store), &key, &value), 0);
    put_be64_signed(bytes, get_be64_signed(value.mv_data) + shift_ms);
    value = (MDB_val){.mv_size = sizeof bytes, .mv_data = bytes};
    assert_int_equal(mdb_put(txn, state_lmdb_meta(fixture->task->store), &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    fixture->task->current = false; /* closing would write the time of now */
}

static void test_owns_tables_follow_inputs(void **state)
{
    static const enum topic of_identity[] = {TOPIC_EVENTS, TOPIC_IDENTITY};
    static const enum topic of_journey[] = {TOPIC_JOURNEY};
    const struct stage identity = {.inputs = of_identity, .inputs_count = 2};
    const struct stage journey = {.inputs = of_journey, .inputs_count = 1};
    for (int i = 0; i < TABLE_COUNT; i++) {
        bool first = i == TABLE_NODE || i == TABLE_EDGE || i == TABLE_SIGNATURE ||
                     i == TABLE_PERSON_OF || i == TABLE_IDENTITY_MEANING;
        assert_int_equal(kafka_task_owns(&identity, (enum table)i), first);
        assert_int_equal(kafka_task_owns(&journey, (enum table)i), !first);
    }
}

static void test_open_again_keeps_rows_and_offsets(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    assert_true(open_task(fixture, CLUSTER));
    replay(fixture, 77);
    assert_false(open_task(fixture, CLUSTER));
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 77);
    assert_int_equal(fixture->task->changelogs[TOPIC_PERSONS].next, 0);
    assert_int_equal(stored(fixture, &value), 0);
}

static void test_open_copy_of_another_cluster_is_thrown_away(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    assert_true(open_task(fixture, "cluster-2"));
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);
}

static void test_open_copy_that_was_away_too_long_is_thrown_away(void **state)
{
    struct fixture *fixture = *state;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    set_seen(fixture, -DAY_MS / 4);
    assert_false(open_task(fixture, CLUSTER));
    set_seen(fixture, -DAY_MS / 4 - 1000);
    assert_true(open_task(fixture, CLUSTER));
    /* A time to come is as little to be trusted. */
    set_seen(fixture, DAY_MS);
    assert_true(open_task(fixture, CLUSTER));
}

static void test_open_copy_not_closed_before_the_machine_went_down_is_thrown_away(void **state)
{
    struct fixture *fixture = *state;
    open_task_at(fixture, CLUSTER, "boot-1");
    replay(fixture, 77);
    assert_false(
        open_task_at(fixture, CLUSTER, "boot-2")); /* closed and synced: good for any boot */
    replay(fixture, 78);
    fixture->task->current = false; /* the process was killed, */
    assert_false(open_task_at(fixture, CLUSTER, "boot-2"));
    fixture->task->current = false; /* or the machine went down */
    assert_true(open_task_at(fixture, CLUSTER, "boot-3"));
    replay(fixture, 79);
    assert_false(open_task_at(fixture, CLUSTER, ""));
    replay(fixture, 80); /* where boots are not known, each commit waits for the disk */
    fixture->task->current = false;
    assert_false(open_task_at(fixture, CLUSTER, ""));
}

/* Has the copy say that rows are of these schemas; gives what it said. */
static void set_writers(struct fixture *fixture, struct str text, struct buf *before)
{
    MDB_txn *txn;
    MDB_val key = {.mv_size = 7, .mv_data = (char[]){"writers"}};
    MDB_val value;
    MDB_dbi meta = state_lmdb_meta(fixture->task->store);
    assert_int_equal(mdb_txn_begin(state_lmdb_env(fixture->task->store), NULL, 0, &txn), 0);
    assert_int_equal(mdb_get(txn, meta, &key, &value), 0);
    assert_int_equal(buf_append(before, value.mv_data, value.mv_size), 0);
    value = (MDB_val){.mv_size = text.size, .mv_data = (char *)(uintptr_t)text.data};
    assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void test_open_copy_of_an_older_build_is_thrown_away(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(buf_free) struct buf own = {0}, again = {0};
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    set_writers(fixture, STR(""), &own);
    set_writers(
        fixture, str_make(own.data, (size_t)(strchr(own.data, '\n') + 1 - own.data)), &again);
    assert_true(open_task(fixture, CLUSTER));
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);
}

static void read_file(const char *path, struct buf *out)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0);
    assert_int_equal(buf_reserve(out, (size_t)status.st_size), 0);
    assert_int_equal(read(fd, out->data, (size_t)status.st_size), status.st_size);
    out->size = (size_t)status.st_size;
    close(fd);
}

static void test_open_copy_of_a_newer_build_is_refused_and_stays(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(buf_free) struct buf own = {0}, before = {0}, after = {0};
    char path[5000];
    const struct kafka_task_origin origin = {.config = &fixture->mock.config,
        .slot = fixture->slot,
        .cluster = CLUSTER,
        .producer = &fixture->producer};
    bool rebuilt = false;
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    set_writers(fixture, STR("201 touchpoint 0123456789abcdef\n"), &own);
    (void)snprintf(path, sizeof path, "%s/data.mdb", fixture->task->dir);
    kafka_task_close(&fixture->task);
    read_file(path, &before);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            kafka_task_open(&origin, &fixture->stage, PARTITION, &fixture->task, &rebuilt),
            ERR_NEWER);
    assert_null(fixture->task);
    read_file(path, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    /* Topics of another cluster are none of its. */
    assert_true(open_task(fixture, "cluster-2"));
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);
}

static void test_open_copy_that_another_worker_has_waits(void **state)
{
    struct fixture *fixture = *state;
    const struct kafka_task_origin origin = {.config = &fixture->mock.config,
        .slot = fixture->slot,
        .cluster = CLUSTER,
        .producer = &fixture->producer};
    struct kafka_task *second = NULL;
    struct kafka_task *neighbour;
    bool rebuilt;
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    assert_int_equal(
        kafka_task_open(&origin, &fixture->stage, PARTITION, &second, &rebuilt), ERR_AGAIN);
    assert_null(second);
    assert_int_equal(
        kafka_task_open(&origin, &fixture->stage, PARTITION + 1, &neighbour, &rebuilt), 0);
    assert_int_equal(stored(fixture, &value), 0); /* the first is as it was */
    kafka_task_close(&fixture->task);
    assert_int_equal(
        kafka_task_open(&origin, &fixture->stage, PARTITION, &fixture->task, &rebuilt), 0);
    assert_false(rebuilt); /* the other worker goes on with what the first had */
    assert_int_equal(stored(fixture, &value), 0);
    kafka_task_close(&neighbour);
}

static void test_slot_open_twice_is_locked(void **state)
{
    struct fixture *fixture = *state;
    struct kafka_slot *second = NULL;
    assert_int_equal(kafka_slot_open(&fixture->mock.config, &second), ERR_LOCKED);
    assert_null(second);
    kafka_slot_close(&fixture->slot);
    assert_int_equal(kafka_slot_open(&fixture->mock.config, &fixture->slot), 0);
}

static void replay_many(struct fixture *fixture)
{
    char value[1000];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 400; i++) {
        char key[GROUP_SIZE + 1];
        (void)snprintf(key, sizeof key, "%016d", i);
        const struct state_change change = {.table = TABLE_NODE,
            .key = str_make(key, GROUP_SIZE),
            .value = str_make(value, sizeof value)};
        assert_int_equal(kafka_task_replay(fixture->task, &change, 1), 0);
    }
    replay(fixture, 77);
}

/* What happened to the file of a copy. */
static void overwrite(const char *path)
{
    char damage[8192];
    memset(damage, 0x5a, sizeof damage);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, damage, sizeof damage), sizeof damage);
    close(fd);
}

static void cut_short(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size / 2 + 100), 0);
}

static void path_of(const struct fixture *fixture, const char *more, char path[5000])
{
    (void)snprintf(path, 5000, "%s%s/data.mdb", fixture->task->dir, more);
}

static void test_open_copy_that_is_damaged_is_put_aside(void **state)
{
    struct fixture *fixture = *state;
    static void (*const damages[])(const char *) = {overwrite, cut_short};
    struct stat status;
    for (size_t i = 0; i < 2; i++) {
        char path[5000], aside[5000];
        open_task(fixture, CLUSTER);
        replay_many(fixture);
        path_of(fixture, "", path);
        path_of(fixture, KAFKA_COPY_ASIDE, aside);
        (void)unlink(aside);
        kafka_task_close(&fixture->task);
        damages[i](path);
        assert_true(open_task(fixture, CLUSTER));
        assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
        assert_int_equal(stat(aside, &status), 0);
        assert_true(status.st_size > 0);
        assert_false(open_task(fixture, CLUSTER));
    }
}

static void test_open_copy_of_another_cluster_is_put_aside_whole(void **state)
{
    struct fixture *fixture = *state;
    char path[5000], aside[5000];
    struct stat before, after;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    path_of(fixture, "", path);
    path_of(fixture, KAFKA_COPY_ASIDE, aside);
    kafka_task_close(&fixture->task);
    assert_int_equal(stat(path, &before), 0);
    open_task(fixture, "cluster-2");
    assert_int_equal(stat(aside, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    open_task(fixture, "cluster-3"); /* one is kept: the last */
    assert_int_equal(stat(aside, &after), 0);
    assert_int_not_equal(after.st_ino, before.st_ino);
}

static void test_process_damaged_copy_is_remade_once(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    assert_int_equal(process(fixture, "s"), ERR_ABORT);
    assert_true(fixture->task->damaged);
    kafka_task_drop(fixture->task);
    assert_int_equal(kafka_task_remake(fixture->task), 0);
    assert_false(fixture->task->damaged);
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);
    assert_int_equal(process(fixture, "p"), 0);
    assert_int_equal(process(fixture, "s"), ERR_STATE); /* a defect: no end of copies */
    kafka_task_drop(fixture->task);
}

static void test_process_what_a_stage_refuses_goes_to_rejected(void **state)
{
    struct fixture *fixture = *state;
    open_task(fixture, CLUSTER);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(process(fixture, "r"), 0);
    assert_int_equal(fixture->task->mails, 1);
    assert_int_equal(process(fixture, "p"), 0);
    kafka_task_drop(fixture->task);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
}

static void test_rebuild_forgets_rows_and_offsets(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    open_task(fixture, CLUSTER);
    replay(fixture, 77);
    assert_int_equal(kafka_task_rebuild(fixture->task), 0);
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);
    assert_false(open_task(fixture, CLUSTER));
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
}

static off_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : -1;
}

static void test_open_copy_cut_anywhere_or_overwritten_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    char path[5000], kept[5000];
    assert_true(open_task(fixture, CLUSTER));
    path_of(fixture, "", path);
    path_of(fixture, KAFKA_COPY_ASIDE, kept);
    for (int turn = 0; turn < 5; turn++) {
        replay(fixture, 77);
        kafka_task_close(&fixture->task);
        off_t size = size_of(path);
        assert_true(size > 16384);
        const off_t sizes[] = {1000, 8192, 8292, size / 2, size - 1};
        assert_int_equal(truncate(path, sizes[turn]), 0);
        assert_true(open_task(fixture, CLUSTER));
        assert_int_equal(size_of(kept), sizes[turn]);
        assert_int_equal(stored(fixture, &value), STATE_ABSENT);
        assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
    }
    replay(fixture, 77);
    kafka_task_close(&fixture->task);
    FILE *file = fopen(path, "r+b");
    for (int i = 0; i < 1024; i++)
        fputs("damaged ", file);
    assert_int_equal(fclose(file), 0);
    assert_true(open_task(fixture, CLUSTER));
    replay(fixture, 77);
    assert_false(open_task(fixture, CLUSTER));
}

static void test_commit_keeps_the_batch_drop_forgets_it(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    open_task(fixture, CLUSTER);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(process(fixture, "put"), 0);
    assert_int_equal(kafka_task_settle(fixture->task, &fixture->scratch), 0);
    assert_int_equal(kafka_task_tell(fixture->task), 0);
    assert_int_equal(fixture->task->changes, 1);
    kafka_task_drop(fixture->task);
    assert_int_equal(stored(fixture, &value), STATE_ABSENT);

    assert_int_equal(process(fixture, "put"), 0);
    assert_int_equal(process(fixture, "mail"), 0);
    assert_int_equal(kafka_task_settle(fixture->task, &fixture->scratch), 0);
    assert_int_equal(kafka_task_tell(fixture->task), 0);
    assert_int_equal(fixture->task->mails, 1);
    assert_int_equal(rd_kafka_flush(fixture->producer.client.rk, KAFKA_ANSWER_MS), 0);
    assert_true(fixture->task->changelogs[TOPIC_IDENTITY_STATE].now.next > 0);
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 0);
    assert_int_equal(kafka_task_commit(fixture->task), 0);
    assert_int_equal(stored(fixture, &value), 0);
    assert_true(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next > 0);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
}

#define ROWS 1000

/* Transactions that the copy has seen. */
static size_t transactions(struct fixture *fixture)
{
    MDB_envinfo info;
    assert_int_equal(mdb_env_info(state_lmdb_env(fixture->task->store), &info), 0);
    return info.me_last_txnid;
}

/* 4 KiB of dirty pages a row: what LMDB holds for them is bounded by what a transaction has. */
static void test_replay_large_batch_is_written_in_shares_with_the_offset_last(void **state)
{
    struct fixture *fixture = *state;
    static char keys[ROWS][GROUP_SIZE + 1];
    static struct state_change changes[ROWS];
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%016d", i);
        changes[i] = (struct state_change){
            .table = TABLE_NODE, .key = str_make(keys[i], GROUP_SIZE), .value = STR("row")};
    }
    fixture->mock.config.batch_bytes_max = (size_t)4 << 20; /* a sixteenth: 64 pages */
    open_task(fixture, CLUSTER);
    size_t before = transactions(fixture);
    fixture->task->changelogs[TOPIC_IDENTITY_STATE].now.next = 77;
    assert_int_equal(kafka_task_replay(fixture->task, changes, ROWS), 0);
    size_t shares = transactions(fixture) - before;
    assert_in_range(shares, ROWS / 64, ROWS / 64 + 2);
    fixture->task->current = true;
    assert_false(open_task(fixture, CLUSTER));
    assert_int_equal(fixture->task->changelogs[TOPIC_IDENTITY_STATE].next, 77);
    struct str value;
    struct state_backend *backend = state_lmdb_backend(fixture->task->store);
    assert_int_equal(state_lmdb_begin(fixture->task->store), 0);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(backend->get(backend, TABLE_NODE, changes[i].key, &value), 0);
    state_lmdb_end(fixture->task->store);
}

static void test_settle_row_that_ends_as_it_was_sends_nothing(void **state)
{
    struct fixture *fixture = *state;
    open_task(fixture, CLUSTER);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(process(fixture, "put"), 0);
    assert_int_equal(process(fixture, "delete"), 0);
    assert_int_equal(kafka_task_settle(fixture->task, &fixture->scratch), 0);
    assert_int_equal(kafka_task_tell(fixture->task), 0);
    assert_int_equal(fixture->task->changes, 0);
    assert_int_equal(kafka_task_commit(fixture->task), 0);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
}

static void test_settle_row_of_another_stages_table_is_a_defect(void **state)
{
    struct fixture *fixture = *state;
    open_task(fixture, CLUSTER);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(process(fixture, "other"), 0);
    assert_int_equal(kafka_task_tell(fixture->task), ERR_INTERNAL);
    kafka_task_drop(fixture->task);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
}

static void test_process_failing_stage_is_told(void **state)
{
    struct fixture *fixture = *state;
    open_task(fixture, CLUSTER);
    assert_int_equal(process(fixture, "?"), ERR_INTERNAL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owns_tables_follow_inputs),
        TEST(test_open_again_keeps_rows_and_offsets),
        TEST(test_open_copy_of_another_cluster_is_thrown_away),
        TEST(test_open_copy_that_was_away_too_long_is_thrown_away),
        TEST(test_open_copy_not_closed_before_the_machine_went_down_is_thrown_away),
        TEST(test_open_copy_of_an_older_build_is_thrown_away),
        TEST(test_open_copy_of_a_newer_build_is_refused_and_stays),
        TEST(test_open_copy_that_another_worker_has_waits),
        TEST(test_slot_open_twice_is_locked),
        TEST(test_open_copy_that_is_damaged_is_put_aside),
        TEST(test_open_copy_of_another_cluster_is_put_aside_whole),
        TEST(test_process_damaged_copy_is_remade_once),
        TEST(test_process_what_a_stage_refuses_goes_to_rejected),
        TEST(test_rebuild_forgets_rows_and_offsets),
        TEST(test_open_copy_cut_anywhere_or_overwritten_is_set_aside),
        TEST(test_commit_keeps_the_batch_drop_forgets_it),
        TEST(test_replay_large_batch_is_written_in_shares_with_the_offset_last),
        TEST(test_settle_row_that_ends_as_it_was_sends_nothing),
        TEST(test_settle_row_of_another_stages_table_is_a_defect),
        TEST(test_process_failing_stage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
