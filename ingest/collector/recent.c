/* Two generations of open addressing: marks go into the newer one; when it is full the older one is
 * forgotten. Invariant: a generation has at most RECENT_EVENTS marks in twice as many places. */
#include "ingest/collector/recent.h"

#include <pthread.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define PLACES (2 * (size_t)RECENT_EVENTS)
_Static_assert((PLACES & (PLACES - 1)) == 0, "a mask");

struct generation {
    uint64_t places[PLACES]; /* 0: free */
    size_t count;
};

struct recent {
    pthread_mutex_t lock;
    struct generation *newer;
    struct generation *older;
};

int recent_new(struct recent **out)
{
    struct recent *recent = calloc(1, sizeof *recent);
    if (!recent)
        return ERR_NO_MEMORY;
    check(pthread_mutex_init(&recent->lock, NULL) == 0);
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

uint64_t recent_mark(struct str source, struct str event_id, struct str anonymous)
{
    const struct str parts[] = {source, event_id, anonymous};
    uint8_t digest[SHA256_SIZE];
    uint8_t size[8];
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        put_be64(size, parts[i].size);
        sha256_update(&hash, str_make(size, sizeof size));
        sha256_update(&hash, parts[i]);
    }
    sha256_final(&hash, digest);
    uint64_t mark = get_be64(digest);
    return mark ? mark : 1;
}

/* The place of a mark, or the free one where it would go. */
static size_t place_of(const struct generation *generation, uint64_t mark)
{
    size_t at = (size_t)mark & (PLACES - 1); /* bytes of a SHA-256: spread already */
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
    check(pthread_mutex_lock(&recent->lock) == 0);
    for (size_t i = 0; i < count; i++)
        add(recent, marks[i]);
    check(pthread_mutex_unlock(&recent->lock) == 0);
}

bool recent_has(struct recent *recent, uint64_t mark)
{
    check(pthread_mutex_lock(&recent->lock) == 0);
    bool found = recent->newer->places[place_of(recent->newer, mark)] == mark ||
                 recent->older->places[place_of(recent->older, mark)] == mark;
    check(pthread_mutex_unlock(&recent->lock) == 0);
    return found;
}
