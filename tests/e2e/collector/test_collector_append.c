/* What is said when: never 2xx before the append, 503 when it fails, a whole end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/event_fields.h"
#include "schemas/json.h"
#include "tests/e2e/collector/client.h"
#include "tests/e2e/collector/server.h"

#define EVENT(id) "{\"id\":\"" id "\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}"
#define REQUEST                                                                                    \
    "POST /v1/events HTTP/1.1\r\nHost: x\r\n" SERVER_BASIC "Content-Length: 53\r\n\r\n" EVENT("e"  \
                                                                                              "1")

static int setup(void **state)
{
    static struct server server;
    server_start(&server, "buffered_bytes_max = 1 MiB\n");
    *state = &server;
    return 0;
}

static int teardown(void **state)
{
    server_stop(*state);
    return 0;
}

static void assert_post(
    struct server *server, const char *path, const char *body, int status, const char *reply_text)
{
    struct client_reply reply;
    client_post(server->port, path, SERVER_BASIC, str_of(body), &reply);
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.body, reply_text);
    client_reply_free(&reply);
}

static void test_collector_reply_waits_for_the_append(void **state)
{
    struct server *server = *state;
    server_pause(server, true);
    int fd = client_connect(server->port);
    client_send(fd, STR(REQUEST));
    server_wait_paused(server);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1); /* nothing has been said */
    server_pause(server, false);
    struct client_reply reply;
    client_receive(fd, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(server_events(server), 1);
    client_reply_free(&reply);
    assert_int_equal(close(fd), 0);
}

#define WAITING 40
static void test_collector_requests_that_wait_share_an_append(void **state)
{
    struct server *server = *state;
    int sockets[WAITING];
    server_pause(server, true);
    for (size_t i = 0; i < WAITING; i++) {
        sockets[i] = client_connect(server->port);
        client_send(sockets[i], STR(REQUEST));
    }
    while (metrics_get(server->metrics, METRIC_COLLECTOR_RECEIVED_BYTES, 0, 0) < WAITING * 53)
        (void)sched_yield();
    server_pause(server, false);
    for (size_t i = 0; i < WAITING; i++) {
        struct client_reply reply;
        client_receive(sockets[i], &reply);
        assert_int_equal(reply.status, 200);
        client_reply_free(&reply);
        assert_int_equal(close(sockets[i]), 0);
    }
    assert_int_equal(server_events(server), WAITING);
    assert_true(server->appender.appends < WAITING / 2);
}

static void test_collector_append_that_cannot_now_is_503_with_retry_after(void **state)
{
    struct server *server = *state;
    static const int errors[] = {ERR_AGAIN, ERR_FULL};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char seconds[16];
        struct client_reply reply;
        server_set_error(server, errors[i]);
        client_post(server->port, "/v1/events", SERVER_BASIC, STR(EVENT("e1")), &reply);
        assert_int_equal(reply.status, 503);
        assert_string_equal(reply.body, "{\"code\":\"again\",\"message\":\"not now\"}");
        client_header(&reply, "Retry-After", seconds, sizeof seconds);
        assert_string_equal(seconds, "1");
        client_reply_free(&reply);
        assert_post(server, "/v1/track", "{\"messageId\":\"m\",\"userId\":\"u\",\"event\":\"x\"}",
            503, "{\"success\":false,\"code\":\"again\",\"message\":\"not now\"}");
    }
    server_set_error(server, 0);
    assert_post(server, "/v1/events", EVENT("e1"), 200,
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}");
    assert_int_equal(collector_failure(server->collector), 0);
    assert_int_equal(metrics_get(server->metrics, METRIC_COLLECTOR_APPEND_FAILURES, 0, 0), 4);
}

