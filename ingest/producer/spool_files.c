/*
 * The directory of a producer's spool and the list of its segments.
 *
 * Invariants:
 *  1. Numbers rise: a file's first is above all numbers of the files before it, and `next` above
 *     the mark, so that a mark that outlived what it tells of never hides a new record.
 *  2. A descriptor is closed only while nobody synchronises without the lock.
 */
#include "ingest/producer/spool_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/error.h"

#define DIRECTORY_MODE 0700
#define FILE_MODE 0600
#define NUMBER_DIGITS 16
#define FILES_FIRST 16
#define GROWING_PART 8 /* of a segment's size: from it on a consumed one that grows is deleted */

int producer_spool_io_error(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

int producer_spool_write(int fd, struct iovec *slices, int count, uint64_t offset)
{
    while (count > 0) {
        /* The kernel takes longer over a list of one than over the one. */
        ssize_t n = count == 1 ? pwrite(fd, slices->iov_base, slices->iov_len, (off_t)offset)
                               : pwritev(fd, slices, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return producer_spool_io_error();
        if (n == 0)
            return ERR_IO;
        offset += (uint64_t)n;
        size_t done = (size_t)n;
        while (count > 0 && done >= slices->iov_len) {
            done -= slices->iov_len;
            slices++;
            count--;
        }
        if (count > 0) {
            slices->iov_base = (char *)slices->iov_base + done;
            slices->iov_len -= done;
        }
    }
    return 0;
}

int producer_spool_read(int fd, void *out, size_t size, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, (char *)out + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

void producer_spool_close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void producer_spool_file_name(
    const struct producer_spool_file *file, const char *ending, char out[PRODUCER_NAME_SIZE])
{
    for (int i = 0; i < NUMBER_DIGITS; i++)
        out[i] = "0123456789abcdef"[file->first >> (60 - 4 * i) & 15];
    out[NUMBER_DIGITS] = '.';
    (void)strcpy(out + NUMBER_DIGITS + 1, ending); /* "damaged" at most */
}

const char *producer_spool_file_ending(const struct producer_spool_file *file)
{
    return file->hurt ? "hurt" : "spool";
}

/* Returns what follows the number and its dot, or NULL for another name. */
static const char *ending_of(const char *name, uint64_t *number)
{
    *number = 0;
    for (int i = 0; i < NUMBER_DIGITS; i++) {
        const char *digit = name[i] ? strchr("0123456789abcdef", name[i]) : NULL;
        if (!digit)
            return NULL;
        *number = *number << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    return name[NUMBER_DIGITS] == '.' ? name + NUMBER_DIGITS + 1 : NULL;
}

/* ---- the directory ---- */

int producer_spool_take_directory(struct producer_spool *spool, const char *dir)
{
    if (mkdir(dir, DIRECTORY_MODE) != 0 && errno != EEXIST)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? ERR_CONFIG
                                                                      : producer_spool_io_error();
    spool->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->dir < 0)
        return errno == ENOTDIR || errno == EACCES ? ERR_CONFIG : ERR_IO;
    if (flock(spool->dir, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? ERR_LOCKED : ERR_IO;
    /* Its own name: made now, or by a process that died before this. */
    int parent = openat(spool->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = parent >= 0 && fsync(parent) != 0 && errno != EINVAL ? ERR_IO : 0;
    producer_spool_close_fd(&parent);
    return r;
}

/* Calls `each` for all names of the directory that are a segment's, until it returns an error. */
static int list(struct producer_spool *spool, void *context,
    int (*each)(struct producer_spool *, void *, uint64_t number, const char *ending))
{
    int fd = openat(spool->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) {
        int r = errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO;
        producer_spool_close_fd(&fd);
        return r;
    }
    int r = 0;
    for (struct dirent *entry = readdir(listing); r == 0 && entry; entry = readdir(listing)) {
        uint64_t number;
        const char *ending = ending_of(entry->d_name, &number);
        if (ending)
            r = each(spool, context, number, ending);
    }
    (void)closedir(listing);
    return r;
}

struct damaged {
    size_t count;
    uint64_t lowest;
};

static int count_damaged(
    struct producer_spool *spool, void *context, uint64_t number, const char *ending)
{
    struct damaged *damaged = context;
    (void)spool;
    if (strcmp(ending, "damaged") != 0)
        return 0;
    if (damaged->count++ == 0 || number < damaged->lowest)
        damaged->lowest = number;
    return 0;
}

/* Keeps the newest alone: what they hold is personal data, and room. */
static int prune_damaged(struct producer_spool *spool)
{
    for (;;) {
        char name[PRODUCER_NAME_SIZE];
        struct damaged damaged = {.count = 0};
        int r = list(spool, &damaged, count_damaged);
        if (r < 0 || damaged.count <= PRODUCER_SPOOL_DAMAGED_MAX)
            return r;
        producer_spool_file_name(
            &(struct producer_spool_file){.first = damaged.lowest}, "damaged", name);
        if (unlinkat(spool->dir, name, 0) != 0)
            return ERR_IO;
    }
}

/* ---- the list ---- */

int producer_spool_add_file(struct producer_spool *spool, const struct producer_spool_file *file)
{
    if (spool->count == spool->capacity) {
        size_t capacity = spool->capacity ? 2 * spool->capacity : FILES_FIRST;
        struct producer_spool_file *grown =
            producer_spool_resize(spool, spool->files, capacity * sizeof *grown);
        if (!grown)
            return ERR_NO_MEMORY;
        spool->files = grown;
        spool->capacity = capacity;
    }
    spool->files[spool->count++] = *file;
    spool->bytes += file->size;
    return 0;
}

/* Size and time of a file; one whose head cannot be read has the time 0. Returns 1 for what is no
 * file. */
static int stat_file(
    struct producer_spool *spool, const char *name, struct producer_spool_file *file)
{
    uint8_t bytes[PRODUCER_SEGMENT_HEAD_SIZE];
    struct producer_segment_head head;
    struct stat info;
    size_t got = 0;
    int fd = openat(spool->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ERR_IO;
    int r = fstat(fd, &info) == 0 ? 0 : ERR_IO;
    if (r == 0 && producer_spool_read(fd, bytes, sizeof bytes, 0, &got) < 0)
        got = 0; /* a head that cannot be read is damaged */
    producer_spool_close_fd(&fd);
    if (r < 0)
        return r;
    if (!S_ISREG(info.st_mode))
        return 1;
    file->size = (uint64_t)info.st_size;
    if (producer_segment_head_take(bytes, got, &head) == 0 && head.first == file->first)
        file->created_ms = head.created_ms;
    return 0;
}

static int take_file(
    struct producer_spool *spool, void *context, uint64_t number, const char *ending)
{
    char name[PRODUCER_NAME_SIZE];
    struct producer_spool_file file = {.first = number, .fd = -1};
    (void)context;
    file.hurt = strcmp(ending, "hurt") == 0;
    if (!file.hurt && strcmp(ending, "spool") != 0)
        return 0;
    producer_spool_file_name(&file, producer_spool_file_ending(&file), name);
    int r = stat_file(spool, name, &file);
    if (r > 0)
        return 0;
    return r < 0 ? r : producer_spool_add_file(spool, &file);
}

static int compare_files(const void *a, const void *b)
{
    const struct producer_spool_file *left = a, *right = b;
    if (left->first != right->first)
        return left->first < right->first ? -1 : 1;
    return (int)right->hurt - (int)left->hurt;
}

/* The same number twice is none of ours: the second is set aside. */
static int set_doubles_aside(struct producer_spool *spool)
{
    size_t kept = 0;
    for (size_t i = 0; i < spool->count; i++) {
        char name[PRODUCER_NAME_SIZE], aside[PRODUCER_NAME_SIZE];
        struct producer_spool_file *file = &spool->files[i];
        if (kept == 0 || file->first != spool->files[kept - 1].first) {
            spool->files[kept++] = *file;
            continue;
        }
        producer_spool_file_name(file, producer_spool_file_ending(file), name);
        producer_spool_file_name(file, "damaged", aside);
        if (renameat(spool->dir, name, spool->dir, aside) != 0)
            return ERR_IO;
        spool->bytes -= file->size;
        spool->statistics.damaged_segments++;
    }
    spool->count = kept;
    return 0;
}

int producer_spool_list_files(struct producer_spool *spool)
{
    int r = list(spool, NULL, take_file);
    if (r < 0)
        return r;
    if (spool->count > 1)
        qsort(spool->files, spool->count, sizeof *spool->files, compare_files);
    r = set_doubles_aside(spool);
    return r < 0 ? r : prune_damaged(spool);
}

uint64_t producer_spool_file_end(const struct producer_spool *spool, size_t index)
{
    return index + 1 < spool->count ? spool->files[index + 1].first : spool->next;
}

struct producer_spool_file *producer_spool_active(struct producer_spool *spool)
{
    struct producer_spool_file *last = spool->count ? &spool->files[spool->count - 1] : NULL;
    return last && spool->growing ? last : NULL;
}

void producer_spool_seal(struct producer_spool *spool)
{
    struct producer_spool_file *file = producer_spool_active(spool);
    if (!file)
        return;
    spool->growing = false;
    /* Without a policy only a durable append wants it synchronised. */
    if (spool->options.sync == PRODUCER_SPOOL_SYNC_NONE && !file->wanted)
        file->unsynced = false;
    if (!file->unsynced && !spool->synchronising)
        producer_spool_close_fd(&file->fd);
}

void producer_spool_hurt(struct producer_spool *spool, struct producer_spool_file *file)
{
    char name[PRODUCER_NAME_SIZE], hurt[PRODUCER_NAME_SIZE];
    if (file->hurt)
        return;
    producer_spool_file_name(file, "spool", name);
    producer_spool_file_name(file, "hurt", hurt);
    spool->statistics.damaged_segments++;
    /* Where that fails the damage is found again by the next process. */
    if (renameat(spool->dir, name, spool->dir, hurt) == 0)
        file->hurt = true;
}

int producer_spool_delete_first(struct producer_spool *spool)
{
    char name[PRODUCER_NAME_SIZE], aside[PRODUCER_NAME_SIZE];
    struct producer_spool_file *file = &spool->files[0];
    if (file->fd >= 0 && spool->synchronising) {
        (void)pthread_cond_wait(&spool->synced_cond, &spool->lock);
        return 1;
    }
    producer_spool_file_name(file, producer_spool_file_ending(file), name);
    producer_spool_file_name(file, "damaged", aside);
    int r =
        file->hurt ? renameat(spool->dir, name, spool->dir, aside) : unlinkat(spool->dir, name, 0);
    if (r != 0 && errno != ENOENT)
        return ERR_IO;
    bool hurt = file->hurt;
    if (spool->count == 1)
        spool->growing = false;
    producer_spool_close_fd(&file->fd);
    spool->bytes -= file->size;
    spool->count--;
    memmove(spool->files, spool->files + 1, spool->count * sizeof *spool->files);
    return hurt ? prune_damaged(spool) : 0;
}

int producer_spool_delete_consumed(struct producer_spool *spool, bool all)
{
    while (spool->count > 0 && producer_spool_file_end(spool, 0) <= spool->consumed + 1) {
        if (spool->count == 1 && spool->growing && !all &&
            spool->files[0].size < spool->options.segment_size / GROWING_PART)
            return 0;
        int r = producer_spool_delete_first(spool);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the mark ---- */

int producer_spool_open_mark(struct producer_spool *spool)
{
    uint8_t bytes[PRODUCER_SEGMENT_MARKS_SIZE] = {0};
    size_t got;
    spool->mark =
        openat(spool->dir, "consumed", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (spool->mark < 0)
        return producer_spool_io_error();
    int r = producer_spool_read(spool->mark, bytes, sizeof bytes, 0, &got);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < PRODUCER_SEGMENT_MARKS; i++) {
        uint64_t number;
        size_t at = (size_t)i * PRODUCER_SEGMENT_MARK_STRIDE;
        if (producer_segment_mark_take(bytes + at, sizeof bytes - at, &number) == 0 &&
            number >= spool->consumed) {
            spool->consumed = number;
            spool->mark_last = spool->mark_kept = spool->mark_pending = i;
        }
    }
    if (got == sizeof bytes)
        return 0;
    /* Room for ever, so that what is consumed later needs none. */
    struct iovec slice = {bytes, sizeof bytes};
    spool->mark_unsynced = true;
    return producer_spool_write(spool->mark, &slice, 1, 0);
}

int producer_spool_write_mark(struct producer_spool *spool)
{
    uint8_t bytes[PRODUCER_SEGMENT_MARK_SIZE];
    struct iovec slice = {bytes, sizeof bytes};
    unsigned place = spool->mark_last;
    do
        place = (place + 1) % PRODUCER_SEGMENT_MARKS;
    while (place == spool->mark_kept || place == spool->mark_pending);
    producer_segment_mark_put(spool->consumed, bytes);
    int r = producer_spool_write(
        spool->mark, &slice, 1, (uint64_t)place * PRODUCER_SEGMENT_MARK_STRIDE);
    if (r == ERR_FULL) /* where a file system writes elsewhere: the mark is only behind */
        return 0;
    if (r < 0)
        return r;
    spool->mark_last = place;
    spool->mark_unsynced = true;
    return 0;
}
