/*
 * An application server: threads that serve customers share one producer.
 *
 *     cc -pthread app_server.c $(pkg-config --cflags --libs tabiji) -o app_server
 *     ./app_server https://collect.example.jp /etc/app/write-key
 */
#include <pthread.h>
#include <stdio.h>
#include <tabiji.h>

#define THREADS 4
#define VISITS 50

struct worker {
    struct tabiji_producer *producer;
    int number;
    int failed;
};

/* Events of one customer differ by what they add; `finish` sends and frees one. */
static int begin(
    const struct worker *worker, int visit, const char *type, struct tabiji_event **out)
{
    char cookie[32];
    int r = tabiji_event_new(type, NULL, out);
    if (r != TABIJI_OK)
        return r;
    (void)snprintf(cookie, sizeof cookie, "c-%d-%d", worker->number, visit);
    return tabiji_event_add_identifier(*out, "cookie", cookie);
}

static int finish(const struct worker *worker, struct tabiji_event *event)
{
    int r = tabiji_send(worker->producer, event, NULL, NULL);
    tabiji_event_free(&event);
    return r;
}

static int view(const struct worker *worker, int visit)
{
    struct tabiji_event *event = NULL;
    struct tabiji_page page = {0};
    int r = begin(worker, visit, TABIJI_PAGE_VIEWED, &event);
    page.size = sizeof page;
    page.url = "https://shop.example.jp/tea?utm_source=line&utm_medium=social";
    page.title = "お茶";
    if (r != TABIJI_OK)
        return r;
    (void)tabiji_event_set_page(event, &page);
    (void)tabiji_event_add_int(event, "thread", worker->number);
    return finish(worker, event);
}

static int order(const struct worker *worker, int visit)
{
    struct tabiji_event *event = NULL;
    struct tabiji_order placed = {0};
    struct tabiji_consent consent = {0};
    char number[32];
    int r = begin(worker, visit, TABIJI_ORDER_COMPLETED, &event);
    if (r != TABIJI_OK)
        return r;
    (void)snprintf(number, sizeof number, "W-%d-%d", worker->number, visit);
    placed.size = sizeof placed;
    placed.order_id = number;
    placed.currency = "JPY";
    placed.revenue = "1280";
    consent.size = sizeof consent;
    consent.analytics = TABIJI_CHOICE_GRANTED;
    consent.ads = TABIJI_CHOICE_DENIED;
    (void)tabiji_event_set_order(event, &placed);
    (void)tabiji_event_set_consent(event, &consent);
    return finish(worker, event);
}

static void *serve(void *context)
{
    struct worker *worker = context;
    int visit;
    for (visit = 0; visit < VISITS; visit++) {
        worker->failed |= view(worker, visit) != TABIJI_OK;
        if (visit % 10 == 0)
            worker->failed |= order(worker, visit) != TABIJI_OK;
    }
    return NULL;
}

static void print_figures(struct tabiji_producer *producer)
{
    struct tabiji_statistics now = {0};
    now.size = sizeof now;
    if (tabiji_producer_statistics(producer, &now) == TABIJI_OK)
        (void)printf("%lu taken, %lu delivered, %lu rejected, %lu requests\n",
            (unsigned long)now.events_taken, (unsigned long)now.events_delivered,
            (unsigned long)now.events_rejected, (unsigned long)now.requests);
}

int main(int argc, char **argv)
{
    struct tabiji_options options = {0};
    struct tabiji_problem problem = {0};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct tabiji_producer *producer = NULL;
    int i, failed = 0;
    options.size = sizeof options;
    options.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    options.key_file = argc > 2 ? argv[2] : NULL;
    options.requests_max = 2;
    problem.size = sizeof problem;
    if (tabiji_producer_new(&options, &producer, &problem) != TABIJI_OK) {
        (void)fprintf(stderr, "%s: %s\n", problem.pointer, problem.hint);
        return 2;
    }
    for (i = 0; i < THREADS; i++) {
        workers[i].producer = producer;
        workers[i].number = i;
        workers[i].failed = 0;
        if (pthread_create(&threads[i], NULL, serve, &workers[i]) != 0)
            return 2;
    }
    for (i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        failed |= workers[i].failed;
    }
    failed |= tabiji_flush(producer, 10000) != TABIJI_OK;
    print_figures(producer);
    failed |= tabiji_producer_close(&producer, 1000) != TABIJI_OK;
    return failed;
}
