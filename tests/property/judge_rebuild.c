/* Judges that compare what stands with another build. */
#include "enrich/identity/owner.h"
#include "schemas/error.h"
#include "schemas/identity_node.avro.h"
#include "tests/property/departed.h"
#include "tests/property/judge.h"
#include "tests/property/snapshot.h"

#define LATER_PHASE(world, i) ((world)->phases - 1 - (i))

/* ---- P3: replay ---- */

struct bytes {
    struct buf buf;
};

static int append_row(void *context, struct str key, struct str value)
{
    struct bytes *bytes = context;
    int r = buf_appendf(&bytes->buf, "%zu:", key.size);
    if (r == 0)
        r = buf_append_str(&bytes->buf, key);
    if (r == 0)
        r = buf_appendf(&bytes->buf, "%zu:", value.size);
    return r == 0 ? buf_append_str(&bytes->buf, value) : r;
}

/* Runs the world; all rows of all tables, published or not, as bytes. */
static int run_to_bytes(const struct world *world, const struct world_schedule *schedule,
    struct bytes *out, struct sim_counts *counts)
{
    static struct world_run run;
    int r = world_begin(&run, world, schedule);
    buf_clear(&out->buf);
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++)
        r = world_feed(&run, phase, NULL);
    for (int table = 0; r == 0 && table < TABLE_COUNT; table++)
        r = sim_table(run.sim, (enum table)table, append_row, out);
    if (r == 0)
        *counts = *sim_counts(run.sim);
    world_end(&run);
    return r;
}

/* Each batch thrown away at its commit and made again does the same; so all state is the bytes of a
 * run in which nothing came again. */
const char *judge_p3(const struct world *world, const struct world_schedule *schedule)
{
    static struct bytes once, again;
    struct sim_counts counts, replayed;
    struct world_schedule replays = *schedule;
    replays.steady = true;
    int r = run_to_bytes(world, &replays, &once, &counts);
    replays.replay = true;
    if (r == 0)
        r = run_to_bytes(world, &replays, &again, &replayed);
    if (r < 0)
        return error_text(r);
    *schedule->said += replayed.replays;
    if (replayed.replays != replayed.batches || replayed.replays_differ)
        return "a batch that came again did something else";
    return str_equal(buf_str(&once.buf), buf_str(&again.buf))
               ? NULL
               : "state differs from that of a run without crashes";
}

/* ---- P11: what grew event by event is what a build from scratch gives ---- */

static int from_scratch(
    const struct world *world, size_t phases, const bool *keeps, struct snapshot *out)
{
    static const struct world_schedule calm = {.partitions = 1, .calm = true};
    static struct world_run run;
    int r = world_begin(&run, world, &calm);
    for (size_t phase = 0; r == 0 && phase < phases; phase++)
        r = world_feed(&run, phase, keeps);
    if (r == 0)
        r = snapshot_take(run.sim, out);
    world_end(&run);
    return r;
}

const char *judge_p11(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct snapshot grown, built;
    const char *wrong = NULL;
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && !wrong && phase < world->phases; phase++) {
        r = world_feed(&run, phase, NULL);
        if (r == 0)
            r = snapshot_take(run.sim, &grown);
        if (r == 0)
            r = from_scratch(world, phase + 1, NULL, &built);
        if (r == 0)
            wrong = snapshot_difference(&grown, &built, schedule->tells);
        *schedule->said += built.count;
    }
    world_end(&run);
    return judge_error(r, wrong);
}

/* ---- P6: after an erasure, as if what it took had never come ---- */

static int note_standing(void *context, struct str key, struct str value)
{
    bool *stands = context;
    uint64_t number = get_be64((const uint8_t *)key.data + key.size - KEY_SIZE);
    (void)value;
    check(number < WORLD_EVENTS_MAX);
    stands[number] = true;
    return 0;
}

struct generic_nodes {
    uint8_t nodes[CASE_NODES_MAX][KEY_SIZE];
    size_t count;
};

static int note_generic(void *context, struct str key, struct str value)
{
    struct generic_nodes *generic = context;
    struct identity_node row;
    struct arena arena = {0};
    int r = identity_node_decode(&row, value, &arena);
    if (r == 0 && (row.flags & OWNER_GENERIC) && generic->count < CASE_NODES_MAX)
        memcpy(generic->nodes[generic->count++], key.data, KEY_SIZE);
    arena_free(&arena);
    return r;
}

