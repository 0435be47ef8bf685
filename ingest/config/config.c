/* Setting and reading values. Every way in (file, environment, flag) ends in assign(). */
#include "ingest/config/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ingest/config/config_private.h"
#include "ingest/config/ini.h"
#include "ingest/config/secret.h"
#include "ingest/import/mapping.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define ENVIRONMENT_PREFIX "TABIJI_"
#define ORIGIN_SIZE_MAX 300
#define NAME_SIZE_MAX 200

static const struct option options[OPTION_COUNT] = {
#define X(id, section, key, type, default_text, min, max, choices, doc)                            \
    {section, key, OPTION_TYPE_##type, default_text, min, max, choices, doc},
#include "ingest/config/option.def"
#undef X
};

static const struct option source_options[SOURCE_OPTION_COUNT] = {
#define X(id, section, key, type, default_text, min, max, choices, doc)                            \
    {section, key, OPTION_TYPE_##type, default_text, min, max, choices, doc},
#include "ingest/config/source.def"
#undef X
};

static const struct option model_options[MODEL_OPTION_COUNT] = {
#define X(id, section, key, type, default_text, min, max, choices, doc)                            \
    {section, key, OPTION_TYPE_##type, default_text, min, max, choices, doc},
#include "ingest/config/model.def"
#undef X
};

const struct named_section named_sections[NAMED_COUNT] = {
    [NAMED_SOURCE] = {"source", source_options, SOURCE_OPTION_COUNT, CONFIG_SOURCES_MAX},
    [NAMED_MODEL] = {"model", model_options, MODEL_OPTION_COUNT, CONFIG_MODELS_MAX},
};

const struct str config_verbatim_sections[CONFIG_VERBATIM_COUNT] = {
    STR_INIT("kafka"), STR_INIT("kafka.producer"), STR_INIT("kafka.consumer")};

/* Where a value is to go, and from where it comes. */
struct assignment {
    struct str section;
    struct str key;
    struct str value;
    struct str origin;
    int load; /* 0: not from a file, may overwrite */
    bool continuation;
};

int config_complain(struct config_problem *problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    return ERR_CONFIG;
}

const struct option *config_option(enum option_id id)
{
    check(id < OPTION_COUNT);
    return &options[id];
}

static int set_defaults(
    struct config *config, struct setting *settings, const struct option *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *why = NULL;
        int r = value_parse(
            &table[i], str_of(table[i].default_text), &config->arena, &settings[i].value, &why);
        check(r != ERR_CONFIG); /* a default of the table that its own row refuses */
        if (r < 0)
            return r;
        settings[i].origin = STR("default");
    }
    return 0;
}

int config_new(struct config **out)
{
    struct config *config = calloc(1, sizeof *config);
    if (!config)
        return ERR_NO_MEMORY;
    int r = set_defaults(config, config->settings, options, OPTION_COUNT);
    if (r < 0) {
        config_free(&config);
        return r;
    }
    *out = config;
    return 0;
}

void config_free(struct config **config)
{
    if (!*config)
        return;
    for (size_t i = 0; i < (*config)->mappings_count; i++)
        mapping_free(&(*config)->mappings[i]);
    arena_free(&(*config)->arena);
    free(*config);
    *config = NULL;
}

/* ---- hints ---- */

static int complain_key(const struct assignment *what, const struct option *table, size_t count,
    struct config_problem *problem)
{
    struct str known[OPTION_COUNT + SOURCE_OPTION_COUNT];
    size_t known_count = 0;
    bool named = table != options;
    for (size_t i = 0; i < count; i++)
        if (named || str_equal(str_of(table[i].section), what->section))
            known[known_count++] = str_of(table[i].key);
    struct str near = nearest_name(what->key, known, known_count);
    const char *lead = near.size ? ": did you mean \"" : "";
    return config_complain(problem, "%.*s: unknown key \"%.*s\" in [%.*s]%s%.*s%s",
        (int)what->origin.size, what->origin.data, (int)what->key.size, what->key.data,
        (int)what->section.size, what->section.data, lead, (int)near.size, near.data,
        near.size ? "\"?" : "");
}

static int complain_section(const struct assignment *what, struct config_problem *problem)
{
    struct str known[OPTION_COUNT + CONFIG_VERBATIM_COUNT + NAMED_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        known[count++] = str_of(options[i].section);
    for (size_t i = 0; i < CONFIG_VERBATIM_COUNT; i++)
        known[count++] = config_verbatim_sections[i];
    known[count++] = STR("source NAME");
    known[count++] = STR("model NAME");
    struct str near = nearest_name(what->section, known, count);
    const char *lead = near.size ? ": did you mean [" : "";
    return config_complain(problem, "%.*s: unknown section [%.*s]%s%.*s%s", (int)what->origin.size,
        what->origin.data, (int)what->section.size, what->section.data, lead, (int)near.size,
        near.data, near.size ? "]?" : "");
}

static int complain_twice(const struct assignment *what, struct config_problem *problem)
{
    return config_complain(problem, "%.*s: \"%.*s\" stands twice in [%.*s]", (int)what->origin.size,
        what->origin.data, (int)what->key.size, what->key.data, (int)what->section.size,
        what->section.data);
}

/* ---- assigning ---- */

/* old, a line end, new. */
static int join(struct arena *arena, struct str old, struct str new, struct str *out)
{
    char *text = arena_alloc(arena, old.size + new.size + 2);
    if (!text)
        return ERR_NO_MEMORY;
    if (old.size)
        memcpy(text, old.data, old.size);
    text[old.size] = '\n';
    if (new.size)
        memcpy(text + old.size + 1, new.data, new.size);
    text[old.size + 1 + new.size] = '\0';
    *out = str_make(text, old.size + 1 + new.size);
    return 0;
}

static int assign_setting(struct config *config, const struct option *option,
    struct setting *setting, const struct assignment *what, struct config_problem *problem)
{
    if (what->load && setting->load == what->load && !what->continuation)
        return complain_twice(what, problem);
    if (what->load && what->load == config->sources_load && setting->load != what->load &&
        !str_equal(setting->origin, STR("default")))
        return 0; /* a flag's, which stands over every file */
    struct str text = what->value;
    int r = 0;
    if (what->continuation)
        r = join(&config->arena, setting->value.text, text, &text);
    const char *why = NULL;
    if (r == 0)
        r = value_parse(option, text, &config->arena, &setting->value, &why);
    if (r == ERR_CONFIG)
        return config_complain(problem, "%.*s: %s.%s: \"%.*s\" %s", (int)what->origin.size,
            what->origin.data, option->section, option->key, (int)text.size, text.data, why);
    struct str origin = setting->origin;
    if (r == 0 && !what->continuation)
        r = value_copy(&config->arena, what->origin, &origin);
    if (r < 0)
        return r;
    setting->origin = origin;
    setting->load = what->load;
    return 0;
}

static struct config_pair *find_pair(struct config *config, size_t which, struct str key)
{
    for (size_t i = 0; i < config->pairs_count[which]; i++)
        if (str_equal(config->pairs[which][i].key, key))
            return &config->pairs[which][i];
    return NULL;
}

static int assign_verbatim(struct config *config, size_t which, const struct assignment *what,
    struct config_problem *problem)
{
    struct config_pair *pair = find_pair(config, which, what->key);
    size_t index = pair ? (size_t)(pair - config->pairs[which]) : config->pairs_count[which];
    if (pair && what->load && config->pair_loads[which][index] == what->load && !what->continuation)
        return complain_twice(what, problem);
    if (!what->load && secret_of_kafka(what->key)) /* a flag or the environment: others see it */
        return config_complain(problem,
            "%.*s: a secret does not belong there, others can list it: %.*s_file = PATH",
            (int)what->origin.size, what->origin.data, (int)what->key.size, what->key.data);
    if (what->key.size > CONFIG_KEY_SIZE_MAX)
        return config_complain(
            problem, "%.*s: the key is too long", (int)what->origin.size, what->origin.data);
    if (index == CONFIG_PAIRS_MAX)
        return config_complain(problem, "%.*s: too many keys in [%.*s]", (int)what->origin.size,
            what->origin.data, (int)what->section.size, what->section.data);
    struct config_pair new = {0};
    int r = value_copy(&config->arena, what->key, &new.key);
    if (r == 0 && what->continuation && pair)
        r = join(&config->arena, pair->value, what->value, &new.value);
    else if (r == 0)
        r = value_copy(&config->arena, what->value, &new.value);
    if (r == 0 && what->continuation && pair)
        new.origin = pair->origin;
    else if (r == 0)
        r = value_copy(&config->arena, what->origin, &new.origin);
    if (r < 0)
        return r;
    config->pairs[which][index] = new;
    config->pair_loads[which][index] = what->load;
    if (!pair)
        config->pairs_count[which]++;
    return 0;
}

static bool name_valid(struct str name)
{
    if (name.size == 0 || name.size > SOURCE_NAME_SIZE_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && (i == 0 || (c != '-' && c != '_')))
            return false;
    }
    return true;
}

static int new_named(
    struct config *config, enum named_kind kind, struct str name, struct named **out)
{
    const struct named_section *section = &named_sections[kind];
    struct named_list *list = &config->named[kind];
    struct named *named = arena_alloc(&config->arena, sizeof *named);
    if (!named)
        return ERR_NO_MEMORY;
    size_t size = section->options_count * sizeof *named->settings;
    named->settings = arena_alloc(&config->arena, size);
    if (!named->settings)
        return ERR_NO_MEMORY;
    memset(named->settings, 0, size);
    int r = value_copy(&config->arena, name, &named->name);
    if (r == 0)
        r = set_defaults(config, named->settings, section->options, section->options_count);
    if (r < 0)
        return r;
    list->items[list->count++] = named;
    *out = named;
    return 0;
}

/* A source stands in one file: of two that say other things of it neither would be right. */
static int check_one_file(const struct config *config, struct named *named,
    const struct assignment *what, struct config_problem *problem)
{
    bool sources = what->load && what->load == config->sources_load;
    if (sources && named->load && named->load != what->load)
        return config_complain(problem, "%.*s: [%.*s] stands in another file already",
            (int)what->origin.size, what->origin.data, (int)what->section.size, what->section.data);
    if (!named->load)
        named->load = what->load;
    return 0;
}

/* The section of that name, made when it is new. */
static int take_named(struct config *config, enum named_kind kind, const struct assignment *what,
    struct str name, struct named **out, struct config_problem *problem)
{
    const struct named_section *section = &named_sections[kind];
    const struct named_list *list = &config->named[kind];
    for (size_t i = 0; i < list->count; i++)
        if (str_equal(list->items[i]->name, name)) {
            *out = list->items[i];
            return check_one_file(config, *out, what, problem);
        }
    if (!name_valid(name))
        return config_complain(problem,
            "%.*s: \"%.*s\" is no name of a %s: a to z, 0 to 9, - and _, at most 64",
            (int)what->origin.size, what->origin.data, (int)name.size, name.data, section->word);
    if (list->count == section->max)
        return config_complain(problem, "%.*s: too many %ss", (int)what->origin.size,
            what->origin.data, section->word);
    int r = new_named(config, kind, name, out);
    if (r == 0)
        (*out)->load = what->load;
    return r;
}

static int assign_named(struct config *config, enum named_kind kind, const struct assignment *what,
    struct config_problem *problem)
{
    const struct named_section *section = &named_sections[kind];
    size_t lead = strlen(section->word) + 1;
    struct str name = str_make(what->section.data + lead, what->section.size - lead);
    struct named *named = NULL;
    int r = take_named(config, kind, what, name, &named, problem);
    if (r < 0 || what->key.size == 0)
        return r;
    for (size_t i = 0; i < section->options_count; i++)
        if (str_equal(str_of(section->options[i].key), what->key))
            return assign_setting(config, &section->options[i], &named->settings[i], what, problem);
    return complain_key(what, section->options, section->options_count, problem);
}

/* The kind whose word and `mark` the text begins with, or NAMED_COUNT. */
static enum named_kind kind_of(struct str text, char mark)
{
    size_t kind = 0;
    for (; kind < NAMED_COUNT; kind++) {
        struct str word = str_of(named_sections[kind].word);
        if (str_starts_with(text, word) && text.size > word.size && text.data[word.size] == mark)
            break;
    }
    return (enum named_kind)kind;
}

static int assign(
    struct config *config, const struct assignment *what, struct config_problem *problem)
{
    bool section_known = false;
    if (what->load && what->load == config->sources_load &&
        kind_of(what->section, ' ') != NAMED_SOURCE)
        return config_complain(problem, "%.*s: a file of sources has [source NAME] sections alone",
            (int)what->origin.size, what->origin.data);
    for (size_t i = 0; i < CONFIG_VERBATIM_COUNT; i++)
        if (str_equal(config_verbatim_sections[i], what->section))
            return what->key.size ? assign_verbatim(config, i, what, problem) : 0;
    enum named_kind kind = kind_of(what->section, ' ');
    if (kind < NAMED_COUNT)
        return assign_named(config, kind, what, problem);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!str_equal(str_of(options[i].section), what->section))
            continue;
        section_known = true;
        if (str_equal(str_of(options[i].key), what->key))
            return assign_setting(config, &options[i], &config->settings[i], what, problem);
    }
    if (!section_known)
        return complain_section(what, problem);
    return what->key.size ? complain_key(what, options, OPTION_COUNT, problem) : 0;
}

