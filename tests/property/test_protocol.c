/*
 * The identify and journey stages, under the simulator, end where the meaning of identity says:
 * whatever the partitions, interleavings, duplicates and crashes, with persons erased on the way,
 * in half of the cases with lifts of that, and with operators who link and unlink, in half of the
 * cases within a rank (web.h).
 *
 *     property_protocol plain|erase|operator|both [--part] [--long] [SEED [COUNT]]
 *
 * Each case goes over 1, 3 and 8 partitions, each under a schedule of its own. Of every REPLAYED-th
 * case each batch is thrown away at its commit and made again by a new instance, on all of them.
 * plain also compares the meaning used here (meaning.h) with the specification's own answers.
 * A failing case is made as small as it fails, and printed. TABIJI_SEED likewise. Without a seed,
 * cases that failed once come first, each under many schedules: which one it failed under, no
 * number says for long, since any change of the mail changes them all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "enrich/identity/edge.h"
#include "enrich/identity/erasure.h"
#include "enrich/identity/identify.h"
#include "enrich/identity/message.h"
#include "enrich/identity/person.h"
#include "enrich/identity/suppression.h"
#include "enrich/journey/journey.h"
#include "schemas/error.h"
#include "schemas/identity_node.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/stitched.avro.h"
#include "tests/property/departed.h"
#include "tests/property/draw.h"
#include "tests/property/random.h"
#include "tests/property/recount.h"
#include "tests/property/web.h"
#include "tests/sim/sim.h"

#ifndef CASES_DEFAULT
#define CASES_DEFAULT 2000
#endif
#define CASES_LONG 100000
#define SHRINK_SCHEDULES 400 /* tried before a smaller case counts as sound */
#define SHRINK_RUNS 60000    /* of one failing case, all told */
#define BAD_MAX 3
#define SKIPPED 77
#define FORGOTTEN_MAX 1024
#define TIMES 9
#define PARTITIONS 3 /* counts of them; so many schedules in a row have each once */
#define REPLAYED 4
#define WEBS 0x77656273  /* another stream of random numbers */
#define RESTS 0x72657374 /* likewise */
#define LIFTS 0x6c696674 /* likewise */

enum mode {
    MODE_PLAIN,
    MODE_ERASE,
    MODE_OPERATOR,
    MODE_BOTH,
};
static const char *const mode_names[] = {"plain", "erase", "operator", "both"};
static enum mode mode;

/* Without webs, which there were none of then. */
#define AGAIN_SCHEDULES 100
static const struct {
    enum mode mode;
    unsigned seed;
} failed_once[] = {
    /* Late chunks that went past the erased person. */
    {MODE_ERASE, 298},
    {MODE_ERASE, 355},
    {MODE_ERASE, 1388},
    {MODE_ERASE, 30929},
    {MODE_ERASE, 45746},
    {MODE_BOTH, 414},
    {MODE_BOTH, 439},
    {MODE_BOTH, 573},
    {MODE_BOTH, 16176},
    /* A root that was told to a neighbour whom evidence had parted. */
    {MODE_BOTH, 4666},
    {MODE_BOTH, 15470},
    {MODE_BOTH, 16645},
    {MODE_BOTH, 19270},
    {MODE_BOTH, 22396},
};

struct mark {
    uint8_t node[KEY_SIZE];
    struct suppression since;
};

/* What stands at rest. */
struct run {
    const struct identity_case *given;
    struct sim_config sim;
    struct hmac_key tenant_key;
    struct meaning meaning;
    bool kept[CASE_EVENTS_MAX];
    size_t seen[CASE_EVENTS_MAX];
    uint8_t place[CASE_EVENTS_MAX][KEY_SIZE]; /* person */
    int64_t position[CASE_EVENTS_MAX];
    int64_t first[CASE_EVENTS_MAX]; /* position of each event's first copy */
    int64_t positions[64];
    uint8_t generic[CASE_NODES_MAX][KEY_SIZE];
    size_t generic_count;
    uint8_t forgotten[FORGOTTEN_MAX][KEY_SIZE + SIGNATURE_SIZE];
    bool let_in[FORGOTTEN_MAX]; /* a lift made it known again */
    size_t forgotten_count;
    struct mark marks[CASE_NODES_MAX];
    size_t marks_count;
    bool identified[CASE_NODES_MAX]; /* nodes of meaning that have a row of person_of */
    const char *wrong;
};

