/* See the header. Layer i has LAYER_BLOCKS_MIN << 2i blocks of 512 bits; a key sets BITS_A_KEY of
 * them in one block, and a layer takes KEYS_A_BLOCK keys a block. */
#include "ingest/stream/key_filter.h"

#include <stdlib.h>

#include "schemas/arena.h"

#define LAYER_BLOCKS_MIN ((size_t)1 << 14) /* 1 MiB, then 4, 16, 64 */
#define BLOCK_WORDS 8                      /* 3 bits choose one, 6 a bit in it */
#define BLOCK_BYTES (BLOCK_WORDS * sizeof(uint64_t))
#define BITS_A_KEY 6
#define KEYS_A_BLOCK 40 /* 13 bits a key */
#define MIX 0x9e3779b97f4a7c15u

static size_t layer_blocks(size_t layer)
{
    return LAYER_BLOCKS_MIN << 2 * layer;
}

static size_t block_of(uint64_t hash, size_t layer)
{
    return (size_t)(hash & (layer_blocks(layer) - 1)) * BLOCK_WORDS;
}

/* Whether one more layer is allowed. */
static bool layer_fits(const struct key_filter *filter)
{
    size_t bytes = 0;
    for (size_t layer = 0; layer <= filter->layers_count; layer++)
        bytes += layer_blocks(layer) * BLOCK_BYTES;
    return filter->layers_count < KEY_FILTER_LAYERS_MAX &&
           (filter->bytes_max == 0 || bytes <= filter->bytes_max);
}

static bool add_layer(struct key_filter *filter)
{
    size_t layer = filter->layers_count;
    uint64_t *words = layer_fits(filter) ? calloc(layer_blocks(layer), BLOCK_BYTES) : NULL;
    if (!words) {
        key_filter_clear(filter);
        filter->given_up = true;
        return false;
    }
    memory_expect_use(words, layer_blocks(layer) * BLOCK_BYTES);
    filter->layers[filter->layers_count++] = words;
    filter->room = layer_blocks(layer) * KEYS_A_BLOCK;
    return true;
}

void key_filter_begin(struct key_filter *filter)
{
    (void)add_layer(filter);
}

void key_filter_add(struct key_filter *filter, uint64_t hash)
{
    if (filter->given_up || (filter->room == 0 && !add_layer(filter)))
        return;
    size_t layer = filter->layers_count - 1;
    uint64_t *block = filter->layers[layer] + block_of(hash, layer);
    uint64_t bits = hash * MIX, grown = 0; /* its upper bits follow from all of the hash */
    for (int i = 0; i < BITS_A_KEY; i++, bits <<= 9) {
        uint64_t *word = &block[bits >> 61];
        uint64_t bit = (uint64_t)1 << (bits >> 55 & 63);
        grown |= bit & ~*word;
        *word |= bit;
    }
    filter->room -= grown != 0;
}

bool key_filter_may_have(const struct key_filter *filter, uint64_t hash)
{
    if (filter->given_up)
        return true;
    for (size_t layer = filter->layers_count; layer-- > 0;) {
        const uint64_t *block = filter->layers[layer] + block_of(hash, layer);
        uint64_t bits = hash * MIX, lacking = 0;
        for (int i = 0; i < BITS_A_KEY; i++, bits <<= 9)
            lacking |= ~block[bits >> 61] >> (bits >> 55 & 63) & 1;
        if (!lacking)
            return true;
    }
    return false;
}

void key_filter_clear(struct key_filter *filter)
{
    for (size_t i = 0; i < filter->layers_count; i++)
        free(filter->layers[i]);
    *filter = (struct key_filter){.bytes_max = filter->bytes_max};
}
