/*
 * An entry: [table 1][key size 2][value size 4][key][value], little-endian.
 *
 * Invariant, between writes: a chunk's row in `dead` is the sum of the entries that no row means;
 * absent, it is 0. It never exceeds half of the chunk's size.
 */
#include "ingest/stream/heap.h"

#include <stdlib.h>

#include "ingest/stream/state.h"
#include "ingest/stream/state_lmdb.h"
#include "schemas/error.h"

/* Eight pages less their header: LMDB looks for so many in a row, and finds them. */
#define CHUNK_SIZE ((size_t)8 * 4096 - 16)
#define HEADER_SIZE ((size_t)7)

static MDB_val number_val(uint8_t bytes[8], uint64_t number)
{
    put_be64(bytes, number);
    return (MDB_val){.mv_size = 8, .mv_data = bytes};
}

static int mapped(int code)
{
    return code ? state_lmdb_error(code) : 0;
}

int heap_open(struct heap *heap, MDB_txn *txn)
{
    int r = mdb_dbi_open(txn, "heap", MDB_CREATE, &heap->chunks);
    return r ? r : mdb_dbi_open(txn, "heap_dead", MDB_CREATE, &heap->dead);
}

void heap_fini(struct heap *heap)
{
    buf_free(&heap->chunk);
    buf_free(&heap->sparse);
    free(heap->deads);
    heap->deads = NULL;
}

int heap_begin(struct heap *heap, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    heap->txn = txn;
    heap->next = 0;
    heap->deads_count = 0;
    buf_clear(&heap->chunk);
    buf_clear(&heap->sparse);
    int r = mdb_cursor_open(txn, heap->chunks, &cursor);
    if (r)
        return state_lmdb_error(r);
    r = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (r == 0)
        heap->next = get_be64(key.mv_data) + 1;
    mdb_cursor_close(cursor);
    return r == MDB_NOTFOUND ? 0 : mapped(r);
}

static int flush(struct heap *heap)
{
    uint8_t bytes[8];
    if (heap->chunk.size == 0)
        return 0;
    MDB_val key = number_val(bytes, heap->next);
    MDB_val value = {.mv_size = heap->chunk.size, .mv_data = heap->chunk.data};
    int r = mdb_put(heap->txn, heap->chunks, &key, &value, MDB_APPEND);
    if (r)
        return state_lmdb_error(r);
    heap->next++;
    buf_clear(&heap->chunk);
    return 0;
}

int heap_put(
    struct heap *heap, enum table table, struct str key, struct str value, struct heap_place *out)
{
    size_t size = HEADER_SIZE + key.size + value.size;
    check(key.size <= UINT16_MAX && value.size <= STATE_VALUE_SIZE_MAX);
    int r = heap->chunk.size && heap->chunk.size + size > CHUNK_SIZE ? flush(heap) : 0;
    if (r < 0)
        return r;
    uint8_t header[HEADER_SIZE] = {(uint8_t)table};
    uint16_t key_size = (uint16_t)key.size;
    uint32_t value_size = (uint32_t)value.size;
    memcpy(header + 1, &key_size, sizeof key_size);
    memcpy(header + 3, &value_size, sizeof value_size);
    r = buf_append(&heap->chunk, header, sizeof header);
    if (r == 0)
        r = buf_append_str(&heap->chunk, key);
    *out = (struct heap_place){heap->next, (uint32_t)heap->chunk.size, value_size};
    return r < 0 ? r : buf_append_str(&heap->chunk, value);
}

