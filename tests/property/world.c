/* Draws, encodes, feeds; nothing here knows what is right. */
#include "tests/property/world.h"

#include "enrich/identity/person.h"
#include "schemas/error.h"
#include "tests/property/identity_case.h"

#define EVENTS_MAX_DEFAULT 60
#define TIMES 9
#define HOUR_MICROS ((int64_t)3600 * 1000000)
#define TEXT_SIZE 32
#define SHRINK_SCHEDULES 8 /* tried before a smaller world counts as sound */
#define STEPS_BETWEEN 24   /* batches that may run between two events */

static const uint8_t tenant_key[32] = "a key of tests, not of tenants";

/* Few of each, so that they meet. Source: identity_spec.py, random_case(). */
static const struct {
    const char *name;
    unsigned values;
} pool[] = {{"login", 3}, {"loyalty", 3}, {"email", 3}, {"phone", 2}, {"cookie", 4}, {"device", 2},
    {"order", 3}};
#define POOL (sizeof pool / sizeof *pool)

int world_rank(const char *name)
{
    int rank = namespace_rank(namespace_table_default(), str_of(name));
    check(rank >= 0);
    return rank;
}

/* ---- drawing ---- */

static struct world_id draw_id(struct random *random, size_t kind)
{
    return (struct world_id){
        world_rank(pool[kind].name), 1 + (unsigned)random_below(random, pool[kind].values)};
}

static void draw_ids(struct random *random, struct world_event *event)
{
    static const size_t counts[] = {1, 2, 2, 3, 4};
    size_t count = counts[random_below(random, 5)];
    bool taken[POOL] = {false};
    while (event->ids_count < count) {
        size_t kind = random_below(random, POOL);
        if (taken[kind])
            continue;
        taken[kind] = true;
        event->ids[event->ids_count++] = draw_id(random, kind);
        if (strcmp(pool[kind].name, "cookie") == 0 && random_below(random, 10) < 4)
            event->ids[event->ids_count++] = draw_id(random, kind); /* a network's beside the own */
    }
}

static void draw_event(struct random *random, struct world_event *event)
{
    event->time = (int64_t)random_below(random, TIMES);
    draw_ids(random, event);
    if (random_once_in(random, 3))
        event->revenue_minor = 1 + (int64_t)random_below(random, 100000);
}

/* Words of one kind make a web: chains, stars and circles of what they link, and gaps in them. */
#define WEB_VALUES 6
static const char *const webs[] = {"login", "login", "loyalty", "email", "cookie"};

static void draw_pair(struct random *random, int web, struct world_event *event)
{
    for (size_t i = 0; i < 2; i++)
        event->ids[i] =
            web < 0 ? draw_id(random, random_below(random, POOL))
                    : (struct world_id){web, 1 + (unsigned)random_below(random, WEB_VALUES)};
}

/* web: the rank of both, or -1. */
static void draw_word(struct random *random, int web, struct world_event *event)
{
    event->kind = WORLD_WORD;
    event->speaker = (struct world_id){0, WORLD_OPERATOR};
    event->time = (int64_t)random_below(random, TIMES);
    do
        draw_pair(random, web, event);
    while (
        event->ids[0].rank == event->ids[1].rank && event->ids[0].number == event->ids[1].number);
    event->ids_count = 2;
    event->sign = random_once_in(random, web < 0 ? 3 : 5) ? -1 : 1;
    event->authority = random_once_in(random, 2) ? 0 : 100;
}

static void draw_erasure(struct random *random, struct world_event *event)
{
    event->kind = WORLD_ERASURE;
    event->time = (int64_t)random_below(random, TIMES + 1);
    event->ids[0] = draw_id(random, random_below(random, POOL));
    event->ids_count = 1;
}

