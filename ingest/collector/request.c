/*
 * The life of one request:
 *
 *     on_uri ─▶ NEW ─head─▶ BODY ─whole─▶ judged ─▶ WAITING (suspended) ─writer─▶ APPENDED ─▶ reply
 *                 │            │               └─ nothing to append ────────────────────────▶ reply
 *                 └─ refused ──┴─ what still comes of the body is read and dropped ─────────▶ reply
 *
 * A request is touched by MHD's thread of its connection alone, but for WAITING, when it is the
 * writer's.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "ingest/collector/collector_private.h"
#include "ingest/collector/http_check.h"
#include "ingest/stream/fault.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define DISCARD_SIZE_MAX                                                                           \
    ((size_t)8 << 20) /* of a refused body that is read on, so that the client                     \
                         hears the answer instead of a reset */
#define USER_AGENT_SIZE_MAX 1024
#define ORIGIN_SIZE_MAX 512
#define TRACEPARENT_SIZE_MAX 64
#define FORWARDED_SIZE_MAX 1024
#define HEADER_SIZE_MAX 2048
#define OTHER_HEADER_SIZE_MAX 16384 /* that a protocol asks for: a site's cookies add up */
#define GZIP_BEGIN "\x1f\x8b"       /* which no text begins with. Source: RFC 1952, 2.3.1 */
#define MESSAGE_WATCHER                                                                            \
    "only a source with operator = yes may watch events: tabiji source add viewer --sources FILE " \
    "operator=yes prints its key for tabiji tail --key-file, and a collector that runs with "      \
    "--sources FILE takes it over by SIGHUP"
#define CORS_AGE "3600"
#define CORS_METHODS "GET, POST, OPTIONS"
#define ARENA_REQUEST_SIZE_MAX ((size_t)256 << 20)
#define STATUS_NONE 0
#define PLANLESS_REST_MICROS 1000000

enum request_stage {
    STAGE_NEW,
    STAGE_BODY,
    STAGE_WAITING,
    STAGE_APPENDED,
};

struct request {
    struct writer_job job; /* first: the writer hands it back */
    struct collector *collector;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL: none */
    enum request_stage stage;
    bool options;      /* a CORS preflight */
    bool close;        /* end the connection with the reply */
    const char *fault; /* of the URI or the head */
    char *target;      /* path and query as sent */
    struct buf body;   /* as sent */
    struct buf inflated;
    size_t dropped_bytes;
    size_t accounted_bytes;
    int64_t begun_micros; /* when the body was whole; monotonic */
    int append_result;
    struct arena arena;
    struct exchange exchange;   /* status STATUS_NONE: not yet answered */
    struct notes notes;         /* for the live view */
    bool watches;               /* the live view: no end waits for it */
    struct tail_viewer *viewer; /* who is to see it; the response takes it */
    char key[HTTP_KEY_SIZE_MAX];
    char address[INET6_ADDRSTRLEN];
};

static int64_t clock_micros(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct watch_connection *watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* ---- memory ---- */

/* Counts bytes in; false when the collector holds too many. */
static bool account(struct request *request, size_t bytes)
{
    struct collector *collector = request->collector;
    int64_t held = atomic_fetch_add(&collector->buffered_bytes, (int64_t)bytes) + (int64_t)bytes;
    request->accounted_bytes += bytes;
    return held <= (int64_t)collector->config.buffered_bytes_max;
}

/* Gives back what a request holds but its reply. */
static void release(struct request *request)
{
    buf_free(&request->body);
    buf_free(&request->inflated);
    spares_give_arena(&request->collector->spares, &request->arena);
    (void)atomic_fetch_sub(&request->collector->buffered_bytes, (int64_t)request->accounted_bytes);
    request->accounted_bytes = 0;
}

void *request_on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct collector *collector = context;
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->collector = collector;
    request->connection = connection;
    request->fault = http_check_uri(uri);
    request->target = strdup(uri); /* MHD unescapes it in place */
    if (!request->target) {
        free(request);
        return NULL;
    }
    (void)atomic_fetch_add(&collector->requests, 1);
    watch_reading(collector->watch, watched(connection));
    return request;
}

