/* See the header. */
#include "deploy/renew.h"

#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

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

static uint64_t mix(uint64_t hash, uint64_t number)
{
    return (hash ^ number) * FNV_PRIME;
}

/* What tells a file from the one that was there before. */
static uint64_t look_at_files(const struct kafka_config *kafka)
{
    uint64_t hash = FNV_BASIS;
    for (size_t i = 0; i < kafka->properties_count; i++) {
        struct stat status;
        struct str name = str_of(kafka->properties[i].name);
        size_t suffix = sizeof LOCATION - 1;
        if (name.size < suffix || memcmp(name.data + name.size - suffix, LOCATION, suffix) != 0)
            continue;
        if (stat(kafka->properties[i].value, &status) != 0)
            continue;
        hash = mix(hash, (uint64_t)status.st_ino);
        hash = mix(hash, (uint64_t)status.st_size);
        hash = mix(hash, (uint64_t)status.st_mtim.tv_sec);
        hash = mix(hash, (uint64_t)status.st_mtim.tv_nsec);
    }
    return hash;
}

static void say(const struct kafka_config *kafka, int level, const char *text)
{
    if (kafka->log)
        kafka->log(kafka->log_context, level, "kafka_certificates", text);
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
    int r = kafka_topics_partitions(renewal->kafka, PROBE_MS, there);
    if (r == 0) {
        renewal->used = renewal->tried = files;
        say(renewal->kafka, LOG_NOTICE, "the files have changed: clients are made anew");
        return true;
    }
    (void)snprintf(
        text, sizeof text, "the files have changed, but do not do yet: %s", error_text(r));
    if (files != renewal->tried)
        say(renewal->kafka, LOG_WARNING, text);
    renewal->tried = files;
    return false;
}
