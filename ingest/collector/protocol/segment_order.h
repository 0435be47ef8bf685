/*
 * The order in the properties of a Segment commerce event.
 */
#pragma once

#include "schemas/event_json.h"
#include "schemas/json.h"

/* Names of the properties that went into the order; they need not be kept otherwise. */
#define SEGMENT_ORDER_KEYS_MAX 10
struct segment_order_keys {
    struct str names[SEGMENT_ORDER_KEYS_MAX];
    size_t count;
};

/* Fills event->order when its type is of an order, or properties name an order_id. currency: where
 * they name none. Amounts may be numbers or decimal texts; a number that is off its currency's
 * digits only by the noise of binary floating point is put right, other surplus digits are
 * ERR_MONEY_PRECISION. Errors: REJECT class with *problem; ERR_NO_MEMORY. Threads: any.
 * Source: Segment, "Ecommerce Spec v2"; EVENT, "Native JSON" (money). */
MUST_CHECK int segment_order_read(struct json properties, struct str currency, struct arena *arena,
    struct touchpoint *event, struct segment_order_keys *taken, struct event_problem *problem);
