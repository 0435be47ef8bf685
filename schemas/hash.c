/*
 * SHA-256 uses libcrypto's direct functions, not EVP: their state is a plain value that needs no
 * allocation, cannot fail and can be copied (which is what a prepared HMAC key is). Measured on 60
 * bytes: 94 ns against 126 ns (EVP, context reused) and 158 ns (EVP, context made each time).
 */
#define OPENSSL_API_COMPAT 0x10100000L /* before 3.0 deprecated them in favour of EVP */
#include "schemas/hash.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HMAC_BLOCK_SIZE 64
#define HMAC_INNER_PAD 0x36
#define HMAC_OUTER_PAD 0x5c

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct sha256), "struct sha256 holds SHA256_CTX");
_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct hash128_pieces),
    "struct hash128_pieces holds XXH3_state_t");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct hash128_pieces), "and aligns it");

static SHA256_CTX *context(struct sha256 *hash)
{
    return (SHA256_CTX *)(void *)hash->opaque;
}

void sha256_init(struct sha256 *hash)
{
    check(SHA256_Init(context(hash)) == 1);
}

void sha256_update(struct sha256 *hash, struct str bytes)
{
    if (bytes.size)
        check(SHA256_Update(context(hash), bytes.data, bytes.size) == 1);
}

void sha256_update_sized(struct sha256 *hash, struct str bytes)
{
    uint8_t size[8];
    put_be64(size, bytes.size);
    sha256_update(hash, str_make(size, sizeof(size)));
    sha256_update(hash, bytes);
}

void sha256_final(struct sha256 *hash, uint8_t out[SHA256_SIZE])
{
    check(SHA256_Final(out, context(hash)) == 1);
}

void hmac_key_init(struct hmac_key *key, struct str bytes)
{
    uint8_t block[HMAC_BLOCK_SIZE] = {0};
    if (bytes.size > sizeof(block)) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_update(&hash, bytes);
        sha256_final(&hash, block);
    } else if (bytes.size) {
        memcpy(block, bytes.data, bytes.size);
    }
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_INNER_PAD;
    sha256_init(&key->inner);
    sha256_update(&key->inner, str_make(block, sizeof(block)));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_INNER_PAD ^ HMAC_OUTER_PAD;
    sha256_init(&key->outer);
    sha256_update(&key->outer, str_make(block, sizeof(block)));
}

void hmac_sha256_with(const struct hmac_key *key, struct str bytes, uint8_t out[SHA256_SIZE])
{
    uint8_t inner[SHA256_SIZE];
    struct sha256 hash = key->inner;
    sha256_update(&hash, bytes);
    sha256_final(&hash, inner);
    hash = key->outer;
    sha256_update(&hash, str_make(inner, sizeof(inner)));
    sha256_final(&hash, out);
}

static void sha1_two(const uint8_t *first, struct str second, uint8_t out[SHA1_SIZE])
{
    SHA_CTX hash;
    check(SHA1_Init(&hash) == 1);
    check(SHA1_Update(&hash, first, HMAC_BLOCK_SIZE) == 1);
    if (second.size)
        check(SHA1_Update(&hash, second.data, second.size) == 1);
    check(SHA1_Final(out, &hash) == 1);
}

void hmac_sha1(struct str key, struct str bytes, uint8_t out[SHA1_SIZE])
{
    uint8_t block[HMAC_BLOCK_SIZE] = {0};
    uint8_t inner[SHA1_SIZE];
    if (key.size > sizeof(block))
        check(SHA1((const unsigned char *)key.data, key.size, block) != NULL);
    else if (key.size)
        memcpy(block, key.data, key.size);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_INNER_PAD;
    sha1_two(block, bytes, inner);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_INNER_PAD ^ HMAC_OUTER_PAD;
    sha1_two(block, str_make(inner, sizeof(inner)), out);
}

bool digest_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

uint64_t hash64(struct str bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}

void hash128(struct str bytes, uint64_t out[2])
{
    XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
    out[0] = hash.low64;
    out[1] = hash.high64;
}

void hash128_init(struct hash128_pieces *hash)
{
    check(XXH3_128bits_reset((XXH3_state_t *)(void *)hash->opaque) == XXH_OK);
}

void hash128_update(struct hash128_pieces *hash, struct str bytes)
{
    if (bytes.size)
        check(XXH3_128bits_update((XXH3_state_t *)(void *)hash->opaque, bytes.data, bytes.size) ==
              XXH_OK);
}

void hash128_digest(const struct hash128_pieces *hash, uint8_t out[16])
{
    XXH128_hash_t digest = XXH3_128bits_digest((const XXH3_state_t *)(const void *)hash->opaque);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, digest);
    memcpy(out, canonical.digest, sizeof(canonical.digest));
}

void hex_encode(const void *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct str text, void *out, size_t size)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (hex_value(text.data[i]) < 0)
            return false;
    }
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(hex_value(text.data[2 * i]) << 4 | hex_value(text.data[2 * i + 1]));
    return true;
}
