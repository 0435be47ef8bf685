/*
 * Asks a collector, and sends bodies to it, over one kept-alive connection, again when it says
 * "later".
 */
#pragma once

#include "schemas/bytes.h"

struct http_client;

/* url: of the endpoint. key: write key for Bearer, or NULL (copied; never logged). Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int http_client_new(const char *url, const char *key, struct http_client **out);
void http_client_free(struct http_client **client);

/*
 * GETs, or POSTs a body of JSON lines. Returns 0 with the status and the reply appended to *reply;
 * a connection that fails, 429 and 5xx are tried again `attempts` times in all, after Retry-After
 * or a doubling pause. Errors: ERR_AGAIN when the last try failed too, ERR_IO for what will not get
 * better (bad URL, TLS). Used by one thread.
 */
MUST_CHECK int http_client_get(
    struct http_client *client, int attempts, long *status, struct buf *reply);
MUST_CHECK int http_client_post(
    struct http_client *client, struct str body, int attempts, long *status, struct buf *reply);
