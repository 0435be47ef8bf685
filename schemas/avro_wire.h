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

struct avro_reader {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct avro_reader avro_reader_of(struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    return (struct avro_reader){at, at + bytes.size};
}

static inline int avro_get_long(struct avro_reader *reader, int64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = reader->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == reader->end)
            return ERR_AVRO;
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return ERR_AVRO;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            reader->at = p;
            *out = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
            return 0;
        }
    }
    return ERR_AVRO;
}

static inline int avro_get_int(struct avro_reader *reader, int32_t *out)
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

static inline int avro_get_enum(struct avro_reader *reader, int32_t symbols, int32_t *out)
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

static inline int avro_get_bool(struct avro_reader *reader, bool *out)
{
    if (reader->at == reader->end || *reader->at > 1)
        return ERR_AVRO;
    *out = *reader->at++;
    return 0;
}

/* Branch of a [null, X] union. */
static inline int avro_get_branch(struct avro_reader *reader, bool *present)
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

static inline int avro_get_double(struct avro_reader *reader, double *out)
{
    if (reader->end - reader->at < 8)
        return ERR_AVRO;
    memcpy(out, reader->at, 8);
    reader->at += 8;
    return 0;
}

static inline int avro_get_fixed(struct avro_reader *reader, uint8_t *out, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size)
        return ERR_AVRO;
    memcpy(out, reader->at, size);
    reader->at += size;
    return 0;
}

static inline int avro_get_bytes(struct avro_reader *reader, size_t size_max, struct str *out)
{
    int64_t size;
    int r = avro_get_long(reader, &size);
    if (r < 0)
        return r;
    if (size < 0 || (uint64_t)size > (uint64_t)(reader->end - reader->at))
        return ERR_AVRO;
    if ((uint64_t)size > size_max)
        return ERR_TOO_LARGE;
    *out = str_make(reader->at, (size_t)size);
    reader->at += size;
    return 0;
}

/* Count of the next block of an array, 0 at its end. Every item takes a byte at least. */
static inline int avro_get_block(struct avro_reader *reader, size_t count_max, size_t *out)
{
    int64_t count, size;
    int r = avro_get_long(reader, &count);
    if (r == 0 && count < 0) {
        r = avro_get_long(reader, &size);
        if (r == 0 && (count == INT64_MIN || size < 0))
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
static inline int avro_get_raw(
    struct avro_reader *reader, int (*skip)(struct avro_reader *), struct str *out)
{
    const uint8_t *begin = reader->at;
    int r = skip(reader);
    if (r < 0)
        return r;
    *out = str_make(begin, (size_t)(reader->at - begin));
    return 0;
}

static inline int avro_skip_long(struct avro_reader *reader)
{
    int64_t value;
    return avro_get_long(reader, &value);
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

static inline int avro_skip_bytes(struct avro_reader *reader)
{
    struct str bytes;
    return avro_get_bytes(reader, SIZE_MAX, &bytes);
}

static inline uint8_t *avro_put_long(uint8_t *p, int64_t value)
{
    uint64_t bits = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (bits >= 0x80) {
        *p++ = (uint8_t)(bits | 0x80);
        bits >>= 7;
    }
    *p++ = (uint8_t)bits;
    return p;
}

static inline uint8_t *avro_put_raw(uint8_t *p, struct str bytes)
{
    if (bytes.size)
        memcpy(p, bytes.data, bytes.size);
    return p + bytes.size;
}

static inline uint8_t *avro_put_bytes(uint8_t *p, struct str bytes)
{
    return avro_put_raw(avro_put_long(p, (int64_t)bytes.size), bytes);
}

static inline uint8_t *avro_put_double(uint8_t *p, double value)
{
    memcpy(p, &value, 8);
    return p + 8;
}
