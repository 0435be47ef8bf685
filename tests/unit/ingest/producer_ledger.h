/*
 * The producer's memory under the eyes of a test: a struct tabiji_allocator whose context is a
 * struct ledger.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* An allocator that counts, and fails the nth time, or from then on. Any thread. */
struct ledger {
    atomic_long live;
    atomic_long left;  /* negative: never */
    atomic_bool stays; /* each time from the nth on */
};

static inline bool fails(struct ledger *ledger)
{
    if (atomic_load(&ledger->stays) && atomic_load(&ledger->left) == 0)
        return true;
    return atomic_load(&ledger->left) >= 0 && atomic_fetch_sub(&ledger->left, 1) == 0;
}

static inline void *ledger_allocate(void *context, size_t size)
{
    struct ledger *ledger = context;
    if (fails(ledger))
        return NULL;
    ledger->live++;
    return malloc(size);
}

static inline void *ledger_resize(void *context, void *memory, size_t size)
{
    return fails(context) ? NULL : realloc(memory, size);
}

static inline void ledger_release(void *context, void *memory)
{
    ((struct ledger *)context)->live--;
    free(memory);
}
