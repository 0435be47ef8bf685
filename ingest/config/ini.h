/*
 * Reads INI text, line by line, with exact line numbers.
 *
 *     # or ; at the start of a line: a comment (there are none after a value)
 *     [section]
 *     key = value          white space around both is cut; the value is taken as it stands
 *         more value       an indented line continues the value before it
 *
 * Why not inih: as Debian builds it, it tells no line numbers, cuts lines at 200 bytes and section
 * names at 49 in silence, and its settings are process-wide variables.
 */
#pragma once

#include "schemas/bytes.h"

#define INI_SIZE_MAX ((size_t)1 << 20)
#define INI_LINE_SIZE_MAX ((size_t)64 << 10)

/* Slices are valid during the call. */
struct ini_entry {
    struct str section; /* empty before the first */
    struct str key;     /* empty: the section itself has begun */
    struct str value;
    int line; /* from 1 */
    bool continuation;
};

/* Returns 0, or an error that ends the reading. */
typedef int (*ini_entry_fn)(void *context, const struct ini_entry *entry);

/* What was wrong with the text. */
struct ini_problem {
    int line;
    const char *text; /* static */
};

/* Reads text (UTF-8, with or without a byte order mark; LF or CRLF). Errors: ERR_CONFIG with
 * *problem set: line too long, no '=', unclosed '[', continuation of nothing, U+0000, bytes that
 * are not UTF-8, over INI_SIZE_MAX; else what entry() returned, with problem->line. Threads: any.
 */
MUST_CHECK int ini_read(
    struct str text, ini_entry_fn entry, void *context, struct ini_problem *problem);

/* Reads a file whole into *out. Errors: ERR_NOT_FOUND, ERR_IO (errno says why),
 * ERR_TOO_LARGE over size_max, ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int ini_load(const char *path, size_t size_max, struct buf *out);
