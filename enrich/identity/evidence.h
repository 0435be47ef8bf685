/*
 * What an operator, or a client's alias, says of two identifiers; and how a person is erased: the
 * events that carry it, and what they mean. Both are events in the log like all others, so that a
 * rebuild keeps them. Source: IDENTITY, "Meaning" and "Erasure"; EVENT, "Record" and "Types".
 *
 * Evidence (any event that has it; types identity_linked, identity_unlinked, aliased):
 *     {"id":"…","type":"identity_linked","time":"…","ids":{"login":"u-1"},
 *      "evidence":{"a":{"login":"u-1"},"b":{"email":"x@example.com"},"sign":1,"authority":100,
 *                  "reason":"called in"}}
 * `ids` says whose timeline shows the event: one end is enough. They link as those of any event do;
 * evidence of a pair is above what signatures show of it. Where IDENTITY is silent, this is what
 * evidence means; group.h says how owners come to it within a rank, and whence the rule is:
 *  - of a pair {a, b} the evidence that is last in the order of (authority, occurred_at,
 *    event_key) stands, whatever came first: sign > 0 links, sign < 0 unlinks. So both are
 *    reversible, by further evidence, and an operator's word (EVIDENCE_AUTHORITY_OPERATOR) is above
 *    a client's (0).
 *  - linked, of two ranks: the pair is linked as by a signature, from the weaker to the stronger.
 *  - linked, of one rank: the two are one. Identifiers of one rank that such words connect, over
 *    whatever pairs, are a group, and a group is one person: before rules 3 and 4 it is one
 *    identifier. It has above it what any member has there, by links and by bridges; it claims the
 *    only root of the strongest rank, as one claimant of a protected namespace, or is shared, as a
 *    whole, by several; and with no claim it is named after the first member in id order. So of
 *    three logins, a linked to b and b to c, all are the first's, whichever word came first and
 *    whatever the order of their ids; and e-mails that are linked, of two different logins, belong
 *    to neither. A word against a pair parts the group where nothing else connects it.
 *  - a generic identifier is of no group and connects none: its links are dead.
 *  - bridges (rule 2) are each identifier's own, by links to stronger ranks, whatever group it is
 *    of: one that is seen with two e-mails of one group is seen with two, and bridges nothing.
 *  - unlinked: there is no link between the two, observed or derived; signatures that show both
 *    change nothing. They may still be one person over a third identifier, so over a member of a
 *    group: with a linked to b and b to c, a word against a and c changes nothing; with b seen with
 *    login l, nor does one against a and l, until a and b are unlinked.
 *  - evidence does not count where neighbours are counted (generic identifiers): such marks stay
 * for ever, and what one says could be unsaid. Neighbours that signatures show count, also when
 * they are unlinked.
 *
 *  - a group has no most members: each has at most EVIDENCE_MAX words, but of joined ones the first
 *    may have many, as a person may have many identifiers.
 *  - evidence that stands, of either sign, shows both identifiers: they have rows in person_of.
 *  - an identifier keeps a limited number of words: of each pair the last EVIDENCE_PAIR_MAX in the
 *    order above, and of these, over all its pairs, the last EVIDENCE_MAX. Others say nothing; that
 *    an identifier has more is told in `rejected` (too_many), once, by its node. Both ends of a
 * pair keep count: a word counts where both keep it. What is kept is a function of the set of
 * words, not of their order. So a word that was dropped does not come back when those above it are
 *    unsaid: to unsay is a word too, and one that an erasure took keeps its place.
 *
 * Erasure (type erasure_requested): every identifier in `ids` is to be erased with its person:
 *     {"id":"…","type":"erasure_requested","time":"…","ids":{"login":"u-1"}}
 * The event itself stands in no timeline. What it does (enrich/identity/erasure.h has the words of
 * the meaning):
 *  - the events of the person vanish; their signatures (sets of two and more identifiers) are
 *    forgotten: all that they linked is taken back, events that bear them yield nothing for good;
 *  - identifiers that are the person's are suppressed: install, device and cookie for events that
 *    occurred before the erasure, others for good. An event whose first node is suppressed yields
 *    nothing;
 *  - identifiers that no event shows any more have no row in person_of.
 *  - evidence of an event that vanished says nothing, for good (also where the event is sent again,
 *    and stands since it is a device's and occurred after the erasure).
 * A lift (type erasure_lifted, else alike) lets events of the identifier that occurred at its time
 * or later be taken again. Its event stands in no timeline either.
 * The result is that of a build without those events, but for generic marks and epochs, which stay.
 * What rotation.h pairs stays too: an erased value is suppressed under every key.
 */
#pragma once

#include "enrich/identity/message.h"
#include "enrich/identity/owner.h"
#include "schemas/identity_evidence.avro.h"

/* A line of the text by which stored state tells what it was built to mean (stream/meaning.h):
 * before, one that was linked to two of its rank belonged to neither. */
#define EVIDENCE_MEANING "evidence within a rank: groups\n"

/* Authority of an operator's link and unlink; clients have 0. */
#define EVIDENCE_AUTHORITY_OPERATOR 100

/* Most words of one pair, and of all pairs of one identifier, that are kept. (Tests build with
 * smaller limits.) */
#ifndef EVIDENCE_MAX
#define EVIDENCE_PAIR_MAX 16
#define EVIDENCE_MAX 128
#endif

/* What stands of a pair; slices are those of the set. */
struct evidence_row {
    int sign; /* > 0 links, < 0 unlinks, 0: there is none */
    struct str value;
    struct str other_value;
};

/* What an identifier keeps. */
struct evidence_item {
    uint8_t place;
    struct identity_evidence row;
};
struct evidence_set {
    struct evidence_item items[EVIDENCE_MAX + 1];
    size_t count;
    bool dropped; /* that it has too many, so that the last in the order went */
    struct identity_evidence dropped_row;
};

/* Takes in a message of kind evidence or retract (of one event the first stands, and once retracted
 * it says nothing for ever). Returns 1 and what the owner keeps then, 0 when nothing changed; the
 * dropped one may be the message's own. Slices are valid until the message has been processed.
 * Errors: ERR_STATE, those of state. */
MUST_CHECK int evidence_take(struct owners *owners, const struct owner *owner,
    const struct identity_message *message, struct evidence_set *out);

/* What stands of a pair, of which the set's owner is the weaker end. */
void evidence_stands(
    const struct evidence_set *set, const uint8_t other[KEY_SIZE], struct evidence_row *out);

/* Tells in `rejected` that the identifier has too many words: one row, however many are dropped.
 * Errors: ERR_NO_MEMORY, those of outbox_send(). */
MUST_CHECK int evidence_report(
    struct outbox *outbox, struct arena *arena, const struct owner *owner);

/* Message of an event that has evidence, of kind evidence or retract, or, where an end may have an
 * older pseudonym, of kind pass_* by way of it; `from` is left. Slices are borrowed, the message's
 * also from *out itself. Errors: ERR_NAMESPACE, ERR_VALUE (empty, too long,
 * or one identifier twice). Threads: any. */
struct evidence_message {
    struct identity_message message;
    struct link_end other;
    struct link_end ends[2];
    uint8_t newer[2];
};
MUST_CHECK int evidence_of_event(const struct namespace_table *namespaces,
    const struct touchpoint *event, enum identity_kind kind, struct evidence_message *out);

/* The same word for the stronger end, which only counts it. */
void evidence_to_stronger(const struct identity_message *to_weaker, struct identity_message *out);
