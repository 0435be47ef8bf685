/* Runs a fuzz target over inputs from fixed seeds, each whole, then damaged in ways that fuzzers
 * find fruitful; or over the files that are named (what libFuzzer left behind). */
#include "tests/fuzz/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 400
#define DAMAGES 25 /* of each */

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return *state >> 33;
}

/* Changes a byte, cuts, repeats a piece or writes an extreme varint. Returns the new size. */
static size_t damage(uint8_t *data, size_t size, uint64_t *state)
{
    size_t at = size ? next(state) % size : 0;
    switch (next(state) % 4) {
    case 0:
        return at;
    case 1:
        if (size + size - at > FUZZ_INPUT_SIZE_MAX)
            return size;
        memmove(data + size, data + at, size - at);
        return size + size - at;
    case 2:
        for (size_t i = at; i < size && i < at + 9; i++)
            data[i] = 0xff;
        return size;
    default:
        if (size)
            data[at] = (uint8_t)next(state);
        return size;
    }
}

static void replay(const uint8_t *data, size_t size)
{
    /* Exactly sized, so that ASan sees a read beyond the end. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay_file(const char *path)
{
    static uint8_t data[FUZZ_INPUT_SIZE_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    (void)fclose(file);
    replay(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t data[FUZZ_INPUT_SIZE_MAX], damaged[FUZZ_INPUT_SIZE_MAX];
    for (int i = 1; i < argc; i++)
        if (replay_file(argv[i]))
            return 1;
    if (argc > 1)
        return 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t state = seed;
        size_t size = fuzz_seed(seed, data);
        replay(data, size);
        for (int i = 0; i < DAMAGES; i++) {
            memcpy(damaged, data, size);
            replay(damaged, damage(damaged, size, &state));
        }
    }
    printf("%d inputs, each whole and damaged %d times\n", SEEDS, DAMAGES);
    return 0;
}
