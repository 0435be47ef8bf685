#include "schemas/money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

#define UNTOUCHED 4711

static void assert_money(const char *text, const char *currency, int64_t want)
{
    int64_t minor = UNTOUCHED;
    assert_int_equal(money_parse(str_of(text), str_of(currency), &minor), 0);
    assert_int_equal(minor, want);
}

static void assert_no_money(const char *text, const char *currency, int error)
{
    int64_t minor = UNTOUCHED;
    int r = money_parse(str_of(text), str_of(currency), &minor);
    if (r != error)
        fail_msg("\"%s\" %s: %d, want %d", text, currency, r, error);
    assert_int_equal(minor, UNTOUCHED);
}

static void test_money_exponent_of_every_kind(void **state)
{
    (void)state;
    assert_int_equal(money_exponent(STR("JPY")), 0);
    assert_int_equal(money_exponent(STR("USD")), 2);
    assert_int_equal(money_exponent(STR("AED")), 2);
    assert_int_equal(money_exponent(STR("ZWL")), 2);
    assert_int_equal(money_exponent(STR("BHD")), 3);
    assert_int_equal(money_exponent(STR("CLF")), 4);
    static const char *const none[] = {"", "U", "US", "USDX", "usd", "XXX", "XAU", "AAA", "ZZZ"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(money_exponent(str_of(none[i])), ERR_CURRENCY);
}

static void test_money_parse_is_exact(void **state)
{
    (void)state;
    assert_money("12980", "JPY", 12980);
    assert_money("12980.00", "JPY", 12980);
    assert_money("-19.90", "USD", -1990);
    assert_money("+5", "USD", 500);
    assert_money(".5", "USD", 50);
    assert_money("5.", "USD", 500);
    assert_money("0.1", "USD", 10);
    assert_money("1.10000000000000000000", "USD", 110);
    assert_money("0.3", "BHD", 300);
    assert_money("-0", "JPY", 0);
    assert_money("0000000000000000000000000001", "JPY", 1);
    assert_money("92233720368547758.07", "USD", INT64_MAX);
    assert_money("-92233720368547758.08", "USD", INT64_MIN);
    assert_money("9223372036854775807", "JPY", INT64_MAX);
}

static void test_money_parse_bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "-", "+", ".", "-.", "1,000", "1e3", "1.2.3", " 1", "1 ",
        "1.5x", "0x10", "NaN", "¥100", "--1", "1.-5", "１"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_no_money(bad[i], "USD", ERR_MONEY);
    assert_no_money("12980.5", "JPY", ERR_MONEY_PRECISION);
    assert_no_money("1.001", "USD", ERR_MONEY_PRECISION);
    assert_no_money("1.0001", "BHD", ERR_MONEY_PRECISION);
    assert_no_money("1.001x", "USD", ERR_MONEY);
    assert_no_money("92233720368547758.08", "USD", ERR_NUMBER_RANGE);
    assert_no_money("-92233720368547758.09", "USD", ERR_NUMBER_RANGE);
    assert_no_money("9223372036854775808", "JPY", ERR_NUMBER_RANGE);
    assert_no_money("99999999999999999999999999", "JPY", ERR_NUMBER_RANGE);
    assert_no_money("1", "QQQ", ERR_CURRENCY);
    assert_no_money("1", "", ERR_CURRENCY);
}

static void test_money_from_major_overflow_is_refused(void **state)
{
    (void)state;
    int64_t minor = UNTOUCHED;
    assert_int_equal(money_from_major(-129, 2, &minor), 0);
    assert_int_equal(minor, -12900);
    minor = UNTOUCHED;
    assert_int_equal(money_from_major(INT64_MAX / 10, 2, &minor), ERR_NUMBER_RANGE);
    assert_int_equal(minor, UNTOUCHED);
}

static void test_money_format_reads_back(void **state)
{
    (void)state;
    static const char *const kinds[] = {"JPY", "USD", "BHD", "CLF"};
    static const int64_t edges[] = {
        INT64_MIN, INT64_MAX, 0, 1, -1, 9, 10, 99, 100, -100, 999, 1000, 12345, 1000000};
    char text[MONEY_TEXT_SIZE_MAX];
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
            size_t size = money_format(edges[i], str_of(kinds[k]), text);
            assert_int_equal(size, strlen(text));
            assert_money(text, kinds[k], edges[i]);
        }
    }
    money_format(12980, STR("USD"), text);
    assert_string_equal(text, "129.80");
    money_format(-5, STR("USD"), text);
    assert_string_equal(text, "-0.05");
    money_format(-5, STR("JPY"), text);
    assert_string_equal(text, "-5");
    money_format(-5, STR("???"), text);
    assert_string_equal(text, "-5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_money_exponent_of_every_kind),
        cmocka_unit_test(test_money_parse_is_exact),
        cmocka_unit_test(test_money_parse_bad_text_is_refused),
        cmocka_unit_test(test_money_from_major_overflow_is_refused),
        cmocka_unit_test(test_money_format_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
