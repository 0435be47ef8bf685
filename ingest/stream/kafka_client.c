/*
 * Settings of each role, from three sources: our defaults, the operator's properties over them, and
 * over those what exactly-once rests on, which no property may change.
 */
#include "ingest/stream/kafka_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#include "ingest/config/secret.h"
#include "ingest/stream/kafka_error.h"

#define TEXT_SIZE 512
#define DESTROY_SECONDS 5
#define ASK_MS 1000     /* how long one request for metadata waits at first */
#define ASK_MS_MAX 2000 /* and then */
#define PATH_SIZE 4096
#define PARTITIONS_MAX 10000
#define BATCH_RECORDS_MAX 1000000
#define BATCH_MS_MAX 10000
#define NAME_SIZE_MAX 200
#define QUEUE_OUT_MIN (KAFKA_VALUE_SIZE_MAX + ((size_t)1 << 20))
#define QUEUE_OUT_MAX ((size_t)256 << 20)
#define QUEUE_IN_MIN ((size_t)1 << 20)
#define QUEUE_IN_MAX ((size_t)32 << 20)

#define ROLE(role) (1u << (role))
#define ROLES_ALL (ROLE(KAFKA_ROLE_COUNT) - 1)
#define ROLES_PRODUCE (ROLE(KAFKA_ROLE_DOOR) | ROLE(KAFKA_ROLE_PRODUCER))
#define ROLES_READ                                                                                 \
    (ROLE(KAFKA_ROLE_CONSUMER) | ROLE(KAFKA_ROLE_RESTORE) | ROLE(KAFKA_ROLE_RESULTS) |             \
        ROLE(KAFKA_ROLE_LOOK))
#define ROLES_CONSUMER_TYPE (ROLES_READ | ROLE(KAFKA_ROLE_END))

struct setting {
    unsigned roles;
    const char *name;
    const char *value;
};

/* A transaction may last transaction.timeout.ms; a message must have failed before. */
static const struct setting defaults[] = {
    {ROLES_ALL, "socket.nagle.disable", "true"},
    {ROLES_ALL, "topic.metadata.refresh.interval.ms", "60000"},
    {ROLES_ALL, "reconnect.backoff.max.ms", "2000"},
    {ROLES_PRODUCE, "linger.ms", "5"},
    {ROLES_PRODUCE, "compression.codec", "lz4"},
    {ROLES_PRODUCE, "message.max.bytes", "8388608"},
    {ROLE(KAFKA_ROLE_DOOR), "queue.buffering.max.kbytes", "262144"},
    {ROLES_PRODUCE, "queue.buffering.max.messages", "200000"},
    {ROLE(KAFKA_ROLE_DOOR), "message.timeout.ms", "10000"},
    {ROLE(KAFKA_ROLE_PRODUCER), "message.timeout.ms", "15000"},
    {ROLE(KAFKA_ROLE_PRODUCER), "transaction.timeout.ms", "20000"},
    {ROLES_READ, "fetch.wait.max.ms", "100"},
    {ROLES_READ, "fetch.error.backoff.ms", "100"},
    {ROLES_READ, "check.crcs", "true"},
    {ROLE(KAFKA_ROLE_RESULTS), "socket.timeout.ms", "10000"}, /* a sink stops no later than that */
    {ROLE(KAFKA_ROLE_LOOK), "fetch.message.max.bytes", "65536"},
    {ROLE(KAFKA_ROLE_LOOK), "queued.min.messages", "1"},
    {ROLE(KAFKA_ROLE_CONSUMER), "session.timeout.ms", "10000"},
    {ROLE(KAFKA_ROLE_CONSUMER), "heartbeat.interval.ms", "2000"},
};

/* One request at a time: a broker that knows nothing of a producer yet (or no more) takes any first
 * sequence. Were it to refuse the first request, as it is not the leader yet, and to take the
 * second, the first would be taken for a duplicate when it comes again, told as delivered, and be
 * nowhere (seen with librdkafka 2.0.2 and Kafka 3.9.1). */
