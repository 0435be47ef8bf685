/* Answers are model_answers throughout: what is printed is what is kept. */
#include "deploy/attribute/stored.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/model_credits.h"
#include "sinks/sqlite/model_list.h"

#define DISTANCE_SAID 1e-6 /* part of all conversions: below it is the fit's own error */

int attribute_stored_open(struct attribute_stored *out, const char *path)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    *out = (struct attribute_stored){.models = NULL};
    struct model_answers mark = {.count = 0};
    int r = database_open_reader(&db, path);
    if (r == 0)
        r = model_answers_mark(&mark, db);
    out->events = mark.events;
    out->until = mark.until;
    return r < 0 ? r : model_list_read(db, &out->arena, &out->models, &out->models_count);
}

void attribute_stored_close(struct attribute_stored *stored)
{
    model_answers_free(&stored->counted);
    model_answers_free(&stored->answers);
    arena_free(&stored->arena);
    *stored = (struct attribute_stored){.models = NULL};
}

const struct model *attribute_stored_model(const struct attribute_stored *stored, struct str name)
{
    for (size_t i = 0; i < stored->models_count; i++)
        if (str_equal(stored->models[i].name, name))
            return &stored->models[i];
    return NULL;
}

static bool has(const struct model *models, size_t count, const struct model *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(models[i].name, wanted->name))
            return memcmp(models[i].version, wanted->version, MODEL_VERSION_SIZE) == 0;
    return false;
}

struct str attribute_stored_differs(
    const struct attribute_stored *stored, const struct model *models, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!has(stored->models, stored->models_count, &models[i]))
            return models[i].name;
    for (size_t i = 0; i < stored->models_count; i++)
        if (!has(models, count, &stored->models[i]))
            return stored->models[i].name;
    return (struct str){0};
}

/* ---- answers ---- */

static int read_unit(sqlite3 *db, const char *currency, double *unit)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        db, "SELECT coalesce(max(minor_per_major), 1) FROM currency WHERE currency = ?1", &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    int code = sqlite3_step(select);
    *unit = sqlite3_column_double(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

/* A rule's channels, as its credits sum. */
static int answer_rule(struct attribute_stored *stored, sqlite3 *db,
    const struct attribute_wanted *wanted, const char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT channel, credited_conversions, credited_revenue, credited_revenue_minor "
        "FROM v_channel_attribution WHERE model = ?1 AND coalesce(currency, '') = ?2 "
        "ORDER BY channel = '(unattributed)', channel",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, wanted->model->name);
    bind_text(select, 2, str_of(currency));
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct model_answer answer = {
            .model = str_of(wanted->name),
            .currency = str_of(currency),
            .credit = {sqlite3_column_double(select, 1), sqlite3_column_double(select, 2), NAN, NAN,
                NAN, NAN},
            .revenue_minor = sqlite3_column_int64(select, 3),
        };
        r = arena_dup(&stored->arena, column_text(select, 0), &answer.channel);
        if (r == 0)
            r = model_answers_add(&stored->answers, &answer);
    }
    sqlite3_finalize(select);
    return r < 0 ? r : database_error(code);
}

static int answer_counted(
    struct attribute_stored *stored, const struct attribute_wanted *wanted, const char *currency)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < stored->counted.count; i++) {
        const struct model_answer *answer = &stored->counted.items[i];
        if (str_equal(answer->model, wanted->model->name) &&
            str_equal(answer->currency, str_of(currency)))
            r = model_answers_add(&stored->answers, answer);
    }
    if (r == 0)
        stored->solved[stored->solved_count++] = *wanted->model;
    return r;
}

/* One that was solved by kind: its rows among all, which sum to the revenue of all paths. */
static int answer_kind(struct attribute_stored *stored, const struct attribute_input *input,
    const struct attribute_wanted *wanted, const struct attribute_answer *rows, size_t count,
    const char *currency, double unit)
{
    const struct attribute_options *options = input->options;
    int model = options->models[wanted->place];
    size_t from = stored->answers.count;
    const struct model made = {
        .name = str_of(wanted->name),
        .kind = model_kind_of(str_of(attribute_model_name(model))),
        .order = options->order,
        .ignore_nulls = options->ignore_nulls,
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (rows[i].model != attribute_model_name(model))
            continue;
        r = model_answers_add(
            &stored->answers, &(struct model_answer){
                                  .model = made.name,
                                  .kind = made.kind,
                                  .currency = str_of(currency),
                                  .channel = rows[i].channel,
                                  .credit = {rows[i].conversions, rows[i].value, rows[i].effect,
                                      rows[i].value_effect, rows[i].low, rows[i].high},
                              });
    }
    if (r == 0)
        r = model_answers_round(&stored->answers, from, unit, llround(input->set.value * unit));
    if (r == 0 && !model_is_rule(&made))
        stored->solved[stored->solved_count++] = made;
    return r;
}

