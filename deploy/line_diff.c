/* The longest common subsequence, by its table, between what the texts begin and end alike with. */
#include "deploy/line_diff.h"

#include <stdlib.h>

#include "schemas/error.h"

struct lines {
    struct str *list;
    size_t count;
};

/* One line of the result. */
struct edit {
    char mark; /* ' ' '-' '+' */
    struct str line;
};

struct edits {
    struct edit *list; /* room for all lines of both */
    size_t count;
};

static int split(struct str text, struct lines *out)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    out->list = calloc(count, sizeof *out->list);
    if (!out->list)
        return ERR_NO_MEMORY;
    while (text.size) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        size_t taken = end ? size + 1 : size;
        out->list[out->count++] = str_make(text.data, size);
        text = str_make(text.data + taken, text.size - taken);
    }
    return 0;
}

static void add(struct edits *edits, char mark, const struct str *lines, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        edits->list[edits->count++] = (struct edit){mark, lines[i]};
}

/* The middles a[0..n) and b[0..m): lengths[i * (m + 1) + j] is that of a[i..) and b[j..). */
static int match(const struct str *a, size_t n, const struct str *b, size_t m, struct edits *edits)
{
    if (n == 0 || m == 0 || n > LINE_DIFF_PAIRS_MAX / m) {
        add(edits, '-', a, 0, n);
        add(edits, '+', b, 0, m);
        return 0;
    }
    size_t width = m + 1;
    uint32_t *lengths = calloc((n + 1) * width, sizeof *lengths);
    if (!lengths)
        return ERR_NO_MEMORY;
    for (size_t i = n; i-- > 0;)
        for (size_t j = m; j-- > 0;) {
            uint32_t down = lengths[(i + 1) * width + j], right = lengths[i * width + j + 1];
            lengths[i * width + j] = str_equal(a[i], b[j]) ? lengths[(i + 1) * width + j + 1] + 1
                                     : down > right        ? down
                                                           : right;
        }
    size_t i = 0, j = 0;
    while (i < n && j < m) {
        if (str_equal(a[i], b[j])) {
            add(edits, ' ', a, i, i + 1);
            i++;
            j++;
        } else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            add(edits, '-', a, i, i + 1);
            i++;
        } else {
            add(edits, '+', b, j, j + 1);
            j++;
        }
    }
    add(edits, '-', a, i, n);
    add(edits, '+', b, j, m);
    free(lengths);
    return 0;
}

static int find_edits(const struct lines *old, const struct lines *new, struct edits *edits)
{
    size_t less = old->count < new->count ? old->count : new->count, begin = 0, end = 0;
    while (begin < less && str_equal(old->list[begin], new->list[begin]))
        begin++;
    while (end < less - begin &&
           str_equal(old->list[old->count - 1 - end], new->list[new->count - 1 - end]))
        end++;
    edits->list = calloc(old->count + new->count + 1, sizeof *edits->list);
    if (!edits->list)
        return ERR_NO_MEMORY;
    add(edits, ' ', old->list, 0, begin);
    int r = match(old->list + begin, old->count - begin - end, new->list + begin,
        new->count - begin - end, edits);
    add(edits, ' ', old->list, old->count - end, old->count);
    return r;
}

/* Whether a line that both have stands within `context` lines of a change. */
static bool is_near(const struct edits *edits, size_t at, size_t context)
{
    size_t from = at > context ? at - context : 0;
    size_t to = at + context < edits->count ? at + context + 1 : edits->count;
    for (size_t i = from; i < to; i++)
        if (edits->list[i].mark != ' ')
            return true;
    return false;
}

static int write_edits(const struct edits *edits, size_t context, struct buf *out)
{
    bool gap = false, begun = false;
    int r = 0;
    for (size_t i = 0; r == 0 && i < edits->count; i++) {
        const struct edit *edit = &edits->list[i];
        if (edit->mark == ' ' && !is_near(edits, i, context)) {
            gap = true;
            continue;
        }
        if (gap && begun)
            r = buf_append_str(out, STR("...\n"));
        gap = false;
        begun = true;
        if (r == 0)
            r = buf_append(out, &edit->mark, 1);
        if (r == 0)
            r = buf_append_str(out, edit->line);
        if (r == 0)
            r = buf_append_str(out, STR("\n"));
    }
    return r;
}

int line_diff(struct str old, struct str new, size_t context, struct buf *out)
{
    struct lines before = {.count = 0}, after = {.count = 0};
    struct edits edits = {.count = 0};
    int r = str_equal(old, new) ? 0 : split(old, &before);
    if (r == 0 && before.list)
        r = split(new, &after);
    if (r == 0 && before.list)
        r = find_edits(&before, &after, &edits);
    if (r == 0)
        r = write_edits(&edits, context, out);
    free(before.list);
    free(after.list);
    free(edits.list);
    return r;
}
