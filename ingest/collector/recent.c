/* Two generations of open addressing: marks go into the newer one; when it is full the older one is
 * forgotten. Invariant: a generation has at most RECENT_EVENTS marks in twice as many places. */
#include "ingest/collector/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

#include "schemas/error.h"

#define PLACES (2 * (size_t)RECENT_EVENTS)
_Static_assert((PLACES & (PLACES - 1)) == 0, "a mask");

struct generation {
    uint64_t places[PLACES]; /* 0: free */
    size_t count;
};

struct recent {
    uint64_t seed; /* random: marks cannot be made to meet from outside */
    _Atomic bool any;
    pthread_mutex_t lock; /* of the generations */
    struct generation *newer;
    struct generation *older;
};

int recent_new(struct recent **out)
{
    struct recent *recent = calloc(1, sizeof *recent);
    if (!recent)
        return ERR_NO_MEMORY;
    check(pthread_mutex_init(&recent->lock, NULL) == 0);
    check(getrandom(&recent->seed, sizeof recent->seed, 0) == sizeof recent->seed);
    recent->newer = calloc(1, sizeof *recent->newer);
    recent->older = calloc(1, sizeof *recent->older);
    if (!recent->newer || !recent->older) {
        recent_free(&recent);
        return ERR_NO_MEMORY;
    }
    *out = recent;
    return 0;
}

void recent_free(struct recent **recent)
{
    if (!*recent)
        return;
    (void)pthread_mutex_destroy(&(*recent)->lock);
    free((*recent)->newer);
    free((*recent)->older);
    free(*recent);
    *recent = NULL;
}

uint64_t recent_mark(
    const struct recent *recent, struct str source, struct str event_id, struct str anonymous)
{
    uint64_t mark = XXH3_64bits_withSeed(source.data, source.size, recent->seed);
    mark = XXH3_64bits_withSeed(event_id.data, event_id.size, mark);
    mark = XXH3_64bits_withSeed(anonymous.data, anonymous.size, mark);
    return mark ? mark : 1;
}

/* The place of a mark, or the free one where it would go. */
static size_t place_of(const struct generation *generation, uint64_t mark)
{
    size_t at = (size_t)mark & (PLACES - 1); /* bits of a hash: spread already */
    while (generation->places[at] && generation->places[at] != mark)
        at = (at + 1) & (PLACES - 1);
    return at;
}

static void add(struct recent *recent, uint64_t mark)
{
    if (recent->newer->count == RECENT_EVENTS) {
        struct generation *emptied = recent->older;
        memset(emptied, 0, sizeof *emptied);
        recent->older = recent->newer;
        recent->newer = emptied;
    }
    size_t at = place_of(recent->newer, mark);
    if (recent->newer->places[at] == 0)
        recent->newer->count++;
    recent->newer->places[at] = mark;
}

void recent_add(struct recent *recent, const uint64_t *marks, size_t count)
{
    if (count == 0)
        return;
    atomic_store(&recent->any, true);
    check(pthread_mutex_lock(&recent->lock) == 0);
    for (size_t i = 0; i < count; i++)
        add(recent, marks[i]);
    check(pthread_mutex_unlock(&recent->lock) == 0);
}

bool recent_has(struct recent *recent, uint64_t mark)
{
    if (!atomic_load(&recent->any))
        return false;
    check(pthread_mutex_lock(&recent->lock) == 0);
    bool found = recent->newer->places[place_of(recent->newer, mark)] == mark ||
                 recent->older->places[place_of(recent->older, mark)] == mark;
    check(pthread_mutex_unlock(&recent->lock) == 0);
    return found;
}
