/* The producer directly to Kafka, on librdkafka's mock cluster: what the collector would have
 * appended is there, under the same keys in the same partitions; brokers that are away are waited
 * for; what is refused by name lies in `rejected`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <time.h>

#include "ingest/door.h"
#include "ingest/producer/tabiji.h"
#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/topic.h"
#include "schemas/event_json.h"
#include "tests/unit/ingest/kafka_mock.h"

#define PATIENCE_MS 30000
#define EVENTS 40
#define SOURCE "pos-shibuya"

struct fixture {
    struct kafka_mock mock;
    char path[96];
    struct tabiji_options options;
    struct tabiji_producer *producer;
    atomic_int delivered, rejected;
    struct tabiji_problem last;
};

static void on_report(void *context, const struct tabiji_report *report)
{
    struct fixture *fixture = context;
    if (report->kind == TABIJI_REPORT_DELIVERED)
        fixture->delivered++;
    else if (report->kind == TABIJI_REPORT_REJECTED)
        fixture->rejected++;
    if (report->kind != TABIJI_REPORT_DELIVERED)
        fixture->last = report->problem;
}

static void write_config(struct fixture *fixture, const char *more)
{
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    (void)fprintf(file,
        "[stream]\ndriver = kafka\n[kafka]\nbootstrap.servers = %s\nmessage.timeout.ms = 3000\n"
        "[source " SOURCE "]\ntrusted_channel = yes\n%s",
        rd_kafka_mock_cluster_bootstraps(fixture->mock.cluster), more);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    kafka_mock_start(&fixture->mock);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/tabiji.ini", fixture->mock.directory);
    write_config(fixture, "");
    fixture->options = (struct tabiji_options){.size = sizeof fixture->options,
        .flags = TABIJI_KEEP_ID,
        .linger_ms = 1,
        .retry_min_ms = 1,
        .retry_max_ms = 50,
        .kafka_config = fixture->path,
        .kafka_source = SOURCE,
        .on_report = on_report,
        .report_context = fixture};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    (void)tabiji_producer_close(&fixture->producer, 0);
    kafka_mock_stop(&fixture->mock);
    free(fixture);
    return 0;
}

static void open_producer(struct fixture *fixture)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    int r = tabiji_producer_new(&fixture->options, &fixture->producer, &problem);
    if (r != TABIJI_OK)
        fail_msg("%s: %s", problem.pointer, problem.hint);
}

static void event_text(int i, char out[256])
{
    (void)snprintf(out, 256,
        "{\"id\":\"k-%d\",\"type\":\"store_purchase\",\"time\":1795139999000,\"ids\":{\"loyalty\":"
        "\"L-%d\",\"phone\":\"03-1234-%04d\"},\"order\":{\"order_id\":\"R-%d\",\"revenue\":\"%d\","
        "\"currency\":\"JPY\"}}",
        i, i % 11, i, i, 100 + i);
}

static void send_events(struct fixture *fixture, int count)
{
    for (int i = 0; i < count; i++) {
        char text[256];
        event_text(i, text);
        assert_int_equal(
            tabiji_send_json(fixture->producer, text, strlen(text), NULL, NULL), TABIJI_OK);
    }
}

/* What the collector appends for an event, with received_at set to what was received. */
static void want_record(int i, int64_t received_at, struct arena *arena, struct append_record *out)
{
    struct door_config door;
    struct json_parser *parser = NULL;
    struct json value;
    struct touchpoint event;
    struct event_problem problem;
    char text[256];
    event_text(i, text);
    door_config_default(&door);
    assert_int_equal(json_parser_new(&parser), 0);
    assert_int_equal(json_parse(parser, str_of(text), &value), 0);
    assert_int_equal(event_json_read(value, true, arena, &event, &problem), 0);
    event.source = STR(SOURCE);
    event.protocol = PROTOCOL_NATIVE;
    event.adapter_version = 1;
    assert_int_equal(door_accept(&door, &event, received_at, arena, out, &problem), 0);
    json_parser_free(&parser);
}

