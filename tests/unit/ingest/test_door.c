/* The door: completion, limits, refusals, rejections. */
#include "ingest/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/rejected.avro.h"
#include "schemas/time.h"

#define NOW (INT64_C(1790000000) * TIME_MICROS_PER_SECOND)

struct fixture {
    struct arena arena;
    struct door_config config;
    struct identifier ids[2];
    struct touchpoint event;
    struct append_record record;
    struct event_problem problem;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    door_config_default(&fixture.config);
    struct touchpoint *event = &fixture.event;
    touchpoint_init(event);
    event->source = STR("web");
    event->event_id = STR("e1");
    event->type = STR("page_viewed");
    event->protocol = PROTOCOL_NATIVE;
    event->time_quality = TIME_QUALITY_CLIENT;
    event->occurred_at = NOW - TIME_MICROS_PER_SECOND;
    fixture.ids[0] = (struct identifier){.namespace = STR("cookie"), .value = STR("c1")};
    event->identifiers = fixture.ids;
    event->identifiers_count = 1;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    arena_free(&fixture->arena);
    return 0;
}

static int accept_event(struct fixture *fixture)
{
    return door_accept(&fixture->config, &fixture->event, NOW, &fixture->arena, &fixture->record,
        &fixture->problem);
}

static void assert_refused(struct fixture *fixture, int error, const char *pointer)
{
    fixture->record = (struct append_record){0};
    assert_int_equal(accept_event(fixture), error);
    assert_int_equal(fixture->problem.error, error);
    assert_int_equal(fixture->problem.pointer.size, strlen(pointer));
    if (fixture->problem.pointer.size)
        assert_memory_equal(fixture->problem.pointer.data, pointer, fixture->problem.pointer.size);
    assert_null(fixture->record.value.data);
}

static void test_door_accept_good_event_decodes_to_the_same(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(accept_event(fixture), 0);
    assert_int_equal(fixture->record.topic, TOPIC_EVENTS);
    assert_int_equal(fixture->record.key.size, KEY_SIZE);
    assert_int_equal(fixture->problem.error, 0);
    assert_int_equal(fixture->problem.hint.size, 0);
    struct touchpoint out;
    assert_int_equal(touchpoint_decode(&out, fixture->record.value, &fixture->arena), 0);
    assert_true(str_equal(out.event_id, STR("e1")));
    assert_int_equal(out.received_at, NOW);
    assert_int_equal(out.occurred_at, NOW - TIME_MICROS_PER_SECOND);
    assert_int_equal(out.identifiers_count, 1);
    assert_memory_equal(out.event_key, fixture->event.event_key, KEY_SIZE);
    struct node node;
    assert_int_equal(
        namespace_strongest(namespace_table_default(), out.identifiers, 1, &fixture->arena, &node),
        0);
    assert_memory_equal(fixture->record.key.data, node.id, KEY_SIZE);
}

static void test_door_accept_twice_gives_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    fixture->ids[0] = (struct identifier){.namespace = STR("email"), .value = STR("A@b.jp")};
    assert_int_equal(accept_event(fixture), 0);
    struct append_record first = fixture->record;
    assert_int_equal(accept_event(fixture), 0);
    assert_true(str_equal(first.value, fixture->record.value));
    assert_true(str_equal(first.key, fixture->record.key));
    assert_null(memmem(first.value.data, first.value.size, "b.jp", 4));
}

