/* Values, labels and the exposition text. */
#include "ingest/metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ingest/stream/topic.h"
#include "schemas/error.h"

static int setup(void **state)
{
    struct metrics *metrics = NULL;
    int r = metrics_new(&metrics);
    *state = metrics;
    return r;
}

static int teardown(void **state)
{
    struct metrics *metrics = *state;
    metrics_free(&metrics);
    metrics_free(&metrics); /* accepts NULL */
    return 0;
}

static void assert_line(const struct metrics *metrics, const char *line)
{
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(metrics_write(metrics, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    if (!strstr(out.data, line))
        fail_msg("no \"%s\" in:\n%s", line, out.data);
}

static void test_metrics_write_counter_with_labels(void **state)
{
    struct metrics *metrics = *state;
    int source = metrics_source(metrics, STR("ec-web"));
    assert_int_equal(metrics_source(metrics, STR("ec-web")), source);
    metrics_add(metrics, METRIC_COLLECTOR_EVENTS, source, RESULT_ACCEPTED, 3);
    metrics_add(metrics, METRIC_COLLECTOR_EVENTS, source, RESULT_ACCEPTED, 4);
    metrics_add(metrics, METRIC_COLLECTOR_EVENTS, METRIC_SOURCE_NONE, RESULT_REJECTED, 1);
    assert_line(metrics, "\n# TYPE tabiji_collector_events_total counter\n");
    assert_line(
        metrics, "\ntabiji_collector_events_total{source=\"ec-web\",result=\"accepted\"} 7\n");
    assert_line(metrics, "\ntabiji_collector_events_total{source=\"\",result=\"rejected\"} 1\n");
    assert_int_equal(metrics_get(metrics, METRIC_COLLECTOR_EVENTS, source, RESULT_ACCEPTED), 7);
}

static void test_metrics_write_label_values_are_escaped(void **state)
{
    struct metrics *metrics = *state;
    int source = metrics_source(metrics, STR("a\"b\\c\nd"));
    metrics_add(metrics, METRIC_COLLECTOR_EVENTS, source, RESULT_ACCEPTED, 1);
    assert_line(metrics, "{source=\"a\\\"b\\\\c\\nd\",result=\"accepted\"} 1\n");
}

static void test_metrics_write_histogram_is_cumulative(void **state)
{
    struct metrics *metrics = *state;
    metrics_observe(metrics, METRIC_COLLECTOR_APPEND_SECONDS, 1000);
    metrics_observe(metrics, METRIC_COLLECTOR_APPEND_SECONDS, 1001);
    metrics_observe(metrics, METRIC_COLLECTOR_APPEND_SECONDS, 60000000);
    assert_line(metrics, "tabiji_collector_append_seconds_bucket{le=\"0.001\"} 1\n");
    assert_line(metrics, "tabiji_collector_append_seconds_bucket{le=\"0.002\"} 2\n");
    assert_line(metrics, "tabiji_collector_append_seconds_bucket{le=\"10\"} 2\n");
    assert_line(metrics, "tabiji_collector_append_seconds_bucket{le=\"+Inf\"} 3\n");
    assert_line(metrics, "tabiji_collector_append_seconds_sum 60.002001\n");
    assert_line(metrics, "tabiji_collector_append_seconds_count 3\n");
}

static void test_metrics_write_gauge_moves_both_ways(void **state)
{
    struct metrics *metrics = *state;
    metrics_add(metrics, METRIC_COLLECTOR_CONNECTIONS, 0, 0, 5);
    metrics_add(metrics, METRIC_COLLECTOR_CONNECTIONS, 0, 0, -2);
    assert_line(metrics, "\ntabiji_collector_connections 3\n");
    metrics_set(metrics, METRIC_COLLECTOR_CONNECTIONS, 0, 0, 9);
    assert_line(metrics, "\ntabiji_collector_connections 9\n");
}

static void test_metrics_source_beyond_the_limit_shares_other(void **state)
{
    struct metrics *metrics = *state;
    int last = 0;
    for (int i = 0; i < 2 * METRIC_SOURCES_MAX; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "s%d", i);
        last = metrics_source(metrics, str_make(name, (size_t)size));
        assert_true(last > 0 && last < METRIC_SOURCES_MAX);
        metrics_add(metrics, METRIC_COLLECTOR_EVENTS, last, RESULT_ACCEPTED, 1);
    }
    assert_int_equal(last, METRIC_SOURCES_MAX - 1);
    assert_line(metrics, "{source=\"other\",result=\"accepted\"} ");
    assert_true(metrics_get(metrics, METRIC_COLLECTOR_EVENTS, last, RESULT_ACCEPTED) > 1);
}

static void test_metrics_labels_of_codes(void **state)
{
    struct metrics *metrics = *state;
    metrics_add(metrics, METRIC_COLLECTOR_REQUESTS, METRIC_PROTOCOL_NATIVE, metrics_status(413), 1);
    metrics_add(metrics, METRIC_COLLECTOR_REQUESTS, METRIC_PROTOCOL_NATIVE, metrics_status(799), 1);
    metrics_add(metrics, METRIC_COLLECTOR_REJECTED, metrics_reason(ERR_MONEY), 0, 1);
    metrics_add(metrics, METRIC_COLLECTOR_REJECTED, metrics_reason(-12345), 0, 1);
    assert_line(metrics, "{protocol=\"native\",status=\"413\"} 1\n");
    assert_line(metrics, "{protocol=\"native\",status=\"other\"} 1\n");
    assert_line(metrics, "tabiji_collector_rejected_total{reason=\"bad_money\"} 1\n");
    assert_line(metrics, "tabiji_collector_rejected_total{reason=\"internal\"} 1\n");
}

static void assert_no_line(const struct metrics *metrics, const char *line)
{
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(metrics_write(metrics, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    if (strstr(out.data, line))
        fail_msg("\"%s\" in:\n%s", line, out.data);
}

static void test_metrics_gauge_with_labels_shows_what_was_set_also_0(void **state)
{
    struct metrics *metrics = *state;
    metrics_set(metrics, METRIC_CONSUMER_LAG, TOPIC_EVENTS, metrics_partition(3), 0);
    metrics_set(metrics, METRIC_CONSUMER_LAG, TOPIC_JOURNEY, metrics_partition(5000), 7);
    assert_line(metrics, "\ntabiji_consumer_lag{topic=\"events\",partition=\"3\"} 0\n");
    assert_line(metrics, "\ntabiji_consumer_lag{topic=\"journey\",partition=\"1023\"} 7\n");
    assert_no_line(metrics, "partition=\"2\"");
    metrics_unset(metrics, METRIC_CONSUMER_LAG);
    assert_no_line(metrics, "tabiji_consumer_lag");
}

static void test_metrics_threads_beyond_the_limit_share_the_last(void **state)
{
    struct metrics *metrics = *state;
    metrics_add(metrics, METRIC_WORKER_THREAD_TRANSACTION_SECONDS, metrics_thread(3), 0, 1500000);
    metrics_add(metrics, METRIC_WORKER_THREAD_RECORDS, metrics_thread(63), 0, 1);
    metrics_add(metrics, METRIC_WORKER_THREAD_RECORDS, metrics_thread(64), 0, 1);
    assert_line(
        metrics, "\ntabiji_worker_thread_transaction_seconds_total{thread=\"3\"} 1.500000\n");
    assert_line(metrics, "\ntabiji_worker_thread_records_total{thread=\"63\"} 2\n");
    assert_no_line(metrics, "thread=\"0\"");
}

static void test_metrics_histograms_by_unit(void **state)
{
    struct metrics *metrics = *state;
    metrics_observe(metrics, METRIC_WORKER_BATCH_RECORDS, 10);
    metrics_observe(metrics, METRIC_WORKER_BATCH_RECORDS, 11);
    metrics_observe(metrics, METRIC_WORKER_BATCH_BYTES, 1 << 20);
    assert_line(metrics, "\ntabiji_worker_batch_records_bucket{le=\"10\"} 1\n");
    assert_line(metrics, "\ntabiji_worker_batch_records_bucket{le=\"30\"} 2\n");
    assert_line(metrics, "\ntabiji_worker_batch_records_sum 21\n");
    assert_line(metrics, "\ntabiji_worker_batch_bytes_bucket{le=\"262144\"} 0\n");
    assert_line(metrics, "\ntabiji_worker_batch_bytes_bucket{le=\"1048576\"} 1\n");
    assert_line(metrics, "\ntabiji_worker_batch_bytes_sum 1048576\n");
}

static void test_metrics_parts_that_never_counted_are_silent(void **state)
{
    struct metrics *metrics = *state;
    metrics_set_process(metrics);
    assert_line(metrics, "\nprocess_resident_memory_bytes ");
    assert_no_line(metrics, "tabiji_worker_tasks");
    metrics_set(metrics, METRIC_WORKER_RECORDS, 0, 0, 5); /* a counter of somebody else's */
    assert_line(metrics, "\ntabiji_worker_records_total 5\n");
    assert_line(metrics, "\ntabiji_worker_tasks 0\n");
    assert_no_line(metrics, "tabiji_sink_");
}

static void test_metrics_broker_beyond_the_limit_shares_other(void **state)
{
    struct metrics *metrics = *state;
    char name[32];
    for (int i = 0; i < METRIC_BROKERS_MAX + 5; i++) {
        snprintf(name, sizeof name, "broker-%d:9092", i);
        int id = metrics_broker(metrics, str_of(name));
        assert_int_equal(id, i < METRIC_BROKERS_MAX ? i : METRIC_BROKERS_MAX - 1);
    }
    metrics_set(metrics, METRIC_KAFKA_BROKER_UP, METRIC_CLIENT_DOOR, METRIC_BROKERS_MAX - 1, 1);
    assert_line(metrics, "{client=\"door\",broker=\"other\"} 1\n");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_metrics_write_counter_with_labels),
        CASE(test_metrics_write_label_values_are_escaped),
        CASE(test_metrics_write_histogram_is_cumulative),
        CASE(test_metrics_write_gauge_moves_both_ways),
        CASE(test_metrics_source_beyond_the_limit_shares_other),
        CASE(test_metrics_labels_of_codes),
        CASE(test_metrics_gauge_with_labels_shows_what_was_set_also_0),
        CASE(test_metrics_threads_beyond_the_limit_share_the_last),
        CASE(test_metrics_histograms_by_unit),
        CASE(test_metrics_parts_that_never_counted_are_silent),
        CASE(test_metrics_broker_beyond_the_limit_shares_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
