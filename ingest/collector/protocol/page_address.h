/*
 * The page of an event, of the addresses that clients tell whole.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"

/* Sets host, path and query, and the referrer's host and path; empty addresses give empty parts.
 * Slices are borrowed or live in the arena. Errors: as url_split(). Threads: any. */
MUST_CHECK int page_address_read(
    struct str address, struct str referrer, struct arena *arena, struct page *out);
