/* The files of a spool, with fault points: killed, torn, damaged, full, failing. */
#include "ingest/spool/spool_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/stream/fault.h"
#include "schemas/error.h"

#define SEGMENT_SIZE 400
#define SIZE_MAX_ 8000
#define VALUE_SIZE 50
#define TEXT_SIZE 200
#define NAME_SIZE 256

struct fixture {
    char dir[TEXT_SIZE];
    struct spool_disk_config config;
    struct spool_disk *disk;
    struct spool_found found;
    int next; /* number of the next record */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-spool-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->config = (struct spool_disk_config){fixture->dir, SIZE_MAX_, SEGMENT_SIZE};
    fault_reset();
    *state = fixture;
    return 0;
}

static void in_dir(const struct fixture *fixture, const char *name, char out[TEXT_SIZE + NAME_SIZE])
{
    (void)snprintf(out, (size_t)TEXT_SIZE + NAME_SIZE, "%s/%s", fixture->dir, name);
}

/* Names with this ending; the first in order goes to `first`. */
static int files(const struct fixture *fixture, const char *ending, char first[NAME_SIZE])
{
    int count = 0;
    DIR *listing = opendir(fixture->dir);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ending) != 0)
            continue;
        if (first && (count == 0 || strcmp(entry->d_name, first) < 0))
            (void)snprintf(first, NAME_SIZE, "%s", entry->d_name);
        count++;
    }
    (void)closedir(listing);
    return count;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[2 * TEXT_SIZE];
    unsetenv("TABIJI_FAULT");
    spool_disk_close(&fixture->disk);
    (void)snprintf(command, sizeof command, "rm -r '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void open_spool(struct fixture *fixture)
{
    spool_disk_close(&fixture->disk);
    assert_int_equal(spool_disk_open(&fixture->config, &fixture->disk, &fixture->found), 0);
}

/* Records are numbered from 0 on. */
static int append_some(struct fixture *fixture, int count)
{
    char keys[16][16];
    char value[VALUE_SIZE];
    struct append_record records[16];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < count; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%d", fixture->next + i);
        records[i] = (struct append_record){
            i % 2 ? TOPIC_REJECTED : TOPIC_EVENTS, str_of(keys[i]), str_make(value, sizeof value)};
    }
    int r = spool_disk_append(fixture->disk, records, (size_t)count);
    if (r == 0)
        fixture->next += count;
    return r;
}

/* Reads a batch, whose records are `first`, `first` + 1 and so on. Returns how many. */
static int read_some(struct fixture *fixture, int first, size_t most, struct spool_batch *batch)
{
    assert_int_equal(spool_disk_read(fixture->disk, most, 1024, batch), 0);
    for (size_t i = 0; i < batch->count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", first + (int)i);
        assert_true(str_equal(batch->records[i].key, str_of(key)));
        assert_int_equal(batch->records[i].value.size, VALUE_SIZE);
    }
    return (int)batch->count;
}

/* Drains up to `last`. */
static void drain_to(struct fixture *fixture, int first, int last)
{
    while (first < last) {
        struct spool_batch batch;
        int got = read_some(fixture, first, (size_t)(last - first), &batch);
        assert_true(got > 0);
        assert_int_equal(spool_disk_drained(fixture->disk, &batch), 0);
        first += got;
    }
}

static void test_what_is_appended_is_read_in_order_and_its_files_go(void **state)
{
    struct fixture *fixture = *state;
    struct spool_batch batch;
    open_spool(fixture);
    assert_true(spool_disk_empty(fixture->disk));
    for (int i = 0; i < 10; i++)
        assert_int_equal(append_some(fixture, 1 + i % 4), 0);
    assert_true(files(fixture, ".spool", NULL) > 2);
    assert_int_equal(spool_disk_records(fixture->disk), fixture->next);
    /* Without drained() the same comes again. */
    assert_int_equal(read_some(fixture, 0, 2, &batch), 2);
    assert_int_equal(read_some(fixture, 0, 3, &batch), 3);
    drain_to(fixture, 0, fixture->next);
    assert_true(spool_disk_empty(fixture->disk));
    assert_int_equal(files(fixture, ".spool", NULL), 0);
    assert_int_equal(spool_disk_bytes(fixture->disk), 0);
    assert_int_equal(read_some(fixture, 0, 9, &batch), 0);
    int first = fixture->next;
    assert_int_equal(append_some(fixture, 3), 0);
    drain_to(fixture, first, fixture->next);
}

