/*
 * Lines are told apart as ini.c does. What is written replaces the key's line, or goes behind the
 * last line that says something in the section's first stretch.
 */
#include "ingest/config/ini_edit.h"

#include "schemas/error.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum line_kind {
    LINE_NOTHING, /* blank or a comment */
    LINE_SECTION,
    LINE_KEY,
    LINE_MORE, /* continues a value */
};

struct line {
    struct str whole; /* with its line end */
    enum line_kind kind;
    struct str name; /* of the section or key */
};

/* Where one edit goes. Offsets into the text. */
struct place {
    bool section;
    bool key;
    size_t key_at;   /* of its line */
    size_t key_end;  /* behind it */
    size_t last_end; /* behind the last line that says something */
};

static struct line take_line(struct str text, size_t at)
{
    const char *begin = text.data + at;
    const char *end = memchr(begin, '\n', text.size - at);
    struct line line = {.whole = str_make(begin, end ? (size_t)(end + 1 - begin) : text.size - at)};
    struct str said = line.whole;
    if (at == 0 && str_starts_with(said, STR(BYTE_ORDER_MARK)))
        said = str_make(said.data + 3, said.size - 3);
    struct str plain = str_trim(said);
    if (plain.size == 0 || plain.data[0] == '#' || plain.data[0] == ';')
        return line;
    if (said.data[0] == ' ' || said.data[0] == '\t') {
        line.kind = LINE_MORE;
    } else if (plain.data[0] == '[') {
        line.kind = LINE_SECTION;
        line.name = str_trim(str_make(plain.data + 1, plain.size - (plain.size > 1 ? 2 : 1)));
    } else {
        const char *equals = memchr(plain.data, '=', plain.size);
        line.kind = LINE_KEY;
        line.name =
            str_trim(str_make(plain.data, equals ? (size_t)(equals - plain.data) : plain.size));
    }
    return line;
}

/* A section that begins again later is the same section: the key may stand in either stretch. */
static struct place find(struct str text, struct str section, struct str key)
{
    struct place place = {.section = false};
    bool within = false, first = true;
    for (size_t at = 0; at < text.size;) {
        struct line line = take_line(text, at);
        size_t end = at + line.whole.size;
        if (line.kind == LINE_SECTION) {
            first = !place.section;
            within = str_equal(line.name, section);
            place.section |= within;
        }
        if (within && line.kind == LINE_KEY && str_equal(line.name, key)) {
            place.key = true;
            place.key_at = at;
            place.key_end = end;
        }
        if (within && first && line.kind != LINE_NOTHING)
            place.last_end = end;
        at = end;
    }
    return place;
}

bool ini_edit_has(struct str text, struct str section)
{
    return find(text, section, STR("")).section;
}

static struct str line_end(struct str text)
{
    const char *first = text.size ? memchr(text.data, '\n', text.size) : NULL;
    return first && first > text.data && first[-1] == '\r' ? STR("\r\n") : STR("\n");
}

/* Text up to `at`, its last line ended. */
static int copy_before(struct str text, size_t at, struct buf *out)
{
    int r = buf_append(out, text.data, at);
    if (r == 0 && at && text.data[at - 1] != '\n')
        r = buf_append_str(out, line_end(text));
    return r;
}

/* What follows the line of a key, without the lines that continue its value. */
static int copy_behind(struct str text, size_t at, bool of_key, struct buf *out)
{
    int r = 0;
    bool more = of_key;
    while (r == 0 && at < text.size) {
        struct line line = take_line(text, at);
        more = more && (line.kind == LINE_MORE || line.kind == LINE_NOTHING);
        if (!more || line.kind == LINE_NOTHING)
            r = buf_append_str(out, line.whole);
        at += line.whole.size;
    }
    return r;
}

static int write_pair(struct str text, struct str key, struct str value, struct buf *out)
{
    int r = buf_append_str(out, key);
    if (r == 0)
        r = buf_append_str(out, value.size ? STR(" = ") : STR(" ="));
    if (r == 0)
        r = buf_append_str(out, value);
    return r < 0 ? r : buf_append_str(out, line_end(text));
}

int ini_edit_set(
    struct str text, struct str section, struct str key, struct str value, struct buf *out)
{
    struct place place = find(text, section, key);
    if (!place.section)
        return ERR_NOT_FOUND;
    int r = copy_before(text, place.key ? place.key_at : place.last_end, out);
    if (r == 0)
        r = write_pair(text, key, value, out);
    if (r == 0)
        r = copy_behind(text, place.key ? place.key_end : place.last_end, place.key, out);
    return r;
}

int ini_edit_remove(struct str text, struct str section, struct str key, struct buf *out)
{
    struct place place = find(text, section, key);
    if (!place.section)
        return ERR_NOT_FOUND;
    if (!place.key)
        return buf_append_str(out, text);
    int r = buf_append(out, text.data, place.key_at);
    return r < 0 ? r : copy_behind(text, place.key_end, true, out);
}

int ini_edit_begin(struct str text, struct str section, struct buf *out)
{
    int r = copy_before(text, text.size, out);
    if (r == 0 && str_trim(text).size)
        r = buf_append_str(out, line_end(text));
    if (r == 0)
        r = buf_append_str(out, STR("["));
    if (r == 0)
        r = buf_append_str(out, section);
    if (r == 0)
        r = buf_append_str(out, STR("]"));
    return r < 0 ? r : buf_append_str(out, line_end(text));
}
