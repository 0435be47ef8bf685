#include "sinks/sqlite/model_credits.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/sqlite_sink.h"

#define T0 1780000000000000
#define VERSION "0123456789abcdef"

static const struct str bought[] = {STR_INIT("order_completed")}, other[] = {STR_INIT("else")};

struct context {
    struct scratch scratch;
    sqlite3 *db;
    struct model_answers answers;
};

static void sell(struct list *list, uint8_t person, const char *id, const char *refund_of,
    int64_t minor, size_t touches)
{
    static const char *const channels[] = {"A", "B"};
    const char *path[] = {channels[0], channels[1]};
    list_conversion(list, &(struct made_conversion){person, id, T0 + (refund_of != NULL), minor,
                              "JPY", path, touches, refund_of});
}

/* A path A > B of 1001 yen, of which 500 and then 501 come back; A alone; one without a touch. */
static int set_up(void **state)
{
    static struct context context;
    struct list list = {0};
    struct sink *sink;
    context = (struct context){.db = NULL};
    scratch_begin(&context.scratch);
    assert_int_equal(sqlite_sink_open(&sink, context.scratch.database, NULL), 0);
    sell(&list, 1, "o-1", NULL, 1001, 2);
    sell(&list, 1, "o-1#1", "o-1", -500, 2);
    sell(&list, 1, "o-1#2", "o-1", -501, 2);
    sell(&list, 2, "o-2", NULL, 10, 1);
    sell(&list, 3, "o-3", NULL, 5, 0);
    apply_list(sink, &list, 1);
    sink->close(sink);
    list_free(&list);
    assert_int_equal(database_open(&context.db, context.scratch.database, NULL), 0);
    *state = &context;
    return 0;
}

static int tear_down(void **state)
{
    struct context *context = *state;
    model_answers_free(&context->answers);
    database_close(&context->db);
    scratch_end(&context->scratch);
    return 0;
}

static void answer(struct context *context, const char *version, double a, double b)
{
    const struct {
        const char *channel;
        double conversions;
    } rows[] = {{"A", a}, {"B", b}, {MODEL_UNATTRIBUTED, 1}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(model_answers_add(&context->answers,
                             &(struct model_answer){.model = STR("m"),
                                 .kind = MODEL_KIND_SHAPLEY,
                                 .version = str_of(version),
                                 .currency = STR("JPY"),
                                 .channel = str_of(rows[i].channel),
                                 .credit = {.conversions = rows[i].conversions}}),
            0);
}

static struct model model_of(const struct str *conversion_types)
{
    struct model model = {.name = STR("m"),
        .kind = MODEL_KIND_SHAPLEY,
        .order = 1,
        .conversion_types = conversion_types,
        .conversion_types_count = 1};
    memcpy(model.version, VERSION, MODEL_VERSION_SIZE);
    return model;
}

static void save(struct context *context, const struct model *model)
{
    struct model_credits *credits = NULL;
    assert_int_equal(model_credits_open(&credits, context->db, model, 1, &context->answers), 0);
    assert_int_equal(model_credits_save(credits, 7, 99), 0);
    model_credits_close(&credits);
}

#define ROWS                                                                                       \
    "SELECT group_concat(conversion_id || ' ' || channel || ' ' || weight_ppb || ' ' || "          \
    "credited_revenue_minor, ';') FROM (SELECT * FROM model_credit ORDER BY 1, 2, 4)"

/* B's touch has the lower tie, and so the unit that is over, until it is refunded. */
static void test_credits_save_sums_to_each_conversion_and_refund(void **state)
{
    struct context *context = *state;
    const struct model model = model_of(bought);
    answer(context, VERSION, 1.5, .5);
    save(context, &model);
    assert_string_equal(ask(context->scratch.database, ROWS),
        "o-1 A 500000000 500;o-1 B 500000000 501;o-1#1 A 0 -250;o-1#1 B 0 -250;"
        "o-1#2 A 0 -250;o-1#2 B 0 -251;o-2 A 1000000000 10;o-3 (unattributed) 1000000000 5");
    assert_string_equal(
        ask(context->scratch.database,
            "SELECT DISTINCT run_id || ' ' || model_version || ' ' || solved_at FROM model_credit"),
        "7 " VERSION " 99");
}

/* A quarter of A > B is A's then, since A alone is A's. */
static void test_credits_save_again_replaces(void **state)
{
    struct context *context = *state;
    const struct model model = model_of(bought);
    answer(context, VERSION, 1.5, .5);
    save(context, &model);
    model_answers_free(&context->answers);
    answer(context, VERSION, 1.25, .75);
    save(context, &model);
    assert_string_equal(ask(context->scratch.database, ROWS),
        "o-1 A 250000000 250;o-1 B 750000000 751;o-1#1 A 0 -125;o-1#1 B 0 -375;"
        "o-1#2 A 0 -125;o-1#2 B 0 -376;o-2 A 1000000000 10;o-3 (unattributed) 1000000000 5");
}

static void test_credits_of_another_version_or_type_are_left_out(void **state)
{
    struct context *context = *state;
    const struct model model = model_of(bought), elsewhere = model_of(other);
    answer(context, "ffffffffffffffff", 1.5, .5);
    save(context, &model);
    assert_string_equal(ask(context->scratch.database, "SELECT count(*) FROM model_credit"), "0");
    model_answers_free(&context->answers);
    answer(context, VERSION, 1.5, .5);
    save(context, &elsewhere);
    assert_string_equal(ask(context->scratch.database, "SELECT count(*) FROM model_credit"), "0");
}

static void test_credits_open_of_damaged_touches_fails(void **state)
{
    struct context *context = *state;
    struct model_credits *credits = NULL;
    const struct model model = model_of(bought);
    answer(context, VERSION, 1.5, .5);
    assert_int_equal(database_run(context->db, "UPDATE attribution_credit SET touch_index = 5 "
                                               "WHERE model = 'linear' AND touch_index = 1"),
        0);
    assert_int_equal(
        model_credits_open(&credits, context->db, &model, 1, &context->answers), ERR_STATE);
    assert_null(credits);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_credits_save_sums_to_each_conversion_and_refund),
        TEST(test_credits_save_again_replaces),
        TEST(test_credits_of_another_version_or_type_are_left_out),
        TEST(test_credits_open_of_damaged_touches_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
