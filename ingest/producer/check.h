/*
 * Judges events before they are queued, by the code that the collector judges them with: the
 * reader of native JSON and the door, in their standard configuration.
 */
#pragma once

#include "ingest/producer/transport.h"

/* Of one producer. Not changed after it was set up; threads: any. */
struct producer_rules {
    struct door_config door;
    struct namespace_table namespaces;
    char *names; /* of namespaces that were added */
    bool trusted;
    /* Tried first with an event that has an id and a time: what it seals (transport.h) was judged.
     * NULL: none. */
    int (*seal)(
        void *context, struct touchpoint *event, struct arena *arena, struct producer_sealed *out);
    void *seal_context;
};

/* namespaces: more names of identifiers, apart by blanks or commas; may be NULL. Errors:
 * ERR_NO_MEMORY; ERR_VALUE: a name that is none, or too many. */
MUST_CHECK int producer_rules_init(struct producer_rules *rules,
    const struct tabiji_allocator *memory, const char *namespaces, bool trusted);
void producer_rules_fini(struct producer_rules *rules, const struct tabiji_allocator *memory);

/* What a check needs: a parser and memory that is used again. Used by one thread at a time. */
struct producer_checker;
/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int producer_checker_new(
    const struct tabiji_allocator *memory, struct producer_checker **out);
/* Accepts NULL inside, leaves NULL. */
void producer_checker_free(
    const struct tabiji_allocator *memory, struct producer_checker **checker);

/* Slices live until the checker's next use. */
struct producer_finding {
    struct str event_id; /* empty: it has none */
    bool lacks_id;       /* there is no "id" at all */
    bool lacks_time;
    struct str sealed;            /* or empty */
    struct event_problem problem; /* with a hint and no error: a warning */
};

/* Judges JSON as an event of now; an event without an id is judged as if it had one where
 * `gives_id`. Errors: those of event_json_read() and door_judge(), with *finding set. */
MUST_CHECK int producer_checker_judge(struct producer_checker *checker,
    const struct producer_rules *rules, struct str json, bool gives_id,
    struct producer_finding *finding);
/* Only reads what is needed to send it: that it is an object, and its id. */
MUST_CHECK int producer_checker_skim(
    struct producer_checker *checker, struct str json, struct producer_finding *finding);
