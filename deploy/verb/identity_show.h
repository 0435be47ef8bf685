/*
 * `tabiji identity show`: whose an identifier is and why; or the identifiers of a person.
 */
#pragma once

#include "deploy/verb/verb.h"

/* Reads the call's second argument. Returns an exit_code. */
int identity_show(struct verb_call *call);
