/*
 * Reading a mapping file. Sections are gathered first; what refers to another place (columns, maps)
 * is resolved as it comes for columns, and at the end for maps.
 */
#include "ingest/import/mapping.h"

#include <stdlib.h>

#include "ingest/config/ini.h"
#include "ingest/import/mapping_private.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/money.h"
#include "schemas/nearest.h"

#define MAP_ENTRIES_MAX 4096

static const struct str section_kinds[] = {STR_INIT("file"), STR_INIT("event"), STR_INIT("map")};

int mapping_fail(struct mapping_parser *parser, const char *what, struct str about)
{
    if (buf_appendf(parser->message, "%.*s:%d: ", (int)parser->mapping->path.size,
            parser->mapping->path.data, parser->line) < 0 ||
        buf_appendf(parser->message, "%s", what) < 0)
        return ERR_NO_MEMORY;
    if (about.data && buf_appendf(parser->message, " \"%.*s\"", (int)about.size, about.data) < 0)
        return ERR_NO_MEMORY;
    return ERR_CONFIG;
}

int mapping_fail_near(struct mapping_parser *parser, const char *what, struct str about,
    const struct str *known, size_t count)
{
    int r = mapping_fail(parser, what, about);
    struct str near = nearest_name(about, known, count);
    if (r == ERR_CONFIG && near.size &&
        buf_appendf(parser->message, ", did you mean \"%.*s\"?", (int)near.size, near.data) < 0)
        return ERR_NO_MEMORY;
    return r;
}

