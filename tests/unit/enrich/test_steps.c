/* All steps together, on events as they come from doors. */
#include "enrich/step/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/schemas/failing_alloc.h"

#define ALLOCATIONS_MAX 2000

#define IPHONE                                                                                     \
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "    \
    "Gecko) Version/17.1 Mobile/15E148 Safari/604.1"

static void assert_text(struct str got, const char *want)
{
    struct str wanted = str_of(want);
    if (!str_equal(got, wanted))
        print_message("got \"%.*s\", want \"%.*s\"\n", (int)got.size, got.data, (int)wanted.size,
            wanted.data);
    assert_true(str_equal(got, wanted));
}

static const struct str keys[] = {STR_INIT("q")};

static struct steps *open_steps(void)
{
    struct steps_config config = {
        .query_keys = keys, .query_keys_count = 1, .geo_database = getenv("TABIJI_MMDB")};
    char why[STEPS_WHY_SIZE];
    struct steps *steps = NULL;
    assert_int_equal(steps_open(&steps, &config, why), 0);
    return steps;
}

static struct touchpoint page_view(void)
{
    struct touchpoint event;
    touchpoint_init(&event);
    event.type = STR("page_viewed");
    event.has_page = true;
    event.page.host = STR("www.shop.example");
    event.page.path = STR("/a");
    event.page.query = STR("utm_source=google&utm_medium=cpc&q=1&secret=2");
    event.page.referrer_host = STR("www.google.co.jp");
    event.has_client = true;
    event.client.user_agent = STR(IPHONE);
    event.client.address = STR("203.0.113.77");
    return event;
}

static void test_steps_apply_page_view_completed(void **state)
{
    (void)state;
    struct steps *steps = open_steps();
    struct arena arena = {0};
    struct touchpoint event = page_view();
    struct str channel;
    assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
    assert_text(channel, "Paid Search");
    assert_text(event.campaign.source, "google");
    assert_text(event.page.query, "q=1");
    assert_true(event.has_device);
    assert_int_equal(event.device.kind, DEVICE_KIND_MOBILE);
    assert_true(event.has_geo);
    assert_text(event.geo.country, "JP");
    assert_text(event.client.address, "203.0.113.0");
    assert_text(event.client.user_agent, IPHONE);
    assert_text(event.channel, ""); /* the table's word goes beside the event */
    assert_false(event.bot);
    steps_close(&steps);
    assert_null(steps);
    arena_free(&arena);
}

static void test_steps_apply_word_about_persons_has_no_channel(void **state)
{
    static const char *const words[] = {
        "identity_linked", "identity_unlinked", "aliased", "erasure_requested", "erasure_lifted"};
    struct steps *steps = open_steps();
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct touchpoint event;
        struct str channel = STR("?");
        touchpoint_init(&event);
        event.type = str_of(words[i]);
        event.has_evidence = i < 3;
        assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
        assert_text(channel, "");
        event.type = STR("signed_in"); /* the same as what a visitor did */
        assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
        assert_text(channel, "Direct");
    }
    steps_close(&steps);
    arena_free(&arena);
}

/* The same bytes again, from cold and warm caches, and when applied to its own result. */
static void test_steps_apply_again_gives_the_same_bytes(void **state)
{
    (void)state;
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf first = {0};
    struct steps *steps = open_steps();
    struct touchpoint done = page_view();
    struct str channel;
    assert_int_equal(steps_apply(steps, &done, &arena, &channel), 0);
    assert_int_equal(touchpoint_encode(&done, &first), 0);
    for (int round = 0; round < 4; round++) {
        CLEANUP(buf_free) struct buf again = {0};
        struct touchpoint event = round == 3 ? done : page_view();
        if (round == 2) {
            steps_close(&steps);
            steps = open_steps();
        }
        assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
        assert_int_equal(touchpoint_encode(&event, &again), 0);
        assert_true(str_equal(buf_str(&again), buf_str(&first)));
        assert_text(channel, "Paid Search");
    }
    steps_close(&steps);
    arena_free(&arena);
}

static void test_steps_apply_client_said_stays(void **state)
{
    (void)state;
    struct steps *steps = open_steps();
    struct arena arena = {0};
    struct touchpoint event = page_view();
    struct str channel;
    event.has_device = true;
    event.device.kind = DEVICE_KIND_KIOSK;
    event.device.os = STR("own os");
    event.has_geo = true;
    event.geo.country = STR("FR");
    event.bot = true;
    event.channel = STR("Declared");
    assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
    assert_int_equal(event.device.kind, DEVICE_KIND_KIOSK);
    assert_text(event.device.os, "own os");
    assert_text(event.geo.country, "FR");
    assert_text(event.client.address, "203.0.113.0");
    assert_true(event.bot);
    assert_text(event.channel, "Declared");
    steps_close(&steps);
    arena_free(&arena);
}