void world_draw(uint64_t seed, const struct world_options *options, struct world *out)
{
    static const size_t sizes[] = {6, 14, 30, 60};
    static const int32_t ups[] = {1, 2, 5}, downs[] = {2, 3, 1000};
    struct random random = {seed};
    size_t max = options->events_max ? options->events_max : EVENTS_MAX_DEFAULT;
    size_t events = sizes[random_below(&random, 4)];
    size_t words = options->words_max ? random_below(&random, options->words_max + 1) : 0;
    int web = options->words_max && random_once_in(&random, 2)
                  ? world_rank(webs[random_below(&random, sizeof webs / sizeof *webs)])
                  : -1;
    size_t erasures =
        options->erasures || options->erasures_last ? 1 + random_below(&random, 2) : 0;
    *out = (struct world){.seed = seed, .phases = options->phases};
    out->up_max = ups[random_below(&random, 3)];
    out->down_max = downs[random_below(&random, 3)];
    out->protected_max = 1 + (int32_t)random_below(&random, 3);
    if (options->never_generic)
        out->up_max = out->down_max = 1000;
    events = events > max ? max : events;
    check(events + words + erasures <= WORLD_EVENTS_MAX);
    out->count = events + words + erasures;
    for (size_t i = 0; i < out->count; i++) {
        struct world_event *event = &out->events[i];
        *event = (struct world_event){.number = (unsigned)i};
        if (i < events)
            draw_event(&random, event);
        else if (i < events + words)
            draw_word(&random, random_once_in(&random, 4) ? -1 : web, event);
        else
            draw_erasure(&random, event);
    }
    if (options->phases == SIZE_MAX)
        out->phases = out->count;
    for (size_t i = 0; i < out->count; i++)
        out->events[i].phase = options->phases == SIZE_MAX ? i : random_below(&random, out->phases);
    for (size_t i = events + words; options->erasures_last && i < out->count; i++)
        out->events[i].phase = out->phases++;
    for (size_t i = 0; options->late && i < events + words; i++)
        if (random_once_in(&random, 4))
            out->events[i].phase = out->phases;
    out->phases += options->late;
}

void world_add(struct world *world, const struct world_event *event)
{
    check(world->count < WORLD_EVENTS_MAX);
    struct world_event *to = &world->events[world->count++];
    *to = *event;
    to->phase = world->phases++;
    to->number = to > world->events ? to[-1].number + 1 : 0;
}

static void print_id(struct world_id id)
{
    const struct namespace_rule *rule = &namespace_table_default()->rules[id.rank];
    (void)fprintf(stderr, " %.*s-%u", (int)rule->name.size, rule->name.data, id.number);
}

void world_print(const struct world *world)
{
    static const char *const kinds[] = {"event", "word", "erasure"};
    (void)fprintf(stderr, "  up %d, down %d, protected %d, %zu phases\n", world->up_max,
        world->down_max, world->protected_max, world->phases);
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *event = &world->events[i];
        (void)fprintf(stderr, "  phase %zu: %s %u, time %lld", event->phase, kinds[event->kind],
            event->number, (long long)event->time);
        if (event->kind == WORLD_WORD)
            (void)fprintf(stderr, ", sign %d, authority %d", event->sign, event->authority);
        if (event->revenue_minor)
            (void)fprintf(stderr, ", revenue %lld", (long long)event->revenue_minor);
        (void)fprintf(stderr, ":");
        for (size_t k = 0; k < event->ids_count; k++)
            print_id(event->ids[k]);
        (void)fprintf(stderr, "\n");
    }
}

/* ---- events ---- */

static struct str text_of(struct world_id id, char text[TEXT_SIZE])
{
    const struct str name = namespace_table_default()->rules[id.rank].name;
    int size = snprintf(text, TEXT_SIZE, "%.*s-%u", (int)name.size, name.data, id.number);
    return str_make(text, (size_t)size);
}

void world_node(struct world_id id, uint8_t node[KEY_SIZE])
{
    char text[TEXT_SIZE];
    namespace_node_id(namespace_table_default(), id.rank, text_of(id, text), node);
}

/* Distinct ones in id order. */
static void to_signature(const struct world_id *ids, size_t count, struct signature *out)
{
    uint8_t node[KEY_SIZE];
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = out->count;
        world_node(ids[i], node);
        while (at > 0 && memcmp(out->members[at - 1], node, KEY_SIZE) > 0)
            at--;
        if (at > 0 && memcmp(out->members[at - 1], node, KEY_SIZE) == 0)
            continue;
        memmove(out->members + at + 1, out->members + at, (out->count - at) * KEY_SIZE);
        memcpy(out->members[at], node, KEY_SIZE);
        out->count++;
    }
}

void world_case(const struct world_run *run, struct identity_case *out)
{
    static const enum case_kind kinds[] = {CASE_EVENT, CASE_EVIDENCE, CASE_ERASURE};
    const struct world *world = run->world;
    *out = (struct identity_case){.namespaces = run->namespaces, .events_count = world->count};
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *from = &world->events[i];
        struct case_event *to = &out->events[i];
        struct signature ends;
        bool word = from->kind == WORLD_WORD;
        to->kind = kinds[from->kind];
        to->phase = from->phase;
        to->time = from->time;
        put_be64(to->key, from->number);
        to_signature(word ? &from->speaker : from->ids, word ? 1 : from->ids_count, &to->signature);
        if (!word)
            continue;
        to_signature(from->ids, 2, &ends);
        memcpy(to->strong, ends.members[0], KEY_SIZE);
        memcpy(to->weak, ends.members[1], KEY_SIZE);
        to->sign = from->sign;
        to->authority = from->authority;
    }
}