/* ---- the ways in ---- */

struct loading {
    struct config *config;
    const char *name;
    struct config_problem *problem;
};

static int assign_entry(void *context, const struct ini_entry *entry)
{
    struct loading *loading = context;
    char origin[ORIGIN_SIZE_MAX];
    int size = snprintf(origin, sizeof origin, "%s:%d", loading->name, entry->line);
    struct assignment what = {
        .section = entry->section,
        .key = entry->key,
        .value = entry->value,
        .origin = str_make(origin, size < ORIGIN_SIZE_MAX ? (size_t)size : ORIGIN_SIZE_MAX - 1),
        .load = loading->config->loads,
        .continuation = entry->continuation,
    };
    return assign(loading->config, &what, loading->problem);
}

int config_load_text(
    struct config *config, const char *name, struct str text, struct config_problem *problem)
{
    struct loading loading = {.config = config, .name = name, .problem = problem};
    struct ini_problem where;
    config->loads++;
    int r = ini_read(text, assign_entry, &loading, &where);
    if (r < 0 && where.text)
        return config_complain(problem, "%s:%d: %s", name, where.line, where.text);
    return r;
}

int config_load(struct config *config, const char *path, struct config_problem *problem)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = ini_load(path, INI_SIZE_MAX, &text);
    if (r < 0 && r != ERR_NO_MEMORY)
        return config_complain(problem, "%s: %s", path, error_text(r));
    return r < 0 ? r : config_load_text(config, path, buf_str(&text), problem);
}

