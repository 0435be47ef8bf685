/* The whole embedded way out: log, a stage, change log, runner, SQLite. */
#include "sinks/runner.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/stream/local.h"
#include "schemas/error.h"
#include "schemas/session.avro.h"
#include "sinks/sqlite/sqlite_sink.h"

/* What a record says: person, session, count; count 0 deletes. */
struct word {
    uint8_t person;
    uint8_t session;
    uint16_t events;
};

static int stage_open(const void *config, void **instance)
{
    (void)config;
    *instance = NULL;
    return 0;
}

static int stage_process(void *instance, struct task *task, const struct record *record)
{
    struct word word;
    struct session session;
    uint8_t key[2 * KEY_SIZE];
    CLEANUP(buf_free) struct buf value = {0};
    (void)instance;
    memcpy(&word, record->value.data, sizeof(word));
    memset(key, word.person, KEY_SIZE);
    memset(key + KEY_SIZE, word.session, KEY_SIZE);
    if (!word.events)
        return state_delete(task->state, TABLE_SESSION, str_make(key, sizeof(key)));
    session_init(&session);
    memcpy(session.person, key, KEY_SIZE);
    memcpy(session.session_key, key + KEY_SIZE, KEY_SIZE);
    session.events = word.events;
    int r = session_encode(&session, &value);
    return r == 0
               ? state_put(task->state, TABLE_SESSION, str_make(key, sizeof(key)), buf_str(&value))
               : r;
}

static int stage_settle(void *instance, struct task *task)
{
    (void)instance;
    (void)task;
    return 0;
}

static void stage_reset(void *instance)
{
    (void)instance;
}

static const enum topic stage_inputs[] = {TOPIC_EVENTS};
static const struct stage stages[] = {{.name = "words",
    .inputs = stage_inputs,
    .inputs_count = 1,
    .open = stage_open,
    .process = stage_process,
    .settle = stage_settle,
    .reset = stage_reset,
    .close = stage_reset}};

struct world {
    struct scratch scratch;
    char data[96];
    char remove[160];
    struct local *local;
    struct sink *sink;
    struct runner *runner;
};

