/*
 * A web address in its parts. Not a validator: what clients send as page and referrer is split,
 * never refused.
 */
#pragma once

#include "schemas/arena.h"

/* Slices of the text, or static, or in the arena (a host that had capitals). */
struct url {
    struct str host; /* lower case, without user, password and port; empty for a relative address */
    struct str path; /* "/" where an absolute address has none; of an opaque one (mailto:x) all */
    struct str query; /* without ?; the fragment is dropped */
};

/* Splits an absolute ("https://u:p@Shop.example:8443/a?b=1#c", also android-app:// and //host/),
 * relative
 * ("/a?b=1", "?b=1") or opaque address; white space around it is dropped.
 * Errors: ERR_NO_MEMORY, *out unchanged. Source: RFC 3986, 3. */
MUST_CHECK int url_split(struct str text, struct arena *arena, struct url *out);
