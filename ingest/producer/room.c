/* Invariant: pieces lie one behind the other, from the first byte to `used`. */
#include "ingest/producer/room.h"

#define ALIGNMENT ((size_t)8)

static bool is_within(const struct producer_room *room, const void *memory)
{
    uintptr_t at = (uintptr_t)memory, begin = (uintptr_t)room->bytes;
    return at >= begin && at < begin + PRODUCER_ROOM_SIZE;
}

/* What a piece takes, with its size. */
static size_t piece_size(size_t size)
{
    return (sizeof size + size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static bool fits(size_t size, size_t begin)
{
    return size <= PRODUCER_ROOM_SIZE && piece_size(size) <= PRODUCER_ROOM_SIZE - begin;
}

static void *allocate(void *context, size_t size)
{
    struct producer_room *room = context;
    if (!fits(size, room->used))
        return room->outer.allocate(room->outer.context, size);
    char *piece = room->bytes + room->used;
    room->used += piece_size(size);
    memcpy(piece, &size, sizeof size);
    return piece + sizeof size;
}

static void *resize(void *context, void *memory, size_t size)
{
    struct producer_room *room = context;
    if (!is_within(room, memory))
        return room->outer.resize(room->outer.context, memory, size);
    size_t before;
    char *piece = (char *)memory - sizeof before;
    size_t begin = (size_t)(piece - room->bytes);
    memcpy(&before, piece, sizeof before);
    bool last = begin + piece_size(before) == room->used;
    if (last && fits(size, begin)) {
        room->used = begin + piece_size(size);
        memcpy(piece, &size, sizeof size);
        return memory;
    }
    void *moved = allocate(room, size);
    if (moved)
        memcpy(moved, memory, before < size ? before : size);
    return moved;
}

static void release(void *context, void *memory)
{
    struct producer_room *room = context;
    if (!is_within(room, memory))
        room->outer.release(room->outer.context, memory);
}

void producer_room_init(struct producer_room *room, const struct tabiji_allocator *outer,
    struct tabiji_allocator *memory)
{
    room->outer = *outer;
    room->used = 0;
    *memory = (struct tabiji_allocator){allocate, resize, release, room};
}
