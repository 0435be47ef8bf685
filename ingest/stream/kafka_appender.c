/*
 * Doors to Kafka: an idempotent producer that all threads share.
 *
 * 1. append() holds a reference on the line (handle and poller) that it produced to, so that a line
 * is destroyed after its last delivery report.
 * 2. Each produced record gets exactly one report, within message.timeout.ms; so append() waits
 *    without a timeout of its own, and what it waits with may live on its stack.
 * 3. A fatal error of the idempotent producer ends the line; the next append() makes another.
 */
#include "ingest/stream/kafka.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"
#include "schemas/hash.h"

#define POLL_MS 100
#define CLOSE_MS 1000
#define CURSOR_SIZE_MAX ((size_t)1 << 20)
#define PATH_SIZE 4096

/* One append() that waits. */
struct waiting {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

struct line {
    struct kafka_client client;
    struct kafka_layout layout;
    rd_kafka_topic_t *topics[TOPIC_COUNT];
    pthread_t poller;
    atomic_bool stop;
    size_t references; /* under the appender's mutex */
};

struct kafka_appender {
    struct appender base;
    struct kafka_config config;
    int timeout_ms;
    pthread_mutex_t mutex;
    struct line *line; /* under mutex; NULL: the next append opens one */
    bool cancelled;    /* under mutex */
};

/* So many have met their end, or never began. */
static void settle(struct kafka_append *append, size_t count)
{
    if (atomic_fetch_sub(&append->left, count) == count)
        append->done(append->context);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_append *append = message->_private;
    int none = 0;
    if (message->err)
        (void)atomic_compare_exchange_strong(&append->code, &none, message->err);
    settle(append, 1);
}

static void *poll_reports(void *argument)
{
    struct line *line = argument;
    while (!atomic_load(&line->stop))
        rd_kafka_poll(line->client.rk, POLL_MS);
    return NULL;
}

static void line_close(struct line *line)
{
    if (line->client.rk) {
        rd_kafka_purge(line->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(line->client.rk, CLOSE_MS);
    }
    if (line->poller) {
        atomic_store(&line->stop, true);
        pthread_join(line->poller, NULL);
    }
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (line->topics[i])
            rd_kafka_topic_destroy(line->topics[i]);
    kafka_client_close(&line->client);
    free(line);
}

static int line_topics(struct line *line, int timeout_ms)
{
    const struct kafka_config *config = line->client.config;
    int r = kafka_layout_get(&line->client, timeout_ms, &line->layout);
    if (r == 0)
        r = kafka_layout_check(config, &line->layout);
    if (r < 0)
        return r;
    static const enum topic written[] = {
        TOPIC_EVENTS, TOPIC_REJECTED, TOPIC_IDENTITY, TOPIC_JOURNEY};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(config, written[i], name);
        line->topics[written[i]] = rd_kafka_topic_new(line->client.rk, name, NULL);
        if (!line->topics[written[i]])
            return ERR_KAFKA;
    }
    return 0;
}

static int line_open(const struct kafka_config *config, int timeout_ms, struct line **out)
{
    struct line *line = calloc(1, sizeof *line);
    if (!line)
        return ERR_NO_MEMORY;
    line->references = 1;
    const struct kafka_callbacks callbacks = {.owner = line, .delivered = delivered};
    int r = kafka_client_open(&line->client, config, KAFKA_ROLE_DOOR, &callbacks);
    if (r == 0)
        r = line_topics(line, timeout_ms);
    if (r == 0 && pthread_create(&line->poller, NULL, poll_reports, line) != 0) {
        line->poller = 0;
        r = ERR_NO_MEMORY;
    }
    if (r < 0) {
        line_close(line);
        return r;
    }
    *out = line;
    return 0;
}

/* ---- references ---- */

static void line_unref(struct kafka_appender *appender, struct line *line)
{
    pthread_mutex_lock(&appender->mutex);
    bool last = --line->references == 0;
    pthread_mutex_unlock(&appender->mutex);
    if (last)
        line_close(line);
}

/* A line that works; makes one where the last has failed. */
static int line_ref(struct kafka_appender *appender, struct line **out)
{
    int r = 0;
    pthread_mutex_lock(&appender->mutex);
    if (appender->cancelled)
        r = ERR_AGAIN;
    else if (!appender->line)
        r = line_open(&appender->config, appender->timeout_ms, &appender->line);
    if (r == 0) {
        appender->line->references++;
        *out = appender->line;
    }
    pthread_mutex_unlock(&appender->mutex);
    return r;
}

/* Gives a line up when its producer is done for. */
static void line_check(struct kafka_appender *appender, struct line *line)
{
    char text[256];
    if (!rd_kafka_fatal_error(line->client.rk, text, sizeof text))
        return;
    pthread_mutex_lock(&appender->mutex);
    bool current = appender->line == line;
    if (current)
        appender->line = NULL;
    pthread_mutex_unlock(&appender->mutex);
    if (!current)
        return;
    kafka_log(&appender->config, LOG_ERR, "kafka_producer_replaced", "%s", text);
    line_unref(appender, line);
}

/* ---- append ---- */

/* The topics were there when the line was opened: one that is gone may be back. A producer whose
 * sequence is lost is replaced. */
static int delivery_error(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
        return ERR_AGAIN;
    default:
        return kafka_error_of(code);
    }
}

