/*
 * Snowplow's tracker protocol, as its unmodified trackers speak it. Source: PROTOCOLS, "Snowplow
 * tracker protocol".
 *
 * Whose the events are: a write key where one is sent (Authorization, ?writeKey=, or behind the
 * path of POST), else the source that has their application id, else the open source.
 */
#pragma once

#include "ingest/collector/exchange.h"

/* A batch; exchange->rest: a write key, or empty. Answered 200 "ok", also when events of it were
 * refused: they go to rejected. A batch of one event without a usable id, and a body that is no
 * batch, are answered 400. See exchange_fn. */
MUST_CHECK int snowplow_post_handle(struct exchange *exchange);

/* One event in the address of an image; without an id it gets one of its own. Answered with the
 * image, or as above. See exchange_fn. */
MUST_CHECK int snowplow_pixel_handle(struct exchange *exchange);

/* What trackers do not send here: refused so that they do not send it again. See exchange_fn. */
MUST_CHECK int snowplow_unknown_handle(struct exchange *exchange);
