/* See the header. No debt is saved up: who was slower than the rate does not hurry afterwards. */
#include "deploy/pace.h"

#include <time.h>

#include "deploy/progress.h"

#define MICROS 1000000

void pace_begin(struct pace *pace, int64_t rate)
{
    *pace = (struct pace){.rate = rate, .begun_micros = progress_clock()};
}

void pace_after(struct pace *pace, int64_t count)
{
    pace->done += count;
    if (pace->rate == 0)
        return;
    int64_t due = pace->begun_micros + pace->done * MICROS / pace->rate;
    int64_t left = due - progress_clock();
    if (left <= 0) {
        *pace = (struct pace){.rate = pace->rate, .begun_micros = progress_clock()};
        return;
    }
    const struct timespec pause = {
        .tv_sec = left / MICROS, .tv_nsec = (long)(left % MICROS) * 1000};
    (void)nanosleep(&pause, NULL);
}
