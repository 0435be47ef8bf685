/*
 * How two texts differ, line by line: the fewest lines taken out and put in.
 */
#pragma once

#include "schemas/bytes.h"

/* Beyond so many pairs of lines that differ the old ones stand before the new ones, unmatched. */
#define LINE_DIFF_PAIRS_MAX ((size_t)4 << 20)

/* Appends "-" and a line for each that only `old` has, "+" for each of `new`, and " " for at most
 * `context` lines that both have beside those; other common lines are left out, with "..." for
 * each gap between. Texts that are the same append nothing. Errors: ERR_NO_MEMORY. */
MUST_CHECK int line_diff(struct str old, struct str new, size_t context, struct buf *out);
