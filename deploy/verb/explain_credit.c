/* See the header. The table has a line a touch and a column a model; JSON a row of each pair. */
#include "deploy/verb/explain_credit.h"

#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/verb/explain_solved.h"
#include "deploy/verb/models.h"
#include "deploy/verb/tables.h"
#include "enrich/attribution/markov.h"
#include "schemas/conversion.avro.h"
#include "schemas/error.h"
#include "schemas/money.h"

#define FIXED_COLUMNS 7
#define MODELS_MAX (RENDER_COLUMNS_MAX - FIXED_COLUMNS)
#define PPB_PER_TENTH 1000000 /* of a per cent */
#define SAMPLES 2000          /* of shapley_rate beyond what can be enumerated */

/* What a model gives. */
struct share {
    bool given;
    int64_t weight_ppb;
    int64_t revenue_minor;
};

struct shown {
    struct verb_call *call;
    struct reader *reader;
    struct arena *arena;
    struct render_table *rows; /* JSON: of all conversions */
    const struct reader_conversion *conversion;
    /* of the conversion at hand */
    struct render_table *table;
    struct render_column columns[RENDER_COLUMNS_MAX];
    const char *models[MODELS_MAX];
    size_t models_count;
    size_t rules_count; /* so many of them are rules, the rest is solved */
    struct attribute_options options;
    struct attribute_stored stored;
    struct explain_solved *solved;
    struct share sums[MODELS_MAX], line[MODELS_MAX];
    int64_t touch; /* whose line is open */
    bool in_line;
    size_t found;
};

/* ---- the models of a conversion ---- */

/* Those that are always credited by in their order, then those of the configuration. */
static int rank_of(const char *name)
{
    int rule = rule_model_from_name(str_of(name));
    return rule < 0 || rule > RULE_MODEL_CONFIGURED ? RULE_MODEL_CONFIGURED : rule;
}

static int compare_models(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int rule_x = rank_of(x), rule_y = rank_of(y);
    return rule_x != rule_y ? (rule_x > rule_y) - (rule_x < rule_y) : strcmp(x, y);
}

static int note_model(void *context, const struct reader_touch_credit *credit)
{
    struct shown *shown = context;
    for (size_t i = 0; i < shown->models_count; i++)
        if (str_equal(str_of(shown->models[i]), credit->model))
            return 0;
    if (shown->models_count == MODELS_MAX)
        return ERR_TOO_MANY;
    struct str copy;
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_appendf(&text, "%.*s%c", (int)credit->model.size, credit->model.data, 0);
    if (r == 0)
        r = arena_dup(shown->arena, buf_str(&text), &copy);
    if (r == 0)
        shown->models[shown->models_count++] = copy.data;
    return r;
}

/* Rules in their own order, then the solved ones. */
static int name_models(struct shown *shown)
{
    qsort(shown->models, shown->models_count, sizeof *shown->models, compare_models);
    shown->rules_count = shown->models_count;
    if (shown->models_count + shown->stored.wanted_count > MODELS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < shown->stored.wanted_count; i++)
        shown->models[shown->models_count++] = shown->stored.wanted[i].name;
    return explain_solved_conversion(shown->solved, shown->conversion);
}

/* ---- lines ---- */

static struct str milestone_of(const struct reader_conversion *conversion, int64_t touch)
{
    if (touch < 0 || (touch != conversion->lead && touch != conversion->opportunity))
        return (struct str){0};
    if (conversion->lead == conversion->opportunity)
        return STR("lead, opportunity");
    return touch == conversion->lead ? STR("lead") : STR("opportunity");
}

