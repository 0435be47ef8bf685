/*
 * The memory of the producer library's handles, from the caller's allocator; and texts in it.
 */
#pragma once

#include "ingest/producer/tabiji.h"
#include "schemas/bytes.h"

/* malloc(), realloc(), free() where `from` is NULL; its copy otherwise. False: a function of it is
 * missing. */
bool producer_memory_init(struct tabiji_allocator *memory, const struct tabiji_allocator *from);

/* NULL: no memory. The bytes are not set. */
void *producer_memory_get(const struct tabiji_allocator *memory, size_t size);
/* The same, all zero. */
void *producer_memory_zero(const struct tabiji_allocator *memory, size_t size);
/* Accepts NULL. */
void producer_memory_free(const struct tabiji_allocator *memory, void *bytes);

/* A growing text with a NUL behind it once something was appended. {0} is an empty one. */
struct producer_text {
    char *data;
    size_t size;
    size_t capacity;
};

/* What is longer no event can be. */
#define PRODUCER_TEXT_SIZE_MAX ((size_t)8 << 20)

/* producer_text_add() where there is no room. */
MUST_CHECK int producer_text_add_slow(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes);

/* Appends; unchanged on error. Errors: ERR_NO_MEMORY, ERR_TOO_LARGE. */
MUST_CHECK static inline int producer_text_add(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes)
{
    if (bytes.size >= text->capacity - text->size)
        return producer_text_add_slow(memory, text, bytes);
    if (bytes.size)
        memcpy(text->data + text->size, bytes.data, bytes.size);
    text->size += bytes.size;
    text->data[text->size] = '\0';
    return 0;
}

/* Appends a text of JSON in its quotes. Errors: the same, and ERR_UTF8. */
MUST_CHECK int producer_text_quote(
    const struct tabiji_allocator *memory, struct producer_text *text, struct str bytes);
/* Makes room for `extra` bytes and a NUL. Errors: as producer_text_add(). */
MUST_CHECK int producer_text_reserve(
    const struct tabiji_allocator *memory, struct producer_text *text, size_t extra);
void producer_text_free(const struct tabiji_allocator *memory, struct producer_text *text);

static inline struct str producer_text_str(const struct producer_text *text)
{
    return (struct str){text->data, text->size};
}
