/* Percent-encoding of addresses. */
#pragma once

#include "schemas/arena.h"

/* Decodes %41 and + (a blank). Where the result would not be UTF-8 without control characters, or a
 * % stands alone, *out is the text as it was: nothing is guessed. The result borrows from text, or
 * lives in the arena. Errors: ERR_NO_MEMORY. Threads: any. Source: WHATWG URL,
 * application/x-www-form-urlencoded. */
MUST_CHECK int percent_decode(struct str text, struct arena *arena, struct str *out);
