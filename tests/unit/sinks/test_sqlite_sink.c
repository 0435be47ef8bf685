#include "sinks/sqlite/sqlite_sink.h"
#include "tests/unit/sinks/fixture.h" /* before cmocka.h, which defines skip() */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "schemas/person_of.avro.h"
#include "schemas/error.h"

#define T0 1780000000000000

/* The rows of event, touch and timeline, one line each: what must agree after any order. */
#define EVENTS                                                                                     \
    "SELECT group_concat(line, ';') FROM (SELECT hex(e.event_key) || ' ' || "                      \
    "substr(hex(e.person), 1, 2) || ' ' || e.occurred_at || ' ' || coalesce(e.touch, '-') "        \
    "|| ' ' || e.placement || ' ' || coalesce((SELECT substr(hex(person), 1, 2) || channel "       \
    "FROM touch t WHERE t.event_key = e.event_key), '-') || ' ' || "                               \
    "(SELECT count(*) FROM timeline l WHERE l.person = e.person AND l.occurred_at = "              \
    "e.occurred_at AND l.sequence = e.sequence AND l.event_row = e.event_row) AS line "            \
    "FROM event e ORDER BY e.event_key)"
#define P2 "02020202020202020202020202020202"
#define LISTED "SELECT count(*) FROM timeline"

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
    if (context->sink)
        context->sink->close(context->sink);
    list_free(&context->list);
    scratch_end(&context->scratch);
    free(context);
    return 0;
}

static void flush(struct context *context)
{
    apply_list(context->sink, &context->list, 1);
    list_free(&context->list);
}

static void assert_answer(struct context *context, const char *sql, const char *expected)
{
    assert_string_equal(ask(context->scratch.database, sql), expected);
}

static void test_apply_same_event_twice_is_one_row(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    list_event(&context->list, &made);
    list_event(&context->list, &made);
    flush(context);
    list_event(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "1");
    assert_answer(context, "SELECT count(*) FROM touch", "1");
    assert_answer(context, LISTED, "1");
}

