/* Judges of all that was ever published. */
#include "enrich/identity/owner.h"
#include "schemas/error.h"
#include "schemas/stitched.avro.h"
#include "tests/property/judge.h"

/* ---- P7: a person is never reused with a lower epoch ---- */

/* What was published last of a node; of an event at a node with a person. */
struct epoch {
    uint8_t node[KEY_SIZE];
    uint8_t person[KEY_SIZE];
    uint8_t event[KEY_SIZE];
    int64_t epoch;
};

/* An event as a sink has it that read all changes, of the partitions in any order: the highest
 * placement stands. */
struct standing {
    bool stands;
    uint8_t person[KEY_SIZE];
    int64_t placement;
};

struct epochs {
    struct epoch nodes[PERSONS_MAX];
    size_t nodes_count;
    struct epoch events[32 * WORLD_EVENTS_MAX];
    size_t events_count;
    struct standing standing[WORLD_EVENTS_MAX];
    size_t rows; /* of timelines, at rest */
    const char *wrong;
    uint64_t *said;
};

static void note_node(struct epochs *epochs, const struct person_of *row)
{
    size_t i = 0;
    while (i < epochs->nodes_count && memcmp(epochs->nodes[i].node, row->node, KEY_SIZE) != 0)
        i++;
    struct epoch *last = &epochs->nodes[i];
    if (i == epochs->nodes_count) {
        check(++epochs->nodes_count <= PERSONS_MAX);
        memcpy(last->node, row->node, KEY_SIZE);
    } else {
        bool moved = memcmp(last->person, row->person, KEY_SIZE) != 0;
        *epochs->said += moved;
        if (row->epoch < last->epoch)
            epochs->wrong = "an epoch of an identifier fell";
        else if (moved && row->epoch == last->epoch)
            epochs->wrong = "an identifier moved and kept its epoch";
    }
    memcpy(last->person, row->person, KEY_SIZE);
    last->epoch = row->epoch;
}

/* A person has an event of a node again: never with a lower placement than before. (One copy of an
 * event may come late by its first node while another has long moved on by a weaker one.) */
static void note_event(struct epochs *epochs, const struct stitched *row, const uint8_t *event)
{
    size_t i = 0;
    while (i < epochs->events_count &&
           (memcmp(epochs->events[i].event, event, KEY_SIZE) != 0 ||
               memcmp(epochs->events[i].node, row->node, KEY_SIZE) != 0 ||
               memcmp(epochs->events[i].person, row->person, KEY_SIZE) != 0))
        i++;
    struct epoch *last = &epochs->events[i];
    if (i == epochs->events_count) {
        check(++epochs->events_count <= sizeof epochs->events / sizeof *epochs->events);
        memcpy(last->event, event, KEY_SIZE);
        memcpy(last->node, row->node, KEY_SIZE);
        memcpy(last->person, row->person, KEY_SIZE);
    } else if (row->placement < last->epoch) {
        epochs->wrong = "an event came back to a person with a lower epoch of its node";
    }
    last->epoch = row->placement;
}

static void sink_event(struct epochs *epochs, struct str key, const struct stitched *row)
{
    uint64_t number = get_be64((const uint8_t *)key.data + key.size - KEY_SIZE);
    check(number < WORLD_EVENTS_MAX);
    struct standing *standing = &epochs->standing[number];
    if (!row) {
        standing->stands = standing->stands && memcmp(standing->person, key.data, KEY_SIZE) != 0;
        return;
    }
    if (standing->stands && row->placement < standing->placement)
        return;
    standing->stands = true;
    standing->placement = row->placement;
    memcpy(standing->person, row->person, KEY_SIZE);
}

static int note_change(void *context, enum topic topic, struct str key, struct str value)
{
    struct epochs *epochs = context;
    struct arena arena = {0};
    struct person_of identifier;
    struct stitched event;
    int r = 0;
    if (topic == TOPIC_PERSONS && key.size == OWNER_REFUSED_KEY_SIZE)
        return 0;
    if (value.data && topic == TOPIC_PERSONS) {
        r = person_of_decode(&identifier, value, &arena);
        if (r == 0)
            note_node(epochs, &identifier);
    } else if (topic == TOPIC_TOUCHPOINTS) {
        r = value.data ? stitched_decode(&event, value, &arena) : 0;
        if (r == 0 && value.data)
            note_event(epochs, &event, (const uint8_t *)key.data + key.size - KEY_SIZE);
        if (r == 0)
            sink_event(epochs, key, value.data ? &event : NULL);
    }
    arena_free(&arena);
    return r;
}

/* At rest: what stands has a higher placement than all that any other person was shown, so that the
 * sink has it. */
static int find_outranked(void *context, struct str key, struct str value)
{
    struct epochs *epochs = context;
    struct arena arena = {0};
    struct stitched row;
    const uint8_t *event = (const uint8_t *)key.data + key.size - KEY_SIZE;
    const struct standing *standing = &epochs->standing[get_be64(event)];
    int r = stitched_decode(&row, value, &arena);
    for (size_t i = 0; r == 0 && i < epochs->events_count; i++) {
        const struct epoch *other = &epochs->events[i];
        if (memcmp(other->event, event, KEY_SIZE) == 0 &&
            memcmp(other->person, row.person, KEY_SIZE) != 0 && other->epoch >= row.placement)
            epochs->wrong = "an event stands below a placement that another person had";
    }
    if (r == 0 && (!standing->stands || standing->placement != row.placement ||
                      memcmp(standing->person, row.person, KEY_SIZE) != 0))
        epochs->wrong = "a sink that keeps the highest placement has an event elsewhere";
    epochs->rows++;
    arena_free(&arena);
    return r;
}

