/* The transactional producer against a mock cluster that answers with errors. What the mock cannot
 * show (fencing, aborted records) is shown on a real broker, tests/e2e/test_kafka_driver.py. */
#include "ingest/stream/kafka_producer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ingest/kafka_mock.h"

#define API_PRODUCE 0
#define API_INIT_PRODUCER_ID 22
#define API_ADD_OFFSETS_TO_TXN 25
#define API_END_TXN 26
#define API_TXN_OFFSET_COMMIT 28

struct fixture {
    struct kafka_mock mock;
    struct kafka_client consumer; /* its group's name goes with offsets; it never joins */
    struct kafka_producer producer;
    struct kafka_mark mark;
};

static void open_producer(struct fixture *fixture, int wanted)
{
    struct kafka_layout layout;
    for (int i = 0; i < TOPIC_COUNT; i++)
        layout.partitions[i] = MOCK_PARTITIONS;
    assert_int_equal(
        kafka_producer_open(&fixture->producer, &fixture->mock.config, &layout), wanted);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    kafka_mock_start(&fixture->mock);
    assert_int_equal(
        kafka_client_open(&fixture->consumer, &fixture->mock.config, KAFKA_ROLE_CONSUMER, NULL), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    kafka_producer_close(&fixture->producer);
    kafka_client_close(&fixture->consumer);
    kafka_mock_stop(&fixture->mock);
    free(fixture);
    return 0;
}

/* One transaction of one record and one offset. */
static int transact(struct fixture *fixture)
{
    struct kafka_producer *producer = &fixture->producer;
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, "tabiji.events.v1", 0)->offset = 1;
    int r = kafka_producer_begin(producer);
    if (r == 0)
        r = kafka_producer_send(
            producer, TOPIC_PERSONS, 1, STR("key"), STR("value"), &fixture->mark);
    if (r == 0)
        r = kafka_producer_commit(producer, fixture->consumer.rk, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
    return r;
}

/* Answers the next requests of a kind with an error. */
static void answer(struct fixture *fixture, int16_t api, rd_kafka_resp_err_t code)
{
    rd_kafka_mock_push_request_errors(fixture->mock.cluster, api, 1, code);
}

static void test_commit_raises_the_mark_past_the_record(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    assert_int_equal(transact(fixture), 0);
    int64_t first = fixture->mark.next;
    assert_true(first > 0);
    assert_int_equal(transact(fixture), 0);
    assert_true(fixture->mark.next > first);
    assert_false(fixture->producer.begun);
}

static void test_commit_passing_troubles_are_hidden(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    answer(fixture, API_ADD_OFFSETS_TO_TXN, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
    answer(fixture, API_TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    answer(fixture, API_END_TXN, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    answer(fixture, API_PRODUCE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    assert_int_equal(transact(fixture), 0);
}

static void test_commit_after_leaving_the_group_aborts_and_goes_on(void **state)
{
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID};
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        answer(fixture, API_TXN_OFFSET_COMMIT, codes[i]);
        assert_int_equal(transact(fixture), ERR_ABORT);
        assert_false(fixture->producer.broken);
        assert_true(fixture->producer.begun);
        assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
        assert_int_equal(transact(fixture), 0);
    }
}

static void test_commit_failed_delivery_aborts_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    answer(fixture, API_PRODUCE, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    int r = ERR_ABORT;
    int turns = 0;
    /* librdkafka notices the gap in its sequence with the next record: one more abort, a new epoch.
     */
    for (; turns < 3 && r == ERR_ABORT; turns++) {
        r = transact(fixture);
        if (r < 0)
            assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
    }
    assert_int_equal(r, 0);
    assert_true(turns > 1);
}

static void test_commit_record_too_large_for_the_broker_is_named(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    answer(fixture, API_PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(transact(fixture), ERR_TOO_LARGE);
}

static void test_commit_fenced_is_final(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    answer(fixture, API_END_TXN, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    assert_int_equal(transact(fixture), ERR_FENCED);
    assert_true(fixture->producer.broken);
}

static void test_commit_fenced_after_its_time_is_mended_by_a_new_producer(void **state)
{
    struct fixture *fixture = *state;
    kafka_mock_property(&fixture->mock, "transaction.timeout.ms", "1000");
    kafka_mock_property(&fixture->mock, "message.timeout.ms", "500");
    open_producer(fixture, 0);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(
        kafka_producer_send(&fixture->producer, TOPIC_JOURNEY, 0, STR("k"), STR("v"), NULL), 0);
    assert_int_equal(rd_kafka_flush(fixture->producer.client.rk, KAFKA_ANSWER_MS), 0);
    fixture->producer.begun_ms -= 1000; /* as if it had slept */
    answer(fixture, API_END_TXN, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    assert_int_equal(kafka_producer_abort(&fixture->producer), ERR_ABORT);
    assert_true(fixture->producer.broken);
    assert_int_equal(kafka_producer_replace(&fixture->producer), 0);
    assert_int_equal(transact(fixture), 0);
}

static void test_commit_fatal_is_mended_by_a_new_producer(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    answer(fixture, API_END_TXN, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE);
    assert_int_equal(transact(fixture), ERR_ABORT);
    assert_true(fixture->producer.broken);
    assert_int_equal(kafka_producer_replace(&fixture->producer), 0);
    assert_false(fixture->producer.broken);
    assert_int_equal(transact(fixture), 0);
}

static void test_abort_refused_needs_a_new_producer(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(
        kafka_producer_send(&fixture->producer, TOPIC_JOURNEY, 0, STR("k"), STR("v"), NULL), 0);
    assert_int_equal(rd_kafka_flush(fixture->producer.client.rk, KAFKA_ANSWER_MS), 0);
    answer(fixture, API_END_TXN, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE);
    assert_int_equal(kafka_producer_abort(&fixture->producer), ERR_ABORT);
    assert_true(fixture->producer.broken);
    assert_int_equal(kafka_producer_replace(&fixture->producer), 0);
    assert_int_equal(transact(fixture), 0);
}

static void test_abort_without_transaction_is_nothing(void **state)
{
    struct fixture *fixture = *state;
    open_producer(fixture, 0);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
    assert_int_equal(transact(fixture), 0);
}

static void test_send_larger_than_the_limit_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *large = calloc(1, KAFKA_VALUE_SIZE_MAX);
    assert_non_null(large);
    open_producer(fixture, 0);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    assert_int_equal(kafka_producer_send(&fixture->producer, TOPIC_PERSONS, 0, STR("k"),
                         str_make(large, KAFKA_VALUE_SIZE_MAX), NULL),
        ERR_TOO_LARGE);
    assert_int_equal(kafka_producer_abort(&fixture->producer), 0);
    free(large);
}

static void test_open_not_authorised_is_refused(void **state)
{
    struct fixture *fixture = *state;
    answer(fixture, API_INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    open_producer(fixture, ERR_AUTH);
    assert_null(fixture->producer.client.rk);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commit_raises_the_mark_past_the_record),
        TEST(test_commit_passing_troubles_are_hidden),
        TEST(test_commit_after_leaving_the_group_aborts_and_goes_on),
        TEST(test_commit_failed_delivery_aborts_and_goes_on),
        TEST(test_commit_record_too_large_for_the_broker_is_named),
        TEST(test_commit_fenced_is_final),
        TEST(test_commit_fenced_after_its_time_is_mended_by_a_new_producer),
        TEST(test_commit_fatal_is_mended_by_a_new_producer),
        TEST(test_abort_refused_needs_a_new_producer),
        TEST(test_abort_without_transaction_is_nothing),
        TEST(test_send_larger_than_the_limit_is_refused),
        TEST(test_open_not_authorised_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
