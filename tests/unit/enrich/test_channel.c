/* The shipped channel rules as a table, and the reading of rule files. */
#include "enrich/step/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

struct row {
    const char *channel;
    const char *source, *medium, *campaign;
    const char *referrer;
    const char *click;
    const char *type;
    enum message_kind message;
};

#define WEB "page_viewed"

static const struct row shipped[] = {
    {"Direct", "", "", "", "", "", WEB, 0},
    {"Direct", "(direct)", "(none)", "", "", "", WEB, 0},
    {"Direct", "", "", "", "shop.example", "", WEB, 0},            /* its own site */
    {"Direct", "", "", "", "www.shop.example", "", WEB, 0},        /* again */
    {"Direct", "", "", "", "m.shop.example", "", "app_opened", 0}, /* below it */
    {"Referral", "", "", "", "othershop.example", "", WEB, 0},
    {"Referral", "partner", "referral", "", "", "", WEB, 0},
    /* search */
    {"Paid Search", "google", "cpc", "winter", "www.google.co.jp", "gclid", WEB, 0},
    {"Paid Search", "Yahoo", "CPC", "brand", "search.yahoo.co.jp", "yclid", WEB, 0},
    {"Paid Search", "yahoo", "listing", "", "", "", WEB, 0},
    {"Paid Search", "", "", "", "www.google.com", "gclid", WEB, 0},
    {"Paid Search", "", "", "", "", "wbraid", WEB, 0},
    {"Paid Search", "", "", "", "", "msclkid", WEB, 0},
    {"Organic Search", "", "", "", "www.google.co.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "search.yahoo.co.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "search.goo.ne.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "websearch.rakuten.co.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "search.smt.docomo.ne.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "sp-search.auone.jp", "", WEB, 0},
    {"Organic Search", "", "", "", "cn.bing.com", "", WEB, 0},
    {"Organic Search", "", "", "", "com.google.android.googlequicksearchbox", "", WEB, 0},
    {"Organic Search", "yahoo", "organic", "", "", "", WEB, 0},
    {"Referral", "", "", "", "news.yahoo.co.jp", "", WEB, 0},
    {"Referral", "", "", "", "notbing.com", "", WEB, 0}, /* .bing.com is a domain, not an ending */
    {"Referral", "yahoo", "referral", "", "", "", WEB, 0},
    /* social */
    {"Paid Social", "instagram", "paid_social", "", "l.instagram.com", "fbclid", WEB, 0},
    {"Paid Social", "line", "cpc", "", "", "ldtag", WEB, 0},
    {"Paid Social", "", "", "", "", "ttclid", WEB, 0},
    {"Paid Social", "", "", "", "t.co", "twclid", WEB, 0},
    {"Paid Social", "", "", "", "", "ldtag", WEB, 0},
    {"Organic Social", "", "", "", "l.facebook.com", "fbclid", WEB, 0},
    {"Organic Social", "", "", "", "", "fbclid", WEB, 0},
    {"Organic Social", "", "", "", "ameblo.jp", "", WEB, 0},
    {"Organic Social", "", "", "", "note.com", "", WEB, 0},
    {"Organic Social", "", "", "", "b.hatena.ne.jp", "", WEB, 0},
    {"Organic Social", "influencer", "sns", "", "", "", WEB, 0},
    /* video, shopping, marketplaces */
    {"Paid Video", "youtube", "cpv", "", "", "", WEB, 0 /* cpv has "cp" in it */},
    {"Organic Video", "", "", "", "m.youtube.com", "", WEB, 0},
    {"Organic Video", "", "", "", "www.nicovideo.jp", "", WEB, 0},
    {"Paid Shopping", "google", "cpc", "Shopping_shoes", "", "gclid", WEB, 0},
    {"Organic Shopping", "", "", "", "kakaku.com", "", WEB, 0},
    {"Organic Shopping", "", "", "", "s.kakaku.com", "", WEB, 0},
    {"Marketplace", "", "", "", "item.rakuten.co.jp", "", WEB, 0},
    {"Marketplace", "", "", "", "www.amazon.co.jp", "", WEB, 0},
    {"Marketplace", "rakuten", "mall", "", "", "", "order_completed", 0},
    /* other paid */
    {"Display", "criteo", "display", "retarget", "news.example.jp", "", WEB, 0},
    {"Display", "", "", "", "", "dclid", WEB, 0},
    {"Display", "yahoo", "display", "", "", "", "ad_impression", 0},
    {"Paid Search", "google", "cpc", "", "", "", "ad_clicked", 0},
    {"Paid Other", "", "", "", "", "", "ad_clicked", 0},
    {"Paid Other", "somewhere", "paid", "", "", "", WEB, 0},
    {"Cross-network", "google", "cpc", "PMax_winter", "", "gclid", WEB, 0},
    {"Affiliates", "a8", "affiliate", "blog", "blog.example.jp", "", WEB, 0},
    {"Audio", "spotify", "audio", "", "", "", WEB, 0},
    /* messages */
    {"Email", "crm", "email", "w47", "", "", "message_opened", MESSAGE_KIND_EMAIL},
    {"Email", "newsletter", "email", "", "", "", WEB, 0},
    {"Email", "", "", "", "mail.yahoo.co.jp", "", WEB, 0},
    {"LINE", "crm", "line", "w47", "", "", "message_clicked", MESSAGE_KIND_LINE},
    {"LINE", "line", "message", "", "", "", WEB, 0},
    {"LINE", "", "", "", "liff.line.me", "", WEB, 0},
    {"Push", "crm", "push", "", "", "", "message_opened", MESSAGE_KIND_PUSH},
    {"Push", "", "", "", "", "", "message_opened", MESSAGE_KIND_WEB_PUSH},
    {"Push", "firebase", "", "", "", "", "app_opened", 0},
    {"SMS", "", "", "", "", "", "message_clicked", MESSAGE_KIND_SMS},
    {"SMS", "crm", "sms", "", "", "", WEB, 0},
    {"Direct Mail", "", "", "", "", "", "message_sent", MESSAGE_KIND_DIRECT_MAIL},
    {"Direct Mail", "catalogue", "dm", "", "", "", WEB, 0},
    /* outside the web */
    {"Call Center", "", "", "", "", "", "call_ended", 0},
    {"Call Center", "", "", "", "", "", "chat_started", 0},
    {"Store", "", "", "", "", "", "store_visited", 0},
    {"Store", "", "", "", "", "", "store_purchase", 0},
    {"Store", "", "", "", "", "", "staff_consulted", 0},
    {"QR", "", "", "", "", "", "qr_scanned", 0},
    {"QR", "poster", "qr", "", "", "", WEB, 0},
    /* nothing that we know */
    {"Unassigned", "somebody", "something", "", "", "", WEB, 0},
};

static struct str ask(struct channel_rules *rules, const struct row *row)
{
    struct touchpoint event;
    struct channel_facts facts;
    touchpoint_init(&event);
    event.type = str_of(row->type);
    event.has_page = true;
    event.page.host = STR("www.shop.example");
    event.page.referrer_host = str_of(row->referrer);
    event.has_campaign = *row->source || *row->medium || *row->campaign;
    event.campaign.source = str_of(row->source);
    event.campaign.medium = str_of(row->medium);
    event.campaign.name = str_of(row->campaign);
    event.has_click = *row->click;
    event.click.kind = str_of(row->click);
    event.has_message = row->message != MESSAGE_KIND_UNKNOWN;
    event.message.kind = row->message;
    channel_facts_of(&event, &facts);
    return channel_of(rules, &facts);
}

/* Twice: computed, and from the cache. */
static void test_channel_of_shipped_rules_table(void **state)
{
    (void)state;
    char why[CHANNEL_WHY_SIZE];
    struct channel_rules *rules = NULL;
    assert_int_equal(channel_rules_open(&rules, NULL, why), 0);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++) {
            struct str got = ask(rules, &shipped[i]);
            if (!str_equal(got, str_of(shipped[i].channel)))
                print_message("row %zu (%s, %s, %s, %s, %s): %.*s, want %s\n", i, shipped[i].source,
                    shipped[i].medium, shipped[i].referrer, shipped[i].click, shipped[i].type,
                    (int)got.size, got.data, shipped[i].channel);
            assert_true(str_equal(got, str_of(shipped[i].channel)));
        }
    channel_rules_close(&rules);
    assert_null(rules);
}

