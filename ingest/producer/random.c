/* Bytes are fetched from the kernel in pools: a system call an event would cost more than the rest.
 * A fork cannot use a pool twice, as the child's producer is dead. */
#include "ingest/producer/random.h"

#include <sys/random.h>
#include <time.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define MILLIS_PER_SECOND 1000
#define NANOS_PER_MILLI 1000000
#define UUID_BYTES 16
#define UUID_TIME_BYTES 6

int producer_random_init(struct producer_random *random)
{
    random->left = 0;
    return pthread_mutex_init(&random->lock, NULL) == 0 ? 0 : ERR_NO_MEMORY;
}

void producer_random_fini(struct producer_random *random)
{
    (void)pthread_mutex_destroy(&random->lock);
}

static int take(struct producer_random *random, uint8_t *out, size_t size)
{
    int r = 0;
    (void)pthread_mutex_lock(&random->lock);
    if (random->left < size) {
        ssize_t got = getrandom(random->pool, sizeof random->pool, GRND_NONBLOCK);
        random->left = got == (ssize_t)sizeof random->pool ? sizeof random->pool : 0;
        r = random->left ? 0 : ERR_IO;
    }
    if (r == 0) {
        random->left -= size;
        memcpy(out, random->pool + random->left, size);
    }
    (void)pthread_mutex_unlock(&random->lock);
    return r;
}

int producer_random_uuid(struct producer_random *random, char out[PRODUCER_UUID_SIZE + 1])
{
    uint8_t bytes[UUID_BYTES];
    char hex[2 * UUID_BYTES];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms =
        (uint64_t)now.tv_sec * MILLIS_PER_SECOND + (uint64_t)now.tv_nsec / NANOS_PER_MILLI;
    int r = take(random, bytes + UUID_TIME_BYTES, sizeof bytes - UUID_TIME_BYTES);
    if (r < 0)
        return r;
    for (size_t i = 0; i < UUID_TIME_BYTES; i++)
        bytes[i] = (uint8_t)(ms >> 8 * (UUID_TIME_BYTES - 1 - i));
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0F)); /* version */
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3F)); /* variant */
    hex_encode(bytes, sizeof bytes, hex);
    memcpy(out, hex, 8);
    out[8] = '-';
    memcpy(out + 9, hex + 8, 4);
    out[13] = '-';
    memcpy(out + 14, hex + 12, 4);
    out[18] = '-';
    memcpy(out + 19, hex + 16, 4);
    out[23] = '-';
    memcpy(out + 24, hex + 20, 12);
    out[PRODUCER_UUID_SIZE] = '\0';
    return 0;
}

int producer_random_between(struct producer_random *random, int low, int high)
{
    uint32_t number = 0;
    if (high <= low || take(random, (uint8_t *)&number, sizeof number) < 0)
        return low;
    uint64_t range = (uint64_t)((int64_t)high - low) + 1;
    return low + (int)(number * range >> 32);
}
