/*
 * One event that is said by flags: NAMESPACE:VALUE and PATH=VALUE, as native JSON.
 */
#pragma once

#include "schemas/bytes.h"

/* What flags say; each text ends in NUL. */
struct event_flags {
    const char *type;
    const char *id;                 /* NULL: not said */
    const char *time;               /* RFC 3339 or epoch milliseconds; NULL: not said */
    const char *const *identifiers; /* NAMESPACE:VALUE; several of one namespace are all said */
    size_t identifiers_count;
    /* PATH=VALUE, the path as in native JSON with dots (call.queue, order.items.0.sku,
     * properties.NAME), the value typed by the schema: text, money, integer, true or false, an
     * identifier as NAMESPACE:VALUE. PATH:=JSON is JSON as it is, of properties alone. */
    const char *const *fields;
    size_t fields_count;
};

/*
 * Appends the event as one line of native JSON, without judging more of it than that each path is
 * one and each value of its kind: who sends it does. Errors: ERR_NO_MEMORY; ERR_VALUE: *problem
 * has a sentence that names the flag's value. On error `out` is as it was. Threads: any.
 */
MUST_CHECK int event_flags_write(
    const struct event_flags *flags, struct buf *out, struct buf *problem);
