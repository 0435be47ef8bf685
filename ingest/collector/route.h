/*
 * The list of paths that are answered; all others are 404.
 */
#pragma once

#include "ingest/collector/exchange.h"

enum route_page {
    PAGE_NONE,    /* the route takes events */
    PAGE_HEALTH,  /* the process is alive */
    PAGE_READY,   /* it would take events */
    PAGE_METRICS, /* Prometheus */
    PAGE_OPENAPI,
    PAGE_LOOKUP, /* who is it; operators only */
};

struct route {
    struct str path;
    struct str call; /* for the protocol */
    exchange_fn handle;
    enum route_page page; /* PAGE_NONE: POST to handle; else GET */
    enum reply_form form;
    enum metric_protocol protocol;
};

/* The route of a path, or NULL. Threads: any. */
const struct route *route_find(struct str path);
