/*
 * The Kafka driver with two small stages whose result can be worked out by hand, for tests on a
 * real broker.
 *
 *     toy topics                          create the topics
 *     toy append FIRST COUNT NODES HOPS   append events FIRST..FIRST+COUNT-1
 *     toy work                            run a worker until SIGTERM
 *     toy wait SECONDS                    wait until the workers are quiet
 *     toy dump                            print all result rows, sorted
 *
 * Environment: TOY_BROKER, TOY_STATE, TOY_SLOT, TOY_PARTITIONS, TOY_BATCH, TOY_BYTES, TOY_NODES,
 * TOY_PREFIX, TOY_GROUP, TOY_SESSION (its timeout, ms), TOY_STATIC (members are); TOY_POISON,
 * TOY_POISON_SETTLE: an event that ends the worker, where it comes in or when its person is brought
 * up to date.
 *
 * Event e visits nodes: e mod NODES, then HOPS further ones, each told by the one before. Every
 * visit is counted at its node (persons: node -> visits); the last tells the person of its node,
 * who keeps the event (touchpoints: person, event -> times it came) and the number of its events
 * (profiles: person -> events). An event that came before is known by its own row at the first node
 * (the signature table) and goes no further. So visits are exact only if no record is lost, none
 * counts twice, and state is neither ahead nor behind. Mail bears its number from the sending task
 * to the receiving partition, both have it in their state: out of order, it ends the worker.
 */
#include "ingest/stream/kafka.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "schemas/error.h"

#define APPEND_BATCH 100
#define DIRTY_MAX 100000
#define MESSAGE_SIZE 40 /* of 8 bytes each */

/* ---- stages ---- */

struct message {
    uint64_t event;
    uint64_t node;
    uint64_t hops;   /* left */
    uint64_t sender; /* of mail: partition of the task */
    uint64_t number; /* of mail: from there to the receiving partition, from 1 on */
};

static void message_put(const struct message *message, uint8_t out[MESSAGE_SIZE])
{
    put_be64(out, message->event);
    put_be64(out + 8, message->node);
    put_be64(out + 16, message->hops);
    put_be64(out + 24, message->sender);
    put_be64(out + 32, message->number);
}

static int message_get(struct str bytes, struct message *out)
{
    if (bytes.size != MESSAGE_SIZE)
        return ERR_STATE;
    const uint8_t *data = (const uint8_t *)bytes.data;
    *out = (struct message){get_be64(data), get_be64(data + 8), get_be64(data + 16),
        get_be64(data + 24), get_be64(data + 32)};
    return 0;
}

/* Groups are 16 bytes: a letter for the kind, zeros, the number. */
static struct str group_of(char kind, uint64_t number, uint8_t out[GROUP_SIZE])
{
    memset(out, 0, GROUP_SIZE);
    out[0] = (uint8_t)kind;
    put_be64(out + 8, number);
    return str_make(out, GROUP_SIZE);
}

static uint64_t node_after(const struct message *message, uint64_t nodes)
{
    return (message->node * 31 + message->event * 7 + 1) % nodes;
}

static int count_one(struct state *state, enum table table, struct str key, uint64_t *out)
{
    struct str value;
    uint8_t bytes[8];
    int r = state_get(state, table, key, &value);
    if (r < 0)
        return r;
    *out = (r == 0 ? get_be64((const uint8_t *)value.data) : 0) + 1;
    put_be64(bytes, *out);
    return state_put(state, table, key, str_make(bytes, sizeof bytes));
}

static int add_one(struct state *state, enum table table, struct str key)
{
    uint64_t count;
    return count_one(state, table, key, &count);
}

/* Mail is numbered for each (sending task, receiving partition); none is missing, comes twice or
 * overtakes another. */
