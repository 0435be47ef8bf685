/* The live view over a real socket: who may watch, what is shown, who is too slow, who is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/collector/tail.h"
#include "tests/e2e/collector/client.h"
#include "tests/e2e/collector/server.h"

#define OPERATOR "Authorization: Bearer key of the operator\r\n"
#define WATCH(query, more) "GET /v1/debug/events" query " HTTP/1.0\r\n" OPERATOR more "\r\n"
#define TICK_MS 20

/* A server with a second source that is an operator's; `more` of the configuration before it. */
static void start(struct server *server, const char *more)
{
    CLEANUP(buf_free) struct buf text = {0};
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, STR("key of the operator"));
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, hex);
    assert_int_equal(buf_appendf(&text, "%s[source ops]\nkey_sha256 = %.*s\noperator = yes\n%c",
                         more, (int)sizeof hex, hex, 0),
        0);
    server_start(server, text.data);
}

/* A stream as it comes in. */
struct stream {
    int fd;
    struct buf text; /* NUL-terminated */
};

static void watch(struct server *server, const char *request, struct stream *stream)
{
    *stream = (struct stream){.fd = client_connect(server->port)};
    assert_int_equal(buf_append(&stream->text, "", 1), 0);
    client_send(stream->fd, str_of(request));
}

/* A stream never falls silent for long: who waits for more than this waits in vain. */
#define PATIENCE_S 60

static int64_t now_s(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec;
}

/* Reads once; false at the end. */
static bool take(struct stream *stream)
{
    char chunk[65536];
    ssize_t size = recv(stream->fd, chunk, sizeof chunk, 0);
    if (size <= 0)
        return false;
    stream->text.size--;
    assert_int_equal(buf_append(&stream->text, chunk, (size_t)size), 0);
    assert_int_equal(buf_append(&stream->text, "", 1), 0);
    return true;
}

/* Reads until the text has come so many times. */
static void await(struct stream *stream, const char *text, size_t times)
{
    for (int64_t until = now_s() + PATIENCE_S;;) {
        size_t found = 0;
        for (const char *at = stream->text.data; (at = strstr(at, text)); at++)
            found++;
        if (found >= times)
            return;
        if (now_s() > until || !take(stream))
            fail_msg("no %zu times %s in %s", times, text, stream->text.data);
    }
}

static void leave(struct stream *stream)
{
    assert_int_equal(close(stream->fd), 0);
    buf_free(&stream->text);
}

static void send_event(struct server *server, const char *event, int status)
{
    struct client_reply reply;
    client_post(server->port, "/v1/events", SERVER_BASIC, str_of(event), &reply);
    if (reply.status != status)
        fail_msg("%d: %s", reply.status, reply.text.data);
    client_reply_free(&reply);
}

/* Events by number, of one request. */
static void send_numbers(struct server *server, int first, int count)
{
    CLEANUP(buf_free) struct buf body = {0};
    for (int i = 0; i < count; i++)
        assert_int_equal(buf_appendf(&body,
                             "{\"id\":\"n-%d\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"},"
                             "\"properties\":{\"pad\":\"%0500d\"}}\n",
                             first + i, 0),
            0);
    assert_int_equal(buf_append(&body, "", 1), 0);
    send_event(server, body.data, 200);
}

static void wait_gauge(struct server *server, int id, int64_t value)
{
    const struct timespec pause = {.tv_nsec = TICK_MS * 1000000L};
    for (int i = 0; i < 1000 && metrics_get(server->metrics, id, 0, 0) != value; i++)
        assert_int_equal(nanosleep(&pause, NULL), 0);
    assert_int_equal(metrics_get(server->metrics, id, 0, 0), value);
}

