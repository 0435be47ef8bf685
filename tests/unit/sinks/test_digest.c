#include "sinks/sqlite/digest.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/sqlite_sink.h"

#define T0 1780000000000000
#define EVENTS 300

static const char *const channels[] = {"Email", "LINE", "Direct"};

/* A small world; arrival shifts everything that tells of the arrival only. */
static void fill(struct list *list, int64_t arrival)
{
    for (uint32_t i = 0; i < EVENTS; i++) {
        struct made_event made = {(uint8_t)(1 + i % 7), i, T0 + i, 1 + arrival,
            i % 3 ? NULL : "Email", NULL, STR("{\"a\":1}"), T0 + arrival, (int64_t)i + arrival};
        list_event(list, &made);
    }
    for (uint8_t i = 1; i < 8; i++) {
        struct made_conversion sale = {i, "order-1", T0, 1000 + i, "JPY", channels, i % 4u, NULL};
        list_conversion(list, &sale);
        list_profile(list, i, 3, "Email");
        list_session(list, i, 1, 4);
        list_identifier(list, "cookie", (const char[]){(char)('a' + i), '\0'}, i, 1 + arrival);
        list_rejected(list, i, "bad_json", STR("{\xff"));
    }
    struct made_event spent = {1, EVENTS, T0, 1 + arrival, "LINE", NULL, {0}, T0 + arrival, 0};
    struct touchpoint report;
    touchpoint_init(&report);
    fixture_event_key(spent.event, report.event_key);
    report.occurred_at = T0;
    report.type = STR("spend_reported");
    report.source = STR("ads");
    report.has_order = true;
    report.order.revenue_minor = 900;
    report.order.currency = STR("JPY");
    list_touchpoint(list, &spent, &report);
    /* Two partitions have counted it, or one has: the same. */
    const struct made_count count = {"markov", MODEL_KIND_MARKOV, 2, "JPY", "", "A", 2, 10};
    const struct made_count half = {"markov", MODEL_KIND_MARKOV, 0, "JPY", "", "A", 1, 5};
    const struct made_count other = {"markov", MODEL_KIND_MARKOV, 1, "JPY", "", "A", 1, 5};
    list_count(list, arrival ? &half : &count);
    if (arrival)
        list_count(list, &other);
}

static void make(struct scratch *scratch, struct list *list, bool backwards, size_t batches)
{
    struct sink *sink;
    assert_int_equal(sqlite_sink_open(&sink, scratch->database, NULL), 0);
    struct result *turned = calloc(list->count, sizeof(*turned));
    for (size_t i = 0; i < list->count; i++)
        turned[i] = list->results[backwards ? list->count - 1 - i : i];
    for (size_t i = 0; i < list->count; i += list->count / batches) {
        size_t count = list->count / batches;
        count = i + count > list->count ? list->count - i : count;
        struct result_batch batch = {&turned[i], count, NULL, 0, false};
        assert_int_equal(sink->apply(sink, &batch), 0);
        assert_int_equal(sink->commit(sink), 0);
    }
    free(turned);
    sink->close(sink);
}

static struct digest digest_of(struct scratch *scratch)
{
    sqlite3 *db = NULL;
    struct digest digest;
    assert_int_equal(database_open_reader(&db, scratch->database), 0);
    assert_int_equal(digest_make(db, &digest), 0);
    database_close(&db);
    return digest;
}

static char *dump_of(struct scratch *scratch, const char *table)
{
    sqlite3 *db = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(database_open_reader(&db, scratch->database), 0);
    assert_int_equal(digest_dump(db, table, out), 0);
    database_close(&db);
    fclose(out);
    return text;
}

static void test_make_order_batches_and_arrival_do_not_matter(void **state)
{
    static struct list list;
    static struct list later;
    struct scratch a;
    struct scratch b;
    (void)state;
    fill(&list, 0);
    fill(&later, 77);
    scratch_begin(&a);
    make(&a, &list, false, 1);
    struct digest first = digest_of(&a);
    char *first_dump = dump_of(&a, NULL);
    for (int i = 0; i < 4; i++) {
        scratch_begin(&b);
        make(&b, i & 1 ? &later : &list, true, i & 2 ? 17 : 1);
        struct digest second = digest_of(&b);
        char *second_dump = dump_of(&b, NULL);
        assert_string_equal(first_dump, second_dump);
        assert_memory_equal(first.sha256, second.sha256, DIGEST_SIZE);
        free(second_dump);
        scratch_end(&b);
    }
    free(first_dump);
    scratch_end(&a);
    list_free(&list);
    list_free(&later);
}

