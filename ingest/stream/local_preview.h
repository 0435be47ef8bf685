/*
 * What one more record would change in a directory of the local driver: the stages run on it as in
 * a batch, over the committed tables, and the batch is then forgotten.
 */
#pragma once

#include "ingest/stream/stream.h"

/* A row that would be other than it is. */
struct local_change {
    enum table table;
    struct str key;
    bool stood; /* before; */
    struct str before;
    bool stands; /* and after */
    struct str after;
};

/* Valid during the call; one that returns not 0 ends the preview, which returns that value. */
typedef int local_change_fn(void *context, const struct local_change *change);

/*
 * Runs `record` (of TOPIC_EVENTS) through the stages, then tells every row that it would change,
 * by table and key. Nothing is written to the directory, which another process may own and write
 * meanwhile; what its worker has not done yet is not seen.
 * Errors: ERR_NOT_FOUND (no such directory, or nothing in it), ERR_STATE, ERR_VALUE (a
 * stage refuses the record), the stages' own. Threads: any, but not in a process that has the
 * directory open (LMDB allows one environment a process).
 */
struct local_preview {
    const char *dir;
    const struct stage *stages; /* outlive the call */
    size_t stages_count;
    local_change_fn *changed;
    void *context;
    struct buf *difference; /* of ERR_MEANING: what differs (meaning.h) is appended; may be NULL */
};
MUST_CHECK int local_preview(
    const struct local_preview *preview, const struct append_record *record);
