/*
 * At most so many a second.
 */
#pragma once

#include <stdint.h>

struct pace {
    int64_t rate; /* a second; 0: no limit */
    int64_t begun_micros;
    int64_t done;
};

void pace_begin(struct pace *pace, int64_t rate);
/* Counts `count` more, and sleeps until they are not too many. */
void pace_after(struct pace *pace, int64_t count);
