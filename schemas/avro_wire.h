/*
 * Avro's binary encoding, piece by piece: what generated code is made of. Source: Avro 1.11,
 * "Binary Encoding".
 *
 * Readers check every length and count against what is left and against a maximum; writers write
 * into room that the caller has reserved.
 */
#pragma once

#include "schemas/bytes.h"
#include "schemas/error.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "whole words are read and written: little-endian hosts only"
#endif

struct avro_reader {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct avro_reader avro_reader_of(struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    return (struct avro_reader){at, at + bytes.size};
}

/* Longest encoding of a long: 10 bytes of 7 bits. Source: Avro, "Primitive Types". */
#define AVRO_LONG_SIZE_MAX 10

/* Bytes that an encoder reserves beyond its bound, so that pieces may be stored as whole words. */
#define AVRO_WRITE_SLACK 16

/* The reader stays in registers only while its address does not leave the decoder: hence fast paths
 * that are always inlined, and slow ones that take and return places. */
#define AVRO_INLINE static inline __attribute__((always_inline))
#define AVRO_SLOW static __attribute__((noinline, unused))

#define AVRO_CLEAR_INLINE_MAX 64

/* memset() behind a call: where the size is known gcc stores large records by `rep stos`, whose
 * start alone costs more than libc takes for all of one. */
void avro_clear_large(void *out, size_t size);

AVRO_INLINE void avro_clear(void *out, size_t size)
{
    if (size <= AVRO_CLEAR_INLINE_MAX)
        memset(out, 0, size);
    else
        avro_clear_large(out, size);
}

static inline int64_t avro_zigzag(uint64_t bits)
{
    return (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
}

/* Byte by byte: near the end of the input, and over 8 bytes. Returns the place behind, NULL on
 * error. */
static inline const uint8_t *avro_long_bytes(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    uint64_t bits = 0;
    for (unsigned shift = 0; shift < 7 * AVRO_LONG_SIZE_MAX; shift += 7) {
        if (p == end)
            return NULL;
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return NULL;
        bits |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = avro_zigzag(bits);
            return p;
        }
    }
    return NULL;
}

/* Longs of 2 bytes and more: the 7-bit groups of a word are pushed together in three steps. Returns
 * the place behind, NULL on error. */
AVRO_SLOW const uint8_t *avro_long_word(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    uint64_t word;
    if (end - p < (ptrdiff_t)sizeof(word))
        return avro_long_bytes(p, end, out);
    memcpy(&word, p, sizeof(word));
    uint64_t ends = ~word & 0x8080808080808080;
    if (ends == 0)
        return avro_long_bytes(p, end, out);
    uint64_t last = ends & -ends; /* top bit of the last byte */
    uint64_t bits = word & (last - 1) & 0x7f7f7f7f7f7f7f7f;
    bits = (bits & 0x007f007f007f007f) | ((bits & 0x7f007f007f007f00) >> 1);
    bits = (bits & 0x00003fff00003fff) | ((bits & 0x3fff00003fff0000) >> 2);
    bits = (bits & 0x000000000fffffff) | ((bits & 0x0fffffff00000000) >> 4);
    *out = avro_zigzag(bits);
    return p + (__builtin_ctzll(last) + 1) / 8;
}

AVRO_INLINE int avro_get_long(struct avro_reader *reader, int64_t *out)
{
    const uint8_t *p = reader->at;
    if (__builtin_expect(p != reader->end && *p < 0x80, 1)) {
        *out = avro_zigzag(*p);
        reader->at = p + 1;
        return 0;
    }
    int64_t value;
    p = avro_long_word(p, reader->end, &value);
    if (__builtin_expect(!p, 0))
        return ERR_AVRO;
    *out = value;
    reader->at = p;
    return 0;
}

AVRO_INLINE int avro_get_int(struct avro_reader *reader, int32_t *out)
{
    int64_t value;
    int r = avro_get_long(reader, &value);
    if (r < 0)
        return r;
    if (value < INT32_MIN || value > INT32_MAX)
        return ERR_AVRO;
    *out = (int32_t)value;
    return 0;
}

AVRO_INLINE int avro_get_enum(struct avro_reader *reader, int32_t symbols, int32_t *out)
{
    int64_t value;
    int r = avro_get_long(reader, &value);
    if (r < 0)
        return r;
    if (value < 0 || value >= symbols)
        return ERR_AVRO;
    *out = (int32_t)value;
    return 0;
}

AVRO_INLINE int avro_get_bool(struct avro_reader *reader, bool *out)
{
    if (reader->at == reader->end || *reader->at > 1)
        return ERR_AVRO;
    *out = *reader->at++;
    return 0;
}

/* Branch of a [null, X] union. */
AVRO_INLINE int avro_get_branch(struct avro_reader *reader, bool *present)
{
    int64_t branch;
    int r = avro_get_long(reader, &branch);
    if (r < 0)
        return r;
    if (branch < 0 || branch > 1)
        return ERR_AVRO;
    *present = branch == 1;
    return 0;
}

AVRO_INLINE int avro_get_double(struct avro_reader *reader, double *out)
{
    if (reader->end - reader->at < 8)
        return ERR_AVRO;
    memcpy(out, reader->at, 8);
    reader->at += 8;
    return 0;
}

AVRO_INLINE int avro_get_fixed(struct avro_reader *reader, uint8_t *out, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size)
        return ERR_AVRO;
    memcpy(out, reader->at, size);
    reader->at += size;
    return 0;
}

