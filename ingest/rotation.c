/* See the header. Slots are written by any thread at any time: a torn picture of several is a pair
 * told once more. */
#include "ingest/rotation.h"

#include <stdatomic.h>

#include "schemas/error.h"

#define ADAPTER_VERSION 1
#define LOOK_BACK 64 /* pairs at a list's end that are not added again */
#define ROOM_MIN 4
#define EVENT_ID_BYTES 16

struct rotation_cache {
    _Atomic uint64_t slots[ROTATION_SLOTS]; /* 0: empty */
};

struct rotation_cache *rotation_cache_new(struct arena *arena)
{
    struct rotation_cache *cache = arena_alloc(arena, sizeof *cache);
    for (size_t i = 0; cache && i < ROTATION_SLOTS; i++)
        atomic_init(&cache->slots[i], 0);
    return cache;
}

/* The pair's digest: its id, and, never 0, its mark. */
static uint64_t digest_of(const struct identifier_pair *pair, uint8_t digest[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, pair->namespace);
    sha256_update_sized(&hash, pair->old);
    sha256_update_sized(&hash, pair->new);
    sha256_final(&hash, digest);
    uint64_t mark = get_be64(digest);
    return mark ? mark : 1;
}

static bool was_told(const struct rotation_cache *cache, uint64_t mark)
{
    return cache &&
           atomic_load_explicit(&cache->slots[mark % ROTATION_SLOTS], memory_order_relaxed) == mark;
}

static bool is_listed(const struct rotation_list *list, uint64_t mark)
{
    size_t first = list->count > LOOK_BACK ? list->count - LOOK_BACK : 0;
    for (size_t i = list->count; i > first; i--)
        if (list->marks[i - 1] == mark)
            return true;
    return false;
}

static int grow(struct rotation_list *list, struct arena *arena)
{
    if (list->count < list->room)
        return 0;
    size_t room = list->room ? list->room * 2 : ROOM_MIN;
    struct append_record *records = arena_alloc(arena, room * sizeof *records);
    uint64_t *marks = arena_alloc(arena, room * sizeof *marks);
    if (!records || !marks)
        return ERR_NO_MEMORY;
    if (list->count) {
        memcpy(records, list->records, list->count * sizeof *records);
        memcpy(marks, list->marks, list->count * sizeof *marks);
    }
    *list = (struct rotation_list){records, marks, list->count, room};
    return 0;
}

/* Makes the pair's event and the node that it goes to. */
static int make_record(const struct identifier_config *config, const struct identifier_pair *pair,
    const uint8_t digest[SHA256_SIZE], struct arena *arena, struct append_record *out)
{
    char id[2 * EVENT_ID_BYTES];
    struct identifier old = {.namespace = pair->namespace, .value = pair->old};
    struct node node;
    struct touchpoint event;
    CLEANUP(buf_free) struct buf bytes = {0};
    hex_encode(digest, EVENT_ID_BYTES, id);
    touchpoint_init(&event);
    event.event_id = str_make(id, sizeof id);
    event.source = STR(ROTATION_SOURCE);
    event.protocol = PROTOCOL_NATIVE;
    event.adapter_version = ADAPTER_VERSION;
    event.type = STR(ROTATION_EVENT_TYPE);
    event.occurred_at = event.received_at = config->next.since;
    event.time_quality = TIME_QUALITY_SERVER;
    event.identifiers = &old;
    event.identifiers_count = 1;
    event.has_evidence = true;
    event.evidence = (struct evidence){.a_namespace = pair->namespace,
        .a_value = pair->old,
        .b_namespace = pair->namespace,
        .b_value = pair->new,
        .sign = 1,
        .reason = STR("key rotation")};
    struct append_record record = {.topic = TOPIC_EVENTS};
    int r = namespace_strongest(config->namespaces, &old, 1, arena, &node);
    if (r < 0)
        return r;
    namespace_event_key(&node, &event);
    r = arena_dup(arena, str_make(node.id, KEY_SIZE), &record.key);
    if (r == 0)
        r = touchpoint_encode(&event, &bytes);
    if (r == 0)
        r = arena_dup(arena, buf_str(&bytes), &record.value);
    if (r == 0)
        *out = record;
    return r;
}

int rotation_add(struct rotation_list *list, const struct identifier_config *config,
    const struct identifier_pair *pair, const struct rotation_cache *cache, struct arena *arena)
{
    uint8_t digest[SHA256_SIZE];
    uint64_t mark = digest_of(pair, digest);
    if (was_told(cache, mark) || is_listed(list, mark))
        return 0;
    int r = grow(list, arena);
    if (r == 0)
        r = make_record(config, pair, digest, arena, &list->records[list->count]);
    if (r == 0)
        list->marks[list->count++] = mark;
    return r;
}

int rotation_add_list(
    struct rotation_list *list, const struct rotation_list *more, struct arena *arena)
{
    for (size_t i = 0; i < more->count; i++) {
        if (is_listed(list, more->marks[i]))
            continue;
        int r = grow(list, arena);
        if (r < 0)
            return r;
        list->records[list->count] = more->records[i];
        list->marks[list->count++] = more->marks[i];
    }
    return 0;
}

void rotation_told(struct rotation_cache *cache, const struct rotation_list *list)
{
    for (size_t i = 0; cache && i < list->count; i++)
        atomic_store_explicit(
            &cache->slots[list->marks[i] % ROTATION_SLOTS], list->marks[i], memory_order_relaxed);
}
