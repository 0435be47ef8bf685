#include "sinks/sqlite/sqlite_sink.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define T0 1780000000000000
#define MODELS 8

static const char *const names[] = {"Email", "LINE", "Direct", "Paid Search", "Store"};
static const char *const currencies[] = {"JPY", "USD", "BHD"};
static const int64_t minor_per_major[] = {1, 100, 1000};

/* What the views must add up to, by currency. */
struct truth {
    int64_t conversions[3];
    int64_t net_minor[3];
    int64_t gross_minor[3];
    int64_t unattributed[3];
    int64_t open_paths;
};

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void add_sale(struct list *list, struct truth *truth, uint64_t *random, uint32_t number)
{
    char id[32];
    char refund_id[40];
    const char *channels[8];
    size_t currency = next_random(random) % 3;
    snprintf(id, sizeof(id), "order-%u", number);
    struct made_conversion sale = {(uint8_t)(1 + next_random(random) % 200), id,
        T0 + (int64_t)(next_random(random) % 1000000), (int64_t)(next_random(random) % 100000),
        currencies[currency], channels, next_random(random) % 6, NULL};
    for (size_t i = 0; i < sale.channels_count; i++)
        channels[i] = names[next_random(random) % 5];
    list_conversion(list, &sale);
    truth->conversions[currency]++;
    truth->net_minor[currency] += sale.revenue_minor;
    truth->gross_minor[currency] += sale.revenue_minor;
    truth->unattributed[currency] += sale.channels_count == 0;
    if (next_random(random) % 4)
        return;
    snprintf(refund_id, sizeof(refund_id), "order-%u#r", number);
    struct made_conversion refund = sale;
    refund.id = refund_id;
    refund.refund_of = id;
    refund.revenue_minor = -(int64_t)(next_random(random) % (uint64_t)(sale.revenue_minor + 1));
    list_conversion(list, &refund);
    truth->net_minor[currency] += refund.revenue_minor;
    truth->unattributed[currency] += sale.channels_count == 0;
}

static void fill(const char *database, struct truth *truth, uint64_t *random)
{
    static struct list list;
    struct sink *sink;
    assert_int_equal(sqlite_sink_open(&sink, database, NULL), 0);
    for (uint32_t i = 0; i < 500; i++)
        add_sale(&list, truth, random, i);
    for (uint8_t i = 1; i < 50; i++) {
        list_profile(&list, i, 3, i % 2 ? "Email" : NULL);
        truth->open_paths += i % 2;
    }
    apply_list(sink, &list, 1);
    sink->close(sink);
    list_free(&list);
}

static int64_t ask_number(const char *database, const char *format, const char *argument)
{
    char sql[1024];
    snprintf(sql, sizeof(sql), "%s", "");
    char *at = sql;
    for (const char *from = format; *from && at < sql + sizeof(sql) - 64; from++) {
        if (*from == '@')
            at += snprintf(at, 32, "'%s'", argument);
        else
            *at++ = *from;
    }
    *at = '\0';
    return strtoll(ask(database, sql), NULL, 10);
}

/* Sales without a touch have no lag, and assist nobody: none of them is in the last two. */
static const char *const net[] = {
    "SELECT sum(net_revenue_minor) FROM v_paths WHERE currency = @",
    "SELECT sum(net_revenue_minor) FROM v_path_length WHERE kind = 'converting' AND currency = @",
    "SELECT round(sum(v.total_conversion_value) * max(u.minor_per_major)) FROM v_export_paths AS v "
    "JOIN currency AS u USING (currency) WHERE currency = @",
    "SELECT round(sum(v.conversion_value) * max(u.minor_per_major)) FROM v_export_touches AS v "
    "JOIN currency AS u USING (currency) WHERE currency = @",
    "SELECT sum(v.net_revenue_minor) + (SELECT coalesce(sum(net_revenue_minor), 0) FROM v_path "
    "WHERE kind = 'converting' AND touches = 0 AND currency = @) FROM v_time_lag AS v "
    "WHERE currency = @",
    "SELECT round(sum(v.last_touch_net_revenue * u.minor_per_major)) + "
    "(SELECT coalesce(sum(net_revenue_minor), 0) FROM v_path WHERE kind = 'converting' AND "
    "touches = 0 AND currency = @) FROM v_assisted AS v JOIN currency AS u USING (currency) "
    "WHERE currency = @",
};

