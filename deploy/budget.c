/* Periods come from the views' tables by one query; curves and shares from enrich. */
#include "deploy/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schemas/error.h"
#include "schemas/nearest.h"
#include "sinks/sqlite/database.h"

#define PERIODS_MAX 100000
#define MICROS_PER_SECOND 1000000
#define NANOS_PER_MICRO 1000

/* ?3 is the period; of its name, its first and its last day. */
#define PERIOD_OF(day)                                                                             \
    "CASE ?3 WHEN 'day' THEN " day " WHEN 'week' THEN date(" day                                   \
    ", '-6 days', 'weekday 1') ELSE substr(" day ", 1, 7) END"
#define PERIOD_BEGIN "CASE ?3 WHEN 'month' THEN k.period || '-01' ELSE k.period END"
#define PERIOD_END                                                                                 \
    "CASE ?3 WHEN 'day' THEN k.period WHEN 'week' THEN date(k.period, '+6 days') "                 \
    "ELSE date(k.period || '-01', '+1 month', '-1 day') END"

#define DAY "day"
#define PERIOD PERIOD_OF(DAY)
#define SPENT_MINOR DATABASE_SUM_MINOR("cost_minor")
#define CREDITED_MINOR DATABASE_SUM_MINOR("credited_revenue_minor")

/* Whole ones, between days ?4 and ?5, first in the last column. */
static const char periods_sql[] =
    "WITH cost AS (SELECT channel, " PERIOD " AS period, " SPENT_MINOR " AS spent "
    "FROM spend WHERE currency = ?1 GROUP BY 1, 2), "
    "earned AS (SELECT channel, " PERIOD " AS period, " CREDITED_MINOR " AS credited "
    "FROM v_credit_day WHERE model = ?2 AND currency = ?1 GROUP BY 1, 2) "
    "SELECT k.channel, k.spent, coalesce(e.credited, 0), " PERIOD_BEGIN " >= ?4 AND " PERIOD_END
    " <= ?5 FROM cost AS k LEFT JOIN earned AS e USING (channel, period) WHERE k.spent > 0 "
    "ORDER BY k.channel, k.period";

static const char window_sql[] =
    "SELECT coalesce(" CREDITED_MINOR ", 0) FROM v_credit_day WHERE currency = ?1 AND model = ?2 "
    "AND channel = ?3 AND day BETWEEN ?4 AND ?5";

/* Days, Japan's, of which there are both spend and events. */
static const char days_sql[] =
    "SELECT max(s.first, p.first), min(s.last, p.last) FROM "
    "(SELECT min(day) AS first, max(day) AS last FROM spend WHERE currency = ?1) AS s, "
    "(SELECT coalesce(date(min(first_at) / 1000000, 'unixepoch', '+9 hours'), '') AS first, "
    "coalesce(date(max(last_at) / 1000000, 'unixepoch', '+9 hours'), '') AS last FROM person) AS p";

/* The one row of a query as "count" and "names". */
struct tally {
    int64_t count;
    char names[256];
};

struct series {
    double *x, *y;
    size_t count, room;
};

static void say(const struct budget_options *options, const char *what, const char *which)
{
    (void)snprintf(options->reason, BUDGET_REASON_SIZE, "%s%s", what, which);
}

static int ask_tally(sqlite3 *db, const char *sql, const char *first, struct tally *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(first));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        const char *names = (const char *)sqlite3_column_text(select, 1);
        out->count = sqlite3_column_int64(select, 0);
        (void)snprintf(out->names, sizeof out->names, "%s", names ? names : "");
    }
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

/* Sets the currency, which spend and credits have in common. */
static int find_currency(struct budget *budget, sqlite3 *db, const struct budget_options *options)
{
    struct tally all = {0}, credited = {0};
    int r = ask_tally(db,
        "SELECT count(DISTINCT currency), group_concat(DISTINCT currency) FROM spend "
        "WHERE ?1 = '' OR currency = ?1",
        options->currency, &all);
    if (r < 0)
        return r;
    if (all.count == 0) {
        say(options, "there is no spend", options->currency[0] ? " in that currency" : "");
        return options->currency[0] ? ERR_CURRENCY : ERR_EMPTY;
    }
    if (all.count > 1) {
        say(options, "say by --currency which spend is meant: ", all.names);
        return ERR_CURRENCY;
    }
    (void)snprintf(budget->currency, sizeof budget->currency, "%.3s", all.names);
    r = ask_tally(db,
        "SELECT sum(coalesce(currency, '') = ?1), group_concat(DISTINCT currency) "
        "FROM attribution_credit",
        budget->currency, &credited);
    if (r == 0 && credited.count == 0) {
        say(options, "no revenue is credited in the currency of spend, only in: ",
            credited.names[0] ? credited.names : "none");
        return ERR_CURRENCY;
    }
    return r;
}

