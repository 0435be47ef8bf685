/* What needs all values: secrets from their files, sources ready for use. */
#include <errno.h>
#include <stdio.h>

#include "ingest/config/config_private.h"
#include "ingest/config/secret.h"
#include "schemas/conversion.avro.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/model_count.avro.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define FILE_SUFFIX "_file"
#define DIGEST_SIZE 32
#define MODEL_WEIGHT_MAX 1000

static int complain_path(
    struct str place, struct str origin, int error, struct config_problem *problem)
{
    if (error == ERR_NOT_FOUND)
        return config_complain(problem, "%.*s: %.*s: there is no CREDENTIALS_DIRECTORY",
            (int)origin.size, origin.data, (int)place.size, place.data);
    return config_complain(problem, "%.*s: the path is too long", (int)origin.size, origin.data);
}

int config_read_secret(struct config *config, struct str place, struct str origin,
    struct str *secret, struct config_problem *problem)
{
    char path[SECRET_PATH_SIZE];
    int r = secret_path(place, path);
    if (r < 0)
        return complain_path(place, origin, r, problem);
    CLEANUP(secret_wipe) struct buf bytes = {0};
    r = secret_read(place, &bytes);
    int reason = errno;
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return config_complain(problem, "%.*s: %s: %s", (int)origin.size, origin.data, path,
            r == ERR_IO && reason ? strerror(reason) : error_text(r));
    return value_copy(&config->arena, buf_str(&bytes), secret);
}

int config_check_private(struct str place, struct str origin, struct config_problem *problem)
{
    char path[SECRET_PATH_SIZE];
    int r = secret_path(place, path);
    if (r < 0)
        return complain_path(place, origin, r, problem);
    if (!secret_exposed(place))
        return 0; /* what cannot be read is named when it is */
    return config_complain(problem, "%.*s: %s may be read by others: chmod 600 %s",
        (int)origin.size, origin.data, path, path);
}

static int read_option_secrets(struct config *config, struct config_problem *problem)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct setting *setting = &config->settings[i];
        if (config_option((enum option_id)i)->type != OPTION_TYPE_SECRET ||
            setting->value.text.size == 0)
            continue;
        int r = i == OPTION_IDENTITY_KEY_FILE
                    ? config_check_private(setting->value.text, setting->origin, problem)
                    : 0;
        if (r == 0)
            r = config_read_secret(
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
            if (r == 0 && secret_of_kafka(name))
                r = config_check_private(pair->value, pair->origin, problem);
            if (r == 0)
                r = config_read_secret(config, pair->value, pair->origin, &content, problem);
            if (r < 0)
                return r;
            pair->file = pair->value;
            pair->key = name;
            pair->value = content;
        }
    return 0;
}

static int read_digests(struct config *config, const struct setting *setting, const char *key,
    const uint8_t (**out)[DIGEST_SIZE], struct config_problem *problem)
{
    uint8_t(*keys)[DIGEST_SIZE] =
        arena_alloc(&config->arena, (setting->value.items_count + 1) * DIGEST_SIZE);
    if (!keys)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < setting->value.items_count; i++)
        if (!hex_decode(setting->value.items[i], keys[i], DIGEST_SIZE))
            return config_complain(problem,
                "%.*s: %s is not 64 hex digits (printf %%s KEY | sha256sum)",
                (int)setting->origin.size, setting->origin.data, key);
    *out = (const uint8_t(*)[DIGEST_SIZE])keys;
    return 0;
}

/* Old keys and the end of theirs stand together. */
static int read_end(
    const struct named *source, struct config_source *out, struct config_problem *problem)
{
    const struct setting *until = &source->settings[SOURCE_OPTION_OLD_KEY_UNTIL];
    const struct setting *old = &source->settings[SOURCE_OPTION_OLD_KEY_SHA256];
    if (until->value.text.size == 0 && out->old_keys_count == 0)
        return 0;
    if (until->value.text.size == 0)
        return config_complain(problem, "%.*s: old_key_sha256 needs old_key_until",
            (int)old->origin.size, old->origin.data);
    if (time_parse(until->value.text, &out->old_keys_until_micros) < 0)
        return config_complain(problem, "%.*s: old_key_until is not a time as 2026-12-01T00:00:00Z",
            (int)until->origin.size, until->origin.data);
    return 0;
}

