/* See the header. */
#include "ingest/normalise/namespace_config.h"

#include <stdarg.h>
#include <stdio.h>

#include "schemas/error.h"
#include "schemas/nearest.h"

#define DIGITS_MAX 9 /* so that no number overflows before it is compared */

enum limit {
    LIMIT_PROTECTED,
    LIMIT_UP,
    LIMIT_DOWN,
    LIMIT_COUNT,
};

static const struct {
    const char *key;
    int32_t min;
    int32_t max;
} limits[LIMIT_COUNT] = {
    {"protected", 0, NAMESPACE_PROTECTED_MAX},
    {"generic_up", 1, NAMESPACE_GENERIC_MAX},
    {"generic_down", 1, NAMESPACE_GENERIC_MAX},
};

/* Of a namespace that the default table does not have. */
#define GENERIC_UP_DEFAULT 5
#define GENERIC_DOWN_DEFAULT 1000

static int32_t *limit_of(struct namespace_rule *rule, enum limit limit)
{
    if (limit == LIMIT_PROTECTED)
        return &rule->protected_max;
    return limit == LIMIT_UP ? &rule->generic_up_max : &rule->generic_down_max;
}

static int wrong(char why[NAMESPACE_WHY_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int wrong(char why[NAMESPACE_WHY_SIZE], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, NAMESPACE_WHY_SIZE, format, arguments);
    va_end(arguments);
    return ERR_CONFIG;
}

static bool is_name(struct str name)
{
    if (name.size == 0 || name.size > NAMESPACE_NAME_SIZE_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
            return false;
    }
    return true;
}

static int read_names(const struct namespace_lists *lists, struct namespace_table *table, char *why)
{
    if (lists->names_count == 0)
        return wrong(why, "identity.namespaces: names none");
    if (lists->names_count > NAMESPACES_MAX)
        return wrong(why, "identity.namespaces: at most %d", NAMESPACES_MAX);
    for (size_t i = 0; i < lists->names_count; i++) {
        struct str name = lists->names[i];
        if (!is_name(name))
            return wrong(why, "identity.namespaces: \"%.*s\" is not a name of a-z, 0-9 and _",
                (int)(name.size < 64 ? name.size : 64), name.data);
        if (namespace_rank(table, name) >= 0)
            return wrong(
                why, "identity.namespaces: \"%.*s\" stands twice", (int)name.size, name.data);
        table->rules[table->count++] = (struct namespace_rule){.name = name};
    }
    return 0;
}

static int not_known(
    const struct namespace_table *table, enum limit limit, struct str name, char *why)
{
    struct str known[NAMESPACES_MAX];
    for (size_t i = 0; i < table->count; i++)
        known[i] = table->rules[i].name;
    struct str near = nearest_name(name, known, table->count);
    int size = (int)(name.size < 64 ? name.size : 64);
    if (near.size == 0)
        return wrong(why, "identity.%s: \"%.*s\" is none of identity.namespaces", limits[limit].key,
            size, name.data);
    return wrong(why,
        "identity.%s: \"%.*s\" is none of identity.namespaces: did you mean \"%.*s\"?",
        limits[limit].key, size, name.data, (int)near.size, near.data);
}

static int read_number(enum limit limit, struct str text, int32_t *out, char *why)
{
    int32_t number = 0;
    bool good = text.size > 0 && text.size <= DIGITS_MAX;
    for (size_t i = 0; good && i < text.size; i++) {
        good = text.data[i] >= '0' && text.data[i] <= '9';
        number = number * 10 + (text.data[i] - '0');
    }
    if (!good || number < limits[limit].min || number > limits[limit].max)
        return wrong(why, "identity.%s: \"%.*s\" is not a number from %d to %d", limits[limit].key,
            (int)(text.size < 64 ? text.size : 64), text.data, limits[limit].min,
            limits[limit].max);
    *out = number;
    return 0;
}

/* "NAME N" or "N". *rank: NAMESPACES_MAX stands for all. */
static int read_item(const struct namespace_table *table, enum limit limit, struct str item,
    size_t *rank, int32_t *number, char *why)
{
    const char *space = item.size ? memchr(item.data, ' ', item.size) : NULL;
    struct str digits = item;
    *rank = NAMESPACES_MAX;
    if (space) {
        struct str name = str_make(item.data, (size_t)(space - item.data));
        digits = str_make(space + 1, item.size - name.size - 1);
        while (digits.size && digits.data[0] == ' ')
            digits = str_make(digits.data + 1, digits.size - 1);
        int found = namespace_rank(table, name);
        if (found < 0)
            return not_known(table, limit, name, why);
        *rank = (size_t)found;
    }
    return read_number(limit, digits, number, why);
}

/* What holds where a list names others alone: the default, which no list says anew. */
static int32_t default_of(struct str name, enum limit limit)
{
    const struct namespace_table *defaults = namespace_table_default();
    int rank = namespace_rank(defaults, name);
    int32_t otherwise = limit == LIMIT_UP ? GENERIC_UP_DEFAULT : GENERIC_DOWN_DEFAULT;
    if (limit == LIMIT_PROTECTED)
        return 0;
    if (rank < 0)
        return otherwise;
    const struct namespace_rule *rule = &defaults->rules[rank];
    int32_t number = limit == LIMIT_UP ? rule->generic_up_max : rule->generic_down_max;
    return number ? number : otherwise; /* the strongest has none: it may not be that here */
}

static int read_limit(struct namespace_table *table, enum limit limit, const struct str *items,
    size_t count, char *why)
{
    int32_t named[NAMESPACES_MAX + 1];
    for (size_t i = 0; i <= NAMESPACES_MAX; i++)
        named[i] = -1;
    for (size_t i = 0; i < count; i++) {
        size_t rank;
        int32_t number = 0;
        int r = read_item(table, limit, items[i], &rank, &number, why);
        if (r < 0)
            return r;
        if (limit == LIMIT_PROTECTED && rank == 0 && number != 1)
            return wrong(why,
                "identity.protected: \"%.*s\" cannot be: a person has 1 of the strongest",
                (int)(items[i].size < 64 ? items[i].size : 64), items[i].data);
        if (named[rank] >= 0)
            return wrong(why, "identity.%s: \"%.*s\" says again what stands before it",
                limits[limit].key, (int)(items[i].size < 64 ? items[i].size : 64), items[i].data);
        named[rank] = number;
    }
    for (size_t i = 0; i < table->count; i++) {
        int32_t number = named[i] >= 0 ? named[i] : named[NAMESPACES_MAX];
        *limit_of(&table->rules[i], limit) =
            number < 0 ? default_of(table->rules[i].name, limit) : number;
    }
    return 0;
}

int namespace_table_read(
    const struct namespace_lists *lists, struct namespace_table *out, char why[NAMESPACE_WHY_SIZE])
{
    struct namespace_table table = {.count = 0};
    int r = read_names(lists, &table, why);
    if (r == 0)
        r = read_limit(
            &table, LIMIT_PROTECTED, lists->protected_counts, lists->protected_count, why);
    if (r == 0)
        r = read_limit(&table, LIMIT_UP, lists->up, lists->up_count, why);
    if (r == 0)
        r = read_limit(&table, LIMIT_DOWN, lists->down, lists->down_count, why);
    if (r < 0)
        return r;
    /* Nothing is stronger than the strongest: it needs no limit and no protection. */
    table.rules[0].generic_up_max = 0;
    table.rules[0].protected_max = 0;
    *out = table;
    return 0;
}

int namespace_table_text(const struct namespace_table *table, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < table->count; i++) {
        const struct namespace_rule *rule = &table->rules[i];
        r = buf_appendf(out, "namespace %zu %.*s: protected %d, generic up %d, down %d\n", i,
            (int)rule->name.size, rule->name.data, rule->protected_max, rule->generic_up_max,
            rule->generic_down_max);
    }
    return r;
}
