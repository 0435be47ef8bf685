/* User agents: by rules of our own, by uap-core's rules against uap-core's tests, and by hostile
 * texts. */
#include "enrich/step/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <yaml.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

#define UAP_RULES "/usr/share/uap-core/regexes.yaml"
#define UAP_TESTS "/usr/share/uap-core/tests/"
#define TEST_FILE_SIZE_MAX ((size_t)32 << 20)

/* Writes a rule file; the caller unlinks it. */
static void write_rules(const char *text, char path[32])
{
    (void)snprintf(path, 32, "agent-rules-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static const char good_rules[] = "user_agent_parsers:\n"
                                 "  - regex: '(Snail|Slug)/(\\d+)\\.(\\d+)'\n"
                                 "    family_replacement: 'Slow $1 '\n"
                                 "  - regex: '(\\w+)/(\\d+)'\n"
                                 "os_parsers:\n"
                                 "  - regex: 'on (Grass)(?: (\\d+))?'\n"
                                 "    os_replacement: 'Green'\n"
                                 "    os_v1_replacement: '7'\n"
                                 "device_parsers:\n"
                                 "  - regex: 'crawler'\n"
                                 "    regex_flag: 'i'\n"
                                 "    device_replacement: 'Spider'\n"
                                 "    brand_replacement: 'Any'\n"
                                 "  - regex: 'made by (\\w+) (\\w+)'\n"
                                 "    device_replacement: '$1 $2'\n"
                                 "    brand_replacement: '$1'\n"
                                 "    model_replacement: '$2'\n";

static void assert_field(const struct agent_match *match, size_t field, const char *want)
{
    struct str text = match->fields[field];
    if (!str_equal(text, str_of(want)))
        print_message("%.*s, want %s\n", (int)text.size, text.data, want);
    assert_true(str_equal(text, str_of(want)));
}

static void test_agent_rules_first_match_fills_fields(void **state)
{
    (void)state;
    char path[32], why[AGENT_WHY_SIZE];
    struct agent_rules *rules = NULL;
    struct agent_match match;
    struct arena arena = {0};
    write_rules(good_rules, path);
    assert_int_equal(agent_rules_open(&rules, path, why), 0);
    (void)unlink(path);
    struct str text = STR("Slug/12.5 on Grass 3, made by Acme Shell");
    assert_int_equal(agent_rules_match(rules, AGENT_LIST_BROWSER, text, &arena, &match), 0);
    assert_field(&match, 0, "Slow Slug");
    assert_field(&match, 1, "12");
    assert_field(&match, 2, "5");
    assert_field(&match, 3, "");
    assert_int_equal(agent_rules_match(rules, AGENT_LIST_OS, text, &arena, &match), 0);
    assert_field(&match, 0, "Green");
    assert_field(&match, 1, "7");
    assert_int_equal(agent_rules_match(rules, AGENT_LIST_DEVICE, text, &arena, &match), 0);
    assert_field(&match, 0, "Acme Shell");
    assert_field(&match, 1, "Acme");
    assert_field(&match, 2, "Shell");
    assert_int_equal(
        agent_rules_match(rules, AGENT_LIST_OS, STR("nothing"), &arena, &match), AGENT_RULES_NONE);
    agent_rules_close(&rules);
    arena_free(&arena);
}

static void test_agent_rules_open_bad_file_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *line;
        const char *reason;
    } rows[] = {
        {"user_agent_parsers:\n  - regex: '(unclosed'\n", ":2:", "bad expression"},
        {"user_agent_parsers:\n  - family_replacement: 'x'\n", ":2:", "without regex"},
        {"user_agent_parsers:\n  - regex: 'a'\n    regex_flag: 'x'\n", ":3:", "regex_flag"},
        {"user_agent_parsers: 'text'\n", ":", "no user_agent_parsers"},
        {"- 'a'\n", ":1:", "where none belongs"},
        {"user_agent_parsers:\n  - - 'a'\n", ":2:", "where none belongs"},
        {"user_agent_parsers:\n  - {\n", ":3:", "not YAML"},
        {"a: &x\n  - regex: 'b'\nb: *x\n", ":3:", "aliases"},
        {"os_parsers:\n  - regex: 'a'\n", ":", "no user_agent_parsers"},
        {"# nothing\n", ":", "no user_agent_parsers"},
        {"", ":", "empty file"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[32], why[AGENT_WHY_SIZE];
        struct agent_rules *rules = NULL;
        write_rules(rows[i].text, path);
        assert_int_equal(agent_rules_open(&rules, path, why), ERR_CONFIG);
        (void)unlink(path);
        if (!strstr(why, rows[i].reason) || !strstr(why, rows[i].line))
            print_message("%s, want %s %s\n", why, rows[i].line, rows[i].reason);
        assert_non_null(strstr(why, path));
        assert_non_null(strstr(why, rows[i].line));
        assert_non_null(strstr(why, rows[i].reason));
        assert_null(rules);
    }
}

static void test_agent_open_without_file_tells_kind_and_bots(void **state)
{
    (void)state;
    char why[AGENT_WHY_SIZE];
    struct agent *agent = NULL;
    struct agent_facts facts;
    struct arena arena = {0};
    assert_int_equal(agent_open(&agent, "no/such/file.yaml", why), AGENT_WITHOUT_RULES);
    assert_non_null(strstr(why, "no/such/file.yaml"));
    assert_int_equal(
        agent_look(agent, STR("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1)"), &arena, &facts), 0);
    assert_int_equal(facts.kind, DEVICE_KIND_MOBILE);
    assert_int_equal(facts.browser.size, 0);
    assert_int_equal(agent_look(agent, STR("HTTP-Crawler/2"), &arena, &facts), 0);
    assert_true(facts.bot);
    agent_close(&agent);
    assert_null(agent);
    arena_free(&arena);
}

/* Every answer twice: computed, then from the cache. */
static void test_agent_look_own_rules_same_from_cache(void **state)
{
    (void)state;
    char path[32], why[AGENT_WHY_SIZE];
    struct agent *agent = NULL;
    struct agent_facts facts;
    struct arena arena = {0};
    write_rules(good_rules, path);
    assert_int_equal(agent_open(&agent, path, why), 0);
    (void)unlink(path);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(
            agent_look(agent, STR("Snail/1.2 on Grass; Windows NT 10"), &arena, &facts), 0);
        assert_true(str_equal(facts.browser, STR("Slow Snail")));
        assert_true(str_equal(facts.os, STR("Green")));
        assert_int_equal(facts.kind, DEVICE_KIND_DESKTOP);
        assert_false(facts.bot);
        assert_int_equal(agent_look(agent, STR("big CRAWLER"), &arena, &facts), 0);
        assert_true(facts.bot);
        assert_int_equal(agent_look(agent, STR(""), &arena, &facts), 0);
        assert_true(!facts.bot && facts.kind == DEVICE_KIND_UNKNOWN && facts.os.size == 0);
    }
    agent_close(&agent);
    arena_free(&arena);
}

