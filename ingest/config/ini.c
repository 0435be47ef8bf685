/* One pass over the lines; nothing is copied. */
#include "ingest/config/ini.h"

#include <errno.h>
#include <stdio.h>

#include <utf8proc.h>

#include "schemas/error.h"

struct reader {
    struct str rest;
    struct str section;
    struct str key; /* of the line before, for continuations; empty: none */
    int line;
};

static struct str take_line(struct reader *reader)
{
    const char *end = memchr(reader->rest.data, '\n', reader->rest.size);
    size_t size = end ? (size_t)(end - reader->rest.data) : reader->rest.size;
    struct str line = str_make(reader->rest.data, size);
    size_t taken = end ? size + 1 : size;
    reader->rest = str_make(reader->rest.data + taken, reader->rest.size - taken);
    reader->line++;
    return line;
}

static const char *line_fault(struct str line)
{
    if (line.size > INI_LINE_SIZE_MAX)
        return "the line is too long";
    for (size_t i = 0; i < line.size;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate(
            (const utf8proc_uint8_t *)line.data + i, (utf8proc_ssize_t)(line.size - i), &point);
        if (step <= 0)
            return "bytes that are not UTF-8";
        if (point == 0)
            return "a NUL byte";
        i += (size_t)step;
    }
    return NULL;
}

/* Reads a line into *entry. Returns false for a blank one or a comment. *fault: what is wrong. */
static bool read_line(
    struct reader *reader, struct str raw, struct ini_entry *entry, const char **fault)
{
    struct str line = str_trim(raw);
    if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';')
        return false;
    *entry = (struct ini_entry){.line = reader->line};
    if (raw.data[0] == ' ' || raw.data[0] == '\t') {
        entry->continuation = true;
        entry->key = reader->key;
        entry->value = line;
        if (reader->key.size == 0)
            *fault = "an indented line continues a value, and there is none before it";
    } else if (line.data[0] == '[') {
        if (line.data[line.size - 1] != ']')
            *fault = "'[' without ']'";
        reader->section = str_trim(str_make(line.data + 1, line.size - (line.size > 1 ? 2 : 1)));
        reader->key = STR("");
    } else {
        const char *equals = memchr(line.data, '=', line.size);
        size_t at = equals ? (size_t)(equals - line.data) : line.size;
        entry->key = str_trim(str_make(line.data, at));
        if (!equals || entry->key.size == 0)
            *fault = "neither \"key = value\" nor \"[section]\"";
        else
            entry->value = str_trim(str_make(line.data + at + 1, line.size - at - 1));
        reader->key = entry->key;
    }
    entry->section = reader->section;
    return true;
}

int ini_read(struct str text, ini_entry_fn entry, void *context, struct ini_problem *problem)
{
    *problem = (struct ini_problem){0};
    if (text.size > INI_SIZE_MAX) {
        problem->text = "the file is too large";
        return ERR_CONFIG;
    }
    struct reader reader = {.rest = text};
    if (str_starts_with(text, STR("\xef\xbb\xbf")))
        reader.rest = str_make(text.data + 3, text.size - 3);
    while (reader.rest.size) {
        struct ini_entry one;
        struct str line = take_line(&reader);
        const char *fault = line_fault(line);
        bool found = !fault && read_line(&reader, line, &one, &fault);
        problem->line = reader.line;
        problem->text = fault;
        if (fault)
            return ERR_CONFIG;
        int r = found ? entry(context, &one) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_all(FILE *file, size_t size_max, struct buf *out)
{
    char chunk[8192];
    size_t before = out->size;
    for (;;) {
        size_t size = fread(chunk, 1, sizeof chunk, file);
        if (size == 0)
            return ferror(file) ? ERR_IO : 0;
        if (out->size - before + size > size_max)
            return ERR_TOO_LARGE;
        int r = buf_append(out, chunk, size);
        if (r < 0)
            return r;
    }
}

int ini_load(const char *path, size_t size_max, struct buf *out)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    int r = read_all(file, size_max, out);
    int reason = errno;
    if (fclose(file) != 0 && r == 0)
        return ERR_IO;
    errno = reason;
    return r;
}