static int read_keys(struct config *config, const struct named *source, struct config_source *out,
    struct config_problem *problem)
{
    const struct setting *keys = &source->settings[SOURCE_OPTION_KEY_SHA256];
    const struct setting *old = &source->settings[SOURCE_OPTION_OLD_KEY_SHA256];
    out->keys_count = keys->value.items_count;
    out->old_keys_count = old->value.items_count;
    int r = read_digests(config, keys, "key_sha256", &out->keys, problem);
    if (r == 0)
        r = read_digests(config, old, "old_key_sha256", &out->old_keys, problem);
    return r < 0 ? r : read_end(source, out, problem);
}

static unsigned protocols_of(const struct value *value)
{
    static const struct {
        struct str name;
        unsigned protocol;
    } known[] = {{STR_INIT("native"), SOURCE_PROTOCOL_NATIVE},
        {STR_INIT("segment"), SOURCE_PROTOCOL_SEGMENT},
        {STR_INIT("rudder"), SOURCE_PROTOCOL_SEGMENT}, /* sends the same to the same paths */
        {STR_INIT("snowplow"), SOURCE_PROTOCOL_SNOWPLOW}, {STR_INIT("ga4"), SOURCE_PROTOCOL_GA4},
        {STR_INIT("webhook"), SOURCE_PROTOCOL_WEBHOOK}};
    unsigned protocols = 0;
    for (size_t i = 0; i < value->items_count; i++)
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            protocols |= str_equal(value->items[i], known[k].name) ? known[k].protocol : 0;
    return protocols;
}

static enum config_event_time event_time_of(const struct value *value)
{
    if (str_equal(value->text, STR("corrected")))
        return EVENT_TIME_CORRECTED;
    return str_equal(value->text, STR("verbatim")) ? EVENT_TIME_VERBATIM : EVENT_TIME_USUAL;
}

enum config_plan config_plan_of(struct str word)
{
    return str_equal(word, STR("strict")) ? PLAN_STRICT
           : str_equal(word, STR("warn")) ? PLAN_WARN
           : str_equal(word, STR("off"))  ? PLAN_OFF
                                          : PLAN_USUAL;
}

/* The source before `count` that has this application id, or NULL. */
static const struct config_source *app_owner(
    const struct config_source *sources, size_t count, struct str app_id)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sources[i].app_ids_count; k++)
            if (str_equal(sources[i].app_ids[k], app_id))
                return &sources[i];
    return NULL;
}

/* An application id says whose an event is: one source alone may have it. */
static int check_app_ids(const struct config_source *sources, size_t count, struct str origin,
    struct config_problem *problem)
{
    const struct config_source *source = &sources[count];
    for (size_t i = 0; i < source->app_ids_count; i++) {
        struct str app_id = source->app_ids[i];
        const struct config_source *owner = app_owner(sources, count, app_id);
        if (owner)
            return config_complain(problem, "%.*s: app id \"%.*s\" is [source %.*s]'s already",
                (int)origin.size, origin.data, (int)app_id.size, app_id.data, (int)owner->name.size,
                owner->name.data);
    }
    return 0;
}

/* "SCHEME://HOST[:PORT]" as browsers write it, the host perhaps "*.HOST"; or "null". Source: RFC
 * 6454, 6.2. */
static bool origin_valid(struct str origin)
{
    const char *mark = memmem(origin.data, origin.size, "://", 3);
    if (!mark)
        return str_equal(origin, STR("null"));
    size_t host = (size_t)(mark + 3 - origin.data);
    bool wild = str_starts_with(str_make(mark + 3, origin.size - host), STR("*."));
    for (size_t i = host + (wild ? 2 : 0); i < origin.size; i++)
        if (origin.data[i] <= ' ' || strchr("/?#*@", origin.data[i]))
            return false;
    return mark != origin.data && origin.size > host + (wild ? 2 : 0);
}

/* What would never match, or limits nothing, is a mistake. */
static int check_limits(const struct named *source, struct config_problem *problem)
{
    const struct setting *origins = &source->settings[SOURCE_OPTION_ORIGINS];
    const struct setting *burst = &source->settings[SOURCE_OPTION_BURST];
    for (size_t i = 0; i < origins->value.items_count; i++) {
        struct str item = origins->value.items[i];
        if (!origin_valid(item))
            return config_complain(problem,
                "%.*s: \"%.*s\" is not a web origin: SCHEME://HOST or SCHEME://HOST:PORT, without "
                "a "
                "path",
                (int)origins->origin.size, origins->origin.data, (int)item.size, item.data);
    }
    if (burst->value.number && !source->settings[SOURCE_OPTION_RATE].value.number)
        return config_complain(problem, "%.*s: burst is of a source with a rate",
            (int)burst->origin.size, burst->origin.data);
    return 0;
}

