/*
 * A person's timeline as a table. For the verb timeline and the demo.
 */
#pragma once

#include <stdio.h>

#include "sinks/sqlite/read.h"

struct timeline_options {
    bool json;
    bool newest_first;
    int64_t limit; /* 0: all */
};

/* Errors: those of the reader, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int timeline_print(struct reader *reader, const uint8_t person[KEY_SIZE],
    const struct timeline_options *options, FILE *out);
