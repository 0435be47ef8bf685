/* `tabiji budget`: what spend earns by channel, and how to share it out. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "deploy/budget.h"
#include "deploy/render.h"
#include "deploy/settings.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define NUMBER_SIZE_MAX 64
#define AMOUNT_MAX 1e15
#define DAY_SIZE 10 /* YYYY-MM-DD */

/* A whole piece of text as an amount within [0, AMOUNT_MAX]. */
static bool read_amount(struct str text, double *out)
{
    char copy[NUMBER_SIZE_MAX];
    char *end;
    if (text.size == 0 || text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    double value = strtod(copy, &end);
    if (*end || !(value >= 0) || !(value <= AMOUNT_MAX))
        return false;
    *out = value;
    return true;
}

/* Cuts at the first `mark`; false where there is none. */
static bool cut(struct str *rest, char mark, struct str *piece)
{
    const char *found = rest->size ? memchr(rest->data, mark, rest->size) : NULL;
    if (!found)
        return false;
    *piece = str_make(rest->data, (size_t)(found - rest->data));
    *rest = str_make(found + 1, rest->size - piece->size - 1);
    return true;
}

static bool is_day(struct str text)
{
    bool good = text.size == DAY_SIZE;
    for (size_t i = 0; good && i < DAY_SIZE; i++)
        good = i == 4 || i == 7 ? text.data[i] == '-' : text.data[i] >= '0' && text.data[i] <= '9';
    return good;
}

/* CHANNEL=N, with days CHANNEL=N:FROM:TO. */
static bool read_wish(struct str text, bool with_days, struct budget_wish *out)
{
    struct str amount = text;
    if (!cut(&text, '=', &out->channel) || out->channel.size == 0)
        return false;
    amount = text;
    if (with_days) {
        if (!cut(&text, ':', &amount) || !cut(&text, ':', &out->from))
            return false;
        out->to = text;
        if (!is_day(out->from) || !is_day(out->to) || str_compare(out->from, out->to) > 0)
            return false;
    }
    return read_amount(amount, &out->amount);
}

static int read_wishes(
    const struct verb_call *call, const char *flag, bool with_days, struct budget_wishes *out)
{
    struct str rest = str_of(verb_value(call, flag));
    while (rest.size) {
        struct str piece;
        if (!cut(&rest, ',', &piece)) {
            piece = rest;
            rest = str_make(rest.data, 0);
        }
        if (out->count == BUDGET_WISHES_MAX)
            return verb_usage(call, "%s is given too often", flag);
        if (!read_wish(piece, with_days, &out->items[out->count++]))
            return verb_usage(call, "%s needs CHANNEL=N%s, not \"%.*s\"", flag,
                with_days ? ":FROM:TO with days YYYY-MM-DD" : " with N not negative",
                (int)piece.size, piece.data);
    }
    return 0;
}

static int read_options(const struct verb_call *call, struct budget_options *options)
{
    const char *model = verb_value(call, "--model"), *period = verb_value(call, "--period");
    const char *currency = verb_value(call, "--currency"), *total = verb_value(call, "--total");
    options->model = model ? model : "linear";
    options->period = period ? period : "week";
    options->currency = currency ? currency : "";
    options->total = -1;
    if (strcmp(options->period, "day") && strcmp(options->period, "week") &&
        strcmp(options->period, "month"))
        return verb_usage(call, "--period is day, week or month, not \"%s\"", options->period);
    if (total && !read_amount(str_of(total), &options->total))
        return verb_usage(call, "--total must be an amount, not \"%s\"", total);
    int r = read_wishes(call, "--min", false, &options->low);
    if (r == 0)
        r = read_wishes(call, "--max", false, &options->high);
    return r ? r : read_wishes(call, "--experiment", true, &options->experiments);
}

/* ---- output ---- */

enum figure {
    FIGURE_SPEND,
    FIGURE_LARGEST,
    FIGURE_ATTRIBUTED,
    FIGURE_FACTOR,
    FIGURE_BASELINE,
    FIGURE_ROAS,
    FIGURE_MARGINAL,
    FIGURE_BUDGET,
    FIGURE_SPEND_VALUE,
    FIGURE_VALUE,
    FIGURE_BUDGET_MARGINAL,
    FIGURE_BETA,
    FIGURE_ALPHA,
    FIGURE_GAMMA,
    FIGURE_RMS,
    FIGURE_COUNT,
};

static const char *const figure_names[FIGURE_COUNT] = {"spend", "largest_spend", "attributed",
    "factor", "baseline", "roas", "marginal_roas", "budget", "spend_value", "budget_value",
    "budget_marginal_roas", "beta", "alpha", "gamma", "rms"};

/* NAN: nothing to say. */
static void figures_of(const struct budget_row *row, double out[FIGURE_COUNT])
{
    for (int i = 0; i < FIGURE_COUNT; i++)
        out[i] = NAN;
    out[FIGURE_SPEND] = row->spend;
    out[FIGURE_LARGEST] = row->largest;
    out[FIGURE_ATTRIBUTED] = row->attributed;
    out[FIGURE_FACTOR] = row->factor;
    out[FIGURE_BASELINE] = row->attributed * (1 - row->factor);
    out[FIGURE_ROAS] = row->attributed * row->factor / row->spend;
    out[FIGURE_BUDGET] = row->budget;
    if (!row->fitted)
        return;
    out[FIGURE_MARGINAL] = hill_marginal(&row->hill, row->spend);
    out[FIGURE_SPEND_VALUE] = hill_value(&row->hill, row->spend);
    out[FIGURE_VALUE] = hill_value(&row->hill, row->budget);
    out[FIGURE_BUDGET_MARGINAL] = hill_marginal(&row->hill, row->budget);
    out[FIGURE_BETA] = row->hill.beta;
    out[FIGURE_ALPHA] = row->hill.alpha;
    out[FIGURE_GAMMA] = row->hill.gamma;
    out[FIGURE_RMS] = row->rms;
}

static int print_json(const struct budget *budget, const struct budget_options *options)
{
    CLEANUP(buf_free) struct buf name = {0};
    (void)printf("{\"model\":\"%s\",\"currency\":\"%s\",\"period\":\"%s\",\"total\":%.17g,"
                 "\"first_day\":\"%s\",\"last_day\":\"%s\",\"channels\":[",
        options->model, budget->currency, options->period, budget->total, budget->first_day,
        budget->last_day);
    for (size_t i = 0; i < budget->count; i++) {
        double figures[FIGURE_COUNT];
        buf_clear(&name);
        int r = json_write_text(&name, budget->rows[i].channel);
        if (r < 0)
            return r;
        figures_of(&budget->rows[i], figures);
        (void)printf("%s{\"channel\":%.*s,\"periods\":%zu,\"periods_cut\":%zu,\"fitted\":%s,"
                     "\"beyond_seen\":%s",
            i ? "," : "", (int)name.size, name.data, budget->rows[i].periods, budget->rows[i].cut,
            budget->rows[i].fitted ? "true" : "false",
            budget->rows[i].beyond_seen ? "true" : "false");
        for (int k = 0; k < FIGURE_COUNT; k++)
            if (isfinite(figures[k]))
                (void)printf(",\"%s\":%.17g", figure_names[k], figures[k]);
            else
                (void)printf(",\"%s\":null", figure_names[k]);
        (void)printf("}");
    }
    return printf("]}\n") < 0 ? ERR_IO : 0;
}

static const enum figure shown[] = {FIGURE_SPEND, FIGURE_ATTRIBUTED, FIGURE_FACTOR, FIGURE_ROAS,
    FIGURE_SPEND_VALUE, FIGURE_MARGINAL, FIGURE_BUDGET, FIGURE_VALUE, FIGURE_BUDGET_MARGINAL};
#define SHOWN (sizeof shown / sizeof *shown)

/* Amounts are told with their unit and period. */
static const struct {
    const char *name, *title;
    bool amount;
} headings[SHOWN] = {
    {"spend", "spend", true},
    {"attributed", "attributed", true},
    {"factor", "factor", false},
    {"roas", "ROAS", false},
    {"spend_value", "earns by curve", true},
    {"marginal_roas", "marginal", false},
    {"budget", "budget", true},
    {"budget_value", "would earn", true},
    {"budget_marginal_roas", "marginal then", false},
};

static int print_rows(const struct budget *budget, struct render_table *table)
{
    for (size_t i = 0; i < budget->count; i++) {
        double figures[FIGURE_COUNT];
        figures_of(&budget->rows[i], figures);
        render_text(table, budget->rows[i].channel);
        render_integer(table, (int64_t)budget->rows[i].periods);
        for (size_t k = 0; k < SHOWN; k++) {
            char text[NUMBER_SIZE_MAX];
            int size = snprintf(text, sizeof text, "%.2f", figures[shown[k]]);
            if (isnan(figures[shown[k]]))
                render_nothing(table);
            else
                render_text(table, str_make(text, (size_t)size));
        }
    }
    return render_write(table, false, stdout);
}

static int print_table(const struct budget *budget, const struct budget_options *options)
{
    char titles[SHOWN][NUMBER_SIZE_MAX], periods[NUMBER_SIZE_MAX];
    struct render_column columns[SHOWN + 2] = {
        {"channel", "channel", RENDER_LEFT, 40}, {"periods", periods, RENDER_RIGHT, 0}};
    struct render_table *table = NULL;
    size_t cut = 0;
    (void)snprintf(periods, sizeof periods, "%ss", options->period);
    for (size_t k = 0; k < SHOWN; k++) {
        (void)snprintf(titles[k], sizeof titles[k], headings[k].amount ? "%s %s/%s" : "%s",
            headings[k].title, budget->currency, options->period);
        columns[k + 2] = (struct render_column){headings[k].name, titles[k], RENDER_RIGHT, 0};
    }
    int r = render_new(&table, columns, SHOWN + 2);
    if (r == 0)
        r = print_rows(budget, table);
    render_free(&table);
    if (r < 0)
        return r;
    (void)printf("By the model %s; total %.2f %s/%s. attributed is the mean of what the model "
                 "credits; ROAS and the curve\nare of that times factor. A channel without a "
                 "marginal has too few periods for a curve and keeps its spend.\n",
        options->model, budget->total, budget->currency, options->period);
    for (size_t i = 0; i < budget->count; i++)
        cut = budget->rows[i].cut > cut ? budget->rows[i].cut : cut;
    if (cut)
        (void)printf("There are spend and events of %s to %s: %ss that begin before or end after "
                     "are left out.\n",
            budget->first_day, budget->last_day, options->period);
    return 0;
}

/* A curve says nothing for sure beyond the largest spend that it was fitted to. */
static void warn_of_guesses(const struct budget *budget)
{
    for (size_t i = 0; i < budget->count; i++)
        if (budget->rows[i].beyond_seen)
            (void)fprintf(stderr,
                "tabiji budget: %.*s: %.2f is beyond the largest spend seen, %.2f; --max holds "
                "it\n",
                (int)budget->rows[i].channel.size, budget->rows[i].channel.data,
                budget->rows[i].budget, budget->rows[i].largest);
}

/* ---- the verb ---- */

static int exit_of(struct verb_call *call, int error, const char *path, const char *reason)
{
    bool of_usage = error == ERR_CONFIG || error == ERR_CURRENCY || error == ERR_NUMBER_RANGE ||
                    error == ERR_VALUE || error == ERR_EMPTY || error == ERR_TOO_FEW;
    if (of_usage && *reason)
        return verb_end(call, EXIT_USAGE, error_name(error), "%s: %s", path, reason);
    int r = verb_fail(call, error, "%s", path);
    return of_usage ? EXIT_USAGE : r;
}

static int make(struct verb_call *call, struct budget_options *options, const char *path)
{
    struct budget budget;
    char reason[BUDGET_REASON_SIZE] = "";
    options->reason = reason;
    int r = budget_make(&budget, path, options);
    if (r == 0)
        r = call->json ? print_json(&budget, options) : print_table(&budget, options);
    if (r == 0)
        warn_of_guesses(&budget);
    if (r == 0 && verb_switch(call, "--save"))
        r = budget_save(&budget, path, options);
    budget_free(&budget);
    return r < 0 ? exit_of(call, r, path, reason) : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *path = "";
    struct budget_options *options = calloc(1, sizeof *options);
    if (!options)
        return verb_fail(call, ERR_NO_MEMORY, "options");
    int r = read_options(call, options);
    if (r == 0) {
        r = settings_open(&settings, call->config);
        if (r == 0)
            r = settings_database(&settings, &path);
        r = r < 0 ? verb_fail(call, r, "configuration") : make(call, options, path);
        settings_close(&settings);
    }
    free(options);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "the same of this SQLite file", "sink.sqlite.path", false},
    {"--model", "NAME",
        "model whose credits are what spend earned: a rule, or one that is solved, as of its last "
        "run (linear)",
        NULL, false},
    {"--period", "day|week|month", "what one point of a curve is (week, from Monday)", NULL, false},
    {"--currency", "CODE", "of the spend that is meant, where there are several", NULL, false},
    {"--total", "N", "money to share out a period (what is spent now)", NULL, false},
    {"--min", "CHANNEL=N", "at least; may be given again", NULL, true},
    {"--max", "CHANNEL=N", "at most; may be given again", NULL, true},
    {"--experiment", "CHANNEL=N:FROM:TO",
        "an experiment found that N of value was caused in these days; may be given again", NULL,
        true},
    {"--save", NULL, "keep the rows in the database's table budget, for v_budget", NULL, false},
};

