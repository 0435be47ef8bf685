#include "schemas/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "schemas/error.h"

#define UNTOUCHED 4711

static void assert_time(const char *text, int64_t want)
{
    int64_t micros = UNTOUCHED;
    assert_int_equal(time_parse(str_of(text), &micros), 0);
    if (micros != want)
        print_error("%s\n", text);
    assert_int_equal(micros, want);
}

static void assert_no_time(const char *text)
{
    int64_t micros = UNTOUCHED;
    if (time_parse(str_of(text), &micros) != ERR_TIME)
        fail_msg("accepted \"%s\"", text);
    assert_int_equal(micros, UNTOUCHED);
}

static void test_time_parse_forms_of_one_moment(void **state)
{
    (void)state;
    const int64_t want = 1795137300 * TIME_MICROS_PER_SECOND;
    assert_time("2026-11-20T01:15:00Z", want);
    assert_time("2026-11-20t01:15:00z", want);
    assert_time("2026-11-20 01:15:00Z", want);
    assert_time("2026-11-20T10:15:00+09:00", want);
    assert_time("2026-11-20T10:15:00.000000000+09:00", want);
    assert_time("2026-11-19T15:15:00-10:00", want);
    assert_time("2026-11-20T01:15:00-00:00", want);
    assert_time("2026-11-20T01:14:60Z", want);
    assert_time("2026-11-20T01:14:60.5Z", want);
    assert_time("+002026-11-20T01:15:00Z", want);
    assert_time("2026-11-20T10:15:00.123+09:00", want + 123000);
    assert_time("2026-11-20T10:15:00.1234567+09:00", want + 123456);
}

/* Every whole minute of offset that RFC 3339 can write. */
static void test_time_parse_every_offset(void **state)
{
    (void)state;
    for (int minutes = -(23 * 60 + 59); minutes <= 23 * 60 + 59; minutes++) {
        char text[64];
        int size = abs(minutes);
        (void)snprintf(text, sizeof(text), "2000-02-29T12:34:56.789%c%02d:%02d",
            minutes < 0 ? '-' : '+', size / 60, size % 60);
        assert_time(text, (951827696 - (int64_t)minutes * 60) * TIME_MICROS_PER_SECOND + 789000);
    }
}

/* Against the C library's calendar: every day of 800 years, two leap cycles. */
static void test_time_parse_every_day_agrees_with_timegm(void **state)
{
    (void)state;
    for (int64_t day = -146097; day < 146097; day++) {
        time_t seconds = (time_t)(day * 86400 + 3723);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char want[TIME_TEXT_SIZE_MAX], got[TIME_TEXT_SIZE_MAX];
        assert_true(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        size_t size = time_format(seconds * TIME_MICROS_PER_SECOND, got);
        assert_int_equal(size, strlen(want));
        assert_string_equal(got, want);
        assert_time(want, seconds * TIME_MICROS_PER_SECOND);
    }
}

static void test_time_parse_bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "2026", "2026-11-20", "2026-11-20T01:15Z",
        "2026-11-20T01:15:00", "2026-11-20T01:15:00+0900", "2026-11-20T01:15:00+09",
        "2026-11-20T01:15:00+24:00", "2026-11-20T01:15:00+09:60", "2026-11-20T24:00:00Z",
        "2026-11-20T01:60:00Z", "2026-11-20T01:15:61Z", "2026-13-20T01:15:00Z",
        "2026-00-20T01:15:00Z", "2026-11-31T01:15:00Z", "2026-02-29T01:15:00Z",
        "1900-02-29T01:15:00Z", "2026-11-00T01:15:00Z", "2026-11-20T01:15:00.Z",
        "2026-11-20T01:15:00,5Z", "2026-11-20T01:15:00ZZ", " 2026-11-20T01:15:00Z",
        "2026/11/20T01:15:00Z", "2026-11/20T01:15:00Z", "20261-11-20T01:15:00Z",
        "+0002026-01-01T00:00:00Z", "+294248-01-01T00:00:00Z", "-290309-01-01T00:00:00Z",
        "2026-1-20T01:15:00Z", "２０２６-11-20T01:15:00Z", "now", "1795137300"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_no_time(bad[i]);
    int64_t micros = UNTOUCHED;
    assert_int_equal(time_parse(STR("2026-11-20T01:15:00\0"), &micros), ERR_TIME);
    assert_int_equal(time_parse(STR("2026\0-11-20T01:15:00Z"), &micros), ERR_TIME);
}

