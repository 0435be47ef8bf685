#include "sinks/runner.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/sqlite_sink.h"

#define RESULTS_MAX 64
#define SCRIPT_MAX 64

struct world;

/* What both fakes begin with. */
struct fake_sink {
    struct sink base;
    struct world *world;
};
struct fake_source {
    struct result_source base;
    struct world *world;
    int next;
};

/* A log of numbered results, a sink that keeps them in memory, and errors at chosen calls. */
struct world {
    int results_count;
    int batch_max;
    int opens;
    struct fake_source source;
    struct fake_sink fake;
    struct {
        int pending[RESULTS_MAX];
        int pending_count;
        int64_t pending_next;
        int seen[RESULTS_MAX]; /* how often each result was committed */
        int64_t next;          /* committed position; -1: none */
        int64_t synced_next;
        int64_t acked_next;
        int applies;
        int commits;
        int settles;
        int solves;
        int poison; /* this result is refused for good; -1: none */
        bool stale; /* rows of before, which go when results begin anew */
        bool pending_anew;
    } sink;
    int apply_error[SCRIPT_MAX]; /* of the n-th call */
    int commit_error[SCRIPT_MAX];
    int next_error[SCRIPT_MAX];
    int nexts;
    int rejected;
    int rejected_error;
    int64_t now_ms;
    int64_t waited_ms;
    int retries;
    bool quiet;
    bool begins_anew; /* the source, at its first result */
    int64_t solve_interval_ms;
    int64_t solve_rest_ms;
    int64_t solve_ms;      /* that pass when the sink solves */
    int64_t come_every_ms; /* results come one by one, so far apart */
    int64_t stop_at_ms;
    struct runner *runner;  /* that is stopped then */
    int64_t turn_ms;        /* that pass when the source is asked */
    int unsolved_models;    /* what solve() returns */
    int unsolved;           /* what was told of it */
    bool trailing_position; /* the last batch has a position and no results */
};

static struct world *of_sink(struct sink *sink)
{
    return ((struct fake_sink *)(void *)sink)->world;
}

static int sink_positions(
    struct sink *sink, const struct result_position **positions, size_t *count)
{
    static struct result_position stored = {.topic = "log"};
    struct world *world = of_sink(sink);
    stored.next = world->sink.next;
    *positions = &stored;
    *count = world->sink.next >= 0;
    return 0;
}

static int sink_apply(struct sink *sink, const struct result_batch *batch)
{
    struct world *world = of_sink(sink);
    int error = world->apply_error[world->sink.applies++ % SCRIPT_MAX];
    for (size_t i = 0; i < batch->results_count; i++) {
        int number = batch->results[i].key.data[0];
        if (number == world->sink.poison)
            error = ERR_TOO_LARGE;
        world->sink.pending[world->sink.pending_count++] = number;
    }
    if (batch->positions_count)
        world->sink.pending_next = batch->positions[0].next;
    world->sink.pending_anew |= batch->begins_anew;
    if (error < 0) {
        world->sink.pending_count = 0;
        world->sink.pending_anew = false;
    }
    return error;
}

static int sink_commit(struct sink *sink)
{
    struct world *world = of_sink(sink);
    int error = world->commit_error[world->sink.commits++ % SCRIPT_MAX];
    for (int i = 0; error == 0 && i < world->sink.pending_count; i++)
        world->sink.seen[world->sink.pending[i]]++;
    world->sink.pending_count = 0;
    if (error == 0)
        world->sink.next = world->sink.pending_next;
    if (error == 0 && world->sink.pending_anew)
        world->sink.stale = false;
    world->sink.pending_anew = false;
    return error;
}

static int sink_sync(struct sink *sink)
{
    struct world *world = of_sink(sink);
    assert_int_equal(world->sink.pending_count, 0);
    world->sink.synced_next = world->sink.next;
    return 0;
}

static int sink_solve(struct sink *sink)
{
    struct world *world = of_sink(sink);
    assert_int_equal(world->sink.pending_count, 0);
    world->sink.solves++;
    world->now_ms += world->solve_ms;
    return world->unsolved_models;
}

