/*
 * Person ids as people see them: UUIDs with dashes.
 */
#pragma once

#include "schemas/hash.h"

#define UUID_TEXT_SIZE 37 /* with its NUL */

void uuid_write(const uint8_t key[KEY_SIZE], char out[UUID_TEXT_SIZE]);

/* True where the text is a UUID, also without its dashes; *key is then set. */
bool uuid_read(struct str text, uint8_t key[KEY_SIZE]);
