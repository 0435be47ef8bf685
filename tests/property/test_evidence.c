/*
 * Evidence beyond what an identifier keeps: whatever the order, copies, crashes and partitions,
 * what stands is what the kept words alone say; which these are is worked out here from the set of
 * all. And who is one by words within a rank is what a union-find over these says. Built with
 * limits that small worlds cross often.
 *
 *     property_evidence all|erased [--part] [--long] [SEED [COUNT]]
 *
 * erased: at the end one speaker, and so what it said, is erased; the words keep their places. A
 * failing world is made as small as it fails, and printed. TABIJI_SEED likewise.
 */
#include <stdio.h>
#include <stdlib.h>

#include "enrich/identity/evidence.h"
#include "schemas/error.h"
#include "schemas/rejected.avro.h"
#include "tests/property/groups.h"
#include "tests/property/random.h"
#include "tests/property/snapshot.h"
#include "tests/property/world.h"

#define WORLDS_DEFAULT 2000
#define WORLDS_LONG 100000
#define BAD_MAX 3
#define WORDS_MAX 40
#define EVENTS_MAX 10
#define NODES_MAX_HERE 64

static const struct world_id stranger = {0, WORLD_STRANGER}, speaker = {0, WORLD_OPERATOR};

/* ---- which words are kept ---- */

struct ends {
    uint8_t weak[KEY_SIZE];
    uint8_t strong[KEY_SIZE];
};

static void ends_of(const struct world_event *word, struct ends *out)
{
    uint8_t a[KEY_SIZE], b[KEY_SIZE];
    world_node(word->ids[0], a);
    world_node(word->ids[1], b);
    bool a_strong = memcmp(a, b, KEY_SIZE) < 0;
    memcpy(out->strong, a_strong ? a : b, KEY_SIZE);
    memcpy(out->weak, a_strong ? b : a, KEY_SIZE);
}

static bool touches(const struct ends *ends, const uint8_t node[KEY_SIZE])
{
    return memcmp(ends->weak, node, KEY_SIZE) == 0 || memcmp(ends->strong, node, KEY_SIZE) == 0;
}

static bool above(const struct world_event *a, const struct world_event *b)
{
    if (a->authority != b->authority)
        return a->authority > b->authority;
    return a->time != b->time ? a->time > b->time : a->number > b->number;
}

/* How many words of the same pair are above the word. */
static size_t above_in_pair(const struct world *world, const struct world_event *word)
{
    struct ends ends, other;
    size_t count = 0;
    ends_of(word, &ends);
    for (size_t i = 0; i < world->count; i++) {
        if (world->events[i].kind != WORLD_WORD || !above(&world->events[i], word))
            continue;
        ends_of(&world->events[i], &other);
        count += memcmp(&ends, &other, sizeof ends) == 0;
    }
    return count;
}

/* Words of the node that are above the word (NULL: all), those left out that their pair has no room
 * for. */
static size_t above_at(
    const struct world *world, const uint8_t node[KEY_SIZE], const struct world_event *word)
{
    size_t count = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *other = &world->events[i];
        struct ends ends;
        if (other->kind != WORLD_WORD || (word && !above(other, word)))
            continue;
        ends_of(other, &ends);
        count += touches(&ends, node) && above_in_pair(world, other) < EVIDENCE_PAIR_MAX;
    }
    return count;
}

static bool is_kept(const struct world *world, const struct world_event *word)
{
    struct ends ends;
    ends_of(word, &ends);
    return above_in_pair(world, word) < EVIDENCE_PAIR_MAX &&
           above_at(world, ends.weak, word) < EVIDENCE_MAX &&
           above_at(world, ends.strong, word) < EVIDENCE_MAX;
}

/* ---- what `rejected` says ---- */

struct reported {
    const struct world *world;
    size_t count;
    const char *wrong;
};

