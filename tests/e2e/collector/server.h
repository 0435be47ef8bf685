/*
 * A collector in this process before an appender in memory that fails on demand.
 */
#pragma once

#include <pthread.h>

#include "ingest/collector/collector.h"

#define SERVER_KEY "write key of ec-web"
#define SERVER_BASIC                                                                               \
    "Authorization: Basic d3JpdGUga2V5IG9mIGVjLXdlYjo=\r\n" /* the key, no password */

struct memory_appender {
    struct appender appender; /* first */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t events;
    size_t rejected;
    size_t appends;
    int error;        /* what append() returns, when not 0 */
    bool paused;      /* append() waits */
    int waiting;      /* calls that do */
    char address[64]; /* client.address of the last event */
};

struct server {
    struct memory_appender appender;
    struct config *config;
    struct config_problem problem;
    struct door_config door;
    struct metrics *metrics;
    struct log log;
    struct collector *collector;
    int port;
};

/* Starts with [source ec-web] and more configuration text. */
void server_start(struct server *server, const char *more);
void server_stop(struct server *server);

size_t server_events(struct server *server);
size_t server_rejected(struct server *server);
void server_set_error(struct server *server, int error);
/* Makes append() wait, or go on. */
void server_pause(struct server *server, bool paused);
/* Waits until so many events are appended. */
void server_wait_events(struct server *server, size_t events);
/* Waits until an append waits. */
void server_wait_paused(struct server *server);
