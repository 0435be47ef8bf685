/* Solves the models that need all paths, and writes rows: by model as asked for, then by channel in
 * the order in which the input has them. */
#include <math.h>
#include <stdlib.h>

#include "deploy/attribute/attribute.h"
#include "deploy/attribute/text.h"
#include "deploy/render.h"
#include "enrich/attribution/model_interval.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define STATE_SEPARATOR " > "

struct answers {
    struct attribute_answer *items;
    size_t count, room;
};

static void free_answers(struct answers *answers)
{
    free(answers->items);
}

static int add_answer(struct answers *answers, const struct attribute_answer *answer)
{
    if (answers->count == answers->room) {
        size_t room = answers->room ? answers->room * 2 : 256;
        struct attribute_answer *more = realloc(answers->items, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        answers->items = more;
        answers->room = room;
    }
    answers->items[answers->count++] = *answer;
    return 0;
}

/* ---- solving ---- */

_Static_assert(ATTRIBUTE_SHAO_LI - ATTRIBUTE_MARKOV == MODEL_KIND_SHAO_LI - MODEL_KIND_MARKOV,
    "solved models stand in one order");

/* Returns 0 or MODEL_VALUE_FOLLOWS. */
static int solve_model(const struct attribute_options *options, int model, int order,
    struct path_set *set, struct attribute_answer *out, struct model_credit *unattributed)
{
    const struct model_options how = {
        .kind = (enum model_kind)(model - ATTRIBUTE_MARKOV + MODEL_KIND_MARKOV),
        .order = order,
        .ignore_nulls = options->ignore_nulls,
        .seed = options->seed,
        .samples = options->samples,
    };
    struct model_credit *credits = calloc(set->channels_count + 1, sizeof *credits);
    int follows = credits ? model_solve_paths(&how, set, credits, unattributed) : ERR_NO_MEMORY;
    int r = follows;
    if (r >= 0 && options->bootstrap)
        r = model_solve_intervals(&how, set, options->bootstrap, credits);
    for (size_t i = 0; r >= 0 && i < set->channels_count; i++) {
        out[i].conversions = credits[i].conversions;
        out[i].value = credits[i].value;
        out[i].effect = credits[i].effect;
        out[i].value_effect = credits[i].value_effect;
        out[i].low = credits[i].low;
        out[i].high = credits[i].high;
    }
    free(credits);
    return r < 0 ? r : follows;
}

/* ---- rows ---- */

static void name_answers(const struct path_set *set, int model, struct attribute_answer *out)
{
    for (size_t i = 0; i < set->channels_count; i++)
        out[i] = (struct attribute_answer){
            .channel = set->channels[i],
            .model = attribute_model_name(model),
            .effect = NAN,
            .value_effect = NAN,
            .low = NAN,
            .high = NAN,
        };
}

/* What a rule says, of channels and of none. */
static void take_rule(const struct attribute_input *input, int model, struct attribute_answer *out,
    struct model_credit *unattributed)
{
    const struct tally *tally = input->rules[model];
    for (size_t i = 0; i < input->set.channels_count && i < input->rules_room; i++) {
        out[i].conversions = sum_value(&tally[i].conversions);
        out[i].value = sum_value(&tally[i].value);
    }
    *unattributed =
        (struct model_credit){.conversions = sum_value(&input->unattributed.conversions),
            .value = sum_value(&input->unattributed.value)};
}

static int take_solved(struct attribute_input *input, int model, int order,
    struct attribute_answer *out, struct model_credit *unattributed)
{
    const struct attribute_options *options = input->options;
    int r = solve_model(options, model, order, &input->set, out, unattributed);
    if (r == MODEL_VALUE_FOLLOWS)
        (void)fprintf(options->messages,
            "%s: %s: the effects on value cancel out, which leaves its shares undefined: value is "
            "shared as conversions are\n",
            options->name, attribute_model_name(model));
    return r < 0 ? r : 0;
}

static int answer_model(
    struct attribute_input *input, int model, int order, struct answers *answers)
{
    struct path_set *set = &input->set;
    struct model_credit rest;
    struct attribute_answer *out = calloc(set->channels_count + 1, sizeof *out);
    int r = out ? 0 : ERR_NO_MEMORY;
    if (r < 0)
        return r;
    name_answers(set, model, out);
    if (model > ATTRIBUTE_PARTICIPATION)
        r = take_solved(input, model, order, out, &rest);
    else
        take_rule(input, model, out, &rest);
    for (size_t i = 0; r == 0 && i < set->channels_count; i++)
        r = add_answer(answers, &out[i]);
    free(out);
    if (r < 0 || (rest.conversions == 0 && rest.value == 0))
        return r;
    return add_answer(answers, &(struct attribute_answer){.channel = str_of(ATTRIBUTE_UNATTRIBUTED),
                                   .model = attribute_model_name(model),
                                   .conversions = rest.conversions,
                                   .value = rest.value,
                                   .effect = NAN,
                                   .value_effect = NAN,
                                   .low = NAN,
                                   .high = NAN,
                                   .unattributed = true});
}

/* ---- formats ---- */

#define COLUMNS 8
static const char *const columns[COLUMNS] = {"channel", "model", "credited_conversions",
    "credited_value", "removal_effect_conversions", "removal_effect_value", "low", "high"};

struct str attribute_channel_shown(struct str channel)
{
    return str_equal(channel, str_of(ATTRIBUTE_UNATTRIBUTED)) ? STR("\\" ATTRIBUTE_UNATTRIBUTED)
                                                              : channel;
}

static struct str name_of(const struct attribute_answer *answer)
{
    return answer->unattributed ? answer->channel : attribute_channel_shown(answer->channel);
}

static void numbers_of(const struct attribute_answer *answer, double out[COLUMNS - 2])
{
    const double all[COLUMNS - 2] = {answer->conversions, answer->value, answer->effect,
        answer->value_effect, answer->low, answer->high};
    memcpy(out, all, sizeof all);
}

static int line_csv(struct buf *out, const struct attribute_answer *answer)
{
    double numbers[COLUMNS - 2];
    numbers_of(answer, numbers);
    int r = text_append_csv(out, name_of(answer));
    if (r == 0)
        r = buf_appendf(out, ",%s", answer->model);
    for (size_t i = 0; r == 0 && i < COLUMNS - 2; i++) {
        r = buf_append(out, ",", 1);
        if (r == 0 && isfinite(numbers[i]))
            r = text_append_number(out, numbers[i]);
    }
    return r == 0 ? buf_append(out, "\n", 1) : r;
}

static int line_json(struct buf *out, const struct attribute_answer *answer)
{
    double numbers[COLUMNS - 2];
    numbers_of(answer, numbers);
    int r = buf_append_str(out, STR("{\"channel\":"));
    if (r == 0)
        r = json_write_text(out, name_of(answer));
    if (r == 0)
        r = buf_appendf(out, ",\"model\":\"%s\"", answer->model);
    for (size_t i = 0; r == 0 && i < COLUMNS - 2; i++) {
        r = buf_appendf(out, ",\"%s\":", columns[i + 2]);
        if (r == 0)
            r = isfinite(numbers[i]) ? text_append_number(out, numbers[i])
                                     : buf_append(out, "null", 4);
    }
    return r == 0 ? buf_append(out, "}", 1) : r;
}

static int write_lines(const struct answers *answers, bool json, FILE *out)
{
    CLEANUP(buf_free) struct buf line = {0};
    int r = 0;
    if (!json)
        for (size_t i = 0; r == 0 && i < COLUMNS; i++)
            r = buf_appendf(&line, "%s%s", columns[i], i + 1 < COLUMNS ? "," : "\n");
    else
        r = buf_append(&line, "[", 1);
    for (size_t i = 0; r == 0 && i < answers->count; i++) {
        if (json && i)
            r = buf_append(&line, ",\n", 2);
        if (r == 0)
            r = json ? line_json(&line, &answers->items[i]) : line_csv(&line, &answers->items[i]);
        if (r == 0)
            r = text_put(&line, out);
    }
    if (r == 0 && json)
        r = buf_append(&line, "]\n", 2);
    return r == 0 ? text_put(&line, out) : r;
}

static void cell(struct render_table *table, double number, int digits)
{
    char text[64];
    if (!isfinite(number)) {
        render_nothing(table);
        return;
    }
    text_fixed(text, sizeof text, number, digits);
    render_text(table, str_of(text));
}

static int write_table(const struct answers *answers, FILE *out)
{
    const struct render_column shown[COLUMNS] = {
        {columns[0], columns[0], RENDER_LEFT, 40},
        {columns[1], columns[1], RENDER_LEFT, 0},
        {columns[2], columns[2], RENDER_RIGHT, 0},
        {columns[3], columns[3], RENDER_RIGHT, 0},
        {columns[4], columns[4], RENDER_RIGHT, 0},
        {columns[5], columns[5], RENDER_RIGHT, 0},
        {columns[6], columns[6], RENDER_RIGHT, 0},
        {columns[7], columns[7], RENDER_RIGHT, 0},
    };
    struct render_table *table;
    bool effects = false, bounds = false;
    for (size_t i = 0; i < answers->count; i++) {
        effects |= isfinite(answers->items[i].effect);
        bounds |= isfinite(answers->items[i].low);
    }
    int r = render_new(&table, shown, bounds ? 8 : effects ? 6 : 4);
    if (r < 0)
        return r;
    for (size_t i = 0; i < answers->count; i++) {
        const struct attribute_answer *answer = &answers->items[i];
        render_text(table, name_of(answer));
        render_text(table, str_of(answer->model));
        cell(table, answer->conversions, 4);
        cell(table, answer->value, 4);
        if (effects || bounds) {
            cell(table, answer->effect, 6);
            cell(table, answer->value_effect, 6);
        }
        if (bounds) {
            cell(table, answer->low, 4);
            cell(table, answer->high, 4);
        }
    }
    r = render_write(table, false, out);
    render_free(&table);
    return r;
}

/* ---- transitions ---- */

/* A channel that is named as a state is not one. */
static int append_state(struct buf *out, struct str channel)
{
    static const struct str states[] = {
        STR_INIT("(start)"), STR_INIT("(conversion)"), STR_INIT("(null)")};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof states / sizeof *states; i++)
        if (str_equal(channel, states[i]))
            r = buf_append(out, "\\", 1);
    return r < 0 ? r : buf_append_str(out, channel);
}

