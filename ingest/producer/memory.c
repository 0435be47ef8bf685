/* Growth doubles, so that an event is few allocations. */
#include "ingest/producer/memory.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"

#define CAPACITY_MIN ((size_t)64)
#define QUOTED_BYTE_SIZE_MAX 6 /* \u001f */

static void *standard_allocate(void *context, size_t size)
{
    return malloc(size);
}

static void *standard_resize(void *context, void *memory, size_t size)
{
    return realloc(memory, size);
}

static void standard_release(void *context, void *memory)
{
    free(memory);
}

bool producer_memory_init(struct tabiji_allocator *memory, const struct tabiji_allocator *from)
{
    if (!from) {
        *memory = (struct tabiji_allocator){
            .allocate = standard_allocate, .resize = standard_resize, .release = standard_release};
        return true;
    }
    *memory = *from;
    return from->allocate && from->resize && from->release;
}

void *producer_memory_get(const struct tabiji_allocator *memory, size_t size)
{
    return memory->allocate(memory->context, size);
}

void *producer_memory_zero(const struct tabiji_allocator *memory, size_t size)
{
    void *bytes = producer_memory_get(memory, size);
    if (bytes)
        memset(bytes, 0, size);
    return bytes;
}

void producer_memory_free(const struct tabiji_allocator *memory, void *bytes)
{
    if (bytes)
        memory->release(memory->context, bytes);
}

int producer_text_reserve(
    const struct tabiji_allocator *memory, struct producer_text *text, size_t extra)
{
    if (extra >= PRODUCER_TEXT_SIZE_MAX || text->size + extra >= PRODUCER_TEXT_SIZE_MAX)
        return ERR_TOO_LARGE;
    size_t need = text->size + extra + 1;
    if (need <= text->capacity)
        return 0;
    size_t capacity = text->capacity ? text->capacity : CAPACITY_MIN;
    while (capacity < need)
        capacity *= 2;
    char *data = text->data ? memory->resize(memory->context, text->data, capacity)
                            : producer_memory_get(memory, capacity);
    if (!data)
        return ERR_NO_MEMORY;
    text->data = data;
    text->capacity = capacity;
    return 0;
}

int producer_text_add_slow(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes)
{
    int r = producer_text_reserve(memory, text, bytes.size);
    if (r < 0)
        return r;
    if (bytes.size)
        memcpy(text->data + text->size, bytes.data, bytes.size);
    text->size += bytes.size;
    text->data[text->size] = '\0';
    return 0;
}

/* Room that json_write_text() needs: what it reserves is within it, so its buffer never grows. */
static size_t quoted_room(struct str bytes)
{
    return bytes.size * QUOTED_BYTE_SIZE_MAX + 64;
}

/* Whether each byte is a character that JSON writes as it is, of ASCII. */
static bool is_plain(struct str bytes)
{
    bool plain = true;
    for (size_t i = 0; plain && i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        plain = c >= ' ' && c < 0x80 && c != '"' && c != '\\';
    }
    return plain;
}

/* UTF-8 that may want escapes. */
static int quote_any(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes)
{
    if (!json_utf8_valid(bytes))
        return ERR_UTF8;
    size_t room = quoted_room(bytes);
    int r = producer_text_reserve(memory, text, room);
    if (r < 0)
        return r;
    struct buf tail = {.data = text->data + text->size, .capacity = room, .size_max = room};
    r = json_write_text(&tail, bytes);
    if (r < 0)
        return r;
    text->size += tail.size;
    text->data[text->size] = '\0';
    return 0;
}

int producer_text_quote(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes)
{
    if (bytes.size > PRODUCER_TEXT_SIZE_MAX / QUOTED_BYTE_SIZE_MAX)
        return ERR_TOO_LARGE;
    if (!is_plain(bytes))
        return quote_any(memory, text, bytes);
    int r = producer_text_reserve(memory, text, bytes.size + 2);
    if (r < 0)
        return r;
    char *at = text->data + text->size;
    *at = '"';
    if (bytes.size)
        memcpy(at + 1, bytes.data, bytes.size);
    at[bytes.size + 1] = '"';
    at[bytes.size + 2] = '\0';
    text->size += bytes.size + 2;
    return 0;
}

void producer_text_free(const struct tabiji_allocator *memory, struct producer_text *text)
{
    producer_memory_free(memory, text->data);
    *text = (struct producer_text){0};
}
