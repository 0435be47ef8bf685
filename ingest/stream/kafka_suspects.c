/*
 * Invariant: `what` of the mapped file is written after what it speaks of, and is IDLE while no
 * code of a stage runs.
 */
#include "ingest/stream/kafka_suspects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "ingest/stream/kafka_client.h"
#include "schemas/error.h"

#define MAGIC UINT64_C(0x7461626a73757331)
#define LINE_SIZE 64
#define NARROWER 8 /* times smaller are batches after an end in none of their records */

enum {
    IDLE,
    RECORD,
    SETTLE,
};

struct kafka_running {
    uint64_t magic;
    _Atomic uint32_t what;
    int32_t topic; /* of the record entered last */
    int32_t partition;
    int64_t position;
    uint64_t records; /* entered since the last commit */
    uint64_t limit;   /* of a batch; 0: none */
    uint64_t left;    /* records to be committed until there is no limit any more */
};

static bool is_of(const struct kafka_suspect *suspect, int topic, int32_t partition)
{
    return suspect->topic == topic && suspect->partition == partition;
}

/* ---- the list ---- */

static void read_list(struct kafka_suspects *suspects, FILE *file)
{
    char line[LINE_SIZE];
    suspects->count = 0;
    while (suspects->count < KAFKA_SUSPECTS_MAX && fgets(line, sizeof line, file)) {
        long long position;
        struct kafka_suspect *suspect = &suspects->list[suspects->count];
        if (sscanf(line, "%d %d %lld %d", &suspect->topic, &suspect->partition, &position,
                &suspect->crashes) != 4)
            continue;
        suspect->position = position;
        suspects->count++;
    }
}

static int write_list(const struct kafka_suspects *suspects, FILE *file)
{
    if (fseek(file, 0, SEEK_SET) != 0 || ftruncate(fileno(file), 0) != 0)
        return ERR_IO;
    for (size_t i = 0; i < suspects->count; i++)
        (void)fprintf(file, "%d %d %lld %d\n", suspects->list[i].topic,
            (int)suspects->list[i].partition, (long long)suspects->list[i].position,
            suspects->list[i].crashes);
    return fflush(file) == 0 ? 0 : errno == ENOSPC ? ERR_FULL : ERR_IO;
}

static void remove_at(struct kafka_suspects *suspects, size_t at)
{
    suspects->count--;
    memmove(&suspects->list[at], &suspects->list[at + 1],
        (suspects->count - at) * sizeof suspects->list[at]);
}

static void add_crash(struct kafka_suspects *suspects, const struct kafka_running *running)
{
    size_t i = 0;
    while (i < suspects->count && !(is_of(&suspects->list[i], running->topic, running->partition) &&
                                      suspects->list[i].position == running->position))
        i++;
    if (i == KAFKA_SUSPECTS_MAX) {
        remove_at(suspects, 0);
        i--;
    }
    if (i == suspects->count) {
        suspects->list[i] =
            (struct kafka_suspect){running->topic, running->partition, running->position, 0};
        suspects->count++;
    }
    int crashes = ++suspects->list[i].crashes;
    kafka_log(suspects->config, LOG_ERR, "kafka_suspect",
        "a worker ended in %s %d at %lld, %d times so far", topic_name((enum topic)running->topic),
        (int)running->partition, (long long)running->position, crashes);
}

static void drop_passed(
    struct kafka_suspects *suspects, enum topic topic, int32_t partition, int64_t next)
{
    for (size_t i = suspects->count; i-- > 0;)
        if (is_of(&suspects->list[i], (int)topic, partition) && suspects->list[i].position < next)
            remove_at(suspects, i);
}

/* Reads the list as it is now, and holds it until fclose(). */
static int hold_list(struct kafka_suspects *suspects, FILE **out)
{
    int fd = open(suspects->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!file) {
        if (fd >= 0)
            (void)close(fd);
        return errno == ENOSPC ? ERR_FULL : ERR_IO;
    }
    if (flock(fd, LOCK_EX) != 0) {
        (void)fclose(file);
        return ERR_IO;
    }
    read_list(suspects, file);
    *out = file;
    return 0;
}

/* ---- the mapped file ---- */