static const uint8_t tenant_key[32] = "a key of tests, not of tenants";
static uint64_t let_in_events, erased_events, kept_events, vanished_persons, counts_compared,
    known_beforehand;

static const struct model models[] = {
    {.name = STR_INIT("markov"), .kind = MODEL_KIND_MARKOV, .order = 1},
    {.name = STR_INIT("third"), .kind = MODEL_KIND_MARKOV, .order = 3, .ignore_nulls = true},
    {.name = STR_INIT("shapley"), .kind = MODEL_KIND_SHAPLEY, .order = 1},
    {.name = STR_INIT("rate"), .kind = MODEL_KIND_SHAPLEY_RATE, .order = 1},
    {.name = STR_INIT("ordered"), .kind = MODEL_KIND_SHAPLEY_PATHS_ORDERED, .order = 1},
    {.name = STR_INIT("fresh"), .kind = MODEL_KIND_MARKOV, .order = 2, .reset = true},
    {.name = STR_INIT("fresh_linear"), .rule = RULE_MODEL_LINEAR, .reset = true},
    {.name = STR_INIT("ends"), .rule = RULE_MODEL_CUSTOM, .config = {.custom = {3, 0, 7}}},
    {.name = STR_INIT("all"), .rule = RULE_MODEL_PARTICIPATION},
};
#define MODELS (sizeof models / sizeof *models)

static void find(struct run *run, const char *wrong)
{
    if (!run->wrong)
        run->wrong = wrong;
}

/* ---- reading what stands ---- */

static int visit_stitched(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct stitched row;
    const uint8_t *bytes = (const uint8_t *)key.data;
    uint64_t index = get_be64(bytes + key.size - KEY_SIZE);
    if (stitched_decode(&row, value, &arena) < 0 || index >= run->given->events_count ||
        memcmp(row.person, bytes, KEY_SIZE) != 0) {
        find(run, "a row of the timeline");
    } else {
        run->seen[index]++;
        memcpy(run->place[index], row.person, KEY_SIZE);
        run->position[index] = row.position;
    }
    arena_free(&arena);
    return 0;
}

static int visit_node(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct identity_node row;
    if (identity_node_decode(&row, value, &arena) < 0)
        find(run, "a row of node");
    else if (row.flags & OWNER_GENERIC && run->generic_count < CASE_NODES_MAX)
        memcpy(run->generic[run->generic_count++], key.data, KEY_SIZE);
    arena_free(&arena);
    return 0;
}

static int visit_signature(void *context, struct str key, struct str value)
{
    struct run *run = context;
    if (key.size == KEY_SIZE + SIGNATURE_SIZE && value.size) {
        check(run->forgotten_count < FORGOTTEN_MAX);
        run->let_in[run->forgotten_count] = value.data[0] == 'k';
        memcpy(run->forgotten[run->forgotten_count++], key.data, key.size);
    } else if (key.size == KEY_SIZE + 1 && key.data[KEY_SIZE] == OWNER_SUPPRESSION_MARK) {
        struct mark *mark = &run->marks[run->marks_count];
        memcpy(mark->node, key.data, KEY_SIZE);
        mark->since = (struct suppression){.at = get_be64_signed((const uint8_t *)value.data)};
        for (size_t at = SUPPRESSION_SIZE; at < value.size; at += 8)
            mark->since.lifts[mark->since.lifts_count++] =
                get_be64_signed((const uint8_t *)value.data + at);
        run->marks_count += mark->since.at != SUPPRESSION_NEVER;
        check(run->marks_count < CASE_NODES_MAX);
    }
    return 0;
}

static int visit_rejected(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct rejected row;
    if (rejected_decode(&row, value, &arena) == 0)
        (void)fprintf(stderr, "rejected: %.*s\n", (int)row.reason.size, row.reason.data);
    arena_free(&arena);
    find(run, "something was rejected");
    return 0;
}

