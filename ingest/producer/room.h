/*
 * Memory of one event within itself, before its allocator is asked: so a common event is one
 * allocation.
 */
#pragma once

#include "ingest/producer/memory.h"

#define PRODUCER_ROOM_SIZE ((size_t)1792)

/* Not copied or moved once it was set up. Used by one thread at a time. */
struct producer_room {
    struct tabiji_allocator outer; /* for what finds no room */
    size_t used;
    _Alignas(8) char bytes[PRODUCER_ROOM_SIZE]; /* pieces; each behind its size */
};

/* *memory: an allocator of `room` first, then of `outer`. What is released within the room stays
 * taken; there the last piece grows in its place. */
void producer_room_init(struct producer_room *room, const struct tabiji_allocator *outer,
    struct tabiji_allocator *memory);