void request_on_end(void *context, struct MHD_Connection *connection, void **state,
    enum MHD_RequestTerminationCode why)
{
    struct collector *collector = context;
    struct request *request = *state;
    (void)why;
    if (!request)
        return;
    *state = NULL;
    watch_idle(collector->watch, watched(connection));
    if (!request->watches)
        (void)atomic_fetch_sub(&collector->requests, 1);
    release(request);
    tail_close(&request->viewer);
    sources_free(&request->exchange.sources);
    buf_free(&request->exchange.reply);
    free(request->target);
    free(request);
}

/* ---- replies ---- */

static enum reply_form form_of(const struct request *request)
{
    return request->route ? request->route->form : REPLY_NATIVE;
}

/* Decides the answer while the body may still come. */
static void refuse(struct request *request, int status, const char *code, const char *message)
{
    /* Out of memory: the status, which is set all the same, must do. */
    if (exchange_refuse(&request->exchange, status, code, message, form_of(request)) < 0)
        request->close = true;
    request->exchange.body = STR("");
    buf_free(&request->body);
}

static void refuse_error(struct request *request, int error, const char *hint)
{
    if (exchange_fail(&request->exchange, error, str_of(hint), form_of(request)) < 0)
        request->close = true;
    request->exchange.body = STR("");
    buf_free(&request->body);
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Clients send credentials: the origin is echoed, never '*'. Source: PROTOCOLS, "CORS". */
static bool add_cors(const struct request *request, struct MHD_Response *response)
{
    struct MHD_Connection *connection = request->connection;
    struct str origin = http_header(connection, MHD_HTTP_HEADER_ORIGIN, ORIGIN_SIZE_MAX);
    if (origin.size == 0)
        return true;
    bool added = add_header(response, "Access-Control-Allow-Origin", origin.data) &&
                 add_header(response, "Access-Control-Allow-Credentials", "true") &&
                 add_header(response, "Vary", "Origin");
    if (!added || !request->options)
        return added && add_header(response, "Access-Control-Expose-Headers", "Retry-After");
    struct str headers = http_header(connection, "Access-Control-Request-Headers", HEADER_SIZE_MAX);
    return add_header(response, "Access-Control-Allow-Methods", CORS_METHODS) &&
           (headers.size == 0 ||
               add_header(response, "Access-Control-Allow-Headers", headers.data)) &&
           add_header(response, "Access-Control-Max-Age", CORS_AGE);
}

static const char *allowed_methods(const struct route *route)
{
    static const char *const lists[] = {
        [ROUTE_GET] = "GET, HEAD, OPTIONS",
        [ROUTE_POST] = "POST, OPTIONS",
        [ROUTE_GET | ROUTE_POST] = "GET, HEAD, POST, OPTIONS",
    };
    return lists[route->methods];
}

static bool add_headers(const struct request *request, struct MHD_Response *response)
{
    const struct exchange *exchange = &request->exchange;
    bool added = add_header(response, "Cache-Control", "no-store") && add_cors(request, response);
    if (added && exchange->status != 204)
        added = add_header(response, "Content-Type",
            exchange->media_type ? exchange->media_type : "application/json");
    for (size_t i = 0; added && i < exchange->headers_count; i++)
        added =
            add_header(response, exchange->headers[i].name.data, exchange->headers[i].value.data);
    if (added && exchange->retry_after_seconds) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%d", exchange->retry_after_seconds);
        added = add_header(response, "Retry-After", seconds);
    }
    if (added && exchange->status == 405)
        added = add_header(response, "Allow", allowed_methods(request->route));
    if (added && exchange->status == 401)
        added = add_header(response, "WWW-Authenticate", "Basic realm=\"tabiji\"");
    if (added && (request->close || atomic_load(&request->collector->stopping)))
        added = add_header(response, "Connection", "close");
    return added;
}

/* A webhook's sender is not believed. */
static void count_refusal(const struct request *request)
{
    const struct collector_config *config = &request->collector->config;
    const struct exchange *exchange = &request->exchange;
    int refusal = exchange->refusal - 1;
    metrics_add(
        config->metrics, METRIC_COLLECTOR_HOOKS_REFUSED, exchange->source->metric, refusal, 1);
    log_write(config->log, LOG_LEVEL_WARNING, "hook_refused",
        LOG_STR("source", exchange->source->config.name), LOG_STR("hook", exchange->rest),
        LOG_TEXT("reason", metrics_refusal_name((enum metric_refusal)refusal)));
}

