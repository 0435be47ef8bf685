/* The door to Kafka and the readers of results, on librdkafka's mock cluster. */
#include "ingest/stream/kafka.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/ingest/kafka_mock.h"

#define OPEN_MS 5000
#define API_PRODUCE 0
#define API_INIT_PRODUCER_ID 22
#define RECORDS 200
#define THREADS 4
#define POSITIONS (MOCK_PARTITIONS + 1) /* the time goes beside them */
#define DAY_MS ((int64_t)86400000)

struct fixture {
    struct kafka_mock mock;
    struct appender *appender;
    struct result_source *source;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    kafka_mock_start(&fixture->mock);
    kafka_mock_property(&fixture->mock, "message.timeout.ms", "2000");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    kafka_appender_close(&fixture->appender);
    assert_null(fixture->appender);
    if (fixture->source)
        fixture->source->close(fixture->source);
    kafka_mock_stop(&fixture->mock);
    free(fixture);
    return 0;
}

static void open_door(struct fixture *fixture)
{
    assert_int_equal(kafka_appender_open(&fixture->mock.config, OPEN_MS, &fixture->appender), 0);
}

static int append_one(struct fixture *fixture, const char *key, const char *value)
{
    struct append_record record = {TOPIC_REJECTED, str_of(key), str_of(value)};
    return fixture->appender->append(fixture->appender, &record, 1, NULL);
}

/* Reads results until `count` came; returns how many tombstones were among them. */
static size_t read_results(struct fixture *fixture, size_t count, struct result_position *last)
{
    struct result_batch batch;
    size_t seen = 0;
    size_t tombstones = 0;
    for (int turn = 0; turn < 100 && seen < count; turn++) {
        assert_int_equal(fixture->source->next(fixture->source, 200, &batch), 0);
        for (size_t i = 0; i < batch.results_count; i++) {
            tombstones += batch.results[i].tombstone;
            assert_int_equal(batch.results[i].topic, TOPIC_REJECTED);
            if (!batch.results[i].tombstone)
                assert_true(str_equal(batch.results[i].key, batch.results[i].value));
        }
        if (batch.results_count > 0) {
            assert_true(batch.positions_count >= 2 && batch.positions_count <= POSITIONS);
            for (size_t i = 0; i + 1 < batch.positions_count; i++)
                last[batch.positions[i].partition] = batch.positions[i];
            last[MOCK_PARTITIONS] = batch.positions[batch.positions_count - 1];
            assert_string_equal(last[MOCK_PARTITIONS].topic, "tabiji.seen");
            assert_int_equal(last[MOCK_PARTITIONS].partition, 0);
            assert_false(batch.begins_anew);
        }
        seen += batch.results_count;
        assert_int_equal(fixture->source->ack(fixture->source), 0);
    }
    assert_int_equal(seen, count);
    return tombstones;
}

static void append_many(struct fixture *fixture, size_t count)
{
    char keys[RECORDS][32];
    struct append_record records[RECORDS];
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%zu", i);
        records[i] = (struct append_record){TOPIC_REJECTED, str_of(keys[i]), str_of(keys[i])};
    }
    assert_int_equal(fixture->appender->append(fixture->appender, records, count, NULL), 0);
}

static void test_append_records_are_read_back_as_results(void **state)
{
    struct fixture *fixture = *state;
    struct result_position last[POSITIONS] = {{{0}, 0, 0}};
    open_door(fixture);
    append_many(fixture, RECORDS);
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    assert_int_equal(kafka_results_caught_up(fixture->source, OPEN_MS), KAFKA_BUSY);
    assert_int_equal(read_results(fixture, RECORDS, last), 0);
    assert_int_equal(kafka_results_caught_up(fixture->source, OPEN_MS), 0);
    int64_t sum = 0;
    for (int i = 0; i < MOCK_PARTITIONS; i++) {
        assert_string_equal(last[i].topic, "tabiji.rejected.v1");
        sum += last[i].next;
    }
    assert_int_equal(sum, RECORDS);
}

