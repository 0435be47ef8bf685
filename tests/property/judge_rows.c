/* Judges of what stands in rows at rest. */
#include <stdio.h>

#include "enrich/identity/owner.h"
#include "schemas/conversion.avro.h"
#include "schemas/error.h"
#include "schemas/profile.avro.h"
#include "schemas/stitched.avro.h"
#include "tests/property/groups.h"
#include "tests/property/judge.h"

const char *judge_error(int r, const char *wrong)
{
    return r < 0 ? error_text(r) : wrong;
}

/* ---- rows of person_of ---- */

static int visit_identifier(void *context, struct str key, struct str value)
{
    struct identifiers *out = context;
    struct str copy;
    if (key.size == OWNER_REFUSED_KEY_SIZE)
        return 0;
    check(out->count < PERSONS_MAX);
    int r = arena_dup(&out->arena, value, &copy);
    if (r < 0)
        return r;
    out->damaged |= person_of_decode(&out->rows[out->count], copy, &out->arena) < 0 ||
                    !str_equal(key, str_make(out->rows[out->count].node, KEY_SIZE));
    out->count++;
    return 0;
}

int identifiers_read(struct sim *sim, struct identifiers *out)
{
    arena_free(&out->arena);
    *out = (struct identifiers){.count = 0};
    int r = sim_results(sim, TOPIC_PERSONS, visit_identifier, out);
    return r < 0 ? r : out->damaged ? ERR_STATE : 0;
}

const struct person_of *identifiers_find(
    const struct identifiers *identifiers, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < identifiers->count; i++)
        if (memcmp(identifiers->rows[i].node, node, KEY_SIZE) == 0)
            return &identifiers->rows[i];
    return NULL;
}

static bool is_rank(const struct person_of *row, int rank)
{
    return row->node[0] / 2 == rank;
}

/* ---- P4: at most one login, at most k protected values a person, counting what words made one as
 * one ---- */

/* Of a person: groups of identifiers of a rank, and whether one is what the person is made from. */
static size_t count_of(const struct groups *groups, const struct identifiers *all,
    const uint8_t *person, int rank, bool *root)
{
    size_t count = 0;
    *root = false;
    for (size_t i = 0; i < all->count; i++) {
        const struct person_of *row = &all->rows[i];
        bool counted = !is_rank(row, rank) || memcmp(row->person, person, KEY_SIZE) != 0;
        *root |= !counted && !row->has_root;
        for (size_t k = 0; !counted && k < i; k++)
            counted =
                is_rank(&all->rows[k], rank) && groups_same(groups, row->node, all->rows[k].node);
        count += !counted;
    }
    return count;
}

static const char *judge_few(const struct world *world, const struct groups *groups,
    const struct identifiers *all, uint64_t *said)
{
    int login = world_rank("login"), loyalty = world_rank("loyalty");
    bool root;
    for (size_t i = 0; i < all->count; i++) {
        const uint8_t *person = all->rows[i].person;
        size_t logins = count_of(groups, all, person, login, &root);
        *said += logins > 0;
        if (logins > 0 && !root)
            return "a person of a login is made from something weaker";
        if (count_of(groups, all, person, loyalty, &root) > (size_t)world->protected_max)
            return "more protected values than a person may have";
    }
    return NULL;
}

const char *judge_p4(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct identifiers identifiers;
    static struct groups groups;
    const char *wrong = NULL;
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && !wrong && phase < world->phases; phase++) {
        r = world_feed(&run, phase, NULL);
        if (r == 0)
            r = identifiers_read(run.sim, &identifiers);
        if (r < 0)
            break;
        groups_of(world, phase, NULL, &identifiers, &groups);
        wrong = groups_judge(&groups, &identifiers, schedule->said);
        if (!wrong)
            wrong = judge_few(world, &groups, &identifiers, schedule->said);
    }
    world_end(&run);
    return judge_error(r, wrong);
}

/* ---- P5: each event in one timeline, counts and revenue conserved by every merge and split ----
 */

struct sums {
    const struct world *world;
    size_t seen[WORLD_EVENTS_MAX]; /* rows of timelines, by the event's number */
    uint8_t holder[WORLD_EVENTS_MAX][KEY_SIZE];
    int64_t events, conversions, revenue;        /* of profiles */
    int64_t conversion_rows, conversion_revenue; /* of conversions */
    const char *wrong;
};