/* (a+)+$ on aaaa...b needs 2^n steps: the limit ends it, and the next rule answers. */
static void test_agent_rules_match_catastrophic_expression_bounded(void **state)
{
    (void)state;
    char path[32], why[AGENT_WHY_SIZE], text[AGENT_SIZE_MAX];
    struct agent_rules *rules = NULL;
    struct agent_match match;
    struct arena arena = {0};
    write_rules("user_agent_parsers:\n  - regex: '^(a+)+$'\n  - regex: '(b)$'\n", path);
    assert_int_equal(agent_rules_open(&rules, path, why), 0);
    (void)unlink(path);
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    for (int round = 0; round < 2; round++) {
        assert_int_equal(agent_rules_match(rules, AGENT_LIST_BROWSER, str_make(text, sizeof(text)),
                             &arena, &match),
            0);
        assert_field(&match, 0, "b");
    }
    agent_rules_close(&rules);
    arena_free(&arena);
}

static bool have(const char *path)
{
    return access(path, R_OK) == 0;
}

/* 1 MB, every byte value, no end of groups: an answer, and the same again. */
static void test_agent_look_hostile_texts_bounded(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char why[AGENT_WHY_SIZE];
    struct agent *agent = NULL;
    struct agent_facts first, again;
    struct arena arena = {0};
    if (!have(UAP_RULES)) {
        print_message("no %s: skipped\n", UAP_RULES);
        skip();
    }
    assert_int_equal(agent_open(&agent, UAP_RULES, why), 0);
    char *text = malloc(SIZE);
    assert_non_null(text);
    static const char *const pieces[] = {
        "Mozilla/5.0 (", "((((((((", "Android ", ";;;;;;;;", "/1.1.1.1.1", "\xff\xfe"};
    for (size_t piece = 0; piece < sizeof(pieces) / sizeof(pieces[0]); piece++) {
        size_t size = strlen(pieces[piece]);
        for (size_t i = 0; i < SIZE; i++)
            text[i] = pieces[piece][i % size];
        assert_int_equal(agent_look(agent, str_make(text, SIZE), &arena, &first), 0);
        assert_int_equal(agent_look(agent, str_make(text, SIZE), &arena, &again), 0);
        assert_true(str_equal(first.browser, again.browser) && str_equal(first.os, again.os));
        assert_true(first.kind == again.kind && first.bot == again.bot);
    }
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)i;
    assert_int_equal(agent_look(agent, str_make(text, SIZE), &arena, &first), 0);
    free(text);
    agent_close(&agent);
    arena_free(&arena);
}

