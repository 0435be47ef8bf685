/* What journeys derive from a timeline, rule by rule. */
#include "enrich/journey/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

#define SECOND ((int64_t)1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define ROWS_MAX 64

/* A fold, and the rows that it gave. */
struct fixture {
    struct journey_config config;
    struct folder folder;
    struct fold fold;
    struct arena arena;
    struct conversion rows[ROWS_MAX];
    size_t rows_count;
    uint8_t events;
};

static int keep_row(void *context, const struct conversion *row)
{
    struct fixture *fixture = context;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str kept;
    assert_true(fixture->rows_count < ROWS_MAX);
    assert_int_equal(conversion_encode(row, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &kept), 0);
    return conversion_decode(&fixture->rows[fixture->rows_count++], kept, &fixture->arena);
}

static int find_row(void *context, struct str key, struct conversion *out)
{
    struct fixture *fixture = context;
    for (size_t i = 0; i < fixture->rows_count; i++) {
        uint8_t digest[SHA256_SIZE];
        *out = fixture->rows[i];
        if (str_equal(conversion_key(out->conversion_id, digest), key))
            return 0;
    }
    return ERR_STATE;
}

static void begin(struct fixture *fixture)
{
    fixture->rows_count = 0;
    fixture->events = 0;
    fold_clear(&fixture->fold);
    folder_begin(&fixture->folder, &fixture->fold);
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.events = 0};
    journey_config_default(&fixture.config);
    assert_int_equal(folder_init(&fixture.folder, &fixture.config), 0);
    fixture.folder.output = (struct fold_output){&fixture, keep_row, find_row};
    begin(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    fold_free(&fixture->fold);
    folder_fini(&fixture->folder);
    arena_free(&fixture->arena);
    return 0;
}

static struct touchpoint event_at(const char *type, int64_t at)
{
    struct touchpoint event;
    touchpoint_init(&event);
    event.type = str_of(type);
    event.event_id = STR("id");
    event.occurred_at = at;
    return event;
}

/* Steps through an event of node `node`; its key counts up. */
static struct moment step_at_node(
    struct fixture *fixture, struct touchpoint event, uint8_t node, const char *rule)
{
    struct moment moment;
    const uint8_t node_id[KEY_SIZE] = {node};
    event.event_key[0] = ++fixture->events;
    moment_read(&moment, fixture->folder.types, &event, node_id, str_of(rule));
    assert_int_equal(fold_step(&fixture->folder, &fixture->fold, &moment), 0);
    return moment;
}

static struct moment step(struct fixture *fixture, struct touchpoint event)
{
    return step_at_node(fixture, event, 1, "Rule");
}

static enum touch_kind kind_of(struct fixture *fixture, struct touchpoint event)
{
    return step(fixture, event).touch;
}

static struct touchpoint touch_at(const char *channel, int64_t at)
{
    struct touchpoint event = event_at("touch", at);
    event.channel = str_of(channel);
    return event;
}

static struct touchpoint order_at(const char *id, int64_t minor, int64_t at)
{
    struct touchpoint event = event_at("order_completed", at);
    event.has_order = true;
    event.order =
        (struct order){.order_id = str_of(id), .revenue_minor = minor, .currency = STR("JPY")};
    return event;
}

static struct touchpoint refund_at(const char *type, const char *id, int64_t minor, int64_t at)
{
    struct touchpoint event = order_at(id, minor, at);
    event.type = str_of(type);
    return event;
}

static struct touchpoint in_store(const char *type, const char *store, int64_t at)
{
    struct touchpoint event = event_at(type, at);
    event.has_store = true;
    event.store.store_id = str_of(store);
    return event;
}

static struct touchpoint in_call(
    const char *type, const char *call, enum call_direction direction, int64_t at)
{
    struct touchpoint event = event_at(type, at);
    event.has_call = true;
    event.call.call_id = str_of(call);
    event.call.direction = direction;
    return event;
}

