/* The spool before a cluster in memory that is away, slow, full, or refuses. */
#include "ingest/spool/spool.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

#define TEXT_SIZE 200
#define TAKEN_MAX 20000
#define WAIT_MS 20000

/* The cluster: what it took, in order. */
struct cluster {
    struct appender base;
    pthread_mutex_t lock;
    int error;      /* of append() */
    int open_error; /* of open() */
    bool unknown;   /* takes what it says that it did not */
    int opened, closed, cancelled;
    int taken[TAKEN_MAX]; /* numbers of records */
    size_t count;
    size_t batch_max;
};

struct fixture {
    char dir[TEXT_SIZE];
    struct cluster cluster;
    struct metrics *metrics;
    struct log log;
    struct spool_config config;
    struct appender *spool;
};

static int number_of(struct str value)
{
    int number = 0;
    for (size_t i = 0; i < value.size && value.data[i] != ' '; i++)
        number = number * 10 + (value.data[i] - '0');
    return number;
}

static int cluster_append(struct appender *base, const struct append_record *records, size_t count,
    const struct append_cursor *cursor)
{
    struct cluster *cluster = (struct cluster *)base;
    assert_null(cursor);
    pthread_mutex_lock(&cluster->lock);
    int r = cluster->error;
    for (size_t i = 0; i < count; i++)
        if (memchr(records[i].value.data, '!', records[i].value.size))
            r = ERR_TOO_LARGE;
    for (size_t i = 0; (r == 0 || cluster->unknown) && i < count; i++)
        cluster->taken[cluster->count++] = number_of(records[i].value);
    if (count > cluster->batch_max)
        cluster->batch_max = count;
    pthread_mutex_unlock(&cluster->lock);
    return r;
}

static int cluster_open(void *context, struct appender **out)
{
    struct cluster *cluster = context;
    pthread_mutex_lock(&cluster->lock);
    int r = cluster->open_error;
    if (r == 0) {
        cluster->opened++;
        *out = &cluster->base;
    }
    pthread_mutex_unlock(&cluster->lock);
    return r;
}

static void cluster_cancel(void *context, struct appender *appender)
{
    struct cluster *cluster = context;
    assert_ptr_equal(appender, &cluster->base);
    cluster->cancelled++;
}

static void cluster_close(void *context, struct appender **appender)
{
    struct cluster *cluster = context;
    cluster->closed++;
    *appender = NULL;
}

static void set_error(struct fixture *fixture, int open_error, int error)
{
    pthread_mutex_lock(&fixture->cluster.lock);
    fixture->cluster.open_error = open_error;
    fixture->cluster.error = error;
    pthread_mutex_unlock(&fixture->cluster.lock);
}

static size_t taken(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->cluster.lock);
    size_t count = fixture->cluster.count;
    pthread_mutex_unlock(&fixture->cluster.lock);
    return count;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-spool-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->cluster.base.append = cluster_append;
    pthread_mutex_init(&fixture->cluster.lock, NULL);
    assert_int_equal(metrics_new(&fixture->metrics), 0);
    fixture->config = (struct spool_config){
        .dir = fixture->dir,
        .size_max = 64 << 10,
        .record_size_max = 4 << 10,
        .open = cluster_open,
        .cancel = cluster_cancel,
        .close = cluster_close,
        .context = &fixture->cluster,
        .log = &fixture->log,
        .metrics = fixture->metrics,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[2 * TEXT_SIZE];
    spool_close(&fixture->spool);
    assert_null(fixture->spool);
    metrics_free(&fixture->metrics);
    pthread_mutex_destroy(&fixture->cluster.lock);
    (void)snprintf(command, sizeof command, "rm -r '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void reopen(struct fixture *fixture)
{
    spool_close(&fixture->spool);
    assert_int_equal(spool_open(&fixture->config, &fixture->spool), 0);
}

static int append_text(struct fixture *fixture, const char *text)
{
    struct append_record record = {TOPIC_REJECTED, STR("key"), str_of(text)};
    return fixture->spool->append(fixture->spool, &record, 1, NULL);
}

static int append_number(struct fixture *fixture, int number)
{
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%d %0100d", number, 0);
    return append_text(fixture, text);
}

static void append_range(struct fixture *fixture, int first, int end)
{
    for (int i = first; i < end; i++)
        assert_int_equal(append_number(fixture, i), 0);
}

static int64_t metric(struct fixture *fixture, enum metric_id id)
{
    return metrics_get(fixture->metrics, id, 0, 0);
}

static void await_metric(struct fixture *fixture, enum metric_id id, int64_t wanted)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int waited = 0; metric(fixture, id) != wanted; waited += 2) {
        assert_true(waited < WAIT_MS);
        (void)nanosleep(&pause, NULL);
    }
}

