/*
 * The identify stage means what the executable specification says: for its random cases, under
 * random partitions, interleavings, duplicates and crashes, the roots of all identifiers and the
 * place of every event are its answers.
 *
 *     property_identity small|large|journey [--part] [--long] [SEED [COUNT]]   so many, from SEED
 * on property_identity small|large|journey --case                 one, from standard input
 *
 * small: the cases of the specification, with the least timeline; large: those of
 * identity_cases.py; journey: small ones with the journey stage. TABIJI_SEED likewise.
 *
 * A failing case prints what runs it alone; the first is made smaller by identity_shrink.py, and
 * what is left is printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "enrich/identity/identify.h"
#include "enrich/identity/message.h"
#include "enrich/identity/person.h"
#include "enrich/journey/journey.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/stitched.avro.h"
#include "tests/property/identity_case.h"
#include "tests/property/random.h"
#include "tests/property/timeline.h"
#include "tests/sim/sim.h"

#ifndef CASES_DEFAULT
#define CASES_DEFAULT 2000
#endif
#define LARGE_FEWER 10 /* of large cases, which are so much larger */
#define CASES_LONG 100000
#define RUNS_A_CASE 2
#define SKIPPED 77

enum mode {
    MODE_SMALL,
    MODE_LARGE,
    MODE_JOURNEY,
};
static const char *const mode_names[] = {"small", "large", "journey"};
static enum mode mode;
static const char *program; /* NULL where a case shall not be made smaller */

/* One run of one case. */
struct run {
    const struct identity_case *given;
    struct sim_config sim;
    struct hmac_key tenant_key;
    int64_t first[CASE_EVENTS_MAX]; /* position of each event's first copy */
    size_t seen[CASE_EVENTS_MAX];
    size_t persons; /* rows of person_of */
    const char *wrong;
};

static const uint8_t tenant_key[32] = "a key of tests, not of tenants";

static void find(struct run *run, const char *wrong)
{
    if (!run->wrong)
        run->wrong = wrong;
}

/* ---- what the specification says, against what stands ---- */

static int visit_person(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct person_of row;
    uint8_t person[KEY_SIZE];
    const struct case_root *expected = NULL;
    int r = person_of_decode(&row, value, &arena);
    for (size_t i = 0; r == 0 && i < run->given->roots_count; i++)
        if (str_equal(key, str_make(run->given->roots[i].node, KEY_SIZE)))
            expected = &run->given->roots[i];
    if (r < 0 || !expected) {
        find(run, "a row of person_of is of no identifier");
        return 0;
    }
    run->persons++;
    person_id(&run->tenant_key, expected->root, person);
    if (memcmp(row.person, person, KEY_SIZE) != 0)
        find(run, "root");
    if (!str_equal(row.namespace, expected->identifier.namespace) ||
        !str_equal(row.value, expected->identifier.value))
        find(run, "text of an identifier");
    bool itself = memcmp(expected->root, expected->node, KEY_SIZE) == 0;
    if (itself == str_equal(row.why, STR("claim")))
        find(run, "why");
    arena_free(&arena);
    return 0;
}

/* An event that stands with a person. */
static void check_event(
    struct run *run, const uint8_t *standing_with, const uint8_t *event_key, int64_t position)
{
    uint8_t person[KEY_SIZE];
    uint64_t index = get_be64(event_key);
    if (index >= run->given->events_count) {
        find(run, "what stands is no event");
        return;
    }
    run->seen[index]++;
    person_id(&run->tenant_key, run->given->events[index].place, person);
    if (memcmp(person, standing_with, KEY_SIZE) != 0)
        find(run, "place");
    if (position != run->first[index])
        find(run, "position: not the first copy stands");
}

/* A row of the least timeline. */
static int visit_record(void *context, struct str key, struct str value)
{
    struct run *run = context;
    const uint8_t *bytes = (const uint8_t *)key.data, *head = (const uint8_t *)value.data;
    check(key.size == TIMELINE_KEY_SIZE);
    check_event(run, bytes, bytes + 2 * KEY_SIZE + 1, (int64_t)get_be64(head));
    bool stays = bytes[2 * KEY_SIZE];
    if (stays != (get_be64(head + 8) == CHAIN_INDEX_STAY))
        find(run, "chain index of an event that stays");
    return 0;
}

