/*
 * The public producer: what callers' threads do.
 *
 * 1. In a child process a producer is the parent's, whose thread, connections and locks the child
 *    does not have: all calls ask `process` first.
 * 2. `users` counts calls of tabiji_send() under way; close() frees when there is none.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "ingest/producer/check.h"
#include "ingest/producer/error.h"
#include "ingest/producer/event.h"
#include "ingest/producer/process.h"
#include "ingest/producer/sender.h"
#include "schemas/error.h"

#define CHECKERS_MAX 16
#define ENTRY_SIZE_MAX ((size_t)900 << 10) /* of JSON: a request of it alone is taken */
#define INSERTED_SIZE_MAX 96
#define MILLIS_PER_SECOND 1000
#define NANOS_PER_MILLI 1000000

struct tabiji_producer {
    struct tabiji_allocator memory;
    struct producer_settings settings;
    struct producer_rules rules;
    struct producer_random random;
    struct producer_queue queue;
    struct producer_backlog backlog;
    struct producer_reports reports;
    struct producer_sender sender;
    struct producer_process process;
    atomic_long users;
    atomic_ulong invalid;
    pthread_mutex_t checkers_lock;
    struct producer_checker *_Atomic spare;          /* nobody uses it: most calls need no lock */
    struct producer_checker *checkers[CHECKERS_MAX]; /* nor these */
    size_t checkers_count;
};

/* ---- life ---- */

static bool is_forked(const struct tabiji_producer *producer)
{
    return producer_process_is_forked(&producer->process);
}

static int init_checkers(struct tabiji_producer *producer)
{
    return pthread_mutex_init(&producer->checkers_lock, NULL) == 0 ? 0 : ERR_NO_MEMORY;
}

static void fini_checkers(struct tabiji_producer *producer)
{
    struct producer_checker *spare = atomic_exchange(&producer->spare, NULL);
    producer_checker_free(&producer->memory, &spare);
    while (producer->checkers_count)
        producer_checker_free(&producer->memory, &producer->checkers[--producer->checkers_count]);
    (void)pthread_mutex_destroy(&producer->checkers_lock);
}

/* How far producer_new() came. */
enum made {
    MADE_PROCESS = 1,
    MADE_RULES,
    MADE_RANDOM,
    MADE_CHECKERS,
    MADE_QUEUE,
    MADE_REPORTS,
    MADE_BACKLOG
};

static void unmake(struct tabiji_producer *producer, int made)
{
    if (made >= MADE_BACKLOG)
        producer_backlog_close(&producer->backlog);
    if (made >= MADE_REPORTS)
        producer_reports_fini(&producer->reports);
    if (made >= MADE_QUEUE)
        producer_queue_fini(&producer->queue);
    if (made >= MADE_CHECKERS)
        fini_checkers(producer);
    if (made >= MADE_RANDOM)
        producer_random_fini(&producer->random);
    if (made >= MADE_RULES)
        producer_rules_fini(&producer->rules, &producer->memory);
    if (made >= MADE_PROCESS)
        producer_process_fini(&producer->process);
    producer_settings_fini(&producer->settings, &producer->memory);
    struct tabiji_allocator memory = producer->memory;
    producer_memory_free(&memory, producer);
}

static int make(struct tabiji_producer *producer, const struct tabiji_options *options, int *made)
{
    producer_process_init(&producer->process);
    *made = MADE_PROCESS;
    int r = producer_rules_init(
        &producer->rules, &producer->memory, options->namespaces, options->flags & TABIJI_TRUSTED);
    if (r == 0) {
        *made = MADE_RULES;
        r = producer_random_init(&producer->random);
    }
    if (r == 0) {
        *made = MADE_RANDOM;
        r = init_checkers(producer);
    }
    if (r == 0) {
        *made = MADE_CHECKERS;
        r = producer_queue_init(&producer->queue, &producer->memory, &producer->settings.queue);
    }
    if (r == 0) {
        *made = MADE_QUEUE;
        r = producer_reports_init(&producer->reports, &producer->memory);
    }
    if (r < 0)
        return r;
    *made = MADE_REPORTS;
    producer->reports.on_report = producer->settings.on_report;
    producer->reports.context = producer->settings.report_context;
    producer->reports.kept_max = producer->settings.reports_max;
    producer->reports.failures_only = producer->settings.flags & TABIJI_FAILURES;
    producer->sender = (struct producer_sender){.memory = &producer->memory,
        .settings = &producer->settings,
        .queue = &producer->queue,
        .backlog = &producer->backlog,
        .reports = &producer->reports,
        .random = &producer->random,
        .users = &producer->users};
    return 0;
}

