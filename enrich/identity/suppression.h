/*
 * What an owner keeps of erasures of its identifier, of their lifts, and of events that were
 * refused for them: the last erasure, the latest lifts, and a count; and what it tells of that.
 * Source: IDENTITY, "Erasure"; erasure.h says what they mean.
 */
#pragma once

#include "enrich/identity/owner.h"

#define SUPPRESSION_LIFTS_MAX 8 /* distinct times; the latest are kept */

/* Its row of TABLE_SIGNATURE has the key node | this. */
#define OWNER_SUPPRESSION_MARK 0x00

/* The bytes of its row before the lifts, 8 each; `at` of one that was lifted and not erased. */
#define SUPPRESSION_SIZE (8 + 8 + KEY_SIZE)
#define SUPPRESSION_NEVER INT64_MIN

struct suppression {
    int64_t at;                           /* occurred_at of the last erasure */
    uint8_t person[KEY_SIZE];             /* by whose erasure */
    int64_t lifts[SUPPRESSION_LIFTS_MAX]; /* occurred_at, ascending */
    size_t lifts_count;
};

/* The lift that an event comes under, which ends the suppression for it: the last one that is no
 * later than it occurred, unless an erasure is later still. 0 for none. */
int64_t suppression_lift(const struct suppression *suppression, int64_t occurred_at);

/* Returns STATE_ABSENT where the owner is not suppressed. Errors: ERR_STATE, those of state. */
MUST_CHECK int owner_suppression(
    struct owners *owners, const struct owner *owner, struct suppression *out);

/* Its lifts, which may have come before any erasure: out->at is SUPPRESSION_NEVER then. None is
 * none. Errors: ERR_STATE, those of state. */
MUST_CHECK int owner_lifts(
    struct owners *owners, const struct owner *owner, struct suppression *out);

/* Suppresses the identifier, whose person is erased, and spares its links (EDGE_OTHERS). Returns 1
 * when that says more than before, 0 when not. Errors: those of state. */
MUST_CHECK int owner_suppress(
    struct owners *owners, struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at);

/* A lift, which may come before what it lifts. Returns 1 when that says more than before, 0 when
 * not. Errors: those of state. */
MUST_CHECK int owner_lift(struct owners *owners, struct owner *owner, int64_t at);

/* What an erasure left at the node has refused an event that came to it: each counts once, however
 * often it comes. Errors: those of state. */
MUST_CHECK int owner_refuse(
    struct owners *owners, const struct owner *owner, const uint8_t event_key[KEY_SIZE]);