static int check_order(struct task *task, enum table table, const struct message *message)
{
    uint8_t key[GROUP_SIZE];
    uint64_t wanted;
    int r = count_one(task->state, table, group_of('r', message->sender, key), &wanted);
    if (r < 0 || wanted == message->number)
        return r;
    fprintf(stderr, "mail from %llu to %d: %llu came for %llu\n",
        (unsigned long long)message->sender, (int)task->partition,
        (unsigned long long)message->number, (unsigned long long)wanted);
    return ERR_INTERNAL;
}

struct toy_config {
    uint64_t nodes;
    int32_t partitions;
};

struct toy {
    uint64_t nodes;
    int32_t partitions;
    bool poisoned;
    uint8_t (*dirty)[GROUP_SIZE];
    size_t dirty_count;
};

static int toy_open(const void *config, void **instance)
{
    struct toy *toy = calloc(1, sizeof *toy);
    if (toy)
        toy->dirty = calloc(DIRTY_MAX, GROUP_SIZE);
    if (!toy || !toy->dirty) {
        free(toy);
        return ERR_NO_MEMORY;
    }
    const struct toy_config *given = config;
    toy->nodes = given->nodes;
    toy->partitions = given->partitions;
    *instance = toy;
    return 0;
}

static bool is_poison(const char *name, uint64_t event)
{
    const char *text = getenv(name);
    return text && strtoull(text, NULL, 10) == event;
}

static void toy_reset(void *instance)
{
    struct toy *toy = instance;
    toy->dirty_count = 0;
    toy->poisoned = false;
}

static void toy_close(void *instance)
{
    struct toy *toy = instance;
    free(toy->dirty);
    free(toy);
}

static int send(struct toy *toy, struct task *task, enum topic topic, struct message *message)
{
    uint8_t key[GROUP_SIZE];
    uint8_t counter[GROUP_SIZE];
    uint8_t bytes[MESSAGE_SIZE];
    group_of(topic == TOPIC_JOURNEY ? 'p' : 'n', message->node, key);
    int32_t to = topic_partition(str_make(key, sizeof key), toy->partitions);
    message->sender = (uint64_t)task->partition;
    int r = count_one(task->state, TABLE_SIGNATURE,
        group_of(topic == TOPIC_JOURNEY ? 'j' : 'i', (uint64_t)to, counter), &message->number);
    message_put(message, bytes);
    return r < 0 ? r
                 : outbox_send(task->outbox, topic, str_make(key, sizeof key),
                       str_make(bytes, sizeof bytes));
}

static int visit(struct toy *toy, struct task *task, const struct message *message)
{
    uint8_t key[GROUP_SIZE];
    int r = add_one(task->state, TABLE_PERSON_OF, group_of('n', message->node, key));
    if (r < 0)
        return r;
    struct message next = *message;
    if (message->hops == 0)
        return send(toy, task, TOPIC_JOURNEY, &next);
    next.node = node_after(message, toy->nodes);
    next.hops--;
    return send(toy, task, TOPIC_IDENTITY, &next);
}

static int walk_process(void *instance, struct task *task, const struct record *record)
{
    struct message message;
    int r = message_get(record->value, &message);
    if (r < 0)
        return r;
    if (record->topic == TOPIC_EVENTS) {
        if (is_poison("TOY_POISON", message.event))
            raise(SIGSEGV);
        uint8_t key[GROUP_SIZE + 8];
        struct str known;
        group_of('n', message.node, key);
        put_be64(key + GROUP_SIZE, message.event);
        r = state_get(task->state, TABLE_SIGNATURE, str_make(key, sizeof key), &known);
        if (r <= 0)
            return r; /* it came before */
        r = state_put(task->state, TABLE_SIGNATURE, str_make(key, sizeof key), STR(""));
    } else {
        r = check_order(task, TABLE_SIGNATURE, &message);
    }
    return r < 0 ? r : visit(instance, task, &message);
}

