/* An instance keeps persons as a cache of what the tables say; reset() drops it. */
#include "enrich/journey/journey.h"

#include <stdlib.h>

#include "enrich/journey/erasure.h"
#include "enrich/journey/settle.h"
#include "schemas/error.h"

#define STAGE_NAME "journey"
/* Beyond, or beyond half of cache_bytes_max, all persons and texts are dropped at once. */
#define INTERN_BYTES_MAX ((size_t)32 << 20)
#define BLOCK_BYTES_MIN ((size_t)64 << 10)
#define BATCH_ARENA_MAX ((size_t)1 << 36)

struct journey {
    const struct journey_config *config;
    struct folder folder;
    struct persons persons;
    struct arena batch;
    struct buf value;
    struct settle_room room;
    struct model_counter models;
};

static const enum topic inputs[] = {TOPIC_JOURNEY};

static void stage_close(void *instance)
{
    struct journey *journey = instance;
    folder_fini(&journey->folder);
    persons_fini(&journey->persons);
    arena_free(&journey->batch);
    buf_free(&journey->value);
    settle_fini(&journey->room);
    model_counter_fini(&journey->models);
    free(journey);
}

static int stage_open(const void *config, void **instance)
{
    struct journey *journey = calloc(1, sizeof *journey);
    if (!journey)
        return ERR_NO_MEMORY;
    journey->config = config;
    journey->batch.size_max = BATCH_ARENA_MAX;
    const size_t block = journey->config->cache_bytes_max / 4;
    if (block < ARENA_BLOCK_SIZE_MAX_DEFAULT)
        journey->batch.block_size_max = block < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : block;
    int r = folder_init(&journey->folder, journey->config);
    if (r == 0)
        r = persons_init(&journey->persons);
    if (r < 0) {
        stage_close(journey);
        return r;
    }
    journey->models =
        (struct model_counter){.config = journey->config, .intern = journey->folder.intern};
    *instance = journey;
    return 0;
}

static struct timeline timeline_of(struct journey *journey, struct task *task)
{
    return (struct timeline){
        .config = journey->config,
        .types = journey->folder.types,
        .persons = &journey->persons,
        .batch = &journey->batch,
        .value = &journey->value,
        .task = task,
    };
}

static int take(struct timeline *timeline, const struct record *record)
{
    struct journey_message message;
    struct str bytes;
    int r = arena_dup(timeline->batch, record->value, &bytes);
    if (r == 0)
        r = journey_message_decode(&message, bytes, timeline->task->scratch);
    if (r < 0)
        return r;
    if (!str_equal(record->key, str_make(message.person, KEY_SIZE)))
        return ERR_VALUE;
    switch (message.kind) {
    case JOURNEY_KIND_PUT:
        return timeline_put(timeline, &message);
    case JOURNEY_KIND_GONE:
        return timeline_gone(timeline, &message);
    case JOURNEY_KIND_ERASE:
        return erasure_erase(timeline, &message);
    case JOURNEY_KIND_SUPPRESS:
        return erasure_suppress(timeline, &message);
    default:
        return ERR_VALUE;
    }
}

static int stage_process(void *instance, struct task *task, const struct record *record)
{
    struct timeline timeline = timeline_of(instance, task);
    int r = take(&timeline, record);
    if (r < 0 && error_class(r) == ERROR_CLASS_REJECT)
        return timeline_reject(
            task, &(struct timeline_rejection){.error = r, .payload = record->value});
    return r;
}

/* All counts begin at nothing; persons are counted as they are derived. */
static int stage_rederive_begin(void *instance, struct task *task)
{
    (void)instance;
    return model_counter_forget(task);
}

/* Derives the person's rows again, from the first event on. */
static int stage_rederive(void *instance, struct task *task, struct str key)
{
    struct timeline timeline = timeline_of(instance, task);
    struct person *person;
    if (key.size != KEY_SIZE)
        return ERR_STATE;
    int r = timeline_person(&timeline, (const uint8_t *)key.data, &person);
    if (r < 0)
        return r;
    person->broken = true;
    person->uncounted = true;
    return persons_mark(timeline.persons, person);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int compare_persons(const void *a, const void *b)
{
    return memcmp((*(struct person *const *)a)->id, (*(struct person *const *)b)->id, KEY_SIZE);
}

static int stage_settle(void *instance, struct task *task)
{
    struct journey *journey = instance;
    struct persons *persons = &journey->persons;
    struct timeline timeline = timeline_of(journey, task);
    struct settle settle = {.timeline = &timeline,
        .folder = &journey->folder,
        .room = &journey->room,
        .models = &journey->models};
    /* In the order of their rows, which lie side by side in the store. */
    if (persons->dirty_count > 1)
        qsort(persons->dirty, persons->dirty_count, sizeof *persons->dirty, compare_persons);
    for (size_t i = 0; i < persons->dirty_count; i++) {
        int r = settle_person(&settle, persons->dirty[i]);
        if (r < 0)
            return error_class(r) == ERROR_CLASS_REJECT ? ERR_INTERNAL : r;
    }
    int flushed = model_counter_flush(&journey->models, task);
    if (flushed < 0)
        return flushed;
    const size_t cache = journey->config->cache_bytes_max;
    persons_settled(persons, cache);
    arena_reset(&journey->batch);
    if (intern_size(journey->folder.intern) > smaller(INTERN_BYTES_MAX, cache / 2)) {
        persons_clear(persons);
        intern_clear(journey->folder.intern);
    }
    return 0;
}

static void stage_reset(void *instance)
{
    struct journey *journey = instance;
    persons_clear(&journey->persons);
    arena_reset(&journey->batch);
    model_counter_reset(&journey->models);
}

void journey_stage(struct stage *out, const struct journey_config *config)
{
    *out = (struct stage){
        .name = STAGE_NAME,
        .inputs = inputs,
        .inputs_count = sizeof inputs / sizeof *inputs,
        .config = config,
        .open = stage_open,
        .process = stage_process,
        .settle = stage_settle,
        .reset = stage_reset,
        .close = stage_close,
        .rederive = stage_rederive,
        .rederive_begin = stage_rederive_begin,
        .rederive_table = TABLE_PROFILE,
    };
}
