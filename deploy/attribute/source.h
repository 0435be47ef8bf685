/*
 * The bytes of a file, unpacked where it is gzip.
 */
#pragma once

#include <stdio.h>

#include "schemas/bytes.h"

struct source;

/* Looks at the first bytes of `in`, which must outlive it. *out is freed by source_close(). Errors:
 * ERR_IO, ERR_NO_MEMORY; ERR_VALUE with *why (static) for what is no text: UTF-16, an archive. */
MUST_CHECK int source_open(FILE *in, struct source **out, const char **why);
void source_close(struct source **source);

/* Reads up to size bytes, size over 0; *got is 0 at the end only. Errors: ERR_IO; ERR_VALUE with
 * *why for gzip that is damaged or cut short. Source: RFC 1952 (members one after the other). */
MUST_CHECK int source_read(
    struct source *source, char *out, size_t size, size_t *got, const char **why);
