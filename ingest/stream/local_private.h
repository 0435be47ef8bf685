/*
 * What the files of the local driver share.
 *
 * Threads: appenders (any) and the log writer meet at `queue`; the worker alone writes `state`;
 * result sources read. The log keeps segments: key = position of the first record (8 bytes,
 * big-endian), value = records, each [topic 1][key size 2][value size 4][key][value],
 * little-endian. A segment is what one group commit took, cut at LOCAL_SEGMENT_SIZE, so that a
 * thousand small records cost one put.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/stream/local.h"
#include "ingest/stream/outbox.h"
#include "ingest/stream/state_lmdb.h"
#include "ingest/stream/translator.h"
#include "ingest/stream/writers.h"

#define LOCAL_FORMAT "tabiji-local-4"
#define LOCAL_SEGMENT_SIZE ((size_t)1 << 20)
#define LOCAL_QUEUE_REQUESTS_MAX 65536
#define LOCAL_BATCH_RECORDS_DEFAULT 250000
#define LOCAL_BATCH_BYTES_DEFAULT ((size_t)512 << 20)
#define LOCAL_READERS_MAX 16
#define LOCAL_STAGES_MAX 8
#define LOCAL_DIRECTORY_ID_SIZE 16

enum local_extra {
    LOCAL_EXTRA_CHANGES,  /* position (8, big-endian) -> topic (1), row key */
    LOCAL_EXTRA_REJECTED, /* rejected_key -> Rejected */
    LOCAL_EXTRA_READERS,  /* name -> acked position (8) */
    LOCAL_EXTRA_COUNT,
};

/* One waiting append(). Lives on its caller's stack. */
struct append_request {
    struct append_request *next;
    const struct append_record *records;
    size_t count;
    const struct append_cursor *cursor;
    int result;
    int reason; /* errno behind the result, or 0 */
    bool done;
};

struct local_stage {
    const struct stage *stage;
    void *instance;
};

struct mail_item;

/* Segments from a position on, up to the next of these, were written with these schemas. */
struct local_era {
    int64_t from;
    struct writers writers;
};

struct local {
    struct appender appender; /* first: append() casts back */
    struct local_options options;
    int lock_fd;
    uint8_t directory_id[LOCAL_DIRECTORY_ID_SIZE];

    /* the log */
    MDB_env *log_env;
    MDB_dbi log_records;
    MDB_dbi log_cursors;
    MDB_dbi log_writers;    /* position (8, big-endian) -> text of writers.h */
    struct local_era *eras; /* of that, but this build's: all end before own_from */
    size_t eras_count;
    int64_t own_from;
    pthread_t writer;
    bool writer_started;
    pthread_mutex_t mutex;
    pthread_cond_t queued;
    pthread_cond_t committed; /* appends done, log_end moved, or woken */
    struct append_request *queue_first;
    struct append_request **queue_last;
    size_t queue_count;
    size_t appending; /* callers within append(); closing waits for them */
    int failed;       /* ERR_*: the log takes no more; an fsync that failed is never tried again */
    int reason;       /* errno behind it, or 0 */
    bool closing;
    int64_t log_end;
    _Atomic bool woken;

    /* the worker */
    struct state_lmdb *store;
    struct state *state;
    struct local_stage stages[LOCAL_STAGES_MAX];
    size_t stages_count;
    struct outbox outbox;
    struct arena mail_arena;
    struct mail_item *mail_first;
    struct mail_item **mail_last;
    struct arena scratch;
    struct translator translator;
    struct arena translated;       /* the value of the record that is being processed */
    struct buf rejected;           /* of this batch: [key size 4][value size 4][key][value]... */
    bool unlike[LOCAL_STAGES_MAX]; /* rows of the stage have another meaning */
    uint8_t rederived_to[STATE_KEY_SIZE_MAX]; /* key before which all of that stage's are done */
    size_t rederived_size;
    struct buf difference; /* between the stored meaning and the stages' */
    bool rederiving;       /* the running batch is local_rederive()'s */
    int64_t input_next;
    int64_t change_next;
    int64_t whole_to; /* what local_rederive() brought ends here */

    /* result sources wait here for the worker's commits */
    pthread_mutex_t results_mutex;
    pthread_cond_t results_ready;
    int64_t results_end;
    uint64_t results_wakes; /* calls of local_wake_results() */
    _Atomic int64_t acked[LOCAL_READERS_MAX];
    char reader_names[LOCAL_READERS_MAX][64];
    size_t readers_count;
};

/* local.c: memory and defaults, nothing opened; local_close() ends it. */
MUST_CHECK int local_make(const struct local_options *options, struct local **out);
/* The state in directory `path`, of this build's schemas: rows of older ones are rewritten, or,
 * read only, refused (ERR_OLDER). */
MUST_CHECK int local_state_open(struct local *local, const char *path, bool read_only);

/* local_upgrade.c: which build wrote what. why: local_options. */
/* Reads the log's eras in its opening transaction, and begins this build's where it is new. */
MUST_CHECK int local_eras_open(struct local *local, MDB_txn *txn);
/* The same without beginning anything. */
MUST_CHECK int local_eras_read(struct local *local, MDB_txn *txn);
/* What a segment at `position` was written with; NULL: this build's schemas. */
const struct writers *local_era(const struct local *local, int64_t position);
/* Makes the value of a record of that era this build's; valid until `translated` is reset. Errors:
 * those of translator_append(). */
MUST_CHECK int local_translate(
    struct local *local, const struct writers *writers, struct record *record);
/* Brings the state to this build's schemas, in transactions that a crash between may follow. */
MUST_CHECK int local_upgrade(struct local *local);
/* ERR_OLDER or ERR_NEWER when it is not of this build's. */
MUST_CHECK int local_check_writers(struct local *local);

/* local_work.c: gives one record to the stages and runs them to quiet, within the batch that
 * state_lmdb_begin() began; local_forget() ends it without a trace. */
MUST_CHECK int local_try(struct local *local, const struct record *record);
void local_forget(struct local *local);

/* local_look.c: a directory's state alone, to be read; *out is closed by local_close(). Errors:
 * ERR_TOO_LARGE (the path), those of local_state_open(). */
MUST_CHECK int local_open_state(const char *dir, struct local **out);

/* local_log.c */
MUST_CHECK int local_log_open(struct local *local, const char *dir);
void local_log_close(struct local *local);
/* Position behind the last record. */
MUST_CHECK int local_log_find_end(struct local *local, MDB_txn *txn, int64_t *end);
int local_append(struct appender *appender, const struct append_record *records, size_t count,
    const struct append_cursor *cursor);
int local_cursor_get(struct appender *appender, struct str name, struct buf *out);
/* Waits until the log has something at `position`, `timeout_ms` are over or somebody wakes. Returns
 * the log's end. */
int64_t local_log_wait(struct local *local, int64_t position, int timeout_ms);

/* A record in a segment; returns false at the end. Errors of the bytes: ERR_STATE in *error. */
bool local_log_record(struct str *segment, struct record *record, int *error);

/* The deadline of a timed wait. */
struct timespec local_deadline(int timeout_ms);

/* 8-byte big-endian integers as LMDB keys and values. */
static inline MDB_val local_val(const void *data, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}
