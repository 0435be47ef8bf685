/*
 * Base64 as clients send it. Source: RFC 4648, 4 and 5.
 */
#pragma once

#include "schemas/bytes.h"

/* Bytes that a text of this size gives at most. */
#define BASE64_SIZE_MAX(text_size) ((text_size) / 4 * 3 + 3)

/* Decodes either alphabet, padded or not, into out, which has room for that many bytes; a blank is
 * a
 * '+' that a query's unescaping took. *size: of what came out. Errors: ERR_VALUE for what is no
 * base64, ERR_TOO_LARGE over room; then *size is untouched. Threads: any. */
MUST_CHECK int base64_decode(struct str text, void *out, size_t room, size_t *size);
