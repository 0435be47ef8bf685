/*
 * The way over links from one identifier to another. Private to `tabiji explain`.
 */
#pragma once

#include "schemas/arena.h"
#include "sinks/sqlite/read.h"

#define NODES_SEEN_MAX 20000
#define NO_NODE SIZE_MAX
#define WITHOUT_MAX 32

/* A node that the search has met, and the link that led to it. */
struct met {
    uint8_t node[KEY_SIZE];
    size_t from; /* index; NO_NODE: the start */
    int64_t events, first_at, last_at;
    struct str first_id, last_id;
    struct str namespace, value, why;
    uint8_t person[KEY_SIZE];
    uint8_t root[KEY_SIZE];
    bool known;
    bool parted;             /* from where it was met, by a word */
    struct reader_word word; /* of the two; sign 0: nothing was said */
    bool rotation;           /* from where it was met: another pseudonym of the same value */
};

struct search {
    struct reader *reader;
    struct arena *arena;
    struct met *items;
    size_t count;
    size_t at;                              /* whose links are being read */
    const uint8_t *within;                  /* only identifiers of this person; NULL: of any */
    uint8_t without[WITHOUT_MAX][KEY_SIZE]; /* and none of these */
    size_t without_count;
};

struct kept {
    struct search *search;
    struct met *met;
};

/* Gives it room; reader and arena are set. Errors: ERR_NO_MEMORY. */
MUST_CHECK int search_open(struct search *search);
void search_close(struct search *search);

/* Of reader_node(): fills a met; context is a struct kept. */
int search_keep(void *context, const struct reader_node *node);

/* The shortest way from a to b, breadth first; within: over identifiers of this person alone, and
 * no link that a word parts; NULL: over any. *end: index of b among the items, or NO_NODE. Errors:
 * of the reader; ERR_NO_MEMORY. */
MUST_CHECK int search_way(struct search *search, const uint8_t a[KEY_SIZE],
    const uint8_t b[KEY_SIZE], const uint8_t *within, size_t *end);

/* What each link of the way to end rests on: also events that show the two under other pseudonyms
 * of them, as those before a rotation of the key do. Errors: of the reader. */
MUST_CHECK int search_sum_up(struct search *search, size_t end);

/* The way, from a to b: each row's link leads to it from the row before. */
#define STEPS_MAX 256
struct way {
    size_t steps[STEPS_MAX]; /* of the search's items */
    size_t count;
};

void way_trace(const struct search *search, size_t end, struct way *out);
