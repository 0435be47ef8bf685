/*
 * libtabiji by its public header: what an event costs its caller, how fast events arrive, what
 * waits in memory. Started by producer.py.
 *
 * usage: bench_producer enqueue DIR                    ns an event, of the caller's CPU; nobody is
 * sent to bench_producer memory EVENTS [DIR]            bytes of the process while so many wait;
 * DIR: on its disk bench_producer http URL EVENTS [DIR]          to a collector, through a spool in
 * DIR bench_producer kafka|json CONFIG SOURCE EVENTS     to Kafka; JSON as it is bench_producer
 * plain BROKERS FROM TO EVENTS   so many records of topic FROM, by rd_kafka_produce() alone, to
 * topic TO bench_producer idle [URL [DIR]]               makes a producer (without URL: none),
 * prints a line, ends with its input
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ingest/producer/tabiji.h"

#define NOBODY "http://127.0.0.1:1"
#define ROUND_EVENTS 20000
#define ROUNDS 5
#define NAMES 1000
#define PATIENCE_MS 600000
#define SPOOL_BYTES ((uint64_t)4 << 30)
#define QUEUE_BYTES ((size_t)4 << 30)
#define READ_MS 30000

enum kind { KIND_BUILT, KIND_RECEIPT, KIND_PHONE, KIND_JSON, KINDS };

static const char *const kind_names[KINDS] = {"built and freed alone", "built, sent, freed",
    "the same with a telephone number", "as JSON that is at hand"};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "bench_producer: %s\n", what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the events ---- */

static struct tabiji_event *build(size_t n, enum kind kind)
{
    struct tabiji_event *event = NULL;
    char login[32], number[32];
    const struct tabiji_order order = {
        .size = sizeof order, .order_id = number, .currency = "JPY", .revenue = "12980"};
    const struct tabiji_item item = {
        .size = sizeof item, .sku = "shoe-9", .price = "12980", .quantity = 1};
    (void)snprintf(login, sizeof login, "u-%zu", n % NAMES);
    (void)snprintf(number, sizeof number, "R-%zu", n);
    must(tabiji_event_new(TABIJI_ORDER_COMPLETED, NULL, &event) == TABIJI_OK, "no event");
    (void)tabiji_event_add_identifier(event, "login", login);
    if (kind == KIND_PHONE) {
        (void)snprintf(login, sizeof login, "03-1234-%04zu", n % NAMES);
        (void)tabiji_event_add_identifier(event, "phone", login);
    }
    (void)tabiji_event_set_order(event, &order);
    (void)tabiji_event_add_item(event, &item);
    (void)tabiji_event_add_bool(event, "coupon_given", 0);
    (void)tabiji_event_add_text(event, "clerk", "c-7");
    return event;
}

static void send_built(struct tabiji_producer *producer, size_t n, enum kind kind)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_event *event = build(n, kind);
    if (kind != KIND_BUILT)
        must(tabiji_send(producer, event, NULL, &problem) == TABIJI_OK, problem.pointer);
    tabiji_event_free(&event);
}

static void send_json(struct tabiji_producer *producer, size_t n)
{
    char json[512];
    int size = snprintf(json, sizeof json,
        "{\"type\":\"order_completed\",\"id\":\"0192f3c1-0000-7000-8000-%012zu\",\"time\":"
        "1795139999000,\"ids\":{\"login\":[\"u-%zu\"]},\"order\":{\"order_id\":\"R-%zu\","
        "\"currency\":\"JPY\",\"revenue\":\"12980\",\"items\":[{\"sku\":\"shoe-9\",\"price\":"
        "\"12980\",\"quantity\":1}]},\"properties\":{\"coupon_given\":false,\"clerk\":\"c-7\"}}",
        n, n % NAMES, n);
    must(tabiji_send_json(producer, json, (size_t)size, NULL, NULL) == TABIJI_OK, "json");
}

static void send_one(struct tabiji_producer *producer, size_t n, enum kind kind)
{
    if (kind == KIND_JSON)
        send_json(producer, n);
    else
        send_built(producer, n, kind);
}

static struct tabiji_options options_for(const char *url, size_t events, const char *spool_dir)
{
    return (struct tabiji_options){.size = sizeof(struct tabiji_options),
        .url = url,
        .queue_events_max = events + 1,
        .queue_bytes_max = QUEUE_BYTES,
        .retry_min_ms = 20000,
        .retry_max_ms = 30000,
        .spool_dir = spool_dir,
        .spool_bytes_max = SPOOL_BYTES};
}

static struct tabiji_producer *open_producer(const struct tabiji_options *options)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_producer *producer = NULL;
    int r = tabiji_producer_new(options, &producer, &problem);
    if (r != TABIJI_OK)
        (void)fprintf(stderr, "%s %s %s\n", tabiji_error_name(r), problem.pointer, problem.hint);
    must(r == TABIJI_OK, "no producer");
    return producer;
}

/* ---- what the caller pays ---- */

