/*
 * Times as microseconds since 1970-01-01T00:00:00Z (int64_t), proleptic Gregorian, no leap seconds.
 */
#pragma once

#include "schemas/bytes.h"

#define TIME_MICROS_PER_MILLI ((int64_t)1000)
#define TIME_MICROS_PER_SECOND ((int64_t)1000000)
#define TIME_MICROS_PER_DAY (86400 * TIME_MICROS_PER_SECOND)
#define TIME_TEXT_SIZE_MAX 40

/* Reads RFC 3339 ("2026-11-20T10:15:00.123+09:00", also a space for T, any case, second 60 as the
 * next minute's start); digits beyond micros are cut toward the past. Years outside 0..9999 as ISO
 * 8601 has them: a sign and up to six digits ("+012026-01-01T00:00:00Z"). Errors: ERR_TIME, also
 * for what int64 micros cannot hold. Source: RFC 3339, 5.6; ISO 8601-1, 5.2.2 (expanded years). */
MUST_CHECK int time_parse(struct str text, int64_t *micros);

/* Reads "YYYY-MM-DD[( |T)HH:MM[:SS[.frac]]]" without offset, taken to stand offset_seconds east of
 * UTC; also "/" for "-"; with an offset as time_parse(), also written " +0900", "+09" or " UTC". A
 * date alone is its midnight. For import. Errors: ERR_TIME. */
MUST_CHECK int time_parse_local(struct str text, int32_t offset_seconds, int64_t *micros);

/* Writes "2026-11-20T01:15:00.123Z" with 0, 3 or 6 fraction digits as needed, NUL-terminated.
 * Returns the length. Years outside 0..9999 are written with sign and six digits; time_parse()
 * reads every text back to the same micros. */
size_t time_format(int64_t micros, char out[TIME_TEXT_SIZE_MAX]);
