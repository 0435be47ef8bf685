/* What workers ended in: counted over processes and slots, narrowed down, forgotten. An end is a
 * close without leave(): what the mapped file says is what it would say after kill -9. */
#include "ingest/stream/kafka_suspects.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

#define TEXT_SIZE 200
#define MOST 1000

struct fixture {
    char dir[TEXT_SIZE];
    char slots[2][TEXT_SIZE + 8];
    struct kafka_config config;
    struct kafka_suspects suspects;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-suspects-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    for (int i = 0; i < 2; i++) {
        (void)snprintf(fixture->slots[i], sizeof fixture->slots[i], "%s/%d", fixture->dir, i);
        assert_int_equal(mkdir(fixture->slots[i], 0700), 0);
    }
    kafka_config_default(&fixture->config);
    fixture->config.state_dir = fixture->dir;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[2 * TEXT_SIZE];
    kafka_suspects_close(&fixture->suspects);
    (void)snprintf(command, sizeof command, "rm -r '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static struct kafka_suspects *open_slot(struct fixture *fixture, int slot)
{
    kafka_suspects_close(&fixture->suspects);
    assert_int_equal(
        kafka_suspects_open(&fixture->suspects, &fixture->config, fixture->slots[slot]), 0);
    return &fixture->suspects;
}

static struct record record_at(int64_t position)
{
    return (struct record){.topic = TOPIC_EVENTS, .partition = 3, .position = position};
}

static void end_in(struct fixture *fixture, int slot, int64_t position)
{
    const struct record record = record_at(position);
    kafka_suspects_enter(open_slot(fixture, slot), &record);
}

static bool poison(struct fixture *fixture, int slot, int64_t position)
{
    const struct record record = record_at(position);
    return kafka_suspects_poison(open_slot(fixture, slot), &record);
}

static void test_third_end_in_a_record_whatever_the_slot_makes_it_poison(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < KAFKA_CRASHES_MAX; i++) {
        assert_false(poison(fixture, 0, 7));
        end_in(fixture, i % 2, 7);
    }
    (void)poison(fixture, 1, 7); /* each slot tells of its own ends when it is opened */
    assert_true(poison(fixture, 0, 7));
    assert_true(poison(fixture, 1, 7));
    assert_false(poison(fixture, 1, 8));
    const struct record elsewhere = {.topic = TOPIC_EVENTS, .partition = 2, .position = 7};
    assert_false(kafka_suspects_poison(&fixture->suspects, &elsewhere));
}

static void test_a_record_that_was_left_is_not_counted(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2 * KAFKA_CRASHES_MAX; i++) {
        end_in(fixture, 0, 7);
        kafka_suspects_leave(&fixture->suspects);
    }
    assert_false(poison(fixture, 0, 7));
    assert_int_equal(fixture->suspects.count, 0);
}

static void test_an_end_in_what_follows_is_that_of_the_record(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < KAFKA_CRASHES_MAX; i++) {
        assert_false(poison(fixture, 0, 7));
        end_in(fixture, 0, 7);
        kafka_suspects_leave(&fixture->suspects);
        kafka_suspects_follow(&fixture->suspects);
    }
    assert_true(poison(fixture, 0, 7));
}

static void test_an_end_in_what_follows_derived_rows_is_that_of_the_batch(void **state)
{
    struct fixture *fixture = *state;
    const struct record second = record_at(8);
    end_in(fixture, 0, 7);
    kafka_suspects_enter(&fixture->suspects, &second);
    kafka_suspects_settle(&fixture->suspects);
    kafka_suspects_leave(&fixture->suspects);
    kafka_suspects_follow(&fixture->suspects);
    assert_int_equal(open_slot(fixture, 0)->count, 0);
    assert_int_equal(kafka_suspects_batch(&fixture->suspects, MOST), 1);
}

static void test_a_record_that_was_passed_is_forgotten_by_all(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < KAFKA_CRASHES_MAX; i++)
        end_in(fixture, 0, 7);
    assert_true(poison(fixture, 0, 7));
    kafka_suspects_passed(&fixture->suspects, TOPIC_EVENTS, 3, 7);
    assert_true(poison(fixture, 0, 7));
    kafka_suspects_passed(&fixture->suspects, TOPIC_IDENTITY, 3, 8);
    assert_true(poison(fixture, 0, 7));
    kafka_suspects_passed(&fixture->suspects, TOPIC_EVENTS, 3, 8);
    assert_false(poison(fixture, 0, 7));
    assert_false(poison(fixture, 1, 7));
}

/* Settles batches of the records up to `last`; the batch that has `bad` does not come back.
 * Returns whether it ended so. */
