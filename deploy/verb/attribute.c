/* `tabiji attribute FILE`: attribution of a file, without a server and without state. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "deploy/attribute/attribute.h"
#include "deploy/settings.h"
#include "deploy/verb/models.h"
#include "deploy/verb/verbs.h"
#include "enrich/attribution/markov.h"
#include "enrich/attribution/model_interval.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define LOOKBACK_DAYS_DEFAULT 90
#define LOOKBACK_DAYS_MAX 36500
#define HALF_LIFE_DAYS_DEFAULT 7
#define SAMPLES_DEFAULT 2000
#define SAMPLES_MAX 100000000
#define NAME_SIZE_MAX 256
#define CHOICES_MAX 8

/* What is credited by where nothing is said. */
static const int models_default[] = {PATH_RULE_FIRST, PATH_RULE_LAST, PATH_RULE_LINEAR,
    PATH_RULE_POSITION, ATTRIBUTE_MARKOV, ATTRIBUTE_SHAPLEY};

static int read_columns(const struct verb_call *call, struct attribute_options *options,
    char room[COLUMN_COUNT][NAME_SIZE_MAX])
{
    struct str rest = str_of(verb_value(call, "--column")), piece, known[COLUMN_COUNT];
    for (int i = 0; i < COLUMN_COUNT; i++)
        known[i] = str_of(attribute_column_name((enum attribute_column)i));
    while (models_piece(&rest, &piece)) {
        const char *equals = memchr(piece.data, '=', piece.size);
        if (!equals)
            return verb_usage(
                call, "--column needs ROLE=NAME, not \"%.*s\"", (int)piece.size, piece.data);
        struct str role = str_make(piece.data, (size_t)(equals - piece.data));
        struct str name = str_make(equals + 1, piece.size - role.size - 1);
        int column = 0;
        while (column < COLUMN_COUNT && !str_equal(role, known[column]))
            column++;
        if (column == COLUMN_COUNT)
            return models_unknown(call, "role of a column", role, known, COLUMN_COUNT);
        if (name.size == 0 || name.size >= NAME_SIZE_MAX)
            return verb_usage(call, "--column %.*s= needs a name", (int)role.size, role.data);
        memcpy(room[column], name.data, name.size);
        room[column][name.size] = 0;
        options->columns[column] = room[column];
    }
    return 0;
}

/* A decimal flag within (0, max]. */
static int read_days(const struct verb_call *call, const char *flag, double max, double *days)
{
    const char *text = verb_value(call, flag);
    char *end;
    if (!text)
        return 0;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0) || !(value <= max))
        return verb_usage(call, "%s must be a number of days over 0, not \"%s\"", flag, text);
    *days = value;
    return 0;
}

static int read_choice(const struct verb_call *call, const char *flag, const char *const *words,
    size_t count, int *out)
{
    const char *text = verb_value(call, flag);
    struct str known[CHOICES_MAX];
    if (!text)
        return 0;
    for (size_t i = 0; i < count; i++) {
        known[i] = str_of(words[i]);
        if (strcmp(text, words[i]) == 0) {
            *out = (int)i;
            return 0;
        }
    }
    return models_unknown(call, flag, str_of(text), known, count);
}

/* FIRST:MIDDLE:LAST */
static int read_weights(const struct verb_call *call, struct path_rule_config *rules)
{
    const char *text = verb_value(call, "--weights");
    double *parts = rules->custom;
    if (!text)
        return 0;
    char *end;
    bool good = true;
    for (int i = 0; good && i < 3; i++) {
        parts[i] = strtod(text, &end);
        good = end != text && parts[i] >= 0 && isfinite(parts[i]) && *end == (i < 2 ? ':' : 0);
        text = end + 1;
    }
    if (!good || parts[0] + parts[1] + parts[2] <= 0)
        return verb_usage(call, "--weights must be FIRST:MIDDLE:LAST, such as 40:20:40");
    return 0;
}

static int read_order(const struct verb_call *call, struct attribute_options *options)
{
    const char *text = verb_value(call, "--order");
    long long order = 1;
    if (text && strcmp(text, "auto") == 0) {
        options->order = 0;
        return 0;
    }
    int r = verb_integer(call, "--order", 1, MARKOV_ORDER_MAX, &order);
    options->order = (int)order;
    return r;
}

