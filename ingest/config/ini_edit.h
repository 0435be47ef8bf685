/*
 * Changes INI text (ini.h) and leaves all else of it as it stands: comments, order, blank lines,
 * line ends, a byte order mark. Pure text to text.
 */
#pragma once

#include "schemas/bytes.h"

/* Whether a section of this name has begun somewhere in the text. */
bool ini_edit_has(struct str text, struct str section);

/* Appends to *out the text with key = value in that section: in the place of the value that the key
 * has, continuation lines included, else behind the section's last value. Comments among
 * continuation lines stay. The section must be there; value: one line. Errors: ERR_NOT_FOUND (no
 * such section), ERR_NO_MEMORY. */
MUST_CHECK int ini_edit_set(
    struct str text, struct str section, struct str key, struct str value, struct buf *out);

/* The same text without that key; ERR_NOT_FOUND only where there is no such section. */
MUST_CHECK int ini_edit_remove(
    struct str text, struct str section, struct str key, struct buf *out);

/* The text with a section behind all others, which has nothing yet. Errors: ERR_NO_MEMORY. */
MUST_CHECK int ini_edit_begin(struct str text, struct str section, struct buf *out);