const struct verb verb_budget = {
    .name = "budget",
    .summary = "what spend earns by channel, and the budget of equal marginal returns",
    .arguments = "",
    .detail =
        "Fits a Hill curve, beta x^a / (x^a + g^a), a channel, over periods of spend (see import "
        "and\n"
        "deploy/mappings/spend.ini) and the revenue that the model credits in them; then shares "
        "the total out so\n"
        "that the next unit of money would earn the same everywhere, within --min and --max. A "
        "channel with fewer\n"
        "than 4 periods with spend, or than 3 different spends, keeps what it has. A period within "
        "which the days with\n"
        "spend or events begin or end is left out. Of a model that is solved, the revenue of a "
        "channel is what\nv_model_channel says, shared by days as its credits of touches lie "
        "(v_credit_day).\n"
        "--experiment calibrates: what was caused over what is attributed in the same days is a "
        "factor on all that\n"
        "the channel is credited; the remainder is baseline, which would have come anyway.",
    .examples = "  tabiji budget --data shop\n"
                "  tabiji budget --data shop --total 500000 --min LINE=50000 --max 'Paid "
                "Search=200000' --save\n"
                "  tabiji budget --data shop --experiment LINE=120000:2026-05-01:2026-05-31 --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 0,
    .arguments_max = 0,
    .run = run,
};