static void test_door_accept_time_is_judged_by_its_quality(void **state)
{
    struct fixture *fixture = *state;
    const int64_t late = NOW + TIME_MICROS_PER_DAY;
    const int64_t early = fixture->config.past_min_micros;
    const struct {
        enum time_quality quality;
        int64_t said;
        enum time_quality judged;
        int64_t kept;
    } samples[] = {
        {TIME_QUALITY_UNKNOWN, 0, TIME_QUALITY_SERVER, NOW},
        {TIME_QUALITY_CLIENT, late, TIME_QUALITY_CLIENT, late},
        {TIME_QUALITY_CLIENT, late + 1, TIME_QUALITY_SUSPECT, late + 1},
        {TIME_QUALITY_CLIENT, early, TIME_QUALITY_CLIENT, early},
        {TIME_QUALITY_CLIENT, early - 1, TIME_QUALITY_SUSPECT, early - 1},
        {TIME_QUALITY_CLIENT, INT64_MAX, TIME_QUALITY_SUSPECT, INT64_MAX},
        {TIME_QUALITY_CLIENT, INT64_MIN, TIME_QUALITY_SUSPECT, INT64_MIN},
        {TIME_QUALITY_CORRECTED, late, TIME_QUALITY_CORRECTED, late},
        {TIME_QUALITY_CORRECTED, late + 1, TIME_QUALITY_CLAMPED, late},
        {TIME_QUALITY_CORRECTED, early - 1, TIME_QUALITY_CLAMPED, early},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        fixture->event.time_quality = samples[i].quality;
        fixture->event.occurred_at = samples[i].said;
        assert_int_equal(accept_event(fixture), 0);
        assert_int_equal(fixture->event.time_quality, samples[i].judged);
        assert_true(fixture->event.occurred_at == samples[i].kept);
    }
}

static void test_door_accept_bad_head_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char text[EVENT_ID_SIZE_MAX + 1];
    memset(text, 'x', sizeof text);
    fixture->event.event_id = str_make(text, sizeof text);
    assert_refused(fixture, ERR_EVENT_ID, "/id");
    fixture->event.event_id = STR("");
    assert_refused(fixture, ERR_EVENT_ID, "/id");
    fixture->event.event_id = str_make(text, sizeof text - 1);
    assert_int_equal(accept_event(fixture), 0);
    fixture->event.type = STR("Page Viewed");
    assert_refused(fixture, ERR_EVENT_TYPE, "/type");
    fixture->event.type = STR("custom_1");
    fixture->event.source = STR("");
    assert_refused(fixture, ERR_VALUE, "/source");
}

static void test_door_accept_nul_anywhere_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint *event = &fixture->event;
    event->page.title = STR("a\0b");
    assert_int_equal(accept_event(fixture), 0); /* the part is absent */
    event->has_page = true;
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/page/title");
    event->has_page = false;
    event->event_id = STR("e\0");
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/id");
    event->event_id = STR("e1");
    event->identifiers = fixture->ids; /* accepting has put others in place */
    fixture->ids[0].value = STR("c1\0");
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/ids");
    fixture->ids[0].value = STR("c1");
    struct order_item item = {.sku = STR("\0")};
    event->has_order = true;
    event->order.items = &item;
    event->order.items_count = 1;
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/order/items");
    item.sku = STR("s");
    event->has_call = true; /* a part with a number among its texts */
    event->call.direction = CALL_DIRECTION_INBOUND;
    event->call.agent = STR("\0");
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/call/agent");
    event->call.agent = STR("a");
    event->properties = STR("{\"a\":\"x\\u0000\"}");
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/properties");
    event->properties = STR("{\"a\":\"x\\\\\\u0000\"}");
    assert_refused(fixture, ERR_NUL_IN_TEXT, "/properties");
    event->properties = STR("{\"a\":\"x\\\\u0000\"}"); /* a backslash and letters */
    assert_int_equal(accept_event(fixture), 0);
}

static void test_door_accept_bad_identifiers_are_refused_with_hint(void **state)
{
    struct fixture *fixture = *state;
    fixture->ids[0].namespace = STR("cooky");
    assert_refused(fixture, ERR_NAMESPACE, "/ids/cooky");
    assert_true(str_equal(fixture->problem.hint, STR("cookie")) || fixture->problem.hint.size > 6);
    fixture->ids[0] = (struct identifier){.namespace = STR("phone"), .value = STR("no number")};
    assert_refused(fixture, ERR_NO_IDENTIFIER, "/ids/phone");
    assert_true(fixture->problem.hint.size > 0);
    fixture->event.identifiers_count = 0;
    assert_refused(fixture, ERR_NO_IDENTIFIER, "/ids");
}

