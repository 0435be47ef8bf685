/* Each function fills one part from its options; see option.def for what they mean. */
#include "deploy/settings.h"

#include <stdio.h>

#include "deploy/memory_plan.h"
#include "deploy/reload.h"
#include "deploy/schemas.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/reach.h"
#include "ingest/metrics/metrics_server.h"
#include "ingest/normalise/namespace_config.h"
#include "ingest/plan/plan.h"
#include "schemas/error.h"
#include "schemas/nearest.h"
#include "schemas/time.h"

#define MICROS_PER_MS 1000
#define KEY_ID_DEFAULT "k1"
#define KEY_HINT_DIGITS 16 /* of its hash: tells keys apart, betrays none */

static void set_log(struct settings *settings)
{
    int level = log_level_of(config_text(settings->config, OPTION_LOG_LEVEL));
    settings->log =
        (struct log){.fd = 2, .level = level < 0 ? LOG_LEVEL_INFO : (enum log_level)level};
}

/* Person ids: by the key that a rotation leaves as it is. */
static void set_identify(struct settings *settings)
{
    settings->identify.namespaces = settings->door.identifiers.namespaces;
    settings->identify.cache_bytes_max = memory_plan(settings->config).cache_bytes / 4;
    memcpy(settings->identify.tenant_key, settings->door.person_key,
        sizeof settings->identify.tenant_key);
}

static int set_door(struct settings *settings)
{
    struct config_problem problem = {.text = ""};
    int r = door_configure(settings->config, &settings->arena, &settings->door, &problem);
    if (r < 0 && problem.text[0])
        (void)fprintf(stderr, "tabiji: %s\n", problem.text);
    else
        set_identify(settings);
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
    journey->cache_bytes_max = memory_plan(config).cache_bytes;
    journey->timeline_events_max = config_int(config, OPTION_JOURNEY_TIMELINE_EVENTS_MAX);
    journey->conversion_types_count =
        config_list(config, OPTION_JOURNEY_CONVERSION_TYPES, &journey->conversion_types);
    journey->lead_types_count =
        config_list(config, OPTION_JOURNEY_LEAD_TYPES, &journey->lead_types);
    journey->opportunity_types_count =
        config_list(config, OPTION_JOURNEY_OPPORTUNITY_TYPES, &journey->opportunity_types);
}

/* A model looks at conversions of the journey, so its types are among those. */
static int check_types(const struct settings *settings, const struct config_model *model)
{
    const struct journey_config *journey = &settings->journey;
    for (size_t i = 0; i < model->conversion_types_count; i++) {
        struct str type = model->conversion_types[i];
        size_t at = 0;
        while (
            at < journey->conversion_types_count && !str_equal(journey->conversion_types[at], type))
            at++;
        if (at < journey->conversion_types_count)
            continue;
        struct str near =
            nearest_name(type, journey->conversion_types, journey->conversion_types_count);
        (void)fprintf(stderr,
            "tabiji: [model %.*s]: \"%.*s\" is no conversion type of [journey]%s%.*s%s\n",
            (int)model->name.size, model->name.data, (int)type.size, type.data,
            near.size ? ": did you mean \"" : "", (int)near.size, near.size ? near.data : "",
            near.size ? "\"?" : "");
        return ERR_CONFIG;
    }
    return 0;
}

