/* Journeys come from tabiji.db as its path table has them; solved models go back into it. */
#include <stdlib.h>
#include <time.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"

#define ARROW STR(" > ")

/* ---- paths ---- */

static struct str next_channel(struct str *rest)
{
    const char *found = rest->size ? memmem(rest->data, rest->size, ARROW.data, ARROW.size) : NULL;
    size_t size = found ? (size_t)(found - rest->data) : rest->size;
    struct str channel = str_make(rest->data, size);
    size_t taken = found ? size + ARROW.size : size;
    *rest = str_make(rest->data + taken, rest->size - taken);
    return channel;
}

static int take_path(struct attribute_input *input, struct str text, const struct path_count *count)
{
    size_t length = 0;
    int r = 0;
    while (r == 0 && text.size) {
        struct str name = next_channel(&text);
        if (length == input->touches_room) {
            size_t room = length ? length * 2 : 64;
            struct path_step *more = realloc(input->touches, room * sizeof *more);
            if (!more)
                return ERR_NO_MEMORY;
            input->touches = more;
            input->touches_room = room;
        }
        struct path_step *touch = &input->touches[length++];
        *touch = (struct path_step){
            .flags = str_equal(name, input->options->direct) ? PATH_STEP_DIRECT : 0};
        r = path_set_channel(&input->set, name, &touch->channel);
    }
    return r < 0 ? r : attribute_path(input, input->touches, length, count);
}

/* The currency of all conversions, where there is but one. */
static int find_currency(struct attribute_input *input, sqlite3 *db, char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT coalesce(min(currency), ''), count(DISTINCT coalesce(currency, '')), "
        "group_concat(DISTINCT coalesce(currency, 'none')) FROM path WHERE kind = 'converting'",
        &select);
    if (r < 0 || *currency) {
        sqlite3_finalize(select);
        return r;
    }
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW && sqlite3_column_int(select, 1) > 1) {
        (void)fprintf(input->options->messages,
            "%s: conversions are in %s: say which by --currency\n", input->options->name,
            (const char *)sqlite3_column_text(select, 2));
        r = ERR_CONFIG;
    } else if (code == SQLITE_ROW) {
        (void)snprintf(
            currency, ATTRIBUTE_CURRENCY_SIZE, "%s", (const char *)sqlite3_column_text(select, 0));
    } else {
        r = database_error(code);
    }
    sqlite3_finalize(select);
    return r;
}

static int read_paths(struct attribute_input *input, sqlite3 *db, const char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT p.channels, sum(p.conversions), "
        "sum(p.revenue_minor) * 1.0 / coalesce(max(u.minor_per_major), 1), "
        "sum(p.kind = 'open') FROM path AS p LEFT JOIN currency AS u ON u.currency = ?1 "
        "WHERE p.kind = 'open' OR coalesce(p.currency, '') = ?1 GROUP BY p.channels ORDER BY 1",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    int code;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct path_count count = {.conversions = sqlite3_column_double(select, 1),
            .value = sqlite3_column_double(select, 2),
            .nulls = sqlite3_column_double(select, 3)};
        r = take_path(input, column_text(select, 0), &count);
        input->rows++;
    }
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

int attribute_read_database(
    struct attribute_input *input, const char *path, char currency[ATTRIBUTE_CURRENCY_SIZE])
{
    const struct attribute_options *options = input->options;
    CLEANUP(database_close) sqlite3 *db = NULL;
    for (size_t i = 0; i < options->models_count; i++) {
        int model = options->models[i];
        if (model != PATH_RULE_TIME_DECAY && model != PATH_RULE_W_SHAPE &&
            model != PATH_RULE_FULL_PATH)
            continue;
        (void)fprintf(options->messages,
            "%s: %s needs a row a touch; stored paths have channels only\n", options->name,
            attribute_model_name(model));
        return ERR_CONFIG;
    }
    int r = database_open_reader(&db, path);
    if (r == 0)
        r = find_currency(input, db, currency);
    return r < 0 ? r : read_paths(input, db, currency);
}

/* ---- solved models ---- */

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int take_answer(
    const char *currency, const struct attribute_answer *answer, struct model_answers *out)
{
    const struct model_answer made = {
        .model = str_of(answer->model),
        .kind = model_kind_of(str_of(answer->model)),
        .currency = str_of(currency),
        .channel = answer->channel,
        .credit = {answer->conversions, answer->value, answer->effect, answer->value_effect,
            answer->low, answer->high},
    };
    return model_answers_add(out, &made);
}

static int begin(sqlite3 **db, const char *path)
{
    int r = database_open(db, path, NULL);
    return r < 0 ? r : database_run(*db, "BEGIN IMMEDIATE");
}

int attribute_save(
    const char *path, const char *currency, const struct attribute_answer *answers, size_t count)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    CLEANUP(model_answers_free) struct model_answers rows = {.count = 0};
    int r = begin(&db, path);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = take_answer(currency, &answers[i], &rows);
    if (r == 0)
        r = model_table_save(db, &rows, now_micros());
    return r == 0 ? database_run(db, "COMMIT") : r;
}

int attribute_save_counted(const char *path, struct model_answers *out)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    int r = begin(&db, path);
    if (r == 0)
        r = model_table_solve(db, out);
    if (r == 0)
        r = model_table_save(db, out, now_micros());
    return r == 0 ? database_run(db, "COMMIT") : r;
}
