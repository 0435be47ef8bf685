/*
 * The live view: what becomes of events, shown to the few who watch while it happens.
 *
 *     requests ─▶ tail_pick(), tail_put() ─▶ ring ─▶ tail_read() by each viewer's connection
 *                                             ▲ tail's thread: wakes viewers, asks later fates
 *
 * 1. Nobody watches: one atomic load a request.
 * 2. Whoever watches slows no request: the ring is bounded, and so is what each is shown a second.
 *    What a viewer did not get is counted, and the viewer is told.
 * 3. A viewer that is gone is waited for TAIL_LINGER_MS: it comes back by the id of the last item
 *    that it had, and goes on from there.
 */
#pragma once

#include <sys/types.h>

#include "ingest/metrics/metrics.h"
#include "schemas/event_json.h"
#include "schemas/hash.h"

#define TAIL_VIEWERS_MAX 16
#define TAIL_ENTRIES_MAX 4096            /* items and gaps that are kept */
#define TAIL_BYTES_MAX ((size_t)8 << 20) /* of their texts */
#define TAIL_SECOND_MAX 500              /* items that each is shown a second */
#define TAIL_FOLLOWED_MAX 512            /* events whose later fate is asked for */
#define TAIL_FOLLOW_MS 30000             /* for so long */
#define TAIL_LINGER_MS 30000
#define TAIL_BEAT_MS 3000 /* a silent stream gets a comment so often: the dead are found */
#define TAIL_ID_SIZE_MAX 64
#define TAIL_BASE_SIZE_MAX 300
#define TAIL_BASE_MARK                                                                             \
    "\x01" /* in an item: where the viewer's own address of the collector goes                     \
            */

/* What later stages made of an event. */
enum tail_fate {
    TAIL_FATE_UNKNOWN, /* nothing yet */
    TAIL_FATE_STITCHED,
    TAIL_FATE_DUPLICATE, /* the same event had come before */
    TAIL_FATE_REJECTED,
};
struct tail_later {
    enum tail_fate fate;
    uint8_t person[KEY_SIZE]; /* of one that is stitched */
    char detail[192];         /* of it: ,"channel":...; of a rejection its reason, pointer, hint */
};
struct tail_question {
    uint8_t event_key[KEY_SIZE];
    int64_t received_at; /* micros */
    const char *source, *event_id;
    unsigned asked; /* how often before */
};
/* Answers for all questions, in order. Errors: any; they are asked again. Called by one thread. */
typedef int tail_later_fn(
    void *context, const struct tail_question *questions, size_t count, struct tail_later *answers);

struct tail;
/* later may be NULL: nothing later is known. Errors: ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int tail_start(
    tail_later_fn *later, void *context, struct metrics *metrics, struct tail **out);
/* All streams end, none begins. Accepts NULL. */
void tail_end(struct tail *tail);
/* After tail_end(), and after every viewer is closed. Accepts NULL inside, leaves NULL. */
void tail_stop(struct tail **tail);

/* Whether anybody watches, or did TAIL_LINGER_MS ago. Threads: any. */
bool tail_watched(const struct tail *tail);

/* ---- what is shown ---- */

struct tail_facts {
    struct str source;
    struct str type;
    struct str fate; /* "accepted" */
    const struct identifier *identifiers;
    size_t identifiers_count;
};
/* Sets of viewers. */
struct tail_pick {
    uint32_t shown;
    uint32_t followed; /* but for the fate they want it */
};

/* Who wants it; who has had TAIL_SECOND_MAX already is counted instead. False: nobody. Threads:
 * any.
 */
bool tail_pick(struct tail *tail, const struct tail_facts *facts, struct tail_pick *out);

/* Gives them the text ("event: NAME\ndata: JSON", one line each), copied. followed: not NULL: what
 * later stages make of it is shown as well; copied. Threads: any. */
void tail_put(struct tail *tail, const struct tail_pick *pick, struct str text,
    const struct tail_question *followed);

/* ---- who watches ---- */

/* Empty: any. */
struct tail_filter {
    struct str source;
    struct str type;
    struct str fate;
    struct identifier identifier; /* as it is stored */
};

struct tail_viewer;
struct tail_viewing {
    struct tail_filter filter; /* copied */
    struct str last_id;        /* of the last item that the viewer has had; empty: none */
    struct str base;           /* "http://127.0.0.1:8080"; copied */
    /* Stop and start of the viewer's connection, called with the tail's lock. */
    void (*sleep)(void *context);
    void (*wake)(void *context);
    void *context;
};
/* Errors: ERR_FULL (too many watch), ERR_AGAIN (the collector is stopping), ERR_NO_MEMORY. */
MUST_CHECK int tail_open(
    struct tail *tail, const struct tail_viewing *viewing, struct tail_viewer **out);

/* Writes what comes next of the stream. Returns its size; 0 when there is nothing yet: sleep() has
 * been called; TAIL_ENDED at the end. Threads: one each. */
#define TAIL_ENDED (-1)
MUST_CHECK ssize_t tail_read(struct tail_viewer *viewer, char *out, size_t size);

/* Accepts NULL inside, leaves NULL. */
void tail_close(struct tail_viewer **viewer);