static void test_door_accept_dropped_identifier_is_told(void **state)
{
    struct fixture *fixture = *state;
    fixture->ids[1] = (struct identifier){.namespace = STR("phone"), .value = STR("0120-444-444")};
    fixture->event.identifiers_count = 2;
    assert_int_equal(accept_event(fixture), 0);
    assert_int_equal(fixture->problem.error, 0);
    assert_true(str_equal(fixture->problem.pointer, STR("/ids/phone")));
    assert_true(fixture->problem.hint.size > 0);
    assert_null(memmem(fixture->record.value.data, fixture->record.value.size, "444", 3));
}

static void test_door_accept_size_at_and_over_the_limit(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(accept_event(fixture), 0);
    size_t bare = fixture->record.value.size;
    size_t room = EVENT_SIZE_MAX - bare - 2; /* the length of properties grows to three bytes */
    static char text[EVENT_SIZE_MAX];
    memset(text, ' ', sizeof text);
    fixture->event.properties = str_make(text, room);
    assert_int_equal(accept_event(fixture), 0);
    assert_int_equal(fixture->record.value.size, EVENT_SIZE_MAX);
    fixture->event.properties.size++;
    assert_refused(fixture, ERR_TOO_LARGE, "");
}

static void test_door_reject_keeps_payload_and_reason(void **state)
{
    struct fixture *fixture = *state;
    const struct door_rejection rejection = {.source = STR("web"),
        .stage = STR("native"),
        .payload = STR("{\"type\":\0\x1b[31m'"),
        .event_id = STR("e1"),
        .file = STR("f.csv"),
        .line = 3};
    const struct event_problem problem = {
        .error = ERR_MONEY, .pointer = STR("/order/revenue"), .hint = STR("a decimal")};
    struct append_record records[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            door_reject(&rejection, &problem, NOW + i, &fixture->arena, &records[i]), 0);
    assert_int_equal(records[0].topic, TOPIC_REJECTED);
    assert_true(str_equal(records[0].key, records[1].key)); /* the same rejection, the same row */
    struct rejected out;
    assert_int_equal(rejected_decode(&out, records[0].value, &fixture->arena), 0);
    assert_true(str_equal(out.payload, rejection.payload));
    assert_true(str_equal(out.reason, STR("bad_money")));
    assert_true(str_equal(out.pointer, problem.pointer));
    assert_int_equal(out.line, 3);
    assert_memory_equal(out.rejected_key, records[0].key.data, KEY_SIZE);
    struct event_problem other = problem;
    other.error = ERR_MONEY_PRECISION;
    assert_int_equal(door_reject(&rejection, &other, NOW, &fixture->arena, &records[1]), 0);
    assert_false(str_equal(records[0].key, records[1].key));
}

static void test_door_reject_huge_payload_is_cut_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    static char payload[REJECTED_PAYLOAD_SIZE_MAX + 1];
    const struct door_rejection rejection = {
        .source = STR("web"), .stage = STR("native"), .payload = str_make(payload, sizeof payload)};
    const struct event_problem problem = {.error = ERR_TOO_LARGE};
    struct append_record record;
    assert_int_equal(door_reject(&rejection, &problem, NOW, &fixture->arena, &record), 0);
    struct rejected out;
    assert_int_equal(rejected_decode(&out, record.value, &fixture->arena), 0);
    assert_int_equal(out.payload.size, REJECTED_PAYLOAD_SIZE_MAX);
    assert_true(out.hint.size > 0);
}

