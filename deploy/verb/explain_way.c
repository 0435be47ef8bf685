/* See the header. */
#include "deploy/verb/explain_way.h"

#include <stdlib.h>

#include "schemas/error.h"

int search_open(struct search *search)
{
    search->items = calloc(NODES_SEEN_MAX, sizeof *search->items);
    return search->items ? 0 : ERR_NO_MEMORY;
}

void search_close(struct search *search)
{
    free(search->items);
    search->items = NULL;
}

int search_keep(void *context, const struct reader_node *node)
{
    struct kept *kept = context;
    struct arena *arena = kept->search->arena;
    struct met *met = kept->met;
    memcpy(met->person, node->person, KEY_SIZE);
    memcpy(met->root, node->root, KEY_SIZE);
    met->known = true;
    int r = arena_dup(arena, node->namespace, &met->namespace);
    if (r == 0)
        r = arena_dup(arena, node->value, &met->value);
    return r < 0 ? r : arena_dup(arena, node->why, &met->why);
}

/* What words link within a rank belongs to nobody for the reason that its first has. */
static int ask_first(struct search *search, struct met *met)
{
    struct met first = {.known = false};
    struct kept kept = {search, &first};
    if (!str_equal(met->why, STR("linked")))
        return 0;
    int r = reader_node(search->reader, met->root, search_keep, &kept);
    if (r == 0 && (str_equal(first.why, STR("shared")) || str_equal(first.why, STR("rejected"))))
        met->why = first.why;
    return r < 0 ? r : 0;
}

static int add(struct search *search, const uint8_t node[KEY_SIZE], const struct reader_link *link)
{
    for (size_t i = 0; i < search->count; i++)
        if (memcmp(search->items[i].node, node, KEY_SIZE) == 0)
            return 0;
    for (size_t i = 0; i < search->without_count; i++)
        if (memcmp(search->without[i], node, KEY_SIZE) == 0)
            return 0;
    if (search->count == NODES_SEEN_MAX)
        return ERR_TOO_MANY;
    struct met *met = &search->items[search->count];
    *met = (struct met){.from = link ? search->at : NO_NODE};
    memcpy(met->node, node, KEY_SIZE);
    struct kept kept = {search, met};
    int r = reader_node(search->reader, node, search_keep, &kept);
    if (r == 0)
        r = ask_first(search, met);
    if (r < 0)
        return r;
    if (search->within && link &&
        (!met->known || memcmp(met->person, search->within, KEY_SIZE) != 0))
        return 0;
    if (link) {
        met->events = link->events;
        met->first_at = link->first_at;
        met->last_at = link->last_at;
        met->parted = link->parted;
        met->rotation = link->rotation;
        met->word = link->word;
        r = arena_dup(search->arena, link->first_id, &met->first_id);
        if (r == 0)
            r = arena_dup(search->arena, link->last_id, &met->last_id);
        if (r == 0)
            r = arena_dup(search->arena, link->word.event_id, &met->word.event_id);
        if (r == 0)
            r = arena_dup(search->arena, link->word.reason, &met->word.reason);
    }
    search->count += r >= 0;
    return r < 0 ? r : 0;
}

static int on_link(void *context, const struct reader_link *link)
{
    struct search *search = context;
    const uint8_t *self = search->items[search->at].node;
    bool weaker = memcmp(link->weaker, self, KEY_SIZE) == 0;
    if (search->within && link->parted)
        return 0; /* it does not make them one */
    return add(search, weaker ? link->stronger : link->weaker, link);
}

int search_way(struct search *search, const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE],
    const uint8_t *within, size_t *end)
{
    search->count = 0;
    search->within = within;
    *end = NO_NODE;
    int r = add(search, a, NULL);
    for (search->at = 0; r == 0 && search->at < search->count; search->at++) {
        if (memcmp(search->items[search->at].node, b, KEY_SIZE) == 0) {
            *end = search->at;
            return 0;
        }
        r = reader_links(search->reader, search->items[search->at].node, on_link, search);
    }
    return r == ERR_TOO_MANY ? 0 : r;
}

static int keep_sum(void *context, const struct reader_link *link)
{
    struct kept *kept = context;
    struct arena *arena = kept->search->arena;
    struct met *met = kept->met;
    met->events = link->events;
    met->first_at = link->first_at;
    met->last_at = link->last_at;
    int r = arena_dup(arena, link->first_id, &met->first_id);
    return r < 0 ? r : arena_dup(arena, link->last_id, &met->last_id);
}

int search_sum_up(struct search *search, size_t end)
{
    int r = 0;
    for (size_t at = end; r >= 0 && at != NO_NODE; at = search->items[at].from) {
        struct met *met = &search->items[at];
        struct kept kept = {search, met};
        if (met->from != NO_NODE && !met->rotation)
            r = reader_pair_sum(
                search->reader, search->items[met->from].node, met->node, keep_sum, &kept);
    }
    return r < 0 ? r : 0;
}

void way_trace(const struct search *search, size_t end, struct way *out)
{
    out->count = 0;
    for (size_t at = end; at != NO_NODE && out->count < STEPS_MAX; at = search->items[at].from)
        out->count++;
    for (size_t at = end, i = out->count; i > 0; at = search->items[at].from)
        out->steps[--i] = at;
}