static const char exact[] =
    "WITH c AS (SELECT a.*, o.kind, o.revenue_minor, coalesce(o.refund_of, o.conversion_id) AS of "
    "FROM attribution_credit AS a JOIN conversion AS o USING (person, conversion_id)), "
    "p AS (SELECT person, conversion_id, model, touch_index, CASE WHEN weight_ppb = 1000000000 "
    "THEN 1 WHEN weight_ppb > 500000000 THEN 2 / 3.0 ELSE 1 / 3.0 END AS part FROM c "
    "WHERE kind = 'conversion'), "
    "w AS (SELECT c.model, c.channel, c.currency, sum(p.part * (c.kind = 'conversion')) AS n, "
    "sum(p.part * c.revenue_minor) AS minor FROM c JOIN p ON p.person = c.person AND "
    "p.conversion_id = c.of AND p.model = c.model AND p.touch_index = c.touch_index "
    "GROUP BY 1, 2, 3) "
    "SELECT max(abs(v.credited_conversions - w.n)) < 1e-12 AND "
    "max(abs(v.credited_revenue * u.minor_per_major - w.minor)) < 1e-8 AND count(*) > 100 "
    "FROM v_channel_attribution AS v JOIN w USING (model, channel, currency) "
    "JOIN currency AS u USING (currency)";

static void check_currency(const char *database, const struct truth *truth, size_t i)
{
    const char *currency = currencies[i];
    /* Each model alone gives the whole, to the minor unit, and so do all together. */
    assert_int_equal(
        ask_number(database,
            "SELECT count(*) FROM (SELECT model, "
            "sum(credited_revenue_minor) AS s FROM v_channel_attribution WHERE currency = @ GROUP "
            "BY "
            "model) WHERE s = (SELECT sum(revenue_minor) FROM conversion WHERE currency = @)",
            currency),
        MODELS);
    assert_int_equal(ask_number(database,
                         "SELECT sum(credited_revenue_minor) FROM "
                         "v_channel_attribution WHERE model = 'linear' AND currency = @",
                         currency),
        truth->net_minor[i]);
    assert_int_equal(ask_number(database,
                         "SELECT round(sum(credited_conversions)) FROM "
                         "v_channel_attribution WHERE model = 'first' AND currency = @",
                         currency),
        truth->conversions[i]);
    assert_int_equal(ask_number(database,
                         "SELECT round(sum(linear_conversions)) FROM "
                         "v_model_comparison WHERE currency = @",
                         currency),
        truth->conversions[i]);
    char scale[128];
    snprintf(scale, sizeof(scale),
        "SELECT round(sum(time_decay_revenue) * %lld) FROM "
        "v_model_comparison WHERE currency = @",
        (long long)minor_per_major[i]);
    assert_int_equal(ask_number(database, scale, currency), truth->net_minor[i]);
    assert_int_equal(ask_number(database,
                         "SELECT sum(revenue_minor) FROM v_paths WHERE kind = "
                         "'converting' AND currency = @",
                         currency),
        truth->gross_minor[i]);
    for (size_t k = 0; k < sizeof net / sizeof *net; k++)
        assert_int_equal(ask_number(database, net[k], currency), truth->net_minor[i]);
    /* Unrounded: thirds are thirds, of money too, also where a part of it was refunded. */
    assert_string_equal(ask(database, exact), "1");
    assert_int_equal(ask_number(database,
                         "SELECT sum(paths) FROM v_paths WHERE kind = "
                         "'converting' AND currency = @",
                         currency),
        truth->conversions[i]);
    assert_int_equal(
        ask_number(database, "SELECT count(*) FROM v_unattributed WHERE currency = @", currency),
        truth->unattributed[i]);
    assert_int_equal(ask_number(database,
                         "SELECT sum(conversions) FROM v_time_lag WHERE currency "
                         "= @",
                         currency),
        ask_number(database,
            "SELECT count(*) FROM conversion WHERE kind = "
            "'conversion' AND path_length > 0 AND currency = @",
            currency));
}

