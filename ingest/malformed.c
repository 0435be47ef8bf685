/* The object's members are looked through as text: it is canonical, so keys stand in order. */
#include "ingest/malformed.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"

static int by_name(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* Appends "$malformed":["email","phone"]; nothing where no drop is malformed. */
static int write_member(
    const struct identifier_drop *drops, size_t drops_count, struct arena *arena, struct buf *out)
{
    struct str *names = arena_alloc(arena, (drops_count + 1) * sizeof *names);
    size_t count = 0;
    if (!names)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < drops_count; i++)
        if (drops[i].why == IDENTIFIER_MALFORMED)
            names[count++] = drops[i].namespace;
    if (count == 0)
        return 0;
    qsort(names, count, sizeof *names, by_name);
    int r = buf_append_str(out, STR("\"" MALFORMED_KEY "\":["));
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i && str_equal(names[i], names[i - 1]))
            continue;
        if (i)
            r = buf_append(out, ",", 1);
        if (r == 0)
            r = json_write_text(out, names[i]);
    }
    return r == 0 ? buf_append(out, "]", 1) : r;
}

/* Behind the string whose opening quote stands at `at`. */
static size_t behind_string(struct str json, size_t at)
{
    for (at++; at < json.size && json.data[at] != '"'; at++)
        at += json.data[at] == '\\';
    return at + 1;
}

/* Behind the value that begins at `at`: at the comma or bracket that ends it. */
static size_t behind_value(struct str json, size_t at)
{
    int depth = 0;
    while (at < json.size) {
        char c = json.data[at];
        if (depth == 0 && (c == ',' || c == '}'))
            return at;
        if (c == '"') {
            at = behind_string(json, at);
            continue;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        at++;
    }
    return at;
}

/* Below 0: the key at `at` stands before the mark's; 0: it is the same. What canonical JSON escapes
 * is a control character, a quote, or a backslash: but for the last they stand before '$'. */
static int compare_key(struct str json, size_t at)
{
    static const char wanted[] = MALFORMED_KEY;
    for (size_t i = 0;; i++) {
        char c = json.data[at + 1 + i];
        if (c == '"')
            return i == sizeof wanted - 1 ? 0 : -1;
        if (c == '\\')
            c = json.data[at + 2 + i] == '\\' ? '\\' : 0;
        if (i == sizeof wanted - 1)
            return 1;
        if (c != wanted[i])
            return (unsigned char)c < (unsigned char)wanted[i] ? -1 : 1;
    }
}

/* Where the mark's member belongs; false: the client has one. */
static bool find_place(struct str json, size_t *out)
{
    size_t at = 1;
    int order = -1;
    while (at < json.size && json.data[at] == '"' && (order = compare_key(json, at)) < 0) {
        at = behind_value(json, behind_string(json, at) + 1);
        at += at < json.size && json.data[at] == ',';
    }
    *out = at;
    return order != 0;
}

int malformed_mark(struct str *properties, const struct identifier_drop *drops, size_t drops_count,
    struct arena *arena)
{
    CLEANUP(buf_free) struct buf member = {0};
    CLEANUP(buf_free) struct buf whole = {0};
    struct str json = properties->size ? *properties : STR("{}");
    size_t place = 0;
    int r = write_member(drops, drops_count, arena, &member);
    if (r < 0 || member.size == 0 || !find_place(json, &place))
        return r;
    bool last = json.data[place] == '}';
    r = buf_append(&whole, json.data, place);
    if (r == 0 && last && place > 1)
        r = buf_append(&whole, ",", 1);
    if (r == 0)
        r = buf_append_str(&whole, buf_str(&member));
    if (r == 0 && !last)
        r = buf_append(&whole, ",", 1);
    if (r == 0)
        r = buf_append(&whole, json.data + place, json.size - place);
    return r < 0 ? r : arena_dup(arena, buf_str(&whole), properties);
}
