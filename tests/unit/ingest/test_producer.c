/* The producer against a collector of a kind that answers as a script says: slow, 429, 503, dropped
 * and half replies, 401; a queue that is full; forks; allocations that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ingest/producer/tabiji.h"
#include "tests/unit/ingest/producer_ledger.h"
#include "tests/unit/ingest/producer_server.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATIENCE_MS 20000
#define STATUS(code) .act = SERVER_STATUS, .status = (code)

/* What the callback was told. */
struct told {
    atomic_int delivered, rejected, dropped, stopped, odd;
    struct tabiji_problem last;
    void *last_opaque;
    struct tabiji_producer *producer; /* to be called from the callback */
    int calls[3];
};

static void on_report(void *context, const struct tabiji_report *report)
{
    struct told *told = context;
    atomic_int *const counters[] = {
        &told->odd, &told->delivered, &told->rejected, &told->dropped, &told->stopped};
    (*counters[report->kind])++;
    if (report->kind != TABIJI_REPORT_STOPPED && strlen(report->event_id) == 0)
        told->odd++;
    if (report->kind != TABIJI_REPORT_DELIVERED)
        told->last = report->problem;
    told->last_opaque = report->opaque;
}

static struct tabiji_options options_for(const char *url, struct told *told)
{
    return (struct tabiji_options){.size = sizeof(struct tabiji_options),
        .url = url,
        .linger_ms = 1,
        .requests_max = 1,
        .retry_min_ms = 1,
        .retry_max_ms = 20,
        .on_report = told ? on_report : NULL,
        .report_context = told};
}

static struct tabiji_producer *open_producer(const struct tabiji_options *options)
{
    struct tabiji_producer *producer = NULL;
    struct tabiji_problem problem = {.size = sizeof problem};
    int r = tabiji_producer_new(options, &producer, &problem);
    if (r != TABIJI_OK)
        fail_msg("%s: %s %s", tabiji_error_text(r), problem.pointer, problem.hint);
    return producer;
}

/* Sends events `first` to `last` as JSON with ids "e-N". Returns the first error. */
static int send_events(struct tabiji_producer *producer, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char json[200];
        int size = snprintf(json, sizeof json,
            "{\"id\":\"e-%d\",\"type\":\"page_viewed\",\"ids\":{\"login\":\"u-%d\"}}", i, i % 7);
        int r = tabiji_send_json(producer, json, (size_t)size, NULL, NULL);
        if (r != TABIJI_OK)
            return r;
    }
    return TABIJI_OK;
}

static struct tabiji_statistics statistics_of(struct tabiji_producer *producer)
{
    struct tabiji_statistics statistics = {.size = sizeof statistics};
    assert_int_equal(tabiji_producer_statistics(producer, &statistics), TABIJI_OK);
    return statistics;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the straight way ---- */

static void test_send_delivers_each_and_tells(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    int mark = 0;
    options.key = "secret-1";
    producer_server_want_key(server, "secret-1");
    struct tabiji_producer *producer = open_producer(&options);
    struct tabiji_event *event = NULL;
    assert_int_equal(tabiji_event_new(TABIJI_STORE_VISITED, NULL, &event), TABIJI_OK);
    assert_int_equal(tabiji_event_add_identifier(event, "loyalty", "1"), TABIJI_OK);
    assert_string_equal(tabiji_event_id(event), "");
    assert_int_equal(tabiji_send(producer, event, &mark, NULL), TABIJI_OK);
    /* a UUID of version 7, of now */
    char id[64];
    (void)snprintf(id, sizeof id, "%s", tabiji_event_id(event));
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '7');
    assert_non_null(strchr("89ab", id[19]));
    char hex[13];
    (void)snprintf(hex, sizeof hex, "%.8s%.4s", id, id + 9);
    long long ms = strtoll(hex, NULL, 16);
    assert_true(llabs(ms / 1000 - (long long)time(NULL)) < 60);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 1);
    assert_ptr_equal(told.last_opaque, &mark);
    assert_true(producer_server_has(server, id));
    /* the same event again is the same event */
    assert_int_equal(tabiji_send(producer, event, NULL, NULL), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_string_equal(tabiji_event_id(event), id);
    assert_int_equal(producer_server_ids(server), 1);
    struct tabiji_statistics statistics = statistics_of(producer);
    assert_int_equal(statistics.events_taken, 2);
    assert_int_equal(statistics.events_delivered, 2);
    assert_int_equal(statistics.events_duplicate, 1);
    assert_int_equal(statistics.queue_events, 0);
    assert_int_equal(statistics.queue_bytes, 0);
    assert_int_equal(statistics.last_status, 200);
    assert_string_equal(statistics.last_failure, "");
    assert_int_equal(producer_server_connections(server), 1); /* kept alive */
    const char *head = producer_server_head(server);
    assert_non_null(strstr(head, "POST /v1/events HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Type: application/x-ndjson\r\n"));
    assert_non_null(strstr(head, "\r\nUser-Agent: libtabiji/" TABIJI_VERSION "\r\n"));
    tabiji_event_free(&event);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    assert_null(producer);
    producer_server_stop(&server);
}