static int name_state(const struct attribute_input *input, const uint32_t *channels, int order,
    int64_t state, struct buf *out)
{
    if (state < 0)
        return buf_append_str(out, state == MARKOV_START        ? STR("(start)")
                                   : state == MARKOV_CONVERSION ? STR("(conversion)")
                                                                : STR("(null)"));
    int r = 0;
    for (int i = 0; r == 0 && i < order; i++) {
        uint32_t channel = channels[state * order + i];
        if (channel == UINT32_MAX)
            break;
        if (i)
            r = buf_append_str(out, STR(STATE_SEPARATOR));
        if (r == 0)
            r = append_state(out, input->set.channels[channel]);
    }
    return r;
}

/* One transition: a line of CSV, an object of JSON, or cells. */
static int write_transition(const struct attribute_options *options, struct str from, struct str to,
    double chance, bool first, struct render_table *table, FILE *out)
{
    CLEANUP(buf_free) struct buf line = {0};
    if (options->format == ATTRIBUTE_TABLE) {
        render_text(table, from);
        render_text(table, to);
        cell(table, chance, 9);
        return 0;
    }
    bool json = options->format == ATTRIBUTE_JSON;
    int r = json ? buf_append_str(
                       &line, first ? STR("{\"channel_from\":") : STR(",\n{\"channel_from\":"))
                 : 0;
    if (r == 0)
        r = json ? json_write_text(&line, from) : text_append_csv(&line, from);
    if (r == 0)
        r = json ? buf_append_str(&line, STR(",\"channel_to\":")) : buf_append(&line, ",", 1);
    if (r == 0)
        r = json ? json_write_text(&line, to) : text_append_csv(&line, to);
    if (r == 0)
        r = json ? buf_append_str(&line, STR(",\"transition_probability\":"))
                 : buf_append(&line, ",", 1);
    if (r == 0)
        r = text_append_number(&line, chance);
    if (r == 0)
        r = json ? buf_append(&line, "}", 1) : buf_append(&line, "\n", 1);
    return r == 0 ? text_put(&line, out) : r;
}

