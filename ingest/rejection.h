/*
 * Keys of TOPIC_REJECTED. A rejection may be put through the door again: it then is settled, or
 * refused for a reason that may be another one. What stands in table `rejected` is a function of
 * the set of these records, in whatever order they come and however often:
 *
 *     row stands  <=>  the highest attempt of its rejections has not been settled
 */
#pragma once

#include "schemas/hash.h"

/*
 * Forms of a key, by its size:
 *     16  rejected_key                       a rejection of something that came: attempt 0
 *     20  rejected_key, attempt (4)          of something put through the door again
 *     21  rejected_key, attempt (4), 's'     rejections of that key up to this attempt are settled;
 *                                            no value
 * Integers are big-endian.
 */
#define REJECTION_KEY_SIZE_MAX 21
#define REJECTION_ATTEMPT_MAX 1000000

struct rejection_key {
    uint8_t rejected_key[KEY_SIZE];
    uint32_t attempt;
    bool settled;
};

/* Returns the size written. Threads: any. */
size_t rejection_key_write(const struct rejection_key *key, uint8_t out[REJECTION_KEY_SIZE_MAX]);
/* False for what is no such key. Threads: any. */
bool rejection_key_read(struct str bytes, struct rejection_key *out);
