#include "schemas/event_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_part(const struct event_part *part)
{
    assert_true(part->count <= EVENT_FIELDS_MAX);
    assert_int_equal(part->from[EVENT_FIELD_NAME_SIZE_MAX + 1], part->count);
    uint32_t placed = 0;
    for (size_t i = 0; i < part->count; i++) {
        const struct event_field *field = &part->fields[i];
        if (event_field_find(part, field->name) != field)
            fail_msg("%s is not found", field->name.data);
        assert_true(i == 0 || str_compare(part->fields[i - 1].name, field->name) < 0);
        assert_int_equal(field->standard != 0, part->standards >> i & 1);
        assert_int_equal(field->part != NULL, field->kind == EVENT_FIELD_PART ||
                                                  field->kind == EVENT_FIELD_CONSENT ||
                                                  field->kind == EVENT_FIELD_ENUM);
        placed |= (uint32_t)1 << part->by_size[i];
    }
    assert_int_equal(placed, part->count == 32 ? UINT32_MAX : ((uint32_t)1 << part->count) - 1);
}

static void test_event_field_find_finds_every_name_of_every_part(void **state)
{
    (void)state;
    check_part(&event_part_touchpoint);
    check_part(&event_part_item);
    for (size_t i = 0; i < event_part_touchpoint.count; i++) {
        const struct event_field *field = &event_part_touchpoint.fields[i];
        if (field->kind == EVENT_FIELD_PART || field->kind == EVENT_FIELD_CONSENT)
            check_part(field->part);
    }
}

static void test_event_field_find_other_names_are_absent(void **state)
{
    (void)state;
    static const char *const absent[] = {"", "i", "idx", "ID", "traceparen", "traceparent_",
        "zzzzzzzzzz", "a_name_that_is_longer_than_any"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(event_field_find(&event_part_touchpoint, str_of(absent[i])));
}

/* Standards are those of the Avro schema. */
static void test_event_field_standards_agree_with_the_schema(void **state)
{
    (void)state;
    struct order_item item;
    order_item_init(&item);
    assert_int_equal(event_field_find(&event_part_item, STR("quantity"))->standard, item.quantity);
    struct evidence evidence;
    evidence_init(&evidence);
    const struct event_field *field = event_field_find(&event_part_touchpoint, STR("evidence"));
    assert_int_equal(event_field_find(field->part, STR("sign"))->standard, evidence.sign);
}

static void test_event_field_nearest_hides_trusted_names(void **state)
{
    (void)state;
    assert_true(
        str_equal(event_field_nearest(&event_part_touchpoint, false, STR("oder")), STR("order")));
    assert_int_equal(event_field_nearest(&event_part_touchpoint, false, STR("chanel")).size, 0);
    assert_true(str_equal(
        event_field_nearest(&event_part_touchpoint, true, STR("chanel")), STR("channel")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_field_find_finds_every_name_of_every_part),
        cmocka_unit_test(test_event_field_find_other_names_are_absent),
        cmocka_unit_test(test_event_field_standards_agree_with_the_schema),
        cmocka_unit_test(test_event_field_nearest_hides_trusted_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
