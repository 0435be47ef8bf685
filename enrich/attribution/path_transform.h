/*
 * What a report makes of a path before it is credited: repeats taken together.
 *
 * Source: ATTRIBUTION, "Path".
 */
#pragma once

#include "enrich/attribution/path_rules.h"

enum path_transform {
    PATH_TRANSFORM_NONE,
    PATH_TRANSFORM_EXPOSURE,  /* touches of one channel in a row are one, the last of them */
    PATH_TRANSFORM_UNIQUE,    /* of each channel the last touch */
    PATH_TRANSFORM_FIRST,     /* of each channel the first touch */
    PATH_TRANSFORM_FREQUENCY, /* the same, and how often the channel was met tells it from itself */
    PATH_TRANSFORM_COUNT,
};

/*
 * Makes that of count touches in time order, in place; returns how many are left. A touch that is
 * left has the flags of all that it stands for: a milestone stays one. places: an element a
 * channel, all 0 before and after. times: an element a touch; of first and frequency it becomes how
 * often the channel of each that is left was met. Threads: any.
 */
size_t path_transform_apply(enum path_transform transform, struct path_step *touches, size_t count,
    uint32_t *places, uint32_t *times);
