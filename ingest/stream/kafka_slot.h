/*
 * The directory of a worker slot: one process at a time. Private to the driver.
 */
#pragma once

#include "ingest/stream/kafka.h"

#define KAFKA_SLOT_DIR_SIZE 4096
#define KAFKA_SLOT_BOOT_SIZE 64

struct kafka_slot {
    char dir[KAFKA_SLOT_DIR_SIZE];
    char boot[KAFKA_SLOT_BOOT_SIZE]; /* id of this boot of the machine; empty when it does not tell
                                      */
    int lock;                        /* descriptor, or -1 */
};

/* Makes <state_dir>/<slot> and locks it until kafka_slot_release() or the process's end. Errors:
 * ERR_LOCKED when another process has it, ERR_CONFIG (name too long), ERR_IO, ERR_FULL. */
MUST_CHECK int kafka_slot_take(struct kafka_slot *slot, const struct kafka_config *config);
/* Accepts one that was not taken. */
void kafka_slot_release(struct kafka_slot *slot);
