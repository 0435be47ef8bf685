/*
 * A Segment message that came in the address of an image, as JSON text. Source: PROTOCOLS, "Segment
 * and Rudder"; Segment's "Pixel Tracking API" (data), Rudder's (names with dots).
 */
#pragma once

#include "ingest/collector/exchange.h"

/* With a parameter `data`: what it holds in base64, as it is. Else all parameters but writeKey as
 * members, dots of a name leading into objects, and the call and this id where none is said:
 * track?properties.order_id=7 gives {"messageId":id,"properties":{"order_id":"7"},"type":"track"}.
 * A name that stands twice, or once as a text and once as an object, stands twice in the JSON too,
 * which its parser refuses. exchange->rest: the call. *out: in the arena, not yet parsed. Errors:
 * ERR_VALUE (data is no base64), ERR_NO_MEMORY. */
MUST_CHECK int segment_pixel_text(const struct exchange *exchange, struct str id, struct str *out);