/* With the attempt as a header. On success the payload is librdkafka's. */
static int send_again(struct line *line, const struct append_record *record, int32_t partition,
    struct str payload, struct kafka_append *append)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%u", record->attempt);
    return delivery_error(
        rd_kafka_producev(line->client.rk, RD_KAFKA_V_RKT(line->topics[record->topic]),
            RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(record->key.data, record->key.size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)payload.data, payload.size),
            RD_KAFKA_V_HEADER(KAFKA_ATTEMPT_HEADER, text, size),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_FREE), RD_KAFKA_V_OPAQUE(append), RD_KAFKA_V_END));
}

/* On success the payload is librdkafka's; of one without data the record has no value. */
static int send_payload(struct line *line, const struct append_record *record, struct str payload,
    struct kafka_append *append)
{
    int32_t partition = topic_partition(record->key, line->layout.partitions[record->topic]);
    if (record->attempt)
        return send_again(line, record, partition, payload, append);
    if (rd_kafka_produce(line->topics[record->topic], partition, RD_KAFKA_MSG_F_FREE,
            (void *)(uintptr_t)payload.data, payload.size, record->key.data, record->key.size,
            append) == 0)
        return 0;
    return delivery_error(rd_kafka_last_error());
}

static int produce(
    struct line *line, const struct append_record *record, struct kafka_append *append)
{
    if (record->topic == TOPIC_REJECTED && record->value.size == 0)
        return send_payload(line, record, (struct str){NULL, 0}, append);
    uint32_t id =
        kafka_frame_id(line->client.config, record->topic, record->key, record->value.size);
    size_t frame = kafka_frame_size(id);
    size_t size = frame + record->value.size;
    if (size > KAFKA_VALUE_SIZE_MAX)
        return ERR_TOO_LARGE;
    char *payload = malloc(size);
    if (!payload)
        return ERR_NO_MEMORY;
    kafka_frame_put(id, payload);
    if (record->value.size)
        memcpy(payload + frame, record->value.data, record->value.size);
    int r = send_payload(line, record, str_make(payload, size), append);
    if (r < 0)
        free(payload);
    return r;
}

int kafka_append_begin(struct appender *base, const struct append_record *records, size_t count,
    struct kafka_append *append)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    struct line *line = NULL;
    size_t produced = 0;
    int r = line_ref(appender, &line);
    if (r < 0)
        return r;
    append->line = line;
    append->error = 0;
    atomic_store(&append->left, count + 1); /* one is this function's */
    atomic_store(&append->code, 0);
    while (produced < count && append->error == 0) {
        check(line->topics[records[produced].topic]); /* one that is not for workers alone */
        append->error = produce(line, &records[produced], append);
        if (append->error == 0)
            produced++;
    }
    settle(append, count - produced + 1);
    return 0;
}

int kafka_append_end(struct appender *base, struct kafka_append *append)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    struct line *line = append->line;
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)atomic_load(&append->code);
    int r = delivery_error(code);
    if (r < 0)
        kafka_log(line->client.config, LOG_WARNING, "kafka_delivery", "%s", rd_kafka_err2str(code));
    if (append->error < 0)
        r = append->error;
    if (r < 0)
        line_check(appender, line);
    line_unref(appender, line);
    return r;
}

static void wake(void *context)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->mutex);
    waiting->done = true;
    pthread_cond_signal(&waiting->cond);
    pthread_mutex_unlock(&waiting->mutex);
}

static int append_and_wait(struct appender *base, const struct append_record *records, size_t count)
{
    struct waiting waiting = {.done = false};
    struct kafka_append append = {.done = wake, .context = &waiting};
    pthread_mutex_init(&waiting.mutex, NULL);
    pthread_cond_init(&waiting.cond, NULL);
    int r = kafka_append_begin(base, records, count, &append);
    pthread_mutex_lock(&waiting.mutex);
    while (r == 0 && !waiting.done)
        pthread_cond_wait(&waiting.cond, &waiting.mutex);
    pthread_mutex_unlock(&waiting.mutex);
    if (r == 0)
        r = kafka_append_end(base, &append);
    pthread_cond_destroy(&waiting.cond);
    pthread_mutex_destroy(&waiting.mutex);
    return r;
}