static int make_sources(struct config *config, struct config_problem *problem)
{
    const struct named_list *sources = &config->named[NAMED_SOURCE];
    struct config_source *ready = arena_alloc(&config->arena, (sources->count + 1) * sizeof *ready);
    if (!ready)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < sources->count; i++) {
        const struct named *source = sources->items[i];
        const struct setting *settings = source->settings;
        ready[i] = (struct config_source){
            .name = source->name,
            .origins = settings[SOURCE_OPTION_ORIGINS].value.items,
            .origins_count = settings[SOURCE_OPTION_ORIGINS].value.items_count,
            .app_ids = settings[SOURCE_OPTION_APP_IDS].value.items,
            .app_ids_count = settings[SOURCE_OPTION_APP_IDS].value.items_count,
            .protocols = protocols_of(&settings[SOURCE_OPTION_PROTOCOLS].value),
            .rate = settings[SOURCE_OPTION_RATE].value.number,
            .burst = settings[SOURCE_OPTION_BURST].value.number,
            .currency = settings[SOURCE_OPTION_CURRENCY].value.text,
            .currency_assumed = str_equal(settings[SOURCE_OPTION_CURRENCY].origin, STR("default")),
            .plan = config_plan_of(settings[SOURCE_OPTION_PLAN].value.text),
            .enabled = settings[SOURCE_OPTION_ENABLED].value.number != 0,
            .trusted_channel = settings[SOURCE_OPTION_TRUSTED_CHANNEL].value.number != 0,
            .is_operator = settings[SOURCE_OPTION_OPERATOR].value.number != 0,
            .refuses_evidence = settings[SOURCE_OPTION_EVIDENCE].value.number == 0,
            .event_time = event_time_of(&settings[SOURCE_OPTION_EVENT_TIME].value),
        };
        const struct setting *currency = &settings[SOURCE_OPTION_CURRENCY];
        if (money_exponent(currency->value.text) < 0)
            return config_complain(problem, "%.*s: \"%.*s\" is not an ISO 4217 currency",
                (int)currency->origin.size, currency->origin.data, (int)currency->value.text.size,
                currency->value.text.data);
        int r = check_app_ids(ready, i, settings[SOURCE_OPTION_APP_IDS].origin, problem);
        if (r == 0)
            r = check_limits(source, problem);
        if (r == 0)
            r = read_keys(config, source, &ready[i], problem);
        if (r == 0)
            r = config_finish_hook(config, source, &ready[i], problem);
        if (r < 0)
            return r;
    }
    config->ready = ready;
    return 0;
}

/* ---- models ---- */

/* "40:20:40". */
static bool read_weights(struct str text, uint32_t out[3])
{
    uint32_t number = 0;
    size_t digits = 0, part = 0;
    for (size_t i = 0; i <= text.size; i++) {
        char c = i < text.size ? text.data[i] : ':';
        if (c >= '0' && c <= '9' && digits < 4) {
            number = number * 10 + (uint32_t)(c - '0');
            digits++;
        } else if (c == ':' && digits && part < 3 && number <= MODEL_WEIGHT_MAX) {
            out[part++] = number;
            number = 0;
            digits = 0;
        } else {
            return false;
        }
    }
    return part == 3 && out[0] + out[1] + out[2] > 0;
}

