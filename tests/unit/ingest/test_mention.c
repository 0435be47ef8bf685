#include "ingest/normalise/mention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

static bool shows(const char *namespace, const char *value, struct str payload)
{
    struct identifier_config config;
    struct identifier wanted = {.namespace = str_of(namespace), .value = str_of(value)};
    struct identifier_report report;
    struct touchpoint event;
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(arena_free) struct arena scratch = {0};
    bool found;
    identifier_config_default(&config);
    touchpoint_init(&event);
    event.identifiers = &wanted;
    event.identifiers_count = 1;
    assert_int_equal(identifier_normalise(&config, &arena, &event, &report), 0);
    assert_int_equal(mention_find(&config, &event.identifiers[0], payload, &scratch, &found), 0);
    return found;
}

static void test_mention_find_any_spelling_in_any_form(void **state)
{
    (void)state;
    assert_true(
        shows("email", "hana@example.jp", STR("{\"ids\":{\"email\":\"Hana@Example.JP \"}}")));
    assert_true(shows("email", "hana@example.jp", STR("{\"x\":[\"hana\\u0040example.jp\"")));
    assert_true(shows("email", "hana@example.jp", STR("7,ｈａｎａ@example.jp;x")));
    assert_true(shows("email", "hana@example.jp", STR("hana@example.jp")));
    assert_true(shows("phone", "090-1234-5678", STR("{\"phone\":\"０９０ー１２３４ー５６７８\"}")));
    assert_true(shows("phone", "+81 90 1234 5678", STR("a\t09012345678\n")));
    assert_true(shows("login", "7", STR("{\"login\": 7}")));
    assert_true(shows("login", "a/b", STR("{\"login\":\"a\\/b\"}")));
    assert_true(shows("login", "\xe8\x8a\xb1", STR("{\"login\":\"\\u82b1\"}")));
}

static void test_mention_find_pseudonym(void **state)
{
    (void)state;
    assert_true(shows("email", "k1:0123456789abcdef0123456789abcdef",
        STR("{\"email\":\"k1:0123456789abcdef0123456789abcdef\"}")));
}

static void test_mention_find_not_within_another_text(void **state)
{
    (void)state;
    assert_false(shows("login", "7", STR("{\"login\":\"77\",\"a\":[17,70]}")));
    assert_false(shows("email", "hana@example.jp", STR("{\"email\":\"hana@example.jp.test\"}")));
    assert_false(shows("email", "hana@example.jp", STR("")));
    assert_false(shows("email", "hana@example.jp", STR("\"\xff\xfe\",\"\\u00\",\"\\")));
}

static void test_mention_find_at_every_truncation_reads_no_further(void **state)
{
    static const char payload[] = "{\"a\":\"x\\u0040y\\\\\",\"email\":\"hana\\u0040example.jp\"}";
    (void)state;
    for (size_t size = 0; size < sizeof payload; size++) {
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, payload, size);
        /* whole from the closing quote on, and before it, when nothing follows */
        bool whole = size >= sizeof payload - 3;
        assert_int_equal(shows("email", "hana@example.jp", str_make(copy, size)), whole);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mention_find_any_spelling_in_any_form),
        cmocka_unit_test(test_mention_find_pseudonym),
        cmocka_unit_test(test_mention_find_not_within_another_text),
        cmocka_unit_test(test_mention_find_at_every_truncation_reads_no_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