/* ---- cursors ---- */

static int cursor_path(const struct kafka_appender *appender, struct str name, char out[PATH_SIZE])
{
    struct sha256 hash;
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1] = "";
    sha256_init(&hash);
    sha256_update(&hash, name);
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, hex);
    int size = snprintf(out, PATH_SIZE, "%s/cursor-%s", appender->config.state_dir, hex);
    return size > 0 && size < PATH_SIZE ? 0 : ERR_CONFIG;
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ENOSPC ? ERR_FULL : ERR_IO;
        bytes.data += n;
        bytes.size -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : ERR_IO;
}

static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    int r = fsync(fd) == 0 ? 0 : ERR_IO;
    close(fd);
    return r;
}

/* A file of the value alone, replaced as a whole. Threads that advance one cursor at the same time
 * each write a file of their own; the last name stands. */
static int cursor_put(struct kafka_appender *appender, const struct append_cursor *cursor)
{
    char path[PATH_SIZE];
    char fresh[PATH_SIZE + 16];
    int r = cursor_path(appender, cursor->name, path);
    if (r < 0)
        return r;
    snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return errno == ENOSPC ? ERR_FULL : ERR_IO;
    r = write_all(fd, cursor->value);
    if (close(fd) != 0 && r == 0)
        r = ERR_IO;
    if (r == 0 && rename(fresh, path) != 0)
        r = ERR_IO;
    if (r == 0)
        return sync_directory(appender->config.state_dir);
    unlink(fresh);
    return r;
}

static int cursor_get(struct appender *base, struct str name, struct buf *out)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    char path[PATH_SIZE];
    char bytes[PATH_SIZE];
    int r = cursor_path(appender, name, path);
    if (r < 0)
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? APPEND_NO_CURSOR : ERR_IO;
    size_t before = out->size;
    ssize_t n;
    while (r == 0 && (n = read(fd, bytes, sizeof bytes)) != 0) {
        if (n < 0)
            r = errno == EINTR ? 0 : ERR_IO;
        else if (out->size - before + (size_t)n > CURSOR_SIZE_MAX)
            r = ERR_STATE;
        else
            r = buf_append(out, bytes, (size_t)n);
    }
    close(fd);
    if (r < 0)
        out->size = before;
    return r;
}

static int append(struct appender *base, const struct append_record *records, size_t count,
    const struct append_cursor *cursor)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    if (cursor && cursor->value.size > CURSOR_SIZE_MAX)
        return ERR_TOO_LARGE;
    int r = count > 0 ? append_and_wait(base, records, count) : 0;
    if (r < 0)
        return r;
    return cursor ? cursor_put(appender, cursor) : 0;
}

int kafka_appender_open(const struct kafka_config *config, int timeout_ms, struct appender **out)
{
    int r = kafka_make_dir(config->state_dir);
    if (r < 0)
        return r;
    struct kafka_appender *appender = calloc(1, sizeof *appender);
    if (!appender)
        return ERR_NO_MEMORY;
    appender->base = (struct appender){.append = append, .cursor_get = cursor_get};
    appender->config = *config;
    appender->timeout_ms = timeout_ms;
    r = line_open(&appender->config, timeout_ms, &appender->line);
    if (r < 0) {
        free(appender);
        return r;
    }
    pthread_mutex_init(&appender->mutex, NULL);
    *out = &appender->base;
    return 0;
}

static void purge(struct line *line)
{
    rd_kafka_purge(line->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

void kafka_appender_cancel(struct appender *base)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    pthread_mutex_lock(&appender->mutex);
    appender->cancelled = true;
    if (appender->line)
        purge(appender->line);
    pthread_mutex_unlock(&appender->mutex);
}

void kafka_appender_renew(struct appender *base)
{
    struct kafka_appender *appender = (struct kafka_appender *)base;
    pthread_mutex_lock(&appender->mutex);
    struct line *line = appender->line;
    appender->line = NULL;
    pthread_mutex_unlock(&appender->mutex);
    if (line)
        line_unref(appender, line);
}

void kafka_appender_close(struct appender **base)
{
    if (!*base)
        return;
    struct kafka_appender *appender = (struct kafka_appender *)*base;
    if (appender->line) {
        purge(appender->line);
        line_unref(appender, appender->line);
    }
    pthread_mutex_destroy(&appender->mutex);
    free(appender);
    *base = NULL;
}