static void test_reopening_goes_on_where_draining_stood(void **state)
{
    struct fixture *fixture = *state;
    open_spool(fixture);
    for (int i = 0; i < 10; i++)
        assert_int_equal(append_some(fixture, 2), 0);
    drain_to(fixture, 0, 5);
    open_spool(fixture);
    assert_int_equal(fixture->found.records, 15);
    assert_int_equal(fixture->found.cut_bytes, 0);
    assert_int_equal(append_some(fixture, 2), 0);
    drain_to(fixture, 5, 22);
    open_spool(fixture);
    assert_int_equal(fixture->found.segments, 0);
    /* The mark tells of a segment that is gone; a new one must not have its number. */
    assert_int_equal(append_some(fixture, 2), 0);
    open_spool(fixture);
    drain_to(fixture, 22, 24);
}

static void test_without_its_mark_all_that_is_there_comes_again(void **state)
{
    struct fixture *fixture = *state;
    char path[TEXT_SIZE + NAME_SIZE];
    open_spool(fixture);
    assert_int_equal(append_some(fixture, 5), 0);
    drain_to(fixture, 0, 3);
    spool_disk_close(&fixture->disk);
    in_dir(fixture, "drained", path);
    assert_int_equal(truncate(path, SPOOL_MARK_SIZE - 1), 0);
    open_spool(fixture);
    drain_to(fixture, 0, 5);
}

static void test_a_torn_end_of_any_length_is_cut(void **state)
{
    struct fixture *fixture = *state;
    char name[NAME_SIZE], path[TEXT_SIZE + NAME_SIZE];
    struct stat info;
    open_spool(fixture);
    assert_int_equal(append_some(fixture, 2), 0);
    spool_disk_close(&fixture->disk);
    assert_int_equal(files(fixture, ".spool", name), 1);
    in_dir(fixture, name, path);
    assert_int_equal(stat(path, &info), 0);
    off_t frame = (info.st_size - SPOOL_HEAD_SIZE) / 2;
    for (off_t cut = 1; cut < frame; cut++) {
        assert_int_equal(truncate(path, info.st_size - cut), 0);
        open_spool(fixture);
        assert_int_equal(fixture->found.records, 1);
        assert_int_equal(fixture->found.cut_bytes, frame - cut);
        spool_disk_close(&fixture->disk);
        fixture->next = 1;
        /* The second again, by hand: one byte is wrong, the rest is there. */
        assert_int_equal(truncate(path, info.st_size), 0);
        open_spool(fixture);
        assert_int_equal(fixture->found.cut_bytes, frame);
        assert_int_equal(spool_disk_records(fixture->disk), 1);
        spool_disk_close(&fixture->disk);
        assert_int_equal(truncate(path, info.st_size), 0);
    }
    assert_int_equal(truncate(path, SPOOL_HEAD_SIZE - 3), 0);
    open_spool(fixture);
    assert_int_equal(fixture->found.segments, 0);
    assert_int_equal(files(fixture, ".spool", NULL), 0);
}

static void test_damage_within_is_set_aside_and_the_rest_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct spool_batch batch;
    char name[NAME_SIZE], path[TEXT_SIZE + NAME_SIZE];
    open_spool(fixture);
    for (int i = 0; i < 12; i++)
        assert_int_equal(append_some(fixture, 1), 0);
    int segments = files(fixture, ".spool", name);
    assert_true(segments >= 2);
    spool_disk_close(&fixture->disk);
    in_dir(fixture, name, path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, SPOOL_HEAD_SIZE + 2 * 68 + 40), 1); /* in the third */
    assert_int_equal(close(fd), 0);
    open_spool(fixture);
    drain_to(fixture, 0, 2);
    assert_int_equal(spool_disk_read(fixture->disk, 100, 1024, &batch), SPOOL_DAMAGED);
    assert_int_equal(files(fixture, ".damaged", NULL), 1);
    assert_int_equal(files(fixture, ".spool", NULL), segments - 1);
    int first = SEGMENT_SIZE / 68 + 1; /* of the second segment */
    drain_to(fixture, first, 12);
    assert_true(spool_disk_empty(fixture->disk));
}

static void test_append_over_the_limit_is_full_until_drained(void **state)
{
    struct fixture *fixture = *state;
    int r = 0;
    open_spool(fixture);
    while ((r = append_some(fixture, 7)) == 0)
        assert_true(spool_disk_bytes(fixture->disk) <= SIZE_MAX_);
    assert_int_equal(r, ERR_FULL);
    assert_int_equal(spool_disk_records(fixture->disk), fixture->next);
    int last = fixture->next;
    drain_to(fixture, 0, 20);
    assert_int_equal(append_some(fixture, 7), 0);
    drain_to(fixture, 20, last + 7);
}

