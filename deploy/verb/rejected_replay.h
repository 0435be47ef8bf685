/*
 * `tabiji rejected replay` and `forget`. Private to the verb.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* Puts what the options and keys of the call select through the door again; or, to forget, marks it
 * settled: the mark stands in the log, so that it stays away from the tables whatever is made anew.
 * Returns an exit_code. */
int rejected_replay(struct verb_call *call, struct settings *settings, bool forget);