static int set_models(struct settings *settings)
{
    const struct config_model *configured;
    size_t count = config_models(settings->config, &configured);
    int r = 0;
    check(count <= MODELS_CONFIGURED_MAX); /* kinds and sections are fewer */
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct config_model *model = &configured[i];
        int rule = rule_model_from_name(model->kind);
        settings->models[i] = (struct model){
            .name = model->name,
            .kind = model_kind_of(model->kind),
            .rule = rule < 0 ? RULE_MODEL_UNKNOWN : (enum rule_model)rule,
            .config = settings->journey.rules,
            .reset = model->reset,
            .order = model->order,
            .bootstrap = (size_t)model->bootstrap,
            .seed = (uint64_t)model->seed,
            .ignore_nulls = model->ignore_nulls,
            .conversion_types = model->conversion_types,
            .conversion_types_count = model->conversion_types_count,
            .lookback_micros = model->lookback_days * TIME_MICROS_PER_DAY,
        };
        settings->models[i].config.custom =
            (struct rule_position){model->weights[0], model->weights[1], model->weights[2]};
        if (model->half_life_days)
            settings->models[i].config.half_life_micros =
                model->half_life_days * TIME_MICROS_PER_DAY;
        r = check_types(settings, &configured[i]);
    }
    settings->journey.models = settings->models;
    settings->journey.models_count = count;
    if (r == 0 && !journey_credits_fit(&settings->journey)) {
        (void)fprintf(stderr,
            "tabiji: [journey] path_touches_max = %zu and %zu models are more credits than a "
            "conversion's record holds (%zu): fewer of either\n",
            settings->journey.path_touches_max, count, RULE_CREDITS_MAX);
        return ERR_CONFIG;
    }
    return r;
}

/* Their versions follow from the settings of all paths, and from their own. */
static int set_models_meaning(struct settings *settings, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < settings->journey.models_count; i++)
        r = model_set_version(&settings->models[i], buf_str(out));
    for (size_t i = 0; r == 0 && i < settings->journey.models_count; i++)
        r = model_text(&settings->models[i], out);
    return r;
}

int settings_identity_text(const struct namespace_table *namespaces,
    const uint8_t person_key[TENANT_KEY_SIZE], struct buf *out)
{
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, STR("tenant key"));
    sha256_update_sized(&hash, str_make(person_key, TENANT_KEY_SIZE));
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, hex);
    int r = namespace_table_text(namespaces, out);
    return r < 0 ? r : buf_appendf(out, "tenant key %.*s", KEY_HINT_DIGITS, hex);
}

/* What persons follow from: the table of namespaces, the key of person ids, told by its hash, and
 * the rules, where they were others.
 * That key is one for all files that rotations made of one: so those are accepted, others not. The
 * public key is never rotated, so that its name belongs to it: under another name each value would
 * be another one. */
static int set_identity_meaning(struct settings *settings)
{
    struct buf *out = &settings->meanings[0];
    int r =
        settings_identity_text(settings->identify.namespaces, settings->identify.tenant_key, out);
    struct str key_id = settings->door.identifiers.key_id;
    bool public = config_secret(settings->config, OPTION_IDENTITY_KEY_FILE).size == 0;
    if (r == 0 && public && !str_equal(key_id, STR(KEY_ID_DEFAULT)))
        r = buf_appendf(out, " as %.*s", (int)key_id.size, key_id.data);
    if (r == 0)
        r = buf_appendf(out, "\n%s%s", EVIDENCE_MEANING, REACH_MEANING);
    settings->stages[0].meaning = buf_str(out);
    settings->stages[0].meaning_table = TABLE_IDENTITY_MEANING;
    return r;
}

/* A line, where there are any: without them stored state is what it was before they could be said.
 */
static int append_types(struct buf *out, const char *what, const struct str *types, size_t count)
{
    int r = count ? buf_appendf(out, "%s are", what) : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = buf_appendf(out, " %.*s", (int)types[i].size, types[i].data);
    return r < 0 || count == 0 ? r : buf_append(out, "\n", 1);
}