static const struct setting forced[] = {
    {ROLES_PRODUCE, "enable.idempotence", "true"},
    {ROLES_PRODUCE, "max.in.flight.requests.per.connection", "1"},
    {ROLES_PRODUCE, "acks", "all"},
    {ROLES_CONSUMER_TYPE, "enable.auto.commit", "false"},
    {ROLES_CONSUMER_TYPE, "enable.auto.offset.store", "false"},
    {ROLES_CONSUMER_TYPE, "allow.auto.create.topics", "false"},
    {ROLES_READ, "isolation.level", "read_committed"},
    {ROLE(KAFKA_ROLE_END), "isolation.level", "read_uncommitted"},
    {ROLES_READ, "enable.partition.eof", "true"},
    {ROLES_READ & ~ROLE(KAFKA_ROLE_RESULTS), "auto.offset.reset", "earliest"},
    {ROLE(KAFKA_ROLE_RESULTS), "auto.offset.reset", "error"}, /* rows are missed, or another's */
    {ROLE(KAFKA_ROLE_CONSUMER), "partition.assignment.strategy", "range"},
};

/* Names that would undo the above, their aliases among them, or that this driver sets itself. */
static const char *const reserved[] = {"enable.idempotence",
    "max.in.flight.requests.per.connection", "max.in.flight", "acks", "request.required.acks",
    "enable.auto.commit", "enable.auto.offset.store", "allow.auto.create.topics", "isolation.level",
    "enable.partition.eof", "auto.offset.reset", "partition.assignment.strategy",
    "transactional.id", "group.id", "client.id", "group.protocol", "group.instance.id",
    "partitioner", "enable.gapless.guarantee", "offset.store.method"};

void kafka_config_default(struct kafka_config *config)
{
    *config = (struct kafka_config){
        .prefix = "tabiji",
        .group = "tabiji-work",
        .state_dir = "state",
        .slot = "0",
        .events_partitions = 4,
        .journey_partitions = 4,
        .replication_factor = 1,
        .batch_records_max = 10000,
        .batch_bytes_max = (size_t)512 << 20,
        .batch_ms = 100,
    };
}

static bool name_valid(const char *name, size_t size_max)
{
    size_t size = strlen(name);
    return size > 0 && size <= size_max && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               size;
}

static bool in_range(int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most;
}

static const char *config_problem(const struct kafka_config *config)
{
    if (!config->prefix || !name_valid(config->prefix, KAFKA_PREFIX_SIZE_MAX))
        return "prefix: 1 to 40 of letters, digits, '.', '_' and '-'";
    if (!config->group || !name_valid(config->group, NAME_SIZE_MAX))
        return "group: 1 to 200 of letters, digits, '.', '_' and '-'";
    if (!config->state_dir || !*config->state_dir)
        return "state directory is empty";
    if (!config->slot || !name_valid(config->slot, NAME_SIZE_MAX))
        return "slot: 1 to 200 of letters, digits, '.', '_' and '-'";
    if (!in_range(config->events_partitions, 1, PARTITIONS_MAX) ||
        !in_range(config->journey_partitions, 1, PARTITIONS_MAX))
        return "partitions: 1 to 10000";
    if (!in_range(config->replication_factor, 1, INT16_MAX))
        return "replication factor: at least 1";
    if (!in_range(config->min_insync_replicas, 0, config->replication_factor))
        return "min.insync.replicas: more than there are replicas, nothing could be written";
    if (!in_range((int64_t)config->batch_records_max, 1, BATCH_RECORDS_MAX))
        return "batch records: 1 to 1000000";
    if (config->batch_bytes_max == 0)
        return "batch bytes: at least 1";
    if (!in_range(config->batch_ms, 1, BATCH_MS_MAX))
        return "batch milliseconds: 1 to 10000";
    return NULL;
}

static int set(
    rd_kafka_conf_t *conf, const char *name, const char *value, char *problem, size_t problem_size)
{
    char text[TEXT_SIZE];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return 0;
    snprintf(problem, problem_size, "%s", text);
    return ERR_CONFIG;
}

static bool in_scope(const struct kafka_property *property, unsigned roles)
{
    switch (property->scope) {
    case KAFKA_SCOPE_ALL:
        return true;
    case KAFKA_SCOPE_PRODUCER:
        return roles & ROLES_PRODUCE;
    case KAFKA_SCOPE_CONSUMER:
        return roles & ROLES_CONSUMER_TYPE;
    }
    return false;
}

