/* Configuration, names, frames, and what the broker says of its topics. */
#include "ingest/stream/kafka_client.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ingest/kafka_mock.h"

static void assert_problem(const struct kafka_config *config, const char *begin)
{
    char problem[256] = "";
    assert_int_equal(kafka_config_check(config, problem, sizeof problem), ERR_CONFIG);
    assert_memory_equal(problem, begin, strlen(begin));
}

static struct kafka_config sound(const struct kafka_property *property)
{
    struct kafka_config config;
    kafka_config_default(&config);
    config.properties = property;
    config.properties_count = 1;
    return config;
}

static const struct kafka_property bootstrap = {
    KAFKA_SCOPE_ALL, "bootstrap.servers", "localhost:9"};

static void test_config_check_default_is_sound(void **state)
{
    char problem[256];
    struct kafka_config config = sound(&bootstrap);
    assert_int_equal(kafka_config_check(&config, problem, sizeof problem), 0);
}

static void test_config_check_bad_values_are_refused(void **state)
{
    struct kafka_config config = sound(&bootstrap);
    config.prefix = "a b";
    assert_problem(&config, "prefix");
    config.prefix = "01234567890123456789012345678901234567890";
    assert_problem(&config, "prefix");
    config = sound(&bootstrap);
    config.group = "";
    assert_problem(&config, "group");
    config = sound(&bootstrap);
    config.slot = "../up";
    assert_problem(&config, "slot");
    config = sound(&bootstrap);
    config.journey_partitions = 0;
    assert_problem(&config, "partitions");
    config = sound(&bootstrap);
    config.replication_factor = 0;
    assert_problem(&config, "replication");
    config = sound(&bootstrap);
    config.batch_records_max = 0;
    assert_problem(&config, "batch records");
    config = sound(&bootstrap);
    config.batch_ms = 0;
    assert_problem(&config, "batch milliseconds");
    config = sound(&bootstrap);
    config.state_dir = "";
    assert_problem(&config, "state directory");
}

static void test_config_check_properties_unknown_reserved_missing_are_refused(void **state)
{
    struct kafka_property property = {KAFKA_SCOPE_ALL, "bootstrap.server", "localhost:9"};
    struct kafka_config config = sound(&property);
    assert_problem(&config, "No such configuration property: \"bootstrap.server\"");
    property = (struct kafka_property){KAFKA_SCOPE_ALL, "linger.ms", "soon"};
    assert_problem(&config, "Invalid value");
    property = (struct kafka_property){KAFKA_SCOPE_ALL, "linger.ms", "1"};
    assert_problem(&config, "bootstrap.servers is missing");
    static const char *const reserved[] = {"isolation.level", "acks", "request.required.acks",
        "enable.auto.commit", "transactional.id", "partition.assignment.strategy"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        property = (struct kafka_property){KAFKA_SCOPE_CONSUMER, reserved[i], "0"};
        assert_problem(&config, reserved[i]);
    }
}

static void test_client_open_property_reaches_handles_of_its_scope_only(void **state)
{
    const struct kafka_property properties[] = {
        bootstrap, {KAFKA_SCOPE_PRODUCER, "linger.ms", "77"}};
    struct kafka_config config = sound(properties);
    config.properties_count = 2;
    struct kafka_client client;
    char value[32];
    size_t size = sizeof value;
    assert_int_equal(kafka_client_open(&client, &config, KAFKA_ROLE_DOOR, NULL), 0);
    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(client.rk), "linger.ms", value, &size), 0);
    assert_string_equal(value, "77");
    kafka_client_close(&client);
    size = sizeof value;
    assert_int_equal(kafka_client_open(&client, &config, KAFKA_ROLE_RESULTS, NULL), 0);
    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(client.rk), "linger.ms", value, &size), 0);
    assert_string_not_equal(value, "77");
    kafka_client_close(&client);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_password(const struct kafka_config *config, const char *wanted)
{
    struct kafka_client client;
    char value[64] = "";
    size_t size = sizeof value;
    assert_int_equal(kafka_client_open(&client, config, KAFKA_ROLE_DOOR, NULL), 0);
    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(client.rk), "sasl.password", value, &size), 0);
    assert_string_equal(value, wanted);
    kafka_client_close(&client);
}

