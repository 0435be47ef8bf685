/*
 * What lies in the files of a spool: pure, no I/O.
 *
 *     segment:  head, frame, frame, ...
 *     frame:    size of the body (4 bytes), CRC-32 of size and body (4), body
 *     body:     topic (1), schema id (4), size of the key (4), key, value
 *
 * All numbers little-endian. The CRC covers the size, so that a run of zeros, as a file system may
 * leave after a loss of power, is no frame. Source of the CRC: zlib's crc32().
 */
#pragma once

#include "ingest/stream/stream.h"

#define SPOOL_HEAD_SIZE 16 /* of a segment */
#define SPOOL_FRAME_HEAD_SIZE 8
#define SPOOL_BODY_HEAD_SIZE 9
#define SPOOL_BODY_SIZE_MAX ((size_t)16 << 20)
#define SPOOL_MARK_SIZE 20

struct spool_record {
    enum topic topic; /* TOPIC_EVENTS or TOPIC_REJECTED */
    uint32_t schema;  /* id of what the value was written with, of schemas/avro/ids.txt */
    struct str key;
    struct str value;
};

/* How far a spool is drained. */
struct spool_mark {
    uint64_t segment; /* everything before it is drained, of it what is before `offset` */
    uint64_t offset;
};

/* Writes the head of a segment. Threads: any, as of all here. */
void spool_head_put(uint8_t out[SPOOL_HEAD_SIZE]);
/* Returns 0 or SPOOL_CUT. Errors: ERR_STATE: another file, or of another version. */
MUST_CHECK int spool_head_take(struct str bytes);

/* Bytes of a record's frame. Errors: ERR_TOO_LARGE beyond SPOOL_BODY_SIZE_MAX. */
MUST_CHECK int spool_frame_size(const struct spool_record *record, size_t *size);
/* Writes spool_frame_size() bytes. */
void spool_frame_put(const struct spool_record *record, uint8_t *out);

/* Reads the first frame of `bytes`; slices of the record lie in them. Returns 0 and the frame's
 * size, or SPOOL_CUT when the bytes end before the frame does (also when there are none).
 * Errors: ERR_STATE: damaged. */
#define SPOOL_CUT 1
MUST_CHECK int spool_frame_take(struct str bytes, struct spool_record *record, size_t *size);

void spool_mark_put(const struct spool_mark *mark, uint8_t out[SPOOL_MARK_SIZE]);
/* Errors: ERR_STATE. */
MUST_CHECK int spool_mark_take(struct str bytes, struct spool_mark *out);
