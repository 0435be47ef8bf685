/* Draws "import [#####     ] 50 % 120,000/s". */
#include "deploy/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 40
#define DRAW_EVERY_MICROS 100000
#define CHECK_EVERY 256

int64_t progress_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void progress_begin(struct progress *progress, const char *name, int64_t total)
{
    *progress = (struct progress){
        .name = name,
        .total = total,
        .begun_micros = progress_clock(),
        .terminal = isatty(STDERR_FILENO) == 1,
    };
}

static void draw(const struct progress *progress, int64_t done, int64_t now)
{
    char bar[BAR_WIDTH + 1];
    int64_t total = progress->total > 0 ? progress->total : done;
    int filled = total > 0 ? (int)(done * BAR_WIDTH / total) : 0;
    if (filled > BAR_WIDTH)
        filled = BAR_WIDTH;
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = 0;
    double seconds = (double)(now - progress->begun_micros) / 1e6;
    (void)fprintf(stderr, "\r%s [%s] %3d %% %.0f/s ", progress->name, bar,
        total > 0 ? (int)(done * 100 / total) : 0, seconds > 0 ? (double)done / seconds : 0.0);
    (void)fflush(stderr);
}

void progress_at(struct progress *progress, int64_t done)
{
    if (!progress->terminal || done % CHECK_EVERY)
        return;
    int64_t now = progress_clock();
    if (now - progress->drawn_micros < DRAW_EVERY_MICROS)
        return;
    progress->drawn_micros = now;
    draw(progress, done, now);
}

void progress_end(struct progress *progress)
{
    if (progress->terminal)
        (void)fputs("\r\033[K", stderr);
}
