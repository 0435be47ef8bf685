/*
 * The facts of an event that have no column of their own, as compact JSON in a fixed order: equal
 * events give equal bytes. Named as in touchpoint.avsc; what is empty, zero or unknown is left out.
 */
#pragma once

#include "schemas/touchpoint.avro.h"

/* Appends the object. Consent is true or false. What tells of the sending only (client, trace,
 * adapter version) is no fact of the event and stays in the log. Text must be UTF-8, as the door
 * holds it. Errors as buf_append(). */
MUST_CHECK int detail_write(const struct touchpoint *event, struct buf *out);

/* Appends the identifiers as the native format has them: {"login":"u-77","cookie":["a","b"]}, in
 * the event's order. Errors as buf_append(). */
MUST_CHECK int detail_write_identifiers(const struct touchpoint *event, struct buf *out);