/* ---- which events are lost, and whether they may be ---- */

static bool is_forgotten(const struct run *run, const struct signature *signature, bool *let_in)
{
    struct signature_node chain[NODES_MAX];
    uint8_t digest[SHA256_SIZE];
    (void)signature_chain(signature, chain);
    signature_digest(signature, digest);
    *let_in = false;
    for (size_t i = 0; signature->count > 1 && i < run->forgotten_count; i++)
        if (memcmp(run->forgotten[i], chain[0].id, KEY_SIZE) == 0 &&
            memcmp(run->forgotten[i] + KEY_SIZE, digest, SIGNATURE_SIZE) == 0) {
            *let_in = run->let_in[i];
            return !*let_in;
        }
    return false;
}

static bool is_generic(const struct run *run, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < run->generic_count; i++)
        if (memcmp(run->generic[i], node, KEY_SIZE) == 0)
            return true;
    return false;
}

/* What the mark of the event's first node says of it. */
enum fate {
    FATE_STANDS,
    FATE_EITHER, /* as it came before or after */
    FATE_VANISHES,
};

static enum fate fate_of(const struct run *run, const struct case_event *event)
{
    struct signature_node chain[NODES_MAX];
    (void)signature_chain(&event->signature, chain);
    for (size_t i = 0; i < run->marks_count; i++) {
        const struct mark *mark = &run->marks[i];
        if (memcmp(mark->node, chain[0].id, KEY_SIZE) != 0)
            continue;
        if (suppression_lift(&mark->since, event->time))
            return FATE_EITHER;
        if (event->time < mark->since.at || erasure_for_good(&run->given->namespaces, mark->node))
            return is_generic(run, mark->node) ? FATE_EITHER : FATE_VANISHES;
        return event->signature.count == 1 ? FATE_EITHER : FATE_STANDS;
    }
    return FATE_STANDS;
}

/* The event's first node was to be erased itself, and is nobody else's. */
static bool must_vanish(const struct run *run, const struct case_event *event)
{
    const uint8_t *first = event->signature.members[0];
    if (event->signature.count > 1 && event->signature.members[1][0] == first[0])
        return false; /* a set */
    if (is_generic(run, first))
        return false;
    for (size_t i = 0; i < run->given->events_count; i++) {
        const struct case_event *erasure = &run->given->events[i];
        if (erasure->kind == CASE_ERASURE && !draw_is_lifted(run->given, event) &&
            memcmp(erasure->signature.members[0], first, KEY_SIZE) == 0 &&
            (event->time < erasure->time || erasure_for_good(&run->given->namespaces, first)))
            return true;
    }
    return false;
}

/* Where all rested before each erasure, what it takes is known beforehand. */
static void sort_out_rest(struct run *run)
{
    static struct departed departed;
    departed_find(&departed, run->given);
    if (departed.stopped)
        return;
    known_beforehand++;
    for (size_t i = 0; i < run->given->events_count; i++) {
        let_in_events += departed.stands[i] && departed.lifted_at[i];
        if (departed.stands[i] && !run->seen[i])
            find(run, "an erasure of what rested took an event too many");
        if (!departed.stands[i] && run->seen[i])
            find(run, "an erasure of what rested left an event");
    }
    if (run->generic_count != departed.generic_count)
        find(run, "generic marks");
}

