/*
 * `tabiji explain credit CONVERSION`: the way to a conversion, and what each model gives each
 * touch.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* The conversion is the call's second argument. Returns an exit_code. */
int explain_credit(struct verb_call *call, struct settings *settings);