static void test_time_parse_truncated_is_refused(void **state)
{
    (void)state;
    static const char text[] = "+012026-11-20T01:15:00.123456+09:00";
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        int64_t micros = UNTOUCHED;
        char *exact = malloc(size + 1); /* so that the sanitizer sees a read beyond */
        assert_non_null(exact);
        memcpy(exact, text, size);
        assert_int_equal(time_parse(str_make(exact, size), &micros), ERR_TIME);
        free(exact);
    }
}

static void test_time_format_reads_back(void **state)
{
    (void)state;
    static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, 0, -1, 1,
        999, 1000, -1000, 999999, 1000000, -62135596800000000, -62167219200000000,
        -62167219200000001, 253402300799999999, 253402300800000000, 4102444800123456};
    char text[TIME_TEXT_SIZE_MAX];
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        size_t size = time_format(edges[i], text);
        assert_int_equal(size, strlen(text));
        assert_time(text, edges[i]);
    }
    uint64_t random = 20261123;
    for (int i = 0; i < 100000; i++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        int64_t micros = (int64_t)random >> (i % 40);
        time_format(micros, text);
        assert_time(text, micros);
    }
    time_format(1795137300123000, text);
    assert_string_equal(text, "2026-11-20T01:15:00.123Z");
    time_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    time_format(253402300800000000, text);
    assert_string_equal(text, "+010000-01-01T00:00:00Z");
}

static void test_time_parse_local_takes_the_given_offset(void **state)
{
    (void)state;
    int64_t micros = UNTOUCHED;
    const int64_t want = 1795137300 * TIME_MICROS_PER_SECOND;
    const int32_t tokyo = 9 * 3600;
    static const char *const forms[] = {"2026-11-20 10:15:00", "2026-11-20T10:15",
        "2026/11/20 10:15", "2026/11/20 10:15:00.000", "2026-11-20T01:15:00Z",
        "2026-11-20 04:15:00+03:00"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(time_parse_local(str_of(forms[i]), tokyo, &micros), 0);
        assert_int_equal(micros, want);
    }
    assert_int_equal(time_parse_local(STR("2026-11-20"), tokyo, &micros), 0);
    assert_int_equal(micros, want - (10 * 3600 + 15 * 60) * TIME_MICROS_PER_SECOND);
    static const char *const bad[] = {"", "2026/11-20", "2026-11-20 ", "2026-11-20 10", "20261120",
        "2026-11-20 10:15 JST", "2026-11-20 10:15:00 +09000", "2026-11-20 10:15:00 +0960",
        "2026-11-20 10:15:00 +24", "2026-11-20 10:15:00  +0900", "2026-11-20 10:15:00 ",
        "2026-11-20 10:15:00 +9", "2026-11-20 10:15:", "11/20/2026"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(time_parse_local(str_of(bad[i]), tokyo, &micros), ERR_TIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_parse_forms_of_one_moment),
        cmocka_unit_test(test_time_parse_every_offset),
        cmocka_unit_test(test_time_parse_every_day_agrees_with_timegm),
        cmocka_unit_test(test_time_parse_bad_text_is_refused),
        cmocka_unit_test(test_time_parse_truncated_is_refused),
        cmocka_unit_test(test_time_format_reads_back),
        cmocka_unit_test(test_time_parse_local_takes_the_given_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
