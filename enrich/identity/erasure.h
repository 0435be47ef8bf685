/*
 * What an erasure takes, and how it follows what is under way. Source: IDENTITY, "Erasure";
 * evidence.h says how one is asked for, reach.h how the person is found.
 *
 * Suppression reaches all partitions without any that all must read: an event of a forgotten
 * signature is refused by its first node, which is where every event enters. Those that passed it
 * before are on their way along the places of the chain's nodes; a `suppress` that names the
 * signature follows them on the same way (owner to timeline, timeline to timeline, down the chain
 * where a node is dead), takes them away wherever it meets them, and rests as one row where their
 * node's events would rest. So the cost is one row and a few messages a signature, whatever the
 * number of partitions, and no timeline looks for a signature's events elsewhere than at one node.
 *
 * The mark of a suppressed identifier follows its node's events likewise: while a node goes back
 * and forth, a chunk of its events that is late at one person is passed on to where the node went
 * from there the last time, and so past persons where it was in between. The mark rests where the
 * node is, and there every event of it arrives, whatever its way.
 *
 * The meaning. Let S be the events that stand when person A is erased at the time t, asked for by
 * the identifier x. What goes is a function of S, A and t:
 *  - A's events: those of S whose place (IDENTITY, rule 5) is A, but what a device says alone of t
 *    and later. A's signatures are their sets of two and more identifiers; they are forgotten:
 *    events that bear one of them go, whenever they come, and say nothing.
 *  - A's identifiers: those whose root is A's, and x. They are suppressed: an event whose first
 * node is one of them goes, if it is no device's, or the event occurred before t. So does one that
 *    comes to it, and it is no device's, since all before it in its chain are generic: a shared
 *    e-mail beside the erased phone is the erased person still.
 *  - But not where others' are: an event is not taken by an identifier x of A's that it comes to
 *    behind generic ones, if each of these was shown beside x by an event that stood at t and was
 *    not A's, and some such event has stood since. (Of a generic x nobody keeps account what is
 *    beside it: where x is erased again, t is of the last erasure that found it not generic.) So an
 * order of S that was another's is nobody's to take when, later, the e-mail that it stood with
 * becomes generic and it moves on to x: it stands where it would had A's events never come. What is
 * told apart so is pairs of identifiers, not events: what says later no more than such pairs is
 * taken for the other's. Pseudonyms of one value are one identifier in this, too (rotation.h).
 *  - A generic identifier is nobody's but its own: erased, it takes what has nothing but generic
 *    identifiers and stays with it, before and later. Other events that show it are others'.
 * Nobody else's event goes: what comes to A by a link that goes with A is not of S's place A, and
 * reach.h says why it is not taken for it. What stands, with its persons, is what it would be had
 * the rest never come, but for generic marks and epochs, which stay. tests/property/departed.c is
 * this paragraph, executable.
 *
 * A lift (erasure_lifted) at the time L ends the suppression of the identifier that it names, for
 * what occurred at L or later. Let an event's lift be the last one of its first node, where that is
 * suppressed, of those no later than the event. Where no erasure of the node is later than that
 * lift, the event is let in: neither the node, nor its signature where that was forgotten up to
 * then, refuses it, and no erasure up to the lift takes it. It links anew what was taken back, as
 * an event of somebody new does; what was erased does not come back. Likewise an identifier behind
 * generic ones takes no event that occurred at a lift of its own or later. So:
 *  - what is older than the lift stays refused, whenever it comes. A later erasure closes the
 *    identifier again, and takes what was let in; a lift behind that opens it. Lifts never take
 *    anything, and copies of one say nothing.
 *  - of one identifier, erasures and lifts may come in any order: what counts is their times (of
 *    lifts the latest SUPPRESSION_LIFTS_MAX). What is told by the order of arrival is an event's
 *    fate: one that came after the erasure and before the lift was refused, whenever it occurred,
 *    and stays so, unless it is sent again.
 *  - it is of the named identifier alone: each that the person had is lifted by its own name, and
 *    also under its other keys (rotation.h). A device's signatures are let in likewise.
 *  - a signature whose first node is not suppressed stays forgotten: one that begins with a set, or
 *    with a generic identifier that was not erased itself; and so does one that a suppressed
 *    identifier met behind such, by its next nodes' lifts or not.
 * An event that is let in carries its lift (Stitched.lifted_at), so that no mark of an erasure, on
 * whatever way behind it, is to be taken back anywhere: each compares its time.
 *
 * An identifier that nothing shows any more is known no more. A generic one has no neighbours to
 * tell it so and counts them (owner_count_begin()), but for words, and for a device's own events:
 * where there are such, its row may stay.
 *
 * What comes after an erasure and is refused, by a suppressed node or a forgotten signature, is
 * counted by its first node (owner_refuse()), each event once: at rest a function of the
 * events that came since. With what stands, what was rejected, and what the receipts say that the
 * erasures took, all that was accepted is accounted for.
 *
 * One matter of order remains: an event that is met by a suppressed identifier behind generic ones
 * had linked already, and what these links made generic before they were taken back stays so.
 *
 * Where events are under way when the request comes, S is what has come to A's timeline by then
 * (behind generic identifiers, too: one that its owner has sent on by then and that comes there
 * afterwards is none of S, and stands),
 * and A's identifiers those that had A when they heard of it: later links cannot be known, and what
 * was taken cannot be asked again. The same holds of two erasures of one person at once.
 */
