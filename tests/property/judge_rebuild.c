/* Judges that compare what stands with another build. */
#include "schemas/error.h"
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

/* An identifier of a device that no standing event shows may keep its row where it moved away just
 * when its person was erased: its node cannot know whether an event of its own got away too. */
static void without_lost_devices(
    const struct world *world, const bool *keeps, struct snapshot *snapshot)
{
    static const uint8_t nobody[KEY_SIZE] = {0};
    uint8_t node[KEY_SIZE];
    for (size_t i = 0; i < world->count; i++) {
        for (size_t k = 0; k < world->events[i].ids_count; k++) {
            struct world_id id = world->events[i].ids[k];
            bool shown = id.rank != world_rank("device") && id.rank != world_rank("cookie");
            for (size_t n = 0; !shown && n < world->count; n++)
                for (size_t m = 0; keeps[n] && m < world->events[n].ids_count; m++)
                    shown |= memcmp(&world->events[n].ids[m], &id, sizeof id) == 0;
            world_node(id, node);
            if (!shown)
                snapshot_without(snapshot, nobody, node);
        }
    }
}

const char *judge_p6(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct snapshot erased, built;
    bool stands[WORLD_EVENTS_MAX] = {false}, keeps[WORLD_EVENTS_MAX];
    const char *wrong = NULL;
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++)
        r = world_feed(&run, phase, NULL);
    if (r == 0)
        r = snapshot_take(run.sim, &erased);
    if (r == 0)
        r = sim_table(run.sim, TABLE_TIMELINE, note_standing, stands);
    for (size_t i = 0; i < world->count; i++) {
        keeps[i] = stands[world->events[i].number];
        *schedule->said += !keeps[i] && world->events[i].kind == WORLD_EVENT;
    }
    if (r == 0)
        r = from_scratch(world, world->phases, keeps, &built);
    without_lost_devices(world, keeps, &erased);
    if (r == 0)
        wrong = snapshot_difference(&erased, &built, schedule->tells);
    world_end(&run);
    return judge_error(r, wrong);
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
