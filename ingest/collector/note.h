/*
 * What became of each event of a request, kept for who watches (tail.h). Nobody watches most of the
 * time: then there are no notes, and they cost a look at a pointer.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event_json.h"
#include "schemas/hash.h"

enum note_fate {
    NOTE_ACCEPTED,
    NOTE_DUPLICATE,
    NOTE_NO_CONSENT,
    NOTE_IGNORED, /* it gives no event: no rule of its source is about it */
    NOTE_REJECTED,
};

struct note {
    enum note_fate fate;
    size_t index; /* of the event in the request */
    enum protocol protocol;
    struct str event_id;                  /* empty: it could not be read */
    struct str type;                      /* likewise */
    struct str payload;                   /* the event as it came; empty: see the request */
    const struct identifier *identifiers; /* of what was accepted as it is stored: pseudonyms */
    size_t identifiers_count;
    uint8_t event_key[KEY_SIZE]; /* of what was accepted */
    struct event_problem problem;
};

struct notes {
    struct arena *arena;    /* where they live */
    bool payloads;          /* elements of the body stand for themselves: they are noted */
    enum protocol protocol; /* of an event that cannot be read; unknown: as its stage is called */
    struct note *list;
    size_t count;
    size_t capacity;
};

/* Notes a fate, of an event that was read unless NULL. payload may be empty. What does not fit into
 * memory is not noted: no request fails for it. Accepts NULL notes. */
void notes_add(struct notes *notes, enum note_fate fate, size_t index,
    const struct touchpoint *event, struct str payload);

/* The same of what was refused; event_id where there is no event. */
void notes_reject(struct notes *notes, size_t index, const struct touchpoint *event,
    struct str event_id, const struct event_problem *problem, struct str payload);
