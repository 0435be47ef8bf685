/* Pairs are unescaped in place in one copy of the body. */
#include "ingest/collector/protocol/form.h"

#include <strings.h>

#include "schemas/error.h"
#include "schemas/json.h"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Of %41%42+x; a '%' that two digits do not follow stands for itself. */
static struct str unescape(char *text, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++) {
        int high = text[i] == '%' && size - i > 2 ? digit_of(text[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        if (low >= 0) {
            text[out++] = (char)(high * 16 + low);
            i += 2;
        } else {
            text[out++] = text[i] == '+' ? ' ' : text[i];
        }
    }
    return str_make(text, out);
}

static size_t count_pairs(struct str body)
{
    size_t count = 1;
    for (size_t i = 0; i < body.size; i++)
        count += body.data[i] == '&';
    return count;
}

int form_read(
    struct str body, struct arena *arena, const struct exchange_pair **pairs, size_t *count)
{
    size_t room = count_pairs(body);
    if (room > FORM_PAIRS_MAX)
        return ERR_KEYS;
    struct exchange_pair *list = arena_alloc(arena, room * sizeof *list);
    char *text = arena_alloc(arena, body.size + 1);
    if (!list || !text)
        return ERR_NO_MEMORY;
    if (body.size)
        memcpy(text, body.data, body.size);
    text[body.size] = '&';
    size_t found = 0;
    for (size_t at = 0; at < body.size;) {
        char *piece = text + at;
        size_t size = (size_t)((char *)memchr(piece, '&', body.size + 1 - at) - piece);
        at += size + 1;
        if (size == 0)
            continue;
        const char *equals = memchr(piece, '=', size);
        size_t name_size = equals ? (size_t)(equals - piece) : size;
        struct exchange_pair *pair = &list[found++];
        pair->name = unescape(piece, name_size);
        pair->value = equals ? unescape(piece + name_size + 1, size - name_size - 1) : STR("");
        if (!json_utf8_valid(pair->name) || !json_utf8_valid(pair->value))
            return ERR_UTF8;
    }
    *pairs = list;
    *count = found;
    return 0;
}

struct str form_value(const struct exchange_pair *pairs, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (pairs[i].name.size == name.size &&
            strncasecmp(pairs[i].name.data, name.data, name.size) == 0)
            return pairs[i].value;
    return STR("");
}

static bool named_before(const struct exchange_pair *pairs, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (str_equal(pairs[i].name, pairs[index].name))
            return true;
    return false;
}

int form_write_json(
    const struct exchange_pair *pairs, size_t count, struct arena *arena, struct str *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_append(&text, "{", 1);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (named_before(pairs, i))
            continue;
        if (text.size > 1)
            r = buf_append(&text, ",", 1);
        if (r == 0)
            r = json_write_text(&text, pairs[i].name);
        if (r == 0)
            r = buf_append(&text, ":", 1);
        if (r == 0)
            r = json_write_text(&text, pairs[i].value);
    }
    if (r == 0)
        r = buf_append(&text, "}", 1);
    return r < 0 ? ERR_NO_MEMORY : arena_dup(arena, buf_str(&text), out);
}
