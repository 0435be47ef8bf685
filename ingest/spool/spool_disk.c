/*
 * Invariants:
 *  1. What an append returned 0 for lies in segments whose bytes, size and name were synchronised.
 *  2. Numbers of segments rise and none is used twice while the mark stands: a new one is above the
 *     mark's and above all that exist.
 *  3. Only the last segment of a process's life can have a torn end; the next life cuts it and
 *     begins another.
 *  4. The mark never tells more than was drained. It is not synchronised: after a loss of power
 *     some records are drained twice, which their event keys absorb.
 */
#include "ingest/spool/spool_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#define NAME_SIZE 64
#define DIRECTORY_MODE 0700
#define FILE_MODE 0600
#define READ_SIZE ((size_t)1 << 16) /* least that is read of a segment at once */

struct segment {
    uint64_t number;
    uint64_t size;
};

struct spool_disk {
    struct spool_disk_config config;
    int dir;    /* also the lock */
    int mark;   /* descriptor of the file `drained` */
    int writer; /* of the last segment, while it grows; -1 */
    int reader; /* of the first; -1 */
    bool failed;
    struct segment *segments;
    size_t count;
    size_t capacity;
    struct spool_mark drained;
    uint64_t next; /* number of the next segment */
    uint64_t records;
    struct buf write;
    struct buf read;
    struct buf batch; /* struct spool_record */
};

static int io_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
}

static void name_of(uint64_t number, const char *ending, char out[NAME_SIZE])
{
    (void)snprintf(out, NAME_SIZE, "%016" PRIx64 ".%s", number, ending);
}

static void close_file(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Up to the end of the file. */
static int read_at(int fd, void *out, size_t size, uint64_t offset, size_t *got)
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

static int write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return io_error();
        done += (size_t)n;
    }
    return 0;
}

/* ---- segments ---- */

static int add_segment(struct spool_disk *disk, uint64_t number, uint64_t size)
{
    if (disk->count == disk->capacity) {
        size_t capacity = disk->capacity ? 2 * disk->capacity : 64;
        struct segment *grown = realloc(disk->segments, capacity * sizeof *grown);
        if (!grown)
            return ERR_NO_MEMORY;
        disk->segments = grown;
        disk->capacity = capacity;
    }
    disk->segments[disk->count++] = (struct segment){number, size};
    if (number >= disk->next)
        disk->next = number + 1;
    return 0;
}

/* Forgets the first segment, whose file is gone. */
static void drop_first(struct spool_disk *disk)
{
    close_file(&disk->reader);
    if (disk->count == 1)
        close_file(&disk->writer);
    disk->count--;
    memmove(disk->segments, disk->segments + 1, disk->count * sizeof *disk->segments);
}

/* Where reading begins in the first segment. */
static uint64_t first_offset(const struct spool_disk *disk)
{
    const struct segment *first = &disk->segments[0];
    if (first->number == disk->drained.segment && disk->drained.offset > SPOOL_HEAD_SIZE)
        return disk->drained.offset < first->size ? disk->drained.offset : first->size;
    return SPOOL_HEAD_SIZE;
}

static int write_mark(struct spool_disk *disk)
{
    uint8_t bytes[SPOOL_MARK_SIZE];
    spool_mark_put(&disk->drained, bytes);
    return write_at(disk->mark, bytes, sizeof bytes, 0);
}

/* Deletes segments that are drained whole. */
static int delete_drained(struct spool_disk *disk)
{
    while (disk->count > 0) {
        char name[NAME_SIZE];
        const struct segment *first = &disk->segments[0];
        if (first->number > disk->drained.segment ||
            (first->number == disk->drained.segment && disk->drained.offset < first->size))
            return 0;
        name_of(first->number, "spool", name);
        if (unlinkat(disk->dir, name, 0) != 0 && errno != ENOENT)
            return ERR_IO;
        drop_first(disk);
    }
    return 0;
}

