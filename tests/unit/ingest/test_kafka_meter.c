/* What threads of a process tell of themselves adds up, also when one is opened again. */
#include "ingest/stream/kafka_meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct metrics *metrics;
    assert_int_equal(metrics_new(&metrics), 0);
    *state = metrics;
    return 0;
}

static int teardown(void **state)
{
    struct metrics *metrics = *state;
    metrics_free(&metrics);
    return 0;
}

static void test_counts_of_threads_add_up_to_the_process(void **state)
{
    struct metrics *metrics = *state;
    struct kafka_meter meters[2];
    struct kafka_worker_counts counts = {.records = 5, .commits = 2, .tasks = 4};
    for (int i = 0; i < 2; i++)
        kafka_meter_open(&meters[i], metrics, i);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_TASKS, 1, 0), 0);
    kafka_meter_counts(&meters[0], &counts);
    counts.records = 7;
    counts.aborts = 1;
    kafka_meter_counts(&meters[0], &counts); /* told again: only what is new counts */
    kafka_meter_counts(&meters[1], &counts);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_RECORDS, 0, 0), 14);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_RECORDS, 0, 0), 7);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_RECORDS, 1, 0), 7);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_TASKS, 0, 0), 8);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_TASKS, 1, 0), 4);
    assert_int_equal(
        metrics_get(metrics, METRIC_WORKER_THREAD_TRANSACTIONS, 1, TRANSACTION_COMMITTED), 2);
    assert_int_equal(
        metrics_get(metrics, METRIC_WORKER_THREAD_TRANSACTIONS, 1, TRANSACTION_ABORTED), 1);
}

static void test_committed_without_records_takes_no_time(void **state)
{
    struct metrics *metrics = *state;
    struct kafka_meter meter;
    kafka_meter_open(&meter, metrics, 2);
    for (size_t records = 0; records < 3; records++) {
        kafka_meter_begin(&meter);
        kafka_meter_record(&meter, 10);
        kafka_meter_commit(&meter);
        kafka_meter_committed(&meter, records);
    }
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_BATCHES, 2, 0), 2);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_TRANSACTION_SECONDS, 0, 0), 2);
    assert_true(metrics_get(metrics, METRIC_WORKER_THREAD_TRANSACTION_SECONDS, 2, 0) >=
                metrics_get(metrics, METRIC_WORKER_THREAD_COMMIT_SECONDS, 2, 0));
}

static void test_close_takes_tasks_and_what_is_left_away(void **state)
{
    struct metrics *metrics = *state;
    struct kafka_meter meters[2];
    struct kafka_worker_counts counts = {.tasks = 4, .restored = 10};
    for (int i = 0; i < 2; i++) {
        kafka_meter_open(&meters[i], metrics, i);
        kafka_meter_counts(&meters[i], &counts);
        kafka_meter_restore(&meters[i], 100, 30);
    }
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_RESTORE_LEFT, 0, 0), 200);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_RESTORE_LEFT, 1, 0), 100);
    kafka_meter_close(&meters[1]);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_RESTORE_LEFT, 0, 0), 100);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_RESTORE_LEFT, 1, 0), 0);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_TASKS, 0, 0), 4);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_TASKS, 1, 0), 0);
    kafka_meter_open(&meters[1], metrics, 1); /* as certificates are rotated */
    kafka_meter_counts(&meters[1], &counts);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_TASKS, 0, 0), 8);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_RESTORED_ROWS, 0, 0), 70);
    assert_int_equal(metrics_get(metrics, METRIC_WORKER_THREAD_RESTORED_ROWS, 1, 0), 40);
}

static void test_without_metrics_nothing_is_done(void **state)
{
    struct kafka_meter meter;
    const struct kafka_worker_counts counts = {.records = 1};
    kafka_meter_open(&meter, NULL, 0);
    kafka_meter_begin(&meter);
    kafka_meter_commit(&meter);
    kafka_meter_committed(&meter, 1);
    kafka_meter_counts(&meter, &counts);
    kafka_meter_restore(&meter, 1, 1);
    kafka_meter_close(&meter);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_counts_of_threads_add_up_to_the_process),
        TEST(test_committed_without_records_takes_no_time),
        TEST(test_close_takes_tasks_and_what_is_left_away),
        cmocka_unit_test(test_without_metrics_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