static void test_tail_is_for_operators_and_sound_questions(void **state)
{
    struct server server;
    (void)state;
    static const struct {
        const char *request;
        int status;
        const char *text;
    } samples[] = {
        {"GET /v1/debug/events HTTP/1.0\r\n\r\n", 401, "unauthorized"},
        {"GET /v1/debug/events HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n", 401, "unauthorized"},
        {"GET /v1/debug/events HTTP/1.0\r\n" SERVER_BASIC "\r\n", 403, "tabiji source add"},
        {"POST /v1/debug/events HTTP/1.0\r\n" OPERATOR "Content-Length: 0\r\n\r\n", 405, "method"},
        {WATCH("?fate=x", ""), 400, "accepted, duplicate"},
        {WATCH("?sorce=x", ""), 400, "source, type, person, fate"},
        {WATCH("?person=hana", ""), 400, "person=email:"},
        {WATCH("?person=emial:h@example.jp", ""), 400, "unknown_namespace"},
        {WATCH("?person=email:", ""), 400, "person=email:"},
        {WATCH("?person=cookie:null", ""), 400, "no_identifier"},
        {WATCH("?type=%ff", ""), 400, "bad_utf8"},
        {WATCH("?type=page_viewd", ""), 400,
            "did you mean \\\"page_viewed\\\"? \\\"=page_viewd\\\" "},
    };
    start(&server, "");
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct client_reply reply;
        client_ask(server.port, str_of(samples[i].request), &reply);
        if (reply.status != samples[i].status || !strstr(reply.text.data, samples[i].text))
            fail_msg("%zu: %d: %s", i, reply.status, reply.text.data);
        client_reply_free(&reply);
    }
    assert_int_equal(metrics_get(server.metrics, METRIC_COLLECTOR_VIEWERS, 0, 0), 0);
    server_stop(&server);
}

#define HANA "{\"id\":\"e1\",\"type\":\"page_viewed\",\"ids\":{\"email\":\"Hana@example.jp\"}}"

static void test_tail_shows_each_fate_with_its_reason(void **state)
{
    struct server server;
    struct stream all, rejected, hana, other;
    (void)state;
    start(&server, "");
    watch(&server, WATCH("", "Host: collect.example:81\r\n"), &all);
    watch(&server, WATCH("?fate=rejected", ""), &rejected);
    watch(&server, WATCH("?person=email:%20hana@EXAMPLE.jp&source=ec-web", ""), &hana);
    watch(&server, WATCH("?source=ops", ""), &other);
    await(&all, ": live", 1);
    await(&rejected, ": live", 1);
    await(&hana, ": live", 1);
    await(&other, ": live", 1);
    send_event(&server,
        "[" HANA "," HANA ",{\"id\":\"e2\",\"type\":\"it's\",\"ids\":{\"cookie\":\"c\"}},"
        "{\"id\":\"e3\",\"type\":\"x\",\"ids\":{\"cookie\":\"c\"},\"page\":{\"ulr\":\"\"}},"
        "{\"id\":\"e4\",\"type\":\"x\",\"ids\":{\"cookie\":\"secret\"},"
        "\"consent\":{\"analytics\":false}}]",
        200);
    await(&all, "\"fate\":\"no_consent\",\"stages\"", 1);
    await(&all, "\"fate\":\"duplicate\",\"stages\"", 1);
    await(&all, "{\"stage\":\"log\",\"fate\":\"durable\"}", 3);
    await(&all, "\"pointer\":\"/page/ulr\",\"hint\":\"did you mean \\\"url\\\"?\"", 1);
    await(&all, "\"curl\":\"curl -sS 'http://collect.example:81/v1/events' -u \\\"$WRITE_KEY:\\\"",
        4);
    await(&all, "\\\"type\\\":\\\"it'\\\\''s\\\"", 1);
    assert_null(strstr(all.text.data, "secret"));
    assert_null(strstr(all.text.data, SERVER_KEY));
    await(&rejected, "event: event", 2);
    assert_null(strstr(rejected.text.data, "\"accepted\",\"stages\""));
    await(&hana, "event: event", 2);
    assert_non_null(strstr(hana.text.data, "\"value\":\"k1:"));
    assert_null(strstr(hana.text.data, "\"event_id\":\"e3\""));
    assert_null(strstr(other.text.data, "event: event"));
    send_event(&server, "{", 400);
    await(&all,
        "\"fate\":\"refused\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"refused\"}],"
        "\"status\":400,\"reason\":\"bad_json\"",
        1);
    server_set_error(&server, -5);
    send_event(&server, HANA, 503);
    await(&all, "\"fate\":\"failed\"", 1);
    leave(&all);
    leave(&rejected);
    leave(&hana);
    leave(&other);
    server_stop(&server);
}

/* Items that came, and those that the viewer was told that it missed. */
static void count(const struct stream *stream, long *shown, long *missed)
{
    *shown = *missed = 0;
    for (const char *at = stream->text.data; (at = strstr(at, "event: event\n")); at++)
        ++*shown;
    for (const char *at = stream->text.data; (at = strstr(at, "{\"missed\":")); at++)
        *missed += strtol(at + strlen("{\"missed\":"), NULL, 10);
}

#define LOAD_REQUESTS 40
#define LOAD_EVENTS 500

