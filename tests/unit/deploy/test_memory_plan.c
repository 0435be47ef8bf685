/* What a worker gives to what fits into what the operator gave it. */
#include "deploy/memory_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static struct memory_plan plan_of(const char *text)
{
    struct config *config = NULL;
    struct config_problem problem = {.text = ""};
    assert_int_equal(config_new(&config), 0);
    assert_int_equal(config_load_text(config, "test", str_of(text), &problem), 0);
    struct memory_plan plan = memory_plan(config);
    config_free(&config);
    return plan;
}

static void test_plan_without_memory_is_as_the_options_say(void **state)
{
    (void)state;
    struct memory_plan plan = plan_of("[worker]\nbatch_bytes = 3 MiB\ncache_bytes = 5 MiB\n");
    assert_int_equal(plan.batch_bytes, 3 * MIB);
    assert_int_equal(plan.cache_bytes, 5 * MIB);
    plan = plan_of("");
    assert_int_equal(plan.batch_bytes, 512 * MIB);
    assert_int_equal(plan.cache_bytes, 64 * MIB);
}

static void test_plan_never_takes_more_than_an_option_says(void **state)
{
    (void)state;
    struct memory_plan plan =
        plan_of("[worker]\nmemory = 64 GiB\nbatch_bytes = 3 MiB\ncache_bytes = 5 MiB\n");
    assert_int_equal(plan.batch_bytes, 3 * MIB);
    assert_int_equal(plan.cache_bytes, 5 * MIB);
}

/* All that the head of memory_plan.c counts, of a process that has all partitions. */
static void test_plan_parts_are_within_the_memory(void **state)
{
    (void)state;
    for (size_t memory = 96; memory <= 8192; memory *= 2)
        for (size_t partitions = 1; partitions <= (memory < 192 ? 16 : 64); partitions *= 4) {
            char text[128];
            (void)snprintf(text, sizeof text,
                "[worker]\nmemory = %zu MiB\n[stream]\npartitions = %zu\n", memory, partitions);
            struct memory_plan plan = plan_of(text);
            size_t tasks = 2 * partitions;
            size_t write = plan.batch_bytes / 16 < MIB / 4 ? MIB / 4 : plan.batch_bytes / 16;
            size_t parts = 64 * MIB + 3 * plan.batch_bytes + plan.batch_bytes / 2 +
                           plan.batch_bytes / 2 + tasks * write +
                           2 * plan.cache_bytes * (partitions + tasks);
            if (parts > memory * MIB)
                fail_msg("%zu MiB, %zu partitions: %zu bytes", memory, partitions, parts);
            assert_true(plan.batch_bytes >= MIB);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_without_memory_is_as_the_options_say),
        cmocka_unit_test(test_plan_never_takes_more_than_an_option_says),
        cmocka_unit_test(test_plan_parts_are_within_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
