/* Rule models are credited as paths come; the rest is solved from the path set at the end. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"

static const char *const model_names[ATTRIBUTE_MODEL_COUNT] = {
    [PATH_RULE_FIRST] = "first",
    [PATH_RULE_LAST] = "last",
    [PATH_RULE_LAST_NON_DIRECT] = "last_non_direct",
    [PATH_RULE_LINEAR] = "linear",
    [PATH_RULE_TIME_DECAY] = "time_decay",
    [PATH_RULE_POSITION] = "position",
    [PATH_RULE_J_SHAPE] = "j_shape",
    [PATH_RULE_INVERSE_J] = "inverse_j",
    [PATH_RULE_W_SHAPE] = "w_shape",
    [PATH_RULE_FULL_PATH] = "full_path",
    [PATH_RULE_CUSTOM] = "custom",
    [ATTRIBUTE_PARTICIPATION] = "participation",
    [ATTRIBUTE_MARKOV] = "markov",
    [ATTRIBUTE_SHAPLEY] = "shapley",
    [ATTRIBUTE_SHAPLEY_ORDERED] = "shapley_ordered",
    [ATTRIBUTE_SHAPLEY_RATE] = "shapley_rate",
    [ATTRIBUTE_SHAPLEY_PATHS] = "shapley_paths",
    [ATTRIBUTE_SHAPLEY_PATHS_ORDERED] = "shapley_paths_ordered",
    [ATTRIBUTE_SHAO_LI] = "shao_li",
};

static const char *const column_names[COLUMN_COUNT] = {
    [COLUMN_PATH] = "path",
    [COLUMN_CONVERSIONS] = "conversions",
    [COLUMN_VALUE] = "value",
    [COLUMN_NULL] = "null",
    [COLUMN_CONVERTED] = "converted",
    [COLUMN_CUSTOMER] = "customer",
    [COLUMN_TIME] = "time",
    [COLUMN_CHANNEL] = "channel",
    [COLUMN_TYPE] = "type",
    [COLUMN_CURRENCY] = "currency",
    [COLUMN_LEAD] = "lead",
    [COLUMN_OPPORTUNITY] = "opportunity",
};

const char *attribute_model_name(int model)
{
    return model_names[model];
}

/* Short forms, and what others call them; without hyphens, underscores and blanks. */
static const struct {
    const char *name;
    int model;
} aliases[] = {
    {"firsttouch", PATH_RULE_FIRST},
    {"firstclick", PATH_RULE_FIRST},
    {"lasttouch", PATH_RULE_LAST},
    {"lastclick", PATH_RULE_LAST},
    {"lastnondirectclick", PATH_RULE_LAST_NON_DIRECT},
    {"lastnondirecttouch", PATH_RULE_LAST_NON_DIRECT},
    {"lineartouch", PATH_RULE_LINEAR},
    {"decay", PATH_RULE_TIME_DECAY},
    {"u", PATH_RULE_POSITION},
    {"ushape", PATH_RULE_POSITION},
    {"ushaped", PATH_RULE_POSITION},
    {"positionbased", PATH_RULE_POSITION},
    {"j", PATH_RULE_J_SHAPE},
    {"jshaped", PATH_RULE_J_SHAPE},
    {"inversejshape", PATH_RULE_INVERSE_J},
    {"inversejshaped", PATH_RULE_INVERSE_J},
    {"reversej", PATH_RULE_INVERSE_J},
    {"w", PATH_RULE_W_SHAPE},
    {"wshaped", PATH_RULE_W_SHAPE},
    {"full", PATH_RULE_FULL_PATH},
    {"z", PATH_RULE_FULL_PATH},
    {"zshaped", PATH_RULE_FULL_PATH},
    {"markovchain", ATTRIBUTE_MARKOV},
    {"shapleyvalue", ATTRIBUTE_SHAPLEY},
};

static bool same_model(struct str name, const char *known)
{
    size_t i = 0;
    for (;; i++, known++) {
        while (i < name.size && memchr("-_ ", name.data[i], 3))
            i++;
        while (*known == '_')
            known++;
        if (i == name.size || !*known)
            return i == name.size && !*known;
        if (tolower((unsigned char)name.data[i]) != *known)
            return false;
    }
}

