/*
 * The tenant key file: the keys that pseudonyms of e-mail and phone are made with, and the key of
 * person ids. Text alone is read and written here; `tabiji keys` keeps the file.
 *
 *     tabiji keys 1
 *     persons <64 hex digits>
 *     issued k2
 *     k1 active 2026-01-05T09:00:00Z <64 hex digits>
 *     k2 next 2026-11-27T06:48:43Z <64 hex digits>
 *     sum <16 hex digits>
 *
 * One key, or two while a rotation is under way: with the active one events are made pseudonymous,
 * the next one is to follow it. Person ids are made with the key of persons, which no rotation
 * changes: so they stay, and state knows the file again (its settings hold that key's hash).
 * `issued` is the newest id ever given, so that none is given twice. The sum (of all bytes before
 * it, SHA-256) tells a file that was cut or mistyped.
 *
 * A file of 64 hex digits alone, as earlier versions made and `openssl rand -hex 32` makes, is one
 * active key that is also the key of persons. When such a file is rotated the secret of its first
 * key stays in it as the key of persons: then whoever gets the file can still make pseudonyms of
 * that key, also when it is retired.
 */
#pragma once

#include "schemas/bytes.h"

#define KEY_FILE_KEYS_MAX 2
#define KEY_FILE_SIZE_MAX ((size_t)4096)
#define KEY_FILE_ID_SIZE 9 /* k, 1 to 7 digits, NUL */
#define TENANT_KEY_SIZE 32
#define KEY_FILE_TIME_UNKNOWN INT64_MIN /* of a key without one; written "-" */

struct tenant_key {
    char id[KEY_FILE_ID_SIZE]; /* "k1" */
    uint8_t secret[TENANT_KEY_SIZE];
    int64_t created_at; /* micros */
};

struct key_file {
    uint8_t person_key[TENANT_KEY_SIZE];
    struct tenant_key keys[KEY_FILE_KEYS_MAX]; /* the active one first */
    size_t keys_count;
    uint32_t issued; /* number of the newest id */
};

/* True for k and 1 to 7 digits of which the first is not 0. */
bool key_file_id_valid(struct str id);

/* Reads a file's text, with or without its last line end. legacy_id names the key of a file that
 * has no ids. Errors: ERR_CONFIG (any other text), ERR_NO_MEMORY; *out is then unchanged. */
MUST_CHECK int key_file_read(struct str text, struct str legacy_id, struct key_file *out);

/* Writes the text that key_file_read() reads back to the same. Errors: ERR_NO_MEMORY. */
MUST_CHECK int key_file_write(const struct key_file *file, struct buf *out);

/* A file of one key, "k1". Secrets are random bytes of the caller's. */
void key_file_new(struct key_file *out, const uint8_t person_key[TENANT_KEY_SIZE],
    const uint8_t secret[TENANT_KEY_SIZE], int64_t now_micros);

/* Adds the next key. Errors: ERR_TOO_MANY: two are live; ERR_NUMBER_RANGE: ids are used up. */
MUST_CHECK int key_file_rotate(
    struct key_file *file, const uint8_t secret[TENANT_KEY_SIZE], int64_t now_micros);

/* Removes a key; where it was the active one, the next one becomes active. Errors: ERR_NOT_FOUND:
 * no such id; ERR_TOO_FEW: it is the only one. */
MUST_CHECK int key_file_retire(struct key_file *file, struct str id);
