#include "tests/e2e/collector/server.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

static void keep_address(struct memory_appender *memory, const struct append_record *record)
{
    CLEANUP(arena_free) struct arena arena = {0};
    struct touchpoint event;
    memory->address[0] = '\0';
    if (touchpoint_decode(&event, record->value, &arena) == 0 && event.has_client)
        (void)snprintf(memory->address, sizeof memory->address, "%.*s",
            (int)event.client.address.size, event.client.address.data);
}

static int memory_append(struct appender *appender, const struct append_record *records,
    size_t count, const struct append_cursor *cursor)
{
    struct memory_appender *memory = (struct memory_appender *)(void *)appender;
    (void)cursor;
    (void)pthread_mutex_lock(&memory->lock);
    memory->waiting++;
    (void)pthread_cond_broadcast(&memory->wake);
    while (memory->paused)
        (void)pthread_cond_wait(&memory->wake, &memory->lock);
    memory->waiting--;
    int r = memory->error;
    for (size_t i = 0; r == 0 && i < count; i++) {
        memory->events += records[i].topic == TOPIC_EVENTS;
        memory->rejected += records[i].topic == TOPIC_REJECTED;
        if (records[i].topic == TOPIC_EVENTS)
            keep_address(memory, &records[i]);
    }
    memory->appends++;
    (void)pthread_cond_broadcast(&memory->wake);
    (void)pthread_mutex_unlock(&memory->lock);
    return r;
}

void server_start(struct server *server, const char *more)
{
    static const char base[] = "[collector]\nlisten = 127.0.0.1:0\nthreads = 2\n";
    CLEANUP(buf_free) struct buf text = {0};
    struct collector_config config;
    *server = (struct server){.appender = {.appender = {.append = memory_append}}};
    assert_int_equal(pthread_mutex_init(&server->appender.lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&server->appender.wake, NULL), 0);
    assert_int_equal(config_new(&server->config), 0);
    assert_int_equal(metrics_new(&server->metrics), 0);
    door_config_default(&server->door);
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, STR(SERVER_KEY));
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, hex);
    assert_int_equal(buf_appendf(&text, "%s%s\n[source ec-web]\nkey_sha256 = %.*s\n", base, more,
                         (int)sizeof hex, hex),
        0);
    int r = config_load_text(server->config, "test", buf_str(&text), &server->problem);
    if (r == 0)
        r = config_finish(server->config, &server->problem);
    if (r < 0)
        fail_msg("%s", server->problem.text);
    collector_configure(server->config, &config);
    config.door = &server->door;
    config.metrics = server->metrics;
    config.log = &server->log;
    assert_int_equal(collector_start(&config, &server->appender.appender, &server->collector), 0);
    server->port = collector_port(server->collector);
}

void server_stop(struct server *server)
{
    collector_stop(&server->collector);
    config_free(&server->config);
    metrics_free(&server->metrics);
    (void)pthread_mutex_destroy(&server->appender.lock);
    (void)pthread_cond_destroy(&server->appender.wake);
}

size_t server_events(struct server *server)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    size_t events = server->appender.events;
    (void)pthread_mutex_unlock(&server->appender.lock);
    return events;
}

size_t server_rejected(struct server *server)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    size_t rejected = server->appender.rejected;
    (void)pthread_mutex_unlock(&server->appender.lock);
    return rejected;
}

void server_set_error(struct server *server, int error)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    server->appender.error = error;
    (void)pthread_mutex_unlock(&server->appender.lock);
}

void server_pause(struct server *server, bool paused)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    server->appender.paused = paused;
    (void)pthread_cond_broadcast(&server->appender.wake);
    (void)pthread_mutex_unlock(&server->appender.lock);
}

void server_wait_events(struct server *server, size_t events)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    while (server->appender.events < events)
        (void)pthread_cond_wait(&server->appender.wake, &server->appender.lock);
    (void)pthread_mutex_unlock(&server->appender.lock);
}

void server_wait_paused(struct server *server)
{
    (void)pthread_mutex_lock(&server->appender.lock);
    while (server->appender.waiting == 0)
        (void)pthread_cond_wait(&server->appender.wake, &server->appender.lock);
    (void)pthread_mutex_unlock(&server->appender.lock);
}
