/* A row for each touch of each converting path that has credit, by model as asked for, then by path
 * in the order of the input. Weights are parts of 1e9, written with all their digits: those of a
 * path and model sum to exactly 1. Conversions and values are not rounded so. */
#include "deploy/attribute/attribute.h"
#include "deploy/attribute/text.h"
#include "deploy/render.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define ARROW " > "

static const struct render_column columns[] = {
    {"path", "path", RENDER_LEFT, 60},
    {"touch", "touch", RENDER_RIGHT, 0},
    {"channel", "channel", RENDER_LEFT, 40},
    {"model", "model", RENDER_LEFT, 0},
    {"weight", "weight", RENDER_RIGHT, 0},
    {"credited_conversions", "conversions", RENDER_RIGHT, 0},
    {"credited_value", "value", RENDER_RIGHT, 0},
};
#define COLUMNS (sizeof columns / sizeof *columns)

struct writing {
    struct attribute_input *input;
    struct attribute_touches touches;
    struct render_table *table;
    FILE *out;
    struct buf name, line;
    bool any; /* a row was written */
};

struct row {
    int64_t touch; /* from 1; 0: unattributed */
    struct str channel;
    const char *model;
    int64_t weight_ppb;
    double conversions, value;
};

static int name_path(struct writing *writing, const struct path *path)
{
    int r = 0;
    buf_clear(&writing->name);
    for (size_t i = 0; r == 0 && i < path->length; i++) {
        if (i)
            r = buf_append_str(&writing->name, STR(ARROW));
        if (r == 0)
            r = buf_append_str(&writing->name, writing->input->set.channels[path->channels[i]]);
    }
    return r;
}

static int append_weight(struct buf *out, int64_t ppb)
{
    return buf_appendf(out, "%lld.%09lld", (long long)(ppb / CREDIT_WHOLE_PPB),
        (long long)(ppb % CREDIT_WHOLE_PPB));
}

static int line_csv(struct writing *writing, const struct row *row)
{
    struct buf *line = &writing->line;
    int r = text_append_csv(line, buf_str(&writing->name));
    if (r == 0)
        r = row->touch ? buf_appendf(line, ",%lld,", (long long)row->touch)
                       : buf_append(line, ",,", 2);
    if (r == 0)
        r = text_append_csv(line, row->channel);
    if (r == 0)
        r = buf_appendf(line, ",%s,", row->model);
    if (r == 0)
        r = append_weight(line, row->weight_ppb);
    if (r == 0)
        r = buf_append(line, ",", 1);
    if (r == 0)
        r = text_append_number(line, row->conversions);
    if (r == 0)
        r = buf_append(line, ",", 1);
    if (r == 0)
        r = text_append_number(line, row->value);
    return r == 0 ? buf_append(line, "\n", 1) : r;
}

static int line_json(struct writing *writing, const struct row *row)
{
    struct buf *line = &writing->line;
    int r = buf_append_str(line, writing->any ? STR(",\n{\"path\":") : STR("{\"path\":"));
    if (r == 0)
        r = json_write_text(line, buf_str(&writing->name));
    if (r == 0)
        r = row->touch ? buf_appendf(line, ",\"touch\":%lld,\"channel\":", (long long)row->touch)
                       : buf_append_str(line, STR(",\"touch\":null,\"channel\":"));
    if (r == 0)
        r = json_write_text(line, row->channel);
    if (r == 0)
        r = buf_appendf(line, ",\"model\":\"%s\",\"weight\":", row->model);
    if (r == 0)
        r = append_weight(line, row->weight_ppb);
    if (r == 0)
        r = buf_append_str(line, STR(",\"credited_conversions\":"));
    if (r == 0)
        r = text_append_number(line, row->conversions);
    if (r == 0)
        r = buf_append_str(line, STR(",\"credited_value\":"));
    if (r == 0)
        r = text_append_number(line, row->value);
    return r == 0 ? buf_append(line, "}", 1) : r;
}

static void cell(struct render_table *table, double number, int digits)
{
    char text[512];
    text_fixed(text, sizeof text, number, digits);
    render_text(table, str_of(text));
}

