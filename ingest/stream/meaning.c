/* See the header. */
#include "ingest/stream/meaning.h"

#include "schemas/error.h"

static const char group[GROUP_SIZE]; /* the row's key: no node or person is all zeros */

static int stored(struct state *state, const struct stage *stage, struct str *out)
{
    return state_get(state, stage->meaning_table, str_make(group, sizeof group), out);
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

static bool has_line(struct str text, struct str line)
{
    while (text.size)
        if (str_equal(take_line(&text), line))
            return true;
    return false;
}

static int tell_line(const char *label, struct str line, bool there, struct buf *out)
{
    struct str text = there ? line : STR("(nothing)");
    return buf_appendf(out, "  %s %.*s\n", label, (int)text.size, text.size ? text.data : "");
}

/* Lines of one program stand in one order; a setting may add some, behind which the others are
 * those that they were. */
static int tell(struct str was, struct str is, struct buf *out)
{
    int r = 0;
    while (r == 0 && (was.size || is.size)) {
        struct str was_left = was, is_left = is;
        struct str old = take_line(&was_left), new = take_line(&is_left);
        bool gone = was.size != 0, came = is.size != 0;
        if (gone && came && str_equal(old, new)) {
            was = was_left;
            is = is_left;
            continue;
        }
        if (gone && came && has_line(is_left, old))
            gone = false;
        else if (gone && came && has_line(was_left, new))
            came = false;
        r = tell_line("was:", old, gone, out);
        if (r == 0)
            r = tell_line("is: ", new, came, out);
        if (gone)
            was = was_left;
        if (came)
            is = is_left;
    }
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
