/*
 * One thread makes records of batches and gives them to librdkafka, while those of batches before
 * are on their way; the sender's thread gives it batches and takes outcomes. Slots are a ring:
 *
 *     idle ─start()─▶ given ─run()─▶ taken ─on_end()─▶ ended ─work(), done()─▶ idle
 *                       └────────────────spoiled───────▲
 *
 * 1. Batches begin in the order in which they were given, and are told in it.
 * 2. When one was not appended, all that were given behind it are told likewise, whatever became of
 *    them, and sent again behind it: nothing overtakes what has the same key.
 * 3. A broker refuses for its size what librdkafka has put together of several batches. So that is
 *    believed of a batch that was on its way alone; otherwise it is tried so, with some behind it.
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

/* How many batches go one by one when one was too large: as many as find the event at fault by
 * halves. */
#define ALONE_BATCHES 32

enum phase { IDLE, GIVEN, TAKEN, ENDED };

/* A batch on its way. */
struct slot {
    struct kafka *kafka;
    /* under the lock */
    enum phase phase;
    bool spoiled; /* one before it was not appended */
    bool alone;   /* nothing else was on its way; of the sender's thread */
    /* of the sender's thread, but of Kafka's in phase TAKEN until it has begun or failed */
    struct producer_batch *batch;
    struct producer_outcome outcome;
    int error; /* it was not begun */
    struct kafka_append append;
    struct arena arena;
    char told[REASON_SIZE]; /* that of the outcome */
};

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
    bool woken;
    bool stopping;
    struct appender *appender; /* NULL: no broker was reached yet */
    /* The first and worst of what the driver says went wrong since something was appended, or "";
     * under a lock of its own, as it is said from librdkafka's threads, and from within calls. */
    pthread_mutex_t reason_lock;
    char reason[REASON_SIZE];
    int reason_level;
    struct slot slots[PRODUCER_KAFKA_BATCHES];
    size_t oldest, newest;      /* of the sender's thread: the first that is not idle; the next */
    size_t alone_left;          /* of the sender's thread: so many batches go alone */
    size_t next;                /* of Kafka's thread: the next to begin */
    struct json_parser *parser; /* of Kafka's thread */
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

/* The error's text where the driver said nothing. Lives in the slot. */
static struct str take_reason(struct slot *slot, int error)
{
    struct kafka *kafka = slot->kafka;
    (void)pthread_mutex_lock(&kafka->reason_lock);
    memcpy(slot->told, kafka->reason, sizeof slot->told);
    (void)pthread_mutex_unlock(&kafka->reason_lock);
    return str_of(slot->told[0] ? slot->told : error_text(error));
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
            event_json_read(value, kafka->source->trusted_channel, intake->arena, &event, &problem);
        problem.error = r;
    }
    if (problem.error == ERR_NO_MEMORY)
        return ERR_NO_MEMORY;
    if (problem.error < 0)
        return intake_reject(intake, index, producer_entry_id(entry), &problem, &payload);
    return take_event(kafka, intake, &event, index, &payload);
}

