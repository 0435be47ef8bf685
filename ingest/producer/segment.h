/*
 * What lies in a segment of the producer's spool, and in its mark: pure, no I/O, no memory.
 *
 *     segment:  head, frame, frame, ...
 *     head:     "tabijips", version (4 bytes), number of the first record (8), time when it was
 *               made (8, milliseconds since 1970), CRC (4)
 *     frame:    size of the body (4), index: the record's number less the first (4), milliseconds
 *               after the segment's time (4), CRC of the body (4), CRC of the number of the first
 *               record and of these sixteen bytes (4), body
 *     mark:     "tabijipm", number of a record (8), CRC (4); in four places, each in a sector of
 *               its own: the last that was synchronised, one that is being synchronised, and two
 *               that are written in turn meanwhile; the highest that is whole counts
 *
 * All numbers little-endian; CRC: zlib's crc32(). A frame's own head has a CRC, so that a damaged
 * body loses its record alone, and with the segment's number in it, so that what an older file left
 * on the same blocks is no frame. A body has one byte at least: zeros are no frame.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "schemas/bytes.h"

#define PRODUCER_SEGMENT_HEAD_SIZE 32
#define PRODUCER_SEGMENT_FRAME_HEAD_SIZE 20
#define PRODUCER_SEGMENT_MARK_SIZE 20
#define PRODUCER_SEGMENT_MARK_STRIDE 512
#define PRODUCER_SEGMENT_MARKS 4
#define PRODUCER_SEGMENT_MARKS_SIZE                                                                \
    ((PRODUCER_SEGMENT_MARKS - 1) * PRODUCER_SEGMENT_MARK_STRIDE + PRODUCER_SEGMENT_MARK_SIZE)

struct producer_segment_head {
    uint64_t first;
    int64_t created_ms;
};

/* Threads: any, as of all here. */
void producer_segment_head_put(
    const struct producer_segment_head *head, uint8_t out[PRODUCER_SEGMENT_HEAD_SIZE]);
/* Errors: ERR_STATE: cut, damaged, another file, or of another version. */
MUST_CHECK int producer_segment_head_take(
    const uint8_t *bytes, size_t size, struct producer_segment_head *out);

struct producer_segment_frame {
    const uint8_t *body;
    uint32_t size; /* of the body */
    uint32_t index;
    uint32_t delay_ms; /* after the segment's time */
};

/* Of a body that goes on where one of this CRC ended; 0: begins. */
uint32_t producer_segment_body_crc(uint32_t crc, const void *part, size_t size);
/* Writes a frame's head; frame->body is not looked at. */
void producer_segment_frame_put(uint64_t first, const struct producer_segment_frame *frame,
    uint32_t body_crc, uint8_t out[PRODUCER_SEGMENT_FRAME_HEAD_SIZE]);

/* The bytes of a segment, head included (it is not looked at), and its name's number. */
struct producer_segment_image {
    const uint8_t *bytes;
    size_t size;
    uint64_t first;
};

/* {0} stands before the first frame. */
struct producer_segment_cursor {
    size_t at;                /* where reading goes on; 0: behind the head */
    uint32_t index;           /* least index that the next frame may have */
    size_t skipped_bytes;     /* unreadable, with a frame behind them; since the cursor began */
    uint64_t skipped_records; /* whose indexes are missing before a frame; likewise */
};

/* Goes to the next whole frame, over what cannot be read. Returns 0 and the frame, in the image;
 * or PRODUCER_SEGMENT_END when no whole frame follows: the cursor stays, and what is from `at` on
 * is none. */
#define PRODUCER_SEGMENT_END 1
MUST_CHECK int producer_segment_next(const struct producer_segment_image *image,
    struct producer_segment_cursor *cursor, struct producer_segment_frame *out);

void producer_segment_mark_put(uint64_t number, uint8_t out[PRODUCER_SEGMENT_MARK_SIZE]);
/* Errors: ERR_STATE. */
MUST_CHECK int producer_segment_mark_take(const uint8_t *bytes, size_t size, uint64_t *number);
