/*
 * Properties of IDENTITY.md over random worlds, by the pipeline's own stages and serialised state,
 * on 1, 3 and 8 partitions, with random interleavings, copies and crashes. judge.h says which.
 *
 *     property_identity_properties PROPERTY [--part] [--long] [SEED [COUNT]]     worlds SEED ..
 * SEED + COUNT
 * - 1
 *
 * A failing world is made as small as it fails, and printed. TABIJI_SEED likewise.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/property/judge.h"
#include "tests/property/random.h"

#define WORLDS_DEFAULT 2000
#define WORLDS_LONG 100000
#define BAD_MAX 3
#define MANY 40      /* failing worlds that the shrinking is tried on */
#define SHRUNK_MAX 6 /* events */
#define SLOW 30    /* percent of channels: mail of long ago meets what is many decisions younger */
#define KEPT_MAX 3 /* seeds of worlds that once differed */

static int try_shrinking(void)
{
    static const struct world_options options = {.phases = 2};
    static struct world world;
    uint64_t failing = 0, minimal = 0, said = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct world_schedule schedule = {.partitions = 3, .seed = seed, .said = &said};
        world_draw(seed, &options, &world);
        const char *wrong = judge_no(&world, &schedule);
        if (!wrong)
            continue;
        world_shrink(&world, &schedule, judge_no, wrong);
        const char *least = judge_no(&world, &schedule);
        size_t ids = 0;
        for (size_t i = 0; i < world.count; i++)
            ids += world.events[i].ids_count;
        failing++;
        minimal += world.count <= 2 && ids <= 4; /* else a longer chain, no link of which can go */
        if (least && strcmp(least, wrong) == 0 && world.count <= SHRUNK_MAX)
            continue;
        (void)fprintf(stderr, "seed %llu is not made smaller than\n", (unsigned long long)seed);
        world_print(&world);
        return 1;
    }
    (void)printf("%llu of %llu failing worlds have two events left, or one\n",
        (unsigned long long)minimal, (unsigned long long)failing);
    return failing < MANY || minimal * 10 < failing * 8;
}

/* ---- all ---- */

static const struct property {
    const char *name;
    world_judge_fn *judge;
    struct world_options options;
    unsigned slow_percent;
    uint64_t kept[KEPT_MAX]; /* run whatever is asked for; 0: none */
} properties[] = {
    {"P3", judge_p3, {.phases = 2, .words_max = 4, .erasures = true, .events_max = 14}},
    {"P4", judge_p4, {.phases = 3}},
    {"P4-words", judge_p4, {.phases = 3, .words_max = 8}},
    {"P5", judge_p5, {.phases = SIZE_MAX, .words_max = 6, .events_max = 30}},
    {"P6", judge_p6, {.phases = 2, .erasures = true}},
    {"P6-rest", judge_p6_rest, {.phases = 1, .words_max = 4, .erasures_last = true, .late = true}},
    {"P6-slow", judge_p6, {.phases = 2, .erasures = true}, SLOW},
    {"P7", judge_p7, {.phases = 2, .words_max = 8}},
    {"P7-erasures", judge_p7, {.phases = 2, .words_max = 4, .erasures = true}},
    {"P7-slow", judge_p7, {.phases = 2, .words_max = 4, .erasures = true}, SLOW,
        {3987, 4690, 5965}},
    {"P8-words", judge_p8_words, {.phases = 1, .words_max = 3}},
    {"P8-events", judge_p8_events, {.phases = 1, .never_generic = true}},
    {"P9", judge_p9, {.phases = 3, .words_max = 8}},
    {"P11", judge_p11, {.phases = 3, .words_max = 8}},
};

static int run_world(const struct property *property, uint64_t seed, uint64_t *said)
{
    static const int32_t partitions[] = {1, 3, 8};
    static struct world world;
    world_draw(seed, &property->options, &world);
    for (uint64_t i = 0; i < 3; i++) {
        struct world_schedule schedule = {.partitions = partitions[i],
            .seed = seed * 3 + i,
            .slow_percent = property->slow_percent,
            .said = said};
        const char *wrong = property->judge(&world, &schedule);
        if (!wrong)
            continue;
        (void)fprintf(stderr, "seed %llu, %d partitions: %s\n", (unsigned long long)seed,
            schedule.partitions, wrong);
        world_shrink(&world, &schedule, property->judge, wrong);
        schedule.tells = true;
        (void)fprintf(stderr, "made smaller (schedule %llu): %s\n",
            (unsigned long long)schedule.seed, property->judge(&world, &schedule));
        world_print(&world);
        return 1;
    }
    return 0;
}

static const struct property *find_property(const char *name)
{
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0, count = WORLDS_DEFAULT;
    uint64_t said = 0;
    int at = 2, bad = 0;
    if (argc > 1 && strcmp(argv[1], "shrinking") == 0)
        return try_shrinking();
    const struct property *property = argc > 1 ? find_property(argv[1]) : NULL;
    if (!property) {
        (void)fprintf(stderr, "no such property\n");
        return 2;
    }
    count = random_count(argc, argv, &at, count, WORLDS_LONG);
    seed = argc > at ? strtoull(argv[at++], NULL, 10) : seed;
    count = argc > at ? strtoull(argv[at], NULL, 10) : count;
    (void)printf("%s, TABIJI_SEED=%llu, %llu worlds on 1, 3 and 8 partitions\n", property->name,
        seed, count);
    (void)fflush(stdout);
    for (size_t i = 0; bad < BAD_MAX && i < KEPT_MAX; i++)
        bad += property->kept[i] ? run_world(property, property->kept[i], &said) : 0;
    for (unsigned long long i = 0; bad < BAD_MAX && i < count; i++)
        bad += run_world(property, seed + i, &said);
    (void)printf(
        "%d worlds differ; what it is about was met %llu times\n", bad, (unsigned long long)said);
    return bad > 0 || said == 0;
}
