/* What is remembered, and what is forgotten. */
#include "ingest/collector/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_recent_mark_tells_its_parts_apart(void **state)
{
    struct recent *recent;
    (void)state;
    assert_int_equal(recent_new(&recent), 0);
    uint64_t mark = recent_mark(recent, STR("web"), STR("m1"), STR("a1"));
    assert_true(mark == recent_mark(recent, STR("web"), STR("m1"), STR("a1")));
    assert_true(mark != recent_mark(recent, STR("app"), STR("m1"), STR("a1")));
    assert_true(mark != recent_mark(recent, STR("web"), STR("m1a"), STR("1")));
    assert_true(mark != recent_mark(recent, STR("web"), STR("m1"), STR("a2")));
    assert_true(mark != 0);
    recent_free(&recent);
}

static void test_recent_remembers_the_last_ones(void **state)
{
    struct recent *recent;
    (void)state;
    assert_int_equal(recent_new(&recent), 0);
    const uint64_t first = UINT64_C(0x123400000000ffff);
    assert_false(recent_has(recent, first));
    recent_add(recent, &first, 1);
    recent_add(recent, &first, 1);
    assert_true(recent_has(recent, first));
    /* Others of the same place, so that places are searched. */
    for (uint64_t i = 1; i <= 100; i++)
        recent_add(recent, &(uint64_t){first + (i << 32)}, 1);
    for (uint64_t i = 1; i <= 100; i++)
        assert_true(recent_has(recent, first + (i << 32)));
    for (uint64_t i = 1; i <= RECENT_EVENTS - 101; i++)
        recent_add(recent, &(uint64_t){i}, 1);
    for (uint64_t i = 1; i <= RECENT_EVENTS; i++)
        recent_add(recent, &(uint64_t){i << 17 | i}, 1);
    assert_true(recent_has(recent, first)); /* the older generation */
    assert_true(recent_has(recent, 1));
    recent_add(recent, &(uint64_t){UINT64_C(1) << 60}, 1);
    assert_false(recent_has(recent, first));
    assert_false(recent_has(recent, 1));
    assert_true(recent_has(recent, UINT64_C(1) << 17 | 1));
    recent_free(&recent);
    assert_null(recent);
    recent_free(&recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recent_mark_tells_its_parts_apart),
        cmocka_unit_test(test_recent_remembers_the_last_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
