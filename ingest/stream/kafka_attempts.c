/* See the header. */
#include "ingest/stream/kafka_attempts.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <syslog.h>

#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_inputs.h"
#include "schemas/error.h"

#define FORM "1" /* of the text; another build's is taken for none */
#define NONE KAFKA_ATTEMPT_NONE
#define CAREFUL_BATCH 500
#define END_MS 1000 /* no longer: brokers that are away keep nobody */

/* ---- what is known ---- */

bool kafka_attempt_read(struct str found, int64_t began, struct kafka_attempt *out)
{
    char text[KAFKA_ATTEMPT_TEXT_SIZE];
    if (found.size == 0 || found.size >= sizeof text)
        return false;
    memcpy(text, found.data, found.size);
    text[found.size] = '\0';
    *out = (struct kafka_attempt){.began = began};
    return sscanf(text, FORM " %" SCNx64 " %d %" SCNd64 " %" SCNd64 " %d", &out->owner, &out->ends,
               &out->current, &out->suspect, &out->suspect_ends) == 5;
}

void kafka_attempt_text(const struct kafka_attempt *attempt, char out[KAFKA_ATTEMPT_TEXT_SIZE])
{
    snprintf(out, KAFKA_ATTEMPT_TEXT_SIZE, FORM " %" PRIx64 " %d %" PRId64 " %" PRId64 " %d",
        attempt->owner, attempt->ends, attempt->current, attempt->suspect, attempt->suspect_ends);
}

bool kafka_attempt_told(const struct kafka_attempt *found, uint64_t owner, int64_t next)
{
    /* The same owner comes again after a batch that it undid. */
    return found->owner != 0 && found->owner != owner && found->current >= next;
}

struct kafka_attempt kafka_attempt_of(
    const struct kafka_attempt *found, bool elsewhere, uint64_t owner, int64_t next, int64_t range)
{
    struct kafka_attempt made = {.owner = owner, .began = next, .current = NONE, .suspect = NONE};
    if (!found || found->began > next)
        return made;
    made.ends = found->began < next ? 0 : found->ends;
    if (found->suspect >= next) {
        made.suspect = found->suspect;
        made.suspect_ends = found->suspect_ends;
    }
    if (kafka_attempt_told(found, owner, next)) {
        /* Records come in order: what ended owners before would have ended this one first. */
        made.suspect_ends = made.suspect == found->current ? made.suspect_ends + 1 : 1;
        made.suspect = found->current;
    } else if (found->owner != 0 && found->owner != owner && !elsewhere) {
        made.ends++;
        made.single = found->current == KAFKA_ATTEMPT_SETTLE && found->began == next;
    }
    if (made.ends >= KAFKA_ATTEMPTS_CAREFUL || made.suspect != NONE)
        made.careful = next + range > made.suspect ? next + range : made.suspect + 1;
    return made;
}

bool kafka_attempt_poison(const struct kafka_attempt *attempt, int64_t position)
{
    return position == attempt->suspect && attempt->suspect_ends >= KAFKA_ATTEMPTS_POISON;
}

/* ---- what is kept ---- */

void kafka_attempts_open(struct kafka_attempts *attempts, struct kafka_client *client)
{
    *attempts = (struct kafka_attempts){
        .client = client, .range = (int64_t)client->config->batch_records_max};
    if (getrandom(&attempts->owner, sizeof attempts->owner, 0) != sizeof attempts->owner ||
        attempts->owner == 0)
        attempts->owner = (uint64_t)kafka_clock_ms() | 1;
}

static int answer_of(rd_kafka_event_t *event)
{
    if (!event)
        return ERR_AGAIN;
    int r = kafka_error_of(rd_kafka_event_error(event));
    rd_kafka_topic_partition_list_t *parts = rd_kafka_event_topic_partition_list(event);
    for (int i = 0; parts && r == 0 && i < parts->cnt; i++)
        r = kafka_error_of(parts->elems[i].err);
    return r;
}

static int note(
    struct kafka_attempts *attempts, const rd_kafka_topic_partition_list_t *rows, int timeout_ms)
{
    rd_kafka_t *rk = attempts->client->rk;
    if (rows->cnt == 0)
        return 0;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    int r = kafka_error_of(rd_kafka_commit_queue(rk, rows, queue, NULL, NULL));
    if (r == 0) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
        r = answer_of(event);
        if (event)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    return r;
}

struct rows {
    const struct kafka_config *config;
    rd_kafka_topic_partition_list_t *list;
};