static void test_steps_apply_bare_event_untouched(void **state)
{
    (void)state;
    struct steps *steps = open_steps();
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf before = {0};
    CLEANUP(buf_free) struct buf after = {0};
    struct touchpoint event;
    struct str channel;
    touchpoint_init(&event);
    event.type = STR("call_ended");
    assert_int_equal(touchpoint_encode(&event, &before), 0);
    assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
    assert_int_equal(touchpoint_encode(&event, &after), 0);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    assert_text(channel, "Call Center");
    steps_close(&steps);
    arena_free(&arena);
}

static void test_steps_apply_bot_flagged(void **state)
{
    (void)state;
    struct steps *steps = open_steps();
    struct arena arena = {0};
    struct touchpoint event = page_view();
    struct str channel;
    event.client.user_agent = STR("Mozilla/5.0 (compatible; Googlebot/2.1)");
    event.client.address = STR("not an address");
    assert_int_equal(steps_apply(steps, &event, &arena, &channel), 0);
    assert_true(event.bot);
    assert_text(event.client.address, "");
    steps_close(&steps);
    arena_free(&arena);
}

static void test_steps_open_bad_files_say_which(void **state)
{
    (void)state;
    char why[STEPS_WHY_SIZE];
    struct steps *steps = NULL;
    assert_int_equal(
        steps_open(&steps, &(struct steps_config){.channel_rules = "no/rules.ini"}, why),
        ERR_NOT_FOUND);
    assert_non_null(strstr(why, "no/rules.ini"));
    assert_int_equal(
        steps_open(&steps, &(struct steps_config){.geo_database = "no/places.mmdb"}, why),
        ERR_NOT_FOUND);
    assert_non_null(strstr(why, "no/places.mmdb"));
    assert_null(steps);
    /* A package that is not installed is no reason to stop. */
    assert_int_equal(
        steps_open(&steps, &(struct steps_config){.agent_rules = "no/regexes.yaml"}, why),
        STEPS_WITHOUT_AGENT_RULES);
    assert_non_null(strstr(why, "no/regexes.yaml"));
    assert_non_null(steps);
    steps_close(&steps);
}

static void test_steps_apply_without_memory_fails(void **state)
{
    (void)state;
    struct steps *steps = open_steps();
    struct arena none = {.size_max = 1};
    struct touchpoint event = page_view();
    struct str channel = STR("before");
    assert_int_equal(steps_apply(steps, &event, &none, &channel), ERR_NO_MEMORY);
    assert_text(channel, "before");
    steps_close(&steps);
}

/* Whatever allocation fails: a clean error, or (a cache that remembers nothing) the right answer.
 */
static void test_steps_every_allocation_failing_survives(void **state)
{
    (void)state;
    size_t refused = 0, nth;
    for (nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        char why[STEPS_WHY_SIZE];
        struct steps *steps = NULL;
        struct arena arena = {0};
        struct str channel = STR("");
        struct touchpoint event = page_view();
        struct steps_config config = {.query_keys = keys, .query_keys_count = 1};
        failing_alloc_at(nth);
        int r = steps_open(&steps, &config, why);
        if (r == 0)
            r = steps_apply(steps, &event, &arena, &channel);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        if (r < 0) {
            assert_int_equal(r, ERR_NO_MEMORY);
            refused++;
        } else {
            assert_text(channel, "Paid Search");
        }
        steps_close(&steps);
        arena_free(&arena);
        if (!happened)
            break;
    }
    assert_true(refused > 5);
    assert_true(nth < ALLOCATIONS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_apply_page_view_completed),
        cmocka_unit_test(test_steps_apply_word_about_persons_has_no_channel),
        cmocka_unit_test(test_steps_apply_again_gives_the_same_bytes),
        cmocka_unit_test(test_steps_apply_client_said_stays),
        cmocka_unit_test(test_steps_apply_bare_event_untouched),
        cmocka_unit_test(test_steps_apply_bot_flagged),
        cmocka_unit_test(test_steps_open_bad_files_say_which),
        cmocka_unit_test(test_steps_apply_without_memory_fails),
        cmocka_unit_test(test_steps_every_allocation_failing_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