static void test_append_larger_than_a_read_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct spool_batch batch;
    static char large[6000];
    struct append_record record = {TOPIC_EVENTS, STR("k"), str_make(large, sizeof large)};
    memset(large, 'l', sizeof large);
    open_spool(fixture);
    assert_int_equal(spool_disk_append(fixture->disk, &record, 1), 0);
    open_spool(fixture);
    assert_int_equal(fixture->found.records, 1);
    assert_int_equal(spool_disk_read(fixture->disk, 10, 512, &batch), 0);
    assert_int_equal(batch.count, 1);
    assert_true(str_equal(batch.records[0].value, record.value));
}

static void test_a_second_process_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct spool_disk *second = NULL;
    struct spool_found found;
    open_spool(fixture);
    assert_int_equal(spool_disk_open(&fixture->config, &second, &found), ERR_LOCKED);
    assert_null(second);
}

static void test_a_failed_sync_ends_the_spool_for_good(void **state)
{
    struct fixture *fixture = *state;
    open_spool(fixture);
    assert_int_equal(append_some(fixture, 2), 0);
    assert_int_equal(setenv("TABIJI_FAULT", "spool_sync:1:error", 1), 0);
    fault_reset();
    assert_int_equal(append_some(fixture, 1), ERR_IO);
    assert_int_equal(append_some(fixture, 1), ERR_IO); /* no second fsync is asked */
    open_spool(fixture);
    drain_to(fixture, 0, 2);
}

static void test_a_failed_write_leaves_nothing_and_the_next_works(void **state)
{
    struct fixture *fixture = *state;
    open_spool(fixture);
    assert_int_equal(append_some(fixture, 2), 0);
    assert_int_equal(setenv("TABIJI_FAULT", "spool_write:1:error", 1), 0);
    fault_reset();
    assert_int_equal(append_some(fixture, 1), ERR_IO);
    assert_int_equal(append_some(fixture, 1), 0);
    open_spool(fixture);
    assert_int_equal(fixture->found.records, 3);
    drain_to(fixture, 0, 3);
}

/* A process that is killed keeps what it was told is durable; what it was not told, may be there.
 */
static void test_killed_anywhere_keeps_what_was_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    static const char *const points[] = {"spool_write", "spool_sync"};
    int first = 0;
    for (int hit = 1; hit < 9; hit++) {
        int ends[2];
        char plan[64];
        (void)snprintf(plan, sizeof plan, "%s:%d:kill", points[hit % 2], hit);
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("TABIJI_FAULT", plan, 1);
            fault_reset();
            if (spool_disk_open(&fixture->config, &fixture->disk, &fixture->found) != 0)
                _exit(1);
            while (append_some(fixture, 2) == 0)
                if (write(ends[1], "a", 1) != 1)
                    break;
            _exit(2);
        }
        int status, acknowledged = 0;
        char byte;
        assert_int_equal(close(ends[1]), 0);
        while (read(ends[0], &byte, 1) == 1)
            acknowledged += 2;
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        open_spool(fixture);
        int found = (int)fixture->found.records;
        assert_true(found == acknowledged || found == acknowledged + 2);
        drain_to(fixture, first, first + found);
        first += found;
        fixture->next = first;
        spool_disk_close(&fixture->disk);
    }
    assert_true(first > 0);
}

static void test_a_refused_record_is_kept(void **state)
{
    struct fixture *fixture = *state;
    const struct spool_record record = {TOPIC_EVENTS, 7, STR("key"), STR("value")};
    char path[TEXT_SIZE + NAME_SIZE];
    uint8_t bytes[128];
    struct spool_record got;
    size_t frame;
    open_spool(fixture);
    assert_int_equal(spool_disk_refuse(fixture->disk, &record), 0);
    assert_int_equal(spool_disk_refuse(fixture->disk, &record), 0);
    in_dir(fixture, "refused", path);
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof bytes);
    assert_int_equal(close(fd), 0);
    assert_int_equal(spool_frame_take(str_make(bytes, (size_t)size), &got, &frame), 0);
    assert_true(str_equal(got.value, record.value));
    assert_int_equal(size, 2 * frame);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_appended_is_read_in_order_and_its_files_go),
        TEST(test_reopening_goes_on_where_draining_stood),
        TEST(test_without_its_mark_all_that_is_there_comes_again),
        TEST(test_a_torn_end_of_any_length_is_cut),
        TEST(test_damage_within_is_set_aside_and_the_rest_goes_on),
        TEST(test_append_over_the_limit_is_full_until_drained),
        TEST(test_append_larger_than_a_read_is_read),
        TEST(test_a_second_process_is_refused),
        TEST(test_a_failed_sync_ends_the_spool_for_good),
        TEST(test_a_failed_write_leaves_nothing_and_the_next_works),
        TEST(test_killed_anywhere_keeps_what_was_acknowledged),
        TEST(test_a_refused_record_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