/* A row of the journey stage: person | occurred_at | sequence | event_key. */
static int visit_stitched(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct stitched row;
    const uint8_t *bytes = (const uint8_t *)key.data;
    if (stitched_decode(&row, value, &arena) < 0 || memcmp(row.person, bytes, KEY_SIZE) != 0)
        find(run, "a row of the timeline");
    else
        check_event(run, bytes, bytes + key.size - KEY_SIZE, row.position);
    arena_free(&arena);
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

static int compare(struct run *run, struct sim *sim)
{
    int r = sim_results(sim, TOPIC_REJECTED, visit_rejected, run);
    if (r == 0)
        r = sim_results(sim, TOPIC_PERSONS, visit_person, run);
    if (r == 0)
        r = mode == MODE_JOURNEY ? sim_table(sim, TABLE_TIMELINE, visit_stitched, run)
                                 : sim_table(sim, TABLE_RECORD, visit_record, run);
    if (run->persons != run->given->roots_count)
        find(run, "an identifier has no row of person_of");
    for (size_t i = 0; i < run->given->events_count; i++)
        if (run->seen[i] != 1)
            find(run, run->seen[i] ? "an event stands twice" : "an event is lost");
    return r;
}

/* ---- running ---- */

/* The case's events, a third of them twice, shuffled. */
static size_t draw_log(const struct identity_case *given, struct random *random, size_t *log)
{
    size_t count = 0;
    for (size_t i = 0; i < given->events_count; i++) {
        log[count++] = i;
        if (random_once_in(random, 3))
            log[count++] = i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i), swap = log[i - 1];
        log[i - 1] = log[other];
        log[other] = swap;
    }
    return count;
}

static int feed(struct run *run, struct sim *sim, struct random *random)
{
    size_t log[2 * CASE_EVENTS_MAX];
    int64_t positions[64] = {0};
    size_t count = draw_log(run->given, random, log);
    for (size_t i = 0; i < run->given->events_count; i++)
        run->first[i] = -1;
    for (size_t i = 0; i < count; i++) {
        const struct append_record *record = &run->given->events[log[i]].record;
        int64_t *position = &positions[topic_partition(record->key, run->sim.partitions)];
        if (run->first[log[i]] < 0)
            run->first[log[i]] = *position;
        ++*position;
        int r = sim_append(sim, record);
        if (r == 0 && random_once_in(random, 2))
            r = sim_run(sim, random_below(random, 8));
        if (r < 0)
            return r;
    }
    return sim_run(sim, SIZE_MAX);
}

static int run_case(struct run *run, uint64_t seed, struct sim_counts *counts)
{
    static const int32_t partitions[] = {1, 3, 7, 8, 31};
    static const size_t batches[] = {1, 4, 16};
    static const unsigned slow[] = {0, 10, 30, 60};
    struct random random = {seed};
    struct identify_config config = {.namespaces = &run->given->namespaces};
    struct journey_config journey;
    struct stage stages[2];
    struct sim *sim;
    memcpy(config.tenant_key, tenant_key, sizeof tenant_key);
    hmac_key_init(&run->tenant_key, str_make(tenant_key, sizeof tenant_key));
    run->sim = (struct sim_config){
        .seed = random_next(&random),
        .partitions = partitions[random_below(&random, 5)],
        .crash_percent = random_once_in(&random, 2) ? 20 : 0,
        .batch_max = batches[random_below(&random, 3)],
        .slow_percent = slow[random_below(&random, 4)],
    };
    identify_stage(&stages[0], &config);
    journey_config_default(&journey);
    journey.namespaces = &run->given->namespaces;
    if (mode == MODE_JOURNEY)
        journey_stage(&stages[1], &journey);
    else
        timeline_stage(&stages[1], &run->given->namespaces);
    int r = sim_new(&run->sim, stages, 2, &sim);
    if (r < 0)
        return r;
    r = feed(run, sim, &random);
    if (r == 0)
        r = compare(run, sim);
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        counts->mails[i] += sim_counts(sim)->mails[i];
    counts->batches += sim_counts(sim)->batches;
    counts->crashes += sim_counts(sim)->crashes;
    sim_free(&sim);
    return r;
}

/* The command that makes a failing case smaller, which runs this program. Asks for no more than
 * one: the others mostly fail for the same reason. */
