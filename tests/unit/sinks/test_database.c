#include "sinks/sqlite/database.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static int set_up(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    scratch_begin(scratch);
    *state = scratch;
    return 0;
}

static int tear_down(void **state)
{
    scratch_end(*state);
    free(*state);
    return 0;
}

static void make(struct scratch *scratch)
{
    sqlite3 *db = NULL;
    assert_int_equal(database_open(&db, scratch->database, NULL), 0);
    database_close(&db);
    assert_null(db);
}

static void run_raw(struct scratch *scratch, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(scratch->database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_open_new_file_has_all_tables_and_views(void **state)
{
    struct scratch *scratch = *state;
    make(scratch);
    assert_string_equal(ask(scratch->database, "PRAGMA journal_mode"), "wal");
    assert_string_equal(ask(scratch->database, "SELECT group_concat(name, ' ') FROM (SELECT name "
                                               "FROM sqlite_schema WHERE type = 'table' "
                                               "AND name NOT LIKE 'sqlite_%' ORDER BY name)"),
        "attribution_credit budget conversion currency data_dictionary erasure_identifier "
        "erasure_receipt erasure_refused erasure_remainder erasure_suppressed event event_link "
        "identifier meta model model_channel model_credit model_transition path person "
        "rejected session sink_position sink_rejected sink_rejection spend timeline touch");
    assert_string_equal(ask(scratch->database, "SELECT group_concat(name, ' ') FROM (SELECT name "
                                               "FROM sqlite_schema WHERE type = 'view' "
                                               "ORDER BY name)"),
        "identity_link identity_word person_alias v_assisted v_budget v_call "
        "v_channel_attribution v_conversion v_credit v_credit_day v_event v_export_model_touches "
        "v_export_paths v_export_touches v_identifier v_journey_flow "
        "v_model_channel v_model_comparison v_model_comparison_long v_model_credit "
        "v_model_transition v_path v_path_length "
        "v_paths "
        "v_person v_refund_waiting v_rejected v_roas v_session v_time_lag "
        "v_timeline v_touch v_unattributed");
}

static void test_open_every_column_is_described_in_both_languages(void **state)
{
    struct scratch *scratch = *state;
    make(scratch);
    assert_string_equal(
        ask(scratch->database, "SELECT count(*) > 150 AND min(length(description_en)) > 3 AND "
                               "min(length(description_ja)) > 1 FROM data_dictionary"),
        "1");
    assert_string_equal(
        ask(scratch->database,
            "SELECT coalesce(group_concat(s.name || '.' || c.name), 'none') FROM sqlite_schema AS "
            "s "
            "JOIN pragma_table_xinfo(s.name) AS c LEFT JOIN data_dictionary AS d ON d.table_name = "
            "s.name AND d.column_name = c.name WHERE s.type IN ('table', 'view') AND "
            "d.table_name IS NULL"),
        "none");
    assert_string_equal(
        ask(scratch->database,
            "SELECT coalesce(group_concat(s.name), 'none') FROM sqlite_schema AS s LEFT JOIN "
            "data_dictionary AS d ON d.table_name = s.name AND d.column_name = '' WHERE s.type IN "
            "('table', 'view') AND d.table_name IS NULL"),
        "none");
}

static void test_open_columns_of_arrival_are_marked(void **state)
{
    struct scratch *scratch = *state;
    make(scratch);
    assert_string_equal(
        ask(scratch->database,
            "SELECT group_concat(column_name, ' ') FROM (SELECT column_name FROM data_dictionary "
            "WHERE table_name = 'event' AND arrival_only ORDER BY column_name)"),
        "event_row placement position received_at time_quality");
    assert_string_equal(
        ask(scratch->database,
            "SELECT group_concat(column_name, ' ') FROM (SELECT column_name FROM data_dictionary "
            "WHERE table_name = 'rejected' AND arrival_only ORDER BY column_name)"),
        "file line received_at");
}

static void test_open_again_changes_nothing(void **state)
{
    struct scratch *scratch = *state;
    make(scratch);
    char before[64];
    snprintf(before, sizeof(before), "%s", ask(scratch->database, "PRAGMA schema_version"));
    make(scratch);
    assert_string_equal(ask(scratch->database, "PRAGMA schema_version"), before);
}

static void test_open_views_of_another_build_are_made_anew(void **state)
{
    static const char views[] =
        "SELECT hex(group_concat(name || sql || n, '/')) FROM (SELECT s.name, s.sql, "
        "count(d.table_name) AS n "
        "FROM sqlite_schema AS s LEFT JOIN data_dictionary AS d ON d.table_name = s.name "
        "WHERE s.type = 'view' AND s.name LIKE 'v\\_%' ESCAPE '\\' GROUP BY s.name ORDER BY "
        "s.name)";
    struct scratch *scratch = *state;
    make(scratch);
    char *before = strdup(ask(scratch->database, views));
    run_raw(scratch, "DROP VIEW v_call; DELETE FROM data_dictionary WHERE table_name = 'v_call';"
                     "DROP VIEW v_person; CREATE VIEW v_person AS SELECT 1 AS of_old;"
                     "CREATE VIEW mine AS SELECT 2 AS two;");
    make(scratch);
    assert_string_equal(ask(scratch->database, views), before);
    assert_string_equal(ask(scratch->database, "SELECT two FROM mine"), "2");
    char *version = strdup(ask(scratch->database, "PRAGMA schema_version"));
    make(scratch);
    assert_string_equal(ask(scratch->database, "PRAGMA schema_version"), version);
    free(before);
    free(version);
}

static void test_open_other_version_is_refused_and_left_alone(void **state)
{
    struct scratch *scratch = *state;
    static const char *const versions[] = {"PRAGMA user_version = 3", "PRAGMA user_version = 0"};
    char back[64];
    for (int i = 0; i < 2; i++) {
        sqlite3 *db = NULL;
        make(scratch);
        run_raw(scratch, versions[i]);
        assert_int_equal(database_open(&db, scratch->database, NULL), ERR_STATE);
        assert_int_equal(database_open_reader(&db, scratch->database), ERR_STATE);
        assert_null(db);
        snprintf(back, sizeof(back), "PRAGMA user_version = %d", DATABASE_VERSION);
        run_raw(scratch, back);
        make(scratch);
    }
}

static void test_open_another_programs_database_is_refused(void **state)
{
    struct scratch *scratch = *state;
    sqlite3 *db = NULL;
    run_raw(scratch, "CREATE TABLE theirs (x)");
    assert_int_equal(database_open(&db, scratch->database, NULL), ERR_STATE);
    assert_string_equal(
        ask(scratch->database, "SELECT group_concat(name) FROM sqlite_schema"), "theirs");
    assert_string_equal(ask(scratch->database, "PRAGMA journal_mode"), "delete");
}

static void test_open_file_that_is_no_database_is_refused(void **state)
{
    struct scratch *scratch = *state;
    sqlite3 *db = NULL;
    FILE *file = fopen(scratch->database, "w");
    assert_non_null(file);
    for (int i = 0; i < 4096; i++)
        fputs("noise ", file);
    fclose(file);
    assert_int_equal(database_open(&db, scratch->database, NULL), ERR_STATE);
    assert_int_equal(database_open_reader(&db, scratch->database), ERR_STATE);
}

static void test_open_in_missing_directory_is_io(void **state)
{
    struct scratch *scratch = *state;
    sqlite3 *db = NULL;
    char path[128];
    snprintf(path, sizeof(path), "%s/none/tabiji.db", scratch->dir);
    assert_int_equal(database_open(&db, path, NULL), ERR_IO);
    assert_int_equal(database_open_reader(&db, path), ERR_NOT_FOUND);
    assert_null(db);
}

static void test_open_reader_cannot_write(void **state)
{
    struct scratch *scratch = *state;
    sqlite3 *db = NULL;
    make(scratch);
    assert_int_equal(database_open_reader(&db, scratch->database), 0);
    assert_int_equal(database_run(db, "DELETE FROM meta"), ERR_IO);
    database_close(&db);
}

static void test_error_every_class_is_typed(void **state)
{
    (void)state;
    assert_int_equal(database_error(SQLITE_OK), 0);
    assert_int_equal(database_error(SQLITE_DONE), 0);
    assert_int_equal(database_error(SQLITE_BUSY_SNAPSHOT), ERR_AGAIN);
    assert_int_equal(database_error(SQLITE_NOMEM), ERR_NO_MEMORY);
    assert_int_equal(database_error(SQLITE_FULL), ERR_FULL);
    assert_int_equal(database_error(SQLITE_IOERR_FSYNC), ERR_IO);
    assert_int_equal(database_error(SQLITE_CORRUPT_INDEX), ERR_STATE);
    assert_int_equal(database_error(SQLITE_CONSTRAINT_UNIQUE), ERR_DATABASE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_open_new_file_has_all_tables_and_views),
        TEST(test_open_every_column_is_described_in_both_languages),
        TEST(test_open_columns_of_arrival_are_marked),
        TEST(test_open_again_changes_nothing),
        TEST(test_open_views_of_another_build_are_made_anew),
        TEST(test_open_other_version_is_refused_and_left_alone),
        TEST(test_open_another_programs_database_is_refused),
        TEST(test_open_file_that_is_no_database_is_refused),
        TEST(test_open_in_missing_directory_is_io),
        TEST(test_open_reader_cannot_write),
        TEST(test_error_every_class_is_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
