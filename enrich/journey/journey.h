/*
 * The stage that keeps timelines and derives journeys from them.
 *
 * Input: journey. Outputs: journey and identity (events that move on), rejected; the tables
 * timeline, session, conversion and profile are published. process() keeps events only; settle()
 * derives, once a batch, for the persons whose events changed. All derived rows are a function of
 * the set of events, whatever the order in which they came.
 */
#pragma once

#include "enrich/journey/config.h"
#include "ingest/stream/stream.h"

/* Fills *out; config outlives it, opened instances too. Threads: one instance each. */
void journey_stage(struct stage *out, const struct journey_config *config);
