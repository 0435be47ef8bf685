/* See the header. */
#include "deploy/renew.h"

#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "ingest/config/secret.h"
#include "schemas/error.h"

#define EVERY_MS 2000
#define PROBE_MS 5000
#define LOCATION ".location"
#define TEXT_SIZE 128
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Where a property's value lies, or a file that librdkafka reads; size 0: in no file. */
static struct str place_of(const struct kafka_property *property)
{
    struct str name = str_of(property->name);
    size_t suffix = sizeof LOCATION - 1;
    if (property->file)
        return str_of(property->file);
    if (name.size >= suffix && memcmp(name.data + name.size - suffix, LOCATION, suffix) == 0)
        return str_of(property->value);
    return STR("");
}

/* What tells all files from those that were there before. */
static uint64_t look_at_files(const struct kafka_config *kafka)
{
    uint64_t hash = FNV_BASIS;
    for (size_t i = 0; i < kafka->properties_count; i++) {
        struct str place = place_of(&kafka->properties[i]);
        if (place.size)
            hash = (hash ^ secret_stamp(place)) * FNV_PRIME;
    }
    return hash;
}

/* Whether a client that is made now has what the files of passwords hold now. */
static bool secrets_readable(const struct kafka_config *kafka)
{
    for (size_t i = 0; i < kafka->properties_count; i++) {
        CLEANUP(secret_wipe) struct buf secret = {0};
        const struct kafka_property *property = &kafka->properties[i];
        if (!property->file)
            continue;
        struct str place = str_of(property->file);
        bool exposed = secret_of_kafka(str_of(property->name)) && secret_exposed(place);
        if (exposed || secret_read(place, &secret) < 0)
            return false;
    }
    return true;
}

static void say(const struct kafka_config *kafka, int level, const char *text)
{
    if (kafka->log)
        kafka->log(kafka->log_context, level, "kafka_credentials", text);
}

void renewal_begin(struct renewal *renewal, const struct kafka_config *kafka)
{
    *renewal = (struct renewal){
        .kafka = kafka, .used = look_at_files(kafka), .look_ms = now_ms() + EVERY_MS};
    renewal->tried = renewal->used;
}

bool renewal_due(struct renewal *renewal)
{
    int32_t there[TOPIC_COUNT];
    char text[TEXT_SIZE];
    if (!renewal->kafka || now_ms() < renewal->look_ms)
        return false;
    renewal->look_ms = now_ms() + EVERY_MS;
    uint64_t files = look_at_files(renewal->kafka);
    if (files == renewal->used)
        return false;
    int r = secrets_readable(renewal->kafka)
                ? kafka_topics_partitions(renewal->kafka, PROBE_MS, there)
                : ERR_CONFIG;
    if (r == 0) {
        renewal->used = renewal->tried = files;
        say(renewal->kafka, LOG_NOTICE, "the files have changed: clients are made anew");
        return true;
    }
    (void)snprintf(text, sizeof text, "the files have changed, but do not do yet: %s",
        r == ERR_CONFIG ? "one cannot be read, or can be by others" : error_text(r));
    if (files != renewal->tried)
        say(renewal->kafka, LOG_WARNING, text);
    renewal->tried = files;
    return false;
}
