#include "tests/e2e/collector/client.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 20

int client_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    return fd;
}

void client_send(int socket, struct str bytes)
{
    while (bytes.size) {
        ssize_t sent = send(socket, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes = str_make(bytes.data + sent, bytes.size - (size_t)sent);
    }
}

void client_header(const struct client_reply *reply, const char *name, char *out, size_t size)
{
    char needle[128];
    (void)snprintf(needle, sizeof needle, "\r\n%s: ", name);
    out[0] = '\0';
    const char *at = reply->text.data ? strcasestr(reply->text.data, needle) : NULL;
    if (!at || (reply->body && at > reply->body))
        return;
    at += strlen(needle);
    (void)snprintf(out, size, "%.*s", (int)strcspn(at, "\r"), at);
}

/* True when the reply is whole; an interim one (100) is cut away. */
static bool is_whole(struct client_reply *reply)
{
    char *head_end = strstr(reply->text.data, "\r\n\r\n");
    if (!head_end)
        return false;
    if (strncmp(reply->text.data, "HTTP/1.1 100", 12) == 0) {
        size_t cut = (size_t)(head_end + 4 - reply->text.data);
        memmove(reply->text.data, reply->text.data + cut, reply->text.size - cut);
        reply->text.size -= cut;
        return reply->text.size > 1 && is_whole(reply);
    }
    char length[32];
    reply->body = head_end + 4;
    client_header(reply, "Content-Length", length, sizeof length);
    size_t held = reply->text.size - 1 - (size_t)(reply->body - reply->text.data);
    return held >= (size_t)strtoul(length, NULL, 10);
}

void client_receive(int socket, struct client_reply *reply)
{
    *reply = (struct client_reply){0};
    assert_int_equal(buf_append(&reply->text, "", 1), 0);
    for (;;) {
        char chunk[4096];
        ssize_t size = recv(socket, chunk, sizeof chunk, 0);
        if (size <= 0) {
            reply->closed = true;
            break;
        }
        reply->text.size--;
        assert_int_equal(buf_append(&reply->text, chunk, (size_t)size), 0);
        assert_int_equal(buf_append(&reply->text, "", 1), 0);
        if (is_whole(reply))
            break;
    }
    if (strncmp(reply->text.data, "HTTP/1.1 ", 9) == 0)
        reply->status = atoi(reply->text.data + 9);
    char connection[32];
    client_header(reply, "Connection", connection, sizeof connection);
    if (strcasecmp(connection, "close") == 0)
        reply->closed = recv(socket, (char[1]){0}, 1, 0) <= 0;
}

void client_ask(int port, struct str bytes, struct client_reply *reply)
{
    int fd = client_connect(port);
    client_send(fd, bytes);
    client_receive(fd, reply);
    assert_int_equal(close(fd), 0);
}

void client_post(
    int port, const char *path, const char *headers, struct str body, struct client_reply *reply)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(
        buf_appendf(&bytes, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n",
            path, body.size, headers),
        0);
    assert_int_equal(buf_append_str(&bytes, body), 0);
    client_ask(port, buf_str(&bytes), reply);
}

void client_reply_free(struct client_reply *reply)
{
    buf_free(&reply->text);
    *reply = (struct client_reply){0};
}