int config_load_sources_text(
    struct config *config, const char *name, struct str text, struct config_problem *problem)
{
    config->sources_load = config->loads + 1;
    return config_load_text(config, name, text, problem);
}

/* What exists and is no file would be waited for, or read once and never again by SIGHUP. */
static bool is_no_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

int config_load_sources(struct config *config, const char *path, struct config_problem *problem)
{
    CLEANUP(buf_free) struct buf text = {0};
    if (is_no_file(path))
        return config_complain(problem, "%s: is no regular file", path);
    int r = ini_load(path, INI_SIZE_MAX, &text);
    if (r == ERR_NOT_FOUND)
        (void)config_complain(problem, "%s: %s: tabiji source add makes it", path, error_text(r));
    else if (r < 0 && r != ERR_NO_MEMORY)
        r = config_complain(problem, "%s: %s", path, error_text(r));
    return r < 0 ? r : config_load_sources_text(config, path, buf_str(&text), problem);
}

/* Writes "section_key" as the environment has it: upper case, '_' for what is no letter or digit.
 */
static size_t environment_name(const char *section, const char *key, char *out, size_t size)
{
    int length = snprintf(out, size, "%s_%s", section, key);
    if (length < 0 || (size_t)length >= size)
        return 0;
    for (int i = 0; i < length; i++)
        out[i] = (char)(isalnum((unsigned char)out[i]) ? toupper((unsigned char)out[i]) : '_');
    return (size_t)length;
}