static int fail_new(struct tabiji_problem *problem, int error)
{
    if (error != ERR_VALUE)
        return TABIJI_ERROR_NO_MEMORY;
    producer_problem_set(problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("namespaces"),
        STR("names of [a-z][a-z0-9_]*, at most 22 more"));
    return TABIJI_ERROR_ARGUMENT;
}

static int start(struct tabiji_producer *producer, int *made, struct tabiji_problem *problem)
{
    int r = producer_backlog_open(
        &producer->backlog, &producer->settings, &producer->queue, &producer->random, problem);
    if (r < 0)
        return r;
    *made = MADE_BACKLOG;
    r = producer_sender_start(&producer->sender, problem);
    /* A spool keeps JSON, which is judged when it is read from there. */
    if (r == 0 && !producer->backlog.spool && producer_sender_seals(&producer->sender)) {
        producer->rules.seal = producer_sender_seal;
        producer->rules.seal_context = &producer->sender;
    }
    return r;
}

int tabiji_producer_new(const struct tabiji_options *options, struct tabiji_producer **out,
    struct tabiji_problem *problem)
{
    struct tabiji_allocator memory;
    struct tabiji_options known = {0};
    if (!options || !out || options->size < offsetof(struct tabiji_options, key))
        return TABIJI_ERROR_ARGUMENT;
    memcpy(&known, options, options->size < sizeof known ? options->size : sizeof known);
    if (!producer_memory_init(&memory, known.allocator)) {
        producer_problem_set(problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("allocator"),
            STR("all three functions"));
        return TABIJI_ERROR_ARGUMENT;
    }
    struct tabiji_producer *producer = producer_memory_zero(&memory, sizeof *producer);
    if (!producer)
        return TABIJI_ERROR_NO_MEMORY;
    producer->memory = memory;
    int r = producer_settings_init(&producer->settings, &known, &producer->memory, problem);
    if (r < 0) {
        producer_memory_free(&memory, producer);
        return r;
    }
    int made = 0;
    r = make(producer, &known, &made);
    r = r < 0 ? fail_new(problem, r) : start(producer, &made, problem);
    if (r < 0) {
        unmake(producer, made);
        return r;
    }
    *out = producer;
    return TABIJI_OK;
}

int tabiji_producer_stop(struct tabiji_producer *producer)
{
    if (!producer)
        return TABIJI_ERROR_ARGUMENT;
    if (is_forked(producer))
        return TABIJI_ERROR_FORKED;
    producer_queue_stop(&producer->queue);
    return TABIJI_OK;
}

int tabiji_producer_close(struct tabiji_producer **producer, int timeout_ms)
{
    if (!producer)
        return TABIJI_ERROR_ARGUMENT;
    struct tabiji_producer *closed = *producer;
    if (!closed)
        return TABIJI_OK;
    if (is_forked(closed)) {
        *producer = NULL;
        return TABIJI_ERROR_FORKED;
    }
    if (producer_sender_is_here(&closed->sender))
        return TABIJI_ERROR_CALLBACK;
    int r = producer_sender_end(&closed->sender, timeout_ms);
    bool unauthorised = producer_queue_unauthorised(&closed->queue);
    unmake(closed, MADE_BACKLOG);
    *producer = NULL;
    if (r == 0)
        return TABIJI_OK;
    return unauthorised ? TABIJI_ERROR_UNAUTHORISED : TABIJI_ERROR_TIMEOUT;
}

