/* See the header. One thread of libmicrohttpd; few connections, short lives. */
#include "ingest/metrics/metrics_server.h"

#include <errno.h>
#include <stdlib.h>

#include <microhttpd.h>

#include "ingest/config/listen.h"
#include "schemas/error.h"

#define CONNECTIONS_MAX 32
#define TIMEOUT_S 10
#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct metrics_server {
    struct MHD_Daemon *daemon;
    struct metrics *metrics;
    const char *(*ready)(void *context);
    void *context;
    int port;
};

static enum MHD_Result reply(
    struct MHD_Connection *connection, unsigned status, const char *type, struct str body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result reply_metrics(
    struct metrics_server *server, struct MHD_Connection *connection)
{
    CLEANUP(buf_free) struct buf text = {0};
    metrics_set_process(server->metrics);
    if (metrics_write(server->metrics, &text) < 0)
        return reply(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, TEXT_PLAIN, STR("no memory\n"));
    return reply(connection, MHD_HTTP_OK, TEXT_METRICS, buf_str(&text));
}

static enum MHD_Result reply_ready(struct metrics_server *server, struct MHD_Connection *connection)
{
    const char *why = server->ready ? server->ready(server->context) : NULL;
    return reply(connection, why ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, TEXT_PLAIN,
        str_of(why ? why : "ok\n"));
}

static enum MHD_Result on_call(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **state)
{
    struct metrics_server *server = context;
    (void)version;
    (void)data;
    if (!*state) { /* the head alone: the body, if any, is passed over */
        *state = server;
        return MHD_YES;
    }
    if (*size) {
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_PLAIN, STR("GET /metrics\n"));
    if (strcmp(url, "/metrics") == 0)
        return reply_metrics(server, connection);
    if (strcmp(url, "/readyz") == 0)
        return reply_ready(server, connection);
    if (strcmp(url, "/healthz") == 0)
        return reply(connection, MHD_HTTP_OK, TEXT_PLAIN, STR("ok\n"));
    return reply(connection, MHD_HTTP_NOT_FOUND, TEXT_PLAIN,
        STR("/metrics, /healthz and /readyz are here\n"));
}

int metrics_server_start(const char *listen, struct metrics *metrics,
    const char *(*ready)(void *context), void *context, struct metrics_server **out)
{
    struct sockaddr_storage address;
    int r = listen_parse(listen, &address);
    if (r < 0)
        return r;
    struct metrics_server *server = calloc(1, sizeof *server);
    if (!server)
        return ERR_NO_MEMORY;
    *server = (struct metrics_server){.metrics = metrics, .ready = ready, .context = context};
    unsigned flags = MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD;
    if (address.ss_family == AF_INET6)
        flags |= MHD_USE_DUAL_STACK;
    errno = 0;
    server->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_call, server, MHD_OPTION_SOCK_ADDR,
        &address, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        TIMEOUT_S, MHD_OPTION_END);
    if (!server->daemon) {
        free(server);
        return ERR_IO;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->port = info ? info->port : 0;
    *out = server;
    return 0;
}

int metrics_server_port(const struct metrics_server *server)
{
    return server->port;
}

void metrics_server_stop(struct metrics_server **server)
{
    if (!*server)
        return;
    MHD_stop_daemon((*server)->daemon);
    free(*server);
    *server = NULL;
}
