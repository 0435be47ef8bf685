/*
 * Webhooks without a server: headers, and sources with secrets.
 */
#pragma once

#include "tests/unit/ingest/exchange_fixture.h"

#define HOOK_NEW_SECRET "12345"
#define HOOK_OLD_SECRET "the old one"
#define HOOK_KEY "write key of keyed"

struct hook_fixture {
    struct exchange_fixture base;
    struct sources *signed_sources;
    struct exchange_pair headers[8];
    size_t headers_count;
};

/* Sources: the open "dev", which needs no signature; and once hook_use_signed() is called, "shop"
 * (two secrets, a replay window of an hour), "keyed" (a write key), "bare" (neither), "off"
 * (disabled), "native" (of another protocol); for cmocka. */
int hook_setup(void **state);
int hook_teardown(void **state);

/* mapping, header: of "shop" and "keyed"; may be NULL. */
void hook_use_signed(
    struct hook_fixture *fixture, const struct mapping *mapping, const char *header);

/* A header of the next requests; of the name the last one stands. NULL: none. */
void hook_header(struct hook_fixture *fixture, const char *name, const char *value);

/* Sends a body to "kind/source"; returns the status. */
int hook_send(struct hook_fixture *fixture, const char *path, const char *body);

/* Sends it to kind/dev, wants 200 and nothing rejected; returns the events as
 * exchange_events_text(). */
const char *hook_stored(struct hook_fixture *fixture, const char *path, const char *body);

/* Fails unless text has the part. */
void hook_contains(const char *text, const char *part);
