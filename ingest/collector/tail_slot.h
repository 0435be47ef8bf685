/*
 * A place of a viewer and what it wants to see. The tail's own; under its lock.
 */
#pragma once

#include "ingest/collector/tail.h"

enum slot_state { SLOT_FREE, SLOT_LIVE, SLOT_LINGERING };

struct tail_slot {
    enum slot_state state;
    struct tail_viewer *viewer; /* of one that is live */
    struct tail_filter filter;  /* its slices lie in texts */
    struct buf texts;
    unsigned budget; /* items that may still be shown now */
    uint64_t next;   /* entry that comes next */
    uint64_t missed; /* not told yet */
    bool at_least;   /* more may have been missed */
    int64_t until_ms;
};

/* Makes it one of the filter, with nothing missed. Errors: ERR_NO_MEMORY; it is then free still. */
MUST_CHECK int slot_take(struct tail_slot *slot, const struct tail_filter *filter);
void slot_free(struct tail_slot *slot);

bool slot_filter_is(const struct tail_slot *slot, const struct tail_filter *filter);
/* Whatever its fate is. */
bool slot_wants(const struct tail_slot *slot, const struct tail_facts *facts);
bool slot_wants_fate(const struct tail_slot *slot, struct str fate);

/* "stitched", ... Static. */
const char *slot_fate_name(enum tail_fate fate);