/* Settings of a configuration text; key: what the key's file holds, or NULL. */
static int configure(
    struct fixture *fixture, const char *text, const char *key, struct config_problem *problem)
{
    CLEANUP(config_free) struct config *config = NULL;
    char path[] = "/tmp/test_door_key_XXXXXX";
    assert_int_equal(config_new(&config), 0);
    assert_int_equal(config_load_text(config, "t", str_of(text), problem), 0);
    if (key) {
        int file = mkstemp(path);
        assert_true(file >= 0);
        assert_int_equal(write(file, key, strlen(key)), (ssize_t)strlen(key));
        assert_int_equal(close(file), 0);
        assert_int_equal(config_set(config, "identity.key_file", path, "--set", problem), 0);
    }
    assert_int_equal(config_finish(config, problem), 0);
    if (key)
        assert_int_equal(unlink(path), 0);
    return door_configure(config, &fixture->arena, &fixture->config, problem);
}

/* The operator's list may be younger than what is known; what never can have been known is dropped.
 */
static void test_door_accept_erasure_of_what_the_operator_blocks_is_kept(void **state)
{
    struct fixture *fixture = *state;
    const struct str blocked[] = {STR("c1")};
    fixture->config.identifiers.blocked = blocked;
    fixture->config.identifiers.blocked_count = 1;
    assert_refused(fixture, ERR_NO_IDENTIFIER, "/ids/cookie");
    fixture->event.type = STR("erasure_requested");
    assert_int_equal(accept_event(fixture), 0);
    fixture->ids[0].value = STR("null");
    fixture->event.identifiers = fixture->ids;
    assert_refused(fixture, ERR_NO_IDENTIFIER, "/ids/cookie");
}

static void test_door_accept_value_too_long_is_told(void **state)
{
    struct fixture *fixture = *state;
    static char value[IDENTIFIER_VALUE_SIZE_MAX + 1];
    memset(value, 'x', sizeof value);
    fixture->ids[0].value = str_make(value, sizeof value);
    assert_refused(fixture, ERR_VALUE, "/ids/cookie");
    assert_non_null(memmem(fixture->problem.hint.data, fixture->problem.hint.size, "256", 3));
    fixture->ids[0].value.size--;
    assert_int_equal(accept_event(fixture), 0);
}

static void test_door_accept_malformed_phone_is_marked(void **state)
{
    struct fixture *fixture = *state;
    fixture->ids[1] = (struct identifier){.namespace = STR("phone"), .value = STR("12")};
    fixture->event.identifiers_count = 2;
    fixture->event.properties = STR("{\"a\":1}");
    assert_int_equal(accept_event(fixture), 0);
    struct touchpoint out;
    assert_int_equal(touchpoint_decode(&out, fixture->record.value, &fixture->arena), 0);
    assert_int_equal(out.identifiers_count, 1);
    assert_true(str_equal(out.properties, STR("{\"$malformed\":[\"phone\"],\"a\":1}")));
    struct append_record first = fixture->record;
    assert_int_equal(accept_event(fixture), 0);
    assert_true(str_equal(first.value, fixture->record.value));
}

static void test_door_configure_key_and_blocked_values(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem problem;
    static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    fixture->ids[0] = (struct identifier){.namespace = STR("email"), .value = STR("a@b.jp")};
    assert_int_equal(accept_event(fixture), 0);
    struct str public = fixture->event.identifiers[0].value;
    fixture->event.identifiers = fixture->ids;
    assert_int_equal(configure(fixture, "[identity]\nblocked = 03-1234-5678\n", NULL, &problem), 0);
    assert_int_equal(accept_event(fixture), 0); /* no key: the public one */
    assert_true(str_equal(fixture->event.identifiers[0].value, public));
    fixture->event.identifiers = fixture->ids;
    fixture->event.identifiers_count = 2;
    fixture->ids[1] = (struct identifier){.namespace = STR("phone"), .value = STR("+81312345678")};
    assert_int_equal(
        configure(fixture, "[identity]\nkey_id = k2\nblocked = 03-1234-5678\n", key, &problem), 0);
    assert_int_equal(accept_event(fixture), 0);
    assert_int_equal(fixture->event.identifiers_count, 1);
    assert_memory_equal(fixture->event.identifiers[0].value.data, "k2:", 3);
    assert_memory_not_equal(
        fixture->event.identifiers[0].value.data + 3, public.data + 3, public.size - 3);
}

