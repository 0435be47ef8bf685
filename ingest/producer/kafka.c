/*
 * One thread appends, for an append waits until brokers have answered; the sender's thread gives it
 * batches and takes outcomes.
 *
 *     idle ─start()─▶ given ─thread─▶ finished ─work(), done()─▶ idle
 *
 * What is refused by name goes to Kafka's `rejected`, as from the collector.
 */
#include "ingest/producer/kafka.h"

#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "ingest/collector/intake.h"
#include "ingest/config/config.h"
#include "ingest/producer/error.h"
#include "ingest/registry/registry_configure.h"
#include "ingest/stream/kafka.h"
#include "ingest/stream/kafka_configure.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/time.h"

#define OPEN_MS 5000
#define ADAPTER_VERSION 1 /* of native events */
#define STAGE_NATIVE "native"
#define NANOS_PER_MICRO 1000
#define REASON_SIZE 256
#define THREAD "[thrd:" /* what librdkafka's texts begin with, up to "]: " */
/* Where cursors of imports would lie, of which a producer has none: a directory that is there. */
#define STATE_DIRECTORY "/"

enum phase { IDLE, GIVEN, FINISHED };

struct kafka {
    struct producer_transport head; /* first */
    struct tabiji_allocator memory;
    struct config *config;
    struct arena settings_arena; /* what the door and the properties borrow */
    bool seals;                  /* the source trusts its channel as the caller is judged */
    struct door_config door;
    const struct config_source *source;
    struct kafka_config kafka;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t given;
    pthread_cond_t finished;
    /* under the lock */
    enum phase phase;
    bool woken;
    bool stopping;
    struct appender *appender; /* NULL: no broker was reached yet */
    /* The first and worst of what the driver says went wrong with this batch, or ""; under a lock
     * of its own, as it is said from librdkafka's threads, and from within calls. */
    pthread_mutex_t reason_lock;
    char reason[REASON_SIZE];
    int reason_level;
    /* of the thread, but in phase FINISHED */
    struct producer_batch *batch;
    struct producer_outcome outcome;
    char told[REASON_SIZE]; /* that of the outcome */
    struct arena arena;
    struct json_parser *parser;
};

/* ---- why not ---- */

static void keep_reason(void *context, int level, const char *event, const char *text)
{
    struct kafka *kafka = context;
    const char *behind = strncmp(text, THREAD, sizeof THREAD - 1) == 0 ? strstr(text, "]: ") : NULL;
    if (level > LOG_WARNING)
        return;
    if (behind)
        text = behind + 3;
    (void)pthread_mutex_lock(&kafka->reason_lock);
    if (!kafka->reason[0] || level < kafka->reason_level) {
        (void)snprintf(kafka->reason, sizeof kafka->reason, "%s", text);
        kafka->reason_level = level;
    }
    (void)pthread_mutex_unlock(&kafka->reason_lock);
}

static void forget_reason(struct kafka *kafka)
{
    (void)pthread_mutex_lock(&kafka->reason_lock);
    kafka->reason[0] = '\0';
    (void)pthread_mutex_unlock(&kafka->reason_lock);
}

/* The error's text where the driver said nothing. Lives until the next batch. */
static struct str take_reason(struct kafka *kafka, int error)
{
    (void)pthread_mutex_lock(&kafka->reason_lock);
    memcpy(kafka->told, kafka->reason, sizeof kafka->told);
    (void)pthread_mutex_unlock(&kafka->reason_lock);
    return str_of(kafka->told[0] ? kafka->told : error_text(error));
}

/* ---- one batch ---- */

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * TIME_MICROS_PER_SECOND + now.tv_nsec / NANOS_PER_MICRO;
}

static struct str text_of_entry(void *context, size_t index)
{
    return producer_entry_json(context);
}

static struct intake intake_for(const struct kafka *kafka, struct arena *arena)
{
    return (struct intake){
        .door = &kafka->door,
        .arena = arena,
        .source = kafka->source->name,
        .stage = STR(STAGE_NATIVE),
        .now_micros = now_micros(),
        .is_operator = kafka->source->is_operator,
        .refuses_evidence = kafka->source->refuses_evidence,
        .plan = kafka->source->plan,
    };
}

/* As native events are taken at the collector. Errors: ERR_NO_MEMORY. */
static int take_event(const struct kafka *kafka, struct intake *intake, struct touchpoint *event,
    size_t index, const struct intake_payload *payload)
{
    event->source = kafka->source->name;
    event->protocol = PROTOCOL_NATIVE;
    event->adapter_version = ADAPTER_VERSION;
    return intake_event(intake, event, index, payload);
}

