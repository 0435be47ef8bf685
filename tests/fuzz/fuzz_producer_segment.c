/* Bytes of a segment of the producer's spool: frames that are read lie within it, one behind the
 * other, with rising indexes, and are put back to the same bytes; nothing is read beyond the end.
 */
#include "tests/fuzz/replay.h"

#include "ingest/producer/segment.h"
#include "schemas/error.h"

#define FIRST 7
#define RECORDS_MAX 20
#define BODY_SIZE_MAX 300

static void read_segment(const struct producer_segment_image *image)
{
    struct producer_segment_cursor cursor = {0}, before = {0};
    struct producer_segment_frame frame;
    size_t end = PRODUCER_SEGMENT_HEAD_SIZE, skipped = 0;
    uint64_t index = 0, missing = 0;
    while (producer_segment_next(image, &cursor, &frame) == 0) {
        uint8_t head[PRODUCER_SEGMENT_FRAME_HEAD_SIZE];
        size_t at = (size_t)(frame.body - image->bytes) - sizeof head;
        check(frame.size > 0 && at >= end && cursor.at == at + sizeof head + frame.size);
        check(cursor.at <= image->size && frame.index >= index);
        producer_segment_frame_put(
            image->first, &frame, producer_segment_body_crc(0, frame.body, frame.size), head);
        check(memcmp(head, image->bytes + at, sizeof head) == 0);
        skipped += at - end;
        missing += frame.index - index;
        end = cursor.at;
        index = (uint64_t)frame.index + 1;
        check(cursor.index == index);
        check(cursor.skipped_bytes == skipped && cursor.skipped_records == missing);
        before = cursor;
    }
    /* The end changes nothing and stays the end. */
    check(cursor.index == before.index && cursor.skipped_bytes == before.skipped_bytes);
    check(
        cursor.at == end && producer_segment_next(image, &cursor, &frame) == PRODUCER_SEGMENT_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct producer_segment_head head;
    uint64_t number;
    int r = producer_segment_head_take(data, size, &head);
    check(r == 0 || r == ERR_STATE);
    check(r == ERR_STATE || size >= PRODUCER_SEGMENT_HEAD_SIZE);
    const struct producer_segment_image image = {data, size, r == 0 ? head.first : FIRST};
    read_segment(&image);
    r = producer_segment_mark_take(data, size, &number);
    check(r == 0 || r == ERR_STATE);
    return 0;
}

/* A segment of some records; or a mark. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    const struct producer_segment_head head = {seed % 3 ? FIRST : seed, (int64_t)(state >> 20)};
    if (seed % 16 == 0) {
        producer_segment_mark_put(state, out);
        return PRODUCER_SEGMENT_MARK_SIZE;
    }
    producer_segment_head_put(&head, out);
    size_t at = PRODUCER_SEGMENT_HEAD_SIZE;
    uint32_t index = 0;
    for (uint64_t left = seed % RECORDS_MAX; left; left--) {
        uint8_t *body = out + at + PRODUCER_SEGMENT_FRAME_HEAD_SIZE;
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t size = 1 + (state >> 40) % BODY_SIZE_MAX;
        for (size_t i = 0; i < size; i++)
            body[i] = (uint8_t)(state >> i % 50);
        const struct producer_segment_frame frame = {
            NULL, (uint32_t)size, index++, (uint32_t)(state >> 33)};
        producer_segment_frame_put(
            head.first, &frame, producer_segment_body_crc(0, body, size), out + at);
        at += PRODUCER_SEGMENT_FRAME_HEAD_SIZE + size;
    }
    return at;
}