static int visit_rejected(void *context, struct str key, struct str value)
{
    struct reported *reported = context;
    struct arena arena = {0};
    struct rejected row;
    uint8_t node[KEY_SIZE];
    (void)key;
    int r = rejected_decode(&row, value, &arena);
    struct str start = STR("{\"node\":\"");
    if (r < 0 || !str_equal(row.reason, STR("too_many")) || !str_starts_with(row.payload, start)) {
        reported->wrong = "something else was rejected";
    } else if (!hex_decode(str_make(row.payload.data + start.size, 2 * KEY_SIZE), node, KEY_SIZE)) {
        reported->wrong = "no node in a payload";
    } else {
        reported->count++;
        if (above_at(reported->world, node, NULL) <= EVIDENCE_MAX)
            reported->wrong = "an identifier within its limit is reported";
    }
    arena_free(&arena);
    return 0;
}

static size_t count_over(const struct world *world)
{
    uint8_t seen[NODES_MAX_HERE][KEY_SIZE];
    size_t seen_count = 0, over = 0;
    for (size_t i = 0; i < world->count; i++) {
        for (size_t k = 0; world->events[i].kind == WORLD_WORD && k < 2; k++) {
            uint8_t node[KEY_SIZE];
            size_t n = 0;
            world_node(world->events[i].ids[k], node);
            while (n < seen_count && memcmp(seen[n], node, KEY_SIZE) != 0)
                n++;
            if (n < seen_count)
                continue;
            check(seen_count < NODES_MAX_HERE);
            memcpy(seen[seen_count++], node, KEY_SIZE);
            over += above_at(world, node, NULL) > EVIDENCE_MAX;
        }
    }
    return over;
}

/* ---- state stays bounded ---- */

struct rows_at {
    uint8_t node[KEY_SIZE];
    size_t count;
    const char *wrong;
};

/* Rows node | fe | place come in order. */
static int visit_edge(void *context, struct str key, struct str value)
{
    struct rows_at *rows = context;
    (void)value;
    if (key.size != KEY_SIZE + 2 || (uint8_t)key.data[KEY_SIZE] != 0xfe)
        return 0;
    if (memcmp(rows->node, key.data, KEY_SIZE) != 0)
        rows->count = 0;
    memcpy(rows->node, key.data, KEY_SIZE);
    if (++rows->count > EVIDENCE_MAX)
        rows->wrong = "an identifier keeps more words than it may";
    return 0;
}

/* ---- judging ---- */

static void without_speakers(struct world_run *run, struct snapshot *snapshot)
{
    const struct world_id both[] = {stranger, speaker};
    for (size_t i = 0; i < 2; i++) {
        uint8_t node[KEY_SIZE], person[KEY_SIZE];
        world_node(both[i], node);
        world_person(run, node, person);
        snapshot_without(snapshot, person, node);
    }
}

static uint64_t of_groups; /* pairs of identifiers that words within a rank made one */

/* After the run, the persons are those of the words for which stand[i]. */
static int check_groups(struct world_run *run, const bool *stand, struct reported *reported)
{
    static struct identifiers identifiers;
    static struct groups groups;
    int r = identifiers_read(run->sim, &identifiers);
    if (r < 0)
        return r;
    groups_of(run->world, SIZE_MAX, stand, &identifiers, &groups);
    const char *wrong = groups_judge(&groups, &identifiers, &of_groups);
    reported->wrong = wrong ? wrong : reported->wrong;
    return 0;
}

/* feeds: the events that come (NULL: all), of which the words for which stand[i] are to count. */
static int run_world(const struct world *world, const struct world_schedule *schedule,
    const bool *const feeds_and_stand[2], struct snapshot *out, struct reported *reported)
{
    const bool *keeps = feeds_and_stand[0];
    static struct world_run run;
    struct rows_at rows = {.count = 0};
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++)
        r = world_feed(&run, phase, keeps);
    if (r == 0)
        r = snapshot_take(run.sim, out);
    if (r == 0)
        r = sim_results(run.sim, TOPIC_REJECTED, visit_rejected, reported);
    if (r == 0)
        r = sim_table(run.sim, TABLE_EDGE, visit_edge, &rows);
    if (r == 0 && rows.wrong)
        reported->wrong = rows.wrong;
    if (r == 0)
        r = check_groups(&run, feeds_and_stand[1], reported);
    without_speakers(&run, out);
    world_end(&run);
    return r;
}