/* What was sealed: the record's key, its value. */
static int take_sealed(struct intake *intake, const struct producer_entry *entry, size_t index,
    const struct intake_payload *payload)
{
    struct str sealed = producer_entry_sealed(entry);
    const struct append_record record = {.topic = TOPIC_EVENTS,
        .key = str_make(sealed.data, KEY_SIZE),
        .value = str_make(sealed.data + KEY_SIZE, sealed.size - KEY_SIZE)};
    return intake_record(intake, &record, producer_entry_id(entry), index, payload);
}

static int take_entry(
    struct kafka *kafka, struct intake *intake, struct producer_entry *entry, size_t index)
{
    const struct intake_payload payload = {.text = text_of_entry, .context = entry};
    if (entry->sealed_size)
        return take_sealed(intake, entry, index, &payload);
    struct json value;
    struct touchpoint event;
    struct event_problem problem = {
        .error = json_parse(kafka->parser, producer_entry_json(entry), &value),
        .pointer = STR(""),
        .hint = STR("")};
    if (problem.error == 0) {
        int r =
            event_json_read(value, kafka->source->trusted_channel, &kafka->arena, &event, &problem);
        problem.error = r;
    }
    if (problem.error == ERR_NO_MEMORY)
        return ERR_NO_MEMORY;
    if (problem.error < 0)
        return intake_reject(intake, index, producer_entry_id(entry), &problem, &payload);
    return take_event(kafka, intake, &event, index, &payload);
}

static int take_batch(struct kafka *kafka, struct intake *intake)
{
    size_t index = 0;
    *intake = intake_for(kafka, &kafka->arena);
    arena_reset(&kafka->arena);
    int r = intake_reserve(intake, kafka->batch->events);
    for (struct producer_entry *entry = kafka->batch->first; r == 0 && entry; entry = entry->next)
        r = take_entry(kafka, intake, entry, index++);
    return r;
}

/* Of a refused event, whose record is thrown away. */
static struct str no_text(void *context, size_t index)
{
    return STR("");
}

/* The record, its key before its value, of an event that is accepted and needs nothing beside it in
 * the log. */
static int seal(struct producer_transport *transport, struct touchpoint *event, struct arena *arena,
    struct producer_sealed *out)
{
    const struct kafka *kafka = (const struct kafka *)transport;
    const struct intake_payload payload = {.text = no_text};
    if (!kafka->seals)
        return 0;
    struct intake intake = intake_for(kafka, arena);
    int r = intake_reserve(&intake, 1);
    if (r == 0)
        r = take_event(kafka, &intake, event, 0, &payload);
    if (r < 0 || intake.accepted == 0 || intake.pairs.count > 0)
        return r;
    const struct append_record *record = &intake.records[0];
    char *bytes = arena_alloc(arena, KEY_SIZE + record->value.size);
    if (!bytes)
        return ERR_NO_MEMORY;
    check(record->key.size == KEY_SIZE);
    memcpy(bytes, record->key.data, KEY_SIZE);
    memcpy(bytes + KEY_SIZE, record->value.data, record->value.size);
    out->bytes = str_make(bytes, KEY_SIZE + record->value.size);
    out->problem = (struct event_problem){.pointer = STR(""), .hint = STR("")};
    if (intake.warnings.count)
        out->problem = intake.warnings.list[intake.warnings.count - 1].problem;
    return 0;
}

/* Reaches brokers where that was not done yet. */
static int reach(struct kafka *kafka)
{
    struct appender *appender = NULL;
    if (kafka->appender)
        return 0;
    int r = kafka_appender_open(&kafka->kafka, OPEN_MS, &appender);
    (void)pthread_mutex_lock(&kafka->lock);
    kafka->appender = appender;
    if (appender && kafka->stopping)
        kafka_appender_cancel(appender);
    (void)pthread_mutex_unlock(&kafka->lock);
    return r;
}

/* After a failure clients are made anew, as passwords and certificates are read when they are made,
 * and those of before may be why. */