static void test_apply_changed_event_replaces_row_and_touch(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    list_event(&context->list, &made);
    flush(context);
    made.channel = "LINE";
    list_event(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT channel FROM touch", "LINE");
    made.channel = NULL;
    list_event(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM touch", "0");
    assert_answer(context, "SELECT count(*) || ' ' || coalesce(touch, '-') FROM event", "1 -");
    made.channel = "Email";
    list_event(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT channel FROM touch", "Email");
}

static void test_apply_lower_placement_is_dropped(void **state)
{
    struct context *context = *state;
    struct made_event high = {2, 7, T0, 5, "Email", NULL, {0}, 0, 0};
    struct made_event low = {1, 7, T0, 4, "LINE", NULL, {0}, 0, 0};
    list_event(&context->list, &high);
    flush(context);
    list_event(&context->list, &low);
    flush(context);
    assert_answer(context, "SELECT hex(person) FROM event", "02020202020202020202020202020202");
    assert_answer(context, "SELECT channel FROM touch", "Email");
    assert_answer(context, "SELECT hex(person) FROM timeline", "02020202020202020202020202020202");
}

/* Links of one event: pairs, with the time that stands there. */
#define LINKS                                                                                      \
    "SELECT count(*) || ' ' || count(DISTINCT hex(stronger)) || ' ' || coalesce(max(occurred_at)," \
    " 0) FROM event_link"

static void put_identified(struct context *context, const struct made_event *made,
    const struct touchpoint *event, const char *links)
{
    list_touchpoint(&context->list, made, event);
    flush(context);
    assert_answer(context, LINKS, links);
}

static void test_apply_changed_event_its_links_follow(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, 1000, 1, NULL, NULL, {0}, 0, 0};
    struct identifier identifiers[] = {{.namespace = STR("login"), .value = STR("l1")},
        {.namespace = STR("email"), .value = STR("e1")},
        {.namespace = STR("cookie"), .value = STR("c1")}};
    struct touchpoint event;
    touchpoint_init(&event);
    fixture_event_key(made.event, event.event_key);
    event.occurred_at = 1000;
    event.type = STR("page_viewed");
    event.identifiers = identifiers;
    event.identifiers_count = 3;
    put_identified(context, &made, &event, "3 2 1000");
    made.channel = "Email"; /* the same pairs */
    put_identified(context, &made, &event, "3 2 1000");
    event.identifiers_count = 2;
    put_identified(context, &made, &event, "1 1 1000");
    made.occurred_at = event.occurred_at = 2000;
    made.placement = 2;
    put_identified(context, &made, &event, "1 1 2000");
    event.has_evidence = true;
    event.evidence.sign = 1;
    event.evidence.a_namespace = event.evidence.b_namespace = STR("login");
    event.evidence.a_value = STR("l1");
    event.evidence.b_value = STR("l2");
    put_identified(context, &made, &event, "2 2 2000");
    event.has_evidence = false;
    put_identified(context, &made, &event, "1 1 2000");
    list_event_gone(&context->list, &made);
    flush(context);
    assert_answer(context, LINKS, "0 0 0");
}

#define SPENT                                                                                      \
    "SELECT coalesce(group_concat(channel || ' ' || campaign || ' ' || day || ' ' || cost_minor "  \
    "|| ' ' || reports, '; '), 'none') FROM spend"

static void report(struct context *context, const struct made_event *made, const char *campaign,
    int64_t cost, const char *spent)
{
    struct touchpoint event;
    touchpoint_init(&event);
    fixture_event_key(made->event, event.event_key);
    event.occurred_at = made->occurred_at;
    event.received_at = 100 + made->event;
    event.type = STR("spend_reported");
    event.source = STR("ads");
    event.has_order = true;
    event.order.revenue_minor = cost;
    event.order.currency = STR("JPY");
    event.has_campaign = campaign != NULL;
    if (campaign)
        event.campaign.name = str_of(campaign);
    list_touchpoint(&context->list, made, &event);
    flush(context);
    assert_answer(context, SPENT, spent);
}

static void test_apply_reports_of_spend_the_latest_stands(void **state)
{
    struct context *context = *state;
    struct made_event first = {1, 7, 0, 1, "LINE", NULL, {0}, 0, 0};
    struct made_event second = {1, 8, 86399999999, 1, "LINE", NULL, {0}, 0, 0};
    struct made_event other = {1, 9, 86400000000, 1, "LINE", NULL, {0}, 0, 0};
    report(context, &second, NULL, 20, "LINE  1970-01-01 20 1");
    report(context, &first, NULL, 10, "LINE  1970-01-01 20 2");
    report(context, &other, NULL, 5, "LINE  1970-01-01 20 2; LINE  1970-01-02 5 1");
    second.placement = 2;
    report(context, &second, "spring", 21,
        "LINE  1970-01-01 10 1; LINE  1970-01-02 5 1; LINE spring 1970-01-01 21 1");
    second.channel = "Email";
    report(context, &second, NULL, 22,
        "Email  1970-01-01 22 1; LINE  1970-01-01 10 1; LINE  1970-01-02 5 1");
    second.channel = "LINE";
    report(context, &second, NULL, 23, "LINE  1970-01-01 23 2; LINE  1970-01-02 5 1");
    list_event_gone(&context->list, &second);
    flush(context);
    assert_answer(context, SPENT, "LINE  1970-01-01 10 1; LINE  1970-01-02 5 1");
    list_event_gone(&context->list, &first);
    list_event_gone(&context->list, &other);
    flush(context);
    assert_answer(context, SPENT, "none");
}

static void test_apply_tombstone_of_another_person_leaves_row(void **state)
{
    struct context *context = *state;
    struct made_event made = {2, 7, T0, 5, "Email", NULL, {0}, 0, 0};
    struct made_event other = made;
    other.person = 1;
    list_event(&context->list, &made);
    list_event_gone(&context->list, &other);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "1");
    list_event_gone(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "0");
    assert_answer(context, "SELECT count(*) FROM touch", "0");
    assert_answer(context, LISTED, "0");
}

/* Person 1 loses the event to person 2, whose time for it is another one. */
static void move_in_order(struct context *context, bool value_first, bool one_batch)
{
    struct made_event old = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    struct made_event new = {2, 7, T0 + 5, 2, "Email", NULL, {0}, 0, 0};
    list_event(&context->list, &old);
    if (!one_batch)
        flush(context);
    if (value_first)
        list_event(&context->list, &new);
    else
        list_event_gone(&context->list, &old);
    if (!one_batch)
        flush(context);
    if (value_first)
        list_event_gone(&context->list, &old);
    else
        list_event(&context->list, &new);
    flush(context);
}

static void test_apply_move_in_any_order_gives_same_rows(void **state)
{
    struct context *context = *state;
    char expected[256] = "";
    for (int i = 0; i < 4; i++) {
        struct made_event gone = {2, 7, T0 + 5, 2, NULL, NULL, {0}, 0, 0};
        move_in_order(context, i & 1, i & 2);
        const char *rows = ask(context->scratch.database, EVENTS);
        if (i == 0)
            snprintf(expected, sizeof(expected), "%s", rows);
        assert_non_null(strstr(rows, " 02 1780000000000005 click 2 02Email 1"));
        assert_string_equal(rows, expected);
        assert_answer(context, LISTED, "1");
        list_event_gone(&context->list, &gone);
        flush(context);
        assert_answer(context, LISTED, "0");
    }
}

static void test_apply_move_there_and_back_with_late_news_settles(void **state)
{
    struct context *context = *state;
    struct made_event first = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    struct made_event second = {2, 7, T0, 2, "Email", NULL, {0}, 0, 0};
    struct made_event third = {1, 7, T0, 3, "Email", NULL, {0}, 0, 0};
    /* All that person 2's partition says, then all that person 1's does. */
    list_event(&context->list, &second);
    list_event_gone(&context->list, &second);
    flush(context);
    list_event(&context->list, &first);
    list_event_gone(&context->list, &first);
    list_event(&context->list, &third);
    flush(context);
    const char *rows = ask(context->scratch.database, EVENTS);
    assert_non_null(strstr(rows, " 01 1780000000000000 click 3 01Email 1"));
    assert_answer(context, LISTED, "1");
}

/* The tombstone comes first, as those of a lower person do, and waits: what stands is moved. */
static void test_apply_move_in_one_batch_keeps_links_touch_and_row(void **state)
{
    struct context *context = *state;
    struct made_event old = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    struct made_event new = {2, 7, T0 + 5, 2, "Email", NULL, {0}, 0, 0};
    struct made_event newest = {3, 7, T0 + 5, 3, NULL, NULL, {0}, 0, 0};
    list_event(&context->list, &old);
    list_event(&context->list, &(struct made_event){1, 8, T0, 1, NULL, NULL, {0}, 0, 0});
    flush(context);
    list_event_gone(&context->list, &old);
    list_event(&context->list, &new);
    flush(context);
    assert_answer(context, "SELECT event_row FROM event WHERE person = x'" P2 "'", "1");
    assert_answer(context, LINKS, "2 1 1780000000000005");
    list_event_gone(&context->list, &new);
    list_event(&context->list, &newest); /* gathered, then another time, then gone */
    list_event_gone(&context->list, &newest);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "1");
    assert_answer(context, LINKS, "1 1 1780000000000000");
    assert_answer(context, LISTED, "1");
    assert_answer(context, "SELECT count(*) FROM touch", "0");
}

