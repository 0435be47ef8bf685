/* ingest/stream/state_overlay: what a batch reads of its own writes, and what the driver takes. */
#include "ingest/stream/state_overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

#define ROWS_MAX 4
#define GROUP "0123456789abcdef"
#define MANY_ROWS 4000
#define ROWS_A_GROUP 4

/* A committed store of a few rows of one table, sorted. */
struct fixture {
    struct state_backend backend; /* first */
    const char *keys[ROWS_MAX];
    const char *values[ROWS_MAX];
    size_t count;
    size_t gets;
    size_t cursor;
    struct state *state;
};

static int get(struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    struct fixture *fixture = (struct fixture *)backend;
    fixture->gets++;
    for (size_t i = 0; table == TABLE_NODE && i < fixture->count; i++)
        if (str_equal(str_of(fixture->keys[i]), key)) {
            *value = str_of(fixture->values[i]);
            return 0;
        }
    return STATE_ABSENT;
}

static int scan_begin(
    struct state_backend *backend, enum table table, struct str from, void **cursor)
{
    struct fixture *fixture = (struct fixture *)backend;
    fixture->cursor = table == TABLE_NODE ? 0 : fixture->count;
    while (fixture->cursor < fixture->count &&
           str_compare(str_of(fixture->keys[fixture->cursor]), from) < 0)
        fixture->cursor++;
    *cursor = fixture;
    return 0;
}

static int scan_next(void *cursor, struct str *key, struct str *value)
{
    struct fixture *fixture = cursor;
    if (fixture->cursor == fixture->count)
        return STATE_ABSENT;
    *key = str_of(fixture->keys[fixture->cursor]);
    *value = str_of(fixture->values[fixture->cursor++]);
    return 0;
}

static void scan_end(void *cursor)
{
    (void)cursor;
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){
        .backend = {.get = get,
            .scan_begin = scan_begin,
            .scan_next = scan_next,
            .scan_end = scan_end},
        .keys = {GROUP "b", GROUP "d"},
        .values = {"B", "D"},
        .count = 2,
    };
    *state = &fixture;
    return state_new(&fixture.backend, &fixture.state);
}

static int teardown(void **state)
{
    state_free(&((struct fixture *)*state)->state);
    return 0;
}

static void put(struct fixture *fixture, const char *key, const char *value)
{
    assert_int_equal(state_put(fixture->state, TABLE_NODE, str_of(key), str_of(value)), 0);
}

static void put_new(struct fixture *fixture, const char *key, const char *value)
{
    assert_int_equal(state_put_new(fixture->state, TABLE_NODE, str_of(key), str_of(value)), 0);
}

static void delete (struct fixture *fixture, const char *key)
{
    assert_int_equal(state_delete(fixture->state, TABLE_NODE, str_of(key)), 0);
}

/* All changes as "key=value key- ", keys without the group. */
static void assert_changes(struct fixture *fixture, const char *wanted)
{
    char text[256] = "";
    size_t size = 0, count;
    const struct state_change *changes;
    assert_int_equal(state_changes(fixture->state, &changes, &count), 0);
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%.*s%s%.*s ",
            (int)(changes[i].key.size - GROUP_SIZE), changes[i].key.data + GROUP_SIZE,
            changes[i].deleted ? "-" : "=", (int)changes[i].value.size,
            changes[i].value.data ? changes[i].value.data : "");
    assert_string_equal(text, wanted);
}

static void test_state_changes_are_sorted_and_only_what_differs(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, GROUP "z", "1");
    put(fixture, GROUP "aa", "2");
    put(fixture, GROUP "a", "3");
    put(fixture, GROUP "b", "other");
    put(fixture, GROUP "b", "B"); /* as committed */
    delete (fixture, GROUP "d");
    put(fixture, GROUP "e", "4");
    delete (fixture, GROUP "e");
    assert_int_equal(state_put(fixture->state, TABLE_EDGE, STR("0000000000000000x"), STR("5")), 0);
    assert_changes(fixture, "a=3 aa=2 d- z=1 x=5 ");
}

