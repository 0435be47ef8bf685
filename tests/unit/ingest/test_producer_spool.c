/* The producer's spool: order, limits, damage, ages, one process, forks, threads. */
#include "tests/unit/ingest/producer_spool_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/producer/segment.h"
#include "schemas/error.h"
#include "tests/unit/ingest/disk_model.h"

#define PARTED_SIZE_MAX ((size_t)5000)
#define FRAME_SIZE 70     /* of the fixture's records */
#define SEGMENT_RECORDS 5 /* that a segment holds */
#define FOUND_MAX 200
#define THREADS 8
#define THREAD_APPENDS 60

static void test_what_is_appended_is_read_in_order_and_its_files_go(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    spool_reopen(fixture);
    assert_int_equal(spool_read(fixture, 0, &batch), 0);
    spool_append_many(fixture, 12);
    assert_int_equal(spool_files(fixture, "spool", NULL), 3);
    assert_int_equal(spool_statistics(fixture).records, 12);
    assert_int_equal(spool_statistics(fixture).segments, 3);
    assert_int_equal(spool_statistics(fixture).bytes, 12 * FRAME_SIZE + 3 * 32);
    /* Without consume() the same comes again; a part of a batch may be consumed. */
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[1].position), 0);
    assert_int_equal(spool_read(fixture, 2, &batch), SEGMENT_RECORDS - 2);
    assert_int_equal(spool_statistics(fixture).records, 10);
    spool_drain(fixture, 2);
    assert_int_equal(spool_files(fixture, "spool", NULL), 0);
    assert_int_equal(spool_statistics(fixture).bytes, 0);
    spool_append_many(fixture, 3);
    spool_drain(fixture, 12);
}

static void test_batches_keep_their_limits(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    fixture->options.batch_records_max = 3;
    spool_reopen(fixture);
    spool_append_many(fixture, 5);
    assert_int_equal(spool_read(fixture, 0, &batch), 3);
    fixture->options.batch_records_max = 0;
    fixture->options.batch_bytes_max = 119;
    spool_reopen(fixture);
    assert_int_equal(spool_read(fixture, 0, &batch), 2);
    fixture->options.batch_bytes_max = 1;
    spool_reopen(fixture);
    assert_int_equal(spool_read(fixture, 0, &batch), 1);
    spool_drain(fixture, 0);
}

static void test_reopening_goes_on_behind_what_was_consumed(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    spool_reopen(fixture);
    spool_append_many(fixture, 8);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[2].position), 0);
    spool_reopen(fixture);
    assert_int_equal(spool_statistics(fixture).records, 5);
    spool_append_many(fixture, 4);
    assert_int_equal(spool_files(fixture, "spool", NULL), 3); /* the second was gone on with */
    spool_drain(fixture, 3);
    spool_reopen(fixture);
    assert_int_equal(spool_files(fixture, "spool", NULL), 0);
    spool_append_many(fixture, 2);
    spool_reopen(fixture);
    spool_drain(fixture, 12);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
}

static void test_many_short_lives_make_no_more_files_than_one(void **state)
{
    struct spool_fixture *fixture = *state;
    for (int i = 0; i < 20; i++) {
        spool_reopen(fixture);
        spool_append_many(fixture, 1);
    }
    assert_int_equal(spool_files(fixture, "spool", NULL), 4);
    spool_drain(fixture, 0);
}

static void test_without_its_mark_what_is_there_comes_again(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    spool_reopen(fixture);
    spool_append_many(fixture, 8);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    assert_int_equal(spool_read(fixture, 5, &batch), 3);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[0].position), 0);
    producer_spool_close(&fixture->spool);
    assert_int_equal(unlink(spool_path(fixture, "consumed")), 0);
    spool_reopen(fixture);
    spool_drain(fixture, 5);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
}

/* A record of this size in parts, one of them empty, is read whole; also where the disk takes a
 * part of what is written at a time. */