/* ---- sending ---- */

static struct producer_checker *take_checker(struct tabiji_producer *producer)
{
    struct producer_checker *checker = atomic_exchange(&producer->spare, NULL);
    if (checker)
        return checker;
    (void)pthread_mutex_lock(&producer->checkers_lock);
    if (producer->checkers_count)
        checker = producer->checkers[--producer->checkers_count];
    (void)pthread_mutex_unlock(&producer->checkers_lock);
    if (!checker && producer_checker_new(&producer->memory, &checker) < 0)
        return NULL;
    return checker;
}

static void give_checker(struct tabiji_producer *producer, struct producer_checker *checker)
{
    struct producer_checker *none = NULL;
    if (atomic_compare_exchange_strong(&producer->spare, &none, checker))
        return;
    (void)pthread_mutex_lock(&producer->checkers_lock);
    if (producer->checkers_count < CHECKERS_MAX) {
        producer->checkers[producer->checkers_count++] = checker;
        checker = NULL;
    }
    (void)pthread_mutex_unlock(&producer->checkers_lock);
    producer_checker_free(&producer->memory, &checker);
}

static int refuse(struct tabiji_producer *producer, struct tabiji_problem *problem, int error,
    const struct event_problem *why)
{
    if (error == 0 && why->hint.size == 0)
        return TABIJI_OK; /* enter() has said so */
    int r = producer_problem_of(problem, error, why);
    if (r == TABIJI_ERROR_INVALID)
        (void)atomic_fetch_add(&producer->invalid, 1);
    return r;
}

/* How an event is sent. */
struct sending {
    void *opaque;
    bool durable;
    bool lines; /* JSON of the caller, which may have several */
    struct tabiji_problem *problem;
};

/* To the disk where there is a spool, otherwise to the queue, which keeps the entry then. */
static int add(struct tabiji_producer *producer, struct producer_entry *entry, bool durable)
{
    bool may_wait = !producer_sender_is_here(&producer->sender);
    int r = producer->backlog.spool
                ? producer_backlog_add(&producer->backlog, entry, durable, may_wait)
                : producer_queue_add(&producer->queue, entry, may_wait);
    if (r != 0 || producer->backlog.spool)
        producer_memory_free(&producer->memory, entry);
    switch (r) {
    case 0:
        return TABIJI_OK;
    case ERR_FULL:
        return TABIJI_ERROR_QUEUE_FULL;
    case ERR_NO_MEMORY:
        return TABIJI_ERROR_NO_MEMORY;
    case PRODUCER_QUEUE_STOPPED:
        return TABIJI_ERROR_CLOSED;
    default:
        return TABIJI_ERROR_IO;
    }
}

static size_t event_size_max(const struct tabiji_producer *producer)
{
    uint64_t most = producer->backlog.spool ? producer->settings.spool_bytes_max / 4
                                            : producer->settings.queue.bytes_max / 2;
    return most < ENTRY_SIZE_MAX ? (size_t)most : ENTRY_SIZE_MAX;
}

/* Queues a copy; what is sealed only where both are not too large. */
static int enqueue(
    struct tabiji_producer *producer, struct producer_parts *parts, const struct sending *how)
{
    const struct event_problem too_large = {.pointer = STR(""), .hint = STR("900 kB at most")};
    size_t size_max = event_size_max(producer);
    if (parts->json.size > size_max)
        return refuse(producer, how->problem, ERR_TOO_LARGE, &too_large);
    if (parts->sealed.size > size_max - parts->json.size)
        parts->sealed = STR("");
    struct producer_entry *entry = producer_entry_new(&producer->memory, parts, how->opaque);
    if (!entry)
        return TABIJI_ERROR_NO_MEMORY;
    if (how->lines)
        producer_line_join(entry->bytes + entry->id_size + 1, entry->json_size);
    int r = add(producer, entry, how->durable);
    if (r < 0)
        producer_problem_set(how->problem, r, str_of(tabiji_error_name(r)), STR(""), STR(""));
    return r;
}

