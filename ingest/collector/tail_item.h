/*
 * What the live view shows of an event, or of a request that was refused whole: server-sent events
 * as text, for tail_put().
 */
#pragma once

#include "ingest/collector/exchange.h"
#include "ingest/collector/tail.h"

/* A command that is longer is not shown. */
#define TAIL_CURL_SIZE_MAX ((size_t)64 << 10)

/* What an event is picked by. log_failed: what was accepted could not be made durable. Slices are
 * the exchange's and the note's. */
void tail_item_facts(const struct exchange *exchange, const struct note *note, bool log_failed,
    struct tail_facts *out);

/* Appends the item of an event: when, who, what, the fate at each stage, and a command that sends
 * it again, its key as $WRITE_KEY; of a webhook one that signs it by the secret in $SECRET_FILE.
 * Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int tail_item_write(const struct exchange *exchange, const struct note *note,
    const struct tail_facts *facts, struct buf *out);

/* The same of a request of which no event was judged: its status, and the reply's code and words.
 * protocol: "native"; now_micros: wall clock. */
void tail_item_refused_facts(const struct exchange *exchange, struct tail_facts *out);
MUST_CHECK int tail_item_refused(
    const struct exchange *exchange, const char *protocol, int64_t now_micros, struct buf *out);
