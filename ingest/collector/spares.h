/*
 * What one request needs and the next can use again: parsers, and the memory of arenas, which
 * would otherwise come fresh from the kernel, cleared page by page.
 */
#pragma once

#include <pthread.h>

#include "schemas/arena.h"
#include "schemas/json.h"

#define SPARES_PARSERS_MAX 256
#define SPARES_ARENAS_MAX 128
#define SPARES_BLOCK_SIZE_MAX ((size_t)256 << 10) /* of an arena that is kept */

/* A value type; threads: any, once it is initialised. */
struct spares {
    pthread_mutex_t lock;
    struct json_parser *parsers[SPARES_PARSERS_MAX];
    size_t parsers_count;
    struct arena arenas[SPARES_ARENAS_MAX]; /* empty but for a block each */
    size_t arenas_count;
};

void spares_init(struct spares *spares);

/* Frees what is kept; spares_init() makes it usable again. */
void spares_fini(struct spares *spares);

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int spares_take_parser(struct spares *spares, struct json_parser **out);

/* Keeps or frees it; leaves NULL. */
void spares_give_parser(struct spares *spares, struct json_parser **parser);

/* An empty arena that takes up to size_max bytes, with memory that is kept, if there is. */
struct arena spares_take_arena(struct spares *spares, size_t size_max);

/* Forgets what is in the arena, which stays usable as an empty one; keeps or frees its memory. */
void spares_give_arena(struct spares *spares, struct arena *arena);