static int append_all(struct kafka *kafka, const struct intake *intake, uint64_t *size)
{
    const struct append_record *records;
    size_t count;
    int r = intake_records(intake, &records, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        *size += records[i].value.size;
    if (r < 0 || count == 0)
        return r;
    r = kafka->appender->append(kafka->appender, records, count, NULL);
    if (r < 0 && r != ERR_TOO_LARGE)
        kafka_appender_renew(kafka->appender);
    return r;
}

static int list_rejections(
    struct kafka *kafka, const struct intake *intake, struct producer_outcome *outcome)
{
    const struct verdicts *rejected = &intake->rejected;
    struct producer_rejection *list =
        arena_alloc(&kafka->arena, (rejected->count + 1) * sizeof *list);
    if (!list)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < rejected->count; i++)
        list[i] = (struct producer_rejection){.index = rejected->list[i].index,
            .code = str_of(error_name(rejected->list[i].problem.error)),
            .pointer = rejected->list[i].problem.pointer,
            .hint = rejected->list[i].problem.hint};
    outcome->rejections = list;
    outcome->rejections_count = rejected->count;
    return 0;
}

/* What is too large for a broker is found by halves; all else may be otherwise the next time. */
static struct producer_outcome put_batch(struct kafka *kafka)
{
    struct producer_outcome outcome = {.kind = PRODUCER_TAKEN};
    struct intake intake;
    forget_reason(kafka);
    int r = reach(kafka);
    if (r == 0)
        r = take_batch(kafka, &intake);
    if (r == 0)
        r = list_rejections(kafka, &intake, &outcome);
    if (r == 0)
        r = append_all(kafka, &intake, &outcome.body_size);
    if (r == 0) {
        outcome.duplicates = intake.duplicates;
        outcome.denied = intake.no_consent;
        return outcome;
    }
    return (struct producer_outcome){.kind = r == ERR_TOO_LARGE ? PRODUCER_REFUSED : PRODUCER_AGAIN,
        .code = str_of(error_name(r)),
        .hint = take_reason(kafka, r)};
}

