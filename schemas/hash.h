/*
 * Hashes that name things. Backed by OpenSSL (SHA-256, HMAC) and xxHash.
 */
#pragma once

#include "schemas/bytes.h"

#define KEY_SIZE 16 /* event keys, nodes, persons */

/* SHA-256 over pieces. Use: init, update..., final. Stack value; no free needed. Threads: one each. */
struct sha256 {
    _Alignas(16) unsigned char opaque[128];
};
void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, struct str bytes);
/* Hashes the size (8 bytes, big-endian), then the bytes: pieces cannot run into each other. */
void sha256_update_sized(struct sha256 *hash, struct str bytes);
void sha256_final(struct sha256 *hash, uint8_t out[32]);

/* HMAC-SHA-256 with a key of any size. Source: RFC 2104. Threads: any. Errors: none. */
void hmac_sha256(struct str key, struct str bytes, uint8_t out[32]);

/* XXH3-64, for tables in memory and for change detection; never for names that outsiders choose. */
uint64_t hash64(struct str bytes);

/* Lower-case hex; out has room for 2 * size bytes, no NUL. */
void hex_encode(const void *data, size_t size, char *out);
/* Returns false unless text is exactly 2 * size hex digits. */
bool hex_decode(struct str text, void *out, size_t size);