/* Of accepted events that the tracking plan forbids the log has at most a line a second; which
 * members they have is personal, perhaps, so it is in the replies alone. */
static void tell_planless(const struct request *request)
{
    struct collector *collector = request->collector;
    int64_t now = clock_micros(CLOCK_MONOTONIC);
    int64_t told = atomic_load(&collector->planless_told);
    if (now - told >= PLANLESS_REST_MICROS &&
        atomic_compare_exchange_strong(&collector->planless_told, &told, now))
        log_write(collector->config.log, LOG_LEVEL_WARNING, "plan_warning",
            LOG_STR("source", request->exchange.source->config.name),
            LOG_INT("events", request->exchange.intake.planless),
            LOG_TEXT("hint", "tabiji_collector_plan_warnings_total counts all of them"));
}

static void count(const struct request *request)
{
    struct metrics *metrics = request->collector->config.metrics;
    const struct exchange *exchange = &request->exchange;
    const struct intake *intake = &exchange->intake;
    int protocol = request->route ? (int)request->route->protocol : METRIC_PROTOCOL_OTHER;
    metrics_add(metrics, METRIC_COLLECTOR_REQUESTS, protocol, metrics_status(exchange->status), 1);
    if (request->begun_micros)
        metrics_observe(metrics, METRIC_COLLECTOR_REQUEST_SECONDS,
            clock_micros(CLOCK_MONOTONIC) - request->begun_micros);
    if (exchange->refusal)
        count_refusal(request);
    if (exchange->status >= 500 || !exchange->source || intake->dry_run)
        return;
    int source = exchange->source->metric;
    if (exchange->limited)
        metrics_add(metrics, METRIC_COLLECTOR_RATE_LIMITED, source, 0, (int64_t)exchange->limited);
    if (intake->ignored)
        metrics_add(metrics, METRIC_COLLECTOR_HOOKS_IGNORED, source, 0, (int64_t)intake->ignored);
    const size_t results[METRIC_RESULT_COUNT] = {[RESULT_ACCEPTED] = intake->accepted,
        [RESULT_DUPLICATE] = intake->duplicates,
        [RESULT_REJECTED] = intake->rejected.count,
        [RESULT_NO_CONSENT] = intake->no_consent};
    for (int i = 0; i < METRIC_RESULT_COUNT; i++)
        if (results[i])
            metrics_add(metrics, METRIC_COLLECTOR_EVENTS, source, i, (int64_t)results[i]);
    for (size_t i = 0; i < intake->rejected.count; i++)
        metrics_add(metrics, METRIC_COLLECTOR_REJECTED,
            metrics_reason(intake->rejected.list[i].problem.error), 0, 1);
    if (intake->planless) {
        metrics_add(metrics, METRIC_COLLECTOR_PLAN_WARNINGS, source, 0, (int64_t)intake->planless);
        tell_planless(request);
    }
    if (intake->warnings.count > intake->planless)
        metrics_add(metrics, METRIC_COLLECTOR_IDENTIFIERS_DROPPED, source, 0,
            (int64_t)(intake->warnings.count - intake->planless));
}

/* Shows it to who watches. */
static void show(struct request *request)
{
    const struct route *route = request->route;
    struct tail *tail = request->collector->tail;
    if (!tail_watched(tail) || !route || route->page != PAGE_NONE || request->options)
        return;
    tail_page_show(request->collector, &request->exchange, route->protocol);
}

static struct MHD_Response *make_response(struct request *request)
{
    struct exchange *exchange = &request->exchange;
    struct MHD_Response *response;
    if (request->viewer) {
        response = tail_page_response(request->viewer);
        if (response)
            request->viewer = NULL;
        return response;
    }
    response = exchange->reply.size
                   ? MHD_create_response_from_buffer(
                         exchange->reply.size, exchange->reply.data, MHD_RESPMEM_MUST_FREE)
                   : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response && exchange->reply.size)
        exchange->reply = (struct buf){0}; /* the response's now */
    return response;
}

