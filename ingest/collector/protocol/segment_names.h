/*
 * Names of Segment's track events, and what they are here. Source: Segment, "Ecommerce Spec v2",
 * "Mobile Lifecycle", "Email Spec"; PROTOCOLS.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"

struct segment_name {
    struct str type;           /* canonical, or the name as [a-z][a-z0-9_]* */
    enum message_kind message; /* of messages: which kind; else MESSAGE_KIND_UNKNOWN */
    bool exact;                /* the type says all that the name said */
};

/* "Order Completed" -> order_completed; "Clicked CTA!" -> clicked_cta; a name without a letter that
 * fits -> custom. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int segment_name_read(struct str name, struct arena *arena, struct segment_name *out);
