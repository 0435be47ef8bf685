/*
 * What the collector's files share; for no one else.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include "ingest/collector/collector.h"
#include "ingest/collector/exchange.h"
#include "ingest/collector/route.h"
#include "ingest/collector/spares.h"
#include "ingest/collector/tail.h"
#include "ingest/collector/watch.h"
#include "ingest/collector/writer.h"

struct collector {
    struct collector_config config;
    struct appender *appender;
    struct MHD_Daemon *daemon;
    struct sources *sources; /* under sources_lock */
    struct watch *watch;
    struct writer *writer;
    struct recent *recent;
    struct tail *tail;
    int port;
    _Atomic bool stopping;
    _Atomic int failure;            /* FATAL error of an append */
    _Atomic int64_t buffered_bytes; /* of requests in memory */
    _Atomic int requests;           /* in flight */
    _Atomic int64_t planless_told;  /* when the log last had an event that the plan forbids */

    pthread_mutex_t sources_lock;
    struct spares spares;
};

/* The sources as they are now; the caller lets go by sources_free(). */
struct sources *collector_sources(struct collector *collector);

/* ---- request.c: what MHD calls ---- */

void *request_on_uri(void *collector, const char *uri, struct MHD_Connection *connection);
enum MHD_Result request_on_call(void *collector, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **state);
void request_on_end(void *collector, struct MHD_Connection *connection, void **state,
    enum MHD_RequestTerminationCode why);

/* ---- page.c: what is not an event ---- */

/* Writes the body of a page, its media type and status. Errors: ERR_NO_MEMORY. */
MUST_CHECK int page_write(struct collector *collector, enum route_page page, struct buf *out,
    const char **media_type, int *status);

/* ---- tail_page.c: the live view ---- */

/* Answers an operator who asked for the live view: by a viewer, or by an error. Errors:
 * ERR_NO_MEMORY, ERR_AGAIN. */
MUST_CHECK int tail_page_open(struct collector *collector, struct exchange *exchange,
    struct MHD_Connection *connection, struct tail_viewer **out);
/* The response takes the viewer; NULL without memory: then it does not. */
struct MHD_Response *tail_page_response(struct tail_viewer *viewer);
/* Shows what became of a request, which is answered but not sent yet. */
void tail_page_show(
    struct collector *collector, const struct exchange *exchange, enum metric_protocol protocol);
