#include "sinks/sqlite/bulk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/database.h"

#define TABLE "CREATE TABLE made (a INTEGER PRIMARY KEY, b TEXT, c BLOB, d REAL) STRICT"
#define INSERT "INSERT INTO made SELECT c0, c1, c2, c3 FROM bulk_rows(?1)"
#define COLUMNS 4

static int set_up(void **state)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(bulk_register(db), 0);
    assert_int_equal(database_run(db, TABLE), 0);
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    sqlite3 *db = *state;
    database_close(&db);
    return 0;
}

static void assert_answer(sqlite3 *db, const char *sql, const char *expected)
{
    sqlite3_stmt *select = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &select, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(select), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(select, 0), expected);
    sqlite3_finalize(select);
}

static void add(struct bulk *bulk, int64_t number)
{
    struct bulk_cell *row;
    assert_int_equal(bulk_row(bulk, &row), 0);
    row[0] = bulk_integer(number);
}

static void test_bulk_flush_writes_each_type_to_the_byte(void **state)
{
    struct bulk *bulk = NULL;
    struct bulk_cell *row;
    struct str kept;
    char bytes[] = "a\0b";
    assert_int_equal(bulk_open(&bulk, *state, INSERT, COLUMNS), 0);
    add(bulk, 1);
    assert_int_equal(bulk_row(bulk, &row), 0);
    assert_int_equal(bulk_keep(bulk, str_make(bytes, 3), &kept), 0);
    memset(bytes, 'x', sizeof bytes);
    row[0] = bulk_integer(INT64_MIN);
    row[1] = bulk_text_or_null(STR("旅路"));
    row[2] = bulk_blob(kept);
    row[3] = bulk_real(0.25);
    add(bulk, 3);
    assert_int_equal(bulk_row(bulk, &row), 0);
    row[0] = bulk_integer(4);
    row[1] = bulk_text((struct str){0}); /* no bytes are text still, and a blob */
    row[2] = bulk_blob((struct str){0});
    assert_int_equal(bulk_last(bulk)[0].integer, 4);
    assert_int_equal(bulk_flush(bulk), 0);
    assert_null(bulk_last(bulk));
    assert_answer(*state,
        "SELECT group_concat(a || ' ' || coalesce(b, '-') || ' ' || typeof(c) || hex(c) || ' ' || "
        "coalesce(d, '-'), '; ') FROM (SELECT * FROM made ORDER BY a)",
        "-9223372036854775808 旅路 blob610062 0.25; 1 - null -; 3 - null -; 4  blob -");
    bulk_close(&bulk);
    assert_null(bulk);
}

static void test_bulk_row_beyond_the_maximum_writes_those_before(void **state)
{
    struct bulk *bulk = NULL;
    assert_int_equal(bulk_open(&bulk, *state, INSERT, COLUMNS), 0);
    for (int64_t i = 0; i < BULK_ROWS_MAX; i++)
        add(bulk, i);
    assert_answer(*state, "SELECT count(*) FROM made", "0");
    for (int64_t i = BULK_ROWS_MAX; i < 3 * BULK_ROWS_MAX + 5; i++)
        add(bulk, i);
    assert_answer(*state, "SELECT count(*) FROM made", "3072");
    assert_int_equal(bulk_flush(bulk), 0);
    assert_int_equal(bulk_flush(bulk), 0);
    assert_answer(*state, "SELECT count(*) || ' ' || max(a) FROM made", "3077 3076");
    bulk_close(&bulk);
}

static void test_bulk_forget_and_close_write_nothing(void **state)
{
    struct bulk *bulk = NULL;
    assert_int_equal(bulk_open(&bulk, *state, INSERT, COLUMNS), 0);
    add(bulk, 1);
    bulk_forget(bulk);
    assert_int_equal(bulk_flush(bulk), 0);
    add(bulk, 2);
    bulk_close(&bulk);
    bulk_close(&bulk);
    assert_answer(*state, "SELECT count(*) FROM made", "0");
}

static void test_bulk_flush_that_fails_says_so_and_can_be_used_again(void **state)
{
    struct bulk *bulk = NULL;
    assert_int_equal(bulk_open(&bulk, *state, INSERT, COLUMNS), 0);
    add(bulk, 1);
    add(bulk, 1);
    assert_int_equal(bulk_flush(bulk), ERR_DATABASE);
    assert_answer(*state, "SELECT count(*) FROM made", "0");
    add(bulk, 2);
    assert_int_equal(bulk_flush(bulk), 0);
    assert_answer(*state, "SELECT group_concat(a) FROM made", "2");
    bulk_close(&bulk);
}

static void test_bulk_rows_without_its_pointer_shows_nothing(void **state)
{
    sqlite3_stmt *select = NULL;
    assert_answer(*state, "SELECT count(*) FROM bulk_rows(5)", "0");
    assert_int_equal(
        sqlite3_prepare_v2(*state, "SELECT * FROM bulk_rows", -1, &select, NULL), SQLITE_ERROR);
    assert_int_equal(
        database_run(*state, "CREATE VIRTUAL TABLE mine USING bulk_rows"), ERR_DATABASE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bulk_flush_writes_each_type_to_the_byte),
        TEST(test_bulk_row_beyond_the_maximum_writes_those_before),
        TEST(test_bulk_forget_and_close_write_nothing),
        TEST(test_bulk_flush_that_fails_says_so_and_can_be_used_again),
        TEST(test_bulk_rows_without_its_pointer_shows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