static void append_in_parts(struct spool_fixture *fixture, size_t size, bool is_short)
{
    struct producer_spool_batch batch;
    static char bytes[PARTED_SIZE_MAX];
    const struct str parts[] = {str_make(bytes, size / 3), STR(""),
        str_make(bytes + size / 3, size / 2),
        str_make(bytes + size / 3 + size / 2, size - size / 3 - size / 2)};
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i % 251 + size);
    if (is_short)
        disk_plan(DISK_WRITE, 1, 2, DISK_SHORT, 0);
    assert_int_equal(producer_spool_append_parts(fixture->spool, parts, 4, false), 0);
    assert_true(!is_short || disk_happened());
    assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.records[0].size, size);
    assert_memory_equal(batch.records[0].data, bytes, size);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
}

static void test_append_parts_are_read_as_one(void **state)
{
    struct spool_fixture *fixture = *state;
    const struct str nothing[] = {STR(""), STR("")};
    fixture->options.segment_size = (size_t)1 << 20;
    fixture->options.bytes_max = (uint64_t)4 << 20;
    fixture->options.record_size_max = PARTED_SIZE_MAX;
    spool_reopen(fixture);
    for (size_t size = 1; size <= PARTED_SIZE_MAX;
         size += size < 64 || (size > 2000 && size < 2060) ? 1 : 61)
        for (int is_short = 0; is_short < 2; is_short++)
            append_in_parts(fixture, size, is_short);
    assert_int_equal(producer_spool_append_parts(fixture->spool, nothing, 2, false), ERR_EMPTY);
    const struct str large[] = {STR("a"), {fixture->dir, PARTED_SIZE_MAX}};
    assert_int_equal(producer_spool_append_parts(fixture->spool, large, 2, false), ERR_TOO_LARGE);
    const struct str endless[] = {STR("a"), {fixture->dir, SIZE_MAX}};
    assert_int_equal(producer_spool_append_parts(fixture->spool, endless, 2, false), ERR_TOO_LARGE);
    assert_int_equal(spool_statistics(fixture).records, 0);
    assert_int_equal(spool_statistics(fixture).damaged_bytes, 0);
}

static void test_wrong_calls_are_refused(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    char bytes[1001] = {0};
    spool_reopen(fixture);
    assert_int_equal(producer_spool_append(fixture->spool, bytes, 0, false), ERR_EMPTY);
    assert_int_equal(producer_spool_append(fixture->spool, bytes, 1001, false), ERR_TOO_LARGE);
    assert_int_equal(producer_spool_consume(fixture->spool, 1), ERR_VALUE);
    spool_append_many(fixture, 2);
    assert_int_equal(producer_spool_consume(fixture->spool, 3), ERR_VALUE);
    spool_drain(fixture, 0);
    assert_int_equal(producer_spool_consume(fixture->spool, 1), 0); /* passed already */
    assert_int_equal(spool_read(fixture, 0, &batch), 0);
}

static void test_wrong_options_are_refused(void **state)
{
    struct spool_fixture *fixture = *state;
    const struct producer_spool_options right = fixture->options;
    struct producer_spool_options wrong[9];
    struct producer_spool *spool = NULL;
    for (size_t i = 0; i < 9; i++)
        wrong[i] = right;
    wrong[0].dir = NULL;
    wrong[1].dir = "/tmp/there/is/no/such";
    wrong[2].segment_size = PRODUCER_SPOOL_SEGMENT_SIZE_MIN - 1;
    wrong[3].bytes_max = 4 * 400 - 1;
    wrong[4].record_size_max = 8000;
    wrong[5].interval_ms = -1;
    wrong[6].age_max_ms = -1;
    wrong[7].sync = (enum producer_spool_sync)3;
    wrong[8].full = (enum producer_spool_full)2;
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(producer_spool_open(&wrong[i], &spool), ERR_CONFIG);
    assert_null(spool);
    assert_int_equal(fixture->allocated, 0);
}

static void test_a_record_larger_than_a_segment_has_one(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    char large[1000];
    memset(large, 'l', sizeof large);
    spool_reopen(fixture);
    spool_append_many(fixture, 1);
    assert_int_equal(producer_spool_append(fixture->spool, large, sizeof large, true), 0);
    spool_append_many(fixture, 1);
    assert_int_equal(spool_files(fixture, "spool", NULL), 3);
    spool_reopen(fixture);
    assert_int_equal(spool_read(fixture, 0, &batch), 1);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
    assert_int_equal(batch.records[0].size, sizeof large);
    assert_memory_equal(batch.records[0].data, large, sizeof large);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    spool_drain(fixture, 1);
}

