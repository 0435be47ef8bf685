/*
 * ingest/stream/local with fault points: killed or failing at every commit, with a full disk,
 * closed under its appenders, trimmed under its readers.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/local_private.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define KEYS 5
#define EVENTS 60
#define THREADS 8
#define LARGE_SIZE 100000

/* An event's row is how many of its key came; every second one also counts for the next key, by
 * mail; a "no" is rejected. */
static const enum topic toy_inputs[] = {TOPIC_EVENTS, TOPIC_JOURNEY};

static int toy_open(const void *config, void **instance)
{
    (void)config;
    *instance = malloc(1);
    return *instance ? 0 : ERR_NO_MEMORY;
}

static int toy_process(void *instance, struct task *task, const struct record *record)
{
    (void)instance;
    uint64_t count = 0;
    struct str value;
    if (str_equal(record->value, STR("no")))
        return outbox_send(task->outbox, TOPIC_REJECTED, record->key, record->value);
    int r = state_get(task->state, TABLE_PROFILE, record->key, &value);
    if (r == 0)
        memcpy(&count, value.data, sizeof count);
    count++;
    if (r >= 0)
        r = state_put(task->state, TABLE_PROFILE, record->key, str_make(&count, sizeof count));
    if (r < 0 || record->topic != TOPIC_EVENTS || count % 2)
        return r;
    char next[GROUP_SIZE];
    memcpy(next, record->key.data, GROUP_SIZE);
    next[0] = (char)('a' + (next[0] - 'a' + 1) % KEYS);
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

static const struct stage toy_stage = {
    .name = "toy",
    .inputs = toy_inputs,
    .inputs_count = 2,
    .open = toy_open,
    .process = toy_process,
    .settle = toy_settle,
    .reset = toy_reset,
    .close = free,
};

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)unsetenv("TABIJI_FAULT");
    fault_reset();
    (void)snprintf(dir, sizeof dir, "/tmp/tabiji-faults-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct local *open_in(const char *sub, size_t map_bytes)
{
    char path[96];
    struct local *local = NULL;
    const struct local_options options = {
        .fsync_off = true, .batch_records_max = 7, .map_bytes = map_bytes};
    (void)snprintf(path, sizeof path, "%s/%s", dir, sub);
    assert_int_equal(local_open(&local, path, &options), 0);
    assert_int_equal(local_set_stages(local, &toy_stage, 1), 0);
    return local;
}

/* The i-th event of every run. */
static int append_event(struct local *local, int64_t i)
{
    char key[GROUP_SIZE];
    memset(key, (int)('a' + i % KEYS), sizeof key);
    const struct append_record record = {
        TOPIC_EVENTS, str_make(key, sizeof key), i % 11 == 3 ? STR("no") : STR("yes")};
    struct appender *appender = local_appender(local);
    return appender->append(appender, &record, 1, NULL);
}

static int work_to_quiet(struct local *local)
{
    int r;
    while ((r = local_work(local, 0)) == 0)
        ;
    return r;
}

/* All rows that a new reader sees, whatever their order. */
static uint64_t digest(struct local *local)
{
    struct result_source *source;
    struct result_batch batch;
    uint64_t sum = 0;
    assert_int_equal(local_results(local, "digest", NULL, 0, &source), 0);
    assert_int_equal(source->next(source, 0, &batch), 0);
    assert_true(batch.results_count > 0);
    for (size_t i = 0; i < batch.results_count; i++) {
        const struct result *result = &batch.results[i];
        sum += (hash64(result->key) * 31 + hash64(result->value)) * (uint64_t)(result->topic + 1);
    }
    source->close(source);
    return sum;
}

/* What a run of the first `events` leaves that nothing disturbed. */
static uint64_t undisturbed(int64_t events)
{
    struct local *local = open_in("undisturbed", 0);
    while (local_log_end(local) < events)
        assert_int_equal(append_event(local, local_log_end(local)), 0);
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET);
    uint64_t sum = digest(local);
    local_close(&local);
    return sum;
}