static void test_door_configure_bad_key_tells_why(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem problem;
    assert_int_equal(configure(fixture, "", "0011", &problem), ERR_CONFIG);
    assert_non_null(strstr(problem.text, "64 hex digits"));
    assert_int_equal(configure(fixture, "[identity]\nkey_id = key\n", NULL, &problem), ERR_CONFIG);
    assert_non_null(strstr(problem.text, "identity.key_id"));
}

/* ---- a rotation of the key ---- */

static const char two_keys[] =
    "tabiji keys 1\n"
    "persons 0707070707070707070707070707070707070707070707070707070707070707\n"
    "issued k2\n"
    "k1 active 2026-05-05T00:00:00Z "
    "0101010101010101010101010101010101010101010101010101010101010101\n"
    "k2 next 2026-11-27T06:48:43Z "
    "0202020202020202020202020202020202020202020202020202020202020202\n"
    "sum 1ec6f124525db071\n";

static int take(struct fixture *fixture, const char *email, struct door_out *out)
{
    fixture->ids[0] = (struct identifier){.namespace = STR("email"), .value = str_of(email)};
    fixture->event.identifiers = fixture->ids;
    fixture->event.identifiers_count = 1;
    return door_take(
        &fixture->config, &fixture->event, NOW, &fixture->arena, out, &fixture->problem);
}

static void test_door_take_while_two_keys_live_tells_the_pair(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem problem;
    struct touchpoint told;
    struct door_out first, second;
    assert_int_equal(configure(fixture, "", two_keys, &problem), 0);
    assert_int_equal(fixture->config.person_key[0], 7);
    assert_int_equal(take(fixture, "hana@example.jp", &first), 0);
    assert_memory_equal(fixture->event.identifiers[0].value.data, "k1:", 3);
    struct str old = fixture->event.identifiers[0].value;
    assert_int_equal(first.pairs.count, 1);
    const struct append_record *record = &first.pairs.records[0];
    assert_int_equal(record->topic, TOPIC_EVENTS);
    assert_true(str_equal(record->key, first.record.key)); /* both go to the e-mail's node */
    assert_int_equal(touchpoint_decode(&told, record->value, &fixture->arena), 0);
    assert_true(str_equal(told.type, STR(ROTATION_EVENT_TYPE)));
    assert_true(str_equal(told.source, STR(ROTATION_SOURCE)));
    assert_int_equal(told.identifiers_count, 1);
    assert_true(str_equal(told.identifiers[0].value, old));
    assert_true(str_equal(told.evidence.a_value, old));
    assert_int_equal(identifier_key_number(STR("email"), told.evidence.b_value), 2);
    assert_int_equal(told.evidence.authority, 0);
    assert_int_equal(told.occurred_at, fixture->config.identifiers.next.since);
    /* Sent again, and by a door that was started anew: the same bytes. */
    assert_int_equal(take(fixture, "HANA@example.jp", &second), 0);
    assert_int_equal(second.pairs.count, 1);
    assert_true(str_equal(second.pairs.records[0].value, record->value));
    assert_int_equal(configure(fixture, "", two_keys, &problem), 0);
    fixture->event.event_id = STR("another");
    assert_int_equal(take(fixture, "hana@example.jp", &second), 0);
    assert_true(str_equal(second.pairs.records[0].value, record->value));
    assert_true(str_equal(second.pairs.records[0].key, record->key));
}