static const char *const channels[] = {"Email", "LINE", "Direct"};

static void test_apply_conversion_replaces_its_credits_and_path(void **state)
{
    struct context *context = *state;
    struct made_conversion made = {1, "order-1", T0, 1000, "JPY", channels, 3, NULL};
    list_conversion(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM attribution_credit", "16");
    assert_answer(context, "SELECT channels FROM path", "Email > LINE > Direct");
    made.channels_count = 1;
    list_conversion(&context->list, &made);
    flush(context);
    assert_answer(context,
        "SELECT count(*) || ' ' || min(channel) || ' ' || max(channel) "
        "FROM attribution_credit",
        "8 Email Email");
    assert_answer(context, "SELECT group_concat(channels) FROM path", "Email");
    assert_answer(context, "SELECT path_length FROM conversion", "1");
    made.channels_count = 0;
    list_conversion(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT DISTINCT channel FROM attribution_credit", "(unattributed)");
    assert_answer(context, "SELECT conversion_id FROM v_unattributed", "order-1");
    list_conversion_gone(&context->list, 1, "order-1");
    flush(context);
    assert_answer(context,
        "SELECT (SELECT count(*) FROM conversion) + (SELECT count(*) FROM "
        "attribution_credit) + (SELECT count(*) FROM path)",
        "0");
}

static void test_apply_conversion_unchanged_writes_nothing(void **state)
{
    struct context *context = *state;
    struct made_conversion made = {1, "order-1", T0, 1000, "JPY", channels, 3, NULL};
    list_conversion(&context->list, &made);
    flush(context);
    ask(context->scratch.database, "SELECT 1");
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(context->scratch.database, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE attribution_credit SET channel = 'marked'", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    list_conversion(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT DISTINCT channel FROM attribution_credit", "marked");
}

static void test_apply_conversion_of_long_id_is_found_by_its_hash(void **state)
{
    struct context *context = *state;
    char id[300];
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    struct made_conversion made = {1, id, T0, 1000, "JPY", channels, 3, NULL};
    list_conversion(&context->list, &made);
    made.id = "0123456789abcdef"; /* as long as a hash is */
    list_conversion(&context->list, &made);
    flush(context);
    list_conversion_gone(&context->list, 1, id);
    flush(context);
    assert_answer(
        context, "SELECT group_concat(conversion_id) FROM conversion", "0123456789abcdef");
    list_conversion_gone(&context->list, 1, "0123456789abcdef");
    flush(context);
    assert_answer(context, "SELECT count(*) FROM conversion", "0");
}

static void test_apply_profile_keeps_one_open_path(void **state)
{
    struct context *context = *state;
    list_profile(&context->list, 1, 3, "Email");
    flush(context);
    assert_answer(context, "SELECT kind || ' ' || channels || ' ' || touches FROM path",
        "open Email > Email 2");
    assert_answer(context,
        "SELECT events || ' ' || net_revenue_minor || net_revenue_by_currency "
        "FROM person",
        "3 12980{\"JPY\":12980}");
    list_profile(&context->list, 1, 4, "LINE");
    flush(context);
    assert_answer(context, "SELECT group_concat(channels) FROM path", "LINE > LINE");
    list_profile(&context->list, 1, 5, NULL);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM path", "0");
    list_profile_gone(&context->list, 1);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM person", "0");
}

static void test_apply_session_and_identifier_follow_their_keys(void **state)
{
    struct context *context = *state;
    list_session(&context->list, 1, 9, 3);
    list_session(&context->list, 2, 9, 1);
    list_identifier(&context->list, "cookie", "c-1", 2, 4);
    list_identifier(&context->list, "cookie", "c-1", 1, 3);
    flush(context);
    list_session_gone(&context->list, 1, 9);
    flush(context);
    assert_answer(
        context, "SELECT group_concat(substr(hex(person), 1, 2) || events) FROM session", "021");
    assert_answer(context,
        "SELECT group_concat(substr(person_id, 1, 2) || value) FROM "
        "v_identifier",
        "02c-1");
}

static void test_apply_hostile_text_is_stored_to_the_byte(void **state)
{
    struct context *context = *state;
    static const char nasty[] =
        "'); DROP TABLE event;--\"\\\n\r\t\x1b[31m<script>alert(1)</script>=cmd()\xe6\x97\x85";
    static const char payload[] = "\x00\xff\xfe{\"a\":'\n\x1b]0;x\x07 \xc3\x28 end";
    struct made_event made = {1, 7, T0, 1, NULL, NULL, {0}, 0, 0};
    struct touchpoint event;
    struct identifier identifier = {STR("cookie"), STR("a\"b\\c\x01"), 0};
    touchpoint_init(&event);
    fixture_event_key(7, event.event_key);
    event.occurred_at = T0;
    event.event_id = str_of(nasty);
    event.source = STR("ec-web");
    event.type = STR("page_viewed");
    event.identifiers = &identifier;
    event.identifiers_count = 1;
    event.has_page = true;
    page_init(&event.page);
    event.page.title = str_of(nasty);
    event.page.path = str_of(nasty);
    list_touchpoint(&context->list, &made, &event);
    list_rejected(&context->list, 3, "bad_json", str_make(payload, sizeof(payload)));
    flush(context);
    assert_answer(context, "SELECT event_id FROM event", nasty);
    assert_answer(context, "SELECT page_path FROM event", nasty);
    assert_answer(context, "SELECT detail ->> '$.page.title' FROM event", nasty);
    assert_answer(context, "SELECT identifiers ->> '$.cookie' FROM event", "a\"b\\c\x01");
    char expected[128];
    hex_encode(payload, sizeof(payload), expected);
    expected[2 * sizeof(payload)] = '\0';
    assert_answer(context, "SELECT lower(hex(payload)) FROM rejected", expected);
}

/* Which of the numbers 0..count-1 comes at place i of the n-th order of them. */
static void nth_order(unsigned n, size_t count, size_t *order)
{
    size_t left[8];
    for (size_t i = 0; i < count; i++)
        left[i] = i;
    for (size_t i = 0; i < count; i++) {
        size_t at = n % (count - i);
        n /= (unsigned)(count - i);
        order[i] = left[at];
        left[at] = left[count - i - 1];
    }
}

/* Every subset of a rejection's records in every order: what stands is the highest attempt that is
 * not settled. */
static void test_apply_rejections_in_any_order_give_the_same_rows(void **state)
{
    struct context *context = *state;
    static const struct {
        uint32_t attempt;
        bool settled;
        const char *reason;
    } all[] = {
        {0, false, "zero"}, {0, true, ""}, {1, false, "one"}, {1, true, ""}, {2, false, "two"}};
    const size_t count = sizeof all / sizeof *all;
    uint8_t key = 0;
    for (unsigned set = 1; set < 1u << count; set++) {
        const char *expected = "-";
        int settled = set & 8 ? 2 : set & 2 ? 1 : 0;
        for (size_t i = 0; i < count; i++)
            if (set & 1u << i && !all[i].settled && (int)all[i].attempt >= settled)
                expected = all[i].reason;
        for (unsigned n = 0; n < 120; n += 7) {
            size_t order[5];
            char sql[160];
            nth_order(n, count, order);
            key++;
            for (size_t i = 0; i < count; i++)
                if (set & 1u << order[i])
                    list_again(&context->list, key, all[order[i]].reason, all[order[i]].attempt,
                        all[order[i]].settled);
            flush(context);
            (void)snprintf(sql, sizeof sql,
                "SELECT coalesce((SELECT reason FROM rejected WHERE hex(rejected_key) LIKE "
                "'%02X%02X%%'), '-')",
                key, key);
            assert_answer(context, sql, expected);
            if (key == 255) { /* keys begin again in an empty file */
                key = 0;
                context->sink->close(context->sink);
                scratch_end(&context->scratch);
                scratch_begin(&context->scratch);
                assert_int_equal(
                    sqlite_sink_open(&context->sink, context->scratch.database, NULL), 0);
            }
        }
    }
}

static void test_apply_unreadable_result_is_set_aside_alone(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, NULL, NULL, {0}, 0, 0};
    struct buf noise = {0};
    uint8_t key[48] = {1};
    assert_int_equal(buf_append(&noise, "\xff\xff\xff", 3), 0);
    list_add(&context->list, TOPIC_TOUCHPOINTS, str_make(key, sizeof(key)), &noise);
    list_add(&context->list, TOPIC_TOUCHPOINTS, str_make(key, 5), &noise);
    list_add(&context->list, TOPIC_SESSIONS, str_make(key, 32), &noise);
    list_add(&context->list, TOPIC_CONVERSIONS, str_make(key, 20), &noise);
    list_add(&context->list, TOPIC_PROFILES, str_make(key, 16), &noise);
    list_add(&context->list, TOPIC_PERSONS, str_make(key, 16), &noise);
    list_add(&context->list, TOPIC_REJECTED, str_make(key, 16), &noise);
    list_event(&context->list, &made);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "1");
    assert_answer(context, "SELECT count(*) || min(reason) FROM sink_rejected", "7bad_avro");
    assert_int_equal(context->sink->rejected_count, 7);
    buf_free(&noise);
}

