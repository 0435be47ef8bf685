/*
 * Webhooks: POST /hooks/<kind>/<source>. Source: PROTOCOLS, "Calls, orders, returns".
 */
#pragma once

#include "ingest/collector/exchange.h"

/* exchange->rest: "<kind>/<source>". Kinds: twilio, connect, genesys, shopify, generic. A sender
 * shows who it is by a signature of the source's secret, or, where its kind has none, by the secret
 * or the source's write key; who does not is answered 401, one whose time is outside the source's
 * replay_window 403, with exchange->refusal set, and nothing is kept. A body that cannot be read is
 * answered 400. Else 200: of what in it is refused the reply tells, and rejected keeps it, for a
 * sender that is told otherwise sends the same again until it gives up all. A notification without
 * what its id is made of is answered 400, bad_id, too. See exchange_fn. */
MUST_CHECK int hook_handle(struct exchange *exchange);

/* ---- what a sender shows ---- */

enum hook_proof {
    HOOK_PROOF_NONE,   /* nothing: no webhook, a source that asks for nothing, or a write key */
    HOOK_PROOF_SECRET, /* the secret itself */
    HOOK_PROOF_BODY,   /* HMAC-SHA-256 of the body by the secret, in base64 */
    HOOK_PROOF_FORM,   /* HMAC-SHA-1 of the address and hook_proof_pairs(), likewise */
};

/* How who sends this request again would show that he may; *header: in which. */
enum hook_proof hook_proof(const struct exchange *exchange, struct str *header);

/* Appends what HOOK_PROOF_FORM signs behind the address. Errors: ERR_NO_MEMORY; those of
 * form_read(). */
MUST_CHECK int hook_proof_pairs(const struct exchange *exchange, struct buf *out);

/* ---- what was refused, read again (again.h) ---- */

/* Most events of one notification that a kind (the stage of the rejection) has refused; 0: no kind,
 * or neither payload nor event id tell all that is needed: Shopify's topic was in a header, and is
 * in the id. */
size_t hook_again_max(struct str stage, struct str event_id, const struct config_source *source);

/* Reads event nth of it. exchange: call (the stage), source, door, arena, now_micros; event_id: as
 * it was refused. Returns 0 or HOOK_AGAIN_NONE. Errors: REJECT class with *problem set,
 * ERR_NO_MEMORY. */
#define HOOK_AGAIN_NONE 1
MUST_CHECK int hook_again(struct exchange *exchange, struct str event_id, struct json item,
    size_t nth, struct touchpoint *out, struct event_problem *problem);
