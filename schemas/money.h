/*
 * Exact money: decimal text in major units <-> integer minor units of an ISO 4217 currency.
 */
#pragma once

#include "schemas/bytes.h"

#define MONEY_TEXT_SIZE_MAX 48

/* Digits after the point of a currency (JPY 0, USD 2, BHD 3), or ERR_CURRENCY. Source: ISO 4217. */
int money_exponent(struct str currency);

/* Reads "12980", "-19.90", "+5" (no exponent, no grouping). Errors: ERR_MONEY; ERR_MONEY_PRECISION (more
 * significant digits than the currency has; trailing zeros are fine); ERR_CURRENCY; ERR_NUMBER_RANGE. */
MUST_CHECK int money_parse(struct str text, struct str currency, int64_t *minor);

/* Writes major units ("129.80", "-5"), NUL-terminated; unknown currency: as exponent 0. Returns length. */
size_t money_format(int64_t minor, struct str currency, char out[MONEY_TEXT_SIZE_MAX]);
