/*
 * What the group gave a worker: tasks are opened from it, one for each stage and partition. Private
 * to the driver.
 */
#pragma once

#include "ingest/stream/kafka_task.h"

struct kafka_assignment {
    rd_kafka_topic_partition_list_t *parts; /* NULL: nothing was given */
    struct kafka_task **tasks;              /* room for all that there can be */
    size_t tasks_count;
    bool incomplete;  /* a stage's partition is without a task, as not all its inputs came */
    uint64_t rebuilt; /* of the tasks ever opened, those whose copy was thrown away or absent */
};

/* Takes a copy of what was given. */
void kafka_assignment_set(
    struct kafka_assignment *assignment, const rd_kafka_topic_partition_list_t *parts);

/* Opens the tasks that are not open yet: of each stage and partition of which all inputs came. What
 * has been opened stays so after an error. One whose inputs did not all come, as a topic is gone,
 * has none, and the assignment is incomplete. Errors: those of kafka_task_open(). */
MUST_CHECK int kafka_assignment_open(struct kafka_assignment *assignment,
    const struct kafka_task_origin *origin, const struct stage *stages, size_t stages_count);

/* Closes all tasks; nothing is assigned then. */
void kafka_assignment_close(struct kafka_assignment *assignment);
