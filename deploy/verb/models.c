#include "deploy/verb/models.h"

#include "schemas/error.h"
#include "schemas/nearest.h"

bool models_piece(struct str *rest, struct str *out)
{
    if (rest->size == 0)
        return false;
    const char *comma = memchr(rest->data, ',', rest->size);
    size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
    *out = str_make(rest->data, size);
    size_t taken = comma ? size + 1 : size;
    *rest = str_make(rest->data + taken, rest->size - taken);
    return true;
}

int models_unknown(const struct verb_call *call, const char *what, struct str name,
    const struct str *known, size_t count)
{
    struct str near = nearest_name(name, known, count);
    if (near.size)
        return verb_usage(call, "unknown %s \"%.*s\" (did you mean \"%.*s\"?)", what,
            (int)name.size, name.data, (int)near.size, near.data);
    return verb_usage(call, "unknown %s \"%.*s\"", what, (int)name.size, name.data);
}

static bool has_kind(const struct attribute_options *options, int kind)
{
    for (size_t i = 0; i < options->models_count; i++)
        if (options->models[i] == kind)
            return true;
    return false;
}

int models_read(const struct verb_call *call, struct attribute_options *options, const int *usual,
    size_t usual_count)
{
    const char *given = verb_value(call, "--model");
    struct str rest = str_of(given), name, known[ATTRIBUTE_MODEL_COUNT];
    for (size_t i = 0; !given && i < usual_count; i++)
        options->models[options->models_count++] = usual[i];
    for (int i = 0; i < ATTRIBUTE_MODEL_COUNT; i++)
        known[i] = str_of(attribute_model_name(i));
    while (models_piece(&rest, &name)) {
        int model = attribute_model_from_name(name);
        if (model < 0)
            return models_unknown(call, "model", name, known, ATTRIBUTE_MODEL_COUNT);
        if (has_kind(options, model))
            continue;
        if (options->models_count == ATTRIBUTE_MODELS_MAX)
            return verb_usage(call, "too many models");
        options->models[options->models_count++] = model;
    }
    return options->models_count ? 0 : verb_usage(call, "--model needs a name");
}

/* ---- of a database ---- */

#define KNOWN_MAX (ATTRIBUTE_MODEL_COUNT + MODELS_CONFIGURED_MAX)

static bool applies(const struct verb_call *call, const struct models_flag *flag, int kind)
{
    return kind >= flag->first && kind <= flag->last && verb_value(call, flag->flag);
}

/* "markov:order=3". */
static int name_kind(const struct verb_call *call, struct attribute_stored *stored, int kind,
    const struct models_flag *flags, size_t flags_count, const char **out)
{
    CLEANUP(buf_free) struct buf name = {0};
    struct str kept;
    int r = buf_append_str(&name, str_of(attribute_model_name(kind)));
    for (size_t i = 0; r == 0 && i < flags_count; i++)
        if (applies(call, &flags[i], kind))
            r = buf_appendf(&name, ":%s=%s", flags[i].flag + 2, verb_value(call, flags[i].flag));
    if (r == 0)
        r = buf_append(&name, "", 1);
    if (r == 0)
        r = arena_dup(&stored->arena, buf_str(&name), &kept);
    if (r == 0)
        *out = kept.data;
    return r;
}

static int name_configured(
    struct attribute_stored *stored, const struct model *model, const char **out)
{
    CLEANUP(buf_free) struct buf name = {0};
    struct str kept;
    int r = buf_appendf(&name, "%.*s%c", (int)model->name.size, model->name.data, 0);
    if (r == 0)
        r = arena_dup(&stored->arena, buf_str(&name), &kept);
    if (r == 0)
        *out = kept.data;
    return r;
}

static int want_configured(
    const struct verb_call *call, struct attribute_stored *stored, const struct model *model)
{
    for (size_t i = 0; i < stored->wanted_count; i++)
        if (stored->wanted[i].model == model)
            return 0;
    if (stored->wanted_count == ATTRIBUTE_MODELS_MAX)
        return verb_usage(call, "too many models");
    struct attribute_wanted *wanted = &stored->wanted[stored->wanted_count];
    *wanted = (struct attribute_wanted){.model = model};
    int r = name_configured(stored, model, &wanted->name);
    stored->wanted_count += r == 0;
    return r < 0 ? verb_fail(call, r, "models") : 0;
}

static int want(const struct verb_call *call, struct attribute_options *options,
    struct attribute_stored *stored, const struct models_flag *flags, size_t flags_count,
    struct str name)
{
    const struct model *model = attribute_stored_model(stored, name);
    int kind = attribute_model_from_name(name);
    bool changed = false;
    for (size_t i = 0; kind >= 0 && i < flags_count; i++)
        changed |= applies(call, &flags[i], kind);
    if (model && !changed)
        return want_configured(call, stored, model);
    if (kind < 0) {
        struct str known[KNOWN_MAX];
        size_t count = 0;
        for (int i = 0; i < ATTRIBUTE_MODEL_COUNT; i++)
            known[count++] = str_of(attribute_model_name(i));
        for (size_t i = 0; i < stored->models_count; i++)
            known[count++] = stored->models[i].name;
        return models_unknown(call, "model", name, known, count);
    }
    if (has_kind(options, kind))
        return 0;
    if (stored->wanted_count == ATTRIBUTE_MODELS_MAX ||
        options->models_count == ATTRIBUTE_MODELS_MAX)
        return verb_usage(call, "too many models");
    struct attribute_wanted *wanted = &stored->wanted[stored->wanted_count++];
    *wanted = (struct attribute_wanted){.place = options->models_count};
    options->models[options->models_count++] = kind;
    int r = name_kind(call, stored, kind, flags, flags_count, &wanted->name);
    return r < 0 ? verb_fail(call, r, "models") : 0;
}

int models_read_stored(const struct verb_call *call, struct attribute_options *options,
    struct attribute_stored *stored, const struct models_flag *flags, size_t flags_count,
    const int *usual, size_t usual_count)
{
    const char *given = verb_value(call, "--model");
    struct str rest = str_of(given), name;
    int r = 0;
    for (size_t i = 0; r == 0 && !given && i < usual_count; i++)
        r = want(call, options, stored, flags, flags_count, str_of(attribute_model_name(usual[i])));
    for (size_t i = 0; r == 0 && !given && !usual && i < stored->models_count; i++)
        if (!model_is_rule(&stored->models[i]))
            r = want_configured(call, stored, &stored->models[i]);
    while (r == 0 && models_piece(&rest, &name))
        r = want(call, options, stored, flags, flags_count, name);
    if (r == 0 && given && stored->wanted_count == 0)
        return verb_usage(call, "--model needs a name");
    return r;
}
