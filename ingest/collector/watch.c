/* Invariant: a listed connection's socket is open; the list changes under the lock alone. */
#include "ingest/collector/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "schemas/error.h"

#define TICK_MS_MIN 20
#define TICK_MS_MAX 500
#define TICKS_A_TIMEOUT 8
#define TIMEOUT_REPLY                                                                              \
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 59\r\n"     \
    "Connection: close\r\n\r\n{\"code\":\"timeout\",\"message\":\"the request came too "           \
    "slowly\"}\n"

enum state {
    STATE_OPEN,
    STATE_READING,
    STATE_BUSY,
    STATE_IDLE,
    STATE_EXPIRED,
};

struct watch_connection {
    struct watch_connection *next;
    struct watch_connection **link; /* what points here */
    _Atomic int state;
    _Atomic int64_t deadline_ms;
    int socket;
};

struct watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct watch_connection *first;
    int64_t request_timeout_ms;
    int64_t idle_timeout_ms;
    bool stopping;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ends a connection whose time has run out, unless it moves on in this very moment. */
static void expire(struct watch_connection *connection)
{
    int state = atomic_load(&connection->state);
    if (state == STATE_BUSY || state == STATE_EXPIRED ||
        !atomic_compare_exchange_strong(&connection->state, &state, STATE_EXPIRED))
        return;
    if (state != STATE_IDLE) {
        ssize_t sent = send(connection->socket, TIMEOUT_REPLY, sizeof TIMEOUT_REPLY - 1,
            MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* a client that cannot be told is closed all the same */
    }
    (void)shutdown(connection->socket, SHUT_RDWR);
}

static void look(struct watch *watch)
{
    int64_t now = now_ms();
    for (struct watch_connection *at = watch->first; at; at = at->next)
        if (atomic_load(&at->deadline_ms) <= now)
            expire(at);
}

static void *run(void *context)
{
    struct watch *watch = context;
    int64_t tick = watch->request_timeout_ms / TICKS_A_TIMEOUT;
    tick = tick < TICK_MS_MIN ? TICK_MS_MIN : tick > TICK_MS_MAX ? TICK_MS_MAX : tick;
    check(pthread_mutex_lock(&watch->lock) == 0);
    while (!watch->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t nanos = until.tv_nsec + tick * 1000000;
        until.tv_sec += nanos / 1000000000;
        until.tv_nsec = nanos % 1000000000;
        (void)pthread_cond_timedwait(&watch->wake, &watch->lock, &until);
        look(watch);
    }
    check(pthread_mutex_unlock(&watch->lock) == 0);
    return NULL;
}

int watch_start(int64_t request_timeout_ms, int64_t idle_timeout_ms, struct watch **out)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return ERR_NO_MEMORY;
    watch->request_timeout_ms = request_timeout_ms;
    watch->idle_timeout_ms = idle_timeout_ms;
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_mutex_init(&watch->lock, NULL) == 0);
    check(pthread_cond_init(&watch->wake, &attributes) == 0);
    check(pthread_condattr_destroy(&attributes) == 0);
    if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
        free(watch);
        return ERR_IO;
    }
    *out = watch;
    return 0;
}

void watch_stop(struct watch **watch_)
{
    struct watch *watch = *watch_;
    if (!watch)
        return;
    check(pthread_mutex_lock(&watch->lock) == 0);
    watch->stopping = true;
    check(pthread_cond_signal(&watch->wake) == 0);
    check(pthread_mutex_unlock(&watch->lock) == 0);
    check(pthread_join(watch->thread, NULL) == 0);
    check(!watch->first);
    check(pthread_mutex_destroy(&watch->lock) == 0);
    check(pthread_cond_destroy(&watch->wake) == 0);
    free(watch);
    *watch_ = NULL;
}

struct watch_connection *watch_open(struct watch *watch, int socket)
{
    struct watch_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->socket = socket;
    atomic_init(&connection->state, STATE_OPEN);
    atomic_init(&connection->deadline_ms, now_ms() + watch->request_timeout_ms);
    check(pthread_mutex_lock(&watch->lock) == 0);
    connection->next = watch->first;
    connection->link = &watch->first;
    if (connection->next)
        connection->next->link = &connection->next;
    watch->first = connection;
    check(pthread_mutex_unlock(&watch->lock) == 0);
    return connection;
}

void watch_close(struct watch *watch, struct watch_connection *connection)
{
    if (!connection)
        return;
    check(pthread_mutex_lock(&watch->lock) == 0);
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    check(pthread_mutex_unlock(&watch->lock) == 0);
    free(connection);
}

/* Moves on unless the time has run out. */
static bool move(struct watch_connection *connection, enum state to)
{
    int state = atomic_load(&connection->state);
    while (state != STATE_EXPIRED)
        if (atomic_compare_exchange_weak(&connection->state, &state, (int)to))
            return true;
    return false;
}

void watch_reading(struct watch *watch, struct watch_connection *connection)
{
    if (!connection)
        return;
    atomic_store(&connection->deadline_ms, now_ms() + watch->request_timeout_ms);
    (void)move(connection, STATE_READING);
}

bool watch_busy(struct watch_connection *connection)
{
    return !connection || move(connection, STATE_BUSY);
}

void watch_idle(struct watch *watch, struct watch_connection *connection)
{
    if (!connection)
        return;
    atomic_store(&connection->deadline_ms, now_ms() + watch->idle_timeout_ms);
    (void)move(connection, STATE_IDLE);
}
