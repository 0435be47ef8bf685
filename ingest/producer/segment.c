/* Nothing that a size says is believed before the CRC of its frame's head was right. */
#include "ingest/producer/segment.h"

#include <string.h>
#include <zlib.h>

#include "schemas/error.h"

#define SEGMENT_MAGIC "tabijips"
#define MARK_MAGIC "tabijipm"
#define MAGIC_SIZE 8
#define VERSION 1u
#define FRAME_CRC_AT 16 /* in a frame's head: what is before it is covered */

static uint32_t crc_of(const void *bytes, size_t size)
{
    return (uint32_t)crc32_z(0, bytes, size);
}

void producer_segment_head_put(
    const struct producer_segment_head *head, uint8_t out[PRODUCER_SEGMENT_HEAD_SIZE])
{
    memcpy(out, SEGMENT_MAGIC, MAGIC_SIZE);
    put_le32(out + 8, VERSION);
    put_le64(out + 12, head->first);
    put_le64(out + 20, (uint64_t)head->created_ms);
    put_le32(out + 28, crc_of(out, 28));
}

int producer_segment_head_take(const uint8_t *bytes, size_t size, struct producer_segment_head *out)
{
    if (size < PRODUCER_SEGMENT_HEAD_SIZE || memcmp(bytes, SEGMENT_MAGIC, MAGIC_SIZE) != 0 ||
        get_le32(bytes + 8) != VERSION || get_le32(bytes + 28) != crc_of(bytes, 28))
        return ERR_STATE;
    *out = (struct producer_segment_head){get_le64(bytes + 12), (int64_t)get_le64(bytes + 20)};
    return 0;
}

uint32_t producer_segment_body_crc(uint32_t crc, const void *part, size_t size)
{
    return (uint32_t)crc32_z(crc, part, size);
}

/* Of the segment's number and the frame's first sixteen bytes. */
static uint32_t frame_crc(uint64_t first, const uint8_t *frame)
{
    uint8_t covered[8 + FRAME_CRC_AT];
    put_le64(covered, first);
    memcpy(covered + 8, frame, FRAME_CRC_AT);
    return crc_of(covered, sizeof covered);
}

void producer_segment_frame_put(uint64_t first, const struct producer_segment_frame *frame,
    uint32_t body_crc, uint8_t out[PRODUCER_SEGMENT_FRAME_HEAD_SIZE])
{
    put_le32(out, frame->size);
    put_le32(out + 4, frame->index);
    put_le32(out + 8, frame->delay_ms);
    put_le32(out + 12, body_crc);
    put_le32(out + FRAME_CRC_AT, frame_crc(first, out));
}

/* What a place in an image is. */
enum place {
    PLACE_FRAME,
    PLACE_BODY_DAMAGED, /* a frame's head, its size to be believed */
    PLACE_NOTHING,
};

static enum place look(const struct producer_segment_image *image, size_t at, uint32_t index,
    struct producer_segment_frame *out)
{
    const uint8_t *bytes = image->bytes + at;
    if (image->size - at <= PRODUCER_SEGMENT_FRAME_HEAD_SIZE)
        return PLACE_NOTHING;
    size_t left = image->size - at - PRODUCER_SEGMENT_FRAME_HEAD_SIZE;
    *out = (struct producer_segment_frame){
        .body = bytes + PRODUCER_SEGMENT_FRAME_HEAD_SIZE,
        .size = get_le32(bytes),
        .index = get_le32(bytes + 4),
        .delay_ms = get_le32(bytes + 8),
    };
    /* The cheap ones first: most places of a damaged stretch end here. */
    if (out->size == 0 || out->size > left || out->index < index ||
        out->index > image->size / PRODUCER_SEGMENT_FRAME_HEAD_SIZE ||
        get_le32(bytes + FRAME_CRC_AT) != frame_crc(image->first, bytes))
        return PLACE_NOTHING;
    return get_le32(bytes + 12) == crc_of(out->body, out->size) ? PLACE_FRAME : PLACE_BODY_DAMAGED;
}

int producer_segment_next(const struct producer_segment_image *image,
    struct producer_segment_cursor *cursor, struct producer_segment_frame *out)
{
    struct producer_segment_frame frame;
    if (cursor->at == 0)
        cursor->at = PRODUCER_SEGMENT_HEAD_SIZE;
    for (size_t at = cursor->at; at < image->size;) {
        switch (look(image, at, cursor->index, &frame)) {
        case PLACE_FRAME:
            cursor->skipped_bytes += at - cursor->at;
            cursor->skipped_records += frame.index - cursor->index;
            cursor->at = at + PRODUCER_SEGMENT_FRAME_HEAD_SIZE + frame.size;
            cursor->index = frame.index + 1;
            *out = frame;
            return 0;
        case PLACE_BODY_DAMAGED:
            at += PRODUCER_SEGMENT_FRAME_HEAD_SIZE + frame.size;
            break;
        case PLACE_NOTHING:
            at++;
            break;
        }
    }
    return PRODUCER_SEGMENT_END;
}

void producer_segment_mark_put(uint64_t number, uint8_t out[PRODUCER_SEGMENT_MARK_SIZE])
{
    memcpy(out, MARK_MAGIC, MAGIC_SIZE);
    put_le64(out + MAGIC_SIZE, number);
    put_le32(out + 16, crc_of(out, 16));
}

int producer_segment_mark_take(const uint8_t *bytes, size_t size, uint64_t *number)
{
    if (size < PRODUCER_SEGMENT_MARK_SIZE || memcmp(bytes, MARK_MAGIC, MAGIC_SIZE) != 0 ||
        get_le32(bytes + 16) != crc_of(bytes, 16))
        return ERR_STATE;
    *number = get_le64(bytes + MAGIC_SIZE);
    return 0;
}
