/*
 * What `tabiji source list` shows.
 */
#pragma once

#include "deploy/verb/verb.h"

/* Prints the sources of the configuration; of their keys only what tells them apart. now_micros:
 * wall clock, by which old keys are good. Returns an exit_code. */
int source_list(struct verb_call *call, int64_t now_micros);
