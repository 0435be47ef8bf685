/* The producer's spool when a system call fails, is cut short, or is the process's last; on a disk
 * that is full; without memory. One piece of work, again and again, its nth call at fault. */
#include "tests/unit/ingest/producer_spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/producer/segment.h"
#include "schemas/error.h"
#include "tests/unit/ingest/disk_model.h"

#define FOUND_MAX 64
#define BEFORE 8  /* records that are there when the work begins */
#define DAMAGED 2 /* one of them */
#define CALLS_MAX 400
#define SEGMENT_RECORDS 5
#define SKIPPED 77 /* exit of a child that may not do what it is for */

/* What the work was told, also when it was killed. */
struct told {
    int appended[FOUND_MAX]; /* 1: that number was; -1: not, or not said */
    int next;
    int consumed;  /* numbers below it are */
    int consuming; /* are, or will be by the call that runs */
    bool tolerant; /* calls may fail, with one of these two */
    int error;
    int error_of_reads;
    int failures;
};

static bool is_right(struct told *told, int r)
{
    told->failures += r < 0;
    return r == 0 || (told->tolerant && (r == told->error || r == told->error_of_reads));
}

static bool append_some(struct spool_fixture *fixture, struct told *told, int count, bool durable)
{
    for (int i = 0; i < count; i++) {
        fixture->next = told->next++;
        int r = spool_append(fixture, durable);
        told->appended[told->next - 1] = r == 0 ? 1 : -1;
        if (!is_right(told, r))
            return false;
    }
    return true;
}

static bool consume_some(struct spool_fixture *fixture, struct told *told, size_t most)
{
    struct producer_spool_batch batch;
    int r = producer_spool_peek(fixture->spool, &batch);
    if (!is_right(told, r))
        return false;
    if (r < 0 || batch.count == 0)
        return true;
    size_t last = (batch.count < most ? batch.count : most) - 1;
    told->consuming = spool_number(&batch.records[last]) + 1;
    r = producer_spool_consume(fixture->spool, batch.records[last].position);
    if (!is_right(told, r))
        return false;
    told->consumed = r == 0 ? told->consuming : told->consumed;
    return true;
}

/* Opens, appends, reads and closes, and again. False when a call did what it must not. */
static bool work(struct spool_fixture *fixture, struct told *told)
{
    for (int life = 0; life < 2; life++) {
        int r = producer_spool_open(&fixture->options, &fixture->spool);
        if (!is_right(told, r))
            return false;
        if (r < 0)
            continue;
        bool right = append_some(fixture, told, 2, false) && append_some(fixture, told, 1, true) &&
                     consume_some(fixture, told, 3) && append_some(fixture, told, 6, false) &&
                     consume_some(fixture, told, 9) && append_some(fixture, told, 1, true) &&
                     consume_some(fixture, told, 9) && append_some(fixture, told, 3, false);
        if (right)
            right = is_right(told, producer_spool_sync(fixture->spool));
        producer_spool_close(&fixture->spool);
        if (!right)
            return false;
    }
    return true;
}

/* Records in two segments, one of them damaged; and what is known of them. */
static void prepare(struct spool_fixture *fixture, struct told *told)
{
    char name[SPOOL_NAME_SIZE];
    producer_spool_close(&fixture->spool);
    disk_watch(NULL);
    for (int i = 0; i < FOUND_MAX; i++) {
        static const char *const endings[] = {"spool", "hurt", "damaged"};
        for (int k = 0; k < 3; k++) {
            (void)snprintf(name, sizeof name, "%016x.%s", i, endings[k]);
            (void)unlink(spool_path(fixture, name));
        }
    }
    (void)unlink(spool_path(fixture, "consumed"));
    fixture->next = 0;
    spool_reopen(fixture);
    spool_append_many(fixture, BEFORE);
    producer_spool_close(&fixture->spool);
    int fd = open(spool_path(fixture, "0000000000000001.spool"), O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 32 + DAMAGED * 70 + 40), 1);
    assert_int_equal(close(fd), 0);
    memset(told, 0, sizeof *told);
    told->next = BEFORE;
    for (int i = 0; i < BEFORE; i++)
        told->appended[i] = 1;
    told->appended[DAMAGED] = 0;
    disk_watch(fixture->dir);
}

