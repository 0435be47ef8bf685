/* What an arena takes and keeps. */
#include "schemas/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KIB ((size_t)1 << 10)

static void fill(struct arena *arena, size_t bytes)
{
    for (size_t taken = 0; taken < bytes; taken += KIB) {
        void *block = arena_alloc(arena, KIB);
        assert_non_null(block);
        memset(block, 1, KIB);
    }
}

static void test_reset_keeps_the_largest_block(void **state)
{
    (void)state;
    struct arena arena = {.size_max = 0};
    fill(&arena, 100 * KIB);
    size_t held = arena.size;
    arena_reset(&arena);
    assert_in_range(arena.size, 50 * KIB, held - 1);
    arena_free(&arena);
    assert_int_equal(arena.size, 0);
}

static void test_alloc_with_a_limit_of_blocks_keeps_no_larger_one(void **state)
{
    (void)state;
    struct arena arena = {.block_size_max = 16 * KIB};
    fill(&arena, 1000 * KIB);
    assert_in_range(arena.size, 1000 * KIB, 1040 * KIB);
    arena_reset(&arena);
    assert_int_equal(arena.size, 16 * KIB);
    assert_non_null(arena_alloc(&arena, 300 * KIB)); /* one that is larger is had all the same */
    arena_reset(&arena);
    assert_in_range(arena.size, 1, 16 * KIB);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_keeps_the_largest_block),
        cmocka_unit_test(test_alloc_with_a_limit_of_blocks_keeps_no_larger_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