static int list_transitions(const struct attribute_input *input, int order,
    const struct markov_transition *list, size_t count, const uint32_t *channels, FILE *out)
{
    static const struct render_column shown[] = {
        {"channel_from", "from", RENDER_LEFT, 60},
        {"channel_to", "to", RENDER_LEFT, 60},
        {"transition_probability", "probability", RENDER_RIGHT, 0},
    };
    CLEANUP(buf_free) struct buf from = {0}, to = {0};
    struct render_table *table;
    enum attribute_format format = input->options->format;
    int r = render_new(&table, shown, 3);
    if (r == 0 && format == ATTRIBUTE_CSV)
        (void)fputs("channel_from,channel_to,transition_probability\n", out);
    if (r == 0 && format == ATTRIBUTE_JSON)
        (void)fputs("[", out);
    for (size_t i = 0; r == 0 && i < count; i++) {
        buf_clear(&from);
        buf_clear(&to);
        r = name_state(input, channels, order, list[i].from, &from);
        if (r == 0)
            r = name_state(input, channels, order, list[i].to, &to);
        if (r == 0)
            r = write_transition(
                input->options, buf_str(&from), buf_str(&to), list[i].chance, i == 0, table, out);
    }
    if (r == 0 && format == ATTRIBUTE_JSON)
        (void)fputs("]\n", out);
    if (r == 0 && format == ATTRIBUTE_TABLE)
        r = render_write(table, false, out);
    render_free(&table);
    return r;
}

