/* The simulator itself: a counting stage with mail is exact under crashes and any order; a stage
 * that keeps state outside its tables is caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/sim/sim.h"

#define KEYS 20
#define EVENTS 300
#define SEEDS 60

struct toy {
    bool broken; /* counts in memory, not in the table */
    uint64_t counts[KEYS];
};

static const enum topic toy_inputs[] = {TOPIC_EVENTS, TOPIC_JOURNEY};

static int toy_open(const void *config, void **instance)
{
    struct toy *toy = calloc(1, sizeof *toy);
    if (!toy)
        return ERR_NO_MEMORY;
    toy->broken = config != NULL;
    *instance = toy;
    return 0;
}

static int count_row(struct task *task, enum table table, struct str key, uint64_t *count)
{
    struct str value;
    *count = 0;
    int r = state_get(task->state, table, key, &value);
    if (r == 0)
        memcpy(count, value.data, sizeof *count);
    if (r < 0)
        return r;
    ++*count;
    return state_put(task->state, table, key, str_make(count, sizeof *count));
}

/* An event counts in `record`, and tells the next key, which counts in `profile`. */
static int toy_process(void *instance, struct task *task, const struct record *record)
{
    struct toy *toy = instance;
    uint64_t count;
    uint32_t key;
    memcpy(&key, record->key.data, sizeof key);
    if (toy->broken) {
        count = ++toy->counts[key];
        return state_put(task->state, TABLE_PROFILE, record->key, str_make(&count, sizeof count));
    }
    bool event = record->topic == TOPIC_EVENTS;
    int r = count_row(task, event ? TABLE_RECORD : TABLE_PROFILE, record->key, &count);
    if (r < 0 || !event)
        return r;
    char next[GROUP_SIZE] = {0};
    key = (key + 1) % KEYS;
    memcpy(next, &key, sizeof key);
    return outbox_send(task->outbox, TOPIC_JOURNEY, str_make(next, GROUP_SIZE), STR("x"));
}

static int toy_settle(void *instance, struct task *task)
{
    (void)instance;
    (void)task;
    return 0;
}

static void toy_reset(void *instance)
{
    (void)instance;
}

static struct stage make_stage(const void *config)
{
    return (struct stage){.name = "toy",
        .inputs = toy_inputs,
        .inputs_count = 2,
        .config = config,
        .open = toy_open,
        .process = toy_process,
        .settle = toy_settle,
        .reset = toy_reset,
        .close = free};
}

static int collect(void *context, struct str key, struct str value)
{
    uint64_t *counts = context;
    uint32_t at;
    memcpy(&at, key.data, sizeof at);
    if (counts[at])
        return ERR_INTERNAL; /* two partitions hold one key */
    memcpy(&counts[at], value.data, sizeof counts[at]);
    return 0;
}

struct change_counts {
    size_t topics[TOPIC_COUNT];
};

static int count_change(void *context, enum topic topic, struct str key, struct str value)
{
    struct change_counts *counts = context;
    assert_int_equal(key.size, GROUP_SIZE);
    assert_int_equal(value.size, sizeof(uint64_t));
    counts->topics[topic]++;
    return 0;
}

/* What run() found. */
struct outcome {
    uint64_t wanted[KEYS];
    uint64_t events[KEYS];
    uint64_t mails[KEYS];
    struct sim_counts counts;
    struct change_counts changes;
};

static void run(const struct sim_config *sim_config, const void *config, struct outcome *out)
{
    struct stage stage = make_stage(config);
    struct sim *sim;
    uint64_t random = sim_config->seed;
    *out = (struct outcome){.wanted = {0}};
    assert_int_equal(sim_new(sim_config, &stage, 1, &sim), 0);
    for (int i = 0; i < EVENTS; i++) {
        uint32_t key = (uint32_t)(sim_random(&random) % KEYS);
        char bytes[GROUP_SIZE] = {0};
        memcpy(bytes, &key, sizeof key);
        const struct append_record record = {
            TOPIC_EVENTS, str_make(bytes, GROUP_SIZE), STR("event")};
        out->wanted[key]++;
        assert_int_equal(sim_append(sim, &record), 0);
        if (i % 50 == 0)
            assert_true(sim_run(sim, 3) >= 0);
    }
    assert_int_equal(sim_run(sim, SIZE_MAX), 0);
    assert_int_equal(sim_results(sim, TOPIC_PROFILES, collect, out->mails), 0);
    assert_int_equal(sim_table(sim, TABLE_RECORD, collect, out->events), 0);
    assert_int_equal(sim_changes(sim, count_change, &out->changes), 0);
    out->counts = *sim_counts(sim);
    sim_free(&sim);
}

/* Runs one seed; true when both tables hold what the events say. */
static bool exact(uint64_t seed, int32_t partitions, unsigned crash_percent, const void *config,
    uint64_t *crashes)
{
    const struct sim_config sim_config = {seed, partitions, crash_percent, 9, false};
    struct outcome out;
    run(&sim_config, config, &out);
    *crashes += out.counts.crashes;
    bool same = true;
    for (size_t i = 0; i < KEYS; i++)
        same = same && (config ? out.mails[i] == out.wanted[i]
                               : out.events[i] == out.wanted[i] &&
                                     out.mails[(i + 1) % KEYS] == out.wanted[i]);
    return same;
}

static void test_run_under_crashes_is_exact(void **state)
{
    (void)state;
    static const int32_t partitions[] = {1, 3, 8};
    uint64_t crashes = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        if (!exact(seed, partitions[seed % 3], 30, NULL, &crashes))
            fail_msg("seed %llu", (unsigned long long)seed);
    assert_true(crashes > SEEDS);
}

static void test_run_broken_stage_is_caught(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    size_t caught = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        caught += !exact(seed, 3, 30, "broken", &crashes);
    assert_true(caught > SEEDS / 2);
    assert_true(exact(1, 3, 0, "broken", &crashes));
}

static void test_run_replaying_same_schedule_same_rows(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim_config config = {.seed = seed, .partitions = 3, .batch_max = 9};
        struct outcome plain, replaying;
        run(&config, NULL, &plain);
        config.replay = true;
        run(&config, NULL, &replaying);
        assert_int_equal(plain.counts.replays, 0);
        assert_int_equal(replaying.counts.replays, plain.counts.batches);
        assert_int_equal(replaying.counts.replays_differ, 0);
        assert_memory_equal(plain.mails, replaying.mails, sizeof plain.mails);
        assert_memory_equal(&plain.changes, &replaying.changes, sizeof plain.changes);
        assert_true(plain.changes.topics[TOPIC_PROFILES] >= KEYS);
        assert_int_equal(plain.changes.topics[TOPIC_PERSONS], 0);
    }
}

static void test_run_replaying_broken_stage_is_caught(void **state)
{
    (void)state;
    const struct sim_config config = {.seed = 1, .partitions = 3, .batch_max = 9, .replay = true};
    struct outcome out;
    run(&config, "broken", &out);
    assert_true(out.counts.replays_differ > out.counts.replays / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_under_crashes_is_exact),
        cmocka_unit_test(test_run_broken_stage_is_caught),
        cmocka_unit_test(test_run_replaying_same_schedule_same_rows),
        cmocka_unit_test(test_run_replaying_broken_stage_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
