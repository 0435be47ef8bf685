/* deploy/event_flags: paths typed by the schema, items, identifiers; what is wrong is named; what
 * is written the reader of native JSON takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deploy/event_flags.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

static struct buf out, problem;

static size_t count_of(const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    return count;
}

static int write_event(
    const struct event_flags *head, const char *const *identifiers, const char *const *fields)
{
    struct event_flags flags = *head;
    flags.identifiers = identifiers;
    flags.identifiers_count = count_of(identifiers);
    flags.fields = fields;
    flags.fields_count = count_of(fields);
    buf_clear(&out);
    buf_clear(&problem);
    return event_flags_write(&flags, &out, &problem);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NONE ((const char *const[]){NULL})

static const struct event_flags call = {.type = "call_started"};

static void assert_written(int r, const char *wanted)
{
    if (r < 0)
        fail_msg("%d: %.*s", r, (int)problem.size, problem.data);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal(out.data, wanted);
}

static void assert_refused(const char *field, const char *why)
{
    assert_int_equal(write_event(&call, WORDS("phone:1"), WORDS("call.queue=q", field)), ERR_VALUE);
    assert_int_equal(out.size, 0);
    assert_int_equal(buf_append(&problem, "", 1), 0);
    if (!strstr(problem.data, why))
        fail_msg("%s is not in: %s", why, problem.data);
}

static void test_write_groups_members_and_identifiers(void **state)
{
    const struct event_flags head = {.type = "call_ended", .id = "c-\"1", .time = "1795139999000"};
    (void)state;
    int r = write_event(&head, WORDS("login:u-1", "phone:+81:3", "login:u-2"),
        WORDS("call.queue=re=turns", "store.area=渋谷", "call.talk_ms=-5"));
    assert_written(r,
        "{\"type\":\"call_ended\",\"id\":\"c-\\\"1\",\"time\":1795139999000,"
        "\"ids\":{\"login\":[\"u-1\",\"u-2\"],\"phone\":[\"+81:3\"]},"
        "\"call\":{\"queue\":\"re=turns\",\"talk_ms\":-5},\"store\":{\"area\":\"渋谷\"}}");
}

static void test_write_types_values_by_the_schema(void **state)
{
    const struct event_flags head = {.type = "x", .time = "2026-11-20T10:15:00+09:00"};
    (void)state;
    int r = write_event(&head, NONE,
        WORDS("consent.ads=false", "consent.analytics=granted", "sequence=3", "bot=true",
            "evidence.a=login:u:1", "evidence.b=loyalty:8", "evidence.sign=-1",
            "properties.n:= [1, {\"b\":2.5}]", "properties.note=5", "order.revenue=12",
            "page.url=https://a.jp/?b=c"));
    assert_written(r,
        "{\"type\":\"x\",\"time\":\"2026-11-20T10:15:00+09:00\",\"ids\":{},\"bot\":true,"
        "\"consent\":{\"ads\":false,\"analytics\":\"granted\"},"
        "\"evidence\":{\"a\":{\"login\":\"u:1\"},\"b\":{\"loyalty\":\"8\"},\"sign\":-1},"
        "\"order\":{\"revenue\":\"12\"},\"page\":{\"url\":\"https://a.jp/?b=c\"},"
        "\"properties\":{\"n\":[1,{\"b\":2.5}],\"note\":\"5\"},\"sequence\":3}");
}

static void test_write_gathers_items_by_their_number(void **state)
{
    (void)state;
    int r = write_event(&call, NONE,
        WORDS("order.items.1.sku=b", "order.items.0.sku=a", "order.currency=JPY",
            "order.items.0.quantity=2"));
    assert_written(r,
        "{\"type\":\"call_started\",\"ids\":{},\"order\":{\"currency\":\"JPY\",\"items\":["
        "{\"sku\":\"a\",\"quantity\":2},{\"sku\":\"b\"}]}}");
    assert_refused("order.items.1.sku=b", "order.items.1 is there, but not 0");
}

static void test_write_names_what_is_wrong(void **state)
{
    (void)state;
    assert_refused("call.queue", "PATH=VALUE");
    assert_refused("=x", "PATH=VALUE");
    assert_refused("cal.queue=x", "did you mean \"call\"");
    assert_refused("call.cal_id=x", "did you mean \"call_id\"");
    assert_refused("colour=blue", "properties.NAME");
    assert_refused("call=x", "it has parts");
    assert_refused("properties=x", "properties.NAME");
    assert_refused("call.queue.x=y", "it has no parts");
    assert_refused("sequence.x=1", "it has no parts");
    assert_refused("call.talk_ms=1.5", "an integer is wanted");
    assert_refused("call.talk_ms=", "an integer is wanted");
    assert_refused("call.talk_ms= 1", "an integer is wanted");
    assert_refused("sequence=9223372036854775808", "an integer is wanted");
    assert_refused("bot=yes", "true or false");
    assert_refused("evidence.a=u-1", "NAMESPACE:VALUE");
    assert_refused("properties.a:={", "JSON is wanted");
    assert_refused("properties.a:=1,\"b\":2", "JSON is wanted");
    assert_refused("call.queue:=1", "properties alone");
    assert_refused("call.queue=\xff", "UTF-8");
    assert_refused("order.items=x", "order.items.N.NAME");
    assert_refused("order.items.x.sku=1", "order.items.N.NAME");
    assert_refused("order.items.0.skuu=1", "did you mean \"sku\"");
    assert_refused("type=x", "--type");
    assert_refused("id=x", "--event-id");
    assert_refused("ids.login=x", "--id");
    assert_refused("time=1", "--time");
}

static void test_write_names_a_wrong_identifier(void **state)
{
    static const char *const wrong[] = {"u-1", ":u-1", "login:", ""};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(write_event(&call, WORDS("login:u", wrong[i]), NONE), ERR_VALUE);
        assert_non_null(memmem(problem.data, problem.size, "NAMESPACE:VALUE", 15));
        assert_int_equal(out.size, 0);
    }
}

/* Every field that clients may say, by its name in the tables, is taken by the reader. */
static void test_write_is_what_the_reader_takes(void **state)
{
    CLEANUP(json_parser_free) struct json_parser *parser = NULL;
    CLEANUP(arena_free) struct arena arena = {0};
    struct touchpoint event;
    struct event_problem why;
    struct json value;
    const struct event_flags head = {
        .type = "store_purchase", .id = "e-1", .time = "1795139999000"};
    (void)state;
    int r = write_event(&head, WORDS("loyalty:8800-1234"),
        WORDS("order.order_id=R-1", "order.currency=JPY", "order.revenue=12980", "order.tax=1180",
            "order.facet=placed", "order.items.0.sku=s", "order.items.0.price=12980",
            "order.items.0.quantity=3", "call.direction=inbound", "call.wait_ms=7",
            "device.kind=pos", "message.kind=email", "click.kind=gclid", "click.value=g",
            "consent.ads=denied", "campaign.medium=email", "geo.country=JP",
            "store.store_id=shibuya", "properties.deep:={\"a\":[null,true]}", "sequence=4"));
    assert_int_equal(r, 0);
    assert_int_equal(json_parser_new(&parser), 0);
    assert_int_equal(json_parse(parser, str_make(out.data, out.size), &value), 0);
    r = event_json_read(value, false, &arena, &event, &why);
    if (r < 0)
        fail_msg("%.*s: %.*s", (int)why.pointer.size, why.pointer.data, (int)why.hint.size,
            why.hint.data);
    assert_int_equal(event.order.revenue_minor, 12980);
    assert_int_equal(event.order.items_count, 1);
    assert_int_equal(event.order.items[0].quantity, 3);
    assert_int_equal(event.call.wait_ms, 7);
    assert_int_equal(event.sequence, 4);
    assert_int_equal(event.consent.ads, CHOICE_DENIED);
    assert_true(str_equal(event.properties, STR("{\"deep\":{\"a\":[null,true]}}")));
}

static int free_buffers(void **state)
{
    (void)state;
    buf_free(&out);
    buf_free(&problem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_groups_members_and_identifiers),
        cmocka_unit_test(test_write_types_values_by_the_schema),
        cmocka_unit_test(test_write_gathers_items_by_their_number),
        cmocka_unit_test(test_write_names_what_is_wrong),
        cmocka_unit_test(test_write_names_a_wrong_identifier),
        cmocka_unit_test(test_write_is_what_the_reader_takes),
    };
    return cmocka_run_group_tests(tests, NULL, free_buffers);
}
