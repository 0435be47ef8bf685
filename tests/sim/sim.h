/*
 * The third driver: P partitions of every topic in memory, everything that a real one may do to a
 * stage drawn from a seed.
 *
 * Mail is FIFO for each (sending task, receiving partition) and for nothing else; batches are of
 * random size; a batch may crash before its commit (its input comes again, the instance is opened
 * anew) or after (the instance is opened anew); the log of a partition is in order. Not
 * thread-safe.
 */
#pragma once

#include "ingest/stream/stream.h"

struct sim_config {
    uint64_t seed;
    int32_t partitions;     /* of every topic */
    unsigned crash_percent; /* of batches */
    size_t batch_max;       /* records; each batch draws 1..batch_max */
    unsigned slow_percent;  /* of channels, whose mail waits while any other can move: what takes
                               many unlikely steps in a row otherwise */
    /* Each batch is processed, thrown away as by a crash just before its commit, and processed
     * again by a new instance: it must do the same, byte for byte (sim_counts). What is drawn
     * otherwise stays the same. */
    bool replay;
};

struct sim;

/* stages outlive the sim. Errors: of their open(), ERR_NO_MEMORY. */
MUST_CHECK int sim_new(
    const struct sim_config *config, const struct stage *stages, size_t count, struct sim **out);
void sim_free(struct sim **sim);

/* Appends a record to the log (TOPIC_EVENTS or TOPIC_REJECTED), at its key's partition. Copied. */
MUST_CHECK int sim_append(struct sim *sim, const struct append_record *record);

/* Runs `steps` batches, or to quiet for SIZE_MAX. Returns 0 when quiet, SIM_BUSY otherwise. Errors:
 * of the stages; ERR_INTERNAL when it does not end. */
#define SIM_BUSY 1
MUST_CHECK int sim_run(struct sim *sim, size_t steps);

/* Every row that a published topic or `rejected` would have left, in key order; a row that two
 * partitions hold is visited twice. Stops at visit()'s first other return than 0 and returns that.
 */
typedef int sim_visit_fn(void *context, struct str key, struct str value);
MUST_CHECK int sim_results(struct sim *sim, enum topic topic, sim_visit_fn *visit, void *context);

/* The same of a table, published or not. */
MUST_CHECK int sim_table(struct sim *sim, enum table table, sim_visit_fn *visit, void *context);

/* Every change of a published topic so far, as a sink may read them: of each partition in the order
 * of its commits, partitions in any (drawn) order. A deleted row has no value (data NULL). Forgets
 * all changes up to now, those of other topics too. */
MUST_CHECK int sim_published(struct sim *sim, enum topic topic, sim_visit_fn *visit, void *context);

/* The same of all published topics. */
typedef int sim_change_fn(void *context, enum topic topic, struct str key, struct str value);
MUST_CHECK int sim_changes(struct sim *sim, sim_change_fn *visit, void *context);

/* What happened so far. */
struct sim_counts {
    uint64_t batches;
    uint64_t crashes;
    uint64_t mails[TOPIC_COUNT];
    uint64_t replays;
    uint64_t replays_differ;
};
const struct sim_counts *sim_counts(const struct sim *sim);

/* The simulator's own generator, for tests that want to draw from the same seed. */
uint64_t sim_random(uint64_t *state);