static void test_modes_let_nobody_else_read(void **state)
{
    struct spool_fixture *fixture = *state;
    char name[SPOOL_NAME_SIZE];
    struct stat info;
    mode_t before = umask(0);
    assert_int_equal(rmdir(fixture->dir), 0);
    spool_reopen(fixture);
    spool_append_many(fixture, 1);
    (void)umask(before);
    assert_int_equal(stat(fixture->dir, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(spool_files(fixture, "spool", name), 1);
    assert_int_equal(stat(spool_path(fixture, name), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stat(spool_path(fixture, "consumed"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
}

/* ---- limits ---- */

static void test_over_the_limit_the_newest_is_refused_until_there_is_room(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    int r;
    spool_reopen(fixture);
    while ((r = spool_append(fixture, false)) == 0)
        assert_true(spool_statistics(fixture).bytes <= 8000);
    assert_int_equal(r, ERR_FULL);
    assert_int_equal(spool_append(fixture, true), ERR_FULL);
    assert_int_equal(spool_statistics(fixture).refused, 2);
    assert_int_equal(spool_statistics(fixture).dropped_full, 0);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    assert_int_equal(spool_append(fixture, false), 0);
    spool_drain(fixture, SEGMENT_RECORDS);
}

static void test_over_the_limit_the_oldest_are_dropped_and_counted(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    fixture->options.full = PRODUCER_SPOOL_DROP_OLDEST;
    spool_reopen(fixture);
    spool_append_many(fixture, 3);
    assert_int_equal(spool_read(fixture, 0, &batch), 3);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[1].position), 0);
    spool_append_many(fixture, 197);
    struct producer_spool_statistics statistics = spool_statistics(fixture);
    assert_true(statistics.bytes <= 8000 && statistics.bytes > 7000);
    assert_true(statistics.dropped_full > 50);
    assert_int_equal(statistics.dropped_full + statistics.records, 198);
    int first = 2 + (int)statistics.dropped_full;
    /* What the reader held meanwhile is behind; the next process does not take it for lost. */
    assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    spool_reopen(fixture);
    spool_drain(fixture, first);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
}

static void test_a_spool_that_holds_one_segment_drops_it_too(void **state)
{
    struct spool_fixture *fixture = *state;
    char large[1000] = {0};
    fixture->options.full = PRODUCER_SPOOL_DROP_OLDEST;
    fixture->options.bytes_max = 1600;
    spool_reopen(fixture);
    for (int i = 0; i < 5; i++)
        assert_int_equal(producer_spool_append(fixture->spool, large, sizeof large, i % 2), 0);
    assert_int_equal(spool_statistics(fixture).dropped_full, 4);
    assert_int_equal(spool_statistics(fixture).records, 1);
}

static void test_older_records_are_dropped_and_counted(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    fixture->options.age_max_ms = 1000;
    spool_reopen(fixture);
    for (int i = 0; i < 20; i++) {
        spool_append_many(fixture, 1);
        fixture->now_ms += 100;
    }
    assert_int_equal(spool_statistics(fixture).oldest_age_ms, 2000);
    assert_int_equal(spool_read(fixture, 10, &batch), 2); /* two a segment: ages end them */
    assert_int_equal(batch.records[0].time_ms, fixture->now_ms - 1000);
    assert_int_equal(spool_statistics(fixture).dropped_age, 10);
    assert_int_equal(spool_statistics(fixture).oldest_age_ms, 1000);
    fixture->now_ms += 550;
    spool_reopen(fixture);
    spool_drain(fixture, 16);
    assert_int_equal(spool_statistics(fixture).dropped_age, 6);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
    assert_int_equal(spool_statistics(fixture).oldest_age_ms, 0);
}

static void test_records_too_old_within_a_segment_are_passed_by(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->options.age_max_ms = 1000;
    spool_reopen(fixture);
    spool_append_many(fixture, 2);
    fixture->now_ms += 120;
    spool_append_many(fixture, 2);
    fixture->now_ms += 900;
    assert_int_equal(spool_files(fixture, "spool", NULL), 1);
    spool_drain(fixture, 2);
    assert_int_equal(spool_statistics(fixture).dropped_age, 2);
}

/* A terminal whose clock was never set, and then is. */
static void test_times_of_a_clock_that_was_never_set_are_no_ages(void **state)
{
    struct spool_fixture *fixture = *state;
    int64_t right = fixture->now_ms;
    fixture->options.age_max_ms = 1000;
    fixture->now_ms = 5000;
    spool_reopen(fixture);
    spool_append_many(fixture, 12);
    fixture->now_ms = right;
    spool_append_many(fixture, 2);
    spool_drain(fixture, 0);
    assert_int_equal(spool_statistics(fixture).dropped_age, 0);
}

/* ---- damage ---- */

static void change_byte(const struct spool_fixture *fixture, const char *name, off_t at)
{
    uint8_t byte;
    int fd = open(spool_path(fixture, name), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x20;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static off_t size_of(const struct spool_fixture *fixture, const char *name)
{
    struct stat info;
    assert_int_equal(stat(spool_path(fixture, name), &info), 0);
    return info.st_size;
}

static void remove_files(struct spool_fixture *fixture)
{
    producer_spool_close(&fixture->spool);
    DIR *listing = opendir(fixture->dir);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing))
        if (entry->d_name[0] != '.')
            assert_int_equal(unlink(spool_path(fixture, entry->d_name)), 0);
    (void)closedir(listing);
    disk_watch(fixture->dir);
    fixture->next = 0;
}

/* Some records in two segments and a mark in the first. Returns how many are not consumed. */
static int fill_two(struct spool_fixture *fixture)
{
    struct producer_spool_batch batch;
    remove_files(fixture);
    spool_reopen(fixture);
    spool_append_many(fixture, 8);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[0].position), 0);
    producer_spool_close(&fixture->spool);
    return 7;
}

static void test_a_file_cut_at_any_length_opens_and_gives_the_rest(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char *const names[] = {
        "0000000000000001.spool", "0000000000000006.spool", "consumed"};
    for (size_t file = 0; file < 3; file++) {
        fill_two(fixture);
        for (off_t size = size_of(fixture, names[file]); --size >= 0;) {
            int found[FOUND_MAX], first = file ? SEGMENT_RECORDS : 0, left = 0;
            fill_two(fixture);
            assert_int_equal(truncate(spool_path(fixture, names[file]), size), 0);
            spool_reopen(fixture);
            for (off_t end = 32 + FRAME_SIZE; file < 2 && end <= size; end += FRAME_SIZE)
                left++;
            spool_drain_any(fixture, found, FOUND_MAX);
            for (int i = 1; i < 8; i++) {
                bool cut = file < 2 && i >= first + left && i < first + SEGMENT_RECORDS;
                assert_int_equal(found[i], !cut);
            }
            struct producer_spool_statistics statistics = spool_statistics(fixture);
            bool torn = file == 1 && size > 32 && (size - 32) % FRAME_SIZE != 0;
            assert_int_equal(statistics.cuts, torn);
            assert_int_equal(statistics.cut_bytes, torn ? (size - 32) % FRAME_SIZE : 0);
            assert_int_equal(
                statistics.lost_records, file == 0 && left < 5 ? 5 - (left ? left : 1) : 0);
            spool_append_many(fixture, 1);
            spool_drain(fixture, 8);
        }
    }
}

static void test_any_changed_byte_opens_and_loses_its_record_alone(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char *const names[] = {
        "0000000000000001.spool", "0000000000000006.spool", "consumed"};
    for (size_t file = 0; file < 3; file++) {
        fill_two(fixture);
        off_t size = size_of(fixture, names[file]);
        for (off_t at = 0; at < size; at++) {
            int found[FOUND_MAX], first = file ? SEGMENT_RECORDS : 0;
            fill_two(fixture);
            change_byte(fixture, names[file], at);
            spool_reopen(fixture);
            spool_drain_any(fixture, found, FOUND_MAX);
            int bad = file < 2 && at >= 32 ? first + (int)((at - 32) / FRAME_SIZE) : -1;
            for (int i = 1; i < 8; i++)
                assert_int_equal(found[i], i != bad);
            struct producer_spool_statistics statistics = spool_statistics(fixture);
            bool tail = bad == 7;
            assert_int_equal(statistics.cuts, tail);
            assert_int_equal(statistics.cut_bytes, tail ? FRAME_SIZE : 0);
            assert_int_equal(statistics.lost_records, bad >= 0 && !tail);
            assert_int_equal(statistics.damaged_bytes, bad >= 0 && !tail ? FRAME_SIZE : 0);
            bool damaged = file < 2 && !tail;
            assert_int_equal(statistics.damaged_segments, damaged);
            producer_spool_close(&fixture->spool);
            assert_int_equal(spool_files(fixture, "damaged", NULL), damaged);
            assert_int_equal(spool_files(fixture, "hurt", NULL), 0);
            assert_int_equal(spool_files(fixture, "spool", NULL), 0);
        }
    }
}

static void test_damage_found_is_told_once_and_stays_known_after_a_restart(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    fill_two(fixture);
    change_byte(fixture, "0000000000000001.spool", 32 + 2 * FRAME_SIZE + 30);
    spool_reopen(fixture);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
        assert_int_equal(batch.count, 3); /* 1, 3, 4 */
        assert_int_equal(spool_statistics(fixture).lost_records, 1);
        assert_int_equal(spool_statistics(fixture).damaged_segments, 1);
    }
    assert_int_equal(spool_number(&batch.records[1]), 3);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[1].position), 0);
    assert_int_equal(spool_files(fixture, "hurt", NULL), 1);
    spool_reopen(fixture);
    spool_drain(fixture, 4);
    assert_int_equal(spool_files(fixture, "damaged", NULL), 1);
    assert_int_equal(spool_files(fixture, "hurt", NULL), 0);
}