#pragma once

#include "enrich/identity/actor.h"
#include "enrich/identity/signature.h"

/* Whether the namespace names devices, which are shared and live on: install, device, cookie,
 * session. Threads: any. */
bool erasure_is_device(struct str namespace);

/* Whether identifiers of the node's namespace are suppressed for good; else, a device's, for events
 * that occurred before the erasure. */
bool erasure_for_good(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE]);

/* Whether a suppressed node keeps an event away that comes to it, as the first node of its chain or
 * as another, where it is not spared as others'. is_older: it occurred before the erasure. */
bool erasure_keeps_away(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE],
    bool is_first, bool is_older);

/* Each identifier of a request, kind erase or lift, is told. Errors: ERR_NO_MEMORY, those of
 * outbox_send(). */
MUST_CHECK int erasure_request(struct actor *actor, const struct touchpoint *event,
    const struct owner *first, enum identity_kind kind);

/* The person's timeline is to drop what stands there, and to tell the owner when that is done.
 * Errors: as actor_receive(). */
MUST_CHECK int erasure_erase_person(
    struct actor *actor, const struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at);

/* What a suppressed node has put somewhere, and its mark keeps away: the mark follows it. */
MUST_CHECK int erasure_mark(struct actor *actor, struct owner *owner);

/* Messages forget, suppress, lift and alone. Errors: as actor_receive(). */
MUST_CHECK int erasure_on_forget(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int erasure_on_suppress(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int erasure_on_lift(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int erasure_on_alone(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

/* What an erased person's event had said is taken back: sends forget to its first node, and
 * retract. at: occurred_at of the erasure. Errors: those of signature_of_event() and outbox_send().
 * Threads: any. */
struct erased {
    const struct namespace_table *namespaces;
    const uint8_t *person;
    int64_t at;
    const uint8_t *seat; /* the node whose person that was; NULL: not known */
    bool refused;        /* it came after the erasure: its first node is to count it */
};
MUST_CHECK int erasure_take_back(const struct erased *erased, const struct touchpoint *event,
    struct arena *arena, struct outbox *outbox);

/* The evidence of an event that is no more, if it has any, says nothing any more. Errors: as
 * erasure_take_back(). */
MUST_CHECK int erasure_retract(const struct namespace_table *namespaces,
    const struct touchpoint *event, struct outbox *outbox);

/* The person's timeline is erased: tells the owner who asked for it. Errors: as
 * erasure_take_back(). */
MUST_CHECK int erasure_go(
    const uint8_t node[KEY_SIZE], const uint8_t person[KEY_SIZE], struct outbox *outbox);

/* An event of one identifier stands all the same with a suppressed node: tells the node, which
 * might else think that nothing shows it. Errors: as erasure_take_back(). */
MUST_CHECK int erasure_keep(
    const struct erased *erased, const struct touchpoint *event, struct outbox *outbox);

/* A signature's suppression by an erasure of that time, on from a timeline or node that has it no
 * more: to the node of its chain behind chain_index, or back to the first to stay. */
MUST_CHECK int erasure_pass_on(const struct signature *signature, int32_t chain_index, int64_t at,
    const uint8_t from[KEY_SIZE], struct outbox *outbox);
