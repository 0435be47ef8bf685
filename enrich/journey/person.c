/* A hash table with chains, and a list by last use. */
#include "enrich/journey/person.h"

#include <stdlib.h>

#include "schemas/error.h"

#define SLOTS_MIN ((size_t)4096)

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
        person->pending = NULL;
        person->pending_room = 0;
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

void person_gone_remove(struct person *person, struct gone_node *gone)
{
    *gone = person->gone[--person->gone_count];
}