static void test_door_take_pair_that_is_durable_is_told_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem problem;
    struct door_out out;
    assert_int_equal(configure(fixture, "", two_keys, &problem), 0);
    assert_int_equal(take(fixture, "hana@example.jp", &out), 0);
    rotation_told(fixture->config.told, &out.pairs);
    assert_int_equal(take(fixture, "hana@example.jp", &out), 0);
    assert_int_equal(out.pairs.count, 0);
    assert_int_equal(take(fixture, "taro@example.jp", &out), 0);
    assert_int_equal(out.pairs.count, 1);
    for (size_t i = 0; i < 300; i++) {
        char email[32];
        (void)snprintf(email, sizeof email, "a%zu@example.jp", i);
        assert_int_equal(take(fixture, email, &out), 0);
        assert_int_equal(out.pairs.count, 1);
        rotation_told(fixture->config.told, &out.pairs);
    }
}

static void test_rotation_add_one_list_has_a_pair_once(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem problem;
    struct rotation_list list = {.count = 0};
    struct door_out out;
    assert_int_equal(configure(fixture, "", two_keys, &problem), 0);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(take(fixture, i % 2 ? "a@example.jp" : "b@example.jp", &out), 0);
        assert_int_equal(rotation_add_list(&list, &out.pairs, &fixture->arena), 0);
    }
    assert_int_equal(list.count, 2);
}

static void test_door_take_one_key_tells_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct door_out out;
    assert_int_equal(take(fixture, "hana@example.jp", &out), 0);
    assert_int_equal(out.pairs.count, 0);
}

static void test_door_accept_rotation_of_a_client_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fixture->event.type = STR(ROTATION_EVENT_TYPE);
    assert_int_equal(accept_event(fixture), ERR_EVENT_TYPE);
    assert_true(str_equal(fixture->problem.pointer, STR("/type")));
}