struct str mapping_trim(struct str text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* ---- [file] ---- */

struct choice_name {
    struct str name;
    int32_t value;
};

static const struct choice_name formats[] = {{STR_INIT("csv"), MAPPING_CSV},
    {STR_INIT("ndjson"), MAPPING_NDJSON}, {STR_INIT("native"), MAPPING_NATIVE},
    {STR_INIT("segment"), MAPPING_SEGMENT}};
static const struct choice_name encodings[] = {{STR_INIT("UTF-8"), MAPPING_UTF_8},
    {STR_INIT("Shift_JIS"), MAPPING_SHIFT_JIS}, {STR_INIT("CP932"), MAPPING_CP932}};
static const struct choice_name times[] = {{STR_INIT("text"), MAPPING_TIME_TEXT},
    {STR_INIT("epoch_s"), MAPPING_TIME_EPOCH_S}, {STR_INIT("epoch_ms"), MAPPING_TIME_EPOCH_MS}};
static const struct choice_name delimiters[] = {{STR_INIT(","), ','}, {STR_INIT(";"), ';'},
    {STR_INIT("tab"), '\t'}, {STR_INIT("|"), '|'}, {STR_INIT("\\t"), '\t'}};
static const struct choice_name answers[] = {{STR_INIT("no"), 0}, {STR_INIT("yes"), 1}};
#define CHOICES(list) list, sizeof(list) / sizeof((list)[0])

static int choose(struct mapping_parser *parser, struct str text, const struct choice_name *list,
    size_t count, int32_t *out)
{
    struct str names[8];
    for (size_t i = 0; i < count; i++) {
        if (str_equal(list[i].name, text)) {
            *out = list[i].value;
            return 0;
        }
        names[i] = list[i].name;
    }
    return mapping_fail_near(parser, "unknown value", text, names, count);
}

/* UTC, Asia/Tokyo (which has had no summer time since 1951), or +HH:MM. */
static int parse_zone(struct mapping_parser *parser, struct str text, int32_t *seconds)
{
    static const int32_t tokyo_seconds = 9 * 3600;
    if (str_equal(text, STR("UTC")) || str_equal(text, STR("Z"))) {
        *seconds = 0;
        return 0;
    }
    if (str_equal(text, STR("Asia/Tokyo")) || str_equal(text, STR("JST"))) {
        *seconds = tokyo_seconds;
        return 0;
    }
    int digits[4] = {0};
    bool good =
        text.size == 6 && (text.data[0] == '+' || text.data[0] == '-') && text.data[3] == ':';
    static const size_t places[] = {1, 2, 4, 5};
    for (size_t i = 0; good && i < 4; i++) {
        digits[i] = text.data[places[i]] - '0';
        good = digits[i] >= 0 && digits[i] <= 9;
    }
    int hours = digits[0] * 10 + digits[1];
    int minutes = digits[2] * 10 + digits[3];
    if (!good || hours > 23 || minutes > 59)
        return mapping_fail(
            parser, "time_zone is UTC, Asia/Tokyo or an offset such as +09:00, not", text);
    *seconds = (text.data[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

/* a, b, c */
static int parse_header(struct mapping_parser *parser, struct str text)
{
    struct mapping *mapping = parser->mapping;
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ',';
    struct str *names = arena_alloc(&parser->owner->arena, count * sizeof(*names));
    if (!names)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const char *comma = text.size ? memchr(text.data, ',', text.size) : NULL;
        size_t size = comma ? (size_t)(comma - text.data) : text.size;
        int r =
            arena_dup(&parser->owner->arena, mapping_trim(str_make(text.data, size)), &names[i]);
        if (r < 0)
            return r;
        text = comma ? str_make(comma + 1, text.size - size - 1) : str_make(NULL, 0);
    }
    mapping->header = names;
    mapping->header_count = count;
    return 0;
}

static int file_name(struct mapping_parser *parser, struct str text, struct str *out)
{
    if (text.size == 0 || text.size > MAPPING_NAME_SIZE_MAX)
        return mapping_fail(parser, "a name has 1 to 64 bytes, not", text);
    return arena_dup(&parser->owner->arena, text, out);
}

static int file_entry(struct mapping_parser *parser, struct str key, struct str text)
{
    struct mapping *mapping = parser->mapping;
    static const struct str keys[] = {STR_INIT("name"), STR_INIT("source"), STR_INIT("format"),
        STR_INIT("encoding"), STR_INIT("time_format"), STR_INIT("delimiter"), STR_INIT("time_zone"),
        STR_INIT("grouping"), STR_INIT("columns"), STR_INIT("currency"), STR_INIT("operator")};
    const size_t keys_count = sizeof(keys) / sizeof(keys[0]);
    size_t which = 0;
    while (which < keys_count && !str_equal(keys[which], key))
        which++;
    int32_t chosen = 0;
    int r;
    switch (which) {
    case 0:
        return file_name(parser, text, &mapping->name);
    case 1:
        return file_name(parser, text, &mapping->source);
    case 2:
        r = choose(parser, text, CHOICES(formats), &chosen);
        mapping->format = (enum mapping_format)chosen;
        return r;
    case 3:
        r = choose(parser, text, CHOICES(encodings), &chosen);
        mapping->encoding = (enum mapping_encoding)chosen;
        return r;
    case 4:
        r = choose(parser, text, CHOICES(times), &chosen);
        mapping->time = (enum mapping_time)chosen;
        return r;
    case 5:
        r = choose(parser, text, CHOICES(delimiters), &chosen);
        mapping->delimiter = (char)chosen;
        return r;
    case 6:
        return parse_zone(parser, text, &mapping->zone_seconds);
    case 7:
        if (text.size != 1)
            return mapping_fail(parser, "grouping is one character, not", text);
        mapping->grouping = text.data[0];
        return 0;
    case 8:
        return parse_header(parser, text);
    case 9:
        if (money_exponent(text) < 0)
            return mapping_fail(parser, "a code of ISO 4217 in capitals is wanted, not", text);
        return arena_dup(&parser->owner->arena, text, &mapping->currency);
    case 10:
        r = choose(parser, text, CHOICES(answers), &chosen);
        mapping->is_operator = chosen != 0;
        return r;
    default:
        return mapping_fail_near(parser, "unknown key", key, keys, keys_count);
    }
}

/* ---- [map NAME] ---- */

static struct mapping_map *find_map(struct mapping_parser *parser, struct str name)
{
    for (size_t i = 0; i < parser->maps_count; i++) {
        if (str_equal(parser->maps[i].name, name))
            return &parser->maps[i];
    }
    return NULL;
}

static int map_begin(struct mapping_parser *parser, struct str name)
{
    if (find_map(parser, name))
        return mapping_fail(parser, "there is a map already named", name);
    if (parser->maps_count == MAPPING_MAPS_MAX)
        return mapping_fail(parser, "too many maps", str_make(NULL, 0));
    struct mapping_map *map = &parser->maps[parser->maps_count];
    *map = (struct mapping_map){0};
    int r = arena_dup(&parser->owner->arena, name, &map->name);
    parser->maps_count += r == 0;
    return r;
}

/* Keys and values grow by doubling within the arena. */
static int map_entry(struct mapping_parser *parser, struct str key, struct str text)
{
    struct arena *arena = &parser->owner->arena;
    struct mapping_map *map = &parser->maps[parser->maps_count - 1];
    struct str value;
    int r = arena_dup(arena, text, &value);
    if (r == 0)
        r = arena_dup(arena, key, &key);
    if (r < 0)
        return r;
    if (str_equal(key, STR("*"))) {
        map->has_fallback = true;
        map->fallback = value;
        return 0;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (str_equal(map->keys[i], key))
            return mapping_fail(parser, "the map has already a value for", key);
    }
    if (map->count == MAP_ENTRIES_MAX)
        return mapping_fail(parser, "too many values in one map", str_make(NULL, 0));
    struct str *keys = (struct str *)(uintptr_t)map->keys;
    struct str *values = (struct str *)(uintptr_t)map->values;
    if ((map->count & (map->count - 1)) == 0) {
        size_t capacity = map->count ? map->count * 2 : 1;
        keys = arena_alloc(arena, 2 * capacity * sizeof(*keys));
        if (!keys)
            return ERR_NO_MEMORY;
        values = keys + capacity;
        if (map->count) {
            memcpy(keys, map->keys, map->count * sizeof(*keys));
            memcpy(values, map->values, map->count * sizeof(*values));
        }
    }
    keys[map->count] = key;
    values[map->count++] = value;
    map->keys = keys;
    map->values = values;
    return 0;
}

/* ---- sections ---- */

static int begin_section(struct mapping_parser *parser, struct str section)
{
    const char *space = memchr(section.data, ' ', section.size);
    size_t size = space ? (size_t)(space - section.data) : section.size;
    struct str kind = str_make(section.data, size);
    struct str name = mapping_trim(str_make(section.data + size, section.size - size));
    if (str_equal(kind, STR("file"))) {
        parser->section = MAPPING_SECTION_FILE;
        return name.size ? mapping_fail(parser, "[file] has no name", str_make(NULL, 0)) : 0;
    }
    bool event = str_equal(kind, STR("event"));
    if (!event && !str_equal(kind, STR("map")))
        return mapping_fail_near(parser, "unknown section", kind, section_kinds, 3);
    if (name.size == 0)
        return mapping_fail(parser, "the section needs a name", str_make(NULL, 0));
    parser->section = event ? MAPPING_SECTION_EVENT : MAPPING_SECTION_MAP;
    return event ? mapping_event_begin(parser, name) : map_begin(parser, name);
}

static int on_entry(void *context, const struct ini_entry *entry)
{
    struct mapping_parser *parser = context;
    parser->line = entry->line;
    if (entry->continuation)
        return mapping_fail(parser,
            "an indented line continues the line before it, which is not used here",
            str_make(NULL, 0));
    if (entry->key.size == 0)
        return begin_section(parser, entry->section);
    switch (parser->section) {
    case MAPPING_SECTION_FILE:
        return file_entry(parser, entry->key, entry->value);
    case MAPPING_SECTION_EVENT:
        return mapping_event_entry(parser, entry->key, entry->value);
    case MAPPING_SECTION_MAP:
        return map_entry(parser, entry->key, entry->value);
    default:
        return mapping_fail(parser, "the file begins with [file], not with", entry->key);
    }
}

static int check_file(struct mapping_parser *parser)
{
    struct mapping *mapping = parser->mapping;
    parser->line = 1;
    if (mapping->name.size == 0)
        return mapping_fail(parser, "[file] needs a name", str_make(NULL, 0));
    if (mapping->source.size == 0)
        mapping->source = mapping->name;
    if (mapping->encoding != MAPPING_UTF_8 && mapping->format != MAPPING_CSV)
        return mapping_fail(parser, "JSON is UTF-8: encoding is for csv only", str_make(NULL, 0));
    if (mapping->encoding != MAPPING_UTF_8 && mapping->delimiter == '|')
        return mapping_fail(parser,
            "| is half of some characters of this encoding, and no delimiter", str_make(NULL, 0));
    if (mapping->header && mapping->format != MAPPING_CSV)
        return mapping_fail(parser, "columns is for csv only", str_make(NULL, 0));
    bool own = mapping->format == MAPPING_NATIVE || mapping->format == MAPPING_SEGMENT;
    if (own && parser->events_count)
        return mapping_fail(
            parser, "events of this format are read as they are: no [event]", str_make(NULL, 0));
    if (!own && parser->events_count == 0)
        return mapping_fail(parser, "an [event NAME] is needed", str_make(NULL, 0));
    return 0;
}

static int finish(struct mapping_parser *parser)
{
    int r = check_file(parser);
    if (r == 0)
        r = mapping_event_end(parser);
    if (r < 0)
        return r;
    struct mapping *mapping = parser->mapping;
    struct arena *arena = &parser->owner->arena;
    struct mapping_event *events = arena_alloc(arena, parser->events_count * sizeof(*events));
    struct mapping_column *columns = arena_alloc(arena, parser->columns_count * sizeof(*columns));
    struct mapping_map *maps = arena_alloc(arena, parser->maps_count * sizeof(*maps));
    if (!events || !columns || !maps)
        return ERR_NO_MEMORY;
    memcpy(maps, parser->maps, parser->maps_count * sizeof(*maps));
    memcpy(events, parser->events, parser->events_count * sizeof(*events));
    memcpy(columns, parser->columns, parser->columns_count * sizeof(*columns));
    mapping->events = events;
    mapping->events_count = parser->events_count;
    mapping->columns = columns;
    mapping->columns_count = parser->columns_count;
    return mapping_resolve_maps(parser, maps);
}

static void fingerprint(struct str text, uint8_t out[16])
{
    struct hash128_pieces hash;
    hash128_init(&hash);
    hash128_update(&hash, text);
    hash128_digest(&hash, out);
}

int mapping_parse(const char *path, struct str text, struct mapping **out, struct buf *message)
{
    struct mapping_owner *owner = calloc(1, sizeof(*owner));
    struct mapping_parser *parser = calloc(1, sizeof(*parser));
    int r = owner && parser ? 0 : ERR_NO_MEMORY;
    if (r == 0) {
        *parser =
            (struct mapping_parser){.owner = owner, .mapping = &owner->mapping, .message = message};
        owner->mapping.delimiter = ',';
        owner->mapping.currency = STR("USD"); /* as Segment's specification says */
        r = arena_dup(&owner->arena, str_of(path), &owner->mapping.path);
    }
    if (r == 0)
        fingerprint(text, owner->mapping.fingerprint);
    struct ini_problem problem = {0};
    if (r == 0)
        r = ini_read(text, on_entry, parser, &problem);
    if (r == ERR_CONFIG && problem.text) {
        parser->line = problem.line;
        r = mapping_fail(parser, problem.text, str_make(NULL, 0));
    }
    if (r == 0)
        r = finish(parser);
    free(parser);
    struct mapping *mapping = owner ? &owner->mapping : NULL;
    if (r < 0)
        mapping_free(&mapping);
    else
        *out = mapping;
    return r;
}

int mapping_load(const char *path, struct mapping **out, struct buf *message)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = ini_load(path, MAPPING_SIZE_MAX, &text);
    if (r < 0) {
        int printed = buf_appendf(message, "%s: %s", path, error_text(r));
        return printed < 0 ? printed : r;
    }
    return mapping_parse(path, buf_str(&text), out, message);
}

void mapping_free(struct mapping **mapping)
{
    if (!*mapping)
        return;
    /* The mapping is the owner's first member. */
    struct mapping_owner *owner = (struct mapping_owner *)*mapping;
    arena_free(&owner->arena);
    free(owner);
    *mapping = NULL;
}