static int keep_process(void *instance, struct task *task, const struct record *record)
{
    struct toy *toy = instance;
    struct message message;
    uint8_t key[GROUP_SIZE + 8];
    int r = message_get(record->value, &message);
    if (r < 0)
        return r;
    r = check_order(task, TABLE_RECORD, &message);
    if (r < 0)
        return r;
    group_of('p', message.node, key);
    put_be64(key + GROUP_SIZE, message.event);
    toy->poisoned |= is_poison("TOY_POISON_SETTLE", message.event);
    if (toy->dirty_count == DIRTY_MAX)
        return ERR_FULL;
    memcpy(toy->dirty[toy->dirty_count++], key, GROUP_SIZE);
    return add_one(task->state, TABLE_TIMELINE, str_make(key, sizeof key));
}

static int count_events(struct task *task, const uint8_t person[GROUP_SIZE])
{
    struct state_scan *scan;
    struct str prefix = str_make(person, GROUP_SIZE);
    struct str key;
    struct str value;
    uint8_t bytes[8];
    uint64_t count = 0;
    int r = state_scan_begin(task->state, TABLE_TIMELINE, prefix, &scan);
    if (r < 0)
        return r;
    for (r = state_scan_next(scan, &key, &value); r == 0; r = state_scan_next(scan, &key, &value))
        count++;
    state_scan_end(&scan);
    if (r < 0)
        return r;
    put_be64(bytes, count);
    return state_put(task->state, TABLE_PROFILE, prefix, str_make(bytes, sizeof bytes));
}

static int keep_settle(void *instance, struct task *task)
{
    struct toy *toy = instance;
    int r = 0;
    if (toy->poisoned)
        raise(SIGSEGV);
    for (size_t i = 0; i < toy->dirty_count && r == 0; i++)
        if (i == 0 || memcmp(toy->dirty[i], toy->dirty[i - 1], GROUP_SIZE) != 0)
            r = count_events(task, toy->dirty[i]);
    toy->dirty_count = 0;
    return r;
}

static const enum topic walk_inputs[] = {TOPIC_EVENTS, TOPIC_IDENTITY};
static const enum topic keep_inputs[] = {TOPIC_JOURNEY};

static void make_stages(struct stage stages[2], const struct toy_config *config)
{
    stages[0] = (struct stage){.name = "walk",
        .inputs = walk_inputs,
        .inputs_count = 2,
        .config = config,
        .open = toy_open,
        .process = walk_process,
        .reset = toy_reset,
        .close = toy_close};
    stages[1] = (struct stage){.name = "keep",
        .inputs = keep_inputs,
        .inputs_count = 1,
        .config = config,
        .open = toy_open,
        .process = keep_process,
        .settle = keep_settle,
        .reset = toy_reset,
        .close = toy_close};
}

/* ---- verbs ---- */

static struct kafka_worker *running;
static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    stopping = 1;
    if (running)
        kafka_worker_wake(running);
}

static void say(void *context, int level, const char *event, const char *text)
{
    if (level <= 6)
        fprintf(stderr, "%ld %d %s: %s\n", (long)time(NULL), level, event, text);
}

static void pause_ms(int ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, error_name(error));
    return error == ERR_FENCED ? 3 : 1;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static int verb_append(const struct kafka_config *config, char **arguments)
{
    uint64_t first = number(arguments[0]);
    uint64_t count = number(arguments[1]);
    uint64_t nodes = number(arguments[2]);
    uint64_t hops = number(arguments[3]);
    struct appender *appender = NULL;
    int r = ERR_AGAIN;
    while (r == ERR_AGAIN && !stopping)
        r = kafka_appender_open(config, 10000, &appender);
    if (r < 0)
        return fail("appender", r);
    for (uint64_t at = 0; at < count && r == 0; at += APPEND_BATCH) {
        uint8_t keys[APPEND_BATCH][GROUP_SIZE];
        uint8_t values[APPEND_BATCH][MESSAGE_SIZE];
        struct append_record records[APPEND_BATCH];
        size_t size = 0;
        for (; size < APPEND_BATCH && at + size < count; size++) {
            uint64_t event = first + at + size;
            const struct message message = {.event = event, .node = event % nodes, .hops = hops};
            message_put(&message, values[size]);
            records[size] = (struct append_record){TOPIC_EVENTS,
                group_of('n', message.node, keys[size]), str_make(values[size], MESSAGE_SIZE)};
        }
        do
            r = appender->append(appender, records, size, NULL);
        while (r == ERR_AGAIN || r == ERR_FULL);
    }
    kafka_appender_close(&appender);
    return r < 0 ? fail("append", r) : 0;
}