static struct touchpoint page_of(const char *campaign, int64_t at)
{
    struct touchpoint event = event_at("page_viewed", at);
    event.has_campaign = campaign != NULL;
    event.campaign.name = str_of(campaign);
    return event;
}

static void assert_text(struct str found, const char *wanted)
{
    if (!str_equal(found, str_of(wanted)))
        fail_msg("%.*s, wanted %s", (int)found.size, found.data ? found.data : "", wanted);
}

/* Channels of a row's path, "A B". */
static void assert_path(const struct conversion *row, const char *wanted)
{
    char text[256] = "";
    size_t size = 0;
    for (size_t i = 0; i < row->touches_count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%.*s", i ? " " : "",
            (int)row->touches[i].channel.size, row->touches[i].channel.data);
    assert_string_equal(text, wanted);
}

/* ---- sessions ---- */

static void test_fold_silence_of_thirty_minutes_begins_a_session(void **state)
{
    struct fixture *fixture = *state;
    struct moment first = step(fixture, page_of(NULL, 0));
    struct moment second = step(fixture, page_of(NULL, 30 * MINUTE - 1));
    struct moment third = step(fixture, page_of(NULL, 60 * MINUTE - 1));
    assert_int_equal(first.touch, TOUCH_KIND_VISIT);
    assert_int_equal(second.touch, TOUCH_KIND_NONE);
    assert_memory_equal(second.session_key, first.session_key, KEY_SIZE);
    assert_int_equal(third.touch, TOUCH_KIND_VISIT);
    assert_memory_not_equal(third.session_key, first.session_key, KEY_SIZE);
    assert_int_equal(fixture->folder.rows_count, 2);
    assert_int_equal(fixture->folder.rows[0].events, 2);
    assert_int_equal(fixture->folder.rows[0].page_views, 2);
    assert_int_equal(fixture->folder.rows[0].ended_at, 30 * MINUTE - 1);
}

static void test_fold_another_campaign_begins_a_session(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(kind_of(fixture, page_of("a", 0)), TOUCH_KIND_VISIT);
    assert_int_equal(kind_of(fixture, page_of("a", 1)), TOUCH_KIND_NONE);
    assert_int_equal(kind_of(fixture, page_of(NULL, 2)), TOUCH_KIND_NONE);
    assert_int_equal(kind_of(fixture, page_of("b", 3)), TOUCH_KIND_VISIT);
    struct touchpoint clicked = page_of("b", 4);
    clicked.has_click = true;
    clicked.click = (struct click){STR("gclid"), STR("1")};
    assert_int_equal(kind_of(fixture, clicked), TOUCH_KIND_VISIT);
    assert_text(fixture->folder.rows[1].campaign, "b");
}

static void test_fold_each_node_has_its_own_session(void **state)
{
    struct fixture *fixture = *state;
    struct moment one = step_at_node(fixture, page_of(NULL, 0), 1, "");
    struct moment two = step_at_node(fixture, page_of(NULL, 1), 2, "");
    struct moment again = step_at_node(fixture, page_of(NULL, 2), 1, "");
    assert_memory_not_equal(two.session_key, one.session_key, KEY_SIZE);
    assert_memory_equal(again.session_key, one.session_key, KEY_SIZE);
}

static void test_fold_events_of_stores_and_calls_make_no_session(void **state)
{
    struct fixture *fixture = *state;
    assert_false(step(fixture, in_store("store_visited", "S", 0)).has_session);
    assert_false(step(fixture, order_at("A", 1, 1)).has_session);
    assert_int_equal(fixture->folder.rows_count, 0);
}

/* ---- touches ---- */

