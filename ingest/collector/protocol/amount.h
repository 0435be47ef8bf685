/*
 * Money as web clients send it: as JSON numbers, which are doubles there.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/json.h"

#define CURRENCY_SIZE 3

/* Reads an amount in major units: a decimal text, a whole number, or a double. A double that is off
 * its currency's digits only by the noise of binary floating point is put right; other surplus
 * digits are ERR_MONEY_PRECISION. Errors: those of money_parse(), ERR_FIELD_TYPE. Threads: any. */
MUST_CHECK int amount_read(struct json value, struct str currency, int64_t *minor);

/* The same of a text that a client has made of a number: noise is put right here too. */
MUST_CHECK int amount_read_number(struct str text, struct str currency, int64_t *minor);

/* An ISO 4217 code in whatever case, in capitals; in the arena. Errors: ERR_CURRENCY,
 * ERR_NO_MEMORY, *out unchanged. Threads: any. */
MUST_CHECK int amount_currency(struct str text, struct arena *arena, struct str *out);
