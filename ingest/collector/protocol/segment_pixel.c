/* Parameters are sorted so that those of one object stand together; then they are written in one
 * pass. */
#include "ingest/collector/protocol/segment_pixel.h"

#include <stdlib.h>

#include "ingest/collector/base64.h"
#include "schemas/error.h"
#include "schemas/json.h"

static int decode(struct str data, struct arena *arena, struct str *out)
{
    size_t room = BASE64_SIZE_MAX(data.size);
    size_t size = 0;
    char *text = arena_alloc(arena, room);
    if (!text)
        return ERR_NO_MEMORY;
    int r = base64_decode(data, text, room, &size);
    if (r < 0)
        return r;
    *out = str_make(text, size);
    return 0;
}

/* By components: a dot comes before every other byte. */
static int compare(const void *a_, const void *b_)
{
    struct str a = ((const struct exchange_pair *)a_)->name;
    struct str b = ((const struct exchange_pair *)b_)->name;
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int left = a.data[i] == '.' ? -1 : (unsigned char)a.data[i];
        int right = b.data[i] == '.' ? -1 : (unsigned char)b.data[i];
        if (left != right)
            return left < right ? -1 : 1;
    }
    return (a.size > b.size) - (a.size < b.size);
}

/* Takes the first component off; false for the last one, which stays. */
static bool next_object(struct str *name, struct str *component)
{
    const char *dot = name->size ? memchr(name->data, '.', name->size) : NULL;
    if (!dot)
        return false;
    size_t size = (size_t)(dot - name->data);
    *component = str_make(name->data, size);
    *name = str_make(name->data + size + 1, name->size - size - 1);
    return true;
}

/* Goes into the objects that both names lie in; what is left of each is behind them. */
static void skip_shared(struct str *a, struct str *b)
{
    for (;;) {
        struct str rest_a = *a;
        struct str rest_b = *b;
        struct str in_a;
        struct str in_b;
        if (!next_object(&rest_a, &in_a) || !next_object(&rest_b, &in_b) || !str_equal(in_a, in_b))
            return;
        *a = rest_a;
        *b = rest_b;
    }
}

static int close_objects(struct str name, struct buf *out)
{
    struct str component;
    int r = 0;
    while (r == 0 && next_object(&name, &component))
        r = buf_append(out, "}", 1);
    return r;
}

static int write_key(struct str key, struct buf *out)
{
    int r = json_write_text(out, key);
    return r < 0 ? r : buf_append(out, ":", 1);
}

/* name: what is left of it within the objects that are open. */
static int write_member(struct str name, struct str value, struct buf *out)
{
    struct str component;
    int r = 0;
    while (r == 0 && next_object(&name, &component)) {
        r = write_key(component, out);
        if (r == 0)
            r = buf_append(out, "{", 1);
    }
    if (r == 0)
        r = write_key(name, out);
    return r < 0 ? r : json_write_text(out, value);
}

static int write_object(const struct exchange_pair *pairs, size_t count, struct buf *out)
{
    int r = buf_append(out, "{", 1);
    struct str open = STR(""); /* name of the last member, within what it shares with the next */
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct str name = pairs[i].name;
        if (i > 0) {
            open = pairs[i - 1].name;
            skip_shared(&open, &name);
            r = close_objects(open, out);
            if (r == 0)
                r = buf_append(out, ",", 1);
        }
        if (r == 0)
            r = write_member(name, pairs[i].value, out);
    }
    if (r == 0)
        r = close_objects(pairs[count - 1].name, out);
    return r < 0 ? r : buf_append(out, "}", 1);
}

/* Adds a parameter, unless the client has said it. */
static void add(struct exchange_pair *pairs, size_t *count, const struct exchange *exchange,
    struct exchange_pair pair)
{
    for (size_t i = 0; i < exchange->query_count; i++)
        if (str_equal(exchange->query[i].name, pair.name))
            return;
    pairs[(*count)++] = pair;
}

int segment_pixel_text(const struct exchange *exchange, struct str id, struct str *out)
{
    struct str data = exchange_query(exchange, STR("data"));
    if (data.size)
        return decode(data, exchange->arena, out);
    struct exchange_pair *pairs =
        arena_alloc(exchange->arena, (exchange->query_count + 2) * sizeof *pairs);
    if (!pairs)
        return ERR_NO_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < exchange->query_count; i++)
        if (!str_equal(exchange->query[i].name, STR("writeKey")))
            pairs[count++] = exchange->query[i];
    add(pairs, &count, exchange, (struct exchange_pair){STR("messageId"), id});
    add(pairs, &count, exchange, (struct exchange_pair){STR("type"), exchange->rest});
    qsort(pairs, count, sizeof *pairs, compare);
    CLEANUP(buf_free) struct buf text = {0};
    int r = write_object(pairs, count, &text);
    return r < 0 ? r : arena_dup(exchange->arena, buf_str(&text), out);
}