static void count_standing(struct epochs *epochs)
{
    size_t standing = 0;
    for (size_t i = 0; i < WORLD_EVENTS_MAX; i++)
        standing += epochs->standing[i].stands;
    if (standing != epochs->rows)
        epochs->wrong = "a sink keeps an event that is no more";
    epochs->rows = 0;
}

const char *judge_p7(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct epochs epochs;
    epochs = (struct epochs){.said = schedule->said};
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++) {
        r = world_feed(&run, phase, NULL);
        if (r == 0)
            r = sim_changes(run.sim, note_change, &epochs);
        if (r == 0)
            r = sim_table(run.sim, TABLE_TIMELINE, find_outranked, &epochs);
        if (r == 0)
            count_standing(&epochs);
    }
    world_end(&run);
    return judge_error(r, epochs.wrong);
}

/* ---- P9: every old person resolves, without a cycle ---- */

#define OLD_MAX 256

/* An identifier, the person that it would be by itself, and the one that it is. */
struct alias {
    uint8_t node[KEY_SIZE];
    uint8_t own[KEY_SIZE];
    uint8_t person[KEY_SIZE];
};

/* The alias table as a sink has it at any moment, and all persons that were ever told of. */
struct aliases {
    struct alias rows[PERSONS_MAX];
    size_t rows_count;
    uint8_t old[OLD_MAX][KEY_SIZE];
    size_t old_count;
    const char *wrong;
    uint64_t *said;
};

static void note_old(struct aliases *aliases, const uint8_t person[KEY_SIZE])
{
    for (size_t i = 0; i < aliases->old_count; i++)
        if (memcmp(aliases->old[i], person, KEY_SIZE) == 0)
            return;
    check(aliases->old_count < OLD_MAX);
    memcpy(aliases->old[aliases->old_count++], person, KEY_SIZE);
}

/* Who the person is now, over rows whose own it is. False for a cycle; *hops is set. */
static bool resolve(const struct aliases *aliases, const uint8_t person[KEY_SIZE], size_t *hops,
    const uint8_t **out)
{
    *out = person;
    for (*hops = 0; *hops <= PERSONS_MAX; ++*hops) {
        const uint8_t *next = NULL;
        for (size_t i = 0; i < aliases->rows_count; i++) {
            const struct alias *row = &aliases->rows[i];
            if (memcmp(row->own, *out, KEY_SIZE) == 0 && memcmp(row->person, *out, KEY_SIZE) != 0)
                next = row->person;
        }
        if (!next)
            return true;
        *out = next;
    }
    return false;
}

static void note_alias(struct aliases *aliases, struct str node, const struct person_of *row)
{
    size_t i = 0;
    while (i < aliases->rows_count && memcmp(aliases->rows[i].node, node.data, KEY_SIZE) != 0)
        i++;
    if (!row) { /* erased */
        if (i < aliases->rows_count)
            aliases->rows[i] = aliases->rows[--aliases->rows_count];
        return;
    }
    if (i == aliases->rows_count)
        check(++aliases->rows_count <= PERSONS_MAX);
    struct alias *to = &aliases->rows[i];
    memcpy(to->node, row->node, KEY_SIZE);
    memcpy(to->own, row->has_own ? row->own : row->person, KEY_SIZE);
    memcpy(to->person, row->person, KEY_SIZE);
    note_old(aliases, row->person);
    note_old(aliases, to->own);
    const uint8_t *now;
    size_t hops;
    if (!resolve(aliases, to->own, &hops, &now))
        aliases->wrong = "an old person leads round in a circle";
}

static int note_alias_change(void *context, enum topic topic, struct str key, struct str value)
{
    struct aliases *aliases = context;
    struct arena arena = {0};
    struct person_of identifier;
    struct stitched event;
    int r = 0;
    if (topic == TOPIC_PERSONS && key.size == OWNER_REFUSED_KEY_SIZE)
        return 0;
    if (topic == TOPIC_PERSONS) {
        r = value.data ? person_of_decode(&identifier, value, &arena) : 0;
        if (r == 0)
            note_alias(aliases, key, value.data ? &identifier : NULL);
    } else if (topic == TOPIC_TOUCHPOINTS && value.data) {
        r = stitched_decode(&event, value, &arena);
        if (r == 0)
            note_old(aliases, event.person);
    }
    arena_free(&arena);
    return r;
}

/* At rest one step leads from every old person to one that some identifier has now. */
static const char *judge_aliases(const struct aliases *aliases)
{
    for (size_t i = 0; i < aliases->old_count; i++) {
        const uint8_t *now;
        size_t hops;
        bool known = false;
        if (!resolve(aliases, aliases->old[i], &hops, &now))
            return "an old person leads round in a circle at rest";
        *aliases->said += hops == 1;
        if (hops > 1)
            return "an alias of an alias at rest";
        for (size_t k = 0; k < aliases->rows_count; k++)
            known |= memcmp(aliases->rows[k].person, now, KEY_SIZE) == 0;
        if (!known)
            return "an old person is nobody now";
    }
    return aliases->wrong;
}

const char *judge_p9(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct aliases aliases;
    const char *wrong = NULL;
    aliases = (struct aliases){.said = schedule->said};
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && !wrong && phase < world->phases; phase++) {
        r = world_feed(&run, phase, NULL);
        if (r == 0)
            r = sim_changes(run.sim, note_alias_change, &aliases);
        wrong = judge_aliases(&aliases);
    }
    world_end(&run);
    return judge_error(r, wrong);
}
