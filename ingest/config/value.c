/* Numbers with units, lists, choices. */
#include "ingest/config/value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "schemas/error.h"
#include "schemas/nearest.h"

#define WHY_SIZE_MAX 256
#define CHOICES_MAX ((size_t)32)

struct unit {
    struct str name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {STR_INIT(""), 1},
    {STR_INIT("B"), 1},
    {STR_INIT("kB"), 1000},
    {STR_INIT("MB"), 1000000},
    {STR_INIT("GB"), 1000000000},
    {STR_INIT("KiB"), INT64_C(1) << 10},
    {STR_INIT("MiB"), INT64_C(1) << 20},
    {STR_INIT("GiB"), INT64_C(1) << 30},
};
static const struct unit duration_units[] = {
    {STR_INIT("ms"), 1},
    {STR_INIT("s"), 1000},
    {STR_INIT("min"), 60000},
    {STR_INIT("h"), 3600000},
    {STR_INIT("d"), 86400000},
};
static const struct unit no_units[] = {{STR_INIT(""), 1}};
static const struct unit bools[] = {
    {STR_INIT("yes"), 1},
    {STR_INIT("no"), 0},
    {STR_INIT("true"), 1},
    {STR_INIT("false"), 0},
    {STR_INIT("on"), 1},
    {STR_INIT("off"), 0},
    {STR_INIT("1"), 1},
    {STR_INIT("0"), 0},
};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A sentence in the arena; a static one when memory is short. */
static const char *explain(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *explain(struct arena *arena, const char *format, ...)
{
    char *text = arena_alloc(arena, WHY_SIZE_MAX);
    if (!text)
        return "is not allowed here";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, WHY_SIZE_MAX, format, args);
    va_end(args);
    return text;
}

/* A whole number and its unit. */
static bool read_quantity(struct str text, const struct unit *units, size_t count, int64_t *out)
{
    int64_t number = 0;
    size_t i = 0;
    while (i < text.size && text.data[i] >= '0' && text.data[i] <= '9') {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text.data[i] - '0', &number))
            return false;
        i++;
    }
    if (i == 0)
        return false;
    struct str name = str_trim(str_make(text.data + i, text.size - i));
    for (size_t u = 0; u < count; u++)
        if (str_equal(units[u].name, name))
            return !__builtin_mul_overflow(number, units[u].factor, out);
    return false;
}

/* The units of a type, and how to call what it wants. */
struct quantity {
    const struct unit *units;
    size_t units_count;
    const char *what;
    const char *base;
};

static struct quantity quantity_of(enum option_type type)
{
    if (type == OPTION_TYPE_SIZE)
        return (struct quantity){
            size_units, COUNT_OF(size_units), "a size such as 64 MiB or 10 kB", " bytes"};
    if (type == OPTION_TYPE_DURATION)
        return (struct quantity){duration_units, COUNT_OF(duration_units),
            "a time such as 500 ms, 30 s, 15 min, 1 h or 7 d", " ms"};
    return (struct quantity){no_units, COUNT_OF(no_units), "a whole number", ""};
}

static int parse_number(
    const struct option *option, struct value *value, struct arena *arena, const char **why)
{
    struct quantity quantity = quantity_of(option->type);
    int64_t number = 0;
    if (!read_quantity(value->text, quantity.units, quantity.units_count, &number))
        *why = explain(arena, "is not %s", quantity.what);
    else if (number < option->min || number > option->max)
        *why = explain(arena, "is not within %" PRId64 " and %" PRId64 "%s", option->min,
            option->max, quantity.base);
    if (*why)
        return ERR_CONFIG;
    value->number = number;
    return 0;
}

static bool is_choice(const char *choices, struct str text)
{
    const char *at = choices;
    while (*at) {
        size_t size = strcspn(at, "|");
        if (str_equal(str_make(at, size), text))
            return true;
        at += at[size] ? size + 1 : size;
    }
    return false;
}

