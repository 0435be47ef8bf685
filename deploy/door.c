/* See the header. */
#include "deploy/door.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "deploy/serve.h"
#include "ingest/spool/spool.h"
#include "ingest/stream/kafka_frame.h"
#include "schemas/error.h"

#define UNSPOOLED_TIMEOUT_MS 30000
#define MILLISECONDS_SIZE 24

/* Whichever program of a new installation comes first, it makes the topics. */
static int open_kafka(void *context, struct appender **out)
{
    struct kafka_door *door = context;
    int r = serve_topics(door->settings, &door->kafka, door->timeout_ms);
    if (r == 0)
        r = kafka_appender_open(&door->kafka, door->timeout_ms, out);
    if (r == 0)
        door->cluster = *out;
    return r;
}

static void cancel_kafka(void *context, struct appender *appender)
{
    (void)context;
    kafka_appender_cancel(appender);
}

static void close_kafka(void *context, struct appender **appender)
{
    (void)context;
    kafka_appender_close(appender);
}

/* [spool] after is how long a message may wait for its brokers; a property of that name that the
 * operator gave comes behind it, and stands. */
static int set_timeout(struct kafka_door *door)
{
    struct settings *settings = door->settings;
    struct kafka_config *kafka = &door->kafka;
    char *text = arena_alloc(&settings->arena, MILLISECONDS_SIZE);
    struct kafka_property *properties =
        arena_alloc(&settings->arena, (kafka->properties_count + 1) * sizeof *properties);
    if (!text || !properties)
        return ERR_NO_MEMORY;
    (void)snprintf(text, MILLISECONDS_SIZE, "%d", door->timeout_ms);
    properties[0] = (struct kafka_property){KAFKA_SCOPE_PRODUCER, "message.timeout.ms", text, NULL};
    memcpy(properties + 1, kafka->properties, kafka->properties_count * sizeof *properties);
    kafka->properties = properties;
    kafka->properties_count++;
    return 0;
}

static int spool_dir(struct settings *settings, const char **out)
{
    const char *dir = config_path(settings->config, OPTION_SPOOL_DIR);
    CLEANUP(buf_free) struct buf text = {0};
    struct str kept;
    int r = dir[0] ? buf_appendf(&text, "%s%c", dir, 0)
                   : buf_appendf(
                         &text, "%s/spool%c", config_path(settings->config, OPTION_DATA_DIR), 0);
    if (r == 0)
        r = arena_dup(&settings->arena, buf_str(&text), &kept);
    if (r == 0)
        *out = kept.data;
    return r;
}

static int open_spool(struct kafka_door *door, uint64_t size_max)
{
    struct settings *settings = door->settings;
    const char *dir = "";
    int r = set_timeout(door);
    if (r == 0)
        r = spool_dir(settings, &dir);
    if (r < 0)
        return r;
    errno = 0;
    r = kafka_make_dir(dir);
    const struct spool_config config = {
        .dir = dir,
        .size_max = size_max,
        .drain_per_second = config_int(settings->config, OPTION_SPOOL_DRAIN_RATE),
        .record_size_max = KAFKA_VALUE_SIZE_MAX - KAFKA_FRAME_SIZE,
        .open = open_kafka,
        .cancel = cancel_kafka,
        .close = close_kafka,
        .context = door,
        .log = &settings->log,
        .metrics = settings->metrics,
    };
    if (r == 0)
        r = spool_open(&config, &door->appender);
    if (r == 0)
        settings->spool = door->appender;
    else if (r == ERR_IO || r == ERR_LOCKED)
        (void)fprintf(stderr, "tabiji: spool %s: %s\n", dir,
            r == ERR_LOCKED ? "another process has it: give each collector its own [spool] dir"
            : errno         ? strerror(errno)
                            : error_text(r));
    return r;
}

int kafka_door_open(
    struct kafka_door *door, struct settings *settings, const struct kafka_config *kafka)
{
    uint64_t size_max = (uint64_t)config_int(settings->config, OPTION_SPOOL_SIZE_MAX);
    *door = (struct kafka_door){
        .settings = settings, .kafka = *kafka, .timeout_ms = UNSPOOLED_TIMEOUT_MS};
    int r = serve_measure(settings);
    if (r < 0)
        return r;
    renewal_begin(&door->renewal, &door->kafka);
    if (size_max == 0)
        return open_kafka(door, &door->appender);
    door->timeout_ms = (int)config_int(settings->config, OPTION_SPOOL_AFTER);
    return open_spool(door, size_max);
}

void kafka_door_renew(struct kafka_door *door)
{
    if (door->cluster && renewal_due(&door->renewal))
        kafka_appender_renew(door->cluster);
}

int kafka_door_failure(const struct kafka_door *door)
{
    return door->settings->spool ? spool_failure(door->settings->spool) : 0;
}

void kafka_door_close(struct kafka_door *door)
{
    if (door->settings->spool)
        spool_close(&door->appender);
    else
        kafka_appender_close(&door->appender);
    door->settings->spool = NULL;
}
