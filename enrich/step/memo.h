/*
 * A bounded memory of answers that are a pure function of a text: user agents, channels. Forgetting
 * is always right, so running out of memory is no error. Not thread-safe.
 */
#pragma once

#include "schemas/bytes.h"

#define MEMO_KEY_SIZE_MAX 1024 /* longer ones are not remembered */

struct memo;

/* entries: a power of two. Errors: ERR_NO_MEMORY. */
MUST_CHECK int memo_new(struct memo **out, size_t entries);
/* Accepts NULL inside, leaves NULL. */
void memo_free(struct memo **memo);

/* What was remembered for the text, valid until the next memo_put(); false: nothing. */
bool memo_get(struct memo *memo, struct str key, struct str *value);

/* Remembers a copy, in place of what has been asked for least recently. */
void memo_put(struct memo *memo, struct str key, struct str value);
