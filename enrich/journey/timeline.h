/*
 * Keeps the events of persons: what put and gone do. Source: IDENTITY, "Placement"; class Timeline
 * of its executable protocol.
 */
#pragma once

#include "enrich/journey/row.h"
#include "schemas/journey_message.avro.h"

/* What the timeline works with; filled for each call of the stage. */
struct timeline {
    const struct journey_config *config;
    const struct moment_types *types;
    struct persons *persons;
    struct arena *batch; /* lives until all is settled */
    struct buf *value;   /* for rows and messages */
    struct task *task;
};

/* The person, with what its rows say of gone nodes. */
MUST_CHECK int timeline_person(
    struct timeline *timeline, const uint8_t id[KEY_SIZE], struct person **out);

/*
 * Events for a person. Slices of the message must live until the batch is settled.
 *
 * An event already there (same event_key): the lower log position stands. A later one with other
 * facts goes to `rejected` as id_conflict, its payload in canonical JSON without received_at. Bad
 * events go to `rejected`, the others of the message stay.
 * Errors: ERR_VALUE when the message itself says what none says; those of state and outbox.
 */
MUST_CHECK int timeline_put(struct timeline *timeline, const struct journey_message *message);

/* The node's events leave. Errors as timeline_put(). */
MUST_CHECK int timeline_gone(struct timeline *timeline, const struct journey_message *message);

/* Sends something that cannot be used to `rejected`. */
struct timeline_rejection {
    int error;
    struct str pointer;
    struct str payload;
    struct str source;
    struct str event_id;
    int64_t received_at;
};
MUST_CHECK int timeline_reject(struct task *task, const struct timeline_rejection *rejection);

/* Writes pending events as rows; the person must be derived anew. */
MUST_CHECK int timeline_flush(struct timeline *timeline, struct person *person);

bool timeline_epoch_valid(int64_t epoch);

/* Whether events of the message may come to the person: 0, or 1 when its node's events are gone
 * from here, to where *gone says, valid until the person's next change. A higher epoch than its
 * ends that: from then on the entry says since when the node is back. */
MUST_CHECK int timeline_admit(struct timeline *timeline, struct person *person,
    const struct journey_message *message, struct gone_node **gone);

/* An event in a seat, and the lift that let it in (Stitched.lifted_at). */
struct seated_event {
    struct touchpoint event;
    int64_t lifted_at;
};

/* Takes away, of the person's seats or only those at one node (NULL: all), those whose event
 * drops() answers 1 for; 0 keeps, an error stops. */
typedef int timeline_drops_fn(
    void *context, const uint8_t node[KEY_SIZE], const struct seated_event *seated);
MUST_CHECK int timeline_drop(struct timeline *timeline, struct person *person, const uint8_t *node,
    timeline_drops_fn *drops, void *context);