/* The cluster has 0 .. end - 1, in this order and once. */
static void assert_in_order(struct fixture *fixture, size_t end)
{
    assert_int_equal(taken(fixture), end);
    for (size_t i = 0; i < end; i++)
        assert_int_equal(fixture->cluster.taken[i], i);
}

static bool ready(struct fixture *fixture, const char *word)
{
    bool ready = true;
    const char *line = spool_condition(fixture->spool, &ready);
    if (word) {
        assert_non_null(line);
        assert_non_null(strstr(line, word));
    } else {
        assert_null(line);
    }
    return ready;
}

static void test_append_goes_straight_while_the_cluster_answers(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    append_range(fixture, 0, 10);
    assert_in_order(fixture, 10);
    assert_int_equal(metric(fixture, METRIC_SPOOL_SPOOLED), 0);
    assert_true(ready(fixture, NULL));
}

static void test_append_while_away_is_kept_and_goes_first(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    append_range(fixture, 0, 5);
    set_error(fixture, 0, ERR_AGAIN);
    append_range(fixture, 5, 100);
    assert_int_equal(metric(fixture, METRIC_SPOOL_RECORDS), 95);
    assert_int_equal(metric(fixture, METRIC_SPOOL_STATE), 1);
    assert_true(ready(fixture, "spool"));
    set_error(fixture, 0, 0);
    append_range(fixture, 100, 300); /* while it drains, and after */
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    append_range(fixture, 300, 310);
    assert_in_order(fixture, 310);
    assert_int_equal(metric(fixture, METRIC_SPOOL_RECORDS), 0);
    assert_int_equal(metric(fixture, METRIC_SPOOL_BYTES), 0);
    assert_int_equal(metric(fixture, METRIC_SPOOL_DRAINED), metric(fixture, METRIC_SPOOL_SPOOLED));
    assert_true(ready(fixture, NULL));
}

static void test_open_while_away_spools_and_reaches_the_cluster_later(void **state)
{
    struct fixture *fixture = *state;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    append_range(fixture, 0, 20);
    assert_int_equal(taken(fixture), 0);
    set_error(fixture, 0, 0);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_in_order(fixture, 20);
    assert_int_equal(fixture->cluster.opened, 1);
}

static void test_reopening_drains_what_was_left_before_what_is_new(void **state)
{
    struct fixture *fixture = *state;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    append_range(fixture, 0, 50);
    reopen(fixture);
    append_range(fixture, 50, 60);
    assert_int_equal(metric(fixture, METRIC_SPOOL_RECORDS), 60);
    set_error(fixture, 0, 0);
    reopen(fixture);
    append_range(fixture, 60, 70);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_in_order(fixture, 70);
}

static void test_an_unknown_outcome_is_sent_again(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    fixture->cluster.unknown = true;
    set_error(fixture, 0, ERR_AGAIN);
    assert_int_equal(append_number(fixture, 7), 0);
    assert_true(taken(fixture) >= 1);
    pthread_mutex_lock(&fixture->cluster.lock);
    fixture->cluster.unknown = false;
    fixture->cluster.error = 0;
    pthread_mutex_unlock(&fixture->cluster.lock);
    size_t before = taken(fixture);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_true(taken(fixture) >= before);
    assert_int_equal(fixture->cluster.taken[taken(fixture) - 1], 7);
    assert_int_equal(metric(fixture, METRIC_SPOOL_DRAINED), 1);
}

static void test_append_to_a_full_spool_is_full_until_drained(void **state)
{
    struct fixture *fixture = *state;
    int count = 0, r;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    while ((r = append_number(fixture, count)) == 0)
        count++;
    assert_int_equal(r, ERR_FULL);
    assert_true(count > 100);
    assert_int_equal(metric(fixture, METRIC_SPOOL_STATE), 2);
    assert_int_equal(metric(fixture, METRIC_SPOOL_REFUSALS), 1);
    assert_true(metric(fixture, METRIC_SPOOL_BYTES) <= (int64_t)fixture->config.size_max);
    assert_false(ready(fixture, "full"));
    set_error(fixture, 0, 0);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_true(ready(fixture, NULL));
    assert_int_equal(append_number(fixture, count), 0);
    assert_in_order(fixture, (size_t)count + 1);
}

