/* See the header. */
#include "ingest/stream/meaning.h"

#include "schemas/error.h"

static const char group[GROUP_SIZE]; /* the row's key: no node or person is all zeros */

static int stored(struct state *state, const struct stage *stage, struct str *out)
{
    return state_get(state, stage->meaning_table, str_make(group, sizeof group), out);
}

int meaning_stored(struct state_backend *rows, enum table table, struct str *text)
{
    return rows->get(rows, table, str_make(group, sizeof group), text);
}

static struct str take_line(struct str *text)
{
    const char *end = text->size ? memchr(text->data, '\n', text->size) : NULL;
    size_t size = end ? (size_t)(end - text->data) : text->size;
    struct str line = str_make(text->data, size);
    size += end != NULL;
    *text = str_make(text->data + size, text->size - size);
    return line;
}

/* What stands before a line's colon; empty: it has none. */
static struct str name_of(struct str line)
{
    const char *end = line.size ? memmem(line.data, line.size, ": ", 2) : NULL;
    return str_make(line.data, end ? (size_t)(end - line.data) : 0);
}

/* The next line with a name, or without one; empty at the end. */
static struct str next_line(struct str *text, bool named)
{
    while (text->size) {
        struct str line = take_line(text);
        if ((name_of(line).size > 0) == named)
            return line;
    }
    return (struct str){0};
}

static struct str line_of(struct str text, struct str name)
{
    struct str line = next_line(&text, true);
    while (line.size && !str_equal(name_of(line), name))
        line = next_line(&text, true);
    return line;
}

static bool has_line(struct str text, struct str line)
{
    while (text.size)
        if (str_equal(take_line(&text), line))
            return true;
    return false;
}

static int tell_line(struct str old, struct str new, struct buf *out)
{
    if (str_equal(old, new))
        return 0;
    old = old.size ? old : STR("(nothing)");
    new = new.size ? new : STR("(nothing)");
    return buf_appendf(
        out, "  was: %.*s\n  is:  %.*s\n", (int)old.size, old.data, (int)new.size, new.data);
}

/* Lines with a name are compared by it ("model second: ..."). */
static int tell_named(struct str was, struct str is, struct buf *out)
{
    struct str old = was, new = is;
    int r = 0;
    for (struct str line = next_line(&old, true); r == 0 && line.size; line = next_line(&old, true))
        r = tell_line(line, line_of(is, name_of(line)), out);
    for (struct str line = next_line(&new, true); r == 0 && line.size; line = next_line(&new, true))
        if (!line_of(was, name_of(line)).size)
            r = tell_line((struct str){0}, line, out);
    return r;
}

/* Those without one stand in one order; a setting may add some, behind which the others are those
 * that they were. */
static int tell_placed(struct str was, struct str is, struct buf *out)
{
    struct str was_left = was, is_left = is;
    struct str old = next_line(&was_left, false), new = next_line(&is_left, false);
    int r = 0;
    while (r == 0 && (old.size || new.size)) {
        bool gone = old.size != 0, came = new.size != 0;
        if (gone && came && !str_equal(old, new)) {
            if (has_line(is_left, old))
                gone = false;
            else if (has_line(was_left, new))
                came = false;
        }
        r = tell_line(gone ? old : (struct str){0}, came ? new : (struct str){0}, out);
        if (gone)
            old = next_line(&was_left, false);
        if (came)
            new = next_line(&is_left, false);
    }
    return r;
}

static int tell(struct str was, struct str is, struct buf *out)
{
    size_t before = out->size;
    int r = tell_placed(was, is, out);
    if (r == 0)
        r = tell_named(was, is, out);
    if (r == 0 && out->size == before)
        r = buf_append_str(out, STR("  the same in another order\n"));
    return r;
}

int meaning_check(struct state *state, const struct stage *stage, struct buf *difference)
{
    struct str was;
    if (stage->meaning.size == 0)
        return 0;
    int r = stored(state, stage, &was);
    if (r == STATE_ABSENT || (r == 0 && str_equal(was, stage->meaning)))
        return 0;
    if (r == 0 && difference)
        r = tell(was, stage->meaning, difference);
    return r < 0 ? r : ERR_MEANING;
}

int meaning_put(struct state *state, const struct stage *stage)
{
    return state_put(state, stage->meaning_table, str_make(group, sizeof group), stage->meaning);
}

int meaning_leave(struct state *state, const struct stage *stage)
{
    return state_put(state, stage->meaning_table, str_make(group, sizeof group),
        STR("(a replay that was not finished)\n"));
}

int meaning_keep(struct state *state, const struct stage *stage)
{
    struct str was;
    if (stage->meaning.size == 0)
        return 0;
    int r = stored(state, stage, &was);
    if (r != STATE_ABSENT)
        return r;
    return meaning_put(state, stage);
}