static void test_of_damaged_segments_the_newest_stay(void **state)
{
    struct spool_fixture *fixture = *state;
    int found[FOUND_MAX];
    char first[SPOOL_NAME_SIZE], name[SPOOL_NAME_SIZE];
    spool_reopen(fixture);
    spool_append_many(fixture, 50);
    for (int i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "%016x.spool", 1 + i * SEGMENT_RECORDS);
        change_byte(fixture, name, 60);
    }
    spool_drain_any(fixture, found, FOUND_MAX);
    assert_int_equal(spool_statistics(fixture).damaged_segments, 8);
    assert_int_equal(spool_statistics(fixture).lost_records, 8);
    assert_int_equal(spool_files(fixture, "damaged", first), PRODUCER_SPOOL_DAMAGED_MAX);
    assert_string_equal(first, "0000000000000015.damaged");
}

static void test_damage_in_the_segment_that_grows_is_passed_by(void **state)
{
    struct spool_fixture *fixture = *state;
    int found[FOUND_MAX];
    spool_reopen(fixture);
    spool_append_many(fixture, 3);
    change_byte(fixture, "0000000000000001.spool", 32 + 2 * FRAME_SIZE + 30); /* its last */
    spool_drain_any(fixture, found, FOUND_MAX);
    assert_true(found[0] && found[1] && !found[2]);
    assert_int_equal(spool_statistics(fixture).lost_records, 1);
    spool_append_many(fixture, 4);
    spool_drain_any(fixture, found, FOUND_MAX);
    assert_true(found[3] && found[4] && found[5] && found[6]);
    assert_int_equal(spool_statistics(fixture).lost_records, 1);
    assert_int_equal(spool_statistics(fixture).damaged_bytes, FRAME_SIZE);
}

