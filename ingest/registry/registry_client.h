/*
 * What a schema registry is asked: Confluent's REST API, also Apicurio's, Redpanda's and
 * Karapace's. Every function waits for the reply: none is for a worker's thread (schema_cache.h
 * is). Source: Confluent Schema Registry, "API reference".
 *
 * `why` (REGISTRY_WHY_SIZE bytes) gets an English reason on an error, what the server said where it
 * said anything; control characters are taken out. Besides what each function names, errors are
 * those of registry_http_request(), and ERR_REPLY: the reply is not one of this API (another kind
 * of server, a proxy's page). A 404 counts as "not found" only when it says so in this API's words.
 */
#pragma once

#include "ingest/registry/registry_http.h"

#define REGISTRY_SUBJECT_SIZE_MAX 512
#define REGISTRY_SUBJECTS_MAX 100000
#define REGISTRY_LEVEL_SIZE 32

struct registry_client;
/* config is borrowed. Errors: as registry_http_new(). Threads: one each. */
MUST_CHECK int registry_client_new(
    const struct registry_config *config, struct registry_client **out);
/* Accepts NULL inside, leaves NULL. */
void registry_client_free(struct registry_client **client);

/* A subject's version: ids are of schemas, the registry's own; versions count from 1. */
struct registry_version {
    uint32_t id;
    int64_t version;
};

/* Registers the schema under the subject, or finds that it is. Errors: ERR_SCHEMA_INCOMPATIBLE: the
 * subject's level forbids it; ERR_SCHEMA_VIOLATION: it is no schema, says the server. */
MUST_CHECK int registry_register(
    struct registry_client *client, struct str subject, struct str schema, uint32_t *id, char *why);

/* The version that this schema has under the subject. Errors: ERR_NOT_FOUND: no such subject, or
 * none of its versions is this schema. */
MUST_CHECK int registry_lookup(struct registry_client *client, struct str subject,
    struct str schema, struct registry_version *out, char *why);

/* Appends the schema's text. Errors: ERR_NOT_FOUND; ERR_SCHEMA_INCOMPATIBLE: it is not Avro, or
 * refers to other subjects' schemas. */
MUST_CHECK int registry_by_id(
    struct registry_client *client, uint32_t id, struct buf *schema, char *why);

/* The subject's newest version, its text appended. Errors: ERR_NOT_FOUND, ERR_SCHEMA_INCOMPATIBLE
 * as registry_by_id(). */
MUST_CHECK int registry_latest(struct registry_client *client, struct str subject,
    struct registry_version *out, struct buf *schema, char *why);

/* Visits the names of all subjects; they are valid during the call. Returns the first error of
 * visit(). */
MUST_CHECK int registry_subjects(struct registry_client *client,
    int (*visit)(void *context, struct str subject), void *context, char *why);

/* Whether the subject would take the schema beside its newest version, by its level. When not, why
 * has the server's reasons; empty: it gives none. Errors: ERR_NOT_FOUND: no such subject (some
 * servers say yes to that), ERR_SCHEMA_VIOLATION. */
MUST_CHECK int registry_compatible(struct registry_client *client, struct str subject,
    struct str schema, bool *compatible, char *why);

/* The level in force for the subject: its own, else the registry's ("FULL"). Errors:
 * ERR_NOT_FOUND: the server knows none. */
MUST_CHECK int registry_level(
    struct registry_client *client, struct str subject, char level[REGISTRY_LEVEL_SIZE], char *why);

/* Sets the subject's own. A server that says 409, as another client sets one at the same time, is
 * asked whether it is this. */
MUST_CHECK int registry_set_level(
    struct registry_client *client, struct str subject, const char *level, char *why);
