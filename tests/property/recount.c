/* Each count is a line of text, "model|outcome|currency|from|to"; lines are sorted, then summed. */
#include "tests/property/recount.h"

#include <stdlib.h>

#include "enrich/attribution/credit.h"
#include "schemas/error.h"
#include "schemas/model_count.avro.h"
#include "schemas/profile.avro.h"

#define PATH_MAX_HERE 1024

struct line {
    struct str text;
    int64_t paths;
    int64_t minor;
};

struct recount {
    const struct model *models;
    size_t models_count;
    struct arena arena;
    struct line *lines;
    size_t count, room;
    uint64_t rows;
    bool unreconciled; /* the credits of some conversion do not sum */
};

static int add_line(struct recount *recount, const struct buf *text, int64_t paths, int64_t minor)
{
    if (recount->count == recount->room) {
        size_t room = recount->room ? recount->room * 2 : 256;
        struct line *more = realloc(recount->lines, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        recount->lines = more;
        recount->room = room;
    }
    struct line *line = &recount->lines[recount->count++];
    *line = (struct line){.paths = paths, .minor = minor};
    return arena_dup(&recount->arena, buf_str(text), &line->text);
}

static int append_names(struct buf *text, const struct str *names, size_t count)
{
    int r = buf_append(text, "|", 1);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = buf_appendf(text, "<%.*s>", (int)names[i].size, names[i].data);
    return r;
}

/* A transition of a path that counts once. */
static int add_count(struct recount *recount, const struct model *model, struct str currency,
    bool open, struct str *from, size_t from_count, struct str *to, size_t to_count, int64_t minor)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_appendf(&text, "%.*s|%s|%.*s", (int)model->name.size, model->name.data,
        open ? "open" : "converting", (int)currency.size, currency.data ? currency.data : "");
    if (r == 0)
        r = append_names(&text, from, from_count);
    if (r == 0)
        r = append_names(&text, to, to_count);
    return r < 0 ? r : add_line(recount, &text, 1, minor);
}

static bool same_states(struct str *path, size_t a, size_t b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!str_equal(path[a + i], path[b + i]))
            return false;
    return true;
}

static int count_markov(struct recount *recount, const struct model *model, struct str currency,
    bool open, struct str *path, size_t length, int64_t minor)
{
    size_t size = length < (size_t)model->order ? length : (size_t)model->order;
    size_t last = length - size;
    int r = 0;
    if (length == 0)
        return add_count(recount, model, currency, open, path, 0, path, 0, minor);
    r = add_count(recount, model, currency, open, path, 0, path, size, 0);
    for (size_t i = 0; r == 0 && i < last; i++)
        if (!same_states(path, i, i + 1, size))
            r = add_count(recount, model, currency, open, path + i, size, path + i + 1, size, 0);
    return r < 0 ? r : add_count(recount, model, currency, open, path + last, size, path, 0, minor);
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static int count_coalition(struct recount *recount, const struct model *model, struct str currency,
    bool open, struct str *path, size_t length, int64_t minor)
{
    struct str distinct[PATH_MAX_HERE];
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        bool seen = false;
        for (size_t k = 0; k < count; k++)
            seen |= str_equal(distinct[k], path[i]);
        if (!seen)
            distinct[count++] = path[i];
    }
    if (model->kind != MODEL_KIND_SHAPLEY_PATHS_ORDERED && count)
        qsort(distinct, count, sizeof *distinct, compare_names);
    return add_count(recount, model, currency, open, path, 0, distinct, count, minor);
}

/* A path that begins anew with each conversion is seen from `reset_from` on. */
static int count_path(struct recount *recount, struct str currency, bool open, struct str *path,
    size_t length, int64_t minor, size_t reset_from)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < recount->models_count; i++) {
        const struct model *model = &recount->models[i];
        if (model_is_rule(model))
            continue;
        bool shares_only =
            model->kind == MODEL_KIND_SHAPLEY || model->kind == MODEL_KIND_SHAPLEY_ORDERED;
        if (open && (model->ignore_nulls || shares_only))
            continue;
        size_t from = model->reset ? reset_from : 0, seen = length - from;
        r = model->kind == MODEL_KIND_MARKOV
                ? count_markov(recount, model, currency, open, path + from, seen, minor)
                : count_coalition(recount, model, currency, open, path + from, seen, minor);
    }
    return r;
}