/* All that was told is there, once; nothing that was consumed. */
static void check_told(struct spool_fixture *fixture, const struct told *told)
{
    int found[FOUND_MAX];
    disk_watch(NULL);
    spool_reopen(fixture);
    spool_drain_any(fixture, found, FOUND_MAX);
    for (int i = 0; i < FOUND_MAX; i++) {
        assert_true(found[i] <= 1);
        if (i < told->consumed || i == DAMAGED || i >= told->next + 1)
            assert_int_equal(found[i], 0);
        else if (i >= told->consuming && told->appended[i] == 1)
            assert_int_equal(found[i], 1);
    }
}

/* ---- killed ---- */

static void kill_everywhere(struct spool_fixture *fixture, struct told *told, enum disk_fault fault)
{
    long calls = 0;
    for (bool killed = true; killed; calls++) {
        int status;
        assert_true(calls < CALLS_MAX);
        prepare(fixture, told);
        pid_t pid = fork();
        if (pid == 0) {
            disk_plan(DISK_ANY, calls + 1, 1, fault, 0);
            _exit(work(fixture, told) ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        killed = WIFSIGNALED(status);
        assert_true(killed ? WTERMSIG(status) == SIGKILL : status == 0);
        check_told(fixture, told);
    }
    assert_true(calls > 30); /* it was more than the opening */
}

static void test_killed_at_any_call_it_keeps_all_that_was_told(void **state)
{
    struct spool_fixture *fixture = *state;
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    fixture->options.interval_ms = 1000000;
    for (int sync = 0; sync < 3; sync++) {
        fixture->options.sync = (enum producer_spool_sync)sync;
        kill_everywhere(fixture, told, DISK_KILL_BEFORE);
        kill_everywhere(fixture, told, DISK_KILL_MIDWAY);
    }
    assert_int_equal(munmap(told, sizeof *told), 0);
}

/* ---- calls that fail ---- */

static void fail_everywhere(
    struct spool_fixture *fixture, enum disk_call call, enum disk_fault fault, struct told how)
{
    struct told told;
    long nth = 0;
    do {
        assert_true(nth < CALLS_MAX);
        prepare(fixture, &told);
        told.tolerant = how.tolerant;
        told.error = how.error;
        told.error_of_reads = how.error_of_reads;
        disk_plan(call, ++nth, 1, fault, how.failures);
        assert_true(work(fixture, &told));
        bool happened = disk_happened();
        check_told(fixture, &told);
        if (!happened)
            return;
    } while (true);
}

static void test_calls_that_signals_interrupt_are_done_again(void **state)
{
    for (int sync = 0; sync < 3; sync++) {
        struct spool_fixture *fixture = *state;
        fixture->options.sync = (enum producer_spool_sync)sync;
        fixture->options.interval_ms = 1000000;
        fail_everywhere(fixture, DISK_WRITE, DISK_FAIL, (struct told){.failures = EINTR});
        fail_everywhere(fixture, DISK_READ, DISK_FAIL, (struct told){.failures = EINTR});
        fail_everywhere(fixture, DISK_WRITE, DISK_SHORT, (struct told){.failures = 0});
        fail_everywhere(fixture, DISK_READ, DISK_SHORT, (struct told){.failures = 0});
    }
}

static void test_no_room_at_any_call_is_told_and_loses_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->options.interval_ms = 1000000;
    for (int sync = 0; sync < 3; sync++) {
        static const enum disk_call calls[] = {DISK_WRITE, DISK_CREATE, DISK_SYNC};
        fixture->options.sync = (enum producer_spool_sync)sync;
        for (int i = 0; i < 3; i++)
            fail_everywhere(fixture, calls[i], DISK_FAIL,
                (struct told){.tolerant = true, .error = ERR_FULL, .failures = ENOSPC});
    }
}

static void test_a_failure_at_any_call_is_told_and_loses_nothing_that_was_there(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->options.interval_ms = 1000000;
    for (int sync = 0; sync < 3; sync++) {
        fixture->options.sync = (enum producer_spool_sync)sync;
        for (enum disk_call call = DISK_WRITE; call <= DISK_READ; call++)
            fail_everywhere(fixture, call, DISK_FAIL,
                (struct told){.tolerant = true, .error = ERR_IO, .failures = EIO});
    }
}

static void test_a_failed_synchronisation_is_not_tried_again(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    spool_reopen(fixture);
    spool_append_many(fixture, 2);
    disk_plan(DISK_SYNC, 1, 1, DISK_FAIL, EIO);
    assert_int_equal(spool_append(fixture, true), ERR_IO);
    assert_int_equal(spool_append(fixture, true), ERR_IO);
    assert_int_equal(spool_append(fixture, false), ERR_IO);
    assert_int_equal(producer_spool_sync(fixture->spool), ERR_IO);
    assert_int_equal(disk_calls(DISK_SYNC), 1);
    /* Reading goes on, also of the one that nobody can tell of. */
    assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
    assert_int_equal(batch.count, 3);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[1].position), 0);
    spool_reopen(fixture);
    fixture->next = 3;
    spool_append_many(fixture, 1);
    spool_drain(fixture, 2);
}

