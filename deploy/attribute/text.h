/*
 * Cells of the CSV and JSON that attribution answers with. Errors: as buf_append().
 */
#pragma once

#include <stdio.h>

#include "schemas/bytes.h"

/* The shortest decimal that reads back as the number, which is finite; never -0. */
MUST_CHECK int text_append_number(struct buf *out, double number);

/* The number with that many digits behind the point; never -0.00. */
void text_fixed(char *out, size_t size, double number, int digits);

/* What `number`, which strtod() made of that decimal text, was rounded by: to as many digits again,
 * or, of texts of over 31 digits or very small numbers, to those of a long double. */
double text_decimal_rest(const char *text, double number);

/* A CSV field, quoted where it has to be. Source: RFC 4180. */
MUST_CHECK int text_append_csv(struct buf *out, struct str text);

/* Writes what the buffer holds and empties it. Errors: ERR_IO. */
MUST_CHECK int text_put(struct buf *line, FILE *out);