static void test_fold_interactions_are_touches_of_their_kind(void **state)
{
    static const struct {
        const char *type;
        enum touch_kind kind;
    } cases[] = {
        {"ad_clicked", TOUCH_KIND_CLICK},
        {"ad_impression", TOUCH_KIND_IMPRESSION},
        {"message_opened", TOUCH_KIND_MESSAGE},
        {"message_clicked", TOUCH_KIND_MESSAGE},
        {"message_sent", TOUCH_KIND_NONE},
        {"message_delivered", TOUCH_KIND_NONE},
        {"call_started", TOUCH_KIND_CALL},
        {"chat_started", TOUCH_KIND_CHAT},
        {"ticket_opened", TOUCH_KIND_NONE},
        {"store_visited", TOUCH_KIND_STORE},
        {"staff_consulted", TOUCH_KIND_STORE},
        {"stock_checked", TOUCH_KIND_NONE},
        {"qr_scanned", TOUCH_KIND_SCAN},
        {"coupon_redeemed", TOUCH_KIND_NONE},
        {"order_shipped", TOUCH_KIND_NONE},
        {"identified", TOUCH_KIND_NONE},
        {"something_else", TOUCH_KIND_NONE},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (kind_of(fixture, event_at(cases[i].type, (int64_t)i * DAY)) != cases[i].kind)
            fail_msg("%s", cases[i].type);
}

static void test_fold_answers_to_direct_mail_are_their_own_kind(void **state)
{
    struct fixture *fixture = *state;
    const char *types[] = {"message_opened", "qr_scanned", "coupon_redeemed"};
    for (size_t i = 0; i < 3; i++) {
        struct touchpoint event = event_at(types[i], (int64_t)i);
        event.has_message = true;
        event.message.kind = MESSAGE_KIND_DIRECT_MAIL;
        assert_int_equal(kind_of(fixture, event), TOUCH_KIND_DIRECT_MAIL);
    }
}

static void test_fold_events_of_one_call_are_one_touch(void **state)
{
    struct fixture *fixture = *state;
    const enum call_direction in = CALL_DIRECTION_INBOUND;
    assert_int_equal(kind_of(fixture, in_call("call_started", "K", in, 0)), TOUCH_KIND_CALL);
    assert_int_equal(kind_of(fixture, in_call("call_ended", "K", in, 4 * HOUR)), TOUCH_KIND_NONE);
    assert_int_equal(kind_of(fixture, in_call("call_started", "L", in, 4 * HOUR)), TOUCH_KIND_CALL);
    struct touchpoint handed_on = in_call("call_started", "M", in, 4 * HOUR + 1);
    handed_on.call.parent_id = STR("L");
    assert_int_equal(kind_of(fixture, handed_on), TOUCH_KIND_NONE);
    assert_int_equal(
        kind_of(fixture, in_call("call_started", "K", in, 8 * HOUR + 1)), TOUCH_KIND_CALL);
    assert_int_equal(kind_of(fixture, in_call("call_started", "N", CALL_DIRECTION_OUTBOUND, DAY)),
        TOUCH_KIND_NONE);
}

static void test_fold_purchase_in_a_store_implies_a_visit(void **state)
{
    struct fixture *fixture = *state;
    struct moment moment = step_at_node(fixture, in_store("store_purchase", "S", 0), 1, "");
    assert_int_equal(moment.touch, TOUCH_KIND_STORE);
    assert_text(moment.channel, "Store");
    assert_path(&fixture->rows[0], "Store"); /* it stands before its own event */
}

static void test_fold_purchase_soon_after_a_visit_of_that_store_implies_none(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, in_store("store_visited", "S", 0));
    assert_int_equal(kind_of(fixture, in_store("store_purchase", "T", 1)), TOUCH_KIND_STORE);
    assert_int_equal(kind_of(fixture, in_store("store_purchase", "S", 4 * HOUR)), TOUCH_KIND_NONE);
    assert_int_equal(
        kind_of(fixture, in_store("store_purchase", "S", 4 * HOUR + 1)), TOUCH_KIND_STORE);
}

