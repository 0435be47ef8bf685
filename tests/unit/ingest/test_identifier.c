/* Normalisation: Japanese spellings, pseudonyms, blocked values. */
#include "ingest/normalise/identifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

#define TARO_EMAIL "k1:6aa67952346a3ae2083b3e65b129da4e"  /* taro@example.jp, public key */
#define TOKYO_PHONE "k1:c547e7aa38dcb3021ba944641c2932bc" /* +81312345678, public key */

struct fixture {
    struct arena arena;
    struct identifier_config config;
    struct touchpoint event;
    struct identifier ids[EVENT_IDENTIFIERS_MAX + 1];
    struct identifier_report report;
};

static struct fixture setup(void)
{
    struct fixture fixture = {0};
    identifier_config_default(&fixture.config);
    touchpoint_init(&fixture.event);
    return fixture;
}

static void add(struct fixture *fixture, const char *name, const char *value)
{
    fixture->event.identifiers = fixture->ids;
    fixture->ids[fixture->event.identifiers_count++] =
        (struct identifier){.namespace = str_of(name), .value = str_of(value)};
}

static int run(struct fixture *fixture)
{
    return identifier_normalise(
        &fixture->config, &fixture->arena, &fixture->event, &fixture->report);
}

static void assert_value(const struct fixture *fixture, size_t index, const char *text)
{
    struct str value = fixture->event.identifiers[index].value;
    assert_int_equal(value.size, strlen(text));
    assert_memory_equal(value.data, text, value.size);
}

