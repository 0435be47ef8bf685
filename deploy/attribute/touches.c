/* Rules give parts of 1 by position, solved models by their fit; both become integers that are
 * split like the pipeline's own. */
#include <stdlib.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"

#define WEIGHT_UNIT 0x1p52
#define DISTANCE_SAID 1e-6 /* part of all conversions: below it is the fit's own error */

/* A path's channels say all that the model asks. */
static bool by_path(int model)
{
    return model != PATH_RULE_TIME_DECAY && model != PATH_RULE_W_SHAPE &&
           model != PATH_RULE_FULL_PATH && model != ATTRIBUTE_PARTICIPATION;
}

static int check_models(const struct attribute_options *options)
{
    for (size_t i = 0; i < options->models_count; i++) {
        int model = options->models[i];
        if (by_path(model))
            continue;
        (void)fprintf(options->messages, "%s: %s %s\n", options->name, attribute_model_name(model),
            model == ATTRIBUTE_PARTICIPATION ? "does not sum: it has no weights of touches"
                                             : "needs more of a touch than its channel");
        return ERR_CONFIG;
    }
    return 0;
}

static void tell_distance(
    const struct attribute_options *options, int model, const struct touch_fit *fit)
{
    if (fit->distance > DISTANCE_SAID)
        (void)fprintf(options->messages,
            "%s: %s: touches of %.4f %% of the conversions are of other channels than the model "
            "says: their paths leave no choice\n",
            options->name, attribute_model_name(model), fit->distance * 100);
}

static int fit_all(struct attribute_input *input, const struct attribute_answer *answers,
    size_t count, struct attribute_touches *out)
{
    const struct attribute_options *options = input->options;
    size_t channels = input->set.channels_count, at = 0;
    double *credits = malloc((channels + 1) * sizeof *credits);
    int r = credits ? 0 : ERR_NO_MEMORY;
    *out = (struct attribute_touches){.input = input};
    for (size_t i = 0; r == 0 && i < options->models_count; i++) {
        const struct attribute_answer *own = answers + at;
        at += channels;
        at += at < count && answers[at].unattributed;
        if (options->models[i] <= ATTRIBUTE_PARTICIPATION)
            continue;
        for (size_t k = 0; k < channels; k++)
            credits[k] = own[k].conversions;
        r = touch_fit_solve(&input->set, credits, &out->fits[i]);
        if (r == 0)
            tell_distance(options, options->models[i], &out->fits[i]);
    }
    free(credits);
    return r;
}

int attribute_touches_solve(struct attribute_input *input, struct attribute_touches *out)
{
    struct attribute_answer *answers = NULL;
    size_t count = 0;
    *out = (struct attribute_touches){.input = input};
    int r = check_models(input->options);
    if (r == 0)
        r = attribute_solve(input, &answers, &count);
    if (r == 0)
        r = fit_all(input, answers, count, out);
    free(answers);
    return r;
}

void attribute_touches_free(struct attribute_touches *touches)
{
    for (size_t i = 0; i < ATTRIBUTE_MODELS_MAX; i++)
        touch_fit_free(&touches->fits[i]);
    touch_room_free(&touches->room);
    credits_free(&touches->credits);
    free(touches->weights);
    free(touches->parts);
    free(touches->steps);
    *touches = (struct attribute_touches){0};
}

static int make_room(struct attribute_touches *touches, size_t count)
{
    size_t room = touches->length_max ? touches->length_max : 64;
    while (room < count)
        room *= 2;
    if (room == touches->length_max)
        return 0;
    free(touches->weights);
    free(touches->parts);
    free(touches->steps);
    touches->length_max = 0;
    touches->weights = malloc(room * sizeof *touches->weights);
    touches->parts = malloc(room * sizeof *touches->parts);
    touches->steps = calloc(room, sizeof *touches->steps);
    if (!touches->weights || !touches->parts || !touches->steps)
        return ERR_NO_MEMORY;
    touches->length_max = room;
    return 0;
}

/* The channel that touches had, of one that a transform named. */
static struct str source_of(const struct attribute_options *options, struct str channel)
{
    if (options->transform != PATH_TRANSFORM_FREQUENCY)
        return channel;
    while (channel.data[channel.size - 1] != '(')
        channel.size--;
    return str_make(channel.data, channel.size - 1);
}

static void weigh_by_rule(
    struct attribute_touches *touches, int rule, const uint32_t *channels, size_t count)
{
    const struct attribute_options *options = touches->input->options;
    for (size_t i = 0; i < count; i++)
        touches->steps[i] = (struct path_step){.channel = channels[i],
            .flags = attribute_is_direct(
                         options, source_of(options, touches->input->set.channels[channels[i]]))
                         ? PATH_STEP_DIRECT
                         : 0};
    const struct sum_part sum = path_rule_weights(
        (enum path_rule)rule, &options->rules, touches->steps, count, touches->parts);
    double unit = rule == PATH_RULE_CUSTOM ? WEIGHT_UNIT / sum.whole : 1; /* others are whole */
    for (size_t i = 0; i < count; i++)
        touches->weights[i] = (uint64_t)(touches->parts[i] * unit + 0.5);
}

/* What each weighs of all. */
static void take_parts(struct attribute_touches *touches, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)touches->weights[i];
    for (size_t i = 0; i < count; i++)
        touches->parts[i] = (double)touches->weights[i] / sum;
}

int attribute_touches_credit(struct attribute_touches *touches, size_t place,
    const uint32_t *channels, size_t count, int64_t revenue)
{
    int model = touches->input->options->models[place];
    int r = count > SPLIT_COUNT_MAX ? ERR_TOO_MANY : make_room(touches, count);
    if (r == 0 && count && model > ATTRIBUTE_PARTICIPATION)
        r = touch_fit_weights(
            &touches->fits[place], &touches->room, channels, count, touches->weights);
    else if (r == 0 && count)
        weigh_by_rule(touches, model, channels, count);
    if (r == 0)
        take_parts(touches, count);
    return r < 0 ? r
                 : credits_of_weights(
                       &touches->credits, RULE_MODEL_UNKNOWN, touches->weights, count, revenue);
}
