#include "ingest/import/csv.h"

#include <stdlib.h>

#include "schemas/error.h"

#define QUOTE '"'
#define LINE_END_SIZE_MAX 2

/* Outcomes of reading a field beside errors. */
enum field_end {
    FIELD_DELIMITER,
    FIELD_ROW_END,
    FIELD_MORE,
    FIELD_BAD_QUOTE,
    FIELD_NOT_CLOSED,
};

struct cursor {
    const char *at;
    const char *begin;
    const char *end;
    char delimiter;
    bool last;
};

int csv_open(struct csv *csv, char delimiter)
{
    struct str *fields = malloc(CSV_FIELDS_MAX * sizeof(*fields));
    if (!fields)
        return ERR_NO_MEMORY;
    *csv = (struct csv){.delimiter = delimiter, .fields = fields};
    return 0;
}

void csv_close(struct csv *csv)
{
    free(csv->fields);
    csv->fields = NULL;
}

/* What follows a field: moves behind the delimiter, or stays before the row's end. */
static enum field_end field_end(struct cursor *cursor)
{
    if (cursor->at == cursor->end)
        return cursor->last ? FIELD_ROW_END : FIELD_MORE;
    if (*cursor->at == cursor->delimiter) {
        cursor->at++;
        return FIELD_DELIMITER;
    }
    if (*cursor->at == '\n')
        return FIELD_ROW_END;
    if (*cursor->at != '\r')
        return FIELD_BAD_QUOTE;
    if (cursor->at + 1 == cursor->end)
        return cursor->last ? FIELD_ROW_END : FIELD_MORE;
    return cursor->at[1] == '\n' ? FIELD_ROW_END : FIELD_BAD_QUOTE;
}

static enum field_end read_plain(struct cursor *cursor, struct str *field)
{
    const char *at = cursor->at;
    const char *begin = at;
    const char *end = cursor->end;
    const char delimiter = cursor->delimiter;
    while (at < end && *at != delimiter && *at != '\n' && *at != QUOTE)
        at++;
    cursor->at = at;
    if (at < end && *at == QUOTE)
        return FIELD_BAD_QUOTE;
    if (at == end && !cursor->last)
        return FIELD_MORE;
    bool row_end = at == end || *at == '\n';
    if (row_end && at > begin && at[-1] == '\r')
        cursor->at = --at;
    *field = str_make(begin, (size_t)(at - begin));
    return field_end(cursor);
}

/* Doubled quotes made single. */
static int undouble(struct arena *arena, struct str *field, size_t doubled)
{
    char *copy = arena_alloc(arena, field->size - doubled);
    if (!copy)
        return ERR_NO_MEMORY;
    size_t size = 0;
    for (size_t i = 0; i < field->size; i++) {
        copy[size++] = field->data[i];
        if (field->data[i] == QUOTE)
            i++;
    }
    *field = str_make(copy, size);
    return 0;
}

static int read_quoted(
    struct cursor *cursor, struct arena *arena, struct str *field, enum field_end *how)
{
    const char *begin = ++cursor->at;
    size_t doubled = 0;
    for (;;) {
        const char *quote = memchr(cursor->at, QUOTE, (size_t)(cursor->end - cursor->at));
        size_t size = (size_t)((quote ? quote : cursor->end) - cursor->begin);
        if (size > CSV_ROW_SIZE_MAX || (!quote && cursor->last)) {
            *how = FIELD_NOT_CLOSED;
            return 0;
        }
        /* A quote at the very end may be the first of two. */
        if (!quote || (quote + 1 == cursor->end && !cursor->last)) {
            *how = FIELD_MORE;
            return 0;
        }
        cursor->at = quote + 1;
        if (cursor->at == cursor->end || *cursor->at != QUOTE)
            break;
        cursor->at++;
        doubled++;
    }
    *field = str_make(begin, (size_t)(cursor->at - 1 - begin));
    *how = field_end(cursor);
    return doubled && *how <= FIELD_ROW_END ? undouble(arena, field, doubled) : 0;
}