static void add_cells(struct writing *writing, const struct row *row)
{
    render_text(writing->table, buf_str(&writing->name));
    if (row->touch)
        render_integer(writing->table, row->touch);
    else
        render_nothing(writing->table);
    render_text(writing->table, row->channel);
    render_text(writing->table, str_of(row->model));
    cell(writing->table, (double)row->weight_ppb / 1e9, 9);
    cell(writing->table, row->conversions, 4);
    cell(writing->table, row->value, 4);
}

static int write_row(struct writing *writing, const struct row *row)
{
    enum attribute_format format = writing->input->options->format;
    int r = 0;
    if (format == ATTRIBUTE_TABLE)
        add_cells(writing, row);
    else
        r = format == ATTRIBUTE_CSV ? line_csv(writing, row) : line_json(writing, row);
    if (r == 0 && format != ATTRIBUTE_TABLE)
        r = text_put(&writing->line, writing->out);
    writing->any = true;
    return r;
}

static int write_path(struct writing *writing, size_t place, const struct path *path)
{
    const struct attribute_options *options = writing->input->options;
    int r = attribute_touches_credit(&writing->touches, place, path->channels, path->length, 0);
    if (r == ERR_TOO_MANY) {
        (void)fprintf(options->messages, "%s: a path of over %zu touches has no weights\n",
            options->name, SPLIT_COUNT_MAX);
        return ERR_CONFIG;
    }
    if (r == 0)
        r = name_path(writing, path);
    const struct credits *credits = &writing->touches.credits;
    for (size_t i = 0; r == 0 && i < credits->count; i++) {
        const struct credit *credit = &credits->items[i];
        bool touched = credit->touch_index >= 0;
        double part = touched ? writing->touches.parts[credit->touch_index] : 1;
        r = write_row(writing,
            &(struct row){
                .touch = credit->touch_index + 1,
                .channel =
                    touched ? attribute_channel_shown(
                                  writing->input->set.channels[path->channels[credit->touch_index]])
                            : str_of(ATTRIBUTE_UNATTRIBUTED),
                .model = attribute_model_name(options->models[place]),
                .weight_ppb = credit->weight_ppb,
                .conversions = part * path->conversions,
                .value = part * path->value,
            });
    }
    return r;
}

static int write_all(struct writing *writing)
{
    const struct path_set *set = &writing->input->set;
    int r = 0;
    for (size_t i = 0; r == 0 && i < writing->input->options->models_count; i++)
        for (size_t k = 0; r == 0 && k < set->paths_count; k++)
            if (set->paths[k]->conversions > 0 || set->paths[k]->value != 0)
                r = write_path(writing, i, set->paths[k]);
    return r;
}

static int begin(struct writing *writing)
{
    int r = 0;
    switch (writing->input->options->format) {
    case ATTRIBUTE_TABLE:
        return render_new(&writing->table, columns, COLUMNS);
    case ATTRIBUTE_CSV:
        for (size_t i = 0; r == 0 && i < COLUMNS; i++)
            r = buf_appendf(&writing->line, "%s%s", columns[i].name, i + 1 < COLUMNS ? "," : "\n");
        break;
    case ATTRIBUTE_JSON:
        r = buf_append(&writing->line, "[", 1);
        break;
    }
    return r == 0 ? text_put(&writing->line, writing->out) : r;
}

static int end(struct writing *writing)
{
    switch (writing->input->options->format) {
    case ATTRIBUTE_TABLE:
        return render_write(writing->table, false, writing->out);
    case ATTRIBUTE_JSON:
        return fputs("]\n", writing->out) < 0 ? ERR_IO : 0;
    case ATTRIBUTE_CSV:
        break;
    }
    return 0;
}

int attribute_write_paths(struct attribute_input *input, FILE *out)
{
    struct writing writing = {.input = input, .out = out};
    int r = attribute_touches_solve(input, &writing.touches);
    if (r == 0)
        r = begin(&writing);
    if (r == 0)
        r = write_all(&writing);
    if (r == 0)
        r = end(&writing);
    attribute_touches_free(&writing.touches);
    render_free(&writing.table);
    buf_free(&writing.name);
    buf_free(&writing.line);
    return r;
}
