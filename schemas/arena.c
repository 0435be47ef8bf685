/* Bump allocation in blocks that double. Invariant: next..end lies within the newest block. */
#include "schemas/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "schemas/error.h"

#define BLOCK_SIZE_MIN ((size_t)4096)

struct arena_block {
    struct arena_block *older;
    size_t size;
    _Alignas(16) char data[];
};

void memory_expect_use(void *memory, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(page - 1);
    if (memory && size >= MEMORY_LARGE && begin < end)
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE); /* a hint: refused, all works */
}

static size_t block_size_max(const struct arena *arena)
{
    return arena->block_size_max ? arena->block_size_max : ARENA_BLOCK_SIZE_MAX_DEFAULT;
}

void *arena_alloc_slow(struct arena *arena, size_t size)
{
    size_t max = arena->size_max ? arena->size_max : ARENA_SIZE_MAX_DEFAULT;
    size_t block_max = block_size_max(arena);
    size_t need = (size + 15) & ~(size_t)15;
    if (need < size || need > max)
        return NULL;
    size_t room = (size_t)(arena->end - arena->next);
    if (!arena->next || need > room) {
        size_t block_size = arena->block ? arena->block->size * 2 : BLOCK_SIZE_MIN;
        if (block_size > block_max)
            block_size = block_max;
        if (block_size < need)
            block_size = need;
        if (block_size > max - (arena->size < max ? arena->size : max))
            return NULL;
        struct arena_block *block = malloc(sizeof *block + block_size);
        if (!block)
            return NULL;
        memory_expect_use(block, sizeof *block + block_size);
        *block = (struct arena_block){.older = arena->block, .size = block_size};
        arena->block = block;
        arena->size += block_size;
        arena->next = block->data;
        arena->end = block->data + block_size;
    }
    void *p = arena->next;
    arena->next += need;
    return p;
}

int arena_dup(struct arena *arena, struct str bytes, struct str *out)
{
    char *copy = arena_alloc(arena, bytes.size);
    if (!copy)
        return ERR_NO_MEMORY;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    *out = str_make(copy, bytes.size);
    return 0;
}

/* Frees all blocks but the one to keep (may be NULL), which then stands alone. */
static void free_blocks(struct arena *arena, struct arena_block *keep)
{
    struct arena_block *block = arena->block;
    while (block) {
        struct arena_block *older = block->older;
        if (block != keep)
            free(block);
        block = older;
    }
    arena->block = keep;
    arena->size = keep ? keep->size : 0;
    arena->next = keep ? keep->data : NULL;
    arena->end = keep ? keep->data + keep->size : NULL;
    if (keep)
        keep->older = NULL;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *largest = NULL;
    for (struct arena_block *b = arena->block; b; b = b->older)
        if ((!arena->block_size_max || b->size <= arena->block_size_max) &&
            (!largest || b->size > largest->size))
            largest = b;
    free_blocks(arena, largest);
}

void arena_free(struct arena *arena)
{
    free_blocks(arena, NULL);
}