static int check_model(sqlite3 *db, const struct budget_options *options)
{
    struct tally models = {0};
    int r = ask_tally(db,
        "SELECT sum(model = ?1), group_concat(model) FROM (SELECT model FROM model WHERE "
        "solved = 0 UNION SELECT model FROM model_channel)",
        options->model, &models);
    if (r < 0 || models.count)
        return r;
    say(options, "no such model; there are ", models.names);
    return ERR_CONFIG;
}

static int read_units(struct budget *budget, sqlite3 *db)
{
    struct tally units = {0};
    int r = ask_tally(db,
        "SELECT coalesce(max(minor_per_major), 1), '' FROM currency WHERE currency = ?1",
        budget->currency, &units);
    budget->minor_per_major = (double)units.count;
    return r;
}

static int read_days(struct budget *budget, sqlite3 *db)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, days_sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(budget->currency));
    int code = sqlite3_step(select);
    for (int i = 0; code == SQLITE_ROW && i < 2; i++) {
        const char *day = (const char *)sqlite3_column_text(select, i);
        (void)snprintf(
            i ? budget->last_day : budget->first_day, BUDGET_DAY_SIZE, "%.10s", day ? day : "");
    }
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

/* ---- wishes ---- */

static const struct budget_wish *wish_of(const struct budget_wishes *wishes, struct str channel)
{
    for (size_t i = 0; i < wishes->count; i++)
        if (str_equal(wishes->items[i].channel, channel))
            return &wishes->items[i];
    return NULL;
}

/* Every wish is about a channel that has spend. */
static int check_wishes(
    const struct budget *budget, const struct budget_wishes *wishes, char *reason)
{
    struct str names[BUDGET_CHANNELS_MAX];
    for (size_t i = 0; i < budget->count; i++)
        names[i] = budget->rows[i].channel;
    for (size_t i = 0; i < wishes->count; i++) {
        struct str name = wishes->items[i].channel;
        bool known = false;
        for (size_t k = 0; k < budget->count; k++)
            known |= str_equal(names[k], name);
        if (known)
            continue;
        struct str near = nearest_name(name, names, budget->count);
        (void)snprintf(reason, BUDGET_REASON_SIZE, "no spend for channel \"%.*s\"%s%.*s%s",
            (int)name.size, name.data, near.size ? "; did you mean \"" : "", (int)near.size,
            near.data, near.size ? "\"?" : "");
        return ERR_CONFIG;
    }
    return 0;
}

/* What the experiment found to be caused, over what the model credits in the same days. */
static int calibrate(const struct budget *budget, sqlite3 *db, const struct budget_options *options,
    struct budget_row *row)
{
    const struct budget_wish *found = wish_of(&options->experiments, row->channel);
    sqlite3_stmt *select = NULL;
    if (!found)
        return 0;
    int r = database_prepare(db, window_sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(budget->currency));
    bind_text(select, 2, str_of(options->model));
    bind_text(select, 3, row->channel);
    bind_text(select, 4, found->from);
    bind_text(select, 5, found->to);
    int code = sqlite3_step(select);
    double attributed =
        code == SQLITE_ROW ? sqlite3_column_double(select, 0) / budget->minor_per_major : 0;
    sqlite3_finalize(select);
    if (code != SQLITE_ROW)
        return database_error(code);
    if (attributed <= 0) {
        say(options, "nothing is attributed in the days of the experiment", "");
        return ERR_VALUE;
    }
    row->factor = found->amount / attributed;
    return 0;
}

/* ---- channels ---- */