static void note_unsolved(void *context, int models)
{
    ((struct world *)context)->unsolved += models;
}

static int sink_settle(struct sink *sink)
{
    of_sink(sink)->sink.settles++;
    return 0;
}

static struct world *of_source(struct result_source *source)
{
    return ((struct fake_source *)(void *)source)->world;
}

static int source_next(struct result_source *source, int timeout_ms, struct result_batch *batch)
{
    static char keys[RESULTS_MAX];
    static struct result results[RESULTS_MAX];
    static struct result_position position = {.topic = "log"};
    struct world *world = of_source(source);
    int error = world->next_error[world->nexts++ % SCRIPT_MAX];
    if (error < 0)
        return error;
    int count = 0;
    bool anew = world->begins_anew && world->source.next == 0;
    int come = world->results_count;
    if (world->come_every_ms && world->now_ms / world->come_every_ms < come)
        come = (int)(world->now_ms / world->come_every_ms);
    if (world->runner && world->now_ms >= world->stop_at_ms)
        runner_stop(world->runner);
    while (count < world->batch_max && world->source.next < come) {
        keys[count] = (char)world->source.next++;
        results[count] = (struct result){.topic = TOPIC_SESSIONS, .key = {&keys[count], 1}};
        count++;
    }
    world->now_ms += world->turn_ms;
    if (!count)
        world->now_ms += timeout_ms + 1;
    position.next = world->source.next;
    if (!count && world->trailing_position)
        position.next = 1000;
    *batch = (struct result_batch){results, (size_t)count, &position, 1, anew};
    return 0;
}

static int source_ack(struct result_source *source)
{
    struct world *world = of_source(source);
    assert_int_equal(world->sink.synced_next, world->sink.next);
    world->sink.acked_next = world->sink.synced_next;
    return 0;
}

static void source_close(struct result_source *source)
{
    of_source(source)->opens--;
}

static int open_source(void *context, const struct result_position *positions, size_t count,
    struct result_source **out)
{
    struct world *world = context;
    assert_int_equal(world->opens++, 0); /* one at a time */
    world->source.base = (struct result_source){source_next, source_ack, source_close};
    world->source.world = world;
    world->source.next = count ? (int)positions[0].next : 0;
    *out = &world->source.base;
    return 0;
}

static void note_rejected(void *context, const struct result *result, int error)
{
    struct world *world = context;
    world->rejected = result->key.data[0];
    world->rejected_error = error;
}

static void note_retry(void *context, int error, int64_t wait_ms)
{
    (void)error;
    (void)wait_ms;
    ((struct world *)context)->retries++;
}

static int64_t clock_now(void *context)
{
    return ((struct world *)context)->now_ms;
}

static void clock_wait(void *context, int64_t ms)
{
    struct world *world = context;
    world->now_ms += ms;
    world->waited_ms += ms;
}

static const struct runner_clock fake_clock = {clock_now, clock_wait};

static bool is_quiet(void *context)
{
    return ((struct world *)context)->quiet;
}

static void begin(struct world *world, int results_count, int batch_max)
{
    *world = (struct world){
        .results_count = results_count, .batch_max = batch_max, .rejected = -1, .quiet = true};
    world->fake.base = (struct sink){.name = "fake",
        .positions = sink_positions,
        .apply = sink_apply,
        .commit = sink_commit,
        .sync = sink_sync,
        .settle = sink_settle,
        .solve = sink_solve};
    world->fake.world = world;
    world->sink.next = -1;
    world->sink.synced_next = -1;
    world->sink.poison = -1;
}

static int run(struct world *world, size_t commit_results_max, struct runner_stats *stats)
{
    struct runner *runner = NULL;
    struct runner_config config = {.sink = &world->fake.base,
        .open_source = open_source,
        .rejected = note_rejected,
        .retrying = note_retry,
        .unsolved = note_unsolved,
        .context = world,
        .solve_interval_ms = world->solve_interval_ms,
        .solve_rest_ms = world->solve_rest_ms,
        .commit_results_max = commit_results_max,
        .clock = &fake_clock};
    assert_int_equal(runner_new(&runner, &config), 0);
    world->runner = world->stop_at_ms ? runner : NULL;
    int r = world->runner ? runner_run(runner) : runner_to_quiet(runner, is_quiet, world);
    *stats = runner_stats(runner);
    runner_free(&runner);
    assert_null(runner);
    assert_int_equal(world->opens, 0);
    return r;
}