/* A password is that of now: the one of the start may be good no more. */
static int set_property(rd_kafka_conf_t *conf, const struct kafka_config *config,
    const struct kafka_property *property, char *problem, size_t problem_size)
{
    CLEANUP(secret_wipe) struct buf secret = {0};
    const char *value = property->value;
    if (property->file) {
        struct str place = str_of(property->file);
        int r = secret_of_kafka(str_of(property->name)) && secret_exposed(place)
                    ? ERR_CONFIG
                    : secret_read(place, &secret);
        if (r == 0)
            r = buf_append(&secret, "", 1);
        if (r == 0)
            value = secret.data;
        else
            kafka_log(config, LOG_WARNING, "kafka_secret",
                "%s: %s; what it held at the start is used", property->file,
                r == ERR_CONFIG ? "may be read by others" : error_text(r));
    }
    return set(conf, property->name, value, problem, problem_size);
}

/* roles: a set of which one at least must be in the property's scope. */
static int set_properties(rd_kafka_conf_t *conf, const struct kafka_config *config, unsigned roles,
    char *problem, size_t problem_size)
{
    bool bootstrap = false;
    for (size_t i = 0; i < config->properties_count; i++) {
        const struct kafka_property *property = &config->properties[i];
        for (size_t k = 0; k < sizeof reserved / sizeof reserved[0]; k++)
            if (strcmp(property->name, reserved[k]) == 0) {
                snprintf(problem, problem_size, "%s: set by tabiji, exactly-once rests on it",
                    reserved[k]);
                return ERR_CONFIG;
            }
        int r = in_scope(property, roles)
                    ? set_property(conf, config, property, problem, problem_size)
                    : 0;
        if (r < 0)
            return r;
        bootstrap |= strcmp(property->name, "bootstrap.servers") == 0 ||
                     strcmp(property->name, "metadata.broker.list") == 0;
    }
    if (bootstrap)
        return 0;
    snprintf(problem, problem_size, "bootstrap.servers is missing");
    return ERR_CONFIG;
}

static int set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t count,
    enum kafka_role role, char *problem)
{
    for (size_t i = 0; i < count; i++) {
        if (!(settings[i].roles & ROLE(role)))
            continue;
        int r = set(conf, settings[i].name, settings[i].value, problem, TEXT_SIZE);
        if (r < 0)
            return r;
    }
    return 0;
}