/* A new last segment, its name synchronised. */
static int new_segment(struct spool_disk *disk)
{
    char name[NAME_SIZE];
    uint8_t head[SPOOL_HEAD_SIZE];
    close_file(&disk->writer);
    name_of(disk->next, "spool", name);
    int fd = openat(disk->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return io_error();
    spool_head_put(head);
    int r = write_at(fd, head, sizeof head, 0);
    if (r == 0)
        r = add_segment(disk, disk->next, sizeof head);
    if (r < 0) {
        (void)close(fd);
        (void)unlinkat(disk->dir, name, 0);
        return r;
    }
    disk->writer = fd;
    if (FAULT_POINT("spool_sync") == 0 && fsync(fd) == 0 && fsync(disk->dir) == 0)
        return 0;
    disk->failed = true;
    return ERR_IO;
}

/* ---- opening ---- */

struct scan {
    uint64_t end;
    uint64_t records;
    bool damaged;
};

/* Goes over the frames from `offset` on; end: behind the last that is whole. */
static int scan_segment(
    struct spool_disk *disk, int fd, uint64_t size, uint64_t offset, struct scan *out)
{
    *out = (struct scan){.end = offset};
    size_t want = READ_SIZE;
    while (out->end < size) {
        struct spool_record record;
        size_t frame = 0, at = 0, got;
        int r = buf_reserve(&disk->read, want);
        if (r == 0)
            r = read_at(fd, disk->read.data, want, out->end, &got);
        if (r < 0)
            return r;
        while ((r = spool_frame_take(str_make(disk->read.data + at, got - at), &record, &frame)) ==
               0) {
            at += frame;
            out->records++;
        }
        out->end += at;
        out->damaged = r < 0;
        bool last = out->end + (got - at) >= size;
        if (out->damaged || (last && at == 0 && got < want))
            return 0;
        if (at == 0)
            want *= 2; /* a frame that is larger; ends at SPOOL_BODY_SIZE_MAX */
    }
    return 0;
}

/* Cuts what is torn at the end of the last segment, which nobody was told is durable. */
static int cut_last(struct spool_disk *disk, int fd, uint64_t end, struct spool_found *found)
{
    struct segment *last = &disk->segments[disk->count - 1];
    found->cut_bytes = last->size - end;
    if (ftruncate(fd, (off_t)end) != 0 || fsync(fd) != 0)
        return ERR_IO;
    last->size = end;
    return 0;
}

static int check_segment(struct spool_disk *disk, size_t index, struct spool_found *found)
{
    char name[NAME_SIZE];
    uint8_t head[SPOOL_HEAD_SIZE];
    size_t got;
    struct segment *segment = &disk->segments[index];
    bool last = index + 1 == disk->count;
    name_of(segment->number, "spool", name);
    int fd = openat(disk->dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    int r = read_at(fd, head, sizeof head, 0, &got);
    struct scan scan = {.end = 0};
    if (r == 0 && spool_head_take(str_make(head, got)) == 0)
        r = scan_segment(
            disk, fd, segment->size, index == 0 ? first_offset(disk) : SPOOL_HEAD_SIZE, &scan);
    disk->records += scan.records;
    /* Elsewhere than at the very end it is damage: spool_disk_read() comes to it in its turn. */
    if (r == 0 && last && scan.end < segment->size)
        r = cut_last(disk, fd, scan.end, found);
    (void)close(fd);
    return r;
}

static int compare_segments(const void *a, const void *b)
{
    uint64_t left = ((const struct segment *)a)->number;
    uint64_t right = ((const struct segment *)b)->number;
    return (left > right) - (left < right);
}

static int list_segments(struct spool_disk *disk)
{
    int fd = openat(disk->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing)
        return ERR_IO;
    int r = 0;
    for (struct dirent *entry = readdir(listing); r == 0 && entry; entry = readdir(listing)) {
        char name[NAME_SIZE];
        struct stat info;
        uint64_t number = 0;
        if (sscanf(entry->d_name, "%16" SCNx64, &number) != 1)
            continue;
        name_of(number, "damaged", name);
        if (strcmp(name, entry->d_name) == 0 && number >= disk->next)
            disk->next = number + 1;
        name_of(number, "spool", name);
        if (strcmp(name, entry->d_name) != 0)
            continue;
        r = fstatat(disk->dir, name, &info, 0) == 0
                ? add_segment(disk, number, (uint64_t)info.st_size)
                : ERR_IO;
    }
    (void)closedir(listing);
    if (disk->count > 1)
        qsort(disk->segments, disk->count, sizeof *disk->segments, compare_segments);
    return r;
}

static int read_mark(struct spool_disk *disk)
{
    uint8_t bytes[SPOOL_MARK_SIZE];
    size_t got;
    disk->mark = openat(disk->dir, "drained", O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (disk->mark < 0)
        return io_error();
    int r = read_at(disk->mark, bytes, sizeof bytes, 0, &got);
    if (r == 0 && spool_mark_take(str_make(bytes, got), &disk->drained) < 0)
        disk->drained = (struct spool_mark){0, 0};
    disk->next = disk->drained.segment + 1;
    return r;
}

static int take_directory(struct spool_disk *disk)
{
    if (mkdir(disk->config.dir, DIRECTORY_MODE) != 0 && errno != EEXIST)
        return io_error();
    disk->dir = open(disk->config.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->dir < 0)
        return ERR_IO;
    return flock(disk->dir, LOCK_EX | LOCK_NB) == 0 ? 0 : ERR_LOCKED;
}

static int recover(struct spool_disk *disk, struct spool_found *found)
{
    int r = take_directory(disk);
    if (r == 0)
        r = read_mark(disk);
    if (r == 0)
        r = list_segments(disk);
    if (r == 0)
        r = delete_drained(disk);
    for (size_t i = 0; r == 0 && i < disk->count; i++)
        r = check_segment(disk, i, found);
    if (r == 0)
        r = delete_drained(disk); /* of the last only what is cut now was left */
    if (r < 0)
        return r;
    /* One that had no whole frame has nothing to drain. */
    while (disk->count > 0 && disk->segments[disk->count - 1].size <= SPOOL_HEAD_SIZE) {
        char name[NAME_SIZE];
        name_of(disk->segments[disk->count - 1].number, "spool", name);
        if (unlinkat(disk->dir, name, 0) != 0)
            return ERR_IO;
        disk->count--;
    }
    found->segments = disk->count;
    found->records = disk->records;
    found->bytes = spool_disk_bytes(disk);
    return 0;
}

int spool_disk_open(
    const struct spool_disk_config *config, struct spool_disk **out, struct spool_found *found)
{
    struct spool_disk *disk = calloc(1, sizeof *disk);
    if (!disk)
        return ERR_NO_MEMORY;
    *disk = (struct spool_disk){
        .config = *config, .dir = -1, .mark = -1, .writer = -1, .reader = -1, .next = 1};
    *found = (struct spool_found){0};
    int r = recover(disk, found);
    if (r < 0) {
        spool_disk_close(&disk);
        return r;
    }
    *out = disk;
    return 0;
}

void spool_disk_close(struct spool_disk **disk_)
{
    struct spool_disk *disk = *disk_;
    if (!disk)
        return;
    close_file(&disk->writer);
    close_file(&disk->reader);
    close_file(&disk->mark);
    close_file(&disk->dir);
    buf_free(&disk->write);
    buf_free(&disk->read);
    buf_free(&disk->batch);
    free(disk->segments);
    free(disk);
    *disk_ = NULL;
}

/* ---- append ---- */

static struct spool_record record_of(const struct append_record *record)
{
    return (struct spool_record){
        .topic = record->topic,
        .schema = row_schema_of_topic(record->topic),
        .key = record->key,
        .value = record->value,
    };
}

static int put_frame(struct buf *out, const struct spool_record *record)
{
    size_t size;
    int r = spool_frame_size(record, &size);
    if (r == 0)
        r = buf_reserve(out, size);
    if (r < 0)
        return r;
    spool_frame_put(record, (uint8_t *)out->data + out->size);
    out->size += size;
    return 0;
}

/* Writes and synchronises the bytes at the end of the last segment. */
static int write_frames(struct spool_disk *disk, struct str bytes)
{
    struct segment *last = &disk->segments[disk->count - 1];
    int r = FAULT_POINT("spool_write");
    if (r == 0)
        r = write_at(disk->writer, bytes.data, bytes.size, last->size);
    if (r < 0) {
        int reason = errno;
        disk->failed = ftruncate(disk->writer, (off_t)last->size) != 0;
        errno = reason;
        return disk->failed ? ERR_IO : r;
    }
    if (FAULT_POINT("spool_sync") != 0 || fdatasync(disk->writer) != 0) {
        disk->failed = true;
        return ERR_IO;
    }
    last->size += bytes.size;
    return 0;
}

int spool_disk_append(struct spool_disk *disk, const struct append_record *records, size_t count)
{
    int r = 0;
    if (disk->failed)
        return ERR_IO;
    if (count == 0)
        return 0;
    buf_clear(&disk->write);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct spool_record record = record_of(&records[i]);
        r = put_frame(&disk->write, &record);
    }
    if (r < 0)
        return r;
    if (spool_disk_bytes(disk) + disk->write.size + SPOOL_HEAD_SIZE > disk->config.size_max) {
        errno = 0;
        return ERR_FULL;
    }
    if (disk->writer < 0 || disk->segments[disk->count - 1].size >= disk->config.segment_size)
        r = new_segment(disk);
    if (r == 0)
        r = write_frames(disk, buf_str(&disk->write));
    if (r == 0)
        disk->records += count;
    return r;
}

/* ---- read ---- */

static int open_reader(struct spool_disk *disk)
{
    char name[NAME_SIZE];
    if (disk->reader >= 0)
        return 0;
    name_of(disk->segments[0].number, "spool", name);
    disk->reader = openat(disk->dir, name, O_RDONLY | O_CLOEXEC);
    return disk->reader < 0 ? ERR_IO : 0;
}

/* Sets the first segment aside, as what follows in it cannot be told apart. */
static int set_aside(struct spool_disk *disk)
{
    char name[NAME_SIZE], damaged[NAME_SIZE];
    uint64_t number = disk->segments[0].number;
    name_of(number, "spool", name);
    name_of(number, "damaged", damaged);
    if (renameat(disk->dir, name, disk->dir, damaged) != 0)
        return ERR_IO;
    drop_first(disk);
    if (disk->count == 0)
        disk->records = 0;
    return SPOOL_DAMAGED;
}

/* Takes frames out of what was read. Returns what spool_frame_take() said last, or 0. */
static int take_frames(
    struct spool_disk *disk, size_t records_max, uint64_t offset, struct spool_batch *out)
{
    size_t at = 0, frame = 0;
    int r = 0;
    buf_clear(&disk->batch);
    for (out->count = 0; out->count < records_max; out->count++) {
        struct spool_record record;
        r = spool_frame_take(str_make(disk->read.data + at, disk->read.size - at), &record, &frame);
        if (r != 0)
            break;
        r = buf_append(&disk->batch, &record, sizeof record);
        if (r < 0)
            return r;
        at += frame;
    }
    out->records = (struct spool_record *)(void *)disk->batch.data;
    out->end = (struct spool_mark){disk->segments[0].number, offset + at};
    return r;
}

int spool_disk_read(
    struct spool_disk *disk, size_t records_max, size_t bytes_max, struct spool_batch *out)
{
    *out = (struct spool_batch){.count = 0};
    if (spool_disk_empty(disk))
        return 0;
    uint64_t offset = first_offset(disk);
    uint64_t left = disk->segments[0].size - offset;
    int r = open_reader(disk);
    for (size_t want = bytes_max; r == 0; want *= 2) {
        size_t size = left < want ? (size_t)left : want, got;
        buf_clear(&disk->read);
        r = buf_reserve(&disk->read, size);
        if (r == 0)
            r = read_at(disk->reader, disk->read.data, size, offset, &got);
        if (r < 0)
            return r;
        disk->read.size = got;
        r = take_frames(disk, records_max, offset, out);
        if (r == ERR_NO_MEMORY)
            return r;
        if (out->count > 0)
            return 0;
        if (r < 0 || got < size || size == left)
            return set_aside(disk);
        r = 0; /* a frame that is larger than what was read */
    }
    return r;
}

int spool_disk_drained(struct spool_disk *disk, const struct spool_batch *batch)
{
    disk->drained = batch->end;
    disk->records -= batch->count < disk->records ? batch->count : disk->records;
    int r = write_mark(disk);
    /* A disk without room for twenty bytes that are there already: the mark is only behind. */
    if (r == ERR_FULL)
        r = 0;
    return r < 0 ? r : delete_drained(disk);
}

int spool_disk_refuse(struct spool_disk *disk, const struct spool_record *record)
{
    CLEANUP(buf_free) struct buf frame = {0};
    int fd = openat(disk->dir, "refused", O_WRONLY | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return io_error();
    int r = put_frame(&frame, record);
    off_t end = lseek(fd, 0, SEEK_END);
    if (r == 0)
        r = end < 0 ? ERR_IO : write_at(fd, frame.data, frame.size, (uint64_t)end);
    if (r == 0 && (fsync(fd) != 0 || fsync(disk->dir) != 0))
        r = ERR_IO;
    (void)close(fd);
    return r;
}

/* A last segment may have a head only: an append failed. */
bool spool_disk_empty(const struct spool_disk *disk)
{
    return disk->count == 0 || (disk->count == 1 && first_offset(disk) == disk->segments[0].size);
}

uint64_t spool_disk_bytes(const struct spool_disk *disk)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < disk->count; i++)
        bytes += disk->segments[i].size;
    return bytes;
}

uint64_t spool_disk_records(const struct spool_disk *disk)
{
    return disk->records;
}
