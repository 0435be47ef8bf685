/*
 * Which events go by erasures of what rests: a plain computation over the set of events, their
 * phases and the meaning of identity; enrich/identity/evidence.h and erasure.h say it in words.
 */
#pragma once

#include "tests/property/meaning.h"

/* What erasures have left behind at an identifier. */
struct departed_mark {
    uint8_t node[KEY_SIZE];
    uint8_t root[KEY_SIZE]; /* of the person that was erased last */
    int64_t at;
    bool was_generic; /* when it was suppressed first */
    bool renewed;     /* by the erasure in hand */
};

/* An identifier that events of others, which stood when the mark was made and do since, show beside
 * its node. */
struct departed_pair {
    size_t mark;
    uint8_t other[KEY_SIZE];
};
#define DEPARTED_PAIRS_MAX 4096

struct departed_lift {
    uint8_t node[KEY_SIZE];
    int64_t at;
};

struct departed {
    bool stands[CASE_EVENTS_MAX];
    bool forgotten[CASE_EVENTS_MAX];       /* the event's signature is, */
    int64_t forgotten_at[CASE_EVENTS_MAX]; /* by erasures up to then; INT64_MAX: for good */
    int64_t lifted_at[CASE_EVENTS_MAX];    /* the lift under which the event came, or 0 */
    struct departed_lift lifts[CASE_EVENTS_MAX];
    size_t lifts_count;
    struct departed_mark marks[CASE_NODES_MAX];
    size_t marks_count;
    struct departed_pair pairs[DEPARTED_PAIRS_MAX];
    size_t pairs_count;
    uint8_t generic[CASE_NODES_MAX][KEY_SIZE]; /* ascending; once generic, always generic */
    size_t generic_count;
    bool stopped; /* an event was taken back behind its first node, which had let it link: whether
                   * these links made anything generic before, and so what came of other events, is
                   * a matter of order */
    size_t seat[CASE_EVENTS_MAX]; /* which node of its chain; that behind the last: it stays */
    struct meaning meaning;
};

/* Phase by phase: the events come, then its erasures and lifts, each when all is quiet. */
void departed_find(struct departed *out, const struct identity_case *given);