int kafka_config_check(const struct kafka_config *config, char *problem, size_t problem_size)
{
    const char *found = config_problem(config);
    if (found) {
        snprintf(problem, problem_size, "%s", found);
        return ERR_CONFIG;
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = set_properties(conf, config, ROLES_ALL, problem, problem_size);
    rd_kafka_conf_destroy(conf);
    return r;
}

/* Group membership and slot: the only settings that are made of configuration. */
static int set_names(
    rd_kafka_conf_t *conf, const struct kafka_config *config, enum kafka_role role, char *problem)
{
    static const char *const role_names[KAFKA_ROLE_COUNT] = {[KAFKA_ROLE_ADMIN] = "admin",
        [KAFKA_ROLE_DOOR] = "door",
        [KAFKA_ROLE_PRODUCER] = "producer",
        [KAFKA_ROLE_CONSUMER] = "consumer",
        [KAFKA_ROLE_RESTORE] = "restore",
        [KAFKA_ROLE_END] = "end",
        [KAFKA_ROLE_RESULTS] = "results",
        [KAFKA_ROLE_LOOK] = "look"};
    char slot[TEXT_SIZE / 2];
    char name[TEXT_SIZE];
    /* No slot's own name has a slash, so none is that of another's thread. */
    if (config->thread > 0)
        snprintf(slot, sizeof slot, "%s/%d", config->slot, config->thread);
    else
        snprintf(slot, sizeof slot, "%s", config->slot);
    snprintf(name, sizeof name, "%s-%s-%s", config->group, role_names[role], slot);
    int r = set(conf, "client.id", name, problem, TEXT_SIZE);
    if (r < 0)
        return r;
    if (role == KAFKA_ROLE_PRODUCER) {
        snprintf(name, sizeof name, "%s-%s", config->group, slot);
        return set(conf, "transactional.id", name, problem, TEXT_SIZE);
    }
    if (role == KAFKA_ROLE_CONSUMER && config->static_members) {
        snprintf(name, sizeof name, "%s-%s", config->group, slot);
        r = set(conf, "group.instance.id", name, problem, TEXT_SIZE);
        if (r < 0)
            return r;
    }
    if (role == KAFKA_ROLE_CONSUMER || role == KAFKA_ROLE_END)
        return set(conf, "group.id", config->group, problem, TEXT_SIZE);
    if (role == KAFKA_ROLE_RESTORE) {
        snprintf(name, sizeof name, "%s-attempts", config->group);
        return set(conf, "group.id", name, problem, TEXT_SIZE);
    }
    /* assign() wants the name of a group even where none is joined and nothing is committed. */
    if (ROLE(role) & ROLES_CONSUMER_TYPE)
        return set(conf, "group.id", name, problem, TEXT_SIZE);
    return 0;
}

static void log_line(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct kafka_client *client = rd_kafka_opaque(rk);
    /* A property of all handles that only producers know, or only consumers, is no mistake. */
    if (strcmp(facility, "CONFWARN") == 0)
        level = LOG_DEBUG;
    if (client && client->config->log)
        client->config->log(client->config->log_context, level, facility, text);
}

/* librdkafka tells of a certificate that is not trusted as _TRANSPORT where it is a read that ends
 * the handshake, and, with OpenSSL 3, of a broker that goes away in the midst of it as _SSL.
 * Source: its issue 4293. */
static bool is_refusal(rd_kafka_resp_err_t code, const char *reason)
{
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT)
        return strstr(reason, "certificate verify failed");
    if (code == RD_KAFKA_RESP_ERR__SSL && strstr(reason, "unexpected eof"))
        return false;
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM;
}

/* Nothing here ends anything: librdkafka goes on trying. What waits for a first answer looks at
 * `refused`. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_client *client = opaque;
    bool refused = is_refusal((rd_kafka_resp_err_t)code, reason);
    if (refused)
        atomic_store(&client->refused, true);
    kafka_log(client->config, refused ? LOG_ERR : LOG_WARNING,
        refused ? "kafka_refused" : "kafka_error", "%s: %s",
        rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

/* METRIC_CLIENT_COUNT: the role is not measured. */
static enum metric_client metric_of(enum kafka_role role)
{
    switch (role) {
    case KAFKA_ROLE_DOOR:
        return METRIC_CLIENT_DOOR;
    case KAFKA_ROLE_PRODUCER:
        return METRIC_CLIENT_PRODUCER;
    case KAFKA_ROLE_CONSUMER:
        return METRIC_CLIENT_CONSUMER;
    case KAFKA_ROLE_RESULTS:
        return METRIC_CLIENT_RESULTS;
    default:
        return METRIC_CLIENT_COUNT;
    }
}

static int on_statistics(rd_kafka_t *rk, char *text, size_t size, void *opaque)
{
    struct kafka_client *client = opaque;
    kafka_statistics_take(client->config, metric_of(client->role), &client->parser,
        str_make(text, size), client->end, client->owner);
    return 0; /* librdkafka frees the text */
}

static int set_statistics(
    const struct kafka_config *config, enum kafka_role role, rd_kafka_conf_t *conf, char *problem)
{
    if (!config->metrics || metric_of(role) == METRIC_CLIENT_COUNT)
        return 0;
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    return set(conf, "statistics.interval.ms", KAFKA_STATISTICS_EVERY_MS, problem, TEXT_SIZE);
}

/* Queues of a worker are in proportion to its batches; the largest value fits all the same. */
static int set_queue(rd_kafka_conf_t *conf, const char *name, size_t bytes, char *problem)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%zu", bytes >> 10);
    return set(conf, name, text, problem, TEXT_SIZE);
}

