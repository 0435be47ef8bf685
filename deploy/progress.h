/*
 * A progress bar on standard error, drawn only where that is a terminal, at most ten times a
 * second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *name;
    int64_t total; /* 0: unknown */
    int64_t begun_micros;
    int64_t drawn_micros;
    bool terminal;
};

/* name: static. Used by one thread. */
void progress_begin(struct progress *progress, const char *name, int64_t total);
void progress_at(struct progress *progress, int64_t done);
/* Clears the line. */
void progress_end(struct progress *progress);

/* Monotonic clock in microseconds, for shells that measure. */
int64_t progress_clock(void);
