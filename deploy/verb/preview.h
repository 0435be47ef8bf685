/*
 * `tabiji identity preview-unlink A B`, `preview-link A B`: what an operator's word would change,
 * found by the pipeline's own reducers on the tables as they stand; nothing is written.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* arguments: the sub-verb, A, B. link: A and B would be said to be one person, else not to be.
 * Returns an exit_code. */
int preview_run(struct verb_call *call, bool link);

/* What a word that is about to be said would come to, on the data directory as it stands. */
struct preview_outcome {
    bool
        stands; /* the word; else what it names first is of an erased person: nothing comes of it */
    size_t lost; /* events that would vanish, as they come to an erased identifier */
};

/* Errors: ERR_NOT_FOUND (there is no state yet), ERR_MEANING, and others of local_preview(). */
MUST_CHECK int preview_foresee(struct settings *settings, const struct identifier ends[2],
    bool link, struct preview_outcome *out);
