/*
 * Synchronising a producer's spool: one thread does it for all that wait.
 *
 * Invariants, under the lock:
 *  1. `synchronising` is one thread's, which has left the lock with descriptors of the list: nobody
 *     closes these, and nobody else synchronises.
 *  2. A number is durable when it is at most `synced` and above `unsure`, or was when its waiter
 *     looked. `unsure` is looked at first.
 *  3. After an error other than for want of room nothing is synchronised again: `failed`.
 */
#include "ingest/producer/spool_private.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "schemas/error.h"

#define NANOS_PER_MS 1000000L
#define THREAD_STACK_SIZE ((size_t)128 << 10)

/* What one synchronisation takes along. */
struct round {
    int fds[PRODUCER_UNSYNCED_MAX + 2];
    size_t count;
    uint64_t target;
    bool dir;
    bool mark;
};

void producer_spool_dirty(struct producer_spool *spool, struct producer_spool_file *file)
{
    if (!file->unsynced && spool->threaded)
        (void)pthread_cond_signal(&spool->dirty_cond);
    file->unsynced = true;
}

static void collect(struct producer_spool *spool, bool mark, struct round *round)
{
    *round = (struct round){.target = spool->next - 1, .dir = spool->dir_unsynced};
    for (size_t i = 0; i < spool->count; i++) {
        struct producer_spool_file *file = &spool->files[i];
        if (!file->unsynced || file->fd < 0 || round->count == PRODUCER_UNSYNCED_MAX + 1)
            continue;
        file->unsynced = file->wanted = false;
        round->fds[round->count++] = file->fd;
    }
    spool->dir_unsynced = false;
    if (mark && spool->mark_unsynced) {
        round->mark = true;
        round->fds[round->count++] = spool->mark;
        spool->mark_unsynced = false;
        spool->mark_pending = spool->mark_last;
    }
}

/* Without the lock. */
static int synchronise(struct producer_spool *spool, const struct round *round)
{
    for (size_t i = 0; i < round->count; i++)
        if (fdatasync(round->fds[i]) != 0)
            return producer_spool_io_error();
    return round->dir && fsync(spool->dir) != 0 ? producer_spool_io_error() : 0;
}

/* Without room (some file systems look for it only now) what was written stands as it is: it is not
 * synchronised again, as that may say that all is well, and more is not put behind it. */
static void give_up(struct producer_spool *spool, int error)
{
    if (error != ERR_FULL) {
        spool->failed = true;
        return;
    }
    spool->unsure = spool->next - 1;
    producer_spool_seal(spool);
    for (size_t i = 0; i < spool->count; i++)
        spool->files[i].unsynced = spool->files[i].wanted = false;
}

/* With nobody else at it. */
static int run_round(struct producer_spool *spool, bool mark)
{
    struct round round;
    if (spool->failed)
        return ERR_IO;
    collect(spool, mark, &round);
    spool->synchronising = true;
    (void)pthread_mutex_unlock(&spool->lock);
    int r = synchronise(spool, &round);
    (void)pthread_mutex_lock(&spool->lock);
    if (r < 0)
        give_up(spool, r);
    else if (round.target > spool->synced)
        spool->synced = round.target;
    if (r == 0)
        spool->mark_kept = spool->mark_pending;
    spool->synchronising = false;
    for (size_t i = 0; i < spool->count; i++)
        if (!spool->files[i].unsynced && &spool->files[i] != producer_spool_active(spool))
            producer_spool_close_fd(&spool->files[i].fd);
    (void)pthread_cond_broadcast(&spool->synced_cond);
    return r;
}

int producer_spool_sync_to(struct producer_spool *spool, uint64_t number)
{
    for (;;) {
        if (number <= spool->unsure)
            return ERR_FULL;
        if (number <= spool->synced)
            return 0;
        if (spool->failed)
            return ERR_IO;
        if (spool->synchronising)
            (void)pthread_cond_wait(&spool->synced_cond, &spool->lock);
        else
            (void)run_round(spool, false); /* what came of it is looked at above */
    }
}

int producer_spool_sync_all(struct producer_spool *spool, bool mark)
{
    while (spool->synchronising)
        (void)pthread_cond_wait(&spool->synced_cond, &spool->lock);
    return run_round(spool, mark);
}

/* ---- by interval ---- */

static bool is_dirty(const struct producer_spool *spool)
{
    bool dirty = spool->mark_unsynced;
    for (size_t i = 0; !dirty && i < spool->count; i++)
        dirty = spool->files[i].unsynced;
    return dirty && !spool->failed;
}

static void *run(void *context)
{
    struct producer_spool *spool = context;
    (void)pthread_mutex_lock(&spool->lock);
    while (!spool->closing) {
        if (!is_dirty(spool)) {
            (void)pthread_cond_wait(&spool->dirty_cond, &spool->lock);
            continue;
        }
        struct timespec until;
        int64_t ms = spool->options.interval_ms;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(ms / 1000);
        until.tv_nsec += (long)(ms % 1000) * NANOS_PER_MS;
        if (until.tv_nsec >= 1000 * NANOS_PER_MS) {
            until.tv_sec++;
            until.tv_nsec -= 1000 * NANOS_PER_MS;
        }
        while (!spool->closing &&
               pthread_cond_timedwait(&spool->dirty_cond, &spool->lock, &until) != ETIMEDOUT)
            ;
        int r = spool->closing ? 0 : producer_spool_sync_all(spool, true);
        (void)r; /* the next append tells of an error */
    }
    (void)pthread_mutex_unlock(&spool->lock);
    return NULL;
}

/* A thread that no signal of the process's comes to. */
int producer_spool_start_thread(struct producer_spool *spool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&spool->thread, &attributes, run, spool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    spool->threaded = r == 0;
    return r == 0 ? 0 : ERR_NO_MEMORY;
}

void producer_spool_stop_thread(struct producer_spool *spool)
{
    if (!spool->threaded)
        return;
    (void)pthread_mutex_lock(&spool->lock);
    spool->closing = true;
    (void)pthread_cond_signal(&spool->dirty_cond);
    (void)pthread_mutex_unlock(&spool->lock);
    (void)pthread_join(spool->thread, NULL);
    spool->threaded = false;
}