static void add_cell(struct shown *shown, const struct share *share)
{
    const struct reader_conversion *conversion = shown->conversion;
    char money[MONEY_TEXT_SIZE_MAX] = "", text[MONEY_TEXT_SIZE_MAX + 32];
    int64_t tenths = (share->weight_ppb + PPB_PER_TENTH / 2) / PPB_PER_TENTH;
    bool counts = str_equal(conversion->kind, STR("conversion")); /* a refund takes money only */
    if (conversion->currency.size)
        (void)money_format(share->revenue_minor, conversion->currency, money);
    int size = counts ? snprintf(text, sizeof text, "%lld.%lld%%%s%s", (long long)(tenths / 10),
                            (long long)(tenths % 10), money[0] ? " " : "", money)
                      : snprintf(text, sizeof text, "%s", money);
    render_text(shown->table, str_make(text, (size_t)size));
}

static void add_solved(struct shown *shown)
{
    for (size_t i = shown->rules_count; i < shown->models_count; i++) {
        const struct credit *credit =
            explain_solved_get(shown->solved, i - shown->rules_count, shown->touch);
        if (credit)
            shown->line[i] = (struct share){true, credit->weight_ppb, credit->revenue_minor};
    }
}

/* The models' cells of the touch that was read. */
static void end_line(struct shown *shown)
{
    if (shown->in_line)
        add_solved(shown);
    for (size_t i = 0; shown->in_line && i < shown->models_count; i++) {
        struct share *share = &shown->line[i];
        if (share->given)
            add_cell(shown, share);
        else
            render_nothing(shown->table);
        shown->sums[i].weight_ppb += share->weight_ppb;
        shown->sums[i].revenue_minor += share->revenue_minor;
        *share = (struct share){.given = false};
    }
    shown->in_line = false;
}

static void begin_line(struct shown *shown, const struct reader_touch_credit *credit)
{
    end_line(shown);
    shown->in_line = true;
    shown->touch = credit->touch_index;
    if (credit->event_id.size)
        render_time(shown->table, credit->touched_at);
    else
        render_nothing(shown->table);
    render_text(shown->table, credit->channel);
    render_text(shown->table, credit->type);
    render_text(shown->table, credit->source);
    render_text(shown->table, credit->event_id);
    render_text(shown->table, credit->campaign);
    render_text(shown->table, milestone_of(shown->conversion, credit->touch_index));
}

static int add_credit(void *context, const struct reader_touch_credit *credit)
{
    struct shown *shown = context;
    size_t model = 0;
    if (!shown->in_line || shown->touch != credit->touch_index)
        begin_line(shown, credit);
    while (!str_equal(str_of(shown->models[model]), credit->model))
        model++;
    shown->line[model] = (struct share){true, credit->weight_ppb, credit->revenue_minor};
    return 0;
}

static void add_sums(struct shown *shown)
{
    end_line(shown);
    render_text(shown->table, STR("all"));
    for (size_t i = 1; i < FIXED_COLUMNS; i++)
        render_nothing(shown->table);
    for (size_t i = 0; i < shown->models_count; i++)
        add_cell(shown, &shown->sums[i]);
}

static int show_table(struct shown *shown)
{
    static const struct render_column fixed[FIXED_COLUMNS] = {
        {"touched_at", "time (Japan)", RENDER_LEFT, 0},
        {"channel", "channel", RENDER_LEFT, 20},
        {"type", "touch", RENDER_LEFT, 0},
        {"source", "source", RENDER_LEFT, 16},
        {"event_id", "event", RENDER_LEFT, 24},
        {"campaign", "campaign", RENDER_LEFT, 24},
        {"milestone", "reached", RENDER_LEFT, 0},
    };
    memcpy(shown->columns, fixed, sizeof fixed);
    for (size_t i = 0; i < shown->models_count; i++)
        shown->columns[FIXED_COLUMNS + i] =
            (struct render_column){shown->models[i], shown->models[i], RENDER_RIGHT, 0};
    int r = render_new(&shown->table, shown->columns, FIXED_COLUMNS + shown->models_count);
    if (r == 0)
        r = reader_touch_credits(shown->reader, shown->conversion, add_credit, shown);
    if (r == 0) {
        add_sums(shown);
        r = render_write(shown->table, false, stdout);
    }
    render_free(&shown->table);
    return r;
}