static void test_a_segment_that_is_gone_is_told(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool_batch batch;
    spool_reopen(fixture);
    spool_append_many(fixture, 17);
    assert_int_equal(spool_read(fixture, 0, &batch), SEGMENT_RECORDS);
    assert_int_equal(producer_spool_consume(fixture->spool, batch.records[0].position), 0);
    producer_spool_close(&fixture->spool);
    assert_int_equal(unlink(spool_path(fixture, "0000000000000001.spool")), 0);
    assert_int_equal(unlink(spool_path(fixture, "000000000000000b.spool")), 0);
    spool_reopen(fixture);
    int found[FOUND_MAX];
    spool_drain_any(fixture, found, FOUND_MAX);
    for (int i = 0; i < 17; i++)
        assert_int_equal(found[i], (i >= 5 && i < 10) || i >= 15);
    assert_int_equal(spool_statistics(fixture).lost_records, 4 + 5);
}

static void test_files_of_others_are_left_alone(void **state)
{
    struct spool_fixture *fixture = *state;
    static const char *const names[] = {"readme", "1.spool", "0000000000000009.spool.bak",
        "000000000000000G.spool", "00000000000000001.spool"};
    spool_reopen(fixture);
    assert_int_equal(mkdir(spool_path(fixture, "0000000000000077.spool"), 0700), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(close(open(spool_path(fixture, names[i]), O_CREAT | O_WRONLY, 0600)), 0);
    spool_reopen(fixture);
    spool_append_many(fixture, 3);
    spool_drain(fixture, 0);
    spool_reopen(fixture);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(access(spool_path(fixture, names[i]), F_OK), 0);
}

/* ---- one process ---- */

static void test_a_second_handle_is_refused(void **state)
{
    struct spool_fixture *fixture = *state;
    struct producer_spool *second = NULL;
    spool_reopen(fixture);
    assert_int_equal(producer_spool_open(&fixture->options, &second), ERR_LOCKED);
    assert_null(second);
    spool_append_many(fixture, 1);
    spool_drain(fixture, 0);
}

/* Runs in a child that was forked while the spool was open. */
static int try_all(struct spool_fixture *fixture)
{
    struct producer_spool_batch batch;
    struct producer_spool *second;
    if (spool_append(fixture, true) != ERR_LOCKED ||
        producer_spool_peek(fixture->spool, &batch) != ERR_LOCKED ||
        producer_spool_consume(fixture->spool, 1) != ERR_LOCKED ||
        producer_spool_sync(fixture->spool) != ERR_LOCKED || spool_statistics(fixture).records != 0)
        return 1;
    producer_spool_close(&fixture->spool);
    return producer_spool_open(&fixture->options, &second) == ERR_LOCKED ? 0 : 2;
}

static void test_a_forked_child_is_refused_and_changes_nothing(void **state)
{
    struct spool_fixture *fixture = *state;
    int status;
    fixture->options.sync = PRODUCER_SPOOL_SYNC_INTERVAL;
    spool_reopen(fixture);
    spool_append_many(fixture, 7);
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_all(fixture));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    spool_append_many(fixture, 1);
    spool_drain(fixture, 0);
}

