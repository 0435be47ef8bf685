/* What of librdkafka's statistics becomes metrics. */
#include "ingest/stream/kafka_statistics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/stream/kafka.h"

#define BROKERS                                                                                    \
    "\"brokers\":{\"a:9092/1\":{\"nodename\":\"a:9092\",\"nodeid\":1,\"source\":\"learned\","      \
    "\"state\":\"UP\",\"txbytes\":1000,\"rxbytes\":2000,\"tx\":10,\"txerrs\":1,\"rxerrs\":2,"      \
    "\"req_timeouts\":3,\"rtt\":{\"cnt\":5,\"avg\":1500,\"p99\":9000}},"                           \
    "\"a:9092/bootstrap\":{\"nodename\":\"a:9092\",\"nodeid\":-1,\"source\":\"configured\","       \
    "\"state\":\"DOWN\"},\"GroupCoordinator\":{\"nodename\":\"\",\"nodeid\":1,\"source\":"         \
    "\"logical\","                                                                                 \
    "\"state\":\"DOWN\"}}"
#define TOPICS                                                                                     \
    "\"topics\":{\"tabiji.events.v1\":{\"topic\":\"tabiji.events.v1\",\"partitions\":{"            \
    "\"0\":{\"partition\":0,\"fetchq_cnt\":4,\"fetchq_size\":400,\"ls_offset\":50},"               \
    "\"1\":{\"partition\":1,\"fetchq_cnt\":1,\"fetchq_size\":100,\"ls_offset\":-1001},"            \
    "\"-1\":{\"partition\":-1,\"fetchq_cnt\":0,\"fetchq_size\":0,\"ls_offset\":0}}}}"

struct seen {
    int count;
    enum topic topic;
    int32_t partition;
    int64_t end;
};

static void on_end(void *owner, enum topic topic, int32_t partition, int64_t end)
{
    struct seen *seen = owner;
    *seen = (struct seen){seen->count + 1, topic, partition, end};
}

struct fixture {
    struct kafka_config config;
    struct metrics *metrics;
    struct json_parser *parser;
    struct seen seen;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.parser = NULL};
    kafka_config_default(&fixture.config);
    int r = metrics_new(&fixture.metrics);
    fixture.config.metrics = fixture.metrics;
    *state = &fixture;
    return r;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    metrics_free(&fixture->metrics);
    json_parser_free(&fixture->parser);
    return 0;
}

static void take(struct fixture *fixture, enum metric_client client, const char *text)
{
    kafka_statistics_take(
        &fixture->config, client, &fixture->parser, str_of(text), on_end, &fixture->seen);
}

static void test_statistics_of_a_consumer(void **state)
{
    struct fixture *fixture = *state;
    struct metrics *metrics = fixture->metrics;
    const int client = METRIC_CLIENT_CONSUMER;
    take(fixture, METRIC_CLIENT_CONSUMER, "{\"msg_cnt\":0,\"msg_size\":0," BROKERS "," TOPICS "}");
    int broker = metrics_broker(metrics, STR("a:9092"));
    assert_int_equal(broker, 0); /* the only one that was named */
    assert_int_equal(metrics_broker(metrics, STR("b")), 1);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_BROKER_UP, client, broker), 1);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_BROKER_SENT_BYTES, client, broker), 1000);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_BROKER_ERRORS, client, broker), 3);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_BROKER_TIMEOUTS, client, broker), 3);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_BROKER_RTT_SECONDS, client, broker), 1500);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_FETCHED_MESSAGES, client, 0), 5);
    assert_int_equal(metrics_get(metrics, METRIC_KAFKA_FETCHED_BYTES, client, 0), 500);
    /* Of partitions whose end is known, one. */
    assert_int_equal(fixture->seen.count, 1);
    assert_int_equal(fixture->seen.topic, TOPIC_EVENTS);
    assert_int_equal(fixture->seen.end, 50);
}

static void test_statistics_of_a_producer(void **state)
{
    struct fixture *fixture = *state;
    take(fixture, METRIC_CLIENT_PRODUCER,
        "{\"msg_cnt\":12,\"msg_size\":3400," BROKERS "," TOPICS "}");
    assert_int_equal(
        metrics_get(fixture->metrics, METRIC_KAFKA_QUEUE_MESSAGES, METRIC_CLIENT_PRODUCER, 0), 12);
    assert_int_equal(
        metrics_get(fixture->metrics, METRIC_KAFKA_QUEUE_BYTES, METRIC_CLIENT_PRODUCER, 0), 3400);
    assert_int_equal(fixture->seen.count, 0);
}

static void test_statistics_that_do_not_fit_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"", "{", "[]", "7", "{\"brokers\":[1,2],\"topics\":3}",
        "{\"brokers\":{\"x\":5},\"topics\":{\"y\":{\"topic\":7}}}",
        "{\"brokers\":{\"x\":{\"nodeid\":1,\"nodename\":9,\"source\":[],\"state\":{}}}}",
        "{\"topics\":{\"t\":{\"topic\":\"tabiji.events.v1\",\"partitions\":{\"0\":[]}}}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        take(fixture, METRIC_CLIENT_RESULTS, texts[i]);
    assert_int_equal(fixture->seen.count, 0);
    assert_int_equal(metrics_broker(fixture->metrics, STR("first")), 0); /* none was named */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statistics_of_a_consumer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics_of_a_producer, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_statistics_that_do_not_fit_are_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
