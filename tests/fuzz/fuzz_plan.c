/* A writer's schema and bytes, both from outside: the first byte says which of our records wants to
 * read, then come the schema's text, a NUL and the bytes. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>

#include "schemas/avro_plan.h"
#include "schemas/error.h"
#include "tests/unit/schemas/record_random.h"
#include "tests/unit/schemas/schema_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    if (!nul || nul == data)
        return 0;
    const struct avro_type *type = schema_rows[data[0] % SCHEMA_ROWS].type;
    struct str text = str_make(data + 1, (size_t)(nul - data) - 1);
    struct str bytes = str_make(nul + 1, size - (size_t)(nul - data) - 1);
    char why[WRITER_WHY_SIZE];
    CLEANUP(avro_plan_free) struct avro_plan *plan = NULL;
    int r = avro_plan_new(&plan, text, type, why);
    check((r == 0) == (plan != NULL));
    if (r < 0)
        return 0;
    struct arena arena = {0};
    void *record = arena_alloc(&arena, type->size);
    check(record);
    r = avro_plan_decode(plan, record, bytes, &arena);
    if (r == 0) {
        CLEANUP(buf_free) struct buf again = {0};
        r = type->encode(record, &again);
        check(r == 0);
    }
    arena_free(&arena);
    return 0;
}

/* A schema of ours, for every other seed with one more field, and bytes that fit it. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const char more[] = "{\"name\":\"new\",\"type\":[\"null\",\"int\"]},";
    struct random random = {seed};
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf input = {0};
    const struct schema_row *row = &schema_rows[(seed / 2) % SCHEMA_ROWS];
    const char *fields = strstr(row->text, "\"fields\":[") + strlen("\"fields\":[");
    do {
        input.size = 0;
        arena_reset(&arena);
        void *record = arena_alloc(&arena, row->type->size);
        check(record);
        record_random(row->type, record, &random, &arena);
        int r = buf_appendf(&input, "%c%.*s%s%s%c%s", (int)(seed / 2 % SCHEMA_ROWS) + 'H',
            (int)(fields - row->text), row->text, seed % 2 ? more : "", fields, 0,
            seed % 2 ? "\x02\x02" : "");
        if (r == 0)
            r = row->type->encode(record, &input);
        check(r == 0);
    } while (input.size > FUZZ_INPUT_SIZE_MAX / 2);
    memcpy(out, input.data, input.size);
    arena_free(&arena);
    return input.size;
}