/* Whether the pipeline has a generic mark that the standing events alone do not give. */
static int mark_is_left(struct world_run *run, const bool *keeps, bool *left)
{
    static struct identity_case given;
    static struct generic_nodes generic;
    static struct meaning meaning;
    generic.count = 0;
    world_case(run, &given);
    meaning_solve(&meaning, &given, keeps, NULL, 0);
    int r = sim_table(run->sim, TABLE_NODE, note_generic, &generic);
    for (size_t i = 0; i < generic.count; i++) {
        size_t node = meaning_find(&meaning, generic.nodes[i]);
        *left |= node == SIZE_MAX || !meaning.generic[node];
    }
    return r;
}

/* Runs all phases; which events stand then. */
static int run_erasures(struct world_run *run, struct snapshot *erased, bool *stands)
{
    const struct world *world = run->world;
    bool by_number[WORLD_EVENTS_MAX] = {false};
    int r = 0;
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++)
        r = world_feed(run, phase, NULL);
    if (r == 0)
        r = snapshot_take(run->sim, erased);
    if (r == 0)
        r = sim_table(run->sim, TABLE_TIMELINE, note_standing, by_number);
    for (size_t i = 0; i < world->count; i++)
        stands[i] = by_number[world->events[i].number];
    return r;
}

static const char *judge_erasures(
    const struct world *world, const struct world_schedule *schedule, bool rest)
{
    static struct world_run run;
    static struct snapshot erased, built;
    static struct departed departed;
    static struct identity_case given;
    bool stands[WORLD_EVENTS_MAX], left = false;
    const char *wrong = NULL;
    int r = world_begin(&run, world, schedule);
    if (r == 0)
        r = run_erasures(&run, &erased, stands);
    world_case(&run, &given);
    if (rest)
        departed_find(&departed, &given);
    for (size_t i = 0; rest && !departed.stopped && i < world->count; i++)
        if (stands[i] != departed.stands[i])
            wrong = stands[i] ? "an event is left" : "an event too many is gone";
    if (r == 0)
        r = mark_is_left(&run, stands, &left);
    for (size_t i = 0; i < world->count; i++)
        *schedule->said += !left && !stands[i] && world->events[i].kind == WORLD_EVENT;
    if (r == 0 && !left)
        r = from_scratch(world, world->phases, stands, &built);
    if (r == 0 && !wrong && !left)
        wrong = snapshot_difference(&erased, &built, schedule->tells);
    world_end(&run);
    return judge_error(r, wrong);
}

const char *judge_p6(const struct world *world, const struct world_schedule *schedule)
{
    return judge_erasures(world, schedule, false);
}

const char *judge_p6_rest(const struct world *world, const struct world_schedule *schedule)
{
    return judge_erasures(world, schedule, true);
}

/* ---- P8: split and re-merge ---- */

static const struct world_id stranger = {0, WORLD_STRANGER};

static void without_stranger(struct world_run *run, struct snapshot *snapshot)
{
    uint8_t node[KEY_SIZE], person[KEY_SIZE];
    world_node(stranger, node);
    world_person(run, node, person);
    snapshot_without(snapshot, person, node);
}

static int feed_and_take(struct world_run *run, size_t phase, struct snapshot *out)
{
    int r = world_feed(run, phase, NULL);
    if (r == 0)
        r = snapshot_take(run->sim, out);
    if (r == 0)
        without_stranger(run, out);
    return r;
}

/* Any two of the world's identifiers; sometimes one that no event shows. */
static void draw_pair(const struct world *world, struct random *random, struct world_id pair[2])
{
    do {
        for (size_t i = 0; i < 2; i++) {
            const struct world_event *event = &world->events[random_below(random, world->count)];
            pair[i] = event->ids[random_below(random, event->ids_count)];
        }
        if (random_once_in(random, 8))
            pair[random_below(random, 2)] = (struct world_id){world_rank("email"), 99};
    } while (pair[0].rank == pair[1].rank && pair[0].number == pair[1].number);
}

/* Words: linked, unlinked, linked: as after the first. Then the speaker's events are erased,
 * the words with them: as before all. */
