/* ingest/stream/local: what was acknowledged stays, tables and results follow, also through kills.
 */
#include <limits.h>
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

#include "ingest/stream/local.h"
#include "ingest/stream/local_preview.h"
#include "schemas/error.h"

#define THREADS 8
#define APPENDS 50

/* A toy of the whole way: an event adds to its key's count; every third one is told to another key
 * by mail; settle() writes the profile of the keys it saw. */
static const enum topic toy_inputs[] = {TOPIC_EVENTS, TOPIC_JOURNEY};
struct toy {
    uint8_t dirty[64][GROUP_SIZE];
    size_t dirty_count;
};

static int toy_open(const void *config, void **instance)
{
    (void)config;
    *instance = calloc(1, sizeof(struct toy));
    return *instance ? 0 : ERR_NO_MEMORY;
}

static void toy_reset(void *instance)
{
    ((struct toy *)instance)->dirty_count = 0;
}

static void toy_close(void *instance)
{
    free(instance);
}

static int toy_settle(void *instance, struct task *task)
{
    struct toy *toy = instance;
    for (size_t i = 0; i < toy->dirty_count; i++) {
        struct str key = str_make(toy->dirty[i], GROUP_SIZE), value;
        int r = state_get(task->state, TABLE_RECORD, key, &value);
        if (r == 0)
            r = state_put(task->state, TABLE_PROFILE, key, value);
        if (r < 0)
            return r;
    }
    toy->dirty_count = 0;
    return 0;
}

static int toy_process(void *instance, struct task *task, const struct record *record)
{
    struct toy *toy = instance;
    struct str value;
    uint64_t count = 0;
    if (str_equal(record->value, STR("bad")))
        return ERR_AVRO;
    if (str_equal(record->value, STR("stop")))
        return ERR_IO;
    int r = state_get(task->state, TABLE_RECORD, record->key, &value);
    if (r == 0)
        memcpy(&count, value.data, sizeof count);
    if (r >= 0) {
        count++;
        r = state_put(task->state, TABLE_RECORD, record->key, str_make(&count, sizeof count));
    }
    if (r == 0 && record->topic == TOPIC_EVENTS && count % 3 == 0) {
        char other[GROUP_SIZE];
        memcpy(other, record->key.data, GROUP_SIZE);
        other[0] = 'm';
        r = outbox_send(task->outbox, TOPIC_JOURNEY, str_make(other, GROUP_SIZE), STR("x"));
    }
    if (toy->dirty_count == 64)
        r = r < 0 ? r : toy_settle(toy, task);
    memcpy(toy->dirty[toy->dirty_count++], record->key.data, GROUP_SIZE);
    return r;
}

static const struct stage toy_stage = {
    .name = "toy",
    .inputs = toy_inputs,
    .inputs_count = 2,
    .open = toy_open,
    .process = toy_process,
    .settle = toy_settle,
    .reset = toy_reset,
    .close = toy_close,
};

/* ---- the same with a meaning: its profiles can be made anew ---- */

static int begun; /* how often all of them were begun */

static int toy_rederive(void *instance, struct task *task, struct str key)
{
    struct toy *toy = instance;
    (void)task;
    memcpy(toy->dirty[toy->dirty_count++], key.data, GROUP_SIZE);
    return 0;
}

static int toy_rederive_begin(void *instance, struct task *task)
{
    (void)instance;
    (void)task;
    begun++;
    return 0;
}

static struct stage meant(const char *meaning)
{
    struct stage stage = toy_stage;
    stage.meaning = str_of(meaning);
    stage.meaning_table = TABLE_JOURNEY_MEANING;
    stage.rederive = toy_rederive;
    stage.rederive_begin = toy_rederive_begin;
    stage.rederive_table = TABLE_PROFILE;
    return stage;
}

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/tabiji-local-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static const struct local_options fast = {.fsync_off = true, .batch_records_max = 7};

static struct local *open_toy(void)
{
    struct local *local = NULL;
    assert_int_equal(local_open(&local, dir, &fast), 0);
    assert_int_equal(local_set_stages(local, &toy_stage, 1), 0);
    return local;
}

