/* Bytes from outside as any of the records: the first byte says which, the rest is decoded. What
 * decodes is encoded, decoded again and equal; skip() judges as decode() does. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>

#include "tests/unit/schemas/record_random.h"
#include "tests/unit/schemas/schema_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct avro_type *type = schema_rows[data[0] % SCHEMA_ROWS].type;
    struct str bytes = str_make(data + 1, size - 1);
    struct arena arena = {0};
    void *first = arena_alloc(&arena, type->size), *second = arena_alloc(&arena, type->size);
    check(first && second);
    int r = type->decode(first, bytes, &arena);
    struct avro_reader reader = avro_reader_of(bytes);
    int skipped = type->skip_record(&reader);
    check((r == 0) == (skipped == 0 && reader.at == reader.end));
    if (r == 0) {
        CLEANUP(buf_free) struct buf again = {0};
        r = type->encode(first, &again);
        check(r == 0);
        r = type->decode(second, buf_str(&again), &arena);
        check(r == 0);
        check(record_equal(type, first, second));
    }
    arena_free(&arena);
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    struct random random = {seed};
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf bytes = {0};
    out[0] = (uint8_t)(seed % SCHEMA_ROWS);
    const struct avro_type *type = schema_rows[out[0]].type;
    do {
        buf_clear(&bytes);
        arena_reset(&arena);
        void *record = arena_alloc(&arena, type->size);
        check(record);
        record_random(type, record, &random, &arena);
        int r = type->encode(record, &bytes);
        check(r == 0);
    } while (bytes.size >= FUZZ_INPUT_SIZE_MAX / 2);
    memcpy(out + 1, bytes.data, bytes.size);
    arena_free(&arena);
    return bytes.size + 1;
}