static void print_counts(const struct kafka_worker *worker)
{
    struct kafka_worker_counts counts;
    kafka_worker_counts(worker, &counts);
    printf("records %llu changes %llu mails %llu commits %llu aborts %llu replacements %llu "
           "restored %llu "
           "rebuilt %llu refused %llu tasks %zu\n",
        (unsigned long long)counts.records, (unsigned long long)counts.changes,
        (unsigned long long)counts.mails, (unsigned long long)counts.commits,
        (unsigned long long)counts.aborts, (unsigned long long)counts.replacements,
        (unsigned long long)counts.restored, (unsigned long long)counts.rebuilt,
        (unsigned long long)counts.refused, counts.tasks);
    fflush(stdout);
}

static int work(struct kafka_worker *worker)
{
    uint64_t told = 0;
    while (!stopping) {
        int r = kafka_worker_run(worker, 500);
        struct kafka_worker_counts counts;
        kafka_worker_counts(worker, &counts);
        if (counts.commits != told)
            print_counts(worker);
        told = counts.commits;
        if (r >= 0)
            continue;
        if (error_class(r) != ERROR_CLASS_RETRY)
            return fail("run", r);
        pause_ms(100);
    }
    return 0;
}

static int verb_work(const struct kafka_config *config, char **arguments)
{
    const struct toy_config toy = {number(getenv("TOY_NODES")), config->events_partitions};
    struct stage stages[2];
    struct kafka_worker *worker = NULL;
    make_stages(stages, &toy);
    int r = ERR_AGAIN;
    while (r == ERR_AGAIN && !stopping)
        r = kafka_worker_open(config, stages, 2, &worker);
    if (r < 0)
        return fail("open", r);
    running = worker;
    int code = work(worker);
    running = NULL;
    print_counts(worker);
    kafka_worker_close(&worker);
    return code;
}

static int verb_wait(const struct kafka_config *config, char **arguments)
{
    time_t end = time(NULL) + (time_t)number(arguments[0]);
    struct kafka_watch *watch;
    int r = kafka_watch_open(config, &watch);
    if (r < 0)
        return fail("watch", r);
    do {
        r = kafka_watch_quiet(watch, 5000);
        if (r != 0)
            pause_ms(100);
    } while ((r == KAFKA_BUSY || r == ERR_AGAIN) && time(NULL) < end);
    kafka_watch_close(&watch);
    return r == 0 ? 0 : fail("not quiet", r);
}

struct row {
    enum topic topic;
    char *key;
    size_t key_size;
    uint64_t order;
    bool tombstone;
    uint64_t value;
};

static int row_compare(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    if (a->topic != b->topic)
        return a->topic < b->topic ? -1 : 1;
    int order = str_compare(str_make(a->key, a->key_size), str_make(b->key, b->key_size));
    if (order != 0)
        return order;
    return a->order < b->order ? -1 : 1;
}

static bool row_same(const struct row *a, const struct row *b)
{
    return a->topic == b->topic &&
           str_equal(str_make(a->key, a->key_size), str_make(b->key, b->key_size));
}

/* The last of each key, as "topic number [event] value". */
static void print_rows(struct row *rows, size_t count)
{
    qsort(rows, count, sizeof *rows, row_compare);
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if ((i + 1 < count && row_same(row, row + 1)) || row->tombstone)
            continue;
        printf("%s", topic_name(row->topic));
        for (size_t at = 8; at + 8 <= row->key_size; at += 8)
            printf(" %llu", (unsigned long long)get_be64((const uint8_t *)row->key + at));
        printf(" %llu\n", (unsigned long long)row->value);
    }
}

