#include "sinks/sqlite/read.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "sinks/sqlite/sqlite_sink.h"

#define T0 1780000000000000

static const char *const channels[] = {"Email", "LINE", "Direct"};

struct context {
    struct scratch scratch;
    struct sink *sink;
    struct reader *reader;
    char text[4096]; /* what callbacks wrote */
};

static void write_text(struct context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void write_text(struct context *context, const char *format, ...)
{
    va_list args;
    size_t size = strlen(context->text);
    va_start(args, format);
    (void)vsnprintf(context->text + size, sizeof(context->text) - size, format, args);
    va_end(args);
}

static void add_events(struct list *list)
{
    for (uint32_t i = 0; i < 10; i++) {
        struct made_event made = {1, i, T0 + i / 3, 1, i % 2 ? "Email" : NULL, NULL, {0}, 0, 0};
        list_event(list, &made);
    }
    struct made_event other = {2, 77, T0, 1, "LINE", NULL, {0}, 0, 0};
    list_event(list, &other);
}

static int set_up(void **state)
{
    static struct list list;
    struct context *context = calloc(1, sizeof(*context));
    scratch_begin(&context->scratch);
    assert_int_equal(sqlite_sink_open(&context->sink, context->scratch.database, NULL), 0);
    struct made_conversion sale = {1, "order-1", T0, 1000, "JPY", channels, 3, NULL};
    struct made_conversion refund = {1, "order-1#r", T0 + 9, -400, "JPY", channels, 3, "order-1"};
    struct made_conversion alone = {2, "order-2", T0, 555, "USD", NULL, 0, NULL};
    add_events(&list);
    list_conversion(&list, &sale);
    list_conversion(&list, &refund);
    list_conversion(&list, &alone);
    list_profile(&list, 1, 10, "Email");
    list_profile(&list, 2, 1, NULL);
    list_session(&list, 1, 9, 3);
    list_identifier(&list, "cookie", "c-1", 1, 1);
    list_identifier(&list, "login", "u-1", 1, 1);
    list_rejected(&list, 3, "bad_json", STR("{\x00\xff"));
    list_rejected(&list, 4, "empty", STR(""));
    list_rejected(&list, 5, "bad_json", STR("["));
    apply_list(context->sink, &list, 1);
    list_free(&list);
    assert_int_equal(reader_open(&context->reader, context->scratch.database), 0);
    *state = context;
    return 0;
}

static int tear_down(void **state)
{
    struct context *context = *state;
    reader_close(&context->reader);
    context->sink->close(context->sink);
    scratch_end(&context->scratch);
    free(context);
    return 0;
}

static int note_identity(void *data, const struct reader_identity *identity)
{
    struct context *context = data;
    write_text(context, "%.*s=%.*s %02x %.*s %lld %lld;", (int)identity->namespace.size,
        identity->namespace.data, (int)identity->value.size, identity->value.data,
        identity->person[0], (int)identity->why.size, identity->why.data,
        (long long)identity->events, (long long)(identity->last_at - identity->first_at));
    return 0;
}

static void test_lookup_known_identifier_tells_person_and_evidence(void **state)
{
    struct context *context = *state;
    assert_int_equal(
        reader_lookup(context->reader, STR("cookie"), STR("c-1"), note_identity, context), 0);
    assert_string_equal(context->text, "cookie=c-1 01 claim 10 3;");
}

static void test_lookup_unknown_or_hostile_is_absent(void **state)
{
    struct context *context = *state;
    static const char *const values[] = {"c-2", "", "' OR 1=1 --", "c-1\n"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(reader_lookup(context->reader, STR("cookie"), str_of(values[i]),
                             note_identity, context),
            READER_ABSENT);
    assert_int_equal(
        reader_lookup(context->reader, STR("login"), STR("c-1"), note_identity, context),
        READER_ABSENT);
    assert_string_equal(context->text, "");
}

static void test_identifiers_lists_all_of_a_person(void **state)
{
    struct context *context = *state;
    uint8_t person[KEY_SIZE];
    fixture_person(1, person);
    assert_int_equal(reader_identifiers(context->reader, person, note_identity, context), 0);
    assert_string_equal(context->text, "cookie=c-1 01 claim 10 3;login=u-1 01 claim 0 0;");
}

static int note_person(void *data, const struct reader_person *person)
{
    write_text(data, "%02x %lld %.*s", person->person[0], (long long)person->events,
        (int)person->net_revenue.size, person->net_revenue.data);
    return 7;
}

static void test_get_person_returns_what_the_callback_returns(void **state)
{
    struct context *context = *state;
    uint8_t person[KEY_SIZE];
    fixture_person(1, person);
    assert_int_equal(reader_get_person(context->reader, person, note_person, context), 7);
    assert_string_equal(context->text, "01 10 {\"JPY\":12980}");
    fixture_person(99, person);
    assert_int_equal(
        reader_get_person(context->reader, person, note_person, context), READER_ABSENT);
}

struct pages {
    struct context *context;
    struct reader_place last;
    int count;
};

static int note_event(void *data, const struct reader_event *event)
{
    struct pages *pages = data;
    pages->last = event->place;
    pages->count++;
    write_text(pages->context, "%lld%.*s%.*s ", (long long)(event->place.occurred_at - T0),
        (int)event->conversion_kind.size, event->conversion_kind.data, (int)event->channel.size,
        event->channel.data);
    return 0;
}

static void test_timeline_pages_meet_and_do_not_overlap(void **state)
{
    struct context *context = *state;
    uint8_t person[KEY_SIZE];
    char whole[4096];
    fixture_person(1, person);
    for (int down = 0; down < 2; down++) {
        struct pages pages = {.context = context};
        struct reader_page page = {.newest_first = down != 0};
        context->text[0] = '\0';
        assert_int_equal(reader_timeline(context->reader, person, &page, note_event, &pages), 0);
        assert_int_equal(pages.count, 10);
        strcpy(whole, context->text);
        context->text[0] = '\0';
        page.limit = 3;
        for (int i = 0; i < 5; i++) {
            assert_int_equal(
                reader_timeline(context->reader, person, &page, note_event, &pages), 0);
            page.after = &pages.last;
        }
        assert_int_equal(pages.count, 20);
        assert_string_equal(context->text, whole);
    }
}

static int note_return(void *data, const struct reader_event *event)
{
    if (event->conversion_id.size)
        write_text(data, "%.*s %lld of %.*s at %lld;", (int)event->conversion_kind.size,
            event->conversion_kind.data, (long long)event->conversion_minor,
            (int)event->refund_of.size, event->refund_of.data,
            (long long)(event->refunded_at ? event->refunded_at - T0 : -1));
    return 0;
}

static void test_timeline_joins_returns_to_their_orders(void **state)
{
    struct context *context = *state;
    uint8_t person[KEY_SIZE];
    sqlite3 *db = NULL;
    fixture_person(1, person);
    /* The fixture's conversions name no event: let two of the person's be theirs. */
    assert_int_equal(sqlite3_open(context->scratch.database, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
            "UPDATE conversion SET event_key = (SELECT event_key FROM v_timeline AS t WHERE "
            "t.person "
            "= conversion.person ORDER BY t.occurred_at, t.event_key LIMIT 1) WHERE conversion_id "
            "= "
            "'order-1'; UPDATE conversion SET event_key = (SELECT event_key FROM v_timeline AS t "
            "WHERE t.person = conversion.person ORDER BY t.occurred_at DESC, t.event_key LIMIT 1) "
            "WHERE refund_of = 'order-1'",
            NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    struct reader_page page = {0};
    assert_int_equal(reader_timeline(context->reader, person, &page, note_return, context), 0);
    assert_string_equal(context->text, "conversion 1000 of  at -1;refund -400 of order-1 at 0;");
}

static int note_rejection(void *data, const struct reader_rejection *rejection)
{
    struct context *context = data;
    write_text(context, "%02x %.*s %lld", rejection->rejected_key[0], (int)rejection->reason.size,
        rejection->reason.data, (long long)rejection->payload_size);
    for (size_t i = 0; i < rejection->payload.size; i++)
        write_text(context, " %02x", (uint8_t)rejection->payload.data[i]);
    write_text(context, ";");
    return 0;
}

static void test_rejected_filters_and_shows_payload_to_the_byte(void **state)
{
    struct context *context = *state;
    struct reader_rejections filter = {0};
    uint8_t key[KEY_SIZE];
    assert_int_equal(reader_rejected(context->reader, &filter, note_rejection, context), 0);
    assert_string_equal(context->text, "05 bad_json 1;04 empty 0;03 bad_json 3;");
    context->text[0] = '\0';
    filter.reason = STR("bad_json");
    filter.limit = 1;
    assert_int_equal(reader_rejected(context->reader, &filter, note_rejection, context), 0);
    assert_string_equal(context->text, "05 bad_json 1;");
    context->text[0] = '\0';
    filter = (struct reader_rejections){.source = STR("other")};
    assert_int_equal(reader_rejected(context->reader, &filter, note_rejection, context), 0);
    assert_string_equal(context->text, "");
    memset(key, 3, KEY_SIZE);
    assert_int_equal(reader_get_rejection(context->reader, key, note_rejection, context), 0);
    assert_string_equal(context->text, "03 bad_json 3 7b 00 ff;");
    memset(key, 9, KEY_SIZE);
    assert_int_equal(
        reader_get_rejection(context->reader, key, note_rejection, context), READER_ABSENT);
}

static int note_credit(void *data, const struct reader_credit *credit)
{
    if (str_equal(credit->model, STR("last")))
        write_text(data, "%.*s %.*s %lld %lld;", (int)credit->currency.size, credit->currency.data,
            (int)credit->channel.size, credit->channel.data, (long long)credit->weight_ppb,
            (long long)credit->revenue_minor);
    return 0;
}

static int note_revenue(void *data, const struct reader_revenue *revenue)
{
    write_text(data, "%.*s %lld %lld;", (int)revenue->currency.size, revenue->currency.data,
        (long long)revenue->gross_minor, (long long)revenue->refunded_minor);
    return 0;
}

static void test_sums_reconcile_and_show_unattributed(void **state)
{
    struct context *context = *state;
    struct reader_totals totals;
    assert_int_equal(reader_channels(context->reader, note_credit, context), 0);
    assert_string_equal(context->text,
        "JPY Direct 666666667 400;JPY Email 333333333 200;USD (unattributed) 1000000000 555;");
    context->text[0] = '\0';
    assert_int_equal(reader_revenue(context->reader, note_revenue, context), 0);
    assert_string_equal(context->text, "JPY 1000 -400;USD 555 0;");
    assert_int_equal(reader_get_totals(context->reader, &totals), 0);
    assert_int_equal(totals.events, 11);
    assert_int_equal(totals.touches, 6);
    assert_int_equal(totals.persons, 2);
    assert_int_equal(totals.identifiers, 2);
    assert_int_equal(totals.sessions, 1);
    assert_int_equal(totals.conversions, 2);
    assert_int_equal(totals.refunds, 1);
    assert_int_equal(totals.unattributed, 1);
    assert_int_equal(totals.open_paths, 1);
    assert_int_equal(totals.rejected, 3);
    assert_int_equal(totals.set_aside, 0);
}

static void test_telling_person_is_deterministic(void **state)
{
    struct context *context = *state;
    uint8_t person[KEY_SIZE];
    assert_int_equal(reader_telling_person(context->reader, person), 0);
    assert_int_equal(person[0], 1);
}

static void test_open_without_database_is_not_found(void **state)
{
    struct context *context = *state;
    struct reader *reader = NULL;
    assert_int_equal(reader_open(&reader, "/nonexistent/tabiji.db"), ERR_NOT_FOUND);
    assert_null(reader);
    (void)context;
}

static void test_timeline_reads_while_a_transaction_is_open(void **state)
{
    struct context *context = *state;
    static struct list list;
    uint8_t person[KEY_SIZE];
    struct pages pages = {.context = context};
    struct reader_page page = {0};
    fixture_person(1, person);
    struct made_event made = {1, 500, T0 + 100, 1, NULL, NULL, {0}, 0, 0};
    list_event(&list, &made);
    struct result_batch batch = {list.results, 1, NULL, 0, false};
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    assert_int_equal(reader_timeline(context->reader, person, &page, note_event, &pages), 0);
    assert_int_equal(pages.count, 10);
    assert_int_equal(context->sink->commit(context->sink), 0);
    assert_int_equal(reader_timeline(context->reader, person, &page, note_event, &pages), 0);
    assert_int_equal(pages.count, 21);
    list_free(&list);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_lookup_known_identifier_tells_person_and_evidence),
        TEST(test_lookup_unknown_or_hostile_is_absent),
        TEST(test_identifiers_lists_all_of_a_person),
        TEST(test_get_person_returns_what_the_callback_returns),
        TEST(test_timeline_pages_meet_and_do_not_overlap),
        TEST(test_timeline_joins_returns_to_their_orders),
        TEST(test_rejected_filters_and_shows_payload_to_the_byte),
        TEST(test_sums_reconcile_and_show_unattributed),
        TEST(test_telling_person_is_deterministic),
        TEST(test_open_without_database_is_not_found),
        TEST(test_timeline_reads_while_a_transaction_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