static int open_text(struct channel_rules **out, const char *text, char path[32], char *why)
{
    (void)snprintf(path, 32, "channel-rules-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    int r = channel_rules_open(out, path, why);
    assert_int_equal(unlink(path), 0);
    return r;
}

static void test_channel_rules_open_own_file_decides(void **state)
{
    (void)state;
    static const char text[] = "[set ours]\n"
                               "values = a, b*c,\n"
                               "    D*\n"
                               "[set all]\n"
                               "values = @ours, e\n"
                               "[First]\n"
                               "source = @all\n"
                               "not medium = x, (none)\n"
                               "[Second]\n"
                               "campaign = *a*b*\n"
                               "[Second]\n"
                               "referrer = .example.jp\n";
    static const struct row rows[] = {
        {"First", "a", "m", "", "", "", WEB, 0},
        {"First", "BxxC", "m", "", "", "", WEB, 0},
        {"First", "deep", "m", "", "", "", WEB, 0},
        {"First", "e", "m", "", "", "", WEB, 0},
        {"Unassigned", "a", "x", "", "", "", WEB, 0},
        {"Unassigned", "a", "", "", "", "", WEB, 0},
        {"Unassigned", "bxxcx", "m", "", "", "", WEB, 0},
        {"Second", "", "", "xxAyybzz", "", "", WEB, 0},
        {"Unassigned", "", "", "xxByyazz", "", "", WEB, 0},
        {"Second", "", "", "", "example.jp", "", WEB, 0},
        {"Second", "", "", "", "a.b.example.jp", "", WEB, 0},
        {"Unassigned", "", "", "", "myexample.jp", "", WEB, 0},
    };
    char path[32], why[CHANNEL_WHY_SIZE];
    struct channel_rules *rules = NULL;
    assert_int_equal(open_text(&rules, text, path, why), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str got = ask(rules, &rows[i]);
        if (!str_equal(got, str_of(rows[i].channel)))
            print_message("row %zu: %.*s\n", i, (int)got.size, got.data);
        assert_true(str_equal(got, str_of(rows[i].channel)));
    }
    channel_rules_close(&rules);
}

static void test_channel_rules_open_bad_file_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *where;
        const char *reason;
    } rows[] = {
        {"", ":1:", "no rules"},
        {"[set a]\nvalues = x\n", ":1:", "no rules"},
        {"medium = x\n", ":1:", "before any section"},
        {"[A]\nmedum = x\n", ":2:", "unknown key (medium?): medum"},
        {"[A]\nzzzzzz = x\n", ":2:", "unknown key: zzzzzz"},
        {"[A]\nmedium = x\nmedium = y\n", ":3:", "stands twice: medium"},
        {"[A]\nmedium = x, , y\n", ":2:", "nothing between two commas"},
        {"[A]\nmedium =\n", ":2:", "no value"},
        {"[A]\nmedium = @nowhere\n", ":2:", "no set of this name above: nowhere"},
        {"[A]\n[B]\nmedium = x\n", ":1:", "without conditions"},
        {"[B]\nmedium = x\n[A]\n", ":3:", "without conditions"},
        {"[set a]\nvalue = x\n", ":2:", "only the key values"},
        {"[set a]\nvalues = x\n[set a]\nvalues = y\n", ":3:", "set stands twice: a"},
        {"[]\nmedium = x\n", ":1:", ""},
        {"[A\nmedium = x\n", ":1:", ""},
        {"[A]\nmedium\n", ":2:", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[32], why[CHANNEL_WHY_SIZE];
        struct channel_rules *rules = NULL;
        assert_int_equal(open_text(&rules, rows[i].text, path, why), ERR_CONFIG);
        if (!strstr(why, rows[i].where) || !strstr(why, rows[i].reason))
            print_message("%s, want %s %s\n", why, rows[i].where, rows[i].reason);
        assert_non_null(strstr(why, path));
        assert_non_null(strstr(why, rows[i].where));
        assert_non_null(strstr(why, rows[i].reason));
        assert_null(rules);
    }
    char why[CHANNEL_WHY_SIZE];
    struct channel_rules *rules = NULL;
    assert_int_equal(channel_rules_open(&rules, "no/such/file.ini", why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "no/such/file.ini"));
}