static void sort_out(struct run *run)
{
    bool reached[CASE_EVENTS_MAX];
    draw_reach_of_erasures(run->given, reached);
    for (size_t i = 0; i < run->given->events_count; i++) {
        const struct case_event *event = &run->given->events[i];
        bool let_in, forgotten = is_forgotten(run, &event->signature, &let_in);
        enum fate fate = fate_of(run, event);
        run->kept[i] = run->seen[i] > 0;
        if (run->seen[i] > 1)
            find(run, "an event stands twice");
        if (event->kind == CASE_ERASURE || event->kind == CASE_LIFT) {
            if (run->seen[i])
                find(run, "a request of erasure, or a lift, stands in a timeline");
            continue;
        }
        if (run->seen[i] && forgotten)
            find(run, "an event of a forgotten signature stands");
        if (run->seen[i] && must_vanish(run, event))
            find(run, "an event of an erased identifier stands");
        if (run->seen[i] && fate == FATE_VANISHES)
            find(run, "an event of a suppressed identifier stands");
        if (!run->seen[i] && !forgotten && !let_in && fate == FATE_STANDS)
            find(run, "an event is lost");
        if (!run->seen[i] && !reached[i])
            find(run, "an event that no erasure reaches is gone");
        erased_events += run->seen[i] == 0;
        kept_events += run->seen[i] > 0;
    }
    if (draw_phases_count(run->given) > 1)
        sort_out_rest(run);
}

/* ---- what the meaning says, against what stands ---- */

static void person_of_node(const struct run *run, size_t node, uint8_t person[KEY_SIZE])
{
    person_id(&run->tenant_key, run->meaning.nodes[node], person);
}

static const struct case_root *identifier_of(const struct run *run, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < run->given->roots_count; i++)
        if (memcmp(run->given->roots[i].node, node, KEY_SIZE) == 0)
            return &run->given->roots[i];
    return NULL;
}

static void check_person(struct run *run, size_t node, const struct person_of *row)
{
    const struct case_root *expected = identifier_of(run, row->node);
    uint8_t person[KEY_SIZE], own[KEY_SIZE];
    size_t root = run->meaning.root[node];
    run->identified[node] = true;
    person_of_node(run, root, person);
    person_of_node(run, node, own);
    if (memcmp(row->person, person, KEY_SIZE) != 0)
        find(run, "root");
    if (memcmp(row->has_root ? row->root : row->node, run->meaning.nodes[root], KEY_SIZE) != 0)
        find(run, "root in person_of");
    if (!expected || !str_equal(row->value, expected->identifier.value) ||
        !str_equal(row->namespace, expected->identifier.namespace))
        find(run, "text of an identifier");
    /* P9: an old person is an alias of one that is nobody's alias: the root's row has no own. */
    if (row->has_own != (memcmp(own, person, KEY_SIZE) != 0) ||
        (row->has_own && memcmp(row->own, own, KEY_SIZE) != 0))
        find(run, "own person");
    if (run->meaning.root[root] != root)
        find(run, "an alias of an alias");
}

/* Distinct events that were refused, by their first node: no more than it has. */
static int visit_refused(struct run *run, struct str value)
{
    struct arena arena = {0};
    struct signature_node chain[NODES_MAX];
    struct person_of row;
    int64_t most = 0;
    int r = person_of_decode(&row, value, &arena);
    for (size_t i = 0; r == 0 && i < run->given->events_count; i++) {
        const struct case_event *event = &run->given->events[i];
        (void)signature_chain(&event->signature, chain);
        most += event->kind < CASE_ERASURE && memcmp(chain[0].id, row.node, KEY_SIZE) == 0;
    }
    if (r < 0 || row.epoch < 0 || row.epoch > most || (row.epoch == 0 && !row.has_erased_at))
        find(run, "a node refused more events than it has");
    arena_free(&arena);
    return 0;
}

/* A generic identifier that no event shows: where a word named it, or it is a device's, it need not
 * know that. */
static bool may_stay(const struct run *run, const uint8_t node[KEY_SIZE])
{
    bool may = !erasure_for_good(&run->given->namespaces, node);
    for (size_t i = 0; i < run->given->events_count && !may; i++)
        may =
            run->given->events[i].kind == CASE_EVIDENCE && draw_shows(&run->given->events[i], node);
    return may && is_generic(run, node);
}

static int visit_person(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct person_of row;
    if (key.size == OWNER_REFUSED_KEY_SIZE)
        return visit_refused(run, value);
    int r = person_of_decode(&row, value, &arena);
    size_t node = r < 0 ? SIZE_MAX : meaning_find(&run->meaning, row.node);
    if (r < 0 || !str_equal(key, str_make(row.node, KEY_SIZE)))
        find(run, "a row of person_of");
    else if (node != SIZE_MAX && run->meaning.shown[node])
        check_person(run, node, &row);
    else if (!may_stay(run, row.node))
        find(run, "an identifier that no event shows has a row of person_of");
    arena_free(&arena);
    return 0;
}

