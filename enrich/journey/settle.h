/*
 * Brings a person's derived rows up to date: sessions, touches, conversions, profile. A pure
 * function of the person's timeline; only rows that changed are put, those that vanished are
 * deleted.
 */
#pragma once

#include "enrich/journey/model_counter.h"
#include "enrich/journey/timeline.h"

/* Memory used again and again. {0} is empty; end with settle_fini(). */
struct settle_room {
    struct arena row;      /* one stored event */
    struct arena find;     /* one stored conversion */
    struct arena original; /* one that is looked up for a refund's count */
    struct buf value;
};

struct settle {
    struct timeline *timeline;
    struct folder *folder; /* its output is set here */
    struct settle_room *room;
    struct model_counter *models; /* counts what changes; the caller flushes it */
};

/*
 * Settles one person. When its pending events all come behind the fold's last, they are stepped
 * through; else the whole timeline is folded anew.
 * Errors: ERR_STATE, ERR_NO_MEMORY, those of state and outbox.
 */
MUST_CHECK int settle_person(struct settle *settle, struct person *person);

void settle_fini(struct settle_room *room);