/* Whether the credits of one model, `count` from `credits` on, are those of the whole row. */
static bool model_reconciles(
    const struct conversion *row, const struct credit *credits, size_t count)
{
    int64_t whole = row->kind == CONVERSION_KIND_CONVERSION ? CREDIT_WHOLE_PPB : 0;
    int64_t weights = 0, minor = 0;
    for (size_t i = 0; i < count; i++) {
        weights += credits[i].weight_ppb;
        minor += credits[i].revenue_minor;
        bool all = credits[i].weight_ppb == whole && credits[i].revenue_minor == row->revenue_minor;
        if (credits[i].model == RULE_MODEL_PARTICIPATION && !all)
            return false;
    }
    return credits->model == RULE_MODEL_PARTICIPATION ||
           (weights == whole && minor == row->revenue_minor);
}

/* By every model that there is. */
static bool reconciles(const struct recount *recount, const struct conversion *row)
{
    size_t models = 0, wanted = RULE_MODEL_CONFIGURED - 1;
    for (size_t i = 0; i < recount->models_count; i++)
        wanted += model_is_rule(&recount->models[i]);
    for (size_t i = 0, end; i < row->credits_count; i = end, models++) {
        for (end = i + 1; end < row->credits_count; end++)
            if (row->credits[end].model != row->credits[i].model ||
                !str_equal(row->credits[end].name, row->credits[i].name))
                break;
        if (!model_reconciles(row, &row->credits[i], end - i))
            return false;
    }
    return models == wanted;
}

/* A refund has the path of its conversion; its amount is added to what the path is worth. */
static int visit_conversion(void *context, struct str key, struct str value)
{
    struct recount *recount = context;
    struct conversion row;
    struct str path[PATH_MAX_HERE];
    int r = conversion_decode(&row, value, &recount->arena);
    if (r < 0)
        return r;
    check(row.touches_count <= PATH_MAX_HERE);
    for (size_t i = 0; i < row.touches_count; i++)
        path[i] = row.touches[i].channel;
    size_t before = recount->count;
    recount->unreconciled |= !reconciles(recount, &row);
    r = count_path(recount, row.currency, false, path, row.touches_count, row.revenue_minor,
        (size_t)row.reset_from);
    for (size_t i = before; row.kind == CONVERSION_KIND_REFUND && i < recount->count; i++)
        recount->lines[i].paths = 0;
    return r;
}

static int visit_profile(void *context, struct str key, struct str value)
{
    struct recount *recount = context;
    struct profile row;
    struct str path[PATH_MAX_HERE];
    int r = profile_decode(&row, value, &recount->arena);
    if (r < 0 || row.open_path_count == 0)
        return r;
    check(row.open_path_count <= PATH_MAX_HERE);
    for (size_t i = 0; i < row.open_path_count; i++)
        path[i] = row.open_path[i].channel;
    return count_path(recount, STR(""), true, path, row.open_path_count, 0, 0);
}

/* What the stage counted, taken away again. */
static int visit_count(void *context, struct str key, struct str value)
{
    struct recount *recount = context;
    struct model_count row;
    CLEANUP(buf_free) struct buf text = {0};
    int r = model_count_decode(&row, value, &recount->arena);
    if (r < 0)
        return r;
    recount->rows++;
    r = buf_appendf(&text, "%.*s|%s|%.*s", (int)row.model.size, row.model.data,
        path_outcome_name(row.outcome), (int)row.currency.size, row.currency.data);
    if (r == 0)
        r = append_names(&text, row.from, row.from_count);
    if (r == 0)
        r = append_names(&text, row.to, row.to_count);
    return r < 0 ? r : add_line(recount, &text, -row.paths, -row.revenue_minor);
}

static int compare_lines(const void *a, const void *b)
{
    return str_compare(((const struct line *)a)->text, ((const struct line *)b)->text);
}

static bool all_zero(const struct recount *recount)
{
    for (size_t i = 0; i < recount->count;) {
        int64_t paths = 0, minor = 0;
        struct str text = recount->lines[i].text;
        for (; i < recount->count && str_equal(recount->lines[i].text, text); i++) {
            paths += recount->lines[i].paths;
            minor += recount->lines[i].minor;
        }
        if (paths || minor)
            return false;
    }
    return true;
}

int recount_agrees(struct sim *sim, const struct model *models, size_t models_count, bool *agrees,
    uint64_t *compared)
{
    struct recount recount = {.models = models, .models_count = models_count};
    int r = sim_results(sim, TOPIC_CONVERSIONS, visit_conversion, &recount);
    if (r == 0)
        r = sim_results(sim, TOPIC_PROFILES, visit_profile, &recount);
    if (r == 0)
        r = sim_results(sim, TOPIC_MODELS, visit_count, &recount);
    if (r == 0 && recount.count)
        qsort(recount.lines, recount.count, sizeof *recount.lines, compare_lines);
    *agrees = r == 0 && all_zero(&recount) && !recount.unreconciled;
    *compared += recount.rows;
    free(recount.lines);
    arena_free(&recount.arena);
    return r;
}
