/*
 * Hashes that name things. Backed by OpenSSL (SHA-256, HMAC) and xxHash.
 */
#pragma once

#include "schemas/bytes.h"

#define KEY_SIZE 16 /* event keys, nodes, persons */
#define SHA256_SIZE 32

/* SHA-256 over pieces. Use: init, update..., final. Stack value; no free needed. Threads: one each.
 * Source: FIPS 180-4. */
struct sha256 {
    _Alignas(16) unsigned char opaque[112];
};
void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, struct str bytes);
/* Hashes the size (8 bytes, big-endian), then the bytes: pieces cannot run into each other. */
void sha256_update_sized(struct sha256 *hash, struct str bytes);
void sha256_final(struct sha256 *hash, uint8_t out[SHA256_SIZE]);

/* HMAC-SHA-256. A key of any size, made ready once: half the work for each text. Plain value,
 * copyable. Source: RFC 2104. Threads: any, once made. Errors: none. */
struct hmac_key {
    struct sha256 inner;
    struct sha256 outer;
};
void hmac_key_init(struct hmac_key *key, struct str bytes);
void hmac_sha256_with(const struct hmac_key *key, struct str bytes, uint8_t out[SHA256_SIZE]);

/* HMAC-SHA-1, for senders that sign with it and nothing better. Threads: any. Source: RFC 2104. */
#define SHA1_SIZE 20
void hmac_sha1(struct str key, struct str bytes, uint8_t out[SHA1_SIZE]);

/* Whether two digests are equal; how long it takes tells nothing of where they differ. */
bool digest_equal(const void *a, const void *b, size_t size);

/* XXH3-64, for tables in memory and for change detection; never for names that outsiders choose. */
uint64_t hash64(struct str bytes);

/* XXH3-128 in one go, for tables in memory that may not confuse two texts. */
void hash128(struct str bytes, uint64_t out[2]);

/* XXH3-128 over pieces, big-endian canonical form: for recognising a file's bytes again. */
struct hash128_pieces {
    _Alignas(64) unsigned char opaque[576];
};
void hash128_init(struct hash128_pieces *hash);
void hash128_update(struct hash128_pieces *hash, struct str bytes);
/* The hash of all updates so far; more may follow. */
void hash128_digest(const struct hash128_pieces *hash, uint8_t out[16]);

/* Lower-case hex; out has room for 2 * size bytes, no NUL. */
void hex_encode(const void *data, size_t size, char *out);
/* Returns false unless text is exactly 2 * size hex digits (of any case). */
bool hex_decode(struct str text, void *out, size_t size);