static void test_results_open_at_positions_goes_on_after_them(void **state)
{
    struct fixture *fixture = *state;
    struct result_position last[POSITIONS] = {{{0}, 0, 0}};
    open_door(fixture);
    append_many(fixture, RECORDS);
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    read_results(fixture, RECORDS, last);
    assert_int_equal(append_one(fixture, "one", "one"), 0); /* one partition moves, not all */
    read_results(fixture, 1, last);
    fixture->source->close(fixture->source);
    append_many(fixture, 7);
    assert_int_equal(
        kafka_results_open(&fixture->mock.config, last, POSITIONS, &fixture->source), 0);
    read_results(fixture, 7, last);
    assert_int_equal(kafka_results_caught_up(fixture->source, OPEN_MS), 0);
}

static void test_results_open_position_beyond_the_end_is_another_topic(void **state)
{
    struct fixture *fixture = *state;
    const struct result_position beyond[] = {
        {"tabiji.sessions.v1", 2, 1}, {"tabiji.seen", 0, (int64_t)time(NULL) * 1000}};
    assert_int_equal(
        kafka_results_open(&fixture->mock.config, beyond, 2, &fixture->source), ERR_TOPIC_ANEW);
    assert_null(fixture->source);
}

static void test_results_open_after_a_day_away_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    struct result_position last[POSITIONS] = {{{0}, 0, 0}};
    struct result_batch batch;
    open_door(fixture);
    append_many(fixture, 10);
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    read_results(fixture, 10, last);
    for (int turn = 0; turn < 2; turn++) {
        /* The time is old; then there is none. */
        last[MOCK_PARTITIONS].next -= DAY_MS;
        fixture->source->close(fixture->source);
        assert_int_equal(kafka_results_open(&fixture->mock.config, last, POSITIONS - (size_t)turn,
                             &fixture->source),
            0);
        assert_int_equal(fixture->source->next(fixture->source, 0, &batch), 0);
        assert_true(batch.begins_anew);
        read_results(fixture, 10 - batch.results_count, last);
    }
}

/* Produces past the appender: a payload as it is, NULL for a tombstone. */
static void produce_raw(struct fixture *fixture, const void *payload, size_t size)
{
    struct kafka_client client;
    assert_int_equal(kafka_client_open(&client, &fixture->mock.config, KAFKA_ROLE_DOOR, NULL), 0);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client.rk, "tabiji.rejected.v1", NULL);
    void *copy = (void *)(uintptr_t)payload;
    assert_int_equal(rd_kafka_produce(topic, 1, RD_KAFKA_MSG_F_COPY, copy, size, "k", 1, NULL), 0);
    assert_int_equal(rd_kafka_flush(client.rk, OPEN_MS), 0);
    rd_kafka_topic_destroy(topic);
    kafka_client_close(&client);
}

static void test_results_next_tombstone_has_no_value(void **state)
{
    struct fixture *fixture = *state;
    struct result_position last[POSITIONS];
    produce_raw(fixture, NULL, 0);
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    assert_int_equal(read_results(fixture, 1, last), 1);
}

static void test_results_next_value_without_frame_is_bad_state_for_good(void **state)
{
    struct fixture *fixture = *state;
    struct result_batch batch;
    produce_raw(fixture, "no frame", 8);
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    int r = 0;
    for (int turn = 0; turn < 50 && r == 0; turn++)
        r = fixture->source->next(fixture->source, 200, &batch);
    assert_int_equal(r, ERR_STATE);
    assert_int_equal(fixture->source->next(fixture->source, 0, &batch), ERR_STATE);
}

static void test_append_broker_away_is_try_again_then_works(void **state)
{
    struct fixture *fixture = *state;
    open_door(fixture);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
    rd_kafka_mock_broker_set_down(fixture->mock.cluster, 1);
    assert_int_equal(append_one(fixture, "b", "b"), ERR_AGAIN);
    rd_kafka_mock_broker_set_up(fixture->mock.cluster, 1);
    int r = ERR_AGAIN;
    for (int turn = 0; turn < 10 && r == ERR_AGAIN; turn++)
        r = append_one(fixture, "b", "b");
    assert_int_equal(r, 0);
}