static int write_transitions(struct attribute_input *input, int order, FILE *out)
{
    const struct markov_options how = {.order = order,
        .ignore_nulls = input->options->ignore_nulls,
        .loops = input->options->loops};
    struct markov_transition *list;
    uint32_t *channels;
    size_t count;
    int r = markov_transitions(&input->set, &how, &list, &count, &channels);
    if (r < 0)
        return r;
    r = list_transitions(input, order, list, count, channels, out);
    free(list);
    free(channels);
    return r;
}

/* ---- */

/* Says of each order how well it tells journeys apart. */
static int choose_order(struct attribute_input *input, int *order)
{
    FILE *messages = input->options->messages;
    struct markov_score scores[MARKOV_ORDER_MAX];
    int count;
    int r = markov_choose_order(&input->set, order, scores, &count);
    if (r < 0)
        return r;
    (void)fprintf(messages, "%s: order %d (pAUC by order:", input->options->name, *order);
    for (int i = 0; i < count; i++)
        (void)fprintf(messages, " %d %.6f%s", i + 1, scores[i].pauc, i + 1 < count ? "," : "");
    (void)fputs("; pauc_100 by order:", messages);
    for (int i = 0; i < count; i++)
        (void)fprintf(
            messages, " %d %.6f%s", i + 1, scores[i].pauc_100, i + 1 < count ? "," : ")\n");
    return 0;
}

static int write_order(const struct attribute_options *options, int order,
    const struct markov_score *score, bool chosen, FILE *out)
{
    CLEANUP(buf_free) struct buf line = {0};
    bool json = options->format == ATTRIBUTE_JSON;
    char head[32];
    (void)snprintf(head, sizeof head, json ? "%s{\"order\":%d,\"pauc\":" : "%s%d,",
        json && order > 1 ? ",\n" : "", order);
    int r = buf_append_str(&line, str_of(head));
    if (r == 0)
        r = text_append_number(&line, score->pauc);
    if (r == 0)
        r = buf_append_str(&line, json ? STR(",\"pauc_100\":") : STR(","));
    if (r == 0)
        r = text_append_number(&line, score->pauc_100);
    if (r == 0 && json)
        r = buf_append_str(&line, chosen ? STR(",\"chosen\":true}") : STR(",\"chosen\":false}"));
    else if (r == 0)
        r = buf_append_str(&line, chosen ? STR(",1\n") : STR(",0\n"));
    return r == 0 ? text_put(&line, out) : r;
}

static int show_orders(const struct markov_score *scores, int count, int chosen, FILE *out)
{
    static const struct render_column shown[] = {
        {"order", "order", RENDER_RIGHT, 0},
        {"pauc", "pauc", RENDER_RIGHT, 0},
        {"pauc_100", "pauc_100", RENDER_RIGHT, 0},
        {"chosen", "chosen", RENDER_LEFT, 6},
    };
    struct render_table *table;
    int r = render_new(&table, shown, sizeof shown / sizeof *shown);
    for (int i = 0; r == 0 && i < count; i++) {
        cell(table, i + 1, 0);
        cell(table, scores[i].pauc, 6);
        cell(table, scores[i].pauc_100, 6);
        render_text(table, i + 1 == chosen ? STR("yes") : STR("no"));
    }
    if (r == 0)
        r = render_write(table, false, out);
    render_free(&table);
    return r;
}