static void assert_each_once(const struct world *world, int but)
{
    for (int i = 0; i < world->results_count; i++)
        assert_int_equal(world->sink.seen[i], i == but ? 0 : 1);
    assert_int_equal(world->sink.next, world->results_count);
}

static void test_to_quiet_commits_all_then_syncs_then_acks(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 20, 3);
    assert_int_equal(run(&world, 0, &stats), 0);
    assert_each_once(&world, -1);
    assert_int_equal(world.sink.acked_next, 20);
    assert_int_equal(world.sink.commits, 1); /* one transaction for all batches */
    assert_int_equal(world.sink.settles, 1);
    assert_int_equal(stats.results, 20);
    assert_int_equal(stats.retries, 0);
}

static void test_to_quiet_solves_when_all_is_there(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 20, 3);
    assert_int_equal(run(&world, 6, &stats), 0);
    assert_int_equal(world.sink.solves, 0); /* no interval: never */
    begin(&world, 20, 3);
    world.solve_interval_ms = 1000000;
    world.unsolved_models = 2;
    assert_int_equal(run(&world, 6, &stats), 0);
    assert_each_once(&world, -1);
    assert_int_equal(world.sink.solves, 2); /* at rest, and once more at the end */
    assert_int_equal(world.unsolved, 4);
}

static void test_to_quiet_solves_at_intervals_while_more_comes(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 60, 1);
    world.solve_interval_ms = 7000;
    world.turn_ms = 1000; /* of the clock, each time the source is asked */
    assert_int_equal(run(&world, 0, &stats), 0);
    assert_each_once(&world, -1);
    assert_true(world.sink.solves >= 60 / 10 && world.sink.solves <= 60 / 5);
}

static void test_run_solves_when_nothing_came_for_a_while(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    for (int rests = 0; rests < 2; rests++) {
        begin(&world, 5, 1);
        world.solve_interval_ms = 300000;
        world.solve_rest_ms = rests ? 2000 : 0;
        world.come_every_ms = 1000; /* the last at 5 s */
        world.stop_at_ms = 60000;
        assert_int_equal(run(&world, 0, &stats), 0);
        assert_each_once(&world, -1);
        assert_int_equal(world.sink.solves, rests ? 2 : 1); /* the first before anything came */
    }
}

static void test_run_solves_for_a_tenth_of_the_time_at_most(void **state)
{
    (void)state;
    for (int rests = 0; rests < 2; rests++) {
        struct world world;
        struct runner_stats stats;
        begin(&world, 60, 1);
        world.solve_interval_ms = rests ? 300000 : 1000;
        world.solve_rest_ms = rests ? 500 : 0;
        world.solve_ms = 2000;
        world.come_every_ms = 3000;
        world.stop_at_ms = 180000;
        assert_int_equal(run(&world, 0, &stats), 0);
        assert_in_range(world.sink.solves, 8, 10);
    }
}

static void test_to_quiet_commits_when_a_transaction_is_full(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 20, 3);
    assert_int_equal(run(&world, 6, &stats), 0);
    assert_each_once(&world, -1);
    assert_int_equal(stats.commits, 4); /* 6 6 6 2 */
}

static void test_to_quiet_sink_retry_error_reads_again_where_it_stands(void **state)
{
    (void)state;
    for (int at = 0; at < 8; at++) {
        struct world world;
        struct runner_stats stats;
        begin(&world, 20, 3);
        world.apply_error[at] = ERR_FULL;
        world.commit_error[at / 2] = ERR_AGAIN;
        assert_int_equal(run(&world, 6, &stats), 0);
        assert_each_once(&world, -1);
        assert_int_equal(world.sink.acked_next, 20);
        assert_true(stats.retries >= 1);
        assert_true(world.waited_ms >= 100);
    }
}