static int sum_event(void *context, struct str key, struct str value)
{
    struct sums *sums = context;
    struct arena arena = {0};
    struct stitched row;
    uint64_t number = get_be64((const uint8_t *)key.data + key.size - KEY_SIZE);
    if (stitched_decode(&row, value, &arena) < 0 || number >= WORLD_EVENTS_MAX) {
        sums->wrong = "a row of the timeline";
    } else {
        sums->seen[number]++;
        memcpy(sums->holder[number], row.person, KEY_SIZE);
    }
    arena_free(&arena);
    return 0;
}

static int sum_profile(void *context, struct str key, struct str value)
{
    struct sums *sums = context;
    struct arena arena = {0};
    struct profile row;
    (void)key;
    if (profile_decode(&row, value, &arena) < 0) {
        sums->wrong = "a row of profile";
    } else {
        sums->events += row.events;
        sums->conversions += row.conversions;
        for (size_t i = 0; i < row.revenue_count; i++)
            sums->revenue += row.revenue[i].net_minor;
    }
    arena_free(&arena);
    return 0;
}

static int sum_conversion(void *context, struct str key, struct str value)
{
    struct sums *sums = context;
    struct arena arena = {0};
    struct conversion row;
    int64_t credited = 0;
    (void)key;
    if (conversion_decode(&row, value, &arena) < 0) {
        sums->wrong = "a row of conversion";
        arena_free(&arena);
        return 0;
    }
    uint64_t number = get_be64(row.event_key);
    sums->conversion_rows++;
    sums->conversion_revenue += row.revenue_minor;
    if (number >= WORLD_EVENTS_MAX || memcmp(sums->holder[number], row.person, KEY_SIZE) != 0)
        sums->wrong = "a conversion is not where its event is";
    for (size_t i = 0; i < row.credits_count; i++)
        credited += row.credits[i].model == row.credits[0].model ? row.credits[i].revenue_minor : 0;
    if (row.credits_count && credited != row.revenue_minor)
        sums->wrong = "credits are not the revenue";
    arena_free(&arena);
    return 0;
}

static int add_up(struct sim *sim, struct sums *sums)
{
    int r = sim_table(sim, TABLE_TIMELINE, sum_event, sums);
    if (r == 0)
        r = sim_table(sim, TABLE_PROFILE, sum_profile, sums);
    return r == 0 ? sim_table(sim, TABLE_CONVERSION, sum_conversion, sums) : r;
}

/* All events of phases up to this one, against what the tables sum to. */
static const char *judge_sums(const struct sums *sums, size_t phase, uint64_t *said)
{
    const struct world *world = sums->world;
    int64_t events = 0, conversions = 0, revenue = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_event *event = &world->events[i];
        bool came = event->phase <= phase;
        if (sums->seen[event->number] != came)
            return sums->seen[event->number] ? "an event stands twice" : "an event is lost";
        events += came;
        conversions += came && event->revenue_minor > 0;
        revenue += came ? event->revenue_minor : 0;
    }
    *said += conversions > 0;
    if (sums->events != events)
        return "profiles do not count each event once";
    if (sums->conversions != conversions || sums->conversion_rows != conversions)
        return "conversions are not conserved";
    if (sums->revenue != revenue || sums->conversion_revenue != revenue)
        return "revenue is not conserved";
    return sums->wrong;
}

const char *judge_p5(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct sums sums;
    const char *wrong = NULL;
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && !wrong && phase < world->phases; phase++) {
        sums = (struct sums){.world = world};
        r = world_feed(&run, phase, NULL);
        if (r == 0)
            r = add_up(run.sim, &sums);
        if (r == 0)
            wrong = judge_sums(&sums, phase, schedule->said);
    }
    world_end(&run);
    return judge_error(r, wrong);
}

/* ---- a property that does not hold: what the shrinking is tried on ---- */

const char *judge_no(const struct world *world, const struct world_schedule *schedule)
{
    static struct world_run run;
    static struct identifiers identifiers;
    static const struct groups none = {.count = 0};
    const char *wrong = NULL;
    bool root;
    int r = world_begin(&run, world, schedule);
    for (size_t phase = 0; r == 0 && phase < world->phases; phase++)
        r = world_feed(&run, phase, NULL);
    if (r == 0)
        r = identifiers_read(run.sim, &identifiers);
    for (size_t i = 0; r == 0 && i < identifiers.count; i++)
        if (count_of(&none, &identifiers, identifiers.rows[i].person, world_rank("cookie"), &root) >
            1)
            wrong = "a person has two cookies";
    world_end(&run);
    return judge_error(r, wrong);
}
