/*
 * The members of a message, or of its context, that the mapping knows: found in one walk, then
 * asked for by number.
 */
#pragma once

#include "schemas/json.h"

enum segment_field {
    SEGMENT_FIELD_NONE,
    /* of a message */
    SEGMENT_FIELD_ANONYMOUS_ID,
    SEGMENT_FIELD_CATEGORY,
    SEGMENT_FIELD_CHANNEL,
    SEGMENT_FIELD_CONTEXT,
    SEGMENT_FIELD_EVENT,
    SEGMENT_FIELD_GROUP_ID,
    SEGMENT_FIELD_MERGE_PROPERTIES,
    SEGMENT_FIELD_MESSAGE_ID,
    SEGMENT_FIELD_NAME,
    SEGMENT_FIELD_ORIGINAL_TIMESTAMP,
    SEGMENT_FIELD_PREVIOUS_ID,
    SEGMENT_FIELD_PROPERTIES,
    SEGMENT_FIELD_SENT_AT,
    SEGMENT_FIELD_TIMESTAMP,
    SEGMENT_FIELD_USER_ID,
    /* of both */
    SEGMENT_FIELD_TRAITS,
    /* of a context */
    SEGMENT_FIELD_APP,
    SEGMENT_FIELD_CAMPAIGN,
    SEGMENT_FIELD_CONSENT,
    SEGMENT_FIELD_DEVICE,
    SEGMENT_FIELD_IP,
    SEGMENT_FIELD_LIBRARY,
    SEGMENT_FIELD_LOCALE,
    SEGMENT_FIELD_OS,
    SEGMENT_FIELD_PAGE,
    SEGMENT_FIELD_SCREEN,
    SEGMENT_FIELD_USER_AGENT,
    SEGMENT_FIELD_COUNT,
};

/* A value type; {0} has no members. */
struct segment_fields {
    const struct json_tape *tape;
    uint32_t at[SEGMENT_FIELD_COUNT]; /* place in the tape; 0: not there */
    enum segment_field lowest;        /* of all members; SEGMENT_FIELD_COUNT: there are none */
};

/* The field that a name means, SEGMENT_FIELD_NONE for any other. Threads: any. */
enum segment_field segment_field_of(struct str name);

/* Finds the members of an object; anything else has none. Of a name that stands twice the first
 * counts, as for json_get(). Threads: any. */
void segment_fields_read(struct json object, struct segment_fields *out);

/* Whether a member of a context has a place of its own in the event; others become properties. */
static inline bool segment_field_placed(enum segment_field field)
{
    return field >= SEGMENT_FIELD_TRAITS;
}

/* The member, as json_get(). */
static inline bool segment_fields_get(
    const struct segment_fields *fields, enum segment_field field, struct json *out)
{
    if (fields->at[field] == 0)
        return false;
    *out = (struct json){fields->tape, fields->at[field]};
    return true;
}