static enum MHD_Result reply(struct request *request)
{
    struct exchange *exchange = &request->exchange;
    count(request);
    show(request);
    struct MHD_Response *response = make_response(request);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    bool complete = add_headers(request, response);
    release(request); /* whoever has the reply may rely on it */
    if (complete)
        result = MHD_queue_response(request->connection, (unsigned)exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- head ---- */

/* The address of the client: of the socket, or what the nearest proxy has written last. */
static struct str client_address(struct request *request)
{
    if (request->collector->config.forwarded_for) {
        struct str list = http_header(request->connection, "X-Forwarded-For", FORWARDED_SIZE_MAX);
        size_t begin = list.size;
        while (begin > 0 && list.data[begin - 1] != ',' && list.data[begin - 1] != ' ')
            begin--;
        if (begin < list.size)
            return str_make(list.data + begin, list.size - begin);
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    const void *bytes = NULL;
    int family = AF_INET;
    if (address && address->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (address && address->sa_family == AF_INET6) {
        const struct in6_addr *six =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(six);
        bytes = mapped ? (const void *)&six->s6_addr[12] : (const void *)six;
        family = mapped ? AF_INET : AF_INET6;
    }
    if (!bytes || !inet_ntop(family, bytes, request->address, sizeof request->address))
        return STR("");
    return str_of(request->address);
}

static void read_head(struct request *request)
{
    struct MHD_Connection *connection = request->connection;
    struct exchange *exchange = &request->exchange;
    exchange->origin = http_header(connection, MHD_HTTP_HEADER_ORIGIN, ORIGIN_SIZE_MAX);
    exchange->user_agent = http_header(connection, MHD_HTTP_HEADER_USER_AGENT, USER_AGENT_SIZE_MAX);
    exchange->traceparent = http_header(connection, "traceparent", TRACEPARENT_SIZE_MAX);
    exchange->browser = exchange->origin.size != 0;
    exchange->address = client_address(request);
    struct str authorization =
        http_header(connection, MHD_HTTP_HEADER_AUTHORIZATION, HEADER_SIZE_MAX);
    exchange->header_key = str_make(request->key, http_write_key(authorization, request->key));
    if (exchange->header_key.size == 0)
        exchange->header_key =
            str_of(MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "writeKey"));
    exchange->body_lines = http_media_type_lines(
        http_header(connection, MHD_HTTP_HEADER_CONTENT_TYPE, HEADER_SIZE_MAX));
}

static struct str header_of(const void *context, const char *name)
{
    const struct request *request = context;
    return http_header(request->connection, name, OTHER_HEADER_SIZE_MAX);
}

static void draw(uint8_t bytes[16])
{
    check(getrandom(bytes, 16, 0) == 16); /* cannot be short or fail once the kernel has started */
}

/* The query on its way into a list. */
struct query {
    struct exchange_pair *list;
    size_t count;
    size_t capacity;
    int error;
};

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
    size_t name_size, const char *value, size_t value_size)
{
    struct query *query = context;
    struct str texts[2] = {str_make(name, name_size), str_make(value, value ? value_size : 0)};
    (void)kind;
    if (query->count == query->capacity || !json_utf8_valid(texts[0]) ||
        !json_utf8_valid(texts[1])) {
        query->error = query->count == query->capacity ? ERR_TOO_MANY : ERR_UTF8;
        return MHD_NO;
    }
    query->list[query->count++] = (struct exchange_pair){texts[0], texts[1]};
    return MHD_YES;
}

/* Errors: ERR_UTF8, ERR_NO_MEMORY. */
static int read_query(struct request *request)
{
    struct query query = {0};
    int count = MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);
    if (count <= 0)
        return 0;
    query.capacity = (size_t)count;
    query.list = arena_alloc(&request->arena, query.capacity * sizeof *query.list);
    if (!query.list)
        return ERR_NO_MEMORY;
    (void)MHD_get_connection_values_n(
        request->connection, MHD_GET_ARGUMENT_KIND, take_parameter, &query);
    request->exchange.query = query.list;
    request->exchange.query_count = query.count;
    return query.error;
}

static size_t content_length(struct request *request)
{
    struct str text = str_of(MHD_lookup_connection_value(
        request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH));
    size_t length = 0;
    for (size_t i = 0; i < text.size && length <= SIZE_MAX / 16; i++)
        length = length * 10 + (size_t)(text.data[i] - '0'); /* MHD let only digits pass */
    return length;
}

static void check_method(struct request *request, const char *method)
{
    const struct route *route = request->route;
    bool read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    request->options = strcmp(method, "OPTIONS") == 0;
    if (request->options) {
        request->exchange.status = 204;
        return;
    }
    unsigned wanted = read ? ROUTE_GET : strcmp(method, "POST") == 0 ? ROUTE_POST : 0;
    request->exchange.get = read;
    request->exchange.head = strcmp(method, "HEAD") == 0;
    bool absent = !route || (route->page == PAGE_LOOKUP && !request->collector->config.lookup);
    if (absent)
        refuse(request, 404, "not_found", "there is nothing at this path");
    else if (!(route->methods & wanted))
        refuse(request, 405, "method", "this path takes another method");
}

/* Refuses by the head what can be refused by it. */
static void check_head(struct request *request, size_t length)
{
    struct collector *collector = request->collector;
    struct str type =
        http_header(request->connection, MHD_HTTP_HEADER_CONTENT_TYPE, HEADER_SIZE_MAX);
    enum content_encoding encoding;
    if (request->exchange.status != STATUS_NONE || request->route->page != PAGE_NONE)
        return;
    if (!request->exchange.get && !http_media_type_allowed(type))
        refuse(request, 415, "media_type", "events are JSON");
    else if (content_encoding_of(http_header(request->connection, MHD_HTTP_HEADER_CONTENT_ENCODING,
                                     HEADER_SIZE_MAX),
                 &encoding) < 0)
        refuse_error(request, ERR_ENCODING, "gzip, deflate or none");
    else if (length > collector->config.body_size_max)
        refuse_error(request, ERR_TOO_LARGE, "send the events in smaller batches");
    else if (atomic_load(&collector->stopping) || atomic_load(&collector->failure) ||
             !account(request, length))
        refuse_error(request, ERR_AGAIN, "");
    else if (length && buf_reserve(&request->body, length + JSON_INPUT_PADDING) < 0)
        refuse_error(request, ERR_NO_MEMORY, "");
}

/* The head is there, the body not yet. */
static enum MHD_Result begin(
    struct request *request, const char *url, const char *method, const char *version)
{
    request->stage = STAGE_BODY;
    const char *fault = http_check_head(request->connection, version);
    if (!fault)
        fault = request->fault;
    if (fault) {
        request->close = true;
        refuse(request, 400, "bad_request", fault);
        return watch_busy(watched(request->connection)) ? reply(request) : MHD_NO;
    }
    request->route = route_find(str_of(url), &request->exchange.rest);
    read_head(request);
    check_method(request, method);
    size_t length = content_length(request);
    check_head(request, length);
    bool expects = MHD_lookup_connection_value(
                       request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) != NULL;
    if (request->exchange.status == STATUS_NONE || (length <= DISCARD_SIZE_MAX && !expects))
        return MHD_YES;
    request->close = true;
    return watch_busy(watched(request->connection)) ? reply(request) : MHD_NO;
}

/* ---- body ---- */

static enum MHD_Result take_body(struct request *request, const char *data, size_t *size)
{
    struct collector *collector = request->collector;
    size_t count = *size;
    *size = 0;
    if (request->exchange.status != STATUS_NONE) {
        request->dropped_bytes += count;
        return request->dropped_bytes <= DISCARD_SIZE_MAX ? MHD_YES : MHD_NO;
    }
    /* Chunked: the size was not known before. */
    bool known = request->body.size + count <= request->accounted_bytes;
    if (request->body.size + count > collector->config.body_size_max)
        refuse_error(request, ERR_TOO_LARGE, "send the events in smaller batches");
    else if (!known && !account(request, count))
        refuse_error(request, ERR_AGAIN, "");
    else if (buf_append(&request->body, data, count) < 0)
        refuse_error(request, ERR_NO_MEMORY, "");
    return MHD_YES;
}

/* Writer's thread: the records are durable, or not. */
static void on_appended(struct writer_job *job, int result)
{
    struct request *request = (struct request *)(void *)job;
    if (error_class(result) == ERROR_CLASS_FATAL && result < 0)
        atomic_store(&request->collector->failure, result);
    if (result == 0)
        rotation_told(request->exchange.door->told, &request->exchange.intake.pairs);
    if (result == 0)
        recent_add(
            request->collector->recent, request->exchange.marks, request->exchange.marks_count);
    if (result == 0)
        (void)FAULT_POINT("collector_appended");
    request->append_result = result;
    request->stage = STAGE_APPENDED;
    MHD_resume_connection(request->connection);
}

/* Lets parsers read behind the body. Errors: ERR_NO_MEMORY. */
static int pad_body(struct exchange *exchange, struct buf *body)
{
    int r = body->size ? buf_reserve(body, JSON_INPUT_PADDING) : 0;
    if (r < 0 || body->size == 0)
        return r;
    memset(body->data + body->size, 0, JSON_INPUT_PADDING);
    exchange->padding = body->data + body->size;
    return 0;
}

/* The body without its compression, also where no header tells of it. Errors: of inflate_body(),
 * ERR_AGAIN. */
static int open_body(struct request *request)
{
    struct collector *collector = request->collector;
    enum content_encoding encoding = CONTENT_IDENTITY;
    int r = content_encoding_of(
        http_header(request->connection, MHD_HTTP_HEADER_CONTENT_ENCODING, HEADER_SIZE_MAX),
        &encoding);
    if (r == 0)
        r = pad_body(&request->exchange, &request->body);
    request->exchange.body = buf_str(&request->body);
    request->exchange.body_raw = request->exchange.body;
    if (encoding == CONTENT_IDENTITY && str_starts_with(request->exchange.body, STR(GZIP_BEGIN)))
        encoding = CONTENT_GZIP;
    if (r < 0 || encoding == CONTENT_IDENTITY || request->body.size == 0)
        return r;
    r = inflate_body(
        buf_str(&request->body), encoding, &collector->config.inflate, &request->inflated);
    if (r < 0)
        return r;
    r = pad_body(&request->exchange, &request->inflated);
    if (r < 0)
        return r;
    request->exchange.body = buf_str(&request->inflated);
    return account(request, request->inflated.size) ? 0 : ERR_AGAIN;
}

/* Hands the body to its protocol. Errors: of open_body(), ERR_NO_MEMORY. */
static int judge(struct request *request)
{
    struct collector *collector = request->collector;
    struct exchange *exchange = &request->exchange;
    request->arena = spares_take_arena(&collector->spares, ARENA_REQUEST_SIZE_MAX);
    int r = open_body(request);
    if (r == 0)
        r = read_query(request);
    if (r < 0)
        return r;
    exchange->call = request->route->call;
    exchange->target = str_of(request->target);
    exchange->header = header_of;
    exchange->header_context = request;
    exchange->draw = draw;
    exchange->recent = collector->recent;
    request->notes.arena = &request->arena;
    exchange->notes = tail_watched(collector->tail) ? &request->notes : NULL;
    exchange->now_micros = clock_micros(CLOCK_REALTIME);
    exchange->monotonic_micros = request->begun_micros;
    exchange->events_max = collector->config.batch_events_max;
    exchange->sources = collector_sources(collector);
    exchange->door = collector->config.door;
    exchange->arena = &request->arena;
    r = spares_take_parser(&collector->spares, &exchange->parser);
    if (r < 0)
        return r;
    r = request->route->handle(exchange);
    if (exchange->body.size > collector->config.body_size_max)
        json_parser_free(&exchange->parser); /* which a huge body has made huge */
    else
        spares_give_parser(&collector->spares, &exchange->parser);
    return r;
}

/* Gives the records to the writer and lets the connection sleep until they are durable. */
static enum MHD_Result wait_for_append(struct request *request)
{
    request->job = (struct writer_job){.done = on_appended};
    int r = intake_records(&request->exchange.intake, &request->job.records, &request->job.count);
    request->stage = STAGE_WAITING;
    (void)FAULT_POINT("collector_parsed");
    MHD_suspend_connection(request->connection);
    if (r == 0)
        r = writer_push(request->collector->writer, &request->job);
    if (r < 0)
        on_appended(&request->job, r);
    return MHD_YES;
}

/* Personal data: for a key of an operator's source alone. 0, or answered: EXCHANGE_ANSWERED.
 * Errors: ERR_NO_MEMORY. */
static int check_operator(struct request *request, const char *message)
{
    struct exchange *exchange = &request->exchange;
    exchange->sources = collector_sources(request->collector);
    exchange->now_micros = clock_micros(CLOCK_REALTIME);
    exchange->monotonic_micros = request->begun_micros;
    int r = exchange_authorise(exchange, STR(""), SOURCE_PROTOCOL_NATIVE, REPLY_NATIVE);
    if (r == 0 && !exchange->source->config.is_operator)
        r = exchange_refuse(exchange, 403, "operator", message, REPLY_NATIVE);
    return r == 0 ? exchange_check_rate(exchange, 1, REPLY_NATIVE) : r;
}

/* What becomes of events, as it happens. 0 when answered. Errors: ERR_NO_MEMORY, ERR_AGAIN. */
static int open_tail(struct request *request)
{
    struct exchange *exchange = &request->exchange;
    exchange->header = header_of;
    exchange->header_context = request;
    request->arena = spares_take_arena(&request->collector->spares, ARENA_REQUEST_SIZE_MAX);
    exchange->arena = &request->arena;
    exchange->door = request->collector->config.door;
    int r = check_operator(request, MESSAGE_WATCHER);
    if (r == 0)
        r = read_query(request);
    if (r != 0)
        return r < 0 ? r : 0;
    r = tail_page_open(request->collector, exchange, request->connection, &request->viewer);
    request->watches = request->viewer != NULL;
    if (request->watches)
        (void)atomic_fetch_sub(&request->collector->requests, 1);
    return r;
}

/* Who is meant. 0 when answered. Errors: ERR_NO_MEMORY, those of the look-up. */
static int look_up(struct request *request)
{
    const struct collector_config *config = &request->collector->config;
    struct exchange *exchange = &request->exchange;
    int r = check_operator(request, "only a source with operator = yes may look persons up");
    if (r != 0)
        return r < 0 ? r : 0;
    const struct collector_question question = {
        .id = str_of(MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "id")),
        .with =
            str_of(MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "with")),
    };
    if (question.id.size == 0)
        r = exchange_fail(exchange, ERR_MISSING_FIELD, STR("?id=phone:090-..."), REPLY_NATIVE);
    else
        r = config->lookup(config->lookup_context, &question, &exchange->reply, &exchange->status);
    return r < 0 ? r : 0;
}

