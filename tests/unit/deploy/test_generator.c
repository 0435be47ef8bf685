/* deploy/generator: the same seed gives the same events, in order of time, all valid native JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deploy/generator.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/hash.h"

#define EVENTS 20000

static uint64_t hash_all(uint64_t seed, size_t events)
{
    struct generator_config config;
    generator_config_default(&config);
    config.seed = seed;
    config.events_max = events;
    struct generator *generator;
    struct buf text = {0};
    assert_int_equal(generator_new(&config, &generator), 0);
    assert_int_equal(generator_count(generator), events);
    for (size_t i = 0; i < events; i++)
        assert_int_equal(generator_write(generator, i, &text), 0);
    uint64_t hash = hash64(buf_str(&text));
    buf_free(&text);
    generator_free(&generator);
    assert_null(generator);
    return hash;
}

static void test_write_same_seed_gives_same_bytes(void **state)
{
    (void)state;
    assert_true(hash_all(3, 2000) == hash_all(3, 2000));
    assert_true(hash_all(3, 2000) != hash_all(4, 2000));
}

static void test_write_all_events_are_valid_and_in_order(void **state)
{
    (void)state;
    struct generator_config config;
    generator_config_default(&config);
    config.events_max = EVENTS;
    struct generator *generator;
    struct json_parser *parser;
    struct arena arena = {0};
    struct buf text = {0};
    assert_int_equal(generator_new(&config, &generator), 0);
    assert_int_equal(json_parser_new(&parser), 0);
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < EVENTS; i++) {
        struct json value;
        struct touchpoint event;
        struct event_problem problem = {0};
        buf_clear(&text);
        arena_reset(&arena);
        assert_int_equal(generator_write(generator, i, &text), 0);
        assert_int_equal(json_parse(parser, buf_str(&text), &value), 0);
        int r = event_json_read(value, false, &arena, &event, &problem);
        if (r < 0)
            fail_msg("%s at %.*s: %.*s", error_name(r), (int)problem.pointer.size,
                problem.pointer.data, (int)text.size, text.data);
        assert_true(event.occurred_at >= last);
        last = event.occurred_at;
    }
    buf_free(&text);
    arena_free(&arena);
    json_parser_free(&parser);
    generator_free(&generator);
}

static void test_new_without_events_is_refused(void **state)
{
    (void)state;
    struct generator_config config;
    struct generator *generator = NULL;
    generator_config_default(&config);
    config.events_max = 0;
    assert_int_equal(generator_new(&config, &generator), ERR_VALUE);
    assert_null(generator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_same_seed_gives_same_bytes),
        cmocka_unit_test(test_write_all_events_are_valid_and_in_order),
        cmocka_unit_test(test_new_without_events_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