/* The list's destruction frees the text. */
static void add_row(
    struct rows *rows, enum topic topic, int32_t partition, const struct kafka_attempt *attempt)
{
    char name[KAFKA_TOPIC_SIZE_MAX];
    char text[KAFKA_ATTEMPT_TEXT_SIZE];
    kafka_topic_name(rows->config, topic, name);
    kafka_attempt_text(attempt, text);
    rd_kafka_topic_partition_t *row =
        rd_kafka_topic_partition_list_add(rows->list, name, partition);
    row->offset = attempt->began;
    row->metadata = strdup(text);
    row->metadata_size = row->metadata ? strlen(text) : 0;
}

static int begin_input(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    add_row(context, topic, partition, &input->attempt);
    return 0;
}

static int end_input(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    struct kafka_attempt *attempt = &input->attempt;
    if (attempt->owner == 0)
        return 0; /* it was never begun */
    *attempt = (struct kafka_attempt){.began = input->committed,
        .ends = input->committed > attempt->began ? 0 : attempt->ends,
        .current = NONE,
        .suspect = attempt->suspect,
        .suspect_ends = attempt->suspect_ends};
    add_row(context, topic, partition, attempt);
    return 0;
}

/* Nobody is told any more what is begun, if the brokers forbid it. */
static int allowed(struct kafka_attempts *attempts, int r)
{
    if (r != ERR_AUTH)
        return r;
    kafka_log(attempts->client->config, LOG_WARNING, "kafka_suspect",
        "group %s-attempts may not be used: ends of workers are not counted beyond this machine",
        attempts->client->config->group);
    attempts->client = NULL;
    return 0;
}

/* What stands in a row; NULL when there is none. */
static const struct kafka_attempt *read_row(
    const rd_kafka_topic_partition_t *row, struct kafka_attempt *out)
{
    const struct str text = str_make(row->metadata, row->offset < 0 ? 0 : row->metadata_size);
    return kafka_attempt_read(text, row->offset, out) ? out : NULL;
}

static struct kafka_input *input_of(
    struct kafka_inputs *inputs, const rd_kafka_topic_partition_t *row)
{
    struct kafka_input *input =
        kafka_inputs_find(inputs, kafka_topic_of(inputs->config, row->topic), row->partition);
    check(input);
    return input;
}

/* Whether one of the rows tells in which record the owner ended. */
static bool told_in(struct kafka_attempts *attempts, struct kafka_inputs *inputs,
    const rd_kafka_topic_partition_list_t *rows, uint64_t ended)
{
    for (int i = 0; i < rows->cnt; i++) {
        struct kafka_attempt found;
        if (read_row(&rows->elems[i], &found) && found.owner == ended &&
            kafka_attempt_told(
                &found, attempts->owner, input_of(inputs, &rows->elems[i])->committed))
            return true;
    }
    return false;
}

static void say_careful(struct kafka_inputs *inputs, const rd_kafka_topic_partition_t *row,
    const struct kafka_attempt *attempt)
{
    if (attempt->suspect == NONE)
        kafka_log(inputs->config, LOG_ERR, "kafka_suspect",
            "%d workers ended after %s %d at %lld: each record is noted from there", attempt->ends,
            row->topic, (int)row->partition, (long long)attempt->began);
    else
        kafka_log(inputs->config, LOG_ERR, "kafka_suspect",
            "a worker ended in %s %d at %lld, %d times since it is watched", row->topic,
            (int)row->partition, (long long)attempt->suspect, attempt->suspect_ends);
}

static void take_rows(struct kafka_attempts *attempts, struct kafka_inputs *inputs,
    const rd_kafka_topic_partition_list_t *rows)
{
    inputs->careful = 0;
    for (int i = 0; i < rows->cnt; i++) {
        struct kafka_attempt read;
        struct kafka_input *input = input_of(inputs, &rows->elems[i]);
        const struct kafka_attempt *found = read_row(&rows->elems[i], &read);
        bool elsewhere = found && found->owner && told_in(attempts, inputs, rows, found->owner);
        input->attempt =
            kafka_attempt_of(found, elsewhere, attempts->owner, input->committed, attempts->range);
        inputs->careful += input->attempt.careful != 0;
        if (input->attempt.careful)
            say_careful(inputs, &rows->elems[i], &input->attempt);
    }
}