/* The best of some rounds: others on the machine make it dearer, nothing makes it cheaper. */
static double enqueue_ns(enum kind kind, unsigned flags, char *spool_dir)
{
    char command[64];
    struct tabiji_options options =
        options_for(NOBODY, (size_t)ROUNDS * ROUND_EVENTS, spool_dir ? mkdtemp(spool_dir) : NULL);
    options.flags = flags;
    struct tabiji_producer *producer = open_producer(&options);
    double best = 1e9;
    for (size_t i = 0; i < (size_t)ROUNDS * ROUND_EVENTS; i += ROUND_EVENTS) {
        double began = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (size_t k = 0; k < ROUND_EVENTS; k++)
            send_one(producer, i + k, kind);
        double took = (seconds(CLOCK_THREAD_CPUTIME_ID) - began) * 1e9 / ROUND_EVENTS;
        best = took < best ? took : best;
    }
    (void)tabiji_producer_close(&producer, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", spool_dir ? spool_dir : "");
    if (spool_dir)
        must(system(command) == 0, command);
    return best;
}

static void bench_enqueue(const char *dir)
{
    static const unsigned ways[] = {0, TABIJI_NO_CHECK, TABIJI_AS_IT_IS};
    must(chdir(dir) == 0, dir);
    (void)printf("CPU of the caller an event, ns (least of %d rounds of %d)\n%-40s %8s %9s %9s\n",
        ROUNDS, ROUND_EVENTS, "", "judged", "NO_CHECK", "AS_IT_IS");
    for (int spooled = 0; spooled < 2; spooled++) {
        for (enum kind kind = spooled ? KIND_RECEIPT : KIND_BUILT; kind < KINDS; kind++) {
            (void)printf("%-40s", kind_names[kind]);
            for (size_t way = 0; way < 3; way++) {
                char name[] = "spool-XXXXXX";
                if (way == (kind == KIND_BUILT ? 1 : kind == KIND_JSON ? 3 : 2))
                    break;
                (void)printf(" %8.0f", enqueue_ns(kind, ways[way], spooled ? name : NULL));
                (void)fflush(stdout);
            }
            (void)printf("%s\n", spooled ? "  spool, synchronised by interval" : "");
        }
    }
}

static long resident_kb(void)
{
    char line[128];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "re");
    must(file != NULL, "/proc");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    (void)fclose(file);
    return kb;
}

static void bench_memory(size_t events, const char *spool_dir)
{
    struct tabiji_options options = options_for(NOBODY, events, spool_dir);
    struct tabiji_statistics now = {.size = sizeof now};
    struct tabiji_producer *producer = open_producer(&options);
    send_one(producer, 0, KIND_RECEIPT);
    long before = resident_kb();
    for (size_t n = 1; n < events; n++)
        send_one(producer, n, KIND_RECEIPT);
    must(tabiji_producer_statistics(producer, &now) == TABIJI_OK, "statistics");
    size_t waiting = (size_t)(spool_dir ? now.spool_events : now.queue_events);
    must(waiting == events, "not all wait");
    (void)printf("{\"resident_mb\": %.1f, \"bytes_each\": %.0f, \"disk_mb\": %.1f}\n",
        (double)resident_kb() / 1e3, (double)(resident_kb() - before) * 1024 / (double)events,
        (double)now.spool_bytes / 1e6);
    (void)tabiji_producer_close(&producer, 0);
}

/* ---- events that arrive ---- */

/* Seconds of a run: until all were queued, of that the caller's CPU; until all had arrived, CPU of
 * the process. */
struct times {
    double began, enqueued, caller, took, cpu;
};

static struct times times_begin(void)
{
    return (struct times){.began = seconds(CLOCK_MONOTONIC),
        .caller = seconds(CLOCK_THREAD_CPUTIME_ID),
        .cpu = seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void times_queued(struct times *times)
{
    times->enqueued = seconds(CLOCK_MONOTONIC) - times->began;
    times->caller = seconds(CLOCK_THREAD_CPUTIME_ID) - times->caller;
}

static void times_end(struct times *times)
{
    times->took = seconds(CLOCK_MONOTONIC) - times->began;
    times->cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - times->cpu;
}

static void say(const char *how, size_t events, const struct times *times)
{
    double micros = 1e6 / (double)events;
    (void)printf("{\"how\": \"%s\", \"enqueue_us\": %.3f, \"caller_us\": %.3f, \"events_s\": %.0f, "
                 "\"cpu_us\": %.3f}\n",
        how, times->enqueued * micros, times->caller * micros, (double)events / times->took,
        times->cpu * micros);
}

static void bench_send(
    const struct tabiji_options *options, const char *how, enum kind kind, size_t events)
{
    struct tabiji_statistics now = {.size = sizeof now};
    struct tabiji_producer *producer = open_producer(options);
    struct times times = times_begin();
    for (size_t n = 0; n < events; n++)
        send_one(producer, n, kind);
    times_queued(&times);
    must(tabiji_flush(producer, PATIENCE_MS) == TABIJI_OK, "flush");
    times_end(&times);
    must(tabiji_producer_statistics(producer, &now) == TABIJI_OK, "statistics");
    must(now.events_delivered == events && now.events_duplicate == 0, "not all were delivered");
    say(how, events, &times);
    must(tabiji_producer_close(&producer, PATIENCE_MS) == TABIJI_OK, "close");
}

/* ---- librdkafka alone ---- */

struct record {
    size_t key_size, value_size;
    char *bytes; /* key, value */
};

static size_t delivered;

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
    (void)kafka;
    (void)opaque;
    must(!message->err, "a record was not delivered");
    delivered++;
}

static rd_kafka_t *open_kafka(rd_kafka_type_t type, const char *const *settings)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (; *settings; settings += 2)
        must(rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof why) == 0, why);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *kafka = rd_kafka_new(type, conf, why, sizeof why);
    must(kafka != NULL, why);
    return kafka;
}

