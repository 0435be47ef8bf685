/*
 * The native protocol: POST /v1/events and /v1/events/validate. Source: EVENT, "Native JSON";
 * PROTOCOLS, "Native".
 */
#pragma once

#include "ingest/collector/exchange.h"

/* Reads one object, an array of them, or NDJSON. Answers 200 {"accepted","duplicates","rejected"}
 * with a verdict for each refused event, plus "no_consent" and "warnings" where there are any. A
 * single object (not NDJSON by its Content-Type) without a usable id is answered 400, bad_id.
 * exchange->call "validate": a dry run. See exchange_fn. */
MUST_CHECK int native_handle(struct exchange *exchange);

/* Makes the reply 200 with what the intake holds: {"accepted","duplicates","rejected"} and so on.
 * Errors: ERR_NO_MEMORY. */
MUST_CHECK int native_reply(struct exchange *exchange);
