/* Japanese and foreign numbers as people write them. */
#include "ingest/normalise/phone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ingest/normalise/phone_number.h"

struct sample {
    const char *text;
    const char *number;
};

static void test_phone_normalise_personal_number_gives_e164(void **state)
{
    static const struct sample samples[] = {
        {"03-1234-5678", "+81312345678"},
        {"(03)1234\u22125678", "+81312345678"},
        {"03\u30fc1234\u30fc5678", "+81312345678"},
        {"0312345678", "+81312345678"},
        {"+81 (0)3 1234 5678", "+81312345678"},
        {"tel:+81-3-1234-5678", "+81312345678"},
        {"184-03-1234-5678", "+81312345678"},
        {"186 090 1234 5678", "+819012345678"},
        {"090-1234-5678", "+819012345678"},
        {"050-1234-5678", "+815012345678"},
        {"060-1234-5678", "+816012345678"},
        {"+81 60-1234-5678", "+816012345678"},
        {"+1 650-253-0000", "+16502530000"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char out[PHONE_SIZE_MAX];
        size_t size = 0;
        assert_int_equal(phone_normalise(str_of(samples[i].text), out, &size), 0);
        assert_int_equal(size, strlen(samples[i].number));
        assert_memory_equal(out, samples[i].number, size);
    }
}

static void test_phone_normalise_service_number_is_shared(void **state)
{
    static const char *const samples[] = {
        "0120-444-444", "0800-123-4567", "0570-000-000", "0990-123456", "+81 120-444-444"};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char out[PHONE_SIZE_MAX];
        size_t size = 0;
        assert_int_equal(phone_normalise(str_of(samples[i]), out, &size), PHONE_SHARED);
    }
}

static void test_phone_normalise_no_number_is_malformed(void **state)
{
    static const char *const samples[] = {"", "abc", "12", "110", "0000000000", "非通知",
        "+266696687", "+7378742833", "+86282452253", "+", "k1:00",
        "1234567890123456789012345678901234567890",
        "03-1234-5678 03-1234-5678 03-1234-5678 03-1234-5678 03-1234-5678 03"};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char out[PHONE_SIZE_MAX];
        size_t size = 0;
        assert_int_equal(phone_normalise(str_of(samples[i]), out, &size), PHONE_MALFORMED);
    }
}

/* The shorter way for numbers as Japan writes them is libphonenumber's own: of every beginning and
 * length what its parser says. */
static void test_phone_number_read_short_way_is_the_parsers(void **state)
{
    uint32_t seed = 1;
    size_t persons = 0, services = 0;
    for (int beginning = 0; beginning < 10000; beginning++) {
        char text[16], out[18], want[18];
        size_t size = 0, out_size = 0, want_size = 0;
        bool dashes = beginning % 3 == 0;
        size = (size_t)snprintf(text, sizeof text, dashes ? "0%.2d-%.2d-" : "0%.2d%.2d",
            beginning / 100, beginning % 100);
        for (int left = 5 + beginning % 2 + beginning / 7 % 2; left > 0; left--) {
            seed = seed * 1664525 + 1013904223;
            text[size++] = (char)('0' + (seed >> 24) % 10);
        }
        int kind = phone_number_parse(text, size, want, &want_size);
        assert_int_equal(phone_number_read(text, size, out, &out_size), kind);
        if (kind != PHONE_NUMBER_NONE)
            assert_true(str_equal(str_make(out, out_size), str_make(want, want_size)));
        persons += kind == PHONE_NUMBER_PERSON;
        services += kind == PHONE_NUMBER_SERVICE;
    }
    assert_in_range(persons, 1000, 9000);
    assert_in_range(services, 20, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phone_normalise_personal_number_gives_e164),
        cmocka_unit_test(test_phone_normalise_service_number_is_shared),
        cmocka_unit_test(test_phone_normalise_no_number_is_malformed),
        cmocka_unit_test(test_phone_number_read_short_way_is_the_parsers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
