#include "sinks/sqlite/model_table.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/sqlite_sink.h"

struct context {
    struct scratch scratch;
    struct sink *sink;
    struct list list;
};

static int set_up(void **state)
{
    struct context *context = calloc(1, sizeof(*context));
    scratch_begin(&context->scratch);
    assert_int_equal(sqlite_sink_open(&context->sink, context->scratch.database, NULL), 0);
    *state = context;
    return 0;
}

static int tear_down(void **state)
{
    struct context *context = *state;
    context->sink->close(context->sink);
    list_free(&context->list);
    scratch_end(&context->scratch);
    free(context);
    return 0;
}

static void apply(struct context *context)
{
    apply_list(context->sink, &context->list, 1);
    list_free(&context->list);
}

/* One path "A > B" that converts for so much, as a Markov model of order 1 counts it. */
static void list_path(struct list *list, int32_t partition, const char *currency, int64_t minor)
{
    const struct made_count steps[] = {
        {"markov", MODEL_KIND_MARKOV, partition, currency, "", "A", 1, 0},
        {"markov", MODEL_KIND_MARKOV, partition, currency, "A", "B", 1, 0},
        {"markov", MODEL_KIND_MARKOV, partition, currency, "B", "", 1, minor},
    };
    for (size_t i = 0; i < 3; i++)
        list_count(list, &steps[i]);
}

#define CHANNELS                                                                                   \
    "SELECT group_concat(line, ';') FROM (SELECT model || ' ' || channel || ' ' || "               \
    "credited_conversions || ' ' || credited_value || ' ' || currency AS line "                    \
    "FROM v_model_channel ORDER BY model, currency, channel)"

static void test_solve_adds_partitions_up(void **state)
{
    struct context *context = *state;
    list_path(&context->list, 0, "USD", 500);
    list_path(&context->list, 3, "USD", 700);
    list_count(&context->list,
        &(struct made_count){"shapley", MODEL_KIND_SHAPLEY, 3, "USD", "", "BA", 2, 900});
    list_count(&context->list,
        &(struct made_count){"shapley", MODEL_KIND_SHAPLEY, 1, "USD", "", "", 1, 50});
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, CHANNELS),
        "markov A 1.0 6.0 USD;markov B 1.0 6.0 USD;shapley (unattributed) 1.0 0.5 USD;"
        "shapley A 1.0 4.5 USD;shapley B 1.0 4.5 USD");
    assert_string_equal(
        ask(context->scratch.database,
            "SELECT group_concat(from_state || '-' || to_state || ' ' || paths || ' ' || "
            "probability, ';') FROM (SELECT * FROM v_model_transition ORDER BY 3, 4)"),
        "(start)-A 2 1.0;A-B 2 1.0;B-(conversion) 2 1.0");
}

static void test_solve_unchanged_counts_makes_no_run(void **state)
{
    struct context *context = *state;
    const char *const runs =
        "SELECT count(DISTINCT run_id) || ' ' || max(run_id) FROM model_channel";
    list_path(&context->list, 0, "USD", 500);
    apply(context);
    for (int i = 0; i < 3; i++)
        assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, runs), "1 1");
    list_path(&context->list, 1, "USD", 500);
    apply(context);
    for (int i = 0; i < 3; i++)
        assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, runs), "2 2");
}

static void test_solve_open_paths_count_with_each_currency(void **state)
{
    struct context *context = *state;
    list_path(&context->list, 0, "USD", 500);
    list_path(&context->list, 0, "JPY", 500);
    const struct made_count open[] = {
        {"markov", MODEL_KIND_MARKOV, 0, NULL, "", "A", 1, 0},
        {"markov", MODEL_KIND_MARKOV, 0, NULL, "A", "", 1, 0},
    };
    list_count(&context->list, &open[0]);
    list_count(&context->list, &open[1]);
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, CHANNELS),
        "markov A 0.5 250.0 JPY;markov B 0.5 250.0 JPY;markov A 0.5 2.5 USD;markov B 0.5 2.5 USD");
    assert_string_equal(
        ask(context->scratch.database, "SELECT group_concat(to_state || ' ' || probability, ';') "
                                       "FROM (SELECT * FROM v_model_transition WHERE currency = "
                                       "'JPY' AND from_state = 'A' ORDER BY to_state)"),
        "(null) 0.5;B 0.5");
}

static void test_solve_what_is_gone_leaves_no_rows(void **state)
{
    struct context *context = *state;
    list_path(&context->list, 0, "USD", 500);
    list_path(&context->list, 0, "JPY", 500);
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 0);
    const struct made_count gone[] = {
        {"markov", MODEL_KIND_MARKOV, 0, "JPY", "", "A", 0, 0},
        {"markov", MODEL_KIND_MARKOV, 0, "JPY", "A", "B", 0, 0},
        {"markov", MODEL_KIND_MARKOV, 0, "JPY", "B", "", 0, 0},
    };
    for (size_t i = 0; i < 3; i++)
        list_count(&context->list, &gone[i]);
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(
        ask(context->scratch.database, CHANNELS), "markov A 0.5 2.5 USD;markov B 0.5 2.5 USD");
    assert_string_equal(
        ask(context->scratch.database, "SELECT count(*) FROM model_transition"), "3");
}