static int set_queues(
    const struct kafka_config *config, enum kafka_role role, rd_kafka_conf_t *conf, char *problem)
{
    size_t out = config->batch_bytes_max / 2, in = config->batch_bytes_max / 16;
    out = out < QUEUE_OUT_MIN ? QUEUE_OUT_MIN : out < QUEUE_OUT_MAX ? out : QUEUE_OUT_MAX;
    in = in < QUEUE_IN_MIN ? QUEUE_IN_MIN : in < QUEUE_IN_MAX ? in : QUEUE_IN_MAX;
    if (role == KAFKA_ROLE_PRODUCER)
        return set_queue(conf, "queue.buffering.max.kbytes", out, problem);
    return ROLE(role) & ROLES_READ ? set_queue(conf, "queued.max.messages.kbytes", in, problem) : 0;
}

static int conf_make(
    const struct kafka_config *config, enum kafka_role role, rd_kafka_conf_t *conf, char *problem)
{
    int r = set_all(conf, defaults, sizeof defaults / sizeof defaults[0], role, problem);
    if (r == 0)
        r = set_queues(config, role, conf, problem);
    if (r == 0)
        r = set_statistics(config, role, conf, problem);
    if (r == 0)
        r = set_properties(conf, config, ROLE(role), problem, TEXT_SIZE);
    if (r == 0)
        r = set_all(conf, forced, sizeof forced / sizeof forced[0], role, problem);
    if (r == 0)
        r = set_names(conf, config, role, problem);
    return r;
}

int kafka_client_open(struct kafka_client *client, const struct kafka_config *config,
    enum kafka_role role, const struct kafka_callbacks *callbacks)
{
    char problem[TEXT_SIZE] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = conf_make(config, role, conf, problem);
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        kafka_log(config, LOG_ERR, "kafka_config", "%s", problem);
        return r;
    }
    *client = (struct kafka_client){.config = config, .role = role};
    if (callbacks) {
        client->owner = callbacks->owner;
        client->end = callbacks->end;
    }
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, log_line);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (callbacks && callbacks->delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, callbacks->delivered);
    if (callbacks && callbacks->rebalance)
        rd_kafka_conf_set_rebalance_cb(conf, callbacks->rebalance);
    bool consumer = ROLE(role) & ROLES_CONSUMER_TYPE;
    client->rk = rd_kafka_new(
        consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, problem, sizeof problem);
    if (!client->rk) {
        rd_kafka_conf_destroy(conf);
        kafka_log(config, LOG_ERR, "kafka_open", "%s", problem);
        return ERR_CONFIG;
    }
    if (consumer)
        rd_kafka_poll_set_consumer(client->rk);
    return 0;
}

/* ---- close ---- */

/* Shared by who waits and the thread that destroys; the last one frees it. */
struct destroying {
    rd_kafka_t *rk;
    int flags;
    pthread_mutex_t lock;
    pthread_cond_t done;
    int holders;
};

static void leave_destroying(struct destroying *destroying)
{
    bool last = --destroying->holders == 0;
    (void)pthread_cond_signal(&destroying->done);
    (void)pthread_mutex_unlock(&destroying->lock);
    if (!last)
        return;
    (void)pthread_cond_destroy(&destroying->done);
    (void)pthread_mutex_destroy(&destroying->lock);
    free(destroying);
}

static void *destroy(void *context)
{
    struct destroying *destroying = context;
    rd_kafka_destroy_flags(destroying->rk, destroying->flags);
    (void)pthread_mutex_lock(&destroying->lock);
    leave_destroying(destroying);
    return NULL;
}

static struct destroying *begin_destroying(rd_kafka_t *rk, int flags)
{
    pthread_t thread;
    struct destroying *destroying = calloc(1, sizeof *destroying);
    if (!destroying)
        return NULL;
    destroying->rk = rk;
    destroying->flags = flags;
    destroying->holders = 2;
    (void)pthread_mutex_init(&destroying->lock, NULL);
    (void)pthread_cond_init(&destroying->done, NULL);
    if (pthread_create(&thread, NULL, destroy, destroying) == 0) {
        (void)pthread_detach(thread);
        return destroying;
    }
    free(destroying);
    return NULL;
}

/* What logs must be gone before its owner is; of a handle that exists there is no other function.
 */
