/*
 * The least timeline that placement needs: events by (person, node), `gone` marks, chunks. A double
 * of the journey stage for tests of identity alone. Source: identity_actors.py, class Timeline.
 *
 * It keeps TABLE_RECORD person | node | stay (1) | event_key -> position (8) | chain index (8) |
 * event, and TABLE_GONE person | node -> epoch (8) | to (16, or absent).
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"

#define TIMELINE_KEY_SIZE (2 * KEY_SIZE + 1 + KEY_SIZE)

/* namespaces outlives the stage. */
void timeline_stage(struct stage *out, const struct namespace_table *namespaces);
