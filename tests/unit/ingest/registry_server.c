/* A thread a connection, so that a silent reply holds up no other. */
#include "tests/unit/ingest/registry_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text ? text : "");
}

/* What this API leaves of the path after its own unescaping is not what was sent. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct registry_server *server = context;
    struct registry_server_request *request = calloc(1, sizeof *request);
    check(request != NULL && server != NULL);
    copy(request->path, sizeof request->path, uri);
    return request;
}

static struct MHD_Response *make_response(const struct registry_reply *reply)
{
    size_t size = strlen(reply->body);
    char *body = malloc(size + reply->padding + 1);
    check(body != NULL);
    memcpy(body, reply->body, size);
    memset(body + size, ' ', reply->padding);
    return MHD_create_response_from_buffer(size + reply->padding, body, MHD_RESPMEM_MUST_FREE);
}

/* Keeps the request, takes the next reply of the script. */
static const struct registry_reply *take_reply(
    struct registry_server *server, const struct registry_server_request *request)
{
    pthread_mutex_lock(&server->mutex);
    if (server->requests_count < REGISTRY_SERVER_REQUESTS_MAX)
        server->requests[server->requests_count] = *request;
    server->requests_count++;
    const struct registry_reply *reply = &server->replies[server->at];
    if (reply->times && ++server->given >= reply->times && server->at + 1 < server->replies_count) {
        server->at++;
        server->given = 0;
    }
    pthread_cond_broadcast(&server->changed);
    while (reply->silent && !server->released)
        pthread_cond_wait(&server->changed, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
    return reply;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **own)
{
    struct registry_server *server = context;
    struct registry_server_request *request = *own;
    if (!request->method[0]) {
        copy(request->method, sizeof request->method, method);
        copy(request->type, sizeof request->type, header(connection, "Content-Type"));
        copy(request->authorization, sizeof request->authorization,
            header(connection, "Authorization"));
        return MHD_YES;
    }
    if (*size) {
        size_t have = strlen(request->body);
        size_t room = sizeof request->body - 1 - have;
        memcpy(request->body + have, data, *size < room ? *size : room);
        *size = 0;
        return MHD_YES;
    }
    const struct registry_reply *reply = take_reply(server, request);
    struct MHD_Response *response = make_response(reply);
    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result r = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return r;
}

static void on_end(void *context, struct MHD_Connection *connection, void **own,
    enum MHD_RequestTerminationCode code)
{
    free(*own);
    *own = NULL;
}

void registry_server_start(
    struct registry_server *server, const struct registry_reply *replies, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *server = (struct registry_server){.replies = replies, .replies_count = count};
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request,
        server, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_URI_LOG_CALLBACK,
        on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_end, server, MHD_OPTION_END);
    check(server->daemon != NULL);
    const union MHD_DaemonInfo *port =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    (void)snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u/api/", port->port);
    server->url_text = str_of(server->url);
}

void registry_server_release(struct registry_server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->released = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

void registry_server_script(
    struct registry_server *server, const struct registry_reply *replies, size_t count)
{
    pthread_mutex_lock(&server->mutex);
    server->replies = replies;
    server->replies_count = count;
    server->at = 0;
    server->given = 0;
    pthread_mutex_unlock(&server->mutex);
}

size_t registry_server_asked(struct registry_server *server)
{
    pthread_mutex_lock(&server->mutex);
    size_t count = server->requests_count;
    pthread_mutex_unlock(&server->mutex);
    return count;
}

void registry_server_stop(struct registry_server *server)
{
    registry_server_release(server);
    MHD_stop_daemon(server->daemon);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
}

struct registry_config registry_server_config(const struct registry_server *server)
{
    return (struct registry_config){
        .urls = &server->url_text, .urls_count = 1, .timeout_ms = 5000, .attempts = 1};
}