static void run_child(const char *fault, int pipe_fd)
{
    if (setenv("TABIJI_FAULT", fault, 1) != 0)
        _exit(1);
    struct local *local = open_in("run", 0);
    for (int64_t i = 0; i < EVENTS; i++) {
        if (append_event(local, i) != 0 || write(pipe_fd, "x", 1) != 1)
            _exit(2);
        if (i % 4 == 0 && local_work(local, 0) < 0)
            _exit(3);
    }
    _exit(work_to_quiet(local) == LOCAL_QUIET ? 0 : 4);
}

/* Kills a run there, goes on with what its log holds, compares. */
static void kill_at(const char *fault)
{
    int fds[2], status;
    int64_t acknowledged = 0;
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0)
        run_child(fault, fds[1]);
    assert_int_equal(close(fds[1]), 0);
    while (read(fds[0], &byte, 1) == 1)
        acknowledged++;
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s did not fire", fault);

    struct local *local = open_in("run", 0);
    int64_t end = local_log_end(local);
    assert_in_range(end, acknowledged, acknowledged + 1);
    while (end < EVENTS)
        assert_int_equal(append_event(local, end++), 0);
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET);
    uint64_t after = digest(local);
    local_close(&local);
    if (after != undisturbed(EVENTS))
        fail_msg("%s: other tables", fault);
}

static void test_kill_at_every_commit_leaves_the_same_tables(void **state)
{
    static const char *const points[] = {
        "log_commit", "log_committed", "state_commit", "state_committed"};
    static const int hits[] = {1, 2, 9};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        for (size_t k = 0; k < sizeof hits / sizeof *hits; k++) {
            char fault[64];
            (void)snprintf(fault, sizeof fault, "%s:%d:kill", points[i], hits[k]);
            kill_at(fault);
            assert_int_equal(remove_dir(state), 0);
            assert_int_equal(make_dir(state), 0);
        }
    }
}

static void test_append_after_failed_commit_is_refused(void **state)
{
    (void)state;
    struct local *local = open_in("run", 0);
    assert_int_equal(append_event(local, 0), 0);
    fault_reset();
    assert_int_equal(setenv("TABIJI_FAULT", "log_commit:1:error", 1), 0);
    assert_int_equal(append_event(local, 1), ERR_IO);
    assert_int_equal(unsetenv("TABIJI_FAULT"), 0);
    assert_int_equal(append_event(local, 1), ERR_IO);
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET); /* what is durable goes on */
    local_close(&local);
    local = open_in("run", 0);
    assert_int_equal(local_log_end(local), 1);
    assert_int_equal(append_event(local, 1), 0);
    local_close(&local);
}

static void test_append_to_full_log_is_refused_and_recovers(void **state)
{
    (void)state;
    static char large[LARGE_SIZE];
    const struct append_record record = {
        TOPIC_EVENTS, STR("aaaaaaaaaaaaaaaa"), str_make(large, sizeof large)};
    struct local *local = open_in("run", (size_t)1 << 20);
    struct appender *appender = local_appender(local);
    int64_t appended = 0;
    int r;
    while ((r = appender->append(appender, &record, 1, NULL)) == 0 && appended < 20)
        appended++;
    assert_int_equal(r, ERR_FULL);
    assert_true(appended > 2);
    assert_int_equal(local_log_end(local), appended);
    assert_int_equal(append_event(local, 0), 0);
    local_close(&local);
    local = open_in("run", 0);
    appender = local_appender(local);
    assert_int_equal(local_log_end(local), appended + 1);
    assert_int_equal(appender->append(appender, &record, 1, NULL), 0);
    local_close(&local);
}

static void test_append_what_no_batch_could_store_is_refused(void **state)
{
    (void)state;
    static char large[STATE_KEY_SIZE_MAX + 1];
    struct local *local = open_in("run", 0);
    struct appender *appender = local_appender(local);
    struct append_record record = {TOPIC_REJECTED, STR(""), STR("x")};
    assert_int_equal(appender->append(appender, &record, 1, NULL), ERR_EMPTY);
    record.key = str_make(large, sizeof large);
    assert_int_equal(appender->append(appender, &record, 1, NULL), ERR_TOO_LARGE);
    record = (struct append_record){TOPIC_JOURNEY, STR("aaaaaaaaaaaaaaaa"), STR("x")};
    assert_int_equal(appender->append(appender, &record, 1, NULL), ERR_TOO_LARGE);
    assert_int_equal(local_log_end(local), 0);
    local_close(&local);
}