/* Options that only one kind has. */
static int check_own(
    const struct named *section, const struct config_model *model, struct config_problem *problem)
{
    static const struct {
        enum model_option_id option;
        const char *key, *kind;
    } own[] = {
        {MODEL_OPTION_ORDER, "order", "markov"},
        {MODEL_OPTION_NULL, "null", "markov"},
        {MODEL_OPTION_HALF_LIFE_DAYS, "half_life_days", "time_decay"},
        {MODEL_OPTION_WEIGHTS, "weights", "custom"},
    };
    const bool differs[] = {model->order != 1, model->ignore_nulls, model->half_life_days != 0,
        model->weights[0] != 1 || model->weights[1] != 1 || model->weights[2] != 1};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        const struct setting *setting = &section->settings[own[i].option];
        if (differs[i] && !str_equal(model->kind, str_of(own[i].kind)))
            return config_complain(problem, "%.*s: %s is of %s, not of %.*s",
                (int)setting->origin.size, setting->origin.data, own[i].key, own[i].kind,
                (int)model->kind.size, model->kind.data);
    }
    const struct setting *bootstrap = &section->settings[MODEL_OPTION_BOOTSTRAP];
    if (model->bootstrap && rule_model_from_name(model->kind) >= 0)
        return config_complain(problem, "%.*s: bootstrap is of models that are solved, not of %.*s",
            (int)bootstrap->origin.size, bootstrap->origin.data, (int)model->kind.size,
            model->kind.data);
    return 0;
}

/* Models by milestones are nothing where none is reached. */
static int check_milestones(
    const struct config *config, struct str kind, struct str origin, struct config_problem *problem)
{
    if ((!str_equal(kind, STR("w_shape")) && !str_equal(kind, STR("full_path"))) ||
        config->settings[OPTION_JOURNEY_LEAD_TYPES].value.items_count ||
        config->settings[OPTION_JOURNEY_OPPORTUNITY_TYPES].value.items_count)
        return 0;
    return config_complain(problem,
        "%.*s: %.*s needs [journey] lead_types or opportunity_types: event types by which these "
        "are reached",
        (int)origin.size, origin.data, (int)kind.size, kind.data);
}

/* Within what the journey keeps of a path. */
static int check_window(const struct config *config, const struct named *section,
    const struct config_model *model, struct config_problem *problem)
{
    const struct setting *lookback = &section->settings[MODEL_OPTION_LOOKBACK_DAYS];
    const struct setting *journey = &section->settings[MODEL_OPTION_JOURNEY];
    int64_t most = config->settings[OPTION_JOURNEY_LOOKBACK_DAYS].value.number;
    bool resets = str_equal(config->settings[OPTION_JOURNEY_JOURNEY].value.text, STR("reset"));
    if (model->lookback_days > most)
        return config_complain(problem,
            "%.*s: lookback_days = %lld is over the %lld of [journey], beyond which paths keep "
            "nothing",
            (int)lookback->origin.size, lookback->origin.data, (long long)model->lookback_days,
            (long long)most);
    if (!model->reset && resets && !str_equal(journey->origin, STR("default")))
        return config_complain(problem,
            "%.*s: journey = reuse needs [journey] journey = reuse, since paths are cut else",
            (int)journey->origin.size, journey->origin.data);
    return 0;
}

static int check_model(
    const struct named *section, struct config_model *model, struct config_problem *problem)
{
    int rule = rule_model_from_name(model->name);
    const struct setting *weights = &section->settings[MODEL_OPTION_WEIGHTS];
    if (rule >= 0 && rule < RULE_MODEL_W_SHAPE)
        return config_complain(problem,
            "[model %.*s]: that is the name of a rule model that is credited by anyway",
            (int)model->name.size, model->name.data);
    bool own = str_equal(model->name, model->kind);
    if ((rule >= 0 && !own) ||
        (model_kind_from_name(model->name) >= 0 && rule_model_from_name(model->kind) >= 0))
        return config_complain(problem, "[model %.*s]: that is the name of a kind, not of a %.*s",
            (int)model->name.size, model->name.data, (int)model->kind.size, model->kind.data);
    if (!read_weights(weights->value.text, model->weights))
        return config_complain(problem,
            "%.*s: weights are FIRST:MIDDLE:LAST, whole numbers to %d, not all 0, not \"%.*s\"",
            (int)weights->origin.size, weights->origin.data, MODEL_WEIGHT_MAX,
            (int)weights->value.text.size, weights->value.text.data);
    return check_own(section, model, problem);
}

/* One of [attribution] models: its kind's defaults, unless a section has its name. */
static int add_default(struct config *config, struct str kind, struct config_problem *problem)
{
    const struct named_list *sections = &config->named[NAMED_MODEL];
    const struct setting *setting = &config->settings[OPTION_ATTRIBUTION_MODELS];
    for (size_t i = 0; i < sections->count; i++)
        if (str_equal(sections->items[i]->name, kind))
            return 0;
    for (size_t i = 0; i < config->models_count; i++)
        if (str_equal(config->models[i].name, kind))
            return config_complain(problem, "%.*s: \"%.*s\" stands twice in attribution.models",
                (int)setting->origin.size, setting->origin.data, (int)kind.size, kind.data);
    int r = check_milestones(config, kind, setting->origin, problem);
    if (r < 0)
        return r;
    config->models[config->models_count++] =
        (struct config_model){.name = kind, .kind = kind, .order = 1, .weights = {1, 1, 1}};
    return 0;
}

