/*
 * Bytes that somebody owns (struct buf) and bytes that somebody else owns (struct str).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))

/* check(): a programmer's error stops the program, in release too. Bytes from outside never
 * reach it: what they can cause is an ERR_*. */
void check_failed(const char *expression, const char *file, int line)
    __attribute__((noreturn, cold));
#define check(expression)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(expression), 0))                                                    \
            check_failed(#expression, __FILE__, __LINE__);                                         \
    } while (0)

/* A borrowed slice; not NUL-terminated. Empty: size 0, data may be NULL. A value type. */
struct str {
    const char *data;
    size_t size;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For static initialisers. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static inline struct str str_make(const void *data, size_t size)
{
    return (struct str){(const char *)data, size};
}

/* NULL gives the empty slice. */
static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* memcmp order, shorter first where one is a prefix of the other. */
static inline int str_compare(struct str a, struct str b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    if (order)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool str_starts_with(struct str text, struct str prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* White space of JSON (RFC 8259) and of configuration files. */
static inline bool char_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without such at either end. */
static inline struct str str_trim(struct str text)
{
    while (text.size && char_is_blank(text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && char_is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* A growable byte buffer with a maximum. {0} is an empty one with BUF_SIZE_MAX_DEFAULT.
 * Owner frees with buf_free(). Not thread-safe. */
struct buf {
    char *data;
    size_t size;
    size_t capacity;
    size_t size_max; /* 0: BUF_SIZE_MAX_DEFAULT */
};

#define BUF_SIZE_MAX_DEFAULT ((size_t)1 << 30)

/* Makes room for `extra` more bytes. Errors: ERR_NO_MEMORY; ERR_TOO_LARGE over size_max. */
MUST_CHECK int buf_reserve_slow(struct buf *buf, size_t extra);

static inline MUST_CHECK int buf_reserve(struct buf *buf, size_t extra)
{
    if (__builtin_expect(buf->capacity - buf->size >= extra, 1))
        return 0;
    return buf_reserve_slow(buf, extra);
}

/* Appends; unchanged on error. Errors as buf_reserve(). */
static inline MUST_CHECK int buf_append(struct buf *buf, const void *data, size_t size)
{
    int r = buf_reserve(buf, size);
    if (r < 0)
        return r;
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return 0;
}

static inline MUST_CHECK int buf_append_str(struct buf *buf, struct str text)
{
    return buf_append(buf, text.data, text.size);
}

/* printf into the buffer, no terminating NUL. Errors as buf_reserve(). */
MUST_CHECK int buf_appendf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Empties, keeps the memory. */
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
}

/* Frees the memory; the buffer is empty and usable again. Accepts an empty one. */
void buf_free(struct buf *buf);

static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->data, buf->size};
}

/* Big-endian integers in keys, so that memcmp order is numeric order (signed: sign bit flipped). */
static inline void put_be64(uint8_t out[8], uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, 8);
}

static inline uint64_t get_be64(const uint8_t in[8])
{
    uint64_t value;
    memcpy(&value, in, 8);
    return __builtin_bswap64(value);
}

static inline void put_be64_signed(uint8_t out[8], int64_t value)
{
    put_be64(out, (uint64_t)value ^ ((uint64_t)1 << 63));
}

static inline int64_t get_be64_signed(const uint8_t in[8])
{
    return (int64_t)(get_be64(in) ^ ((uint64_t)1 << 63));
}

/* Little-endian integers in files, wherever they are read. */
static inline void put_le32(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline void put_le64(uint8_t out[8], uint64_t value)
{
    put_le32(out, (uint32_t)value);
    put_le32(out + 4, (uint32_t)(value >> 32));
}

static inline uint32_t get_le32(const uint8_t in[4])
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)in[i] << (8 * i);
    return value;
}

static inline uint64_t get_le64(const uint8_t in[8])
{
    return get_le32(in) | (uint64_t)get_le32(in + 4) << 32;
}

/* Declares a variable that frees itself: CLEANUP(buf_free) struct buf b = {0}; */
#define CLEANUP(function) __attribute__((cleanup(function)))
