/* HTTP as broken and hostile clients speak it, over a real socket. Source: RELIABILITY, "Bad
 * input". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <microhttpd.h>
#include <zlib.h>

#include "schemas/error.h"
#include "tests/e2e/collector/client.h"
#include "tests/e2e/collector/server.h"

#define POST "POST /v1/events HTTP/1.1\r\nHost: x\r\n" SERVER_BASIC
#define EVENT "{\"id\":\"e1\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c\"}}"
_Static_assert(sizeof EVENT - 1 == 53, "the size in requests");
#define ACCEPTED "{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}"

struct raw {
    const char *name;
    struct str bytes;
    int status;
    bool closed;
    const char *code; /* in the body; NULL: whatever */
};

static int setup(void **state)
{
    static struct server server;
    server_start(&server, "request_timeout = 20 s\n");
    *state = &server;
    return 0;
}

static int teardown(void **state)
{
    server_stop(*state);
    return 0;
}

static void assert_raw(struct server *server, const struct raw *raw)
{
    struct client_reply reply;
    client_ask(server->port, raw->bytes, &reply);
    if (reply.status != raw->status || (raw->closed && !reply.closed))
        fail_msg("%s: %d, closed %d: %s", raw->name, reply.status, reply.closed, reply.text.data);
    if (raw->code && !strstr(reply.text.data, raw->code))
        fail_msg("%s: no %s in %s", raw->name, raw->code, reply.text.data);
    client_reply_free(&reply);
}

