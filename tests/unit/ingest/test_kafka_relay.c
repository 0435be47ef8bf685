/* Mail between tasks of one worker: when it is handed over, when its topic carries it, in which
 * order, and what becomes of it at a batch's end. Of four partitions this worker has two. */
#include "ingest/stream/kafka_relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/ingest/kafka_mock.h"

#define OURS 2
#define TRACE_SIZE 256
#define BYTES_MAX ((size_t)1 << 20)

struct fixture {
    struct kafka_mock mock;
    struct kafka_producer producer;
    struct kafka_client ends;
    struct kafka_slot *slot;
    struct stage stage;
    struct kafka_inputs inputs;
    struct kafka_relay relay;
    struct kafka_task *tasks[OURS];
    struct kafka_relay_batch batch;
    struct arena scratch;
    char keys[MOCK_PARTITIONS][GROUP_SIZE]; /* one of each partition */
    char trace[TRACE_SIZE];                 /* what tasks were given, in turn */
};

static struct fixture *current; /* what the stage traces to */

static int stage_open(const void *config, void **instance)
{
    *instance = calloc(1, 1);
    return *instance ? 0 : ERR_NO_MEMORY;
}

static void stage_close(void *instance)
{
    free(instance);
}

/* Traces "partition:value ". A value of digits is a way: its first is where the rest goes. */
static int stage_process(void *instance, struct task *task, const struct record *record)
{
    size_t used = strlen(current->trace);
    struct str value = record->value;
    (void)snprintf(current->trace + used, TRACE_SIZE - used, "%d:%.*s ", (int)task->partition,
        (int)value.size, value.data);
    if (value.size == 0 || value.data[0] < '0' || value.data[0] > '9')
        return 0;
    const char *key = current->keys[value.data[0] - '0'];
    return outbox_send(task->outbox, TOPIC_IDENTITY, str_make(key, GROUP_SIZE),
        str_make(value.data + 1, value.size - 1));
}

/* The same, and puts a row that is larger than what it leaves of the queue. */
static int stage_grow(void *instance, struct task *task, const struct record *record)
{
    static const char row[4096];
    int r = state_put(task->state, TABLE_SIGNATURE, record->key, str_make(row, sizeof row));
    return r < 0 ? r : stage_process(instance, task, record);
}

static void find_keys(struct fixture *fixture)
{
    int found = 0;
    for (int n = 0; found < MOCK_PARTITIONS; n++) {
        char key[GROUP_SIZE + 1];
        (void)snprintf(key, sizeof key, "key-%012d", n);
        char *place = fixture->keys[topic_partition(str_make(key, GROUP_SIZE), MOCK_PARTITIONS)];
        found += place[0] == '\0';
        memcpy(place, key, GROUP_SIZE);
    }
}

static struct kafka_input *input(struct fixture *fixture, int32_t partition)
{
    return kafka_inputs_find(&fixture->inputs, TOPIC_IDENTITY, partition);
}

static void open_tasks(struct fixture *fixture)
{
    const struct kafka_task_origin origin = {.config = &fixture->mock.config,
        .slot = fixture->slot,
        .cluster = "cluster-1",
        .producer = &fixture->producer,
        .relay = &fixture->relay};
    for (int32_t p = 0; p < OURS; p++) {
        bool rebuilt;
        assert_int_equal(
            kafka_task_open(&origin, &fixture->stage, p, &fixture->tasks[p], &rebuilt), 0);
        *input(fixture, p) = (struct kafka_input){.task = fixture->tasks[p]};
    }
}

