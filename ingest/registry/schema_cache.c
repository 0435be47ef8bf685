/*
 * 1. Entries are never freed or moved before close(): plans may be used without the lock.
 * 2. `state` and what hangs on it change under the mutex only; a plan is made outside of it, by the
 *    one thread that asks, and then put in.
 * 3. Only the thread touches the client.
 */
#include "ingest/registry/schema_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>

#include "ingest/metrics/metrics.h"
#include "schemas/error.h"
#include "schemas/schema_set.h"

#define PAUSE_MS_FIRST 200
#define PAUSE_MS_MAX 10000

enum entry_state {
    ENTRY_AWAITED,
    ENTRY_PLAN,
    ENTRY_INCOMPATIBLE,
    ENTRY_ABSENT,
};

struct entry {
    uint32_t id;
    const struct avro_type *type;
    enum entry_state state;
    struct avro_plan *plan;
    bool known; /* of a plan's schema: this build has that version */
    int64_t absent_until;
};

struct schema_cache {
    struct schema_cache_config config;
    struct registry_config registry; /* with our `stopping` */
    struct registry_client *client;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    pthread_cond_t replied;
    struct entry *entries[SCHEMA_CACHE_ENTRIES_MAX]; /* under mutex */
    size_t count;                                    /* under mutex */
    size_t turn;                                     /* under mutex: where to look for one to ask */
    atomic_bool closing;
    atomic_uint_fast64_t replies;
};

static int64_t system_ms(void *context)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_ms(const struct schema_cache *cache)
{
    return cache->config.now_ms(cache->config.context);
}

static bool is_closing(void *context)
{
    struct schema_cache *cache = context;
    return atomic_load(&cache->closing);
}

static void log_registry(void *context, int level, const char *event, const char *text)
{
    const struct schema_cache *cache = context;
    const struct registry_config *registry = cache->config.registry;
    if (registry->log)
        registry->log(registry->context, level, event, text);
}

/* Of an address that does not answer run() tells itself, with the id. */
static void log_asking(void *context, int level, const char *event, const char *text)
{
    if (strcmp(event, "registry_unreachable") != 0)
        log_registry(context, level, event, text);
}

/* ---- entries, under the mutex ---- */

static struct entry *find(struct schema_cache *cache, uint32_t id, const struct avro_type *type)
{
    for (size_t i = 0; i < cache->count; i++)
        if (cache->entries[i]->id == id && cache->entries[i]->type == type)
            return cache->entries[i];
    return NULL;
}

/* A place for one more: a new one, or that of one without a plan, which can be asked again. */
static int add(
    struct schema_cache *cache, uint32_t id, const struct avro_type *type, struct entry **out)
{
    struct entry *entry = NULL;
    if (cache->count < SCHEMA_CACHE_ENTRIES_MAX) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return ERR_NO_MEMORY;
        cache->entries[cache->count++] = entry;
    }
    for (size_t i = 0; !entry && i < cache->count; i++)
        if (cache->entries[i]->state == ENTRY_ABSENT ||
            cache->entries[i]->state == ENTRY_INCOMPATIBLE)
            entry = cache->entries[i];
    if (!entry)
        return ERR_FULL;
    *entry = (struct entry){.id = id, .type = type, .state = ENTRY_AWAITED};
    *out = entry;
    return 0;
}

/* Makes the entry awaited where nothing (any more) is known. */
static int look_up(
    struct schema_cache *cache, uint32_t id, const struct avro_type *type, struct entry **out)
{
    struct entry *entry = find(cache, id, type);
    bool expired = entry && entry->state == ENTRY_ABSENT && now_ms(cache) >= entry->absent_until;
    int r = entry ? 0 : add(cache, id, type, &entry);
    if (r < 0)
        return r;
    if (expired)
        entry->state = ENTRY_AWAITED;
    if (entry->state == ENTRY_AWAITED)
        pthread_cond_signal(&cache->asked);
    *out = entry;
    return 0;
}

static int outcome(const struct entry *entry, const struct avro_plan **plan)
{
    switch (entry->state) {
    case ENTRY_AWAITED:
        return SCHEMA_CACHE_AWAITED;
    case ENTRY_PLAN:
        *plan = entry->plan;
        return 0;
    case ENTRY_INCOMPATIBLE:
        return ERR_SCHEMA_INCOMPATIBLE;
    case ENTRY_ABSENT:
        return ERR_SCHEMA_UNKNOWN;
    }
    return ERR_INTERNAL;
}

