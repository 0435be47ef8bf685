/*
 * One request to the schema registry over HTTP: its addresses in turn, credentials, TLS, repetition
 * with jitter, a cap on what comes back. registry_client.h says what is asked.
 */
#pragma once

#include "schemas/bytes.h"

struct metrics;

#define REGISTRY_REPLY_SIZE_MAX ((size_t)1 << 20)
#define REGISTRY_WHY_SIZE 512
#define REGISTRY_URLS_MAX 16
#define REGISTRY_ATTEMPTS_MAX 100

/* What happened, for the operator's log. level: as syslog(3). Never holds secrets or payloads.
 * Called from the thread that asks. */
typedef void registry_log_fn(void *context, int level, const char *event, const char *text);

/* Where the registry is and how it is asked. All is borrowed and outlives what is opened with it.
 * Empty texts and NULL: not so. */
struct registry_config {
    const struct str *urls; /* http:// or https://, without credentials; asked in this order */
    size_t urls_count;
    struct str basic;             /* "user:password" */
    struct str token;             /* bearer */
    struct str basic_file;        /* where they were read from (config/secret.h), to be read */
    struct str token_file;        /* again before a request when it has changed; empty: they stay */
    const char *ca_file;          /* PEM, instead of the system's */
    const char *certificate_file; /* PEM of the client */
    const char *key_file;         /* PEM of its key */
    struct str key_password;
    int64_t timeout_ms;              /* of one try */
    int attempts;                    /* rounds over all addresses */
    bool (*stopping)(void *context); /* asked while waiting: true ends the request. NULL: never */
    registry_log_fn *log;            /* NULL: silent */
    void *context;                   /* of both */
    struct metrics *metrics;         /* NULL: nothing is measured */
};

/* Whether the configuration can work; `problem` gets a sentence. Errors: ERR_CONFIG. Threads: any.
 */
MUST_CHECK int registry_config_check(
    const struct registry_config *config, char *problem, size_t problem_size);

struct registry_http;
/* Errors: ERR_NO_MEMORY, ERR_CONFIG (TLS material that cannot be used shows at the first request).
 * Threads: one each. */
MUST_CHECK int registry_http_new(const struct registry_config *config, struct registry_http **out);
/* Accepts NULL inside, leaves NULL. */
void registry_http_free(struct registry_http **http);

/*
 * Sends `method` to PATH below the address ("/subjects"), with a JSON body where it has any bytes.
 * Returns 0 with *status (anything but 401, 403, 408, 429 and 5xx) and the reply's body in *reply,
 * which is cleared first. An address that does not answer, or answers 408, 429 or 5xx, is passed
 * over for the next; after the last there is a pause with jitter and a further round. All requests
 * of this API may be repeated. `why` (REGISTRY_WHY_SIZE bytes) gets an English reason on an error.
 * Errors: ERR_UNREACHABLE after the last round; ERR_AGAIN when `stopping` said so; ERR_AUTH (401,
 * 403, or a server whose certificate is not trusted); ERR_TOO_LARGE for a reply beyond
 * REGISTRY_REPLY_SIZE_MAX; ERR_CONFIG for TLS files that cannot be read; ERR_NO_MEMORY.
 */
MUST_CHECK int registry_http_request(struct registry_http *http, const char *method,
    const char *path, struct str body, long *status, struct buf *reply, char *why);