static size_t count_lines(struct str bytes)
{
    size_t lines = 0;
    const char *at = bytes.data;
    const char *end = bytes.data + bytes.size;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        lines++;
        at++;
    }
    return lines;
}

/* Sets bytes, size and lines of a row that ends before `at`. */
static void set_extent(struct csv_row *row, const struct cursor *cursor, const char *at)
{
    row->bytes = str_make(cursor->begin, (size_t)(at - cursor->begin));
    if (at < cursor->end && *at == '\r')
        at++;
    if (at < cursor->end && *at == '\n')
        at++;
    row->size = (size_t)(at - cursor->begin);
    row->lines = count_lines(str_make(cursor->begin, row->size));
}

/* Reading goes on behind the first line end after the longest row. */
static int too_long(struct csv_row *row, const struct cursor *cursor)
{
    const char *from = cursor->begin + CSV_ROW_SIZE_MAX;
    const char *line_end = memchr(from, '\n', (size_t)(cursor->end - from));
    set_extent(row, cursor, line_end ? line_end : cursor->end);
    row->bytes.size = CSV_ROW_SIZE_MAX;
    row->open = !line_end && !cursor->last;
    row->bad_column = 0;
    row->why = "the row is too long";
    return ERR_ROW;
}

/* Reading goes on behind the next line end; of a quote never closed, behind the row's first line.
 */
static int bad_row(struct csv_row *row, const struct cursor *cursor, enum field_end how)
{
    const char *from = how == FIELD_NOT_CLOSED ? cursor->begin : cursor->at;
    const char *line_end = memchr(from, '\n', (size_t)(cursor->end - from));
    if (!line_end && !cursor->last)
        return CSV_MORE;
    if (!line_end)
        line_end = cursor->end;
    if (line_end > from && line_end[-1] == '\r')
        line_end--;
    set_extent(row, cursor, line_end);
    if (how == FIELD_NOT_CLOSED)
        row->why = "a quoted field does not end";
    else if (row->fields_count == CSV_FIELDS_MAX)
        row->why = "too many columns";
    else
        row->why = "a quote stands within a field";
    row->bad_column = row->fields_count;
    return ERR_ROW;
}

int csv_read(struct csv *csv, struct str text, bool last, struct arena *arena, struct csv_row *row)
{
    struct cursor cursor = {text.data, text.data, text.data + text.size, csv->delimiter, last};
    *row = (struct csv_row){.fields = csv->fields};
    enum field_end how = FIELD_DELIMITER;
    while (how == FIELD_DELIMITER && row->fields_count < CSV_FIELDS_MAX) {
        struct str *field = &csv->fields[row->fields_count];
        int r = 0;
        if (cursor.at < cursor.end && *cursor.at == QUOTE)
            r = read_quoted(&cursor, arena, field, &how);
        else
            how = read_plain(&cursor, field);
        if (r < 0)
            return r;
        row->fields_count++;
    }
    int r = 0;
    if (how == FIELD_MORE)
        r = CSV_MORE;
    else if (how == FIELD_ROW_END)
        set_extent(row, &cursor, cursor.at);
    else
        r = bad_row(row, &cursor, how);
    bool cut = r == CSV_MORE && text.size > CSV_ROW_SIZE_MAX + LINE_END_SIZE_MAX;
    return cut || row->bytes.size > CSV_ROW_SIZE_MAX ? too_long(row, &cursor) : r;
}

int csv_read_line(struct str text, bool last, struct csv_row *row)
{
    struct cursor cursor = {text.data, text.data, text.data + text.size, 0, last};
    *row = (struct csv_row){0};
    const char *line_end = memchr(text.data, '\n', text.size);
    if (!line_end && !last)
        return text.size > CSV_ROW_SIZE_MAX + LINE_END_SIZE_MAX ? too_long(row, &cursor) : CSV_MORE;
    const char *end = line_end ? line_end : cursor.end;
    if (end > text.data && end[-1] == '\r')
        end--;
    set_extent(row, &cursor, end);
    return row->bytes.size > CSV_ROW_SIZE_MAX ? too_long(row, &cursor) : 0;
}