static int check_choice(
    const struct option *option, struct str text, struct arena *arena, const char **why)
{
    if (!*option->choices || is_choice(option->choices, text))
        return 0;
    struct str known[CHOICES_MAX];
    size_t count = 0;
    for (const char *at = option->choices; *at && count < CHOICES_MAX;) {
        size_t size = strcspn(at, "|");
        known[count++] = str_make(at, size);
        at += at[size] ? size + 1 : size;
    }
    struct str near = nearest_name(text, known, count);
    bool list = option->type == OPTION_TYPE_LIST; /* of which the whole is named besides */
    *why = explain(arena, "%s%.*s%sis none of %s%s%.*s%s", list ? "has \"" : "",
        list ? (int)text.size : 0, list ? text.data : "", list ? "\", which " : "", option->choices,
        near.size ? ": did you mean \"" : "", (int)near.size, near.size ? near.data : "",
        near.size ? "\"?" : "");
    return ERR_CONFIG;
}

/* Counts, or with `items` also fills in, what stands between commas and line ends. */
static size_t split(struct str text, struct str *items)
{
    size_t count = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != ',' && text.data[i] != '\n')
            continue;
        struct str item = str_trim(str_make(text.data + begin, i - begin));
        if (item.size) {
            if (items)
                items[count] = item;
            count++;
        }
        begin = i + 1;
    }
    return count;
}

/* The list's text on one line: "a, b". */
static int write_list(struct value *value, struct arena *arena)
{
    size_t size = 1;
    for (size_t i = 0; i < value->items_count; i++)
        size += value->items[i].size + 2;
    char *text = arena_alloc(arena, size);
    if (!text)
        return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < value->items_count; i++) {
        if (i > 0) {
            memcpy(text + at, ", ", 2);
            at += 2;
        }
        memcpy(text + at, value->items[i].data, value->items[i].size);
        at += value->items[i].size;
    }
    text[at] = '\0';
    value->text = str_make(text, at);
    return 0;
}

static int parse_list(
    const struct option *option, struct value *value, struct arena *arena, const char **why)
{
    size_t count = split(value->text, NULL);
    if (count > VALUE_ITEMS_MAX) {
        *why = "has too many items";
        return ERR_CONFIG;
    }
    struct str *items = arena_alloc(arena, (count + 1) * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    value->items_count = split(value->text, items);
    value->items = items;
    for (size_t i = 0; i < count; i++) {
        int r = value_copy(arena, items[i], &items[i]);
        if (r == 0)
            r = check_choice(option, items[i], arena, why);
        if (r < 0)
            return r;
    }
    return write_list(value, arena);
}

static int parse_bool(struct value *value, const char **why)
{
    for (size_t i = 0; i < COUNT_OF(bools); i++)
        if (str_equal(bools[i].name, value->text)) {
            value->number = bools[i].factor;
            return 0;
        }
    *why = "is neither yes nor no";
    return ERR_CONFIG;
}

int value_copy(struct arena *arena, struct str text, struct str *out)
{
    char *copy = arena_alloc(arena, text.size + 1);
    if (!copy)
        return ERR_NO_MEMORY;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *out = str_make(copy, text.size);
    return 0;
}

int value_parse(const struct option *option, struct str text, struct arena *arena,
    struct value *out, const char **why)
{
    struct value value = {0};
    *why = NULL;
    int r = value_copy(arena, str_trim(text), &value.text);
    if (r < 0)
        return r;
    if (option->type != OPTION_TYPE_LIST && value.text.size &&
        memchr(value.text.data, '\n', value.text.size)) {
        *why = "does not stand on one line";
        return ERR_CONFIG;
    }
    switch (option->type) {
    case OPTION_TYPE_INT:
    case OPTION_TYPE_SIZE:
    case OPTION_TYPE_DURATION:
        r = parse_number(option, &value, arena, why);
        break;
    case OPTION_TYPE_BOOL:
        r = parse_bool(&value, why);
        break;
    case OPTION_TYPE_CHOICE:
        r = check_choice(option, value.text, arena, why);
        break;
    case OPTION_TYPE_LIST:
        r = parse_list(option, &value, arena, why);
        break;
    case OPTION_TYPE_TEXT:
    case OPTION_TYPE_PATH:
    case OPTION_TYPE_SECRET:
        break;
    }
    if (r == 0)
        *out = value;
    return r;
}
