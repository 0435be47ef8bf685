/* See the header. */
#include "ingest/rejection.h"

#define ATTEMPT_SIZE 4
#define MARK 's'

size_t rejection_key_write(const struct rejection_key *key, uint8_t out[REJECTION_KEY_SIZE_MAX])
{
    memcpy(out, key->rejected_key, KEY_SIZE);
    if (key->attempt == 0 && !key->settled)
        return KEY_SIZE;
    for (size_t i = 0; i < ATTEMPT_SIZE; i++)
        out[KEY_SIZE + i] = (uint8_t)(key->attempt >> (8 * (ATTEMPT_SIZE - 1 - i)));
    out[KEY_SIZE + ATTEMPT_SIZE] = MARK;
    return KEY_SIZE + ATTEMPT_SIZE + key->settled;
}

bool rejection_key_read(struct str bytes, struct rejection_key *out)
{
    struct rejection_key key = {.settled = bytes.size == REJECTION_KEY_SIZE_MAX};
    const uint8_t *data = (const uint8_t *)bytes.data;
    if (bytes.size != KEY_SIZE && bytes.size != KEY_SIZE + ATTEMPT_SIZE && !key.settled)
        return false;
    if (key.settled && data[KEY_SIZE + ATTEMPT_SIZE] != MARK)
        return false;
    memcpy(key.rejected_key, data, KEY_SIZE);
    for (size_t i = KEY_SIZE; i < bytes.size && i < KEY_SIZE + ATTEMPT_SIZE; i++)
        key.attempt = key.attempt << 8 | data[i];
    if (key.attempt > REJECTION_ATTEMPT_MAX)
        return false;
    *out = key;
    return true;
}
