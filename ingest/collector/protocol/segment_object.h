/*
 * Objects of a Segment message: reading members leniently where they only inform, writing what is
 * left of them as canonical JSON.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/json.h"

/* Text of a value: text as it is, whole numbers in digits; empty when null. Numbers are written
 * into the arena. Errors: ERR_FIELD_TYPE for another kind; ERR_NO_MEMORY. */
MUST_CHECK int segment_value_text(struct json value, struct arena *arena, struct str *out);

/* Text of a member: text as it is, whole numbers in digits; empty when absent, null or of another
 * kind. Numbers are written into the arena. Errors: ERR_NO_MEMORY. */
MUST_CHECK int segment_text(
    struct json object, struct str key, struct arena *arena, struct str *out);

/* The same, but another kind is ERR_FIELD_TYPE: for what identifies or counts. */
MUST_CHECK int segment_text_strict(
    struct json object, struct str key, struct arena *arena, struct str *out);

/* The member when it is an object. */
bool segment_object(struct json object, struct str key, struct json *out);

/* Members on their way into one object. */
struct segment_members {
    struct segment_member {
        struct str key;
        struct json value;
        struct str text; /* canonical JSON; empty: value */
    } * list;            /* in the arena */
    size_t count;
    size_t capacity;
};

/* Makes room for count more. Errors: ERR_NO_MEMORY. */
MUST_CHECK int segment_members_reserve(
    struct segment_members *members, struct arena *arena, size_t count);

/* Adds all members of an object but those named in `except`. Errors: ERR_NO_MEMORY. */
MUST_CHECK int segment_members_add_all(struct segment_members *members, struct arena *arena,
    struct json object, const struct str *except, size_t except_count);

/* Adds one with canonical JSON text, or with a value where text is empty; not when the key is
 * there. Errors: ERR_NO_MEMORY. */
MUST_CHECK int segment_members_add(struct segment_members *members, struct arena *arena,
    struct str key, struct str text, struct json value);

/* Adds one whose value is a text; nothing when it is empty. Errors: ERR_NO_MEMORY. */
MUST_CHECK int segment_members_add_text(
    struct segment_members *members, struct arena *arena, struct str key, struct str text);

/* Writes the object, keys sorted, into the arena; empty when it has no members. Errors:
 * ERR_NO_MEMORY, ERR_TOO_LARGE over EVENT_SIZE_MAX. */
MUST_CHECK int segment_members_write(
    struct segment_members *members, struct arena *arena, struct str *out);