int kafka_attempts_begin(struct kafka_attempts *attempts, struct kafka_inputs *inputs)
{
    if (!attempts->client)
        return 0;
    rd_kafka_topic_partition_list_t *found = kafka_inputs_list(inputs, false);
    int r = found->cnt
                ? kafka_error_of(rd_kafka_committed(attempts->client->rk, found, KAFKA_ANSWER_MS))
                : 0;
    for (int i = 0; r == 0 && i < found->cnt; i++)
        r = kafka_error_of(found->elems[i].err);
    if (r == 0)
        take_rows(attempts, inputs, found);
    rd_kafka_topic_partition_list_destroy(found);
    struct rows rows = {.config = inputs->config, .list = rd_kafka_topic_partition_list_new(0)};
    if (r == 0)
        (void)kafka_inputs_each(inputs, begin_input, &rows);
    if (r == 0)
        r = note(attempts, rows.list, KAFKA_ANSWER_MS);
    rd_kafka_topic_partition_list_destroy(rows.list);
    return allowed(attempts, r);
}

void kafka_attempts_end(struct kafka_attempts *attempts, struct kafka_inputs *inputs)
{
    if (!attempts->client)
        return;
    struct rows rows = {.config = inputs->config, .list = rd_kafka_topic_partition_list_new(0)};
    (void)kafka_inputs_each(inputs, end_input, &rows);
    int r = note(attempts, rows.list, END_MS);
    if (r < 0)
        kafka_log(inputs->config, LOG_INFO, "kafka_suspect", "a clean end was not noted: %s",
            error_text(r));
    rd_kafka_topic_partition_list_destroy(rows.list);
}

/* ---- records ---- */

int kafka_attempts_enter(struct kafka_attempts *attempts, struct kafka_inputs *inputs,
    enum topic topic, int32_t partition, int64_t position)
{
    struct kafka_input *input = kafka_inputs_find(inputs, (int)topic, partition);
    struct kafka_attempt *attempt = &input->attempt;
    if (!attempts->client || position >= attempt->careful)
        return 0;
    if (kafka_attempt_poison(attempt, position))
        return ERR_CRASHES;
    struct rows rows = {.config = inputs->config, .list = rd_kafka_topic_partition_list_new(1)};
    attempt->began = input->committed;
    attempt->current = position;
    /* One record at a time is being processed: what was noted elsewhere is none, in one request. */
    if (attempts->noted && (attempts->topic != topic || attempts->partition != partition)) {
        struct kafka_input *before =
            kafka_inputs_find(inputs, (int)attempts->topic, attempts->partition);
        if (before && before->task && before->attempt.current != NONE) {
            before->attempt.current = NONE;
            before->attempt.began = before->committed;
            add_row(&rows, attempts->topic, attempts->partition, &before->attempt);
        }
    }
    attempts->noted = true;
    attempts->topic = topic;
    attempts->partition = partition;
    add_row(&rows, topic, partition, attempt);
    int r = note(attempts, rows.list, KAFKA_ANSWER_MS);
    rd_kafka_topic_partition_list_destroy(rows.list);
    return r;
}

struct marking {
    struct rows rows;
    int64_t current;
};

/* Of those that noted something. */
static int mark(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    struct marking *marking = context;
    struct kafka_attempt *attempt = &input->attempt;
    if (attempt->current == NONE)
        return 0;
    attempt->current = marking->current;
    attempt->began = input->committed;
    add_row(&marking->rows, topic, partition, attempt);
    return 0;
}

static int mark_all(struct kafka_attempts *attempts, struct kafka_inputs *inputs, int64_t current)
{
    struct marking marking = {.current = current,
        .rows = {.config = inputs->config, .list = rd_kafka_topic_partition_list_new(0)}};
    (void)kafka_inputs_each(inputs, mark, &marking);
    int r = note(attempts, marking.rows.list, KAFKA_ANSWER_MS);
    rd_kafka_topic_partition_list_destroy(marking.rows.list);
    return r;
}

int kafka_attempts_settle(
    struct kafka_attempts *attempts, struct kafka_inputs *inputs, size_t batch_records)
{
    if (!attempts->client || batch_records == 1 || !attempts->noted)
        return 0;
    return mark_all(attempts, inputs, KAFKA_ATTEMPT_SETTLE);
}

int kafka_attempts_settled(struct kafka_attempts *attempts, struct kafka_inputs *inputs)
{
    if (!attempts->client || !attempts->noted)
        return 0;
    attempts->noted = false;
    return mark_all(attempts, inputs, NONE);
}

static int limit_of(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    const struct kafka_attempt *attempt = &input->attempt;
    size_t *limit = context;
    size_t own = attempt->single ? 1 : CAREFUL_BATCH;
    if (attempt->careful && own < *limit)
        *limit = own;
    return 0;
}

size_t kafka_attempts_batch(struct kafka_inputs *inputs, size_t most)
{
    if (inputs->careful)
        (void)kafka_inputs_each(inputs, limit_of, &most);
    return most;
}
