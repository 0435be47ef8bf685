/* Effective values, for people and for reading back. */
#include <stdio.h>

#include "ingest/config/config_private.h"
#include "ingest/config/secret.h"
#include "schemas/error.h"

#define FILE_KEY_SIZE_MAX (CONFIG_KEY_SIZE_MAX + sizeof "_file")

static int visit_option(const struct option *option, const struct setting *setting,
    struct str section, config_entry_fn visit, void *context)
{
    const struct config_entry entry = {
        .section = section,
        .key = str_of(option->key),
        .value = setting->value.text,
        .origin = setting->origin,
        .doc = option->doc,
    };
    return visit(context, &entry);
}

static int visit_named(const struct named_section *section, const struct named *named,
    config_entry_fn visit, void *context)
{
    char text[SOURCE_NAME_SIZE_MAX + sizeof "source "];
    int size = snprintf(
        text, sizeof text, "%s %.*s", section->word, (int)named->name.size, named->name.data);
    for (size_t i = 0; i < section->options_count; i++) {
        int r = visit_option(&section->options[i], &named->settings[i],
            str_make(text, (size_t)size), visit, context);
        if (r < 0)
            return r;
    }
    return 0;
}

static int visit_pair(
    const struct config_pair *pair, struct str section, config_entry_fn visit, void *context)
{
    struct config_entry entry = {
        .section = section,
        .key = pair->key,
        .value = secret_of_kafka(pair->key) ? STR("(hidden)") : pair->value,
        .origin = pair->origin,
    };
    char key[FILE_KEY_SIZE_MAX];
    if (pair->file.size) {
        int size = snprintf(key, sizeof key, "%.*s_file", (int)pair->key.size, pair->key.data);
        check(size > 0 && (size_t)size < sizeof key);
        entry.key = str_make(key, (size_t)size);
        entry.value = pair->file;
    }
    return visit(context, &entry);
}

int config_visit(const struct config *config, config_entry_fn visit, void *context)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < OPTION_COUNT; i++) {
        const struct option *option = config_option((enum option_id)i);
        r = visit_option(option, &config->settings[i], str_of(option->section), visit, context);
    }
    for (size_t kind = 0; kind < NAMED_COUNT; kind++)
        for (size_t i = 0; r == 0 && i < config->named[kind].count; i++)
            r = visit_named(&named_sections[kind], config->named[kind].items[i], visit, context);
    for (size_t which = 0; which < CONFIG_VERBATIM_COUNT; which++)
        for (size_t i = 0; r == 0 && i < config->pairs_count[which]; i++)
            r = visit_pair(
                &config->pairs[which][i], config_verbatim_sections[which], visit, context);
    return r;
}

struct dumping {
    FILE *out;
    struct str section;
    char section_text[SOURCE_NAME_SIZE_MAX + sizeof "source "];
    bool origin;
    bool doc;
    bool begun;
};

/* A value over several lines continues indented. */
static void write_value(FILE *out, struct str value)
{
    for (size_t i = 0; i < value.size; i++) {
        (void)fputc(value.data[i], out);
        if (value.data[i] == '\n')
            (void)fputs("    ", out);
    }
    (void)fputc('\n', out);
}

static int write_entry(void *context, const struct config_entry *entry)
{
    struct dumping *dumping = context;
    if (!dumping->begun || !str_equal(dumping->section, entry->section)) {
        (void)fprintf(dumping->out, "%s[%.*s]\n", dumping->begun ? "\n" : "",
            (int)entry->section.size, entry->section.data);
        memcpy(dumping->section_text, entry->section.data, entry->section.size);
        dumping->section = str_make(dumping->section_text, entry->section.size);
        dumping->begun = true;
    }
    if (dumping->doc && entry->doc)
        (void)fprintf(dumping->out, "# %s\n", entry->doc);
    if (dumping->origin)
        (void)fprintf(dumping->out, "# from: %.*s\n", (int)entry->origin.size, entry->origin.data);
    (void)fprintf(dumping->out, "%.*s =%s", (int)entry->key.size, entry->key.data,
        entry->value.size ? " " : "");
    write_value(dumping->out, entry->value);
    return ferror(dumping->out) ? ERR_IO : 0;
}

/* How such a section is written, for a configuration that has none. */
static void write_template(const struct named_section *section, FILE *out)
{
    (void)fprintf(out, "\n# [%s NAME]\n", section->word);
    for (size_t i = 0; i < section->options_count; i++) {
        const struct option *option = &section->options[i];
        (void)fprintf(out, "# # %s\n# %s =%s%s\n", option->doc, option->key,
            *option->default_text ? " " : "", option->default_text);
    }
}

int config_dump(const struct config *config, bool origin, bool doc, FILE *out)
{
    struct dumping dumping = {.out = out, .origin = origin, .doc = doc};
    int r = config_visit(config, write_entry, &dumping);
    for (size_t kind = 0; r == 0 && doc && kind < NAMED_COUNT; kind++)
        if (config->named[kind].count == 0)
            write_template(&named_sections[kind], out);
    return r < 0 ? r : ferror(out) ? ERR_IO : 0;
}