static void test_client_open_reads_the_password_that_the_file_has_now(void **state)
{
    char path[] = "/tmp/tabiji-password-XXXXXX";
    int fd = mkstemp(path);
    const struct kafka_property properties[] = {
        bootstrap, {KAFKA_SCOPE_ALL, "sasl.password", "of the start", path}};
    struct kafka_config config = sound(properties);
    config.properties_count = 2;
    assert_true(fd >= 0);
    (void)close(fd);
    write_file(path, "first\n");
    assert_password(&config, "first");
    write_file(path, "second");
    assert_password(&config, "second");
    assert_int_equal(chmod(path, 0644), 0);
    assert_password(&config, "of the start");
    assert_int_equal(unlink(path), 0);
    assert_password(&config, "of the start");
}

static long number_of(const struct kafka_client *client, const char *name)
{
    char value[32] = "";
    size_t size = sizeof value;
    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(client->rk), name, value, &size), 0);
    return strtol(value, NULL, 10);
}

/* What deploy/memory_plan.c counts on: a reply is no larger than the queue, which is a sixteenth.
 */
static void test_client_open_replies_are_as_large_as_the_queue_at_most(void **state)
{
    static const enum kafka_role roles[] = {
        KAFKA_ROLE_CONSUMER, KAFKA_ROLE_RESTORE, KAFKA_ROLE_RESULTS};
    for (size_t mib = 1; mib <= 1024; mib *= 4)
        for (size_t i = 0; i < 3; i++) {
            struct kafka_config config = sound(&bootstrap);
            struct kafka_client client;
            config.batch_bytes_max = mib << 20;
            assert_int_equal(kafka_client_open(&client, &config, roles[i], NULL), 0);
            long queue = number_of(&client, "queued.max.messages.kbytes") << 10;
            assert_int_equal(queue, (mib < 16 ? 1 : mib < 512 ? mib / 16 : 32) << 20);
            assert_true(number_of(&client, "fetch.max.bytes") <= queue);
            kafka_client_close(&client);
        }
}

static void assert_transactional_id(const struct kafka_config *config, const char *wanted)
{
    struct kafka_client client;
    char value[64] = "";
    size_t size = sizeof value;
    assert_int_equal(kafka_client_open(&client, config, KAFKA_ROLE_PRODUCER, NULL), 0);
    assert_int_equal(
        rd_kafka_conf_get(rd_kafka_conf(client.rk), "transactional.id", value, &size), 0);
    assert_string_equal(value, wanted);
    kafka_client_close(&client);
}

static void test_client_open_threads_of_a_slot_have_ids_of_their_own(void **state)
{
    struct kafka_config config = sound(&bootstrap);
    config.group = "group";
    config.slot = "a";
    assert_transactional_id(&config, "group-a"); /* also of a process that had one thread only */
    config.thread = 1;
    assert_transactional_id(&config, "group-a/1");
    config.slot = "a/1"; /* so no other slot has this one */
    assert_problem(&config, "slot");
}

static void test_topic_name_and_back(void **state)
{
    struct kafka_config config;
    char name[KAFKA_TOPIC_SIZE_MAX];
    kafka_config_default(&config);
    kafka_topic_name(&config, TOPIC_IDENTITY_STATE, name);
    assert_string_equal(name, "tabiji.identity-state.v1");
    config.prefix = "0123456789012345678901234567890123456789";
    for (int i = 0; i < TOPIC_COUNT; i++) {
        kafka_topic_name(&config, (enum topic)i, name);
        assert_int_equal(kafka_topic_of(&config, name), i);
    }
    assert_int_equal(kafka_topic_of(&config, "tabiji.events.v1"), -1);
}

static void test_layout_check_missing_and_unlike_topics_are_named(void **state)
{
    struct kafka_mock mock = {.logged = 0};
    struct kafka_layout layout;
    kafka_config_default(&mock.config);
    mock.config.log = kafka_mock_log;
    mock.config.log_context = &mock;
    for (int i = 0; i < TOPIC_COUNT; i++)
        layout.partitions[i] = kafka_topic_of_identity((enum topic)i) ? 4 : 6;
    assert_int_equal(kafka_layout_check(&mock.config, &layout), 0);
    layout.partitions[TOPIC_PERSONS] = 6;
    assert_int_equal(kafka_layout_check(&mock.config, &layout), ERR_CONFIG);
    assert_non_null(
        strstr(mock.last, "topic tabiji.persons.v1 has 6 partitions, tabiji.identity.v1 has 4"));
    assert_non_null(strstr(mock.last, "tabiji repartition"));
    layout.partitions[TOPIC_PERSONS] = 4;
    layout.partitions[TOPIC_JOURNEY_STATE] = 0;
    assert_int_equal(kafka_layout_check(&mock.config, &layout), ERR_CONFIG);
    assert_non_null(strstr(mock.last, "topic tabiji.journey-state.v1 is missing"));
    assert_non_null(strstr(mock.last, "tabiji topics create"));
}

