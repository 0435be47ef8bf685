/* A thread a connection; what they share lies under one lock. */
#include "tests/unit/ingest/producer_server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "schemas/bytes.h"

#define IDS_MAX ((size_t)1 << 18)
#define CONNECTIONS_MAX 256
#define HEAD_SIZE_MAX 4096
#define BODY_SIZE_MAX ((size_t)8 << 20)
#define GZIP_WINDOW (15 + 16)
#define ID_SIZE_MAX 101

struct producer_server {
    int listener;
    char url[64];
    const struct producer_server_step *steps;
    size_t steps_count;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *key;
    bool stopping;
    int sockets[CONNECTIONS_MAX];
    pthread_t threads[CONNECTIONS_MAX];
    size_t connections;
    size_t requests, ids_count, again, batch_max;
    char (*ids)[ID_SIZE_MAX];
    char *body;
    char head[HEAD_SIZE_MAX];
};

struct connection {
    struct producer_server *server;
    int socket;
};

struct request {
    char head[HEAD_SIZE_MAX];
    char *body; /* NUL-terminated lines */
};

static bool read_all(int socket, char *to, size_t size)
{
    while (size) {
        ssize_t got = recv(socket, to, size, 0);
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool read_head(int socket, char head[HEAD_SIZE_MAX])
{
    size_t size = 0;
    while (size + 1 < HEAD_SIZE_MAX) {
        if (!read_all(socket, head + size, 1))
            return false;
        head[++size] = '\0';
        if (size >= 4 && strcmp(head + size - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static char *inflate_body(const char *bytes, size_t size)
{
    char *out = malloc(BODY_SIZE_MAX);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
    if (!out || inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        abort();
    z.next_out = (Bytef *)out;
    z.avail_out = BODY_SIZE_MAX - 1;
    if (inflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    out[BODY_SIZE_MAX - 1 - z.avail_out] = '\0';
    (void)inflateEnd(&z);
    return out;
}

static bool read_request(int socket, struct request *request)
{
    request->body = NULL;
    if (!read_head(socket, request->head))
        return false;
    const char *length = strcasestr(request->head, "content-length:");
    size_t size = length ? strtoul(length + 15, NULL, 10) : 0;
    char *bytes = calloc(1, size + 1);
    if (!bytes || !read_all(socket, bytes, size)) {
        free(bytes);
        return false;
    }
    if (strcasestr(request->head, "content-encoding: gzip")) {
        request->body = inflate_body(bytes, size);
        free(bytes);
    } else {
        request->body = bytes;
    }
    return true;
}

static size_t place_of(struct producer_server *server, const char *id)
{
    size_t hash = 5381;
    for (const char *c = id; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    size_t at = hash % IDS_MAX;
    while (server->ids[at][0] && strcmp(server->ids[at], id) != 0)
        at = (at + 1) % IDS_MAX;
    return at;
}

/* Counts and remembers the ids of all lines but that of index `but`. */
static void take_ids(struct producer_server *server, char *body, size_t but, size_t counts[2])
{
    size_t index = 0;
    for (char *line = body; *line; index++) {
        char *end = strchr(line, '\n');
        char *id = strstr(line, "\"id\":\"");
        if (!end || !id || id > end)
            abort();
        char text[ID_SIZE_MAX] = "";
        id += 6;
        (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(id, "\""), id);
        line = end + 1;
        if (index == but)
            continue;
        size_t at = place_of(server, text);
        bool seen = server->ids[at][0] != '\0';
        memcpy(server->ids[at], text, sizeof text);
        counts[seen]++;
    }
    server->ids_count += counts[0];
    server->again += counts[1];
    if (index > server->batch_max)
        server->batch_max = index;
}

static bool send_text(int socket, const char *text, size_t size)
{
    return send(socket, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool answer(int socket, int status, const char *header, const char *body, size_t cut)
{
    char text[2048];
    int size = snprintf(text, sizeof text,
        "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
        status, strlen(body), header, body);
    return send_text(socket, text, (size_t)size - cut) && cut == 0;
}

/* What to do with this request. */
static struct producer_server_step note(
    struct producer_server *server, const struct request *request)
{
    struct producer_server_step step = {.act = SERVER_TAKE};
    char want[256];
    if (server->requests < server->steps_count)
        step = server->steps[server->requests];
    if (server->requests++ == 0) {
        memcpy(server->head, request->head, sizeof server->head);
        server->body = strdup(request->body);
    }
    (void)snprintf(
        want, sizeof want, "\r\nAuthorization: Bearer %s\r\n", server->key ? server->key : "");
    if (server->key && !strstr(request->head, want))
        step = (struct producer_server_step){.act = SERVER_STATUS, .status = 401};
    return step;
}

/* 200 that cannot be meant for this request. */
static bool reply_amiss(int socket, enum producer_server_act act, const char *lines)
{
    char body[256];
    size_t count = 0;
    for (const char *at = lines; *at; at++)
        count += *at == '\n';
    (void)snprintf(body, sizeof body, "{\"accepted\":%zu,\"duplicates\":0,\"rejected\":[%s]}",
        count - 1,
        act == SERVER_BEYOND ? "{\"index\":5000,\"code\":\"id_conflict\",\"pointer\":\"/id\","
                               "\"hint\":\"\"}"
                             : "");
    return answer(socket, 200, "", body, 0);
}

static bool reply(int socket, const struct producer_server_step *step, const size_t counts[2])
{
    char body[512];
    char header[64] = "";
    int size = snprintf(body, sizeof body,
        "{\"accepted\":%zu,\"duplicates\":%zu,\"rejected\":[%s]}", counts[0], counts[1],
        step->act == SERVER_REJECT ? "{\"index\":1,\"code\":\"id_conflict\",\"pointer\":\"/id\","
                                     "\"hint\":\"other facts\"}"
                                   : "");
    switch (step->act) {
    case SERVER_STATUS:
        if (step->seconds)
            (void)snprintf(header, sizeof header, "Retry-After: %d\r\n", step->seconds);
        return answer(socket, step->status, header,
            "{\"code\":\"scripted\",\"message\":\"as the script says\"}", 0);
    case SERVER_GARBAGE:
        return answer(
            socket, step->status ? step->status : 200, "", "<html>Welcome to our Wi-Fi</html>", 0);
    case SERVER_DROP:
        return false;
    case SERVER_HALF:
        return answer(socket, 200, "", body, (size_t)size / 2);
    case SERVER_SLOW:
        (void)usleep((useconds_t)step->ms * 1000);
        return answer(socket, 200, "", body, 0);
    default:
        return answer(socket, 200, "", body, 0);
    }
}

static void *serve(void *context)
{
    struct connection *connection = context;
    struct producer_server *server = connection->server;
    int socket = connection->socket;
    struct request request;
    bool open = true;
    free(connection);
    while (open && read_request(socket, &request)) {
        size_t counts[2] = {0, 0};
        (void)pthread_mutex_lock(&server->lock);
        struct producer_server_step step = note(server, &request);
        bool amiss = step.act == SERVER_FEW || step.act == SERVER_BEYOND;
        if (step.act != SERVER_STATUS && step.act != SERVER_GARBAGE && !amiss)
            take_ids(server, request.body, step.act == SERVER_REJECT ? 1 : SIZE_MAX, counts);
        (void)pthread_mutex_unlock(&server->lock);
        open = amiss ? reply_amiss(socket, step.act, request.body) : reply(socket, &step, counts);
        free(request.body);
    }
    (void)shutdown(socket, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *context)
{
    struct producer_server *server = context;
    int socket;
    while ((socket = accept(server->listener, NULL, NULL)) >= 0) {
        (void)pthread_mutex_lock(&server->lock);
        bool stopping = server->stopping || server->connections == CONNECTIONS_MAX;
        size_t at = server->connections;
        struct connection *connection = stopping ? NULL : malloc(sizeof *connection);
        if (connection) {
            *connection = (struct connection){.server = server, .socket = socket};
            server->sockets[at] = socket;
            server->connections++;
            if (pthread_create(&server->threads[at], NULL, serve, connection) != 0)
                abort();
        } else {
            (void)close(socket);
        }
        (void)pthread_mutex_unlock(&server->lock);
    }
    return NULL;
}

struct producer_server *producer_server_start(
    const struct producer_server_step *steps, size_t steps_count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    struct producer_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->ids = calloc(IDS_MAX, sizeof *server->ids);
    server->steps = steps;
    server->steps_count = steps_count;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)pthread_mutex_init(&server->lock, NULL);
    if (!server->ids || bind(server->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(server->listener, 64) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&server->thread, NULL, accept_all, server) != 0)
        abort();
    (void)snprintf(
        server->url, sizeof server->url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return server;
}

void producer_server_stop(struct producer_server **server)
{
    struct producer_server *stopped = *server;
    if (!stopped)
        return;
    (void)pthread_mutex_lock(&stopped->lock);
    stopped->stopping = true;
    for (size_t i = 0; i < stopped->connections; i++)
        (void)shutdown(stopped->sockets[i], SHUT_RDWR);
    (void)pthread_mutex_unlock(&stopped->lock);
    (void)shutdown(stopped->listener, SHUT_RDWR);
    (void)pthread_join(stopped->thread, NULL);
    for (size_t i = 0; i < stopped->connections; i++) {
        (void)pthread_join(stopped->threads[i], NULL);
        (void)close(stopped->sockets[i]);
    }
    (void)close(stopped->listener);
    (void)pthread_mutex_destroy(&stopped->lock);
    free(stopped->ids);
    free(stopped->body);
    free(stopped);
    *server = NULL;
}

const char *producer_server_url(const struct producer_server *server)
{
    return server->url;
}

void producer_server_want_key(struct producer_server *server, const char *key)
{
    (void)pthread_mutex_lock(&server->lock);
    server->key = key;
    (void)pthread_mutex_unlock(&server->lock);
}

static size_t get(struct producer_server *server, const size_t *number)
{
    (void)pthread_mutex_lock(&server->lock);
    size_t value = *number;
    (void)pthread_mutex_unlock(&server->lock);
    return value;
}

size_t producer_server_requests(struct producer_server *server)
{
    return get(server, &server->requests);
}

size_t producer_server_connections(struct producer_server *server)
{
    return get(server, &server->connections);
}

size_t producer_server_ids(struct producer_server *server)
{
    return get(server, &server->ids_count);
}

size_t producer_server_again(struct producer_server *server)
{
    return get(server, &server->again);
}

bool producer_server_has(struct producer_server *server, const char *id)
{
    (void)pthread_mutex_lock(&server->lock);
    bool has = server->ids[place_of(server, id)][0] != '\0';
    (void)pthread_mutex_unlock(&server->lock);
    return has;
}

const char *producer_server_body(struct producer_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    const char *body = server->body;
    (void)pthread_mutex_unlock(&server->lock);
    return body;
}

const char *producer_server_head(struct producer_server *server)
{
    return server->head;
}

size_t producer_server_batch_max(struct producer_server *server)
{
    return get(server, &server->batch_max);
}
