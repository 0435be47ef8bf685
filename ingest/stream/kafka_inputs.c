/* See the header. */
#include "ingest/stream/kafka_inputs.h"

#include <stdlib.h>

#include "ingest/stream/kafka_error.h"
#include "schemas/error.h"

int kafka_inputs_add(struct kafka_inputs *inputs, enum topic topic, int32_t partitions)
{
    if (inputs->of[topic])
        return 0;
    inputs->of[topic] = calloc((size_t)partitions, sizeof *inputs->of[topic]);
    if (!inputs->of[topic])
        return ERR_NO_MEMORY;
    inputs->partitions[topic] = partitions;
    return 0;
}

void kafka_inputs_fini(struct kafka_inputs *inputs)
{
    kafka_inputs_clear(inputs);
    for (int t = 0; t < TOPIC_COUNT; t++) {
        free(inputs->of[t]);
        inputs->of[t] = NULL;
    }
}

struct kafka_input *kafka_inputs_find(struct kafka_inputs *inputs, int topic, int32_t partition)
{
    if (topic < 0 || !inputs->of[topic] || partition < 0 || partition >= inputs->partitions[topic])
        return NULL;
    return &inputs->of[topic][partition];
}

int kafka_inputs_each(struct kafka_inputs *inputs, kafka_input_fn *fn, void *context)
{
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int32_t p = 0; inputs->of[t] && p < inputs->partitions[t]; p++) {
            struct kafka_input *input = &inputs->of[t][p];
            int r = input->task ? fn(context, (enum topic)t, p, input) : 0;
            if (r != 0)
                return r;
        }
    return 0;
}

struct listing {
    const struct kafka_config *config;
    rd_kafka_topic_partition_list_t *list;
    bool moved_only;
    bool mail;
};

static int list_input(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    struct listing *listing = context;
    char name[KAFKA_TOPIC_SIZE_MAX];
    if (listing->moved_only && input->next == input->committed)
        return 0;
    kafka_topic_name(listing->config, topic, name);
    rd_kafka_topic_partition_list_add(listing->list, name, partition)->offset = input->next;
    return 0;
}

rd_kafka_topic_partition_list_t *kafka_inputs_list(struct kafka_inputs *inputs, bool moved_only)
{
    struct listing listing = {
        inputs->config, rd_kafka_topic_partition_list_new(0), moved_only, false};
    (void)kafka_inputs_each(inputs, list_input, &listing);
    return listing.list;
}

static int list_kind(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    const struct listing *listing = context;
    bool wanted = (topic != TOPIC_EVENTS) == listing->mail && !input->held;
    return wanted ? list_input(context, topic, partition, input) : 0;
}

rd_kafka_topic_partition_list_t *kafka_inputs_list_of(struct kafka_inputs *inputs, bool mail)
{
    struct listing listing = {
        .config = inputs->config, .list = rd_kafka_topic_partition_list_new(0), .mail = mail};
    (void)kafka_inputs_each(inputs, list_kind, &listing);
    return listing.list;
}

static int has_moved(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    return input->next != input->committed;
}

bool kafka_inputs_moved(struct kafka_inputs *inputs)
{
    return kafka_inputs_each(inputs, has_moved, NULL) != 0;
}

static void drop_held(struct kafka_inputs *inputs, struct kafka_input *input)
{
    if (input->held)
        rd_kafka_message_destroy(kafka_inputs_unhold(inputs, input));
}

int kafka_inputs_place(
    struct kafka_inputs *inputs, const rd_kafka_topic_partition_list_t *committed)
{
    inputs->awaited = (size_t)committed->cnt;
    for (int i = 0; i < committed->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &committed->elems[i];
        if (part->err)
            return kafka_error_of(part->err);
        int topic = kafka_topic_of(inputs->config, part->topic);
        struct kafka_input *input = kafka_inputs_find(inputs, topic, part->partition);
        check(input);
        drop_held(inputs, input);
        *input = (struct kafka_input){.task = input->task,
            .attempt = input->attempt,
            .fence = INT64_MAX,
            .next = part->offset < 0 ? 0 : part->offset,
            .committed = part->offset < 0 ? 0 : part->offset};
    }
    return 0;
}

void kafka_inputs_more(struct kafka_inputs *inputs, struct kafka_input *input)
{
    inputs->awaited += input->at_end;
    input->at_end = false;
}

void kafka_inputs_end(struct kafka_inputs *inputs, struct kafka_input *input, int64_t end)
{
    if (end > input->next)
        input->next = end;
    inputs->awaited -= !input->at_end;
    input->at_end = true;
    inputs->careful -= input->attempt.careful != 0; /* what ended workers was before */
    input->attempt.careful = 0;
}

void kafka_inputs_hold(
    struct kafka_inputs *inputs, struct kafka_input *input, rd_kafka_message_t *message)
{
    check(!input->held);
    input->held = message;
    inputs->held++;
}

rd_kafka_message_t *kafka_inputs_unhold(struct kafka_inputs *inputs, struct kafka_input *input)
{
    rd_kafka_message_t *message = input->held;
    input->held = NULL;
    inputs->held -= message != NULL;
    return message;
}

void kafka_inputs_clear(struct kafka_inputs *inputs)
{
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int32_t p = 0; inputs->of[t] && p < inputs->partitions[t]; p++) {
            drop_held(inputs, &inputs->of[t][p]);
            inputs->of[t][p] = (struct kafka_input){.task = NULL};
        }
    inputs->awaited = 0;
    inputs->careful = 0;
}
