/* Each function fills one part from its options; see option.def for what they mean. */
#include "deploy/settings.h"

#include "schemas/error.h"
#include "schemas/time.h"

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

static int set_steps(struct settings *settings)
{
    const struct config *config = settings->config;
    char why[STEPS_WHY_SIZE] = "";
    struct steps_config steps = {
        .channel_rules = config_path(config, OPTION_CHANNEL_RULES),
        .agent_rules = config_path(config, OPTION_AGENT_RULES),
        .geo_database = config_path(config, OPTION_GEO_DATABASE),
    };
    steps.query_keys_count = config_list(config, OPTION_PAGE_QUERY_KEYS, &steps.query_keys);
    int r = steps_open(&settings->steps, &steps, why);
    if (r < 0)
        log_write(&settings->log, LOG_LEVEL_ERROR, "rules_unreadable", LOG_TEXT("why", why));
    else if (r == STEPS_WITHOUT_AGENT_RULES)
        log_write(&settings->log, LOG_LEVEL_WARNING, "no_agent_rules", LOG_TEXT("why", why));
    settings->identify.enrich = steps_apply;
    settings->identify.enrich_context = settings->steps;
    return r < 0 ? r : 0;
}

static void set_journey(struct settings *settings)
{
    const struct config *config = settings->config;
    struct journey_config *journey = &settings->journey;
    const int64_t day = TIME_MICROS_PER_DAY;
    journey_config_default(journey);
    journey->namespaces = settings->door.identifiers.namespaces;
    journey->session_timeout_micros =
        config_int(config, OPTION_JOURNEY_SESSION_TIMEOUT) * MICROS_PER_MS;
    journey->lookback_micros = config_int(config, OPTION_JOURNEY_LOOKBACK_DAYS) * day;
    journey->lookback_impression_micros =
        config_int(config, OPTION_JOURNEY_LOOKBACK_IMPRESSION_DAYS) * day;
    journey->reset = str_equal(config_text(config, OPTION_JOURNEY_JOURNEY), STR("reset"));
    journey->impressions_earn_credit = config_bool(config, OPTION_JOURNEY_IMPRESSIONS_EARN_CREDIT);
    journey->rules.half_life_micros = config_int(config, OPTION_JOURNEY_HALF_LIFE_DAYS) * day;
    journey->path_touches_max = (size_t)config_int(config, OPTION_JOURNEY_PATH_TOUCHES_MAX);
    journey->timeline_events_max = config_int(config, OPTION_JOURNEY_TIMELINE_EVENTS_MAX);
    journey->conversion_types_count =
        config_list(config, OPTION_JOURNEY_CONVERSION_TYPES, &journey->conversion_types);
}

int settings_open(struct settings *settings, const struct config *config)
{
    *settings = (struct settings){.config = config};
    set_log(settings);
    int r = set_door(settings);
    if (r < 0)
        return r;
    set_journey(settings);
    r = set_steps(settings);
    if (r < 0)
        return r;
    identify_stage(&settings->stages[0], &settings->identify);
    journey_stage(&settings->stages[1], &settings->journey);
    return 0;
}

void settings_close(struct settings *settings)
{
    steps_close(&settings->steps);
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