static int collect(struct row **rows, size_t *count, const struct result_batch *batch)
{
    if (batch->results_count == 0)
        return 0;
    struct row *grown = realloc(*rows, (*count + batch->results_count) * sizeof *grown);
    if (!grown)
        return ERR_NO_MEMORY;
    *rows = grown;
    for (size_t i = 0; i < batch->results_count; i++) {
        const struct result *result = &batch->results[i];
        struct row row = {.topic = result->topic,
            .key = malloc(result->key.size + 1),
            .key_size = result->key.size,
            .order = *count,
            .tombstone = result->tombstone};
        if (!row.key)
            return ERR_NO_MEMORY;
        memcpy(row.key, result->key.data, result->key.size);
        if (!row.tombstone && result->value.size == 8)
            row.value = get_be64((const uint8_t *)result->value.data);
        grown[(*count)++] = row;
    }
    return 0;
}

static int verb_dump(const struct kafka_config *config, char **arguments)
{
    struct result_source *source;
    struct row *rows = NULL;
    size_t count = 0;
    int r = kafka_results_open(config, NULL, 0, &source);
    if (r < 0)
        return fail("results", r);
    do {
        struct result_batch batch;
        r = source->next(source, 200, &batch);
        if (r == 0)
            r = collect(&rows, &count, &batch);
        if (r == 0)
            r = kafka_results_caught_up(source, 5000);
    } while (r == KAFKA_BUSY || r == ERR_AGAIN);
    source->close(source);
    if (r == 0)
        print_rows(rows, count);
    for (size_t i = 0; i < count; i++)
        free(rows[i].key);
    free(rows);
    return r < 0 ? fail("dump", r) : 0;
}

static int verb_topics(const struct kafka_config *config, char **arguments)
{
    int r = kafka_topics_create(config, 20000);
    return r < 0 ? fail("topics", r) : 0;
}

static const struct verb {
    const char *name;
    int arguments;
    int (*run)(const struct kafka_config *config, char **arguments);
} verbs[] = {
    {"topics", 0, verb_topics},
    {"append", 4, verb_append},
    {"work", 0, verb_work},
    {"wait", 1, verb_wait},
    {"dump", 0, verb_dump},
};

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

int main(int count, char **arguments)
{
    const struct kafka_property properties[] = {
        {KAFKA_SCOPE_ALL, "bootstrap.servers", setting("TOY_BROKER", "127.0.0.1:9092")},
        {KAFKA_SCOPE_CONSUMER, "session.timeout.ms", setting("TOY_SESSION", "2000")},
        {KAFKA_SCOPE_CONSUMER, "heartbeat.interval.ms", "500"},
        {KAFKA_SCOPE_PRODUCER, "transaction.timeout.ms", "6000"},
        {KAFKA_SCOPE_PRODUCER, "message.timeout.ms", "5000"},
    };
    struct kafka_config config;
    kafka_config_default(&config);
    config.properties = properties;
    config.properties_count = sizeof properties / sizeof properties[0];
    config.prefix = setting("TOY_PREFIX", config.prefix);
    config.group = setting("TOY_GROUP", config.group);
    config.state_dir = setting("TOY_STATE", "state");
    config.slot = setting("TOY_SLOT", "0");
    config.static_members = getenv("TOY_STATIC") != NULL;
    config.events_partitions = (int32_t)number(setting("TOY_PARTITIONS", "4"));
    config.journey_partitions = config.events_partitions;
    config.batch_records_max = number(setting("TOY_BATCH", "500"));
    config.batch_bytes_max = number(setting("TOY_BYTES", "1000000"));
    config.log = say;
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && count > 1; i++)
        if (strcmp(verbs[i].name, arguments[1]) == 0 && count == verbs[i].arguments + 2)
            return verbs[i].run(&config, arguments + 2);
    fprintf(
        stderr, "usage: toy topics | append FIRST COUNT NODES HOPS | work | wait SECONDS | dump\n");
    return 2;
}