static void check_places(struct run *run)
{
    uint8_t person[KEY_SIZE];
    bool erases = mode == MODE_ERASE || mode == MODE_BOTH;
    for (size_t i = 0; i < run->given->events_count; i++) {
        if (!run->kept[i])
            continue;
        person_of_node(run, meaning_place(&run->meaning, &run->given->events[i].signature), person);
        if (memcmp(person, run->place[i], KEY_SIZE) != 0)
            find(run, "place");
        if (!erases && run->position[i] != run->first[i])
            find(run, "position: not the first copy stands");
    }
    for (size_t i = 0; i < run->meaning.count; i++) {
        if (run->meaning.shown[i] && !run->identified[i])
            find(run, "an identifier has no row of person_of");
    }
}

static int compare(struct run *run, struct sim *sim)
{
    int r = sim_results(sim, TOPIC_REJECTED, visit_rejected, run);
    if (r == 0)
        r = sim_table(sim, TABLE_TIMELINE, visit_stitched, run);
    if (r == 0)
        r = sim_table(sim, TABLE_NODE, visit_node, run);
    if (r == 0)
        r = sim_table(sim, TABLE_SIGNATURE, visit_signature, run);
    if (r < 0)
        return r;
    sort_out(run);
    bool erases = mode == MODE_ERASE || mode == MODE_BOTH;
    meaning_solve(&run->meaning, run->given, run->kept, (const uint8_t(*)[KEY_SIZE])run->generic,
        erases ? run->generic_count : 0);
    r = sim_results(sim, TOPIC_PERSONS, visit_person, run);
    check_places(run);
    vanished_persons += run->marks_count;
    bool agrees = true;
    if (r == 0)
        r = recount_agrees(sim, models, MODELS, &agrees, &counts_compared);
    if (!agrees)
        find(run, "counts of models are not those of the paths that stand");
    return r;
}

/* ---- running ---- */

/* The case's events, a third of them twice, shuffled; but evidence once where persons are erased:
 * evidence that an erasure took away stays away, though its event may be sent again and stand. Nor
 * does come again, later, what was refused before a lift: it might be taken. */
static size_t draw_log(
    const struct identity_case *given, size_t phase, struct random *random, size_t *log)
{
    size_t count = 0;
    for (size_t i = 0; i < given->events_count; i++) {
        bool once = mode == MODE_BOTH && given->events[i].kind == CASE_EVIDENCE;
        if (given->events[i].phase > phase)
            continue;
        once |= given->events[i].phase < phase && given->events[i].kind < CASE_ERASURE &&
                draw_is_lifted(given, &given->events[i]);
        if (given->events[i].phase == phase)
            log[count++] = i;
        if (random_once_in(random, 3) && !once)
            log[count++] = i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i), swap = log[i - 1];
        log[i - 1] = log[other];
        log[other] = swap;
    }
    return count;
}

static int feed_phase(struct run *run, struct sim *sim, size_t phase, struct random *random)
{
    size_t log[2 * CASE_EVENTS_MAX];
    size_t count = draw_log(run->given, phase, random, log);
    for (size_t i = 0; i < count; i++) {
        const struct append_record *record = &run->given->events[log[i]].record;
        int64_t *position = &run->positions[topic_partition(record->key, run->sim.partitions)];
        if (run->first[log[i]] < 0)
            run->first[log[i]] = *position;
        ++*position;
        int r = sim_append(sim, record);
        if (r == 0 && random_once_in(random, 2))
            r = sim_run(sim, random_below(random, 24));
        if (r < 0)
            return r;
    }
    return sim_run(sim, SIZE_MAX);
}

static int feed(struct run *run, struct sim *sim, struct random *random)
{
    int r = 0;
    for (size_t i = 0; i < run->given->events_count; i++)
        run->first[i] = -1;
    for (size_t phase = 0; r == 0 && phase < draw_phases_count(run->given); phase++)
        r = feed_phase(run, sim, phase, random);
    return r;
}