static int read_window(const struct verb_call *call, struct attribute_options *options)
{
    static const char *const journeys[] = {"reuse", "reset"};
    const char *text = verb_value(call, "--lookback");
    double days = LOOKBACK_DAYS_DEFAULT, half_life = HALF_LIFE_DAYS_DEFAULT;
    int journey = 0;
    options->lookback_none = text && strcmp(text, "none") == 0;
    int r = options->lookback_none ? 0 : read_days(call, "--lookback", LOOKBACK_DAYS_MAX, &days);
    if (r == 0)
        r = read_days(call, "--half-life", LOOKBACK_DAYS_MAX, &half_life);
    if (r == 0)
        r = read_choice(call, "--journey", journeys, 2, &journey);
    options->lookback_micros = (int64_t)llround(days * (double)TIME_MICROS_PER_DAY);
    options->rules.half_life_micros = half_life * (double)TIME_MICROS_PER_DAY;
    options->reset = journey == 1;
    return r;
}

static int read_numbers(const struct verb_call *call, struct attribute_options *options)
{
    long long replicates = 0, seed = 0, samples = SAMPLES_DEFAULT;
    int r = verb_integer(call, "--bootstrap", 0, (long long)MODEL_REPLICATES_MAX, &replicates);
    if (r == 0)
        r = verb_integer(call, "--seed", 0, INT64_MAX, &seed);
    if (r == 0)
        r = verb_integer(call, "--samples", 1, SAMPLES_MAX, &samples);
    options->bootstrap = (size_t)replicates;
    options->seed = (uint64_t)seed;
    options->samples = (size_t)samples;
    return r;
}

static int read_words(const struct verb_call *call, struct attribute_options *options)
{
    static const char *const nulls[] = {"use", "ignore"};
    static const char *const formats[] = {"table", "csv", "json"};
    static const char *const values[] = {"converting", "all"};
    static const char *const transforms[PATH_TRANSFORM_COUNT] = {[PATH_TRANSFORM_NONE] = "none",
        [PATH_TRANSFORM_EXPOSURE] = "exposure",
        [PATH_TRANSFORM_UNIQUE] = "unique",
        [PATH_TRANSFORM_FIRST] = "first",
        [PATH_TRANSFORM_FREQUENCY] = "frequency"};
    int null = 0, value = 0, transform = 0;
    int format = call->json ? ATTRIBUTE_JSON : ATTRIBUTE_TABLE;
    int r = read_choice(call, "--null", nulls, 2, &null);
    if (r == 0)
        r = read_choice(call, "--value", values, 2, &value);
    if (r == 0)
        r = read_choice(call, "--transform", transforms, PATH_TRANSFORM_COUNT, &transform);
    if (r == 0)
        r = read_choice(call, "--format", formats, 3, &format);
    options->ignore_nulls = null == 1;
    options->unconverted = value == 1;
    options->transform = (enum path_transform)transform;
    options->format = (enum attribute_format)format;
    return r;
}

static int read_options(const struct verb_call *call, struct attribute_options *options,
    char columns[COLUMN_COUNT][NAME_SIZE_MAX])
{
    *options = (struct attribute_options){
        .separator = STR(">"),
        .rules = {.custom = {1, 1, 1}},
        .direct = STR("Direct"),
        .messages = stderr,
        .transitions = verb_switch(call, "--transitions"),
        .orders = verb_switch(call, "--orders"),
        .loops = verb_switch(call, "--loops"),
        .paths = verb_switch(call, "--paths"),
        .lead = str_of(verb_value(call, "--lead")),
        .opportunity = str_of(verb_value(call, "--opportunity")),
        .separator_given = verb_value(call, "--separator") != NULL,
        .window_given = verb_value(call, "--lookback") || verb_value(call, "--journey"),
    };
    if (verb_value(call, "--separator"))
        options->separator = str_of(verb_value(call, "--separator"));
    if (verb_value(call, "--direct"))
        options->direct = str_of(verb_value(call, "--direct"));
    if (options->separator.size == 0)
        return verb_usage(call, "--separator must not be empty");
    int r = read_columns(call, options, columns);
    if (r == 0)
        r = read_order(call, options);
    if (r == 0)
        r = read_window(call, options);
    if (r == 0)
        r = read_weights(call, &options->rules);
    if (r == 0)
        r = read_numbers(call, options);
    return r == 0 ? read_words(call, options) : r;
}

