/* `tabiji emit`: NDJSON on standard input to a collector, by libtabiji. Lines go as they are: the
 * collector judges them, and keeps what it rejects. Or one event that flags say, which the library
 * judges first. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/event_flags.h"
#include "deploy/progress.h"
#include "deploy/verb/verbs.h"
#include "ingest/producer/tabiji.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
#define BATCH_EVENTS 2500
#define BATCH_BYTES 1000000
#define QUEUE_EVENTS 20000
#define LINGER_MS 50
#define LOOK_EVERY_MS 200
#define WAIT_SECONDS_DEFAULT 30
#define NOTE_AFTER_MICROS (INT64_C(3) * 1000000)

struct emit {
    struct verb_call *call;
    struct tabiji_producer *producer;
    struct progress progress;
    long long wait_seconds;
    struct buf event;                     /* that of the flags; empty: lines are read */
    char event_id[EVENT_ID_SIZE_MAX + 1]; /* its id, once it met its end */
    long long lines, refused;
    atomic_llong settled; /* line of the last event that met its end; they do so in order */
    uint64_t done;        /* events that met their end, when last looked at */
    int64_t done_micros;  /* when that last changed */
    bool noted;
};

/* What the spool lost, or keeps. */
static void print_spool(const struct tabiji_report *report)
{
    (void)fprintf(stderr, "tabiji emit: spool: %s: %" PRIu64 ": %s\n", report->problem.code,
        report->events, report->problem.hint);
}

/* Who is told of: a line, or the event of the flags. */
static void print_who(const struct emit *emit, long long line)
{
    if (emit->event.size)
        (void)fputs("event: ", stderr);
    else
        (void)fprintf(stderr, "line %lld: ", line);
}

static void print_problem(
    const struct emit *emit, long long line, const struct tabiji_problem *problem)
{
    print_who(emit, line);
    (void)fprintf(stderr, "%s %s %s\n", problem->code, problem->pointer, problem->hint);
}

/* On the producer's thread: notes the line, and prints why it was rejected. A line of an earlier
 * run, from the spool, has no number. */
static void on_report(void *context, const struct tabiji_report *report)
{
    struct emit *emit = context;
    long long line = (long long)(intptr_t)report->opaque;
    bool judged = report->kind == TABIJI_REPORT_DELIVERED || report->kind == TABIJI_REPORT_REJECTED;
    if (judged && line > 0)
        atomic_store(&emit->settled, line);
    if (judged && line > 0 && emit->event.size)
        (void)snprintf(emit->event_id, sizeof emit->event_id, "%s", report->event_id);
    if (report->kind == TABIJI_REPORT_REJECTED && line > 0)
        print_problem(emit, line, &report->problem);
    else if (report->kind == TABIJI_REPORT_REJECTED)
        (void)fprintf(stderr, "from the spool: %s %s %s\n", report->problem.code,
            report->problem.pointer, report->problem.hint);
    else if (report->kind == TABIJI_REPORT_SPOOL)
        print_spool(report);
}

static struct tabiji_statistics look(struct emit *emit)
{
    struct tabiji_statistics now = {.size = sizeof now};
    (void)tabiji_producer_statistics(emit->producer, &now);
    return now;
}

/* An answer that the same request will get again, of something that is no collector. */
static bool is_final(int status)
{
    return status >= 300 && status < 500 && status != 408 && status != 429;
}

/* Says once that it waits. */
static void note_waiting(struct emit *emit, const struct tabiji_statistics *now, int64_t waited)
{
    if (emit->noted || waited < NOTE_AFTER_MICROS || !now->last_failure[0])
        return;
    emit->noted = true;
    progress_end(&emit->progress);
    (void)fprintf(stderr, "tabiji emit: waiting for the collector: %s\n", now->last_failure);
}

/* Called while something is not settled: 0 to go on, or an exit code after saying why not. */
static int look_after(struct emit *emit)
{
    struct tabiji_statistics now = look(emit);
    uint64_t done = now.events_delivered + now.events_rejected;
    int64_t clock = progress_clock();
    if (done != emit->done) {
        emit->done = done;
        emit->done_micros = clock;
        progress_at(&emit->progress, (int64_t)(done / 256 * 256));
    }
    if (now.unauthorised)
        return verb_end(emit->call, EXIT_AUTH, "auth", "the collector answered %d: %s",
            now.last_status, now.last_failure);
    if (now.last_status && is_final(now.last_status) && now.requests_failed)
        return verb_end(emit->call, EXIT_FAILED, "refused", "the collector answered %d: %s",
            now.last_status, now.last_failure);
    int64_t waited = clock - emit->done_micros;
    note_waiting(emit, &now, waited);
    if (waited < emit->wait_seconds * 1000000)
        return 0;
    const char *why = now.last_failure[0] ? now.last_failure : "no answer yet";
    if (emit->event.size)
        return verb_fail(emit->call, ERR_AGAIN, "the event was not accepted (%s)", why);
    return verb_fail(emit->call, ERR_AGAIN, "lines from %lld were not accepted (%s)",
        atomic_load(&emit->settled) + 1, why);
}

