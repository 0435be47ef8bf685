#include "deploy/verb/models.h"

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
        if (options->models_count == ATTRIBUTE_MODELS_MAX)
            return verb_usage(call, "too many models");
        options->models[options->models_count++] = model;
    }
    return options->models_count ? 0 : verb_usage(call, "--model needs a name");
}
