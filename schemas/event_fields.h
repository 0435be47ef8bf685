/*
 * The names that a touchpoint's facts have outside (native JSON, import mappings), as tables: one
 * for the event itself and one for each part of it.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"

enum event_field_kind {
    EVENT_FIELD_TEXT,       /* struct str */
    EVENT_FIELD_BOOL,       /* bool */
    EVENT_FIELD_INT,        /* int32_t */
    EVENT_FIELD_LONG,       /* int64_t */
    EVENT_FIELD_MONEY,      /* int64_t, minor units of the order's currency */
    EVENT_FIELD_MICROS,     /* int64_t, a time */
    EVENT_FIELD_KEY,        /* uint8_t[16] */
    EVENT_FIELD_ENUM,       /* an enum, by `names` */
    EVENT_FIELD_CHOICE,     /* enum choice */
    EVENT_FIELD_PART,       /* a struct described by `part`, present when the bool at `has` is */
    EVENT_FIELD_CONSENT,    /* a struct described by `part`, always present */
    EVENT_FIELD_IDS,        /* identifiers */
    EVENT_FIELD_ITEMS,      /* items of an order */
    EVENT_FIELD_PROPERTIES, /* struct str of canonical JSON */
    EVENT_FIELD_EVENT_ID,   /* struct str, 1 to EVENT_ID_SIZE_MAX bytes */
    EVENT_FIELD_TYPE,       /* struct str, an event type */
    EVENT_FIELD_URL,        /* fills host, path and query of a page where they are empty */
    EVENT_FIELD_REFERRER,   /* the same for referrer_host and referrer_path */
    EVENT_FIELD_NODE_A,     /* a_namespace and a_value of an evidence */
    EVENT_FIELD_NODE_B,
};

#define EVENT_FIELD_NAME_SIZE_MAX 16 /* two words */
#define EVENT_FIELDS_MAX 32          /* of one part */

/* Names of an enum's values, by number; from_name() is -1 for an unknown one. */
struct event_enum {
    const char *(*name)(int value);
    int (*from_name)(struct str name);
    int count;
};

struct event_part;

struct event_field {
    _Alignas(64) uint32_t size;           /* of the name */
    char text[EVENT_FIELD_NAME_SIZE_MAX]; /* the name, filled up with NUL */
    enum event_field_kind kind;
    struct str name;
    uint16_t offset; /* in the struct of its part */
    uint16_t has;    /* EVENT_FIELD_PART: offset of has_x in struct touchpoint */
    bool trusted;    /* only trusted sources may say it */
    int8_t standard; /* value of a number that is not said */
    union {
        const struct event_enum *names;
        const struct event_part *part;
    };
};

#define EVENT_FIELD_SLOTS 64

/* Fields sorted by name (memcmp). A name is found by event_field_slot(), in which no two fields of
 * a part meet: slots hold the index, or 0 where there is none. */
struct event_part {
    const struct event_field *fields;
    size_t count;
    uint32_t required;   /* bits of the fields that an object must have */
    uint32_t standards;  /* bits of the numbers whose standard is not zero */
    uint32_t trusted;    /* bits of the fields that only trusted sources may say */
    uint64_t multiplier; /* what tells the names of this part apart */
    uint8_t slots[EVENT_FIELD_SLOTS];
};

extern const struct event_part event_part_touchpoint; /* offsets in struct touchpoint */
extern const struct event_part event_part_item;       /* offsets in struct order_item */

/* The last 8 bytes of a name, zeros before it where it is shorter. Of 1 to
 * EVENT_FIELD_NAME_SIZE_MAX bytes; 8 can be read at its start. */
static inline uint64_t event_field_tail(const char *name, size_t size)
{
    uint64_t tail;
    if (size >= sizeof(tail)) {
        memcpy(&tail, name + size - sizeof(tail), sizeof(tail));
        return tail;
    }
    memcpy(&tail, name, sizeof(tail));
    return tail << 8 * (sizeof(tail) - size);
}

static inline size_t event_field_slot(const struct event_part *part, const char *name, size_t size)
{
    return event_field_tail(name, size) * part->multiplier / (UINT64_MAX / EVENT_FIELD_SLOTS + 1);
}

/* The index of the field of a name, -1 when there is none; 8 bytes can be read at the name's start,
 * as of texts of a json_tape. */
static inline int event_field_index(const struct event_part *part, struct str name)
{
    if (__builtin_expect(name.size - 1 >= EVENT_FIELD_NAME_SIZE_MAX, 0))
        return -1;
    int index = part->slots[event_field_slot(part, name.data, name.size)];
    const struct event_field *field = &part->fields[index];
    if (__builtin_expect(field->size != name.size, 0) ||
        event_field_tail(field->text, name.size) != event_field_tail(name.data, name.size))
        return -1;
    uint64_t head, known_head;
    if (name.size <= sizeof(head))
        return index;
    memcpy(&head, name.data, sizeof(head));
    memcpy(&known_head, field->text, sizeof(known_head));
    return __builtin_expect(head == known_head, 1) ? index : -1;
}

/* The field of that name, or NULL. Threads: any. */
const struct event_field *event_field_find(const struct event_part *part, struct str name);

/* The known name nearest to a wrong one, or empty. Threads: any. */
struct str event_field_nearest(const struct event_part *part, bool trusted, struct str name);

/* Splits an address into the parts of a page that are still empty. field: of kind EVENT_FIELD_URL
 * or EVENT_FIELD_REFERRER. Errors: ERR_NO_MEMORY. */
MUST_CHECK int event_field_set_url(
    const struct event_field *field, struct str text, struct arena *arena, struct page *page);