static void test_make_any_fact_changes_its_table_and_the_whole(void **state)
{
    static const char *const changes[][2] = {
        {"event", "UPDATE event SET page_path = 'x' WHERE event_row = 5"},
        {"touch", "DELETE FROM touch WHERE event_key = (SELECT min(event_key) FROM touch)"},
        {"person", "UPDATE person SET events = events + 1"},
        {"identifier", "UPDATE identifier SET why = 'self'"},
        {"session", "UPDATE session SET events = 9"},
        {"conversion", "UPDATE conversion SET revenue_minor = 1"},
        {"attribution_credit", "UPDATE attribution_credit SET weight_ppb = weight_ppb + 1"},
        {"attribution_credit", "UPDATE attribution_credit SET revenue_rest = revenue_rest + 0.25"},
        {"model_transition", "UPDATE model_transition SET paths = paths + 1"},
        {"path", "UPDATE path SET channels = channels || ' '"},
        {"rejected", "UPDATE rejected SET payload = x'00'"},
        {"spend", "UPDATE spend SET cost_minor = 901"},
    };
    static struct list list;
    (void)state;
    fill(&list, 0);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct scratch scratch;
        sqlite3 *db = NULL;
        scratch_begin(&scratch);
        make(&scratch, &list, false, 1);
        struct digest before = digest_of(&scratch);
        assert_int_equal(database_open(&db, scratch.database, NULL), 0);
        assert_int_equal(database_run(db, changes[i][1]), 0);
        assert_true(sqlite3_changes(db) > 0);
        database_close(&db);
        struct digest after = digest_of(&scratch);
        assert_memory_not_equal(before.sha256, after.sha256, DIGEST_SIZE);
        for (size_t t = 0; t < after.tables_count; t++) {
            bool same = memcmp(before.tables[t].sha256, after.tables[t].sha256, DIGEST_SIZE) == 0;
            assert_int_equal(same, strcmp(after.tables[t].name, changes[i][0]) != 0);
        }
        scratch_end(&scratch);
    }
    list_free(&list);
}

static void test_make_knows_every_table_that_is_no_matter_of_arrival(void **state)
{
    struct scratch scratch;
    static struct list list;
    char names[512] = "";
    (void)state;
    fill(&list, 0);
    scratch_begin(&scratch);
    make(&scratch, &list, false, 1);
    struct digest digest = digest_of(&scratch);
    for (size_t i = 0; i < digest.tables_count; i++) {
        strcat(names, digest.tables[i].name);
        strcat(names, " ");
        assert_true(digest.tables[i].rows > 0);
    }
    assert_string_equal(
        names, ask(scratch.database,
                   "SELECT group_concat(table_name || ' ', '') FROM (SELECT table_name "
                   "FROM data_dictionary WHERE column_name = '' AND arrival_only = 0 "
                   "AND table_name IN (SELECT name FROM sqlite_schema WHERE type = 'table') "
                   "ORDER BY 1)"));
    scratch_end(&scratch);
    list_free(&list);
}

static void test_dump_one_table_spells_keys_and_hostile_text(void **state)
{
    struct scratch scratch;
    static struct list list;
    sqlite3 *db = NULL;
    (void)state;
    list_rejected(&list, 0xab, "a\"b\n\x1b", STR("{\xff"));
    list_rejected(&list, 0xac, "a\xff", STR(""));
    scratch_begin(&scratch);
    make(&scratch, &list, true, 1);
    char *dump = dump_of(&scratch, "rejected");
    assert_string_equal(dump,
        "{\"table\":\"rejected\",\"rejected_key\":\"abababababababababababababababab\","
        "\"source\":\"ec-web\",\"stage\":\"native\",\"reason\":\"a\\\"b\\n\\u001b\","
        "\"payload\":\"7bff\"}\n"
        "{\"table\":\"rejected\",\"rejected_key\":\"acacacacacacacacacacacacacacacac\","
        "\"source\":\"ec-web\",\"stage\":\"native\",\"reason\":{\"hex\":\"61ff\"},"
        "\"payload\":\"\"}\n");
    free(dump);
    assert_int_equal(database_open_reader(&db, scratch.database), 0);
    assert_int_equal(digest_dump(db, "meta", stdout), ERR_NOT_FOUND);
    assert_int_equal(digest_dump(db, "event; DROP TABLE event", stdout), ERR_NOT_FOUND);
    database_close(&db);
    scratch_end(&scratch);
    list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make_order_batches_and_arrival_do_not_matter),
        cmocka_unit_test(test_make_any_fact_changes_its_table_and_the_whole),
        cmocka_unit_test(test_make_knows_every_table_that_is_no_matter_of_arrival),
        cmocka_unit_test(test_dump_one_table_spells_keys_and_hostile_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
