/* Skipping over JSON text without recursion: brackets are counted, strings stepped over. */
#include "ingest/collector/raw_json.h"

static struct str skip_blank(struct str text)
{
    while (text.size && char_is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

/* Size of the string at the start of text, with its quotes. */
static size_t string_size(struct str text)
{
    size_t i = 1;
    while (i < text.size && text.data[i] != '"')
        i += text.data[i] == '\\' ? 2 : 1;
    return i < text.size ? i + 1 : text.size;
}

/* Size of the array or object at the start of text. */
static size_t container_size(struct str text)
{
    size_t depth = 0;
    for (size_t i = 0; i < text.size;) {
        char c = text.data[i];
        if (c == '"') {
            i += string_size(str_make(text.data + i, text.size - i));
            continue;
        }
        i++;
        if (c == '[' || c == '{')
            depth++;
        if ((c == ']' || c == '}') && --depth == 0)
            return i;
    }
    return text.size;
}

/* Size of the value at the start of text. */
static size_t value_size(struct str text)
{
    if (text.size == 0)
        return 0;
    if (text.data[0] == '"')
        return string_size(text);
    if (text.data[0] == '[' || text.data[0] == '{')
        return container_size(text);
    size_t i = 0;
    while (i < text.size && !char_is_blank(text.data[i]) && text.data[i] != ',' &&
           text.data[i] != ']' && text.data[i] != '}')
        i++;
    return i;
}

/* Takes a value from the front of *rest, and the comma behind it. */
static struct str take_value(struct str *rest)
{
    struct str text = skip_blank(*rest);
    size_t size = value_size(text);
    struct str value = str_make(text.data, size);
    text = skip_blank(str_make(text.data + size, text.size - size));
    if (text.size && (text.data[0] == ',' || text.data[0] == ':'))
        text = str_make(text.data + 1, text.size - 1);
    *rest = text;
    return value;
}

/* What stands behind an opening bracket, after a byte order mark and blanks. */
static struct str inside(struct str text, char bracket)
{
    if (str_starts_with(text, STR("\xef\xbb\xbf")))
        text = str_make(text.data + 3, text.size - 3);
    text = skip_blank(text);
    if (text.size == 0 || text.data[0] != bracket)
        return str_make(NULL, 0);
    return str_make(text.data + 1, text.size - 1);
}

struct raw_elements raw_elements_of(struct str array)
{
    return (struct raw_elements){.rest = inside(array, '[')};
}

struct raw_elements raw_elements_of_member(struct str object, struct str key)
{
    return (struct raw_elements){.rest = object, .key = key};
}

struct str raw_element(struct raw_elements *elements, size_t index)
{
    struct str value = str_make(NULL, 0);
    if (elements->key.size)
        *elements = raw_elements_of(raw_member(elements->rest, elements->key));
    while (elements->next <= index && elements->rest.size) {
        value = take_value(&elements->rest);
        elements->next++;
        if (value.size == 0)
            break;
    }
    return elements->next == index + 1 ? value : str_make(NULL, 0);
}

struct str raw_member(struct str object, struct str key)
{
    struct str rest = inside(object, '{');
    while (rest.size) {
        struct str name = take_value(&rest);
        struct str value = take_value(&rest);
        if (name.size < 2 || value.size == 0)
            break;
        if (str_equal(str_make(name.data + 1, name.size - 2), key))
            return value;
    }
    return str_make(NULL, 0);
}