/* Compares a message with what the collector would have appended. Returns the event's number. */
static int check_message(struct fixture *fixture, const rd_kafka_message_t *message)
{
    struct arena arena = {0};
    struct touchpoint event;
    struct append_record want;
    struct str value = str_make(
        (const char *)message->payload + KAFKA_FRAME_SIZE, message->len - KAFKA_FRAME_SIZE);
    assert_int_equal(touchpoint_decode(&event, value, &arena), 0);
    int number = atoi(event.event_id.data + 2);
    want_record(number, event.received_at, &arena, &want);
    assert_true(str_equal(value, want.value));
    assert_true(str_equal(str_make(message->key, message->key_len), want.key));
    assert_int_equal(message->partition, topic_partition(want.key, MOCK_PARTITIONS));
    char frame[KAFKA_FRAME_SIZE];
    kafka_frame_put(
        kafka_frame_id(&fixture->mock.config, TOPIC_EVENTS, want.key, want.value.size), frame);
    assert_memory_equal(message->payload, frame, sizeof frame);
    arena_free(&arena);
    return number;
}

static rd_kafka_t *open_consumer(struct fixture *fixture, enum topic topic)
{
    char text[256];
    char name[KAFKA_TOPIC_SIZE_MAX];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers",
            rd_kafka_mock_cluster_bootstraps(fixture->mock.cluster), text, sizeof text),
        RD_KAFKA_CONF_OK);
    assert_int_equal(
        rd_kafka_conf_set(conf, "group.id", "test", text, sizeof text), RD_KAFKA_CONF_OK);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    assert_non_null(consumer);
    (void)rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(MOCK_PARTITIONS);
    kafka_topic_name(&fixture->mock.config, topic, name);
    for (int32_t i = 0; i < MOCK_PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(all, name, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(consumer, all), 0);
    rd_kafka_topic_partition_list_destroy(all);
    return consumer;
}

/* The next message; NULL: none comes. */
static rd_kafka_message_t *next_message(rd_kafka_t *consumer, int timeout_ms)
{
    rd_kafka_message_t *message;
    for (int64_t end = kafka_clock_ms() + timeout_ms; kafka_clock_ms() < end;) {
        message = rd_kafka_consumer_poll(consumer, 100);
        if (message && !message->err)
            return message;
        if (message)
            rd_kafka_message_destroy(message);
    }
    return NULL;
}

static void test_events_are_what_the_collector_appends(void **state)
{
    struct fixture *fixture = *state;
    bool seen[EVENTS] = {false};
    open_producer(fixture);
    send_events(fixture, EVENTS);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(fixture->delivered, EVENTS);
    rd_kafka_t *consumer = open_consumer(fixture, TOPIC_EVENTS);
    for (int i = 0; i < EVENTS; i++) {
        rd_kafka_message_t *message = next_message(consumer, PATIENCE_MS);
        assert_non_null(message);
        int number = check_message(fixture, message);
        assert_true(number >= 0 && number < EVENTS && !seen[number]);
        seen[number] = true;
        rd_kafka_message_destroy(message);
    }
    assert_null(next_message(consumer, 300));
    rd_kafka_destroy(consumer);
    assert_int_equal(tabiji_producer_close(&fixture->producer, 0), TABIJI_OK);
}

/* Judged and encoded by who sends them, where the caller is trusted as the source is. */
static void test_events_that_are_sealed_are_what_the_collector_appends(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.flags |= TABIJI_TRUSTED;
    test_events_are_what_the_collector_appends(state);
}

static int64_t wall_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void test_event_that_is_sealed_was_received_when_it_was_sent(void **state)
{
    struct fixture *fixture = *state;
    struct arena arena = {0};
    struct touchpoint event;
    fixture->options.flags |= TABIJI_TRUSTED;
    rd_kafka_mock_broker_set_down(fixture->mock.cluster, 1);
    open_producer(fixture);
    send_events(fixture, 1);
    int64_t sent = wall_micros();
    assert_int_equal(tabiji_flush(fixture->producer, 100), TABIJI_ERROR_TIMEOUT);
    rd_kafka_mock_broker_set_up(fixture->mock.cluster, 1);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    rd_kafka_t *consumer = open_consumer(fixture, TOPIC_EVENTS);
    rd_kafka_message_t *message = next_message(consumer, PATIENCE_MS);
    assert_non_null(message);
    struct str value = str_make(
        (const char *)message->payload + KAFKA_FRAME_SIZE, message->len - KAFKA_FRAME_SIZE);
    assert_int_equal(touchpoint_decode(&event, value, &arena), 0);
    assert_true(event.received_at <= sent);
    arena_free(&arena);
    rd_kafka_message_destroy(message);
    rd_kafka_destroy(consumer);
}

