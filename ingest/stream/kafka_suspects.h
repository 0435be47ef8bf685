/*
 * Records that the worker ended in: one that has done so three times is put to `rejected`, so that
 * the others go on. Private to the driver.
 *
 * What is being done stands in a mapped file of the slot and thread, which costs a few stores a
 * record and outlives the process, though not the machine. The next process of the slot reads it,
 * and counts the record in a file of the state directory, which all slots below it share. (What
 * other threads did when one ended the process is counted too, once; it comes to three only for
 * what ends it each time.) An end while derived
 * rows were brought up to date belongs to no record alone: batches are then made smaller until one
 * has a single record, which is counted.
 */
#pragma once

#include "ingest/stream/kafka.h"

#define KAFKA_CRASHES_MAX 3
#define KAFKA_SUSPECTS_MAX 64 /* of a state directory; then the first are forgotten */
#define KAFKA_SUSPECTS_PATH_SIZE 4352

struct kafka_suspect {
    int topic; /* enum topic */
    int32_t partition;
    int64_t position;
    int crashes;
};

struct kafka_running; /* of the mapped file */

/* {0} is one that was not opened: it suspects nothing. One thread. */
struct kafka_suspects {
    char path[KAFKA_SUSPECTS_PATH_SIZE];
    const struct kafka_config *config;
    struct kafka_running *running;
    uint32_t unit; /* what kafka_suspects_follow() goes on with */
    struct kafka_suspect list[KAFKA_SUSPECTS_MAX];
    size_t count;
};

/* Looks what the last process of the slot, in its thread of this number, ended in, and logs it.
 * Errors: ERR_IO, ERR_FULL, ERR_CONFIG (path too long). */
MUST_CHECK int kafka_suspects_open(
    struct kafka_suspects *suspects, const struct kafka_config *config, const char *slot_dir);
void kafka_suspects_close(struct kafka_suspects *suspects);

/* Whether the record has ended workers KAFKA_CRASHES_MAX times. */
bool kafka_suspects_poison(const struct kafka_suspects *suspects, const struct record *record);

/* The record is being processed; then it is not any more. */
void kafka_suspects_enter(struct kafka_suspects *suspects, const struct record *record);
void kafka_suspects_leave(struct kafka_suspects *suspects);
/* What comes of what was said last, the record or the derived rows, is being processed. */
void kafka_suspects_follow(struct kafka_suspects *suspects);
/* Derived rows of the batch are being brought up to date, until kafka_suspects_leave(). */
void kafka_suspects_settle(struct kafka_suspects *suspects);

/* How many records a batch may have: at most, but while an end is looked for. */
size_t kafka_suspects_batch(const struct kafka_suspects *suspects, size_t most);

/* A batch stands: all of the partition before `next` is done, and suspected no more. */
void kafka_suspects_passed(
    struct kafka_suspects *suspects, enum topic topic, int32_t partition, int64_t next);
/* A batch begins anew, after a commit (of what was entered since) or a roll-back. */
void kafka_suspects_ended(struct kafka_suspects *suspects, bool committed);