static void say_word(
    struct touchpoint *event, const struct world_event *word, char texts[2][TEXT_SIZE])
{
    const struct namespace_rule *rules = namespace_table_default()->rules;
    event->type = word->sign > 0 ? STR("identity_linked") : STR("identity_unlinked");
    event->has_evidence = true;
    evidence_init(&event->evidence);
    event->evidence.a_namespace = rules[word->ids[0].rank].name;
    event->evidence.a_value = text_of(word->ids[0], texts[0]);
    event->evidence.b_namespace = rules[word->ids[1].rank].name;
    event->evidence.b_value = text_of(word->ids[1], texts[1]);
    event->evidence.sign = word->sign;
    event->evidence.authority = word->authority;
}

static void say_purchase(
    struct touchpoint *event, const struct world_event *purchase, char text[TEXT_SIZE])
{
    int size = snprintf(text, TEXT_SIZE, "bought-%u", purchase->number);
    event->type = purchase->number % 2 ? STR("order_completed") : STR("store_purchase");
    event->has_order = true;
    order_init(&event->order);
    event->order.order_id = str_make(text, (size_t)size);
    event->order.revenue_minor = purchase->revenue_minor;
    event->order.currency = STR("JPY");
}

static int append(struct world_run *run, const struct world_event *from)
{
    struct identifier identifiers[WORLD_IDS_MAX];
    char texts[WORLD_IDS_MAX][TEXT_SIZE], ends[2][TEXT_SIZE], id[TEXT_SIZE];
    bool word = from->kind == WORLD_WORD;
    const struct world_id *ids = word ? &from->speaker : from->ids;
    struct touchpoint event;
    struct node strongest;
    CLEANUP(buf_free) struct buf value = {0};
    touchpoint_init(&event);
    event.identifiers = identifiers;
    event.identifiers_count = word ? 1 : from->ids_count;
    for (size_t i = 0; i < event.identifiers_count; i++)
        identifiers[i] = (struct identifier){.namespace = run->namespaces.rules[ids[i].rank].name,
            .value = text_of(ids[i], texts[i])};
    put_be64(event.event_key, from->number);
    event.event_id = str_make(id, (size_t)snprintf(id, sizeof id, "e%u", from->number));
    event.source = STR("world");
    event.type = from->kind == WORLD_ERASURE ? STR("erasure_requested") : STR("page_viewed");
    event.occurred_at = from->time * HOUR_MICROS;
    event.channel = from->number % 3 ? STR("Search") : STR("");
    if (word)
        say_word(&event, from, ends);
    else if (from->revenue_minor)
        say_purchase(&event, from, ends[0]);
    int r = namespace_strongest(
        &run->namespaces, identifiers, event.identifiers_count, &run->arena, &strongest);
    if (r == 0)
        r = touchpoint_encode(&event, &value);
    if (r < 0)
        return r;
    const struct append_record record = {
        TOPIC_EVENTS, str_make(strongest.id, KEY_SIZE), buf_str(&value)};
    return sim_append(run->sim, &record);
}

/* ---- running ---- */

int world_begin(
    struct world_run *run, const struct world *world, const struct world_schedule *schedule)
{
    static const size_t batches[] = {1, 4, 16};
    *run = (struct world_run){.world = world, .random = {schedule->seed}};
    run->namespaces = *namespace_table_default();
    for (size_t i = 0; i < run->namespaces.count; i++) {
        struct namespace_rule *rule = &run->namespaces.rules[i];
        rule->protected_max = str_equal(rule->name, STR("loyalty")) ? world->protected_max : 0;
        rule->generic_up_max = world->up_max;
        rule->generic_down_max = world->down_max;
    }
    struct sim_config config = {
        .seed = random_next(&run->random),
        .partitions = schedule->partitions,
        .crash_percent = random_once_in(&run->random, 2) ? 20 : 0,
        .batch_max = batches[random_below(&run->random, 3)],
        .replay = schedule->replay,
        .slow_percent = schedule->slow_percent,
    };
    if (schedule->calm || schedule->steady)
        config.crash_percent = 0;
    run->calm = schedule->calm;
    if (schedule->calm)
        config.batch_max = 1;
    run->identify = (struct identify_config){.namespaces = &run->namespaces};
    memcpy(run->identify.tenant_key, tenant_key, sizeof tenant_key);
    identify_stage(&run->stages[0], &run->identify);
    journey_config_default(&run->journey);
    run->journey.namespaces = &run->namespaces;
    journey_stage(&run->stages[1], &run->journey);
    return sim_new(&config, run->stages, 2, &run->sim);
}

