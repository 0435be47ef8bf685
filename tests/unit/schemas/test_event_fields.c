#include "schemas/event_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Fills the slots by the multiplier; false when two names meet in one. */
static bool place(const struct event_part *part, struct event_part *out)
{
    bool taken[EVENT_FIELD_SLOTS] = {false};
    memset(out->slots, 0, sizeof(out->slots));
    for (size_t i = 0; i < part->count; i++) {
        const struct event_field *field = &part->fields[i];
        size_t slot = event_field_slot(out, field->text, field->size);
        if (taken[slot])
            return false;
        taken[slot] = true;
        out->slots[slot] = (uint8_t)i;
    }
    return true;
}

/* What the table should say. */
static void print_slots(const struct event_part *part)
{
    struct event_part found = *part;
    uint64_t state = 0;
    while (!place(part, &found)) { /* splitmix64 */
        uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        found.multiplier = z ^ (z >> 31);
    }
    print_error("0x%016llX, {", (unsigned long long)found.multiplier);
    for (int i = 0; i < EVENT_FIELD_SLOTS; i++) {
        if (found.slots[i])
            print_error("[%d] = %d, ", i, found.slots[i]);
    }
    print_error("}\n");
}

static void check_part(const struct event_part *part)
{
    assert_true(part->count <= EVENT_FIELDS_MAX);
    struct event_part want = *part;
    if (!place(part, &want) || memcmp(want.slots, part->slots, sizeof(want.slots)) != 0) {
        print_slots(part);
        fail_msg("the slots of %s... are to be as printed", part->fields[0].name.data);
    }
    for (size_t i = 0; i < part->count; i++) {
        const struct event_field *field = &part->fields[i];
        assert_true(field->name.size <= EVENT_FIELD_NAME_SIZE_MAX);
        assert_int_equal(field->size, field->name.size);
        assert_ptr_equal(event_field_find(part, field->name), field);
        assert_true(str_equal(str_of(field->text), field->name));
        assert_true(i == 0 || str_compare(part->fields[i - 1].name, field->name) < 0);
        assert_int_equal(field->standard != 0, part->standards >> i & 1);
        assert_int_equal(field->trusted, part->trusted >> i & 1);
        bool detailed = field->kind == EVENT_FIELD_PART || field->kind == EVENT_FIELD_CONSENT ||
                        field->kind == EVENT_FIELD_ENUM;
        assert_int_equal(field->part != NULL, detailed);
    }
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
    static const char *const absent[] = {"", "i", "tzpe", "tIme", "orddr", "properrtes", "idx",
        "ID", "traceparen", "traceparent_", "Traceparent", "xxxchannel", "zzzzzzzzzz",
        "a_name_that_is_longer_than_any"};
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
