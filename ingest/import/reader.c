/*
 * Invariants:
 *  I1 carry holds the bytes of the file from offset on that have been read.
 *  I2 offset is the start of a row, or lies within one that is being discarded.
 *  I3 reading goes on behind a line end, as a last line without one may still grow; or, where the
 * file has not grown, behind all of it. A cursor has both places.
 */
#include "ingest/import/reader.h"

#include <errno.h>
#include <unistd.h>

#include "schemas/error.h"

#define CURSOR_VERSION 1
#define VERIFY_BLOCK_SIZE ((size_t)1 << 20)

static const struct str byte_order_mark = STR_INIT("\xEF\xBB\xBF");

void chunk_free(struct chunk *chunk)
{
    buf_free(&chunk->text);
    row_output_free(&chunk->output);
}

int file_reader_open(struct reader *reader, const struct import_options *options,
    struct row_mapper *mapper, int fd, struct buf *message)
{
    *reader = (struct reader){
        .options = options, .mapper = mapper, .fd = fd, .line = 1, .message = message};
    hash128_init(&reader->hash);
    return csv_open(&reader->csv, options->mapping->delimiter);
}

void file_reader_close(struct reader *reader)
{
    csv_close(&reader->csv);
    buf_free(&reader->carry);
}

/* ---- cursors: version; bytes up to the last line end and their hash; all bytes and theirs ---- */

#define WHOLE_AT 1
#define ALL_AT 25
#define PLACE_SIZE 24

static void write_place(const struct reader *reader, uint8_t *place)
{
    put_be64(place, reader->offset);
    hash128_digest(&reader->hash, place + 8);
}

