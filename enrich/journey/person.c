/* A hash table with chains, and a list by last use. */
#include "enrich/journey/person.h"

#include <stdlib.h>

#include "schemas/error.h"

#define SLOTS_MIN ((size_t)4096)
#define PENDING_LINEAR_MAX ((size_t)32) /* a power of two */

int persons_init(struct persons *persons)
{
    *persons = (struct persons){.slots_size = SLOTS_MIN};
    persons->slots = calloc(SLOTS_MIN, sizeof *persons->slots);
    return persons->slots ? 0 : ERR_NO_MEMORY;
}

static void drop(struct person *person)
{
    fold_free(&person->fold);
    free(person->gone);
    free(person);
}

void persons_clear(struct persons *persons)
{
    for (struct person *p = persons->oldest, *next; p; p = next) {
        next = p->newer;
        drop(p);
    }
    if (persons->slots)
        memset(persons->slots, 0, persons->slots_size * sizeof *persons->slots);
    persons->count = 0;
    persons->size = 0;
    persons->newest = persons->oldest = NULL;
    persons->dirty_count = 0;
}

void persons_fini(struct persons *persons)
{
    persons_clear(persons);
    free(persons->slots);
    free(persons->dirty);
    *persons = (struct persons){.count = 0};
}

/* Ids are hashes already. */
static struct person **slot_of(const struct persons *persons, const uint8_t id[KEY_SIZE])
{
    uint64_t bits;
    memcpy(&bits, id, sizeof bits);
    return &persons->slots[bits & (persons->slots_size - 1)];
}

static int grow(struct persons *persons)
{
    if (persons->count < persons->slots_size)
        return 0;
    struct persons larger = {.slots_size = persons->slots_size * 2};
    larger.slots = calloc(larger.slots_size, sizeof *larger.slots);
    if (!larger.slots)
        return ERR_NO_MEMORY;
    memory_expect_use(larger.slots, larger.slots_size * sizeof *larger.slots);
    for (struct person *p = persons->oldest; p; p = p->newer) {
        struct person **slot = slot_of(&larger, p->id);
        p->chain = *slot;
        *slot = p;
    }
    free(persons->slots);
    persons->slots = larger.slots;
    persons->slots_size = larger.slots_size;
    return 0;
}

/* ---- the list by use ---- */

static void unlist(struct persons *persons, struct person *person)
{
    *(person->newer ? &person->newer->older : &persons->newest) = person->older;
    *(person->older ? &person->older->newer : &persons->oldest) = person->newer;
}

static void list_newest(struct persons *persons, struct person *person)
{
    person->newer = NULL;
    person->older = persons->newest;
    *(persons->newest ? &persons->newest->newer : &persons->oldest) = person;
    persons->newest = person;
}

int persons_get(
    struct persons *persons, const uint8_t id[KEY_SIZE], struct person **out, bool *made)
{
    *made = false;
    for (struct person *p = *slot_of(persons, id); p; p = p->chain) {
        if (memcmp(p->id, id, KEY_SIZE) != 0)
            continue;
        if (p != persons->newest) {
            unlist(persons, p);
            list_newest(persons, p);
        }
        *out = p;
        return 0;
    }
    int r = grow(persons);
    if (r < 0)
        return r;
    struct person *person = calloc(1, sizeof *person);
    if (!person)
        return ERR_NO_MEMORY;
    memcpy(person->id, id, KEY_SIZE);
    struct person **slot = slot_of(persons, id);
    person->chain = *slot;
    *slot = person;
    list_newest(persons, person);
    persons->count++;
    person->size = sizeof *person;
    persons->size += person->size;
    *out = person;
    *made = true;
    return 0;
}

int persons_mark(struct persons *persons, struct person *person)
{
    if (person->dirty)
        return 0;
    if (persons->dirty_count == persons->dirty_room) {
        void *more = array_grow(persons->dirty, &persons->dirty_room, sizeof *persons->dirty);
        if (!more)
            return ERR_NO_MEMORY;
        persons->dirty = more;
    }
    persons->dirty[persons->dirty_count++] = person;
    person->dirty = true;
    return 0;
}

