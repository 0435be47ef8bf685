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

/* Lines are compared by their place: those of one program stand in one order. */
static int tell(struct str was, struct str is, struct buf *out)
{
    int r = 0;
    while (r == 0 && (was.size || is.size)) {
        struct str old = take_line(&was), new = take_line(&is);
        if (!str_equal(old, new))
            r = buf_appendf(out, "  was: %.*s\n  is:  %.*s\n", (int)old.size,
                old.size ? old.data : "", (int)new.size, new.size ? new.data : "");
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