static int series_add(struct series *series, double x, double y)
{
    if (series->count == series->room) {
        size_t room = series->room ? series->room * 2 : 64;
        double *more = room > PERIODS_MAX ? NULL : realloc(series->x, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        series->x = more;
        more = realloc(series->y, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        series->y = more;
        series->room = room;
    }
    series->x[series->count] = x;
    series->y[series->count++] = y;
    return 0;
}

/* A channel's periods are complete, the cut off ones and the whole ones: means, factor, curve. */
static int end_row(
    struct budget *budget, sqlite3 *db, const struct budget_options *options, struct series both[2])
{
    struct budget_row *row = &budget->rows[budget->count - 1];
    struct series *series = &both[both[1].count > 0];
    row->cut = both[1].count ? both[0].count : 0;
    both[0].count = both[1].count ? 0 : both[0].count;
    row->periods = series->count;
    row->factor = 1;
    int r = calibrate(budget, db, options, row);
    if (r < 0)
        return r;
    for (size_t i = 0; i < series->count; i++) {
        row->spend += series->x[i] / (double)series->count;
        row->largest = fmax(row->largest, series->x[i]);
        row->attributed += series->y[i] / (double)series->count;
        series->y[i] *= row->factor;
    }
    r = hill_fit(series->x, series->y, series->count, &row->hill, &row->rms);
    row->fitted = r == 0;
    series->count = 0;
    return r == ERR_TOO_FEW ? 0 : r;
}

static int begin_row(struct budget *budget, struct str channel)
{
    if (budget->count == BUDGET_CHANNELS_MAX)
        return ERR_TOO_MANY;
    struct budget_row *row = &budget->rows[budget->count];
    *row = (struct budget_row){.high = INFINITY};
    int r = arena_dup(&budget->arena, channel, &row->channel);
    budget->count += r == 0;
    return r;
}

static int read_rows(struct budget *budget, sqlite3 *db, const struct budget_options *options,
    struct series series[2])
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, periods_sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(budget->currency));
    bind_text(select, 2, str_of(options->model));
    bind_text(select, 3, str_of(options->period));
    bind_text(select, 4, str_of(budget->first_day));
    bind_text(select, 5, str_of(budget->last_day));
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct str channel = column_text(select, 0);
        bool same = budget->count && str_equal(budget->rows[budget->count - 1].channel, channel);
        if (!same && budget->count)
            r = end_row(budget, db, options, series);
        if (r == 0 && !same)
            r = begin_row(budget, channel);
        if (r == 0)
            r = series_add(&series[sqlite3_column_int(select, 3) != 0],
                sqlite3_column_double(select, 1) / budget->minor_per_major,
                sqlite3_column_double(select, 2) / budget->minor_per_major);
    }
    if (r == 0)
        r = database_error(code);
    if (r == 0 && budget->count)
        r = end_row(budget, db, options, series);
    sqlite3_finalize(select);
    return r;
}

/* ---- shares ---- */

static void take_shares(struct budget *budget, const struct budget_line *lines)
{
    for (size_t i = 0, k = 0; i < budget->count; i++) {
        struct budget_row *row = &budget->rows[i];
        row->budget = row->fitted ? lines[k++].spend : row->spend;
        row->beyond_seen = row->budget > row->largest * (1 + 1e-9);
    }
}

static int share(struct budget *budget, const struct budget_options *options)
{
    struct budget_line lines[BUDGET_CHANNELS_MAX];
    size_t count = 0;
    double now = 0, held = 0;
    for (size_t i = 0; i < budget->count; i++) {
        struct budget_row *row = &budget->rows[i];
        const struct budget_wish *low = wish_of(&options->low, row->channel);
        const struct budget_wish *high = wish_of(&options->high, row->channel);
        row->low = low ? low->amount : 0;
        row->high = high ? high->amount : INFINITY;
        now += row->spend;
        held += row->fitted ? 0 : row->spend;
        if (row->fitted)
            lines[count++] =
                (struct budget_line){.hill = row->hill, .low = row->low, .high = row->high};
    }
    if (count == 0) {
        say(options, "no channel has periods enough for a curve; try a shorter --period", "");
        return ERR_TOO_FEW;
    }
    budget->total = options->total >= 0 ? options->total : now;
    int r =
        budget->total < held ? ERR_NUMBER_RANGE : budget_share(lines, count, budget->total - held);
    if (r == ERR_NUMBER_RANGE || r == ERR_VALUE)
        say(options, "the total does not fit the bounds", "");
    if (r == 0)
        take_shares(budget, lines);
    return r;
}