static void silence(rd_kafka_t *rk)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    rd_kafka_set_logger(rk, NULL);
#pragma GCC diagnostic pop
}

/* rd_kafka_destroy() of 2.0.2 waits for ever when a topic that was assigned had vanished: a thread
 * of a broker that still has a reference does not end. The handle is then left to the process's
 * end; it calls nobody. */
void kafka_client_close(struct kafka_client *client)
{
    if (!client->rk)
        return;
    /* Who is no member has no group to leave, and would only wait for brokers that are away. */
    int flags = client->role == KAFKA_ROLE_CONSUMER ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE;
    silence(client->rk);
    struct destroying *destroying = begin_destroying(client->rk, flags);
    if (!destroying) {
        rd_kafka_destroy_flags(client->rk, flags);
        json_parser_free(&client->parser);
        client->rk = NULL;
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DESTROY_SECONDS;
    (void)pthread_mutex_lock(&destroying->lock);
    int r = 0;
    while (destroying->holders == 2 && r == 0)
        r = pthread_cond_timedwait(&destroying->done, &destroying->lock, &until);
    if (destroying->holders == 2)
        kafka_log(
            client->config, LOG_WARNING, "kafka_close", "a handle of librdkafka does not end");
    leave_destroying(destroying);
    json_parser_free(&client->parser);
    client->rk = NULL;
}

int kafka_make_dir(const char *path)
{
    char part[PATH_SIZE];
    size_t size = strlen(path);
    if (size >= sizeof part)
        return ERR_CONFIG;
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return errno == ENOSPC ? ERR_FULL : ERR_IO;
    }
    return 0;
}

void kafka_log(
    const struct kafka_config *config, int level, const char *event, const char *format, ...)
{
    if (!config->log)
        return;
    char text[TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    config->log(config->log_context, level, event, text);
}

void kafka_topic_name(
    const struct kafka_config *config, enum topic topic, char out[KAFKA_TOPIC_SIZE_MAX])
{
    int size = snprintf(out, KAFKA_TOPIC_SIZE_MAX, "%s.%s.v1", config->prefix, topic_name(topic));
    check(size > 0 && size < KAFKA_TOPIC_SIZE_MAX);
}

int kafka_topic_of(const struct kafka_config *config, const char *name)
{
    char full[KAFKA_TOPIC_SIZE_MAX];
    for (int i = 0; i < TOPIC_COUNT; i++) {
        kafka_topic_name(config, (enum topic)i, full);
        if (strcmp(full, name) == 0)
            return i;
    }
    return -1;
}

int kafka_topic_cached(struct kafka_topic_cache *cache, const struct kafka_config *config,
    const rd_kafka_topic_t *handle)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (cache->handles[i] == handle)
            return i;
    int topic = kafka_topic_of(config, rd_kafka_topic_name(handle));
    if (topic >= 0)
        cache->handles[topic] = handle;
    return topic;
}

/* Lets callbacks run: nothing but them can come of a handle that has no topic yet. */
static void serve_callbacks(struct kafka_client *client)
{
    if (rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER) {
        rd_kafka_poll(client->rk, 0);
        return;
    }
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client->rk, 0);
    if (message)
        rd_kafka_message_destroy(message);
}

/* In slices, as librdkafka cannot be interrupted; they grow for the sake of a broker that is slow
 * to answer. All topics, as asking for one by name may create it. */
static rd_kafka_resp_err_t ask_metadata(
    struct kafka_client *client, int timeout_ms, const struct rd_kafka_metadata **out)
{
    for (int slice_ms = ASK_MS, left_ms = timeout_ms;; slice_ms = ASK_MS_MAX) {
        int wait_ms = slice_ms < left_ms ? slice_ms : left_ms;
        rd_kafka_resp_err_t code = rd_kafka_metadata(client->rk, 1, NULL, out, wait_ms);
        left_ms -= wait_ms;
        bool silent = code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (!silent)
            return code;
        serve_callbacks(client);
        if (atomic_load(&client->refused))
            return RD_KAFKA_RESP_ERR__AUTHENTICATION;
        if (left_ms <= 0 || (client->config->stopping && client->config->stopping()))
            return code;
    }
}

