/*
 * Requests to a protocol without a server: a body in; status, reply and appended records out.
 */
#pragma once

#include "ingest/collector/exchange.h"

#define FIXTURE_NOW INT64_C(1795140000000000) /* 2026-11-20T02:00:00Z */
#define FIXTURE_KEY "key of ec-web"
#define FIXTURE_DISABLED_KEY "key of old"
#define FIXTURE_SEGMENT_KEY "key of mobile" /* Segment alone, from https://shop.example alone */
#define FIXTURE_SLOW_KEY "key of slow"      /* one event a second */
#define FIXTURE_TRUSTED_KEY "key of pos"    /* may name its channel */
#define FIXTURE_APP_ID "app of pos"

struct exchange_fixture {
    struct arena arena;
    struct metrics *metrics;
    struct json_parser *parser;
    struct sources *sources;
    struct door_config door;
    struct exchange exchange; /* set before exchange_run(): header_key, origin, ... */
    struct buf text;          /* NUL-terminated what exchange_*_text() returned last */
};

/* With an open source "dev" when open. For cmocka's setup. */
int exchange_setup(struct exchange_fixture *fixture, bool open);
void exchange_teardown(struct exchange_fixture *fixture);

/* For cmocka: one fixture, with an open source or without. */
static inline int setup(void **state)
{
    static struct exchange_fixture fixture;
    *state = &fixture;
    return exchange_setup(&fixture, false);
}

static inline int setup_open(void **state)
{
    static struct exchange_fixture fixture;
    *state = &fixture;
    return exchange_setup(&fixture, true);
}

static inline int teardown(void **state)
{
    exchange_teardown(*state);
    return 0;
}

/* Runs a call on a body; what it set before stays for the next run. */
void exchange_run(
    struct exchange_fixture *fixture, exchange_fn handle, const char *call, struct str body);

/* The reply. */
const char *exchange_reply_text(struct exchange_fixture *fixture);

/* The appended events as canonical JSON, a line each, without what tells of the pipeline
 * (event_key, source, received_at, protocol, adapter_version). */
const char *exchange_events_text(struct exchange_fixture *fixture);

/* The rejected records as "reason pointer payload", a line each. */
const char *exchange_rejected_text(struct exchange_fixture *fixture);
