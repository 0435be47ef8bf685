/* One producer, sixteen threads: what each was told that it was taken arrives, once. Built with
 * ThreadSanitizer too. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/producer/tabiji.h"
#include "tests/unit/ingest/producer_server.h"

#define THREADS 16
#define EVENTS 250
#define PATIENCE_MS 60000
#define SLOW_STEPS 200
#define DURABLE_EACH 50

#define EXPECT(expression)                                                                         \
    do {                                                                                           \
        if (!(expression)) {                                                                       \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expression);                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

struct load {
    struct tabiji_producer *producer;
    int thread;
    bool builder;
    long taken, closed, full;
};

static atomic_long delivered, dropped, kept;
static const char *spool_dir;
static bool asked; /* reports are asked for, by all threads */

static void on_report(void *context, const struct tabiji_report *report)
{
    if (report->kind == TABIJI_REPORT_DELIVERED)
        delivered++;
    else if (report->kind == TABIJI_REPORT_DROPPED)
        dropped++;
    else if (report->kind == TABIJI_REPORT_SPOOL)
        kept += (long)report->events;
}

static bool take_report(struct tabiji_producer *producer)
{
    struct tabiji_report *report = NULL;
    if (tabiji_report_next(producer, 0, &report) != TABIJI_OK)
        return false;
    on_report(NULL, report);
    tabiji_report_free(producer, &report);
    return true;
}

static int send_built(struct load *load, int i)
{
    struct tabiji_event *event = NULL;
    char id[32];
    (void)snprintf(id, sizeof id, "t-%d-%d", load->thread, i);
    EXPECT(tabiji_event_new(TABIJI_PAGE_VIEWED, NULL, &event) == TABIJI_OK);
    if (i % 2)
        (void)tabiji_event_set_id(event, id); /* the others are given one */
    (void)tabiji_event_add_identifier(event, "cookie", id);
    (void)tabiji_event_add_int(event, "n", i);
    int r = spool_dir && i % DURABLE_EACH == 0
                ? tabiji_send_durable(load->producer, event, NULL, NULL)
                : tabiji_send(load->producer, event, NULL, NULL);
    tabiji_event_free(&event);
    return r;
}

static int send_text(struct load *load, int i)
{
    char json[160], id[48] = "";
    if (i % 2)
        (void)snprintf(id, sizeof id, "\"id\":\"j-%d-%d\",", load->thread, i);
    int size = snprintf(
        json, sizeof json, "{%s\"type\":\"searched\",\"ids\":{\"phone\":\"03-1234-5678\"}}", id);
    return tabiji_send_json(load->producer, json, (size_t)size, NULL, NULL);
}

static void *run(void *context)
{
    struct load *load = context;
    struct tabiji_statistics statistics = {.size = sizeof statistics};
    for (int i = 0; i < EVENTS; i++) {
        int r = load->builder ? send_built(load, i) : send_text(load, i);
        load->taken += r == TABIJI_OK;
        load->closed += r == TABIJI_ERROR_CLOSED;
        load->full += r == TABIJI_ERROR_QUEUE_FULL;
        if (asked)
            (void)take_report(load->producer);
        if (i % 64 == 0)
            EXPECT(tabiji_producer_statistics(load->producer, &statistics) == TABIJI_OK);
    }
    return NULL;
}

static void start(struct tabiji_producer *producer, struct load *loads, pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++) {
        loads[i] = (struct load){.producer = producer, .thread = i, .builder = i % 2 == 0};
        EXPECT(pthread_create(&threads[i], NULL, run, &loads[i]) == 0);
    }
}

static long join(struct load *loads, pthread_t *threads)
{
    long taken = 0;
    for (int i = 0; i < THREADS; i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
        EXPECT(loads[i].taken + loads[i].closed + loads[i].full == EVENTS);
        taken += loads[i].taken;
    }
    return taken;
}

