/* Keys, origins, rates. */
#include "ingest/collector/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SECOND INT64_C(1000000)

struct fixture {
    uint8_t keys[2][SHA256_SIZE];
    struct metrics *metrics;
    struct sources *sources;
};

static void digest(struct str key, uint8_t out[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, key);
    sha256_final(&hash, out);
}

static int setup(void **state)
{
    static struct fixture fixture;
    static const struct str origins[] = {STR_INIT("https://a.jp"), STR_INIT("https://b.jp")};
    fixture = (struct fixture){0};
    digest(STR("old key"), fixture.keys[0]);
    digest(STR("new key"), fixture.keys[1]);
    const struct config_source config[] = {
        {.name = STR("web"),
            .keys = (const uint8_t(*)[SHA256_SIZE])fixture.keys,
            .keys_count = 2,
            .origins = origins,
            .origins_count = 2,
            .rate = 100,
            .enabled = true},
        {.name = STR("pos"), .enabled = true},
    };
    *state = &fixture;
    int r = metrics_new(&fixture.metrics);
    return r < 0 ? r : sources_new(config, 2, STR("pos"), fixture.metrics, &fixture.sources);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    sources_free(&fixture->sources);
    sources_free(&fixture->sources); /* accepts NULL */
    metrics_free(&fixture->metrics);
    return 0;
}

static void test_sources_find_by_any_of_its_keys(void **state)
{
    struct fixture *fixture = *state;
    const struct source *source = sources_find(fixture->sources, STR("old key"), 0);
    assert_non_null(source);
    assert_true(str_equal(source->config.name, STR("web")));
    assert_ptr_equal(sources_find(fixture->sources, STR("new key"), 0), source);
    assert_null(sources_find(fixture->sources, STR("new key "), 0));
    assert_null(sources_find(fixture->sources, STR(""), 0));
    assert_true(str_equal(sources_open(fixture->sources)->config.name, STR("pos")));
}

static void test_sources_find_old_key_until_its_end(void **state)
{
    struct fixture *fixture = *state;
    const struct config_source config[] = {{.name = STR("web"),
        .keys = (const uint8_t(*)[SHA256_SIZE])fixture->keys + 1,
        .keys_count = 1,
        .old_keys = (const uint8_t(*)[SHA256_SIZE])fixture->keys,
        .old_keys_count = 1,
        .old_keys_until_micros = 10 * SECOND,
        .enabled = true}};
    struct sources *sources = NULL;
    assert_int_equal(sources_new(config, 1, STR(""), fixture->metrics, &sources), 0);
    assert_non_null(sources_find(sources, STR("old key"), 10 * SECOND - 1));
    assert_null(sources_find(sources, STR("old key"), 10 * SECOND));
    assert_non_null(sources_find(sources, STR("new key"), 10 * SECOND));
    sources_free(&sources);
}

static void test_source_allows_listed_origins(void **state)
{
    struct fixture *fixture = *state;
    const struct source *web = sources_find(fixture->sources, STR("old key"), 0);
    assert_true(source_allows_origin(web, STR("https://b.jp")));
    assert_false(source_allows_origin(web, STR("https://c.jp")));
    assert_false(source_allows_origin(web, STR("null")));
    assert_true(source_allows_origin(web, STR(""))); /* not from a browser */
    assert_true(source_allows_origin(sources_open(fixture->sources), STR("https://c.jp")));
}

