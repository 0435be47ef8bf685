/* zlib under caps. */
#include "ingest/collector/inflate.h"

#include <zlib.h>

#include "schemas/error.h"

#define CHUNK_SIZE ((size_t)32 << 10)
#define RATIO_FREE_SIZE ((size_t)64 << 10) /* below it no ratio is too large */
#define WINDOW_GZIP (MAX_WBITS + 16)
#define WINDOW_ZLIB MAX_WBITS
#define WINDOW_RAW (-MAX_WBITS)

static bool equals_ignoring_case(struct str text, struct str lower)
{
    if (text.size != lower.size)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower.data[i])
            return false;
    }
    return true;
}

int content_encoding_of(struct str header, enum content_encoding *out)
{
    static const struct {
        struct str name;
        enum content_encoding encoding;
    } known[] = {{STR_INIT(""), CONTENT_IDENTITY}, {STR_INIT("identity"), CONTENT_IDENTITY},
        {STR_INIT("gzip"), CONTENT_GZIP}, {STR_INIT("x-gzip"), CONTENT_GZIP},
        {STR_INIT("deflate"), CONTENT_DEFLATE}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (equals_ignoring_case(header, known[i].name)) {
            *out = known[i].encoding;
            return 0;
        }
    return ERR_ENCODING;
}

/* A zlib header: method 8, and a check of both bytes. Source: RFC 1950, 2.2. */
static bool has_zlib_header(struct str body)
{
    if (body.size < 2)
        return false;
    unsigned first = (unsigned char)body.data[0];
    unsigned second = (unsigned char)body.data[1];
    return (first & 0x0f) == 8 && (first * 256 + second) % 31 == 0;
}

static int window_of(struct str body, enum content_encoding encoding)
{
    if (encoding == CONTENT_GZIP)
        return WINDOW_GZIP;
    return has_zlib_header(body) ? WINDOW_ZLIB : WINDOW_RAW;
}

static int check_size(size_t sent, size_t size, const struct inflate_limits *limits)
{
    if (size > limits->size_max)
        return ERR_TOO_LARGE;
    if (size > RATIO_FREE_SIZE && size / limits->ratio_max > sent)
        return ERR_TOO_LARGE;
    return 0;
}

/* Inflates until zlib has no more to say: Z_STREAM_END of the last member. */
static int run(z_stream *stream, bool members, size_t sent, const struct inflate_limits *limits,
    struct buf *out)
{
    size_t before = out->size;
    for (;;) {
        int r = buf_reserve(out, CHUNK_SIZE);
        if (r < 0)
            return r;
        stream->next_out = (Bytef *)out->data + out->size;
        stream->avail_out = CHUNK_SIZE;
        int z = inflate(stream, Z_NO_FLUSH);
        out->size += CHUNK_SIZE - stream->avail_out;
        r = check_size(sent, out->size - before, limits);
        if (r < 0)
            return r;
        if (z == Z_MEM_ERROR)
            return ERR_NO_MEMORY;
        if (z == Z_STREAM_END && members && stream->avail_in > 0) {
            if (inflateReset(stream) != Z_OK)
                return ERR_GZIP;
            continue;
        }
        if (z == Z_STREAM_END)
            return stream->avail_in == 0 ? 0 : ERR_GZIP;
        if (z != Z_OK || (stream->avail_in == 0 && stream->avail_out != 0))
            return ERR_GZIP;
    }
}

int inflate_body(struct str body, enum content_encoding encoding,
    const struct inflate_limits *limits, struct buf *out)
{
    if (encoding == CONTENT_IDENTITY)
        return buf_append_str(out, body);
    if (body.size > UINT32_MAX)
        return ERR_TOO_LARGE;
    z_stream stream = {0};
    if (inflateInit2(&stream, window_of(body, encoding)) != Z_OK)
        return ERR_NO_MEMORY;
    stream.next_in = (Bytef *)(uintptr_t)body.data;
    stream.avail_in = (uInt)body.size;
    int r = run(&stream, encoding == CONTENT_GZIP, body.size, limits, out);
    (void)inflateEnd(&stream);
    return r;
}
