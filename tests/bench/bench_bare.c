/*
 * The least that librdkafka's users pay for the records of `work`: a loop that consumes what the
 * workers of a prefix consumed, produces as many bytes as they produced, and commits both in one
 * transaction, without looking at any. Started by work.py after a run of the workers.
 *
 * usage: bench_bare BROKER PREFIX BATCH copy     each event once, as it is
 *        bench_bare BROKER PREFIX BATCH bytes    all inputs, and all outputs in their proportion
 *
 * Outputs (of more than 400 MB every n-th) are read into memory before the clock starts. Last line:
 * RECORDS SECONDS CPU_SECONDS
 * INPUT_BYTES OUTPUT_RECORDS OUTPUT_BYTES.
 */
#include "ingest/stream/kafka.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "ingest/stream/kafka_client.h"
#include "schemas/error.h"

#define CALL_MS 30000
#define POLL_MS 100
#define SAMPLE_BYTES_MAX ((size_t)400 << 20)
#define OUT_PREFIX "bare"

struct sample {
    enum topic topic;
    struct str key;
    struct str value; /* no data: a tombstone */
};

struct bench {
    struct kafka_config config; /* of the workers' prefix */
    struct kafka_config out;
    struct kafka_client consumer;
    struct kafka_client producer;
    struct kafka_layout layout;
    struct kafka_topic_cache cache;
    rd_kafka_topic_t *topics[TOPIC_COUNT];
    bool read[TOPIC_COUNT];
    struct arena arena;
    struct sample *samples;
    size_t samples_count, samples_room;
    size_t outputs;                /* of the workers */
    size_t sent, sent_bytes, done; /* now */
    size_t input_bytes;
    int64_t next[TOPIC_COUNT][64];
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_bare: %s: %s\n", what, why);
    exit(1);
}

static void demand(const char *what, int r)
{
    if (r < 0)
        fail(what, error_text(r));
}

static void demand_kafka(const char *what, rd_kafka_error_t *failure)
{
    if (failure)
        fail(what, rd_kafka_error_string(failure));
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Offsets and how many records a consumer is to see; control records leave gaps, so ends tell. */
static void assign_all(struct bench *bench, struct kafka_client *reader, const bool topics[])
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int32_t p = 0; topics[t] && p < bench->layout.partitions[t]; p++) {
            char name[KAFKA_TOPIC_SIZE_MAX];
            kafka_topic_name(&bench->config, (enum topic)t, name);
            rd_kafka_topic_partition_list_add(list, name, p)->offset = 0;
        }
    if (rd_kafka_assign(reader->rk, list))
        fail("assign", "refused");
    rd_kafka_topic_partition_list_destroy(list);
}

static size_t partitions_of(const struct bench *bench, const bool topics[])
{
    size_t count = 0;
    for (int t = 0; t < TOPIC_COUNT; t++)
        count += topics[t] ? (size_t)bench->layout.partitions[t] : 0;
    return count;
}

static void keep_sample(struct bench *bench, enum topic topic, const rd_kafka_message_t *message)
{
    if (bench->samples_count == bench->samples_room) {
        bench->samples_room = bench->samples_room * 2 + 1024;
        bench->samples = realloc(bench->samples, bench->samples_room * sizeof *bench->samples);
        if (!bench->samples)
            fail("samples", "no memory");
    }
    struct sample *sample = &bench->samples[bench->samples_count++];
    *sample = (struct sample){.topic = topic};
    demand(
        "sample", arena_dup(&bench->arena, str_make(message->key, message->key_len), &sample->key));
    if (message->payload)
        demand("sample",
            arena_dup(&bench->arena, str_make(message->payload, message->len), &sample->value));
}

/* Everything the workers wrote, in the order in which a consumer gets it: every stride-th is kept;
 * none for 0. Returns its bytes. */
static size_t read_outputs(struct bench *bench, size_t stride)
{
    struct kafka_client reader;
    bool written[TOPIC_COUNT];
    size_t bytes = 0;
    bench->outputs = 0;
    for (int t = 0; t < TOPIC_COUNT; t++)
        written[t] = t != TOPIC_EVENTS;
    demand("reader", kafka_client_open(&reader, &bench->config, KAFKA_ROLE_RESULTS, NULL));
    assign_all(bench, &reader, written);
    for (size_t ends = 0; ends < partitions_of(bench, written);) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader.rk, CALL_MS);
        if (!message)
            fail("outputs", "not read in time");
        ends += message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        int topic = kafka_topic_cached(&bench->cache, &bench->config, message->rkt);
        if (!message->err && topic >= 0) {
            if (stride && bench->outputs % stride == 0)
                keep_sample(bench, (enum topic)topic, message);
            bytes += message->key_len + message->len;
            bench->outputs++;
        }
        rd_kafka_message_destroy(message);
    }
    kafka_client_close(&reader);
    bench->cache = (struct kafka_topic_cache){{NULL}};
    return bytes;
}

static void produce(struct bench *bench, enum topic topic, struct str key, struct str value)
{
    int32_t partition = topic_partition(key, bench->layout.partitions[topic]);
    while (rd_kafka_produce(bench->topics[topic], partition, RD_KAFKA_MSG_F_COPY,
               (void *)(uintptr_t)value.data, value.size, key.data, key.size, NULL) != 0)
        rd_kafka_poll(bench->producer.rk, 10);
    if (++bench->sent % 1024 == 0)
        rd_kafka_poll(bench->producer.rk, 0);
    bench->sent_bytes += key.size + value.size;
}