static int map_running(struct kafka_suspects *suspects, const char *slot_dir)
{
    char path[KAFKA_SUSPECTS_PATH_SIZE];
    int thread = suspects->config->thread;
    int size = thread == 0 ? snprintf(path, sizeof path, "%s/running", slot_dir)
                           : snprintf(path, sizeof path, "%s/running-%d", slot_dir, thread);
    if (size <= 0 || size >= (int)sizeof path)
        return ERR_CONFIG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC ? ERR_FULL : ERR_IO;
    int code = posix_fallocate(fd, 0, sizeof *suspects->running);
    void *mapped =
        code ? MAP_FAILED
             : mmap(NULL, sizeof *suspects->running, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (mapped == MAP_FAILED)
        return code == ENOSPC ? ERR_FULL : ERR_IO;
    suspects->running = mapped;
    if (suspects->running->magic != MAGIC || (unsigned)suspects->running->topic >= TOPIC_COUNT)
        *suspects->running = (struct kafka_running){.magic = MAGIC};
    return 0;
}

/* An end in none of the records: smaller batches, until what the batch had is done. */
static void narrow(struct kafka_suspects *suspects)
{
    struct kafka_running *running = suspects->running;
    uint64_t limit = running->records / NARROWER;
    running->limit = limit ? limit : 1;
    running->left += running->records;
    kafka_log(suspects->config, LOG_ERR, "kafka_suspect",
        "a worker ended in a batch of %llu records: batches of %llu for the next %llu",
        (unsigned long long)running->records, (unsigned long long)running->limit,
        (unsigned long long)running->left);
}

static int look_back(struct kafka_suspects *suspects)
{
    struct kafka_running *running = suspects->running;
    uint32_t what = atomic_load(&running->what);
    FILE *file;
    int r = hold_list(suspects, &file);
    if (r < 0)
        return r;
    if (what == RECORD || (what == SETTLE && running->records == 1)) {
        add_crash(suspects, running);
        r = write_list(suspects, file);
    } else if (what == SETTLE) {
        narrow(suspects);
    }
    (void)fclose(file);
    running->records = 0;
    atomic_store(&running->what, IDLE);
    return r;
}

int kafka_suspects_open(
    struct kafka_suspects *suspects, const struct kafka_config *config, const char *slot_dir)
{
    *suspects = (struct kafka_suspects){.config = config};
    int size = snprintf(
        suspects->path, sizeof suspects->path, "%s/suspects-%s", config->state_dir, config->prefix);
    if (size <= 0 || size >= (int)sizeof suspects->path)
        return ERR_CONFIG;
    int r = map_running(suspects, slot_dir);
    if (r == 0)
        r = look_back(suspects);
    if (r < 0)
        kafka_suspects_close(suspects);
    return r;
}

void kafka_suspects_close(struct kafka_suspects *suspects)
{
    if (suspects->running)
        (void)munmap(suspects->running, sizeof *suspects->running);
    suspects->running = NULL;
    suspects->count = 0;
}

/* ---- while working ---- */

bool kafka_suspects_poison(const struct kafka_suspects *suspects, const struct record *record)
{
    for (size_t i = 0; i < suspects->count; i++)
        if (is_of(&suspects->list[i], (int)record->topic, record->partition) &&
            suspects->list[i].position == record->position)
            return suspects->list[i].crashes >= KAFKA_CRASHES_MAX;
    return false;
}

static void set_what(struct kafka_suspects *suspects, uint32_t what)
{
    if (suspects->running)
        atomic_store_explicit(&suspects->running->what, what, memory_order_release);
}

void kafka_suspects_enter(struct kafka_suspects *suspects, const struct record *record)
{
    struct kafka_running *running = suspects->running;
    if (!running)
        return;
    running->topic = (int32_t)record->topic;
    running->partition = record->partition;
    running->position = record->position;
    running->records++;
    suspects->unit = RECORD;
    set_what(suspects, RECORD);
}

void kafka_suspects_follow(struct kafka_suspects *suspects)
{
    set_what(suspects, suspects->unit);
}

void kafka_suspects_leave(struct kafka_suspects *suspects)
{
    set_what(suspects, IDLE);
}

void kafka_suspects_settle(struct kafka_suspects *suspects)
{
    suspects->unit = SETTLE;
    set_what(suspects, SETTLE);
}

size_t kafka_suspects_batch(const struct kafka_suspects *suspects, size_t most)
{
    const struct kafka_running *running = suspects->running;
    return running && running->limit && running->limit < most ? (size_t)running->limit : most;
}

void kafka_suspects_passed(
    struct kafka_suspects *suspects, enum topic topic, int32_t partition, int64_t next)
{
    FILE *file;
    size_t count = suspects->count;
    drop_passed(suspects, topic, partition, next);
    if (suspects->count == count)
        return;
    /* That the file keeps it for longer does no harm. */
    if (hold_list(suspects, &file) < 0)
        return;
    drop_passed(suspects, topic, partition, next);
    (void)!write_list(suspects, file);
    (void)fclose(file);
}

void kafka_suspects_ended(struct kafka_suspects *suspects, bool committed)
{
    struct kafka_running *running = suspects->running;
    if (!running)
        return;
    if (committed && running->limit) {
        running->left -= running->records < running->left ? running->records : running->left;
        if (running->left == 0)
            running->limit = 0;
    }
    running->records = 0;
}