static int setup(void **state)
{
    static const enum topic inputs[] = {TOPIC_IDENTITY};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct kafka_layout layout;
    for (int i = 0; i < TOPIC_COUNT; i++)
        layout.partitions[i] = MOCK_PARTITIONS;
    current = fixture;
    find_keys(fixture);
    kafka_mock_start(&fixture->mock);
    const struct kafka_config *config = &fixture->mock.config;
    assert_int_equal(kafka_producer_open(&fixture->producer, config, &layout), 0);
    assert_int_equal(kafka_client_open(&fixture->ends, config, KAFKA_ROLE_END, NULL), 0);
    assert_int_equal(kafka_slot_open(config, &fixture->slot), 0);
    fixture->stage = (struct stage){.name = "test",
        .inputs = inputs,
        .inputs_count = 1,
        .open = stage_open,
        .process = stage_process,
        .close = stage_close};
    fixture->inputs.config = config;
    assert_int_equal(kafka_inputs_add(&fixture->inputs, TOPIC_IDENTITY, MOCK_PARTITIONS), 0);
    kafka_relay_open(&fixture->relay, &fixture->inputs, &fixture->producer, BYTES_MAX);
    open_tasks(fixture);
    assert_int_equal(kafka_producer_begin(&fixture->producer), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (int p = 0; p < OURS; p++)
        kafka_task_close(&fixture->tasks[p]);
    kafka_relay_close(&fixture->relay);
    kafka_inputs_fini(&fixture->inputs);
    kafka_slot_close(&fixture->slot);
    kafka_client_close(&fixture->ends);
    kafka_producer_close(&fixture->producer);
    arena_free(&fixture->scratch);
    kafka_mock_stop(&fixture->mock);
    free(fixture);
    return 0;
}

static void put(struct fixture *fixture, int partition, const char *value)
{
    assert_int_equal(kafka_relay_put(&fixture->relay, TOPIC_IDENTITY,
                         str_make(fixture->keys[partition], GROUP_SIZE), str_of(value)),
        0);
}

static void run(struct fixture *fixture, const char *trace)
{
    fixture->trace[0] = '\0';
    assert_int_equal(kafka_relay_run(&fixture->relay, &fixture->scratch, &fixture->batch), 0);
    assert_string_equal(fixture->trace, trace);
    assert_false(kafka_relay_waits(&fixture->relay));
}

/* What a commit does before it tells the relay: all is delivered. */
static void commit(struct fixture *fixture)
{
    assert_int_equal(rd_kafka_flush(fixture->producer.client.rk, KAFKA_ANSWER_MS), 0);
    kafka_relay_committed(&fixture->relay);
}

/* How many records a partition has, of transactions that are open too. */
static int64_t end_of(struct fixture *fixture, int32_t partition)
{
    char name[KAFKA_TOPIC_SIZE_MAX];
    int64_t low, high;
    assert_int_equal(rd_kafka_flush(fixture->producer.client.rk, KAFKA_ANSWER_MS), 0);
    kafka_topic_name(&fixture->mock.config, TOPIC_IDENTITY, name);
    assert_int_equal(kafka_client_ends(&fixture->ends, name, partition, &low, &high), 0);
    return high;
}

static void test_put_to_own_partition_is_handed_over(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, "a");
    put(fixture, 1, "b");
    put(fixture, 0, "c");
    assert_true(kafka_relay_waits(&fixture->relay));
    run(fixture, "0:a 1:b 0:c ");
    assert_int_equal(fixture->batch.records, 3);
    assert_true(fixture->batch.bytes >= 3 * (GROUP_SIZE + 1));
    assert_int_equal(end_of(fixture, 0) + end_of(fixture, 1), 0);
    commit(fixture);
    assert_false(kafka_relay_behind(&fixture->relay));
}

static void test_run_hands_over_what_follows_behind_what_waits(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, "10x");
    put(fixture, 1, "b");
    run(fixture, "0:10x 1:b 1:0x 0:x ");
    assert_int_equal(fixture->batch.records, 4);
}

static void test_put_to_anothers_partition_goes_by_topic(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 2, "a");
    put(fixture, 0, "3x");
    run(fixture, "0:3x ");
    assert_int_equal(end_of(fixture, 2), 1);
    assert_int_equal(end_of(fixture, 3), 1);
    commit(fixture);
    assert_false(kafka_relay_behind(&fixture->relay));
    put(fixture, 0, "a"); /* it is no channel of ours */
    run(fixture, "0:a ");
}

static void test_put_behind_the_fence_goes_by_topic_until_that_is_read(void **state)
{
    struct fixture *fixture = *state;
    input(fixture, 0)->fence = 7;
    input(fixture, 0)->next = 6;
    assert_true(kafka_relay_behind(&fixture->relay));
    put(fixture, 0, "a");
    put(fixture, 1, "b");
    run(fixture, "1:b ");
    /* The mail before it is read, but this is not. */
    input(fixture, 0)->next = 7;
    put(fixture, 0, "c");
    run(fixture, "");
    assert_int_equal(end_of(fixture, 0), 2);
}

static void test_committed_raises_the_fence_behind_what_was_sent(void **state)
{
    struct fixture *fixture = *state;
    input(fixture, 0)->fence = 1;
    put(fixture, 0, "a");
    put(fixture, 0, "b");
    put(fixture, 0, "c");
    commit(fixture);
    assert_int_equal(input(fixture, 0)->fence, 3);
    for (int next = 0; next < 3; next++) {
        input(fixture, 0)->next = next;
        assert_true(kafka_relay_behind(&fixture->relay));
    }
    input(fixture, 0)->next = 3;
    assert_false(kafka_relay_behind(&fixture->relay));
    put(fixture, 0, "d");
    run(fixture, "0:d ");
}

