/* `tabiji erase ID --lift`: the identifier is taken again. */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* Lifts what erasures left of the identifier that the call names. Returns an exit_code. */
int lift_run(struct verb_call *call, struct settings *settings);