/* One line; waits for room in the queue. */
static int send_line(struct emit *emit, const char *line, size_t size)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    void *opaque = (void *)(intptr_t)emit->lines; /* comes back in the report */
    for (;;) {
        int r = tabiji_send_json(emit->producer, line, size, opaque, &problem);
        if (r == TABIJI_ERROR_INVALID && strcmp(problem.code, "empty") == 0)
            return 0;
        if (r == TABIJI_ERROR_INVALID)
            emit->refused++;
        if (r == TABIJI_OK || r == TABIJI_ERROR_INVALID) {
            if (problem.code[0])
                print_problem(emit, emit->lines, &problem);
            return 0;
        }
        if (r != TABIJI_ERROR_QUEUE_FULL)
            return verb_end(emit->call, EXIT_FAILED, tabiji_error_name(r), "line %lld: %s",
                emit->lines, tabiji_error_text(r));
        r = look_after(emit);
        if (r)
            return r;
    }
}

static int send_lines(struct emit *emit, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int r = 0;
    while (r == 0 && (size = getline(&line, &room, in)) >= 0) {
        emit->lines++;
        r = send_line(emit, line, (size_t)size);
    }
    free(line);
    if (r == 0 && ferror(in))
        r = verb_fail(emit->call, ERR_IO, "standard input");
    return r;
}

static int send_all(struct emit *emit)
{
    int r;
    emit->done_micros = progress_clock();
    emit->lines = emit->event.size ? 1 : 0;
    r = emit->event.size ? send_line(emit, emit->event.data, emit->event.size)
                         : send_lines(emit, stdin);
    emit->done_micros = progress_clock(); /* however long standard input took */
    while (r == 0 && tabiji_flush(emit->producer, LOOK_EVERY_MS) != TABIJI_OK)
        r = look_after(emit);
    return r;
}

/* Ids may hold anything: as JSON. An event that was not sent may have none. */
static int print_id(const struct emit *emit)
{
    CLEANUP(buf_free) struct buf id = {0};
    int r = emit->event_id[0] ? json_write_text(&id, str_of(emit->event_id))
                              : buf_append_str(&id, STR("null"));
    if (r == 0 && emit->call->json)
        (void)printf("{\"id\":%.*s,", (int)id.size, id.data);
    else if (r == 0)
        (void)printf(emit->event_id[0] ? "event %.*s: " : "event: ", (int)id.size, id.data);
    return r;
}

static int print_end(struct emit *emit)
{
    struct tabiji_statistics now = look(emit);
    long long rejected = emit->refused + (long long)now.events_rejected;
    bool json = emit->call->json;
    if (!emit->event.size)
        (void)printf(json ? "{\"lines\":%lld," : "%lld lines: ", emit->lines);
    else if (print_id(emit) < 0)
        return verb_fail(emit->call, ERR_NO_MEMORY, "the event's id");
    (void)printf(json ? "\"accepted\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"rejected\":%lld}\n"
                      : "%" PRIu64 " accepted, %" PRIu64 " duplicates, %lld rejected\n",
        now.events_delivered - now.events_duplicate - now.events_denied, now.events_duplicate,
        rejected);
    return rejected ? EXIT_PARTIAL : EXIT_OK;
}

static unsigned flags_of(const struct emit *emit)
{
    if (!emit->event.size)
        return TABIJI_AS_IT_IS;
    return verb_switch(emit->call, "--unchecked") ? TABIJI_NO_CHECK : 0;
}

static int open_producer(struct emit *emit)
{
    const char *url = verb_value(emit->call, "--url");
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_options options = {
        .size = sizeof options,
        .flags = flags_of(emit),
        .url = url ? url : URL_DEFAULT,
        .key_file = verb_value(emit->call, "--key-file"),
        .ca_file = verb_value(emit->call, "--ca-file"),
        .queue_events_max = QUEUE_EVENTS,
        .queue_timeout_ms = LOOK_EVERY_MS,
        .batch_events_max = BATCH_EVENTS,
        .batch_bytes_max = BATCH_BYTES,
        .linger_ms = LINGER_MS,
        .spool_dir = verb_value(emit->call, "--spool"),
        .on_report = on_report,
        .report_context = emit,
    };
    if (strncmp(options.url, "https:", 6) != 0)
        options.flags |= TABIJI_NO_GZIP; /* near by: not worth the work */
    int r = tabiji_producer_new(&options, &emit->producer, &problem);
    if (r == TABIJI_ERROR_NO_MEMORY)
        return verb_fail(emit->call, ERR_NO_MEMORY, "cannot start");
    if (r == TABIJI_ERROR_LOCKED)
        return verb_end(emit->call, EXIT_RETRYABLE, error_name(ERR_LOCKED),
            "another program has the spool %s", options.spool_dir);
    if (r != TABIJI_OK)
        return verb_usage(emit->call, "%s: %s", problem.pointer, problem.hint);
    return 0;
}