/* ---- threads ---- */

static void test_the_interval_synchronises_what_nobody_waits_for(void **state)
{
    struct spool_fixture *fixture = *state;
    char record[] = "nobody waits for this one";
    fixture->options.sync = PRODUCER_SPOOL_SYNC_INTERVAL;
    fixture->options.interval_ms = 1;
    spool_reopen(fixture);
    assert_int_equal(producer_spool_append(fixture->spool, record, sizeof record, false), 0);
    for (int i = 0; i < 20000 && !disk_is_durable(record, sizeof record); i++)
        (void)sched_yield();
    /* Where this machine was slow: a close does it likewise. */
    producer_spool_close(&fixture->spool);
    assert_true(disk_is_durable(record, sizeof record));
}

struct many {
    struct spool_fixture *fixture;
    uint32_t thread;
    bool checking; /* nothing is consumed meanwhile */
    atomic_int *left;
};

/* A durable append has returned: no loss of power takes it. */
static void *append_durable(void *context)
{
    const struct many *many = context;
    for (uint32_t i = 0; i < THREAD_APPENDS; i++) {
        uint32_t record[8] = {many->thread, i, 0x5eed5eed};
        record[7] = ~(many->thread << 16 | i);
        bool durable = i % 3 != 0;
        if (producer_spool_append(many->fixture->spool, record, sizeof record, durable) != 0 ||
            (durable && many->checking && !disk_is_durable(record, sizeof record)))
            abort();
    }
    atomic_fetch_sub(many->left, 1);
    return NULL;
}

