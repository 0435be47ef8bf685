/*
 * `tabiji identity preview-unlink A B`, `preview-link A B`: what an operator's word would change,
 * found by the pipeline's own reducers on the tables as they stand; nothing is written.
 */
#pragma once

#include "deploy/verb/verb.h"

/* arguments: the sub-verb, A, B. link: A and B would be said to be one person, else not to be.
 * Returns an exit_code. */
int preview_run(struct verb_call *call, bool link);