/* How many events were refused after an erasure is no identifier, and counts on. */
static void test_apply_refused_count_is_a_row_of_its_own(void **state)
{
    struct context *context = *state;
    const int64_t counts[] = {0, 5, 5};
    for (size_t i = 0; i < 3; i++) {
        struct person_of of;
        struct buf bytes = {0};
        uint8_t key[KEY_SIZE + 1] = {4, 1};
        person_of_init(&of);
        memcpy(of.node, key, KEY_SIZE);
        of.namespace = STR("email");
        of.epoch = counts[i];
        of.has_erased_at = i > 0;
        of.erased_at = 100;
        of.lifted_at = i > 1 ? 200 : 0;
        of.why = STR("refused");
        assert_int_equal(person_of_encode(&of, &bytes), 0);
        list_add(&context->list, TOPIC_PERSONS, str_make(key, sizeof(key)), &bytes);
        buf_free(&bytes);
        flush(context);
    }
    assert_answer(context, "SELECT namespace || events FROM erasure_refused", "email5");
    assert_answer(context,
        "SELECT namespace || ' ' || erased_at || ' ' || lifted_at FROM erasure_suppressed",
        "email 100 200");
    assert_answer(context, "SELECT count(*) FROM identifier", "0");
    assert_int_equal(context->sink->refused_count, 5);
}