/* Returns what was found wrong, or NULL. */
static const char *run_case(
    struct run *run, const struct identity_case *given, uint64_t seed, struct sim_counts *counts)
{
    static const int32_t partitions[PARTITIONS] = {1, 3, 8};
    static const size_t batches[] = {1, 4, 16};
    static const unsigned slow[] = {0, 10, 30, 60};
    struct random random = {seed};
    struct identify_config config = {.namespaces = &given->namespaces};
    struct journey_config journey;
    struct stage stages[2];
    struct sim *sim;
    *run = (struct run){.given = given};
    memcpy(config.tenant_key, tenant_key, sizeof tenant_key);
    hmac_key_init(&run->tenant_key, str_make(tenant_key, sizeof tenant_key));
    run->sim = (struct sim_config){
        .seed = random_next(&random),
        .partitions = partitions[seed % PARTITIONS],
        .replay = given->seed % REPLAYED == 0,
        .crash_percent = random_once_in(&random, 2) ? 20 : 0,
        .batch_max = batches[random_below(&random, 3)],
        .slow_percent = slow[random_below(&random, 4)],
    };
    identify_stage(&stages[0], &config);
    journey_config_default(&journey);
    journey.namespaces = &given->namespaces;
    journey.models = models;
    journey.models_count = MODELS;
    journey_stage(&stages[1], &journey);
    int r = sim_new(&run->sim, stages, 2, &sim);
    if (r < 0)
        return error_text(r);
    r = feed(run, sim, &random);
    if (r == 0)
        r = compare(run, sim);
    if (r == 0 && sim_counts(sim)->replays_differ)
        find(run, "a batch that came again did something else");
    counts->batches += sim_counts(sim)->batches;
    counts->replays += sim_counts(sim)->replays;
    counts->crashes += sim_counts(sim)->crashes;
    counts->mails[TOPIC_IDENTITY] += sim_counts(sim)->mails[TOPIC_IDENTITY];
    counts->mails[TOPIC_JOURNEY] += sim_counts(sim)->mails[TOPIC_JOURNEY];
    sim_free(&sim);
    return r < 0 ? error_text(r) : run->wrong;
}

/* ---- a failing case ---- */

/* A failing case on its way to a smaller one. */
struct shrinking {
    const char *wrong;
    struct identity_case least;
    struct identity_case part;
    struct run run;
    uint64_t seed; /* of a schedule that fails */
    size_t runs;   /* left */
    struct arena *arena;
};

/* Whether the part fails likewise, under some schedule; if so, it is the least. */
static bool fails(struct shrinking *shrinking)
{
    struct sim_counts counts = {0};
    for (uint64_t i = 0; i < SHRINK_SCHEDULES && shrinking->runs > 0; i++) {
        uint64_t seed = shrinking->seed + i;
        const char *found = run_case(&shrinking->run, &shrinking->part, seed, &counts);
        shrinking->runs--;
        if (!found || strcmp(found, shrinking->wrong) != 0)
            continue;
        shrinking->seed = seed;
        shrinking->least = shrinking->part;
        return true;
    }
    return false;
}

/* The case without `count` events from `leave` on. Keys are indexes, so it numbers them anew. */
static bool fails_without_events(struct shrinking *shrinking, size_t leave, size_t count)
{
    const struct identity_case *least = &shrinking->least;
    struct identity_case *part = &shrinking->part;
    *part = *least;
    part->events_count = 0;
    for (size_t i = 0; i < least->events_count; i++)
        if (i < leave || i >= leave + count)
            check(identity_case_copy(part, &least->events[i], SIZE_MAX, shrinking->arena) == 0);
    return part->events_count < least->events_count && fails(shrinking);
}

static bool fails_without_identifier(struct shrinking *shrinking, size_t event, size_t leave)
{
    const struct identity_case *least = &shrinking->least;
    struct identity_case *part = &shrinking->part;
    *part = *least;
    part->events_count = 0;
    for (size_t i = 0; i < least->events_count; i++)
        check(identity_case_copy(
                  part, &least->events[i], i == event ? leave : SIZE_MAX, shrinking->arena) == 0);
    return fails(shrinking);
}

