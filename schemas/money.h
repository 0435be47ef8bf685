/*
 * Exact money: decimal text in major units <-> integer minor units of an ISO 4217 currency.
 */
#pragma once

#include "schemas/bytes.h"

#define MONEY_TEXT_SIZE_MAX 48

/* Digits after the point of a currency (JPY 0, USD 2, BHD 3), or ERR_CURRENCY: also for codes
 * without minor units (gold, XXX) and lower case. Currencies withdrawn since 2015 are known, for
 * old data. Threads: any. Source: ISO 4217 list one of 2026-01-01, list three. */
int money_exponent(struct str currency);

/* Reads "12980", "-19.90", "+5", ".5" (no exponent, no grouping, no white space). Errors:
 * ERR_MONEY; ERR_MONEY_PRECISION (more significant digits than the currency has; trailing zeros are
 * fine); ERR_CURRENCY; ERR_NUMBER_RANGE (over int64 minor units). Threads: any. */
MUST_CHECK int money_parse(struct str text, struct str currency, int64_t *minor);

/* The same for a known exponent (0 to 4). */
MUST_CHECK int money_parse_exponent(struct str text, int exponent, int64_t *minor);

/* Whole major units to minor units. Errors: ERR_NUMBER_RANGE. */
MUST_CHECK int money_from_major(int64_t major, int exponent, int64_t *minor);

/* Writes major units ("129.80", "-5"), NUL-terminated; unknown currency: as exponent 0. Returns the
 * length. money_parse() reads it back to the same minor units. */
size_t money_format(int64_t minor, struct str currency, char out[MONEY_TEXT_SIZE_MAX]);
