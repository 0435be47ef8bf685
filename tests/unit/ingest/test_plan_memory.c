/* Every allocation on the way of a plan's files, of a judgement and of a rehearsal fails once: a
 * typed error, and the next attempt as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/rehearsal.h"
#include "ingest/plan/plan.h"
#include "schemas/error.h"
#include "tests/unit/schemas/failing_alloc.h"

#define NTH_MAX 2000
#define BODY                                                                                       \
    "[{\"id\":\"1\",\"type\":\"order_completed\",\"ids\":{\"login\":\"u\"},\"order\":{"            \
    "\"order_id\":\"W-1\",\"revenue\":\"1\",\"currency\":\"JPY\",\"coupon\":\"NATSU\","            \
    "\"items\":[{\"sku\":\"s\",\"price\":\"1\"}]}},{\"id\":\"2\",\"type\":\"searched\",\"ids\":{"  \
    "\"login\":\"u\"}},{\"id\":\"2\",\"type\":\"searched\",\"ids\":{\"login\":\"u\"}},{\"id\":"    \
    "\"3\",\"type\":\"x\",\"ids\":{\"login\":\"u\"},\"consent\":{\"analytics\":false}}]"

static const char *dir_of(char out[500])
{
    (void)snprintf(out, 500, "%s/deploy/config/schemas", getenv("TABIJI_SOURCE_ROOT"));
    return out;
}

static int load(struct plan **out)
{
    char dir[500];
    CLEANUP(buf_free) struct buf message = {0};
    CLEANUP(plan_files_free) struct plan_files *files = NULL;
    int r = plan_files_load(dir_of(dir), &files, &message);
    return r < 0 ? r : plan_new(&files, out);
}

/* What the plan says of the order, a name for each fate. */
static int run(struct plan *plan, char fates[10])
{
    CLEANUP(arena_free) struct arena arena = {0};
    const struct config_source source = {.name = STR("ec-web"), .protocols = SOURCE_PROTOCOL_ALL};
    struct door_config door;
    struct rehearsal rehearsal;
    door_config_default(&door);
    door.plan = plan;
    const struct rehearsal_config config = {.protocol = REHEARSAL_NATIVE,
        .source = &source,
        .door = &door,
        .events_max = 10,
        .now_micros = INT64_C(1795140000000000)};
    int r = rehearse(&config, STR(BODY), &arena, &rehearsal);
    memset(fates, 0, 10);
    for (size_t i = 0; r == 0 && i < rehearsal.count; i++)
        fates[i] = "adnr"[rehearsal.list[i].fate];
    return r;
}

static void test_plan_every_allocation_failing_is_an_error(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < NTH_MAX; nth++) {
        struct plan *plan = NULL;
        failing_alloc_at(nth);
        int r = load(&plan);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        plan_free(&plan);
        if (happened)
            continue;
        assert_true(nth > 10);
        return;
    }
    fail();
}

static void test_rehearse_every_allocation_failing_is_an_error(void **state)
{
    struct plan *plan = NULL;
    char fates[10];
    (void)state;
    assert_int_equal(load(&plan), 0);
    for (size_t nth = 1; nth < NTH_MAX; nth++) {
        struct plan *fresh = NULL; /* without a parser at hand */
        assert_int_equal(load(&fresh), 0);
        failing_alloc_at(nth);
        int r = run(fresh, fates);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        plan_free(&fresh);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        assert_int_equal(run(plan, fates), 0);
        assert_string_equal(fates, "radn");
        if (happened)
            continue;
        assert_true(nth > 20);
        plan_free(&plan);
        return;
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_rehearse_every_allocation_failing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