static void test_collector_append_that_fails_for_good_ends_readiness(void **state)
{
    struct server *server = *state;
    struct client_reply reply;
    server_set_error(server, ERR_IO);
    client_post(server->port, "/v1/events", SERVER_BASIC, STR(EVENT("e1")), &reply);
    assert_int_equal(reply.status, 503);
    client_reply_free(&reply);
    assert_int_equal(collector_failure(server->collector), ERR_IO);
    server_set_error(server, 0);
    client_post(server->port, "/v1/events", SERVER_BASIC, STR(EVENT("e1")), &reply);
    assert_int_equal(reply.status, 503); /* never again: an fsync must not be tried twice */
    client_reply_free(&reply);
    client_ask(server->port, STR("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), &reply);
    assert_int_equal(reply.status, 503);
    client_reply_free(&reply);
    client_ask(server->port, STR("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    assert_int_equal(server_events(server), 0);
}

static void test_collector_rejected_events_are_appended_too(void **state)
{
    struct server *server = *state;
    assert_post(server, "/v1/events", "[" EVENT("e1") ",{\"id\":\"e2\"}]", 200,
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[{\"index\":1,\"code\":\"missing_field\","
        "\"pointer\":"
        "\"/type\",\"hint\":\"\"}]}");
    assert_int_equal(server_events(server), 1);
    assert_int_equal(server_rejected(server), 1);
    assert_post(server, "/v1/events/validate", "[" EVENT("e1") ",{\"id\":\"e2\"}]", 200,
        "{\"accepted\":1,\"duplicates\":0,\"rejected\":[{\"index\":1,\"code\":\"missing_field\","
        "\"pointer\":"
        "\"/type\",\"hint\":\"\"}]}");
    assert_int_equal(server_events(server), 1);
    assert_int_equal(server_rejected(server), 1);
    struct client_reply reply;
    client_post(server->port, "/v1/events", SERVER_BASIC, STR("{\"type\":\"x\"}"), &reply);
    assert_int_equal(reply.status, 400); /* and yet kept */
    client_reply_free(&reply);
    assert_int_equal(server_rejected(server), 2);
}

static void test_collector_too_much_in_memory_is_503(void **state)
{
    struct server *server = *state;
    CLEANUP(buf_free) struct buf body = {0};
    assert_int_equal(buf_append_str(&body, STR(EVENT("e1"))), 0);
    while (body.size < 700000)
        assert_int_equal(buf_append(&body, "     ", 5), 0);
    CLEANUP(buf_free) struct buf request = {0};
    assert_int_equal(buf_appendf(&request,
                         "POST /v1/events HTTP/1.1\r\nHost: x\r\n" SERVER_BASIC
                         "Content-Length: %zu\r\n\r\n%.*s",
                         body.size, (int)body.size, body.data),
        0);
    server_pause(server, true);
    int first = client_connect(server->port);
    client_send(first, buf_str(&request));
    server_wait_paused(server);
    struct client_reply reply;
    client_ask(server->port, buf_str(&request), &reply);
    assert_int_equal(reply.status, 503);
    client_reply_free(&reply);
    server_pause(server, false);
    client_receive(first, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    assert_int_equal(close(first), 0);
    client_ask(server->port, buf_str(&request), &reply);
    assert_int_equal(reply.status, 200); /* there is room again */
    client_reply_free(&reply);
}

static void *unpause_later(void *context)
{
    struct server *server = context;
    server_wait_paused(server);
    server_pause(server, false);
    return NULL;
}

static void test_collector_stop_lets_requests_finish(void **state)
{
    struct server server;
    pthread_t thread;
    (void)state;
    server_start(&server, "");
    server_pause(&server, true);
    int fd = client_connect(server.port);
    int idle = client_connect(server.port);
    client_send(fd, STR(REQUEST));
    server_wait_paused(&server);
    assert_int_equal(pthread_create(&thread, NULL, unpause_later, &server), 0);
    collector_stop(&server.collector);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct client_reply reply;
    client_receive(fd, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    assert_int_equal(server_events(&server), 1);
    char byte;
    assert_int_equal(read(idle, &byte, 1), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(idle), 0);
    server_stop(&server);
}

static int start_with(struct server *server, const char *listen, const char *open_source)
{
    struct collector_config config;
    struct collector *collector = NULL;
    collector_configure(server->config, &config);
    config.listen = listen;
    config.open_source = str_of(open_source);
    config.door = &server->door;
    config.metrics = server->metrics;
    config.log = &server->log;
    int r = collector_start(&config, &server->appender.appender, &collector);
    collector_stop(&collector);
    return r;
}

static void test_collector_start_bad_address_gives_typed_error(void **state)
{
    struct server *server = *state;
    char taken[32];
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", server->port);
    static const char *const bad[] = {"", "8080", ":8080", "localhost", "example.jp:80",
        "127.0.0.1:", "127.0.0.1:http", "[::1:80", "127.0.0.1:99999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(start_with(server, bad[i], ""), ERR_CONFIG);
    assert_int_equal(start_with(server, taken, ""), ERR_IO);
    assert_int_equal(start_with(server, "0.0.0.0:0", "dev"), ERR_CONFIG);
    assert_int_equal(start_with(server, "[::]:0", "dev"), ERR_CONFIG);
    assert_int_equal(start_with(server, "127.0.0.1:0", "dev"), 0);
}

static void test_collector_open_source_needs_no_key(void **state)
{
    struct server server;
    (void)state;
    server_start(&server, "open_source = dev\n");
    struct client_reply reply;
    client_post(server.port, "/v1/events", "", STR(EVENT("e1")), &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    client_post(server.port, "/v1/events", "Authorization: Bearer x\r\n", STR(EVENT("e1")), &reply);
    assert_int_equal(reply.status, 401);
    client_reply_free(&reply);
    server_stop(&server);
}

static void test_collector_address_of_a_browser(void **state)
{
    static const struct {
        const char *config;
        const char *headers;
        const char *address;
    } samples[] = {
        {"", SERVER_BASIC, ""}, /* a server that passes events on */
        {"", SERVER_BASIC "Origin: https://a.jp\r\n", "127.0.0.1"},
        {"", SERVER_BASIC "Origin: https://a.jp\r\nX-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"},
        {"forwarded_for = yes",
            SERVER_BASIC "Origin: https://a.jp\r\nX-Forwarded-For: 192.0.2.9, 192.0.2.1\r\n",
            "192.0.2.1"},
        {"forwarded_for = yes", SERVER_BASIC "Origin: https://a.jp\r\n", "127.0.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct server server;
        struct client_reply reply;
        server_start(&server, samples[i].config);
        client_post(server.port, "/v1/events", samples[i].headers, STR(EVENT("e1")), &reply);
        assert_int_equal(reply.status, 200);
        assert_string_equal(server.appender.address, samples[i].address);
        client_reply_free(&reply);
        server_stop(&server);
    }
}

static void test_collector_metrics_count_what_happened(void **state)
{
    struct server *server = *state;
    assert_post(server, "/v1/events", "[" EVENT("e1") "," EVENT("e1") "]", 200,
        "{\"accepted\":1,\"duplicates\":1,\"rejected\":[]}");
    struct client_reply reply;
    /* Kept as rejected, so counted so, though the answer is 400. */
    client_post(server->port, "/v1/events", SERVER_BASIC,
        STR("{\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}"), &reply);
    assert_int_equal(reply.status, 400);
    client_reply_free(&reply);
    client_ask(server->port, STR("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), &reply);
    assert_int_equal(reply.status, 200);
    static const char *const lines[] = {
        "tabiji_collector_events_total{source=\"ec-web\",result=\"accepted\"} 1\n",
        "tabiji_collector_events_total{source=\"ec-web\",result=\"duplicate\"} 1\n",
        "tabiji_collector_events_total{source=\"ec-web\",result=\"rejected\"} 1\n",
        "tabiji_collector_rejected_total{reason=\"bad_id\"} 1\n",
        "tabiji_collector_requests_total{protocol=\"native\",status=\"200\"} 1\n",
        "tabiji_collector_requests_total{protocol=\"native\",status=\"400\"} 1\n",
        "tabiji_collector_append_seconds_count 2\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(reply.body, lines[i]));
    client_reply_free(&reply);
}

/* Every name that the native reader knows stands in the API's description. */
static void assert_described(struct json schema, const struct event_part *part)
{
    struct json properties;
    assert_true(json_get(schema, STR("properties"), &properties));
    for (size_t i = 0; i < part->count; i++) {
        const struct event_field *field = &part->fields[i];
        struct json described;
        if (field->trusted && !str_equal(field->name, STR("channel")))
            continue;
        if (!json_get(properties, field->name, &described))
            fail_msg("openapi.json lacks %.*s", (int)field->name.size, field->name.data);
        if (field->kind == EVENT_FIELD_PART || field->kind == EVENT_FIELD_CONSENT)
            for (size_t k = 0; k < field->part->count; k++) {
                struct json inner;
                assert_true(json_get(described, STR("properties"), &inner));
                if (!field->part->fields[k].trusted)
                    assert_true(json_get(inner, field->part->fields[k].name, &inner));
            }
    }
}

static void test_collector_openapi_describes_every_field(void **state)
{
    struct server *server = *state;
    struct client_reply reply;
    struct json_parser *parser = NULL;
    struct json root;
    client_ask(server->port, STR("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"), &reply);
    assert_int_equal(json_parser_new(&parser), 0);
    assert_int_equal(json_parse(parser, str_of(reply.body), &root), 0);
    struct json schemas;
    assert_true(json_get(root, STR("components"), &schemas));
    assert_true(json_get(schemas, STR("schemas"), &schemas));
    assert_true(json_get(schemas, STR("Event"), &schemas));
    assert_described(schemas, &event_part_touchpoint);
    json_parser_free(&parser);
    client_reply_free(&reply);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_collector_reply_waits_for_the_append),
        CASE(test_collector_requests_that_wait_share_an_append),
        CASE(test_collector_append_that_cannot_now_is_503_with_retry_after),
        CASE(test_collector_append_that_fails_for_good_ends_readiness),
        CASE(test_collector_rejected_events_are_appended_too),
        CASE(test_collector_too_much_in_memory_is_503),
        cmocka_unit_test(test_collector_stop_lets_requests_finish),
        CASE(test_collector_start_bad_address_gives_typed_error),
        cmocka_unit_test(test_collector_open_source_needs_no_key),
        cmocka_unit_test(test_collector_address_of_a_browser),
        CASE(test_collector_metrics_count_what_happened),
        CASE(test_collector_openapi_describes_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
