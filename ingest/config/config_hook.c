/* What a source says of webhooks, made ready. */
#include <strings.h>

#include "ingest/config/config_private.h"
#include "ingest/import/mapping.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define HEADER_NAME_SIZE_MAX 100

static int read_secrets(struct config *config, const struct setting *setting,
    struct config_source *out, struct config_problem *problem)
{
    size_t count = setting->value.items_count;
    if (count > CONFIG_SECRETS_MAX)
        return config_complain(problem, "%.*s: secret_file has at most %d files",
            (int)setting->origin.size, setting->origin.data, CONFIG_SECRETS_MAX);
    struct str *secrets = arena_alloc(&config->arena, (count + 1) * sizeof *secrets);
    if (!secrets)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct str path = setting->value.items[i];
        int r = config_check_private(path, setting->origin, problem);
        if (r == 0)
            r = config_read_secret(config, path, setting->origin, &secrets[i], problem);
        if (r < 0)
            return r;
    }
    out->secrets = secrets;
    out->secrets_count = count;
    return 0;
}

/* A token of RFC 9110, 5.6.2. */
static bool is_header_name(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && !memchr("!#$%&'*+-.^_`|~", c, 15))
            return false;
    }
    return name.size <= HEADER_NAME_SIZE_MAX;
}

static int check_header(const struct setting *setting, struct config_problem *problem)
{
    if (is_header_name(setting->value.text))
        return 0;
    return config_complain(problem, "%.*s: \"%.*s\" is no name of a header",
        (int)setting->origin.size, setting->origin.data, (int)setting->value.text.size,
        setting->value.text.data);
}

static bool begins_with(struct str text, const char *beginning)
{
    size_t size = strlen(beginning);
    return text.size > size && strncasecmp(text.data, beginning, size) == 0;
}

static int read_address(
    const struct setting *setting, struct config_source *out, struct config_problem *problem)
{
    struct str url = setting->value.text;
    if (url.size && !begins_with(url, "https://") && !begins_with(url, "http://"))
        return config_complain(problem, "%.*s: public_url begins with https:// (or http://)",
            (int)setting->origin.size, setting->origin.data);
    while (url.size && url.data[url.size - 1] == '/')
        url.size--;
    out->public_url = url;
    return 0;
}

static int read_mapping(struct config *config, const struct setting *setting,
    struct config_source *out, struct config_problem *problem)
{
    if (setting->value.text.size == 0)
        return 0;
    CLEANUP(buf_free) struct buf message = {0};
    struct mapping *mapping = NULL;
    int r = mapping_load(setting->value.text.data, &mapping, &message);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return config_complain(problem, "%.*s: mapping: %.*s", (int)setting->origin.size,
            setting->origin.data, (int)message.size, message.size ? message.data : "");
    check(config->mappings_count < CONFIG_SOURCES_MAX);
    config->mappings[config->mappings_count++] = mapping;
    if (mapping->format != MAPPING_NDJSON)
        return config_complain(problem, "%.*s: mapping: %.*s: webhooks want format = ndjson",
            (int)setting->origin.size, setting->origin.data, (int)setting->value.text.size,
            setting->value.text.data);
    out->mapping = mapping;
    return 0;
}

int config_finish_hook(struct config *config, const struct named *source, struct config_source *out,
    struct config_problem *problem)
{
    const struct setting *settings = source->settings;
    const struct setting *header = &settings[SOURCE_OPTION_SIGNATURE_HEADER];
    int r = read_secrets(config, &settings[SOURCE_OPTION_SECRET_FILE], out, problem);
    if (r == 0)
        r = check_header(header, problem);
    if (r == 0)
        r = read_address(&settings[SOURCE_OPTION_PUBLIC_URL], out, problem);
    if (r == 0)
        r = read_mapping(config, &settings[SOURCE_OPTION_MAPPING], out, problem);
    out->signature_header = header->value.text;
    out->replay_window_micros =
        settings[SOURCE_OPTION_REPLAY_WINDOW].value.number * TIME_MICROS_PER_MILLI;
    return r;
}
