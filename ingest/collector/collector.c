/* Start and stop. Order of the end: no new connections, requests finish, writer, daemon, watch. */
#include "ingest/collector/collector.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ingest/collector/collector_private.h"
#include "ingest/config/listen.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define CONNECTION_MEMORY_SIZE                                                                     \
    ((size_t)32 << 10) /* a request's head; larger pools are cleared longer */
#define LISTEN_BACKLOG 1024
#define STOP_WAIT_MS 10000
#define STOP_POLL_MS 5
#define THREADS_MAX 256
#define DESCRIPTORS_SPARE 256 /* besides connections: logs, threads, databases */
#define LIBRARY_TIMEOUT_SPARE_S 10u
#define MESSAGE_SIZE_MAX 256

void collector_configure(const struct config *config, struct collector_config *out)
{
    *out = (struct collector_config){
        .listen = config_path(config, OPTION_COLLECTOR_LISTEN),
        .threads = (unsigned)config_int(config, OPTION_COLLECTOR_THREADS),
        .connections_max = (unsigned)config_int(config, OPTION_COLLECTOR_CONNECTIONS_MAX),
        .connections_per_address_max =
            (unsigned)config_int(config, OPTION_COLLECTOR_CONNECTIONS_PER_ADDRESS_MAX),
        .body_size_max = (size_t)config_int(config, OPTION_COLLECTOR_BODY_SIZE_MAX),
        .inflate = {.size_max = (size_t)config_int(config, OPTION_COLLECTOR_INFLATED_SIZE_MAX),
            .ratio_max = (size_t)config_int(config, OPTION_COLLECTOR_INFLATE_RATIO_MAX)},
        .batch_events_max = (size_t)config_int(config, OPTION_COLLECTOR_BATCH_EVENTS_MAX),
        .request_timeout_ms = config_int(config, OPTION_COLLECTOR_REQUEST_TIMEOUT),
        .idle_timeout_ms = config_int(config, OPTION_COLLECTOR_IDLE_TIMEOUT),
        .buffered_bytes_max = (size_t)config_int(config, OPTION_COLLECTOR_BUFFERED_BYTES_MAX),
        .forwarded_for = config_bool(config, OPTION_COLLECTOR_FORWARDED_FOR),
        .open_source = config_text(config, OPTION_COLLECTOR_OPEN_SOURCE),
    };
    out->sources_count = config_sources(config, &out->sources);
}

/* ---- address ---- */

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 ==
               IN_LOOPBACKNET;
    return address->ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* ---- MHD ---- */

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
    enum MHD_ConnectionNotificationCode what)
{
    struct collector *collector = context;
    bool started = what == MHD_CONNECTION_NOTIFY_STARTED;
    metrics_add(collector->config.metrics, METRIC_COLLECTOR_CONNECTIONS, 0, 0, started ? 1 : -1);
    if (started) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = watch_open(collector->watch, info->connect_fd);
    } else {
        watch_close(collector->watch, *state);
        *state = NULL;
    }
}

/* The library's own words: broken clients, mostly. */
static void on_message(void *context, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void on_message(void *context, const char *format, va_list args)
{
    const struct collector *collector = context;
    char text[MESSAGE_SIZE_MAX];
    int size = vsnprintf(text, sizeof text, format, args);
    if (size > 0)
        log_write(collector->config.log, LOG_LEVEL_DEBUG, "http_library", LOG_TEXT("text", text));
}

static unsigned threads_of(const struct collector_config *config)
{
    if (config->threads)
        return config->threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
}

/* Descriptors for so many connections, where the hard limit allows. Returns how many connections.
 */
static unsigned allow_connections(const struct collector_config *config)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)config->connections_max + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return config->connections_max;
    if (limit.rlim_cur < need) {
        limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= need)
        return config->connections_max;
    unsigned allowed = limit.rlim_cur > 2 * DESCRIPTORS_SPARE
                           ? (unsigned)limit.rlim_cur - DESCRIPTORS_SPARE
                           : (unsigned)limit.rlim_cur / 2;
    log_write(config->log, LOG_LEVEL_WARNING, "descriptors_short", LOG_INT("connections", allowed),
        LOG_INT("configured", config->connections_max), LOG_INT("descriptors", limit.rlim_cur),
        LOG_TEXT("hint", "raise ulimit -n (LimitNOFILE of systemd), or lower connections_max"));
    return allowed;
}