static struct tabiji_options options_for(const struct producer_server *server)
{
    return (struct tabiji_options){.size = sizeof(struct tabiji_options),
        .url = producer_server_url(server),
        .queue_events_max = 300,
        .queue_timeout_ms = -1,
        .batch_events_max = 100,
        .linger_ms = 1,
        .requests_max = 4,
        .retry_min_ms = 1,
        .retry_max_ms = 10,
        .on_report = asked ? NULL : on_report,
        .reports_max = asked ? THREADS * EVENTS : 0,
        .spool_dir = spool_dir,
        .spool_bytes_max = 65536,
        .spool_interval_ms = 5};
}

/* Senders that wait for room, faults, flushes and new keys meanwhile. */
static void load_with_faults(void)
{
    static const struct producer_server_step steps[] = {{.act = SERVER_STATUS, .status = 503},
        {.act = SERVER_DROP}, {.act = SERVER_TAKE}, {.act = SERVER_HALF},
        {.act = SERVER_STATUS, .status = 429}};
    struct producer_server *server = producer_server_start(steps, sizeof steps / sizeof steps[0]);
    struct tabiji_options options = options_for(server);
    struct tabiji_producer *producer = NULL;
    struct load loads[THREADS];
    pthread_t threads[THREADS];
    delivered = dropped = kept = 0;
    EXPECT(tabiji_producer_new(&options, &producer, NULL) == TABIJI_OK);
    start(producer, loads, threads);
    for (int i = 0; i < 10; i++) {
        EXPECT(tabiji_producer_resume(producer, i % 2 ? "odd" : "even") == TABIJI_OK);
        int r = tabiji_flush(producer, 20);
        EXPECT(r == TABIJI_OK || r == TABIJI_ERROR_TIMEOUT);
    }
    EXPECT(join(loads, threads) == THREADS * EVENTS);
    EXPECT(tabiji_flush(producer, PATIENCE_MS) == TABIJI_OK);
    while (asked && take_report(producer))
        ;
    EXPECT(tabiji_producer_close(&producer, PATIENCE_MS) == TABIJI_OK);
    EXPECT(producer_server_ids(server) == THREADS * EVENTS);
    EXPECT(delivered == THREADS * EVENTS && dropped == 0);
    producer_server_stop(&server);
}

/* Stopped and closed while all send, most of them waiting for room. */
static void stop_under_load(int close_ms)
{
    struct producer_server_step steps[SLOW_STEPS];
    for (size_t i = 0; i < SLOW_STEPS; i++)
        steps[i] = (struct producer_server_step){.act = SERVER_SLOW, .ms = 10};
    struct producer_server *server = producer_server_start(steps, SLOW_STEPS);
    struct tabiji_options options = options_for(server);
    struct tabiji_producer *producer = NULL;
    struct load loads[THREADS];
    pthread_t threads[THREADS];
    delivered = dropped = kept = 0;
    options.queue_events_max = 50;
    EXPECT(tabiji_producer_new(&options, &producer, NULL) == TABIJI_OK);
    start(producer, loads, threads);
    (void)tabiji_flush(producer, 40);
    EXPECT(tabiji_producer_stop(producer) == TABIJI_OK);
    long taken = join(loads, threads);
    EXPECT(taken < THREADS * EVENTS);
    int r = tabiji_producer_close(&producer, close_ms);
    EXPECT(r == TABIJI_OK || (close_ms == 0 && r == TABIJI_ERROR_TIMEOUT));
    EXPECT(delivered + dropped + kept == taken);
    EXPECT(close_ms == 0 || dropped + kept == 0);
    EXPECT(spool_dir ? dropped == 0 : kept == 0);
    EXPECT((long)producer_server_ids(server) >= delivered);
    producer_server_stop(&server);
}

/* The same with a spool so small that it is full most of the time. */
static void use_spool(void)
{
    static char dir[] = "/tmp/tabiji-threads-XXXXXX";
    EXPECT(mkdtemp(dir) != NULL);
    spool_dir = dir;
}

static void drop_spool(void)
{
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", spool_dir);
    EXPECT(system(command) == 0);
}

int main(void)
{
    load_with_faults();
    stop_under_load(PATIENCE_MS);
    stop_under_load(0);
    asked = true;
    load_with_faults();
    asked = false;
    use_spool();
    load_with_faults();
    stop_under_load(PATIENCE_MS);
    stop_under_load(0);
    drop_spool();
    (void)printf("threads: all there once\n");
    return 0;
}
