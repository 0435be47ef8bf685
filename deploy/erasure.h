/*
 * The events of erasures and lifts, and what to do about requests that were cut off (receipt.h).
 */
#pragma once

#include "deploy/settings.h"
#include "sinks/sqlite/receipt.h"

/* An operator's event of one identifier. Text is borrowed. */
struct erasure_event {
    const char *type; /* erasure_requested, erasure_lifted */
    const char *id;
    int64_t at;
    struct str reason;
};

/* Appends it, native JSON. subject: how it is to name the identifier. Errors: as buf_append(). */
MUST_CHECK int erasure_write_event(
    const struct erasure_event *event, const struct identifier *subject, struct buf *out);

/* Appends the request's event of a receipt, native JSON. subject: how the event is to name it.
 * Errors: as buf_append(). */
MUST_CHECK int erasure_write_request(
    const struct receipt *receipt, const struct identifier *subject, struct buf *out);

/* Brings open receipts to truth and asks again for those that were cut off and of which something
 * stands: one whose request never came into the log is so finished, another's request is the same
 * event again. One that was followed to its end is not asked for (receipt.h).
 * Not asked for are those of an e-mail or phone while a rotation of its key is under way: the
 * request must then say the value itself, which nobody has but who asks; nor those whose identifier
 * is gone already: their request came. *asked: how many were.
 * Errors: those of receipts_settle() and say_append(). */
MUST_CHECK int erasures_resume(
    struct settings *settings, const char *database, struct appender *appender, size_t *asked);

/* Brings open receipts to truth, when what is in the log was followed. *left: how many are not
 * finished. Errors: as receipts_settle(). */
MUST_CHECK int erasures_settle(const char *database, size_t *left);