/* TABIJI_KAFKA_SASL_PASSWORD_FILE is sasl.password_file. */
static void keep_file_suffix(char *key, size_t size)
{
    const size_t suffix = sizeof ".file" - 1;
    if (size > suffix && memcmp(key + size - suffix, ".file", suffix) == 0)
        key[size - suffix] = '_';
}

/* TABIJI_KAFKA_...: the longest section that fits; the key in lower case with dots. */
static bool verbatim_of_environment(struct str name, char *key, struct assignment *what)
{
    for (size_t i = CONFIG_VERBATIM_COUNT; i-- > 0;) {
        char prefix[NAME_SIZE_MAX];
        size_t size = environment_name(config_verbatim_sections[i].data, "", prefix, sizeof prefix);
        if (name.size <= size || name.size - size >= NAME_SIZE_MAX ||
            !str_starts_with(name, str_make(prefix, size)))
            continue;
        for (size_t k = size; k < name.size; k++)
            key[k - size] =
                (char)(name.data[k] == '_' ? '.' : tolower((unsigned char)name.data[k]));
        what->section = config_verbatim_sections[i];
        what->key = str_make(key, name.size - size);
        keep_file_suffix(key, what->key.size);
        return true;
    }
    return false;
}

/* Finds what a variable (without its prefix) sets. Returns false for none of ours. */
static bool option_of_environment(struct str name, char *key, struct assignment *what)
{
    bool ours = false;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char text[NAME_SIZE_MAX];
        size_t size = environment_name(options[i].section, options[i].key, text, sizeof text);
        if (str_equal(name, str_make(text, size))) {
            what->section = str_of(options[i].section);
            what->key = str_of(options[i].key);
            return true;
        }
        size_t section = environment_name(options[i].section, "", text, sizeof text);
        if (!ours && name.size - section < NAME_SIZE_MAX &&
            str_starts_with(name, str_make(text, section))) {
            ours = true; /* the section is known, the key perhaps not: an error that names both */
            for (size_t k = section; k < name.size; k++)
                key[k - section] = (char)tolower((unsigned char)name.data[k]);
            what->section = str_of(options[i].section);
            what->key = str_make(key, name.size - section);
        }
    }
    return ours;
}