static void test_source_allows_every_host_below_a_star(void **state)
{
    static const struct str origins[] = {STR_INIT("https://*.shop.jp"), STR_INIT("http://a.jp:8")};
    const struct source source = {.config = {.origins = origins, .origins_count = 2}};
    (void)state;
    assert_true(source_allows_origin(&source, STR("https://www.shop.jp")));
    assert_true(source_allows_origin(&source, STR("https://a.b.shop.jp")));
    assert_true(source_allows_origin(&source, STR("http://a.jp:8")));
    static const struct str others[] = {STR_INIT("https://shop.jp"), STR_INIT("https://.shop.jp"),
        STR_INIT("https://badshop.jp"), STR_INIT("http://www.shop.jp"),
        STR_INIT("https://www.shop.jp:8443"), STR_INIT("https://www.shop.jp.bad.example"),
        STR_INIT("null"), STR_INIT("http://a.jp")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(source_allows_origin(&source, others[i]));
}

static void test_source_take_burst_bounds_what_is_saved_up(void **state)
{
    struct fixture *fixture = *state;
    const struct config_source config[] = {
        {.name = STR("few"), .rate = 100, .burst = 20, .enabled = true}};
    struct sources *sources = NULL;
    assert_int_equal(sources_new(config, 1, STR("few"), fixture->metrics, &sources), 0);
    const struct source *few = sources_open(sources);
    assert_int_equal(source_take(sources, few, 20, SECOND), 0);
    assert_int_equal(source_take(sources, few, 1, SECOND), 1);
    assert_int_equal(source_take(sources, few, 20, 10 * SECOND), 0); /* not those of 9 s */
    assert_int_equal(source_take(sources, few, 1, 10 * SECOND), 1);
    sources_free(&sources);
}

static void test_sources_inherit_what_was_saved_up(void **state)
{
    struct fixture *fixture = *state;
    struct config_source config[] = {
        {.name = STR("same"), .rate = 10, .enabled = true}, {.name = STR("other"), .rate = 10}};
    struct sources *old = NULL, *new = NULL;
    assert_int_equal(sources_new(config, 2, STR("same"), fixture->metrics, &old), 0);
    assert_int_equal(source_take(old, sources_open(old), 100, SECOND), 0);
    config[1].rate = 20;
    assert_int_equal(sources_new(config, 2, STR("same"), fixture->metrics, &new), 0);
    sources_inherit(new, old);
    sources_free(&old);
    assert_int_equal(source_take(new, sources_open(new), 10, SECOND), 1);
    assert_int_equal(source_take(new, sources_open(new), 10, 2 * SECOND), 0);
    assert_int_equal(source_take(new, sources_open(new) + 1, 200, 2 * SECOND), 0); /* anew */
    sources_free(&new);
}

static void test_source_take_refuses_over_the_rate_and_recovers(void **state)
{
    struct fixture *fixture = *state;
    const struct source *web = sources_find(fixture->sources, STR("old key"), 0);
    int64_t now = 5 * SECOND;
    assert_int_equal(source_take(fixture->sources, web, 1000, now), 0); /* ten seconds' worth */
    assert_int_equal(source_take(fixture->sources, web, 1, now), 1);
    assert_int_equal(source_take(fixture->sources, web, 250, now), 3);
    now += SECOND;
    assert_int_equal(source_take(fixture->sources, web, 100, now), 0);
    assert_int_equal(source_take(fixture->sources, web, 1, now), 1);
    now += 3600 * SECOND;
    assert_int_equal(source_take(fixture->sources, web, 1000, now), 0); /* no more is saved up */
    assert_int_equal(source_take(fixture->sources, web, 1000, now), 10);
}

static void test_source_take_batch_beyond_the_burst_passes_when_full(void **state)
{
    struct fixture *fixture = *state;
    const struct source *web = sources_find(fixture->sources, STR("old key"), 0);
    assert_int_equal(source_take(fixture->sources, web, 2500, SECOND), 0);
    assert_int_equal(source_take(fixture->sources, web, 2500, SECOND), 25); /* all were taken */
    assert_int_equal(source_take(fixture->sources, web, 1, 15 * SECOND), 2);
    assert_int_equal(source_take(fixture->sources, web, 2500, 25 * SECOND), 1);
    assert_int_equal(source_take(fixture->sources, web, 2500, 26 * SECOND), 0);
}

/* Batches far beyond the burst, each as soon as it may come. */
static void test_source_take_batches_keep_the_rate(void **state)
{
    struct fixture *fixture = *state;
    const struct config_source config[] = {
        {.name = STR("few"), .rate = 5, .burst = 5, .enabled = true}};
    struct sources *sources = NULL;
    assert_int_equal(sources_new(config, 1, STR("few"), fixture->metrics, &sources), 0);
    int events = 0;
    for (int64_t now = SECOND; now <= 1000 * SECOND; now += 1050000)
        if (source_take(sources, sources_open(sources), 100, now) == 0)
            events += 100;
    assert_in_range(events, 4500, 5 * 999 + 5 + 100);
    sources_free(&sources);
}

static void test_sources_inherit_a_debt(void **state)
{
    struct fixture *fixture = *state;
    const struct config_source config[] = {
        {.name = STR("few"), .rate = 5, .burst = 5, .enabled = true}};
    struct sources *old = NULL, *new = NULL;
    assert_int_equal(sources_new(config, 1, STR("few"), fixture->metrics, &old), 0);
    assert_int_equal(source_take(old, sources_open(old), 100, SECOND), 0);
    assert_int_equal(sources_new(config, 1, STR("few"), fixture->metrics, &new), 0);
    sources_inherit(new, old);
    sources_free(&old);
    assert_int_equal(source_take(new, sources_open(new), 1, SECOND), 20);
    sources_free(&new);
}

static void test_source_take_clock_that_goes_back_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct source *web = sources_find(fixture->sources, STR("old key"), 0);
    assert_int_equal(source_take(fixture->sources, web, 1000, 100 * SECOND), 0);
    assert_int_equal(source_take(fixture->sources, web, 1, 50 * SECOND), 1);
    assert_int_equal(source_take(fixture->sources, web, 1, 51 * SECOND), 0);
}

static void test_source_take_without_rate_never_refuses(void **state)
{
    struct fixture *fixture = *state;
    const struct source *pos = sources_open(fixture->sources);
    for (int i = 0; i < 100; i++)
        assert_int_equal(source_take(fixture->sources, pos, 1000000, 0), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_sources_find_by_any_of_its_keys),
        CASE(test_sources_find_old_key_until_its_end),
        CASE(test_source_allows_listed_origins),
        CASE(test_source_allows_every_host_below_a_star),
        CASE(test_source_take_burst_bounds_what_is_saved_up),
        CASE(test_sources_inherit_what_was_saved_up),
        CASE(test_source_take_refuses_over_the_rate_and_recovers),
        CASE(test_source_take_batch_beyond_the_burst_passes_when_full),
        CASE(test_source_take_batches_keep_the_rate),
        CASE(test_sources_inherit_a_debt),
        CASE(test_source_take_clock_that_goes_back_gives_nothing),
        CASE(test_source_take_without_rate_never_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