static void test_agent_look_known_agents_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *browser;
        const char *os;
        enum device_kind kind;
        bool bot;
    } rows[] = {
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
         "Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
            "Mobile Safari", "iOS", DEVICE_KIND_MOBILE, false},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
         "Gecko) Mobile/15E148 Safari Line/13.19.1",
            "LINE", "iOS", DEVICE_KIND_MOBILE, false},
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/119.0.0.0 Safari/537.36",
            "Chrome", "Windows", DEVICE_KIND_DESKTOP, false},
        {"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/119.0.6045.66 Mobile Safari/537.36",
            "Chrome Mobile", "Android", DEVICE_KIND_MOBILE, false},
        {"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/16.6 Mobile/15E148 Safari/604.1",
            "Mobile Safari", "iOS", DEVICE_KIND_TABLET, false},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Firefox", "Mac OS X", DEVICE_KIND_DESKTOP, false},
        {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot",
            "", DEVICE_KIND_UNKNOWN, true},
        {"curl/7.88.1", "curl", "", DEVICE_KIND_UNKNOWN, true},
    };
    char why[AGENT_WHY_SIZE];
    struct agent *agent = NULL;
    struct arena arena = {0};
    if (!have(UAP_RULES)) {
        print_message("no %s: skipped\n", UAP_RULES);
        skip();
    }
    assert_int_equal(agent_open(&agent, UAP_RULES, why), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct agent_facts facts;
        assert_int_equal(agent_look(agent, str_of(rows[i].text), &arena, &facts), 0);
        if (!str_equal(facts.browser, str_of(rows[i].browser)) ||
            !str_equal(facts.os, str_of(rows[i].os)))
            print_message("%s: %.*s, %.*s\n", rows[i].text, (int)facts.browser.size,
                facts.browser.data, (int)facts.os.size, facts.os.data);
        assert_true(str_equal(facts.browser, str_of(rows[i].browser)));
        assert_true(str_equal(facts.os, str_of(rows[i].os)));
        assert_int_equal(facts.kind, rows[i].kind);
        assert_int_equal(facts.bot, rows[i].bot);
    }
    agent_close(&agent);
    arena_free(&arena);
}

/* -- uap-core's own tests -------------------------------------------------------------------------
 */

struct score {
    size_t cases;
    size_t good;
};

struct test_case {
    struct str agent;
    struct str fields[AGENT_RULE_FIELDS];
};

