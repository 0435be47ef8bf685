/*
 * The list of paths that are answered; all others are 404 (of a tracker's: 422).
 */
#pragma once

#include "ingest/collector/exchange.h"

enum route_page {
    PAGE_NONE,    /* the route takes events */
    PAGE_HEALTH,  /* the process is alive */
    PAGE_READY,   /* it would take events */
    PAGE_ROBOTS,  /* nothing here is for search engines */
    PAGE_METRICS, /* Prometheus */
    PAGE_OPENAPI,
    PAGE_LOOKUP, /* who is it; operators only */
    PAGE_TAIL,   /* what becomes of events, as a stream; likewise */
};

/* What a path is asked by; OPTIONS always goes too. */
#define ROUTE_GET (1u << 0) /* and HEAD */
#define ROUTE_POST (1u << 1)

struct route {
    struct str path; /* of a prefix: up to and with its last '/' */
    bool prefix;     /* what follows is exchange->rest, never empty */
    unsigned methods;
    struct str call; /* for the protocol */
    exchange_fn handle;
    enum route_page page; /* PAGE_NONE: handle answers */
    enum reply_form form;
    enum metric_protocol protocol;
};

/* The route of a path, or NULL: the same path, else the longest prefix. *rest: what follows a
 * prefix. Threads: any. */
const struct route *route_find(struct str path, struct str *rest);
