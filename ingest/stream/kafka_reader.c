/*
 * See replay_source.h. Partitions are assigned, not subscribed: no group knows of this reader. The
 * place is a text of "topic:partition=next" between blanks; a partition that it lacks begins anew.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/kafka_refuse.h"
#include "ingest/stream/replay_source.h"

#define POLL_MS 200
#define SILENCE_MS_MAX 60000 /* without anything from the broker */
#define BYTES_MAX ((size_t)16 << 20)
#define WORD_SIZE_MAX 96

struct part {
    enum topic topic;
    int32_t partition;
    int64_t next;
    int64_t end;
};

struct kafka_reader {
    struct replay_source source; /* first */
    struct kafka_config config;
    struct kafka_client client;
    struct kafka_topic_cache cache;
    struct kafka_frame frame;
    int64_t time_micros;
    struct part *parts;
    size_t parts_count;
    struct append_record *records;
    size_t count;
    size_t room;
    size_t bytes;
    struct arena arena;   /* what records point to */
    struct arena scratch; /* the value that is being read */
    struct arena judge;
};

static const enum topic topics[] = {TOPIC_EVENTS, TOPIC_REJECTED};
#define TOPICS (sizeof topics / sizeof *topics)

static struct part *part_of(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    int topic = kafka_topic_cached(&reader->cache, &reader->config, message->rkt);
    for (size_t i = 0; i < reader->parts_count; i++)
        if ((int)reader->parts[i].topic == topic &&
            reader->parts[i].partition == message->partition)
            return &reader->parts[i];
    return NULL;
}

static bool at_end(const struct kafka_reader *reader)
{
    for (size_t i = 0; i < reader->parts_count; i++)
        if (reader->parts[i].next < reader->parts[i].end)
            return false;
    return true;
}

/* ---- reading ---- */

static int add(struct kafka_reader *reader, const struct append_record *record)
{
    int r = replay_keep(&reader->arena, record, &reader->records[reader->count]);
    reader->count += r == 0;
    reader->bytes += record->key.size + record->value.size;
    return r;
}

static int read_value(
    struct kafka_reader *reader, const rd_kafka_message_t *message, struct append_record *record)
{
    struct record read;
    int64_t until = kafka_clock_ms() + SILENCE_MS_MAX;
    int r;
    while ((r = kafka_refuse_read(
                &reader->frame, message, record->topic, &reader->scratch, &read)) > 0 &&
           kafka_clock_ms() < until)
        (void)kafka_frame_wait(&reader->frame, POLL_MS);
    if (r == 0)
        record->value = read.value;
    return r > 0 ? ERR_AGAIN : r;
}

static int take_message(
    struct kafka_reader *reader, const struct part *part, const rd_kafka_message_t *message)
{
    struct append_record record = {.topic = part->topic,
        .key = str_make(message->key, message->key_len),
        .value = STR(""),
        .attempt = kafka_refuse_attempt(message)};
    bool settled = part->topic == TOPIC_REJECTED && !message->payload;
    int r = settled ? 0 : read_value(reader, message, &record);
    if (r < 0 && error_class(r) == ERROR_CLASS_REJECT && part->topic == TOPIC_EVENTS)
        r = kafka_refuse_make(message, part->topic, r, &reader->scratch, &record);
    if (r == 0 && record.key.size &&
        !replay_received_before(record.topic, record.value, reader->time_micros, &reader->judge))
        r = add(reader, &record);
    arena_reset(&reader->scratch);
    return r;
}

static int take(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    bool ended = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (message->err && !ended) {
        int r = kafka_error_of(message->err);
        kafka_log(
            &reader->config, LOG_WARNING, "kafka_replay", "%s", rd_kafka_message_errstr(message));
        /* Deleted before it was read: whoever begins again is told so. */
        bool lost = message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
        return lost ? ERR_AGAIN : r == ERR_AGAIN ? 0 : r;
    }
    struct part *part = part_of(reader, message);
    if (!part || part->next >= part->end)
        return part ? 0 : ERR_INTERNAL;
    int r = ended || message->offset >= part->end ? 0 : take_message(reader, part, message);
    if (r < 0)
        return r;
    part->next = ended ? message->offset : message->offset + 1;
    return 0;
}

static int grow(struct kafka_reader *reader, size_t records_max)
{
    if (reader->room >= records_max)
        return 0;
    struct append_record *grown = realloc(reader->records, records_max * sizeof *reader->records);
    if (!grown)
        return ERR_NO_MEMORY;
    reader->records = grown;
    reader->room = records_max;
    return 0;
}

static int next(struct replay_source *source, size_t records_max,
    const struct append_record **records, size_t *count)
{
    struct kafka_reader *reader = (struct kafka_reader *)source;
    int64_t heard = kafka_clock_ms();
    int r = grow(reader, records_max);
    reader->count = reader->bytes = 0;
    arena_reset(&reader->arena);
    while (r == 0 && !at_end(reader) && reader->count < records_max && reader->bytes < BYTES_MAX) {
        rd_kafka_message_t *message =
            rd_kafka_consumer_poll(reader->client.rk, reader->count ? 0 : POLL_MS);
        if (!message && reader->count)
            break;
        if (!message) {
            r = kafka_clock_ms() - heard > SILENCE_MS_MAX ? ERR_AGAIN : 0;
            continue;
        }
        heard = kafka_clock_ms();
        r = take(reader, message);
        rd_kafka_message_destroy(message);
    }
    *records = reader->records;
    *count = reader->count;
    return r;
}