/* Some entry that waits for a reply, each in its turn. */
static struct entry *next_awaited(struct schema_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        struct entry *entry = cache->entries[(cache->turn + i) % cache->count];
        if (entry->state != ENTRY_AWAITED)
            continue;
        cache->turn = (cache->turn + i + 1) % cache->count;
        return entry;
    }
    return NULL;
}

/* ---- plans ---- */

/* Whether one of our versions of the record is the schema. */
static int find_version(struct str schema, const struct avro_type *type, bool *known)
{
    CLEANUP(arena_free) struct arena arena = {0};
    struct writer_node *theirs, *ours;
    size_t count;
    const struct schema_entry *entries = schema_set(&count), *present = NULL;
    for (size_t i = 0; i < count; i++)
        if (entries[i].type == type)
            present = &entries[i];
    *known = false;
    int r = writer_schema_parse(schema, &arena, &theirs, NULL);
    for (size_t i = 0; r == 0 && present && i < count && !*known; i++) {
        if (strcmp(entries[i].name, present->name) != 0)
            continue;
        r = writer_schema_parse(str_of(entries[i].text), &arena, &ours, NULL);
        *known = r == 0 && writer_same(theirs, ours);
    }
    return r;
}

static int make_plan(struct entry *out, struct str schema, char *why)
{
    int r = avro_plan_new(&out->plan, schema, out->type, why);
    if (r == 0)
        r = find_version(schema, out->type, &out->known);
    if (r < 0)
        avro_plan_free(&out->plan);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_SCHEMA_INCOMPATIBLE : r;
}

/* ---- the thread ---- */

/* Returns 0 when there is a reply for the entry, in its copy `out`. Without the lock. */
static int ask(struct schema_cache *cache, struct entry *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    char why[REGISTRY_WHY_SIZE] = "", line[REGISTRY_WHY_SIZE + 64];
    int r = registry_by_id(cache->client, out->id, &text, why);
    if (r == 0)
        r = make_plan(out, buf_str(&text), why);
    if (r == 0)
        out->state = ENTRY_PLAN;
    if (r == ERR_SCHEMA_INCOMPATIBLE)
        out->state = ENTRY_INCOMPATIBLE;
    if (r == ERR_NOT_FOUND) {
        out->state = ENTRY_ABSENT;
        out->absent_until = now_ms(cache) + cache->config.absent_ms;
    }
    bool told = out->state != ENTRY_AWAITED;
    if (r < 0 && r != ERR_AGAIN) {
        (void)snprintf(line, sizeof line, "id %u as %s: %s", out->id, out->type->name,
            why[0] ? why : error_text(r));
        log_registry(cache, told ? LOG_WARNING : LOG_ERR,
            told ? "registry_schema_refused" : "registry_waits", line);
    }
    return told ? 0 : r;
}

/* Until the time, something else is asked, or the end. With the lock. */
static void rest(struct schema_cache *cache, int64_t pause)
{
    uint32_t random = 0;
    struct timespec until;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) == sizeof random)
        pause = pause / 2 + (int64_t)(random % (uint32_t)(pause / 2 + 1));
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanos = until.tv_nsec + pause % 1000 * 1000000;
    until.tv_sec += pause / 1000 + nanos / 1000000000;
    until.tv_nsec = nanos % 1000000000;
    while (!atomic_load(&cache->closing) &&
           pthread_cond_timedwait(&cache->asked, &cache->mutex, &until) == 0)
        ; /* who asks again while the registry is away does not shorten the pause */
}

static void *run(void *context)
{
    struct schema_cache *cache = context;
    int64_t pause = PAUSE_MS_FIRST;
    pthread_mutex_lock(&cache->mutex);
    while (!atomic_load(&cache->closing)) {
        struct entry *entry = next_awaited(cache);
        if (!entry) {
            pthread_cond_wait(&cache->asked, &cache->mutex);
            continue;
        }
        struct entry reply = *entry;
        pthread_mutex_unlock(&cache->mutex);
        int r = ask(cache, &reply);
        pthread_mutex_lock(&cache->mutex);
        if (r < 0) {
            rest(cache, pause);
            pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
            continue;
        }
        pause = PAUSE_MS_FIRST;
        if (entry->state == ENTRY_AWAITED)
            *entry = reply;
        else
            avro_plan_free(&reply.plan); /* put() was faster */
        atomic_fetch_add(&cache->replies, 1);
        pthread_cond_broadcast(&cache->replied);
    }
    pthread_mutex_unlock(&cache->mutex);
    return NULL;
}