static void test_fold_order_in_a_call_implies_the_call(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint order = in_call("order_completed", "K", CALL_DIRECTION_OUTBOUND, 0);
    struct moment moment = step(fixture, order);
    assert_int_equal(moment.touch, TOUCH_KIND_CALL);
    assert_text(moment.channel, "Call Center");
    assert_path(&fixture->rows[0], "Call Center");
    (void)step(fixture, in_call("call_started", "L", CALL_DIRECTION_INBOUND, DAY));
    order = in_call("order_completed", "L", CALL_DIRECTION_INBOUND, DAY + 4 * HOUR);
    assert_int_equal(kind_of(fixture, order), TOUCH_KIND_NONE);
}

static void test_fold_channel_of_a_trusted_source_makes_a_touch(void **state)
{
    struct fixture *fixture = *state;
    struct moment moment = step(fixture, touch_at("TV", 0));
    assert_int_equal(moment.touch, TOUCH_KIND_DECLARED);
    assert_text(moment.channel, "TV");
    struct touchpoint seen = touch_at("Display", 1);
    seen.type = STR("ad_impression");
    assert_int_equal(kind_of(fixture, seen), TOUCH_KIND_DECLARED);
    const char *none[] = {"order_completed", "order_refunded", "identified", "consent_changed"};
    for (size_t i = 0; i < 4; i++) {
        struct touchpoint event = touch_at("TV", 2 + (int64_t)i);
        event.type = str_of(none[i]);
        assert_int_equal(kind_of(fixture, event), TOUCH_KIND_NONE);
    }
}

/* ---- paths ---- */

static void test_fold_path_ends_before_the_conversion_and_begins_with_the_lookback(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, touch_at("Old", 0));
    (void)step(fixture, touch_at("Edge", 1));
    (void)step(fixture, touch_at("New", 90 * DAY));
    (void)step(fixture, order_at("A", 100, 90 * DAY + 1));
    (void)step(fixture, touch_at("Late", 90 * DAY + 1));
    assert_path(&fixture->rows[0], "Edge New");
}

static void test_fold_impressions_earn_only_when_configured_and_for_a_day(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, event_at("ad_impression", 0));
    (void)step(fixture, order_at("A", 100, DAY));
    assert_path(&fixture->rows[0], "");
    assert_int_equal(fixture->rows[0].credits[0].touch_index, CREDIT_UNATTRIBUTED);
    fixture->config.impressions_earn_credit = true;
    begin(fixture);
    (void)step(fixture, event_at("ad_impression", 0));
    (void)step(fixture, order_at("A", 100, DAY));
    (void)step(fixture, order_at("B", 100, DAY + 1));
    assert_path(&fixture->rows[0], "Rule");
    assert_path(&fixture->rows[1], "");
}

static void test_fold_second_conversion_sees_the_touches_again_unless_reset(void **state)
{
    struct fixture *fixture = *state;
    for (int turn = 0; turn < 2; turn++) {
        begin(fixture);
        fixture->config.reset = turn;
        (void)step(fixture, touch_at("A", 0));
        (void)step(fixture, order_at("1", 100, 1));
        (void)step(fixture, touch_at("B", 2));
        (void)step(fixture, order_at("2", 100, 3));
        assert_path(&fixture->rows[1], turn ? "B" : "A B");
    }
}

static void test_fold_path_keeps_the_newest_touches(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.path_touches_max = 2;
    const char *channels[] = {"A", "B", "C", "D", "E", "F"};
    for (size_t i = 0; i < 6; i++)
        (void)step(fixture, touch_at(channels[i], (int64_t)i));
    (void)step(fixture, order_at("1", 100, 7));
    assert_path(&fixture->rows[0], "E F");
    assert_int_equal(fixture->fold.touches_total, 6);
}