/* The same event again in a batch counts once; another under its id is refused, with its text. */
static void test_ids_that_come_twice_are_judged_where_events_are_sealed(void **state)
{
    struct fixture *fixture = *state;
    struct tabiji_statistics counts = {.size = sizeof counts};
    char text[256], other[256];
    fixture->options.flags |= TABIJI_TRUSTED;
    fixture->options.linger_ms = 60000;
    open_producer(fixture);
    send_events(fixture, 1);
    send_events(fixture, 1);
    event_text(0, text);
    (void)snprintf(
        other, sizeof other, "%.*s,\"properties\":{\"till\":7}}", (int)strlen(text) - 1, text);
    assert_int_equal(
        tabiji_send_json(fixture->producer, other, strlen(other), NULL, NULL), TABIJI_OK);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(tabiji_producer_statistics(fixture->producer, &counts), TABIJI_OK);
    assert_int_equal(counts.events_duplicate, 1);
    assert_int_equal(fixture->delivered, 2);
    assert_int_equal(fixture->rejected, 1);
    assert_string_equal(fixture->last.code, "id_conflict");
    rd_kafka_t *consumer = open_consumer(fixture, TOPIC_REJECTED);
    rd_kafka_message_t *message = next_message(consumer, PATIENCE_MS);
    assert_non_null(message);
    assert_non_null(memmem(message->payload, message->len, other, strlen(other)));
    rd_kafka_message_destroy(message);
    rd_kafka_destroy(consumer);
}

static void test_event_that_is_refused_lies_in_rejected(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "{\"id\":\"bad\",\"tpye\":\"x\"}";
    fixture->options.flags = TABIJI_AS_IT_IS;
    open_producer(fixture);
    assert_int_equal(
        tabiji_send_json(fixture->producer, text, sizeof text - 1, NULL, NULL), TABIJI_OK);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(fixture->rejected, 1);
    assert_string_equal(fixture->last.code, "unknown_field");
    assert_string_equal(fixture->last.pointer, "/tpye");
    rd_kafka_t *consumer = open_consumer(fixture, TOPIC_REJECTED);
    rd_kafka_message_t *message = next_message(consumer, PATIENCE_MS);
    assert_non_null(message);
    assert_non_null(memmem(message->payload, message->len, text, sizeof text - 1));
    rd_kafka_message_destroy(message);
    rd_kafka_destroy(consumer);
}

