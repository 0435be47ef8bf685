/* A row is compared as one text of all its columns: what differs is written whole. */
#include "sinks/sqlite/model_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"
#include "sinks/sqlite/database.h"

#define COLUMNS                                                                                    \
    "model, model_kind, model_order, null_paths, conversion_types, lookback_days, journey, "       \
    "half_life_days, weights, solved, sums, model_version, bootstrap, seed"

/* ---- rows ---- */

static int write_types(const struct model *model, struct buf *out)
{
    int r = buf_append(out, "[", 1);
    for (size_t i = 0; r == 0 && i < model->conversion_types_count; i++) {
        r = i ? buf_append(out, ",", 1) : 0;
        if (r == 0)
            r = json_write_text(out, model->conversion_types[i]);
    }
    return r < 0 ? r : buf_append(out, "]", 1);
}

static int put_model(sqlite3_stmt *put, const struct model *model, size_t place, struct str version)
{
    CLEANUP(buf_free) struct buf types = {0};
    char weights[64];
    const struct rule_position *custom = &model->config.custom;
    int r = write_types(model, &types);
    if (r < 0)
        return r;
    (void)snprintf(
        weights, sizeof weights, "%u:%u:%u", custom->first, custom->middle, custom->last);
    sqlite3_clear_bindings(put);
    bind_text(put, 1, model->name);
    bind_text(put, 2, str_of(model_kind_text(model)));
    if (model->kind == MODEL_KIND_MARKOV) {
        sqlite3_bind_int(put, 3, model->order);
        bind_text(put, 4, model->ignore_nulls ? STR("ignore") : STR("use"));
    }
    bind_text(put, 5, buf_str(&types));
    sqlite3_bind_int64(put, 6, model->lookback_micros / TIME_MICROS_PER_DAY);
    bind_text(put, 7, model->reset ? STR("reset") : STR("reuse"));
    if (model->rule == RULE_MODEL_TIME_DECAY)
        sqlite3_bind_int64(put, 8, model->config.half_life_micros / TIME_MICROS_PER_DAY);
    if (model->rule == RULE_MODEL_CUSTOM)
        bind_text(put, 9, str_of(weights));
    sqlite3_bind_int(put, 10, !model_is_rule(model));
    sqlite3_bind_int(put, 11, model->rule != RULE_MODEL_PARTICIPATION);
    bind_text(put, 12, version);
    sqlite3_bind_int64(put, 13, (int64_t)place);
    sqlite3_bind_int64(put, 14, (int64_t)model->bootstrap);
    sqlite3_bind_int64(put, 15, (int64_t)model->seed);
    int code = sqlite3_step(put);
    sqlite3_reset(put);
    return database_error(code);
}

/* Rows into the table of that name: first the rules that are always there. */
static int put_models(sqlite3 *db, const char *table, const struct model *models, size_t count)
{
    char sql[512];
    sqlite3_stmt *put = NULL;
    (void)snprintf(sql, sizeof sql,
        "INSERT INTO %s (" COLUMNS ", place) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14, ?15, ?13)",
        table);
    int r = database_prepare(db, sql, &put);
    size_t place = 0;
    for (int i = RULE_MODEL_UNKNOWN + 1; r == 0 && i < RULE_MODEL_CONFIGURED; i++) {
        const struct model rule = {.name = str_of(rule_model_name((enum rule_model)i)),
            .rule = (enum rule_model)i,
            .config = rule_config_default()};
        r = put_model(put, &rule, place++, STR(""));
    }
    for (size_t i = 0; r == 0 && i < count; i++)
        r = put_model(put, &models[i], place++, str_make(models[i].version, MODEL_VERSION_SIZE));
    sqlite3_finalize(put);
    return r;
}

static int ask(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, sql, &select);
    if (r < 0)
        return r;
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

int model_list_is(sqlite3 *db, const struct model *models, size_t count, bool *is, bool *empty)
{
    int64_t differ = 0, configured = 0;
    int r = database_run(db,
        "CREATE TEMP TABLE IF NOT EXISTS model_wanted AS SELECT * FROM main.model LIMIT 0; "
        "DELETE FROM temp.model_wanted");
    if (r == 0)
        r = put_models(db, "temp.model_wanted", models, count);
    if (r == 0)
        r = ask(db,
            "SELECT count(*) FROM (SELECT * FROM (SELECT " COLUMNS ", place FROM main.model "
            "EXCEPT SELECT " COLUMNS ", place FROM temp.model_wanted) UNION ALL SELECT * FROM "
            "(SELECT " COLUMNS ", place FROM temp.model_wanted "
            "EXCEPT SELECT " COLUMNS ", place FROM main.model))",
            &differ);
    if (r == 0)
        r = ask(db, "SELECT count(*) FROM main.model WHERE model_version <> ''", &configured);
    *is = differ == 0;
    *empty = configured == 0;
    return r;
}

/* ---- the view ---- */

static int append_column(struct buf *sql, struct str name)
{
    static const char *const figures[] = {"conversions", "revenue", "revenue_minor"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < 3; i++)
        r = buf_appendf(sql, ",\n    sum(credited_%s) FILTER (WHERE model = '%.*s') AS \"%.*s_%s\"",
            figures[i], (int)name.size, name.data, (int)name.size, name.data, figures[i]);
    return r;
}

