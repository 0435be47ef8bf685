/*
 * A kind of webhooks: who may send, and how a notification is read. hook.c does all else.
 */
#pragma once

#include "ingest/collector/protocol/hook.h"
#include "ingest/collector/protocol/hook_event.h"
#include "ingest/metrics/metrics.h"

/* Outcome of read(): this notification gives no such event. */
#define HOOK_NONE 1

struct hook_kind {
    struct str name; /* in the path; also the stage of what is rejected */
    bool forms;      /* bodies may be forms, and the sender wants TwiML for an answer */

    /* Whether the sender has shown who it is. *refusal: why not, an enum metric_refusal, or
     * HOOK_BELIEVED. pairs: of a form.
     * Errors: ERR_NO_MEMORY. */
    int (*believe)(const struct exchange *exchange, const struct config_source *source,
        const struct exchange_pair *pairs, size_t pairs_count, int *refusal);

    /* How believe() is shown it, and in which header unless the source names another. */
    enum hook_proof proof;
    const char *proof_header;
    bool names_header; /* the source may name another */

    /* Most events of one notification; NULL: 1. */
    size_t (*events_max)(const struct config_source *source);

    /* Reads event nth of a notification into reader->event. Returns 0 or HOOK_NONE. Errors: REJECT
     * class with reader->problem set; ERR_NO_MEMORY. */
    int (*read)(struct hook_reader *reader, size_t nth);

    /* What headers said of a notification that was refused under this event id, for
     * exchange->header; NULL: read() needs none. Empty for a name that it does not tell. */
    struct str (*again_header)(struct str event_id, const char *name);
    const char *again_needs; /* the header without which it cannot be read again */
};

extern const struct hook_kind hook_twilio;
extern const struct hook_kind hook_connect;
extern const struct hook_kind hook_genesys;
extern const struct hook_kind hook_shopify;
extern const struct hook_kind hook_generic;