/* Hashes the first `size` bytes of the file; false when it has fewer. */
static int hash_prefix(int fd, uint64_t size, uint8_t out[16], bool *whole)
{
    CLEANUP(buf_free) struct buf block = {0};
    struct hash128_pieces hash;
    int r = buf_reserve(&block, VERIFY_BLOCK_SIZE);
    if (r < 0)
        return r;
    hash128_init(&hash);
    uint64_t at = 0;
    while (at < size) {
        size_t wanted = size - at < VERIFY_BLOCK_SIZE ? (size_t)(size - at) : VERIFY_BLOCK_SIZE;
        ssize_t got = pread(fd, block.data, wanted, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            break;
        hash128_update(&hash, str_make(block.data, (size_t)got));
        at += (uint64_t)got;
    }
    hash128_digest(&hash, out);
    *whole = at == size;
    return 0;
}

/* Whether the file begins with the bytes of a place, and has no more where it must not. */
static int has_place(const struct reader *reader, const uint8_t *place, bool to_end, bool *out)
{
    uint64_t bytes = get_be64(place);
    uint8_t hash[16];
    bool whole = false;
    *out = false;
    char next;
    if (bytes > INT64_MAX || (to_end && pread(reader->fd, &next, 1, (off_t)bytes) != 0))
        return 0;
    int r = hash_prefix(reader->fd, bytes, hash, &whole);
    if (r == 0)
        *out = whole && memcmp(hash, place + 8, sizeof(hash)) == 0;
    return r;
}

int reader_resume(struct reader *reader, struct str cursor)
{
    if (cursor.size != READER_CURSOR_SIZE || cursor.data[0] != CURSOR_VERSION)
        return 0;
    const uint8_t *place = (const uint8_t *)cursor.data + ALL_AT;
    bool same = false;
    int r = has_place(reader, place, true, &same);
    if (r == 0 && !same) {
        place = (const uint8_t *)cursor.data + WHOLE_AT;
        r = has_place(reader, place, false, &same);
    }
    if (r == 0 && same)
        reader->resume = get_be64(place);
    return r;
}

/* ---- reading ---- */

/* Reads until the text has `wanted` bytes or the file ends. Keeps JSON_INPUT_PADDING behind it. */
static int fill(struct reader *reader, struct buf *text, size_t wanted)
{
    while (text->size < wanted && !reader->eof) {
        size_t room = wanted - text->size;
        int r = buf_reserve(text, room + JSON_INPUT_PADDING);
        if (r < 0)
            return r;
        ssize_t got = read(reader->fd, text->data + text->size, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_IO;
        text->size += (size_t)got;
        reader->eof = got == 0;
    }
    return buf_reserve(text, JSON_INPUT_PADDING);
}

/* Drops bytes up to the end of a row that was too long. */
static size_t discard(struct reader *reader, struct str text)
{
    const char *line_end = text.size ? memchr(text.data, '\n', text.size) : NULL;
    if (!line_end)
        return text.size;
    reader->discarding = false;
    reader->line++;
    return (size_t)(line_end + 1 - text.data);
}

static int take_row(struct reader *reader, const struct csv_row *row, int error, uint64_t offset,
    struct row_output *output)
{
    bool csv = reader->options->mapping->format == MAPPING_CSV;
    if (csv && !reader->bound) {
        if (error < 0) {
            int r = buf_appendf(
                reader->message, "%s:1: the header: %s", reader->mapper->path, row->why);
            return r < 0 ? r : ERR_CONFIG;
        }
        reader->bound = true;
        return row_mapper_bind(reader->mapper, row, reader->message);
    }
    if (row->bytes.size == 0) /* an empty line says nothing */
        return 0;
    bool count_only = offset < reader->resume;
    return row_mapper_take(reader->mapper, row, error, reader->line, count_only, output);
}

/* Takes all whole rows of the text. *done: bytes of them; *whole: those that end with a line end.
 */
static int take_rows(
    struct reader *reader, struct str text, struct row_output *output, size_t *done, size_t *whole)
{
    bool csv = reader->options->mapping->format == MAPPING_CSV;
    size_t at = 0;
    int r = 0;
    *done = 0;
    *whole = 0;
    if (reader->offset == 0 && str_starts_with(text, byte_order_mark))
        at = byte_order_mark.size;
    if (reader->discarding)
        at = discard(reader, text);
    while (r == 0 && at < text.size) {
        struct csv_row row;
        struct str rest = str_make(text.data + at, text.size - at);
        int error = csv ? csv_read(&reader->csv, rest, reader->eof, &output->arena, &row)
                        : csv_read_line(rest, reader->eof, &row);
        if (error == CSV_MORE)
            break;
        if (error == ERR_NO_MEMORY)
            return error;
        r = take_row(reader, &row, error, reader->offset + at, output);
        at += row.size;
        reader->line += (int64_t)row.lines;
        reader->discarding = row.open;
        if (r == 0 && !row.open && text.data[at - 1] == '\n')
            *whole = at;
    }
    *done = at;
    return r;
}

static int read_rows(struct reader *reader, struct chunk *chunk)
{
    size_t wanted = reader->options->chunk_bytes;
    if (reader->offset == 0 && wanted < byte_order_mark.size)
        wanted = byte_order_mark.size;
    size_t done = 0;
    size_t whole = 0;
    for (;;) {
        int r = fill(reader, &chunk->text, wanted);
        if (r == 0)
            r = take_rows(reader, buf_str(&chunk->text), &chunk->output, &done, &whole);
        if (r < 0)
            return r;
        if (done || reader->eof)
            break;
        wanted =
            chunk->text.size + reader->options->chunk_bytes; /* one row is longer than a chunk */
    }
    hash128_update(&reader->hash, str_make(chunk->text.data, whole));
    reader->offset += whole;
    chunk->cursor[0] = CURSOR_VERSION;
    write_place(reader, chunk->cursor + WHOLE_AT);
    hash128_update(&reader->hash, str_make(chunk->text.data + whole, done - whole));
    reader->offset += done - whole;
    write_place(reader, chunk->cursor + ALL_AT);
    chunk->has_cursor = done && !reader->discarding && (whole || reader->eof);
    chunk->bytes_done = reader->offset;
    buf_clear(&reader->carry);
    return buf_append(&reader->carry, chunk->text.data + done, chunk->text.size - done);
}

void file_reader_next(struct reader *reader, struct chunk *chunk)
{
    row_output_reset(&chunk->output);
    buf_clear(&chunk->text);
    chunk->has_cursor = false;
    chunk->bytes_done = reader->offset;
    chunk->error = 0;
    errno = 0;
    if (!reader->bound && reader->options->mapping->header) {
        reader->bound = true;
        chunk->error = row_mapper_bind(reader->mapper, NULL, reader->message);
    }
    if (chunk->error == 0)
        chunk->error = buf_append_str(&chunk->text, buf_str(&reader->carry));
    if (chunk->error == 0)
        chunk->error = read_rows(reader, chunk);
    chunk->reason = chunk->error == ERR_IO ? errno : 0;
    chunk->last = chunk->error < 0 || (reader->eof && reader->carry.size == 0);
}
