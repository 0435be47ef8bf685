/*
 * Records a second of the Kafka worker's loop against the bare consume-transform-produce loop that
 * librdkafka's users write, on the same broker, same records, same transactions, in the same run.
 * Started by kafka.py.
 *
 * usage: bench_kafka BROKER RECORDS BATCH
 */
#include "ingest/stream/kafka.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest/stream/kafka_client.h"
#include "schemas/error.h"

#define PARTITIONS 4
#define VALUE_SIZE 1000
#define APPEND_BATCH 5000
#define KEYS 10000
#define CALL_MS 30000
#define KEEP "keep" /* the slot and group whose state is restored */
#define QUIET_RUNS 3

struct bench {
    struct kafka_config config;
    size_t records;
};

static void fail(const char *what, int error)
{
    fprintf(stderr, "bench_kafka: %s: %s\n", what, error_text(error));
    exit(1);
}

static void demand(const char *what, rd_kafka_error_t *failure)
{
    if (!failure)
        return;
    fprintf(stderr, "bench_kafka: %s: %s\n", what, rd_kafka_error_string(failure));
    exit(1);
}

static double wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double report(const char *name, size_t records, double began, double cpu_began)
{
    double rate = (double)records / (wall() - began);
    printf("%-46s %9.0f records/s  %5.2f CPU s/M\n", name, rate,
        (cpu() - cpu_began) / (double)records * 1e6);
    fflush(stdout);
    return rate;
}

static struct str key_of(size_t number, uint8_t out[GROUP_SIZE])
{
    memset(out, 0, GROUP_SIZE);
    put_be64(out, (number % KEYS) * 0x9e3779b97f4a7c15u);
    return str_make(out, GROUP_SIZE);
}

/* ---- the log to work through ---- */

static void append_all(const struct bench *bench)
{
    struct appender *appender;
    static uint8_t keys[APPEND_BATCH][GROUP_SIZE];
    static struct append_record records[APPEND_BATCH];
    char value[VALUE_SIZE];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)('a' + (i * i + i / 7) % 26);
    int r = kafka_appender_open(&bench->config, CALL_MS, &appender);
    if (r < 0)
        fail("appender", r);
    double began = wall();
    double cpu_began = cpu();
    for (size_t at = 0; at < bench->records && r == 0; at += APPEND_BATCH) {
        size_t count = bench->records - at < APPEND_BATCH ? bench->records - at : APPEND_BATCH;
        for (size_t i = 0; i < count; i++)
            records[i] = (struct append_record){
                TOPIC_EVENTS, key_of(at + i, keys[i]), str_make(value, sizeof value)};
        r = appender->append(appender, records, count, NULL);
    }
    if (r < 0)
        fail("append", r);
    report("appender, acks of all replicas, batches of 5000", bench->records, began, cpu_began);
    kafka_appender_close(&appender);
}

/* ---- the bare loop ---- */

struct bare {
    struct kafka_client consumer;
    struct kafka_client producer;
    rd_kafka_topic_t *out;
    int64_t next[PARTITIONS];
};

static void bare_commit(struct bare *bare, const char *topic)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(offsets, topic, p)->offset = bare->next[p];
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(bare->consumer.rk);
    demand("send offsets",
        rd_kafka_send_offsets_to_transaction(bare->producer.rk, offsets, group, CALL_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
    demand("commit", rd_kafka_commit_transaction(bare->producer.rk, CALL_MS));
}

/* One message from the consumer, copied to the output. Returns how many were (0 or 1). */
static size_t bare_turn(struct bare *bare)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(bare->consumer.rk, 100);
    size_t done = 0;
    if (message && !message->err) {
        struct str key = str_make(message->key, message->key_len);
        while (rd_kafka_produce(bare->out, topic_partition(key, PARTITIONS), RD_KAFKA_MSG_F_COPY,
                   message->payload, message->len, key.data, key.size, NULL) != 0)
            rd_kafka_poll(bare->producer.rk, 10);
        bare->next[message->partition] = message->offset + 1;
        done = 1;
    }
    if (message)
        rd_kafka_message_destroy(message);
    return done;
}