static int open_source(void *context, const struct result_position *positions, size_t count,
    struct result_source **out)
{
    return local_results(((struct world *)context)->local, "sqlite", positions, count, out);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void open_world(struct world *world)
{
    struct local_options options = {.map_bytes = (size_t)1 << 28, .fsync_off = true};
    assert_int_equal(local_open(&world->local, world->data, &options), 0);
    assert_int_equal(local_set_stages(world->local, stages, 1), 0);
    struct database_options database = {.first_load = true};
    assert_int_equal(sqlite_sink_open(&world->sink, world->scratch.database, &database), 0);
    struct runner_config config = {
        .sink = world->sink, .open_source = open_source, .context = world, .poll_ms = 5};
    assert_int_equal(runner_new(&world->runner, &config), 0);
}

static void close_world(struct world *world)
{
    runner_free(&world->runner);
    world->sink->close(world->sink);
    local_close(&world->local);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    scratch_begin(&world->scratch);
    snprintf(world->data, sizeof(world->data), "%s/data", world->scratch.dir);
    open_world(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    close_world(world);
    snprintf(world->remove, sizeof(world->remove), "rm -r '%s'", world->data);
    assert_int_equal(system(world->remove), 0);
    scratch_end(&world->scratch);
    free(world);
    return 0;
}

static void say(struct world *world, uint8_t person, uint8_t session, uint16_t events)
{
    struct word word = {person, session, events};
    uint8_t key[KEY_SIZE];
    memset(key, person, KEY_SIZE);
    struct append_record record = {
        TOPIC_EVENTS, str_make(key, KEY_SIZE), str_make(&word, sizeof(word))};
    struct appender *appender = local_appender(world->local);
    assert_int_equal(appender->append(appender, &record, 1, NULL), 0);
}

static void work(struct world *world)
{
    int r;
    while ((r = local_work(world->local, 0)) == 0)
        continue;
    assert_int_equal(r, LOCAL_QUIET);
}

static void to_quiet(struct world *world)
{
    work(world);
    assert_int_equal(runner_to_quiet(world->runner, always, NULL), 0);
}

static void assert_sessions(struct world *world, const char *expected)
{
    assert_string_equal(
        ask(world->scratch.database, "SELECT coalesce(group_concat(line, ' '), '') FROM (SELECT "
                                     "substr(hex(person), 2, 1) || substr(hex(session_key), 2, 1) "
                                     "|| '=' || events AS line FROM session ORDER BY 1)"),
        expected);
}

static void test_to_quiet_rows_changes_and_ends_arrive(void **state)
{
    struct world *world = *state;
    say(world, 1, 1, 5);
    say(world, 2, 1, 6);
    to_quiet(world);
    assert_sessions(world, "11=5 21=6");
    say(world, 1, 1, 7);
    say(world, 2, 1, 0);
    say(world, 3, 3, 1);
    to_quiet(world);
    assert_sessions(world, "11=7 33=1");
}

static void test_to_quiet_resumes_after_reopening_everything(void **state)
{
    struct world *world = *state;
    say(world, 1, 1, 5);
    to_quiet(world);
    close_world(world);
    open_world(world);
    say(world, 1, 2, 6);
    to_quiet(world);
    assert_sessions(world, "11=5 12=6");
}

static bool after_some(void *context)
{
    return --*(int *)context == 0; /* quiet at last */
}

static void test_first_load_is_seen_whole_or_not_at_all(void **state)
{
    struct world *world = *state;
    char left[300];
    int turns = 3;
    say(world, 1, 1, 5);
    work(world);
    assert_int_equal(runner_to_quiet(world->runner, after_some, &turns), 0);
    assert_int_equal(access(world->scratch.database, F_OK), 0);
    close_world(world);
    snprintf(left, sizeof left, "%s-loading", world->scratch.database);
    assert_int_not_equal(access(left, F_OK), 0);
    assert_int_equal(unlink(world->scratch.database), 0);
    FILE *killed = fopen(left, "w");
    assert_non_null(killed);
    fputs("half a database", killed);
    fclose(killed);
    open_world(world);
    assert_int_not_equal(access(world->scratch.database, F_OK), 0);
    close_world(world);
    assert_int_not_equal(access(left, F_OK), 0);
    open_world(world);
    to_quiet(world);
    assert_sessions(world, "11=5");
}

static void test_first_load_two_at_once_the_second_waits(void **state)
{
    struct world *world = *state;
    struct sink *second = NULL;
    struct database_options database = {.first_load = true};
    assert_int_equal(sqlite_sink_open(&second, world->scratch.database, &database), ERR_AGAIN);
    assert_null(second);
    say(world, 1, 1, 5);
    to_quiet(world);
    assert_sessions(world, "11=5");
}

static void test_first_load_after_an_error_goes_on_in_the_ordinary_way(void **state)
{
    struct world *world = *state;
    const struct result_position *positions;
    size_t count;
    struct sink *sink = world->sink;
    struct result_batch batch = {.begins_anew = true};
    assert_int_equal(sink->apply(sink, &batch), 0);
    assert_int_equal(sink->commit(sink), 0);
    struct result_position many[5000] = {{.topic = "x"}};
    for (int i = 0; i < 5000; i++) {
        many[i] = many[0];
        many[i].partition = i;
    }
    batch = (struct result_batch){.positions = many, .positions_count = 5000};
    assert_int_equal(sink->apply(sink, &batch), ERR_FULL); /* more than a sink takes */
    assert_int_equal(access(world->scratch.database, F_OK), 0);
    assert_int_equal(sink->positions(sink, &positions, &count), 0);
    assert_int_equal(count, 0);
    say(world, 1, 1, 5);
    to_quiet(world);
    assert_sessions(world, "11=5");
}

static void test_to_quiet_lost_database_is_made_again(void **state)
{
    struct world *world = *state;
    say(world, 1, 1, 5);
    say(world, 1, 2, 6);
    to_quiet(world);
    say(world, 1, 1, 0);
    to_quiet(world);
    close_world(world);
    char command[256];
    snprintf(command, sizeof(command), "rm '%s'*", world->scratch.database);
    assert_int_equal(system(command), 0);
    open_world(world);
    to_quiet(world);
    assert_sessions(world, "12=6");
}

/* What the copy has and the tables have lost since must not come back. */
static void test_to_quiet_old_copy_of_the_database_catches_up(void **state)
{
    struct world *world = *state;
    char command[512];
    say(world, 1, 1, 5);
    say(world, 1, 2, 6);
    to_quiet(world);
    close_world(world);
    snprintf(command, sizeof(command), "cp '%s' '%s.old'", world->scratch.database,
        world->scratch.database);
    assert_int_equal(system(command), 0);
    open_world(world);
    say(world, 1, 1, 0);
    say(world, 3, 3, 1);
    to_quiet(world);
    say(world, 4, 4, 1); /* the change log is trimmed with the batches that follow */
    to_quiet(world);
    say(world, 5, 5, 1);
    to_quiet(world);
    close_world(world);
    snprintf(command, sizeof(command), "rm -f '%s-wal' '%s-shm'; mv '%s.old' '%s'",
        world->scratch.database, world->scratch.database, world->scratch.database,
        world->scratch.database);
    assert_int_equal(system(command), 0);
    open_world(world);
    to_quiet(world);
    assert_sessions(world, "12=6 33=1 44=1 55=1");
}

static void test_to_quiet_database_of_another_directory_is_refused(void **state)
{
    struct world *world = *state;
    char command[256];
    say(world, 1, 1, 5);
    to_quiet(world);
    close_world(world);
    snprintf(command, sizeof(command), "rm -r '%s'", world->data);
    assert_int_equal(system(command), 0);
    open_world(world);
    work(world);
    assert_int_equal(runner_to_quiet(world->runner, always, NULL), ERR_STATE);
    assert_sessions(world, "11=5");
}

/* Works and runs forever; its parent kills it. */
static void churn(struct world *world, unsigned seed, int progress)
{
    open_world(world);
    if (runner_start(world->runner, NULL, NULL) != 0)
        _exit(1);
    for (unsigned i = 0;; i++) {
        seed = seed * 1103515245u + 12345u;
        say(world, (uint8_t)(1 + (seed >> 16) % 9), (uint8_t)(1 + (seed >> 20) % 9),
            (uint16_t)((seed >> 24) % 50));
        if (i % 7 == 0)
            work(world);
        if (write(progress, "", 1) != 1)
            _exit(1);
    }
}

static void test_run_killed_anywhere_ends_in_the_rows_of_the_state(void **state)
{
    struct world *world = *state;
    close_world(world);
    for (unsigned round = 0; round < 8; round++) {
        int progress[2];
        char steps[512];
        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            churn(world, round, progress[1]);
        size_t got = 0;
        while (got < 40 + round * 29)
            got += (size_t)read(progress[0], steps, sizeof(steps));
        assert_int_equal(kill(child, SIGKILL), 0);
        close(progress[0]);
        close(progress[1]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    open_world(world);
    to_quiet(world);
    static char resumed[1 << 16];
    snprintf(resumed, sizeof(resumed), "%s",
        ask(world->scratch.database,
            "SELECT coalesce(group_concat(hex(person) || hex(session_key) || events), '') FROM "
            "session"));
    close_world(world);
    char command[256];
    snprintf(command, sizeof(command), "rm '%s'*", world->scratch.database);
    assert_int_equal(system(command), 0);
    open_world(world);
    to_quiet(world);
    assert_string_equal(
        ask(world->scratch.database,
            "SELECT coalesce(group_concat(hex(person) || hex(session_key) || events), '') FROM "
            "session"),
        resumed);
    assert_true(strlen(resumed) > 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_to_quiet_rows_changes_and_ends_arrive),
        TEST(test_to_quiet_resumes_after_reopening_everything),
        TEST(test_first_load_is_seen_whole_or_not_at_all),
        TEST(test_first_load_two_at_once_the_second_waits),
        TEST(test_first_load_after_an_error_goes_on_in_the_ordinary_way),
        TEST(test_to_quiet_lost_database_is_made_again),
        TEST(test_to_quiet_old_copy_of_the_database_catches_up),
        TEST(test_to_quiet_database_of_another_directory_is_refused),
        TEST(test_run_killed_anywhere_ends_in_the_rows_of_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
