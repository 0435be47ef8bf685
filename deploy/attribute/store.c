/* Journeys come from tabiji.db as its path table has them; solved models go back into it. */
#include <math.h>
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
            .flags = attribute_is_direct(input->options, name) ? PATH_STEP_DIRECT : 0};
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

/* Net: what was refunded of a path's conversion is taken from it. */
#define REVENUE_MINOR DATABASE_SUM_MINOR("(p.revenue_minor + coalesce(b.minor, 0))")
#define REFUND_MINOR DATABASE_SUM_MINOR("revenue_minor")

static int read_paths(struct attribute_input *input, sqlite3 *db, const char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT p.channels, sum(p.conversions), " REVENUE_MINOR
        " * 1.0 / coalesce(max(u.minor_per_major), 1), "
        "sum(p.kind = 'open') FROM path AS p LEFT JOIN currency AS u ON u.currency = ?1 "
        "LEFT JOIN (SELECT person, refund_of, " REFUND_MINOR " AS minor FROM conversion "
        "WHERE kind = 'refund' GROUP BY 1, 2) AS b ON p.kind = 'converting' "
        "AND b.person = p.person AND b.refund_of = p.path_key "
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
    if (r == 0 && !options->currency_given)
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

static int delete_model(sqlite3_stmt *delete, const char *model, const char *currency)
{
    bind_text(delete, 1, str_of(model));
    bind_text(delete, 2, str_of(currency));
    int code = sqlite3_step(delete);
    sqlite3_reset(delete);
    return database_error(code);
}

/* ---- credits of conversions ---- */

/* One saving of table model_credit. */
struct saving {
    const struct attribute_touches *touches;
    const struct attribute_conversion *conversion;
    const char *currency;
    sqlite3_stmt *put;
    int64_t now;
};

static int put_credit(void *context, const struct attribute_touch_credit *credit)
{
    struct saving *saving = context;
    int model = saving->touches->input->options->models[credit->place];
    bind_blob(saving->put, 1, saving->conversion->person);
    bind_text(saving->put, 2, saving->conversion->conversion_id);
    bind_text(saving->put, 3, str_of(attribute_model_name(model)));
    sqlite3_bind_int64(saving->put, 4, credit->touch_index);
    if (credit->touch_event_key.size)
        bind_blob(saving->put, 5, credit->touch_event_key);
    else
        sqlite3_bind_null(saving->put, 5);
    bind_text(saving->put, 6, credit->channel);
    sqlite3_bind_int64(saving->put, 7, credit->weight_ppb);
    sqlite3_bind_int64(saving->put, 8, credit->revenue_minor);
    bind_text_or_null(saving->put, 9, str_of(saving->currency));
    sqlite3_bind_int64(saving->put, 10, saving->now);
    int code = sqlite3_step(saving->put);
    sqlite3_reset(saving->put);
    return database_error(code);
}

static int save_conversions(
    struct saving *saving, sqlite3_stmt *select, struct attribute_stored *stored)
{
    int code = SQLITE_DONE, r = 0;
    bind_text(select, 1, str_of(saving->currency));
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct attribute_conversion conversion = {
            .person = column_text(select, 0),
            .conversion_id = column_text(select, 1),
            .refund_of = column_text(select, 2),
            .occurred_at = sqlite3_column_int64(select, 3),
            .revenue_minor = sqlite3_column_int64(select, 4),
            .credit_first = sqlite3_column_int64(select, 5),
            .credit_count = sqlite3_column_int64(select, 6),
        };
        saving->conversion = &conversion;
        r = attribute_stored_credits(stored, &conversion, put_credit, saving);
    }
    return r < 0 ? r : database_error(code);
}

static int delete_credits(sqlite3 *db, const struct saving *saving)
{
    const struct attribute_options *options = saving->touches->input->options;
    sqlite3_stmt *delete = NULL;
    int r = database_prepare(
        db, "DELETE FROM model_credit WHERE model = ?1 AND coalesce(currency, '') = ?2", &delete);
    for (size_t i = 0; r == 0 && i < options->models_count; i++)
        r = delete_model(delete, attribute_model_name(options->models[i]), saving->currency);
    sqlite3_finalize(delete);
    return r;
}

static int save_credits(
    sqlite3 *db, const char *currency, struct attribute_touches *touches, int64_t now)
{
    struct saving saving = {.touches = touches, .currency = currency, .now = now};
    CLEANUP(attribute_stored_close) struct attribute_stored *stored = NULL;
    sqlite3_stmt *select = NULL;
    int r = delete_credits(db, &saving);
    if (r == 0)
        r = attribute_stored_open(&stored, db, touches);
    if (r == 0)
        r = database_prepare(db,
            "INSERT OR REPLACE INTO model_credit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            &saving.put);
    if (r == 0)
        r = database_prepare(db,
            "SELECT person, conversion_id, coalesce(refund_of, ''), occurred_at, revenue_minor, "
            "credit_first, credit_count FROM conversion WHERE coalesce(currency, '') = ?1 "
            "ORDER BY person, conversion_id",
            &select);
    if (r == 0)
        r = save_conversions(&saving, select, stored);
    sqlite3_finalize(select);
    sqlite3_finalize(saving.put);
    return r;
}

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

/* Each model's rows sum to the revenue of all paths. */
static int take_answers(sqlite3 *db, const char *currency, const struct attribute_touches *touches,
    const struct attribute_answer *answers, size_t count, struct model_answers *out)
{
    double unit = 1;
    int r = read_unit(db, currency, &unit);
    size_t from = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = take_answer(currency, &answers[i], out);
        if (r < 0 || (i + 1 < count && strcmp(answers[i + 1].model, answers[i].model) == 0))
            continue;
        r = model_answers_round(out, from, unit, llround(touches->input->set.value * unit));
        from = out->count;
    }
    return r;
}

int attribute_save(const char *path, const char *currency, const struct attribute_answer *answers,
    size_t count, struct attribute_touches *touches)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    CLEANUP(model_answers_free) struct model_answers rows = {.count = 0};
    int64_t now = now_micros();
    int r = begin(&db, path);
    if (r == 0)
        r = take_answers(db, currency, touches, answers, count, &rows);
    if (r == 0)
        r = model_table_save(db, &rows, now);
    if (r == 0)
        r = save_credits(db, currency, touches, now);
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