/* A digit, or "auto". */
static int order_of(struct str text)
{
    return text.data[0] == 'a' ? 0 : text.data[0] - '0';
}

static int make_models(struct config *config, struct config_problem *problem)
{
    const struct named_list *sections = &config->named[NAMED_MODEL];
    const struct value *defaults = &config->settings[OPTION_ATTRIBUTION_MODELS].value;
    config->models_count = 0;
    config->models = arena_alloc(
        &config->arena, (defaults->items_count + sections->count + 1) * sizeof *config->models);
    int r = config->models ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < defaults->items_count; i++)
        r = add_default(config, defaults->items[i], problem);
    for (size_t i = 0; r == 0 && i < sections->count; i++) {
        const struct named *section = sections->items[i];
        const struct setting *settings = section->settings;
        struct config_model *model = &config->models[config->models_count++];
        *model = (struct config_model){
            .name = section->name,
            .kind = settings[MODEL_OPTION_KIND].value.text,
            .order = order_of(settings[MODEL_OPTION_ORDER].value.text),
            .bootstrap = settings[MODEL_OPTION_BOOTSTRAP].value.number,
            .seed = settings[MODEL_OPTION_SEED].value.number,
            .ignore_nulls = str_equal(settings[MODEL_OPTION_NULL].value.text, STR("ignore")),
            .conversion_types = settings[MODEL_OPTION_CONVERSION_TYPES].value.items,
            .conversion_types_count = settings[MODEL_OPTION_CONVERSION_TYPES].value.items_count,
            .lookback_days = settings[MODEL_OPTION_LOOKBACK_DAYS].value.number,
            .reset = str_equal(settings[MODEL_OPTION_JOURNEY].value.text, STR("reset")),
            .half_life_days = settings[MODEL_OPTION_HALF_LIFE_DAYS].value.number,
        };
        r = check_model(section, model, problem);
        if (r == 0)
            r = check_window(config, section, model, problem);
        if (r == 0)
            r = check_milestones(config, model->kind, settings[MODEL_OPTION_KIND].origin, problem);
    }
    return r;
}

size_t config_models(const struct config *config, const struct config_model **models)
{
    *models = config->models;
    return config->models_count;
}

/* An address is shown by dumps and messages, so it holds no password; nor is it repeated here. */
static int check_urls(const struct config *config, struct config_problem *problem)
{
    const struct setting *setting = &config->settings[OPTION_REGISTRY_URL];
    for (size_t i = 0; i < setting->value.items_count; i++) {
        struct str url = setting->value.items[i];
        const char *host = memmem(url.data, url.size, "://", 3);
        size_t left = host ? url.size - (size_t)(host + 3 - url.data) : 0;
        const char *at = left ? memchr(host + 3, '@', left) : NULL;
        const char *slash = left ? memchr(host + 3, '/', left) : NULL;
        if (at && (!slash || at < slash))
            return config_complain(problem,
                "%.*s: a url of [registry] holds credentials: they belong into auth_file",
                (int)setting->origin.size, setting->origin.data);
    }
    return 0;
}

int config_finish(struct config *config, struct config_problem *problem)
{
    int r = check_urls(config, problem);
    if (r == 0)
        r = read_option_secrets(config, problem);
    if (r == 0)
        r = read_verbatim_secrets(config, problem);
    if (r == 0)
        r = make_sources(config, problem);
    if (r == 0)
        r = make_models(config, problem);
    return r;
}

size_t config_sources(const struct config *config, const struct config_source **sources)
{
    *sources = config->ready;
    return config->ready ? config->named[NAMED_SOURCE].count : 0;
}

const struct config_source *config_source(const struct config *config, struct str name)
{
    for (size_t i = 0; config->ready && i < config->named[NAMED_SOURCE].count; i++)
        if (str_equal(config->ready[i].name, name))
            return &config->ready[i];
    return NULL;
}