static void test_layout_get_counts_what_the_broker_has(void **state)
{
    struct kafka_mock mock;
    struct kafka_client client;
    struct kafka_layout layout;
    int64_t low = -1;
    int64_t high = -1;
    kafka_mock_start(&mock);
    assert_int_equal(kafka_client_open(&client, &mock.config, KAFKA_ROLE_END, NULL), 0);
    assert_int_equal(kafka_layout_get(&client, KAFKA_ANSWER_MS, &layout), 0);
    for (int i = 0; i < TOPIC_COUNT; i++)
        assert_int_equal(layout.partitions[i], MOCK_PARTITIONS);
    assert_int_equal(kafka_client_ends(&client, "tabiji.events.v1", 0, &low, &high), 0);
    assert_int_equal(low, 0);
    assert_int_equal(high, 0);
    kafka_client_close(&client);
    kafka_mock_stop(&mock);
}

static void test_layout_get_without_broker_is_try_again(void **state)
{
    const struct kafka_property nobody = {KAFKA_SCOPE_ALL, "bootstrap.servers", "127.0.0.1:1"};
    struct kafka_config config = sound(&nobody);
    struct kafka_client client;
    struct kafka_layout layout;
    assert_int_equal(kafka_client_open(&client, &config, KAFKA_ROLE_ADMIN, NULL), 0);
    assert_int_equal(kafka_layout_get(&client, 200, &layout), ERR_AGAIN);
    kafka_client_close(&client);
    assert_int_equal(kafka_topics_create(&config, 200), ERR_AGAIN);
}

/* Takes connections and ends each in the midst of its TLS handshake, until the socket is shut. */
static void *end_handshakes(void *context)
{
    const int *listener = context;
    char hello[1024];
    for (int one; (one = accept(*listener, NULL, NULL)) >= 0;) {
        (void)!read(one, hello, sizeof hello);
        close(one);
    }
    return NULL;
}

/* As a broker does that is being stopped. */
static void test_layout_get_broker_that_ends_the_handshake_is_try_again(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char servers[32];
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, end_handshakes, &listener), 0);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%d", ntohs(address.sin_port));
    const struct kafka_property properties[] = {{KAFKA_SCOPE_ALL, "bootstrap.servers", servers},
        {KAFKA_SCOPE_ALL, "security.protocol", "SSL"}};
    struct kafka_config config = sound(properties);
    config.properties_count = 2;
    struct kafka_client client;
    struct kafka_layout layout;
    assert_int_equal(kafka_client_open(&client, &config, KAFKA_ROLE_ADMIN, NULL), 0);
    assert_int_equal(kafka_layout_get(&client, 1000, &layout), ERR_AGAIN);
    kafka_client_close(&client);
    assert_int_equal(shutdown(listener, SHUT_RDWR), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_check_default_is_sound),
        cmocka_unit_test(test_config_check_bad_values_are_refused),
        cmocka_unit_test(test_config_check_properties_unknown_reserved_missing_are_refused),
        cmocka_unit_test(test_client_open_property_reaches_handles_of_its_scope_only),
        cmocka_unit_test(test_client_open_reads_the_password_that_the_file_has_now),
        cmocka_unit_test(test_client_open_replies_are_as_large_as_the_queue_at_most),
        cmocka_unit_test(test_client_open_threads_of_a_slot_have_ids_of_their_own),
        cmocka_unit_test(test_topic_name_and_back),
        cmocka_unit_test(test_layout_check_missing_and_unlike_topics_are_named),
        cmocka_unit_test(test_layout_get_counts_what_the_broker_has),
        cmocka_unit_test(test_layout_get_without_broker_is_try_again),
        cmocka_unit_test(test_layout_get_broker_that_ends_the_handshake_is_try_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