/* Normalises one value that must be kept. */
static void assert_normal(const char *name, const char *value, const char *text)
{
    struct fixture fixture = setup();
    add(&fixture, name, value);
    assert_int_equal(run(&fixture), 0);
    assert_int_equal(fixture.event.identifiers_count, 1);
    assert_value(&fixture, 0, text);
    assert_int_equal(run(&fixture), 0); /* again: unchanged */
    assert_value(&fixture, 0, text);
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_spellings_of_one_value_are_equal(void **state)
{
    assert_normal("email", "taro@example.jp", TARO_EMAIL);
    assert_normal("email", "  Taro@EXAMPLE.jp\t", TARO_EMAIL);
    assert_normal("email", "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", TARO_EMAIL);
    assert_normal("phone", "03-1234-5678", TOKYO_PHONE);
    assert_normal("phone", "０３ー１２３４ー５６７８", TOKYO_PHONE);
    assert_normal("phone", "03\u22121234\u20105678", TOKYO_PHONE);
    assert_normal("phone", "１８４ー03〜1234〜5678", TOKYO_PHONE);
    assert_normal("phone", "+81 3 1234 5678", TOKYO_PHONE);
    assert_normal("loyalty", "１２３４ー５６７８", "1234-5678");
    assert_normal("loyalty", "1234\u301c5678", "1234-5678");
    assert_normal("loyalty", "ｶﾞｷﾞー", "ガギー"); /* a sound mark that stands by no digits stays */
    assert_normal("loyalty", "ｶﾞｷﾞ゛", "ガギ\u3099"); /* there is none for it to be joined with */
    assert_normal("loyalty", "カ゛キ゛", "ガギ");
    assert_normal("loyalty", "ハ゜は゛", "パば");
    assert_normal("loyalty", "ｶ゛ﾊ゜", "ガパ");
    assert_normal("login", "\u3000u-77\u3000", "u-77");
    assert_normal("cookie", "GA1.2.12345~67", "GA1.2.12345~67");
}

static void test_identifier_normalise_pseudonyms_pass_unchanged(void **state)
{
    assert_normal("email", TARO_EMAIL, TARO_EMAIL);
    assert_normal("phone", TOKYO_PHONE, TOKYO_PHONE);
    assert_normal(
        "email", "k22:6aa67952346a3ae2083b3e65b129da4e", "k22:6aa67952346a3ae2083b3e65b129da4e");
}

static void test_identifier_normalise_other_tenant_key_other_pseudonym(void **state)
{
    struct fixture fixture = setup();
    const uint8_t key[32] = {1};
    assert_int_equal(identifier_config_key(&fixture.config, key, STR("k7")), 0);
    add(&fixture, "email", "taro@example.jp");
    assert_int_equal(run(&fixture), 0);
    assert_int_equal(fixture.event.identifiers[0].value.size, 35);
    assert_memory_equal(fixture.event.identifiers[0].value.data, "k7:", 3);
    assert_memory_not_equal(fixture.event.identifiers[0].value.data + 3, &TARO_EMAIL[3], 32);
    assert_int_equal(identifier_config_key(&fixture.config, key, STR("7")), ERR_VALUE);
    assert_int_equal(identifier_config_key(&fixture.config, key, STR("k")), ERR_VALUE);
    assert_int_equal(identifier_config_key(&fixture.config, key, STR("k12345678")), ERR_VALUE);
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_value_of_nobody_is_dropped(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        enum identifier_fate why;
    } samples[] = {
        {"login", "", IDENTIFIER_BLOCKED},
        {"login", "  ", IDENTIFIER_BLOCKED},
        {"login", "NULL", IDENTIFIER_BLOCKED},
        {"login", "\"undefined\"", IDENTIFIER_BLOCKED},
        {"login", "'Guest'", IDENTIFIER_BLOCKED},
        {"login", "“null”", IDENTIFIER_BLOCKED},
        {"login", "”null”", IDENTIFIER_BLOCKED},
        {"login", "‘none’", IDENTIFIER_BLOCKED},
        {"cookie", "`null`", IDENTIFIER_BLOCKED},
        {"cookie", "＂null＂", IDENTIFIER_BLOCKED},
        {"cookie", "「null」", IDENTIFIER_BLOCKED},
        {"cookie", "'“undefined”'", IDENTIFIER_BLOCKED},
        {"cookie", "``", IDENTIFIER_BLOCKED},
        {"cookie", "[object Object]", IDENTIFIER_BLOCKED},
        {"cookie", "NaN", IDENTIFIER_BLOCKED},
        {"cookie", "０", IDENTIFIER_BLOCKED},
        {"cookie", "-1", IDENTIFIER_BLOCKED},
        {"device", "00000000-0000-0000-0000-000000000000", IDENTIFIER_BLOCKED},
        {"device", "00000000000000000000000000000000", IDENTIFIER_BLOCKED},
        {"email", "None", IDENTIFIER_BLOCKED},
        {"email", "taro.example.jp", IDENTIFIER_MALFORMED},
        {"email", "taro @example.jp", IDENTIFIER_MALFORMED},
        {"email", "@example.jp", IDENTIFIER_MALFORMED},
        {"phone", "非通知", IDENTIFIER_BLOCKED},
        {"phone", "anonymous", IDENTIFIER_BLOCKED},
        {"phone", "not a number", IDENTIFIER_MALFORMED},
        {"phone", "0120-444-444", IDENTIFIER_SHARED},
        {"phone", "0570-012-345", IDENTIFIER_SHARED},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct fixture fixture = setup();
        add(&fixture, samples[i].name, samples[i].value);
        add(&fixture, "cookie", "c1");
        assert_int_equal(run(&fixture), 0);
        assert_int_equal(fixture.event.identifiers_count, 1);
        assert_value(&fixture, 0, "c1");
        assert_int_equal(fixture.report.dropped_count, 1);
        assert_int_equal(fixture.report.dropped_why, samples[i].why);
        assert_true(str_equal(fixture.report.dropped_namespace, str_of(samples[i].name)));
        arena_free(&fixture.arena);
    }
}

static void test_identifier_normalise_only_dropped_values_is_no_identifier(void **state)
{
    struct fixture fixture = setup();
    add(&fixture, "phone", "非通知");
    assert_int_equal(run(&fixture), ERR_NO_IDENTIFIER);
    assert_int_equal(fixture.event.identifiers_count, 1); /* unchanged on error */
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_operators_blocked_number_any_spelling(void **state)
{
    struct fixture fixture = setup();
    struct str forms[IDENTIFIER_BLOCK_FORMS];
    size_t count = 0;
    assert_int_equal(identifier_block(STR("０３-1234-5678"), &fixture.arena, forms, &count), 0);
    assert_int_equal(count, 2);
    fixture.config.blocked = forms;
    fixture.config.blocked_count = count;
    add(&fixture, "phone", "+81 3 1234 5678");
    add(&fixture, "login", "03-1234-5678");
    add(&fixture, "cookie", "c");
    assert_int_equal(run(&fixture), 0);
    assert_int_equal(fixture.event.identifiers_count, 1);
    assert_int_equal(fixture.report.dropped_count, 2);
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_quote_at_one_end_is_kept(void **state)
{
    assert_normal("cookie", "\"null", "\"null");
    assert_normal("cookie", "“null‘", "“null‘");
    assert_normal("cookie", "”", "”");
}

static void test_identifier_normalise_operators_blocked_email_any_spelling(void **state)
{
    static const char *const spellings[] = {
        "Noreply@Example.COM", "ｎｏｒｅｐｌｙ＠Ｅｘａｍｐｌｅ．ＣＯＭ", " noreply@example.com "};
    for (size_t blocked = 0; blocked < 3; blocked++) {
        struct fixture fixture = setup();
        struct str forms[IDENTIFIER_BLOCK_FORMS];
        assert_int_equal(identifier_block(str_of(spellings[blocked]), &fixture.arena, forms,
                             &fixture.config.blocked_count),
            0);
        fixture.config.blocked = forms;
        for (size_t i = 0; i < 3; i++)
            add(&fixture, "email", spellings[i]);
        add(&fixture, "email", "someone@example.com");
        assert_int_equal(run(&fixture), 0);
        assert_int_equal(fixture.event.identifiers_count, 1);
        assert_int_equal(fixture.report.dropped_count, 3);
        assert_int_equal(fixture.report.dropped_why, IDENTIFIER_BLOCKED);
        arena_free(&fixture.arena);
    }
}

static void test_identifier_normalise_order_and_call_become_identifiers(void **state)
{
    struct fixture fixture = setup();
    fixture.event.has_order = true;
    fixture.event.order.order_id = STR("Ｏ-1");
    fixture.event.has_call = true;
    fixture.event.call.call_id = STR("CA1");
    add(&fixture, "order", "O-1");
    assert_int_equal(run(&fixture), 0);
    assert_int_equal(fixture.event.identifiers_count, 2);
    assert_value(&fixture, 0, "O-1");
    assert_true(str_equal(fixture.event.identifiers[1].namespace, STR("case")));
    assert_value(&fixture, 1, "CA1");
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_evidence_holds_no_raw_value(void **state)
{
    struct fixture fixture = setup();
    add(&fixture, "login", "u");
    fixture.event.has_evidence = true;
    fixture.event.evidence = (struct evidence){.a_namespace = STR("email"),
        .a_value = STR("Taro@example.jp"),
        .b_namespace = STR("login"),
        .b_value = STR("u")};
    assert_int_equal(run(&fixture), 0);
    assert_true(str_equal(fixture.event.evidence.a_value, STR(TARO_EMAIL)));
    fixture.event.evidence.b_value = STR("null");
    assert_int_equal(run(&fixture), ERR_VALUE);
    assert_int_equal(fixture.report.failed_index, fixture.event.identifiers_count);
    arena_free(&fixture.arena);
}

static void test_identifier_normalise_bad_input_gives_typed_error(void **state)
{
    struct fixture fixture = setup();
    add(&fixture, "login", "u");
    add(&fixture, "fax", "1");
    assert_int_equal(run(&fixture), ERR_NAMESPACE);
    assert_int_equal(fixture.report.failed_index, 1);
    fixture.ids[1] = (struct identifier){.namespace = STR("cookie"), .value = STR("\xff")};
    assert_int_equal(run(&fixture), ERR_UTF8);
    char text[IDENTIFIER_VALUE_SIZE_MAX + 1];
    memset(text, 'x', sizeof text);
    fixture.ids[1].value = str_make(text, sizeof text);
    assert_int_equal(run(&fixture), ERR_VALUE);
    fixture.ids[1].value = str_make(text, sizeof text - 1);
    assert_int_equal(run(&fixture), 0);
    struct fixture many = setup();
    for (size_t i = 0; i <= EVENT_IDENTIFIERS_MAX; i++)
        add(&many, "cookie", "c");
    assert_int_equal(run(&many), ERR_TOO_MANY);
    arena_free(&fixture.arena);
    arena_free(&many.arena);
}

static void add_next(struct fixture *fixture)
{
    static const uint8_t key[32] = {2};
    assert_int_equal(identifier_config_next(&fixture->config, key, STR("k2"), 7), 0);
}

static void test_identifier_normalise_next_key_gives_pairs_of_each_value_once(void **state)
{
    struct fixture fixture = setup();
    add_next(&fixture);
    add(&fixture, "email", "Taro@example.jp");
    add(&fixture, "phone", "03-1234-5678");
    add(&fixture, "phone", "+81 3 1234 5678");
    add(&fixture, "phone", "0120-444-444");
    add(&fixture, "email", "k1:00000000000000000000000000000000");
    add(&fixture, "login", "u");
    fixture.event.has_evidence = true;
    fixture.event.evidence = (struct evidence){.a_namespace = STR("email"),
        .a_value = STR("hana@example.jp"),
        .b_namespace = STR("email"),
        .b_value = STR("taro@example.jp")};
    assert_int_equal(run(&fixture), 0);
    assert_value(&fixture, 0, TARO_EMAIL); /* events bear the key in use */
    assert_value(&fixture, 1, TOKYO_PHONE);
    assert_int_equal(fixture.report.pairs_count, 3);
    const struct identifier_pair *pairs = fixture.report.pairs;
    assert_true(str_equal(pairs[0].old, STR(TARO_EMAIL)));
    assert_true(str_equal(pairs[0].namespace, STR("email")));
    assert_int_equal(identifier_key_number(pairs[0].namespace, pairs[0].new), 2);
    assert_true(str_equal(pairs[1].old, STR(TOKYO_PHONE)));
    assert_int_equal(identifier_key_number(pairs[1].namespace, pairs[1].new), 2);
    assert_true(str_equal(pairs[2].old, fixture.event.evidence.a_value));
    struct str next = pairs[0].new;
    identifier_config_follow(&fixture.config);
    struct identifier taro = {.namespace = STR("email"), .value = STR("taro@example.jp")};
    fixture.event.identifiers = &taro;
    fixture.event.identifiers_count = 1;
    fixture.event.has_evidence = false;
    assert_int_equal(run(&fixture), 0);
    assert_int_equal(fixture.report.pairs_count, 0);
    assert_true(str_equal(fixture.event.identifiers[0].value, next));
    arena_free(&fixture.arena);
}

static void test_identifier_key_number_of_what_is_none_is_0(void **state)
{
    assert_int_equal(identifier_key_number(STR("email"), STR(TARO_EMAIL)), 1);
    assert_int_equal(
        identifier_key_number(STR("phone"), STR("k31:6aa67952346a3ae2083b3e65b129da4e")), 31);
    assert_int_equal(identifier_key_number(STR("login"), STR(TARO_EMAIL)), 0);
    assert_int_equal(identifier_key_number(STR("email"), STR("k1:6aa6")), 0);
    assert_int_equal(identifier_key_number(STR("email"), STR("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identifier_normalise_spellings_of_one_value_are_equal),
        cmocka_unit_test(test_identifier_normalise_pseudonyms_pass_unchanged),
        cmocka_unit_test(test_identifier_normalise_other_tenant_key_other_pseudonym),
        cmocka_unit_test(test_identifier_normalise_value_of_nobody_is_dropped),
        cmocka_unit_test(test_identifier_normalise_only_dropped_values_is_no_identifier),
        cmocka_unit_test(test_identifier_normalise_operators_blocked_number_any_spelling),
        cmocka_unit_test(test_identifier_normalise_quote_at_one_end_is_kept),
        cmocka_unit_test(test_identifier_normalise_operators_blocked_email_any_spelling),
        cmocka_unit_test(test_identifier_normalise_order_and_call_become_identifiers),
        cmocka_unit_test(test_identifier_normalise_evidence_holds_no_raw_value),
        cmocka_unit_test(test_identifier_normalise_bad_input_gives_typed_error),
        cmocka_unit_test(test_identifier_normalise_next_key_gives_pairs_of_each_value_once),
        cmocka_unit_test(test_identifier_key_number_of_what_is_none_is_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
