/* What needs all values: secrets from their files, sources ready for use. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ingest/config/config_private.h"
#include "ingest/config/ini.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/money.h"

#define SECRET_SIZE_MAX ((size_t)64 << 10)
#define PATH_SIZE_MAX 4096
#define CREDENTIAL "credential:"
#define FILE_SUFFIX "_file"
#define DIGEST_SIZE 32

/* The path of a secret: as written, or within systemd's credentials directory. */
static int secret_path(
    struct str text, char *path, struct str origin, struct config_problem *problem)
{
    const char *dir = "";
    const char *slash = "";
    if (str_starts_with(text, STR(CREDENTIAL))) {
        dir = getenv("CREDENTIALS_DIRECTORY");
        if (!dir)
            return config_complain(problem, "%.*s: %.*s: there is no CREDENTIALS_DIRECTORY",
                (int)origin.size, origin.data, (int)text.size, text.data);
        slash = "/";
        text.data += sizeof CREDENTIAL - 1;
        text.size -= sizeof CREDENTIAL - 1;
    }
    int size = snprintf(path, PATH_SIZE_MAX, "%s%s%.*s", dir, slash, (int)text.size, text.data);
    if (size < 0 || size >= PATH_SIZE_MAX)
        return config_complain(
            problem, "%.*s: the path is too long", (int)origin.size, origin.data);
    return 0;
}

static int read_secret(struct config *config, struct str text, struct str origin,
    struct str *secret, struct config_problem *problem)
{
    char path[PATH_SIZE_MAX];
    int r = secret_path(text, path, origin, problem);
    if (r < 0)
        return r;
    CLEANUP(buf_free) struct buf bytes = {0};
    r = ini_load(path, SECRET_SIZE_MAX, &bytes);
    if (r == ERR_NO_MEMORY)
        return r;
    struct str content = buf_str(&bytes);
    while (content.size &&
           (content.data[content.size - 1] == '\n' || content.data[content.size - 1] == '\r'))
        content.size--;
    if (r == 0 && content.size == 0)
        r = ERR_EMPTY;
    if (r < 0)
        return config_complain(
            problem, "%.*s: %s: %s", (int)origin.size, origin.data, path, error_text(r));
    return value_copy(&config->arena, content, secret);
}

/* The key that persons are made from is read by its owner alone. (Credentials of systemd are.) */
static int check_private(const struct setting *setting, struct config_problem *problem)
{
    struct stat status;
    char path[PATH_SIZE_MAX];
    int r = secret_path(setting->value.text, path, setting->origin, problem);
    if (r < 0 || str_starts_with(setting->value.text, STR(CREDENTIAL)))
        return r;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) ||
        (status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return 0; /* what cannot be read is named when it is */
    return config_complain(problem, "%.*s: %s may be read by others: chmod 600 %s",
        (int)setting->origin.size, setting->origin.data, path, path);
}

static int read_option_secrets(struct config *config, struct config_problem *problem)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct setting *setting = &config->settings[i];
        if (config_option((enum option_id)i)->type != OPTION_TYPE_SECRET ||
            setting->value.text.size == 0)
            continue;
        int r = i == OPTION_IDENTITY_KEY_FILE ? check_private(setting, problem) : 0;
        if (r == 0)
            r = read_secret(
                config, setting->value.text, setting->origin, &setting->secret, problem);
        if (r < 0)
            return r;
    }
    return 0;
}

/* key_file = path becomes key = content. */
static int read_verbatim_secrets(struct config *config, struct config_problem *problem)
{
    size_t suffix = sizeof FILE_SUFFIX - 1;
    for (size_t which = 0; which < CONFIG_VERBATIM_COUNT; which++)
        for (size_t i = 0; i < config->pairs_count[which]; i++) {
            struct config_pair *pair = &config->pairs[which][i];
            if (pair->file.size || pair->key.size <= suffix ||
                memcmp(pair->key.data + pair->key.size - suffix, FILE_SUFFIX, suffix) != 0)
                continue;
            struct str name;
            struct str content;
            int r = value_copy(
                &config->arena, str_make(pair->key.data, pair->key.size - suffix), &name);
            if (r == 0)
                r = read_secret(config, pair->value, pair->origin, &content, problem);
            if (r < 0)
                return r;
            pair->file = pair->value;
            pair->key = name;
            pair->value = content;
        }
    return 0;
}