void world_end(struct world_run *run)
{
    sim_free(&run->sim);
    arena_free(&run->arena);
}

static void shuffle(struct random *random, size_t *log, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i), swap = log[i - 1];
        log[i - 1] = log[other];
        log[other] = swap;
    }
}

/* An erasure takes back what copies of an event say: what stands of words then depends on whether
 * one comes again, so that those of such a world come once. */
static bool comes_again(const struct world_run *run, const struct world_event *event)
{
    bool erases = false;
    for (size_t i = 0; i < run->world->count; i++)
        erases |= run->world->events[i].kind == WORLD_ERASURE;
    return event->kind == WORLD_EVENT || !erases;
}

int world_feed(struct world_run *run, size_t phase, const bool *keeps)
{
    const struct world *world = run->world;
    size_t log[2 * WORLD_EVENTS_MAX], count = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *event = &world->events[i];
        if ((keeps && !keeps[i]) || event->phase > phase)
            continue;
        if (event->phase == phase)
            log[count++] = i;
        if (!run->calm && comes_again(run, event) && random_once_in(&run->random, 3))
            log[count++] = i;
    }
    if (!run->calm)
        shuffle(&run->random, log, count);
    for (size_t i = 0; i < count; i++) {
        int r = append(run, &world->events[log[i]]);
        if (r == 0 && !run->calm && random_once_in(&run->random, 2))
            r = sim_run(run->sim, random_below(&run->random, STEPS_BETWEEN));
        if (r < 0)
            return r;
    }
    return sim_run(run->sim, SIZE_MAX);
}

void world_person(struct world_run *run, const uint8_t node[KEY_SIZE], uint8_t person[KEY_SIZE])
{
    struct hmac_key key;
    hmac_key_init(&key, str_make(tenant_key, sizeof tenant_key));
    person_id(&key, node, person);
}

/* ---- a failing world ---- */

/* Whether some schedule finds the same; *schedule is then that one. */
static bool fails(const struct world *world, struct world_schedule *schedule, world_judge_fn *judge,
    const char *wrong)
{
    struct world_schedule tried = *schedule;
    for (size_t i = 0; i < SHRINK_SCHEDULES; i++, tried.seed++) {
        const char *found = judge(world, &tried);
        if (found && strcmp(found, wrong) == 0) {
            *schedule = tried;
            return true;
        }
    }
    return false;
}

static void leave_out(struct world *world, size_t from, size_t count)
{
    size_t end = from + count < world->count ? from + count : world->count;
    memmove(
        &world->events[from], &world->events[end], (world->count - end) * sizeof *world->events);
    world->count -= end - from;
}

static void shrink_events(
    struct world *world, struct world_schedule *schedule, world_judge_fn *judge, const char *wrong)
{
    for (size_t size = (world->count + 1) / 2; size > 0; size /= 2) {
        for (size_t i = 0; i < world->count;) {
            struct world part = *world;
            leave_out(&part, i, size);
            if (fails(&part, schedule, judge, wrong))
                *world = part;
            else
                i += size;
        }
    }
}

static void shrink_ids(
    struct world *world, struct world_schedule *schedule, world_judge_fn *judge, const char *wrong)
{
    for (size_t i = 0; i < world->count; i++) {
        if (world->events[i].kind != WORLD_EVENT)
            continue;
        for (size_t k = 0; k < world->events[i].ids_count;) {
            struct world part = *world;
            struct world_event *event = &part.events[i];
            if (event->ids_count == 1)
                break;
            event->ids_count--;
            memmove(
                &event->ids[k], &event->ids[k + 1], (event->ids_count - k) * sizeof *event->ids);
            if (fails(&part, schedule, judge, wrong))
                *world = part;
            else
                k++;
        }
    }
}

void world_shrink(
    struct world *world, struct world_schedule *schedule, world_judge_fn *judge, const char *wrong)
{
    shrink_events(world, schedule, judge, wrong);
    shrink_ids(world, schedule, judge, wrong);
    shrink_events(world, schedule, judge, wrong);
}