int attribute_model_from_name(struct str name)
{
    for (int i = 0; i < ATTRIBUTE_MODEL_COUNT; i++)
        if (same_model(name, model_names[i]))
            return i;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (same_model(name, aliases[i].name))
            return aliases[i].model;
    return -1;
}

const char *attribute_column_name(enum attribute_column column)
{
    return column_names[column];
}

bool attribute_is_direct(const struct attribute_options *options, struct str channel)
{
    struct str usual = STR("direct");
    return str_equal(channel, options->direct) ||
           (channel.size == usual.size && strncasecmp(channel.data, usual.data, usual.size) == 0);
}

void attribute_bad_row(
    struct attribute_input *input, unsigned long long line, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(
        input->options->messages, "%s:%llu: %s: ", input->options->name, line, error_name(error));
    (void)vfprintf(input->options->messages, format, args);
    (void)fputc('\n', input->options->messages);
    va_end(args);
    input->bad++;
}

bool attribute_fits(const struct attribute_input *input, const struct path_count *counted)
{
    return input->set.amount.size + fabs(counted->value) <= PATH_SET_TOTAL_MAX;
}

int attribute_name_total(const struct attribute_input *input, unsigned long long line, int error)
{
    if (error == ERR_TOO_LARGE)
        (void)fprintf(input->options->messages,
            "%s:%llu: %s: with this row totals are over what can be counted exactly (2^53 - 1), or "
            "its path is over %zu touches\n",
            input->options->name, line, error_name(error), PATH_LENGTH_MAX);
    return error;
}

void attribute_input_free(struct attribute_input *input)
{
    path_set_free(&input->set);
    path_set_free(&input->sources);
    free(input->steps);
    free(input->times);
    free(input->places);
    buf_free(&input->name);
    for (size_t i = 0; i <= PATH_RULE_COUNT; i++)
        free(input->rules[i]);
    free(input->weights);
    free(input->channels);
    free(input->touches);
    free(input->marks);
    *input = (struct attribute_input){0};
}

/* Room for the channels that there are by now. */
static int grow_rules(struct attribute_input *input)
{
    size_t count = input->set.channels_count, room = input->rules_room;
    if (count <= room)
        return 0;
    while (room < count)
        room = room ? room * 2 : 64;
    for (size_t i = 0; i <= PATH_RULE_COUNT; i++) {
        struct tally *more = realloc(input->rules[i], room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        input->rules[i] = more;
        for (size_t k = input->rules_room; k < room; k++)
            more[k] = (struct tally){0};
    }
    uint8_t *marks = realloc(input->marks, room);
    if (!marks)
        return ERR_NO_MEMORY;
    memset(marks, 0, room);
    input->marks = marks;
    input->rules_room = room;
    return 0;
}

static int grow_path(struct attribute_input *input, size_t count)
{
    size_t room = input->path_room;
    if (count <= room)
        return 0;
    while (room < count)
        room = room ? room * 2 : 64;
    double *weights = realloc(input->weights, room * sizeof *weights);
    if (!weights)
        return ERR_NO_MEMORY;
    input->weights = weights;
    uint32_t *channels = realloc(input->channels, room * sizeof *channels);
    if (!channels)
        return ERR_NO_MEMORY;
    input->channels = channels;
    struct path_step *steps = realloc(input->steps, room * sizeof *steps);
    if (!steps)
        return ERR_NO_MEMORY;
    input->steps = steps;
    uint32_t *times = realloc(input->times, room * sizeof *times);
    if (!times)
        return ERR_NO_MEMORY;
    input->times = times;
    input->path_room = room;
    return 0;
}

/* ---- transforms ---- */

static bool renames(const struct attribute_input *input)
{
    return input->options->transform == PATH_TRANSFORM_FREQUENCY;
}

int attribute_channel(struct attribute_input *input, struct str name, uint32_t *out)
{
    return path_set_channel(renames(input) ? &input->sources : &input->set, name, out);
}

struct str attribute_channel_name(const struct attribute_input *input, uint32_t channel)
{
    return renames(input) ? input->sources.channels[channel] : input->set.channels[channel];
}

static int grow_places(struct attribute_input *input)
{
    size_t room = input->places_room;
    size_t count = renames(input) ? input->sources.channels_count : input->set.channels_count;
    if (count <= room)
        return 0;
    while (room < count)
        room = room ? room * 2 : 64;
    uint32_t *places = realloc(input->places, room * sizeof *places);
    if (!places)
        return ERR_NO_MEMORY;
    memset(places, 0, room * sizeof *places);
    input->places = places;
    input->places_room = room;
    return 0;
}

/* "Search" that was met twice becomes "Search(2)". */
static int rename_touches(struct attribute_input *input, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct str name = input->sources.channels[input->steps[i].channel];
        buf_clear(&input->name);
        r = buf_append_str(&input->name, name);
        if (r == 0)
            r = buf_appendf(&input->name, "(%lu)", (unsigned long)input->times[i]);
        if (r == 0)
            r = path_set_channel(&input->set, buf_str(&input->name), &input->steps[i].channel);
    }
    return r;
}