static void test_apply_good_result_takes_back_what_was_set_aside(void **state)
{
    struct context *context = *state;
    struct buf noise = {0};
    assert_int_equal(buf_append(&noise, "\xff", 1), 0);
    list_session(&context->list, 1, 9, 3);
    struct str key = context->list.results[0].key;
    context->list.count = 0;
    list_add(&context->list, TOPIC_SESSIONS, key, &noise);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM sink_rejected", "1");
    context->sink->close(context->sink);
    assert_int_equal(sqlite_sink_open(&context->sink, context->scratch.database, NULL), 0);
    list_session(&context->list, 1, 9, 3);
    flush(context);
    assert_answer(context, "SELECT count(*) FROM sink_rejected", "0");
    assert_answer(context, "SELECT count(*) FROM session", "1");
    buf_free(&noise);
}

static void test_apply_key_and_value_of_two_persons_is_set_aside(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, NULL, NULL, {0}, 0, 0};
    list_event(&context->list, &made);
    char key[48];
    memcpy(key, context->list.results[0].key.data, sizeof(key));
    key[0] = 2;
    context->list.results[0].key.data = key;
    flush(context);
    assert_answer(context, "SELECT count(*) FROM event", "0");
    assert_answer(context, "SELECT reason FROM sink_rejected", "bad_avro");
}

