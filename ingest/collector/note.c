/* Copies: what a note shows may be gone when the next event is read. */
#include "ingest/collector/note.h"

#include "schemas/error.h"

/* Room for one more, or NULL. The list doubles within the arena. */
static struct note *next_note(struct notes *notes)
{
    if (notes->count == notes->capacity) {
        size_t capacity = notes->capacity ? notes->capacity * 2 : 4;
        struct note *list = arena_alloc(notes->arena, capacity * sizeof *list);
        if (!list)
            return NULL;
        if (notes->count)
            memcpy(list, notes->list, notes->count * sizeof *list);
        notes->list = list;
        notes->capacity = capacity;
    }
    struct note *note = &notes->list[notes->count];
    *note = (struct note){0};
    return note;
}

static int copy_identifiers(struct arena *arena, const struct touchpoint *event, struct note *note)
{
    size_t count = event->identifiers_count;
    struct identifier *list = arena_alloc(arena, (count + 1) * sizeof *list);
    if (!list)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        list[i] = event->identifiers[i];
        int r = arena_dup(arena, event->identifiers[i].namespace, &list[i].namespace);
        if (r == 0)
            r = arena_dup(arena, event->identifiers[i].value, &list[i].value);
        if (r < 0)
            return r;
    }
    note->identifiers = list;
    note->identifiers_count = count;
    return 0;
}

static int copy_event(struct arena *arena, const struct touchpoint *event, struct note *note)
{
    note->protocol = event->protocol;
    memcpy(note->event_key, event->event_key, KEY_SIZE);
    int r = arena_dup(arena, event->event_id, &note->event_id);
    if (r == 0)
        r = arena_dup(arena, event->type, &note->type);
    return r == 0 ? copy_identifiers(arena, event, note) : r;
}

void notes_add(struct notes *notes, enum note_fate fate, size_t index,
    const struct touchpoint *event, struct str payload)
{
    struct note *note = notes ? next_note(notes) : NULL;
    if (!note || copy_event(notes->arena, event, note) < 0)
        return;
    note->fate = fate;
    note->index = index;
    note->payload = payload;
    notes->count++;
}

void notes_reject(struct notes *notes, size_t index, const struct touchpoint *event,
    struct str event_id, const struct event_problem *problem, struct str payload)
{
    struct note *note = notes ? next_note(notes) : NULL;
    int r = note ? arena_dup(notes->arena, event_id, &note->event_id) : ERR_NO_MEMORY;
    if (r == 0)
        note->protocol = notes->protocol;
    if (r == 0 && event)
        r = copy_event(notes->arena, event, note);
    if (r < 0)
        return;
    note->fate = NOTE_REJECTED;
    note->index = index;
    note->payload = payload;
    note->problem = *problem;
    notes->count++;
}