/* The event that flags say, if they do. Returns 0, or an exit code after saying what is wrong. */
static int read_event(struct emit *emit)
{
    static const char *const parts[] = {"--event-id", "--time", "--id", "--field", "--unchecked"};
    CLEANUP(buf_free) struct buf problem = {0};
    const char *identifiers[VERB_EACH_MAX], *fields[VERB_EACH_MAX];
    struct event_flags flags = {.type = verb_value(emit->call, "--type"),
        .id = verb_value(emit->call, "--event-id"),
        .time = verb_value(emit->call, "--time"),
        .identifiers = identifiers,
        .identifiers_count = verb_each(emit->call, "--id", identifiers),
        .fields = fields,
        .fields_count = verb_each(emit->call, "--field", fields)};
    if (flags.type) {
        if (flags.id)
            (void)snprintf(emit->event_id, sizeof emit->event_id, "%s", flags.id);
        int r = event_flags_write(&flags, &emit->event, &problem);
        if (r == ERR_VALUE)
            return verb_usage(emit->call, "%.*s", (int)problem.size, problem.data);
        return r < 0 ? verb_fail(emit->call, r, "the event") : 0;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (verb_value(emit->call, parts[i]))
            return verb_usage(emit->call, "%s is of one event by flags: it needs --type", parts[i]);
    return 0;
}

static int send(struct emit *emit)
{
    int r = open_producer(emit);
    if (r)
        return r;
    progress_begin(&emit->progress, "emit", 0);
    r = send_all(emit);
    progress_end(&emit->progress);
    if (r == 0)
        r = print_end(emit);
    (void)tabiji_producer_close(&emit->producer, 0);
    return r;
}

static int run(struct verb_call *call)
{
    struct emit emit = {.call = call, .wait_seconds = WAIT_SECONDS_DEFAULT};
    int r = verb_integer(call, "--wait", 1, 86400, &emit.wait_seconds);
    if (r == 0)
        r = read_event(&emit);
    if (r == 0)
        r = send(&emit);
    buf_free(&emit.event);
    return r;
}

static const struct verb_option options[] = {
    {"--url", "URL", "the collector (default " URL_DEFAULT ")", NULL},
    {"--key-file", "FILE", "file whose first line is the write key", NULL},
    {"--ca-file", "FILE", "authorities that the collector's certificate is verified by (PEM)",
        NULL},
    {"--spool", "DIR", "write lines there first; what is not accepted the next run sends", NULL},
    {"--wait", "SECONDS", "give up when the collector took nothing for so long (default 30)", NULL},
    {"--type", "TYPE", "send one event of this type, which the flags below say; no line is read",
        NULL},
    {"--id", "NAMESPACE:VALUE", "whose it is (phone:03-1234-5678); may be given again", NULL,
        .each = true},
    {"--field", "PATH=VALUE", "a field, named as in native JSON; may be given again", NULL,
        .each = true},
    {"--time", "TIME", "when it happened, RFC 3339 or epoch milliseconds (default now)", NULL},
    {"--event-id", "ID", "its id: sent again it is the same event (default a new one)", NULL},
    {"--unchecked", NULL,
        "leave it to the collector to judge it: namespaces of its own, fields of trusted sources",
        NULL},
};

const struct verb verb_emit = {
    .name = "emit",
    .summary = "send events from standard input, or one by flags, to a collector",
    .arguments = "",
    .detail =
        "Reads native JSON events, one a line, and posts them to a collector in batches, in "
        "their order; a line goes\n"
        "soon, also when more are to come. What the collector rejects is told with its line "
        "and reason (exit 6);\n"
        "what it cannot take now is tried again until it took nothing for --wait (exit 7). A "
        "key that it refuses: exit 5.\n"
        "With --spool each line that was read is on the disk until it is accepted, also when "
        "this is killed: the next run\n"
        "with the directory sends it before its own lines, in order, or alone without input.\n"
        "\n"
        "With --type one event is sent, which flags say; values are typed by the schema, money "
        "is a decimal text. It is\n"
        "judged here as the collector does: what that would refuse is told with its pointer, "
        "and not sent (exit 6). All\n"
        "users of a machine can see its command lines: on a shared one, send by standard input "
        "what names a customer.",
    .examples =
        "  tabiji generate --events 1000 | tabiji emit\n"
        "  tabiji emit --url https://collect.example.jp --key-file pos.key < receipts.ndjson\n"
        "  tabiji emit --spool /var/lib/pos/spool < receipts.ndjson\n"
        "  tabiji emit --type call_started --id phone:03-1234-5678 --field call.call_id=CA123 "
        "--field call.queue=returns\n"
        "  tabiji emit --type store_purchase --id loyalty:8800-1234 --field order.order_id=R-1 "
        "--field order.currency=JPY \\\n"
        "    --field order.revenue=12980 --field order.items.0.sku=shoe-9 "
        "--field properties.satisfaction:=5",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