/* Some file systems look for room only when they synchronise. What they had none for may be gone,
 * and to ask again may say that it is not. */
static void test_a_synchronisation_without_room_is_told_to_all_it_was_for(void **state)
{
    static const char durable[] = "a durable record";
    struct spool_fixture *fixture = *state;
    spool_reopen(fixture);
    spool_append_many(fixture, 2);
    disk_plan(DISK_SYNC, 1, 1, DISK_FAIL, ENOSPC);
    assert_int_equal(
        producer_spool_append(fixture->spool, durable, sizeof durable, true), ERR_FULL);
    assert_int_equal(disk_calls(DISK_SYNC), 1);
    assert_false(disk_is_durable(durable, sizeof durable));
    /* With room it works again, in another segment. */
    assert_int_equal(producer_spool_append(fixture->spool, durable, sizeof durable, true), 0);
    assert_true(disk_is_durable(durable, sizeof durable));
    assert_int_equal(spool_files(fixture, "spool", NULL), 2);
    assert_int_equal(spool_statistics(fixture).records, 4);
}

static void test_a_write_that_cannot_be_taken_back_ends_its_segment(void **state)
{
    struct spool_fixture *fixture = *state;
    char record[50] = {0};
    spool_reopen(fixture);
    spool_append_many(fixture, 2);
    disk_plan(DISK_ANY, 1, 2, DISK_FAIL, ENOSPC); /* the write, and its truncation */
    assert_int_equal(producer_spool_append(fixture->spool, record, sizeof record, false), ERR_FULL);
    /* As if a part had been written. */
    int fd = open(spool_path(fixture, "0000000000000001.spool"), O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, record, 30), 30);
    assert_int_equal(close(fd), 0);
    spool_append_many(fixture, 2);
    assert_int_equal(spool_files(fixture, "spool", NULL), 2);
    spool_reopen(fixture);
    spool_drain(fixture, 0);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
    assert_int_equal(spool_statistics(fixture).damaged_segments, 0);
}

static void test_a_block_that_the_disk_does_not_give_loses_its_records_alone(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    int found[FOUND_MAX];
    fixture->options.segment_size = 20000;
    fixture->options.bytes_max = 100000;
    fixture->options.batch_bytes_max = 1 << 20;
    spool_reopen(fixture);
    char *large = calloc(1, 900);
    spool_append_many(fixture, 3);
    for (int i = 0; i < 10; i++)
        assert_int_equal(producer_spool_append(fixture->spool, large, 900, false), 0);
    free(large);
    spool_append_many(fixture, 3);
    /* Nothing at all is read: nothing is lost, it is tried again. */
    disk_plan(DISK_READ, 1, CALLS_MAX, DISK_FAIL, EIO);
    assert_int_equal(producer_spool_peek(fixture->spool, &batch), ERR_IO);
    /* Neither all nor the second block. */
    disk_plan(DISK_READ, 1, 1, DISK_FAIL, EIO);
    assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
    assert_int_equal(batch.count, 16);
    assert_int_equal(producer_spool_consume(fixture->spool, 13), 0);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
    spool_drain_any(fixture, found, FOUND_MAX);
    assert_true(found[3] && found[4] && found[5]);
}

/* ---- the mark ---- */