/* What a flag is a parameter of. Those up to --seed tell apart what is kept of stored journeys. */
static const struct models_flag flags_of_models[] = {
    {"--order", ATTRIBUTE_MARKOV, ATTRIBUTE_MARKOV},
    {"--null", ATTRIBUTE_MARKOV, ATTRIBUTE_MARKOV},
    {"--half-life", PATH_RULE_TIME_DECAY, PATH_RULE_TIME_DECAY},
    {"--weights", PATH_RULE_CUSTOM, PATH_RULE_CUSTOM},
    {"--samples", ATTRIBUTE_SHAPLEY_RATE, ATTRIBUTE_SHAPLEY_RATE},
    {"--bootstrap", ATTRIBUTE_MARKOV, ATTRIBUTE_SHAO_LI},
    {"--seed", ATTRIBUTE_MARKOV, ATTRIBUTE_SHAO_LI},
    {"--direct", PATH_RULE_LAST_NON_DIRECT, PATH_RULE_LAST_NON_DIRECT},
    {"--lead", PATH_RULE_W_SHAPE, PATH_RULE_FULL_PATH},
    {"--opportunity", PATH_RULE_W_SHAPE, PATH_RULE_FULL_PATH},
};
#define FLAGS_COUNT (sizeof flags_of_models / sizeof *flags_of_models)
#define FLAGS_STORED_COUNT 7

static bool asks_for(const struct attribute_options *options, int first, int last)
{
    if (options->orders)
        return false;
    if (options->transitions)
        return first <= ATTRIBUTE_MARKOV && ATTRIBUTE_MARKOV <= last;
    for (size_t i = 0; i < options->models_count; i++)
        if (options->models[i] >= first && options->models[i] <= last)
            return true;
    return false;
}

static void tell_idle(const char *flag, const char *why)
{
    (void)fprintf(stderr, "tabiji attribute: %s has no effect: %s\n", flag, why);
}

/* Says which flags nothing that is asked for has: scripts pass them to all models alike, people
 * misunderstand them. */
static void tell_idle_flags(const struct verb_call *call, const struct attribute_options *options)
{
    char why[128];
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        const struct models_flag *flag = &flags_of_models[i];
        if (!verb_value(call, flag->flag) || asks_for(options, flag->first, flag->last))
            continue;
        bool several = flag->last > flag->first;
        (void)snprintf(why, sizeof why, "it is of %s%s%s", attribute_model_name(flag->first),
            several ? " to " : "", several ? attribute_model_name(flag->last) : "");
        tell_idle(flag->flag, options->orders ? "--orders tries each order alone" : why);
    }
    if (verb_value(call, "--seed") && !options->bootstrap &&
        asks_for(options, ATTRIBUTE_MARKOV, ATTRIBUTE_SHAO_LI) &&
        !asks_for(options, ATTRIBUTE_SHAPLEY_RATE, ATTRIBUTE_SHAPLEY_RATE))
        tell_idle("--seed", "it is of --bootstrap and of shapley_rate beyond 24 channels");
    if (options->bootstrap && (options->paths || options->transitions))
        tell_idle("--bootstrap", "it gives intervals of channels");
    if ((options->transitions || options->orders) && verb_value(call, "--model"))
        tell_idle(
            "--model", options->orders ? "--orders is of markov" : "--transitions is of markov");
}

static int attribute(struct verb_call *call, const struct attribute_options *options, FILE *in)
{
    struct attribute_input input = {.options = options};
    int r = attribute_read(&input, in);
    if (r == 0)
        r = attribute_write(&input, stdout);
    unsigned long long bad = input.bad, rows = input.rows;
    attribute_input_free(&input);
    if (r == ERR_CONFIG || r == ERR_TOO_LARGE)
        return EXIT_USAGE; /* named already */
    if (r < 0)
        return verb_fail(call, r, "%s", options->name);
    if (bad)
        (void)fprintf(stderr, "tabiji attribute: %llu of %llu rows were left out\n", bad, rows);
    return bad ? EXIT_PARTIAL : EXIT_OK;
}