static void test_send_batches_by_count_and_bytes(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct tabiji_options options = options_for(producer_server_url(server), NULL);
    options.batch_events_max = 10;
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 95), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK); /* does not linger */
    assert_int_equal(producer_server_ids(server), 95);
    assert_int_equal(producer_server_batch_max(server), 10);
    assert_int_equal(producer_server_requests(server), 10);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    options.batch_events_max = 1000;
    options.batch_bytes_max = 300;
    producer = open_producer(&options);
    assert_int_equal(send_events(producer, 101, 110), TABIJI_OK);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK); /* nor does it */
    assert_int_equal(producer_server_ids(server), 105);
    assert_int_equal(producer_server_requests(server), 10 + 4); /* three events a request */
    producer_server_stop(&server);
}

static void test_send_goes_when_it_lingered(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct tabiji_options options = options_for(producer_server_url(server), NULL);
    options.linger_ms = 50;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 3), TABIJI_OK);
    for (int64_t end = now_ms() + PATIENCE_MS; producer_server_ids(server) < 3;)
        assert_true(now_ms() < end);
    assert_int_equal(producer_server_requests(server), 1);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
    producer_server_stop(&server);
}

/* JSON of several lines is one line, with an id and a time in front. */
static void test_send_json_is_completed(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    struct tabiji_problem problem = {.size = sizeof problem};
    static const char json[] = " {\n\"type\":\"x\",\r\n\"ids\":{\"login\":\"u\"}\n}\n";
    options.flags = TABIJI_NO_GZIP;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(tabiji_send_json(producer, json, sizeof json - 1, NULL, NULL), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    const char *body = producer_server_body(server);
    assert_true(strncmp(body, "{\"id\":\"", 7) == 0);
    assert_non_null(strstr(body, "\",\"time\":17"));
    assert_ptr_equal(strchr(body, '\n'), body + strlen(body) - 1);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);

    options.flags = TABIJI_KEEP_ID | TABIJI_KEEP_TIME;
    producer = open_producer(&options);
    assert_int_equal(
        tabiji_send_json(producer, json, sizeof json - 1, NULL, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "bad_id");
    assert_string_equal(problem.pointer, "/id");
    assert_int_equal(
        tabiji_send_json(producer, "{\"type\":\"x\"", 11, NULL, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "bad_json");
    assert_int_equal(statistics_of(producer).events_invalid, 2);
    assert_int_equal(statistics_of(producer).events_taken, 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

/* What is no event at all goes to the collector, which is to judge it; a blank is no line. */
static void test_send_json_as_it_is_is_not_read(void **state)
{
    static const struct producer_server_step steps[] = {{.act = SERVER_REJECT}};
    static const char *const texts[] = {
        "{\"id\":\"1\"}", "\t {\"id\":\"2\",\n ]", "{\"id\":\"3\"}\r\n"};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    struct tabiji_problem problem = {.size = sizeof problem};
    options.flags = TABIJI_AS_IT_IS | TABIJI_FAILURES;
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(
            tabiji_send_json(producer, texts[i], strlen(texts[i]), (void *)texts[i], NULL),
            TABIJI_OK);
    assert_int_equal(tabiji_send_json(producer, " \r\n", 3, NULL, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "empty");
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_string_equal(
        producer_server_body(server), "{\"id\":\"1\"}\n{\"id\":\"2\",  ]\n{\"id\":\"3\"}\n");
    assert_int_equal(told.rejected, 1);
    assert_ptr_equal(told.last_opaque, texts[1]);
    assert_int_equal(told.delivered, 0); /* only failures are told */
    assert_int_equal(statistics_of(producer).events_delivered, 2);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

/* ---- what the collector says ---- */

/* Before it two answers whose counts are another request's, which are not believed. */
static void test_rejection_by_name_is_told_of_its_event(void **state)
{
    static const struct producer_server_step steps[] = {
        {.act = SERVER_FEW}, {.act = SERVER_BEYOND}, {.act = SERVER_REJECT}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 3), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 2);
    assert_int_equal(told.rejected, 1);
    assert_int_equal(told.odd, 0);
    assert_int_equal(told.last.error, TABIJI_ERROR_REJECTED);
    assert_string_equal(told.last.code, "id_conflict");
    assert_string_equal(told.last.pointer, "/id");
    assert_string_equal(told.last.hint, "other facts");
    assert_true(producer_server_has(server, "e-3") && !producer_server_has(server, "e-2"));
    assert_int_equal(statistics_of(producer).events_rejected, 1);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

/* Every fault of the way: all events are there once, each is told once, and those whose reply was
 * lost were sent again under the same ids. */
static void test_faults_lose_nothing_and_double_nothing(void **state)
{
    static const struct producer_server_step steps[] = {{STATUS(503)}, {.act = SERVER_DROP},
        {STATUS(429)}, {.act = SERVER_HALF}, {.act = SERVER_GARBAGE}, {STATUS(500)}, {STATUS(302)},
        {STATUS(404)}, {.act = SERVER_SLOW, .ms = 20}, {.act = SERVER_DROP}, {STATUS(503)},
        {.act = SERVER_HALF}, {STATUS(408)}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.batch_events_max = 25;
    options.requests_max = 3;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 500), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(producer_server_ids(server), 500);
    assert_true(producer_server_again(server) >= 25); /* the lost replies fired */
    assert_int_equal(told.delivered, 500);
    assert_int_equal(told.rejected + told.dropped + told.stopped + told.odd, 0);
    struct tabiji_statistics statistics = statistics_of(producer);
    assert_true(statistics.requests_failed >= 10);
    assert_int_equal(statistics.queue_events, 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_retry_after_is_kept(void **state)
{
    static const struct producer_server_step steps[] = {{STATUS(503), .seconds = 1}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct tabiji_options options = options_for(producer_server_url(server), NULL);
    struct tabiji_producer *producer = open_producer(&options);
    int64_t begun = now_ms();
    assert_int_equal(send_events(producer, 1, 1), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, 200), TABIJI_ERROR_TIMEOUT);
    assert_string_equal(statistics_of(producer).last_failure, "scripted: as the script says");
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_true(now_ms() - begun >= 1000);
    assert_int_equal(producer_server_requests(server), 2);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

/* A reply that does not come within the request's time is as one that is lost. */
static void test_slow_server_is_asked_again(void **state)
{
    static const struct producer_server_step steps[] = {{.act = SERVER_SLOW, .ms = 700}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.request_timeout_ms = 150;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 4), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 4);
    assert_int_equal(producer_server_ids(server), 4);
    assert_true(producer_server_again(server) > 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_unauthorised_stops_keeps_and_resumes(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.key = "old";
    options.requests_max = 2;
    options.batch_events_max = 2;
    producer_server_want_key(server, "new");
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 10), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_ERROR_UNAUTHORISED);
    size_t requests = producer_server_requests(server);
    assert_true(requests <= 2);
    assert_int_equal(send_events(producer, 11, 20), TABIJI_OK); /* kept */
    assert_int_equal(tabiji_flush(producer, 50), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(producer_server_ids(server), 0);
    assert_true(producer_server_requests(server) <= 2); /* nothing is tried */
    assert_int_equal(told.stopped, 1);
    assert_int_equal(told.last.error, TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(statistics_of(producer).unauthorised, 1);
    assert_int_equal(statistics_of(producer).queue_events, 20);
    assert_int_equal(tabiji_producer_resume(producer, "bad key"), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_producer_resume(producer, "new"), TABIJI_OK);
    assert_int_equal(statistics_of(producer).unauthorised, 0); /* at once */
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 20);
    assert_int_equal(told.stopped, 1);
    assert_int_equal(statistics_of(producer).unauthorised, 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    /* closed while it is refused: told of each */
    options.key = "old";
    producer = open_producer(&options);
    assert_int_equal(send_events(producer, 21, 25), TABIJI_OK);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(told.dropped, 5);
    assert_int_equal(told.last.error, TABIJI_ERROR_DISCARDED);
    producer_server_stop(&server);
}

/* A request that is refused as a whole is halved until the event at fault is alone. */
static void test_refused_request_is_halved(void **state)
{
    static const struct producer_server_step steps[] = {
        {STATUS(413)}, {.act = SERVER_TAKE}, {STATUS(400)}, {.act = SERVER_TAKE}, {STATUS(422)}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 4), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 3);
    assert_int_equal(told.rejected, 1);
    assert_string_equal(told.last.code, "scripted");
    assert_true(producer_server_has(server, "e-1") && producer_server_has(server, "e-2") &&
                producer_server_has(server, "e-3") && !producer_server_has(server, "e-4"));
    assert_int_equal(statistics_of(producer).queue_bytes, 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

/* ---- the queue ---- */

#define NOBODY "http://127.0.0.1:1"

static void test_full_queue_drops_newest_and_counts(void **state)
{
    struct tabiji_options options = options_for(NOBODY, NULL);
    options.queue_events_max = 5;
    options.queue_policy = TABIJI_POLICY_DROP_NEWEST;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 5), TABIJI_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_events(producer, 6, 6), TABIJI_ERROR_QUEUE_FULL);
    struct tabiji_statistics statistics = statistics_of(producer);
    assert_int_equal(statistics.events_taken, 5);
    assert_int_equal(statistics.events_dropped, 3);
    assert_int_equal(statistics.queue_events, 5);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_ERROR_TIMEOUT);
}

static void test_full_queue_blocks_as_long_as_said(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct tabiji_options options = options_for(NOBODY, NULL);
    options.queue_bytes_max = 2000;
    options.queue_timeout_ms = 100;
    struct tabiji_producer *producer = open_producer(&options);
    int64_t begun = now_ms();
    assert_int_equal(send_events(producer, 1, 100), TABIJI_ERROR_QUEUE_FULL);
    int64_t took = now_ms() - begun;
    assert_true(took >= 100 && took < PATIENCE_MS);
    assert_true(statistics_of(producer).queue_bytes <= 2000);
    assert_true(statistics_of(producer).queue_events >= 5);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_ERROR_TIMEOUT);
    /* with somebody there, it waits and goes on */
    options.url = producer_server_url(server);
    options.queue_timeout_ms = -1;
    producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 200), TABIJI_OK);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(producer_server_ids(server), 200);
    producer_server_stop(&server);
}

static void test_full_queue_drops_oldest_and_tells(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.queue_events_max = 10;
    options.queue_policy = TABIJI_POLICY_DROP_OLDEST;
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 25), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.dropped, 15);
    assert_int_equal(told.delivered, 10);
    assert_int_equal(told.last.error, TABIJI_ERROR_QUEUE_FULL);
    assert_true(producer_server_has(server, "e-16") && producer_server_has(server, "e-25") &&
                !producer_server_has(server, "e-15"));
    assert_int_equal(statistics_of(producer).events_dropped, 15);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_close_in_no_time_discards_and_tells(void **state)
{
    static const struct producer_server_step steps[] = {{.act = SERVER_SLOW, .ms = 1500}};
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.batch_events_max = 5;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 20), TABIJI_OK);
    for (int64_t end = now_ms() + PATIENCE_MS; producer_server_requests(server) < 1;)
        assert_true(now_ms() < end);
    int64_t begun = now_ms();
    assert_int_equal(tabiji_producer_close(&producer, 50), TABIJI_ERROR_TIMEOUT);
    assert_true(now_ms() - begun < 1000);
    assert_int_equal(told.dropped, 20);
    assert_int_equal(told.last.error, TABIJI_ERROR_DISCARDED);
    producer_server_stop(&server);
}

/* ---- reports that are asked for ---- */

static void test_report_next_gives_what_was_kept(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct tabiji_options options = options_for(producer_server_url(server), NULL);
    struct tabiji_report *report = NULL;
    options.reports_max = 2;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(tabiji_report_next(producer, 10, &report), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(send_events(producer, 1, 3), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(tabiji_report_next(producer, PATIENCE_MS, &report), TABIJI_OK);
        assert_int_equal(report->kind, TABIJI_REPORT_DELIVERED);
        assert_string_equal(report->event_id, i == 1 ? "e-1" : "e-2");
        tabiji_report_free(producer, &report);
        assert_null(report);
    }
    assert_int_equal(tabiji_report_next(producer, 0, &report), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(statistics_of(producer).reports_lost, 1);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

static void call_back(void *context, const struct tabiji_report *report)
{
    struct told *told = context;
    if (told->delivered++ > 0)
        return;
    told->calls[0] = tabiji_flush(told->producer, PATIENCE_MS);
    told->calls[1] = tabiji_producer_close(&told->producer, PATIENCE_MS);
    told->calls[2] = send_events(told->producer, 2, 2);
}

static void test_callback_may_send_but_not_wait(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.on_report = call_back;
    options.linger_ms = 200; /* the callback runs after the assignment */
    struct tabiji_producer *producer = open_producer(&options);
    told.producer = producer;
    assert_int_equal(send_events(producer, 1, 1), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.delivered, 2);
    assert_int_equal(told.calls[0], TABIJI_ERROR_CALLBACK);
    assert_int_equal(told.calls[1], TABIJI_ERROR_CALLBACK);
    assert_int_equal(told.calls[2], TABIJI_OK);
    producer_server_stop(&server);
}

/* Room comes from the thread that calls back, so it must not wait for it. */
static void test_callback_finds_a_full_queue_at_once(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.on_report = call_back;
    options.linger_ms = 200;
    options.queue_events_max = 1;
    options.queue_timeout_ms = -1;
    struct tabiji_producer *producer = open_producer(&options);
    told.producer = producer;
    assert_int_equal(send_events(producer, 1, 1), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(told.calls[2], TABIJI_ERROR_QUEUE_FULL);
    assert_int_equal(statistics_of(producer).events_dropped, 1);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
    producer_server_stop(&server);
}

/* ---- fork, threads, memory, arguments ---- */

/* In the child: every call is refused, and nothing is sent. */
static int try_in_child(struct tabiji_producer *producer)
{
    struct tabiji_statistics statistics = {.size = sizeof statistics};
    struct tabiji_report *report = NULL;
    bool refused = send_events(producer, 1, 1) == TABIJI_ERROR_FORKED &&
                   tabiji_flush(producer, 10) == TABIJI_ERROR_FORKED &&
                   tabiji_producer_stop(producer) == TABIJI_ERROR_FORKED &&
                   tabiji_producer_resume(producer, "k") == TABIJI_ERROR_FORKED &&
                   tabiji_report_next(producer, 0, &report) == TABIJI_ERROR_FORKED &&
                   tabiji_producer_statistics(producer, &statistics) == TABIJI_ERROR_FORKED &&
                   tabiji_producer_close(&producer, 10) == TABIJI_ERROR_FORKED && !producer;
    return refused ? 0 : 1;
}

static void test_fork_leaves_all_to_the_parent(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 50), TABIJI_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(try_in_child(producer));
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(producer_server_ids(server), 50);
    assert_int_equal(producer_server_again(server), 0);
    assert_int_equal(told.delivered, 50);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_each_allocation_fails_once_and_the_rest_goes_on(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct ledger ledger = {.left = -1};
    const struct tabiji_allocator allocator = {.allocate = ledger_allocate,
        .resize = ledger_resize,
        .release = ledger_release,
        .context = &ledger};
    struct tabiji_options options = options_for(producer_server_url(server), NULL);
    options.allocator = &allocator;
    options.reports_max = 10;
    options.key = "k";
    options.namespaces = "card, crm";
    int refused = 0;
    for (int nth = 0; nth < 60; nth++) {
        struct tabiji_producer *producer = NULL;
        ledger.left = nth;
        int r = tabiji_producer_new(&options, &producer, NULL);
        if (r == TABIJI_OK) {
            int sent = send_events(producer, nth * 10, nth * 10 + 5);
            assert_true(sent == TABIJI_OK || sent == TABIJI_ERROR_NO_MEMORY);
            /* what was taken arrives */
            assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
            struct tabiji_statistics statistics = statistics_of(producer);
            assert_int_equal(statistics.events_delivered, statistics.events_taken);
            refused += sent != TABIJI_OK;
            assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
        } else {
            assert_int_equal(r, TABIJI_ERROR_NO_MEMORY);
            assert_null(producer);
            refused++;
        }
        assert_int_equal(ledger.live, 0);
    }
    assert_true(refused >= 8);
    producer_server_stop(&server);
}

static void test_close_without_memory_tells_of_each(void **state)
{
    struct ledger ledger = {.left = -1};
    struct told told = {0};
    const struct tabiji_allocator allocator = {.allocate = ledger_allocate,
        .resize = ledger_resize,
        .release = ledger_release,
        .context = &ledger};
    struct tabiji_options options = options_for(NOBODY, &told);
    options.allocator = &allocator;
    options.linger_ms = 60000;
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 20), TABIJI_OK);
    ledger.left = 0;
    ledger.stays = true;
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(told.dropped, 20);
    assert_int_equal(told.last.error, TABIJI_ERROR_DISCARDED);
    assert_int_equal(ledger.live, 0);
}

static void assert_refused(struct tabiji_options options, const char *option)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct tabiji_producer *producer = NULL;
    assert_int_equal(tabiji_producer_new(&options, &producer, &problem), TABIJI_ERROR_ARGUMENT);
    assert_string_equal(problem.pointer, option);
    assert_true(problem.hint[0] != '\0');
    assert_null(producer);
}

static void test_options_that_are_wrong_are_named(void **state)
{
    struct tabiji_options good = options_for(NOBODY, NULL);
    struct tabiji_options bad = good;
    struct tabiji_producer *producer = NULL;
    struct tabiji_problem problem = {.size = sizeof problem};
    bad.url = NULL;
    assert_refused(bad, "url");
    static const char *const urls[] = {
        "ftp://x", "http://", "http:///x", "http://x:99999", "http://x/?a", "http://x/#a"};
    for (size_t i = 0; i < COUNT(urls); i++) {
        bad.url = urls[i];
        assert_refused(bad, "url");
    }
    bad = good;
    bad.key = "a\r\nX-Evil: 1";
    assert_refused(bad, "key");
    bad.key = "a";
    bad.key_file = "b";
    assert_refused(bad, "key");
    bad = good;
    bad.batch_events_max = 2501;
    assert_refused(bad, "batch_events_max");
    bad = good;
    bad.batch_bytes_max = 1000001;
    assert_refused(bad, "batch_bytes_max");
    bad = good;
    bad.requests_max = 17;
    assert_refused(bad, "requests_max");
    bad = good;
    bad.queue_policy = (enum tabiji_policy)3;
    assert_refused(bad, "queue_policy");
    bad = good;
    bad.retry_max_ms = 1;
    bad.retry_min_ms = 2;
    assert_refused(bad, "retry_max_ms");
    bad = good;
    bad.namespaces = "Card";
    assert_refused(bad, "namespaces");
    bad = good;
    bad.key_file = "/nowhere/key";
    assert_int_equal(tabiji_producer_new(&bad, &producer, &problem), TABIJI_ERROR_IO);
    assert_string_equal(problem.pointer, "key_file");
    bad = good;
    bad.ca_file = "/nowhere/ca.pem";
    assert_int_equal(tabiji_producer_new(&bad, &producer, &problem), TABIJI_ERROR_IO);
    assert_string_equal(problem.pointer, "ca_file");
    bad = good;
    bad.size = 3;
    assert_int_equal(tabiji_producer_new(&bad, &producer, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_producer_new(NULL, &producer, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    assert_int_equal(tabiji_send(NULL, NULL, NULL, NULL), TABIJI_ERROR_ARGUMENT);
    assert_int_equal(tabiji_flush(NULL, 0), TABIJI_ERROR_ARGUMENT);
}

static void test_key_file_is_read_again_on_resume(void **state)
{
    struct producer_server *server = producer_server_start(NULL, 0);
    struct told told = {0};
    struct tabiji_options options = options_for(producer_server_url(server), &told);
    char path[] = "/tmp/tabiji-key-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(write(file, "first\nmore\n", 11), 11);
    options.key_file = path;
    producer_server_want_key(server, "second");
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(send_events(producer, 1, 3), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(pwrite(file, "second", 6, 0), 6);
    assert_int_equal(ftruncate(file, 6), 0);
    assert_int_equal(tabiji_producer_resume(producer, NULL), TABIJI_OK);
    for (int64_t end = now_ms() + PATIENCE_MS; producer_server_ids(server) < 3;)
        assert_true(now_ms() < end);
    (void)close(file);
    (void)unlink(path);
    assert_int_equal(tabiji_producer_close(&producer, PATIENCE_MS), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_namespaces_of_the_collector_are_known(void **state)
{
    struct tabiji_options options = options_for(NOBODY, NULL);
    struct tabiji_problem problem = {.size = sizeof problem};
    static const char json[] = "{\"type\":\"x\",\"ids\":{\"card\":\"1\"}}";
    struct tabiji_producer *producer = open_producer(&options);
    assert_int_equal(
        tabiji_send_json(producer, json, sizeof json - 1, NULL, &problem), TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "unknown_namespace");
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    options.namespaces = "crm,card login";
    producer = open_producer(&options);
    assert_int_equal(tabiji_send_json(producer, json, sizeof json - 1, NULL, &problem), TABIJI_OK);
    assert_string_equal(problem.code, "");
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_ERROR_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_send_delivers_each_and_tells),
        cmocka_unit_test(test_send_batches_by_count_and_bytes),
        cmocka_unit_test(test_send_goes_when_it_lingered),
        cmocka_unit_test(test_send_json_is_completed),
        cmocka_unit_test(test_send_json_as_it_is_is_not_read),
        cmocka_unit_test(test_rejection_by_name_is_told_of_its_event),
        cmocka_unit_test(test_faults_lose_nothing_and_double_nothing),
        cmocka_unit_test(test_retry_after_is_kept),
        cmocka_unit_test(test_slow_server_is_asked_again),
        cmocka_unit_test(test_unauthorised_stops_keeps_and_resumes),
        cmocka_unit_test(test_refused_request_is_halved),
        cmocka_unit_test(test_full_queue_drops_newest_and_counts),
        cmocka_unit_test(test_full_queue_blocks_as_long_as_said),
        cmocka_unit_test(test_full_queue_drops_oldest_and_tells),
        cmocka_unit_test(test_close_in_no_time_discards_and_tells),
        cmocka_unit_test(test_report_next_gives_what_was_kept),
        cmocka_unit_test(test_callback_may_send_but_not_wait),
        cmocka_unit_test(test_callback_finds_a_full_queue_at_once),
        cmocka_unit_test(test_fork_leaves_all_to_the_parent),
        cmocka_unit_test(test_each_allocation_fails_once_and_the_rest_goes_on),
        cmocka_unit_test(test_close_without_memory_tells_of_each),
        cmocka_unit_test(test_options_that_are_wrong_are_named),
        cmocka_unit_test(test_key_file_is_read_again_on_resume),
        cmocka_unit_test(test_namespaces_of_the_collector_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