/* A loss of power may tear all that was written to the file since it was synchronised. */
static void test_a_mark_that_was_synchronised_is_not_written_over(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    uint8_t mark[PRODUCER_SEGMENT_MARK_SIZE], bytes[PRODUCER_SEGMENT_MARKS_SIZE];
    spool_reopen(fixture);
    spool_append_many(fixture, 20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
        assert_int_equal(producer_spool_consume(fixture->spool, batch.records[0].position), 0);
        if (i % 7 == 1) {
            assert_int_equal(producer_spool_sync(fixture->spool), 0);
            producer_segment_mark_put(batch.records[0].position, mark);
        }
        int fd = open(spool_path(fixture, "consumed"), O_RDONLY);
        assert_int_equal(read(fd, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(close(fd), 0);
        assert_true(i < 1 || memmem(bytes, sizeof bytes, mark, sizeof mark));
    }
}

/* ---- a disk that is full ---- */

/* Appends until there is no room; then what is there is read, and with room all goes on. Returns 0
 * when all that is right. */
static int fill_and_empty(struct spool_fixture *fixture, void (*make_room)(struct spool_fixture *))
{
    struct producer_spool_batch batch;
    int r, first = 0;
    fixture->options.bytes_max = 1 << 20;
    fixture->options.segment_size = 4000;
    if (producer_spool_open(&fixture->options, &fixture->spool) != 0)
        return 1;
    while ((r = spool_append(fixture, fixture->next % 2)) == 0)
        if (fixture->next > 20000)
            return 2;
    if (r != ERR_FULL || spool_append(fixture, true) != ERR_FULL || fixture->next < 20)
        return 3;
    spool_reopen(fixture); /* nothing of it is lost by that */
    if (spool_statistics(fixture).records != (uint64_t)fixture->next)
        return 4;
    make_room(fixture);
    for (int i = 0; i < 20; i++)
        if (spool_append(fixture, true) != 0)
            return 5;
    for (int got; (got = spool_read(fixture, first, &batch)) > 0; first += got)
        if (producer_spool_consume(fixture->spool, batch.end) != 0)
            return 6;
    return first == fixture->next ? 0 : 7;
}

static void raise_limit(struct spool_fixture *fixture)
{
    (void)fixture;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}), 0);
}

static void test_files_that_may_not_grow_are_a_full_disk(void **state)
{
    struct spool_fixture *fixture = *state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        disk_watch(NULL);
        (void)signal(SIGXFSZ, SIG_IGN);
        fixture->options.record_size_max = 1000;
        if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){2000, RLIM_INFINITY}) != 0)
            _exit(99);
        _exit(fill_and_empty(fixture, raise_limit));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void remove_ballast(struct spool_fixture *fixture)
{
    if (unlink(spool_path(fixture, "ballast")) != 0)
        _exit(98);
}

/* Mounts 64 kB of memory over the directory, where it may. */
static int run_small_disk(struct spool_fixture *fixture)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", fixture->dir, "tmpfs", 0, "size=64k,mode=700") != 0)
        return SKIPPED;
    int fd = open(spool_path(fixture, "ballast"), O_CREAT | O_WRONLY, 0600);
    static char ballast[16384];
    if (fd < 0 || write(fd, ballast, sizeof ballast) != sizeof ballast || close(fd) != 0)
        return 97;
    return fill_and_empty(fixture, remove_ballast);
}

static void test_a_small_disk_is_filled_and_emptied(void **state)
{
    struct spool_fixture *fixture = *state;
    int status;
    disk_watch(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_small_disk(fixture));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

/* ---- no memory ---- */

static void test_without_memory_it_is_told_and_nothing_is_lost(void **state)
{
    struct spool_fixture *fixture = *state;
    bool failed = true;
    for (size_t nth = 1; failed; nth++) {
        struct told told;
        prepare(fixture, &told);
        told.tolerant = true;
        told.error = ERR_NO_MEMORY;
        fixture->failing = nth;
        assert_true(work(fixture, &told));
        failed = fixture->failing == 0;
        fixture->failing = 0;
        assert_int_equal(told.failures > 0, failed);
        assert_int_equal(fixture->allocated, 0);
        check_told(fixture, &told);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, spool_setup, spool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_killed_at_any_call_it_keeps_all_that_was_told),
        TEST(test_calls_that_signals_interrupt_are_done_again),
        TEST(test_no_room_at_any_call_is_told_and_loses_nothing),
        TEST(test_a_failure_at_any_call_is_told_and_loses_nothing_that_was_there),
        TEST(test_a_failed_synchronisation_is_not_tried_again),
        TEST(test_a_synchronisation_without_room_is_told_to_all_it_was_for),
        TEST(test_a_write_that_cannot_be_taken_back_ends_its_segment),
        TEST(test_a_block_that_the_disk_does_not_give_loses_its_records_alone),
        TEST(test_a_mark_that_was_synchronised_is_not_written_over),
        TEST(test_files_that_may_not_grow_are_a_full_disk),
        TEST(test_a_small_disk_is_filled_and_emptied),
        TEST(test_without_memory_it_is_told_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
