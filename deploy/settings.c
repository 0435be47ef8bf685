/* Each function fills one part from its options; see option.def for what they mean. */
#include "deploy/settings.h"

#include "schemas/error.h"

#define MICROS_PER_MS 1000

static void set_log(struct settings *settings)
{
    struct str level = config_text(settings->config, OPTION_LOG_LEVEL);
    static const char *const names[] = {"debug", "info", "warning", "error"};
    settings->log = (struct log){.fd = 2, .level = LOG_LEVEL_INFO};
    for (int i = 0; i < 4; i++)
        if (str_equal(level, str_of(names[i])))
            settings->log.level = (enum log_level)i;
}

/* The configured tenant key, or the public one. */
static int read_tenant_key(struct settings *settings, uint8_t key[32])
{
    struct str secret = config_secret(settings->config, OPTION_IDENTITY_KEY_FILE);
    if (secret.size == 0) {
        memcpy(key, IDENTIFIER_PUBLIC_KEY, 32);
        return 0;
    }
    if (hex_decode(secret, key, 32))
        return 0;
    log_write(&settings->log, LOG_LEVEL_ERROR, "tenant_key_malformed",
        LOG_TEXT("wanted", "64 hex digits"));
    return ERR_CONFIG;
}

static int set_blocked(struct settings *settings)
{
    const struct str *values;
    size_t count = config_list(settings->config, OPTION_IDENTITY_BLOCKED, &values);
    if (count == 0)
        return 0;
    struct str *forms =
        arena_alloc(&settings->arena, count * IDENTIFIER_BLOCK_FORMS * sizeof *forms);
    size_t used = 0;
    if (!forms)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        size_t made = 0;
        int r = identifier_block(values[i], &settings->arena, forms + used, &made);
        if (r < 0)
            return error_class(r) == ERROR_CLASS_REJECT ? ERR_CONFIG : r;
        used += made;
    }
    settings->door.identifiers.blocked = forms;
    settings->door.identifiers.blocked_count = used;
    return 0;
}

static int set_door(struct settings *settings)
{
    uint8_t key[32];
    door_config_default(&settings->door);
    int r = read_tenant_key(settings, key);
    if (r == 0)
        r = identifier_config_key(&settings->door.identifiers, key,
            config_text(settings->config, OPTION_IDENTITY_KEY_ID));
    if (r == ERR_VALUE) {
        log_write(&settings->log, LOG_LEVEL_ERROR, "key_id_malformed",
            LOG_TEXT("wanted", "k and 1 to 7 digits"));
        return ERR_CONFIG;
    }
    if (r == 0)
        r = set_blocked(settings);
    settings->identify.namespaces = settings->door.identifiers.namespaces;
    memcpy(settings->identify.tenant_key, key, sizeof key);
    return r;
}

int settings_open(struct settings *settings, const struct config *config)
{
    *settings = (struct settings){.config = config};
    set_log(settings);
    int r = set_door(settings);
    if (r < 0)
        return r;
    identify_stage(&settings->stages[0], &settings->identify);
    return 0;
}

void settings_close(struct settings *settings)
{
    arena_free(&settings->arena);
}

int settings_database(struct settings *settings, const char **path)
{
    const char *configured = config_path(settings->config, OPTION_SINK_SQLITE_PATH);
    CLEANUP(buf_free) struct buf text = {0};
    struct str kept;
    int r = configured[0] ? buf_appendf(&text, "%s%c", configured, 0)
                          : buf_appendf(&text, "%s/tabiji.db%c",
                                config_path(settings->config, OPTION_DATA_DIR), 0);
    if (r == 0)
        r = arena_dup(&settings->arena, buf_str(&text), &kept);
    if (r == 0)
        *path = kept.data;
    return r;
}
