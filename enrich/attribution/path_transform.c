#include "enrich/attribution/path_transform.h"

static size_t exposures(struct path_step *touches, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (left && touches[left - 1].channel == touches[i].channel) {
            uint32_t flags = touches[left - 1].flags;
            touches[left - 1] = touches[i];
            touches[left - 1].flags |= flags;
        } else {
            touches[left++] = touches[i];
        }
    }
    return left;
}

static void turn_round(struct path_step *touches, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct path_step swap = touches[i];
        touches[i] = touches[count - 1 - i];
        touches[count - 1 - i] = swap;
    }
}

static size_t first_of_each(
    struct path_step *touches, size_t count, uint32_t *places, uint32_t *times)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t *place = &places[touches[i].channel]; /* from 1 */
        if (*place) {
            touches[*place - 1].flags |= touches[i].flags;
            times[*place - 1]++;
            continue;
        }
        times[left] = 1;
        touches[left++] = touches[i];
        *place = (uint32_t)left;
    }
    for (size_t i = 0; i < left; i++)
        places[touches[i].channel] = 0;
    return left;
}

size_t path_transform_apply(enum path_transform transform, struct path_step *touches, size_t count,
    uint32_t *places, uint32_t *times)
{
    switch (transform) {
    case PATH_TRANSFORM_EXPOSURE:
        return exposures(touches, count);
    case PATH_TRANSFORM_UNIQUE:
        turn_round(touches, count);
        count = first_of_each(touches, count, places, times);
        turn_round(touches, count);
        return count;
    case PATH_TRANSFORM_FIRST:
    case PATH_TRANSFORM_FREQUENCY:
        return first_of_each(touches, count, places, times);
    case PATH_TRANSFORM_NONE:
    case PATH_TRANSFORM_COUNT:
        break;
    }
    return count;
}
