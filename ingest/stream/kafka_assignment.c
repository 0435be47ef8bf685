/* See the header. */
#include "ingest/stream/kafka_assignment.h"

#include <string.h>
#include <syslog.h>

#include "schemas/error.h"

void kafka_assignment_set(
    struct kafka_assignment *assignment, const rd_kafka_topic_partition_list_t *parts)
{
    check(assignment->tasks_count == 0);
    kafka_assignment_close(assignment);
    assignment->parts = rd_kafka_topic_partition_list_copy(parts);
    assignment->incomplete = false;
}

static bool has_part(const struct kafka_assignment *assignment, const struct kafka_config *config,
    enum topic topic, int32_t partition)
{
    char name[KAFKA_TOPIC_SIZE_MAX];
    kafka_topic_name(config, topic, name);
    return rd_kafka_topic_partition_list_find(assignment->parts, name, partition) != NULL;
}

static bool is_open(
    const struct kafka_assignment *assignment, const struct stage *stage, int32_t partition)
{
    for (size_t i = 0; i < assignment->tasks_count; i++)
        if (strcmp(assignment->tasks[i]->stage->name, stage->name) == 0 &&
            assignment->tasks[i]->partition == partition)
            return true;
    return false;
}

static int open_task(struct kafka_assignment *assignment, const struct kafka_task_origin *origin,
    const struct stage *stage, int32_t partition)
{
    size_t found = 0;
    for (size_t i = 0; i < stage->inputs_count; i++)
        found += has_part(assignment, origin->config, stage->inputs[i], partition);
    if (found == 0 || is_open(assignment, stage, partition))
        return 0;
    if (found < stage->inputs_count) {
        assignment->incomplete = true;
        kafka_log(origin->config, LOG_ERR, "kafka_rebalance",
            "%s %d: inputs are missing, is a topic gone?", stage->name, partition);
        return 0;
    }
    struct kafka_task *task;
    bool rebuilt = false;
    int r = kafka_task_open(origin, stage, partition, &task, &rebuilt);
    if (r < 0)
        return r;
    assignment->rebuilt += rebuilt;
    assignment->tasks[assignment->tasks_count++] = task;
    return 0;
}

int kafka_assignment_open(struct kafka_assignment *assignment,
    const struct kafka_task_origin *origin, const struct stage *stages, size_t stages_count)
{
    const int32_t *partitions = origin->producer->layout.partitions;
    int r = 0;
    if (!assignment->parts)
        return 0;
    for (size_t s = 0; s < stages_count; s++)
        for (int32_t p = 0; r == 0 && p < partitions[stages[s].inputs[0]]; p++)
            r = open_task(assignment, origin, &stages[s], p);
    return r;
}

void kafka_assignment_close(struct kafka_assignment *assignment)
{
    for (size_t i = 0; i < assignment->tasks_count; i++)
        kafka_task_close(&assignment->tasks[i]);
    assignment->tasks_count = 0;
    if (assignment->parts)
        rd_kafka_topic_partition_list_destroy(assignment->parts);
    assignment->parts = NULL;
}
