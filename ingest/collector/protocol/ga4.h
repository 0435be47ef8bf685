/*
 * The Measurement Protocol of Google Analytics 4. Source: PROTOCOLS, "GA4 Measurement Protocol";
 * Google, "Measurement Protocol (Google Analytics 4) protocol reference", "Validating events".
 */
#pragma once

#include "ingest/collector/exchange.h"

/* exchange->call: "collect", or "debug", which appends nothing and tells what is wrong. The write
 * key is ?api_secret=, else that of the header. Whatever is wrong with what was sent, collect is
 * answered 204 and it goes to rejected; but who may not send, or cannot be served now, is told so
 * by the status. Events have no id in this protocol: where something tells when or of which
 * transaction one is, its id is made of the body and its place in it, so that the same body sent
 * again adds nothing; else each is new. See exchange_fn. */
MUST_CHECK int ga4_handle(struct exchange *exchange);
