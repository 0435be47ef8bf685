/* Compressed bodies: whatever comes, the caps hold and the error is typed. */
#include <zlib.h>

#include "ingest/collector/inflate.h"
#include "schemas/error.h"
#include "tests/fuzz/replay.h"

#define SIZE_CAP ((size_t)256 << 10)
#define GROWTH_CAP (4 * SIZE_CAP)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct inflate_limits limits = {.size_max = SIZE_CAP, .ratio_max = 200};
    for (int encoding = CONTENT_IDENTITY; encoding <= CONTENT_DEFLATE; encoding++) {
        CLEANUP(buf_free) struct buf out = {0};
        int r = inflate_body(str_make(data, size), (enum content_encoding)encoding, &limits, &out);
        check(r == 0 || r == ERR_TOO_LARGE || r == ERR_GZIP);
        check(out.capacity <= GROWTH_CAP);
        check(r != 0 || out.size <= SIZE_CAP);
    }
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const int windows[] = {MAX_WBITS + 16, MAX_WBITS, -MAX_WBITS};
    static uint8_t plain[FUZZ_INPUT_SIZE_MAX / 2];
    uint64_t state = seed;
    size_t size = (size_t)(seed * 977 % sizeof plain);
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        plain[i] = (uint8_t)(state >> 60); /* some of it compresses */
    }
    z_stream stream = {0};
    check(deflateInit2(&stream, (int)(seed % 10), Z_DEFLATED, windows[seed % 3], 8,
              Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = plain;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = FUZZ_INPUT_SIZE_MAX;
    check(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    check(deflateEnd(&stream) == Z_OK);
    return stream.total_out;
}
