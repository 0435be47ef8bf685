/*
 * Random numbers of one producer: ids of events, and the jitter of pauses. Threads: any.
 */
#pragma once

#include <pthread.h>

#include "schemas/bytes.h"

#define PRODUCER_RANDOM_POOL 512
#define PRODUCER_UUID_SIZE 36

struct producer_random {
    pthread_mutex_t lock;
    uint8_t pool[PRODUCER_RANDOM_POOL]; /* of the kernel, each byte used once */
    size_t left;
};

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int producer_random_init(struct producer_random *random);
void producer_random_fini(struct producer_random *random);

/* A UUID of version 7 of this moment, with its NUL. Errors: ERR_IO: the kernel has no randomness.
 * Source: RFC 9562, 5.7. */
MUST_CHECK int producer_random_uuid(
    struct producer_random *random, char out[PRODUCER_UUID_SIZE + 1]);
/* Within [low, high]; low where there is no randomness. */
int producer_random_between(struct producer_random *random, int low, int high);
