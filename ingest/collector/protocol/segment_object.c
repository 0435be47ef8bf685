/* Members are collected, sorted once, written once. */
#include "ingest/collector/protocol/segment_object.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/event.h"

#define INTEGER_SIZE_MAX 24
#define SORT_BY_INSERTION_MAX 24

static int number_text(struct json value, struct arena *arena, struct str *out)
{
    struct buf text = {.data = arena_alloc(arena, INTEGER_SIZE_MAX),
        .capacity = INTEGER_SIZE_MAX,
        .size_max = INTEGER_SIZE_MAX};
    if (!text.data)
        return ERR_NO_MEMORY;
    int r = json_write_int(&text, json_int(value));
    *out = buf_str(&text);
    return r;
}

int segment_value_text(struct json value, struct arena *arena, struct str *out)
{
    *out = str_make(NULL, 0);
    switch (json_kind(value)) {
    case JSON_NULL:
        return 0;
    case JSON_TEXT:
        *out = json_text(value);
        return 0;
    case JSON_INT:
        return number_text(value, arena, out);
    default:
        return ERR_FIELD_TYPE;
    }
}

int segment_text_strict(struct json object, struct str key, struct arena *arena, struct str *out)
{
    struct json value;
    *out = str_make(NULL, 0);
    return json_get(object, key, &value) ? segment_value_text(value, arena, out) : 0;
}

int segment_text(struct json object, struct str key, struct arena *arena, struct str *out)
{
    int r = segment_text_strict(object, key, arena, out);
    return r == ERR_FIELD_TYPE ? 0 : r;
}

bool segment_object(struct json object, struct str key, struct json *out)
{
    return json_get(object, key, out) && json_kind(*out) == JSON_OBJECT;
}

int segment_members_reserve(struct segment_members *members, struct arena *arena, size_t count)
{
    if (members->capacity - members->count >= count)
        return 0;
    size_t capacity = members->count + count + 8;
    struct segment_member *list = arena_alloc(arena, capacity * sizeof *list);
    if (!list)
        return ERR_NO_MEMORY;
    if (members->count)
        memcpy(list, members->list, members->count * sizeof *list);
    members->list = list;
    members->capacity = capacity;
    return 0;
}

static bool is_in(struct str key, const struct str *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(list[i], key))
            return true;
    return false;
}

int segment_members_add_all(struct segment_members *members, struct arena *arena,
    struct json object, const struct str *except, size_t except_count)
{
    int r = segment_members_reserve(members, arena, json_count(object));
    if (r < 0)
        return r;
    struct json_iterator iterator;
    struct segment_member member = {0};
    json_iterate(object, &iterator);
    while (json_next(&iterator, &member.key, &member.value))
        if (!is_in(member.key, except, except_count))
            members->list[members->count++] = member;
    return 0;
}

static bool has_key(const struct segment_members *members, struct str key)
{
    for (size_t i = 0; i < members->count; i++)
        if (str_equal(members->list[i].key, key))
            return true;
    return false;
}

int segment_members_add(struct segment_members *members, struct arena *arena, struct str key,
    struct str text, struct json value)
{
    if (has_key(members, key))
        return 0;
    int r = segment_members_reserve(members, arena, 1);
    if (r < 0)
        return r;
    members->list[members->count++] =
        (struct segment_member){.key = key, .value = value, .text = text};
    return 0;
}

int segment_members_add_text(
    struct segment_members *members, struct arena *arena, struct str key, struct str text)
{
    if (text.size == 0)
        return 0;
    CLEANUP(buf_free) struct buf quoted = {0};
    struct str copy;
    int r = json_write_text(&quoted, text);
    if (r == 0)
        r = arena_dup(arena, buf_str(&quoted), &copy);
    if (r < 0)
        return r;
    return segment_members_add(members, arena, key, copy, (struct json){0});
}

static int compare(const void *a, const void *b)
{
    return str_compare(
        ((const struct segment_member *)a)->key, ((const struct segment_member *)b)->key);
}

/* Mostly a few, and often in order: then no more is done than to look. */
static void sort(struct segment_member *list, size_t count)
{
    if (count > SORT_BY_INSERTION_MAX) {
        qsort(list, count, sizeof *list, compare);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct segment_member member = list[i];
        size_t at = i;
        for (; at > 0 && str_compare(list[at - 1].key, member.key) > 0; at--)
            list[at] = list[at - 1];
        list[at] = member;
    }
}

int segment_members_write(struct segment_members *members, struct arena *arena, struct str *out)
{
    *out = str_make(NULL, 0);
    if (members->count == 0)
        return 0;
    sort(members->list, members->count);
    size_t room = 2 * EVENT_SIZE_MAX;
    struct buf text = {.data = arena_alloc(arena, room), .capacity = room, .size_max = room};
    if (!text.data)
        return ERR_NO_MEMORY;
    int r = buf_append(&text, "{", 1);
    for (size_t i = 0; r == 0 && i < members->count; i++) {
        const struct segment_member *member = &members->list[i];
        if (i > 0)
            r = buf_append(&text, ",", 1);
        if (r == 0)
            r = json_write_text(&text, member->key);
        if (r == 0)
            r = buf_append(&text, ":", 1);
        if (r == 0)
            r = member->text.size ? buf_append_str(&text, member->text)
                                  : json_write_canonical(member->value, &text);
    }
    if (r == 0)
        r = buf_append(&text, "}", 1);
    arena_trim(arena, text.data, room, r == 0 ? text.size : 0);
    if (r == 0)
        *out = buf_str(&text);
    return r;
}