/* Judges the line, then queues it. */
static int enqueue_judged(
    struct tabiji_producer *producer, struct producer_parts *parts, const struct sending *how)
{
    struct producer_finding finding;
    struct producer_checker *checker = take_checker(producer);
    if (!checker)
        return TABIJI_ERROR_NO_MEMORY;
    int r = producer_checker_judge(checker, &producer->rules, parts->json, false, &finding);
    r = refuse(producer, how->problem, r, &finding.problem);
    parts->sealed = finding.sealed;
    if (r == TABIJI_OK)
        r = enqueue(producer, parts, how);
    give_checker(producer, checker);
    return r;
}

static int send_event(
    struct tabiji_producer *producer, struct tabiji_event *event, const struct sending *how)
{
    struct event_problem wrong;
    struct producer_parts parts = {.sealed = STR("")};
    if (!*tabiji_event_id(event)) {
        char id[PRODUCER_UUID_SIZE + 1];
        if (producer_random_uuid(&producer->random, id) < 0)
            return TABIJI_ERROR_IO;
        int set = tabiji_event_set_id(event, id);
        if (set < 0)
            return set;
    }
    int r = producer_event_line(event, &parts.json, &wrong);
    if (r < 0)
        return refuse(producer, how->problem, r, &wrong);
    parts.id = str_of(tabiji_event_id(event));
    /* Kafka's transport makes its record of what a judge has read. */
    bool judged = producer->settings.flags & TABIJI_NO_CHECK ||
                  (!producer->rules.seal && producer_event_proven(event));
    return judged ? enqueue(producer, &parts, how) : enqueue_judged(producer, &parts, how);
}

/* Whether the call may go on; it then ends with leave(). */
static int enter(struct tabiji_producer *producer, const struct sending *how)
{
    struct tabiji_problem *problem = how->problem;
    int r = TABIJI_OK;
    if (!producer)
        return TABIJI_ERROR_ARGUMENT;
    if (is_forked(producer))
        r = TABIJI_ERROR_FORKED;
    else
        (void)atomic_fetch_add(&producer->users, 1);
    if (problem)
        producer_problem_set(
            problem, r, r ? str_of(tabiji_error_name(r)) : STR(""), STR(""), STR(""));
    return r;
}

/* A promise of the disk needs one. */
static int check_durable(const struct tabiji_producer *producer, const struct sending *how)
{
    if (!how->durable || producer->backlog.spool)
        return TABIJI_OK;
    producer_problem_set(how->problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("spool_dir"),
        STR("the producer has none"));
    return TABIJI_ERROR_ARGUMENT;
}

static int leave(struct tabiji_producer *producer, int r)
{
    (void)atomic_fetch_sub(&producer->users, 1);
    return r;
}

static int enter_event(
    struct tabiji_producer *producer, struct tabiji_event *event, const struct sending *how)
{
    if (!event)
        return TABIJI_ERROR_ARGUMENT;
    int r = enter(producer, how);
    if (r < 0)
        return r;
    r = check_durable(producer, how);
    return leave(producer, r < 0 ? r : send_event(producer, event, how));
}

int tabiji_send(struct tabiji_producer *producer, struct tabiji_event *event, void *opaque,
    struct tabiji_problem *problem)
{
    const struct sending how = {.opaque = opaque, .problem = problem};
    return enter_event(producer, event, &how);
}

int tabiji_send_durable(struct tabiji_producer *producer, struct tabiji_event *event, void *opaque,
    struct tabiji_problem *problem)
{
    const struct sending how = {.opaque = opaque, .durable = true, .problem = problem};
    return enter_event(producer, event, &how);
}

