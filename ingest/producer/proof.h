/*
 * What setters of a typed event know at once: that the collector accepts what they set, whatever
 * else the event says. An event all of whose members are proven so need not be read again to be
 * judged. A proof says only yes; of anything else the event loses it, and is judged whole, by the
 * collector's own code (check.h), which alone says what is wrong.
 *
 * Sound for the standard configuration of the door, and with namespaces added to it: both only take
 * more.
 */
#pragma once

#include "schemas/event_json.h"

#define PROOF_NAMES_MAX 16

/* Begins with producer_proof_type(). Used by one thread at a time. */
struct producer_proof {
    bool lost;
    bool priced;  /* an item's price was read with the exponent */
    int exponent; /* of the order's currency; below 0: not known */
    size_t names_count;
    uint64_t names[PROOF_NAMES_MAX]; /* hashes of the properties' names */
};

/* What may stand in a member. */
enum producer_claim {
    CLAIM_TEXT,       /* any UTF-8 */
    CLAIM_IDENTIFIER, /* it also becomes an identifier: an order's, a call's */
    CLAIM_CURRENCY,
    CLAIM_MONEY,
    CLAIM_REVENUE,
    CLAIM_PRICE,
    CLAIM_FACET,
    CLAIM_DIRECTION,
    CLAIM_DEVICE,
    CLAIM_MESSAGE,
};

void producer_proof_type(struct producer_proof *proof, struct str type);
void producer_proof_time(struct producer_proof *proof, int64_t epoch_ms);
void producer_proof_time_text(struct producer_proof *proof, struct str rfc3339);
/* before: how many the event has already. */
void producer_proof_identifier(
    struct producer_proof *proof, size_t before, struct str name, struct str value);
void producer_proof_member(
    struct producer_proof *proof, enum producer_claim claim, struct str value);
/* An order is set anew: its currency is not known until it is said. Returns what
 * producer_proof_order_end() wants. */
int producer_proof_order_begin(struct producer_proof *proof);
void producer_proof_order_end(struct producer_proof *proof, int begun);
/* The name of a property that is a text or a whole number or true or false. */
void producer_proof_property(struct producer_proof *proof, struct str name);

/* Whether the collector accepts the event, of which this is the JSON, without a word. */
static inline bool producer_proof_holds(const struct producer_proof *proof, size_t json_size)
{
    return !proof->lost && json_size <= EVENT_SMALL_JSON_SIZE_MAX;
}
