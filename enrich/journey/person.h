/*
 * Persons in memory: those of the running batch, and those of earlier ones as long as there is
 * room.
 *
 * What is here is a copy of what the tables say, or follows from it; nothing is lost when a person
 * is dropped between batches.
 */
#pragma once

#include "enrich/journey/fold.h"

/* An event that is not yet a row. */
struct pending_event {
    struct moment moment;
    int64_t position;
    int64_t placement;
    int64_t lifted_at; /* Stitched.lifted_at */
    struct str event;
};

/* A node whose events left this person, or that came back since. */
struct gone_node {
    uint8_t node[KEY_SIZE];
    int64_t epoch;
    bool back;      /* it is here again since the epoch; else: */
    bool scattered; /* each event to the next node of its chain; else to the person `to` */
    uint8_t to[KEY_SIZE];
};

struct person {
    uint8_t id[KEY_SIZE];
    struct person *chain; /* of the hash table */
    struct person *newer, *older;
    size_t size;

    struct gone_node *gone;
    size_t gone_count, gone_room;
    /* Holds, or held, an event that did not enter at its chain's first node: then one event may
     * stand in two seats for a while (timeline.c). */
    bool mixed;
    bool suppresses; /* rows of TABLE_GONE name signatures, or nodes, whose events vanish */

    bool dirty;
    bool broken; /* rows changed other than by appending: the fold no longer fits them */
    struct pending_event **pending; /* in the batch's arena */
    size_t pending_count, pending_room;
    struct pending_event **pending_slots; /* by event key, once there are many; in the arena too */
    size_t pending_slots_size;

    bool uncounted; /* no model has counted what its rows say */

    bool folded; /* `fold` is that of the rows, but for the pending ones */
    struct fold fold;
    int64_t skipped; /* rows before the fold's first: the person has more than journeys look at */
    int64_t first_at;
};

struct persons {
    struct person **slots;
    size_t slots_size; /* a power of two */
    size_t count;
    struct person *newest, *oldest;
    size_t size; /* bytes of all */
    struct person **dirty;
    size_t dirty_count, dirty_room;
};

/* Errors: ERR_NO_MEMORY. Threads: one each. */
MUST_CHECK int persons_init(struct persons *persons);
void persons_fini(struct persons *persons);

/* The person of that id; *made: not in memory so far, so the caller reads its rows. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int persons_get(
    struct persons *persons, const uint8_t id[KEY_SIZE], struct person **out, bool *made);

/* Puts a person on the list of those to settle. Errors: ERR_NO_MEMORY. */
MUST_CHECK int persons_mark(struct persons *persons, struct person *person);

/* All settled: empties the list, drops the persons used longest ago while all take more than
 * size_max bytes. Pending events must be gone. */
void persons_settled(struct persons *persons, size_t size_max);

/* Drops all. */
void persons_clear(struct persons *persons);

/* Adds an event to those that are not yet rows; *event is copied into the arena. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int person_pending_add(
    struct person *person, const struct pending_event *event, struct arena *arena);
/* True when one of that place is among them. */
bool person_pending_has(const struct person *person, const struct moment_place *place);
/* Forgets them. */
void person_pending_clear(struct person *person);

/* The entry of a node, or NULL. */
struct gone_node *person_gone(const struct person *person, const uint8_t node[KEY_SIZE]);
/* Sets an entry. Errors: ERR_NO_MEMORY. */
MUST_CHECK int person_gone_set(struct person *person, const struct gone_node *gone);