AVRO_INLINE int avro_get_bytes(struct avro_reader *reader, size_t size_max, struct str *out)
{
    int64_t size;
    int r = avro_get_long(reader, &size);
    if (__builtin_expect(r < 0, 0))
        return r;
    if (__builtin_expect((uint64_t)size > (uint64_t)(reader->end - reader->at), 0))
        return ERR_AVRO; /* negative ones too */
    if (__builtin_expect((uint64_t)size > size_max, 0))
        return ERR_TOO_LARGE;
    *out = str_make(reader->at, (size_t)size);
    reader->at += size;
    return 0;
}

/* Count of the next block of an array, 0 at its end. Every item takes a byte at least. */
AVRO_INLINE int avro_get_block(struct avro_reader *reader, size_t count_max, size_t *out)
{
    int64_t count, size;
    int r = avro_get_long(reader, &count);
    if (r == 0 && count < 0) {
        r = avro_get_long(reader, &size);
        if (r == 0 && (count == INT64_MIN || size < 0 || size > reader->end - reader->at))
            r = ERR_AVRO;
        count = r == 0 ? -count : 0;
    }
    if (r < 0)
        return r;
    if ((uint64_t)count > (uint64_t)(reader->end - reader->at))
        return ERR_AVRO;
    if ((uint64_t)count > count_max)
        return ERR_TOO_MANY;
    *out = (size_t)count;
    return 0;
}

/* The encoded bytes of one record, checked by its skip function. */
AVRO_INLINE int avro_get_raw(
    struct avro_reader *reader, int (*skip_record)(struct avro_reader *), struct str *out)
{
    struct avro_reader behind = *reader;
    int r = skip_record(&behind);
    if (r < 0)
        return r;
    *out = str_make(reader->at, (size_t)(behind.at - reader->at));
    reader->at = behind.at;
    return 0;
}

static inline int avro_skip_long(struct avro_reader *reader)
{
    int64_t value;
    return avro_get_long(reader, &value);
}

static inline int avro_skip_int(struct avro_reader *reader)
{
    int32_t value;
    return avro_get_int(reader, &value);
}

static inline int avro_skip_bool(struct avro_reader *reader)
{
    bool value;
    return avro_get_bool(reader, &value);
}

static inline int avro_skip_enum(struct avro_reader *reader, int32_t symbols)
{
    int32_t symbol;
    return avro_get_enum(reader, symbols, &symbol);
}

static inline int avro_skip_fixed(struct avro_reader *reader, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size)
        return ERR_AVRO;
    reader->at += size;
    return 0;
}

static inline int avro_skip_bytes(struct avro_reader *reader, size_t size_max)
{
    struct str bytes;
    return avro_get_bytes(reader, size_max, &bytes);
}

/* The writers store whole words: behind p must be room for the piece and AVRO_WRITE_SLACK more. */

/* Longs of 2 bytes and more; up to 8 bytes by spreading the 7-bit groups of a word in three steps.
 */
static inline uint8_t *avro_put_long_words(uint8_t *p, uint64_t bits)
{
    if (bits >> 56) {
        while (bits >= 0x80) {
            *p++ = (uint8_t)(bits | 0x80);
            bits >>= 7;
        }
        *p++ = (uint8_t)bits;
        return p;
    }
    unsigned size = (unsigned)(63 - __builtin_clzll(bits)) / 7 + 1;
    bits = (bits & 0x000000000fffffff) | ((bits & 0x00fffffff0000000) << 4);
    bits = (bits & 0x00003fff00003fff) | ((bits & 0x0fffc0000fffc000) << 2);
    bits = (bits & 0x007f007f007f007f) | ((bits & 0x3f803f803f803f80) << 1);
    bits |= 0x8080808080808080 & (((uint64_t)1 << (8 * (size - 1))) - 1);
    memcpy(p, &bits, 8);
    return p + size;
}

AVRO_INLINE uint8_t *avro_put_long(uint8_t *p, int64_t value)
{
    uint64_t bits = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    if (__builtin_expect(bits < 0x80, 1)) {
        *p = (uint8_t)bits;
        return p + 1;
    }
    return avro_put_long_words(p, bits);
}

/* Short texts are most: two overlapping words each way instead of a call. */
AVRO_INLINE uint8_t *avro_put_raw(uint8_t *p, struct str bytes)
{
    const char *data = bytes.data;
    size_t size = bytes.size;
    if (size > 32) {
        memcpy(p, data, size);
    } else if (size >= 16) {
        memcpy(p, data, 16);
        memcpy(p + size - 16, data + size - 16, 16);
    } else if (size >= 8) {
        memcpy(p, data, 8);
        memcpy(p + size - 8, data + size - 8, 8);
    } else if (size >= 4) {
        memcpy(p, data, 4);
        memcpy(p + size - 4, data + size - 4, 4);
    } else if (size) {
        p[0] = (uint8_t)data[0];
        p[size / 2] = (uint8_t)data[size / 2];
        p[size - 1] = (uint8_t)data[size - 1];
    }
    return p + size;
}

AVRO_INLINE uint8_t *avro_put_bytes(uint8_t *p, struct str bytes)
{
    if (bytes.size == 0) {
        *p = 0;
        return p + 1;
    }
    return avro_put_raw(avro_put_long(p, (int64_t)bytes.size), bytes);
}

static inline uint8_t *avro_put_double(uint8_t *p, double value)
{
    memcpy(p, &value, 8);
    return p + 8;
}
