/*
 * The producer's spool: opening, appending, statistics.
 *
 * Invariants, under the lock:
 *  1. Only the last file grows, and only where everything in it is as it was written; after a write
 *     that could not be taken back it is ended, and reading stops where its size says.
 *  2. A number is given when its frame stands whole in the file, so numbers within a file and from
 *     one file to the next have no gaps but losses.
 */
#include "ingest/producer/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schemas/error.h"

#define SEGMENTS_MIN 4          /* of a spool's bytes_max */
#define AGE_PART 8              /* of age_max_ms: a segment grows no longer */
#define DELAY_MS_MAX 0x7fffffff /* of a record after its segment's time */
#define BATCH_RECORDS_MAX ((size_t)1 << 20)
#define INTERVAL_MS_MAX ((int64_t)24 * 3600 * 1000)
#define FRAME_SIZE_JOINED 2048 /* up to it a frame is written from one place */

static void *resize_by_libc(void *context, void *memory, size_t size)
{
    (void)context;
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

void *producer_spool_resize(const struct producer_spool *spool, void *memory, size_t size)
{
    return spool->options.resize(spool->options.resize_context, memory, size);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t producer_spool_now_ms(const struct producer_spool *spool)
{
    if (spool->options.now_ms)
        return spool->options.now_ms(spool->options.now_context);
    return spool->wall_ms + clock_ms(CLOCK_BOOTTIME) - spool->booted_ms;
}

/* ---- opening ---- */

static int take_options(
    const struct producer_spool_options *given, struct producer_spool_options *out)
{
    *out = *given;
    out->bytes_max = given->bytes_max ? given->bytes_max : PRODUCER_SPOOL_BYTES_MAX_DEFAULT;
    if (!given->segment_size)
        out->segment_size = PRODUCER_SPOOL_SEGMENT_SIZE_DEFAULT;
    if (!given->record_size_max)
        out->record_size_max = PRODUCER_SPOOL_RECORD_SIZE_MAX_DEFAULT;
    if (!given->interval_ms)
        out->interval_ms = PRODUCER_SPOOL_INTERVAL_MS_DEFAULT;
    if (!given->batch_records_max)
        out->batch_records_max = PRODUCER_SPOOL_BATCH_RECORDS_DEFAULT;
    if (!given->batch_bytes_max)
        out->batch_bytes_max = PRODUCER_SPOOL_BATCH_BYTES_DEFAULT;
    if (!given->resize)
        out->resize = resize_by_libc;
    out->dir = NULL;
    bool right =
        given->dir && given->dir[0] && out->segment_size >= PRODUCER_SPOOL_SEGMENT_SIZE_MIN &&
        out->segment_size <= PRODUCER_SPOOL_SEGMENT_SIZE_MAX &&
        out->bytes_max / SEGMENTS_MIN >= out->segment_size &&
        out->record_size_max <= PRODUCER_SPOOL_RECORD_SIZE_MAX &&
        out->record_size_max + PRODUCER_SEGMENT_FRAME_HEAD_SIZE + PRODUCER_SEGMENT_HEAD_SIZE <=
            out->bytes_max &&
        out->interval_ms > 0 && out->interval_ms <= INTERVAL_MS_MAX && out->age_max_ms >= 0 &&
        out->batch_records_max <= BATCH_RECORDS_MAX &&
        (unsigned)out->sync <= PRODUCER_SPOOL_SYNC_NONE &&
        (unsigned)out->full <= PRODUCER_SPOOL_DROP_OLDEST;
    return right ? 0 : ERR_CONFIG;
}

/* Cuts the last file where its last whole frame ends, deletes one without any. */
static int cut_last(struct producer_spool *spool, size_t end, bool empty)
{
    char name[PRODUCER_NAME_SIZE];
    struct producer_spool_file *file = &spool->files[spool->count - 1];
    uint64_t torn = file->size - end;
    if (torn > 0) {
        spool->statistics.cuts++;
        spool->statistics.cut_bytes += torn;
    }
    producer_spool_file_name(file, producer_spool_file_ending(file), name);
    spool->bytes -= torn;
    file->size = end;
    if (empty) {
        spool->bytes -= file->size;
        spool->count--;
        return unlinkat(spool->dir, name, 0) == 0 ? 0 : ERR_IO;
    }
    if (torn == 0)
        return 0;
    int fd = openat(spool->dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int r = fd >= 0 && ftruncate(fd, (off_t)end) == 0 ? 0 : ERR_IO;
    producer_spool_close_fd(&fd);
    return r;
}

/* Goes on in the last file, where nothing is wrong with it and no number is missing before it. */
static int grow_last(struct producer_spool *spool, uint64_t behind)
{
    char name[PRODUCER_NAME_SIZE];
    struct producer_spool_file *file = &spool->files[spool->count - 1];
    if (file->hurt || !file->created_ms || behind != spool->next ||
        file->size >= spool->options.segment_size)
        return 0;
    producer_spool_file_name(file, producer_spool_file_ending(file), name);
    file->fd = openat(spool->dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file->fd < 0)
        return ERR_IO;
    spool->growing = true;
    file->unsynced = spool->options.sync != PRODUCER_SPOOL_SYNC_NONE;
    return 0;
}

/* Finds where the last file ends, and with it the next number. */
static int recover_last(struct producer_spool *spool)
{
    while (spool->count > 0) {
        struct producer_spool_file *file = &spool->files[spool->count - 1];
        struct producer_segment_image image;
        struct producer_segment_cursor cursor = {0};
        struct producer_segment_frame frame;
        int r = producer_spool_load(spool, file, &image);
        if (r < 0)
            return r;
        while (producer_segment_next(&image, &cursor, &frame) == 0)
            ;
        uint64_t behind = file->first + cursor.index;
        if (behind > spool->next)
            spool->next = behind;
        bool empty = cursor.index == 0;
        if (!empty && (cursor.skipped_bytes > 0 || !file->created_ms))
            producer_spool_hurt(spool, file);
        size_t end = empty && file->size < cursor.at ? (size_t)file->size : cursor.at;
        spool->reader.first = 0; /* it may be cut: read anew */
        r = cut_last(spool, end, empty);
        if (r < 0 || !empty)
            return r < 0 ? r : grow_last(spool, behind);
    }
    return 0;
}

static int recover(struct producer_spool *spool, const char *dir)
{
    int r = producer_spool_take_directory(spool, dir);
    if (r == 0)
        r = producer_spool_open_mark(spool);
    spool->next = spool->consumed + 1;
    if (r == 0)
        r = producer_spool_list_files(spool);
    if (r == 0)
        r = recover_last(spool);
    /* Without a mark nothing tells whether what is missing before was consumed. */
    if (spool->consumed == 0)
        spool->consumed = (spool->count ? spool->files[0].first : spool->next) - 1;
    if (r == 0)
        r = producer_spool_delete_consumed(spool, true);
    if (r == 0)
        r = producer_spool_drop_aged(spool, producer_spool_now_ms(spool));
    spool->synced = spool->next - 1; /* none of them has a waiter */
    spool->dir_unsynced = true;
    return r;
}

static int init_locks(struct producer_spool *spool)
{
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    int r = pthread_mutex_init(&spool->lock, NULL) != 0 ||
                    pthread_cond_init(&spool->synced_cond, NULL) != 0 ||
                    pthread_cond_init(&spool->dirty_cond, &monotonic) != 0
                ? ERR_NO_MEMORY
                : 0;
    (void)pthread_condattr_destroy(&monotonic);
    return r;
}

/* Memory and descriptors alone: also in a forked child. */
static void release(struct producer_spool *spool)
{
    for (size_t i = 0; i < spool->count; i++)
        producer_spool_close_fd(&spool->files[i].fd);
    producer_spool_close_fd(&spool->reader.fd);
    producer_spool_close_fd(&spool->mark);
    producer_spool_close_fd(&spool->dir);
    producer_process_fini(&spool->process);
    (void)producer_spool_resize(spool, spool->files, 0);
    (void)producer_spool_resize(spool, spool->reader.bytes, 0);
    (void)producer_spool_resize(spool, spool->reader.records, 0);
    (void)producer_spool_resize(spool, spool, 0);
}

int producer_spool_open(const struct producer_spool_options *options, struct producer_spool **out)
{
    struct producer_spool_options taken;
    int r = take_options(options, &taken);
    if (r < 0)
        return r;
    struct producer_spool *spool = taken.resize(taken.resize_context, NULL, sizeof *spool);
    if (!spool)
        return ERR_NO_MEMORY;
    *spool = (struct producer_spool){
        .options = taken,
        .dir = -1,
        .mark = -1,
        .wall_ms = clock_ms(CLOCK_REALTIME),
        .booted_ms = clock_ms(CLOCK_BOOTTIME),
        .reader = {.fd = -1},
    };
    producer_process_init(&spool->process);
    spool->reader.records =
        producer_spool_resize(spool, NULL, taken.batch_records_max * sizeof *spool->reader.records);
    r = spool->reader.records ? init_locks(spool) : ERR_NO_MEMORY;
    if (r == 0)
        r = recover(spool, options->dir);
    if (r == 0 && taken.sync == PRODUCER_SPOOL_SYNC_INTERVAL)
        r = producer_spool_start_thread(spool);
    if (r < 0) {
        release(spool);
        return r;
    }
    *out = spool;
    return 0;
}

void producer_spool_close(struct producer_spool **spool_)
{
    struct producer_spool *spool = *spool_;
    *spool_ = NULL;
    if (!spool)
        return;
    if (!producer_process_is_forked(&spool->process)) {
        producer_spool_stop_thread(spool);
        (void)pthread_mutex_lock(&spool->lock);
        int r = producer_spool_delete_consumed(spool, true);
        if (spool->options.sync != PRODUCER_SPOOL_SYNC_NONE)
            r = producer_spool_sync_all(spool, true);
        (void)r; /* nobody is promised what was not synchronised before */
        (void)pthread_mutex_unlock(&spool->lock);
        (void)pthread_mutex_destroy(&spool->lock);
        (void)pthread_cond_destroy(&spool->synced_cond);
        (void)pthread_cond_destroy(&spool->dirty_cond);
    }
    release(spool);
}

/* ---- appending: the record, without the lock ---- */

/* A record as it will be written: its head's place, then its body. */
struct frame {
    struct iovec slices[1 + PRODUCER_SPOOL_PARTS_MAX];
    int count;
    size_t size; /* of the body */
    uint32_t crc;
    uint8_t bytes[FRAME_SIZE_JOINED]; /* the head; and the body, where it has room */
};

static void make_frame(const struct str *parts, size_t count, size_t size, struct frame *frame)
{
    uint8_t *at = frame->bytes + PRODUCER_SEGMENT_FRAME_HEAD_SIZE;
    frame->size = size;
    frame->count = 1;
    frame->slices[0] = (struct iovec){frame->bytes, PRODUCER_SEGMENT_FRAME_HEAD_SIZE};
    if (size <= sizeof frame->bytes - PRODUCER_SEGMENT_FRAME_HEAD_SIZE) {
        for (size_t i = 0; i < count; i++) {
            if (parts[i].size)
                memcpy(at, parts[i].data, parts[i].size);
            at += parts[i].size;
        }
        frame->slices[0].iov_len += size;
        frame->crc =
            producer_segment_body_crc(0, frame->bytes + PRODUCER_SEGMENT_FRAME_HEAD_SIZE, size);
        return;
    }
    frame->crc = 0;
    for (size_t i = 0; i < count; i++) {
        frame->crc = producer_segment_body_crc(frame->crc, parts[i].data, parts[i].size);
        frame->slices[frame->count++] =
            (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].size};
    }
}

/* ---- appending; with the lock ---- */

static int new_file(struct producer_spool *spool, int64_t now_ms)
{
    char name[PRODUCER_NAME_SIZE];
    uint8_t bytes[PRODUCER_SEGMENT_HEAD_SIZE];
    struct iovec slice = {bytes, sizeof bytes};
    struct producer_spool_file file = {
        .first = spool->next, .size = sizeof bytes, .created_ms = now_ms};
    const struct producer_segment_head head = {file.first, file.created_ms};
    producer_spool_file_name(&file, producer_spool_file_ending(&file), name);
    file.fd = openat(spool->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file.fd < 0)
        return producer_spool_io_error();
    producer_segment_head_put(&head, bytes);
    int r = producer_spool_write(file.fd, &slice, 1, 0);
    if (r == 0)
        r = producer_spool_add_file(spool, &file);
    if (r < 0) {
        producer_spool_close_fd(&file.fd);
        (void)unlinkat(spool->dir, name, 0);
        return r;
    }
    spool->growing = true;
    spool->dir_unsynced = true;
    return 0;
}

static bool is_at_end(const struct producer_spool *spool, const struct producer_spool_file *file,
    uint64_t frame_size, int64_t now_ms)
{
    int64_t delay_ms = now_ms - file->created_ms;
    int64_t age_max_ms = spool->options.age_max_ms;
    return file->size > PRODUCER_SEGMENT_HEAD_SIZE &&
           (file->size + frame_size > spool->options.segment_size || delay_ms > DELAY_MS_MAX ||
               (age_max_ms > 0 && delay_ms > age_max_ms / AGE_PART));
}

/* Beyond bytes_max. May leave the lock. */
static int make_room(struct producer_spool *spool, int64_t now_ms)
{
    uint64_t before = spool->bytes;
    int r = producer_spool_delete_consumed(spool, true);
    if (r == 0 && spool->bytes >= before)
        r = producer_spool_drop_aged(spool, now_ms);
    if (r < 0 || spool->bytes < before || spool->count == 0)
        return r;
    if (spool->options.full == PRODUCER_SPOOL_REFUSE_NEWEST) {
        spool->statistics.refused++;
        return ERR_FULL;
    }
    spool->statistics.dropped_full += producer_spool_drop_first(spool);
    r = producer_spool_write_mark(spool); /* or the next process took them for lost */
    return r < 0 ? r : producer_spool_delete_consumed(spool, true);
}

static size_t count_unsynced(const struct producer_spool *spool)
{
    size_t count = 0;
    for (size_t i = 0; i < spool->count; i++)
        count += spool->files[i].unsynced;
    return count;
}

/* Makes the last file one that takes the frame. May leave the lock. */
static int prepare(struct producer_spool *spool, uint64_t frame_size, int64_t now_ms)
{
    for (int r = 0; r == 0;) {
        struct producer_spool_file *file = producer_spool_active(spool);
        if (spool->failed)
            return ERR_IO;
        if (file && is_at_end(spool, file, frame_size, now_ms)) {
            producer_spool_seal(spool);
            file = NULL;
        }
        uint64_t size = frame_size + (file ? 0 : PRODUCER_SEGMENT_HEAD_SIZE);
        if (spool->bytes + size > spool->options.bytes_max)
            r = make_room(spool, now_ms);
        else if (file)
            return 0;
        else if (count_unsynced(spool) >= PRODUCER_UNSYNCED_MAX)
            r = producer_spool_sync_all(spool, false);
        else
            return new_file(spool, now_ms);
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_frame(struct producer_spool *spool, struct frame *frame, int64_t now_ms)
{
    struct producer_spool_file *file = producer_spool_active(spool);
    int64_t delay_ms = now_ms > file->created_ms ? now_ms - file->created_ms : 0;
    if (delay_ms > DELAY_MS_MAX)
        delay_ms = DELAY_MS_MAX;
    uint64_t written = PRODUCER_SEGMENT_FRAME_HEAD_SIZE + frame->size;
    const struct producer_segment_frame head = {
        .size = (uint32_t)frame->size,
        .index = (uint32_t)(spool->next - file->first),
        .delay_ms = (uint32_t)delay_ms,
    };
    producer_segment_frame_put(file->first, &head, frame->crc, frame->bytes);
    int r = producer_spool_write(file->fd, frame->slices, frame->count, file->size);
    if (r < 0) {
        if (ftruncate(file->fd, (off_t)file->size) != 0)
            producer_spool_seal(spool);
        return r;
    }
    producer_spool_dirty(spool, file);
    file->size += written;
    spool->bytes += written;
    spool->next++;
    return 0;
}

static int append(struct producer_spool *spool, struct frame *frame, bool durable)
{
    int64_t now_ms = producer_spool_now_ms(spool);
    int r = prepare(spool, PRODUCER_SEGMENT_FRAME_HEAD_SIZE + frame->size, now_ms);
    if (r == 0)
        r = write_frame(spool, frame, now_ms);
    if (r < 0 || !durable)
        return r;
    spool->files[spool->count - 1].wanted = true;
    return producer_spool_sync_to(spool, spool->next - 1);
}

int producer_spool_append(
    struct producer_spool *spool, const void *record, size_t size, bool durable)
{
    const struct str whole = str_make(record, size);
    return producer_spool_append_parts(spool, &whole, 1, durable);
}

int producer_spool_append_parts(
    struct producer_spool *spool, const struct str *parts, size_t count, bool durable)
{
    struct frame frame; /* its bytes are written before they are read */
    size_t size = 0;
    if (producer_process_is_forked(&spool->process))
        return ERR_LOCKED;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > spool->options.record_size_max - size)
            return ERR_TOO_LARGE;
        size += parts[i].size;
    }
    if (size == 0)
        return ERR_EMPTY;
    make_frame(parts, count, size, &frame);
    durable |= spool->options.sync == PRODUCER_SPOOL_SYNC_EVERY;
    (void)pthread_mutex_lock(&spool->lock);
    int r = append(spool, &frame, durable);
    (void)pthread_mutex_unlock(&spool->lock);
    return r;
}

int producer_spool_sync(struct producer_spool *spool)
{
    if (producer_process_is_forked(&spool->process))
        return ERR_LOCKED;
    (void)pthread_mutex_lock(&spool->lock);
    int r = producer_spool_sync_all(spool, true);
    (void)pthread_mutex_unlock(&spool->lock);
    return r;
}

void producer_spool_statistics(struct producer_spool *spool, struct producer_spool_statistics *out)
{
    *out = (struct producer_spool_statistics){0};
    if (producer_process_is_forked(&spool->process))
        return;
    int64_t now_ms = producer_spool_now_ms(spool), oldest_ms = 0;
    (void)pthread_mutex_lock(&spool->lock);
    *out = spool->statistics;
    out->last = spool->next - 1;
    out->records = out->last - spool->consumed;
    out->bytes = spool->bytes;
    out->segments = spool->count;
    for (size_t i = 0; oldest_ms == 0 && i < spool->count; i++)
        if (producer_spool_file_end(spool, i) > spool->consumed + 1)
            oldest_ms = spool->files[i].created_ms;
    if (spool->timed == spool->consumed + 1)
        oldest_ms = spool->timed_ms;
    if (out->records > 0 && oldest_ms > 0 && now_ms > oldest_ms)
        out->oldest_age_ms = now_ms - oldest_ms;
    (void)pthread_mutex_unlock(&spool->lock);
}