const char *judge_p8_words(const struct world *given, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct world world;
    static struct snapshot base, merged, split, again;
    struct random random = {given->seed ^ 8};
    struct world_event word = {.kind = WORLD_WORD,
        .speaker = stranger,
        .sign = 1,
        .authority = 100,
        .time = 100,
        .ids_count = 2};
    const char *wrong = NULL;
    world = *given;
    if (world.count == 0)
        return NULL;
    draw_pair(&world, &random, word.ids);
    for (size_t i = 0; i < 3; i++, word.time++, word.sign = -word.sign)
        world_add(&world, &word);
    const struct world_event erasure = {
        .kind = WORLD_ERASURE, .time = 200, .ids = {stranger}, .ids_count = 1};
    int r = world_begin(&run, &world, schedule);
    for (size_t phase = 0; r == 0 && phase < given->phases; phase++)
        r = feed_and_take(&run, phase, &base);
    if (r == 0)
        r = feed_and_take(&run, LATER_PHASE(&world, 2), &merged);
    if (r == 0)
        r = feed_and_take(&run, LATER_PHASE(&world, 1), &split);
    if (r == 0)
        r = feed_and_take(&run, LATER_PHASE(&world, 0), &again);
    *schedule->said += r == 0 && snapshot_difference(&merged, &split, false);
    if (r == 0 && snapshot_difference(&merged, &again, schedule->tells))
        wrong = "linked, unlinked and linked: not as linked";
    world_add(&world, &erasure);
    if (r == 0)
        r = feed_and_take(&run, LATER_PHASE(&world, 0), &again);
    if (r == 0 && !wrong && snapshot_difference(&base, &again, schedule->tells))
        wrong = "linked by words that an erasure took: not as before";
    world_end(&run);
    return judge_error(r, wrong);
}

/* An identifier that now belongs to a login's person. */
static bool draw_owned(const struct world *world, const struct identifiers *all,
    struct random *random, struct world_id *out)
{
    for (size_t tries = 0; tries < 32; tries++) {
        const struct world_event *event = &world->events[random_below(random, world->count)];
        uint8_t node[KEY_SIZE];
        *out = event->ids[random_below(random, event->ids_count)];
        world_node(*out, node);
        const struct person_of *row = identifiers_find(all, node);
        if (row && row->has_root && row->root[0] / 2 == world_rank("login"))
            return true;
    }
    return false;
}

/* Whether anybody but the stranger is the stranger's now: an erasure would take that along. */
static bool stranger_owns(struct world_run *run, const struct identifiers *all)
{
    uint8_t node[KEY_SIZE], person[KEY_SIZE];
    world_node(stranger, node);
    world_person(run, node, person);
    for (size_t i = 0; i < all->count; i++)
        if (memcmp(all->rows[i].person, person, KEY_SIZE) == 0 &&
            memcmp(all->rows[i].node, node, KEY_SIZE) != 0)
            return true;
    return false;
}

/* Events: a second login makes an identifier, and all that hangs on it, nobody's; that login is
 * erased: as before. */
const char *judge_p8_events(const struct world *given, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct world world;
    static struct snapshot merged, split, again;
    static struct identifiers identifiers;
    struct random random = {given->seed ^ 88};
    struct world_event event = {.ids = {stranger}, .ids_count = 2, .time = 3, .revenue_minor = 10};
    const struct world_event erasure = {
        .kind = WORLD_ERASURE, .time = 200, .ids = {stranger}, .ids_count = 1};
    const char *wrong = NULL;
    world = *given;
    int r = world_begin(&run, &world, schedule);
    for (size_t phase = 0; r == 0 && phase < given->phases; phase++)
        r = feed_and_take(&run, phase, &merged);
    if (r == 0)
        r = identifiers_read(run.sim, &identifiers);
    if (r < 0 || world.count == 0 || !draw_owned(&world, &identifiers, &random, &event.ids[1])) {
        world_end(&run);
        return judge_error(r, NULL);
    }
    world_add(&world, &event);
    r = feed_and_take(&run, LATER_PHASE(&world, 0), &split);
    if (r == 0)
        r = identifiers_read(run.sim, &identifiers);
    if (r == 0 && !stranger_owns(&run, &identifiers)) {
        *schedule->said += snapshot_difference(&merged, &split, false) != NULL;
        world_add(&world, &erasure);
        r = feed_and_take(&run, LATER_PHASE(&world, 0), &again);
        wrong = r == 0 && snapshot_difference(&merged, &again, schedule->tells)
                    ? "parted by a login that was erased: not as before"
                    : NULL;
    }
    world_end(&run);
    return judge_error(r, wrong);
}