/* Whether the flags ask for nothing but what the pipeline counts. */
static int wants_counted(const struct verb_call *call, bool *wants)
{
    static const char *const flags[] = {"--order", "--null", "--bootstrap", "--lookback",
        "--journey", "--half-life", "--weights", "--samples", "--seed", "--transform"};
    *wants = verb_switch(call, "--save") && !verb_value(call, "--model");
    for (size_t i = 0; *wants && i < sizeof flags / sizeof *flags; i++)
        if (verb_value(call, flags[i]))
            return verb_usage(call,
                "%s goes with --model; --save alone solves the configured models ([model NAME])",
                flags[i]);
    if (*wants && verb_switch(call, "--orders"))
        return verb_usage(call, "--orders and --save: what is kept is of models");
    return *wants && verb_switch(call, "--transitions")
               ? verb_usage(call, "--transitions and --save: see the view v_model_transition")
               : 0;
}

static int say_failure(const char *path, const struct model_failure *failure)
{
    const char *why =
        failure->error == ERR_TOO_LARGE ? "too many channels or paths" : error_text(failure->error);
    (void)fprintf(stderr, "%s: %.*s cannot be solved%s%.*s: %s\n", path, (int)failure->model.size,
        failure->model.data, failure->currency.size ? " in " : "", (int)failure->currency.size,
        failure->currency.data, why);
    return 0;
}

/* Prints those in the currency that was asked for, or all, a currency after the other. */
static int write_answers(struct verb_call *call, const struct attribute_options *options,
    const struct model_answers *answers, const char *wanted)
{
    struct attribute_answer *rows = calloc(answers->count + 1, sizeof *rows);
    size_t count = 0;
    if (!rows)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < answers->count; i++) {
        const struct model_answer *answer = &answers->items[i];
        char *name = wanted && !str_equal(answer->currency, str_of(wanted))
                         ? NULL
                         : strndup(answer->model.data, answer->model.size);
        if (!name)
            continue;
        rows[count++] = (struct attribute_answer){answer->channel, name, answer->credit.conversions,
            answer->credit.value, answer->credit.effect, answer->credit.value_effect,
            answer->credit.low, answer->credit.high,
            str_equal(answer->channel, str_of(ATTRIBUTE_UNATTRIBUTED))};
    }
    int r = attribute_write_answers(options->format, rows, count, stdout);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)rows[i].model);
    free(rows);
    return r;
}

static int save_counted(
    struct verb_call *call, const struct attribute_options *options, const char *path)
{
    CLEANUP(model_answers_free) struct model_answers answers = {.count = 0};
    int r = attribute_save_counted(path, options, &answers);
    if (r == 0)
        r = write_answers(call, options, &answers, verb_value(call, "--currency"));
    for (size_t i = 0; r == 0 && i < answers.failures_count; i++)
        r = say_failure(path, &answers.failures[i]);
    if (r < 0)
        return verb_fail(call, r, "%s", path);
    return answers.failures_count ? EXIT_PARTIAL : EXIT_OK;
}

/* Those that are wanted and could not be solved. */
static size_t say_failures(
    const struct attribute_stored *stored, const char *path, const char *currency)
{
    size_t said = 0;
    for (size_t i = 0; i < stored->counted.failures_count; i++) {
        const struct model_failure *failure = &stored->counted.failures[i];
        for (size_t k = 0; k < stored->wanted_count; k++) {
            const struct model *model = stored->wanted[k].model;
            if (!model || !str_equal(model->name, failure->model) ||
                !str_equal(failure->currency, str_of(currency)))
                continue;
            (void)say_failure(path, failure);
            said++;
        }
    }
    return said;
}

/* What was counted has no paths, so what is said of paths is of kinds of models. */
static bool needs_paths(const struct attribute_options *options)
{
    return options->paths || options->transitions || options->orders ||
           options->transform != PATH_TRANSFORM_NONE || options->unconverted;
}

/* Reads, solves and writes; with --save keeps the rows too. */
static int attribute_database(struct verb_call *call, struct attribute_options *options,
    struct attribute_stored *stored, const char *path)
{
    struct attribute_input input = {.options = options};
    char currency[ATTRIBUTE_CURRENCY_SIZE] = "";
    const char *wanted = verb_value(call, "--currency");
    size_t failures = 0;
    (void)snprintf(currency, sizeof currency, "%s", wanted ? wanted : "");
    int r = attribute_read_database(&input, path, currency);
    if (r == 0 && needs_paths(options)) {
        r = attribute_write(&input, stdout);
    } else if (r == 0) {
        r = attribute_stored_answer(stored, &input, path, currency);
        if (r == 0)
            r = write_answers(call, options, &stored->answers, NULL);
        failures = say_failures(stored, path, currency);
    }
    if (r == 0 && verb_switch(call, "--save"))
        r = attribute_stored_save(stored, options, path);
    attribute_input_free(&input);
    if (r == ERR_CONFIG || r == ERR_TOO_LARGE)
        return EXIT_USAGE; /* named already */
    return r < 0 ? verb_fail(call, r, "%s", path) : failures ? EXIT_PARTIAL : EXIT_OK;
}