static int write_orders(struct attribute_input *input, FILE *out)
{
    struct markov_score scores[MARKOV_ORDER_MAX];
    enum attribute_format format = input->options->format;
    int order, count;
    int r = markov_choose_order(&input->set, &order, scores, &count);
    if (r == 0 && format == ATTRIBUTE_TABLE)
        return show_orders(scores, count, order, out);
    if (r == 0)
        (void)fputs(format == ATTRIBUTE_JSON ? "[" : "order,pauc,pauc_100,chosen\n", out);
    for (int i = 0; r == 0 && i < count; i++)
        r = write_order(input->options, i + 1, &scores[i], i + 1 == order, out);
    if (r == 0 && format == ATTRIBUTE_JSON)
        (void)fputs("]\n", out);
    return r;
}

/* The order that markov has: given, or chosen and said. */
static int settle_order(struct attribute_input *input, int *order)
{
    const struct attribute_options *options = input->options;
    bool wanted = options->transitions;
    for (size_t i = 0; i < options->models_count; i++)
        wanted |= options->models[i] == ATTRIBUTE_MARKOV;
    *order = options->order;
    if (!wanted)
        return 0;
    if (*order == 0)
        return choose_order(input, order);
    if (*order == 1 || (size_t)*order <= input->set.longest)
        return 0;
    (void)fprintf(options->messages, "%s: order %d is beyond the data: the longest path has %zu\n",
        options->name, *order, input->set.longest);
    return ERR_CONFIG;
}

static int name_failure(const struct attribute_options *options, int model, int error)
{
    if (error == ERR_TOO_LARGE && model >= ATTRIBUTE_SHAPLEY)
        (void)fprintf(options->messages, "%s: %s cannot be solved: too many channels%s\n",
            options->name, attribute_model_name(model),
            model == ATTRIBUTE_SHAO_LI ? "" : " in one path (20 at most)");
    return error == ERR_TOO_LARGE ? ERR_CONFIG : error;
}

static int solve_all(struct attribute_input *input, int order, struct answers *answers)
{
    const struct attribute_options *options = input->options;
    int r = 0;
    for (size_t i = 0; r == 0 && i < options->models_count; i++) {
        r = answer_model(input, options->models[i], order, answers);
        if (r < 0)
            r = name_failure(options, options->models[i], r);
    }
    return r;
}

int attribute_solve(struct attribute_input *input, struct attribute_answer **out, size_t *count)
{
    struct answers answers = {0};
    int order;
    int r = settle_order(input, &order);
    if (r == 0)
        r = solve_all(input, order, &answers);
    if (r < 0) {
        free(answers.items);
        return r;
    }
    *out = answers.items;
    *count = answers.count;
    return 0;
}

static int write_answers(enum attribute_format format, const struct answers *answers, FILE *out)
{
    return format == ATTRIBUTE_TABLE ? write_table(answers, out)
                                     : write_lines(answers, format == ATTRIBUTE_JSON, out);
}

int attribute_write_answers(
    enum attribute_format format, const struct attribute_answer *answers, size_t count, FILE *out)
{
    CLEANUP(free_answers) struct answers rows = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_answer(&rows, &answers[i]);
    return r < 0 ? r : write_answers(format, &rows, out);
}

int attribute_write(struct attribute_input *input, FILE *out)
{
    const struct attribute_options *options = input->options;
    struct answers answers = {0};
    int order;
    if (options->paths)
        return attribute_write_paths(input, out);
    if (options->orders)
        return write_orders(input, out);
    if (!options->transitions) {
        int r = attribute_solve(input, &answers.items, &answers.count);
        if (r == 0)
            r = write_answers(options->format, &answers, out);
        free(answers.items);
        return r;
    }
    int r = settle_order(input, &order);
    return r < 0 ? r : write_transitions(input, order, out);
}