/* Of which data the solved models of the configuration are. */
#define SOLVED_FROM                                                                                \
    ",\n    min(solved_until_jst) FILTER (WHERE model IN (SELECT model FROM model)) "              \
    "AS solved_until_jst,\n    max(abs(events_since)) FILTER (WHERE model IN "                     \
    "(SELECT model FROM model)) AS events_since"

/* Names are of letters, digits, - and _: none needs an escape. */
static int make_view(sqlite3 *db, const struct model *models, size_t count)
{
    CLEANUP(buf_free) struct buf sql = {0};
    int r = buf_append_str(&sql, STR("DROP VIEW IF EXISTS v_model_comparison;\n"
                                     "CREATE VIEW v_model_comparison AS\n"
                                     "SELECT\n    channel,\n    currency"));
    for (int i = RULE_MODEL_UNKNOWN + 1; r == 0 && i < RULE_MODEL_CONFIGURED; i++)
        r = append_column(&sql, str_of(rule_model_name((enum rule_model)i)));
    for (size_t i = 0; r == 0 && i < count; i++)
        r = append_column(&sql, models[i].name);
    if (r == 0)
        r = buf_append_str(&sql, STR(SOLVED_FROM));
    if (r == 0)
        r = buf_appendf(
            &sql, "\nFROM v_model_comparison_long\nGROUP BY channel, currency;%c", '\0');
    return r < 0 ? r : database_run(db, sql.data);
}

int model_list_save(sqlite3 *db, const struct model *models, size_t count)
{
    int r = database_run(db, "DELETE FROM model");
    if (r == 0)
        r = put_models(db, "main.model", models, count);
    if (r == 0)
        r = make_view(db, models, count);
    return r < 0 ? r : database_describe(db, "v_model_comparison");
}

/* ---- reading ---- */

static int read_types(
    struct json_parser *parser, struct arena *arena, struct str text, struct model *out)
{
    struct json array, name;
    struct json_iterator iterator;
    struct str key;
    struct str *types = arena_alloc(arena, (text.size / 2 + 1) * sizeof *types);
    int r = types ? json_parse(parser, text, &array) : ERR_NO_MEMORY;
    if (r < 0 || json_kind(array) != JSON_ARRAY)
        return r == ERR_NO_MEMORY ? r : ERR_STATE;
    json_iterate(array, &iterator);
    while (r == 0 && json_next(&iterator, &key, &name)) {
        if (json_kind(name) != JSON_TEXT)
            return ERR_STATE;
        r = arena_dup(arena, json_text(name), &types[out->conversion_types_count++]);
    }
    out->conversion_types = types;
    return r;
}

static int read_model(
    sqlite3_stmt *select, struct json_parser *parser, struct arena *arena, struct model *out)
{
    struct str kind = column_text(select, 1), weights = column_text(select, 8);
    int rule = rule_model_from_name(kind);
    struct str version = column_text(select, 11);
    char text[64] = "";
    *out = (struct model){
        .kind = model_kind_of(kind),
        .rule = rule < 0 ? RULE_MODEL_UNKNOWN : (enum rule_model)rule,
        .config = rule_config_default(),
        .order = sqlite3_column_type(select, 2) == SQLITE_NULL ? 1 : sqlite3_column_int(select, 2),
        .bootstrap = (size_t)sqlite3_column_int64(select, 12),
        .seed = (uint64_t)sqlite3_column_int64(select, 13),
        .ignore_nulls = str_equal(column_text(select, 3), STR("ignore")),
        .lookback_micros = sqlite3_column_int64(select, 5) * TIME_MICROS_PER_DAY,
        .reset = str_equal(column_text(select, 6), STR("reset")),
    };
    if ((out->kind == MODEL_KIND_UNKNOWN && out->rule == RULE_MODEL_UNKNOWN) ||
        version.size != MODEL_VERSION_SIZE || weights.size >= sizeof text)
        return ERR_STATE;
    memcpy(out->version, version.data, MODEL_VERSION_SIZE);
    if (sqlite3_column_int64(select, 7))
        out->config.half_life_micros = sqlite3_column_int64(select, 7) * TIME_MICROS_PER_DAY;
    if (weights.size) {
        struct rule_position *custom = &out->config.custom;
        memcpy(text, weights.data, weights.size);
        if (sscanf(text, "%u:%u:%u", &custom->first, &custom->middle, &custom->last) != 3)
            return ERR_STATE;
    }
    int r = arena_dup(arena, column_text(select, 0), &out->name);
    return r < 0 ? r : read_types(parser, arena, column_text(select, 4), out);
}

int model_list_read(sqlite3 *db, struct arena *arena, struct model **out, size_t *count)
{
    sqlite3_stmt *select = NULL;
    CLEANUP(json_parser_free) struct json_parser *parser = NULL;
    size_t found = 0;
    struct model *models = arena_alloc(arena, MODELS_CONFIGURED_MAX * sizeof *models);
    int r = models ? json_parser_new(&parser) : ERR_NO_MEMORY;
    if (r == 0)
        r = database_prepare(
            db, "SELECT " COLUMNS " FROM model WHERE model_version <> '' ORDER BY place", &select);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = found == MODELS_CONFIGURED_MAX ? ERR_STATE
                                           : read_model(select, parser, arena, &models[found++]);
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    *out = models;
    *count = found;
    return r;
}
