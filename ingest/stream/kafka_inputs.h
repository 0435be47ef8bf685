/*
 * Where a worker is in each partition that it reads. Private to the driver.
 */
#pragma once

#include "ingest/stream/kafka_attempts.h"
#include "ingest/stream/kafka_task.h"

struct kafka_input {
    struct kafka_task *task; /* NULL: not assigned */
    int64_t next;            /* record to be processed, or after the end when at_end */
    int64_t committed;
    bool at_end;
    rd_kafka_message_t *held; /* the record at `next`, while its schema is awaited; paused then */
    struct kafka_attempt attempt;
    /* Of mail, for kafka_relay.h: */
    int64_t fence;           /* before it lies mail of this worker's tasks, to be read first */
    bool posted;             /* they have sent some by the topic in this batch */
    struct kafka_mark posts; /* where that ends */
};

struct kafka_inputs {
    const struct kafka_config *config;
    int32_t partitions[TOPIC_COUNT];
    struct kafka_input *of[TOPIC_COUNT]; /* by partition; NULL: no stage reads the topic */
    size_t awaited;                      /* that are not known to be at their end */
    size_t held;                         /* that hold a record */
    size_t careful;                      /* whose records are noted, as workers ended in them */
};

/* Room for the partitions of one topic; once more for the same does nothing. Errors: ERR_NO_MEMORY.
 */
MUST_CHECK int kafka_inputs_add(struct kafka_inputs *inputs, enum topic topic, int32_t partitions);
/* Destroys what is held. */
void kafka_inputs_fini(struct kafka_inputs *inputs);

/* The input of a topic and partition, assigned or not; NULL for one that no stage reads. */
struct kafka_input *kafka_inputs_find(struct kafka_inputs *inputs, int topic, int32_t partition);

/* Calls fn for every assigned input until it returns other than 0. */
typedef int kafka_input_fn(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input);
int kafka_inputs_each(struct kafka_inputs *inputs, kafka_input_fn *fn, void *context);

/* Assigned inputs with `next` as their offset; moved_only: those whose `next` is not committed. The
 * caller destroys the list. */
rd_kafka_topic_partition_list_t *kafka_inputs_list(struct kafka_inputs *inputs, bool moved_only);
/* Those of mail, or of events; none that holds a record. The caller destroys the list. */
rd_kafka_topic_partition_list_t *kafka_inputs_list_of(struct kafka_inputs *inputs, bool mail);
/* Whether there is one that has moved since it was committed. */
bool kafka_inputs_moved(struct kafka_inputs *inputs);

/* Goes back to what the group has committed; nothing is held then. Errors: of a partition. */
MUST_CHECK int kafka_inputs_place(
    struct kafka_inputs *inputs, const rd_kafka_topic_partition_list_t *committed);

/* More has come, or all of the partition has been read. */
void kafka_inputs_more(struct kafka_inputs *inputs, struct kafka_input *input);
void kafka_inputs_end(struct kafka_inputs *inputs, struct kafka_input *input, int64_t end);

/* The message stays with the input until kafka_inputs_unhold(), which gives it back. */
void kafka_inputs_hold(
    struct kafka_inputs *inputs, struct kafka_input *input, rd_kafka_message_t *message);
rd_kafka_message_t *kafka_inputs_unhold(struct kafka_inputs *inputs, struct kafka_input *input);

/* Nothing is assigned any more. */
void kafka_inputs_clear(struct kafka_inputs *inputs);