static int read_stored_models(
    struct verb_call *call, struct attribute_options *options, struct attribute_stored *stored)
{
    int r = needs_paths(options)
                ? models_read(
                      call, options, models_default, sizeof models_default / sizeof *models_default)
                : models_read_stored(call, options, stored, flags_of_models, FLAGS_STORED_COUNT,
                      models_default, sizeof models_default / sizeof *models_default);
    if (r == 0)
        tell_idle_flags(call, options);
    if (r == 0 && (options->lead.size || options->opportunity.size))
        tell_idle("--lead or --opportunity", "of stored touches [journey] says what they are");
    return r;
}

/* Refuses a configuration whose models are not those that the tables are of; one that says nothing
 * of models has nothing against them. */
static int check_configured(const struct verb_call *call, const struct attribute_stored *stored,
    const struct settings *settings, const char *path)
{
    const struct config_model *configured;
    size_t count = config_models(call->config, &configured);
    bool said = config_given(call->config, OPTION_ATTRIBUTION_MODELS);
    for (size_t i = 0; i < count; i++)
        said |= !str_equal(configured[i].name, configured[i].kind); /* a section */
    struct str name = attribute_stored_differs(stored, settings->models, count);
    if (!said || !name.size)
        return 0;
    (void)fprintf(stderr,
        "tabiji attribute: %s is of other models than the configuration: %.*s is not the same in "
        "both. Make it anew: tabiji replay --from timelines; or leave the configuration out\n",
        path, (int)name.size, name.data);
    return EXIT_USAGE;
}

static int check_currency(
    struct verb_call *call, const struct attribute_options *options, const char *path)
{
    const char *currency = verb_value(call, "--currency");
    int r = currency ? attribute_check_currency(options, path, currency) : 0;
    if (r == ERR_CONFIG)
        return EXIT_USAGE; /* named already */
    return r < 0 ? verb_fail(call, r, "%s", path) : 0;
}

static int run_stored(struct verb_call *call, struct attribute_options *options,
    const struct settings *settings, const char *path)
{
    struct attribute_stored stored;
    bool counted = false;
    int r = wants_counted(call, &counted);
    if (r == 0 && (verb_value(call, "--lookback") || verb_value(call, "--journey")))
        r = verb_usage(call,
            "--lookback and --journey go with FILE; stored paths are as [journey] says, and "
            "[model NAME] may see less of them");
    if (r)
        return r;
    r = attribute_stored_open(&stored, path);
    r = r < 0 ? verb_fail(call, r, "%s", path) : check_configured(call, &stored, settings, path);
    if (r == 0)
        r = check_currency(call, options, path);
    if (r == 0 && !counted)
        r = read_stored_models(call, options, &stored);
    if (r == 0 && counted)
        r = save_counted(call, options, path);
    else if (r == 0)
        r = attribute_database(call, options, &stored, path);
    attribute_stored_close(&stored);
    return r;
}

static int run_database(struct verb_call *call, struct attribute_options *options)
{
    struct settings settings;
    const char *path = "";
    int r = settings_open(&settings, call->config);
    if (r == 0)
        r = settings_database(&settings, &path);
    options->name = path;
    r = r < 0 ? verb_fail(call, r, "configuration") : run_stored(call, options, &settings, path);
    settings_close(&settings);
    return r;
}