/* Leaves out ever smaller parts as long as it still fails. Returns whether anything was. */
static bool shrink_events(struct shrinking *shrinking)
{
    bool shrinks = false;
    for (size_t size = (shrinking->least.events_count + 1) / 2; size > 0; size /= 2)
        for (size_t i = 0; i < shrinking->least.events_count;) {
            bool left = fails_without_events(shrinking, i, size);
            shrinks |= left;
            i += left ? 0 : size;
        }
    return shrinks;
}

static bool shrink_identifiers(struct shrinking *shrinking)
{
    bool shrinks = false;
    for (size_t i = 0; i < shrinking->least.events_count; i++)
        for (size_t k = 0; k < shrinking->least.events[i].signature.count;) {
            bool left = shrinking->least.events[i].signature.count > 1 &&
                        fails_without_identifier(shrinking, i, k);
            shrinks |= left;
            k += left ? 0 : 1;
        }
    return shrinks;
}

static void shrink(
    const struct identity_case *given, const char *wrong, uint64_t seed, struct arena *arena)
{
    static struct shrinking shrinking;
    struct sim_counts counts = {0};
    shrinking.wrong = wrong;
    shrinking.least = *given;
    shrinking.seed = seed;
    shrinking.runs = SHRINK_RUNS;
    shrinking.arena = arena;
    bool more = true;
    while (more) {
        more = shrink_events(&shrinking);
        more |= shrink_identifiers(&shrinking);
    }
    wrong = run_case(&shrinking.run, &shrinking.least, shrinking.seed, &counts);
    (void)fprintf(stderr, "made smaller (schedule %llu, %d partitions, %zu runs left): %s\n",
        (unsigned long long)shrinking.seed, shrinking.run.sim.partitions, shrinking.runs,
        wrong ? wrong : "nothing");
    draw_case_print(&shrinking.least);
}

/* ---- cases ---- */

static int run_line(
    struct str line, size_t schedules, struct arena *arena, struct sim_counts *counts)
{
    static struct identity_case given;
    static struct run run;
    int r = identity_case_read(line, arena, &given);
    struct random random = {(uint64_t)given.seed * 4 + (uint64_t)mode};
    const char *wrong = NULL;
    if (r == 0 && !meaning_agrees(&run.meaning, &given))
        wrong = "the meaning of this test is not the specification's";
    if (r == 0 && (mode == MODE_OPERATOR || mode == MODE_BOTH))
        r = draw_case_words(&given, &random, CASE_EVIDENCE, arena);
    if (r == 0 && (mode == MODE_ERASE || mode == MODE_BOTH))
        r = draw_case_words(&given, &random, CASE_ERASURE, arena);
    struct random of_webs = {random.state ^ WEBS};
    bool words = mode == MODE_OPERATOR || mode == MODE_BOTH;
    if (r == 0 && words && schedules == PARTITIONS && random_once_in(&of_webs, 2))
        r = web_add(&given, &of_webs, arena);
    struct random of_rests = {random.state ^ RESTS};
    bool erases = mode == MODE_ERASE || mode == MODE_BOTH, rests = false;
    if (r == 0 && erases && schedules == PARTITIONS && random_once_in(&of_rests, 2))
        rests = true;
    struct random of_lifts = {random.state ^ LIFTS};
    bool lifts = erases && schedules == PARTITIONS && random_once_in(&of_lifts, 2);
    if (r == 0 && lifts)
        r = draw_case_lifts(&given, &of_lifts, arena);
    if (r == 0 && rests && lifts)
        draw_case_turns(&given, &of_lifts);
    else if (r == 0 && rests)
        draw_case_phases(&given, &of_rests);
    uint64_t seed = random_next(&random);
    if (r < 0)
        wrong = error_text(r);
    if (wrong) {
        (void)fprintf(stderr, "seed %lld: %s\n", (long long)given.seed, wrong);
        return 1;
    }
    for (size_t i = 0; !wrong && i < schedules; i++)
        wrong = run_case(&run, &given, seed++, counts);
    if (!wrong)
        return 0;
    seed--; /* of the schedule that failed */
    (void)fprintf(stderr, "seed %lld (%d partitions): %s\n", (long long)given.seed,
        run.sim.partitions, wrong);
    shrink(&given, wrong, seed, arena);
    return 1;
}