static void test_fold_long_texts_are_cut_between_characters(void **state)
{
    struct fixture *fixture = *state;
    char name[400];
    for (size_t i = 0; i < sizeof name; i += 4)
        memcpy(name + i, "a\xe6\x97\x85", 4);
    struct touchpoint event = touch_at("C", 0);
    event.has_campaign = true;
    event.campaign.name = str_make(name, sizeof name);
    event.campaign.source = str_make(name + 2, sizeof name - 2); /* 256 is within */
    (void)step(fixture, event);
    (void)step(fixture, order_at("1", 100, 1));
    assert_int_equal(fixture->rows[0].touches[0].campaign.size, 256);
    assert_int_equal(fixture->rows[0].touches[0].source.size, 255);
}

/* ---- conversions ---- */

static void test_fold_two_events_of_one_order_are_one_conversion(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint pickup = in_store("store_purchase", "S", 5);
    pickup.has_order = true;
    pickup.order = (struct order){.order_id = STR("A"), .revenue_minor = 7, .currency = STR("JPY")};
    (void)step(fixture, order_at("A", 100, 0));
    (void)step(fixture, pickup);
    assert_int_equal(fixture->rows_count, 1);
    assert_text(fixture->rows[0].conversion_id, "A");
    assert_int_equal(fixture->rows[0].revenue_minor, 100);
}

static void test_fold_ids_of_conversions_never_collide(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, event_at("order_completed", 0)); /* its event id is "id" */
    (void)step(fixture, order_at("id", 100, 1));
    (void)step(fixture, event_at("order_completed", 2));
    (void)step(fixture, refund_at("order_cancelled", "id", 0, 3));
    assert_int_equal(fixture->rows_count, 4);
    assert_text(fixture->rows[0].conversion_id, "id");
    assert_text(fixture->rows[1].conversion_id, "id#02000000000000000000000000000000");
    assert_text(fixture->rows[2].conversion_id, "id#03000000000000000000000000000000");
    assert_text(fixture->rows[3].conversion_id, "id#04000000000000000000000000000000");
    assert_text(fixture->rows[3].refund_of, "id#02000000000000000000000000000000");
    assert_int_equal(fixture->rows[3].revenue_minor, -100);
}

static void test_fold_very_long_order_id_is_found_again(void **state)
{
    struct fixture *fixture = *state;
    char id[600];
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = 0;
    (void)step(fixture, order_at(id, 100, 0));
    (void)step(fixture, refund_at("order_refunded", id, 30, 1));
    assert_int_equal(fixture->rows_count, 2);
    assert_text(fixture->rows[1].refund_of, id);
    assert_int_equal(fixture->rows[1].revenue_minor, -30);
}

static void test_fold_many_orders_are_all_found_again(void **state)
{
    struct fixture *fixture = *state;
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < 30; i++) {
            char id[8];
            (void)snprintf(id, sizeof id, "%d", i);
            (void)step(fixture, turn == 0 ? order_at(id, 10 + i, turn * 100 + i)
                                          : refund_at("order_refunded", id, 0, turn * 100 + i));
        }
    assert_int_equal(fixture->rows_count, 60);
    for (int i = 0; i < 30; i++)
        assert_int_equal(fixture->rows[30 + i].revenue_minor, -10 - i);
}

static void test_fold_far_times_do_not_overflow(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, page_of(NULL, INT64_MIN));
    (void)step(fixture, in_store("store_visited", "S", INT64_MIN));
    (void)step(fixture, touch_at("A", INT64_MAX));
    (void)step(fixture, page_of(NULL, INT64_MAX));
    (void)step(fixture, in_store("store_purchase", "S", INT64_MAX));
    assert_path(&fixture->rows[0], "A Rule Rule");
}

/* ---- refunds ---- */

