/* Records as a damaged log or a strange worker might hold them, through one identify stage and its
 * own mail, to rest: it answers 0 whatever they are, and what it writes it can read. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>

#include "enrich/identity/identify.h"
#include "ingest/stream/outbox.h"
#include "ingest/stream/state_overlay.h"
#include "schemas/error.h"
#include "schemas/identity_message.avro.h"
#include "tests/unit/schemas/record_random.h"

#define HEAD_SIZE 3 /* topic, size of the record (2, little-endian) */
#define MAILS_MAX 100000
#define RECORDS_MAX 30
#define VALUES 3 /* few, so that records meet */

struct mail {
    struct mail *next;
    struct str key;
    struct str value;
};

struct world {
    struct state_backend backend;
    struct outbox outbox;
    struct state *state;
    struct arena arena;
    struct arena scratch;
    struct mail *first;
    struct mail **last;
};

static int absent(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    return STATE_ABSENT;
}

static int begin(struct state_backend *backend, enum table table, struct str from, void **cursor)
{
    *cursor = backend;
    return 0;
}

static int next(void *cursor, struct str *key, struct str *value)
{
    return STATE_ABSENT;
}

static void end(void *cursor)
{
}

static int send_mail(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct world *world = (struct world *)(void *)((char *)outbox - offsetof(struct world, outbox));
    if (topic != TOPIC_IDENTITY)
        return 0;
    struct mail *mail = arena_alloc(&world->arena, sizeof *mail);
    check(mail);
    mail->next = NULL;
    int r = arena_dup(&world->arena, key, &mail->key);
    if (r == 0)
        r = arena_dup(&world->arena, value, &mail->value);
    check(r == 0);
    *world->last = mail;
    world->last = &mail->next;
    return 0;
}

static void deliver(
    struct world *world, const struct stage *stage, void *instance, const struct record *record)
{
    struct task task = {world->state, &world->outbox, &world->scratch, 0};
    int r = stage->process(instance, &task, record);
    check(r == 0);
    arena_reset(&world->scratch);
    for (size_t i = 0; world->first; i++) {
        const struct mail *mail = world->first;
        const struct record own = {.topic = TOPIC_IDENTITY, .key = mail->key, .value = mail->value};
        check(i < MAILS_MAX);
        r = stage->process(instance, &task, &own);
        check(r == 0);
        arena_reset(&world->scratch);
        world->first = mail->next;
    }
    world->last = &world->first;
}

/* The stage forgets what it has in memory now and then, so that it reads its rows. */
static void settle(struct world *world, const struct stage *stage, void *instance)
{
    struct task task = {world->state, &world->outbox, &world->scratch, 0};
    int r = stage->settle(instance, &task);
    check(r == 0);
    stage->reset(instance);
    arena_reset(&world->scratch);
}

static void run(struct world *world, const uint8_t *data, size_t size)
{
    static const struct identify_config config = {.tenant_key = "a key of fuzzers"};
    struct identify_config with = config;
    struct stage stage;
    void *instance;
    with.namespaces = namespace_table_default();
    identify_stage(&stage, &with);
    int r = stage.open(stage.config, &instance);
    check(r == 0);
    while (size >= HEAD_SIZE) {
        size_t value_size = data[1] | (size_t)data[2] << 8;
        bool event = data[0] & 1;
        if (value_size > size - HEAD_SIZE)
            value_size = size - HEAD_SIZE;
        const uint8_t *value = data + HEAD_SIZE;
        struct record record = {
            .topic = event ? TOPIC_EVENTS : TOPIC_IDENTITY, .value = str_make(value, value_size)};
        /* Mail is keyed by its receiver, which stands behind the kind. */
        record.key = str_make(value + 1, value_size > KEY_SIZE ? KEY_SIZE : 0);
        deliver(world, &stage, instance, &record);
        if (data[0] & 2)
            settle(world, &stage, instance);
        data = value + value_size;
        size -= HEAD_SIZE + value_size;
    }
    settle(world, &stage, instance);
    stage.close(instance);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {
        .backend = {.get = absent, .scan_begin = begin, .scan_next = next, .scan_end = end},
        .outbox = {send_mail}};
    world.last = &world.first;
    int r = state_new(&world.backend, &world.state);
    check(r == 0);
    run(&world, data, size);
    state_free(&world.state);
    arena_free(&world.arena);
    arena_free(&world.scratch);
    return 0;
}

/* ---- seeds ---- */

static struct identifier any_identifier(struct random *random)
{
    static const char *const values[VALUES] = {"a", "b", "c"};
    const struct namespace_table *table = namespace_table_default();
    return (struct identifier){
        .namespace = table->rules[random_below(random, table->count)].name,
        .value = str_of(values[random_below(random, VALUES)]),
    };
}

static void any_node(struct random *random, uint8_t id[KEY_SIZE])
{
    struct identifier identifier = any_identifier(random);
    const struct namespace_table *table = namespace_table_default();
    namespace_node_id(table, namespace_rank(table, identifier.namespace), identifier.value, id);
}

static void add_event(struct random *random, struct arena *arena, struct buf *out)
{
    struct identifier identifiers[6];
    struct touchpoint event;
    touchpoint_init(&event);
    event.identifiers = identifiers;
    event.identifiers_count = 1 + random_below(random, 6);
    for (size_t i = 0; i < event.identifiers_count; i++)
        identifiers[i] = any_identifier(random);
    int r = touchpoint_encode(&event, out);
    check(r == 0);
}

static void add_message(struct random *random, struct arena *arena, struct buf *out)
{
    struct identity_message message;
    struct link_end links[3];
    struct buf event = {0};
    identity_message_init(&message);
    message.kind = (enum identity_kind)random_below(random, IDENTITY_KIND_COUNT);
    any_node(random, message.to);
    any_node(random, message.from);
    message.has_other = random_below(random, 4) != 0;
    any_node(random, message.other);
    message.on = random_below(random, 2);
    message.number = (int64_t)random_below(random, 3);
    message.links = links;
    message.links_count = random_below(random, 4);
    for (size_t i = 0; i < message.links_count; i++) {
        any_node(random, links[i].node);
        links[i].value = (struct str){0};
    }
    add_event(random, arena, &event);
    message.event = buf_str(&event);
    int r = identity_message_encode(&message, out);
    check(r == 0);
    buf_free(&event);
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    struct random random = {seed};
    struct arena arena = {0};
    struct buf value = {0};
    size_t size = 0;
    for (size_t i = random_below(&random, RECORDS_MAX); i > 0; i--) {
        uint8_t flags = (uint8_t)random_below(&random, 4);
        buf_clear(&value);
        if (flags & 1)
            add_event(&random, &arena, &value);
        else
            add_message(&random, &arena, &value);
        if (size + HEAD_SIZE + value.size > FUZZ_INPUT_SIZE_MAX / 2)
            break;
        out[size] = flags;
        out[size + 1] = (uint8_t)value.size;
        out[size + 2] = (uint8_t)(value.size >> 8);
        memcpy(out + size + HEAD_SIZE, value.data, value.size);
        size += HEAD_SIZE + value.size;
    }
    buf_free(&value);
    arena_free(&arena);
    return size;
}