static void judge(struct agent_rules *rules, enum agent_list list, const struct test_case *want,
    struct arena *arena, struct score *score)
{
    struct agent_match match;
    int r = agent_rules_match(rules, list, want->agent, arena, &match);
    assert_true(r >= 0);
    if (r == AGENT_RULES_NONE)
        match = (struct agent_match){.fields = {STR("Other")}};
    bool good = true;
    for (size_t i = 0; i < AGENT_RULE_FIELDS; i++)
        good = good && str_equal(match.fields[i], want->fields[i]);
    score->cases++;
    score->good += good;
    if (!good)
        print_message("%.*s: %.*s, %.*s\n", (int)want->agent.size, want->agent.data,
            (int)want->fields[0].size, want->fields[0].data, (int)match.fields[0].size,
            match.fields[0].data);
}

static void take_value(
    enum agent_list list, struct str key, struct str value, struct test_case *out)
{
    static const char *const names[AGENT_LISTS][AGENT_RULE_FIELDS] = {
        {"family", "major", "minor", "patch", ""},
        {"family", "major", "minor", "patch", "patch_minor"}, {"family", "brand", "model", "", ""}};
    if (str_equal(key, STR("user_agent_string")))
        out->agent = value;
    for (size_t i = 0; i < AGENT_RULE_FIELDS; i++)
        if (str_equal(key, str_of(names[list][i])))
            out->fields[i] = value;
}

static struct score run_uap_tests(const char *path, struct agent_rules *rules, enum agent_list list)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct arena arena = {0};
    struct score score = {0};
    struct test_case want = {0};
    struct str key = {0};
    yaml_parser_t parser;
    assert_int_equal(ini_load(path, TEST_FILE_SIZE_MAX, &text), 0);
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
    int depth = 0;
    bool ended = false;
    while (!ended) {
        yaml_event_t event;
        struct str value = {0};
        assert_true(yaml_parser_parse(&parser, &event));
        ended = event.type == YAML_STREAM_END_EVENT;
        depth += event.type == YAML_MAPPING_START_EVENT;
        if (event.type == YAML_SCALAR_EVENT && depth == 2) {
            bool null = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                        (event.data.scalar.length == 0 ||
                            str_equal(str_make(event.data.scalar.value, event.data.scalar.length),
                                STR("null")));
            if (!null)
                assert_int_equal(
                    arena_dup(&arena, str_make(event.data.scalar.value, event.data.scalar.length),
                        &value),
                    0);
            if (key.size)
                take_value(list, key, value, &want);
            key = key.size ? str_make(NULL, 0) : value;
        }
        if (event.type == YAML_MAPPING_END_EVENT && depth-- == 2) {
            judge(rules, list, &want, &arena, &score);
            want = (struct test_case){0};
            arena_reset(&arena);
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    arena_free(&arena);
    print_message("%s: %zu of %zu\n", path, score.good, score.cases);
    return score;
}

static void test_agent_rules_uap_core_tests_pass(void **state)
{
    (void)state;
    static const char *const files[AGENT_LISTS] = {
        UAP_TESTS "test_ua.yaml", UAP_TESTS "test_os.yaml", UAP_TESTS "test_device.yaml"};
    char why[AGENT_WHY_SIZE];
    struct agent_rules *rules = NULL;
    if (!have(UAP_RULES) || !have(files[0])) {
        print_message("no uap-core: skipped\n");
        skip();
    }
    assert_int_equal(agent_rules_open(&rules, UAP_RULES, why), 0);
    for (int list = 0; list < AGENT_LISTS; list++) {
        struct score score = run_uap_tests(files[list], rules, (enum agent_list)list);
        assert_true(score.cases > 400);
        assert_int_equal(score.good, score.cases);
    }
    agent_rules_close(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_rules_first_match_fills_fields),
        cmocka_unit_test(test_agent_rules_open_bad_file_says_where),
        cmocka_unit_test(test_agent_rules_match_catastrophic_expression_bounded),
        cmocka_unit_test(test_agent_open_without_file_tells_kind_and_bots),
        cmocka_unit_test(test_agent_look_own_rules_same_from_cache),
        cmocka_unit_test(test_agent_look_hostile_texts_bounded),
        cmocka_unit_test(test_agent_look_known_agents_told),
        cmocka_unit_test(test_agent_rules_uap_core_tests_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
