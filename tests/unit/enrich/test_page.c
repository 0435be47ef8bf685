/* Addresses of pages and referrers, campaigns, click ids, percent-encoding. */
#include "enrich/step/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enrich/step/percent.h"
#include "schemas/error.h"

static const struct str keys[] = {STR_INIT("q"), STR_INIT("sku")};
static const struct page_config config = {keys, 2};

static void assert_text(struct str got, const char *want)
{
    struct str wanted = str_of(want);
    if (!str_equal(got, wanted))
        print_message("got \"%.*s\", want \"%.*s\"\n", (int)got.size, got.data, (int)wanted.size,
            wanted.data);
    assert_true(str_equal(got, wanted));
}

static struct touchpoint with_query(const char *query)
{
    struct touchpoint event;
    touchpoint_init(&event);
    event.has_page = true;
    event.page.host = STR("shop.example");
    event.page.path = STR("/a");
    event.page.query = str_of(query);
    return event;
}

static void test_page_step_query_goes_to_campaign_and_click(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event =
        with_query("sku=1&utm_source=google&utm_medium=cpc&utm_campaign=%E7%A7%8B+sale&utm_content="
                   "a&utm_term=b"
                   "&utm_id=7&utm_unknown=x&gclid=Ab%2Dc&q=%E9%9D%B4&email=me%40example.jp&sku");
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_true(event.has_campaign);
    assert_text(event.campaign.source, "google");
    assert_text(event.campaign.medium, "cpc");
    assert_text(event.campaign.name, "秋 sale");
    assert_text(event.campaign.content, "a");
    assert_text(event.campaign.term, "b");
    assert_text(event.campaign.id, "7");
    assert_true(event.has_click);
    assert_text(event.click.kind, "gclid");
    assert_text(event.click.value, "Ab-c");
    assert_text(event.page.query, "sku=1&q=%E9%9D%B4&sku");
    /* Again: nothing more happens. */
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_text(event.page.query, "sku=1&q=%E9%9D%B4&sku");
    arena_free(&arena);
}

static void test_page_step_client_said_wins(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event = with_query("utm_source=other&utm_medium=cpc&fbclid=F");
    event.has_campaign = true;
    event.campaign = (struct campaign){.source = STR("mine")};
    event.has_click = true;
    event.click = (struct click){STR("ttclid"), STR("T")};
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_text(event.campaign.source, "mine");
    assert_text(event.campaign.medium, "cpc");
    assert_text(event.click.kind, "ttclid");
    assert_text(event.page.query, "");
    arena_free(&arena);
}

static void test_page_step_several_click_ids_surest_stands(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *kind;
        const char *value;
    } rows[] = {
        {"fbclid=F&gclid=G", "gclid", "G"},
        {"gclid=&fbclid=F", "fbclid", "F"},
        {"wbraid=W&gbraid=B", "wbraid", "W"},
        {"yclid=YSS.1", "yclid", "YSS.1"},
        {"ldtag_cl=L", "ldtag", "L"},
        {"ttclid=T", "ttclid", "T"},
        {"msclkid=M", "msclkid", "M"},
        {"twclid=X", "twclid", "X"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct touchpoint event = with_query(rows[i].query);
        assert_int_equal(page_step(&config, &event, &arena), 0);
        assert_true(event.has_click);
        assert_text(event.click.kind, rows[i].kind);
        assert_text(event.click.value, rows[i].value);
        assert_false(event.has_campaign);
    }
    arena_free(&arena);
}

static void test_page_step_whole_addresses_split(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event;
    touchpoint_init(&event);
    event.has_page = true;
    event.page.path = STR("https://Shop.Example:8443/b/c?q=1&utm_source=x#top");
    event.page.referrer_host = STR("https://www.Google.co.jp/search?q=shoes");
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_text(event.page.host, "shop.example");
    assert_text(event.page.path, "/b/c");
    assert_text(event.page.query, "q=1");
    assert_text(event.campaign.source, "x");
    assert_text(event.page.referrer_host, "www.google.co.jp");
    assert_text(event.page.referrer_path, "/search");

    /* An address as part of a path of a known host is a path. */
    touchpoint_init(&event);
    event.has_page = true;
    event.page.host = STR("SHOP.example");
    event.page.path = STR("/to/https://other.example/#x");
    event.page.query = STR("?q=2#frag");
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_text(event.page.host, "shop.example");
    assert_text(event.page.path, "/to/https://other.example/");
    assert_text(event.page.query, "q=2");
    arena_free(&arena);
}

static void test_page_step_odd_queries_lose_nothing_listed(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *kept;
    } rows[] = {
        {"&&q=1&&", "q=1"},
        {"=1&q", "q"},
        {"q=a=b", "q=a=b"},
        {"Q=1", ""},
        {"q=%zz%", "q=%zz%"},
        {"xq=1&q2=2", ""},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct touchpoint event = with_query(rows[i].query);
        assert_int_equal(page_step(&config, &event, &arena), 0);
        assert_text(event.page.query, rows[i].kept);
    }
    /* More parameters than anybody sends: the first count. */
    CLEANUP(buf_free) struct buf many = {0};
    for (int i = 0; i < 2 * PAGE_PARAMETERS_MAX; i++)
        assert_int_equal(buf_append_str(&many, STR("a=1&")), 0);
    assert_int_equal(buf_append_str(&many, STR("q=1\0")), 0);
    struct touchpoint event = with_query(many.data);
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_text(event.page.query, "");
    arena_free(&arena);
}

static void test_page_step_no_page_untouched(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct touchpoint event;
    touchpoint_init(&event);
    assert_int_equal(page_step(&config, &event, &arena), 0);
    assert_false(event.has_page || event.has_campaign || event.has_click);
    arena_free(&arena);
}

static void test_page_step_no_memory_fails(void **state)
{
    (void)state;
    struct arena arena = {.size_max = 1};
    struct touchpoint event = with_query("q=1");
    assert_int_equal(page_step(&config, &event, &arena), ERR_NO_MEMORY);
    arena_free(&arena);
}

static void test_percent_decode_good_and_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"a+b%20c", "a b c"},
        {"%E3%81%82", "あ"},
        {"%f0%9f%98%80", "\xf0\x9f\x98\x80"},
        {"50%", "50%"},
        {"%4", "%4"},
        {"%4g", "%4g"},
        {"%00", "%00"},             /* a control character */
        {"a%0Ab", "a%0Ab"},         /* another */
        {"%82%A0", "%82%A0"},       /* Shift_JIS */
        {"%C0%80", "%C0%80"},       /* overlong */
        {"%ED%A0%80", "%ED%A0%80"}, /* a surrogate */
        {"%F4%90%80%80", "%F4%90%80%80"},
        {"%E3%81", "%E3%81"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str out;
        assert_int_equal(percent_decode(str_of(rows[i].text), &arena, &out), 0);
        assert_text(out, rows[i].want);
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_step_query_goes_to_campaign_and_click),
        cmocka_unit_test(test_page_step_client_said_wins),
        cmocka_unit_test(test_page_step_several_click_ids_surest_stands),
        cmocka_unit_test(test_page_step_whole_addresses_split),
        cmocka_unit_test(test_page_step_odd_queries_lose_nothing_listed),
        cmocka_unit_test(test_page_step_no_page_untouched),
        cmocka_unit_test(test_page_step_no_memory_fails),
        cmocka_unit_test(test_percent_decode_good_and_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
