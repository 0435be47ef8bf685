/*
 * What `tabiji keys retire` must know before a key goes: whose erasures go with it.
 */
#pragma once

#include "deploy/verb/verb.h"
#include "ingest/normalise/key_file.h"

struct retirement {
    bool counted;
    uint64_t alone;  /* values that are suppressed under the active key alone */
    const char *why; /* nothing was counted: half a sentence */
};

/* Counts in the embedded data directory of the configuration, where its state is of this key file.
 * Errors: ERR_NO_MEMORY, ERR_CONFIG. */
MUST_CHECK int retirement_count(
    const struct verb_call *call, const struct key_file *file, struct retirement *out);