/* Reads while they append: each thread's own come in order. */
static void read_all(struct spool_fixture *fixture, const struct many *many)
{
    uint32_t next[THREADS] = {0};
    size_t total = 0;
    while (total < (size_t)THREADS * THREAD_APPENDS) {
        struct producer_spool_batch batch;
        bool last = atomic_load(many->left) == 0;
        assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
        assert_true(batch.count > 0 || !last);
        if (batch.count == 0 || (many->checking && !last)) {
            (void)sched_yield();
            continue;
        }
        for (size_t i = 0; i < batch.count; i++) {
            uint32_t record[8];
            assert_int_equal(batch.records[i].size, sizeof record);
            memcpy(record, batch.records[i].data, sizeof record);
            assert_int_equal(record[1], next[record[0]]++);
        }
        total += batch.count;
        assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    }
}

static void run_threads(struct spool_fixture *fixture, bool checking)
{
    pthread_t threads[THREADS];
    struct many many[THREADS];
    atomic_int left = THREADS;
    for (uint32_t i = 0; i < THREADS; i++) {
        many[i] = (struct many){fixture, i, checking, &left};
        assert_int_equal(pthread_create(&threads[i], NULL, append_durable, &many[i]), 0);
    }
    read_all(fixture, &many[0]);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(spool_statistics(fixture).records, 0);
    assert_int_equal(spool_statistics(fixture).lost_records, 0);
}

static void test_threads_append_while_one_reads(void **state)
{
    struct spool_fixture *fixture = *state;
    fixture->options.segment_size = 4000;
    fixture->options.bytes_max = 1 << 20;
    fixture->options.interval_ms = 1;
    for (int i = 0; i < 6; i++) {
        remove_files(fixture);
        fixture->options.sync = (enum producer_spool_sync)(i % 3);
        spool_reopen(fixture);
        run_threads(fixture, i < 3);
    }
}

static void *append_one(void *context)
{
    static const char record[] = "durable";
    int r = producer_spool_append(context, record, sizeof record, true);
    return r == 0 ? NULL : context;
}

static void test_threads_that_wait_share_a_synchronisation(void **state)
{
    struct spool_fixture *fixture = *state;
    pthread_t threads[THREADS];
    void *failed;
    spool_reopen(fixture); /* its mark is there */
    producer_spool_close(&fixture->spool);
    disk_watch(fixture->dir);
    spool_reopen(fixture);
    disk_hold(true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, append_one, fixture->spool), 0);
        /* The first has begun to synchronise; the others have written, and a head. */
        while (disk_calls(DISK_WRITE) < i + 2 || disk_calls(DISK_SYNC) < 1)
            (void)sched_yield();
    }
    disk_hold(false);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(disk_calls(DISK_SYNC), 3); /* its file, its name; then the others' */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, spool_setup, spool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_appended_is_read_in_order_and_its_files_go),
        TEST(test_batches_keep_their_limits),
        TEST(test_reopening_goes_on_behind_what_was_consumed),
        TEST(test_many_short_lives_make_no_more_files_than_one),
        TEST(test_without_its_mark_what_is_there_comes_again),
        TEST(test_append_parts_are_read_as_one),
        TEST(test_wrong_calls_are_refused),
        TEST(test_wrong_options_are_refused),
        TEST(test_a_record_larger_than_a_segment_has_one),
        TEST(test_modes_let_nobody_else_read),
        TEST(test_over_the_limit_the_newest_is_refused_until_there_is_room),
        TEST(test_over_the_limit_the_oldest_are_dropped_and_counted),
        TEST(test_a_spool_that_holds_one_segment_drops_it_too),
        TEST(test_older_records_are_dropped_and_counted),
        TEST(test_records_too_old_within_a_segment_are_passed_by),
        TEST(test_times_of_a_clock_that_was_never_set_are_no_ages),
        TEST(test_a_file_cut_at_any_length_opens_and_gives_the_rest),
        TEST(test_any_changed_byte_opens_and_loses_its_record_alone),
        TEST(test_damage_found_is_told_once_and_stays_known_after_a_restart),
        TEST(test_of_damaged_segments_the_newest_stay),
        TEST(test_damage_in_the_segment_that_grows_is_passed_by),
        TEST(test_a_segment_that_is_gone_is_told),
        TEST(test_files_of_others_are_left_alone),
        TEST(test_a_second_handle_is_refused),
        TEST(test_a_forked_child_is_refused_and_changes_nothing),
        TEST(test_the_interval_synchronises_what_nobody_waits_for),
        TEST(test_threads_append_while_one_reads),
        TEST(test_threads_that_wait_share_a_synchronisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
