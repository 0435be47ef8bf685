#include "enrich/identity/person.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t root[KEY_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Golden: HMAC-SHA-256 by Python's hmac, then the bits of version 8 and the variant. */
static void test_person_id_golden_bytes(void **state)
{
    static const uint8_t golden[KEY_SIZE] = {0xca, 0xb6, 0xd1, 0x37, 0xbc, 0x3d, 0x80, 0x54, 0x81,
        0x4b, 0x85, 0x55, 0x17, 0xf8, 0xb9, 0xf9};
    struct hmac_key key;
    uint8_t person[KEY_SIZE];
    hmac_key_init(&key, STR("tenant"));
    person_id(&key, root, person);
    assert_memory_equal(person, golden, KEY_SIZE);
}

static void test_person_id_other_key_other_person(void **state)
{
    struct hmac_key key;
    uint8_t a[KEY_SIZE], b[KEY_SIZE];
    hmac_key_init(&key, STR("tenant"));
    person_id(&key, root, a);
    hmac_key_init(&key, STR("another"));
    person_id(&key, root, b);
    assert_memory_not_equal(a, b, KEY_SIZE);
    assert_int_equal(a[6] >> 4, 8); /* version */
    assert_int_equal(b[8] >> 6, 2); /* variant */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_person_id_golden_bytes),
        cmocka_unit_test(test_person_id_other_key_other_person),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
