/* What is given back is taken again; what is too large or too much is freed. */
#include "ingest/collector/spares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_spares_take_arena_has_the_block_of_the_last(void **state)
{
    struct spares spares;
    (void)state;
    spares_init(&spares);
    struct arena arena = spares_take_arena(&spares, 1 << 20);
    void *first = arena_alloc(&arena, 100);
    assert_non_null(first);
    spares_give_arena(&spares, &arena);
    assert_null(arena.block);
    spares_give_arena(&spares, &arena); /* is empty */
    assert_int_equal(spares.arenas_count, 1);
    arena = spares_take_arena(&spares, 64);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    assert_null(arena_alloc(&arena, 5000)); /* over this request's size_max */
    spares_give_arena(&spares, &arena);
    spares_fini(&spares);
}

static void test_spares_give_arena_frees_a_huge_block(void **state)
{
    struct spares spares;
    (void)state;
    spares_init(&spares);
    struct arena arena = spares_take_arena(&spares, 0);
    assert_non_null(arena_alloc(&arena, SPARES_BLOCK_SIZE_MAX + 1));
    spares_give_arena(&spares, &arena);
    assert_int_equal(spares.arenas_count, 0);
    spares_fini(&spares);
}

static void test_spares_give_keeps_no_more_than_its_maximum(void **state)
{
    static struct arena arenas[SPARES_ARENAS_MAX + 2];
    static struct json_parser *parsers[2];
    struct spares spares;
    (void)state;
    spares_init(&spares);
    for (size_t i = 0; i < SPARES_ARENAS_MAX + 2; i++)
        assert_non_null(arena_alloc(&arenas[i], 1));
    for (size_t i = 0; i < SPARES_ARENAS_MAX + 2; i++)
        spares_give_arena(&spares, &arenas[i]);
    assert_int_equal(spares.arenas_count, SPARES_ARENAS_MAX);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(spares_take_parser(&spares, &parsers[i]), 0);
    struct json_parser *last = parsers[1];
    for (size_t i = 0; i < 2; i++)
        spares_give_parser(&spares, &parsers[i]);
    assert_null(parsers[1]);
    assert_int_equal(spares_take_parser(&spares, &parsers[0]), 0);
    assert_ptr_equal(parsers[0], last);
    spares_give_parser(&spares, &parsers[0]);
    spares_fini(&spares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spares_take_arena_has_the_block_of_the_last),
        cmocka_unit_test(test_spares_give_arena_frees_a_huge_block),
        cmocka_unit_test(test_spares_give_keeps_no_more_than_its_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
