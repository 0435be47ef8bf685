/* See the header. */
#include "ingest/import/row_json.h"

#include "schemas/error.h"

static int fail(struct event_problem *problem, int error, struct str where, struct str hint)
{
    *problem = (struct event_problem){.error = error, .pointer = where, .hint = hint};
    return error;
}

/* The text of a JSON value: text as it is, null nothing, anything else as canonical JSON. */
static int json_value(struct arena *arena, struct json value, struct str *out)
{
    enum json_kind kind = json_kind(value);
    if (kind == JSON_TEXT)
        *out = json_text(value);
    if (kind == JSON_TEXT || kind == JSON_NULL)
        return 0;
    CLEANUP(buf_free) struct buf text = {0};
    int r = json_write_canonical(value, &text);
    return r < 0 ? r : arena_dup(arena, buf_str(&text), out);
}

/* An element by its decimal index. */
static bool json_element(struct json array, struct str index, struct json *out)
{
    size_t wanted = 0;
    for (size_t i = 0; i < index.size; i++) {
        if (index.data[i] < '0' || index.data[i] > '9' || wanted > JSON_TEXT_SIZE_MAX)
            return false;
        wanted = wanted * 10 + (size_t)(index.data[i] - '0');
    }
    struct json_iterator iterator;
    json_iterate(array, &iterator);
    struct str none;
    while (json_next(&iterator, &none, out)) {
        if (wanted-- == 0)
            return true;
    }
    return false;
}

/* A step of a pointer with its ~1 and ~0 read. Source: RFC 6901, 4. */
static int unescape(struct arena *arena, struct str *step)
{
    if (step->size == 0 || !memchr(step->data, '~', step->size))
        return 0;
    char *text = arena_alloc(arena, step->size);
    size_t size = 0;
    if (!text)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < step->size; i++) {
        char next = i + 1 < step->size ? step->data[i + 1] : 0;
        bool escape = step->data[i] == '~' && (next == '0' || next == '1');
        text[size++] = escape ? (next == '0' ? '~' : '/') : step->data[i];
        i += escape;
    }
    *step = str_make(text, size);
    return 0;
}

/* Follows a path or pointer. Returns 1 when it leads to something. */
static int json_path(struct arena *arena, struct json value, struct str path, struct json *out)
{
    bool pointer = path.size && path.data[0] == '/';
    if (pointer)
        path = str_make(path.data + 1, path.size - 1);
    while (path.size) {
        const char *end = memchr(path.data, pointer ? '/' : '.', path.size);
        struct str step = str_make(path.data, end ? (size_t)(end - path.data) : path.size);
        size_t taken = step.size;
        int r = pointer ? unescape(arena, &step) : 0;
        if (r < 0)
            return r;
        bool array = json_kind(value) == JSON_ARRAY;
        if (array ? !json_element(value, step, &value) : !json_get(value, step, &value))
            return 0;
        path = end ? str_make(end + 1, path.size - taken - 1) : str_make(NULL, 0);
    }
    *out = value;
    return 1;
}

int row_json_values(const struct mapping *mapping, struct json root, struct arena *arena,
    struct str *values, struct event_problem *problem)
{
    int r = 0;
    if (json_kind(root) != JSON_OBJECT)
        return fail(problem, ERR_FIELD_TYPE, str_make(NULL, 0), str_make(NULL, 0));
    for (size_t i = 0; r == 0 && i < mapping->columns_count; i++) {
        struct json value = {0};
        values[i] = str_make(NULL, 0);
        r = json_path(arena, root, mapping->columns[i].name, &value);
        if (r <= 0)
            continue;
        if (mapping->columns[i].object && json_kind(value) != JSON_OBJECT &&
            json_kind(value) != JSON_NULL)
            return fail(
                problem, ERR_FIELD_TYPE, mapping->columns[i].name, STR("an object is wanted here"));
        r = json_value(arena, value, &values[i]);
    }
    return r;
}