static bool work_up_to(struct fixture *fixture, int64_t *next, int64_t last, int64_t bad)
{
    struct kafka_suspects *suspects = open_slot(fixture, 0);
    while (*next < last) {
        size_t most = kafka_suspects_batch(suspects, MOST);
        bool has_bad = false;
        int64_t at = *next;
        for (size_t i = 0; i < most && at < last; i++, at++) {
            const struct record record = record_at(at);
            if (kafka_suspects_poison(suspects, &record))
                continue;
            kafka_suspects_enter(suspects, &record);
            kafka_suspects_leave(suspects);
            has_bad |= at == bad;
        }
        kafka_suspects_settle(suspects);
        if (has_bad)
            return true;
        kafka_suspects_leave(suspects);
        *next = at;
        kafka_suspects_passed(suspects, TOPIC_EVENTS, 3, at);
        kafka_suspects_ended(suspects, true);
    }
    return false;
}

static void test_an_end_in_settling_is_narrowed_down_to_its_record(void **state)
{
    struct fixture *fixture = *state;
    int64_t next = 100;
    int ends = 0;
    while (work_up_to(fixture, &next, 1000, 543))
        assert_true(++ends < 12);
    assert_int_equal(next, 1000);
    assert_in_range(ends, 1 + KAFKA_CRASHES_MAX, 4 + KAFKA_CRASHES_MAX); /* 900, 112, 14, 1 */
    while (next < 4000)
        assert_false(work_up_to(fixture, &next, next + 500, -1));
    assert_int_equal(kafka_suspects_batch(&fixture->suspects, MOST), MOST);
    assert_int_equal(fixture->suspects.count, 0);
}

static void test_a_roll_back_is_no_end(void **state)
{
    struct fixture *fixture = *state;
    end_in(fixture, 0, 7);
    kafka_suspects_settle(&fixture->suspects);
    kafka_suspects_leave(&fixture->suspects);
    kafka_suspects_ended(&fixture->suspects, false);
    assert_false(poison(fixture, 0, 7));
    assert_int_equal(kafka_suspects_batch(&fixture->suspects, MOST), MOST);
}

static void test_more_suspects_than_the_list_holds_forget_the_first(void **state)
{
    struct fixture *fixture = *state;
    for (int64_t i = 0; i < KAFKA_SUSPECTS_MAX + 5; i++)
        end_in(fixture, 0, i);
    open_slot(fixture, 0);
    assert_int_equal(fixture->suspects.count, KAFKA_SUSPECTS_MAX);
    assert_int_equal(fixture->suspects.list[0].position, 5);
}

static void test_damaged_files_suspect_nothing(void **state)
{
    struct fixture *fixture = *state;
    char path[2 * TEXT_SIZE];
    end_in(fixture, 0, 7);
    open_slot(fixture, 0);
    kafka_suspects_close(&fixture->suspects);
    const char *const names[] = {"suspects-tabiji", "0/running"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", fixture->dir, names[i]);
        int fd = open(path, O_WRONLY | O_TRUNC);
        assert_true(fd >= 0);
        for (int k = 0; k < 100; k++)
            assert_int_equal(write(fd, "\xff\xff\xff garbage\n", 12), 12);
        assert_int_equal(close(fd), 0);
    }
    assert_false(poison(fixture, 0, 7));
    assert_int_equal(fixture->suspects.count, 0);
}

static void test_one_that_was_not_opened_suspects_nothing(void **state)
{
    struct kafka_suspects none = {.count = 0};
    const struct record record = record_at(1);
    (void)state;
    kafka_suspects_enter(&none, &record);
    kafka_suspects_settle(&none);
    kafka_suspects_leave(&none);
    kafka_suspects_ended(&none, true);
    assert_false(kafka_suspects_poison(&none, &record));
    assert_int_equal(kafka_suspects_batch(&none, MOST), MOST);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_third_end_in_a_record_whatever_the_slot_makes_it_poison),
        TEST(test_a_record_that_was_left_is_not_counted),
        TEST(test_an_end_in_what_follows_is_that_of_the_record),
        TEST(test_an_end_in_what_follows_derived_rows_is_that_of_the_batch),
        TEST(test_a_record_that_was_passed_is_forgotten_by_all),
        TEST(test_an_end_in_settling_is_narrowed_down_to_its_record),
        TEST(test_a_roll_back_is_no_end),
        TEST(test_more_suspects_than_the_list_holds_forget_the_first),
        TEST(test_damaged_files_suspect_nothing),
        cmocka_unit_test(test_one_that_was_not_opened_suspects_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
