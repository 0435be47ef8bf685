/*
 * Phone numbers to E.164, by libphonenumber behind C, with Japan's habits.
 */
#pragma once

#include "schemas/bytes.h"

#define PHONE_SIZE_MAX 16 /* '+' and at most 15 digits. Source: ITU-T E.164 */

/* Positive outcomes of phone_normalise(): */
#define PHONE_SHARED 1    /* 0120, 0800, 0570, 0990 and their like: it names a service, no person */
#define PHONE_MALFORMED 2 /* no number at all, withheld, or one that cannot exist */

/* Reads a number as people in Japan write it (dashes, brackets, "184-" or "186-" before it, "+81
 * (0)3") or an international one; writes "+81312345678" without NUL and its size.
 * text: UTF-8 in NFKC. Returns 0, PHONE_SHARED, PHONE_MALFORMED. Errors: ERR_NO_MEMORY. Threads:
 * any. */
MUST_CHECK int phone_normalise(struct str text, char out[PHONE_SIZE_MAX], size_t *size);
