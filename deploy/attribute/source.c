#include "deploy/attribute/source.h"

#include <stdlib.h>
#include <zlib.h>

#include "schemas/error.h"

#define PACKED_SIZE ((size_t)64 << 10)
#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, gzip's header */

struct source {
    FILE *in;
    bool packed;
    bool within; /* a member of gzip that has not ended */
    z_stream stream;
    size_t begin, end; /* of what is read and not given */
    uint8_t bytes[PACKED_SIZE];
};

/* What does not begin as text does. */
static const struct {
    const char *bytes;
    size_t size;
    const char *why;
} foreign[] = {
    {"\xff\xfe", 2, "is UTF-16: save it as UTF-8"},
    {"\xfe\xff", 2, "is UTF-16: save it as UTF-8"},
    {"PK\3\4", 4, "is a ZIP archive or a workbook: unpack it, or save it as CSV"},
    {"\x28\xb5\x2f\xfd", 4, "is packed by zstd: unpack it"},
    {"BZh", 3, "is packed by bzip2: unpack it"},
    {"\xfd"
     "7zXZ",
        5, "is packed by xz: unpack it"},
    {"PAR1", 4, "is Parquet: save it as CSV"},
};

/* Reads on when nothing is left. *end: there is no more. */
static int fill(struct source *source, bool *end)
{
    *end = false;
    if (source->begin < source->end)
        return 0;
    source->begin = 0;
    source->end = fread(source->bytes, 1, sizeof source->bytes, source->in);
    *end = source->end == 0;
    return ferror(source->in) ? ERR_IO : 0;
}

static bool begins(const struct source *source, const char *bytes, size_t size)
{
    return source->end >= size && memcmp(source->bytes, bytes, size) == 0;
}

static int look(struct source *source, const char **why)
{
    bool end;
    int r = fill(source, &end);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (!begins(source, foreign[i].bytes, foreign[i].size))
            continue;
        *why = foreign[i].why;
        return ERR_VALUE;
    }
    if (!begins(source, "\x1f\x8b", 2))
        return 0;
    if (inflateInit2(&source->stream, GZIP_WINDOW) != Z_OK)
        return ERR_NO_MEMORY;
    source->packed = source->within = true;
    return 0;
}

int source_open(FILE *in, struct source **out, const char **why)
{
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return ERR_NO_MEMORY;
    source->in = in;
    int r = look(source, why);
    if (r < 0) {
        source_close(&source);
        return r;
    }
    *out = source;
    return 0;
}

void source_close(struct source **out)
{
    struct source *source = *out;
    if (!source)
        return;
    if (source->packed)
        (void)inflateEnd(&source->stream);
    free(source);
    *out = NULL;
}

/* Inflates some of what is read. Returns 0, or an error. */
static int inflate_some(struct source *source, const char **why)
{
    z_stream *stream = &source->stream;
    stream->next_in = source->bytes + source->begin;
    stream->avail_in = (uInt)(source->end - source->begin);
    if (!source->within) { /* another member follows */
        (void)inflateReset(stream);
        source->within = true;
    }
    int code = inflate(stream, Z_NO_FLUSH);
    source->begin = source->end - stream->avail_in;
    source->within = code != Z_STREAM_END;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
        return 0;
    *why = "is gzip, but damaged";
    return code == Z_MEM_ERROR ? ERR_NO_MEMORY : ERR_VALUE;
}

static int read_packed(struct source *source, char *out, size_t size, size_t *got, const char **why)
{
    source->stream.next_out = (Bytef *)out;
    source->stream.avail_out = (uInt)size;
    while (source->stream.avail_out == size) {
        bool end;
        int r = fill(source, &end);
        if (r == 0 && end && source->within) {
            *why = "is gzip, but cut short";
            return ERR_VALUE;
        }
        if (r == 0 && end)
            break;
        if (r == 0)
            r = inflate_some(source, why);
        if (r < 0)
            return r;
    }
    *got = size - source->stream.avail_out;
    return 0;
}

int source_read(struct source *source, char *out, size_t size, size_t *got, const char **why)
{
    bool end;
    size = size < UINT32_MAX ? size : UINT32_MAX;
    if (source->packed)
        return read_packed(source, out, size, got, why);
    int r = fill(source, &end);
    if (r < 0)
        return r;
    size_t left = source->end - source->begin;
    *got = left < size ? left : size;
    memcpy(out, source->bytes + source->begin, *got);
    source->begin += *got;
    return 0;
}