static bool is_erased(const struct world *world, const struct world_event *word)
{
    bool erased = false;
    for (size_t i = 0; i < world->count; i++)
        erased |= world->events[i].kind == WORLD_ERASURE;
    return erased && word->speaker.number == WORLD_STRANGER;
}

static const char *judge(const struct world *world, const struct world_schedule *schedule)
{
    static const struct world_schedule calm = {.partitions = 1, .calm = true};
    static struct snapshot grown, kept;
    struct reported reported = {.world = world}, of_kept = {.world = world};
    bool keeps[WORLD_EVENTS_MAX];
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *event = &world->events[i];
        keeps[i] = event->kind == WORLD_EVENT;
        if (event->kind == WORLD_WORD) {
            keeps[i] = is_kept(world, event) && !is_erased(world, event);
            *schedule->said += !keeps[i];
        }
    }
    int r = run_world(world, schedule, (const bool *const[]){NULL, keeps}, &grown, &reported);
    if (r == 0)
        r = run_world(world, &calm, (const bool *const[]){keeps, keeps}, &kept, &of_kept);
    if (r < 0)
        return error_text(r);
    if (reported.wrong || reported.count != count_over(world))
        return reported.wrong ? reported.wrong : "an identifier over its limit is not reported";
    if (of_kept.wrong)
        return of_kept.wrong;
    if (of_kept.count)
        return "words that are kept are too many";
    return snapshot_difference(&grown, &kept, schedule->tells);
}

/* ---- worlds ---- */

static void draw(uint64_t seed, bool erased, struct world *out)
{
    static const struct world_options options = {
        .phases = 2, .words_max = WORDS_MAX, .events_max = EVENTS_MAX};
    static const struct world_event erasure = {
        .kind = WORLD_ERASURE, .time = 100, .ids = {{0, WORLD_STRANGER}}, .ids_count = 1};
    world_draw(seed, &options, out);
    for (size_t i = 0; i < out->count; i++)
        if (out->events[i].kind == WORLD_WORD && i % 2)
            out->events[i].speaker = stranger;
    if (erased)
        world_add(out, &erasure);
}

static int judge_seed(uint64_t seed, bool erased, uint64_t *said)
{
    static const int32_t partitions[] = {1, 3, 8};
    static struct world world;
    draw(seed, erased, &world);
    for (uint64_t i = 0; i < 3; i++) {
        struct world_schedule schedule = {
            .partitions = partitions[i], .seed = seed * 3 + i, .said = said};
        const char *wrong = judge(&world, &schedule);
        if (!wrong)
            continue;
        (void)fprintf(stderr, "seed %llu, %d partitions: %s\n", (unsigned long long)seed,
            schedule.partitions, wrong);
        world_shrink(&world, &schedule, judge, wrong);
        schedule.tells = true;
        (void)fprintf(stderr, "made smaller (schedule %llu): %s\n",
            (unsigned long long)schedule.seed, judge(&world, &schedule));
        world_print(&world);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0, count = WORLDS_DEFAULT;
    uint64_t said = 0;
    int at = 2, bad = 0;
    bool erased = argc > 1 && strcmp(argv[1], "erased") == 0;
    count = random_count(argc, argv, &at, count, WORLDS_LONG);
    seed = argc > at ? strtoull(argv[at++], NULL, 10) : seed;
    count = argc > at ? strtoull(argv[at], NULL, 10) : count;
    (void)printf(
        "%s, TABIJI_SEED=%llu, %llu worlds on 1, 3 and 8 partitions, %d words an identifier, "
        "%d a pair\n",
        erased ? "erased" : "all", seed, count, EVIDENCE_MAX, EVIDENCE_PAIR_MAX);
    (void)fflush(stdout);
    for (unsigned long long i = 0; bad < BAD_MAX && i < count; i++)
        bad += judge_seed(seed + i, erased, &said);
    (void)printf(
        "%d worlds differ; %llu words were not kept; %llu pairs were one by words within a rank\n",
        bad, (unsigned long long)said, (unsigned long long)of_groups);
    return bad > 0 || said == 0 || of_groups == 0;
}