static void test_committed_offsets_of_another_topic_close_the_fence(void **state)
{
    struct fixture *fixture = *state;
    input(fixture, 0)->next = 500;
    input(fixture, 0)->fence = 501;
    put(fixture, 0, "a"); /* as the first of its partition */
    commit(fixture);
    assert_int_equal(input(fixture, 0)->fence, KAFKA_RELAY_FENCE_NONE);
    assert_false(kafka_relay_behind(&fixture->relay)); /* nothing to be waited for */
    put(fixture, 0, "b");
    run(fixture, "");
    assert_int_equal(end_of(fixture, 0), 2);
}

static void test_run_full_batch_leaves_the_rest_to_the_topics(void **state)
{
    struct fixture *fixture = *state;
    fixture->relay.bytes_max = 1;
    put(fixture, 0, "1x");
    put(fixture, 1, "b");
    run(fixture, "");
    put(fixture, 0, "c"); /* behind the first */
    assert_int_equal(end_of(fixture, 0), 2);
    assert_int_equal(end_of(fixture, 1), 1);
    commit(fixture);
    assert_int_equal(input(fixture, 0)->fence, 2);
    fixture->relay.bytes_max = BYTES_MAX;
    input(fixture, 1)->next = 1;
    put(fixture, 1, "d"); /* the next batch is not full */
    put(fixture, 0, "e");
    run(fixture, "1:d ");
}

static void test_run_full_in_midst_hands_over_and_sends_in_order(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, "a");
    put(fixture, 0, "b");
    put(fixture, 1, "c");
    size_t item = fixture->relay.bytes / 3;
    /* The first is handed over, and makes the batch too large for the others. */
    fixture->relay.bytes_max = 800;
    fixture->batch.bytes = 900 - 3 * item - 1;
    input(fixture, 0)->task->own.process = stage_grow;
    run(fixture, "0:a ");
    assert_int_equal(end_of(fixture, 0), 1);
    assert_int_equal(end_of(fixture, 1), 1);
}

static void test_drop_forgets_mail_and_hands_nothing_over_until_sync(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, "a");
    kafka_relay_drop(&fixture->relay);
    run(fixture, "");
    put(fixture, 0, "b");
    run(fixture, "");
    assert_int_equal(end_of(fixture, 0), 1);
    kafka_relay_drop(&fixture->relay);
    assert_int_equal(kafka_relay_sync(&fixture->relay, &fixture->ends), 0);
    /* An aborted transaction's records are before the end, too. */
    assert_int_equal(input(fixture, 0)->fence, 1);
    assert_int_equal(input(fixture, 1)->fence, 0);
    put(fixture, 0, "c");
    put(fixture, 1, "d");
    run(fixture, "1:d ");
}

static void test_sync_topic_made_anew_closes_the_fence(void **state)
{
    struct fixture *fixture = *state;
    input(fixture, 0)->next = 5;
    assert_int_equal(kafka_relay_sync(&fixture->relay, &fixture->ends), 0);
    assert_int_equal(input(fixture, 0)->fence, KAFKA_RELAY_FENCE_NONE);
    put(fixture, 0, "a");
    run(fixture, "");
}

static void test_place_closes_fences(void **state)
{
    struct fixture *fixture = *state;
    rd_kafka_topic_partition_list_t *parts = kafka_inputs_list(&fixture->inputs, false);
    assert_int_equal(parts->cnt, OURS);
    assert_int_equal(kafka_inputs_place(&fixture->inputs, parts), 0);
    rd_kafka_topic_partition_list_destroy(parts);
    put(fixture, 0, "a");
    run(fixture, "");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_to_own_partition_is_handed_over),
        TEST(test_run_hands_over_what_follows_behind_what_waits),
        TEST(test_put_to_anothers_partition_goes_by_topic),
        TEST(test_put_behind_the_fence_goes_by_topic_until_that_is_read),
        TEST(test_committed_raises_the_fence_behind_what_was_sent),
        TEST(test_committed_offsets_of_another_topic_close_the_fence),
        TEST(test_run_full_batch_leaves_the_rest_to_the_topics),
        TEST(test_run_full_in_midst_hands_over_and_sends_in_order),
        TEST(test_drop_forgets_mail_and_hands_nothing_over_until_sync),
        TEST(test_sync_topic_made_anew_closes_the_fence),
        TEST(test_place_closes_fences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