static int assign_variable(
    struct config *config, const char *variable, struct config_problem *problem)
{
    const char *equals = strchr(variable, '=');
    size_t prefix = sizeof ENVIRONMENT_PREFIX - 1;
    if (!equals || (size_t)(equals - variable) <= prefix ||
        strncmp(variable, ENVIRONMENT_PREFIX, prefix) != 0)
        return 0;
    size_t size = (size_t)(equals - variable);
    char key[NAME_SIZE_MAX];
    struct assignment what = {.value = str_of(equals + 1)};
    struct str name = str_make(variable + prefix, size - prefix);
    if (!verbatim_of_environment(name, key, &what) && !option_of_environment(name, key, &what))
        return 0;
    char origin[ORIGIN_SIZE_MAX];
    int length = snprintf(origin, sizeof origin, "environment %.*s", (int)size, variable);
    what.origin = str_make(origin, length < ORIGIN_SIZE_MAX ? (size_t)length : ORIGIN_SIZE_MAX - 1);
    return assign(config, &what, problem);
}

int config_environment(
    struct config *config, char *const *environment, struct config_problem *problem)
{
    for (; *environment; environment++) {
        int r = assign_variable(config, *environment, problem);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Splits "source.NAME.key": section "source NAME". */
static bool split_named(struct str name, char *section, struct assignment *what)
{
    enum named_kind kind = kind_of(name, '.');
    if (kind == NAMED_COUNT || name.size >= NAME_SIZE_MAX)
        return false;
    const char *dot = memrchr(name.data, '.', name.size);
    size_t at = (size_t)(dot - name.data), word = strlen(named_sections[kind].word);
    if (at <= word)
        return false;
    memcpy(section, name.data, at);
    section[word] = ' ';
    what->section = str_make(section, at);
    what->key = str_make(dot + 1, name.size - at - 1);
    return true;
}

static bool split_verbatim(struct str name, struct assignment *what)
{
    for (size_t i = CONFIG_VERBATIM_COUNT; i-- > 0;) {
        struct str section = config_verbatim_sections[i];
        if (name.size <= section.size + 1 || name.data[section.size] != '.' ||
            !str_starts_with(name, section))
            continue;
        what->section = section;
        what->key = str_make(name.data + section.size + 1, name.size - section.size - 1);
        return true;
    }
    return false;
}

int config_set(struct config *config, const char *name, const char *value, const char *origin,
    struct config_problem *problem)
{
    char section[NAME_SIZE_MAX];
    struct str whole = str_of(name);
    struct assignment what = {.value = str_of(value), .origin = str_of(origin)};
    if (!split_named(whole, section, &what) && !split_verbatim(whole, &what)) {
        const char *dot = whole.size ? memrchr(whole.data, '.', whole.size) : NULL;
        if (!dot || dot == whole.data || dot == whole.data + whole.size - 1)
            return config_complain(problem, "%s: \"%s\" is not section.key", origin, name);
        what.section = str_make(whole.data, (size_t)(dot - whole.data));
        what.key = str_make(dot + 1, whole.size - what.section.size - 1);
    }
    return assign(config, &what, problem);
}

/* ---- reading ---- */

static const struct setting *setting_of(const struct config *config, enum option_id id)
{
    check(id < OPTION_COUNT);
    return &config->settings[id];
}

struct str config_text(const struct config *config, enum option_id id)
{
    return setting_of(config, id)->value.text;
}

const char *config_path(const struct config *config, enum option_id id)
{
    return setting_of(config, id)->value.text.data;
}

int64_t config_int(const struct config *config, enum option_id id)
{
    enum option_type type = options[id].type;
    check(type == OPTION_TYPE_INT || type == OPTION_TYPE_SIZE || type == OPTION_TYPE_DURATION);
    return setting_of(config, id)->value.number;
}

bool config_bool(const struct config *config, enum option_id id)
{
    check(options[id].type == OPTION_TYPE_BOOL);
    return setting_of(config, id)->value.number != 0;
}

size_t config_list(const struct config *config, enum option_id id, const struct str **items)
{
    check(options[id].type == OPTION_TYPE_LIST);
    *items = setting_of(config, id)->value.items;
    return setting_of(config, id)->value.items_count;
}

struct str config_secret(const struct config *config, enum option_id id)
{
    check(options[id].type == OPTION_TYPE_SECRET);
    return setting_of(config, id)->secret;
}

bool config_given(const struct config *config, enum option_id id)
{
    return !str_equal(setting_of(config, id)->origin, STR("default"));
}

size_t config_pairs(
    const struct config *config, enum config_verbatim which, const struct config_pair **pairs)
{
    check(which < CONFIG_VERBATIM_COUNT);
    *pairs = config->pairs[which];
    return config->pairs_count[which];
}
