/*
 * Which events came without a login lately. analytics-next gives an event that it sends again the
 * login of by then; its first copy, where that had come, would not be known again, since under
 * another login an id is another event (EVENT, "Ids").
 *
 * It is a memory: bounded, of this process, gone with it. Who is not remembered is two events.
 */
#pragma once

#include "schemas/bytes.h"

struct recent;

/* Remembers at least the last RECENT_EVENTS of them, twice as many at most. */
#define RECENT_EVENTS 65536

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int recent_new(struct recent **out);
/* Accepts NULL inside, leaves NULL. */
void recent_free(struct recent **recent);

/* What an event is known by here: its source, its id, and what it was sent by; never 0. Threads:
 * any. */
uint64_t recent_mark(
    const struct recent *recent, struct str source, struct str event_id, struct str anonymous);

/* Remembers marks, for events that are durable. Threads: any. */
void recent_add(struct recent *recent, const uint64_t *marks, size_t count);

/* Threads: any. */
bool recent_has(struct recent *recent, uint64_t mark);