/* The body is whole. */
static enum MHD_Result finish(struct request *request)
{
    struct exchange *exchange = &request->exchange;
    struct collector *collector = request->collector;
    if (!watch_busy(watched(request->connection)))
        return MHD_NO; /* answered 408 */
    if (exchange->status != STATUS_NONE)
        return reply(request);
    request->begun_micros = clock_micros(CLOCK_MONOTONIC);
    if (request->route->page == PAGE_LOOKUP || request->route->page == PAGE_TAIL) {
        int r = request->route->page == PAGE_TAIL ? open_tail(request) : look_up(request);
        if (r < 0)
            refuse_error(request, r, "");
        return reply(request);
    }
    if (request->route->page != PAGE_NONE) {
        if (page_write(collector, request->route->page, &exchange->reply, &exchange->media_type,
                &exchange->status) < 0)
            return MHD_NO;
        return reply(request);
    }
    metrics_add(collector->config.metrics, METRIC_COLLECTOR_RECEIVED_BYTES, 0, 0,
        (int64_t)request->body.size);
    int r = judge(request);
    if (r < 0)
        refuse_error(request, r, "");
    const struct intake *intake = &exchange->intake;
    bool append = r == 0 && !intake->dry_run && intake->records_count && exchange->status < 500;
    return append ? wait_for_append(request) : reply(request);
}

static enum MHD_Result end_append(struct request *request)
{
    if (request->append_result < 0) {
        request->exchange.intake.records_count = 0;
        if (exchange_fail(&request->exchange, ERR_AGAIN, STR(""), form_of(request)) < 0)
            request->close = true;
    }
    (void)FAULT_POINT("collector_reply");
    return reply(request);
}

enum MHD_Result request_on_call(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **state)
{
    struct request *request = *state;
    (void)context;
    (void)connection;
    if (!request)
        return MHD_NO;
    switch (request->stage) {
    case STAGE_NEW:
        return begin(request, url, method, version);
    case STAGE_BODY:
        return *size ? take_body(request, data, size) : finish(request);
    case STAGE_APPENDED:
        return end_append(request);
    case STAGE_WAITING:
        break;
    }
    return MHD_YES; /* suspended: MHD does not call */
}
