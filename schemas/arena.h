/*
 * Memory that is freed all at once: what decoding one record or one batch needs.
 * Not thread-safe. {0} is an empty arena with ARENA_SIZE_MAX_DEFAULT; arena_free() ends it.
 */
#pragma once

#include "schemas/bytes.h"

#define ARENA_SIZE_MAX_DEFAULT ((size_t)1 << 30)
#define ARENA_BLOCK_SIZE_MAX_DEFAULT ((size_t)1 << 24)

struct arena_block;
struct arena {
    struct arena_block *block; /* newest */
    char *next;
    char *end;
    size_t size;     /* bytes held in blocks */
    size_t size_max; /* 0: ARENA_SIZE_MAX_DEFAULT */
    /* Blocks double up to this, and no larger one is kept for the next use. 0: doubling ends at
     * ARENA_BLOCK_SIZE_MAX_DEFAULT, and any is kept. */
    size_t block_size_max;
};

/* From this size on memory is worth a hint. */
#define MEMORY_LARGE ((size_t)4 << 20)

/* Hints that all of this fresh memory, when it is MEMORY_LARGE or more, will be used soon: in huge
 * pages, where the system has them, a batch's first touch of it costs a fifth. The memory stays the
 * caller's and is freed as before. Accepts NULL. Threads: any. */
void memory_expect_use(void *memory, size_t size);

/* The slow path of arena_alloc(). */
void *arena_alloc_slow(struct arena *arena, size_t size);

/* Returns `size` uninitialised bytes aligned to 16, valid until arena_reset() or arena_free();
 * NULL when out of memory or over size_max (callers answer ERR_NO_MEMORY). */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
    size_t room = (size_t)(arena->end - arena->next);
    size_t need = (size + 15) & ~(size_t)15;
    if (__builtin_expect(need < size || need > room || !arena->next, 0))
        return arena_alloc_slow(arena, size);
    void *p = arena->next;
    arena->next += need;
    return p;
}

/* Gives the end of the newest allocation back: of its `size` bytes the first `used` stay. Does
 * nothing when another allocation came between. */
static inline void arena_trim(struct arena *arena, const void *newest, size_t size, size_t used)
{
    const char *begin = (const char *)newest;
    if (begin + ((size + 15) & ~(size_t)15) == arena->next)
        arena->next -= ((size + 15) & ~(size_t)15) - ((used + 15) & ~(size_t)15);
}

/* Copies bytes into the arena. Errors: ERR_NO_MEMORY, *out unchanged. */
MUST_CHECK int arena_dup(struct arena *arena, struct str bytes, struct str *out);

/* Forgets everything, keeps the largest block (up to block_size_max) for the next use. */
void arena_reset(struct arena *arena);

/* Frees everything; usable again as empty. */
void arena_free(struct arena *arena);
