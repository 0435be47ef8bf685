/*
 * What a consumer asks about ids: the plan that reads the registry's schema of an id as one of our
 * records. A thread of the cache asks the registry; who consumes never waits for HTTP, and no lock
 * is held while a request is under way.
 *
 *     unknown ─find()─▶ awaited ─reply─▶ plan, or incompatible: for ever (an id's schema never
 *        ▲                 │              changes)
 *        │                 └─no such id─▶ absent ─unknown_ms later─▶ unknown
 *        └── no reply: awaited, asked again with growing pauses until there is one
 */
#pragma once

#include "ingest/registry/registry_client.h"
#include "schemas/avro_plan.h"

#define SCHEMA_CACHE_ENTRIES_MAX 4096 /* ids as records; further ones are ERR_FULL */
#define SCHEMA_CACHE_ABSENT_MS 30000

struct schema_cache_config {
    const struct registry_config *registry; /* its `stopping` is not asked: close() ends requests */
    int64_t absent_ms;                      /* how long a 404 is believed */
    int64_t (*now_ms)(void *context);       /* a clock that only rises; NULL: the system's */
    void *context;
};

struct schema_cache;
/* Starts the thread. config is copied, what it points to borrowed. Errors: those of
 * registry_client_new(). */
MUST_CHECK int schema_cache_open(
    const struct schema_cache_config *config, struct schema_cache **out);
/* Ends a request under way; plans are gone. Accepts NULL inside, leaves NULL. */
void schema_cache_close(struct schema_cache **cache);

/*
 * The plan that reads values of the id into a record of `type`, valid until close(). Never waits.
 * Returns 0, or SCHEMA_CACHE_AWAITED: the registry is being asked.
 * Errors: ERR_SCHEMA_UNKNOWN: it says that there is no such id; ERR_SCHEMA_INCOMPATIBLE: not Avro,
 * or no schema that can be read as that record; ERR_FULL (too many ids), ERR_NO_MEMORY.
 * Threads: any.
 */
#define SCHEMA_CACHE_AWAITED 1
MUST_CHECK int schema_cache_find(struct schema_cache *cache, uint32_t id,
    const struct avro_type *type, const struct avro_plan **plan);

/* Whether the schema of an id with a plan is a version of the record that this build knows, by
 * schemas/avro/ids.txt: what other builds of ours write is readable when it is not, but says more
 * than is understood here. False for an id without a plan. Threads: any. */
bool schema_cache_known(struct schema_cache *cache, uint32_t id, const struct avro_type *type);

/* The same, and waits up to timeout_ms for a reply. Threads: any but a worker's with work at hand.
 */
MUST_CHECK int schema_cache_wait(struct schema_cache *cache, uint32_t id,
    const struct avro_type *type, int timeout_ms, const struct avro_plan **plan);

/* Says what an id is without asking: own schemas, just registered. Errors: ERR_SCHEMA_INCOMPATIBLE,
 * ERR_FULL, ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int schema_cache_put(
    struct schema_cache *cache, uint32_t id, const struct avro_type *type, struct str schema);

/* Rises with every reply: who waits for one looks whether it did. Threads: any. */
uint64_t schema_cache_replies(const struct schema_cache *cache);