/* What cannot be kept is kept as nothing, and flagged; what is wrong is refused by name. */
static void test_door_accept_bad_identifiers_have_typed_answers(void **state)
{
    struct fixture *fixture = *state;
    static char long_value[IDENTIFIER_VALUE_SIZE_MAX + 2];
    memset(long_value, 'x', sizeof long_value - 1);
    const struct {
        const char *name;
        const char *value;
        int error;
        const char *pointer;
    } samples[] = {
        {"logn", "u-1", ERR_NAMESPACE, "/ids/logn"},
        {"cookie", long_value, ERR_VALUE, "/ids/cookie"},
        {"email", "\xc3(@example.jp", ERR_UTF8, "/ids/email"},
        {"phone", "12-ab", 0, "/ids/phone"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        fixture->ids[0] = (struct identifier){.namespace = STR("login"), .value = STR("u")};
        fixture->ids[1] = (struct identifier){
            .namespace = str_of(samples[i].name), .value = str_of(samples[i].value)};
        fixture->event.identifiers = fixture->ids;
        fixture->event.identifiers_count = 2;
        assert_int_equal(accept_event(fixture), samples[i].error);
        assert_true(str_equal(fixture->problem.pointer, str_of(samples[i].pointer)));
    }
    assert_int_equal(fixture->event.identifiers_count, 1);
    assert_true(str_equal(fixture->problem.hint, STR("dropped: malformed")));
    fixture->event.has_evidence = true;
    fixture->event.evidence = (struct evidence){.a_namespace = STR("email"),
        .a_value = STR("A@example.jp"),
        .b_namespace = STR("email"),
        .b_value = STR("a@example.jp"),
        .sign = 1};
    assert_int_equal(accept_event(fixture), ERR_VALUE); /* of an identifier and itself */
    assert_true(str_equal(fixture->problem.pointer, STR("/evidence")));
}

static void make_spend(struct fixture *fixture)
{
    struct touchpoint *event = &fixture->event;
    event->type = STR("spend_reported");
    event->channel = STR("LINE");
    event->has_order = true;
    order_init(&event->order);
    event->order.currency = STR("JPY");
    event->order.revenue_minor = 1000;
    fixture->ids[0] = (struct identifier){.namespace = STR("case"), .value = STR("spend:LINE")};
}

static void test_door_accept_spend_that_is_whole_passes(void **state)
{
    struct fixture *fixture = *state;
    make_spend(fixture);
    assert_int_equal(accept_event(fixture), 0);
    fixture->event.order.revenue_minor = 0;
    assert_int_equal(accept_event(fixture), 0);
}

static void test_door_accept_spend_that_lacks_something_is_refused(void **state)
{
    struct fixture *fixture = *state;
    make_spend(fixture);
    fixture->event.channel = STR("");
    assert_int_equal(accept_event(fixture), ERR_MISSING_FIELD);
    assert_true(str_equal(fixture->problem.pointer, STR("/channel")));
    make_spend(fixture);
    fixture->event.order.currency = STR("");
    assert_int_equal(accept_event(fixture), ERR_MISSING_FIELD);
    make_spend(fixture);
    fixture->event.has_order = false;
    assert_int_equal(accept_event(fixture), ERR_MISSING_FIELD);
    make_spend(fixture);
    fixture->event.order.revenue_minor = -1;
    assert_int_equal(accept_event(fixture), ERR_VALUE);
    assert_true(str_equal(fixture->problem.pointer, STR("/order/revenue")));
    make_spend(fixture);
    fixture->event.time_quality = TIME_QUALITY_UNKNOWN;
    assert_int_equal(accept_event(fixture), ERR_MISSING_FIELD);
}

static void test_door_accept_amount_at_and_over_the_limit(void **state)
{
    struct fixture *fixture = *state;
    fixture->event.has_order = true;
    fixture->event.order.currency = STR("JPY");
    fixture->event.order.revenue_minor = ORDER_MINOR_MAX;
    assert_int_equal(accept_event(fixture), 0);
    fixture->event.order.revenue_minor = ORDER_MINOR_MAX + 1;
    assert_refused(fixture, ERR_NUMBER_RANGE, "/order/revenue");
    fixture->event.order.revenue_minor = -ORDER_MINOR_MAX;
    assert_int_equal(accept_event(fixture), 0);
    fixture->event.order.revenue_minor = -ORDER_MINOR_MAX - 1;
    assert_refused(fixture, ERR_NUMBER_RANGE, "/order/revenue");
}

static void test_door_accept_spend_of_a_customer_is_refused(void **state)
{
    struct fixture *fixture = *state;
    make_spend(fixture);
    fixture->ids[0] = (struct identifier){.namespace = STR("cookie"), .value = STR("c1")};
    assert_int_equal(accept_event(fixture), ERR_VALUE);
    make_spend(fixture);
    fixture->ids[0].value = STR("spend:");
    assert_int_equal(accept_event(fixture), ERR_VALUE);
    make_spend(fixture);
    fixture->ids[1] = (struct identifier){.namespace = STR("login"), .value = STR("u1")};
    fixture->event.identifiers_count = 2;
    assert_int_equal(accept_event(fixture), ERR_VALUE);
}

static void test_door_accept_word_of_the_future_is_the_clients_alone(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint *event = &fixture->event;
    event->type = STR("identity_linked");
    event->has_evidence = true;
    event->evidence.a_namespace = STR("cookie");
    event->evidence.a_value = STR("c1");
    event->evidence.b_namespace = STR("login");
    event->evidence.b_value = STR("u1");
    event->evidence.sign = 1;
    event->evidence.authority = EVENT_AUTHORITY_OPERATOR;
    event->occurred_at = NOW + fixture->config.future_max_micros;
    assert_int_equal(accept_event(fixture), 0);
    event->occurred_at++;
    event->time_quality = TIME_QUALITY_CLIENT;
    assert_int_equal(accept_event(fixture), ERR_TIME);
    assert_memory_equal(fixture->problem.pointer.data, "/time", 5);
    event->evidence.authority = 0;
    assert_int_equal(accept_event(fixture), 0);
    assert_int_equal(event->time_quality, TIME_QUALITY_SUSPECT);
}

/* Up to then no erasure would take what a lift lets in, and no lift could undo an erasure. */
static void test_door_accept_erasure_of_the_future_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint *event = &fixture->event;
    event->type = STR("erasure_lifted");
    event->time_quality = TIME_QUALITY_CLIENT;
    event->occurred_at = NOW + fixture->config.future_max_micros + 1;
    assert_refused(fixture, ERR_TIME, "/time");
    event->type = STR("erasure_requested");
    assert_refused(fixture, ERR_TIME, "/time");
    event->occurred_at = NOW + fixture->config.future_max_micros;
    event->time_quality = TIME_QUALITY_CLIENT;
    assert_int_equal(accept_event(fixture), 0);
}