/* At most `most` records in one transaction; returns how many. */
static size_t bare_transaction(struct bare *bare, const char *topic, size_t most)
{
    size_t batch = bare->consumer.config->batch_records_max;
    size_t done = 0;
    demand("begin", rd_kafka_begin_transaction(bare->producer.rk));
    while (done < batch && done < most)
        done += bare_turn(bare);
    bare_commit(bare, topic);
    return done;
}

static void nothing(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
}

static double run_bare(const struct bench *bench, const char *group)
{
    struct kafka_config config = bench->config;
    struct bare bare = {.next = {0}};
    char events[KAFKA_TOPIC_SIZE_MAX];
    char journey[KAFKA_TOPIC_SIZE_MAX];
    const struct kafka_callbacks callbacks = {.delivered = nothing};
    config.group = group;
    kafka_topic_name(&config, TOPIC_EVENTS, events);
    kafka_topic_name(&config, TOPIC_JOURNEY, journey);
    int r = kafka_client_open(&bare.consumer, &config, KAFKA_ROLE_CONSUMER, NULL);
    if (r == 0)
        r = kafka_client_open(&bare.producer, &config, KAFKA_ROLE_PRODUCER, &callbacks);
    if (r < 0)
        fail("bare loop", r);
    bare.out = rd_kafka_topic_new(bare.producer.rk, journey, NULL);
    demand("init", rd_kafka_init_transactions(bare.producer.rk, CALL_MS));
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, events, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(bare.consumer.rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);

    /* As for the worker, the first transaction waits for the group and is not timed. */
    size_t first = bare_transaction(&bare, events, bench->records);
    double began = wall();
    double cpu_began = cpu();
    for (size_t done = first; done < bench->records;)
        done += bare_transaction(&bare, events, bench->records - done);
    double rate = report("bare loop: copy each record", bench->records - first, began, cpu_began);
    rd_kafka_topic_destroy(bare.out);
    kafka_client_close(&bare.consumer);
    kafka_client_close(&bare.producer);
    return rate;
}

/* ---- the worker ---- */

static int stage_open(const void *config, void **instance)
{
    *instance = NULL;
    return 0;
}

static void stage_nothing(void *instance)
{
}

static int forward(void *instance, struct task *task, const struct record *record)
{
    return outbox_send(task->outbox, TOPIC_JOURNEY, record->key, record->value);
}

/* Besides, one row of 100 bytes that is new. */
static int forward_and_keep(void *instance, struct task *task, const struct record *record)
{
    uint8_t key[GROUP_SIZE + 8];
    memcpy(key, record->key.data, GROUP_SIZE);
    put_be64(key + GROUP_SIZE, (uint64_t)record->position);
    int r = state_put(
        task->state, TABLE_NODE, str_make(key, sizeof key), str_make(record->value.data, 100));
    return r < 0 ? r : forward(instance, task, record);
}

static double run_worker(const struct bench *bench, const char *name, const char *group,
    int (*process)(void *, struct task *, const struct record *))
{
    static const enum topic inputs[] = {TOPIC_EVENTS};
    const struct stage stage = {.name = group,
        .inputs = inputs,
        .inputs_count = 1,
        .open = stage_open,
        .process = process,
        .reset = stage_nothing,
        .close = stage_nothing};
    struct kafka_config config = bench->config;
    struct kafka_worker *worker;
    struct kafka_worker_counts counts = {.records = 0};
    config.group = group;
    config.slot = group;
    int r = kafka_worker_open(&config, &stage, 1, &worker);
    if (r < 0)
        fail("worker", r);
    /* The first batch waits for the group, and counts for neither loop. */
    while (counts.records == 0) {
        r = kafka_worker_run(worker, 100);
        if (r < 0)
            fail("worker", r);
        kafka_worker_counts(worker, &counts);
    }
    size_t first = counts.records;
    double began = wall();
    double cpu_began = cpu();
    while (counts.records < bench->records) {
        r = kafka_worker_run(worker, 1000);
        if (r < 0)
            fail("worker", r);
        kafka_worker_counts(worker, &counts);
    }
    double rate = report(name, bench->records - first, began, cpu_began);
    kafka_worker_close(&worker);
    return rate;
}

/* ---- restore ---- */