static void test_fold_refund_takes_back_in_proportion(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, touch_at("A", 0));
    (void)step(fixture, touch_at("B", 1));
    (void)step(fixture, order_at("1", 101, 2));
    (void)step(fixture, refund_at("order_refunded", "1", 50, 3));
    (void)step(fixture, refund_at("order_refunded", "1", -20, 4)); /* a sign says nothing here */
    (void)step(fixture, refund_at("order_cancelled", "1", 0, 5));
    assert_int_equal(fixture->rows_count, 4);
    assert_int_equal(fixture->rows[1].revenue_minor, -50);
    assert_int_equal(fixture->rows[2].revenue_minor, -20);
    assert_int_equal(fixture->rows[3].revenue_minor, -31);
    for (size_t i = 0; i < fixture->rows[0].credits_count; i++) {
        int64_t left = 0;
        for (size_t row = 0; row < 4; row++)
            left += fixture->rows[row].credits[i].revenue_minor;
        assert_int_equal(left, 0);
        assert_int_equal(fixture->rows[1].credits[i].weight_ppb, 0);
    }
    assert_path(&fixture->rows[3], "A B");
    assert_int_equal(fixture->fold.revenue[0].net_minor, 0);
}

static void test_fold_refund_before_its_order_waits(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, refund_at("order_refunded", "1", 40, 0));
    (void)step(fixture, refund_at("order_refunded", "1", 30, 1));
    assert_int_equal(fixture->rows_count, 0);
    (void)step(fixture, order_at("1", 100, 2));
    assert_int_equal(fixture->rows_count, 3);
    assert_int_equal(fixture->rows[1].occurred_at, 0);
    assert_int_equal(fixture->rows[1].revenue_minor, -40);
    assert_int_equal(fixture->rows[2].revenue_minor, -30);
}

static void test_fold_refund_takes_at_most_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, order_at("1", 100, 0));
    (void)step(fixture, refund_at("order_refunded", "1", 70, 1));
    (void)step(fixture, refund_at("order_refunded", "1", INT64_MIN, 2));
    (void)step(fixture, refund_at("order_refunded", "1", 1, 3));
    assert_int_equal(fixture->rows[2].revenue_minor, -30);
    assert_int_equal(fixture->rows[3].revenue_minor, 0);
}

static void test_fold_refund_without_amount_follows_its_items(void **state)
{
    struct fixture *fixture = *state;
    struct order_item items[] = {
        {.quantity = 2, .price_minor = 15}, {.quantity = 1, .price_minor = 5}};
    const char *types[] = {"item_returned", "order_refunded", "order_cancelled"};
    const int64_t with_items[] = {-35, -35, -100}, without[] = {0, -100, -100};
    for (size_t i = 0; i < 3; i++) {
        struct touchpoint refund = refund_at(types[i], "1", 0, 1);
        begin(fixture);
        (void)step(fixture, order_at("1", 100, 0));
        (void)step(fixture, refund);
        assert_int_equal(fixture->rows[1].revenue_minor, without[i]);
        refund.order.items = items;
        refund.order.items_count = 2;
        begin(fixture);
        (void)step(fixture, order_at("1", 100, 0));
        (void)step(fixture, refund);
        assert_int_equal(fixture->rows[1].revenue_minor, with_items[i]);
    }
}

static void test_fold_refund_of_another_currency_or_order_takes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint dollars = refund_at("order_refunded", "1", 50, 1);
    dollars.order.currency = STR("USD");
    (void)step(fixture, order_at("1", 100, 0));
    (void)step(fixture, dollars);
    (void)step(fixture, refund_at("order_refunded", "2", 50, 2));
    (void)step(fixture, refund_at("order_refunded", "", 50, 3));
    assert_int_equal(fixture->rows_count, 1);
    assert_int_equal(fixture->fold.refunds_total, 0);
}

static void test_fold_refund_of_items_beyond_numbers_takes_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct order_item items[] = {{.quantity = INT64_MAX, .price_minor = INT64_MAX}};
    struct touchpoint refund = refund_at("item_returned", "1", 0, 1);
    refund.order.items = items;
    refund.order.items_count = 1;
    (void)step(fixture, order_at("1", 100, 0));
    (void)step(fixture, refund);
    assert_int_equal(fixture->rows[1].revenue_minor, -100);
}