static int run(struct verb_call *call)
{
    struct attribute_options options;
    char columns[COLUMN_COUNT][NAME_SIZE_MAX];
    int r = read_options(call, &options, columns);
    if (r)
        return r;
    bool stored = verb_value(call, "--data") || verb_value(call, "--database");
    bool piped = !stored && call->arguments_count == 0 && !isatty(STDIN_FILENO);
    if (!piped && stored == (call->arguments_count > 0))
        return verb_usage(call, "needs FILE, or --data DIR for the journeys of a database");
    if (options.paths && options.transitions)
        return verb_usage(call, "--paths and --transitions are two answers: ask twice");
    if (options.orders && (options.paths || options.transitions))
        return verb_usage(call, "--orders and %s are two answers: ask twice",
            options.paths ? "--paths" : "--transitions");
    if (options.loops && !options.transitions)
        return verb_usage(call, "--loops goes with --transitions");
    if (stored && (options.unconverted || options.separator_given))
        return verb_usage(call, "%s goes with FILE, of paths",
            options.unconverted ? "--value all" : "--separator");
    if (verb_switch(call, "--save") && options.transform != PATH_TRANSFORM_NONE)
        return verb_usage(
            call, "--transform makes reports: what is kept is of the paths as they were");
    if (!stored && (verb_switch(call, "--save") || verb_value(call, "--currency")))
        return verb_usage(call, "--save and --currency go with --data");
    if (stored)
        return run_database(call, &options);
    r = models_read(call, &options, models_default, sizeof models_default / sizeof *models_default);
    if (r)
        return r;
    tell_idle_flags(call, &options);
    options.name = piped ? "-" : call->arguments[0];
    if (strcmp(options.name, "-") == 0)
        return attribute(call, &options, stdin);
    FILE *in = fopen(options.name, "r");
    if (!in) {
        bool absent = errno == ENOENT;
        return verb_end(call, absent ? EXIT_NOT_FOUND : EXIT_FAILED,
            error_name(absent ? ERR_NOT_FOUND : ERR_IO), "%s: %s", options.name, strerror(errno));
    }
    r = attribute(call, &options, in);
    (void)fclose(in);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "instead of FILE: the journeys of this data directory", "data.dir", false},
    {"--database", "FILE", "the same of this SQLite file", "sink.sqlite.path", false},
    {"--currency", "CODE", "of the conversions that count, where there are several", NULL, false},
    {"--save", NULL,
        "keep channels in model_channel, touches in model_credit (a run with flags of its own "
        "under "
        "a name that tells them, as markov:order=3); without --model: solve the configured models",
        NULL, false},
    {"--model", "NAME",
        "credit by this model, with --data also one of the configuration by its name; several: "
        "again, or in commas",
        NULL, true},
    {"--order", "K|auto", "order of markov, 1 to 6, or the one that tells journeys apart best (1)",
        NULL, false},
    {"--null", "use|ignore", "of markov: journeys that did not convert (use)", NULL, false},
    {"--lookback", "DAYS|none",
        "of rows that are touches: they count so long before a conversion (90)", NULL, false},
    {"--journey", "reuse|reset",
        "of rows that are touches: with reset a journey ends at each conversion (reuse)", NULL,
        false},
    {"--transform", "HOW",
        "of each path, before it is credited: none, exposure, unique, first or frequency (none)",
        NULL, false},
    {"--value", "converting|all",
        "where a row is a path that a column says to have converted or not: all counts the value "
        "of "
        "those that did not, too (converting)",
        NULL, false},
    {"--half-life", "DAYS", "of time_decay (7)", NULL, false},
    {"--weights", "F:M:L", "of custom: first, middle (shared), last (1:1:1)", NULL, false},
    {"--direct", "NAME", "channel that last_non_direct passes over (Direct)", NULL, false},
    {"--lead", "TYPE",
        "type of touch that is a lead, for w_shape and full_path; or columns is_lead, "
        "is_opportunity",
        NULL, false},
    {"--opportunity", "TYPE", "type of touch that is an opportunity", NULL, false},
    {"--bootstrap", "N", "intervals of 95 % from N replicates, for models that are solved (0)",
        NULL, false},
    {"--samples", "N", "permutations of shapley_rate beyond 24 channels (2000)", NULL, false},
    {"--seed", "S", "of replicates and permutations (0)", NULL, false},
    {"--column", "ROLE=NAME", "a column's name where it is not a usual one; may be given again",
        NULL, true},
    {"--separator", "TEXT", "between the channels of a path (>)", NULL, false},
    {"--transitions", NULL, "print the transition matrix of markov instead", NULL, false},
    {"--orders", NULL, "print the pAUC of each order of markov instead: pauc, pauc_100", NULL,
        false},
    {"--loops", NULL, "with --transitions: count a state that follows itself, too", NULL, false},
    {"--paths", NULL, "print what each path's touches get instead: weights that sum to 1", NULL,
        false},
    {"--format", "FORMAT", "table, csv or json (table)", NULL, false},
};

