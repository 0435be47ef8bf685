/*
 * Within the producer's spool: what its files share.
 *
 * spool.c: opening, appending; spool_sync.c: synchronising; spool_read.c: peek, consume;
 * spool_files.c: the directory and the list of segments.
 */
#pragma once

#include <pthread.h>
#include <sys/uio.h>

#include "ingest/producer/process.h"
#include "ingest/producer/segment.h"
#include "ingest/producer/spool.h"

#define PRODUCER_NAME_SIZE 32
#define PRODUCER_UNSYNCED_MAX 8 /* segments whose descriptors wait for a synchronisation */
/* Of a segment that is read, whatever the options were when it was written. */
#define PRODUCER_IMAGE_SIZE_MAX (PRODUCER_SPOOL_SEGMENT_SIZE_MAX + PRODUCER_SPOOL_RECORD_SIZE_MAX)

/* A segment's file. The last of the list grows while `fd` is not negative. */
struct producer_spool_file {
    uint64_t first; /* number of its first record; those up to the next file's are its own */
    uint64_t size;
    int64_t created_ms; /* 0: not known */
    int fd;             /* to write or to synchronise; -1: neither */
    bool unsynced;
    bool wanted; /* a durable append waits for its synchronisation */
    bool hurt;
};

/* What the reader's thread has alone. */
struct producer_spool_reader {
    int fd;
    uint64_t first; /* of the segment that `bytes` are; 0: none */
    uint8_t *bytes;
    size_t size; /* loaded */
    size_t capacity;
    struct producer_segment_cursor
        base; /* before the first frame that is not consumed, or earlier */
    struct producer_segment_cursor behind; /* the last batch, */
    uint64_t behind_end;                   /* whose last number is this */
    size_t told_bytes;                     /* what statistics know of the segment's damage */
    uint64_t told_records;
    struct producer_spool_record *records; /* batch_records_max */
};

struct producer_spool {
    struct producer_spool_options options; /* defaults filled in; dir is NULL: borrowed no longer */
    struct producer_process process;
    int dir; /* also the lock */
    int mark;
    /* Places of the mark: written last, synchronised last, being synchronised. */
    unsigned mark_last;
    unsigned mark_kept;
    unsigned mark_pending;
    int64_t wall_ms;   /* at opening */
    int64_t booted_ms; /* likewise, of the clock that nobody sets */

    pthread_mutex_t lock;       /* of all below but the reader */
    pthread_cond_t synced_cond; /* a synchronisation ended */
    pthread_cond_t dirty_cond;  /* for the interval's thread */
    pthread_t thread;
    bool threaded;
    bool closing;
    bool growing;       /* the last file; its fd is open */
    bool failed;        /* a synchronisation: for good */
    bool synchronising; /* one thread does, without the lock; descriptors must stay meanwhile */
    bool dir_unsynced;
    bool mark_unsynced;
    struct producer_spool_file *files; /* by number */
    size_t count;
    size_t capacity;
    uint64_t bytes;    /* of all files */
    uint64_t next;     /* number of the next record */
    uint64_t consumed; /* number of the last that is */
    uint64_t synced;   /* durable appends up to this number are */
    uint64_t unsure;   /* up to this they are not: their synchronisation found no room */
    uint64_t timed;    /* a record that was read, and its time */
    int64_t timed_ms;
    struct producer_spool_statistics statistics;

    struct producer_spool_reader reader;
};

void *producer_spool_resize(const struct producer_spool *spool, void *memory, size_t size);
int64_t producer_spool_now_ms(const struct producer_spool *spool);

/* ---- spool_files.c; with the lock, from opening on ---- */

