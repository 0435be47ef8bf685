/*
 * Reading a producer's spool.
 *
 * Invariants:
 *  1. The reader's image is a beginning of its segment's bytes; `base` stands before the first
 *     frame of it that is not consumed, or earlier.
 *  2. What is unreadable is told once: told_bytes and told_records are what statistics have of the
 *     image's segment.
 */
#include "ingest/producer/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "schemas/error.h"

#define BLOCK_SIZE 4096                 /* that a disk gives or does not */
#define TIME_PLAUSIBLE_MS 1577836800000 /* 2020-01-01 */

/* Reads what a disk still gives: blocks that it does not are zeros. Errors: ERR_IO: none of them.
 */
static int read_around(int fd, uint8_t *out, size_t size, uint64_t offset)
{
    bool any = false;
    for (size_t at = 0; at < size;) {
        size_t got, block = BLOCK_SIZE - (size_t)((offset + at) % BLOCK_SIZE);
        if (block > size - at)
            block = size - at;
        int r = producer_spool_read(fd, out + at, block, offset + at, &got);
        if (r == 0 && got == block)
            any = true;
        else
            memset(out + at, 0, block);
        at += block;
    }
    return any ? 0 : ERR_IO;
}

static int open_image(struct producer_spool *spool, const struct producer_spool_file *file)
{
    struct producer_spool_reader *reader = &spool->reader;
    char name[PRODUCER_NAME_SIZE];
    producer_spool_close_fd(&reader->fd);
    reader->first = reader->told_records = reader->behind_end = 0;
    reader->size = reader->told_bytes = 0;
    reader->base = reader->behind = (struct producer_segment_cursor){0};
    producer_spool_file_name(file, producer_spool_file_ending(file), name);
    reader->fd = openat(spool->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (reader->fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    reader->first = file->first;
    return 0;
}

int producer_spool_load(struct producer_spool *spool, const struct producer_spool_file *file,
    struct producer_segment_image *out)
{
    struct producer_spool_reader *reader = &spool->reader;
    int r = reader->first == file->first ? 0 : open_image(spool, file);
    if (r < 0)
        return r;
    size_t size =
        file->size < PRODUCER_IMAGE_SIZE_MAX ? (size_t)file->size : PRODUCER_IMAGE_SIZE_MAX;
    if (size > reader->capacity) {
        /* Once for all segments of the usual size. */
        size_t usual = spool->options.segment_size;
        size_t capacity = size > usual ? size : usual;
        uint8_t *grown = producer_spool_resize(spool, reader->bytes, capacity);
        if (!grown)
            return ERR_NO_MEMORY;
        reader->bytes = grown;
        reader->capacity = capacity;
    }
    if (size > reader->size) {
        size_t got = 0, left = size - reader->size;
        r = producer_spool_read(reader->fd, reader->bytes + reader->size, left, reader->size, &got);
        if (r < 0) {
            r = read_around(reader->fd, reader->bytes + reader->size, left, reader->size);
            got = r < 0 ? 0 : left;
        }
        reader->size += got;
    }
    *out = (struct producer_segment_image){reader->bytes, reader->size, file->first};
    return r;
}

/* ---- limits ---- */

bool producer_spool_is_aged(const struct producer_spool *spool, int64_t time_ms, int64_t now_ms)
{
    return spool->options.age_max_ms > 0 && time_ms >= TIME_PLAUSIBLE_MS && now_ms > time_ms &&
           now_ms - time_ms > spool->options.age_max_ms;
}

uint64_t producer_spool_drop_first(struct producer_spool *spool)
{
    uint64_t last = producer_spool_file_end(spool, 0) - 1;
    uint64_t from = spool->files[0].first - 1;
    if (spool->consumed > from)
        from = spool->consumed;
    if (last > spool->consumed)
        spool->consumed = last;
    return last > from ? last - from : 0;
}

/* A file's newest record is not newer than the next file, unless the clock was set back. */
int producer_spool_drop_aged(struct producer_spool *spool, int64_t now_ms)
{
    while (spool->count > 1 && producer_spool_is_aged(spool, spool->files[0].created_ms, now_ms) &&
           producer_spool_is_aged(spool, spool->files[1].created_ms, now_ms)) {
        spool->statistics.dropped_age += producer_spool_drop_first(spool);
        int r = producer_spool_write_mark(spool);
        if (r == 0)
            r = producer_spool_delete_consumed(spool, true);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- peek ---- */

/* A look at the first file that is not consumed. */
struct look {
    struct producer_spool_file file;
    uint64_t end;      /* number behind its last record */
    uint64_t consumed; /* then */
    int64_t now_ms;
    uint64_t aged;                         /* records that are too old, */
    uint64_t aged_to;                      /* up to this number */
    struct producer_segment_cursor cursor; /* behind the batch */
    size_t tail; /* unreadable behind the cursor, where the batch is empty */
    struct producer_spool_batch batch;
};

static int64_t time_of(const struct look *look, const struct producer_segment_frame *frame)
{
    return look->file.created_ms ? look->file.created_ms + frame->delay_ms : 0;
}

/* Puts frames into the batch; those that are too old before its first are left out. */
static void fill(
    struct producer_spool *spool, const struct producer_segment_image *image, struct look *look)
{
    struct producer_spool_reader *reader = &spool->reader;
    if (reader->behind_end > 0 && reader->behind_end <= look->consumed)
        reader->base = reader->behind;
    struct producer_segment_cursor at = reader->base;
    struct producer_segment_frame frame;
    size_t bytes = 0, count = 0;
    look->cursor = at;
    while (producer_segment_next(image, &at, &frame) == 0) {
        uint64_t number = look->file.first + frame.index;
        int64_t time_ms = time_of(look, &frame);
        bool aged = count == 0 && producer_spool_is_aged(spool, time_ms, look->now_ms);
        if (number <= look->consumed || aged) {
            reader->base = look->cursor = at;
            look->aged += number > look->consumed;
            look->aged_to = number;
            continue;
        }
        if (count > 0 && (count == spool->options.batch_records_max ||
                             bytes + frame.size > spool->options.batch_bytes_max))
            break;
        reader->records[count++] =
            (struct producer_spool_record){frame.body, frame.size, number, time_ms};
        bytes += frame.size;
        look->cursor = at;
        look->batch.end = number;
    }
    look->batch.records = reader->records;
    look->batch.count = count;
    reader->behind = look->cursor;
    reader->behind_end = look->batch.end;
}

/* Without the lock. */
static int read_batch(struct producer_spool *spool, struct look *look)
{
    struct producer_segment_image image;
    int r = producer_spool_load(spool, &look->file, &image);
    if (r < 0)
        return r;
    fill(spool, &image, look);
    if (look->batch.count == 0 && look->file.size > look->cursor.at)
        look->tail = (size_t)(look->file.size - look->cursor.at);
    if (look->cursor.at == 0 && look->tail > 0) /* nothing was read: not the head's bytes */
        look->tail -=
            look->tail < PRODUCER_SEGMENT_HEAD_SIZE ? look->tail : PRODUCER_SEGMENT_HEAD_SIZE;
    return 0;
}

/* The file of a look while it is listed, or NULL. */
static struct producer_spool_file *listed(struct producer_spool *spool, const struct look *look)
{
    for (size_t i = 0; i < spool->count; i++)
        if (spool->files[i].first == look->file.first)
            return &spool->files[i];
    return NULL;
}

/* Tells of what could not be read, and passes by it when no more is behind. */
static void account(struct producer_spool *spool, const struct look *look)
{
    struct producer_spool_reader *reader = &spool->reader;
    struct producer_spool_file *file = listed(spool, look);
    size_t bytes = look->cursor.skipped_bytes;
    uint64_t records = look->cursor.skipped_records;
    bool head = look->file.created_ms == 0 && look->batch.count > 0;
    if (look->aged_to > spool->consumed) {
        spool->statistics.dropped_age += look->aged;
        spool->consumed = look->aged_to;
    }
    if (look->batch.count == 0) {
        uint64_t from = look->file.first + look->cursor.index;
        from = from > look->consumed ? from : look->consumed + 1;
        bytes += look->tail;
        records += look->end > from ? look->end - from : 0;
        if (look->end > spool->consumed + 1)
            spool->consumed = look->end - 1;
    }
    bool torn = records == reader->told_records; /* a write that was given up: none is missing */
    if (file && ((bytes > reader->told_bytes && !torn) || head))
        producer_spool_hurt(spool, file);
    if (bytes > reader->told_bytes && !torn) {
        spool->statistics.damaged_bytes += bytes - reader->told_bytes;
        reader->told_bytes = bytes;
    }
    if (records > reader->told_records) {
        spool->statistics.lost_records += records - reader->told_records;
        reader->told_records = records;
    }
}

/* Numbers before this one are of no file: they were lost with theirs. */
static void pass_by(struct producer_spool *spool, uint64_t number)
{
    if (number <= spool->consumed + 1)
        return;
    spool->statistics.lost_records += number - spool->consumed - 1;
    spool->consumed = number - 1;
}

/* The first file with records that are not consumed. */
static bool find_file(struct producer_spool *spool, struct look *look)
{
    for (size_t i = 0; i < spool->count; i++) {
        uint64_t end = producer_spool_file_end(spool, i);
        if (end <= spool->consumed + 1)
            continue;
        pass_by(spool, spool->files[i].first);
        look->file = spool->files[i];
        look->end = end;
        look->consumed = spool->consumed;
        return true;
    }
    pass_by(spool, spool->next);
    return false;
}

/* Looks until there is a batch, or nothing to read; with the lock, which it leaves to read. */
static int peek(struct producer_spool *spool, struct look *look)
{
    for (;;) {
        *look = (struct look){.now_ms = producer_spool_now_ms(spool)};
        int r = producer_spool_drop_aged(spool, look->now_ms);
        if (r == 0)
            r = producer_spool_delete_consumed(spool, false);
        if (r < 0 || !find_file(spool, look))
            return r;
        (void)pthread_mutex_unlock(&spool->lock);
        r = read_batch(spool, look);
        (void)pthread_mutex_lock(&spool->lock);
        if (r == ERR_NOT_FOUND && !listed(spool, look))
            continue; /* dropped meanwhile */
        if (r < 0 && r != ERR_NOT_FOUND)
            return r;
        account(spool, look);
        if (look->batch.count > 0)
            return 0;
    }
}

int producer_spool_peek(struct producer_spool *spool, struct producer_spool_batch *out)
{
    struct look look;
    if (producer_process_is_forked(&spool->process))
        return ERR_LOCKED;
    (void)pthread_mutex_lock(&spool->lock);
    int r = peek(spool, &look);
    if (r == 0 && look.batch.count > 0) {
        spool->timed = look.batch.records[0].position;
        spool->timed_ms = look.batch.records[0].time_ms;
    }
    (void)pthread_mutex_unlock(&spool->lock);
    if (r == 0)
        *out = look.batch;
    return r;
}

/* ---- consume ---- */

static int consume(struct producer_spool *spool, uint64_t up_to)
{
    if (up_to >= spool->next)
        return ERR_VALUE;
    if (up_to <= spool->consumed)
        return 0;
    spool->consumed = up_to;
    int r = producer_spool_write_mark(spool);
    if (spool->threaded)
        (void)pthread_cond_signal(&spool->dirty_cond);
    int deleted = producer_spool_delete_consumed(spool, false);
    if (r == 0 && spool->options.sync == PRODUCER_SPOOL_SYNC_EVERY)
        r = producer_spool_sync_all(spool, true);
    return r < 0 ? r : deleted;
}

int producer_spool_consume(struct producer_spool *spool, uint64_t up_to)
{
    if (producer_process_is_forked(&spool->process))
        return ERR_LOCKED;
    (void)pthread_mutex_lock(&spool->lock);
    int r = consume(spool, up_to);
    (void)pthread_mutex_unlock(&spool->lock);
    return r;
}
