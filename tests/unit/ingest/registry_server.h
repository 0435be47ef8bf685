/*
 * A schema registry for unit tests, within the process: gives scripted replies, and keeps what it
 * was asked.
 */
#pragma once

#include <pthread.h>

#include "ingest/registry/registry_http.h"

#define REGISTRY_SERVER_URL_SIZE 64
#define REGISTRY_SERVER_REQUESTS_MAX 64
#define REGISTRY_SERVER_TEXT_SIZE 4096

/* One reply. `times`: so often it is given, then the next; 0: for ever. */
struct registry_reply {
    unsigned status;
    const char *body;
    int times;
    size_t padding; /* blanks behind the body */
    bool silent;    /* none, until the server is stopped or released */
};

struct registry_server_request {
    char method[8];
    char path[REGISTRY_SERVER_TEXT_SIZE]; /* with its query, as it was sent */
    char body[REGISTRY_SERVER_TEXT_SIZE];
    char type[128];
    char authorization[512];
};

/* Caller's storage, which stays where it is. */
struct registry_server {
    struct MHD_Daemon *daemon;
    char url[REGISTRY_SERVER_URL_SIZE];
    struct str url_text;
    const struct registry_reply *replies;
    size_t replies_count;
    size_t at;
    int given; /* of the reply at `at` */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool released;
    struct registry_server_request requests[REGISTRY_SERVER_REQUESTS_MAX];
    size_t requests_count;
};

void registry_server_start(
    struct registry_server *server, const struct registry_reply *replies, size_t count);
/* Silent replies are given from now on. */
void registry_server_release(struct registry_server *server);
/* Another script, from its beginning. */
void registry_server_script(
    struct registry_server *server, const struct registry_reply *replies, size_t count);
size_t registry_server_asked(struct registry_server *server);
void registry_server_stop(struct registry_server *server);

/* A configuration that asks it: one try, five seconds. */
struct registry_config registry_server_config(const struct registry_server *server);