static void test_fold_refund_of_a_negative_order_takes_nothing(void **state)
{
    struct fixture *fixture = *state;
    (void)step(fixture, order_at("1", -100, 0));
    (void)step(fixture, refund_at("order_cancelled", "1", 0, 1));
    assert_int_equal(fixture->rows[0].revenue_minor, -100);
    assert_int_equal(fixture->rows[1].revenue_minor, 0);
}

/* ---- configuration ---- */

static void test_folder_init_refuses_values_out_of_range(void **state)
{
    struct journey_config good;
    struct folder folder;
    (void)state;
    journey_config_default(&good);
    struct journey_config bad[] = {good, good, good, good, good};
    bad[0].path_touches_max = 0;
    bad[1].path_touches_max = RULE_TOUCHES_MAX + 1;
    bad[2].timeline_events_max = 0;
    bad[3].rules.half_life_micros = 0;
    bad[4].rules.position.first = 1001;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(folder_init(&folder, &bad[i]), ERR_CONFIG);
}

static void test_folder_init_configured_type_converts(void **state)
{
    static const struct str types[] = {STR_INIT("signed_up"), STR_INIT("lead")};
    struct fixture *fixture = *state;
    folder_fini(&fixture->folder);
    fixture->config.conversion_types = types;
    fixture->config.conversion_types_count = 2;
    assert_int_equal(folder_init(&fixture->folder, &fixture->config), 0);
    fixture->folder.output = (struct fold_output){fixture, keep_row, find_row};
    begin(fixture);
    (void)step(fixture, event_at("signed_up", 0));
    (void)step(fixture, order_at("A", 1, 1));
    (void)step(fixture, event_at("lead", 2));
    assert_int_equal(fixture->rows_count, 2);
    assert_path(&fixture->rows[0], "Rule"); /* the visit that it begins */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fold_silence_of_thirty_minutes_begins_a_session),
        TEST(test_fold_another_campaign_begins_a_session),
        TEST(test_fold_each_node_has_its_own_session),
        TEST(test_fold_events_of_stores_and_calls_make_no_session),
        TEST(test_fold_interactions_are_touches_of_their_kind),
        TEST(test_fold_answers_to_direct_mail_are_their_own_kind),
        TEST(test_fold_events_of_one_call_are_one_touch),
        TEST(test_fold_purchase_in_a_store_implies_a_visit),
        TEST(test_fold_purchase_soon_after_a_visit_of_that_store_implies_none),
        TEST(test_fold_order_in_a_call_implies_the_call),
        TEST(test_fold_channel_of_a_trusted_source_makes_a_touch),
        TEST(test_fold_path_ends_before_the_conversion_and_begins_with_the_lookback),
        TEST(test_fold_impressions_earn_only_when_configured_and_for_a_day),
        TEST(test_fold_second_conversion_sees_the_touches_again_unless_reset),
        TEST(test_fold_path_keeps_the_newest_touches),
        TEST(test_fold_long_texts_are_cut_between_characters),
        TEST(test_fold_two_events_of_one_order_are_one_conversion),
        TEST(test_fold_ids_of_conversions_never_collide),
        TEST(test_fold_very_long_order_id_is_found_again),
        TEST(test_fold_many_orders_are_all_found_again),
        TEST(test_fold_far_times_do_not_overflow),
        TEST(test_fold_refund_takes_back_in_proportion),
        TEST(test_fold_refund_before_its_order_waits),
        TEST(test_fold_refund_takes_at_most_what_is_left),
        TEST(test_fold_refund_without_amount_follows_its_items),
        TEST(test_fold_refund_of_another_currency_or_order_takes_nothing),
        TEST(test_fold_refund_of_items_beyond_numbers_takes_what_is_left),
        TEST(test_fold_refund_of_a_negative_order_takes_nothing),
        TEST(test_folder_init_refuses_values_out_of_range),
        TEST(test_folder_init_configured_type_converts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