static void evict(struct persons *persons, struct person *person)
{
    struct person **link = slot_of(persons, person->id);
    while (*link != person)
        link = &(*link)->chain;
    *link = person->chain;
    unlist(persons, person);
    persons->count--;
    persons->size -= person->size;
    drop(person);
}

void persons_settled(struct persons *persons, size_t size_max)
{
    for (size_t i = 0; i < persons->dirty_count; i++) {
        struct person *person = persons->dirty[i];
        check(person->pending_count == 0);
        person_pending_clear(person);
        person->dirty = false;
        size_t size =
            sizeof *person + fold_size(&person->fold) + person->gone_room * sizeof *person->gone;
        persons->size += size - person->size;
        person->size = size;
    }
    persons->dirty_count = 0;
    while (persons->size > size_max && persons->oldest)
        evict(persons, persons->oldest);
}

/* ---- pending events ---- */

static void enter(struct pending_event **slots, size_t size, struct pending_event *event)
{
    uint64_t bits;
    memcpy(&bits, event->moment.place.event_key, sizeof bits); /* a hash already */
    size_t at = bits & (size - 1);
    while (slots[at])
        at = (at + 1) & (size - 1);
    slots[at] = event;
}

/* Enters the newest, all when the table is made or grows. */
static int enter_newest(struct person *person, struct arena *arena)
{
    size_t count = person->pending_count, size = person->pending_slots_size;
    if (count < PENDING_LINEAR_MAX)
        return 0;
    size_t from = count - 1;
    if (count * 2 > size) {
        size = size ? size * 2 : PENDING_LINEAR_MAX * 4;
        struct pending_event **slots = arena_alloc(arena, size * sizeof *slots);
        if (!slots)
            return ERR_NO_MEMORY;
        memset(slots, 0, size * sizeof *slots);
        person->pending_slots = slots;
        person->pending_slots_size = size;
        from = 0;
    }
    for (size_t i = from; i < count; i++)
        enter(person->pending_slots, size, person->pending[i]);
    return 0;
}

int person_pending_add(
    struct person *person, const struct pending_event *event, struct arena *arena)
{
    if (person->pending_count == person->pending_room) {
        size_t room = person->pending_room ? person->pending_room * 2 : 4;
        struct pending_event **more = arena_alloc(arena, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (person->pending_count)
            memcpy(more, person->pending, person->pending_count * sizeof *more);
        person->pending = more;
        person->pending_room = room;
    }
    struct pending_event *kept = arena_alloc(arena, sizeof *kept);
    if (!kept)
        return ERR_NO_MEMORY;
    *kept = *event;
    person->pending[person->pending_count++] = kept;
    return enter_newest(person, arena);
}

bool person_pending_has(const struct person *person, const struct moment_place *place)
{
    if (!person->pending_slots) {
        for (size_t i = 0; i < person->pending_count; i++)
            if (moment_place_compare(&person->pending[i]->moment.place, place) == 0)
                return true;
        return false;
    }
    uint64_t bits;
    memcpy(&bits, place->event_key, sizeof bits);
    size_t mask = person->pending_slots_size - 1;
    for (size_t at = bits & mask; person->pending_slots[at]; at = (at + 1) & mask)
        if (moment_place_compare(&person->pending_slots[at]->moment.place, place) == 0)
            return true;
    return false;
}

void person_pending_clear(struct person *person)
{
    person->pending = person->pending_slots = NULL;
    person->pending_count = person->pending_room = person->pending_slots_size = 0;
}

/* ---- nodes that left ---- */

struct gone_node *person_gone(const struct person *person, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < person->gone_count; i++)
        if (memcmp(person->gone[i].node, node, KEY_SIZE) == 0)
            return &person->gone[i];
    return NULL;
}

int person_gone_set(struct person *person, const struct gone_node *gone)
{
    struct gone_node *entry = person_gone(person, gone->node);
    if (!entry) {
        if (person->gone_count == person->gone_room) {
            void *more = array_grow(person->gone, &person->gone_room, sizeof *person->gone);
            if (!more)
                return ERR_NO_MEMORY;
            person->gone = more;
        }
        entry = &person->gone[person->gone_count++];
    }
    *entry = *gone;
    return 0;
}
