/* Bytes of a spool's segment: what is read is put back to the same bytes, and nothing is read
 * beyond the end. */
#include "tests/fuzz/replay.h"

#include "ingest/spool/spool_frame.h"
#include "schemas/error.h"

#define RECORDS_MAX 8
#define PIECE_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_mark mark;
    struct str bytes = str_make(data, size);
    int r = spool_head_take(bytes);
    check(r == 0 || r == SPOOL_CUT || r == ERR_STATE);
    check((r == SPOOL_CUT) == (size < SPOOL_HEAD_SIZE));
    r = spool_mark_take(bytes, &mark);
    check(r == 0 || r == ERR_STATE);
    for (size_t at = SPOOL_HEAD_SIZE; at <= size;) {
        static uint8_t again[FUZZ_INPUT_SIZE_MAX];
        struct spool_record record;
        size_t frame, wanted;
        r = spool_frame_take(str_make(data + at, size - at), &record, &frame);
        check(r == 0 || r == SPOOL_CUT || r == ERR_STATE);
        if (r != 0)
            break;
        check(frame <= size - at && frame >= SPOOL_FRAME_HEAD_SIZE + SPOOL_BODY_HEAD_SIZE);
        r = spool_frame_size(&record, &wanted);
        check(r == 0 && wanted == frame);
        spool_frame_put(&record, again);
        check(memcmp(again, data + at, frame) == 0);
        at += frame;
    }
    return 0;
}

/* A segment of some records. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static char text[2 * PIECE_MAX];
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    spool_head_put(out);
    size_t at = SPOOL_HEAD_SIZE;
    for (uint64_t left = seed % RECORDS_MAX; left; left--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        struct spool_record record = {
            .topic = state >> 63 ? TOPIC_EVENTS : TOPIC_REJECTED,
            .schema = (uint32_t)(state >> 30),
            .key = str_make(text, (state >> 40) % PIECE_MAX),
            .value = str_make(text + 1, (state >> 50) % PIECE_MAX),
        };
        size_t size;
        text[(state >> 20) % sizeof text] = (char)(state >> 12);
        int r = spool_frame_size(&record, &size);
        check(r == 0);
        spool_frame_put(&record, out + at);
        at += size;
    }
    return at;
}
