/* A hash table over a list. Invariant: texts[0] is the empty text. */
#include "enrich/journey/intern.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define SLOTS_MIN ((size_t)1024)
#define TEXTS_MAX ((size_t)1 << 30)
#define ARENA_MAX ((size_t)1 << 36) /* its owner looks after the size */

struct intern {
    struct str *texts;
    size_t count;
    uint32_t *slots; /* numbers, 0: free; size a power of two, at most half full */
    size_t slots_size;
    struct arena arena;
};

int intern_new(struct intern **out)
{
    struct intern *intern = calloc(1, sizeof *intern);
    if (!intern)
        return ERR_NO_MEMORY;
    intern->slots_size = SLOTS_MIN;
    intern->arena.size_max = ARENA_MAX;
    intern->slots = calloc(SLOTS_MIN, sizeof *intern->slots);
    intern->texts = calloc(SLOTS_MIN / 2, sizeof *intern->texts);
    intern->count = 1;
    if (!intern->slots || !intern->texts) {
        intern_free(&intern);
        return ERR_NO_MEMORY;
    }
    *out = intern;
    return 0;
}

void intern_free(struct intern **intern)
{
    if (*intern) {
        free((*intern)->slots);
        free((*intern)->texts);
        arena_free(&(*intern)->arena);
    }
    free(*intern);
    *intern = NULL;
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t *slot_of(const struct intern *intern, struct str text)
{
    size_t at = (size_t)hash64(text) & (intern->slots_size - 1);
    while (intern->slots[at] && !str_equal(intern->texts[intern->slots[at]], text))
        at = (at + 1) & (intern->slots_size - 1);
    return &intern->slots[at];
}

static int grow(struct intern *intern)
{
    size_t size = intern->slots_size * 2;
    if (size > TEXTS_MAX)
        return ERR_NO_MEMORY;
    struct str *texts = realloc(intern->texts, size / 2 * sizeof *texts);
    if (!texts)
        return ERR_NO_MEMORY;
    intern->texts = texts;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    free(intern->slots);
    intern->slots = slots;
    intern->slots_size = size;
    for (uint32_t i = 1; i < intern->count; i++)
        *slot_of(intern, texts[i]) = i;
    return 0;
}

int intern_add(struct intern *intern, struct str text, uint32_t *number)
{
    if (text.size == 0) {
        *number = 0;
        return 0;
    }
    uint32_t *slot = slot_of(intern, text);
    if (*slot == 0) {
        if (intern->count == intern->slots_size / 2) {
            int r = grow(intern);
            if (r < 0)
                return r;
            slot = slot_of(intern, text);
        }
        int r = arena_dup(&intern->arena, text, &intern->texts[intern->count]);
        if (r < 0)
            return r;
        *slot = (uint32_t)intern->count++;
    }
    *number = *slot;
    return 0;
}

struct str intern_text(const struct intern *intern, uint32_t number)
{
    check(number < intern->count);
    return intern->texts[number];
}

size_t intern_size(const struct intern *intern)
{
    return intern->arena.size +
           intern->slots_size * (sizeof *intern->slots + sizeof(struct str) / 2);
}

void intern_clear(struct intern *intern)
{
    memset(intern->slots, 0, intern->slots_size * sizeof *intern->slots);
    intern->count = 1;
    arena_reset(&intern->arena);
}