int kafka_metadata_get(
    struct kafka_client *client, int timeout_ms, const struct rd_kafka_metadata **out)
{
    rd_kafka_resp_err_t code = ask_metadata(client, timeout_ms, out);
    if (code)
        kafka_log(client->config, LOG_WARNING, "kafka_metadata", "%s", rd_kafka_err2str(code));
    return code ? kafka_error_of(code) : 0;
}

int kafka_layout_get(struct kafka_client *client, int timeout_ms, struct kafka_layout *out)
{
    const struct rd_kafka_metadata *metadata;
    int r = kafka_metadata_get(client, timeout_ms, &metadata);
    if (r < 0)
        return r;
    struct kafka_layout layout = {{0}};
    for (int i = 0; i < metadata->topic_cnt; i++) {
        int topic = kafka_topic_of(client->config, metadata->topics[i].topic);
        if (topic >= 0 && !metadata->topics[i].err)
            layout.partitions[topic] = metadata->topics[i].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    *out = layout;
    return 0;
}

int kafka_layout_same(struct kafka_client *client, const struct kafka_layout *layout)
{
    struct kafka_layout now;
    int r = kafka_layout_get(client, KAFKA_ANSWER_MS, &now);
    for (int t = 0; r >= 0 && t < TOPIC_COUNT; t++) {
        if (now.partitions[t] == 0)
            r = KAFKA_BUSY;
        else if (now.partitions[t] != layout->partitions[t])
            r = ERR_CONFIG;
    }
    return r;
}

bool kafka_topic_of_identity(enum topic topic)
{
    return topic == TOPIC_EVENTS || topic == TOPIC_REJECTED || topic == TOPIC_IDENTITY ||
           topic == TOPIC_IDENTITY_STATE || topic == TOPIC_PERSONS;
}

int kafka_layout_check(const struct kafka_config *config, const struct kafka_layout *layout)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        char model[KAFKA_TOPIC_SIZE_MAX];
        enum topic like = kafka_topic_of_identity((enum topic)i) ? TOPIC_IDENTITY : TOPIC_JOURNEY;
        kafka_topic_name(config, (enum topic)i, name);
        kafka_topic_name(config, like, model);
        if (layout->partitions[i] == 0) {
            kafka_log(config, LOG_ERR, "kafka_topics",
                "topic %s is missing, or not shown to this user: tabiji topics create", name);
            return ERR_CONFIG;
        }
        if (layout->partitions[i] != layout->partitions[like]) {
            kafka_log(config, LOG_ERR, "kafka_topics",
                "topic %s has %d partitions, %s has %d, and they must be equal: tabiji topics "
                "check says of each; what is in use gets another count by tabiji repartition only",
                name, layout->partitions[i], model, layout->partitions[like]);
            return ERR_CONFIG;
        }
    }
    return 0;
}

static bool names_nothing(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

int kafka_client_ends(
    struct kafka_client *client, const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
    int64_t first;
    int64_t end;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        client->rk, topic, partition, &first, &end, KAFKA_ANSWER_MS);
    if (code) {
        kafka_log(client->config, LOG_WARNING, "kafka_ends", "%s %d: %s", topic, partition,
            rd_kafka_err2str(code));
        if (!names_nothing(code))
            return kafka_error_of(code);
        /* A broker that starts may tell a topic before its partitions. What it told is kept, and
         * believed for topic.metadata.refresh.interval.ms (5 minutes) unless somebody asks. */
        const struct rd_kafka_metadata *metadata;
        int r = kafka_metadata_get(client, KAFKA_ANSWER_MS, &metadata);
        if (r < 0)
            return r;
        rd_kafka_metadata_destroy(metadata);
        return ERR_AGAIN;
    }
    *low = first;
    *high = end;
    return 0;
}

void kafka_client_cluster(struct kafka_client *client, char *out, size_t size)
{
    char *cluster = rd_kafka_clusterid(client->rk, KAFKA_ANSWER_MS);
    snprintf(out, size, "%s %s", cluster ? cluster : "", client->config->prefix);
    rd_kafka_mem_free(client->rk, cluster);
}

int64_t kafka_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
