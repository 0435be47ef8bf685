/*
 * What shows that a webhook is its sender's. Every secret is tried, whatever the first one says,
 * and digests are compared in constant time, so that time tells nothing of a secret. Threads: any.
 */
#pragma once

#include "ingest/collector/exchange.h"

/* Whether the signature is HMAC-SHA-256 of the bytes by a secret of the source: base64, or 64 hex
 * digits, also after "sha256=". */
bool hook_signed_sha256(const struct config_source *source, struct str bytes, struct str signature);

/* Whether the signature is so of the raw body: HOOK_BELIEVED, or why not. */
#define HOOK_BELIEVED (-1) /* no enum metric_refusal */
int hook_refusal(
    const struct exchange *exchange, const struct config_source *source, struct str signature);

/* Whether the text is a secret of the source. */
bool hook_is_secret(const struct config_source *source, struct str text);

/* Whether the signature is Twilio's of one of these addresses, each with the pairs of a form, if
 * any: base64 of HMAC-SHA-1(secret, address, then names and values, sorted). Errors: ERR_NO_MEMORY.
 * Source: Twilio, "Webhooks security"; PROTOCOLS. */
#define HOOK_ADDRESSES_MAX 6
struct hook_addresses {
    struct str list[HOOK_ADDRESSES_MAX];
    size_t count;
};
MUST_CHECK int hook_signed_twilio(const struct config_source *source,
    const struct hook_addresses *addresses, const struct exchange_pair *pairs, size_t pairs_count,
    struct str signature, bool *out);

/* Appends what is signed behind an address. Errors: ERR_NO_MEMORY. */
MUST_CHECK int hook_write_pairs(
    const struct exchange_pair *pairs, size_t pairs_count, struct buf *out);

/* How the sender may have written the address of the request: by public_url of the source, else by
 * what proxies say (X-Forwarded-Proto, X-Forwarded-Host), else by Host, with either scheme; each
 * also without its port, or with the scheme's usual one, as Twilio's own library does. In the
 * arena. Errors: ERR_NO_MEMORY. */
MUST_CHECK int hook_addresses_read(const struct exchange *exchange,
    const struct config_source *source, struct hook_addresses *out);

/* Whether the text is SHA-256 of the bytes, in hex. */
bool hook_is_sha256(struct str bytes, struct str hex);