struct late {
    struct local *local;
    int result;
};

static void *append_late(void *context)
{
    struct late *late = context;
    late->result = append_event(late->local, 0);
    return NULL;
}

static void *close_local(void *context)
{
    local_close(context);
    return NULL;
}

/* Waits until so many callers are within append(). */
static void await_appending(struct local *local, size_t count)
{
    for (bool there = false; !there; sched_yield()) {
        (void)pthread_mutex_lock(&local->mutex);
        there = local->appending == count;
        (void)pthread_mutex_unlock(&local->mutex);
    }
}

static void test_close_answers_appenders_and_waits_for_them(void **state)
{
    (void)state;
    struct local *local = open_in("run", 0);
    struct late late[THREADS];
    pthread_t threads[THREADS], closer;
    MDB_txn *txn; /* holds the writer up, so that all of them wait */
    assert_int_equal(mdb_txn_begin(local->log_env, NULL, 0, &txn), 0);
    for (size_t i = 0; i < THREADS; i++) {
        late[i] = (struct late){local, 1};
        assert_int_equal(pthread_create(&threads[i], NULL, append_late, &late[i]), 0);
    }
    await_appending(local, THREADS);
    struct local *closing = local;
    assert_int_equal(pthread_create(&closer, NULL, close_local, &closing), 0);
    mdb_txn_abort(txn);
    int64_t durable = 0;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(late[i].result == 0 || late[i].result == ERR_AGAIN);
        durable += late[i].result == 0;
    }
    assert_int_equal(pthread_join(closer, NULL), 0);
    local = open_in("run", 0);
    assert_int_equal(local_log_end(local), durable);
    local_close(&local);
}

static void test_work_error_at_commit_is_undone_and_tried_again(void **state)
{
    (void)state;
    struct local *local = open_in("run", 0);
    for (int64_t i = 0; i < EVENTS; i++)
        assert_int_equal(append_event(local, i), 0);
    static const char *const faults[] = {"state_commit:1:error", "state_committed:1:error"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        assert_int_equal(setenv("TABIJI_FAULT", faults[i], 1), 0);
        fault_reset();
        assert_int_equal(local_work(local, 0), ERR_IO);
        assert_int_equal(unsetenv("TABIJI_FAULT"), 0);
    }
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET);
    uint64_t after = digest(local);
    local_close(&local);
    assert_true(after == undisturbed(EVENTS));
}

static void test_results_trimmed_under_a_reader_begin_anew(void **state)
{
    (void)state;
    struct local *local = open_in("run", 0);
    struct result_source *source;
    struct result_batch batch;
    for (int64_t i = 0; i < KEYS; i++)
        assert_int_equal(append_event(local, i), 0);
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET);
    assert_int_equal(local_results(local, "late", NULL, 0, &source), 0);
    /* As if the worker had not known of it when it trimmed. */
    atomic_store(&local->acked[0], local->results_end);
    assert_int_equal(append_event(local, 0), 0);
    assert_int_equal(work_to_quiet(local), LOCAL_QUIET);
    size_t profiles = 0, turns = 0;
    bool anew = false;
    do {
        assert_int_equal(source->next(source, 0, &batch), 0);
        anew |= batch.begins_anew;
        for (size_t i = 0; i < batch.results_count; i++)
            profiles += batch.results[i].topic == TOPIC_PROFILES;
    } while (batch.results_count && ++turns < 10);
    assert_true(anew);
    assert_in_range(profiles, KEYS - 1, KEYS); /* the fourth event was rejected */
    source->close(source);
    local_close(&local);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_kill_at_every_commit_leaves_the_same_tables),
        TEST(test_append_after_failed_commit_is_refused),
        TEST(test_append_to_full_log_is_refused_and_recovers),
        TEST(test_append_what_no_batch_could_store_is_refused),
        TEST(test_close_answers_appenders_and_waits_for_them),
        TEST(test_work_error_at_commit_is_undone_and_tried_again),
        TEST(test_results_trimmed_under_a_reader_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