int heap_drop(struct heap *heap, struct str key, const struct heap_place *place)
{
    if (heap->deads_count == heap->deads_room) {
        size_t room = heap->deads_room ? heap->deads_room * 2 : 256;
        struct heap_dead *more = realloc(heap->deads, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        heap->deads = more;
        heap->deads_room = room;
    }
    heap->deads[heap->deads_count++] =
        (struct heap_dead){place->chunk, HEADER_SIZE + key.size + place->size};
    return 0;
}

static int compare_deads(const void *a, const void *b)
{
    const struct heap_dead *x = a, *y = b;
    return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

/* Adds to what a chunk has lost. */
static int settle_chunk(struct heap *heap, const struct heap_dead *dead)
{
    uint8_t bytes[8], sum[8];
    MDB_val key = number_val(bytes, dead->chunk), before;
    struct str entries;
    int r = heap_chunk(heap, heap->txn, dead->chunk, &entries);
    if (r < 0)
        return r;
    uint64_t lost = dead->bytes;
    int code = mdb_get(heap->txn, heap->dead, &key, &before);
    if (code == 0)
        lost += before.mv_size == 8 ? get_be64(before.mv_data) : 0;
    else if (code != MDB_NOTFOUND)
        return state_lmdb_error(code);
    if (lost > entries.size)
        return ERR_STATE;
    if (lost == entries.size)
        return heap_delete(heap, dead->chunk);
    if (lost * 2 > entries.size)
        return buf_append(&heap->sparse, &dead->chunk, sizeof dead->chunk);
    MDB_val value = number_val(sum, lost);
    return mapped(mdb_put(heap->txn, heap->dead, &key, &value, 0));
}

int heap_settle(struct heap *heap)
{
    int r = flush(heap);
    size_t count = heap->deads_count;
    if (r == 0 && count)
        qsort(heap->deads, count, sizeof *heap->deads, compare_deads);
    for (size_t i = 0, next; r == 0 && i < count; i = next) {
        struct heap_dead dead = heap->deads[i];
        for (next = i + 1; next < count && heap->deads[next].chunk == dead.chunk; next++)
            dead.bytes += heap->deads[next].bytes;
        r = settle_chunk(heap, &dead);
    }
    heap->deads_count = 0;
    return r;
}

int heap_delete(struct heap *heap, uint64_t chunk)
{
    uint8_t bytes[8];
    MDB_val key = number_val(bytes, chunk);
    int r = mdb_del(heap->txn, heap->chunks, &key, NULL);
    if (r)
        return r == MDB_NOTFOUND ? ERR_STATE : state_lmdb_error(r);
    r = mdb_del(heap->txn, heap->dead, &key, NULL);
    return r == MDB_NOTFOUND ? 0 : mapped(r);
}

int heap_end(struct heap *heap)
{
    int r = flush(heap);
    heap->txn = NULL;
    return r;
}

int heap_clear(struct heap *heap, MDB_txn *txn)
{
    int r = mdb_drop(txn, heap->chunks, 0);
    return r ? r : mdb_drop(txn, heap->dead, 0);
}

int heap_chunk(const struct heap *heap, MDB_txn *txn, uint64_t chunk, struct str *entries)
{
    uint8_t bytes[8];
    MDB_val key = number_val(bytes, chunk), value;
    int r = mdb_get(txn, heap->chunks, &key, &value);
    if (r)
        return r == MDB_NOTFOUND ? ERR_STATE : state_lmdb_error(r);
    *entries = str_make(value.mv_data, value.mv_size);
    return 0;
}

int heap_get(
    const struct heap *heap, MDB_txn *txn, const struct heap_place *place, struct str *value)
{
    struct str entries;
    int r = heap_chunk(heap, txn, place->chunk, &entries);
    if (r < 0)
        return r;
    if (place->offset > entries.size || place->size > entries.size - place->offset)
        return ERR_STATE;
    *value = str_make(entries.data + place->offset, place->size);
    return 0;
}

bool heap_next(struct str entries, size_t *at, struct heap_entry *out, int *error)
{
    uint16_t key_size;
    uint32_t value_size;
    size_t left = entries.size - *at;
    *error = 0;
    if (left == 0)
        return false;
    *error = ERR_STATE;
    if (left < HEADER_SIZE)
        return false;
    const char *entry = entries.data + *at;
    memcpy(&key_size, entry + 1, sizeof key_size);
    memcpy(&value_size, entry + 3, sizeof value_size);
    if ((uint8_t)*entry >= TABLE_COUNT || left - HEADER_SIZE < (size_t)key_size + value_size)
        return false;
    *error = 0;
    out->table = (enum table)(uint8_t)*entry;
    out->key = str_make(entry + HEADER_SIZE, key_size);
    out->value = str_make(entry + HEADER_SIZE + key_size, value_size);
    out->place.offset = (uint32_t)(*at + HEADER_SIZE + key_size);
    out->place.size = value_size;
    *at += HEADER_SIZE + key_size + value_size;
    return true;
}