static void test_tail_slow_viewer_is_told_and_slows_nobody(void **state)
{
    struct server server;
    struct stream slow, quick;
    long shown, missed;
    (void)state;
    start(&server, "");
    watch(&server, WATCH("", ""), &slow); /* reads nothing until the end */
    watch(&server, WATCH("?type==page_viewd", ""), &quick);
    await(&slow, ": live", 1);
    await(&quick, ": live", 1);
    for (int i = 0; i < LOAD_REQUESTS; i++)
        send_numbers(&server, i * LOAD_EVENTS, LOAD_EVENTS);
    assert_int_equal(server_events(&server), LOAD_REQUESTS * LOAD_EVENTS);
    send_event(&server, "{\"id\":\"o\",\"type\":\"page_viewd\",\"ids\":{\"cookie\":\"c\"}}", 200);
    await(&quick, "event: event", 1); /* the one does not stand in the other's way */
    int64_t until = now_s() + PATIENCE_S;
    do {
        assert_true(now_s() <= until && take(&slow));
        count(&slow, &shown, &missed);
    } while (shown + missed < LOAD_REQUESTS * LOAD_EVENTS + 1);
    assert_int_equal(shown + missed, LOAD_REQUESTS * LOAD_EVENTS + 1);
    assert_true(missed > 0 && shown > 0);
    print_message("%ld shown, %ld missed\n", shown, missed);
    leave(&slow);
    leave(&quick);
    server_stop(&server);
}

static void test_tail_viewer_that_is_gone_is_let_go_and_may_come_back(void **state)
{
    struct server server;
    struct stream first, again;
    char request[256], id[TAIL_ID_SIZE_MAX] = "";
    (void)state;
    start(&server, "");
    watch(&server, WATCH("", ""), &first);
    await(&first, ": live", 1);
    send_numbers(&server, 0, 3);
    await(&first, "event: event", 3);
    const char *at = strstr(first.text.data, "\nid: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\nid: %60s", id), 1); /* of the first: two are shown again */
    leave(&first);
    for (int i = 3; i < 8; i++)
        send_numbers(&server, i, 1);
    (void)snprintf(request, sizeof request, WATCH("", "Last-Event-ID: %s\r\n"), id);
    watch(&server, request, &again);
    await(&again, "event: event", 7);
    assert_null(strstr(again.text.data, "\"n-0\""));
    assert_null(strstr(again.text.data, "missed"));
    const char *last = again.text.data;
    for (int i = 1; i < 8; i++) { /* in order, each once */
        char name[32];
        (void)snprintf(name, sizeof name, "\"event_id\":\"n-%d\"", i);
        last = strstr(last, name);
        assert_non_null(last);
    }
    leave(&again);
    for (int i = 0; i < 200 && metrics_get(server.metrics, METRIC_COLLECTOR_VIEWERS, 0, 0); i++) {
        const struct timespec pause = {.tv_nsec = TICK_MS * 1000000L};
        send_numbers(&server, 100 + i, 1); /* by what cannot be written the dead are found */
        assert_int_equal(nanosleep(&pause, NULL), 0);
    }
    wait_gauge(&server, METRIC_COLLECTOR_VIEWERS, 0);
    watch(&server, WATCH("", "Last-Event-ID: 0123456789abcdef-0-5\r\n"), &again);
    await(&again, "\"at_least\":true", 1); /* of another process: something may be missing */
    leave(&again);
    watch(&server, WATCH("", "Last-Event-ID: \xff{}%n\r\n"), &again);
    await(&again, ": live", 1);
    leave(&again);
    server_stop(&server);
}

static void test_tail_has_room_for_so_many(void **state)
{
    struct server server;
    struct stream streams[TAIL_VIEWERS_MAX], more;
    (void)state;
    start(&server, "");
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++) {
        watch(&server, WATCH("", ""), &streams[i]);
        await(&streams[i], ": live", 1);
    }
    watch(&server, WATCH("", ""), &more);
    await(&more, "HTTP/1.1 503", 1);
    leave(&more);
    send_numbers(&server, 0, 1);
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++)
        await(&streams[i], "\"n-0\"", 1);
    collector_stop(&server.collector); /* ends the streams, and waits for none */
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++) {
        while (take(&streams[i]))
            ;
        leave(&streams[i]);
    }
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail_is_for_operators_and_sound_questions),
        cmocka_unit_test(test_tail_shows_each_fate_with_its_reason),
        cmocka_unit_test(test_tail_slow_viewer_is_told_and_slows_nobody),
        cmocka_unit_test(test_tail_viewer_that_is_gone_is_let_go_and_may_come_back),
        cmocka_unit_test(test_tail_has_room_for_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
