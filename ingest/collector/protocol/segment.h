/*
 * Segment's HTTP tracking API, as its unmodified clients speak it. Source: PROTOCOLS, "Segment and
 * Rudder"; Segment's specification (spec/common, spec/ecommerce/v2).
 */
#pragma once

#include "ingest/collector/exchange.h"

/* exchange->call: track page screen identify group alias merge (one message), batch, or metrics
 * (taken and dropped). Success is answered 200 {"success":true} and nothing else; refused messages
 * of a batch go to rejected. A single message without a usable messageId is answered 400, bad_id.
 * See exchange_fn. */
MUST_CHECK int segment_handle(struct exchange *exchange);

/* One message in the address of an image; exchange->rest: its call. Where it names no id it gets
 * one of its own, for an image that is shown twice is two events; HEAD shows none. Answered with
 * the image, or as segment_handle() answers an error. See exchange_fn. */
MUST_CHECK int segment_pixel_handle(struct exchange *exchange);
