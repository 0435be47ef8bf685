/* Invariant: allowance <= burst, in events times a million; below 0 it is a debt. */
#include "ingest/collector/sources.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define MILLION INT64_C(1000000)

/* A source's saved-up allowance, or what a batch beyond its burst has taken in advance. */
struct bucket {
    pthread_mutex_t lock;
    int64_t allowance;
    int64_t filled_at;
};

struct sources {
    struct source *list;
    struct bucket *buckets;
    size_t count;
    const struct source *open;
    _Atomic int references;
    void (*release)(void *owned);
    void *owned;
};

static int64_t burst_of(const struct source *source)
{
    int64_t events =
        source->config.burst ? source->config.burst : source->config.rate * SOURCE_BURST_SECONDS;
    return events * MILLION;
}

int sources_new(const struct config_source *config, size_t count, struct str open_source,
    struct metrics *metrics, struct sources **out)
{
    struct sources *sources = calloc(1, sizeof *sources);
    if (!sources)
        return ERR_NO_MEMORY;
    atomic_store(&sources->references, 1);
    sources->list = calloc(count + 1, sizeof *sources->list);
    sources->buckets = calloc(count + 1, sizeof *sources->buckets);
    if (!sources->list || !sources->buckets) {
        sources_free(&sources);
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        sources->list[i].config = config[i];
        if (str_equal(config[i].name, open_source))
            sources->open = &sources->list[i];
    }
    sources->count = count;
    if (open_source.size && !sources->open) {
        sources->list[count].config = (struct config_source){.name = open_source,
            .protocols = SOURCE_PROTOCOL_ALL,
            .currency = STR("USD"),
            .currency_assumed = true,
            .enabled = true};
        sources->open = &sources->list[count];
        sources->count++;
    }
    for (size_t i = 0; i < sources->count; i++) {
        struct source *source = &sources->list[i];
        source->metric = metrics_source(metrics, source->config.name);
        check(pthread_mutex_init(&sources->buckets[i].lock, NULL) == 0);
        sources->buckets[i].allowance = burst_of(source);
    }
    *out = sources;
    return 0;
}

static void inherit(struct bucket *bucket, struct bucket *old)
{
    check(pthread_mutex_lock(&old->lock) == 0);
    bucket->allowance = old->allowance;
    bucket->filled_at = old->filled_at;
    check(pthread_mutex_unlock(&old->lock) == 0);
}

void sources_inherit(struct sources *sources, struct sources *old)
{
    for (size_t i = 0; i < sources->count; i++)
        for (size_t k = 0; k < old->count; k++) {
            const struct config_source *new = &sources->list[i].config, *was = &old->list[k].config;
            if (str_equal(new->name, was->name) &&
                new->rate == was->rate &&new->burst == was->burst)
                inherit(&sources->buckets[i], &old->buckets[k]);
        }
}

struct sources *sources_ref(struct sources *sources)
{
    (void)atomic_fetch_add(&sources->references, 1);
    return sources;
}

void sources_on_free(struct sources *sources, void (*release)(void *owned), void *owned)
{
    sources->release = release;
    sources->owned = owned;
}

void sources_free(struct sources **sources)
{
    struct sources *gone = *sources;
    *sources = NULL;
    if (!gone || atomic_fetch_sub(&gone->references, 1) > 1)
        return;
    for (size_t i = 0; i < gone->count; i++)
        (void)pthread_mutex_destroy(&gone->buckets[i].lock);
    free(gone->list);
    free(gone->buckets);
    if (gone->release)
        gone->release(gone->owned);
    free(gone);
}

/* Looks at every byte, whatever the first ones say. */
static bool digests_equal(const uint8_t a[SHA256_SIZE], const uint8_t b[SHA256_SIZE])
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < SHA256_SIZE; i++)
        difference = difference | (uint8_t)(a[i] ^ b[i]);
    return difference == 0;
}

static bool holds(const uint8_t (*keys)[SHA256_SIZE], size_t count, const uint8_t digest[])
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= digests_equal(keys[i], digest);
    return found;
}

const struct source *sources_find(const struct sources *sources, struct str key, int64_t now_micros)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, key);
    sha256_final(&hash, digest);
    const struct source *found = NULL;
    for (size_t i = 0; i < sources->count; i++) {
        const struct config_source *config = &sources->list[i].config;
        bool old = holds(config->old_keys, config->old_keys_count, digest);
        if (holds(config->keys, config->keys_count, digest) ||
            (old && now_micros < config->old_keys_until_micros))
            found = &sources->list[i];
    }
    return found;
}

const struct source *sources_find_app(const struct sources *sources, struct str app_id)
{
    for (size_t i = 0; app_id.size && i < sources->count; i++)
        for (size_t k = 0; k < sources->list[i].config.app_ids_count; k++)
            if (str_equal(sources->list[i].config.app_ids[k], app_id))
                return &sources->list[i];
    return NULL;
}

const struct source *sources_find_name(const struct sources *sources, struct str name)
{
    for (size_t i = 0; i < sources->count; i++)
        if (str_equal(sources->list[i].config.name, name))
            return &sources->list[i];
    return NULL;
}

const struct source *sources_open(const struct sources *sources)
{
    return sources->open;
}

static struct str before(struct str text, size_t size)
{
    return str_make(text.data, size < text.size ? size : text.size);
}

/* An allowed origin is the origin itself, or, where its host begins with "*.", any host below the
 * rest. */
static bool origin_matches(struct str allowed, struct str origin)
{
    const char *star = memchr(allowed.data, '*', allowed.size);
    if (!star)
        return str_equal(allowed, origin);
    struct str scheme = before(allowed, (size_t)(star - allowed.data));
    struct str tail = str_make(star + 1, allowed.size - scheme.size - 1);
    if (origin.size <= scheme.size + tail.size || !str_starts_with(origin, scheme))
        return false;
    size_t host = origin.size - tail.size;
    return memcmp(origin.data + host, tail.data, tail.size) == 0;
}

bool source_allows_origin(const struct source *source, struct str origin)
{
    if (source->config.origins_count == 0 || origin.size == 0)
        return true;
    for (size_t i = 0; i < source->config.origins_count; i++)
        if (origin_matches(source->config.origins[i], origin))
            return true;
    return false;
}

/* Adds what time has brought, at most a full burst. */
static void fill(struct bucket *bucket, const struct source *source, int64_t now_micros)
{
    int64_t burst = burst_of(source);
    int64_t passed = now_micros - bucket->filled_at;
    bucket->filled_at = now_micros;
    int64_t gained = 0;
    if (passed <= 0)
        return;
    if (__builtin_mul_overflow(passed, source->config.rate, &gained) ||
        gained > burst - bucket->allowance)
        bucket->allowance = burst;
    else
        bucket->allowance += gained;
}

int source_take(
    struct sources *sources, const struct source *source, size_t events, int64_t now_micros)
{
    if (source->config.rate == 0 || events == 0)
        return 0;
    struct bucket *bucket = &sources->buckets[source - sources->list];
    int64_t burst = burst_of(source);
    int64_t price = (int64_t)events * MILLION;
    int64_t needed = price < burst ? price : burst;
    int wait_seconds = 0;
    check(pthread_mutex_lock(&bucket->lock) == 0);
    fill(bucket, source, now_micros);
    if (bucket->allowance >= needed) {
        bucket->allowance -= price;
    } else {
        int64_t per_second = source->config.rate * MILLION;
        wait_seconds = (int)((needed - bucket->allowance + per_second - 1) / per_second);
    }
    check(pthread_mutex_unlock(&bucket->lock) == 0);
    return wait_seconds;
}