static int place(struct replay_source *source, struct buf *out)
{
    const struct kafka_reader *reader = (const struct kafka_reader *)source;
    int r = 0;
    for (size_t i = 0; r == 0 && i < reader->parts_count; i++)
        r = buf_appendf(out, "%s%s:%" PRId32 "=%" PRId64, i ? " " : "",
            topic_name(reader->parts[i].topic), reader->parts[i].partition, reader->parts[i].next);
    return r;
}

static void close_reader(struct replay_source *source)
{
    struct kafka_reader *reader = (struct kafka_reader *)source;
    kafka_client_close(&reader->client);
    kafka_frame_fini(&reader->frame);
    arena_free(&reader->arena);
    arena_free(&reader->scratch);
    arena_free(&reader->judge);
    free(reader->parts);
    free(reader->records);
    free(reader);
}

/* ---- opening ---- */

/* What the place says of the partition, or -1. */
static int64_t placed(struct str text, const struct part *part)
{
    char word[WORD_SIZE_MAX];
    int size =
        snprintf(word, sizeof word, "%s:%" PRId32 "=", topic_name(part->topic), part->partition);
    while (text.size) {
        const char *end = memchr(text.data, ' ', text.size);
        struct str one = str_make(text.data, end ? (size_t)(end - text.data) : text.size);
        if (str_starts_with(one, str_make(word, (size_t)size))) {
            int64_t number = 0;
            for (size_t i = (size_t)size; i < one.size && one.data[i] >= '0' && one.data[i] <= '9';
                 i++)
                number = number > INT64_MAX / 10 - 10 ? number : number * 10 + (one.data[i] - '0');
            return number;
        }
        text = str_make(text.data + one.size + (end != NULL), text.size - one.size - (end != NULL));
    }
    return -1;
}

static int begin_part(struct kafka_reader *reader, struct part *part,
    const struct replay_from *from, struct str place_text, bool *lost)
{
    char name[KAFKA_TOPIC_SIZE_MAX];
    int64_t low;
    kafka_topic_name(&reader->config, part->topic, name);
    int r = kafka_client_ends(&reader->client, name, part->partition, &low, &part->end);
    if (r < 0)
        return r;
    int64_t at = placed(place_text, part);
    bool resumed = at >= 0;
    if (!resumed)
        at = part->topic == TOPIC_EVENTS ? from->offset : 0;
    if (resumed && at > part->end)
        return ERR_STATE;
    /* Who wants all, or what comes next, misses what was deleted meanwhile. */
    *lost |= part->topic == TOPIC_EVENTS && at < low && !from->time_micros;
    part->next = at < low ? low : at;
    reader->source.total += part->end > part->next ? part->end - part->next : 0;
    return 0;
}

static int assign(struct kafka_reader *reader)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);
    for (size_t i = 0; i < reader->parts_count; i++) {
        const struct part *part = &reader->parts[i];
        char name[KAFKA_TOPIC_SIZE_MAX];
        if (part->next >= part->end)
            continue;
        kafka_topic_name(&reader->config, part->topic, name);
        rd_kafka_topic_partition_list_add(list, name, part->partition)->offset = part->next;
    }
    int r = list->cnt ? kafka_error_of(rd_kafka_assign(reader->client.rk, list)) : 0;
    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

static int make_parts(struct kafka_reader *reader, int timeout_ms)
{
    struct kafka_layout layout;
    size_t count = 0;
    int r = kafka_layout_get(&reader->client, timeout_ms, &layout);
    if (r == 0)
        r = kafka_layout_check(&reader->config, &layout);
    if (r < 0)
        return r;
    for (size_t t = 0; t < TOPICS; t++)
        count += (size_t)layout.partitions[topics[t]];
    reader->parts = calloc(count, sizeof *reader->parts);
    if (!reader->parts)
        return ERR_NO_MEMORY;
    for (size_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < layout.partitions[topics[t]]; p++)
            reader->parts[reader->parts_count++] =
                (struct part){.topic = topics[t], .partition = p};
    return 0;
}

int kafka_reader_open(const struct kafka_config *config, const struct replay_from *from,
    struct str place_text, int timeout_ms, bool *lost, struct replay_source **out)
{
    struct kafka_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return ERR_NO_MEMORY;
    reader->source = (struct replay_source){.next = next, .place = place, .close = close_reader};
    reader->config = *config;
    reader->frame.config = &reader->config;
    reader->time_micros = from->time_micros;
    reader->arena.size_max = reader->scratch.size_max = (size_t)1 << 30;
    *lost = false;
    int r = kafka_client_open(&reader->client, &reader->config, KAFKA_ROLE_RESULTS, NULL);
    if (r == 0)
        r = make_parts(reader, timeout_ms);
    for (size_t i = 0; r == 0 && i < reader->parts_count; i++)
        r = begin_part(reader, &reader->parts[i], from, place_text, lost);
    if (r == 0)
        r = assign(reader);
    if (r < 0) {
        close_reader(&reader->source);
        return r;
    }
    *out = &reader->source;
    return 0;
}