/* The text after `before`, or nothing. */
static int print_part(const char *before, struct str text)
{
    CLEANUP(buf_free) struct buf safe = {0};
    if (text.size == 0)
        return 0;
    int r = render_safe(&safe, text);
    if (r == 0)
        (void)printf("%s%.*s", before, (int)safe.size, safe.data);
    return r;
}

static int print_head(const struct reader_conversion *row)
{
    char money[MONEY_TEXT_SIZE_MAX], person[2 * KEY_SIZE];
    (void)money_format(row->revenue_minor, row->currency, money);
    hex_encode(row->person, KEY_SIZE, person);
    int r = print_part("", row->kind);
    if (r == 0)
        r = print_part(" ", row->conversion_id);
    if (r == 0)
        r = print_part(": ", row->type);
    if (r == 0)
        r = print_part(", event ", row->event_id);
    if (r == 0)
        r = print_part(", of ", row->refund_of);
    if (r == 0 && row->currency.size)
        r = print_part(", ", str_of(money));
    if (r == 0)
        r = print_part(" ", row->currency);
    (void)printf("; touches before it: %lld; person %.*s\n\n", (long long)row->path_length,
        (int)sizeof person, person);
    return r;
}

/* ---- JSON ---- */

/* One model's share of the touch that `touch` names. */
static void write_share(struct shown *shown, const struct reader_touch_credit *touch,
    struct str model, const struct share *share)
{
    const struct reader_conversion *conversion = shown->conversion;
    char weight[32];
    int size = snprintf(weight, sizeof weight, "%.9f", (double)share->weight_ppb / 1e9);
    render_text(shown->rows, conversion->conversion_id);
    render_text(shown->rows, conversion->kind);
    render_uuid(shown->rows, conversion->person);
    render_time(shown->rows, conversion->occurred_at);
    render_integer(shown->rows, touch->touch_index);
    if (touch->event_id.size)
        render_time(shown->rows, touch->touched_at);
    else
        render_nothing(shown->rows);
    render_text(shown->rows, touch->channel);
    render_text(shown->rows, touch->type);
    render_text(shown->rows, touch->event_id);
    render_text(shown->rows, touch->campaign);
    render_text(shown->rows, milestone_of(conversion, touch->touch_index));
    render_text(shown->rows, model);
    render_text(shown->rows, str_make(weight, (size_t)size));
    render_integer(shown->rows, share->revenue_minor);
    render_text(shown->rows, conversion->currency);
}

/* A touch's solved shares stand before its others. */
static int add_row(void *context, const struct reader_touch_credit *credit)
{
    struct shown *shown = context;
    bool begins = !shown->in_line || shown->touch != credit->touch_index;
    shown->in_line = true;
    shown->touch = credit->touch_index;
    for (size_t i = 0; begins && i < shown->stored.wanted_count; i++) {
        const struct credit *solved = explain_solved_get(shown->solved, i, credit->touch_index);
        if (solved)
            write_share(shown, credit, str_of(shown->stored.wanted[i].name),
                &(struct share){true, solved->weight_ppb, solved->revenue_minor});
    }
    write_share(shown, credit, credit->model,
        &(struct share){true, credit->weight_ppb, credit->revenue_minor});
    return 0;
}

/* ---- all ---- */

static int show_conversion(void *context, const struct reader_conversion *conversion)
{
    struct shown *shown = context;
    shown->conversion = conversion;
    shown->found++;
    shown->in_line = false;
    if (shown->call->json) {
        int r = explain_solved_conversion(shown->solved, conversion);
        return r < 0 ? r : reader_touch_credits(shown->reader, conversion, add_row, shown);
    }
    shown->models_count = 0;
    memset(shown->sums, 0, sizeof shown->sums);
    if (shown->found > 1)
        (void)putchar('\n');
    int r = print_head(conversion);
    if (r == 0)
        r = reader_touch_credits(shown->reader, conversion, note_model, shown);
    if (r == 0)
        r = name_models(shown);
    return r < 0 ? r : show_table(shown);
}