/* The broker is away when the events come, and again amid them: all arrive, once. */
static void test_broker_that_is_away_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.batch_events_max = 10;
    rd_kafka_mock_broker_set_down(fixture->mock.cluster, 1);
    open_producer(fixture);
    send_events(fixture, EVENTS);
    assert_int_equal(tabiji_flush(fixture->producer, 300), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(fixture->delivered, 0);
    rd_kafka_mock_broker_set_up(fixture->mock.cluster, 1);
    rd_kafka_mock_push_request_errors(fixture->mock.cluster, 0, 2,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(fixture->delivered, EVENTS);
}

/* Where the last record of each event lies, all of one customer. Returns how many records there
 * are. */
static int64_t find_last(struct fixture *fixture, int64_t last[EVENTS])
{
    struct arena arena = {0};
    struct touchpoint event;
    rd_kafka_message_t *message;
    int64_t count = 0;
    rd_kafka_t *consumer = open_consumer(fixture, TOPIC_EVENTS);
    for (int timeout_ms = PATIENCE_MS; (message = next_message(consumer, timeout_ms)) != NULL;) {
        struct str value = str_make(
            (const char *)message->payload + KAFKA_FRAME_SIZE, message->len - KAFKA_FRAME_SIZE);
        assert_int_equal(touchpoint_decode(&event, value, &arena), 0);
        int number = atoi(event.event_id.data + 2);
        assert_true(number >= 0 && number < EVENTS);
        last[number] = message->offset;
        rd_kafka_message_destroy(message);
        count++;
        timeout_ms = 300;
    }
    rd_kafka_destroy(consumer);
    arena_free(&arena);
    return count;
}

/* Four batches are on their way, each a request of its own, of which the first fails: those behind
 * it come again, too. */
static void test_batches_behind_one_that_failed_come_again_behind_it(void **state)
{
    struct fixture *fixture = *state;
    struct tabiji_statistics counts = {.size = sizeof counts};
    int64_t last[EVENTS];
    write_config(fixture, "[kafka]\nbatch.num.messages = 10\n");
    fixture->options.batch_events_max = 10;
    fixture->options.linger_ms = 60000;
    rd_kafka_mock_push_request_errors(
        fixture->mock.cluster, 0, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    open_producer(fixture);
    for (int i = 0; i < EVENTS; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
            "{\"id\":\"k-%d\",\"type\":\"store_visit\",\"time\":1795139999000,\"ids\":{"
            "\"loyalty\":\"L-1\"}}",
            i);
        assert_int_equal(
            tabiji_send_json(fixture->producer, text, strlen(text), NULL, NULL), TABIJI_OK);
    }
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(fixture->delivered, EVENTS);
    assert_int_equal(tabiji_producer_statistics(fixture->producer, &counts), TABIJI_OK);
    assert_true(counts.requests_failed > 0);
    assert_true(find_last(fixture, last) >= EVENTS);
    for (int i = 1; i < EVENTS; i++)
        assert_true(last[i - 1] < last[i]);
}

static void test_close_while_the_broker_is_away_ends(void **state)
{
    struct fixture *fixture = *state;
    rd_kafka_mock_broker_set_down(fixture->mock.cluster, 1);
    open_producer(fixture);
    send_events(fixture, 3);
    int64_t begun = kafka_clock_ms();
    assert_int_equal(tabiji_producer_close(&fixture->producer, 100), TABIJI_ERROR_TIMEOUT);
    assert_true(kafka_clock_ms() - begun < 15100);
    assert_string_equal(fixture->last.code, "discarded");
}

/* Kafka's thread reads the events of its batch until it is gone. */
static void test_close_amid_a_batch_leaves_it_its_events(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.batch_events_max = 1000;
    fixture->options.linger_ms = 60000;
    for (int i = 0; i < 3; i++) {
        open_producer(fixture);
        send_events(fixture, 1000);
        int r = tabiji_producer_close(&fixture->producer, 5 * i);
        assert_true(r == TABIJI_OK || r == TABIJI_ERROR_TIMEOUT);
    }
}

static void test_spool_keeps_what_was_not_appended(void **state)
{
    struct fixture *fixture = *state;
    char spool[128];
    (void)snprintf(spool, sizeof spool, "%s/spool", fixture->mock.directory);
    fixture->options.spool_dir = spool;
    fixture->options.batch_events_max = 500; /* the second is full with the last event */
    fixture->options.linger_ms = 60000;
    open_producer(fixture);
    send_events(fixture, 1000);
    assert_int_equal(tabiji_producer_close(&fixture->producer, 0), TABIJI_ERROR_TIMEOUT);
    int before = fixture->delivered;
    assert_true(before <= 500);
    open_producer(fixture);
    assert_int_equal(tabiji_flush(fixture->producer, PATIENCE_MS), TABIJI_OK);
    assert_int_equal(fixture->delivered, 1000);
    assert_int_equal(tabiji_producer_close(&fixture->producer, 0), TABIJI_OK);
}

static void assert_refused(struct fixture *fixture, const char *option, const char *word)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    assert_int_equal(tabiji_producer_new(&fixture->options, &fixture->producer, &problem),
        TABIJI_ERROR_ARGUMENT);
    assert_string_equal(problem.pointer, option);
    if (!strstr(problem.hint, word))
        fail_msg("%s is not in: %s", word, problem.hint);
    assert_null(fixture->producer);
}

static void test_options_that_are_wrong_are_named(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.batch_events_max = 5001;
    assert_refused(fixture, "batch_events_max", "5000");
    fixture->options.batch_events_max = 5000; /* more than a collector takes at once */
    fixture->options.url = "http://127.0.0.1:1";
    assert_refused(fixture, "kafka_config", "either");
    fixture->options.url = NULL;
    fixture->options.kafka_source = NULL;
    assert_refused(fixture, "kafka_source", "go together");
    fixture->options.kafka_source = "nobody";
    assert_refused(fixture, "kafka_config", "nobody");
    fixture->options.kafka_source = SOURCE;
    write_config(fixture, "nonsense = 1\n");
    assert_refused(fixture, "kafka_config", "nonsense");
    write_config(fixture, "[registry]\nurl = http://127.0.0.1:1\n");
    assert_refused(fixture, "kafka_config", "registry");
    fixture->options.kafka_config = "/nowhere/tabiji.ini";
    assert_refused(fixture, "kafka_config", "nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_events_are_what_the_collector_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_events_that_are_sealed_are_what_the_collector_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_event_that_is_sealed_was_received_when_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_ids_that_come_twice_are_judged_where_events_are_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_event_that_is_refused_lies_in_rejected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broker_that_is_away_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_batches_behind_one_that_failed_come_again_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_while_the_broker_is_away_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_close_amid_a_batch_leaves_it_its_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool_keeps_what_was_not_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_that_are_wrong_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
