#include "schemas/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_hex(const void *data, size_t size, const char *want)
{
    char hex[2 * 64 + 1] = {0};
    hex_encode(data, size, hex);
    assert_string_equal(hex, want);
}

/* Source: FIPS 180-4 examples. */
static void test_sha256_pieces_equal_whole(void **state)
{
    (void)state;
    struct sha256 hash;
    uint8_t out[SHA256_SIZE];
    sha256_init(&hash);
    sha256_update(&hash, STR("a"));
    sha256_update(&hash, str_make(NULL, 0));
    sha256_update(&hash, STR("bc"));
    sha256_final(&hash, out);
    assert_hex(
        out, sizeof(out), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_init(&hash);
    sha256_final(&hash, out);
    assert_hex(
        out, sizeof(out), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_sha256_update_sized_keeps_pieces_apart(void **state)
{
    (void)state;
    struct sha256 hash;
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE], c[SHA256_SIZE];
    sha256_init(&hash);
    sha256_update_sized(&hash, STR("ab"));
    sha256_update_sized(&hash, STR("c"));
    sha256_final(&hash, a);
    sha256_init(&hash);
    sha256_update_sized(&hash, STR("a"));
    sha256_update_sized(&hash, STR("bc"));
    sha256_final(&hash, b);
    assert_memory_not_equal(a, b, sizeof(a));
    sha256_init(&hash);
    sha256_update(&hash, STR("\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c"));
    sha256_final(&hash, c);
    assert_memory_equal(a, c, sizeof(a));
}

static void hmac_sha256(struct str key, struct str bytes, uint8_t out[SHA256_SIZE])
{
    struct hmac_key ready;
    hmac_key_init(&ready, key);
    hmac_sha256_with(&ready, bytes, out);
}

/* Source: RFC 4231, test cases 1, 2 and 6. */
static void test_hmac_sha256_rfc_vectors(void **state)
{
    (void)state;
    uint8_t out[SHA256_SIZE];
    char key[131];
    memset(key, 0x0b, 20);
    hmac_sha256(str_make(key, 20), STR("Hi There"), out);
    assert_hex(
        out, sizeof(out), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_hex(
        out, sizeof(out), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(str_make(key, sizeof(key)),
        STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    assert_hex(
        out, sizeof(out), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_hmac_key_is_reusable(void **state)
{
    (void)state;
    struct hmac_key key;
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE];
    hmac_key_init(&key, STR("secret"));
    hmac_sha256_with(&key, STR("one"), a);
    hmac_sha256_with(&key, STR("two"), a);
    hmac_sha256(STR("secret"), STR("two"), b);
    assert_memory_equal(a, b, sizeof(a));
}

/* Source: RFC 2202, test cases 1, 2 and 6. */
static void test_hmac_sha1_rfc_vectors(void **state)
{
    (void)state;
    uint8_t out[SHA1_SIZE];
    char key[80];
    memset(key, 0x0b, 20);
    hmac_sha1(str_make(key, 20), STR("Hi There"), out);
    assert_hex(out, sizeof(out), "b617318655057264e28bc0b6fb378c8ef146be00");
    hmac_sha1(STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_hex(out, sizeof(out), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    memset(key, 0xaa, sizeof(key));
    hmac_sha1(str_make(key, sizeof(key)),
        STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    assert_hex(out, sizeof(out), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

static void test_digest_equal_sees_every_byte(void **state)
{
    (void)state;
    uint8_t a[SHA256_SIZE] = {0}, b[SHA256_SIZE] = {0};
    assert_true(digest_equal(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] = 1;
        assert_false(digest_equal(a, b, sizeof(a)));
        b[i] = 0;
    }
}

/* Source: xxHash 0.8, XXH3 of no bytes with seed 0. */
static void test_hash64_and_hash128_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(hash64(str_make(NULL, 0)), 0x2D06800538D394C2ULL);
    struct hash128_pieces hash;
    uint8_t out[16];
    hash128_init(&hash);
    hash128_digest(&hash, out);
    assert_hex(out, sizeof(out), "99aa06d3014798d86001c324468d497f");
}

static void test_hash128_pieces_equal_whole(void **state)
{
    (void)state;
    char bytes[3000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    struct hash128_pieces whole, pieces;
    uint8_t a[16], b[16];
    hash128_init(&whole);
    hash128_update(&whole, str_make(bytes, sizeof(bytes)));
    hash128_digest(&whole, a);
    hash128_init(&pieces);
    for (size_t i = 0; i < sizeof(bytes); i += 100) {
        hash128_update(&pieces, str_make(bytes + i, 100));
        hash128_digest(&pieces, b); /* looking does not disturb */
    }
    assert_memory_equal(a, b, sizeof(a));
}

static void test_hex_decode_bad_digits_leave_output(void **state)
{
    (void)state;
    uint8_t out[2] = {1, 2};
    assert_false(hex_decode(STR("abc"), out, 2));
    assert_false(hex_decode(STR("abcg"), out, 2));
    assert_false(hex_decode(STR("abcde"), out, 2));
    assert_int_equal(out[0], 1);
    assert_true(hex_decode(STR("aBcF"), out, 2));
    assert_int_equal(out[0], 0xab);
    assert_int_equal(out[1], 0xcf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_pieces_equal_whole),
        cmocka_unit_test(test_sha256_update_sized_keeps_pieces_apart),
        cmocka_unit_test(test_hmac_sha256_rfc_vectors),
        cmocka_unit_test(test_hmac_key_is_reusable),
        cmocka_unit_test(test_hmac_sha1_rfc_vectors),
        cmocka_unit_test(test_digest_equal_sees_every_byte),
        cmocka_unit_test(test_hash64_and_hash128_of_nothing),
        cmocka_unit_test(test_hash128_pieces_equal_whole),
        cmocka_unit_test(test_hex_decode_bad_digits_leave_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
