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