/* One model cannot be solved; the others are, and it is tried again. */
static void test_solve_half_of_a_change_leaves_the_model_out(void **state)
{
    struct context *context = *state;
    const struct made_count half = {"markov", MODEL_KIND_MARKOV, 0, "USD", "", "A", 1, 0};
    const struct made_count rest = {"markov", MODEL_KIND_MARKOV, 0, "USD", "A", "", 1, 0};
    list_count(&context->list, &half);
    list_count(&context->list,
        &(struct made_count){"shapley", MODEL_KIND_SHAPLEY, 0, "USD", "", "A", 1, 100});
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 1);
    assert_string_equal(ask(context->scratch.database, CHANNELS), "shapley A 1.0 1.0 USD");
    assert_int_equal(context->sink->solve(context->sink), 1);
    list_count(&context->list, &rest);
    apply(context);
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(
        ask(context->scratch.database, CHANNELS), "markov A 1.0 0.0 USD;shapley A 1.0 1.0 USD");
}

static void test_solve_within_a_transaction_waits(void **state)
{
    struct context *context = *state;
    list_path(&context->list, 0, "USD", 500);
    const struct result_batch batch = {context->list.results, context->list.count, NULL, 0, false};
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_int_equal(context->sink->commit(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, "SELECT count(*) FROM model_channel"), "0");
    assert_int_equal(context->sink->solve(context->sink), 0);
    assert_string_equal(ask(context->scratch.database, "SELECT count(*) FROM model_channel"), "2");
}

/* What the channels of one model get, of `total` minor units. */
static void expect_rounded(
    const double *values, size_t count, double unit, int64_t total, const int64_t *wanted)
{
    struct model_answers answers = {.count = 0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(model_answers_add(&answers,
                             &(struct model_answer){.channel = STR("c"), .credit = {0, values[i]}}),
            0);
    assert_int_equal(model_answers_round(&answers, 0, unit, total), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(answers.items[i].revenue_minor, wanted[i]);
    model_answers_free(&answers);
}

#define ROUNDED(values, unit, total, ...)                                                          \
    expect_rounded(                                                                                \
        values, sizeof(values) / sizeof(values)[0], unit, total, (const int64_t[]){__VA_ARGS__})

static void test_round_sums_to_the_total_by_largest_remainder(void **state)
{
    const double thirds[] = {10. / 3, 10. / 3, 10. / 3}, uneven[] = {1.256, 2.2449, 1.4991};
    const double off[] = {0.1 + 0.2, 0.7}, negative[] = {-10. / 3, -20. / 3}, none[] = {0, 0};
    ROUNDED(thirds, 1, 10, 4, 3, 3);
    ROUNDED(uneven, 100, 500, 126, 224, 150);
    ROUNDED(off, 10, 10, 3, 7);
    ROUNDED(negative, 1, -10, -3, -7);
    ROUNDED(none, 100, 0, 0, 0);
}

static void test_round_of_a_model_that_does_not_sum_rounds_each(void **state)
{
    const double whole[] = {12.34, 12.34};
    ROUNDED(whole, 100, 1234, 1234, 1234);
}

static void test_save_keeps_so_many_runs(void **state)
{
    struct context *context = *state;
    sqlite3 *db = NULL;
    int64_t run_id;
    struct model_answers answers = {.count = 0};
    list_path(&context->list, 0, "USD", 500);
    apply(context);
    assert_int_equal(database_open(&db, context->scratch.database, NULL), 0);
    assert_int_equal(model_table_solve(db, &answers), 0);
    assert_int_equal(answers.count, 2);
    for (int i = 0; i < MODEL_RUNS_KEPT + 5; i++)
        assert_int_equal(model_table_save(db, &answers, i, &run_id), 0);
    model_answers_free(&answers);
    database_close(&db);
    assert_string_equal(
        ask(context->scratch.database,
            "SELECT count(DISTINCT run_id) || ' ' || min(as_of) FROM model_channel"),
        "100 5");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_solve_adds_partitions_up),
        TEST(test_solve_unchanged_counts_makes_no_run),
        TEST(test_solve_open_paths_count_with_each_currency),
        TEST(test_solve_what_is_gone_leaves_no_rows),
        TEST(test_solve_half_of_a_change_leaves_the_model_out),
        TEST(test_solve_within_a_transaction_waits),
        TEST(test_round_sums_to_the_total_by_largest_remainder),
        TEST(test_round_of_a_model_that_does_not_sum_rounds_each),
        TEST(test_save_keeps_so_many_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
