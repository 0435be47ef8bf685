/*
 * Random worlds: events of customers who share few identifiers, so that every rule of identity is
 * met often, with purchases, operators' words and erasures; the pipeline's own stages over them
 * under the simulator; and a failing world made as small as it still fails.
 */
#pragma once

#include "enrich/identity/identify.h"
#include "enrich/journey/journey.h"
#include "tests/property/random.h"
#include "tests/sim/sim.h"

#define WORLD_EVENTS_MAX 128
#define WORLD_IDS_MAX 6

/* An identifier: its value is "<namespace>-<number>". */
struct world_id {
    int rank;
    unsigned number;
};

/* Numbers that draws do not give, but to speakers. */
#define WORLD_OPERATOR 1000
#define WORLD_STRANGER 1001 /* for whom a property adds */

enum world_kind {
    WORLD_EVENT,
    WORLD_WORD,    /* evidence of ids[0] and ids[1]; stands with the speaker's timeline */
    WORLD_ERASURE, /* of ids[0] */
};

struct world_event {
    enum world_kind kind;
    unsigned number; /* event_key, big-endian; stays when others are left out */
    size_t phase;
    struct world_id ids[WORLD_IDS_MAX];
    size_t ids_count;
    int64_t time;          /* hours */
    int64_t revenue_minor; /* of a purchase; 0: none */
    int sign;              /* of a word; authority likewise */
    int authority;
    struct world_id speaker;
};

struct world {
    uint64_t seed;
    int32_t up_max, down_max, protected_max;
    struct world_event events[WORLD_EVENTS_MAX];
    size_t count;
    size_t phases;
};

struct world_options {
    size_t phases;     /* each ends at rest; SIZE_MAX: one an event */
    size_t events_max; /* 0: 60 */
    size_t words_max;
    bool never_generic;
    bool erasures;
    bool erasures_last; /* each in a phase of its own */
    bool late;          /* a quarter of the events come in a last phase, behind these */
};

/* Ranks in the default table, by name. */
int world_rank(const char *name);

void world_draw(uint64_t seed, const struct world_options *options, struct world *out);

/* Adds an event behind all others, in a phase of its own. */
void world_add(struct world *world, const struct world_event *event);

void world_print(const struct world *world);

void world_node(struct world_id id, uint8_t node[KEY_SIZE]);

/* The pipeline over a world. */
struct world_run {
    const struct world *world;
    bool calm;
    struct random random;
    struct namespace_table namespaces;
    struct identify_config identify;
    struct journey_config journey;
    struct stage stages[2];
    struct sim *sim;
    struct arena arena;
};

/* How it is run: partitions, crashes and batches are sim.h's. */
struct world_schedule {
    int32_t partitions;
    uint64_t seed;
    bool calm;             /* no crashes, no copies, events in their order, batches of one */
    bool replay;           /* sim.h */
    bool steady;           /* no crashes */
    unsigned slow_percent; /* sim.h */
    bool tells;            /* judges may say on standard error what differs */
    uint64_t *said;        /* counts how often the judge met what it is about */
};

/* Errors: those of sim_new(). world outlives the run; end it always. */
MUST_CHECK int world_begin(
    struct world_run *run, const struct world *world, const struct world_schedule *schedule);
void world_end(struct world_run *run);

/* The events of a phase in drawn order, some twice, some of earlier phases again; then to rest.
 * keeps: those that count, by index; NULL: all. Errors: those of sim_run(). */
MUST_CHECK int world_feed(struct world_run *run, size_t phase, const bool *keeps);

void world_person(struct world_run *run, const uint8_t node[KEY_SIZE], uint8_t person[KEY_SIZE]);

/* The world as a case of the meaning, which knows its limits from the run. */
struct identity_case;
void world_case(const struct world_run *run, struct identity_case *out);

/* Says what is wrong, or NULL. */
typedef const char *world_judge_fn(
    const struct world *world, const struct world_schedule *schedule);

/* Leaves out events, then identifiers, as long as judge() says the same of some schedule. */
void world_shrink(
    struct world *world, struct world_schedule *schedule, world_judge_fn *judge, const char *wrong);