/* What JSON lacks, as its first members: "id":"...","time":..., */
static int make_inserted(struct tabiji_producer *producer, const struct producer_finding *finding,
    char id[PRODUCER_UUID_SIZE + 1], char out[INSERTED_SIZE_MAX])
{
    unsigned flags = producer->settings.flags;
    int size = 0;
    id[0] = out[0] = '\0';
    if (finding->lacks_id && !(flags & TABIJI_KEEP_ID)) {
        if (producer_random_uuid(&producer->random, id) < 0)
            return TABIJI_ERROR_IO;
        size = snprintf(out, INSERTED_SIZE_MAX, "\"id\":\"%s\",", id);
    }
    if (finding->lacks_time && !(flags & TABIJI_KEEP_TIME)) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        (void)snprintf(out + size, (size_t)(INSERTED_SIZE_MAX - size), "\"time\":%lld,",
            (long long)now.tv_sec * MILLIS_PER_SECOND + now.tv_nsec / NANOS_PER_MILLI);
    }
    return TABIJI_OK;
}

/* JSON is an object with members: what precedes its brace is white space or a byte order mark. */
static int send_completed(struct tabiji_producer *producer, struct str json,
    const struct producer_finding *finding, const struct sending *how)
{
    char id[PRODUCER_UUID_SIZE + 1];
    char inserted[INSERTED_SIZE_MAX];
    struct producer_text whole = {0};
    int r = make_inserted(producer, finding, id, inserted);
    if (r < 0)
        return r;
    const char *brace = memchr(json.data, '{', json.size);
    if (!brace)
        return TABIJI_ERROR_ARGUMENT;
    struct str rest = str_make(brace + 1, json.size - (size_t)(brace + 1 - json.data));
    if (!inserted[0]) {
        struct producer_parts parts = {.id = finding->event_id,
            .json = str_make(brace, rest.size + 1),
            .sealed = finding->sealed};
        return enqueue(producer, &parts, how);
    }
    r = producer_text_add(&producer->memory, &whole, STR("{"));
    if (r == 0)
        r = producer_text_add(&producer->memory, &whole, str_of(inserted));
    if (r == 0)
        r = producer_text_add(&producer->memory, &whole, rest);
    struct producer_parts parts = {.id = id[0] ? str_of(id) : finding->event_id,
        .json = producer_text_str(&whole),
        .sealed = finding->sealed};
    if (r == 0)
        r = enqueue(producer, &parts, how);
    else
        r = producer_error_of(r);
    producer_text_free(&producer->memory, &whole);
    return r;
}

/* A line that the collector would not count as one would shift the verdicts of those behind. */
static int send_as_it_is(
    struct tabiji_producer *producer, struct str json, const struct sending *how)
{
    const struct event_problem empty = {.pointer = STR(""), .hint = STR("")};
    json = str_trim(json);
    if (json.size == 0)
        return refuse(producer, how->problem, ERR_EMPTY, &empty);
    struct producer_parts parts = {.id = STR(""), .json = json, .sealed = STR("")};
    return enqueue(producer, &parts, how);
}

static int send_json(struct tabiji_producer *producer, struct str json, const struct sending *how)
{
    unsigned flags = producer->settings.flags;
    struct producer_finding finding;
    if (flags & TABIJI_AS_IT_IS)
        return send_as_it_is(producer, json, how);
    struct producer_checker *checker = take_checker(producer);
    if (!checker)
        return TABIJI_ERROR_NO_MEMORY;
    int r = flags & TABIJI_NO_CHECK ? producer_checker_skim(checker, json, &finding)
                                    : producer_checker_judge(checker, &producer->rules, json,
                                          !(flags & TABIJI_KEEP_ID), &finding);
    r = refuse(producer, how->problem, r, &finding.problem);
    if (r == TABIJI_OK)
        r = send_completed(producer, json, &finding, how);
    give_checker(producer, checker);
    return r;
}

