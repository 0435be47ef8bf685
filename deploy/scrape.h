/*
 * Reads the metrics of a running process, for people who watch.
 */
#pragma once

#include "schemas/bytes.h"

/* Sum of all samples of a name in Prometheus' text whose labels hold `label` ("result=\"ok\"";
 * empty: all). Returns whether there is any. Threads: any. */
bool scrape_sum(struct str text, const char *name, const char *label, double *out);