static void test_views_reconcile_on_random_sales(void **state)
{
    (void)state;
    const char *given = getenv("TABIJI_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu (TABIJI_SEED)\n", (unsigned long long)seed);
    uint64_t random = seed * 2 + 1;
    for (int round = 0; round < 5; round++) {
        struct scratch scratch;
        struct truth truth = {0};
        scratch_begin(&scratch);
        fill(scratch.database, &truth, &random);
        for (size_t i = 0; i < 3; i++)
            check_currency(scratch.database, &truth, i);
        assert_int_equal(ask_number(scratch.database,
                             "SELECT sum(paths) FROM v_paths WHERE kind "
                             "= 'open'",
                             ""),
            truth.open_paths);
        assert_int_equal(ask_number(scratch.database, "SELECT count(*) FROM v_credit", ""),
            ask_number(scratch.database, "SELECT count(*) FROM attribution_credit", ""));
        scratch_end(&scratch);
    }
}

static void test_views_unattributed_stands_among_the_channels(void **state)
{
    struct scratch scratch;
    struct sink *sink;
    static struct list list;
    (void)state;
    struct made_conversion sale = {1, "order-1", T0, 12345, "USD", NULL, 0, NULL};
    struct made_conversion refund = {1, "order-1#r", T0 + 1, -2345, "USD", NULL, 0, "order-1"};
    scratch_begin(&scratch);
    assert_int_equal(sqlite_sink_open(&sink, scratch.database, NULL), 0);
    list_conversion(&list, &sale);
    list_conversion(&list, &refund);
    apply_list(sink, &list, 1);
    assert_string_equal(ask(scratch.database,
                            "SELECT channel || ' ' || credited_conversions || ' ' || "
                            "credited_revenue_minor || ' ' || "
                            "credited_revenue FROM v_channel_attribution WHERE model = 'position'"),
        "(unattributed) 1.0 10000 100.0");
    assert_string_equal(ask(scratch.database, "SELECT group_concat(kind || revenue) FROM "
                                              "v_unattributed"),
        "conversion123.45,refund-23.45");
    assert_string_equal(ask(scratch.database, "SELECT channels || '|' || paths || revenue FROM "
                                              "v_paths"),
        "|1123.45");
    sink->close(sink);
    scratch_end(&scratch);
    list_free(&list);
}

static void test_views_times_and_keys_are_readable(void **state)
{
    struct scratch scratch;
    struct sink *sink;
    static struct list list;
    (void)state;
    struct made_event made = {0xab, 7, 1780000000999999, 1, "Email", NULL, {0}, 0, 0};
    scratch_begin(&scratch);
    assert_int_equal(sqlite_sink_open(&sink, scratch.database, NULL), 0);
    list_event(&list, &made);
    apply_list(sink, &list, 1);
    assert_string_equal(ask(scratch.database, "SELECT person_id || ' ' || occurred_at_utc || ' ' "
                                              "|| occurred_at_jst FROM v_event"),
        "abababab-abab-abab-abab-abababababab 2026-05-28 20:26:40 2026-05-29 05:26:40");
    assert_string_equal(
        ask(scratch.database,
            "SELECT (SELECT event_key_hex FROM v_event) = "
            "(SELECT event_key_hex FROM v_touch) AND (SELECT length(event_key_hex) FROM v_timeline "
            "WHERE person = x'abababababababababababababababab') = 32"),
        "1");
    sink->close(sink);
    scratch_end(&scratch);
    list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_reconcile_on_random_sales),
        cmocka_unit_test(test_views_unattributed_stands_among_the_channels),
        cmocka_unit_test(test_views_times_and_keys_are_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