static void test_to_quiet_source_retry_error_keeps_what_came_before(void **state)
{
    (void)state;
    for (int at = 0; at < 6; at++) {
        struct world world;
        struct runner_stats stats;
        begin(&world, 20, 3);
        world.next_error[at] = ERR_ABORT;
        assert_int_equal(run(&world, 0, &stats), 0);
        assert_each_once(&world, -1);
        assert_int_equal(stats.retries, 1);
        assert_int_equal(stats.last_error, ERR_ABORT);
    }
}

static void test_to_quiet_waits_longer_each_time_up_to_the_maximum(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 4, 4);
    for (int i = 0; i < 10; i++)
        world.apply_error[i] = ERR_AGAIN;
    assert_int_equal(run(&world, 0, &stats), 0);
    assert_each_once(&world, -1);
    assert_int_equal(stats.retries, 10);
    /* 100 200 400 ... 6400 10000 10000 10000 */
    assert_int_equal(world.waited_ms, 12700 + 3 * 10000);
}

static void test_to_quiet_one_bad_result_alone_is_left_out(void **state)
{
    (void)state;
    for (int poison = 0; poison < 20; poison += 3) {
        struct world world;
        struct runner_stats stats;
        begin(&world, 20, 3);
        world.sink.poison = poison;
        assert_int_equal(run(&world, 6, &stats), 0);
        assert_each_once(&world, poison);
        assert_int_equal(world.rejected, poison);
        assert_int_equal(world.rejected_error, ERR_TOO_LARGE);
        assert_int_equal(stats.rejected, 1);
        assert_int_equal(world.waited_ms, 0);
    }
}

static void test_to_quiet_bad_first_result_of_a_full_reading_old_rows_go(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 20, 3);
    world.begins_anew = world.sink.stale = true;
    world.sink.poison = 0;
    assert_int_equal(run(&world, 6, &stats), 0);
    assert_each_once(&world, 0);
    assert_false(world.sink.stale);
}

static void test_to_quiet_fatal_error_ends_without_ack_of_the_lost(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 20, 3);
    world.apply_error[3] = ERR_DATABASE;
    assert_int_equal(run(&world, 6, &stats), ERR_DATABASE);
    assert_int_equal(world.sink.next, 6);
    assert_int_equal(world.sink.acked_next, 0); /* the source is closed already */
    begin(&world, 20, 3);
    world.next_error[3] = ERR_IO;
    assert_int_equal(run(&world, 0, &stats), ERR_IO);
    assert_int_equal(world.sink.next, 9); /* what came before it was good */
}

static void test_to_quiet_position_without_results_is_stored(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 5, 3);
    world.trailing_position = true;
    assert_int_equal(run(&world, 0, &stats), 0);
    assert_int_equal(world.sink.next, 1000);
    assert_int_equal(world.sink.acked_next, 1000);
}

static bool quiet_after_some(void *context)
{
    struct world *world = context;
    if (world->source.next == 5 && world->results_count == 5)
        world->results_count = 9; /* the worker was busy still */
    return world->source.next >= 9;
}

static void test_to_quiet_waits_for_the_worker(void **state)
{
    (void)state;
    struct world world;
    struct runner *runner = NULL;
    begin(&world, 5, 3);
    struct runner_config config = {.sink = &world.fake.base,
        .open_source = open_source,
        .context = &world,
        .clock = &fake_clock};
    assert_int_equal(runner_new(&runner, &config), 0);
    assert_int_equal(runner_to_quiet(runner, quiet_after_some, &world), 0);
    runner_free(&runner);
    assert_each_once(&world, -1);
}

/* The source is asked once more, for it may have something; it is not waited for. */
static void test_to_quiet_does_not_wait_when_nothing_comes(void **state)
{
    (void)state;
    struct world world;
    struct runner_stats stats;
    begin(&world, 0, 3);
    assert_int_equal(run(&world, 0, &stats), 0);
    assert_int_equal(world.nexts, 1);
    assert_int_equal(world.now_ms, 1); /* the fake source takes its timeout and 1 ms */
}