static int answer_all(struct attribute_stored *stored, sqlite3 *db, struct attribute_input *input,
    const struct attribute_answer *rows, size_t count, const char *currency)
{
    double unit = 1;
    int r = read_unit(db, currency, &unit);
    for (size_t i = 0; r == 0 && i < stored->wanted_count; i++) {
        const struct attribute_wanted *wanted = &stored->wanted[i];
        if (!wanted->model)
            r = answer_kind(stored, input, wanted, rows, count, currency, unit);
        else if (model_is_rule(wanted->model))
            r = answer_rule(stored, db, wanted, currency);
        else
            r = answer_counted(stored, wanted, currency);
    }
    return r;
}

int attribute_stored_answer(struct attribute_stored *stored, struct attribute_input *input,
    const char *path, const char *currency)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    struct attribute_answer *rows = NULL;
    size_t count = 0, kinds = input->options->models_count;
    bool counted = false;
    model_answers_free(&stored->counted);
    model_answers_free(&stored->answers);
    stored->solved_count = 0;
    for (size_t i = 0; i < stored->wanted_count; i++)
        counted |= stored->wanted[i].model && !model_is_rule(stored->wanted[i].model);
    int r = database_open_reader(&db, path);
    if (r == 0 && counted)
        r = model_table_solve(db, &stored->counted);
    if (r == 0 && kinds)
        r = attribute_solve(input, &rows, &count);
    if (r == 0)
        r = answer_all(stored, db, input, rows, count, currency);
    free(rows);
    return r;
}

/* ---- keeping ---- */

void attribute_tell_distances(
    const struct attribute_options *options, const struct model_credits *credits)
{
    for (size_t i = 0; i < model_credits_count(credits); i++) {
        const struct model_fitted fitted = model_credits_fitted(credits, i);
        if (fitted.distance > DISTANCE_SAID)
            (void)fprintf(options->messages,
                "%s: %.*s: touches of %.4f %% of the conversions are of other channels than the "
                "model says: their paths leave no choice\n",
                options->name, (int)fitted.model->name.size, fitted.model->name.data,
                fitted.distance * 100);
    }
}

static int begin(sqlite3 **db, const char *path)
{
    int r = database_open(db, path, NULL);
    return r < 0 ? r : database_run(*db, "BEGIN IMMEDIATE");
}

/* Both tables of a run. */
static int keep(sqlite3 *db, const struct model_answers *answers, const struct model *models,
    size_t count, const struct attribute_options *options)
{
    CLEANUP(model_credits_close) struct model_credits *credits = NULL;
    struct timespec now;
    int64_t run_id = 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t as_of = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    int r = model_table_save(db, answers, as_of, &run_id);
    if (r == 0)
        r = model_credits_open(&credits, db, models, count, answers);
    if (r == 0)
        attribute_tell_distances(options, credits);
    return r < 0 ? r : model_credits_save(credits, run_id, as_of);
}

/* Credits of the configuration's rules stand in the database already. */
int attribute_stored_save(const struct attribute_stored *stored,
    const struct attribute_options *options, const char *path)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    CLEANUP(model_answers_free)
    struct model_answers kept = {.events = stored->events, .until = stored->until};
    int r = 0;
    for (size_t i = 0; r == 0 && i < stored->answers.count; i++) {
        const struct model_answer *answer = &stored->answers.items[i];
        const struct model *model = attribute_stored_model(stored, answer->model);
        if (!model || !model_is_rule(model))
            r = model_answers_add(&kept, answer);
    }
    if (r == 0)
        r = begin(&db, path);
    if (r == 0)
        r = keep(db, &kept, stored->solved, stored->solved_count, options);
    return r == 0 ? database_run(db, "COMMIT") : r;
}

int attribute_save_counted(
    const char *path, const struct attribute_options *options, struct model_answers *out)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    CLEANUP(arena_free) struct arena arena = {0};
    struct model *models = NULL;
    size_t count = 0;
    int r = begin(&db, path);
    if (r == 0)
        r = model_list_read(db, &arena, &models, &count);
    if (r == 0)
        r = model_table_solve(db, out);
    if (r == 0)
        r = keep(db, out, models, count, options);
    return r == 0 ? database_run(db, "COMMIT") : r;
}