int budget_make(struct budget *budget, const char *database, const struct budget_options *options)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    struct series series[2] = {0};
    *budget = (struct budget){.count = 0};
    int r = database_open_reader(&db, database);
    budget->rows = calloc(BUDGET_CHANNELS_MAX, sizeof *budget->rows);
    if (r == 0 && !budget->rows)
        r = ERR_NO_MEMORY;
    if (r == 0)
        r = find_currency(budget, db, options);
    if (r == 0)
        r = check_model(db, options);
    if (r == 0)
        r = read_units(budget, db);
    if (r == 0)
        r = read_days(budget, db);
    if (r == 0)
        r = read_rows(budget, db, options, series);
    if (r == 0 && budget->count == 0) {
        say(options, "all spend is zero", "");
        r = ERR_EMPTY;
    }
    const struct budget_wishes *const wishes[] = {
        &options->low, &options->high, &options->experiments};
    for (size_t i = 0; r == 0 && i < 3; i++)
        r = check_wishes(budget, wishes[i], options->reason);
    if (r == 0)
        r = share(budget, options);
    for (size_t i = 0; i < 2; i++) {
        free(series[i].x);
        free(series[i].y);
    }
    return r;
}

void budget_free(struct budget *budget)
{
    arena_free(&budget->arena);
    free(budget->rows);
    *budget = (struct budget){.count = 0};
}

/* ---- save ---- */

static int put_row(sqlite3_stmt *put, const struct budget *budget,
    const struct budget_options *options, const struct budget_row *row)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double numbers[] = {row->spend, row->attributed, row->factor,
        row->attributed * (1 - row->factor), row->low, row->high, row->budget};
    sqlite3_clear_bindings(put);
    const double curve[] = {row->hill.beta, row->hill.alpha, row->hill.gamma, row->rms};
    bind_text(put, 1, str_of(options->model));
    bind_text(put, 2, str_of(budget->currency));
    bind_text(put, 3, row->channel);
    bind_text(put, 4, str_of(options->period));
    sqlite3_bind_int64(put, 5, (int64_t)row->periods);
    for (int i = 0; i < 7; i++)
        if (isfinite(numbers[i]))
            sqlite3_bind_double(put, 6 + i, numbers[i]);
    for (int i = 0; row->fitted && i < 4; i++)
        sqlite3_bind_double(put, 13 + i, curve[i]);
    if (row->fitted) {
        sqlite3_bind_double(put, 17, hill_marginal(&row->hill, row->spend));
        sqlite3_bind_double(put, 18, hill_value(&row->hill, row->budget));
        double marginal = hill_marginal(&row->hill, row->budget);
        if (isfinite(marginal))
            sqlite3_bind_double(put, 19, marginal);
        sqlite3_bind_double(put, 21, hill_value(&row->hill, row->spend));
    }
    sqlite3_bind_int64(put, 22, (int64_t)row->cut);
    sqlite3_bind_double(put, 23, row->largest);
    sqlite3_bind_int(put, 24, row->beyond_seen);
    sqlite3_bind_int64(
        put, 20, (int64_t)now.tv_sec * MICROS_PER_SECOND + now.tv_nsec / NANOS_PER_MICRO);
    int code = sqlite3_step(put);
    sqlite3_reset(put);
    return database_error(code);
}

static int save_rows(sqlite3 *db, const struct budget *budget, const struct budget_options *options)
{
    sqlite3_stmt *delete = NULL, *put = NULL;
    int r = database_prepare(db, "DELETE FROM budget WHERE model = ?1 AND currency = ?2", &delete);
    if (r == 0) {
        bind_text(delete, 1, str_of(options->model));
        bind_text(delete, 2, str_of(budget->currency));
        r = database_error(sqlite3_step(delete));
    }
    if (r == 0)
        r = database_prepare(db,
            "INSERT INTO budget VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
            "?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
            &put);
    for (size_t i = 0; r == 0 && i < budget->count; i++)
        r = put_row(put, budget, options, &budget->rows[i]);
    sqlite3_finalize(delete);
    sqlite3_finalize(put);
    return r;
}

int budget_save(
    const struct budget *budget, const char *database, const struct budget_options *options)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    int r = database_open(&db, database, NULL);
    if (r == 0)
        r = database_run(db, "BEGIN IMMEDIATE");
    if (r == 0)
        r = save_rows(db, budget, options);
    return r == 0 ? database_run(db, "COMMIT") : r;
}