const struct verb verb_attribute = {
    .name = "attribute",
    .summary = "credit channels in a file of paths or touches, by any model",
    .arguments = "[FILE]",
    .detail =
        "Reads CSV (delimiter , ; or tab; gzip too) from FILE, or from standard input (-, or a "
        "pipe), without "
        "a "
        "server and without state.\n"
        "Paths: columns path, total_conversions, total_conversion_value, total_null; a path is "
        "\"A > B > A\".\n"
        "Touches: columns customer_id, time, channel, conversion, conversion_value, interaction; a "
        "row that converts\n"
        "and names a channel is its own last touch; ties in time keep the file's order.\n"
        "Usual synonyms are known, such as those of GA4, Snowplow, Segment and Adobe; --column "
        "ROLE=NAME names others (path\n"
        "conversions value null converted customer time channel type), or says which of two that "
        "may be meant.\n"
        "Where no column tells conversions, rows of touches convert whose event, event_name or "
        "event_type is\n"
        "a purchase: purchase, in_app_purchase, Order Completed, transaction, checkout_completed, "
        "store_purchase.\n\n"
        "Models: first last last_non_direct linear time_decay position j_shape inverse_j w_shape "
        "full_path custom\n"
        "participation (does not sum) markov shapley shapley_ordered shapley_rate shapley_paths\n"
        "shapley_paths_ordered shao_li. Usual other names are known: U, J, W, inverse-j, "
        "last-click "
        "...\n"
        "  shapley                each conversion equally to the channels of its path\n"
        "  shapley_ordered        the same, of a channel in parts to its touches: with --paths it "
        "tells\n"
        "  shapley_rate           one game of all channels: what some of them are worth is the "
        "rate "
        "at which\n"
        "                         journeys that met no others convert; may be negative; over 24 "
        "channels\n"
        "                         from --samples permutations, with low and high\n"
        "  shapley_paths          a game of each path: some of its channels are worth the rate of "
        "the paths\n"
        "                         of just those (as DP6's marketing_attribution_models has it)\n"
        "  shapley_paths_ordered  the same, paths of the same channels in another order being "
        "others\n"
        "  shao_li                rates of each channel and of each pair in a path, added up and "
        "scaled\n"
        "shapley_rate and shao_li are games of conversions: they share value as they share "
        "conversions.\n"
        "--order auto: the best area under the ROC curve, corrected for the states of the order "
        "(pAUC), is\n"
        "taken and all are said. The area is exact; pauc_100 beside it (--orders) is "
        "ChannelAttribution's\n"
        "choose_order, which draws lines between 100 points (roc_npt): of its own data .516950 at "
        "order 2 where\n"
        "the exact one is .516989.\n"
        "--bootstrap, --seed: the same journeys give the same intervals, whatever order rows have "
        "and however\n"
        "many of them tell of a path.\n"
        "--transform: exposure takes touches of one channel in a row for one (the last of them); "
        "unique keeps the last\n"
        "touch of each channel, first the first; frequency the first too, and names the channel "
        "by how often it was\n"
        "met: \"Search(2)\". Any model may follow, --paths and --transitions too.\n"
        "--paths: of models that are solved, weights fitted to sum to 1 for each path and to the "
        "model's credit of each\n"
        "channel; where paths of one channel leave no choice, as near as can be, which is said.\n"
        "A row that cannot be read is named with its line and left out (exit 6), also one whose "
        "total_conversions\n"
        "is empty; an empty total_null or value is 0. Conversions "
        "without a touch are\n"
        "credited to (unattributed), so that each model sums to all of them; a channel of that "
        "name "
        "is shown as\n"
        "\\(unattributed). Memory grows with distinct paths, not with rows. A journey may have its "
        "first touch in the\n"
        "last row: rows of touches over a million are sorted in files without a name in TMPDIR "
        "(/tmp), to 112 bytes a\n"
        "row, which hold no customer's name.",
    .examples =
        "  tabiji attribute paths.csv\n"
        "  tabiji attribute --model markov --order auto --bootstrap 200 paths.csv\n"
        "  tabiji attribute --model time_decay,shapley --journey reset --format csv touches.csv\n"
        "  tabiji attribute --model linear --transform exposure paths.csv\n"
        "  tabiji attribute --data shop --save\n"
        "  tabiji attribute --data shop --model markov --order 3 --save\n"
        "  tabiji attribute --model markov --paths --format csv paths.csv\n"
        "  tabiji attribute --column path=route --separator '|' --format json - <routes.csv",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 0,
    .arguments_max = 1,
    .run = run,
};