static void test_drain_rate_bounds_batches_and_time(void **state)
{
    struct fixture *fixture = *state;
    struct timespec begun, ended;
    fixture->config.drain_per_second = 200;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    append_range(fixture, 0, 100);
    set_error(fixture, 0, 0);
    spool_close(&fixture->spool);
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    reopen(fixture);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    int64_t ms = (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000;
    assert_in_order(fixture, 100);
    assert_true(fixture->cluster.batch_max <= 20);
    assert_true(ms >= 350); /* four pauses of a tenth of a second at least */
}

static void test_a_record_that_the_cluster_refuses_does_not_hold_the_rest(void **state)
{
    struct fixture *fixture = *state;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    append_range(fixture, 0, 5);
    assert_int_equal(append_text(fixture, "no!"), 0);
    append_range(fixture, 5, 9);
    set_error(fixture, 0, 0);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_in_order(fixture, 9);
    assert_int_equal(metric(fixture, METRIC_SPOOL_REFUSED), 1);
    assert_int_equal(append_text(fixture, "no!"), ERR_TOO_LARGE); /* straight: nothing changes */
}

static void test_append_of_a_large_record_is_refused_at_once(void **state)
{
    struct fixture *fixture = *state;
    static char large[4 << 10];
    struct append_record record = {TOPIC_EVENTS, STR("k"), str_make(large, sizeof large)};
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    assert_int_equal(fixture->spool->append(fixture->spool, &record, 1, NULL), ERR_TOO_LARGE);
    record.value.size--;
    assert_int_equal(fixture->spool->append(fixture->spool, &record, 1, NULL), 0);
}

static void test_a_fatal_cluster_ends_it_and_keeps_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    struct appender *none = NULL;
    set_error(fixture, ERR_AGAIN, 0);
    reopen(fixture);
    append_range(fixture, 0, 3);
    set_error(fixture, ERR_CONFIG, 0);
    const struct timespec pause = {.tv_nsec = 2000000};
    while (spool_failure(fixture->spool) == 0)
        (void)nanosleep(&pause, NULL);
    assert_int_equal(spool_failure(fixture->spool), ERR_CONFIG);
    assert_int_equal(append_number(fixture, 3), ERR_CONFIG);
    assert_false(ready(fixture, "failed"));
    spool_close(&fixture->spool);
    assert_int_equal(spool_open(&fixture->config, &none), ERR_CONFIG);
    assert_null(none);
    set_error(fixture, 0, 0);
    reopen(fixture);
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_in_order(fixture, 3);
}

struct sender {
    pthread_t id;
    struct fixture *fixture;
    int key;
};

#define SENDERS 4
#define SENT 200

static void *send_all(void *context)
{
    struct sender *sender = context;
    for (int i = 0; i < SENT; i++)
        if (append_number(sender->fixture, sender->key * SENT + i) != 0)
            return context;
    return NULL;
}

/* Of each sender's records none overtakes another, whenever the cluster goes and comes. */
static void test_order_of_each_sender_is_kept_while_the_cluster_comes_and_goes(void **state)
{
    struct fixture *fixture = *state;
    struct sender senders[SENDERS];
    fixture->config.size_max = 16 << 20;
    reopen(fixture);
    set_error(fixture, 0, ERR_AGAIN);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.fixture = fixture, .key = i};
        assert_int_equal(pthread_create(&senders[i].id, NULL, send_all, &senders[i]), 0);
    }
    const struct timespec pause = {.tv_nsec = 3000000};
    for (int waited = 0; metric(fixture, METRIC_SPOOL_SPOOLED) == 0; waited += 3) {
        assert_true(waited < WAIT_MS);
        (void)nanosleep(&pause, NULL);
    }
    for (int turn = 0; turn < 20; turn++) {
        set_error(fixture, 0, turn % 2 ? 0 : ERR_AGAIN);
        (void)nanosleep(&pause, NULL);
    }
    set_error(fixture, 0, 0);
    for (int i = 0; i < SENDERS; i++) {
        void *failed;
        pthread_join(senders[i].id, &failed);
        assert_null(failed);
    }
    await_metric(fixture, METRIC_SPOOL_STATE, 0);
    assert_int_equal(taken(fixture), SENDERS * SENT);
    int next[SENDERS] = {0};
    for (int i = 0; i < SENDERS * SENT; i++) {
        int number = fixture->cluster.taken[i];
        assert_int_equal(number % SENT, next[number / SENT]++);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_append_goes_straight_while_the_cluster_answers),
        TEST(test_append_while_away_is_kept_and_goes_first),
        TEST(test_open_while_away_spools_and_reaches_the_cluster_later),
        TEST(test_reopening_drains_what_was_left_before_what_is_new),
        TEST(test_an_unknown_outcome_is_sent_again),
        TEST(test_append_to_a_full_spool_is_full_until_drained),
        TEST(test_drain_rate_bounds_batches_and_time),
        TEST(test_a_record_that_the_cluster_refuses_does_not_hold_the_rest),
        TEST(test_append_of_a_large_record_is_refused_at_once),
        TEST(test_a_fatal_cluster_ends_it_and_keeps_what_is_there),
        TEST(test_order_of_each_sender_is_kept_while_the_cluster_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