/* Into input->steps. */
static int transform(struct attribute_input *input, const struct path_step *touches, size_t *count)
{
    int r = grow_places(input);
    if (r < 0)
        return r;
    if (*count)
        memcpy(input->steps, touches, *count * sizeof *touches);
    *count = path_transform_apply(
        input->options->transform, input->steps, *count, input->places, input->times);
    return renames(input) ? rename_touches(input, *count) : 0;
}

/* ---- rules ---- */

static void credit_rule(struct attribute_input *input, enum path_rule rule,
    const struct path_step *touches, size_t count, const struct path_count *counted)
{
    struct tally *tally = input->rules[rule];
    const struct sum conversions = sum_exact(counted->conversions, 0);
    const struct sum value = path_count_amount(counted);
    const struct sum_part sum =
        path_rule_weights(rule, &input->options->rules, touches, count, input->weights);
    for (size_t i = 0; i < count; i++) {
        struct sum_part part = sum_part_of(input->weights[i], sum);
        sum_add_part(&tally[touches[i].channel].conversions, part, &conversions);
        sum_add_part(&tally[touches[i].channel].value, part, &value);
    }
}

/* All to every channel of the path. */
static void credit_participation(struct attribute_input *input, const struct path_step *touches,
    size_t count, const struct path_count *counted)
{
    struct tally *tally = input->rules[ATTRIBUTE_PARTICIPATION];
    const struct sum value = path_count_amount(counted);
    for (size_t i = 0; i < count; i++) {
        uint32_t channel = touches[i].channel;
        if (input->marks[channel])
            continue;
        input->marks[channel] = 1;
        sum_add(&tally[channel].conversions, counted->conversions, 0);
        sum_add_sum(&tally[channel].value, &value);
    }
    for (size_t i = 0; i < count; i++)
        input->marks[touches[i].channel] = 0;
}

static void credit_rules(struct attribute_input *input, const struct path_step *touches,
    size_t count, const struct path_count *counted)
{
    const struct attribute_options *options = input->options;
    bool done[PATH_RULE_COUNT + 1] = {false};
    for (size_t i = 0; i < options->models_count; i++) {
        int model = options->models[i];
        if (model > ATTRIBUTE_PARTICIPATION || done[model])
            continue;
        done[model] = true;
        if (model == ATTRIBUTE_PARTICIPATION)
            credit_participation(input, touches, count, counted);
        else
            credit_rule(input, (enum path_rule)model, touches, count, counted);
    }
}

int attribute_path(struct attribute_input *input, const struct path_step *touches, size_t count,
    const struct path_count *counted)
{
    int r = grow_path(input, count);
    if (r == 0 && input->options->transform != PATH_TRANSFORM_NONE) {
        r = transform(input, touches, &count);
        touches = input->steps;
    }
    if (r == 0)
        r = grow_rules(input);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        input->channels[i] = touches[i].channel;
    r = path_set_add(&input->set, input->channels, count, counted);
    if (r < 0)
        return r;
    if (count == 0) {
        const struct sum value = path_count_amount(counted);
        sum_add(&input->unattributed.conversions, counted->conversions, 0);
        sum_add_sum(&input->unattributed.value, &value);
    } else if (counted->conversions > 0 || counted->value != 0) {
        credit_rules(input, touches, count, counted);
    }
    return 0;
}