/* Of errno: ERR_FULL without room, otherwise ERR_IO. */
int producer_spool_io_error(void);
/* Goes on after short writes and signals; on an error some may be written. Changes the slices. */
MUST_CHECK int producer_spool_write(int fd, struct iovec *slices, int count, uint64_t offset);
/* Up to the end of the file. */
MUST_CHECK int producer_spool_read(int fd, void *out, size_t size, uint64_t offset, size_t *got);
void producer_spool_close_fd(int *fd);
void producer_spool_file_name(
    const struct producer_spool_file *file, const char *ending, char out[PRODUCER_NAME_SIZE]);
/* Ending of a segment that is read: "spool" or "hurt". */
const char *producer_spool_file_ending(const struct producer_spool_file *file);

/* Makes the directory and takes its lock. */
MUST_CHECK int producer_spool_take_directory(struct producer_spool *spool, const char *dir);
/* Lists the segments with their sizes and times; none is open. */
MUST_CHECK int producer_spool_list_files(struct producer_spool *spool);
MUST_CHECK int producer_spool_add_file(
    struct producer_spool *spool, const struct producer_spool_file *file);
/* Number of the first record behind a file's. */
uint64_t producer_spool_file_end(const struct producer_spool *spool, size_t index);
/* The file that grows, or NULL. */
struct producer_spool_file *producer_spool_active(struct producer_spool *spool);
/* Ends the file that grows; its descriptor stays while somebody synchronises it. */
void producer_spool_seal(struct producer_spool *spool);
/* Notes that something in a segment cannot be read: it will be set aside. */
void producer_spool_hurt(struct producer_spool *spool, struct producer_spool_file *file);
/* Deletes the first file, or sets it aside. Waits while its descriptor is synchronised: the list
 * may be another afterwards, and then nothing is deleted and 1 returned. Errors: ERR_IO. */
MUST_CHECK int producer_spool_delete_first(struct producer_spool *spool);
/* Deletes files of which all is consumed; the one that grows from an eighth of its size on, or
 * with `all`. Errors: ERR_IO. */
MUST_CHECK int producer_spool_delete_consumed(struct producer_spool *spool, bool all);

MUST_CHECK int producer_spool_open_mark(struct producer_spool *spool);
MUST_CHECK int producer_spool_write_mark(struct producer_spool *spool);

/* ---- spool_sync.c; with the lock, which each leaves meanwhile ---- */

/* Waits until the append of this number is durable. Errors: ERR_FULL, ERR_IO. */
MUST_CHECK int producer_spool_sync_to(struct producer_spool *spool, uint64_t number);
/* Synchronises what was appended and, with `mark`, the mark. Errors: ERR_FULL, ERR_IO. */
MUST_CHECK int producer_spool_sync_all(struct producer_spool *spool, bool mark);
/* A file has what is not synchronised. */
void producer_spool_dirty(struct producer_spool *spool, struct producer_spool_file *file);
MUST_CHECK int producer_spool_start_thread(struct producer_spool *spool);
void producer_spool_stop_thread(struct producer_spool *spool);

/* ---- spool_read.c ---- */

/* Reads a file's image: what is new of it where it was read already, from the start otherwise.
 * With the lock or without, by the reader's thread or within opening. Errors: ERR_NOT_FOUND: it was
 * deleted; ERR_IO; ERR_NO_MEMORY. */
MUST_CHECK int producer_spool_load(struct producer_spool *spool,
    const struct producer_spool_file *file, struct producer_segment_image *out);
/* A time that age_max_ms is over. Times before 2020 are those of a clock that was never set: they
 * tell nothing. Threads: any. */
bool producer_spool_is_aged(const struct producer_spool *spool, int64_t time_ms, int64_t now_ms);
/* Drops files of which all records are too old; with the lock. Errors: ERR_IO. */
MUST_CHECK int producer_spool_drop_aged(struct producer_spool *spool, int64_t now_ms);
/* Drops what is not consumed of the first file, the lock held; it is deleted, or will be with what
 * is consumed. Returns how many records these were. */
MUST_CHECK uint64_t producer_spool_drop_first(struct producer_spool *spool);