/* Who only judges makes no pseudonym and hashes nothing; what it says is the same, to the byte that
 * is too many. */
static void test_door_judge_says_what_door_take_says(void **state)
{
    struct fixture *fixture = *state;
    static char text[EVENT_SIZE_MAX];
    struct door_config judge = fixture->config;
    const struct door_known known = {0};
    struct event_problem problem;
    struct door_out out;
    size_t refused = 0;
    judge.identifiers.keyless = true;
    memset(text, 'x', sizeof text);
    fixture->ids[0] = (struct identifier){.namespace = STR("phone"), .value = STR("0312345678")};
    fixture->ids[1] = (struct identifier){.namespace = STR("email"), .value = STR("a@b.jp")};
    fixture->event.identifiers_count = 2;
    for (size_t size = EVENT_SIZE_MAX - 400; size < EVENT_SIZE_MAX; size++) {
        struct touchpoint event = fixture->event;
        event.properties = str_make(text, size);
        int want =
            door_take(&fixture->config, &event, NOW, &fixture->arena, &out, &fixture->problem);
        event = fixture->event;
        event.properties = str_make(text, size);
        assert_int_equal(door_judge(&judge, &event, &known, NOW, &fixture->arena, &problem), want);
        assert_int_equal(problem.error, fixture->problem.error);
        refused += want == ERR_TOO_LARGE;
        arena_reset(&fixture->arena);
    }
    assert_in_range(refused, 1, 399);
}

/* Values are told apart, and found to be the same, without a key as with one. */
static void test_door_judge_tells_values_apart(void **state)
{
    struct fixture *fixture = *state;
    struct event_problem problem;
    fixture->config.identifiers.keyless = true;
    const struct door_known known = {0};
    struct touchpoint event = fixture->event;
    event.type = STR("aliased");
    event.has_evidence = true;
    event.evidence = (struct evidence){.a_namespace = STR("phone"),
        .a_value = STR("03-1234-5678"),
        .b_namespace = STR("phone"),
        .b_value = STR("+81312345678")};
    assert_int_equal(
        door_judge(&fixture->config, &event, &known, NOW, &fixture->arena, &problem), ERR_VALUE);
    event.evidence.b_value = STR("+81312345679");
    event.evidence.a_value = STR("03-1234-5678");
    assert_int_equal(
        door_judge(&fixture->config, &event, &known, NOW, &fixture->arena, &problem), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_door_accept_word_of_the_future_is_the_clients_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_erasure_of_the_future_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_good_event_decodes_to_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_twice_gives_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_time_is_judged_by_its_quality, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_accept_bad_head_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_accept_nul_anywhere_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_bad_identifiers_are_refused_with_hint, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_dropped_identifier_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_size_at_and_over_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_reject_keeps_payload_and_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_reject_huge_payload_is_cut_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_configure_key_and_blocked_values, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_erasure_of_what_the_operator_blocks_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_accept_value_too_long_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_malformed_phone_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_configure_bad_key_tells_why, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_spend_that_is_whole_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_spend_that_lacks_something_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_amount_at_and_over_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_spend_of_a_customer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_take_while_two_keys_live_tells_the_pair, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_take_pair_that_is_durable_is_told_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_rotation_add_one_list_has_a_pair_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_take_one_key_tells_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_judge_says_what_door_take_says, setup, teardown),
        cmocka_unit_test_setup_teardown(test_door_judge_tells_values_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_rotation_of_a_client_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_door_accept_bad_identifiers_have_typed_answers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
