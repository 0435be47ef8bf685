/* Japanese and foreign numbers as people write them. */
#include "ingest/normalise/phone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phone_normalise_personal_number_gives_e164),
        cmocka_unit_test(test_phone_normalise_service_number_is_shared),
        cmocka_unit_test(test_phone_normalise_no_number_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