static void *run(void *context)
{
    struct kafka *kafka = context;
    (void)pthread_mutex_lock(&kafka->lock);
    while (!kafka->stopping) {
        if (kafka->phase != GIVEN) {
            (void)pthread_cond_wait(&kafka->given, &kafka->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&kafka->lock);
        struct producer_outcome outcome = put_batch(kafka);
        (void)pthread_mutex_lock(&kafka->lock);
        kafka->outcome = outcome;
        kafka->phase = FINISHED;
        (void)pthread_cond_signal(&kafka->finished);
    }
    (void)pthread_mutex_unlock(&kafka->lock);
    return NULL;
}

/* ---- the transport ---- */

static int start(struct producer_transport *transport, struct producer_batch *batch)
{
    struct kafka *kafka = (struct kafka *)transport;
    (void)pthread_mutex_lock(&kafka->lock);
    bool idle = kafka->phase == IDLE;
    if (idle) {
        kafka->batch = batch;
        kafka->phase = GIVEN;
        (void)pthread_cond_signal(&kafka->given);
    }
    (void)pthread_mutex_unlock(&kafka->lock);
    return idle ? 0 : ERR_FULL;
}

static void work(struct producer_transport *transport, int timeout_ms)
{
    struct kafka *kafka = (struct kafka *)transport;
    struct timespec at = producer_deadline(timeout_ms);
    int waited = 0;
    (void)pthread_mutex_lock(&kafka->lock);
    while (waited == 0 && kafka->phase != FINISHED && !kafka->woken)
        waited = pthread_cond_timedwait(&kafka->finished, &kafka->lock, &at);
    kafka->woken = false;
    bool finished = kafka->phase == FINISHED;
    if (finished)
        kafka->phase = IDLE;
    (void)pthread_mutex_unlock(&kafka->lock);
    if (finished)
        kafka->head.done(kafka->head.done_context, kafka->batch, &kafka->outcome);
}

static void wake(struct producer_transport *transport)
{
    struct kafka *kafka = (struct kafka *)transport;
    (void)pthread_mutex_lock(&kafka->lock);
    kafka->woken = true;
    (void)pthread_cond_signal(&kafka->finished);
    (void)pthread_mutex_unlock(&kafka->lock);
}

/* Brokers know no write key. */
static int set_key(struct producer_transport *transport, struct str key)
{
    return 0;
}

/* ---- life ---- */

static void free_parts(struct kafka *kafka)
{
    kafka_appender_close(&kafka->appender); /* which may still say something */
    (void)pthread_mutex_destroy(&kafka->reason_lock);
    json_parser_free(&kafka->parser);
    arena_free(&kafka->arena);
    arena_free(&kafka->settings_arena);
    config_free(&kafka->config);
    struct tabiji_allocator memory = kafka->memory;
    producer_memory_free(&memory, kafka);
}

static void close_kafka(struct producer_transport **transport)
{
    struct kafka *kafka = (struct kafka *)*transport;
    if (!kafka)
        return;
    (void)pthread_mutex_lock(&kafka->lock);
    kafka->stopping = true;
    if (kafka->appender)
        kafka_appender_cancel(kafka->appender);
    (void)pthread_cond_signal(&kafka->given);
    (void)pthread_mutex_unlock(&kafka->lock);
    (void)pthread_join(kafka->thread, NULL);
    (void)pthread_cond_destroy(&kafka->finished);
    (void)pthread_cond_destroy(&kafka->given);
    (void)pthread_mutex_destroy(&kafka->lock);
    free_parts(kafka);
    *transport = NULL;
}

static const struct producer_transport_ops ops = {
    .seal = seal,
    .start = start,
    .work = work,
    .wake = wake,
    .set_key = set_key,
    .close = close_kafka,
};

static int read_config(struct kafka *kafka, const char *path, struct config_problem *problem)
{
    int r = config_new(&kafka->config);
    if (r == 0)
        r = config_load(kafka->config, path, problem);
    return r == 0 ? config_finish(kafka->config, problem) : r;
}

static int configure(
    struct kafka *kafka, const struct producer_settings *settings, struct config_problem *problem)
{
    struct registry_config registry;
    int r = read_config(kafka, settings->kafka_config, problem);
    if (r == 0)
        r = door_configure(kafka->config, &kafka->settings_arena, &kafka->door, problem);
    if (r < 0)
        return r;
    kafka->source = config_source(kafka->config, str_of(settings->kafka_source));
    if (!kafka->source) {
        (void)snprintf(
            problem->text, sizeof problem->text, "there is no [source %s]", settings->kafka_source);
        return ERR_CONFIG;
    }
    kafka->seals = kafka->source->trusted_channel == ((settings->flags & TABIJI_TRUSTED) != 0);
    r = registry_configure(kafka->config, &registry, problem);
    if (r == 0)
        (void)snprintf(problem->text, sizeof problem->text,
            "a schema registry is not supported: send to a collector");
    if (r != REGISTRY_NONE)
        return r < 0 ? r : ERR_CONFIG;
    kafka_config_default(&kafka->kafka);
    kafka->kafka.prefix = config_path(kafka->config, OPTION_STREAM_PREFIX);
    kafka->kafka.state_dir = STATE_DIRECTORY;
    kafka->kafka.log = keep_reason;
    kafka->kafka.log_context = kafka;
    r = kafka_configure_properties(kafka->config, &kafka->settings_arena, &kafka->kafka);
    if (r == 0)
        r = kafka_config_check(&kafka->kafka, problem->text, sizeof problem->text);
    return r;
}

static int start_thread(struct kafka *kafka)
{
    if (pthread_mutex_init(&kafka->lock, NULL) != 0)
        return ERR_NO_MEMORY;
    int r = producer_condition_init(&kafka->given);
    if (r == 0)
        r = producer_condition_init(&kafka->finished);
    if (r == 0)
        r = json_parser_new(&kafka->parser);
    if (r == 0 && pthread_create(&kafka->thread, NULL, run, kafka) != 0)
        r = ERR_IO;
    return r;
}

int producer_kafka_new(const struct producer_settings *settings,
    const struct tabiji_allocator *memory, producer_done_fn done, void *done_context,
    struct producer_transport **out, struct tabiji_problem *problem)
{
    struct config_problem why = {.text = ""};
    struct kafka *kafka = producer_memory_zero(memory, sizeof *kafka);
    if (!kafka)
        return TABIJI_ERROR_NO_MEMORY;
    kafka->memory = *memory;
    kafka->reason_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    kafka->head =
        (struct producer_transport){.ops = &ops, .done = done, .done_context = done_context};
    int r = configure(kafka, settings, &why);
    if (r == 0)
        r = start_thread(kafka);
    if (r == 0) {
        *out = &kafka->head;
        return TABIJI_OK;
    }
    free_parts(kafka);
    if (r == ERR_NO_MEMORY)
        return TABIJI_ERROR_NO_MEMORY;
    if (r == ERR_IO)
        return TABIJI_ERROR_IO;
    producer_problem_set(
        problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("kafka_config"), str_of(why.text));
    return TABIJI_ERROR_ARGUMENT;
}