static int take_batch(struct slot *slot, struct intake *intake)
{
    size_t index = 0;
    *intake = intake_for(slot->kafka, &slot->arena);
    arena_reset(&slot->arena);
    int r = intake_reserve(intake, slot->batch->events);
    for (struct producer_entry *entry = slot->batch->first; r == 0 && entry; entry = entry->next)
        r = take_entry(slot->kafka, intake, entry, index++);
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

static int list_rejections(
    struct arena *arena, const struct intake *intake, struct producer_outcome *outcome)
{
    const struct verdicts *rejected = &intake->rejected;
    struct producer_rejection *list = arena_alloc(arena, (rejected->count + 1) * sizeof *list);
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

/* Leaves in the slot what comes of it if it is appended, and begins that. */
static int begin(struct slot *slot)
{
    struct kafka *kafka = slot->kafka;
    const struct append_record *records = NULL;
    size_t count = 0;
    struct intake intake;
    slot->outcome = (struct producer_outcome){.kind = PRODUCER_TAKEN};
    int r = reach(kafka);
    if (r == 0)
        r = take_batch(slot, &intake);
    if (r == 0)
        r = list_rejections(&slot->arena, &intake, &slot->outcome);
    if (r == 0)
        r = intake_records(&intake, &records, &count);
    if (r < 0)
        return r;
    slot->outcome.duplicates = intake.duplicates;
    slot->outcome.denied = intake.no_consent;
    for (size_t i = 0; i < count; i++)
        slot->outcome.body_size += records[i].value.size;
    return kafka_append_begin(kafka->appender, records, count, &slot->append);
}

static void on_end(void *context)
{
    struct slot *slot = context;
    (void)pthread_mutex_lock(&slot->kafka->lock);
    slot->phase = ENDED;
    (void)pthread_cond_signal(&slot->kafka->finished);
    (void)pthread_mutex_unlock(&slot->kafka->lock);
}

static void *run(void *context)
{
    struct kafka *kafka = context;
    (void)pthread_mutex_lock(&kafka->lock);
    while (!kafka->stopping) {
        struct slot *slot = &kafka->slots[kafka->next];
        if (slot->phase != GIVEN) {
            (void)pthread_cond_wait(&kafka->given, &kafka->lock);
            continue;
        }
        kafka->next = (kafka->next + 1) % PRODUCER_KAFKA_BATCHES;
        slot->phase = TAKEN;
        slot->error = 0;
        int r = slot->spoiled ? ERR_AGAIN : 0;
        (void)pthread_mutex_unlock(&kafka->lock);
        if (r == 0)
            r = begin(slot); /* once it has begun, the slot is the sender's */
        if (r < 0) {
            slot->error = r;
            on_end(slot);
        }
        (void)pthread_mutex_lock(&kafka->lock);
    }
    (void)pthread_mutex_unlock(&kafka->lock);
    return NULL;
}

/* ---- the transport ---- */

static int start(struct producer_transport *transport, struct producer_batch *batch)
{
    struct kafka *kafka = (struct kafka *)transport;
    struct slot *slot = &kafka->slots[kafka->newest];
    (void)pthread_mutex_lock(&kafka->lock);
    bool alone = kafka->oldest == kafka->newest;
    bool idle = slot->phase == IDLE && (alone || kafka->alone_left == 0);
    if (idle) {
        slot->alone = alone && kafka->alone_left > 0;
        slot->batch = batch;
        slot->spoiled = false;
        slot->phase = GIVEN;
        kafka->newest = (kafka->newest + 1) % PRODUCER_KAFKA_BATCHES;
        (void)pthread_cond_signal(&kafka->given);
    }
    (void)pthread_mutex_unlock(&kafka->lock);
    return idle ? 0 : ERR_FULL;
}

/* All that are on their way behind this one. */
static void spoil_others(struct slot *slot)
{
    struct kafka *kafka = slot->kafka;
    (void)pthread_mutex_lock(&kafka->lock);
    for (size_t i = 0; i < PRODUCER_KAFKA_BATCHES; i++)
        if (&kafka->slots[i] != slot && kafka->slots[i].phase != IDLE)
            kafka->slots[i].spoiled = true;
    (void)pthread_mutex_unlock(&kafka->lock);
}

/* What became of a batch that has ended. What is too large for a broker is found by halves; all
 * else may be otherwise the next time. After a failure clients are made anew, as passwords and
 * certificates are read when they are made, and those of before may be why. */
static void finish(struct slot *slot)
{
    struct kafka *kafka = slot->kafka;
    bool begun = slot->error == 0;
    int r = begun ? kafka_append_end(kafka->appender, &slot->append) : slot->error;
    if (r == 0 && !slot->spoiled) {
        forget_reason(kafka);
        return;
    }
    if (!slot->spoiled) {
        if (begun && r != ERR_TOO_LARGE)
            kafka_appender_renew(kafka->appender);
        spoil_others(slot);
    }
    bool refused = r == ERR_TOO_LARGE && slot->alone;
    if (r == ERR_TOO_LARGE && !slot->spoiled)
        kafka->alone_left = ALONE_BATCHES;
    r = r < 0 ? r : ERR_AGAIN;
    slot->outcome = (struct producer_outcome){.kind = refused ? PRODUCER_REFUSED : PRODUCER_AGAIN,
        .code = str_of(error_name(r)),
        .hint = take_reason(slot, r)};
}

/* The oldest where it has ended. Under the lock. */
static struct slot *ended(struct kafka *kafka)
{
    struct slot *slot = &kafka->slots[kafka->oldest];
    return slot->phase == ENDED ? slot : NULL;
}

static void tell(struct slot *slot)
{
    struct kafka *kafka = slot->kafka;
    kafka->alone_left -= slot->alone;
    finish(slot);
    kafka->oldest = (kafka->oldest + 1) % PRODUCER_KAFKA_BATCHES;
    kafka->head.done(kafka->head.done_context, slot->batch, &slot->outcome);
    (void)pthread_mutex_lock(&kafka->lock);
    slot->phase = IDLE;
    (void)pthread_mutex_unlock(&kafka->lock);
}

static void work(struct producer_transport *transport, int timeout_ms)
{
    struct kafka *kafka = (struct kafka *)transport;
    struct timespec at = producer_deadline(timeout_ms);
    int waited = 0;
    (void)pthread_mutex_lock(&kafka->lock);
    while (waited == 0 && !ended(kafka) && !kafka->woken)
        waited = pthread_cond_timedwait(&kafka->finished, &kafka->lock, &at);
    kafka->woken = false;
    struct slot *slot = ended(kafka);
    (void)pthread_mutex_unlock(&kafka->lock);
    if (slot)
        tell(slot);
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
    for (size_t i = 0; i < PRODUCER_KAFKA_BATCHES; i++)
        arena_free(&kafka->slots[i].arena);
    arena_free(&kafka->settings_arena);
    config_free(&kafka->config);
    struct tabiji_allocator memory = kafka->memory;
    producer_memory_free(&memory, kafka);
}

/* Waits until librdkafka has no record any more of what was begun. */
static void end_all(struct kafka *kafka)
{
    for (size_t i = 0; i < PRODUCER_KAFKA_BATCHES; i++) {
        struct slot *slot = &kafka->slots[i];
        (void)pthread_mutex_lock(&kafka->lock);
        while (slot->phase == TAKEN)
            (void)pthread_cond_wait(&kafka->finished, &kafka->lock);
        bool begun = slot->phase == ENDED && slot->error == 0;
        (void)pthread_mutex_unlock(&kafka->lock);
        if (begun)
            (void)!kafka_append_end(kafka->appender, &slot->append);
    }
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
    end_all(kafka);
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
    for (size_t i = 0; i < PRODUCER_KAFKA_BATCHES; i++)
        kafka->slots[i] =
            (struct slot){.kafka = kafka, .append = {.done = on_end, .context = &kafka->slots[i]}};
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