static void append_text(struct local *local, const char *key, const char *value)
{
    char padded[GROUP_SIZE + 1];
    (void)snprintf(padded, sizeof padded, "%-16s", key);
    const struct append_record record = {TOPIC_EVENTS, str_make(padded, GROUP_SIZE), str_of(value)};
    struct appender *appender = local_appender(local);
    assert_int_equal(appender->append(appender, &record, 1, NULL), 0);
}

static void work_to_quiet(struct local *local)
{
    int r;
    while ((r = local_work(local, 0)) == 0)
        ;
    assert_int_equal(r, LOCAL_QUIET);
}

/* Reads results to their end into a map of at most 256 rows; returns the count of live rows. */
static struct {
    char key[GROUP_SIZE];
    uint64_t count;
    bool live;
} rows[256];
static size_t rows_count;

static void apply(const struct result *result)
{
    if (result->topic != TOPIC_PROFILES)
        return;
    size_t i = 0;
    while (i < rows_count && memcmp(rows[i].key, result->key.data, GROUP_SIZE) != 0)
        i++;
    if (i == rows_count)
        memcpy(rows[rows_count++].key, result->key.data, GROUP_SIZE);
    rows[i].live = !result->tombstone;
    if (!result->tombstone)
        memcpy(&rows[i].count, result->value.data, sizeof rows[i].count);
}

static struct result_position read_results(struct local *local, const struct result_position *from)
{
    struct result_source *source;
    struct result_batch batch;
    struct result_position position = {.next = 0};
    assert_int_equal(local_results(local, "test", from, from ? 1 : 0, &source), 0);
    do {
        assert_int_equal(source->next(source, 0, &batch), 0);
        for (size_t i = 0; i < batch.results_count; i++)
            apply(&batch.results[i]);
        position = batch.positions[0];
        assert_int_equal(source->ack(source), 0);
    } while (batch.results_count);
    source->close(source);
    return position;
}

static uint64_t count_of(const char *key)
{
    char padded[GROUP_SIZE + 1];
    (void)snprintf(padded, sizeof padded, "%-16s", key);
    for (size_t i = 0; i < rows_count; i++)
        if (memcmp(rows[i].key, padded, GROUP_SIZE) == 0)
            return rows[i].live ? rows[i].count : 0;
    return 0;
}

static void test_work_counts_and_mails(void **state)
{
    (void)state;
    rows_count = 0;
    struct local *local = open_toy();
    for (int i = 0; i < 30; i++)
        append_text(local, i % 2 ? "a" : "b", "x");
    work_to_quiet(local);
    (void)read_results(local, NULL);
    assert_int_equal(count_of("a"), 15);
    assert_int_equal(count_of("b"), 15);
    assert_int_equal(count_of("m"), 10);
    local_close(&local);
}

/* Opens with that meaning, makes so many steps of a replay, closes; what opening said. */
static int open_meant(const char *meaning, int steps, const char *difference)
{
    struct local *local = NULL;
    const struct stage stage = meant(meaning);
    assert_int_equal(local_open(&local, dir, &fast), 0);
    int r = local_set_stages(local, &stage, 1);
    if (r == ERR_MEANING) {
        CLEANUP(buf_free) struct buf said = {0};
        assert_int_equal(buf_append_str(&said, local_difference(local)), 0);
        assert_int_equal(buf_append(&said, "", 1), 0);
        assert_non_null(strstr(said.data, difference));
    }
    for (int i = 0; i < steps; i++)
        assert_int_equal(local_rederive(local, 1), 0);
    local_close(&local);
    return r;
}

