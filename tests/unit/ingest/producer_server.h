/*
 * A collector of a kind, in this process: on 127.0.0.1, answering each request as its script says
 * and remembering the ids of all events that it took.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum producer_server_act {
    SERVER_TAKE,    /* takes the events, answers as the collector does */
    SERVER_STATUS,  /* takes none, answers `status`, with Retry-After where `seconds` is set */
    SERVER_DROP,    /* takes them, and closes without an answer */
    SERVER_HALF,    /* takes them, and closes in the middle of the answer */
    SERVER_GARBAGE, /* takes none; 200, or the status, with a page of HTML, as a portal does */
    SERVER_FEW,     /* takes none, answers as for one event fewer */
    SERVER_BEYOND,  /* takes none, and rejects one beyond the last */
    SERVER_SLOW,    /* takes them, answers after `ms` */
    SERVER_REJECT,  /* takes all but the event of index 1 */
};

struct producer_server_step {
    enum producer_server_act act;
    int status;
    int seconds;
    int ms;
};

struct producer_server;

/* Steps of requests in their order; after them SERVER_TAKE. Borrowed. NULL on failure. */
struct producer_server *producer_server_start(
    const struct producer_server_step *steps, size_t steps_count);
void producer_server_stop(struct producer_server **server);

/* "http://127.0.0.1:PORT/" */
const char *producer_server_url(const struct producer_server *server);
/* All requests have to bear this key, else 401; NULL: any. Borrowed. */
void producer_server_want_key(struct producer_server *server, const char *key);

size_t producer_server_requests(struct producer_server *server);
size_t producer_server_connections(struct producer_server *server);
/* Different ids, and how many events had an id that was there. */
size_t producer_server_ids(struct producer_server *server);
size_t producer_server_again(struct producer_server *server);
bool producer_server_has(struct producer_server *server, const char *id);
/* The first body, as lines, and the first request's head. */
const char *producer_server_body(struct producer_server *server);
const char *producer_server_head(struct producer_server *server);
/* Largest number of events in one request. */
size_t producer_server_batch_max(struct producer_server *server);
