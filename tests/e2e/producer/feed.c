/*
 * Lines of native JSON on standard input through libtabiji, for tests: to whatever target, with
 * whatever queue or spool, the words say.
 *
 * usage: producer_feed [OPTION=VALUE]... [wait_ms=N]     OPTION: a member of struct tabiji_options
 *
 * Prints "taken N" once all lines are queued, "rejected ID CODE POINTER HINT", "stopped CODE HINT",
 * "spool CODE EVENTS" as they are told, "failing TEXT" while it waits and a request failed
 * otherwise than the one before, and the statistics, as one line of JSON, when all met their end or
 * wait_ms (60,000) are over. Exit: 0; 1: an event was not taken, or something was not delivered; 2:
 * usage.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/producer/tabiji.h"

#define WAIT_MS_DEFAULT 60000
#define SLICE_MS 100
#define WAIT_MS_OPTION "wait_ms"

enum kind { TEXT, SIZE, INT, LONG };

static const struct option {
    const char *name;
    enum kind kind;
    size_t offset;
} known[] = {
#define OPTION(kind, member)                                                                       \
    {                                                                                              \
#member, kind, offsetof(struct tabiji_options, member)                                     \
    }
    OPTION(TEXT, url),
    OPTION(TEXT, key_file),
    OPTION(TEXT, kafka_config),
    OPTION(TEXT, kafka_source),
    OPTION(TEXT, spool_dir),
    OPTION(SIZE, queue_events_max),
    OPTION(SIZE, queue_bytes_max),
    OPTION(SIZE, batch_events_max),
    OPTION(SIZE, batch_bytes_max),
    OPTION(INT, flags),
    OPTION(INT, queue_timeout_ms),
    OPTION(INT, linger_ms),
    OPTION(INT, retry_max_ms),
    OPTION(INT, requests_max),
    OPTION(INT, spool_sync),
    OPTION(LONG, spool_bytes_max),
#undef OPTION
};

static int set_option(
    struct tabiji_options *options, const struct option *option, const char *value)
{
    char *member = (char *)options + option->offset;
    char *end = NULL;
    long long number = strtoll(value, &end, 10);
    size_t size = (size_t)number;
    uint64_t bytes = (uint64_t)number;
    int integer = (int)number;
    if (option->kind != TEXT && (end == value || *end || number < INT_MIN))
        return -1;
    if (option->kind == TEXT)
        memcpy(member, &value, sizeof value);
    else if (option->kind == SIZE)
        memcpy(member, &size, sizeof size);
    else if (option->kind == LONG)
        memcpy(member, &bytes, sizeof bytes);
    else
        memcpy(member, &integer, sizeof integer);
    return 0;
}

/* Where the word is none, -1. */
static int read_word(struct tabiji_options *options, int *wait_ms, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : 0;
    if (size == strlen(WAIT_MS_OPTION) && strncmp(word, WAIT_MS_OPTION, size) == 0) {
        *wait_ms = atoi(equals + 1);
        return 0;
    }
    for (size_t i = 0; size && i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == size && strncmp(word, known[i].name, size) == 0)
            return set_option(options, &known[i], equals + 1);
    return -1;
}

/* On the producer's thread. */
static void on_report(void *context, const struct tabiji_report *report)
{
    const struct tabiji_problem *why = &report->problem;
    (void)context;
    if (report->kind == TABIJI_REPORT_REJECTED || report->kind == TABIJI_REPORT_DROPPED)
        (void)printf("%s %s %s %s %s\n",
            report->kind == TABIJI_REPORT_REJECTED ? "rejected" : "dropped", report->event_id,
            why->code, why->pointer, why->hint);
    else if (report->kind == TABIJI_REPORT_STOPPED)
        (void)printf("stopped %s %s\n", why->code, why->hint);
    else if (report->kind == TABIJI_REPORT_SPOOL)
        (void)printf("spool %s %" PRIu64 "\n", why->code, report->events);
    if (report->kind != TABIJI_REPORT_DELIVERED)
        (void)fflush(stdout);
}

/* Returns whether all lines were taken. */
static int send_lines(struct tabiji_producer *producer)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    unsigned long taken = 0;
    int r = TABIJI_OK;
    while (r == TABIJI_OK && (size = getline(&line, &room, stdin)) >= 0) {
        r = tabiji_send_json(producer, line, (size_t)size, NULL, &problem);
        taken += r == TABIJI_OK;
    }
    free(line);
    if (r != TABIJI_OK)
        (void)fprintf(stderr, "line %lu: %s %s %s %s\n", taken + 1, tabiji_error_name(r),
            problem.code, problem.pointer, problem.hint);
    (void)printf("taken %lu\n", taken);
    (void)fflush(stdout);
    return r == TABIJI_OK;
}

/* Says what a request failed with, where that is not what was said last. */
static void print_failure(struct tabiji_producer *producer, char *said, size_t said_size)
{
    struct tabiji_statistics now = {.size = sizeof now};
    (void)tabiji_producer_statistics(producer, &now);
    if (now.last_failure[0] && strcmp(now.last_failure, said) != 0) {
        (void)snprintf(said, said_size, "%s", now.last_failure);
        (void)printf("failing %s\n", said);
        (void)fflush(stdout);
    }
}

static int flush_all(struct tabiji_producer *producer, int wait_ms)
{
    char said[256] = "";
    int r = tabiji_flush(producer, wait_ms < SLICE_MS ? wait_ms : SLICE_MS);
    for (int waited = SLICE_MS; r == TABIJI_ERROR_TIMEOUT && waited < wait_ms; waited += SLICE_MS) {
        print_failure(producer, said, sizeof said);
        r = tabiji_flush(producer, SLICE_MS);
    }
    return r;
}

static void print_statistics(struct tabiji_producer *producer)
{
    struct tabiji_statistics now = {.size = sizeof now};
    (void)tabiji_producer_statistics(producer, &now);
    (void)printf("{\"taken\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"duplicates\":%" PRIu64
                 ",\"rejected\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"requests\":%" PRIu64
                 ",\"failed\":%" PRIu64 ",\"spool_events\":%" PRIu64 ",\"last_failure\":\"%s\"}\n",
        now.events_taken, now.events_delivered, now.events_duplicate, now.events_rejected,
        now.events_dropped, now.requests, now.requests_failed, now.spool_events, now.last_failure);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_options options = {.size = sizeof options, .queue_timeout_ms = -1};
    struct tabiji_producer *producer = NULL;
    int wait_ms = WAIT_MS_DEFAULT;
    options.on_report = on_report;
    for (int i = 1; i < argc; i++) {
        if (read_word(&options, &wait_ms, argv[i]) < 0) {
            (void)fprintf(stderr, "no option: %s\n", argv[i]);
            return 2;
        }
    }
    if (tabiji_producer_new(&options, &producer, &problem) != TABIJI_OK) {
        (void)fprintf(stderr, "%s: %s\n", problem.pointer, problem.hint);
        return 2;
    }
    int taken = send_lines(producer);
    int flushed = flush_all(producer, wait_ms);
    print_statistics(producer);
    int closed = tabiji_producer_close(&producer, 0);
    return taken && flushed == TABIJI_OK && closed == TABIJI_OK ? 0 : 1;
}
