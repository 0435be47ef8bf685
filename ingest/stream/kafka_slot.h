/*
 * The directory of a worker slot: one process at a time; within that, of each task's copy one
 * worker at a time, as LMDB forbids to open an environment twice in one process. Private to the
 * driver but for what kafka.h has of it.
 */
#pragma once

#include <pthread.h>

#include "ingest/stream/kafka.h"

#define KAFKA_SLOT_DIR_SIZE 4096
#define KAFKA_SLOT_BOOT_SIZE 64

/* A stage's copy of one partition. */
struct kafka_slot_copy {
    const char *stage;
    int32_t partition;
};

struct kafka_slot {
    char dir[KAFKA_SLOT_DIR_SIZE];
    char boot[KAFKA_SLOT_BOOT_SIZE]; /* id of this boot of the machine; empty when it does not tell
                                      */
    int lock;                        /* descriptor, or -1 */
    pthread_mutex_t mutex;           /* over what follows */
    struct kafka_slot_copy *claimed;
    size_t count;
    size_t room;
};

/* The copy is the caller's from here to kafka_slot_yield(). stage outlives that. Errors: ERR_AGAIN
 * while another worker has it, ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int kafka_slot_claim(struct kafka_slot *slot, const char *stage, int32_t partition);
/* After the copy is closed. Threads: any. */
void kafka_slot_yield(struct kafka_slot *slot, const char *stage, int32_t partition);
