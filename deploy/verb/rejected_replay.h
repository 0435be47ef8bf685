/*
 * `tabiji rejected replay`. Private to the verb.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* Puts what the options and keys of the call select through the door again. Returns an exit_code.
 */
int rejected_replay(struct verb_call *call, struct settings *settings);