static void shrink(struct str line)
{
    static bool shrunk;
    const char *shared = getenv("TABIJI_SHARED"), *source = getenv("TABIJI_SOURCE_ROOT");
    char command[4096];
    if (shrunk || !source || !program)
        return;
    shrunk = true;
    (void)snprintf(command, sizeof command,
        "python3 '%s/tests/property/identity_shrink.py' '%s/spec' '%s' %s --case", source, shared,
        program, mode_names[mode]);
    FILE *shrinker = popen(command, "w");
    if (!shrinker)
        return;
    (void)fwrite(line.data, 1, line.size, shrinker);
    (void)pclose(shrinker);
}

static int run_line(struct str line, struct arena *arena, struct sim_counts *counts)
{
    static struct identity_case given;
    int bad = 0, r = identity_case_read(line, arena, &given);
    if (r < 0) {
        (void)fprintf(stderr, "cannot read a case: %s\n", error_text(r));
        return 1;
    }
    for (uint64_t turn = 0; turn < RUNS_A_CASE; turn++) {
        struct run run = {.given = &given};
        r = run_case(&run, (uint64_t)given.seed * RUNS_A_CASE + turn, counts);
        if (r < 0)
            find(&run, error_text(r));
        if (!run.wrong)
            continue;
        bad++;
        (void)fprintf(stderr,
            "seed %lld turn %llu (%d partitions): %s; give the seed and 1 to run it alone\n",
            (long long)given.seed, (unsigned long long)turn, run.sim.partitions, run.wrong);
    }
    if (bad)
        shrink(line);
    return bad;
}

static int run_all(FILE *cases, struct sim_counts *counts, size_t *lines)
{
    struct arena arena = {0};
    char *line = NULL;
    size_t room = 0;
    int bad = 0;
    ssize_t size;
    while ((size = getline(&line, &room, cases)) > 0) {
        bad += run_line(str_make(line, (size_t)size), &arena, counts);
        arena_reset(&arena);
        ++*lines;
    }
    free(line);
    arena_free(&arena);
    return bad;
}

/* The command that writes the cases. */
static bool make_command(
    char *command, size_t size, unsigned long long seed, unsigned long long count)
{
    const char *shared = getenv("TABIJI_SHARED"), *source = getenv("TABIJI_SOURCE_ROOT");
    char spec[1024];
    (void)snprintf(spec, sizeof spec, "%s/spec/identity_spec.py", shared ? shared : "");
    if (!shared || !source || access(spec, R_OK) != 0)
        return false;
    if (mode == MODE_LARGE)
        (void)snprintf(command, size,
            "python3 '%s/tests/property/identity_cases.py' '%s/spec' %llu %llu", source, shared,
            seed, count);
    else
        (void)snprintf(command, size, "python3 '%s' cases %llu %llu", spec, seed, count);
    return true;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0;
    for (size_t i = 0; argc > 1 && i < sizeof mode_names / sizeof *mode_names; i++)
        if (strcmp(argv[1], mode_names[i]) == 0)
            mode = (enum mode)i;
    struct sim_counts counts = {0};
    char command[4096];
    size_t lines = 0;
    int at = 2;
    if (argc > 2 && strcmp(argv[2], "--case") == 0)
        return run_all(stdin, &counts, &lines) > 0;
    unsigned long long count = random_count(argc, argv, &at, CASES_DEFAULT, CASES_LONG) /
                               (mode == MODE_LARGE ? LARGE_FEWER : 1);
    if (argc > at)
        seed = strtoull(argv[at], NULL, 10);
    if (argc > at + 1)
        count = strtoull(argv[at + 1], NULL, 10);
    program = argv[0];
    if (!make_command(command, sizeof command, seed, count)) {
        (void)printf("skipped: no specification to compare with (TABIJI_SHARED)\n");
        return SKIPPED;
    }
    (void)printf("TABIJI_SEED=%llu, %llu cases\n", seed, count);
    FILE *cases = popen(command, "r");
    if (!cases)
        return 1;
    int bad = run_all(cases, &counts, &lines);
    if (pclose(cases) != 0 || lines != count) {
        (void)fprintf(stderr, "the specification gave %zu of %llu cases\n", lines, count);
        return 1;
    }
    (void)printf("%d of %zu runs differ; %llu batches, %llu crashes, %llu identity mails, %llu "
                 "journey mails\n",
        bad, lines * RUNS_A_CASE, (unsigned long long)counts.batches,
        (unsigned long long)counts.crashes, (unsigned long long)counts.mails[TOPIC_IDENTITY],
        (unsigned long long)counts.mails[TOPIC_JOURNEY]);
    return bad > 0;
}
