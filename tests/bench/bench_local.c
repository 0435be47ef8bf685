/*
 * The local driver: durable appends a second (many doors with small batches, one import with large
 * ones), a worker with a stage that does nothing, and a journey's pattern of puts, gets and scans
 * over LMDB. Works in a directory beneath the current one, since /tmp may be memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ingest/stream/local_private.h"

#define EVENT_SIZE 600
#define DOORS 32
#define DOOR_BATCH 20
#define DOOR_APPENDS 400 /* of each door */
#define BULK_BATCH 5000
#define BULK_EVENTS 500000
#define PERSONS 50000
#define ROWS 1000000
#define ROWS_A_BATCH 50000
#define ROW_SIZE 400
#define ROW_KEY_SIZE 48
#define READS 500000
#define PATH_SIZE_MAX 128

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void say(const char *what, double count, double began_s, double began_cpu_s)
{
    double took = now_s() - began_s, cpu = cpu_s() - began_cpu_s;
    printf("%-44s %10.0f /s  %7.2f CPU us each\n", what, count / took, cpu / count * 1e6);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- appends ---- */

struct door {
    struct local *local;
    size_t batch;
    size_t appends;
};

static void *run_door(void *context)
{
    const struct door *door = context;
    static char event[EVENT_SIZE];
    struct append_record *records = calloc(door->batch, sizeof *records);
    check(records);
    for (size_t i = 0; i < door->batch; i++)
        records[i] = (struct append_record){
            TOPIC_EVENTS, STR("0123456789abcdef"), str_make(event, sizeof event)};
    struct appender *appender = local_appender(door->local);
    for (size_t i = 0; i < door->appends; i++)
        check(appender->append(appender, records, door->batch, NULL) == 0);
    free(records);
    return NULL;
}

static void bench_appends(struct local *local)
{
    struct door door = {local, DOOR_BATCH, DOOR_APPENDS};
    pthread_t threads[DOORS];
    double began = now_s(), cpu = cpu_s();
    for (size_t i = 0; i < DOORS; i++)
        check(pthread_create(&threads[i], NULL, run_door, &door) == 0);
    for (size_t i = 0; i < DOORS; i++)
        check(pthread_join(threads[i], NULL) == 0);
    say("durable appends, 32 threads x 20 events", DOORS * DOOR_BATCH * DOOR_APPENDS, began, cpu);
    door = (struct door){local, BULK_BATCH, BULK_EVENTS / BULK_BATCH};
    began = now_s();
    cpu = cpu_s();
    (void)run_door(&door);
    say("durable appends, 1 thread x 5,000 events", BULK_EVENTS, began, cpu);
}

/* ---- a stage that does nothing, and one that mails once ---- */

static const enum topic idle_inputs[] = {TOPIC_EVENTS, TOPIC_JOURNEY};

static int idle_open(const void *config, void **instance)
{
    (void)config;
    *instance = calloc(1, sizeof(uint64_t)); /* how many records came */
    check(*instance);
    return 0;
}

/* Sends what comes on, as the identify stage does with a known person. */
static int mailing_process(void *instance, struct task *task, const struct record *record)
{
    ++*(uint64_t *)instance;
    return record->topic == TOPIC_EVENTS
               ? outbox_send(task->outbox, TOPIC_JOURNEY, record->key, record->value)
               : 0;
}

static int idle_process(void *instance, struct task *task, const struct record *record)
{
    (void)task;
    (void)record;
    ++*(uint64_t *)instance;
    return 0;
}

static int idle_settle(void *instance, struct task *task)
{
    (void)instance;
    (void)task;
    return 0;
}

static void idle_reset(void *instance)
{
    (void)instance;
}

static struct stage idle_stage = {
    .name = "idle",
    .inputs = idle_inputs,
    .inputs_count = 2,
    .open = idle_open,
    .process = idle_process,
    .settle = idle_settle,
    .reset = idle_reset,
    .close = free,
};

/* Works off half of the log with each kind of stage. */
static void bench_work(struct local *local)
{
    int64_t end = local_log_end(local), done = 0;
    check(local_set_stages(local, &idle_stage, 1) == 0);
    for (int turn = 0; turn < 2; turn++) {
        idle_stage.process = turn ? mailing_process : idle_process;
        int64_t before = done, batches = turn ? INT64_MAX : end / 2 / LOCAL_BATCH_RECORDS_DEFAULT;
        double began = now_s(), cpu = cpu_s();
        int r = 0;
        *(uint64_t *)local->stages[0].instance = 0;
        for (int64_t i = 0; i < batches && (r = local_work(local, 0)) == 0; i++)
            ;
        check(r >= 0);
        done = local->input_next;
        check(*(uint64_t *)local->stages[0].instance == (uint64_t)((done - before) * (1 + turn)));
        check(!turn || done == end);
        say(turn ? "worker, a stage that mails each event on" : "worker, a stage that does nothing",
            (double)(done - before), began, cpu);
    }
}

/* ---- state ---- */

static struct str row_key(uint64_t person, uint64_t row, char key[ROW_KEY_SIZE])
{
    memset(key, 0, ROW_KEY_SIZE);
    put_be64((uint8_t *)key, person * 0x9e3779b97f4a7c15);
    put_be64((uint8_t *)key + GROUP_SIZE, row);
    return str_make(key, ROW_KEY_SIZE);
}

static void commit(struct state_lmdb *store, struct state *state)
{
    const struct state_change *changes;
    size_t count;
    MDB_txn *txn;
    check(state_changes(state, &changes, &count) == 0);
    check(mdb_txn_begin(state_lmdb_env(store), NULL, 0, &txn) == 0);
    check(state_lmdb_apply(store, txn, changes, count) == 0);
    check(mdb_txn_commit(txn) == 0);
    state_reset(state);
    state_lmdb_end(store);
}

static void bench_puts(struct state_lmdb *store, struct state *state)
{
    char key[ROW_KEY_SIZE], value[ROW_SIZE] = {0};
    uint64_t random = 1;
    double began = now_s(), cpu = cpu_s();
    for (uint64_t i = 0; i < ROWS; i++) {
        if (i % ROWS_A_BATCH == 0)
            check(state_lmdb_begin(store) == 0);
        struct str k = row_key(next_random(&random) % PERSONS, i, key);
        memcpy(value, &i, sizeof i);
        check(state_put(state, TABLE_TIMELINE, k, str_make(value, sizeof value)) == 0);
        if ((i + 1) % ROWS_A_BATCH == 0)
            commit(store, state);
    }
    say("state: puts of new rows, committed", ROWS, began, cpu);
}

static void bench_reads(struct state_lmdb *store, struct state *state)
{
    char key[ROW_KEY_SIZE];
    uint64_t random = 1, found = 0, rows = 0;
    struct str k, value;
    check(state_lmdb_begin(store) == 0);
    double began = now_s(), cpu = cpu_s();
    for (uint64_t i = 0; i < READS; i++)
        found += state_get(state, TABLE_TIMELINE, row_key(next_random(&random) % PERSONS, i, key),
                     &value) == 0;
    check(found == READS);
    say("state: gets", READS, began, cpu);
    began = now_s();
    cpu = cpu_s();
    for (uint64_t i = 0; i < PERSONS; i++) {
        struct state_scan *scan;
        uint64_t person = next_random(&random) % PERSONS;
        struct str prefix = str_make(row_key(person, 0, key).data, GROUP_SIZE);
        check(state_scan_begin(state, TABLE_TIMELINE, prefix, &scan) == 0);
        while (state_scan_next(scan, &k, &value) == 0)
            rows++;
        state_scan_end(&scan);
    }
    say("state: scans of a person (20 rows)", PERSONS, began, cpu);
    check(rows > ROWS / 2);
    state_reset(state);
    state_lmdb_end(store);
}

static void bench_state(const char *dir)
{
    struct state_lmdb *store;
    struct state *state;
    const struct state_lmdb_options options = {.format = "bench"};
    check(state_lmdb_open(&store, dir, &options) == 0);
    check(state_new(state_lmdb_backend(store), &state) == 0);
    bench_puts(store, state);
    bench_reads(store, state);
    state_free(&state);
    state_lmdb_close(&store);
}

int main(void)
{
    char dir[] = "bench-local-XXXXXX", path[PATH_SIZE_MAX];
    struct local *local;
    check(mkdtemp(dir));
    printf("%ld cores, events of %d bytes, rows of %d + %d bytes\n", sysconf(_SC_NPROCESSORS_ONLN),
        EVENT_SIZE, ROW_KEY_SIZE, ROW_SIZE);
    check(local_open(&local, dir, NULL) == 0);
    bench_appends(local);
    bench_work(local);
    local_close(&local);
    (void)snprintf(path, sizeof path, "%s/rows", dir);
    bench_state(path);
    (void)snprintf(path, sizeof path, "rm -rf %s", dir);
    return system(path);
}