static int start_daemon(struct collector *collector, const struct sockaddr_storage *address)
{
    const struct collector_config *config = &collector->config;
    unsigned flags = MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ITC | MHD_USE_ERROR_LOG;
    if (address->ss_family == AF_INET6)
        flags |= MHD_USE_DUAL_STACK;
    unsigned threads = threads_of(config);
    unsigned connections = allow_connections(config);
    unsigned timeout = (unsigned)((config->idle_timeout_ms > config->request_timeout_ms
                                          ? config->idle_timeout_ms
                                          : config->request_timeout_ms) /
                                  1000) +
                       LIBRARY_TIMEOUT_SPARE_S;
    errno = 0;
    collector->daemon = MHD_start_daemon(flags, 0, NULL, NULL, request_on_call, collector,
        MHD_OPTION_EXTERNAL_LOGGER, on_message, collector, MHD_OPTION_SOCK_ADDR, address,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_SIZE, MHD_OPTION_CONNECTION_LIMIT,
        connections < threads ? threads : connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        config->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, timeout,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, LISTEN_BACKLOG, MHD_OPTION_URI_LOG_CALLBACK, request_on_uri,
        collector, MHD_OPTION_NOTIFY_COMPLETED, request_on_end, collector,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, collector, MHD_OPTION_END);
    if (!collector->daemon) {
        log_write(config->log, LOG_LEVEL_ERROR, "listen_failed",
            LOG_TEXT("address", config->listen), LOG_TEXT("reason", strerror(errno)));
        return ERR_IO;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(collector->daemon, MHD_DAEMON_INFO_BIND_PORT);
    collector->port = info ? info->port : 0;
    return 0;
}

/* ---- start and stop ---- */

static void free_collector(struct collector *collector)
{
    spares_fini(&collector->spares);
    (void)pthread_mutex_destroy(&collector->sources_lock);
    sources_free(&collector->sources);
    writer_free(&collector->writer);
    recent_free(&collector->recent);
    tail_stop(&collector->tail);
    free(collector);
}

static int start_parts(struct collector *collector, const struct sockaddr_storage *address)
{
    const struct collector_config *config = &collector->config;
    int r = sources_new(config->sources, config->sources_count, config->open_source,
        config->metrics, &collector->sources);
    if (r == 0)
        r = recent_new(&collector->recent);
    if (r == 0)
        r = tail_start(config->later, config->later_context, config->metrics, &collector->tail);
    if (r == 0)
        r = watch_start(config->request_timeout_ms, config->idle_timeout_ms, &collector->watch);
    if (r == 0)
        r = writer_start(collector->appender, config->metrics, config->log, &collector->writer);
    if (r == 0)
        r = start_daemon(collector, address);
    if (r < 0 && collector->writer)
        writer_stop(collector->writer);
    if (r < 0)
        watch_stop(&collector->watch);
    return r;
}

int collector_start(
    const struct collector_config *config, struct appender *appender, struct collector **out)
{
    struct sockaddr_storage address;
    int r = listen_parse(config->listen, &address);
    if (r < 0) {
        log_write(config->log, LOG_LEVEL_ERROR, "listen_address_bad",
            LOG_TEXT("address", config->listen));
        return r;
    }
    if (config->open_source.size && !is_loopback(&address)) {
        log_write(config->log, LOG_LEVEL_ERROR, "open_source_not_on_loopback",
            LOG_TEXT("address", config->listen));
        return ERR_CONFIG;
    }
    struct collector *collector = calloc(1, sizeof *collector);
    if (!collector)
        return ERR_NO_MEMORY;
    collector->config = *config;
    collector->appender = appender;
    spares_init(&collector->spares);
    check(pthread_mutex_init(&collector->sources_lock, NULL) == 0);
    r = start_parts(collector, &address);
    if (r < 0) {
        free_collector(collector);
        return r;
    }
    log_write(config->log, LOG_LEVEL_INFO, "collector_started", LOG_TEXT("address", config->listen),
        LOG_INT("port", collector->port), LOG_INT("sources", config->sources_count),
        LOG_BOOL("open", config->open_source.size != 0));
    *out = collector;
    return 0;
}

int collector_port(const struct collector *collector)
{
    return collector->port;
}

struct sources *collector_sources(struct collector *collector)
{
    check(pthread_mutex_lock(&collector->sources_lock) == 0);
    struct sources *sources = sources_ref(collector->sources);
    check(pthread_mutex_unlock(&collector->sources_lock) == 0);
    return sources;
}

int collector_set_sources(struct collector *collector, const struct config_source *sources,
    size_t count, void (*release)(void *owned), void *owned)
{
    struct sources *new = NULL, *old;
    int r =
        sources_new(sources, count, collector->config.open_source, collector->config.metrics, &new);
    if (r < 0)
        return r;
    sources_on_free(new, release, owned);
    check(pthread_mutex_lock(&collector->sources_lock) == 0);
    old = collector->sources;
    sources_inherit(new, old);
    collector->sources = new;
    check(pthread_mutex_unlock(&collector->sources_lock) == 0);
    sources_free(&old);
    return 0;
}

int collector_failure(const struct collector *collector)
{
    return atomic_load(&collector->failure);
}

void collector_stop(struct collector **collector_)
{
    struct collector *collector = *collector_;
    if (!collector)
        return;
    atomic_store(&collector->stopping, true);
    MHD_socket listening = MHD_quiesce_daemon(collector->daemon);
    if (listening != MHD_INVALID_SOCKET)
        (void)close(listening);
    tail_end(collector->tail);
    const struct timespec pause = {.tv_nsec = STOP_POLL_MS * 1000000L};
    for (int waited = 0; atomic_load(&collector->requests) > 0 && waited < STOP_WAIT_MS;
         waited += STOP_POLL_MS)
        (void)nanosleep(&pause, NULL);
    writer_stop(collector->writer);
    MHD_stop_daemon(collector->daemon);
    watch_stop(&collector->watch);
    log_write(collector->config.log, LOG_LEVEL_INFO, "collector_stopped");
    free_collector(collector);
    *collector_ = NULL;
}
