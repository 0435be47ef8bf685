/*
 * What a database says at a glance: totals, and revenue by channel and model. For the demo.
 */
#pragma once

#include <stdio.h>

#include "sinks/sqlite/read.h"

/* Credited revenue, a row a channel and a column a model. Errors: those of the reader, ERR_IO,
 * ERR_NO_MEMORY. */
MUST_CHECK int report_channels(struct reader *reader, bool json, FILE *out);

/* One line each: events, persons, conversions, revenue. */
MUST_CHECK int report_totals(struct reader *reader, FILE *out);