static int enter_json(
    struct tabiji_producer *producer, const char *json, size_t json_size, const struct sending *how)
{
    if (!json)
        return TABIJI_ERROR_ARGUMENT;
    int r = enter(producer, how);
    if (r < 0)
        return r;
    r = check_durable(producer, how);
    return leave(producer, r < 0 ? r : send_json(producer, str_make(json, json_size), how));
}

int tabiji_send_json(struct tabiji_producer *producer, const char *json, size_t json_size,
    void *opaque, struct tabiji_problem *problem)
{
    const struct sending how = {.opaque = opaque, .lines = true, .problem = problem};
    return enter_json(producer, json, json_size, &how);
}

int tabiji_send_json_durable(struct tabiji_producer *producer, const char *json, size_t json_size,
    void *opaque, struct tabiji_problem *problem)
{
    const struct sending how = {
        .opaque = opaque, .durable = true, .lines = true, .problem = problem};
    return enter_json(producer, json, json_size, &how);
}

/* ---- waiting, reports, figures ---- */

int tabiji_flush(struct tabiji_producer *producer, int timeout_ms)
{
    if (!producer)
        return TABIJI_ERROR_ARGUMENT;
    if (is_forked(producer))
        return TABIJI_ERROR_FORKED;
    if (producer_sender_is_here(&producer->sender))
        return TABIJI_ERROR_CALLBACK;
    int r = producer->backlog.spool ? producer_backlog_flush(&producer->backlog, timeout_ms)
                                    : producer_queue_flush(&producer->queue, timeout_ms);
    if (r == 0)
        return TABIJI_OK;
    return r == ERR_AUTH ? TABIJI_ERROR_UNAUTHORISED : TABIJI_ERROR_TIMEOUT;
}

int tabiji_producer_resume(struct tabiji_producer *producer, const char *key)
{
    if (!producer)
        return TABIJI_ERROR_ARGUMENT;
    return is_forked(producer) ? TABIJI_ERROR_FORKED
                               : producer_sender_resume(&producer->sender, key);
}

int tabiji_report_next(struct tabiji_producer *producer, int timeout_ms, struct tabiji_report **out)
{
    if (!producer || !out)
        return TABIJI_ERROR_ARGUMENT;
    if (is_forked(producer))
        return TABIJI_ERROR_FORKED;
    return producer_reports_next(&producer->reports, timeout_ms, out) < 0 ? TABIJI_ERROR_TIMEOUT
                                                                          : TABIJI_OK;
}

void tabiji_report_free(struct tabiji_producer *producer, struct tabiji_report **report)
{
    if (producer && report && *report)
        producer_reports_free(&producer->reports, report);
}

int tabiji_producer_statistics(struct tabiji_producer *producer, struct tabiji_statistics *out)
{
    if (!producer || !out || out->size < sizeof(size_t))
        return TABIJI_ERROR_ARGUMENT;
    if (is_forked(producer))
        return TABIJI_ERROR_FORKED;
    struct producer_queue *queue = &producer->queue;
    (void)pthread_mutex_lock(&queue->lock);
    struct tabiji_statistics now = queue->counts;
    struct tabiji_problem last = producer->sender.last;
    now.queue_events = queue->held_events;
    now.queue_bytes = queue->held_bytes;
    now.unauthorised = queue->unauthorised;
    (void)pthread_mutex_unlock(&queue->lock);
    now.reports_lost += producer_reports_lost(&producer->reports);
    now.events_invalid = atomic_load(&producer->invalid);
    if (now.last_status && !last.code[0] && now.last_status != 200)
        (void)snprintf(now.last_failure, sizeof now.last_failure, "status %d", now.last_status);
    else
        (void)snprintf(now.last_failure, sizeof now.last_failure, "%s%s%.125s", last.code,
            last.code[0] && last.hint[0] ? ": " : "", last.hint);
    if (producer->backlog.spool)
        producer_backlog_count(&producer->backlog, &now);
    now.size = out->size < sizeof now ? out->size : sizeof now;
    memcpy(out, &now, now.size);
    return TABIJI_OK;
}