static void test_state_put_new_looks_for_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct str value;
    put_new(fixture, GROUP "c", "1");
#ifndef TABIJI_FAULT_POINTS /* with them it looks */
    assert_int_equal(fixture->gets, 0);
#endif
    assert_int_equal(state_get(fixture->state, TABLE_NODE, STR(GROUP "c"), &value), 0);
    assert_true(str_equal(value, STR("1")));
    put_new(fixture, GROUP "c", "2");
    assert_changes(fixture, "c=2 ");
    delete (fixture, GROUP "c");
    assert_changes(fixture, "");
}

/* A row that this batch deleted does not exist, though it is committed. */
static void test_state_put_new_after_delete_replaces_the_committed_row(void **state)
{
    struct fixture *fixture = *state;
    delete (fixture, GROUP "b");
    put_new(fixture, GROUP "b", "new");
    assert_changes(fixture, "b=new ");
}

static void test_state_scan_merges_committed_and_written(void **state)
{
    struct fixture *fixture = *state;
    struct state_scan *scan;
    struct str key, value;
    char text[64] = "";
    put(fixture, GROUP "c", "C");
    put_new(fixture, GROUP "a", "A");
    delete (fixture, GROUP "d");
    put(fixture, GROUP "b", "X");
    assert_int_equal(state_scan_begin(fixture->state, TABLE_NODE, STR(GROUP), &scan), 0);
    while (state_scan_next(scan, &key, &value) == 0)
        (void)strncat(text, value.data, value.size);
    state_scan_end(&scan);
    assert_string_equal(text, "AXC");
}

static void test_state_put_beyond_limits_fails(void **state)
{
    struct fixture *fixture = *state;
    char key[STATE_KEY_SIZE_MAX + 1] = {0};
    assert_int_equal(
        state_put(fixture->state, TABLE_NODE, str_make(key, sizeof key), STR("x")), ERR_TOO_LARGE);
    assert_int_equal(
        state_put_new(fixture->state, TABLE_NODE, STR(GROUP), str_make(key, (size_t)17 << 20)),
        ERR_TOO_LARGE);
    assert_changes(fixture, "");
}

/* Enough of them to be sorted by their bytes: groups that scatter, rows of one that differ late. */
static void test_state_changes_of_many_rows_are_sorted(void **state)
{
    struct fixture *fixture = *state;
    const enum table tables[] = {TABLE_SESSION, TABLE_NODE};
    uint64_t begin = 1;
    for (uint32_t i = 0; i < MANY_ROWS; i++) {
        char key[GROUP_SIZE + sizeof i] = {0};
        if (i % ROWS_A_GROUP == 0)
            begin = begin * 6364136223846793005u + 1442695040888963407u;
        uint32_t late = ROWS_A_GROUP - i % ROWS_A_GROUP;
        memcpy(key, &begin, sizeof begin);
        memcpy(key + GROUP_SIZE, &late, sizeof late);
        for (size_t t = 0; t < 2; t++)
            assert_int_equal(
                state_put(fixture->state, tables[t], str_make(key, sizeof key), STR("x")), 0);
    }
    const struct state_change *changes;
    size_t count;
    assert_int_equal(state_changes(fixture->state, &changes, &count), 0);
    assert_int_equal(count, 2 * MANY_ROWS);
    for (size_t i = 1; i < count; i++) {
        assert_true(changes[i - 1].table <= changes[i].table);
        if (changes[i - 1].table == changes[i].table)
            assert_true(str_compare(changes[i - 1].key, changes[i].key) < 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_state_changes_are_sorted_and_only_what_differs),
        TEST(test_state_changes_of_many_rows_are_sorted),
        TEST(test_state_put_new_looks_for_nothing),
        TEST(test_state_put_new_after_delete_replaces_the_committed_row),
        TEST(test_state_scan_merges_committed_and_written),
        TEST(test_state_put_beyond_limits_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