static void test_commit_stores_positions_with_rows(void **state)
{
    struct context *context = *state;
    struct result_position two[] = {{"tabiji.touchpoints.v1", 3, 77}, {"local", 0, 5}};
    struct result_batch batch = {NULL, 0, two, 2};
    const struct result_position *stored;
    size_t count;
    assert_int_equal(context->sink->positions(context->sink, &stored, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    two[1].next = 6;
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    assert_int_equal(context->sink->commit(context->sink), 0);
    context->sink->close(context->sink);
    assert_int_equal(sqlite_sink_open(&context->sink, context->scratch.database, NULL), 0);
    assert_int_equal(context->sink->positions(context->sink, &stored, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(stored[0].topic, "local");
    assert_int_equal(stored[0].next, 6);
    assert_string_equal(stored[1].topic, "tabiji.touchpoints.v1");
    assert_int_equal(stored[1].partition, 3);
    assert_int_equal(stored[1].next, 77);
}

static void test_apply_batch_that_begins_anew_drops_what_stood(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, "Email", NULL, {0}, 0, 0};
    struct made_conversion sale = {1, "order-1", T0, 1000, "JPY", channels, 3, NULL};
    list_event(&context->list, &made);
    list_conversion(&context->list, &sale);
    list_profile(&context->list, 1, 3, "Email");
    list_identifier(&context->list, "cookie", "c-1", 2, 4);
    list_session(&context->list, 1, 9, 3);
    list_rejected(&context->list, 3, "bad_json", STR("x"));
    flush(context);
    list_session(&context->list, 2, 9, 3);
    struct result_position position = {"local", 0, 2};
    struct result_batch batch = {context->list.results, 1, &position, 1, true};
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    assert_int_equal(context->sink->commit(context->sink), 0);
    assert_answer(context,
        "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM timeline) + (SELECT count(*) "
        "FROM touch) + (SELECT count(*) FROM person) + (SELECT count(*) FROM identifier) + (SELECT "
        "count(*) FROM conversion) + (SELECT count(*) FROM attribution_credit) + (SELECT count(*) "
        "FROM path) + (SELECT count(*) FROM rejected) + (SELECT count(*) FROM currency)",
        "0");
    assert_answer(context, "SELECT group_concat(substr(hex(person), 1, 2)) FROM session", "02");
    assert_answer(context, "SELECT group_concat(next) FROM sink_position", "2");
}

static void test_close_with_open_transaction_leaves_last_commit(void **state)
{
    struct context *context = *state;
    struct made_event made = {1, 7, T0, 1, NULL, NULL, {0}, 0, 0};
    struct result_position position = {"local", 0, 9};
    list_event(&context->list, &made);
    struct result_batch batch = {context->list.results, 1, &position, 1};
    assert_int_equal(context->sink->apply(context->sink, &batch), 0);
    context->sink->close(context->sink);
    context->sink = NULL;
    assert_answer(context, "SELECT count(*) FROM event", "0");
    assert_answer(context, "SELECT count(*) FROM sink_position", "0");
}

static void test_sync_and_settle_keep_rows(void **state)
{
    struct context *context = *state;
    list_session(&context->list, 1, 9, 3);
    flush(context);
    assert_int_equal(context->sink->sync(context->sink), 0);
    assert_int_equal(context->sink->settle(context->sink), 0);
    assert_answer(context, "SELECT count(*) FROM session", "1");
    assert_answer(context, "SELECT value FROM meta WHERE key = 'synced'", "1");
    assert_answer(
        context, "SELECT count(*) FROM sqlite_schema WHERE name = 'identifier_person'", "1");
    assert_int_equal(context->sink->settle(context->sink), 0);
}

/* Kills itself in the midst of the n-th commit: after its rows, before its end. */
static int commits_before_death;

static int die_in_commit(void *unused)
{
    (void)unused;
    if (commits_before_death-- == 0)
        kill(getpid(), SIGKILL);
    return 0;
}

static int hook_new_connection(sqlite3 *db, const char **message, const void *api)
{
    (void)message;
    (void)api;
    sqlite3_commit_hook(db, die_in_commit, NULL);
    return SQLITE_OK;
}

static void write_and_die(const char *database, int commits)
{
    struct sink *sink;
    static struct list list;
    commits_before_death = commits + 2; /* the schema's and the version's come first */
    sqlite3_auto_extension((void (*)(void))(void *)hook_new_connection);
    if (sqlite_sink_open(&sink, database, NULL) != 0)
        _exit(1);
    for (uint32_t i = 0; i < 100; i++) {
        struct made_event made = {1, i, T0 + i, 1, "Email", NULL, {0}, 0, 0};
        struct made_conversion sale = {1, "order", T0, (int64_t)i, "JPY", channels, 3, NULL};
        list.count = 0;
        list_event(&list, &made);
        list_conversion(&list, &sale);
        apply_list(sink, &list, (int64_t)i + 1);
    }
    _exit(0);
}

static void test_commit_killed_at_any_point_leaves_rows_and_positions_agreeing(void **state)
{
    struct context *context = *state;
    context->sink->close(context->sink);
    context->sink = NULL;
    for (int commits = 0; commits < 12; commits++) {
        scratch_end(&context->scratch);
        scratch_begin(&context->scratch);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_and_die(context->scratch.database, commits);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* the fault fired */
        struct sink *sink;
        assert_int_equal(sqlite_sink_open(&sink, context->scratch.database, NULL), 0);
        sink->close(sink);
        assert_answer(context,
            "SELECT (SELECT count(*) FROM event) = coalesce((SELECT next FROM "
            "sink_position), 0) AND (SELECT count(*) FROM timeline) = (SELECT "
            "count(*) FROM event)",
            "1");
        assert_answer(context,
            "SELECT count(*) FROM (SELECT sum(credited_revenue_minor) AS s, "
            "revenue_minor FROM attribution_credit JOIN conversion USING "
            "(person, conversion_id) GROUP BY model) WHERE s <> revenue_minor",
            "0");
        assert_answer(context, "PRAGMA integrity_check", "ok");
        char rows[16];
        snprintf(rows, sizeof(rows), "%d", commits);
        assert_answer(context, "SELECT count(*) FROM event", rows);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_apply_same_event_twice_is_one_row),
        TEST(test_apply_changed_event_replaces_row_and_touch),
        TEST(test_apply_lower_placement_is_dropped),
        TEST(test_apply_changed_event_its_links_follow),
        TEST(test_apply_reports_of_spend_the_latest_stands),
        TEST(test_apply_tombstone_of_another_person_leaves_row),
        TEST(test_apply_move_in_any_order_gives_same_rows),
        TEST(test_apply_move_in_one_batch_keeps_links_touch_and_row),
        TEST(test_apply_move_there_and_back_with_late_news_settles),
        TEST(test_apply_conversion_replaces_its_credits_and_path),
        TEST(test_apply_conversion_unchanged_writes_nothing),
        TEST(test_apply_conversion_of_long_id_is_found_by_its_hash),
        TEST(test_apply_profile_keeps_one_open_path),
        TEST(test_apply_session_and_identifier_follow_their_keys),
        TEST(test_apply_hostile_text_is_stored_to_the_byte),
        TEST(test_apply_rejections_in_any_order_give_the_same_rows),
        TEST(test_apply_unreadable_result_is_set_aside_alone),
        TEST(test_apply_refused_count_is_a_row_of_its_own),
        TEST(test_apply_good_result_takes_back_what_was_set_aside),
        TEST(test_apply_key_and_value_of_two_persons_is_set_aside),
        TEST(test_commit_stores_positions_with_rows),
        TEST(test_apply_batch_that_begins_anew_drops_what_stood),
        TEST(test_close_with_open_transaction_leaves_last_commit),
        TEST(test_sync_and_settle_keep_rows),
        TEST(test_commit_killed_at_any_point_leaves_rows_and_positions_agreeing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