/* Seconds until a worker that has nothing to do has its partitions and their state. */
static double open_and_sync(const struct bench *bench, struct kafka_worker_counts *counts)
{
    static const enum topic inputs[] = {TOPIC_EVENTS};
    const struct stage stage = {.name = KEEP,
        .inputs = inputs,
        .inputs_count = 1,
        .open = stage_open,
        .process = forward_and_keep,
        .reset = stage_nothing,
        .close = stage_nothing};
    struct kafka_config config = bench->config;
    struct kafka_worker *worker;
    int quiet = 0;
    config.group = config.slot = KEEP;
    double began = wall();
    int r = kafka_worker_open(&config, &stage, 1, &worker);
    while (r >= 0 && quiet < QUIET_RUNS) {
        r = kafka_worker_run(worker, 100);
        kafka_worker_counts(worker, counts);
        quiet += r == KAFKA_IDLE && counts->tasks == PARTITIONS;
    }
    if (r < 0)
        fail("restore", r);
    double seconds = wall() - began;
    kafka_worker_close(&worker);
    return seconds;
}

static double state_bytes(const struct bench *bench)
{
    double bytes = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        char path[4096];
        struct stat file;
        snprintf(path, sizeof path, "%s/%s/%s-%d/data.mdb", bench->config.state_dir, KEEP, KEEP, p);
        if (stat(path, &file) != 0)
            fail(path, ERR_IO);
        bytes += (double)file.st_blocks * 512;
    }
    return bytes;
}

/* The same opening with and without its copies: what is more is the restore. */
static void run_restore(const struct bench *bench)
{
    char command[4200];
    struct kafka_worker_counts counts = {.records = 0};
    double with = open_and_sync(bench, &counts);
    if (counts.restored)
        fail("a copy was not kept", ERR_STATE);
    double before = state_bytes(bench);
    snprintf(command, sizeof command, "rm -rf %s/%s", bench->config.state_dir, KEEP);
    if (system(command) != 0)
        exit(1);
    double seconds = open_and_sync(bench, &counts) - with;
    double bytes = state_bytes(bench);
    printf("restore of %llu rows: %.2f s, %.0f rows/s, %.1f MB/s, %.1f s/GB; state %.0f bytes "
           "(%.0f a row; %.0f as it was written), opening with its copies %.2f s\n",
        (unsigned long long)counts.restored, seconds, (double)counts.restored / seconds,
        bytes / 1e6 / seconds, seconds / bytes * 1e9, bytes, bytes / (double)counts.restored,
        before, with);
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    char state[] = "/tmp/tabiji-bench-kafka-XXXXXX";
    char command[64];
    struct bench bench = {.records = strtoull(arguments[2], NULL, 10)};
    const struct kafka_property property = {KAFKA_SCOPE_ALL, "bootstrap.servers", arguments[1]};
    if (!mkdtemp(state))
        return 1;
    kafka_config_default(&bench.config);
    bench.config.properties = &property;
    bench.config.properties_count = 1;
    bench.config.events_partitions = PARTITIONS;
    bench.config.journey_partitions = PARTITIONS;
    bench.config.batch_records_max = strtoull(arguments[3], NULL, 10);
    bench.config.batch_ms = 10000;
    bench.config.state_dir = state;
    int r = kafka_topics_create(&bench.config, CALL_MS);
    if (r < 0)
        fail("topics", r);
    printf(
        "%zu records of %d bytes, transactions of %zu, %d partitions, librdkafka %s, %ld cores\n",
        bench.records, VALUE_SIZE, bench.config.batch_records_max, PARTITIONS,
        rd_kafka_version_str(), sysconf(_SC_NPROCESSORS_ONLN));
    append_all(&bench);
    (void)run_bare(&bench, "warm"); /* the broker's compiler has not seen transactions yet */
    double bare = run_bare(&bench, "bare");
    double no_state = run_worker(&bench, "worker: copy each record", "plain", forward);
    double state_rate =
        run_worker(&bench, "worker: copy, and keep a new row of 100 bytes", KEEP, forward_and_keep);
    printf("worker against bare loop: %.2f, with a row a record %.2f\n", no_state / bare,
        state_rate / bare);
    run_restore(&bench);
    snprintf(command, sizeof command, "rm -rf %s", state);
    return system(command) == 0 ? 0 : 1;
}
