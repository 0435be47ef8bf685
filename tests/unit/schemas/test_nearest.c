#include "schemas/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct str known[] = {STR_INIT("id"), STR_INIT("order"), STR_INIT("properties"),
    STR_INIT("user_agent"), STR_INIT("ids"), STR_INIT("time"), STR_INIT("order_id"), STR_INIT("")};

static void assert_nearest(const char *name, const char *want)
{
    struct str found = nearest_name(str_of(name), known, sizeof(known) / sizeof(known[0]));
    if (!str_equal(found, str_of(want)))
        fail_msg("%s: %.*s, want %s", name, (int)found.size, found.data, want);
}

static void test_nearest_name_misspelt_is_found(void **state)
{
    (void)state;
    assert_nearest("oder", "order");
    assert_nearest("ordre", "order");
    assert_nearest("orders", "order");
    assert_nearest("propertes", "properties");
    assert_nearest("userAgent", "user_agent");
    assert_nearest("USER-AGENT", "user_agent");
    assert_nearest("orderId", "order_id");
    assert_nearest("tmie", "time");
    assert_nearest("idz", "ids");
}

static void test_nearest_name_far_is_none(void **state)
{
    (void)state;
    assert_nearest("", "");
    assert_nearest("-", "");
    assert_nearest("zzz", "");
    assert_nearest("revenue", "");
    char big[NEAREST_NAME_SIZE_MAX + 2];
    memset(big, 'o', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    assert_nearest(big, "");
    assert_int_equal(nearest_name(STR("order"), known, 0).size, 0);
}

static void test_nearest_within_counts_edits(void **state)
{
    (void)state;
    assert_true(str_equal(nearest_within(STR("propert"), known, 8, 3), STR("properties")));
    assert_int_equal(nearest_within(STR("propert"), known, 8, 2).size, 0);
    assert_int_equal(nearest_within(STR("xd"), known, 8, 2).size, 0); /* half of it is wrong */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_name_misspelt_is_found),
        cmocka_unit_test(test_nearest_name_far_is_none),
        cmocka_unit_test(test_nearest_within_counts_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