static void test_append_retriable_answer_is_hidden(void **state)
{
    struct fixture *fixture = *state;
    open_door(fixture);
    rd_kafka_mock_push_request_errors(fixture->mock.cluster, API_PRODUCE, 2,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
}

static void test_append_refused_record_is_typed(void **state)
{
    struct fixture *fixture = *state;
    open_door(fixture);
    rd_kafka_mock_push_request_errors(
        fixture->mock.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(append_one(fixture, "a", "a"), ERR_TOO_LARGE);
    rd_kafka_mock_push_request_errors(
        fixture->mock.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    assert_int_equal(append_one(fixture, "a", "a"), ERR_KAFKA);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
}

static void test_append_lost_sequence_is_try_again_with_another_producer(void **state)
{
    struct fixture *fixture = *state;
    open_door(fixture);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
    rd_kafka_mock_push_request_errors(
        fixture->mock.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(append_one(fixture, "a", "a"), ERR_AGAIN);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
}

static void test_append_topic_gone_is_try_again(void **state)
{
    struct fixture *fixture = *state;
    open_door(fixture);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
    for (int i = 0; i < 200; i++) /* librdkafka asks again by itself */
        rd_kafka_mock_push_request_errors(
            fixture->mock.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    assert_int_equal(append_one(fixture, "a", "a"), ERR_AGAIN);
    rd_kafka_mock_clear_request_errors(fixture->mock.cluster, API_PRODUCE);
    int r = ERR_AGAIN;
    for (int turn = 0; turn < 10 && r == ERR_AGAIN; turn++)
        r = append_one(fixture, "a", "a");
    assert_int_equal(r, 0);
}

static void test_append_too_large_is_refused_before_the_wire(void **state)
{
    struct fixture *fixture = *state;
    char *large = calloc(1, KAFKA_VALUE_SIZE_MAX);
    assert_non_null(large);
    open_door(fixture);
    struct append_record record = {TOPIC_EVENTS, STR("key"), str_make(large, KAFKA_VALUE_SIZE_MAX)};
    assert_int_equal(fixture->appender->append(fixture->appender, &record, 1, NULL), ERR_TOO_LARGE);
    free(large);
}

static void test_append_queue_full_is_full_and_nothing_hangs(void **state)
{
    struct fixture *fixture = *state;
    kafka_mock_property(&fixture->mock, "queue.buffering.max.messages", "3");
    kafka_mock_property(&fixture->mock, "linger.ms", "200");
    open_door(fixture);
    struct append_record records[RECORDS];
    for (size_t i = 0; i < RECORDS; i++)
        records[i] = (struct append_record){TOPIC_EVENTS, STR("key"), STR("value")};
    assert_int_equal(
        fixture->appender->append(fixture->appender, records, RECORDS, NULL), ERR_FULL);
    assert_int_equal(fixture->appender->append(fixture->appender, records, 1, NULL), 0);
}

static void test_append_fatal_producer_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    rd_kafka_mock_push_request_errors(fixture->mock.cluster, API_INIT_PRODUCER_ID, 1,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    open_door(fixture);
    assert_true(append_one(fixture, "a", "a") < 0);
    assert_int_equal(append_one(fixture, "a", "a"), 0);
}

static void test_appender_open_missing_topics_is_bad_configuration(void **state)
{
    struct fixture *fixture = *state;
    fixture->mock.config.prefix = "other";
    assert_int_equal(
        kafka_appender_open(&fixture->mock.config, OPEN_MS, &fixture->appender), ERR_CONFIG);
    assert_null(fixture->appender);
}

struct thread {
    pthread_t id;
    struct fixture *fixture;
    int failures;
};

static void *append_in_thread(void *argument)
{
    struct thread *thread = argument;
    for (int i = 0; i < RECORDS / THREADS; i++)
        thread->failures += append_one(thread->fixture, "k", "k") != 0;
    return NULL;
}

static void test_append_from_threads_all_are_durable(void **state)
{
    struct fixture *fixture = *state;
    struct thread threads[THREADS];
    struct result_position last[POSITIONS];
    open_door(fixture);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.fixture = fixture};
        assert_int_equal(pthread_create(&threads[i].id, NULL, append_in_thread, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        assert_int_equal(threads[i].failures, 0);
    }
    assert_int_equal(kafka_results_open(&fixture->mock.config, NULL, 0, &fixture->source), 0);
    read_results(fixture, RECORDS, last);
}

static void assert_cursor(struct fixture *fixture, struct str name, struct str wanted)
{
    CLEANUP(buf_free) struct buf value = {0};
    assert_int_equal(buf_append(&value, "+", 1), 0);
    assert_int_equal(fixture->appender->cursor_get(fixture->appender, name, &value), 0);
    assert_int_equal(value.data[0], '+');
    assert_true(str_equal(str_make(value.data + 1, value.size - 1), wanted));
}

static int files_in(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void test_append_cursor_is_kept_over_reopening(void **state)
{
    struct fixture *fixture = *state;
    struct append_record record = {TOPIC_EVENTS, STR("key"), STR("value")};
    const struct append_cursor cursors[] = {
        {STR("a/b.csv"), STR("line 7")}, {STR("a/b.csv"), STR("line 9")}, {STR("c"), STR("")}};
    CLEANUP(buf_free) struct buf none = {0};
    open_door(fixture);
    struct appender *appender = fixture->appender;
    assert_int_equal(appender->cursor_get(appender, STR("a/b.csv"), &none), APPEND_NO_CURSOR);
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++)
        assert_int_equal(appender->append(appender, &record, i == 2 ? 0 : 1, &cursors[i]), 0);
    assert_int_equal(files_in(fixture->mock.directory), 2);
    kafka_appender_close(&fixture->appender);
    open_door(fixture);
    assert_cursor(fixture, STR("a/b.csv"), STR("line 9"));
    assert_cursor(fixture, STR("c"), STR(""));
    appender = fixture->appender;
    assert_int_equal(appender->cursor_get(appender, STR("d"), &none), APPEND_NO_CURSOR);
    assert_int_equal(none.size, 0);
}

static void test_append_failed_delivery_leaves_the_cursor(void **state)
{
    struct fixture *fixture = *state;
    struct append_record record = {TOPIC_EVENTS, STR("key"), STR("value")};
    const struct append_cursor first = {STR("file"), STR("1")};
    const struct append_cursor second = {STR("file"), STR("2")};
    open_door(fixture);
    struct appender *appender = fixture->appender;
    assert_int_equal(appender->append(appender, &record, 1, &first), 0);
    rd_kafka_mock_push_request_errors(
        fixture->mock.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(appender->append(appender, &record, 1, &second), ERR_TOO_LARGE);
    assert_cursor(fixture, STR("file"), STR("1"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_append_records_are_read_back_as_results),
        TEST(test_results_open_at_positions_goes_on_after_them),
        TEST(test_results_open_position_beyond_the_end_is_another_topic),
        TEST(test_results_open_after_a_day_away_begins_anew),
        TEST(test_results_next_tombstone_has_no_value),
        TEST(test_results_next_value_without_frame_is_bad_state_for_good),
        TEST(test_append_broker_away_is_try_again_then_works),
        TEST(test_append_retriable_answer_is_hidden),
        TEST(test_append_refused_record_is_typed),
        TEST(test_append_topic_gone_is_try_again),
        TEST(test_append_lost_sequence_is_try_again_with_another_producer),
        TEST(test_append_too_large_is_refused_before_the_wire),
        TEST(test_append_queue_full_is_full_and_nothing_hangs),
        TEST(test_append_fatal_producer_is_replaced),
        TEST(test_appender_open_missing_topics_is_bad_configuration),
        TEST(test_append_from_threads_all_are_durable),
        TEST(test_append_cursor_is_kept_over_reopening),
        TEST(test_append_failed_delivery_leaves_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
