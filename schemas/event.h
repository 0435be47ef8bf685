/*
 * Facts about a touchpoint that need no configuration: limits, types, order, keys.
 */
#pragma once

#include "schemas/bytes.h"
#include "schemas/touchpoint.avro.h" /* generated from schemas/avro/touchpoint.avsc */

#define EVENT_ID_SIZE_MAX 100
#define EVENT_SIZE_MAX ((size_t)32 << 10) /* encoded touchpoint and native JSON */
/* So much native JSON is never more than EVENT_SIZE_MAX encoded: what grows most is a telephone
 * number, which becomes a pseudonym and a namespace, 70 bytes, of which there are
 * EVENT_IDENTIFIERS_MAX at most; then an exponent that canonical JSON writes out, "1e15", and an
 * item that says nothing, "{}", of which neither becomes 8 times itself. */
#define EVENT_SMALL_JSON_SIZE_MAX ((size_t)3 << 10)
#define EVENT_TYPE_SIZE_MAX 64
#define EVENT_IDENTIFIERS_MAX 64
#define EVENT_IDENTIFIERS_HINT "an event has at most 64 identifiers" /* of ERR_TOO_MANY */
#define EVENT_ITEMS_MAX 500
#define EVENT_ITEMS_HINT "an order has at most 500 items"
#define IDENTIFIER_VALUE_SIZE_MAX 256

/* True for [a-z][a-z0-9_]{0,63}. Threads: any. */
bool event_type_valid(struct str type);

/* What kind of thing a canonical type is; EVENT_CLASS_CUSTOM for others. Source: EVENT, "Types". */
/* Authority of an operator's evidence; clients have 0. */
#define EVENT_AUTHORITY_OPERATOR 100

/* Whether only an operator may say it: links, unlinks, erasures and their lifts, spend, and
 * evidence against a link. Threads: any. */
bool event_is_operators(const struct touchpoint *event);

enum event_class {
    EVENT_CLASS_CUSTOM,
    EVENT_CLASS_WEB, /* web and app: they make sessions */
    EVENT_CLASS_AD,
    EVENT_CLASS_MESSAGE,
    EVENT_CLASS_CALL,
    EVENT_CLASS_STORE,
    EVENT_CLASS_ORDER,
    EVENT_CLASS_IDENTITY,
    EVENT_CLASS_LEDGER, /* of the company, about no customer */
};
enum event_class event_type_class(struct str type);

/* The canonical types, sorted, for hints and documents; *count is set. Threads: any. */
const struct str *event_types(size_t *count);

/* The canonical type that this one is a slip of (up to two letters); empty where it is one itself,
 * or as likely a company's own. Threads: any. */
struct str event_type_meant(struct str type);

/* The event without what tells of its transport: event_key, received_at, time_quality,
 * adapter_version, client and traceparent are as if not said; so is occurred_at where time_quality
 * is corrected, clamped or server (a resent event gets another such time). *out borrows all text of
 * *event. Threads: any. */
void event_facts(const struct touchpoint *event, struct touchpoint *out);

/* Hash of event_facts(). Two events of one key with different facts are a conflict.
 * Errors: ERR_NO_MEMORY, ERR_TOO_LARGE; neither for an event within EVENT_SIZE_MAX. Threads: any.
 */
MUST_CHECK int event_facts_hash(const struct touchpoint *event, uint64_t *hash);