static void test_rederive_that_was_not_ended_fits_no_meaning(void **state)
{
    (void)state;
    const struct stage stage = meant("one");
    struct local *local = NULL;
    assert_int_equal(local_open(&local, dir, &fast), 0);
    assert_int_equal(local_set_stages(local, &stage, 1), 0);
    append_text(local, "a", "x");
    append_text(local, "b", "x");
    append_text(local, "c", "x");
    work_to_quiet(local);
    local_close(&local);
    begun = 0;
    assert_int_equal(open_meant("two", 2, "was: one"), ERR_MEANING);
    assert_int_equal(begun, 1); /* with the first key alone */
    /* Rows of two meanings: neither goes on with them. */
    assert_int_equal(open_meant("one", 0, "a replay that was not finished"), ERR_MEANING);
    assert_int_equal(open_meant("two", 4, "a replay that was not finished"), ERR_MEANING);
    assert_int_equal(begun, 2);
    assert_int_equal(open_meant("two", 0, ""), 0);
    assert_int_equal(open_meant("one", 0, "was: two"), ERR_MEANING);
}

static void test_open_twice_is_refused(void **state)
{
    (void)state;
    struct local *local = open_toy();
    pid_t child = fork();
    if (child == 0) {
        struct local *other;
        _exit(local_open(&other, dir, &fast) == ERR_LOCKED ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    local_close(&local);
}

static void test_work_bad_record_goes_to_rejected(void **state)
{
    (void)state;
    rows_count = 0;
    struct local *local = open_toy();
    append_text(local, "a", "bad");
    append_text(local, "a", "x");
    work_to_quiet(local);
    struct result_source *source;
    struct result_batch batch;
    size_t rejected = 0;
    assert_int_equal(local_results(local, "test", NULL, 0, &source), 0);
    assert_int_equal(source->next(source, 0, &batch), 0);
    for (size_t i = 0; i < batch.results_count; i++) {
        rejected += batch.results[i].topic == TOPIC_REJECTED;
        apply(&batch.results[i]);
    }
    source->close(source);
    assert_int_equal(rejected, 1);
    assert_int_equal(count_of("a"), 1);
    local_close(&local);
}

/* A call that nobody waits for yet is good for the next wait; no more than one. */
static void test_results_wake_ends_a_wait(void **state)
{
    (void)state;
    struct local *local = open_toy();
    struct result_source *source;
    struct result_batch batch;
    assert_int_equal(local_results(local, "test", NULL, 0, &source), 0);
    assert_int_equal(source->next(source, 0, &batch), 0); /* the tables as they are: empty */
    local_wake_results(local);
    assert_int_equal(source->next(source, INT_MAX, &batch), 0);
    assert_int_equal(batch.results_count, 0);
    local_wake(local); /* the worker's */
    assert_int_equal(source->next(source, 1, &batch), 0);
    assert_int_equal(local_work(local, INT_MAX), LOCAL_QUIET);
    source->close(source);
    local_close(&local);
}

static void test_work_fatal_error_undoes_the_batch(void **state)
{
    (void)state;
    rows_count = 0;
    struct local *local = open_toy();
    append_text(local, "a", "x");
    work_to_quiet(local);
    append_text(local, "a", "x");
    append_text(local, "b", "stop");
    int r;
    while ((r = local_work(local, 0)) == 0)
        ;
    assert_int_equal(r, ERR_IO);
    (void)read_results(local, NULL);
    assert_true(count_of("a") >= 1 && count_of("a") <= 2);
    assert_int_equal(count_of("b"), 0);
    local_close(&local);
}

static void test_results_resume_trim_and_full_reading(void **state)
{
    (void)state;
    rows_count = 0;
    struct local *local = open_toy();
    append_text(local, "a", "x");
    work_to_quiet(local);
    struct result_position position = read_results(local, NULL);
    for (int i = 0; i < 9; i++) {
        append_text(local, "c", "x");
        work_to_quiet(local); /* trims what was acked */
    }
    position = read_results(local, &position);
    assert_int_equal(count_of("c"), 9);
    append_text(local, "d", "x");
    work_to_quiet(local);
    local_close(&local);

    /* A new reader finds the log trimmed and reads all rows. */
    rows_count = 0;
    local = open_toy();
    (void)read_results(local, NULL);
    assert_int_equal(count_of("a"), 1);
    assert_int_equal(count_of("c"), 9);
    assert_int_equal(count_of("d"), 1);

    /* The old one goes on where it was. */
    rows_count = 0;
    (void)read_results(local, &position);
    assert_int_equal(count_of("d"), 1);
    assert_int_equal(count_of("a"), 0);

    struct result_position beyond = position;
    struct result_source *source;
    beyond.next += 1000;
    assert_int_equal(local_results(local, "test", &beyond, 1, &source), ERR_STATE);
    (void)snprintf(beyond.topic, sizeof beyond.topic, "local:0000");
    assert_int_equal(local_results(local, "test", &beyond, 1, &source), ERR_STATE);
    local_close(&local);
}

static void *append_many(void *context)
{
    struct local *local = context;
    for (int i = 0; i < APPENDS; i++)
        append_text(local, "t", "x");
    return NULL;
}

static void test_append_from_threads_loses_nothing(void **state)
{
    (void)state;
    rows_count = 0;
    struct local *local = open_toy();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, local), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(local_log_end(local), THREADS * APPENDS);
    work_to_quiet(local);
    (void)read_results(local, NULL);
    assert_int_equal(count_of("t"), THREADS * APPENDS);
    local_close(&local);
}

/* A child appends and works, tells each acknowledged event by a byte, and is killed. */
static void run_child(int pipe_fd)
{
    struct local *local = NULL;
    static const struct local_options durable = {.batch_records_max = 5};
    if (local_open(&local, dir, &durable) != 0 || local_set_stages(local, &toy_stage, 1) != 0)
        _exit(1);
    struct appender *appender = local_appender(local);
    const struct append_record record = {TOPIC_EVENTS, STR("k               "), STR("x")};
    for (int i = 0; i < 1000; i++) {
        if (appender->append(appender, &record, 1, NULL) != 0 || write(pipe_fd, "x", 1) != 1)
            _exit(1);
        if (i % 3 == 0 && local_work(local, 0) < 0)
            _exit(1);
    }
    _exit(0);
}

static void test_kill_loses_nothing_acknowledged(void **state)
{
    (void)state;
    size_t acknowledged = 0;
    for (int turn = 0; turn < 6; turn++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0)
            run_child(fds[1]);
        assert_int_equal(close(fds[1]), 0);
        char byte;
        for (int i = 0; i < 11 + 7 * turn && read(fds[0], &byte, 1) == 1; i++)
            acknowledged++;
        assert_int_equal(kill(child, SIGKILL), 0);
        while (read(fds[0], &byte, 1) == 1)
            acknowledged++;
        assert_int_equal(close(fds[0]), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    rows_count = 0;
    struct local *local = open_toy();
    uint64_t stored = (uint64_t)local_log_end(local);
    assert_true(stored >= acknowledged);
    work_to_quiet(local);
    (void)read_results(local, NULL);
    assert_int_equal(count_of("k"), stored);
    assert_int_equal(count_of("m"), stored / 3);
    local_close(&local);
}

static void test_cursor_is_kept_with_the_records(void **state)
{
    (void)state;
    struct local *local = open_toy();
    struct appender *appender = local_appender(local);
    struct buf value = {0};
    assert_int_equal(appender->cursor_get(appender, STR("file"), &value), APPEND_NO_CURSOR);
    const struct append_cursor cursor = {STR("file"), STR("at 12")};
    assert_int_equal(appender->append(appender, NULL, 0, &cursor), 0);
    local_close(&local);
    local = open_toy();
    appender = local_appender(local);
    assert_int_equal(appender->cursor_get(appender, STR("file"), &value), 0);
    assert_true(str_equal(buf_str(&value), STR("at 12")));
    buf_free(&value);
    local_close(&local);
}

static void test_open_damaged_state_is_refused(void **state)
{
    (void)state;
    struct local *local = open_toy();
    append_text(local, "a", "x");
    work_to_quiet(local);
    local_close(&local);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/state/data.mdb", dir);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(fputc('?', file), '?');
    for (int i = 0; i < 4096; i++)
        assert_int_equal(fputc('?', file), '?');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(local_open(&local, dir, &fast), ERR_STATE);
}

/* What a preview told: changes of the profiles. */
struct told {
    size_t count;
    uint64_t before, after;
    bool stood;
    char key[GROUP_SIZE];
};

static int tell(void *context, const struct local_change *change)
{
    struct told *told = context;
    if (change->table != TABLE_PROFILE)
        return 0;
    told->count++;
    told->stood = change->stood;
    assert_true(change->stands);
    if (change->stood)
        memcpy(&told->before, change->before.data, sizeof told->before);
    memcpy(&told->after, change->after.data, sizeof told->after);
    memcpy(told->key, change->key.data, GROUP_SIZE);
    return 0;
}

static int preview_text(const char *directory, const char *key, const char *value, void *told)
{
    char padded[GROUP_SIZE + 1];
    (void)snprintf(padded, sizeof padded, "%-16s", key);
    const struct append_record record = {TOPIC_EVENTS, str_make(padded, GROUP_SIZE), str_of(value)};
    const struct local_preview preview = {.dir = directory,
        .stages = &toy_stage,
        .stages_count = 1,
        .changed = tell,
        .context = told};
    return local_preview(&preview, &record);
}

/* In a child: while another process, this one, has the directory open. */
static void preview_in_a_child(struct local *local)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct told told = {0};
        int r = preview_text(dir, "a", "x", &told);
        _exit(r == 0 && told.count == 1 && told.before == 4 && told.after == 5 ? 0 : 1);
    }
    int status;
    append_text(local, "a", "x"); /* not worked on yet: not seen */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_preview_tells_and_writes_nothing(void **state)
{
    (void)state;
    struct local *local = open_toy();
    for (int i = 0; i < 4; i++)
        append_text(local, "a", "x");
    append_text(local, "b", "x");
    work_to_quiet(local);
    preview_in_a_child(local);
    local_close(&local);

    struct told told = {0};
    assert_int_equal(preview_text(dir, "a", "x", &told), 0);
    assert_int_equal(told.count, 1);
    assert_true(told.stood);
    assert_int_equal(told.before, 4);
    assert_int_equal(told.after, 5);
    told = (struct told){0};
    assert_int_equal(preview_text(dir, "new", "x", &told), 0);
    assert_int_equal(told.count, 1);
    assert_false(told.stood);
    assert_int_equal(told.after, 1);

    local = open_toy();
    work_to_quiet(local);
    rows_count = 0;
    (void)read_results(local, NULL);
    assert_int_equal(count_of("a"), 5); /* the five that were appended */
    assert_int_equal(count_of("new"), 0);
    local_close(&local);
}

static void test_preview_of_what_cannot_be_is_its_error(void **state)
{
    (void)state;
    struct told told = {0};
    char absent[128];
    (void)snprintf(absent, sizeof absent, "%s/absent", dir);
    assert_int_equal(preview_text(absent, "a", "x", &told), ERR_NOT_FOUND);
    assert_int_equal(access(absent, F_OK), -1);
    struct local *local = open_toy();
    local_close(&local);
    assert_int_equal(preview_text(dir, "a", "bad", &told), ERR_VALUE);
    assert_int_equal(preview_text(dir, "a", "stop", &told), ERR_IO);
    assert_int_equal(told.count, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_work_counts_and_mails),
        TEST(test_rederive_that_was_not_ended_fits_no_meaning),
        TEST(test_open_twice_is_refused),
        TEST(test_work_bad_record_goes_to_rejected),
        TEST(test_results_wake_ends_a_wait),
        TEST(test_work_fatal_error_undoes_the_batch),
        TEST(test_results_resume_trim_and_full_reading),
        TEST(test_append_from_threads_loses_nothing),
        TEST(test_kill_loses_nothing_acknowledged),
        TEST(test_cursor_is_kept_with_the_records),
        TEST(test_open_damaged_state_is_refused),
        TEST(test_preview_tells_and_writes_nothing),
        TEST(test_preview_of_what_cannot_be_is_its_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