static void commit(struct bench *bench)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(0);
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int32_t p = 0; bench->read[t] && p < bench->layout.partitions[t]; p++) {
            char name[KAFKA_TOPIC_SIZE_MAX];
            kafka_topic_name(&bench->config, (enum topic)t, name);
            rd_kafka_topic_partition_list_add(offsets, name, p)->offset = bench->next[t][p];
        }
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata(bench->consumer.rk);
    demand_kafka("offsets",
        rd_kafka_send_offsets_to_transaction(bench->producer.rk, offsets, group, CALL_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
    demand_kafka("commit", rd_kafka_commit_transaction(bench->producer.rk, CALL_MS));
}

/* One message; copied, or followed by outputs up to its share of them. Returns ends reached. */
static size_t turn(struct bench *bench, bool copy, size_t inputs)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(bench->consumer.rk, POLL_MS);
    if (!message)
        return 0;
    size_t ends = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    int topic = kafka_topic_cached(&bench->cache, &bench->config, message->rkt);
    if (!message->err && topic >= 0) {
        bench->done++;
        bench->input_bytes += message->key_len + message->len;
        bench->next[topic][message->partition] = message->offset + 1;
        if (copy)
            produce(bench, TOPIC_JOURNEY, str_make(message->key, message->key_len),
                str_make(message->payload, message->len));
        size_t due = copy ? 0 : bench->outputs * bench->done / (inputs ? inputs : 1);
        while (bench->sent < due) {
            const struct sample *sample = &bench->samples[bench->sent % bench->samples_count];
            produce(bench, sample->topic, sample->key, sample->value);
        }
    }
    rd_kafka_message_destroy(message);
    return ends;
}

static void nothing(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
}

static void open_clients(struct bench *bench)
{
    const struct kafka_callbacks callbacks = {.delivered = nothing};
    demand("topics", kafka_topics_create(&bench->out, CALL_MS));
    demand(
        "consumer", kafka_client_open(&bench->consumer, &bench->config, KAFKA_ROLE_CONSUMER, NULL));
    demand("producer",
        kafka_client_open(&bench->producer, &bench->out, KAFKA_ROLE_PRODUCER, &callbacks));
    demand("layout", kafka_layout_get(&bench->consumer, CALL_MS, &bench->layout));
    for (int t = 0; t < TOPIC_COUNT; t++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(&bench->out, (enum topic)t, name);
        bench->topics[t] = rd_kafka_topic_new(bench->producer.rk, name, NULL);
        if (bench->layout.partitions[t] > 64)
            fail("layout", "more than 64 partitions");
    }
    demand_kafka("init", rd_kafka_init_transactions(bench->producer.rk, CALL_MS));
}

/* How many records the inputs have: read once without counting the time. */
static size_t count_inputs(struct bench *bench)
{
    struct kafka_client reader;
    size_t count = 0;
    demand("reader", kafka_client_open(&reader, &bench->config, KAFKA_ROLE_RESULTS, NULL));
    assign_all(bench, &reader, bench->read);
    for (size_t ends = 0; ends < partitions_of(bench, bench->read);) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader.rk, CALL_MS);
        if (!message)
            fail("inputs", "not read in time");
        ends += message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        count += !message->err;
        rd_kafka_message_destroy(message);
    }
    kafka_client_close(&reader);
    return count;
}

static void run(struct bench *bench, bool copy, size_t inputs)
{
    size_t batch = bench->config.batch_records_max;
    size_t partitions = partitions_of(bench, bench->read);
    assign_all(bench, &bench->consumer, bench->read);
    double began = seconds(CLOCK_MONOTONIC);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t ends = 0; ends < partitions;) {
        size_t first = bench->done;
        demand_kafka("begin", rd_kafka_begin_transaction(bench->producer.rk));
        while (ends < partitions && bench->done - first < batch)
            ends += turn(bench, copy, inputs);
        commit(bench);
    }
    printf("%zu %.3f %.3f %zu %zu %zu\n", bench->done, seconds(CLOCK_MONOTONIC) - began,
        seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, bench->input_bytes, bench->sent,
        bench->sent_bytes);
}

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    static struct bench bench;
    bool copy = arguments[4][0] == 'c';
    const struct kafka_property property = {KAFKA_SCOPE_ALL, "bootstrap.servers", arguments[1]};
    kafka_config_default(&bench.config);
    bench.config.prefix = arguments[2];
    bench.config.group = bench.config.slot = copy ? "bare-copy" : "bare-bytes";
    bench.config.properties = &property;
    bench.config.properties_count = 1;
    bench.config.batch_records_max = strtoull(arguments[3], NULL, 10);
    bench.out = bench.config;
    bench.out.prefix = OUT_PREFIX;
    bench.read[TOPIC_EVENTS] = true;
    bench.read[TOPIC_IDENTITY] = bench.read[TOPIC_JOURNEY] = !copy;
    open_clients(&bench);
    size_t inputs = 0;
    if (!copy) {
        size_t stride = read_outputs(&bench, 0) / SAMPLE_BYTES_MAX + 1;
        (void)read_outputs(&bench, stride);
        inputs = count_inputs(&bench);
        if (bench.samples_count == 0)
            fail("outputs", "there are none");
    }
    bench.cache = (struct kafka_topic_cache){{NULL}};
    run(&bench, copy, inputs);
    for (int t = 0; t < TOPIC_COUNT; t++)
        rd_kafka_topic_destroy(bench.topics[t]);
    kafka_client_close(&bench.consumer);
    kafka_client_close(&bench.producer);
    arena_free(&bench.arena);
    free(bench.samples);
    return 0;
}