static int show_all(struct shown *shown)
{
    static const struct render_column columns[] = {
        {"conversion_id", "", RENDER_LEFT, 0},
        {"kind", "", RENDER_LEFT, 0},
        {"person", "", RENDER_LEFT, 0},
        {"occurred_at", "", RENDER_LEFT, 0},
        {"touch_index", "", RENDER_RIGHT, 0},
        {"touched_at", "", RENDER_LEFT, 0},
        {"channel", "", RENDER_LEFT, 0},
        {"type", "", RENDER_LEFT, 0},
        {"event_id", "", RENDER_LEFT, 0},
        {"campaign", "", RENDER_LEFT, 0},
        {"milestone", "", RENDER_LEFT, 0},
        {"model", "", RENDER_LEFT, 0},
        {"weight", "", RENDER_RIGHT, 0},
        {"credited_revenue_minor", "", RENDER_RIGHT, 0},
        {"currency", "", RENDER_LEFT, 0},
    };
    struct verb_call *call = shown->call;
    int r = render_new(&shown->rows, columns, sizeof columns / sizeof *columns);
    if (r == 0)
        r = reader_conversions(shown->reader, str_of(call->arguments[1]), show_conversion, shown);
    if (r == 0 && shown->found && call->json)
        r = render_write(shown->rows, true, stdout);
    render_free(&shown->rows);
    return r;
}

/* Those of the configuration that the file is of, or those of --model. */
static int read_models(struct shown *shown, const char *path)
{
    static const struct models_flag flags[] = {{"--order", ATTRIBUTE_MARKOV, ATTRIBUTE_MARKOV}};
    struct verb_call *call = shown->call;
    struct attribute_options *options = &shown->options;
    long long order = 1;
    *options = (struct attribute_options){
        .messages = stderr, .samples = SAMPLES, .direct = STR("Direct"), .name = path};
    int r = verb_integer(call, "--order", 1, MARKOV_ORDER_MAX, &order);
    options->order = (int)order;
    if (r == 0)
        r = models_read_stored(call, options, &shown->stored, flags, 1, NULL, 0);
    for (size_t i = 0; r == 0 && i < shown->stored.wanted_count; i++) {
        const struct attribute_wanted *wanted = &shown->stored.wanted[i];
        if (wanted->model ? model_is_rule(wanted->model)
                          : options->models[wanted->place] <= ATTRIBUTE_PARTICIPATION)
            r = verb_usage(call,
                "--model %s: rules are shown anyway; --model is for those that are solved",
                wanted->name);
    }
    return r;
}

int explain_credit(struct verb_call *call, struct settings *settings)
{
    struct shown shown = {.call = call, .arena = &settings->arena};
    const char *path = "";
    int r = tables_open(call, settings, &shown.reader);
    if (r)
        return r;
    r = settings_database(settings, &path);
    if (r == 0)
        r = attribute_stored_open(&shown.stored, path);
    if (r == 0 && (r = read_models(&shown, path)) > 0) {
        attribute_stored_close(&shown.stored);
        reader_close(&shown.reader);
        return r;
    }
    if (r == 0)
        r = explain_solved_open(&shown.solved, path, &shown.stored, &shown.options);
    if (r == 0)
        r = show_all(&shown);
    explain_solved_close(&shown.solved);
    attribute_stored_close(&shown.stored);
    reader_close(&shown.reader);
    if (r == ERR_CONFIG)
        return EXIT_USAGE; /* said already */
    if (r < 0)
        return verb_fail(call, r, "%s", path);
    if (shown.found)
        return EXIT_OK;
    return verb_not_found(call,
        "no conversion, order or event has the id \"%s\" (v_credit lists them)",
        call->arguments[1]);
}