/* Sets of sets could multiply: 2^n items from n lines. */
static void test_channel_rules_open_doubling_sets_refused(void **state)
{
    (void)state;
    char path[32], why[CHANNEL_WHY_SIZE];
    struct channel_rules *rules = NULL;
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_appendf(&text, "[set s0]\nvalues = a\n");
    for (int i = 1; i < 40 && r == 0; i++)
        r = buf_appendf(&text, "[set s%d]\nvalues = @s%d, @s%d\n", i, i - 1, i - 1);
    if (r == 0)
        r = buf_append(&text, "", 1);
    assert_int_equal(r, 0);
    assert_int_equal(open_text(&rules, text.data, path, why), ERR_CONFIG);
    assert_non_null(strstr(why, "too many items"));
}

static void test_channel_of_huge_facts_bounded(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char why[CHANNEL_WHY_SIZE];
    struct channel_rules *rules = NULL;
    struct channel_facts facts = {0};
    assert_int_equal(channel_rules_open(&rules, "", why), 0);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'c', SIZE);
    for (size_t i = 0; i < CHANNEL_FACTS; i++)
        facts.facts[i] = str_make(text, SIZE);
    assert_true(str_equal(channel_of(rules, &facts), STR(CHANNEL_UNASSIGNED)));
    /* ...cp is *cp*, when it lies within the bytes that count. */
    text[CHANNEL_FACT_SIZE_MAX] = 'p';
    assert_true(str_equal(channel_of(rules, &facts), STR(CHANNEL_UNASSIGNED)));
    text[CHANNEL_FACT_SIZE_MAX - 1] = 'p';
    assert_true(str_equal(channel_of(rules, &facts), STR("Paid Other")));
    memset(text, '*', SIZE);
    assert_true(str_equal(channel_of(rules, &facts), STR(CHANNEL_UNASSIGNED)));
    free(text);
    channel_rules_close(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channel_of_shipped_rules_table),
        cmocka_unit_test(test_channel_rules_open_own_file_decides),
        cmocka_unit_test(test_channel_rules_open_bad_file_says_where),
        cmocka_unit_test(test_channel_rules_open_doubling_sets_refused),
        cmocka_unit_test(test_channel_of_huge_facts_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