/* Reads the specification's cases; returns how many differ, or -1. */
static int run_cases(const char *spec, unsigned long long seed, unsigned long long count,
    size_t schedules, struct sim_counts *counts)
{
    struct arena arena = {0};
    char command[4096], *line = NULL;
    size_t room = 0;
    unsigned long long lines = 0;
    int bad = 0;
    ssize_t size;
    (void)snprintf(command, sizeof command, "python3 '%s' cases %llu %llu", spec, seed, count);
    FILE *cases = popen(command, "r");
    if (!cases)
        return -1;
    while (bad < BAD_MAX && (size = getline(&line, &room, cases)) > 0) {
        bad += run_line(str_make(line, (size_t)size), schedules, &arena, counts);
        arena_reset(&arena);
        lines++;
    }
    free(line);
    arena_free(&arena);
    int failed = pclose(cases);
    if (bad == 0 && (failed || lines != count)) {
        (void)fprintf(stderr, "the specification gave %llu of %llu cases\n", lines, count);
        return -1;
    }
    (void)printf("%d of %llu cases differ\n", bad, lines);
    return bad;
}

static int run_again(const char *spec, struct sim_counts *counts)
{
    int bad = 0;
    for (size_t i = 0; bad == 0 && i < sizeof failed_once / sizeof *failed_once; i++)
        if (failed_once[i].mode == mode)
            bad = run_cases(spec, failed_once[i].seed, 1, AGAIN_SCHEDULES, counts);
    return bad;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED"), *shared = getenv("TABIJI_SHARED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0, count = CASES_DEFAULT;
    struct sim_counts counts = {0};
    char spec[1024];
    int at = 2;
    for (size_t i = 0; argc > 1 && i < sizeof mode_names / sizeof *mode_names; i++)
        if (strcmp(argv[1], mode_names[i]) == 0)
            mode = (enum mode)i;
    bool part = argc > at && strcmp(argv[at], "--part") == 0;
    count = random_count(argc, argv, &at, count, CASES_LONG) / (part ? PARTITIONS : 1);
    bool again = !wanted && !part && argc <= at;
    seed = argc > at ? strtoull(argv[at++], NULL, 10) : seed;
    count = argc > at ? strtoull(argv[at], NULL, 10) : count;
    (void)snprintf(spec, sizeof spec, "%s/spec/identity_spec.py", shared ? shared : "");
    if (access(spec, R_OK) != 0) {
        (void)printf("skipped: no specification to compare with (TABIJI_SHARED)\n");
        return SKIPPED;
    }
    (void)printf("%s, TABIJI_SEED=%llu, %llu cases, each on 1, 3 and 8 partitions\n",
        mode_names[mode], seed, count);
    (void)fflush(stdout);
    int bad = again ? run_again(spec, &counts) : 0;
    if (bad == 0)
        bad = run_cases(spec, seed, count, PARTITIONS, &counts);
    if (known_beforehand)
        (void)printf("%llu runs in which what goes is known beforehand, %llu events let in again\n",
            (unsigned long long)known_beforehand, (unsigned long long)let_in_events);
    (void)printf("%llu events kept, %llu erased, %llu marks; %llu counts of models; %llu batches, "
                 "%llu crashes, %llu batches made again, %llu identity mails, %llu journey mails\n",
        (unsigned long long)kept_events, (unsigned long long)erased_events,
        (unsigned long long)vanished_persons, (unsigned long long)counts_compared,
        (unsigned long long)counts.batches, (unsigned long long)counts.crashes,
        (unsigned long long)counts.replays, (unsigned long long)counts.mails[TOPIC_IDENTITY],
        (unsigned long long)counts.mails[TOPIC_JOURNEY]);
    return bad != 0;
}
