/* Growable buffers. Invariant: size <= capacity <= size_max (or its default). */
#include "schemas/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/arena.h"
#include "schemas/error.h"

void check_failed(const char *expression, const char *file, int line)
{
    (void)fprintf(stderr, "tabiji: check failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

int buf_reserve_slow(struct buf *buf, size_t extra)
{
    size_t max = buf->size_max ? buf->size_max : BUF_SIZE_MAX_DEFAULT;
    if (extra > max || buf->size > max - extra)
        return ERR_TOO_LARGE;
    size_t need = buf->size + extra;
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < need)
        capacity *= 2;
    if (capacity > max)
        capacity = max;
    char *data = realloc(buf->data, capacity);
    if (!data)
        return ERR_NO_MEMORY;
    memory_expect_use(data, capacity);
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int buf_appendf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    size_t room = buf->capacity - buf->size;
    int size = vsnprintf(room ? buf->data + buf->size : NULL, room, format, args);
    va_end(args);
    int r = size < 0 ? ERR_INTERNAL : 0;
    if (r == 0 && (size_t)size >= room) {
        r = buf_reserve(buf, (size_t)size + 1);
        if (r == 0)
            (void)vsnprintf(buf->data + buf->size, (size_t)size + 1, format, again);
    }
    va_end(again);
    if (r == 0)
        buf->size += (size_t)size;
    return r;
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.size_max = buf->size_max};
}