/* The first records of a topic, partition after partition as they come. */
static void read_records(
    const char *brokers, const char *topic, struct record *records, size_t count)
{
    const char *const settings[] = {"bootstrap.servers", brokers, "group.id", "bench",
        "auto.offset.reset", "earliest", "enable.auto.commit", "false", NULL};
    rd_kafka_t *kafka = open_kafka(RD_KAFKA_CONSUMER, settings);
    (void)rd_kafka_poll_set_consumer(kafka);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    must(rd_kafka_subscribe(kafka, topics) == 0, "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    for (size_t i = 0; i < count;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka, READ_MS);
        must(message != NULL && !message->err, "the records cannot be read");
        struct record *record = &records[i++];
        *record = (struct record){.key_size = message->key_len, .value_size = message->len};
        record->bytes = malloc(message->key_len + message->len);
        must(record->bytes != NULL, "memory");
        memcpy(record->bytes, message->key, message->key_len);
        memcpy(record->bytes + message->key_len, message->payload, message->len);
        rd_kafka_message_destroy(message);
    }
    (void)rd_kafka_consumer_close(kafka);
    rd_kafka_destroy(kafka);
}

static void produce(rd_kafka_t *kafka, rd_kafka_topic_t *topic, const struct record *record)
{
    char *value = record->bytes + record->key_size;
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value,
               record->value_size, record->bytes, record->key_size, NULL) != 0) {
        must(rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL, "produce");
        (void)rd_kafka_poll(kafka, 1);
    }
}

static void bench_plain(const char *brokers, const char *from, const char *to, size_t events)
{
    /* As the library has them. */
    const char *const settings[] = {"bootstrap.servers", brokers, "enable.idempotence", "true",
        "acks", "all", "max.in.flight.requests.per.connection", "1", "linger.ms", "5",
        "compression.codec", "lz4", "socket.nagle.disable", "true", "message.max.bytes", "8388608",
        "queue.buffering.max.messages", "200000", "queue.buffering.max.kbytes", "262144", NULL};
    struct record *records = calloc(events, sizeof *records);
    must(records != NULL, "memory");
    read_records(brokers, from, records, events);
    rd_kafka_t *kafka = open_kafka(RD_KAFKA_PRODUCER, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka, to, NULL);
    struct times times = times_begin();
    for (size_t i = 0; i < events; i++)
        produce(kafka, topic, &records[i]);
    times_queued(&times);
    must(rd_kafka_flush(kafka, PATIENCE_MS) == 0 && delivered == events, "flush");
    times_end(&times);
    say("plain", events, &times);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(kafka);
    for (size_t i = 0; i < events; i++)
        free(records[i].bytes);
    free(records);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    struct tabiji_options options = {.size = sizeof options};
    if (strcmp(mode, "enqueue") == 0 && argc == 3) {
        bench_enqueue(argv[2]);
    } else if (strcmp(mode, "memory") == 0 && argc >= 3) {
        bench_memory((size_t)atol(argv[2]), argv[3]);
    } else if (strcmp(mode, "http") == 0 && argc >= 4) {
        options = options_for(argv[2], (size_t)atol(argv[3]), argv[4]);
        bench_send(&options, argv[4] ? "spool" : "http", KIND_RECEIPT, (size_t)atol(argv[3]));
    } else if ((strcmp(mode, "kafka") == 0 || strcmp(mode, "json") == 0) && argc == 5) {
        options = options_for(NULL, (size_t)atol(argv[4]), NULL);
        options.kafka_config = argv[2];
        options.kafka_source = argv[3];
        options.flags = *mode == 'j' ? TABIJI_AS_IT_IS : 0;
        bench_send(&options, mode, *mode == 'j' ? KIND_JSON : KIND_RECEIPT, (size_t)atol(argv[4]));
    } else if (strcmp(mode, "plain") == 0 && argc == 6) {
        bench_plain(argv[2], argv[3], argv[4], (size_t)atol(argv[5]));
    } else {
        return 2;
    }
    return 0;
}