/* What sessions, touches, conversions and credits follow from. */
static int set_journey_meaning(struct settings *settings)
{
    const struct journey_config *journey = &settings->journey;
    struct buf *out = &settings->meanings[1];
    int r = buf_appendf(out,
        "journey %s\nsession timeout %lld ms\nlookback %lld days, of impressions %lld days\n"
        "half-life %lld days\nimpressions earn credit: %s\npath of %zu touches at most\n"
        "timeline of %lld events at most\nconversions are",
        journey->reset ? "reset" : "reuse",
        (long long)(journey->session_timeout_micros / MICROS_PER_MS),
        (long long)(journey->lookback_micros / TIME_MICROS_PER_DAY),
        (long long)(journey->lookback_impression_micros / TIME_MICROS_PER_DAY),
        (long long)(journey->rules.half_life_micros / TIME_MICROS_PER_DAY),
        journey->impressions_earn_credit ? "yes" : "no", journey->path_touches_max,
        (long long)journey->timeline_events_max);
    for (size_t i = 0; r == 0 && i < journey->conversion_types_count; i++)
        r = buf_appendf(out, " %.*s", (int)journey->conversion_types[i].size,
            journey->conversion_types[i].data);
    if (r == 0)
        r = buf_append(out, "\n", 1);
    if (r == 0)
        r = append_types(out, "leads", journey->lead_types, journey->lead_types_count);
    if (r == 0)
        r = append_types(
            out, "opportunities", journey->opportunity_types, journey->opportunity_types_count);
    if (r == 0)
        r = set_models_meaning(settings, out);
    settings->stages[1].meaning = buf_str(out);
    settings->stages[1].meaning_table = TABLE_JOURNEY_MEANING;
    return r;
}

int settings_open(struct settings *settings, const struct config *config)
{
    *settings = (struct settings){.config = config};
    set_log(settings);
    int r = set_door(settings);
    if (r < 0)
        return r;
    set_journey(settings);
    r = set_models(settings);
    if (r == 0)
        r = set_steps(settings);
    if (r < 0)
        return r;
    identify_stage(&settings->stages[0], &settings->identify);
    journey_stage(&settings->stages[1], &settings->journey);
    r = set_identity_meaning(settings);
    return r < 0 ? r : set_journey_meaning(settings);
}

int settings_open_plan(struct settings *settings)
{
    const char *dir = config_path(settings->config, OPTION_PLAN_DIR);
    CLEANUP(buf_free) struct buf message = {0};
    CLEANUP(plan_files_free) struct plan_files *files = NULL;
    settings->door.plan_mode = config_plan_of(config_text(settings->config, OPTION_PLAN_MODE));
    if (!*dir)
        return 0;
    int r = plan_files_load(dir, &files, &message);
    if (r == ERR_CONFIG)
        (void)fprintf(stderr, "%.*s\n", (int)message.size, message.data);
    return r < 0 ? r : plan_new(&files, &settings->door.plan);
}

void settings_close(struct settings *settings)
{
    plan_free(&settings->door.plan);
    metrics_server_stop(&settings->server);
    steps_close(&settings->steps);
    schemas_close(settings);
    metrics_free(&settings->metrics);
    reload_release(&settings->reloaded);
    for (size_t i = 0; i < SETTINGS_STAGES; i++)
        buf_free(&settings->meanings[i]);
    arena_free(&settings->arena);
}

void settings_tell_damage(const struct settings *settings)
{
    const char *dir = config_path(settings->config, OPTION_DATA_DIR);
    (void)fprintf(stderr,
        "%s/state is damaged, of another version, or older than the tables.\n"
        "Nothing that was acknowledged is lost while %s/log is whole: move %s/state and the "
        "database\n(%s/tabiji.db unless configured) away, start again, and both are made anew.\n",
        dir, dir, dir, dir);
}

void settings_tell_difference(const struct settings *settings, struct str difference)
{
    (void)fprintf(stderr,
        "%s was built with other settings:\n%.*s"
        "Put the old settings back. Or, of [journey] and models: tabiji replay --from timelines; "
        "of "
        "[identity]: "
        "tabiji replay\n--into a new directory, and use that.\n",
        config_path(settings->config, OPTION_DATA_DIR), (int)difference.size, difference.data);
    if (memmem(difference.data, difference.size, "tenant key", sizeof "tenant key" - 1))
        (void)fprintf(stderr, "Of keys: key_id only names one; tabiji keys rotate lets another "
                              "follow the key of a file (tabiji keys new).\n");
}

void settings_tell_newer(const struct settings *settings, const char *why)
{
    (void)fprintf(stderr,
        "%s was written by another build of tabiji: this one does not know %s.\n"
        "All is left as it is. Use that build, or a newer one.\n",
        config_path(settings->config, OPTION_DATA_DIR), why[0] ? why : "its schemas");
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