/* ---- opening and closing ---- */

static void init_conditions(struct schema_cache *cache)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->asked, &attributes);
    pthread_cond_init(&cache->replied, &attributes);
    pthread_condattr_destroy(&attributes);
}

int schema_cache_open(const struct schema_cache_config *config, struct schema_cache **out)
{
    struct schema_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return ERR_NO_MEMORY;
    cache->config = *config;
    if (!cache->config.now_ms)
        cache->config.now_ms = system_ms;
    cache->registry = *config->registry;
    cache->registry.attempts = 1; /* the thread goes on by itself */
    cache->registry.stopping = is_closing;
    cache->registry.log = log_asking;
    cache->registry.context = cache;
    init_conditions(cache);
    int r = registry_client_new(&cache->registry, &cache->client);
    if (r == 0) {
        cache->started = pthread_create(&cache->thread, NULL, run, cache) == 0;
        r = cache->started ? 0 : ERR_NO_MEMORY;
    }
    if (r < 0) {
        schema_cache_close(&cache);
        return r;
    }
    *out = cache;
    return 0;
}

void schema_cache_close(struct schema_cache **cache)
{
    struct schema_cache *gone = *cache;
    if (!gone)
        return;
    if (gone->started) {
        pthread_mutex_lock(&gone->mutex);
        atomic_store(&gone->closing, true);
        pthread_cond_broadcast(&gone->asked);
        pthread_mutex_unlock(&gone->mutex);
        (void)pthread_join(gone->thread, NULL);
    }
    registry_client_free(&gone->client);
    for (size_t i = 0; i < gone->count; i++) {
        avro_plan_free(&gone->entries[i]->plan);
        free(gone->entries[i]);
    }
    pthread_cond_destroy(&gone->replied);
    pthread_cond_destroy(&gone->asked);
    pthread_mutex_destroy(&gone->mutex);
    free(gone);
    *cache = NULL;
}

/* ---- asking ---- */

int schema_cache_find(struct schema_cache *cache, uint32_t id, const struct avro_type *type,
    const struct avro_plan **plan)
{
    return schema_cache_wait(cache, id, type, 0, plan);
}

int schema_cache_wait(struct schema_cache *cache, uint32_t id, const struct avro_type *type,
    int timeout_ms, const struct avro_plan **plan)
{
    struct timespec until;
    struct entry *entry;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanos = until.tv_nsec + (int64_t)timeout_ms % 1000 * 1000000;
    until.tv_sec += timeout_ms / 1000 + nanos / 1000000000;
    until.tv_nsec = nanos % 1000000000;
    pthread_mutex_lock(&cache->mutex);
    int r = look_up(cache, id, type, &entry);
    if (r == 0 && cache->registry.metrics)
        metrics_add(cache->registry.metrics, METRIC_REGISTRY_SCHEMAS,
            entry->state == ENTRY_AWAITED ? CACHE_MISS : CACHE_HIT, 0, 1);
    while (r == 0 && entry->state == ENTRY_AWAITED && timeout_ms > 0 &&
           pthread_cond_timedwait(&cache->replied, &cache->mutex, &until) == 0)
        ;
    if (r == 0)
        r = outcome(entry, plan);
    pthread_mutex_unlock(&cache->mutex);
    return r;
}

int schema_cache_put(
    struct schema_cache *cache, uint32_t id, const struct avro_type *type, struct str schema)
{
    struct entry made = {.id = id, .type = type, .state = ENTRY_PLAN};
    struct entry *entry;
    int r = make_plan(&made, schema, NULL);
    if (r < 0)
        return r;
    pthread_mutex_lock(&cache->mutex);
    r = look_up(cache, id, type, &entry);
    if (r == 0 && entry->state != ENTRY_PLAN) {
        *entry = made;
        made.plan = NULL;
        pthread_cond_broadcast(&cache->replied);
    }
    pthread_mutex_unlock(&cache->mutex);
    avro_plan_free(&made.plan);
    return r;
}

bool schema_cache_known(struct schema_cache *cache, uint32_t id, const struct avro_type *type)
{
    pthread_mutex_lock(&cache->mutex);
    const struct entry *entry = find(cache, id, type);
    bool known = entry && entry->state == ENTRY_PLAN && entry->known;
    pthread_mutex_unlock(&cache->mutex);
    return known;
}

uint64_t schema_cache_replies(const struct schema_cache *cache)
{
    return atomic_load(&cache->replies);
}