static const struct raw ambiguous_heads[] = {
    {"two lengths", STR_INIT(POST "Content-Length: 53\r\nContent-Length: 5\r\n\r\n" EVENT), 400,
        true, "bad_request"},
    {"two equal lengths", STR_INIT(POST "Content-Length: 53\r\nContent-Length: 53\r\n\r\n" EVENT),
        400, true, "bad_request"},
    {"length beside chunked",
        STR_INIT(POST "Content-Length: 53\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
        true, "bad_request"},
    {"chunked beside length",
        STR_INIT(POST "Transfer-Encoding: chunked\r\nContent-Length: 53\r\n\r\n0\r\n\r\n"), 400,
        true, "bad_request"},
    {"two codings",
        STR_INIT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"), 400,
        true, "bad_request"},
    {"other coding", STR_INIT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400, true,
        "bad_request"},
    {"unknown coding", STR_INIT(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400, true,
        "bad_request"},
    {"space before colon", STR_INIT(POST "Content-Length : 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"two hosts", STR_INIT(POST "Host: y\r\nContent-Length: 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"bare LF everywhere",
        STR_INIT("POST /v1/events HTTP/1.1\nHost: x\nContent-Length: 53\n\n" EVENT), 400, true,
        "bad_request"},
    {"bare LF in one line", STR_INIT(POST "X: 1\nContent-Length: 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"bare CR", STR_INIT(POST "X: 1\rContent-Length: 53\r\n\r\n" EVENT), 400, true, "bad_request"},
    {"control in a value", STR_INIT(POST "X: \x01\r\nContent-Length: 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"negative length", STR_INIT(POST "Content-Length: -1\r\n\r\n"), 400, true, NULL},
    {"length with sign", STR_INIT(POST "Content-Length: +53\r\n\r\n" EVENT), 400, true, NULL},
    {"length list", STR_INIT(POST "Content-Length: 53, 53\r\n\r\n" EVENT), 400, true, NULL},
    {"length of letters", STR_INIT(POST "Content-Length: 53x\r\n\r\n" EVENT), 400, true, NULL},
    {"length beyond 64 bits", STR_INIT(POST "Content-Length: 99999999999999999999999\r\n\r\n"), 413,
        true, NULL},
    {"bad chunk size", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, true, NULL},
    {"negative chunk", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"),
        400, true, NULL},
    {"chunk without end", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n"),
        400, true, NULL},
    {"chunk beyond 64 bits",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), 413, true, NULL},
    {"chunk size with a sign",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n+35\r\n" EVENT "\r\n0\r\n\r\n"), 400, true,
        NULL},
    {"chunk size as in C",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0x35\r\n" EVENT "\r\n0\r\n\r\n"), 400,
        true, NULL},
    {"blank before a chunk size",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n 35\r\n" EVENT "\r\n0\r\n\r\n"), 400, true,
        NULL},
    {"folded coding", STR_INIT(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), 400, true,
        "bad_request"},
    {"coding behind a control character",
        STR_INIT(POST "Transfer-Encoding: \x0b"
                      "chunked\r\n\r\n0\r\n\r\n"),
        400, true, "bad_request"},
    {"identity beside length",
        STR_INIT(POST "Transfer-Encoding: identity\r\nContent-Length: 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"coding in HTTP/1.0",
        STR_INIT("POST /v1/events HTTP/1.0\r\n" SERVER_BASIC
                 "Transfer-Encoding: chunked\r\n\r\n35\r\n" EVENT "\r\n0\r\n\r\n"),
        400, true, "bad_request"},
    {"NUL in a value", STR_INIT(POST "X: a\0b\r\nContent-Length: 53\r\n\r\n" EVENT), 400, true,
        "bad_request"},
    {"length in hexadecimal", STR_INIT(POST "Content-Length: 0x35\r\n\r\n" EVENT), 400, true, NULL},
    {"empty length", STR_INIT(POST "Content-Length: \r\n\r\n" EVENT), 400, true, NULL},
    {"blank in a length", STR_INIT(POST "Content-Length: 5 3\r\n\r\n" EVENT), 400, true, NULL},
    {"no host", STR_INIT("GET /healthz HTTP/1.1\r\n\r\n"), 400, true, NULL},
    {"%00", STR_INIT("GET /healthz%00x HTTP/1.1\r\nHost: x\r\n\r\n"), 400, true, "bad_request"},
    {"HTTP/2", STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, true, NULL},
};

static void test_http_ambiguous_head_is_400_and_closed(void **state)
{
    struct server *server = *state;
    for (size_t i = 0; i < sizeof ambiguous_heads / sizeof *ambiguous_heads; i++)
        assert_raw(server, &ambiguous_heads[i]);
    assert_int_equal(server_events(server), 0);
}

/* What should be 400 as well, and nobody but the library sees. It reads the socket by itself, as
 * soon as anything is there, so that a look by MSG_PEEK comes too late or sees a part. It hands
 * over what is in the chunks, which it moves within its buffer: the bytes beside them are the lines
 * between them only sometimes, and those of another read at other times, by which an honest body
 * would be refused. Its strict mode, which is on, leaves line ends alone in 0.9.75;
 * MHD_OPTION_CLIENT_DISCIPLINE_LVL came later, and with it strict means that these are 400. Until
 * then they are read as if they ended in CRLF: what is behind them is the next request, no part of
 * this one, which is what a proxy that writes chunks anew makes of them. */
static const struct raw hidden_line_ends[] = {
    {"behind a chunk",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n35\r\n" EVENT "\n0\r\n\r\n"), 400, true,
        NULL},
    {"behind a size", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n35\n" EVENT "\r\n0\r\n\r\n"),
        400, true, NULL},
    {"behind the last size",
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n35\r\n" EVENT "\r\n0\n\r\n"), 400, true,
        NULL},
    {"behind all", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n35\r\n" EVENT "\r\n0\r\n\n"),
        400, true, NULL},
    {"behind the last header",
        STR_INIT(POST "Transfer-Encoding: chunked\n\r\n35\r\n" EVENT "\r\n0\r\n\r\n"), 400, true,
        NULL},
};

/* Sends the bytes and a request behind them; returns how many answers of 200 came. */
static size_t answers(struct server *server, struct str bytes)
{
    CLEANUP(buf_free) struct buf all = {0};
    char chunk[4096];
    int fd = client_connect(server->port);
    client_send(fd, bytes);
    client_send(fd, STR("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    for (ssize_t size; (size = read(fd, chunk, sizeof chunk)) > 0;)
        assert_int_equal(buf_append(&all, chunk, (size_t)size), 0);
    assert_int_equal(buf_append(&all, "", 1), 0);
    assert_int_equal(close(fd), 0);
    size_t count = 0;
    for (const char *at = all.data; (at = strstr(at, "HTTP/1.1 200")); at++)
        count++;
    return count;
}

static void test_http_bare_lf_that_the_library_hides_smuggles_nothing(void **state)
{
    struct server *server = *state;
    const size_t count = sizeof hidden_line_ends / sizeof *hidden_line_ends;
    bool hides = strcmp(MHD_get_version(), "0.9.75") == 0;
    for (size_t i = 0; i < count; i++)
        if (!hides)
            assert_raw(server, &hidden_line_ends[i]);
        else if (answers(server, hidden_line_ends[i].bytes) != 2)
            fail_msg("a bare LF %s", hidden_line_ends[i].name);
    assert_int_equal(server_events(server), hides ? count : 0);
    /* What may stand behind a size is none of the body's. Source: RFC 9112, 7.1.1. */
    assert_raw(server,
        &(struct raw){"extensions of chunks",
            STR(POST "Transfer-Encoding: chunked\r\n\r\n35;a=\"b\"\r\n" EVENT "\r\n0;c\r\n\r\n"),
            200, false, ACCEPTED});
}

static void test_http_long_line_and_headers(void **state)
{
    struct server *server = *state;
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(buf_appendf(&bytes, "GET /%040000d HTTP/1.1\r\nHost: x\r\n\r\n", 0), 0);
    assert_raw(server, &(struct raw){"long line", buf_str(&bytes), 414, true, NULL});
    buf_clear(&bytes);
    assert_int_equal(
        buf_appendf(&bytes, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: %040000d\r\n\r\n", 0), 0);
    assert_raw(server, &(struct raw){"long header", buf_str(&bytes), 431, true, NULL});
    buf_clear(&bytes);
    assert_int_equal(buf_appendf(&bytes, "GET /healthz HTTP/1.1\r\nHost: x\r\n"), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_appendf(&bytes, "X: a\r\n"), 0);
    assert_int_equal(buf_appendf(&bytes, "\r\n"), 0);
    assert_raw(server, &(struct raw){"many headers", buf_str(&bytes), 431, true, NULL});
}

static void test_http_good_requests(void **state)
{
    struct server *server = *state;
    static const struct raw raws[] = {
        {"length", STR_INIT(POST "Content-Length: 53\r\n\r\n" EVENT), 200, false, ACCEPTED},
        {"chunked", STR_INIT(POST "Transfer-Encoding: Chunked\r\n\r\n35\r\n" EVENT "\r\n0\r\n\r\n"),
            200, false, ACCEPTED},
        {"expects 100", STR_INIT(POST "Expect: 100-continue\r\nContent-Length: 53\r\n\r\n" EVENT),
            200, false, ACCEPTED},
        {"HTTP/1.0",
            STR_INIT(
                "POST /v1/events HTTP/1.0\r\n" SERVER_BASIC "Content-Length: 53\r\n\r\n" EVENT),
            200, true, ACCEPTED},
        {"blanks behind values, and none",
            STR_INIT(POST "X: a \t \r\nY:\r\nZ: \r\nContent-Length: 53\r\n\r\n" EVENT), 200, false,
            ACCEPTED},
        {"text/plain",
            STR_INIT(
                POST "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 53\r\n\r\n" EVENT),
            200, false, ACCEPTED},
        {"form",
            STR_INIT(POST "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
                          "53\r\n\r\n" EVENT),
            200, false, ACCEPTED},
        {"closes", STR_INIT(POST "Connection: close\r\nContent-Length: 53\r\n\r\n" EVENT), 200,
            true, ACCEPTED},
        {"health", STR_INIT("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), 200, false, "ok\n"},
        {"ready", STR_INIT("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), 200, false, "ok\n"},
        {"api", STR_INIT("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"), 200, false,
            "\"openapi\":\"3.1.0\""},
    };
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++)
        assert_raw(server, &raws[i]);
    assert_int_equal(server_events(server), 8);
}

static void test_http_pipelined_requests_are_answered_in_order(void **state)
{
    struct server *server = *state;
    int fd = client_connect(server->port);
    client_send(fd,
        STR(POST "Content-Length: 53\r\n\r\n" EVENT "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" POST
                 "Content-Length: 53\r\nConnection: close\r\n\r\n" EVENT));
    CLEANUP(buf_free) struct buf all = {0};
    char chunk[4096];
    for (ssize_t size; (size = read(fd, chunk, sizeof chunk)) > 0;)
        assert_int_equal(buf_append(&all, chunk, (size_t)size), 0);
    assert_int_equal(buf_append(&all, "", 1), 0);
    assert_int_equal(close(fd), 0);
    const char *first = strstr(all.data, ACCEPTED);
    assert_non_null(first);
    const char *second = strstr(first, "\r\n\r\nok\n");
    assert_non_null(second);
    assert_non_null(strstr(second, ACCEPTED));
}

static void test_http_paths_methods_and_media_types(void **state)
{
    struct server *server = *state;
    static const struct raw raws[] = {
        {"path", STR_INIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 404, false, "not_found"},
        {"path with body",
            STR_INIT("POST /v1/evnts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), 404,
            false, "not_found"},
        {"get", STR_INIT("GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"), 405, false, "\"method\""},
        {"put", STR_INIT("PUT /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), 405,
            false, "{\"success\":false,\"code\":\"method\""},
        {"post to a page",
            STR_INIT("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), 405, false,
            NULL},
        {"multipart",
            STR_INIT(POST
                "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 2\r\n\r\n{}"),
            415, false, "media_type"},
        {"image", STR_INIT(POST "Content-Type: image/png\r\nContent-Length: 2\r\n\r\n{}"), 415,
            false, "media_type"},
        {"brotli", STR_INIT(POST "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"), 415, false,
            "bad_encoding"},
        {"two encodings",
            STR_INIT(POST "Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}"), 415,
            false, "bad_encoding"},
        {"no body", STR_INIT(POST "\r\n"), 400, false, "\"empty\""},
        {"empty body", STR_INIT(POST "Content-Length: 0\r\n\r\n"), 400, false, "\"empty\""},
    };
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++)
        assert_raw(server, &raws[i]);
    struct client_reply reply;
    client_ask(server->port, raws[2].bytes, &reply);
    char allow[64];
    client_header(&reply, "Allow", allow, sizeof allow);
    assert_string_equal(allow, "POST, OPTIONS");
    client_reply_free(&reply);
}

static void test_http_keys_in_every_place(void **state)
{
    struct server *server = *state;
    static const struct {
        const char *path;
        const char *headers;
        const char *body;
        int status;
    } samples[] = {
        {"/v1/events", "", EVENT, 401},
        {"/v1/events", "Authorization: Basic !\r\n", EVENT, 401},
        {"/v1/events", "Authorization: Basic d3Jvbmc6\r\n", EVENT, 401},
        {"/v1/events", "Authorization: Bearer wrong\r\n", EVENT, 401},
        {"/v1/events", "Authorization: Digest x\r\n", EVENT, 401},
        {"/v1/events?writeKey=wrong", "", EVENT, 401},
        {"/v1/events", "Authorization: bearer " SERVER_KEY "\r\n", EVENT, 200},
        {"/v1/events", "Authorization: Basic d3JpdGUga2V5IG9mIGVjLXdlYg==\r\n", EVENT, 200},
        {"/v1/events?writeKey=write%20key%20of%20ec-web", "", EVENT, 200},
        {"/v1/t", "",
            "{\"writeKey\":\"" SERVER_KEY
            "\",\"messageId\":\"m\",\"userId\":\"u\",\"event\":\"x\"}",
            200},
        {"/v1/t", "",
            "{\"writeKey\":\"wrong\",\"messageId\":\"m\",\"userId\":\"u\",\"event\":\"x\"}", 401},
        {"/beacon/v1/batch?writeKey=write+key+of+ec-web", "", "{\"batch\":[]}", 200},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct client_reply reply;
        client_post(
            server->port, samples[i].path, samples[i].headers, str_of(samples[i].body), &reply);
        if (reply.status != samples[i].status)
            fail_msg("%zu: %d: %s", i, reply.status, reply.text.data);
        client_reply_free(&reply);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: t.example:81\r\n"
#define PIXEL "/pixel/v1/track?writeKey=write%20key%20of+ec-web&userId=u%261&event=Signed+Up"

static void test_http_routes_that_are_read(void **state)
{
    struct server *server = *state;
    static const struct raw raws[] = {
        {"image", STR_INIT(GET(PIXEL) "\r\n"), 200, false, "\r\n\r\nGIF89a"},
        {"image's address alone", STR_INIT("HEAD " PIXEL " HTTP/1.1\r\nHost: x\r\n\r\n"), 200,
            false, "image/gif"},
        {"image with a body", STR_INIT(GET(PIXEL) "Content-Length: 2\r\n\r\n{}"), 200, false,
            "GIF89a"},
        {"no key", STR_INIT(GET("/pixel/v1/track?userId=u&event=x") "\r\n"), 401, false,
            "{\"success\":false,\"code\":\"unauthorized\""},
        {"no UTF-8", STR_INIT(GET("/pixel/v1/track?event=%ff") "\r\n"), 400, false, "bad_utf8"},
        {"post to an image",
            STR_INIT("POST " PIXEL " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), 405,
            false, "Allow: GET, HEAD, OPTIONS"},
        {"no such image", STR_INIT(GET("/pixel/v1/") "\r\n"), 404, false, "not_found"},
        {"settings", STR_INIT(GET("/v1/projects/write%20key%20of%20ec-web/settings") "\r\n"), 200,
            false, "\"apiHost\":\"t.example:81/v1\""},
        {"configuration", STR_INIT(GET("/sourceConfig?p=npm&v=3") SERVER_BASIC "\r\n"), 200, false,
            "\"destinations\":[]"},
    };
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++)
        assert_raw(server, &raws[i]);
    assert_int_equal(server_events(server), 2); /* HEAD shows nothing */
}

static void test_http_cors(void **state)
{
    struct server *server = *state;
    struct client_reply reply;
    char value[128];
    client_ask(server->port,
        STR("OPTIONS /v1/batch HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\n"
            "Access-Control-Request-Headers: authorization,x-retry-count,sentat\r\n\r\n"),
        &reply);
    assert_int_equal(reply.status, 204);
    client_header(&reply, "Access-Control-Allow-Origin", value, sizeof value);
    assert_string_equal(value, "https://shop.example");
    client_header(&reply, "Access-Control-Allow-Credentials", value, sizeof value);
    assert_string_equal(value, "true");
    client_header(&reply, "Access-Control-Allow-Headers", value, sizeof value);
    assert_string_equal(value, "authorization,x-retry-count,sentat");
    client_header(&reply, "Access-Control-Max-Age", value, sizeof value);
    assert_string_equal(value, "3600");
    client_reply_free(&reply);
    client_post(server->port, "/v1/events", "Origin: null\r\n", STR(EVENT), &reply);
    assert_int_equal(reply.status, 401); /* a browser must be able to read errors too */
    client_header(&reply, "Access-Control-Allow-Origin", value, sizeof value);
    assert_string_equal(value, "null");
    client_header(&reply, "WWW-Authenticate", value, sizeof value);
    assert_true(value[0] != '\0');
    client_reply_free(&reply);
}

/* A body of `size` bytes: an event and blanks. */
static void make_body(struct buf *out, size_t size)
{
    buf_clear(out);
    assert_int_equal(buf_append_str(out, STR(EVENT)), 0);
    while (out->size < size)
        assert_int_equal(buf_append(out, " ", 1), 0);
}

static void test_http_body_at_and_over_the_limit(void **state)
{
    struct server *server = *state;
    CLEANUP(buf_free) struct buf body = {0};
    struct client_reply reply;
    const size_t limit = (size_t)1 << 20;
    make_body(&body, limit);
    client_post(server->port, "/v1/events", SERVER_BASIC, buf_str(&body), &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    make_body(&body, limit + 1);
    client_post(server->port, "/v1/events", SERVER_BASIC, buf_str(&body), &reply);
    assert_int_equal(reply.status, 413);
    assert_non_null(strstr(reply.body, "{\"code\":\"too_large\""));
    client_reply_free(&reply);
    assert_raw(
        server, &(struct raw){"huge, announced", STR(POST "Content-Length: 99999999999\r\n\r\n"),
                    413, true, "too_large"});
    assert_raw(server, &(struct raw){"large, waits for 100",
                           STR(POST "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n"), 413,
                           true, "too_large"});
    assert_int_equal(server_events(server), 1);
}

static void test_http_chunked_body_over_the_limit(void **state)
{
    struct server *server = *state;
    struct client_reply reply;
    static char chunk[65536];
    memset(chunk, ' ', sizeof chunk);
    int fd = client_connect(server->port);
    client_send(fd, STR(POST "Transfer-Encoding: chunked\r\n\r\n"));
    for (size_t i = 0; i < 32; i++) { /* 2 MiB */
        client_send(fd, STR("10000\r\n"));
        client_send(fd, str_make(chunk, sizeof chunk));
        client_send(fd, STR("\r\n"));
    }
    client_send(fd, STR("0\r\n\r\n"));
    client_receive(fd, &reply);
    assert_int_equal(reply.status, 413);
    client_reply_free(&reply);
    assert_int_equal(close(fd), 0);
    assert_int_equal(metrics_get(server->metrics, METRIC_COLLECTOR_RECEIVED_BYTES, 0, 0), 0);
}

static void compress_body(struct str plain, int window, struct buf *out)
{
    z_stream stream = {0};
    buf_clear(out);
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(buf_reserve(out, deflateBound(&stream, plain.size) + 64), 0);
    stream.next_in = (Bytef *)(uintptr_t)plain.data;
    stream.avail_in = (uInt)plain.size;
    stream.next_out = (Bytef *)out->data;
    stream.avail_out = (uInt)out->capacity;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->size = stream.total_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
}

static void assert_compressed(
    struct server *server, const char *encoding, struct str body, int status, const char *code)
{
    char headers[256];
    struct client_reply reply;
    (void)snprintf(headers, sizeof headers, SERVER_BASIC "Content-Encoding: %s\r\n", encoding);
    client_post(server->port, "/v1/events", headers, body, &reply);
    if (reply.status != status || !strstr(reply.text.data, code))
        fail_msg("%s: %d: %s", encoding, reply.status, reply.text.data);
    client_reply_free(&reply);
}

static void test_http_compressed_bodies(void **state)
{
    struct server *server = *state;
    CLEANUP(buf_free) struct buf packed = {0};
    CLEANUP(buf_free) struct buf large = {0};
    compress_body(STR(EVENT), 15 + 16, &packed);
    assert_compressed(server, "gzip", buf_str(&packed), 200, ACCEPTED);
    assert_compressed(server, "GZIP", buf_str(&packed), 200, ACCEPTED);
    for (size_t cut = 1; cut < packed.size; cut++)
        assert_compressed(
            server, "gzip", str_make(packed.data, packed.size - cut), 400, "\"bad_gzip\"");
    packed.data[packed.size - 5] ^= 1; /* its CRC */
    assert_compressed(server, "gzip", buf_str(&packed), 400, "\"bad_gzip\"");
    compress_body(STR(EVENT), 15, &packed);
    assert_compressed(server, "deflate", buf_str(&packed), 200, ACCEPTED);
    compress_body(STR(EVENT), -15, &packed);
    assert_compressed(server, "deflate", buf_str(&packed), 200, ACCEPTED);
    assert_compressed(server, "gzip", STR(EVENT), 400, "\"bad_gzip\"");
    make_body(&large, (size_t)5 << 20);
    compress_body(buf_str(&large), 15 + 16, &packed);
    assert_compressed(server, "gzip", buf_str(&packed), 413, "\"too_large\"");
}

static void test_http_slow_request_is_408(void **state)
{
    struct server server;
    (void)state;
    server_start(&server, "request_timeout = 200 ms\n");
    static const struct str begun[] = {STR_INIT(""), STR_INIT("POST /v1/ev"),
        STR_INIT("POST /v1/events HTTP/1.1\r\nHost: x\r\n"),
        STR_INIT(POST "Content-Length: 53\r\n\r\n{\"id\""),
        STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n35\r\n{")};
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
        struct client_reply reply;
        client_ask(server.port, begun[i], &reply);
        assert_int_equal(reply.status, 408);
        assert_true(reply.closed);
        client_reply_free(&reply);
    }
    assert_int_equal(server_events(&server), 0);
    server_stop(&server);
}

static void test_http_silent_kept_connection_is_closed_without_a_word(void **state)
{
    struct server server;
    (void)state;
    server_start(&server, "idle_timeout = 1 s\n");
    int fd = client_connect(server.port);
    struct client_reply reply;
    client_send(fd, STR("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    client_receive(fd, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_free(&reply);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    assert_int_equal(close(fd), 0);
    server_stop(&server);
}

#define SLOW_CLIENTS 300
static void test_http_many_slow_clients_do_not_stop_a_healthy_one(void **state)
{
    struct server *server = *state;
    int slow[SLOW_CLIENTS];
    for (size_t i = 0; i < SLOW_CLIENTS; i++) {
        slow[i] = client_connect(server->port);
        client_send(slow[i], STR(POST "Content-Length: 53\r\nX: "));
    }
    for (size_t i = 0; i < 50; i++)
        assert_raw(server, &(struct raw){"healthy", STR(POST "Content-Length: 53\r\n\r\n" EVENT),
                               200, false, ACCEPTED});
    for (size_t i = 0; i < SLOW_CLIENTS; i++)
        assert_int_equal(close(slow[i]), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_http_ambiguous_head_is_400_and_closed),
        CASE(test_http_bare_lf_that_the_library_hides_smuggles_nothing),
        CASE(test_http_long_line_and_headers),
        CASE(test_http_good_requests),
        CASE(test_http_pipelined_requests_are_answered_in_order),
        CASE(test_http_paths_methods_and_media_types),
        CASE(test_http_keys_in_every_place),
        CASE(test_http_routes_that_are_read),
        CASE(test_http_cors),
        CASE(test_http_body_at_and_over_the_limit),
        CASE(test_http_chunked_body_over_the_limit),
        CASE(test_http_compressed_bodies),
        cmocka_unit_test(test_http_slow_request_is_408),
        cmocka_unit_test(test_http_silent_kept_connection_is_closed_without_a_word),
        CASE(test_http_many_slow_clients_do_not_stop_a_healthy_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
