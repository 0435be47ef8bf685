/*
 * Rows of comma-separated text, one after the other, from bytes in memory. Strict (RFC 4180): a
 * quote opens only at the start of a field and closes only before a delimiter or the row's end;
 * rows may be of any width. Ends of rows: LF or CRLF, also within quotes. Works on bytes, so for
 * any encoding whose multi-byte characters do not contain the delimiter, the quote, CR or LF
 * (UTF-8; Shift_JIS but for '|').
 */
#pragma once

#include "schemas/arena.h"

#define CSV_ROW_SIZE_MAX ((size_t)256 << 10)
#define CSV_FIELDS_MAX 4096

struct csv {
    char delimiter;
    struct str *fields; /* room for CSV_FIELDS_MAX, owned */
};

struct csv_row {
    const struct str *fields; /* of the csv, until the next row; without quotes */
    size_t fields_count;
    struct str bytes;  /* the row as it stands, without its end */
    size_t size;       /* with its end: where the next row begins */
    size_t lines;      /* line ends in it */
    bool open;         /* with an error: what follows up to a line end belongs to this row too */
    size_t bad_column; /* 1-based, with an error */
    const char *why;   /* static, with an error */
};

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int csv_open(struct csv *csv, char delimiter);
void csv_close(struct csv *csv);

/* Reads the row at the start of text (not empty). last: the text ends the file, so its last row
 * need not end with a line end. Fields with doubled quotes are copied into the arena. Returns 0, or
 * CSV_MORE when the row does not end in the text (less than CSV_ROW_SIZE_MAX + 3 bytes). Errors:
 * ERR_NO_MEMORY; ERR_ROW with all of *row set: a quote within a field (reading goes on behind the
 * line), a quoted field that does not end within CSV_ROW_SIZE_MAX or the file (behind its first
 * line), a row over CSV_ROW_SIZE_MAX (bytes are its first; behind the line end after them) or over
 * CSV_FIELDS_MAX. None of this depends on where the text was cut. */
#define CSV_MORE 1
MUST_CHECK int csv_read(
    struct csv *csv, struct str text, bool last, struct arena *arena, struct csv_row *row);

/* Reads a line likewise, as a row without fields (NDJSON). */
MUST_CHECK int csv_read_line(struct str text, bool last, struct csv_row *row);
