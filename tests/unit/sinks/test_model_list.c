#include "sinks/sqlite/model_list.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/time.h"
#include "sinks/sqlite/database.h"

static const struct str types[] = {STR_INIT("store_purchase"), STR_INIT("a \"b\"")};
static const struct model models[] = {
    {.name = STR_INIT("my-second"),
        .kind = MODEL_KIND_MARKOV,
        .order = 2,
        .ignore_nulls = true,
        .conversion_types = types,
        .conversion_types_count = 2,
        .lookback_micros = 7 * TIME_MICROS_PER_DAY,
        .reset = true},
    {.name = STR_INIT("shapley"), .kind = MODEL_KIND_SHAPLEY, .order = 1},
    {.name = STR_INIT("ends"),
        .rule = RULE_MODEL_CUSTOM,
        .order = 1,
        .config = {.half_life_micros = 1, .custom = {45, 10, 1000}}},
    {.name = STR_INIT("participation"), .rule = RULE_MODEL_PARTICIPATION},
};
#define MODELS (sizeof models / sizeof *models)

static int set_up(void **state)
{
    static struct scratch scratch;
    scratch_begin(&scratch);
    *state = &scratch;
    return 0;
}

static int tear_down(void **state)
{
    scratch_end(*state);
    return 0;
}

static sqlite3 *open_saved(const struct scratch *scratch, size_t count)
{
    sqlite3 *db = NULL;
    struct model own[MODELS];
    memcpy(own, models, sizeof models);
    for (size_t i = 0; i < MODELS; i++)
        memset(own[i].version, 'a' + (int)i, MODEL_VERSION_SIZE);
    assert_int_equal(database_open(&db, scratch->database, NULL), 0);
    assert_int_equal(model_list_save(db, own, count), 0);
    bool is = false, empty = true;
    assert_int_equal(model_list_is(db, own, count, &is, &empty), 0);
    assert_true(is);
    assert_int_equal(empty, count == 0);
    own[0].order = 3;
    assert_int_equal(model_list_is(db, own, count, &is, &empty), 0);
    assert_int_equal(is, count == 0);
    return db;
}

static void test_list_save_then_read_gives_the_same(void **state)
{
    struct arena arena = {0};
    struct model *found = NULL;
    size_t count = 0;
    sqlite3 *db = open_saved(*state, MODELS);
    assert_int_equal(model_list_read(db, &arena, &found, &count), 0);
    assert_int_equal(count, MODELS);
    for (size_t i = 0; i < MODELS; i++) {
        assert_true(str_equal(found[i].name, models[i].name));
        assert_int_equal(found[i].kind, models[i].kind);
        assert_int_equal(found[i].rule, models[i].rule);
        assert_int_equal(found[i].reset, models[i].reset);
        assert_int_equal(found[i].ignore_nulls, models[i].ignore_nulls);
        assert_int_equal(found[i].lookback_micros, models[i].lookback_micros);
        assert_int_equal(found[i].conversion_types_count, models[i].conversion_types_count);
    }
    assert_int_equal(found[0].order, 2);
    assert_true(str_equal(found[0].conversion_types[1], types[1]));
    assert_int_equal(found[2].config.custom.first, 45);
    assert_int_equal(found[2].config.custom.last, 1000);
    arena_free(&arena);
    database_close(&db);
}

static void test_list_view_has_columns_of_all_that_are_described(void **state)
{
    const struct scratch *scratch = *state;
    const char *const columns =
        "SELECT group_concat(name, ' ') FROM pragma_table_info('v_model_comparison') "
        "WHERE name LIKE '%\\_revenue' ESCAPE '\\' AND cid > 22";
    const char *const undescribed =
        "SELECT count(*) FROM (SELECT name FROM pragma_table_info('v_model_comparison') EXCEPT "
        "SELECT column_name FROM data_dictionary WHERE table_name = 'v_model_comparison')";
    sqlite3 *db = open_saved(scratch, MODELS);
    database_close(&db);
    assert_string_equal(ask(scratch->database, columns),
        "inverse_j_revenue my-second_revenue shapley_revenue ends_revenue "
        "participation_revenue");
    assert_string_equal(ask(scratch->database, undescribed), "0");
    assert_string_equal(
        ask(scratch->database, "SELECT description_en FROM data_dictionary WHERE column_name = "
                               "'my-second_revenue'"),
        "Revenue net of refunds, unrounded, by the model my-second of the configuration (table "
        "model).");
    assert_string_equal(ask(scratch->database, "SELECT count(*) FROM v_model_comparison"), "0");
    db = open_saved(scratch, 0); /* columns go with their models */
    database_close(&db);
    assert_string_equal(ask(scratch->database, columns), "inverse_j_revenue");
    assert_string_equal(
        ask(scratch->database, "SELECT count(*) FROM data_dictionary WHERE column_name LIKE 'my%'"),
        "0");
    assert_string_equal(ask(scratch->database, "SELECT group_concat(model, ' ') FROM model"),
        "first inverse_j j_shape last last_non_direct linear position time_decay");
}

static void test_list_read_of_a_row_that_is_none_fails(void **state)
{
    struct arena arena = {0};
    struct model *found = NULL;
    size_t count = 0;
    sqlite3 *db = open_saved(*state, MODELS);
    const char *const damages[] = {"UPDATE model SET model_kind = 'x' WHERE model = 'ends'",
        "UPDATE model SET model_kind = 'custom', weights = '1:2' WHERE model = 'ends'",
        "UPDATE model SET weights = '1:2:3', conversion_types = '[1]' WHERE model = 'ends'",
        "UPDATE model SET conversion_types = '[', model_version = 'ff' WHERE model = 'ends'"};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        assert_int_equal(database_run(db, damages[i]), 0);
        assert_int_equal(model_list_read(db, &arena, &found, &count), ERR_STATE);
    }
    arena_free(&arena);
    database_close(&db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_list_save_then_read_gives_the_same),
        TEST(test_list_view_has_columns_of_all_that_are_described),
        TEST(test_list_read_of_a_row_that_is_none_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