static void test_stop_before_start_ends_at_once_and_finishes(void **state)
{
    (void)state;
    struct world world;
    struct runner *runner = NULL;
    begin(&world, 5, 3);
    struct runner_config config = {
        .sink = &world.fake.base, .open_source = open_source, .context = &world};
    assert_int_equal(runner_new(&runner, &config), 0);
    runner_stop(runner);
    assert_int_equal(runner_run(runner), 0);
    assert_int_equal(runner_to_quiet(runner, is_quiet, &world), RUNNER_STOPPED);
    runner_free(&runner);
    assert_int_equal(world.sink.next, -1);
}

static void test_start_join_runs_in_a_thread(void **state)
{
    (void)state;
    struct scratch scratch;
    struct sink *sink;
    struct world world;
    struct runner *runner = NULL;
    scratch_begin(&scratch);
    begin(&world, 20, 3);
    assert_int_equal(sqlite_sink_open(&sink, scratch.database, NULL), 0);
    struct runner_config config = {
        .sink = sink, .open_source = open_source, .context = &world, .clock = &fake_clock};
    assert_int_equal(runner_new(&runner, &config), 0);
    assert_int_equal(runner_start(runner, NULL, NULL), 0);
    while (runner_stats(runner).results < 20)
        sched_yield();
    assert_false(runner_ended(runner));
    assert_int_equal(runner_join(runner), 0);
    assert_int_equal(runner_to_quiet(runner, is_quiet, &world), 0); /* it can run again */
    assert_int_equal(runner_stats(runner).rejected, 20); /* keys of one byte are no sessions */
    runner_free(&runner);
    sink->close(sink);
    scratch_end(&scratch);
}

static void test_ended_tells_of_a_fatal_error(void **state)
{
    (void)state;
    struct world world;
    struct runner *runner = NULL;
    begin(&world, 20, 3);
    world.apply_error[0] = ERR_DATABASE;
    struct runner_config config = {.sink = &world.fake.base,
        .open_source = open_source,
        .context = &world,
        .clock = &fake_clock};
    assert_int_equal(runner_new(&runner, &config), 0);
    assert_int_equal(runner_start(runner, NULL, NULL), 0);
    while (!runner_ended(runner))
        sched_yield();
    assert_int_equal(runner_join(runner), ERR_DATABASE);
    runner_free(&runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_quiet_commits_all_then_syncs_then_acks),
        cmocka_unit_test(test_to_quiet_solves_when_all_is_there),
        cmocka_unit_test(test_to_quiet_solves_at_intervals_while_more_comes),
        cmocka_unit_test(test_run_solves_when_nothing_came_for_a_while),
        cmocka_unit_test(test_run_solves_for_a_tenth_of_the_time_at_most),
        cmocka_unit_test(test_to_quiet_commits_when_a_transaction_is_full),
        cmocka_unit_test(test_to_quiet_sink_retry_error_reads_again_where_it_stands),
        cmocka_unit_test(test_to_quiet_source_retry_error_keeps_what_came_before),
        cmocka_unit_test(test_to_quiet_waits_longer_each_time_up_to_the_maximum),
        cmocka_unit_test(test_to_quiet_one_bad_result_alone_is_left_out),
        cmocka_unit_test(test_to_quiet_bad_first_result_of_a_full_reading_old_rows_go),
        cmocka_unit_test(test_to_quiet_fatal_error_ends_without_ack_of_the_lost),
        cmocka_unit_test(test_to_quiet_position_without_results_is_stored),
        cmocka_unit_test(test_to_quiet_waits_for_the_worker),
        cmocka_unit_test(test_to_quiet_does_not_wait_when_nothing_comes),
        cmocka_unit_test(test_stop_before_start_ends_at_once_and_finishes),
        cmocka_unit_test(test_start_join_runs_in_a_thread),
        cmocka_unit_test(test_ended_tells_of_a_fatal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