static int read_keys(struct config *config, const struct source *source, struct config_source *out,
    struct config_problem *problem)
{
    const struct setting *setting = &source->settings[SOURCE_OPTION_KEY_SHA256];
    uint8_t(*keys)[DIGEST_SIZE] =
        arena_alloc(&config->arena, (setting->value.items_count + 1) * DIGEST_SIZE);
    if (!keys)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < setting->value.items_count; i++)
        if (!hex_decode(setting->value.items[i], keys[i], DIGEST_SIZE))
            return config_complain(problem,
                "%.*s: key_sha256 is not 64 hex digits (printf %%s KEY | sha256sum)",
                (int)setting->origin.size, setting->origin.data);
    out->keys = (const uint8_t(*)[DIGEST_SIZE])keys;
    out->keys_count = setting->value.items_count;
    return 0;
}

static unsigned protocols_of(const struct value *value)
{
    unsigned protocols = 0;
    for (size_t i = 0; i < value->items_count; i++)
        protocols |= str_equal(value->items[i], STR("native")) ? SOURCE_PROTOCOL_NATIVE
                                                               : SOURCE_PROTOCOL_SEGMENT;
    return protocols;
}

static int make_ready(struct config *config, struct config_problem *problem)
{
    struct config_source *ready =
        arena_alloc(&config->arena, (config->sources_count + 1) * sizeof *ready);
    if (!ready)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < config->sources_count; i++) {
        const struct source *source = config->sources[i];
        const struct setting *settings = source->settings;
        ready[i] = (struct config_source){
            .name = source->name,
            .origins = settings[SOURCE_OPTION_ORIGINS].value.items,
            .origins_count = settings[SOURCE_OPTION_ORIGINS].value.items_count,
            .protocols = protocols_of(&settings[SOURCE_OPTION_PROTOCOLS].value),
            .rate = settings[SOURCE_OPTION_RATE].value.number,
            .currency = settings[SOURCE_OPTION_CURRENCY].value.text,
            .enabled = settings[SOURCE_OPTION_ENABLED].value.number != 0,
            .trusted_channel = settings[SOURCE_OPTION_TRUSTED_CHANNEL].value.number != 0,
            .is_operator = settings[SOURCE_OPTION_OPERATOR].value.number != 0,
        };
        const struct setting *currency = &settings[SOURCE_OPTION_CURRENCY];
        if (money_exponent(currency->value.text) < 0)
            return config_complain(problem, "%.*s: \"%.*s\" is not an ISO 4217 currency",
                (int)currency->origin.size, currency->origin.data, (int)currency->value.text.size,
                currency->value.text.data);
        int r = read_keys(config, source, &ready[i], problem);
        if (r < 0)
            return r;
    }
    config->ready = ready;
    return 0;
}

int config_finish(struct config *config, struct config_problem *problem)
{
    int r = read_option_secrets(config, problem);
    if (r == 0)
        r = read_verbatim_secrets(config, problem);
    if (r == 0)
        r = make_ready(config, problem);
    return r;
}

size_t config_sources(const struct config *config, const struct config_source **sources)
{
    *sources = config->ready;
    return config->ready ? config->sources_count : 0;
}

const struct config_source *config_source(const struct config *config, struct str name)
{
    for (size_t i = 0; config->ready && i < config->sources_count; i++)
        if (str_equal(config->ready[i].name, name))
            return &config->ready[i];
    return NULL;
}
