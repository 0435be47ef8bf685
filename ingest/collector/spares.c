/* Two stacks under one lock: what was used last is taken first, while caches have it. */
#include "ingest/collector/spares.h"

void spares_init(struct spares *spares)
{
    *spares = (struct spares){.parsers_count = 0};
    check(pthread_mutex_init(&spares->lock, NULL) == 0);
}

void spares_fini(struct spares *spares)
{
    for (size_t i = 0; i < spares->parsers_count; i++)
        json_parser_free(&spares->parsers[i]);
    for (size_t i = 0; i < spares->arenas_count; i++)
        arena_free(&spares->arenas[i]);
    (void)pthread_mutex_destroy(&spares->lock);
}

int spares_take_parser(struct spares *spares, struct json_parser **out)
{
    struct json_parser *parser = NULL;
    check(pthread_mutex_lock(&spares->lock) == 0);
    if (spares->parsers_count)
        parser = spares->parsers[--spares->parsers_count];
    check(pthread_mutex_unlock(&spares->lock) == 0);
    if (!parser)
        return json_parser_new(out);
    *out = parser;
    return 0;
}

void spares_give_parser(struct spares *spares, struct json_parser **parser)
{
    check(pthread_mutex_lock(&spares->lock) == 0);
    if (spares->parsers_count < SPARES_PARSERS_MAX) {
        spares->parsers[spares->parsers_count++] = *parser;
        *parser = NULL;
    }
    check(pthread_mutex_unlock(&spares->lock) == 0);
    json_parser_free(parser);
}

struct arena spares_take_arena(struct spares *spares, size_t size_max)
{
    struct arena arena = {.block_size_max = SPARES_BLOCK_SIZE_MAX};
    check(pthread_mutex_lock(&spares->lock) == 0);
    if (spares->arenas_count)
        arena = spares->arenas[--spares->arenas_count];
    check(pthread_mutex_unlock(&spares->lock) == 0);
    arena.size_max = size_max;
    return arena;
}

void spares_give_arena(struct spares *spares, struct arena *arena)
{
    struct arena given = *arena;
    *arena = (struct arena){.size_max = given.size_max, .block_size_max = given.block_size_max};
    arena_reset(&given);
    if (!given.block)
        return;
    check(pthread_mutex_lock(&spares->lock) == 0);
    if (spares->arenas_count < SPARES_ARENAS_MAX) {
        spares->arenas[spares->arenas_count++] = given;
        given = (struct arena){.size_max = 0};
    }
    check(pthread_mutex_unlock(&spares->lock) == 0);
    arena_free(&given);
}
